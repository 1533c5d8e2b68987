//! How fast a long log is counted again: `almanac consumer` from the first offset, beside a loop of the same client
//! that only counts records, and beside one of librdkafka alone, which reads what a replay can't.
//!
//!     cargo bench --bench replay
//!     cargo bench --bench replay -- --days 200000 --rounds 3
//!
//! Who only counts is done when the client says that this is the end, which is after the hand-over: of that loop compare
//! the processor time, not the rate.
//!
//! All read the same log of a real Kafka, in turn, and the medians are compared. Kafka has one core and its client
//! another, so that neither takes time from the other. Nothing is asserted of the time, but a wrong count is a
//! failure.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "that is what a bench is for")]

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use almanac::kafka::{Admin, Batch, Connection, Consumer, Item, Position, StartAt};
use almanac::store::{self, Paths};
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use rustix::process::{Pid, Signal};

const ALMANAC: &str = env!("CARGO_BIN_EXE_almanac");
const TOPIC: &str = "replay";
/// A setting of connections, and the default: but only librdkafka knows it.
const LIBRDKAFKA_ONLY: &str = "broker.address.family=any";
const PARTITIONS: i32 = 4;
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How often the checkpoints are looked at; four short reads, so the client's core does not feel it.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// As many as the consumer takes at a time.
const BATCH_RECORDS_MAX: usize = 4096;

#[derive(Clone, Debug, Parser)]
struct Options {
    /// Distinct days in the log
    #[arg(long, default_value_t = 2_000_000)]
    days: u64,
    /// Repeats of each day
    #[arg(long, default_value_t = 4)]
    duplicates: u64,
    /// How often each of the two is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The core that Kafka has to itself
    #[arg(long, default_value_t = 0)]
    broker_core: usize,
    /// The core that its client has to itself
    #[arg(long, default_value_t = 1)]
    client_core: usize,
    /// Client property for both
    #[arg(short = 'X', value_name = "KEY=VALUE")]
    properties: Vec<almanac::kafka::Property>,
    /// Be the loop that only counts, on this broker
    #[arg(long, value_name = "BROKERS", hide = true)]
    count: Option<String>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    match &options.count {
        Some(brokers) => count(brokers, &options),
        None => compare(&options),
    }
}

fn compare(options: &Options) -> Result<()> {
    let temp = tempfile::tempdir()?;
    let kafka = Kafka::start(&temp.path().join("kafka"), options)?;
    let filling = Instant::now();
    fill(&kafka, options)?;
    let records = kafka.records(options)?;
    let rate = records as f64 / filling.elapsed().as_secs_f64();
    println!("producer: {records} records, {} records/s", thousands(rate));
    ensure!(records == options.days * (1 + options.duplicates), "the log has {records} records");

    let mut measured: [Vec<Measured>; 3] = Default::default();
    for round in 0..options.rounds as usize {
        // Each is first as often as last, so that what the order does to them evens out.
        for turn in 0..measured.len() {
            let which = (round + turn) % measured.len();
            let dir = temp.path().join(format!("round-{round}"));
            measured[which].push(match which {
                0 => {
                    let measured = consume(&kafka, &dir, records, options)?;
                    fs::remove_dir_all(&dir)?;
                    measured
                }
                1 => measure_count(&kafka, records, &[], options)?,
                _ => measure_count(&kafka, records, &[LIBRDKAFKA_ONLY], options)?,
            });
        }
    }
    print_table(&measured);
    kafka.stop()
}

/// One replay of the whole log.
#[derive(Debug)]
struct Measured {
    /// Records per second from the start of the process to the last record.
    whole: f64,
    /// From the first sign of progress on, without the start.
    steady: f64,
    /// Seconds of processor time for a million records.
    cpu: f64,
    /// The most memory that the process ever held, in MiB.
    memory: f64,
}

fn print_table(measured: &[Vec<Measured>; 3]) {
    let names = ["consumer", "only counting", "librdkafka, only counting"];
    println!("{:32}{:>30}{:>30}{:>30}", "median (least to most)", names[0], names[1], names[2]);
    let row = |name: &str, of: fn(&Measured) -> f64, show: fn(f64) -> String| {
        let cells = measured.each_ref().map(|all| {
            let [least, median, most] = spread(all.iter().map(of));
            format!("{} ({} to {})", show(median), show(least), show(most))
        });
        println!("{name:32}{:>30}{:>30}{:>30}", cells[0], cells[1], cells[2]);
    };
    row("records/s, whole run", |m| m.whole, thousands);
    row("records/s, from first progress", |m| m.steady, thousands);
    row("CPU s per million records", |m| m.cpu, |cpu| format!("{cpu:.2}"));
    row("peak memory, MiB", |m| m.memory, |memory| format!("{memory:.0}"));
    let [consumer, counting, librdkafka] = measured;
    let ratio = |name: &str, others: &[Measured], of: fn(&Measured) -> f64| {
        let pairs = consumer.iter().zip(others).map(|(consumer, other)| of(consumer) / of(other));
        let [least, median, most] = spread(pairs);
        println!("{name:44}{median:>10.2} ({least:.2} to {most:.2})");
    };
    ratio("records/s, consumer / only counting", counting, |m| m.whole);
    ratio("records/s, consumer / librdkafka", librdkafka, |m| m.whole);
    ratio("CPU, consumer / only counting", counting, |m| m.cpu);
    ratio("CPU, consumer / librdkafka", librdkafka, |m| m.cpu);
}

/// Least, median, most.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}

fn thousands(rate: f64) -> String {
    format!("{:.0}k", rate / 1000.0)
}

struct Kafka {
    process: Running,
    brokers: String,
}

impl Kafka {
    fn start(data: &Path, options: &Options) -> Result<Kafka> {
        let mut process = Running::spawn(
            pinned(options.broker_core, ALMANAC)
                .args(["broker", "--listen", "127.0.0.1:0", "--data"])
                .arg(data)
                .stderr(Stdio::piped()),
        )?;
        let stderr = process.child.stderr.take().context("no stderr")?;
        let brokers = address(stderr)?;
        Ok(Kafka { process, brokers })
    }

    /// In good order, so that nothing of it writes into a directory that is being removed.
    fn stop(mut self) -> Result<()> {
        let status = self.process.terminate()?;
        ensure!(status.success(), "Kafka ended badly: {status}");
        Ok(())
    }

    fn connection(&self, options: &Options) -> Connection {
        Connection { brokers: self.brokers.clone(), properties: options.properties.clone() }
    }

    /// How many records the topic holds.
    fn records(&self, options: &Options) -> Result<u64> {
        let admin = Admin::new(&self.connection(options))?;
        let mut records = 0;
        for partition in 0..PARTITIONS {
            let (low, high) = admin.watermarks(TOPIC, partition, ANSWER_MAX)?;
            records += u64::try_from(high - low)?;
        }
        Ok(records)
    }
}

/// Where Kafka says that it answers.
fn address(stderr: ChildStderr) -> Result<String> {
    let mut said = String::new();
    let mut lines = BufReader::new(stderr).lines();
    for line in lines.by_ref() {
        let line = line?;
        if let Some((_, rest)) = line.split_once(" answers at ") {
            // Kept open: a broker that can't write to its stderr would end.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(rest.split(';').next().unwrap_or(rest).to_owned());
        }
        said += &line;
        said += "\n";
    }
    bail!("Kafka did not start:\n{said}")
}

fn fill(kafka: &Kafka, options: &Options) -> Result<()> {
    let status = almanac(kafka, options)
        .args(["producer", "--interval", "0", "--days", &options.days.to_string()])
        .args(["--duplicates", &options.duplicates.to_string()])
        .status()?;
    ensure!(status.success(), "the producer failed");
    Ok(())
}

/// `almanac consumer` from an empty DIR until its checkpoints have passed every record.
fn consume(kafka: &Kafka, dir: &Path, records: u64, options: &Options) -> Result<Measured> {
    let start = Instant::now();
    let mut consumer =
        Running::spawn(almanac(kafka, options).args(["consumer", "0", "1", "2", "3", "--dir"]).arg(dir))?;
    let mut progress = Progress::new(start);
    while progress.seen(passed(dir)) < records {
        if let Some(status) = consumer.child.try_wait()? {
            bail!("the consumer ended: {status}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let measured = progress.measured(consumer.child.id())?;
    let status = consumer.terminate()?;
    ensure!(status.success(), "the consumer failed: {status}");

    let checkpoints = store::checkpoints_in(dir)?;
    let passed: i64 = checkpoints.iter().map(|(_, checkpoint)| checkpoint.offset).sum();
    let days: u64 = checkpoints.iter().map(|(_, checkpoint)| checkpoint.statistics.days()).sum();
    ensure!(u64::try_from(passed)? == records, "{passed} of {records} records passed");
    ensure!(days == options.days, "{days} of {} days counted", options.days);
    Ok(measured)
}

/// How many records the checkpoints have passed.
fn passed(dir: &Path) -> u64 {
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

/// This program again, as the loop that only counts.
fn measure_count(kafka: &Kafka, records: u64, properties: &[&str], options: &Options) -> Result<Measured> {
    let start = Instant::now();
    let mut command = pinned(options.client_core, std::env::current_exe()?);
    command.args(["--count", &kafka.brokers]).stdin(Stdio::piped()).stdout(Stdio::piped());
    for property in &options.properties {
        command.arg("-X").arg(format!("{}={}", property.key, property.value));
    }
    for property in properties {
        command.args(["-X", property]);
    }
    let mut counter = Running::spawn(&mut command)?;
    let mut lines = BufReader::new(counter.child.stdout.take().context("no stdout")?).lines();
    let next = |lines: &mut Lines<BufReader<ChildStdout>>| -> Result<u64> {
        Ok(lines.next().context("the bare loop ended")??.parse()?)
    };
    let mut progress = Progress::new(start);
    progress.seen(next(&mut lines)?);
    let counted = progress.seen(next(&mut lines)?);
    let measured = progress.measured(counter.child.id())?;
    ensure!(counted == records, "the bare loop counted {counted} of {records} records");
    Ok(measured)
}

/// Counts what the topic holds, with the consumer's client; says so at the first batch and at the end, then waits to
/// be looked at.
fn count(brokers: &str, options: &Options) -> Result<()> {
    let connection = Connection { brokers: brokers.to_owned(), properties: options.properties.clone() };
    let start = StartAt::Offset { next_offset: 0, leader_epoch: None };
    let positions: Vec<Position> = (0..PARTITIONS).map(|partition| Position { partition, start }).collect();
    let mut consumer = Consumer::new(&connection, "bare", TOPIC, None)?;
    consumer.add(&positions)?;
    let mut batch = Batch::with_capacity(BATCH_RECORDS_MAX);
    let (mut records, mut ended, mut stdout) = (0_u64, 0, std::io::stdout());
    while ended < PARTITIONS {
        let is_first = records == 0;
        consumer.poll(&mut batch, Duration::from_millis(100));
        for item in batch.iter() {
            match item {
                Item::Record(_) => records += 1,
                Item::EndOfPartition { .. } => ended += 1,
                Item::Failed { error, .. } => return Err(error.into()),
            }
        }
        if is_first && records > 0 {
            writeln!(stdout, "{records}")?;
        }
    }
    writeln!(stdout, "{records}")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// How far a replay is, and when it came there.
struct Progress {
    start: Instant,
    first: Option<(Instant, u64)>,
    last: (Instant, u64),
}

impl Progress {
    fn new(start: Instant) -> Progress {
        Progress { start, first: None, last: (start, 0) }
    }

    /// Takes note of the number of records passed by now, and gives it back.
    fn seen(&mut self, records: u64) -> u64 {
        if records > self.last.1 {
            self.last = (Instant::now(), records);
            self.first.get_or_insert(self.last);
        }
        records
    }

    fn measured(&self, pid: u32) -> Result<Measured> {
        let (end, records) = self.last;
        let rate = |(since, before): (Instant, u64)| {
            (records - before) as f64 / (end - since).as_secs_f64().max(1e-9)
        };
        Ok(Measured {
            whole: rate((self.start, 0)),
            steady: rate(self.first.context("no progress")?),
            cpu: cpu_seconds(pid)? / (records as f64 / 1e6),
            memory: peak_memory_mib(pid)?,
        })
    }
}

/// The processor time that a living process has taken, in user space and for it in the kernel.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything; after it come the state, field 3, and 14 and 15, both in ticks.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(14 - 3).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

fn peak_memory_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// The binary on the client's core, with this Kafka and topic.
fn almanac(kafka: &Kafka, options: &Options) -> Command {
    let mut command = pinned(options.client_core, ALMANAC);
    command.env("ALMANAC_BROKERS", &kafka.brokers).env("ALMANAC_TOPIC", TOPIC).stdin(Stdio::null());
    let properties: Vec<String> =
        options.properties.iter().map(|property| format!("{}={}", property.key, property.value)).collect();
    if !properties.is_empty() {
        command.env("ALMANAC_X", properties.join("\n"));
    }
    command
}

fn pinned(core: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &core.to_string()]).arg(program);
    command
}

/// A process that ends with its owner.
struct Running {
    child: Child,
}

impl Running {
    fn spawn(command: &mut Command) -> Result<Running> {
        let child = command.spawn().context("can't start a process\nhint: `taskset` is in util-linux")?;
        Ok(Running { child })
    }

    fn terminate(&mut self) -> Result<ExitStatus> {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Best effort: it may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
