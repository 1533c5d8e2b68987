//! Days, as files write them.

use jiff::civil::Date;
use jiff::fmt::strtime::BrokenDownTime;

use crate::report::parse_date;

/// How a file writes its days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum DateForm<'t> {
    /// Year, month, day, with the month as a number or a name: whatever cannot be mistaken.
    Clear,
    /// The same, or seconds as [`DateForm::Unix`] has them.
    ClearOrUnix,
    /// Day, month, year.
    DayFirst,
    /// Seconds since 1970-01-01T00:00Z of a local midnight.
    Unix,
    /// As strftime has it.
    Pattern(&'t str),
}

/// Why a text is not a day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoDate {
    /// It is not one, or not one of the calendar.
    Invalid,
    /// It may be one of two.
    Ambiguous,
    /// It is an hour of one.
    Hour,
}

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

const DAY_SECONDS: i64 = 86_400;
/// How far a local midnight may be from that of a fixed offset: summer time, two hours at most.
const MIDNIGHT_SECONDS: i64 = 2 * 3600;

/// The user's format, a pattern of strftime or one of YYYY, MM and DD, as a pattern of strftime.
pub(super) fn pattern(text: &str) -> String {
    if text.contains('%') {
        return text.to_owned();
    }
    let text = text.replace("YYYY", "%Y").replace("MM", "%m").replace("DD", "%d").replace("YY", "%y");
    text.replace("yyyy", "%Y").replace("mm", "%m").replace("dd", "%d").replace("yy", "%y")
}

impl<'t> DateForm<'t> {
    /// The user's text as a [`pattern`], or `unix`.
    pub(super) fn of_pattern(pattern: &'t str) -> DateForm<'t> {
        if pattern == "unix" { DateForm::Unix } else { DateForm::Pattern(pattern) }
    }

    /// The day that `text` is, where local time is `offset` seconds ahead of UTC.
    #[inline]
    pub(super) fn parse(self, text: &[u8], offset: i64) -> Result<Date, NoDate> {
        match self {
            DateForm::Clear => match parse_date(text).or_else(|| parse_compact(text)) {
                Some(date) => Ok(date),
                None => parse_loose(text, false),
            },
            DateForm::ClearOrUnix if text.iter().skip(1).any(|byte| *byte == b'-') => {
                DateForm::Clear.parse(text, offset)
            }
            DateForm::ClearOrUnix => parse_unix(text, offset),
            DateForm::DayFirst => parse_compact(text).map_or_else(|| parse_loose(text, true), Ok),
            DateForm::Unix => parse_unix(text, offset),
            DateForm::Pattern(pattern) => parse_pattern(text, pattern),
        }
    }
}

/// A day of the years 1 to 9999.
pub(super) fn date_of(year: i64, month: i64, day: i64) -> Option<Date> {
    let year = i16::try_from(year).ok().filter(|year| *year >= 1)?;
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

#[inline]
fn parse_compact(text: &[u8]) -> Option<Date> {
    let &[y1, y2, y3, y4, m1, m2, d1, d2] = text else {
        return None;
    };
    parse_date(&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2])
}

fn parse_loose(text: &[u8], is_day_first: bool) -> Result<Date, NoDate> {
    if matches!(text.len(), 10 | 12 | 14) && text.iter().all(u8::is_ascii_digit) {
        let (day, time) = text.split_at(8);
        let date = parse_compact(day).ok_or(NoDate::Invalid)?;
        return if time.iter().all(|digit| *digit == b'0') { Ok(date) } else { Err(NoDate::Hour) };
    }
    let mut rest = text;
    let first = take_number(&mut rest).ok_or(NoDate::Invalid)?;
    let separator = take_separator(&mut rest).ok_or(NoDate::Invalid)?;
    let named = take_month(&mut rest);
    let second = named.or_else(|| take_number(&mut rest)).ok_or(NoDate::Invalid)?;
    if take_separator(&mut rest) != Some(separator) {
        return Err(NoDate::Invalid);
    }
    let third = take_number(&mut rest).ok_or(NoDate::Invalid)?;
    let time = is_midnight(rest).ok_or(NoDate::Invalid)?;
    let date = match (first.digits, third.digits) {
        (4, 1 | 2) => date_of(first.value, second.value, third.value),
        (1 | 2, 4) if named.is_some() || is_day_first => date_of(third.value, second.value, first.value),
        (1 | 2, 4 | 2)
            if named.is_none() && (1..=31).contains(&first.value) && (1..=31).contains(&second.value) =>
        {
            return Err(NoDate::Ambiguous);
        }
        _ => None,
    };
    let date = date.ok_or(NoDate::Invalid)?;
    if time { Ok(date) } else { Err(NoDate::Hour) }
}

#[derive(Clone, Copy)]
struct Number {
    value: i64,
    digits: usize,
}

fn take_number(rest: &mut &[u8]) -> Option<Number> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=4).contains(&digits) {
        return None;
    }
    let (number, after) = rest.split_at(digits);
    *rest = after;
    let value = number.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(Number { value, digits })
}

fn take_separator(rest: &mut &[u8]) -> Option<u8> {
    let (separator, after) = rest.split_first()?;
    *rest = after;
    matches!(separator, b'-' | b'/' | b'.' | b' ').then_some(*separator)
}

fn take_month(rest: &mut &[u8]) -> Option<Number> {
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (name, after) = rest.split_at(length);
    let month = MONTHS.iter().position(|month| name.len() >= 3 && name[..3].eq_ignore_ascii_case(*month))?;
    *rest = after;
    Some(Number { value: month as i64 + 1, digits: 2 })
}

/// Whether what stands behind a day is a midnight, or nothing; none if it is not a time.
fn is_midnight(rest: &[u8]) -> Option<bool> {
    let Some((first, time)) = rest.split_first() else { return Some(true) };
    if !matches!(first, b'T' | b' ' | b't') || !time.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let zone = time.iter().position(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-')).unwrap_or(time.len());
    let time = time.get(..zone).unwrap_or_default().trim_ascii_end();
    let is_time = time.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    is_time.then(|| time.iter().all(|byte| !matches!(byte, b'1'..=b'9')))
}

fn parse_unix(text: &[u8], offset: i64) -> Result<Date, NoDate> {
    let seconds: i64 = str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(NoDate::Invalid)?;
    let local = seconds.checked_add(offset).ok_or(NoDate::Invalid)?;
    let days = local.checked_add(DAY_SECONDS / 2).ok_or(NoDate::Invalid)?.div_euclid(DAY_SECONDS);
    let off = local - days * DAY_SECONDS;
    let span = jiff::Span::new().try_days(days).map_err(|_| NoDate::Invalid)?;
    let date = jiff::civil::date(1970, 1, 1).checked_add(span).map_err(|_| NoDate::Invalid)?;
    let date = (date.year() >= 1).then_some(date).ok_or(NoDate::Invalid)?;
    if off.abs() <= MIDNIGHT_SECONDS { Ok(date) } else { Err(NoDate::Hour) }
}

fn parse_pattern(text: &[u8], pattern: &str) -> Result<Date, NoDate> {
    let text = str::from_utf8(text).map_err(|_| NoDate::Invalid)?;
    let parsed = BrokenDownTime::parse(pattern, text).and_then(|parsed| parsed.to_date());
    parsed.ok().filter(|date| date.year() >= 1).ok_or(NoDate::Invalid)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn what_cannot_be_mistaken_is_read() {
        let day = Ok(date(2012, 1, 3));
        for (text, expected) in [
            ("2012-01-03", day),
            ("20120103", day),
            ("2012-1-3", day),
            ("2012/01/03", day),
            ("2012.1.3", day),
            ("2012-01-03T00:00", day),
            ("2012-01-03 00:00:00", day),
            ("2012-01-03T00:00:00.000Z", day),
            ("2012-01-03T00:00:00+02:00", day),
            ("201201030000", day),
            ("3-jan-2012", day),
            ("03-Jan-2012", day),
            ("3 January 2012", day),
            ("2012-01-03T13:00", Err(NoDate::Hour)),
            ("2012-01-03 01:00:00", Err(NoDate::Hour)),
            ("2012010306", Err(NoDate::Hour)),
            ("1/3/2012", Err(NoDate::Ambiguous)),
            ("13.1.2012", Err(NoDate::Ambiguous)),
            ("03-01-12", Err(NoDate::Ambiguous)),
            ("2012-02-30", Err(NoDate::Invalid)),
            ("1900-02-29", Err(NoDate::Invalid)),
            ("0000-12-31", Err(NoDate::Invalid)),
            ("2012-01/03", Err(NoDate::Invalid)),
            ("2012-01-03x", Err(NoDate::Invalid)),
            ("12345-01-03", Err(NoDate::Invalid)),
            ("", Err(NoDate::Invalid)),
            ("date", Err(NoDate::Invalid)),
        ] {
            assert_eq!(DateForm::Clear.parse(text.as_bytes(), 0), expected, "{text:?}");
        }
    }

    #[test]
    fn other_forms() {
        let day = Ok(date(2012, 1, 3));
        for (form, text, expected) in [
            (DateForm::DayFirst, "03.01.2012 00:00", day),
            (DateForm::DayFirst, "03.01.2012 10:00", Err(NoDate::Hour)),
            (DateForm::DayFirst, "2012-01-03", day),
            (DateForm::of_pattern(&pattern("%m/%d/%Y")), "1/3/2012", day),
            (DateForm::of_pattern(&pattern("DD/MM/YYYY")), "03/01/2012", day),
            (DateForm::of_pattern(&pattern("%d.%m.%Y %H:%M")), "03.01.2012 00:00", day),
            (DateForm::of_pattern(&pattern("%m/%d/%Y")), "13/1/2012", Err(NoDate::Invalid)),
            (DateForm::of_pattern(&pattern("unix")), "1325548800", day),
        ] {
            assert_eq!(form.parse(text.as_bytes(), 0), expected, "{form:?} {text:?}");
        }
    }

    /// A file has one offset for all its days: that of the day on which it was fetched.
    #[test]
    fn seconds_are_of_the_nearest_midnight() {
        for (seconds, offset, expected) in [
            // Berlin: midnight of winter time, and of summer time.
            (1_711_839_600, 3600, Ok(date(2024, 3, 31))),
            (1_711_839_600, 7200, Ok(date(2024, 3, 31))),
            (1_711_922_400, 3600, Ok(date(2024, 4, 1))),
            (1_711_922_400, 7200, Ok(date(2024, 4, 1))),
            (1_711_922_400, -36_000, Err(NoDate::Hour)),
            (i64::MAX, 7200, Err(NoDate::Invalid)),
            (i64::MAX - 8000, 7200, Err(NoDate::Invalid)),
            (-100_000_000_000, 0, Err(NoDate::Invalid)),
        ] {
            assert_eq!(
                DateForm::Unix.parse(seconds.to_string().as_bytes(), offset),
                expected,
                "{seconds} {offset}"
            );
        }
    }
}
