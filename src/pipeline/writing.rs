//! Checkpoints in flight to the disk. They are made of what a partition has taken up to then, so that its fold can go
//! on meanwhile.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::checkpoint::Checkpoint;
use crate::parallel::each_of;
use crate::status::Durable;
use crate::store::{Change, Claim, Log, Rejected, StoreError};

/// One checkpoint to write, with the claim, which comes back when it is durable.
pub(super) struct Write {
    pub claim: Box<dyn Claim>,
    /// None: what the claim still has is sent again.
    pub taken: Option<Taken>,
}

/// The records of a partition up to then.
pub(super) struct Taken {
    pub checkpoint: Checkpoint,
    pub rejected: Vec<Rejected>,
    /// If it has leader epochs that are new to `log.json`.
    pub log: Option<Log>,
}

/// The result of one write.
pub(super) struct Written {
    pub claim: Box<dyn Claim>,
    /// A summary of the file as it is now.
    pub durable: Result<Durable, StoreError>,
    pub took: Duration,
    pub at: Instant,
}

impl Write {
    pub(super) fn run(mut self) -> Written {
        let start = Instant::now();
        let durable = match &self.taken {
            Some(Taken { checkpoint, rejected, log }) => {
                self.claim.replace(&Change { checkpoint, rejected, log: log.as_ref() })
            }
            None => self.claim.retry(),
        };
        let at = Instant::now();
        Written { claim: self.claim, durable, took: at - start, at }
    }
}

/// The result of all writes of one checkpoint.
pub(super) struct Done {
    pub written: Vec<Written>,
    pub took: Duration,
    pub at: Instant,
}

/// Writes, and waits until all is durable. Threads that sync at the same time wait for the disk once, not in turn.
pub(super) fn write_all(writes: Vec<Write>) -> Done {
    let start = Instant::now();
    let written = each_of(writes, Write::run);
    let at = Instant::now();
    Done { written, took: at - start, at }
}

/// Writes that go on while the fold continues.
pub(super) enum Writing {
    OnTheirWay(JoinHandle<Done>),
    Done(Done),
}

impl Writing {
    pub(super) fn begin(writes: Vec<Write>) -> Writing {
        let (give, take) = mpsc::channel();
        let work = move || write_all(take.recv().unwrap_or_default());
        match thread::Builder::new().spawn(work) {
            Ok(thread) => {
                // It takes them, as it does nothing else before.
                let _ = give.send(writes);
                Writing::OnTheirWay(thread)
            }
            Err(error) => {
                tracing::debug!(%error, "no thread for checkpoints");
                Writing::Done(write_all(writes))
            }
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Writing::OnTheirWay(thread) => thread.is_finished(),
            Writing::Done(_) => true,
        }
    }

    /// Waits until all is durable.
    pub(super) fn finish(self) -> Done {
        match self {
            Writing::OnTheirWay(thread) => {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
            Writing::Done(done) => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::THREADS_MAX;
    use crate::store::{self, LocalClaim, Paths};

    const PARTITIONS: i32 = THREADS_MAX as i32 * 2 + 3;

    fn writes(dir: &std::path::Path) -> Vec<Write> {
        let claim = |partition| {
            let (claim, _) = LocalClaim::new(dir, partition, false).unwrap();
            let claim = Box::new(claim);
            let checkpoint = Checkpoint::empty(partition, 7);
            Write { claim, taken: Some(Taken { checkpoint, rejected: Vec::new(), log: None }) }
        };
        (0..PARTITIONS).map(claim).collect()
    }

    #[test]
    fn more_partitions_than_threads_are_all_written() {
        let dir = tempfile::tempdir().unwrap();
        let done = write_all(writes(dir.path()));
        let place = |written: Written| (written.claim.partition(), written.durable.unwrap().offset);
        let mut written: Vec<(i32, i64)> = done.written.into_iter().map(place).collect();
        written.sort_unstable();
        assert_eq!(written, (0..PARTITIONS).map(|partition| (partition, 7)).collect::<Vec<_>>());
        assert!(write_all(Vec::new()).written.is_empty());
    }

    #[test]
    fn what_was_begun_is_durable_when_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let writing = Writing::begin(writes(dir.path()));
        assert_eq!(writing.finish().written.len(), PARTITIONS as usize);
        for partition in 0..PARTITIONS {
            let found = store::load_checkpoint(&Paths::new(dir.path(), partition)).unwrap();
            assert_eq!(found.map(|found| found.offset), Some(7));
            LocalClaim::new(dir.path(), partition, false).expect("free again");
        }
    }
}
