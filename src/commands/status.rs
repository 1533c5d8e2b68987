//! `almanac status`: how far each partition is, as its files say.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use jiff::Timestamp;

use crate::cli;
use crate::status::{State, Status};
use crate::store::{self, Paths, StoreError};

const HEADINGS: [&str; 9] =
    ["PARTITION", "STATE", "OFFSET", "LAG", "RATE/S", "NEWEST", "AGE", "LAST DURABLE", "OWNER"];
const UNKNOWN: &str = "-";

/// A consumer writes its status every second. One that has not done so for this long is killed, paused, or waits.
const SILENT_AFTER: Duration = Duration::from_secs(5);

pub fn run(options: &cli::Status) -> Result<()> {
    let dir = &options.dir.dir;
    let partitions = store::partitions_in(dir)?;
    if partitions.is_empty() {
        bail!("{} has no partition-N.json\nhint: 'almanac consumer' writes them", dir.display());
    }
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    let mut failure = None;
    for partition in partitions {
        match row(&Paths::new(dir, partition)) {
            Ok(row) => rows.extend(row),
            Err(error) => {
                let mut row = HEADINGS.map(|_| UNKNOWN.to_owned());
                (row[0], row[1]) = (partition.to_string(), "unreadable".to_owned());
                rows.push(row);
                failure.get_or_insert(error);
            }
        }
    }
    super::print(&table(&rows))?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// The row of one partition; nothing where its checkpoint has just gone.
fn row(paths: &Paths) -> Result<Option<[String; HEADINGS.len()]>, StoreError> {
    let Some(checkpoint) = store::load_checkpoint(paths)? else { return Ok(None) };
    let status = store::load_status(paths)?;
    let modified = paths.checkpoint().metadata().and_then(|metadata| metadata.modified()).ok();
    let age = modified
        .and_then(|modified| SystemTime::now().duration_since(modified).ok())
        .map_or(UNKNOWN.to_owned(), |age| format!("{}s", age.as_secs()));
    let newest = checkpoint.statistics.newest().map_or(UNKNOWN.to_owned(), |date| date.to_string());
    let of_status = |field: fn(&Status) -> Option<String>| {
        status.as_ref().and_then(field).unwrap_or_else(|| UNKNOWN.to_owned())
    };
    Ok(Some([
        checkpoint.partition.to_string(),
        of_status(|status| Some(state(status))),
        checkpoint.offset.to_string(),
        of_status(|status| status.lag.map(|lag| lag.to_string())),
        of_status(|status| Some(format!("{:.0}", status.rate))),
        newest,
        age,
        of_status(|status| status.last_durable.clone()),
        of_status(|status| Some(status.owner.to_string())),
    ]))
}

/// What the consumer said last of itself, or for how long it has said nothing.
fn state(status: &Status) -> String {
    let since = |time: &str| {
        let time: Timestamp = time.parse().ok()?;
        Duration::try_from(Timestamp::now().duration_since(time)).ok()
    };
    match (status.state, since(&status.written)) {
        (State::Stopped, _) => "stopped".to_owned(),
        (_, Some(silence)) if silence >= SILENT_AFTER => format!("silent {}s", silence.as_secs()),
        (State::Running, _) => "running".to_owned(),
        (State::Stalled, _) => match status.stalled_since.as_deref().and_then(since) {
            Some(time) => format!("stalled {}s", time.as_secs()),
            None => "stalled".to_owned(),
        },
    }
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
