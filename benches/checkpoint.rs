//! The processor time (user and system) of one replacement of a checkpoint, and of reading it at a start.
//!
//!     cargo bench --bench checkpoint
//!     cargo bench --bench checkpoint -- --years 155
//!
//! The files are those of two of four partitions, as the synthetic weather fills them. The bench asserts nothing.

#![allow(clippy::print_stdout, reason = "that is what a bench is for")]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use almanac::checkpoint::Checkpoint;
use almanac::source::Synthetic;
use almanac::store::{self, LocalClaim};
use anyhow::Result;
use clap::Parser;
use jiff::civil::date;
use rustix::time::{ClockId, clock_gettime};

#[derive(Clone, Debug, Parser)]
struct Options {
    /// Years with a cell of each month
    #[arg(long, default_value_t = 1000)]
    years: i16,
    /// How often each is measured
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Directory on the disk to write to, instead of that for temporary files
    #[arg(long, value_name = "DIR")]
    within: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// Two partitions, and the months whose keys lie there when there are four.
const PARTITIONS: [(i32, &[i8]); 2] = [(2, &[1, 4, 6, 12]), (3, &[5, 10, 11])];

fn main() -> Result<()> {
    let options = Options::parse();
    let dir = match &options.within {
        Some(place) => tempfile::tempdir_in(place)?,
        None => tempfile::tempdir()?,
    };
    store::prepare(dir.path())?;
    println!("processor time, median of {}:", options.rounds);
    for (partition, months) in PARTITIONS {
        let mut checkpoint = filled(partition, months, options.years);
        let json = checkpoint.to_json();
        println!(
            "partition {partition}: {} cells, {} kB",
            checkpoint.statistics.cells().count(),
            json.len() / 1000
        );
        let (mut claim, _) = LocalClaim::new(dir.path(), partition, false)?;
        measure("encode", options.rounds, || {
            checkpoint.offset += 1;
            black_box(checkpoint.to_json());
            Ok(())
        })?;
        measure("replace", options.rounds, || {
            checkpoint.offset += 1;
            claim.write_checkpoint(&checkpoint)?;
            Ok(())
        })?;
        measure("read", options.rounds, || {
            black_box(Checkpoint::from_json(&json)?);
            Ok(())
        })?;
    }
    Ok(())
}

/// A checkpoint that has counted `years` years of some months.
fn filled(partition: i32, months: &[i8], years: i16) -> Checkpoint {
    let mut checkpoint = Checkpoint::empty(partition, 0);
    let weather = Synthetic::new(1);
    let first = date(1990, 1, 1);
    let counted = weather.reports(first).take_while(|report| report.date.year() < first.year() + years);
    for report in counted.filter(|report| months.contains(&report.date.month())) {
        checkpoint.statistics.add(&report);
        checkpoint.offset += 1;
    }
    checkpoint
}

/// Prints the median.
fn measure(what: &str, rounds: u32, mut work: impl FnMut() -> Result<()>) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let before = processor_time()?;
        work()?;
        times.push(processor_time()? - before);
    }
    times.sort_unstable();
    println!("  {what:8} {:7.3} ms", times[times.len() / 2].as_secs_f64() * 1000.0);
    Ok(())
}

/// Of this thread.
fn processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::ThreadCPUTime).try_into()?)
}
