//! Compressed files, read as gzip reads them: members one after the other, and what follows them ignored.

use std::io::{self, BufRead, Chain, Cursor, Read};

use flate2::bufread::GzDecoder;

/// The first bytes of each member.
pub(super) const MAGIC: &[u8] = b"\x1F\x8B";

/// How many bytes of a refused file are still decompressed, to learn whether it is damaged. It takes some seconds, and is
/// far more than any file of one station has.
const DRAINED_MAX: u64 = 1 << 30;

/// The content of a compressed file.
pub(super) struct Gzip<R> {
    /// None at the end, and after an error.
    member: Option<GzDecoder<Chain<Cursor<Vec<u8>>, R>>>,
    damage: Option<Damage>,
    /// Whether other bytes than zeros followed the last member.
    pub(super) has_garbage: bool,
}

/// Why there is no more, to be said as often as it is asked for.
enum Damage {
    Code(i32),
    Other(io::ErrorKind, String),
}

impl Damage {
    fn of(error: &io::Error) -> Damage {
        match error.raw_os_error() {
            Some(code) => Damage::Code(code),
            None => Damage::Other(error.kind(), error.to_string()),
        }
    }

    fn error(&self) -> io::Error {
        match self {
            Damage::Code(code) => io::Error::from_raw_os_error(*code),
            Damage::Other(kind, text) => io::Error::new(*kind, text.clone()),
        }
    }
}

impl<R: BufRead> Gzip<R> {
    /// The content of the bytes `start`, which have been read already, and `rest`.
    pub(super) fn new(start: Vec<u8>, rest: R) -> Gzip<R> {
        let member = Some(GzDecoder::new(Cursor::new(start).chain(rest)));
        Gzip { member, damage: None, has_garbage: false }
    }

    /// The error of a damaged file. Everything in it is in doubt then, whatever was read of it so far and found to be
    /// wrong: how much that was depends on how the bytes came.
    pub(super) fn into_damage(mut self) -> Option<io::Error> {
        let drained = io::copy(&mut self.by_ref().take(DRAINED_MAX), &mut io::sink());
        self.damage.map(|damage| damage.error()).or(drained.err())
    }

    /// Goes on to the next member, if there is one.
    fn next_member(&mut self, ended: GzDecoder<Chain<Cursor<Vec<u8>>, R>>) -> io::Result<()> {
        let (_, mut rest) = ended.into_inner().into_inner();
        let mut start = Vec::new();
        rest.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start)?;
        if start == MAGIC {
            self.member = Some(GzDecoder::new(Cursor::new(start).chain(rest)));
            return Ok(());
        }
        // Zeros fill up the last block of a tape or a disk.
        self.has_garbage = start.iter().any(|byte| *byte != 0);
        while !self.has_garbage {
            let bytes = match rest.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                bytes => bytes?,
            };
            if bytes.is_empty() {
                break;
            }
            self.has_garbage = bytes.iter().any(|byte| *byte != 0);
            let length = bytes.len();
            rest.consume(length);
        }
        Ok(())
    }

    fn read_on(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            match member.read(into) {
                Ok(0) => self.next_member(member)?,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                // More of the same member, now or when it is asked again.
                read => {
                    self.member = Some(member);
                    return read;
                }
            }
        }
        Ok(0)
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if let Some(damage) = &self.damage {
            return Err(damage.error());
        }
        let read = self.read_on(into);
        let error = read.as_ref().err().filter(|error| error.kind() != io::ErrorKind::Interrupted);
        self.damage = error.map(Damage::of);
        read
    }
}
