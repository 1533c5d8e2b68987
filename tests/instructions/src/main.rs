//! The work whose instructions `tests/it/instructions.rs` counts: what is done for each record, and for each checkpoint.
//!
//! `almanac-instructions` prints the names of the workloads. `almanac-instructions WORKLOAD ROUNDS` does one of them and
//! prints how many operations a round has. All that comes before the rounds is the same for any number of them, so what
//! two runs differ by is theirs alone.

use std::hint::black_box;
use std::io::Write;

use almanac_core::checkpoint::Checkpoint;
use almanac_core::protocol::batches::{Batch, Batches, Codec, Records};
use almanac_core::report::{Decoder, Report};
use almanac_core::stats::Statistics;
use jiff::civil::date;

#[path = "../../../src/kafka/decompression.rs"]
mod decompression;

/// Does its rounds, and says how many operations each has.
type Workload = fn(rounds: u32) -> usize;

const WORKLOADS: [(&str, Workload); 12] = [
    ("count a record of a batch", count_batch),
    ("read a record of a batch, gzip", |rounds| read_compressed(rounds, Codec::Gzip)),
    ("read a record of a batch, lz4", |rounds| read_compressed(rounds, Codec::Lz4)),
    ("read a record of a batch, snappy", |rounds| read_compressed(rounds, Codec::Snappy)),
    ("read a record of a batch, zstd", |rounds| read_compressed(rounds, Codec::Zstd)),
    ("decode a record", decode_usual),
    ("decode a record with its fields in another order", decode_unusual),
    ("count a record", count),
    ("count a report in its month", fold),
    ("read a record of a batch", read_batch),
    ("write a checkpoint of 4,000 cells", write),
    ("read a checkpoint of 4,000 cells", read),
];

/// The months that lie in one of four partitions.
const MONTHS: [i8; 4] = [1, 4, 6, 12];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => WORKLOADS.iter().for_each(|(name, _)| println!("{name}")),
        [name, rounds] => {
            let (_, workload) =
                WORKLOADS.iter().find(|(known, _)| known == name).expect("a name from the list");
            println!("{}", workload(rounds.parse().expect("a number of rounds")));
        }
        _ => panic!("usage: almanac-instructions [WORKLOAD ROUNDS]"),
    }
}

/// Every day of the months from 1990 on, in tenths of a degree as thermometers are read.
fn reports(years: i16) -> impl Iterator<Item = Report> {
    let first = date(1990, 1, 1);
    first
        .series(jiff::Span::new().days(1))
        .take_while(move |date| date.year() < first.year() + years)
        .filter(|date| MONTHS.contains(&date.month()))
        .zip(0_u32..)
        .map(|(date, number)| {
            let tenths = number.wrapping_mul(2_654_435_761) >> 7 & 0x1ff;
            Report { date, degrees: (f64::from(tenths) - 200.0) / 10.0 }
        })
}

fn decode_usual(rounds: u32) -> usize {
    decode(rounds, &reports(50).map(|report| report.encode()).collect::<Vec<_>>())
}

fn decode_unusual(rounds: u32) -> usize {
    const DATE_FIELD: usize = 12;
    let values = reports(50).map(|report| {
        let mut value = report.encode();
        value.rotate_left(DATE_FIELD);
        value
    });
    decode(rounds, &values.collect::<Vec<_>>())
}

fn decode(rounds: u32, values: &[Vec<u8>]) -> usize {
    let mut decoder = Decoder::default();
    for _ in 0..rounds {
        for value in values {
            assert!(black_box(decoder.decode(black_box(Some(value)))).is_ok());
        }
    }
    values.len()
}

fn count(rounds: u32) -> usize {
    let values: Vec<Vec<u8>> = feed().iter().map(Report::encode).collect();
    let mut decoder = Decoder::default();
    for _ in 0..rounds {
        let mut checkpoint = Checkpoint::empty(2, 0);
        for (offset, value) in (0..).zip(&values) {
            assert!(black_box(checkpoint.apply(offset, black_box(Some(value)), &mut decoder)).is_ok());
        }
        black_box(checkpoint);
    }
    values.len()
}

fn fold(rounds: u32) -> usize {
    let reports = feed();
    for _ in 0..rounds {
        let mut statistics = Statistics::default();
        for report in &reports {
            black_box(statistics.add(black_box(report)));
        }
        black_box(statistics);
    }
    reports.len()
}

/// Like an at-least-once feed: every tenth day comes twice. The latest days come first, so that room for all years is
/// made at once. Copying cells to a larger place takes different numbers of instructions on different processors.
fn feed() -> Vec<Report> {
    let mut reports: Vec<Report> = reports(100).collect();
    reports.reverse();
    let copies = |(number, report)| std::iter::repeat_n(report, if number % 10 == 0 { 2 } else { 1 });
    reports.into_iter().enumerate().flat_map(copies).collect()
}

fn read_batch(rounds: u32) -> usize {
    let reports: Vec<Report> = reports(10).collect();
    let batch = batch(&reports);
    for _ in 0..rounds {
        let mut records = 0;
        for run in Batches::new(black_box(&batch)) {
            let mut run = run.expect("a batch that is well-formed").run();
            while let Some(record) = run.next_record(2) {
                black_box(record.expect("a record that is well-formed"));
                records += 1;
            }
        }
        assert_eq!(records, reports.len());
    }
    reports.len()
}

/// The same of batches that are compressed.
fn read_compressed(rounds: u32, codec: Codec) -> usize {
    let reports: Vec<Report> = reports(10).collect();
    let plain = batch(&reports);
    let plain = Batches::new(&plain).next().and_then(Result::ok).expect("a batch that is well-formed");
    let compressed = compress(plain.records, codec);
    let mut decompression = decompression::decompression();
    for _ in 0..rounds {
        let mut count = 0;
        decompression.begin(&Batch { records: black_box(&compressed), ..plain }, codec);
        while decompression.advance() {
            for record in decompression.records(2, 0).expect("a piece") {
                black_box(record.expect("a record that is well-formed"));
                count += 1;
            }
        }
        assert_eq!(count, reports.len());
    }
    reports.len()
}

fn compress(records: &[u8], codec: Codec) -> Vec<u8> {
    let compressed = match codec {
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(records).and_then(|()| encoder.finish())
        }
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(records).and_then(|()| encoder.finish().map_err(Into::into))
        }
        Codec::Snappy => snap::raw::Encoder::new().compress_vec(records).map_err(Into::into),
        Codec::Zstd => zstd::encode_all(records, 3),
    };
    compressed.expect("bytes that are there can be compressed")
}

/// The work of the bulk reader for each record, from the bytes of a response to the cell.
fn count_batch(rounds: u32) -> usize {
    let mut reports: Vec<Report> = reports(16).flat_map(|report| [report; 5]).collect();
    reports.reverse();
    let batch = batch(&reports);
    let mut decoder = Decoder::default();
    for _ in 0..rounds {
        let mut checkpoint = Checkpoint::empty(2, 0);
        for run in Batches::new(black_box(&batch)) {
            let batch = run.expect("a batch that is well-formed");
            for record in Records::of_run(2, 0, batch.run()) {
                let record = record.expect("a record that is well-formed");
                assert!(black_box(checkpoint.apply(record.offset, record.value, &mut decoder)).is_ok());
            }
        }
        assert_eq!(black_box(checkpoint).offset, reports.len() as i64);
    }
    reports.len()
}

fn write(rounds: u32) -> usize {
    let checkpoint = counted(1000);
    for _ in 0..rounds {
        black_box(black_box(&checkpoint).to_json());
    }
    1
}

fn read(rounds: u32) -> usize {
    let json = counted(1000).to_json();
    for _ in 0..rounds {
        assert!(black_box(Checkpoint::from_json(black_box(&json))).is_ok());
    }
    1
}

/// A checkpoint that has counted all but some days of `years` years.
fn counted(years: i16) -> Checkpoint {
    let mut checkpoint = Checkpoint::empty(2, 0);
    for (number, report) in reports(years).enumerate() {
        if number % 100 != 50 {
            checkpoint.statistics.add(&report);
        }
        checkpoint.offset += 1;
    }
    checkpoint
}

/// A record batch as producers send it, with months as keys.
fn batch(reports: &[Report]) -> Vec<u8> {
    let int32 = |number: usize| i32::try_from(number).expect("no more than a batch can hold").to_be_bytes();
    // Attributes, the last record's offset, times and producer, and how many there are.
    let mut covered = vec![0; 2];
    covered.extend(int32(reports.len() - 1));
    covered.extend([0; 8 + 8 + 8 + 2 + 4]);
    covered.extend(int32(reports.len()));
    for (offset, report) in (0..).zip(reports) {
        let mut record = vec![0];
        // Its time is some milliseconds after the first one's.
        varint(&mut record, 100 * offset);
        varint(&mut record, offset);
        for bytes in [report.key().as_bytes(), &report.encode()] {
            varint(&mut record, bytes.len());
            record.extend(bytes);
        }
        // No headers.
        varint(&mut record, 0);
        varint(&mut covered, record.len());
        covered.extend(record);
    }
    let mut batch = vec![0; 8];
    // The length counts what follows it: leader epoch, magic and checksum come before what the checksum covers.
    batch.extend(int32(9 + covered.len()));
    batch.extend([0, 0, 0, 0, 2]);
    batch.extend(crc32c::crc32c(&covered).to_be_bytes());
    batch.extend(covered);
    batch
}

/// A number that is not negative, in the encoding that has room for a sign.
fn varint(bytes: &mut Vec<u8>, number: usize) {
    let mut rest = number << 1;
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}
