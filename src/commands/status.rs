//! `almanac status`: how far each partition is, as its files say.

use std::fmt::Write;

use anyhow::{Result, bail};
use jiff::Timestamp;

use crate::cli;
use crate::status::{Status, View, ViewState};

const HEADINGS: [&str; 9] =
    ["PARTITION", "STATE", "OFFSET", "LAG", "RATE/S", "NEWEST", "AGE", "LAST DURABLE", "OWNER"];
const UNKNOWN: &str = "-";

pub fn run(options: &cli::Status) -> Result<()> {
    let dir = &options.dir.dir;
    let views = View::read_all(dir)?;
    if views.is_empty() {
        bail!("{} has no partition-N.json\nhint: 'almanac consumer' writes them", dir.display());
    }
    let now = Timestamp::now();
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(views.iter().map(|view| row(view, now)));
    super::print(&table(&rows))?;
    let failure = views.into_iter().find_map(|view| view.checkpoint.err());
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn row(view: &View, now: Timestamp) -> [String; HEADINGS.len()] {
    let state = match view.state(now) {
        ViewState::Unknown => None,
        state => Some(state.to_string()),
    };
    let checkpoint = view.checkpoint.as_ref().ok();
    // Of what can't be read there is nothing to say.
    let status = checkpoint.and(view.status.as_ref());
    let of_status = |field: fn(&Status) -> Option<String>| status.and_then(field);
    [
        Some(view.partition.to_string()),
        state,
        checkpoint.map(|checkpoint| checkpoint.offset.to_string()),
        view.lag().map(|lag| lag.to_string()),
        of_status(|status| Some(format!("{:.0}", status.rate))),
        checkpoint.and_then(|checkpoint| checkpoint.statistics.newest()).map(|date| date.to_string()),
        checkpoint.and(view.age(now)).map(|age| format!("{}s", age.as_secs())),
        of_status(|status| status.last_durable.clone()),
        of_status(|status| Some(status.owner.to_string())),
    ]
    .map(|cell| cell.unwrap_or_else(|| UNKNOWN.to_owned()))
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
