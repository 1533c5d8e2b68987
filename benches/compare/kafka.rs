//! One real Kafka, and what is in it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::time::Duration;

use almanac::kafka::{Admin, Connection, extent};
use anyhow::{Context, Result, bail, ensure};

use crate::process::{Cores, Running, children};

pub const ALMANAC: &str = env!("CARGO_BIN_EXE_almanac");
pub const PARTITIONS: i32 = 4;
pub const ANSWER_MAX: Duration = Duration::from_secs(10);

pub struct Kafka {
    process: Running,
    pub brokers: String,
    /// Of the JVM.
    pub pid: u32,
}

impl Kafka {
    pub fn start(data: &Path) -> Result<Kafka> {
        let mut command = Command::new(ALMANAC);
        command.args(["broker", "--listen", "127.0.0.1:0", "--data"]).arg(data).stderr(Stdio::piped());
        let mut process = Running::spawn(&mut command)?;
        let brokers = address(process.child.stderr.take().context("no stderr")?)?;
        let pid = *children(process.pid()).first().context("Kafka has no process")?;
        Ok(Kafka { process, brokers, pid })
    }

    /// In good order, so that nothing of it writes into a directory that is being removed.
    pub fn stop(mut self) -> Result<()> {
        let status = self.process.terminate()?;
        ensure!(status.success(), "Kafka ended badly: {status}");
        Ok(())
    }

    pub fn connection(&self) -> Connection {
        Connection { brokers: self.brokers.clone(), properties: Vec::new() }
    }

    pub fn admin(&self) -> Result<Admin> {
        Ok(Admin::new(&self.connection())?)
    }

    /// How many records a topic holds.
    pub fn records(&self, topic: &str) -> Result<u64> {
        let spans = extent(&self.admin()?, topic, PARTITIONS)?;
        Ok(u64::try_from(spans.iter().map(|span| span.len()).sum::<i64>())?)
    }

    /// An almanac that speaks to it.
    pub fn almanac(&self, cores: Cores, topic: &str, arguments: &[&str]) -> Command {
        let mut command = cores.client(ALMANAC);
        command.args(arguments).env("ALMANAC_BROKERS", &self.brokers).env("ALMANAC_TOPIC", topic);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Recreates a topic and sends so many days, and so many duplicates of each, as fast as possible.
    pub fn fill(&self, topic: &str, days: u64, duplicates: u64) -> Result<()> {
        let (days, duplicates) = (days.to_string(), duplicates.to_string());
        let arguments = ["producer", "--interval", "0", "--days", &days, "--duplicates", &duplicates];
        let status = self.almanac(Cores::Any, topic, &arguments).status()?;
        ensure!(status.success(), "the producer failed: {status}");
        Ok(())
    }
}

/// The address at which Kafka says that it answers.
fn address(stderr: ChildStderr) -> Result<String> {
    let mut said = String::new();
    let mut lines = BufReader::new(stderr).lines();
    for line in lines.by_ref() {
        let line = line?;
        if let Some((_, rest)) = line.split_once(" answers at ") {
            // Kept open: who can't write to its stderr would end.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(rest.split(';').next().unwrap_or(rest).to_owned());
        }
        said += &line;
        said += "\n";
    }
    bail!("Kafka did not start:\n{said}")
}

/// A directory that a round has to itself.
pub fn fresh(dir: &Path) -> Result<PathBuf> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    std::fs::create_dir_all(dir)?;
    Ok(dir.to_owned())
}
