//! The edge where files are opened; everything behind it takes bytes.

use std::fs::File;
use std::io::{BufReader, Read};
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
    let mut file = BufReader::new(file);
    // Taken off and put back, because a pipe may hand out its first bytes one by one.
    let mut magic = Vec::new();
    let length = GZIP_MAGIC.len() as u64;
    file.by_ref().take(length).read_to_end(&mut magic).map_err(|error| SourceError::read(&name, error))?;
    let bytes = magic.as_slice().chain(file);
    if magic == GZIP_MAGIC {
        read(&name, BufReader::new(MultiGzDecoder::new(bytes)), options)
    } else {
        read(&name, bytes, options)
    }
}
