//! docs/schema against what almanac writes and prints.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::dashboard::get;
use crate::recipes::python;
use crate::support::{Place, Raw, kafka};

/// Values, each with the schema that it does or does not hold to.
#[derive(Default)]
struct Cases(Vec<Value>);

impl Cases {
    fn valid(&mut self, schema: &str, text: &str) {
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        self.0.push(json!({ "schema": schema, "value": value, "is_valid": true }));
    }

    fn check(&self) {
        let Some(python) = python() else { return };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut check = Command::new(python)
            .arg(root.join("tests/recipes/check_schemas.py"))
            .arg(root.join("docs/schema"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: String = self.0.iter().map(|case| format!("{case}\n")).collect();
        // A check that has failed reads no more.
        let _ = check.stdin.take().unwrap().write_all(lines.as_bytes());
        let ended = check.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), self.0.len().to_string());
    }
}

#[test]
fn files_and_outputs_hold_to_their_schemas() {
    let mut cases = Cases::default();
    let place = Place::new();
    place.produce(&["--days", "800"]);
    let large = vec![b'x'; 5000];
    let values: [Option<&[u8]>; 5] =
        [None, Some(b"31 degrees"), Some(b"\x0a\x0a2026-02-30"), Some(&large), Some(b"")];
    place.send(&values.map(|value| Raw { partition: 0, key: Some(&large[..4097]), value }));
    // One more in the same partition, so that days are missing there.
    let report = [b"\x0a\x0a2026-03-05\x11".as_slice(), &20.5_f64.to_le_bytes()].concat();
    let later = [b"\x0a\x0a2026-03-09\x11".as_slice(), &20.5_f64.to_le_bytes()].concat();
    place.send(&[&report, &later].map(|value| Raw { partition: 0, key: None, value: Some(value) }));

    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    place.caught_up(kafka(), "files");
    let status = || place.almanac(&["status", "--format", "json"]).run().stdout;
    let verify = || place.almanac(&["verify", "--format", "json"]).run().stdout;
    cases.valid("status", &status());
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    cases.valid("status", &status());
    cases.valid("verify", &verify());
    let dashboard = place.almanac(&["dashboard", "--listen", "127.0.0.1:0"]).start();
    let line = dashboard.stderr_line_with("dashboard at http://");
    let address = line.split("http://").nth(1).unwrap().trim_end_matches('/');
    cases.valid("status", &get(address, "/api/partitions").text());
    for file in place.files("files") {
        cases.valid("checkpoint", &file);
    }
    let first = place.dir("files/partition-0.json");
    let checkpoint = fs::read_to_string(&first).unwrap();
    assert!(checkpoint.contains("\"missing\":[\"2026-03-06\""), "{checkpoint}");
    let rejected_file = place.dir("files/partition-0.rejected.jsonl");
    let rejected = fs::read_to_string(&rejected_file).unwrap();
    assert_eq!(rejected.lines().count(), values.len());
    rejected.lines().for_each(|line| cases.valid("rejected", line));

    // Other than the log, then other than JSON.
    fs::write(&rejected_file, rejected.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>())
        .unwrap();
    cases.valid("verify", &verify());
    let (before, after) = checkpoint.split_once("\"min\":").unwrap();
    let (min, after) = after.split_once(',').unwrap();
    let lower = min.parse::<f64>().unwrap() - 1.0;
    fs::write(&first, format!("{before}\"min\":{lower},{after}")).unwrap();
    cases.valid("verify", &verify());
    fs::write(&first, "{").unwrap();
    cases.valid("status", &status());
    cases.valid("verify", &verify());

    // A place.
    let place = Place::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weather/access.csv");
    place.produce(&["--file", file.to_str().unwrap()]);
    place.replay(kafka(), "files");
    let status = place.almanac(&["status", "--format", "json"]).succeeds().stdout;
    cases.valid("status", &status);

    // No schema accepts everything: without any one of its fields, or with another one, a value is not valid.
    let valid = cases.0.clone();
    for case in &valid {
        let fields: Vec<String> = case["value"].as_object().unwrap().keys().cloned().collect();
        let is_optional = |field: &String| match case["schema"].as_str().unwrap() {
            "checkpoint" => case["value"][field].is_object(),
            // Only the page's server prints these.
            "status" => ["version", "failure", "hint", "dir", "is_default"].contains(&field.as_str()),
            _ => field.ends_with("_bytes") || field.ends_with("_sha256"),
        };
        for field in fields.iter().filter(|field| !is_optional(field)) {
            let mut other = case.clone();
            other["value"].as_object_mut().unwrap().remove(field);
            other["is_valid"] = json!(false);
            cases.0.push(other);
        }
        let mut other = case.clone();
        other["value"]["undocumented"] = json!(1);
        other["is_valid"] = json!(false);
        cases.0.push(other);
    }
    cases.check();
}
