//! Reads delimited text as a [`Table`] says.

use std::io::Read;

use jiff::civil::Date;

use super::columns::{Columns, is_header, no_column, placed};
use super::dates::{DateForm, NoDate, date_of, pattern};
use super::error::{SourceError, shown};
use super::evidence::Evidence;
use super::facts::{Facts, leading_number};
use super::formats::{Dates, Flag, Names, PLAIN, Table, UnitRule, clean, is_named};
use super::head::{Start, fields, find_header, likely_header, lines};
use super::numbers::{EXPECTED_TENTHS, Marks, is_missing_word, is_suspicious, parse_number};
use super::options::{InputFormat, Options, Plausible};
use super::rows::{Row, Rows};
use super::weather::{Collected, Want};

const EXPECTED_DAY: &str = "a day of the calendar (YYYY-MM-DD or YYYYMMDD)";

/// The columns of a CSV that say of which place a row is. One called `name` may be that of an observer.
const STATION_NAMES: Names = &[
    "station",
    "station_id",
    "stationid",
    "station id",
    "station_code",
    "stid",
    "staid",
    "stn",
    "icao",
    "wban",
    "usaf",
    "city",
    "town",
    "place",
    "location",
    "location_id",
    "site",
    "site_id",
    "municipality",
    "county",
    "region",
    "country",
    "state",
];

/// Reads a file of a known format, with the columns that the user names instead of its own.
pub(super) fn read<'a>(
    bytes: impl Read,
    head: &[u8],
    table: &Table,
    start: &Start,
    options: &'a Options,
    collected: &mut Collected<'a>,
) -> Result<(), SourceError> {
    let mut table = table.clone();
    let date_columns = date_columns(options);
    match date_columns.as_slice() {
        [] => {}
        [year, month, day] => table.date = Dates::Columns([year, month, day].map(std::slice::from_ref)),
        columns => table.date = Dates::Column(columns),
    }
    let degrees = options.degrees_column.as_deref();
    table.degrees = degrees.as_ref().map_or(table.degrees, std::slice::from_ref);
    let station = options.station_column.as_deref();
    table.station = station.as_ref().map_or(table.station, std::slice::from_ref);
    let date_pattern = options.date_format.as_deref().map(pattern);
    table.date_form = date_pattern.as_deref().map_or(table.date_form, DateForm::of_pattern);
    table.unit = options.unit.map_or(table.unit, UnitRule::Is);
    let mut reader = Reader::new(&table, options, head, start);
    reader.read(Rows::new(collected.name, bytes, start.delimiter), start, collected)
}

/// The columns that the user names for the date: one, or year, month and day.
fn date_columns(options: &Options) -> Vec<&str> {
    options.date_column.iter().flat_map(|columns| columns.split(',')).map(str::trim).collect()
}

/// Whether a CSV has all columns that the user names.
pub(super) fn fits(head: &[u8], options: &Options) -> bool {
    let mut columns = date_columns(options);
    columns.extend(options.degrees_column.as_deref());
    find_header(head, &columns, options).is_some_and(|start| {
        let line = lines(head).nth(start.lines as usize).map(|(_, line)| line);
        let fields = fields(line.unwrap_or_default(), start.delimiter);
        columns.iter().all(|column| fields.iter().any(|field| is_named(field, &[column])))
    })
}

/// Reads any CSV with a header: the user says which columns hold the date and the temperature, and in which unit. almanac
/// guesses none of them: nobody would notice a wrong guess.
pub(super) fn read_any<'a>(
    bytes: impl Read,
    head: &[u8],
    options: &'a Options,
    collected: &mut Collected<'a>,
) -> Result<(), SourceError> {
    let missing = |flag, value| SourceError::MissingFlag { name: collected.name.to_owned(), flag, value };
    let mut columns = date_columns(options);
    if columns.is_empty() {
        return Err(missing("--date-column", "NAME"));
    }
    columns.push(options.degrees_column.as_deref().ok_or_else(|| missing("--degrees-column", "NAME"))?);
    let unit = options.unit.ok_or_else(|| missing("--unit", "c`, `--unit f` or `--unit tenths-c"))?;
    let start = find_header(head, &columns, options).or_else(|| likely_header(head, options));
    let lines = options.skip_lines.unwrap_or(0);
    let start = start.unwrap_or(Start { delimiter: b',', lines, length: 0, is_header: true });
    let table = Table {
        unit: UnitRule::Is(unit),
        missing: &["-9999"],
        station: STATION_NAMES,
        latitude: &["latitude", "lat"],
        longitude: &["longitude", "lon", "lng", "long"],
        elevation: &["elevation", "altitude"],
        ..PLAIN
    };
    read(bytes, head, &table, &start, options, collected)
}

/// A column of a CSV that nobody named.
struct Other {
    index: usize,
    name: String,
    first: Vec<u8>,
    /// Whether it has several texts, none of them a number.
    differs: bool,
    is_text: bool,
}

struct Reader<'t> {
    table: &'t Table<'t>,
    options: &'t Options,
    marks: Marks,
    facts: Facts,
    /// How far local time is ahead of UTC, in seconds.
    offset: i64,
    /// The headers that came, and which of them is that of the rows now. None in a section without temperatures.
    headers: Vec<Columns>,
    current: Option<usize>,
    /// The last header of a section without temperatures, as an error.
    without: Option<SourceError>,
    evidence: Evidence,
    others: Vec<Other>,
    told: Result<(), String>,
}

impl<'t> Reader<'t> {
    fn new(table: &'t Table<'t>, options: &'t Options, head: &[u8], start: &Start) -> Reader<'t> {
        let mut facts = Facts::default();
        let before = head.get(..start.length).unwrap_or_default();
        for (_, line) in lines(before) {
            facts.push(fields(line, start.delimiter).into_iter());
        }
        let told = match table.told_by {
            Some(text) if memchr::memmem::find(before, text.as_bytes()).is_none() => {
                let line = lines(before)
                    .map(|(_, line)| line)
                    .filter(|line| line.starts_with(b"Lufttemperatur"))
                    .last();
                Err(shown(line.unwrap_or_default()))
            }
            _ => Ok(()),
        };
        let marks = options.missing.iter().map(String::as_str).chain(table.missing.iter().copied());
        Reader {
            table,
            options,
            marks: Marks::new(marks),
            facts,
            offset: 0,
            headers: Vec::new(),
            current: None,
            without: None,
            evidence: Evidence::new(),
            others: Vec::new(),
            told,
        }
    }

    fn read(
        &mut self,
        mut rows: Rows<impl Read>,
        start: &Start,
        collected: &mut Collected,
    ) -> Result<(), SourceError> {
        if let Err(found) = &self.told {
            let (name, hint) = (collected.name.to_owned(), self.table.advice.to_owned());
            return Err(SourceError::NoMaxima { name, found: found.clone(), hint });
        }
        rows.skip_lines(start.lines)?;
        if start.is_header {
            if let Some(row) = rows.next_header()? {
                self.first_header(&row)?;
            }
        } else if let Some(bare) = self.table.bare {
            let fields: Vec<&[u8]> = bare.columns.iter().map(|column| column.as_bytes()).collect();
            self.headers.extend(Columns::of(self.table, &fields)?);
            self.current = Some(0);
        }
        while let Some(row) = rows.next()? {
            self.row(&row, collected)?;
        }
        match self.without.take() {
            Some(error) if self.headers.is_empty() => return Err(error),
            _ => {}
        }
        let is_bulk = self.headers.iter().all(|columns| columns.is_bulk);
        self.evidence.decide(self.table, self.options, is_bulk, collected)?;
        self.refuse_places(collected)
    }

    fn first_header(&mut self, row: &Row) -> Result<(), SourceError> {
        if self.table.has_sections && !is_header(self.table, row) {
            self.facts.push(row.fields());
            return Ok(());
        }
        self.take_header(row, true).map(drop)
    }

    /// Takes a row for a header, if it is one or the first. A header may come again, also with other columns.
    fn take_header(&mut self, row: &Row, is_first: bool) -> Result<bool, SourceError> {
        if !is_first && !is_header(self.table, row) {
            return Ok(false);
        }
        let fields: Vec<&[u8]> = row.fields().collect();
        let columns = Columns::of(self.table, &fields);
        match columns.and_then(|columns| columns.ok_or_else(|| no_column(self.table, self.options, row))) {
            Ok(columns) => {
                if self.table.format == InputFormat::Csv && self.headers.is_empty() {
                    self.watch_others(row, &columns);
                }
                self.current = Some(self.headers.len());
                self.headers.push(columns);
            }
            Err(error @ SourceError::MissingColumn { .. }) if self.table.has_sections => {
                self.current = None;
                self.without = Some(error);
            }
            Err(error) => return Err(placed(error, row)),
        }
        Ok(true)
    }

    #[inline]
    fn row(&mut self, row: &Row, collected: &mut Collected) -> Result<(), SourceError> {
        let Some(columns) = self.current.and_then(|current| self.headers.get(current)) else {
            return self.row_outside(row);
        };
        if row.len() != columns.count && !(self.table.is_ragged && row.len() > columns.last) {
            return self.row_of_other_length(row, collected);
        }
        if let (Some(element), Some((_, wanted))) = (columns.element, self.table.element)
            && row.field(element) != wanted
        {
            return Ok(());
        }
        match self.want(columns, row, collected) {
            Want::Yes => {}
            Want::No => return Ok(()),
            Want::New => {
                if self.take_header(row, false)? || !self.note(row, collected)? {
                    return Ok(());
                }
            }
        }
        if self.value(row, collected)? || self.take_header(row, false)? {
            return Ok(());
        }
        Err(self.invalid(row))
    }

    /// The columns of the rows now.
    fn now(&self) -> Option<&Columns> {
        self.current.and_then(|current| self.headers.get(current))
    }

    #[inline]
    fn want(&self, columns: &Columns, row: &Row, collected: &mut Collected) -> Want {
        match columns.station {
            Some(station) => collected.want(row.field(station)),
            None => collected.want(b""),
        }
    }

    /// A row before the first header, or in a section without temperatures.
    fn row_outside(&mut self, row: &Row) -> Result<(), SourceError> {
        if !self.take_header(row, false)? && self.headers.is_empty() && self.without.is_none() {
            self.facts.push(row.fields());
        }
        Ok(())
    }

    /// A header with other columns, or a row of a header before the last.
    fn row_of_other_length(&mut self, row: &Row, collected: &mut Collected) -> Result<(), SourceError> {
        if self.take_header(row, false)? {
            return Ok(());
        }
        let before = self.headers.iter().rposition(|columns| columns.count == row.len());
        match before {
            Some(before) if !self.table.has_sections && before + 1 < self.headers.len() => {
                let current = self.current.replace(before);
                let read = self.row(row, collected);
                self.current = current;
                read
            }
            _ => Err(row.wrong_length(self.now().map_or(0, |columns| columns.count))),
        }
    }

    /// Notes the station of a row that was not seen before; whether its rows are read.
    fn note(&mut self, row: &Row, collected: &mut Collected) -> Result<bool, SourceError> {
        let Some(columns) = self.now() else { return Ok(false) };
        let station = columns.station.map_or(b"".as_slice(), |station| row.field(station));
        let is_told = self.facts.get(self.table.station, b"").map(str::as_bytes) == collected.wanted();
        if columns.station.is_none() && !is_told && collected.wanted().is_some() {
            return Err(SourceError::NoStations { name: row.name.to_owned() });
        }
        if !collected.note(station)? {
            return Ok(false);
        }
        let fact = |names: Names| self.facts.get(names, station);
        let field = |index: usize| {
            let index = columns.place.get(index).copied().flatten()?;
            Some(clean(row.field(index))).filter(|field| !field.is_empty())
        };
        let text = |index, names| field(index).or_else(|| fact(names).map(str::to_owned));
        let number = |index, names| text(index, names).and_then(|text| leading_number(&text));
        let place = &mut collected.place;
        let table = self.table;
        place.name = text(0, table.name);
        place.latitude = number(1, table.latitude);
        place.longitude = number(2, table.longitude);
        place.elevation = number(3, table.elevation);
        table.credit.name_in(place);
        place.station = match (table.format, place.latitude, place.longitude) {
            (InputFormat::OpenMeteoCsv, Some(latitude), Some(longitude)) => format!("{latitude},{longitude}"),
            _ if columns.station.is_none() => fact(table.station).unwrap_or_default().to_owned(),
            _ => clean(station),
        };
        self.offset = fact(&["utc_offset_seconds"]).and_then(|offset| offset.parse().ok()).unwrap_or(0);
        Ok(true)
    }

    /// Reads the value of a row; false if it is none, or its date.
    #[inline]
    fn value(&mut self, row: &Row, collected: &mut Collected) -> Result<bool, SourceError> {
        let Some(columns) = self.current.and_then(|current| self.headers.get(current)) else {
            return Ok(true);
        };
        if self.table.ends_lines && !row.is_ended && columns.degrees + 1 == columns.count {
            return Err(row.cut_off());
        }
        let text = row.field(columns.degrees);
        if is_missing_word(text) || self.marks.has_word(text) {
            collected.account.missing += 1;
            return Ok(true);
        }
        let Some(number) = parse_number(text, self.options.decimal) else { return Ok(false) };
        if self.marks.has_number(number) {
            collected.account.missing += 1;
            return Ok(true);
        }
        let Ok(date) = self.date(columns, row) else { return Ok(false) };
        if columns.is_whole && number.fract() != 0.0 {
            return Ok(false);
        }
        for other in &mut self.others {
            other.see(row);
        }
        let is_flagged = self.is_flagged(columns, row);
        if is_flagged && !collected.keep_flagged {
            collected.account.flagged += 1;
            return Ok(true);
        }
        match columns.unit {
            Some(unit) => {
                let degrees = unit.to_celsius(number);
                if !self.is_plausible(degrees) {
                    return Err(self.implausible(columns, row, degrees));
                }
                collected.add(row.line, date, degrees);
            }
            None => {
                // A value that failed a quality check may be anything.
                if !is_flagged {
                    self.evidence.see(number, row.raw(columns.degrees).len());
                }
                collected.add(row.line, date, number);
            }
        }
        Ok(true)
    }

    #[inline]
    fn date(&self, columns: &Columns, row: &Row) -> Result<Date, NoDate> {
        if !columns.has_three {
            return self.table.date_form.parse(row.field(columns.date[0]), self.offset);
        }
        let [year, month, day] = columns.date.map(|index| {
            let text = row.field(index);
            let is_number = !text.is_empty() && text.len() <= 4 && text.iter().all(u8::is_ascii_digit);
            is_number.then(|| text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
        });
        year.zip(month)
            .zip(day)
            .and_then(|((year, month), day)| date_of(year, month, day))
            .ok_or(NoDate::Invalid)
    }

    #[inline]
    fn is_flagged(&self, columns: &Columns, row: &Row) -> bool {
        let Some(index) = columns.flag else { return false };
        let flag = row.field(index);
        let is_one = |flags: Names| flags.iter().any(|known| flag == known.as_bytes());
        match self.table.flag {
            Flag::None => false,
            Flag::Set(_) => !flag.is_empty(),
            Flag::Part(_, part) => {
                flag.split(|byte| *byte == b',').nth(part).is_some_and(|flag| !flag.trim_ascii().is_empty())
            }
            Flag::OneOf(_, flags) => is_one(flags),
            Flag::NoneOf(_, flags) => !is_one(flags),
        }
    }

    /// Whether nobody is surprised at such a temperature.
    #[inline]
    fn is_plausible(&self, degrees: f64) -> bool {
        let Plausible { min, max } = self.options.plausible;
        (min..=max).contains(&degrees) && !(self.is_unknown() && is_suspicious(degrees))
    }

    /// Whether it is a CSV whose marks for missing values nobody knows.
    fn is_unknown(&self) -> bool {
        self.table.format == InputFormat::Csv && self.options.plausible == Plausible::default()
    }

    fn implausible(&self, columns: &Columns, row: &Row, degrees: f64) -> SourceError {
        let (name, found) = (row.name.to_owned(), shown(row.field(columns.degrees)));
        let place = row.place(columns.degrees, &columns.degrees_name);
        let Plausible { min, max } = self.options.plausible;
        if (min..=max).contains(&degrees) {
            return SourceError::Suspicious { name, place, found };
        }
        SourceError::Implausible { name, place, found, degrees, min, max }
    }

    /// Why a row has no value.
    fn invalid(&self, row: &Row) -> SourceError {
        let Some(columns) = self.now() else { return row.wrong_length(0) };
        let number = parse_number(row.field(columns.degrees), self.options.decimal);
        let name = columns.shown_name(self.table);
        if columns.is_whole && number.is_none_or(|number| number.fract() != 0.0) {
            return row.invalid(columns.degrees, name, EXPECTED_TENTHS);
        }
        if number.is_none() {
            return row.invalid(columns.degrees, name, "a temperature");
        }
        let names = match self.table.date {
            Dates::Column(names) | Dates::Columns([.., names]) => names,
        };
        let (index, date) = (columns.date[0], names.first().unwrap_or(&""));
        if columns.has_three {
            return row.invalid(columns.date[2], date, "a day of that month");
        }
        let (name, place, found) = (row.name.to_owned(), row.place(index, date), shown(row.field(index)));
        match self.date(columns, row) {
            Err(NoDate::Ambiguous) => SourceError::AmbiguousDate { name, place, found },
            Err(NoDate::Hour) => {
                SourceError::Hourly { name, place, found, hint: self.table.advice.to_owned() }
            }
            _ if self.options.date_format.is_some() => {
                row.invalid(index, date, "a day as `--date-format` says")
            }
            _ => row.invalid(index, date, EXPECTED_DAY),
        }
    }

    /// Notes the columns that may name several places.
    fn watch_others(&mut self, header: &Row, columns: &Columns) {
        if columns.station.is_some() {
            return;
        }
        let is_read = |index: &usize| columns.date.contains(index) || columns.degrees == *index;
        self.others = (0..header.len())
            .filter(|index| !is_read(index))
            .map(|index| Other {
                index,
                name: clean(header.field(index)),
                first: Vec::new(),
                differs: false,
                is_text: true,
            })
            .collect();
    }

    /// Refuses a CSV that most likely holds several places: most days have several values, and a text tells them apart.
    fn refuse_places(&self, collected: &Collected) -> Result<(), SourceError> {
        let (contradictions, days) = (collected.account.contradictions, collected.days());
        let column = self.others.iter().find(|other| other.differs && other.is_text);
        match column {
            Some(other) if contradictions * 2 > days => Err(SourceError::LikelyPlaces {
                name: collected.name.to_owned(),
                contradictions,
                days,
                column: other.name.clone(),
            }),
            _ => Ok(()),
        }
    }
}

impl Other {
    fn see(&mut self, row: &Row) {
        let field = row.field(self.index);
        if field.is_empty() || self.differs && !self.is_text {
            return;
        }
        self.is_text &= parse_number(field, super::numbers::Decimal::Either).is_none();
        if self.first.is_empty() {
            self.first = field.to_owned();
        }
        self.differs |= self.first != field;
    }
}
