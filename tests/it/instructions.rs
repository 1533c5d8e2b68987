//! How many processor instructions it takes to do what is done for each record and each checkpoint, held to the numbers of
//! `tests/instructions/counts.json`. Unlike times, they are the same on a machine that has other things to do.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{has_program, skip};

/// The share by which a count may differ, either way. Another processor, for which the C library copies in another
/// way, makes a smaller difference. Fewer instructions must also be noted: otherwise as many could come back unseen.
const TOLERANCE: f64 = 0.05;

/// Set to take the counts as they are.
const ACCEPT: &str = "ACCEPT_INSTRUCTIONS";

type Counts = BTreeMap<String, f64>;

#[test]
fn the_work_takes_as_many_instructions_as_before() {
    if !cfg!(target_arch = "x86_64") {
        return skip("the counts are those of x86-64");
    }
    if !has_program("valgrind") {
        return;
    }
    let program = build();
    let names = said(&Command::new(&program).output().unwrap());
    let counts: Counts = names.lines().map(|name| (name.to_owned(), per_operation(&program, name))).collect();
    let path = folder().join("counts.json");
    if std::env::var_os(ACCEPT).is_some() {
        return fs::write(path, serde_json::to_string_pretty(&counts).unwrap() + "\n").unwrap();
    }
    let noted = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let differences = differences(&noted, &counts);
    assert!(
        differences.is_empty(),
        "instructions per operation:\n{differences}hint: where that is meant, {ACCEPT}=1 ./test instructions \
         notes them in {}",
        path.display()
    );
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/instructions")
}

/// The program that does the work, compiled as a release is.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--locked", "--quiet", "--message-format=json", "--target-dir"]);
    // The directory of this test's own build.
    cargo.arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap());
    let output = cargo.current_dir(folder()).env_remove("RUSTFLAGS").output().unwrap();
    let executable = |message: &str| -> Option<PathBuf> {
        let message: Value = serde_json::from_str(message).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    };
    said(&output).lines().find_map(executable).expect("cargo names what it has built")
}

/// The instructions of two rounds less those of one, so that work before the rounds does not count.
fn per_operation(program: &Path, name: &str) -> f64 {
    let (one, operations) = instructions(program, name, "1");
    let (two, _) = instructions(program, name, "2");
    let tenths = ((two - one) * 10.0 / operations).round();
    tenths / 10.0
}

/// The instructions of some rounds with all that comes before them, and how many operations one round has.
fn instructions(program: &Path, name: &str, rounds: &str) -> (f64, f64) {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    // Settings of the C library, say, are to be those of everybody.
    valgrind.arg(program).args([name, rounds]).env_clear();
    let output = valgrind.output().unwrap();
    let operations = said(&output).trim().parse().unwrap();
    let report = String::from_utf8(output.stderr).unwrap();
    let count = report.lines().find_map(|line| line.split_once("refs:")).expect("cachegrind says I refs: N");
    (count.1.trim().replace(',', "").parse().unwrap(), operations)
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A line for each count that is not as noted.
fn differences(noted: &Counts, counts: &Counts) -> String {
    let mut lines = String::new();
    for (name, count) in counts {
        let Some(before) = noted.get(name) else {
            let _ = writeln!(lines, "  {name}: {count}, which is new");
            continue;
        };
        let change = count / before - 1.0;
        if change.abs() > TOLERANCE {
            let _ = writeln!(lines, "  {name}: {count}, noted are {before} ({:+.1} %)", change * 100.0);
        }
    }
    for name in noted.keys().filter(|name| !counts.contains_key(*name)) {
        let _ = writeln!(lines, "  {name}: is noted, but not measured any more");
    }
    lines
}

#[test]
fn differences_are_reported_either_way() {
    let counts = |counts: &[(&str, f64)]| -> Counts {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    let noted = counts(&[("gone", 1.0), ("less", 100.0), ("more", 100.0), ("same", 100.0)]);
    let found = counts(&[("less", 94.9), ("more", 105.1), ("new", 2.0), ("same", 104.9)]);
    let told = "  less: 94.9, noted are 100 (-5.1 %)\n  more: 105.1, noted are 100 (+5.1 %)\n  new: 2, which is new\n  \
                gone: is noted, but not measured any more\n";
    assert_eq!(differences(&noted, &found), told);
    assert_eq!(differences(&noted, &noted), "");
}
