//! A local directory as the place of the checkpoints.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use almanac_core::log::{Gap, Log};
use almanac_core::owner::Owner;
use almanac_core::place::Place;
use almanac_core::rejected::Rejected;
use almanac_core::text::json_line;
use serde::Serialize;

use super::epoch::{Durability, Epoch, Private, name_owner, read_owner, this_process};
use super::error::StoreError;
use super::files::open_if_there;
use super::home::Home;
use super::keep::{Change, Claim, Loaded, Named, Reader, Store};
use super::paths::Paths;
use super::place;
use super::reading::{self, count_rejected, durable_of, passed, read_checkpoint};
use super::topic;
use crate::checkpoint::Checkpoint;
use crate::status::{Durable, Status};

/// The right to replace a partition's checkpoint, until another process takes it.
#[derive(Debug)]
pub struct LocalClaim {
    pub(super) paths: Paths,
    pub(super) epoch: Epoch,
    lock: File,
    pub(super) holds_lock: bool,
    owner: Owner,
    /// Kept open from its making, never opened by name: after a take-over it is the file of the former owner, which
    /// nobody reads any more.
    rejected: File,
}

impl LocalClaim {
    /// The same as [`LocalClaim::take`] where DIR has not been opened yet.
    pub fn new(dir: &Path, partition: i32, take_over: bool) -> Result<(LocalClaim, Loaded), StoreError> {
        LocalClaim::take(&Home::open(dir)?, partition, take_over)
    }

    /// Takes the partition and reads what is there. With `take_over`, also from a living owner.
    pub fn take(home: &Home, partition: i32, take_over: bool) -> Result<(LocalClaim, Loaded), StoreError> {
        let paths = Paths::new(home.path(), partition);
        home.check()?;
        home.create_dir(&paths.private())?;
        let private = Private { paths: &paths, handle: home.open_dir(&paths.private())? };
        let (mut lock, holds_lock) = private.open_lock()?;
        if !holds_lock && !take_over {
            let (dir, owner) = (home.path().to_owned(), read_owner(&paths));
            return Err(StoreError::Held { partition, dir, owner });
        }
        // Named before the epochs below are removed, so that their owner, stopped by that, can say who it was.
        let owner = this_process();
        name_owner(&mut lock, &owner).map_err(StoreError::io("write", &paths.lock()))?;
        let (number, handle) = private.next_epoch(&owner)?;
        let epoch = Epoch { home: home.clone(), paths: paths.clone(), number, handle };
        let loaded = reading::load(&paths)?;
        let rejected = epoch.rewrite_rejected(passed(&loaded))?;
        Ok((LocalClaim { paths, epoch, lock, holds_lock, owner, rejected }, loaded))
    }

    /// Replaces the checkpoint: a reader sees all of the old one or all of the new one. Says how many bytes it has.
    pub fn write_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<u64, StoreError> {
        self.lock_if_free();
        let json = checkpoint.to_json();
        self.epoch.put_bytes(&self.paths.checkpoint(), &json, Durability::Synced)?;
        Ok(json.len() as u64)
    }

    /// Replaces `log.json`.
    pub fn write_log(&self, log: &Log) -> Result<(), StoreError> {
        self.epoch.put_bytes(&self.paths.log(), &json_line(log), Durability::Synced).map(drop)
    }

    /// Appends rejected records. Must come before the checkpoint that passes them.
    pub fn reject(&mut self, rejected: &[Rejected]) -> Result<(), StoreError> {
        self.epoch.home.check()?;
        let path = self.paths.rejected();
        let lines: Vec<u8> = rejected.iter().flat_map(json_line).collect();
        self.rejected.write_all(&lines).map_err(StoreError::io("append to", &path))?;
        self.rejected.sync_data().map_err(StoreError::io("sync", &path))
    }

    /// Replaces `status.json`, which need not survive a power cut.
    pub fn write_status(&mut self, status: &impl Serialize) -> Result<(), StoreError> {
        // Here as well, since a partition in which nothing arrives is not replaced.
        self.lock_if_free();
        self.epoch.put_bytes(&self.paths.status(), &json_line(status), Durability::Atomic).map(drop)
    }

    /// Starts over, on another log or on the same: what was counted of `former` goes to `archive/TOPIC-ID/`, and a
    /// fresh checkpoint takes its place.
    ///
    /// `log.json` is marked first, and changes last. So after a crash in between, the change begins again, and each step finds
    /// its own result; also on the former log, if the user has gone back to it. The checkpoint never vanishes meanwhile.
    /// Without a former log, `log.json` comes first, so that the log of a checkpoint is always known.
    pub fn start_over(&mut self, former: Option<&Log>, log: &Log) -> Result<Checkpoint, StoreError> {
        if let Some(former) = former {
            let marked = if former.topic_id == log.topic_id { log } else { former };
            self.write_log(&Log { is_starting_over: true, ..marked.clone() })?;
        }
        self.archive(&former.unwrap_or(log).topic_id)?;
        self.rejected = self.epoch.put_bytes(&self.paths.rejected(), b"", Durability::Synced)?;
        let fresh = Checkpoint::empty(self.paths.partition(), log.first_offset);
        if former.is_none() {
            self.write_log(log)?;
            self.write_checkpoint(&fresh)?;
        } else {
            self.write_checkpoint(&fresh)?;
            self.write_log(log)?;
        }
        Ok(fresh)
    }

    /// Prepares to continue at an earlier offset of the same log, which was truncated. It archives the files, and
    /// removes the rejected records from `offset` on, as there will be others at their offsets.
    pub fn rewind(&mut self, log: &Log, offset: i64) -> Result<(), StoreError> {
        self.archive(&log.topic_id)?;
        self.rejected = self.epoch.rewrite_rejected(offset)?;
        Ok(())
    }

    /// Keeps the checkpoint and the rejected records of a former log; a checkpoint that counted nothing and
    /// rejected nothing is not worth keeping.
    pub(super) fn archive(&self, topic_id: &str) -> Result<(), StoreError> {
        let checkpoint = read_checkpoint(&self.paths)?.filter(|json| !json.is_empty());
        let found = checkpoint.as_deref().map(Checkpoint::from_json);
        let counted_any = found.is_some_and(|found| found.is_ok_and(|found| !found.statistics.is_empty()));
        let rejected = self.paths.rejected();
        let rejected_any = open_if_there(&rejected)?.map(|file| file.metadata().map(|found| found.len() > 0));
        let rejected_any = rejected_any.transpose().map_err(StoreError::io("read", &rejected))? == Some(true);
        if !counted_any && !rejected_any {
            return Ok(());
        }
        let archive = self.paths.archive(topic_id);
        for (source, is_any) in [(self.paths.checkpoint(), checkpoint.is_some()), (rejected, rejected_any)] {
            if let Some(name) = source.file_name().filter(|_| is_any) {
                self.epoch.keep(&source, &archive.join(name))?;
            }
        }
        Ok(())
    }

    /// After a take-over the lock may still be its former holder's; it is ours as soon as that one is gone.
    fn lock_if_free(&mut self) {
        if !self.holds_lock && self.lock.try_lock().is_ok() {
            self.holds_lock = true;
        }
    }
}

impl Store for Home {
    /// As of the directory that has DIR's name.
    fn reader(&self) -> &dyn Reader {
        self.directory()
    }

    fn claim(&self, partition: i32, take_over: bool) -> Result<(Box<dyn Claim>, Loaded), StoreError> {
        let (claim, loaded) = LocalClaim::take(self, partition, take_over)?;
        Ok((Box::new(claim), loaded))
    }

    fn check(&self, partition: i32) -> Result<(), StoreError> {
        reading::check(self.path(), partition)
    }

    fn join(&self, topic: &Named) -> Result<Option<Named>, StoreError> {
        if self.joined().get().is_some() {
            return Ok(None);
        }
        match topic::join(self, topic)? {
            Ok(file) => {
                self.joined().get_or_init(|| file);
                Ok(None)
            }
            Err(other) => Ok(Some(other)),
        }
    }

    /// By the lock, which it takes for a moment, shared with others who look.
    fn living_owner(&self, partition: i32) -> Option<Owner> {
        let paths = Paths::new(self.path(), partition);
        let is_free = match File::open(paths.lock()) {
            Ok(lock) => lock.try_lock_shared().is_ok(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        (!is_free).then(|| read_owner(&paths))
    }

    fn place(&self, topic_id: &str) -> Result<Option<Place>, StoreError> {
        place::settled(self, topic_id)
    }

    fn decide_place(&self, topic_id: &str, place: &Place) -> Result<Place, StoreError> {
        place::decide(self, topic_id, place)
    }

    fn complete_place(&self, topic_id: &str, place: &Place) -> Result<(), StoreError> {
        place::complete(self, topic_id, place)
    }

    fn rejected_path(&self, partition: i32) -> PathBuf {
        Paths::new(self.path(), partition).rejected()
    }

    fn is_remote(&self) -> bool {
        false
    }
}

impl Drop for LocalClaim {
    /// A child that was just forked may have the file open for a moment longer.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Claim for LocalClaim {
    fn partition(&self) -> i32 {
        self.paths.partition()
    }

    fn owner(&self) -> &Owner {
        &self.owner
    }

    fn durable(&self, checkpoint: &Checkpoint) -> Durable {
        durable_of(self.epoch.home.path(), checkpoint)
    }

    fn count_rejected(&self) -> Result<u64, StoreError> {
        count_rejected(self.epoch.home.path(), self.paths.partition())
    }

    /// Rejected records and the log come before the checkpoint that passes them.
    fn replace(&mut self, change: &Change) -> Result<Durable, StoreError> {
        if !change.rejected.is_empty() {
            self.reject(change.rejected)?;
        }
        if let Some(log) = change.log {
            self.write_log(log)?;
        }
        let bytes = self.write_checkpoint(change.checkpoint)?;
        Ok(Durable::of(change.checkpoint, bytes, Some(jiff::Timestamp::now())))
    }

    /// A directory keeps nothing for later.
    fn retry(&mut self) -> Result<Durable, StoreError> {
        let checkpoint = reading::load_checkpoint(&self.paths)?;
        let checkpoint = checkpoint.unwrap_or_else(|| Checkpoint::empty(self.paths.partition(), 0));
        Ok(Claim::durable(self, &checkpoint))
    }

    fn set_log(&mut self, log: &Log) -> Result<(), StoreError> {
        self.write_log(log)
    }

    fn start_over(&mut self, former: Option<&Log>, log: &Log) -> Result<Checkpoint, StoreError> {
        LocalClaim::start_over(self, former, log)
    }

    /// The gap is noted first: a note of what did not happen after all, because of a crash in between, is harmless, and the
    /// next start makes it true. The leader epochs stay until there is the checkpoint, as they show the truncation as long
    /// as the offset does not.
    fn jump(&mut self, log: &Log, checkpoint: &Checkpoint, gap: Gap) -> Result<(), StoreError> {
        self.write_log(log)?;
        if gap.to < gap.from {
            self.rewind(log, gap.to)?;
        }
        self.write_checkpoint(checkpoint).map(drop)
    }

    fn set_status(&mut self, status: &Status) -> Result<(), StoreError> {
        self.write_status(status)
    }

    /// The lock goes with its file.
    fn release(self: Box<Self>) {}
}
