//! `almanac status`: how far each partition is, as its files say.

use std::fmt::Write;
use std::time::SystemTime;

use anyhow::{Result, bail};

use crate::cli;
use crate::status::Status;
use crate::store::{self, Paths};

const HEADINGS: [&str; 8] =
    ["PARTITION", "OFFSET", "LAG", "RATE/S", "NEWEST", "AGE", "LAST DURABLE", "OWNER"];
const UNKNOWN: &str = "-";

pub fn run(options: &cli::Status) -> Result<()> {
    let dir = &options.dir.dir;
    let checkpoints = store::checkpoints_in(dir)?;
    if checkpoints.is_empty() {
        bail!("{} has no partition-N.json\nhint: 'almanac consumer' writes them", dir.display());
    }
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for (path, checkpoint) in &checkpoints {
        let status = store::load_status(&Paths::new(dir, checkpoint.partition))?;
        let age = path
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|modified| SystemTime::now().duration_since(modified).ok())
            .map_or(UNKNOWN.to_owned(), |age| format!("{}s", age.as_secs()));
        let newest = checkpoint.statistics.newest().map_or(UNKNOWN.to_owned(), |date| date.to_string());
        let of_status = |field: fn(&Status) -> Option<String>| {
            status.as_ref().and_then(field).unwrap_or_else(|| UNKNOWN.to_owned())
        };
        rows.push([
            checkpoint.partition.to_string(),
            checkpoint.offset.to_string(),
            of_status(|status| status.lag.map(|lag| lag.to_string())),
            of_status(|status| Some(format!("{:.0}", status.rate))),
            newest,
            age,
            of_status(|status| status.last_durable.clone()),
            of_status(|status| Some(status.owner.to_string())),
        ]);
    }
    super::print(&table(&rows))
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
