//! All durable state of a partition, behind the verbs of [`Store`] and [`Claim`].
//!
//! This is the only place that renames and syncs. The right to write is the owner epoch, a directory
//! `.almanac/N/EPOCH`: every file is written there first and renamed into place from there. A new owner
//! removes the epochs below its own. A former owner that wakes up finds its directory gone: its
//! rename fails, and nothing of the new owner's is overwritten. The lock only says who is alive.
//!
//! The epoch is a directory, not its path: DIR may be removed, renamed or replaced, and the same path lead to another
//! owner's. So a temporary file is created by the handle of the epoch's directory, and renamed from where that file is
//! found by its path from the handle of DIR. If the two are no longer the same, there is no such file.

#![allow(clippy::disallowed_methods, reason = "the one place that renames")]

mod begun;
mod epoch;
mod error;
mod files;
mod home;
mod keep;
mod local;
mod paths;
mod place;
mod reading;

pub use almanac_core::log::{Gap, LeaderEpoch, Log};
pub use almanac_core::owner::Owner;
pub use almanac_core::rejected::{Rejected, passed_entries, rejected_entries};
pub use begun::{Begun, begun_in, note_begun};
pub use epoch::this_process;
pub use error::StoreError;
pub use files::{Identity, size_and_time};
pub use home::Home;
pub use keep::{Change, Claim, Store, Version};
pub use local::{LocalClaim, prepare, refuse_owned};
pub use paths::{Paths, checkpoint_name};
pub use place::{load_place, place_in};
pub use reading::{
    CHECKPOINT_BYTES_MAX, Loaded, check, checkpoints_in, count_rejected, durable_of, first_reason, load,
    load_checkpoint, load_checkpoint_as_is, load_log, load_rejected, load_status, logs_in, partitions_in,
    rejected_in, topics_in,
};

/// The place that keeps checkpoints in DIR.
pub fn open(dir: &std::path::Path) -> Result<Box<dyn Store>, StoreError> {
    // Held for as long as the process runs: nothing is written to another directory that gets its name.
    Ok(Box::new(Home::open(dir)?))
}

#[cfg(test)]
mod tests;
