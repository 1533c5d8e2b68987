//! Batches whose headers and records say what can't be: Kafka does not check all of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use crate::raw_produce::{Codec, RawBatch, produce};
use crate::second_fold::{Fold, Log, Record, encoded};
use crate::support::{Campaign, Kafka, Place, Random, Raw, Running, eventually, kafka};

const ALL: [&str; 5] = ["consumer", "0", "1", "2", "3"];
const SHORT_SIZE: usize = 60;
/// No consumer needs more, whatever a batch decompresses to.
const MEMORY_MAX_MIB: u64 = 128;

fn reports(year: u16, month: u8, days: std::ops::RangeInclusive<u8>) -> Vec<Option<Vec<u8>>> {
    days.map(|day| Some(encoded(&format!("{year:04}-{month:02}-{day:02}"), f64::from(day)))).collect()
}

/// A topic of one partition with ten good days, to begin with.
fn place() -> Place {
    let place = Place::new();
    place.produce(&["--days", "10", "--duplicates", "0", "--partitions", "1"]);
    place
}

/// The lines that the consumer prints while it counts the whole topic.
#[track_caller]
fn counted(place: &Place, arguments: &[&str]) -> String {
    let mut consumer = place.almanac(arguments).start();
    place.caught_up(kafka(), "files");
    let ended = consumer.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stderr
}

#[track_caller]
fn verified(place: &Place) -> String {
    place.almanac(&["verify"]).succeeds().stdout
}

#[test]
fn a_record_that_claims_a_later_offset_leaves_nothing_out() {
    let place = place();
    let odd = RawBatch::of(reports(2020, 1, 1..=1)).with_deltas(&[300]);
    assert_eq!(produce(&place.brokers, &place.topic, 0, &odd), Ok(10));
    place.produce(&["--append", "--days", "300", "--duplicates", "0"]);
    let said = counted(&place, &ALL[..2]);
    assert_eq!(
        said.matches("the records of the batch at offset 10 carry wrong offsets").count(),
        1,
        "{said}"
    );
    assert_eq!(place.days("files"), 311);
    let printed = verified(&place);
    assert!(printed.contains("311 records = 311 counted + 0 duplicates + 0 rejected, the same"), "{printed}");
    assert!(printed.contains("311 offsets = 311 records\n"), "{printed}");
}

#[test]
fn a_record_past_the_end_of_the_log_stops_nothing() {
    for delta in [1_000_000, i64::from(i32::MAX), i64::from(i32::MIN)] {
        let place = place();
        let odd = RawBatch::of(reports(2020, 1, 1..=1)).with_deltas(&[delta]);
        assert_eq!(produce(&place.brokers, &place.topic, 0, &odd), Ok(10));
        counted(&place, &ALL[..2]);
        assert_eq!((place.days("files"), place.checkpoints("files")[0].offset), (11, 11), "{delta}");
        verified(&place);
    }
}

#[test]
fn deltas_that_fall_or_repeat_lose_no_record() {
    let place = place();
    for (month, deltas) in [(1, [0, 0, 0, 0]), (2, [3, 2, 1, 0]), (3, [0, -5, 1, 2]), (4, [7, 7, -1, 9])] {
        let odd = RawBatch::of(reports(2020, month, 1..=4)).with_deltas(&deltas);
        produce(&place.brokers, &place.topic, 0, &odd).unwrap();
    }
    // While they come one by one, as well.
    let mut consumer = place.almanac(&ALL[..2]).start();
    eventually("all are counted", || place.days("files") == 26);
    let odd = RawBatch::of(reports(2020, 5, 1..=4)).with_deltas(&[9, 8, 7, 6]);
    produce(&place.brokers, &place.topic, 0, &odd).unwrap();
    eventually("all are counted", || place.days("files") == 30);
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    verified(&place);
}

/// Reports are found by `--append` and `debug` as well.
#[test]
fn every_reader_of_the_topic_sees_all_records() {
    let place = place();
    let mut debug = place.almanac(&["debug", "--group", &place.topic]).start();
    eventually("it reads", || {
        let odd = RawBatch::of(reports(2020, 1, 1..=3)).with_deltas(&[300, 2, 2]);
        produce(&place.brokers, &place.topic, 0, &odd).unwrap();
        debug.stdout().contains("2020-01-03")
    });
    let stdout = debug.stdout();
    assert!(stdout.contains("2020-01-01") && stdout.contains("2020-01-02"), "{stdout}");
    debug.terminate();
}

#[test]
fn a_topic_with_compaction_is_warned_of() {
    let place = place();
    alter(&place, "cleanup.policy", "compact");
    let said = counted(&place, &ALL[..2]);
    assert!(said.contains("has cleanup.policy=compact"), "{said}");
    let ended = place.almanac(&["verify"]).fails(5);
    assert!(ended.stderr.contains("cleanup.policy=compact"), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("each day in the log is counted; the rest can't be checked"),
        "{}",
        ended.stdout
    );
}

/// Changes a property of a topic.
fn alter(place: &Place, name: &str, value: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &place.brokers).create().unwrap();
    let config = AlterConfig::new(ResourceSpecifier::Topic(&place.topic)).set(name, value);
    let altered = admin.alter_configs([&config], &AdminOptions::new());
    futures_executor::block_on(altered).unwrap().into_iter().for_each(|result| drop(result.unwrap()));
}

/// The most memory that a process has had.
fn memory_peak_mib(process: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_batch_that_decompresses_to_far_more_needs_no_more_memory() {
    let place = Place::new();
    place.produce(&["--days", "100", "--duplicates", "0"]);
    let one = vec![Some(vec![0; 180 << 20])];
    let many = vec![Some(vec![0; 900_000]); 250];
    for (partition, codec, values) in [(1, Codec::Zstd, one), (2, Codec::Gzip, many)] {
        let batch = RawBatch { codec, ..RawBatch::of(values) };
        produce(&place.brokers, &place.topic, partition, &batch).unwrap();
    }
    place.produce(&["--append", "--days", "100", "--duplicates", "0"]);
    for _ in 0..2 {
        let mut consumer = place.almanac(&ALL).start();
        eventually("it owns all", || place.owned_by(&consumer, "files") == 4);
        place.caught_up(kafka(), "files");
        let memory = memory_peak_mib(&consumer);
        assert!(memory < MEMORY_MAX_MIB, "{memory} MiB");
        assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    }
    assert_eq!(place.days("files"), 200);
    let rejected = fs::metadata(place.dir("files/partition-2.rejected.jsonl")).unwrap().len();
    assert!(rejected < 8 << 20, "{rejected} bytes");
    let too_large = fs::read_to_string(place.dir("files/partition-1.rejected.jsonl")).unwrap();
    assert!(
        too_large.contains("\"reason\":\"too_large\"") && too_large.contains("\"value_bytes\":188743680")
    );
    verified(&place);
}

/// The records sent to a partition and acknowledged, by offset.
struct Sent {
    place: Place,
    logs: Vec<Log>,
    refused: usize,
    odd: usize,
}

impl Sent {
    fn next_offset(&self, partition: usize) -> i64 {
        self.logs[partition].keys().next_back().map_or(0, |last| last + 1)
    }

    fn acknowledged(&mut self, partition: usize, base_offset: i64, values: Vec<Option<Vec<u8>>>) {
        assert_eq!(base_offset, self.next_offset(partition));
        for (offset, value) in (base_offset..).zip(values) {
            self.logs[partition].insert(offset, Record { key: None, value });
        }
    }

    /// One batch with random claims.
    fn hostile(&mut self, random: &mut Random) {
        let partition = random.below(4) as usize;
        let count = 1 + random.below(12) as usize;
        let mut batch = RawBatch::of((0..count).map(|_| value(random)).collect());
        let honest = batch.clone();
        for (index, (delta, _)) in batch.records.iter_mut().enumerate() {
            *delta = claim(random, index as i64);
        }
        if random.below(3) == 0 {
            batch.records = honest.records;
        }
        match random.below(12) {
            0 => batch.last_delta += 1 + random.below(300) as i32,
            1 => batch.last_delta -= 1,
            2 => batch.count += 1,
            3 => batch.attributes = 0x20,
            4 => batch.attributes = 0x10,
            _ => {}
        }
        batch.codec = [Codec::None, Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]
            [random.below(6) as usize];
        batch.has_headers = random.below(2) == 0;
        batch.timestamp_delta = [0, 1, -1_000_000, 1 << 40][random.below(4) as usize];
        let agrees = (0..).zip(&batch.records).all(|(index, (delta, _))| index == *delta);
        match produce(&self.place.brokers, &self.place.topic, partition as i32, &batch) {
            Err(_) => self.refused += 1,
            Ok(base_offset) => {
                self.odd += usize::from(!agrees);
                let values = batch.records.into_iter().map(|(_, value)| value).collect();
                self.acknowledged(partition, base_offset, values);
            }
        }
    }

    /// One record by a client that is in order.
    fn ordinary(&mut self, random: &mut Random) {
        let partition = random.below(4) as usize;
        let value = value(random);
        self.place.send(&[Raw { partition: partition as i32, key: None, value: value.as_deref() }]);
        self.acknowledged(partition, self.next_offset(partition), vec![value]);
    }
}

/// A report of some day, or none.
fn value(random: &mut Random) -> Option<Vec<u8>> {
    let (year, month, day) = (1990 + random.below(60), 1 + random.below(12), 1 + random.below(30));
    match random.below(10) {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(b"\xffnot a report".to_vec()),
        _ => Some(encoded(&format!("{year:04}-{month:02}-{day:02}"), random.below(400) as f64 / 10.0)),
    }
}

/// The offset that a record claims.
fn claim(random: &mut Random, index: i64) -> i64 {
    match random.below(8) {
        0 => index + random.below(300) as i64,
        1 => -1 - random.below(20) as i64,
        2 => 1_000_000,
        3 => i64::from(i32::MAX),
        4 => 0,
        5 => 20 - index,
        _ => index,
    }
}

#[test]
fn campaign() {
    let campaign = Campaign::new("hostile-batches", SHORT_SIZE);
    let mut random = campaign.random();
    let place = Place::new();
    place.produce(&["--days", "1", "--duplicates", "0"]);
    let mut sent = Sent { logs: vec![Log::new(); 4], place, refused: 0, odd: 0 };
    for (partition, log) in
        sent.logs.iter_mut().zip(crate::second_fold::read_topic(&sent.place.brokers, &sent.place.topic, 4))
    {
        *partition = log;
    }
    let mut named = sent.place.almanac(&ALL).start();
    let mut member = sent.place.almanac_in("group", &["consumer", "--group", &sent.place.topic]).start();
    for _ in 0..campaign.size {
        sent.hostile(&mut random);
        if random.below(2) == 0 {
            sent.ordinary(&mut random);
        }
    }
    let mut records = 0;
    for dir in ["files", "group", "bulk"] {
        if dir == "bulk" {
            sent.place.replay(kafka(), dir);
        }
        sent.place.caught_up(kafka(), dir);
        records = check(&sent, dir);
    }
    for consumer in [&mut named, &mut member] {
        let ended = consumer.terminate();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let warned = ended.stderr.matches("carry wrong offsets").count();
        assert_eq!(warned, sent.odd, "one warning for each:\n{}", ended.stderr);
    }
    for (partition, log) in (0..).zip(&sent.logs) {
        let values = log.values().map(|record| hex(record.value.as_deref().unwrap_or_default()));
        let dumped = dumped(kafka(), &sent.place.topic, partition);
        assert_eq!(dumped, values.collect::<Vec<_>>(), "Kafka's own code finds other records");
    }
    campaign.say(&format!(
        "{} batches, {} refused by Kafka, {} accepted with wrong offsets; {records} records counted right, three times",
        campaign.size, sent.refused, sent.odd
    ));
}

/// Compares the files with what was acknowledged. Gives the number of records.
fn check(sent: &Sent, dir: &str) -> usize {
    let ended = sent.place.almanac_in(dir, &["verify"]).run();
    // A day may be in two partitions here, and then only that is wrong.
    assert!(ended.code == Some(0) || ended.stderr.contains(" is counted in partitions "), "{}", ended.stderr);
    let verified = ended.stdout;
    let dir = sent.place.dir(dir);
    let mut records = 0;
    for (partition, log) in sent.logs.iter().enumerate() {
        let end = sent.next_offset(partition);
        let fold = Fold::of(log, end);
        assert!(verified.contains(&fold.verdict(partition)), "{verified}");
        fold.compare(&fs::read(dir.join(format!("partition-{partition}.json"))).unwrap(), partition, end)
            .unwrap();
        let rejected = fs::read(dir.join(format!("partition-{partition}.rejected.jsonl"))).unwrap();
        fold.compare_rejected(&rejected, end).unwrap();
        records += log.len();
    }
    records
}

/// The values in the files of a partition's log, by Kafka's own code.
fn dumped(kafka: &Kafka, topic: &str, partition: i32) -> Vec<String> {
    let files = fs::read_dir(kafka.log_dir(topic, partition)).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|extension| extension == "log")).collect();
    segments.sort();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/Clients.java");
    let mut java = Command::new("java");
    let output =
        java.arg("-cp").arg(kafka.class_path()).arg(source).arg("dump").args(segments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.lines().filter_map(|line| line.strip_prefix("value ")).map(str::to_owned).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
