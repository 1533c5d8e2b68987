//! GHCN-Daily, NOAA's daily observations of the world's stations, in the three layouts that it is published in.
//!
//! Element TMAX is the day's maximum temperature in tenths of °C. A value that failed one of NOAA's quality checks
//! carries a flag. Layouts: <https://www.ncei.noaa.gov/pub/data/ghcn/daily/readme.txt>.

use std::io::BufRead;

use jiff::civil::Date;

use super::error::SourceError;
use super::lines::Lines;
use super::options::Unit;
use super::rows::{MISSING, Row, Rows, parse_number};
use super::stations::Stations;
use crate::report::{Report, is_valid_degrees, parse_date};

const TMAX: &[u8] = b"TMAX";

/// Fields of a by_station or by_year record: ID, DATE, ELEMENT, DATA_VALUE, M_FLAG, Q_FLAG, S_FLAG, OBS_TIME.
const CSV_FIELDS: usize = 8;

/// A .dly line: ID 11, YEAR 4, MONTH 2, ELEMENT 4, then 31 times VALUE 5, MFLAG 1, QFLAG 1, SFLAG 1.
const DLY_LENGTH: usize = DLY_VALUES_START + 31 * 8;
const DLY_VALUES_START: usize = 21;

const EXPECTED_TENTHS: &str = "a temperature in whole tenths of °C";

/// Whether the first line of a file is that of a by_station or by_year CSV, with a header or without.
pub(super) fn is_csv(fields: &[&[u8]]) -> bool {
    let &[_, date, element, _, _, _, _, _] = fields else {
        return false;
    };
    let is_header = element.eq_ignore_ascii_case(b"ELEMENT");
    is_header || (date.len() == 8 && is_digits(date) && is_element(element))
}

/// Whether the first line of a file is that of an "access" CSV.
///
/// The exports of NOAA's order forms look alike, but are in °C or °F as ordered; they have NAME in second place.
pub(super) fn is_access(fields: &[&[u8]]) -> bool {
    matches!(fields, [b"STATION", b"DATE", ..])
}

/// Whether the first line of a file is that of a .dly file.
pub(super) fn is_dly(line: &[u8]) -> bool {
    line.get(..11).is_some_and(|id| id.iter().all(u8::is_ascii_alphanumeric))
        && line.get(11..17).is_some_and(is_digits)
        && line.get(17..21).is_some_and(is_element)
}

/// Reads a by_station or by_year CSV; a header is a record of the element "ELEMENT", wherever it stands.
pub(super) fn read_csv(name: &str, bytes: impl BufRead, stations: &mut Stations) -> Result<(), SourceError> {
    stations.stamp();
    let mut rows = Rows::new(name, bytes);
    while let Some(row) = rows.next()? {
        row.expect_len(CSV_FIELDS)?;
        if row.field(2) != TMAX || is_missing(row.field(3)) || !stations.want(row.field(0))? {
            continue;
        }
        let date = row.date(1, "DATE")?;
        let degrees = degrees(&row, 3, "DATA_VALUE")?;
        stations.add(Report { date, degrees }, !row.field(5).is_empty())?;
    }
    Ok(())
}

/// Reads an "access" CSV: a header, whose columns differ from station to station, and a record a day.
pub(super) fn read_access(
    name: &str,
    bytes: impl BufRead,
    stations: &mut Stations,
) -> Result<(), SourceError> {
    stations.stamp();
    let mut rows = Rows::new(name, bytes);
    let Some(header) = rows.next()? else {
        return Ok(());
    };
    let hint = "name the columns with `--date-column`, `--degrees-column` and `--unit`";
    let (station, date) = (header.column("STATION", hint)?, header.column("DATE", hint)?);
    let (tmax, attributes) = (header.column("TMAX", hint)?, header.column("TMAX_ATTRIBUTES", hint)?);
    let columns = header.len();
    while let Some(row) = rows.next()? {
        row.expect_len(columns)?;
        if is_missing(row.field(tmax)) || !stations.want(row.field(station))? {
            continue;
        }
        let date = row.date(date, "DATE")?;
        let degrees = degrees(&row, tmax, "TMAX")?;
        stations.add(Report { date, degrees }, is_flagged(row.field(attributes)))?;
    }
    Ok(())
}

/// Reads a .dly file: a line for each month of each element.
pub(super) fn read_dly(name: &str, bytes: impl BufRead, stations: &mut Stations) -> Result<(), SourceError> {
    stations.stamp();
    let mut lines = Lines::new(name, bytes);
    while lines.advance_to_text()? {
        if lines.line.len() != DLY_LENGTH {
            let found = lines.line.len();
            let place = format!("line {} has {found} characters instead of {DLY_LENGTH}", lines.number);
            return Err(SourceError::CutOff { name: name.to_owned(), place });
        }
        let (head, values) = lines.line.split_at(DLY_VALUES_START);
        if head.ends_with(TMAX) {
            read_dly_month(name, lines.number, head, values, stations)?;
        }
    }
    Ok(())
}

/// Reads the days of one .dly line.
fn read_dly_month(
    name: &str,
    line: u64,
    head: &[u8],
    values: &[u8],
    stations: &mut Stations,
) -> Result<(), SourceError> {
    let (station, month) = head.split_at(head.len().min(11));
    for (day, value) in (1..).zip(values.chunks_exact(8)) {
        let (value, flags) = value.split_at(5);
        if is_missing(value.trim_ascii()) || !stations.want(station.trim_ascii())? {
            continue;
        }
        let column = DLY_VALUES_START + 8 * (day - 1) + 1;
        let place = || format!("line {line}, columns {column}-{} (VALUE{day})", column + 4);
        let date = dly_date(month, day)
            .map_err(|date| SourceError::invalid(name, place(), date.as_bytes(), "a day of the calendar"))?;
        let degrees = parse_tenths(value.trim_ascii())
            .ok_or_else(|| SourceError::invalid(name, place(), value, EXPECTED_TENTHS))?;
        stations.add(Report { date, degrees }, flags.get(1) != Some(&b' '))?;
    }
    Ok(())
}

/// The date of a day of a .dly line; the error is what the line says instead of one.
fn dly_date(year_and_month: &[u8], day: usize) -> Result<Date, String> {
    let text = String::from_utf8_lossy(year_and_month);
    let (year, month) = (text.get(..4).unwrap_or_default(), text.get(4..6).unwrap_or_default());
    let date = format!("{year}-{month}-{day:02}");
    parse_date(date.as_bytes()).ok_or(date)
}

fn degrees(row: &Row, index: usize, field: &str) -> Result<f64, SourceError> {
    parse_tenths(row.field(index)).ok_or_else(|| row.invalid(index, field, EXPECTED_TENTHS))
}

/// A whole number of tenths of °C, in °C. A fraction would be a sign that the file is in another unit.
fn parse_tenths(text: &[u8]) -> Option<f64> {
    let tenths = parse_number(text).filter(|tenths| tenths.fract() == 0.0)?;
    let degrees = Unit::TenthsC.to_celsius(tenths);
    is_valid_degrees(degrees).then_some(degrees)
}

fn is_missing(value: &[u8]) -> bool {
    value.is_empty() || parse_number(value) == Some(MISSING)
}

/// Whether an "access" file's attributes, `M,Q,S` and perhaps a time, have a quality flag.
fn is_flagged(attributes: &[u8]) -> bool {
    attributes.split(|byte| *byte == b',').nth(1).is_some_and(|flag| !flag.trim_ascii().is_empty())
}

fn is_digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

fn is_element(text: &[u8]) -> bool {
    text.len() == 4 && text.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}
