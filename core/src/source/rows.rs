//! The records of delimited text (RFC 4180), with the line that each begins on.
//!
//! The `csv` crate (1.4.0) takes a quote that is never closed for closed at the end of the file, so it does not notice a
//! file that was cut off. It also counts lines wrongly after CR LF and blank lines. Both matter here.

use std::io::{ErrorKind, Read};

use super::error::{SourceError, listed};

/// The longest line, or record of several lines, that is read. The longest header known has 2,000 bytes. A far
/// longer line is not weather, and a small compressed file could fill the memory with one.
pub(super) const LINE_LENGTH_MAX: usize = 1 << 20;

const BUFFER_LENGTH: usize = 256 << 10;

/// Reads records one after the other; blank lines and comments are none.
pub(super) struct Rows<'a, R> {
    name: &'a str,
    bytes: R,
    buffer: Vec<u8>,
    /// Start and end, in `buffer`, of the lines that are not read yet.
    start: usize,
    end: usize,
    is_over: bool,
    delimiter: u8,
    /// How many lines were read.
    line: u64,
    /// Start and end of each field of the current record.
    bounds: Vec<(usize, usize)>,
    /// The fields of a record with quotes, unquoted. Others stay in `buffer`.
    text: Vec<u8>,
}

/// One record.
#[derive(Clone, Copy)]
pub(super) struct Row<'r> {
    pub(super) name: &'r str,
    pub(super) line: u64,
    text: &'r [u8],
    bounds: &'r [(usize, usize)],
    /// Whether the end of a line follows it; only the last record may lack one.
    pub(super) is_ended: bool,
}

/// A line: where it is in the buffer, and whether it has an end.
struct Line {
    from: usize,
    to: usize,
    is_ended: bool,
}

impl<'a, R: Read> Rows<'a, R> {
    pub(super) fn new(name: &'a str, bytes: R, delimiter: u8) -> Rows<'a, R> {
        Rows {
            name,
            bytes,
            buffer: vec![0; BUFFER_LENGTH],
            start: 0,
            end: 0,
            is_over: false,
            delimiter,
            line: 0,
            bounds: Vec::new(),
            text: Vec::new(),
        }
    }

    /// Passes over the next `count` lines, whatever they are.
    pub(super) fn skip_lines(&mut self, count: u64) -> Result<(), SourceError> {
        for _ in 0..count {
            self.advance()?;
        }
        Ok(())
    }

    /// The next record, or none at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, SourceError> {
        self.next_but(|line| line.first() == Some(&b'#'))
    }

    /// The next record, which may begin as a comment does.
    pub(super) fn next_header(&mut self) -> Result<Option<Row<'_>>, SourceError> {
        self.next_but(|_| false)
    }

    #[inline]
    fn next_but(&mut self, is_left_out: impl Fn(&[u8]) -> bool) -> Result<Option<Row<'_>>, SourceError> {
        let mut line = loop {
            let Some(line) = self.advance()? else { return Ok(None) };
            let text = self.buffer.get(line.from..line.to).unwrap_or_default();
            if !text.trim_ascii().is_empty() && !is_left_out(text) {
                break line;
            }
        };
        let number = self.line;
        self.bounds.clear();
        let text = self.buffer.get(line.from..line.to).unwrap_or_default();
        let is_quoted = split(text, self.delimiter, &mut self.bounds);
        if is_quoted {
            line.is_ended = self.unquote(&line)?;
        }
        let text =
            if is_quoted { &self.text } else { self.buffer.get(line.from..line.to).unwrap_or_default() };
        Ok(Some(Row { name: self.name, line: number, text, bounds: &self.bounds, is_ended: line.is_ended }))
    }

    /// Reads the next line; none at the end of the file.
    #[inline]
    fn advance(&mut self) -> Result<Option<Line>, SourceError> {
        let mut searched = 0;
        loop {
            let rest = self.buffer.get(self.start + searched..self.end).unwrap_or_default();
            if let Some(length) = memchr::memchr(b'\n', rest) {
                let (from, to) = (self.start, self.start + searched + length);
                self.start = to + 1;
                return self.line(from, to, true).map(Some);
            }
            searched = self.end - self.start;
            if self.is_over {
                let (from, to) = (self.start, self.end);
                self.start = to;
                return if from == to { Ok(None) } else { self.line(from, to, false).map(Some) };
            }
            self.fill()?;
        }
    }

    #[inline]
    fn line(&mut self, from: usize, to: usize, is_ended: bool) -> Result<Line, SourceError> {
        self.line += 1;
        self.refuse_long(to - from)?;
        let has_return = to > from && self.buffer.get(to - 1) == Some(&b'\r');
        Ok(Line { from, to: to - usize::from(has_return), is_ended })
    }

    /// Reads more, behind what is left in the buffer.
    fn fill(&mut self) -> Result<(), SourceError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            // The line is counted once it is whole.
            self.line += u64::from(self.end > LINE_LENGTH_MAX);
            self.refuse_long(self.end)?;
            self.buffer.resize((self.buffer.len() * 2).min(LINE_LENGTH_MAX + 2), 0);
        }
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        match self.bytes.read(free) {
            Ok(length) => {
                self.is_over = length == 0;
                self.end += length;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(SourceError::read(self.name, error)),
        }
    }

    /// Refuses to read on where one record has come to `length` bytes.
    fn refuse_long(&self, length: usize) -> Result<(), SourceError> {
        if length <= LINE_LENGTH_MAX {
            return Ok(());
        }
        Err(SourceError::LongLine { name: self.name.to_owned(), line: self.line, max: LINE_LENGTH_MAX })
    }

    /// Takes apart a line with quotes, and those after it that a quoted field runs on into. Whether the last has an end.
    fn unquote(&mut self, line: &Line) -> Result<bool, SourceError> {
        self.bounds.clear();
        self.text.clear();
        let mut line = Line { ..*line };
        loop {
            while line.from < line.to && matches!(self.byte(line.from), Some(b' ' | b'\t')) {
                line.from += 1;
            }
            let start = self.text.len();
            if line.from < line.to && self.byte(line.from) == Some(b'"') {
                line.from += 1;
                self.unquote_field(&mut line)?;
                while line.from < line.to && matches!(self.byte(line.from), Some(b' ')) {
                    line.from += 1;
                }
            } else {
                let rest = self.buffer.get(line.from..line.to).unwrap_or_default();
                let length = memchr::memchr(self.delimiter, rest).unwrap_or(rest.len());
                self.text.extend_from_slice(rest.get(..length).unwrap_or_default());
                line.from += length;
            }
            self.bounds.push((start, self.text.len()));
            if line.from >= line.to {
                return Ok(line.is_ended);
            }
            if self.byte(line.from) != Some(self.delimiter) {
                let (name, place) = (self.name.to_owned(), self.place(self.bounds.len()));
                return Err(SourceError::TextAfterQuote { name, place });
            }
            line.from += 1;
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.buffer.get(at).copied()
    }

    /// Takes the rest of a field whose quote was opened before `line.from`.
    fn unquote_field(&mut self, line: &mut Line) -> Result<(), SourceError> {
        let opened = self.place(self.bounds.len() + 1);
        loop {
            let rest = self.buffer.get(line.from..line.to).unwrap_or_default();
            let Some(length) = memchr::memchr(b'"', rest) else {
                self.text.extend_from_slice(rest);
                self.text.push(b'\n');
                *line = match self.advance()? {
                    Some(line) => line,
                    None => {
                        return Err(SourceError::OpenQuote { name: self.name.to_owned(), place: opened });
                    }
                };
                self.refuse_long(self.text.len())?;
                continue;
            };
            self.text.extend_from_slice(rest.get(..length).unwrap_or_default());
            line.from += length + 1;
            if line.from >= line.to || self.byte(line.from) != Some(b'"') {
                return Ok(());
            }
            self.text.push(b'"');
            line.from += 1;
        }
    }

    fn place(&self, column: usize) -> String {
        format!("line {}, column {column}", self.line)
    }
}

/// Splits a line at its delimiters. Whether it has a quote at the start of a field, and the bounds are of no use then.
#[inline]
pub(super) fn split(line: &[u8], delimiter: u8, bounds: &mut Vec<(usize, usize)>) -> bool {
    let (mut start, mut is_quoted) = (0, false);
    for (at, byte) in line.iter().enumerate() {
        if *byte == delimiter {
            bounds.push((start, at));
            start = at + 1;
        } else if *byte == b'"' {
            is_quoted |= line.get(start..at).unwrap_or_default().trim_ascii().is_empty();
        }
    }
    bounds.push((start, line.len()));
    is_quoted
}

impl<'r> Row<'r> {
    pub(super) fn len(&self) -> usize {
        self.bounds.len()
    }

    /// A field without the spaces around it; one that isn't there is empty.
    #[inline]
    pub(super) fn field(&self, index: usize) -> &'r [u8] {
        self.raw(index).trim_ascii()
    }

    /// A field as it stands.
    #[inline]
    pub(super) fn raw(&self, index: usize) -> &'r [u8] {
        let bounds = self.bounds.get(index).copied();
        bounds.and_then(|(start, end)| self.text.get(start..end)).unwrap_or_default()
    }

    pub(super) fn fields(self) -> impl Iterator<Item = &'r [u8]> {
        (0..self.len()).map(move |index| self.field(index))
    }

    pub(super) fn wrong_length(&self, expected: usize) -> SourceError {
        SourceError::FieldCount { name: self.name.to_owned(), line: self.line, found: self.len(), expected }
    }

    /// The place of the field at `index`, called `field`.
    pub(super) fn place(&self, index: usize, field: &str) -> String {
        format!("line {}, column {} ({field})", self.line, index + 1)
    }

    /// The error that the field at `index`, called `field`, is not `expected`.
    pub(super) fn invalid(&self, index: usize, field: &str, expected: &'static str) -> SourceError {
        SourceError::invalid(self.name, self.place(index, field), self.field(index), expected)
    }

    /// The error that this row, a header, has no `column`.
    pub(super) fn missing_column(&self, column: &str, hint: &str) -> SourceError {
        SourceError::MissingColumn {
            name: self.name.to_owned(),
            line: self.line,
            missing: column.to_owned(),
            columns: listed(self.fields()),
            hint: hint.to_owned(),
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

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::{LINE_LENGTH_MAX, Rows};
    use crate::failure::told;

    /// Each record as its line and its fields, `|` between them; or the message of the first error.
    fn rows(text: &str) -> Result<Vec<String>, String> {
        let all = |bytes: &mut dyn std::io::Read| {
            let mut rows = Rows::new("f.csv", bytes, b',');
            let mut read = Vec::new();
            while let Some(row) = rows.next().map_err(|error| told(&error))? {
                let fields: Vec<_> = row.fields().map(String::from_utf8_lossy).collect();
                read.push(format!("{}: {}", row.line, fields.join("|")));
            }
            Ok(read)
        };
        let at_once = all(&mut text.as_bytes());
        assert_eq!(all(&mut BufReader::with_capacity(1, text.as_bytes())), at_once);
        at_once
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
            ("# note\na,#b\n", &["2: a|#b"]),
            ("\"  1\",\",,W\",\"\"\n", &["1: 1|,,W|"]),
            ("a, \"b, c\" ,d\n", &["1: a|b, c|d"]),
            ("\"say \"\"so\"\"\",2\n", &["1: say \"so\"|2"]),
            ("5\" hail,1\n", &["1: 5\" hail|1"]),
            ("\"two\nlines\",1\n2,3\n", &["1: two\nlines|1", "3: 2|3"]),
            ("\"two\r\nlines\",1\r\n2,3\r\n", &["1: two\nlines|1", "3: 2|3"]),
        ] {
            assert_eq!(rows(text).unwrap(), expected, "{text:?}");
        }
        let long = format!("{},b\nc,d\n", "a".repeat(LINE_LENGTH_MAX - 2));
        assert_eq!(rows(&long).unwrap()[1], "2: c|d");
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
             hint: write a quote inside a field as \"\""
        );
    }
}
