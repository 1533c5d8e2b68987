//! `status.json`: what a consumer says of a partition, at most once a second. And what is to be made of it: one view of
//! a partition for all who show it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

pub use almanac_core::status::{State, Status};

use crate::checkpoint::Checkpoint;
use crate::stats::Statistics;
use crate::store::{self, Paths, StoreError};

/// A consumer writes its status every second. One that has not done so for this long is killed, paused, or waits.
pub const SILENT_AFTER: Duration = Duration::from_secs(5);

/// What the file of a checkpoint holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Durable {
    /// The next offset to read.
    pub offset: i64,
    pub days: u64,
    pub newest: Option<Date>,
    pub bytes: u64,
    /// When the file was replaced last.
    pub written: Option<Timestamp>,
}

impl Durable {
    pub fn of(checkpoint: &Checkpoint, bytes: u64, written: Option<Timestamp>) -> Durable {
        let Checkpoint { offset, statistics, .. } = checkpoint;
        Durable { offset: *offset, days: statistics.days(), newest: statistics.newest(), bytes, written }
    }
}

/// The latest status of each partition that this process owns, in its memory, with what the checkpoint's file holds.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<BTreeMap<i32, (Status, Durable)>>>);

impl Board {
    pub fn show(&self, status: &Status, durable: Durable) {
        self.lock().insert(status.partition, (status.clone(), durable));
    }

    /// Takes away those of all other partitions.
    pub fn keep(&self, is_kept: impl Fn(i32) -> bool) {
        self.lock().retain(|partition, _| is_kept(*partition));
    }

    /// In the order of the partitions.
    pub fn all(&self) -> Vec<(Status, Durable)> {
        self.lock().values().cloned().collect()
    }

    /// A panic elsewhere leaves no status in half.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, (Status, Durable)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A partition as its files show it.
#[derive(Debug)]
pub struct View {
    pub partition: i32,
    /// Or why the partition's files can't be read.
    pub checkpoint: Result<Checkpoint, StoreError>,
    /// What its consumer said last; nothing where it has said nothing, or nothing that can be read.
    pub status: Option<Status>,
    /// When the checkpoint was replaced last.
    pub modified: Option<Timestamp>,
    /// Of the checkpoint's file.
    pub bytes: Option<u64>,
}

/// How a partition is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ViewState {
    Running,
    /// Its consumer waits for Kafka.
    Waiting,
    /// For so long there has been something to count, and no checkpoint of it.
    Stalled(Duration),
    /// For so long its consumer has said nothing, though it has not said that it ended.
    Silent(Duration),
    Stopped,
    Unreadable,
    /// No consumer has said anything.
    Unknown,
}

impl View {
    /// The view of every partition that has a checkpoint in DIR, in order.
    pub fn read_all(dir: &Path) -> Result<Vec<View>, StoreError> {
        let partitions = store::partitions_in(dir)?;
        Ok(partitions.into_iter().filter_map(|partition| View::read(dir, partition)).collect())
    }

    /// Nothing where there is no checkpoint.
    pub fn read(dir: &Path, partition: i32) -> Option<View> {
        let paths = Paths::new(dir, partition);
        let metadata = paths.checkpoint().metadata().ok();
        let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        let mut view = View {
            partition,
            checkpoint: store::load_checkpoint(&paths).transpose()?,
            status: None,
            modified: modified.and_then(|time| time.try_into().ok()),
            bytes: metadata.map(|metadata| metadata.len()),
        };
        match store::load_status(&paths) {
            Ok(status) => view.status = status,
            Err(error) => view.checkpoint = view.checkpoint.and(Err(error)),
        }
        Some(view)
    }

    pub fn state(&self, now: Timestamp) -> ViewState {
        if self.checkpoint.is_err() {
            return ViewState::Unreadable;
        }
        let Some(status) = &self.status else { return ViewState::Unknown };
        let silence = since(&status.written, now);
        match status.state {
            State::Stopped => ViewState::Stopped,
            _ if silence >= SILENT_AFTER => ViewState::Silent(silence),
            State::Running => ViewState::Running,
            State::Waiting => ViewState::Waiting,
            State::Stalled => {
                ViewState::Stalled(status.stalled_since.as_deref().map_or(silence, |time| since(time, now)))
            }
        }
    }

    /// Since the checkpoint was replaced last.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.modified.map(|modified| elapsed(modified, now))
    }

    /// For how long the checkpoint has been behind the log: at most since it last moved, or had nothing to count.
    pub fn freshness(&self, now: Timestamp) -> Option<Duration> {
        let status = self.status.as_ref()?;
        let current =
            if self.lag(now) == Some(0) { Some(&status.written) } else { status.last_progress.as_ref() };
        current.map(|time| since(time, now))
    }

    /// One past the last record of the log; nothing while nobody who lives knows it.
    pub fn high_watermark(&self, now: Timestamp) -> Option<i64> {
        self.status.as_ref().filter(|_| self.is_alive(now))?.high_watermark
    }

    /// Whether a consumer is there that says what it knows.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        matches!(self.state(now), ViewState::Running | ViewState::Waiting | ViewState::Stalled(_))
    }

    /// Why nothing comes, as its consumer says.
    pub fn cause(&self, now: Timestamp) -> Option<&str> {
        self.status.as_ref().filter(|_| self.is_alive(now))?.waiting_for.as_deref()
    }

    /// What there is to count beyond the checkpoint, as far as its consumer knew when it wrote its status; nothing if there is
    /// no consumer any more, as the log may have grown.
    pub fn lag(&self, now: Timestamp) -> Option<i64> {
        let high_watermark = self.high_watermark(now)?;
        Some(high_watermark.saturating_sub(self.checkpoint.as_ref().ok()?.offset).max(0))
    }

    /// Records per second; what a consumer said of it holds as long as it goes on saying so.
    pub fn rate(&self, now: Timestamp) -> Option<f64> {
        let is_known = matches!(self.state(now), ViewState::Running | ViewState::Stalled(_));
        self.status.as_ref().filter(|_| is_known).map(|status| status.rate)
    }
}

/// What a view says at a moment, as JSON has it.
#[derive(Clone, Debug, Serialize)]
pub struct Summary<'a> {
    pub partition: i32,
    pub state: &'static str,
    /// For how long, where it has stalled or is silent.
    pub state_seconds: Option<f64>,
    /// What the checkpoint holds: the next offset to read, the days counted, and the newest of them.
    pub offset: Option<i64>,
    /// Why nothing comes, while its consumer waits.
    pub cause: Option<&'a str>,
    pub lag: Option<i64>,
    /// Records per second.
    pub rate: Option<f64>,
    pub days: Option<u64>,
    pub newest: Option<String>,
    /// Records of the log so far that were rejected, and are kept in the rejected file.
    pub rejected: Option<u64>,
    /// Since the checkpoint was replaced last.
    pub age_seconds: Option<f64>,
    pub bytes: Option<u64>,
    /// Why the files can't be read.
    pub error: Option<String>,
    /// What its consumer said last, as in `status.json`.
    pub consumer: Option<&'a Status>,
}

impl View {
    pub fn summary(&self, now: Timestamp) -> Summary<'_> {
        let (state, checkpoint) = (self.state(now), self.checkpoint.as_ref().ok());
        let statistics = checkpoint.map(|checkpoint| &checkpoint.statistics);
        Summary {
            partition: self.partition,
            state: state.name(),
            state_seconds: state.time().map(seconds),
            offset: checkpoint.map(|checkpoint| checkpoint.offset),
            cause: self.cause(now),
            lag: self.lag(now),
            rate: self.rate(now),
            days: statistics.map(Statistics::days),
            newest: statistics.and_then(Statistics::newest).map(|date| date.to_string()),
            rejected: self.status.as_ref().and_then(|status| status.rejected_total),
            age_seconds: self.age(now).map(seconds),
            bytes: self.bytes,
            error: self.checkpoint.as_ref().err().map(chain),
            consumer: self.status.as_ref(),
        }
    }
}

/// To the millisecond.
fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

/// An error with its causes.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Nothing where the time can't be read.
fn since(time: &str, now: Timestamp) -> Duration {
    time.parse().map_or(Duration::ZERO, |time| elapsed(time, now))
}

/// Nothing where `time` is still to come: clocks are set back now and then.
fn elapsed(time: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(time).try_into().unwrap_or_default()
}

impl ViewState {
    /// All that there are.
    pub const NAMES: [&str; 7] =
        ["running", "waiting", "stalled", "silent", "stopped", "unreadable", "unknown"];

    pub fn name(self) -> &'static str {
        match self {
            ViewState::Running => "running",
            ViewState::Waiting => "waiting",
            ViewState::Stalled(_) => "stalled",
            ViewState::Silent(_) => "silent",
            ViewState::Stopped => "stopped",
            ViewState::Unreadable => "unreadable",
            ViewState::Unknown => "unknown",
        }
    }

    /// For how long, where that is known.
    pub fn time(self) -> Option<Duration> {
        match self {
            ViewState::Stalled(time) | ViewState::Silent(time) => Some(time),
            _ => None,
        }
    }
}

/// Its name, and for how long in seconds.
impl fmt::Display for ViewState {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.name())?;
        self.time().map_or(Ok(()), |time| write!(formatter, " {}s", time.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Owner;

    const NOW: Timestamp = Timestamp::constant(1_000_000_000, 0);

    fn ago(seconds: i64) -> String {
        NOW.checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap().to_string()
    }

    fn view(state: State, written: String, stalled_since: Option<String>) -> View {
        let status = Status {
            partition: 2,
            topic: "temperatures".to_owned(),
            state,
            offset: 10,
            position: 12,
            high_watermark: Some(20),
            lag: Some(10),
            rate: 1.0,
            counted: 0,
            duplicates: 0,
            rejected: 0,
            rejected_total: Some(0),
            days: 0,
            newest: None,
            last_durable: None,
            last_progress: None,
            stalled_since,
            checkpoint_seconds: 0.0,
            checkpoint_bytes: 0,
            rebalances: 0,
            broker_errors: 0,
            waiting_for: None,
            owner: Owner::default(),
            written,
        };
        let checkpoint = Ok(Checkpoint::empty(2, 15));
        View { partition: 2, checkpoint, status: Some(status), modified: None, bytes: None }
    }

    #[test]
    fn the_state_is_what_the_consumer_said_unless_it_has_been_silent_since() {
        let seconds = Duration::from_secs;
        for (state, written, stalled_since, expected) in [
            (State::Running, ago(0), None, ViewState::Running),
            (State::Running, ago(4), None, ViewState::Running),
            (State::Running, ago(5), None, ViewState::Silent(seconds(5))),
            (State::Running, ago(-60), None, ViewState::Running),
            (State::Running, "yesterday".to_owned(), None, ViewState::Running),
            (State::Stalled, ago(1), Some(ago(40)), ViewState::Stalled(seconds(40))),
            (State::Stalled, ago(9), Some(ago(40)), ViewState::Silent(seconds(9))),
            (State::Stopped, ago(3600), None, ViewState::Stopped),
        ] {
            assert_eq!(view(state, written, stalled_since).state(NOW), expected);
        }
        let view = View { status: None, ..view(State::Running, ago(0), None) };
        assert_eq!(view.state(NOW), ViewState::Unknown);
        assert_eq!(ViewState::Silent(seconds(9)).to_string(), "silent 9s");
    }

    #[test]
    fn what_a_former_version_wrote_is_read() {
        let status = view(State::Running, ago(0), None).status.unwrap();
        let mut json = serde_json::to_value(&status).unwrap();
        for name in ["checkpoint_bytes", "rebalances", "broker_errors"] {
            json.as_object_mut().unwrap().remove(name).unwrap();
        }
        assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
    }

    #[test]
    fn lag_is_counted_from_the_checkpoint() {
        let mut view = view(State::Running, ago(0), None);
        assert_eq!(view.lag(NOW), Some(5));
        view.checkpoint = Ok(Checkpoint::empty(2, 21));
        assert_eq!(view.lag(NOW), Some(0), "the status is older than the checkpoint");
    }

    #[test]
    fn what_cannot_be_read_is_a_view_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("partition-2.json"), "{").unwrap();
        let views = View::read_all(dir.path()).unwrap();
        let [view] = &views[..] else { panic!("{views:?}") };
        assert_eq!((view.partition, view.state(NOW), view.bytes), (2, ViewState::Unreadable, Some(1)));
        assert!(View::read(dir.path(), 3).is_none());
    }
}
