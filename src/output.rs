//! Files that a user names, and that belong to no partition: a picture, a manual page.
//!
//! A regular file is replaced as a whole: a reader sees all of the old one or all of the new one. Whatever else has the
//! name stays what it is, and is written to: a device, a FIFO, another process's pipe. A symbolic link stays as well, and
//! the file that it leads to is replaced. The kernel follows the link, so its rules for links in shared directories hold.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::store::{self, StoreError};

/// As many symbolic links as the kernel follows one after the other.
const LINKS_MAX: usize = 40;

/// A name that is taken already is bad luck once, and somebody's intention after that.
const NAMES_MAX: usize = 16;

/// Writes all of `bytes` to what `path` names. An existing file keeps its permissions and its owner. A new file has the
/// permissions that the umask gives.
/// A URL is that of an object.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    if store::is_url(path) {
        return store::put(path, bytes);
    }
    put(path, bytes).map_err(|source| StoreError::Io { action: "write", path: path.to_owned(), source })
}

/// Whether `path` names what is open already: `/dev/stdout`, or the file that a shell redirected it to.
pub fn is_same(path: &Path, open: &impl AsFd) -> bool {
    let place = |file: &Metadata| (file.dev(), file.ino());
    let open = open.as_fd().try_clone_to_owned().and_then(|open| File::from(open).metadata());
    matches!((fs::metadata(path), open), (Ok(named), Ok(open)) if place(&named) == place(&open))
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match find(path) {
        Ok(found) => put_to(&found, path, bytes),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) if path.is_symlink() => put_to(&create_target(path)?, path, bytes),
        Err(_) if is_directory_name(path) => Err(Errno::ISDIR.into()),
        Err(_) => replace(path, bytes, None),
    }
}

/// A handle of what is there, for which nothing is opened yet: not a tape rewound, not a FIFO waited for.
fn find(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::PATH.bits().cast_signed()).open(path)
}

/// The kernel's own name for a handle. It can't lead to another file meanwhile.
fn handle_path(found: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// Creates the file that a dangling symbolic link leads to.
fn create_target(link: &Path) -> io::Result<File> {
    let created = OpenOptions::new().write(true).create(true).truncate(false).open(link);
    created.and_then(|_| find(link)).map_err(|error| match fs::read_link(link) {
        Ok(target) => {
            let what = format!("it is a symbolic link to {}: {error}", target.display());
            io::Error::new(error.kind(), what)
        }
        Err(_) => error,
    })
}

fn put_to(found: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let there = found.metadata()?;
    if there.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    if !there.is_file() {
        return open_to_write(found, OpenOptions::new().write(true))?.write_all(bytes);
    }
    if is_open_file(path) {
        // Somebody has it open and may go on writing to it: what is there is kept.
        return open_to_write(found, OpenOptions::new().append(true))?.write_all(bytes);
    }
    // A file is only replaced by a process that may also write to it.
    let mut file = open_to_write(found, OpenOptions::new().write(true))?;
    let replaced = match real_path(found, &there) {
        Some(real) => replace(&real, bytes, Some(&there)),
        None => Err(Errno::BUSY.into()),
    };
    match replaced {
        // The directory takes no new file, or the file is a mount point, or belongs to somebody else.
        Err(error) if is_fixed(&error) => {
            file.set_len(0)?;
            file.write_all(bytes)?;
            file.sync_all()
        }
        replaced => replaced,
    }
}

fn is_fixed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::ResourceBusy
            | io::ErrorKind::CrossesDevices
    )
}

fn open_to_write(found: &File, options: &mut OpenOptions) -> io::Result<File> {
    options.custom_flags(OFlags::NOCTTY.bits().cast_signed()).open(handle_path(found))
}

/// The path of a regular file without symbolic links; none if it has lost that name meanwhile.
fn real_path(found: &File, there: &Metadata) -> Option<PathBuf> {
    let real = fs::read_link(handle_path(found)).ok()?;
    let named = fs::symlink_metadata(&real).ok()?;
    ((named.dev(), named.ino()) == (there.dev(), there.ino())).then_some(real)
}

/// Whether the path means a file that a process has open, as `/dev/stderr`, `/dev/fd/3` and `/proc/self/fd/3` do. Its
/// name may be that of a regular file.
fn is_open_file(path: &Path) -> bool {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(parent) = fs::canonicalize(parent_of(&path)) else { return false };
        if parent.starts_with("/proc") && parent.ends_with("fd") {
            return true;
        }
        let Ok(next) = fs::read_link(&path) else { return false };
        path = parent.join(next);
    }
    false
}

/// Puts a new file in place of what has this name, if anything has; it is followed nowhere.
fn replace(path: &Path, bytes: &[u8], former: Option<&Metadata>) -> io::Result<()> {
    let (temp, mut file) = create_temp(parent_of(path), former.is_some())?;
    let mut write = || {
        file.write_all(bytes)?;
        former.map_or(Ok(()), |former| keep_owner(&file, former))?;
        file.sync_all()?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a file that a user names, of no partition's durable state"
        )]
        fs::rename(&temp, path)
    };
    if let Err(error) = write() {
        // The user hears of the first error; this one would only say that there is nothing to remove.
        let _ = fs::remove_file(&temp);
        return Err(error);
    }
    match File::open(parent_of(path)) {
        // A directory that may be written to and not read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        dir => dir?.sync_all(),
    }
}

/// A new file under a name that nobody can foresee.
fn create_temp(dir: &Path, is_private: bool) -> io::Result<(PathBuf, File)> {
    let mode = if is_private { 0o600 } else { 0o666 };
    let mut names = 0;
    loop {
        let number = RandomState::new().build_hasher().finish();
        let temp = dir.join(format!(".almanac-{number:016x}.tmp"));
        match OpenOptions::new().write(true).create_new(true).mode(mode).open(&temp) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && names < NAMES_MAX => names += 1,
            file => return Ok((temp, file?)),
        }
    }
}

fn keep_owner(file: &File, former: &Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (former.uid(), former.gid()) {
        fchown(file, Some(former.uid()), Some(former.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(former.mode() & 0o777))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether the path can only be that of a directory.
fn is_directory_name(path: &Path) -> bool {
    path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

#[cfg(test)]
mod tests;
