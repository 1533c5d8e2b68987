//! The place whose reports are counted of a log: `.almanac/places/TOPIC-ID.json`. It is decided once for all partitions, by
//! whoever creates the file; nobody changes its station after that.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use almanac_core::place::Place;
use almanac_core::text::json_line;
use rustix::fs::OFlags;

use super::error::StoreError;
use super::home::{Home, names_in};
use super::paths::place_path;
use super::reading::load_place;

/// Far more than there are processes at work on one topic.
const TEMPS_MAX: u32 = 10_000;

/// Creates the file durably, unless it is there. Says which place it then has.
pub(super) fn decide(home: &Home, topic_id: &str, place: &Place) -> Result<Place, StoreError> {
    let target = place_path(home.path(), topic_id);
    let temp = write_temp(home, &target, place, Purpose::Decide)?;
    let linked = home.link(&temp, &target);
    let _ = home.remove_file(&temp);
    match settled(home, topic_id)? {
        Some(place) => Ok(place),
        None => {
            Err(StoreError::io("create", &target)(linked.err().unwrap_or(io::ErrorKind::NotFound.into())))
        }
    }
}

/// The place of a log, if it is decided; durable then, also if whoever created the file did not come to that. Removes what
/// a crash left of earlier tries: a file that is there is created by nobody else.
pub(super) fn settled(home: &Home, topic_id: &str) -> Result<Option<Place>, StoreError> {
    let target = place_path(home.path(), topic_id);
    let Some(place) = load_place(home.path(), topic_id)? else { return Ok(None) };
    let Some(dir) = target.parent() else { return Ok(Some(place)) };
    let names = home.open_dir(dir).and_then(|dir| names_in(dir).map_err(StoreError::io("list", &target)))?;
    for name in names.iter().filter(|name| name.starts_with(topic_id) && name.ends_with(".tmp")) {
        let _ = home.remove_file(&dir.join(name));
    }
    home.sync_dir(dir)?;
    Ok(Some(place))
}

/// Takes over what is known of the place, for people. Its station stays as it is. This need not survive a power cut.
pub(super) fn complete(home: &Home, topic_id: &str, place: &Place) -> Result<(), StoreError> {
    let target = place_path(home.path(), topic_id);
    let decided = load_place(home.path(), topic_id)?;
    let completed = decided.and_then(|mut decided| decided.complete(place).then_some(decided));
    let Some(completed) = completed else { return Ok(()) };
    let temp = write_temp(home, &target, &completed, Purpose::Complete)?;
    home.rename(&temp, &target).map_err(|error| {
        let _ = home.remove_file(&temp);
        StoreError::io("replace", &target)(error)
    })
}

/// Why a temporary file is written.
#[derive(Clone, Copy)]
enum Purpose {
    /// To be linked into place, if nothing is there.
    Decide,
    /// To replace what is there, so its station is that of the file it replaces. Its name is never that of the other.
    Complete,
}

/// Writes a new file next to `target`.
fn write_temp(home: &Home, target: &Path, place: &Place, purpose: Purpose) -> Result<PathBuf, StoreError> {
    home.check()?;
    target.parent().map_or(Ok(()), |dir| home.create_dir(dir))?;
    let name = match purpose {
        Purpose::Decide => "new",
        Purpose::Complete => "names",
    };
    // Others may do the same now, or have been killed at it.
    let (temp, file) = (1..=TEMPS_MAX)
        .find_map(|number| {
            let temp = target.with_extension(format!("{name}-{number}.tmp"));
            match home.create(&temp, OFlags::WRONLY) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                created => Some((temp, created)),
            }
        })
        .ok_or_else(|| StoreError::unreadable(target, "there are too many temporary files next to it"))?;
    let write = || -> io::Result<()> {
        let mut file = file?;
        file.write_all(&json_line(place))?;
        match purpose {
            Purpose::Decide => file.sync_all(),
            Purpose::Complete => Ok(()),
        }
    };
    write().map_err(|error| {
        let _ = home.remove_file(&temp);
        StoreError::io("write", &temp)(error)
    })?;
    Ok(temp)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    const TOPIC_ID: &str = "topic-----------------";

    fn madison(station: &str) -> Place {
        Place { name: Some("Madison".to_owned()), ..Place::of(station) }
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir.join(".almanac/places")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_first_to_decide_wins() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        assert_eq!(load_place(dir.path(), TOPIC_ID).unwrap(), None);
        assert_eq!(decide(&home, TOPIC_ID, &Place::of("A")).unwrap(), Place::of("A"));
        assert_eq!(decide(&home, TOPIC_ID, &Place::of("B")).unwrap(), Place::of("A"));
        assert_eq!(decide(&home, "other-----------------", &Place::of("B")).unwrap(), Place::of("B"));
        assert_eq!(names(dir.path()).len(), 2);
    }

    #[test]
    fn all_who_race_agree() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let (home, barrier) = (Home::open(dir.path()).unwrap(), Barrier::new(8));
            let decided: Vec<Place> = thread::scope(|scope| {
                let race = |number: u8| {
                    let (home, barrier) = (&home, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        decide(home, TOPIC_ID, &Place::of(number.to_string())).unwrap()
                    })
                };
                let racing: Vec<_> = (0..8).map(race).collect();
                racing.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(decided.windows(2).all(|pair| pair[0] == pair[1]), "{decided:?}");
            assert_eq!(names(dir.path()), [format!("{TOPIC_ID}.json")]);
        }
    }

    #[test]
    fn what_a_crash_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        write_temp(&home, &place_path(dir.path(), TOPIC_ID), &Place::of("A"), Purpose::Decide).unwrap();
        assert_eq!(settled(&home, TOPIC_ID).unwrap(), None);
        assert_eq!(names(dir.path()).len(), 1, "its writer may still live");
        decide(&home, TOPIC_ID, &Place::of("B")).unwrap();
        write_temp(&home, &place_path(dir.path(), TOPIC_ID), &Place::of("A"), Purpose::Decide).unwrap();
        assert_eq!(settled(&home, TOPIC_ID).unwrap(), Some(Place::of("B")));
        assert_eq!(names(dir.path()), [format!("{TOPIC_ID}.json")]);
    }

    #[test]
    fn a_name_comes_later_and_the_station_stays() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        complete(&home, TOPIC_ID, &madison("A")).unwrap();
        assert_eq!(load_place(dir.path(), TOPIC_ID).unwrap(), None, "it is not decided by a name");
        decide(&home, TOPIC_ID, &Place::of("A")).unwrap();
        complete(&home, TOPIC_ID, &madison("B")).unwrap();
        assert_eq!(load_place(dir.path(), TOPIC_ID).unwrap(), Some(madison("A")));
        assert_eq!(names(dir.path()), [format!("{TOPIC_ID}.json")]);
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        decide(&home, TOPIC_ID, &Place::of("A")).unwrap();
        for json in ["", "{", "7", &format!("{{\"station\":\"{}\"}}", "x".repeat(300))] {
            std::fs::write(place_path(dir.path(), TOPIC_ID), json).unwrap();
            assert!(matches!(load_place(dir.path(), TOPIC_ID), Err(StoreError::Unreadable { .. })), "{json}");
            assert!(decide(&home, TOPIC_ID, &Place::of("B")).is_err(), "{json}");
        }
    }
}
