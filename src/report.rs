//! The record: one day's maximum temperature at one place, as bytes and as a value. No IO.

use jiff::civil::Date;
use prost::Message;
use serde::{Deserialize, Serialize};

/// The schema that other languages generate their classes from.
pub const PROTO: &str = include_str!("../proto/report.proto");

/// The largest magnitude, in degrees Celsius, that counts as a temperature.
pub const DEGREES_MAX: f64 = 1e9;

/// Month names in calendar order: the record's key, and the month keys of a checkpoint.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A valid report: a real day of the years 0001 to 9999, and finite degrees Celsius within ±[`DEGREES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    pub date: Date,
    pub degrees: f64,
}

impl Report {
    /// The record's key: the English name of the month.
    pub fn key(&self) -> &'static str {
        MONTHS[usize::from(self.date.month().unsigned_abs()) - 1]
    }

    /// The record's value: protobuf as `report.proto` says.
    pub fn encode(&self) -> Vec<u8> {
        Wire { date: self.date.to_string(), degrees: self.degrees }.encode_to_vec()
    }
}

/// Why a record is kept aside and never counted; the closed list of `partition-N.rejected.jsonl`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The record has no value (a tombstone).
    NoValue,
    /// The value is not a well-formed protobuf message, or field 1 or 2 has another wire type.
    MalformedProtobuf,
    /// `date` is not `YYYY-MM-DD`, or not a real day of the years 0001 to 9999.
    InvalidDate,
    /// `degrees` is not finite, or larger than [`DEGREES_MAX`] either way.
    InvalidDegrees,
}

/// The message of `report.proto`, before it is known to be valid.
#[derive(Clone, PartialEq, Message)]
struct Wire {
    #[prost(string, tag = "1")]
    date: String,
    #[prost(double, tag = "2")]
    degrees: f64,
}

/// Decodes record values, keeping one buffer from record to record.
#[derive(Debug, Default)]
pub struct Decoder {
    wire: Wire,
}

impl Decoder {
    /// The report that `value` holds, or why it is none.
    pub fn decode(&mut self, value: Option<&[u8]>) -> Result<Report, RejectReason> {
        let value = value.ok_or(RejectReason::NoValue)?;
        let (date, degrees) = match usual(value) {
            Some(usual) => usual,
            None => {
                self.wire.clear();
                self.wire.merge(value).map_err(|_| RejectReason::MalformedProtobuf)?;
                (self.wire.date.as_bytes(), self.wire.degrees)
            }
        };
        let date = parse_date(date).ok_or(RejectReason::InvalidDate)?;
        if !is_valid_degrees(degrees) {
            return Err(RejectReason::InvalidDegrees);
        }
        Ok(Report { date, degrees })
    }
}

/// Date and degrees where they are written as by every library: both fields, once, in the order of their numbers. So
/// most records are read without a copy and without a loop over fields that may come in any order.
fn usual(value: &[u8]) -> Option<(&[u8], f64)> {
    const DATE: [u8; 2] = [1 << 3 | 2, 10];
    const DEGREES: [u8; 1] = [2 << 3 | 1];
    let (date, degrees) = value.strip_prefix(&DATE)?.split_at_checked(10)?;
    let degrees = degrees.strip_prefix(&DEGREES)?.try_into().ok()?;
    // What is not UTF-8 is no message.
    date.is_ascii().then_some((date, f64::from_le_bytes(degrees)))
}

/// Whether `degrees` can be a report's: finite, and at most [`DEGREES_MAX`] either way.
pub fn is_valid_degrees(degrees: f64) -> bool {
    degrees.abs() <= DEGREES_MAX
}

/// Reads exactly `dddd-dd-dd` in ASCII digits, a real day of the years 0001 to 9999.
///
/// jiff's own parser takes `20010203` and times as well, which are not valid here.
pub fn parse_date(text: &[u8]) -> Option<Date> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
        return None;
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i16::from(byte - b'0'));
    let year = digit(y1)? * 1000 + digit(y2)? * 100 + digit(y3)? * 10 + digit(y4)?;
    let month = digit(m1)? * 10 + digit(m2)?;
    let day = digit(d1)? * 10 + digit(d2)?;
    if year == 0 {
        return None;
    }
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

#[cfg(test)]
mod tests;
