//! A response to a fetch, checked: which of its batches are to be decoded, and which can't be believed.

use std::ops::Range;

use almanac_core::protocol::batches::{Batch, BatchKind, Transactions, Unreadable};
use almanac_core::protocol::wire::{EpochEnd, Fetched};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::error::{KafkaError, code_of};
use super::fetcher::{Reading, Taken};
use super::link::Link;

/// How often in a row a response may not be believed before that is an error.
const DOUBTS_MAX: u32 = 3;
/// How many responses in a row must say that the log ends, where it ends below its high watermark.
const UNSTABLE_END_SEEN_MIN: u32 = 2;

/// The bytes of a response, and what is in them.
#[derive(Default)]
pub(super) struct Response {
    bytes: Vec<u8>,
    size: usize,
    parts: Vec<Part>,
}

/// What there is to take, in this order.
pub(super) enum Part {
    /// Records from the offset `from`.
    Batch { partition: i32, from: i64, header: Batch<'static>, records: Range<usize> },
    /// All below `next_offset` has been read, and there is no more for now.
    End { partition: i32, next_offset: i64 },
    /// Of all partitions where there is no number; without the error once that is taken.
    Failed(Option<i32>, Option<KafkaError>),
}

impl Response {
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.size = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(super) fn take_from(&mut self, link: &mut Link) {
        self.size = link.swap_response(&mut self.bytes);
    }

    pub(super) fn push_failure(&mut self, partition: Option<i32>, error: KafkaError) {
        self.parts.push(Part::Failed(partition, Some(error)));
    }

    /// What follows the size, and where its parts go.
    pub(super) fn split(&mut self) -> (&[u8], &mut Vec<Part>) {
        (self.bytes.get(4..self.size).unwrap_or_default(), &mut self.parts)
    }

    pub(super) fn part(&mut self, index: usize) -> Option<&mut Part> {
        self.parts.get_mut(index)
    }

    pub(super) fn part_at(&self, index: usize) -> Option<&Part> {
        self.parts.get(index)
    }

    /// The batch with its records.
    pub(super) fn batch(&self, header: Batch<'static>, records: &Range<usize>) -> Batch<'_> {
        let bytes = self.bytes.get(4..self.size).unwrap_or_default();
        Batch { records: bytes.get(records.clone()).unwrap_or_default(), ..header }
    }
}

impl Reading {
    /// Takes in a partition's part of a response.
    pub(super) fn take(
        &mut self,
        fetched: Fetched,
        response: &[u8],
        parts: &mut Vec<Part>,
        round: u64,
    ) -> Taken {
        let Some(mut next_offset) = self.next_offset else { return Taken::Good };
        let partition = fetched.partition;
        if let Some(refused) = refusal(&fetched, next_offset) {
            return Taken::Refused(refused);
        }
        self.high_watermark = Some(fetched.high_watermark).filter(|high| *high >= 0).or(self.high_watermark);
        self.last_stable_offset = Some(fetched.last_stable_offset).filter(|offset| *offset >= 0);
        let mut transactions = Transactions::new(fetched.aborted);
        let mut batches = fetched.batches;
        while let Some(batch) = batches.next() {
            let following = batches;
            // Where reading would continue if this one can't be read.
            let after = || {
                let bases = following.filter_map(|batch| Some(batch.ok()?.base_offset));
                bases.filter(|base| *base > next_offset).min().unwrap_or(fetched.last_stable_offset)
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(Unreadable::Unusual) => return Taken::Unusual,
                Err(error) => return self.doubt(partition, next_offset, &error.to_string(), after),
            };
            // Only the very first may begin before. No checksum covers where a batch begins.
            let begins_before = batch.base_offset < next_offset;
            if batch.next_offset() <= next_offset || (begins_before && self.served > 0) {
                let reason =
                    format!("at offset {next_offset} came a batch that begins at {}", batch.base_offset);
                return self.doubt(partition, next_offset, &reason, after);
            }
            // Compaction leaves gaps, and a checkpoint may lie within a batch; damage on the way looks the same.
            if batch.base_offset != next_offset && self.begins_at != Some(batch.base_offset) {
                self.begins_at = Some(batch.base_offset);
                let reason =
                    format!("at offset {next_offset} came a batch that begins at {}", batch.base_offset);
                return self.doubt(partition, next_offset, &reason, after);
            }
            if batch.base_offset > next_offset && !std::mem::replace(&mut self.has_gaps, true) {
                tracing::warn!(
                    "partition {partition}: offsets {next_offset} to {} hold no records any more, as compaction leaves them",
                    batch.base_offset - 1
                );
            }
            let kind = transactions.kind(&batch);
            if kind == BatchKind::Data && batch.count > 0 {
                parts.push(part(response, partition, next_offset, &batch));
            }
            next_offset = batch.next_offset();
            self.next_offset = Some(next_offset);
            self.last_epoch = Some(batch.leader_epoch).filter(|epoch| *epoch >= 0);
            self.served = round;
            (self.begins_at, self.doubts) = (None, 0);
        }
        self.note_end(partition, next_offset, parts);
        Taken::Good
    }

    /// Says once that all has been read.
    fn note_end(&mut self, partition: i32, next_offset: i64, parts: &mut Vec<Part>) {
        let Some(end) = self.last_stable_offset.filter(|end| next_offset >= *end) else { return };
        let seen = if self.end_seen.0 == next_offset { self.end_seen.1 + 1 } else { 1 };
        self.end_seen = (next_offset, seen);
        // Below the high watermark there is an open transaction, or the number was damaged on the way.
        let wanted = if self.high_watermark == Some(end) { 1 } else { UNSTABLE_END_SEEN_MIN };
        if seen == wanted {
            parts.push(Part::End { partition, next_offset });
        }
    }

    /// Has a batch fetched again that can't be read, or not be believed.
    fn doubt(
        &mut self,
        partition: i32,
        offset: i64,
        reason: &str,
        next_offset: impl FnOnce() -> i64,
    ) -> Taken {
        self.doubts += 1;
        tracing::info!("partition {partition} at offset {offset}: {reason}; reading again");
        if self.doubts < DOUBTS_MAX {
            return Taken::Doubtful;
        }
        let (next_offset, reason) = (next_offset(), reason.to_owned());
        Taken::Refused(KafkaError::Damaged { partition, offset, next_offset, reason })
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

fn part(response: &[u8], partition: i32, from: i64, batch: &Batch) -> Part {
    let start = batch.records.as_ptr().addr() - response.as_ptr().addr();
    let header = Batch { records: &[], ..*batch };
    Part::Batch { partition, from, header, records: start..start + batch.records.len() }
}
