//! `almanac plot`: draws whatever checkpoints are in DIR.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use almanac_core::place::Place;
use anyhow::{Context, Result};

use super::{Exit, Refusal};
use crate::choice::Choice;
use crate::cli::{self, PlotFormat};
use crate::climate::YEARS_MIN;
use crate::output;
use crate::plot::{self, Caption, Cell, Kind, Look};
use crate::report::MONTHS;
use crate::store::{self, Reader};
use crate::text::escaped_json;

/// The least width of a terminal.
const COLUMNS: u32 = 80;
/// More say nothing new: then the same months are in two files for years.
const WARNINGS_MAX: usize = 10;
/// As fine as most screens are, and print needs.
const PNG_SCALE: f32 = 2.0;

pub fn run(options: &cli::Plot) -> Result<()> {
    let dir = &options.dir.dir;
    let look = look(options)?;
    let reader = &*store::reader(dir)?;
    let place = store::place_of(reader);
    let look = Look { caption: Caption::of(place.as_ref()), ..look };
    super::warn_of_several_topics(reader, dir);
    let cells = cells(reader, &look)?;
    let target = Target::of(options, &look);
    let listed = plot::drawn(&cells, &look);
    let place = place.as_ref().and_then(Place::label);
    let table = plot::Table { cells: &cells, listed: &listed, place, unit: look.unit };
    let drawn = match options.format {
        PlotFormat::Csv | PlotFormat::Jsonl if listed.is_empty() => None,
        PlotFormat::Csv => Some(table.csv().into_bytes()),
        PlotFormat::Jsonl => Some(escaped_json(&table.json_lines()).into_owned().into_bytes()),
        PlotFormat::Svg => plot::svg(&cells, &look).map(String::into_bytes),
        PlotFormat::Png => plot::svg(&cells, &look).map(|svg| plot::png(&svg, PNG_SCALE)).transpose()?,
        PlotFormat::Text => {
            let columns = options.width.unwrap_or(COLUMNS) as usize;
            plot::text(&cells, &look, columns, target.takes_colour()).map(String::into_bytes)
        }
    };
    match drawn {
        Some(bytes) => target.write(&bytes),
        None if !cells.is_empty() && look.kind == Kind::Anomalies => Err(no_normal(dir).into()),
        None => Err(nothing_to_draw(reader, dir, &look.months)?.into()),
    }
}

/// Draws `month.svg` again, unless there is nothing to draw yet.
pub(super) fn draw_months(dir: &Path) -> Result<()> {
    let reader = &*store::reader(dir)?;
    let caption = Caption::of(store::place_of(reader).as_ref());
    let look = Look { caption, ..Look::of(Kind::Months) };
    if let Some(svg) = plot::svg(&cells(reader, &look)?, &look) {
        output::write(&dir.join(file_name(&look, "svg")), svg.as_bytes())?;
    }
    Ok(())
}

fn look(options: &cli::Plot) -> Result<Look> {
    // A table is of all years.
    let is_table = matches!(options.format, PlotFormat::Csv | PlotFormat::Jsonl);
    let kind = if is_table { Kind::Heatmap } else { options.kind };
    let months = match (&options.month[..], kind) {
        ([], Kind::History) => {
            return Err(usage("a history is of one month", "name one, as in --kind history --month July"));
        }
        ([_, _, ..], Kind::History) => {
            return Err(usage(
                "a history is of one month, not of several",
                "run `almanac plot` once for each month",
            ));
        }
        ([], _) => (0..MONTHS.len()).collect(),
        (months, _) => months.to_vec(),
    };
    if options.format != PlotFormat::Text && options.width.is_some_and(|width| width < plot::WIDTH_MIN) {
        let what = format!("a page is {} pixels wide at the least", plot::WIDTH_MIN);
        return Err(usage(&what, "name a --width of 280 or more, or add --format text"));
    }
    Ok(Look { months, unit: options.unit, width: options.width, ..Look::of(kind) })
}

fn usage(what: &str, hint: &str) -> anyhow::Error {
    Refusal::usage(what).hint(hint).into()
}

/// The place of the picture.
enum Target {
    Stdout,
    Stderr,
    File(PathBuf),
}

impl Target {
    fn of(options: &cli::Plot, look: &Look) -> Target {
        match (&options.output, options.format) {
            (Some(path), _) if path.as_os_str() == "-" => Target::Stdout,
            // Opened again by name, it would be written from its beginning, and then over by what follows.
            (Some(path), _) if output::is_same(path, &io::stdout()) => Target::Stdout,
            (Some(path), _) if output::is_same(path, &io::stderr()) => Target::Stderr,
            (Some(path), _) => Target::File(path.clone()),
            (None, PlotFormat::Text | PlotFormat::Csv | PlotFormat::Jsonl) => Target::Stdout,
            (None, PlotFormat::Svg) => Target::File(options.dir.dir.join(file_name(look, "svg"))),
            (None, PlotFormat::Png) => Target::File(options.dir.dir.join(file_name(look, "png"))),
        }
    }

    fn takes_colour(&self) -> bool {
        // As no-color.org has it, an empty value does not count.
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        matches!(self, Target::Stdout) && io::stdout().is_terminal() && !is_refused
    }

    /// Writes the picture, or writes the file and prints its path.
    fn write(&self, bytes: &[u8]) -> Result<()> {
        match self {
            Target::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush()).context("can't write to stdout")
            }
            Target::Stderr => {
                let mut out = io::stderr().lock();
                out.write_all(bytes).and_then(|()| out.flush()).context("can't write to stderr")
            }
            Target::File(path) => {
                output::write(path, bytes)?;
                super::print(&format!("{}\n", path.display()))
            }
        }
    }
}

/// As in `month.svg` or `history-July.png`.
fn file_name(look: &Look, extension: &str) -> String {
    let name = match look.kind {
        Kind::Months => "month",
        Kind::Year | Kind::Anomalies | Kind::Heatmap | Kind::Stripes | Kind::Records => look.kind.name(),
        Kind::History => {
            let month = look.months.first().and_then(|month| MONTHS.get(*month)).unwrap_or(&"");
            return format!("history-{month}.{extension}");
        }
    };
    format!("{name}.{extension}")
}

/// The cells of all checkpoints, after a warning for each month to draw that two of them hold.
fn cells(reader: &dyn Reader, look: &Look) -> Result<Vec<Cell>> {
    let checkpoints = store::checkpoints(reader)?;
    let cells = checkpoints.iter().flat_map(|checkpoint| {
        plot::cells(&checkpoint.statistics, &store::checkpoint_name(checkpoint.partition))
    });
    let (cells, warnings) = plot::merge(cells);
    let drawn = plot::drawn(&cells, look);
    let mut warnings = warnings.iter().filter(|warning| drawn.contains(&(warning.year, warning.month)));
    for warning in warnings.by_ref().take(WARNINGS_MAX) {
        tracing::warn!("{warning}");
    }
    match warnings.count() {
        0 => {}
        more => tracing::warn!("{more} more months are in two files"),
    }
    Ok(cells)
}

fn no_normal(dir: &Path) -> Refusal {
    let fact = format!("no month in {} has a normal: it takes {YEARS_MIN} complete years", dir.display());
    Refusal::new(Exit::Failed, fact).hint("draw another picture, such as --kind heatmap")
}

fn nothing_to_draw(reader: &dyn Reader, dir: &Path, months: &[usize]) -> Result<Refusal> {
    let files = store::checkpoints(reader)?.len();
    let place = dir.display();
    let failed = |fact| Refusal::new(Exit::Failed, fact);
    Ok(match files {
        0 => super::no_checkpoints(dir),
        _ if months.len() < MONTHS.len() => {
            let names: Vec<&str> = months.iter().filter_map(|month| MONTHS.get(*month).copied()).collect();
            failed(format!("no day of {} has been counted in {place} yet", names.join(", ")))
        }
        _ => failed(format!("no day has been counted in {place} yet")),
    })
}
