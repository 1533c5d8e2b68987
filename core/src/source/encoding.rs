//! Text as UTF-8: byte-order marks, and UTF-16 with one or without. Latin-1 matters in headers only, and is read there.

use std::io::{self, Read};

/// The content of a file as UTF-8, or whatever one byte a letter it is in. `start` is its first bytes, `rest` what follows.
pub(super) fn decoded<'r>(start: Vec<u8>, rest: impl Read + 'r) -> Box<dyn Read + 'r> {
    let (mark, order) = match *start.as_slice() {
        [0xEF, 0xBB, 0xBF, ..] => (3, None),
        [0xFF, 0xFE, ..] => (2, Some(Order::Little)),
        [0xFE, 0xFF, ..] => (2, Some(Order::Big)),
        [first, 0, second, 0, ..] if first != 0 && second != 0 => (0, Some(Order::Little)),
        [0, first, 0, second, ..] if first != 0 && second != 0 => (0, Some(Order::Big)),
        _ => (0, None),
    };
    let bytes = io::Cursor::new(start.get(mark..).unwrap_or_default().to_vec()).chain(rest);
    match order {
        None => Box::new(bytes),
        Some(order) => {
            Box::new(Utf16 { bytes, order, units: Vec::new(), odd: None, text: Vec::new(), at: 0 })
        }
    }
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// UTF-16 as UTF-8. Bytes that are not a character become U+FFFD.
struct Utf16<R> {
    bytes: R,
    order: Order,
    units: Vec<u16>,
    /// The first byte of a unit whose second has not come yet.
    odd: Option<u8>,
    text: Vec<u8>,
    at: usize,
}

impl<R: Read> Utf16<R> {
    /// Reads and converts more; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 8192];
        let length = self.bytes.read(&mut buffer)?;
        self.text.clear();
        self.at = 0;
        let bytes = self.odd.take().into_iter().chain(buffer.iter().copied().take(length));
        let mut bytes = bytes.peekable();
        while let Some(first) = bytes.next() {
            let Some(second) = bytes.next() else {
                self.odd = Some(first);
                break;
            };
            self.units.push(match self.order {
                Order::Little => u16::from_le_bytes([first, second]),
                Order::Big => u16::from_be_bytes([first, second]),
            });
        }
        // The second half of a pair may come with the next bytes.
        let half = self.units.pop_if(|unit| (0xD800..0xDC00).contains(unit)).filter(|_| length > 0);
        for character in char::decode_utf16(self.units.drain(..)) {
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.units.extend(half);
        Ok(length > 0)
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() {
            if !self.advance()? {
                return Ok(0);
            }
        }
        let mut rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.read(into)?;
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], at_once: usize) -> Vec<u8> {
        let (start, rest) = bytes.split_at(bytes.len().min(5));
        let mut text = Vec::new();
        let mut decoded = decoded(start.to_vec(), BufReader::with_capacity(at_once, rest));
        decoded.read_to_end(&mut text).unwrap();
        text
    }

    proptest! {
        #[test]
        fn utf_16_is_read_in_either_order(text in "[a-z][a-z0-9,]{2,9}\\PC{0,40}") {
            let units: Vec<u16> = text.encode_utf16().collect();
            let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
            for at_once in [1, 3, 4096] {
                for bytes in [&little[..], &[b"\xFF\xFE", &little[..]].concat(), &big[..], &[b"\xFE\xFF", &big[..]].concat()] {
                    prop_assert_eq!(read(bytes, at_once), text.as_bytes());
                }
                prop_assert_eq!(read(text.as_bytes(), at_once), text.as_bytes());
                prop_assert_eq!(read(&[b"\xEF\xBB\xBF", text.as_bytes()].concat(), at_once), text.as_bytes());
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            read(&bytes, 1);
        }
    }
}
