//! GHCN-Daily in fixed width: a line for each month of each element.
//!
//! ID 11, YEAR 4, MONTH 2, ELEMENT 4, then 31 times VALUE 5, MFLAG 1, QFLAG 1, SFLAG 1, in tenths of °C:
//! <https://www.ncei.noaa.gov/pub/data/ghcn/daily/readme.txt>.

use std::io::Read;

use super::error::SourceError;
use super::formats::{NOAA, is_element};
use super::numbers::{Decimal, EXPECTED_TENTHS, parse_number};
use super::options::Unit;
use super::rows::Rows;
use super::weather::Collected;
use crate::report::parse_date;

const LENGTH: usize = VALUES_START + 31 * 8;
const VALUES_START: usize = 21;
const MISSING: f64 = -9999.0;

/// No byte of such a file, so that a line is one field.
const NO_DELIMITER: u8 = 0;

/// Whether the first line of a file is that of a .dly file.
pub(super) fn is_dly(line: &[u8]) -> bool {
    line.get(..11).is_some_and(|id| id.iter().all(u8::is_ascii_alphanumeric))
        && line.get(11..17).is_some_and(|month| month.iter().all(u8::is_ascii_digit))
        && line.get(17..21).is_some_and(is_element)
}

pub(super) fn read(name: &str, bytes: impl Read, collected: &mut Collected) -> Result<(), SourceError> {
    let mut rows = Rows::new(name, bytes, NO_DELIMITER);
    let mut months = Months { name, collected, missing: 0 };
    while let Some(row) = rows.next()? {
        let line = row.raw(0);
        if line.len() != LENGTH || row.len() != 1 {
            let place = format!("line {} has {} characters instead of {LENGTH}", row.line, line.len());
            return Err(SourceError::CutOff { name: name.to_owned(), place });
        }
        let (head, values) = line.split_at(VALUES_START);
        if head.ends_with(b"TMAX") {
            months.read(row.line, head, values)?;
        }
    }
    NOAA.credit.name_in(&mut collected.place);
    Ok(())
}

struct Months<'m, 'a> {
    name: &'m str,
    collected: &'m mut Collected<'a>,
    /// Days without a value since the last that has one. After the very last they are only the rest of its month.
    missing: u64,
}

impl Months<'_, '_> {
    /// Reads the days of one line.
    fn read(&mut self, line: u64, head: &[u8], values: &[u8]) -> Result<(), SourceError> {
        let (station, month) = head.split_at(head.len().min(11));
        for (day, value) in (1..).zip(values.chunks_exact(8)) {
            let (value, flags) = value.split_at(5);
            let number = parse_number(value.trim_ascii(), Decimal::Point);
            let column = VALUES_START + 8 * (day - 1) + 1;
            let place = || format!("line {line}, columns {column}-{} (VALUE{day})", column + 4);
            let text = date_text(month, day);
            let date = parse_date(text.as_bytes());
            if number == Some(MISSING) {
                let is_counted = date.is_some() && self.collected.days() > 0;
                self.missing +=
                    u64::from(is_counted && self.collected.station() == Some(station.trim_ascii()));
                continue;
            }
            if !self.collected.is_read(station.trim_ascii())? {
                continue;
            }
            let date = date.ok_or_else(|| {
                SourceError::invalid(self.name, place(), text.as_bytes(), "a day of the calendar")
            })?;
            let tenths = number
                .filter(|tenths| tenths.fract() == 0.0)
                .ok_or_else(|| SourceError::invalid(self.name, place(), value, EXPECTED_TENTHS))?;
            self.collected.account.missing += std::mem::take(&mut self.missing);
            if flags.get(1) != Some(&b' ') && !self.collected.keep_flagged {
                self.collected.account.flagged += 1;
            } else {
                self.collected.add(line, date, Unit::TenthsC.to_celsius(tenths));
            }
        }
        Ok(())
    }
}

/// The date of a day of a line, as far as it is one.
fn date_text(year_and_month: &[u8], day: usize) -> String {
    let text = String::from_utf8_lossy(year_and_month);
    let (year, month) = (text.get(..4).unwrap_or_default(), text.get(4..6).unwrap_or_default());
    format!("{year}-{month}-{day:02}")
}
