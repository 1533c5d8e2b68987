//! Files of weather as people have them: every known format by the commands of docs/WEATHER.md, odd files, and the last
//! line of the producer, which accounts for every row.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use almanac::choice::Choice;
use almanac::failure::told;
use almanac::source::{InputFormat, Options, Unit, definition_of, read_files};
use serde_json::Value;

use crate::support::{Place, almanac, kafka};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the table of formats: format, definition and words of the command.
fn formats() -> Vec<(String, String, Vec<String>)> {
    let text = include_str!("../../docs/WEATHER.md");
    let rows = text.lines().filter(|line| line.contains("| `./run producer "));
    rows.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let command = cells[4].trim_matches('`').strip_prefix("./run ").unwrap();
        let words = command.split_whitespace().map(str::to_owned).collect();
        (cells[1].trim_matches('`').to_owned(), cells[3].to_owned(), words)
    })
    .collect()
}

/// What each example holds, read by the simplest code that can: the separator, the index of the date and of the value,
/// and what the value is multiplied with after something is taken off. Rows without a number are left out.
struct Fold(&'static str, char, &'static [usize], usize, f64, f64);

const FOLDS: &[Fold] = &[
    Fold("by_station.csv", ',', &[1], 3, 0.0, 0.1),
    Fold("noaa_service.json", ',', &[0], 1, 0.0, 1.0),
    Fold("open_meteo.json", ',', &[0], 1, 0.0, 1.0),
    Fold("noaa_order.csv", ',', &[6], 8, 32.0, 5.0 / 9.0),
    Fold("gsod.csv", ',', &[1], 9, 32.0, 5.0 / 9.0),
    Fold("open_meteo_places.csv", ',', &[1], 2, 0.0, 1.0),
    Fold("meteostat.csv", ',', &[0], 3, 0.0, 1.0),
    Fold("dwd.txt", ';', &[1], 15, 0.0, 1.0),
    Fold("ecad.txt", ',', &[2], 3, 0.0, 0.1),
    Fold("knmi.txt", ',', &[1], 5, 0.0, 0.1),
    Fold("environment_canada.csv", ',', &[4], 9, 0.0, 1.0),
    Fold("bom.csv", ',', &[2, 3, 4], 5, 0.0, 1.0),
    Fold("iem.csv", ',', &[1], 2, 32.0, 5.0 / 9.0),
    Fold("met_eireann.csv", ',', &[0], 2, 0.0, 1.0),
    Fold("smhi.csv", ';', &[2], 3, 0.0, 1.0),
    Fold("meteoswiss.csv", ';', &[1], 3, 0.0, 1.0),
    Fold("meteo_france.csv", ';', &[5], 12, 0.0, 1.0),
    Fold("weather_underground.csv", ',', &[0], 1, 32.0, 5.0 / 9.0),
    Fold("visual_crossing.csv", ',', &[2], 3, 32.0, 5.0 / 9.0),
    Fold("any.csv", ',', &[1], 2, 32.0, 5.0 / 9.0),
];

/// The lines of an example; of JSON a line of date, value and attributes for each day.
fn lines_of(file: &str) -> String {
    let text = fs::read_to_string(root().join("tests/fixtures/weather").join(file)).unwrap();
    let Ok(json) = serde_json::from_str::<Value>(&text) else { return text };
    let rows: Vec<String> = match &json["daily"] {
        Value::Null => json
            .as_array()
            .unwrap()
            .iter()
            .map(|row| format!("{},{},{}", row["DATE"], row["TMAX"], row["TMAX_ATTRIBUTES"]))
            .collect(),
        daily => {
            let values = daily["temperature_2m_max"].as_array().unwrap();
            let days = daily["time"].as_array().unwrap().iter().zip(values);
            days.map(|(day, value)| format!("{day},{value}")).collect()
        }
    };
    rows.join("\n")
}

/// Day by day, as `month-day` without zeros and °C in hundredths.
fn folded(
    Fold(file, separator, date, value, off, factor): &Fold,
    kept: impl Fn(&str) -> bool,
) -> BTreeMap<String, i64> {
    let text = lines_of(file);
    let mut days = BTreeMap::new();
    for line in text.replace('"', "").lines().filter(|line| kept(line)) {
        let fields: Vec<&str> = line.split(*separator).map(str::trim).collect();
        let number = fields.get(*value).and_then(|field| field.parse::<f64>().ok());
        let Some(number) = number.filter(|number| number.abs() < 900.0) else { continue };
        let text: Vec<&str> = date.iter().filter_map(|index| fields.get(*index).copied()).collect();
        let digits: String = text.concat().to_lowercase().replace("feb", "02").replace("00:00", "");
        let numbers: Vec<&str> = digits.split(|character: char| !character.is_ascii_digit()).collect();
        let (month, day) = match numbers.as_slice() {
            [all] | [all, ""] if all.len() == 8 => (&all[4..6], &all[6..]),
            [_, month, day] if numbers[0].len() == 4 => (*month, *day),
            [day, month, _] | [day, month, _, ""] => (*month, *day),
            _ => continue,
        };
        let key = format!("{}-{}", month.trim_start_matches('0'), day.trim_start_matches('0'));
        days.insert(key, ((number - off) * factor * 100.0).round() as i64);
    }
    days
}

#[test]
fn every_format_of_the_docs_is_sent_as_its_command_says() {
    let formats = formats();
    let mut known: Vec<&str> = InputFormat::ALL.iter().map(|(_, name, _)| *name).collect();
    let mut listed: Vec<&str> = formats.iter().map(|(name, ..)| name.as_str()).collect();
    known.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, known, "docs/WEATHER.md lists each format once");
    let mut folds = 0;
    for (name, definition, words) in &formats {
        let format = InputFormat::named(name).unwrap();
        if let Some(url) = definition_of(format).filter(|_| definition.starts_with('[')) {
            assert!(definition.contains(url), "{name} is defined at {url}");
        }
        let place = Place::new();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = place.almanac(&words).current_dir(root()).succeeds();
        let days = kafka().records(&place.topic);
        assert!(ended.stderr.contains(&format!("sent {days} days (2024-0")), "{name}: {}", ended.stderr);
        let file = words[words.iter().position(|word| *word == "--file").unwrap() + 1];
        let Some(fold) = FOLDS.iter().find(|fold| file.ends_with(&format!("/{}", fold.0))) else { continue };
        let is_of_station = |line: &str| !file.ends_with("places.csv") || line.starts_with("1,2024");
        let is_good = |line: &str| {
            let flags = ["0,1", ";R", "99.9", "  999,", ",G,"];
            !flags.iter().any(|mark| line.contains(mark) && line.contains("99"))
                && (!file.ends_with("by_station.csv") || line.contains("TMAX"))
        };
        let expected = folded(fold, |line| is_of_station(line) && is_good(line));
        place.replay(kafka(), "files");
        let mut counted = 0;
        for checkpoint in place.checkpoints("files") {
            for (month, _, cell) in checkpoint.statistics.cells() {
                let days = expected.iter().filter(|(day, _)| day.starts_with(&format!("{}-", month + 1)));
                let days: Vec<i64> = days.map(|(_, degrees)| *degrees).collect();
                counted += days.len();
                assert_eq!(cell.count() as usize, days.len(), "{name}: {expected:?}");
                assert_eq!((cell.sum() * 100.0).round() as i64, days.iter().sum::<i64>(), "{name}");
                assert_eq!((cell.max() * 100.0).round() as i64, *days.iter().max().unwrap(), "{name}");
            }
        }
        assert_eq!(counted, expected.len(), "{name}: {expected:?}");
        folds += 1;
    }
    assert_eq!(folds, FOLDS.len());
}

/// What a file holds, or the error that it is refused with.
fn text_of(path: &Path, options: &Options) -> String {
    match read_files(&[path.to_owned()], options) {
        Ok(weather) => {
            let days: Vec<String> =
                weather.days.iter().map(|day| format!("{} {:.1}", day.date, day.degrees)).collect();
            days.join(", ")
        }
        Err(error) => told(&error).replace(&path.display().to_string(), "FILE"),
    }
}

/// Small files, each an instance of a kind that was once read wrongly. They are where the large files are.
#[test]
fn odd_files_are_read_right_or_refused() {
    let Some(folder) = std::env::var_os("ALMANAC_TEST_DATA").map(PathBuf::from) else { return };
    let odd = folder.join("odd");
    let any = || Options {
        date_column: Some("date".to_owned()),
        degrees_column: Some("tmax".to_owned()),
        unit: Some(Unit::Celsius),
        ..Options::default()
    };
    let missing =
        |marks: &[&str]| Options { missing: marks.iter().map(|mark| (*mark).to_owned()).collect(), ..any() };
    let station = |id: &str, options: Options| Options { station: Some(id.to_owned()), ..options };
    let no_format = "the format of FILE is not known: its header is ";
    for (file, options, expected) in [
        (
            "ncei-access-fahrenheit.csv",
            Options::default(),
            "they can be tenths-c or f\nhint: say which it is with `--unit ",
        ),
        (
            "ncei-access-fahrenheit.csv",
            Options { unit: Some(Unit::Fahrenheit), ..Options::default() },
            "2025-07-01 30.0, 2025-07-02 31.1, 2025-07-03 32.8",
        ),
        ("minus999.csv", any(), "FILE, line 3, column 2 (tmax): \"-999\" is -999 °C, outside -100 to 100 °C"),
        (
            "minus999.csv",
            missing(&["-999"]),
            "FILE, line 4, column 2 (tmax): \"-99.9\" stands for a missing value",
        ),
        ("minus999.csv", missing(&["-999", "-99.9"]), "2023-01-01 3.5"),
        ("gsod-9999.9.csv", Options::default(), "2020-01-01 -11.3, 2020-01-02 -11.1"),
        ("iem-m.csv", Options::default(), "2025-05-01 10.0, 2025-05-02 10.6, 2025-05-04 16.7"),
        ("two-cities.csv", any(), "FILE holds 2 stations: A, B\nhint: pick one with `--station ID`"),
        ("two-cities.csv", station("B", any()), "2023-01-01 30.0, 2023-01-02 31.0, 2023-01-03 32.0"),
        ("om-two-f.csv", Options::default(), "FILE holds 2 stations: 0, 1"),
        ("om-two-f.csv", station("1", Options::default()), "2024-02-28 0.0, 2024-02-29 5.0"),
        (
            "om-models.json",
            Options::default(),
            "FILE holds 2 columns of daily maxima: temperature_2m_max_gfs_seamless, temperature_2m_max_icon",
        ),
        (
            "om-models.json",
            Options {
                degrees_column: Some("temperature_2m_max_icon_seamless".to_owned()),
                ..Options::default()
            },
            "2024-03-31 20.1, 2024-04-01 14.2",
        ),
        ("om-unixtime.csv", Options::default(), "2024-03-31 21.1, 2024-04-01 15.2"),
        ("iso-t.csv", any(), "2023-01-01 3.0, 2023-01-02 4.0"),
        ("unpadded.csv", any(), "2014-07-01 12.8, 2014-07-02 10.6"),
        (
            "us-date.csv",
            any(),
            "FILE, line 2, column 1 (date): \"1/1/2012\" may be one of two days\nhint: say which with `--date-format`",
        ),
        (
            "us-date.csv",
            Options { date_format: Some("%m/%d/%Y".to_owned()), ..any() },
            "2012-01-01 12.8, 2012-01-13 10.6",
        ),
        ("semicolon.csv", any(), "2023-01-01 3.0, 2023-01-02 4.0"),
        ("decimal-comma.csv", any(), "2023-01-01 3.5, 2023-01-02 4.5"),
        ("preamble.csv", any(), "2023-01-01 3.5"),
        ("utf16.csv", any(), "2023-01-01 3.5, 2023-01-02 4.5"),
        ("case-header.csv", any(), "2023-01-01 3.5"),
        (
            "feb29-1900.csv",
            any(),
            "FILE, line 3, column 1 (date): \"1900-02-29\" is not a day of the calendar",
        ),
        ("year0.csv", any(), "FILE, line 4, column 1 (date): \"0000-12-31\" is not a day of the calendar"),
        ("semicolon.csv", Options::default(), no_format),
        ("utf16.csv", Options::default(), no_format),
        ("us-date.csv", Options::default(), no_format),
    ] {
        let found = text_of(&odd.join(file), &options);
        assert!(found.contains(expected), "{file}: {found}");
    }
}

/// The command in the error of an unknown format reads the file.
#[test]
fn an_unknown_format_comes_with_the_command_that_reads_it() {
    let place = Place::new();
    let file = place.dir("my weather.csv");
    fs::write(&file, "Datum;Höchste Temp max (°F)\n13.01.2024;50,0\n14.01.2024;23,0\n").unwrap();
    let file = file.display().to_string();
    let refused = place.almanac(&["producer", "--interval", "0", "--file", &file]).fails(3);
    assert!(
        refused
            .stderr
            .contains("its header is \"Datum;Höchste Temp max (°F)\" (line 1), separated by \";\"\n"),
        "{}",
        refused.stderr
    );
    let command = refused.stderr.split('`').nth(1).unwrap();
    assert_eq!(
        command,
        format!(
            "almanac producer --file '{file}' --date-column Datum --degrees-column 'Höchste Temp max (°F)' --unit f \
             --date-format %d.%m.%Y"
        )
    );
    let words: Vec<&str> = command
        .split('\'')
        .enumerate()
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect::<Vec<_>>(),
            _ => vec![part],
        })
        .collect();
    let ended = place.almanac(&[&words[1..], &["--interval", "0"]].concat()).succeeds();
    assert!(ended.stderr.contains("sent 2 days (2024-01-13 to 2024-01-14)\n"), "{}", ended.stderr);
}

#[test]
fn the_last_line_accounts_for_every_row() {
    let place = Place::new();
    let file = place.dir("rows.csv");
    let rows = "XX000000001,20240101,TMAX,40,,,Z,\nXX000000001,20240102,TMAX,50,,G,Z,\nXX000000001,20240103,TMAX,-9999,,,Z,\n\
                XX000000001,20240101,TMAX,40,,,Z,\nXX000000001,20240101,TMAX,45,,,Z,\nXX000000001,20240104,TMAX,-10,,,Z,\n\
                XX000000001,20240104,TMIN,-90,,,Z,\nXX000000002,20240104,TMAX,-90,,,Z,\n";
    fs::write(&file, rows).unwrap();
    let file = file.display().to_string();
    let arguments = ["producer", "--interval", "0", "--file", &file, "--station", "XX000000001"];
    let ended = place.almanac(&arguments).succeeds();
    let expected = "sent 2 days (2024-01-01 to 2024-01-04); left out 1 missing, 1 flagged (--keep-flagged sends them), \
                    1 repeated with the same value, 1 with another value (line 5: 4.0, then 4.5), 1 of other stations\n";
    assert!(ended.stderr.ends_with(expected), "{}", ended.stderr);
    assert_eq!(kafka().records(&place.topic), 2);
    let again = place.almanac(&[&arguments[..], &["--append", "--keep-flagged"]].concat()).succeeds();
    let expected = format!(
        "sent 1 days (2024-01-02 to 2024-01-02); left out 1 missing, 1 repeated with the same value, 1 with another value \
         (line 5: 4.0, then 4.5), 1 of other stations, 2 that are in {} already\n",
        place.topic
    );
    assert!(again.stderr.ends_with(&expected), "{}", again.stderr);
}

#[test]
fn stdin_directories_and_patterns_are_read() {
    let place = Place::new();
    let folder = place.dir("weather");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.csv"), "XX000000001,20240301,TMAX,40,,,Z,\n").unwrap();
    fs::write(folder.join("b.csv"), "XX000000001,20240228,TMAX,50,,,Z,\nXX000000001,20240301,TMAX,50,,,Z,\n")
        .unwrap();
    let (folder, pattern) = (folder.display().to_string(), folder.join("*.csv").display().to_string());
    for path in [&folder, &pattern] {
        let ended = place.almanac(&["producer", "--interval", "0", "--file", path]).succeeds();
        let expected = format!(
            "sent 2 days (2024-02-28 to 2024-03-01); left out 1 with another value ({folder}/a.csv, line 1: 5.0, then 4.0)\n"
        );
        assert!(ended.stderr.ends_with(&expected), "{}", ended.stderr);
    }
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_almanac"))
        .args(["producer", "--interval", "0", "--file", "-"])
        .env("ALMANAC_BROKERS", &place.brokers)
        .env("ALMANAC_TOPIC", &place.topic)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"XX000000001,20240301,TMAX,40,,,Z,\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.ends_with("sent 1 days (2024-03-01 to 2024-03-01)\n"), "{stderr}");
}

#[test]
fn options_of_files_are_checked() {
    let file = root().join("tests/fixtures/weather/any.csv").display().to_string();
    for (arguments, expected) in [
        (["--plausible", "60"], "it is not MIN..MAX in °C"),
        (["--plausible", "60..-60"], "it is not MIN..MAX in °C"),
        (["--delimiter", ";;"], "it is not one character"),
        (["--decimal", ";"], "it is not a point or a comma"),
        (["--skip-lines", "many"], "--skip-lines"),
    ] {
        let ended = almanac(&[&["producer", "--file", file.as_str()], &arguments[..]].concat()).fails(2);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}
