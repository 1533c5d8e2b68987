//! One view of a partition for all who show it: `status`, `/api`, `/metrics` and `/readyz`. Its JSON is the only JSON of a
//! partition.

use std::fmt::{self, Display};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Serialize, Serializer};

use crate::failure::{Failure, fact};
use crate::place::Place;
use crate::report::RejectReason;
use crate::split::Split;
use crate::status::{Durable, State, Status};

/// A consumer writes its status every second. One that has not done so for this long is killed, paused, or waits.
pub const SILENT_AFTER: Duration = Duration::from_secs(5);

/// The facts about a partition, from its files or from the memory of its consumer.
#[derive(Debug)]
pub struct Facts {
    pub partition: i32,
    /// The content of the checkpoint's file, or why the partition's files can't be read.
    pub durable: Result<Durable, Unread>,
    /// The last readable status of its consumer, if there is one.
    pub status: Option<Status>,
    /// Why the first record in the rejected file was rejected; read only if none of its records counts.
    pub first_reason: Option<RejectReason>,
}

/// Files that can't be read, and what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unread {
    pub fact: String,
    pub hint: Option<String>,
    /// Of the checkpoint's file.
    pub bytes: Option<u64>,
    /// When it was replaced last.
    pub written: Option<Timestamp>,
}

impl Unread {
    pub fn new(error: &dyn Failure, bytes: Option<u64>, written: Option<Timestamp>) -> Unread {
        Unread { fact: fact(error), hint: error.hint(), bytes, written }
    }
}

impl Facts {
    /// Of a partition that this process owns.
    pub fn in_memory(status: Status, durable: Durable) -> Facts {
        Facts { partition: status.partition, durable: Ok(durable), status: Some(status), first_reason: None }
    }

    /// How many records were rejected, if no other was read: of the whole log, or since the consumer took the partition.
    pub fn all_rejected(&self) -> Option<u64> {
        let status = self.status.as_ref().filter(|status| status.counted + status.duplicates == 0)?;
        let has_no_day = self.durable.as_ref().is_ok_and(|durable| durable.days == 0);
        let of_log = status.rejected_total.filter(|_| has_no_day).unwrap_or(0);
        Some(of_log.max(status.rejected)).filter(|rejected| *rejected > 0)
    }

    /// How the partition is doing, and for how long, where it has stalled or is silent.
    fn state(&self, now: Timestamp) -> (PartitionState, Option<Duration>) {
        if self.durable.is_err() {
            return (PartitionState::Unreadable, None);
        }
        let Some(status) = &self.status else { return (PartitionState::Unknown, None) };
        let silence = since(&status.written, now);
        match status.state {
            State::Stopped => (PartitionState::Stopped, None),
            _ if silence >= SILENT_AFTER.max(Duration::from_secs(3 * status.written_every.unwrap_or(0))) => {
                (PartitionState::Silent, Some(silence))
            }
            State::Running => (PartitionState::Running, None),
            State::Waiting => (PartitionState::Waiting, None),
            State::Stalled => {
                let stalled = status.stalled_since.as_deref().map_or(silence, |time| since(time, now));
                (PartitionState::Stalled, Some(stalled))
            }
        }
    }

    /// The view of them at a moment.
    pub fn view(&self, now: Timestamp) -> PartitionView<'_> {
        let (state, state_time) = self.state(now);
        let (durable, unread) = (self.durable.as_ref().ok(), self.durable.as_ref().err());
        let status = self.status.as_ref();
        // The log may have grown since a consumer that is gone said how long it is.
        let alive = status.filter(|_| {
            matches!(state, PartitionState::Running | PartitionState::Waiting | PartitionState::Stalled)
        });
        let high_watermark = alive.and_then(|status| status.high_watermark);
        let lag = high_watermark
            .zip(durable)
            .map(|(high_watermark, durable)| high_watermark.saturating_sub(durable.offset).max(0));
        let current = |status: &Status| {
            if lag == Some(0) { Some(since(&status.written, now)) } else { progress(status, now) }
        };
        let written =
            durable.map_or_else(|| unread.and_then(|unread| unread.written), |durable| durable.written);
        PartitionView {
            partition: self.partition,
            state,
            state_seconds: state_time,
            cause: alive.and_then(|status| status.waiting_for.as_deref()),
            topic: status.map(|status| &*status.topic),
            offset: durable.map(|durable| durable.offset),
            high_watermark,
            lag,
            rate: alive.filter(|_| state != PartitionState::Waiting).map(|status| status.rate),
            days: durable.map(|durable| durable.days),
            newest: durable.and_then(|durable| durable.newest),
            rejected: status.and_then(|status| status.rejected_total),
            all_rejected: self
                .all_rejected()
                .map(|records| AllRejected { records, first_reason: self.first_reason }),
            freshness_seconds: status.and_then(current),
            age_seconds: written.map(|written| elapsed(written, now)),
            bytes: durable
                .map_or_else(|| unread.and_then(|unread| unread.bytes), |durable| Some(durable.bytes)),
            written,
            error: unread.map(|unread| &*unread.fact),
            hint: unread.and_then(|unread| unread.hint.as_deref()),
            consumer: status,
        }
    }
}

/// The view of all partitions together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Whole {
    /// The place whose reports are counted; nothing until the first one.
    pub place: Option<Place>,
    /// Months that are in two files.
    pub split: Option<Split>,
}

/// A partition at a moment. An unknown value is null.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionView<'a> {
    pub partition: i32,
    pub state: PartitionState,
    /// For how long, where it has stalled or is silent.
    #[serde(serialize_with = "whole_seconds")]
    pub state_seconds: Option<Duration>,
    /// Why nothing comes, while its consumer waits or has stalled.
    pub cause: Option<&'a str>,
    pub topic: Option<&'a str>,
    /// The next offset to read, as the checkpoint has it.
    pub offset: Option<i64>,
    /// One past the last record that can be read, while there is a consumer that knows.
    pub high_watermark: Option<i64>,
    /// Offsets between the two.
    pub lag: Option<i64>,
    /// Records per second, as long as its consumer reports it.
    pub rate: Option<f64>,
    /// Days in the checkpoint, and the newest of them.
    pub days: Option<u64>,
    #[serde(serialize_with = "as_text")]
    pub newest: Option<Date>,
    /// Records of the log so far that were rejected, and are kept in the rejected file.
    pub rejected: Option<u64>,
    /// Present if no record that was read counts.
    pub all_rejected: Option<AllRejected>,
    /// For how long the checkpoint has been behind the log: at most since it last moved, or there was nothing to count.
    #[serde(serialize_with = "whole_seconds")]
    pub freshness_seconds: Option<Duration>,
    /// Since the checkpoint was replaced last.
    #[serde(serialize_with = "whole_seconds")]
    pub age_seconds: Option<Duration>,
    /// Size of the checkpoint.
    pub bytes: Option<u64>,
    /// When it was replaced last.
    #[serde(skip)]
    pub written: Option<Timestamp>,
    /// Why the files can't be read, and what to do.
    pub error: Option<&'a str>,
    pub hint: Option<&'a str>,
    /// The last status of its consumer, as in `status.json`.
    pub consumer: Option<&'a Status>,
}

/// Records that were rejected, where no other was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct AllRejected {
    pub records: u64,
    pub first_reason: Option<RejectReason>,
}

/// How a partition is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionState {
    Running,
    /// Its consumer waits for Kafka.
    Waiting,
    /// There is something to count, and no checkpoint of it.
    Stalled,
    /// Its consumer has said nothing for a while, though it has not said that it ended.
    Silent,
    Stopped,
    Unreadable,
    /// No consumer has said anything.
    Unknown,
}

impl PartitionState {
    pub const ALL: [PartitionState; 7] = [
        PartitionState::Running,
        PartitionState::Waiting,
        PartitionState::Stalled,
        PartitionState::Silent,
        PartitionState::Stopped,
        PartitionState::Unreadable,
        PartitionState::Unknown,
    ];
}

/// Its name in JSON.
impl Display for PartitionState {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl PartitionView<'_> {
    /// 0 where it is in a state that has no time.
    pub fn seconds_in_state(&self) -> u64 {
        self.state_seconds.map_or(0, |time| time.as_secs())
    }

    /// Why what is counted does not keep up with what comes; nothing where it does.
    pub fn hindrance(&self, stall_after: Duration) -> Option<String> {
        match self.state {
            PartitionState::Unreadable => self.error.map(str::to_owned),
            PartitionState::Unknown => Some("no consumer has said anything of it".to_owned()),
            PartitionState::Stopped => Some("its consumer has stopped".to_owned()),
            PartitionState::Silent => {
                Some(format!("its consumer has said nothing for {} s", self.seconds_in_state()))
            }
            PartitionState::Waiting => Some(self.cause.unwrap_or("its consumer waits").to_owned()),
            PartitionState::Running | PartitionState::Stalled => match (self.lag, self.freshness_seconds) {
                (Some(0), _) => None,
                (_, Some(freshness)) if freshness <= stall_after => None,
                (Some(lag), Some(freshness)) => {
                    Some(format!("lag {lag}, and no new checkpoint for {} s", freshness.as_secs()))
                }
                (Some(lag), None) => Some(format!("lag {lag}, and no new checkpoint yet")),
                (None, _) => Some("its consumer has not heard of the end of the log yet".to_owned()),
            },
        }
    }
}

/// The reasons why partitions are not ready, one line each.
pub fn hindrances(views: &[PartitionView], stall_after: Duration) -> Vec<String> {
    let of = |view: &PartitionView| {
        view.hindrance(stall_after).map(|reason| format!("partition {}: {reason}", view.partition))
    };
    views.iter().filter_map(of).collect()
}

/// Since the checkpoint last moved, or there was nothing to count.
fn progress(status: &Status, now: Timestamp) -> Option<Duration> {
    status.last_progress.as_deref().map(|time| since(time, now))
}

/// Nothing where the time can't be read.
fn since(time: &str, now: Timestamp) -> Duration {
    time.parse().map_or(Duration::ZERO, |time| elapsed(time, now))
}

/// Nothing where `time` is still to come: clocks are set back now and then.
fn elapsed(time: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(time).try_into().unwrap_or(Duration::ZERO)
}

fn whole_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs()).serialize(serializer)
}

fn as_text<S: Serializer>(value: &Option<impl Display>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(serializer)
}

#[cfg(test)]
pub mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::owner::Owner;

    pub const NOW: Timestamp = Timestamp::constant(1_000_000_000, 0);

    pub fn before(seconds: i64) -> Timestamp {
        NOW.checked_sub(SignedDuration::from_secs(seconds)).unwrap()
    }

    fn ago(seconds: i64) -> String {
        before(seconds).to_string()
    }

    pub fn unread(fact: &str) -> Result<Durable, Unread> {
        Err(Unread { fact: fact.to_owned(), hint: Some("fix it".to_owned()), bytes: Some(1), written: None })
    }

    /// A partition at offset 10 whose consumer is well.
    pub fn facts(partition: i32) -> Facts {
        let status = Status {
            partition,
            topic: "temperatures".to_owned(),
            state: State::Running,
            offset: 10,
            position: 10,
            high_watermark: Some(10),
            lag: Some(0),
            rate: 10.4,
            counted: 9,
            duplicates: 0,
            rejected: 1,
            rejected_total: Some(1),
            days: 9,
            newest: None,
            last_durable: None,
            last_progress: None,
            stalled_since: None,
            checkpoint_seconds: 0.0,
            checkpoint_bytes: 0,
            rebalances: 0,
            broker_errors: 0,
            waiting_for: None,
            owner: Owner::default(),
            written_every: None,
            written: ago(1),
        };
        let durable = Durable {
            offset: 10,
            days: 9,
            newest: Some(Date::constant(1990, 4, 30)),
            bytes: 4711,
            written: Some(before(1)),
        };
        Facts { partition, durable: Ok(durable), status: Some(status), first_reason: None }
    }

    pub fn said(change: impl Fn(&mut Status)) -> Facts {
        let mut facts = facts(2);
        facts.status.iter_mut().for_each(change);
        facts
    }

    #[test]
    fn a_partition_as_json() {
        let known = facts(2);
        insta::assert_snapshot!(serde_json::to_string_pretty(&known.view(NOW)).unwrap());
        let unknown = Facts { status: None, ..facts(2) };
        insta::assert_snapshot!(serde_json::to_string_pretty(&unknown.view(NOW)).unwrap());
    }

    #[test]
    fn the_state_is_what_the_consumer_said_unless_it_has_been_silent_since() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (state, written, stalled_since, expected) in [
            (State::Running, ago(0), None, (PartitionState::Running, None)),
            (State::Running, ago(4), None, (PartitionState::Running, None)),
            (State::Running, ago(5), None, (PartitionState::Silent, seconds(5))),
            (State::Running, ago(-60), None, (PartitionState::Running, None)),
            (State::Running, "yesterday".to_owned(), None, (PartitionState::Running, None)),
            (State::Stalled, ago(1), Some(ago(40)), (PartitionState::Stalled, seconds(40))),
            (State::Stalled, ago(9), Some(ago(40)), (PartitionState::Silent, seconds(9))),
            (State::Stopped, ago(3600), None, (PartitionState::Stopped, None)),
        ] {
            let facts = said(|status| {
                status.state = state;
                status.written = written.clone();
                status.stalled_since = stalled_since.clone();
            });
            let view = facts.view(NOW);
            assert_eq!((view.state, view.state_seconds), expected);
        }
        let unknown = Facts { status: None, ..facts(2) };
        assert_eq!(unknown.view(NOW).state, PartitionState::Unknown);
        assert_eq!(PartitionState::Silent.to_string(), "silent");
    }

    #[test]
    fn lag_is_counted_from_the_checkpoint() {
        let lag = |offset| {
            let mut facts = said(|status| status.high_watermark = Some(20));
            facts.durable.as_mut().unwrap().offset = offset;
            facts.view(NOW).lag
        };
        assert_eq!(lag(15), Some(5));
        assert_eq!(lag(21), Some(0), "the status is older than the checkpoint");
    }

    #[test]
    fn all_is_rejected_where_nothing_else_was_read() {
        let rejected = |days, counted, rejected, total| {
            let mut facts = said(|status| {
                (status.counted, status.rejected, status.rejected_total) = (counted, rejected, total);
            });
            facts.durable.as_mut().unwrap().days = days;
            facts.view(NOW).all_rejected.map(|all| all.records)
        };
        for (days, counted, of_consumer, total, expected) in [
            (0, 0, 0, Some(0), None),
            (0, 0, 3, Some(3), Some(3)),
            // The consumer was restarted since.
            (0, 0, 0, Some(3), Some(3)),
            (0, 0, 1, None, Some(1)),
            // Days were counted before it was.
            (5, 0, 2, Some(4), Some(2)),
            (5, 0, 0, Some(4), None),
            (5, 1, 2, Some(4), None),
            // The counted record is not durable yet.
            (0, 1, 2, Some(2), None),
        ] {
            assert_eq!(
                rejected(days, counted, of_consumer, total),
                expected,
                "{days} {counted} {of_consumer}"
            );
        }
    }

    #[test]
    fn a_partition_is_ready_with_no_lag_or_with_progress() {
        let behind = |progress: Option<i64>| {
            said(move |status| {
                status.high_watermark = Some(17);
                status.last_progress = progress.map(ago);
            })
        };
        for (facts, expected) in [
            (facts(2), None),
            (behind(Some(30)), None),
            (behind(Some(31)), Some("lag 7, and no new checkpoint for 31 s")),
            (behind(None), Some("lag 7, and no new checkpoint yet")),
            (said(|status| status.state = State::Stalled), None),
            (said(|status| status.high_watermark = Some(3)), None),
            (
                said(|status| status.high_watermark = None),
                Some("its consumer has not heard of the end of the log yet"),
            ),
            (said(|status| status.written = ago(4)), None),
            (said(|status| status.written = ago(5)), Some("its consumer has said nothing for 5 s")),
            (said(|status| status.state = State::Stopped), Some("its consumer has stopped")),
            (Facts { status: None, ..facts(2) }, Some("no consumer has said anything of it")),
            (Facts { durable: unread("a: it is none"), ..facts(2) }, Some("a: it is none")),
        ] {
            let found = facts.view(NOW).hindrance(Duration::from_secs(30));
            assert_eq!(found.as_deref(), expected, "{facts:?}");
        }
    }

    #[test]
    fn reasons_are_given_for_each_partition() {
        let (well, stopped) = (facts(2), said(|status| status.state = State::Stopped));
        let views = [&well, &stopped, &stopped].map(|facts| facts.view(NOW));
        assert_eq!(hindrances(&views, Duration::ZERO), ["partition 2: its consumer has stopped"; 2]);
    }
}
