//! Files in DIR that almanac could not have written, or not like that: every command says which, where and why, and
//! leaves them as they are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Ended, Place, Raw, almanac, eventually, kafka};

const ALL: [&str; 5] = ["consumer", "0", "1", "2", "3"];

/// A place with a checkpoint and a rejected record in each of its four partitions. Days were sent since, so any
/// consumer that starts there has something to write.
fn counted() -> Place {
    let place = Place::new();
    place.produce(&["--days", "400"]);
    reject_one_each(&place);
    place.replay(kafka(), "files");
    place.produce(&["--append", "--days", "200"]);
    reject_one_each(&place);
    place
}

fn reject_one_each(place: &Place) {
    let values = [Some(&b"no report"[..]), None, Some(b"\x0a\x0a2001-02-30")];
    let records = (0..4).flat_map(|partition| values.map(|value| Raw { partition, key: None, value }));
    place.send(&records.collect::<Vec<_>>());
}

/// The relative path and the bytes of every file in DIR, except the locks, and the directories, except the epochs.
fn contents(place: &Place) -> Vec<(PathBuf, Vec<u8>)> {
    fn add(found: &mut Vec<(PathBuf, Vec<u8>)>, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(found, &path);
            } else if !path.ends_with("lock") {
                found.push((path.clone(), fs::read(path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    add(&mut found, &place.dir("files"));
    found.sort();
    found
}

#[track_caller]
fn says(ended: &Ended, text: &str) {
    assert!(ended.stderr.contains(text), "no {text:?} in:\n{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// Runs these commands at the same time. Each must refuse the file at `path` for this reason, and change nothing.
#[track_caller]
fn refuse(place: &Place, commands: &[&[&str]], path: &Path, reason: &str) {
    let before = contents(place);
    let ended: Vec<Ended> = std::thread::scope(|scope| {
        let run = |command: &&[&str]| {
            let almanac = place.almanac(command);
            scope.spawn(move || almanac.run())
        };
        let threads: Vec<_> = commands.iter().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (command, ended) in commands.iter().zip(&ended) {
        assert_eq!(ended.code, Some(5), "{command:?}, {reason}: {ended:#?}");
        says(ended, &format!("{}: ", path.display()));
        says(ended, reason);
        says(ended, "hint: fix the file, or move it");
    }
    assert!(contents(place) == before, "{commands:?}, {reason}: a file has changed");
}

/// Each fault that the checkpoint of partition 1 can have, and the error for it. `good` is a checkpoint that almanac
/// wrote, and begins with February of 1990.
fn bad_checkpoints(good: &str) -> Vec<(Vec<u8>, &'static str)> {
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "no {from} in {good}");
        good.replacen(from, to, 1).into_bytes()
    };
    // Another value in the place of the first that this key has.
    let set = |key: &str, value: &str| {
        let start = good.find(&format!("\"{key}\":")).unwrap() + key.len() + 3;
        let end = start + good[start..].find([',', '}']).unwrap();
        [&good[..start], value, &good[end..]].concat().into_bytes()
    };
    let mut cases = vec![
        (b"".to_vec(), "EOF while parsing a value at line 1 column 0"),
        (b"\n".to_vec(), "EOF while parsing a value at line "),
        (b"\x7fELF\x02\x01\x01\0\xff\xfe".to_vec(), "expected value at line 1 column 1"),
        (b"null\n".to_vec(), "invalid type: null, expected a checkpoint"),
        (["\u{feff}", good].concat().into_bytes(), "expected value at line 1 column 1"),
        ([good, "x"].concat().into_bytes(), "trailing characters at line "),
        ([good, good].concat().into_bytes(), "trailing characters at line "),
        ("[".repeat(100_000).into_bytes(), "invalid type: sequence, expected a checkpoint"),
        ("{\"May\":".repeat(100_000).into_bytes(), "May: \"May\" is not a year from 0001 to 9999 at line 1"),
        (set("sum", &"[".repeat(100_000)), "invalid type: sequence, expected f64 at line 2"),
        (set("partition", "3"), "it is the checkpoint of partition 3"),
        (set("partition", "-1"), "partition and offset can't be negative"),
        (set("partition", "1,\"partition\":1"), "duplicate field `partition` at line 1"),
        (
            set("offset", "9223372036854775808"),
            "invalid value: integer `9223372036854775808`, expected i64 at line 1",
        ),
        (set("offset", "-1"), "partition and offset can't be negative"),
        (set("offset", "1e999"), "number out of range at line 1"),
        (set("offset", "null"), "invalid type: null, expected i64 at line 1"),
        (set("offset", "10"), " days can't have been counted before offset 10"),
        (set("offset", "10,\"offset\":10"), "duplicate field `offset` at line 1"),
        (set("count", "-28"), "invalid value: integer `-28`, expected u32 at line 2"),
        (set("count", "27"), "February 1990: count is 27, but start, end and missing make 28 days at line 2"),
        (set("count", "28,\"count\":28"), "duplicate field `count` at line 2"),
        (set("count", "28,\"median\":0.0"), "unknown field `median`"),
        (set("sum", "NaN"), "expected value at line 2"),
        (set("sum", "Infinity"), "expected value at line 2"),
        (set("sum", "1e999"), "number out of range at line 2"),
        (set("sum", "1e300"), "February 1990: avg is "),
        (set("avg", "0.25"), "February 1990: avg is 0.25, but sum / count is "),
        (set("min", "1e8"), "February 1990: min 100000000.0 and max "),
        (set("max", "1e10"), " and max 10000000000.0 can't be at line 2"),
        (set("start", "\"1990-02-30\""), "February 1990: start \"1990-02-30\" is not a day of that month"),
        (set("end", "\"1990-02-32\""), "February 1990: end \"1990-02-32\" is not a day of that month"),
        (set("end", "\"1990-03-01\""), "February 1990: end \"1990-03-01\" is not a day of that month"),
        (with("\"1990\":", "\"0000\":"), "February: \"0000\" is not a year from 0001 to 9999 at line 2"),
        (with("\"1990\":", "\"10000\":"), "February: \"10000\" is not a year from 0001 to 9999 at line 2"),
        (with("\"1991\":", "\"1990\":"), "February 1990: start \"1991-02-01\" is not a day of that month"),
        (with("\"February\":", "\"Smarch\":"), "\"Smarch\" is not a month at line 2"),
        (with("\"July\":", "\"February\":"), "February is there twice"),
        (with(" \"February\":", " \"July\":{},\"February\":"), "July is there twice"),
    ];
    for length in [1, 12, 30, good.len() / 3, good.len() / 2, good.len() - 2] {
        cases.push((good.as_bytes()[..length].to_vec(), "EOF while parsing "));
    }
    cases
}

#[test]
fn a_bad_checkpoint_is_refused_by_every_command_and_nothing_starts() {
    let place = counted();
    let path = place.dir("files/partition-1.json");
    let good = fs::read_to_string(&path).unwrap();
    for (bytes, reason) in bad_checkpoints(&good) {
        fs::write(&path, bytes).unwrap();
        refuse(&place, &[&ALL, &["verify"], &["plot"], &["status"]], &path, reason);
    }
    fs::write(&path, good).unwrap();
    place.replay(kafka(), "files");
    place.almanac(&["verify"]).succeeds();
}

#[test]
fn a_bad_file_next_to_the_checkpoint_is_refused_and_nothing_starts() {
    let place = counted();
    for (name, of_log) in [(".almanac/1/log.json", true), ("partition-1.rejected.jsonl", false)] {
        let path = place.dir("files").join(name);
        let good = fs::read_to_string(&path).unwrap();
        let number = |key: &str, value: &str| {
            let start = good.find(&format!("\"{key}\":")).unwrap() + key.len() + 3;
            let end = start + good[start..].find([',', '}']).unwrap();
            [&good[..start], value, &good[end..]].concat()
        };
        let line = |number: usize, text: &str| {
            let mut lines: Vec<&str> = good.split_inclusive('\n').collect();
            assert!(lines.len() > number, "{good}");
            lines[number - 1] = text;
            lines.concat()
        };
        let cases = if of_log {
            vec![
                (String::new(), "EOF while parsing a value at line 1 column 0"),
                ("\0".repeat(good.len()), "expected value at line 1 column 1"),
                (good[..good.len() / 2].to_owned(), "EOF while parsing "),
                (["\u{feff}", &good].concat(), "expected value at line 1 column 1"),
                (good.clone() + "{}", "trailing characters at line 2"),
                ("{}\n".to_owned(), "missing field `cluster_id` at line 1"),
                (
                    good.replacen("\"topic_id\":\"", "\"topic_id\":\"../../../", 1),
                    "topic_id is not 22 characters of URL-safe base64",
                ),
                (
                    good.replacen("\"topic_id\":\"", "\"topic_id\":\"/tmp/", 1),
                    "topic_id is not 22 characters of URL-safe base64",
                ),
                (good.replacen("\"topic_id\":", "\"id\":", 1), "unknown field `id`"),
                (number("first_offset", "-1"), "first_offset -1 is negative"),
                (number("first_offset", "9223372036854775808"), "invalid value: integer"),
                (number("epoch", "-1"), "a leader epoch is negative"),
            ]
        } else {
            vec![
                (line(2, "{\"offset\":\n"), "line 2: EOF while parsing "),
                (line(2, "no JSON\n"), "line 2: expected "),
                (line(2, "\n"), "line 2: EOF while parsing "),
                (
                    line(2, "{\"offset\":1,\"reason\":\"bad_luck\",\"key\":null,\"value\":null}\n"),
                    "line 2: unknown variant `bad_luck`",
                ),
                (line(2, "{\"offset\":1,\"offset\":1}\n"), "line 2: duplicate field `offset`"),
                (line(2, "{\"offset\":1}\n"), "line 2: missing field `reason`"),
                (line(2, &("[".repeat(100_000) + "\n")), "line 2: "),
            ]
        };
        for (text, reason) in cases {
            fs::write(&path, text).unwrap();
            refuse(&place, &[&ALL, &["verify"]], &path, reason);
            // Pictures and tables are of checkpoints, which are good.
            place.almanac(&["plot"]).succeeds();
            place.almanac(&["status"]).succeeds();
        }
        fs::write(&path, good).unwrap();
    }
    place.replay(kafka(), "files");
    place.almanac(&["verify"]).succeeds();
}

/// A second process is to take everything from the first, and can't: then the first goes on.
#[test]
fn a_bad_checkpoint_takes_no_partition_from_its_owner() {
    let place = counted();
    let mut owner = place.almanac(&["consumer", "0", "2", "3"]).start();
    eventually("it owns three", || place.owned_by(&owner, "files") == 3);
    let path = place.dir("files/partition-1.json");
    let good = fs::read(&path).unwrap();
    fs::write(&path, "{").unwrap();
    let ended = place.almanac(&[&ALL[..], &["--take-over"]].concat()).fails(5);
    says(&ended, &format!("{}: EOF while parsing", path.display()));
    fs::write(&path, good).unwrap();
    place.produce(&["--append", "--days", "100"]);
    let mut other = place.almanac(&["consumer", "1"]).start();
    place.caught_up(kafka(), "files");
    assert!(owner.is_running(), "{}", owner.stderr());
    assert_eq!(owner.terminate().code, Some(0));
    assert_eq!(other.terminate().code, Some(0));
    place.almanac(&["verify"]).succeeds();
}

#[test]
fn a_consumer_that_cannot_resume_creates_no_file() {
    let place = Place::new();
    place.produce(&["--days", "100"]);
    fs::create_dir_all(place.dir("files")).unwrap();
    let path = place.dir("files/partition-3.json");
    fs::write(&path, "{\"partition\":3}").unwrap();
    refuse(&place, &[&ALL], &path, "missing field `offset` at line 1 column 15");
    let files: Vec<PathBuf> = contents(&place).into_iter().map(|(path, _)| path).collect();
    assert_eq!(files, [path]);
}

#[test]
fn in_a_group_only_the_partitions_with_a_bad_file_are_left_alone() {
    let place = counted();
    let bad = [
        ("partition-0.json", "{\"partition\":0,\"offset\":-7}\n", "can't be negative at line 1 column 27"),
        (".almanac/1/log.json", "{\"topic\":\n", "EOF while parsing a value at line 2 column 0"),
        ("partition-2.rejected.jsonl", "{\"offset\":0}\n", "line 1: missing field `reason`"),
    ];
    for (name, text, _) in bad {
        fs::write(place.dir("files").join(name), text).unwrap();
    }
    let before = contents(&place);
    let mut consumer = place.almanac(&["consumer", "--group", &place.topic]).start();
    for partition in 0..3 {
        consumer.stderr_line_with(&format!("partition {partition} is left alone"));
    }
    let high = kafka().high_watermarks(&place.topic)[3];
    let path = place.dir("files/partition-3.json");
    eventually("the good one is counted", || {
        fs::read_to_string(&path).unwrap().starts_with(&format!("{{\"partition\":3,\"offset\":{high},"))
    });
    assert!(consumer.is_running());
    let ended = consumer.terminate();
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    for (name, _, reason) in bad {
        says(&ended, &format!("{}: ", place.dir("files").join(name).display()));
        says(&ended, reason);
    }
    let others = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<(PathBuf, Vec<u8>)> {
        let is_of_3 = |path: &Path| {
            let path = path.strip_prefix(place.dir("files")).unwrap().to_str().unwrap();
            path.starts_with("partition-3.") || path.starts_with(".almanac/3/")
        };
        files.into_iter().filter(|(path, _)| !is_of_3(path)).collect()
    };
    assert!(others(contents(&place)) == others(before), "a partition left alone has changed");
}

/// They say who is alive, and how things stand; nothing that counts depends on them.
#[test]
fn a_damaged_lock_or_status_disturbs_no_command() {
    let place = counted();
    let dir = place.dir("files");
    for text in ["", "\0\0\0", "{\"pid\":-1}", "[1,\"h\",\"s\"]", "{\"pid\":1e999}", &"[".repeat(100_000)] {
        for partition in 0..4 {
            fs::write(dir.join(format!(".almanac/{partition}/lock")), text).unwrap();
            fs::write(dir.join(format!(".almanac/{partition}/status.json")), text).unwrap();
        }
        let ended = place.almanac(&["status"]).succeeds();
        assert_eq!(ended.stdout.lines().count(), 5, "{}", ended.stdout);
        place.replay(kafka(), "files");
    }
    let mut owner = place.almanac(&ALL).start();
    eventually("it owns all", || place.owned_by(&owner, "files") == 4);
    fs::write(dir.join(".almanac/0/lock"), "{\"pid\":\"me\"}").unwrap();
    let ended = place.almanac(&["consumer", "0"]).fails(6);
    says(&ended, "partition 0 in ");
    says(&ended, " belongs to another process");
    place.produce(&["--append", "--days", "100"]);
    place.caught_up(kafka(), "files");
    assert_eq!(owner.terminate().code, Some(0));
    place.almanac(&["verify"]).succeeds();
}

#[test]
fn a_directory_in_place_of_a_file_is_reported() {
    let place = counted();
    for (name, commands) in [
        ("partition-1.json", &[&ALL[..], &["verify"], &["plot"], &["status"]][..]),
        ("partition-1.rejected.jsonl", &[&ALL, &["verify"]]),
        (".almanac/1/log.json", &[&ALL, &["verify"]]),
    ] {
        let path = place.dir("files").join(name);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        for command in commands {
            let ended = place.almanac(command).fails(7);
            says(&ended, &format!("can't read {}: Is a directory", path.display()));
        }
        fs::remove_dir(&path).unwrap();
        fs::write(&path, good).unwrap();
    }
    let ended = almanac(&["status", "-d", "/dev/null"]).run();
    assert_ne!(ended.code, Some(0));
    says(&ended, "/dev/null");
}
