//! `almanac plot`: draws `month.svg` from whatever checkpoints are in DIR.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cli;
use crate::plot::{self, Cell, Kind, Look};
use crate::report::MONTHS;
use crate::store;

pub fn run(options: &cli::Plot) -> Result<()> {
    let dir = &options.dir.dir;
    let months = if options.month.is_empty() { (0..MONTHS.len()).collect() } else { options.month.clone() };
    let look = Look { months, ..Look::of(Kind::Months) };
    match draw(dir, &look)? {
        Some(path) => super::print(&format!("{}\n", path.display())),
        None => bail!("{}", nothing_to_draw(dir, &look.months)?),
    }
}

/// Draws `month.svg` anew, unless there is nothing to draw yet.
pub(super) fn draw(dir: &Path, look: &Look) -> Result<Option<PathBuf>> {
    let Some(svg) = plot::svg(&cells(dir)?, look) else { return Ok(None) };
    let path = dir.join("month.svg");
    store::replace_file(&path, svg.as_bytes())?;
    Ok(Some(path))
}

/// The cells of all checkpoints, after a warning for each month that two of them hold.
fn cells(dir: &Path) -> Result<Vec<Cell>> {
    let checkpoints = store::checkpoints_in(dir)?;
    let cells = checkpoints.iter().flat_map(|(path, checkpoint)| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        plot::cells(&checkpoint.statistics, &file)
    });
    let (cells, warnings) = plot::merge(cells);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(cells)
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
