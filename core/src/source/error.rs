//! Errors in a file, each with its place and a hint.

use std::fmt::Display;
use std::io;

use thiserror::Error;

use super::options::InputFormat;
use crate::choice::Choice;
use crate::failure::{Exit, Failure};
use crate::schedule::Again;
use crate::text::quoted;

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

    #[error("can't get {name}: {reason}")]
    Fetch { name: String, reason: String, again: Again },

    #[error("{name} is cut off: {place}")]
    CutOff { name: String, place: String },

    #[error("the format of {name} is not known: {found}")]
    UnknownFormat { name: String, found: String, hint: String },

    #[error("{name} is read as {}, which `{option}` has no part in", format.name())]
    OptionOfText { name: String, format: InputFormat, option: &'static str },

    #[error("{name} is to be read as csv, but `{flag}` is missing")]
    MissingFlag { name: String, flag: &'static str, value: &'static str },

    #[error("`--station` was given, but {name} has no column of stations that is known")]
    NoStations { name: String },

    #[error("{name} was to be read as {}, but has no header of that format: {found}", format.name())]
    NoHeader { name: String, format: InputFormat, found: String },

    #[error("{name}, line {line}: there is no column {missing:?} among {columns}")]
    MissingColumn { name: String, line: u64, missing: String, columns: String, hint: String },

    #[error("{name}, line {line}: column {column:?} is there {count} times")]
    SameColumns { name: String, line: u64, column: String, count: usize },

    #[error("{name} holds {count} columns of daily maxima: {columns}")]
    SeveralColumns { name: String, count: usize, columns: String },

    #[error("{name} does not say that its values are daily maxima: {found:?}")]
    NoMaxima { name: String, found: String, hint: String },

    #[error(
        "{name} does not say in which unit its temperatures are, and from {min:?} to {max:?} they can be {units}"
    )]
    UnknownUnit { name: String, min: f64, max: f64, units: String, options: String },

    #[error("{name}, {place}: {found:?} may be one of two days")]
    AmbiguousDate { name: String, place: String, found: String },

    #[error("{name}, {place}: {found:?} is an hour, not a day")]
    Hourly { name: String, place: String, found: String, hint: String },

    #[error("{name}, {place}: {found:?} is {degrees} °C, outside {min} to {max} °C")]
    Implausible { name: String, place: String, found: String, degrees: f64, min: f64, max: f64 },

    #[error("{name}, {place}: {found:?} stands for a missing value in many files")]
    Suspicious { name: String, place: String, found: String },

    #[error(
        "{name} has other values for {contradictions} of its {days} days, and its column {column:?} differs"
    )]
    LikelyPlaces { name: String, contradictions: u64, days: u64, column: String },

    #[error("{name} is an archive without a file of daily temperatures: {members}")]
    NoMember { name: String, members: String },

    #[error("{name} is an archive with {count} files of daily temperatures: {members}")]
    SeveralMembers { name: String, count: usize, members: String },

    #[error("can't read the archive {name}: {why}")]
    Archive { name: String, why: String },

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

    #[error("{name} has more than {max} bytes, too many for JSON")]
    LongJson { name: String, max: u64 },

    #[error("{name} has more stations than the world: {ids}")]
    TooManyStations { name: String, ids: String },

    #[error("{name}, {place}: {found:?} is not {expected}")]
    Invalid { name: String, place: String, found: String, expected: &'static str },

    #[error("{name} is not the JSON that {whose} sends: {what}")]
    Json { name: String, whose: &'static str, what: String, hint: Option<&'static str> },

    #[error("{name} holds Open-Meteo's refusal instead of data: {reason}")]
    Refusal { name: String, reason: String },

    #[error("{name} holds {count} stations: {ids}")]
    SeveralStations { name: String, count: usize, ids: String },

    #[error("{name} has no temperatures of station {station:?}; it holds {count} stations: {ids}")]
    UnknownStation { name: String, station: String, count: usize, ids: String },

    #[error("the files hold several places: {}", joined(places))]
    SeveralPlaces { places: Vec<String> },

    #[error("no file in {name}")]
    NoFile { name: String },

    #[error("no temperatures found in {name}")]
    NoTemperatures { name: String },

    #[error("no temperatures found in {name}; {flagged} with a quality flag were left out")]
    OnlyFlagged { name: String, flagged: u64 },
}

impl Failure for SourceError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            SourceError::Fetch { reason, .. } if reason.contains("certificate") => {
                "set SSL_CERT_FILE to a file with the CA of the server's certificate"
            }
            SourceError::Fetch { .. } => return None,
            SourceError::UnknownFormat { hint, .. }
            | SourceError::MissingColumn { hint, .. }
            | SourceError::NoMaxima { hint, .. }
            | SourceError::Hourly { hint, .. } => return Some(hint.clone()),
            SourceError::UnknownUnit { options, .. } => {
                return Some(format!("say which it is with `--unit {options}`"));
            }
            SourceError::AmbiguousDate { .. } => {
                "say which with `--date-format`, for example `--date-format %m/%d/%Y` or `--date-format %d/%m/%Y`"
            }
            SourceError::Implausible { found, .. } => {
                return Some(format!(
                    "if it stands for a missing value, add `--missing {}`, otherwise `--plausible MIN..MAX`",
                    quoted(found)
                ));
            }
            SourceError::Suspicious { found, .. } => {
                return Some(format!(
                    "if it does here, add `--missing {}`, otherwise `--plausible MIN..MAX`",
                    quoted(found)
                ));
            }
            SourceError::LikelyPlaces { column, .. } => {
                return Some(format!(
                    "if it names places, add `--station-column {} --station ID`",
                    quoted(column)
                ));
            }
            SourceError::SeveralColumns { .. } => "pick one with `--degrees-column NAME`",
            SourceError::SeveralMembers { .. } => "unpack it and name one of them",
            SourceError::NoMember { .. } => {
                "unpack it and read the file with `--input-format FORMAT` or `--date-column NAME`"
            }
            SourceError::NoHeader { .. } => "leave `--input-format` out, or name another",
            SourceError::MissingFlag { flag, value, .. } => return Some(format!("add `{flag} {value}`")),
            SourceError::Json { hint, .. } => return hint.map(str::to_owned),
            SourceError::CutOff { .. } => "fetch the file again",
            SourceError::NoStations { .. } => {
                "name it with `--station-column NAME`, or leave `--station` out"
            }
            SourceError::OptionOfText { .. } => "leave it out",
            SourceError::FieldCount { .. } => "if the file is cut off or damaged there, fetch it again",
            SourceError::OpenQuote { .. } => "if the file is cut off, fetch it again",
            SourceError::TextAfterQuote { .. } => "write a quote inside a field as \"\"",
            SourceError::LongJson { .. } => "split it by place",
            SourceError::TooManyStations { .. } => "name the format with `--input-format FORMAT`",
            SourceError::Refusal { .. } => "correct the request and fetch it again",
            SourceError::SeveralPlaces { .. } => {
                "send each place to a topic of its own, or add `--station-id ID` if all are of one place"
            }
            SourceError::SeveralStations { .. } => "pick one with `--station ID`",
            SourceError::UnknownStation { .. } => "pick one of those with `--station ID`",
            SourceError::OnlyFlagged { .. } => "take them nevertheless with `--keep-flagged`",
            SourceError::Open { .. }
            | SourceError::Read { .. }
            | SourceError::LongLine { .. }
            | SourceError::SameColumns { .. }
            | SourceError::Archive { .. }
            | SourceError::Invalid { .. }
            | SourceError::NoFile { .. }
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
pub(super) fn shown(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    match text.char_indices().nth(SHOWN_LENGTH_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into_owned(),
    }
}
