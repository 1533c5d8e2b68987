//! Opens a partition in the way that was decided: the files that its claim may write.

use super::decision::{How, Refusal};
use super::error::PipelineError;
use super::settings::Settings;
use crate::checkpoint::Checkpoint;
use crate::store::{Claim, Gap, Loaded, Log, StoreError};

/// Opens the partition in the way that was decided. Gives the log and the checkpoint that the files then hold.
pub(super) fn open(
    how: How,
    claim: &mut dyn Claim,
    loaded: Loaded,
    now: &Log,
) -> Result<(Log, Checkpoint), StoreError> {
    let found = || loaded.checkpoint.expect("there is a checkpoint if the decision is to resume");
    match how {
        How::Begin => Ok((now.clone(), claim.start_over(loaded.log.as_ref(), now)?)),
        How::Resume(log) => Ok((log, found())),
        How::ResumeWith(log) => {
            claim.set_log(&log)?;
            Ok((log, found()))
        }
        How::Jump(log, gap) => jump(claim, log, found(), gap),
        How::StartOver(former, _) => {
            let checkpoint = claim.start_over(Some(&former), now)?;
            Ok((now.clone(), checkpoint))
        }
    }
}

/// Continues at the nearest offset that the log holds.
fn jump(
    claim: &mut dyn Claim,
    mut log: Log,
    mut checkpoint: Checkpoint,
    gap: Gap,
) -> Result<(Log, Checkpoint), StoreError> {
    log.note_gap(gap);
    checkpoint.offset = gap.to;
    claim.jump(&log, &checkpoint, gap)?;
    Ok((log, checkpoint))
}

impl How {
    /// A line about it, unless it only continues.
    pub(super) fn describe(&self, partition: i32, now: &Log) -> Option<String> {
        match self {
            How::Begin | How::Resume(_) => None,
            How::ResumeWith(log) => Some(format!(
                "partition {partition} is taken for one of topic {}, which has {} partitions",
                log.topic, log.partitions
            )),
            How::StartOver(former, _) => Some(format!(
                "partition {partition} is counted again from offset {}; what was counted before is in archive/{}",
                now.first_offset, former.topic_id
            )),
            How::Jump(_, gap) => Some(format!(
                "partition {partition} continues at offset {} instead of {}; noted in log.json",
                gap.to, gap.from
            )),
        }
    }
}

impl Refusal {
    pub(super) fn of(self, settings: &Settings, partition: i32, now: &Log) -> PipelineError {
        let (dir, topic) = (settings.dir.clone(), settings.topic.clone());
        let recover = settings.recover_command(Some(partition));
        match self {
            Refusal::OtherTopic(log) => settings.other_log(log.full_name(), now.full_name()),
            Refusal::WithoutLog => PipelineError::WithoutLog { dir, partition, recover },
            Refusal::Gap { offset, low, high } => {
                PipelineError::Gap { topic, partition, offset, low, high, recover }
            }
            Refusal::Truncated(reason) => PipelineError::Truncated { topic, partition, reason, recover },
        }
    }
}
