//! almanac and other clients put to faults of the network, the broker and the log: what `scripts/bench faults` runs.
//!
//! Each fault happens once, on one real Kafka. Each client reads from it through a proxy of its own. The test
//! compares the records of each client with the log, which it reads without a proxy. It is a test and not a bench,
//! because it times nothing. It also needs a network that does damage, and a Kafka that can be killed and its log
//! truncated.

#![allow(clippy::print_stderr, reason = "a table is printed, and what is behind its words")]

mod subject;
mod verdict;

use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use rustix::process::Signal;

use crate::proxy::{self, Field, Network, Proxy, Storm};
use crate::support::{Place, Random, Raw};
use subject::{Client, Standing, Subject, wait_within};
use verdict::{Counts, Log, hexadecimal};

const PARTITIONS: i32 = 4;
/// The partition with the most records.
const FULLEST: i32 = 2;
/// Records in a batch, so few that a log takes many of them.
const SMALL_BATCHES: [&str; 4] = ["-X", "batch.num.messages=200", "--duplicates", "0"];
/// Answers with records that come before the one in which the log is changed.
const ANSWERS_BEFORE: u64 = 20;
/// How many of a thousand frames meet the fault: a bit changed where the frame has the field,
const FLIPS_PER_MILLE: u64 = 50;
/// or the connection cut. librdkafka waits for up to 10 s before it connects again.
const CUTS_PER_MILLE: u64 = 20;

/// The test sends this to see whether a client that is not at the end still gives anything.
const PROBE: &[u8] = b"probe";
const PROBE_MAX: Duration = Duration::from_secs(10);

const READING_MAX: Duration = Duration::from_secs(300);
/// The table shows the time of a client that takes longer than this.
const SLOW: Duration = Duration::from_secs(45);
/// Until who has come to the end gives nothing more.
const QUIET_AT_END: Duration = Duration::from_secs(3);
/// How long a broker is away, or a log stays cut, unless all clients have said something of it before.
const NOTICED_WITHIN: Duration = Duration::from_secs(8);

#[derive(Clone, Debug, Parser)]
struct Options {
    /// The faults to try [all]
    #[arg(value_enum)]
    faults: Vec<Fault>,
    /// The clients to try [all]
    #[arg(long, value_enum, value_delimiter = ',')]
    clients: Option<Vec<Client>>,
    /// Days in the log, each of them once
    #[arg(long, default_value_t = 300_000)]
    days: u64,
    /// Seconds without a record after which a client that is not at the end hangs
    #[arg(long, default_value_t = 40)]
    patience: u64,
    /// Of what is left to chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Fault {
    /// A bit changed in what a batch's checksum covers
    Covered,
    /// A bit changed in a batch's base offset
    BaseOffset,
    /// A bit changed in a batch's leader epoch
    LeaderEpoch,
    /// A bit changed in a partition's number in an answer
    PartitionNumber,
    /// Connections cut in the middle of a frame
    Connection,
    /// The broker killed and started again
    Killed,
    /// The topic deleted and made again while the client is in the middle of it
    RecreatedMiddle,
    /// The topic deleted and made again while the client waits at its end
    RecreatedEnd,
    /// The log cut below the client's position
    Cut,
    /// The log cut below the client's position, and longer than before when the client looks again
    CutAndGrown,
    /// Records removed that the client has not read yet
    Removed,
}

impl Fault {
    fn title(self) -> &'static str {
        match self {
            Fault::Covered => "bits flipped inside of what the checksum covers",
            Fault::BaseOffset => "… in a batch's base offset",
            Fault::LeaderEpoch => "… in a batch's leader epoch",
            Fault::PartitionNumber => "… in a partition's number in an answer",
            Fault::Connection => "connections cut in the middle of a frame",
            Fault::Killed => "broker killed (`kill -9`) and started again",
            Fault::RecreatedMiddle => "topic deleted and made again, client in the middle",
            Fault::RecreatedEnd => "… client at the end",
            Fault::Cut => "log cut below the client's position",
            Fault::CutAndGrown => "… and grown past it before the client looks",
            Fault::Removed => "retention removes what is not read yet",
        }
    }

    /// The network faults to apply to frames, if this is a fault of the network.
    fn storm(self) -> Option<Vec<proxy::Fault>> {
        match self {
            Fault::Covered => Some(vec![proxy::Fault::Flip(Field::Covered)]),
            Fault::BaseOffset => Some(vec![proxy::Fault::Flip(Field::BaseOffset)]),
            Fault::LeaderEpoch => Some(vec![proxy::Fault::Flip(Field::LeaderEpoch)]),
            Fault::PartitionNumber => Some(vec![proxy::Fault::Flip(Field::FetchPartition)]),
            Fault::Connection => Some(vec![proxy::Fault::Fin, proxy::Fault::Reset]),
            _ => None,
        }
    }

    /// Whether the log is not what it was; to go on as if it were is the fault of the client, and to stop is not.
    fn changes_log(self) -> bool {
        self.storm().is_none() && self != Fault::Killed
    }
}

/// Its arguments are words in the environment: those of `scripts/bench faults`.
#[test]
#[ignore = "for somebody to look at: scripts/bench faults"]
fn table() {
    let arguments = std::env::var("FAULTS").unwrap_or_default();
    let options = Options::parse_from(["faults"].into_iter().chain(arguments.split_whitespace()));
    let began = Instant::now();
    let all =
        |named: &[Fault]| if named.is_empty() { Fault::value_variants().to_vec() } else { named.to_vec() };
    let clients = options.clients.clone().unwrap_or_else(|| Client::value_variants().to_vec());
    let mut stage = Stage { network: Network::start(clients.len()), clients, options };
    println!("{} records in 4 partitions.\n", stage.options.days);
    println!("| |{}", stage.clients.iter().map(|client| format!(" {} |", client.name())).collect::<String>());
    println!("|---|{}", "---|".repeat(stage.clients.len()));
    for fault in all(&stage.options.faults) {
        let cells = stage.trial(fault);
        println!("| {} | {} |", fault.title(), cells.join(" | "));
    }
    println!("\n{} s in all.", began.elapsed().as_secs());
}

struct Stage {
    network: Network,
    clients: Vec<Client>,
    options: Options,
}

impl Stage {
    /// The result of this fault for each client.
    fn trial(&mut self, fault: Fault) -> Vec<String> {
        let place = Place::on(&self.network.kafka);
        self.fill(&place, &["--seed", "1"], self.options.days);
        let before = Log::of(&self.network.kafka, &place.topic);
        let places: Vec<Place> = self.clients.iter().map(|_| at_same_topic(&place)).collect();
        let patience = Duration::from_secs(self.options.patience);
        let is_revived = !fault.changes_log();
        if let Some(faults) = fault.storm() {
            for (number, lane) in (1..).zip(&self.network.lanes) {
                let random = Random(self.options.seed.wrapping_mul(1000) + number);
                let per_mille = if fault == Fault::Connection { CUTS_PER_MILLE } else { FLIPS_PER_MILLE };
                lane.storm(Storm { per_mille, faults: faults.clone(), random });
            }
        }
        let is_held = matches!(fault, Fault::Killed | Fault::RecreatedMiddle | Fault::Removed);
        if is_held {
            self.network.lanes.iter().for_each(|lane| lane.hold_after(ANSWERS_BEFORE));
        }
        let addresses: Vec<String> = self.network.lanes.iter().map(|lane| lane.address.clone()).collect();
        let who = self.clients.iter().zip(&places).zip(&addresses);
        let mut subjects: Vec<Subject<'_>> = who
            .map(|((client, place), address)| Subject::start(*client, place, address, is_revived))
            .collect();
        if is_held {
            let held =
                wait_within(Duration::from_secs(60), || self.network.lanes.iter().all(Proxy::is_holding));
            assert!(held, "a client did not come to the middle of the log");
        } else if fault.storm().is_none() {
            settle(&mut subjects, &self.network.lanes, &before.ends, patience);
        }
        let kept = self.happen(fault, &place, &before, &subjects);
        let now = Log::of(&self.network.kafka, &place.topic);
        subjects.iter().for_each(|subject| subject.signal(Signal::CONT));
        self.network.lanes.iter().for_each(Proxy::release);
        settle(&mut subjects, &self.network.lanes, &now.ends, patience);
        self.network.lanes.iter().for_each(Proxy::calm);
        probe(&mut subjects, &place);
        let mut cells = Vec::new();
        for (subject, lane) in subjects.iter_mut().zip(&self.network.lanes) {
            let done = if fault.storm().is_some() { lane.done().values().sum() } else { 0 };
            cells.push(cell(subject, fault, done, &before, &now, &kept));
        }
        cells
    }

    fn fill(&self, place: &Place, arguments: &[&str], days: u64) {
        let days = days.to_string();
        place.produce(&[&SMALL_BATCHES[..], &["--days", &days], arguments].concat());
    }

    /// Gives back up to which offsets the log is what it was.
    fn happen(&mut self, fault: Fault, place: &Place, before: &Log, subjects: &[Subject<'_>]) -> Vec<i64> {
        let more = self.options.days + self.options.days / 5;
        let said = || -> Vec<usize> {
            let count = |subject: &Subject<'_>| {
                let (told, logged) = subject.said();
                told.len() + logged.len()
            };
            subjects.iter().map(count).collect()
        };
        let said_before = said();
        let noticed =
            || wait_within(NOTICED_WITHIN, || said().iter().zip(&said_before).all(|(now, then)| now > then));
        match fault {
            Fault::Killed => {
                self.network.kafka.kill_9();
                self.network.lanes.iter().for_each(Proxy::release);
                noticed();
                self.network.kafka.start_again();
            }
            Fault::RecreatedMiddle | Fault::RecreatedEnd => {
                // Other days at the same offsets.
                self.fill(place, &["--start", "1991-01-01"], more);
                return vec![0; before.ends.len()];
            }
            Fault::Cut | Fault::CutAndGrown => {
                if fault == Fault::CutAndGrown {
                    subjects.iter().for_each(|subject| subject.signal(Signal::STOP));
                }
                self.network.kafka.kill_9();
                let batches = self.network.kafka.batches(&place.topic, FULLEST);
                self.network.kafka.cut(&place.topic, FULLEST, batches / 2);
                self.network.kafka.start_again();
                let kept = self.network.kafka.high_watermarks(&place.topic);
                if fault == Fault::Cut {
                    noticed();
                }
                self.fill(place, &["--seed", "2", "--append"], self.options.days);
                return kept;
            }
            Fault::Removed => {
                for (partition, end) in (0..).zip(&before.ends) {
                    self.network.kafka.delete_records(&place.topic, partition, end * 3 / 4);
                }
            }
            Fault::Covered
            | Fault::BaseOffset
            | Fault::LeaderEpoch
            | Fault::PartitionNumber
            | Fault::Connection => {}
        }
        before.ends.clone()
    }
}

/// A directory of a client's own.
fn at_same_topic(place: &Place) -> Place {
    Place { topic: place.topic.clone(), ..Place::at(&place.brokers) }
}

/// Waits until each of them is down, quiet at the end, or gives nothing for as long as is waited for it.
fn settle(subjects: &mut [Subject<'_>], lanes: &[Proxy], ends: &[i64], patience: Duration) {
    let began = Instant::now();
    let mut progress: Vec<(i64, usize, Instant)> =
        subjects.iter().map(|subject| (subject.read(), subject.ends.len(), began)).collect();
    wait_within(READING_MAX.max(patience * 2), || {
        let mut are_settled = true;
        for ((subject, lane), (read, starts, since)) in subjects.iter_mut().zip(lanes).zip(&mut progress) {
            subject.tend();
            let now = (subject.read(), subject.ends.len());
            if now != (*read, *starts) {
                ((*read, *starts), *since) = (now, Instant::now());
            }
            let is_at_end = subject.positions() == ends;
            let is_quiet = since.elapsed() >= if is_at_end { QUIET_AT_END } else { patience };
            subject.standing = match (subject.is_down(), is_quiet, is_at_end) {
                (true, ..) => Standing::Down,
                (_, false, _) => Standing::Reading,
                (_, true, true) => Standing::AtEnd,
                (_, true, false) => Standing::Hangs,
            };
            subject.took = *since - began;
            if is_quiet && is_at_end {
                // Stop here: clients that only wait for more records must meet no more faults.
                lane.calm();
            }
            are_settled &= subject.standing != Standing::Reading;
        }
        are_settled
    });
}

/// A client whose offsets are not at the end may still have given all that it will. It hangs only if it does not give
/// this new record either.
fn probe(subjects: &mut [Subject<'_>], place: &Place) {
    if subjects.iter().all(|subject| subject.standing != Standing::Hangs) {
        return;
    }
    let value = Some(PROBE);
    let probes: Vec<Raw<'_>> = (0..PARTITIONS).map(|partition| Raw { partition, key: None, value }).collect();
    place.send(&probes);
    let given = hexadecimal(PROBE);
    let has_come = |subject: &Subject<'_>| subject.has_given(&given);
    let hanging = |subject: &&mut Subject<'_>| subject.standing == Standing::Hangs;
    wait_within(PROBE_MAX, || subjects.iter_mut().filter(hanging).all(|subject| has_come(subject)));
    for subject in subjects.iter_mut().filter(hanging) {
        if has_come(subject) {
            subject.standing = Standing::GoesOn;
        }
    }
}

/// A few words on what was seen; more of it goes to stderr.
fn cell(subject: &mut Subject<'_>, fault: Fault, done: u64, before: &Log, now: &Log, kept: &[i64]) -> String {
    subject.stop();
    let (told, logged) = subject.said();
    let probe = hexadecimal(PROBE);
    let mut given = subject.given();
    given.retain(|(_, _, value)| *value != probe);
    let counts = Counts::of(&given, before, now, kept);
    let (name, seconds) = (subject.client.name(), subject.took.as_secs());
    let (standing, ends, positions) = (subject.standing, &subject.ends, subject.positions());
    eprintln!("{fault:?}, {name}: {done} faults, {standing:?} after {seconds} s, exits {ends:?}");
    eprintln!("  at {positions:?} of {:?} to {:?}, {counts:?}", now.starts, now.ends);
    for (kind, lines) in [("told", &told), ("logged", &logged)] {
        eprintln!("  {} lines {kind}", lines.len());
        for line in lines.iter().take(4).chain(lines.iter().skip(4).last()) {
            eprintln!("    {}", line.chars().take(400).collect::<String>());
        }
    }
    let mut words = Vec::new();
    let crashes = ends.iter().filter(|code| code.is_none()).count();
    let is_almanac = subject.client == Client::Almanac;
    let is_as_should = match is_almanac {
        true => standing == Standing::AtEnd && subject.verify().code == Some(0),
        false => counts.is_exact() && matches!(standing, Standing::AtEnd | Standing::GoesOn),
    };
    // These words say that the log is another, and not only that a broker is away.
    let is_of_log = |line: &&String| {
        ["runcation", "TopicId", "UnknownTopic", "OutOfRange", "out of range", "AutoOffsetReset", "again"]
            .iter()
            .any(|word| line.contains(word))
    };
    let is_noted = |lines: &[String]| lines.iter().filter(is_of_log).count() > 0;
    match standing {
        Standing::Down if fault.changes_log() => {
            words.push(match ends.last().copied().flatten() {
                Some(code) if is_almanac => format!("told, and stopped (exit {code})"),
                Some(_) => "told, and stopped".to_owned(),
                None => "**crashed**".to_owned(),
            });
            if counts.new > 0 {
                words.push(format!("**after {} records of the new log**", counts.new));
            }
            return words.join("; ");
        }
        Standing::Down => words.push("**stays down**".to_owned()),
        Standing::Hangs => words.push("**hangs**".to_owned()),
        Standing::Reading => words.push("**not through**".to_owned()),
        Standing::AtEnd | Standing::GoesOn if is_as_should => {
            let goes_on = fault.changes_log() && !is_almanac;
            words.push(if goes_on { "gives all of the new log" } else { "exact" }.to_owned());
        }
        Standing::AtEnd | Standing::GoesOn if is_almanac => words.push("**`verify` differs**".to_owned()),
        Standing::AtEnd | Standing::GoesOn => words.push(format!("**{}**", counts.faults().join(", "))),
    }
    if matches!(standing, Standing::Down | Standing::Hangs | Standing::Reading) {
        // The records that are missing are those that it did not reach.
        let given = Counts { missing: 0, ..counts };
        words.extend(given.faults().into_iter().map(|fault| format!("**{fault}**")));
    }
    if subject.has_archived() {
        words.push("the former counts archived".to_owned());
    }
    let is_told = if fault.changes_log() { is_noted(&told) } else { !told.is_empty() };
    let is_logged = if fault.changes_log() { is_noted(&logged) } else { !logged.is_empty() };
    if matches!(fault, Fault::Cut | Fault::CutAndGrown) && counts.former > 0 {
        words.push(format!("{} given before are gone from the log", counts.former));
    }
    if ends.len() > crashes {
        words.push(format!("{} × told, stopped, and started again", ends.len() - crashes));
    }
    if crashes > 0 {
        words.push(format!("{crashes} × crashed and started again"));
    }
    if ends.is_empty() && (fault.changes_log() || !is_as_should || is_told) {
        words.push(match (is_told, is_logged) {
            (true, _) if is_almanac => "noted on stderr".to_owned(),
            (true, _) => format!("{} × told", told.len()),
            (false, true) => "only its log tells".to_owned(),
            (false, false) => "**nothing told**".to_owned(),
        });
    }
    if subject.took >= SLOW {
        words.push(format!("{seconds} s"));
    }
    match done {
        0 => words.join("; "),
        _ => format!("{done} ×: {}", words.join("; ")),
    }
}
