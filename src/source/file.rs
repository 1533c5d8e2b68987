//! The edge where files are opened; everything behind it takes bytes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::gzip::{Gzip, MAGIC};
use super::{Options, SourceError, read};
use crate::report::Report;

/// The reports in all `paths`, one file after the other.
pub fn read_files(paths: &[PathBuf], options: &Options) -> Result<Vec<Report>, SourceError> {
    let mut reports = Vec::new();
    for path in paths {
        reports.append(&mut read_file(path, options)?);
    }
    Ok(reports)
}

/// Reads a file, compressed with gzip or not.
fn read_file(path: &Path, options: &Options) -> Result<Vec<Report>, SourceError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|source| SourceError::Open { name: name.clone(), source })?;
    read_bytes(&name, BufReader::new(file), options)
}

/// Reads what a file called `name` holds, compressed with gzip or not.
pub fn read_bytes(
    name: &str,
    mut bytes: impl BufRead,
    options: &Options,
) -> Result<Vec<Report>, SourceError> {
    // Taken off and put back, because a pipe may hand out its first bytes one by one.
    let mut start = Vec::new();
    let length = MAGIC.len() as u64;
    bytes.by_ref().take(length).read_to_end(&mut start).map_err(|error| SourceError::read(name, error))?;
    if start == MAGIC {
        read_compressed(name, Gzip::new(start, bytes), options)
    } else {
        read(name, start.as_slice().chain(bytes), options)
    }
}

fn read_compressed(
    name: &str,
    mut gzip: Gzip<impl BufRead>,
    options: &Options,
) -> Result<Vec<Report>, SourceError> {
    let found = read(name, BufReader::new(&mut gzip), options);
    if gzip.has_garbage {
        tracing::warn!("{name}: bytes after its compressed data were ignored");
    }
    found.map_err(|error| match gzip.into_damage() {
        Some(damage) => SourceError::read(name, damage),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{self, BufReader, Write};
    use std::path::Path;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::{read_bytes, read_files};
    use crate::source::gzip::Gzip;
    use crate::source::{Options, SourceError};

    const MAY: &[u8] = b"XX000000001,20240501,TMAX,151,,,Z,\nXX000000001,20240502,TMAX,152,,,Z,\n";
    const JUNE: &[u8] = b"XX000000001,20240601,TMAX,161,,,Z,\n";

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn degrees(paths: &[&Path]) -> Result<Vec<f64>, SourceError> {
        let paths: Vec<_> = paths.iter().map(|path| path.to_path_buf()).collect();
        Ok(read_files(&paths, &Options::default())?.iter().map(|report| report.degrees).collect())
    }

    #[test]
    fn files_come_in_the_order_given_compressed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let (may, june) = (dir.path().join("may.csv"), dir.path().join("june.gz"));
        fs::write(&may, MAY).unwrap();
        fs::write(&june, compressed(JUNE)).unwrap();
        assert_eq!(degrees(&[&june, &may]).unwrap(), [16.1, 15.1, 15.2]);
    }

    #[test]
    fn joined_gzip_files_are_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("may_june.gz");
        fs::write(&path, [compressed(MAY), compressed(JUNE)].concat()).unwrap();
        assert_eq!(degrees(&[&path]).unwrap(), [15.1, 15.2, 16.1]);
    }

    #[test]
    fn a_compressed_file_cut_off_is_an_error_wherever_it_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("may.csv.gz");
        let bytes = compressed(MAY);
        for length in 2..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let error = degrees(&[&path]).unwrap_err();
            assert!(matches!(error, SourceError::CutOff { .. }), "{length}: {error:?}");
        }
    }

    #[test]
    fn what_follows_the_compressed_data_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("may_june.gz");
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
            fs::write(&path, [&whole, rest].concat()).unwrap();
            assert_eq!(degrees(&[&path]).unwrap(), [15.1, 15.2, 16.1], "{rest:?}");
            let mut gzip = Gzip::new(Vec::new(), BufReader::with_capacity(1, File::open(&path).unwrap()));
            io::copy(&mut gzip, &mut io::sink()).unwrap();
            assert_eq!(gzip.has_garbage, rest.iter().any(|byte| *byte != 0), "{rest:?}");
        }
        // These begin as a member does.
        for rest in [&b"\x1f\x8b"[..], b"\x1f\x8b\x08", &compressed(MAY)[..20]] {
            fs::write(&path, [&whole, rest].concat()).unwrap();
            assert!(matches!(degrees(&[&path]).unwrap_err(), SourceError::CutOff { .. }), "{rest:?}");
        }
        fs::write(&path, [&whole, &b"\x1f\x8b\x07 of another method"[..]].concat()).unwrap();
        assert!(matches!(degrees(&[&path]).unwrap_err(), SourceError::Read { .. }));
    }

    #[test]
    fn damage_is_told_before_what_is_wrong_in_the_file() {
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
                    found.map(|reports| reports.len()).map_err(|error| format!("{error}"))
                };
                let at_once = told(1 << 16);
                assert_eq!(told(1), at_once, "{at}");
                assert_eq!(told(100), at_once, "{at}");
            }
        }
    }

    #[test]
    fn a_wrong_checksum_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("may.csv.gz");
        let mut bytes = compressed(MAY);
        let checksum = bytes.len() - 8;
        bytes[checksum] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = degrees(&[&path]).unwrap_err();
        assert!(matches!(error, SourceError::Read { .. }), "{error:?}");
    }

    #[test]
    fn a_path_that_cannot_be_read_is_named() {
        let error = degrees(&[Path::new("no/such.csv")]).unwrap_err();
        assert_eq!(error.to_string(), "can't open no/such.csv");
        let dir = tempfile::tempdir().unwrap();
        let error = degrees(&[dir.path()]).unwrap_err();
        assert_eq!(error.to_string(), format!("can't read {}", dir.path().display()));
    }
}
