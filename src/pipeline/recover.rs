//! `almanac recover`: carries out, once, what a consumer refused to do without the user's decision.

use std::time::{Duration, Instant};

use super::connection::{Kafka, find_topic, refuse_other_log, refuse_repartitioned};
use super::contact::Contact;
use super::decision::{Decision, Facts, How, decide};
use super::error::PipelineError;
use super::facts::{Clients, Question};
use super::open::open;
use super::settings::{OnGap, Settings};
use super::trust::{Interrupt, Reconnect};
use crate::checkpoint::Checkpoint;
use crate::kafka::{Item, KafkaError, Position, Received, SHORT_REQUEST_TIMEOUT, StartAt};
use crate::stop::Stop;
use crate::store::{self, Claim, Gap, LeaderEpoch, Loaded, Log, Store, StoreError};

/// How long a living owner may take to release a partition: a member of a group that tries a partition again holds it so
/// long.
const RELEASE_MAX: Duration = Duration::from_secs(15);

/// How long the brokers may take to say what a log is.
const FACTS_MAX: Duration = Duration::from_secs(30);

const ASK_EVERY: Duration = Duration::from_millis(200);

/// How often a batch must be found damaged before it is left out. Each time takes a second.
const DAMAGE_SEEN_MIN: u32 = 3;

/// How long the next batch may take to arrive.
const BATCH_MAX: Duration = Duration::from_secs(10);

/// The result for one partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recovered {
    pub partition: i32,
    /// The change, in a line; none if the partition needed none.
    pub done: Option<String>,
    /// The next offset to read, if there is a checkpoint.
    pub offset: Option<i64>,
}

/// Recovers the partitions named in the settings, or all in DIR, as the policy says. Reports each one that is done.
pub fn recover(
    settings: &Settings,
    stop: &Stop,
    mut report: impl FnMut(Recovered),
) -> Result<(), PipelineError> {
    let store = &*store::open(&settings.dir)?;
    let clients = Clients::new(&settings.connection)?;
    let Some(identity) = find_topic(settings, &clients, &mut Contact::default(), stop, |_| Ok(()))? else {
        return Ok(());
    };
    let has = identity.topic.partitions;
    let kafka = Kafka::new(settings, clients, identity)?;
    loop {
        match refuse_other_log(settings, store, &kafka) {
            Ok(()) => break,
            Err(Interrupt::Fail(error)) => return Err(error),
            Err(Interrupt::Reconnect(Reconnect::StoreAway(error))) => return Err(error.into()),
            Err(Interrupt::Reconnect(_)) if stop.wait(ASK_EVERY) => return Ok(()),
            Err(Interrupt::Reconnect(_)) => {}
        }
    }
    match refuse_repartitioned(settings, store, &kafka) {
        Err(Interrupt::Fail(error)) => return Err(error),
        Err(Interrupt::Reconnect(Reconnect::StoreAway(error))) => return Err(error.into()),
        Err(Interrupt::Reconnect(_)) | Ok(()) => {}
    }
    let all = store.reader().partitions()?;
    let partitions = settings.partitions.as_ref().unwrap_or(&all);
    if let Some(&partition) = partitions.iter().find(|partition| **partition >= has) {
        let topic = settings.topic.clone();
        return Err(PipelineError::NoSuchPartition { topic, partition, partitions: has });
    }
    let mut recovery = Recovery { settings, store, stop, kafka };
    for &partition in partitions {
        match recovery.recover(partition) {
            // Unless it was named: a living owner needs no recovery.
            Err(PipelineError::Store(error @ StoreError::Held { .. })) if settings.partitions.is_none() => {
                tracing::info!("{error}");
            }
            done => report(done?),
        }
        if stop.is_asked() {
            break;
        }
    }
    Ok(())
}

struct Recovery<'a> {
    settings: &'a Settings,
    store: &'a dyn Store,
    stop: &'a Stop,
    kafka: Kafka,
}

impl Recovery<'_> {
    fn recover(&mut self, partition: i32) -> Result<Recovered, PipelineError> {
        let nothing = Recovered { partition, done: None, offset: None };
        let loaded = self.store.reader().load(partition)?;
        let identity = &self.kafka.identity;
        let is_of_topic =
            |log: &Log| (&log.cluster_id, &log.topic) == (&identity.cluster_id, &self.settings.topic);
        if self.settings.policy.accept_new_log && loaded.log.as_ref().is_some_and(is_of_topic) {
            let offset = loaded.checkpoint.map(|checkpoint| checkpoint.offset);
            return Ok(Recovered { offset, ..nothing });
        }
        let (mut claim, loaded) = self.claim(partition)?;
        let Some((decision, facts)) = self.decide(partition, &loaded)? else { return Ok(nothing) };
        let how = match decision {
            // The next consumer begins it.
            Decision::Open(How::Begin) | Decision::AskAgain => return Ok(nothing),
            Decision::Refuse(refusal) => return Err(refusal.of(self.settings, partition, &facts.log)),
            Decision::Open(how) => how,
        };
        let is_as_before = matches!(how, How::Resume(_));
        let said = how.describe(partition, &facts.log);
        let (log, checkpoint) = open(how, &mut *claim, loaded, &facts.log)?;
        if is_as_before && self.settings.policy.on_gap == OnGap::Continue {
            return self.leave_out(claim, log, checkpoint);
        }
        Ok(Recovered { partition, done: said, offset: Some(checkpoint.offset) })
    }

    /// Waits until a living owner has released it, unless it is to be taken over.
    fn claim(&self, partition: i32) -> Result<(Box<dyn Claim>, Loaded), PipelineError> {
        let deadline = Instant::now() + RELEASE_MAX;
        loop {
            match self.store.claim(partition, self.settings.take_over) {
                Err(StoreError::Held { .. })
                    if self.settings.partitions.is_some()
                        && Instant::now() < deadline
                        && !self.stop.wait(ASK_EVERY) => {}
                claimed => return Ok(claimed?),
            }
        }
    }

    /// Asks both clients until their answers decide.
    fn decide(&self, partition: i32, loaded: &Loaded) -> Result<Option<(Decision, Facts)>, PipelineError> {
        let began = Instant::now();
        while !self.stop.is_asked() {
            let facts = match self.ask(partition, loaded) {
                Ok(facts) => facts,
                Err(error) if error.is_transient() && began.elapsed() < FACTS_MAX => None,
                Err(error) => return Err(error.into()),
            };
            if facts.is_none() && began.elapsed() >= FACTS_MAX {
                let topic = self.settings.topic.clone();
                return Err(PipelineError::Unclear { topic, partition });
            }
            if let Some(facts) = facts {
                match decide(loaded, &facts, &self.settings.policy, began.elapsed()) {
                    Decision::AskAgain => {}
                    decision => return Ok(Some((decision, facts))),
                }
            }
            self.stop.wait(ASK_EVERY);
        }
        Ok(None)
    }

    /// Nothing if the two do not agree.
    fn ask(&self, partition: i32, loaded: &Loaded) -> Result<Option<Facts>, KafkaError> {
        let Kafka { clients, identity, .. } = &self.kafka;
        let topic = &self.settings.topic;
        let ask = |is_second| Question::new(partition, loaded, is_second).ask(clients, topic, identity);
        let (first, second) = (ask(false)?, ask(true)?);
        Ok(first.zip(second).and_then(|(first, second)| second.agrees_with(&first).then_some(second)))
    }

    /// Leaves out the next batch if it can't be read.
    fn leave_out(
        &mut self,
        mut claim: Box<dyn Claim>,
        mut log: Log,
        mut checkpoint: Checkpoint,
    ) -> Result<Recovered, PipelineError> {
        let partition = claim.partition();
        let Some(batch) = self.damaged_batch(partition, checkpoint.offset)? else {
            return Ok(Recovered { partition, done: None, offset: Some(checkpoint.offset) });
        };
        log.note_gap(batch);
        // The next start asks whether the log has the leader epoch of what was passed last.
        let (admin, topic) = (&self.kafka.clients.first, &self.settings.topic);
        let noted = log.leader_epochs.last().map(|noted| noted.epoch);
        let is_enough = match noted {
            Some(epoch) => admin
                .epoch_end(topic, partition, epoch, SHORT_REQUEST_TIMEOUT)?
                .is_some_and(|end| end.epoch == epoch && end.end_offset >= batch.to),
            None => false,
        };
        let last = admin.leader_epoch(topic, partition, SHORT_REQUEST_TIMEOUT)?;
        if let Some(epoch) = last.filter(|last| !is_enough && noted.is_none_or(|noted| noted < *last)) {
            log.leader_epochs.push(LeaderEpoch { epoch, first_offset: batch.to - 1 });
        }
        checkpoint.offset = batch.to;
        claim.jump(&log, &checkpoint, batch)?;
        let done = format!(
            "partition {partition}: offsets {} to {} are left out; noted in log.json",
            batch.from,
            batch.to - 1
        );
        Ok(Recovered { partition, done: Some(done), offset: Some(batch.to) })
    }

    /// The batch at this offset, if it still can't be read after some fetches.
    fn damaged_batch(&mut self, partition: i32, offset: i64) -> Result<Option<Gap>, PipelineError> {
        let start = StartAt::Offset { next_offset: offset, leader_epoch: None };
        self.kafka.reader.add(&[Position { partition, start }])?;
        let found = self.find_damage(partition);
        self.kafka.reader.remove(&[partition])?;
        Ok(found?)
    }

    fn find_damage(&mut self, number: i32) -> Result<Option<Gap>, KafkaError> {
        let (deadline, mut seen, mut received) = (Instant::now() + BATCH_MAX, 0, Received::default());
        while Instant::now() < deadline && !self.stop.is_asked() {
            self.kafka.reader.poll(&mut received, ASK_EVERY);
            while let Some(item) = received.next() {
                match item {
                    Item::Records(records) if records.partition == number => return Ok(None),
                    Item::EndOfPartition { partition, .. } if partition == number => return Ok(None),
                    Item::Failed {
                        error: KafkaError::Damaged { partition, offset: from, next_offset: to, .. },
                        ..
                    } if partition == number && to > from => {
                        seen += 1;
                        if seen >= DAMAGE_SEEN_MIN {
                            return Ok(Some(Gap { from, to }));
                        }
                    }
                    // Of a partition that was read before.
                    Item::Records(_)
                    | Item::EndOfPartition { .. }
                    | Item::Failed { error: KafkaError::Damaged { .. }, .. } => {}
                    Item::Failed { error, .. } if error.is_transient() => {}
                    Item::Failed { error, .. } => return Err(error),
                }
            }
        }
        Ok(None)
    }
}
