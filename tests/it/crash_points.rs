//! Every system call of a consumer's durable work as the place where it is killed, put to sleep, refused by the disk,
//! or followed by a power cut. The calls are found by a traced run that nothing disturbs.
//!
//! `CAMPAIGN_SIZE` is the number of points; 0 is all of them.

mod power;
mod trace;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use almanac::checkpoint::{Checkpoint, Outcome};
use almanac::kafka::{Admin, Record, extent, read_spans};
use almanac::report::Decoder;
use almanac::store::{self, LocalClaim, Log, Paths, Rejected};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Almanac, Campaign, Ended, Place, Random, Raw, Running, almanac, almanac_under, eventually, has_program,
    kafka,
};
use power::{Disk, Tree, read_tree, write_tree};
use trace::{Call, Injection, Trace};

/// How many points a test run takes: one of each scenario and fate, and one more.
const SHORT: usize = 30;

/// A point is mostly waiting: for Kafka, and for processes to end.
const WORKERS: usize = 4;

/// In so many of the states after a power cut at a point, the binary itself resumes. In all other states, this
/// process only takes the claim.
const RESTARTS: usize = 2;

const CHECKPOINT: &str = "partition-0.json";
const REJECTED: &str = "partition-0.rejected.jsonl";
const LOG: &str = ".almanac/0/log.json";
const TOPIC: &str = ".almanac/topic.json";
const LOCK: &str = ".almanac/0/lock";
const STATUS: &str = ".almanac/0/status.json";

/// The signal that the process gets at a point.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Fate {
    /// SIGKILL at the start of the call, so the call does not happen. The state after the call is the state before
    /// the next.
    Killed,
    /// SIGSTOP as it comes back from the call; it wakes up when another has taken the partition.
    Asleep,
    /// The call is not done, and says that the disk is broken.
    BrokenDisk,
    /// The call is not done, and says that the disk is full.
    FullDisk,
    /// Killed, started again, and at any moment of the second run the power goes.
    PowerCut,
}

impl Fate {
    const ALL: [Fate; 5] = [Fate::Killed, Fate::Asleep, Fate::BrokenDisk, Fate::FullDisk, Fate::PowerCut];

    fn injection(self) -> &'static str {
        match self {
            Fate::Killed | Fate::PowerCut => "signal=KILL",
            Fate::Asleep => "signal=STOP",
            Fate::BrokenDisk => "error=EIO",
            Fate::FullDisk => "error=ENOSPC",
        }
    }

    fn concerns(self, call: &Call) -> bool {
        match self {
            Fate::Killed | Fate::PowerCut => !call.only_looks(),
            Fate::Asleep => true,
            Fate::BrokenDisk | Fate::FullDisk => call.can_fail(),
        }
    }
}

/// The files that the log leads to, at every offset.
struct Oracle {
    topic_id: String,
    end: i64,
    checkpoints: BTreeMap<i64, Vec<u8>>,
    rejected: Vec<(i64, Vec<u8>)>,
}

impl Oracle {
    fn read(place: &Place) -> Oracle {
        let connection = kafka().connection();
        let admin = Admin::new(&connection).unwrap();
        let spans = extent(&admin, &place.topic, 1).unwrap();
        let (mut checkpoint, mut decoder) = (Checkpoint::empty(0, 0), Decoder::default());
        let mut checkpoints = BTreeMap::from([(0, checkpoint.to_json())]);
        let mut rejected = Vec::new();
        read_spans(&connection, &place.topic, &spans, |record: &Record| {
            if let Outcome::Rejected(reason) =
                checkpoint.apply(record.offset, record.value, &mut decoder).unwrap()
            {
                let line = Rejected::new(record.offset, reason, record.key, record.value);
                rejected.push((record.offset, [&serde_json::to_vec(&line).unwrap()[..], b"\n"].concat()));
            }
            checkpoints.insert(checkpoint.offset, checkpoint.to_json());
        })
        .unwrap();
        assert_eq!(checkpoint.offset, spans[0].end);
        let topic_id = kafka().describe(&place.topic).unwrap().id;
        Oracle { topic_id, end: checkpoint.offset, checkpoints, rejected }
    }

    fn rejected_below(&self, offset: i64) -> Vec<u8> {
        let below = self.rejected.iter().filter(|(at, _)| *at < offset);
        below.flat_map(|(_, line)| line.clone()).collect()
    }

    fn last(&self) -> &[u8] {
        &self.checkpoints[&self.end]
    }
}

/// A start of the consumer, from given files, on a given log.
struct Scenario<'a> {
    name: &'static str,
    place: &'a Place,
    /// The files it starts from.
    before: Tree,
    oracle: &'a Oracle,
    /// The log that the files count, where it is another.
    former: Option<&'a Oracle>,
    /// Its partition belongs to a living process.
    is_owned: bool,
    /// The last `log.json` of a run that nothing disturbed.
    log: Vec<u8>,
    /// The calls of a run that nothing disturbed.
    calls: Vec<Call>,
    /// The states after a power cut that have been checked, and the offset that each resumes from.
    seen: Mutex<HashMap<u64, i64>>,
}

/// One call of a scenario, and what is done at it.
#[derive(Clone, Copy)]
struct Point<'a> {
    scenario: &'a Scenario<'a>,
    fate: Fate,
    index: usize,
}

impl fmt::Display for Point<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Call { name, path, .. } = self.call();
        let nth = self.nth(|call| call.path == *path);
        let path = path.display();
        write!(formatter, "{}: {:?} at {name} {nth} of ./{path}", self.scenario.name, self.fate)
    }
}

impl<'a> Scenario<'a> {
    fn new(
        name: &'static str,
        place: &'a Place,
        before: Tree,
        oracle: &'a Oracle,
        former: Option<&'a Oracle>,
        is_owned: bool,
    ) -> Scenario<'a> {
        let (log, calls, seen) = (Vec::new(), Vec::new(), Mutex::default());
        let mut scenario = Scenario { name, place, before, oracle, former, is_owned, log, calls, seen };
        let attempt = Attempt::new(&scenario);
        let (ended, calls) = attempt.undisturbed();
        assert_eq!(
            (ended.code, ended.stderr_without_rejections().lines().count()),
            (Some(0), former.iter().len()),
            "{name}: {ended:?}"
        );
        if !is_owned {
            let mut disk = Disk::new(&scenario.before);
            calls.iter().for_each(|call| disk.apply(call));
            assert_eq!(disk.tree(), read_tree(&attempt.root()), "{name}: the model is not what was done");
        }
        let log = fs::read(attempt.dir().join(LOG)).unwrap();
        drop(attempt);
        (scenario.log, scenario.calls) = (log, calls);
        scenario
    }

    fn points(&'a self) -> impl Iterator<Item = Point<'a>> {
        Fate::ALL.into_iter().flat_map(move |fate| {
            // The model of the disk knows one process only.
            let is_known = !(self.is_owned && fate == Fate::PowerCut);
            let calls = self.calls.iter().enumerate();
            let concerned = calls.filter(move |(_, call)| is_known && fate.concerns(call));
            concerned.map(move |(index, _)| Point { scenario: self, fate, index })
        })
    }

    /// Whether the log has nothing new for these files.
    fn is_idle(&self) -> bool {
        self.before
            .get(&in_place(CHECKPOINT))
            .is_some_and(|found| found.as_deref() == Some(self.oracle.last()))
    }

    /// A killed process may leave only whole files that the log leads to.
    fn assert_sound(&self, dir: &Path) {
        let paths = Paths::new(dir, 0);
        let log = store::load_log(&paths).unwrap();
        let rejected = store::load_rejected(&paths).unwrap();
        let Some(checkpoint) = store::load_checkpoint(&paths).unwrap() else {
            assert!(self.before.is_empty(), "the checkpoint is gone");
            return;
        };
        let log = log.unwrap();
        let is_former = log.topic_id != self.oracle.topic_id;
        let oracle = if is_former { self.former.unwrap() } else { self.oracle };
        let bytes = fs::read(paths.checkpoint()).unwrap();
        assert_eq!(text(&bytes), text(&oracle.checkpoints[&checkpoint.offset]), "the checkpoint");
        let passed = rejected.iter().filter(|line| line.offset < checkpoint.offset);
        let passed: Vec<u8> =
            passed.flat_map(|line| [&serde_json::to_vec(line).unwrap()[..], b"\n"].concat()).collect();
        let is_archived = |name: &str, bytes: &[u8]| {
            fs::read(self.archive_in(dir).join(name)).is_ok_and(|archived| archived == bytes)
        };
        if is_former && checkpoint.offset == 0 {
            assert!(is_archived(CHECKPOINT, oracle.last()), "what the former log made is in the archive");
        }
        if !(is_former && passed.is_empty() && is_archived(REJECTED, &oracle.rejected_below(oracle.end))) {
            assert_eq!(text(&passed), text(&oracle.rejected_below(checkpoint.offset)), "rejected records");
        }
    }

    /// In the end exactly these files must be there.
    fn assert_whole(&self, dir: &Path) {
        let tree = read_tree(dir);
        let bytes = |name: &str| text(tree[Path::new(name)].as_deref().unwrap());
        assert_eq!(bytes(CHECKPOINT), text(self.oracle.last()), "the checkpoint");
        assert_eq!(bytes(REJECTED), text(&self.oracle.rejected_below(self.oracle.end)), "rejected records");
        assert_eq!(bytes(LOG), text(&self.log), "log.json");
        self.assert_archived(dir);
        let epochs = epochs(dir);
        let epoch = format!(".almanac/0/{}", epochs[0]);
        assert_eq!(epochs.len(), 1, "one owner epoch is left: {epochs:?}");
        let mut expected =
            vec![".almanac", ".almanac/0", TOPIC, LOCK, LOG, STATUS, &epoch, CHECKPOINT, REJECTED];
        expected.retain(|name| ![STATUS, TOPIC].contains(name) || tree.contains_key(Path::new(name)));
        let mut expected: Vec<PathBuf> = expected.into_iter().map(PathBuf::from).collect();
        expected.push(".almanac/places".into());
        for oracle in [Some(self.oracle), self.former].into_iter().flatten() {
            assert_eq!(store::load_place(dir, &oracle.topic_id).unwrap().unwrap().station, "");
            expected.push(format!(".almanac/places/{}.json", oracle.topic_id).into());
        }
        let of_archive = tree.keys().filter(|name| name.starts_with("archive")).cloned();
        expected.extend(of_archive);
        expected.sort();
        assert_eq!(tree.into_keys().collect::<Vec<_>>(), expected, "nothing temporary is left");
    }

    /// The archive holds the files of the former log once, unchanged. Without a former log, almanac makes no archive.
    fn assert_archived(&self, dir: &Path) {
        let mut expected = Tree::new();
        if let Some(former) = self.former {
            expected.insert(PathBuf::from(&former.topic_id), None);
            let rejected = former.rejected_below(former.end);
            for (name, bytes) in [(CHECKPOINT, former.last()), (REJECTED, &rejected)] {
                expected.insert(Path::new(&former.topic_id).join(name), Some(bytes.to_owned()));
            }
        }
        assert_eq!(read_tree(&dir.join("archive")), expected, "the archive");
    }

    fn archive_in(&self, dir: &Path) -> PathBuf {
        dir.join("archive").join(&self.former.unwrap().topic_id)
    }

    /// Claims the partition in this process, as the next start does, and compares the result with the log. Returns
    /// the offset that counting resumes from.
    fn assert_recovers(&self, dir: &Path) -> i64 {
        let (mut claim, loaded) = LocalClaim::new(dir, 0, false).unwrap();
        let found = Log {
            cluster_id: String::new(),
            topic: self.place.topic.clone(),
            topic_id: self.oracle.topic_id.clone(),
            partitions: 1,
            first_offset: 0,
            leader_epochs: Vec::new(),
            gaps: Vec::new(),
            is_starting_over: false,
        };
        let checkpoint = match (loaded.log, loaded.checkpoint) {
            (_, None) => claim.start_over(None, &found).unwrap(),
            (None, Some(_)) => panic!("a checkpoint of an unknown log"),
            (Some(log), _) if log.topic_id != found.topic_id => claim.start_over(Some(&log), &found).unwrap(),
            (Some(_), Some(checkpoint)) => checkpoint,
        };
        let rejected = fs::read(dir.join(REJECTED)).unwrap();
        let expected = &self.oracle.checkpoints[&checkpoint.offset];
        assert_eq!(text(&checkpoint.to_json()), text(expected), "the checkpoint");
        assert_eq!(text(&rejected), text(&self.oracle.rejected_below(checkpoint.offset)), "rejected records");
        self.assert_archived(dir);
        checkpoint.offset
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The path of a file of DIR in a [`Tree`] of the place.
fn in_place(name: &str) -> PathBuf {
    Path::new("files").join(name)
}

fn epochs(dir: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(dir.join(".almanac/0")) else { return Vec::new() };
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect()
}

/// The process that a file names: the lock, or the status.
fn named(path: &Path) -> Option<u64> {
    let json: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    json["pid"].as_u64().or_else(|| json["owner"]["pid"].as_u64())
}

fn signal(process: u32, signal: Signal) -> rustix::io::Result<()> {
    kill_process(Pid::from_raw(i32::try_from(process).unwrap()).unwrap(), signal)
}

/// How a traced process stopped.
enum Reached {
    Killed,
    /// The process, and whether it had been asked to stop.
    Asleep(u32, bool),
    Ended(Ended),
}

/// A scenario's files in a place of their own, and who works there.
struct Attempt<'a> {
    scenario: &'a Scenario<'a>,
    temp: TempDir,
    owner: Option<Running>,
}

/// Shows that a process has claimed the partition: a claim raises the epoch, and writes the rejected file again.
struct Claimed {
    epochs: Vec<u64>,
    rejected: Option<(u64, i64, i64)>,
}

impl<'a> Attempt<'a> {
    fn new(scenario: &'a Scenario<'a>) -> Attempt<'a> {
        let mut attempt = Attempt { scenario, temp: tempfile::tempdir().unwrap(), owner: None };
        fs::create_dir(attempt.root()).unwrap();
        write_tree(&attempt.root(), &scenario.before);
        if scenario.is_owned {
            let before = attempt.claimed();
            // Its records are not durable yet when it loses the partition.
            let owner = attempt.consumer(&[], &["--checkpoint-every", "1h"]).start();
            eventually("the owner has read to the end", || {
                let status = fs::read(attempt.dir().join(STATUS)).unwrap_or_default();
                let status: Value = serde_json::from_slice(&status).unwrap_or_default();
                attempt.is_claimed(owner.pid(), &before) && status["position"] == scenario.oracle.end
            });
            attempt.owner = Some(owner);
        }
        attempt
    }

    /// The paths below this directory are those of the place in the model of the disk.
    fn root(&self) -> PathBuf {
        fs::canonicalize(self.temp.path()).unwrap().join("place")
    }

    fn dir(&self) -> PathBuf {
        self.root().join("files")
    }

    fn trace(&self, name: &str) -> Trace {
        Trace::new(self.temp.path().join(name))
    }

    fn consumer(&self, wrapper: &[String], options: &[&str]) -> Almanac {
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        self.at_home(almanac_under(&wrapper, &[&["consumer", "0"], options].concat()))
    }

    fn at_home(&self, almanac: Almanac) -> Almanac {
        almanac
            .env("ALMANAC_BROKERS", &self.scenario.place.brokers)
            .env("ALMANAC_TOPIC", &self.scenario.place.topic)
            .env("ALMANAC_DIR", self.dir())
    }

    /// The options of the scenario's own start, and of each that follows it.
    fn options(&self) -> &'static [&'static str] {
        if self.scenario.is_owned { &["--take-over"] } else { &[] }
    }

    fn claimed(&self) -> Claimed {
        let rejected = fs::metadata(self.dir().join(REJECTED)).ok();
        let rejected = rejected.map(|found| (found.ino(), found.mtime(), found.mtime_nsec()));
        Claimed { epochs: epochs(&self.dir()), rejected }
    }

    fn is_claimed(&self, process: u32, before: &Claimed) -> bool {
        let now = self.claimed();
        named(&self.dir().join(LOCK)) == Some(u64::from(process))
            && now.rejected.is_some()
            && now.rejected != before.rejected
            && matches!(now.epochs[..], [epoch] if before.epochs.iter().all(|other| *other < epoch))
    }

    fn is_caught_up(&self) -> bool {
        let paths = Paths::new(&self.dir(), 0);
        let checkpoint = store::load_checkpoint(&paths).ok().flatten();
        let log = store::load_log(&paths).ok().flatten();
        checkpoint.is_some_and(|found| found.offset == self.scenario.oracle.end)
            && log.is_some_and(|found| found.topic_id == self.scenario.oracle.topic_id)
    }

    /// Follows a traced process to where it is killed or stopped, or, having caught up, to its end.
    fn follow(&self, wrapper: &[String], trace: &Trace) -> (Reached, Running) {
        let before = self.claimed();
        let mut running = self.consumer(wrapper, self.options()).start();
        let (mut is_asked, mut asleep) = (false, None);
        eventually("the traced process gets somewhere", || {
            if !running.is_running() {
                return true;
            }
            let Some(work) = trace.work(&self.root()) else { return false };
            if work.is_stopped {
                asleep = Some(work.process);
                return true;
            }
            // With nothing new to read, that it is at work is seen by its status only.
            let is_at_work =
                !self.scenario.is_idle() || named(&self.dir().join(STATUS)) == Some(u64::from(work.process));
            if !is_asked && is_at_work && self.is_claimed(work.process, &before) && self.is_caught_up() {
                is_asked = true;
                // It may have been killed meanwhile.
                let _ = signal(work.process, Signal::TERM);
            }
            false
        });
        if let Some(process) = asleep {
            return (Reached::Asleep(process, is_asked), running);
        }
        let ended = running.ended();
        (if ended.code.is_none() { Reached::Killed } else { Reached::Ended(ended) }, running)
    }

    fn undisturbed(&self) -> (Ended, Vec<Call>) {
        let trace = self.trace("undisturbed");
        let (Reached::Ended(ended), _) = self.follow(&trace.wrapper(None), &trace) else {
            panic!("nothing disturbs it");
        };
        (ended, trace.work(&self.root()).unwrap().calls)
    }

    /// The next start, which nothing disturbs, up to the end of the log; then all is as if nothing had been.
    fn goes_on(&mut self) {
        let before = self.claimed();
        let mut running = self.consumer(&[], self.options()).start();
        eventually("the next start catches up", || {
            assert!(running.is_running(), "{}", running.stderr());
            self.is_claimed(running.pid(), &before) && self.is_caught_up()
        });
        let ended = running.terminate();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        self.assert_whole();
    }

    fn assert_whole(&mut self) {
        if let Some(mut owner) = self.owner.take() {
            let ended = owner.ended();
            assert_eq!(ended.code, Some(6), "the former owner: {}", ended.stderr);
        }
        self.scenario.assert_whole(&self.dir());
        let verified = self.at_home(almanac(&["verify"])).succeeds();
        assert!(verified.stdout.contains(", the same\n"), "{}", verified.stdout);
    }

    /// The files that a former owner must leave alone.
    fn owned_files(&self) -> Tree {
        let mut tree = read_tree(&self.dir());
        tree.retain(|name, _| {
            [CHECKPOINT, REJECTED, LOG].map(Path::new).contains(&name.as_path())
                || name.starts_with("archive")
        });
        tree
    }
}

/// The results of points.
#[derive(Clone, Copy, Default)]
struct Tally {
    points: usize,
    /// The run was another than the recorded one, and did not come to the call.
    is_missed: bool,
    /// Asleep before it had named itself, the process took the partition from the one that had taken it over.
    taken_back: usize,
    /// Different states after a power cut.
    states: usize,
    /// The states in which the binary resumed.
    restarts: usize,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.points += other.points;
        self.taken_back += other.taken_back;
        self.states += other.states;
        self.restarts += other.restarts;
    }
}

impl Point<'_> {
    fn call(&self) -> &Call {
        &self.scenario.calls[self.index]
    }

    /// The number of this call among the calls of the same name that `are_counted`.
    fn nth(&self, are_counted: impl Fn(&Call) -> bool) -> usize {
        let upto = &self.scenario.calls[..=self.index];
        upto.iter().filter(|call| call.name == self.call().name && are_counted(call)).count()
    }

    /// The calls in one place are counted, unless all of them have to be seen.
    fn injection(&self, root: &Path) -> Injection {
        let (paths, nth) = if self.fate == Fate::PowerCut {
            let places = self.scenario.calls.iter().flat_map(|call| &call.places);
            let paths: BTreeSet<&Path> = places.map(PathBuf::as_path).collect();
            (paths.into_iter().collect(), self.nth(|_| true))
        } else {
            let place = &self.call().places[0];
            (vec![place.as_path()], self.nth(|call| call.places.contains(place)))
        };
        // Joined with nothing, it would end in a slash, and be another to strace.
        let whole = |path: &Path| if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) };
        let paths = paths.into_iter().map(whole).collect();
        Injection { call: self.call().name.clone(), paths, nth, what: self.fate.injection() }
    }

    fn run(&self, random: &mut Random) -> Tally {
        let mut tally = Tally { points: 1, ..Tally::default() };
        let mut attempt = Attempt::new(self.scenario);
        let trace = attempt.trace("trace");
        let wrapper = trace.wrapper(Some(&self.injection(&attempt.root())));
        let (reached, running) = attempt.follow(&wrapper, &trace);
        match (self.fate, reached) {
            (Fate::Killed, Reached::Killed) => {
                self.scenario.assert_sound(&attempt.dir());
                attempt.goes_on();
            }
            (Fate::PowerCut, Reached::Killed) => self.cut_power(&mut attempt, &trace, random, &mut tally),
            (Fate::Asleep, Reached::Asleep(process, is_asked)) => {
                tally.taken_back += usize::from(self.wake(&mut attempt, process, is_asked, running));
            }
            (Fate::BrokenDisk | Fate::FullDisk, Reached::Ended(ended)) => {
                let calls = trace.work(&attempt.root()).map(|work| work.calls).unwrap_or_default();
                match calls.iter().position(Call::was_injected) {
                    Some(at) => self.assert_refused(&mut attempt, &ended, &calls[at..]),
                    None => tally.is_missed = Self::is_missed(&mut attempt, &ended),
                }
            }
            (_, Reached::Ended(ended)) => tally.is_missed = Self::is_missed(&mut attempt, &ended),
            (_, _) => panic!("killed or stopped by something else"),
        }
        tally
    }

    /// The process ended in order before it came to the call.
    fn is_missed(attempt: &mut Attempt, ended: &Ended) -> bool {
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        attempt.assert_whole();
        true
    }

    /// A disk that refused: said with the file and the cause, the old files kept, and no sync done again. Only a temporary
    /// file of a place need not be gone at once: it is removed again later.
    fn assert_refused(&self, attempt: &mut Attempt, ended: &Ended, from_injected: &[Call]) {
        if from_injected.first().is_some_and(Call::removes_temp_of_place) {
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            attempt.assert_whole();
            return;
        }
        let cause = match self.fate {
            Fate::BrokenDisk => "Input/output error",
            _ => "No space left on device",
        };
        assert_eq!(ended.code, Some(7), "{}", ended.stderr);
        let said = ended.stderr.lines().last().unwrap();
        let place = attempt.root().display().to_string();
        assert!(said.starts_with("almanac: error: can't ") && said.contains(cause), "{said}");
        assert!(said.contains(&place), "{said}");
        if let [refused, after @ ..] = from_injected
            && refused.syncs()
        {
            let mut of_same = after.iter().take_while(|call| !call.creates());
            assert!(!of_same.any(Call::syncs), "synced again: {after:?}");
        }
        self.scenario.assert_sound(&attempt.dir());
        attempt.goes_on();
    }

    /// Another process takes the partition from one that is asleep, which then wakes up. Says whether that one took it
    /// back.
    fn wake(&self, attempt: &mut Attempt, asleep: u32, was_asked: bool, mut running: Running) -> bool {
        let before = attempt.claimed();
        let mut taker = attempt.consumer(&[], &["--take-over"]).start();
        eventually("the other takes over and catches up", || {
            assert!(taker.is_running(), "{}", taker.stderr());
            attempt.is_claimed(taker.pid(), &before) && attempt.is_caught_up()
        });
        let (files, before) = (attempt.owned_files(), attempt.claimed());
        signal(asleep, Signal::CONT).unwrap();
        eventually("one of the two ends", || !running.is_running() || !taker.is_running());
        let is_taken_back = running.is_running();
        if is_taken_back {
            let ended = taker.ended();
            assert_eq!(ended.code, Some(6), "{}", ended.stderr);
            assert!(!self.has_named_itself(), "it knows better than to take back what was taken over");
            eventually("the one that woke up takes it", || attempt.is_claimed(asleep, &before));
            signal(asleep, Signal::TERM).unwrap();
            let ended = running.ended();
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        } else {
            let ended = running.ended();
            assert!(ended.code == Some(6) || was_asked && ended.code == Some(0), "{ended:?}");
            assert!(taker.is_running(), "{}", taker.stderr());
            let ended = taker.terminate();
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        }
        assert_eq!(attempt.owned_files(), files, "what wakes up changes nothing");
        attempt.assert_whole();
        is_taken_back
    }

    /// Whether the process has named itself in the lock file by this call, so that it can find another's name there.
    fn has_named_itself(&self) -> bool {
        let names = |call: &Call| call.name == "pwrite64" && call.path == in_place(LOCK);
        self.scenario.calls[..=self.index].iter().any(names)
    }

    /// The power goes at each moment of the next run; what the first had not synced may still be lost.
    fn cut_power(&self, attempt: &mut Attempt, trace: &Trace, random: &mut Random, tally: &mut Tally) {
        let scenario = self.scenario;
        let mut disk = Disk::new(&scenario.before);
        if let Some(work) = trace.work(&attempt.root()) {
            work.calls.iter().for_each(|call| disk.apply(call));
        }
        assert_eq!(shown(&disk.tree()), shown(&read_tree(&attempt.root())), "the model is not what was done");
        let (ended, calls) = attempt.undisturbed();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        attempt.assert_whole();

        let mut chosen: Vec<Tree> = Vec::new();
        let mut promised = 0;
        for call in &calls {
            if !call.only_looks() {
                disk.each_after_cut(|tree| {
                    let (offset, is_new) = scenario.recovered_offset(&tree);
                    assert!(offset >= promised, "back to {offset} from {promised}: {:#?}", shown(&tree));
                    if is_new {
                        tally.states += 1;
                        // Each has the same chance to be among those kept.
                        match usize::try_from(random.below(tally.states as u64)).unwrap() {
                            _ if chosen.len() < RESTARTS => chosen.push(tree),
                            place if place < RESTARTS => chosen[place] = tree,
                            _ => {}
                        }
                    }
                });
            }
            disk.apply(call);
            if call.syncs() && call.path == Path::new("files") {
                promised = scenario.durable_offset(&disk.tree());
            }
        }
        for tree in chosen {
            tally.restarts += 1;
            let mut attempt = Attempt { scenario, temp: tempfile::tempdir().unwrap(), owner: None };
            fs::create_dir(attempt.root()).unwrap();
            write_tree(&attempt.root(), &tree);
            attempt.goes_on();
        }
    }
}

impl Scenario<'_> {
    /// The offset that counting resumes from after a power cut, and whether this state is a new one.
    fn recovered_offset(&self, tree: &Tree) -> (i64, bool) {
        // The former owner's lock and its last status make no difference.
        let mut state = tree.clone();
        state.retain(|name, _| ![LOCK, STATUS].map(in_place).contains(name));
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        let state = hasher.finish();
        if let Some(offset) = self.seen.lock().unwrap().get(&state) {
            return (*offset, false);
        }
        // In memory where that can be, since each claim syncs some files.
        let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        write_tree(temp.path(), tree);
        let recovers = || self.assert_recovers(&temp.path().join("files"));
        let offset = catch_unwind(AssertUnwindSafe(recovers))
            .unwrap_or_else(|panic| panic!("{}\nafter a power cut left {:#?}", reason(&*panic), shown(tree)));
        (offset, self.seen.lock().unwrap().insert(state, offset).is_none())
    }

    /// The offset of a checkpoint of this log.
    fn durable_offset(&self, tree: &Tree) -> i64 {
        let bytes = |name: &str| tree.get(&in_place(name))?.as_deref();
        let log: Option<Log> = bytes(LOG).and_then(|log| serde_json::from_slice(log).ok());
        let checkpoint = bytes(CHECKPOINT).and_then(|found| Checkpoint::from_json(found).ok());
        let is_current = log.is_some_and(|log| log.topic_id == self.oracle.topic_id);
        checkpoint.filter(|_| is_current).map_or(0, |checkpoint| checkpoint.offset)
    }
}

fn shown(tree: &Tree) -> BTreeMap<&Path, Option<String>> {
    tree.iter().map(|(name, content)| (name.as_path(), content.as_deref().map(text))).collect()
}

fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// The files of one consumer that counts all there is.
fn counted(place: &Place) -> Tree {
    let mut consumer = place.almanac(&["consumer", "0"]).start();
    place.caught_up(kafka(), "files");
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    let mut tree = read_tree(place.temp.path());
    tree.retain(|name, _| name.starts_with("files"));
    tree
}

/// A seeded choice of points, as many of each scenario and fate as of any other.
fn chosen<'a>(scenarios: &'a [Scenario<'a>], campaign: &Campaign) -> Vec<Point<'a>> {
    let mut random = campaign.random();
    let mut kinds: BTreeMap<(usize, Fate), Vec<Point>> = BTreeMap::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        for point in scenario.points() {
            kinds.entry((number, point.fate)).or_default().push(point);
        }
    }
    let mut ranked: Vec<(usize, u64, Point)> = Vec::new();
    for mut points in kinds.into_values() {
        for rank in 0..points.len() {
            let choice = usize::try_from(random.below(points.len() as u64)).unwrap();
            ranked.push((rank, random.next(), points.swap_remove(choice)));
        }
    }
    ranked.sort_by_key(|(rank, chance, _)| (*rank, *chance));
    let size = if campaign.size == 0 { ranked.len() } else { campaign.size };
    ranked.into_iter().map(|(_, _, point)| point).take(size).collect()
}

#[test]
fn campaign() {
    if !has_program("strace") {
        return;
    }
    let campaign = Campaign::new("crash-points", SHORT);
    let no_report = Raw { partition: 0, key: Some(b"May"), value: Some(b"no report") };
    let no_value = Raw { value: None, ..no_report };

    let place = Place::new();
    place.produce(&["--partitions", "1", "--days", "40", "--duplicate-degrees", "1000000"]);
    place.send(&[no_report, no_value]);
    let some = counted(&place);
    place.send(&[no_value, no_report]);
    let more = counted(&place);
    place.produce(&["--append", "--days", "20", "--duplicates", "0"]);
    let all = counted(&place);
    let oracle = Oracle::read(&place);

    let again = Place::new();
    again.produce(&["--partitions", "1", "--days", "40"]);
    again.send(&[no_report, no_value]);
    let of_former = counted(&again);
    let former = Oracle::read(&again);
    again.produce(&["--partitions", "1", "--days", "30", "--seed", "7"]);
    again.send(&[no_value]);
    let latter = Oracle::read(&again);

    let scenarios = [
        ("a fresh start", &place, Tree::new(), &oracle, None, false),
        ("a start with nothing new", &place, all, &oracle, None, false),
        ("a topic created again", &again, of_former, &latter, Some(&former), false),
        ("a replacement", &place, more, &oracle, None, false),
        ("rejected records", &place, some.clone(), &oracle, None, false),
        ("a take-over", &place, some, &oracle, None, true),
    ];
    let scenarios: Vec<Scenario> = thread::scope(|scope| {
        let recordings = scenarios.map(|(name, place, before, oracle, former, is_owned)| {
            scope.spawn(move || Scenario::new(name, place, before, oracle, former, is_owned))
        });
        recordings.map(|recording| recording.join().unwrap()).into()
    });
    let queue = Mutex::new(chosen(&scenarios, &campaign).into_iter().enumerate());
    let tallies = Mutex::new(BTreeMap::<(&str, Fate), Tally>::new());
    let (failures, missed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some((number, point)) = queue.lock().unwrap().next() else { break };
                    let mut random = Random(campaign.seed.wrapping_add(number as u64));
                    // All that fails is to be seen, and not only what fails first.
                    match catch_unwind(AssertUnwindSafe(|| point.run(&mut random))) {
                        Ok(tally) => {
                            if tally.is_missed {
                                missed.lock().unwrap().push(point.to_string());
                            }
                            let kind = (point.scenario.name, point.fate);
                            tallies.lock().unwrap().entry(kind).or_default().add(tally);
                        }
                        Err(panic) => failures.lock().unwrap().push(format!("{point}: {}", reason(&*panic))),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} points failed:\n{}", failures.len(), failures.join("\n"));
    let tallies = tallies.into_inner().unwrap();
    let mut sum = Tally::default();
    tallies.values().for_each(|tally| sum.add(*tally));
    let by_scenario = scenarios.iter().map(|scenario| {
        let points = |fate| tallies.get(&(scenario.name, fate)).map_or(0, |tally| tally.points);
        format!("{} {:?}", scenario.name, Fate::ALL.map(points))
    });
    let by_scenario: Vec<String> = by_scenario.collect();
    let missed = missed.into_inner().unwrap();
    let Tally { points, taken_back, states, restarts, .. } = sum;
    campaign.say(&format!(
        "{points} points, by {:?}: {}; {} were not come to {:?}; {taken_back} times who woke up took the partition \
         back; {states} states after a power cut, {restarts} of them gone on from by the binary; all as if nothing \
         had been",
        Fate::ALL,
        by_scenario.join(", "),
        missed.len(),
        missed,
    ));
}
