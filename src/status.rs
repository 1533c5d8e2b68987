//! What a consumer says of a partition, at most once a second: in `status.json`, and on a board in its own memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;

pub use almanac_core::status::{State, Status};

use crate::checkpoint::Checkpoint;

/// What the file of a checkpoint holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Durable {
    /// The next offset to read.
    pub offset: i64,
    pub days: u64,
    pub newest: Option<Date>,
    pub bytes: u64,
    /// When the file was replaced last.
    pub written: Option<Timestamp>,
}

impl Durable {
    pub fn of(checkpoint: &Checkpoint, bytes: u64, written: Option<Timestamp>) -> Durable {
        let Checkpoint { offset, statistics, .. } = checkpoint;
        Durable { offset: *offset, days: statistics.days(), newest: statistics.newest(), bytes, written }
    }
}

/// The latest status of each partition that this process owns, in its memory, with what the checkpoint's file holds.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<BTreeMap<i32, (Status, Durable)>>>);

impl Board {
    pub fn show(&self, status: &Status, durable: Durable) {
        self.lock().insert(status.partition, (status.clone(), durable));
    }

    /// Takes away those of all other partitions.
    pub fn keep(&self, is_kept: impl Fn(i32) -> bool) {
        self.lock().retain(|partition, _| is_kept(*partition));
    }

    /// In the order of the partitions.
    pub fn all(&self) -> Vec<(Status, Durable)> {
        self.lock().values().cloned().collect()
    }

    /// A panic elsewhere leaves no status in half.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, (Status, Durable)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_former_version_wrote_is_read() {
        let status = crate::view::tests::facts(2).status.unwrap();
        let mut json = serde_json::to_value(&status).unwrap();
        for name in ["checkpoint_bytes", "rebalances", "broker_errors"] {
            json.as_object_mut().unwrap().remove(name).unwrap();
        }
        assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
    }
}
