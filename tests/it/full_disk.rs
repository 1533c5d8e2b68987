//! A Kafka whose disk is full.

use std::process::{Command, Stdio};

use crate::support::{Place, almanac_under, free_address, skip};

/// A disk of its own, in a mount namespace that nobody else sees.
const ON_SMALL_DISK: [&str; 5] = ["unshare", "--map-root-user", "--mount", "sh", "-c"];
const MOUNT: &str = "mount -t tmpfs -o size=24m none \"$0\" && exec \"$@\"";

#[test]
fn a_full_disk_of_the_broker_is_named() {
    let disk = tempfile::tempdir().unwrap();
    let disk = disk.path().to_str().unwrap();
    let may_mount = Command::new(ON_SMALL_DISK[0])
        .args(&ON_SMALL_DISK[1..])
        .args([MOUNT, disk, "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !may_mount.is_ok_and(|status| status.success()) {
        return skip("no mount namespace can be made");
    }
    let (listen, data) = (free_address(), format!("{disk}/kafka"));
    let wrapper = [&ON_SMALL_DISK[..], &[MOUNT, disk]].concat();
    let arguments = ["broker", "--listen", &listen, "--data", &data, "--set", "log.segment.bytes=1048576"];
    let mut broker = almanac_under(&wrapper, &arguments).start();
    broker.stderr_line_with(" answers at ");
    let place = Place::at(&listen);
    let mut producer = place.almanac(&["producer", "--interval", "0"]).start();
    let ended = broker.ended();
    assert_eq!(ended.code, Some(4), "{ended:#?}");
    assert!(
        ended.stderr.contains("ended by itself (exit status: 1) because its disk is full:"),
        "{ended:#?}"
    );
    assert!(ended.stderr.contains("hint: free space on the disk of --data"), "{ended:#?}");
    producer.kill_9();
}
