//! The dashboard's page in a real Chromium. The scripts of `tests/browser` look at it, and ask for what is to happen to
//! DIR and to the server meanwhile.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use almanac::checkpoint::Checkpoint;
use almanac::report::{MONTHS, RejectReason, Report};
use almanac::source::Synthetic;
use almanac::store::{Claim, LocalClaim, Paths, Rejected, prepare};
use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Place, Running, almanac, has_program, kafka, skip};

/// The partition of each month, as the keys of four partitions have it.
const PARTITIONS: [usize; MONTHS.len()] = [2, 1, 0, 2, 3, 2, 1, 0, 0, 3, 3, 2];

const FIRST: Date = date(1869, 1, 1);

/// A day that no report came of.
const LOST: Date = date(1905, 5, 10);

/// A DIR that is written as a consumer does it, a day at a time.
struct Weather {
    dir: TempDir,
    partitions: Vec<(LocalClaim, Checkpoint)>,
    next: Date,
}

impl Weather {
    fn empty(first: Date) -> Weather {
        Weather { dir: tempfile::tempdir().unwrap(), partitions: Vec::new(), next: first }
    }

    /// Every day from `first` up to the one before `end`, but for [`LOST`].
    fn between(first: Date, end: Date) -> Weather {
        let mut weather = Weather::empty(first);
        weather.begin();
        weather.continue_until(end);
        weather.say("stopped");
        weather
    }

    fn continue_until(&mut self, end: Date) {
        while self.next < end {
            if self.next == LOST {
                self.next = LOST.tomorrow().unwrap();
            }
            self.count();
        }
        for (claim, checkpoint) in &mut self.partitions {
            claim.write_checkpoint(checkpoint).unwrap();
        }
    }

    /// Takes the partitions, each with an empty checkpoint.
    fn begin(&mut self) {
        prepare(self.dir.path()).unwrap();
        self.partitions = (0..4)
            .map(|partition| {
                let (mut claim, _) = LocalClaim::new(self.dir.path(), partition, false).unwrap();
                let checkpoint = Checkpoint::empty(partition, 0);
                claim.write_checkpoint(&checkpoint).unwrap();
                (claim, checkpoint)
            })
            .collect();
    }

    /// Counts the next day; says in which partition.
    fn count(&mut self) -> usize {
        let day = self.next;
        let partition = PARTITIONS[usize::try_from(day.month()).unwrap() - 1];
        let checkpoint = &mut self.partitions[partition].1;
        assert!(checkpoint.statistics.add(&Report { date: day, degrees: Synthetic::new(1).degrees(day) }));
        checkpoint.offset += 1;
        self.next = day.tomorrow().unwrap();
        partition
    }

    /// Counts the next day and replaces its checkpoint; says when that was there, in ms since 1970.
    fn replace(&mut self) -> i64 {
        let partition = self.count();
        let (claim, checkpoint) = &mut self.partitions[partition];
        claim.write_checkpoint(checkpoint).unwrap();
        // A rename changes the inode, while the time after it would leave out the syncing.
        let metadata = self.checkpoint(partition).metadata().unwrap();
        metadata.ctime() * 1000 + metadata.ctime_nsec() / 1_000_000
    }

    /// Writes what the consumers say of themselves.
    fn say(&mut self, told: &str) {
        let ago =
            |seconds| Timestamp::now().checked_sub(SignedDuration::from_secs(seconds)).unwrap().to_string();
        // Never old, however long the page takes: a consumer would say it again each second.
        let written = ago(if told == "silent" { 60 } else { -3600 });
        let (state, behind) = match told {
            "stalled" => ("stalled", 7),
            "silent" | "rejected" => ("running", 0),
            state => (state, 0),
        };
        let is_rejected = told == "rejected";
        for (claim, checkpoint) in &mut self.partitions {
            if is_rejected {
                let record = Rejected::new(0, RejectReason::MalformedProtobuf, None, Some(b"no report"));
                claim.reject(&[record]).unwrap();
            }
            let status = json!({
                "partition": checkpoint.partition, "topic": "temperatures", "state": state,
                "offset": checkpoint.offset, "position": checkpoint.offset,
                "high_watermark": checkpoint.offset + behind, "lag": behind, "rate": 10.0,
                "counted": checkpoint.statistics.days(), "duplicates": if is_rejected { 0 } else { 3 }, "rejected": 1,
                "days": checkpoint.statistics.days(), "newest": null,
                "last_durable": ago(40), "stalled_since": ago(40),
                "checkpoint_seconds": 0.004, "owner": claim.owner(), "written": &written,
            });
            claim.write_status(&status).unwrap();
        }
    }

    fn checkpoint(&self, partition: usize) -> PathBuf {
        Paths::new(self.dir.path(), i32::try_from(partition).unwrap()).checkpoint()
    }

    /// Does the act that a script asks for.
    fn act(&mut self, wish: &str) -> String {
        match wish {
            "begin" => self.begin(),
            "replace" => return self.replace().to_string(),
            "break" => fs::write(self.checkpoint(2), "{\"partition\":2,").unwrap(),
            "mend" => {
                let (claim, checkpoint) = &mut self.partitions[2];
                claim.write_checkpoint(checkpoint).unwrap();
            }
            "empty" => (0..4).for_each(|partition| fs::remove_file(self.checkpoint(partition)).unwrap()),
            wish => match wish.strip_prefix("until ") {
                Some(end) => self.continue_until(end.parse().unwrap()),
                None => self.say(wish),
            },
        }
        String::new()
    }
}

/// A dashboard over DIR, and where it is.
fn dashboard(dir: &Path, listen: &str) -> (Running, String) {
    let dashboard = almanac(&["dashboard", "--listen", listen]).env("ALMANAC_DIR", dir).start();
    let line = dashboard.stderr_line_with("dashboard at ");
    let (_, url) = line.split_once("dashboard at ").unwrap();
    (dashboard, url.to_owned())
}

/// Whether there is a browser, and what the scripts need.
fn has_browser() -> bool {
    if !Path::new("tests/browser/node_modules/playwright-core").exists() {
        skip("tests/browser has no node_modules; ./test installs them");
        return false;
    }
    has_program("node") && has_program("chromium")
}

/// Runs a script on the page at `url`; `act` does what it asks for.
#[track_caller]
fn browse(script: &str, url: &str, mut act: impl FnMut(&str) -> String) {
    let mut node = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "node"])
        .arg(Path::new("tests/browser").join(script))
        .arg(url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut answers, wishes) = (node.stdin.take().unwrap(), node.stdout.take().unwrap());
    for line in BufReader::new(wishes).lines() {
        let line = line.unwrap();
        match line.strip_prefix("do ") {
            Some(wish) => writeln!(answers, "{}", act(wish)).unwrap(),
            // Past the capture, so that what was measured is seen.
            None => drop(writeln!(std::io::stderr(), "{script}: {line}")),
        }
    }
    assert!(node.wait().unwrap().success(), "{script} failed; its stderr says where");
}

#[test]
fn each_view_of_155_years() {
    if !has_browser() {
        return;
    }
    let weather = Weather::between(FIRST, date(2024, 1, 1));
    let (_dashboard, url) = dashboard(weather.dir.path(), "127.0.0.1:0");
    browse("views.mjs", &url, |wish| panic!("{wish}?"));
}

#[test]
fn faults_are_shown() {
    if !has_browser() {
        return;
    }
    let mut weather = Weather::empty(FIRST);
    let (_dashboard, url) = dashboard(weather.dir.path(), "127.0.0.1:0");
    browse("troubles.mjs", &url, |wish| weather.act(wish));
}

#[test]
fn a_server_that_goes_and_comes_back() {
    if !has_browser() {
        return;
    }
    let mut weather = Weather::between(FIRST, date(1870, 5, 10));
    let dir = weather.dir.path().to_owned();
    let (mut running, url) = dashboard(&dir, "127.0.0.1:0");
    let listen = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    browse("restart.mjs", &url, |wish| {
        match wish {
            "stop" => drop(running.terminate()),
            "start" => running = dashboard(&dir, &listen).0,
            wish => return weather.act(wish),
        }
        String::new()
    });
}

#[test]
fn keys_rest_on_a_month() {
    if !has_browser() {
        return;
    }
    let mut weather = Weather::between(date(1869, 11, 30), date(1869, 12, 2));
    let (_dashboard, url) = dashboard(weather.dir.path(), "127.0.0.1:0");
    browse("focus.mjs", &url, |wish| weather.act(wish));
}

#[test]
fn from_the_file_to_the_page() {
    if !has_browser() {
        return;
    }
    let mut weather = Weather::between(FIRST, date(2023, 1, 10));
    let (_dashboard, url) = dashboard(weather.dir.path(), "127.0.0.1:0");
    browse("latency.mjs", &url, |wish| weather.act(wish));
}

#[test]
fn a_stream_runs() {
    if !has_browser() {
        return;
    }
    let place = Place::on(kafka());
    place.produce(&["--days", "400"]);
    let _consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    let _producer = place.almanac(&["producer", "--append", "--interval", "20ms"]).start();
    let (_dashboard, url) = dashboard(&place.dir("files"), "127.0.0.1:0");
    browse("stream.mjs", &url, |wish| panic!("{wish}?"));
}
