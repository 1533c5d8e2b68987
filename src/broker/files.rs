//! Files that are whole or not there, also after a power cut.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::error::BrokerError;

/// Writes a file and waits until it and its name are on the disk.
pub fn write_synced(path: &Path, text: &str) -> Result<(), BrokerError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        sync_parent(path)
    };
    write().map_err(BrokerError::io("write", path))
}

/// Gives a directory that is complete its final name.
pub fn publish_dir(from: &Path, to: &Path) -> Result<(), BrokerError> {
    sync_tree(from).map_err(BrokerError::io("sync", from))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a directory of the broker's, of no partition's durable state"
    )]
    fs::rename(from, to).map_err(BrokerError::io("make", to))?;
    sync_parent(to).map_err(BrokerError::io("sync", to))
}

/// Removes a directory with all that is in it, if it is there.
pub fn remove_dir(path: &Path) -> Result<(), BrokerError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(BrokerError::io("remove", path)),
    }
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?
        } else {
            File::open(entry.path())?.sync_all()?
        }
    }
    File::open(dir)?.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// The room for users on the disk of `path`.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
