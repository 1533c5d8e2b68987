//! A network that does damage, between the binary and a Kafka whose advertised address is the damaging proxy's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use almanac::kafka::{Admin, Connection, Record, extent, read_spans};
use almanac::report::Decoder;
use jiff::ToSpan;
use jiff::civil::Date;

use crate::proxy::{Fault, Field, Flip, Network, Proxy, Storm};
use crate::support::{Campaign, Place, Random, Raw, Running, eventually, eventually_within};

/// Trials at a time, each with a proxy of its own.
const LANES: usize = 4;

/// Trials; as many as there are fields are one round over all of them.
const SHORT_SIZE: usize = 14;

/// Half of the days that the readers' log has.
const HALF: &str = "1000";

/// Days that a trial of a producer sends.
const SENT: &str = "300";

/// Days sent in the storm, and as many more for each trial.
const STORM_DAYS_MIN: usize = 800;
const STORM_DAYS: usize = 10;
const STORM_DAYS_MAX: usize = 20_000;

/// No reader needs more, whatever lengths a response claims: a frame may be 100 MB.
const MEMORY_MAX_MIB: usize = 200;

/// How long a reader may take, once with the damage and once after it.
const PROGRESS_MAX: Duration = Duration::from_secs(60);
/// A member that was cut off while it joined waits until that membership has expired: 10 s later, maybe more than
/// once. If it was new to the group, Kafka keeps it for up to five minutes.
const JOIN_MAX: Duration = Duration::from_secs(330);

/// How long the client waits for an answer that the damage has swallowed; by default a minute.
const ANSWER_MAX: [&str; 2] = ["-X", "socket.timeout.ms=2000"];

/// A setting of connections, and the default: but only librdkafka knows it.
const LIBRDKAFKA_ONLY: [&str; 2] = ["-X", "broker.address.family=any"];

/// So few records at a time that one reading takes many frames.
const SMALL_FETCHES: [&str; 6] =
    ["-X", "fetch.message.max.bytes=3000", "-X", "fetch.max.bytes=12000", "-X", "message.max.bytes=1000"];

/// Those first in which a wrong value was once taken for right.
const FIELDS: [Field; 49] = [
    Field::TopicLeaderEpoch,
    Field::Covered,
    Field::BaseOffset,
    Field::LeaderEpoch,
    Field::ListOffset,
    Field::TopicId,
    Field::AskedOffset,
    Field::FetchPartitionError,
    Field::Magic,
    Field::CorrelationId,
    Field::FetchPartition,
    Field::SentCovered,
    Field::SentPartition,
    Field::AckError,
    Field::Crc,
    Field::BatchLength,
    Field::CoveredAndCrc,
    Field::FrameSize,
    Field::FetchError,
    Field::FetchTopicId,
    Field::HighWatermark,
    Field::LastStableOffset,
    Field::LogStartOffset,
    Field::RecordsSize,
    Field::PreferredReplica,
    Field::AskedPartition,
    Field::AskedLeaderEpoch,
    Field::NodeId,
    Field::ClusterId,
    Field::TopicError,
    Field::TopicName,
    Field::TopicPartition,
    Field::TopicLeader,
    Field::ListError,
    Field::ListPartition,
    Field::ListLeaderEpoch,
    Field::EpochError,
    Field::EpochPartition,
    Field::EpochEpoch,
    Field::EpochEnd,
    Field::SentCrc,
    Field::SentBaseOffset,
    Field::SentBatchLength,
    Field::SentMagic,
    Field::SentTopic,
    Field::SentAcks,
    Field::SentCoveredAndCrc,
    Field::AckPartition,
    Field::AckBaseOffset,
];

/// Flips that readers once accepted, or that made them stop for good. Each has the bit, counted from the field's
/// right, the frames with the field before it, and whether the reader has a checkpoint already.
const ONCE_WRONG: [(Field, u64, u64, bool); 9] = [
    // Records left out, or counted under other offsets.
    (Field::BaseOffset, 4, 3, false),
    (Field::BaseOffset, 1, 3, false),
    // An epoch that there never was, in `log.json`: the next start would take the log for one that was cut.
    (Field::LeaderEpoch, 6, 3, false),
    // The first offset of the log, at the first start: no later check would find the records that were left out.
    (Field::ListOffset, 7, 0, false),
    // A topic that seems to be another one.
    (Field::TopicId, 5, 0, true),
    // An error and a format that have no name.
    (Field::FetchPartitionError, 11, 3, false),
    (Field::Magic, 4, 3, false),
    // The client keeps the highest epoch that it has seen.
    (Field::TopicLeaderEpoch, 1, 0, false),
    (Field::TopicLeaderEpoch, 1, 1, true),
];

fn is_written(field: Field) -> bool {
    field >= Field::SentCovered
}

/// Fields that no checksum covers, and whose wrong values can look valid.
const UNPROTECTED: [Field; 6] = [
    Field::BaseOffset,
    Field::CoveredAndCrc,
    Field::FetchPartition,
    Field::AskedPartition,
    Field::SentPartition,
    Field::SentCoveredAndCrc,
];

/// Fields at which the client library (2.12.1) may end the process. It asserts that it requested each partition of a
/// response. After a batch whose checksum is wrong, it continues at the wrong place. It reads a topic's name after
/// freeing it. Its bindings have no name for some error numbers.
const ABORTING: [Field; 9] = [
    Field::Covered,
    Field::Crc,
    Field::BatchLength,
    Field::FetchPartition,
    Field::AskedPartition,
    Field::RecordsSize,
    Field::TopicName,
    Field::TopicError,
    Field::AckError,
];

/// The outcomes of one changed bit. Of several, the last in this order counts.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Outcome {
    /// It was over before a frame with the field came.
    NotDone,
    NoEffect,
    /// The connection ended, and another one went on.
    Dropped,
    /// Caught: read again from the checkpoint; or refused by the broker, and sent again.
    Again,
    /// The checkpoint was archived, and the log counted from its start.
    CountedAnew,
    /// An error that names its cause, and a next start that goes on.
    ErrorExit,
    /// The client library ended the process; the next start goes on.
    Aborted,
    /// No progress until the process was started again.
    Stalled,
    /// Other files than those of an undisturbed reading, or other records than those sent.
    Wrong,
    /// The next start, with nothing disturbed, does not go on.
    Stuck,
}

const OUTCOMES: [Outcome; 10] = [
    Outcome::NotDone,
    Outcome::NoEffect,
    Outcome::Dropped,
    Outcome::Again,
    Outcome::CountedAnew,
    Outcome::ErrorExit,
    Outcome::Aborted,
    Outcome::Stalled,
    Outcome::Wrong,
    Outcome::Stuck,
];

/// A log to read, and what an undisturbed reader makes of it.
struct Ground<'a> {
    place: Place,
    lanes: &'a [Proxy],
    ends: Vec<i64>,
}

impl<'a> Ground<'a> {
    fn new(network: &'a Network) -> Ground<'a> {
        let place = Place::on(&network.kafka);
        let small = ["-X", "batch.num.messages=20"];
        place.produce(&[&["--days", HALF, "--duplicates", "0.3"], &small[..]].concat());
        place.replay(&network.kafka, "half");
        place.produce(&[&["--append", "--days", HALF, "--duplicates", "0.3"], &small[..]].concat());
        let garbage = |partition| Raw { partition, key: None, value: Some(b"\xffnot a report") };
        place.send(&[0, 1, 2, 3].map(garbage));
        place.replay(&network.kafka, "whole");
        Ground { ends: network.kafka.high_watermarks(&place.topic), lanes: &network.lanes, place }
    }

    /// The files that must be the same, whatever happened on the way: checkpoint, rejected records, log.
    fn files(dir: &Path, partition: usize) -> [String; 3] {
        [
            format!("partition-{partition}.json"),
            format!("partition-{partition}.rejected.jsonl"),
            format!(".almanac/{partition}/log.json"),
        ]
        .map(|name| fs::read_to_string(dir.join(name)).unwrap_or_default())
    }

    /// One reading with one bit changed.
    fn read(&self, lane: usize, trial: Trial, memory: &AtomicUsize) -> (Outcome, String) {
        let Trial { field, flip, is_resumed, who, partitions, is_small, has_replay } = trial;
        let proxy = &self.lanes[lane];
        let place = Place {
            topic: self.place.topic.clone(),
            brokers: proxy.address.clone(),
            temp: tempfile::tempdir().unwrap(),
        };
        if is_resumed {
            copy_dir(&self.place.dir("half"), &place.dir("files"));
        }
        let who: Vec<&str> = who.iter().map(String::as_str).collect();
        let most = if who.contains(&"--group") { JOIN_MAX } else { PROGRESS_MAX };
        let fetches = if is_small { &SMALL_FETCHES[..] } else { &[] };
        let client = if has_replay { &[][..] } else { &LIBRDKAFKA_ONLY };
        let arguments = [&["consumer", "-v"], &who[..], &ANSWER_MAX, fetches, client].concat();
        proxy.aim(flip);
        let is_through = || {
            let found = place.checkpoints("files");
            partitions.clone().all(|partition: usize| {
                found.iter().any(|checkpoint| {
                    (usize::try_from(checkpoint.partition), checkpoint.offset)
                        == (Ok(partition), self.ends[partition])
                })
            })
        };
        let mut consumer = place.almanac(&arguments).start();
        let mut outcome = Outcome::NotDone;
        let mut said = String::new();
        if let Some(ended) = reading(&mut consumer, most, &is_through) {
            outcome = ended;
            said = consumer.stderr();
        }
        let (flipped, hung_up) = proxy.flipped();
        proxy.calm();
        memory.fetch_max(memory_peak(&consumer), Ordering::Relaxed);
        if consumer.is_running() {
            let ended = consumer.terminate();
            if ended.code != Some(0) {
                outcome =
                    outcome.max(if ended.code.is_some() { Outcome::ErrorExit } else { Outcome::Aborted });
                said = ended.stderr;
            }
        }
        let stderr = consumer.stderr();
        assert!(!stderr.contains("panicked"), "{field:?} {flipped:?}: {stderr}");
        if outcome > Outcome::NoEffect {
            let mut again = place.almanac(&arguments).start();
            if reading(&mut again, most, &is_through).is_some() {
                outcome = Outcome::Stuck;
                write!(said, " AGAIN: {}", again.stderr()).unwrap();
            }
            if again.is_running() {
                again.terminate();
            }
        }
        let archived = place.dir("files/archive").exists();
        outcome = outcome.max(match () {
            () if archived || stderr.contains("created again") => Outcome::CountedAnew,
            () if stderr.contains("asking anew") => Outcome::Again,
            () if ["going back to the checkpoint", "looking again", "reading again"]
                .iter()
                .any(|said| stderr.contains(said)) =>
            {
                Outcome::Again
            }
            () if hung_up => Outcome::Dropped,
            () if flipped.is_none() => Outcome::NotDone,
            () => Outcome::NoEffect,
        });
        let whole = self.place.dir("whole");
        for partition in partitions {
            let (ours, theirs) =
                (Self::files(&place.dir("files"), partition), Self::files(&whole, partition));
            if outcome < Outcome::Stuck && ours != theirs {
                outcome = Outcome::Wrong;
                let name = ["checkpoint", "rejected", "log.json"];
                let which: Vec<&str> =
                    (0..3).filter(|&index| ours[index] != theirs[index]).map(|index| name[index]).collect();
                let direct = Place { brokers: self.place.brokers.clone(), ..self.place_at(&place) };
                let verified = direct.almanac(&["verify", &partition.to_string()]).run();
                write!(said, " partition {partition} {which:?}, verify exits {:?}", verified.code).unwrap();
            }
        }
        if flipped.is_none() {
            return (outcome, said);
        }
        let said: Vec<&str> = said.lines().collect();
        let shown =
            format!("{arguments:?} {} {} {}", flipped.unwrap_or_default(), archived, said.join(" | "));
        (outcome, shown)
    }

    /// The same place, to be asked in another way.
    fn place_at(&self, place: &Place) -> Place {
        let temp = tempfile::tempdir().unwrap();
        copy_dir(&place.dir("files"), &temp.path().join("files"));
        Place { topic: self.place.topic.clone(), brokers: String::new(), temp }
    }
}

/// One attempt with one reader.
struct Trial {
    field: Field,
    flip: Flip,
    /// From the checkpoint of half the log; else with nothing.
    is_resumed: bool,
    /// The arguments that say what is read, and what that is.
    who: Vec<String>,
    partitions: Range<usize>,
    is_small: bool,
    /// Without a replay, all is read by librdkafka.
    has_replay: bool,
}

impl Trial {
    fn once_wrong((field, bit, skip, is_resumed): (Field, u64, u64, bool), has_replay: bool) -> Trial {
        Trial {
            field,
            flip: Flip { field, skip, bit: Some(bit), random: Random(1) },
            is_resumed,
            who: ["0", "1", "2", "3"].map(str::to_owned).to_vec(),
            partitions: 0..4,
            is_small: true,
            has_replay,
        }
    }

    fn random(field: Field, mut random: Random) -> Trial {
        let asks_epoch =
            matches!(field, Field::EpochError | Field::EpochPartition | Field::EpochEpoch | Field::EpochEnd);
        let is_resumed = asks_epoch || random.below(2) == 0;
        let group = format!("group-{}", random.next());
        let (who, partitions): (&[&str], _) = match random.below(4) {
            0 => (&["0", "1"], 0..2),
            1 | 2 => (&["0", "1", "2", "3"], 0..4),
            _ => (&["--group", &group], 0..4),
        };
        let who = who.iter().map(ToString::to_string).collect();
        let is_small = random.below(4) > 0;
        // About as many frames as there are with the field.
        let frames = match field {
            Field::ListError | Field::ListPartition | Field::ListOffset | Field::ListLeaderEpoch => 6,
            Field::TopicLeader | Field::TopicLeaderEpoch | Field::TopicPartition | Field::NodeId => 6,
            Field::TopicError | Field::TopicName | Field::TopicId | Field::ClusterId => 6,
            _ if asks_epoch || !is_small => 2,
            _ => 8,
        };
        let skip = random.below(frames);
        let has_replay = random.below(2) == 0;
        let flip = Flip { field, skip, bit: None, random };
        Trial { field, flip, is_resumed, who, partitions, is_small, has_replay }
    }
}

/// Waits for the reading's end; gives back what else came of it.
fn reading(consumer: &mut Running, most: Duration, is_through: &impl Fn() -> bool) -> Option<Outcome> {
    let deadline = Instant::now() + most;
    while !is_through() {
        if !consumer.is_running() {
            let ended = consumer.ended();
            assert_ne!(ended.code, Some(0), "it ended by itself: {}", ended.stderr);
            return Some(if ended.code.is_some() { Outcome::ErrorExit } else { Outcome::Aborted });
        }
        if Instant::now() > deadline {
            return Some(Outcome::Stalled);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The most memory that a process has had, in KiB; 0 once it has ended.
fn memory_peak(process: &Running) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// One sending with one bit changed.
fn write(network: &Network, lane: usize, field: Field, mut random: Random) -> (Outcome, String) {
    let proxy = &network.lanes[lane];
    // Not a number that counts up: one bit further must be no other topic.
    let topic = format!("temperatures-{:x}", random.next());
    let place = Place { topic, brokers: proxy.address.clone(), temp: tempfile::tempdir().unwrap() };
    let direct = Place {
        topic: place.topic.clone(),
        brokers: network.kafka.bootstrap.clone(),
        temp: tempfile::tempdir().unwrap(),
    };
    proxy.aim(Flip { field, skip: random.below(12), bit: None, random });
    let small = ["--days", SENT, "--duplicates", "0", "-X", "batch.num.messages=20"];
    let sent = place
        .almanac(
            &[&["producer", "--interval", "0"], &small[..], &ANSWER_MAX, &["-X", "request.timeout.ms=2000"]]
                .concat(),
        )
        .run();
    let (flipped, _) = proxy.flipped();
    proxy.calm();
    assert!(!sent.stderr.contains("panicked"), "{field:?} {flipped:?}: {}", sent.stderr);
    let mut outcome = match sent.code {
        Some(0) if flipped.is_none() => Outcome::NotDone,
        Some(0) if proxy.has_refused() => Outcome::Again,
        Some(0) => Outcome::NoEffect,
        Some(_) => Outcome::ErrorExit,
        None => Outcome::Aborted,
    };
    let mut said = sent.stderr.lines().collect::<Vec<_>>().join(" | ");
    if outcome >= Outcome::ErrorExit {
        let there = dates(&direct).len();
        let left = (SENT.parse::<usize>().unwrap() - there.min(300)).max(1).to_string();
        let ended = direct
            .almanac(&[
                "producer",
                "--append",
                "--interval",
                "0",
                "--days",
                &left,
                "--duplicates",
                "0",
                "--start",
                "1990-01-01",
            ])
            .run();
        if ended.code != Some(0) {
            outcome = Outcome::Stuck;
            write!(said, " AGAIN: {}", ended.stderr).unwrap();
        }
    }
    let dates = dates(&direct);
    let distinct: BTreeSet<Date> = dates.iter().map(|(_, date)| *date).collect();
    let misplaced = dates.iter().filter(|(partition, date)| partition_of(*date) != *partition).count();
    let (repeated, days) = (dates.len() - distinct.len(), distinct.len());
    let is_gapless =
        distinct.iter().zip(distinct.iter().skip(1)).all(|(day, next)| day.tomorrow().ok() == Some(*next));
    if days < 300 || repeated > 0 || misplaced > 0 || !is_gapless {
        outcome = outcome.max(Outcome::Wrong);
        write!(said, " {days} days, {repeated} repeated, {misplaced} misplaced, gapless {is_gapless}")
            .unwrap();
    }
    (outcome, format!("{} {said}", flipped.unwrap_or_default()))
}

/// If a broker does not know a producer in a partition yet, it takes any batch as the first one. The client decides
/// which of the first frames is a partition's first. One of these is.
#[test]
fn no_batch_overtakes_one_that_the_broker_refused() {
    let network = Network::start(1);
    let proxy = &network.lanes[0];
    for skip in 0..12 {
        let topic = format!("temperatures-{skip}");
        let place = Place { topic, brokers: proxy.address.clone(), temp: tempfile::tempdir().unwrap() };
        proxy.aim(Flip { field: Field::SentCovered, skip, bit: None, random: Random(skip) });
        let one_by_one = ["-X", "batch.num.messages=1", "-X", "linger.ms=0"];
        let sending = ["producer", "--interval", "0", "--days", "151", "--duplicates", "0"];
        place.almanac(&[&sending[..], &one_by_one].concat()).succeeds();
        assert!(proxy.has_refused(), "nothing was refused");
        proxy.calm();
        let mut sent: Vec<String> = dates(&place).iter().map(|(_, date)| date.to_string()).collect();
        sent.sort();
        let first: Date = "1990-01-01".parse().unwrap();
        let days: Vec<String> = first.series(1.day()).take(151).map(|date| date.to_string()).collect();
        assert_eq!(sent, days);
    }
}

/// Hundreds of batches are taken one after the other, with nothing written between them.
#[test]
fn an_offset_changed_within_a_large_answer_leaves_nothing_out() {
    let network = Network::start(1);
    let proxy = &network.lanes[0];
    let place = Place::on(&network.kafka);
    // Batches of 5 kB or so: each answer has hundreds of them.
    place.produce(&["--days", "80000", "--duplicates", "0.1", "-X", "batch.num.messages=200"]);
    place.replay(&network.kafka, "fresh");
    let mut jumps = 0;
    // A batch that seems to begin earlier is not a jump, so there are as many trials as it takes.
    for trial in 0..20 {
        let dir = format!("trial-{trial}");
        proxy.aim(Flip { field: Field::BaseOffset, skip: 0, bit: Some(trial % 6), random: Random(trial) });
        let consumer = place.almanac_in(&dir, &["consumer", "0", "1", "2", "3", "-v"]);
        let mut consumer = consumer.env("ALMANAC_BROKERS", &proxy.address).start();
        place.caught_up(&network.kafka, &dir);
        let ended = consumer.terminate();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(proxy.flipped().0.is_some(), "nothing was changed");
        jumps += usize::from(ended.stderr.contains("reading again"));
        proxy.calm();
        place.assert_same_files("fresh", &dir);
        if jumps == 2 {
            return;
        }
    }
    panic!("{jumps} offsets were changed to later ones");
}

/// A leader that was paused while the topic was deleted and created again lists the former log's offsets for a moment.
#[test]
fn a_first_offset_of_the_former_log_is_not_believed() {
    let network = Network::start(1);
    let proxy = &network.lanes[0];
    let place = Place::on(&network.kafka);
    place.produce(&["--days", "40", "--partitions", "1"]);
    proxy.list_start(7);
    let consumer = place.almanac_in("files", &["consumer", "0"]);
    let mut consumer = consumer.env("ALMANAC_BROKERS", &proxy.address).start();
    consumer.stderr_line_with("were answered differently; the consumer has connected again and again");
    assert!(!place.dir("files/partition-0.json").exists());
    proxy.calm();
    place.caught_up(&network.kafka, "files");
    assert_eq!(consumer.terminate().code, Some(0));
    place.almanac_in("files", &["verify"]).succeeds();
    assert_eq!(place.days("files"), 40);
}

/// As in a rolling upgrade: one broker has told the versions that it knows, and another one knows less.
#[test]
fn a_broker_that_knows_no_new_fetch_is_read() {
    let network = Network::start(1);
    let proxy = &network.lanes[0];
    let place = Place::on(&network.kafka);
    place.produce(&["--days", "400"]);
    proxy.limit_fetch(13);
    let consumer = place.almanac_in("files", &["consumer", "0", "1", "2", "3"]);
    let mut consumer = consumer.env("ALMANAC_BROKERS", &proxy.address).start();
    place.caught_up(&network.kafka, "files");
    place.produce(&["--append", "--days", "100"]);
    place.caught_up(&network.kafka, "files");
    assert_eq!(consumer.terminate().code, Some(0));
    assert_eq!(place.days("files"), 500);
}

/// The partition that the partitioner of all clients chooses for a day's month.
fn partition_of(date: Date) -> i32 {
    match date.month() {
        3 | 8 | 9 => 0,
        2 | 7 => 1,
        1 | 4 | 6 | 12 => 2,
        _ => 3,
    }
}

/// The partition and date of each record that is a report.
fn dates(place: &Place) -> Vec<(i32, Date)> {
    let connection = Connection { brokers: place.brokers.clone(), properties: Vec::new() };
    let admin = Admin::new(&connection).unwrap();
    let (mut dates, mut decoder) = (Vec::new(), Decoder::default());
    let each = |record: &Record| {
        dates.extend(decoder.decode(record.value).map(|report| (record.partition, report.date)));
    };
    read_spans(&connection, &place.topic, &extent(&admin, &place.topic, 4).unwrap(), each).unwrap();
    dates
}

/// The faults of a bad network, except those that no reader can detect.
const STORM: [Fault; 9] = [
    Fault::Delay,
    Fault::Throttle,
    Fault::Split,
    Fault::Fin,
    Fault::Reset,
    Fault::BlackHole,
    Fault::Flip(Field::Covered),
    Fault::Flip(Field::Crc),
    Fault::Flip(Field::SentCovered),
];

/// A producer, a consumer and a member of a group at work while many frames meet faults; then none do.
fn storm(network: &Network, days: usize, random: &mut Random) -> String {
    let [for_producer, for_consumer, for_member, ..] = &network.lanes[..] else { panic!("three lanes") };
    let direct = Place {
        topic: format!("temperatures-{:x}", random.next()),
        brokers: network.kafka.bootstrap.clone(),
        temp: tempfile::tempdir().unwrap(),
    };
    let through = |proxy: &Proxy, arguments: &[&str], dir: &str| {
        let command = direct.almanac_in(dir, &[arguments, &ANSWER_MAX].concat());
        command.env("ALMANAC_BROKERS", &proxy.address).start()
    };
    let wanted = days.to_string();
    let sending = ["producer", "--interval", "5ms", "--duplicates", "0", "-X", "request.timeout.ms=2000"];
    let mut producer = through(for_producer, &[&sending[..], &["--days", &wanted]].concat(), "files");
    let mut consumer = through(for_consumer, &["consumer", "0", "1", "2", "3"], "files");
    let mut member = through(for_member, &["consumer"], "group");
    eventually("the first days are counted", || ["files", "group"].iter().all(|dir| direct.days(dir) > 0));
    for proxy in [for_producer, for_consumer, for_member] {
        let random = Random(random.next());
        proxy.storm(Storm { per_mille: 200, faults: STORM.to_vec(), random });
    }
    // As a supervisor does, where the client library gives up the process; an error of ours would be a fault.
    let mut revived = 0;
    let mut revive = |running: &mut Running, proxy: &Proxy, arguments: &[&str], dir: &str| {
        if !running.is_running() {
            let ended = running.ended();
            assert!(ended.code.is_none() && ended.stderr.contains("Assertion"), "{}", ended.stderr);
            *running = through(proxy, arguments, dir);
            revived += 1;
        }
    };
    let mut starts = 1;
    loop {
        eventually_within(Duration::from_secs(300), "the producer ends", || {
            revive(&mut consumer, for_consumer, &["consumer", "0", "1", "2", "3"], "files");
            revive(&mut member, for_member, &["consumer"], "group");
            !producer.is_running()
        });
        let ended = producer.ended();
        assert!(ended.code.is_some() && !ended.stderr.contains("panicked"), "{}", ended.stderr);
        if ended.code == Some(0) {
            break;
        }
        assert!(starts < 20, "{}", ended.stderr);
        starts += 1;
        let there: BTreeSet<Date> = dates(&direct).into_iter().map(|(_, date)| date).collect();
        if there.len() == days {
            break;
        }
        let left = (days - there.len()).to_string();
        producer = through(for_producer, &[&sending[..], &["--append", "--days", &left]].concat(), "files");
    }
    let mut done: BTreeMap<Fault, u64> = BTreeMap::new();
    for proxy in [for_producer, for_consumer, for_member] {
        proxy.calm();
        proxy.done().into_iter().for_each(|(fault, count)| *done.entry(fault).or_default() += count);
    }
    let calm = Instant::now();
    revive(&mut consumer, for_consumer, &["consumer", "0", "1", "2", "3"], "files");
    revive(&mut member, for_member, &["consumer"], "group");
    for (running, dir) in [(&mut consumer, "files"), (&mut member, "group")] {
        let records = network.kafka.records(&direct.topic);
        eventually_within(JOIN_MAX, "the checkpoints pass every record", || {
            assert!(running.is_running(), "{}", running.stderr());
            direct.passed(dir) == records
        });
    }
    let recovered = calm.elapsed().as_millis();
    let memory = memory_peak(&consumer).max(memory_peak(&member));
    for ended in [consumer.terminate(), member.terminate()] {
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
    let dates = dates(&direct);
    let distinct: BTreeSet<Date> = dates.iter().map(|(_, date)| *date).collect();
    assert_eq!(distinct.len(), days, "days have arrived, after {starts} starts of the producer");
    // If a producer gave up, its batches in flight may still arrive after the next one has checked the topic.
    if starts == 1 {
        let mut seen = BTreeSet::new();
        let twice: Vec<_> = dates.iter().filter(|(_, date)| !seen.insert(date)).collect();
        assert!(twice.is_empty(), "one producer sent these twice: {twice:?}");
    }
    direct.replay(&network.kafka, "fresh");
    for dir in ["files", "group"] {
        direct.assert_same_files("fresh", dir);
        direct.almanac_in(dir, &["verify"]).succeeds();
    }
    let faults: Vec<String> = done.iter().map(|(fault, count)| format!("{count} {fault:?}")).collect();
    let repeats = dates.len() - days;
    format!(
        "storm: {days} days, {repeats} repeats, {starts} starts of the producer, {revived} consumers started again, {}; caught up {recovered} ms after it, {} MiB at most",
        faults.join(", "),
        memory / 1024
    )
}

#[test]
fn campaign() {
    let campaign = Campaign::new("network", SHORT_SIZE);
    let network = Network::start(LANES);
    let ground = Ground::new(&network);
    let mut random = campaign.random();
    let seeds: Vec<u64> = (0..campaign.size).map(|_| random.next()).collect();
    let (next, memory) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let trials: Mutex<Vec<(Field, Outcome, String)>> = Mutex::default();
    let run = |lane: usize, index: usize| {
        if let Some(&case) = ONCE_WRONG.get(index / 2) {
            let (outcome, said) =
                ground.read(lane, Trial::once_wrong(case, index.is_multiple_of(2)), &memory);
            let was_mended = outcome < Outcome::CountedAnew
                || (case.0 == Field::FetchPartitionError && outcome == Outcome::ErrorExit);
            assert!(was_mended, "{case:?}: {outcome:?}: {said}");
            return true;
        }
        let index = index - 2 * ONCE_WRONG.len();
        let Some(&seed) = seeds.get(index) else { return false };
        let field = FIELDS[index % FIELDS.len()];
        let (outcome, said) = match is_written(field) {
            true => write(&network, lane, field, Random(seed)),
            false => ground.read(lane, Trial::random(field, Random(seed)), &memory),
        };
        trials.lock().unwrap().push((field, outcome, said));
        true
    };
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (next, run) = (&next, &run);
            scope.spawn(move || while run(lane, next.fetch_add(1, Ordering::Relaxed)) {});
        }
    });
    let trials = trials.into_inner().unwrap();
    campaign.say(&table(&trials));
    let weather =
        storm(&network, (STORM_DAYS_MIN + STORM_DAYS * campaign.size).min(STORM_DAYS_MAX), &mut random);
    let memory = memory.load(Ordering::Relaxed) / 1024;
    campaign.say(&format!("{weather}; {memory} MiB at most in trials"));
    assert!(memory < MEMORY_MAX_MIB, "{memory} MiB");
    let refused: Vec<_> = trials.iter().filter(|(field, outcome, _)| !is_allowed(*field, *outcome)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

fn is_allowed(field: Field, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Stuck | Outcome::Stalled => false,
        Outcome::Wrong => UNPROTECTED.contains(&field),
        Outcome::Aborted => ABORTING.contains(&field),
        _ => true,
    }
}

fn table(trials: &[(Field, Outcome, String)]) -> String {
    let mut counts: BTreeMap<Field, HashMap<Outcome, usize>> = BTreeMap::new();
    for (field, outcome, _) in trials {
        *counts.entry(*field).or_default().entry(*outcome).or_default() += 1;
    }
    let mut text = format!("{} trials\n| field |", trials.len());
    OUTCOMES.iter().for_each(|outcome| write!(text, " {outcome:?} |").unwrap());
    for (field, counts) in counts {
        write!(text, "\n| {field:?} |").unwrap();
        OUTCOMES.iter().for_each(|outcome| {
            write!(text, " {} |", counts.get(outcome).copied().unwrap_or(0)).unwrap();
        });
    }
    text
}
