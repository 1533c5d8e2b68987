//! Why a consumer stops.

use std::path::PathBuf;

use super::settings::Settings;
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
        "partition {partition} of {topic}: the checkpoint is at offset {offset}, but the log holds offsets {low} to {high} only; nothing was overwritten\nhint: continue at offset {} with '{recover} --continue', or count again what is left with '{recover} --restart'",
        if offset < low { low } else { high }
    )]
    Gap { topic: String, partition: i32, offset: i64, low: i64, high: i64, recover: String },

    #[error(
        "partition {partition} of {topic}: the log was truncated below what was counted, and may have grown since; nothing was overwritten ({reason})\nhint: count the log again with '{recover} --restart'"
    )]
    Truncated { topic: String, partition: i32, reason: String, recover: String },

    #[error(
        "{} belongs to topic {theirs}, but this is topic {ours}\nhint: name another --dir, or archive what was counted with '{recover} --new-log'", dir.display()
    )]
    OtherLog { dir: PathBuf, theirs: String, ours: String, recover: String },

    #[error(
        "{}/partition-{partition}.json has no .almanac/{partition}/log.json, so it is not known which log it counts; nothing was overwritten\nhint: move it away to count again, or take it for one of this topic with '{recover} --adopt'", dir.display()
    )]
    WithoutLog { dir: PathBuf, partition: i32, recover: String },

    #[error(
        "topic {topic} has {now} partitions, and had {before} when counting began in {}: months lie in other partitions now, so a duplicate can be counted twice\nhint: recreate the topic with all its history, or continue with '{recover} --repartition'", dir.display()
    )]
    Repartitioned { dir: PathBuf, topic: String, before: i32, now: i32, recover: String },
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

impl Settings {
    pub(super) fn other_log(&self, theirs: String, ours: String) -> PipelineError {
        PipelineError::OtherLog { dir: self.dir.clone(), theirs, ours, recover: self.recover_command(None) }
    }
}
