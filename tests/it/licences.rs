//! docs/LICENCES.md lists what goes out: the crates that Cargo resolves for the binary, and the jars that Maven does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::support::almanac;

const CRATES: &str = "## Crates in the binary\n\n";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// Nothing for what is of this repository.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    root: String,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/LICENCES.md")
}

/// A table of what is linked in, or builds what is.
fn crates() -> String {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let Metadata { packages, resolve } = serde_json::from_slice(&output.stdout).unwrap();
    let nodes: BTreeMap<&str, &Node> = resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut found = BTreeSet::new();
    let mut open = vec![resolve.root.as_str()];
    while let Some(id) = open.pop() {
        if found.insert(id) {
            let is_ours = |dependency: &&Dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"))
            };
            open.extend(nodes[id].deps.iter().filter(is_ours).map(|dependency| dependency.pkg.as_str()));
        }
    }
    let of_others = packages.iter().filter(|package| package.source.is_some());
    let rows: BTreeSet<String> = of_others
        .filter(|package| found.contains(package.id.as_str()))
        .map(|Package { name, version, license, .. }| {
            format!("| {name} | {version} | {} |\n", license.as_deref().unwrap())
        })
        .collect();
    format!("| crate | version | licence |\n|---|---|---|\n{}", rows.into_iter().collect::<String>())
}

#[test]
fn crates_are_listed() {
    let text = std::fs::read_to_string(document()).unwrap();
    let (before, listed) = text.split_once(CRATES).unwrap();
    let crates = crates();
    if std::env::var("INSTA_UPDATE").as_deref() == Ok("always") {
        return std::fs::write(document(), format!("{before}{CRATES}{crates}")).unwrap();
    }
    let differ: Vec<_> = crates
        .lines()
        .filter(|row| !listed.contains(row))
        .chain(listed.lines().filter(|row| !crates.contains(row)))
        .collect();
    assert!(differ.is_empty(), "INSTA_UPDATE=always writes docs/LICENCES.md again: {differ:#?}");
}

#[test]
fn jars_are_listed() {
    let jars = almanac(&["broker", "--jars"]).succeeds().stdout;
    let jars: BTreeSet<String> = std::fs::read_dir(jars.trim_end())
        .unwrap()
        .map(|jar| jar.unwrap().file_name().into_string().unwrap())
        .collect();
    let text = std::fs::read_to_string(document()).unwrap();
    let listed: BTreeSet<String> = text
        .split(CRATES)
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split('`').nth(1).map(|jar| format!("{jar}.jar")))
        .collect();
    assert_eq!(jars, listed);
}
