//! Records that almanac's own producer would never write: rejected, aborted, or not yet committed.

use std::fs;
use std::time::Duration;

use almanac::kafka::Admin;
use almanac::report::Report;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::date;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use crate::dashboard::get;
use crate::support::{Place, Raw, eventually, kafka};

const PARTITION: i32 = 2;
const TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn rejected_records_are_kept_once_each_and_passed() {
    let place = Place::new();
    create(&place);
    // In small batches, so that there are moments enough to be killed at.
    let client = client(&[("batch.num.messages", "10")]);
    let mut expected = Vec::new();
    let mut offset = 0;
    let mut produce = |key: Option<&[u8]>, value: Option<&[u8]>, reason: Option<&str>| {
        send(&client, &place, key, value);
        if let Some(reason) = reason {
            let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
            expected.push(json!({
                "offset": offset, "reason": reason, "key": key.map(base64), "value": value.map(base64),
            }));
        }
        offset += 1;
    };
    let month = Some(&b"June"[..]);
    for day in 1..=200_i16 {
        let date = date(1990, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
        produce(month, Some(&Report { date, degrees: f64::from(day) }.encode()), None);
        produce(month, None, Some("no_value"));
        produce(None, None, Some("no_value"));
        produce(Some(b"\xff\xfe"), Some(b"\xffnot protobuf"), Some("malformed_protobuf"));
        produce(month, Some(b""), Some("invalid_date"));
        produce(month, Some(&encoded("1990-02-30", 1.0)), Some("invalid_date"));
        produce(month, Some(&encoded("19900203", 1.0)), Some("invalid_date"));
        produce(month, Some(&encoded("0000-01-01", 1.0)), Some("invalid_date"));
        produce(month, Some(&encoded("1990-02-03", f64::NAN)), Some("invalid_degrees"));
        produce(month, Some(&encoded("1990-02-03", f64::INFINITY)), Some("invalid_degrees"));
        produce(month, Some(&encoded("1990-02-03", f64::NEG_INFINITY)), Some("invalid_degrees"));
        produce(month, Some(&encoded("1990-02-03", 1.1e9)), Some("invalid_degrees"));
    }
    client.flush(TIMEOUT).unwrap();

    let consumer = ["consumer", "2", "--checkpoint-every", "1ms", "-X", "fetch.message.max.bytes=500"];
    for kill in 1..=10 {
        let mut running = place.almanac(&consumer).start();
        eventually("the consumer goes on", || place.passed("files") >= offset * kill / 12);
        running.kill_9();
    }
    let mut consumer = place.almanac(&consumer).start();
    eventually("every record is passed", || {
        place.passed("files") == offset && place.owned_by(&consumer, "files") == 1
    });
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    assert_eq!(rejected(&place), expected);
    assert_eq!(place.days("files"), 200);
}

/// As Confluent's serialisers write values for a Schema Registry: behind a zero byte, a schema id and the indexes of the
/// message's type.
#[test]
fn schema_registry_framing_is_read() {
    let place = Place::new();
    create(&place);
    let client = client(&[]);
    let frames: [&[u8]; 3] = [b"\0\0\0\0\x07\0", b"\0\0\x01\x86\xa1\x02\0", b"\0\0\0\0\x07\x04\x02\x06"];
    let first = date(1990, 6, 1);
    let days = 300;
    for day in 0..days {
        let date = first.checked_add(jiff::Span::new().days(day)).unwrap();
        let report = Report { date, degrees: f64::from(i16::try_from(day).unwrap()) }.encode();
        let frame = frames[usize::try_from(day).unwrap() % frames.len()];
        send(&client, &place, Some(b"June"), Some(&[frame, &report].concat()));
        if day % 10 == 0 {
            send(&client, &place, Some(b"June"), Some(&report));
        }
    }
    let cut: &[u8] = b"\0\0\0\0\x07\x02";
    let empty: &[u8] = b"\0\0\0\0\x07\0";
    for value in [cut, empty] {
        send(&client, &place, None, Some(value));
    }
    client.flush(TIMEOUT).unwrap();

    place.replay(kafka(), "files");
    assert_eq!(place.days("files"), 300);
    let rejects: Vec<_> =
        rejected(&place).iter().map(|entry| (entry["offset"].clone(), entry["reason"].clone())).collect();
    assert_eq!(
        rejects,
        [(json!(330), json!("malformed_protobuf")), (json!(331), json!("invalid_date"))],
        "only values without a report behind the frame"
    );
    let verify = place.almanac(&["verify", "2"]).succeeds();
    assert!(
        verify.stdout.contains("332 records = 300 counted + 30 duplicates + 2 rejected, the same"),
        "{}",
        verify.stdout
    );

    // The dates that are there already are read as well, and nothing is sent again.
    let last = first.checked_add(jiff::Span::new().days(days - 1)).unwrap();
    let append = place
        .almanac(&["producer", "--append", "--start", "1990-06-01", "--days", "1", "--interval", "0"])
        .succeeds();
    assert!(append.stderr.contains(&format!("newest {last}")), "{}", append.stderr);
    assert!(append.stderr.contains("sent 1 days"), "{}", append.stderr);

    let debug = place.almanac(&["debug"]).start();
    let report = Report { date: date(2000, 12, 26), degrees: 31.5235 }.encode();
    let framed = [frames[0], &report].concat();
    eventually("debug shows what is behind the frame", || {
        send(&client, &place, Some(b"December"), Some(&framed));
        client.flush(TIMEOUT).unwrap();
        let line = "{'partition': 2, 'key': 'December', 'date': '2000-12-26', 'degrees': 31.5235}";
        debug.stdout().contains(line)
    });
}

#[test]
fn aborted_records_do_not_count_and_the_offset_passes_what_marks_them() {
    let place = Place::new();
    create(&place);
    let client = client(&[("transactional.id", &place.topic)]);
    client.init_transactions(TIMEOUT).unwrap();
    let mut consumer = place.almanac(&["consumer", "2"]).start();
    let report = |day: i8, degrees: f64| Report { date: date(1990, 4, day), degrees }.encode();
    for day in 1..=10 {
        client.begin_transaction().unwrap();
        send(&client, &place, None, Some(&report(day, 1e6)));
        send(&client, &place, None, Some(b"\xffgarbage that was taken back"));
        client.flush(TIMEOUT).unwrap();
        client.abort_transaction(TIMEOUT).unwrap();
        client.begin_transaction().unwrap();
        send(&client, &place, None, Some(&report(day, 1.5)));
        client.commit_transaction(TIMEOUT).unwrap();
    }
    // Per day two aborted records, one that counts, and a marker for each of the transactions.
    eventually("the last marker is passed", || place.passed("files") == 50);

    client.begin_transaction().unwrap();
    send(&client, &place, None, Some(&report(11, 2.5)));
    client.flush(TIMEOUT).unwrap();
    client.abort_transaction(TIMEOUT).unwrap();
    // Nothing but aborted records up to the end.
    eventually("the last marker is passed", || place.passed("files") == 52);
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    assert_eq!(rejected(&place), Vec::<Value>::new());
    let checkpoint = &place.checkpoints("files")[0];
    let cells: Vec<_> = checkpoint.statistics.cells().collect();
    assert_eq!(cells.len(), 1);
    assert_eq!((cells[0].2.count(), cells[0].2.sum(), cells[0].2.max()), (10, 15.0, 1.5));
}

#[test]
fn an_open_transaction_is_waited_for() {
    let place = Place::new();
    create(&place);
    // By default Kafka takes it back after a minute.
    let client = client(&[("transactional.id", &place.topic), ("transaction.timeout.ms", "600000")]);
    client.init_transactions(TIMEOUT).unwrap();
    client.begin_transaction().unwrap();
    send(&client, &place, None, Some(&Report { date: date(1990, 4, 1), degrees: 1.0 }.encode()));
    client.flush(TIMEOUT).unwrap();
    // Behind it in the log, and not part of it.
    let other = self::client(&[]);
    send(&other, &place, None, Some(&Report { date: date(1990, 4, 2), degrees: 2.0 }.encode()));
    other.flush(TIMEOUT).unwrap();
    let mut consumer = place.almanac(&["consumer", "2"]).start();
    let status = place.dir("files/.almanac/2/status.json");
    eventually("the consumer has looked at the log", || {
        fs::read_to_string(&status).is_ok_and(|status| status.contains("\"high_watermark\":"))
            && !fs::read_to_string(&status).unwrap().contains("\"high_watermark\":null")
    });
    assert_eq!((place.passed("files"), place.days("files")), (0, 0), "nothing is committed yet");
    eventually("the cause is said", || {
        let status = place.almanac(&["status"]).succeeds();
        status
            .stderr
            .contains("an open transaction holds back the records from offset 0 on (the log ends at 2)")
    });
    client.commit_transaction(TIMEOUT).unwrap();
    eventually("both days are counted", || place.days("files") == 2 && place.passed("files") == 3);
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
}

fn create(place: &Place) {
    let admin = Admin::new(&kafka().connection()).unwrap();
    assert!(admin.create(&place.topic, 4, 1, TIMEOUT).unwrap());
}

fn client(properties: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka().bootstrap).set("enable.idempotence", "true");
    for (key, value) in properties {
        config.set(*key, *value);
    }
    config.create().unwrap()
}

fn send(client: &BaseProducer, place: &Place, key: Option<&[u8]>, value: Option<&[u8]>) {
    let mut record = BaseRecord::<[u8], [u8]>::to(&place.topic).partition(PARTITION);
    record.key = key;
    record.payload = value;
    client.send(record).map_err(|(error, _)| error).unwrap();
}

/// A `Report` in protobuf, built byte by byte, for values that no valid report encodes to.
fn encoded(date: &str, degrees: f64) -> Vec<u8> {
    let mut bytes = vec![0x0a, date.len() as u8];
    bytes.extend(date.as_bytes());
    bytes.push(0x11);
    bytes.extend(degrees.to_le_bytes());
    bytes
}

/// Records that are no reports, in partitions 0 and 2.
fn send_rejected(place: &Place) {
    let record = |partition| Raw { partition, key: None, value: Some(b"no report") };
    place.send(&[record(0), record(2), record(2)]);
}

#[test]
fn the_first_rejected_record_of_a_run_is_warned_of_once_for_each_partition() {
    let place = Place::new();
    create(&place);
    let warnings = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains(" is rejected ("));
        lines.map(|line| line.split(" is rejected").next().unwrap().to_owned()).collect()
    };
    for run in 0..2 {
        let arguments = ["consumer", "0", "2", "--metrics", "127.0.0.1:0", "--checkpoint-every", "1ms"];
        let mut consumer = place.almanac(&arguments).start();
        let line = consumer.stderr_line_with("metrics at http://");
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let metrics = |partition: i32| {
            let sample = format!(
                "almanac_rejected_records_total{{topic=\"{}\",partition=\"{partition}\"}} ",
                place.topic
            );
            let text = get(&address, "/metrics").text();
            text.lines().find_map(|line| line.strip_prefix(&sample)?.parse::<usize>().ok())
        };
        for sent in 1..=2 {
            send_rejected(&place);
            let all = run * 2 + sent;
            eventually("the metrics have what the files have", || {
                metrics(0) == Some(all) && metrics(2) == Some(2 * all) && rejected(&place).len() == 2 * all
            });
        }
        let mut found = warnings(&consumer.terminate().stderr);
        found.sort();
        let (first, second) = (run * 2, run * 4);
        assert_eq!(
            found,
            [
                format!("almanac: warning: partition 0: the record at offset {first}"),
                format!("almanac: warning: partition 2: the record at offset {second}"),
            ]
        );
    }
    let ended = place.almanac(&["status", "--format", "json"]).succeeds();
    let warning = "partition 2: all 8 records that its consumer has read are rejected, the first as \
                   malformed_protobuf\nhint: read the reasons in partition-2.rejected.jsonl\n";
    assert!(ended.stderr.contains(warning), "{}", ended.stderr);
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let expected = json!({"records": 8, "first_reason": "malformed_protobuf"});
    assert_eq!(json["partitions"][1]["all_rejected"], expected, "{json}");
}

/// The status is written more often than checkpoints are: it must not be ahead of the file.
#[test]
fn no_status_has_more_rejected_records_than_the_file() {
    let place = Place::new();
    create(&place);
    let mut consumer = place.almanac(&["consumer", "2", "--checkpoint-every", "4s"]).start();
    let status = || -> Option<Value> {
        serde_json::from_slice(&fs::read(place.dir("files/.almanac/2/status.json")).ok()?).ok()
    };
    eventually("the partition is taken", || status().is_some());
    send_rejected(&place);
    let total = || status().unwrap()["rejected_total"].as_u64().unwrap();
    eventually("a status has the records that are not durable yet", || {
        let (told, found) = (total(), rejected(&place).len() as u64);
        assert!(told <= found, "{told} of {found}");
        status().unwrap()["position"] == 2
    });
    eventually("they are durable", || total() == 2);
    assert_eq!(rejected(&place).len(), 2);
    consumer.terminate();
}

fn rejected(place: &Place) -> Vec<Value> {
    let lines = fs::read_to_string(place.dir("files/partition-2.rejected.jsonl")).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_compression_is_read() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let place = Place::new();
        place.produce(&["--days", "400", "-X", &format!("compression.type={codec}")]);
        let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
        place.caught_up(kafka(), "files");
        assert_eq!(consumer.terminate().stderr, "", "{codec}");
        assert_eq!(place.days("files"), 400, "{codec}");
    }
}
