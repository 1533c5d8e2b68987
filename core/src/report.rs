//! The record: one day's maximum temperature at one place, as bytes and as a value. No IO.

use jiff::civil::Date;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::place::STATION_BYTES_MAX;

/// The schema that other languages generate their classes from.
pub const PROTO: &str = include_str!("report.proto");

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

    /// The record's value without a station: protobuf as `report.proto` says.
    pub fn encode(&self) -> Vec<u8> {
        Wire { date: self.date.to_string(), degrees: self.degrees, ..Wire::default() }.encode_to_vec()
    }

    /// The same of a station.
    pub fn encode_at(&self, station: &str) -> Vec<u8> {
        [self.encode(), stamp(station)].concat()
    }
}

/// The end of the value of each report of a station: field 3, or nothing without a station.
pub fn stamp(station: &str) -> Vec<u8> {
    Wire { station_id: station.to_owned(), ..Wire::default() }.encode_to_vec()
}

/// Why a record is kept aside and never counted; the closed list of `partition-N.rejected.jsonl`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The record has no value (a tombstone).
    NoValue,
    /// The value is not a well-formed protobuf message, framed for a Schema Registry or not; or field 1, 2 or 3 has another
    /// wire type; or field 1 or 3 is not UTF-8.
    MalformedProtobuf,
    /// `date` is not `YYYY-MM-DD`, or not a real day of the years 0001 to 9999.
    InvalidDate,
    /// `degrees` is not finite, or larger than [`DEGREES_MAX`] either way.
    InvalidDegrees,
    /// The record's batch does not say which offset it has: a producer wrote a wrong one.
    InvalidOffset,
    /// The key, the value or the station ID is far longer than a report's: see [`STATION_BYTES_MAX`].
    TooLarge,
    /// The record, and those behind it in its batch, can't be decoded.
    UnreadableBatch,
    /// A valid report of another station than the one that DIR counts.
    OtherStation,
}

impl std::fmt::Display for RejectReason {
    /// Its name in the rejected file.
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.serialize(formatter)
    }
}

/// The message of `report.proto`, before it is known to be valid.
#[derive(Clone, PartialEq, Message)]
struct Wire {
    #[prost(string, tag = "1")]
    date: String,
    #[prost(double, tag = "2")]
    degrees: f64,
    #[prost(string, tag = "3")]
    station_id: String,
}

/// A valid report in the numbers that it is counted by. Only this module makes one, so its day is one of the calendar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    year: u16,
    month: u8,
    day: u8,
    degrees: f64,
}

impl From<&Report> for Observation {
    #[inline]
    fn from(&Report { date, degrees }: &Report) -> Self {
        let [month, day] = [date.month() - 1, date.day()].map(i8::unsigned_abs);
        Observation { year: date.year().unsigned_abs(), month, day, degrees }
    }
}

impl Observation {
    /// 1 to 9999.
    pub fn year(self) -> u16 {
        self.year
    }

    /// 0 is January.
    pub fn month(self) -> usize {
        self.month.into()
    }

    /// 1 is the first.
    pub fn day(self) -> u32 {
        self.day.into()
    }

    pub fn degrees(self) -> f64 {
        self.degrees
    }

    #[inline]
    fn report(self) -> Option<Report> {
        let Observation { year, month, day, degrees } = self;
        let date = Date::new(year.cast_signed(), (month + 1).cast_signed(), day.cast_signed()).ok()?;
        Some(Report { date, degrees })
    }
}

/// Decodes record values. Its memory of earlier ones makes it faster, and never changes a result.
///
/// It also knows the station that is counted. Until that is decided, the first valid report decides it.
#[derive(Debug, Default)]
pub struct Decoder {
    wire: Wire,
    /// Each at the last digit of the month's number. So months that follow one another, whose days come mixed where some are
    /// late, keep clear of one another.
    months: [KnownMonth; 16],
    /// The station whose reports are counted, once that is decided.
    station: Option<String>,
    /// Whether reports without a station are counted.
    counts_unstamped: bool,
    /// The end of each report that is counted, if it has a station: the bytes of field 3.
    stamp: Vec<u8>,
}

/// A report without a station, as every library writes it.
const UNSTAMPED_BYTES: usize = 21;

impl Decoder {
    /// Counts the reports of this station; an empty one is that of reports without.
    pub fn of(station: &str) -> Decoder {
        let mut decoder = Decoder::default();
        decoder.set_station(station.to_owned());
        decoder
    }

    /// The station whose reports are counted, once that is decided.
    pub fn station(&self) -> Option<&str> {
        self.station.as_deref()
    }

    fn set_station(&mut self, station: String) {
        self.counts_unstamped = station.is_empty();
        self.stamp = stamp(&station);
        self.station = Some(station);
    }

    /// The report that `value` holds, whatever its station, or why it is none.
    #[inline]
    pub fn decode(&mut self, value: Option<&[u8]>) -> Result<Report, RejectReason> {
        let value = value.ok_or(RejectReason::NoValue)?;
        match self.unstamped(value).and_then(Observation::report) {
            Some(report) => Ok(report),
            None => self.any(value),
        }
    }

    /// The same with its station.
    pub fn decode_with_station(&mut self, value: Option<&[u8]>) -> Result<(Report, &str), RejectReason> {
        // A report that is decoded without its station has none.
        self.wire.clear();
        let report = self.decode(value)?;
        Ok((report, &self.wire.station_id))
    }

    /// The report in numbers, if it is of the station that is counted.
    #[inline(always)]
    pub fn observe(&mut self, value: Option<&[u8]>) -> Result<Observation, RejectReason> {
        let value = value.ok_or(RejectReason::NoValue)?;
        let usual = if self.counts_unstamped { self.unstamped(value) } else { None };
        match usual {
            Some(observation) => Ok(observation),
            None => self.counted(value),
        }
    }

    /// A valid report of the counted station that is written as by every library: all fields, once, in the order of their
    /// numbers. So most records are read without a copy and without a loop over fields that may come in any order.
    #[inline(always)]
    fn usual(&mut self, value: &[u8]) -> Option<Observation> {
        let (report, stamp) = value.split_first_chunk()?;
        (self.station.is_some() && stamp == self.stamp).then(|| self.date_and_degrees(report))?
    }

    /// The same without a station, whichever is counted.
    #[inline(always)]
    fn unstamped(&mut self, value: &[u8]) -> Option<Observation> {
        self.date_and_degrees(value.try_into().ok()?)
    }

    #[inline(always)]
    fn date_and_degrees(&mut self, report: &[u8; UNSTAMPED_BYTES]) -> Option<Observation> {
        const DATE: [u8; 2] = [1 << 3 | 2, 10];
        const DEGREES: u8 = 2 << 3 | 1;
        let (head, rest) = report.split_first_chunk()?;
        let (front, &[tens, ones, tag, ref degrees @ ..]) = rest.split_first_chunk()? else { return None };
        if *head != DATE || tag != DEGREES {
            return None;
        }
        let KnownMonth { year, month, days, .. } = *self.month(front)?;
        let day = (u32::from(tens) * 10 + u32::from(ones)).wrapping_sub(11 * u32::from(b'0'));
        // Below the first of a month it wraps to what is past the last one. With a digit behind it, nothing but 0 to 3
        // as the tens leads to a day of a month.
        let is_valid_day = ones.is_ascii_digit() && day.wrapping_sub(1) < days.into();
        let degrees = f64::from_le_bytes(degrees.try_into().ok()?);
        let is_valid = is_valid_day && is_valid_degrees(degrees);
        is_valid.then_some(Observation { year, month, day: day as u8, degrees })
    }

    /// A valid report in any form, if it is of the station that is counted. Without such a station, it decides which is.
    #[inline(never)]
    fn counted(&mut self, value: &[u8]) -> Result<Observation, RejectReason> {
        // Of a topic whose values are framed, most messages are as usual behind the frame.
        if let Some(observation) = self.usual(unframed(value)?) {
            return Ok(observation);
        }
        self.wire.clear();
        let report = self.any(value)?;
        match &self.station {
            None => self.set_station(self.wire.station_id.clone()),
            Some(station) if *station == self.wire.station_id => {}
            Some(_) => return Err(RejectReason::OtherStation),
        }
        Ok(Observation::from(&report))
    }

    #[cold]
    #[inline(never)]
    fn any(&mut self, value: &[u8]) -> Result<Report, RejectReason> {
        let message = unframed(value)?;
        // A value without a frame was tried before.
        let usual = if message.len() < value.len() { self.unstamped(message) } else { None };
        match usual.and_then(Observation::report) {
            Some(report) => Ok(report),
            None => self.message(message),
        }
    }

    fn message(&mut self, message: &[u8]) -> Result<Report, RejectReason> {
        self.wire.clear();
        self.wire.merge(message).map_err(|_| RejectReason::MalformedProtobuf)?;
        let date = parse_date(self.wire.date.as_bytes()).ok_or(RejectReason::InvalidDate)?;
        if !is_valid_degrees(self.wire.degrees) {
            return Err(RejectReason::InvalidDegrees);
        }
        if self.wire.station_id.len() > STATION_BYTES_MAX {
            return Err(RejectReason::TooLarge);
        }
        Ok(Report { date, degrees: self.wire.degrees })
    }

    /// The month of the dates that begin with `front`, if there is one.
    #[inline(always)]
    fn month(&mut self, front: &[u8; 8]) -> Option<&KnownMonth> {
        let known = &mut self.months[usize::from(front[6] % 16)];
        (known.front == *front || known.read(front)).then_some(known)
    }
}

/// The protobuf message in a value. Confluent's serialisers frame it for a Schema Registry: a zero byte, four bytes of
/// schema id, and the path to the message's type in its schema. The path is a count and as many indexes. Instead of the
/// path to the first type, `[0]`, they write the count 0.
///
/// No protobuf message begins with a zero byte, since field numbers start at 1. So the first byte decides.
///
/// The path is not compared with anything: only the registry knows its types' names. A message of any type is a report
/// if it reads as one, framed or not.
fn unframed(value: &[u8]) -> Result<&[u8], RejectReason> {
    match value {
        [0, frame @ ..] => after_frame(frame).ok_or(RejectReason::MalformedProtobuf),
        _ => Ok(value),
    }
}

/// The bytes after schema id and path.
fn after_frame(frame: &[u8]) -> Option<&[u8]> {
    let (_schema_id, mut rest) = frame.split_first_chunk::<4>()?;
    // A count that lies ends with the bytes.
    for _ in 0..frame_number(&mut rest)? {
        frame_number(&mut rest)?;
    }
    Some(rest)
}

/// A number of the path, as Kafka writes an `int`: a varint in zigzag form. None of them is negative.
fn frame_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut zigzag = 0_u64;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        zigzag |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let zigzag = u32::try_from(zigzag).ok()?;
            return zigzag.is_multiple_of(2).then_some(zigzag / 2);
        }
    }
    None
}

/// A month that a date has been read of. Days of one month come together, so of most dates all but the day has been read
/// before, and found to be right.
#[derive(Clone, Copy, Debug, Default)]
struct KnownMonth {
    /// The beginning of its dates, `yyyy-mm-`.
    front: [u8; 8],
    year: u16,
    /// 0 is January.
    month: u8,
    /// 0 where no date has been read yet.
    days: u8,
}

impl KnownMonth {
    /// Becomes the month of the dates that begin with `front`. Says whether there is one.
    #[cold]
    fn read(&mut self, front: &[u8; 8]) -> bool {
        let mut first_day = *b"yyyy-mm-01";
        first_day[..8].copy_from_slice(front);
        let Some(date) = parse_date(&first_day) else { return false };
        let Observation { year, month, .. } = Observation::from(&Report { date, degrees: 0.0 });
        *self = KnownMonth { front: *front, year, month, days: date.days_in_month().unsigned_abs() };
        true
    }
}

/// Whether `degrees` can be a report's: finite, and at most [`DEGREES_MAX`] either way.
pub fn is_valid_degrees(degrees: f64) -> bool {
    degrees.abs() <= DEGREES_MAX
}

/// Reads exactly `dddd-dd-dd` in ASCII digits, a real day of the years 0001 to 9999.
///
/// jiff's own parser takes `20010203` and times as well, which are not valid here.
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
    // The high bit of a byte that is too large is set, either before or by the addition.
    (bytes | bytes.wrapping_add(!HIGH_BITS - u64::from_le_bytes(most))) & HIGH_BITS != 0
}

#[cfg(test)]
mod tests;
