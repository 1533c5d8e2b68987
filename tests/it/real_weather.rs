//! Real files, held against statistics that were computed from them elsewhere, in exact arithmetic.
//!
//! The files are not part of the project: `ALMANAC_TEST_DATA` says where they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use almanac::report::Report;
use almanac::source::{Options, SourceError, Unit, file};
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::skip;

/// The folder of real files; none, and the reason on stderr, where there is none to test with.
fn data() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("ALMANAC_TEST_DATA").map_or_else(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let reason =
        format!("{} is not there; ALMANAC_TEST_DATA says where the real files are", folder.display());
    skip(&reason);
    None
}

fn expected(folder: &Path, name: &str) -> Value {
    let file = File::open(folder.join("expected").join(name)).unwrap();
    serde_json::from_reader(BufReader::new(file)).unwrap()
}

/// The statistics of a month, added up from left to right.
#[derive(Debug)]
struct Month {
    count: u64,
    start: String,
    end: String,
    sum: f64,
    min: f64,
    max: f64,
}

fn by_month(reports: &[Report]) -> BTreeMap<String, Month> {
    let mut months = BTreeMap::new();
    for report in reports {
        let date = report.date.to_string();
        let month = months.entry(date[..7].to_owned()).or_insert_with(|| Month {
            count: 0,
            start: date.clone(),
            end: date.clone(),
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        });
        month.count += 1;
        month.start = month.start.clone().min(date.clone());
        month.end = month.end.clone().max(date);
        month.sum += report.degrees;
        month.min = month.min.min(report.degrees);
        month.max = month.max.max(report.degrees);
    }
    months
}

/// A number that is written as a string in the expectations.
fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// An extreme in °C. Those of files in whole °F are written with six decimals, and tell which °F they were.
fn extreme(value: &Value, native_unit: &str) -> f64 {
    match native_unit {
        "degF" => ((number(value) * 1.8 + 32.0).round() - 32.0) * 5.0 / 9.0,
        _ => number(value),
    }
}

#[track_caller]
fn check_months(reports: &[Report], expected: &Value, native_unit: &str) {
    let expected = expected["months"].as_object().unwrap();
    let months = by_month(reports);
    assert!(months.keys().eq(expected.keys()), "other months");
    for (key, month) in months {
        let expected = &expected[&key];
        assert_eq!(month.count, expected["count"], "{key}");
        assert_eq!(month.start, expected["start"], "{key}");
        assert_eq!(month.end, expected["end"], "{key}");
        assert_eq!(month.min, extreme(&expected["min_c"], native_unit), "{key}");
        assert_eq!(month.max, extreme(&expected["max_c"], native_unit), "{key}");
        let off = (month.sum - number(&expected["sum_c"])).abs();
        assert!(off <= 1e-9 * month.count as f64, "{key}: the sum is off by {off}");
    }
}

/// Reads a file with and without its flagged values, and compares both.
#[track_caller]
fn check(file: &str, expectation: &str, options: &Options) {
    let Some(folder) = data() else { return };
    let expected = expected(&folder, expectation);
    let native_unit = expected["native_unit"].as_str().unwrap();
    let read = |keep_flagged| {
        let options = Options { keep_flagged, ..options.clone() };
        file::read_files(&[folder.join(file)], &options).unwrap()
    };
    let all = read(true);
    assert_eq!(all.len() as u64, expected["tmax_rows"]);
    check_months(&all, &expected["all"], native_unit);
    match &expected["unflagged"] {
        Value::Null => assert_eq!(read(false), all),
        unflagged => check_months(&read(false), unflagged, native_unit),
    }
}

#[test]
fn access_csv_of_madison() {
    let expectation = "open-covid-19_weather__USW00014837.json";
    check("access_USW00014837_madison.csv", expectation, &Options::default());
}

#[test]
fn access_csv_with_flags() {
    let expectation = "open-covid-19_weather__USC00410498.json";
    check("access_USC00410498_flagged.csv", expectation, &Options::default());
}

#[test]
fn by_station_csv_of_la_crosse() {
    let expectation = "tasha-koehl_DSCI330_Lab2_1__USW00014920.json";
    check("by_station_USW00014920_lacrosse.csv.gz", expectation, &Options::default());
}

#[test]
fn fixed_width_of_midway() {
    let expectation = "davey811_climate-trend-validation__USW00014819.json";
    check("USW00014819_midway.dly", expectation, &Options::default());
}

#[test]
fn plain_csv_of_madison_in_fahrenheit() {
    let options = Options {
        date_column: Some("date".to_owned()),
        degrees_column: Some("tmax".to_owned()),
        unit: Some(Unit::Fahrenheit),
        ..Options::default()
    };
    let expectation = "stat240__madison-weather-official-1869-2023.json";
    check("madison-weather-official-1869-2023.csv", expectation, &options);
}

#[test]
fn open_meteo_csv_of_berlin() {
    let expectation = "open-meteo_csv__neosummit_berlin_C_2000-2024.json";
    check("openmeteo_archive_berlin_C.csv", expectation, &Options::default());
}

#[test]
fn open_meteo_json_of_brasilia() {
    let expectation = "open-meteo_json__archive-466132.json";
    check("openmeteo_archive_brasilia.json", expectation, &Options::default());
}

const BY_YEAR: &str = "us_usw_tmax_2018-08_2020-05.by_year.csv.gz";

#[test]
fn one_station_out_of_a_by_year_csv() {
    let Some(folder) = data() else { return };
    // The station with the most flagged values: 22.
    let station = "USW00026422";
    for (keep_flagged, which) in [(true, "all"), (false, "unflagged")] {
        let options = Options { station: Some(station.to_owned()), keep_flagged, ..Options::default() };
        let reports = file::read_files(&[folder.join(BY_YEAR)], &options).unwrap();
        let months = by_month(&reports).into_iter().map(|(key, month)| {
            let tenths = month.sum * 10.0;
            assert!((tenths - tenths.round()).abs() <= 1e-8 * month.count as f64, "{key}: {tenths}");
            format!("{station},{key},{},{},{},{}", month.count, tenths.round(), month.start, month.end)
        });
        let name = format!("derived_throughput__us_usw_tmax_2018-08_2020-05.{which}.csv.gz");
        let lines =
            BufReader::new(GzDecoder::new(File::open(folder.join("expected").join(name)).unwrap())).lines();
        let expected: Vec<_> = lines.map(Result::unwrap).filter(|line| line.starts_with(station)).collect();
        assert_eq!(months.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn stations_of_a_by_year_csv_are_listed() {
    let Some(folder) = data() else { return };
    let error = file::read_files(&[folder.join(BY_YEAR)], &Options::default()).unwrap_err();
    assert!(matches!(error, SourceError::SeveralStations { count: 1131, .. }), "{error}");
}
