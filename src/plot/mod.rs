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

// STUB
pub use stub::*;
mod stub {
    use jiff::civil::Date;
    #[derive(Clone, Debug)]
    pub struct PCell {
        pub month: usize,
        pub year: u16,
        pub count: u32,
        pub average: f64,
        pub min: f64,
        pub max: f64,
        pub start: Date,
        pub end: Date,
        pub missing: u32,
        pub file: String,
    }
    pub fn merge(cells: impl IntoIterator<Item = PCell>) -> (Vec<PCell>, Vec<String>) {
        let mut c: Vec<PCell> = cells.into_iter().collect();
        c.sort_by_key(|c| (c.year, c.month));
        (c, vec![])
    }
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Kind {
        Months,
        Heatmap,
        Stripes,
        History,
    }
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Unit {
        Celsius,
        Fahrenheit,
    }
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct Look {
        pub kind: Kind,
        pub months: Vec<usize>,
        pub unit: Unit,
        pub width: Option<u32>,
    }
    impl Look {
        pub fn of(kind: Kind) -> Look {
            Look { kind, months: (0..12).collect(), unit: Unit::Celsius, width: None }
        }
    }
    pub fn svg(cells: &[PCell], look: &Look) -> Option<String> {
        let mut bars: Vec<super::MonthBar> = Vec::new();
        for c in cells {
            bars.retain(|b| b.month != c.month);
            if look.months.contains(&c.month) {
                bars.push(super::MonthBar { month: c.month, year: c.year, average: c.average });
            }
        }
        bars.sort_by_key(|b| b.month);
        (!bars.is_empty()).then(|| super::months_svg(&bars))
    }
}
