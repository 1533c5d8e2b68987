//! A child process that cannot outlive this one.
//!
//! `setpriv --pdeathsig KILL` has the kernel kill the child when its parent dies, even by `kill -9`. Two things
//! about that signal (`PR_SET_PDEATHSIG` in prctl(2)) decide the shape of this file:
//!
//! - "Parent" is the *thread* that made the child, so a thread of its own makes it and lives as long as it.
//! - It is armed after the fork. The kernel never notices a parent that died in between. So the child checks
//!   its parent once the signal is armed, and gives up if it has another one.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::error::BrokerError;

/// `$0` is the expected parent, the rest is the command. `$PPID` is the parent when this shell started.
const EXEC_IF_PARENT_LIVES: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Dropped after `child` has ended (see [`Drop`]); that ends the thread which made it.
    _thread: mpsc::Sender<Infallible>,
}

/// A command that runs `program` tied to this process, in a process group of its own. Ctrl-C in a terminal goes to the
/// whole foreground group. Only this process should get it, and end its children in order.
pub fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "sh", "-c", EXEC_IF_PARENT_LIVES]);
    command.arg(std::process::id().to_string()).arg(program).process_group(0);
    command
}

impl Process {
    /// Spawns a command made by [`tied`].
    pub fn spawn(mut command: Command) -> Result<Process, BrokerError> {
        let (spawned, child) = mpsc::sync_channel(1);
        let (lifeline, owner_dropped) = mpsc::channel::<Infallible>();
        let make_and_outlive = move || {
            let result = command.spawn();
            // Closes our copies of the files that the child was given.
            drop(command);
            if spawned.send(result).is_ok() {
                let _ = owner_dropped.recv();
            }
        };
        let spawn_error = |source| BrokerError::Spawn { source };
        thread::Builder::new()
            .name("child-parent".to_owned())
            .spawn(make_and_outlive)
            .map_err(spawn_error)?;
        let child = child.recv().unwrap_or_else(|gone| Err(io::Error::other(gone))).map_err(spawn_error)?;
        Ok(Process { child, _thread: lifeline })
    }

    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        // The only failure is ECHILD: somebody else reaped it, so it is not there to wait for.
        self.child.try_wait().unwrap_or_else(|_| Some(ExitStatus::default()))
    }

    /// Waits for the end; kills it and returns nothing when `stop` turns true.
    pub fn wait(mut self, stop: &AtomicBool) -> Option<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait() {
                return Some(status);
            }
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// SIGTERM, and SIGKILL when that has not ended it within `patience`.
    pub fn terminate(&mut self, patience: Duration) -> io::Result<()> {
        if self.try_wait().is_some() {
            return Ok(());
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + patience;
        while self.try_wait().is_none() {
            if Instant::now() >= deadline {
                self.child.kill()?;
                self.child.wait()?;
                break;
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a child that has already been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
