//! Normals, anomalies, ranks and trends of real weather, compared with those of `tests/data/climate.py`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use almanac::climate::Climate;
use almanac::plot::{self, Cell};
use almanac::source::{Options, Unit, read_files};
use almanac::stats::Statistics;
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::real_weather::{data, excerpt, expected};
use crate::support::has_program;

/// What the script computes from lines of month, count, last day, sum.
fn computed(lines: &str, unit: &str) -> Value {
    let mut script = Command::new("python3")
        .arg(excerpt("climate.py"))
        .arg(unit)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    script.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    assert!(output.status.success(), "climate.py: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn close(found: f64, expected: &Value, what: &str, within: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= within, "{what}: {found} instead of {expected}");
}

/// Compares every figure of every month.
#[track_caller]
fn check(cells: &[Cell], expected: &Value) {
    let climate = Climate::of(cells);
    let complete = climate.cells().filter(|cell| climate.is_complete(cell));
    let complete: Vec<String> =
        complete.map(|cell| format!("{:04}-{:02}", cell.year, cell.month + 1)).collect();
    assert_eq!(serde_json::to_value(complete).unwrap(), expected["complete"]);
    for month in 0..12 {
        let Some(expected) = expected["months"].get((month + 1).to_string()) else {
            assert_eq!((climate.normal(month), climate.trend(month)), (None, None), "month {month}");
            continue;
        };
        let (normal, trend) = (climate.normal(month).unwrap(), climate.trend(month).unwrap());
        close(normal.average, &expected["normal"], "normal", 1e-9);
        assert_eq!(serde_json::json!([normal.first, normal.last]), expected["period"]);
        close(trend.per_decade, &expected["trend"]["per_decade"], "trend", 1e-9);
        // Here the product has an approximation.
        close(trend.margin, &expected["trend"]["margin"], "margin", 1e-3 * trend.margin);
        let years = expected["years"].as_object().unwrap();
        for (year, expected) in years {
            let is_it = |cell: &&Cell| cell.month == month && cell.year.to_string() == *year;
            let cell = climate.cells().find(is_it).unwrap();
            let rank = climate.rank(cell).unwrap();
            close(climate.anomaly(cell).unwrap(), &expected["anomaly"], year, 1e-9);
            let found = (rank.warmest, rank.coldest, rank.ties);
            let [warmest, coldest, ties] =
                ["warmest", "coldest", "ties"].map(|name| expected[name].as_u64().unwrap());
            assert_eq!(found, (warmest as usize, coldest as usize, ties as usize), "{year}-{}", month + 1);
            assert_eq!(rank.years, years.len());
        }
    }
}

/// The cells of a file, as the consumers would count them.
fn cells_of(file: &Path, options: &Options) -> Vec<Cell> {
    let mut statistics = Statistics::default();
    for report in read_files(&[file.to_owned()], options).unwrap().days {
        statistics.add(&report);
    }
    plot::merge(plot::cells(&statistics, "partition-0.json")).0
}

/// Compares a file of the large ones. `sentence` is the lead, which a person has read and compared.
#[track_caller]
fn check_file(file: &str, expectation: &str, options: &Options, sentence: &str) {
    let Some(folder) = data() else { return };
    let expected = expected(&folder, expectation);
    let unit = expected["native_unit"].as_str().unwrap();
    let which = if expected["unflagged"].is_null() { "all" } else { "unflagged" };
    let months = expected[which]["months"].as_object().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let line = |(name, month): (&String, &Value)| {
        format!("{name},{},{},{}\n", month["count"], text(&month["end"]), text(&month["sum_native"]))
    };
    let cells = cells_of(&folder.join(file), options);
    if has_program("python3") {
        check(&cells, &computed(&months.iter().map(line).collect::<String>(), unit));
    }
    let lead = Climate::of(&cells).lead(plot::Unit::Celsius).unwrap();
    assert_eq!(lead.sentence.as_deref().unwrap_or_default(), sentence);
}

#[test]
fn madison_over_155_years() {
    let options = Options {
        date_column: Some("date".to_owned()),
        degrees_column: Some("tmax".to_owned()),
        unit: Some(Unit::Fahrenheit),
        ..Options::default()
    };
    check_file(
        "madison-weather-official-1869-2023.csv",
        "stat240__madison-weather-official-1869-2023.json",
        &options,
        "December 2023 was 4.5 °C warmer than normal: the 3rd warmest of 155 Decembers.",
    );
}

#[test]
fn la_crosse_with_gaps() {
    let file = "by_station_USW00014920_lacrosse.csv.gz";
    check_file(
        file,
        "tasha-koehl_DSCI330_Lab2_1__USW00014920.json",
        &Options::default(),
        "January 2025 was 0.9 °C warmer than normal: the 27th warmest of 86 Januaries.",
    );
}

#[test]
fn midway_since_1997() {
    let file = "USW00014819_midway.dly";
    check_file(
        file,
        "davey811_climate-trend-validation__USW00014819.json",
        &Options::default(),
        "May 2025 was 1.4 °C colder than normal: the 7th coldest of 29 Mays.",
    );
}

#[test]
fn berlin_since_2000() {
    let file = "openmeteo_archive_berlin_C.csv";
    check_file(
        file,
        "open-meteo_csv__neosummit_berlin_C_2000-2024.json",
        &Options::default(),
        "December 2024 was 1.2 °C warmer than normal: the 8th warmest of 25 Decembers.",
    );
}

#[test]
fn files_of_few_years() {
    let default = Options::default();
    check_file(
        "access_USW00014837_madison.csv",
        "open-covid-19_weather__USW00014837.json",
        &default,
        "May 2020: 19.2 °C on average. There are 2 Mays so far, and a normal takes 10.",
    );
    check_file(
        "access_USC00410498_flagged.csv",
        "open-covid-19_weather__USC00410498.json",
        &default,
        "April 2020: 27.1 °C on average. There are 2 Aprils so far, and a normal takes 10.",
    );
    check_file("openmeteo_archive_brasilia.json", "open-meteo_json__archive-466132.json", &default, "");
}

/// Every station of a file of a country: two years are too few for a normal, and enough for complete months.
#[test]
fn stations_of_a_by_year_file() {
    const FILE: &str = "us_usw_tmax_2018-08_2020-05.by_year.csv.gz";
    let Some(folder) = data() else { return };
    let table = folder.join("expected/derived_throughput__us_usw_tmax_2018-08_2020-05.unflagged.csv.gz");
    let mut lines = String::new();
    GzDecoder::new(File::open(table).unwrap()).read_to_string(&mut lines).unwrap();
    // The one with the most flagged values, the first of all, and Madison.
    for station in ["USW00026422", "USW00003013", "USW00014837"] {
        let of_station = lines.lines().filter_map(|line| line.strip_prefix(station)?.strip_prefix(','));
        let months: String = of_station
            .map(|line| {
                let [month, count, sum, _, end] = line.split(',').collect::<Vec<_>>()[..] else {
                    panic!("{line}")
                };
                format!("{month},{count},{end},{sum}\n")
            })
            .collect();
        assert!(!months.is_empty(), "{station}");
        let options = Options { station: Some(station.to_owned()), ..Options::default() };
        let cells = cells_of(&folder.join(FILE), &options);
        if has_program("python3") {
            check(&cells, &computed(&months, "tenths_degC"));
        }
        let sentence = Climate::of(&cells).lead(plot::Unit::Celsius).unwrap().sentence.unwrap();
        assert!(sentence.ends_with(" so far, and a normal takes 10."), "{station}: {sentence}");
    }
}

/// No large file is without its test.
#[test]
fn every_large_file_is_covered() {
    let Some(folder) = data() else { return };
    let tests = include_str!("climate.rs");
    for entry in folder.read_dir().unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_weather = name.contains('.') && name != "README.md";
        assert!(!is_weather || tests.contains(&format!("\"{name}\"")), "{name}");
    }
}

/// The excerpt that is part of the project.
#[test]
fn the_months_of_la_crosse() {
    let lines = include_str!("../data/lacrosse_months.csv");
    let cell = |line: &str| {
        let [name, count, end, tenths] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (count, end): (u32, jiff::civil::Date) = (count.parse().unwrap(), end.parse().unwrap());
        let average = tenths.parse::<f64>().unwrap() / 10.0 / f64::from(count);
        Cell {
            month: name[5..].parse::<usize>().unwrap() - 1,
            year: name[..4].parse().unwrap(),
            count,
            sum: tenths.parse::<f64>().unwrap() / 10.0,
            average,
            min: average,
            max: average,
            start: end.first_of_month(),
            end,
            min_date: None,
            max_date: None,
            missing: u32::from(end.day().unsigned_abs()) - count,
            file: "partition-0.json".to_owned(),
        }
    };
    let cells: Vec<Cell> = lines.lines().map(cell).collect();
    if has_program("python3") {
        check(&cells, &computed(lines, "tenths_degC"));
    }
    let climate = Climate::of(&cells);
    let lead = climate.lead(plot::Unit::Celsius).unwrap();
    assert_eq!(
        lead.sentence.as_deref(),
        Some("January 2025 was 0.9 °C warmer than normal: the 27th warmest of 86 Januaries.")
    );
    assert_eq!(
        lead.progress.as_deref(),
        Some("February 2025 so far, 2 of 28 days: 2.5 °C on average; a whole February is normally −0.4 °C.")
    );
}
