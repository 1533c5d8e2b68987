//! How far a partition is: what is durable, whether that stalls, and what its `status.json` says.

use std::time::{Duration, Instant};

use crate::note;
use crate::status::{Durable, State, Status};
use crate::store::Owner;

/// Whether what there is to count becomes durable.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    /// The next offset to read, as the file has it.
    pub durable_offset: i64,
    high_watermark: Option<i64>,
    /// When a checkpoint last moved the offset, or there was none to be made.
    last: Instant,
    is_stalled: bool,
}

impl Progress {
    /// If the partition was left at the same offset before the consumer reconnected, the time since then counts.
    pub(super) fn from(durable_offset: i64, before: Option<Progress>) -> Self {
        let same = before.filter(|before| before.durable_offset == durable_offset);
        Progress {
            durable_offset,
            high_watermark: None,
            last: same.map_or_else(Instant::now, |before| before.last),
            is_stalled: before.is_some_and(|before| before.is_stalled),
        }
    }

    pub(super) fn advance(&mut self, durable_offset: i64, at: Instant) {
        self.durable_offset = durable_offset;
        self.last = at;
    }

    /// Takes in up to where the log can be read. Two requests may be answered at different moments.
    pub(super) fn note_high_watermark(&mut self, high_watermark: Option<i64>) {
        self.high_watermark = self.high_watermark.max(high_watermark);
        if self.lag() == Some(0) {
            self.last = Instant::now();
        }
    }

    fn lag(&self) -> Option<i64> {
        self.high_watermark.map(|high| high.saturating_sub(self.durable_offset).max(0))
    }

    pub(super) fn idle_time(&self) -> Duration {
        self.last.elapsed()
    }

    /// Warns once that a partition has stalled, and says once that it continues.
    pub(super) fn report_stall(&mut self, partition: i32, stall_after: Duration, cause: Option<&str>) {
        let lag = self.lag().unwrap_or(0);
        let is_stalled = lag > 0 && self.last.elapsed() >= stall_after;
        match (std::mem::replace(&mut self.is_stalled, is_stalled), is_stalled) {
            (false, true) => tracing::warn!(
                "partition {partition} has stalled at offset {}, lag {lag}: no checkpoint for {} s{}",
                self.durable_offset,
                self.last.elapsed().as_secs(),
                cause.map_or(String::new(), |cause| format!("; {cause}"))
            ),
            (true, false) => note!("partition {partition} goes on, at offset {}", self.durable_offset),
            _ => {}
        }
    }
}

/// The counts of a consumer since it took the partition.
#[derive(Default)]
pub(super) struct Tally {
    pub counted: u64,
    pub duplicates: u64,
    pub rejected: u64,
    /// Rejected records that the file holds, those of earlier consumers included.
    pub rejected_total: u64,
    /// Records of all outcomes when the last status was written.
    pub records_reported: u64,
    pub last_durable: Option<jiff::Timestamp>,
    pub checkpoint_seconds: f64,
}

/// Rebalances and errors since the process started.
#[derive(Clone, Copy, Default)]
pub(super) struct Counters {
    pub rebalances: u64,
    pub broker_errors: u64,
}

/// Why no records of a partition arrive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Obstacle {
    None,
    /// No broker answers, or the topic is not there.
    Kafka(String),
    /// The object store does not answer.
    Store(String),
    /// The partition's leader does not answer.
    Leader(String),
    /// An open transaction holds back its records.
    Transaction(String),
}

impl Obstacle {
    pub(super) fn cause(&self) -> Option<&str> {
        match self {
            Obstacle::None => None,
            Obstacle::Kafka(cause)
            | Obstacle::Store(cause)
            | Obstacle::Leader(cause)
            | Obstacle::Transaction(cause) => Some(cause),
        }
    }
}

/// A partition, as far as its status is about it.
pub(super) struct Seen<'a> {
    pub partition: i32,
    pub topic: &'a str,
    /// The next offset to read, durable or not.
    pub position: i64,
    pub durable: &'a Durable,
    pub progress: &'a Progress,
    pub owner: &'a Owner,
}

/// The consumer, as far as the statuses of its partitions are about it.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// Since the last status.
    pub elapsed: Duration,
    pub is_stopped: bool,
    pub counters: Counters,
}

impl Tally {
    pub(super) fn status(&mut self, seen: &Seen, moment: Moment, obstacle: &Obstacle) -> Status {
        let Seen { partition, topic, position, durable, progress, owner } = seen;
        let Moment { elapsed, is_stopped, counters } = moment;
        let records = self.counted + self.duplicates + self.rejected;
        let fresh = records - std::mem::replace(&mut self.records_reported, records);
        let last_progress = rfc3339(timestamp(progress.last));
        // While Kafka is away, nobody knows how far the log goes.
        let is_known = !matches!(obstacle, Obstacle::Kafka(_));
        Status {
            partition: *partition,
            topic: (*topic).to_owned(),
            state: match (obstacle, progress.is_stalled) {
                _ if is_stopped => State::Stopped,
                (Obstacle::Kafka(_) | Obstacle::Store(_), _) => State::Waiting,
                (_, true) => State::Stalled,
                (Obstacle::Leader(_) | Obstacle::Transaction(_), false) => State::Waiting,
                (Obstacle::None, false) => State::Running,
            },
            offset: progress.durable_offset,
            position: *position,
            high_watermark: progress.high_watermark.filter(|_| is_known),
            lag: progress.lag().filter(|_| is_known),
            rate: fresh as f64 / elapsed.as_secs_f64().max(0.001),
            counted: self.counted,
            duplicates: self.duplicates,
            rejected: self.rejected,
            rejected_total: Some(self.rejected_total),
            days: durable.days,
            newest: durable.newest.map(|date| date.to_string()),
            last_durable: self.last_durable.map(rfc3339),
            stalled_since: progress.is_stalled.then(|| last_progress.clone()),
            last_progress: Some(last_progress),
            checkpoint_seconds: self.checkpoint_seconds,
            checkpoint_bytes: durable.bytes,
            rebalances: counters.rebalances,
            broker_errors: counters.broker_errors,
            waiting_for: obstacle.cause().filter(|_| !is_stopped).map(str::to_owned),
            owner: (*owner).clone(),
            written_every: None,
            written: rfc3339(jiff::Timestamp::now()),
        }
    }
}

/// The time of day that it was then.
pub(super) fn timestamp(then: Instant) -> jiff::Timestamp {
    let ago = jiff::SignedDuration::try_from(then.elapsed()).unwrap_or(jiff::SignedDuration::MAX);
    jiff::Timestamp::now().checked_sub(ago).unwrap_or(jiff::Timestamp::MIN)
}

fn rfc3339(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
