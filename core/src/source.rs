//! Sources of reports: synthetic weather, and the files in which real weather is kept.
//!
//! A file is read as a whole before its first report is handed on, so a bad file costs nothing. The parsers take
//! bytes; other modules open the files.

mod csv;
mod error;
mod ghcn;
mod gzip;
mod lines;
mod noise;
mod open_meteo;
mod options;
pub mod repeats;
mod rows;
mod stations;
pub mod synthetic;
#[cfg(test)]
mod tests;
mod weather;

use std::io::{BufRead, BufReader, Read};

use self::gzip::{Gzip, MAGIC};
use self::stations::Stations;

pub use self::error::SourceError;
pub use self::options::{InputFormat, Options, Unit};
pub use self::repeats::{Repeats, Sent};
pub use self::synthetic::Synthetic;
pub use self::weather::Weather;

/// How many bytes of a file are looked at to recognise its format; the longest header known has 2,000.
const HEAD_LENGTH: u64 = 64 * 1024;

/// Reads what a file called `name` holds, compressed with gzip or not.
pub fn read_bytes(name: &str, mut bytes: impl BufRead, options: &Options) -> Result<Weather, SourceError> {
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
) -> Result<Weather, SourceError> {
    let found = read(name, BufReader::new(&mut gzip), options);
    if gzip.has_garbage {
        tracing::warn!("{name}: bytes after its compressed data were ignored");
    }
    found.map_err(|error| match gzip.into_damage() {
        Some(damage) => SourceError::read(name, damage),
        None => error,
    })
}

/// The weather in a file called `name`: every day of the one station that has a temperature.
pub fn read(name: &str, mut bytes: impl BufRead, options: &Options) -> Result<Weather, SourceError> {
    let mut head = Vec::new();
    bytes
        .by_ref()
        .take(HEAD_LENGTH)
        .read_to_end(&mut head)
        .map_err(|error| SourceError::read(name, error))?;
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head);
    let mut stations = Stations::new(name, options);
    if !head.trim_ascii().is_empty() {
        let format = format_of(head, name, options)?;
        stations.place = weather::provider(format);
        let bytes = head.chain(bytes);
        match format {
            InputFormat::GhcnCsv => ghcn::read_csv(name, bytes, &mut stations)?,
            InputFormat::GhcnAccess => ghcn::read_access(name, bytes, &mut stations)?,
            InputFormat::GhcnDly => ghcn::read_dly(name, bytes, &mut stations)?,
            InputFormat::OpenMeteoCsv => open_meteo::read_csv(name, bytes, &mut stations)?,
            InputFormat::OpenMeteoJson => open_meteo::read_json(name, bytes, &mut stations)?,
            InputFormat::Csv => csv::read(name, bytes, options, &mut stations)?,
        }
    }
    stations.into_weather()
}

/// The format that was asked for or, failing that, recognised.
fn format_of(head: &[u8], name: &str, options: &Options) -> Result<InputFormat, SourceError> {
    match options.format {
        Some(InputFormat::Csv) => Ok(InputFormat::Csv),
        Some(format) if options.describes_csv() => {
            Err(SourceError::ColumnsOfOtherFormat { name: name.to_owned(), format })
        }
        Some(format) => Ok(format),
        None if options.describes_csv() => Ok(InputFormat::Csv),
        None => recognise(head, name).ok_or_else(|| SourceError::UnknownFormat { name: name.to_owned() }),
    }
}

/// The format of a file by its first bytes or, where they say nothing, by its name.
///
/// [`InputFormat::Csv`] is never recognised: which of its columns is meant, and in which unit, only its reader knows.
pub fn recognise(head: &[u8], name: &str) -> Option<InputFormat> {
    recognise_content(head).or_else(|| recognise_name(name))
}

fn recognise_content(head: &[u8]) -> Option<InputFormat> {
    let line = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty())?;
    if matches!(line, [b'{' | b'[', ..]) {
        return Some(InputFormat::OpenMeteoJson);
    }
    if ghcn::is_dly(line) {
        return Some(InputFormat::GhcnDly);
    }
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b',').map(unquoted).collect();
    if ghcn::is_csv(&fields) {
        Some(InputFormat::GhcnCsv)
    } else if ghcn::is_access(&fields) {
        Some(InputFormat::GhcnAccess)
    } else if open_meteo::is_csv(&fields) {
        Some(InputFormat::OpenMeteoCsv)
    } else {
        None
    }
}

fn recognise_name(name: &str) -> Option<InputFormat> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    if name.ends_with(".dly") {
        Some(InputFormat::GhcnDly)
    } else if name.ends_with(".json") {
        Some(InputFormat::OpenMeteoJson)
    } else {
        None
    }
}

fn unquoted(field: &[u8]) -> &[u8] {
    let field = field.trim_ascii();
    field.strip_prefix(b"\"").and_then(|field| field.strip_suffix(b"\"")).unwrap_or(field)
}
