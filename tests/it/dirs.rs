//! A campaign of removals and renames of DIR, and of what is in it, under a living owner, with an owner of another topic
//! started there at once.
//!
//! The two topics differ in their degrees, so that each state of a file says which topic it is of, and whether it is of both.

#![allow(clippy::disallowed_methods, reason = "users rename directories")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use almanac::checkpoint::Checkpoint;

use crate::support::{Campaign, Place, Random, eventually, kafka};

const SHORT: usize = 8;

/// Warmer than any day of the other topic.
const HOT: f64 = 500.0;

/// The way in which DIR goes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Removal {
    RemoveDir,
    RenameDir,
    ReplaceDir,
    RepointDir,
    RemoveAlmanac,
    RenameAlmanac,
    RemovePartition,
    RenamePartition,
}

impl Removal {
    const ALL: [Removal; 8] = [
        Removal::RemoveDir,
        Removal::RenameDir,
        Removal::ReplaceDir,
        Removal::RepointDir,
        Removal::RemoveAlmanac,
        Removal::RenameAlmanac,
        Removal::RemovePartition,
        Removal::RenamePartition,
    ];

    /// Does it, and says where what was renamed is now.
    fn run(self, dir: &Path) -> Option<PathBuf> {
        let aside = dir.with_extension("old");
        let (almanac, partition) = (dir.join(".almanac"), dir.join(".almanac/0"));
        match self {
            Removal::RemoveDir => remove_all(dir),
            Removal::RenameDir => fs::rename(dir, &aside).unwrap(),
            Removal::ReplaceDir => {
                fs::rename(dir, &aside).unwrap();
                fs::create_dir(dir).unwrap();
            }
            Removal::RepointDir => {
                let other = dir.with_extension("other");
                fs::create_dir(&other).unwrap();
                let link = dir.with_extension("link");
                symlink(&other, &link).unwrap();
                fs::rename(&link, dir).unwrap();
            }
            Removal::RemoveAlmanac => remove_all(&almanac),
            Removal::RenameAlmanac => fs::rename(&almanac, dir.join("old")).unwrap(),
            Removal::RemovePartition => remove_all(&partition),
            Removal::RenamePartition => fs::rename(&partition, dir.join("old")).unwrap(),
        }
        match self {
            Removal::RenameDir | Removal::ReplaceDir => Some(aside),
            Removal::RepointDir => Some(dir.with_extension("first")),
            _ => None,
        }
    }

    fn is_of_dir(self) -> bool {
        self <= Removal::RepointDir
    }
}

/// As `rm -rf` does it, again where its owner has written into it meanwhile.
fn remove_all(path: &Path) {
    eventually("it is removed", || fs::remove_dir_all(path).is_ok() || !path.exists());
}

/// The topic that a state of the file belongs to. Fails if it belongs to both.
#[track_caller]
fn topic_of(json: &[u8]) -> Option<(&'static str, i64)> {
    let checkpoint = Checkpoint::from_json(json).unwrap_or_else(|error| panic!("{error}"));
    let cells: Vec<_> = checkpoint.statistics.cells().map(|(.., cell)| *cell).collect();
    let hot = cells.iter().filter(|cell| cell.max() >= HOT).count();
    let of = match (hot, cells.len()) {
        (_, 0) => return None,
        (0, _) => "a",
        (hot, all) if hot == all && cells.iter().all(|cell| cell.min() >= HOT) => "b",
        _ => panic!("two topics in one file: {}", String::from_utf8_lossy(json)),
    };
    Some((of, checkpoint.offset))
}

/// Watches the file of this path until `is_over`. As soon as the file is of the second topic, it must stay so.
fn watch(path: &Path, is_over: &AtomicBool) -> usize {
    let (mut seen, mut last) = (0, ("a", 0));
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_micros(300));
        let Ok(json) = fs::read(path) else { continue };
        let Some(now) = topic_of(&json) else { continue };
        assert!(now.0 >= last.0, "the file went back to topic {}", now.0);
        assert!(now.0 != last.0 || now.1 >= last.1, "offset {} after {}", now.1, last.1);
        if now != last {
            seen += 1;
        }
        last = now;
    }
    seen
}

/// Ends the watching even if the trial fails: the scope would wait for it for ever.
struct OverOnDrop<'a>(&'a AtomicBool);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The result of a trial.
#[derive(Default)]
struct Outcome {
    is_kept_by_second: bool,
    states: usize,
}

fn trial(removal: Removal, cold: &Place, hot: &Place, random: &mut Random) -> Outcome {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("files");
    if removal == Removal::RepointDir {
        let first = dir.with_extension("first");
        fs::create_dir(&first).unwrap();
        symlink(&first, &dir).unwrap();
    }
    let consumer = |place: &Place| {
        place.almanac(&["consumer", "0", "--checkpoint-every", "1ms"]).env("ALMANAC_DIR", &dir).start()
    };
    let file = dir.join("partition-0.json");
    let mut first = consumer(cold);
    eventually("the first owner counts", || {
        assert!(first.is_running(), "{}", first.stderr());
        fs::read(&file).is_ok_and(|json| topic_of(&json).is_some())
    });
    thread::sleep(Duration::from_micros(random.below(300_000)));
    let aside = removal.run(&dir);
    // Otherwise a checkpoint without its log is left, which nobody takes.
    if !removal.is_of_dir() && random.below(2) == 0 {
        for name in ["partition-0.json", "partition-0.rejected.jsonl"] {
            let _ = fs::remove_file(dir.join(name));
        }
    }
    let mut second = consumer(hot);
    let is_over = AtomicBool::new(false);
    let mut outcome = Outcome::default();
    thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&file, &is_over));
        let _guard = OverOnDrop(&is_over);
        let ended = first.ended();
        assert!(matches!(ended.code, Some(5..=7)), "{removal:?}: {ended:#?}");
        assert!(ended.stderr.contains("files"), "{removal:?}: {}", ended.stderr);
        let counted = |checkpoint: &Checkpoint| !checkpoint.statistics.is_empty();
        let read = || Checkpoint::from_json(&fs::read(&file).ok()?).ok();
        let passed = || Some(read().filter(counted)?.offset);
        let (mut end, began) = (passed(), Instant::now());
        // The first is gone. The second counts on for a while, or has refused the files of the first.
        eventually("the second owner makes progress, or refuses", || {
            let is_running = second.is_running();
            let now = passed();
            let gets_on = now > end && began.elapsed() > Duration::from_millis(200);
            end = end.or(now);
            !is_running || gets_on
        });
        outcome.is_kept_by_second = second.is_running();
        is_over.store(true, Ordering::Relaxed);
        outcome.states = watching.join().unwrap();
    });
    if outcome.is_kept_by_second {
        let of = topic_of(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(of.0, "b", "{removal:?}");
        let log = fs::read_to_string(dir.join(".almanac/0/log.json")).unwrap();
        assert!(log.contains(&format!("\"topic\":\"{}\"", hot.topic)), "{removal:?}: {log}");
        let ended = second.terminate();
        assert_eq!(ended.code, Some(0), "{removal:?}: {}", ended.stderr);
        hot.almanac(&["verify"]).env("ALMANAC_DIR", &dir).succeeds();
    } else {
        let ended = second.ended();
        assert!(!removal.is_of_dir(), "{removal:?}: {}", ended.stderr);
        assert_eq!(ended.code, Some(5), "{removal:?}: {}", ended.stderr);
    }
    // The renamed files are of the first topic, as before.
    if let Some(aside) = aside {
        assert_eq!(topic_of(&fs::read(aside.join("partition-0.json")).unwrap()).unwrap().0, "a");
    }
    outcome
}

#[test]
fn campaign() {
    let campaign = Campaign::new("dirs", SHORT);
    let mut random = campaign.random();
    kafka();
    let (cold, hot) = (Place::new(), Place::new());
    // Both are written for as long as the trials take.
    let arguments = ["producer", "--partitions", "1", "--interval", "1ms", "--duplicates", "0"];
    let weather = hot.temp.path().join("hot.csv");
    let date = |day: i64| jiff::civil::date(1990, 1, 1).saturating_add(jiff::Span::new().days(day));
    let rows: String =
        (0..600_000).map(|day| format!("{},{}\n", date(day), HOT + day as f64 / 1e5)).collect();
    fs::write(&weather, format!("date,degrees\n{rows}")).unwrap();
    let columns = ["--date-column", "date", "--degrees-column", "degrees"];
    let mut producers = [
        cold.almanac(&arguments).start(),
        hot.almanac(
            &[
                &arguments[..],
                &[
                    "--file",
                    weather.to_str().unwrap(),
                    "--input-format",
                    "csv",
                    "--unit",
                    "c",
                    "--plausible",
                    "0..1000",
                ],
                &columns[..],
            ]
            .concat(),
        )
        .start(),
    ];
    let (mut kept, mut states, mut kinds) = (0, 0, BTreeMap::<Removal, usize>::new());
    for number in 0..campaign.size {
        let removal = Removal::ALL[number % Removal::ALL.len()];
        let outcome = trial(removal, &cold, &hot, &mut random);
        kept += usize::from(outcome.is_kept_by_second);
        states += outcome.states;
        *kinds.entry(removal).or_default() += 1;
        for producer in &mut producers {
            assert!(producer.is_running(), "{}", producer.stderr());
        }
    }
    campaign.say(&format!(
        "{} removals and renames under a living owner, by kind: {kinds:?}; each time it stopped, {kept} times the other \
         topic was counted there and verified, {} times refused; {states} states of the files seen, none of two topics, \
         no offset went back",
        campaign.size,
        campaign.size - kept,
    ));
}
