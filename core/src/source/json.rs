//! Daily maxima as JSON: Open-Meteo's answers, and those of NOAA's Access Data Service.
//!
//! Open-Meteo declares the unit next to the values. Its answer for several places is an array, in which a `location_id`
//! stands for the station; a single place is location 0. NOAA's is an array of days, in a unit that it does not say.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::columns::EXPECTED_UNIT;
use super::dates::DateForm;
use super::error::{SourceError, listed, shortened};
use super::formats::{OPEN_METEO, OPEN_METEO_ADVICE, OPEN_METEO_VARIABLE, parse_unit};
use super::options::{Options, Plausible};
use super::weather::Collected;
use crate::place::Place;
use crate::report::is_valid_degrees;

/// The longest JSON that is read, since it is read as a whole: a hundred places with a century of days have half of it.
const JSON_LENGTH_MAX: u64 = 128 << 20;

/// More than Open-Meteo answers for at once; an empty answer takes far more memory than the two bytes of its text.
const PLACES_MAX: usize = 10_000;

fn text_of(name: &str, bytes: impl Read) -> Result<Vec<u8>, SourceError> {
    let mut text = Vec::new();
    let length = bytes.take(JSON_LENGTH_MAX + 1).read_to_end(&mut text);
    if length.map_err(|error| SourceError::read(name, error))? as u64 > JSON_LENGTH_MAX {
        return Err(SourceError::LongJson { name: name.to_owned(), max: JSON_LENGTH_MAX });
    }
    Ok(text)
}

fn parse_json<T: DeserializeOwned>(name: &str, whose: &'static str, text: &[u8]) -> Result<T, SourceError> {
    serde_json::from_slice(text).map_err(|error| {
        let name = name.to_owned();
        if error.is_eof() {
            let place = format!("its JSON ends at line {}, column {}", error.line(), error.column());
            SourceError::CutOff { name, place }
        } else {
            SourceError::Json { name, whose, what: shortened(&error.to_string()), hint: None }
        }
    })
}

/// Reads NOAA's days as rows of its CSV, so that both are read alike.
pub(super) fn noaa_as_csv(name: &str, bytes: impl Read) -> Result<Vec<u8>, SourceError> {
    let days: Vec<NoaaDay> = parse_json(name, "NOAA", &text_of(name, bytes)?)?;
    let has_attributes = days.iter().any(|day| day.attributes.is_some());
    let mut csv = b"STATION,DATE,LATITUDE,LONGITUDE,ELEVATION,STATION_NAME,TMAX".to_vec();
    csv.extend_from_slice(if has_attributes { b",TMAX_ATTRIBUTES\n" } else { b"\n" });
    for day in days {
        let mut fields =
            vec![day.station, day.date, day.latitude, day.longitude, day.elevation, day.place, day.tmax];
        fields.extend(has_attributes.then_some(day.attributes));
        for (index, field) in fields.into_iter().enumerate() {
            csv.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            csv.extend_from_slice(
                field.unwrap_or_default().replace('"', "\"\"").replace('\n', " ").as_bytes(),
            );
            csv.push(b'"');
        }
        csv.push(b'\n');
    }
    Ok(csv)
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct NoaaDay {
    station: Option<String>,
    date: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    latitude: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    longitude: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    elevation: Option<String>,
    #[serde(rename = "NAME")]
    place: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    tmax: Option<String>,
    #[serde(rename = "TMAX_ATTRIBUTES")]
    attributes: Option<String>,
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Text(String),
        Number(serde_json::Number),
    }
    Ok(Option::<Value>::deserialize(deserializer)?.map(|value| match value {
        Value::Text(text) => text,
        Value::Number(number) => number.to_string(),
    }))
}

/// Reads Open-Meteo's JSON: an answer or, for several places, an array of them.
pub(super) fn read_open_meteo(
    name: &str,
    bytes: impl Read,
    options: &Options,
    collected: &mut Collected,
) -> Result<(), SourceError> {
    let text = text_of(name, bytes)?;
    let answers = match text.trim_ascii_start().first() {
        Some(b'[') => parse_json::<Answers>(name, "Open-Meteo", &text)?.0,
        _ => vec![parse_json::<Answer>(name, "Open-Meteo", &text)?],
    };
    answers.into_iter().try_for_each(|answer| answer.read(name, options, collected))
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
    latitude: Option<f64>,
    longitude: Option<f64>,
    elevation: Option<f64>,
    #[serde(default)]
    utc_offset_seconds: i64,
    daily_units: Option<BTreeMap<String, String>>,
    daily: Option<Daily>,
    hourly: Option<IgnoredAny>,
}

/// The days, and the values of each column of daily maxima: several for several models.
struct Daily {
    time: Vec<Day>,
    maxima: BTreeMap<String, Vec<Degrees>>,
}

impl Answer {
    fn read(mut self, name: &str, options: &Options, collected: &mut Collected) -> Result<(), SourceError> {
        if self.error {
            let reason = self.reason.map_or_else(|| "no reason given".to_owned(), |text| shortened(&text));
            return Err(SourceError::Refusal { name: name.to_owned(), reason });
        }
        let wanted = options.degrees_column.as_deref().unwrap_or(OPEN_METEO_VARIABLE);
        let (time, values) = self.take_days(name, wanted)?;
        let unit = self.daily_units.take().unwrap_or_default().remove(wanted).unwrap_or_default();
        let unit = options.unit.or_else(|| parse_unit(&unit)).ok_or_else(|| {
            SourceError::invalid(name, format!("daily_units.{wanted}"), unit.as_bytes(), EXPECTED_UNIT)
        })?;
        let location = self.location_id.to_string();
        if time.is_empty() || !collected.is_read(location.as_bytes())? {
            return Ok(());
        }
        self.describe(&mut collected.place);
        let Plausible { min, max } = options.plausible;
        for (index, (day, Degrees(value))) in time.into_iter().zip(values).enumerate() {
            let Some(value) = value else {
                collected.account.missing += 1;
                continue;
            };
            let date = day.date(self.utc_offset_seconds).ok_or_else(|| {
                let (place, found) = (format!("daily.time[{index}]"), format!("{day:?}"));
                SourceError::invalid(name, place, found.as_bytes(), "a local midnight")
            })?;
            let degrees = unit.to_celsius(value);
            if !(min..=max).contains(&degrees) {
                let (name, found) = (name.to_owned(), value.to_string());
                let place = format!("daily.{wanted}[{index}]");
                return Err(SourceError::Implausible { name, place, found, degrees, min, max });
            }
            collected.add(index as u64 + 1, date, degrees);
        }
        Ok(())
    }

    /// The days, and the wanted values of each.
    fn take_days(&mut self, name: &str, wanted: &str) -> Result<(Vec<Day>, Vec<Degrees>), SourceError> {
        let json =
            |what: String, hint| SourceError::Json { name: name.to_owned(), whose: "Open-Meteo", what, hint };
        let but = if self.hourly.is_some() { ", only hourly values" } else { "" };
        let missing = || json(format!("there is no daily.{wanted}{but}"), Some(OPEN_METEO_ADVICE));
        let Daily { time, mut maxima } = self.daily.take().ok_or_else(missing)?;
        let Some(values) = maxima.remove(wanted) else {
            if maxima.is_empty() {
                return Err(missing());
            }
            let columns = listed(maxima.keys().map(String::as_bytes));
            return Err(SourceError::SeveralColumns { name: name.to_owned(), count: maxima.len(), columns });
        };
        if time.len() != values.len() {
            let what = format!("{} days in daily.time, but {} values", time.len(), values.len());
            return Err(json(what, None));
        }
        Ok((time, values))
    }

    fn describe(&self, place: &mut Place) {
        (place.latitude, place.longitude, place.elevation) = (self.latitude, self.longitude, self.elevation);
        if let (Some(latitude), Some(longitude)) = (self.latitude, self.longitude) {
            place.station = format!("{latitude},{longitude}");
        }
        OPEN_METEO.name_in(place);
    }
}

impl<'de> Deserialize<'de> for Daily {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Daily, D::Error> {
        deserializer.deserialize_map(DailyVisitor)
    }
}

struct DailyVisitor;

impl<'de> Visitor<'de> for DailyVisitor {
    type Value = Daily;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns in daily")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Daily, A::Error> {
        let mut daily = Daily { time: Vec::new(), maxima: BTreeMap::new() };
        while let Some(column) = map.next_key::<String>()? {
            if column == "time" {
                daily.time = map.next_value()?;
            } else if column.starts_with(OPEN_METEO_VARIABLE) {
                daily.maxima.insert(column, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(daily)
    }
}

/// A day in `daily.time`; a date is checked while it is parsed, when its line is known.
#[derive(Debug)]
enum Day {
    Date(Date),
    Seconds(i64),
}

impl Day {
    fn date(&self, offset: i64) -> Option<Date> {
        match self {
            Day::Date(date) => Some(*date),
            Day::Seconds(seconds) => DateForm::Unix.parse(seconds.to_string().as_bytes(), offset).ok(),
        }
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Day, D::Error> {
        deserializer.deserialize_any(DayVisitor)
    }
}

struct DayVisitor;

impl Visitor<'_> for DayVisitor {
    type Value = Day;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a day of the calendar (YYYY-MM-DD) in daily.time")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Day, E> {
        let date = DateForm::Clear.parse(text.as_bytes(), 0);
        date.map(Day::Date).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Day, E> {
        Ok(Day::Seconds(seconds))
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Day, E> {
        let seconds =
            i64::try_from(seconds).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(seconds), &self))?;
        Ok(Day::Seconds(seconds))
    }
}

/// A value of a column of daily maxima; null is a missing one.
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
        write!(f, "a temperature or null in daily.{OPEN_METEO_VARIABLE}")
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
