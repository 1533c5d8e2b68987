//! `status.json`: a consumer writes the status of each partition, at most once a second.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::owner::Owner;

/// Whether a partition makes progress.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Running,
    /// Kafka, or the partition's leader, does not answer, or a transaction is open; `waiting_for` has the cause.
    Waiting,
    /// There is something to count, and no checkpoint has come of it for longer than `--stall-after`.
    Stalled,
    /// The consumer has ended in good order.
    Stopped,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Status {
    pub partition: i32,
    pub topic: String,
    pub state: State,
    /// The next offset to read, as the checkpoint has it.
    pub offset: i64,
    /// The next offset to read, as the consumer has it; what lies between the two is not durable yet.
    pub position: i64,
    /// One past the last record that all in-sync replicas have; unknown until the first fetch.
    pub high_watermark: Option<i64>,
    /// Offsets between it and the checkpoint's.
    pub lag: Option<i64>,
    /// Records per second since the last status.
    pub rate: f64,
    /// The outcomes of the records since `owner` took the partition.
    pub counted: u64,
    pub duplicates: u64,
    pub rejected: u64,
    /// Lines of the rejected file: all records of the log so far that were rejected.
    #[serde(default)]
    pub rejected_total: Option<u64>,
    /// Days in the checkpoint, and the newest of them.
    pub days: u64,
    pub newest: Option<String>,
    /// When a checkpoint last moved the offset, RFC 3339; nothing where none has since `owner` took the partition.
    pub last_durable: Option<String>,
    /// When there was last nothing to count, or a checkpoint moved the offset, RFC 3339.
    #[serde(default)]
    pub last_progress: Option<String>,
    /// The same, where it has stalled.
    pub stalled_since: Option<String>,
    /// How long the last checkpoint took, in seconds.
    pub checkpoint_seconds: f64,
    /// How large its file is.
    #[serde(default)]
    pub checkpoint_bytes: u64,
    /// Of all its partitions, since `owner` started: how often the group assigned or revoked some,
    #[serde(default)]
    pub rebalances: u64,
    /// and how many errors of connections and requests the Kafka client reported.
    #[serde(default)]
    pub broker_errors: u64,
    /// Why nothing comes, while that is so.
    #[serde(default)]
    pub waiting_for: Option<String>,
    pub owner: Owner,
    /// How often it is written, in seconds, where that is not once a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_every: Option<u64>,
    /// When this was written, RFC 3339.
    pub written: String,
}

/// A summary of a checkpoint's file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Durable {
    /// The next offset to read.
    pub offset: i64,
    pub days: u64,
    pub newest: Option<Date>,
    pub bytes: u64,
    /// When the file was replaced last.
    pub written: Option<Timestamp>,
}

impl Durable {
    pub fn of(checkpoint: &Checkpoint, bytes: u64, written: Option<Timestamp>) -> Durable {
        let Checkpoint { offset, statistics, .. } = checkpoint;
        Durable { offset: *offset, days: statistics.days(), newest: statistics.newest(), bytes, written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_former_version_is_read() {
        let status = crate::view::tests::facts(2).status.unwrap();
        let mut json = serde_json::to_value(&status).unwrap();
        for name in ["checkpoint_bytes", "rebalances", "broker_errors"] {
            json.as_object_mut().unwrap().remove(name).unwrap();
        }
        assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
    }
}
