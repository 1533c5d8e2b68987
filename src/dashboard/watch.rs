//! The files of DIR as they are now: looked at by one thread, told to all who wait.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use almanac_core::place::Place;
use almanac_core::split::Split;
use jiff::Timestamp;
use tokio::sync::watch;

use super::answer::{Answer, Common, Kept, hash};
use crate::checkpoint::Checkpoint;
use crate::failure::{Failure, fact};
use crate::plot;
use crate::stop::Stop;
use crate::store::{self, Reader, Version};
use crate::view::{self, Facts, PartitionView, Whole};

/// The pause grows by this for each client that waits for events. An event for a thousand clients takes time that a
/// consumer on the same machine needs.
const LOOK_LATER: Duration = Duration::from_micros(30);

/// How often each file is looked at, whatever DIR says: `status.json` lies deeper, and is replaced once a second at most.
const LOOK_AT_ALL_EVERY: Duration = Duration::from_millis(250);

/// How coarse the times of files may be: what was replaced later within it may have left the time as it was.
const TIMES_DIFFER_AFTER: Duration = Duration::from_millis(50);

/// A look takes milliseconds. One that takes this long waits for a file system that does not answer.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// The content of DIR.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The same for the same checkpoints and the same place, whoever reads them and whenever.
    pub version: Arc<str>,
    /// Why DIR can't be read.
    pub failure: Option<Arc<Failed>>,
    pub partitions: BTreeMap<i32, Arc<File>>,
    /// Each month of each year once, in calendar order.
    pub cells: Arc<[plot::Cell]>,
    /// The place, and months that are in two files.
    pub whole: Arc<Whole>,
    /// The hash of each partition's checkpoint.
    pub hashes: Arc<BTreeMap<i32, u64>>,
    /// The answers already made of this version.
    pub kept: Arc<Kept>,
    pub common: Arc<Common>,
}

/// An error's fact, and what to do.
#[derive(Eq, Hash, PartialEq)]
pub struct Failed {
    pub fact: String,
    pub hint: Option<String>,
}

/// One partition.
pub struct File {
    pub facts: Facts,
    /// None where it can't be read.
    pub checkpoint: Option<Checkpoint>,
    /// The bytes of the checkpoint; none where it can't be read.
    pub answer: Answer,
    /// Of the bytes, or of the reason why there are none.
    pub hash: u64,
    /// Of the checkpoint and of the status.
    version: Version,
}

pub struct Watcher {
    reader: Arc<dyn Reader>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    pulse: Pulse,
}

impl Watcher {
    /// Looks at DIR once, so that the first answer is of what is there.
    pub fn new(reader: Arc<dyn Reader>) -> (Watcher, watch::Receiver<Arc<Snapshot>>, Pulse) {
        let first = Snapshot::default().next(&*reader);
        let first = first.expect("before the first look nothing is known, so what it finds is new");
        let (snapshots, receiver) = watch::channel(Arc::new(first));
        let pulse = Pulse::default();
        (Watcher { reader, snapshots, pulse: pulse.clone() }, receiver, pulse)
    }

    pub fn run(self, stop: &Stop) {
        let mut looked = Looked::default();
        // It also ends when no client can ask any more.
        while !self.snapshots.is_closed() && !stop.wait(self.pause()) {
            if looked.is_due(self.reader.changed(), SystemTime::now()) {
                let next = self.snapshots.borrow().next(&*self.reader);
                if let Some(next) = next {
                    self.snapshots.send_replace(Arc::new(next));
                }
            }
            self.pulse.beat();
        }
    }

    fn pause(&self) -> Duration {
        let waiting = u32::try_from(self.snapshots.receiver_count()).unwrap_or(u32::MAX);
        self.reader.look_every().saturating_add(LOOK_LATER.saturating_mul(waiting))
    }
}

/// When all files were looked at last, and when DIR had changed by then.
#[derive(Default)]
struct Looked(Option<(SystemTime, SystemTime)>);

impl Looked {
    /// Whether there may be something new in DIR, which was last `modified` then; or the last look is long ago.
    fn is_due(&mut self, modified: Option<SystemTime>, now: SystemTime) -> bool {
        let is_over = |from: SystemTime, time| now.duration_since(from).is_ok_and(|passed| passed >= time);
        let is_quiet = self.0.zip(modified).is_some_and(|((looked, known), modified)| {
            known == modified
                // The clock may have been set back.
                && looked <= now
                && !is_over(looked, LOOK_AT_ALL_EVERY)
                && looked.duration_since(modified).is_ok_and(|passed| passed >= TIMES_DIFFER_AFTER)
        });
        if !is_quiet {
            self.0 = modified.map(|modified| (now, modified));
        }
        !is_quiet
    }
}

/// When the files were looked at last, for those who answer of them.
#[derive(Clone)]
pub struct Pulse {
    began: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse { began: Instant::now(), last_ms: Arc::default() }
    }
}

impl Pulse {
    fn beat(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(millis, Ordering::Relaxed);
    }

    /// Why what is answered is not of now: the thread that looks waits, or is dead.
    pub fn hindrance(&self) -> Option<String> {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        hindrance(self.began.elapsed().saturating_sub(last))
    }
}

fn hindrance(since_last: Duration) -> Option<String> {
    (since_last >= STUCK_AFTER)
        .then(|| format!("the files were last looked at {} s ago", since_last.as_secs()))
}

impl Snapshot {
    /// The content of DIR now, if it has changed.
    pub fn next(&self, reader: &dyn Reader) -> Option<Snapshot> {
        let numbers = match reader.partitions() {
            Ok(numbers) => numbers,
            Err(error) => {
                let failure = Arc::new(Failed { fact: fact(&error), hint: error.hint() });
                let is_known = self.failure.as_ref() == Some(&failure);
                return (!is_known).then(|| Snapshot::of(BTreeMap::new(), Some(failure), None));
            }
        };
        let mut partitions = BTreeMap::new();
        let (mut is_changed, mut are_statuses_changed) =
            (self.failure.is_some() || self.version.is_empty(), false);
        for number in numbers {
            let known = self.partitions.get(&number);
            let file = match File::next(known, reader, number) {
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
        // Its file is replaced by a consumer, which also writes statuses.
        let place = match is_changed || are_statuses_changed {
            true => store::place_of(reader),
            false => self.whole.place.clone(),
        };
        is_changed |= place != self.whole.place;
        match (is_changed, are_statuses_changed) {
            (true, _) => Some(Snapshot::of(partitions, None, place)),
            (false, true) => Some(Snapshot { partitions, ..self.clone() }),
            (false, false) => None,
        }
    }

    fn of(
        partitions: BTreeMap<i32, Arc<File>>,
        failure: Option<Arc<Failed>>,
        place: Option<Place>,
    ) -> Snapshot {
        let hashes: BTreeMap<i32, u64> =
            partitions.iter().map(|(number, file)| (*number, file.hash)).collect();
        let mut hasher = DefaultHasher::new();
        (&failure, &hashes).hash(&mut hasher);
        place.as_ref().map(Place::to_header).hash(&mut hasher);
        let checkpoints = || partitions.values().filter_map(|file| file.checkpoint.as_ref());
        let counted = checkpoints().map(|checkpoint| (checkpoint.partition, &checkpoint.statistics));
        let split = Split::find(counted, |_| true);
        let cells = checkpoints().flat_map(plot_cells);
        Snapshot {
            version: format!("{:016x}", hasher.finish()).into(),
            failure,
            cells: plot::merge(cells).0.into(),
            whole: Arc::new(Whole { place, split }),
            partitions,
            hashes: hashes.into(),
            kept: Arc::default(),
            common: Arc::default(),
        }
    }

    /// The partitions in order.
    pub fn views(&self, now: Timestamp) -> Vec<PartitionView<'_>> {
        self.partitions.values().map(|file| file.facts.view(now)).collect()
    }
}

impl File {
    /// The partition now, if its files have changed.
    fn next(known: Option<&Arc<File>>, reader: &dyn Reader, number: i32) -> Option<File> {
        let version = reader.version_shown(number);
        if known.is_some_and(|known| known.version == version) {
            return None;
        }
        let (bytes, checkpoint) = match reader.load_as_is(number) {
            Ok(Some((bytes, checkpoint))) => (bytes, Ok(checkpoint)),
            // It has just gone; the next look sees that.
            Ok(None) => return None,
            Err(error) => (Vec::new(), Err(error)),
        };
        let (facts, _) = view::of_partition(reader, number, checkpoint.as_ref());
        let hash = match &facts.durable {
            Ok(_) => hash(&bytes),
            Err(unread) => hash(unread.fact.as_bytes()),
        };
        let checkpoint = checkpoint.ok().filter(|_| facts.durable.is_ok());
        Some(File { facts, checkpoint, answer: Answer::new("application/json", bytes), hash, version })
    }
}

fn plot_cells(checkpoint: &Checkpoint) -> Vec<plot::Cell> {
    plot::cells(&checkpoint.statistics, &store::checkpoint_name(checkpoint.partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_does_not_end_is_told() {
        for (seconds, expected) in [
            (0, None),
            (4, None),
            (5, Some("the files were last looked at 5 s ago")),
            (61, Some("the files were last looked at 61 s ago")),
        ] {
            assert_eq!(hindrance(Duration::from_secs(seconds)).as_deref(), expected);
        }
    }

    #[test]
    fn all_files_are_looked_at_when_dir_has_changed_or_after_a_while() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let mut looked = Looked::default();
        for (modified, now, expected) in [
            (Some(900), 1000, true),
            (Some(900), 1020, false),
            (Some(900), 1249, false),
            (Some(900), 1250, true),
            // Changed, and perhaps once more within the same tick of the file system's clock.
            (Some(1260), 1270, true),
            (Some(1260), 1290, true),
            (Some(1260), 1310, true),
            (Some(1260), 1330, false),
            // Its clock is ahead of ours, or ours was set back.
            (Some(2000), 1350, true),
            (Some(2000), 1370, true),
            (Some(900), 1390, true),
            (Some(900), 1380, true),
            // It has gone.
            (None, 1400, true),
            (None, 1420, true),
        ] {
            assert_eq!(looked.is_due(modified.map(at), at(now)), expected, "{modified:?} at {now}");
        }
    }

    #[test]
    fn a_version_is_of_the_checkpoints_and_of_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (none, reader) =
            (store::reader(&dir.path().join("none")).unwrap(), store::reader(dir.path()).unwrap());
        let nowhere = Snapshot::default().next(&*none).unwrap();
        let empty = Snapshot::default().next(&*reader).unwrap();
        assert_ne!(nowhere.version, empty.version, "why there is nothing is something to say");
        assert!(empty.next(&*reader).is_none());

        let path = dir.path().join("partition-0.json");
        let put = |json: &[u8]| crate::output::write(&path, json).unwrap();
        put(&Checkpoint::empty(0, 1).to_json());
        let one = empty.next(&*reader).unwrap();
        assert_ne!(one.version, empty.version);
        assert!(one.next(&*reader).is_none());

        put(&Checkpoint::empty(0, 1).to_json());
        let same = one.next(&*reader).unwrap();
        assert_eq!(same.version, one.version, "another file with the same bytes");

        put(&Checkpoint::empty(0, 2).to_json());
        let other = same.next(&*reader).unwrap();
        assert_ne!(other.version, one.version);

        put(b"{");
        let broken = other.next(&*reader).unwrap();
        assert!(broken.partitions[&0].facts.durable.is_err());
        assert_ne!(broken.version, other.version);
    }
}
