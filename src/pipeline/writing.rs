//! Checkpoints on their way to the disk. They are made of what a partition has taken up to then, so that its fold can go
//! on meanwhile.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::checkpoint::Checkpoint;
use crate::store::{Claim, Log, Rejected, StoreError};

/// Checkpoints that are written at the same time.
const WRITERS_MAX: usize = 8;

/// What a partition hands over to be made durable; its right to write goes along, and comes back when it is.
pub(super) struct Write {
    pub claim: Claim,
    pub checkpoint: Checkpoint,
    pub rejected: Vec<Rejected>,
    /// Where it has leader epochs that are new to `log.json`.
    pub log: Option<Log>,
}

/// What became of it.
pub(super) struct Written {
    pub claim: Claim,
    /// The next offset to read, as the file has it now.
    pub offset: i64,
    /// How many bytes the checkpoint has.
    pub bytes: Result<u64, StoreError>,
    pub took: Duration,
}

impl Write {
    /// Rejected records and leader epochs come before the checkpoint that passes them.
    pub(super) fn run(mut self) -> Written {
        let start = Instant::now();
        let mut write = || {
            if !self.rejected.is_empty() {
                self.claim.reject(&self.rejected)?;
            }
            if let Some(log) = &self.log {
                self.claim.set_log(log)?;
            }
            self.claim.replace(&self.checkpoint)
        };
        let bytes = write();
        Written { claim: self.claim, offset: self.checkpoint.offset, bytes, took: start.elapsed() }
    }
}

/// What became of all that was handed over at once.
pub(super) struct Done {
    pub written: Vec<Written>,
    pub took: Duration,
    pub at: Instant,
}

/// Writes, and waits until all is durable. Who syncs at the same time waits for the disk once, not in turn.
pub(super) fn write_all(mut writes: Vec<Write>) -> Done {
    let start = Instant::now();
    let share = writes.len().div_ceil(WRITERS_MAX).max(1);
    let write = |part: Vec<Write>| part.into_iter().map(Write::run).collect::<Vec<_>>();
    let written = thread::scope(|scope| {
        let mut others = Vec::new();
        while writes.len() > share {
            let part = writes.split_off(writes.len() - share);
            others.push(scope.spawn(move || write(part)));
        }
        let mut written = write(writes);
        for other in others {
            written.extend(joined(other.join()));
        }
        written
    });
    let at = Instant::now();
    Done { written, took: at - start, at }
}

/// Writes that go on beside the fold.
pub(super) struct Writing(Option<JoinHandle<Done>>);

impl Writing {
    pub(super) fn begin(writes: Vec<Write>) -> Writing {
        Writing(Some(thread::spawn(|| write_all(writes))))
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until all is durable.
    pub(super) fn finish(mut self) -> Option<Done> {
        Some(joined(self.0.take()?.join()))
    }
}

impl Drop for Writing {
    /// Nothing is written any more once a session is over: the next one takes the same partitions.
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

fn joined<T>(result: thread::Result<T>) -> T {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{self, Paths};

    const PARTITIONS: i32 = WRITERS_MAX as i32 * 2 + 3;

    fn writes(dir: &std::path::Path) -> Vec<Write> {
        let claim = |partition| {
            let (claim, _) = Claim::new(dir, partition, false).unwrap();
            let checkpoint = Checkpoint::empty(partition, 7);
            Write { claim, checkpoint, rejected: Vec::new(), log: None }
        };
        (0..PARTITIONS).map(claim).collect()
    }

    #[test]
    fn more_partitions_than_threads_are_all_written() {
        let dir = tempfile::tempdir().unwrap();
        let done = write_all(writes(dir.path()));
        let mut written: Vec<(i32, i64)> =
            done.written.iter().map(|written| (written.claim.partition(), written.offset)).collect();
        written.sort_unstable();
        assert_eq!(written, (0..PARTITIONS).map(|partition| (partition, 7)).collect::<Vec<_>>());
        assert!(done.written.iter().all(|written| written.bytes.is_ok()));
        assert!(write_all(Vec::new()).written.is_empty());
    }

    #[test]
    fn who_gives_up_waits_for_what_is_on_its_way() {
        let dir = tempfile::tempdir().unwrap();
        drop(Writing::begin(writes(dir.path())));
        for partition in 0..PARTITIONS {
            let found = store::load_checkpoint(&Paths::new(dir.path(), partition)).unwrap();
            assert_eq!(found.map(|found| found.offset), Some(7));
            Claim::new(dir.path(), partition, false).expect("free again");
        }
    }
}
