//! `almanac plot`: draws `month.svg` from whatever checkpoints are in DIR.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cli;
use crate::plot::{Cell, MonthBar, latest, months_svg};
use crate::report::MONTHS;
use crate::store;

pub fn run(options: &cli::Plot) -> Result<()> {
    let dir = &options.dir.dir;
    let months = if options.month.is_empty() { (0..MONTHS.len()).collect() } else { options.month.clone() };
    let bars = bars(dir, &months)?;
    if bars.is_empty() {
        bail!("{}", nothing_to_draw(dir, &months)?);
    }
    let svg = draw(dir, &bars)?;
    super::print(&format!("{}\n", svg.display()))
}

/// The bars of these months, after a warning for each one that two files hold.
pub(super) fn bars(dir: &Path, months: &[usize]) -> Result<Vec<MonthBar>> {
    let checkpoints = store::checkpoints_in(dir)?;
    let cells = checkpoints.iter().flat_map(|(path, checkpoint)| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        checkpoint.statistics.cells().filter_map(move |(month, year, cell)| {
            let end = cell.last_date(month, year)?;
            Some(Cell { month, year, average: cell.avg(), end, file: file.clone() })
        })
    });
    let (bars, warnings) = latest(cells.filter(|cell| months.contains(&cell.month)));
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(bars)
}

pub(super) fn draw(dir: &Path, bars: &[MonthBar]) -> Result<PathBuf> {
    let path = dir.join("month.svg");
    store::replace_file(&path, months_svg(bars).as_bytes())?;
    Ok(path)
}

fn nothing_to_draw(dir: &Path, months: &[usize]) -> Result<String> {
    let files = store::checkpoints_in(dir)?.len();
    let place = dir.display();
    Ok(match files {
        0 => format!(
            "{place} has no partition-N.json\nhint: 'almanac consumer' writes them; --dir names their directory"
        ),
        _ if months.len() < MONTHS.len() => {
            let names: Vec<&str> = months.iter().filter_map(|month| MONTHS.get(*month).copied()).collect();
            format!("no day of {} has been counted in {place} yet", names.join(", "))
        }
        _ => format!("no day has been counted in {place} yet"),
    })
}
