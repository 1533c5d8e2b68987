//! Members on hosts of their own fight for the partitions of three prefixes, while they are killed, paused and cut off, and the
//! store is restarted, busy, slow and full. A stream goes on meanwhile, and its topic is created again now and then.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::hosts::{From, Host, Network};
use crate::head_chain::Heads;
use crate::kills::{Feed, Sender};
use crate::objects::{Fault, Objects, Request, version_of, with_store, without_member};
use crate::second_fold::{Fold, Log, read_topic};
use crate::support::{Almanac, Kafka, Place, Random, Running, almanac_under, eventually_or, free_address};

const PARTITIONS: usize = 4;
const RECORDS_PER_SECOND: u32 = 150;

/// Members that name their partitions, two of which take them from each other, and members of a group.
const NAMED: usize = 4;
const MEMBERS: usize = 7;

/// A member that is killed is missed after a second.
const GROUP: [&str; 8] = [
    "--group",
    "fight",
    "--handover-timeout",
    "1s",
    "-X",
    "session.timeout.ms=1000",
    "-X",
    "heartbeat.interval.ms=200",
];
const PACES: [&str; 3] = ["50ms", "200ms", "500ms"];

/// How the store is, for all members.
const FINE: u8 = 0;
const BUSY: u8 = 1;
const SLOW: u8 = 2;

/// What happens to a member.
#[derive(Clone, Copy)]
enum Event {
    Kill,
    Pause,
    Cut(From),
}

/// What a fight came to.
#[derive(Default)]
pub struct Outcome {
    pub kills: usize,
    pub pauses: usize,
    pub cuts: [usize; 3],
    pub restarts: usize,
    pub take_overs: usize,
    pub topics: usize,
    pub archived: usize,
    pub heads: usize,
    pub landed: usize,
    pub reads: usize,
    pub violations: Vec<String>,
}

struct Fight<'a> {
    place: &'a Place,
    kafka: &'a Kafka,
    store: &'a Objects,
    hosts: Vec<Host>,
    /// Of two pairs that name their partitions, and of the group.
    prefixes: [String; 3],
    size: usize,
    is_unsafe: bool,
    events: Mutex<Vec<Event>>,
    weather: Arc<AtomicU8>,
    is_over: AtomicBool,
    kills: AtomicUsize,
    reads: AtomicUsize,
    take_overs: AtomicUsize,
    outcome: Mutex<Outcome>,
    heads: Mutex<Heads>,
    /// The topics that are complete, by id.
    topics: Mutex<BTreeMap<String, Vec<Log>>>,
    /// The versions of heads that the reader saw.
    seen: Mutex<BTreeSet<(String, String)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets all threads end when one of them fails.
struct StopOnPanic<'a, 'b>(&'b Fight<'a>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.is_over.store(true, Ordering::Relaxed);
        }
    }
}

/// Loses, delays and repeats requests of one member.
fn faults(seed: u64, is_unsafe: bool, weather: Arc<AtomicU8>) -> impl Fn(&Request) -> Fault + Send + Sync {
    move |request| {
        let mut random = Random(seed ^ (request.number as u64).wrapping_mul(0x9e37));
        match weather.load(Ordering::Relaxed) {
            BUSY => return Fault::Status(503),
            SLOW => return Fault::Slow(Duration::from_secs(2)),
            _ => {}
        }
        match random.below(100) {
            0..25 if is_unsafe && request.is_head() => {
                Fault::LateUnconditional(Duration::from_millis(100 + random.below(2400)))
            }
            _ if is_unsafe && request.is_head() => Fault::Unconditional,
            0..4 => Fault::Unanswered,
            4..7 => Fault::Lost,
            7..10 => Fault::Late(Duration::from_millis(100 + random.below(2400))),
            10 => Fault::Status(503),
            11 => Fault::Status(409),
            12 => Fault::Slow(Duration::from_millis(random.below(1500))),
            13 => Fault::Denied(500),
            _ => Fault::None,
        }
    }
}

/// With so many kills, and pauses, cuts and restarts in proportion.
pub fn fight(store: &Objects, size: usize, mut random: Random, is_unsafe: bool) -> Outcome {
    let network = Network::new();
    let port = free_address().rsplit_once(':').unwrap().1.to_owned();
    let kafka = Kafka::start_at(
        &format!("{}:{port}", network.kafka()),
        &["group.min.session.timeout.ms=1000", "group.initial.rebalance.delay.ms=0"],
    );
    let place = Place::on(&kafka);
    let hosts: Vec<Host> = (0..MEMBERS).map(|member| network.host(member, &store.address)).collect();
    let weather = Arc::new(AtomicU8::new(FINE));
    for host in &hosts {
        host.proxy.set(faults(random.next(), is_unsafe, Arc::clone(&weather)));
    }
    let mut events = vec![Event::Kill; size];
    events.extend(vec![Event::Pause; size.div_ceil(5)]);
    for from in [From::Store, From::Kafka, From::Both] {
        events.extend(vec![Event::Cut(from); size.div_ceil(15)]);
    }
    for index in (1..events.len()).rev() {
        events.swap(index, usize::try_from(random.below(index as u64 + 1)).unwrap());
    }
    let fight = Fight {
        place: &place,
        kafka: &kafka,
        store,
        hosts,
        prefixes: [(); 3].map(|()| store.prefix()),
        size,
        is_unsafe,
        events: Mutex::new(events),
        weather,
        is_over: AtomicBool::new(false),
        kills: AtomicUsize::new(0),
        reads: AtomicUsize::new(0),
        take_overs: AtomicUsize::new(0),
        outcome: Mutex::default(),
        heads: Mutex::default(),
        topics: Mutex::default(),
        seen: Mutex::default(),
    };
    // The check would refuse a store without conditions.
    fight.prefixes.iter().for_each(|prefix| store.skip_check(prefix));
    let mut members: Vec<Running> = thread::scope(|scope| {
        let guard = StopOnPanic(&fight);
        let slots: Vec<_> = (0..MEMBERS)
            .map(|member| {
                let (random, fight) = (Random(random.next()), &fight);
                scope.spawn(move || {
                    let _guard = StopOnPanic(fight);
                    fight.torment(member, random)
                })
            })
            .collect();
        let (for_store, for_stream, for_end) =
            (Random(random.next()), Random(random.next()), Random(random.next()));
        let is_store_fine = scope.spawn(|| {
            let _guard = StopOnPanic(&fight);
            fight.disturb_store(for_store);
        });
        let reader = scope.spawn(|| {
            let _guard = StopOnPanic(&fight);
            fight.read();
        });
        fight.stream(for_stream);
        is_store_fine.join().unwrap();
        let mut members: Vec<Running> = slots.into_iter().map(|slot| slot.join().unwrap()).collect();
        fight.hosts.iter().for_each(|host| host.proxy.set(|_| Fault::None));
        if !is_unsafe {
            fight.await_end(&mut members, for_end);
        }
        fight.is_over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        drop(guard);
        members
    });
    for (member, running) in members.iter_mut().enumerate() {
        if is_unsafe {
            running.kill_9();
            continue;
        }
        let ended = if running.is_running() { running.terminate() } else { running.ended() };
        if !matches!(ended.code, Some(0 | 6)) {
            fight.violated(format!("member {member} ended: {ended:?}"));
        }
    }
    fight.hosts.iter().for_each(|host| host.proxy.settle());
    fight.settle()
}

impl Fight<'_> {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn violated(&self, what: String) {
        locked(&self.outcome).violations.push(what);
    }

    fn start(&self, member: usize, random: &mut Random) -> Running {
        let host = &self.hosts[member];
        let pace = PACES[usize::try_from(random.below(PACES.len() as u64)).unwrap()];
        let mut arguments = vec!["consumer", "--checkpoint-every", pace];
        match member < NAMED {
            true => arguments.extend(["0", "1", "2", "3", "--take-over"]),
            false => arguments.extend(GROUP),
        }
        let almanac = self.on_kafka(almanac_under(&host.wrapper(), &arguments));
        with_store(almanac, &host.proxy.address, &self.prefixes[member.min(NAMED) / 2]).start()
    }

    fn on_kafka(&self, almanac: Almanac) -> Almanac {
        almanac
            .env("ALMANAC_BROKERS", &self.place.brokers)
            .env("ALMANAC_TOPIC", &self.place.topic)
            .current_dir(self.place.temp.path())
    }

    /// Starts a member over and over, and does to it what comes next; gives back the last one, which lives.
    fn torment(&self, member: usize, mut random: Random) -> Running {
        let proxy = &self.hosts[member].proxy;
        let mut running = self.start(member, &mut random);
        loop {
            let accepted = proxy.accepted() + 1 + usize::try_from(random.below(7)).unwrap();
            // Some at any moment, also before it owns anything; a store that is away is not waited for.
            let patience = if random.below(16) == 0 { random.below(800) } else { 3000 };
            let until = Instant::now() + Duration::from_millis(patience);
            while proxy.accepted() < accepted && Instant::now() < until && running.is_running() {
                thread::sleep(Duration::from_millis(2));
            }
            thread::sleep(Duration::from_micros(random.below(60_000)));
            if self.is_over() {
                return running;
            }
            if !running.is_running() {
                let ended = running.ended();
                if ended.code == Some(6) && member < NAMED {
                    self.take_overs.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.violated(format!("member {member} ended: {ended:?}"));
                }
                running = self.start(member, &mut random);
            }
            let Some(event) = locked(&self.events).pop() else { return running };
            let pause = Duration::from_millis(300 + random.below(4000));
            match event {
                Event::Kill => {
                    running.kill_9();
                    self.kills.fetch_add(1, Ordering::Relaxed);
                    running = self.start(member, &mut random);
                }
                Event::Pause => {
                    running.signal(Signal::STOP);
                    thread::sleep(pause);
                    running.signal(Signal::CONT);
                    locked(&self.outcome).pauses += 1;
                }
                Event::Cut(from) => {
                    self.hosts[member].cut(from, true);
                    thread::sleep(pause);
                    self.hosts[member].cut(from, false);
                    locked(&self.outcome).cuts[from as usize] += 1;
                }
            }
        }
    }

    fn are_kills_done(&self) -> bool {
        self.kills.load(Ordering::Relaxed) >= self.size || self.is_over()
    }

    /// Restarts the store, and lets it be busy, slow and full once each, while the members are killed.
    fn disturb_store(&self, mut random: Random) {
        let restarts = self.size.div_ceil(20);
        // A minute of 503 in a campaign of the full size.
        let long = Duration::from_secs(u64::try_from(self.size).unwrap().clamp(30, 600) / 10);
        let mut steps: Vec<u8> = vec![FINE; restarts];
        for (number, weather) in [BUSY, SLOW, u8::MAX].into_iter().enumerate() {
            steps.insert((number + 1) * restarts / 4, weather);
        }
        let total = steps.len();
        for (number, step) in steps.into_iter().enumerate() {
            let from = (number + 1) * self.size / (total + 1);
            while self.kills.load(Ordering::Relaxed) < from && !self.is_over() {
                thread::sleep(Duration::from_millis(20));
            }
            match step {
                FINE => {
                    self.store.kill_9();
                    thread::sleep(Duration::from_millis(random.below(500)));
                    self.store.start_again();
                    locked(&self.outcome).restarts += 1;
                }
                u8::MAX => self.store.while_full(|| thread::sleep(long / 3)),
                weather => {
                    self.weather.store(weather, Ordering::Relaxed);
                    thread::sleep(long);
                    self.weather.store(FINE, Ordering::Relaxed);
                }
            }
        }
    }

    /// Sends to topic after topic until the kills are done.
    fn stream(&self, mut random: Random) {
        let per_topic = (self.size / 40).max(6);
        loop {
            let id = self.create_topic(&mut random);
            let target = self.kills.load(Ordering::Relaxed) + per_topic;
            let sender = Sender::new(self.place, &[("partitioner", "murmur2_random")]);
            let mut feed = Feed::new(Random(random.next()));
            let (began, mut sent) = (Instant::now(), 0);
            while self.kills.load(Ordering::Relaxed) < target && !self.are_kills_done() {
                while f64::from(sent) < began.elapsed().as_secs_f64() * f64::from(RECORDS_PER_SECOND) {
                    sender.send(&feed.next());
                    sent += 1;
                }
                sender.poll(Duration::from_millis(10));
            }
            sender.flush();
            let logs = read_topic(&self.place.brokers, &self.place.topic, i32::try_from(PARTITIONS).unwrap());
            locked(&self.topics).insert(id, logs);
            self.check_folds();
            if self.are_kills_done() {
                return;
            }
        }
    }

    fn create_topic(&self, random: &mut Random) -> String {
        let (seed, days) = (random.below(1000).to_string(), (40 + random.below(200)).to_string());
        let arguments = [
            "--recreate",
            "--days",
            &days,
            "--seed",
            &seed,
            "--duplicates",
            "0.5",
            "--duplicate-degrees",
            "500",
        ];
        self.place.produce(&arguments);
        self.kafka.describe(&self.place.topic).unwrap().id
    }

    /// Compares the heads of complete topics with the second fold.
    fn check_folds(&self) {
        let mut heads = locked(&self.heads);
        self.hosts.iter().for_each(|host| heads.add(host.proxy.take_heads()));
        let topics = locked(&self.topics);
        let violations = heads.check_folds(|id, partition| topics.get(id).map(|logs| &logs[partition]));
        locked(&self.outcome).violations.extend(violations);
    }

    /// Reads the heads again and again. A generation or a sequence never goes back, nor does the offset of one topic.
    fn read(&self) {
        let mut last: BTreeMap<(usize, usize), (u64, u64, String, i64)> = BTreeMap::new();
        while !self.is_over() {
            for (number, prefix) in self.prefixes.iter().enumerate() {
                for partition in 0..PARTITIONS {
                    let name = format!("partition-{partition}.json");
                    let Some(bytes) = self.store.get(prefix, &name) else { continue };
                    let head: Value = serde_json::from_slice(&bytes).unwrap();
                    let meta = &head["almanac"];
                    let number_of = |name: &str| meta[name].as_u64().unwrap();
                    let topic_id = meta["log"]["topic_id"].as_str().unwrap_or_default().to_owned();
                    let offset = head["offset"].as_i64().unwrap();
                    let now = (number_of("generation"), number_of("sequence"), topic_id, offset);
                    if let Some(before) = last.get(&(number, partition)) {
                        let is_back =
                            (now.0, now.1) < (before.0, before.1) || (now.2 == before.2 && now.3 < before.3);
                        if is_back {
                            self.violated(format!("{prefix}/{name} was read as {now:?} after {before:?}"));
                        }
                    }
                    last.insert((number, partition), now);
                    locked(&self.seen).insert((path_of(prefix, partition), version_of(&bytes)));
                    self.reads.fetch_add(1, Ordering::Relaxed);
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn await_end(&self, members: &mut [Running], mut random: Random) {
        let id = self.kafka.describe(&self.place.topic).unwrap().id;
        let ends = self.kafka.high_watermarks(&self.place.topic);
        let position = |head: &Value| (head["almanac"]["log"]["topic_id"].clone(), head["offset"].clone());
        let behind = || -> Vec<String> {
            let all =
                self.prefixes.iter().flat_map(|prefix| (0..PARTITIONS).map(move |number| (prefix, number)));
            let found = all
                .map(|(prefix, number)| (path_of(prefix, number), number, self.store.head(prefix, number)));
            let behind = found
                .filter(|(_, number, head)| position(head) != (id.as_str().into(), ends[*number].into()));
            behind
                .map(|(path, _, head)| format!("{path}: {} of {}", head["offset"], head["almanac"]))
                .collect()
        };
        let members = RefCell::new(members);
        let said = || {
            let members = members.borrow();
            let said = members.iter().map(|member| format!("{}:\n{}", member.pid(), member.stderr()));
            format!("not {ends:?} of {id}: {:#?}\n{}", behind(), said.collect::<String>())
        };
        eventually_or("the heads pass every record", said, || {
            // Two that take partitions from each other at the same time both end.
            for (first, pair) in members.borrow_mut()[..NAMED].chunks_mut(2).enumerate() {
                if !pair.iter_mut().any(Running::is_running) {
                    let ended = pair[0].ended();
                    if ended.code != Some(6) {
                        self.violated(format!("member {} ended: {ended:?}", 2 * first));
                    }
                    pair[0] = self.start(2 * first, &mut random);
                }
            }
            behind().is_empty()
        });
    }

    /// All that there is at the end.
    fn settle(self) -> Outcome {
        self.check_folds();
        let mut landed = BTreeSet::new();
        for prefix in &self.prefixes {
            for partition in 0..PARTITIONS {
                let path = path_of(prefix, partition);
                let last = self.store.get(prefix, &format!("partition-{partition}.json")).unwrap_or_default();
                match locked(&self.heads).check_chain(&path, None, &last) {
                    Ok(chain) => landed.extend(chain.into_iter().map(|version| (path.clone(), version))),
                    Err(reason) => self.violated(format!("{path}: {reason}")),
                }
            }
        }
        let seen = std::mem::take(&mut *locked(&self.seen));
        let strange = seen.difference(&landed).count();
        if strange > 0 && !self.is_unsafe {
            self.violated(format!("the reader saw {strange} heads that are in no chain"));
        }
        if !self.is_unsafe {
            for prefix in &self.prefixes {
                self.check_rejected_and_archive(prefix);
                let verified = with_store(self.place.almanac(&["verify"]), &self.store.address, prefix).run();
                // The stream has days in more than one partition.
                let is_split =
                    verified.code == Some(1) && verified.stderr.contains(" is counted in partitions ");
                if !(is_split || verified.code == Some(0))
                    || verified.stdout.matches(", the same").count() != 4
                {
                    self.violated(format!("{verified:?}"));
                }
            }
        }
        let mut outcome = std::mem::take(&mut *locked(&self.outcome));
        outcome.kills = self.kills.load(Ordering::Relaxed);
        outcome.take_overs = self.take_overs.load(Ordering::Relaxed);
        outcome.topics = locked(&self.topics).len();
        outcome.heads = locked(&self.heads).len();
        outcome.landed = landed.len();
        outcome.reads = self.reads.load(Ordering::Relaxed);
        outcome
    }

    /// The rejected records of the last heads and of the archive, and the archive itself.
    fn check_rejected_and_archive(&self, prefix: &str) {
        let topics = locked(&self.topics);
        let names = self.store.names(prefix);
        let heads = names.iter().filter(|name| name.ends_with(".json") && name.contains("partition-"));
        for name in heads.filter(|name| !name.starts_with("status/")) {
            let bytes = self.store.read(prefix, name).unwrap();
            let head: Value = serde_json::from_str(&bytes).unwrap();
            let partition = usize::try_from(head["partition"].as_u64().unwrap()).unwrap();
            let offset = head["offset"].as_i64().unwrap();
            let id = head["almanac"]["log"]["topic_id"].as_str().unwrap();
            let Some(logs) = topics.get(id) else {
                self.violated(format!("{name} is of topic {id}, which nobody created"));
                continue;
            };
            let segments = head["almanac"]["rejected"].as_array().unwrap().iter();
            let segments = segments.map(|segment| {
                format!("partition-{partition}.rejected/{}", segment["name"].as_str().unwrap())
            });
            let lines: String =
                segments.map(|segment| self.store.read(prefix, &segment).unwrap_or_default()).collect();
            let fold = Fold::of(&logs[partition], offset);
            let compared = fold
                .compare(without_member(&bytes).as_bytes(), partition, offset)
                .and_then(|()| fold.compare_rejected(lines.as_bytes(), offset));
            if let Err(reason) = compared {
                self.violated(format!("{prefix}/{name}: {reason}"));
            }
            locked(&self.outcome).archived += usize::from(name.starts_with("archive/"));
        }
    }
}

fn path_of(prefix: &str, partition: usize) -> String {
    format!("/{}/partition-{partition}.json", prefix.strip_prefix("s3://").unwrap())
}
