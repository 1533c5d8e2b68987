//! Any CSV with a header: its reader says which columns hold the date and the temperature, and in which unit.

use std::io::BufRead;

use super::error::SourceError;
use super::options::{Options, Unit};
use super::rows::Rows;
use super::stations::Stations;
use crate::report::Report;

/// The columns of a CSV, as the user names them. almanac guesses none: nobody would notice a wrong guess.
struct Columns<'a> {
    date: &'a str,
    degrees: &'a str,
    unit: Unit,
}

impl<'a> Columns<'a> {
    fn of(name: &str, options: &'a Options) -> Result<Columns<'a>, SourceError> {
        let missing = |flag, value| SourceError::MissingFlag { name: name.to_owned(), flag, value };
        if options.station.is_some() {
            return Err(SourceError::StationOfCsv { name: name.to_owned() });
        }
        Ok(Columns {
            date: options.date_column.as_deref().ok_or_else(|| missing("--date-column", "HEADER"))?,
            degrees: options
                .degrees_column
                .as_deref()
                .ok_or_else(|| missing("--degrees-column", "HEADER"))?,
            unit: options.unit.ok_or_else(|| missing("--unit", "c|f|tenths-c"))?,
        })
    }
}

pub(super) fn read(
    name: &str,
    bytes: impl BufRead,
    options: &Options,
    stations: &mut Stations,
) -> Result<(), SourceError> {
    let columns = Columns::of(name, options)?;
    let mut rows = Rows::new(name, bytes);
    let Some(header) = rows.next()? else {
        return Ok(());
    };
    let date_index = header.column(columns.date, "name another with `--date-column`")?;
    let degrees_index = header.column(columns.degrees, "name another with `--degrees-column`")?;
    let count = header.len();
    while let Some(row) = rows.next()? {
        row.expect_len(count)?;
        if let Some(degrees) = row.degrees(degrees_index, columns.degrees, columns.unit)? {
            let date = row.date(date_index, columns.date)?;
            stations.add(Report { date, degrees }, false)?;
        }
    }
    Ok(())
}
