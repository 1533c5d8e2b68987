//! DIR, held open. Whatever an owner writes goes by this handle and by that of its epoch's directory, so that it can't
//! come to lie in another directory that has got DIR's name.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustix::fs::{self as at, AtFlags, Mode, OFlags, Stat};

use super::directory::Directory;
use super::error::StoreError;

/// As the umask has it.
const FILE_MODE: u32 = 0o666;
const DIR_MODE: u32 = 0o777;

/// The directory that DIR was when it was opened, whatever becomes of that name.
#[derive(Clone, Debug)]
pub struct Home(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Directory,
    handle: OwnedFd,
    /// See [`super::topic`].
    joined: OnceLock<File>,
}

impl Home {
    /// Opens DIR, and creates it where it is missing, so that a place that can't be written is known before anything
    /// is read.
    pub fn open(dir: &Path) -> Result<Home, StoreError> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        super::files::create_dir_durably(dir)?;
        let handle = open_dir(at::CWD, dir).map_err(StoreError::io("open", dir))?;
        let home =
            Home(Arc::new(Inner { directory: Directory(dir.to_owned()), handle, joined: OnceLock::new() }));
        home.create_dir(&dir.join(".almanac"))?;
        Ok(home)
    }

    pub fn path(&self) -> &Path {
        &self.0.directory.0
    }

    /// The file that names the topic counted here, once this process has named it.
    pub(super) fn joined(&self) -> &OnceLock<File> {
        &self.0.joined
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// Fails once the path DIR leads to another directory, or to none.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let path = self.path();
        let now = at::stat(path).map_err(io::Error::from);
        let held = at::fstat(&self.0.handle).map_err(io::Error::from);
        match (now, held) {
            (Ok(now), Ok(held)) if is_same(&now, &held) => Ok(()),
            (Ok(_), Ok(_)) => Err(self.gone()),
            (Err(error), _)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                Err(self.gone())
            }
            (Err(error), _) | (_, Err(error)) => Err(StoreError::io("look for", path)(error)),
        }
    }

    fn gone(&self) -> StoreError {
        StoreError::DirGone { dir: self.path().to_owned() }
    }

    /// A path below DIR, relative to DIR.
    fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        let relative = path.strip_prefix(self.path()).unwrap_or(path);
        if relative.as_os_str().is_empty() { Path::new(".") } else { relative }
    }

    pub(super) fn open_dir(&self, path: &Path) -> Result<OwnedFd, StoreError> {
        open_dir(&self.0.handle, self.relative(path)).map_err(StoreError::io("open", path))
    }

    pub(super) fn stat(&self, path: &Path) -> io::Result<Stat> {
        Ok(at::statat(&self.0.handle, self.relative(path), AtFlags::empty())?)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let handle = &self.0.handle;
        Ok(at::renameat(handle, self.relative(from), handle, self.relative(to))?)
    }

    pub(super) fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let handle = &self.0.handle;
        Ok(at::linkat(handle, self.relative(from), handle, self.relative(to), AtFlags::empty())?)
    }

    /// Creates a file below DIR that is not there.
    pub(super) fn create(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        open_file(&self.0.handle, self.relative(path), flags | OFlags::CREATE | OFlags::EXCL)
    }

    pub(super) fn remove_file(&self, path: &Path) -> io::Result<()> {
        remove_file(&self.0.handle, self.relative(path))
    }

    /// Opens a file below DIR, and creates it where it is missing.
    pub(super) fn open_or_create(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        open_file(&self.0.handle, self.relative(path), flags | OFlags::CREATE)
    }

    /// Opens a file below DIR to read it.
    pub(super) fn read(&self, path: &Path) -> io::Result<File> {
        open_file(&self.0.handle, self.relative(path), OFlags::RDONLY)
    }

    /// Creates a directory below DIR and those above it, and syncs each one that gained an entry. It also syncs the one
    /// above a directory that is there: the process that made it may have been killed before it did.
    pub(super) fn create_dir(&self, dir: &Path) -> Result<(), StoreError> {
        let above = dir.parent().filter(|above| above.starts_with(self.path()));
        let Some(above) = above else { return Ok(()) };
        if !self.stat(dir).is_ok_and(|found| at::FileType::from_raw_mode(found.st_mode).is_dir()) {
            self.create_dir(above)?;
            match at::mkdirat(&self.0.handle, self.relative(dir), Mode::from_raw_mode(DIR_MODE)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(StoreError::io("create directory", dir)(error.into())),
            }
        }
        self.sync_dir(above)
    }

    pub(super) fn sync_dir(&self, dir: &Path) -> Result<(), StoreError> {
        open_dir(&self.0.handle, self.relative(dir))
            .and_then(|dir| File::from(dir).sync_all())
            .map_err(StoreError::io("sync directory", dir))
    }
}

pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

pub(super) fn identity(file: impl AsFd) -> io::Result<Stat> {
    Ok(at::fstat(file)?)
}

pub(super) fn open_dir(dir: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    open(dir, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

pub(super) fn open_file(dir: impl AsFd, path: &Path, flags: OFlags) -> io::Result<File> {
    open(dir, path, flags).map(File::from)
}

fn open(dir: impl AsFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let (dir, mode) = (dir.as_fd(), Mode::from_raw_mode(FILE_MODE));
    Ok(rustix::io::retry_on_intr(|| at::openat(dir, path, flags | OFlags::CLOEXEC, mode))?)
}

pub(super) fn make_dir(dir: impl AsFd, name: &str) -> io::Result<()> {
    Ok(at::mkdirat(dir, name, Mode::from_raw_mode(DIR_MODE))?)
}

pub(super) fn remove_file(dir: impl AsFd, name: &Path) -> io::Result<()> {
    Ok(at::unlinkat(dir, name, AtFlags::empty())?)
}

pub(super) fn remove_dir(dir: impl AsFd, name: &str) -> io::Result<()> {
    Ok(at::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

/// The names in a directory, without those that are not UTF-8, which are none of ours.
pub(super) fn names_in(dir: impl AsFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in at::Dir::read_from(dir)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
