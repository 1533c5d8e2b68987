//! The records of a CSV file (RFC 4180), with the line that each begins on.
//!
//! The `csv` crate takes a quote that is never closed for closed at the end of the file, so it does not notice a file
//! that was cut off. It also counts lines wrongly if they end in CR LF or are blank. Both matter here.

use std::io::BufRead;

use jiff::civil::Date;

use super::error::{SourceError, listed};
use super::lines::Lines;
use super::options::Unit;
use crate::report::{is_valid_degrees, parse_date};

/// NOAA's mark for a missing value, whatever the unit.
pub(super) const MISSING: f64 = -9999.0;

/// Reads records one after the other; blank lines are none.
pub(super) struct Rows<'a, R> {
    lines: Lines<'a, R>,
    /// The fields of the current record behind each other, unquoted.
    text: Vec<u8>,
    /// The end of each field in `text`.
    ends: Vec<usize>,
}

/// One record.
pub(super) struct Row<'r> {
    name: &'r str,
    line: u64,
    text: &'r [u8],
    ends: &'r [usize],
    /// Whether the end of a line follows it; only the last record may lack one.
    pub(super) is_ended: bool,
}

impl<'a, R: BufRead> Rows<'a, R> {
    pub(super) fn new(name: &'a str, bytes: R) -> Rows<'a, R> {
        Rows { lines: Lines::new(name, bytes), text: Vec::new(), ends: Vec::new() }
    }

    /// The next record, or none at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, SourceError> {
        if !self.lines.advance_to_text()? {
            return Ok(None);
        }
        let line = self.lines.number;
        self.split()?;
        let Rows { lines, text, ends } = self;
        Ok(Some(Row { name: lines.name, line, text, ends, is_ended: lines.is_ended }))
    }

    /// Takes the line apart, and those after it that a quoted field runs on into.
    fn split(&mut self) -> Result<(), SourceError> {
        self.text.clear();
        self.ends.clear();
        let mut at = 0;
        loop {
            let rest = self.lines.line.get(at..).unwrap_or_default();
            if rest.first() == Some(&b'"') {
                at = self.unquote(at + 1)?;
            } else {
                let length = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
                self.text.extend_from_slice(rest.get(..length).unwrap_or_default());
                at += length;
            }
            self.ends.push(self.text.len());
            match self.lines.line.get(at) {
                None => return Ok(()),
                Some(b',') => at += 1,
                Some(_) => {
                    let (name, place) = (self.lines.name.to_owned(), self.place(self.ends.len()));
                    return Err(SourceError::TextAfterQuote { name, place });
                }
            }
        }
    }

    /// Takes the rest of a field whose quote was opened before `at`, and says where the line goes on behind it.
    fn unquote(&mut self, mut at: usize) -> Result<usize, SourceError> {
        let opened = self.place(self.ends.len() + 1);
        loop {
            let rest = self.lines.line.get(at..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| *byte == b'"') else {
                self.text.extend_from_slice(rest);
                self.text.push(b'\n');
                if !self.lines.advance()? {
                    return Err(SourceError::OpenQuote { name: self.lines.name.to_owned(), place: opened });
                }
                self.lines.refuse_long(self.text.len())?;
                at = 0;
                continue;
            };
            self.text.extend_from_slice(rest.get(..length).unwrap_or_default());
            at += length + 1;
            if self.lines.line.get(at) != Some(&b'"') {
                return Ok(at);
            }
            self.text.push(b'"');
            at += 1;
        }
    }

    fn place(&self, column: usize) -> String {
        format!("line {}, column {column}", self.lines.number)
    }
}

impl<'r> Row<'r> {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field without the spaces around it; one that isn't there is empty.
    pub(super) fn field(&self, index: usize) -> &'r [u8] {
        let start = index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let end = self.ends.get(index).copied();
        let field = start.zip(end).and_then(|(start, end)| self.text.get(start..end));
        field.unwrap_or_default().trim_ascii()
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &'r [u8]> {
        (0..self.len()).map(|index| self.field(index))
    }

    pub(super) fn expect_len(&self, expected: usize) -> Result<(), SourceError> {
        if self.len() == expected {
            return Ok(());
        }
        Err(SourceError::FieldCount {
            name: self.name.to_owned(),
            line: self.line,
            found: self.len(),
            expected,
        })
    }

    /// The index of the column that this row, a header, calls `column`.
    pub(super) fn column(&self, column: &str, hint: &'static str) -> Result<usize, SourceError> {
        let index = self.fields().position(|field| field == column.as_bytes());
        index.ok_or_else(|| self.missing_column(column, hint))
    }

    /// The field at `index`, called `field`, as a date.
    pub(super) fn date(&self, index: usize, field: &str) -> Result<Date, SourceError> {
        let text = self.field(index);
        let date = parse_date(text).or_else(|| parse_compact_date(text));
        date.ok_or_else(|| self.invalid(index, field, "a day of the calendar (YYYY-MM-DD or YYYYMMDD)"))
    }

    /// The field at `index`, called `field`, in °C; none where the value is missing.
    pub(super) fn degrees(&self, index: usize, field: &str, unit: Unit) -> Result<Option<f64>, SourceError> {
        let text = self.field(index);
        if is_missing(text) {
            return Ok(None);
        }
        // No unit makes a number larger than it was, so what is a temperature here is one in °C.
        let number = parse_number(text).filter(|number| is_valid_degrees(*number));
        let number = number.ok_or_else(|| self.invalid(index, field, "a temperature"))?;
        Ok((number != MISSING).then(|| unit.to_celsius(number)))
    }

    /// The error that the field at `index`, called `field`, is not `expected`.
    pub(super) fn invalid(&self, index: usize, field: &str, expected: &'static str) -> SourceError {
        let place = format!("line {}, column {} ({field})", self.line, index + 1);
        SourceError::invalid(self.name, place, self.field(index), expected)
    }

    /// The error that this row, a header, has no `column`.
    pub(super) fn missing_column(&self, column: &str, hint: &'static str) -> SourceError {
        SourceError::MissingColumn {
            name: self.name.to_owned(),
            line: self.line,
            missing: column.to_owned(),
            columns: listed(self.fields()),
            hint,
        }
    }

    /// The error that the file ends within this row.
    pub(super) fn cut_off(&self) -> SourceError {
        SourceError::CutOff {
            name: self.name.to_owned(),
            place: format!("line {}, its last, has no end and its last number may lack digits", self.line),
        }
    }
}

pub(super) fn parse_number(text: &[u8]) -> Option<f64> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn parse_compact_date(text: &[u8]) -> Option<Date> {
    let &[y1, y2, y3, y4, m1, m2, d1, d2] = text else {
        return None;
    };
    parse_date(&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2])
}

fn is_missing(field: &[u8]) -> bool {
    field.is_empty() || field.eq_ignore_ascii_case(b"NA") || field.eq_ignore_ascii_case(b"null")
}

#[cfg(test)]
mod tests {
    use super::Rows;
    use crate::failure::told;

    /// Each record as its line and its fields, `|` between them; or the message of the first error.
    fn rows(text: &str) -> Result<Vec<String>, String> {
        let mut rows = Rows::new("f.csv", text.as_bytes());
        let mut read = Vec::new();
        while let Some(row) = rows.next().map_err(|error| told(&error))? {
            let fields: Vec<_> = row.fields().map(String::from_utf8_lossy).collect();
            read.push(format!("{}: {}", row.line, fields.join("|")));
        }
        Ok(read)
    }

    #[test]
    fn records() {
        for (text, expected) in [
            ("", &[][..]),
            ("\n\r\n", &[]),
            ("a", &["1: a"]),
            ("a,b\n\n\r\nc,d", &["1: a|b", "4: c|d"]),
            ("a,b\r\nc,d\r\n", &["1: a|b", "2: c|d"]),
            (",,\n", &["1: ||"]),
            ("\"  1\",\",,W\",\"\"\n", &["1: 1|,,W|"]),
            ("\"say \"\"so\"\"\",2\n", &["1: say \"so\"|2"]),
            ("5\" hail,1\n", &["1: 5\" hail|1"]),
            ("\"two\nlines\",1\n2,3\n", &["1: two\nlines|1", "3: 2|3"]),
        ] {
            assert_eq!(rows(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn quotes_must_be_closed() {
        assert_eq!(
            rows("a,b\n1,\"2\n3,4\n").unwrap_err(),
            "f.csv, line 2, column 2: a quote is opened and never closed\n\
             hint: if the file is cut off, fetch it again"
        );
        assert_eq!(
            rows("\"a\",\"b\n\"c\",\"d\"\n").unwrap_err(),
            "f.csv, line 2, column 2: there is text behind the closing quote\n\
             hint: a quote inside a field is written \"\""
        );
    }
}
