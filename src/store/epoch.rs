//! The owner epoch, `.almanac/N/EPOCH`: the right to write, and the way by which each file of a partition gets into place.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use almanac_core::owner::Owner;
use almanac_core::text::json_line;
use rustix::fs::OFlags;

use super::error::StoreError;
use super::files::is_same_content;
use super::home::{self, Home};
use super::paths::{LOCK, Paths};
use super::reading::{STATUS_BYTES_MAX, each_passed_rejected};

/// This process as an owner, from now on.
pub fn this_process() -> Owner {
    Owner {
        pid: std::process::id(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        since: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}

pub(super) fn name_owner(lock: &mut File, owner: &Owner) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let line = json_line(owner);
    lock.write_all_at(&line, 0)?;
    lock.set_len(line.len() as u64)
}

/// The owner that the lock file names; unknown if the file can't be read.
pub(super) fn read_owner(paths: &Paths) -> Owner {
    fs::read(paths.lock()).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

/// `.almanac/N` while a partition is taken.
pub(super) struct Private<'a> {
    pub(super) paths: &'a Paths,
    pub(super) handle: OwnedFd,
}

impl Private<'_> {
    /// Opens the lock file, and locks it unless another process has it locked.
    pub(super) fn open_lock(&self) -> Result<(File, bool), StoreError> {
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

    pub(super) fn read_owner(&self) -> Owner {
        let read = || -> io::Result<Owner> {
            let lock = home::open_file(&self.handle, Path::new(LOCK), OFlags::RDONLY)?;
            Ok(serde_json::from_reader(lock.take(STATUS_BYTES_MAX))?)
        };
        read().unwrap_or_default()
    }

    /// Makes the directory of the next owner epoch, and removes every lower one until it is gone.
    pub(super) fn next_epoch(&self, owner: &Owner) -> Result<(u64, OwnedFd), StoreError> {
        let dir = self.paths.private();
        let epoch = loop {
            let last = epochs(&self.handle).map_err(StoreError::io("list", &dir))?.into_iter().max();
            let Some(epoch) = last.unwrap_or(0).checked_add(1) else {
                return Err(StoreError::unreadable(&dir, "there is no owner epoch after the last one"));
            };
            // A new owner writes its name before it makes its epoch. So a process that was paused since it named itself
            // finds the other's name here, if it has seen the other's epoch, and does not take the partition back.
            let named = self.read_owner();
            if named != *owner {
                return Err(StoreError::TakenOver { partition: self.paths.partition(), owner: named });
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
    pub(super) fn remove_lower_epochs(&self, epoch: u64) -> Result<(), StoreError> {
        let dir = self.paths.private();
        let all = epochs(&self.handle).map_err(StoreError::io("list", &dir))?;
        // A process that was paused between choosing its number and making it may come after later owners. The highest
        // directory is never removed, so this check notices them.
        if all.iter().any(|other| *other > epoch) {
            // The owner of the higher epoch removes it otherwise.
            let _ = home::remove_dir(&self.handle, &epoch.to_string());
            let owner = self.read_owner();
            return Err(StoreError::TakenOver { partition: self.paths.partition(), owner });
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

/// Whether a replaced file must survive a power cut.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Durability {
    Synced,
    Atomic,
}

/// Why a temporary file could not be filled.
enum FillError {
    /// A file for it can't be opened.
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
pub(super) struct Epoch {
    pub(super) home: Home,
    pub(super) paths: Paths,
    pub(super) number: u64,
    pub(super) handle: OwnedFd,
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
    pub(super) fn put_bytes(
        &self,
        target: &Path,
        bytes: &[u8],
        durability: Durability,
    ) -> Result<File, StoreError> {
        self.put(target, durability, |temp| Ok(temp.write_all(bytes)?))
    }

    /// Rewrites the rejected file, under a new inode, without a torn last line and without entries that the
    /// checkpoint has not passed: those records will be read again.
    pub(super) fn rewrite_rejected(&self, offset: i64) -> Result<File, StoreError> {
        self.put(&self.paths.rejected(), Durability::Synced, |temp| {
            each_passed_rejected(&self.paths, offset, FillError::Source, |line| Ok(temp.write_all(line)?))
        })
    }

    /// Keeps a copy of `source` at `target` without ever overwriting. An equal file that is there already is
    /// left. A file that differs keeps its name, and the new file gets a number.
    pub(super) fn keep(&self, source: &Path, target: &Path) -> Result<(), StoreError> {
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
    pub(super) fn write_error(&self, action: &'static str, target: &Path, source: io::Error) -> StoreError {
        if source.kind() != io::ErrorKind::NotFound {
            return StoreError::Io { action, path: target.to_owned(), source };
        }
        if let Err(gone) = self.home.check() {
            return gone;
        }
        let (partition, private) = (self.paths.partition(), self.paths.private());
        // A new owner makes a higher epoch first, then empties this one, and only then removes it. So the temp file may
        // be missing while the directory is still there.
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
