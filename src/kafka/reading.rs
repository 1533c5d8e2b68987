//! One partition that the fetcher reads: how far, and which responses to believe.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use almanac_core::protocol::batches::{Batch, Unreadable};
use almanac_core::protocol::lookups::ListedOffset;
use almanac_core::protocol::transactions::{BatchKind, Transactions};
use almanac_core::protocol::wire::{EpochEnd, Fetched};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::assignment::{OffsetOf, Position, StartAt};
use super::error::{KafkaError, code_of};
use super::links::LinkId;
use super::response::Part;

/// How many responses in a row may be doubtful before that is an error.
const DOUBTS_MAX: u32 = 3;
/// How many responses in a row must say that the log ends, where it ends below its high watermark.
const UNSTABLE_END_SEEN_MIN: u32 = 2;
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// How long an obstacle must last before the user may hear of it.
pub(super) const OBSTACLE_MIN: Duration = Duration::from_secs(1);

pub(super) struct Reading {
    /// Unknown until that edge of the log is, where reading starts there.
    pub(super) next_offset: Option<i64>,
    /// The edge at which reading starts, again if the offset is out of range.
    pub(super) edge: OffsetOf,
    /// Asks for the edge of the log.
    pub(super) resolving: Option<JoinHandle<Result<ListedOffset, KafkaError>>>,
    /// The leader epoch of the record read last.
    pub(super) last_epoch: Option<i32>,
    /// The connection to the leader.
    pub(super) link: Option<LinkId>,
    /// The round in which it last brought something: the one that has waited longest is asked for first.
    pub(super) served: u64,
    pub(super) paused_until: Option<Instant>,
    /// How many responses in a row were doubtful.
    pub(super) doubts: u32,
    /// The start of a batch that should begin at `next_offset`: believed if another response has the same.
    begins_at: Option<i64>,
    /// Whether records were missing within the log.
    has_gaps: bool,
    end: EndSeen,
    pub(super) high_watermark: Option<i64>,
    pub(super) last_stable_offset: Option<i64>,
    /// Why nothing comes, and since when.
    obstacle: Option<(Instant, String)>,
}

/// At which offset the log ended, and how many responses in a row said so.
#[derive(Default)]
struct EndSeen {
    next_offset: Option<i64>,
    times: u32,
}

/// The result of a partition's part of a response.
pub(super) enum Outcome {
    Accepted,
    /// It can't be believed, or not yet: fetch it again.
    Doubtful,
    Refused(KafkaError),
    /// Only librdkafka can decode what comes next.
    Unsupported,
}

impl Reading {
    pub(super) fn new(start: StartAt) -> Reading {
        let (next_offset, last_epoch, edge) = match start {
            StartAt::Offset { next_offset, leader_epoch } => (Some(next_offset), leader_epoch, OffsetOf::End),
            StartAt::Edge(edge) => (None, None, edge),
        };
        Reading {
            next_offset,
            edge,
            resolving: None,
            last_epoch,
            link: None,
            served: 0,
            paused_until: None,
            doubts: 0,
            begins_at: None,
            has_gaps: false,
            end: EndSeen::default(),
            high_watermark: None,
            last_stable_offset: None,
            obstacle: None,
        }
    }

    pub(super) fn position(&self, partition: i32) -> Option<Position> {
        let start = StartAt::Offset { next_offset: self.next_offset?, leader_epoch: self.last_epoch };
        Some(Position { partition, start })
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused_until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn pause(&mut self) {
        self.pause_for(RETRY_AFTER);
    }

    pub(super) fn pause_for(&mut self, time: Duration) {
        self.paused_until = Some(Instant::now() + time);
    }

    /// Notes why nothing comes; the first reason of several in a row keeps its time.
    pub(super) fn set_obstacle(&mut self, reason: String) {
        let since = self.obstacle.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        self.obstacle = Some((since, reason));
    }

    pub(super) fn clear_obstacle(&mut self) {
        self.obstacle = None;
    }

    /// Whether a broker answers its fetches.
    pub(super) fn is_served(&self) -> bool {
        self.link.is_some() && self.obstacle.is_none()
    }

    /// Why nothing comes, if that is so for longer than a moment.
    pub(super) fn obstacle(&self) -> Option<&str> {
        let (since, reason) = self.obstacle.as_ref()?;
        (since.elapsed() >= OBSTACLE_MIN).then_some(reason)
    }

    /// Accepts a partition's part of a response: batches as far as they follow one another.
    pub(super) fn accept(
        &mut self,
        fetched: Fetched,
        response: &[u8],
        parts: &mut Vec<Part>,
        round: u64,
    ) -> Outcome {
        let Some(mut next_offset) = self.next_offset else { return Outcome::Accepted };
        let partition = fetched.partition;
        if let Some(error) = refusal(&fetched, next_offset) {
            return Outcome::Refused(error);
        }
        self.high_watermark = Some(fetched.high_watermark).filter(|high| *high >= 0).or(self.high_watermark);
        self.last_stable_offset = Some(fetched.last_stable_offset).filter(|offset| *offset >= 0);
        let mut transactions = Transactions::new(fetched.aborted);
        let mut batches = fetched.batches;
        while let Some(batch) = batches.next() {
            let following = batches;
            // The offset to continue from if this one can't be read.
            let after = || {
                let bases = following.filter_map(|batch| Some(batch.ok()?.base_offset));
                bases.filter(|base| *base > next_offset).min().unwrap_or(fetched.last_stable_offset)
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(Unreadable::Unusual) => return Outcome::Unsupported,
                Err(error) => return self.doubt(partition, next_offset, &error.to_string(), after),
            };
            if !self.is_start_believed(&batch, next_offset) {
                let reason =
                    format!("at offset {next_offset} came a batch that begins at {}", batch.base_offset);
                return self.doubt(partition, next_offset, &reason, after);
            }
            self.warn_of_gap(partition, next_offset, batch.base_offset);
            if transactions.kind(&batch) == BatchKind::Data && batch.count > 0 {
                parts.push(batch_part(response, partition, next_offset, &batch));
            }
            next_offset = batch.next_offset();
            self.next_offset = Some(next_offset);
            self.last_epoch = Some(batch.leader_epoch).filter(|epoch| *epoch >= 0);
            self.served = round;
            (self.begins_at, self.doubts) = (None, 0);
        }
        self.note_end(partition, next_offset, parts);
        Outcome::Accepted
    }

    /// Whether a batch may come at this offset. No checksum covers where it begins.
    fn is_start_believed(&mut self, batch: &Batch, next_offset: i64) -> bool {
        // Only the very first may begin before: a checkpoint may lie within a batch.
        let begins_before = batch.base_offset < next_offset;
        if batch.next_offset() <= next_offset || (begins_before && self.served > 0) {
            return false;
        }
        // Compaction leaves gaps. Damage on the way looks the same, but not twice.
        let is_expected = batch.base_offset == next_offset || self.begins_at == Some(batch.base_offset);
        self.begins_at = Some(batch.base_offset);
        is_expected
    }

    /// Warns once that records are missing within the log.
    fn warn_of_gap(&mut self, partition: i32, next_offset: i64, base_offset: i64) {
        if base_offset > next_offset && !std::mem::replace(&mut self.has_gaps, true) {
            tracing::warn!(
                "partition {partition}: offsets {next_offset} to {} hold no records any more, as compaction leaves them",
                base_offset - 1
            );
        }
    }

    /// Reports the end of the log once.
    fn note_end(&mut self, partition: i32, next_offset: i64, parts: &mut Vec<Part>) {
        let Some(end) = self.last_stable_offset.filter(|end| next_offset >= *end) else { return };
        let times = if self.end.next_offset == Some(next_offset) { self.end.times + 1 } else { 1 };
        self.end = EndSeen { next_offset: Some(next_offset), times };
        // Below the high watermark there is an open transaction, or the number was damaged on the way.
        let wanted = if self.high_watermark == Some(end) { 1 } else { UNSTABLE_END_SEEN_MIN };
        if times == wanted {
            parts.push(Part::End { partition, next_offset });
        }
    }

    /// Has a batch fetched again that can't be read, or not be believed; reports an error if that does not help.
    fn doubt(
        &mut self,
        partition: i32,
        offset: i64,
        reason: &str,
        next_offset: impl FnOnce() -> i64,
    ) -> Outcome {
        self.doubts += 1;
        tracing::info!("partition {partition} at offset {offset}: {reason}; reading again");
        if self.doubts < DOUBTS_MAX {
            return Outcome::Doubtful;
        }
        let (next_offset, reason) = (next_offset(), reason.to_owned());
        Outcome::Refused(KafkaError::Damaged { partition, offset, next_offset, reason })
    }
}

/// Why a broker gives no records of a partition.
fn refusal(fetched: &Fetched, next_offset: i64) -> Option<KafkaError> {
    let action = || format!("can't read partition {} at offset {next_offset}", fetched.partition);
    if let Some(EpochEnd { epoch, end_offset }) = fetched.diverging {
        let reason = format!("leader epoch {epoch} ends at offset {end_offset}");
        return Some(KafkaError::Client { action: action(), code: Code::LogTruncation, reason });
    }
    (fetched.error != 0).then(|| KafkaError::code(action(), code_of(fetched.error.into())))
}

fn batch_part(response: &[u8], partition: i32, from: i64, batch: &Batch) -> Part {
    let start = batch.records.as_ptr().addr() - response.as_ptr().addr();
    let header = Batch { records: &[], ..*batch };
    Part::Batch { partition, from, header, records: start..start + batch.records.len() }
}
