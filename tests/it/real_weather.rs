//! Real files, compared with statistics that were computed independently, in exact arithmetic.
//!
//! Excerpts of a few kilobytes are in `tests/data`. The large files that they come from are not part of the project:
//! `ALMANAC_TEST_DATA` names their folder. Without it, the tests over them print one line and check nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use almanac::report::{MONTHS, Report};
use almanac::source::{Options, SourceError, Unit};
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{Place, has_program, kafka};

/// The reports of files; those of a day that comes again are left out.
fn read_files(paths: &[PathBuf], options: &Options) -> Result<Vec<Report>, SourceError> {
    almanac::source::read_files(paths, options).map(|weather| weather.days)
}

/// The folder of the large files, if `ALMANAC_TEST_DATA` names one.
pub fn data() -> Option<PathBuf> {
    static SAID: Once = Once::new();
    let Some(folder) = std::env::var_os("ALMANAC_TEST_DATA").map(PathBuf::from) else {
        SAID.call_once(|| {
            // The macro's output is shown of failed tests only.
            let _ = writeln!(
                std::io::stderr(),
                "not part of this run: the large files of real weather (ALMANAC_TEST_DATA is not set)"
            );
        });
        return None;
    };
    assert!(folder.is_dir(), "ALMANAC_TEST_DATA: {} is not a directory", folder.display());
    Some(folder)
}

pub fn expected(folder: &Path, name: &str) -> Value {
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
        read_files(&[folder.join(file)], &options).unwrap()
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
        let reports = read_files(&[folder.join(BY_YEAR)], &options).unwrap();
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
    let error = read_files(&[folder.join(BY_YEAR)], &Options::default()).unwrap_err();
    assert!(matches!(error, SourceError::SeveralStations { count: 1131, .. }), "{error}");
}

/// Statistics of `tests/data` by file, or by file and station.
fn excerpts() -> Value {
    serde_json::from_str(include_str!("../data/expected.json")).unwrap()
}

pub fn excerpt(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

#[track_caller]
fn check_excerpt_months(months: &BTreeMap<String, Month>, expected: &Value) {
    let expected = expected.as_object().unwrap();
    assert!(months.keys().eq(expected.keys()), "other months: {:?}", months.keys());
    for (key, month) in months {
        let expected = &expected[key];
        assert_eq!(month.count, expected["count"], "{key}");
        assert_eq!(month.start, expected["start"], "{key}");
        assert_eq!(month.end, expected["end"], "{key}");
        assert_eq!(month.min, expected["min"], "{key}");
        assert_eq!(month.max, expected["max"], "{key}");
        let off = (month.sum - expected["sum"].as_f64().unwrap()).abs();
        assert!(off <= 1e-9 * month.count as f64, "{key}: the sum is off by {off}");
    }
}

/// Reads an excerpt with and without its flagged values, and compares both.
#[track_caller]
fn check_excerpt(file: &str, options: &Options) {
    let key = match &options.station {
        Some(station) => format!("{file} {station}"),
        None => file.to_owned(),
    };
    let expected = &excerpts()[key];
    for (keep_flagged, values, months) in [(true, "values", "all"), (false, "unflagged_values", "unflagged")]
    {
        let options = Options { keep_flagged, ..options.clone() };
        let weather = almanac::source::read_files(&[excerpt(file)], &options).unwrap();
        let repeated = weather.account.repeated + weather.account.contradictions;
        assert_eq!(weather.days.len() as u64 + repeated, expected[values], "{file}");
        check_excerpt_months(&by_month(&weather.days), &expected[months]);
    }
}

#[test]
fn excerpt_of_access_csv_with_a_leap_day() {
    check_excerpt("access_USW00014837.csv", &Options::default());
}

#[test]
fn excerpt_of_access_csv_with_flags() {
    check_excerpt("access_USC00410498.csv", &Options::default());
}

#[test]
fn excerpt_of_by_station_csv_with_gaps() {
    check_excerpt("by_station_USW00014920.csv.gz", &Options::default());
}

#[test]
fn excerpt_of_fixed_width() {
    check_excerpt("USW00014819.dly", &Options::default());
}

#[test]
fn excerpt_of_by_year_csv_downloaded_twice() {
    for station in ["USW00026422", "USW00003013"] {
        let options = Options { station: Some(station.to_owned()), ..Options::default() };
        check_excerpt("two_downloads.by_year.csv.gz", &options);
    }
    let error = read_files(&[excerpt("two_downloads.by_year.csv.gz")], &Options::default()).unwrap_err();
    assert!(matches!(error, SourceError::SeveralStations { count: 3, .. }), "{error}");
}

#[test]
fn excerpt_of_plain_csv_in_fahrenheit() {
    let options = Options {
        date_column: Some("date".to_owned()),
        degrees_column: Some("tmax".to_owned()),
        unit: Some(Unit::Fahrenheit),
        ..Options::default()
    };
    check_excerpt("lacrosse_fahrenheit.csv", &options);
}

#[test]
fn excerpts_of_open_meteo() {
    check_excerpt("openmeteo_berlin.csv", &Options::default());
    check_excerpt("openmeteo_brasilia.json", &Options::default());
}

/// From the file to the checkpoints: what the downloads have in common is sent once.
#[test]
fn an_excerpt_is_counted_once() {
    let (file, station) = ("two_downloads.by_year.csv.gz", "USW00003013");
    let place = Place::new();
    let path = excerpt(file).display().to_string();
    place.produce(&["--file", &path, "--station", station]);
    let expected = &excerpts()[format!("{file} {station}")];
    let days: u64 =
        expected["all"].as_object().unwrap().values().map(|month| month["count"].as_u64().unwrap()).sum();
    assert_eq!(kafka().records(&place.topic) as u64, days);
    assert!(expected["values"].as_u64().unwrap() > days);
    place.replay(kafka(), "files");
    let mut months = BTreeMap::new();
    for checkpoint in place.checkpoints("files") {
        for (month, year, cell) in checkpoint.statistics.cells() {
            let day = |day: u32| format!("{year:04}-{:02}-{day:02}", month + 1);
            let counted = Month {
                count: cell.count().into(),
                start: day(cell.first_day()),
                end: day(cell.last_day()),
                sum: cell.sum(),
                min: cell.min(),
                max: cell.max(),
            };
            assert!(
                months.insert(format!("{year:04}-{:02}", month + 1), counted).is_none(),
                "{}",
                MONTHS[month]
            );
        }
    }
    check_excerpt_months(&months, &expected["all"]);
}

#[test]
fn the_expectations_are_what_their_script_prints() {
    if !has_program("python3") {
        return;
    }
    let printed = Command::new("python3").arg(excerpt("expected.py")).output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap(), excerpts());
}
