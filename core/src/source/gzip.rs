//! Compressed files, read as gzip reads them: members one after the other, and what follows them ignored.

use std::io::{self, BufRead, Chain, Cursor, Read};

use flate2::bufread::GzDecoder;

/// The first bytes of each member.
pub const MAGIC: &[u8] = b"\x1F\x8B";

/// The content of a compressed file.
pub struct Gzip<R> {
    name: String,
    /// None at the end, and after an error.
    member: Option<GzDecoder<Chain<Cursor<Vec<u8>>, R>>>,
    damage: Option<Damage>,
    /// Whether other bytes than zeros followed the last member.
    has_garbage: bool,
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
    /// The content of `bytes`, which are those of a file called `name`.
    pub fn new(name: &str, bytes: R) -> Gzip<R> {
        let member = Some(GzDecoder::new(Cursor::new(Vec::new()).chain(bytes)));
        Gzip { name: name.to_owned(), member, damage: None, has_garbage: false }
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
        if self.has_garbage {
            tracing::warn!("{}: bytes after its compressed data were ignored", self.name);
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

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::source::{Options, SourceError, read_bytes};

    const MAY: &[u8] = b"XX000000001,20240501,TMAX,151,,,Z,\nXX000000001,20240502,TMAX,152,,,Z,\n";
    const JUNE: &[u8] = b"XX000000001,20240601,TMAX,161,,,Z,\n";

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn degrees(bytes: &[u8]) -> Result<Vec<f64>, SourceError> {
        Ok(read_bytes("x", bytes, &Options::default())?.days.iter().map(|report| report.degrees).collect())
    }

    #[test]
    fn joined_gzip_files_are_one() {
        let joined = [compressed(MAY), compressed(JUNE)].concat();
        assert_eq!(degrees(&joined).unwrap(), [15.1, 15.2, 16.1]);
    }

    #[test]
    fn a_compressed_file_cut_off_is_an_error_wherever_it_is_cut() {
        let bytes = compressed(MAY);
        for length in 2..bytes.len() {
            let error = degrees(&bytes[..length]).unwrap_err();
            assert!(matches!(error, SourceError::CutOff { .. }), "{length}: {error:?}");
        }
    }

    #[test]
    fn bytes_after_the_compressed_data_are_ignored() {
        let whole = [compressed(MAY), compressed(JUNE)].concat();
        for rest in [
            &b"\0"[..],
            &[0; 10_240],
            b"\x1f",
            b"\x8b\x1f",
            b"garbage, and more of it",
            &[&[0; 100][..], b"x"].concat(),
            // As gzip does: only what follows a member at once is another one.
            &[&[0; 3][..], &compressed(MAY)].concat(),
        ] {
            let bytes = [&whole, rest].concat();
            assert_eq!(degrees(&bytes).unwrap(), [15.1, 15.2, 16.1], "{rest:?}");
            let mut gzip = Gzip::new("x", BufReader::with_capacity(1, &*bytes));
            io::copy(&mut gzip, &mut io::sink()).unwrap();
            assert_eq!(gzip.has_garbage, rest.iter().any(|byte| *byte != 0), "{rest:?}");
        }
        // These begin as a member does.
        for rest in [&b"\x1f\x8b"[..], b"\x1f\x8b\x08", &compressed(MAY)[..20]] {
            let bytes = [&whole, rest].concat();
            assert!(matches!(degrees(&bytes).unwrap_err(), SourceError::CutOff { .. }), "{rest:?}");
        }
        let bytes = [&whole, &b"\x1f\x8b\x07 of another method"[..]].concat();
        assert!(matches!(degrees(&bytes).unwrap_err(), SourceError::Read { .. }));
    }

    #[test]
    fn damage_is_reported_before_errors_in_the_file() {
        let bad = compressed(b"XX000000001,20240501,TMAX,hot,,,Z,\n");
        let refused = read_bytes("x", &*bad, &Options::default()).unwrap_err();
        assert!(matches!(refused, SourceError::Invalid { .. }), "{refused:?}");
        let cut = read_bytes("x", &bad[..bad.len() - 1], &Options::default()).unwrap_err();
        assert!(matches!(cut, SourceError::CutOff { .. }), "{cut:?}");
    }

    #[test]
    fn a_damaged_file_is_the_same_error_however_its_bytes_come() {
        let rows = |bad: bool| {
            let days = (1..=2000).map(|day| {
                let value =
                    if bad && day == 1000 { "hot".to_owned() } else { (day * 7919 % 400).to_string() };
                format!("XX{:09},20240501,TMAX,{value},,,Z,\n", 1)
            });
            compressed(days.collect::<String>().as_bytes())
        };
        for whole in [rows(false), rows(true)] {
            for at in (2..whole.len()).step_by(13) {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (at % 8);
                let told = |capacity| {
                    let reader = BufReader::with_capacity(capacity, &*bytes);
                    let found = read_bytes("x", reader, &Options::default());
                    found.map(|weather| weather.days.len()).map_err(|error| format!("{error}"))
                };
                let at_once = told(1 << 16);
                assert_eq!(told(1), at_once, "{at}");
                assert_eq!(told(100), at_once, "{at}");
            }
        }
    }

    #[test]
    fn a_wrong_checksum_is_an_error() {
        let mut bytes = compressed(MAY);
        let checksum = bytes.len() - 8;
        bytes[checksum] ^= 1;
        let error = degrees(&bytes).unwrap_err();
        assert!(matches!(error, SourceError::Read { .. }), "{error:?}");
    }
}
