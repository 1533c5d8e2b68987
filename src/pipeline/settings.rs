//! What a consumer is told to do.

use std::path::PathBuf;
use std::time::Duration;

use crate::kafka::Connection;
use crate::status::Board;

/// How long there may be lag and no new checkpoint before the user hears of it, if nothing else is said.
pub const STALL_AFTER: Duration = Duration::from_secs(30);

/// What to read, where to keep it, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    pub connection: Connection,
    pub topic: String,
    pub dir: PathBuf,
    pub group: String,
    /// These partitions, or those that the group assigns.
    pub partitions: Option<Vec<i32>>,
    /// Take partitions from a living owner at once.
    pub take_over: bool,
    /// How long a partition that the group assigned may still be held by its former owner.
    pub handover_timeout: Duration,
    /// A fixed pace of checkpoints, instead of "as long as they take at most 5 % of the time".
    pub checkpoint_every: Option<Duration>,
    /// How long there may be lag and no new checkpoint before the user hears of it.
    pub stall_after: Duration,
    pub policy: Policy,
    /// Where each status is shown to the rest of the process.
    pub board: Board,
}

/// What may be done where files and log do not fit together. By default nothing: the user decides.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    pub on_gap: OnGap,
    /// Whether DIR may go over to another topic or cluster; its checkpoints are archived.
    pub accept_new_log: bool,
    /// Whether checkpoints that have lost their `log.json` may be taken for those of this topic.
    pub adopt: bool,
    /// Whether the topic may have another number of partitions than before.
    pub allow_repartition: bool,
}

/// What to do where the checkpoint's offset lies outside of the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnGap {
    #[default]
    Fail,
    /// Archive what was counted, and count what is left.
    Restart,
    /// Go on with what is left.
    Continue,
}
