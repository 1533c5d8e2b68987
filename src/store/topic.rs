//! `.almanac/topic.json`: the topic that living consumers count in DIR. Once a partition has a `log.json`, that decides. This
//! file decides before, between consumers of several topics that begin in a fresh DIR at the same moment.
//!
//! Each consumer has it locked, shared, as long as it lives. Only who has it alone may name another topic in it. So what a
//! dead process left means nothing, and the file need not survive a power cut.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use almanac_core::text::json_line;
use rustix::fs::OFlags;

use super::error::StoreError;
use super::home::Home;
use super::keep::Named;

/// How long another topic must be named before it is believed: whoever names it may be about to find another's lock.
const BELIEVE_AFTER: Duration = Duration::from_millis(300);
/// A process may have been paused while it had the file alone. Then the logs alone decide.
const WAIT_MAX: Duration = Duration::from_secs(2);
const TRY_EVERY: Duration = Duration::from_millis(5);
/// More than the longest names have.
const BYTES_MAX: usize = 4 << 10;

/// Names the topic in DIR, unless living consumers count another there, which is given back. The name holds as long as the
/// file stays open.
pub(super) fn join(home: &Home, ours: &Named) -> Result<Result<File, Named>, StoreError> {
    let path = path(home);
    home.check()?;
    let file = home.open_or_create(&path, OFlags::RDWR).map_err(StoreError::io("open", &path))?;
    let failed = || StoreError::io("write", &path);
    let begun = Instant::now();
    loop {
        if file.try_lock().is_ok() {
            if read(&file).as_ref() != Some(ours) {
                write(&file, ours).map_err(failed())?;
            }
            file.unlock().map_err(failed())?;
        }
        // Another one may have had it alone in between.
        if file.try_lock_shared().is_ok() {
            match read(&file) {
                Some(named) if named == *ours => return Ok(Ok(file)),
                Some(other) if begun.elapsed() >= BELIEVE_AFTER => return Ok(Err(other)),
                _ => file.unlock().map_err(failed())?,
            }
        }
        if begun.elapsed() >= WAIT_MAX {
            return Ok(Ok(file));
        }
        thread::sleep(TRY_EVERY);
    }
}

fn path(home: &Home) -> PathBuf {
    home.path().join(".almanac").join("topic.json")
}

/// Nothing if it can't be read: whoever wrote it was killed.
fn read(file: &File) -> Option<Named> {
    let mut bytes = [0; BYTES_MAX];
    let length = file.read_at(&mut bytes, 0).ok()?;
    serde_json::from_slice(bytes.get(..length)?).ok()
}

fn write(file: &File, named: &Named) -> io::Result<()> {
    let line = json_line(named);
    file.write_all_at(&line, 0)?;
    file.set_len(line.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn named(topic: &str) -> Named {
        Named { cluster_id: "cluster".to_owned(), topic: topic.to_owned() }
    }

    #[test]
    fn a_living_consumer_keeps_other_topics_out() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let first = join(&home, &named("rain")).unwrap().unwrap();
        let second = join(&home, &named("rain")).unwrap().unwrap();
        drop(first);
        assert_eq!(join(&home, &named("temperatures")).unwrap().unwrap_err(), named("rain"));
        drop(second);
        join(&home, &named("temperatures")).unwrap().unwrap();
    }

    #[test]
    fn all_who_begin_at_once_count_one_topic() {
        for _ in 0..10 {
            let dir = tempfile::tempdir().unwrap();
            let (home, barrier) = (Home::open(dir.path()).unwrap(), Barrier::new(6));
            let joined: Vec<_> = thread::scope(|scope| {
                let race = |number: usize| {
                    let (home, barrier) = (&home, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        (number % 2, join(home, &named(["rain", "snow"][number % 2])).unwrap())
                    })
                };
                let racing: Vec<_> = (0..6).map(race).collect();
                racing.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let (inside, outside): (Vec<_>, Vec<_>) = joined.iter().partition(|(_, joined)| joined.is_ok());
            assert_eq!((inside.len(), outside.len()), (3, 3));
            assert!(inside.iter().all(|(topic, _)| *topic == inside[0].0));
        }
    }

    #[test]
    fn what_a_crash_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        for left in ["", "{\"cluster", "{\"cluster_id\":\"cluster\",\"topic\":\"rain\"}\n"] {
            std::fs::write(path(&home), left).unwrap();
            let file = join(&home, &named("snow")).unwrap().unwrap();
            assert_eq!(read(&file), Some(named("snow")), "{left}");
        }
    }
}
