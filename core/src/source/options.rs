//! The format of a file, and the choices that a user makes for it.

use super::numbers::Decimal;
use crate::choice::Choice;

/// The format of a file of daily temperatures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InputFormat {
    GhcnCsv,
    GhcnAccess,
    GhcnDly,
    NoaaJson,
    Gsod,
    OpenMeteoCsv,
    OpenMeteoJson,
    Meteostat,
    Dwd,
    Ecad,
    Knmi,
    EnvironmentCanada,
    Bom,
    Iem,
    MetEireann,
    Smhi,
    MeteoSwiss,
    MeteoFrance,
    WeatherUnderground,
    VisualCrossing,
    Csv,
}

impl Choice for InputFormat {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::GhcnCsv, "ghcn-csv", "GHCN-Daily by_station or by_year CSV, with or without a header"),
        (Self::GhcnAccess, "ghcn-access", "NOAA CSV with STATION, DATE, TMAX: access, data service, orders"),
        (Self::GhcnDly, "ghcn-dly", "GHCN-Daily fixed width (.dly)"),
        (Self::NoaaJson, "noaa-json", "JSON of NOAA's Access Data Service, daily-summaries"),
        (Self::Gsod, "gsod", "NOAA Global Surface Summary of the Day, CSV"),
        (Self::OpenMeteoCsv, "open-meteo-csv", "Open-Meteo CSV with temperature_2m_max"),
        (Self::OpenMeteoJson, "open-meteo-json", "Open-Meteo JSON with temperature_2m_max"),
        (Self::Meteostat, "meteostat", "Meteostat daily CSV, with or without a header"),
        (Self::Dwd, "dwd", "DWD daily station observations (KL), text or zip"),
        (Self::Ecad, "ecad", "ECA&D daily maximum temperature (TX)"),
        (Self::Knmi, "knmi", "KNMI daily values of stations (etmgeg)"),
        (Self::EnvironmentCanada, "environment-canada", "Environment Canada daily climate data"),
        (Self::Bom, "bom", "Bureau of Meteorology, Australia: IDCJAC0010"),
        (Self::Iem, "iem", "Iowa Environmental Mesonet, daily summaries"),
        (Self::MetEireann, "met-eireann", "Met Éireann daily data"),
        (Self::Smhi, "smhi", "SMHI daily maximum temperature (parameter 20)"),
        (Self::MeteoSwiss, "meteoswiss", "MeteoSwiss daily values (tre200dx)"),
        (Self::MeteoFrance, "meteo-france", "Météo-France daily climatological data"),
        (Self::WeatherUnderground, "weather-underground", "Weather Underground daily history, CSV"),
        (Self::VisualCrossing, "visual-crossing", "Visual Crossing daily CSV"),
        (Self::Csv, "csv", "Any CSV with a header; its columns and its unit are named"),
    ];
}

/// The unit that a CSV's degrees are in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    Celsius,
    Fahrenheit,
    TenthsC,
}

impl Choice for Unit {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Celsius, "c", "Degrees Celsius"),
        (Self::Fahrenheit, "f", "Degrees Fahrenheit"),
        (Self::TenthsC, "tenths-c", "Tenths of a degree Celsius"),
    ];
}

impl Unit {
    /// `value`, which is in this unit, in °C.
    pub fn to_celsius(self, value: f64) -> f64 {
        match self {
            Unit::Celsius => value,
            Unit::Fahrenheit => (value - 32.0) * 5.0 / 9.0,
            Unit::TenthsC => value / 10.0,
        }
    }
}

/// The temperatures in °C that are not refused, from the lowest to the highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plausible {
    pub min: f64,
    pub max: f64,
}

impl Default for Plausible {
    fn default() -> Plausible {
        Plausible { min: -100.0, max: 100.0 }
    }
}

/// Properties of a file, apart from its bytes.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The format; recognised by content and name if none is given.
    pub format: Option<InputFormat>,
    /// The station to pick; a file may hold several.
    pub station: Option<String>,
    /// The station ID that the reports get instead of the file's own; empty: none.
    pub station_id: Option<String>,
    /// Whether observations that failed a quality check are also taken.
    pub keep_flagged: bool,
    /// The header of the date's column, or of the three columns of year, month and day, with commas between them.
    pub date_column: Option<String>,
    /// How the date is written: a pattern as of strftime or of YYYY, MM and DD, or `unix`.
    pub date_format: Option<String>,
    /// The header of the temperature's column.
    pub degrees_column: Option<String>,
    /// The unit of the temperature's column.
    pub unit: Option<Unit>,
    /// Values that stand for a missing one, besides the usual ones.
    pub missing: Vec<String>,
    /// The header of the station's column.
    pub station_column: Option<String>,
    /// The separator of fields.
    pub delimiter: Option<u8>,
    /// The character before decimals.
    pub decimal: Decimal,
    /// How many lines stand before the header.
    pub skip_lines: Option<u64>,
    /// The temperatures in °C that are not refused.
    pub plausible: Plausible,
}

impl Options {
    /// Whether a CSV of no known format is described: its date and its temperature.
    pub(super) fn describes_csv(&self) -> bool {
        self.date_column.is_some() && self.degrees_column.is_some()
    }

    /// An option that only delimited text has a use for.
    pub(super) fn of_text(&self) -> Option<&'static str> {
        [
            ("--date-column", self.date_column.is_some()),
            ("--date-format", self.date_format.is_some()),
            ("--station-column", self.station_column.is_some()),
            ("--delimiter", self.delimiter.is_some()),
            ("--decimal", self.decimal != Decimal::Either),
            ("--skip-lines", self.skip_lines.is_some()),
        ]
        .into_iter()
        .find_map(|(option, is_given)| is_given.then_some(option))
    }
}
