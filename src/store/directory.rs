//! A directory to read: it is not created, and need not be there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use almanac_core::log::Log;
use almanac_core::place::Place;
use jiff::Timestamp;

use super::error::StoreError;
use super::files::{Identity, size_and_time};
use super::keep::{Loaded, Mark, Reader, RejectedRecords, Version};
use super::paths::Paths;
use super::reading;
use crate::checkpoint::Checkpoint;
use crate::report::RejectReason;
use crate::status::Status;

/// How often the dashboard looks at DIR. That is one `stat`, as each replacement of a checkpoint changes DIR itself: with
/// the looks at all files 0.4 % of a core for 4 partitions, 0.6 % for 100 (`cargo bench --bench events`). The kernel's
/// notifications would take nothing, but do not come from network file systems.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    fn paths(&self, partition: i32) -> Paths {
        Paths::new(&self.0, partition)
    }

    fn version_of(paths: &[PathBuf]) -> Version {
        Version(paths.iter().map(|path| Identity::of(path).map(Mark::File)).collect())
    }
}

impl Reader for Directory {
    fn partitions(&self) -> Result<Vec<i32>, StoreError> {
        reading::partitions_in(&self.0)
    }

    fn load(&self, partition: i32) -> Result<Loaded, StoreError> {
        reading::load(&self.paths(partition))
    }

    fn log(&self, partition: i32) -> Result<Option<Log>, StoreError> {
        reading::load_log(&self.paths(partition))
    }

    fn checkpoint(&self, partition: i32) -> Result<Option<Checkpoint>, StoreError> {
        reading::load_checkpoint(&self.paths(partition))
    }

    fn load_as_is(&self, partition: i32) -> Result<Option<(Vec<u8>, Checkpoint)>, StoreError> {
        reading::load_checkpoint_as_is(&self.paths(partition))
    }

    fn size_and_time(&self, partition: i32, follows: bool) -> (Option<u64>, Option<Timestamp>) {
        size_and_time(&self.paths(partition).checkpoint(), follows)
    }

    fn rejected(&self, partition: i32) -> Result<RejectedRecords, StoreError> {
        Ok(Box::new(reading::rejected_in(&self.paths(partition))?))
    }

    fn first_reason(&self, partition: i32) -> Option<RejectReason> {
        reading::first_reason(&self.paths(partition))
    }

    fn status(&self, partition: i32) -> Result<Option<Status>, StoreError> {
        reading::load_status(&self.paths(partition))
    }

    fn logs(&self) -> Result<Vec<Log>, StoreError> {
        Ok(reading::logs_in(&self.0))
    }

    fn place(&self, topic_id: &str) -> Result<Option<Place>, StoreError> {
        reading::load_place(&self.0, topic_id)
    }

    fn version(&self, partition: i32) -> Version {
        let paths = self.paths(partition);
        Directory::version_of(&[paths.checkpoint(), paths.log(), paths.rejected()])
    }

    fn version_shown(&self, partition: i32) -> Version {
        let paths = self.paths(partition);
        Directory::version_of(&[paths.checkpoint(), paths.status()])
    }

    /// Each replacement of a checkpoint changes DIR itself.
    fn changed(&self) -> Option<SystemTime> {
        fs::metadata(&self.0).and_then(|metadata| metadata.modified()).ok()
    }

    fn look_every(&self) -> Duration {
        LOOK_EVERY
    }

    fn is_readable(&self) -> bool {
        self.0.read_dir().is_ok()
    }
}

/// Every checkpoint in a directory, with the path it was read from, in the order of partitions.
pub fn checkpoints_in(dir: &Path) -> Result<Vec<(PathBuf, Checkpoint)>, StoreError> {
    let found = reading::checkpoints(&Directory(dir.to_owned()))?;
    Ok(found.into_iter().map(|found| (Paths::new(dir, found.partition).checkpoint(), found)).collect())
}
