//! The lines of a file, with their numbers.

use std::io::{BufRead, Read};

use super::error::SourceError;

/// The longest line, or record of several lines, that is read. The longest header known has 2,000 bytes. A far
/// longer line is not weather, and a small compressed file could fill the memory with one.
pub(super) const LINE_LENGTH_MAX: usize = 1 << 20;

/// Reads lines one after the other.
pub(super) struct Lines<'a, R> {
    pub(super) name: &'a str,
    bytes: R,
    /// The line that was read last, without its end.
    pub(super) line: Vec<u8>,
    /// Its number, from 1.
    pub(super) number: u64,
    /// Whether it had an end; only the last one may lack it.
    pub(super) is_ended: bool,
}

impl<'a, R: BufRead> Lines<'a, R> {
    pub(super) fn new(name: &'a str, bytes: R) -> Lines<'a, R> {
        Lines { name, bytes, line: Vec::new(), number: 0, is_ended: true }
    }

    /// Reads the next line; false at the end of the file.
    pub(super) fn advance(&mut self) -> Result<bool, SourceError> {
        self.line.clear();
        let length = self.bytes.by_ref().take(LINE_LENGTH_MAX as u64 + 1).read_until(b'\n', &mut self.line);
        if length.map_err(|error| SourceError::read(self.name, error))? == 0 {
            return Ok(false);
        }
        self.number += 1;
        self.refuse_long(self.line.len())?;
        self.is_ended = self.line.pop_if(|byte| *byte == b'\n').is_some();
        self.line.pop_if(|byte| *byte == b'\r');
        Ok(true)
    }

    /// Refuses to read on where one record has come to `length` bytes.
    pub(super) fn refuse_long(&self, length: usize) -> Result<(), SourceError> {
        if length <= LINE_LENGTH_MAX {
            return Ok(());
        }
        Err(SourceError::LongLine { name: self.name.to_owned(), line: self.number, max: LINE_LENGTH_MAX })
    }

    /// Reads the next line that is not blank; false at the end of the file.
    pub(super) fn advance_to_text(&mut self) -> Result<bool, SourceError> {
        while self.advance()? {
            if !self.line.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
