//! Makes durable what was counted, as far as the brokers confirm that it is of the log.

use std::time::{Duration, Instant};

use super::consumer::Consumer;
use super::error::PipelineError;
use super::facts::LEADER_ANSWER_MAX;
use super::partition::Partition;
use super::trust::{Interrupt, Reconnect, Said, Trust, trust};
use super::writing::{Done, Write, Writing, write_all};
use crate::kafka::{KafkaError, SHORT_REQUEST_TIMEOUT};
use crate::store::{LeaderEpoch, StoreError};

/// When a checkpoint is tried again that could not be confirmed.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// When a store that was away is sent a checkpoint again.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How often the brokers are asked whether a quiet topic is still the same: sooner while none answers, as the user waits to
/// hear of it.
const TOPIC_CHECK_EVERY: Duration = Duration::from_millis(500);
const TOPIC_CHECK_EVERY_AWAY: Duration = Duration::from_millis(200);
/// How long the answer may take where nothing depends on it yet.
const TOPIC_CHECK_MAX: Duration = Duration::from_secs(1);

impl Consumer<'_> {
    /// Begins a checkpoint if one is due, and takes back one that is durable.
    pub(super) fn save_if_due(&mut self) -> Result<(), Interrupt> {
        let is_catching_up = self.is_catching_up();
        self.pace.set_busy(is_catching_up, Instant::now());
        // A network is not waited for, as a rebalance may come, or a signal.
        let goes_on = is_catching_up || self.store.is_remote();
        if !goes_on || self.writing.as_ref().is_some_and(|(writing, _)| writing.is_over()) {
            self.finish_writing()?;
        }
        let is_due = self.pace.is_due(Instant::now()) && self.owned.values().any(Partition::is_ready);
        if !is_due || self.writing.is_some() {
            return Ok(());
        }
        if !goes_on {
            return self.save(false);
        }
        // Records wait: what comes while it is written is of the next checkpoint.
        let asked = Instant::now();
        let writes = self.confirmed(false)?;
        if !writes.is_empty() {
            self.writing = Some((Writing::begin(writes), asked.elapsed()));
        }
        Ok(())
    }

    /// Makes everything durable that has been taken and is confirmed. `asks_all`: also where a leader has just not answered.
    pub(super) fn save(&mut self, asks_all: bool) -> Result<(), Interrupt> {
        self.finish_writing()?;
        let asked = Instant::now();
        let writes = self.confirmed(asks_all)?;
        let asking = asked.elapsed();
        Ok(self.take_back(asking, write_all(writes))?)
    }

    /// The last save. If no broker confirms the log, the next start reads the rest again.
    pub(super) fn save_at_last(&mut self) -> Result<(), Interrupt> {
        self.save(true)?;
        if self.is_dirty() {
            tracing::info!("no broker says whether the log is still the same; asking once more");
            self.save(true)?;
        }
        if self.is_dirty() {
            let who = if self.store_contact.is_answering() { "no broker" } else { "no object store" };
            tracing::warn!(
                "{who} answered, so what came after the last checkpoint is not durable; the next start reads it again"
            );
        }
        Ok(())
    }

    /// The same where rejected records fill the memory.
    pub(super) fn save_full(&mut self) -> Result<(), Interrupt> {
        self.save(true)?;
        match self.owned.values().any(Partition::is_full) {
            true => Err(Reconnect::Full.into()),
            false => Ok(()),
        }
    }

    fn is_dirty(&self) -> bool {
        self.owned.values().any(Partition::is_dirty)
    }

    /// The checkpoints that the brokers confirm. The others wait.
    fn confirmed(&mut self, asks_all: bool) -> Result<Vec<Write>, Interrupt> {
        let is_asked = |partition: &Partition| match asks_all {
            true => partition.is_dirty(),
            false => partition.is_ready(),
        };
        let owned = self.owned.iter().filter(|(_, partition)| is_asked(partition));
        let numbers: Vec<i32> = owned.map(|(&number, _)| number).collect();
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let is_same_topic = self.is_same_topic(SHORT_REQUEST_TIMEOUT);
        if is_same_topic == Said::Nothing {
            self.pace.put_off(Instant::now(), RETRY_AFTER);
        }
        let mut confirmed = Vec::new();
        for number in numbers {
            let (is_within, has_epochs) = match is_same_topic {
                Said::Yes => (self.is_within_log(number)?, self.has_leader_epochs(number)?),
                Said::No | Said::Nothing => (Said::Nothing, Said::Nothing),
            };
            let hold_until = match trust(is_same_topic, is_within, has_epochs) {
                Trust::Commit => {
                    confirmed.push(number);
                    None
                }
                Trust::Wait if is_same_topic == Said::Yes => Some(Instant::now() + RETRY_AFTER),
                Trust::Wait => None,
                Trust::Drop => return Err(dropped(number, is_same_topic, is_within).into()),
            };
            if let Some(partition) = self.owned.get_mut(&number) {
                partition.hold_until(hold_until);
            }
        }
        let partitions = self.owned.iter_mut().filter(|(number, _)| confirmed.contains(number));
        Ok(partitions.filter_map(|(_, partition)| partition.hand_over()).collect())
    }

    /// Whether the offset that was read is in the log. One past its end comes from damaged bytes.
    fn is_within_log(&self, number: i32) -> Result<Said, Interrupt> {
        let Some(partition) = self.owned.get(&number) else { return Ok(Said::Nothing) };
        let told = self.kafka.reader.high_watermark(number);
        if told.is_none_or(|told| !partition.is_past(told)) {
            return Ok(Said::Yes);
        }
        if self.kafka.reader.obstacle(number).is_some() {
            return Ok(Said::Nothing);
        }
        // A broker notes the end that it sends before it reads the records that it sends, and there may be more by then.
        let watermarks = self.kafka.clients.first.watermarks(&self.settings.topic, number, LEADER_ANSWER_MAX);
        Ok(match said(watermarks)? {
            Some((_, end)) if partition.is_past(end) => Said::No,
            Some(_) => Said::Yes,
            None => Said::Nothing,
        })
    }

    /// Whether the leader epochs that are new to `log.json` can be. They are not covered by the records' checksum, and
    /// one that there never was would make the next start take the log for one that was truncated.
    fn has_leader_epochs(&mut self, number: i32) -> Result<Said, Interrupt> {
        let Some(partition) = self.owned.get_mut(&number) else { return Ok(Said::Nothing) };
        if !partition.has_new_leader_epoch() {
            return Ok(Said::Yes);
        }
        if self.kafka.reader.obstacle(number).is_some() {
            return Ok(Said::Nothing);
        }
        let (admin, topic) = (&self.kafka.clients.first, &self.settings.topic);
        let Some(last) = said(admin.leader_epoch(topic, number, LEADER_ANSWER_MAX))? else {
            return Ok(Said::Nothing);
        };
        // A broker that gives none.
        let Some(last) = last else { return Ok(Said::Yes) };
        // Kafka forgets a leader epoch in which nothing was written, so it is noted only if it is needed.
        let last = match partition.last_noted_epoch().filter(|noted| *noted < last) {
            None => last,
            Some(noted) => match said(admin.epoch_end(topic, number, noted, LEADER_ANSWER_MAX))? {
                None => return Ok(Said::Nothing),
                Some(Some(end)) if end.epoch == noted && end.end_offset >= partition.next_offset() => noted,
                Some(_) => last,
            },
        };
        if !partition.note_last_leader_epoch(last) {
            return Ok(Said::No);
        }
        for LeaderEpoch { epoch, first_offset } in partition.new_leader_epochs() {
            let end = match admin.epoch_end(topic, number, epoch, LEADER_ANSWER_MAX) {
                Err(error) if !error.is_transient() => {
                    tracing::debug!(%error, "a leader epoch can't be confirmed");
                    continue;
                }
                end => said(end)?,
            };
            match end {
                None => return Ok(Said::Nothing),
                // Only librdkafka can reach the brokers.
                Some(None) => {}
                Some(Some(end)) if end.epoch == epoch && end.end_offset > first_offset => {}
                Some(Some(_)) => return Ok(Said::No),
            }
        }
        Ok(Said::Yes)
    }

    pub(super) fn check_topic_if_due(&mut self) -> Result<(), Interrupt> {
        let every = if self.contact.is_answering() { TOPIC_CHECK_EVERY } else { TOPIC_CHECK_EVERY_AWAY };
        if self.log_checked.elapsed() >= every && self.is_same_topic(TOPIC_CHECK_MAX) == Said::No {
            return Err(Reconnect::OtherTopic.into());
        }
        Ok(())
    }

    /// Whether the topic of this name is still the one that it connected to. Must be asked after the last record that the
    /// answer is to hold for has arrived.
    pub(super) fn is_same_topic(&mut self, time: Duration) -> Said {
        let asked = Instant::now();
        // Not by the reader's own connection: there an answer waits behind the fetch that waits for records.
        let answer = self.kafka.clients.first.describe(&self.settings.topic, time);
        self.log_checked = Instant::now();
        match answer {
            Ok(topic) => {
                self.contact.answered();
                match topic.is_some_and(|topic| topic == self.kafka.identity.topic) {
                    true => Said::Yes,
                    false => Said::No,
                }
            }
            Err(error) => {
                self.counters.broker_errors += 1;
                let text = self.kafka.reader.take_error_text();
                self.contact.failed(asked, || text.unwrap_or_else(|| error.reason()));
                Said::Nothing
            }
        }
    }

    /// Waits for the checkpoints in flight. No partition is released before that.
    pub(super) fn finish_writing(&mut self) -> Result<(), PipelineError> {
        match self.writing.take() {
            Some((writing, asking)) => self.take_back(asking, writing.finish()),
            None => Ok(()),
        }
    }

    fn take_back(&mut self, asking: Duration, done: Done) -> Result<(), PipelineError> {
        let (mut files, mut failures, mut is_away) = (Vec::new(), Vec::new(), false);
        for written in done.written {
            let (number, began) = (written.claim.partition(), written.at - written.took);
            let Some(partition) = self.owned.get_mut(&number) else { continue };
            match partition.take_back(written) {
                Ok(bytes) => {
                    files.push(bytes);
                    // The log beyond the checkpoint could be read.
                    self.truncations.remove(&number);
                }
                Err(StoreError::Away { reason, .. }) => {
                    partition.hold_until(Some(Instant::now() + STORE_RETRY_AFTER));
                    self.store_contact.failed(began, || reason);
                    is_away = true;
                }
                Err(error) => failures.push((number, error)),
            }
        }
        if files.is_empty() && failures.is_empty() {
            return Ok(());
        }
        if !files.is_empty() && !is_away {
            self.store_contact.answered();
        }
        self.pace.wrote(done.at, asking, done.took, &files);
        failures.into_iter().try_for_each(|(number, error)| self.fail(number, error.into()))
    }
}

/// Why the records of a partition are dropped.
fn dropped(partition: i32, is_same_topic: Said, is_within: Said) -> Reconnect {
    match (is_same_topic, is_within) {
        (Said::No, _) => Reconnect::OtherTopic,
        (_, Said::No) => Reconnect::PastTheEnd { partition },
        _ => Reconnect::UnknownEpoch { partition },
    }
}

/// The answer of a leader; nothing if it did not answer.
fn said<T>(answer: Result<T, KafkaError>) -> Result<Option<T>, Interrupt> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_of_epoch() => Err(Reconnect::EpochRefused(error).into()),
        Err(error) if error.is_log_doubtful() => Err(Reconnect::LogDoubtful(error).into()),
        Err(error) if error.is_transient() => {
            tracing::debug!(%error, "no answer of a leader");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
