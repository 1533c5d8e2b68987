//! consumer → checkpoint → store: batching, handing over, stopping. It adds no rules of its own to what counts.

mod partition;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::kafka::{Admin, Batch, Connection, Consumer, Item, KafkaError, RebalanceEvent, Topic};
use crate::note;
use crate::report::Decoder;
use crate::stop::Stop;
use crate::store::{self, StoreError};
use partition::Partition;

/// Records taken from the client at a time.
const BATCH_RECORDS_MAX: usize = 4096;

/// How long a poll waits for a record; also how soon a wish to stop is seen.
const POLL_MAX: Duration = Duration::from_millis(100);

/// How long the brokers may take to answer a question.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long Kafka may not answer before that is worth a word.
const AWAY_TOLD_AFTER: Duration = Duration::from_secs(4);

/// How often a quiet log is asked whether it is still the same.
const LOG_CHECK_EVERY: Duration = Duration::from_secs(1);

/// How often `status.json` is written.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// How long an offset may lie past the partition's end before it counts as lost: a new leader may lag.
const PAST_END_MAX: Duration = Duration::from_secs(10);

/// At how many looks, one with each status, a partition may stand still before its end is asked for. Twice as many
/// after each time that there was more: over a slow network a fetch may take that long.
const QUIET_LOOKS: u32 = 10;
const QUIET_LOOKS_MAX: u32 = 120;

/// How long to let the brokers settle before the topic is looked at again.
const REOPEN_AFTER: Duration = Duration::from_millis(50);

/// How long to wait before the same records are asked for again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One part in this many of the time goes into checkpoints.
const CHECKPOINT_SHARE: u32 = 20;

/// What to read, where to keep it, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    pub connection: Connection,
    pub topic: String,
    pub dir: PathBuf,
    pub group: String,
    /// These partitions, or those that the group assigns.
    pub partitions: Option<Vec<i32>>,
    /// Take partitions from a living owner at once.
    pub take_over: bool,
    /// How long a partition that the group assigned may still be held by its former owner.
    pub handover_timeout: Duration,
    /// A fixed pace of checkpoints, instead of "as long as they take at most 5 % of the time".
    pub checkpoint_every: Option<Duration>,
    /// Whether DIR may go over to another topic or cluster; its checkpoints are archived.
    pub accept_new_log: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),

    #[error(transparent)]
    Store(#[from] StoreError),

    #[error(
        "topic {topic} has partitions 0 to {}, not {partition}\nhint: name partitions that it has, or none to be assigned some",
        partitions - 1
    )]
    NoSuchPartition { topic: String, partition: i32, partitions: i32 },

    #[error(
        "partition {partition} of {topic}: the checkpoint goes on at offset {offset}, but the log holds offsets {low} to {high} only; nothing was overwritten\nhint: records between are lost to it; move partition-{partition}.json and its rejected file away to count what is left"
    )]
    Gap { topic: String, partition: i32, offset: i64, low: i64, high: i64 },

    #[error(
        "the log of topic {topic} was cut below what has been counted, and may have grown again since; nothing was overwritten ({reason})\nhint: move the checkpoint away to count the log as it is now"
    )]
    Truncated { topic: String, reason: String },

    #[error(
        "{} belongs to topic {theirs}, but this is topic {ours}\nhint: name another --dir", dir.display()
    )]
    OtherLog { dir: PathBuf, theirs: String, ours: String },

    #[error(
        "{}/partition-{partition}.json has no .almanac/{partition}/log.json, so which log it counts is unknown; nothing was overwritten\nhint: move it away to count again, or name another --dir", dir.display()
    )]
    WithoutLog { dir: PathBuf, partition: i32 },
}

impl PipelineError {
    /// Whether the error concerns one partition's files only, so that a group's other partitions can go on.
    fn is_of_one_partition(&self) -> bool {
        match self {
            PipelineError::Store(error) => !matches!(error, StoreError::Io { .. } | StoreError::NoDir { .. }),
            PipelineError::Gap { .. } | PipelineError::WithoutLog { .. } => true,
            _ => false,
        }
    }
}

/// Why a session ended in order.
enum End {
    Stopped,
    /// What has been read since the last save may not be of the log: begin again from the files and from what the
    /// brokers have now.
    Reopen,
}

/// What became of an attempt to make everything durable.
enum Saved {
    Durable,
    /// Nothing was written: the brokers did not say whether the log is still the same.
    Unknown,
    /// Nothing was written, and nothing will be: the records may be of another log.
    LogChanged,
}

/// Keeps the checkpoints until asked to stop.
pub fn run(settings: &Settings, stop: &Stop) -> Result<(), PipelineError> {
    store::prepare(&settings.dir)?;
    let (mut was_cut, mut is_first) = (false, true);
    let (jumps, quiet_looks) = (Jumps::default(), Cell::new(QUIET_LOOKS));
    loop {
        let admin = Admin::new(&settings.connection)?;
        let Some((cluster_id, topic)) = wait_for_topic(settings, &admin, stop)? else { return Ok(()) };
        let source = Source {
            settings,
            admin,
            second_admin: OnceCell::new(),
            cluster_id,
            topic,
            is_recreation_told: Cell::new(false),
            jumps: &jumps,
            quiet_looks: &quiet_looks,
        };
        // Only at first: when this process wakes up later, the living owner may be one that took over from it.
        let take_over = settings.take_over && std::mem::take(&mut is_first);
        match Session::new(&source, stop, take_over)?.run() {
            Ok(End::Stopped) => return Ok(()),
            Ok(End::Reopen) => was_cut = false,
            // A log that was cut is still cut when it is read again, from the durable offset and by a client that
            // knows nothing yet. Only then is it the log's doing and not the client's.
            Err(PipelineError::Truncated { .. }) if !was_cut => was_cut = true,
            Err(error) => return Err(error),
        }
        tracing::debug!("looking at the topic again");
        stop.wait(REOPEN_AFTER);
    }
}

/// Waits until there is a Kafka, and the topic in it. Says once what it waits for.
fn wait_for_topic(
    settings: &Settings,
    admin: &Admin,
    stop: &Stop,
) -> Result<Option<(String, Topic)>, PipelineError> {
    let mut told: Option<&str> = None;
    while !stop.is_asked() {
        let found = admin
            .describe(&settings.topic, ANSWER_MAX)
            .and_then(|topic| topic.map(|topic| Ok((admin.cluster_id(ANSWER_MAX)?, topic))).transpose());
        let (missing, reason) = match found {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => ("topic", String::new()),
            Err(KafkaError::Unreachable { reason, .. }) => ("kafka", reason),
            Err(error) if error.is_transient() => ("kafka", error.to_string()),
            Err(error) => return Err(error.into()),
        };
        if told != Some(missing) {
            told = Some(missing);
            match missing {
                "topic" => tracing::warn!("topic {} is not there yet; waiting for it", settings.topic),
                _ => {
                    let brokers = &settings.connection.brokers;
                    tracing::warn!("no Kafka at {brokers} yet; waiting for it ({reason})");
                }
            }
        }
        stop.wait(POLL_MAX);
    }
    Ok(None)
}

/// The log as it was found at the session's start.
pub(crate) struct Source<'a> {
    settings: &'a Settings,
    admin: Admin,
    /// For a second opinion: a client remembers what it was told once.
    second_admin: OnceCell<Admin>,
    cluster_id: String,
    topic: Topic,
    is_recreation_told: Cell<bool>,
    jumps: &'a Jumps,
    /// At how many looks a partition may stand still, for as long as the process runs.
    quiet_looks: &'a Cell<u32>,
}

/// Where offsets did not follow one another, for as long as the process runs.
///
/// Nothing protects a batch's first offset, or the number of its partition, on the way from the broker, and what comes
/// of a wrong one is a jump, or a step back: records left out, or put where others belong. But a log may have jumps,
/// too, where transactions or compaction left their marks. So a jump is believed at the second look, and since a log
/// with one has many, that is the last look of this kind. Logs that `almanac producer` fills have none.
#[derive(Default)]
struct Jumps {
    seen: RefCell<BTreeSet<(i32, i64, i64)>>,
    is_sparse: Cell<bool>,
}

impl Jumps {
    /// Whether the offset `found` may come where `expected` should.
    fn allow(&self, partition: i32, expected: i64, found: i64) -> bool {
        if found != expected && !self.seen.borrow_mut().insert((partition, expected, found)) {
            self.is_sparse.set(true);
        }
        found == expected || self.is_sparse.get()
    }
}

/// One consumer on one log, until the log is another.
struct Session<'a> {
    source: &'a Source<'a>,
    settings: &'a Settings,
    stop: &'a Stop,
    take_over: bool,
    consumer: Consumer,
    owned: BTreeMap<i32, Partition>,
    /// Assigned by the group, and still held by another process, since when.
    awaited: BTreeMap<i32, Instant>,
    /// The first partition that had to be left alone; the others go on.
    failure: Option<PipelineError>,
    decoder: Decoder,
    pace: Pace,
    log_checked: Instant,
    status_written: Instant,
    away: Option<Away>,
}

impl<'a> Session<'a> {
    fn new(source: &'a Source<'a>, stop: &'a Stop, take_over: bool) -> Result<Self, PipelineError> {
        let settings = source.settings;
        let consumer = Consumer::new(&settings.connection, &settings.group, &settings.topic)?;
        let now = Instant::now();
        Ok(Session {
            source,
            settings,
            stop,
            take_over,
            consumer,
            owned: BTreeMap::new(),
            awaited: BTreeMap::new(),
            failure: None,
            decoder: Decoder::default(),
            pace: Pace::new(settings.checkpoint_every, now),
            log_checked: now,
            status_written: now,
            away: None,
        })
    }

    fn run(mut self) -> Result<End, PipelineError> {
        if let Some(end) = self.begin()? {
            return Ok(end);
        }
        let mut batch = Batch::with_capacity(BATCH_RECORDS_MAX);
        let end = loop {
            if self.stop.is_asked() {
                self.save(Instant::now())?;
                self.write_status(Instant::now())?;
                break End::Stopped;
            }
            if let Some(end) = self.step(&mut batch)? {
                break end;
            }
        };
        drop(batch);
        self.publish_offsets();
        // Locks go before the group hears of it, so that whoever gets the partitions next can take them.
        self.owned.clear();
        drop(self.consumer);
        match (end, self.failure) {
            (End::Stopped, Some(failure)) => Err(failure),
            (end, _) => Ok(end),
        }
    }

    /// Takes the partitions named, all of them before the first is read; or joins the group.
    fn begin(&mut self) -> Result<Option<End>, PipelineError> {
        let Some(partitions) = &self.settings.partitions else {
            self.consumer.subscribe()?;
            return Ok(None);
        };
        let has = self.source.topic.partitions;
        if let Some(&partition) = partitions.iter().find(|partition| **partition >= has) {
            let topic = self.settings.topic.clone();
            return Err(PipelineError::NoSuchPartition { topic, partition, partitions: has });
        }
        let mut positions = Vec::new();
        for &partition in partitions {
            let Some(taken) = Partition::take(self.source, partition, self.take_over, self.stop)? else {
                return Ok(Some(if self.stop.is_asked() { End::Stopped } else { End::Reopen }));
            };
            positions.push(taken.position());
            self.owned.insert(partition, taken);
        }
        self.consumer.assign(&positions)?;
        Ok(None)
    }

    /// One turn: answer the group, take what has come, make it durable when that is due.
    fn step(&mut self, batch: &mut Batch) -> Result<Option<End>, PipelineError> {
        for event in self.consumer.take_rebalances() {
            self.answer(event)?;
        }
        if !self.awaited.is_empty() && self.take_awaited()? {
            return Ok(Some(End::Reopen));
        }
        self.consumer.poll(batch, self.patience());
        for item in batch.iter() {
            if let Some(end) = self.apply(item)? {
                return Ok(Some(end));
            }
        }
        let now = Instant::now();
        let is_due = self.pace.is_due(now) || self.owned.values().any(Partition::is_full);
        let is_other_log = if self.is_dirty() && is_due {
            matches!(self.save(now)?, Saved::LogChanged)
        } else {
            now - self.log_checked >= LOG_CHECK_EVERY && self.is_same_log() == Some(false)
        };
        if is_other_log {
            return Ok(Some(End::Reopen));
        }
        if now - self.status_written >= STATUS_EVERY {
            self.write_status(now)?;
            self.publish_offsets();
            self.source.admin.serve();
            if self.is_stuck() {
                return Ok(Some(End::Reopen));
            }
        }
        Ok(None)
    }

    /// How long the next poll may wait.
    fn patience(&self) -> Duration {
        if self.is_dirty() { self.pace.until_due(Instant::now()).min(POLL_MAX) } else { POLL_MAX }
    }

    fn is_dirty(&self) -> bool {
        self.owned.values().any(Partition::is_dirty)
    }

    /// Takes one thing that a poll brought; ends the session where that puts all that follows in doubt.
    fn apply(&mut self, item: Item<'_>) -> Result<Option<End>, PipelineError> {
        match item {
            Item::Record(record) => {
                // What comes of a partition that was just given up is not ours to count.
                if let Some(partition) = self.owned.get_mut(&record.partition) {
                    if !self.source.jumps.allow(record.partition, partition.next_offset(), record.offset) {
                        return Ok(Some(look_again(
                            record.partition,
                            partition.next_offset(),
                            record.offset,
                        )));
                    }
                    partition.apply(&record, &mut self.decoder);
                }
            }
            Item::EndOfPartition { partition: number, next_offset } => {
                if let Some(partition) = self.owned.get_mut(&number) {
                    if !self.source.jumps.allow(number, partition.next_offset(), next_offset) {
                        return Ok(Some(look_again(number, partition.next_offset(), next_offset)));
                    }
                    partition.skip_to(next_offset);
                }
            }
            Item::Failed { error, .. } if error.is_transient() => {
                tracing::debug!(%error, "goes on by itself");
            }
            Item::Failed { error, .. } if error.is_log_doubtful() => return self.reopen(&error).map(Some),
            Item::Failed { error, .. } => return Err(error.into()),
        }
        Ok(None)
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
        let admin = &self.source.admin;
        let topic = &self.settings.topic;
        let (quiet_looks, is_answering) = (self.source.quiet_looks, self.away.is_none());
        self.owned.iter_mut().any(|(&number, partition)| {
            let is_quiet = partition.quiet_looks() >= quiet_looks.get() && is_answering;
            let is_stuck = is_quiet
                && match admin.watermarks(topic, number, ANSWER_MAX) {
                    Ok((_, high)) => high > partition.next_offset(),
                    Err(error) => error.is_of_epoch(),
                };
            if is_stuck {
                let offset = partition.next_offset();
                tracing::warn!("nothing comes of partition {number} from offset {offset} on; asking anew");
                quiet_looks.set((quiet_looks.get() * 2).min(QUIET_LOOKS_MAX));
            }
            // Who has been away may take some time to be heard from again.
            if is_quiet || !is_answering {
                partition.heard();
            }
            is_stuck
        })
    }

    /// Goes back to what is durable. What was read since may be of another log, or have a hole.
    fn reopen(&mut self, doubt: &KafkaError) -> Result<End, PipelineError> {
        if self.is_same_log() == Some(true) && !doubt.is_unknown_topic() {
            if doubt.is_truncation() {
                let topic = self.settings.topic.clone();
                return Err(PipelineError::Truncated { topic, reason: doubt.to_string() });
            }
            tracing::warn!("{doubt}; going back to the checkpoint");
            self.stop.wait(RETRY_AFTER);
        }
        Ok(End::Reopen)
    }

    /// Makes everything durable that has been taken, if the log is still the one it was taken from.
    fn save(&mut self, now: Instant) -> Result<Saved, PipelineError> {
        if !self.is_dirty() {
            return Ok(Saved::Durable);
        }
        match self.is_same_log() {
            None => {
                self.pace.spent(now, ANSWER_MAX / CHECKPOINT_SHARE);
                return Ok(Saved::Unknown);
            }
            Some(false) => return Ok(Saved::LogChanged),
            Some(true) => {}
        }
        match self.past_the_end() {
            Ok(None) => {}
            Ok(Some(doubt)) => {
                tracing::warn!("{doubt}; going back to the checkpoint");
                self.stop.wait(RETRY_AFTER);
                return Ok(Saved::LogChanged);
            }
            Err(error) => {
                tracing::debug!(%error, "no checkpoint yet");
                self.pace.spent(now, ANSWER_MAX / CHECKPOINT_SHARE);
                return Ok(Saved::Unknown);
            }
        }
        for (&number, partition) in &self.owned {
            let Some(epoch) = partition.new_leader_epoch() else { continue };
            match self.source.admin.leader_epoch(&self.settings.topic, number, ANSWER_MAX) {
                // Not covered by the records' checksum. In `log.json`, an epoch that there never was would make the
                // next start take the log for one that was cut.
                Ok(Some(last)) if epoch > last => {
                    tracing::info!(
                        "partition {number} gave leader epoch {epoch}, past {last}; looking again"
                    );
                    return Ok(Saved::LogChanged);
                }
                Ok(_) => {}
                Err(error) if error.is_of_epoch() => return Ok(Saved::LogChanged),
                Err(error) => {
                    tracing::debug!(%error, "no checkpoint yet");
                    self.pace.spent(now, ANSWER_MAX / CHECKPOINT_SHARE);
                    return Ok(Saved::Unknown);
                }
            }
        }
        let failures: Vec<(i32, StoreError)> = self
            .owned
            .iter_mut()
            .filter_map(|(&number, partition)| Some((number, partition.save().err()?)))
            .collect();
        self.pace.spent(Instant::now(), now.elapsed());
        for (number, error) in failures {
            self.fail(number, error.into())?;
        }
        Ok(Saved::Durable)
    }

    /// Whether the topic of this name is still the one that the session began with; unknown while no broker
    /// answers. Must be asked after the last record that the answer is to hold for has arrived.
    fn is_same_log(&mut self) -> Option<bool> {
        let asked = Instant::now();
        // Not by the consumer's own connection: there an answer waits behind the fetch that waits for records.
        let answer = self.source.admin.describe(&self.settings.topic, ANSWER_MAX);
        self.log_checked = Instant::now();
        match answer {
            Ok(topic) => {
                if self.away.take().is_some_and(|away| away.is_told) {
                    note!("Kafka answers again");
                }
                Some(topic.is_some_and(|topic| topic.id == self.source.topic.id))
            }
            Err(error) => {
                let away = self.away.get_or_insert(Away { since: asked, is_told: false });
                if !away.is_told && away.since.elapsed() >= AWAY_TOLD_AFTER {
                    away.is_told = true;
                    let reason = self.consumer.take_error_text().unwrap_or_else(|| error.to_string());
                    tracing::warn!("Kafka does not answer ({reason}); waiting for it");
                }
                None
            }
        }
    }

    /// Gives up one partition, and goes on with the others if that is possible at all.
    fn fail(&mut self, number: i32, error: PipelineError) -> Result<(), PipelineError> {
        if self.settings.partitions.is_some() || !error.is_of_one_partition() {
            return Err(error);
        }
        tracing::error!("partition {number} is left alone: {error}");
        if self.owned.remove(&number).is_some() {
            self.consumer.remove(&[number])?;
        }
        self.failure.get_or_insert(error);
        Ok(())
    }

    fn answer(&mut self, event: RebalanceEvent) -> Result<(), PipelineError> {
        tracing::info!(?event, "the group rebalances");
        match event {
            RebalanceEvent::Assigned(partitions) => {
                let now = Instant::now();
                self.awaited.extend(partitions.iter().map(|&partition| (partition, now)));
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
        let mut added = partitions.to_vec();
        added.retain(|partition| self.owned.remove(partition).is_some());
        Ok(self.consumer.remove(&added)?)
    }

    /// Takes what the group assigned, as soon as its former owner has let go of it, or the time for that is
    /// over: the group's word outranks the lock. Says whether the log turned out to be another.
    fn take_awaited(&mut self) -> Result<bool, PipelineError> {
        for (number, since) in std::mem::take(&mut self.awaited) {
            let take_over = self.take_over || since.elapsed() >= self.settings.handover_timeout;
            match Partition::take(self.source, number, take_over, self.stop) {
                Ok(Some(partition)) => {
                    self.consumer.add(&[partition.position()])?;
                    self.owned.insert(number, partition);
                }
                Ok(None) if self.stop.is_asked() => return Ok(false),
                Ok(None) => return Ok(true),
                Err(PipelineError::Store(StoreError::Held { .. })) => {
                    self.awaited.insert(number, since);
                }
                Err(error) => self.fail(number, error)?,
            }
        }
        Ok(false)
    }

    fn write_status(&mut self, now: Instant) -> Result<(), PipelineError> {
        let elapsed = now - self.status_written;
        self.status_written = now;
        let failures: Vec<(i32, StoreError)> = self
            .owned
            .iter_mut()
            .filter_map(|(&number, partition)| {
                let high_watermark = self.consumer.high_watermark(number);
                Some((number, partition.write_status(high_watermark, elapsed).err()?))
            })
            .collect();
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

/// Ends the session, so that the next one reads again what came where another offset should have.
fn look_again(partition: i32, expected: i64, found: i64) -> End {
    tracing::info!("{}; looking again", KafkaError::jump(partition, expected, found));
    End::Reopen
}

/// Kafka does not answer.
struct Away {
    since: Instant,
    is_told: bool,
}

/// When the next checkpoint is due: at once, as long as checkpoints take a small share of the time.
struct Pace {
    every: Option<Duration>,
    due: Instant,
}

impl Pace {
    fn new(every: Option<Duration>, now: Instant) -> Self {
        Pace { every, due: now + every.unwrap_or_default() }
    }

    fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    fn until_due(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now)
    }

    /// A checkpoint that took `cost` has ended.
    fn spent(&mut self, now: Instant, cost: Duration) {
        self.due = now + self.every.unwrap_or(cost * (CHECKPOINT_SHARE - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_take_a_twentieth_of_the_time() {
        let start = Instant::now();
        let mut pace = Pace::new(None, start);
        assert!(pace.is_due(start), "the first one is due at once");
        pace.spent(start, Duration::from_millis(10));
        assert!(!pace.is_due(start + Duration::from_millis(189)));
        assert!(pace.is_due(start + Duration::from_millis(190)));
    }

    #[test]
    fn a_fixed_pace_does_not_depend_on_the_cost() {
        let start = Instant::now();
        let every = Duration::from_secs(5);
        let mut pace = Pace::new(Some(every), start);
        assert!(!pace.is_due(start));
        pace.spent(start, Duration::from_millis(900));
        assert_eq!(pace.until_due(start), every);
    }
}
