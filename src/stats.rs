//! The month cells: a pure fold over reports.

use jiff::civil::Date;

use crate::report::Report;

/// The statistics of one month of one year.
///
/// The days counted are kept one by one, so that a repeat is recognised in whatever order days arrive, and
/// `start`, `end` and `missing` follow from them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MonthCell {
    /// Bit `d - 1` is set when day `d` has been counted.
    days: u32,
    sum: f64,
    min: f64,
    max: f64,
}

impl MonthCell {
    /// Counts `degrees` for `day` (1 to 31) unless that day has been counted already.
    pub fn add(&mut self, day: u32, degrees: f64) -> bool {
        let bit = 1 << (day - 1);
        if self.days & bit != 0 {
            return false;
        }
        if self.days == 0 {
            *self = MonthCell { days: bit, sum: 0.0 + degrees, min: degrees, max: degrees };
            return true;
        }
        self.days |= bit;
        self.sum += degrees;
        if degrees < self.min {
            self.min = degrees;
        }
        if degrees > self.max {
            self.max = degrees;
        }
        true
    }

    /// A cell as it was written; whether its numbers can be true is the reader's to check.
    pub fn from_parts(days: u32, sum: f64, min: f64, max: f64) -> Self {
        MonthCell { days, sum, min, max }
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
        let day = i8::try_from(self.last_day()).ok()?;
        Date::new(i16::try_from(year).ok()?, i8::try_from(month + 1).ok()?, day).ok()
    }

    /// The days counted, 1 to 31.
    pub fn days(&self) -> impl Iterator<Item = u32> + '_ {
        (1..=31).filter(|day| self.days & (1 << (day - 1)) != 0)
    }

    /// The days between the first and the last that have not been counted.
    pub fn missing_days(&self) -> impl Iterator<Item = u32> + '_ {
        (self.first_day()..self.last_day()).filter(|day| self.days & (1 << (day - 1)) == 0)
    }

    pub fn is_empty(&self) -> bool {
        self.days == 0
    }
}

/// All month cells of a partition, by month and year.
///
/// Years index a plain vector: at most 10,000 small cells a month, found without a search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    months: [Vec<MonthCell>; 12],
}

impl Statistics {
    /// Counts a report unless its day has been counted already: the first report of a date wins.
    pub fn add(&mut self, report: &Report) -> bool {
        let date = report.date;
        let month = usize::from(date.month().unsigned_abs()) - 1;
        let day = u32::from(date.day().unsigned_abs());
        self.cell_mut(month, date.year().unsigned_abs()).add(day, report.degrees)
    }

    /// The cell of a month (0 is January) of a year, made empty where there is none.
    ///
    /// # Panics
    /// If `month` is past 11.
    pub fn cell_mut(&mut self, month: usize, year: u16) -> &mut MonthCell {
        let years = &mut self.months[month];
        let index = usize::from(year);
        if index >= years.len() {
            years.resize(index + 1, MonthCell::default());
        }
        &mut years[index]
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
