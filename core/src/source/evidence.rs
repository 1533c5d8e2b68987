//! The unit of values that nothing but the values tells.

use super::error::SourceError;
use super::formats::{Candidate, Table, UnitRule};
use super::options::{Options, Plausible, Unit};
use super::weather::Collected;
use crate::choice::Choice;

/// The width to which NOAA's bulk files pad their values.
const BULK_WIDTH: usize = 5;

/// The range and the form of values without a known unit.
pub(super) struct Evidence {
    count: u64,
    min: f64,
    max: f64,
    has_fractions: bool,
    is_padded: bool,
}

impl Evidence {
    pub(super) fn new() -> Evidence {
        Evidence { count: 0, min: 0.0, max: 0.0, has_fractions: false, is_padded: true }
    }

    pub(super) fn see(&mut self, number: f64, width: usize) {
        (self.min, self.max) = match self.count {
            0 => (number, number),
            _ => (self.min.min(number), self.max.max(number)),
        };
        self.count += 1;
        self.has_fractions |= number.fract() != 0.0;
        self.is_padded &= width == BULK_WIDTH;
    }

    fn allows(&self, candidate: &Candidate) -> bool {
        candidate.min <= self.min
            && self.max <= candidate.max
            && candidate.has_fractions.is_none_or(|has_fractions| has_fractions == self.has_fractions)
    }

    /// Converts what was read, if only the values tell in which unit they are.
    pub(super) fn decide(
        &self,
        table: &Table,
        options: &Options,
        is_bulk_header: bool,
        collected: &mut Collected,
    ) -> Result<(), SourceError> {
        let (UnitRule::OneOf(candidates), true) = (table.unit, self.count > 0) else {
            return Ok(());
        };
        let is_bulk = self.is_padded && is_bulk_header;
        let possible: Vec<&Candidate> = candidates
            .iter()
            .filter(|candidate| self.allows(candidate))
            .filter(|candidate| !is_bulk || candidate.unit == Unit::TenthsC)
            .collect();
        let Evidence { min, max, .. } = *self;
        let [Candidate { unit, .. }] = possible.as_slice() else {
            let names = |candidates: &[&Candidate], separator: &str| {
                let names: Vec<&str> = candidates.iter().map(|candidate| candidate.unit.name()).collect();
                names.join(separator)
            };
            let all: Vec<&Candidate> = candidates.iter().collect();
            let units = if possible.is_empty() {
                "in none that it may have".to_owned()
            } else {
                names(&possible, " or ")
            };
            let options = names(if possible.is_empty() { &all } else { &possible }, "` or `--unit ");
            return Err(SourceError::UnknownUnit {
                name: collected.name.to_owned(),
                min,
                max,
                units,
                options,
            });
        };
        collected.convert(|value| unit.to_celsius(value));
        let Plausible { min, max } = options.plausible;
        match collected.find(|degrees| !(min..=max).contains(&degrees)) {
            None => Ok(()),
            Some((line, degrees)) => {
                let (name, place) = (collected.name.to_owned(), format!("line {line}"));
                Err(SourceError::Implausible {
                    name,
                    place,
                    found: format!("{degrees:?}"),
                    degrees,
                    min,
                    max,
                })
            }
        }
    }
}
