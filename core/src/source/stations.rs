//! The reports of one station out of a file that may hold several.

use std::collections::BTreeSet;

use super::error::{SourceError, listed};
use super::options::Options;
use super::weather::Weather;
use crate::place::Place;
use crate::report::Report;

/// The days from 0001-01-01 to 9999-12-31: no file of daily weather has more reports of one station.
const REPORTS_MAX: usize = 3_652_059;

/// How many bytes the names of stations may have together. Those of all that there are in GHCN-Daily have 2 MB.
const NAMES_LENGTH_MAX: usize = 64 << 20;

/// Collects the reports of the station that was asked for, and remembers which others there are.
pub(super) struct Stations<'a> {
    name: &'a str,
    /// The station that was asked for; without it, the file may hold only one.
    wanted: Option<&'a str>,
    keep_flagged: bool,
    /// What the file says of the place. A parser of files with station IDs says so by [`Stations::stamp`].
    pub(super) place: Place,
    has_ids: bool,
    seen: BTreeSet<Vec<u8>>,
    /// How many bytes the names in `seen` have.
    names_length: usize,
    reports: Vec<Report>,
    flagged: usize,
}

impl<'a> Stations<'a> {
    pub(super) fn new(name: &'a str, options: &'a Options) -> Stations<'a> {
        Stations {
            name,
            wanted: options.station.as_deref(),
            keep_flagged: options.keep_flagged,
            place: Place::default(),
            has_ids: false,
            seen: BTreeSet::new(),
            names_length: 0,
            reports: Vec::new(),
            flagged: 0,
        }
    }

    /// Says that the names of stations are IDs, which the reports will carry.
    pub(super) fn stamp(&mut self) {
        self.has_ids = true;
    }

    /// Notes that `station` has a temperature; whether that is one to read.
    pub(super) fn want(&mut self, station: &[u8]) -> Result<bool, SourceError> {
        if !self.seen.contains(station) {
            // A set costs more than the bytes in it.
            self.names_length += station.len() + size_of::<Vec<u8>>();
            if self.names_length > NAMES_LENGTH_MAX {
                return Err(SourceError::TooManyStations { name: self.name.to_owned(), ids: self.listed() });
            }
            self.seen.insert(station.to_owned());
        }
        Ok(match self.wanted {
            Some(wanted) => wanted.as_bytes() == station,
            // Of a second station only its name is of use, to be listed.
            None => self.seen.len() == 1,
        })
    }

    /// Adds a report, unless its quality flag keeps it out.
    pub(super) fn add(&mut self, report: Report, is_flagged: bool) -> Result<(), SourceError> {
        if is_flagged && !self.keep_flagged {
            self.flagged += 1;
        } else if self.reports.len() < REPORTS_MAX {
            self.reports.push(report);
        } else {
            return Err(SourceError::TooManyReports { name: self.name.to_owned() });
        }
        Ok(())
    }

    /// The reports, if they are of one station and there are any.
    pub(super) fn into_weather(mut self) -> Result<Weather, SourceError> {
        let name = self.name.to_owned();
        if self.has_ids {
            let only = self.wanted.map(str::as_bytes).or(self.seen.first().map(Vec::as_slice));
            self.place.station = String::from_utf8_lossy(only.unwrap_or_default()).into_owned();
        }
        let (count, ids) = (self.seen.len(), self.listed());
        match self.wanted {
            Some(station) if count > 0 && !self.seen.contains(station.as_bytes()) => {
                Err(SourceError::UnknownStation { name, station: station.to_owned(), count, ids })
            }
            None if count > 1 => Err(SourceError::SeveralStations { name, count, ids }),
            _ if !self.reports.is_empty() => Ok(Weather { days: self.reports, place: self.place }),
            _ if self.flagged > 0 => Err(SourceError::OnlyFlagged { name, flagged: self.flagged }),
            _ => Err(SourceError::NoTemperatures { name }),
        }
    }

    fn listed(&self) -> String {
        listed(self.seen.iter().map(Vec::as_slice))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_station_has_no_more_reports_than_the_calendar_has_days() {
        let days = date(9999, 12, 31).since(date(1, 1, 1)).unwrap().get_days();
        assert_eq!(usize::try_from(days).unwrap() + 1, REPORTS_MAX);
        let options = Options::default();
        let mut stations = Stations::new("f.csv", &options);
        let report = Report { date: date(2000, 1, 1), degrees: 1.0 };
        for _ in 0..REPORTS_MAX {
            stations.add(report, false).unwrap();
        }
        let error = stations.add(report, false).unwrap_err();
        assert_eq!(error.to_string(), "f.csv has more temperatures than the calendar has days");
    }

    #[test]
    fn the_names_of_stations_do_not_fill_the_memory() {
        let options = Options::default();
        let mut stations = Stations::new("f.csv", &options);
        let mut name = vec![b'x'; 1 << 20];
        let error = (0..100_u8).find_map(|number| {
            name[0] = number;
            stations.want(&name).err()
        });
        let message = error.unwrap().to_string();
        assert!(message.starts_with("f.csv has more stations than the world: "), "{message}");
        assert!(message.len() < 2000, "{}", message.len());
    }
}
