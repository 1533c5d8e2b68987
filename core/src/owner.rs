//! The lock file: who owns a partition.

use serde::{Deserialize, Serialize};

/// The owner of a partition, as its lock file names it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Owner {
    pub pid: u32,
    pub host: String,
    /// When it took the partition, RFC 3339.
    pub since: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        if *self == Owner::default() {
            return formatter.write_str("another process");
        }
        write!(formatter, "process {} on {} since {}", self.pid, self.host, self.since)
    }
}
