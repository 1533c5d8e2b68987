//! Why a consumer stops.

use std::path::PathBuf;

use super::settings::Settings;
use crate::failure::{Exit, Failure, fact};
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

    #[error("topic {topic} has partitions 0 to {}, not {partition}", partitions - 1)]
    NoSuchPartition { topic: String, partition: i32, partitions: i32 },

    #[error("the brokers' responses about the log of partition {partition} of {topic} differ")]
    Unclear { topic: String, partition: i32 },

    #[error(
        "partition {partition} of {topic}: the checkpoint is at offset {offset}, but the log holds offsets {low} to {high} only; nothing was overwritten"
    )]
    Gap { topic: String, partition: i32, offset: i64, low: i64, high: i64, recover: String },

    #[error(
        "partition {partition} of {topic}: the log was truncated below what was counted, and may have grown since; nothing was overwritten ({reason})"
    )]
    Truncated { topic: String, partition: i32, reason: String, recover: String },

    #[error("{} belongs to topic {theirs}, but this is topic {ours}", dir.display())]
    OtherLog { dir: PathBuf, theirs: String, ours: String, recover: String },

    #[error("{} counts reports of {theirs}, but `--station` names {ours}", dir.display())]
    OtherStation { dir: PathBuf, theirs: String, ours: String },

    #[error(
        "{}/partition-{partition}.json has no .almanac/{partition}/log.json, so it is not known which log it counts; nothing was overwritten", dir.display()
    )]
    WithoutLog { dir: PathBuf, partition: i32, recover: String },

    #[error(
        "topic {topic} has {now} partitions, and had {before} when counting began in {}: months lie in other partitions now, so a duplicate can be counted twice", dir.display()
    )]
    Repartitioned { dir: PathBuf, topic: String, before: i32, now: i32, recover: String },
}

impl Failure for PipelineError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            PipelineError::Kafka(error) => return error.hint(),
            PipelineError::Store(error) => return error.hint(),
            PipelineError::OpenFiles { needed, .. } => needed.hint(),
            PipelineError::Unclear { .. } => {
                "run the command again once the topic does not change".to_owned()
            }
            PipelineError::NoSuchPartition { .. } => {
                "name partitions that the topic has, or none to have the group assign some".to_owned()
            }
            PipelineError::Gap { offset, low, high, recover, .. } => {
                let nearest = if offset < low { low } else { high };
                format!(
                    "continue at offset {nearest} with `{recover} --continue`, or count again what is left with \
                     `{recover} --restart`"
                )
            }
            PipelineError::Truncated { recover, .. } => {
                format!("count the log again with `{recover} --restart`")
            }
            PipelineError::OtherLog { recover, .. } => {
                format!("name another --dir, or archive what was counted with `{recover} --new-log`")
            }
            PipelineError::OtherStation { .. } => "name another --dir, or leave --station out".to_owned(),
            PipelineError::WithoutLog { recover, .. } => {
                format!(
                    "move the checkpoint away to count again, or accept it as one of this topic with `{recover} --adopt`"
                )
            }
            PipelineError::Repartitioned { recover, .. } => {
                format!("recreate the topic with all its history, or continue with `{recover} --repartition`")
            }
        };
        Some(hint)
    }

    fn exit(&self) -> Exit {
        match self {
            PipelineError::Kafka(error) => error.exit(),
            PipelineError::Store(error) => error.exit(),
            PipelineError::OpenFiles { .. } => Exit::Disk,
            PipelineError::Unclear { .. } => Exit::Kafka,
            PipelineError::NoSuchPartition { .. } => Exit::Usage,
            PipelineError::Gap { .. }
            | PipelineError::Truncated { .. }
            | PipelineError::OtherLog { .. }
            | PipelineError::OtherStation { .. }
            | PipelineError::WithoutLog { .. }
            | PipelineError::Repartitioned { .. } => Exit::Checkpoint,
        }
    }
}

impl PipelineError {
    /// With what the partitions need, if there is not enough of it.
    pub(super) fn with_open_files(self, partitions: usize) -> PipelineError {
        if !limits::is_exceeded(&self) {
            return self;
        }
        PipelineError::OpenFiles { what: fact(&self), needed: limits::Needed { partitions } }
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
                    | StoreError::Denied { .. }
                    | StoreError::Racy { .. }
                    | StoreError::BadUrl { .. }
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
