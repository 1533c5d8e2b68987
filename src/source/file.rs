//! The edge where files are opened; everything behind it takes bytes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::{Options, SourceError, read};
use crate::report::Report;

const GZIP_MAGIC: &[u8] = b"\x1F\x8B";

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
    let mut magic = Vec::new();
    let length = GZIP_MAGIC.len() as u64;
    bytes.by_ref().take(length).read_to_end(&mut magic).map_err(|error| SourceError::read(name, error))?;
    let bytes = magic.as_slice().chain(bytes);
    if magic == GZIP_MAGIC {
        read(name, BufReader::new(MultiGzDecoder::new(bytes)), options)
    } else {
        read(name, bytes, options)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::read_files;
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
