//! The columns of a table's header.

use super::error::{SourceError, listed};
use super::formats::{
    Dates, Flag, Names, OPEN_METEO_VARIABLE, Table, UnitRule, clean, is_exactly, is_named, unit_in_header,
};
use super::options::{InputFormat, Options, Unit};
use super::rows::Row;

pub(super) const EXPECTED_UNIT: &str = "a unit that is known here (°C or °F)";

/// The columns of a header, by their indices.
pub(super) struct Columns {
    pub(super) count: usize,
    /// The highest index that is read.
    pub(super) last: usize,
    /// The date, or year, month and day.
    pub(super) date: [usize; 3],
    pub(super) has_three: bool,
    pub(super) degrees: usize,
    pub(super) degrees_name: String,
    pub(super) element: Option<usize>,
    pub(super) flag: Option<usize>,
    pub(super) station: Option<usize>,
    /// Name, latitude, longitude and elevation.
    pub(super) place: [Option<usize>; 4],
    /// None if only the values tell.
    pub(super) unit: Option<Unit>,
    /// Whether a fraction is an error.
    pub(super) is_whole: bool,
    /// Whether it is the header of NOAA's bulk files.
    pub(super) is_bulk: bool,
}

impl Columns {
    /// The columns of a header; none if there is no temperature or no date among them.
    pub(super) fn of(table: &Table, fields: &[&[u8]]) -> Result<Option<Columns>, SourceError> {
        let index = |names: Names| {
            let exact = fields.iter().position(|field| is_exactly(field, names));
            exact.or_else(|| fields.iter().position(|field| is_named(field, names)))
        };
        let date = match table.date {
            Dates::Column(names) => index(names).map(|index| [index; 3]),
            Dates::Columns([year, month, day]) => {
                index(year).zip(index(month)).zip(index(day)).map(|((year, month), day)| [year, month, day])
            }
        };
        let (Some(date), Some(degrees)) = (date, index(table.degrees)) else { return Ok(None) };
        let degrees_name = fields.get(degrees).map(|field| clean(field)).unwrap_or_default();
        let same = fields.iter().filter(|field| clean(field) == degrees_name).count();
        if same > 1 {
            let column = degrees_name;
            return Err(SourceError::SameColumns { name: String::new(), line: 0, column, count: same });
        }
        let flag = match table.flag {
            Flag::None => None,
            Flag::Set(names) | Flag::Part(names, _) | Flag::OneOf(names, _) | Flag::NoneOf(names, _) => {
                index(names)
            }
        };
        let unit = match table.unit {
            UnitRule::Is(unit) => Some(unit),
            UnitRule::WholeTenths => Some(Unit::TenthsC),
            UnitRule::OneOf(_) => None,
            UnitRule::InHeader => match unit_in_header(&degrees_name) {
                Some(unit) => Some(unit),
                None => {
                    let place = format!("column {} ({})", degrees + 1, table.degrees.first().unwrap_or(&""));
                    return Err(SourceError::invalid("", place, degrees_name.as_bytes(), EXPECTED_UNIT));
                }
            },
        };
        let element = table.element.and_then(|(name, _)| index(&[name]));
        let station = index(table.station);
        let read = [Some(degrees), flag, element, station].into_iter().flatten().chain(date);
        Ok(Some(Columns {
            count: fields.len(),
            last: read.max().unwrap_or(degrees),
            date,
            has_three: matches!(table.date, Dates::Columns(_)),
            degrees,
            degrees_name,
            element,
            flag,
            station,
            place: [table.name, table.latitude, table.longitude, table.elevation].map(index),
            unit,
            is_whole: matches!(table.unit, UnitRule::WholeTenths),
            is_bulk: flag.is_some()
                && ["LATITUDE", "LONGITUDE", "ELEVATION", "NAME"].iter().all(|it| index(&[it]).is_some()),
        }))
    }

    /// The name of the temperature's column in an error: that of the format, where the file's is longer.
    pub(super) fn shown_name<'n>(&'n self, table: &'n Table) -> &'n str {
        match table.degrees {
            [name] if self.degrees_name.len() > name.len() => name,
            _ => &self.degrees_name,
        }
    }
}

/// Whether a row is a header: it names the date's columns.
pub(super) fn is_header(table: &Table, row: &Row) -> bool {
    let has = |names: Names| row.fields().any(|field| is_named(field, names));
    match table.date {
        Dates::Column(names) => has(names),
        Dates::Columns(names) => names.into_iter().all(has),
    }
}

/// The error that a header lacks the temperature, or the date.
pub(super) fn no_column(table: &Table, options: &Options, row: &Row) -> SourceError {
    let has = |names: Names| row.fields().any(|field| is_named(field, names));
    let date: &[Names] = match &table.date {
        Dates::Column(names) => std::slice::from_ref(names),
        Dates::Columns(names) => names,
    };
    let is_any = table.format == InputFormat::Csv;
    if let Some(names) = date.iter().find(|names| !has(names)) {
        let is_named = is_any || options.date_column.is_some();
        let hint = if is_named { "name another with `--date-column`" } else { table.advice };
        return row.missing_column(names.first().unwrap_or(&""), hint);
    }
    let models: Vec<&[u8]> = row
        .fields()
        .filter(|field| field.starts_with(OPEN_METEO_VARIABLE.as_bytes()) && options.degrees_column.is_none())
        .collect();
    if !models.is_empty() {
        let (name, count) = (row.name.to_owned(), models.len());
        return SourceError::SeveralColumns { name, count, columns: listed(models.into_iter()) };
    }
    let is_named_by_user = is_any || options.degrees_column.is_some();
    let hint = if is_named_by_user { "name another with `--degrees-column`" } else { table.advice };
    row.missing_column(table.degrees.first().unwrap_or(&""), hint)
}

/// An error of a header with the place of the row.
pub(super) fn placed(error: SourceError, row: &Row) -> SourceError {
    match error {
        SourceError::SameColumns { column, count, .. } => {
            SourceError::SameColumns { name: row.name.to_owned(), line: row.line, column, count }
        }
        SourceError::Invalid { place, found, expected, .. } => {
            let place = format!("line {}, {place}", row.line);
            SourceError::Invalid { name: row.name.to_owned(), place, found, expected }
        }
        error => error,
    }
}
