//! The format of a file, and the choices that a user makes for it.

use crate::choice::Choice;

/// The format of a file of daily temperatures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InputFormat {
    GhcnCsv,
    GhcnAccess,
    GhcnDly,
    OpenMeteoCsv,
    OpenMeteoJson,
    Csv,
}

impl Choice for InputFormat {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::GhcnCsv, "ghcn-csv", "GHCN-Daily by_station or by_year CSV, with or without a header"),
        (
            Self::GhcnAccess,
            "ghcn-access",
            "NOAA \"access\" CSV of GHCN-Daily: STATION, DATE, …, TMAX, TMAX_ATTRIBUTES",
        ),
        (Self::GhcnDly, "ghcn-dly", "GHCN-Daily fixed width (.dly)"),
        (Self::OpenMeteoCsv, "open-meteo-csv", "Open-Meteo CSV with temperature_2m_max"),
        (Self::OpenMeteoJson, "open-meteo-json", "Open-Meteo JSON with temperature_2m_max"),
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
    /// The header of the date's column in [`InputFormat::Csv`].
    pub date_column: Option<String>,
    /// The header of the temperature's column in [`InputFormat::Csv`].
    pub degrees_column: Option<String>,
    /// The unit of the temperature's column in [`InputFormat::Csv`].
    pub unit: Option<Unit>,
}

impl Options {
    /// Whether anything is said that only [`InputFormat::Csv`] can use.
    pub(super) fn describes_csv(&self) -> bool {
        self.date_column.is_some() || self.degrees_column.is_some() || self.unit.is_some()
    }
}
