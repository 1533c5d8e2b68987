//! A record as one line of text, for people who watch a topic.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::report::{Decoder, RejectReason, Report};
use crate::text::{escaped_json, to_json};

/// A record as `debug` shows it.
#[derive(Debug)]
pub struct Line<'a> {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub time: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

impl Line<'_> {
    /// As Python prints a dict: `ast.literal_eval` reads it back.
    pub fn python(&self, decoder: &mut Decoder) -> String {
        let mut line = format!("{{'partition': {}, 'key': ", self.partition);
        push_key(&mut line, self.key);
        match decoder.decode_with_station(self.value) {
            Ok((Report { date, degrees }, station)) => {
                line += &format!(", 'date': '{date}', 'degrees': {}", python_float(degrees));
                if !station.is_empty() {
                    line += ", 'station_id': ";
                    push_python_text(&mut line, station);
                }
                line.push('}');
            }
            Err(reason) => {
                let value =
                    self.value.map_or("None".to_owned(), |value| format!("'{}'", STANDARD.encode(value)));
                line += &format!(", 'error': '{reason}', 'value': {value}}}");
            }
        }
        line
    }

    /// As JSON. A key that is not text is shown with replacement characters.
    pub fn json(&self, decoder: &mut Decoder) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            partition: i32,
            offset: i64,
            timestamp: Option<String>,
            key: Option<std::borrow::Cow<'a, str>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            date: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            degrees: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            station_id: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<RejectReason>,
            #[serde(skip_serializing_if = "Option::is_none")]
            value: Option<Option<String>>,
        }
        let decoded = decoder.decode_with_station(self.value);
        let station_id = decoded.ok().map(|(_, station)| station).filter(|station| !station.is_empty());
        let object = Object {
            partition: self.partition,
            offset: self.offset,
            timestamp: self.time.and_then(rfc3339),
            key: self.key.map(String::from_utf8_lossy),
            date: decoded.ok().map(|(report, _)| report.date.to_string()),
            degrees: decoded.ok().map(|(report, _)| report.degrees),
            station_id,
            error: decoded.err(),
            value: decoded.err().map(|_| self.value.map(|value| STANDARD.encode(value))),
        };
        escaped_json(&to_json(&object)).into_owned()
    }
}

fn rfc3339(milliseconds: i64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(milliseconds).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

fn push_key(line: &mut String, key: Option<&[u8]>) {
    match key.map(|key| (key, std::str::from_utf8(key))) {
        None => line.push_str("None"),
        Some((_, Ok(text))) => push_python_text(line, text),
        Some((bytes, Err(_))) => *line += &format!("b'{}'", bytes.escape_ascii()),
    }
}

fn push_python_text(line: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    line.push(quote);
    for character in text.chars() {
        match character {
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            _ if character == quote => {
                line.push('\\');
                line.push(quote);
            }
            // Line separators would break the line for readers that know them.
            _ if character.is_control() || ('\u{2028}'..='\u{2029}').contains(&character) => {
                *line += &format!("\\u{:04x}", u32::from(character));
            }
            _ => line.push(character),
        }
    }
    line.push(quote);
}

/// As Python's `repr`: the shortest digits that read back the same, in exponent form below 1e-4.
fn python_float(number: f64) -> String {
    if number != 0.0 && number.abs() < 1e-4 {
        let text = format!("{number:e}");
        return match text.split_once("e-") {
            Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
            None => text,
        };
    }
    format!("{number:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Line<'a> {
        Line { partition: 2, offset: 7, time: Some(977_788_800_125), key, value }
    }

    #[test]
    fn a_report_is_a_dict() {
        let report = Report { date: jiff::civil::date(2000, 12, 26), degrees: 31.5235 };
        let value = report.encode();
        let line = line(Some(b"December"), Some(&value));
        assert_eq!(
            line.python(&mut Decoder::default()),
            "{'partition': 2, 'key': 'December', 'date': '2000-12-26', 'degrees': 31.5235}"
        );
        assert_eq!(
            line.json(&mut Decoder::default()),
            r#"{"partition":2,"offset":7,"timestamp":"2000-12-26T00:00:00.125Z","key":"December","date":"2000-12-26","degrees":31.5235}"#
        );
    }

    #[test]
    fn a_station_is_one_more_field() {
        let value = Report { date: jiff::civil::date(2000, 12, 26), degrees: 1.5 }.encode_at("it's\n");
        let line = line(None, Some(&value));
        assert_eq!(
            line.python(&mut Decoder::default()),
            r#"{'partition': 2, 'key': None, 'date': '2000-12-26', 'degrees': 1.5, 'station_id': "it's\n"}"#
        );
        assert_eq!(
            line.json(&mut Decoder::default()),
            r#"{"partition":2,"offset":7,"timestamp":"2000-12-26T00:00:00.125Z","key":null,"date":"2000-12-26","degrees":1.5,"station_id":"it's\n"}"#
        );
    }

    #[test]
    fn what_is_no_report_shows_why_and_its_bytes() {
        let mut decoder = Decoder::default();
        assert_eq!(
            line(None, Some(b"\xff\xff")).python(&mut decoder),
            "{'partition': 2, 'key': None, 'error': 'malformed_protobuf', 'value': '//8='}"
        );
        assert_eq!(
            line(Some(b"k"), None).python(&mut decoder),
            "{'partition': 2, 'key': 'k', 'error': 'no_value', 'value': None}"
        );
        assert_eq!(
            Line { time: None, ..line(Some(b"k"), None) }.json(&mut decoder),
            r#"{"partition":2,"offset":7,"timestamp":null,"key":"k","error":"no_value","value":null}"#
        );
    }

    #[test]
    fn keys_are_python_literals() {
        let mut decoder = Decoder::default();
        for (key, literal) in [
            (&b"it's"[..], r#""it's""#),
            (b"'\"", r#"'\'"'"#),
            (b"a\nb\\", r"'a\nb\\'"),
            (b"\xff'", r"b'\xff\''"),
            ("\u{2028}\u{7f}é".as_bytes(), r"'\u2028\u007fé'"),
        ] {
            let line = line(Some(key), None).python(&mut decoder);
            assert_eq!(
                line,
                format!("{{'partition': 2, 'key': {literal}, 'error': 'no_value', 'value': None}}")
            );
        }
    }

    #[test]
    fn floats_are_as_python_prints_them() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1e9, "1000000000.0"),
            (1e-4, "0.0001"),
            (-1.5e-5, "-1.5e-05"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(python_float(number), text);
        }
    }
}
