//! The rejected file, `partition-N.rejected.jsonl`, a line at a time: its size does not show in the memory.

use std::io::{self, BufRead};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::excerpt::{Excerpt, KEPT_BYTES_MAX};
use crate::protocol::batches::Refused;
use crate::report::RejectReason;
use crate::text::json_line;

/// The largest line. almanac writes at most 11 kB or so. A former version kept keys and values whole, of up to a
/// mebibyte with Kafka's defaults, which Base64 makes a third longer.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// The most characters of Base64 that stand for what is kept whole.
const ENCODED_KEPT_MAX: usize = KEPT_BYTES_MAX.div_ceil(3) * 4;

/// A record kept aside: one line of `partition-N.rejected.jsonl`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    pub offset: i64,
    pub reason: RejectReason,
    /// Base64, of the first [`KEPT_BYTES_MAX`] bytes.
    pub key: Option<String>,
    /// The same.
    pub value: Option<String>,
    /// How many bytes the key has, where that is more than are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_bytes: Option<u64>,
    /// Of the whole key, in hexadecimal digits, where it is not kept whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_sha256: Option<String>,
}

impl Rejected {
    pub fn new(offset: i64, reason: RejectReason, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        Self::from_excerpts(offset, reason, key.map(Excerpt::of), value.map(Excerpt::of))
    }

    pub fn from_excerpts(
        offset: i64,
        reason: RejectReason,
        key: Option<Excerpt>,
        value: Option<Excerpt>,
    ) -> Self {
        let (key, key_bytes, key_sha256) = fields(key);
        let (value, value_bytes, value_sha256) = fields(value);
        Rejected { offset, reason, key, value, key_bytes, key_sha256, value_bytes, value_sha256 }
    }

    /// A record that a reader refused.
    pub fn of(refused: &Refused) -> Self {
        let offset = refused.offset();
        match refused {
            Refused::Misplaced(record) => {
                Self::new(offset, RejectReason::InvalidOffset, record.key, record.value)
            }
            Refused::TooLarge { key, value, .. } => {
                Self::from_excerpts(offset, RejectReason::TooLarge, key.clone(), value.clone())
            }
            Refused::Unreadable { .. } => Self::new(offset, RejectReason::UnreadableBatch, None, None),
        }
    }

    /// About how much memory it takes.
    pub fn size(&self) -> usize {
        let strings = [&self.key, &self.value, &self.key_sha256, &self.value_sha256];
        size_of::<Rejected>() + strings.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// Shortens what a former version kept whole. Says whether there was anything.
    fn shorten(&mut self) -> bool {
        let shortened = |text: &Option<String>, bytes: Option<u64>| {
            let text = text.as_ref().filter(|text| bytes.is_none() && text.len() > ENCODED_KEPT_MAX)?;
            Some(fields(Some(Excerpt::of(&STANDARD.decode(text).ok()?))))
        };
        let key = shortened(&self.key, self.key_bytes);
        let value = shortened(&self.value, self.value_bytes);
        let is_shorter = key.is_some() || value.is_some();
        if let Some(key) = key {
            (self.key, self.key_bytes, self.key_sha256) = key;
        }
        if let Some(value) = value {
            (self.value, self.value_bytes, self.value_sha256) = value;
        }
        is_shorter
    }
}

/// Base64 of what is kept, and the length and hash of what is not kept whole.
fn fields(excerpt: Option<Excerpt>) -> (Option<String>, Option<u64>, Option<String>) {
    let Some(Excerpt { first, length, sha256 }) = excerpt else { return (None, None, None) };
    let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
    (Some(STANDARD.encode(first)), sha256.map(|_| length), sha256.map(hex))
}

/// Why a line can't be had.
#[derive(Debug)]
pub enum LineError {
    Io(io::Error),
    /// Names the line.
    Bad(String),
}

impl LineError {
    /// Of lines that are in memory.
    fn into_reason(self) -> String {
        match self {
            LineError::Io(error) => error.to_string(),
            LineError::Bad(reason) => reason,
        }
    }
}

/// A whole line.
enum Line<'a> {
    /// With its bytes, the end of the line included.
    Entry(Rejected, &'a [u8]),
    /// It has zero bytes, which no line of ours has: of an append that was not synced a power cut may leave the end and
    /// not the beginning.
    Hole,
}

/// The lines that end. A last one that does not end is still being written, or was torn by a crash.
struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R) -> Self {
        Lines { reader, line: Vec::new(), number: 0 }
    }

    fn next(&mut self) -> Option<Result<Line<'_>, LineError>> {
        self.line.clear();
        let (mut length, mut has_zero, mut ends) = (0_usize, false, false);
        while !ends {
            let found = match self.reader.fill_buf() {
                Ok([]) => return None,
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Some(Err(LineError::Io(error))),
            };
            let end = found.iter().position(|byte| *byte == b'\n');
            let piece = &found[..end.map_or(found.len(), |end| end + 1)];
            length = length.saturating_add(piece.len());
            has_zero |= piece.contains(&0);
            if length <= LINE_BYTES_MAX {
                self.line.extend_from_slice(piece);
            }
            ends = end.is_some();
            let used = piece.len();
            self.reader.consume(used);
        }
        self.number += 1;
        let read = if length <= LINE_BYTES_MAX {
            serde_json::from_slice(&self.line).map_err(|error| error.to_string())
        } else {
            Err(format!("it has more than {LINE_BYTES_MAX} bytes"))
        };
        Some(match read {
            Ok(entry) => Ok(Line::Entry(entry, &self.line)),
            Err(_) if has_zero => Ok(Line::Hole),
            Err(reason) => Err(LineError::Bad(format!("line {}: {reason}", self.number))),
        })
    }
}

/// The entries of whole lines; an error is the last item.
pub struct Entries<R>(Option<Lines<R>>);

impl<R: BufRead> Entries<R> {
    pub fn new(reader: R) -> Self {
        Entries(Some(Lines::new(reader)))
    }
}

impl<R: BufRead> Iterator for Entries<R> {
    type Item = Result<Rejected, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.as_mut()?.next() {
                Some(Ok(Line::Entry(mut entry, _))) => {
                    entry.shorten();
                    return Some(Ok(entry));
                }
                Some(Ok(Line::Hole)) => {}
                Some(Err(error)) => {
                    self.0 = None;
                    return Some(Err(error));
                }
                None => {
                    self.0 = None;
                    return None;
                }
            }
        }
    }
}

/// Gives the whole lines with an offset below `offset` to `keep`; what a former version kept whole is shortened.
pub fn each_passed<R: BufRead, E>(
    reader: R,
    offset: i64,
    failed: impl Fn(LineError) -> E,
    mut keep: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (mut lines, mut hole) = (Lines::new(reader), None);
    loop {
        let number = lines.number + 1;
        match lines.next().transpose().map_err(&failed)? {
            None => return Ok(()),
            Some(Line::Hole) => hole = hole.or(Some(number)),
            Some(Line::Entry(mut entry, line)) if entry.offset < offset => {
                if let Some(hole) = hole {
                    // It was synced with all lines before it, so this is not the effect of a power cut.
                    let reason =
                        format!("line {hole}: zero bytes before the entry of offset {}", entry.offset);
                    return Err(failed(LineError::Bad(reason)));
                }
                if entry.shorten() { keep(&json_line(&entry))? } else { keep(line)? }
            }
            Some(Line::Entry(..)) => {}
        }
    }
}

/// The entries of a rejected file's whole lines; the error names the line.
pub fn rejected_entries(lines: &[u8]) -> Result<Vec<Rejected>, String> {
    Entries::new(lines).collect::<Result<_, _>>().map_err(LineError::into_reason)
}

/// The whole lines with an offset below `offset`; the error names the line that can't be read.
pub fn passed_entries(lines: &[u8], offset: i64) -> Result<Vec<u8>, String> {
    let mut kept = Vec::new();
    each_passed(lines, offset, LineError::into_reason, |line| {
        kept.extend_from_slice(line);
        Ok(())
    })?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rejected: &Rejected) -> Vec<u8> {
        json_line(rejected)
    }

    fn rejected(offset: i64, value: &[u8]) -> Rejected {
        Rejected::new(offset, RejectReason::MalformedProtobuf, Some(b"May"), Some(value))
    }

    #[test]
    fn a_short_line_is_as_it_was_and_a_long_one_has_length_and_hash() {
        let text = |rejected: &Rejected| String::from_utf8(line(rejected)).unwrap();
        assert_eq!(
            text(&rejected(3, b"x")),
            "{\"offset\":3,\"reason\":\"malformed_protobuf\",\"key\":\"TWF5\",\"value\":\"eA==\"}\n"
        );
        let kept = STANDARD.encode(vec![b'a'; KEPT_BYTES_MAX]);
        assert_eq!(
            text(&rejected(3, &vec![b'a'; 1_000_000])),
            format!(
                "{{\"offset\":3,\"reason\":\"malformed_protobuf\",\"key\":\"TWF5\",\"value\":\"{kept}\",\
                 \"value_bytes\":1000000,\"value_sha256\":\
                 \"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0\"}}\n"
            )
        );
        let long_key = Rejected::new(3, RejectReason::NoValue, Some(&[b'k'; KEPT_BYTES_MAX + 1]), None);
        assert_eq!((long_key.key_bytes, long_key.value_bytes), (Some(4097), None));
        assert_eq!(rejected_entries(&line(&long_key)).unwrap(), [long_key]);
    }

    #[test]
    fn long_lines_of_a_former_version_are_shortened() {
        let value = vec![7; 1_000_000];
        let whole = Rejected { value: Some(STANDARD.encode(&value)), ..rejected(3, b"") };
        let lines = [line(&rejected(1, b"x")), line(&whole)].concat();
        let short = [rejected(1, b"x"), rejected(3, &value)];
        assert_eq!(rejected_entries(&lines).unwrap(), short);
        assert_eq!(passed_entries(&lines, 9).unwrap(), [line(&short[0]), line(&short[1])].concat());
    }

    #[test]
    fn a_line_that_is_too_long_is_named_unless_it_is_torn_or_a_hole() {
        let long = |byte: u8| vec![byte; LINE_BYTES_MAX * 2];
        let lines = |middle: Vec<u8>| [line(&rejected(1, b"x")), middle, line(&rejected(2, b"x"))].concat();
        let too_long = lines([long(b' '), b"\n".to_vec()].concat());
        let error = rejected_entries(&too_long).unwrap_err();
        assert_eq!(error, "line 2: it has more than 4194304 bytes");
        assert_eq!(passed_entries(&too_long, 9).unwrap_err(), error);

        let hole = lines([long(0), b"\n".to_vec()].concat());
        assert_eq!(rejected_entries(&hole).unwrap(), [rejected(1, b"x"), rejected(2, b"x")]);
        assert_eq!(passed_entries(&hole, 2).unwrap(), line(&rejected(1, b"x")));
        let torn = [line(&rejected(1, b"x")), long(b' ')].concat();
        assert_eq!(rejected_entries(&torn).unwrap(), [rejected(1, b"x")]);
    }
}
