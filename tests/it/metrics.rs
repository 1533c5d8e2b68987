//! The numbers for Prometheus: what really running processes say, and what contrib/ and the docs make of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use rustix::process::Signal;

use crate::dashboard::get;
use crate::support::{Kafka, Place, Raw, Running, eventually};

const METRICS: [&str; 2] = ["--metrics", "127.0.0.1:0"];

/// The address at which a process serves them.
#[track_caller]
fn address(process: &Running) -> String {
    let line = process.stderr_line_with("http://");
    line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

#[track_caller]
fn readiness(process: &Running) -> (u16, String) {
    let answer = get(&address(process), "/readyz");
    (answer.status, answer.text())
}

#[test]
fn names_and_labels_are_those_of_contrib_and_docs() {
    let place = Place::new();
    let producer = place.almanac(&[&["producer", "--interval", "2ms"][..], &METRICS].concat()).start();
    let one = place.almanac(&[&["consumer", "0", "2"][..], &METRICS].concat()).start();
    let two = place.almanac(&[&["consumer", "1", "3"][..], &METRICS].concat()).start();
    let dashboard = place.almanac(&["dashboard", "--listen", "127.0.0.1:0"]).start();
    let families = |process: &Running| Families::of(&get(&address(process), "/metrics").text());
    eventually("all metrics of all partitions are there", || {
        let all = families(&dashboard);
        ["almanac_partition_lag", "almanac_newest_day_timestamp_seconds"]
            .iter()
            .all(|name| all.values_of(name, "partition").len() == 4)
    });
    eventually("the producer's first day is there", || {
        families(&producer).names().contains("almanac_producer_newest_day_timestamp_seconds")
    });
    assert_eq!(
        families(&dashboard).values_of("almanac_records_total", "topic"),
        [place.topic.clone()].into()
    );
    for (consumer, own) in [(&one, ["0", "2"]), (&two, ["1", "3"])] {
        let own: BTreeSet<String> = own.map(str::to_owned).into();
        eventually("a consumer shows its own partitions only", || {
            families(consumer).values_of("almanac_partition_offset", "partition") == own
        });
        assert_eq!(families(consumer).names(), families(&dashboard).names());
        eventually("it is ready", || readiness(consumer).0 == 200);
    }
    eventually("the producer is ready", || readiness(&producer) == (200, "ready\n".to_owned()));

    let fed = Place::new();
    let file = fed.dir("weather.csv").display().to_string();
    fs::write(&file, "XX000000001,20240301,TMAX,40,,,Z,\n").unwrap();
    let feed = ["producer", "--append", "--file", &file, "--every", "1h"];
    let feed = fed.almanac(&[&feed[..], &METRICS].concat()).start();
    eventually("the feed was read", || {
        families(&feed).names().contains("almanac_feed_answered_timestamp_seconds")
    });

    let mut all = families(&dashboard);
    all.extend(families(&producer));
    all.extend(families(&feed));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let (alerts, board, docs) = (
        read("contrib/prometheus/alerts.yml"),
        read("contrib/grafana/almanac.json").replace("\\\"", "\""),
        read("docs/DASHBOARD.md"),
    );
    for (file, text) in [("alerts.yml", &alerts), ("almanac.json", &board)] {
        for (name, labels) in mentioned(text) {
            let known = all.0.get(&name).unwrap_or_else(|| panic!("{file}: there is no {name}"));
            for label in labels {
                assert!(known.contains_key(&label), "{file}: {name} has no label {label}");
            }
        }
        let labels = all.0.values().flat_map(BTreeMap::keys).cloned();
        let labels: BTreeSet<String> = labels.chain(["instance".to_owned(), "job".to_owned()]).collect();
        for label in named_after(text, "by (").into_iter().chain(named_after(text, "$labels.")) {
            assert!(labels.contains(&label), "{file}: no metric has the label {label}");
        }
    }
    let documented: BTreeSet<String> = mentioned(&docs).into_iter().map(|(name, _)| name).collect();
    assert_eq!(documented, all.names(), "docs/DASHBOARD.md has each");
    let used: BTreeSet<String> = mentioned(&board).into_iter().map(|(name, _)| name).collect();
    assert_eq!(used, all.names(), "the Grafana dashboard shows each");
    let board: serde_json::Value = serde_json::from_str(&read("contrib/grafana/almanac.json")).unwrap();
    assert!(board["panels"].as_array().unwrap().len() > 10);
}

#[test]
fn a_member_without_partitions_says_whether_kafka_is_away() {
    let kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    kafka.signal(Signal::STOP);
    let command = [&["consumer"][..], &METRICS].concat();
    let early = place.almanac(&command).start();
    let is_away = |consumer: &Running| {
        let (status, reason) = readiness(consumer);
        let owns_none = format!("this process owns no partition of {}: Kafka does not answer (", place.topic);
        (status, reason.starts_with(&owns_none)) == (503, true)
    };
    eventually("a consumer that starts says so", || is_away(&early));
    kafka.signal(Signal::CONT);
    let producer = ["producer", "--partitions", "1", "--days", "10", "--interval", "0"];
    assert_eq!(place.almanac(&producer).run().code, Some(0));
    let late = place.almanac(&command).start();
    let both = [&early, &late];
    eventually("one member has the partition", || both.iter().any(|member| readiness(member).0 == 200));
    let idle = both.into_iter().find(|member| readiness(member).0 != 200).unwrap();
    let reason = format!("this process owns no partition of {}\n", place.topic);
    assert_eq!(readiness(idle), (503, reason));
    kafka.signal(Signal::STOP);
    eventually("the other one says so", || is_away(idle));
    kafka.signal(Signal::CONT);
    eventually("and that it is over", || !is_away(idle));
}

#[test]
fn they_follow_what_happens() {
    let mut kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    let mut consumer = place.almanac(&[&["consumer", "0"][..], &METRICS].concat()).start();
    let reason = format!("this process owns no partition of {}\n", place.topic);
    assert_eq!(readiness(&consumer), (503, reason), "the topic does not exist yet");
    assert_eq!(get(&address(&consumer), "/healthz").text(), "ok\n");
    assert_eq!(get(&address(&consumer), "/").status, 404);

    let mut producer = place
        .almanac(&[&["producer", "--interval", "1ms", "--duplicates", "1"][..], &METRICS].concat())
        .start();
    let value = |process: &Running, sample: &str| -> f64 {
        let text = get(&address(process), "/metrics").text();
        let line = text.lines().find(|line| line.starts_with(sample));
        line.map_or(f64::NAN, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    let records = |outcome: &str| {
        format!("almanac_records_total{{topic=\"{}\",partition=\"0\",outcome=\"{outcome}\"}}", place.topic)
    };
    eventually("days and repeats are counted", || {
        value(&consumer, &records("counted")) > 50.0 && value(&consumer, &records("duplicate")) > 10.0
    });
    place.send(&[Raw { partition: 0, key: None, value: Some(b"no report") }]);
    eventually("a rejected record is counted", || value(&consumer, &records("rejected")) == 1.0);
    eventually("the producer counts days and duplicates", || {
        let sent =
            |kind| format!("almanac_producer_records_total{{topic=\"{}\",kind=\"{kind}\"}}", place.topic);
        value(&producer, &sent("day")) > 50.0 && value(&producer, &sent("repeat")) > 50.0
    });
    assert!(value(&producer, "almanac_producer_acknowledged_records_total") > 100.0);

    kafka.signal(Signal::STOP);
    eventually("the producer says that Kafka does not answer", || readiness(&producer).0 == 503);
    let (_, reason) = readiness(&producer);
    assert!(reason.contains(&kafka.bootstrap), "{reason}");
    assert_eq!(get(&address(&producer), "/healthz").text(), "ok\n", "which is not its fault");
    kafka.signal(Signal::CONT);
    eventually("it is ready again", || readiness(&producer).0 == 200);
    for process in [&mut consumer, &mut producer] {
        let address = address(process);
        assert_eq!(process.terminate().code, Some(0), "{}", process.stderr());
        assert!(TcpStream::connect(address).is_err());
    }
    kafka.stop();
}

#[test]
fn up_has_a_dashboard() {
    // Or somebody else has it; then that is as well.
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let place = Place::new();
    let mut up = place.almanac(&["up", "--interval", "2ms"]).start();
    assert_eq!(
        up.stderr_line_with("8080"),
        "almanac: 127.0.0.1:8080 is taken; --listen names another address for the dashboard"
    );
    let line = up.stderr_line_with("dashboard at http://127.0.0.1:");
    let address = line.split("http://").nth(1).unwrap().trim_end_matches('/').to_owned();
    eventually("all four partitions are ready", || {
        get(&address, "/readyz").status == 200 && states(&address) == ["running"; 4]
    });
    // It is there until all is written.
    assert_eq!(up.terminate().code, Some(0), "{}", up.stderr());
    assert!(TcpStream::connect(&address).is_err());

    let mut up = place.almanac(&["up", "--no-dashboard"]).env("ALMANAC_DASHBOARD", "127.0.0.1:0").start();
    up.stderr_line_with("days sent");
    assert_eq!(up.terminate().code, Some(0), "{}", up.stderr());
    assert!(!up.stderr().contains("http://"), "{}", up.stderr());
}

/// As the dashboard shows them.
fn states(address: &str) -> Vec<String> {
    let api: serde_json::Value = serde_json::from_str(&get(address, "/api/partitions").text()).unwrap();
    let partitions = api["partitions"].as_array().unwrap().iter();
    partitions.map(|partition| partition["state"].as_str().unwrap().to_owned()).collect()
}

/// The metrics of a text, each with its labels and all their values.
struct Families(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Families {
    fn of(text: &str) -> Families {
        let mut families = Families(BTreeMap::new());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
            let family = families.0.entry(name.to_owned()).or_default();
            for (label, value) in labels.split(',').filter_map(|label| label.split_once('=')) {
                let values = family.entry(label.to_owned()).or_default();
                values.insert(value.trim_matches('"').to_owned());
            }
            assert!(text.contains(&format!("\n# TYPE {name} ")) || text.starts_with("# HELP"), "{name}");
        }
        families
    }

    fn names(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    fn values_of(&self, name: &str, label: &str) -> BTreeSet<String> {
        self.0.get(name).and_then(|labels| labels.get(label)).cloned().unwrap_or_default()
    }

    fn extend(&mut self, other: Families) {
        self.0.extend(other.0);
    }
}

/// Each metric that a text names, with the labels that it is chosen by.
fn mentioned(text: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let starts = text.match_indices("almanac_").filter(|(at, _)| !text[..*at].ends_with(is_name));
    starts
        .map(|(at, _)| {
            let name: String = text[at..].chars().take_while(|character| is_name(*character)).collect();
            let rest = &text[at + name.len()..];
            let chosen = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
            let labels = chosen.split(',').map(|label| label.chars().take_while(|it| is_name(*it)).collect());
            (name, labels.filter(|label: &String| !label.is_empty()).collect())
        })
        .collect()
}

/// The names after each `prefix`, with commas between.
fn named_after(text: &str, prefix: &str) -> Vec<String> {
    let rests = text.split(prefix).skip(1);
    let end = |character: char| !(character.is_ascii_alphanumeric() || "_, ".contains(character));
    let lists = rests.map(|rest| match prefix {
        "by (" => rest.split(')').next().unwrap(),
        _ => rest.split(|it: char| end(it) || it == ' ').next().unwrap(),
    });
    lists.flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect()
}
