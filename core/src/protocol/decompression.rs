//! Records of compressed batches, decompressed piece by piece: a batch may be thousands of times as large as it looks.
//! No IO. Zstandard is decoded by whoever uses this: its decoder is C.

use std::io::{self, Cursor, ErrorKind, Read};

use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder;

use super::batches::{Batch, Codec, FIELD_BYTES_MAX, Records, Run};
use super::reader::{Malformed, Reader};
use crate::excerpt::{Excerpt, ExcerptBuilder};

/// How much of a batch is decompressed at a time.
const PIECE_BYTES: usize = 256 << 10;

/// The longest number in bytes.
const NUMBER_BYTES_MAX: usize = 10;

/// Reads decompressed bytes of one batch after the other. Its memory is used again.
pub trait Decoder: Read + Send {
    /// Turns to another batch, wherever it is in the one before.
    fn begin(&mut self, compressed: &[u8]);
}

/// Decompresses one batch after the other.
pub struct Decompression {
    new_zstd: fn() -> io::Result<Box<dyn Decoder>>,
    /// That of each codec that has come.
    decoders: [Option<Box<dyn Decoder>>; 4],
    current: Option<Current>,
    /// Decompressed bytes; those not decoded yet are `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

struct Current {
    /// The place of its decoder.
    codec: usize,
    /// Nothing follows what is in the buffer.
    is_over: bool,
    /// The place of the next record.
    run: Run<'static>,
    /// How many records are still to come, those of the piece included.
    left: u32,
    piece: Piece,
}

enum Piece {
    /// The first piece is not decompressed yet.
    Start,
    /// So many whole records at the front of the buffer, in so many bytes.
    Records(u32, usize),
    /// A record that does not fit into the buffer.
    Large(Large),
    /// Neither the next record nor those behind it can be decoded.
    Unreadable,
}

struct Large {
    delta: i64,
    key: Field,
    value: Field,
}

/// A key or value that came in pieces.
enum Field {
    Null,
    Whole(Vec<u8>),
    TooLarge(Excerpt),
}

impl Decompression {
    pub fn with_zstd(new_zstd: fn() -> io::Result<Box<dyn Decoder>>) -> Self {
        Decompression {
            new_zstd,
            decoders: Default::default(),
            current: None,
            buffer: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Turns to another batch, without decompressing it yet.
    pub fn begin(&mut self, batch: &Batch, codec: Codec) {
        self.buffer.resize(PIECE_BYTES, 0);
        (self.start, self.end) = (0, 0);
        let new_zstd = self.new_zstd;
        let (at, new): (usize, &dyn Fn() -> Box<dyn Decoder>) = match codec {
            Codec::Gzip => (0, &|| Box::new(Gzip(GzDecoder::new(Cursor::default())))),
            Codec::Snappy => (1, &|| Box::new(Snappy::default())),
            Codec::Lz4 => (2, &|| Box::new(Lz4::default())),
            Codec::Zstd => (3, &|| new_zstd().unwrap_or_else(|error| Box::new(Failed(Some(error))))),
        };
        self.decoders[at].get_or_insert_with(new).begin(batch.records);
        self.current = Some(Current {
            codec: at,
            is_over: false,
            run: Run::new(batch, &[]).after(0, &[]),
            left: batch.count,
            piece: Piece::Start,
        });
    }

    /// Drops what is left of the batch.
    pub fn clear(&mut self) {
        self.current = None;
    }

    /// Goes to the next piece. Says whether there is one.
    pub fn advance(&mut self) -> bool {
        let Some(current) = &mut self.current else { return false };
        let passed = match &current.piece {
            Piece::Start => 0,
            Piece::Records(count, bytes) => {
                let records = self.buffer.get(self.start..self.start + bytes).unwrap_or_default();
                current.run = current.run.after(*count, records);
                self.start += bytes;
                *count
            }
            Piece::Large(large) => {
                current.run.pass(large.delta);
                1
            }
            Piece::Unreadable => current.left,
        };
        current.left = current.left.saturating_sub(passed);
        if current.left == 0 {
            self.current = None;
            return false;
        }
        let piece = self.next_piece().unwrap_or(Piece::Unreadable);
        if let Some(current) = &mut self.current {
            current.piece = piece;
        }
        true
    }

    /// The records of the piece, from the offset `from`.
    pub fn records(&self, partition: i32, from: i64) -> Option<Records<'_>> {
        let current = self.current.as_ref()?;
        Some(match &current.piece {
            Piece::Start => return None,
            Piece::Records(count, bytes) => {
                let records = self.buffer.get(self.start..self.start + bytes).unwrap_or_default();
                Records::of_run(partition, from, current.run.next_part(*count, records))
            }
            Piece::Large(Large { delta, key, value }) => match (key.whole(), value.whole()) {
                (Ok(key), Ok(value)) => {
                    Records::of_fields(partition, from, current.run, (*delta, key, value))
                }
                _ => {
                    let excerpts = (key.excerpt(), value.excerpt());
                    Records::of_too_large(partition, from, current.run, *delta, excerpts)
                }
            },
            Piece::Unreadable => Records::of_refused(partition, from, current.run, current.run.unreadable()),
        })
    }

    fn next_piece(&mut self) -> Result<Piece, Malformed> {
        loop {
            let (count, bytes) = self.whole_records();
            if count > 0 {
                return Ok(Piece::Records(count, bytes));
            }
            if self.end - self.start >= PIECE_BYTES {
                return self.large().map(Piece::Large);
            }
            if !self.fill() {
                return Err(Malformed);
            }
        }
    }

    /// How many whole records the buffer begins with, and their bytes.
    fn whole_records(&self) -> (u32, usize) {
        let left = self.current.as_ref().map_or(0, |current| current.left);
        let mut reader = Reader::new(self.buffer.get(self.start..self.end).unwrap_or_default());
        let bytes = reader.rest().len();
        let mut found = (0, 0);
        while found.0 < left {
            let length = reader.signed().ok().and_then(|length| usize::try_from(length).ok());
            if length.and_then(|length| reader.take(length).ok()).is_none() {
                break;
            }
            found = (found.0 + 1, bytes - reader.rest().len());
        }
        found
    }

    /// Fills the buffer as far as it goes. Says whether anything came.
    fn fill(&mut self) -> bool {
        let Some(current) = &mut self.current else { return false };
        let Some(Some(decoder)) = self.decoders.get_mut(current.codec) else { return false };
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let before = self.end;
        while self.end < self.buffer.len() && !current.is_over {
            match decoder.read(&mut self.buffer[self.end..]) {
                Ok(0) => current.is_over = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Bytes before the damage count.
                Err(error) => {
                    tracing::debug!(%error, "can't decompress a batch");
                    current.is_over = true;
                }
            }
        }
        self.end > before
    }

    /// Takes the next record through the buffer, which it does not fit into.
    fn large(&mut self) -> Result<Large, Malformed> {
        let mut left = u64::try_from(self.number(&mut u64::MAX.clone())?).map_err(|_| Malformed)?;
        // Attributes.
        self.pass(1, &mut left, |_| {})?;
        self.number(&mut left)?;
        let delta = self.number(&mut left)?;
        let (key, value) = (self.field(&mut left)?, self.field(&mut left)?);
        // Headers.
        self.pass(left, &mut left.clone(), |_| {})?;
        Ok(Large { delta, key, value })
    }

    fn field(&mut self, left: &mut u64) -> Result<Field, Malformed> {
        let Ok(length) = u64::try_from(self.number(left)?) else { return Ok(Field::Null) };
        if length <= FIELD_BYTES_MAX as u64 {
            let mut whole = Vec::new();
            self.pass(length, left, |bytes| whole.extend_from_slice(bytes))?;
            return Ok(Field::Whole(whole));
        }
        let mut excerpt = ExcerptBuilder::default();
        self.pass(length, left, |bytes| excerpt.push(bytes))?;
        Ok(Field::TooLarge(excerpt.finish()))
    }

    /// The next number, which counts towards what is left of the record.
    fn number(&mut self, left: &mut u64) -> Result<i64, Malformed> {
        if self.end - self.start < NUMBER_BYTES_MAX {
            self.fill();
        }
        let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
        let mut reader = Reader::new(bytes);
        let number = reader.signed()?;
        let length = bytes.len() - reader.rest().len();
        *left = left.checked_sub(length as u64).ok_or(Malformed)?;
        self.start += length;
        Ok(number)
    }

    /// Passes so many bytes, which count towards what is left of the record.
    fn pass(&mut self, length: u64, left: &mut u64, mut each: impl FnMut(&[u8])) -> Result<(), Malformed> {
        *left = left.checked_sub(length).ok_or(Malformed)?;
        let mut missing = length;
        while missing > 0 {
            if self.start == self.end && !self.fill() {
                return Err(Malformed);
            }
            let there = self.buffer.get(self.start..self.end).unwrap_or_default();
            let count = there.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
            each(&there[..count]);
            self.start += count;
            missing -= count as u64;
        }
        Ok(())
    }
}

impl Field {
    fn whole(&self) -> Result<Option<&[u8]>, ()> {
        match self {
            Field::Null => Ok(None),
            Field::Whole(bytes) => Ok(Some(bytes)),
            Field::TooLarge(_) => Err(()),
        }
    }

    fn excerpt(&self) -> Option<Excerpt> {
        match self {
            Field::Null => None,
            Field::Whole(bytes) => Some(Excerpt::of(bytes)),
            Field::TooLarge(excerpt) => Some(excerpt.clone()),
        }
    }
}

/// Puts other bytes in place of those of a cursor, in the same room.
fn refill(cursor: &mut Cursor<Vec<u8>>, compressed: &[u8]) {
    cursor.set_position(0);
    cursor.get_mut().clear();
    cursor.get_mut().extend_from_slice(compressed);
}

struct Gzip(GzDecoder<Cursor<Vec<u8>>>);

impl Decoder for Gzip {
    fn begin(&mut self, compressed: &[u8]) {
        let mut cursor = std::mem::take(self.0.get_mut());
        refill(&mut cursor, compressed);
        self.0.reset(cursor);
    }
}

impl Read for Gzip {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

#[derive(Default)]
struct Lz4 {
    decoder: Option<FrameDecoder<Cursor<Vec<u8>>>>,
    /// The settings of its frame, magic number included.
    settings: Vec<u8>,
    /// It has read its frame to the end, so that another one may follow.
    is_over: bool,
}

impl Lz4 {
    /// The magic number, flags and block size. Room for another block size is another room.
    const SETTINGS_BYTES: usize = 6;
}

impl Decoder for Lz4 {
    fn begin(&mut self, compressed: &[u8]) {
        let settings = compressed.get(..Lz4::SETTINGS_BYTES).unwrap_or_default();
        let is_usable = std::mem::take(&mut self.is_over) && self.settings == settings;
        match self.decoder.as_mut().filter(|_| is_usable) {
            Some(decoder) => refill(decoder.get_mut(), compressed),
            None => {
                let mut cursor = self.decoder.take().map(FrameDecoder::into_inner).unwrap_or_default();
                refill(&mut cursor, compressed);
                self.decoder = Some(FrameDecoder::new(cursor));
                self.settings = settings.to_vec();
            }
        }
    }
}

impl Read for Lz4 {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        let count = decoder.read(into)?;
        self.is_over = count == 0 && !into.is_empty();
        Ok(count)
    }
}

/// A decoder that could not be made.
struct Failed(Option<io::Error>);

impl Decoder for Failed {
    fn begin(&mut self, _: &[u8]) {}
}

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.take().unwrap_or_else(|| ErrorKind::Other.into()))
    }
}

/// Snappy in both ways that Kafka's clients write it: one block, as librdkafka does, or blocks behind a header, as the
/// Java client does (`org.xerial.snappy.SnappyOutputStream`).
#[derive(Default)]
struct Snappy {
    compressed: Cursor<Vec<u8>>,
    is_framed: bool,
    /// Decompressed bytes; those not read yet are from `passed`.
    block: Vec<u8>,
    passed: usize,
    decoder: snap::raw::Decoder,
}

impl Decoder for Snappy {
    fn begin(&mut self, compressed: &[u8]) {
        refill(&mut self.compressed, compressed);
        self.is_framed = compressed.starts_with(Snappy::MAGIC);
        if self.is_framed {
            self.compressed.set_position(Snappy::HEADER_BYTES);
        }
        self.block.clear();
        self.passed = 0;
    }
}

impl Snappy {
    const MAGIC: &[u8] = b"\x82SNAPPY\0";
    /// With two version numbers behind the magic.
    const HEADER_BYTES: u64 = 16;
    /// No element of the format makes more than 64 bytes of 2.
    const EXPANSION_MAX: usize = 32;

    /// Decompresses the next block. Says whether there is one.
    fn next_block(&mut self) -> io::Result<bool> {
        let at = usize::try_from(self.compressed.position()).unwrap_or(usize::MAX);
        let rest = self.compressed.get_ref().get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(false);
        }
        let (block, end) = match self.is_framed {
            false => (rest, at + rest.len()),
            true => {
                let (length, rest) = rest.split_first_chunk().ok_or(ErrorKind::UnexpectedEof)?;
                let length = u32::from_be_bytes(*length) as usize;
                (rest.get(..length).ok_or(ErrorKind::UnexpectedEof)?, at + 4 + length)
            }
        };
        let length = snap::raw::decompress_len(block)?;
        if length > block.len().saturating_mul(Snappy::EXPANSION_MAX) {
            return Err(ErrorKind::InvalidData.into());
        }
        self.block.resize(length, 0);
        self.passed = 0;
        self.decoder.decompress(block, &mut self.block)?;
        self.compressed.set_position(end as u64);
        Ok(true)
    }
}

impl Read for Snappy {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let there = self.block.get(self.passed..).unwrap_or_default();
            let count = there.len().min(into.len());
            if count > 0 || into.is_empty() {
                into[..count].copy_from_slice(&there[..count]);
                self.passed += count;
                return Ok(count);
            }
            if !self.next_block()? {
                return Ok(0);
            }
        }
    }
}
