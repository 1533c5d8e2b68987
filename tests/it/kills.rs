//! A campaign of SIGKILLs to consumers of both kinds, under a live stream whose topic is created again now and then.
//!
//! Two processes with named partitions share one DIR, and the members of a group share another. Each is killed a
//! moment after its own first checkpoint is durable. Some are killed before that, while they claim the partitions,
//! and some in the middle of a write. At kills and at the end, the test compares the files with those of a second,
//! independent fold.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use almanac::checkpoint::Checkpoint;
use almanac::report::MONTHS;
use almanac::store::{self, Paths, Rejected};
use jiff::civil::{Date, date};
use rdkafka::ClientContext;
use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use serde_json::Value;

use crate::second_fold::{Fold, Log, Record, encoded, read_topic};
use crate::support::{Campaign, Kafka, Place, Random, Running, eventually};

const PARTITIONS: usize = 4;
const SHORT_KILLS: usize = 20;
/// DIR of those that name their partitions, and of those that leave it to the group.
const DIRS: [&str; 2] = ["manual", "group"];
const SLOTS: [Slot; 5] = [
    Slot { dir: "manual", arguments: &["0", "2"] },
    Slot { dir: "manual", arguments: &["1", "3"] },
    Slot { dir: "group", arguments: &[] },
    Slot { dir: "group", arguments: &[] },
    // Comes back as the same member, without a rebalance if it is quick.
    Slot { dir: "group", arguments: &["-X", "group.instance.id=steady"] },
];
/// A member that is killed is missed after a second.
const MEMBER: [&str; 8] = [
    "--group",
    "kills",
    "--handover-timeout",
    "1s",
    "-X",
    "session.timeout.ms=1000",
    "-X",
    "heartbeat.interval.ms=200",
];
/// Paces of checkpoints; none is the default one. The short ones make kills in the middle of a write likely.
const PACES: [Option<&str>; 4] = [None, Some("1ms"), Some("20ms"), Some("200ms")];
const RECORDS_PER_SECOND: u32 = 250;

#[test]
fn campaign() {
    let campaign = Campaign::new("kills", SHORT_KILLS);
    let kafka = Kafka::start(&["group.min.session.timeout.ms=1000"]);
    let place = Place::on(&kafka);
    let shared = Shared {
        place: &place,
        kafka: &kafka,
        size: campaign.size,
        left: DIRS.map(|dir| (dir, AtomicUsize::new(share(campaign.size, dir)))),
        kills: AtomicUsize::new(0),
        early: AtomicUsize::new(0),
        counted: AtomicUsize::new(0),
        while_writing: AtomicUsize::new(0),
        while_archiving: AtomicUsize::new(0),
        snapshots: Mutex::default(),
        current: Mutex::default(),
        watches: DIRS.map(|dir| Mutex::new(Watch::new(&place, dir))),
        is_over: AtomicBool::new(false),
    };
    let mut random = campaign.random();
    let mut stream = Stream {
        shared: &shared,
        random: Random(random.next()),
        formers: Vec::new(),
        tally: Tally::default(),
    };
    stream.create_topic();
    let mut consumers = thread::scope(|scope| {
        let slots: Vec<_> = (0..SLOTS.len())
            .map(|slot| {
                let (random, shared) = (Random(random.next()), &shared);
                scope.spawn(move || {
                    let _guard = StopOnPanic(shared);
                    shared.run_slot(slot, random)
                })
            })
            .collect();
        let guard = StopOnPanic(&shared);
        stream.run();
        drop(guard);
        slots.into_iter().map(|slot| slot.join().unwrap()).collect::<Vec<Running>>()
    });
    for dir in DIRS {
        place.caught_up(&kafka, dir);
    }
    for (slot, consumer) in SLOTS.iter().zip(&mut consumers) {
        let ended = consumer.terminate();
        // A member that was given up by the group, and whose partition another took before it knew, says so at its end.
        let was_taken_over = slot.dir == "group" && ended.stderr.contains("was taken over by");
        assert!(ended.code == Some(0) || (was_taken_over && ended.code == Some(6)), "{ended:#?}");
    }
    stream.settle();
    place.assert_same_files("manual", "group");

    let kills = shared.kills.load(Ordering::Relaxed);
    let counted = shared.counted.load(Ordering::Relaxed);
    let handovers = shared.watch("group").handovers;
    assert_eq!(shared.watch("manual").handovers, 0, "partitions that are named go to nobody else");
    assert_eq!(kills, campaign.size);
    assert!(counted * 10 >= kills * 9, "{counted} of {kills} kills came after a checkpoint of that run");
    assert!(handovers > 0, "no partition went to another living member");
    assert!(stream.formers.len() > 1, "the topic was never created again");
    let tally = &stream.tally;
    campaign.say(&format!(
        "{kills} kills ({} of partitions named, {} of members), {counted} after a checkpoint of that run, {} seen to be in \
         the middle of a write, {} while a former topic goes to the archive; \
         {handovers} hand-overs to another living member, {} re-creations; \
         {} records = {} counted + {} duplicates + {} rejected, {} aborted; \
         {} checkpoints at kills, {} archived and {} at the end are what the second fold makes",
        share(kills, "manual"),
        share(kills, "group"),
        shared.while_writing.load(Ordering::Relaxed),
        shared.while_archiving.load(Ordering::Relaxed),
        stream.formers.len() - 1,
        tally.records,
        tally.counted,
        tally.duplicates,
        tally.rejected,
        tally.aborted,
        tally.snapshots,
        tally.archived,
        2 * PARTITIONS,
    ));
}

/// How many of the kills go to the consumers of this DIR; those of the group take longer.
fn share(kills: usize, dir: &str) -> usize {
    let of_members = kills * 2 / 5;
    if dir == "group" { of_members } else { kills - of_members }
}

struct Slot {
    dir: &'static str,
    arguments: &'static [&'static str],
}

/// The parts that the slots and the stream share.
struct Shared<'a> {
    place: &'a Place,
    kafka: &'a Kafka,
    size: usize,
    /// Kills still to come.
    left: [(&'static str, AtomicUsize); 2],
    kills: AtomicUsize,
    early: AtomicUsize,
    counted: AtomicUsize,
    while_writing: AtomicUsize,
    while_archiving: AtomicUsize,
    snapshots: Mutex<Vec<Snapshot>>,
    /// The id of the topic; nothing while it is being created again.
    current: Mutex<String>,
    watches: [Mutex<Watch<'a>>; 2],
    is_over: AtomicBool,
}

/// Lets all threads end when one of them fails.
struct StopOnPanic<'a, 'b>(&'b Shared<'a>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.is_over.store(true, Ordering::Relaxed);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Shared<'a> {
    fn watch(&self, dir: &str) -> MutexGuard<'_, Watch<'a>> {
        locked(&self.watches[usize::from(dir == "group")])
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn are_kills_done(&self) -> bool {
        self.kills.load(Ordering::Relaxed) >= self.size
    }

    /// Whether the topic of this id is there no more, or will soon not be.
    fn is_former(&self, id: &str) -> bool {
        *locked(&self.current) != id
    }

    /// One more kill in this DIR, if there is one left.
    fn take_kill(&self, dir: &str) -> bool {
        let left = &self.left.iter().find(|(name, _)| *name == dir).unwrap().1;
        left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// One more kill that need not count, of which there are few.
    fn take_early_kill(&self) -> bool {
        let most = self.size / 20;
        self.early
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |early| (early < most).then_some(early + 1))
            .is_ok()
    }

    /// Starts and kills a consumer over and over; gives back the last one, which lives.
    fn run_slot(&self, slot: usize, mut random: Random) -> Running {
        let dir = SLOTS[slot].dir;
        loop {
            let mut running = self.start(slot, &mut random);
            if !self.take_kill(dir) {
                return running;
            }
            let pid = running.pid();
            // Some at any moment from the start on, also before there is anything of their own.
            if random.below(100) < 6 && self.take_early_kill() {
                thread::sleep(Duration::from_micros(random.below(1_500_000)));
            } else {
                self.wait_for_checkpoint(dir, &mut running);
                match random.below(8) {
                    0 => self.wait_for_archiving(dir, &mut random),
                    1 | 2 => self.wait_for_write(dir, pid),
                    _ => thread::sleep(Duration::from_micros(random.below(60_000))),
                }
            }
            if self.is_over() {
                return running;
            }
            assert!(running.is_running(), "it ended by itself:\n{}", running.stderr());
            running.kill_9();
            self.look_after_kill(dir, pid);
            if dir == "group" && random.below(2) == 0 {
                self.wait_for_handover(dir, pid);
            }
        }
    }

    fn start(&self, slot: usize, random: &mut Random) -> Running {
        let Slot { dir, arguments } = SLOTS[slot];
        let mut consumer = [&["consumer"], arguments].concat();
        if dir == "group" {
            consumer.extend(MEMBER);
        }
        let pace = PACES[usize::try_from(random.below(PACES.len() as u64)).unwrap()];
        consumer.extend(pace.iter().flat_map(|pace| ["--checkpoint-every", pace]));
        // Before it can be seen in a lock, so that it is known there.
        let mut watch = self.watch(dir);
        let running = self.place.almanac_in(dir, &consumer).start();
        watch.began(running.pid(), slot);
        running
    }

    fn wait_for_checkpoint(&self, dir: &str, running: &mut Running) {
        let pid = running.pid();
        eventually("a run makes a checkpoint durable", || {
            assert!(running.is_running(), "it ended by itself:\n{}", running.stderr());
            let mut watch = self.watch(dir);
            watch.glance();
            watch.durable.contains(&pid) || self.is_over()
        });
    }

    /// Waits until the process is in the middle of a write, or has had time for many.
    fn wait_for_write(&self, dir: &str, pid: u32) {
        let epochs = self.watch(dir).epochs_of(pid);
        let is_writing = || {
            epochs.iter().any(|epoch| fs::read_dir(epoch).is_ok_and(|mut entries| entries.next().is_some()))
        };
        let deadline = Instant::now() + Duration::from_millis(300);
        while Instant::now() < deadline {
            if is_writing() {
                self.while_writing.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Waits until the former topic's checkpoints begin to go to the archive, if the topic is created again soon.
    fn wait_for_archiving(&self, dir: &str, random: &mut Random) {
        let current = locked(&self.current).clone();
        if current.is_empty() {
            return;
        }
        let archive = self.place.dir(dir).join("archive").join(current);
        let deadline = Instant::now() + Duration::from_secs(6);
        while !archive.exists() {
            if Instant::now() > deadline || self.is_over() {
                return;
            }
            thread::sleep(Duration::from_micros(500));
        }
        self.while_archiving.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_micros(random.below(20_000)));
    }

    fn look_after_kill(&self, dir: &str, pid: u32) {
        let mut watch = self.watch(dir);
        // It wrote these after the last poll.
        watch.glance();
        if watch.durable.remove(&pid) {
            self.counted.fetch_add(1, Ordering::Relaxed);
        }
        self.kills.fetch_add(1, Ordering::Relaxed);
        for snapshot in watch.check(|id| self.is_former(id)) {
            if watch.owners[snapshot.partition].as_ref().is_some_and(|owner| owner.pid == pid) {
                locked(&self.snapshots).push(snapshot);
            }
        }
    }

    /// Gives the others time to take what the killed member had.
    fn wait_for_handover(&self, dir: &str, pid: u32) {
        let deadline = Instant::now() + Duration::from_secs(5);
        let is_owner = || {
            let mut watch = self.watch(dir);
            watch.glance();
            watch.owners.iter().flatten().any(|owner| owner.pid == pid)
        };
        // The others may have been killed as well, so this need not come.
        while is_owner() && Instant::now() < deadline && !self.is_over() && !self.are_kills_done() {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The files of a partition as they were after a kill.
struct Snapshot {
    dir: &'static str,
    topic_id: String,
    partition: usize,
    offset: i64,
    checkpoint: Vec<u8>,
    /// Nothing where they had gone to the archive already.
    rejected: Option<Vec<u8>>,
}

/// The observations of one DIR.
struct Watch<'a> {
    place: &'a Place,
    dir: &'static str,
    owners: [Option<Ownership>; PARTITIONS],
    seen: [Seen; PARTITIONS],
    /// The slot that each process runs in.
    slots: HashMap<u32, usize>,
    /// The processes that have made a checkpoint of their own durable.
    durable: HashSet<u32>,
    handovers: usize,
}

struct Ownership {
    pid: u32,
    epoch: u64,
    /// The checkpoint's offset when this was first seen.
    offset: i64,
}

#[derive(Default)]
struct Seen {
    topic_id: String,
    is_archived: bool,
    /// The highest offset of each topic id.
    offsets: BTreeMap<String, i64>,
}

impl<'a> Watch<'a> {
    fn new(place: &'a Place, dir: &'static str) -> Watch<'a> {
        Watch {
            place,
            dir,
            owners: [const { None }; PARTITIONS],
            seen: Default::default(),
            slots: HashMap::new(),
            durable: HashSet::new(),
            handovers: 0,
        }
    }

    fn began(&mut self, pid: u32, slot: usize) {
        // The number may have been another process's before.
        self.durable.remove(&pid);
        self.slots.insert(pid, slot);
    }

    fn paths(&self, partition: usize) -> Paths {
        Paths::new(&self.place.dir(self.dir), i32::try_from(partition).unwrap())
    }

    fn private(&self, partition: usize) -> PathBuf {
        self.place.dir(self.dir).join(".almanac").join(partition.to_string())
    }

    fn epochs_of(&self, pid: u32) -> Vec<PathBuf> {
        let owned = (0..PARTITIONS).filter_map(|partition| {
            let owner = self.owners[partition].as_ref().filter(|owner| owner.pid == pid)?;
            Some(self.private(partition).join(owner.epoch.to_string()))
        });
        owned.collect()
    }

    /// A quick look at who owns what, and whether they have written.
    fn glance(&mut self) {
        for partition in 0..PARTITIONS {
            let Some((pid, epoch)) = self.owner(partition) else { continue };
            let Some(offset) = head_offset(&self.paths(partition).checkpoint()) else { continue };
            if self.owner(partition) != Some((pid, epoch)) {
                continue;
            }
            let former = &mut self.owners[partition];
            if let Some(same) = former.as_ref().filter(|former| (former.pid, former.epoch) == (pid, epoch)) {
                if same.offset != offset {
                    self.durable.insert(pid);
                }
                continue;
            }
            // Named in the lock before it makes its epoch: what is written until then may still be the former owner's.
            if former.as_ref().is_some_and(|former| epoch <= former.epoch) {
                continue;
            }
            let slot = |pid: u32| self.slots.get(&pid);
            let is_handover = former.as_ref().is_some_and(|former| slot(former.pid) != slot(pid));
            self.handovers += usize::from(is_handover);
            *former = Some(Ownership { pid, epoch, offset });
        }
    }

    /// The process that the lock names, and the only epoch that there is.
    fn owner(&self, partition: usize) -> Option<(u32, u64)> {
        let private = self.private(partition);
        let lock = fs::read_to_string(private.join("lock")).ok()?;
        // Written in place: a kill may leave the end of a longer line behind it.
        let owner: Value = serde_json::from_str(lock.lines().next()?).ok()?;
        let names = fs::read_dir(private).ok()?.flatten().map(|entry| entry.file_name());
        let epochs: Vec<u64> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        let [epoch] = epochs[..] else { return None };
        Some((u32::try_from(owner["pid"].as_u64()?).ok()?, epoch))
    }

    /// Reads all files of DIR strictly, and holds them against what has been seen before.
    fn check(&mut self, is_former: impl Fn(&str) -> bool) -> Vec<Snapshot> {
        (0..PARTITIONS).filter_map(|partition| self.check_partition(partition, &is_former)).collect()
    }

    fn check_partition(&mut self, partition: usize, is_former: impl Fn(&str) -> bool) -> Option<Snapshot> {
        let paths = self.paths(partition);
        if let Ok(status) = fs::read(paths.status()) {
            serde_json::from_slice::<almanac::status::Status>(&status).unwrap();
        }
        let topic_id = || Some(store::load_log(&paths).unwrap()?.topic_id);
        let (id, bytes, rejected) = loop {
            let before = topic_id();
            let (bytes, rejected) = (fs::read(paths.checkpoint()).ok(), fs::read(paths.rejected()).ok());
            if before == topic_id() {
                break (before, bytes, rejected);
            }
        };
        let Some(bytes) = bytes else {
            assert!(
                !self.seen[partition].offsets.contains_key(id.as_ref()?),
                "partition {partition} has vanished"
            );
            return None;
        };
        let id = id.expect("no checkpoint is without its log.json");
        let checkpoint = Checkpoint::from_json(&bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)));
        assert_eq!(usize::try_from(checkpoint.partition), Ok(partition));
        assert_rejected_can_be_read(rejected.as_deref().unwrap_or_default());

        let offset = checkpoint.offset;
        let seen = &mut self.seen[partition];
        if seen.topic_id != id {
            let is_new = !seen.offsets.contains_key(&id);
            assert!(is_new, "partition {partition} went back to the former topic {id}");
            seen.topic_id.clone_from(&id);
            seen.is_archived = false;
        }
        let highest = seen.offsets.entry(id.clone()).or_insert(offset);
        if offset < *highest || seen.is_archived {
            // The fresh checkpoint is there before log.json names its topic.
            assert!(
                offset == 0 && checkpoint.statistics.is_empty() && is_former(&id),
                "partition {partition} of {}, topic {id}: offset {offset} after {highest}",
                self.dir
            );
            seen.is_archived = true;
            return None;
        }
        *highest = offset;
        let archive = self.place.dir(self.dir).join("archive").join(&id);
        let is_archived = archive.join(format!("partition-{partition}.rejected.jsonl")).exists();
        Some(Snapshot {
            dir: self.dir,
            topic_id: id,
            partition,
            offset,
            checkpoint: bytes,
            rejected: rejected.filter(|_| !is_archived),
        })
    }
}

/// The offset that a checkpoint begins with.
fn head_offset(path: &PathBuf) -> Option<i64> {
    let mut head = String::new();
    fs::File::open(path).ok()?.take(64).read_to_string(&mut head).ok()?;
    head.split("\"offset\":").nth(1)?.split([',', '}']).next()?.parse().ok()
}

#[track_caller]
fn assert_rejected_can_be_read(lines: &[u8]) {
    let mut last = -1;
    // The last one may be still being written.
    for line in lines.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let entry: Rejected = serde_json::from_slice(line)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)));
        assert!(entry.offset > last, "rejected offset {} after {last}", entry.offset);
        last = entry.offset;
    }
}

/// A topic that was, or the one that is: what it holds, read when nothing was written to it any more.
struct Generation {
    id: String,
    logs: Vec<Log>,
}

#[derive(Default)]
struct Tally {
    records: usize,
    counted: usize,
    duplicates: usize,
    rejected: usize,
    aborted: usize,
    snapshots: usize,
    archived: usize,
}

/// Sends to the topic, creates it again, and knows what each of them held.
struct Stream<'a> {
    shared: &'a Shared<'a>,
    random: Random,
    formers: Vec<Generation>,
    tally: Tally,
}

impl Stream<'_> {
    /// Kills from one re-creation to the next.
    fn kills_per_topic(&self) -> usize {
        (self.shared.size / 60).max(8)
    }

    fn create_topic(&mut self) {
        locked(&self.shared.current).clear();
        let seed = self.random.below(1000).to_string();
        let days = (40 + self.random.below(400)).to_string();
        self.shared.place.produce(&[
            "--days",
            &days,
            "--seed",
            &seed,
            "--duplicates",
            "0.5",
            "--duplicate-degrees",
            "500",
        ]);
        *locked(&self.shared.current) = self.shared.kafka.describe(&self.shared.place.topic).unwrap().id;
    }

    /// Topic after topic, until the kills are done.
    fn run(&mut self) {
        let shared = self.shared;
        loop {
            let target = shared.kills.load(Ordering::Relaxed) + self.kills_per_topic();
            let logs =
                self.send_while(|| shared.kills.load(Ordering::Relaxed) < target && !shared.are_kills_done());
            let id = locked(&shared.current).clone();
            self.formers.push(Generation { id, logs });
            if shared.is_over() || (shared.are_kills_done() && self.formers.len() > 1) {
                return;
            }
            self.check_snapshots();
            self.create_topic();
        }
    }

    /// Sends as long as `goes_on` says, then until all that was sent is acknowledged, and everyone has come to this topic.
    fn send_while(&mut self, goes_on: impl Fn() -> bool) -> Vec<Log> {
        let shared = self.shared;
        let sender = Sender::new(shared.place, &[("partitioner", "murmur2_random")]);
        let transactions = Sender::new(shared.place, &[("transactional.id", &shared.place.topic)]);
        transactions.client.init_transactions(Duration::from_secs(30)).unwrap();
        let mut feed = Feed::new(Random(self.random.next()));
        let mut aborted = BTreeMap::new();
        let mut committed = BTreeMap::new();
        let began = Instant::now();
        let mut sent = 0;
        let mut next_look = Duration::ZERO;
        let mut is_settled = false;
        while (goes_on() || !is_settled) && !shared.is_over() {
            let is_due =
                |sent| f64::from(sent) < began.elapsed().as_secs_f64() * f64::from(RECORDS_PER_SECOND);
            // A machine that is too slow for that many would never come to look.
            while is_due(sent) && began.elapsed() <= next_look {
                sender.send(&feed.next());
                sent += 1;
                if self.random.below(150) == 0 {
                    let count = 1 + self.random.below(5);
                    transactions.client.begin_transaction().unwrap();
                    let is_kept = self.random.below(2) == 0;
                    (0..count).for_each(|_| transactions.send(&feed.aside(is_kept)));
                    let records = transactions.flush();
                    let timeout = Duration::from_secs(30);
                    if is_kept {
                        transactions.client.commit_transaction(timeout).unwrap();
                        committed.extend(records);
                    } else {
                        transactions.client.abort_transaction(timeout).unwrap();
                        aborted.extend(records);
                    }
                }
            }
            sender.client.poll(Duration::from_millis(10));
            if began.elapsed() > next_look {
                next_look = began.elapsed() + Duration::from_millis(200);
                is_settled = self.is_settled();
                assert!(
                    goes_on() || is_settled || began.elapsed() < Duration::from_secs(600),
                    "not all consumers have come to the topic"
                );
            }
        }
        committed.extend(sender.flush());
        self.tally.aborted += aborted.len();
        self.read(&committed, &aborted)
    }

    /// Whether every checkpoint is of the topic that is there now.
    fn is_settled(&self) -> bool {
        let current = locked(&self.shared.current).clone();
        let is_of_it = |dir: &str, partition: usize| {
            let paths = Paths::new(&self.shared.place.dir(dir), i32::try_from(partition).unwrap());
            store::load_log(&paths).unwrap().is_some_and(|log| log.topic_id == current)
        };
        DIRS.iter().all(|dir| (0..PARTITIONS).all(|partition| is_of_it(dir, partition)))
    }

    /// The records in the topic: all that were acknowledged, at their offsets, and none that was aborted.
    fn read(&self, committed: &Acknowledged, aborted: &Acknowledged) -> Vec<Log> {
        let place = self.shared.place;
        let logs = read_topic(&place.brokers, &place.topic, i32::try_from(PARTITIONS).unwrap());
        for ((partition, offset), record) in committed {
            assert_eq!(logs[*partition].get(offset), Some(record), "partition {partition}, offset {offset}");
        }
        for (partition, offset) in aborted.keys() {
            assert_eq!(
                logs[*partition].get(offset),
                None,
                "partition {partition}, offset {offset} was aborted"
            );
        }
        logs
    }

    /// Holds what was seen at kills against the second fold, as far as those topics are complete.
    fn check_snapshots(&mut self) {
        let (mut checked, left): (Vec<_>, Vec<_>) = std::mem::take(&mut *locked(&self.shared.snapshots))
            .into_iter()
            .partition(|snapshot| self.formers.iter().any(|former| former.id == snapshot.topic_id));
        locked(&self.shared.snapshots).extend(left);
        checked.sort_by_key(|snapshot| (snapshot.topic_id.clone(), snapshot.partition, snapshot.offset));
        self.tally.snapshots += checked.len();
        let mut fold: Option<(String, usize, Fold, i64)> = None;
        for Snapshot { dir, topic_id, partition, offset, checkpoint, rejected } in checked {
            let log = &self.formers.iter().find(|former| former.id == topic_id).unwrap().logs[partition];
            // Goes on where the one before it ended.
            let (mut so_far, start) = match fold.take() {
                Some((id, of, so_far, end)) if (&id, of) == (&topic_id, partition) => (so_far, end),
                _ => (Fold::default(), 0),
            };
            log.range(start..offset).for_each(|(offset, record)| so_far.take(*offset, record));
            let place = format!("partition {partition} of {dir}, topic {topic_id}, after a kill");
            assert_eq!(so_far.compare(&checkpoint, partition, offset), Ok(()), "{place}");
            if let Some(rejected) = rejected {
                assert_eq!(so_far.compare_rejected(&rejected, offset), Ok(()), "{place}");
            }
            fold = Some((topic_id, partition, so_far, offset));
        }
    }

    /// All that is there at the end, held against the second fold and what `verify` says.
    fn settle(&mut self) {
        self.check_snapshots();
        assert!(locked(&self.shared.snapshots).is_empty(), "checkpoints of topics that nobody created");
        let place = self.shared.place;
        let last = self.formers.last().unwrap();
        let ends = self.shared.kafka.high_watermarks(&place.topic);
        let mut verdicts = String::new();
        for (partition, (log, end)) in last.logs.iter().zip(&ends).enumerate() {
            let fold = Fold::of(log, *end);
            for dir in DIRS {
                let file = |name: &str| fs::read(place.dir(dir).join(name)).unwrap();
                let (checkpoint, rejected) =
                    (format!("partition-{partition}.json"), format!("partition-{partition}.rejected.jsonl"));
                assert_eq!(fold.compare(&file(&checkpoint), partition, *end), Ok(()), "{dir}");
                assert_eq!(fold.compare_rejected(&file(&rejected), *end), Ok(()), "{dir}");
            }
            verdicts.push_str(&(fold.verdict(partition) + "\n"));
        }
        for dir in DIRS {
            let verified = place.almanac_in(dir, &["verify"]).run();
            // The stream has days in more than one partition.
            let is_split = verified.code == Some(1) && verified.stderr.contains(" is counted in partitions ");
            assert!(is_split || verified.code == Some(0), "{verified:#?}");
            // Each partition's second line accounts for its offsets.
            let lines = verified.stdout.lines().filter(|line| line.starts_with("partition"));
            assert!(lines.eq(verdicts.lines()), "{dir}: {}\n{verdicts}", verified.stdout);
            self.check_archive(dir);
        }
        for log in self.formers.iter().flat_map(|former| &former.logs) {
            let fold = Fold::of(log, i64::MAX);
            self.tally.records += log.len();
            self.tally.counted += fold.counted();
            self.tally.duplicates += fold.duplicates();
            self.tally.rejected += fold.rejected();
        }
    }

    /// The archive holds files of those topics only, and every checkpoint that had counted a record.
    fn check_archive(&mut self, dir: &'static str) {
        let archive = self.shared.place.dir(dir).join("archive");
        let (_, formers) = self.formers.split_last().unwrap();
        let mut expected = HashSet::new();
        for Generation { id, logs } in formers {
            for (partition, log) in logs.iter().enumerate() {
                let highest = self.shared.watch(dir).seen[partition].offsets.get(id).copied().unwrap_or(0);
                let [checkpoint, rejected] = ["json", "rejected.jsonl"]
                    .map(|extension| archive.join(id).join(format!("partition-{partition}.{extension}")));
                let place = format!("partition {partition} of {dir}, topic {id}, archived");
                let Ok(bytes) = fs::read(&checkpoint) else {
                    let seen = Fold::of(log, highest);
                    assert_eq!((seen.counted(), seen.rejected()), (0, 0), "{place}: not there");
                    continue;
                };
                Checkpoint::from_json(&bytes).unwrap();
                let offset = head_offset(&checkpoint).unwrap();
                assert!(offset >= highest, "{place}: {offset} after {highest}");
                let fold = Fold::of(log, offset);
                assert_eq!(fold.compare(&bytes, partition, offset), Ok(()), "{place}");
                expected.insert(checkpoint);
                let lines = fs::read(&rejected).unwrap_or_default();
                assert_eq!(fold.compare_rejected(&lines, i64::MAX), Ok(()), "{place}");
                if !lines.is_empty() {
                    expected.insert(rejected);
                }
                self.tally.archived += 1;
            }
        }
        let directories = fs::read_dir(archive).unwrap().map(|entry| entry.unwrap().path());
        let files =
            directories.flat_map(|path| fs::read_dir(path).unwrap()).map(|entry| entry.unwrap().path());
        assert_eq!(files.collect::<HashSet<PathBuf>>(), expected, "{dir}");
    }
}

/// The records that were acknowledged, by partition and offset.
pub type Acknowledged = BTreeMap<(usize, i64), Record>;

/// A record in flight.
pub struct Outgoing {
    /// None: where the key says.
    partition: Option<i32>,
    record: Record,
}

pub struct Sender<'a> {
    client: BaseProducer<Deliveries>,
    topic: &'a str,
}

#[derive(Default)]
struct Deliveries(Mutex<(Acknowledged, Option<KafkaError>)>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut deliveries = locked(&self.0);
        match result {
            Ok(message) => {
                let partition = usize::try_from(message.partition()).unwrap();
                deliveries.0.insert((partition, message.offset()), Record::of(message));
            }
            Err((error, _)) => deliveries.1 = Some(error.clone()),
        }
    }
}

impl<'a> Sender<'a> {
    pub fn new(place: &'a Place, properties: &[(&str, &str)]) -> Sender<'a> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &place.brokers)
            .set("enable.idempotence", "true")
            // In small batches, so that there are offsets enough to be killed at.
            .set("batch.num.messages", "20");
        for (key, value) in properties {
            config.set(*key, *value);
        }
        Sender { client: config.create_with_context(Deliveries::default()).unwrap(), topic: &place.topic }
    }

    pub fn send(&self, outgoing: &Outgoing) {
        let Record { key, value } = &outgoing.record;
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(self.topic);
        record.partition = outgoing.partition;
        record.key = key.as_deref();
        record.payload = value.as_deref();
        while let Err((error, refused)) = self.client.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(Code::QueueFull));
            record = refused;
            self.client.poll(Duration::from_millis(10));
        }
    }

    pub fn poll(&self, time: Duration) {
        self.client.poll(time);
    }

    /// Waits until all is acknowledged, and takes what was.
    pub fn flush(&self) -> Acknowledged {
        self.client.flush(Duration::from_secs(60)).unwrap();
        let mut deliveries = locked(&self.client.context().0);
        assert_eq!(deliveries.1, None);
        std::mem::take(&mut deliveries.0)
    }
}

/// Days in the calendar's order, but some of them late; repeats of them; and records that are no reports.
pub struct Feed {
    random: Random,
    day: Date,
    /// Late days and repeats, by the day before which they go out.
    waiting: BTreeMap<Date, Vec<(Date, f64)>>,
}

impl Feed {
    pub fn new(mut random: Random) -> Feed {
        let start = date(1000 + i16::try_from(random.below(8000)).unwrap(), 1, 1);
        Feed { random, day: start, waiting: BTreeMap::new() }
    }

    pub fn next(&mut self) -> Outgoing {
        if self.random.below(100) < 8 {
            return self.rejected();
        }
        loop {
            if let Some(mut entry) = self.waiting.first_entry().filter(|entry| *entry.key() <= self.day) {
                if let Some((date, degrees)) = entry.get_mut().pop() {
                    return self.report(date, degrees);
                }
                entry.remove();
                continue;
            }
            let day = self.day;
            self.day = day.tomorrow().unwrap();
            let degrees = self.degrees();
            if self.random.below(4) == 0 {
                let repeated = self.degrees() + 1000.0;
                self.put_off(day, repeated);
            }
            if self.random.below(10) > 0 {
                return self.report(day, degrees);
            }
            self.put_off(day, degrees);
        }
    }

    /// Outside of the order: days of a year that does not come otherwise, or what must never be counted.
    fn aside(&mut self, is_kept: bool) -> Outgoing {
        let far = i64::try_from(self.random.below(365)).unwrap();
        let day = date(900, 1, 1).checked_add(jiff::Span::new().days(far)).unwrap();
        let degrees = if is_kept { self.degrees() } else { 900_000_000.0 };
        match self.random.below(3) {
            0 => self.rejected(),
            1 => self.report(day, degrees),
            _ => self.report(self.day, degrees),
        }
    }

    /// To be sent up to 40 days later.
    fn put_off(&mut self, day: Date, degrees: f64) {
        let days = 1 + i64::try_from(self.random.below(40)).unwrap();
        let until = day.checked_add(jiff::Span::new().days(days)).unwrap();
        self.waiting.entry(until).or_default().push((day, degrees));
    }

    /// From -30 to 50, with all the digits that a double has.
    fn degrees(&mut self) -> f64 {
        match self.random.below(20) {
            0 => 0.0,
            _ => self.random.next() as f64 / u64::MAX as f64 * 80.0 - 30.0,
        }
    }

    fn report(&mut self, day: Date, degrees: f64) -> Outgoing {
        let month = MONTHS[usize::from(day.month().unsigned_abs()) - 1];
        let text = day.to_string();
        let mut value = encoded(&text, degrees);
        match self.random.below(12) {
            // Degrees before the date.
            0 => value.rotate_left(2 + text.len()),
            // Fields that nobody knows: a number, bytes, a group.
            1 => value.extend_from_slice(b"\x18\x96\x01\x22\x02hi\x2b\x08\x07\x2c"),
            // Another date before it, that the last one overrides.
            2 => value.splice(0..0, encoded("not a day", 1.5)).for_each(drop),
            // An absent 0.0.
            3 if degrees == 0.0 => value.truncate(2 + text.len()),
            _ => {}
        }
        Outgoing { partition: None, record: Record { key: Some(month.into()), value: Some(value) } }
    }

    fn rejected(&mut self) -> Outgoing {
        let day = self.day.to_string();
        let value: Option<Vec<u8>> = match self.random.below(14) {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(b"\xff no protobuf \x00\n".to_vec()),
            3 => Some(encoded(&day, 1.0)[..15].to_vec()),
            4 => Some(b"\x08\x01".to_vec()),
            5 => Some(b"\x0a\x02\xc3\x28".to_vec()),
            6 => Some([&encoded(&day, 1.0)[..], b"\x15\x00\x00\x00\x00"].concat()),
            7 => Some(encoded("2001-02-29", 1.0)),
            8 => Some(encoded(&day.replace('-', "/"), 1.0)),
            9 => Some(encoded("0000-01-01", 1.0)),
            10 => Some(encoded(&format!("{day}T00"), 1.0)),
            11 => Some(encoded(&day, f64::NAN)),
            12 => Some(encoded(&day, f64::NEG_INFINITY)),
            _ => Some(encoded(&day, 1.000_000_1e9)),
        };
        let key = (self.random.below(2) == 0).then(|| self.random.next().to_le_bytes().to_vec());
        let partition = i32::try_from(self.random.below(PARTITIONS as u64)).unwrap();
        Outgoing { partition: Some(partition), record: Record { key, value } }
    }
}
