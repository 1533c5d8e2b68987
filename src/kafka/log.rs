//! Reading what a topic holds, from offset to offset, without a group.

use std::collections::BTreeMap;
use std::time::Instant;

use almanac_core::protocol::batches::{Record, Refused};

use super::admin::Admin;
use super::assignment::{Position, StartAt};
use super::config::Connection;
use super::consumer::Consumer;
use super::error::KafkaError;
use super::received::{Item, Received};
use super::timeouts::{POLL_TIMEOUT, READ_TIMEOUT, REQUEST_TIMEOUT};

/// A part of a partition's log: the offsets from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    pub partition: i32,
    pub start: i64,
    pub end: i64,
}

impl Span {
    /// How many offsets it holds; no more records than that.
    pub fn len(&self) -> i64 {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Its last `count` offsets.
    pub fn tail(self, count: i64) -> Span {
        Span { start: self.start.max(self.end - count), ..self }
    }
}

/// All offsets that each partition holds now.
pub fn extent(admin: &Admin, topic: &str, partitions: i32) -> Result<Vec<Span>, KafkaError> {
    let span = |partition| {
        let (start, end) = admin.watermarks(topic, partition, REQUEST_TIMEOUT)?;
        Ok(Span { partition, start, end })
    };
    (0..partitions).map(span).collect()
}

/// Calls `each` with every committed record of these spans, in offset order within a partition. Those that can't be
/// decoded are left out.
pub fn read_spans(
    connection: &Connection,
    topic: &str,
    spans: &[Span],
    mut each: impl FnMut(&Record),
) -> Result<(), KafkaError> {
    read_all_of_spans(connection, topic, spans, |record| {
        if let Ok(record) = record {
            each(&record);
        }
    })
}

/// The same with what can't be decoded.
pub fn read_all_of_spans(
    connection: &Connection,
    topic: &str,
    spans: &[Span],
    mut each: impl FnMut(Result<Record, Box<Refused>>),
) -> Result<(), KafkaError> {
    let mut unfinished: BTreeMap<i32, i64> =
        spans.iter().filter(|span| !span.is_empty()).map(|span| (span.partition, span.end)).collect();
    let positions: Vec<Position> = spans
        .iter()
        .filter(|span| !span.is_empty())
        .map(|span| Position {
            partition: span.partition,
            start: StartAt::Offset { next_offset: span.start, leader_epoch: None },
        })
        .collect();
    let mut consumer = Consumer::bounded(connection, topic)?;
    consumer.add(&positions)?;
    let mut received = Received::default();
    let mut last_progress = Instant::now();
    while !unfinished.is_empty() {
        consumer.poll(&mut received, POLL_TIMEOUT);
        while let Some(item) = received.next() {
            match item {
                Item::Records(records) => {
                    let partition = records.partition;
                    let end = unfinished.get(&partition).copied().unwrap_or(i64::MIN);
                    for record in records {
                        let (offset, next_offset) = match &record {
                            Ok(record) => (record.offset, record.offset.saturating_add(1)),
                            Err(refused) => (refused.offset(), refused.next_offset()),
                        };
                        if offset < end {
                            each(record);
                        }
                        if next_offset >= end {
                            unfinished.remove(&partition);
                            break;
                        }
                    }
                }
                Item::EndOfPartition { partition, .. } => {
                    unfinished.remove(&partition);
                }
                Item::Failed { error, .. } if error.is_transient() => continue,
                Item::Failed { error, .. } => return Err(error),
            }
            last_progress = Instant::now();
        }
        if last_progress.elapsed() > READ_TIMEOUT {
            return Err(KafkaError::Unreachable {
                brokers: connection.brokers.clone(),
                reason: format!("nothing heard of topic {topic} for {} s", READ_TIMEOUT.as_secs()),
            });
        }
    }
    Ok(())
}
