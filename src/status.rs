//! The status that a consumer reports of a partition, at most once a second: in `status.json`, and on a board in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use almanac_core::status::{Durable, State, Status};

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
