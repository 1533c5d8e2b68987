//! Processes, where they run, and what they take.

use std::fs;
use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// The core of a pinned Kafka, and that of its client.
const BROKER_CORE: u32 = 0;
const CLIENT_CORE: u32 = 1;

/// The cores that processes may run on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Cores {
    /// Kafka has one core and its client another, so that neither takes time from the other.
    Pinned,
    /// As the system decides.
    Any,
}

impl Cores {
    /// A command for Kafka's client.
    pub fn client(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &self.list(CLIENT_CORE)]).arg(program);
        command
    }

    /// Puts a Kafka that runs where it belongs.
    pub fn hold_broker(self, pid: u32) -> Result<()> {
        let mut taskset = Command::new("taskset");
        taskset.args(["--all-tasks", "--cpu-list", "--pid", &self.list(BROKER_CORE), &pid.to_string()]);
        let output = taskset.output().context("can't run taskset\nhint: it is in util-linux")?;
        ensure!(output.status.success(), "taskset failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn list(self, core: u32) -> String {
        match self {
            Cores::Pinned => core.to_string(),
            Cores::Any => "0-1023".to_owned(),
        }
    }
}

/// A process that ends with its owner.
pub struct Running {
    pub child: Child,
    pub started: Instant,
}

impl Running {
    pub fn spawn(command: &mut Command) -> Result<Running> {
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("can't start {command:?}"))?;
        Ok(Running { child, started })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn terminate(&mut self) -> Result<ExitStatus> {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        Ok(self.child.wait()?)
    }

    /// Waits for its end; gives back the processor time that it took.
    pub fn finish(&mut self) -> Result<(ExitStatus, f64)> {
        // It stays in the table of processes until it is waited for without this flag.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(Pid::from_child(&self.child)), options)?;
        let cpu = cpu_seconds(self.pid())?;
        Ok((self.child.wait()?, cpu))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Best effort: it may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time that a process has taken, in user space and for it in the kernel.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything; after it come the state, field 3, and 14 and 15, both in ticks.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(14 - 3).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// The most memory that a living process ever held, in MiB.
pub fn peak_memory_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1024.0)
}

/// Bytes that a process has caused to be written to a disk, less those that were gone before they were.
pub fn written_bytes(pid: u32) -> Result<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let of = |name: &str| -> Result<u64> {
        let line =
            io.lines().find_map(|line| line.strip_prefix(name)).context("a line is missing in /proc")?;
        Ok(line.trim().parse()?)
    };
    Ok(of("write_bytes:")?.saturating_sub(of("cancelled_write_bytes:")?))
}

/// The processes that a process has started.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
