//! `plot` and `status`: what is made of DIR, without any broker.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use almanac::checkpoint::Checkpoint;
use almanac::report::{MONTHS, Report, parse_date};
use roxmltree::Document;
use tempfile::TempDir;

use crate::status::assert_documented;
use crate::support::{Almanac, Place, almanac, kafka};

/// A DIR of checkpoints that no consumer wrote.
struct Dir(TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    /// A checkpoint that counted these days.
    fn counted(&self, partition: i32, days: &[(&str, f64)]) {
        let mut checkpoint = Checkpoint::empty(partition, i64::try_from(days.len()).unwrap());
        for &(date, degrees) in days {
            let date = parse_date(date.as_bytes()).unwrap();
            assert!(checkpoint.statistics.add(&Report { date, degrees }));
        }
        fs::write(self.0.path().join(format!("partition-{partition}.json")), checkpoint.to_json()).unwrap();
    }

    fn almanac(&self, arguments: &[&str]) -> Almanac {
        almanac(arguments).env("ALMANAC_DIR", self.0.path())
    }

    fn svg_path(&self) -> PathBuf {
        self.0.path().join("month.svg")
    }

    fn labels(&self) -> Vec<String> {
        labels(&fs::read_to_string(self.svg_path()).unwrap())
    }
}

/// The text of a picture that names a month and a year, in order.
fn labels(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    let texts =
        document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text());
    texts.filter(|text| is_label(text)).map(str::to_owned).collect()
}

fn is_label(text: &str) -> bool {
    text.split_once('-').is_some_and(|(month, year)| MONTHS.contains(&month) && year.len() == 4)
}

#[test]
fn each_month_in_its_latest_recorded_year() {
    let place = Place::new();
    place.produce(&["--days", "36525", "--duplicates", "0"]);
    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    place.caught_up(kafka(), "files");
    assert_eq!(consumer.terminate().code, Some(0));
    let ended = place.almanac(&["plot"]).succeeds();
    let path = place.dir("files").join("month.svg");
    assert_eq!((ended.stdout, ended.stderr.as_str()), (format!("{}\n", path.display()), ""));
    let svg = fs::read_to_string(&path).unwrap();
    assert_eq!(labels(&svg), MONTHS.map(|month| format!("{month}-2089")));
    assert_eq!(fs::read_dir(place.dir("files")).unwrap().count(), 4 + 4 + 2, "nothing temporary is left");

    let status = place.almanac(&["status"]).succeeds();
    let lines: Vec<Vec<&str>> = status.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..5], ["PARTITION", "STATE", "OFFSET", "LAG", "RATE/S"]);
    for (partition, checkpoint) in place.checkpoints("files").iter().enumerate() {
        let row = &lines[partition + 1];
        let newest = checkpoint.statistics.newest().unwrap().to_string();
        assert_eq!(row[..4], [&partition.to_string(), "stopped", &checkpoint.offset.to_string(), "–"]);
        assert_eq!(row[5], newest);
        assert!(status.stdout.contains("process "), "the owner: {}", status.stdout);
    }
}

#[test]
fn all_checkpoints_in_dir_are_drawn() {
    let dir = Dir::new();
    dir.counted(7, &[("1991-02-01", 1.5), ("1990-02-01", 9.0), ("0800-11-30", -4.0)]);
    dir.counted(0, &[]);
    fs::write(dir.0.path().join("notes.json"), "not ours").unwrap();
    let ended = dir.almanac(&["plot"]).succeeds();
    assert_eq!(ended.stderr, "");
    assert_eq!(dir.labels(), ["February-1991", "November-0800"]);
}

#[test]
fn only_some_months() {
    let dir = Dir::new();
    dir.counted(0, &[("1991-02-01", 1.5), ("1991-03-01", 2.5), ("1991-07-01", 20.0)]);
    dir.almanac(&["plot", "--month", "july", "February"]).succeeds();
    assert_eq!(dir.labels(), ["February-1991", "July-1991"], "in calendar order");
    let before = fs::read(dir.svg_path()).unwrap();
    let ended = dir.almanac(&["plot", "--month", "May"]).fails(1);
    assert!(ended.stderr.contains("no day of May has been counted in "), "{}", ended.stderr);
    assert_eq!(fs::read(dir.svg_path()).unwrap(), before, "the picture stays");
}

#[test]
fn each_kind_has_its_file() {
    let dir = Dir::new();
    dir.counted(0, &[("1990-07-01", 19.0), ("1991-07-01", 20.5), ("1991-07-03", 22.0)]);
    for (arguments, name) in [
        (&["--kind", "months"][..], "month.svg"),
        (&["--kind", "heatmap"], "heatmap.svg"),
        (&["--kind", "stripes", "--format", "png"], "stripes.png"),
        (&["--kind", "history", "--month", "July"], "history-July.svg"),
        (&["--kind", "history", "--month", "July", "--format", "png"], "history-July.png"),
    ] {
        let path = dir.0.path().join(name);
        let draw = || {
            let ended = dir.almanac(&[&["plot"], arguments].concat()).succeeds();
            assert_eq!((ended.stdout, ended.stderr.as_str()), (format!("{}\n", path.display()), ""));
            fs::read(&path).unwrap()
        };
        let drawn = draw();
        assert!(drawn.starts_with(if name.ends_with("png") { b"\x89PNG" } else { b"<svg" }), "{name}");
        assert_eq!(drawn, draw(), "the same files give the same bytes");
    }
    assert_eq!(fs::read_dir(dir.0.path()).unwrap().count(), 1 + 5, "nothing temporary is left");
}

#[test]
fn a_picture_goes_where_it_is_wanted() {
    let dir = Dir::new();
    dir.counted(0, &[("1991-07-01", 20.0)]);
    let elsewhere = dir.0.path().join("elsewhere.svg");
    let ended = dir.almanac(&["plot", "--output", elsewhere.to_str().unwrap()]).succeeds();
    assert_eq!(ended.stdout, format!("{}\n", elsewhere.display()));
    let ended = dir.almanac(&["plot", "-o", "-", "--unit", "f", "--width", "360"]).succeeds();
    assert!(
        ended.stdout.contains("July-1991 68.0 °F") && ended.stdout.contains(" width=\"360\""),
        "{}",
        ended.stdout
    );
    assert!(!dir.svg_path().exists());
}

#[test]
fn text_goes_to_stdout_without_colour_where_there_is_no_terminal() {
    let dir = Dir::new();
    dir.counted(0, &[("1990-07-01", 19.0), ("1991-07-01", 20.5), ("1991-07-03", 22.0)]);
    for (kind, shown) in [
        ("months", "July-1991  21.2~  │██"),
        ("heatmap", "Jul   19.0~ 21.2~"),
        ("stripes", "×"),
        ("history", "1991  21.2~"),
    ] {
        let arguments = ["plot", "--kind", kind, "--month", "July", "--format", "text"];
        let ended = dir.almanac(&arguments).succeeds();
        assert!(ended.stdout.contains(shown) && !ended.stdout.contains('\x1b'), "{kind}: {}", ended.stdout);
        assert!(ended.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ended.stdout);
    }
}

#[test]
fn a_page_is_not_too_narrow() {
    let dir = Dir::new();
    let ended = dir.almanac(&["plot", "--width", "279"]).fails(2);
    assert!(ended.stderr.contains("280 pixels"), "{}", ended.stderr);
}

#[test]
fn a_history_is_of_one_month() {
    let dir = Dir::new();
    dir.counted(0, &[("1991-07-01", 20.0)]);
    let ended = dir.almanac(&["plot", "--kind", "history"]).fails(2);
    assert_eq!(
        ended.stderr,
        "almanac: error: a history is of one month\nhint: name one, as in --kind history --month July\n"
    );
    let ended = dir.almanac(&["plot", "--kind", "history", "--month", "May", "July"]).fails(2);
    assert!(ended.stderr.contains("not of several\nhint: "), "{}", ended.stderr);
    dir.almanac(&["plot", "--month"]).fails(2);
}

#[test]
fn many_months_in_two_files_are_reported_in_few_lines() {
    let dir = Dir::new();
    let days: Vec<String> = (1900..1950).map(|year| format!("{year}-07-01")).collect();
    let days: Vec<(&str, f64)> = days.iter().map(|day| (day.as_str(), 20.0)).collect();
    dir.counted(0, &days);
    dir.counted(1, &days);
    let ended = dir.almanac(&["plot", "--kind", "heatmap"]).succeeds();
    assert_eq!(ended.stderr.lines().count(), 11, "{}", ended.stderr);
    assert!(ended.stderr.ends_with("warning: 40 more months are in two files\n"), "{}", ended.stderr);
    assert_eq!(dir.almanac(&["plot"]).succeeds().stderr.lines().count(), 1, "only of what is drawn");
}

#[test]
fn a_month_in_two_files_is_drawn_from_the_later_and_reported() {
    let dir = Dir::new();
    dir.counted(0, &[("1991-02-01", 1.5)]);
    dir.counted(1, &[("1991-02-01", 30.0), ("1991-02-02", 30.0)]);
    let ended = dir.almanac(&["plot"]).succeeds();
    assert_eq!(
        ended.stderr,
        "almanac: warning: February-1991 is in two files: drawn from partition-1.json (counted up to 1991-02-02), \
         not from partition-0.json (up to 1991-02-01)\n"
    );
    assert_eq!(dir.labels(), ["February-1991"]);
    assert!(fs::read_to_string(dir.svg_path()).unwrap().contains("30"));
}

#[test]
fn an_empty_plot_is_reported_with_a_command_to_type() {
    let dir = Dir::new();
    for command in ["plot", "status"] {
        let ended = dir.almanac(&[command]).fails(1);
        let place = dir.0.path().display();
        assert!(
            ended.stderr.contains(&format!("{place} has no partition-N.json\nhint: ")),
            "{}",
            ended.stderr
        );
    }
    dir.counted(0, &[]);
    let ended = dir.almanac(&["plot"]).fails(1);
    assert!(ended.stderr.contains("no day has been counted in "), "{}", ended.stderr);
    let status = dir.almanac(&["status"]).succeeds().stdout;
    let row: Vec<&str> = status.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..6], ["0", "–", "0", "–", "–", "–"], "{status}");
    assert!(!dir.svg_path().exists());
}

#[test]
fn a_dir_that_is_not_there_is_named() {
    for command in ["plot", "status"] {
        let ended = almanac(&[command, "--dir", "no/such"]).fails(7);
        let hint = "hint: run `almanac consumer -d no/such` to create it, or name another with --dir";
        assert_eq!(ended.stderr, format!("almanac: error: there is no directory no/such\n{hint}\n"));
    }
}

#[test]
fn an_unreadable_checkpoint_is_named_by_line() {
    let dir = Dir::new();
    dir.counted(0, &[("1991-02-01", 1.5)]);
    let spoilt = dir.0.path().join("partition-1.json");
    fs::write(&spoilt, "{\"partition\":1,\n\"offset\":1e999}").unwrap();
    for command in ["plot", "status"] {
        let ended = dir.almanac(&[command]).fails(5);
        let begins = format!("almanac: error: {}: number out of range at line 2", spoilt.display());
        assert!(ended.stderr.starts_with(&begins), "{}", ended.stderr);
    }
    assert!(!dir.svg_path().exists());
}

#[test]
fn a_bad_checkpoint_keeps_no_other_from_being_shown() {
    let dir = Dir::new();
    dir.counted(0, &[("1990-02-01", 9.0)]);
    dir.counted(2, &[("1990-04-01", 9.0)]);
    fs::write(dir.0.path().join("partition-1.json"), "{").unwrap();
    let ended = dir.almanac(&["status"]).fails(5);
    let rows: Vec<Vec<&str>> = ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let row = |row: usize| [rows[row][0], rows[row][1], rows[row][2]];
    assert_eq!((row(1), row(2), row(3)), (["0", "–", "1"], ["1", "unreadable", "–"], ["2", "–", "1"]));
    assert!(ended.stderr.contains("partition-1.json: EOF"), "{}", ended.stderr);
}

/// If the output is not a regular file, the picture is written *to* it, and a link stays a link.
#[test]
fn the_output_stays_what_it_is() {
    let dir = Dir::new();
    dir.counted(0, &[("1990-03-01", 1.5), ("1990-08-02", 21.0)]);
    let outside = tempfile::tempdir().unwrap();
    let at = |name: &str| outside.path().join(name);
    let expected = {
        dir.almanac(&["plot"]).succeeds();
        fs::read_to_string(dir.svg_path()).unwrap()
    };
    let shell = |line: &str| {
        let output = std::process::Command::new("bash")
            .args(["-c", line])
            .env("almanac", env!("CARGO_BIN_EXE_almanac"))
            .env("ALMANAC_DIR", dir.0.path())
            .current_dir(outside.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(shell("$almanac plot --output /dev/stdout"), expected);
    assert_eq!(shell("$almanac plot --output /proc/self/fd/1 | cat"), expected);
    assert_eq!(shell("$almanac plot --output /dev/stderr 2>&1 >/dev/null"), expected);
    for (line, before, after) in [
        ("$almanac plot --output /dev/stdout > out", "", ""),
        ("(echo head; $almanac plot --output /dev/stdout; echo tail) > out", "head\n", "tail\n"),
        ("(echo head; $almanac plot --output /dev/stderr 2>&1; echo tail) > out", "head\n", "tail\n"),
        ("$almanac plot --output /dev/fd/3 3> out > printed", "", ""),
        ("$almanac plot --output >(cat > out) > printed; wait $!", "", ""),
        ("mkfifo fifo; cat fifo > out & $almanac plot --output fifo > printed; wait", "", ""),
        ("ln -s out link; $almanac plot --output link > printed", "", ""),
        ("$almanac plot --output out > out", "", ""),
    ] {
        fs::write(at("out"), "former").unwrap();
        assert_eq!(shell(line), "", "{line}");
        assert_eq!(fs::read_to_string(at("out")).unwrap(), format!("{before}{expected}{after}"), "{line}");
    }
    assert!(at("link").is_symlink());
    assert_eq!(shell("$almanac plot --output /dev/null; test -c /dev/null"), "/dev/null\n");
    assert_eq!(
        shell("$almanac plot --output new.svg; umask 077; $almanac plot --output private.svg"),
        "new.svg\nprivate.svg\n"
    );
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(at(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("private.svg"), 0o600);
    shell("chmod 604 new.svg; umask 077; $almanac plot --output new.svg");
    assert_eq!(mode("new.svg"), 0o604);
    let left: Vec<String> = fs::read_dir(outside.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("tmp") || name.starts_with('.'))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

/// The numbers as Python's csv module reads them, each row as an object.
fn rows_of_csv(csv: &str) -> Vec<serde_json::Value> {
    const READER: &str =
        "import csv, json, sys\nfor row in csv.DictReader(sys.stdin): print(json.dumps(row))";
    let mut python = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(csv.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_table_has_a_row_for_each_month_of_each_year() {
    let dir = Dir::new();
    let days: Vec<(String, f64)> = (1990..2003)
        .flat_map(|year| {
            (1..=31).map(move |day| (format!("{year}-07-{day:02}"), f64::from(year) / 7.1 - f64::from(day)))
        })
        .chain((1..=9).map(|day| (format!("2003-06-{day:02}"), 0.1 * f64::from(day))))
        .collect();
    let days: Vec<(&str, f64)> = days.iter().map(|(date, degrees)| (&**date, *degrees)).collect();
    let (july, june) = days.split_at(13 * 31);
    dir.counted(1, july);
    dir.counted(2, june);
    let json = dir.almanac(&["plot", "--format", "jsonl"]).succeeds();
    assert_eq!(json.stderr, "");
    let rows: Vec<serde_json::Value> =
        json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 14);
    for row in &rows[..13] {
        let file: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.0.path().join("partition-1.json")).unwrap()).unwrap();
        let month = &file["July"][row["year"].to_string()];
        for name in ["count", "sum", "avg", "min", "min_date", "max", "max_date", "start", "end"] {
            assert_eq!(row[name], month[name], "{name} of {row}");
        }
        assert_eq!(
            (&row["complete"], &row["expected_days"], &row["month"]),
            (&true.into(), &31.into(), &7.into())
        );
        assert_eq!(row["rank"], 2003 - row["year"].as_u64().unwrap(), "each was warmer than the one before");
        assert!(row["anomaly"].is_number(), "{row}");
    }
    let last = &rows[13];
    assert_eq!((&last["month"], &last["count"], &last["expected_days"]), (&6.into(), &9.into(), &30.into()));
    assert_eq!((&last["complete"], &last["anomaly"], &last["rank"]), (&false.into(), &().into(), &().into()));
    assert_documented(last);

    let csv = dir.almanac(&["plot", "--format", "csv", "--month", "jul"]).succeeds().stdout;
    let read = rows_of_csv(&csv);
    assert_eq!(read.len(), 13);
    for (read, row) in read.iter().zip(&rows) {
        for (name, value) in row.as_object().unwrap() {
            let text = match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            assert_eq!(read[name], text, "{name}");
        }
    }
    let written =
        dir.almanac(&["plot", "--format", "csv", "-o", "months.csv"]).current_dir(dir.0.path()).succeeds();
    assert_eq!(written.stdout, "months.csv\n");
    assert_eq!(fs::read_to_string(dir.0.path().join("months.csv")).unwrap().lines().count(), 15);
    let none = dir.almanac(&["plot", "--format", "jsonl", "--month", "1"]).fails(1);
    assert_eq!((none.stdout.as_str(), none.stderr.lines().count()), ("", 1), "{}", none.stderr);
}
