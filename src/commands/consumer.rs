//! `almanac consumer`: keeps the checkpoints.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::metrics;
use super::producer::AWAY;
use super::progress::{self, Reached};
use crate::cli;
use crate::dashboard::OwnPartitions;
use crate::pipeline::{self, Policy, Settings};
use crate::status::{Board, State, Status};
use crate::stop::Stop;
use crate::store;
use crate::text::escaped;

/// So many records are worth a bar, if they also take more than a second or two.
const REPLAY_RECORDS_MIN: u64 = 1000;

pub fn run(options: &cli::Consumer) -> Result<()> {
    let stop = Stop::on_signals()?;
    let settings = settings(options)?;
    let exporter = metrics::bind(options.metrics.listen.as_ref())?;
    let board = settings.board.clone();
    let reader = store::reader(&settings.dir)?;
    let numbers =
        || OwnPartitions::new(&settings.topic, Arc::clone(&reader), settings.stall_after, board.clone());
    let _serving = exporter.map(|exporter| exporter.start(numbers())).transpose()?;
    let mut line = Line::default();
    let look = || (!stop.is_asked()).then(|| line.reached(&at_work(&board), board.obstacle().is_some()));
    Ok(progress::with_bar("records", look, || pipeline::run(&settings, &stop))?)
}

/// The statuses of the partitions that this process counts.
fn at_work(board: &Board) -> Vec<Status> {
    let statuses = board.all().into_iter().map(|(status, _)| status);
    statuses.filter(|status| status.state != State::Stopped).collect()
}

/// The line of a consumer: a bar while there is more to count than a live log brings, and the newest day otherwise.
#[derive(Default)]
struct Line {
    has_bar: bool,
}

impl Line {
    fn reached(&mut self, statuses: &[Status], is_away: bool) -> Reached {
        let total = |each: fn(&Status) -> u64| statuses.iter().map(each).fold(0, u64::saturating_add);
        // The position, not the durable offset: large checkpoints come less often than statuses.
        let left = total(|status| {
            let end = status.high_watermark.unwrap_or_default();
            end.saturating_sub(status.position).max(0).unsigned_abs()
        });
        let done = [
            total(|status| status.counted),
            total(|status| status.duplicates),
            total(|status| status.rejected),
        ]
        .into_iter()
        .fold(0, u64::saturating_add);
        let rate = statuses.iter().map(|status| status.rate).fold(0.0, |sum, rate| sum + rate);
        // Begun at two seconds' work and over at one, so that it does not come and go.
        let seconds = if self.has_bar { 1.0 } else { 2.0 };
        self.has_bar = left >= REPLAY_RECORDS_MIN && left as f64 >= rate * seconds;
        Reached {
            done,
            total: self.has_bar.then(|| done.saturating_add(left)),
            rate: Some(rate),
            message: if is_away { AWAY.to_owned() } else { message(statuses, self.has_bar) },
        }
    }
}

/// The cause that a consumer waits for, or its progress.
fn message(statuses: &[Status], has_bar: bool) -> String {
    if statuses.is_empty() {
        return "no partition assigned yet".to_owned();
    }
    if let Some(cause) = statuses.iter().find_map(|status| status.waiting_for.as_deref()) {
        return format!("waiting: {}", escaped(cause));
    }
    let lag: Option<i64> = statuses.iter().map(|status| status.lag).sum();
    let lag = lag.filter(|_| !has_bar).map(|lag| format!("lag {lag}"));
    let newest = statuses.iter().filter_map(|status| status.newest.as_deref()).max();
    let newest = newest.map(|newest| format!("newest {}", escaped(newest)));
    lag.into_iter().chain(newest).collect::<Vec<_>>().join("  ")
}

/// How long a member of a group waits for a partition's former owner. A member that leaves in order releases its partitions
/// before the group assigns them; the lock of a directory also shows one that does not.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(10);
const HANDOVER_TIMEOUT_URL: Duration = Duration::from_secs(1);

fn settings(options: &cli::Consumer) -> Result<Settings> {
    let dir = &options.dir.dir;
    let handover_timeout = if store::is_url(dir) { HANDOVER_TIMEOUT_URL } else { HANDOVER_TIMEOUT };
    Ok(Settings {
        connection: super::connection(&options.kafka)?,
        topic: options.kafka.topic.clone(),
        dir: dir.clone(),
        group: options.group.clone(),
        station: options.station.clone(),
        partitions: super::named_once(&options.partitions)?,
        take_over: options.take_over,
        handover_timeout: options.handover_timeout.unwrap_or(handover_timeout),
        checkpoint_every: options.checkpoint_every,
        stall_after: options.stall_after,
        policy: Policy { accept_new_log: options.own_broker, ..Policy::default() },
        board: Board::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(position: i64, high_watermark: i64, rate: f64) -> Status {
        let json = serde_json::json!({
            "partition": 0, "topic": "temperatures", "state": "running", "offset": 0, "position": position,
            "high_watermark": high_watermark, "lag": 0, "rate": rate, "counted": position, "duplicates": 0,
            "rejected": 0, "days": 0, "newest": "1990-01-01", "last_durable": null, "stalled_since": null,
            "checkpoint_seconds": 0.0, "owner": {"pid": 1, "host": "weather", "since": ""}, "written": "",
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_bar_is_for_what_takes_longer_than_a_live_log() {
        let mut line = Line::default();
        for (position, end, rate, total) in [
            (0, 0, 0.0, None),
            (0, 999, 10.0, None),
            (5000, 14_999, 5000.0, None),
            (5000, 15_000, 5000.0, Some(15_000)),
            (10_000, 15_000, 5000.0, Some(15_000)),
            (10_001, 15_000, 5000.0, None),
            (10_000, 15_000, 5000.0, None),
            (10, i64::MAX, 5000.0, Some(i64::MAX.unsigned_abs())),
            (10, -1, 5000.0, None),
        ] {
            let found = line.reached(&[status(position, end, rate)], false);
            assert_eq!((found.done, found.total), (position.unsigned_abs(), total), "{position} of {end}");
        }
    }

    #[test]
    fn a_line_says_how_far_or_what_is_waited_for() {
        let (well, mut waiting) = (status(5, 5, 1.0), status(5, 5, 1.0));
        waiting.waiting_for = Some("an open transaction\x1b".to_owned());
        let unknown = Status { lag: None, newest: None, ..well.clone() };
        for (statuses, is_away, expected) in [
            (&[][..], false, "no partition assigned yet"),
            (&[][..], true, AWAY),
            (std::slice::from_ref(&well), false, "lag 0  newest 1990-01-01"),
            (&[well.clone(), unknown.clone()], false, "newest 1990-01-01"),
            (&[unknown], false, ""),
            (&[well.clone(), waiting.clone()], false, "waiting: an open transaction\\u{1b}"),
            (&[waiting], true, AWAY),
        ] {
            assert_eq!(Line::default().reached(statuses, is_away).message, expected);
        }
    }
}
