//! One suite for all stores: what a consumer relies on, of a directory and of a prefix of an object store.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use almanac::checkpoint::Checkpoint;
use almanac::report::{Decoder, RejectReason, Report};
use almanac::status::{State, Status};
use almanac::store::{self, Change, Claim, Gap, LeaderEpoch, Loaded, Log, Rejected, Store, StoreError};
use almanac_core::place::Place;
use jiff::ToSpan;
use jiff::civil::date;

use crate::objects::{store as objects, store_settings};

/// DIR of a test: an empty one.
struct Dir(PathBuf);

impl Dir {
    fn open(&self) -> Box<dyn Store> {
        store::open(&self.0).unwrap()
    }

    fn claim(&self) -> (Box<dyn Claim>, Loaded) {
        self.open().claim(2, false).unwrap()
    }

    fn take_over(&self) -> (Box<dyn Claim>, Loaded) {
        self.open().claim(2, true).unwrap()
    }

    /// The offsets of the rejected records.
    fn rejected(&self) -> Vec<i64> {
        let store = self.open();
        store.reader().rejected(2).unwrap().map(|found| found.unwrap().offset).collect()
    }
}

fn log(topic_id: &str) -> Log {
    Log {
        cluster_id: "cluster".to_owned(),
        topic: "temperatures".to_owned(),
        topic_id: format!("{topic_id:-<22}"),
        partitions: 4,
        first_offset: 0,
        leader_epochs: vec![LeaderEpoch { epoch: 3, first_offset: 0 }],
        gaps: Vec::new(),
        is_starting_over: false,
    }
}

/// A checkpoint that counted so many days.
fn counted(days: i32) -> Checkpoint {
    let mut checkpoint = Checkpoint::empty(2, 0);
    (0..days).for_each(|_| count_one(&mut checkpoint));
    checkpoint
}

fn count_one(checkpoint: &mut Checkpoint) {
    let date = date(2000, 1, 1) + checkpoint.offset.days();
    let value = Report { date, degrees: 1.5 }.encode();
    checkpoint.apply(checkpoint.offset, Some(&value), &mut Decoder::default()).unwrap();
}

fn rejected(offset: i64) -> Rejected {
    Rejected::new(offset, RejectReason::NoValue, Some(b"January"), None)
}

fn replace(claim: &mut dyn Claim, checkpoint: &Checkpoint, passed: &[i64]) -> Result<(), StoreError> {
    let rejected: Vec<Rejected> = passed.iter().map(|&offset| rejected(offset)).collect();
    claim.replace(&Change { checkpoint, rejected: &rejected, log: None }).map(drop)
}

fn status_of(claim: &dyn Claim) -> Status {
    Status {
        partition: 2,
        topic: "temperatures".to_owned(),
        state: State::Running,
        offset: 0,
        position: 0,
        high_watermark: None,
        lag: None,
        rate: 0.0,
        counted: 0,
        duplicates: 0,
        rejected: 0,
        rejected_total: None,
        days: 0,
        newest: None,
        last_durable: None,
        last_progress: None,
        stalled_since: None,
        checkpoint_seconds: 0.0,
        checkpoint_bytes: 0,
        rebalances: 0,
        broker_errors: 0,
        waiting_for: None,
        owner: claim.owner().clone(),
        written_every: None,
        written: jiff::Timestamp::now().to_string(),
    }
}

/// Whether an error says that another owner has the partition.
fn is_fenced<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::TakenOver { .. } | StoreError::Evicted { .. }))
}

/// A test, and its name, which is also its DIR's.
type Test = (&'static str, fn(&Dir));

const SUITE: &[Test] = &[
    ("nothing-is-there-at-first", |dir| {
        let store = dir.open();
        let (_claim, loaded) = store.claim(2, false).unwrap();
        assert!(loaded.log.is_none() && loaded.checkpoint.is_none());
        assert_eq!(dir.rejected(), Vec::<i64>::new());
        assert!(store.reader().status(2).unwrap().is_none());
    }),
    ("a-claim-finds-what-the-one-before-left", |dir| {
        let (mut claim, _) = dir.claim();
        assert_eq!(claim.start_over(None, &log("one")).unwrap(), Checkpoint::empty(2, 0));
        replace(&mut *claim, &counted(3), &[0, 1]).unwrap();
        replace(&mut *claim, &counted(5), &[4]).unwrap();
        assert_eq!(claim.count_rejected().unwrap(), 3);
        claim.release();
        let (claim, loaded) = dir.claim();
        assert_eq!((loaded.log, loaded.checkpoint), (Some(log("one")), Some(counted(5))));
        assert_eq!(claim.count_rejected().unwrap(), 3);
        let durable = claim.durable(&counted(5));
        assert_eq!((durable.offset, durable.days), (5, 5));
        let store = dir.open();
        let reader = store.reader();
        assert_eq!(reader.partitions().unwrap(), [2]);
        assert_eq!(reader.load(2).unwrap().checkpoint, Some(counted(5)));
        assert_eq!(reader.checkpoint(2).unwrap(), Some(counted(5)));
        let (bytes, checkpoint) = reader.load_as_is(2).unwrap().unwrap();
        assert!(bytes.starts_with(b"{\"partition\":2,\"offset\":5,") && checkpoint == counted(5));
        assert_eq!((reader.log(2).unwrap(), reader.logs().unwrap()), (Some(log("one")), vec![log("one")]));
        assert_eq!(reader.first_reason(2), Some(RejectReason::NoValue));
        assert_eq!(dir.rejected(), [0, 1, 4]);
        assert!(store.check(2).is_ok() && reader.is_readable());
    }),
    ("a-living-owner-is-refused-unless-it-is-taken-over", |dir| {
        let (mut claim, _) = dir.claim();
        claim.start_over(None, &log("one")).unwrap();
        claim.set_status(&status_of(&*claim)).unwrap();
        let store = dir.open();
        crate::support::eventually("it is seen to live", || store.living_owner(2).is_some());
        assert_eq!(store.living_owner(2).as_ref(), Some(claim.owner()));
        let refused = store.claim(2, false).map(drop);
        assert!(
            matches!(&refused, Err(StoreError::Held { partition: 2, owner, .. }) if owner == claim.owner())
        );
        assert_eq!(store.reader().status(2).unwrap().unwrap().state, State::Running);
        let (now, loaded) = dir.take_over();
        assert_eq!(loaded.log, Some(log("one")));
        assert!(is_fenced(replace(&mut *claim, &counted(1), &[])));
        drop(claim);
        now.release();
        assert_eq!(store.living_owner(2), None, "released");
        dir.claim();
    }),
    ("a-former-owner-changes-nothing", |dir| {
        let (mut former, _) = dir.claim();
        former.start_over(None, &log("one")).unwrap();
        replace(&mut *former, &counted(3), &[1]).unwrap();
        let (mut now, _) = dir.take_over();
        replace(&mut *now, &counted(5), &[4]).unwrap();
        let gap = Gap { from: 3, to: 1 };
        let is_same = || {
            let loaded = dir.open().reader().load(2).unwrap();
            (loaded.log, loaded.checkpoint) == (Some(log("one")), Some(counted(5)))
                && dir.rejected() == [1, 4]
        };
        for attempt in 0..2 {
            assert!(is_fenced(replace(&mut *former, &counted(4), &[3])), "{attempt}");
            assert!(is_fenced(former.set_log(&log("two"))), "{attempt}");
            assert!(is_fenced(former.start_over(Some(&log("one")), &log("two"))), "{attempt}");
            assert!(is_fenced(former.start_over(None, &log("two"))), "{attempt}");
            assert!(is_fenced(former.jump(&log("one"), &counted(1), gap)), "{attempt}");
            assert!(is_same());
        }
        drop(former);
        assert!(is_same());
        replace(&mut *now, &counted(6), &[]).unwrap();
        drop(now);
        assert_eq!(dir.claim().1.checkpoint, Some(counted(6)));
    }),
    ("starting-over-archives-and-may-be-repeated", |dir| {
        let (mut claim, _) = dir.claim();
        claim.start_over(None, &log("one")).unwrap();
        replace(&mut *claim, &counted(5), &[2]).unwrap();
        for next in ["two", "two", "three"] {
            let former = dir.open().reader().log(2).unwrap().unwrap();
            let later = Log { first_offset: 7, ..log(next) };
            let fresh = claim.start_over(Some(&former), &later).unwrap();
            assert_eq!(fresh, Checkpoint::empty(2, 7));
            let loaded = dir.open().reader().load(2).unwrap();
            assert_eq!((loaded.log, loaded.checkpoint), (Some(later), Some(fresh)));
            assert_eq!((dir.rejected(), claim.count_rejected().unwrap()), (Vec::new(), 0));
        }
        assert_eq!(dir.open().reader().partitions().unwrap(), [2], "the archive is no partition");
    }),
    ("a-jump-back-drops-rejected-records-from-there-on", |dir| {
        let (mut claim, _) = dir.claim();
        claim.start_over(None, &log("one")).unwrap();
        replace(&mut *claim, &counted(3), &[0, 2]).unwrap();
        replace(&mut *claim, &counted(6), &[4]).unwrap();
        let ahead = Log { gaps: vec![Gap { from: 6, to: 9 }], ..log("one") };
        let mut later = counted(6);
        later.offset = 9;
        claim.jump(&ahead, &later, ahead.gaps[0]).unwrap();
        assert_eq!(dir.rejected(), [0, 2, 4]);
        let back = Log { gaps: vec![Gap { from: 9, to: 2 }], ..log("one") };
        claim.jump(&back, &counted(2), back.gaps[0]).unwrap();
        assert_eq!((dir.rejected(), claim.count_rejected().unwrap()), (vec![0], 1));
        replace(&mut *claim, &counted(3), &[2]).unwrap();
        assert_eq!(dir.rejected(), [0, 2]);
        let loaded = dir.open().reader().load(2).unwrap();
        assert_eq!((loaded.log, loaded.checkpoint), (Some(back), Some(counted(3))));
    }),
    ("a-change-may-bring-a-log", |dir| {
        let (mut claim, _) = dir.claim();
        claim.start_over(None, &log("one")).unwrap();
        let mut newer = log("one");
        newer.leader_epochs.push(LeaderEpoch { epoch: 4, first_offset: 2 });
        claim.replace(&Change { checkpoint: &counted(3), rejected: &[], log: Some(&newer) }).unwrap();
        assert_eq!(dir.open().reader().log(2).unwrap(), Some(newer.clone()));
        newer.leader_epochs.pop();
        claim.set_log(&newer).unwrap();
        let durable = claim.retry().unwrap();
        assert_eq!((durable.offset, durable.days), (3, 3), "nothing is left to be sent again");
        let loaded = dir.open().reader().load(2).unwrap();
        assert_eq!((loaded.log, loaded.checkpoint), (Some(newer), Some(counted(3))));
    }),
    ("a-version-differs-after-each-change", |dir| {
        let (mut claim, _) = dir.claim();
        claim.start_over(None, &log("one")).unwrap();
        let store = dir.open();
        let mut versions = vec![store.reader().version(2)];
        assert_eq!(store.reader().version(2), versions[0]);
        for days in [1, 1, 2] {
            replace(&mut *claim, &counted(days), &[]).unwrap();
            versions.push(store.reader().version(2));
        }
        claim.set_log(&log("two")).unwrap();
        versions.push(store.reader().version(2));
        for (index, version) in versions.iter().enumerate() {
            assert!(!versions[..index].contains(version), "{index}");
        }
        let (bytes, written) = store.reader().size_and_time(2, true);
        assert!(bytes.is_some() && written.is_some());
    }),
    ("the-first-place-wins", |dir| {
        let store = dir.open();
        let topic_id = log("one").topic_id;
        let (madison, monona) = (Place::of("USW00014837"), Place::of("USC00475479"));
        assert_eq!(store.place(&topic_id).unwrap(), None);
        assert_eq!(store.decide_place(&topic_id, &madison).unwrap(), madison);
        assert_eq!(store.decide_place(&topic_id, &monona).unwrap(), madison);
        let known = Place { name: Some("Madison".to_owned()), ..madison.clone() };
        store.complete_place(&topic_id, &known).unwrap();
        assert_eq!(store.place(&topic_id).unwrap().as_ref(), Some(&known));
        assert_eq!(store.reader().place(&topic_id).unwrap(), Some(known));
        assert_eq!(store.place(&log("two").topic_id).unwrap(), None);
    }),
    ("a-reader-sees-all-or-nothing-of-a-change", |dir| {
        const DAYS: i32 = 60;
        let (mut claim, _) = dir.claim();
        claim.start_over(None, &log("one")).unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (store, mut last) = (dir.open(), 0);
                while !is_over.load(Ordering::Relaxed) {
                    let found = store.reader().checkpoint(2).unwrap().unwrap();
                    assert!(found.offset >= last && found == counted(i32::try_from(found.offset).unwrap()));
                    last = found.offset;
                }
                last
            });
            for days in 1..=DAYS {
                replace(&mut *claim, &counted(days), &[]).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
            assert!(reader.join().unwrap() > 0);
        });
    }),
    ("owners-that-fight-lose-no-change", |dir| {
        const OWNERS: usize = 4;
        const CLAIMS: usize = 12;
        dir.claim().0.start_over(None, &log("one")).unwrap();
        let changes = AtomicUsize::new(0);
        let fight = || {
            for _ in 0..CLAIMS {
                let claimed = dir.open().claim(2, true);
                if matches!(claimed, Err(StoreError::TakenOver { .. })) {
                    continue;
                }
                let (mut claim, loaded) = claimed.unwrap();
                let mut checkpoint = loaded.checkpoint.unwrap();
                for _ in 0..3 {
                    count_one(&mut checkpoint);
                    let offset = checkpoint.offset - 1;
                    match replace(&mut *claim, &checkpoint, &[offset]) {
                        Ok(()) => changes.fetch_add(1, Ordering::Relaxed),
                        fenced => {
                            assert!(is_fenced(fenced));
                            break;
                        }
                    };
                }
            }
        };
        thread::scope(|scope| (0..OWNERS).for_each(|_| drop(scope.spawn(fight))));
        let days = i32::try_from(changes.load(Ordering::Relaxed)).unwrap();
        let (_claim, loaded) = dir.take_over();
        assert_eq!(loaded.checkpoint, Some(counted(days)));
        assert_eq!(dir.rejected(), (0..i64::from(days)).collect::<Vec<_>>());
        assert!(days > 0);
    }),
];

/// Where the suite runs in the child process: it has the store's settings in its environment.
const URL: &str = "STORE_SUITE_URL";

#[allow(clippy::print_stdout, reason = "captured, and shown where a case fails")]
fn run(root: &Path) {
    for (name, test) in SUITE {
        println!("{name}");
        let dir = root.join(name);
        if store::is_url(root) {
            // The check of a store that is a test's already.
            store::put(&dir.join("almanac.json"), b"{}").unwrap();
        }
        test(&Dir(dir));
    }
}

#[test]
fn a_directory_passes() {
    run(tempfile::tempdir().unwrap().path());
}

#[test]
fn an_object_store_passes() {
    if let Some(url) = std::env::var_os(URL) {
        return run(Path::new(&url));
    }
    let Some(store) = objects() else { return };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "store_suite::an_object_store_passes", "--nocapture"]);
    command.env(URL, store.prefix()).envs(store_settings(&store.address));
    let output = command.output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
    assert!(said(&output.stdout).contains("owners-that-fight-lose-no-change"), "{}", said(&output.stdout));
}
