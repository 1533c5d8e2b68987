//! How soon after its acknowledgement a report is in a durable checkpoint, compared with the bare replacement of such a file.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use almanac::kafka::{Connection, Property};
use almanac::producer::Sender;
use almanac::report::Report;
use almanac::store::Paths;
use anyhow::{Context, Result, ensure};
use jiff::civil::Date;

use crate::Options;
use crate::consumers::passed;
use crate::figures::{percentile, table, target};
use crate::kafka::{ANSWER_MAX, Kafka, PARTITIONS, fresh};
use crate::process::{Cores, Running};

const TOPIC: &str = "latency";
/// How long the last reports may take to be counted.
const COUNTED_MAX: Duration = Duration::from_secs(30);
/// How often the files are looked at; a look is four short reads.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// Reports before those that are measured, a second or so, in which the consumer settles.
const BEFORE: usize = 20;

pub fn measure(kafka: &Kafka, temp: &Path, options: &Options) -> Result<()> {
    println!("## From acknowledged to durable and visible\n");
    println!(
        "`almanac consumer` beside a bare write, fsync, rename and fsync of the same bytes, in turn with it; in ms. Seen \
         is the file\nthat is synced and renamed; the sync of its directory comes right after, and is in the bare one's \
         time only.\n"
    );
    let mut rows = Vec::new();
    let mut above = f64::NAN;
    for per_second in [10, 1000] {
        eprintln!("{} reports at {per_second} a second", options.samples);
        let (reports, bare) = sample(kafka, &fresh(&temp.join("latency"))?, per_second, options.samples)?;
        if per_second == 10 {
            above = percentile(&reports, 0.99) - percentile(&bare, 0.99);
        }
        for (name, sorted) in [("consumer", reports), ("bare replacement", bare)] {
            let mut row = vec![format!("{name}, {per_second} reports/s")];
            row.extend([0.5, 0.9, 0.99, 1.0].map(|share| format!("{:.1}", percentile(&sorted, share))));
            row.push(sorted.len().to_string());
            rows.push(row);
        }
    }
    table(&["", "p50", "p90", "p99", "most", "samples"], &rows);
    target("p99 at 10 reports/s above p99 of the bare replacement", above, "<=", 10.0, " ms");
    println!();
    Ok(())
}

/// Milliseconds, sorted: of the reports, and of the bare replacements.
fn sample(kafka: &Kafka, dir: &Path, per_second: u32, samples: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let sent = samples + BEFORE;
    kafka.fill(TOPIC, 1, 0)?;
    let (files, bare_dir) = (fresh(&dir.join("files"))?, fresh(&dir.join("bare"))?);
    let mut command = kafka.almanac(Cores::Any, TOPIC, &["consumer", "0", "1", "2", "3", "--dir"]);
    let _consumer = Running::spawn(command.arg(&files))?;
    wait_for(&files, 1)?;
    let connection = Connection {
        brokers: kafka.brokers.clone(),
        // Each report goes at once.
        properties: vec![Property { key: "linger.ms".to_owned(), value: "0".to_owned() }],
    };
    let producer = Sender::new(&connection, TOPIC)?;
    let is_over = AtomicBool::new(false);
    let period = Duration::from_secs(1) / per_second;
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&files, sent as u64 + 1, &is_over));
        let bare =
            scope.spawn(|| replace(&files, &bare_dir, period.max(Duration::from_millis(20)), &is_over));
        let acknowledged = send(&producer, period, sent);
        let is_counted = acknowledged.is_ok() && wait_for(&files, sent as u64 + 1).is_ok();
        // The watcher ends when it has seen them all, which may be later.
        is_over.store(!is_counted, Ordering::Relaxed);
        let seen = watcher.join();
        is_over.store(true, Ordering::Relaxed);
        let bare = bare.join();
        let acknowledged = acknowledged?;
        let seen = seen.ok().context("the watcher failed")?;
        ensure!(is_counted, "not all reports were counted");
        let mut looks = seen.iter().peekable();
        let mut reports = Vec::with_capacity(samples);
        for (index, at) in acknowledged.iter().enumerate().skip(BEFORE) {
            // The one that was there before makes it one more.
            while looks.next_if(|(_, passed)| *passed < index as u64 + 2).is_some() {}
            let (visible, _) = looks.peek().context("a report was never seen")?;
            reports.push(visible.saturating_duration_since(*at).as_secs_f64() * 1000.0);
        }
        let mut bare = bare.ok().context("the bare replacement failed")??;
        reports.sort_unstable_by(f64::total_cmp);
        bare.sort_unstable_by(f64::total_cmp);
        Ok((reports, bare))
    })
}

fn wait_for(files: &Path, records: u64) -> Result<()> {
    let deadline = Instant::now() + COUNTED_MAX;
    while passed(files) < records {
        ensure!(Instant::now() < deadline, "{} of {records} records were counted", passed(files));
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// One day after the other; gives back when each was acknowledged.
fn send(producer: &Sender, period: Duration, count: usize) -> Result<Vec<Instant>> {
    let mut acknowledged = Vec::with_capacity(count);
    let mut date: Date = "2001-01-01".parse()?;
    let mut due = Instant::now();
    for _ in 0..count {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due += period;
        producer.send(&Report { date, degrees: 1.5 }, false, || false)?;
        ensure!(producer.flush(ANSWER_MAX), "a report was not acknowledged");
        acknowledged.push(Instant::now());
        date = date.tomorrow()?;
    }
    Ok(acknowledged)
}

/// When the files had passed how many records.
fn watch(files: &Path, all: u64, is_over: &AtomicBool) -> Vec<(Instant, u64)> {
    let mut seen: Vec<(Instant, u64)> = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let now = passed(files);
        if seen.last().is_none_or(|(_, before)| now > *before) {
            seen.push((Instant::now(), now));
        }
        if now >= all {
            break;
        }
        thread::sleep(LOOK_EVERY);
    }
    seen
}

/// The least that makes a file durable and replaces it at once, of the bytes that the consumer writes just now.
fn replace(files: &Path, dir: &Path, period: Duration, is_over: &AtomicBool) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    let directory = File::open(dir)?;
    let (temp, target) = (dir.join("new"), dir.join("file"));
    // Between two reports, not with them.
    let mut due = Instant::now() + period / 2;
    for partition in (0..PARTITIONS).cycle() {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due = (due + period).max(Instant::now());
        let bytes = fs::read(Paths::new(files, partition).checkpoint())?;
        let start = Instant::now();
        let file = File::create(&temp)?;
        std::io::Write::write_all(&mut &file, &bytes)?;
        file.sync_data()?;
        fs_rename(&temp, &target)?;
        directory.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}

/// In the program itself, only the store may do this.
#[allow(clippy::disallowed_methods, reason = "this is what the store is compared with")]
fn fs_rename(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::rename(from, to)
}
