//! All durable state of a partition, behind the verbs of [`Store`] and [`Claim`].
//!
//! DIR is a directory, or a prefix of an object store (`object`). This is about the directory.
//!
//! Only the store renames and syncs a partition's files. The right to write is the owner epoch, a directory
//! `.almanac/N/EPOCH`: every file is written there first and renamed into place from there. A new owner
//! removes the epochs below its own. A former owner that wakes up finds its directory gone: its
//! rename fails, and nothing of the new owner's is overwritten. The lock only says who is alive.
//!
//! The epoch is a directory, not its path: DIR may be removed, renamed or replaced, and the same path lead to another
//! owner's. So a temporary file is created by the handle of the epoch's directory, and renamed from where that file is
//! found by its path from the handle of DIR. If the two are no longer the same, there is no such file.

#![allow(clippy::disallowed_methods, reason = "the one place that renames")]

use std::path::Path;
use std::sync::Arc;

mod begun;
mod directory;
mod epoch;
mod error;
mod files;
mod home;
mod keep;
mod local;
#[cfg(feature = "object-store")]
mod object;
#[cfg(not(feature = "object-store"))]
#[path = "store/without.rs"]
mod object;
mod paths;
mod place;
mod reading;
mod topic;

pub use almanac_core::log::{Gap, LeaderEpoch, Log};
pub use almanac_core::owner::Owner;
pub use almanac_core::rejected::{Rejected, passed_entries, rejected_entries};
pub use begun::{Begun, begun_in, note_begun, private_dir};
pub use directory::checkpoints_in;
pub use epoch::this_process;
pub use error::StoreError;
pub use files::{Identity, size_and_time};
pub use home::Home;
pub use keep::{Change, Claim, Loaded, Named, Reader, RejectedRecords, Store, Version};
pub use local::LocalClaim;
pub use object::Raced;
pub use paths::{Paths, checkpoint_name, is_url};
pub use reading::{
    CHECKPOINT_BYTES_MAX, check, checkpoints, count_rejected, durable_of, first_reason, load,
    load_checkpoint, load_checkpoint_as_is, load_log, load_place, load_rejected, load_status, logs_in,
    partitions_in, place_of, rejected_in, topics_of,
};

/// The place that keeps checkpoints in DIR.
pub fn open(dir: &Path) -> Result<Box<dyn Store>, StoreError> {
    if is_url(dir) {
        return object::open(dir);
    }
    // Held for as long as the process runs: nothing is written to another directory that gets its name.
    Ok(Box::new(Home::open(dir)?))
}

/// The same, only to read.
pub fn reader(dir: &Path) -> Result<Arc<dyn Reader>, StoreError> {
    if is_url(dir) {
        return object::reader(dir);
    }
    Ok(Arc::new(directory::Directory(dir.to_owned())))
}

/// Creates DIR where it is missing, so that a place that can't be written is known before anything is read.
pub fn prepare(dir: &Path) -> Result<(), StoreError> {
    open(dir).map(drop)
}

/// An error if a living owner has one of the partitions. Creates DIR where it is missing.
pub fn refuse_owned(dir: &Path, partitions: impl Iterator<Item = i32>) -> Result<(), StoreError> {
    let store = open(dir)?;
    for partition in partitions {
        if let Some(owner) = store.living_owner(partition) {
            return Err(StoreError::Held { partition, dir: dir.to_owned(), owner });
        }
    }
    Ok(())
}

/// Writes an object that belongs to no partition, such as a picture.
pub fn put(url: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    object::put(url, bytes)
}

/// Races conditional writes in a prefix of an object store, and refuses a store that lets two of them win.
pub fn check_store(url: &Path, races: u32) -> Result<Raced, StoreError> {
    object::check_store(url, races)
}

#[cfg(test)]
mod tests;
