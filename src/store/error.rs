//! Why files in DIR can't be read or written.

use std::io;
use std::path::{Path, PathBuf};

use almanac_core::owner::Owner;

use crate::arguments::command_line;
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

    #[error("{}: {reason}; nothing was overwritten", path.display())]
    Unreadable { path: PathBuf, reason: String },

    #[error("there is no directory {}", dir.display())]
    NoDir { dir: PathBuf },

    /// An object store that may answer later.
    #[error("the object store of {} does not answer: {reason}", url.display())]
    Away { url: PathBuf, reason: String },

    #[error("the object store refused {}: {reason}", url.display())]
    Denied { url: PathBuf, reason: String },

    #[error("{}: {reason}", url.display())]
    BadUrl { url: PathBuf, reason: String },

    #[error(
        "the object store of {} lets two conditional writes win: {reason}; nothing can be counted exactly once there",
        url.display()
    )]
    Racy { url: PathBuf, reason: String },

    #[error("can't {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl Failure for StoreError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            StoreError::Held { .. } => {
                "stop that process, or add --take-over to `almanac consumer` or `almanac recover`".to_owned()
            }
            StoreError::DirGone { dir } => {
                format!("run the command again to keep checkpoints in {} as it is now", dir.display())
            }
            StoreError::Evicted { .. } => {
                "run the command again to continue with the files that are there now".to_owned()
            }
            StoreError::Unreadable { .. } => {
                "fix the file, or move it and the partition's checkpoint away to count again".to_owned()
            }
            StoreError::NoDir { dir } => {
                let consumer = command_line("almanac consumer", &[("-d", &dir.display().to_string())]);
                format!("run `{consumer}` to create it, or name another with --dir")
            }
            StoreError::Away { .. } => {
                "check the endpoint and the network, then run the command again".to_owned()
            }
            StoreError::Denied { .. } => {
                "name a bucket that exists, and give almanac the access that docs/OBJECT-STORE.md lists"
                    .to_owned()
            }
            StoreError::BadUrl { .. } => "name a bucket and a prefix, as in s3://bucket/prefix".to_owned(),
            StoreError::Racy { .. } => "use an object store that docs/OBJECT-STORE.md names".to_owned(),
            StoreError::TakenOver { .. } | StoreError::Io { .. } => return None,
        };
        Some(hint)
    }

    fn exit(&self) -> Exit {
        match self {
            StoreError::Held { .. } | StoreError::TakenOver { .. } => Exit::Owner,
            StoreError::Unreadable { .. } => Exit::Checkpoint,
            StoreError::BadUrl { .. } => Exit::Usage,
            StoreError::NoDir { .. }
            | StoreError::DirGone { .. }
            | StoreError::Evicted { .. }
            | StoreError::Away { .. }
            | StoreError::Denied { .. }
            | StoreError::Racy { .. }
            | StoreError::Io { .. } => Exit::Disk,
        }
    }
}

impl StoreError {
    /// Whether the store may answer later.
    pub fn is_away(&self) -> bool {
        matches!(self, StoreError::Away { .. })
    }

    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
        move |source| StoreError::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn unreadable(path: &Path, reason: impl ToString) -> StoreError {
        StoreError::Unreadable { path: path.to_owned(), reason: reason.to_string() }
    }
}
