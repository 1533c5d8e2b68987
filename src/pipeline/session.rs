//! One consumer on one log, until that log is another or it is time to stop.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::memory::{Contact, Cut, Upsets};
use super::pace::Pace;
use super::partition::{Obstacle, Partition};
use super::writing::{Done, Write, Writing, write_all};
use super::{ANSWER_MAX, OnGap, POLL_MAX, PipelineError, Settings, Source};
use crate::kafka::{Consumer, Item, KafkaError, RebalanceEvent, Received, Topic};
use crate::report::Decoder;
use crate::stop::Stop;
use crate::store::{self, Gap, Paths, StoreError};

/// Records taken from the client at a time, where it is not a replay that reads.
const BATCH_RECORDS_MAX: usize = 4096;

/// How often a quiet log is asked whether it is still the same.
const LOG_CHECK_EVERY: Duration = Duration::from_millis(500);
const LOG_CHECK_EVERY_AWAY: Duration = Duration::from_millis(200);
/// How long the answer may take where nothing depends on it yet.
const LOG_CHECK_MAX: Duration = Duration::from_secs(1);

/// How long a partition that was taken away is left to its new owner, who locks it with its first status.
const TAKE_BACK_AFTER: Duration = Duration::from_secs(5);

/// How soon it is seen that checkpoints on their way are durable, where no records come meanwhile.
const WRITING_LOOK_EVERY: Duration = Duration::from_millis(5);

/// A partition with more records to come than this is being caught up with.
const LAG_OF_PLENTY: i64 = 1000;

/// How often `status.json` is written; half as often where checkpoints are on their way.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// How often a batch that can't be read is fetched before the user hears what to do. Each time takes a second.
const DAMAGE_SEEN_MIN: u32 = 3;

/// How long to wait before the same records are asked for again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a session ended in order.
pub(super) enum End {
    Stopped,
    /// What has been read since the last save may not be of the log: begin again from the files and from what the
    /// brokers have now.
    Reopen,
}

/// Whether what has been taken may be made durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Sound,
    /// The brokers did not say whether the log is still the same.
    Unknown,
    /// It may be of another log, or was damaged on the way, and is never to be written.
    Doubtful,
}

/// A partition that the group assigned, and that is not taken yet.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    /// When it may be tried first.
    from: Instant,
    /// When it is taken from whoever still holds it: the group's word outranks the lock.
    force: Option<Instant>,
}

/// One consumer on one log, until the log is another.
pub(super) struct Session<'a> {
    source: &'a Source<'a>,
    settings: &'a Settings,
    stop: &'a Stop,
    take_over: bool,
    consumer: Consumer,
    owned: BTreeMap<i32, Partition>,
    awaited: BTreeMap<i32, Awaited>,
    /// No longer owned, and still read: the client takes their removal for the answer to a rebalance, if there is one.
    given_up: Vec<i32>,
    /// Checkpoints on their way, and how long the brokers were asked before.
    writing: Option<(Writing, Duration)>,
    decoder: Decoder,
    pace: Pace,
    log_checked: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        source: &'a Source<'a>,
        stop: &'a Stop,
        take_over: bool,
    ) -> Result<Self, PipelineError> {
        let settings = source.settings;
        let (topic, topic_id) = (&settings.topic, Some(&*source.topic.id));
        let consumer = Consumer::new(&settings.connection, &settings.group, topic, topic_id)?;
        let now = Instant::now();
        Ok(Session {
            source,
            settings,
            stop,
            take_over,
            consumer,
            owned: BTreeMap::new(),
            awaited: BTreeMap::new(),
            given_up: Vec::new(),
            writing: None,
            decoder: Decoder::default(),
            pace: source
                .memory
                .pace
                .get()
                .unwrap_or_else(|| Pace::new(settings.checkpoint_every, settings.stall_after, now)),
            log_checked: now,
        })
    }

    pub(super) fn run(mut self) -> Result<End, PipelineError> {
        let mut end = self.go_on();
        // What is on its way comes first, and locks go before the group hears of it, so that whoever gets the partitions
        // next can take them.
        match self.finish_writing() {
            Err(error) if end.is_ok() => end = Err(error),
            Err(error) => tracing::error!("{error}"),
            Ok(()) => {}
        }
        self.publish_offsets();
        let progress = self.owned.iter().map(|(&number, partition)| (number, partition.progress()));
        self.source.memory.progress.borrow_mut().extend(progress);
        self.owned.clear();
        drop(self.consumer);
        if matches!(end, Ok(End::Stopped))
            && let Some((_, failure)) = self.source.memory.failures.borrow_mut().pop_first()
        {
            return Err(failure);
        }
        end
    }

    fn go_on(&mut self) -> Result<End, PipelineError> {
        if let Some(end) = self.begin()? {
            return Ok(end);
        }
        let status_written = &self.source.memory.status_written;
        status_written.set(status_written.get().or_else(|| Some(Instant::now())));
        let mut received = Received::with_capacity(BATCH_RECORDS_MAX);
        loop {
            if self.stop.is_asked() {
                self.save_at_last()?;
                self.write_status(Instant::now(), true)?;
                return Ok(End::Stopped);
            }
            if let Some(end) = self.step(&mut received)? {
                // Many sessions that end early may follow one another.
                if self.since_status(Instant::now()) >= STATUS_EVERY {
                    self.write_status(Instant::now(), false)?;
                }
                return Ok(end);
            }
        }
    }

    /// Takes the partitions named, all of them before the first is read; or joins the group.
    fn begin(&mut self) -> Result<Option<End>, PipelineError> {
        if let Some(end) = self.refuse_other_log()? {
            return Ok(Some(end));
        }
        self.refuse_repartitioned()?;
        let Some(partitions) = &self.settings.partitions else {
            self.consumer.subscribe()?;
            return Ok(None);
        };
        let has = self.source.topic.partitions;
        if let Some(&partition) = partitions.iter().find(|partition| **partition >= has) {
            let topic = self.settings.topic.clone();
            return Err(PipelineError::NoSuchPartition { topic, partition, partitions: has });
        }
        // Before the first is taken: a file that can't be read must cost no living owner another partition.
        for &partition in partitions {
            store::check(&self.settings.dir, partition)?;
        }
        let mut positions = Vec::new();
        for &partition in partitions {
            let Some(taken) = Partition::take(self.source, partition, self.take_over, self.stop)? else {
                return Ok(Some(if self.stop.is_asked() { End::Stopped } else { End::Reopen }));
            };
            positions.push(taken.position());
            self.owned.insert(partition, taken);
        }
        // Two that begin in a fresh DIR at the same time see each other's logs by now.
        if let Some(end) = self.refuse_other_log()? {
            return Ok(Some(end));
        }
        match self.consumer.add(&positions) {
            Err(error) if error.is_transient() => Ok(Some(End::Reopen)),
            added => Ok(added.map(|()| None)?),
        }
    }

    /// DIR belongs to one topic of one cluster, whichever of its partitions are to be read. This is known before the first
    /// is taken, so that no living owner loses one to a consumer that then refuses.
    fn refuse_other_log(&self) -> Result<Option<End>, PipelineError> {
        let Source { cluster_id, .. } = self.source;
        let (dir, topic) = (&self.settings.dir, &self.settings.topic);
        if self.settings.accept_new_log {
            return Ok(None);
        }
        let logs = store::logs_in(dir);
        let Some(log) = logs.iter().find(|log| (&log.cluster_id, &log.topic) != (cluster_id, topic)) else {
            return Ok(None);
        };
        // A cluster's id may have been damaged on the way: another client is asked for it.
        match self.source.second_admin().and_then(|admin| admin.cluster_id(ANSWER_MAX)) {
            Ok(confirmed) if confirmed == *cluster_id => Err(PipelineError::OtherLog {
                dir: dir.clone(),
                theirs: format!("{} of cluster {}", log.topic, log.cluster_id),
                ours: format!("{topic} of cluster {cluster_id}"),
            }),
            Ok(_) => Ok(Some(End::Reopen)),
            Err(error) if error.is_transient() => Ok(Some(End::Reopen)),
            Err(error) => Err(error.into()),
        }
    }

    /// A day that was counted in one partition would not be recognised when it comes again in another: this concerns
    /// all of DIR, whichever of its partitions are to be read.
    fn refuse_repartitioned(&self) -> Result<(), PipelineError> {
        let Topic { id, partitions: now } = &self.source.topic;
        if self.settings.allow_repartition {
            return Ok(());
        }
        let logs = store::logs_in(&self.settings.dir);
        match logs.iter().find(|log| log.topic_id == *id && log.partitions != *now) {
            None => Ok(()),
            Some(log) => Err(PipelineError::Repartitioned {
                dir: self.settings.dir.clone(),
                topic: self.settings.topic.clone(),
                before: log.partitions,
                now: *now,
            }),
        }
    }

    /// One turn: answer the group, take what has come, make it durable when that is due.
    fn step(&mut self, received: &mut Received) -> Result<Option<End>, PipelineError> {
        for event in self.consumer.take_rebalances() {
            self.answer(event)?;
        }
        if !self.given_up.is_empty() {
            self.consumer.remove(&std::mem::take(&mut self.given_up))?;
        }
        if !self.awaited.is_empty() && self.take_awaited()? {
            return Ok(Some(End::Reopen));
        }
        self.consumer.poll(received, self.patience());
        while let Some(item) = received.next() {
            if let Some(end) = self.apply(item)? {
                return Ok(Some(end));
            }
            // A response may hold far more than it looks: it is compressed.
            if self.stop.is_asked() {
                return Ok(None);
            }
            if self.is_full() && self.save(Instant::now())? != Verdict::Sound {
                return Ok(Some(End::Reopen));
            }
        }
        let now = Instant::now();
        let is_catching_up = self.is_catching_up();
        self.pace.set_busy(is_catching_up);
        if !is_catching_up || self.writing.as_ref().is_some_and(|(writing, _)| writing.is_over()) {
            self.finish_writing()?;
        }
        let verdict = if self.is_dirty() && self.pace.is_due(now) && self.writing.is_none() {
            if is_catching_up { self.save_beside(now)? } else { self.save(now)? }
        } else if now - self.log_checked >= self.log_check_every() && self.is_same_log_now() == Some(false) {
            Verdict::Doubtful
        } else {
            Verdict::Sound
        };
        if verdict == Verdict::Doubtful {
            return Ok(Some(End::Reopen));
        }
        // It waits for checkpoints that are on their way, so it lets them come first.
        let status_every = if self.writing.is_some() { STATUS_EVERY * 2 } else { STATUS_EVERY };
        if self.since_status(now) >= status_every {
            self.write_status(now, false)?;
            self.publish_offsets();
            self.source.admin.serve();
            if self.is_stuck() {
                self.save(now)?;
                return Ok(Some(End::Reopen));
            }
        }
        Ok(None)
    }

    /// How soon the next question about the log is due: sooner while nobody answers, as the user waits to hear of it.
    fn log_check_every(&self) -> Duration {
        if self.source.memory.contact.is_answering() { LOG_CHECK_EVERY } else { LOG_CHECK_EVERY_AWAY }
    }

    fn since_status(&self, now: Instant) -> Duration {
        let written = self.source.memory.status_written.get().unwrap_or(now);
        now.saturating_duration_since(written)
    }

    fn is_catching_up(&self) -> bool {
        self.owned.iter().any(|(&number, partition)| {
            let end = self.consumer.high_watermark(number);
            end.is_some_and(|end| end.saturating_sub(partition.next_offset()) > LAG_OF_PLENTY)
        })
    }

    /// How long the next poll may wait.
    fn patience(&self) -> Duration {
        if self.writing.is_some() {
            WRITING_LOOK_EVERY
        } else if self.is_dirty() {
            self.pace.until_due(Instant::now()).min(POLL_MAX)
        } else {
            POLL_MAX
        }
    }

    fn is_full(&self) -> bool {
        self.owned.values().any(Partition::is_full)
    }

    fn is_dirty(&self) -> bool {
        self.owned.values().any(Partition::is_dirty)
    }

    /// Takes one thing that a poll brought; ends the session where that puts all that follows in doubt.
    fn apply(&mut self, item: Item<'_>) -> Result<Option<End>, PipelineError> {
        match item {
            Item::Records(records) => {
                let number = records.partition;
                // What comes of a partition that was just given up is not ours to count.
                let Some(partition) = self.owned.get_mut(&number) else { return Ok(None) };
                let doubt = partition.apply(records, &self.source.memory.jumps, &mut self.decoder);
                if let Some(offset) = partition.take_odd_batch() {
                    self.source.memory.warn_of_odd_batch(number, offset);
                }
                if let Some((offset, reason)) = partition.take_first_rejected()
                    && self.source.memory.rejected_told.borrow_mut().insert(number)
                {
                    tracing::warn!(
                        "partition {number}: the record at offset {offset} is rejected ({reason}) and kept in {}; further ones are kept there without a warning",
                        Paths::new(&self.settings.dir, number).rejected().display()
                    );
                }
                return Ok(doubt);
            }
            Item::EndOfPartition { partition: number, next_offset } => {
                if let Some(partition) = self.owned.get_mut(&number) {
                    let doubt = self.source.memory.jumps.doubt(number, partition.next_offset(), next_offset);
                    if doubt.is_some() {
                        return Ok(doubt);
                    }
                    partition.skip_to(next_offset);
                }
            }
            Item::Failed { error, .. } if error.is_transient() => {
                self.note_broker_errors(1);
                tracing::debug!(%error, "goes on by itself");
            }
            Item::Failed {
                error: KafkaError::Damaged { partition: number, offset, next_offset, reason },
                ..
            } => {
                self.note_broker_errors(1);
                self.meet_damage(number, Gap { from: offset, to: next_offset }, &reason)?;
            }
            Item::Failed { partition, error } if error.is_log_doubtful() => {
                self.note_broker_errors(1);
                return Ok(Some(self.reopen(partition, &error)?));
            }
            Item::Failed { error, .. } => return Err(error.into()),
        }
        Ok(None)
    }

    /// A batch that can't be read is fetched again and again, as the damage may be on the way or on one broker's disk. The
    /// user can have it left out.
    fn meet_damage(&mut self, number: i32, batch: Gap, reason: &str) -> Result<(), PipelineError> {
        let Some(partition) = self.owned.get_mut(&number) else { return Ok(()) };
        let Gap { from, to } = batch;
        match partition.note_damage(from) {
            1 => tracing::warn!(
                "partition {number}: can't read the batch at offset {from}: {reason}; reading it again"
            ),
            DAMAGE_SEEN_MIN if self.settings.on_gap == OnGap::Continue && to > from => {
                tracing::warn!(
                    "partition {number}: offsets {from} to {} are left out; noted in log.json",
                    to - 1
                );
                partition.leave_out(batch);
                let position = partition.position();
                self.consumer.remove(&[number])?;
                self.consumer.add(&[position])?;
            }
            DAMAGE_SEEN_MIN => tracing::warn!(
                "partition {number}: the batch at offset {from} still can't be read: {reason}\nhint: restore it from another replica, or leave out offsets {from} to {} with 'almanac consumer {number} --on-gap continue'",
                to - 1
            ),
            _ => {}
        }
        Ok(())
    }

    /// An offset that can't be: past the end of what the brokers have.
    fn past_the_end(&self) -> Result<Option<KafkaError>, KafkaError> {
        for (&number, partition) in &self.owned {
            let Some(told) = self.consumer.high_watermark(number) else { continue };
            if partition.is_past(told) {
                // A broker notes the end that it tells before it reads the records that it sends, and there may be
                // more by then.
                let (_, end) = self.source.admin.watermarks(&self.settings.topic, number, ANSWER_MAX)?;
                if partition.is_past(end) {
                    return Ok(Some(KafkaError::damaged(number, end)));
                }
            }
        }
        Ok(None)
    }

    /// Whether the client brings nothing of a partition that has more. It keeps to the highest leader epoch that it was
    /// ever told, so one that was damaged on the way stops it for good.
    fn is_stuck(&mut self) -> bool {
        let Source { admin, memory, .. } = self.source;
        let topic = &self.settings.topic;
        let (quiet_looks, is_answering) = (memory.quiet_looks.get(), memory.contact.is_answering());
        self.owned.iter_mut().any(|(&number, partition)| {
            let is_quiet = partition.quiet_looks() >= quiet_looks && is_answering && !partition.is_damaged();
            let is_stuck = is_quiet
                && match admin.watermarks(topic, number, ANSWER_MAX) {
                    Ok((_, high)) => {
                        partition.look_at(Some(high));
                        high > partition.next_offset()
                    }
                    Err(error) => error.is_of_epoch(),
                };
            if is_stuck {
                let offset = partition.next_offset();
                tracing::warn!("nothing comes of partition {number} from offset {offset} on; asking anew");
                memory.wait_longer();
            }
            // Who has been away may take some time to be heard from again.
            if is_quiet || !is_answering {
                partition.heard();
            }
            is_stuck
        })
    }

    /// Goes back to what is durable: what was read since may be of another log, or have a hole.
    fn reopen(&mut self, partition: Option<i32>, doubt: &KafkaError) -> Result<End, PipelineError> {
        self.finish_writing()?;
        if self.is_same_log() == Some(true) && !doubt.is_unknown_topic() {
            let owned = partition.and_then(|number| self.owned.get(&number).map(|owned| (number, owned)));
            if let Some((number, owned)) = owned.filter(|_| doubt.is_truncation()) {
                if self.source.has_epoch_still(number, owned.durable_epoch(), owned.durable_offset()) {
                    tracing::info!("{doubt}; another broker's answer says otherwise, so it is read again");
                    return Ok(End::Reopen);
                }
                let mut cut = self.source.memory.cut.borrow_mut();
                let offset = owned.durable_offset();
                let is_second = cut.get(&number).is_some_and(|cut| cut.offset == offset);
                cut.insert(number, Cut { offset, confirmed: is_second.then(|| doubt.to_string()) });
            } else {
                tracing::warn!("{doubt}; going back to the checkpoint");
                self.stop.wait(RETRY_AFTER);
            }
        }
        Ok(End::Reopen)
    }

    /// Makes everything durable that has been taken, if the log is still the one it was taken from.
    fn save(&mut self, now: Instant) -> Result<Verdict, PipelineError> {
        self.finish_writing()?;
        let asked = Instant::now();
        let verdict = self.judge(now)?;
        if verdict == Verdict::Sound {
            let asking = asked.elapsed();
            let done = write_all(self.hand_over());
            self.take_back(asking, done)?;
        }
        Ok(verdict)
    }

    /// The same while records wait: what comes meanwhile is of the next checkpoint.
    fn save_beside(&mut self, now: Instant) -> Result<Verdict, PipelineError> {
        let asked = Instant::now();
        let verdict = self.judge(now)?;
        if verdict == Verdict::Sound {
            let asking = asked.elapsed();
            self.writing = Some((Writing::begin(self.hand_over()), asking));
        }
        Ok(verdict)
    }

    /// Where no broker says whether it may be done, nothing is lost, but read again by the next start.
    fn save_at_last(&mut self) -> Result<(), PipelineError> {
        if self.save(Instant::now())? == Verdict::Unknown {
            tracing::info!("no broker says whether the log is still the same; asking once more");
            if self.save(Instant::now())? == Verdict::Unknown {
                tracing::warn!(
                    "no broker answered, so what came after the last checkpoint is not durable; the next start reads it again"
                );
            }
        }
        Ok(())
    }

    /// Holds what has been taken against what the brokers say now.
    fn judge(&mut self, now: Instant) -> Result<Verdict, PipelineError> {
        if !self.is_dirty() {
            return Ok(Verdict::Sound);
        }
        match self.is_same_log() {
            None => {
                self.pace.put_off(now, ANSWER_MAX);
                return Ok(Verdict::Unknown);
            }
            Some(false) => return Ok(Verdict::Doubtful),
            Some(true) => {}
        }
        match self.past_the_end().and_then(|doubt| Ok((doubt, self.check_leader_epochs()?))) {
            Ok((None, true)) => Ok(Verdict::Sound),
            Ok((Some(doubt), _)) => {
                tracing::warn!("{doubt}; going back to the checkpoint");
                self.stop.wait(RETRY_AFTER);
                Ok(Verdict::Doubtful)
            }
            Ok((None, false)) => Ok(Verdict::Doubtful),
            Err(error) if error.is_log_doubtful() || error.is_of_epoch() => Ok(Verdict::Doubtful),
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "no checkpoint yet");
                self.pace.put_off(now, ANSWER_MAX);
                Ok(Verdict::Unknown)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn hand_over(&mut self) -> Vec<Write> {
        self.owned.values_mut().filter_map(Partition::hand_over).collect()
    }

    /// Waits for the checkpoints that are on their way. No partition is let go of before that.
    fn finish_writing(&mut self) -> Result<(), PipelineError> {
        match self.writing.take() {
            Some((writing, asking)) => self.take_back(asking, writing.finish()),
            None => Ok(()),
        }
    }

    fn take_back(&mut self, asking: Duration, done: Done) -> Result<(), PipelineError> {
        let (mut files, mut failures) = (Vec::new(), Vec::new());
        for written in done.written {
            let number = written.claim.partition();
            let Some(partition) = self.owned.get_mut(&number) else { continue };
            match partition.take_back(written) {
                Ok(bytes) => {
                    files.push(bytes);
                    // What came after it could be read.
                    self.source.memory.cut.borrow_mut().remove(&number);
                }
                Err(error) => failures.push((number, error)),
            }
        }
        if files.is_empty() && failures.is_empty() {
            return Ok(());
        }
        self.pace.wrote(done.at, asking, done.took, &files);
        self.source.memory.pace.set(Some(self.pace));
        failures.into_iter().try_for_each(|(number, error)| self.fail(number, error.into()))
    }

    /// Whether the leader epochs that are new to `log.json` can be. They are not covered by the records' checksum, and
    /// one that there never was would make the next start take the log for one that was cut.
    ///
    /// A partition whose leader does not answer has no checkpoint for now; the others do.
    fn check_leader_epochs(&mut self) -> Result<bool, KafkaError> {
        let mut is_any_held_back = false;
        for (&number, partition) in &mut self.owned {
            partition.hold_back(false);
            if !partition.has_new_leader_epoch() {
                continue;
            }
            let are_known = match self.source.are_epochs_known(number, partition) {
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, number, "no checkpoint of this partition yet");
                    partition.hold_back(true);
                    is_any_held_back = true;
                    continue;
                }
                answer => answer?,
            };
            if !are_known {
                tracing::info!(
                    "partition {number} gave a leader epoch that its log does not have; looking again"
                );
                return Ok(false);
            }
        }
        if is_any_held_back {
            self.pace.put_off(Instant::now(), ANSWER_MAX);
        }
        Ok(true)
    }

    /// Whether the topic of this name is still the one that the session began with; unknown while no broker
    /// answers. Must be asked after the last record that the answer is to hold for has arrived.
    fn is_same_log(&mut self) -> Option<bool> {
        self.is_same_log_within(ANSWER_MAX)
    }

    /// The same of a log that is quiet.
    fn is_same_log_now(&mut self) -> Option<bool> {
        self.is_same_log_within(LOG_CHECK_MAX)
    }

    fn is_same_log_within(&mut self, time: Duration) -> Option<bool> {
        let asked = Instant::now();
        // Not by the consumer's own connection: there an answer waits behind the fetch that waits for records.
        let answer = self.source.admin.describe(&self.settings.topic, time);
        self.log_checked = Instant::now();
        match answer {
            Ok(topic) => {
                self.source.memory.contact.answered();
                Some(topic.is_some_and(|topic| topic == self.source.topic))
            }
            Err(error) => {
                self.note_broker_errors(1);
                let text = self.consumer.take_error_text();
                self.source.memory.contact.failed(asked, || text.unwrap_or_else(|| error.reason()));
                None
            }
        }
    }

    fn note_broker_errors(&self, count: u64) {
        let upsets = &self.source.memory.upsets;
        upsets.update(|upsets| Upsets { broker_errors: upsets.broker_errors + count, ..upsets });
    }

    /// Gives up one partition, for now or for good, and goes on with the others if that is possible at all.
    fn fail(&mut self, number: i32, error: PipelineError) -> Result<(), PipelineError> {
        if self.settings.partitions.is_some() || !error.is_of_one_partition() {
            return Err(error);
        }
        if self.owned.remove(&number).is_some() {
            self.given_up.push(number);
        }
        if let PipelineError::Store(StoreError::TakenOver { .. }) = error {
            // This member was asleep, and the group will say that another has the partition; or somebody was told to
            // take it. It is taken back when it is free for longer than a new owner needs to lock it.
            tracing::warn!("{error}");
            self.awaited.insert(number, Awaited { from: Instant::now() + TAKE_BACK_AFTER, force: None });
        } else {
            tracing::error!("partition {number} is left alone: {error}");
            self.source.memory.failures.borrow_mut().insert(number, error);
        }
        Ok(())
    }

    fn answer(&mut self, event: RebalanceEvent) -> Result<(), PipelineError> {
        tracing::info!(?event, "the group rebalances");
        self.source.memory.upsets.update(|upsets| Upsets { rebalances: upsets.rebalances + 1, ..upsets });
        self.finish_writing()?;
        match event {
            RebalanceEvent::Assigned(partitions) => {
                let from = Instant::now();
                let force = if self.take_over { Duration::ZERO } else { self.settings.handover_timeout };
                let awaited = Awaited { from, force: from.checked_add(force) };
                self.awaited.extend(partitions.iter().map(|&partition| (partition, awaited)));
                // The rebalance goes on; the partitions are added as they are taken.
                self.consumer.add(&[])?;
            }
            RebalanceEvent::Revoked(partitions) => {
                self.save(Instant::now())?;
                self.let_go(&partitions)?;
            }
            RebalanceEvent::Lost(partitions) => self.let_go(&partitions)?,
        }
        Ok(())
    }

    /// Releases partitions, then lets the rebalance go on.
    fn let_go(&mut self, partitions: &[i32]) -> Result<(), PipelineError> {
        self.awaited.retain(|partition, _| !partitions.contains(partition));
        self.source.memory.cut.borrow_mut().retain(|partition, _| !partitions.contains(partition));
        self.source.memory.progress.borrow_mut().retain(|partition, _| !partitions.contains(partition));
        let mut added = partitions.to_vec();
        added.retain(|partition| self.owned.remove(partition).is_some() || self.given_up.contains(partition));
        self.given_up.retain(|partition| !added.contains(partition));
        Ok(self.consumer.remove(&added)?)
    }

    /// Takes what the group assigned, as soon as its former owner has let go of it, or the time for that is
    /// over: the group's word outranks the lock. Says whether the log turned out to be another.
    fn take_awaited(&mut self) -> Result<bool, PipelineError> {
        for (number, awaited) in std::mem::take(&mut self.awaited) {
            let now = Instant::now();
            if now < awaited.from {
                self.awaited.insert(number, awaited);
                continue;
            }
            let take_over = awaited.force.is_some_and(|force| now >= force);
            match Partition::take(self.source, number, take_over, self.stop) {
                Ok(Some(partition)) => {
                    match self.consumer.add(&[partition.position()]) {
                        Err(error) if error.is_transient() => return Ok(true),
                        added => added?,
                    }
                    self.owned.insert(number, partition);
                    self.source.memory.failures.borrow_mut().remove(&number);
                    if self.refuse_other_log()?.is_some() {
                        return Ok(true);
                    }
                }
                Ok(None) if self.stop.is_asked() => return Ok(false),
                Ok(None) => return Ok(true),
                Err(PipelineError::Store(StoreError::Held { .. })) => {
                    self.awaited.insert(number, awaited);
                }
                Err(error) => self.fail(number, error)?,
            }
        }
        Ok(false)
    }

    fn write_status(&mut self, now: Instant, is_stopped: bool) -> Result<(), PipelineError> {
        self.finish_writing()?;
        let elapsed = self.since_status(now);
        self.source.memory.status_written.set(Some(now));
        let broker_errors = self.consumer.take_error_count();
        self.note_broker_errors(broker_errors);
        let upsets = self.source.memory.upsets.get();
        let stall_after = self.settings.stall_after + self.settings.checkpoint_every.unwrap_or_default();
        let failures: Vec<(i32, StoreError)> = self
            .owned
            .iter_mut()
            .filter_map(|(&number, partition)| {
                let obstacle = obstacle(&self.source.memory.contact, &self.consumer, number, partition);
                if !matches!(obstacle, Obstacle::Kafka(_)) {
                    partition.look_at(self.consumer.high_watermark(number));
                }
                partition.tell_stall(stall_after, obstacle.cause());
                let board = &self.settings.board;
                Some((number, partition.write_status(elapsed, is_stopped, upsets, obstacle, board).err()?))
            })
            .collect();
        self.settings.board.keep(|partition| self.owned.contains_key(&partition));
        failures.into_iter().try_for_each(|(number, error)| self.fail(number, error.into()))
    }

    /// For lag displays; never read back.
    fn publish_offsets(&mut self) {
        let offsets: Vec<(i32, i64)> = self
            .owned
            .iter_mut()
            .filter_map(|(&number, partition)| Some((number, partition.take_unpublished()?)))
            .collect();
        if !offsets.is_empty() {
            self.consumer.publish_offsets(&offsets);
        }
    }
}

/// Why nothing comes of a partition, the cause that concerns most first.
fn obstacle(contact: &Contact, consumer: &Consumer, number: i32, partition: &Partition) -> Obstacle {
    if let Some(cause) = contact.obstacle() {
        return Obstacle::Kafka(cause);
    }
    let (stable, high) = (consumer.last_stable_offset(number), consumer.high_watermark(number));
    let of_leader = consumer.obstacle(number).map(str::to_owned);
    of_leader.or_else(|| partition.open_transaction(stable, high)).map_or(Obstacle::None, Obstacle::Partition)
}
