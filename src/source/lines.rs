//! The lines of a file, with their numbers.

use std::io::BufRead;

use super::SourceError;

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
        let length = self.bytes.read_until(b'\n', &mut self.line);
        if length.map_err(|error| SourceError::read(self.name, error))? == 0 {
            return Ok(false);
        }
        self.number += 1;
        self.is_ended = self.line.pop_if(|byte| *byte == b'\n').is_some();
        self.line.pop_if(|byte| *byte == b'\r');
        Ok(true)
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
