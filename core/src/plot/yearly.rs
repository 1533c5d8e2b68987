//! How much warmer or colder than usual a year was.

use super::cells::Cell;
use super::span::Span;
use crate::climate::Climate;

/// The years of a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Year {
    /// No month has been counted.
    Empty,
    /// Some months are complete, but no year has all of them; as many as the fullest has.
    Partial { months: usize },
    /// The mean difference of its whole years.
    Whole { difference: f64, years: usize },
}

/// For each slot, the mean of the years' differences. A year's difference is the mean of the differences of
/// its months, each from that month's mean over the record. A mean of the year's days would depend on the missing days,
/// and a mean of its months on the season.
///
/// `months` is how many a whole year has.
pub fn differences(cells: &[Cell], span: Span, months: usize, climate: &Climate) -> Vec<Year> {
    let enough: Vec<&Cell> = cells.iter().filter(|cell| climate.is_complete(cell)).collect();
    let usual: Vec<f64> = (0..12).map(|month| mean(enough.iter().filter(|c| c.month == month))).collect();

    let mut slots = vec![Year::Empty; span.slots()];
    for cell in cells {
        let slot = &mut slots[span.slot(cell.year)];
        *slot = slot.and(Year::Partial { months: 0 });
    }
    for year in enough.chunk_by(|a, b| a.year == b.year) {
        let found = if year.len() == months {
            let sum: f64 = year.iter().map(|cell| cell.average - usual[cell.month]).sum();
            Year::Whole { difference: sum / months as f64, years: 1 }
        } else {
            Year::Partial { months: year.len() }
        };
        let slot = &mut slots[span.slot(year[0].year)];
        *slot = slot.and(found);
    }
    slots
}

impl Year {
    fn and(self, other: Year) -> Year {
        match (self, other) {
            (Year::Empty, other) => other,
            (this, Year::Empty) => this,
            (Year::Partial { months: a }, Year::Partial { months: b }) => Year::Partial { months: a.max(b) },
            (whole @ Year::Whole { .. }, Year::Partial { .. }) => whole,
            (Year::Partial { .. }, whole @ Year::Whole { .. }) => whole,
            (Year::Whole { difference: a, years: n }, Year::Whole { difference: b, years: m }) => {
                let difference = (a * n as f64 + b * m as f64) / (n + m) as f64;
                Year::Whole { difference, years: n + m }
            }
        }
    }
}

fn mean<'a, 'b: 'a>(cells: impl Iterator<Item = &'a &'b Cell>) -> f64 {
    let (sum, count) = cells.fold((0.0, 0.0), |(sum, count), cell| (sum + cell.average, count + 1.0));
    sum / f64::max(count, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::samples::{TYPICAL, cell, with_gap};

    fn year(year: i16, months: usize, warmer: f64) -> Vec<Cell> {
        (1..).zip(TYPICAL).take(months).map(|(month, typical)| cell(year, month, typical + warmer)).collect()
    }

    fn of(cells: &[Cell]) -> Vec<Year> {
        differences(cells, Span::of(cells), 12, &Climate::of(cells))
    }

    #[test]
    fn a_year_is_held_against_the_means_of_its_months() {
        let cells = [year(1990, 12, -1.0), year(1992, 12, 1.0)].concat();
        let [Year::Whole { difference: cold, .. }, Year::Empty, Year::Whole { difference: warm, .. }] =
            of(&cells)[..]
        else {
            panic!("{:?}", of(&cells))
        };
        assert!((cold + 1.0).abs() < 1e-12 && (warm - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_year_of_winter_months_is_partial_and_not_cold() {
        let cells = [year(1990, 12, 0.0), year(1991, 2, 0.0)].concat();
        assert_eq!(of(&cells)[1], Year::Partial { months: 2 });
    }

    #[test]
    fn a_month_with_more_than_three_days_missing_has_no_mean() {
        for (missing, expected) in [(3, true), (4, false)] {
            let mut cells = year(1990, 12, 0.0);
            cells[6] = with_gap(cells[6].clone(), missing);
            assert_eq!(matches!(of(&cells)[0], Year::Whole { .. }), expected, "{missing} missing");
        }
    }

    #[test]
    fn years_of_a_slot_are_averaged() {
        let cells = [year(1, 12, -1.0), year(2, 12, 1.0), year(3, 1, 9.0), year(9999, 12, 0.0)].concat();
        let slots = of(&cells);
        assert!(matches!(slots[0], Year::Whole { years: 2, .. }), "{:?}", slots[0]);
        assert_eq!(slots.iter().filter(|slot| **slot != Year::Empty).count(), 2);
    }
}
