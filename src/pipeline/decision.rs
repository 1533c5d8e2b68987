//! Decides how a partition is opened, from its files, its log and the user's policy, without IO.

use std::time::Duration;

use super::settings::{OnGap, Policy};
use crate::store::{Gap, Loaded, Log};

/// How long an offset may lie past the partition's end before it counts as lost: a new leader may lag.
const PAST_END_MAX: Duration = Duration::from_secs(10);

/// A partition's log, as the brokers describe it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Facts {
    /// As it would begin: the topic's identity, and the first offset that can be read.
    pub log: Log,
    /// The end, up to which committed records can be read.
    pub end: i64,
    pub reaches: Reaches,
}

/// Whether the log still has what the checkpoint has passed, by the leader epoch of the last record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reaches {
    Yes,
    /// And why not.
    No(String),
    /// The checkpoint has passed no record, or the brokers do not know.
    Unknown,
}

/// The decision about one partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Decision {
    Open(How),
    Refuse(Refusal),
    /// The brokers may know more in a moment.
    AskAgain,
}

/// How a partition is opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum How {
    /// Begin a checkpoint at the log's first offset; none is there.
    Begin,
    /// Continue from the checkpoint, which is of this log.
    Resume(Log),
    /// The same, after `log.json` was replaced by this one.
    ResumeWith(Log),
    /// Archive what was counted of this log, and begin again.
    StartOver(Log, Because),
    /// Continue at another offset of the same log, and note the gap.
    Jump(Log, Gap),
}

/// Why what was counted is archived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Because {
    /// DIR goes over to another topic or cluster, as the user allowed.
    OtherTopic,
    /// The topic was deleted and created again.
    Recreated,
    /// The log lost records that were counted, or not yet counted, and the user wants to begin again.
    Gap,
    /// A crash interrupted an earlier start.
    Interrupted,
}

/// Why nothing is done, until the user decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    OtherTopic(Log),
    WithoutLog,
    Gap { offset: i64, low: i64, high: i64 },
    Truncated(String),
}

impl Facts {
    /// Whether another client's request brought the same.
    pub(super) fn agrees_with(&self, other: &Facts) -> bool {
        self.log == other.log
    }
}

impl Decision {
    /// Whether it changes files for good, or stops the partition. Then another client asks the brokers as well: no
    /// checksum covers what it rests on, and nothing that is read later would show that it was damaged on the way.
    pub(super) fn needs_confirmation(&self) -> bool {
        !matches!(self, Decision::Open(How::Resume(_)) | Decision::AskAgain)
    }
}

/// Decides what to do. `waited`: for how long the brokers have been asked.
///
/// The first row that fits decides. *offset* is the checkpoint's.
///
/// | checkpoint | `log.json` names | the log | policy | decision |
/// |---|---|---|---|---|
/// | any | another topic or cluster | | | refuse: other topic |
/// | any | another topic or cluster | | accept a new log | as if the topic was recreated |
/// | none | | | | begin |
/// | there | no file | | | refuse: without log |
/// | there | no file | | adopt | go to the rows below, as this log |
/// | there | another topic id | | | start over: recreated |
/// | there | this log, starting over | | | start over: interrupted |
/// | there | this log | ends below the offset, for less than 10 s | | ask again |
/// | there | this log | does not hold the offset | fail | refuse: gap |
/// | there | this log | does not hold the offset | restart | start over: gap |
/// | there | this log | does not hold the offset | continue | jump to its nearest offset |
/// | there | this log | was truncated below the offset and grew | fail, continue | refuse: truncated |
/// | there | this log | was truncated below the offset and grew | restart | start over: gap |
/// | there | no file, other partitions, or a gap that was not passed | | | resume with another `log.json` |
/// | there | this log | | | resume |
pub(super) fn decide(loaded: &Loaded, facts: &Facts, policy: &Policy, waited: Duration) -> Decision {
    let now = &facts.log;
    let is_other = |log: &Log| (&log.cluster_id, &log.topic) != (&now.cluster_id, &now.topic);
    let other = loaded.log.as_ref().filter(|log| is_other(log));
    if let Some(other) = other.filter(|_| !policy.accept_new_log) {
        return Decision::Refuse(Refusal::OtherTopic(other.clone()));
    }
    let Some(checkpoint) = &loaded.checkpoint else { return Decision::Open(How::Begin) };
    let mut log = match &loaded.log {
        Some(log) => log.clone(),
        // The first offset of its counts is lost. If it was not 0, `verify` finds the difference.
        None if policy.adopt => Log { first_offset: 0, ..now.clone() },
        None => return Decision::Refuse(Refusal::WithoutLog),
    };
    if other.is_some() {
        return Decision::Open(How::StartOver(log, Because::OtherTopic));
    }
    if log.topic_id != now.topic_id {
        return Decision::Open(How::StartOver(log, Because::Recreated));
    }
    if log.is_starting_over {
        return Decision::Open(How::StartOver(log, Because::Interrupted));
    }
    let (offset, low, high) = (checkpoint.offset, now.first_offset, facts.end);
    if offset > high && waited < PAST_END_MAX {
        return Decision::AskAgain;
    }
    log.partitions = now.partitions;
    // Noted before a checkpoint that was then not written.
    log.gaps.pop_if(|gap| gap.from < gap.to && offset < gap.to);
    if !(low..=high).contains(&offset) {
        return match policy.on_gap {
            OnGap::Fail => Decision::Refuse(Refusal::Gap { offset, low, high }),
            OnGap::Restart => Decision::Open(How::StartOver(log, Because::Gap)),
            OnGap::Continue => {
                Decision::Open(How::Jump(log, Gap { from: offset, to: offset.clamp(low, high) }))
            }
        };
    }
    if let Reaches::No(reason) = &facts.reaches {
        return match policy.on_gap {
            OnGap::Restart => Decision::Open(How::StartOver(log, Because::Gap)),
            OnGap::Fail | OnGap::Continue => Decision::Refuse(Refusal::Truncated(reason.clone())),
        };
    }
    match &loaded.log {
        Some(found) if *found == log => Decision::Open(How::Resume(log)),
        _ => Decision::Open(How::ResumeWith(log)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;

    const AT_ONCE: Duration = Duration::ZERO;
    const OFFSET: i64 = 50;

    fn log(topic_id: &str) -> Log {
        Log {
            cluster_id: "cluster".to_owned(),
            topic: "temperatures".to_owned(),
            topic_id: topic_id.to_owned(),
            partitions: 4,
            first_offset: 0,
            leader_epochs: Vec::new(),
            gaps: Vec::new(),
            is_starting_over: false,
        }
    }

    fn facts(low: i64, end: i64, reaches: Reaches) -> Facts {
        Facts { log: Log { first_offset: low, ..log("now") }, end, reaches }
    }

    fn policy(on_gap: OnGap) -> Policy {
        Policy { on_gap, ..Policy::default() }
    }

    fn loaded(log: Option<Log>) -> Loaded {
        Loaded { log, checkpoint: Some(Checkpoint::empty(2, OFFSET)) }
    }

    fn decided(log: Option<Log>, facts: &Facts, policy: &Policy) -> Decision {
        decide(&loaded(log), facts, policy, PAST_END_MAX)
    }

    #[test]
    fn another_topic_or_cluster_is_refused_or_archived() {
        let accepting = Policy { accept_new_log: true, ..Policy::default() };
        let here = facts(0, 90, Reaches::Unknown);
        let others = [
            Log { topic: "rain".to_owned(), ..log("now") },
            Log { cluster_id: "elsewhere".to_owned(), ..log("now") },
        ];
        for other in others {
            let refused = Decision::Refuse(Refusal::OtherTopic(other.clone()));
            assert_eq!(decided(Some(other.clone()), &here, &Policy::default()), refused);
            let without_checkpoint = Loaded { log: Some(other.clone()), checkpoint: None };
            assert_eq!(decide(&without_checkpoint, &here, &Policy::default(), AT_ONCE), refused);
            assert_eq!(decide(&without_checkpoint, &here, &accepting, AT_ONCE), Decision::Open(How::Begin));
            let archived = Decision::Open(How::StartOver(other.clone(), Because::OtherTopic));
            assert_eq!(decided(Some(other), &here, &accepting), archived);
        }
    }

    #[test]
    fn without_a_checkpoint_it_begins() {
        for log in [None, Some(log("now")), Some(log("former"))] {
            let loaded = Loaded { log, checkpoint: None };
            let decision = decide(&loaded, &facts(7, 90, Reaches::Unknown), &Policy::default(), AT_ONCE);
            assert_eq!(decision, Decision::Open(How::Begin));
        }
    }

    #[test]
    fn a_checkpoint_without_log_is_refused_or_adopted() {
        let adopting = Policy { adopt: true, ..Policy::default() };
        let here = facts(7, 90, Reaches::Unknown);
        assert_eq!(decided(None, &here, &Policy::default()), Decision::Refuse(Refusal::WithoutLog));
        assert_eq!(decided(None, &here, &adopting), Decision::Open(How::ResumeWith(log("now"))));
        let gone = facts(60, 90, Reaches::Unknown);
        let gap = Refusal::Gap { offset: OFFSET, low: 60, high: 90 };
        assert_eq!(decided(None, &gone, &adopting), Decision::Refuse(gap));
    }

    #[test]
    fn a_recreated_topic_and_an_interrupted_start_start_over() {
        let interrupted = Log { is_starting_over: true, ..log("now") };
        // Whatever offsets the log holds by now.
        for here in
            [facts(0, 90, Reaches::Yes), facts(60, 90, Reaches::Unknown), facts(0, 3, Reaches::Unknown)]
        {
            let recreated = Decision::Open(How::StartOver(log("former"), Because::Recreated));
            assert_eq!(decided(Some(log("former")), &here, &Policy::default()), recreated);
            let again = Decision::Open(How::StartOver(interrupted.clone(), Because::Interrupted));
            assert_eq!(decided(Some(interrupted.clone()), &here, &Policy::default()), again);
        }
    }

    #[test]
    fn an_offset_outside_of_the_log_is_refused_or_started_over_or_jumped_to() {
        for (low, high, nearest) in [(60, 90, 60), (51, 51, 51), (0, 49, 49), (0, 0, 0)] {
            let here = facts(low, high, Reaches::Unknown);
            let refused = Decision::Refuse(Refusal::Gap { offset: OFFSET, low, high });
            assert_eq!(decided(Some(log("now")), &here, &policy(OnGap::Fail)), refused);
            let over = Decision::Open(How::StartOver(log("now"), Because::Gap));
            assert_eq!(decided(Some(log("now")), &here, &policy(OnGap::Restart)), over);
            let jump = Decision::Open(How::Jump(log("now"), Gap { from: OFFSET, to: nearest }));
            assert_eq!(decided(Some(log("now")), &here, &policy(OnGap::Continue)), jump);
        }
    }

    #[test]
    fn an_offset_past_the_end_is_asked_for_again_for_a_while() {
        let here = facts(0, 49, Reaches::Unknown);
        for on_gap in [OnGap::Fail, OnGap::Restart, OnGap::Continue] {
            let found = loaded(Some(log("now")));
            let early = decide(&found, &here, &policy(on_gap), PAST_END_MAX - Duration::from_millis(1));
            assert_eq!(early, Decision::AskAgain);
            assert_ne!(decide(&found, &here, &policy(on_gap), PAST_END_MAX), Decision::AskAgain);
        }
    }

    #[test]
    fn a_truncated_log_is_refused_unless_it_may_be_counted_again() {
        let here = facts(0, 90, Reaches::No("it ends at 40".to_owned()));
        for on_gap in [OnGap::Fail, OnGap::Continue] {
            let refused = Decision::Refuse(Refusal::Truncated("it ends at 40".to_owned()));
            assert_eq!(decided(Some(log("now")), &here, &policy(on_gap)), refused);
        }
        let over = Decision::Open(How::StartOver(log("now"), Because::Gap));
        assert_eq!(decided(Some(log("now")), &here, &policy(OnGap::Restart)), over);
    }

    #[test]
    fn the_same_log_is_resumed_and_new_partitions_are_noted() {
        for end in [50, 51, i64::MAX] {
            for (low, reaches) in [(0, Reaches::Yes), (50, Reaches::Unknown)] {
                let here = facts(low, end, reaches);
                let found = loaded(Some(log("now")));
                assert_eq!(
                    decide(&found, &here, &Policy::default(), AT_ONCE),
                    Decision::Open(How::Resume(log("now")))
                );
                let before = Log { partitions: 3, ..log("now") };
                let noted = Decision::Open(How::ResumeWith(log("now")));
                assert_eq!(decide(&loaded(Some(before)), &here, &Policy::default(), AT_ONCE), noted);
            }
        }
    }

    #[test]
    fn a_gap_that_was_noted_and_not_passed_is_dropped() {
        let here = facts(0, 90, Reaches::Yes);
        let noted = |from, to| Log { gaps: vec![Gap { from, to }], ..log("now") };
        let decided = |log| decide(&loaded(Some(log)), &here, &Policy::default(), AT_ONCE);
        assert_eq!(decided(noted(OFFSET, 60)), Decision::Open(How::ResumeWith(log("now"))));
        for passed in [noted(30, OFFSET), noted(70, 20)] {
            assert_eq!(decided(passed.clone()), Decision::Open(How::Resume(passed)));
        }
    }

    #[test]
    fn only_what_leaves_the_files_as_they_are_needs_no_confirmation() {
        let gap = Gap { from: 1, to: 2 };
        for (decision, needs) in [
            (Decision::Open(How::Resume(log("now"))), false),
            (Decision::AskAgain, false),
            (Decision::Open(How::Begin), true),
            (Decision::Open(How::ResumeWith(log("now"))), true),
            (Decision::Open(How::StartOver(log("now"), Because::Recreated)), true),
            (Decision::Open(How::Jump(log("now"), gap)), true),
            (Decision::Refuse(Refusal::WithoutLog), true),
        ] {
            assert_eq!(decision.needs_confirmation(), needs, "{decision:?}");
        }
    }
}
