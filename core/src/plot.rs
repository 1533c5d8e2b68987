//! Pictures of what was counted: values in, SVG, PNG or text out. No IO.
//!
//! The SVG is written here, not by plotters 0.3.7, which was tried for the same picture. Its text has stray whitespace
//! and turns only by right angles. Its coordinates are whole pixels. It has no `role`, `title` or `desc`.
//!
//! A page that shows a picture may restyle it by CSS classes. The table has the attribute that each overrides.
//! There is no `style` in the SVG, which a strict content security policy would refuse.
//!
//! | class | on | attribute |
//! |---|---|---|
//! | `paper` | the ground | `fill` |
//! | `ink`, `faint`, `source` | text; the source is the last line | `fill` |
//! | `halo` | the ground's colour around text | `stroke` |
//! | `rule`, `grid` | lines | `stroke` |
//! | `warm`, `cold` | bars | `fill` |
//! | `heat`, `stripe` | cells of a colour scale, the same on any ground | `fill` |
//! | `empty`, `hatching` | days without data | `fill`, `stroke` |
//! | `partial` | a year or a month that is not whole, in a colour scale | `fill` |
//! | `warm-part`, `cold-part` | bars of months that are not whole | `fill`, `stroke` |
//! | `range`, `extent` | a year's and the record's daily maxima | `fill`, `stroke` |
//! | `smooth`, `trend` | lines through the history | `stroke` |
//! | `band`, `point` | the history's range and averages | `fill` |
//! | `line` | between averages | `stroke` |
//! | `missing` | the dot on a month with days missing | `fill`, `stroke` |
//! | `hit` | what a pointer finds a year of the history by, which is not painted | |
//!
//! A mark has `data-tip`, what it shows in words, `data-year`, and `data-month` (1 is January) where it is of
//! one month. A page can do without the tips first: [`svg_without_tips`], [`tips`].

mod axis;
pub(crate) mod cells;
mod heatmap;
mod history;
mod legend;
pub(crate) mod look;
mod mark;
mod months;
pub(crate) mod numbers;
mod page;
#[cfg(feature = "png")]
mod png;
mod records;
mod scale;
mod span;
mod stripes;
mod svg;
mod table;
mod text;
mod year;
mod yearly;

pub use cells::{Cell, Warning, cells, merge};
pub use look::{Caption, Kind, Look, Unit, WIDTH_MAX, WIDTH_MIN};
#[cfg(feature = "png")]
pub use png::{PngError, png};
pub use table::Table;

use std::collections::{BTreeMap, BTreeSet};

use crate::climate::Climate;
use mark::Marks;
use svg::Element;

/// The picture as SVG, the same text for the same cells; `None` where no cell is to be drawn.
///
/// `cells` hold a month of a year once, as [`merge`] gives them.
pub fn svg(cells: &[Cell], look: &Look) -> Option<String> {
    picture(cells, look).map(|picture| picture.to_string())
}

/// The same without tips, which are most of the text of a large picture.
pub fn svg_without_tips(cells: &[Cell], look: &Look) -> Option<String> {
    let mut picture = picture(cells, look)?;
    picture.visit(&mut |element| drop(element.take(mark::TIP)));
    Some(picture.to_string())
}

/// The tips of the marks of months, by `data-year` and `data-month`, as in `1991-1`.
pub fn tips(cells: &[Cell], look: &Look) -> Option<BTreeMap<String, String>> {
    let mut tips = BTreeMap::new();
    picture(cells, look)?.visit(&mut |element| {
        if let (Some(year), Some(month)) = (element.get("data-year"), element.get("data-month")) {
            let key = format!("{year}-{month}");
            tips.extend(element.take(mark::TIP).map(|tip| (key, tip)));
        }
    });
    Some(tips)
}

fn picture(cells: &[Cell], look: &Look) -> Option<Element> {
    let climate = Climate::of(cells);
    let marks = Marks { climate: &climate, unit: look.unit };
    let cells = cells::chosen(cells, look);
    if cells.is_empty() {
        return None;
    }
    Some(match look.kind {
        Kind::Months => months::picture(&cells::latest(&cells), look, marks),
        Kind::Year => year::picture(&cells, look, marks),
        Kind::Anomalies => heatmap::anomalies(&cells, look, marks)?,
        Kind::Heatmap => heatmap::picture(&cells, look, marks),
        Kind::Stripes => stripes::picture(&cells, look, marks),
        Kind::History => history::picture(&cells, look, marks),
        Kind::Records => records::picture(&cells, look, marks)?,
    })
}

/// The numbers of the picture as CSV: a line for each month that is drawn, in the picture's unit. `None` if there is none.
pub fn csv(cells: &[Cell], look: &Look, place: Option<&str>) -> Option<String> {
    let drawn = drawn(cells, look);
    let table = Table { cells, listed: &drawn, place, unit: look.unit };
    (!drawn.is_empty()).then(|| table.csv())
}

/// The stripes alone, without text and axis, to be stretched; `None` with fewer than ten whole years.
pub fn banner(cells: &[Cell]) -> Option<String> {
    let look = Look::of(Kind::Stripes);
    let climate = Climate::of(cells);
    stripes::banner(&cells::chosen(cells, &look), &look, &climate).map(|svg| svg.to_string())
}

/// The months, as (year, month), that are to be seen in the picture.
pub fn drawn(cells: &[Cell], look: &Look) -> BTreeSet<(u16, usize)> {
    let cells = cells::chosen(cells, look);
    let is_seen: Vec<&Cell> = match look.kind {
        Kind::Months | Kind::Year => cells::latest(&cells),
        Kind::Anomalies | Kind::Heatmap | Kind::Stripes | Kind::History | Kind::Records => {
            cells.iter().collect()
        }
    };
    is_seen.into_iter().map(|cell| (cell.year, cell.month)).collect()
}

/// The picture as text, in lines of at most `columns` characters, but never below 40. `colour` adds the colours of a
/// terminal. `None` if there is no cell to draw.
pub fn text(cells: &[Cell], look: &Look, columns: usize, colour: bool) -> Option<String> {
    let climate = Climate::of(cells);
    let cells = cells::chosen(cells, look);
    (!cells.is_empty()).then(|| text::picture(&cells, look, &climate, columns, colour))
}

#[cfg(test)]
pub(crate) mod tests;
