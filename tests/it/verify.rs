//! `verify`: agrees with what the consumer wrote, and names the first thing that is not so.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::status::assert_documented;
use crate::support::{Ended, Place, Raw, kafka};

fn counted_place() -> Place {
    let place = Place::new();
    place.produce(&["--days", "1000", "--duplicates", "0.3"]);
    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    place.caught_up(kafka(), "files");
    consumer.terminate();
    place
}

/// The output of `verify` after `partition-2.json` has had `from` replaced by `to`, once.
#[track_caller]
fn after_change(place: &Place, from: &str, to: &str) -> Ended {
    let path = place.dir("files/partition-2.json");
    let whole = fs::read_to_string(&path).unwrap();
    assert!(whole.contains(from), "{whole}");
    fs::write(&path, whole.replacen(from, to, 1)).unwrap();
    let ended = place.almanac(&["verify"]).run();
    fs::write(&path, whole).unwrap();
    ended
}

#[test]
fn the_files_agree_with_the_log() {
    let place = counted_place();
    let ended = place.almanac(&["verify"]).succeeds();
    assert_eq!(ended.stdout.matches(", the same\n").count(), 4, "{}", ended.stdout);
    let days: u64 = ended
        .stdout
        .lines()
        .filter(|line| line.starts_with("partition"))
        .map(|line| line.split(" = ").nth(1).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(days, 1000);
    assert_eq!(ended.stderr, "");
}

#[test]
fn json_has_the_first_difference() {
    let place = counted_place();
    let json = |ended: &Ended| -> serde_json::Value { serde_json::from_str(&ended.stdout).unwrap() };
    let ended = place.almanac(&["verify", "2", "--format", "json"]).succeeds();
    let same = &json(&ended)["partitions"][0];
    assert_eq!((&same["partition"], &same["result"]), (&2.into(), &"same".into()), "{same}");
    assert!(same["records"].as_u64().unwrap() > same["counted"].as_u64().unwrap(), "{same}");

    let cell = *place.checkpoints("files")[2].statistics.cell(0, 1990).unwrap();
    let path = place.dir("files/partition-2.json");
    let whole = fs::read_to_string(&path).unwrap();
    let colder = cell.min() - 1.5;
    let changed = whole.replacen(&format!("\"min\":{}", cell.min()), &format!("\"min\":{colder}"), 1);
    fs::write(&path, changed).unwrap();
    let ended = place.almanac(&["verify", "--format", "json"]).fails(1);
    let different = &json(&ended)["partitions"][2];
    assert_eq!(different["result"], "different");
    let expected = serde_json::json!(
        {"in": "cell", "month": "January", "year": 1990, "field": "min", "file": colder, "log": cell.min()}
    );
    assert_eq!(different["difference"], expected);
    assert_documented(different);
    assert_documented(&different["difference"]);
    assert!(ended.stderr.contains("January 1990, min: "), "{}", ended.stderr);
}

/// The text of a checkpoint as an almanac wrote it that did not keep the dates of extremes.
fn without_dates(checkpoint: &str) -> String {
    let mut without = checkpoint.to_owned();
    for key in [",\"min_date\":\"", ",\"max_date\":\""] {
        while let Some(at) = without.find(key) {
            without.replace_range(at..at + key.len() + "1990-01-31\"".len(), "");
        }
    }
    assert_ne!(without, checkpoint);
    without
}

#[test]
fn an_older_file_is_resumed_and_its_dates_of_extremes_stay_unknown() {
    let place = counted_place();
    let path = place.dir("files/partition-2.json");
    fs::write(&path, without_dates(&fs::read_to_string(&path).unwrap())).unwrap();
    place.produce(&["--append", "--days", "200"]);
    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    place.caught_up(kafka(), "files");
    consumer.terminate();
    let verified = place.almanac(&["verify"]).succeeds();
    assert_eq!(verified.stdout.matches(", the same\n").count(), 4, "{}", verified.stdout);
    let table = place.almanac(&["plot", "--format", "jsonl"]).succeeds().stdout;
    let rows: Vec<serde_json::Value> =
        table.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_known = |year: u16, month: u8| {
        let row = rows.iter().find(|row| (&row["year"], &row["month"]) == (&year.into(), &month.into()));
        ["min_date", "max_date"].map(|name| row.unwrap()[name].is_string())
    };
    assert_eq!((is_known(1990, 1), is_known(1992, 6)), ([false; 2], [false; 2]), "{table}");
    // A month that began since then, and one of another file.
    assert_eq!((is_known(1993, 1), is_known(1990, 3)), ([true; 2], [true; 2]), "{table}");
    place.almanac(&["plot", "--kind", "records", "--format", "text"]).succeeds();
}

#[test]
fn a_file_without_dates_of_extremes_agrees_and_a_wrong_date_does_not() {
    let place = counted_place();
    let path = place.dir("files/partition-2.json");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, without_dates(&whole)).unwrap();
    assert!(place.almanac(&["verify", "2"]).succeeds().stdout.contains(", the same"));

    let cell = *place.checkpoints("files")[2].statistics.cell(0, 1990).unwrap();
    let (min_day, max_day) = (cell.min_day(), cell.max_day());
    assert_eq!((min_day, max_day), (None, None));
    fs::write(&path, &whole).unwrap();
    let cell = *place.checkpoints("files")[2].statistics.cell(0, 1990).unwrap();
    let (right, max_day) = (cell.min_day().unwrap(), cell.max_day().unwrap());
    let wrong = (1..=31).find(|day| ![right, max_day].contains(day)).unwrap();
    let date = |day| format!("\"min_date\":\"1990-01-{day:02}\"");
    let ended = after_change(&place, &date(right), &date(wrong));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let expected = format!("January 1990, min_date: the file has {wrong}, the log makes {right}");
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
}

#[test]
fn a_file_that_differs_is_named() {
    let place = counted_place();
    let checkpoint = &place.checkpoints("files")[2];
    let (_, _, cell) = checkpoint.statistics.cells().next().unwrap();

    // The last bit of a sum, and of the average that goes with it.
    let bit = f64::from_bits(cell.sum().to_bits() + 1);
    let (old, new) = (
        format!("\"sum\":{},\"avg\":{}", cell.sum(), cell.avg()),
        format!("\"sum\":{bit},\"avg\":{}", bit / f64::from(cell.count())),
    );
    let ended = after_change(&place, &old, &new);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let expected = format!("January 1990, sum: the file has {bit:?}, the log makes {:?}", cell.sum());
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);

    let offset = checkpoint.offset;
    let ended = after_change(&place, &format!("\"offset\":{offset}"), &format!("\"offset\":{}", offset + 1));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let expected = format!("offset: the file has {}, the log ends at {offset}", offset + 1);
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);

    // Whatever else there is to say.
    let other = place.dir("files/partition-1.json");
    let whole = fs::read(&other).unwrap();
    fs::write(&other, "{").unwrap();
    let ended = after_change(&place, &old, &new);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("January 1990, sum: "), "{}", ended.stderr);
    assert!(ended.stdout.contains("partition 1: not checked\n"), "{}", ended.stdout);
    fs::write(&other, whole).unwrap();

    let mut rejected = place.dir("files/partition-2.rejected.jsonl");
    fs::write(&rejected, "{\"offset\":3,\"reason\":\"no_value\",\"key\":null,\"value\":null}\n").unwrap();
    let ended = place.almanac(&["verify", "2"]).fails(1);
    assert!(ended.stderr.contains("rejected line 1: the file has Rejected"), "{}", ended.stderr);
    rejected.set_file_name("partition-2.json");
    place.almanac(&["verify", "0", "1"]).succeeds();
}

#[test]
fn a_log_that_is_gone_cannot_be_checked() {
    let place = counted_place();
    place.produce(&["--days", "10"]);
    let ended = place.almanac(&["verify"]).fails(5);
    assert!(ended.stderr.contains("counts topic"), "{}", ended.stderr);
    let ended = place.almanac_in("nowhere", &["verify"]).fails(7);
    assert!(ended.stderr.contains("no checkpoints to check"), "{}", ended.stderr);
}

#[test]
fn one_offset_or_one_rejected_line_more_or_less_is_named() {
    let place = Place::new();
    place.produce(&["--days", "100", "--duplicates", "0"]);
    let no_report = Raw { partition: 2, key: None, value: None };
    place.send(&[no_report, no_report, no_report]);
    place.produce(&["--append", "--days", "10", "--duplicates", "0"]);
    place.replay(kafka(), "files");
    place.almanac(&["verify"]).succeeds();
    let checkpoint = &place.checkpoints("files")[2];
    let offset = checkpoint.offset;
    let with_offset = |offset: i64| {
        after_change(&place, &format!("\"offset\":{}", checkpoint.offset), &format!("\"offset\":{offset}"))
    };
    let ended = with_offset(offset - 1);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("April 1990, days: the file has"), "{}", ended.stderr);
    let ended = with_offset(offset + 1);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&format!("the log ends at {offset}")), "{}", ended.stderr);

    let rejected = place.dir("files/partition-2.rejected.jsonl");
    let whole = fs::read_to_string(&rejected).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let [one, two, three] = lines[..] else { panic!("{whole}") };
    for (kept, line) in [
        (vec![two, three], 1),
        (vec![one, three], 2),
        (vec![one, two], 3),
        (vec![one, one, two, three], 2),
        (vec![one, two, three, three], 4),
        (vec![one, three, two], 2),
    ] {
        fs::write(&rejected, kept.join("\n") + "\n").unwrap();
        let ended = place.almanac(&["verify"]).fails(1);
        assert!(ended.stderr.contains(&format!("rejected line {line}: the file has")), "{}", ended.stderr);
    }
    fs::write(&rejected, whole).unwrap();
    place.almanac(&["verify"]).succeeds();
}

#[test]
fn a_long_rejected_value_is_kept_as_its_length_hash_and_first_bytes() {
    let place = Place::new();
    place.produce(&["--days", "100", "--duplicates", "0"]);
    let (short, long) = (vec![0xff; 4096], vec![0xff; 900_000]);
    for value in [&short, &long] {
        place.send(&[Raw { partition: 2, key: Some(&long[..5000]), value: Some(value) }]);
    }
    place.replay(kafka(), "files");
    let rejected = place.dir("files/partition-2.rejected.jsonl");
    let text = fs::read_to_string(&rejected).unwrap();
    assert!(text.len() < 30_000, "{} bytes", text.len());
    let entries: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 2);
    assert!(entries.iter().all(|entry| entry["key_bytes"] == 5000), "{text}");
    assert!(entries[0].get("value_bytes").is_none() && entries[0].get("value_sha256").is_none(), "{text}");
    assert_eq!(entries[1]["value_bytes"], 900_000);
    assert_eq!(entries[1]["value"], entries[0]["value"], "the first 4096 bytes");
    assert_eq!(
        entries[1]["value_sha256"],
        Sha256::digest(&long).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    );
    place.almanac(&["verify"]).succeeds();

    // One byte that is not kept is still told apart.
    let mut other = long;
    other[899_999] = 0;
    let other = Sha256::digest(&other).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let changed = text.replace(entries[1]["value_sha256"].as_str().unwrap(), &other);
    assert_ne!(changed, text);
    fs::write(&rejected, changed).unwrap();
    let ended = place.almanac(&["verify"]).fails(1);
    assert!(ended.stderr.contains("rejected line 2: the file has"), "{}", ended.stderr);

    // A former version kept all of it.
    let whole = |length: usize| STANDARD.encode(vec![0xff; length]);
    let of_former = [(&entries[0], 4096), (&entries[1], 900_000)].map(|(entry, value)| {
        let (offset, reason) = (&entry["offset"], &entry["reason"]);
        let (key, value) = (whole(5000), whole(value));
        format!("{{\"offset\":{offset},\"reason\":{reason},\"key\":\"{key}\",\"value\":\"{value}\"}}\n")
    });
    fs::write(&rejected, of_former.concat()).unwrap();
    place.almanac(&["verify"]).succeeds();
    place.replay(kafka(), "files");
    assert_eq!(fs::read_to_string(&rejected).unwrap(), text, "shortened by the next start");

    // Nobody writes such a line.
    fs::write(&rejected, format!("{text}{}\n", " ".repeat(5 << 20))).unwrap();
    for command in [&["consumer", "2"][..], &["verify"]] {
        let ended = place.almanac(command).fails(5);
        let named = "partition-2.rejected.jsonl: line 3: it has more than 4194304 bytes";
        assert!(ended.stderr.contains(named), "{}", ended.stderr);
    }
}
