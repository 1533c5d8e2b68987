//! One place for each DIR: decided once for all partitions, whoever races; and months that are in two files.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use almanac::kafka::Admin;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use crate::dashboard::get;
use crate::second_fold::{Fold, encoded_at, read_topic};
use crate::status::assert_documented;
use crate::support::{Place, Raw, eventually, kafka};

const ALL: [&str; 5] = ["consumer", "0", "1", "2", "3"];
const TIMEOUT: Duration = Duration::from_secs(30);

fn empty_topic() -> Place {
    let place = Place::new();
    let admin = Admin::new(&kafka().connection()).unwrap();
    assert!(admin.create(&place.topic, 4, 1, TIMEOUT).unwrap());
    place
}

/// Sends a report of a station to a partition.
fn send(place: &Place, reports: &[(i32, &str, &str)]) {
    for (number, (partition, station, date)) in (0..).zip(reports) {
        let value = encoded_at(station, date, f64::from(number));
        place.send(&[Raw { partition: *partition, key: None, value: Some(&value) }]);
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The file of the topic's place.
fn file(place: &Place) -> PathBuf {
    let id = kafka().describe(&place.topic).unwrap().id;
    place.dir(&format!("files/.almanac/places/{id}.json"))
}

fn station(place: &Place) -> Option<String> {
    let json = json(&fs::read_to_string(file(place)).ok()?);
    Some(json["station"].as_str().unwrap().to_owned())
}

/// `verify` and the second fold agree with the files.
#[track_caller]
fn check(place: &Place, station: &str) {
    let verified = place.almanac(&["verify"]).succeeds();
    let logs = read_topic(&place.brokers, &place.topic, 4);
    for (partition, log) in logs.iter().enumerate() {
        let fold = Fold::of_station(station, log, i64::MAX);
        let number = i32::try_from(partition).unwrap();
        let offset = place.checkpoints("files").iter().find(|file| file.partition == number).unwrap().offset;
        let read = |name: String| fs::read(place.dir("files").join(name)).unwrap();
        fold.compare(&read(format!("partition-{partition}.json")), partition, offset).unwrap();
        fold.compare_rejected(&read(format!("partition-{partition}.rejected.jsonl")), offset).unwrap();
        assert!(
            verified.stdout.contains(&fold.verdict(partition)),
            "{}\n{}",
            verified.stdout,
            fold.verdict(partition)
        );
    }
}

/// Counts all that is there.
fn count(place: &Place, arguments: &[&str]) -> String {
    let mut consumer = place.almanac(&[&ALL[..], arguments].concat()).start();
    place.caught_up(kafka(), "files");
    consumer.terminate().stderr
}

#[test]
fn reports_of_another_station_are_rejected_and_never_duplicates() {
    let place = empty_topic();
    let long = "x".repeat(100).repeat(3);
    let too_long = [encoded_at("", "1990-01-09", 1.0), vec![0x1a, 0xac, 2], long.into_bytes()].concat();
    send(&place, &[(2, "A", "1990-01-01")]);
    place.send(&[Raw { partition: 2, key: None, value: Some(&too_long) }]);
    let mut consumer = place.almanac(&ALL).start();
    eventually("the place is decided", || station(&place).is_some());
    send(
        &place,
        &[
            (2, "B", "1990-01-01"),
            (2, "", "1990-01-02"),
            (2, "A", "1990-01-01"),
            (2, "A", "1990-01-03"),
            (0, "B", "1990-03-01"),
            (0, "A", "1990-03-01"),
        ],
    );
    place.caught_up(kafka(), "files");
    let stderr = consumer.terminate().stderr;
    assert!(stderr.contains("partition 0: the record at offset 0 is rejected (other_station)"), "{stderr}");
    assert!(
        stderr.contains("hint: count them with a --dir and a --group of their own, and --station ID\n"),
        "{stderr}"
    );
    assert_eq!(place.days("files"), 3);
    let rejected = fs::read_to_string(place.dir("files/partition-2.rejected.jsonl")).unwrap();
    let reasons: Vec<Value> = rejected.lines().map(|line| json(line)["reason"].clone()).collect();
    assert_eq!(reasons, ["too_large", "other_station", "other_station"]);
    check(&place, "A");
    // Again from the start.
    place.almanac(&["recover", "--restart"]).succeeds();
    count(&place, &[]);
    check(&place, "A");
    // The others have a DIR of their own.
    let mut other = place.almanac_in("others", &[&ALL[..], &["--station", "B"]].concat()).start();
    place.caught_up(kafka(), "others");
    other.terminate();
    assert_eq!(place.days("others"), 2);
    place.almanac_in("others", &["verify"]).succeeds();
}

#[test]
fn partitions_and_processes_that_race_agree_on_the_place() {
    for _ in 0..4 {
        let place = empty_topic();
        for partition in 0..4 {
            let station = ["A", "B", "", "C"][usize::try_from(partition).unwrap()];
            let month = ["03", "02", "01", "05"][usize::try_from(partition).unwrap()];
            send(&place, &[(partition, station, &format!("1990-{month}-01"))]);
            for other in ["A", "B", "", "C"] {
                send(&place, &[(partition, other, &format!("1990-{month}-02"))]);
            }
        }
        let mut racing: Vec<_> = (0..4)
            .map(|partition: i32| place.almanac(&["consumer", &partition.to_string()]).start())
            .collect();
        place.caught_up(kafka(), "files");
        racing.iter_mut().for_each(|consumer| drop(consumer.terminate()));
        // One of its own, and one in each partition.
        assert_eq!(place.days("files"), 5);
        check(&place, &station(&place).unwrap());
    }
}

#[test]
fn the_place_outlives_a_crash_before_the_first_checkpoint() {
    let place = empty_topic();
    send(&place, &[(2, "A", "1990-01-01"), (2, "B", "1990-01-01")]);
    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3", "--checkpoint-every", "1h"]).start();
    eventually("the place is decided", || station(&place).is_some());
    consumer.kill_9();
    assert_eq!(place.passed("files"), 0, "nothing depends on it yet");
    // Whoever comes first now.
    send(&place, &[(0, "B", "1990-03-01")]);
    count(&place, &[]);
    assert_eq!(station(&place).as_deref(), Some("A"));
    assert_eq!(place.days("files"), 1);
    check(&place, "A");
}

#[test]
fn a_station_can_be_chosen_and_not_changed() {
    let place = empty_topic();
    send(&place, &[(2, "A", "1990-01-01"), (2, "B", "1990-01-02"), (2, "", "1990-01-03")]);
    count(&place, &["--station", "B"]);
    assert_eq!((station(&place).as_deref(), place.days("files")), (Some("B"), 1));
    let before = fs::read(place.dir("files/partition-2.json")).unwrap();
    for (other, shown) in [("A", "station \"A\""), ("", "no station")] {
        let ended = place.almanac(&[&ALL[..], &["--station", other]].concat()).fails(5);
        let dir = place.dir("files");
        let expected = format!(
            "almanac: error: {} counts reports of station \"B\", but `--station` names {shown}\n\
             hint: name another --dir, or leave --station out\n",
            dir.display()
        );
        assert!(ended.stderr.ends_with(&expected), "{}", ended.stderr);
    }
    assert_eq!(fs::read(place.dir("files/partition-2.json")).unwrap(), before);
    count(&place, &["--station", "B"]);
    count(&place, &[]);
    check(&place, "B");
    let ended = place.almanac(&[&ALL[..], &["--station", &"x".repeat(257)]].concat()).fails(2);
    assert!(ended.stderr.contains("it has 257 bytes, and a station ID has at most 256"), "{}", ended.stderr);
}

#[test]
fn a_recreated_topic_decides_again() {
    let place = empty_topic();
    send(&place, &[(2, "A", "1990-01-01")]);
    let mut consumer = place.almanac(&ALL).start();
    place.caught_up(kafka(), "files");
    let former = file(&place);
    let admin = Admin::new(&kafka().connection()).unwrap();
    admin.delete(&place.topic, TIMEOUT).unwrap();
    eventually("the topic can be created again", || {
        admin.create(&place.topic, 4, 1, TIMEOUT).unwrap_or(false)
    });
    send(&place, &[(2, "B", "1990-01-01"), (2, "A", "1990-01-02")]);
    eventually("the new log is counted", || station(&place).is_some() && place.passed("files") == 2);
    consumer.terminate();
    assert_eq!(station(&place).as_deref(), Some("B"));
    assert_ne!(file(&place), former);
    assert!(former.exists(), "the archive has counts of it");
    check(&place, "B");
}

/// A version that knew no stations left no place.
#[test]
fn the_dir_of_a_former_version_has_the_place_of_what_it_counted() {
    for stamped in ["", "A"] {
        let place = empty_topic();
        send(&place, &[(2, stamped, "1990-01-01"), (0, stamped, "1990-03-01")]);
        count(&place, &[]);
        fs::remove_dir_all(place.dir("files/.almanac/places")).unwrap();
        place.almanac(&["verify"]).succeeds();
        send(&place, &[(1, "B", "1990-02-01"), (1, stamped, "1990-02-02")]);
        count(&place, &[]);
        assert_eq!(station(&place).as_deref(), Some(stamped));
        check(&place, stamped);
    }
    // Nothing is left of what was counted.
    let place = empty_topic();
    send(&place, &[(2, "A", "1990-01-01")]);
    count(&place, &[]);
    fs::remove_dir_all(place.dir("files/.almanac/places")).unwrap();
    kafka().delete_records(&place.topic, 2, 1);
    for (arguments, expected) in [(&[][..], ""), (&["--station", "A"], "A")] {
        let mut consumer = place.almanac(&[&ALL[..], arguments].concat()).start();
        eventually("the place is decided", || station(&place).as_deref() == Some(expected));
        consumer.terminate();
        fs::remove_dir_all(place.dir("files/.almanac/places")).unwrap();
    }
}

#[test]
fn a_place_file_that_is_none_is_refused() {
    let place = empty_topic();
    send(&place, &[(2, "A", "1990-01-01")]);
    count(&place, &[]);
    fs::write(file(&place), "{").unwrap();
    let ended = place.almanac(&ALL).fails(5);
    assert!(ended.stderr.contains(".json: EOF while parsing"), "{}", ended.stderr);
    let ended = place.almanac(&["verify"]).run();
    assert_eq!(ended.code, Some(5), "{ended:?}");
}

const MADISON: &str = "USW00014837,20240501,TMAX,151,,,Z,\nUSW00014837,20240601,TMAX,161,,,Z,\n";

#[test]
fn the_producer_stamps_reports_and_refuses_other_places() {
    let place = Place::new();
    fs::write(place.dir("madison.csv"), MADISON).unwrap();
    fs::write(place.dir("midway.csv"), MADISON.replace("14837", "14819")).unwrap();
    fs::write(place.dir("garden.csv"), "day,max\n2024-07-01,20.5\n").unwrap();
    let garden = ["--file", "garden.csv", "--date-column", "day", "--degrees-column", "max", "--unit", "c"];
    let produce = |arguments: &[&str]| place.almanac(&[&["producer", "--interval", "0"], arguments].concat());

    let ended = produce(&["--file", "madison.csv", "midway.csv"]).fails(3);
    let expected = "the files hold several places: station \"USW00014837\" in madison.csv, station \"USW00014819\" in \
                    midway.csv\nhint: send each place to a topic of its own, or add `--station-id ID` if all are of one \
                    place\n";
    assert!(ended.stderr.ends_with(expected), "{}", ended.stderr);
    assert!(kafka().describe(&place.topic).is_none(), "nothing was created");

    produce(&["--file", "madison.csv"]).succeeds();
    let ended = produce(&["--append", "--file", "midway.csv"]).fails(2);
    let expected = format!(
        "topic {} holds reports of station \"USW00014837\", and these are of station \"USW00014819\"\n\
         hint: name another --topic, or add --station-id USW00014837 if the days are of that place\n",
        place.topic
    );
    assert!(ended.stderr.ends_with(&expected), "{}", ended.stderr);
    let ended = produce(&[&["--append"], &garden[..]].concat()).fails(2);
    assert!(ended.stderr.contains(", and these are of no station\n"), "{}", ended.stderr);
    let ended = produce(&["--append", "--days", "3"]).fails(2);
    assert!(ended.stderr.contains(", and these are of no station\n"), "{}", ended.stderr);
    assert_eq!(kafka().records(&place.topic), 2);
    // The same station in two formats, and a file of which the user knows the station.
    produce(&["--append", "--file", "madison.csv"]).succeeds();
    assert_eq!(kafka().records(&place.topic), 2);
    produce(&[&["--append", "--station-id", "USW00014837"], &garden[..]].concat()).succeeds();
    assert_eq!(kafka().records(&place.topic), 3);
    count(&place, &[]);
    assert_eq!((place.days("files"), station(&place).as_deref()), (3, Some("USW00014837")));

    // A topic of a former version, or of synthetic weather.
    produce(&["--file", "madison.csv", "--station-id", ""]).succeeds();
    let ended = produce(&["--append", "--file", "madison.csv"]).fails(2);
    assert!(
        ended.stderr.contains("holds reports of no station, and these are of station"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("add --station-id '' if the days"), "{}", ended.stderr);
    produce(&["--append", "--file", "midway.csv", "--station-id", ""]).succeeds();
}

#[test]
fn the_name_and_the_source_come_with_the_reports() {
    let place = Place::new();
    fs::write(place.dir("madison.csv"), MADISON).unwrap();
    let name = "Madison, <b>Wisconsin</b>";
    place.produce(&["--file", "madison.csv", "--place", name]);
    let status = || json(&place.almanac(&["status", "--format", "json"]).succeeds().stdout);
    for codec in ["none", "zstd"] {
        let mut consumer = place.almanac(&["consumer"]).start();
        place.caught_up(kafka(), "files");
        eventually("the name is kept", || status()["place"]["name"] == name);
        consumer.terminate();
        let found = status()["place"].clone();
        assert_documented(&found);
        assert_eq!(found["station"], "USW00014837");
        assert_eq!(found["source"], "NOAA GHCN-Daily");
        assert_eq!(found["licence"], "public domain");
        let text = place.almanac(&["status"]).succeeds().stdout;
        let expected = format!("{name} (USW00014837); NOAA GHCN-Daily, public domain\nPARTITION ");
        assert!(text.starts_with(&expected), "{text}");
        // Compressed from the start, and read by another reader.
        fs::remove_dir_all(place.dir("files")).unwrap();
        place.produce(&[
            "--file",
            "madison.csv",
            "--place",
            name,
            "-X",
            &format!("compression.type={codec}"),
        ]);
    }
    count(&place, &[]);
    let dashboard = place.almanac(&["dashboard", "--listen", "127.0.0.1:0"]).start();
    let line = dashboard.stderr_line_with("http://");
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().trim().to_owned();
    let api = || json(&get(&address, "/api/partitions").text());
    assert_eq!(api()["place"]["name"], name);
    // Each picture names both. The page says it once, and its pictures need not.
    let is_named = |picture: &str| {
        [">Madison, &lt;b&gt;Wisconsin&lt;/b&gt;<", "https://doi.org/10.7289/V5D21VHZ"]
            .map(|text| picture.contains(text))
    };
    for path in ["/month.svg", "/plot/year.svg", "/plot/heatmap.svg"] {
        assert_eq!(is_named(&get(&address, path).text()), [true, true], "{path}");
    }
    assert_eq!(is_named(&get(&address, "/plot/year.svg?bare=").text()), [false, false]);
    let drawn = place.almanac(&["plot", "-o", "-"]).succeeds().stdout;
    assert_eq!(is_named(&drawn), [true, true], "{drawn}");
    let text = place.almanac(&["plot", "--format", "text"]).succeeds().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], name);
    assert_eq!(
        *lines.last().unwrap(),
        "GHCN-Daily, NOAA NCEI, https://doi.org/10.7289/V5D21VHZ (public domain)",
        "{text}"
    );
    // Corrected later, with a day that is new; the dashboard sees it by itself.
    fs::write(place.dir("more.csv"), MADISON.replace("2024", "2023")).unwrap();
    place.produce(&["--append", "--file", "more.csv", "--place", "Madison"]);
    count(&place, &[]);
    eventually("the new name is there", || api()["place"]["name"] == "Madison");
    drop(dashboard);
}

#[test]
fn a_hostile_header_is_harmless() {
    let place = empty_topic();
    let client: BaseProducer = ClientConfig::new().set("bootstrap.servers", &place.brokers).create().unwrap();
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(100_000));
    let name = format!("{{\"station\":\"A\",\"name\":\"\\u001b[2J{}\",\"latitude\":1e300}}", "é".repeat(600));
    for (day, header) in (1..).zip([
        "",
        "{",
        "[]",
        "{\"station\":7}",
        &long,
        "{\"station\":\"B\",\"name\":\"other\"}",
        &name,
        "{\"name\":\"without a station\"}",
    ]) {
        let value = encoded_at("A", &format!("1990-01-{day:02}"), 1.0);
        for key in ["other", "almanac-place"] {
            let headers = OwnedHeaders::new()
                .insert(Header { key: "trace", value: None::<&[u8]> })
                .insert(Header { key, value: Some(header) });
            let record =
                BaseRecord::<[u8], [u8]>::to(&place.topic).partition(2).payload(&value).headers(headers);
            client.send(record).map_err(|(error, _)| error).unwrap();
        }
        // A batch of its own, as that of a producer of one place.
        client.flush(TIMEOUT).unwrap();
    }
    assert_eq!(count(&place, &[]), "");
    assert_eq!(place.days("files"), 8);
    let status = json(&place.almanac(&["status", "--format", "json"]).succeeds().stdout);
    let name = status["place"]["name"].as_str().unwrap();
    assert_eq!((name.chars().count(), name.contains('\u{1b}')), (500, false));
    assert_eq!((&status["place"]["station"], &status["place"]["latitude"]), (&json!("A"), &Value::Null));
    assert!(fs::metadata(file(&place)).unwrap().len() < 4096);
    check(&place, "A");
}

/// As another writer with another partitioner makes it.
#[test]
fn a_day_that_is_counted_in_two_files_is_reported() {
    let place = empty_topic();
    let days = [(2, "", "1990-01-16"), (2, "", "1990-01-17"), (0, "", "1990-01-17"), (0, "", "1990-01-18")];
    send(&place, &days);
    let twice = "1990-01-17 is counted in partitions 0 and 2 (1 month in two files, 1 day counted twice); probably another \
                 producer uses another partitioner, such as consistent_random";
    // In one process, and in two.
    for split in [&[&["0", "1", "2", "3"][..]][..], &[&["0", "1"], &["2", "3"]]] {
        let mut consumers: Vec<_> =
            split.iter().map(|named| place.almanac(&[&["consumer"], *named].concat()).start()).collect();
        place.caught_up(kafka(), "files");
        for consumer in &consumers {
            consumer.stderr_line_with(twice);
        }
        for consumer in &mut consumers {
            let stderr = consumer.terminate().stderr;
            assert_eq!(stderr.matches("is counted in partitions").count(), 1, "{stderr}");
            assert!(stderr.contains("hint: set partitioner=murmur2_random in that producer"), "{stderr}");
        }
    }
    for named in [&["verify"][..], &["verify", "2"]] {
        let ended = place.almanac(named).fails(1);
        assert!(ended.stderr.contains(&format!("almanac: error: {twice}")), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: set partitioner=murmur2_random"), "{}", ended.stderr);
        assert!(ended.stdout.contains(", the same\n"), "{}", ended.stdout);
    }
    place.almanac(&["verify", "1"]).succeeds();
    let ended = place.almanac(&["verify", "--format", "json"]).fails(1);
    let expected = json!({"months": 1, "days": 1, "first": {
        "month": "January", "year": 1990, "partitions": [0, 2], "day": "1990-01-17",
    }});
    assert_eq!(json(&ended.stdout)["split"], expected);
    let ended = place.almanac(&["status", "--format", "json"]).succeeds();
    assert_eq!(json(&ended.stdout)["split"], expected);
    assert_documented(&json(&ended.stdout)["split"]);
    assert_documented(&json(&ended.stdout)["split"]["first"]);
    assert!(ended.stderr.contains(&format!("warning: {twice}")), "{}", ended.stderr);
}

#[test]
fn a_month_that_is_only_split_is_warned_of() {
    let place = empty_topic();
    send(&place, &[(2, "", "1990-01-16"), (0, "", "1990-01-17"), (1, "", "1991-01-17")]);
    let stderr = count(&place, &[]);
    let split = "January 1990 is in partitions 0 and 2 (1 month in two files, 0 days counted twice); probably another producer";
    assert!(stderr.contains(split), "{stderr}");
    let ended = place.almanac(&["verify"]).succeeds();
    assert!(ended.stderr.contains(&format!("warning: {split}")), "{}", ended.stderr);
}
