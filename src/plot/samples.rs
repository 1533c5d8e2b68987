//! Cells for the tests of the pictures.

use jiff::civil::Date;

use super::Cell;

/// A whole month, counted on every day, that swings 10 degrees around its average.
pub fn cell(year: i16, month: i8, average: f64) -> Cell {
    let start = Date::new(year, month, 1).unwrap();
    Cell {
        month: usize::from(month.unsigned_abs()) - 1,
        year: year.unsigned_abs(),
        count: u32::from(start.days_in_month().unsigned_abs()),
        average,
        min: average - 10.0,
        max: average + 10.0,
        start,
        end: start.last_of_month(),
        missing: 0,
        file: "partition-0.json".into(),
    }
}

/// The cell with so many of its days missing in the middle.
pub fn with_gap(cell: Cell, missing: u32) -> Cell {
    Cell { count: cell.count - missing, missing, ..cell }
}

/// A year in Madison, Wisconsin.
pub const TYPICAL: [f64; 12] = [-3.2, -0.4, 6.1, 13.9, 20.5, 26.0, 28.1, 26.9, 22.6, 15.2, 7.0, -0.8];

/// Years that grow slowly warmer, with one that has no day, one with half its months, and a month with gaps.
pub fn years() -> Vec<Cell> {
    let wobble = [0.0, 1.1, -0.7, 0.4, -1.6, 0.9, 2.0, -0.3, 0.6, 1.4];
    let mut cells = Vec::new();
    for (year, wobble) in (1990..).zip(wobble) {
        let months = match year {
            1994 => 0,
            1999 => 6,
            _ => 12,
        };
        for (month, typical) in (1..=12).zip(TYPICAL).take(months) {
            let average = typical + wobble * (1.0 + 0.1 * f64::from(month)) + 0.1 * f64::from(year - 1990);
            let cell = cell(year, month, average);
            cells.push(if (year, month) == (1992, 7) { with_gap(cell, 3) } else { cell });
        }
    }
    cells
}
