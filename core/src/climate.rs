//! Is this month warm? Normals, anomalies, ranks and trends of the months of one place. Pure functions over cells.
//!
//! Terms and rules are those of climatology (WMO-No. 1203, NOAA's "Climate at a Glance"):
//!
//! | term | here |
//! |---|---|
//! | complete | at most [`DAYS_MISSING_MAX`] days missing, and the record reaches the end of the month |
//! | normal | the mean of a month's averages over 1991–2020, or over the whole record if fewer than [`NORMAL_YEARS_MIN`] of those 30 years have it |
//! | anomaly | a month's average minus its normal |
//! | rank | a month's place among the same months of all years; equal averages share a place |
//! | trend | the slope of the least-squares line through a month's averages, with its 95 % confidence interval |
//!
//! Only complete months take part. A month with fewer than [`YEARS_MIN`] complete years has none of them.

pub mod lead;
pub mod records;
mod trend;

use jiff::civil::Date;
use serde::Serialize;

use crate::plot::cells::Cell;
use crate::report::{MONTHS, is_valid_degrees};
use records::Records;
pub use trend::{Trend, smoothed};

/// A complete month lacks at most this many of its days.
pub const DAYS_MISSING_MAX: u32 = 3;
/// Fewer complete years of a month have no normal, rank or trend.
pub const YEARS_MIN: usize = 10;
/// The normal is of 1991–2020 if at least this many of those years have the month.
pub const NORMAL_YEARS_MIN: usize = 24;
/// The current standard period of the World Meteorological Organization.
const NORMAL_PERIOD: std::ops::RangeInclusive<u16> = 1991..=2020;

/// Averages closer than this, in °C, are equal. The same days give sums that differ in the last digits, because the sum
/// follows the order of the log.
const EQUAL_WITHIN: f64 = 1e-9;

/// Whether the days of a month have been counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// At most [`DAYS_MISSING_MAX`] days are missing, and the record reaches the end of the month.
    Complete,
    /// The record ends in this month, and does not reach its last day.
    InProgress,
    /// More days are missing, and later days are recorded.
    Incomplete,
}

/// The latest day of all cells: how far the record reaches.
pub fn newest(cells: &[Cell]) -> Option<Date> {
    cells.iter().map(|cell| cell.end).max()
}

/// The coverage of a month in a record that reaches `newest`.
pub fn coverage(cell: &Cell, newest: Date) -> Coverage {
    if newest < cell.start.last_of_month() {
        Coverage::InProgress
    } else if cell.count + DAYS_MISSING_MAX >= days_in_month(cell) {
        Coverage::Complete
    } else {
        Coverage::Incomplete
    }
}

/// How many days the month of a cell has.
pub fn days_in_month(cell: &Cell) -> u32 {
    u32::from(cell.start.days_in_month().unsigned_abs())
}

/// The normal of a month, in °C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal {
    pub average: f64,
    /// How many years have the month, and the first and the last year of the period.
    pub years: usize,
    pub first: u16,
    pub last: u16,
}

impl Normal {
    /// Of the complete averages of one month by year, in the order of years.
    fn of(years: &[(u16, f64)]) -> Option<Normal> {
        let standard: Vec<(u16, f64)> =
            years.iter().copied().filter(|(year, _)| NORMAL_PERIOD.contains(year)).collect();
        if standard.len() >= NORMAL_YEARS_MIN {
            let (first, last) = (*NORMAL_PERIOD.start(), *NORMAL_PERIOD.end());
            return Some(Normal { average: mean(&standard), years: standard.len(), first, last });
        }
        let [(first, _), .., (last, _)] = *years else { return None };
        let normal = Normal { average: mean(years), years: years.len(), first, last };
        (years.len() >= YEARS_MIN).then_some(normal)
    }

    /// As in `1991–2020`.
    pub fn period(&self) -> String {
        format!("{:04}–{:04}", self.first, self.last)
    }
}

fn mean(years: &[(u16, f64)]) -> f64 {
    years.iter().map(|(_, average)| average).sum::<f64>() / years.len() as f64
}

/// The place of a month among the same months of all complete years.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Rank {
    /// 1 is the warmest.
    pub warmest: usize,
    /// 1 is the coldest.
    pub coldest: usize,
    /// How many other years have the same average.
    pub ties: usize,
    /// How many years take part.
    pub years: usize,
}

impl Rank {
    fn of(average: f64, years: &[(u16, f64)]) -> Rank {
        let count = |is: fn(f64) -> bool| years.iter().filter(|(_, other)| is(other - average)).count();
        let warmer = count(|difference| difference > EQUAL_WITHIN);
        let colder = count(|difference| difference < -EQUAL_WITHIN);
        let ties = years.len().saturating_sub(warmer + colder + 1);
        Rank { warmest: warmer + 1, coldest: colder + 1, ties, years: years.len() }
    }

    /// As in `the 3rd warmest of 155`, from the nearer end.
    pub fn name(&self) -> String {
        let (place, end) =
            if self.warmest <= self.coldest { (self.warmest, "warmest") } else { (self.coldest, "coldest") };
        let place = if place == 1 { String::new() } else { format!("{} ", ordinal(place)) };
        format!("the {place}{end} of {}", self.years)
    }
}

/// As in `3rd`.
fn ordinal(number: usize) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// The climate of one place, from the months of all partitions. Degrees are Celsius.
#[derive(Debug)]
pub struct Climate<'a> {
    cells: Vec<&'a Cell>,
    newest: Option<Date>,
    /// The complete averages of each month by year, in the order of years.
    years: [Vec<(u16, f64)>; 12],
    normals: [Option<Normal>; 12],
}

impl<'a> Climate<'a> {
    /// Of `cells` that hold a month of a year once, in the order of time, as [`merge`](crate::plot::merge) gives them.
    /// Cells with numbers that no report can have are left out.
    pub fn of(cells: &'a [Cell]) -> Climate<'a> {
        let newest = newest(cells);
        let is_valid = |cell: &&Cell| {
            cell.month < MONTHS.len()
                && cell.count > 0
                && [cell.average, cell.min, cell.max].into_iter().all(is_valid_degrees)
        };
        let cells: Vec<&Cell> = cells.iter().filter(is_valid).collect();
        let mut years: [Vec<(u16, f64)>; 12] = Default::default();
        for cell in &cells {
            if newest.is_some_and(|newest| coverage(cell, newest) == Coverage::Complete) {
                years[cell.month].push((cell.year, cell.average));
            }
        }
        let normals = std::array::from_fn(|month| Normal::of(&years[month]));
        Climate { cells, newest, years, normals }
    }

    /// Every month of every year, in the order of time.
    pub fn cells(&self) -> impl DoubleEndedIterator<Item = &'a Cell> {
        self.cells.iter().copied()
    }

    pub fn newest(&self) -> Option<Date> {
        self.newest
    }

    pub fn coverage(&self, cell: &Cell) -> Coverage {
        self.newest.map_or(Coverage::InProgress, |newest| coverage(cell, newest))
    }

    pub fn is_complete(&self, cell: &Cell) -> bool {
        self.coverage(cell) == Coverage::Complete
    }

    /// The complete averages of a month (0 is January) by year, in the order of years.
    pub fn years(&self, month: usize) -> &[(u16, f64)] {
        self.years.get(month).map_or(&[], Vec::as_slice)
    }

    /// The normal of a month; none with fewer than [`YEARS_MIN`] complete years.
    pub fn normal(&self, month: usize) -> Option<Normal> {
        self.normals.get(month).copied().flatten()
    }

    /// The difference of a complete month from its normal.
    pub fn anomaly(&self, cell: &Cell) -> Option<f64> {
        self.is_complete(cell).then_some(())?;
        Some(cell.average - self.normal(cell.month)?.average)
    }

    /// The rank of a month of a year, if it is complete.
    pub fn rank_of(&self, month: usize, year: u16) -> Option<Rank> {
        let years = self.years(month);
        let (_, average) = *years.iter().find(|(other, _)| *other == year)?;
        (years.len() >= YEARS_MIN).then(|| Rank::of(average, years))
    }

    /// The rank of a complete month; none with fewer than [`YEARS_MIN`] complete years.
    pub fn rank(&self, cell: &Cell) -> Option<Rank> {
        self.rank_of(cell.month, cell.year)
    }

    /// The trend of a month; none with fewer than [`YEARS_MIN`] complete years.
    pub fn trend(&self, month: usize) -> Option<Trend> {
        Trend::of(self.years(month)).filter(|_| self.years(month).len() >= YEARS_MIN)
    }

    /// Each month in its latest recorded year, January first.
    pub fn latest(&self) -> Vec<&'a Cell> {
        (0..MONTHS.len()).filter_map(|month| self.cells().rfind(|cell| cell.month == month)).collect()
    }

    /// The extremes of the record.
    pub fn records(&self) -> Option<Records<'a>> {
        let complete = self.cells().filter(|cell| self.is_complete(cell)).collect::<Vec<_>>();
        Records::of(&self.cells, &complete)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::plot::tests::samples::{cell, with_gap};

    /// July of each year, with these averages.
    fn julys(first: i16, averages: &[f64]) -> Vec<Cell> {
        (first..).zip(averages).map(|(year, average)| cell(year, 7, *average)).collect()
    }

    #[test]
    fn a_month_is_complete_with_at_most_three_days_missing_and_once_its_end_is_reached() {
        let whole = cell(1999, 9, 20.0);
        let short = |missing| with_gap(whole.clone(), missing);
        let up_to = |day| Cell { count: 9, end: date(1999, 9, day), ..whole.clone() };
        for (cell, newest, expected) in [
            (whole.clone(), date(1999, 9, 30), Coverage::Complete),
            (whole.clone(), date(2020, 1, 1), Coverage::Complete),
            (short(3), date(1999, 9, 30), Coverage::Complete),
            (short(4), date(1999, 9, 30), Coverage::Incomplete),
            (up_to(9), date(1999, 9, 9), Coverage::InProgress),
            (up_to(9), date(1999, 9, 29), Coverage::InProgress),
            (up_to(9), date(1999, 9, 30), Coverage::Incomplete),
            // 29 of 30 days, but the 30th may still come.
            (
                Cell { count: 29, end: date(1999, 9, 29), ..whole.clone() },
                date(1999, 9, 29),
                Coverage::InProgress,
            ),
            (
                Cell { count: 29, end: date(1999, 9, 29), ..whole.clone() },
                date(1999, 10, 1),
                Coverage::Complete,
            ),
        ] {
            assert_eq!(coverage(&cell, newest), expected, "{cell:?} up to {newest}");
        }
        // Days in February.
        for (year, count, expected) in
            [(1900, 25, Coverage::Complete), (2000, 25, Coverage::Incomplete), (2000, 26, Coverage::Complete)]
        {
            let february = Cell { count, ..cell(year, 2, 0.0) };
            assert_eq!(coverage(&february, date(2020, 1, 1)), expected, "{year}, {count} days");
        }
    }

    #[test]
    fn the_normal_is_of_1991_to_2020_if_24_of_those_years_have_the_month() {
        // 20 °C before 1991, 22 °C from then on.
        let averages: Vec<f64> = (1960..2030).map(|year| if year < 1991 { 20.0 } else { 22.0 }).collect();
        let cells = julys(1960, &averages);
        let climate = Climate::of(&cells);
        let normal = climate.normal(6).unwrap();
        assert_eq!((normal.average, normal.years, &*normal.period()), (22.0, 30, "1991–2020"));
        assert_eq!(climate.normal(0), None);

        for (without, expected) in [(6, (22.0, 24, "1991–2020")), (7, (21.02, 63, "1960–2029"))] {
            let lacks = |cell: &&Cell| (1991..1991 + without).contains(&cell.year);
            let left: Vec<Cell> = cells.iter().filter(|cell| !lacks(cell)).cloned().collect();
            let normal = Climate::of(&left).normal(6).unwrap();
            assert_eq!((normal.years, &*normal.period()), (expected.1, expected.2));
            assert!((normal.average - expected.0).abs() < 0.1, "{}", normal.average);
        }
    }

    #[test]
    fn incomplete_months_take_no_part() {
        let mut cells = julys(1990, &[20.0; 11]);
        cells[0] = Cell { average: 35.0, ..with_gap(cells[0].clone(), 4) };
        let progress = Cell { average: 40.0, count: 9, end: date(2001, 7, 9), ..cell(2001, 7, 40.0) };
        cells.push(progress.clone());
        let climate = Climate::of(&cells);
        assert_eq!(climate.normal(6).map(|normal| (normal.average, normal.years)), Some((20.0, 10)));
        assert_eq!((climate.anomaly(&progress), climate.rank(&progress)), (None, None));
        assert_eq!(climate.anomaly(&cells[0]), None);
        assert_eq!(climate.rank(&cells[1]).unwrap().years, 10);
    }

    #[test]
    fn ten_years_make_a_normal_and_nine_do_not() {
        for (years, expected) in [(9, false), (10, true)] {
            let cells = julys(1990, &vec![20.0; years]);
            let climate = Climate::of(&cells);
            let last = cells.last().unwrap();
            assert_eq!(climate.normal(6).is_some(), expected);
            assert_eq!(climate.anomaly(last).is_some(), expected);
            assert_eq!(climate.rank(last).is_some(), expected);
            assert_eq!(climate.trend(6).is_some(), expected);
        }
    }

    #[test]
    fn ranks_count_from_both_ends_and_share_places() {
        let cells = julys(2000, &[20.0, 25.0, 25.0 + 1e-12, 24.0, 21.0, 22.0, 23.0, 20.5, 20.0, 26.0]);
        let climate = Climate::of(&cells);
        let rank = |index: usize| climate.rank(&cells[index]).unwrap();
        let place = |index| (rank(index).warmest, rank(index).coldest, rank(index).ties);
        assert_eq!([place(9), place(1), place(2), place(3)], [(1, 10, 0), (2, 8, 1), (2, 8, 1), (4, 7, 0)]);
        assert_eq!([place(0), place(8)], [(9, 1, 1), (9, 1, 1)]);
        assert_eq!(rank(9).name(), "the warmest of 10");
        assert_eq!(rank(1).name(), "the 2nd warmest of 10");
        assert_eq!(rank(0).name(), "the coldest of 10");
        assert_eq!(rank(7).name(), "the 3rd coldest of 10");
    }

    #[test]
    fn ordinals() {
        let numbers = [1, 2, 3, 4, 10, 11, 12, 13, 21, 22, 23, 101, 111, 112, 113, 122].map(ordinal);
        let expected = [
            "1st", "2nd", "3rd", "4th", "10th", "11th", "12th", "13th", "21st", "22nd", "23rd", "101st",
            "111th", "112th", "113th", "122nd",
        ];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn numbers_that_no_report_can_have_are_left_out() {
        let mut cells = julys(2000, &[20.0; 10]);
        cells[4].average = f64::NAN;
        let climate = Climate::of(&cells);
        assert_eq!((climate.cells().count(), climate.normal(6)), (9, None));
        assert!(Climate::of(&[]).lead(crate::plot::Unit::Celsius).is_none());
    }
}
