//! A log counted from its first offset: by almanac, by loops that only count, and by peers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use almanac::checkpoint::Checkpoint;
use almanac::kafka::{Connection, Consumer, Item, Position, Received, Span, StartAt, read_spans};
use almanac::report::Decoder;
use almanac::store::{self, Paths};
use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::Options;
use crate::figures::{Spread, rate, table, target, three_digits};
use crate::kafka::{Kafka, PARTITIONS, fresh};
use crate::process::{Cores, Running, cpu_seconds, peak_memory_mib};

/// How often the checkpoints are looked at; four short reads.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a peer that is slow reads.
const PEER_SECONDS: u32 = 20;

pub const PEERS: [&str; 4] = ["kafka-streams", "kafka-python", "confluent-kafka", "bytewax"];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// `almanac consumer`, from an empty DIR.
    Almanac,
    /// The same client with the same settings, only counting.
    Counting,
    /// librdkafka from C, only counting.
    Yardstick,
    /// A bare socket.
    Raw,
    Peer(&'static str),
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Subject::Almanac => "almanac consumer",
            Subject::Counting => "its client, only counting",
            Subject::Yardstick => "librdkafka from C, only counting",
            Subject::Raw => "raw socket, nothing looked at",
            Subject::Peer(name) => name,
        }
    }
}

/// The cost of reading a log, from the first checkpoint to the last.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub rate: f64,
    /// Seconds of processor time for a million records.
    pub cpu: f64,
    pub broker_cpu: f64,
    /// The most memory ever held, in MiB.
    pub memory: f64,
}

/// The programs to measure, in turn, and their results.
pub struct Comparison {
    rows: Vec<(Cores, Subject, Vec<Measured>)>,
}

pub fn compare(kafka: &Kafka, topic: &str, temp: &Path, options: &Options) -> Result<Comparison> {
    let own = [Subject::Almanac, Subject::Counting, Subject::Yardstick, Subject::Raw];
    let peers: Vec<Subject> =
        PEERS.iter().filter(|peer| options.has_peer(peer)).map(|&peer| Subject::Peer(peer)).collect();
    let mut rows: Vec<(Cores, Subject, Vec<Measured>)> = Vec::new();
    for round in 0..options.rounds {
        for cores in [Cores::Pinned, Cores::Any] {
            if options.cores.is_some_and(|only| only != cores) {
                continue;
            }
            cores.hold_broker(kafka.pid)?;
            let mut subjects = own.to_vec();
            // Peers take most of the time. Their threads take turns on one core, but for Kafka Streams, so of a second
            // one they have little use, and one round shows how little.
            if cores == Cores::Pinned || options.cores.is_some() || round == 0 {
                subjects.extend(&peers);
            }
            // Each is first as often as last, so that what the order does to them evens out.
            let first = round % subjects.len();
            subjects.rotate_left(first);
            for subject in subjects {
                let dir = fresh(&temp.join("consumer"))?;
                let measured =
                    measure(subject, cores, kafka, topic, &dir).with_context(|| subject.name().to_owned())?;
                eprintln!(
                    "round {}: {} ({cores:?}): {}/s, {} s CPU a million",
                    round + 1,
                    subject.name(),
                    rate(measured.rate),
                    three_digits(measured.cpu)
                );
                match rows.iter_mut().find(|row| row.0 == cores && row.1 == subject) {
                    Some(row) => row.2.push(measured),
                    None => rows.push((cores, subject, vec![measured])),
                }
            }
        }
    }
    Cores::Any.hold_broker(kafka.pid)?;
    Ok(Comparison { rows })
}

impl Comparison {
    pub fn print(&self) {
        for (cores, title) in [
            (Cores::Pinned, "Kafka on one core, its client on the other"),
            (Cores::Any, "Not pinned: Kafka and its client share both cores"),
        ] {
            let Some(almanac) = self.of(cores, Subject::Almanac) else { continue };
            println!("### {title}\n");
            let rows = self.rows.iter().filter(|row| row.0 == cores).map(|(_, subject, all)| {
                let spread = |of: fn(&Measured) -> f64| Spread::of(all.iter().map(of));
                vec![
                    subject.name().to_owned(),
                    three_digits(ratio(almanac, all, |m| m.rate)),
                    three_digits(1.0 / ratio(almanac, all, |m| m.cpu)),
                    spread(|m| m.rate).show(rate),
                    spread(|m| m.cpu).show(three_digits),
                    three_digits(spread(|m| m.broker_cpu).median),
                    format!("{:.0}", spread(|m| m.memory).median),
                    all.len().to_string(),
                ]
            });
            table(
                &[
                    "",
                    "almanac's rate is … times this",
                    "it takes … times almanac's CPU a record",
                    "records/s",
                    "client CPU s per million",
                    "broker CPU s per million",
                    "peak MiB",
                    "rounds",
                ],
                &rows.collect::<Vec<_>>(),
            );
        }
    }

    pub fn print_targets(&self) {
        let cores = Cores::Pinned;
        let Some(almanac) = self.of(cores, Subject::Almanac) else { return };
        let cpu = |all: &[Measured]| Spread::of(all.iter().map(|m| m.cpu)).median * 1000.0;
        target("client CPU of the consumer", cpu(almanac), "<=", 100.0, " ns a record");
        if let Some(counting) = self.of(cores, Subject::Counting) {
            let pairs = almanac.iter().zip(counting).map(|(a, b)| (a.cpu - b.cpu) * 1000.0);
            target("above its client only counting", Spread::of(pairs).median, "<=", 60.0, " ns a record");
        }
        for (subject, wanted) in [
            (Subject::Yardstick, 1.0),
            (Subject::Raw, 0.5),
            (Subject::Peer("kafka-streams"), 10.0),
            (Subject::Peer("kafka-python"), 50.0),
        ] {
            if let Some(all) = self.of(cores, subject) {
                let name = format!("records/s compared with {}", subject.name());
                target(&name, ratio(almanac, all, |m| m.rate), ">=", wanted, " ×");
            }
        }
        if let Some(streams) = self.of(cores, Subject::Peer("kafka-streams")) {
            let records_per_cpu = 1.0 / ratio(almanac, streams, |m| m.cpu);
            target("records a CPU second compared with kafka-streams", records_per_cpu, ">=", 20.0, " ×");
        }
    }

    fn of(&self, cores: Cores, subject: Subject) -> Option<&[Measured]> {
        self.rows.iter().find(|row| row.0 == cores && row.1 == subject).map(|row| row.2.as_slice())
    }
}

/// The median of the ratios, round by round.
pub fn ratio(almanac: &[Measured], other: &[Measured], of: fn(&Measured) -> f64) -> f64 {
    Spread::of(almanac.iter().zip(other).map(|(a, b)| of(a) / of(b))).median
}

pub fn measure(subject: Subject, cores: Cores, kafka: &Kafka, topic: &str, dir: &Path) -> Result<Measured> {
    match subject {
        Subject::Almanac => almanac(cores, kafka, topic, dir),
        Subject::Counting => this_program(cores, kafka, topic, "count"),
        Subject::Raw => this_program(cores, kafka, topic, "raw"),
        Subject::Yardstick => peer("librdkafka", cores, kafka, topic, dir),
        Subject::Peer(name) => {
            let measured = peer(name, cores, kafka, topic, dir)?;
            check(kafka, topic, dir)?;
            Ok(measured)
        }
    }
}

/// `almanac consumer` from an empty DIR until its checkpoints have passed every record.
fn almanac(cores: Cores, kafka: &Kafka, topic: &str, dir: &Path) -> Result<Measured> {
    let records = kafka.records(topic)?;
    let mut command = kafka.almanac(cores, topic, &["consumer", "0", "1", "2", "3", "--dir"]);
    let mut consumer = Running::spawn(command.arg(dir))?;
    let mut watch = Watch::new(&consumer, kafka);
    while watch.seen(passed(dir))? < records {
        if let Some(status) = consumer.child.try_wait()? {
            bail!("the consumer ended: {status}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let measured = watch.measured()?;
    let status = consumer.terminate()?;
    ensure!(status.success(), "the consumer failed: {status}");
    check(kafka, topic, dir)?;
    Ok(measured)
}

/// This program again, as one of the loops.
fn this_program(cores: Cores, kafka: &Kafka, topic: &str, role: &str) -> Result<Measured> {
    let mut command = cores.client(std::env::current_exe()?);
    command.args(["--role", role, "--brokers", &kafka.brokers, "--topic", topic]);
    lines(command, kafka)
}

fn peer(name: &str, cores: Cores, kafka: &Kafka, topic: &str, dir: &Path) -> Result<Measured> {
    let mut command = cores.client(crate::peers_dir().join("run"));
    command.args([name, "consume", "--brokers", &kafka.brokers, "--topic", topic, "--dir"]).arg(dir);
    command.args(["--seconds", &PEER_SECONDS.to_string()]);
    if let Some(ca) = &kafka.ca {
        command.env("TLS_CA", ca);
    }
    lines(command, kafka)
}

/// A program that says on stdout at each checkpoint how many records it has passed.
fn lines(mut command: Command, kafka: &Kafka) -> Result<Measured> {
    let mut program = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let stdout = BufReader::new(program.child.stdout.take().context("no stdout")?);
    let mut watch = Watch::new(&program, kafka);
    for line in stdout.lines() {
        let line = line?;
        watch.seen(line.trim().parse().with_context(|| format!("it said {line:?}"))?)?;
    }
    let status = program.child.wait()?;
    ensure!(status.success(), "it failed: {status}");
    watch.measured()
}

/// Whether each file in DIR is what the log makes it.
fn check(kafka: &Kafka, topic: &str, dir: &Path) -> Result<()> {
    let checkpoints = store::checkpoints_in(dir)?;
    let partitions = usize::try_from(PARTITIONS)?;
    ensure!(checkpoints.len() == partitions, "{} files in {}", checkpoints.len(), dir.display());
    let mut folds: BTreeMap<i32, Checkpoint> =
        (0..PARTITIONS).map(|partition| (partition, Checkpoint::empty(partition, 0))).collect();
    let spans: Vec<Span> = checkpoints
        .iter()
        .map(|(_, checkpoint)| Span { partition: checkpoint.partition, start: 0, end: checkpoint.offset })
        .collect();
    let mut decoder = Decoder::default();
    read_spans(&kafka.connection(), topic, &spans, |record| {
        if let Some(fold) = folds.get_mut(&record.partition) {
            // Offsets rise within a partition.
            let _ = fold.apply(record.offset, record.value, &mut decoder);
        }
    })?;
    for (path, checkpoint) in &checkpoints {
        let fold = folds.get_mut(&checkpoint.partition).context("a partition that the topic has not")?;
        fold.skip_to(checkpoint.offset);
        ensure!(counted(fold).eq(counted(checkpoint)), "{} is not what the log makes it", path.display());
    }
    Ok(())
}

/// Everything in a checkpoint but the dates of extremes, which the peers do not keep.
fn counted(checkpoint: &Checkpoint) -> impl Iterator<Item = (usize, u16, Vec<u32>, [u64; 3])> {
    checkpoint.statistics.cells().map(|(month, year, cell)| {
        let numbers = [cell.sum(), cell.min(), cell.max()].map(f64::to_bits);
        (month, year, cell.days().collect(), numbers)
    })
}

/// How many records the checkpoints have passed.
pub fn passed(dir: &Path) -> u64 {
    (0..PARTITIONS).filter_map(|partition| offset(&Paths::new(dir, partition).checkpoint())).sum()
}

/// The offset in a checkpoint, which is within its first 64 bytes: so that looking does not cost what it measures.
fn offset(checkpoint: &Path) -> Option<u64> {
    let mut head = [0; 64];
    let length = fs::File::open(checkpoint).ok()?.read(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head[..length]);
    let digits = head.split_once("\"offset\":")?.1;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Counts what the topic holds, with the consumer's client, and says so as a peer does.
pub fn count(brokers: &str, topic: &str) -> Result<()> {
    let connection = Connection { brokers: brokers.to_owned(), properties: Vec::new() };
    let start = StartAt::Offset { next_offset: 0, leader_epoch: None };
    let positions: Vec<Position> = (0..PARTITIONS).map(|partition| Position { partition, start }).collect();
    let mut consumer = Consumer::new(&connection, "bare", topic, None)?;
    consumer.add(&positions)?;
    let admin = almanac::kafka::Admin::new(&connection)?;
    let spans = almanac::kafka::extent(&admin, topic, PARTITIONS)?;
    let all = u64::try_from(spans.iter().map(|span| span.len()).sum::<i64>())?;
    let mut batch = Received::default();
    let (mut records, mut told, mut stdout) = (0, Instant::now(), std::io::stdout());
    while records < all {
        let is_first = records == 0;
        consumer.poll(&mut batch, Duration::from_millis(100));
        while let Some(item) = batch.next() {
            match item {
                Item::Records(some) => {
                    for record in some {
                        record.map_err(|refused| {
                            anyhow!("the record at offset {} is malformed", refused.offset())
                        })?;
                        records += 1;
                    }
                }
                Item::EndOfPartition { .. } => {}
                Item::Failed { error, .. } => return Err(error.into()),
            }
        }
        if records > 0 && (is_first || told.elapsed() > Duration::from_millis(100)) {
            told = Instant::now();
            writeln!(stdout, "{records}")?;
        }
    }
    writeln!(stdout, "{records}")?;
    Ok(())
}

/// Looks at a program at each of its checkpoints.
struct Watch {
    pid: u32,
    broker: u32,
    first: Option<Look>,
    last: Look,
    memory: f64,
}

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    records: u64,
    cpu: f64,
    broker_cpu: f64,
}

impl Watch {
    fn new(program: &Running, kafka: &Kafka) -> Watch {
        let start = Look { at: program.started, records: 0, cpu: 0.0, broker_cpu: 0.0 };
        Watch { pid: program.pid(), broker: kafka.pid, first: None, last: start, memory: 0.0 }
    }

    /// Takes note of the number of records passed by now, and gives it back.
    fn seen(&mut self, records: u64) -> Result<u64> {
        if records > self.last.records {
            let at = Instant::now();
            let (cpu, broker_cpu) = (cpu_seconds(self.pid)?, cpu_seconds(self.broker)?);
            self.last = Look { at, records, cpu, broker_cpu };
            self.first.get_or_insert(self.last);
            self.memory = peak_memory_mib(self.pid).unwrap_or(self.memory);
        }
        Ok(records)
    }

    fn measured(&self) -> Result<Measured> {
        let (first, last) = (self.first.context("no progress")?, self.last);
        let records = (last.records - first.records) as f64;
        ensure!(records > 0.0, "all {} records came with the first checkpoint", last.records);
        Ok(Measured {
            rate: records / (last.at - first.at).as_secs_f64(),
            cpu: (last.cpu - first.cpu) / (records / 1e6),
            broker_cpu: (last.broker_cpu - first.broker_cpu) / (records / 1e6),
            memory: self.memory,
        })
    }
}
