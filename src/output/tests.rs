use std::io::Read;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::thread;

use tempfile::TempDir;

use super::*;

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn make_fifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_file_is_replaced_and_keeps_its_permissions() {
    let dir = dir();
    let path = dir.path().join("month.svg");
    write(&path, b"one").unwrap();
    let by_umask = mode(&path);
    fs::write(dir.path().join("probe"), "").unwrap();
    assert_eq!(by_umask, mode(&dir.path().join("probe")));
    for permissions in [0o600, 0o644, 0o666, 0o755] {
        fs::set_permissions(&path, Permissions::from_mode(permissions)).unwrap();
        let mut reader = File::open(&path).unwrap();
        write(&path, b"two").unwrap();
        let mut former = String::new();
        reader.read_to_string(&mut former).unwrap();
        assert!(!former.is_empty(), "a reader has the whole of the former file");
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), permissions));
    }
    assert_eq!(names(dir.path()), ["month.svg", "probe"]);
}

#[test]
fn a_link_is_kept_and_its_target_replaced() {
    let dir = dir();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(at("elsewhere/real.svg"), "former").unwrap();
    fs::set_permissions(at("elsewhere/real.svg"), Permissions::from_mode(0o640)).unwrap();
    symlink("elsewhere/real.svg", at("one")).unwrap();
    symlink(at("one"), at("two")).unwrap();
    let former = fs::metadata(at("two")).unwrap().ino();
    write(&at("two"), b"picture").unwrap();
    assert!(at("one").is_symlink() && at("two").is_symlink());
    assert_eq!(fs::read(at("elsewhere/real.svg")).unwrap(), b"picture");
    assert_eq!(mode(&at("elsewhere/real.svg")), 0o640);
    assert_ne!(fs::metadata(at("two")).unwrap().ino(), former, "it was replaced, not written in place");
    assert_eq!(names(&at("elsewhere")), ["real.svg"]);
}

#[test]
fn a_link_to_what_is_not_there_yet_is_kept() {
    let dir = dir();
    let at = |name: &str| dir.path().join(name);
    symlink("new.svg", at("link")).unwrap();
    write(&at("link"), b"picture").unwrap();
    assert!(at("link").is_symlink());
    assert_eq!(fs::read(at("new.svg")).unwrap(), b"picture");

    symlink("nowhere/new.svg", at("lost")).unwrap();
    symlink("loop", at("loop")).unwrap();
    symlink(".", at("up")).unwrap();
    for (name, cause) in [
        ("lost", "it is a symbolic link to nowhere/new.svg: No such file or directory"),
        ("loop", "Too many levels of symbolic links"),
        ("up", "Is a directory"),
        ("absent/", "Is a directory"),
        ("absent/x", "No such file or directory"),
    ] {
        let error = write(&at(name), b"picture").unwrap_err();
        let StoreError::Io { source, .. } = error else { panic!("{error}") };
        assert!(source.to_string().starts_with(cause), "{name}: {source}");
    }
    assert_eq!(names(dir.path()), ["link", "loop", "lost", "new.svg", "up"]);
}

#[test]
fn a_fifo_is_written_to() {
    let dir = dir();
    let fifo = dir.path().join("fifo");
    make_fifo(&fifo);
    symlink("fifo", dir.path().join("link")).unwrap();
    for name in ["fifo", "link"] {
        let reader = {
            let fifo = fifo.clone();
            thread::spawn(move || fs::read(fifo).unwrap())
        };
        write(&dir.path().join(name), b"picture").unwrap();
        assert_eq!(reader.join().unwrap(), b"picture");
        assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    }
    assert_eq!(names(dir.path()), ["fifo", "link"]);
}

#[test]
fn devices_are_written_to() {
    write(Path::new("/dev/null"), b"picture").unwrap();
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    let error = write(Path::new("/dev/full"), b"picture").unwrap_err();
    let StoreError::Io { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
}

#[test]
fn what_is_open_is_written_to() {
    let dir = dir();
    let path = dir.path().join("log");
    let open = OpenOptions::new().append(true).create(true).open(&path).unwrap();
    (&open).write_all(b"before ").unwrap();
    let by_number = handle_path(&open);
    assert!(is_same(&by_number, &open) && is_same(&path, &open));
    assert!(!is_same(&path, &File::open(dir.path()).unwrap()) && !is_same(&dir.path().join("no"), &open));
    write(&by_number, b"picture").unwrap();
    (&open).write_all(b" after").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"before picture after");
    symlink(&by_number, dir.path().join("link")).unwrap();
    fs::remove_file(&path).unwrap();
    write(&dir.path().join("link"), b"!").unwrap();
    assert_eq!(open.metadata().unwrap().len(), "before picture after!".len() as u64);
    assert_eq!(names(dir.path()), ["link"]);
}

#[test]
fn a_planted_link_is_not_followed() {
    let dir = dir();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("victim"), "untouched").unwrap();
    // Once, the temporary file had this name. The other link is planted at the last moment.
    symlink("victim", at(&format!(".month.svg.{}", std::process::id()))).unwrap();
    write(&at("month.svg"), b"picture").unwrap();
    symlink("victim", at("late")).unwrap();
    replace(&at("late"), b"picture", None).unwrap();
    assert!(!at("late").is_symlink());
    assert_eq!(fs::read(at("victim")).unwrap(), b"untouched");
}

#[test]
fn a_file_that_can_not_be_written_to_is_not_replaced() {
    // Root may write to everything.
    if rustix::process::geteuid().is_root() {
        return;
    }
    let dir = dir();
    let path = dir.path().join("month.svg");
    fs::write(&path, "kept").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    assert!(write(&path, b"picture").is_err());
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    // A directory that takes no new file: what is there is written to.
    fs::set_permissions(dir.path(), Permissions::from_mode(0o555)).unwrap();
    write(&path, b"picture").unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"picture");
    assert_eq!(names(dir.path()), ["month.svg"]);
}
