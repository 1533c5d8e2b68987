//! Why files in DIR can't be read or written.

use std::io;
use std::path::{Path, PathBuf};

use almanac_core::owner::Owner;

use crate::failure::{Exit, Failure};

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
            StoreError::Unreadable { .. } => "nothing was overwritten; fix the file, or move it away, the \
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
    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
        move |source| StoreError::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn unreadable(path: &Path, reason: impl ToString) -> StoreError {
        StoreError::Unreadable { path: path.to_owned(), reason: reason.to_string() }
    }
}
