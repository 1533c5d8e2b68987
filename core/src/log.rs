//! `log.json`: which log the offsets of a checkpoint belong to.

use serde::{Deserialize, Serialize, de};

/// The log that the offsets of a checkpoint belong to: `log.json`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub cluster_id: String,
    pub topic: String,
    /// Never reused by Kafka: a topic of the same name created again has another.
    pub topic_id: String,
    /// How many the topic has; with another number, months lie in other partitions.
    pub partitions: i32,
    /// The offset that counting began with.
    pub first_offset: i64,
    /// In rising order.
    pub leader_epochs: Vec<LeaderEpoch>,
    /// Gaps that the user accepted: records that were gone from the log, in the order in which almanac noticed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// almanac is archiving the checkpoint of this log: the file may still be the former one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_starting_over: bool,
}

/// The next offset was `from`, and counting went on at `to`: later, where records were removed; earlier, where the
/// log was cut.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    pub from: i64,
    pub to: i64,
}

impl Log {
    /// The leader epoch of the last record below `next_offset`.
    pub fn epoch_before(&self, next_offset: i64) -> Option<i32> {
        self.leader_epochs.iter().rfind(|epoch| epoch.first_offset < next_offset).map(|epoch| epoch.epoch)
    }

    /// As in error messages.
    pub fn full_name(&self) -> String {
        format!("{} of cluster {}", self.topic, self.cluster_id)
    }

    /// Notes that counting continues at `gap.to`, instead of a note of the same place.
    pub fn note_gap(&mut self, gap: Gap) {
        self.gaps.pop_if(|noted| noted.from == gap.from);
        self.gaps.push(gap);
    }

    /// Whether a checkpoint of it may have an offset lower than one that it had before: where the log was cut, and
    /// counting went on at its new end.
    pub fn may_go_back(&self) -> bool {
        self.is_starting_over || self.gaps.iter().any(|gap| gap.to < gap.from)
    }

    /// Reads a file's bytes, and refuses what could not have been written. The error names line and column where
    /// it is of one place.
    pub fn from_json(json: &[u8]) -> Result<Log, serde_json::Error> {
        let log: Log = serde_json::from_slice(json)?;
        log.check().map_err(de::Error::custom)?;
        Ok(log)
    }

    /// Refuses what could not have been written.
    pub(crate) fn check(&self) -> Result<(), String> {
        // It becomes the name of a directory in the archive.
        if !is_topic_id(&self.topic_id) {
            return Err("topic_id is not 22 characters of URL-safe base64".to_owned());
        }
        if self.partitions < 1 {
            return Err(format!("{} is not a valid number of partitions", self.partitions));
        }
        // A negative offset would be one of the client's names for the start and the end of a partition.
        if self.first_offset < 0 {
            return Err(format!("first_offset {} is negative", self.first_offset));
        }
        if self.leader_epochs.iter().any(|epoch| epoch.epoch < 0 || epoch.first_offset < 0) {
            return Err("a leader epoch is negative".to_owned());
        }
        if self.gaps.iter().any(|gap| gap.from < 0 || gap.to < 0) {
            return Err("a gap has a negative offset".to_owned());
        }
        // Their first offsets need not rise: of an epoch noted just before a crash, the log may have been cut since.
        if !self.leader_epochs.is_sorted_by(|one, next| one.epoch < next.epoch) {
            return Err("leader_epochs do not rise".to_owned());
        }
        Ok(())
    }
}

/// Whether it has the form of Kafka's topic ids, and so can't lead out of a directory.
fn is_topic_id(id: &str) -> bool {
    id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// A leader epoch of the log, and the first offset that was read of it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LeaderEpoch {
    pub epoch: i32,
    pub first_offset: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::json_line;

    fn log(topic_id: &str) -> Log {
        Log {
            cluster_id: "cluster".to_owned(),
            topic: "temperatures".to_owned(),
            topic_id: topic_id.to_owned(),
            partitions: 4,
            first_offset: 0,
            leader_epochs: vec![LeaderEpoch { epoch: 3, first_offset: 0 }],
            gaps: Vec::new(),
            is_starting_over: false,
        }
    }

    #[test]
    fn a_log_that_could_not_have_been_written_is_refused() {
        let good = String::from_utf8(json_line(&log("one-------------------"))).unwrap();
        assert_eq!(Log::from_json(good.as_bytes()).unwrap(), log("one-------------------"));
        for (from, to, reason) in [
            ("\"topic_id\":\"one-------------------\"", "\"topic_id\":1", "invalid type: integer"),
            ("\"topic_id\":\"one-------------------\",", "", "missing field `topic_id`"),
            (
                "\"topic_id\":\"one-------------------\",",
                "\"topic_id\":\"one-------------------\",\"topic_id\":\"one-------------------\",",
                "duplicate field `topic_id`",
            ),
            ("\"topic_id\":", "\"id\":\"\",\"topic_id\":", "unknown field `id`"),
            ("\"first_offset\":0", "\"first_offset\":-1", "first_offset -1 is negative"),
            ("\"epoch\":3", "\"epoch\":-3", "a leader epoch is negative"),
            (
                "\"epoch\":3,\"first_offset\":0",
                "\"epoch\":3,\"first_offset\":-5",
                "a leader epoch is negative",
            ),
            ("[{", "[{\"epoch\":3,\"first_offset\":0},{", "leader_epochs do not rise"),
            ("\"epoch\":3", "\"epoch\":2147483648", "invalid value: integer"),
            ("one-", "../-", "topic_id is not 22 characters of URL-safe base64"),
            ("one-", "", "topic_id is not 22 characters of URL-safe base64"),
            ("one-", "/tmp", "topic_id is not 22 characters of URL-safe base64"),
            ("one-", "one--", "topic_id is not 22 characters of URL-safe base64"),
            ("one-", "one+", "topic_id is not 22 characters of URL-safe base64"),
            ("one-------------------", "", "topic_id is not 22 characters of URL-safe base64"),
            ("\"partitions\":4", "\"partitions\":0", "0 is not a valid number of partitions"),
            ("]}\n", "],\"gaps\":[{\"from\":-1,\"to\":0}]}\n", "a gap has a negative offset"),
            ("}\n", "}}\n", "trailing characters"),
        ] {
            assert!(good.contains(from), "{from}");
            let error = Log::from_json(good.replacen(from, to, 1).as_bytes()).expect_err(to).to_string();
            assert!(error.contains(reason), "{to}\n{error}");
        }
    }
}
