//! `status.json`: what a consumer says of a partition, at most once a second.

use serde::{Deserialize, Serialize};

use crate::store::Owner;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Status {
    pub partition: i32,
    pub topic: String,
    /// The next offset to read, as the checkpoint has it.
    pub offset: i64,
    /// One past the last record that all in-sync replicas have; unknown until the first fetch.
    pub high_watermark: Option<i64>,
    /// Records between the two.
    pub lag: Option<i64>,
    /// Records per second since the last status.
    pub rate: f64,
    /// What became of the records since `owner` took the partition.
    pub counted: u64,
    pub duplicates: u64,
    pub rejected: u64,
    /// Days in the checkpoint, and the newest of them.
    pub days: u64,
    pub newest: Option<String>,
    /// When a checkpoint last moved the offset, RFC 3339.
    pub last_durable: Option<String>,
    /// How long that took, in seconds.
    pub checkpoint_seconds: f64,
    pub owner: Owner,
    /// When this was written, RFC 3339.
    pub written: String,
}
