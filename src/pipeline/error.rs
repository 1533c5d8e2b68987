//! Why a consumer stops.

use std::path::PathBuf;

use crate::kafka::KafkaError;
use crate::limits;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),

    #[error(transparent)]
    Store(#[from] StoreError),

    #[error("{what}; {needed}")]
    OpenFiles { what: String, needed: limits::Needed },

    #[error(
        "topic {topic} has partitions 0 to {}, not {partition}\nhint: name partitions that it has, or none to be assigned some",
        partitions - 1
    )]
    NoSuchPartition { topic: String, partition: i32, partitions: i32 },

    #[error(
        "partition {partition} of {topic}: the checkpoint goes on at offset {offset}, but the log holds offsets {low} to {high} only; nothing was overwritten\nhint: --on-gap continue goes on at offset {}, --on-gap restart archives what was counted and counts what is left",
        if offset < low { low } else { high }
    )]
    Gap { topic: String, partition: i32, offset: i64, low: i64, high: i64 },

    #[error(
        "partition {partition} of {topic}: the log was cut below what has been counted, and may have grown again since; nothing was overwritten ({reason})\nhint: --on-gap restart archives what was counted and counts the log as it is now"
    )]
    Truncated { topic: String, partition: i32, reason: String },

    #[error(
        "{} belongs to topic {theirs}, but this is topic {ours}\nhint: name another --dir, or archive what was counted with --new-log", dir.display()
    )]
    OtherLog { dir: PathBuf, theirs: String, ours: String },

    #[error(
        "{}/partition-{partition}.json has no .almanac/{partition}/log.json, so which log it counts is unknown; nothing was overwritten\nhint: --adopt takes it for one of this topic; move it away to count again, or name another --dir", dir.display()
    )]
    WithoutLog { dir: PathBuf, partition: i32 },

    #[error(
        "topic {topic} has {now} partitions, and had {before} when counting began in {}: months lie in other partitions now, so a repeated day can be counted twice\nhint: --allow-repartition goes on all the same; or create the topic again, with all its history", dir.display()
    )]
    Repartitioned { dir: PathBuf, topic: String, before: i32, now: i32 },
}

impl PipelineError {
    /// With what the partitions need, if there is not enough of it.
    pub(super) fn with_open_files(self, partitions: usize) -> PipelineError {
        if !limits::is_exceeded(&self) {
            return self;
        }
        let what: Vec<String> = anyhow::Chain::new(&self).map(ToString::to_string).collect();
        PipelineError::OpenFiles { what: what.join(": "), needed: limits::Needed { partitions } }
    }

    /// Whether the error concerns one partition's files only, so that a group's other partitions can go on.
    pub(super) fn is_of_one_partition(&self) -> bool {
        match self {
            PipelineError::Store(error) => !matches!(
                error,
                StoreError::Io { .. }
                    | StoreError::NoDir { .. }
                    | StoreError::DirGone { .. }
                    | StoreError::Evicted { .. }
            ),
            PipelineError::Gap { .. }
            | PipelineError::Truncated { .. }
            | PipelineError::WithoutLog { .. } => true,
            _ => false,
        }
    }
}
