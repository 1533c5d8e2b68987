//! Reading what a topic holds now, from offset to offset, without a group.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Admin, Batch, Connection, Consumer, Item, KafkaError, Position, Record, StartAt};

/// How long the brokers may say nothing in the middle of a read.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const ANSWER_MAX: Duration = Duration::from_secs(10);
const POLL_MAX: Duration = Duration::from_millis(100);

/// Which part of each partition to read.
#[derive(Clone, Copy, Debug)]
pub enum Range {
    All,
    /// The last so many offsets.
    Tail(i64),
}

/// Calls `each` with every committed record of `range`, and says how many offsets the topic holds.
pub fn read_log(
    connection: &Connection,
    admin: &Admin,
    topic: &str,
    partitions: i32,
    range: Range,
    mut each: impl FnMut(&Record),
) -> Result<i64, KafkaError> {
    let mut positions = Vec::new();
    let mut held = 0;
    for partition in 0..partitions {
        let (low, high) = admin.watermarks(topic, partition, ANSWER_MAX)?;
        held += high - low;
        let next_offset = match range {
            Range::All => low,
            Range::Tail(count) => low.max(high - count),
        };
        if high > next_offset {
            let start = StartAt::Offset { next_offset, leader_epoch: None };
            positions.push(Position { partition, start });
        }
    }
    let mut unfinished: BTreeSet<i32> = positions.iter().map(|position| position.partition).collect();
    let consumer = Consumer::reader(connection, topic)?;
    consumer.assign(&positions)?;
    let mut batch = Batch::with_capacity(4096);
    let mut last_heard = Instant::now();
    while !unfinished.is_empty() {
        consumer.poll(&mut batch, POLL_MAX);
        for item in batch.iter() {
            match item {
                Item::Record(record) => each(&record),
                Item::EndOfPartition { partition, .. } => {
                    unfinished.remove(&partition);
                }
                Item::Failed { error, .. } if error.is_transient() => continue,
                Item::Failed { error, .. } => return Err(error),
            }
            last_heard = Instant::now();
        }
        if last_heard.elapsed() > SILENCE_MAX {
            return Err(KafkaError::Unreachable {
                brokers: connection.brokers.clone(),
                reason: format!("nothing heard of topic {topic} for {} s", SILENCE_MAX.as_secs()),
            });
        }
    }
    drop(batch);
    Ok(held)
}
