use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use jiff::civil::date;
use tempfile::TempDir;

use super::epoch::*;
use super::files::*;
use super::*;
use crate::checkpoint::Checkpoint;
use crate::failure::Failure;
use crate::report::{Decoder, RejectReason, Report};

/// A DIR, looked at as other programs do.
struct Dir(TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn claim(&self) -> (LocalClaim, Loaded) {
        LocalClaim::new(self.path(), 2, false).unwrap()
    }

    fn take_over(&self) -> (LocalClaim, Loaded) {
        LocalClaim::new(self.path(), 2, true).unwrap()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Every file and directory below, with the files' contents, except the lock, which names its owner.
    fn tree(&self) -> Vec<(PathBuf, Option<String>)> {
        let mut tree = Vec::new();
        let mut dirs = vec![self.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.path()).unwrap().to_owned();
                if path.is_dir() {
                    dirs.push(path);
                    tree.push((name, None));
                } else if !name.ends_with("lock") {
                    tree.push((name, Some(fs::read_to_string(&path).unwrap())));
                }
            }
        }
        tree.sort();
        tree
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path().join(dir))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn private_of(claim: &LocalClaim) -> Private<'_> {
    let handle = claim.epoch.home.open_dir(&claim.paths.private()).unwrap();
    Private { paths: &claim.paths, handle }
}

/// A checkpoint that counted the first days of 2000.
fn counted(days: i8) -> Checkpoint {
    let mut checkpoint = Checkpoint::empty(2, 0);
    for day in 1..=days {
        let value = Report { date: date(2000, 1, day), degrees: 1.5 }.encode();
        checkpoint.apply(checkpoint.offset, Some(&value), &mut Decoder::default()).unwrap();
    }
    checkpoint
}

fn rejected(offset: i64) -> Rejected {
    Rejected::new(offset, RejectReason::NoValue, Some(b"January"), None)
}

fn line(offset: i64) -> String {
    format!("{{\"offset\":{offset},\"reason\":\"no_value\",\"key\":\"SmFudWFyeQ==\",\"value\":null}}\n")
}

fn log(topic_id: &str) -> Log {
    Log {
        cluster_id: "cluster".to_owned(),
        topic: "temperatures".to_owned(),
        topic_id: topic_id.to_owned(),
        partitions: 4,
        first_offset: 0,
        leader_epochs: vec![LeaderEpoch { epoch: 3, first_offset: 0 }],
        gaps: Vec::new(),
        is_starting_over: false,
    }
}

const CHECKPOINT: &str = "partition-2.json";
const REJECTED: &str = "partition-2.rejected.jsonl";

#[test]
fn a_claim_finds_what_the_one_before_left() {
    let dir = Dir::new();
    {
        let (mut claim, loaded) = dir.claim();
        assert!(loaded.log.is_none() && loaded.checkpoint.is_none());
        assert_eq!(claim.start_over(None, &log("one-------------------")).unwrap(), Checkpoint::empty(2, 0));
        claim.reject(&[rejected(0), rejected(1)]).unwrap();
        claim.write_checkpoint(&counted(5)).unwrap();
    }
    let (_claim, loaded) = dir.claim();
    assert_eq!(loaded.log, Some(log("one-------------------")));
    assert_eq!(loaded.checkpoint, Some(counted(5)));
    assert_eq!(dir.read(REJECTED), line(0) + &line(1));
    assert_eq!(dir.names(""), [".almanac", CHECKPOINT, REJECTED]);
    assert_eq!(
        dir.names(".almanac/2"),
        ["2", "lock", "log.json"],
        "one epoch is left, and nothing temporary"
    );
    assert_eq!(dir.names(".almanac/2/2"), Vec::<String>::new());
}

#[test]
fn a_living_owner_is_named() {
    let dir = Dir::new();
    let (mut claim, _) = dir.claim();
    claim.write_checkpoint(&counted(1)).unwrap();
    let before = dir.tree();
    let error = LocalClaim::new(dir.path(), 2, false).unwrap_err();
    assert!(
        matches!(&error, StoreError::Held { partition: 2, owner, .. } if owner == claim.owner()),
        "{error}"
    );
    let owner = claim.owner();
    let names = format!("process {} on {} since {}", std::process::id(), owner.host, owner.since);
    assert!(error.to_string().contains(&names), "{error}");
    assert!(error.hint().unwrap().contains("--take-over"), "{error}");
    assert_eq!(dir.tree(), before, "nothing was touched");
    claim.write_checkpoint(&counted(2)).unwrap();
    // Another partition is another's to own.
    LocalClaim::new(dir.path(), 3, false).unwrap();
}

#[test]
fn a_former_owner_overwrites_nothing() {
    let dir = Dir::new();
    let (mut former, _) = dir.claim();
    former.start_over(None, &log("one-------------------")).unwrap();
    former.write_checkpoint(&counted(3)).unwrap();

    let (mut now, loaded) = dir.take_over();
    assert_eq!(loaded.checkpoint, Some(counted(3)));
    now.reject(&[rejected(3)]).unwrap();
    now.write_checkpoint(&counted(5)).unwrap();
    let before = dir.tree();

    // Its rejected records go to a file that has no name any more.
    former.reject(&[rejected(3), rejected(4)]).unwrap();
    for error in [
        former.write_checkpoint(&counted(4)).unwrap_err(),
        former.write_log(&log("two-------------------")).unwrap_err(),
        former.write_status(&1).unwrap_err(),
        former.start_over(Some(&log("one-------------------")), &log("two-------------------")).unwrap_err(),
        former.start_over(None, &log("two-------------------")).unwrap_err(),
    ] {
        assert!(
            matches!(&error, StoreError::TakenOver { partition: 2, owner } if owner == now.owner()),
            "{error:?}"
        );
    }
    assert_eq!(dir.tree(), before);
    now.write_checkpoint(&counted(6)).unwrap();
}

#[test]
fn a_taken_partition_is_held_once_its_former_owner_is_gone() {
    let dir = Dir::new();
    let (former, _) = dir.claim();
    let (mut now, _) = dir.take_over();
    drop(former);
    now.write_checkpoint(&counted(1)).unwrap();
    let error = LocalClaim::new(dir.path(), 2, false).unwrap_err();
    assert!(matches!(error, StoreError::Held { .. }), "{error}");
}

#[test]
fn an_owner_learns_of_a_takeover_however_far_that_is() {
    let dir = Dir::new();
    let (former, _) = dir.claim();
    let target = former.paths.checkpoint();
    let not_found = || io::Error::from(io::ErrorKind::NotFound);
    let error = former.epoch.write_error("replace", &target, not_found());
    assert!(matches!(error, StoreError::Io { .. }), "a file that is gone does not mean a takeover: {error}");
    // The higher epoch is there, and the lower one has been emptied but not removed yet.
    fs::create_dir(former.paths.private().join("2")).unwrap();
    let error = former.epoch.write_error("replace", &target, not_found());
    assert!(matches!(error, StoreError::TakenOver { .. }), "{error}");
}

#[test]
fn takeovers_from_an_owner_that_writes_all_the_time() {
    const TAKEOVERS: i64 = 60;
    let dir = Dir::new();
    let (mut claim, _) = dir.claim();
    for number in 0..TAKEOVERS {
        claim.write_checkpoint(&Checkpoint::empty(2, number)).unwrap();
        let is_writing = AtomicBool::new(false);
        claim = thread::scope(|scope| {
            let former = scope.spawn(|| {
                loop {
                    if let Err(error) = claim.write_checkpoint(&Checkpoint::empty(2, number)) {
                        return error;
                    }
                    is_writing.store(true, Ordering::Relaxed);
                }
            });
            while !is_writing.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            let (mut now, loaded) = dir.take_over();
            assert_eq!(loaded.checkpoint, Some(Checkpoint::empty(2, number)));
            now.write_checkpoint(&Checkpoint::empty(2, number + 1)).unwrap();
            let error = former.join().unwrap();
            assert!(matches!(error, StoreError::TakenOver { .. }), "{error:?}");
            now
        });
        let checkpoint = load_checkpoint(&Paths::new(dir.path(), 2)).unwrap();
        assert_eq!(checkpoint, Some(Checkpoint::empty(2, number + 1)), "no late overwrite");
    }
}

#[test]
fn what_a_crash_left_is_cleaned_up() {
    let dir = Dir::new();
    {
        let (mut claim, _) = dir.claim();
        claim.start_over(None, &log("one-------------------")).unwrap();
        claim.write_checkpoint(&counted(5)).unwrap();
    }
    dir.write(".almanac/2/1/partition-2.json.tmp", "{\"partition\":2,\"off");
    dir.write(".almanac/2/7/status.json.tmp", "");
    // Rejected records past the checkpoint will be read again; of the last line only a part was written.
    dir.write(REJECTED, &(line(1) + &line(4) + &line(5) + &line(9) + &line(10)[..20]));
    let inode = fs::metadata(dir.path().join(REJECTED)).unwrap().ino();

    let (mut claim, loaded) = dir.claim();
    assert_eq!(loaded.checkpoint, Some(counted(5)));
    assert_eq!(dir.names(".almanac/2"), ["8", "lock", "log.json"]);
    assert_eq!(dir.read(REJECTED), line(1) + &line(4));
    assert_ne!(fs::metadata(dir.path().join(REJECTED)).unwrap().ino(), inode);
    claim.reject(&[rejected(5)]).unwrap();
    assert_eq!(dir.read(REJECTED), line(1) + &line(4) + &line(5));
}

#[test]
fn an_append_that_a_power_cut_left_holes_in_is_read_again() {
    let dir = Dir::new();
    {
        let (mut claim, _) = dir.claim();
        claim.start_over(None, &log("one-------------------")).unwrap();
        claim.write_checkpoint(&counted(5)).unwrap();
    }
    let hole = "\0".repeat(20) + &line(5)[20..];
    dir.write(REJECTED, &(line(1) + &hole + &line(6)));
    let paths = Paths::new(dir.path(), 2);
    assert_eq!(load_rejected(&paths).unwrap(), [rejected(1), rejected(6)]);
    drop(dir.claim());
    assert_eq!(dir.read(REJECTED), line(1));

    // The entries before the checkpoint were synced: here the disk is at fault.
    let text = line(1) + &hole + &line(4);
    dir.write(REJECTED, &text);
    let error = LocalClaim::new(dir.path(), 2, false).unwrap_err();
    assert!(error.to_string().contains("line 2: zero bytes before the entry of offset 4"), "{error}");
    assert_eq!(dir.read(REJECTED), text);
}

#[test]
fn a_rejected_file_that_is_not_ours_is_refused_by_line() {
    let dir = Dir::new();
    dir.write(CHECKPOINT, "{\"partition\":2,\"offset\":5}\n");
    for foreign in ["no JSON\n", "{\"offset\":1}\n", "\n"] {
        let text = line(1) + foreign + &line(2);
        dir.write(REJECTED, &text);
        let error = LocalClaim::new(dir.path(), 2, false).unwrap_err();
        assert!(
            matches!(&error, StoreError::Unreadable { path, .. } if path.ends_with(REJECTED)),
            "{error:?}"
        );
        assert!(error.to_string().contains("line 2: "), "{error}");
        assert_eq!(dir.read(REJECTED), text);
    }
}

#[test]
fn unreadable_files_are_refused_and_left_as_they_are() {
    for (path, text, reason) in [
        (CHECKPOINT, "", "EOF"),
        (CHECKPOINT, "{\"partition\":2,\n\"offset\":-1}", "can't be negative at line 2"),
        (CHECKPOINT, "{\"partition\":1,\"offset\":5}", "it is the checkpoint of partition 1"),
        (".almanac/2/log.json", "{", "EOF"),
        (".almanac/2/log.json", "{\"topic\":\"t\"}", "missing field"),
    ] {
        let dir = Dir::new();
        dir.write(path, text);
        let error = LocalClaim::new(dir.path(), 2, false).unwrap_err();
        assert!(
            matches!(&error, StoreError::Unreadable { path: named, .. } if named.ends_with(path)),
            "{error:?}"
        );
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(dir.read(path), text);
    }
}

#[test]
fn more_days_than_offsets_are_refused_unless_the_log_was_cut() {
    let dir = Dir::new();
    let (claim, _) = dir.claim();
    let checkpoint = Checkpoint { offset: 4, ..counted(5) };
    dir.write(CHECKPOINT, &String::from_utf8(checkpoint.to_json()).unwrap());
    let paths = Paths::new(dir.path(), 2);
    for gap in [None, Some(Gap { from: 0, to: 2 })] {
        claim.write_log(&Log { gaps: gap.into_iter().collect(), ..log("one-------------------") }).unwrap();
        let error = load_checkpoint(&paths).unwrap_err().to_string();
        assert!(error.contains("5 days can't have been counted before offset 4"), "{error}");
    }
    claim.write_log(&Log { gaps: vec![Gap { from: 9, to: 4 }], ..log("one-------------------") }).unwrap();
    assert_eq!(load_checkpoint(&paths).unwrap(), Some(checkpoint));
}

/// A DIR in which five days and a rejected record of the log `one` are.
fn dir_of_one() -> Dir {
    let dir = Dir::new();
    let (mut claim, _) = dir.claim();
    claim.start_over(None, &log("one-------------------")).unwrap();
    claim.reject(&[rejected(2)]).unwrap();
    claim.write_checkpoint(&counted(5)).unwrap();
    drop(claim);
    dir
}

/// The files that must be in DIR after the log `two` has taken the place of `one`.
fn assert_started_over(dir: &Dir, fresh: &Checkpoint) {
    assert_eq!(*fresh, Checkpoint::empty(2, 0));
    assert_eq!(dir.read(CHECKPOINT).as_bytes(), fresh.to_json());
    assert_eq!(dir.read(REJECTED), "");
    assert_eq!(dir.names("archive/one-------------------"), [CHECKPOINT, REJECTED], "kept once");
    assert_eq!(
        dir.read(&format!("archive/one-------------------/{CHECKPOINT}")).as_bytes(),
        counted(5).to_json()
    );
    assert_eq!(dir.read(&format!("archive/one-------------------/{REJECTED}")), line(2));
    assert_eq!(load_log(&Paths::new(dir.path(), 2)).unwrap(), Some(log("two-------------------")));
}

#[test]
fn another_log_starts_over_and_the_former_is_archived() {
    let dir = dir_of_one();
    let (mut claim, loaded) = dir.claim();
    let fresh = claim.start_over(loaded.log.as_ref(), &log("two-------------------")).unwrap();
    assert_started_over(&dir, &fresh);
    claim.reject(&[rejected(0)]).unwrap();
    claim.write_checkpoint(&Checkpoint::empty(2, 1)).unwrap();
    drop(claim);
    assert_eq!(dir.claim().1.log, Some(log("two-------------------")));
    assert_eq!(dir.read(REJECTED), line(0));
}

#[test]
fn starting_over_is_finished_after_a_crash_between_any_two_steps() {
    type Step = fn(&mut LocalClaim);
    let steps: [Step; 7] = [
        |claim| {
            let marked = Log { is_starting_over: true, ..log("one-------------------") };
            claim.write_log(&marked).unwrap();
        },
        |claim| create_dir_durably(&claim.paths.archive("one-------------------")).unwrap(),
        |claim| {
            let target = claim.paths.archive("one-------------------").join(CHECKPOINT);
            claim.epoch.keep(&claim.paths.checkpoint(), &target).unwrap();
        },
        |claim| claim.archive("one-------------------").unwrap(),
        |claim| {
            claim.epoch.put_bytes(&claim.paths.rejected(), b"", Durability::Synced).unwrap();
        },
        |claim| {
            claim.write_checkpoint(&Checkpoint::empty(2, 0)).unwrap();
        },
        |claim| claim.write_log(&log("two-------------------")).unwrap(),
    ];
    for crash_after in 0..=steps.len() {
        let dir = dir_of_one();
        let (mut claim, _) = dir.claim();
        for step in &steps[..crash_after] {
            step(&mut claim);
        }
        drop(claim);
        let (mut claim, loaded) = dir.claim();
        // Who goes back to the former topic finds the mark, and counts it from its start.
        let former = loaded.log.clone().filter(|log| log.topic_id == "one-------------------");
        assert!(crash_after == 0 || former.is_none_or(|former| former.is_starting_over));
        let fresh = if loaded.log == Some(log("two-------------------")) {
            loaded.checkpoint.unwrap()
        } else {
            claim.start_over(loaded.log.as_ref(), &log("two-------------------")).unwrap()
        };
        assert_started_over(&dir, &fresh);
    }
}

#[test]
fn counting_the_same_log_again_is_finished_after_a_crash_between_any_two_steps() {
    type Step = fn(&mut LocalClaim);
    let later = || Log { first_offset: 7, leader_epochs: Vec::new(), ..log("one-------------------") };
    let steps: [Step; 5] = [
        |claim| {
            let under_way = Log { first_offset: 7, is_starting_over: true, ..log("one-------------------") };
            claim.write_log(&under_way).unwrap();
        },
        |claim| claim.archive("one-------------------").unwrap(),
        |claim| {
            claim.epoch.put_bytes(&claim.paths.rejected(), b"", Durability::Synced).unwrap();
        },
        |claim| {
            claim.write_checkpoint(&Checkpoint::empty(2, 7)).unwrap();
        },
        |claim| {
            claim
                .write_log(&Log {
                    first_offset: 7,
                    leader_epochs: Vec::new(),
                    ..log("one-------------------")
                })
                .unwrap();
        },
    ];
    for crash_after in 0..=steps.len() {
        let dir = dir_of_one();
        let (mut claim, _) = dir.claim();
        for step in &steps[..crash_after] {
            step(&mut claim);
        }
        drop(claim);
        let (mut claim, loaded) = dir.claim();
        if loaded.log != Some(later()) {
            let is_known = loaded.log.as_ref().unwrap().is_starting_over;
            assert_eq!(is_known, crash_after > 0, "from the first step on, it is known without being told");
            claim.start_over(loaded.log.as_ref(), &later()).unwrap();
        }
        assert_eq!(dir.read(CHECKPOINT).as_bytes(), Checkpoint::empty(2, 7).to_json());
        assert_eq!(dir.read(REJECTED), "");
        assert_eq!(dir.names("archive/one-------------------"), [CHECKPOINT, REJECTED], "kept once");
        assert_eq!(
            dir.read(&format!("archive/one-------------------/{CHECKPOINT}")).as_bytes(),
            counted(5).to_json()
        );
        assert_eq!(load_log(&Paths::new(dir.path(), 2)).unwrap(), Some(later()));
    }
}

#[test]
fn rewinding_keeps_what_lay_past_the_new_end_in_the_archive() {
    let dir = dir_of_one();
    let (mut claim, loaded) = dir.claim();
    claim.rewind(&loaded.log.unwrap(), 1).unwrap();
    assert_eq!(
        (dir.read(REJECTED), dir.read(&format!("archive/one-------------------/{REJECTED}"))),
        (String::new(), line(2))
    );
    claim.reject(&[rejected(1)]).unwrap();
    assert_eq!(dir.read(REJECTED), line(1));
    assert_eq!(dir.read(CHECKPOINT).as_bytes(), counted(5).to_json(), "still to be replaced");
}

#[test]
fn the_epoch_of_an_offset_is_that_of_the_record_before_it() {
    let epochs = [(3, 0), (5, 10), (6, 12)];
    let leader_epochs =
        epochs.iter().map(|&(epoch, first_offset)| LeaderEpoch { epoch, first_offset }).collect();
    let log = Log { leader_epochs, ..log("one-------------------") };
    for (next_offset, epoch) in [(0, None), (1, Some(3)), (10, Some(3)), (11, Some(5)), (13, Some(6))] {
        assert_eq!(log.epoch_before(next_offset), epoch, "{next_offset}");
    }
}

#[test]
fn the_checkpoint_never_vanishes_while_starting_over() {
    let dir = dir_of_one();
    let (mut claim, loaded) = dir.claim();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) || reads == 0 {
                let json = fs::read(dir.path().join(CHECKPOINT)).unwrap();
                Checkpoint::from_json(&json).unwrap();
                reads += 1;
            }
        });
        for _ in 0..50 {
            claim.start_over(loaded.log.as_ref(), &log("two-------------------")).unwrap();
            claim.write_checkpoint(&counted(5)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn nothing_in_the_archive_is_ever_overwritten() {
    let dir = dir_of_one();
    let (mut claim, _) = dir.claim();
    for days in [6, 7, 6] {
        claim.write_checkpoint(&counted(days)).unwrap();
        claim.start_over(Some(&log("one-------------------")), &log("two-------------------")).unwrap();
    }
    let archived = ["partition-2.2.json", "partition-2.json"];
    assert_eq!(dir.names("archive/one-------------------"), [&archived[..], &[REJECTED]].concat());
    assert_eq!(dir.read("archive/one-------------------/partition-2.json").as_bytes(), counted(6).to_json());
    assert_eq!(
        dir.read("archive/one-------------------/partition-2.2.json").as_bytes(),
        counted(7).to_json()
    );
}

#[test]
fn a_checkpoint_that_counted_nothing_is_not_archived() {
    let dir = Dir::new();
    let (mut claim, _) = dir.claim();
    claim.start_over(None, &log("one-------------------")).unwrap();
    claim.start_over(Some(&log("one-------------------")), &log("two-------------------")).unwrap();
    assert_eq!(dir.names(""), [".almanac", CHECKPOINT, REJECTED]);
}

#[test]
fn files_are_as_readable_as_the_umask_says() {
    let dir = Dir::new();
    let probe = dir.path().join("probe");
    fs::write(&probe, "").unwrap();
    let by_umask = fs::metadata(&probe).unwrap().mode();
    let (mut claim, _) = dir.claim();
    claim.start_over(None, &log("one-------------------")).unwrap();
    claim.write_checkpoint(&counted(1)).unwrap();
    claim.reject(&[rejected(0)]).unwrap();
    claim.write_status(&1).unwrap();
    claim.start_over(Some(&log("one-------------------")), &log("two-------------------")).unwrap();
    crate::output::write(&dir.path().join("month.svg"), b"<svg/>").unwrap();
    for path in [
        CHECKPOINT,
        REJECTED,
        "month.svg",
        "archive/one-------------------/partition-2.json",
        ".almanac/2/lock",
        ".almanac/2/log.json",
        ".almanac/2/status.json",
    ] {
        assert_eq!(fs::metadata(dir.path().join(path)).unwrap().mode(), by_umask, "{path}");
    }
}

#[test]
fn checkpoints_are_found_by_their_exact_names_in_the_order_of_partitions() {
    let dir = Dir::new();
    for partition in [10, 2, 0] {
        let json = Checkpoint::empty(partition, 0).to_json();
        fs::write(dir.path().join(format!("partition-{partition}.json")), json).unwrap();
    }
    for other in
        ["partition-02.json", "partition-+2.json", "partition--2.json", "partition-2.json.bak", "x.json"]
    {
        dir.write(other, "");
    }
    dir.write("partition-2.rejected.jsonl", "");
    let found = checkpoints_in(dir.path()).unwrap();
    let partitions: Vec<i32> = found.iter().map(|(_, checkpoint)| checkpoint.partition).collect();
    assert_eq!(partitions, [0, 2, 10]);
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_temporary() {
    let dir = Dir::new();
    let (mut claim, _) = dir.claim();
    claim.write_checkpoint(&counted(1)).unwrap();
    // A directory can't be replaced by a file, whoever asks.
    fs::create_dir(dir.path().join("month.svg")).unwrap();
    let error = crate::output::write(&dir.path().join("month.svg"), b"<svg/>").unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert_eq!(dir.names(""), [".almanac", "month.svg", CHECKPOINT, REJECTED]);
    assert_eq!(dir.read(CHECKPOINT).as_bytes(), counted(1).to_json());
}

#[test]
fn a_file_where_dir_should_be_is_named() {
    let dir = Dir::new();
    dir.write("files", "");
    let error = Home::open(&dir.path().join("files")).unwrap_err();
    assert!(matches!(&error, StoreError::Io { path, .. } if path.ends_with("files")), "{error:?}");
}

#[test]
fn a_late_epoch_yields_to_a_higher_one() {
    let dir = tempfile::tempdir().unwrap();
    let (claim, _) = LocalClaim::new(dir.path(), 0, false).unwrap();
    let private = claim.paths.private();
    fs::create_dir(private.join("5")).unwrap();
    fs::create_dir(private.join("6")).unwrap();
    let error = private_of(&claim).remove_lower_epochs(5).unwrap_err();
    assert!(matches!(error, StoreError::TakenOver { partition: 0, .. }), "{error}");
    assert!(!private.join("5").exists());
    assert!(private.join("6").exists());
}

#[test]
fn who_was_paused_since_it_named_itself_does_not_take_the_partition_back() {
    let dir = Dir::new();
    let (claim, _) = dir.claim();
    let paused = Owner { pid: 1, host: "elsewhere".to_owned(), since: String::new() };
    let error = private_of(&claim).next_epoch(&paused).unwrap_err();
    assert!(matches!(&error, StoreError::TakenOver { owner, .. } if *owner == *claim.owner()), "{error}");
    assert_eq!(dir.names(".almanac/2"), ["1", "lock"]);
}

/// Two days of every month that there is, with the longest numbers, so that the list of missing days is as long as can be.
#[test]
fn the_largest_checkpoint_is_read_by_all() {
    const CELL_BYTES_MAX: u64 = 573;
    const { assert!(12 * 9_999 * CELL_BYTES_MAX + 256 < CHECKPOINT_BYTES_MAX / 3 * 2) };
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path()).unwrap();
    let mut checkpoint = Checkpoint::empty(7, i64::MAX);
    let degrees = [-1.234_567_890_123_456_7e-301, -1.234_567_890_123_456_7e-302];
    for year in 1..=9999 {
        for month in 1..=12 {
            let first = jiff::civil::date(year, month, 1);
            for (date, degrees) in [first, first.last_of_month()].into_iter().zip(degrees) {
                assert!(checkpoint.statistics.add(&crate::report::Report { date, degrees }));
            }
        }
    }
    let paths = Paths::new(dir.path(), 7);
    let json = checkpoint.to_json();
    assert!(json.len() > 64 << 20, "{}", json.len());
    fs::write(paths.checkpoint(), &json).unwrap();
    assert_eq!(load_checkpoint(&paths).unwrap().as_ref(), Some(&checkpoint));
    let (bytes, found) = load_checkpoint_as_is(&paths).unwrap().unwrap();
    assert!(bytes == json && found == checkpoint);

    let file = OpenOptions::new().write(true).open(paths.checkpoint()).unwrap();
    file.set_len(CHECKPOINT_BYTES_MAX + 1).unwrap();
    for error in [load_checkpoint(&paths).unwrap_err(), load_checkpoint_as_is(&paths).unwrap_err()] {
        assert!(error.to_string().contains("it has more than 134217728 bytes"), "{error}");
    }
}

/// Removes or renames what an owner has, and says what of it another owner may now have taken.
type Removal = fn(&Path);

#[test]
fn whatever_becomes_of_its_directories_an_owner_writes_into_no_other() {
    let removals: [Removal; 6] = [
        |dir| fs::remove_dir_all(dir).unwrap(),
        |dir| fs::rename(dir, dir.with_extension("old")).unwrap(),
        |dir| fs::remove_dir_all(dir.join(".almanac")).unwrap(),
        |dir| fs::rename(dir.join(".almanac"), dir.join("old")).unwrap(),
        |dir| fs::remove_dir_all(dir.join(".almanac/2")).unwrap(),
        |dir| fs::rename(dir.join(".almanac/2"), dir.join(".almanac/old")).unwrap(),
    ];
    for (number, removal) in removals.into_iter().enumerate() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("files");
        let (mut former, _) = LocalClaim::new(&dir, 2, false).unwrap();
        former.start_over(None, &log("one-------------------")).unwrap();
        former.write_checkpoint(&counted(3)).unwrap();
        removal(&dir);
        for name in [CHECKPOINT, REJECTED] {
            let _ = fs::remove_file(dir.join(name));
        }
        let (mut now, loaded) = LocalClaim::new(&dir, 2, false).unwrap();
        assert!(loaded.checkpoint.is_none() && loaded.log.is_none(), "removal {number}");
        now.start_over(None, &log("two-------------------")).unwrap();
        now.write_checkpoint(&counted(5)).unwrap();
        now.write_status(&2).unwrap();
        let files = || {
            let names =
                [CHECKPOINT, REJECTED, ".almanac/2/log.json", ".almanac/2/status.json", ".almanac/2/lock"];
            let read = names.map(|name| fs::read(dir.join(name)).unwrap());
            (read, dir.join("archive").exists(), fs::read_dir(dir.join(".almanac/2/1")).unwrap().count())
        };
        let before = files();
        let _ = former.reject(&[rejected(3)]);
        for error in [
            former.write_checkpoint(&counted(4)).unwrap_err(),
            former.write_log(&log("two-------------------")).unwrap_err(),
            former.write_status(&1).unwrap_err(),
            former
                .start_over(Some(&log("one-------------------")), &log("three-----------------"))
                .unwrap_err(),
            former.start_over(None, &log("three-----------------")).unwrap_err(),
            former.rewind(&log("one-------------------"), 0).unwrap_err(),
        ] {
            assert!(
                matches!(error, StoreError::DirGone { .. } | StoreError::Evicted { partition: 2, .. }),
                "removal {number}: {error:?}"
            );
        }
        assert_eq!(files(), before, "removal {number}");
        now.write_checkpoint(&counted(6)).unwrap();
    }
}

#[test]
fn a_link_that_leads_elsewhere_now_is_another_dir() {
    let temp = tempfile::tempdir().unwrap();
    let (one, two, dir) = (temp.path().join("one"), temp.path().join("two"), temp.path().join("files"));
    fs::create_dir(&one).unwrap();
    fs::create_dir(&two).unwrap();
    std::os::unix::fs::symlink(&one, &dir).unwrap();
    let (mut claim, _) = LocalClaim::new(&dir, 2, false).unwrap();
    claim.write_checkpoint(&counted(3)).unwrap();
    fs::remove_file(&dir).unwrap();
    std::os::unix::fs::symlink(&two, &dir).unwrap();
    let error = claim.write_checkpoint(&counted(4)).unwrap_err();
    assert!(matches!(error, StoreError::DirGone { .. }), "{error:?}");
    assert_eq!(fs::read_dir(&two).unwrap().count(), 0);
}
