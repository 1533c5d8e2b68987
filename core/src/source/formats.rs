//! The known formats of delimited text, as data. [`super::table`] reads them all.
//!
//! A new one is a variant of [`InputFormat`] with its help, a row here with the public source of its definition, a
//! fixture in `tests/fixtures/weather/` and a line in `docs/WEATHER.md`.

use super::dates::DateForm;
use super::options::{InputFormat, Unit};
use crate::place::Place;

/// Names of a column, of which a file has one. Case does not matter; `*` at the end stands for whatever follows.
pub(super) type Names<'t> = &'t [&'t str];

/// A format of delimited text.
#[derive(Clone)]
pub(super) struct Table<'t> {
    pub(super) format: InputFormat,
    /// Its header has a column of each of these.
    pub(super) header: &'t [Names<'t>],
    /// How to recognise a file without a header.
    pub(super) bare: Option<Bare>,
    /// The column that says what a row is about, and which rows are read.
    pub(super) element: Option<(&'t str, &'t [u8])>,
    pub(super) date: Dates<'t>,
    pub(super) date_form: DateForm<'t>,
    pub(super) degrees: Names<'t>,
    pub(super) unit: UnitRule,
    /// Marks of a missing value, besides the usual words.
    pub(super) missing: Names<'t>,
    pub(super) flag: Flag<'t>,
    /// The station and what is known of it: columns, or facts in the lines before the header.
    pub(super) station: Names<'t>,
    pub(super) name: Names<'t>,
    pub(super) latitude: Names<'t>,
    pub(super) longitude: Names<'t>,
    pub(super) elevation: Names<'t>,
    /// Whether rows may end before columns that are of no use here.
    pub(super) is_ragged: bool,
    /// Whether its writer ends every line, so that a last line without an end is cut off.
    pub(super) ends_lines: bool,
    /// Whether there may be sections without the temperature, each with its header.
    pub(super) has_sections: bool,
    /// A text that the lines before the header must have for the values to be daily maxima.
    pub(super) told_by: Option<&'t str>,
    /// The hint if there are no daily maxima in it.
    pub(super) advice: &'t str,
    pub(super) credit: Credit,
}

/// A file without a header: its columns, and whether the fields of its first line fit.
#[derive(Clone, Copy)]
pub(super) struct Bare {
    pub(super) columns: &'static [&'static str],
    pub(super) fits: fn(&[&[u8]]) -> bool,
}

#[derive(Clone, Copy)]
pub(super) enum Dates<'t> {
    Column(Names<'t>),
    /// Year, month and day.
    Columns([Names<'t>; 3]),
}

/// How the unit is known.
#[derive(Clone, Copy)]
pub(super) enum UnitRule {
    Is(Unit),
    /// Whole tenths of °C; a fraction is an error.
    WholeTenths,
    /// In the header of the column.
    InHeader,
    /// Nowhere: it is the only one of these that the values can be in, or the file is refused.
    OneOf(&'static [Candidate]),
}

/// A unit that values may be in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) unit: Unit,
    pub(super) min: f64,
    pub(super) max: f64,
    /// Whether there must be fractions, or must not.
    pub(super) has_fractions: Option<bool>,
}

/// The values that failed a quality check.
#[derive(Clone, Copy)]
pub(super) enum Flag<'t> {
    None,
    /// Those with a text in this column.
    Set(Names<'t>),
    /// Those with a text in this part, from 0, of a column with commas in it.
    Part(Names<'t>, usize),
    /// Those with one of these in the column.
    OneOf(Names<'t>, Names<'t>),
    /// Those with none of these in the column.
    NoneOf(Names<'t>, Names<'t>),
}

/// The definition of a format, and the source and the terms of its data.
#[derive(Clone, Copy, Default)]
pub(super) struct Credit {
    pub(super) definition: &'static str,
    pub(super) source: Option<&'static str>,
    pub(super) attribution: Option<&'static str>,
    pub(super) licence: Option<&'static str>,
}

impl Credit {
    /// Says in the description of a place whose data it has.
    pub(super) fn name_in(&self, place: &mut Place) {
        let text = |text: Option<&str>| text.map(str::to_owned);
        (place.source, place.attribution, place.licence) =
            (text(self.source), text(self.attribution), text(self.licence));
    }
}

/// The hottest and the coldest days at any station, with room: 56.7 °C and daily maxima below -80 °C.
const CELSIUS: Candidate = Candidate { unit: Unit::Celsius, min: -95.0, max: 60.0, has_fractions: None };
const FAHRENHEIT: Candidate =
    Candidate { unit: Unit::Fahrenheit, min: -140.0, max: 140.0, has_fractions: None };
const TENTHS: Candidate =
    Candidate { unit: Unit::TenthsC, min: -950.0, max: 600.0, has_fractions: Some(false) };

/// Whole °F, °C with a decimal, or whole tenths of °C, as ordered.
const NOAA_UNITS: &[Candidate] = &[
    TENTHS,
    Candidate { has_fractions: Some(false), ..FAHRENHEIT },
    Candidate { has_fractions: Some(true), ..CELSIUS },
];

/// The properties that most formats share.
pub(super) const PLAIN: Table = Table {
    format: InputFormat::Csv,
    header: &[],
    bare: None,
    element: None,
    date: Dates::Column(&[]),
    date_form: DateForm::Clear,
    degrees: &[],
    unit: UnitRule::Is(Unit::Celsius),
    missing: &[],
    flag: Flag::None,
    station: &[],
    name: &[],
    latitude: &[],
    longitude: &[],
    elevation: &[],
    is_ragged: false,
    ends_lines: false,
    has_sections: false,
    told_by: None,
    advice: "fetch its daily maximum temperatures, or name the column with `--degrees-column`",
    credit: Credit { definition: "", source: None, attribution: None, licence: None },
};

const GHCN: Credit = Credit {
    definition: "https://www.ncei.noaa.gov/pub/data/ghcn/daily/readme.txt",
    source: Some("NOAA GHCN-Daily"),
    attribution: Some("GHCN-Daily, NOAA NCEI, https://doi.org/10.7289/V5D21VHZ"),
    licence: Some("public domain"),
};

pub(super) const OPEN_METEO_VARIABLE: &str = "temperature_2m_max";
pub(super) const OPEN_METEO_ADVICE: &str = "request `daily=temperature_2m_max` from Open-Meteo";
pub(super) const OPEN_METEO: Credit = Credit {
    definition: "https://open-meteo.com/en/docs",
    source: Some("Open-Meteo"),
    attribution: Some("Weather data by Open-Meteo.com, https://open-meteo.com"),
    licence: Some("CC BY 4.0"),
};

pub(super) const NOAA: Table = Table {
    format: InputFormat::GhcnAccess,
    header: &[&["STATION"], &["DATE"]],
    date: Dates::Column(&["DATE"]),
    degrees: &["TMAX"],
    // The bulk files are in tenths of °C. The Access Data Service and the order form (CDO) write the same columns in
    // °F, °C or tenths, as ordered, and do not say which. The bulk files alone pad their values: see `table`.
    unit: UnitRule::OneOf(NOAA_UNITS),
    missing: &["-9999"],
    flag: Flag::Part(&["TMAX_ATTRIBUTES"], 1),
    station: &["STATION"],
    name: &["NAME", "STATION_NAME"],
    latitude: &["LATITUDE"],
    longitude: &["LONGITUDE"],
    elevation: &["ELEVATION"],
    advice: "fetch daily summaries with TMAX, or name the columns with `--date-column` and `--degrees-column`",
    credit: Credit {
        definition: "https://www.ncei.noaa.gov/support/access-data-service-api-user-documentation",
        ..GHCN
    },
    ..PLAIN
};

/// Every known format, those with more columns to tell them first.
pub(super) static TABLES: &[Table] = &[
    Table {
        format: InputFormat::GhcnCsv,
        header: &[&["ID"], &["DATE"], &["ELEMENT"], &["DATA_VALUE", "VALUE"]],
        bare: Some(Bare {
            columns: &["ID", "DATE", "ELEMENT", "DATA_VALUE", "M_FLAG", "Q_FLAG", "S_FLAG", "OBS_TIME"],
            fits: |fields| matches!(fields, &[_, date, element, _, _, _, _, _] if is_digits(date, 8) && is_element(element)),
        }),
        element: Some(("ELEMENT", b"TMAX")),
        date: Dates::Column(&["DATE"]),
        degrees: &["DATA_VALUE", "VALUE"],
        unit: UnitRule::WholeTenths,
        missing: &["-9999"],
        flag: Flag::Set(&["Q_FLAG"]),
        station: &["ID"],
        credit: GHCN,
        ..PLAIN
    },
    Table {
        format: InputFormat::Gsod,
        header: &[&["STATION"], &["DATE"], &["MAX"], &["MAX_ATTRIBUTES"]],
        date: Dates::Column(&["DATE"]),
        degrees: &["MAX"],
        unit: UnitRule::Is(Unit::Fahrenheit),
        missing: &["9999.9"],
        station: &["STATION"],
        name: &["NAME"],
        latitude: &["LATITUDE"],
        longitude: &["LONGITUDE"],
        elevation: &["ELEVATION"],
        credit: Credit {
            definition: "https://www.ncei.noaa.gov/data/global-summary-of-the-day/doc/readme.txt",
            source: Some("NOAA Global Surface Summary of the Day"),
            attribution: Some("NOAA National Centers for Environmental Information"),
            licence: None,
        },
        ..PLAIN
    },
    NOAA,
    Table { format: InputFormat::OpenMeteoCsv, header: &[&["utc_offset_seconds"]], ..OPEN_METEO_CSV },
    OPEN_METEO_CSV,
    Table {
        format: InputFormat::Meteostat,
        header: &[&["date", "time"], &["tavg", "temp"], &["tmin"], &["tmax"], &["prcp"], &["pres"]],
        // tavg, tmin, tmax, prcp, snow, wdir, wspd, wpgt, pres, tsun: tavg never exceeds tmax.
        bare: Some(Bare {
            columns: &[
                "date", "tavg", "tmin", "tmax", "prcp", "snow", "wdir", "wspd", "wpgt", "pres", "tsun",
            ],
            fits: |fields| {
                fields.len() == 11
                    && fields.split_first().is_some_and(|(date, values)| {
                        is_iso(date) && values.iter().all(|value| is_number_or_empty(value))
                    })
            },
        }),
        date: Dates::Column(&["date", "time"]),
        ..METEOSTAT
    },
    Table {
        header: &[
            &["year"],
            &["month"],
            &["day"],
            &["temp", "tavg"],
            &["tmin"],
            &["tmax"],
            &["prcp"],
            &["pres"],
        ],
        date: Dates::Columns([&["year"], &["month"], &["day"]]),
        ..METEOSTAT
    },
    Table {
        format: InputFormat::Dwd,
        header: &[&["STATIONS_ID"], &["MESS_DATUM"]],
        date: Dates::Column(&["MESS_DATUM"]),
        degrees: &["TXK"],
        missing: &["-999"],
        station: &["STATIONS_ID"],
        advice: "fetch DWD's daily observations (KL), which have the column TXK",
        credit: Credit {
            definition: "https://opendata.dwd.de/climate_environment/CDC/observations_germany/climate/daily/kl/",
            source: Some("Deutscher Wetterdienst"),
            attribution: Some("Deutscher Wetterdienst"),
            licence: Some("CC BY 4.0"),
        },
        ..PLAIN
    },
    Table {
        format: InputFormat::Ecad,
        header: &[&["SOUID", "STAID"], &["DATE"], &["TX"], &["Q_TX"]],
        date: Dates::Column(&["DATE"]),
        degrees: &["TX"],
        unit: UnitRule::WholeTenths,
        missing: &["-9999"],
        // 0 valid, 1 suspect, 9 missing.
        flag: Flag::OneOf(&["Q_TX"], &["1"]),
        station: &["STAID", "SOUID"],
        credit: Credit {
            definition: "https://www.ecad.eu/dailydata/predefinedseries.php",
            source: Some("European Climate Assessment & Dataset"),
            attribution: Some("Klein Tank, A. M. G. et al. (2002), https://www.ecad.eu"),
            licence: Some("non-commercial research and education"),
        },
        ..PLAIN
    },
    Table {
        format: InputFormat::Knmi,
        header: &[&["STN"], &["YYYYMMDD"]],
        date: Dates::Column(&["YYYYMMDD"]),
        degrees: &["TX"],
        unit: UnitRule::WholeTenths,
        station: &["STN"],
        advice: "fetch KNMI's daily values (daggegevens) with TX",
        credit: Credit {
            definition: "https://www.knmi.nl/kennis-en-datacentrum/achtergrond/data-ophalen-vanuit-een-script",
            source: Some("KNMI"),
            attribution: Some("Royal Netherlands Meteorological Institute (KNMI)"),
            licence: None,
        },
        ..PLAIN
    },
    Table {
        format: InputFormat::EnvironmentCanada,
        header: &[&["Date/Time", "Date/Time (LST)"], &["Year"], &["Month"], &["Day"]],
        date: Dates::Column(&["Date/Time", "Date/Time (LST)"]),
        degrees: &["Max Temp (°C)"],
        station: &["Climate ID", "Climate Identifier"],
        name: &["Station Name"],
        latitude: &["Latitude (y)", "Latitude"],
        longitude: &["Longitude (x)", "Longitude"],
        elevation: &["Elevation"],
        advice: "fetch Environment Canada's daily data (timeframe=2)",
        credit: Credit {
            definition: "https://climate.weather.gc.ca/glossary_e.html",
            source: Some("Environment and Climate Change Canada"),
            attribution: Some("Environment and Climate Change Canada"),
            licence: None,
        },
        ..PLAIN
    },
    Table {
        format: InputFormat::Bom,
        header: &[&["Product code"], &["Year"], &["Month"], &["Day"], &["Maximum temperature (Degree C)"]],
        date: Dates::Columns([&["Year"], &["Month"], &["Day"]]),
        degrees: &["Maximum temperature (Degree C)"],
        // The highest of several days is not a daily maximum.
        flag: Flag::NoneOf(&["Days of accumulation*", "Days"], &["", "1"]),
        station: &["Bureau of Meteorology station number", "Station number"],
        credit: Credit {
            definition: "http://www.bom.gov.au/climate/data/",
            source: Some("Bureau of Meteorology, Australia"),
            attribution: Some("Commonwealth of Australia, Bureau of Meteorology"),
            licence: None,
        },
        ..PLAIN
    },
    Table {
        format: InputFormat::Iem,
        header: &[&["station"], &["day"], &["max_temp_f"]],
        date: Dates::Column(&["day"]),
        degrees: &["max_temp_f"],
        unit: UnitRule::Is(Unit::Fahrenheit),
        station: &["station"],
        credit: Credit {
            definition: "https://mesonet.agron.iastate.edu/cgi-bin/request/daily.py?help",
            source: Some("Iowa Environmental Mesonet"),
            attribution: Some("Iowa State University, Iowa Environmental Mesonet"),
            licence: None,
        },
        ..PLAIN
    },
    Table {
        format: InputFormat::MetEireann,
        header: &[&["date"], &["maxtp"], &["mintp"]],
        date: Dates::Column(&["date"]),
        degrees: &["maxtp"],
        name: &["Station Name"],
        latitude: &["Latitude"],
        longitude: &["Longitude"],
        elevation: &["Station Height"],
        credit: Credit {
            definition: "https://www.met.ie/climate/available-data/historical-data",
            source: Some("Met Éireann"),
            attribution: Some("Copyright Met Éireann"),
            licence: Some("CC BY 4.0"),
        },
        ..PLAIN
    },
    Table {
        format: InputFormat::Smhi,
        header: &[&["Representativt dygn"], &["Lufttemperatur"], &["Kvalitet"]],
        date: Dates::Column(&["Representativt dygn"]),
        degrees: &["Lufttemperatur"],
        // G checked, Y suspect or aggregated, R refused. Most of the older days are Y.
        flag: Flag::OneOf(&["Kvalitet"], &["R"]),
        station: &["Stationsnummer"],
        name: &["Stationsnamn"],
        latitude: &["Latitud (decimalgrader)"],
        longitude: &["Longitud (decimalgrader)"],
        elevation: &["Höjd (meter över havet)"],
        is_ragged: true,
        // Means, minima and maxima have the same header.
        told_by: Some("Lufttemperatur;max"),
        advice: "fetch SMHI's parameter 20, the daily maximum",
        credit: Credit {
            definition: "https://opendata.smhi.se/metobs/",
            source: Some("SMHI"),
            attribution: Some("Swedish Meteorological and Hydrological Institute (SMHI)"),
            licence: Some("CC BY 4.0"),
        },
        ..PLAIN
    },
    Table {
        format: InputFormat::MeteoSwiss,
        header: &[&["station_abbr", "station/location"], &["reference_timestamp", "date"]],
        date: Dates::Column(&["reference_timestamp", "date"]),
        date_form: DateForm::DayFirst,
        degrees: &["tre200dx"],
        station: &["station_abbr", "station/location"],
        advice: "fetch MeteoSwiss's daily values, which have the column tre200dx",
        credit: Credit {
            definition: "https://opendatadocs.meteoswiss.ch/a-data-groundbased/a1-automatic-weather-stations",
            source: Some("MeteoSwiss"),
            attribution: Some("Source: MeteoSwiss"),
            licence: Some("CC BY 4.0"),
        },
        ..PLAIN
    },
    Table {
        format: InputFormat::MeteoFrance,
        header: &[&["NUM_POSTE"], &["AAAAMMJJ*"]],
        date: Dates::Column(&["AAAAMMJJ"]),
        degrees: &["TX"],
        missing: &["mq"],
        // 0 and 1 valid, 2 doubtful, 9 passed the first checks.
        flag: Flag::OneOf(&["QTX"], &["2"]),
        station: &["NUM_POSTE"],
        name: &["NOM_USUEL"],
        latitude: &["LAT"],
        longitude: &["LON"],
        elevation: &["ALTI"],
        advice: "fetch Météo-France's daily data (RR-T-Vent), which have the columns AAAAMMJJ and TX",
        credit: Credit {
            definition: "https://www.data.gouv.fr/datasets/donnees-climatologiques-de-base-quotidiennes",
            source: Some("Météo-France"),
            attribution: Some("Météo-France"),
            licence: Some("Licence Ouverte 2.0"),
        },
        ..PLAIN
    },
    Table {
        format: InputFormat::WeatherUnderground,
        header: &[TIME_ZONES, &["Max TemperatureF", "Max TemperatureC"], &["Mean Temperature*"]],
        date: Dates::Column(TIME_ZONES),
        degrees: &["Max TemperatureF", "Max TemperatureC"],
        unit: UnitRule::InHeader,
        credit: Credit {
            definition: "https://www.wunderground.com/history",
            ..Credit { source: Some("Weather Underground"), definition: "", attribution: None, licence: None }
        },
        ..PLAIN
    },
    Table {
        format: InputFormat::VisualCrossing,
        header: &[&["datetime"], &["tempmax"], &["tempmin"]],
        date: Dates::Column(&["datetime"]),
        degrees: &["tempmax"],
        // `unitGroup` of the request: us is in °F, metric and uk in °C.
        unit: UnitRule::OneOf(&[CELSIUS, FAHRENHEIT]),
        station: &["name", "address"],
        latitude: &["latitude"],
        longitude: &["longitude"],
        credit: Credit {
            definition: "https://www.visualcrossing.com/resources/documentation/weather-data/weather-data-documentation/",
            source: Some("Visual Crossing"),
            attribution: Some("Weather data by Visual Crossing"),
            licence: None,
        },
        ..PLAIN
    },
];

/// The first column of Weather Underground's files, after the station's time.
const TIME_ZONES: Names = &[
    "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "AKST", "AKDT", "HST", "GMT", "UTC", "WET",
    "WEST", "BST", "IST", "CET", "CEST", "EET", "EEST", "MSK", "JST", "KST", "SGT", "HKT", "AEST", "AEDT",
    "ACST", "ACDT", "AWST", "NZST", "NZDT", "BRT", "BRST", "ART", "SAST", "Date",
];

const OPEN_METEO_CSV: Table = Table {
    format: InputFormat::OpenMeteoCsv,
    header: &[&["time"], &["temperature_2m_max*"]],
    date: Dates::Column(&["time"]),
    degrees: &[OPEN_METEO_VARIABLE],
    unit: UnitRule::InHeader,
    station: &["location_id"],
    latitude: &["latitude"],
    longitude: &["longitude"],
    elevation: &["elevation"],
    ends_lines: true,
    has_sections: true,
    date_form: DateForm::ClearOrUnix,
    advice: OPEN_METEO_ADVICE,
    credit: OPEN_METEO,
    ..PLAIN
};

const METEOSTAT: Table = Table {
    format: InputFormat::Meteostat,
    degrees: &["tmax"],
    station: &["station"],
    advice: "fetch Meteostat's daily data",
    credit: Credit {
        definition: "https://dev.meteostat.net/data/timeseries/daily",
        source: Some("Meteostat"),
        attribution: Some("Meteostat, https://meteostat.net"),
        licence: None,
    },
    ..PLAIN
};

fn is_digits(text: &[u8], length: usize) -> bool {
    text.len() == length && text.iter().all(u8::is_ascii_digit)
}

/// An element of GHCN-Daily, such as TMAX.
pub(super) fn is_element(text: &[u8]) -> bool {
    text.len() == 4 && text.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn is_iso(text: &[u8]) -> bool {
    crate::report::parse_date(text).is_some()
}

fn is_number_or_empty(text: &[u8]) -> bool {
    text.is_empty() || super::numbers::parse_number(text, super::numbers::Decimal::Point).is_some()
}

/// Whether a header's field is one of these, with or without a unit behind it.
pub(super) fn is_named(field: &[u8], names: Names) -> bool {
    is_called(&clean(field), names)
}

/// The same of a field that is [`clean`].
pub(super) fn is_called(field: &str, names: Names) -> bool {
    names.iter().any(|name| match name.strip_suffix('*') {
        Some(start) => field.get(..start.len()).is_some_and(|field| is_same(field, start)),
        None => is_same(field, name) || without_unit(field).is_some_and(|field| is_same(field, name)),
    })
}

/// Whether a header's field is one of these as it stands.
pub(super) fn is_exactly(field: &[u8], names: Names) -> bool {
    let field = clean(field);
    names.iter().any(|name| is_same(&field, name))
}

fn is_same(field: &str, name: &str) -> bool {
    field.eq_ignore_ascii_case(name) || (!name.is_ascii() && field.to_lowercase() == name.to_lowercase())
}

/// `temperature_2m_max` of `temperature_2m_max (°C)`.
fn without_unit(field: &str) -> Option<&str> {
    let (name, _) = field.strip_suffix(')')?.rsplit_once('(')?;
    Some(name.trim_end())
}

/// A header's field as text: UTF-8, or Latin-1 if it is not, without what marks a comment.
pub(super) fn clean(field: &[u8]) -> String {
    let text = match str::from_utf8(field) {
        Ok(text) => text.to_owned(),
        Err(_) => field.iter().map(|byte| char::from(*byte)).collect(),
    };
    text.trim_start_matches('#').trim().to_owned()
}

/// A unit's name.
pub(super) fn parse_unit(text: &str) -> Option<Unit> {
    match text.trim().to_lowercase().as_str() {
        "°c" | "c" | "degc" | "deg c" | "degree c" | "celsius" | "degrees celsius" | "ºc" => {
            Some(Unit::Celsius)
        }
        "°f" | "f" | "degf" | "deg f" | "degree f" | "fahrenheit" | "degrees fahrenheit" | "ºf" => {
            Some(Unit::Fahrenheit)
        }
        "0.1 °c" | "0.1 c" | "tenths of °c" | "1/10 °c" => Some(Unit::TenthsC),
        _ => None,
    }
}

/// The unit that a column's header names: in brackets, or as its last letter behind `_` or a small letter.
pub(super) fn unit_in_header(field: &str) -> Option<Unit> {
    if let Some((_, unit)) = field.strip_suffix([')', ']']).and_then(|field| field.rsplit_once(['(', '['])) {
        return parse_unit(unit);
    }
    let mut letters = field.chars().rev();
    let (last, before) = (letters.next()?, letters.next()?);
    let is_apart =
        matches!(before, '_' | ' ' | '°') || (last.is_ascii_uppercase() && before.is_ascii_lowercase());
    is_apart.then(|| parse_unit(&last.to_string())).flatten()
}
