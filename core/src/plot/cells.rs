//! The cells to draw: one of each month and year, whichever files they come from.

use std::cmp::Reverse;
use std::fmt;

use jiff::civil::Date;

use super::look::{Look, Unit};
use crate::report::{MONTHS, is_valid_degrees};
use crate::stats::{MonthCell, Statistics, date};

/// One month of one year, as a picture needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// 0 is January: an index into [`MONTHS`].
    pub month: usize,
    pub year: u16,
    /// How many days were counted.
    pub count: u32,
    /// The sum of its days, as the checkpoint has it, in degrees Celsius whatever the picture's unit.
    pub sum: f64,
    /// Degrees Celsius, as `min` and `max`.
    pub average: f64,
    pub min: f64,
    pub max: f64,
    /// The earliest and the latest day counted.
    pub start: Date,
    pub end: Date,
    /// The first day in the log that reached `min`, and `max`, if they are known.
    pub min_date: Option<Date>,
    pub max_date: Option<Date>,
    /// How many days between them were not.
    pub missing: u32,
    /// The checkpoint's name, for warnings.
    pub file: String,
}

/// The cells of one checkpoint, which `file` names.
pub fn cells(statistics: &Statistics, file: &str) -> Vec<Cell> {
    let of_cell = |(month, year, counted): (usize, u16, &MonthCell)| {
        let end = counted.last_date(month, year)?;
        let date = |day| date(year, month, day);
        let start = date(counted.first_day())?;
        let (min_date, max_date) = (counted.min_day().and_then(date), counted.max_day().and_then(date));
        let missing = u32::try_from(counted.missing_days().count()).ok()?;
        let (count, sum, average) = (counted.count(), counted.sum(), counted.avg());
        let (min, max) = (counted.min(), counted.max());
        let file = file.to_owned();
        Some(Cell {
            month,
            year,
            count,
            sum,
            average,
            min,
            max,
            start,
            end,
            min_date,
            max_date,
            missing,
            file,
        })
    };
    statistics.cells().filter_map(of_cell).collect()
}

/// A month of a year that more than one file holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    pub month: usize,
    pub year: u16,
    pub drawn_file: String,
    pub drawn_end: Date,
    pub other_file: String,
    pub other_end: Date,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Warning { month, year, drawn_file, drawn_end, other_file, other_end } = self;
        let label = month_label(*month, *year);
        write!(
            f,
            "{label} is in two files: drawn from {drawn_file} (counted up to {drawn_end}), \
             not from {other_file} (up to {other_end})"
        )
    }
}

/// One cell of each month and year, in the order of time. If several files hold one, the cell with the later last day
/// is drawn; if they end on the same day, that of the first file by name. Each other file gives a warning.
pub fn merge(cells: impl IntoIterator<Item = Cell>) -> (Vec<Cell>, Vec<Warning>) {
    let mut cells: Vec<Cell> = cells.into_iter().collect();
    // The cell to draw comes first of its month and year, and its rivals right after it.
    cells.sort_by(|a, b| precedence(a).cmp(&precedence(b)));

    let mut merged: Vec<Cell> = Vec::with_capacity(cells.len());
    let mut warnings = Vec::new();
    for cell in cells {
        match merged.last() {
            Some(drawn) if (drawn.year, drawn.month) == (cell.year, cell.month) => warnings.push(Warning {
                month: drawn.month,
                year: drawn.year,
                drawn_file: drawn.file.clone(),
                drawn_end: drawn.end,
                other_file: cell.file,
                other_end: cell.end,
            }),
            _ => merged.push(cell),
        }
    }
    (merged, warnings)
}

fn precedence(cell: &Cell) -> (u16, usize, Reverse<Date>, &str) {
    (cell.year, cell.month, Reverse(cell.end), &cell.file)
}

/// The cells that a picture is drawn from, in its unit and in the order of time: those of the months asked for.
///
/// Numbers that no report can have are left out, so that the axes are finite.
pub(super) fn chosen(cells: &[Cell], look: &Look) -> Vec<Cell> {
    let is_drawn = |cell: &&Cell| {
        cell.month < MONTHS.len()
            && look.is_of(cell.month)
            && cell.count > 0
            && cell.min <= cell.max
            && [cell.average, cell.min, cell.max].into_iter().all(is_valid_degrees)
    };
    let mut chosen: Vec<Cell> = cells.iter().filter(is_drawn).map(|cell| in_unit(cell, look.unit)).collect();
    chosen.sort_by_key(|cell| (cell.year, cell.month));
    chosen
}

pub(super) fn in_unit(cell: &Cell, unit: Unit) -> Cell {
    let degrees = |celsius| unit.degrees(celsius);
    Cell { average: degrees(cell.average), min: degrees(cell.min), max: degrees(cell.max), ..cell.clone() }
}

/// Each month in its latest recorded year, January first.
pub(super) fn latest(cells: &[Cell]) -> Vec<&Cell> {
    (0..MONTHS.len()).filter_map(|month| cells.iter().rfind(|cell| cell.month == month)).collect()
}

/// The name of a month of a year, as in `January-1991`; `?` stands for a month that no calendar has.
pub(super) fn month_label(month: usize, year: u16) -> String {
    let name = MONTHS.get(month).unwrap_or(&"?");
    format!("{name}-{year:04}")
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::plot::Kind;
    use crate::plot::tests::samples;

    fn cell(end: Date, average: f64, file: &str) -> Cell {
        Cell { end, file: file.into(), ..samples::cell(end.year(), end.month(), average) }
    }

    fn said(cells: &[Cell]) -> Vec<(u16, usize, f64)> {
        cells.iter().map(|cell| (cell.year, cell.month, cell.average)).collect()
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(merge([]), (vec![], vec![]));
    }

    #[test]
    fn cells_come_in_the_order_of_time() {
        let cells = [
            cell(date(1990, 12, 31), -1.0, "partition-2.json"),
            cell(date(1991, 1, 3), -3.0, "partition-2.json"),
            cell(date(1990, 1, 31), -2.0, "partition-2.json"),
            cell(date(1990, 3, 31), 4.0, "partition-0.json"),
        ];
        let (merged, warnings) = merge(cells);
        assert_eq!(said(&merged), [(1990, 0, -2.0), (1990, 2, 4.0), (1990, 11, -1.0), (1991, 0, -3.0)]);
        assert_eq!(warnings, []);
        let latest: Vec<Cell> = latest(&merged).into_iter().cloned().collect();
        assert_eq!(said(&latest), [(1991, 0, -3.0), (1990, 2, 4.0), (1990, 11, -1.0)]);
    }

    #[test]
    fn the_file_that_ends_later_is_drawn_whatever_the_order() {
        let early = cell(date(1991, 1, 20), -2.0, "partition-0.json");
        let late = cell(date(1991, 1, 31), -3.0, "partition-2.json");
        for cells in [[early.clone(), late.clone()], [late, early]] {
            let (merged, warnings) = merge(cells);
            assert_eq!(said(&merged), [(1991, 0, -3.0)]);
            assert_eq!(
                warnings.iter().map(Warning::to_string).collect::<Vec<_>>(),
                ["January-1991 is in two files: drawn from partition-2.json (counted up to 1991-01-31), \
                     not from partition-0.json (up to 1991-01-20)"]
            );
        }
    }

    #[test]
    fn files_that_end_alike_are_taken_by_name() {
        let first = cell(date(1991, 1, 31), -2.0, "partition-0.json");
        let second = cell(date(1991, 1, 31), -3.0, "partition-2.json");
        for cells in [[first.clone(), second.clone()], [second, first]] {
            let (merged, warnings) = merge(cells);
            assert_eq!(said(&merged), [(1991, 0, -2.0)]);
            assert_eq!(warnings.len(), 1);
        }
    }

    #[test]
    fn every_further_file_is_named() {
        let cells = ["a.json", "b.json", "c.json"].map(|file| cell(date(1991, 6, 30), 26.0, file));
        let (_, warnings) = merge(cells);
        assert_eq!(warnings.iter().map(|w| w.other_file.as_str()).collect::<Vec<_>>(), ["b.json", "c.json"]);
    }

    #[test]
    fn a_month_in_two_files_but_in_different_years_is_no_warning() {
        let cells = [
            cell(date(1990, 1, 31), -2.0, "partition-0.json"),
            cell(date(1991, 1, 31), -3.0, "partition-2.json"),
        ];
        let (merged, warnings) = merge(cells);
        assert_eq!((merged.len(), warnings), (2, vec![]));
    }

    #[test]
    fn only_what_a_report_can_have_is_drawn_and_in_its_unit() {
        let cells = [
            samples::cell(1990, 1, f64::NAN),
            samples::cell(1991, 1, f64::INFINITY),
            samples::cell(1992, 1, 2e9),
            samples::cell(1993, 1, -40.0),
            samples::cell(1994, 2, 100.0),
        ];
        let look = Look { months: vec![0], unit: Unit::Fahrenheit, ..Look::of(Kind::Months) };
        assert_eq!(said(&chosen(&cells, &look)), [(1993, 0, -40.0)]);
        let look = Look { unit: Unit::Fahrenheit, ..Look::of(Kind::Months) };
        assert_eq!(said(&chosen(&cells, &look)), [(1993, 0, -40.0), (1994, 1, 212.0)]);
    }
}
