//! Replacing files so that a reader sees all-old or all-new, and a power cut one of both.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Place, Raw, Running, eventually, has_program, kafka, skip};

const ALL: [&str; 5] = ["consumer", "0", "1", "2", "3"];

/// The system calls of each thread, one file a thread, so that none is torn by another.
fn traces(prefix: &Path) -> Vec<Vec<String>> {
    let name = prefix.file_name().unwrap().to_str().unwrap();
    let entries = fs::read_dir(prefix.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let traces = entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name));
    traces.map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()).collect()
}

/// The process that DIR's lock names.
fn owner(place: &Place, partition: i32) -> Pid {
    let lock = fs::read(place.dir("files").join(format!(".almanac/{partition}/lock"))).unwrap();
    let owner: Value = serde_json::from_slice(&lock).unwrap();
    Pid::from_raw(i32::try_from(owner["pid"].as_i64().unwrap()).unwrap()).unwrap()
}

/// The line of `strace` for a call that succeeded.
fn is_call(line: &str, call: &str, about: &str) -> bool {
    line.starts_with(&format!("{call}(")) && line.contains(about) && !line.contains(" = -1 ")
}

#[test]
fn a_replacement_is_written_synced_renamed_and_its_directory_synced() {
    if !has_program("strace") {
        return;
    }
    let place = Place::new();
    place.produce(&["--days", "2000"]);
    place.send(&[0, 1, 2, 3].map(|partition| Raw { partition, key: None, value: Some(b"no report") }));
    let trace = place.temp.path().join("trace");
    let calls = "trace=openat,write,fsync,fdatasync,rename,renameat,renameat2,mkdir,rmdir,unlink";
    let wrapper = ["strace", "-f", "-ff", "-y", "-o", trace.to_str().unwrap(), "-e", calls];
    let mut consumer = place.almanac_under(&wrapper, &ALL).start();
    place.caught_up(kafka(), "files");
    kill_process(owner(&place, 0), Signal::TERM).unwrap();
    let ended = consumer.ended();
    assert_eq!((ended.code, &*ended.stderr_without_rejections()), (Some(0), ""));

    let dir = fs::canonicalize(place.dir("files")).unwrap();
    let traces = traces(&trace);
    let mut replaced = [0; 4];
    let mut rejected = [0; 4];
    // Each replacement is the work of one thread.
    let renames = traces.iter().flat_map(|lines| {
        let renames = lines.iter().enumerate().filter(|(_, line)| line.starts_with("rename"));
        renames.map(move |(index, rename)| (lines, index, rename))
    });
    for (lines, index, rename) in renames {
        for partition in 0..4 {
            let temp = format!(".almanac/{partition}/1/partition-{partition}.json.tmp");
            let target = format!("<{}>, \"partition-{partition}.json\"", dir.display());
            if !rename.contains(&target) {
                continue;
            }
            replaced[partition] += 1;
            assert!(rename.contains(&temp), "{rename}");
            let created = lines[..index].iter().rposition(|line| is_call(line, "openat", &temp)).unwrap();
            let of_temp: Vec<&str> = lines[created + 1..index]
                .iter()
                .filter(|line| line.contains(&format!("{temp}>")))
                .map(|line| line.split('(').next().unwrap())
                .collect();
            let [writes @ .., sync] = &of_temp[..] else { panic!("nothing done to {temp}") };
            assert!(!writes.is_empty() && writes.iter().all(|call| *call == "write"), "{of_temp:?}");
            assert_eq!(*sync, "fsync", "the last thing before the rename");
            // Then the directory that has the new name, before anything else is written. SIGTERM may come in between.
            let is_other = |line: &&String| !line.starts_with("openat") && !line.starts_with("---");
            let after = lines[index + 1..].iter().find(is_other).unwrap();
            assert!(is_call(after, "fsync", &format!("<{}>", dir.display())), "{after}");
            // Rejected records are durable before the checkpoint that passes them.
            let file = format!("partition-{partition}.rejected.jsonl>");
            if let Some(append) = lines[..index].iter().rposition(|line| is_call(line, "write", &file)) {
                let synced = lines[append..index].iter().any(|line| is_call(line, "fdatasync", &file));
                assert!(synced, "{file} is not synced before {rename}");
                rejected[partition] = 1;
            }
        }
    }
    assert!(replaced.iter().all(|count| *count >= 2), "the empty ones, and others: {replaced:?}");
    assert_eq!(rejected, [1; 4]);
}

#[test]
fn records_are_read_while_a_checkpoint_waits_for_the_disk() {
    if !has_program("strace") {
        return;
    }
    let place = Place::new();
    place.produce(&["--days", "50000", "--duplicates", "9"]);
    let trace = place.temp.path().join("trace");
    // Of each thread: that which takes the partitions is not to be late for them.
    let delay = "inject=fsync:delay_enter=500ms:when=1..2";
    let calls = "trace=fsync,recvfrom";
    let wrapper =
        ["strace", "-f", "-ff", "-y", "-ttt", "-T", "-o", trace.to_str().unwrap(), "-e", calls, "-e", delay];
    let mut consumer = place.almanac_under(&wrapper, &ALL).start();
    place.caught_up(kafka(), "files");
    kill_process(owner(&place, 0), Signal::TERM).unwrap();
    assert_eq!(consumer.ended().code, Some(0));

    // From when to when, in seconds, and the call.
    let timed = |line: &str| -> Option<(f64, f64, String)> {
        let (start, rest) = line.split_once(' ')?;
        let (call, took) = rest.rsplit_once(" <")?;
        let (start, took) = (start.parse::<f64>().ok()?, took.strip_suffix('>')?.parse::<f64>().ok()?);
        Some((start, start + took, call.to_owned()))
    };
    let threads: Vec<Vec<(f64, f64, String)>> =
        traces(&trace).iter().map(|lines| lines.iter().filter_map(|line| timed(line)).collect()).collect();
    let syncs = threads.iter().flatten().filter(|(.., call)| call.contains(".json.tmp>"));
    let mut is_met = syncs.map(|(start, end, _)| {
        let is_within = |(from, to, call): &&(f64, f64, String)| {
            // More than an answer without records.
            let is_much = call.rsplit_once(" = ").is_some_and(|(_, count)| count.len() >= "10000".len());
            call.starts_with("recvfrom") && is_much && start < from && to < end
        };
        threads.iter().flatten().any(|event| is_within(&event))
    });
    assert!(is_met.any(|is_met| is_met), "no record came while a checkpoint was synced");
}

#[test]
fn readers_see_whole_files_whose_offsets_never_go_back() {
    const STATES: usize = 30;
    let place = Place::new();
    let mut producer = place.almanac(&["producer", "--interval", "1ms"]).start();
    let mut consumer = place.almanac(&[&ALL[..], &["--checkpoint-every", "0"]].concat()).start();
    let path = |partition: usize| place.dir("files").join(format!("partition-{partition}.json"));
    eventually("the files are there", || (0..4).all(|partition| path(partition).exists()));
    std::thread::scope(|scope| {
        for partition in 0..4 {
            let path = path(partition);
            scope.spawn(move || {
                let mut offsets = BTreeSet::from([0]);
                // As fast as it can: each turn looks many times.
                eventually("the file has many states", || {
                    (0..100).any(|_| {
                        let json = fs::read(&path).unwrap();
                        let whole: Value = serde_json::from_slice(&json)
                            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&json)));
                        assert_eq!(whole["partition"], partition);
                        let offset = whole["offset"].as_i64().unwrap();
                        assert!(offset >= *offsets.last().unwrap(), "{offset} after {:?}", offsets.last());
                        offsets.insert(offset);
                        offsets.len() > STATES
                    })
                });
            });
        }
    });
    assert_eq!(producer.terminate().code, Some(0));
    place.caught_up(kafka(), "files");
    assert_eq!(consumer.terminate().code, Some(0));
}

#[test]
fn sigterm_makes_the_last_batch_durable() {
    let place = Place::new();
    place.produce(&["--days", "3000"]);
    let records = kafka().records(&place.topic);
    let mut consumer = place.almanac(&[&ALL[..], &["--checkpoint-every", "1h"]].concat()).start();
    eventually("everything has been read", || place.read("files") == records);
    assert_eq!(place.passed("files"), 0, "none was due");
    let ended = consumer.terminate();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(place.passed("files"), records);
    assert_eq!(place.days("files"), 3000);
}

#[test]
fn files_left_by_a_crash_are_cleaned_up() {
    let place = Place::new();
    place.produce(&["--days", "100"]);
    place.send(&[Raw { partition: 0, key: None, value: Some(b"no report") }]);
    let mut consumer = place.almanac(&ALL).start();
    place.caught_up(kafka(), "files");
    consumer.kill_9();
    let before = place.files("files");
    let rejected = place.dir("files/partition-0.rejected.jsonl");
    let whole = fs::read_to_string(&rejected).unwrap();
    assert_eq!(whole.lines().count(), 1, "{whole}");

    // The files after a process was killed at its worst moments.
    let mut torn = fs::OpenOptions::new().append(true).open(&rejected).unwrap();
    torn.write_all(br#"{"offset":9000,"reason":"no_va"#).unwrap();
    let epoch = place.dir("files/.almanac/0/1");
    fs::write(epoch.join("partition-0.json.tmp"), &before[0][..40]).unwrap();

    let mut consumer = place.almanac(&ALL).start();
    place.send(&[Raw { partition: 0, key: None, value: None }]);
    place.caught_up(kafka(), "files");
    assert_eq!(consumer.terminate().code, Some(0));
    assert!(!epoch.exists());
    let rejected = fs::read_to_string(rejected).unwrap();
    assert!(rejected.starts_with(&whole) && rejected.lines().count() == 2, "{rejected}");
    assert_eq!(place.files("files")[1..], before[1..]);
}

/// A small file system of its own, gone at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path) -> Option<SmallDisk> {
        if !rustix::process::geteuid().is_root() {
            skip("mounting a small disk needs root");
            return None;
        }
        fs::create_dir_all(path).unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(path).output();
        let output = mount.unwrap();
        if !output.status.success() {
            skip(&format!("no small disk can be mounted: {}", String::from_utf8_lossy(&output.stderr)));
            return None;
        }
        Some(SmallDisk(path.to_owned()))
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let mut filler =
            fs::OpenOptions::new().create(true).append(true).open(self.0.join("filler")).unwrap();
        for size in [4096, 1] {
            while filler.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }

    fn temporary(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut dirs = vec![self.0.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|extension| extension == "tmp") {
                    found.push(path);
                }
            }
        }
        found
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, so that a process which is still about does not keep it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_keeps_the_old_files_and_counting_resumes() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.dir("files")) else { return };
    place.produce(&["--days", "400", "--duplicates", "0"]);
    let consumer = place.almanac(&ALL).start();
    place.caught_up(kafka(), "files");
    let before = place.files("files");

    let stops = |mut full: Running| {
        eventually("the consumer ends", || {
            // A file that it replaced or removed meanwhile may have left some room.
            disk.fill();
            !full.is_running()
        });
        let ended = full.ended();
        assert_eq!(ended.code, Some(7), "{}", ended.stderr);
        assert!(ended.stderr.contains("No space left on device"), "{}", ended.stderr);
        assert!(ended.stderr.contains(&place.dir("files").display().to_string()), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert_eq!(place.files("files"), before, "the old files stay");
        assert_eq!(disk.temporary(), Vec::<PathBuf>::new(), "and no half ones");
    };
    stops(consumer);
    place.produce(&["--append", "--days", "400", "--duplicates", "0"]);
    disk.fill();
    stops(place.almanac(&ALL).start());

    disk.free();
    let mut consumer = place.almanac(&ALL).start();
    place.caught_up(kafka(), "files");
    assert_eq!(consumer.terminate().code, Some(0));
    let days: u64 = place.checkpoints("files").iter().map(|checkpoint| checkpoint.statistics.days()).sum();
    assert_eq!(days, 800);
}
