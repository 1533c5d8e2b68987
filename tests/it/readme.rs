//! The commands of the README, in its order, as its reader would type them.

use std::path::Path;

use crate::dashboard::get;
use crate::support::{Almanac, Kafka, Place, Running, almanac, eventually};

#[test]
fn it_is_short() {
    let words = include_str!("../../README.md").split_whitespace().count();
    assert!(words <= 1000, "{words} words");
}

#[test]
fn the_commands_work_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    let mut running: Vec<(String, Running)> = Vec::new();
    for command in commands() {
        let words: Vec<&str> = command.split_whitespace().collect();
        let start = || in_place(&place, root, &words);
        match words[0] {
            // Listens at a port of its own, so that the tests can run at the same time. The others use the first.
            "broker" => {
                let broker =
                    start().env("ALMANAC_LISTEN", "127.0.0.1:0").env("ALMANAC_DATA", place.dir("kafka"));
                let broker = broker.start();
                broker.stderr_line_with(" answers at ");
                running.push((command.clone(), broker));
            }
            "producer" if words.contains(&"--file") => {
                // The one that is still sending would bring its topic's days into the new one.
                running.retain(|(command, _)| !command.starts_with("producer"));
                start().succeeds();
            }
            "producer" => {
                running.push((command.clone(), start().start()));
                eventually("the topic is there", || kafka.describe(&place.topic).is_some());
            }
            "debug" => {
                let debug = start().start();
                eventually("debug shows a record", || debug.stdout().starts_with("{'partition': "));
                running.push((command.clone(), debug));
            }
            "consumer" => {
                running.push((command.clone(), start().start()));
                let files: Vec<_> =
                    words[1..].iter().map(|partition| format!("files/partition-{partition}.json")).collect();
                eventually("its files are there", || files.iter().all(|file| place.dir(file).exists()));
            }
            "dashboard" => {
                let dashboard = start().start();
                let line = dashboard.stderr_line_with("dashboard at http://");
                let address = line.split("http://").nth(1).unwrap().trim_end_matches('/');
                eventually("all partitions are ready", || get(address, "/readyz").status == 200);
                running.push((command.clone(), dashboard));
            }
            "status" | "verify" | "plot" | "proto" => {
                eventually("days are counted", || {
                    place.checkpoints("files").iter().any(|checkpoint| !checkpoint.statistics.is_empty())
                });
                let ended = start().succeeds();
                assert!(!ended.stdout.is_empty(), "{command}");
            }
            _ => panic!("README has a command that this test does not know: {command}"),
        }
    }
    assert!(place.dir("files/month.svg").exists());
    for (command, mut process) in running {
        let ended = process.terminate();
        assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
    }
}

fn in_place(place: &Place, root: &Path, words: &[&str]) -> Almanac {
    almanac(words)
        .env("ALMANAC_BROKERS", &place.brokers)
        .env("ALMANAC_TOPIC", &place.topic)
        .env("ALMANAC_DIR", place.dir("files"))
        .env("ALMANAC_DASHBOARD", "127.0.0.1:0")
        .current_dir(root)
}

/// The arguments of each `./run` in the README's shell blocks. `./run` alone, which is `almanac up`, and `./test`
/// have their own tests.
fn commands() -> Vec<String> {
    let readme = include_str!("../../README.md");
    let blocks = readme.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    let commands: Vec<String> = blocks
        .flat_map(str::lines)
        .map(|line| line.split('#').next().unwrap().trim())
        .filter(|line| !line.is_empty() && *line != "./run" && *line != "./test")
        .map(|line| {
            line.strip_prefix("./run ").unwrap_or_else(|| panic!("not a ./run command: {line}")).to_owned()
        })
        .collect();
    assert!(commands.len() >= 10, "{commands:?}");
    commands
}
