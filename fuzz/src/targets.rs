//! The fuzz targets: each function takes any bytes, and panics if almanac breaks a promise with them.
//!
//! The fuzzers run these by way of `fuzz_targets/`; the tests also run them, on the committed inputs.

use std::io::{BufReader, Write};

use almanac_core::arguments::{self, HostPort, Property};
use almanac_core::checkpoint::{AlreadyPassed, Checkpoint};
use almanac_core::choice::Choice;
use almanac_core::head::{Head, Meta, generation_of};
use almanac_core::log::Log;
use almanac_core::owner::Owner;
use almanac_core::place::Place;
use almanac_core::protocol::batches::{Batch, Batches, Codec, Record, Records, Refused, Unreadable};
use almanac_core::protocol::sasl::{self, Scram};
use almanac_core::protocol::wire;
use almanac_core::rejected::{Rejected, passed_entries, rejected_entries};
use almanac_core::report::{DEGREES_MAX, Decoder, MONTHS, Observation, RejectReason, Report};
use almanac_core::source::{InputFormat, Options, SourceError, Unit, Weather, read_bytes};
use almanac_core::stats::MonthCell;
use almanac_core::status::Status;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::decompression::decompression;
use crate::kafka;

/// A target: any bytes in, a panic where a promise is broken.
pub type Target = fn(&[u8]);

/// All of them, by the name of their fuzzer and of their folders in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("arguments", arguments),
    ("batches", batches),
    ("checkpoint", checkpoint),
    ("csv", csv),
    ("fetch", fetch),
    ("formats", formats),
    ("ghcn_access", ghcn_access),
    ("ghcn_csv", ghcn_csv),
    ("ghcn_dly", ghcn_dly),
    ("gzip", gzip),
    ("head", head),
    ("log", log),
    ("metadata", metadata),
    ("open_meteo_csv", open_meteo_csv),
    ("open_meteo_json", open_meteo_json),
    ("record", record),
    ("rejected", rejected),
    ("sasl", sasl),
    ("zip", zip),
];

/// A record's value is what a second decoder, written from the text of the format, takes it for.
pub fn record(value: &[u8]) {
    let mut decoder = Decoder::default();
    let found = decoder.decode(Some(value)).map(exact);
    let expected = protobuf::decode(value);
    assert_eq!(found, expected.map(|(report, _)| exact(report)));
    let stamped =
        decoder.decode_with_station(Some(value)).map(|(report, station)| (exact(report), station.as_bytes()));
    assert_eq!(stamped, expected.map(|(report, station)| (exact(report), station)));
    // A record leaves no trace in the next.
    assert_eq!(decoder.decode(Some(b"")), Err(RejectReason::InvalidDate));
    assert_eq!(decoder.decode(Some(value)).map(exact), found);
    assert_eq!(decoder.observe(Some(value)).map(exact_in_numbers), found);
    // The first report decided the station, and only reports of that one count.
    let Ok((_, station)) = expected else { return };
    assert_eq!(decoder.station().map(str::as_bytes), Some(station));
    assert_eq!(decoder.observe(Some(value)).map(exact_in_numbers), found);
    assert_eq!(Decoder::of("another").observe(Some(value)).is_ok(), station == b"another");
}

/// With the bits of the degrees, so that zeros of either sign differ.
fn exact(report: Report) -> (String, u64) {
    (report.date.to_string(), report.degrees.to_bits())
}

fn exact_in_numbers(found: Observation) -> (String, u64) {
    let date = format!("{:04}-{:02}-{:02}", found.year(), found.month() + 1, found.day());
    (date, found.degrees().to_bits())
}

/// An answer to Metadata is what a second reader, written from the text of the protocol, takes it for.
pub fn metadata(answer: &[u8]) {
    let found = wire::metadata(answer, correlation(answer)).ok().map(|found| {
        let brokers = found.brokers.into_iter().map(|broker| (broker.id, broker.host, broker.port));
        let partition = |found: wire::PartitionMetadata| (found.partition, found.leader, found.leader_epoch);
        let topic =
            found.topic.map(|topic| (topic.id, topic.partitions.into_iter().map(partition).collect()));
        (brokers.collect(), found.cluster_id, topic)
    });
    assert_eq!(found, kafka::metadata(answer));
}

/// The same of answers to a SASL handshake and authentication. A message of SCRAM that is accepted continues the client's
/// nonce, and is within the limits.
pub fn sasl(answer: &[u8]) {
    let found = sasl::handshake(answer, correlation(answer)).ok();
    assert_eq!(found.map(|found| (found.error, found.mechanisms)), kafka::sasl_handshake(answer));
    let found = sasl::authenticated(answer, correlation(answer)).ok();
    let found = found
        .map(|found| (found.error, found.error_message, found.message.to_vec(), found.session_lifetime_ms));
    assert_eq!(found, kafka::sasl_authenticated(answer));
    for nonce in ["nonce", "x"] {
        if let Ok(challenge) = Scram::new("user", nonce.to_owned()).challenge(answer) {
            assert!((sasl::ITERATIONS_MIN..=sasl::ITERATIONS_MAX).contains(&challenge.iterations));
            assert!(challenge.last_without_proof.starts_with(&format!("c=biws,r={nonce}")));
            assert!(challenge.auth_message.len() < 100 + 2 * answer.len());
        }
    }
    if let Ok(signature) = sasl::scram_signature(answer) {
        assert!(signature.len() < answer.len());
    }
}

/// The same of an answer to Fetch, with all that is in it.
pub fn fetch(answer: &[u8]) {
    let expected = kafka::fetched(answer, TOPIC_ID);
    let Ok(found) = wire::fetched(answer, correlation(answer), TOPIC_ID) else {
        assert!(expected.is_none());
        return;
    };
    let expected = expected.unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((found.partition, found.error), (expected.index, expected.error_code));
        assert_eq!(found.high_watermark, expected.high_watermark);
        assert_eq!(found.last_stable_offset, expected.last_stable_offset);
        let aborted = found.aborted.iter().map(|aborted| (aborted.producer_id, aborted.first_offset));
        assert!(aborted.eq(expected.aborted_transactions));
        assert_eq!(found.diverging.map(|end| (end.epoch, end.end_offset)), expected.diverging_epoch);
        assert_eq!(found.leader.map(|leader| (leader.broker, leader.epoch)), expected.current_leader);
        same_batches(found.batches, expected.records);
    }
}

/// The topic that the committed answers are of.
const TOPIC_ID: &[u8; 16] = b"0123456789abcdef";

/// The correlation id of the response, so that it answers any request.
fn correlation(answer: &[u8]) -> i32 {
    answer.first_chunk().map_or(0, |first| i32::from_be_bytes(*first))
}

/// The same of record batches, with checksums that match.
pub fn batches(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    kafka::mend_checksums(&mut bytes);
    same_batches(Batches::new(&bytes), &bytes);
}

fn same_batches(found: Batches, mut rest: &[u8]) {
    for found in found {
        let expected = kafka::batch(&mut rest).unwrap();
        match (found, expected) {
            (Err(Unreadable::Malformed), None) => {}
            (Err(Unreadable::Unusual), Some(batch)) => {
                assert!(batch.magic != 2 || (batch.is_checksum_right && batch.attributes & 7 > 4));
            }
            (Err(Unreadable::Checksum), Some(batch)) => assert!(batch.magic == 2 && !batch.is_checksum_right),
            (Err(Unreadable::Malformed), Some(batch)) => {
                let last = batch.base_offset.checked_add(batch.last_offset_delta.into());
                let is_sound = batch.base_offset >= 0 && last.is_some_and(|last| last < i64::MAX);
                assert!(batch.count < 0 || batch.last_offset_delta < 0 || !is_sound);
            }
            (Ok(found), Some(batch)) => {
                assert_eq!(found.next_offset() - 1 - batch.base_offset, i64::from(batch.last_offset_delta));
                assert_eq!(found.producer_id, batch.producer_id);
                assert_eq!(found.is_transactional, batch.attributes & 0x10 != 0);
                assert_eq!(found.is_control, batch.attributes & 0x20 != 0);
                match found.codec {
                    None => same_records(found, &batch),
                    Some(codec) => decompresses(&found, codec),
                }
            }
            (found, None) => panic!("{found:?}, of a batch that is cut short"),
        }
    }
    assert!(kafka::batch(&mut rest).is_none());
}

const PARTITION: i32 = 3;

/// Whatever the bytes are, the records of a compressed batch lie within it, in the order of their offsets, and memory is
/// bounded.
fn decompresses(batch: &Batch, codec: Codec) {
    const PIECES_MAX: usize = 100;
    let mut decompression = decompression();
    decompression.begin(batch, codec);
    let mut next_offset = batch.base_offset;
    for _ in 0..PIECES_MAX {
        if !decompression.advance() {
            break;
        }
        for record in decompression.records(PARTITION, i64::MIN).unwrap().flatten() {
            assert!(record.offset >= next_offset);
            next_offset = record.offset + 1;
            let is_dense = i64::from(batch.count) == i64::from(batch.last_delta) + 1;
            assert!(!is_dense || next_offset <= batch.next_offset());
        }
    }
}

/// Records are where a second reader, which has all of them at once, puts them.
fn same_records(found: Batch, batch: &kafka::Batch) {
    let mut expected = Vec::new();
    let mut rest = batch.records;
    let is_dense = batch.count.checked_sub(1) == Some(batch.last_offset_delta);
    let mut free = 0;
    for index in 0..batch.count {
        let Some((delta, key, value)) = kafka::record(&mut rest) else {
            expected.push(None);
            break;
        };
        let last = i64::from(batch.last_offset_delta);
        let is_believed = !is_dense && (free..=last).contains(&delta);
        let at = if is_dense {
            i64::from(index)
        } else if is_believed {
            delta
        } else {
            (free - 1).clamp(0, last)
        };
        if is_dense || is_believed {
            free = at + 1;
        }
        expected.push(Some((batch.base_offset + at, is_dense || is_believed, key, value)));
    }
    // Wherever reading resumes, what comes before it is left out.
    let offsets = expected.iter().flatten().map(|(offset, ..)| *offset);
    let mut places: Vec<i64> = offsets.step_by(16).take(4).collect();
    places.extend([i64::MIN, i64::MAX]);
    for from in places {
        let records = Records::of_run(PARTITION, from, found.run());
        assert_eq!(records.leader_epoch.unwrap_or(-1), batch.partition_leader_epoch.max(-1));
        let found = records.map(|record| match record.map_err(|refused| *refused) {
            Ok(Record { offset, key, value, .. }) => Some((offset, true, key, value)),
            Err(Refused::Misplaced(Record { offset, key, value, .. })) => Some((offset, false, key, value)),
            Err(_) => None,
        });
        // Records that can't be decoded lie before the end of the batch.
        let end = batch.base_offset + i64::from(batch.last_offset_delta) + 1;
        let is_left =
            |record: &&Option<(i64, bool, _, _)>| record.map_or(end > from, |(offset, ..)| offset >= from);
        assert!(found.eq(expected.iter().filter(is_left).copied()));
    }
}

/// A checkpoint that is accepted says what its text says, is written again without loss, and can be continued.
pub fn checkpoint(json: &[u8]) {
    let Ok(found) = Checkpoint::from_json(json) else { return };
    assert!(found.partition >= 0 && found.offset >= 0);

    // Another reader, which knows nothing of checkpoints.
    let text: serde_json::Value = serde_json::from_slice(json).unwrap();
    let cells: usize = MONTHS.iter().filter_map(|month| Some(text.get(month)?.as_object()?.len())).sum();
    assert_eq!(found.statistics.cells().count(), cells);
    for (month, year, cell) in found.statistics.cells() {
        let text = &text[MONTHS[month]][format!("{year:04}")];
        let number = |name: &str| text[name].as_f64().unwrap().to_bits();
        assert_eq!(text["count"].as_u64(), Some(u64::from(cell.count())));
        assert_eq!(bits(cell), [number("sum"), number("avg"), number("min"), number("max")]);
        let date = |day: u32| format!("{year:04}-{:02}-{day:02}", month + 1);
        assert_eq!(text["start"], date(cell.first_day()));
        assert_eq!(text["end"], date(cell.last_day()));
    }

    let written = found.to_json();
    let again = Checkpoint::from_json(&written).unwrap();
    assert_eq!(again, found);
    for ((.., one), (.., two)) in found.statistics.cells().zip(again.statistics.cells()) {
        assert_eq!(bits(one), bits(two));
    }
    assert_eq!(again.to_json(), written);

    let (mut next, mut decoder) = (found.clone(), Decoder::default());
    let value =
        Report { date: almanac_core::report::parse_date(b"2000-02-29").unwrap(), degrees: 0.5 }.encode();
    assert_eq!(next.apply(found.offset - 1, Some(&value), &mut decoder), Err(AlreadyPassed));
    assert!(next.apply(found.offset, Some(&value), &mut decoder).is_ok());
    assert_eq!(next.offset, found.offset.saturating_add(1));
}

fn bits(cell: &MonthCell) -> [u64; 4] {
    [cell.sum(), cell.avg(), cell.min(), cell.max()].map(f64::to_bits)
}

/// The objects of an object store. What is accepted says what its text says to another reader, is written again bit for bit,
/// and the next head can be made of it.
pub fn head(json: &[u8]) {
    if let Ok(found) = serde_json::from_slice::<Place>(json) {
        let written = serde_json::to_vec(&found).unwrap();
        assert_eq!(serde_json::from_slice::<Place>(&written).unwrap(), found);
    }
    let Ok(found) = Head::from_json(json) else { return };
    let written = found.to_json();
    let again = Head::from_json(&written).unwrap();
    assert_eq!(again, found);
    assert_eq!(again.to_json(), written);
    let Some(meta) = &found.meta else {
        assert_eq!(Checkpoint::from_json(json).unwrap(), found.checkpoint);
        return checkpoint(json);
    };
    let text: serde_json::Value = serde_json::from_slice(json).unwrap();
    let text = &text["almanac"];
    assert_eq!(
        (text["generation"].as_u64(), text["sequence"].as_u64()),
        (Some(meta.generation), Some(meta.sequence))
    );
    assert_eq!(text["owner"]["released"].as_bool().unwrap_or(false), meta.owner.released);
    assert_eq!(text["log"]["topic_id"].as_str(), meta.log.as_ref().map(|log| &*log.topic_id));
    for segment in &meta.rejected {
        assert!(generation_of(&segment.name).is_some() && !segment.name.contains(['/', '\\']));
    }
    let records = meta.rejected.iter().map(|segment| u128::from(segment.records)).sum::<u128>();
    assert!(records <= u128::from(found.checkpoint.offset.unsigned_abs()));
    let next = Meta { generation: meta.generation + 1, sequence: meta.sequence + 1, ..meta.clone() };
    let next = Head { checkpoint: found.checkpoint.clone(), meta: Some(next) };
    if meta.generation.max(meta.sequence) < i64::MAX.unsigned_abs() {
        assert_eq!(Head::from_json(&next.to_json()).unwrap(), next);
    }
}

/// The small files in `.almanac/N/`: what is read is what is written.
pub fn log(json: &[u8]) {
    if let Ok(found) = Log::from_json(json) {
        assert!(found.first_offset >= 0);
        assert!(found.leader_epochs.is_sorted_by(|one, next| one.epoch < next.epoch));
        assert_eq!(Log::from_json(&serde_json::to_vec(&found).unwrap()).unwrap(), found);
    }
    if let Ok(found) = serde_json::from_slice::<Status>(json) {
        let written = serde_json::to_vec(&found).unwrap();
        assert_eq!(serde_json::from_slice::<Status>(&written).unwrap(), found);
    }
    if let Ok(found) = serde_json::from_slice::<Owner>(json) {
        let written = serde_json::to_vec(&found).unwrap();
        assert_eq!(serde_json::from_slice::<Owner>(&written).unwrap(), found);
    }
}

/// A rejected file loses what a checkpoint has not passed, and a torn last line, and nothing else.
pub fn rejected(lines: &[u8]) {
    let found = rejected_entries(lines);
    let offsets = found.iter().flatten().map(|entry| entry.offset);
    let mut ends: Vec<i64> = offsets.take(8).collect();
    ends.extend([0, i64::MAX]);
    for end in ends {
        let kept = passed_entries(lines, end);
        let Ok(found) = &found else {
            assert!(kept.is_err());
            continue;
        };
        // Zero bytes, which a power cut leaves, may be passed over in one and not in the other.
        let Ok(kept) = kept else {
            assert!(lines.contains(&0));
            continue;
        };
        let passed: Vec<&Rejected> = found.iter().filter(|entry| entry.offset < end).collect();
        assert_eq!(rejected_entries(&kept).unwrap().iter().collect::<Vec<_>>(), passed);
        assert_eq!(passed_entries(&kept, end).unwrap(), kept);
    }
    let whole = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    assert_eq!(rejected_entries(&lines[..whole]), found);
}

/// GHCN-Daily, by_station and by_year.
pub fn ghcn_csv(bytes: &[u8]) {
    weather(bytes, InputFormat::GhcnCsv);
}

/// GHCN-Daily, "access".
pub fn ghcn_access(bytes: &[u8]) {
    weather(bytes, InputFormat::GhcnAccess);
}

/// GHCN-Daily, fixed width.
pub fn ghcn_dly(bytes: &[u8]) {
    weather(bytes, InputFormat::GhcnDly);
}

pub fn open_meteo_csv(bytes: &[u8]) {
    weather(bytes, InputFormat::OpenMeteoCsv);
}

pub fn open_meteo_json(bytes: &[u8]) {
    weather(bytes, InputFormat::OpenMeteoJson);
}

/// Any CSV, in each unit.
pub fn csv(bytes: &[u8]) {
    for unit in [Unit::Celsius, Unit::Fahrenheit, Unit::TenthsC] {
        let name = |column: &str| Some(column.to_owned());
        let options = Options {
            date_column: name("day"),
            degrees_column: name("max"),
            unit: Some(unit),
            ..Options::default()
        };
        let _ = read(bytes, &options);
    }
}

/// Whatever the file is, compressed or not: recognised by what is in it.
pub fn gzip(bytes: &[u8]) {
    let plain = read(bytes, &Options::default());
    if bytes.starts_with(b"\x1F\x8B") || bytes.starts_with(b"PK") {
        return;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    let compressed = encoder.finish().unwrap();
    assert_eq!(read(&compressed, &Options::default()), plain, "compressed, it is another");
    for rest in [&[0; 1000][..], b"\0\0garbage", b"garbage"] {
        let padded = [&compressed, rest].concat();
        assert_eq!(read(&padded, &Options::default()), plain, "what follows it changes it");
    }
    let cut = compressed.len() - 1 - bytes.len() % compressed.len().min(64);
    if cut >= 2 {
        let cut = read(&compressed[..cut], &Options::default()).unwrap_err();
        assert!(cut.contains(" is cut off: "), "{cut}");
    }
}

/// A file of the format that its first byte chooses; also as UTF-16, which is the same file.
pub fn formats(bytes: &[u8]) {
    let Some((chosen, bytes)) = bytes.split_first() else { return };
    let formats = InputFormat::ALL;
    let (format, ..) = formats[usize::from(*chosen) % formats.len()];
    weather(bytes, format);
    let options = Options {
        unit: Some(Unit::Celsius),
        missing: vec!["-999".to_owned(), "x".to_owned()],
        station_column: Some("station".to_owned()),
        ..Options::default()
    };
    let found = read(bytes, &options);
    let Ok(text) = str::from_utf8(bytes) else { return };
    // A mark for the order of bytes is not part of the text, and what looks like another file is one.
    if text.starts_with('\u{FEFF}')
        || bytes.contains(&0)
        || [b"PK".as_slice(), b"\x1F\x8B"].iter().any(|it| bytes.starts_with(it))
    {
        return;
    }
    let units = [0xFEFF].into_iter().chain(text.encode_utf16());
    let wide: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    assert_eq!(read(&wide, &options), found, "in UTF-16 it is another");
}

/// An archive, with options that fit any CSV or not.
pub fn zip(bytes: &[u8]) {
    let bytes = [b"PK\x03\x04", bytes.strip_prefix(b"PK\x03\x04").unwrap_or(bytes)].concat();
    let _ = read(&bytes, &Options::default());
    let column = |name: &str| Some(name.to_owned());
    let (date_column, degrees_column) = (column("date"), column("tmax"));
    let options = Options { date_column, degrees_column, unit: Some(Unit::Celsius), ..Options::default() };
    let _ = read(&bytes, &options);
}

/// Reads a file of this format, with each of the options that have a part in it.
fn weather(bytes: &[u8], format: InputFormat) {
    let options = Options { format: Some(format), ..Options::default() };
    let found = read(bytes, &options);
    let all = read(bytes, &Options { keep_flagged: true, ..options.clone() });
    // A value that failed a check may be out of bounds, and then the file is refused.
    if let (Ok(found), Ok(all)) = (&found, &all) {
        assert!(found.len() <= all.len(), "flags only leave out");
    }
    let station = Some(if matches!(format, InputFormat::OpenMeteoCsv | InputFormat::OpenMeteoJson) {
        "0".to_owned()
    } else {
        "XX000000001".to_owned()
    });
    let _ = read(bytes, &Options { station, ..options });
}

/// Reads a file at once and byte by byte; the reports or the message must be the same.
fn read(bytes: &[u8], options: &Options) -> Result<Vec<(String, u64)>, String> {
    let told = |found: Result<Weather, SourceError>| match found {
        Ok(Weather { days: reports, place, .. }) => {
            assert!(!reports.is_empty(), "a file without reports is an error");
            let mut decoder = Decoder::default();
            for report in &reports {
                let value = report.encode_at(&place.station);
                assert_eq!(decoder.decode(Some(&value)), Ok(*report), "what is sent is valid");
            }
            Ok(reports.into_iter().map(exact).collect())
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() <= MESSAGE_LENGTH_MAX, "a message of {} bytes", message.len());
            Err(message)
        }
    };
    let at_once = told(read_bytes("weather", bytes, options));
    let slowly = told(read_bytes("weather", BufReader::with_capacity(1, bytes), options));
    assert_eq!(at_once, slowly);
    at_once
}

/// The longest message for a terminal; a file, and a field of it, can be far longer.
const MESSAGE_LENGTH_MAX: usize = 4096;

/// Values that a user types are within their bounds, or refused.
pub fn arguments(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(property) = text.parse::<Property>() {
        assert!(!property.key.is_empty() && property.key == property.key.trim());
        assert!(format!("{}={}", property.key, property.value).parse() == Ok(property));
    }
    if let Ok(address) = text.parse::<HostPort>() {
        assert_eq!(address.to_string().parse::<HostPort>().ok(), Some(address));
    }
    if let Ok(time) = arguments::parse_duration(text) {
        assert!(time.as_secs() <= 100 * 366 * 24 * 60 * 60);
        // As a deadline is computed.
        assert!(std::time::Instant::now().checked_add(time).is_some());
    }
    if let Ok(rate) = arguments::parse_rate(text) {
        assert!((0.0..=1000.0).contains(&rate));
    }
    if let Ok(degrees) = arguments::parse_degrees(text) {
        assert!(degrees.abs() <= DEGREES_MAX);
    }
    match arguments::parse_start(text) {
        Ok(date) => assert_eq!(date.to_string(), text),
        Err(_) => assert_eq!(protobuf::calendar_day(bytes), None),
    }
    if let Ok(partition) = arguments::parse_partition(text) {
        assert!(partition >= 0);
    }
    if let Ok(month) = arguments::parse_month(text) {
        let is_start = MONTHS[month].get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
        assert!(is_start || text.parse() == Ok(month + 1));
    }
}

/// The record once more, from the text of the Protocol Buffers encoding and of `report.proto`.
mod protobuf {
    use almanac_core::report::{DEGREES_MAX, RejectReason, Report, parse_date};

    use crate::kafka::take;

    /// As deep as the other languages' libraries go into groups.
    const DEPTH_MAX: u32 = 100;

    /// The report and its station.
    pub fn decode(value: &[u8]) -> Result<(Report, &[u8]), RejectReason> {
        let (date, degrees, station) =
            message(value).and_then(fields).ok_or(RejectReason::MalformedProtobuf)?;
        // A second decision which dates are days; only the type is the library's.
        calendar_day(date).ok_or(RejectReason::InvalidDate)?;
        let date = parse_date(date).ok_or(RejectReason::InvalidDate)?;
        if !degrees.is_finite() || !(-DEGREES_MAX..=DEGREES_MAX).contains(&degrees) {
            return Err(RejectReason::InvalidDegrees);
        }
        if station.len() > 256 {
            return Err(RejectReason::TooLarge);
        }
        Ok((Report { date, degrees }, station))
    }

    /// Year, month and day, if this is a day of the years 0001 to 9999.
    pub fn calendar_day(text: &[u8]) -> Option<(u32, u32, u32)> {
        let is_dash = |place: usize| place == 4 || place == 7;
        let is_well_formed = text.len() == 10
            && text.iter().enumerate().all(|(place, byte)| match is_dash(place) {
                true => *byte == b'-',
                false => byte.is_ascii_digit(),
            });
        if !is_well_formed {
            return None;
        }
        let number = |part: &[u8]| part.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
        let (year, month, day) = (number(&text[..4]), number(&text[5..7]), number(&text[8..]));
        let is_leap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
        let days = match month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        (year > 0 && (1..=days).contains(&day)).then_some((year, month, day))
    }

    /// The message inside a Schema Registry's frame, if there is a frame: 0, schema id, a list of message indexes. Its numbers are
    /// zigzag varints of 32 bits.
    fn message(value: &[u8]) -> Option<&[u8]> {
        let mut rest = value;
        if value.first() != Some(&0) {
            return Some(value);
        }
        take(&mut rest, 5)?;
        let mut count = index(&mut rest)?;
        while count > 0 {
            index(&mut rest)?;
            count -= 1;
        }
        Some(rest)
    }

    fn index(rest: &mut &[u8]) -> Option<i32> {
        let before = rest.len();
        let number = u32::try_from(varint(rest)?).ok()?;
        let decoded = (number >> 1) as i32 ^ -((number & 1) as i32);
        (decoded >= 0 && before - rest.len() <= 5).then_some(decoded)
    }

    fn fields(mut rest: &[u8]) -> Option<(&[u8], f64, &[u8])> {
        let (mut date, mut degrees, mut station) = (&b""[..], 0.0, &b""[..]);
        while !rest.is_empty() {
            let (field, wire_type) = tag(&mut rest)?;
            match (field, wire_type) {
                (1, 2) => {
                    date = length_delimited(&mut rest)?;
                    str::from_utf8(date).ok()?;
                }
                (2, 1) => degrees = f64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?),
                (3, 2) => {
                    station = length_delimited(&mut rest)?;
                    str::from_utf8(station).ok()?;
                }
                (1..=3, _) => return None,
                _ => skip(&mut rest, field, wire_type, DEPTH_MAX)?,
            }
        }
        Some((date, degrees, station))
    }

    fn skip(rest: &mut &[u8], field: u32, wire_type: u8, depth: u32) -> Option<()> {
        if depth == 0 {
            return None;
        }
        match wire_type {
            0 => varint(rest).map(drop),
            1 => take(rest, 8).map(drop),
            2 => length_delimited(rest).map(drop),
            3 => loop {
                match tag(rest)? {
                    (ended, 4) => break (ended == field).then_some(()),
                    (inner, wire_type) => skip(rest, inner, wire_type, depth - 1)?,
                }
            },
            5 => take(rest, 4).map(drop),
            // The end of a group that did not begin, and numbers that are not wire types.
            _ => None,
        }
    }

    fn tag(rest: &mut &[u8]) -> Option<(u32, u8)> {
        let tag = u32::try_from(varint(rest)?).ok()?;
        (tag >> 3 > 0).then_some((tag >> 3, (tag & 7) as u8))
    }

    fn length_delimited<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        let length = usize::try_from(varint(rest)?).ok()?;
        take(rest, length)
    }

    /// At most ten bytes, seven bits in each, and no more than 64 in all.
    fn varint(rest: &mut &[u8]) -> Option<u64> {
        let mut number: u128 = 0;
        for shift in (0..70).step_by(7) {
            let byte = take(rest, 1)?[0];
            number |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u64::try_from(number).ok();
            }
        }
        None
    }
}
