use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::report::{DEGREES_MAX, Report};

fn value(year: i16, month: i8, day: i8, degrees: f64) -> Vec<u8> {
    Report { date: date(year, month, day), degrees }.encode()
}

fn apply(checkpoint: &mut Checkpoint, offset: i64, value: Option<&[u8]>) -> Result<Outcome, AlreadyPassed> {
    checkpoint.apply(offset, value, &mut Decoder::of(""))
}

fn counted(reports: &[Vec<u8>]) -> Checkpoint {
    let mut checkpoint = Checkpoint::empty(2, 0);
    for (offset, value) in (0..).zip(reports) {
        assert_eq!(apply(&mut checkpoint, offset, Some(value)), Ok(Outcome::Counted));
    }
    checkpoint
}

#[test]
fn the_truth_table_of_apply() {
    let fresh_day = value(2000, 1, 2, 2.0);
    let counted_day = value(2000, 1, 1, 99.0);
    let no_report = value(2000, 1, 3, f64::NAN);
    let elsewhere = Report { date: date(2000, 1, 1), degrees: 1.0 }.encode_at("A");
    let before = {
        let mut checkpoint = Checkpoint::empty(2, 6);
        apply(&mut checkpoint, 6, Some(&value(2000, 1, 1, 1.0))).unwrap();
        checkpoint
    };
    type Row<'a> = (&'a [i64], Option<&'a [u8]>, Result<Outcome, AlreadyPassed>);
    let rows: [Row; 10] = [
        (&[-1, 0, 6], Some(&fresh_day), Err(AlreadyPassed)),
        (&[-1, 0, 6], Some(&counted_day), Err(AlreadyPassed)),
        (&[-1, 0, 6], Some(&no_report), Err(AlreadyPassed)),
        (&[-1, 0, 6], Some(&elsewhere), Err(AlreadyPassed)),
        (&[-1, 0, 6], None, Err(AlreadyPassed)),
        (&[7, 8, 4000], None, Ok(Outcome::Rejected(RejectReason::NoValue))),
        (&[7, 8, 4000], Some(&no_report), Ok(Outcome::Rejected(RejectReason::InvalidDegrees))),
        (&[7, 8, 4000], Some(&elsewhere), Ok(Outcome::Rejected(RejectReason::OtherStation))),
        (&[7, 8, 4000], Some(&counted_day), Ok(Outcome::Duplicate)),
        (&[7, 8, 4000], Some(&fresh_day), Ok(Outcome::Counted)),
    ];
    for (offsets, value, expected) in rows {
        for &offset in offsets {
            let mut checkpoint = before.clone();
            assert_eq!(apply(&mut checkpoint, offset, value), expected, "{offset}");
            match expected {
                Err(AlreadyPassed) => assert_eq!(checkpoint, before),
                Ok(Outcome::Counted) => {
                    assert_eq!(checkpoint.offset, offset + 1);
                    assert_eq!(checkpoint.statistics.days(), 2);
                }
                Ok(Outcome::Duplicate | Outcome::Rejected(_)) => {
                    assert_eq!(checkpoint.offset, offset + 1);
                    assert_eq!(checkpoint.statistics, before.statistics);
                }
            }
        }
    }
}

#[test]
fn skipping_only_moves_forward() {
    let mut checkpoint = Checkpoint::empty(0, 5);
    assert!(!checkpoint.skip_to(4));
    assert!(!checkpoint.skip_to(5));
    assert_eq!(checkpoint.offset, 5);
    assert!(checkpoint.skip_to(9));
    assert_eq!(checkpoint, Checkpoint::empty(0, 9));
}

#[test]
fn a_small_checkpoint_to_the_letter() {
    let mut checkpoint = Checkpoint::empty(2, 4117);
    for (offset, (year, month, day, degrees)) in (4117..).zip([
        (1991, 4, 4, 1.25),
        (1990, 4, 19, 0.1),
        (1990, 4, 16, 0.2),
        (2, 12, 31, -0.0),
        (1990, 4, 17, 0.3),
        (2000, 1, 1, 1e9),
    ]) {
        apply(&mut checkpoint, offset, Some(&value(year, month, day, degrees))).unwrap();
    }
    let text = r#"{"partition":2,"offset":4123,
 "January":{"2000":{"count":1,"sum":1000000000.0,"avg":1000000000.0,"min":1000000000.0,"max":1000000000.0,"start":"2000-01-01","end":"2000-01-01","min_date":"2000-01-01","max_date":"2000-01-01"}},
 "April":{"1990":{"count":3,"sum":0.6000000000000001,"avg":0.20000000000000004,"min":0.1,"max":0.3,"start":"1990-04-16","end":"1990-04-19","min_date":"1990-04-19","max_date":"1990-04-17","missing":["1990-04-18"]},
  "1991":{"count":1,"sum":1.25,"avg":1.25,"min":1.25,"max":1.25,"start":"1991-04-04","end":"1991-04-04","min_date":"1991-04-04","max_date":"1991-04-04"}},
 "December":{"0002":{"count":1,"sum":0.0,"avg":0.0,"min":0.0,"max":0.0,"start":"0002-12-31","end":"0002-12-31","min_date":"0002-12-31","max_date":"0002-12-31"}}}
"#;
    assert_eq!(String::from_utf8(checkpoint.to_json()).unwrap(), text);
    assert_eq!(Checkpoint::from_json(text.as_bytes()).unwrap(), checkpoint);
}

#[test]
fn an_empty_checkpoint_to_the_letter() {
    let json = Checkpoint::empty(0, 0).to_json();
    assert_eq!(json, b"{\"partition\":0,\"offset\":0}\n");
    assert_eq!(Checkpoint::from_json(&json).unwrap(), Checkpoint::empty(0, 0));
}

#[test]
fn the_offset_is_within_the_first_64_bytes() {
    let mut checkpoint = counted(&[value(2000, 1, 1, 1.0)]);
    checkpoint.partition = i32::MAX;
    checkpoint.offset = i64::MAX;
    let json = checkpoint.to_json();
    assert!(String::from_utf8_lossy(&json[..64]).contains("\"offset\":9223372036854775807,"));
}

#[test]
fn the_order_of_the_keys_does_not_matter_for_reading() {
    let text = r#"{ "May" : {"2000":{"end":"2000-05-01","start":"2000-05-01","max":2,"min":2,"avg":2,"sum":2,"count":1}},
        "offset":1, "partition":2 }"#;
    assert_eq!(Checkpoint::from_json(text.as_bytes()).unwrap(), counted(&[value(2000, 5, 1, 2.0)]));
}

/// A checkpoint whose only cell is `cell`.
fn with_cell(cell: &str) -> String {
    format!(r#"{{"partition":2,"offset":9,"April":{{"1990":{cell}}}}}"#)
}

/// The cell of three days of April 1990, with some of its text replaced.
fn altered(from: &str, to: &str) -> String {
    let cell = r#"{"count":3,"sum":6.0,"avg":2.0,"min":1.0,"max":3.0,"start":"1990-04-16","end":"1990-04-19","missing":["1990-04-18"]}"#;
    assert!(cell.contains(from), "{from}");
    with_cell(&cell.replacen(from, to, 1))
}

/// A checkpoint of one or two days of April 1990.
fn few_days(count: u32, sum: f64, min: f64, max: f64) -> String {
    with_cell(&format!(
        r#"{{"count":{count},"sum":{sum:?},"avg":{:?},"min":{min:?},"max":{max:?},"start":"1990-04-01","end":"1990-04-0{count}"}}"#,
        sum / f64::from(count),
    ))
}

/// The cell of [`altered`] with days of its extremes.
fn with_dates(dates: &str) -> String {
    altered("\"missing\"", &format!("{dates},\"missing\""))
}

#[test]
fn a_file_from_before_dates_of_extremes_were_kept_is_read_and_written_as_it_is() {
    let text = altered("", "");
    let mut checkpoint = Checkpoint::from_json(text.as_bytes()).unwrap();
    assert!(!String::from_utf8(checkpoint.to_json()).unwrap().contains("_date"));
    // One of equal degrees came later than the unknown one; a colder one is the first of its kind.
    apply(&mut checkpoint, 9, Some(&value(1990, 4, 18, 3.0))).unwrap();
    assert!(!String::from_utf8(checkpoint.to_json()).unwrap().contains("_date"));
    apply(&mut checkpoint, 10, Some(&value(1990, 4, 30, 0.5))).unwrap();
    let written = String::from_utf8(checkpoint.to_json()).unwrap();
    assert!(written.contains(r#""end":"1990-04-30","min_date":"1990-04-30","missing":["#), "{written}");
    assert_eq!(Checkpoint::from_json(written.as_bytes()).unwrap(), checkpoint);
    // The only day of a month has both extremes.
    let one_day = Checkpoint::from_json(few_days(1, 2.5, 2.5, 2.5).as_bytes()).unwrap().to_json();
    let dates = r#""min_date":"1990-04-01","max_date":"1990-04-01"}"#;
    assert!(String::from_utf8(one_day).unwrap().contains(dates));
}

#[test]
fn files_that_no_fold_writes_are_refused_by_reason() {
    assert!(Checkpoint::from_json(altered("", "").as_bytes()).is_ok(), "the cell itself is good");
    assert!(Checkpoint::from_json(with_dates(r#""min_date":"1990-04-16""#).as_bytes()).is_ok());
    let both = r#""min_date":"1990-04-19","max_date":"1990-04-16""#;
    assert!(Checkpoint::from_json(with_dates(both).as_bytes()).is_ok());
    assert!(Checkpoint::from_json(few_days(1, 2.5, 2.5, 2.5).as_bytes()).is_ok());
    assert!(Checkpoint::from_json(few_days(1, 0.0, -0.0, -0.0).as_bytes()).is_ok());
    assert!(Checkpoint::from_json(few_days(2, 0.1 + 0.2, 0.1, 0.2).as_bytes()).is_ok());
    let not_a_day = |text: &str| format!("{text:?} is not a day of that month");
    for (text, reason) in [
        (String::new(), "EOF while parsing a value at line 1 column 0".to_owned()),
        ("  \n".to_owned(), "EOF".to_owned()),
        ("null".to_owned(), "invalid type: null, expected a checkpoint".to_owned()),
        ("[2,9]".to_owned(), "invalid type: sequence, expected a checkpoint".to_owned()),
        ("{}".to_owned(), "missing field `partition`".to_owned()),
        (r#"{"partition":2}"#.to_owned(), "missing field `offset`".to_owned()),
        (r#"{"offset":2}"#.to_owned(), "missing field `partition`".to_owned()),
        (r#"{"partition":2,"offset":9}}"#.to_owned(), "trailing characters".to_owned()),
        (r#"{"partition":2,"offset":9,}"#.to_owned(), "trailing comma".to_owned()),
        (r#"{"partition":"2","offset":9}"#.to_owned(), "invalid type: string \"2\"".to_owned()),
        (r#"{"partition":2,"offset":"9"}"#.to_owned(), "invalid type: string \"9\"".to_owned()),
        (r#"{"partition":2,"offset":9.0}"#.to_owned(), "invalid type: floating point".to_owned()),
        (r#"{"partition":2,"offset":null}"#.to_owned(), "invalid type: null".to_owned()),
        (r#"{"partition":2,"offset":-1}"#.to_owned(), "can't be negative".to_owned()),
        (r#"{"partition":-2,"offset":1}"#.to_owned(), "can't be negative".to_owned()),
        (r#"{"partition":2,"offset":9223372036854775808}"#.to_owned(), "invalid value: integer".to_owned()),
        (r#"{"partition":2147483648,"offset":0}"#.to_owned(), "invalid value: integer".to_owned()),
        (r#"{"partition":2,"offset":9,"lag":0}"#.to_owned(), "\"lag\" is not a month".to_owned()),
        (r#"{"partition":2,"offset":9,"april":{}}"#.to_owned(), "\"april\" is not a month".to_owned()),
        (r#"{"partition":2,"offset":9,"partition":2}"#.to_owned(), "duplicate field `partition`".to_owned()),
        (r#"{"partition":2,"offset":9,"offset":9}"#.to_owned(), "duplicate field `offset`".to_owned()),
        (r#"{"partition":2,"offset":9,"May":{},"May":{}}"#.to_owned(), "May is there twice".to_owned()),
        (r#"{"partition":2,"offset":9,"May":[]}"#.to_owned(), "expected the years of May".to_owned()),
        (r#"{"partition":2,"offset":9,"May":{"0000":{}}}"#.to_owned(), "\"0000\" is not a year".to_owned()),
        (r#"{"partition":2,"offset":9,"May":{"10000":{}}}"#.to_owned(), "\"10000\" is not a year".to_owned()),
        (r#"{"partition":2,"offset":9,"May":{"990":{}}}"#.to_owned(), "\"990\" is not a year".to_owned()),
        (r#"{"partition":2,"offset":9,"May":{"+990":{}}}"#.to_owned(), "\"+990\" is not a year".to_owned()),
        (r#"{"partition":2,"offset":9,"May":{"1990":{}}}"#.to_owned(), "missing field `count`".to_owned()),
        (r#"{"partition":2,"offset":9,"May":{"1990":null}}"#.to_owned(), "invalid type: null".to_owned()),
        (
            with_cell(r#"[1,2.0,2.0,2.0,2.0,"1990-04-01","1990-04-01",[]]"#),
            "expected a month cell".to_owned(),
        ),
        (altered("\"count\":3", "\"count\":3,\"count\":3"), "duplicate field `count`".to_owned()),
        (altered("\"count\":3", "\"count\":3,\"median\":2.0"), "unknown field `median`".to_owned()),
        (altered("\"count\":3,", ""), "missing field `count`".to_owned()),
        (altered("\"count\":3", "\"count\":4"), "count is 4, but start, end and missing make 3".to_owned()),
        (altered("\"count\":3", "\"count\":0"), "count is 0, but".to_owned()),
        (altered("\"count\":3", "\"count\":-3"), "invalid value: integer `-3`".to_owned()),
        (altered("\"count\":3", "\"count\":3.0"), "invalid type: floating point".to_owned()),
        (altered("04-16", "04-15"), "count is 3, but start, end and missing make 4".to_owned()),
        (altered("04-19", "04-20"), "count is 3, but start, end and missing make 4".to_owned()),
        (altered("04-16", "04-20"), "start 1990-04-20 is after end 1990-04-19".to_owned()),
        (altered("04-16", "04-31"), not_a_day("1990-04-31")),
        (altered("04-16", "03-16"), not_a_day("1990-03-16")),
        (altered("1990-04-16", "1991-04-16"), not_a_day("1991-04-16")),
        (altered("1990-04-16", "16.4.1990"), not_a_day("16.4.1990")),
        (altered("[\"1990-04-18\"]", "[\"1990-04-16\"]"), "1990-04-16 is not between".to_owned()),
        (altered("[\"1990-04-18\"]", "[\"1990-04-19\"]"), "1990-04-19 is not between".to_owned()),
        (altered("[\"1990-04-18\"]", "[\"1990-04-20\"]"), "1990-04-20 is not between".to_owned()),
        (altered("[\"1990-04-18\"]", "[\"1990-04-18\",\"1990-04-18\"]"), "or is there twice".to_owned()),
        (altered("[\"1990-04-18\"]", "[\"1990-03-18\"]"), not_a_day("1990-03-18")),
        (altered("[\"1990-04-18\"]", "\"1990-04-18\""), "invalid type: string".to_owned()),
        (altered("[\"1990-04-18\"]", "null"), "invalid type: null".to_owned()),
        (altered("\"avg\":2.0", "\"avg\":2.0000000000000004"), "avg is 2.0000000000000004".to_owned()),
        (altered("\"sum\":6.0", "\"sum\":6.000000000000001"), "but sum / count is".to_owned()),
        (altered("\"sum\":6.0", "\"sum\":1e999"), "number out of range".to_owned()),
        (altered("\"sum\":6.0", "\"sum\":\"6.0\""), "invalid type: string".to_owned()),
        (altered("\"sum\":6.0", "\"sum\":NaN"), "expected value".to_owned()),
        (altered("\"sum\":6.0,\"avg\":2.0", "\"sum\":9.3,\"avg\":3.1"), "avg 3.1 is not between".to_owned()),
        (
            altered("\"sum\":6.0,\"avg\":2.0", "\"sum\":1e308,\"avg\":3.333333333333333e307"),
            "not between".to_owned(),
        ),
        (altered("\"min\":1.0", "\"min\":4.0"), "min 4.0 and max 3.0 can't be".to_owned()),
        (altered("\"max\":3.0", "\"max\":1000000000.1"), "max 1000000000.1 can't be".to_owned()),
        (altered("\"min\":1.0", "\"min\":-1e300"), "can't be".to_owned()),
        (altered("\"sum\":6.0", "\"sum\":Infinity"), "expected value".to_owned()),
        (altered("\"sum\":6.0", "\"sum\":-Infinity"), "invalid number".to_owned()),
        (altered("\"min\":1.0", "\"min\":null"), "invalid type: null".to_owned()),
        (altered("\"count\":3", "\"count\":4294967299"), "invalid value: integer `4294967299`".to_owned()),
        (
            altered(
                "\"sum\":6.0,\"avg\":2.0,\"min\":1.0,\"max\":3.0",
                "\"sum\":-0.0,\"avg\":-0.0,\"min\":-0.0,\"max\":0.0",
            ),
            "sum is -0.0, but sums start at 0.0".to_owned(),
        ),
        (few_days(1, 2.0, 1.0, 3.0), "min 1.0 and max 3.0 differ, but count is 1".to_owned()),
        (
            few_days(1, 2.0, 2.0_f64.next_up(), 2.0_f64.next_up()),
            "sum is 2.0, but min and max make".to_owned(),
        ),
        (few_days(1, 0.0, -0.0, 0.0), "min -0.0 and max 0.0 differ, but count is 1".to_owned()),
        (few_days(2, 0.3, 0.1, 0.2), "sum is 0.3, but min and max make 0.30000000000000004".to_owned()),
        (with_dates(r#""min_date":"1990-04-18""#), "min_date 1990-04-18 was not counted".to_owned()),
        (with_dates(r#""max_date":"1990-04-20""#), "max_date 1990-04-20 was not counted".to_owned()),
        (with_dates(r#""max_date":"1990-05-01""#), not_a_day("1990-05-01")),
        (with_dates(r#""max_date":null"#), "invalid type: null".to_owned()),
        (with_dates(r#""min_date":"1990-04-16","min_date":"1990-04-16""#), "duplicate field".to_owned()),
        (
            with_dates(r#""min_date":"1990-04-16","max_date":"1990-04-16""#),
            "on 1990-04-16 can't be".to_owned(),
        ),
        ("\u{feff}".to_owned() + &altered("", ""), "expected value".to_owned()),
        ("\0\u{1}\u{7f}".to_owned(), "expected value".to_owned()),
        (altered("", "") + "{}", "trailing characters".to_owned()),
        ("[".repeat(100_000), "invalid type: sequence".to_owned()),
        ("{\"May\":".repeat(100_000), "\"May\" is not a year".to_owned()),
        (altered("6.0", &"[".repeat(100_000)), "invalid type: sequence".to_owned()),
        (altered("\"count\":3", &format!("\"x\":{}", "[".repeat(100_000))), "unknown field `x`".to_owned()),
        (r#"{"partition":2,"offset":9,"Smarch":{}}"#.to_owned(), "\"Smarch\" is not a month".to_owned()),
        (r#"{"partition":2,"offset":9,"13":{}}"#.to_owned(), "\"13\" is not a month".to_owned()),
        (altered("\"end\":\"1990-04-19\"", "\"end\":\"1990-04-32\""), not_a_day("1990-04-32")),
    ] {
        let error = Checkpoint::from_json(text.as_bytes()).expect_err(&text).to_string();
        assert!(error.contains(&reason), "{text}\n{error}");
        assert!(error.contains(" at line "), "{text}\n{error}");
    }
}

#[track_caller]
fn assert_written_as_any_number(degrees: f64) {
    for degrees in [degrees, -degrees] {
        let mut text = Vec::new();
        push_degrees(&mut text, degrees);
        assert_eq!(String::from_utf8(text).unwrap(), json(degrees));
    }
}

#[test]
fn all_degrees_of_four_decimals_are_written_as_any_number_is() {
    // Up to where there is a third digit before the point.
    (0..=1_000_010).for_each(|number| assert_written_as_any_number(f64::from(number) / 1e4));
    for degrees in [5e-324, 1e-5, 0.000_05, 99.999_95, 99.999_999, 100_f64.next_down(), 1e9, DEGREES_MAX] {
        assert_written_as_any_number(degrees);
    }
}

#[test]
fn a_year_there_twice_is_refused() {
    let cell =
        r#"{"count":1,"sum":2.0,"avg":2.0,"min":2.0,"max":2.0,"start":"1990-04-16","end":"1990-04-16"}"#;
    let twice = with_cell(&format!("{cell},\"1990\":{cell}"));
    let error = Checkpoint::from_json(twice.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("April 1990 is there twice"), "{error}");
}

#[test]
fn a_file_cut_short_is_refused_wherever_it_is_cut() {
    let json = counted(&[value(2000, 1, 1, 1.0), value(2000, 1, 3, 1.5), value(2001, 5, 3, 2.0)]).to_json();
    let whole = json.trim_ascii_end().len();
    for length in 0..whole {
        assert!(Checkpoint::from_json(&json[..length]).is_err(), "{length}");
    }
    assert!(Checkpoint::from_json(&json[..whole]).is_ok());
}

/// The statistics of one month as a second implementation keeps them: all days, in the order of arrival.
type Days = Vec<(u32, f64)>;

/// The fold done again, as simply as can be: every date's first report, months from those.
fn again(records: &[(i64, Option<Vec<u8>>)], partition: i32) -> String {
    let mut offset = 0;
    let mut dates = BTreeMap::new();
    let mut months: BTreeMap<(usize, u16), Days> = BTreeMap::new();
    for (at, value) in records {
        offset = at + 1;
        let Ok(report) = Decoder::default().decode(value.as_deref()) else { continue };
        if dates.insert(report.date, ()).is_none() {
            let (year, month, day) = (report.date.year(), report.date.month(), report.date.day());
            let month = months.entry((month as usize - 1, year as u16)).or_default();
            month.push((day as u32, report.degrees));
        }
    }
    let mut text = format!("{{\"partition\":{partition},\"offset\":{offset}");
    for (index, name) in MONTHS.iter().enumerate() {
        let years = months.iter().filter(|((month, _), _)| *month == index);
        let years: Vec<String> = years
            .map(|((month, year), days)| {
                let date = |day: u32| format!("\"{year:04}-{:02}-{day:02}\"", month + 1);
                let first = days.iter().map(|(day, _)| *day).min().unwrap();
                let last = days.iter().map(|(day, _)| *day).max().unwrap();
                let missing: Vec<String> =
                    (first..last).filter(|day| days.iter().all(|(other, _)| other != day)).map(date).collect();
                let sum = days.iter().fold(0.0, |sum, (_, degrees)| sum + degrees);
                let extreme = |beats: fn(f64, f64) -> bool| {
                    days.iter().map(|(_, degrees)| *degrees).reduce(|a, b| if beats(b, a) { b } else { a }).unwrap()
                };
                let mut cell = format!(
                    "\"{year:04}\":{{\"count\":{},\"sum\":{},\"avg\":{},\"min\":{},\"max\":{},\"start\":{},\"end\":{}",
                    days.len(),
                    json(sum),
                    json(sum / days.len() as f64),
                    json(extreme(|a, b| a < b)),
                    json(extreme(|a, b| a > b)),
                    date(first),
                    date(last),
                );
                // The first day in the log that has the extreme.
                let day_of = |wanted: f64| days.iter().find(|(_, degrees)| *degrees == wanted).unwrap().0;
                let (min, max) = (extreme(|a, b| a < b), extreme(|a, b| a > b));
                let _ = write!(
                    cell,
                    ",\"min_date\":{},\"max_date\":{}",
                    date(day_of(min)),
                    date(day_of(max))
                );
                if !missing.is_empty() {
                    let _ = write!(cell, ",\"missing\":[{}]", missing.join(","));
                }
                cell + "}"
            })
            .collect();
        if !years.is_empty() {
            let _ = write!(text, ",\n \"{name}\":{{{}}}", years.join(",\n  "));
        }
    }
    text + "}\n"
}

fn json(number: f64) -> String {
    serde_json::to_string(&number).unwrap()
}

prop_compose! {
    /// A temperature, mostly of the usual kind, and now and then at an edge.
    fn degrees()(usual in -60.0..60.0, edge in 0_usize..40) -> f64 {
        let edges = [0.0, -0.0, 5e-324, DEGREES_MAX, -DEGREES_MAX, 1e9 + 1.0, f64::NAN, f64::INFINITY];
        edges.get(edge).copied().unwrap_or(usual)
    }
}

prop_compose! {
    /// A record of a few months, so that days are repeated, and some that are no reports.
    fn record()(
        year in prop_oneof![Just(1_i16), Just(1999), Just(2000), Just(9999)],
        month in prop_oneof![Just(1_i8), Just(2), Just(12)],
        day in 1_i8..=31,
        degrees in degrees(),
        kind in 0_u8..20,
    ) -> Option<Vec<u8>> {
        match kind {
            0 => None,
            1 => Some(b"no report".to_vec()),
            // The last days of February are not always there.
            _ => Some(jiff::civil::Date::new(year, month, day)
                .map_or(b"\x0a\x0a2001-02-30".to_vec(), |date| Report { date, degrees }.encode())),
        }
    }
}

fn log() -> impl Strategy<Value = Vec<(i64, Option<Vec<u8>>)>> {
    proptest::collection::vec((1_i64..4, record()), 0..200).prop_map(|records| {
        let mut next = 0;
        records
            .into_iter()
            .map(|(gap, value)| {
                next += gap;
                (next - 1, value)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn the_fold_is_the_same_done_simply(records in log()) {
        let mut checkpoint = Checkpoint::empty(3, 0);
        for (offset, value) in &records {
            apply(&mut checkpoint, *offset, value.as_deref()).unwrap();
        }
        prop_assert_eq!(String::from_utf8(checkpoint.to_json()).unwrap(), again(&records, 3));
    }

    #[test]
    fn restarts_can_not_be_seen(
        records in log(),
        restarts in proptest::collection::btree_set(0_usize..200, 0..10),
        replayed in 0_usize..20,
    ) {
        let mut straight = Checkpoint::empty(3, 0);
        let mut restarted = Checkpoint::empty(3, 0);
        for (index, (offset, value)) in records.iter().enumerate() {
            apply(&mut straight, *offset, value.as_deref()).unwrap();
            if restarts.contains(&index) {
                restarted = Checkpoint::from_json(&restarted.to_json()).unwrap();
                for (passed, value) in &records[index.saturating_sub(replayed)..index] {
                    prop_assert_eq!(apply(&mut restarted, *passed, value.as_deref()), Err(AlreadyPassed));
                }
            }
            apply(&mut restarted, *offset, value.as_deref()).unwrap();
        }
        prop_assert_eq!(straight.to_json(), restarted.to_json());
    }

    #[test]
    fn numbers_survive_bit_for_bit(bits: u64, scale in -330_i32..10) {
        for degrees in [f64::from_bits(bits), (bits >> 11) as f64 * 10_f64.powi(scale - 16), -0.0, 5e-324] {
            if !is_valid_degrees(degrees) {
                continue;
            }
            let mut checkpoint = Checkpoint::empty(0, 1);
            checkpoint.statistics.cell_mut(3, 1990).add(30, degrees);
            let read = Checkpoint::from_json(&checkpoint.to_json()).unwrap();
            let (_, _, cell) = read.statistics.cells().next().unwrap();
            prop_assert_eq!(cell.min().to_bits(), degrees.to_bits());
            prop_assert_eq!(cell.sum().to_bits(), (0.0 + degrees).to_bits());
            prop_assert_eq!(read.to_json(), checkpoint.to_json());
        }
    }

    #[test]
    fn degrees_are_written_as_any_number_is(number in 0_u32..3_000_000, decimals in 0..7, any: f64) {
        let decimal = f64::from(number) / 10_f64.powi(decimals);
        for degrees in [decimal, decimal.next_up(), decimal.next_down(), any] {
            assert_written_as_any_number(degrees);
        }
    }

    #[test]
    fn every_finite_double_is_read_as_it_was_written(bits: u64) {
        let number = f64::from_bits(bits);
        if number.is_finite() {
            let mut text = Vec::new();
            push_f64(&mut text, number);
            prop_assert_eq!(serde_json::from_slice::<f64>(&text).unwrap().to_bits(), bits);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(Checkpoint::from_json(&bytes).is_err());
    }

    #[test]
    fn damage_is_refused_or_gives_what_the_fold_could_have_written(at in 0_usize..400, byte: u8) {
        let mut json = counted(&[value(2000, 1, 1, 1.0), value(2000, 1, 3, 1.5), value(2001, 5, 3, 2.0)]).to_json();
        let at = at % json.len();
        json[at] = byte;
        if let Ok(read) = Checkpoint::from_json(&json) {
            prop_assert_eq!(Checkpoint::from_json(&read.to_json()).unwrap(), read);
        }
    }
}
