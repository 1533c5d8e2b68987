//! The partitions that the consumer has: named or assigned by the group, then claimed, then opened.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::connection::{name_topic, refuse_other_log, refuse_repartitioned};
use super::consumer::Consumer;
use super::contact::list;
use super::decision::{Because, Decision, Facts, How, Reaches, decide};
use super::error::PipelineError;
use super::facts::{Answer, Asking, Question};
use super::open::open;
use super::opening::{Awaited, Opening};
use super::partition::Partition;
use super::trust::{Interrupt, Reconnect};
use crate::failure::{Failure, fact};
use crate::kafka::RebalanceEvent;
use crate::parallel::each_of;
use crate::store::{Log, StoreError};

/// How long a partition that was taken away is left to its new owner, who locks it with its first status.
const TAKE_BACK_AFTER: Duration = Duration::from_secs(5);

/// How often it is tried to claim a partition that its former owner still holds.
const HELD_CHECK_EVERY: Duration = Duration::from_millis(50);

/// The same while the store is away.
const STORE_AWAY_CHECK_EVERY: Duration = Duration::from_secs(1);

/// How often the files are checked of a partition that had to be left alone.
const REFUSED_CHECK_EVERY: Duration = Duration::from_secs(1);

impl Consumer<'_> {
    /// Claims the partitions named, or joins the group.
    pub(super) fn begin(&mut self) -> Result<(), Interrupt> {
        refuse_other_log(self.settings, self.store, &self.kafka)?;
        refuse_repartitioned(self.settings, self.store, &self.kafka)?;
        self.settle_place()?;
        self.store_contact.answered();
        let Some(partitions) = &self.settings.partitions else {
            name_topic(self.settings, self.store, &self.kafka)?;
            return Ok(self.kafka.reader.subscribe()?);
        };
        let has = self.kafka.identity.topic.partitions;
        if let Some(&partition) = partitions.iter().find(|partition| **partition >= has) {
            let topic = self.settings.topic.clone();
            return Err(PipelineError::NoSuchPartition { topic, partition, partitions: has }.into());
        }
        // Before the first is claimed: a file that can't be read must cost no living owner another partition.
        for (_, checked) in self.each_partition(partitions, |partition| self.store.check(partition)) {
            checked.map_err(Interrupt::of_store)?;
        }
        name_topic(self.settings, self.store, &self.kafka)?;
        let take_over = self.take_over;
        let mut claimed = self.claim_all(partitions, |_| take_over).into_iter();
        claimed.try_for_each(|(partition, claimed)| match claimed {
            Err(StoreError::Away { reason, .. }) => {
                self.await_store(partition, reason);
                Ok(())
            }
            claimed => Ok(claimed?),
        })
    }

    /// Does the same with each partition, in order; where a network leads to the store, with several at a time.
    fn each_partition<R: Send>(&self, partitions: &[i32], work: impl Fn(i32) -> R + Sync) -> Vec<(i32, R)> {
        let work = |partition| (partition, work(partition));
        if !self.store.is_remote() {
            return partitions.iter().copied().map(work).collect();
        }
        let mut done = each_of(partitions.to_vec(), work);
        done.sort_by_key(|(partition, _)| *partition);
        done
    }

    /// Claims it again once the store answers.
    fn await_store(&mut self, number: i32, reason: String) {
        let now = Instant::now();
        self.store_contact.failed(now, || reason);
        let force = (self.take_over && self.settings.partitions.is_some()).then_some(now);
        self.awaited.insert(number, Awaited { from: now + STORE_AWAY_CHECK_EVERY, force, refused: None });
    }

    /// Claims partitions, each of which `take_over` or not.
    fn claim_all(
        &mut self,
        partitions: &[i32],
        take_over: impl Fn(i32) -> bool + Sync,
    ) -> Vec<(i32, Result<(), StoreError>)> {
        let (store, owners) = (self.store, &self.owners);
        let away = Mutex::new(None);
        let claim = |partition| {
            // A store that was away for one partition would make each of the others wait in vain.
            let known = away.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((url, reason)) = known {
                return Err(StoreError::Away { url, reason });
            }
            let (claim, loaded) = match store.claim(partition, take_over(partition)) {
                // It was taken over from a paused process, which still holds the lock.
                Err(StoreError::Held { owner, .. }) if owners.get(&partition) == Some(&owner) => {
                    store.claim(partition, true)?
                }
                claimed => claimed?,
            };
            let rejected_total = claim.count_rejected()?;
            Ok(Opening::new(claim, loaded, rejected_total))
        };
        let claim = |partition| {
            claim(partition).inspect_err(|error| {
                if let StoreError::Away { url, reason } = error {
                    let known = Some((url.clone(), reason.clone()));
                    *away.lock().unwrap_or_else(PoisonError::into_inner) = known;
                }
            })
        };
        let claimed = self.each_partition(partitions, claim).into_iter();
        let mut keep = |(partition, claimed): (i32, Result<Opening, StoreError>)| {
            let kept = claimed.map(|opening| {
                self.owners.insert(partition, opening.claim.owner().clone());
                self.opening.insert(partition, opening);
            });
            (partition, kept)
        };
        claimed.map(&mut keep).collect()
    }

    /// Answers the rebalances of the group, in order.
    pub(super) fn answer_group(&mut self) -> Result<(), Interrupt> {
        for event in self.kafka.reader.take_rebalances() {
            tracing::info!(?event, "the group rebalances");
            self.counters.rebalances += 1;
            self.finish_writing()?;
            match event {
                RebalanceEvent::Assigned(partitions) => self.await_assigned(&partitions)?,
                RebalanceEvent::Revoked(partitions) => {
                    let saved = self.save(true);
                    // The group waits for the answer, whatever came of it.
                    self.release(&partitions)?;
                    saved?;
                }
                RebalanceEvent::Lost(partitions) => {
                    tracing::warn!(
                        "the group has taken {} from this member, as it and the group's coordinator did not hear of each other in time; waiting for partitions",
                        list(&partitions)
                    );
                    self.release(&partitions)?;
                }
            }
        }
        if !self.given_up.is_empty() {
            self.kafka.reader.remove(&std::mem::take(&mut self.given_up))?;
        }
        Ok(())
    }

    fn await_assigned(&mut self, partitions: &[i32]) -> Result<(), PipelineError> {
        let from = Instant::now();
        let wait = if self.take_over { Duration::ZERO } else { self.settings.handover_timeout };
        let awaited = Awaited { from, force: from.checked_add(wait), refused: None };
        self.awaited.extend(partitions.iter().map(|&partition| (partition, awaited.clone())));
        self.unassigned_since = (!self.has_any()).then_some(from);
        // The rebalance continues; the partitions are added as they are opened.
        Ok(self.kafka.reader.add(&[])?)
    }

    /// Releases partitions, then lets the rebalance continue.
    fn release(&mut self, partitions: &[i32]) -> Result<(), PipelineError> {
        self.contact.forget(partitions);
        // Until the next assignment a rebalance is under way.
        self.unassigned_since = None;
        for partition in partitions {
            self.awaited.remove(partition);
            self.opening.remove(partition).into_iter().for_each(|opening| opening.claim.release());
            self.truncations.remove(partition);
            self.progress.remove(partition);
        }
        let mut added = partitions.to_vec();
        added.retain(|partition| match self.owned.remove(partition) {
            Some(owned) => {
                owned.release();
                true
            }
            None => self.given_up.contains(partition),
        });
        self.given_up.retain(|partition| !added.contains(partition));
        Ok(self.kafka.reader.remove(&added)?)
    }

    /// Claims what the group assigned, as soon as its former owner has released it, or the time for that is
    /// over: the group's word outranks the lock.
    pub(super) fn claim_awaited(&mut self) -> Result<(), Interrupt> {
        let now = Instant::now();
        let mut due = BTreeMap::new();
        for (number, awaited) in std::mem::take(&mut self.awaited) {
            let files = || self.store.reader().version(number);
            if now < awaited.from {
                self.awaited.insert(number, awaited);
            } else if awaited.refused.as_ref().is_some_and(|refused| *refused == files()) {
                self.awaited.insert(number, Awaited { from: now + REFUSED_CHECK_EVERY, ..awaited });
            } else {
                due.insert(number, awaited);
            }
        }
        let numbers: Vec<i32> = due.keys().copied().collect();
        let is_forced =
            |number| due.get(&number).is_some_and(|it| it.force.is_some_and(|force| now >= force));
        let claimed = self.claim_all(&numbers, is_forced);
        for (number, claimed) in claimed {
            let Some(awaited) = due.remove(&number) else { continue };
            match claimed {
                Ok(()) => self.store_contact.answered(),
                Err(StoreError::Held { .. }) if self.settings.partitions.is_none() => {
                    let every = if self.store.is_remote() { HELD_CHECK_EVERY * 10 } else { HELD_CHECK_EVERY };
                    self.awaited.insert(number, Awaited { from: now + every, ..awaited });
                }
                Err(StoreError::Away { reason, .. }) => {
                    self.store_contact.failed(now, || reason);
                    self.awaited.insert(number, Awaited { from: now + STORE_AWAY_CHECK_EVERY, ..awaited });
                }
                Err(error) => self.fail(number, error.into())?,
            }
        }
        Ok(())
    }

    /// Opens claimed partitions as soon as the brokers have said what their logs are.
    pub(super) fn open_claimed(&mut self) -> Result<(), Interrupt> {
        let is_over = self.asking.as_ref().is_none_or(Asking::is_over);
        let answers = self.asking.as_ref().map(Asking::take).unwrap_or_default();
        for (question, answer) in answers {
            self.hear(&question, answer)?;
        }
        // Two that begin in a fresh DIR at the same time see each other's logs by now.
        if is_over && std::mem::take(&mut self.has_begun) {
            refuse_other_log(self.settings, self.store, &self.kafka)?;
        }
        if is_over {
            let now = Instant::now();
            let due = self.opening.values().filter(|opening| opening.ask_at <= now);
            let questions: Vec<Question> = due.map(Opening::question).collect();
            let kafka = &self.kafka;
            self.asking = (!questions.is_empty())
                .then(|| Asking::start(&kafka.clients, &self.settings.topic, &kafka.identity, questions));
        }
        Ok(())
    }

    fn hear(&mut self, question: &Question, answer: Answer) -> Result<(), Interrupt> {
        let number = question.partition;
        let Some(opening) = self.opening.get_mut(&number).filter(|opening| opening.question() == *question)
        else {
            // It was released meanwhile, and perhaps claimed again.
            return Ok(());
        };
        let mut facts = match answer {
            Ok(Some(facts)) => facts,
            Ok(None) => return Err(Reconnect::OtherTopic.into()),
            Err(error) if error.is_of_epoch() => return Err(Reconnect::EpochRefused(error).into()),
            Err(error) if error.is_log_doubtful() => return Err(Reconnect::LogDoubtful(error).into()),
            Err(error) if error.is_transient() => {
                opening.note_obstacle(&error);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        opening.obstacle = None;
        // Without requests for leader epochs, librdkafka must have found it twice.
        let truncated = self.truncations.get(&number).filter(|(_, times)| *times >= 2);
        if let (Reaches::Unknown, Some((offset, _))) = (&facts.reaches, truncated)
            && opening.loaded.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.offset == *offset)
        {
            facts.reaches = Reaches::No(format!("the broker says so twice at offset {offset}"));
        }
        if opening.first.as_ref().is_some_and(|first| !facts.agrees_with(first)) {
            return Err(Reconnect::AnswersDiffer { partition: number }.into());
        }
        match decide(&opening.loaded, &facts, &self.settings.policy, opening.since.elapsed()) {
            Decision::AskAgain => {
                opening.first = None;
                opening.ask_later();
                Ok(())
            }
            decision if decision.needs_confirmation() && opening.first.is_none() => {
                opening.first = Some(facts);
                opening.ask_at = Instant::now();
                Ok(())
            }
            Decision::Refuse(refusal) => {
                self.opening.remove(&number);
                Ok(self.fail(number, refusal.of(self.settings, number, &facts.log))?)
            }
            Decision::Open(how) => self.open(number, how, &facts),
        }
    }

    fn open(&mut self, number: i32, how: How, facts: &Facts) -> Result<(), Interrupt> {
        let Some(Opening { mut claim, loaded, mut rejected_total, .. }) = self.opening.remove(&number) else {
            return Ok(());
        };
        self.report_opening(number, &how, &facts.log);
        self.has_begun |= how == How::Begin;
        let is_resumed = matches!(how, How::Resume(_) | How::ResumeWith(_));
        let (log, checkpoint) = match open(how, &mut *claim, loaded, &facts.log) {
            Ok(opened) => opened,
            Err(StoreError::Away { reason, .. }) => {
                // The next claim finds a write that may have landed.
                drop(claim);
                self.await_store(number, reason);
                return Ok(());
            }
            Err(error) => return Ok(self.fail(number, error.into())?),
        };
        if !is_resumed {
            rejected_total = claim.count_rejected()?;
            self.truncations.remove(&number);
        }
        let before = self.progress.remove(&number);
        let durable = claim.durable(&checkpoint);
        let partition = Partition::new(claim, log, checkpoint, rejected_total, durable, before);
        match self.kafka.reader.add(&[partition.position()]) {
            Err(error) if error.is_transient() => return Err(Reconnect::NotStarted(error).into()),
            added => added?,
        }
        self.owned.insert(number, partition);
        self.failures.remove(&number);
        Ok(())
    }

    /// Warns of what is done beyond continuing; of another topic once for all partitions of this process.
    fn report_opening(&mut self, number: i32, how: &How, now: &Log) {
        let what = match how {
            How::StartOver(_, Because::OtherTopic) => "is another topic than before",
            How::StartOver(_, Because::Recreated) => "has been created again",
            how => {
                let done = how.describe(number, now);
                return done.map_or((), |done| tracing::warn!("{done}"));
            }
        };
        let How::StartOver(former, _) = how else { return };
        if !std::mem::replace(&mut self.is_recreation_reported, true) {
            tracing::warn!(
                "topic {} {what}; what was counted of the former one is in archive/{}",
                self.settings.topic,
                former.topic_id
            );
        }
    }

    /// Gives up one partition, for now or for good, and continues with the others if that is possible at all.
    pub(super) fn fail(&mut self, number: i32, error: PipelineError) -> Result<(), PipelineError> {
        if self.settings.partitions.is_some() || !error.is_of_one_partition() {
            return Err(error);
        }
        self.opening.remove(&number);
        if self.owned.remove(&number).is_some() {
            self.given_up.push(number);
        }
        if let PipelineError::Store(StoreError::TakenOver { .. }) = error {
            // This member was asleep, and the group assigned the partition to another one; or a user took it. It is taken
            // back when it is free for longer than a new owner needs to lock it.
            tracing::warn!(hint = error.hint(), "{error}");
            let from = Instant::now() + TAKE_BACK_AFTER;
            self.awaited.insert(number, Awaited { from, force: None, refused: None });
        } else {
            let before = self.failures.get(&number).map(ToString::to_string);
            if before.is_none_or(|before| before != error.to_string()) {
                tracing::error!(hint = error.hint(), "partition {number} is left alone: {}", fact(&error));
            }
            self.failures.insert(number, error);
            let refused = Some(self.store.reader().version(number));
            let from = Instant::now() + REFUSED_CHECK_EVERY;
            self.awaited.insert(number, Awaited { from, force: None, refused });
        }
        Ok(())
    }
}
