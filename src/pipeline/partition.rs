//! One partition in a session: its claim, its checkpoint, and what has been taken since the last save.

use std::time::{Duration, Instant};

use super::memory::{AWAY_TOLD_AFTER, Jumps, Upsets};
use super::session::End;
use super::writing::{Write, Written};
use super::{ANSWER_MAX, OnGap, PipelineError, Source};
use crate::checkpoint::{Checkpoint, Outcome};
use crate::kafka::{Admin, KafkaError, Position, Records, Refused, StartAt};
use crate::note;
use crate::report::{Decoder, RejectReason};
use crate::status::{Board, Durable, State, Status};
use crate::stop::Stop;
use crate::store::{self, Claim, Gap, LeaderEpoch, Loaded, Log, Rejected, StoreError};

/// How long an offset may lie past the partition's end before it counts as lost: a new leader may lag.
const PAST_END_MAX: Duration = Duration::from_secs(10);

/// How long a partition's leader may take to confirm its leader epochs, while the other partitions wait.
const LEADER_ANSWER_MAX: Duration = Duration::from_secs(1);

/// Rejected records kept in memory, in bytes, before a checkpoint is due whatever the pace.
const REJECTED_BYTES_MAX: usize = 8 << 20;

pub(super) struct Partition {
    number: i32,
    /// Nothing while a checkpoint is on its way.
    claim: Option<Claim>,
    log: Log,
    checkpoint: Checkpoint,
    is_dirty: bool,
    is_log_dirty: bool,
    /// Whether what was passed last held no record, so that its leader epoch is not known.
    has_skipped: bool,
    rejected: Vec<Rejected>,
    rejected_bytes: usize,
    tally: Tally,
    progress: Progress,
    /// What the checkpoint's file holds.
    durable: Durable,
    unpublished: Option<i64>,
    /// How often it was looked at, and the offset then.
    quiet: (u32, i64),
    /// Its leader did not confirm the leader epochs.
    is_held_back: bool,
    /// A batch that is to be warned of.
    odd_batch: Option<i64>,
    /// How many rejected records the file held when the partition was taken.
    rejected_before: u64,
    /// The first record that was rejected since then, until it is told.
    first_rejected: Option<(i64, RejectReason)>,
    /// The batch that can't be read, and how often that was seen.
    damage: Option<(i64, u32)>,
}

/// Whether what there is to count becomes durable.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    durable_offset: i64,
    high_watermark: Option<i64>,
    /// When a checkpoint last moved the offset, or there was none to be made.
    last: Instant,
    is_stalled: bool,
}

impl Progress {
    /// Where a session before this one has left the partition at the same offset, time has gone on since.
    fn from(durable_offset: i64, known: Option<Progress>) -> Self {
        let same = known.filter(|known| known.durable_offset == durable_offset);
        Progress {
            durable_offset,
            high_watermark: None,
            last: same.map_or_else(Instant::now, |known| known.last),
            is_stalled: known.is_some_and(|known| known.is_stalled),
        }
    }

    fn lag(&self) -> Option<i64> {
        self.high_watermark.map(|high| high.saturating_sub(self.durable_offset).max(0))
    }
}

/// What the status says beside the checkpoint.
#[derive(Default)]
struct Tally {
    counted: u64,
    duplicates: u64,
    rejected: u64,
    /// Records of all outcomes when the last status was written.
    records_reported: u64,
    last_durable: Option<jiff::Timestamp>,
    checkpoint_seconds: f64,
}

impl Partition {
    /// Claims a partition and finds where to go on. `None`: the log is no longer the session's, or the process is
    /// to stop.
    pub(super) fn take(
        source: &Source,
        number: i32,
        take_over: bool,
        stop: &Stop,
    ) -> Result<Option<Self>, PipelineError> {
        let (mut claim, loaded) = Claim::take(source.home, number, take_over)?;
        let Some((mut log, checkpoint)) = go_on(source, &mut claim, loaded, stop)? else { return Ok(None) };
        // Noted before the checkpoint that was to pass them, which then was not written; or of a part that was cut off.
        let noted = log.leader_epochs.len();
        log.leader_epochs.retain(|epoch| epoch.first_offset < checkpoint.offset);
        let is_log_dirty = log.leader_epochs.len() < noted;
        let known = source.memory.progress.borrow_mut().remove(&number);
        let progress = Progress::from(checkpoint.offset, known);
        let rejected_before = store::count_rejected(&source.settings.dir, number)?;
        let durable = store::durable_of(&source.settings.dir, &checkpoint);
        let partition = Partition::new(claim, log, checkpoint);
        Ok(Some(Partition { is_log_dirty, progress, rejected_before, durable, ..partition }))
    }

    fn new(claim: Claim, log: Log, checkpoint: Checkpoint) -> Self {
        Partition {
            number: claim.partition(),
            claim: Some(claim),
            log,
            unpublished: Some(checkpoint.offset),
            progress: Progress::from(checkpoint.offset, None),
            durable: Durable::of(&checkpoint, 0, None),
            quiet: (0, checkpoint.offset),
            is_held_back: false,
            odd_batch: None,
            damage: None,
            rejected_before: 0,
            first_rejected: None,
            checkpoint,
            is_dirty: false,
            is_log_dirty: false,
            has_skipped: false,
            rejected: Vec::new(),
            rejected_bytes: 0,
            tally: Tally::default(),
        }
    }

    /// Where reading goes on.
    pub(super) fn position(&self) -> Position {
        Position {
            partition: self.number,
            start: StartAt::Offset {
                next_offset: self.checkpoint.offset,
                leader_epoch: self.log.epoch_before(self.checkpoint.offset),
            },
        }
    }

    pub(super) fn next_offset(&self) -> i64 {
        self.checkpoint.offset
    }

    /// The next offset to read, as the file has it.
    pub(super) fn durable_offset(&self) -> i64 {
        self.progress.durable_offset
    }

    /// Whether a leader epoch has been passed that `log.json` does not have, or may have been.
    pub(super) fn has_new_leader_epoch(&self) -> bool {
        self.is_log_dirty || self.has_skipped
    }

    /// Those that `log.json` does not have.
    pub(super) fn new_leader_epochs(&self) -> impl Iterator<Item = LeaderEpoch> {
        let durable = self.progress.durable_offset;
        self.log.leader_epochs.iter().filter(move |epoch| epoch.first_offset >= durable).copied()
    }

    /// The leader epoch of the last record that the file has passed.
    pub(super) fn durable_epoch(&self) -> Option<i32> {
        self.log.epoch_before(self.progress.durable_offset)
    }

    /// Takes in the leader epoch of the log's end. Says whether none that was read is past it.
    ///
    /// Of what holds no record it is noted, too: else the broker would say at the next start that the last epoch noted
    /// ends before the offset, and the log would be taken for one that was cut. One that is too late does no harm there.
    pub(super) fn note_last_leader_epoch(&mut self, last: i32) -> bool {
        let noted = self.log.leader_epochs.last().map(|noted| noted.epoch);
        if self.has_skipped && noted.is_none_or(|noted| noted < last) {
            let first_offset = (self.checkpoint.offset - 1).max(0);
            self.log.leader_epochs.push(LeaderEpoch { epoch: last, first_offset });
            self.is_log_dirty = true;
        }
        noted.is_none_or(|noted| noted <= last)
    }

    /// Takes one record after the other, up to one whose offset puts all that follows in doubt.
    pub(super) fn apply(
        &mut self,
        mut records: Records,
        jumps: &Jumps,
        decoder: &mut Decoder,
    ) -> Option<End> {
        let (number, is_contiguous) = (records.partition, records.is_contiguous);
        let last_epoch = self.log.leader_epochs.last().map(|last| last.epoch);
        // It begins with the first of these records that is not passed already.
        let mut new_epoch = records.leader_epoch.filter(|epoch| last_epoch.is_none_or(|last| last < *epoch));
        for record in records.by_ref() {
            let record = match record {
                Ok(record) => record,
                Err(refused) => {
                    self.set_aside(&refused);
                    continue;
                }
            };
            if !is_contiguous {
                let doubt = jumps.doubt(number, self.checkpoint.offset, record.offset);
                if doubt.is_some() {
                    return doubt;
                }
            }
            let Ok(outcome) = self.checkpoint.apply(record.offset, record.value, decoder) else { continue };
            self.is_dirty = true;
            self.has_skipped = false;
            match outcome {
                Outcome::Counted => self.tally.counted += 1,
                Outcome::Duplicate => self.tally.duplicates += 1,
                Outcome::Rejected(reason) => self.reject(record.offset, reason, record.key, record.value),
            }
            if let Some(epoch) = new_epoch {
                new_epoch = None;
                self.begin_epoch(LeaderEpoch { epoch, first_offset: record.offset });
            }
        }
        self.odd_batch = records.odd_batch().or(self.odd_batch);
        None
    }

    /// Keeps a record that its reader refused, and passes it.
    #[cold]
    fn set_aside(&mut self, refused: &Refused) {
        match refused.passed_to() {
            Some(next_offset) if self.checkpoint.skip_to(next_offset) => self.has_skipped = true,
            Some(_) => return,
            None => {}
        }
        self.is_dirty = true;
        if let Refused::Unreadable { offset, next_offset } = refused {
            tracing::warn!(
                "partition {}: the records from offset {offset} to {} can't be decoded; continuing after them",
                self.number,
                next_offset - 1
            );
        }
        self.keep_rejected(Rejected::of(refused));
    }

    /// Says how often the batch at this offset could not be read.
    pub(super) fn note_damage(&mut self, offset: i64) -> u32 {
        let before = self.damage.filter(|(at, _)| *at == offset).map_or(0, |(_, times)| times);
        self.damage = Some((offset, before + 1));
        before + 1
    }

    /// Whether the next batch can't be read.
    pub(super) fn is_damaged(&self) -> bool {
        self.damage.is_some_and(|(offset, _)| offset >= self.checkpoint.offset)
    }

    /// Passes a batch that can't be read. The gap is noted before the checkpoint that passes it.
    pub(super) fn leave_out(&mut self, gap: Gap) {
        if self.checkpoint.skip_to(gap.to) {
            self.log.gaps.pop_if(|noted| noted.from == gap.from);
            self.log.gaps.push(gap);
            (self.is_dirty, self.is_log_dirty, self.has_skipped) = (true, true, true);
        }
    }

    /// The first offset of a batch whose records carry other offsets than its header gives them, once.
    pub(super) fn take_odd_batch(&mut self) -> Option<i64> {
        self.odd_batch.take()
    }

    #[cold]
    fn reject(&mut self, offset: i64, reason: RejectReason, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.keep_rejected(Rejected::new(offset, reason, key, value));
    }

    fn keep_rejected(&mut self, rejected: Rejected) {
        self.tally.rejected += 1;
        self.first_rejected.get_or_insert((rejected.offset, rejected.reason));
        self.rejected_bytes += rejected.size();
        self.rejected.push(rejected);
    }

    #[cold]
    fn begin_epoch(&mut self, epoch: LeaderEpoch) {
        self.log.leader_epochs.push(epoch);
        self.is_log_dirty = true;
    }

    pub(super) fn skip_to(&mut self, next_offset: i64) {
        if self.checkpoint.skip_to(next_offset) {
            self.is_dirty = true;
            self.has_skipped = true;
        }
    }

    /// Whether the offset read lies past what the brokers say they have: then it came from damaged bytes, which the
    /// records' checksum does not cover. Where nothing has been read yet, the offset may be a former owner's, and
    /// what the client knows of the end older than that.
    pub(super) fn is_past(&self, high_watermark: i64) -> bool {
        self.is_dirty && self.checkpoint.offset > high_watermark
    }

    /// The first record that was rejected, once.
    pub(super) fn take_first_rejected(&mut self) -> Option<(i64, RejectReason)> {
        (self.tally.rejected > 0).then(|| self.first_rejected.take()).flatten()
    }

    /// Why nothing comes, as the log itself shows: an open transaction. It is named if it is not over in a moment.
    pub(super) fn open_transaction(&self, stable: Option<i64>, high: Option<i64>) -> Option<String> {
        const MOMENT: Duration = Duration::from_secs(2);
        let (stable, high) = (stable?, high?);
        let is_held = stable < high && self.checkpoint.offset >= stable;
        (is_held && self.progress.last.elapsed() >= MOMENT).then(|| {
            format!(
                "an open transaction holds back the records from offset {stable} on (the log ends at {high})"
            )
        })
    }

    /// At how many looks, with this one, the offset has been the same.
    pub(super) fn quiet_looks(&mut self) -> u32 {
        let (looks, offset) = self.quiet;
        self.quiet = (if offset == self.checkpoint.offset { looks + 1 } else { 0 }, self.checkpoint.offset);
        self.quiet.0
    }

    /// Counts the looks from here.
    pub(super) fn heard(&mut self) {
        self.quiet.0 = 0;
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Whether a checkpoint is due for the memory that waits for it.
    pub(super) fn is_full(&self) -> bool {
        self.rejected_bytes >= REJECTED_BYTES_MAX
    }

    /// Gives away what has been taken and is not durable, to be written while the fold goes on. Nothing where there is
    /// nothing, or the former checkpoint is still on its way.
    pub(super) fn hand_over(&mut self) -> Option<Write> {
        if !self.is_dirty || self.is_held_back {
            return None;
        }
        let claim = self.claim.take()?;
        self.is_dirty = false;
        self.rejected_bytes = 0;
        Some(Write {
            claim,
            checkpoint: self.checkpoint.clone(),
            rejected: std::mem::take(&mut self.rejected),
            log: std::mem::take(&mut self.is_log_dirty).then(|| self.log.clone()),
        })
    }

    /// Whether there is to be no checkpoint for now.
    pub(super) fn hold_back(&mut self, is_held_back: bool) {
        self.is_held_back = is_held_back;
    }

    /// Takes in what became of it. Says how many bytes the checkpoint has.
    pub(super) fn take_back(&mut self, written: Written) -> Result<u64, StoreError> {
        let Written { claim, durable, took, at } = written;
        self.claim = Some(claim);
        self.durable = durable?;
        self.unpublished = Some(self.durable.offset);
        self.tally.last_durable = Some(timestamp(at));
        self.tally.checkpoint_seconds = took.as_secs_f64();
        self.progress.durable_offset = self.durable.offset;
        self.progress.last = at;
        Ok(self.durable.bytes)
    }

    /// What the session leaves for the next one.
    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// Takes in up to where the log can be read. Two ways of asking may tell of different moments.
    pub(super) fn look_at(&mut self, high_watermark: Option<i64>) {
        let progress = &mut self.progress;
        progress.high_watermark = progress.high_watermark.max(high_watermark);
        if progress.lag() == Some(0) {
            progress.last = Instant::now();
        }
    }

    /// Says once that a partition has stalled, and once that it goes on.
    pub(super) fn tell_stall(&mut self, stall_after: Duration, cause: Option<&str>) {
        let (number, progress) = (self.number, &mut self.progress);
        let lag = progress.lag().unwrap_or(0);
        let is_stalled = lag > 0 && progress.last.elapsed() >= stall_after;
        match (std::mem::replace(&mut progress.is_stalled, is_stalled), is_stalled) {
            (false, true) => tracing::warn!(
                "partition {number} has stalled at offset {}, lag {lag}: no checkpoint for {} s{}",
                progress.durable_offset,
                progress.last.elapsed().as_secs(),
                cause.map_or(String::new(), |cause| format!("; {cause}"))
            ),
            (true, false) => note!("partition {number} goes on, at offset {}", progress.durable_offset),
            _ => {}
        }
    }

    /// The durable offset, if the group has not heard of it yet.
    pub(super) fn take_unpublished(&mut self) -> Option<i64> {
        self.unpublished.take()
    }

    /// Shows the status on the board, then writes it. Not while its checkpoint is in flight.
    pub(super) fn write_status(
        &mut self,
        elapsed: Duration,
        is_stopped: bool,
        upsets: Upsets,
        obstacle: Obstacle,
        board: &Board,
    ) -> Result<(), StoreError> {
        let Some(claim) = &mut self.claim else { return Ok(()) };
        let last_progress = rfc3339(timestamp(self.progress.last));
        let tally = &mut self.tally;
        let records = tally.counted + tally.duplicates + tally.rejected;
        let fresh = records - std::mem::replace(&mut tally.records_reported, records);
        // While Kafka is away, nobody knows how far the log goes.
        let is_known = !matches!(obstacle, Obstacle::Kafka(_));
        let status = Status {
            partition: self.number,
            topic: self.log.topic.clone(),
            state: match (&obstacle, self.progress.is_stalled) {
                _ if is_stopped => State::Stopped,
                (Obstacle::Kafka(_), _) => State::Waiting,
                (_, true) => State::Stalled,
                (Obstacle::Partition(_), false) => State::Waiting,
                (Obstacle::None, false) => State::Running,
            },
            offset: self.progress.durable_offset,
            position: self.checkpoint.offset,
            high_watermark: self.progress.high_watermark.filter(|_| is_known),
            lag: self.progress.lag().filter(|_| is_known),
            rate: fresh as f64 / elapsed.as_secs_f64().max(0.001),
            counted: tally.counted,
            duplicates: tally.duplicates,
            rejected: tally.rejected,
            rejected_total: Some(self.rejected_before + tally.rejected - self.rejected.len() as u64),
            days: self.durable.days,
            newest: self.durable.newest.map(|date| date.to_string()),
            last_durable: tally.last_durable.map(rfc3339),
            stalled_since: self.progress.is_stalled.then(|| last_progress.clone()),
            last_progress: Some(last_progress),
            checkpoint_seconds: tally.checkpoint_seconds,
            checkpoint_bytes: self.durable.bytes,
            rebalances: upsets.rebalances,
            broker_errors: upsets.broker_errors,
            waiting_for: obstacle.cause().filter(|_| !is_stopped).map(str::to_owned),
            owner: claim.owner().clone(),
            written: rfc3339(jiff::Timestamp::now()),
        };
        board.show(&status, self.durable);
        claim.set_status(&status)
    }
}

/// Why nothing comes of a partition.
pub(super) enum Obstacle {
    None,
    /// No broker answers.
    Kafka(String),
    /// The partition's leader does not answer, or an open transaction holds back its records.
    Partition(String),
}

impl Obstacle {
    pub(super) fn cause(&self) -> Option<&str> {
        match self {
            Obstacle::None => None,
            Obstacle::Kafka(cause) | Obstacle::Partition(cause) => Some(cause),
        }
    }
}

/// The time of day that it was then.
fn timestamp(then: Instant) -> jiff::Timestamp {
    let ago = jiff::SignedDuration::try_from(then.elapsed()).unwrap_or_default();
    jiff::Timestamp::now().checked_sub(ago).unwrap_or_default()
}

fn rfc3339(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Holds what was found in DIR against the log as it is now: goes on, begins, begins again, or refuses.
fn go_on(
    source: &Source,
    claim: &mut Claim,
    loaded: Loaded,
    stop: &Stop,
) -> Result<Option<(Log, Checkpoint)>, PipelineError> {
    let settings = source.settings;
    let number = claim.partition();
    let Some((low, mut high)) = watermarks(source, number, stop)? else { return Ok(None) };
    let found = Log {
        cluster_id: source.cluster_id.clone(),
        topic: settings.topic.clone(),
        topic_id: source.topic.id.clone(),
        partitions: source.topic.partitions,
        first_offset: low,
        leader_epochs: Vec::new(),
        gaps: Vec::new(),
        is_starting_over: false,
    };
    let is_other = |log: &Log| log.cluster_id != found.cluster_id || log.topic != found.topic;
    let is_other = loaded.log.as_ref().is_some_and(is_other);
    let is_adopted = loaded.log.is_none();
    let is_as_before = |log: &Log| {
        (&log.topic_id, log.partitions) == (&found.topic_id, found.partitions) && !log.is_starting_over
    };
    let is_plain = loaded.checkpoint.is_some() && !is_other && loaded.log.as_ref().is_some_and(is_as_before);
    if !is_plain && !source.is_certain(&found, number, stop)? {
        return Ok(None);
    }
    if let Some(log) = loaded.log.as_ref().filter(|_| is_other && !settings.accept_new_log) {
        let name = |log: &Log| format!("{} of cluster {}", log.topic, log.cluster_id);
        return Err(PipelineError::OtherLog {
            dir: settings.dir.clone(),
            theirs: name(log),
            ours: name(&found),
        });
    }
    let (mut log, mut checkpoint) = match loaded {
        Loaded { checkpoint: None, log } => {
            let checkpoint = claim.start_over(log.as_ref(), &found)?;
            return Ok(Some((found, checkpoint)));
        }
        Loaded { log: Some(log), checkpoint: Some(checkpoint) } => (log, checkpoint),
        // Where its counting began is not known; if that is not where offsets begin, `verify` will say so.
        Loaded { log: None, checkpoint: Some(checkpoint) } if settings.adopt => {
            (Log { first_offset: 0, ..found.clone() }, checkpoint)
        }
        Loaded { log: None, checkpoint: Some(_) } => {
            return Err(PipelineError::WithoutLog { dir: settings.dir.clone(), partition: number });
        }
    };
    if is_other || log.topic_id != found.topic_id {
        // Once for all partitions of this process.
        if !source.is_recreation_told.replace(true) {
            let what = if is_other { "is another topic than before" } else { "has been created again" };
            tracing::warn!(
                "topic {} {what}; what was counted of the former one is in archive/{}",
                found.topic,
                log.topic_id
            );
        }
        let checkpoint = claim.start_over(Some(&log), &found)?;
        source.memory.cut.borrow_mut().remove(&number);
        return Ok(Some((found, checkpoint)));
    }
    let cut = source.memory.cut.borrow().get(&number).cloned();
    match cut.filter(|cut| cut.offset == checkpoint.offset).and_then(|cut| cut.confirmed) {
        Some(reason) if settings.on_gap != OnGap::Restart => {
            return Err(PipelineError::Truncated { topic: found.topic, partition: number, reason });
        }
        Some(_) => return start_over(source, claim, &log, found).map(Some),
        None if log.is_starting_over => return start_over(source, claim, &log, found).map(Some),
        None => {}
    }
    if log.partitions != found.partitions {
        // Refused by the session where it is not allowed.
        log.partitions = found.partitions;
        claim.set_log(&log)?;
    }
    let deadline = Instant::now() + PAST_END_MAX;
    while checkpoint.offset > high && Instant::now() < deadline {
        if stop.wait(Duration::from_millis(200)) {
            return Ok(None);
        }
        let Some(now) = watermarks(source, number, stop)? else { return Ok(None) };
        high = now.1;
    }
    if checkpoint.offset < low || checkpoint.offset > high {
        // The numbers may be those of a topic that has just been created again, or damaged on the way.
        if !source.is_same_topic()? {
            return Ok(None);
        }
        let Some((low, high)) = watermarks(source, number, stop)? else { return Ok(None) };
        if (low..=high).contains(&checkpoint.offset) {
            return Ok(None);
        }
        if settings.on_gap != OnGap::Fail && !source.is_certain(&found, number, stop)? {
            return Ok(None);
        }
        match settings.on_gap {
            OnGap::Fail => {
                let (topic, offset) = (found.topic, checkpoint.offset);
                return Err(PipelineError::Gap { topic, partition: number, offset, low, high });
            }
            OnGap::Restart => return start_over(source, claim, &log, found).map(Some),
            OnGap::Continue => jump(claim, &mut log, &mut checkpoint, low, high)?,
        }
    } else if is_adopted {
        claim.set_log(&log)?;
    }
    Ok(Some((log, checkpoint)))
}

/// Archives what was counted of this very log, and begins with what it holds now.
fn start_over(
    source: &Source,
    claim: &mut Claim,
    log: &Log,
    found: Log,
) -> Result<(Log, Checkpoint), PipelineError> {
    let checkpoint = claim.start_over(Some(log), &found)?;
    source.memory.cut.borrow_mut().remove(&claim.partition());
    tracing::warn!(
        "partition {} is counted again from offset {}; what was counted before is in archive/{}",
        claim.partition(),
        found.first_offset,
        log.topic_id
    );
    Ok((found, checkpoint))
}

/// Goes on at the nearest offset that the log holds. Noted first: a note of what did not happen after all, because
/// of a crash in between, is harmless, and the next start makes it true. The leader epochs stay until there is the
/// checkpoint, as they tell of the cut as long as the offset does not.
fn jump(
    claim: &mut Claim,
    log: &mut Log,
    checkpoint: &mut Checkpoint,
    low: i64,
    high: i64,
) -> Result<(), StoreError> {
    let gap = Gap { from: checkpoint.offset, to: checkpoint.offset.clamp(low, high) };
    log.gaps.pop_if(|noted| noted.from == gap.from);
    log.gaps.push(gap);
    claim.set_log(log)?;
    if gap.to < gap.from {
        claim.rewind(log, gap.to)?;
    }
    checkpoint.offset = gap.to;
    claim.replace(checkpoint)?;
    tracing::warn!(
        "partition {} goes on at offset {} instead of {}; noted in log.json",
        claim.partition(),
        gap.to,
        gap.from
    );
    Ok(())
}

/// The offsets that can be read, waited for while the partition has no leader or Kafka is away; nothing where the
/// partition is gone, or the process is to stop.
fn watermarks(source: &Source, number: i32, stop: &Stop) -> Result<Option<(i64, i64)>, PipelineError> {
    let (asked, mut is_told) = (Instant::now(), false);
    while !stop.is_asked() {
        match source.admin.watermarks(&source.settings.topic, number, ANSWER_MAX) {
            Ok(watermarks) => return Ok(Some(watermarks)),
            Err(error) if error.is_log_doubtful() || error.is_of_epoch() => return Ok(None),
            Err(error) if error.is_transient() => {
                if asked.elapsed() >= AWAY_TOLD_AFTER && !std::mem::replace(&mut is_told, true) {
                    let error = error.to_string();
                    let fact = error.lines().next().unwrap_or_default();
                    tracing::warn!("partition {number} does not answer ({fact}); waiting for it");
                }
            }
            Err(error) => return Err(error.into()),
        }
        stop.wait(Duration::from_millis(200));
    }
    Ok(None)
}

impl Source<'_> {
    /// Whether another client hears the same of the log. What decides about the files for good, or goes into a new
    /// `log.json`, is asked for twice: nothing that is read later would tell that it was damaged on the way.
    fn is_certain(&self, found: &Log, number: i32, stop: &Stop) -> Result<bool, PipelineError> {
        let admin = self.second_admin()?;
        let (asked, mut is_told) = (Instant::now(), false);
        while !stop.is_asked() {
            let ask = || -> Result<_, KafkaError> {
                let topic = admin.describe(&found.topic, ANSWER_MAX)?;
                let cluster_id = admin.cluster_id(ANSWER_MAX)?;
                let (low, _) = admin.watermarks(&found.topic, number, ANSWER_MAX)?;
                Ok((topic.map(|topic| (topic.id, topic.partitions)), cluster_id, low))
            };
            match ask() {
                Ok((topic, cluster_id, low)) => {
                    return Ok(topic == Some((found.topic_id.clone(), found.partitions))
                        && (cluster_id, low) == (found.cluster_id.clone(), found.first_offset));
                }
                Err(error) if error.is_log_doubtful() || error.is_of_epoch() => return Ok(false),
                Err(error) if error.is_transient() => {
                    if asked.elapsed() >= AWAY_TOLD_AFTER && !std::mem::replace(&mut is_told, true) {
                        let error = error.to_string();
                        let fact = error.lines().next().unwrap_or_default();
                        tracing::warn!("partition {number} does not answer ({fact}); waiting for it");
                    }
                }
                Err(error) => return Err(error.into()),
            }
            stop.wait(Duration::from_millis(200));
        }
        Ok(false)
    }

    /// Another client, which has heard nothing of the log yet.
    pub(super) fn second_admin(&self) -> Result<&Admin, KafkaError> {
        if let Some(admin) = self.second_admin.get() {
            return Ok(admin);
        }
        let admin = Admin::new(&self.settings.connection)?;
        Ok(self.second_admin.get_or_init(|| admin))
    }

    /// Whether the log reaches `offset` with this leader epoch, by requests of another client: a response that says that
    /// it was truncated may have been damaged on the way.
    pub(super) fn has_epoch_still(&self, number: i32, epoch: Option<i32>, offset: i64) -> bool {
        /// A log that was truncated is so in each of them.
        const REQUESTS: usize = 3;
        let Some(epoch) = epoch else { return false };
        let reaches = |_| {
            let end = self.second_admin()?.epoch_end(&self.settings.topic, number, epoch, ANSWER_MAX)?;
            Ok(end.is_some_and(|end| end.epoch == epoch && end.end_offset >= offset))
        };
        (0..REQUESTS).map(reaches).any(|reaches: Result<bool, KafkaError>| reaches.unwrap_or(false))
    }

    /// Whether the log has all leader epochs of a partition that are new to its `log.json`.
    pub(super) fn are_epochs_known(
        &self,
        number: i32,
        partition: &mut Partition,
    ) -> Result<bool, KafkaError> {
        let topic = &self.settings.topic;
        let Some(last) = self.admin.leader_epoch(topic, number, LEADER_ANSWER_MAX)? else { return Ok(true) };
        let mut are_known = partition.note_last_leader_epoch(last);
        for epoch in partition.new_leader_epochs() {
            are_known = are_known && self.has_epoch(number, epoch)?;
        }
        Ok(are_known)
    }

    /// Whether the log has this leader epoch, with the record at its first offset. No checksum covers the epoch that came with
    /// the record.
    fn has_epoch(&self, number: i32, epoch: LeaderEpoch) -> Result<bool, KafkaError> {
        let LeaderEpoch { epoch, first_offset } = epoch;
        match self.admin.epoch_end(&self.settings.topic, number, epoch, LEADER_ANSWER_MAX) {
            Ok(Some(end)) => Ok(end.epoch == epoch && end.end_offset > first_offset),
            // Only librdkafka can reach the brokers.
            Ok(None) => Ok(true),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                tracing::debug!(%error, "a leader epoch can't be confirmed");
                Ok(true)
            }
        }
    }

    fn is_same_topic(&self) -> Result<bool, PipelineError> {
        match self.admin.describe(&self.settings.topic, ANSWER_MAX) {
            Ok(topic) => Ok(topic.is_some_and(|topic| topic == self.topic)),
            Err(error) if error.is_transient() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::Record;
    use crate::report::Report;
    use crate::store::{self, Paths};

    const NUMBER: i32 = 2;

    /// What may come to pass between a partition and the disk.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        /// A day of June, or none that there is.
        Record {
            day: i8,
            leader_epoch: i32,
        },
        HandOver,
        Write,
        TakeBack,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            4 => (1_i8..33, 0..3).prop_map(|(day, leader_epoch)| Event::Record { day, leader_epoch }),
            1 => Just(Event::HandOver),
            1 => Just(Event::Write),
            1 => Just(Event::TakeBack),
        ];
        proptest::collection::vec(event, 1..60)
    }

    fn log() -> Log {
        Log {
            cluster_id: "cluster".to_owned(),
            topic: "temperatures".to_owned(),
            topic_id: "topic-----------------".to_owned(),
            partitions: 4,
            first_offset: 0,
            leader_epochs: Vec::new(),
            gaps: Vec::new(),
            is_starting_over: false,
        }
    }

    /// No report where there is no such day.
    fn value(day: i8, number: usize) -> Vec<u8> {
        let report = |day| Report { date: date(2000, 6, day), degrees: number as f64 }.encode();
        if day <= 30 { report(day) } else { b"no report".to_vec() }
    }

    struct Case {
        dir: tempfile::TempDir,
        partition: Partition,
        values: Vec<Vec<u8>>,
        /// The highest leader epoch of the records so far, at each.
        epochs: Vec<i32>,
    }

    impl Case {
        fn new() -> Case {
            let dir = tempfile::tempdir().unwrap();
            let (mut claim, loaded) = Claim::new(dir.path(), NUMBER, false).unwrap();
            let checkpoint = claim.start_over(loaded.log.as_ref(), &log()).unwrap();
            let partition = Partition::new(claim, log(), checkpoint);
            Case { dir, partition, values: Vec::new(), epochs: Vec::new() }
        }

        fn apply(&mut self, day: i8, leader_epoch: i32) {
            let value = value(day, self.values.len());
            let offset = self.values.len() as i64;
            let leader_epoch = self.epochs.last().map_or(leader_epoch, |last| leader_epoch.max(*last));
            let record = Record { partition: NUMBER, offset, key: None, value: Some(&value) };
            let records = Records::of_one(record, leader_epoch);
            let taken = self.partition.apply(records, &Jumps::default(), &mut Decoder::default());
            assert!(taken.is_none());
            self.values.push(value);
            self.epochs.push(leader_epoch);
        }

        /// Holds the files against the records, and says up to where they go.
        fn check(&self) -> usize {
            let paths = Paths::new(self.dir.path(), NUMBER);
            let found = store::load_checkpoint(&paths).unwrap().unwrap();
            let passed = usize::try_from(found.offset).unwrap();
            let (mut fold, mut rejected) = (Checkpoint::empty(NUMBER, 0), Vec::new());
            for (offset, value) in (0..).zip(&self.values[..passed]) {
                if let Ok(Outcome::Rejected(_)) = fold.apply(offset, Some(value), &mut Decoder::default()) {
                    rejected.push(offset);
                }
            }
            assert_eq!(found, fold);
            let aside = store::load_rejected(&paths).unwrap();
            assert_eq!(aside.iter().map(|entry| entry.offset).collect::<Vec<_>>(), rejected);
            let noted = Log::from_json(&std::fs::read(paths.log()).unwrap()).unwrap();
            assert_eq!(noted.epoch_before(found.offset), passed.checked_sub(1).map(|last| self.epochs[last]));
            passed
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_durable_is_the_fold_up_to_its_offset_however_writing_and_counting_mix(events in events()) {
            let mut case = Case::new();
            let (mut on_its_way, mut written, mut durable) = (None, None, 0);
            for event in events {
                match event {
                    Event::Record { day, leader_epoch } => case.apply(day, leader_epoch),
                    Event::HandOver => {
                        let is_free = on_its_way.is_none() && written.is_none();
                        let handed_over = case.partition.hand_over();
                        prop_assert_eq!(handed_over.is_some(), is_free && case.values.len() > durable);
                        on_its_way = on_its_way.or(handed_over);
                    }
                    Event::Write => written = on_its_way.take().map(Write::run).or(written),
                    Event::TakeBack => {
                        if let Some(written) = written.take() {
                            case.partition.take_back(written).unwrap();
                            durable = case.check();
                        }
                    }
                }
                case.check();
                prop_assert_eq!(case.partition.durable_offset(), durable as i64);
                prop_assert_eq!(case.partition.next_offset(), case.values.len() as i64);
            }
            if let Some(written) = on_its_way.map(Write::run).or(written) {
                case.partition.take_back(written).unwrap();
            }
            if let Some(rest) = case.partition.hand_over() {
                case.partition.take_back(rest.run()).unwrap();
            }
            prop_assert_eq!(case.check(), case.values.len());
            prop_assert!(!case.partition.is_dirty());
        }
    }

    #[test]
    fn who_was_taken_over_while_its_checkpoint_was_on_its_way_writes_nothing() {
        let mut case = Case::new();
        case.apply(1, 0);
        let on_its_way = case.partition.hand_over().unwrap();
        let (_owner, loaded) = Claim::new(case.dir.path(), NUMBER, true).unwrap();
        assert_eq!(loaded.checkpoint.unwrap().offset, 0);
        let error = case.partition.take_back(on_its_way.run()).unwrap_err();
        assert!(matches!(error, StoreError::TakenOver { .. }), "{error}");
        assert_eq!(case.check(), 0);
        assert_eq!(case.partition.durable_offset(), 0);
    }
}
