//! The fold a second time, written another way, so that a mistake in the first has to be made twice to stay unseen.
//!
//! It uses no code of the library: it reads the log through a plain consumer, and decodes protobuf and dates itself.
//! It computes each month from the first reports of its days, instead of carrying statistics along.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::{Map, Value, json};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

impl Record {
    pub fn of(message: &impl Message) -> Record {
        Record { key: message.key().map(<[u8]>::to_vec), value: message.payload().map(<[u8]>::to_vec) }
    }
}

/// The committed records of one partition, by offset.
pub type Log = BTreeMap<i64, Record>;

/// Reads all of a topic that is not written to meanwhile.
pub fn read_topic(brokers: &str, topic: &str, partitions: i32) -> Vec<Log> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "second-fold")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut logs = vec![Log::new(); usize::try_from(partitions).unwrap()];
    let mut unfinished: Vec<i32> = (0..partitions).collect();
    let mut heard = Instant::now();
    while !unfinished.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let log = &mut logs[usize::try_from(message.partition()).unwrap()];
                log.insert(message.offset(), Record::of(&message));
            }
            Some(Err(KafkaError::PartitionEOF(ended))) => unfinished.retain(|partition| *partition != ended),
            // A new client does not know a new topic yet.
            Some(Err(KafkaError::MessageConsumption(
                Code::UnknownTopicOrPartition | Code::NotLeaderForPartition,
            )))
            | None => {
                assert!(heard.elapsed() < Duration::from_secs(60), "partitions {unfinished:?} say nothing");
                continue;
            }
            Some(Err(error)) => panic!("{topic} can't be read: {error}"),
        }
        heard = Instant::now();
    }
    logs
}

/// A day as year, month and day of the month.
type Day = (u16, u8, u8);

/// The result of the records so far.
#[derive(Debug, Default)]
pub struct Fold {
    /// The first report of each day, with its offset.
    days: BTreeMap<Day, (i64, f64)>,
    rejected: Vec<Value>,
    records: usize,
    /// The station that is counted; without one, the first valid report decides.
    station: Option<String>,
}

impl Fold {
    /// The fold of all records below `end`.
    pub fn of(log: &Log, end: i64) -> Fold {
        let mut fold = Fold::default();
        log.range(..end).for_each(|(offset, record)| fold.take(*offset, record));
        fold
    }

    /// The same of the reports of one station.
    pub fn of_station(station: &str, log: &Log, end: i64) -> Fold {
        let mut fold = Fold { station: Some(station.to_owned()), ..Fold::default() };
        log.range(..end).for_each(|(offset, record)| fold.take(*offset, record));
        fold
    }

    pub fn take(&mut self, offset: i64, record: &Record) {
        self.records += 1;
        let counted = report(record.value.as_deref()).and_then(|(day, degrees, station)| {
            let is_counted = *self.station.get_or_insert_with(|| station.clone()) == station;
            if is_counted { Ok((day, degrees)) } else { Err("other_station") }
        });
        match counted {
            Ok((day, degrees)) => {
                self.days.entry(day).or_insert((offset, degrees));
            }
            Err(reason) => self.rejected.push(json!({
                "offset": offset,
                "reason": reason,
                "key": record.key.as_deref().map(base64),
                "value": record.value.as_deref().map(base64),
            })),
        }
    }

    pub fn counted(&self) -> usize {
        self.days.len()
    }

    pub fn rejected(&self) -> usize {
        self.rejected.len()
    }

    pub fn duplicates(&self) -> usize {
        self.records - self.counted() - self.rejected()
    }

    /// The line of `verify` for a partition that agrees with this fold.
    pub fn verdict(&self, partition: usize) -> String {
        let (counted, duplicates, rejected) = (self.counted(), self.duplicates(), self.rejected());
        format!(
            "partition {partition}: {} records = {counted} counted + {duplicates} duplicates + {rejected} rejected, the same",
            self.records
        )
    }

    /// Holds a checkpoint's bytes against the fold up to its offset; the first difference, if any.
    pub fn compare(&self, file: &[u8], partition: usize, offset: i64) -> Result<(), String> {
        let head = format!("{{\"partition\":{partition},\"offset\":{offset}");
        if !file.starts_with(head.as_bytes()) {
            return Err(format!("it does not begin with {head}"));
        }
        let file: Value = serde_json::from_slice(file).map_err(|error| error.to_string())?;
        same("", &file, &self.checkpoint(partition, offset))
    }

    /// Holds the rejected file's lines below `offset` against the fold up to there.
    pub fn compare_rejected(&self, lines: &[u8], offset: i64) -> Result<(), String> {
        let text = std::str::from_utf8(lines).map_err(|error| error.to_string())?;
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let mut passed: Vec<Value> = Vec::new();
        for line in whole {
            let line: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
            if line["offset"].as_i64().ok_or("no offset")? < offset {
                passed.push(line);
            }
        }
        same("line ", &Value::from(passed), &Value::from(self.rejected.clone()))
    }

    fn checkpoint(&self, partition: usize, offset: i64) -> Value {
        let mut months: BTreeMap<(u8, u16), Vec<First>> = BTreeMap::new();
        for (&(year, month, day), &(offset, degrees)) in &self.days {
            months.entry((month, year)).or_default().push(First { offset, day, degrees });
        }
        let mut whole = Map::new();
        whole.insert("partition".to_owned(), json!(partition));
        whole.insert("offset".to_owned(), json!(offset));
        for ((month, year), reports) in months {
            let name = MONTHS[usize::from(month) - 1];
            let years = whole.entry(name).or_insert_with(|| json!({}));
            years[format!("{year:04}")] = cell(year, month, reports);
        }
        Value::Object(whole)
    }
}

/// The first report of a day of some month.
struct First {
    offset: i64,
    day: u8,
    degrees: f64,
}

/// One month of one year, from the first reports of its days in the calendar's order.
fn cell(year: u16, month: u8, mut reports: Vec<First>) -> Value {
    let date = |day: u8| format!("{year:04}-{month:02}-{day:02}");
    let days: Vec<u8> = reports.iter().map(|report| report.day).collect();
    let (start, end) = (days[0], days[days.len() - 1]);
    let missing: Vec<String> = (start..end).filter(|day| !days.contains(day)).map(date).collect();
    // As they came: neither a sum nor which of two equal numbers is the smaller one depends on anything else.
    reports.sort_by_key(|report| report.offset);
    let degrees: Vec<f64> = reports.iter().map(|report| report.degrees).collect();
    let sum = degrees.iter().fold(0.0, |sum, degrees| sum + degrees);
    let lowest = degrees.iter().copied().reduce(|least, next| if next < least { next } else { least });
    let highest = degrees.iter().copied().reduce(|most, next| if next > most { next } else { most });
    let first_with = |wanted: f64| date(reports.iter().find(|report| report.degrees == wanted).unwrap().day);
    let mut cell = json!({
        "count": days.len(),
        "sum": sum,
        "avg": sum / days.len() as f64,
        "min": lowest,
        "max": highest,
        "start": date(start),
        "end": date(end),
        "min_date": lowest.map(first_with),
        "max_date": highest.map(first_with),
    });
    if !missing.is_empty() {
        cell["missing"] = Value::from(missing);
    }
    cell
}

/// Whether two values are the same, numbers bit for bit; where they first differ, if not.
fn same(path: &str, file: &Value, log: &Value) -> Result<(), String> {
    let differ = || Err(format!("{path}: the file has {file}, the log makes {log}"));
    match (file, log) {
        (Value::Object(left), Value::Object(right)) => {
            if let Some(key) = left.keys().chain(right.keys()).find(|key| !has_both(left, right, key)) {
                let shown = |side: &Map<String, Value>| side.get(key).map(Value::to_string);
                return Err(format!(
                    "{path}.{key}: the file has {:?}, the log makes {:?}",
                    shown(left),
                    shown(right)
                ));
            }
            left.iter().try_for_each(|(key, value)| same(&format!("{path}.{key}"), value, &right[key]))
        }
        (Value::Array(left), Value::Array(right)) => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                same(&format!("{path}[{index}]"), left, right)?;
            }
            if left.len() == right.len() {
                return Ok(());
            }
            Err(format!("{path}: the file has {} of them, the log makes {}", left.len(), right.len()))
        }
        (Value::Number(left), Value::Number(right)) => {
            // A sum of 5.0 is not the count 5.
            let bits = |number: &serde_json::Number| {
                (number.is_f64(), number.as_u64().or(number.as_f64().map(f64::to_bits)))
            };
            if bits(left) == bits(right) { Ok(()) } else { differ() }
        }
        _ if file == log => Ok(()),
        _ => differ(),
    }
}

fn has_both(left: &Map<String, Value>, right: &Map<String, Value>, key: &str) -> bool {
    left.contains_key(key) && right.contains_key(key)
}

fn report(value: Option<&[u8]>) -> Result<(Day, f64, String), &'static str> {
    let value = value.ok_or("no_value")?;
    let (date, degrees, station) = unframed(value).and_then(message).ok_or("malformed_protobuf")?;
    let day = day(&date).ok_or("invalid_date")?;
    if !degrees.is_finite() || !(-1e9..=1e9).contains(&degrees) {
        return Err("invalid_degrees");
    }
    if station.len() > 256 { Err("too_large") } else { Ok((day, degrees, station)) }
}

/// A value without a Schema Registry's frame: magic byte, schema id, how many indexes, the indexes.
fn unframed(mut bytes: &[u8]) -> Option<&[u8]> {
    if bytes.first() != Some(&0) {
        return Some(bytes);
    }
    split(&mut bytes, 5)?;
    let count = index(&mut bytes)?;
    (0..count).try_for_each(|_| index(&mut bytes).map(drop))?;
    Some(bytes)
}

/// A zigzag varint that fits into 31 bits: twice the number, in five bytes at most.
fn index(bytes: &mut &[u8]) -> Option<u64> {
    let left = bytes.len();
    let twice = varint(bytes)?;
    (twice % 2 == 0 && twice < 1 << 32 && left - bytes.len() <= 5).then_some(twice / 2)
}

/// Date, degrees and station of a protobuf message, the last of each; nothing where it is not well-formed.
fn message(mut bytes: &[u8]) -> Option<(String, f64, String)> {
    let (mut date, mut degrees, mut station) = (String::new(), 0.0, String::new());
    while !bytes.is_empty() {
        match tag(&mut bytes)? {
            (field @ (1 | 3), 2) => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let text = String::from_utf8(split(&mut bytes, length)?.to_vec()).ok()?;
                *(if field == 1 { &mut date } else { &mut station }) = text;
            }
            (2, 1) => degrees = f64::from_le_bytes(split(&mut bytes, 8)?.try_into().ok()?),
            (1..=3, _) => return None,
            (field, wire_type) => skip(&mut bytes, field, wire_type)?,
        }
    }
    Some((date, degrees, station))
}

/// Field number and wire type.
fn tag(bytes: &mut &[u8]) -> Option<(u32, u32)> {
    let tag = u32::try_from(varint(bytes)?).ok()?;
    (tag >> 3 != 0).then_some((tag >> 3, tag & 7))
}

fn skip(bytes: &mut &[u8], field: u32, wire_type: u32) -> Option<()> {
    match wire_type {
        0 => varint(bytes).map(drop),
        1 => split(bytes, 8).map(drop),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            split(bytes, length).map(drop)
        }
        3 => loop {
            match tag(bytes)? {
                (ended, 4) => return (ended == field).then_some(()),
                (inner, wire_type) => skip(bytes, inner, wire_type)?,
            }
        },
        5 => split(bytes, 4).map(drop),
        _ => None,
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u128;
    for place in 0..10 {
        let byte = split(bytes, 1)?[0];
        number |= u128::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return u64::try_from(number).ok();
        }
    }
    None
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = bytes.split_at_checked(length)?;
    *bytes = left;
    Some(taken)
}

fn day(text: &str) -> Option<Day> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape != "0000-00-00" {
        return None;
    }
    let (year, month, day) = (text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u8::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (year > 0 && (1..=days).contains(&day)).then_some((year, month, day))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, index| bits << 8 | u32::from(*three.get(index).unwrap_or(&0)));
        for digit in 0..4 {
            let is_data = digit <= three.len();
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(if is_data { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

/// A report of a station as protobuf.
pub fn encoded_at(station: &str, date: &str, degrees: f64) -> Vec<u8> {
    let mut value = encoded(date, degrees);
    if !station.is_empty() {
        value.extend([0x1a, u8::try_from(station.len()).unwrap()]);
        value.extend_from_slice(station.as_bytes());
    }
    value
}

/// A report as protobuf.
pub fn encoded(date: &str, degrees: f64) -> Vec<u8> {
    let mut value = vec![0x0a, u8::try_from(date.len()).unwrap()];
    value.extend_from_slice(date.as_bytes());
    value.push(0x11);
    value.extend_from_slice(&degrees.to_le_bytes());
    value
}

#[test]
fn the_second_fold_makes_what_is_written_here_and_sees_each_difference() {
    let garbage = Record { key: Some(b"May".to_vec()), value: Some(b"\xff".to_vec()) };
    let mut log = Log::new();
    for (offset, date, degrees) in
        [(0, "1990-05-04", 0.1), (1, "1990-05-03", 0.2), (3, "1990-05-04", 9.0), (7, "1990-05-01", 0.3)]
    {
        log.insert(offset, Record { key: None, value: Some(encoded(date, degrees)) });
    }
    log.insert(5, garbage);
    let fold = Fold::of(&log, 9);
    assert_eq!(fold.verdict(3), "partition 3: 5 records = 3 counted + 1 duplicates + 1 rejected, the same");
    // 0.1 + 0.2 + 0.3 as they came; in the calendar's order it would be 0.6.
    let file = r#"{"partition":3,"offset":9,"May":{"1990":{"count":3,"sum":0.6000000000000001,"avg":0.20000000000000004,"min":0.1,"max":0.3,"start":"1990-05-01","end":"1990-05-04","min_date":"1990-05-04","max_date":"1990-05-01","missing":["1990-05-02"]}}}"#;
    let rejected =
        r#"{"offset":5,"reason":"malformed_protobuf","key":"TWF5","value":"/w=="}"#.to_owned() + "\n";
    assert_eq!(fold.compare(file.as_bytes(), 3, 9), Ok(()));
    assert_eq!(fold.compare_rejected(rejected.as_bytes(), 9), Ok(()));
    for (from, to) in [
        ("\"count\":3", "\"count\":4"),
        ("0.6000000000000001", "0.6"),
        ("0.20000000000000004", "0.2"),
        ("\"min\":0.1", "\"min\":0.2"),
        ("\"max\":0.3", "\"max\":9.0"),
        ("\"start\":\"1990-05-01\"", "\"start\":\"1990-05-02\""),
        ("\"min_date\":\"1990-05-04\"", "\"min_date\":\"1990-05-03\""),
        (",\"max_date\":\"1990-05-01\"", ""),
        (",\"missing\":[\"1990-05-02\"]", ""),
        ("\"1990\":{", "\"1991\":{"),
        ("\"May\"", "\"June\""),
        ("\"offset\":9", "\"offset\":8"),
    ] {
        assert!(file.contains(from), "{from}");
        assert!(fold.compare(file.replacen(from, to, 1).as_bytes(), 3, 9).is_err(), "{from}");
    }
    for (from, to) in [("5,", "6,"), ("malformed_protobuf", "no_value"), ("/w", "/g"), ("TWF5", "TWF6")] {
        assert!(rejected.contains(from), "{from}");
        assert!(fold.compare_rejected(rejected.replacen(from, to, 1).as_bytes(), 9).is_err(), "{from}");
    }
    assert!(fold.compare_rejected(b"", 9).is_err());
    for (value, reason) in [
        (None, "no_value"),
        (Some(&b"\x0a\x0b1990-05-01"[..]), "malformed_protobuf"),
        (Some(b"\x0a\x01\xff"), "malformed_protobuf"),
        (Some(b"\x08\x01"), "malformed_protobuf"),
        (Some(b"\x1b\x24"), "malformed_protobuf"),
        (Some(b"\0\0\0\0"), "malformed_protobuf"),
        (Some(b"\0\0\0\0\x07\x03\0\x0a\x0a2000-02-29"), "malformed_protobuf"),
        (Some(b"\0\0\0\0\x07\0"), "invalid_date"),
        (Some(b""), "invalid_date"),
        (Some(&encoded("1900-02-29", 1.0)), "invalid_date"),
        (Some(&encoded("1990-05-01", f64::NAN)), "invalid_degrees"),
        (Some(&encoded("1990-05-01", -1.1e9)), "invalid_degrees"),
    ] {
        assert_eq!(report(value), Err(reason), "{value:?}");
    }
    assert_eq!(report(Some(b"\0\0\0\0\x07\0\x0a\x0a2000-02-29")), Ok(((2000, 2, 29), 0.0, String::new())));
    assert_eq!(
        report(Some(b"\0\0\0\0\x07\x02\0\x0a\x0a2000-02-29")),
        Ok(((2000, 2, 29), 0.0, String::new()))
    );
    assert_eq!(report(Some(b"\x23\x08\x01\x24\x0a\x0a2000-02-29")), Ok(((2000, 2, 29), 0.0, String::new())));
}
