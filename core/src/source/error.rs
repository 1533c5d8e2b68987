//! Errors in a file, each with its place and a hint.

use std::fmt::Display;
use std::io;

use thiserror::Error;

use super::options::InputFormat;
use crate::choice::Choice;
use crate::failure::{Exit, Failure};

/// How much of a field is shown; a field can be as long as its file.
const SHOWN_LENGTH_MAX: usize = 40;

/// How many columns, stations and the like a message lists.
const LISTED_MAX: usize = 20;

/// How much of a longer text is shown, of its start and of its end.
const START_LENGTH_MAX: usize = 300;
const END_LENGTH_MAX: usize = 100;

/// Why no reports could be had from a file.
#[derive(Debug, Error)]
pub enum SourceError {
    #[error("can't open {name}")]
    Open { name: String, source: io::Error },

    #[error("can't read {name}")]
    Read { name: String, source: io::Error },

    #[error("{name} is cut off: {place}")]
    CutOff { name: String, place: String },

    #[error("the format of {name} is not known")]
    UnknownFormat { name: String },

    #[error(
        "{name} is to be read as {}, which `--date-column`, `--degrees-column` and `--unit` have no part in",
        format.name()
    )]
    ColumnsOfOtherFormat { name: String, format: InputFormat },

    #[error("{name} is to be read as csv, but `{flag}` is missing")]
    MissingFlag { name: String, flag: &'static str, value: &'static str },

    #[error("`--station` was given, but {name} is to be read as csv, which has no stations")]
    StationOfCsv { name: String },

    #[error("{name}, line {line}: there is no column {missing:?} among {columns}")]
    MissingColumn { name: String, line: u64, missing: String, columns: String, hint: &'static str },

    #[error("{name}, line {line}: {found} fields instead of {expected}")]
    FieldCount { name: String, line: u64, found: usize, expected: usize },

    #[error("{name}, {place}: a quote is opened and never closed")]
    OpenQuote { name: String, place: String },

    #[error("{name}, {place}: there is text behind the closing quote")]
    TextAfterQuote { name: String, place: String },

    #[error(
        "{name}, line {line}: the record there has more than {max} bytes, more than a weather record can have"
    )]
    LongLine { name: String, line: u64, max: usize },

    #[error("{name} has more than {max} bytes, too many for one answer of Open-Meteo")]
    LongJson { name: String, max: u64 },

    #[error("{name} has more temperatures than the calendar has days")]
    TooManyReports { name: String },

    #[error("{name} has more stations than the world: {ids}")]
    TooManyStations { name: String, ids: String },

    #[error("{name}, {place}: {found:?} is not {expected}")]
    Invalid { name: String, place: String, found: String, expected: &'static str },

    #[error("{name} is not the JSON that Open-Meteo sends: {what}")]
    Json { name: String, what: String, hint: Option<&'static str> },

    #[error("{name} holds Open-Meteo's refusal instead of data: {reason}")]
    Refusal { name: String, reason: String },

    #[error("{name} holds {count} stations: {ids}")]
    SeveralStations { name: String, count: usize, ids: String },

    #[error("{name} has no temperatures of station {station:?}; it holds {count} stations: {ids}")]
    UnknownStation { name: String, station: String, count: usize, ids: String },

    #[error("the files hold several places: {}", joined(places))]
    SeveralPlaces { places: Vec<String> },

    #[error("no temperatures found in {name}")]
    NoTemperatures { name: String },

    #[error("no temperatures found in {name}; {flagged} with a quality flag were left out")]
    OnlyFlagged { name: String, flagged: usize },
}

impl Failure for SourceError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            SourceError::UnknownFormat { .. } => {
                return Some(format!(
                    "say which it is with `--input-format` ({}), or what a CSV holds with `--date-column`, \
                     `--degrees-column` and `--unit`",
                    format_names()
                ));
            }
            SourceError::MissingFlag { flag, value, .. } => return Some(format!("add `{flag} {value}`")),
            SourceError::Json { hint, .. } => return hint.map(str::to_owned),
            SourceError::CutOff { .. } => "fetch the file again",
            SourceError::ColumnsOfOtherFormat { .. } => "leave them out, or use `--input-format csv`",
            SourceError::StationOfCsv { .. } => "leave `--station` out",
            SourceError::MissingColumn { hint, .. } => hint,
            SourceError::FieldCount { .. } => "if the file is cut off or damaged there, fetch it again",
            SourceError::OpenQuote { .. } => "if the file is cut off, fetch it again",
            SourceError::TextAfterQuote { .. } => "a quote inside a field is written \"\"",
            SourceError::LongJson { .. } => "split it by place",
            SourceError::TooManyStations { .. } => "`--input-format` says which format it is",
            SourceError::Refusal { .. } => "correct the request and fetch it again",
            SourceError::SeveralStations { .. } => "pick one with `--station ID`",
            SourceError::UnknownStation { .. } => "pick one of those with `--station ID`",
            SourceError::SeveralPlaces { .. } => {
                "send each place to a topic of its own, or add `--station-id ID` if all are of one place"
            }
            SourceError::OnlyFlagged { .. } => "take them nevertheless with `--keep-flagged`",
            SourceError::Open { .. }
            | SourceError::Read { .. }
            | SourceError::LongLine { .. }
            | SourceError::TooManyReports { .. }
            | SourceError::Invalid { .. }
            | SourceError::NoTemperatures { .. } => return None,
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        Exit::Input
    }
}

impl SourceError {
    /// Tells a file that breaks off inside its compressed data from one that can't be read.
    pub(super) fn read(name: &str, error: io::Error) -> SourceError {
        let name = name.to_owned();
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                SourceError::CutOff { name, place: "its compressed data has no end".to_owned() }
            }
            _ => SourceError::Read { name, source: error },
        }
    }

    pub(super) fn invalid(
        name: &str,
        place: impl Display,
        found: &[u8],
        expected: &'static str,
    ) -> SourceError {
        SourceError::Invalid {
            name: name.to_owned(),
            place: place.to_string(),
            found: shown(found),
            expected,
        }
    }
}

/// Fields as a message lists them; their first ones, where there are many.
pub(super) fn listed<'f>(mut fields: impl Iterator<Item = &'f [u8]>) -> String {
    let mut listed: Vec<String> = fields.by_ref().take(LISTED_MAX).map(shown).collect();
    if fields.next().is_some() {
        listed.push("…".to_owned());
    }
    listed.join(", ")
}

/// Texts as a message lists them; their first ones, where there are many.
fn joined(texts: &[String]) -> String {
    let rest = if texts.len() > LISTED_MAX { ", …" } else { "" };
    texts.iter().take(LISTED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ") + rest
}

/// A message that quotes a file, without its middle where it is long: what it is about comes first, its place last.
pub(super) fn shortened(text: &str) -> String {
    let start = text.char_indices().nth(START_LENGTH_MAX).map(|(start, _)| start);
    let end = text.char_indices().rev().nth(END_LENGTH_MAX).map(|(end, _)| end);
    match (start, end) {
        (Some(start), Some(end)) if start < end => {
            let (first, last) = (text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default());
            format!("{first} … {last}")
        }
        _ => text.to_owned(),
    }
}

/// A field as a message shows it.
fn shown(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    match text.char_indices().nth(SHOWN_LENGTH_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into_owned(),
    }
}

fn format_names() -> String {
    let names: Vec<&str> = InputFormat::ALL.iter().map(|(_, name, _)| *name).collect();
    names.join(", ")
}
