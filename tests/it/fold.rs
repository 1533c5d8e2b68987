//! The invariant without Kafka, for any records, any batches and any deaths of processes. The files are those of a
//! fold that nothing disturbed, and this fold agrees with the simplest program for the same log.

use std::collections::BTreeMap;

use almanac::checkpoint::{AlreadyPassed, Checkpoint, Outcome};
use almanac::report::{DEGREES_MAX, Decoder, RejectReason};
use almanac::store::{Rejected, passed_entries, rejected_entries};
use almanac_fuzz::targets;
use proptest::prelude::*;

type Day = (u32, u32, u32);

/// A record's value, and what it is meant to be taken for; nothing of that is asked of the code under test.
#[derive(Clone, Debug)]
struct Value {
    bytes: Option<Vec<u8>>,
    meant: Result<(Day, f64), RejectReason>,
    station: &'static str,
}

#[derive(Clone, Debug)]
struct Entry {
    offset: i64,
    value: Value,
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A few months again and again, so that days are repeated, and now and then any day of the calendar.
fn day() -> impl Strategy<Value = Day> {
    let years = prop_oneof![
        // Rare, as the time that a checkpoint takes grows with its last year.
        60 => prop::sample::select(vec![1, 400, 1900, 1999, 2000]),
        1 => 1_u32..=9999,
    ];
    let months = prop_oneof![6 => prop::sample::select(vec![1_u32, 2, 12]), 1 => 1_u32..=12];
    (years, months, 0_u32..31).prop_map(|(year, month, day)| (year, month, 1 + day % days_in(year, month)))
}

fn valid_degrees() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -60.0..60.0,
        1 => prop::sample::select(vec![0.0, -0.0, 5e-324, DEGREES_MAX, -DEGREES_MAX, 0.1, 1e-300]),
        1 => any::<u64>().prop_map(f64::from_bits).prop_filter("valid", |degrees| degrees.abs() <= DEGREES_MAX),
    ]
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn tag(field: u32, wire_type: u64) -> Vec<u8> {
    varint(u64::from(field) << 3 | wire_type)
}

fn date_field(text: &[u8]) -> Vec<u8> {
    [tag(1, 2), varint(text.len() as u64), text.to_vec()].concat()
}

fn degrees_field(degrees: f64) -> Vec<u8> {
    [tag(2, 1), degrees.to_le_bytes().to_vec()].concat()
}

fn station_field(station: &str) -> Vec<u8> {
    [tag(3, 2), varint(station.len() as u64), station.as_bytes().to_vec()].concat()
}

/// Most reports are of one station, whichever that is.
fn station() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => Just(""), 1 => prop::sample::select(vec!["A", "B", "USW00014837"])]
}

fn text_of((year, month, day): Day) -> String {
    format!("{year:04}-{month:02}-{day:02}")
}

/// A field that other versions of the schema may have, of any wire type, groups in groups too.
fn unknown_field() -> impl Strategy<Value = Vec<u8>> {
    let number = 4_u32..(1 << 29);
    let plain = (number.clone(), 0_usize..4, any::<u64>(), prop::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(field, kind, bits, bytes)| match kind {
            0 => [tag(field, 0), varint(bits)].concat(),
            1 => [tag(field, 1), bits.to_le_bytes().to_vec()].concat(),
            2 => [tag(field, 2), varint(bytes.len() as u64), bytes].concat(),
            _ => [tag(field, 5), bits.to_le_bytes()[..4].to_vec()].concat(),
        });
    plain.prop_recursive(4, 16, 3, move |inner| {
        (number.clone(), prop::collection::vec(inner, 0..3))
            .prop_map(|(field, inner)| [tag(field, 3), inner.concat(), tag(field, 4)].concat())
    })
}

/// A Schema Registry's frame: the magic byte, a schema id, and message indexes in either form.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let indexes = prop_oneof![Just(vec![]), prop::collection::vec(0_u64..200, 1..4)];
    (any::<[u8; 4]>(), indexes).prop_map(|(id, indexes)| {
        let mut frame = [&[0][..], &id].concat();
        frame.extend(varint(2 * indexes.len() as u64));
        indexes.iter().for_each(|index| frame.extend(varint(2 * index)));
        frame
    })
}

/// A report as any writer may put it: other fields between, earlier values that the last ones replace.
fn valid() -> impl Strategy<Value = Value> {
    (
        (day(), prop::option::weighted(0.9, valid_degrees()), any::<bool>()),
        prop::collection::vec(unknown_field(), 4),
        prop::option::of((day(), prop_oneof![valid_degrees(), Just(f64::NAN)])),
        0_u8..4,
        (prop::option::weighted(0.2, frame()), station()),
    )
        .prop_map(|((day, degrees, is_swapped), unknown, earlier, with_unknown, (frame, station))| {
            let mut bytes = frame.unwrap_or_default();
            if let (Some((day, earlier)), Some(_)) = (earlier, degrees) {
                bytes.extend(degrees_field(earlier));
                bytes.extend(date_field(text_of(day).as_bytes()));
            }
            let mut fields = vec![date_field(text_of(day).as_bytes())];
            fields.extend(degrees.map(degrees_field));
            fields.extend((!station.is_empty()).then(|| station_field(station)));
            if is_swapped {
                fields.reverse();
            }
            for (field, unknown) in fields.into_iter().chain([Vec::new()]).zip(unknown) {
                if with_unknown == 0 {
                    bytes.extend(unknown);
                }
                bytes.extend(field);
            }
            Value { bytes: Some(bytes), meant: Ok((day, degrees.unwrap_or(0.0))), station }
        })
}

/// The rejected values, by the reason for the rejection.
fn invalid() -> impl Strategy<Value = Value> {
    let rejected =
        |reason| move |bytes: Vec<u8>| Value { bytes: Some(bytes), meant: Err(reason), station: "" };
    let dates: Vec<&[u8]> = vec![
        b"",
        b"20010203",
        b"2001-02-03T10:00",
        "٢٠٠١-٠٢-٠٣".as_bytes(),
        b"0000-01-01",
        b"+001-01-01",
        b" 2001-02-03",
        b"2001-2-3",
        b"1900-02-29",
        b"2001-02-29",
        b"2001-04-31",
        b"2001-13-01",
        b"2001-00-01",
        b"2001-01-00",
        b"10000-01-01",
        b"2001-02-03\0",
    ];
    let wrong_type = (
        prop::sample::select(vec![
            (1, 0_u64),
            (1, 1),
            (1, 5),
            (1, 3),
            (2, 0),
            (2, 2),
            (2, 5),
            (2, 3),
            (3, 0),
            (3, 1),
        ]),
        day(),
    )
        .prop_map(|((field, wire_type), day)| {
            let content = match wire_type {
                0 => vec![1],
                1 => vec![0; 8],
                2 => vec![0],
                3 => tag(field, 4),
                _ => vec![0; 4],
            };
            [date_field(text_of(day).as_bytes()), tag(field, wire_type), content].concat()
        });
    let cut = (day(), valid_degrees(), 1_usize..21)
        .prop_filter("a whole field is left", |(.., length)| *length != 12)
        .prop_map(|(day, degrees, length)| {
            let mut bytes = [date_field(text_of(day).as_bytes()), degrees_field(degrees)].concat();
            bytes.truncate(length);
            bytes
        });
    let cut_frame = (frame(), any::<prop::sample::Index>()).prop_map(|(mut frame, at)| {
        frame.truncate(1 + at.index(frame.len() - 1));
        frame
    });
    let degrees = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, DEGREES_MAX.next_up(), -f64::MAX];
    prop_oneof![
        Just(Value { bytes: None, meant: Err(RejectReason::NoValue), station: "" }),
        wrong_type.prop_map(rejected(RejectReason::MalformedProtobuf)),
        cut.prop_map(rejected(RejectReason::MalformedProtobuf)),
        cut_frame.prop_map(rejected(RejectReason::MalformedProtobuf)),
        prop::sample::select(dates).prop_map(date_field).prop_map(rejected(RejectReason::InvalidDate)),
        day()
            .prop_map(|day| [date_field(text_of(day).as_bytes()), station_field(&"x".repeat(257))].concat())
            .prop_map(rejected(RejectReason::TooLarge)),
        day()
            .prop_map(|day| [date_field(text_of(day).as_bytes()), vec![26, 1, 0xff]].concat())
            .prop_map(rejected(RejectReason::MalformedProtobuf)),
        (day(), prop::sample::select(degrees))
            .prop_map(|(day, degrees)| [date_field(text_of(day).as_bytes()), degrees_field(degrees)].concat())
            .prop_map(rejected(RejectReason::InvalidDegrees)),
    ]
}

/// A partition's log from its first offset on: offsets rise, and are sparse.
fn log() -> impl Strategy<Value = (i64, Vec<Entry>)> {
    let value = prop_oneof![5 => valid(), 1 => invalid()];
    let gap = prop_oneof![8 => Just(0_i64), 1 => 1_i64..4, 1 => 4_i64..100_000];
    let first = prop_oneof![3 => Just(0_i64), 1 => 0..i64::from(i32::MAX)];
    // A value comes several times, as an at-least-once feed sends it.
    let records = prop::collection::vec((gap, any::<prop::sample::Index>()), 0..100);
    (first, prop::collection::vec(value, 1..40), records).prop_map(|(first, values, records)| {
        let mut next = first;
        let entry = |(gap, index): (i64, prop::sample::Index)| {
            let offset = next + gap;
            next = offset + 1;
            Entry { offset, value: index.get(&values).clone() }
        };
        (first, records.into_iter().map(entry).collect())
    })
}

/// The moment at which a process dies after a batch.
#[derive(Clone, Copy, Debug)]
enum Death {
    None,
    BeforeAnything,
    /// So many bytes of the rejected lines have reached the file.
    InRejected(usize),
    AfterRejected,
    AfterCheckpoint,
}

/// A batch of so many records, and what comes of the process then; the next begins so many records too early.
#[derive(Clone, Copy, Debug)]
struct Step {
    records: usize,
    death: Death,
    read_again: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let death = prop_oneof![
        3 => Just(Death::None),
        1 => Just(Death::BeforeAnything),
        1 => (0_usize..300).prop_map(Death::InRejected),
        1 => Just(Death::AfterRejected),
        1 => Just(Death::AfterCheckpoint),
    ];
    let step = (1_usize..40, death, 0_usize..10).prop_map(|(records, death, read_again)| Step {
        records,
        death,
        read_again,
    });
    prop::collection::vec(step, 0..12)
}

/// The durable files.
#[derive(Clone, Debug, Default, PartialEq)]
struct Files {
    checkpoint: Vec<u8>,
    rejected: Vec<u8>,
    /// Durable before the record that decided it is counted.
    station: Option<String>,
}

fn lines(rejected: &[Rejected]) -> Vec<u8> {
    rejected.iter().flat_map(|entry| [serde_json::to_vec(entry).unwrap(), b"\n".to_vec()].concat()).collect()
}

/// The consumer's part in what is durable, step by step; after the steps given, one more takes what is left.
fn counted(first: i64, log: &[Entry], steps: &[Step]) -> Files {
    const LAST: Step = Step { records: usize::MAX, death: Death::None, read_again: 0 };
    let mut files = Files { checkpoint: Checkpoint::empty(3, first).to_json(), ..Files::default() };
    let mut memory = None;
    for &Step { records, death, read_again } in steps.iter().chain([&LAST]) {
        let mut checkpoint = memory.take().unwrap_or_else(|| {
            // Any process that claims the partition.
            let found = Checkpoint::from_json(&files.checkpoint).unwrap();
            files.rejected = passed_entries(&files.rejected, found.offset).unwrap();
            found
        });
        let next = log.partition_point(|entry| entry.offset < checkpoint.offset);
        let mut decoder = files.station.as_deref().map_or_else(Decoder::default, Decoder::of);
        let mut rejected = Vec::new();
        let batch = &log[next.saturating_sub(read_again)..];
        for Entry { offset, value } in batch.iter().take(records) {
            match checkpoint.apply(*offset, value.bytes.as_deref(), &mut decoder) {
                Ok(Outcome::Rejected(reason)) => {
                    rejected.push(Rejected::new(*offset, reason, None, value.bytes.as_deref()));
                }
                Ok(Outcome::Counted | Outcome::Duplicate) | Err(AlreadyPassed) => {}
            }
        }
        files.station = decoder.station().map(str::to_owned);
        let lines = lines(&rejected);
        let written = match death {
            Death::BeforeAnything => 0,
            Death::InRejected(length) => length.min(lines.len()),
            Death::None | Death::AfterRejected | Death::AfterCheckpoint => lines.len(),
        };
        files.rejected.extend_from_slice(&lines[..written]);
        if matches!(death, Death::None | Death::AfterCheckpoint) {
            files.checkpoint = checkpoint.to_json();
        }
        if matches!(death, Death::None) {
            memory = Some(checkpoint);
        }
    }
    files
}

/// By month and year: each day and its degrees, in the order of the log.
type Months = BTreeMap<(u32, u32), Vec<(u32, f64)>>;

/// The first report of each day, and what is rejected. The first valid report decides which station is counted.
fn naive(log: &[Entry]) -> (Months, Vec<(i64, RejectReason)>) {
    let (mut first, mut months, mut rejected) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut counted = None;
    for Entry { offset, value } in log {
        match value.meant {
            Err(reason) => rejected.push((*offset, reason)),
            Ok(_) if *counted.get_or_insert(value.station) != value.station => {
                rejected.push((*offset, RejectReason::OtherStation));
            }
            Ok((day, degrees)) => {
                if first.insert(day, ()).is_none() {
                    months.entry((day.1, day.0)).or_insert_with(Vec::new).push((day.2, degrees));
                }
            }
        }
    }
    (months, rejected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn deaths_can_not_be_seen_in_the_files((first, log) in log(), steps in steps()) {
        let (straight, disturbed) = (counted(first, &log, &[]), counted(first, &log, &steps));
        prop_assert_eq!(String::from_utf8(disturbed.checkpoint), String::from_utf8(straight.checkpoint));
        prop_assert_eq!(String::from_utf8(disturbed.rejected), String::from_utf8(straight.rejected));
    }

    #[test]
    fn the_files_are_what_the_simplest_program_makes((first, log) in log(), steps in steps()) {
        let files = counted(first, &log, &steps);
        let (months, rejected) = naive(&log);
        let json: serde_json::Value = serde_json::from_slice(&files.checkpoint).unwrap();
        prop_assert_eq!(json["offset"].as_i64(), Some(log.last().map_or(first, |last| last.offset + 1)));
        let cells = json.as_object().unwrap().values().filter_map(|month| month.as_object());
        prop_assert_eq!(cells.map(serde_json::Map::len).sum::<usize>(), months.len());
        for ((month, year), days) in &months {
            let name = almanac::report::MONTHS[*month as usize - 1];
            let cell = &json[name][format!("{year:04}")];
            let bits = |field: &str| cell[field].as_f64().unwrap().to_bits();
            let mut sum = 0.0;
            let (mut min, mut max) = (days[0].1, days[0].1);
            for (_, degrees) in days {
                sum += degrees;
                if *degrees < min { min = *degrees; }
                if *degrees > max { max = *degrees; }
            }
            prop_assert_eq!(cell["count"].as_u64(), Some(days.len() as u64));
            prop_assert_eq!(bits("sum"), f64::to_bits(sum));
            prop_assert_eq!(bits("avg"), f64::to_bits(sum / days.len() as f64));
            prop_assert_eq!((bits("min"), bits("max")), (f64::to_bits(min), f64::to_bits(max)));
            let numbers = days.iter().map(|(day, _)| *day);
            let (start, end) = (numbers.clone().min().unwrap(), numbers.clone().max().unwrap());
            let date = |day| serde_json::Value::from(text_of((*year, *month, day)));
            prop_assert_eq!((&cell["start"], &cell["end"]), (&date(start), &date(end)));
            let missing: Vec<_> =
                (start..end).filter(|day| numbers.clone().all(|other| other != *day)).map(date).collect();
            prop_assert_eq!(cell.get("missing").and_then(|missing| missing.as_array()), Some(&missing).filter(|missing| !missing.is_empty()));
        }
        let found: Vec<_> =
            rejected_entries(&files.rejected).unwrap().iter().map(|entry| (entry.offset, entry.reason)).collect();
        prop_assert_eq!(found, rejected);
    }

    #[test]
    fn two_decoders_agree_on_what_is_well_formed(valid in valid(), invalid in invalid()) {
        for Value { bytes, meant, .. } in [valid, invalid] {
            let found = Decoder::default().decode(bytes.as_deref());
            let found = found.map(|report| (report.date.to_string(), report.degrees.to_bits()));
            prop_assert_eq!(found, meant.map(|(day, degrees)| (text_of(day), degrees.to_bits())));
            targets::record(&bytes.unwrap_or_default());
        }
    }
}
