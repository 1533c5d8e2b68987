//! The reports of one station out of a file that may hold several.

use std::collections::BTreeSet;

use super::{Options, SourceError};
use crate::report::Report;

/// How many stations a message lists.
const LISTED_MAX: usize = 20;

/// Collects the reports of the station that was asked for, and remembers which others there are.
pub(super) struct Stations<'a> {
    name: &'a str,
    /// The station that was asked for; without it, the file may hold only one.
    wanted: Option<&'a str>,
    keep_flagged: bool,
    seen: BTreeSet<Vec<u8>>,
    reports: Vec<Report>,
    flagged: usize,
}

impl<'a> Stations<'a> {
    pub(super) fn new(name: &'a str, options: &'a Options) -> Stations<'a> {
        Stations {
            name,
            wanted: options.station.as_deref(),
            keep_flagged: options.keep_flagged,
            seen: BTreeSet::new(),
            reports: Vec::new(),
            flagged: 0,
        }
    }

    /// Notes that `station` has a temperature; whether that is one to read.
    pub(super) fn want(&mut self, station: &[u8]) -> bool {
        if !self.seen.contains(station) {
            self.seen.insert(station.to_owned());
        }
        match self.wanted {
            Some(wanted) => wanted.as_bytes() == station,
            // Of a second station only its name is of use, to be listed.
            None => self.seen.len() == 1,
        }
    }

    /// Adds a report, unless its quality flag keeps it out.
    pub(super) fn add(&mut self, report: Report, is_flagged: bool) {
        if is_flagged && !self.keep_flagged {
            self.flagged += 1;
        } else {
            self.reports.push(report);
        }
    }

    /// The reports, if they are of one station and there are any.
    pub(super) fn into_reports(self) -> Result<Vec<Report>, SourceError> {
        let name = self.name.to_owned();
        let (count, ids) = (self.seen.len(), self.listed());
        match self.wanted {
            Some(station) if count > 0 && !self.seen.contains(station.as_bytes()) => {
                Err(SourceError::UnknownStation { name, station: station.to_owned(), count, ids })
            }
            None if count > 1 => Err(SourceError::SeveralStations { name, count, ids }),
            _ if !self.reports.is_empty() => Ok(self.reports),
            _ if self.flagged > 0 => Err(SourceError::OnlyFlagged { name, flagged: self.flagged }),
            _ => Err(SourceError::NoTemperatures { name }),
        }
    }

    fn listed(&self) -> String {
        let ids = self.seen.iter().take(LISTED_MAX).map(|id| String::from_utf8_lossy(id));
        let more = (self.seen.len() > LISTED_MAX).then(|| "…".into());
        ids.chain(more).collect::<Vec<_>>().join(", ")
    }
}
