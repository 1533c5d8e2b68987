//! The first lines of a file: they say its format, its separator, and where its header is.

use super::dly::is_dly;
use super::error::{SourceError, shown};
use super::formats::{TABLES, Table, clean, is_called, unit_in_header};
use super::numbers::{Decimal, parse_number};
use super::options::{InputFormat, Options, Unit};
use super::rows::split;
use crate::choice::Choice;
use crate::text::quoted;

/// The separators of fields, the likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The lines that are searched for a header.
const LINES_MAX: usize = 500;

/// The place of the header of delimited text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Start {
    pub(super) delimiter: u8,
    /// How many lines are before the header.
    pub(super) lines: u64,
    /// How many bytes they have.
    pub(super) length: usize,
    /// Whether that line is a header, and not the first row.
    pub(super) is_header: bool,
}

/// How a file is to be read.
pub(super) enum Found {
    Table(&'static Table<'static>, Start),
    Dly,
    NoaaJson,
    OpenMeteoJson,
}

impl Found {
    pub(super) fn format(&self) -> InputFormat {
        match self {
            Found::Table(table, _) => table.format,
            Found::Dly => InputFormat::GhcnDly,
            Found::NoaaJson => InputFormat::NoaaJson,
            Found::OpenMeteoJson => InputFormat::OpenMeteoJson,
        }
    }
}

/// The lines of a file's first bytes, with the place of each.
pub(super) fn lines(head: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    head.split(|byte| *byte == b'\n').map(move |line| {
        let start = at;
        at += line.len() + 1;
        (start, line.trim_ascii())
    })
}

/// The fields of a line, unquoted.
pub(super) fn fields(line: &[u8], delimiter: u8) -> Vec<&[u8]> {
    let mut bounds = Vec::new();
    let mut fields = Vec::new();
    if !split(line, delimiter, &mut bounds) {
        fields
            .extend(bounds.iter().filter_map(|(start, end)| line.get(*start..*end)).map(<[u8]>::trim_ascii));
        return fields;
    }
    // Delimiters within quotes are none.
    let (mut start, mut is_open) = (0, false);
    for (at, byte) in line.iter().enumerate() {
        is_open ^= *byte == b'"';
        if *byte == delimiter && !is_open {
            fields.push(unquoted(line.get(start..at).unwrap_or_default()));
            start = at + 1;
        }
    }
    fields.push(unquoted(line.get(start..).unwrap_or_default()));
    fields
}

fn unquoted(field: &[u8]) -> &[u8] {
    let field = field.trim_ascii();
    field.strip_prefix(b"\"").and_then(|field| field.strip_suffix(b"\"")).unwrap_or(field).trim_ascii()
}

/// Recognises a file by its first bytes; only as `format`, if one is given.
pub(super) fn recognise(head: &[u8], format: Option<InputFormat>, options: &Options) -> Option<Found> {
    let is_asked = |other: InputFormat| format.is_none_or(|format| format == other);
    let (_, first) = lines(head).find(|(_, line)| !line.is_empty())?;
    if matches!(first, [b'{' | b'[', ..]) {
        let is_noaa = memchr::memmem::find(head, b"\"STATION\"").is_some();
        return match is_noaa {
            true if is_asked(InputFormat::NoaaJson) => Some(Found::NoaaJson),
            _ if is_asked(InputFormat::OpenMeteoJson) => Some(Found::OpenMeteoJson),
            _ => None,
        };
    }
    if is_dly(first) && is_asked(InputFormat::GhcnDly) {
        return Some(Found::Dly);
    }
    let delimiters: &[u8] = options.delimiter.as_ref().map_or(&DELIMITERS, std::slice::from_ref);
    let skipped = usize::try_from(options.skip_lines.unwrap_or(0)).unwrap_or(usize::MAX);
    let mut is_first = true;
    for (number, (length, line)) in lines(head).enumerate().skip(skipped).take(LINES_MAX) {
        if line.is_empty() {
            continue;
        }
        for delimiter in delimiters {
            let fields = fields(line, *delimiter);
            if fields.len() < 2 {
                continue;
            }
            let names: Vec<String> = fields.iter().map(|field| clean(field)).collect();
            let start = |is_header| Start { delimiter: *delimiter, lines: number as u64, length, is_header };
            for table in TABLES.iter().filter(|table| is_asked(table.format)) {
                if has_header(&names, table) {
                    return Some(Found::Table(table, start(true)));
                }
                if is_first && table.bare.is_some_and(|bare| (bare.fits)(&fields)) {
                    return Some(Found::Table(table, start(false)));
                }
            }
        }
        is_first = false;
    }
    None
}

/// Whether the fields are those of the table's header.
fn has_header(fields: &[String], table: &Table) -> bool {
    !table.header.is_empty()
        && table.header.iter().all(|names| fields.iter().any(|field| is_called(field, names)))
}

/// The header of a CSV whose columns are named: the first line with all of them.
pub(super) fn find_header(head: &[u8], columns: &[&str], options: &Options) -> Option<Start> {
    let delimiters: &[u8] = options.delimiter.as_ref().map_or(&DELIMITERS, std::slice::from_ref);
    let skipped = usize::try_from(options.skip_lines.unwrap_or(0)).unwrap_or(usize::MAX);
    let with = |wanted: usize| {
        lines(head).enumerate().skip(skipped).take(LINES_MAX).find_map(|(number, (length, line))| {
            delimiters.iter().find_map(|delimiter| {
                let fields: Vec<String> = fields(line, *delimiter).into_iter().map(clean).collect();
                let found =
                    columns.iter().filter(|column| fields.iter().any(|field| is_called(field, &[column])));
                let start = || Start { delimiter: *delimiter, lines: number as u64, length, is_header: true };
                (found.count() >= wanted).then(start)
            })
        })
    };
    // With a column less, the error says which one is not there.
    with(columns.len()).or_else(|| with(1))
}

/// The likeliest header: the first line with the most fields, and their separator.
pub(super) fn likely_header(head: &[u8], options: &Options) -> Option<Start> {
    let delimiters: &[u8] = options.delimiter.as_ref().map_or(&DELIMITERS, std::slice::from_ref);
    let skipped = usize::try_from(options.skip_lines.unwrap_or(0)).unwrap_or(usize::MAX);
    let mut best: Option<(usize, Start)> = None;
    for (number, (length, line)) in lines(head).enumerate().skip(skipped).take(LINES_MAX) {
        if line.starts_with(b"#") {
            continue;
        }
        for delimiter in delimiters {
            let count = fields(line, *delimiter).len();
            if count > best.as_ref().map_or(1, |(most, _)| *most) {
                let start = Start { delimiter: *delimiter, lines: number as u64, length, is_header: true };
                best = Some((count, start));
            }
        }
    }
    best.map(|(_, start)| start)
}

/// The error that a file is not in the format that was asked for.
pub(super) fn no_header(name: &str, head: &[u8], format: InputFormat, options: &Options) -> SourceError {
    let found = match likely_header(head, options) {
        Some(start) => format!("its first line of fields is {}", joined(head, &start)),
        None => format!("its first line is {:?}", first_line(head)),
    };
    SourceError::NoHeader { name: name.to_owned(), format, found }
}

/// The error that the format of a file is not known: what was found, and the command that would read it.
pub(super) fn unknown(name: &str, head: &[u8], options: &Options) -> SourceError {
    let name = name.to_owned();
    let Some(start) = likely_header(head, options) else {
        let found = format!("its first line is {:?}, without a separator", first_line(head));
        let hint = "say what separates its fields with `--delimiter CHARACTER`, or unpack it".to_owned();
        return SourceError::UnknownFormat { name, found, hint };
    };
    let separator = match start.delimiter {
        b'\t' => "tabs".to_owned(),
        other => format!("{:?}", char::from(other).to_string()),
    };
    let found = format!(
        "its header is {} (line {}), separated by {separator}",
        joined(head, &start),
        start.lines + 1
    );
    let hint = Guess::of(head, &start).hint(&name);
    SourceError::UnknownFormat { name, found, hint }
}

fn first_line(head: &[u8]) -> String {
    shown(lines(head).map(|(_, line)| line).find(|line| !line.is_empty()).unwrap_or_default())
}

/// The fields of a header, as they are separated in it; not all of many.
fn joined(head: &[u8], start: &Start) -> String {
    let line = lines(head).nth(start.lines as usize).map(|(_, line)| line).unwrap_or_default();
    let fields: Vec<String> = fields(line, start.delimiter).into_iter().map(clean).collect();
    let text = fields.join(&char::from(start.delimiter).to_string());
    format!("{:?}", super::error::shortened(&text))
}

/// The options that would read a CSV, as far as its first lines say.
struct Guess {
    date: Option<String>,
    degrees: Option<String>,
    unit: Option<Unit>,
    date_format: Option<&'static str>,
}

const DATE_WORDS: [&str; 12] =
    ["date", "day", "time", "datum", "fecha", "data", "jour", "dato", "timestamp", "yyyymmdd", "dag", "tag"];
const MAX_WORDS: [&str; 6] = ["max", "high", "txk", "tx", "hoch", "temp"];

impl Guess {
    fn of(head: &[u8], start: &Start) -> Guess {
        let rows: Vec<Vec<&[u8]>> = lines(head)
            .skip(start.lines as usize)
            .take(LINES_MAX)
            .map(|(_, line)| fields(line, start.delimiter))
            .collect();
        let header: Vec<String> = rows.first().into_iter().flatten().map(|field| clean(field)).collect();
        let with = |words: &[&str]| {
            words.iter().find_map(|word| header.iter().position(|field| field.to_lowercase().contains(word)))
        };
        let (date, degrees) = (with(&DATE_WORDS), with(&MAX_WORDS));
        let values = |index: Option<usize>| {
            rows.iter().skip(1).filter_map(move |row| row.get(index?).copied()).collect::<Vec<_>>()
        };
        let unit = degrees.and_then(|index| unit_in_header(header.get(index)?));
        let unit = unit.or_else(|| {
            let numbers = values(degrees).into_iter().filter_map(|text| parse_number(text, Decimal::Either));
            let most = numbers.filter(|number| number.abs() < 900.0).fold(0.0, f64::max);
            if most > 140.0 { Some(Unit::TenthsC) } else { (most > 60.0).then_some(Unit::Fahrenheit) }
        });
        let name = |index: Option<usize>| index.and_then(|index| header.get(index).cloned());
        Guess { date: name(date), degrees: name(degrees), unit, date_format: pattern_of(&values(date)) }
    }

    fn hint(&self, file: &str) -> String {
        let column = |name: &Option<String>| name.clone().unwrap_or_else(|| "NAME".to_owned());
        let (file, date, degrees) = (quoted(file), column(&self.date), column(&self.degrees));
        let (date, degrees) = (quoted(&date), quoted(&degrees));
        let unit = self.unit.unwrap_or(Unit::Celsius).name();
        let pattern = self.date_format.map_or(String::new(), |pattern| format!(" --date-format {pattern}"));
        format!(
            "check the unit and run `almanac producer --file {file} --date-column {date} --degrees-column {degrees} \
             --unit {unit}{pattern}`"
        )
    }
}

/// The pattern of dates that begin with a day or a month, if one of them tells which.
fn pattern_of(dates: &[&[u8]]) -> Option<&'static str> {
    let numbers = dates.iter().filter_map(|date| {
        let text = str::from_utf8(date).ok()?;
        let separator = text.chars().find(|character| matches!(character, '/' | '.' | '-'))?;
        let mut parts = text.split(separator);
        let (first, second, year) = (parts.next()?, parts.next()?, parts.next()?);
        (year.len() == 4 && first.len() <= 2).then_some((
            separator,
            first.parse().ok()?,
            second.parse().ok()?,
        ))
    });
    let mut numbers =
        numbers.map(|(separator, first, second): (char, u32, u32)| (separator, first > 12, second > 12));
    match numbers.find(|(_, first, second)| *first || *second)? {
        ('/', true, _) => Some("%d/%m/%Y"),
        ('/', false, _) => Some("%m/%d/%Y"),
        ('.', true, _) => Some("%d.%m.%Y"),
        ('-', true, _) => Some("%d-%m-%Y"),
        ('-', false, _) => Some("%m-%d-%Y"),
        _ => Some("%m.%d.%Y"),
    }
}
