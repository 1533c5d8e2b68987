//! The edge where files of weather are opened. Everything behind it takes bytes: `almanac_core::source`.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

pub use almanac_core::source::*;

/// How much is decompressed ahead of the parser: pieces of so many bytes, so many of them.
const PIECE_LENGTH: usize = 256 << 10;
const PIECES_MAX: usize = 8;

/// The weather in all `paths` as one: files, directories of files, patterns such as `weather/*.csv`, and `-` for stdin.
/// Files come in the order of their first days.
///
/// # Errors
///
/// If a file can't be read, or they are of several places.
pub fn read_files(paths: &[PathBuf], options: &Options) -> Result<Weather, SourceError> {
    let mut files = Vec::new();
    for path in paths {
        for path in expanded(path)? {
            files.push((path.display().to_string(), read_file(&path, options)?));
        }
    }
    Weather::of_files(files, options.station_id.as_deref())
}

/// The files that a path stands for.
pub(crate) fn expanded(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let name = path.display().to_string();
    if path.is_dir() {
        let open = |source| SourceError::Open { name: name.clone(), source };
        let entries: Result<Vec<_>, _> = fs::read_dir(path).map_err(open)?.collect();
        let mut files: Vec<PathBuf> = entries.map_err(open)?.into_iter().map(|entry| entry.path()).collect();
        let is_hidden =
            |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        files.retain(|path| path.is_file() && !is_hidden(path));
        files.sort();
        return if files.is_empty() { Err(SourceError::NoFile { name }) } else { Ok(files) };
    }
    let is_pattern = name.contains(['*', '?', '[']) && !path.exists();
    if let (true, Ok(found)) = (is_pattern, glob::glob(&name)) {
        let files: Vec<PathBuf> = found.filter_map(Result::ok).filter(|path| path.is_file()).collect();
        return if files.is_empty() { Err(SourceError::NoFile { name }) } else { Ok(files) };
    }
    Ok(vec![path.to_owned()])
}

pub(crate) fn read_file(path: &Path, options: &Options) -> Result<Weather, SourceError> {
    if path == Path::new("-") {
        return read_from("stdin", io::stdin(), options);
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|source| SourceError::Open { name: name.clone(), source })?;
    read_from(&name, file, options)
}

/// Reads what is called `name`, compressed or not; gzip in a thread of its own.
///
/// # Errors
///
/// As [`read_bytes`] has them.
pub fn read_from(
    name: &str,
    mut bytes: impl Read + Send + 'static,
    options: &Options,
) -> Result<Weather, SourceError> {
    let mut start = Vec::new();
    let length = GZIP_MAGIC.len() as u64;
    let taken = bytes.by_ref().take(length).read_to_end(&mut start);
    taken.map_err(|source| SourceError::Read { name: name.to_owned(), source })?;
    let is_compressed = start == GZIP_MAGIC;
    let bytes = io::Cursor::new(start).chain(bytes);
    if is_compressed {
        let content = Gzip::new(name, BufReader::with_capacity(PIECE_LENGTH, bytes));
        read_compressed(name, Ahead::new(content), options)
    } else {
        read_bytes(name, bytes, options)
    }
}

/// Reads ahead in a thread of its own, as far as [`PIECES_MAX`] allow. The thread ends with its content, or with this.
struct Ahead {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    /// Its last error, for every further read.
    end: Option<(io::ErrorKind, String)>,
}

impl Ahead {
    fn new(mut content: impl Read + Send + 'static) -> Ahead {
        let (sender, pieces) = sync_channel(PIECES_MAX);
        thread::spawn(move || {
            loop {
                let mut piece = Vec::with_capacity(PIECE_LENGTH);
                let read = content.by_ref().take(PIECE_LENGTH as u64).read_to_end(&mut piece);
                // The bytes before an error are read before it.
                if !piece.is_empty() && sender.send(Ok(piece)).is_err() {
                    return;
                }
                match read {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) => {
                        let _ = sender.send(Err(error));
                        return;
                    }
                }
            }
        });
        Ahead { pieces, piece: io::Cursor::default(), end: None }
    }
}

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.piece.read(into)?;
            if length > 0 || into.is_empty() {
                return Ok(length);
            }
            if let Some((kind, text)) = &self.end {
                return Err(io::Error::new(*kind, text.clone()));
            }
            match self.pieces.recv() {
                Ok(Ok(piece)) => self.piece = io::Cursor::new(piece),
                Ok(Err(error)) => self.end = Some((error.kind(), error.to_string())),
                Err(_) => return Ok(0),
            }
        }
    }
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
    fn files_come_in_the_order_of_time_compressed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let (may, june) = (dir.path().join("may.csv"), dir.path().join("june.gz"));
        fs::write(&may, MAY).unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(JUNE).unwrap();
        fs::write(&june, encoder.finish().unwrap()).unwrap();
        let in_order = [15.1, 15.2, 16.1];
        assert_eq!(degrees(&[&june, &may]).unwrap(), in_order);
        assert_eq!(degrees(&[dir.path()]).unwrap(), in_order);
        assert_eq!(degrees(&[&dir.path().join("*.[gc]*")]).unwrap(), in_order);
        let error = degrees(&[&dir.path().join("*.txt")]).unwrap_err();
        assert_eq!(error.to_string(), format!("no file in {}/*.txt", dir.path().display()));
    }

    #[test]
    fn a_path_that_cannot_be_read_is_named() {
        let error = degrees(&[Path::new("no/such.csv")]).unwrap_err();
        assert_eq!(error.to_string(), "can't open no/such.csv");
        let dir = tempfile::tempdir().unwrap();
        let error = degrees(&[dir.path()]).unwrap_err();
        assert_eq!(error.to_string(), format!("no file in {}", dir.path().display()));
    }
}
