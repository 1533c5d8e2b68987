//! The content of one `partition-N.json`: the month cells and the offset together. Bytes in, values out; no IO.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::report::{Decoder, MONTHS, RejectReason, is_valid_degrees, parse_date};
use crate::stats::{MonthCell, Statistics};

/// The outcome of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    Counted,
    Duplicate,
    Rejected(RejectReason),
}

/// The record lies before the checkpoint's offset: it has had its outcome already, and nothing was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AlreadyPassed;

/// The statistics of a partition's log from its first offset up to, not including, `offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
    pub statistics: Statistics,
}

impl Checkpoint {
    /// Nothing counted yet, and `offset` the first to read.
    pub fn empty(partition: i32, offset: i64) -> Self {
        Checkpoint { partition, offset, statistics: Statistics::default() }
    }

    /// Takes the record at `offset` into the statistics.
    ///
    /// | offset              | value                        | outcome                  | statistics | offset becomes |
    /// |---------------------|------------------------------|--------------------------|------------|----------------|
    /// | below the next one  | any                          | `AlreadyPassed`          | unchanged  | unchanged      |
    /// | at it, or past it   | not a valid report           | `Rejected`               | unchanged  | `offset + 1`   |
    /// | at it, or past it   | a report of another station  | `Rejected(OtherStation)` | unchanged  | `offset + 1`   |
    /// | at it, or past it   | a day counted already        | `Duplicate`              | unchanged  | `offset + 1`   |
    /// | at it, or past it   | a day not counted yet        | `Counted`                | day added  | `offset + 1`   |
    ///
    /// The decoder knows the station that is counted: see [`Decoder::of`]. If it does not, the first valid report decides it.
    /// Reports without a station are of one station as well.
    ///
    /// A day that is added moves `min` if it is strictly lower, and with it `min_date`; likewise `max`. So of equal days
    /// the first in the log is kept. A `min_date` that is unknown stays so until a lower day comes.
    ///
    /// Offsets rise but are sparse (transaction markers, aborted records), so one past the next is in order.
    #[inline(always)]
    pub fn apply(
        &mut self,
        offset: i64,
        value: Option<&[u8]>,
        decoder: &mut Decoder,
    ) -> Result<Outcome, AlreadyPassed> {
        if offset < self.offset {
            return Err(AlreadyPassed);
        }
        self.offset = offset.saturating_add(1);
        Ok(match decoder.observe(value) {
            Err(reason) => Outcome::Rejected(reason),
            Ok(observation) if self.statistics.add(observation) => Outcome::Counted,
            Ok(_) => Outcome::Duplicate,
        })
    }

    /// Moves past offsets that hold no record for a reader of committed data, up to `end`.
    pub fn skip_to(&mut self, end: i64) -> bool {
        let moved = end > self.offset;
        if moved {
            self.offset = end;
        }
        moved
    }

    /// The file's bytes: `partition` and `offset` first, then months and years in calendar order.
    pub fn to_json(&self) -> Vec<u8> {
        /// Of a full month, whose numbers have as many digits as they can; one that lacks days may take more.
        const CELL_BYTES: usize = 248;
        let head = format!("{{\"partition\":{},\"offset\":{}", self.partition, self.offset);
        let mut json = Vec::with_capacity(2 * head.len() + CELL_BYTES * self.statistics.cells().count());
        json.extend_from_slice(head.as_bytes());
        let mut open_month = None;
        for (month, year, cell) in self.statistics.cells() {
            if open_month == Some(month) {
                json.extend_from_slice(b",\n  ");
            } else {
                if open_month.is_some() {
                    json.push(b'}');
                }
                json.extend_from_slice(b",\n \"");
                json.extend_from_slice(MONTHS[month].as_bytes());
                json.extend_from_slice(b"\":{");
                open_month = Some(month);
            }
            push_cell(&mut json, month, year, cell);
        }
        if open_month.is_some() {
            json.push(b'}');
        }
        json.extend_from_slice(b"}\n");
        json
    }

    /// Reads a file's bytes, and refuses what the fold could not have written. The error names line and column.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// Writes a year and its cell.
fn push_cell(json: &mut Vec<u8>, month: usize, year: u16, cell: &MonthCell) {
    let [y1, y2] = two_digits(u32::from(year) / 100);
    let [y3, y4] = two_digits(u32::from(year) % 100);
    let [m1, m2] = two_digits(month as u32 + 1);
    json.extend_from_slice(&[b'"', y1, y2, y3, y4, b'"']);
    json.extend_from_slice(b":{\"count\":");
    push_up_to_99(json, cell.count());
    json.extend_from_slice(b",\"sum\":");
    push_f64(json, cell.sum());
    json.extend_from_slice(b",\"avg\":");
    push_f64(json, cell.avg());
    json.extend_from_slice(b",\"min\":");
    push_degrees(json, cell.min());
    json.extend_from_slice(b",\"max\":");
    push_degrees(json, cell.max());
    let date = |day| {
        let [d1, d2] = two_digits(day);
        [b'"', y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'"']
    };
    json.extend_from_slice(b",\"start\":");
    json.extend_from_slice(&date(cell.first_day()));
    json.extend_from_slice(b",\"end\":");
    json.extend_from_slice(&date(cell.last_day()));
    if let Some(day) = cell.min_day() {
        json.extend_from_slice(b",\"min_date\":");
        json.extend_from_slice(&date(day));
    }
    if let Some(day) = cell.max_day() {
        json.extend_from_slice(b",\"max_date\":");
        json.extend_from_slice(&date(day));
    }
    let mut separator = &b",\"missing\":["[..];
    for day in cell.missing_days() {
        json.extend_from_slice(separator);
        json.extend_from_slice(&date(day));
        separator = b",";
    }
    if separator == b"," {
        json.push(b']');
    }
    json.push(b'}');
}

/// Writes the shortest digits that read back to the same double. Sums of valid degrees are always finite.
fn push_f64(json: &mut Vec<u8>, number: f64) {
    let written = serde_json::to_writer(json, &number);
    debug_assert!(written.is_ok(), "writing to memory");
}

/// The same, sooner for what most thermometers give: degrees below 100, of at most four decimals.
#[inline(always)]
fn push_degrees(json: &mut Vec<u8>, degrees: f64) {
    const SCALE: u16 = 10_000;
    let magnitude = degrees.abs();
    let scaled = (magnitude * f64::from(SCALE) + 0.5) as u32;
    // No two numbers of up to fifteen digits are the same double. So if these digits are it, no fewer are.
    if magnitude >= 100.0 || f64::from(scaled) / f64::from(SCALE) != magnitude {
        return push_f64(json, degrees);
    }
    if degrees.is_sign_negative() {
        json.push(b'-');
    }
    let (whole, decimals) = (scaled / u32::from(SCALE), scaled % u32::from(SCALE));
    push_up_to_99(json, whole);
    let ([d1, d2], [d3, d4]) = (two_digits(decimals / 100), two_digits(decimals % 100));
    json.extend_from_slice(&[b'.', d1, d2, d3, d4]);
    let zeros = [d4, d3, d2].iter().take_while(|digit| **digit == b'0').count();
    json.truncate(json.len() - zeros);
}

#[inline(always)]
fn push_up_to_99(json: &mut Vec<u8>, number: u32) {
    match two_digits(number) {
        [b'0', ones] => json.push(ones),
        tens_and_ones => json.extend_from_slice(&tens_and_ones),
    }
}

/// The digits of a number below 100.
fn two_digits(number: u32) -> [u8; 2] {
    const DIGITS: [[u8; 2]; 100] = {
        let mut digits = [[b'0'; 2]; 100];
        let mut number = 0;
        while number < 100 {
            digits[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
            number += 1;
        }
        digits
    };
    DIGITS[number as usize]
}

impl<'de> Deserialize<'de> for Checkpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = CheckpointVisitor::<IgnoredAny> { member: None, found: PhantomData };
        deserializer.deserialize_map(visitor).map(|(checkpoint, _)| checkpoint)
    }
}

/// Reads a checkpoint, and the value of one `member` more, if that has a name.
pub(crate) struct CheckpointVisitor<T> {
    pub(crate) member: Option<&'static str>,
    pub(crate) found: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for CheckpointVisitor<T> {
    type Value = (Checkpoint, Option<T>);

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a checkpoint: an object with partition, offset and months")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut partition, mut offset, mut seen, mut found) = (None, None, [false; 12], None);
        let mut statistics = Statistics::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "partition" => set_once(&mut partition, "partition", map.next_value::<i32>()?)?,
                "offset" => set_once(&mut offset, "offset", map.next_value::<i64>()?)?,
                name if Some(name) == self.member => {
                    set_once(&mut found, self.member.unwrap_or_default(), map.next_value()?)?;
                }
                name => {
                    let month = MONTHS
                        .iter()
                        .position(|month| *month == name)
                        .ok_or_else(|| de::Error::custom(format_args!("{name:?} is not a month")))?;
                    if std::mem::replace(&mut seen[month], true) {
                        return Err(de::Error::custom(format_args!("{name} is there twice")));
                    }
                    map.next_value_seed(YearsSeed { month, statistics: &mut statistics })?;
                }
            }
        }
        let partition = partition.ok_or_else(|| de::Error::missing_field("partition"))?;
        let offset = offset.ok_or_else(|| de::Error::missing_field("offset"))?;
        if partition < 0 || offset < 0 {
            return Err(de::Error::custom("partition and offset can't be negative"));
        }
        Ok((Checkpoint { partition, offset, statistics }, found))
    }
}

fn set_once<T, E: de::Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

/// Reads one month's object of years into the statistics.
struct YearsSeed<'a> {
    month: usize,
    statistics: &'a mut Statistics,
}

impl<'de> de::DeserializeSeed<'de> for YearsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for YearsSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "the years of {}", MONTHS[self.month])
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let name = MONTHS[self.month];
        while let Some(key) = map.next_key::<String>()? {
            let year = parse_year(&key).ok_or_else(|| {
                de::Error::custom(format_args!("{name}: {key:?} is not a year from 0001 to 9999"))
            })?;
            let CellObject(file) = map.next_value()?;
            let cell = file
                .to_cell(self.month, year)
                .map_err(|reason| de::Error::custom(format_args!("{name} {key}: {reason}")))?;
            let slot = self.statistics.cell_mut(self.month, year);
            if !slot.is_empty() {
                return Err(de::Error::custom(format_args!("{name} {key} is there twice")));
            }
            *slot = cell;
        }
        Ok(())
    }
}

fn parse_year(key: &str) -> Option<u16> {
    let digits = key.len() == 4 && key.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| key.parse().ok()).flatten().filter(|year| *year > 0)
}

/// A month cell as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CellFile<'a> {
    count: u32,
    sum: f64,
    avg: f64,
    min: f64,
    max: f64,
    #[serde(borrow)]
    start: Text<'a>,
    #[serde(borrow)]
    end: Text<'a>,
    /// The first day in the log that reached `min`. Files written before almanac kept it do not have it.
    #[serde(borrow, default, deserialize_with = "present")]
    min_date: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    max_date: Option<Text<'a>>,
    #[serde(default)]
    missing: Vec<String>,
}

/// A text that is not copied.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A key that may be absent, but is never null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text<'de>>, D::Error> {
    Text::deserialize(deserializer).map(Some)
}

/// A month cell that is written as an object: serde's derive reads an array of its fields as well.
struct CellObject<'a>(CellFile<'a>);

impl<'de> Deserialize<'de> for CellObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CellObjectVisitor)
    }
}

struct CellObjectVisitor;

impl<'de> Visitor<'de> for CellObjectVisitor {
    type Value = CellObject<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a month cell")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CellObject<'de>, A::Error> {
        CellFile::deserialize(MapAccessDeserializer::new(map)).map(CellObject)
    }
}

impl CellFile<'_> {
    /// The cell, or what in it the fold could not have written.
    fn to_cell(&self, month: usize, year: u16) -> Result<MonthCell, String> {
        let day = |field: &str, text: &str| day_in_month(field, text, month, year);
        let start = day("start", &self.start.0)?;
        let end = day("end", &self.end.0)?;
        if start > end {
            return Err(format!("start {} is after end {}", self.start.0, self.end.0));
        }
        let mut days = (u32::MAX >> (u32::BITS - (end - start + 1))) << (start - 1);
        for text in &self.missing {
            let missing = day("missing", text)?;
            if missing <= start || missing >= end || days & (1 << (missing - 1)) == 0 {
                return Err(format!("missing day {text} is not between start and end, or is there twice"));
            }
            days &= !(1 << (missing - 1));
        }
        let cell = MonthCell::from_parts(days, self.sum, self.min, self.max);
        if cell.count() != self.count {
            return Err(format!(
                "count is {}, but start, end and missing make {} days",
                self.count,
                cell.count()
            ));
        }
        if !is_valid_degrees(self.min) || !is_valid_degrees(self.max) || self.min > self.max {
            return Err(format!("min {:?} and max {:?} can't be", self.min, self.max));
        }
        // Each of at most 30 additions is off by at most half an ulp of a partial sum, and the division by one more.
        let slack = 1e-14 * self.min.abs().max(self.max.abs()) + f64::MIN_POSITIVE;
        // NaN and infinities can't be written in JSON, so the comparison is between finite numbers.
        if cell.avg().to_bits() != self.avg.to_bits() {
            return Err(format!("avg is {:?}, but sum / count is {:?}", self.avg, cell.avg()));
        }
        if self.sum == 0.0 && self.sum.is_sign_negative() {
            return Err("sum is -0.0, but sums start at 0.0".to_owned());
        }
        // Of one day, or of two in whatever order, there is only one sum.
        let only_sum = match self.count {
            1 if self.min.to_bits() != self.max.to_bits() => {
                return Err(format!("min {:?} and max {:?} differ, but count is 1", self.min, self.max));
            }
            1 => Some(0.0 + self.min),
            2 => Some(0.0 + self.min + self.max),
            _ => None,
        };
        if let Some(sum) = only_sum.filter(|sum| sum.to_bits() != self.sum.to_bits()) {
            return Err(format!("sum is {:?}, but min and max make {sum:?}", self.sum));
        }
        if cell.avg() < self.min - slack || cell.avg() > self.max + slack {
            return Err(format!(
                "avg {:?} is not between min {:?} and max {:?}",
                self.avg, self.min, self.max
            ));
        }
        self.with_dates_of_extremes(cell, month, year)
    }

    /// The cell with the days of its extremes: two days if they differ, and else one.
    fn with_dates_of_extremes(&self, cell: MonthCell, month: usize, year: u16) -> Result<MonthCell, String> {
        let counted = |field: &str, Text(text): &Text| {
            let day = day_in_month(field, text, month, year)?;
            if cell.has_day(day) { Ok(day) } else { Err(format!("{field} {text} was not counted")) }
        };
        let min_day = self.min_date.as_ref().map(|text| counted("min_date", text)).transpose()?;
        let max_day = self.max_date.as_ref().map(|text| counted("max_date", text)).transpose()?;
        match (&self.min_date, &self.max_date) {
            (Some(Text(min)), Some(Text(max))) if (min == max) != (self.min == self.max) => {
                Err(format!("min {:?} on {min} and max {:?} on {max} can't be", self.min, self.max))
            }
            _ => Ok(cell.with_days_of_extremes(min_day, max_day)),
        }
    }
}

fn day_in_month(field: &str, text: &str, month: usize, year: u16) -> Result<u32, String> {
    let in_month = |date: &Date| {
        usize::from(date.month().unsigned_abs()) == month + 1 && date.year().unsigned_abs() == year
    };
    parse_date(text.as_bytes())
        .filter(in_month)
        .map(|date| u32::from(date.day().unsigned_abs()))
        .ok_or_else(|| format!("{field} {text:?} is not a day of that month"))
}

#[cfg(test)]
mod tests;
