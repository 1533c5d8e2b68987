//! All durable state of a partition behind a few verbs: claim, load, replace, reject, archive.
//!
//! This is the only place that renames and syncs. The right to write is the owner epoch, a directory
//! `.almanac/N/EPOCH`: every file is written there first and renamed into place from there, and whoever takes
//! the partition removes the epochs below its own. A former owner that wakes up finds its directory gone: its
//! rename fails, and nothing of the new owner's is overwritten. The lock only says who is alive.
//!
//! The epoch is a directory, not its path: DIR may be removed, renamed or replaced, and the same path lead to another
//! owner's. So a temporary file is created by the handle of the epoch's directory, and renamed from where that file is
//! found by its path from the handle of DIR. Where the two are not the same any more, there is no such file.

#![allow(clippy::disallowed_methods, reason = "the one place that renames")]

mod begun;
mod home;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::failure::{Exit, Failure};
use crate::report::RejectReason;
use crate::status::{Durable, Status};
pub use almanac_core::log::{Gap, LeaderEpoch, Log};
pub use almanac_core::owner::Owner;
use almanac_core::rejected::{Entries, LINE_BYTES_MAX, LineError, each_passed};
pub use almanac_core::rejected::{Rejected, passed_entries, rejected_entries};
use almanac_core::text::json_line;
pub use begun::{Begun, begun_in, note_begun};
pub use home::Home;

/// What a checkpoint may have; what is longer is none, and must not fill the memory.
///
/// The largest one has every month of the years 1 to 9999, each with its first and last day only, so that 26 to 29 days
/// are missing, and numbers of 24 characters: below 69 MB as almanac writes it. Twice as much also holds what somebody
/// indented.
pub const CHECKPOINT_BYTES_MAX: u64 = 128 << 20;

/// The same of `status.json`, which has one line.
const STATUS_BYTES_MAX: u64 = 64 << 10;

/// In `.almanac/N`.
const LOCK: &str = "lock";

/// What of a rejected file is read at once.
const LINES_BUFFER_BYTES: usize = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("partition {partition} in {} belongs to {owner}", dir.display())]
    Held { partition: i32, dir: PathBuf, owner: Owner },

    #[error("partition {partition} was taken over by {owner}; nothing was written after that")]
    TakenOver { partition: i32, owner: Owner },

    #[error(
        "{} was removed, renamed or replaced while almanac kept checkpoints in it; nothing was written to what has that name now",
        dir.display()
    )]
    DirGone { dir: PathBuf },

    #[error(
        "{} was removed or replaced while almanac kept partition {partition}; nothing was written after that",
        path.display()
    )]
    Evicted { partition: i32, path: PathBuf },

    #[error("{}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },

    #[error("there is no directory {}", dir.display())]
    NoDir { dir: PathBuf },

    #[error("can't {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl Failure for StoreError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            StoreError::Held { .. } => {
                "stop that process, or take the partition from it with --take-over".to_owned()
            }
            StoreError::DirGone { dir } => {
                format!("start the command again to keep checkpoints in {} as it is now", dir.display())
            }
            StoreError::Evicted { .. } => {
                "start the command again to continue with the files that are there now".to_owned()
            }
            StoreError::Unreadable { .. } => "nothing was overwritten; mend the file, or move it away, the \
                                              partition's checkpoint with it, to count again"
                .to_owned(),
            StoreError::NoDir { .. } => "'almanac consumer' makes it; --dir names another".to_owned(),
            StoreError::TakenOver { .. } | StoreError::Io { .. } => return None,
        };
        Some(hint)
    }

    fn exit(&self) -> Exit {
        match self {
            StoreError::Held { .. } | StoreError::TakenOver { .. } => Exit::Owner,
            StoreError::Unreadable { .. } => Exit::Checkpoint,
            StoreError::NoDir { .. }
            | StoreError::DirGone { .. }
            | StoreError::Evicted { .. }
            | StoreError::Io { .. } => Exit::Disk,
        }
    }
}

impl StoreError {
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
        move |source| StoreError::Io { action, path: path.to_owned(), source }
    }

    fn unreadable(path: &Path, reason: impl ToString) -> StoreError {
        StoreError::Unreadable { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// This process as an owner, from now on.
pub fn this_process() -> Owner {
    Owner {
        pid: std::process::id(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        since: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}

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

    fn private(&self) -> PathBuf {
        self.dir.join(".almanac").join(self.partition.to_string())
    }

    fn lock(&self) -> PathBuf {
        self.private().join(LOCK)
    }

    fn archive(&self, topic_id: &str) -> PathBuf {
        self.dir.join("archive").join(topic_id)
    }
}

/// The name of a partition's checkpoint in DIR.
pub fn checkpoint_name(partition: i32) -> String {
    format!("partition-{partition}.json")
}

/// Creates DIR where it is missing, so that a place that can't be written is known before anything is read.
pub fn prepare(dir: &Path) -> Result<(), StoreError> {
    Home::open(dir).map(drop)
}

/// What a claim found in DIR.
#[derive(Debug)]
pub struct Loaded {
    pub log: Option<Log>,
    pub checkpoint: Option<Checkpoint>,
}

/// The right to replace a partition's checkpoint, until another process takes it.
#[derive(Debug)]
pub struct Claim {
    paths: Paths,
    epoch: Epoch,
    lock: File,
    holds_lock: bool,
    owner: Owner,
    /// Kept open from its making, never opened by name: after a take-over it is the file of the former owner, which
    /// nobody reads any more.
    rejected: File,
}

impl Claim {
    /// The same as [`Claim::take`] where DIR has not been opened yet.
    pub fn new(dir: &Path, partition: i32, take_over: bool) -> Result<(Claim, Loaded), StoreError> {
        Claim::take(&Home::open(dir)?, partition, take_over)
    }

    /// Takes the partition and reads what is there. With `take_over`, also from a living owner.
    pub fn take(home: &Home, partition: i32, take_over: bool) -> Result<(Claim, Loaded), StoreError> {
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
        let loaded = load(&paths)?;
        let rejected = epoch.rewrite_rejected(passed(&loaded))?;
        Ok((Claim { paths, epoch, lock, holds_lock, owner, rejected }, loaded))
    }

    pub fn partition(&self) -> i32 {
        self.paths.partition
    }

    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Replaces the checkpoint: a reader sees all of the old one or all of the new one. Says how many bytes it has.
    pub fn replace(&mut self, checkpoint: &Checkpoint) -> Result<u64, StoreError> {
        self.lock_if_free();
        let json = checkpoint.to_json();
        self.epoch.put_bytes(&self.paths.checkpoint(), &json, Durability::Synced)?;
        Ok(json.len() as u64)
    }

    /// Replaces `log.json`.
    pub fn set_log(&self, log: &Log) -> Result<(), StoreError> {
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
    pub fn set_status(&mut self, status: &impl Serialize) -> Result<(), StoreError> {
        // Here as well, since a partition in which nothing arrives is not replaced.
        self.lock_if_free();
        self.epoch.put_bytes(&self.paths.status(), &json_line(status), Durability::Atomic).map(drop)
    }

    /// Starts over, on another log or on the same: what was counted of `former` goes to `archive/TOPIC-ID/`, and a
    /// fresh checkpoint takes its place.
    ///
    /// `log.json` changes last, so that a crash in between finds the former log there, or that it is being started
    /// over, and begins again; each step then finds its own result. The checkpoint never vanishes meanwhile. Without
    /// a former log, `log.json` comes first, so that there is never a checkpoint of which the log is unknown.
    pub fn start_over(&mut self, former: Option<&Log>, log: &Log) -> Result<Checkpoint, StoreError> {
        if former.is_some_and(|former| former.topic_id == log.topic_id) {
            self.set_log(&Log { is_starting_over: true, ..log.clone() })?;
        }
        self.archive(&former.unwrap_or(log).topic_id)?;
        self.rejected = self.epoch.put_bytes(&self.paths.rejected(), b"", Durability::Synced)?;
        let fresh = Checkpoint::empty(self.paths.partition, log.first_offset);
        if former.is_none() {
            self.set_log(log)?;
            self.replace(&fresh)?;
        } else {
            self.replace(&fresh)?;
            self.set_log(log)?;
        }
        Ok(fresh)
    }

    /// Makes ready to go on at an earlier offset of the same log, which was cut: what the files hold is archived, and
    /// the rejected records from `offset` on are taken out, as there will be others at their offsets.
    pub fn rewind(&mut self, log: &Log, offset: i64) -> Result<(), StoreError> {
        self.archive(&log.topic_id)?;
        self.rejected = self.epoch.rewrite_rejected(offset)?;
        Ok(())
    }

    /// Keeps the checkpoint and the rejected records of a former log; a checkpoint that counted nothing and
    /// rejected nothing is not worth keeping.
    fn archive(&self, topic_id: &str) -> Result<(), StoreError> {
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

fn name_owner(lock: &mut File, owner: &Owner) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let line = json_line(owner);
    lock.write_all_at(&line, 0)?;
    lock.set_len(line.len() as u64)
}

/// Whoever the lock file names; an unknown owner where it can't be read.
fn read_owner(paths: &Paths) -> Owner {
    fs::read(paths.lock()).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

/// `.almanac/N` while a partition is taken.
struct Private<'a> {
    paths: &'a Paths,
    handle: OwnedFd,
}

impl Private<'_> {
    /// Opens the lock file, and locks it unless another process has it locked.
    fn open_lock(&self) -> Result<(File, bool), StoreError> {
        let path = self.paths.lock();
        // Never removed and never truncated here: who holds it, holds this very file.
        let lock = home::open_file(&self.handle, Path::new(LOCK), OFlags::RDWR | OFlags::CREATE)
            .map_err(StoreError::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok((lock, true)),
            Err(TryLockError::WouldBlock) => Ok((lock, false)),
            Err(TryLockError::Error(source)) => Err(StoreError::Io { action: "lock", path, source }),
        }
    }

    fn read_owner(&self) -> Owner {
        let read = || -> io::Result<Owner> {
            let lock = home::open_file(&self.handle, Path::new(LOCK), OFlags::RDONLY)?;
            Ok(serde_json::from_reader(lock.take(STATUS_BYTES_MAX))?)
        };
        read().unwrap_or_default()
    }

    /// Makes the directory of the next owner epoch, and removes every lower one until it is gone.
    fn next_epoch(&self, owner: &Owner) -> Result<(u64, OwnedFd), StoreError> {
        let dir = self.paths.private();
        let epoch = loop {
            let last = epochs(&self.handle).map_err(StoreError::io("list", &dir))?.into_iter().max();
            let Some(epoch) = last.unwrap_or(0).checked_add(1) else {
                return Err(StoreError::unreadable(&dir, "there is no owner epoch after the last one"));
            };
            // Who takes over names itself before it makes its epoch. So a process that was paused since it named itself
            // finds the other's name here, if it has seen the other's epoch, and does not take the partition back.
            let named = self.read_owner();
            if named != *owner {
                return Err(StoreError::TakenOver { partition: self.paths.partition, owner: named });
            }
            match home::make_dir(&self.handle, &epoch.to_string()) {
                Ok(()) => break epoch,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => {
                    let path = dir.join(epoch.to_string());
                    return Err(StoreError::Io { action: "create directory", path, source });
                }
            }
        };
        // Before the lower ones go: whoever removes this one now has made a higher one.
        let handle = home::open_dir(&self.handle, Path::new(&epoch.to_string()));
        self.remove_lower_epochs(epoch)?;
        Ok((epoch, handle.map_err(StoreError::io("open", &dir.join(epoch.to_string())))?))
    }

    /// Removes every epoch below `epoch`; refused where there is a higher one, which is somebody else's.
    fn remove_lower_epochs(&self, epoch: u64) -> Result<(), StoreError> {
        let dir = self.paths.private();
        let all = epochs(&self.handle).map_err(StoreError::io("list", &dir))?;
        // Who was paused between choosing its number and making it may come after later owners: the highest directory is
        // never removed, so that is seen here.
        if all.iter().any(|other| *other > epoch) {
            // The owner of the higher epoch removes it otherwise.
            let _ = home::remove_dir(&self.handle, &epoch.to_string());
            let owner = self.read_owner();
            return Err(StoreError::TakenOver { partition: self.paths.partition, owner });
        }
        for lower in all.into_iter().filter(|lower| *lower < epoch) {
            self.remove_epoch(&lower.to_string())?;
        }
        home::open_dir(&self.handle, Path::new("."))
            .and_then(|private| File::from(private).sync_all())
            .map_err(StoreError::io("sync directory", &dir))
    }

    /// Empties and removes a lower epoch's directory. Its owner may be alive and write into it meanwhile, so this
    /// is repeated until it is gone.
    fn remove_epoch(&self, name: &str) -> Result<(), StoreError> {
        loop {
            let gone = self.empty_dir(name).and_then(|()| home::remove_dir(&self.handle, name));
            match gone {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(source) => {
                    let path = self.paths.private().join(name);
                    return Err(StoreError::Io { action: "remove", path, source });
                }
            }
        }
    }

    fn empty_dir(&self, name: &str) -> io::Result<()> {
        let dir = home::open_dir(&self.handle, Path::new(name))?;
        for entry in home::names_in(&dir)? {
            match home::remove_file(&dir, Path::new(&entry)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The owner epochs in `.almanac/N`.
fn epochs(private: impl AsFd) -> io::Result<Vec<u64>> {
    let number = |name: &String| name.parse().ok().filter(|number: &u64| number.to_string() == *name);
    Ok(home::names_in(private)?.iter().filter_map(number).collect())
}

pub fn load(paths: &Paths) -> Result<Loaded, StoreError> {
    Ok(Loaded { log: load_log(paths)?, checkpoint: load_checkpoint(paths)? })
}

/// Whether a claim could read a partition's files. Takes nothing, and changes nothing.
pub fn check(dir: &Path, partition: i32) -> Result<(), StoreError> {
    let paths = Paths::new(dir, partition);
    each_passed_rejected(&paths, passed(&load(&paths)?), |error| error, |_| Ok(()))
}

/// The offset that the rejected file's entries must lie below. Where the checkpoint was moved away, all are kept until
/// it is decided what becomes of the partition.
fn passed(loaded: &Loaded) -> i64 {
    loaded.checkpoint.as_ref().map_or(i64::MAX, |checkpoint| checkpoint.offset)
}

/// `log.json`, if there is one.
pub fn load_log(paths: &Paths) -> Result<Option<Log>, StoreError> {
    let path = paths.log();
    let Some(json) = read_if_there(&path)? else { return Ok(None) };
    Log::from_json(&json).map(Some).map_err(|error| StoreError::unreadable(&path, error))
}

/// Every `log.json` in DIR that can be read; the others are refused when their partition is taken.
pub fn logs_in(dir: &Path) -> Vec<Log> {
    let Ok(entries) = fs::read_dir(dir.join(".almanac")) else { return Vec::new() };
    let partitions = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    partitions.filter_map(|partition| load_log(&Paths::new(dir, partition)).ok().flatten()).collect()
}

/// The topics, each with its cluster, that the logs of DIR are of; one, unless something went wrong.
pub fn topics_in(dir: &Path) -> BTreeSet<(String, String)> {
    logs_in(dir).into_iter().map(|log| (log.topic, log.cluster_id)).collect()
}

/// The rejected records of a partition, one after the other, without a last line that is still being written. An error
/// is the last item.
pub fn rejected_in(
    paths: &Paths,
) -> Result<impl Iterator<Item = Result<Rejected, StoreError>> + use<>, StoreError> {
    let path = paths.rejected();
    let entries = Entries::new(read_lines(&path)?);
    Ok(entries.map(move |entry| entry.map_err(|error| error_of_line(&path, error))))
}

/// All of them at once.
pub fn load_rejected(paths: &Paths) -> Result<Vec<Rejected>, StoreError> {
    rejected_in(paths)?.collect()
}

fn error_of_line(path: &Path, error: LineError) -> StoreError {
    match error {
        LineError::Io(source) => StoreError::io("read", path)(source),
        LineError::Bad(reason) => StoreError::unreadable(path, reason),
    }
}

/// Why the first record in the rejected file was rejected; nothing where there is none, or none that can be read.
pub fn first_reason(paths: &Paths) -> Option<RejectReason> {
    let file = open_plain(&paths.rejected()).ok()??;
    let mut line = String::new();
    BufReader::new(file.take(LINE_BYTES_MAX as u64)).read_line(&mut line).ok()?;
    serde_json::from_str(&line).map(|rejected: Rejected| rejected.reason).ok()
}

/// How many lines a partition's rejected file has.
pub fn count_rejected(dir: &Path, partition: i32) -> Result<u64, StoreError> {
    let path = Paths::new(dir, partition).rejected();
    let Some(mut file) = open_if_there(&path)? else { return Ok(0) };
    let (mut bytes, mut lines) = (vec![0; 64 << 10], 0);
    loop {
        let count = file.read(&mut bytes).map_err(StoreError::io("read", &path))?;
        if count == 0 {
            return Ok(lines);
        }
        lines += bytes.iter().take(count).filter(|byte| **byte == b'\n').count() as u64;
    }
}

/// The checkpoint of a partition, if there is one.
pub fn load_checkpoint(paths: &Paths) -> Result<Option<Checkpoint>, StoreError> {
    let Some(json) = read_checkpoint(paths)? else { return Ok(None) };
    checkpoint_of(paths, &json).map(Some)
}

/// The checkpoint of a partition with the very bytes of its file, for whoever passes them on: of a plain file in DIR
/// only, not of what a symbolic link leads to.
pub fn load_checkpoint_as_is(paths: &Paths) -> Result<Option<(Vec<u8>, Checkpoint)>, StoreError> {
    let Some(json) = read_plain(&paths.checkpoint(), CHECKPOINT_BYTES_MAX)? else { return Ok(None) };
    let checkpoint = checkpoint_of(paths, &json)?;
    Ok(Some((json, checkpoint)))
}

/// What the file of a partition holds, of which this checkpoint was loaded, or which was just replaced by it.
pub fn durable_of(dir: &Path, checkpoint: &Checkpoint) -> Durable {
    let path = Paths::new(dir, checkpoint.partition).checkpoint();
    let (bytes, written) = size_and_time(&path, true);
    Durable::of(checkpoint, bytes.unwrap_or(0), written)
}

/// How large a file is, and when it was replaced last. `follows` a symbolic link, or looks at the link itself.
pub fn size_and_time(path: &Path, follows: bool) -> (Option<u64>, Option<Timestamp>) {
    let metadata = if follows { path.metadata() } else { path.symlink_metadata() };
    let modified = metadata.as_ref().ok().and_then(|metadata| metadata.modified().ok()?.try_into().ok());
    (metadata.ok().map(|metadata| metadata.len()), modified)
}

/// The bytes of a partition's checkpoint, if there is one.
fn read_checkpoint(paths: &Paths) -> Result<Option<Vec<u8>>, StoreError> {
    let path = paths.checkpoint();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    read_bounded(&file, &path, CHECKPOINT_BYTES_MAX).map(Some)
}

/// What the bytes of a partition's checkpoint say.
fn checkpoint_of(paths: &Paths, json: &[u8]) -> Result<Checkpoint, StoreError> {
    let path = paths.checkpoint();
    let checkpoint = Checkpoint::from_json(json).map_err(|error| StoreError::unreadable(&path, error))?;
    if checkpoint.partition != paths.partition {
        let reason = format!("it is the checkpoint of partition {}", checkpoint.partition);
        return Err(StoreError::unreadable(&path, reason));
    }
    let (days, offset) = (checkpoint.statistics.days(), checkpoint.offset);
    // Each day counted was a record below the offset, and offsets begin at 0.
    if days > offset.unsigned_abs() && !load_log(paths)?.is_some_and(|log| log.may_go_back()) {
        let reason = format!("{days} days can't have been counted before offset {offset}");
        return Err(StoreError::unreadable(&path, reason));
    }
    Ok(checkpoint)
}

/// What tells a file from the one that was there before it: each replacement is another inode.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    pub modified: SystemTime,
    inode: u64,
    length: u64,
}

impl Identity {
    /// Of what bears this name, a symbolic link itself included; nothing where there is nothing.
    pub fn of(path: &Path) -> Option<Identity> {
        let metadata = path.symlink_metadata().ok()?;
        let modified = metadata.modified().ok()?;
        Some(Identity { modified, inode: metadata.ino(), length: metadata.len() })
    }
}

/// What the consumer said last of a partition; nothing where it has said nothing, or nothing that can be read.
pub fn load_status(paths: &Paths) -> Result<Option<Status>, StoreError> {
    match read_plain(&paths.status(), STATUS_BYTES_MAX) {
        Ok(json) => Ok(json.and_then(|json| serde_json::from_slice(&json).ok())),
        Err(StoreError::Unreadable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The partitions that have a checkpoint in DIR, in order.
pub fn partitions_in(dir: &Path) -> Result<Vec<i32>, StoreError> {
    let names = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(|error| {
        match error.kind() {
            io::ErrorKind::NotFound => StoreError::NoDir { dir: dir.to_owned() },
            _ => StoreError::io("read directory", dir)(error),
        }
    })?;
    // Only the name that a checkpoint of ours has: `partition-02.json` is not another partition 2.
    let partition_of = |name: &str| -> Option<i32> {
        let digits = name.strip_prefix("partition-")?.strip_suffix(".json")?;
        digits.parse().ok().filter(|partition: &i32| *partition >= 0 && partition.to_string() == digits)
    };
    let mut partitions: Vec<i32> =
        names.iter().filter_map(|entry| partition_of(entry.file_name().to_str()?)).collect();
    partitions.sort_unstable();
    Ok(partitions)
}

/// Every checkpoint in DIR, with the path it was read from, in the order of partitions.
pub fn checkpoints_in(dir: &Path) -> Result<Vec<(PathBuf, Checkpoint)>, StoreError> {
    let mut found = Vec::new();
    for partition in partitions_in(dir)? {
        let paths = Paths::new(dir, partition);
        if let Some(checkpoint) = load_checkpoint(&paths)? {
            found.push((paths.checkpoint(), checkpoint));
        }
    }
    Ok(found)
}

/// Gives each line of the rejected file that a checkpoint with this offset has passed to `keep`.
fn each_passed_rejected<E>(
    paths: &Paths,
    offset: i64,
    failed: impl Fn(StoreError) -> E,
    keep: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let path = paths.rejected();
    let lines = read_lines(&path).map_err(&failed)?;
    each_passed(lines, offset, |error| failed(error_of_line(&path, error)), keep)
}

/// Whether a replaced file must survive a power cut.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Durability {
    Synced,
    Atomic,
}

/// Why a temporary file could not be filled.
enum FillError {
    /// What goes into it can't be had.
    Source(StoreError),
    Temp(io::Error),
}

impl From<io::Error> for FillError {
    fn from(error: io::Error) -> Self {
        FillError::Temp(error)
    }
}

/// An owner's right to write: its directory, by which all files of the partition get into place.
#[derive(Debug)]
struct Epoch {
    home: Home,
    paths: Paths,
    number: u64,
    handle: OwnedFd,
}

impl Epoch {
    fn dir(&self) -> PathBuf {
        self.paths.private().join(self.number.to_string())
    }

    /// Replaces `target` by way of the epoch's directory, and gives back the new file, open to append. Fails, having
    /// changed nothing, once that directory is gone, or is not to be found in DIR any more.
    fn put(
        &self,
        target: &Path,
        durability: Durability,
        fill: impl FnOnce(&mut BufWriter<File>) -> Result<(), FillError>,
    ) -> Result<File, StoreError> {
        let (temp, file) = self.write_temp(target, durability, fill)?;
        self.find_temp(&temp, &file).and_then(|()| self.home.rename(&temp, target)).map_err(|error| {
            self.remove_temp(&temp);
            self.write_error("replace", target, error)
        })?;
        if durability == Durability::Synced {
            target.parent().map_or(Ok(()), |dir| self.home.sync_dir(dir))?;
        }
        Ok(file)
    }

    /// The same with bytes that are at hand.
    fn put_bytes(&self, target: &Path, bytes: &[u8], durability: Durability) -> Result<File, StoreError> {
        self.put(target, durability, |temp| Ok(temp.write_all(bytes)?))
    }

    /// Rewrites the rejected file, under a new inode, without a torn last line and without entries that the
    /// checkpoint has not passed: those records will be read again.
    fn rewrite_rejected(&self, offset: i64) -> Result<File, StoreError> {
        self.put(&self.paths.rejected(), Durability::Synced, |temp| {
            each_passed_rejected(&self.paths, offset, FillError::Source, |line| Ok(temp.write_all(line)?))
        })
    }

    /// Keeps a copy of `source` at `target` without ever overwriting: what is there already, equal, is left; what is
    /// there and differs keeps its name, and the new file gets a number.
    fn keep(&self, source: &Path, target: &Path) -> Result<(), StoreError> {
        let unread = |error| FillError::Source(StoreError::io("read", source)(error));
        let (temp, file) = self.write_temp(target, Durability::Synced, |temp| {
            let mut source = BufReader::new(self.home.read(source).map_err(unread)?);
            loop {
                let bytes = source.fill_buf().map_err(unread)?;
                if bytes.is_empty() {
                    return Ok(());
                }
                temp.write_all(bytes)?;
                let used = bytes.len();
                source.consume(used);
            }
        })?;
        self.find_temp(&temp, &file).map_err(|error| {
            self.remove_temp(&temp);
            self.write_error("archive", target, error)
        })?;
        target.parent().map_or(Ok(()), |dir| self.home.create_dir(dir))?;
        let mut place = target.to_owned();
        for number in 2.. {
            match self.find_temp(&temp, &file).and_then(|()| self.home.link(&temp, &place)) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.write_error("archive", &place, error)),
            }
            let is_same = || is_same_content(self.home.read(&place)?, self.home.read(&temp)?);
            if is_same().map_err(StoreError::io("read", &place))? {
                break;
            }
            let extension = target.extension().expect("what is archived has an extension").to_string_lossy();
            place = target.with_extension(format!("{number}.{extension}"));
        }
        target.parent().map_or(Ok(()), |dir| self.home.sync_dir(dir))?;
        home::remove_file(&self.handle, name_of(&temp))
            .map_err(|error| self.write_error("remove", &temp, error))
    }

    /// Writes a new file in the epoch's directory. A failed sync is never repeated on it: the kernel may have
    /// dropped the pages and call the second attempt a success.
    fn write_temp(
        &self,
        target: &Path,
        durability: Durability,
        fill: impl FnOnce(&mut BufWriter<File>) -> Result<(), FillError>,
    ) -> Result<(PathBuf, File), StoreError> {
        self.home.check()?;
        if !self.is_in_place() {
            return Err(self.write_error("write", target, io::ErrorKind::NotFound.into()));
        }
        // The suffix keeps what is temporary from being taken for a checkpoint.
        let name = format!("{}.tmp", name_of(target).display());
        let temp = self.dir().join(&name);
        let write = || -> Result<File, FillError> {
            let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
            let mut writer = BufWriter::new(home::open_file(&self.handle, Path::new(&name), flags)?);
            fill(&mut writer)?;
            let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            if durability == Durability::Synced {
                file.sync_all()?;
            }
            Ok(file)
        };
        let file = write().map_err(|error| {
            self.remove_temp(&temp);
            match error {
                FillError::Source(error) => error,
                FillError::Temp(error) => self.write_error("write", target, error),
            }
        })?;
        Ok((temp, file))
    }

    /// Best effort: it also goes with the epoch's directory at the next claim.
    fn remove_temp(&self, temp: &Path) {
        let _ = home::remove_file(&self.handle, name_of(temp));
    }

    /// Fails where the path from DIR on does not lead to this very file: the epoch's directory may have been moved away,
    /// and another owner's have its path.
    fn find_temp(&self, temp: &Path, file: &File) -> io::Result<()> {
        if home::is_same(&self.home.stat(temp)?, &home::identity(file)?) {
            return Ok(());
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Whether the path from DIR on still leads to the epoch's directory.
    fn is_in_place(&self) -> bool {
        let (now, held) = (self.home.stat(&self.dir()), home::identity(&self.handle));
        now.is_ok_and(|now| held.is_ok_and(|held| home::is_same(&now, &held)))
    }

    /// Tells what took the right to write away from other failures of a write.
    fn write_error(&self, action: &'static str, target: &Path, source: io::Error) -> StoreError {
        if source.kind() != io::ErrorKind::NotFound {
            return StoreError::Io { action, path: target.to_owned(), source };
        }
        if let Err(gone) = self.home.check() {
            return gone;
        }
        let (partition, private) = (self.paths.partition, self.paths.private());
        // Whoever takes over makes a higher epoch first, then empties this one, and only then removes it: the temp
        // file may be missing while the directory is still there.
        let all = self.home.open_dir(&private).ok().and_then(|private| epochs(private).ok());
        if all.is_some_and(|epochs| epochs.iter().any(|epoch| *epoch > self.number)) {
            return StoreError::TakenOver { partition, owner: read_owner(&self.paths) };
        }
        if !self.is_in_place() {
            return StoreError::Evicted { partition, path: private };
        }
        StoreError::Io { action, path: target.to_owned(), source }
    }
}

fn name_of(path: &Path) -> &Path {
    Path::new(path.file_name().expect("the path of a file of a partition ends with its name"))
}

/// Compares two files piece by piece.
fn is_same_content(one: File, other: File) -> io::Result<bool> {
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let length = left.len().min(right.len());
        if left[..length] != right[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        one.consume(length);
        other.consume(length);
    }
}

fn open_if_there(path: &Path) -> Result<Option<File>, StoreError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// A file of lines; empty where there is none.
fn read_lines(path: &Path) -> Result<Box<dyn BufRead>, StoreError> {
    Ok(match open_if_there(path)? {
        Some(file) => Box::new(BufReader::with_capacity(LINES_BUFFER_BYTES, file)),
        None => Box::new(io::empty()),
    })
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { action: "read", path: path.to_owned(), source }),
    }
}

/// The bytes of a plain file, of which nothing larger than `bytes_max` is read.
fn read_plain(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, StoreError> {
    open_plain(path)?.map(|file| read_bounded(&file, path, bytes_max)).transpose()
}

/// Opens a plain file: symbolic links are not followed, and pipes not waited for.
fn open_plain(path: &Path) -> Result<Option<File>, StoreError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(None),
                _ if path.is_symlink() => Err(StoreError::unreadable(path, "it is a symbolic link")),
                _ => Err(StoreError::io("read", path)(error)),
            };
        }
    };
    let metadata = file.metadata().map_err(StoreError::io("read", path))?;
    if !metadata.is_file() {
        return Err(StoreError::unreadable(path, "it is no plain file"));
    }
    Ok(Some(file))
}

/// Replaces a file that belongs to no partition: the whole of it is there, or none.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let temp = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || -> io::Result<()> {
        // One that a crash of a process with this number left.
        let _ = fs::remove_file(&temp);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temp)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temp, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temp);
        StoreError::io("write", path)(error)
    })?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// All bytes of a file, unless it has more than `bytes_max`.
fn read_bounded(file: &File, path: &Path, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
    let too_long = || StoreError::unreadable(path, format_args!("it has more than {bytes_max} bytes"));
    if file.metadata().map_err(StoreError::io("read", path))?.len() > bytes_max {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(StoreError::io("read", path))?;
    if bytes.len() as u64 > bytes_max { Err(too_long()) } else { Ok(bytes) }
}

/// Creates a directory and those above it, and syncs each one that gained an entry.
///
/// Also the one above a directory that is there: a process that made it may have been killed before it synced that.
fn create_dir_durably(dir: &Path) -> Result<(), StoreError> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let above = parent.unwrap_or(Path::new("."));
    if dir.is_dir() {
        return match sync_dir(above) {
            // Somebody else's directory, in which DIR was not made by us.
            Err(StoreError::Io { source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::PermissionDenied
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Ok(())
            }
            synced => synced,
        };
    }
    parent.map_or(Ok(()), create_dir_durably)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::Io { action: "create directory", path: dir.to_owned(), source: error })
        }
        _ => sync_dir(above),
    }
}

fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync directory", dir))
}

#[cfg(test)]
mod tests;
