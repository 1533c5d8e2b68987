//! How long it takes from the replacement of a checkpoint to the event that a client of `almanac dashboard` receives, and
//! what the dashboard takes while nothing changes.
//!
//!     cargo bench --bench events
//!     cargo bench --bench events -- --streams 1000
//!
//! The files are those of 155 years in four partitions. Files are replaced at uneven times, to meet each moment
//! between two polls of the files. The bench asserts no results.

#![allow(clippy::print_stdout, reason = "that is what a bench is for")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use almanac::report::MONTHS;
use almanac::store;
use anyhow::{Context, Result};
use clap::Parser;

#[derive(Clone, Debug, Parser)]
struct Options {
    /// Replacements that are measured
    #[arg(long, default_value_t = 200)]
    replacements: u32,
    /// Streams that are open; the last one is measured
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// For how long the dashboard is watched while nothing changes
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    /// Given by cargo to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let dir = tempfile::tempdir()?;
    for partition in 0..4 {
        put(dir.path(), partition, 100_000)?;
    }
    let page = Page::start(dir.path())?;
    let mut streams = (0..options.streams).map(|_| page.stream()).collect::<Result<Vec<_>>>()?;
    let mut times = Vec::new();
    for number in 0..options.replacements {
        sleep(Duration::from_millis(u64::from(30 + number * 7 % 23)));
        put(dir.path(), (number % 4).try_into()?, 100_001 + u64::from(number))?;
        let replaced = Instant::now();
        for stream in &mut streams {
            next_event(stream)?;
        }
        times.push(replaced.elapsed());
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!(
        "{} replacements, until the last of {} streams has its event: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        times.len(),
        options.streams,
        at(0.5),
        at(0.99),
        at(1.0),
    );
    println!("{}", page.memory()?);
    idle(&page, 4, options.idle_seconds)?;
    for partition in 4..100 {
        put(dir.path(), partition, 100_000)?;
    }
    sleep(Duration::from_secs(2));
    idle(&page, 100, options.idle_seconds)
}

fn idle(page: &Page, partitions: u32, seconds: u64) -> Result<()> {
    let before = page.processor_time()?;
    sleep(Duration::from_secs(seconds));
    let share = (page.processor_time()? - before).as_secs_f64() / seconds as f64;
    println!("idle with {partitions} partitions: {:.2} % of a core", share * 100.0);
    Ok(())
}

/// A checkpoint with three months of 155 years.
fn put(dir: &Path, partition: i32, offset: u64) -> Result<()> {
    let mut json = format!("{{\"partition\":{partition},\"offset\":{offset}");
    for month in (0..MONTHS.len()).filter(|month| month % 4 == partition as usize % 4) {
        let cell = |year: u32| {
            let date = format!("{year}-{:02}", month + 1);
            format!(
                "\"{year}\":{{\"count\":28,\"sum\":281.5,\"avg\":10.053571428571429,\"min\":-17.25,\"max\":31.75,\
                 \"start\":\"{date}-01\",\"end\":\"{date}-28\"}}"
            )
        };
        let years: Vec<String> = (1870..2025).map(cell).collect();
        json += &format!(",\"{}\":{{{}}}", MONTHS[month], years.join(","));
    }
    json += "}";
    Ok(almanac::output::write(&dir.join(store::checkpoint_name(partition)), json.as_bytes())?)
}

/// A dashboard that ends with its owner.
struct Page {
    process: Child,
    address: String,
}

impl Page {
    fn start(dir: &Path) -> Result<Page> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_almanac"))
            .args(["dashboard", "--listen", "127.0.0.1:0", "--dir"])
            .arg(dir)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stderr.take().context("no stderr")?).read_line(&mut line)?;
        let address = line.trim().trim_end_matches('/').split("http://").nth(1).context(line.clone())?;
        Ok(Page { address: address.to_owned(), process })
    }

    fn stream(&self) -> Result<BufReader<TcpStream>> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.write_all(b"GET /api/events HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line)?;
        }
        Ok(stream)
    }

    fn memory(&self) -> Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        Ok(status.lines().filter(|line| line.starts_with("VmHWM")).collect())
    }

    /// In user and kernel.
    fn processor_time(&self) -> Result<Duration> {
        let mut stat = String::new();
        fs::File::open(format!("/proc/{}/stat", self.process.id()))?.read_to_string(&mut stat)?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Best effort: it may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits for the end of an event.
fn next_event(stream: &mut BufReader<TcpStream>) -> Result<()> {
    let (mut line, mut has_data) = (String::new(), false);
    while !(has_data && line == "\n") {
        line.clear();
        anyhow::ensure!(stream.read_line(&mut line)? > 0, "the stream has ended");
        has_data |= line.starts_with("data:");
    }
    Ok(())
}
