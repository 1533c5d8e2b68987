//! Whether what was read may become durable, and every reason to connect to the brokers again.

use std::time::{Duration, Instant};

use super::error::PipelineError;
use crate::kafka::KafkaError;
use crate::store::StoreError;

/// The brokers' answer to a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Said {
    Yes,
    No,
    /// No broker answered in time.
    Nothing,
}

/// The fate of the records that a partition has taken since its last checkpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Trust {
    /// Make them durable.
    Commit,
    /// Keep them, and ask again later.
    Wait,
    /// Drop them: they may be of another log, or damaged on the way.
    Drop,
}

/// Decides that from three requests. Each must have been made after the last of the records arrived.
///
/// | same topic id | offset within the log | leader epochs are the log's | then |
/// |---|---|---|---|
/// | no | | | drop |
/// | nothing said | | | wait |
/// | yes | no | | drop |
/// | yes | nothing said | | wait |
/// | yes | yes | no | drop |
/// | yes | yes | nothing said | wait |
/// | yes | yes | yes | commit |
pub(super) fn trust(is_same_topic: Said, is_within: Said, has_epochs: Said) -> Trust {
    match [is_same_topic, is_within, has_epochs].into_iter().find(|said| *said != Said::Yes) {
        Some(Said::No) => Trust::Drop,
        Some(Said::Nothing) => Trust::Wait,
        Some(Said::Yes) | None => Trust::Commit,
    }
}

/// Why the consumer drops what is not durable, connects to the brokers again, and opens its partitions again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reconnect {
    #[error("the topic is no longer the one that was read")]
    OtherTopic,
    #[error("two requests about the log of partition {partition} were answered differently")]
    AnswersDiffer { partition: i32 },
    #[error("two requests for the cluster's id were answered differently, or one was not answered")]
    ClusterUnknown,
    /// The brokers did not answer in time.
    #[error("{0}")]
    NotStarted(KafkaError),
    /// Nothing protects a batch's first offset on the way from the broker.
    #[error("partition {partition} continues at offset {found} instead of {expected}; reading it again")]
    Jump { partition: i32, expected: i64, found: i64 },
    #[error("the records of partition {partition} lie past its end; resuming from the checkpoint")]
    PastTheEnd { partition: i32 },
    #[error("partition {partition} gave a leader epoch that its log does not have; reading it again")]
    UnknownEpoch { partition: i32 },
    /// The client keeps to the highest leader epoch that it was ever given, so one that was damaged on the way
    /// stops it for good.
    #[error("{0}; connecting again")]
    EpochRefused(KafkaError),
    /// The broker says that the log was truncated, lacks the offset, or sends what no log holds.
    #[error("{0}; resuming from the checkpoint")]
    LogDoubtful(KafkaError),
    #[error(
        "no records of partition {partition} arrive from offset {offset} on, although it has more; connecting again"
    )]
    Silent { partition: i32, offset: i64 },
    #[error(
        "rejected records fill the memory, and there can be no checkpoint yet; resuming from the last one"
    )]
    Full,
    /// The group's leader may have asked a broker that did not know the topic, and librdkafka does not ask again.
    #[error("the group has assigned no partition to this member, although some have no owner; joining again")]
    Unassigned,
    /// The consumer waits for it.
    #[error("{0}")]
    StoreAway(StoreError),
}

impl Reconnect {
    /// Prints or logs it, as far as the user must know. What is over with one new connection is only logged, until it
    /// `recurs`. Of a store that is away another part warns.
    pub(super) fn report(&self, recurs: bool) {
        match self {
            Reconnect::StoreAway(_) => tracing::debug!("{self}"),
            _ if recurs => {
                let seconds = RECURS_AFTER.as_secs();
                tracing::warn!("{self}; the consumer has connected again and again for {seconds} s");
            }
            Reconnect::OtherTopic
            | Reconnect::AnswersDiffer { .. }
            | Reconnect::ClusterUnknown
            | Reconnect::NotStarted(_)
            | Reconnect::EpochRefused(_) => tracing::debug!("{self}"),
            Reconnect::LogDoubtful(error) if error.is_unknown_topic() => tracing::debug!("{self}"),
            Reconnect::Jump { .. } | Reconnect::UnknownEpoch { .. } => tracing::info!("{self}"),
            Reconnect::PastTheEnd { .. }
            | Reconnect::LogDoubtful(_)
            | Reconnect::Silent { .. }
            | Reconnect::Unassigned
            | Reconnect::Full => tracing::warn!("{self}"),
        }
    }

    /// How long to let the brokers settle before.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Reconnect::PastTheEnd { .. } | Reconnect::Full | Reconnect::StoreAway(_) => {
                Duration::from_secs(1)
            }
            Reconnect::LogDoubtful(error) if !error.is_unknown_topic() => Duration::from_secs(1),
            _ => Duration::from_millis(50),
        }
    }
}

/// How long one reconnect may follow another, and the longest pause in between.
const RECURS_AFTER: Duration = Duration::from_secs(5);
const SERIES_PAUSE_MAX: Duration = Duration::from_secs(3);

/// Reconnects that follow one another.
#[derive(Debug, Default)]
pub(super) struct Series {
    since: Option<Instant>,
    ended: Option<Instant>,
    is_reported: bool,
}

impl Series {
    /// Takes in a reconnect. Says once in a series that it has gone on for long.
    pub(super) fn recurs(&mut self, now: Instant) -> bool {
        if self.ended.is_none_or(|ended| now - ended > SERIES_PAUSE_MAX) {
            *self = Series { since: Some(now), ..Series::default() };
        }
        let is_long = self.since.is_some_and(|since| now - since >= RECURS_AFTER);
        is_long && !std::mem::replace(&mut self.is_reported, true)
    }

    /// The new connection is there.
    pub(super) fn ended(&mut self, now: Instant) {
        self.ended = Some(now);
    }
}

/// Why the loop ends in the middle of a turn.
pub(super) enum Interrupt {
    Reconnect(Reconnect),
    Fail(PipelineError),
}

impl<E: Into<PipelineError>> From<E> for Interrupt {
    fn from(error: E) -> Self {
        Interrupt::Fail(error.into())
    }
}

impl Interrupt {
    /// A store that is away is waited for.
    pub(super) fn of_store(error: StoreError) -> Interrupt {
        match error.is_away() {
            true => Reconnect::StoreAway(error).into(),
            false => error.into(),
        }
    }
}

impl From<Reconnect> for Interrupt {
    fn from(why: Reconnect) -> Self {
        Interrupt::Reconnect(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnects_that_follow_one_another_are_reported_once() {
        let (mut series, start) = (Series::default(), Instant::now());
        let mut recurs = |millis: u64| {
            let now = start + Duration::from_millis(millis);
            let recurs = series.recurs(now);
            series.ended(now + Duration::from_millis(100));
            recurs
        };
        for (millis, expected) in [
            (0, false),
            (2900, false),
            (5100, true),
            (5500, false),
            (8500, false),
            // It worked for a while.
            (20_000, false),
            (23_000, false),
            (25_100, true),
        ] {
            assert_eq!(recurs(millis), expected, "after {millis} ms");
        }
    }

    #[test]
    fn the_first_answer_that_is_not_yes_decides() {
        use Said::{No, Nothing, Yes};
        let all = [Yes, No, Nothing];
        for (topic, within, epochs, expected) in [
            (&[No][..], &all[..], &all[..], Trust::Drop),
            (&[Nothing], &all, &all, Trust::Wait),
            (&[Yes], &[No], &all, Trust::Drop),
            (&[Yes], &[Nothing], &all, Trust::Wait),
            (&[Yes], &[Yes], &[No], Trust::Drop),
            (&[Yes], &[Yes], &[Nothing], Trust::Wait),
            (&[Yes], &[Yes], &[Yes], Trust::Commit),
        ] {
            for topic in topic {
                for within in within {
                    for epochs in epochs {
                        let found = trust(*topic, *within, *epochs);
                        assert_eq!(found, expected, "{topic:?} {within:?} {epochs:?}");
                    }
                }
            }
        }
    }
}
