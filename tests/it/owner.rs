//! Only one process writes a partition, and each other process stops or waits.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Ended, Place, Running, eventually, kafka};

const ALL: [&str; 5] = ["consumer", "0", "1", "2", "3"];

/// Pid, host and time as a message has them, of the process that the lock of `partition` names.
fn owner(place: &Place, partition: i32) -> String {
    let lock = fs::read(place.dir("files").join(format!(".almanac/{partition}/lock"))).unwrap();
    let owner: Value = serde_json::from_slice(&lock).unwrap();
    let text = |key: &str| owner[key].as_str().unwrap().to_owned();
    format!("process {} on {} since {}", owner["pid"], text("host"), text("since"))
}

#[track_caller]
fn was_taken_over(ended: &Ended, by: &str) {
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("was taken over by {by}")), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

/// Whether everything sent was counted, once: a repeat would show by its degrees.
#[track_caller]
fn all_counted_once(place: &Place, days: u64) {
    let checkpoints = place.checkpoints("files");
    assert_eq!(checkpoints.iter().map(|found| found.statistics.days()).sum::<u64>(), days);
    for (month, year, cell) in checkpoints.iter().flat_map(|found| found.statistics.cells()) {
        assert!(cell.max() < 60.0, "{month} {year}: {}", cell.max());
    }
}

fn owns_all(place: &Place, running: &Running) {
    let pid = format!("process {} on ", running.pid());
    eventually("it owns all partitions", || {
        let is_locked =
            |partition: i32| place.dir("files").join(format!(".almanac/{partition}/lock")).exists();
        (0..4).all(|partition| {
            is_locked(partition)
                && fs::read(place.dir("files").join(format!(".almanac/{partition}/status.json")))
                    .is_ok_and(|_| owner(place, partition).starts_with(&pid))
        })
    });
}

#[test]
fn a_second_process_stops_at_once_and_names_the_owner() {
    let place = Place::new();
    place.produce(&["--days", "60"]);
    let mut first = place.almanac(&["consumer", "1", "2"]).start();
    eventually("it has begun", || place.checkpoints("files").len() == 2);
    for partition in [1, 2] {
        let second = place.almanac(&["consumer", &partition.to_string()]).fails(6);
        let belongs = format!(
            "partition {partition} in {} belongs to {}",
            place.dir("files").display(),
            owner(&place, partition)
        );
        assert!(second.stderr.contains(&belongs), "{}", second.stderr);
        assert!(second.stderr.contains(&format!("process {} on", first.pid())), "{}", second.stderr);
        assert!(second.stderr.contains("--take-over"), "{}", second.stderr);
    }
    // The others are free.
    let mut other = place.almanac(&["consumer", "0", "3"]).start();
    place.caught_up(kafka(), "files");
    assert_eq!(other.terminate().code, Some(0));
    assert_eq!(first.terminate().code, Some(0));
    // So is what has been released.
    let mut next = place.almanac(&ALL).start();
    owns_all(&place, &next);
    assert_eq!(next.terminate().code, Some(0));
}

#[test]
fn taking_over_stops_the_owner_even_when_nothing_arrives() {
    let place = Place::new();
    place.produce(&["--days", "60"]);
    let mut first = place.almanac(&ALL).start();
    place.caught_up(kafka(), "files");
    let before = place.files("files");
    let mut second = place.almanac(&[&ALL[..], &["--take-over"]].concat()).start();
    eventually("the former owner ends", || !first.is_running());
    was_taken_over(&first.ended(), &owner(&place, 0));
    assert!(owner(&place, 0).starts_with(&format!("process {} on", second.pid())));
    assert!(second.is_running());
    assert_eq!(place.files("files"), before);
    // Its lock is free now, and becomes the new owner's, who still has nothing to write.
    for partition in 0..4 {
        let lock = fs::File::open(place.dir("files").join(format!(".almanac/{partition}/lock"))).unwrap();
        eventually("the new owner holds the lock", || match lock.try_lock() {
            Ok(()) => {
                lock.unlock().unwrap();
                false
            }
            Err(_) => true,
        });
    }
    let third = place.almanac(&["consumer", "0"]).fails(6);
    assert!(third.stderr.contains(&format!("process {} on", second.pid())), "{}", third.stderr);
    assert_eq!(second.terminate().code, Some(0));
}

#[test]
fn an_owner_that_was_asleep_overwrites_nothing() {
    let place = Place::new();
    let run = ["--days", "2000", "--duplicates", "0.5", "--duplicate-degrees", "1000000"];
    let mut producer = place.almanac(&[&["producer", "--interval", "2ms"], &run[..]].concat()).start();
    eventually("the topic is there", || kafka().describe(&place.topic).is_some());
    let mut first = place.almanac(&ALL).start();
    eventually("it is in the middle", || {
        place.checkpoints("files").iter().map(|found| found.offset).sum::<i64>() > 300
    });
    first.signal(Signal::STOP);
    let mut second = place.almanac(&[&ALL[..], &["--take-over"]].concat()).start();
    assert_eq!(producer.ended().code, Some(0));
    place.caught_up(kafka(), "files");
    let before = place.files("files");

    first.signal(Signal::CONT);
    let by: Vec<String> = (0..4).map(|partition| owner(&place, partition)).collect();
    let ended = first.ended();
    let by = by.iter().find(|by| ended.stderr.contains(*by)).unwrap_or(&by[0]);
    was_taken_over(&ended, by);
    assert!(by.starts_with(&format!("process {} on", second.pid())), "{by}");
    assert_eq!(place.files("files"), before, "the newer files stay");
    assert!(second.is_running());
    assert_eq!(second.terminate().code, Some(0));
    all_counted_once(&place, 2000);
}

#[test]
fn an_owner_asleep_before_it_reads_anything_overwrites_nothing() {
    let place = Place::new();
    place.produce(&["--days", "2000", "--duplicate-degrees", "1000000"]);
    let mut first = place.almanac(&ALL).start();
    eventually("it has taken the last partition", || place.dir("files").join(".almanac/3/1").exists());
    first.signal(Signal::STOP);
    let mut second = place.almanac(&[&ALL[..], &["--take-over"]].concat()).start();
    place.caught_up(kafka(), "files");
    let before = place.files("files");
    first.signal(Signal::CONT);
    let ended = first.ended();
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("process {} on", second.pid())), "{}", ended.stderr);
    assert_eq!(place.files("files"), before);
    assert_eq!(second.terminate().code, Some(0));
    all_counted_once(&place, 2000);
}
