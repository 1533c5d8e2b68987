//! Open-Meteo's answers to a request for `daily=temperature_2m_max`, as CSV and as JSON.
//!
//! Both declare the unit next to the values. An answer for several places gives each a `location_id`, which stands for
//! the station; a single place is location 0.

use std::fmt;
use std::io::{BufRead, Read};

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, SeqAccess, Visitor};

use super::error::{SourceError, shortened};
use super::options::Unit;
use super::rows::{Row, Rows};
use super::stations::Stations;
use crate::report::{Report, is_valid_degrees, parse_date};

const VARIABLE: &str = "temperature_2m_max";
const EXPECTED_UNIT: &str = "a unit that is known here (°C or °F)";

/// The longest JSON that is read, since it is read as a whole: a hundred places with a century of days have half of it.
const JSON_LENGTH_MAX: u64 = 128 << 20;

/// More than Open-Meteo answers for at once; an empty answer takes far more memory than the two bytes of its text.
const PLACES_MAX: usize = 10_000;

const HINT: &str = "ask Open-Meteo for `daily=temperature_2m_max`";

/// Whether the first line of a file is that of Open-Meteo's CSV, with its preamble or without.
pub(super) fn is_csv(fields: &[&[u8]]) -> bool {
    match fields {
        [b"latitude", ..] | [b"location_id", b"latitude", ..] => {
            fields.contains(&b"utc_offset_seconds".as_slice())
        }
        [b"time", ..] | [b"location_id", b"time", ..] => {
            fields.iter().any(|field| field.starts_with(VARIABLE.as_bytes()))
        }
        _ => false,
    }
}

/// Reads Open-Meteo's CSV: a preamble about the place, then a section for each of hourly, daily and so on.
///
/// A section begins with a header that has a column `time`; those without [`VARIABLE`] are passed over.
pub(super) fn read_csv(name: &str, bytes: impl BufRead, stations: &mut Stations) -> Result<(), SourceError> {
    let mut rows = Rows::new(name, bytes);
    let mut section = None;
    let mut is_found = false;
    let mut without = None;
    while let Some(row) = rows.next()? {
        if row.fields().any(|field| field == b"time") {
            section = Section::of(&row)?;
            is_found |= section.is_some();
            without = Some(row.missing_column(VARIABLE, HINT));
        } else if let Some(section) = &section {
            section.read(&row, stations)?;
        }
    }
    match without {
        Some(error) if !is_found => Err(error),
        _ => Ok(()),
    }
}

/// A section of the CSV that has [`VARIABLE`], by the indices of its columns.
struct Section {
    columns: usize,
    location: Option<usize>,
    time: usize,
    degrees: usize,
    unit: Unit,
}

impl Section {
    fn of(header: &Row) -> Result<Option<Section>, SourceError> {
        let Some((degrees, unit)) = header.fields().enumerate().find_map(|(index, field)| {
            // The unit stands in brackets behind the name; another model's name stands behind an underscore.
            let unit = field.strip_prefix(VARIABLE.as_bytes())?;
            (!unit.starts_with(b"_")).then_some((index, unit))
        }) else {
            return Ok(None);
        };
        let unit = unit.trim_ascii().strip_prefix(b"(").and_then(|unit| unit.strip_suffix(b")"));
        let unit = unit.and_then(|unit| parse_unit(str::from_utf8(unit).ok()?));
        Ok(Some(Section {
            columns: header.len(),
            location: header.fields().position(|field| field == b"location_id"),
            time: header.column("time", HINT)?,
            degrees,
            unit: unit.ok_or_else(|| header.invalid(degrees, VARIABLE, EXPECTED_UNIT))?,
        }))
    }

    fn read(&self, row: &Row, stations: &mut Stations) -> Result<(), SourceError> {
        row.expect_len(self.columns)?;
        // Open-Meteo ends every line: a last value without an end may have lost digits.
        if !row.is_ended && self.degrees + 1 == self.columns {
            return Err(row.cut_off());
        }
        let is_missing = matches!(row.field(self.degrees), b"NaN" | b"");
        if is_missing || !stations.want(self.location.map_or(b"0", |location| row.field(location)))? {
            return Ok(());
        }
        let date = row.date(self.time, "time")?;
        if let Some(degrees) = row.degrees(self.degrees, VARIABLE, self.unit)? {
            stations.add(Report { date, degrees }, false)?;
        }
        Ok(())
    }
}

/// Reads Open-Meteo's JSON: an answer or, for several places, an array of them.
pub(super) fn read_json(name: &str, bytes: impl BufRead, stations: &mut Stations) -> Result<(), SourceError> {
    let mut text = Vec::new();
    let length = bytes.take(JSON_LENGTH_MAX + 1).read_to_end(&mut text);
    if length.map_err(|error| SourceError::read(name, error))? as u64 > JSON_LENGTH_MAX {
        return Err(SourceError::LongJson { name: name.to_owned(), max: JSON_LENGTH_MAX });
    }
    let answers = match text.trim_ascii_start().first() {
        Some(b'[') => parse_json::<Answers>(name, &text)?.0,
        _ => vec![parse_json::<Answer>(name, &text)?],
    };
    answers.into_iter().try_for_each(|answer| answer.read(name, stations))
}

fn parse_json<T: DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, SourceError> {
    serde_json::from_slice(text).map_err(|error| {
        let name = name.to_owned();
        if error.is_eof() {
            let place = format!("its JSON ends at line {}, column {}", error.line(), error.column());
            SourceError::CutOff { name, place }
        } else {
            SourceError::Json { name, what: shortened(&error.to_string()), hint: None }
        }
    })
}

/// An answer for several places.
struct Answers(Vec<Answer>);

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Answers, D::Error> {
        deserializer.deserialize_seq(AnswersVisitor)
    }
}

struct AnswersVisitor;

impl<'de> Visitor<'de> for AnswersVisitor {
    type Value = Answers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of answers for at most {PLACES_MAX} places")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Answers, A::Error> {
        let mut answers = Vec::new();
        while let Some(answer) = seq.next_element()? {
            if answers.len() == PLACES_MAX {
                return Err(de::Error::invalid_length(PLACES_MAX + 1, &self));
            }
            answers.push(answer);
        }
        Ok(Answers(answers))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: bool,
    reason: Option<String>,
    #[serde(default)]
    location_id: u64,
    daily_units: Option<DailyUnits>,
    daily: Option<Daily>,
}

#[derive(Deserialize)]
struct DailyUnits {
    temperature_2m_max: Option<String>,
}

#[derive(Deserialize)]
struct Daily {
    time: Vec<Day>,
    temperature_2m_max: Option<Vec<Degrees>>,
}

impl Answer {
    fn read(self, name: &str, stations: &mut Stations) -> Result<(), SourceError> {
        if self.error {
            let reason = self.reason.map_or_else(|| "no reason given".to_owned(), |text| shortened(&text));
            return Err(SourceError::Refusal { name: name.to_owned(), reason });
        }
        let json = |what: String, hint| SourceError::Json { name: name.to_owned(), what, hint };
        let missing = || json(format!("there is no daily.{VARIABLE}"), Some(HINT));
        let Daily { time, temperature_2m_max } = self.daily.ok_or_else(missing)?;
        let values = temperature_2m_max.ok_or_else(missing)?;
        if time.len() != values.len() {
            let what = format!("{} days in daily.time, but {} values", time.len(), values.len());
            return Err(json(what, None));
        }
        let unit = self.daily_units.and_then(|units| units.temperature_2m_max).unwrap_or_default();
        let unit = parse_unit(&unit).ok_or_else(|| {
            SourceError::invalid(name, format!("daily_units.{VARIABLE}"), unit.as_bytes(), EXPECTED_UNIT)
        })?;
        let location = self.location_id.to_string();
        for (Day(date), Degrees(value)) in time.into_iter().zip(values) {
            let Some(value) = value else { continue };
            if stations.want(location.as_bytes())? {
                stations.add(Report { date, degrees: unit.to_celsius(value) }, false)?;
            }
        }
        Ok(())
    }
}

fn parse_unit(text: &str) -> Option<Unit> {
    match text {
        "°C" => Some(Unit::Celsius),
        "°F" => Some(Unit::Fahrenheit),
        _ => None,
    }
}

/// A date in `daily.time`; checked while it is parsed, when its line is known.
struct Day(Date);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Day, D::Error> {
        deserializer.deserialize_str(DayVisitor)
    }
}

struct DayVisitor;

impl Visitor<'_> for DayVisitor {
    type Value = Day;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a day of the calendar (YYYY-MM-DD) in daily.time")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Day, E> {
        let date = parse_date(text.as_bytes());
        date.map(Day).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// A value of `daily.temperature_2m_max`; null is a missing one.
struct Degrees(Option<f64>);

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Degrees, D::Error> {
        deserializer.deserialize_any(DegreesVisitor)
    }
}

struct DegreesVisitor;

impl Visitor<'_> for DegreesVisitor {
    type Value = Degrees;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a temperature or null in daily.{VARIABLE}")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Degrees, E> {
        Ok(Degrees(None))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Degrees, E> {
        if is_valid_degrees(value) {
            Ok(Degrees(Some(value)))
        } else {
            Err(E::invalid_value(de::Unexpected::Float(value), &self))
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Degrees, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Degrees, E> {
        self.visit_f64(value as f64)
    }
}
