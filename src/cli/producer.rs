//! Options of the producer, and those of it that `up` has.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use jiff::civil::Date;

use super::shared::{Kafka, Metrics, choice, whole};
use crate::arguments::{parse_degrees, parse_duration, parse_place, parse_rate, parse_start, parse_station};
use crate::feed::Input;
use crate::source::{Decimal, InputFormat, Options, Plausible, Unit};

/// A server is not to be asked more often.
const EVERY_MIN: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub struct Producer {
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub pace: Pace,
    /// Keep the topic, send its missing days, then continue
    #[arg(long, conflicts_with = "recreate")]
    pub append: bool,
    /// Delete the topic, even on another machine
    #[arg(long)]
    pub recreate: bool,
    /// Partitions of the topic
    #[arg(long, value_name = "N", default_value = "4",
          value_parser = whole::<i32>(1..=10_000))]
    pub partitions: i32,
    /// Replicas of each partition
    #[arg(long, value_name = "N", default_value = "1", hide_short_help = true,
          value_parser = whole::<i32>(1..=100))]
    pub replication: i32,
    #[command(flatten)]
    pub metrics: Metrics,
    #[command(flatten)]
    pub synthetic: Synthetic,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Args, Clone, Debug)]
pub struct Pace {
    /// Time between days; 0: as fast as possible
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_duration)]
    pub interval: Duration,
    /// Stop after this many distinct days
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX))]
    pub days: Option<u64>,
    /// Mean number of duplicates of a day [default: 0.05; 0 with --file]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub duplicates: Option<f64>,
    /// Degrees of the duplicates, in °C, so that counting one shows
    #[arg(long, value_name = "DEGREES", hide_short_help = true,
          value_parser = parse_degrees)]
    pub duplicate_degrees: Option<f64>,
    /// Longest gap to fill between days in the topic, in years
    #[arg(long, value_name = "YEARS", default_value = "100", hide_short_help = true,
          value_parser = whole::<u32>(0..=9999))]
    pub gap_max: u32,
}

#[derive(Args, Clone, Debug)]
pub struct Synthetic {
    /// Seed of the synthetic weather
    #[arg(long, value_name = "N", default_value = "0", value_parser = whole::<u64>(0..=u64::MAX),
          help_heading = "Synthetic weather")]
    pub seed: u64,
    /// First day [default: 1990-01-01; with --append, the first in the topic]
    #[arg(long, value_name = "DATE", value_parser = parse_start,
          help_heading = "Synthetic weather")]
    pub start: Option<Date>,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Real weather")]
#[command(group(ArgGroup::new("weather").args(["files", "ghcn", "open_meteo"])))]
pub struct Files {
    /// Files, directories, patterns, URLs or - (stdin): docs/WEATHER.md
    #[arg(long = "file", value_name = "PATH", num_args = 1.., conflicts_with_all = ["seed", "start"])]
    pub files: Vec<PathBuf>,
    /// Fetch a station of NOAA's GHCN-Daily
    #[arg(long, value_name = "ID", value_parser = parse_ghcn,
          conflicts_with_all = ["seed", "start"])]
    pub ghcn: Option<String>,
    /// Fetch a place of Open-Meteo's archive (non-commercial use)
    #[arg(long, value_name = "LAT,LON", value_parser = parse_coordinates,
          allow_hyphen_values = true, conflicts_with_all = ["seed", "start"])]
    pub open_meteo: Option<(f64, f64)>,
    /// Read it again this often, send what is new: see docs/FEEDS.md
    #[arg(long, value_name = "TIME", requires = "weather", conflicts_with = "days", value_parser = parse_every)]
    pub every: Option<Duration>,
    /// Format of the files, if it is not recognised
    #[arg(
        long,
        value_name = "FORMAT",
        requires = "weather",
        value_parser = choice::<InputFormat>(),
        hide_short_help = true
    )]
    pub input_format: Option<InputFormat>,
    /// Station to pick from several
    #[arg(long, value_name = "ID", requires = "weather")]
    pub station: Option<String>,
    /// Station ID of the reports, instead of the file's own
    #[arg(long, value_name = "ID", requires = "weather", value_parser = parse_station)]
    pub station_id: Option<String>,
    /// Name of the place, for plots and the dashboard
    #[arg(long, value_name = "NAME", requires = "weather", value_parser = parse_place)]
    pub place: Option<String>,
    /// Also send observations that failed a quality check
    #[arg(long, requires = "weather", hide_short_help = true)]
    pub keep_flagged: bool,
    /// Column of the date in a CSV, or three: YEAR,MONTH,DAY
    #[arg(long, value_name = "NAME", requires = "weather", hide_short_help = true)]
    pub date_column: Option<String>,
    /// How dates are written, as %d.%m.%Y or DD.MM.YYYY; or unix
    #[arg(long, value_name = "PATTERN", requires = "weather", hide_short_help = true)]
    pub date_format: Option<String>,
    /// Column of the temperature in a CSV or of a model in Open-Meteo's
    #[arg(long, value_name = "NAME", requires = "weather", hide_short_help = true)]
    pub degrees_column: Option<String>,
    /// Unit of that column
    #[arg(long, requires = "weather", value_parser = choice::<Unit>(), hide_short_help = true)]
    pub unit: Option<Unit>,
    /// Values that stand for a missing one, besides the usual ones
    #[arg(long, value_name = "VALUE", num_args = 1.., requires = "weather",
          hide_short_help = true)]
    pub missing: Vec<String>,
    /// Temperatures in °C that are not refused [default: -100..100]
    #[arg(long, value_name = "MIN..MAX", requires = "weather", value_parser = parse_plausible,
          allow_hyphen_values = true, hide_short_help = true)]
    pub plausible: Option<Plausible>,
    /// Column of the station in a CSV
    #[arg(long, value_name = "NAME", requires = "weather", hide_short_help = true)]
    pub station_column: Option<String>,
    /// Separator of the fields of a CSV: a character, or tab
    #[arg(long, value_name = "CHARACTER", requires = "weather", value_parser = parse_delimiter,
          hide_short_help = true)]
    pub delimiter: Option<u8>,
    /// Mark before decimals: . or ,
    #[arg(long, value_name = "CHARACTER", requires = "weather", value_parser = parse_decimal,
          hide_short_help = true)]
    pub decimal: Option<Decimal>,
    /// Lines before the header of a CSV
    #[arg(long, value_name = "N", requires = "weather", value_parser = whole::<u64>(0..=u64::MAX),
          hide_short_help = true)]
    pub skip_lines: Option<u64>,
}

impl Files {
    /// The sources of real weather.
    pub fn input(&self) -> Option<Input> {
        let place = |(latitude, longitude)| Input::OpenMeteo { latitude, longitude };
        let paths = || (!self.files.is_empty()).then(|| Input::Paths(self.files.clone()));
        self.ghcn.clone().map(Input::Ghcn).or_else(|| self.open_meteo.map(place)).or_else(paths)
    }

    /// The options of the files, without their paths.
    pub fn options(&self) -> Options {
        Options {
            format: self.input_format,
            station: self.station.clone(),
            station_id: self.station_id.clone(),
            keep_flagged: self.keep_flagged,
            date_column: self.date_column.clone(),
            date_format: self.date_format.clone(),
            degrees_column: self.degrees_column.clone(),
            unit: self.unit,
            missing: self.missing.clone(),
            station_column: self.station_column.clone(),
            delimiter: self.delimiter,
            decimal: self.decimal.unwrap_or_default(),
            skip_lines: self.skip_lines,
            plausible: self.plausible.unwrap_or_default(),
        }
    }
}

fn parse_ghcn(text: &str) -> Result<String, String> {
    let is_id =
        text.len() == 11 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    match is_id {
        true => Ok(text.to_ascii_uppercase()),
        false => Err("it is not the 11 characters of a station, such as USW00014837".to_owned()),
    }
}

fn parse_coordinates(text: &str) -> Result<(f64, f64), String> {
    let numbers = text.split_once(',').and_then(|(latitude, longitude)| {
        Some((latitude.trim().parse::<f64>().ok()?, longitude.trim().parse::<f64>().ok()?))
    });
    match numbers {
        Some(place @ (latitude, longitude)) if latitude.abs() <= 90.0 && longitude.abs() <= 180.0 => {
            Ok(place)
        }
        _ => Err("it is not LATITUDE,LONGITUDE in degrees, such as 43.07,-89.40".to_owned()),
    }
}

fn parse_every(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        every if every < EVERY_MIN => Err("it is shorter than a second".to_owned()),
        every => Ok(every),
    }
}

fn parse_plausible(text: &str) -> Result<Plausible, String> {
    let limits = text
        .split_once("..")
        .and_then(|(min, max)| Some((parse_degrees(min).ok()?, parse_degrees(max).ok()?)));
    match limits {
        Some((min, max)) if min < max => Ok(Plausible { min, max }),
        _ => Err("it is not MIN..MAX in °C, such as -60..60".to_owned()),
    }
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("tab" | "\\t", _) => Ok(b'\t'),
        ("space", _) => Ok(b' '),
        (_, [byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err("it is not one character".to_owned()),
    }
}

fn parse_decimal(text: &str) -> Result<Decimal, String> {
    match text {
        "." | "point" => Ok(Decimal::Point),
        "," | "comma" => Ok(Decimal::Comma),
        _ => Err("it is not a point or a comma".to_owned()),
    }
}
