//! Every format, read as a file is read: from bytes, by [`read`].

use std::io::{self, BufReader, Read};

use proptest::prelude::*;

use super::{Account, Decimal, InputFormat, Options, Unit, Weather, read, read_bytes};
use crate::choice::Choice;
use crate::failure::told;
use crate::report::is_valid_degrees;

macro_rules! fixture {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../../tests/fixtures/weather/", $name)).as_slice())
    };
}

const BY_STATION: (&str, &[u8]) = fixture!("by_station.csv");
const BY_YEAR_HEADER: (&str, &[u8]) = fixture!("by_year_header.csv");
const ACCESS: (&str, &[u8]) = fixture!("access.csv");
const FIXED_WIDTH: (&str, &[u8]) = fixture!("fixed_width.dly");
const OPEN_METEO: (&str, &[u8]) = fixture!("open_meteo.csv");
const OPEN_METEO_FAHRENHEIT: (&str, &[u8]) = fixture!("open_meteo_fahrenheit.csv");
const OPEN_METEO_PLACES: (&str, &[u8]) = fixture!("open_meteo_places.csv");
const OPEN_METEO_JSON: (&str, &[u8]) = fixture!("open_meteo.json");
const OPEN_METEO_PLACES_JSON: (&str, &[u8]) = fixture!("open_meteo_places.json");
const ANY: (&str, &[u8]) = fixture!("any.csv");

const FIXTURES: [(&str, &[u8]); 10] = [
    BY_STATION,
    BY_YEAR_HEADER,
    ACCESS,
    FIXED_WIDTH,
    OPEN_METEO,
    OPEN_METEO_FAHRENHEIT,
    OPEN_METEO_PLACES,
    OPEN_METEO_JSON,
    OPEN_METEO_PLACES_JSON,
    ANY,
];

fn station(id: &str) -> Options {
    Options { station: Some(id.to_owned()), ..Options::default() }
}

fn columns(date: &str, degrees: &str, unit: Unit) -> Options {
    Options {
        date_column: Some(date.to_owned()),
        degrees_column: Some(degrees.to_owned()),
        unit: Some(unit),
        ..Options::default()
    }
}

/// The reports of a file, as `2024-02-28 -1.5, 2024-02-29 10.7`; or the message of its error.
fn text_of((name, bytes): (&str, &[u8]), options: &Options) -> String {
    match read(name, bytes, options) {
        Ok(weather) => {
            let reports: Vec<_> = weather.days.iter().map(|r| format!("{} {}", r.date, r.degrees)).collect();
            reports.join(", ")
        }
        Err(error) => told(&error),
    }
}

#[track_caller]
fn check(file: (&str, &[u8]), options: &Options, expected: &str) {
    assert_eq!(text_of(file, options), expected);
}

/// Reads `from` replaced by `to` in a fixture.
#[track_caller]
fn check_changed((name, bytes): (&str, &[u8]), from: &str, to: &str, options: &Options, expected: &str) {
    let text = str::from_utf8(bytes).unwrap();
    assert!(text.contains(from), "{name} has no {from:?}");
    check((name, text.replacen(from, to, 1).as_bytes()), options, expected);
}

const TWO_DAYS: &str = "2024-02-28 -1.5, 2024-02-29 10.7";

#[test]
fn ghcn_layouts_hold_the_same_weather() {
    for file in [BY_STATION, ACCESS, FIXED_WIDTH] {
        check(file, &Options::default(), TWO_DAYS);
        check(file, &station("XX000000001"), TWO_DAYS);
        let keep_flagged = Options { keep_flagged: true, ..Options::default() };
        check(file, &keep_flagged, "2024-02-28 -1.5, 2024-02-29 10.7, 2024-03-02 99.9");
    }
}

/// Fixtures of the other formats: each has the two days, and one that is missing or failed a check.
const OTHERS: [(&str, &[u8], InputFormat); 20] = {
    macro_rules! others {
        ($($name:literal $format:ident),*) => { [$((fixture!($name).0, fixture!($name).1, InputFormat::$format)),*] };
    }
    others![
        "gsod.csv" Gsod, "noaa_service.csv" GhcnAccess, "noaa_order.csv" GhcnAccess, "noaa_service.json" NoaaJson,
        "meteostat.csv" Meteostat, "meteostat_header.csv" Meteostat, "dwd.txt" Dwd, "ecad.txt" Ecad,
        "ecad_source.txt" Ecad, "knmi.txt" Knmi, "environment_canada.csv" EnvironmentCanada, "bom.csv" Bom, "iem.csv" Iem,
        "met_eireann.csv" MetEireann, "smhi.csv" Smhi, "meteoswiss.csv" MeteoSwiss, "meteoswiss_nbcn.csv" MeteoSwiss,
        "meteo_france.csv" MeteoFrance, "weather_underground.csv" WeatherUnderground, "open_meteo_unix.json" OpenMeteoJson
    ]
};

#[test]
fn every_format_is_recognised_and_holds_the_same_weather() {
    for (name, bytes, format) in OTHERS {
        assert_eq!(recognise(bytes, name), Some(format), "{name}");
        let is_ordered = name == "noaa_order.csv";
        let unit = is_ordered.then_some(Unit::Fahrenheit);
        let expected = match format {
            InputFormat::Gsod | InputFormat::Iem | InputFormat::WeatherUnderground => {
                "2024-02-28 -5, 2024-02-29 10"
            }
            _ if is_ordered => "2024-02-28 -5, 2024-02-29 10",
            _ => TWO_DAYS,
        };
        check((name, bytes), &Options { unit, ..Options::default() }, expected);
        check((name, bytes), &Options { unit, format: Some(format), ..Options::default() }, expected);
        let Account { missing, flagged, .. } =
            read(name, bytes, &Options { unit, ..Options::default() }).unwrap().account;
        let has_flags = String::from_utf8_lossy(bytes).contains("99");
        assert!(missing + flagged > 0, "{name}: {missing} missing, {flagged} flagged");
        if has_flags && format != InputFormat::Gsod && format != InputFormat::Dwd && flagged == 0 {
            assert!(!String::from_utf8_lossy(bytes).contains("99.9"), "{name}");
        }
    }
}

#[test]
fn places_are_known_from_the_file() {
    for (file, station, name) in [
        ("smhi.csv", "1", Some("Somewhere")),
        ("met_eireann.csv", "", Some("SOMEWHERE")),
        ("meteo_france.csv", "00000001", Some("SOMEWHERE")),
        ("environment_canada.csv", "0000001", Some("SOMEWHERE")),
        ("gsod.csv", "00000099999", Some("SOMEWHERE, XX")),
        ("open_meteo_unix.json", "1.5,-2.5", None),
    ] {
        let (_, bytes, _) = OTHERS.into_iter().find(|(other, ..)| *other == file).unwrap();
        let place = read(file, bytes, &Options::default()).unwrap().place;
        assert_eq!((&*place.station, place.name.as_deref()), (station, name), "{file}");
        let numbers = (place.latitude, place.longitude, place.elevation);
        let has_elevation = file != "environment_canada.csv";
        assert_eq!(numbers, (Some(1.5), Some(-2.5), has_elevation.then_some(30.0)), "{file}");
        assert!(place.source.is_some() && place.attribution.is_some(), "{file}");
    }
}

#[test]
fn a_unit_is_not_guessed() {
    let order = OTHERS[2];
    check(
        (order.0, order.1),
        &Options::default(),
        "noaa_order.csv does not say in which unit its temperatures are, and from 23.0 to 50.0 they can be tenths-c or f\n\
         hint: say which it is with `--unit tenths-c` or `--unit f`",
    );
    let rows = |values: &[&str]| {
        let rows = values.iter().zip(1..).map(|(value, day)| format!("X,2024-01-{day:02},{value}\n"));
        format!("STATION,DATE,TMAX\n{}", rows.collect::<String>())
    };
    for (values, expected) in [
        (&["256", "150"][..], "2024-01-01 25.6, 2024-01-02 15"),
        (&["-150"], "2024-01-01 -15"),
        (&["25.6", "-3"], "2024-01-01 25.6, 2024-01-02 -3"),
    ] {
        check(("x.csv", rows(values).as_bytes()), &Options::default(), expected);
    }
    for values in [&["86", "91"][..], &["86.5"], &["256", "15.5"], &["1234"]] {
        let message = text_of(("x.csv", rows(values).as_bytes()), &Options::default());
        assert!(message.contains("does not say in which unit") && message.contains("`--unit "), "{message}");
    }
    let hot = b"name,datetime,tempmax,tempmin\nX,2024-01-01,23,1\nX,2024-07-01,95,70\n";
    check(("vc.csv", hot), &Options::default(), "2024-01-01 -5, 2024-07-01 35");
    let mild = &hot[..hot.len() - "X,2024-07-01,95,70\n".len()];
    let message = text_of(("vc.csv", mild), &Options::default());
    assert!(
        message.contains("they can be c or f\nhint: say which it is with `--unit c` or `--unit f`"),
        "{message}"
    );
}

/// Hourly values, daily means and other elements are not daily maxima.
#[test]
fn what_is_no_daily_maximum_is_refused() {
    for (name, text, fact, hint) in [
        (
            "om.csv",
            "latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation\n1,2,3,0,GMT,GMT\n\n\
             time,temperature_2m (°C)\n2024-01-01T00:00,1.5\n",
            "there is no column \"temperature_2m_max\"",
            "request `daily=temperature_2m_max` from Open-Meteo",
        ),
        (
            "om.json",
            r#"{"hourly":{"time":["2024-01-01T00:00"],"temperature_2m":[1.5]}}"#,
            "there is no daily.temperature_2m_max, only hourly values",
            "request `daily=temperature_2m_max` from Open-Meteo",
        ),
        (
            "om_hours.csv",
            "time,temperature_2m_max (°C)\n2024-01-01T00:00,1.5\n2024-01-01T01:00,1.5\n",
            "\"2024-01-01T01:00\" is an hour, not a day",
            "request `daily=temperature_2m_max` from Open-Meteo",
        ),
        (
            "dwd.txt",
            "STATIONS_ID;MESS_DATUM;QN_9;TT_TU;RF_TU;eor\n1;2024010101;3;1.5;80;eor\n",
            "there is no column \"TXK\"",
            "fetch DWD's daily observations (KL)",
        ),
        (
            "mf.csv",
            "NUM_POSTE;NOM_USUEL;LAT;LON;ALTI;AAAAMMJJHH;T;QT;TX;QTX\n1;X;1;2;3;2024010101;1.5;1;2;1\n",
            "there is no column \"AAAAMMJJ\"",
            "fetch Météo-France's daily data",
        ),
        (
            "eccc.csv",
            "\"Station Name\",\"Date/Time (LST)\",\"Year\",\"Month\",\"Day\",\"Time (LST)\",\"Temp (°C)\"\n",
            "there is no column \"Max Temp (°C)\"",
            "fetch Environment Canada's daily data",
        ),
        (
            "smhi.csv",
            "Parameternamn;Beskrivning;Enhet\nLufttemperatur;medelvärde 1 dygn, 1 gång/dygn, kl 00;celsius\n\n\
             Från Datum Tid (UTC);Till Datum Tid (UTC);Representativt dygn;Lufttemperatur;Kvalitet\n",
            "smhi.csv does not say that its values are daily maxima: \"Lufttemperatur;medelvärde",
            "fetch SMHI's parameter 20",
        ),
        (
            "two.csv",
            "station,day,max_temp_f,max_temp_f\nX,2024-01-01,50,51\n",
            "column \"max_temp_f\" is there 2 times",
            "",
        ),
    ] {
        let message = text_of((name, text.as_bytes()), &Options::default());
        assert!(message.contains(fact) && message.contains(hint), "{message}");
    }
}

#[test]
fn a_header_that_comes_again_is_skipped_also_with_other_columns() {
    let access = "\"STATION\",\"DATE\",\"PRCP\",\"TMAX\",\"TMAX_ATTRIBUTES\"\n";
    let other = "\"STATION\",\"DATE\",\"TMAX\",\"TMAX_ATTRIBUTES\"\n";
    let (one, two) =
        ("\"X\",\"2024-01-01\",\"0\",\"256\",\",,W\"\n", "\"X\",\"2024-01-02\",\"257\",\",,W\"\n");
    for text in [
        [access, one, access, other, two].concat(),
        [access, other, one, two].concat(),
        [other, access, one, two].concat(),
        [other, two, access, one].concat(),
    ] {
        let mut days = read("x.csv", text.as_bytes(), &Options::default()).unwrap().days;
        days.sort_by_key(|day| day.date);
        assert_eq!(days.iter().map(|day| day.degrees).collect::<Vec<_>>(), [25.6, 25.7], "{text}");
    }
    let any = "day,max\n2024-01-01,1\n\nDAY , max\n2024-01-02,2\nmax,day\n3,2024-01-03\n";
    let expected = "2024-01-01 1, 2024-01-02 2, 2024-01-03 3";
    check(("any.csv", any.as_bytes()), &columns("day", "max", Unit::Celsius), expected);
}

#[test]
fn dialects_of_csv_are_read() {
    let expected = "2024-01-01 3.5, 2024-01-02 -4.5";
    for (text, options) in [
        ("date;tmax\n2024-01-01;3,5\n2024-01-02;-4,5\n", Options::default()),
        ("date\ttmax\n2024-01-01\t3.5\n2024-01-02\t-4.5\n", Options::default()),
        ("date|tmax\r\n2024-01-01|3.5\r\n2024-01-02|-4.5\r\n", Options::default()),
        (" DATE , TMax \n 2024-01-01 , 3.5 \n2024-01-02,-4.5", Options::default()),
        ("A report, of 2024\n\ndate,tmax\n2024-01-01,3.5\n2024-01-02,-4.5\n", Options::default()),
        (
            "date,tmax\ndate,tmax\n2024-01-01,3.5\n2024-01-02,-4.5\n",
            Options { skip_lines: Some(1), ..Options::default() },
        ),
        (
            "date~tmax\n2024-01-01~3.5\n2024-01-02~-4.5\n",
            Options { delimiter: Some(b'~'), ..Options::default() },
        ),
        (
            "date;tmax\n2024-01-01;3,5\n2024-01-02;-4,5\n",
            Options { decimal: Decimal::Comma, ..Options::default() },
        ),
        (
            "date,tmax\n01.01.24,3.5\n02.01.24,-4.5\n",
            Options { date_format: Some("DD.MM.YY".to_owned()), ..Options::default() },
        ),
        (
            "date,tmax\n2024-01-01,3.5\n2024-01-02,-4.5\n2024-01-03,x\n2024-01-04,-99.9\n",
            Options { missing: vec!["X".to_owned(), "-99.90".to_owned()], ..Options::default() },
        ),
    ] {
        let options = Options {
            date_column: Some("date".to_owned()),
            degrees_column: Some("tmax".to_owned()),
            unit: Some(Unit::Celsius),
            ..options
        };
        check(("x.csv", text.as_bytes()), &options, expected);
    }
    let three = Options { date_column: Some("y, m, d".to_owned()), ..columns("", "tmax", Unit::Celsius) };
    check(("x.csv", b"y,m,d,tmax\n2024,1,1,3.5\n2024,01,02,-4.5\n"), &three, expected);
    check(
        ("x.csv", b"y,m,d,tmax\n2023,2,29,3.5\n"),
        &three,
        "x.csv, line 2, column 3 (d): \"29\" is not a day of that month",
    );
    let latin = b"Zeit;H\xF6chste (\xB0C)\n2024-01-01;3,5\n2024-01-02;-4,5\n";
    check(("x.csv", latin), &columns("zeit", "Höchste", Unit::Celsius), expected);
    let point = Options { decimal: Decimal::Point, ..columns("date", "tmax", Unit::Celsius) };
    check(
        ("x.csv", b"date;tmax\n2024-01-01;3,5\n"),
        &point,
        "x.csv, line 2, column 2 (tmax): \"3,5\" is not a temperature",
    );
}

#[test]
fn several_places_without_a_column_of_stations_are_noticed() {
    let text = "Ort,date,tmax\nA,2024-01-01,1\nB,2024-01-01,2\nA,2024-01-02,3\nB,2024-01-02,4\n";
    check(
        ("x.csv", text.as_bytes()),
        &columns("date", "tmax", Unit::Celsius),
        "x.csv has other values for 2 of its 2 days, and its column \"Ort\" differs\n\
         hint: if it names places, add `--station-column Ort --station ID`",
    );
    let ort = |station: Option<&str>| Options {
        station_column: Some("ort".to_owned()),
        station: station.map(str::to_owned),
        ..columns("date", "tmax", Unit::Celsius)
    };
    check(("x.csv", text.as_bytes()), &ort(Some("B")), "2024-01-01 2, 2024-01-02 4");
    check(
        ("x.csv", text.as_bytes()),
        &ort(None),
        "x.csv holds 2 stations: A, B\nhint: pick one with `--station ID`",
    );
}

#[test]
fn the_only_member_with_temperatures_is_read_from_an_archive() {
    let zip = |members: &[(&str, &[u8])]| {
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes) in members {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            io::Write::write_all(&mut zip, bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let dwd = OTHERS[6];
    let notes: (&str, &[u8]) =
        ("Metadaten_Parameter_klima_tag_00001.txt", b"Stations_ID;Von_Datum;Bis_Datum\n1;2;3\n");
    let told_of = |members: &[(&str, &[u8])], options: &Options| {
        let found = read_bytes("kl.zip", zip(members).as_slice(), options);
        found.map(|weather| weather.days.len()).map_err(|error| told(&error))
    };
    let options = Options::default();
    assert_eq!(told_of(&[notes, ("produkt.txt", dwd.1)], &options), Ok(2));
    let any = columns("day", "max", Unit::Celsius);
    assert_eq!(told_of(&[notes, ANY], &any), Ok(2));
    assert_eq!(
        told_of(&[notes], &options).unwrap_err(),
        "kl.zip is an archive without a file of daily temperatures: Metadaten_Parameter_klima_tag_00001.txt\n\
         hint: unpack it and read the file with `--input-format FORMAT` or `--date-column NAME`"
    );
    assert_eq!(
        told_of(&[("a.txt", dwd.1), ("b.txt", dwd.1)], &options).unwrap_err(),
        "kl.zip is an archive with 2 files of daily temperatures: a.txt, b.txt\nhint: unpack it and name one of them"
    );
    let whole = zip(&[("produkt.txt", dwd.1)]);
    for length in 4..whole.len() {
        assert!(read_bytes("kl.zip", &whole[..length], &options).is_err(), "{length}");
    }
}

#[test]
fn open_meteo_declares_its_unit() {
    for file in [OPEN_METEO, OPEN_METEO_JSON] {
        check(file, &Options::default(), TWO_DAYS);
    }
    check(OPEN_METEO_FAHRENHEIT, &Options::default(), "2024-02-28 -5, 2024-02-29 10");
    check_changed(
        OPEN_METEO_FAHRENHEIT,
        "°F",
        "K",
        &Options::default(),
        "open_meteo_fahrenheit.csv, line 4, column 2 (temperature_2m_max): \"temperature_2m_max (K)\" is not \
         a unit that is known here (°C or °F)",
    );
    check_changed(
        OPEN_METEO_JSON,
        "°C",
        "K",
        &Options::default(),
        "open_meteo.json, daily_units.temperature_2m_max: \"K\" is not a unit that is known here (°C or °F)",
    );
}

#[test]
fn any_csv_by_its_columns() {
    check(ANY, &columns("day", "max", Unit::Fahrenheit), "2024-02-28 -5, 2024-02-29 10");
    check(ANY, &columns("day", "max", Unit::Celsius), "2024-02-28 23, 2024-02-29 50");
    check(ANY, &columns("day", "max", Unit::TenthsC), "2024-02-28 2.3, 2024-02-29 5");
    check(
        ANY,
        &columns("day", "tmax", Unit::Celsius),
        "any.csv, line 1: there is no column \"tmax\" among note, day, max\n\
         hint: name another with `--degrees-column`",
    );
}

#[test]
fn a_csv_is_described_in_full_or_not_read() {
    let csv = Options { format: Some(InputFormat::Csv), ..Options::default() };
    check(
        ANY,
        &csv,
        "any.csv is to be read as csv, but `--date-column` is missing\nhint: add `--date-column NAME`",
    );
    check(
        ANY,
        &Options { unit: None, ..columns("day", "max", Unit::Celsius) },
        "any.csv is to be read as csv, but `--unit` is missing\nhint: add `--unit c`, `--unit f` or `--unit tenths-c`",
    );
    check(
        ANY,
        &Options { station: Some("0".to_owned()), ..columns("day", "max", Unit::Celsius) },
        "`--station` was given, but any.csv has no column of stations that is known\n\
         hint: name it with `--station-column NAME`, or leave `--station` out",
    );
    check(
        FIXED_WIDTH,
        &Options { format: Some(InputFormat::GhcnDly), ..columns("DATE", "TMAX", Unit::TenthsC) },
        "fixed_width.dly is read as ghcn-dly, which `--date-column` has no part in\nhint: leave it out",
    );
    check(
        ANY,
        &Options { format: Some(InputFormat::GhcnAccess), ..Options::default() },
        "any.csv was to be read as ghcn-access, but has no header of that format: its first line of fields \
         is \"note,day,max\"\nhint: leave `--input-format` out, or name another",
    );
    check(
        ANY,
        &Options::default(),
        "the format of any.csv is not known: its header is \"note,day,max\" (line 1), separated by \",\"\n\
         hint: check the unit and run `almanac producer --file any.csv --date-column day --degrees-column max --unit c`",
    );
}

#[test]
fn one_station_of_several() {
    check(BY_YEAR_HEADER, &station("XX000000001"), "2024-01-01 1.1, 2024-01-02 1.2");
    check(BY_YEAR_HEADER, &station("XX000000002"), "2024-01-01 2.1, 2024-01-02 2.2");
    check(
        BY_YEAR_HEADER,
        &Options::default(),
        "by_year_header.csv holds 2 stations: XX000000001, XX000000002\nhint: pick one with `--station ID`",
    );
    // Station 3 is in the file, but not with temperatures.
    check(
        BY_YEAR_HEADER,
        &station("XX000000003"),
        "by_year_header.csv has no temperatures of station \"XX000000003\"; it holds 2 stations: XX000000001, \
         XX000000002\nhint: pick one of those with `--station ID`",
    );
    for places in [OPEN_METEO_PLACES, OPEN_METEO_PLACES_JSON] {
        let name = places.0;
        check(
            places,
            &Options::default(),
            &format!("{name} holds 2 stations: 0, 1\nhint: pick one with `--station ID`"),
        );
    }
    check(OPEN_METEO_PLACES, &station("1"), "2024-02-28 -2.5, 2024-02-29 20.7");
    check(OPEN_METEO_PLACES_JSON, &station("0"), "2024-02-28 -5");
    check(OPEN_METEO_PLACES_JSON, &station("1"), "2024-02-28 -2.5");
}

#[test]
fn a_long_list_of_stations_is_cut() {
    let rows: String = (0..25).map(|n| format!("XX0000000{n:02},20240101,TMAX,1,,,Z,\n")).collect();
    let message = text_of(("many.csv", rows.as_bytes()), &Options::default());
    assert!(message.starts_with("many.csv holds 25 stations: XX000000000, XX000000001, "), "{message}");
    assert!(message.contains(", XX000000019, …\nhint:"), "{message}");
}

#[test]
fn dates_outside_the_calendar_are_placed() {
    let day = "a day of the calendar";
    for (file, from, to, expected) in [
        (
            BY_STATION,
            "20240229,TMAX",
            "20230229,TMAX",
            format!(
                "by_station.csv, line 3, column 2 (DATE): \"20230229\" is not {day} (YYYY-MM-DD or YYYYMMDD)"
            ),
        ),
        (
            ACCESS,
            "2024-02-29",
            "1999-02-30",
            format!(
                "access.csv, line 3, column 2 (DATE): \"1999-02-30\" is not {day} (YYYY-MM-DD or YYYYMMDD)"
            ),
        ),
        (
            FIXED_WIDTH,
            "202402TMAX",
            "202302TMAX",
            format!("fixed_width.dly, line 2, columns 246-250 (VALUE29): \"2023-02-29\" is not {day}"),
        ),
        (
            OPEN_METEO,
            "2024-02-29,",
            "2024-02-30,",
            format!(
                "open_meteo.csv, line 10, column 1 (time): \"2024-02-30\" is not {day} (YYYY-MM-DD or YYYYMMDD)"
            ),
        ),
        (
            OPEN_METEO_JSON,
            "2024-02-29",
            "2024-02-30",
            format!(
                "open_meteo.json is not the JSON that Open-Meteo sends: invalid value: string \"2024-02-30\", \
                 expected {day} (YYYY-MM-DD) in daily.time at line 3 column 46"
            ),
        ),
    ] {
        check_changed(file, from, to, &Options::default(), &expected);
    }
}

#[test]
fn numbers_that_are_no_temperatures_are_placed() {
    let options = columns("day", "max", Unit::Celsius);
    for number in ["12,5,0", "warm", "inf", "1e999"] {
        check_changed(
            ANY,
            "50.0",
            &format!("\"{number}\""),
            &options,
            &format!("any.csv, line 4, column 3 (max): \"{number}\" is not a temperature"),
        );
    }
    let tenths = "a temperature in whole tenths of °C";
    check_changed(
        BY_STATION,
        "107",
        "10.7",
        &Options::default(),
        &format!("by_station.csv, line 3, column 4 (DATA_VALUE): \"10.7\" is not {tenths}"),
    );
    check_changed(
        ACCESS,
        "  107",
        "1e300",
        &Options::default(),
        "access.csv does not say in which unit its temperatures are, and from -15.0 to 1e300 they can be in none that it \
         may have\nhint: say which it is with `--unit tenths-c` or `--unit f` or `--unit c`",
    );
    check_changed(
        FIXED_WIDTH,
        "  107H",
        "1 07 H",
        &Options::default(),
        &format!("fixed_width.dly, line 2, columns 246-250 (VALUE29): \"1 07 \" is not {tenths}"),
    );
    check_changed(
        OPEN_METEO_JSON,
        "10.7",
        "\"warm\"",
        &Options::default(),
        "open_meteo.json is not the JSON that Open-Meteo sends: invalid type: string \"warm\", expected a \
         temperature or null in daily.temperature_2m_max at line 4 column 46",
    );
    check_changed(
        OPEN_METEO_JSON,
        "10.7",
        "1e10",
        &Options::default(),
        "open_meteo.json is not the JSON that Open-Meteo sends: invalid value: floating point `10000000000.0`, \
         expected a temperature or null in daily.temperature_2m_max at line 4 column 44",
    );
}

#[test]
fn flagged_observations_are_checked_as_well() {
    check_changed(
        BY_STATION,
        "TMAX,999,",
        "TMAX,x,",
        &Options::default(),
        "by_station.csv, line 5, column 4 (DATA_VALUE): \"x\" is not a temperature in whole tenths of °C",
    );
}

#[test]
fn a_file_without_temperatures_is_an_error() {
    for file in [("empty.csv", b"".as_slice()), ("blank.csv", b"\n\n"), ("bom.csv", b"\xEF\xBB\xBF")] {
        check(file, &Options::default(), &format!("no temperatures found in {}", file.0));
    }
    check(
        ("rain.csv", b"XX000000001,20240101,PRCP,1,,,Z,\n"),
        &Options::default(),
        "no temperatures found in rain.csv",
    );
    check(
        ("bad.csv", b"XX000000001,20240101,TMAX,1,,G,Z,\n"),
        &Options::default(),
        "no temperatures found in bad.csv; 1 with a quality flag were left out\n\
         hint: take them nevertheless with `--keep-flagged`",
    );
    check_changed(
        OPEN_METEO,
        "temperature_2m_max (°C)",
        "temperature_2m_max_other_model (°C)",
        &Options::default(),
        "open_meteo.csv holds 1 columns of daily maxima: temperature_2m_max_other_model (°C)\n\
         hint: pick one with `--degrees-column NAME`",
    );
}

#[test]
fn open_meteos_refusal_is_passed_on() {
    check(
        ("answer.json", br#"{"error": true, "reason": "Daily API request limit exceeded."}"#),
        &Options::default(),
        "answer.json holds Open-Meteo's refusal instead of data: Daily API request limit exceeded.\n\
         hint: correct the request and fetch it again",
    );
}

/// Cut anywhere, a file is an error, or lacks whole lines only: no number changes.
#[test]
fn a_file_cut_off_never_reads_as_another() {
    for (name, bytes) in FIXTURES {
        if name == ANY.0 {
            // Programs that leave out the last line's end are as common as CSV itself, so a cut within the last
            // number can't be told.
            continue;
        }
        let options = Options {
            keep_flagged: true,
            station: name.contains("places").then(|| "1".to_owned()),
            ..Options::default()
        };
        let options = if name == BY_YEAR_HEADER.0 { station("XX000000001") } else { options };
        let whole = read(name, bytes, &options).unwrap();
        for length in 0..bytes.len() {
            let Ok(weather) = read(name, &bytes[..length], &options) else { continue };
            assert!(whole.days.starts_with(&weather.days), "{name} cut at {length}: {weather:?}");
            if length > 0 && bytes[length - 1] != b'\n' {
                let line_end = length + bytes[length..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
                let uncut = read(name, &bytes[..line_end], &options).unwrap();
                assert_eq!(weather.days, uncut.days, "{name} lost a report when cut at {length}");
            }
        }
    }
}

#[test]
fn cut_files_say_where() {
    let cut = |(name, bytes): (&'static str, &'static [u8]), length: usize| (name, &bytes[..length]);
    let options = Options::default();
    check(
        cut(FIXED_WIDTH, 400),
        &options,
        "fixed_width.dly is cut off: line 2 has 130 characters instead of 269\nhint: fetch the file again",
    );
    check(
        cut(ACCESS, 390),
        &options,
        "access.csv, line 5, column 2: a quote is opened and never closed\n\
         hint: if the file is cut off, fetch it again",
    );
    check(
        cut(BY_STATION, 60),
        &options,
        "by_station.csv, line 2: 3 fields instead of 8\n\
         hint: if the file is cut off or damaged there, fetch it again",
    );
    check(
        cut(OPEN_METEO_FAHRENHEIT, 164),
        &options,
        "open_meteo_fahrenheit.csv is cut off: line 6, its last, has no end and its last number may lack digits\n\
         hint: fetch the file again",
    );
    check(
        cut(OPEN_METEO_JSON, 150),
        &options,
        "open_meteo.json is cut off: its JSON ends at line 3, column 28\nhint: fetch the file again",
    );
}

fn recognise(bytes: &[u8], name: &str) -> Option<InputFormat> {
    super::recognise(bytes, name, &Options::default()).map(|found| found.format())
}

#[test]
fn formats_are_recognised() {
    for ((name, bytes), format) in [
        (BY_STATION, InputFormat::GhcnCsv),
        (BY_YEAR_HEADER, InputFormat::GhcnCsv),
        (ACCESS, InputFormat::GhcnAccess),
        (FIXED_WIDTH, InputFormat::GhcnDly),
        (OPEN_METEO, InputFormat::OpenMeteoCsv),
        (OPEN_METEO_PLACES, InputFormat::OpenMeteoCsv),
        (OPEN_METEO_JSON, InputFormat::OpenMeteoJson),
        (OPEN_METEO_PLACES_JSON, InputFormat::OpenMeteoJson),
        (("x", b"time,temperature_2m_max (\xC2\xB0C)\n"), InputFormat::OpenMeteoCsv),
        (("x.DLY.gz", b"damaged"), InputFormat::GhcnDly),
    ] {
        assert_eq!(recognise(bytes, name), Some(format), "{name}");
    }
    for bytes in [b"date,tmax\n".as_slice(), b"time,temperature\n", b"latitude,day,tmax\n", b"\x1F\x8B\x08"] {
        assert_eq!(recognise(bytes, "x.csv"), None);
    }
}

#[test]
fn a_reader_that_hands_out_single_bytes_makes_no_difference() {
    for file in [BY_STATION, ACCESS, FIXED_WIDTH, OPEN_METEO, OPEN_METEO_JSON] {
        let slow = BufReader::with_capacity(1, file.1);
        let weather = read(file.0, slow, &Options::default()).unwrap();
        assert_eq!(weather.days, read(file.0, file.1, &Options::default()).unwrap().days);
    }
}

#[test]
fn units() {
    for (fahrenheit, celsius) in [(32.0, 0.0), (212.0, 100.0), (-40.0, -40.0), (50.0, 10.0), (23.0, -5.0)] {
        assert_eq!(Unit::Fahrenheit.to_celsius(fahrenheit), celsius);
    }
    assert_eq!(Unit::TenthsC.to_celsius(-177.0), -17.7);
    assert_eq!(Unit::Celsius.to_celsius(-17.7), -17.7);
}

/// Reads a file that has no end: `start`, then `byte` again and again.
fn endless(start: &str, byte: u8, options: &Options) -> String {
    let bytes = BufReader::new(start.as_bytes().chain(io::repeat(byte)));
    told(&read("endless", bytes, options).unwrap_err())
}

#[test]
fn endless_lines_do_not_fill_the_memory() {
    let of = |format| Options { format: Some(format), ..Options::default() };
    let long = |line| {
        format!(
            "endless, line {line}: the record there has more than 1048576 bytes, more than a weather record can have"
        )
    };
    for format in [
        InputFormat::GhcnCsv,
        InputFormat::GhcnAccess,
        InputFormat::GhcnDly,
        InputFormat::OpenMeteoCsv,
        InputFormat::Csv,
    ] {
        let options = match format {
            InputFormat::Csv => columns("day", "max", Unit::Celsius),
            _ => of(format),
        };
        let expected = match format {
            InputFormat::GhcnDly | InputFormat::Csv => long(1),
            _ => format!(
                "endless was to be read as {}, but has no header of that format: its first line is \"{}…\"\n\
                 hint: leave `--input-format` out, or name another",
                format.name(),
                "0".repeat(40)
            ),
        };
        assert_eq!(endless("", b'0', &options), expected, "{format:?}");
    }
    assert_eq!(endless("day,max\n\"", b'\n', &columns("day", "max", Unit::Celsius)), long(1_048_579));
    assert_eq!(
        endless("[", b' ', &of(InputFormat::OpenMeteoJson)),
        "endless has more than 134217728 bytes, too many for JSON\nhint: split it by place"
    );
}

#[test]
fn a_small_text_does_not_become_a_large_value() {
    let places = format!("[{}{{}}]", "{},".repeat(10_000));
    check(
        ("places.json", places.as_bytes()),
        &Options::default(),
        "places.json is not the JSON that Open-Meteo sends: invalid length 10001, expected an array of answers for at \
         most 10000 places at line 1 column 30004",
    );
    let deep = format!("{{\"hourly\":{}", "[".repeat(100_000));
    check(
        ("deep.json", deep.as_bytes()),
        &Options::default(),
        "deep.json is cut off: its JSON ends at line 1, column 100010\nhint: fetch the file again",
    );
}

#[test]
fn a_message_is_not_as_long_as_its_file() {
    let long = "x".repeat(30_000);
    for (name, text) in [
        ("columns.csv", format!("STATION,DATE,{long}\n")),
        ("columns.csv", format!("STATION,DATE{}\n", ",x".repeat(100_000))),
        ("stations.csv", format!("{long},20240501,TMAX,1,,,Z,\ny,20240501,TMAX,1,,,Z,\n")),
        ("refusal.json", format!("{{\"error\":true,\"reason\":\"{long}\"}}")),
        ("day.json", format!("{{\"daily\":{{\"time\":[\"{long}\"]}}}}")),
        (
            "unit.json",
            format!(
                "{{\"daily_units\":{{\"temperature_2m_max\":\"{long}\"}},\"daily\":{{\"time\":[],\"temperature_2m_max\":[]}}}}"
            ),
        ),
    ] {
        let message = text_of((name, text.as_bytes()), &Options::default());
        assert!(message.len() < 1000, "{name}: {} bytes", message.len());
        assert!(message.contains('…'), "{message}");
    }
}

/// Bytes that come near a real file: a fixture with a stretch of it replaced.
fn damaged_fixture() -> impl Strategy<Value = Vec<u8>> {
    let index = any::<prop::sample::Index>;
    (0..FIXTURES.len(), index(), index(), prop::collection::vec(any::<u8>(), 0..12)).prop_map(
        |(fixture, start, length, noise)| {
            let mut bytes = FIXTURES[fixture].1.to_vec();
            let start = start.index(bytes.len());
            let end = start + length.index((bytes.len() - start).min(12));
            bytes.splice(start..end, noise);
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(
        bytes in prop_oneof![damaged_fixture(), prop::collection::vec(any::<u8>(), 0..600)],
        (format, ..) in prop::sample::select(InputFormat::ALL),
        is_recognised: bool,
        station in prop::option::of("XX000000001|0"),
    ) {
        let mut options = Options { station, keep_flagged: true, ..Options::default() };
        if format == InputFormat::Csv {
            options = columns("day", "max", Unit::Fahrenheit);
        } else if !is_recognised {
            options.format = Some(format);
        }
        if let Ok(Weather { days: reports, .. }) = read_bytes("damaged", bytes.as_slice(), &options) {
            prop_assert!(!reports.is_empty());
            for report in reports {
                prop_assert!(is_valid_degrees(report.degrees));
                prop_assert!((1..=9999).contains(&report.date.year()));
            }
        }
    }
}

#[test]
fn a_station_and_its_provider_are_known_from_the_file() {
    for (file, options, expected) in [
        (BY_STATION, Options::default(), ("XX000000001", Some("NOAA GHCN-Daily"), Some("public domain"))),
        (
            BY_YEAR_HEADER,
            station("XX000000001"),
            ("XX000000001", Some("NOAA GHCN-Daily"), Some("public domain")),
        ),
        (FIXED_WIDTH, Options::default(), ("XX000000001", Some("NOAA GHCN-Daily"), Some("public domain"))),
        (ANY, columns("day", "max", Unit::Fahrenheit), ("", None, None)),
    ] {
        let Weather { place, .. } = read(file.0, file.1, &options).unwrap();
        let found = (&*place.station, place.source.as_deref(), place.licence.as_deref());
        assert_eq!(found, expected, "{}", file.0);
    }
}
