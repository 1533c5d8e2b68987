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
mod cells;
mod heatmap;
mod history;
mod legend;
mod mark;
mod months;
mod numbers;
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
#[cfg(feature = "png")]
pub use png::{PngError, png};

use std::collections::BTreeSet;

use crate::choice::Choice;
use crate::report::MONTHS;

/// The kind of picture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Months,
    Heatmap,
    Stripes,
    History,
}

impl Choice for Kind {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Months, "months", "A bar for each month, in its latest recorded year"),
        (Self::Heatmap, "heatmap", "Every month of every year, as a colour"),
        (
            Self::Stripes,
            "stripes",
            "A stripe for each year, coloured by its difference from the mean over the record",
        ),
        (Self::History, "history", "One month over the years, with its lowest and highest day"),
    ];
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    Celsius,
    Fahrenheit,
}

impl Choice for Unit {
    const ALL: &'static [(Self, &'static str, &'static str)] =
        &[(Self::Celsius, "c", "Degrees Celsius"), (Self::Fahrenheit, "f", "Degrees Fahrenheit")];
}

impl Unit {
    pub fn degrees(self, celsius: f64) -> f64 {
        match self {
            Unit::Celsius => celsius,
            Unit::Fahrenheit => celsius * 1.8 + 32.0,
        }
    }

    pub fn symbol(self) -> &'static str {
        match self {
            Unit::Celsius => "°C",
            Unit::Fahrenheit => "°F",
        }
    }
}

/// The content and the style of a picture.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Look {
    pub kind: Kind,
    /// Only these months; a history shows the first of them. 0 is January.
    pub months: Vec<usize>,
    pub unit: Unit,
    /// In CSS pixels, kept between [`WIDTH_MIN`] and [`WIDTH_MAX`]; without it the picture has the width that
    /// suits it.
    pub width: Option<u32>,
}

pub const WIDTH_MIN: u32 = 280;
pub const WIDTH_MAX: u32 = 4000;

impl Look {
    /// All months, in degrees Celsius.
    pub fn of(kind: Kind) -> Look {
        Look { kind, months: (0..MONTHS.len()).collect(), unit: Unit::Celsius, width: None }
    }

    /// The months to draw, in the order of the calendar.
    fn months(&self) -> Vec<usize> {
        (0..MONTHS.len()).filter(|month| self.is_of(*month)).collect()
    }

    fn is_of(&self, month: usize) -> bool {
        match self.kind {
            Kind::History => self.months.first() == Some(&month),
            _ => self.months.contains(&month),
        }
    }

    fn width(&self) -> Option<f64> {
        self.width.map(|width| f64::from(width.clamp(WIDTH_MIN, WIDTH_MAX)))
    }
}

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
mod tests;
