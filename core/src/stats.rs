//! The month cells: a pure fold over reports.

use std::fmt;

use jiff::civil::Date;

use crate::report::Observation;

/// The statistics of one month of one year.
///
/// The days counted are kept one by one, so that a repeat is recognised in whatever order days arrive, and
/// `start`, `end` and `missing` follow from them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MonthCell {
    /// Bit `d - 1` is set when day `d` has been counted.
    days: u32,
    sum: f64,
    min: f64,
    max: f64,
    /// The first day in the log that reached `min`, and `max`; 0 if unknown, as from a file that does not say.
    min_day: u8,
    max_day: u8,
}

impl Default for MonthCell {
    /// A cell without a day, whose extremes any degrees go past.
    fn default() -> Self {
        MonthCell { days: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, min_day: 0, max_day: 0 }
    }
}

impl MonthCell {
    /// Counts `degrees` for `day` (1 to 31) unless that day has been counted already.
    #[inline(always)]
    pub fn add(&mut self, day: u32, degrees: f64) -> bool {
        if self.has_day(day) {
            return false;
        }
        self.days |= 1 << (day - 1);
        self.sum += degrees;
        let (is_lower, is_higher) = (degrees < self.min, degrees > self.max);
        // Selections and no branches: an extreme comes at random.
        self.min = if is_lower { degrees } else { self.min };
        self.min_day = if is_lower { day as u8 } else { self.min_day };
        self.max = if is_higher { degrees } else { self.max };
        self.max_day = if is_higher { day as u8 } else { self.max_day };
        true
    }

    /// A cell as it was written; whether its numbers can be true is the reader's to check.
    /// The days of the extremes are those of a cell of one day, and else unknown.
    pub fn from_parts(days: u32, sum: f64, min: f64, max: f64) -> Self {
        let mut cell = MonthCell { days, sum, min, max, min_day: 0, max_day: 0 };
        if cell.count() == 1 {
            (cell.min_day, cell.max_day) = (cell.first_day() as u8, cell.first_day() as u8);
        }
        cell
    }

    /// The same with the first days, 1 to 31, that reached `min` and `max`, as far as they are known.
    pub fn with_days_of_extremes(self, min_day: Option<u32>, max_day: Option<u32>) -> Self {
        let known = |day: Option<u32>, otherwise| day.map_or(otherwise, |day| day as u8);
        MonthCell { min_day: known(min_day, self.min_day), max_day: known(max_day, self.max_day), ..self }
    }

    /// How many days have been counted.
    pub fn count(&self) -> u32 {
        self.days.count_ones()
    }

    /// The sum in °C, added in the order of arrival from +0.0 on.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// `sum / count` in °C, not rounded.
    pub fn avg(&self) -> f64 {
        self.sum / f64::from(self.count())
    }

    pub fn min(&self) -> f64 {
        self.min
    }

    pub fn max(&self) -> f64 {
        self.max
    }

    /// The first day in the log that reached `min`, 1 to 31, if it is known.
    pub fn min_day(&self) -> Option<u32> {
        (self.min_day > 0).then_some(self.min_day.into())
    }

    /// The first day in the log that reached `max`, 1 to 31, if it is known.
    pub fn max_day(&self) -> Option<u32> {
        (self.max_day > 0).then_some(self.max_day.into())
    }

    /// The earliest day counted, 1 to 31; 0 in an empty cell.
    pub fn first_day(&self) -> u32 {
        if self.days == 0 { 0 } else { self.days.trailing_zeros() + 1 }
    }

    /// The latest day counted, 1 to 31; 0 in an empty cell.
    pub fn last_day(&self) -> u32 {
        u32::BITS - self.days.leading_zeros()
    }

    /// The latest day counted, if this is the cell of `month` (0 is January) of `year`.
    pub fn last_date(&self, month: usize, year: u16) -> Option<Date> {
        date(year, month, self.last_day())
    }

    /// The days counted, 1 to 31.
    pub fn days(&self) -> impl Iterator<Item = u32> + use<> {
        days_of(self.days)
    }

    /// Whether `day`, 1 to 31, has been counted.
    #[inline(always)]
    pub fn has_day(&self, day: u32) -> bool {
        self.days & (1 << (day - 1)) != 0
    }

    /// The days between the first and the last that have not been counted.
    pub fn missing_days(&self) -> impl Iterator<Item = u32> + use<> {
        let up_to_last = (1 << self.last_day()) - 1;
        let from_first = u32::MAX << self.days.trailing_zeros().min(u32::BITS - 1);
        days_of(up_to_last & from_first & !self.days)
    }

    pub fn is_empty(&self) -> bool {
        self.days == 0
    }
}

/// A day, 1 to 31, of a month (0 is January) of a year, if there is one.
pub fn date(year: u16, month: usize, day: u32) -> Option<Date> {
    Date::new(i16::try_from(year).ok()?, i8::try_from(month + 1).ok()?, i8::try_from(day).ok()?).ok()
}

/// The days whose bits are set, without a look at the others.
fn days_of(mut bits: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let next = bits.trailing_zeros();
        // Without its lowest bit; where there is none, it has been the last.
        bits &= bits.checked_sub(1)?;
        Some(next + 1)
    })
}

/// All month cells of a partition, by month and year.
///
/// Years index a plain vector: at most 10,000 small cells a month, found without a search.
#[derive(Clone, Default, PartialEq)]
pub struct Statistics {
    months: [Vec<MonthCell>; 12],
}

impl fmt::Debug for Statistics {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        // Only what has been counted: most of the cells are empty.
        formatter.debug_list().entries(self.cells()).finish()
    }
}

impl Statistics {
    /// Counts a report unless its day has been counted already: the first report of a date wins.
    #[inline(always)]
    pub fn add(&mut self, report: impl Into<Observation>) -> bool {
        let report = report.into();
        let (month, year) = (report.month(), report.year());
        match self.months[month].get_mut(usize::from(year)) {
            Some(cell) => cell.add(report.day(), report.degrees()),
            None => self.cell_mut(month, year).add(report.day(), report.degrees()),
        }
    }

    /// The cell of a month (0 is January) of a year, made empty where there is none.
    ///
    /// # Panics
    /// If `month` is past 11.
    #[cold]
    pub fn cell_mut(&mut self, month: usize, year: u16) -> &mut MonthCell {
        let (years, index) = (&mut self.months[month], usize::from(year));
        if index >= years.len() {
            years.resize(index + 1, MonthCell::default());
        }
        &mut years[index]
    }

    /// The cell of a month (0 is January) of a year, if it has counted a day.
    pub fn cell(&self, month: usize, year: u16) -> Option<&MonthCell> {
        self.months.get(month)?.get(usize::from(year)).filter(|cell| !cell.is_empty())
    }

    /// Every cell that has counted a day, in calendar order of months, then years, as (month, year, cell).
    pub fn cells(&self) -> impl Iterator<Item = (usize, u16, &MonthCell)> {
        self.months.iter().enumerate().flat_map(|(month, years)| {
            (0..).zip(years).filter(|(_, cell)| !cell.is_empty()).map(move |(year, cell)| (month, year, cell))
        })
    }

    /// How many days have been counted in all.
    pub fn days(&self) -> u64 {
        self.cells().map(|(_, _, cell)| u64::from(cell.count())).sum()
    }

    /// The latest day counted.
    pub fn newest(&self) -> Option<Date> {
        let (month, year, cell) = self.cells().max_by_key(|(month, year, _)| (*year, *month))?;
        cell.last_date(month, year)
    }

    pub fn is_empty(&self) -> bool {
        self.cells().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::Report;

    fn report(year: i16, month: i8, day: i8, degrees: f64) -> Report {
        Report { date: jiff::civil::date(year, month, day), degrees }
    }

    fn missing(cell: &MonthCell) -> Vec<u32> {
        cell.missing_days().collect()
    }

    #[test]
    fn the_first_report_of_a_day_wins() {
        let mut statistics = Statistics::default();
        assert!(statistics.add(&report(2000, 1, 5, 1.5)));
        let before = statistics.clone();
        assert!(!statistics.add(&report(2000, 1, 5, -40.0)));
        assert_eq!(statistics, before);
    }

    #[test]
    fn a_late_day_moves_the_ends_and_what_is_missing() {
        let mut cell = MonthCell::default();
        assert_eq!((cell.first_day(), cell.last_day(), missing(&cell)), (0, 0, vec![]));
        for (day, first, last, without) in [
            (10, 10, 10, vec![]),
            (12, 10, 12, vec![11]),
            (7, 7, 12, vec![8, 9, 11]),
            (11, 7, 12, vec![8, 9]),
            (31, 7, 31, [8, 9].into_iter().chain(13..31).collect()),
            (1, 1, 31, [2, 3, 4, 5, 6, 8, 9].into_iter().chain(13..31).collect()),
        ] {
            assert!(cell.add(day, 0.0));
            assert_eq!((cell.first_day(), cell.last_day(), missing(&cell)), (first, last, without));
        }
    }

    proptest! {
        #[test]
        fn days_are_counted_or_missing_or_outside_of_the_ends(days in 0_u32..1 << 31) {
            let cell = MonthCell::from_parts(days, 0.0, 0.0, 0.0);
            let is_counted = |day: &u32| days & (1 << (day - 1)) != 0;
            let counted: Vec<u32> = (1..=31).filter(is_counted).collect();
            let ends = (counted.first().copied().unwrap_or(0), counted.last().copied().unwrap_or(0));
            prop_assert_eq!((cell.first_day(), cell.last_day()), ends);
            let between: Vec<u32> = (ends.0..ends.1).filter(|day| !is_counted(day)).collect();
            prop_assert_eq!(missing(&cell), between);
            prop_assert_eq!(cell.days().collect::<Vec<_>>(), counted);
        }
    }

    #[test]
    fn the_sum_is_plain_and_in_the_order_of_arrival() {
        let mut cell = MonthCell::default();
        let degrees = [0.1, 0.2, 0.3, 1e9, -1e9];
        for (day, degrees) in (1..).zip(degrees) {
            cell.add(day, degrees);
        }
        assert_eq!(cell.sum().to_bits(), degrees.iter().sum::<f64>().to_bits());
        assert_eq!(cell.avg().to_bits(), (cell.sum() / 5.0).to_bits());
        assert_eq!((cell.min(), cell.max()), (-1e9, 1e9));
    }

    #[test]
    fn the_sum_starts_at_positive_zero_and_extremes_change_strictly() {
        let mut cell = MonthCell::default();
        cell.add(1, -0.0);
        cell.add(2, 0.0);
        assert_eq!(cell.sum().to_bits(), 0.0_f64.to_bits());
        assert_eq!(cell.min().to_bits(), (-0.0_f64).to_bits(), "the first of equals stays");
        assert_eq!(cell.max().to_bits(), (-0.0_f64).to_bits());
        assert_eq!((cell.min_day(), cell.max_day()), (Some(1), Some(1)));
    }

    #[test]
    fn the_first_day_that_reached_an_extreme_is_kept() {
        let mut cell = MonthCell::default();
        assert_eq!((cell.min_day(), cell.max_day()), (None, None));
        for (day, degrees, min_day, max_day) in [
            (9, 1.0, 9, 9),
            (4, 2.0, 9, 4),
            (1, 2.0, 9, 4),
            (30, 1.0, 9, 4),
            (2, 0.5, 2, 4),
            (31, 3.0, 2, 31),
        ] {
            assert!(cell.add(day, degrees));
            assert!(!cell.add(day, 99.0));
            assert_eq!((cell.min_day(), cell.max_day()), (Some(min_day), Some(max_day)), "day {day}");
        }
    }

    #[test]
    fn an_unknown_day_of_an_extreme_stays_unknown_until_it_is_passed() {
        let mut cell = MonthCell::from_parts(0b11, 3.0, 1.0, 2.0);
        assert_eq!((cell.min_day(), cell.max_day()), (None, None));
        cell.add(3, 1.0);
        assert_eq!((cell.min_day(), cell.max_day()), (None, None), "an earlier day reached 1.0");
        cell.add(4, 0.5);
        assert_eq!((cell.min_day(), cell.max_day()), (Some(4), None));
        let one_day = MonthCell::from_parts(0b100, 3.0, 3.0, 3.0);
        assert_eq!((one_day.min_day(), one_day.max_day()), (Some(3), Some(3)));
    }

    #[test]
    fn cells_come_in_calendar_order_of_months_then_years() {
        let mut statistics = Statistics::default();
        assert!(statistics.is_empty());
        assert_eq!(statistics.newest(), None);
        for (year, month, day) in [(9999, 12, 31), (1, 1, 1), (2000, 2, 29), (1999, 2, 1), (2000, 2, 1)] {
            statistics.add(&report(year, month, day, 1.0));
        }
        let cells: Vec<(usize, u16, u32)> =
            statistics.cells().map(|(month, year, cell)| (month, year, cell.count())).collect();
        assert_eq!(cells, [(0, 1, 1), (1, 1999, 1), (1, 2000, 2), (11, 9999, 1)]);
        assert_eq!(statistics.days(), 5);
        assert_eq!(statistics.newest(), Some(jiff::civil::date(9999, 12, 31)));
    }

    #[test]
    fn the_newest_day_is_of_the_latest_year() {
        let mut statistics = Statistics::default();
        for (year, month, day) in [(1999, 12, 31), (2000, 3, 1), (2000, 1, 31)] {
            statistics.add(&report(year, month, day, 1.0));
        }
        assert_eq!(statistics.newest(), Some(jiff::civil::date(2000, 3, 1)));
    }
}
