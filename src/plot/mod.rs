//! Pictures of what was counted: values in, SVG text out. No IO.
//!
//! The SVG is written here and not by plotters 0.3.7, tried for the same picture: its text carries stray
//! whitespace into what is selected and turns only by right angles, its coordinates are whole pixels, and it
//! has no `role`, `title` or `desc`.

mod axis;
mod latest;
mod months;
mod numbers;
mod svg;

pub use latest::{Cell, Warning, latest};
pub use months::months_svg;

use crate::report::MONTHS;

/// One bar: the average of a month in its latest recorded year.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MonthBar {
    /// 0 is January: an index into [`MONTHS`].
    pub month: usize,
    pub year: u16,
    /// Degrees Celsius.
    pub average: f64,
}

impl MonthBar {
    /// The month and its year, as in `January-1991`.
    pub fn label(&self) -> String {
        month_label(self.month, self.year)
    }
}

/// The name of a month of a year, as in `January-1991`; `?` stands for a month that no calendar has.
fn month_label(month: usize, year: u16) -> String {
    let name = MONTHS.get(month).unwrap_or(&"?");
    format!("{name}-{year:04}")
}
