//! Files: read within bounds, written whole, synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use rustix::fs::OFlags;

use super::error::StoreError;

/// The part of a rejected file that is read at once.
const LINES_BUFFER_BYTES: usize = 64 << 10;

/// The identity of a file. Each replacement is another inode.
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

/// How large a file is, and when it was replaced last. `follows` a symbolic link, or looks at the link itself.
pub fn size_and_time(path: &Path, follows: bool) -> (Option<u64>, Option<Timestamp>) {
    let metadata = if follows { path.metadata() } else { path.symlink_metadata() };
    let modified = metadata.as_ref().ok().and_then(|metadata| metadata.modified().ok()?.try_into().ok());
    (metadata.ok().map(|metadata| metadata.len()), modified)
}

/// Compares two files piece by piece.
pub(super) fn is_same_content(one: File, other: File) -> io::Result<bool> {
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

pub(super) fn open_if_there(path: &Path) -> Result<Option<File>, StoreError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// A file of lines; empty where there is none.
pub(super) fn read_lines(path: &Path) -> Result<Box<dyn BufRead + Send>, StoreError> {
    Ok(match open_if_there(path)? {
        Some(file) => Box::new(BufReader::with_capacity(LINES_BUFFER_BYTES, file)),
        None => Box::new(io::empty()),
    })
}

pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { action: "read", path: path.to_owned(), source }),
    }
}

/// The bytes of a plain file, of which nothing larger than `bytes_max` is read.
pub(super) fn read_plain(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, StoreError> {
    open_plain(path)?.map(|file| read_bounded(&file, path, bytes_max)).transpose()
}

/// Opens a plain file: symbolic links are not followed, and pipes not waited for.
pub(super) fn open_plain(path: &Path) -> Result<Option<File>, StoreError> {
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
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
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
pub(super) fn read_bounded(file: &File, path: &Path, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
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
pub(super) fn create_dir_durably(dir: &Path) -> Result<(), StoreError> {
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

pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync directory", dir))
}
