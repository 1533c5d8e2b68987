//! The extremes of a record.

use jiff::civil::Date;

use crate::plot::cells::Cell;

/// A day of a daily maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Day<'a> {
    /// In °C.
    pub degrees: f64,
    /// The month of the day.
    pub cell: &'a Cell,
    /// The day itself; unknown in a checkpoint that was begun before its date was kept.
    pub date: Option<Date>,
}

/// The extremes of a record; of equal ones the earliest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Records<'a> {
    pub warmest_day: Day<'a>,
    pub coldest_day: Day<'a>,
    /// Among the complete months, if there are two at the least.
    pub warmest_month: Option<&'a Cell>,
    pub coldest_month: Option<&'a Cell>,
}

impl<'a> Records<'a> {
    /// Of cells in the order of time: all of them for days, and those that are `complete` for months.
    pub fn of(cells: &[&'a Cell], complete: &[&'a Cell]) -> Option<Records<'a>> {
        let warmest = first_by(cells, |cell| cell.max)?;
        let coldest = first_by(cells, |cell| -cell.min)?;
        let complete = if complete.len() > 1 { complete } else { &[] };
        Some(Records {
            warmest_day: Day { degrees: warmest.max, cell: warmest, date: warmest.max_date },
            coldest_day: Day { degrees: coldest.min, cell: coldest, date: coldest.min_date },
            warmest_month: first_by(complete, |cell| cell.average),
            coldest_month: first_by(complete, |cell| -cell.average),
        })
    }
}

/// The first cell of the largest value.
fn first_by<'a>(cells: &[&'a Cell], value: impl Fn(&Cell) -> f64) -> Option<&'a Cell> {
    cells.iter().copied().reduce(|best, cell| if value(cell) > value(best) { cell } else { best })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::Climate;
    use super::*;
    use crate::plot::tests::samples::cell;

    #[test]
    fn days_count_in_any_month_and_averages_in_complete_ones_only() {
        let progress = Cell { count: 9, end: date(1992, 7, 9), ..cell(1992, 7, 30.0) };
        let cells = [cell(1990, 1, -5.0), cell(1990, 7, 28.0), cell(1991, 7, 28.0), progress];
        let climate = Climate::of(&cells);
        let records = climate.records().unwrap();
        assert_eq!((records.warmest_day.degrees, records.warmest_day.cell.year), (40.0, 1992));
        assert_eq!((records.coldest_day.degrees, records.coldest_day.cell.year), (-15.0, 1990));
        assert_eq!(records.warmest_month.map(|cell| cell.year), Some(1990), "the first of equals");
        assert_eq!(records.coldest_month.map(|cell| cell.month), Some(0));
        assert!(Climate::of(&[]).records().is_none());
    }
}
