//! Facts about the place, from the lines before a header.

use super::formats::{Names, clean, is_named};

/// More lines than any known file has before its header.
const ROWS_MAX: usize = 500;

/// The rows before a header, as fields.
#[derive(Debug, Default)]
pub(super) struct Facts(Vec<Vec<String>>);

impl Facts {
    pub(super) fn push<'f>(&mut self, fields: impl Iterator<Item = &'f [u8]>) {
        if self.0.len() < ROWS_MAX {
            self.0.push(fields.map(clean).collect());
        }
    }

    /// The value of the first fact with one of these names: below the name in the next rows, behind it in a row of two,
    /// or behind its colon. Of several rows below, that of the `location` counts or, without locations, the last.
    pub(super) fn get(&self, names: Names, location: &[u8]) -> Option<&str> {
        self.0.iter().enumerate().find_map(|(index, row)| {
            let named = |field: &String| is_named(field.as_bytes(), names);
            match row.iter().position(named) {
                Some(0) if row.len() == 2 => row.get(1).map(String::as_str),
                Some(column) => self.below(index, row, location)?.get(column).map(String::as_str),
                None => row.iter().find_map(|field| {
                    let (name, value) = field.split_once(':')?;
                    is_named(name.as_bytes(), names).then(|| value.trim())
                }),
            }
        })
    }

    fn below(&self, index: usize, header: &[String], location: &[u8]) -> Option<&[String]> {
        let rows = || self.0.iter().skip(index + 1).take_while(|row| row.len() == header.len());
        let found = match header.iter().position(|field| field.eq_ignore_ascii_case("location_id")) {
            Some(column) => rows().find(|row| row.get(column).is_some_and(|id| id.as_bytes() == location)),
            None => rows().last(),
        };
        found.map(Vec::as_slice)
    }
}

/// A number that a unit may follow, as in `71 M`.
pub(super) fn leading_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok().filter(|number: &f64| number.is_finite())
}
