//! The edge where files of weather are opened. Everything behind it takes bytes: `almanac_core::source`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

pub use almanac_core::source::*;

/// The weather in all `paths`, one file after the other. They must be of one place: see [`Weather::of_files`].
pub fn read_files(paths: &[PathBuf], options: &Options) -> Result<Weather, SourceError> {
    let read = |path: &PathBuf| Ok((path.display().to_string(), read_file(path, options)?));
    Weather::of_files(
        paths.iter().map(read).collect::<Result<_, SourceError>>()?,
        options.station_id.as_deref(),
    )
}

/// Reads a file, compressed with gzip or not.
fn read_file(path: &Path, options: &Options) -> Result<Weather, SourceError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|source| SourceError::Open { name: name.clone(), source })?;
    read_bytes(&name, BufReader::new(file), options)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const MAY: &[u8] = b"XX000000001,20240501,TMAX,151,,,Z,\nXX000000001,20240502,TMAX,152,,,Z,\n";
    const JUNE: &[u8] = b"XX000000001,20240601,TMAX,161,,,Z,\n";

    fn degrees(paths: &[&Path]) -> Result<Vec<f64>, SourceError> {
        let paths: Vec<_> = paths.iter().map(|path| path.to_path_buf()).collect();
        Ok(read_files(&paths, &Options::default())?.days.iter().map(|report| report.degrees).collect())
    }

    #[test]
    fn files_come_in_the_order_given_compressed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let (may, june) = (dir.path().join("may.csv"), dir.path().join("june.gz"));
        fs::write(&may, MAY).unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(JUNE).unwrap();
        fs::write(&june, encoder.finish().unwrap()).unwrap();
        assert_eq!(degrees(&[&june, &may]).unwrap(), [16.1, 15.1, 15.2]);
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
