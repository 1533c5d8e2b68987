//! The status that a consumer reports of a partition, at most once a second: in `status.json`, and on a board in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use almanac_core::status::{Durable, State, Status};

/// The latest status of each partition that this process owns, in its memory, with what the checkpoint's file holds.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    statuses: BTreeMap<i32, (Status, Durable)>,
    /// Why Kafka does not answer, while it does not.
    obstacle: Option<String>,
}

impl Board {
    pub fn show(&self, status: &Status, durable: Durable) {
        self.lock().statuses.insert(status.partition, (status.clone(), durable));
    }

    /// Takes away those of all other partitions.
    pub fn keep(&self, is_kept: impl Fn(i32) -> bool) {
        self.lock().statuses.retain(|partition, _| is_kept(*partition));
    }

    /// In the order of the partitions.
    pub fn all(&self) -> Vec<(Status, Durable)> {
        self.lock().statuses.values().cloned().collect()
    }

    pub fn set_obstacle(&self, obstacle: Option<String>) {
        self.lock().obstacle = obstacle;
    }

    /// Why Kafka does not answer, while it does not.
    pub fn obstacle(&self) -> Option<String> {
        self.lock().obstacle.clone()
    }

    /// A panic elsewhere leaves no status in half.
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
