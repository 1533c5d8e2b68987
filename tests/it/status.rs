//! `status`: the table, the JSON, and the warnings next to them.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Kafka, Place, eventually, kafka};

/// Fails with the first field of which docs/OUTPUT.md says nothing.
#[track_caller]
pub fn assert_documented(object: &Value) {
    let docs = include_str!("../../docs/OUTPUT.md");
    for field in object.as_object().unwrap().keys() {
        assert!(docs.contains(&format!("`{field}`")), "docs/OUTPUT.md has nothing of {field}");
    }
}

fn status(place: &Place) -> Value {
    let ended = place.almanac(&["status", "--format", "json"]).succeeds();
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn json_has_what_the_files_have() {
    let place = Place::new();
    place.produce(&["--days", "500", "--duplicates", "1"]);
    place.replay(kafka(), "files");
    let partitions = status(&place);
    let partitions = partitions["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 4);
    for (number, partition) in partitions.iter().enumerate() {
        let file = fs::read(place.dir(&format!("files/partition-{number}.json"))).unwrap();
        let checkpoint: Value = serde_json::from_slice(&file).unwrap();
        let said = fs::read(place.dir(&format!("files/.almanac/{number}/status.json"))).unwrap();
        let said: Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(partition["partition"], number);
        assert_eq!(partition["state"], "stopped");
        assert_eq!(partition["offset"], checkpoint["offset"]);
        assert_eq!(partition["bytes"], file.len());
        assert_eq!(partition["lag"], Value::Null, "nobody knows how far the log goes by now");
        assert!(partition["age_seconds"].as_f64().unwrap() < 600.0, "{partition}");
        assert_eq!(partition["consumer"], said);
        assert_eq!(said["checkpoint_bytes"], file.len());
        assert_eq!((&said["rebalances"], &said["broker_errors"]), (&json!(0), &json!(0)));
        assert_documented(partition);
        assert_documented(&said);
        assert_documented(&said["owner"]);
    }
}

#[test]
fn rebalances_and_broker_errors_are_counted() {
    let mut kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "100"]);
    let mut one = place.almanac(&["consumer"]).start();
    place.caught_up(&kafka, "files");
    let of_all = |field: &str| -> Vec<u64> {
        let status = status(&place);
        let partitions = status["partitions"].as_array().unwrap();
        partitions.iter().map(|partition| partition["consumer"][field].as_u64().unwrap_or_default()).collect()
    };
    eventually("it was given its partitions", || of_all("rebalances") == [1; 4]);
    assert_eq!(of_all("broker_errors"), [0; 4]);
    let two = place.almanac(&["consumer"]).start();
    eventually("it gave some away", || {
        of_all("rebalances").iter().all(|count| *count >= 1)
            && of_all("rebalances").iter().any(|count| *count >= 2)
    });
    drop(two);
    kafka.stop();
    eventually("errors are counted", || of_all("broker_errors").iter().any(|count| *count >= 1));
    one.terminate();
}

#[test]
fn a_stalled_partition_is_reported_and_not_a_failure() {
    let place = Place::new();
    fs::create_dir_all(place.dir("files/.almanac/2")).unwrap();
    fs::write(place.dir("files/partition-2.json"), "{\"partition\":2,\"offset\":40}").unwrap();
    let now = jiff::Timestamp::now();
    let since = now.checked_sub(jiff::SignedDuration::from_secs(9000)).unwrap().to_string();
    // As a former version wrote it, without what has come since.
    let said = json!({
        "partition": 2, "topic": "temperatures", "state": "stalled", "offset": 40, "position": 40,
        "high_watermark": 42, "lag": 2, "rate": 0.0, "counted": 0, "duplicates": 0, "rejected": 0, "days": 0,
        "newest": null, "last_durable": null, "stalled_since": since, "checkpoint_seconds": 0.0,
        "owner": {"pid": 1, "host": "weather", "since": since}, "written": now.to_string(),
    });
    fs::write(place.dir("files/.almanac/2/status.json"), said.to_string()).unwrap();
    for format in ["text", "json"] {
        let ended = place.almanac(&["status", "--format", format]).succeeds();
        assert!(ended.stdout.contains("stalled"), "{}", ended.stdout);
        assert!(
            ended.stderr.contains("warning: partition 2 has stalled: no checkpoint for 9"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains(" s, lag 2\nhint: "), "{}", ended.stderr);
    }
}

#[test]
fn a_check_is_that_of_readyz() {
    let place = Place::new();
    let check = ["status", "--check"];
    fs::create_dir_all(place.dir("files")).unwrap();
    place.almanac(&check).fails(1);
    place.produce(&["--days", "50"]);
    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    place.caught_up(kafka(), "files");
    eventually("all of it is known", || place.almanac(&check).run().code == Some(0));
    let ready = place.almanac(&check).succeeds();
    assert!(ready.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ready.stdout);
    assert!(ready.stdout.contains(&format!("0-3: process {} on ", consumer.pid())), "{}", ready.stdout);
    assert_eq!(ready.stderr, "");
    consumer.terminate();
    let stopped = place.almanac(&["status", "--check", "--format", "json"]).fails(1);
    assert!(stopped.stdout.starts_with("{\"partitions\":["), "{}", stopped.stdout);
    assert!(
        stopped.stderr.starts_with(
            "almanac: error: not ready: partition 0: its consumer has stopped; partition 1: its consumer has stopped"
        ),
        "{}",
        stopped.stderr
    );
    place.almanac(&["status"]).succeeds();
    place.almanac(&["status", "--check", "--watch"]).fails(2);
}

#[test]
fn an_unreadable_checkpoint_is_in_the_json_and_a_failure() {
    let place = Place::new();
    fs::create_dir_all(place.dir("files")).unwrap();
    fs::write(place.dir("files/partition-2.json"), "{").unwrap();
    let ended = place.almanac(&["status", "--format", "json"]).fails(5);
    let value: Value = serde_json::from_str(&ended.stdout).unwrap();
    let partition = &value["partitions"][0];
    assert_eq!((&partition["state"], &partition["offset"]), (&json!("unreadable"), &Value::Null));
    assert!(partition["error"].as_str().unwrap().contains("partition-2.json: "), "{partition}");
    assert!(ended.stderr.contains("partition-2.json: "), "{}", ended.stderr);
    place.almanac(&["status", "--watch", "--dir", "nowhere"]).fails(7);
    place.almanac(&["status", "--watch", "0"]).fails(2);
}
