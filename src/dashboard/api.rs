//! The shapes of `/api`, and what is to be said of a partition. Values in, JSON out.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::Snapshot;
use crate::checkpoint::Checkpoint;
use crate::report::MONTHS;
use crate::stats::MonthCell;
use crate::status::{View, ViewState};
use crate::store::{self, Owner};

/// `/api/months`.
#[derive(Serialize)]
pub struct Months<'a> {
    version: &'a str,
    unit: &'static str,
    months: Vec<Month>,
}

/// One month of one year; the fields of a checkpoint's cell, and where it lies.
#[derive(Serialize)]
struct Month {
    month: &'static str,
    year: u16,
    partition: i32,
    count: u32,
    sum: f64,
    avg: f64,
    min: f64,
    max: f64,
    start: String,
    end: String,
    missing: Vec<String>,
}

pub fn months(snapshot: &Snapshot) -> Months<'_> {
    let checkpoints = snapshot.partitions.values().filter_map(|file| file.view.checkpoint.as_ref().ok());
    let by_file: BTreeMap<String, &Checkpoint> =
        checkpoints.map(|checkpoint| (store::checkpoint_name(checkpoint.partition), checkpoint)).collect();
    let months = snapshot.cells.iter().filter_map(|cell| {
        let checkpoint = by_file.get(&cell.file)?;
        Month::of(
            checkpoint.partition,
            cell.month,
            cell.year,
            checkpoint.statistics.cell(cell.month, cell.year)?,
        )
    });
    Months { version: &snapshot.version, unit: "celsius", months: months.collect() }
}

impl Month {
    fn of(partition: i32, month: usize, year: u16, cell: &MonthCell) -> Option<Month> {
        let date = |day: u32| format!("{year:04}-{:02}-{day:02}", month + 1);
        Some(Month {
            month: MONTHS.get(month)?,
            year,
            partition,
            count: cell.count(),
            sum: cell.sum(),
            avg: cell.avg(),
            min: cell.min(),
            max: cell.max(),
            start: date(cell.first_day()),
            end: date(cell.last_day()),
            missing: cell.missing_days().map(date).collect(),
        })
    }
}

/// `/api/partitions`.
#[derive(Serialize)]
pub struct Partitions<'a> {
    version: &'a str,
    /// Why DIR can't be read.
    failure: Option<&'a str>,
    partitions: Vec<Partition<'a>>,
}

/// The data of an event of `/api/events`: what has changed since the one before.
#[derive(Serialize)]
pub struct Change<'a> {
    version: &'a str,
    failure: Option<&'a str>,
    partitions: Vec<Partition<'a>>,
    /// Those that have no checkpoint any more.
    gone: Vec<i32>,
}

/// A partition, as its checkpoint and its consumer's last word show it. What is not known is null.
#[derive(Serialize)]
struct Partition<'a> {
    partition: i32,
    state: &'static str,
    /// Why nothing comes, while its consumer waits.
    cause: Option<&'a str>,
    /// Why its files can't be read.
    failure: Option<String>,
    topic: Option<&'a str>,
    offset: Option<i64>,
    position: Option<i64>,
    high_watermark: Option<i64>,
    lag: Option<i64>,
    /// Records a second, while its consumer is there.
    rate: Option<f64>,
    counted: Option<u64>,
    duplicates: Option<u64>,
    rejected: Option<u64>,
    rejected_total: Option<u64>,
    days: Option<u64>,
    newest: Option<String>,
    freshness_seconds: Option<u64>,
    last_durable: Option<&'a str>,
    stalled_since: Option<&'a str>,
    written: Option<&'a str>,
    checkpoint_seconds: Option<f64>,
    checkpoint_bytes: Option<u64>,
    owner: Option<&'a Owner>,
}

impl<'a> Partition<'a> {
    fn of(view: &'a View, now: Timestamp) -> Self {
        let checkpoint = view.checkpoint.as_ref().ok();
        // Of what can't be read there is nothing to say.
        let status = checkpoint.and(view.status.as_ref());
        let statistics = checkpoint.map(|checkpoint| &checkpoint.statistics);
        let state = view.state(now);
        Partition {
            partition: view.partition,
            state: state.name(),
            cause: view.cause(now),
            failure: view.checkpoint.as_ref().err().map(|error| chain(error)),
            topic: status.map(|status| &*status.topic),
            offset: checkpoint.map(|checkpoint| checkpoint.offset),
            position: status.map(|status| status.position),
            high_watermark: status.and_then(|_| view.high_watermark(now)),
            lag: view.lag(now),
            rate: status.and_then(|_| view.rate(now)),
            counted: status.map(|status| status.counted),
            duplicates: status.map(|status| status.duplicates),
            rejected: status.map(|status| status.rejected),
            rejected_total: status.and_then(|status| status.rejected_total),
            days: statistics.map(|statistics| statistics.days()),
            newest: statistics.and_then(|statistics| statistics.newest()).map(|date| date.to_string()),
            freshness_seconds: view.freshness(now).map(|freshness| freshness.as_secs()),
            last_durable: status.and_then(|status| status.last_durable.as_deref()),
            stalled_since: status.and_then(|status| status.stalled_since.as_deref()),
            written: status.map(|status| &*status.written),
            checkpoint_seconds: status.map(|status| status.checkpoint_seconds),
            checkpoint_bytes: view.bytes,
            owner: status.map(|status| &status.owner),
        }
    }
}

pub fn partitions(snapshot: &Snapshot, now: Timestamp) -> Partitions<'_> {
    Partitions {
        version: &snapshot.version,
        failure: snapshot.failure.as_deref(),
        partitions: snapshot.partitions.values().map(|file| Partition::of(&file.view, now)).collect(),
    }
}

/// What is another than that of which `told` has the hashes.
pub fn change<'a>(snapshot: &'a Snapshot, told: &BTreeMap<i32, u64>, now: Timestamp) -> Change<'a> {
    let files = snapshot.partitions.values();
    let changed = files.filter(|file| told.get(&file.view.partition) != Some(&file.hash));
    let gone = told.keys().filter(|number| !snapshot.partitions.contains_key(number));
    Change {
        version: &snapshot.version,
        failure: snapshot.failure.as_deref(),
        partitions: changed.map(|file| Partition::of(&file.view, now)).collect(),
        gone: gone.copied().collect(),
    }
}

pub fn to_json(value: &impl Serialize) -> String {
    // Numbers, texts and lists of them always have a JSON.
    serde_json::to_string(value).unwrap_or_default()
}

/// An error with its causes, in the way that they go to stderr.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Why what is counted does not keep up with what comes; nothing where it does.
pub fn not_ready(snapshot: &Snapshot, stall_after: Duration, now: Timestamp) -> Vec<String> {
    if let Some(failure) = &snapshot.failure {
        return vec![failure.to_string()];
    }
    if snapshot.partitions.is_empty() {
        return vec!["there is no partition-N.json yet; 'almanac consumer' writes them".to_owned()];
    }
    hindrances(&snapshot.views(), stall_after, now)
}

/// The same of these partitions, one line each.
pub fn hindrances(views: &[&View], stall_after: Duration, now: Timestamp) -> Vec<String> {
    let of = |view: &&View| {
        hindrance(view, stall_after, now).map(|reason| format!("partition {}: {reason}", view.partition))
    };
    views.iter().filter_map(of).collect()
}

fn hindrance(view: &View, stall_after: Duration, now: Timestamp) -> Option<String> {
    let seconds = |time: Duration| time.as_secs();
    match view.state(now) {
        ViewState::Unreadable => view.checkpoint.as_ref().err().map(|error| chain(error)),
        ViewState::Unknown => Some("no consumer has said anything of it".to_owned()),
        ViewState::Stopped => Some("its consumer has stopped".to_owned()),
        ViewState::Silent(time) => Some(format!("its consumer has said nothing for {} s", seconds(time))),
        ViewState::Waiting => Some(view.cause(now).unwrap_or("its consumer waits").to_owned()),
        ViewState::Running | ViewState::Stalled(_) => match (view.lag(now), view.freshness(now)) {
            (Some(0), _) => None,
            (_, Some(freshness)) if freshness <= stall_after => None,
            (Some(lag), Some(freshness)) => {
                Some(format!("lag {lag}, and no new checkpoint for {} s", seconds(freshness)))
            }
            (Some(lag), None) => Some(format!("lag {lag}, and no new checkpoint yet")),
            (None, _) => Some("its consumer has not heard of the end of the log yet".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::status::{State, Status};

    const NOW: Timestamp = Timestamp::constant(1_000_000_000, 0);

    fn ago(seconds: i64) -> String {
        NOW.checked_sub(SignedDuration::from_secs(seconds)).unwrap().to_string()
    }

    /// A partition at offset 10 whose consumer is well.
    fn view() -> View {
        let status = Status {
            partition: 2,
            topic: "temperatures".to_owned(),
            state: State::Running,
            offset: 10,
            position: 10,
            high_watermark: Some(10),
            lag: Some(0),
            rate: 0.0,
            counted: 0,
            duplicates: 0,
            rejected: 0,
            rejected_total: Some(0),
            days: 0,
            newest: None,
            last_durable: None,
            last_progress: None,
            stalled_since: None,
            checkpoint_seconds: 0.0,
            checkpoint_bytes: 0,
            rebalances: 0,
            broker_errors: 0,
            waiting_for: None,
            owner: Owner::default(),
            written: ago(1),
        };
        let checkpoint = Ok(Checkpoint::empty(2, 10));
        View { partition: 2, checkpoint, status: Some(status), modified: None, bytes: None }
    }

    fn said(change: impl Fn(&mut Status)) -> View {
        let mut view = view();
        view.status.iter_mut().for_each(change);
        view
    }

    #[test]
    fn a_partition_is_ready_with_no_lag_or_with_progress() {
        let behind = |progress: Option<i64>| {
            said(move |status| {
                status.high_watermark = Some(17);
                status.last_progress = progress.map(ago);
            })
        };
        let unreadable = || Err(store::StoreError::NoDir { dir: "files".into() });
        for (view, expected) in [
            (view(), None),
            (behind(Some(30)), None),
            (behind(Some(31)), Some("lag 7, and no new checkpoint for 31 s")),
            (behind(None), Some("lag 7, and no new checkpoint yet")),
            (said(|status| status.state = State::Stalled), None),
            (said(|status| status.high_watermark = Some(3)), None),
            (
                said(|status| status.high_watermark = None),
                Some("its consumer has not heard of the end of the log yet"),
            ),
            (said(|status| status.written = ago(4)), None),
            (said(|status| status.written = ago(5)), Some("its consumer has said nothing for 5 s")),
            (said(|status| status.state = State::Stopped), Some("its consumer has stopped")),
            (View { status: None, ..view() }, Some("no consumer has said anything of it")),
            (View { checkpoint: unreadable(), ..view() }, Some("there is no directory files")),
        ] {
            assert_eq!(hindrance(&view, Duration::from_secs(30), NOW).as_deref(), expected, "{view:?}");
        }
    }

    #[test]
    fn reasons_are_given_for_each_partition() {
        let none = not_ready(&Snapshot::default(), Duration::ZERO, NOW);
        assert_eq!(none, ["there is no partition-N.json yet; 'almanac consumer' writes them"]);
        let stopped = said(|status| status.state = State::Stopped);
        let reasons = hindrances(&[&view(), &stopped, &stopped], Duration::ZERO, NOW);
        assert_eq!(reasons, ["partition 2: its consumer has stopped"; 2]);
    }

    #[test]
    fn a_partition_as_json() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&Partition::of(&view(), NOW)).unwrap());
        let unknown = View { status: None, ..view() };
        insta::assert_snapshot!(serde_json::to_string_pretty(&Partition::of(&unknown, NOW)).unwrap());
    }
}
