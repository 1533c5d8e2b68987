//! Which cells a picture of the months shows.

use std::cmp::Reverse;
use std::fmt;

use jiff::civil::Date;

use super::{MonthBar, month_label};

/// What a picture needs to know of one month of one year in one checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// 0 is January: an index into [`MONTHS`](crate::report::MONTHS).
    pub month: usize,
    pub year: u16,
    /// Degrees Celsius.
    pub average: f64,
    /// The latest day counted.
    pub end: Date,
    /// The checkpoint's name, for warnings.
    pub file: String,
}

/// A month that is to be drawn and that a second file holds as well.
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

/// The bars to draw, January first: for each month its latest year, and of several files that hold it the one
/// that counted up to the later day, or comes first by name where they end alike. Each other file gives a
/// warning.
///
/// A month that two files hold in different years, or in years that are not drawn, is no warning: the picture
/// is the same without the older cell.
pub fn latest(cells: impl IntoIterator<Item = Cell>) -> (Vec<MonthBar>, Vec<Warning>) {
    let mut cells: Vec<Cell> = cells.into_iter().collect();
    // Within its month, the cell to draw comes first and its rivals right after it.
    cells.sort_by(|a, b| precedence(a).cmp(&precedence(b)));

    let mut bars = Vec::new();
    let mut warnings = Vec::new();
    for of_month in cells.chunk_by(|a, b| a.month == b.month) {
        let [drawn, others @ ..] = of_month else { continue };
        bars.push(MonthBar { month: drawn.month, year: drawn.year, average: drawn.average });
        let rivals = others.iter().take_while(|other| other.year == drawn.year);
        warnings.extend(rivals.map(|other| Warning {
            month: drawn.month,
            year: drawn.year,
            drawn_file: drawn.file.clone(),
            drawn_end: drawn.end,
            other_file: other.file.clone(),
            other_end: other.end,
        }));
    }
    (bars, warnings)
}

fn precedence(cell: &Cell) -> (usize, Reverse<u16>, Reverse<Date>, &str) {
    (cell.month, Reverse(cell.year), Reverse(cell.end), &cell.file)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn cell(month: usize, end: Date, average: f64, file: &str) -> Cell {
        Cell { month, year: end.year().unsigned_abs(), average, end, file: file.into() }
    }

    fn bar(month: usize, year: u16, average: f64) -> MonthBar {
        MonthBar { month, year, average }
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(latest([]), (vec![], vec![]));
    }

    #[test]
    fn each_month_shows_its_latest_year_in_calendar_order() {
        let cells = [
            cell(11, date(1990, 12, 31), -1.0, "partition-2.json"),
            cell(0, date(1990, 1, 31), -2.0, "partition-2.json"),
            cell(0, date(1991, 1, 3), -3.0, "partition-2.json"),
            cell(2, date(1990, 3, 31), 4.0, "partition-0.json"),
        ];
        assert_eq!(latest(cells), (vec![bar(0, 1991, -3.0), bar(2, 1990, 4.0), bar(11, 1990, -1.0)], vec![]));
    }

    #[test]
    fn the_file_that_ends_later_is_drawn_whatever_the_order() {
        let early = cell(0, date(1991, 1, 20), -2.0, "partition-0.json");
        let late = cell(0, date(1991, 1, 31), -3.0, "partition-2.json");
        for cells in [[early.clone(), late.clone()], [late, early]] {
            let (bars, warnings) = latest(cells);
            assert_eq!(bars, [bar(0, 1991, -3.0)]);
            assert_eq!(
                warnings.iter().map(Warning::to_string).collect::<Vec<_>>(),
                ["January-1991 is in two files: drawn from partition-2.json (counted up to 1991-01-31), \
                     not from partition-0.json (up to 1991-01-20)"]
            );
        }
    }

    #[test]
    fn files_that_end_alike_are_taken_by_name() {
        let first = cell(0, date(1991, 1, 31), -2.0, "partition-0.json");
        let second = cell(0, date(1991, 1, 31), -3.0, "partition-2.json");
        for cells in [[first.clone(), second.clone()], [second, first]] {
            let (bars, warnings) = latest(cells);
            assert_eq!(bars, [bar(0, 1991, -2.0)]);
            assert_eq!(warnings.len(), 1);
        }
    }

    #[test]
    fn every_further_file_is_named() {
        let cells = ["a.json", "b.json", "c.json"].map(|file| cell(5, date(1991, 6, 30), 26.0, file));
        let (_, warnings) = latest(cells);
        assert_eq!(warnings.iter().map(|w| w.other_file.as_str()).collect::<Vec<_>>(), ["b.json", "c.json"]);
    }

    #[test]
    fn a_month_in_two_files_but_in_different_years_is_no_warning() {
        let cells = [
            cell(0, date(1990, 1, 31), -2.0, "partition-0.json"),
            cell(0, date(1991, 1, 31), -3.0, "partition-2.json"),
        ];
        assert_eq!(latest(cells), (vec![bar(0, 1991, -3.0)], vec![]));
    }
}
