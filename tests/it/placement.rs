//! The partitions of months are the same for almanac and for Apache Kafka's own client.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use almanac::broker::{Environment, kafka_version};
use almanac::report::MONTHS;

use crate::support::{Place, has_program, kafka};

const PLACES: [&[&str]; 4] = [
    &["March", "August", "September"],
    &["February", "July"],
    &["January", "April", "June", "December"],
    &["May", "October", "November"],
];

/// Runs `Clients.java` on the jars that the broker runs on, and gives its lines of `KEY PARTITION`.
pub fn java(arguments: &[&str]) -> BTreeMap<String, usize> {
    // The broker sees to it that the jars are there.
    kafka();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/Clients.java");
    let classes = jars().join("*");
    let output = Command::new("java").arg("-cp").arg(classes).arg(source).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(key, partition)| (key.to_owned(), partition.parse().unwrap()))
        .collect()
}

fn jars() -> PathBuf {
    let cache = Environment::from_process().cache.unwrap();
    let version = format!("kafka-{}-", kafka_version());
    let is_of_version = |path: &PathBuf| {
        path.is_dir() && path.extension().is_none_or(|extension| extension != "part") && {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&version))
        }
    };
    let mut found: Vec<PathBuf> =
        fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).filter(is_of_version).collect();
    found.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    found.pop().expect("the broker's jars are in the cache")
}

fn expected() -> BTreeMap<String, usize> {
    let places = PLACES.iter().enumerate();
    places
        .flat_map(|(partition, months)| months.iter().map(move |month| (month.to_string(), partition)))
        .collect()
}

/// The months in each checkpoint.
fn months(place: &Place) -> Vec<BTreeSet<&'static str>> {
    let checkpoints = place.checkpoints("files");
    checkpoints
        .iter()
        .map(|found| found.statistics.cells().map(|(month, ..)| MONTHS[month]).collect())
        .collect()
}

/// A value as a protobuf library writes it, in hexadecimal.
fn hex(date: &str, degrees: f64) -> String {
    let bytes = [b"\x0a\x0a", date.as_bytes(), b"\x11", &degrees.to_le_bytes()].concat();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn java_computes_the_same_places() {
    if has_program("javac") {
        assert_eq!(java(&[&["place", "4"], &MONTHS[..]].concat()), expected());
    }
}

#[test]
fn months_lie_where_other_clients_put_them_and_theirs_are_counted() {
    let place = Place::new();
    place.produce(&["--days", "365"]);
    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    place.caught_up(kafka(), "files");
    let named: Vec<BTreeSet<&str>> = PLACES.iter().map(|months| months.iter().copied().collect()).collect();
    assert_eq!(months(&place), named);

    if has_program("javac") {
        let values: Vec<String> = (1..=12).map(|month| hex(&format!("2525-{month:02}-15"), 25.25)).collect();
        let mut arguments = vec!["send", &place.brokers, &place.topic];
        arguments.extend(MONTHS.iter().zip(&values).flat_map(|(month, value)| [month, value.as_str()]));
        assert_eq!(java(&arguments), expected());
        place.caught_up(kafka(), "files");
        assert_eq!(months(&place), named);
        let checkpoints = place.checkpoints("files");
        let cells = checkpoints.iter().flat_map(|checkpoint| checkpoint.statistics.cells());
        let theirs: Vec<f64> =
            cells.filter(|(_, year, _)| *year == 2525).map(|(.., cell)| cell.avg()).collect();
        assert_eq!(theirs, [25.25; 12]);
    }
    assert_eq!(consumer.terminate().code, Some(0));
}
