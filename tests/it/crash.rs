//! kill -9 at any moment: the next start goes on as if nothing had been.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Place, eventually, kafka};

#[test]
fn kills_at_any_moment_cannot_be_seen_in_the_files() {
    const KILLS: i64 = 25;
    let place = Place::new();
    place.produce(&["--days", "20000", "--duplicates", "0.5", "--duplicate-degrees", "1000000"]);
    let records = kafka().records(&place.topic);
    // So often and with so few records each that the replay outlasts the kills.
    let consumer = [
        "consumer",
        "0",
        "1",
        "2",
        "3",
        "--checkpoint-every",
        "1ms",
        "-X",
        "fetch.message.max.bytes=2000",
        "-X",
        "fetch.max.bytes=8000",
        "-X",
        "message.max.bytes=1000",
    ];
    for kill in 1..=KILLS {
        let mut running = place.almanac(&consumer).start();
        // Somewhere past here: where exactly, a moment that nobody chose decides.
        let target = records * kill / (KILLS + 2);
        eventually("the consumer goes on", || place.passed("files") >= target);
        let moment = Instant::now() + Duration::from_micros(kill.unsigned_abs() * 7919 % 3000);
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        running.kill_9();
    }
    place.replay(kafka(), "files");
    place.replay(kafka(), "undisturbed");
    place.assert_same_files("undisturbed", "files");
    for partition in 0..4 {
        let epochs = epochs(&place.dir("files"), partition);
        assert_eq!(epochs.len(), 1, "only the newest epoch is left: {epochs:?}");
        assert_eq!(fs::read_dir(&epochs[0]).unwrap().count(), 0, "nothing temporary is left");
    }
}

fn epochs(dir: &Path, partition: i32) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir.join(".almanac").join(partition.to_string())).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}
