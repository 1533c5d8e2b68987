//! The fuzzers' targets on the toolchain that everybody has: all committed inputs, and what a blind mutator makes of
//! them. `fuzz/README.md` says how they are run at length.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use almanac_fuzz::targets::{TARGETS, Target};

use crate::support::{Campaign, Random};

/// How long one input may take: far more than any does, on a machine that has other things to do.
const INPUT_MAX: Duration = Duration::from_secs(10);

/// The largest input that a mutation makes.
const LENGTH_MAX: usize = 16 * 1024;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The committed inputs of a target: what the fuzzers began with or kept, and what once broke something.
fn inputs(target: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder().join("corpus").join(target)).unwrap();
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The input that a target is at work on; kept if it panics.
struct Input<'a> {
    target: &'a str,
    bytes: &'a [u8],
}

impl Input<'_> {
    #[track_caller]
    fn run(&self, target: Target) {
        let begin = Instant::now();
        target(self.bytes);
        assert!(begin.elapsed() < INPUT_MAX, "{} took {:?}", self.target, begin.elapsed());
    }
}

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", self.target));
            let _ = fs::write(&path, self.bytes);
            let place = format!("fuzz/corpus/{} is its place", self.target);
            let _ = writeln!(std::io::stderr(), "the input is kept in {}; {place}", path.display());
        }
    }
}

#[test]
fn committed_inputs_break_nothing() {
    for &(name, target) in TARGETS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "fuzz/corpus/{name} is missing");
        for bytes in &inputs {
            Input { target: name, bytes }.run(target);
        }
    }
}

#[test]
fn every_target_has_a_fuzzer_and_every_input_a_target() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), TARGETS.len());
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let bins: BTreeSet<&str> =
        manifest.split("[[bin]]\nname = \"").skip(1).filter_map(|bin| bin.split('"').next()).collect();
    assert_eq!(bins, names);
    for name in &names {
        let wrapper = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(wrapper.contains(&format!("targets::{name}(bytes)")), "{wrapper}");
    }
    for entry in fs::read_dir(folder().join("corpus")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(names.contains(name), "{} has no target", path.display());
    }
}

/// Size is how many milliseconds each target is given.
#[test]
fn campaign() {
    let campaign = Campaign::new("fuzz", 250);
    let mut random = campaign.random();
    let mut figures = Vec::new();
    for &(name, target) in TARGETS {
        let inputs = inputs(name);
        let mut random = Random(random.next());
        let end = Instant::now() + Duration::from_millis(campaign.size as u64);
        let mut count = 0;
        while Instant::now() < end {
            let bytes = mutated(&inputs, &mut random);
            Input { target: name, bytes: &bytes }.run(target);
            count += 1;
        }
        figures.push(format!("{name} {count}"));
    }
    campaign.say(&format!("inputs, none broke a promise: {}", figures.join(", ")));
}

/// One of the inputs after one to eight changes, made without a thought for what it means.
fn mutated(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = pick(inputs, random).clone();
    for _ in 0..=random.below(8) {
        change(&mut bytes, pick(inputs, random), random);
        bytes.truncate(LENGTH_MAX);
    }
    bytes
}

fn pick<'a>(from: &'a [Vec<u8>], random: &mut Random) -> &'a Vec<u8> {
    &from[random.below(from.len() as u64) as usize]
}

/// Bytes that are often the edge of something.
const EDGES: &[&[u8]] = &[
    b"\0",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\n",
    b"\r\n",
    b"\"",
    b",",
    b"-",
    b"0",
    b"9",
    b"e",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"9223372036854775808",
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"0000",
    b"10000",
    b"02-29",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x8c\xa1",
];

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() as u64 + 1) as usize;
    let size = 1 << random.below(7);
    let length = (random.below(size) as usize).min(bytes.len() - at);
    match random.below(8) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..at + length)),
        2 => {
            let piece = bytes[at..at + length].to_vec();
            let to = random.below(bytes.len() as u64 + 1) as usize;
            bytes
                .splice(to..to, piece.iter().copied().cycle().take(length * (1 + random.below(40) as usize)));
        }
        3 => drop(
            bytes.splice(at..at + length, EDGES[random.below(EDGES.len() as u64) as usize].iter().copied()),
        ),
        4 => {
            let from = random.below(other.len() as u64 + 1) as usize;
            let to = from + random.below((other.len() - from) as u64 + 1) as usize;
            drop(bytes.splice(at..at + length, other[from..to].iter().copied()));
        }
        5 => bytes.insert(at, random.next() as u8),
        kind => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = if kind == 6 { random.next() as u8 } else { *byte ^ (1 << random.below(8)) };
            }
        }
    }
}
