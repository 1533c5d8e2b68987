//! The years of a record, side by side.

use super::cells::Cell;
use crate::climate::Climate;

/// More would make a picture of many megabytes, and marks that are too small to be seen.
pub const SLOTS_MAX: usize = 400;
const ROUND: [u16; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

/// The years from the first recorded to the last, without a gap, in slots of as many years as it takes to have few
/// enough of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    first: u16,
    last: u16,
    /// How many years a slot has. The first year of a slot is a multiple of it.
    pub step: u16,
}

impl Span {
    /// In at most [`SLOTS_MAX`] slots.
    pub fn of(cells: &[Cell]) -> Span {
        Span::fitting(cells, SLOTS_MAX)
    }

    /// In at most `slots`, of which there is room for 10. `cells` are in the order of time, and there is one.
    pub fn fitting(cells: &[Cell], slots: usize) -> Span {
        let first = cells.first().map_or(0, |cell| cell.year);
        let last = cells.last().map_or(0, |cell| cell.year);
        let fits = |step: &u16| usize::from(last / step - first / step) < slots;
        Span { first, last, step: ROUND.into_iter().find(fits).unwrap_or(10_000) }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slot(self.last) + 1
    }

    pub fn slot(&self, year: u16) -> usize {
        usize::from(year / self.step - self.first / self.step)
    }

    /// The first year of a slot, which may have no data.
    pub fn year(&self, slot: usize) -> u16 {
        self.begin(slot).max(self.first)
    }

    /// The multiple of `step` that a slot begins with, which may lie before the record.
    fn begin(&self, slot: usize) -> u16 {
        let slot = u16::try_from(slot).unwrap_or(u16::MAX);
        (self.first / self.step).saturating_add(slot).saturating_mul(self.step)
    }

    /// As in `1869–2023`.
    pub fn name(&self) -> String {
        range(self.first, self.last)
    }

    /// As in `1990`, or `1990–1994` where a slot has several years.
    pub fn slot_name(&self, slot: usize) -> String {
        self.slots_name(slot, slot)
    }

    /// As in `1995–1997`, from the first slot to the last.
    pub fn slots_name(&self, first: usize, last: usize) -> String {
        let end = self.begin(last).saturating_add(self.step - 1);
        range(self.year(first), end.min(self.last))
    }

    /// The note for slots that are not years; `slot` names the shape that is drawn.
    pub fn note(&self, slot: &str) -> Option<String> {
        (self.step > 1).then(|| format!("Each {slot} is the mean of {} years.", self.step))
    }

    /// The slots to label with their first year, as (slot, label): round years, at least `apart` from each other
    /// where a slot is `length` long.
    pub fn labels(&self, length: f64, apart: f64) -> impl Iterator<Item = (usize, String)> + use<> {
        let Span { step, .. } = *self;
        let enough = |every: &u16| every.is_multiple_of(step) && f64::from(every / step) * length >= apart;
        let every = ROUND.into_iter().find(enough).unwrap_or(10_000);
        let span = *self;
        let slots = (0..span.slots()).filter(move |slot| span.begin(*slot).is_multiple_of(every));
        slots.map(move |slot| (slot, format!("{:04}", span.year(slot))))
    }

    /// The cells of one month by slot, those of a slot pooled into one. Of several years only complete months count.
    pub fn pooled<'a>(
        &self,
        cells: impl IntoIterator<Item = &'a Cell>,
        climate: &Climate,
    ) -> Vec<Option<Cell>> {
        let mut slots: Vec<Option<Cell>> = vec![None; self.slots()];
        let is_drawn = |cell: &&Cell| self.step == 1 || climate.is_complete(cell);
        for cell in cells.into_iter().filter(is_drawn) {
            match slots.get_mut(self.slot(cell.year)) {
                Some(Some(pool)) => add(pool, cell),
                Some(empty) => *empty = Some(cell.clone()),
                None => {}
            }
        }
        slots
    }
}

fn range(first: u16, last: u16) -> String {
    if first == last { format!("{first:04}") } else { format!("{first:04}–{last:04}") }
}

/// As if all days had been counted in one cell.
fn add(pool: &mut Cell, cell: &Cell) {
    let sum = pool.average * f64::from(pool.count) + cell.average * f64::from(cell.count);
    pool.count += cell.count;
    pool.average = sum / f64::from(pool.count.max(1));
    if cell.min < pool.min {
        (pool.min, pool.min_date) = (cell.min, cell.min_date);
    }
    if cell.max > pool.max {
        (pool.max, pool.max_date) = (cell.max, cell.max_date);
    }
    pool.end = cell.end;
    pool.missing += cell.missing;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::samples::{cell, with_gap};

    fn span(first: i16, last: i16) -> Span {
        Span::of(&[cell(first, 1, 0.0), cell(last, 1, 0.0)])
    }

    #[test]
    fn a_slot_is_a_year_up_to_a_bound() {
        for (first, last, step, slots) in [
            (1990, 1990, 1, 1),
            (1869, 2023, 1, 155),
            (1601, 2000, 1, 400),
            (1600, 2000, 2, 201),
            (1, 9999, 50, 200),
        ] {
            let span = span(first, last);
            assert_eq!((span.step, span.slots()), (step, slots), "{first} to {last}");
            assert_eq!(span.slot(last.unsigned_abs()), slots - 1);
        }
        assert_eq!(span(1, 9999).slot_name(0), "0001–0049");
        assert_eq!(span(1, 9999).slot_name(1), "0050–0099");
        assert_eq!(span(1869, 2023).slot_name(1), "1870");
        assert_eq!(span(1869, 2023).name(), "1869–2023");
    }

    #[test]
    fn labels_are_round_years() {
        let labels =
            |span: Span, length| span.labels(length, 40.0).map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(span(1988, 1993), 10.0), ["1990"]);
        assert_eq!(labels(span(1988, 1991), 40.0), ["1988", "1989", "1990", "1991"]);
        assert_eq!(labels(span(1, 9999), 1.0), ["0001", "2000", "4000", "6000", "8000"]);
    }

    #[test]
    fn the_years_of_a_slot_are_pooled_by_days() {
        let cells = [cell(1, 1, 10.0), with_gap(cell(2, 1, -21.0), 3), cell(9999, 1, 0.0)];
        let pooled = Span::of(&cells).pooled(&cells, &Climate::of(&cells));
        let first = pooled[0].as_ref().unwrap();
        assert_eq!((first.count, first.missing, first.min, first.max), (59, 3, -31.0, 20.0));
        assert!((first.average - (310.0 - 588.0) / 59.0).abs() < 1e-12);
        assert_eq!(pooled.iter().flatten().count(), 2);
    }
}
