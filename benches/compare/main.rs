//! almanac side by side with its peers, in one run: what `scripts/bench` runs.
//!
//! Everything is measured in turn, and medians are compared, round by round. No time is asserted, but a wrong
//! count is a failure.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "that is what a bench is for")]

mod consumers;
mod figures;
mod grid;
mod growth;
mod kafka;
#[path = "../../tests/it/keys.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the tests use all of it, and nothing here comes from outside"
)]
mod keys;
mod latency;
mod process;
mod producers;
mod raw;
mod restart;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use kafka::Kafka;

#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Parts to measure [default: all]
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Distinct days in the log
    #[arg(long, default_value_t = 2_000_000)]
    days: u64,
    /// Repeats of each day
    #[arg(long, default_value_t = 4)]
    duplicates: u64,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = rounds)]
    rounds: usize,
    /// Count only so; without it both ways, and peers not pinned in one round only
    #[arg(long, value_enum)]
    cores: Option<process::Cores>,
    /// Reports whose latency is measured, at each rate
    #[arg(long, default_value_t = 3000)]
    samples: usize,
    /// Peers to compare with, separated by commas; all of them, if none is named
    #[arg(long, value_delimiter = ',')]
    peers: Option<Vec<String>>,
    /// Be one of the loops that only count
    #[arg(long, hide = true, requires = "brokers", requires = "topic")]
    role: Option<String>,
    #[arg(long, hide = true)]
    brokers: Option<String>,
    #[arg(long, hide = true)]
    topic: Option<String>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// A log counted from its first offset
    Consumers,
    /// The same behind TLS, and compressed
    Grid,
    /// Reports sent as fast as it goes
    Producers,
    /// From acknowledged to durable and visible
    Latency,
    /// From kill -9 to the next checkpoint
    Restart,
    /// Ten times as many records, and `verify`
    Records,
    /// Checkpoints and plots, by the years in them
    Years,
    /// Bytes that a day of `up` writes
    Disk,
}

impl Options {
    fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn has_peer(&self, name: &str) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.iter().any(|peer| peer == name))
    }
}

fn rounds(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|rounds| *rounds > 0).ok_or_else(|| "it is not a number from 1 on".to_owned())
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let (Some(role), Some(brokers), Some(topic)) = (&options.role, &options.brokers, &options.topic) {
        return match role.as_str() {
            "raw" => raw::read(brokers, topic, kafka::PARTITIONS),
            _ => consumers::count(brokers, topic),
        };
    }
    let start = Instant::now();
    // Not in memory, where a sync costs nothing.
    let temp = tempfile::tempdir_in(target_dir())?;
    print_machine();
    let data = temp.path().join("kafka");
    let kafka = Kafka::start(&data)?;
    let scratch = temp.path();
    if options.has(Part::Consumers) || options.has(Part::Records) {
        const TOPIC: &str = "small";
        kafka.fill(TOPIC, options.days, options.duplicates)?;
        let records = kafka.records(TOPIC)?;
        ensure!(records == options.days * (1 + options.duplicates), "the log has {records} records");
        if options.has(Part::Consumers) {
            println!("## Counting a log again\n");
            println!(
                "{records} records, {} days and {} repeats of each.\n",
                options.days, options.duplicates
            );
            let comparison = consumers::compare(&kafka, TOPIC, scratch, &options)?;
            comparison.print();
            comparison.print_targets();
            println!();
        }
        if options.has(Part::Records) {
            growth::more_records(&kafka, TOPIC, scratch, &options)?;
        }
    }
    if options.has(Part::Grid) {
        grid::measure_all(&kafka, &data, scratch, &options)?;
    }
    if options.has(Part::Producers) {
        producers::compare(&kafka, &options)?;
    }
    if options.has(Part::Latency) {
        latency::measure(&kafka, scratch, &options)?;
    }
    if options.has(Part::Restart) {
        restart::measure(&kafka, scratch)?;
    }
    kafka.stop()?;
    if options.has(Part::Years) {
        growth::more_years(scratch)?;
    }
    if options.has(Part::Disk) {
        growth::a_day_of_up(scratch)?;
    }
    println!("{} s in all.", start.elapsed().as_secs());
    Ok(())
}

fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

/// The directory of the peers' programs.
pub fn peers_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers")
}

/// The machine and the versions.
fn print_machine() {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Some(text).filter(|text| !text.is_empty())
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("- {cores} cores,{}", model.trim_start_matches([' ', '\t', ':']).trim().replacen("", " ", 1));
    println!("- Linux {}", said("uname", &["-r"]).unwrap_or_default());
    println!("- Apache Kafka {}, almanac {}", almanac::broker::kafka_version(), env!("CARGO_PKG_VERSION"));
    println!();
}
