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
    #[inline(always)]
    pub fn decode(&mut self, value: Option<&[u8]>) -> Result<Report, RejectReason> {
        let value = value.ok_or(RejectReason::NoValue)?;
        match usual(value) {
            Some(report) => Ok(report),
            None => self.decode_any(value),
        }
    }

    #[cold]
    fn decode_any(&mut self, value: &[u8]) -> Result<Report, RejectReason> {
        self.wire.clear();
        self.wire.merge(value).map_err(|_| RejectReason::MalformedProtobuf)?;
        let date = parse_date(self.wire.date.as_bytes()).ok_or(RejectReason::InvalidDate)?;
        if !is_valid_degrees(self.wire.degrees) {
            return Err(RejectReason::InvalidDegrees);
        }
        Ok(Report { date, degrees: self.wire.degrees })
    }
}

/// A valid report that is written as by every library: both fields, once, in the order of their numbers. So most records
/// are read without a copy and without a loop over fields that may come in any order.
#[inline(always)]
fn usual(value: &[u8]) -> Option<Report> {
    const DATE: [u8; 2] = [1 << 3 | 2, 10];
    const DEGREES: u8 = 2 << 3 | 1;
    let &[d0, d1, ref rest @ ..] = <&[u8; 21]>::try_from(value).ok()?;
    let (date, &[tag, ref degrees @ ..]) = rest.split_first_chunk::<10>()? else { return None };
    let degrees = f64::from_le_bytes(degrees.try_into().ok()?);
    if [d0, d1] != DATE || tag != DEGREES || !is_valid_degrees(degrees) {
        return None;
    }
    Some(Report { date: parse_date(date)?, degrees })
}

/// Whether `degrees` can be a report's: finite, and at most [`DEGREES_MAX`] either way.
pub fn is_valid_degrees(degrees: f64) -> bool {
    degrees.abs() <= DEGREES_MAX
}

/// Reads exactly `dddd-dd-dd` in ASCII digits, a real day of the years 0001 to 9999.
///
/// jiff's own parser takes `20010203` and times as well, which are not valid here.
#[inline(always)]
pub fn parse_date(text: &[u8]) -> Option<Date> {
    let (front, back) = text.split_first_chunk()?;
    // A digit becomes its number, a dash 0, and whatever else is more than there may be.
    let front = u64::from_le_bytes(*front) ^ u64::from_le_bytes(*b"0000-00-");
    let back = u16::from_le_bytes(back.try_into().ok()?) ^ u16::from_le_bytes(*b"00");
    if exceeds(front, [9, 9, 9, 9, 0, 9, 9, 0]) || exceeds(back.into(), [9, 9, 0, 0, 0, 0, 0, 0]) {
        return None;
    }
    let [y1, y2, y3, y4, _, m1, m2, _] = front.to_le_bytes();
    let [d1, d2] = back.to_le_bytes();
    let year = i16::from(y1) * 1000 + i16::from(y2) * 100 + i16::from(y3) * 10 + i16::from(y4);
    let (month, day) = (m1 * 10 + m2, d1 * 10 + d2);
    if year == 0 {
        return None;
    }
    Date::new(year, month.cast_signed(), day.cast_signed()).ok()
}

/// Whether any of eight bytes is more than it may be, which is below 128.
fn exceeds(bytes: u64, most: [u8; 8]) -> bool {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    // The high bit of a byte is there already, or comes to be by what the byte is too much.
    (bytes | bytes.wrapping_add(!HIGH_BITS - u64::from_le_bytes(most))) & HIGH_BITS != 0
}

#[cfg(test)]
mod tests;
