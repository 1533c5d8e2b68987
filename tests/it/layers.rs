//! The shape of the code, held by its text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of `src` or `core/src`, without its tests and comments.
pub struct Source {
    /// As in `kafka/admin.rs`, or `core/report.rs`.
    pub name: String,
    pub code: String,
}

impl Source {
    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| match place.strip_suffix('/') {
            // A module's directory, and the file above it.
            Some(module) => self.name.starts_with(place) || self.name == format!("{module}.rs"),
            None => self.name == *place,
        })
    }
}

pub fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for (dir, prefix) in [("src", ""), ("core/src", "core/")] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        let mut files = Vec::new();
        rust_files(&root, &mut files);
        files.sort();
        sources.extend(files.into_iter().map(|path| {
            let name = format!("{prefix}{}", path.strip_prefix(&root).unwrap().display());
            Source { code: code_of(&fs::read_to_string(path).unwrap()), name }
        }));
    }
    sources.retain(|source| !source.name.ends_with("tests.rs"));
    sources
}

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The text up to the tests, which come last in a file, with comments emptied.
fn code_of(text: &str) -> String {
    let tests = ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\npub mod tests {"];
    let text = tests
        .iter()
        .filter_map(|tests| text.split(tests).next())
        .min_by_key(|text| text.len())
        .unwrap_or_default();
    let mut code = String::new();
    for line in text.lines() {
        let _ = writeln!(code, "{}", if line.trim_start().starts_with("//") { "" } else { line });
    }
    code
}

/// Fails with file and line of each place outside `allowed` that has one of `words`.
#[track_caller]
fn only_in(allowed: &[&str], words: &[&str], why: &str) {
    let sources = sources();
    for place in allowed {
        assert!(sources.iter().any(|source| source.is_in(&[place])), "src/{place} is missing");
    }
    let outside: Vec<&Source> = sources.iter().filter(|source| !source.is_in(allowed)).collect();
    refuse(&outside, words, why);
}

#[track_caller]
fn never_in(places: &[&str], except: &[&str], words: &[&str], why: &str) {
    let sources = sources();
    for place in places.iter().chain(except) {
        assert!(sources.iter().any(|source| source.is_in(&[place])), "src/{place} is missing");
    }
    let inside: Vec<&Source> =
        sources.iter().filter(|source| source.is_in(places) && !source.is_in(except)).collect();
    refuse(&inside, words, why);
}

#[track_caller]
fn refuse(sources: &[&Source], words: &[&str], why: &str) {
    let mut found = String::new();
    for source in sources {
        for (number, line) in (1..).zip(source.code.lines()) {
            if words.iter().any(|word| line.contains(word)) {
                let _ = writeln!(found, "src/{}:{number}: {}", source.name, line.trim());
            }
        }
    }
    assert!(found.is_empty(), "{why}\n{found}");
}

#[test]
fn the_client_crate_is_named_in_kafka_only() {
    only_in(&["kafka/"], &["rdkafka", "librdkafka_sys"], "the client is exchanged in one place");
}

#[test]
fn unsafe_is_in_one_file_and_says_why() {
    let is_unsafe = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code"];
    only_in(&["kafka/native.rs"], &is_unsafe, "unsafe code calls the C library, from src/kafka/native.rs");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kafka/native.rs");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if !line.contains("unsafe {") && !line.contains("unsafe impl") {
            continue;
        }
        // The comment right above the statement. The line may be a later part of that statement.
        let above = lines[..index].iter().rev().take(12).take_while(|line| !line.trim().is_empty());
        let has_reason = above.chain([line]).any(|line| line.contains("SAFETY:"));
        assert!(has_reason, "{}:{}: no SAFETY comment", path.display(), index + 1);
    }
}

#[test]
fn durable_state_is_renamed_and_synced_in_the_store_only() {
    // broker/files.rs says why: what it publishes is the broker's own, of no partition. Nor is what output.rs writes.
    let words = ["fs::rename", "sync_all", "sync_data", "hard_link", "rustix::fs"];
    only_in(
        &["store.rs", "store/", "output.rs", "broker/files.rs"],
        &words,
        "the order of write, sync and rename is in one place",
    );
}

#[test]
fn pictures_never_talk_to_kafka() {
    let words = ["kafka", "pipeline", "producer"];
    never_in(&["commands/plot.rs"], &[], &words, "pictures are drawn from what is in DIR");
    let words = ["kafka::", "pipeline", "producer::"];
    never_in(&["dashboard/", "commands/dashboard.rs", "status.rs", "view.rs"], &[], &words, "pages show DIR");
}

#[test]
fn only_commands_print() {
    let words = ["print!(", "println!(", "eprintln!(", "eprint!(", "io::stdout"];
    only_in(&["commands/"], &words, "stdout belongs to the command");
    never_in(&["commands/"], &[], &["eprintln!(", "eprint!("], "what goes to stderr goes through the log");
    only_in(&["commands/", "logging.rs"], &["io::stderr"], "stderr is the log's");
}

#[test]
fn errors_and_warnings_hold_no_advice() {
    let words = ["\\nhint:", "hint: {"];
    only_in(
        &["core/failure.rs", "logging.rs"],
        &words,
        "an error's hint() and a warning's field `hint` hold the advice, as JSON and /readyz show the facts",
    );
}

#[test]
fn outside_input_cannot_panic() {
    // An `expect` states why it cannot happen, whatever comes from outside.
    let words = [".unwrap()", "panic!(", "todo!(", "unimplemented!(", "unreachable!(", "dbg!("];
    only_in(&[], &words, "what comes from a broker, a file or a user can't panic");
    // Here nearly all comes from outside.
    let parsers = ["core/source/", "core/protocol/", "core/log.rs", "core/rejected.rs"];
    never_in(&parsers, &[], &[".expect("], "what comes from a broker, a file or a user can't panic");
}

#[test]
fn each_expect_says_why_it_holds() {
    for Source { name, code } in sources() {
        for (at, call) in code.match_indices(".expect(") {
            let argument = code[at + call.len()..].trim_start();
            let reason = argument.strip_prefix('"').and_then(|reason| reason.split_once('"'));
            let words = reason.map_or(0, |(reason, _)| reason.split_whitespace().count());
            let line = code[..at].lines().count();
            assert!(words >= 4, "src/{name}:{line}: an invariant of the code is stated in a sentence");
        }
    }
}

#[test]
fn layers_point_one_way() {
    for (layer, upper) in [
        ("core/report.rs", &["crate::stats", "crate::checkpoint"][..]),
        ("core/stats.rs", &["crate::checkpoint"]),
        ("store/", &["crate::pipeline", "crate::kafka", "crate::commands", "crate::cli"]),
        (
            "kafka/",
            &[
                "crate::pipeline",
                "crate::producer",
                "crate::store",
                "crate::report",
                "crate::checkpoint",
                "crate::commands",
                "crate::cli",
            ],
        ),
        ("pipeline.rs", &["crate::commands", "crate::cli", "crate::producer"]),
        ("pipeline/", &["crate::commands", "crate::cli", "crate::producer"]),
        ("dashboard/", &["crate::kafka", "crate::pipeline", "crate::commands", "crate::cli"]),
        ("status.rs", &["crate::kafka", "crate::pipeline", "crate::commands", "crate::cli"]),
        (
            "view.rs",
            &["crate::kafka", "crate::pipeline", "crate::dashboard", "crate::commands", "crate::cli"],
        ),
        ("producer.rs", &["crate::commands", "crate::cli", "crate::pipeline", "crate::store"]),
        ("producer/", &["crate::commands", "crate::cli", "crate::pipeline", "crate::store"]),
        ("broker/", &["crate::commands", "crate::cli", "crate::pipeline", "crate::store", "crate::kafka"]),
    ] {
        never_in(&[layer], &[], upper, "source → producer → Kafka → consumer → checkpoint → store → plot");
    }
}

/// The modules of both crates, as in `almanac::kafka::admin`, each with those that it imports.
fn modules() -> BTreeMap<String, BTreeSet<String>> {
    let sources: Vec<(String, String)> =
        sources().into_iter().map(|source| (module_of(&source.name), source.code)).collect();
    let names: BTreeSet<&str> = sources.iter().map(|(module, _)| module.as_str()).collect();
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, code) in &sources {
        let imported = paths_in(code).into_iter().filter_map(|path| resolve(&path, module, &names));
        modules.entry(module.clone()).or_default().extend(imported);
    }
    modules
}

/// The module of a file, as in `almanac::kafka` for `kafka/mod.rs`.
fn module_of(name: &str) -> String {
    let (root, path) = name.strip_prefix("core/").map_or(("almanac", name), |path| ("almanac_core", path));
    let path = path.strip_suffix(".rs").unwrap();
    let parts = path.split('/').filter(|part| !["lib", "main", "mod"].contains(part));
    [root].into_iter().chain(parts).collect::<Vec<_>>().join("::")
}

/// What `use` names, and the paths elsewhere that begin at a crate, at `super` or at `self`.
fn paths_in(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut others = String::new();
    let mut statement: Option<String> = None;
    for line in code.lines() {
        let code = line.trim();
        let after_pub = code.strip_prefix("pub").map_or(code, |rest| {
            rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest)
        });
        let used = after_pub.trim_start().strip_prefix("use ");
        match (&mut statement, used) {
            (Some(tree), _) => tree.push_str(code),
            (None, Some(tree)) => statement = Some(tree.to_owned()),
            (None, None) => {
                others.push_str(line);
                others.push('\n');
            }
        }
        if let Some(tree) = statement.take_if(|tree| tree.ends_with(';')) {
            expand("", tree.trim_end_matches(';'), &mut paths);
        }
    }
    let is_part = |character: char| character.is_alphanumeric() || "_:".contains(character);
    let others = others.split(|character| !is_part(character));
    paths.extend(others.filter(|path| begins_at_a_module(path)).map(str::to_owned));
    paths
}

fn begins_at_a_module(path: &str) -> bool {
    path.split_once("::")
        .is_some_and(|(first, _)| ["crate", "super", "self", "almanac_core"].contains(&first))
}

/// Adds a path for each leaf of a `use` tree.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        paths.push(format!("{prefix}{}", path.trim()));
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let group = group.rsplit_once('}').unwrap().0;
    let mut depth = 0;
    let items = group.split(|character| {
        depth += i32::from(character == '{') - i32::from(character == '}');
        character == ',' && depth == 0
    });
    for item in items.filter(|item| !item.trim().is_empty()) {
        expand(&prefix, item, paths);
    }
}

/// The module that a path in `module` leads into, if it is another one. A crate's own root only passes names on.
fn resolve(path: &str, module: &str, names: &BTreeSet<&str>) -> Option<String> {
    let mut parts: Vec<&str> = module.split("::").collect();
    let mut path = path.split("::").peekable();
    match *path.peek()? {
        "crate" => parts.truncate(1),
        "almanac_core" => parts.clear(),
        "super" | "self" => {}
        child if names.contains(&*format!("{module}::{child}")) => {}
        _ => return None,
    }
    for part in path {
        match part {
            "crate" | "self" => {}
            "super" => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    while !parts.is_empty() && !names.contains(&*parts.join("::")) {
        parts.pop();
    }
    let found = parts.join("::");
    let is_own_root = module.split("::").next() == Some(&found);
    (!found.is_empty() && found != module && !is_own_root).then_some(found)
}

#[test]
fn no_import_circle() {
    let mut modules = modules();
    assert!(modules["almanac::kafka::fetcher"].contains("almanac_core::protocol::wire"), "{modules:#?}");
    // A module is in no circle if it imports none of those left, or none of them imports it.
    loop {
        let left: BTreeSet<String> = modules.keys().cloned().collect();
        modules.retain(|_, imported| {
            imported.retain(|name| left.contains(name));
            !imported.is_empty()
        });
        let imported: BTreeSet<String> = modules.values().flatten().cloned().collect();
        modules.retain(|module, _| imported.contains(module));
        if modules.len() == left.len() {
            break;
        }
    }
    assert!(modules.is_empty(), "these modules import each other in a circle: {modules:#?}");
}
