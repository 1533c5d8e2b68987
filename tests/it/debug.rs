//! `debug`: what comes from now on, and nothing else.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::status::assert_documented;
use crate::support::{
    Kafka, Place, Raw, Running, eventually, eventually_or, free_address, has_program, kafka,
};

const PARTITIONS: [i32; 4] = [0, 1, 2, 3];

/// A day of a year that no other test of these sends.
fn day_of(year: u16) -> Vec<u8> {
    [b"\x0a\x0a", format!("{year:04}-12-26").as_bytes(), b"\x11", &31.5235_f64.to_le_bytes()].concat()
}

/// Sends a day of `year` to every partition again and again, until `debug` has shown one of each: it may not say
/// when it has begun to read.
fn shows_all_partitions(place: &Place, debug: &Running, year: u16) {
    let value = day_of(year);
    let records = PARTITIONS.map(|partition| Raw { partition, key: Some(b"December"), value: Some(&value) });
    eventually("debug shows records of all partitions", || {
        place.send(&records);
        let stdout = debug.stdout();
        PARTITIONS.iter().all(|partition| stdout.contains(&line_of(*partition, year)))
    });
}

fn line_of(partition: i32, year: u16) -> String {
    format!(
        "{{'partition': {partition}, 'key': 'December', 'date': '{year:04}-12-26', 'degrees': 31.5235}}\n"
    )
}

/// Each line as Python reads it, if there is a Python.
fn literals(lines: &str) -> Option<Vec<Value>> {
    const READER: &str = "import ast, json, sys\n\
        for line in sys.stdin: print(json.dumps(ast.literal_eval(line), default=repr))";
    if !has_program("python3") {
        return None;
    }
    let mut python = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    Some(stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn committed(place: &Place, group: &str) -> Vec<Offset> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &place.brokers).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&place.topic, 0, 3);
    let offsets = consumer.committed_offsets(list, std::time::Duration::from_secs(10)).unwrap();
    offsets.elements().iter().map(|element| element.offset()).collect()
}

#[test]
fn new_records_are_shown_as_python_dicts() {
    let place = Place::new();
    place.produce(&["--days", "500"]);
    let mut debug = place.almanac(&["debug"]).start();
    shows_all_partitions(&place, &debug, 2500);
    assert!(!debug.stdout().contains("'1990-"), "what was there before is not shown");

    place.send(&[
        Raw { partition: 1, key: None, value: Some(b"no report") },
        Raw { partition: 1, key: Some(b"it's \xff"), value: None },
        Raw { partition: 1, key: Some("\u{e9}'\n".as_bytes()), value: Some(b"") },
    ]);
    let rejected = "{'partition': 1, 'key': None, 'error': 'malformed_protobuf', 'value': 'bm8gcmVwb3J0'}\n\
                    {'partition': 1, 'key': b'it\\'s \\xff', 'error': 'no_value', 'value': None}\n\
                    {'partition': 1, 'key': \"\u{e9}'\\n\", 'error': 'invalid_date', 'value': ''}\n";
    eventually("the records that are no reports are shown", || debug.stdout().contains(rejected));
    shows_all_partitions(&place, &debug, 2501);

    assert_eq!(committed(&place, "debug"), [Offset::Invalid; 4], "nothing is committed");
    debug.signal(Signal::INT);
    let ended = debug.ended();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr, "", "the first output is a record");
    assert_eq!(committed(&place, "debug"), [Offset::Invalid; 4], "nor at the end");

    // Every line is a literal, and those of reports have just this form.
    let reports = ended.stdout.replacen(rejected, "", 1);
    let forms: Vec<String> =
        [2500, 2501].iter().flat_map(|year| PARTITIONS.map(|partition| line_of(partition, *year))).collect();
    for line in reports.split_inclusive('\n') {
        assert!(forms.iter().any(|form| form == line), "{line}");
    }
    if let Some(literals) = literals(&ended.stdout) {
        assert_eq!(literals.len(), ended.stdout.lines().count());
        let report = json!({"partition": 2, "key": "December", "date": "2500-12-26", "degrees": 31.5235});
        assert!(literals.contains(&report));
    }

    // A second start replays nothing of all that.
    let mut again = place.almanac(&["debug"]).start();
    shows_all_partitions(&place, &again, 2502);
    for line in again.terminate().stdout.lines() {
        assert!(line.contains("'date': '2502-12-26'"), "{line}");
    }
}

#[test]
fn json_and_a_reader_that_goes_away() {
    let place = Place::new();
    place.produce(&["--days", "1"]);
    let mut debug = place.almanac(&["debug", "--format", "json", "--group", "debug-json"]).start_piped();
    let mut reader = BufReader::new(debug.stdout.take().unwrap());
    let value = day_of(2500);
    let records = PARTITIONS.map(|partition| Raw { partition, key: Some(b"December"), value: Some(&value) });
    let sending = std::thread::scope(|scope| {
        let first = scope.spawn(move || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            // The reader is dropped with this thread, as head -1 goes away.
            line
        });
        eventually("debug shows a record", || {
            place.send(&records);
            first.is_finished()
        });
        first.join().unwrap()
    });
    let shown: Value = serde_json::from_str(&sending).unwrap();
    assert!(PARTITIONS.map(Value::from).contains(&shown["partition"]), "{shown}");
    assert_eq!(shown["date"], "2500-12-26");
    assert_eq!(shown["degrees"], 31.5235);
    assert!(shown["offset"].as_i64().is_some_and(|offset| offset >= 0), "{shown}");
    assert_eq!(shown.as_object().unwrap().len(), 6);
    assert_documented(&shown);
    let mut status = None;
    eventually("debug ends with its reader", || {
        place.send(&records);
        status = debug.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
}

#[test]
fn what_the_topic_holds_is_shown_from_its_beginning() {
    let place = Place::new();
    let began = jiff::Timestamp::now();
    place.produce(&["--days", "300"]);
    let records = kafka().records(&place.topic);
    let all = ["debug", "--from-beginning", "-n", &records.to_string(), "--format", "json"];
    let ended = place.almanac(&all).succeeds();
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(i64::try_from(lines.len()).unwrap(), records);
    let mut next_offsets = [0; 4];
    for line in &lines {
        let partition = usize::try_from(line["partition"].as_u64().unwrap()).unwrap();
        assert_eq!(line["offset"], next_offsets[partition], "{line}");
        next_offsets[partition] += 1;
        let time: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
        let skew = jiff::SignedDuration::from_millis(5);
        assert!(began.checked_sub(skew).unwrap() <= time && time <= jiff::Timestamp::now(), "{line}");
    }
    // Whoever compresses, and by librdkafka, which alone knows of this property.
    place.produce(&["--days", "300", "--append", "-X", "compression.type=lz4"]);
    for more in [&[][..], &["-X", "broker.address.family=any"]] {
        let named =
            ["debug", "--partition", "2", "0", "--from-beginning", "--count", "9", "--format", "json"];
        let ended = place.almanac(&[&named[..], more].concat()).succeeds();
        assert_eq!((ended.stdout.lines().count(), ended.stderr.as_str()), (9, ""));
        for line in ended.stdout.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert!(line["partition"] == 0 || line["partition"] == 2, "{line}");
            let known = lines.iter().find(|known| {
                (&known["partition"], &known["offset"]) == (&line["partition"], &line["offset"])
            });
            assert_eq!(Some(&line), known);
        }
    }
    kafka().delete_records(&place.topic, 1, 5);
    for more in [&[][..], &["-X", "broker.address.family=any"]] {
        let first = ["debug", "-p1", "--from-beginning", "-n1", "--format", "json"];
        let ended = place.almanac(&[&first[..], more].concat()).succeeds();
        assert!(ended.stdout.starts_with("{\"partition\":1,\"offset\":5,"), "{}", ended.stdout);
    }
    let ended = place.almanac(&["debug", "-p3", "--from-beginning", "-n1"]).succeeds();
    assert!(ended.stdout.starts_with("{'partition': 3, 'key': "), "{}", ended.stdout);
    let ended = place.almanac(&["debug", "--partition", "0", "4"]).fails(2);
    let refused = format!("almanac: error: topic {} has partitions 0 to 3, not 4\n", place.topic);
    assert!(ended.stderr.starts_with(&refused), "{}", ended.stderr);
    place.almanac(&["debug", "-p0", "0"]).fails(2);
    place.almanac(&["debug", "-n0"]).fails(2);
}

#[test]
fn named_partitions_are_waited_for_and_read_from_their_end() {
    let place = Place::new();
    let mut debug = place.almanac(&["debug", "--partition", "0,1,2,3"]).start();
    debug.stderr_line_with(&format!("topic {} is not there; waiting for it", place.topic));
    place.produce(&["--days", "50"]);
    debug.stderr_line_with(&format!("reading topic {}", place.topic));
    shows_all_partitions(&place, &debug, 2500);
    assert_eq!(debug.terminate().code, Some(0));
}

#[test]
fn each_wait_is_reported_once() {
    let address = free_address();
    let place = Place::at(&address);
    let mut debug = place.almanac(&["debug"]).start();
    let is_said = |what: &str, times: usize| {
        eventually_or(what, || debug.stderr(), || debug.stderr().matches(what).count() >= times);
    };
    let refused = "Connection refused";
    let away = format!("almanac: warning: Kafka does not answer at {address}; waiting for it ({refused})\n");
    is_said(&away, 1);
    let mut kafka = Kafka::start_at(&address, &[]);
    is_said(&format!("almanac: warning: topic {} is not there; waiting for it\n", place.topic), 1);
    place.produce(&["--days", "1"]);
    shows_all_partitions(&place, &debug, 2500);
    let reads = format!("almanac: reading topic {}\n", place.topic);
    is_said(&reads, 1);
    kafka.kill_9();
    is_said("Connection refused", 2);
    kafka.start_again();
    shows_all_partitions(&place, &debug, 2501);
    is_said(&reads, 2);
    let ended = debug.terminate();
    assert_eq!(
        (ended.code, ended.stderr.matches("Kafka does not answer").count()),
        (Some(0), 2),
        "{}",
        ended.stderr
    );
}
