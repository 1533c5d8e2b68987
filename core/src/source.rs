//! Sources of reports: synthetic weather, and the files in which real weather is kept.
//!
//! A file is read as a whole before its first report is handed on, so a bad file costs nothing. The parsers take
//! bytes; other modules open the files. Delimited text is read by one engine, `table`, as the rows of `formats` say.

mod archive;
mod columns;
mod dates;
mod dly;
mod encoding;
mod error;
mod evidence;
mod facts;
mod formats;
mod gzip;
mod head;
mod json;
mod noise;
mod numbers;
mod options;
pub mod repeats;
mod rows;
pub mod synthetic;
mod table;
#[cfg(test)]
mod tests;
mod weather;

use std::io::{self, BufReader, Read};

use self::head::Found;
use self::weather::Collected;

pub use self::error::SourceError;
pub use self::gzip::{Gzip, MAGIC as GZIP_MAGIC};
pub use self::numbers::Decimal;
pub use self::options::{InputFormat, Options, Plausible, Unit};
pub use self::repeats::{Repeats, Sent};
pub use self::synthetic::Synthetic;
pub use self::weather::{Account, Contradiction, Weather};

/// How many bytes of a file are looked at to recognise its format; the longest header known has 2,000, and the longest
/// text before one 10,000.
const HEAD_LENGTH: u64 = 64 * 1024;

/// How many bytes of a refused file are still decompressed, to learn whether it is damaged. It takes some seconds, and is
/// far more than any file of one station has.
const DRAINED_MAX: u64 = 1 << 30;

/// Reads what a file called `name` holds, compressed with gzip or not, or the one member of a zip archive that holds
/// daily temperatures.
///
/// # Errors
///
/// If the format is not known, or the file is damaged, contradicts its format or the `options`, or holds several places
/// of which none is named.
pub fn read_bytes(name: &str, mut bytes: impl Read, options: &Options) -> Result<Weather, SourceError> {
    // Taken off and put back, because a pipe may hand out its first bytes one by one.
    let mut start = Vec::new();
    let length = archive::MAGIC.len() as u64;
    bytes.by_ref().take(length).read_to_end(&mut start).map_err(|error| SourceError::read(name, error))?;
    if start.starts_with(GZIP_MAGIC) {
        let bytes = BufReader::new(io::Cursor::new(start).chain(bytes));
        read_compressed(name, Gzip::new(name, bytes), options)
    } else if start == archive::MAGIC {
        archive::read_member(name, io::Cursor::new(start).chain(bytes), options)
    } else {
        read(name, start.as_slice().chain(bytes), options)
    }
}

/// Reads what was compressed. If that is damaged, everything in it is in doubt, whatever was read of it so far and found
/// to be wrong: how much that was depends on how the bytes came. So its damage is the error.
///
/// # Errors
///
/// As [`read_bytes`] has them.
pub fn read_compressed(
    name: &str,
    mut content: impl Read,
    options: &Options,
) -> Result<Weather, SourceError> {
    read(name, &mut content, options).map_err(|error| {
        match io::copy(&mut content.by_ref().take(DRAINED_MAX), &mut io::sink()) {
            Ok(_) => error,
            Err(damage) => SourceError::read(name, damage),
        }
    })
}

/// The content of a file called `name` holds: every day of the one station that has a temperature, in the order of the file.
///
/// # Errors
///
/// As [`read_bytes`] has them.
pub fn read(name: &str, mut bytes: impl Read, options: &Options) -> Result<Weather, SourceError> {
    let mut start = Vec::new();
    let take = |length, start: &mut Vec<u8>, bytes: &mut dyn Read| {
        bytes.take(length).read_to_end(start).map_err(|error| SourceError::read(name, error))
    };
    take(4, &mut start, &mut bytes)?;
    let mut text = encoding::decoded(start, bytes);
    let mut head = Vec::new();
    take(HEAD_LENGTH, &mut head, &mut text)?;
    let bytes = head.as_slice().chain(text);
    let mut collected = Collected::new(name, options);
    if !head.trim_ascii().is_empty() {
        read_as(name, bytes, &head, options, &mut collected)?;
    }
    collected.into_weather()
}

fn read_as<'a>(
    name: &'a str,
    bytes: impl Read,
    head: &[u8],
    options: &'a Options,
    collected: &mut Collected<'a>,
) -> Result<(), SourceError> {
    let is_any = match options.format {
        Some(format) => format == InputFormat::Csv,
        None => options.describes_csv(),
    };
    if is_any {
        return table::read_any(bytes, head, options, collected);
    }
    let Some(found) = recognise(head, name, options) else {
        return Err(match options.format {
            Some(format) => head::no_header(name, head, format, options),
            None => head::unknown(name, head, options),
        });
    };
    if let (false, Some(option)) = (matches!(found, Found::Table(..)), options.of_text()) {
        return Err(SourceError::OptionOfText { name: name.to_owned(), format: found.format(), option });
    }
    match found {
        Found::Table(table, start) => table::read(bytes, head, table, &start, options, collected),
        Found::Dly => dly::read(name, bytes, collected),
        Found::OpenMeteoJson => json::read_open_meteo(name, bytes, options, collected),
        Found::NoaaJson => {
            let csv = json::noaa_as_csv(name, bytes)?;
            match head::recognise(&csv, Some(InputFormat::GhcnAccess), options) {
                Some(Found::Table(table, start)) => {
                    table::read(csv.as_slice(), &csv, table, &start, options, collected)
                }
                _ => Ok(()),
            }
        }
    }
}

/// The format of a file by its first bytes or, where they say nothing, by its name.
///
/// [`InputFormat::Csv`] is never recognised: which of its columns is meant, and in which unit, only its reader knows.
fn recognise(head: &[u8], name: &str, options: &Options) -> Option<Found> {
    let found = head::recognise(head, options.format, options);
    found.or_else(|| match options.format {
        Some(InputFormat::GhcnDly) => Some(Found::Dly),
        Some(InputFormat::OpenMeteoJson) => Some(Found::OpenMeteoJson),
        Some(InputFormat::NoaaJson) => Some(Found::NoaaJson),
        Some(_) => None,
        None => {
            let name = name.to_ascii_lowercase();
            let name = name.strip_suffix(".gz").unwrap_or(&name);
            if name.ends_with(".dly") {
                Some(Found::Dly)
            } else {
                name.ends_with(".json").then_some(Found::OpenMeteoJson)
            }
        }
    })
}

/// The public definition of the format, if it is one of delimited text.
pub fn definition_of(format: InputFormat) -> Option<&'static str> {
    let table = formats::TABLES.iter().find(|table| table.format == format);
    table.map(|table| table.credit.definition)
}
