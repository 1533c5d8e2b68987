//! A log counted again behind TLS or not, and with each compression: by almanac, and by librdkafka that only counts.

use std::fs;
use std::path::Path;
use std::time::Instant;

use almanac::kafka::batches::{Batch, Batches, Codec};
use anyhow::{Context, Result, ensure};
use openssl::cipher::Cipher as EvpCipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::symm::{Cipher, encrypt_aead};

use crate::Options;
use crate::consumers::{Measured, Subject, measure, ratio};
use crate::figures::{Spread, rate, table, target, three_digits};
use crate::kafka::{Kafka, PARTITIONS, fresh};
use crate::process::Cores;

const CODECS: [&str; 5] = ["none", "lz4", "zstd", "gzip", "snappy"];
/// The cells that Kafka Streams is measured in.
const STREAMS_IN: [&str; 2] = ["none", "lz4"];
/// The cost of reading and counting a record, without its decompression, in ns: as much as without any.
const PLAIN_NS: f64 = 23.0;

struct Cell {
    codec: &'static str,
    is_tls: bool,
    rows: Vec<(Subject, Vec<Measured>)>,
    /// Nanoseconds that the same libraries take to decrypt and decompress a record's share of its batch.
    bare_ns: f64,
}

pub fn measure_all(kafka: &Kafka, data: &Path, temp: &Path, options: &Options) -> Result<()> {
    println!("## TLS and compression\n");
    println!(
        "{} days and {} repeats of each. Kafka has one core, its client the other.\n",
        options.days, options.duplicates
    );
    let mut cells = Vec::new();
    for codec in CODECS {
        let topic = format!("grid-{codec}");
        kafka.fill_compressed(&topic, options.days, options.duplicates, codec)?;
        let (decompress_ns, decrypt_ns) = bare(data, &topic).context(codec)?;
        cells.extend([(false, 0.0), (true, decrypt_ns)].map(|(is_tls, decrypt_ns)| Cell {
            codec,
            is_tls,
            rows: Vec::new(),
            bare_ns: decompress_ns + decrypt_ns,
        }));
    }
    Cores::Pinned.hold_broker(kafka.pid)?;
    for round in 0..options.rounds {
        for cell in &mut cells {
            cell.measure(round, kafka, temp, options)?;
        }
    }
    Cores::Any.hold_broker(kafka.pid)?;
    print(&cells);
    print_targets(&cells);
    println!();
    Ok(())
}

impl Cell {
    fn name(&self) -> String {
        format!("{}, {}", if self.is_tls { "TLS" } else { "plain" }, self.codec)
    }

    fn measure(&mut self, round: usize, kafka: &Kafka, temp: &Path, options: &Options) -> Result<()> {
        let mut subjects = vec![Subject::Almanac, Subject::Yardstick];
        if !self.is_tls && STREAMS_IN.contains(&self.codec) && options.has_peer("kafka-streams") {
            subjects.push(Subject::Peer("kafka-streams"));
        }
        let first = round % subjects.len();
        subjects.rotate_left(first);
        let (topic, kafka) =
            (format!("grid-{}", self.codec), if self.is_tls { kafka.secured() } else { kafka.open() });
        for subject in subjects {
            let dir = fresh(&temp.join("grid"))?;
            let measured = measure(subject, Cores::Pinned, &kafka, &topic, &dir)
                .with_context(|| format!("{subject:?} in {}", self.name()))?;
            eprintln!("round {}: {}: {subject:?}: {}/s", round + 1, self.name(), rate(measured.rate));
            match self.rows.iter_mut().find(|row| row.0 == subject) {
                Some(row) => row.1.push(measured),
                None => self.rows.push((subject, vec![measured])),
            }
        }
        Ok(())
    }

    fn of(&self, subject: Subject) -> &[Measured] {
        self.rows.iter().find(|row| row.0 == subject).map_or(&[], |row| row.1.as_slice())
    }

    /// The median of almanac's rate compared with another's.
    fn times(&self, subject: Subject) -> f64 {
        ratio(self.of(Subject::Almanac), self.of(subject), |measured| measured.rate)
    }

    fn median(&self, subject: Subject, of: fn(&Measured) -> f64) -> f64 {
        Spread::of(self.of(subject).iter().map(of)).median
    }
}

fn print(cells: &[Cell]) {
    let rows = cells.iter().map(|cell| {
        let ns = |subject| three_digits(cell.median(subject, |measured| measured.cpu) * 1000.0);
        let streams = Subject::Peer("kafka-streams");
        vec![
            cell.name(),
            three_digits(cell.times(Subject::Yardstick)),
            Spread::of(cell.of(Subject::Almanac).iter().map(|measured| measured.rate)).show(rate),
            Spread::of(cell.of(Subject::Yardstick).iter().map(|measured| measured.rate)).show(rate),
            ns(Subject::Almanac),
            ns(Subject::Yardstick),
            three_digits(cell.bare_ns),
            format!("{:.0}", cell.median(Subject::Almanac, |measured| measured.memory)),
            if cell.of(streams).is_empty() { String::new() } else { three_digits(cell.times(streams)) },
        ]
    });
    table(
        &[
            "",
            "almanac's rate is … times librdkafka's",
            "almanac, records/s",
            "librdkafka only counting, records/s",
            "almanac, client CPU ns a record",
            "librdkafka, client CPU ns a record",
            "decrypting and decompressing alone, ns a record",
            "almanac, peak MiB",
            "almanac's rate is … times Kafka Streams'",
        ],
        &rows.collect::<Vec<_>>(),
    );
}

fn print_targets(cells: &[Cell]) {
    let plain = cells.iter().find(|cell| cell.codec == "none" && !cell.is_tls);
    let yardstick = plain.map_or(f64::NAN, |cell| cell.median(Subject::Yardstick, |measured| measured.rate));
    for cell in cells {
        let name = cell.name();
        let wanted = if !cell.is_tls && ["lz4", "zstd"].contains(&cell.codec) { 5.0 } else { 3.0 };
        target(
            &format!("{name}: records/s compared with librdkafka"),
            cell.times(Subject::Yardstick),
            ">=",
            wanted,
            " ×",
        );
        let cpu = cell.median(Subject::Almanac, |measured| measured.cpu) * 1000.0;
        target(&format!("{name}: client CPU"), cpu, "<=", 1.5 * cell.bare_ns + PLAIN_NS, " ns a record");
        let rate = cell.median(Subject::Almanac, |measured| measured.rate);
        target(
            &format!("{name}: records/s compared with librdkafka, plain, none"),
            rate / yardstick,
            ">=",
            1.0,
            " ×",
        );
        target(&format!("{name}: memory"), cell.median(Subject::Almanac, |m| m.memory), "<=", 64.0, " MiB");
    }
}

/// The least time of several in which a plain loop decompresses the batches of a topic, and in which one decrypts as many
/// bytes, in ns a record.
fn bare(data: &Path, topic: &str) -> Result<(f64, f64)> {
    let mut segments = Vec::new();
    for partition in 0..PARTITIONS {
        for entry in fs::read_dir(data.join(format!("logs/{topic}-{partition}")))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                segments.push(fs::read(path)?);
            }
        }
    }
    let batches: Vec<Batch> = segments.iter().flat_map(|segment| Batches::new(segment)).flatten().collect();
    let records: u64 = batches.iter().map(|batch| u64::from(batch.count)).sum();
    ensure!(records > 0, "{topic} has no batches");
    let mut decompressor = Decompressor::new()?;
    let decompress = least(|| batches.iter().try_for_each(|batch| decompressor.decompress(batch)))?;
    let is_plain = batches.iter().all(|batch| batch.codec.is_none());
    let bytes = segments.iter().map(Vec::len).sum();
    let per_record = |ns: f64| ns / records as f64;
    Ok((if is_plain { 0.0 } else { per_record(decompress) }, per_record(decryption(bytes)?)))
}

fn least(mut done: impl FnMut() -> Result<()>) -> Result<f64> {
    const TIMES: usize = 3;
    let mut least = f64::INFINITY;
    for _ in 0..TIMES {
        let start = Instant::now();
        done()?;
        least = least.min(start.elapsed().as_nanos() as f64);
    }
    Ok(least)
}

/// Nanoseconds to decrypt so many bytes in records of TLS 1.3, with the cipher that Java and OpenSSL agree on.
fn decryption(bytes: usize) -> Result<f64> {
    const RECORD: usize = 16 << 10;
    let (cipher, key, nonce) = (Cipher::aes_256_gcm(), [7; 32], [9; 12]);
    let mut tag = [0; 16];
    let sealed = encrypt_aead(cipher, &key, Some(&nonce), &[], &[5; RECORD], &mut tag)?;
    let mut plain = vec![0; RECORD + cipher.block_size()];
    let mut context = CipherCtx::new()?;
    context.decrypt_init(Some(EvpCipher::aes_256_gcm()), Some(&key), None)?;
    least(|| {
        for _ in 0..bytes.div_ceil(RECORD) {
            context.decrypt_init(None, None, Some(&nonce))?;
            context.set_tag(&tag)?;
            let length = context.cipher_update(&sealed, Some(&mut plain))?;
            context.cipher_final(plain.get_mut(length..).context("it is longer")?)?;
        }
        Ok(())
    })
}

/// Each library at its best: what it allocates is used again.
struct Decompressor {
    buffer: Vec<u8>,
    zstd: zstd::bulk::Decompressor<'static>,
    gzip: flate2::Decompress,
}

impl Decompressor {
    fn new() -> Result<Decompressor> {
        const BATCH_MAX: usize = 8 << 20;
        let (zstd, gzip) = (zstd::bulk::Decompressor::new()?, flate2::Decompress::new(false));
        Ok(Decompressor { buffer: vec![0; BATCH_MAX], zstd, gzip })
    }

    fn decompress(&mut self, batch: &Batch) -> Result<()> {
        const GZIP_HEADER: usize = 10;
        match batch.codec {
            None => {}
            Some(Codec::Zstd) => drop(self.zstd.decompress_to_buffer(batch.records, &mut self.buffer)?),
            Some(Codec::Snappy) => {
                snap::raw::Decoder::new().decompress(batch.records, &mut self.buffer)?;
            }
            Some(Codec::Gzip) => {
                self.gzip.reset(false);
                let deflated = batch.records.get(GZIP_HEADER..).context("no gzip")?;
                self.gzip.decompress(deflated, &mut self.buffer, flate2::FlushDecompress::Finish)?;
            }
            Some(Codec::Lz4) => {
                let mut frame = lz4_flex::frame::FrameDecoder::new(batch.records);
                let mut end = 0;
                while let count @ 1.. = std::io::Read::read(&mut frame, &mut self.buffer[end..])? {
                    end += count;
                }
            }
        }
        Ok(())
    }
}
