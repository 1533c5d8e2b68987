//! The shapes of `/api`. Values in, JSON out.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_core::climate::{Climate, Coverage, Rank, days_in_month};
use jiff::Timestamp;
use serde::Serialize;

use super::watch::Snapshot;
use crate::checkpoint::Checkpoint;
use crate::report::MONTHS;
use crate::stats::MonthCell;
use crate::store;
use crate::view::{PartitionView, Whole, hindrances};

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
    min_date: Option<String>,
    max_date: Option<String>,
    missing: Vec<String>,
    /// How many days the month has, and whether enough of them are counted.
    expected_days: u32,
    coverage: Coverage,
    /// In °C; none with too few years, or of a month that is not complete.
    normal: Option<f64>,
    anomaly: Option<f64>,
    rank: Option<Rank>,
}

pub fn months(snapshot: &Snapshot) -> Months<'_> {
    let checkpoints = snapshot.partitions.values().filter_map(|file| file.checkpoint.as_ref());
    let by_file: BTreeMap<String, &Checkpoint> =
        checkpoints.map(|checkpoint| (store::checkpoint_name(checkpoint.partition), checkpoint)).collect();
    let climate = Climate::of(&snapshot.cells);
    let months = snapshot.cells.iter().filter_map(|cell| {
        let checkpoint = by_file.get(&cell.file)?;
        let month = Month::of(
            checkpoint.partition,
            cell.month,
            cell.year,
            checkpoint.statistics.cell(cell.month, cell.year)?,
        )?;
        Some(Month {
            expected_days: days_in_month(cell),
            coverage: climate.coverage(cell),
            normal: climate.normal(cell.month).map(|normal| normal.average),
            anomaly: climate.anomaly(cell),
            rank: climate.rank(cell),
            ..month
        })
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
            min_date: cell.min_day().map(date),
            max_date: cell.max_day().map(date),
            missing: cell.missing_days().map(date).collect(),
            expected_days: 0,
            coverage: Coverage::InProgress,
            normal: None,
            anomaly: None,
            rank: None,
        })
    }
}

/// The directory that is shown.
#[derive(Clone, Serialize)]
pub struct Watched {
    /// Its whole path.
    pub dir: String,
    /// Whether commands find it without `--dir`.
    pub is_default: bool,
}

/// `/api/partitions`.
#[derive(Serialize)]
pub struct Partitions<'a> {
    version: &'a str,
    #[serde(flatten)]
    watched: &'a Watched,
    /// Why DIR can't be read, and what to do.
    failure: Option<&'a str>,
    hint: Option<&'a str>,
    #[serde(flatten)]
    whole: &'a Whole,
    partitions: Vec<PartitionView<'a>>,
}

/// The data of an event of `/api/events`: what has changed since the one before.
#[derive(Serialize)]
pub struct Change<'a> {
    version: &'a str,
    failure: Option<&'a str>,
    hint: Option<&'a str>,
    #[serde(flatten)]
    whole: &'a Whole,
    partitions: Vec<PartitionView<'a>>,
    /// Those that have no checkpoint any more.
    gone: Vec<i32>,
}

pub fn partitions<'a>(snapshot: &'a Snapshot, watched: &'a Watched, now: Timestamp) -> Partitions<'a> {
    Partitions {
        version: &snapshot.version,
        watched,
        failure: snapshot.failure.as_ref().map(|failed| &*failed.fact),
        hint: snapshot.failure.as_ref().and_then(|failed| failed.hint.as_deref()),
        whole: &snapshot.whole,
        partitions: snapshot.views(now),
    }
}

impl Partitions<'_> {
    /// The same at another time, if nothing happens meanwhile: a client that has one of them needs no other.
    pub fn without_ages(mut self) -> Self {
        self.partitions.iter_mut().for_each(|view| view.age_seconds = None);
        self
    }
}

/// The partitions whose checkpoints differ from those with the hashes in `told`.
pub fn change<'a>(snapshot: &'a Snapshot, told: &BTreeMap<i32, u64>, now: Timestamp) -> Change<'a> {
    let files = snapshot.partitions.values();
    let changed = files.filter(|file| told.get(&file.facts.partition) != Some(&file.hash));
    let gone = told.keys().filter(|number| !snapshot.partitions.contains_key(number));
    Change {
        version: &snapshot.version,
        failure: snapshot.failure.as_ref().map(|failed| &*failed.fact),
        hint: snapshot.failure.as_ref().and_then(|failed| failed.hint.as_deref()),
        whole: &snapshot.whole,
        partitions: changed.map(|file| file.facts.view(now)).collect(),
        gone: gone.copied().collect(),
    }
}

/// Why what is counted does not keep up with what comes; nothing where it does.
pub fn not_ready(snapshot: &Snapshot, stall_after: Duration, now: Timestamp) -> Vec<String> {
    if let Some(failure) = &snapshot.failure {
        return vec![failure.fact.clone()];
    }
    if snapshot.partitions.is_empty() {
        return vec!["there is no partition-N.json yet".to_owned()];
    }
    hindrances(&snapshot.views(now), stall_after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::NOW;

    #[test]
    fn a_dir_without_checkpoints_is_not_ready() {
        let none = not_ready(&Snapshot::default(), Duration::ZERO, NOW);
        assert_eq!(none, ["there is no partition-N.json yet"]);
    }
}
