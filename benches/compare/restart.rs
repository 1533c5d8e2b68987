//! From the start of a process after kill -9 to its first new checkpoint, with a thousand years in DIR and a stream
//! running.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::consumers::passed;
use crate::figures::{Spread, target};
use crate::kafka::{Kafka, fresh};
use crate::process::{Cores, Running};

const TOPIC: &str = "restart";
const DAYS: u64 = 365_000;
const KILLS: usize = 20;
const PROGRESS_MAX: Duration = Duration::from_secs(30);

pub fn measure(kafka: &Kafka, temp: &Path) -> Result<()> {
    kafka.fill(TOPIC, DAYS, 0)?;
    let dir = fresh(&temp.join("restart"))?;
    start_until(kafka, &dir, DAYS)?;
    let arguments = ["producer", "--append", "--interval", "10ms"];
    let _producer = Running::spawn(&mut kafka.almanac(Cores::Any, TOPIC, &arguments))?;
    start_until(kafka, &dir, DAYS + 1)?;
    let mut times = Vec::new();
    for _ in 0..KILLS {
        let before = passed(&dir);
        times.push(start_until(kafka, &dir, before + 1)?.as_secs_f64() * 1000.0);
    }
    println!("## Killed and started again\n");
    let spread = Spread::of(times);
    println!(
        "From the start of the process to its first new checkpoint, {DAYS} days in DIR, 100 reports/s, {KILLS} times: {} ms.\n",
        spread.show(|ms| format!("{ms:.0}"))
    );
    target("kill to first new checkpoint, p50", spread.median, "<=", 250.0, " ms");
    println!();
    Ok(())
}

/// Starts the consumer, kills it when it has passed so many records; gives back how long that took.
fn start_until(kafka: &Kafka, dir: &Path, records: u64) -> Result<Duration> {
    let mut command = kafka.almanac(Cores::Any, TOPIC, &["consumer", "0", "1", "2", "3", "--dir"]);
    let consumer = Running::spawn(command.arg(dir))?;
    while passed(dir) < records {
        ensure!(consumer.started.elapsed() < PROGRESS_MAX, "no new checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(Instant::now() - consumer.started)
}
