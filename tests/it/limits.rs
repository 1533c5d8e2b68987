//! Few open files: the soft limit is raised, and a hard limit that is too low is named.

use std::fs;

use crate::support::{Place, eventually, kafka};

const PARTITIONS: i32 = 200;

/// A topic of many partitions, and the arguments of a consumer that names all of them.
fn place() -> (Place, Vec<String>) {
    let place = Place::new();
    place.produce(&["--days", "100", "--partitions", &PARTITIONS.to_string()]);
    let named = (0..PARTITIONS).map(|partition| partition.to_string());
    (place, ["consumer".to_owned()].into_iter().chain(named).collect())
}

#[test]
fn two_hundred_partitions_with_a_low_soft_limit() {
    let (place, consumer) = place();
    let consumer: Vec<&str> = consumer.iter().map(String::as_str).collect();
    let mut running = place.almanac_under(&["prlimit", "--nofile=256:4096"], &consumer).start();
    eventually("all partitions are kept", || place.checkpoints("files").len() == PARTITIONS as usize);
    place.caught_up(kafka(), "files");
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
    let raised = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(raised.split_whitespace().nth(3), Some("4096"), "{limits}");
    let ended = running.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("open files"), "{}", ended.stderr);
    place.almanac_under(&["prlimit", "--nofile=64:4096"], &["verify"]).succeeds();
}

#[test]
fn a_hard_limit_that_is_too_low_is_named_with_what_is_needed() {
    let (place, named) = place();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    // None of them is taken; in a group, the error comes with the first one that can't be.
    for (limit, consumer, what) in [
        ("256", &named[..], "can't take all partitions; "),
        ("450", &named, "can't take all partitions; "),
        ("256", &["consumer", "--group", &place.topic], "Too many open files (os error 24); "),
    ] {
        let nofile = format!("--nofile={limit}:{limit}");
        let ended = place.almanac_under(&["prlimit", &nofile], consumer).fails(7);
        let needed = format!("{what}200 partitions need about 900 open files, and the limit is {limit}\n");
        assert!(ended.stderr.contains(&needed), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("\nhint: start almanac where `ulimit -Hn` is 900 or more"),
            "{ended:?}"
        );
        assert_eq!(ended.stderr.matches("hint: ").count(), 1, "{}", ended.stderr);
    }
}
