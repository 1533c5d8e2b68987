//! Growth: more records, more years, more time.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use almanac::checkpoint::Checkpoint;
use almanac::report::Report;
use almanac::store::{LocalClaim, Paths};
use anyhow::{Context, Result, bail, ensure};
use jiff::civil::Date;
use rustix::time::{ClockId, clock_gettime};

use crate::Options;
use crate::consumers::{Subject, measure, passed};
use crate::figures::{Spread, rate, table, target, three_digits};
use crate::kafka::{ALMANAC, Kafka, fresh};
use crate::process::{Cores, Running, children, written_bytes};

/// Reads the same cells from ten times as many records, in turn with those of `small`.
pub fn more_records(kafka: &Kafka, small: &str, temp: &Path, options: &Options) -> Result<()> {
    const LARGE: &str = "large";
    let small_records = kafka.records(small)?;
    kafka.fill(LARGE, options.days, 10 * (1 + options.duplicates) - 1)?;
    let large_records = kafka.records(LARGE)?;
    let (mut rates, mut memories, mut large_rates) = (Vec::new(), Vec::new(), Vec::new());
    Cores::Pinned.hold_broker(kafka.pid)?;
    for _ in 0..3 {
        let few = measure(Subject::Almanac, Cores::Pinned, kafka, small, &fresh(&temp.join("consumer"))?)?;
        let many = measure(Subject::Almanac, Cores::Pinned, kafka, LARGE, &fresh(&temp.join("consumer"))?)?;
        rates.push(many.rate / few.rate);
        memories.push(many.memory / few.memory);
        large_rates.push(many.rate);
    }
    Cores::Any.hold_broker(kafka.pid)?;
    println!("## Ten times as many records\n");
    println!(
        "{large_records} records instead of {small_records}, with the same days: {}/s.\n",
        Spread::of(large_rates).show(rate)
    );
    target("its rate compared with that of fewer", Spread::of(rates).median, ">=", 0.9, " ×");
    target("its memory compared with that of fewer", Spread::of(memories).median, "<=", 1.1, " ×");
    println!();
    let (_, seconds) =
        timed(kafka.almanac(Cores::Any, small, &["verify", "--dir"]).arg(temp.join("verified")), || {
            let dir = fresh(&temp.join("verified"))?;
            measure(Subject::Almanac, Cores::Any, kafka, small, &dir).map(drop)
        })?;
    println!(
        "`almanac verify` of {small_records} records: {}/s, its start and end included.\n",
        rate(small_records as f64 / seconds)
    );
    kafka.admin()?.delete(LARGE, crate::kafka::ANSWER_MAX)?;
    Ok(())
}

/// Runs a command that must succeed, after what comes before it.
fn timed(command: &mut Command, before: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    before()?;
    let mut process = Running::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
    let (status, cpu) = process.finish()?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok((cpu, process.started.elapsed().as_secs_f64()))
}

/// The cost of a checkpoint, by the years in it, and of a plot.
pub fn more_years(temp: &Path) -> Result<()> {
    const TIMES: usize = 21;
    let mut rows = Vec::new();
    let mut cpu_of_thousand = f64::NAN;
    for years in [10, 100, 1000, 5000] {
        let dir = fresh(&temp.join("years"))?;
        // That of the partition with the most months: with four partitions January, April, June and December.
        let mut checkpoint = filled(2, years)?;
        let (mut claim, _) = LocalClaim::new(&dir, 2, false)?;
        let (mut cpu, mut wall, mut bytes) = (Vec::new(), Vec::new(), 0);
        for _ in 0..TIMES {
            checkpoint.offset += 1;
            let (start, cpu_before) = (Instant::now(), thread_cpu_ms());
            bytes = claim.write_checkpoint(&checkpoint)?;
            cpu.push(thread_cpu_ms() - cpu_before);
            wall.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        let cpu = Spread::of(cpu);
        if years == 1000 {
            cpu_of_thousand = cpu.median;
        }
        rows.push(vec![
            years.to_string(),
            format!("{} kB", bytes / 1000),
            cpu.show(three_digits),
            Spread::of(wall).show(three_digits),
        ]);
    }
    println!("## A checkpoint, by the years in it\n");
    println!(
        "The partition with the most months (a third of all days), encoded, written, synced and renamed.\n"
    );
    table(&["years", "bytes", "CPU ms", "ms in all"], &rows);
    target("CPU of a checkpoint with 1000 years", cpu_of_thousand, "<=", 3.0, " ms");

    let dir = fresh(&temp.join("plotted"))?;
    for partition in 0..4 {
        fs::write(Paths::new(&dir, partition).checkpoint(), filled(partition, 155)?.to_json())?;
    }
    println!();
    for kind in ["months", "heatmap", "stripes"] {
        let times = (0..11).map(|_| {
            let mut command = Command::new(ALMANAC);
            Ok(timed(command.args(["plot", "--kind", kind, "--dir"]).arg(&dir), || Ok(()))?.1 * 1000.0)
        });
        let times: Result<Vec<f64>> = times.collect();
        println!("- `almanac plot --kind {kind}`, 155 years: {} ms", Spread::of(times?).show(three_digits));
    }
    println!();
    Ok(())
}

/// The checkpoint of a partition after so many years.
fn filled(partition: i32, years: u32) -> Result<Checkpoint> {
    let months: &[i8] = match partition {
        0 => &[3, 8, 9],
        1 => &[2, 7],
        2 => &[1, 4, 6, 12],
        3 => &[5, 10, 11],
        other => bail!("unknown partition {other}"),
    };
    let mut checkpoint = Checkpoint::empty(partition, 0);
    let mut date: Date = "1990-01-01".parse()?;
    let end = Date::new(1990 + i16::try_from(years)?, 1, 1)?;
    while date < end {
        if months.contains(&date.month()) {
            // As many digits as measurements have.
            let degrees = f64::from(date.day_of_year() % 97) / 10.0 + f64::from(date.year()) / 7.0;
            checkpoint.statistics.add(&Report { date, degrees });
            checkpoint.offset += 1;
        }
        date = date.tomorrow()?;
    }
    Ok(checkpoint)
}

fn thread_cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1000.0 + time.tv_nsec as f64 / 1e6
}

fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// How much `almanac up`, Kafka included, writes to the disk in a day, by the years that are there already.
pub fn a_day_of_up(temp: &Path) -> Result<()> {
    /// First what may be written at once is used up, then it is measured.
    const SETTLING: Duration = Duration::from_secs(60);
    const MEASURED: Duration = Duration::from_secs(60);
    let mut runs = Vec::new();
    for years in [10, 100, 1000, 5000] {
        let dir = fresh(&temp.join(format!("up-{years}")))?;
        let kafka = Kafka::start(&dir.join("kafka"))?;
        kafka.fill("temperatures", years * 365, 0)?;
        kafka.stop()?;
        let mut command = Command::new(ALMANAC);
        command
            .args(["up", "--brokers", &free_address()?, "--no-dashboard", "--data"])
            .arg(dir.join("kafka"));
        command
            .arg("--dir")
            .arg(dir.join("files"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut up = Running::spawn(&mut command)?;
        let said = up.child.stderr.take().context("no stderr")?;
        // Kept open: who can't write to its stderr would end.
        thread::spawn(move || std::io::copy(&mut { said }, &mut std::io::sink()));
        let deadline = Instant::now() + Duration::from_secs(60);
        while passed(&dir.join("files")) < years * 365 {
            ensure!(Instant::now() < deadline, "`up` has not caught up");
            thread::sleep(Duration::from_millis(50));
        }
        runs.push((years, up));
    }
    eprintln!("`almanac up` for {} s", (SETTLING + MEASURED).as_secs());
    thread::sleep(SETTLING);
    let written = |up: &Running| -> Result<(u64, u64)> {
        let kafka = children(up.pid()).into_iter().map(written_bytes).sum::<Result<u64>>()?;
        Ok((written_bytes(up.pid())?, kafka))
    };
    let before = runs.iter().map(|(_, up)| written(up)).collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    thread::sleep(MEASURED);
    let mut rows = Vec::new();
    let mut with_thousand = f64::NAN;
    for ((years, up), before) in runs.iter().zip(before) {
        let (almanac, kafka) = written(up)?;
        let a_day = |bytes: u64| bytes as f64 / start.elapsed().as_secs_f64() * 86_400.0 / 1e9;
        let (almanac, kafka) =
            (a_day(almanac.saturating_sub(before.0)), a_day(kafka.saturating_sub(before.1)));
        if *years == 1000 {
            with_thousand = almanac + kafka;
        }
        rows.push(vec![years.to_string(), three_digits(almanac), three_digits(kafka)]);
    }
    for (_, up) in &mut runs {
        let status = up.terminate()?;
        ensure!(status.success(), "`up` failed: {status}");
    }
    println!("## What a day of `almanac up` writes\n");
    println!("At its ten reports a second, in GB, from what is written in {} s.\n", MEASURED.as_secs());
    table(&["years in DIR", "almanac", "Kafka"], &rows);
    target("both, with 1000 years", with_thousand, "<=", 20.0, " GB a day");
    println!();
    Ok(())
}
