//! One of three brokers is paused while days are sent and counted, or while the topic is created again. The consumers
//! count the partitions of living brokers meanwhile. A waiting process names the paused broker. No record is lost or
//! counted twice.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use almanac::kafka::{Admin, Connection, extent};
use jiff::civil::Date;
use rustix::process::Signal;

use crate::compose::{Services, TOPIC};
use crate::support::{Campaign, Kafka, Random, Running, eventually, eventually_or};

/// Of the consumer with partitions named, and of the group's member.
const DIRS: [&str; 2] = ["files", "group"];
const DAYS: u64 = 50_000;
/// How long a broker may be silent, and two seconds.
const STALL_MAX: Duration = Duration::from_secs(7);
/// A process that waits this long has printed what it waits for.
const NAMED_AFTER: Duration = Duration::from_secs(3);

/// The events that a campaign has seen.
#[derive(Default)]
struct Seen {
    /// The longest time without progress of each partition that had something to count, by reader.
    living: [Vec<Duration>; 2],
    paused: [Vec<Duration>; 2],
    /// How many of the paused broker's partitions went on before it did, so by another leader.
    moved: usize,
    /// How often a reader's `status.json` named the paused broker, and how often its stderr did.
    status_named: usize,
    stderr_named: usize,
    producing: Vec<Duration>,
    faults: Vec<String>,
}

/// A partition that has records to count when a broker is paused.
struct Watched {
    reader: usize,
    partition: usize,
    end: i64,
    offset: i64,
    changed: Instant,
    longest: Duration,
}

#[test]
fn campaign() {
    let campaign = Campaign::new("paused-broker", 2);
    let mut random = campaign.random();
    let mut all = Services::new();
    all.start_brokers();
    let begun = producer(&all, "--recreate").ended();
    assert_eq!(begun.code, Some(0), "{}", begun.stderr);
    // Small responses, so that a pause comes in the middle of the counting.
    let small = ["-v", "-X", "max.partition.fetch.bytes=2000"];
    let start = |dir: &str, more: &[&str]| {
        all.place.almanac_in(dir, &[&["consumer"][..], more, &small].concat()).start()
    };
    let mut readers = [start(DIRS[0], &["0", "1", "2", "3"]), start(DIRS[1], &[])];
    counted(&all, &readers, DAYS);
    let (mut seen, mut days) = (Seen::default(), DAYS);
    for number in 0..campaign.size {
        let recreates = number % 3 == 1;
        let has_sent = trial(&all, &mut random, &readers, recreates, number, &mut seen);
        if !has_sent {
            // The topic is recreated, to see more.
            let begun = producer(&all, "--recreate").ended();
            assert_eq!(begun.code, Some(0), "{}", begun.stderr);
        }
        days = if recreates || !has_sent { DAYS } else { days + DAYS };
        counted(&all, &readers, days);
        for dir in DIRS {
            all.place.almanac_in(dir, &["verify"]).succeeds();
        }
        eventually("each replica is in sync", || all.partitions().iter().all(|found| found.in_sync == 3));
    }
    for reader in &mut readers {
        let ended = reader.terminate();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    seen.say(&campaign);
    assert!(seen.faults.is_empty(), "{:#?}", seen.faults);
    assert!(
        seen.living.iter().all(|stalls| !stalls.is_empty()),
        "no pause came in the middle of the counting"
    );
}

/// Sends days, and pauses a broker somewhere in between. Says whether all were sent.
fn trial(
    all: &Services,
    random: &mut Random,
    readers: &[Running; 2],
    recreates: bool,
    number: usize,
    seen: &mut Seen,
) -> bool {
    let brokers = all.names_with("broker");
    let broker = &brokers[usize::try_from(random.below(brokers.len() as u64)).unwrap()];
    let id: i32 = broker.trim_start_matches("kafka-").parse().unwrap();
    let moment = Duration::from_millis(random.below(1500));
    let pause = Duration::from_millis(1000 + random.below(7000));
    let said = readers.each_ref().map(|reader| reader.stderr().len());
    let leaders = all.partitions();

    let began = Instant::now();
    let known = if recreates { Vec::new() } else { ends(&all.connection(), TOPIC) };
    // The readers are held until there is something to count, so that a pause comes in the middle of it.
    let signal = |signal| readers.iter().for_each(|reader| reader.signal(signal));
    if !recreates {
        signal(Signal::STOP);
    }
    let mut sending = producer(all, if recreates { "--recreate" } else { "--append" });
    let ends = match recreates {
        // Its partitions may be nobody's meanwhile.
        true => {
            std::thread::sleep(moment);
            Vec::new()
        }
        false => sent_beyond(all, &known),
    };
    let head_start = Duration::from_millis(random.below(60));
    if !recreates && number.is_multiple_of(2) {
        signal(Signal::CONT);
        std::thread::sleep(head_start);
    }
    all.signal_jvm(broker, Signal::STOP);
    let stopped = Instant::now();
    let mut watched = watch(all, &ends, stopped);
    signal(Signal::CONT);
    let address = all.here(&format!("{broker}:9092"));
    let mut status_names = [false; 2];
    while stopped.elapsed() < pause {
        watched.iter_mut().for_each(|watched| watched.look(all));
        for (names, dir) in status_names.iter_mut().zip(DIRS) {
            let status = |number| all.place.dir(&format!("{dir}/.almanac/{number}/status.json"));
            let has =
                |number| fs::read_to_string(status(number)).is_ok_and(|status| status.contains(&address));
            *names = *names || (0..4).any(has);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let before: Vec<bool> = watched.iter().map(|watched| watched.longest > watched.stalled()).collect();
    all.signal_jvm(broker, Signal::CONT);
    eventually("what was there is counted", || {
        watched.iter_mut().for_each(|watched| watched.look(all));
        watched.iter().all(|watched| watched.offset >= watched.end)
    });

    let sent = sending.ended();
    seen.producing.push(began.elapsed());
    let what = format!("trial {number}, {broker} paused {moment:?} after the start for {pause:?}");
    if sent.code != Some(0) {
        seen.faults.push(format!("{what}: producer ended with {:?}: {}", sent.code, sent.stderr));
    }
    seen.status_named += status_names.iter().filter(|names| **names).count();
    for (reader, running) in readers.iter().enumerate() {
        let stderr = running.stderr();
        let text = &stderr[said[reader]..];
        seen.stderr_named += usize::from(text.contains(&address));
        let names_it = |line: &&str| line.contains("does not answer");
        for line in text.lines().filter(names_it).filter(|line| !line.contains(&address)) {
            seen.faults.push(format!("{what}: {} says {line:?}, not {address}", DIRS[reader]));
        }
        let waited = watched.iter().filter(|watched| watched.reader == reader);
        let waited = waited.map(|watched| watched.longest).max().unwrap_or_default();
        // If the group's coordinator is paused for long enough, it is the group that takes the partitions.
        let is_said = text.contains(&address) || text.contains("the group has taken");
        if waited.min(pause) > NAMED_AFTER && !is_said {
            seen.faults.push(format!(
                "{what}: {} waited {waited:?} and named nobody (status.json did: {}): {text}",
                DIRS[reader], status_names[reader]
            ));
        }
    }
    for (watched, before) in watched.iter().zip(before) {
        let Watched { reader, partition, longest, .. } = *watched;
        if leaders[partition].leader == id {
            seen.paused[reader].push(longest);
            seen.moved += usize::from(before);
            continue;
        }
        seen.living[reader].push(longest);
        if longest > STALL_MAX {
            let dir = DIRS[reader];
            seen.faults.push(format!("{what}: living partition {partition} of {dir} stood {longest:?}"));
        }
    }
    sent.code == Some(0)
}

/// Waits until each partition ends some way past what was known, and gives the ends.
#[track_caller]
fn sent_beyond(all: &Services, known: &[i64]) -> Vec<i64> {
    const RECORDS: i64 = 2000;
    let mut now = Vec::new();
    eventually("days are sent", || {
        now = ends(&all.connection(), TOPIC);
        now.iter().zip(known).all(|(now, known)| *now >= known + RECORDS)
    });
    now
}

fn producer(all: &Services, how: &str) -> Running {
    let days = DAYS.to_string();
    let sending = ["producer", "--interval", "0", "--days", &days, "--replication", "3", how];
    all.place.almanac(&sending).start()
}

/// The partitions in which something is to be counted.
fn watch(all: &Services, ends: &[i64], changed: Instant) -> Vec<Watched> {
    let each = (0..DIRS.len()).flat_map(|reader| ends.iter().enumerate().map(move |end| (reader, end)));
    let watched = each.map(|(reader, (partition, end))| Watched {
        reader,
        partition,
        end: *end,
        offset: offset(all, DIRS[reader], partition).unwrap_or(0),
        changed,
        longest: Duration::ZERO,
    });
    watched.filter(|watched| watched.offset < watched.end).collect()
}

impl Watched {
    fn look(&mut self, all: &Services) {
        let now = offset(all, DIRS[self.reader], self.partition).unwrap_or(self.offset);
        if self.offset < self.end {
            self.longest = self.longest.max(self.stalled());
        }
        if now != self.offset {
            (self.offset, self.changed) = (now, Instant::now());
        }
    }

    /// For how long nothing has been counted that is there.
    fn stalled(&self) -> Duration {
        if self.offset < self.end { self.changed.elapsed() } else { Duration::ZERO }
    }
}

/// The offset of a checkpoint, which is in its first bytes.
fn offset(all: &Services, dir: &str, partition: usize) -> Option<i64> {
    let text = fs::read_to_string(all.place.dir(&format!("{dir}/partition-{partition}.json"))).ok()?;
    text.split("\"offset\":").nth(1)?.split([',', '}']).next()?.trim().parse().ok()
}

/// Waits until both readers have counted the topic of now to its end, and have these days.
#[track_caller]
fn counted(all: &Services, readers: &[Running; 2], days: u64) {
    let admin = Admin::new(&all.connection()).unwrap();
    let id = admin.describe(TOPIC, Duration::from_secs(30)).unwrap().unwrap().id;
    let id = format!("\"topic_id\":\"{id}\"");
    let end: i64 = ends(&all.connection(), TOPIC).iter().sum();
    let is_of_it = |dir: &str, partition: i32| {
        let log = fs::read_to_string(all.place.dir(&format!("{dir}/.almanac/{partition}/log.json")));
        log.is_ok_and(|log| log.contains(&id))
    };
    for dir in DIRS {
        eventually_or(
            "the log of now is counted",
            || readers.each_ref().map(Running::stderr).join("\n"),
            || (0..4).all(|partition| is_of_it(dir, partition)) && all.place.passed(dir) == end,
        );
        assert_eq!(all.place.days(dir), days, "{dir}");
    }
    let dates: BTreeSet<Date> = Kafka::dates_at(&all.connection(), TOPIC).into_iter().collect();
    assert_eq!(dates.len() as u64, days);
}

impl Seen {
    fn say(&self, campaign: &Campaign) {
        for (reader, dir) in DIRS.iter().enumerate() {
            let (living, paused) = (spread(&self.living[reader]), spread(&self.paused[reader]));
            campaign.say(&format!("{dir}: longest stall where a living broker leads: {living}"));
            campaign.say(&format!("{dir}: longest stall where the paused one led: {paused}"));
        }
        let faults = self.faults.len();
        campaign.say(&format!(
            "{} partitions went on by another leader; producer took {}; {faults} faults",
            self.moved,
            spread(&self.producing)
        ));
        let (status, stderr) = (self.status_named, self.stderr_named);
        campaign.say(&format!(
            "readers that named the paused broker: {status} in status.json, {stderr} on stderr"
        ));
        self.faults.iter().for_each(|fault| campaign.say(fault));
    }
}

/// The number, and quantiles, of times.
fn spread(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let Some(last) = times.last() else { return "never".to_owned() };
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("{} times, median {:.1?}, 90 % {:.1?}, most {last:.1?}", times.len(), at(50), at(90))
}

/// The end offset of each partition.
fn ends(connection: &Connection, topic: &str) -> Vec<i64> {
    let admin = Admin::new(connection).unwrap();
    extent(&admin, topic, 4).unwrap().iter().map(|span| span.end).collect()
}
