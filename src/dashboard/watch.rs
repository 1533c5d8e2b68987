//! The files of DIR as they are now: looked at by one thread, told to all who wait.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::watch;

use crate::checkpoint::Checkpoint;
use crate::plot;
use crate::status::View;
use crate::stop::Stop;
use crate::store::{self, Identity, Paths};

/// How often the files are looked at. A look is a `stat` for each; notifications of the kernel's would come sooner, but
/// not from network file systems.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the files say.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The same for the same checkpoints, whoever reads them and whenever.
    pub version: Arc<str>,
    /// Why DIR can't be read.
    pub failure: Option<Arc<str>>,
    pub partitions: BTreeMap<i32, Arc<File>>,
    /// Each month of each year once, in calendar order.
    pub cells: Arc<[plot::Cell]>,
}

/// What is known of one partition.
pub struct File {
    pub view: View,
    /// Of the checkpoint; empty where it can't be read.
    pub bytes: Bytes,
    /// Of the bytes, or of the reason why there are none.
    pub hash: u64,
    identities: Identities,
}

/// Of the checkpoint and of `status.json`.
type Identities = (Option<Identity>, Option<Identity>);

pub struct Watcher {
    dir: PathBuf,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

impl Watcher {
    /// Looks at DIR once, so that the first answer is of what is there.
    pub fn new(dir: PathBuf) -> (Watcher, watch::Receiver<Arc<Snapshot>>) {
        let first = Snapshot::default().next(&dir).unwrap_or_default();
        let (snapshots, receiver) = watch::channel(Arc::new(first));
        (Watcher { dir, snapshots }, receiver)
    }

    pub fn run(self, stop: &Stop) {
        // It is over when nobody can ask any more, too.
        while !self.snapshots.is_closed() && !stop.wait(LOOK_EVERY) {
            let next = self.snapshots.borrow().next(&self.dir);
            if let Some(next) = next {
                self.snapshots.send_replace(Arc::new(next));
            }
        }
    }
}

impl Snapshot {
    /// What the files say now, if that is anything else.
    fn next(&self, dir: &Path) -> Option<Snapshot> {
        let numbers = match store::partitions_in(dir) {
            Ok(numbers) => numbers,
            Err(error) => {
                let failure: Arc<str> = error.to_string().into();
                let is_known = self.failure.as_ref() == Some(&failure);
                return (!is_known)
                    .then(|| Snapshot { failure: Some(failure), ..Snapshot::of(BTreeMap::new()) });
            }
        };
        let mut partitions = BTreeMap::new();
        let (mut is_changed, mut are_statuses_changed) =
            (self.failure.is_some() || self.version.is_empty(), false);
        for number in numbers {
            let known = self.partitions.get(&number);
            let file = match File::next(known, &Paths::new(dir, number)) {
                Some(file) => {
                    is_changed |= known.is_none_or(|known| known.hash != file.hash);
                    are_statuses_changed = true;
                    Arc::new(file)
                }
                None => match known {
                    Some(known) => Arc::clone(known),
                    None => continue,
                },
            };
            partitions.insert(number, file);
        }
        is_changed |= partitions.len() != self.partitions.len();
        match (is_changed, are_statuses_changed) {
            (true, _) => Some(Snapshot::of(partitions)),
            (false, true) => Some(Snapshot { partitions, ..self.clone() }),
            (false, false) => None,
        }
    }

    fn of(partitions: BTreeMap<i32, Arc<File>>) -> Snapshot {
        let mut hasher = DefaultHasher::new();
        for (number, file) in &partitions {
            (number, file.hash).hash(&mut hasher);
        }
        let cells =
            partitions.values().filter_map(|file| file.view.checkpoint.as_ref().ok()).flat_map(plot_cells);
        Snapshot {
            version: format!("{:016x}", hasher.finish()).into(),
            failure: None,
            cells: plot::merge(cells).0.into(),
            partitions,
        }
    }
}

impl File {
    /// What is there now, if that is anything else.
    fn next(known: Option<&Arc<File>>, paths: &Paths) -> Option<File> {
        let identities = (Identity::of(&paths.checkpoint()), Identity::of(&paths.status()));
        if known.is_some_and(|known| known.identities == identities) {
            return None;
        }
        let (bytes, checkpoint) = match store::load_checkpoint_as_is(paths) {
            Ok(Some((bytes, checkpoint))) => (bytes, Ok(checkpoint)),
            // It has just gone; the next look sees that.
            Ok(None) => return None,
            Err(error) => (Vec::new(), Err(error)),
        };
        let hash = match &checkpoint {
            Ok(_) => hash(&bytes),
            Err(error) => hash(error.to_string().as_bytes()),
        };
        let modified = identities.0.as_ref().and_then(|identity| identity.modified.try_into().ok());
        let view = View {
            partition: paths.partition(),
            bytes: checkpoint.is_ok().then_some(bytes.len() as u64),
            checkpoint,
            status: store::load_status(paths).ok().flatten(),
            modified,
        };
        Some(File { view, bytes: bytes.into(), hash, identities })
    }
}

/// The same in every process: `DefaultHasher::new` has no random keys.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn plot_cells(checkpoint: &Checkpoint) -> Vec<plot::Cell> {
    plot::cells(&checkpoint.statistics, &store::checkpoint_name(checkpoint.partition))
}
