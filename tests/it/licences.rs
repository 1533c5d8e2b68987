//! The licences of what goes out: the crates that Cargo resolves for the binary, and the jars that Maven does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::{almanac, has_program};

#[test]
fn each_crate_brings_the_text_of_its_licence() {
    if !has_program("python3") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let third_party = Command::new("scripts/third-party").arg("--list").current_dir(root).output().unwrap();
    assert!(third_party.status.success(), "{}", String::from_utf8_lossy(&third_party.stderr));
    let listed = String::from_utf8(third_party.stdout).unwrap();
    for name in ["rdkafka-sys ", "serde ", "zstd-sys "] {
        assert!(listed.lines().any(|line| line.starts_with(name)), "{listed}");
    }
    assert!(!listed.contains("insta "), "a crate that only tests use");
    let without: Vec<&str> =
        listed.lines().filter(|line| line.contains("None") || line.contains("(0 texts)")).collect();
    assert!(without.is_empty(), "{without:#?}");
}

#[test]
fn jars_are_listed() {
    let jars = almanac(&["broker", "--jars"]).succeeds().stdout;
    let jars: BTreeSet<String> = std::fs::read_dir(jars.trim_end())
        .unwrap()
        .map(|jar| jar.unwrap().file_name().into_string().unwrap())
        .collect();
    let listed: BTreeSet<String> = include_str!("../../docs/LICENCES.md")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split('`').nth(1).map(|jar| format!("{jar}.jar")))
        .collect();
    assert_eq!(jars, listed);
}
