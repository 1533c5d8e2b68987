//! What outlives a session: what is known of the log, and of how it is heard.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::PipelineError;
use super::pace::Pace;
use super::partition::Progress;
use super::session::End;
use crate::note;

/// How long Kafka may not answer before that is worth a word.
pub(super) const AWAY_TOLD_AFTER: Duration = Duration::from_millis(900);

/// At how many looks, one with each status, a partition may stand still before its end is asked for. Twice as many
/// after each time that there was more: over a slow network a fetch may take that long.
const QUIET_LOOKS: u32 = 10;
const QUIET_LOOKS_MAX: u32 = 120;

/// What is known of the log, and of how it is heard, for as long as the process runs.
pub(super) struct Memory {
    pub jumps: Jumps,
    pub cut: RefCell<BTreeMap<i32, Cut>>,
    /// Why partitions had to be left alone, while the others go on.
    pub failures: RefCell<BTreeMap<i32, PipelineError>>,
    /// Of partitions that the session before has left.
    pub progress: RefCell<BTreeMap<i32, Progress>>,
    /// At how many looks a partition may stand still.
    pub quiet_looks: Cell<u32>,
    pub upsets: Cell<Upsets>,
    pub pace: Cell<Option<Pace>>,
    pub status_written: Cell<Option<Instant>>,
    pub contact: Contact,
    /// The last batch of a partition that was warned of, as its records carry wrong offsets.
    pub odd_batches: RefCell<BTreeMap<i32, i64>>,
    /// Partitions of which a rejected record was warned of.
    pub rejected_told: RefCell<BTreeSet<i32>>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            jumps: Jumps::default(),
            cut: RefCell::default(),
            failures: RefCell::default(),
            progress: RefCell::default(),
            quiet_looks: Cell::new(QUIET_LOOKS),
            upsets: Cell::default(),
            pace: Cell::default(),
            status_written: Cell::default(),
            contact: Contact::default(),
            odd_batches: RefCell::default(),
            rejected_told: RefCell::default(),
        }
    }
}

impl Memory {
    /// Says once of a batch that its records carry other offsets than its header gives them.
    pub(super) fn warn_of_odd_batch(&self, partition: i32, offset: i64) {
        let mut last = self.odd_batches.borrow_mut();
        if last.get(&partition).is_none_or(|last| *last < offset) {
            last.insert(partition, offset);
            tracing::warn!(
                "partition {partition}: the records of the batch at offset {offset} carry wrong offsets; their places in the batch count"
            );
        }
    }

    /// Once there was more where nothing had come.
    pub(super) fn wait_longer(&self) {
        self.quiet_looks.update(|looks| (looks * 2).min(QUIET_LOOKS_MAX));
    }
}

/// Whether Kafka answers, and what was said of it.
#[derive(Default)]
pub(super) struct Contact {
    pub has_been: Cell<bool>,
    away_since: Cell<Option<Instant>>,
    is_told: Cell<bool>,
    /// Why it does not answer, once that was said.
    obstacle: RefCell<Option<String>>,
}

impl Contact {
    pub(super) fn answered(&self) {
        self.has_been.set(true);
        self.away_since.set(None);
        self.obstacle.take();
        if self.is_told.replace(false) {
            note!("Kafka answers again");
        }
    }

    /// Says so once, and not of what is over in a moment.
    pub(super) fn failed(&self, asked: Instant, reason: impl FnOnce() -> String) {
        let since = self.away_since.get().unwrap_or(asked);
        self.away_since.set(Some(since));
        if since.elapsed() < AWAY_TOLD_AFTER {
            return;
        }
        let obstacle = format!("Kafka does not answer ({})", reason());
        if !self.is_told.replace(true) {
            tracing::warn!("{obstacle}; waiting for it");
        }
        self.obstacle.replace(Some(obstacle));
    }

    /// Why Kafka does not answer, if it does not for longer than a moment.
    pub(super) fn obstacle(&self) -> Option<String> {
        self.obstacle.borrow().clone()
    }

    pub(super) fn is_answering(&self) -> bool {
        self.away_since.get().is_none()
    }
}

/// What came between the consumer and its partitions, counted.
#[derive(Clone, Copy, Default)]
pub(super) struct Upsets {
    pub rebalances: u64,
    pub broker_errors: u64,
}

/// A log of which the brokers say that it was cut below this checkpoint.
///
/// A log that was cut is still cut when it is read again, from the durable offset and by a client that knows nothing
/// yet. Only then is it the log's doing and not the client's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Cut {
    /// Of the checkpoint.
    pub offset: i64,
    /// What the brokers said at the second look; nothing before that.
    pub confirmed: Option<String>,
}

/// Where offsets did not follow one another, for as long as the process runs.
///
/// Nothing protects a batch's first offset, or the number of its partition, on the way from the broker, and what comes
/// of a wrong one is a jump, or a step back: records left out, or put where others belong. But a log may have jumps,
/// too, where transactions or compaction left their marks. So a jump is believed at the second look, and since a log
/// with one has many, that is the last look of this kind. Logs that `almanac producer` fills have none.
#[derive(Default)]
pub(super) struct Jumps {
    seen: RefCell<BTreeSet<(i32, i64, i64)>>,
    is_sparse: Cell<bool>,
}

impl Jumps {
    /// Ends the session where the offset `found` may not come where `expected` should, so that the next one reads that
    /// place again.
    #[inline]
    pub(super) fn doubt(&self, partition: i32, expected: i64, found: i64) -> Option<End> {
        if found == expected || self.is_sparse.get() {
            None
        } else {
            self.look_again(partition, expected, found)
        }
    }

    #[cold]
    fn look_again(&self, partition: i32, expected: i64, found: i64) -> Option<End> {
        if self.seen.borrow_mut().insert((partition, expected, found)) {
            tracing::info!(
                "partition {partition} goes on at offset {found} instead of {expected}; looking again"
            );
            return Some(End::Reopen);
        }
        self.is_sparse.set(true);
        None
    }
}
