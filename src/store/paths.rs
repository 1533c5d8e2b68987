//! The places of a partition's files in DIR.

use std::path::{Path, PathBuf};

/// In `.almanac/N`.
pub(super) const LOCK: &str = "lock";

/// The files of one partition in DIR.
#[derive(Clone, Debug)]
pub struct Paths {
    dir: PathBuf,
    partition: i32,
}

impl Paths {
    pub fn new(dir: &Path, partition: i32) -> Self {
        Paths { dir: dir.to_owned(), partition }
    }

    pub fn partition(&self) -> i32 {
        self.partition
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.dir.join(checkpoint_name(self.partition))
    }

    pub fn rejected(&self) -> PathBuf {
        self.dir.join(format!("partition-{}.rejected.jsonl", self.partition))
    }

    pub fn status(&self) -> PathBuf {
        self.private().join("status.json")
    }

    pub fn log(&self) -> PathBuf {
        self.private().join("log.json")
    }

    pub(super) fn private(&self) -> PathBuf {
        self.dir.join(".almanac").join(self.partition.to_string())
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.private().join(LOCK)
    }

    pub(super) fn archive(&self, topic_id: &str) -> PathBuf {
        self.dir.join("archive").join(topic_id)
    }
}

/// The name of a partition's checkpoint in DIR.
pub fn checkpoint_name(partition: i32) -> String {
    format!("partition-{partition}.json")
}

/// Whether DIR is in an object store, as in `s3://bucket/prefix`.
pub fn is_url(dir: &Path) -> bool {
    let Some((scheme, _)) = dir.to_str().and_then(|dir| dir.split_once("://")) else { return false };
    !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Where DIR has the place of a log.
pub(super) fn place_path(dir: &Path, topic_id: &str) -> PathBuf {
    dir.join(".almanac").join("places").join(format!("{topic_id}.json"))
}
