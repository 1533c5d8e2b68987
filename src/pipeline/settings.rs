//! The settings of a consumer.

use std::path::PathBuf;
use std::time::Duration;

use crate::arguments::command_line;
use crate::kafka::Connection;
use crate::status::Board;

/// How long there may be lag and no new checkpoint before the user hears of it, if nothing else is said.
pub const STALL_AFTER: Duration = Duration::from_secs(30);

/// The topic, the partitions, DIR, and how to keep checkpoints.
#[derive(Clone, Debug)]
pub struct Settings {
    pub connection: Connection,
    pub topic: String,
    pub dir: PathBuf,
    pub group: String,
    /// The station whose reports are counted, if the user has named it.
    pub station: Option<String>,
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
    /// Shows each status to the rest of the process.
    pub board: Board,
}

impl Settings {
    /// The command by which the user decides about one partition, or about all in DIR.
    pub(super) fn recover_command(&self, partition: Option<i32>) -> String {
        let partition = partition.map_or(String::new(), |partition| format!(" {partition}"));
        let dir = self.dir.display().to_string();
        let given = [("-b", self.connection.brokers.as_str()), ("-t", &self.topic), ("-d", &dir)];
        command_line(&format!("almanac recover{partition}"), &given)
    }
}

/// The user's decisions for files and logs that do not fit together. By default there are none.
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

/// The action if the checkpoint's offset lies outside of the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnGap {
    #[default]
    Fail,
    /// Archive what was counted, and count what is left.
    Restart,
    /// Go on with what is left.
    Continue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_what_differs_from_the_defaults() {
        let settings = |brokers: &str, topic: &str, dir: &str| Settings {
            connection: Connection { brokers: brokers.to_owned(), properties: Vec::new() },
            topic: topic.to_owned(),
            dir: dir.into(),
            group: String::new(),
            station: None,
            partitions: None,
            take_over: false,
            handover_timeout: Duration::ZERO,
            checkpoint_every: None,
            stall_after: STALL_AFTER,
            policy: Policy::default(),
            board: Board::default(),
        };
        let usual = settings("localhost:9092", "temperatures", "files");
        assert_eq!(usual.recover_command(None), "almanac recover");
        assert_eq!(usual.recover_command(Some(2)), "almanac recover 2");
        let other = settings("a:1,b:2", "rain", "/srv/it's here");
        let expected = "almanac recover 2 -b a:1,b:2 -t rain -d '/srv/it'\\''s here'";
        assert_eq!(other.recover_command(Some(2)), expected);
    }
}
