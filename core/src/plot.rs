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
//! | `ink`, `faint` | text | `fill` |
//! | `halo` | the ground's colour around text | `stroke` |
//! | `rule`, `grid` | lines | `stroke` |
//! | `warm`, `cold` | bars | `fill` |
//! | `heat`, `stripe` | cells of a colour scale, the same on any ground | `fill` |
//! | `empty`, `hatching` | days without data | `fill`, `stroke` |
//! | `partial` | a year with too few months | `fill` |
//! | `band`, `point` | the history's range and averages | `fill` |
//! | `line` | between averages | `stroke` |
//! | `missing` | the dot on a month with days missing | `fill`, `stroke` |
//! | `hit` | what a pointer finds a year of the history by, which is not painted | |
//!
//! A mark has `data-tip`, what it shows in words, `data-year`, and `data-month` (1 is January) where it is of
//! one month.

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
mod scale;
mod span;
mod stripes;
mod svg;
mod text;
mod yearly;

pub use cells::{Cell, Warning, cells, merge};
pub use look::{Kind, Look, Unit, WIDTH_MAX, WIDTH_MIN};
#[cfg(feature = "png")]
pub use png::{PngError, png};

use std::collections::BTreeSet;

/// The picture as SVG, the same text for the same cells; `None` where no cell is to be drawn.
///
/// `cells` hold a month of a year once, as [`merge`] gives them.
pub fn svg(cells: &[Cell], look: &Look) -> Option<String> {
    let cells = cells::chosen(cells, look);
    if cells.is_empty() {
        return None;
    }
    let picture = match look.kind {
        Kind::Months => months::picture(&cells::latest(&cells), look),
        Kind::Heatmap => heatmap::picture(&cells, look),
        Kind::Stripes => stripes::picture(&cells, look),
        Kind::History => history::picture(&cells, look),
    };
    Some(picture.to_string())
}

/// The months, as (year, month), that are to be seen in the picture.
pub fn drawn(cells: &[Cell], look: &Look) -> BTreeSet<(u16, usize)> {
    let cells = cells::chosen(cells, look);
    let is_seen: Vec<&Cell> = match look.kind {
        Kind::Months => cells::latest(&cells),
        Kind::Heatmap | Kind::Stripes | Kind::History => cells.iter().collect(),
    };
    is_seen.into_iter().map(|cell| (cell.year, cell.month)).collect()
}

/// The picture as text, in lines of at most `columns` characters, but never below 40. `colour` adds the colours of a
/// terminal. `None` if there is no cell to draw.
pub fn text(cells: &[Cell], look: &Look, columns: usize, colour: bool) -> Option<String> {
    let cells = cells::chosen(cells, look);
    (!cells.is_empty()).then(|| text::picture(&cells, look, columns, colour))
}

#[cfg(test)]
pub(crate) mod tests;
