//! One open partition: its claim, its checkpoint, and what has been taken since the last checkpoint.

use std::time::{Duration, Instant};

use almanac_core::place::Place;

use super::jumps::Jumps;
use super::progress::{Moment, Obstacle, Progress, Seen, Tally, timestamp};
use super::trust::Reconnect;
use super::writing::{Taken, Write, Written};
use crate::checkpoint::{Checkpoint, Outcome};
use crate::kafka::{Position, Records, Refused, StartAt};
use crate::report::{Decoder, RejectReason};
use crate::stats::Statistics;
use crate::status::{Board, Durable};
use crate::store::{Claim, LeaderEpoch, Log, Owner, Rejected, StoreError};

/// Rejected records kept in memory, in bytes, before a checkpoint is due whatever the pace.
const REJECTED_BYTES_MAX: usize = 8 << 20;

pub(super) struct Partition {
    number: i32,
    /// None while a checkpoint is in flight.
    claim: Option<Box<dyn Claim>>,
    owner: Owner,
    /// Whether the store was away during the last write: the claim still has what it may not have got.
    is_unsure: bool,
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
    /// A summary of the checkpoint's file.
    durable: Durable,
    /// At how many statuses in a row the offset was the same, and that offset.
    quiet: (u32, i64),
    /// Its leader did not answer: no checkpoint is tried before.
    held_until: Option<Instant>,
    /// A batch that is to be warned of.
    odd_batch: Option<i64>,
    /// How many rejected records the file will hold after the write in flight.
    rejected_in_flight: u64,
    /// The first record that was rejected since it was opened, until it was reported.
    first_rejected: Option<(i64, RejectReason)>,
    /// A producer's description of the place, until the consumer takes it.
    place: Option<Place>,
    /// The batch that can't be read, and how often that was seen.
    damage: Option<(i64, u32)>,
}

impl Partition {
    /// `rejected_total`: how many rejected records the file holds.
    pub(super) fn new(
        claim: Box<dyn Claim>,
        mut log: Log,
        checkpoint: Checkpoint,
        rejected_total: u64,
        durable: Durable,
        before: Option<Progress>,
    ) -> Self {
        // Noted before a checkpoint that was then not written; or of a part that was truncated.
        let noted = log.leader_epochs.len();
        log.leader_epochs.retain(|epoch| epoch.first_offset < checkpoint.offset);
        Partition {
            number: claim.partition(),
            owner: claim.owner().clone(),
            is_unsure: false,
            claim: Some(claim),
            is_log_dirty: log.leader_epochs.len() < noted,
            log,
            durable,
            progress: Progress::from(checkpoint.offset, before),
            quiet: (0, checkpoint.offset),
            held_until: None,
            odd_batch: None,
            damage: None,
            place: None,
            rejected_in_flight: rejected_total,
            first_rejected: None,
            checkpoint,
            is_dirty: false,
            has_skipped: false,
            rejected: Vec::new(),
            rejected_bytes: 0,
            tally: Tally { rejected_total, ..Tally::default() },
        }
    }

    /// Lets the next owner claim it at once. Records that are not durable are dropped.
    pub(super) fn release(self) {
        if let Some(claim) = self.claim {
            claim.release();
        }
    }

    /// The position to read from.
    pub(super) fn position(&self) -> Position {
        Position {
            partition: self.number,
            start: StartAt::Offset {
                next_offset: self.checkpoint.offset,
                leader_epoch: self.log.epoch_before(self.checkpoint.offset),
            },
        }
    }

    /// With what is not durable yet.
    pub(super) fn statistics(&self) -> &Statistics {
        &self.checkpoint.statistics
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

    pub(super) fn last_noted_epoch(&self) -> Option<i32> {
        self.log.leader_epochs.last().map(|noted| noted.epoch)
    }

    /// Takes in the leader epoch of the log's end. Says whether none that was read is past it.
    ///
    /// It is noted for offsets without a record as well. Otherwise the last epoch noted may end before the checkpoint's
    /// offset, and at the next start the log would look truncated.
    pub(super) fn note_last_leader_epoch(&mut self, last: i32) -> bool {
        let noted = self.last_noted_epoch();
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
        jumps: &mut Jumps,
        decoder: &mut Decoder,
    ) -> Option<Reconnect> {
        let (number, is_contiguous) = (records.partition, records.is_contiguous);
        let last_epoch = self.log.leader_epochs.last().map(|last| last.epoch);
        // It begins with the first of these records that is not passed already.
        let mut new_epoch = records.leader_epoch.filter(|epoch| last_epoch.is_none_or(|last| last < *epoch));
        let whole = records.clone();
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
        if records.has_place_header() {
            self.place = whole.place_header().and_then(Place::from_header).or(self.place.take());
        }
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

    /// The first offset of a batch whose records carry other offsets than its header gives them, once.
    pub(super) fn take_odd_batch(&mut self) -> Option<i64> {
        self.odd_batch.take()
    }

    /// A producer's description of the place since the last call.
    pub(super) fn take_place(&mut self) -> Option<Place> {
        self.place.take()
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
    /// records' checksum does not cover. If nothing was read yet, the offset may be a former owner's, and
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
        (is_held && self.progress.idle_time() >= MOMENT).then(|| {
            format!(
                "an open transaction holds back the records from offset {stable} on (the log ends at {high})"
            )
        })
    }

    /// At how many statuses, with this one, the offset has been the same.
    pub(super) fn count_quiet(&mut self) -> u32 {
        let (looks, offset) = self.quiet;
        self.quiet = (if offset == self.checkpoint.offset { looks + 1 } else { 0 }, self.checkpoint.offset);
        self.quiet.0
    }

    /// Counts them from here.
    pub(super) fn reset_quiet(&mut self) {
        self.quiet.0 = 0;
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.is_dirty || self.is_unsure
    }

    /// Whether a checkpoint is due for the memory that waits for it.
    pub(super) fn is_full(&self) -> bool {
        self.rejected_bytes >= REJECTED_BYTES_MAX
    }

    /// Gives away what has been taken and is not durable, to be written while the fold goes on. Nothing where there is
    /// nothing, or the former checkpoint is still in flight.
    pub(super) fn hand_over(&mut self) -> Option<Write> {
        if !self.is_ready() {
            return None;
        }
        let claim = self.claim.take()?;
        if self.is_unsure {
            return Some(Write { claim, taken: None });
        }
        self.is_dirty = false;
        self.rejected_bytes = 0;
        self.rejected_in_flight += self.rejected.len() as u64;
        let taken = Taken {
            checkpoint: self.checkpoint.clone(),
            rejected: std::mem::take(&mut self.rejected),
            log: std::mem::take(&mut self.is_log_dirty).then(|| self.log.clone()),
        };
        Some(Write { claim, taken: Some(taken) })
    }

    /// Lets it have no checkpoint before this time, or lets it have one again.
    pub(super) fn hold_until(&mut self, time: Option<Instant>) {
        self.held_until = time;
    }

    fn is_held_back(&self) -> bool {
        self.held_until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether it has taken anything that may be tried to be made durable now.
    pub(super) fn is_ready(&self) -> bool {
        self.is_dirty() && !self.is_held_back()
    }

    /// Takes in what became of it. Says how many bytes the checkpoint has.
    pub(super) fn take_back(&mut self, written: Written) -> Result<u64, StoreError> {
        let Written { claim, durable, took, at } = written;
        self.claim = Some(claim);
        self.is_unsure = durable.as_ref().is_err_and(StoreError::is_away);
        self.durable = durable?;
        self.tally.last_durable = Some(timestamp(at));
        self.tally.checkpoint_seconds = took.as_secs_f64();
        self.tally.rejected_total = self.rejected_in_flight;
        self.progress.advance(self.durable.offset, at);
        Ok(self.durable.bytes)
    }

    pub(super) fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    /// Shows the status on the board, then writes it, unless its checkpoint is in flight.
    pub(super) fn write_status(
        &mut self,
        moment: Moment,
        obstacle: &Obstacle,
        board: &Board,
    ) -> Result<(), StoreError> {
        let position = self.checkpoint.offset;
        let (durable, progress, owner) = (&self.durable, &self.progress, &self.owner);
        let seen =
            Seen { partition: self.number, topic: &self.log.topic, position, durable, progress, owner };
        let status = self.tally.status(&seen, moment, obstacle);
        board.show(&status, self.durable);
        self.claim.as_mut().map_or(Ok(()), |claim| claim.set_status(&status))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::Record;
    use crate::report::Report;
    use crate::store::{self, LocalClaim, Paths};

    const NUMBER: i32 = 2;

    /// An event between a partition and the disk.
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
            let (mut claim, loaded) = LocalClaim::new(dir.path(), NUMBER, false).unwrap();
            let checkpoint = claim.start_over(loaded.log.as_ref(), &log()).unwrap();
            let durable = Durable::of(&checkpoint, 0, None);
            let partition = Partition::new(Box::new(claim), log(), checkpoint, 0, durable, None);
            Case { dir, partition, values: Vec::new(), epochs: Vec::new() }
        }

        fn apply(&mut self, day: i8, leader_epoch: i32) {
            let value = value(day, self.values.len());
            let offset = self.values.len() as i64;
            let leader_epoch = self.epochs.last().map_or(leader_epoch, |last| leader_epoch.max(*last));
            let record = Record { partition: NUMBER, offset, key: None, value: Some(&value) };
            let records = Records::of_one(record, leader_epoch);
            let taken = self.partition.apply(records, &mut Jumps::default(), &mut Decoder::default());
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
        let (_owner, loaded) = LocalClaim::new(case.dir.path(), NUMBER, true).unwrap();
        assert_eq!(loaded.checkpoint.unwrap().offset, 0);
        let error = case.partition.take_back(on_its_way.run()).unwrap_err();
        assert!(matches!(error, StoreError::TakenOver { .. }), "{error}");
        assert_eq!(case.check(), 0);
        assert_eq!(case.partition.durable_offset(), 0);
    }
}
