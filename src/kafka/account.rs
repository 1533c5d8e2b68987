//! A second account of a partition's log, for comparison with what was read: the headers of its batches alone say what each
//! offset holds.

use std::time::Instant;

use almanac_core::protocol::batches::{Batch, Records};
use almanac_core::protocol::transactions::{BatchKind, Transactions};
use almanac_core::protocol::wire::{Limits, Malformed, TopicId};
use serde::Serialize;

use super::admin::Admin;
use super::cluster::Cluster;
use super::decompression::decompression;
use super::error::KafkaError;
use super::log::Span;
use super::timeouts::{READ_TIMEOUT, REQUEST_TIMEOUT};

const LIMITS: Limits = Limits { wait_ms: 100, min_bytes: 1, bytes: 8 << 20, partition_bytes: 8 << 20 };

/// The offsets of a span, counted by what they hold. They add up to its length.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Account {
    /// Records for a reader of committed records.
    pub records: u64,
    /// Markers of transactions.
    pub control: u64,
    /// Records of aborted transactions.
    pub aborted: u64,
    /// Offsets that hold nothing any more, as compaction leaves them.
    pub removed: u64,
}

impl Account {
    pub fn offsets(&self) -> u64 {
        self.records + self.control + self.aborted + self.removed
    }
}

/// The header of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Header {
    base_offset: i64,
    next_offset: i64,
    /// How many of its records lie in the span.
    count: u64,
    kind: BatchKind,
}

/// Accounts for each offset of a span; nothing where only librdkafka can reach the brokers.
pub fn account(admin: &Admin, topic: &str, span: Span) -> Result<Option<Account>, KafkaError> {
    let Some(cluster) = admin.cluster(REQUEST_TIMEOUT)? else { return Ok(None) };
    let topic_id = match cluster.metadata(topic, REQUEST_TIMEOUT)?.topic {
        Ok(found) => found.id,
        Err(_) => return Err(KafkaError::other_topic(topic)),
    };
    let (mut account, mut next_offset) = (Account::default(), span.start);
    // The start of the next batch if there is a gap before it. A gap is believed if a second response shows it.
    let mut gap_to = None;
    let mut last_progress = Instant::now();
    while next_offset < span.end {
        let headers = headers(cluster, topic, &topic_id, span, next_offset)?;
        // Nothing up to the end is a gap as well.
        let begins = headers.first().map_or(span.end, |header| header.base_offset);
        if begins > next_offset && gap_to != Some((next_offset, begins)) {
            gap_to = Some((next_offset, begins));
            continue;
        }
        let before = next_offset;
        if headers.is_empty() {
            account.removed += (span.end - next_offset).unsigned_abs();
            next_offset = span.end;
        }
        for header in headers {
            let is_next = header.base_offset == next_offset || next_offset == before;
            if !is_next || header.next_offset <= next_offset || next_offset >= span.end {
                break;
            }
            account.add(&header, next_offset, span.end);
            next_offset = header.next_offset;
        }
        if next_offset > before {
            last_progress = Instant::now();
        } else if last_progress.elapsed() > READ_TIMEOUT {
            let action = format!("can't account for partition {} from offset {next_offset}", span.partition);
            return Err(KafkaError::code(action, rdkafka::error::RDKafkaErrorCode::BadMessage));
        }
    }
    Ok(Some(account))
}

impl Account {
    /// Adds a batch, and the gap before it, from `next_offset` up to `end`.
    fn add(&mut self, header: &Header, next_offset: i64, end: i64) {
        let length = |from: i64, to: i64| u64::try_from(to - from).unwrap_or(0);
        self.removed += length(next_offset, header.base_offset.min(end));
        let offsets = length(header.base_offset.max(next_offset), header.next_offset.min(end));
        let counted = header.count.min(offsets);
        self.removed += offsets - counted;
        match header.kind {
            BatchKind::Data => self.records += counted,
            BatchKind::Control => self.control += counted,
            BatchKind::Aborted => self.aborted += counted,
        }
    }
}

fn headers(
    cluster: &Cluster,
    topic: &str,
    topic_id: &TopicId,
    span: Span,
    from: i64,
) -> Result<Vec<Header>, KafkaError> {
    cluster.fetch(topic, topic_id, span.partition, from, LIMITS, REQUEST_TIMEOUT, |fetched| {
        let mut transactions = Transactions::new(fetched.aborted);
        fetched
            .batches
            .map(|batch| {
                let batch = batch.map_err(|_| Malformed)?;
                let kind = transactions.kind(&batch);
                let (base_offset, next_offset) = (batch.base_offset, batch.next_offset());
                let count = count_within(&batch, from, span.end);
                Ok(Header { base_offset, next_offset, count, kind })
            })
            .collect()
    })
}

/// How many records of a batch lie in these offsets.
fn count_within(batch: &Batch, from: i64, to: i64) -> u64 {
    let count = u64::from(batch.count);
    if batch.base_offset >= from && batch.next_offset() <= to {
        return count;
    }
    if count == u64::from(batch.last_delta) + 1 {
        let offsets = batch.next_offset().min(to) - batch.base_offset.max(from);
        return u64::try_from(offsets).unwrap_or(0);
    }
    // A compacted batch at the border: only its records say where they lie.
    let mut decompression = decompression();
    let within = |records: Records| {
        let offsets =
            records.map(|record| record.map_or_else(|refused| refused.offset(), |record| record.offset));
        offsets.filter(|offset| (from..to).contains(offset)).count() as u64
    };
    let Some(codec) = batch.codec else {
        return within(Records::of_run(0, i64::MIN, batch.run()));
    };
    decompression.begin(batch, codec);
    let mut count = 0;
    while decompression.advance() {
        count += decompression.records(0, i64::MIN).map_or(0, within);
    }
    count
}
