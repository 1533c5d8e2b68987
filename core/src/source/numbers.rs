//! Numbers and marks for missing values, as files write them.

pub(super) const EXPECTED_TENTHS: &str = "a temperature in whole tenths of °C";

/// The character before the decimals of a number.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Decimal {
    /// A point, or a comma that cannot be anything else.
    #[default]
    Either,
    Point,
    Comma,
}

/// Powers of ten that an f64 holds exactly.
const POWERS: [f64; 16] =
    [1., 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A number, rounded as the standard library rounds it, and finite.
#[inline]
pub(super) fn parse_number(text: &[u8], decimal: Decimal) -> Option<f64> {
    parse_short(text, decimal).or_else(|| parse_long(text, decimal)).filter(|number| number.is_finite())
}

/// A number of at most 15 digits: both the digits and the power of ten are exact, so one division rounds once.
#[inline]
fn parse_short(text: &[u8], decimal: Decimal) -> Option<f64> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.len() > 16 {
        return None;
    }
    let (mut number, mut count, mut decimals) = (0_u64, 0, None);
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                number = number * 10 + u64::from(byte - b'0');
                count += 1;
                decimals = decimals.map(|count| count + 1);
            }
            b'.' if decimal != Decimal::Comma && decimals.is_none() => decimals = Some(0),
            b',' if decimal != Decimal::Point && decimals.is_none() => decimals = Some(0),
            _ => return None,
        }
    }
    if count == 0 || count > 15 {
        return None;
    }
    let number = number as f64 / POWERS.get(decimals.unwrap_or(0))?;
    Some(if is_negative { -number } else { number })
}

fn parse_long(text: &[u8], decimal: Decimal) -> Option<f64> {
    let text = str::from_utf8(text).ok()?;
    match decimal {
        Decimal::Comma if text.contains('.') => None,
        Decimal::Point if text.contains(',') => None,
        _ => text.replacen(',', ".", 1).parse().ok(),
    }
}

/// Words that programs write for a missing number.
const WORDS: [&str; 11] = ["", "na", "n/a", "nan", "null", "none", "m", "-", "--", "t", "missing"];

/// Whether `text` stands for a value that is not there: one of the usual words.
#[inline]
pub(super) fn is_missing_word(text: &[u8]) -> bool {
    match text.first() {
        None => true,
        Some(b'0'..=b'9') => false,
        _ => WORDS.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes())),
    }
}

/// Numbers that stand for a missing value in one format or another, and are never a temperature in °C. Each is refused
/// where it is not known to be such a mark.
pub(super) fn is_suspicious(degrees: f64) -> bool {
    (99.0..100.0).contains(&degrees.abs())
}

/// The marks for missing values of a format and of the user, parsed once.
#[derive(Debug, Default)]
pub(super) struct Marks {
    words: Vec<Vec<u8>>,
    numbers: Vec<f64>,
}

impl Marks {
    pub(super) fn new<'m>(marks: impl Iterator<Item = &'m str>) -> Marks {
        let mut found = Marks::default();
        for mark in marks.map(str::trim) {
            match parse_number(mark.as_bytes(), Decimal::Either) {
                Some(number) => found.numbers.push(number),
                None => found.words.push(mark.as_bytes().to_owned()),
            }
        }
        found
    }

    pub(super) fn has_word(&self, text: &[u8]) -> bool {
        self.words.iter().any(|word| text.eq_ignore_ascii_case(word))
    }

    #[inline]
    pub(super) fn has_number(&self, number: f64) -> bool {
        self.numbers.contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_comma_is_a_point_unless_it_is_ruled_out() {
        for (text, either, point, comma) in [
            ("3.5", Some(3.5), Some(3.5), None),
            ("3,5", Some(3.5), None, Some(3.5)),
            ("-17", Some(-17.0), Some(-17.0), Some(-17.0)),
            ("+.5", Some(0.5), Some(0.5), None),
            ("1e1", Some(10.0), Some(10.0), Some(10.0)),
            ("1,234.5", None, None, None),
            ("1.234,5", None, None, None),
            (",", None, None, None),
            ("-", None, None, None),
            ("", None, None, None),
            ("inf", None, None, None),
            ("NaN", None, None, None),
            ("1e999", None, None, None),
        ] {
            let found =
                [Decimal::Either, Decimal::Point, Decimal::Comma].map(|it| parse_number(text.as_bytes(), it));
            assert_eq!(found, [either, point, comma], "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(text in "[-+]?[0-9]{0,17}(\\.[0-9]{0,17})?") {
            let expected: Option<f64> = text.parse().ok();
            let found = parse_number(text.as_bytes(), Decimal::Point);
            prop_assert_eq!(found.map(f64::to_bits), expected.map(f64::to_bits));
        }
    }
}
