//! The content of a file: the days of one station, and an account of every row that is not among them.

use std::collections::HashSet;

use jiff::civil::Date;

use super::error::{SourceError, listed};
use super::options::Options;
use crate::place::{Place, shown_station};
use crate::report::Report;

/// How many bytes the names of stations may have together. Those of all that there are in GHCN-Daily have 2 MB.
const NAMES_LENGTH_MAX: usize = 64 << 20;

/// How many contradictions are listed.
const CONTRADICTIONS_MAX: usize = 5;

/// The days of one station, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weather {
    /// Each day once, in the order of the file.
    pub days: Vec<Report>,
    pub place: Place,
    pub account: Account,
    /// The line of each.
    lines: Vec<u32>,
}

/// The rows of a file that became no report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Without a value.
    pub missing: u64,
    /// With a value that failed a quality check.
    pub flagged: u64,
    /// Of a day that was there before, with the same value.
    pub repeated: u64,
    /// Of a day that was there before, with another value.
    pub contradictions: u64,
    /// The first contradictions.
    pub listed: Vec<Contradiction>,
    /// Of other stations than the one that was asked for.
    pub other_stations: u64,
}

/// A day that has another value later.
#[derive(Clone, Debug, PartialEq)]
pub struct Contradiction {
    /// The file, if there are several.
    pub name: Option<String>,
    /// The line of the value that is left out.
    pub line: u32,
    /// In °C.
    pub first: f64,
    pub then: f64,
}

impl Account {
    /// Notes that a day came again.
    fn come_again(&mut self, first: f64, then: f64, contradiction: impl FnOnce() -> Contradiction) {
        if first == then {
            self.repeated += 1;
            return;
        }
        self.contradictions += 1;
        if self.listed.len() < CONTRADICTIONS_MAX {
            self.listed.push(contradiction());
        }
    }

    fn add(&mut self, other: Account) {
        self.missing += other.missing;
        self.flagged += other.flagged;
        self.repeated += other.repeated;
        self.contradictions += other.contradictions;
        self.other_stations += other.other_stations;
        self.listed.extend(other.listed);
        self.listed.truncate(CONTRADICTIONS_MAX);
    }
}

impl Weather {
    /// The first day.
    pub fn first(&self) -> Option<Date> {
        self.days.iter().map(|report| report.date).min()
    }

    /// The days of several files, each with its name, in the order of their first days. They must be of one place, which
    /// `station_id` says if it is given: files of any place are of that station then. Of a day that comes twice, the first
    /// value counts.
    ///
    /// # Errors
    ///
    /// If they are of several places.
    pub fn of_files(
        mut files: Vec<(String, Weather)>,
        station_id: Option<&str>,
    ) -> Result<Weather, SourceError> {
        refuse_several(&files, station_id)?;
        files.sort_by_key(|(_, file)| file.first());
        if files.len() > 1 {
            for (name, file) in &mut files {
                file.account.listed.iter_mut().for_each(|listed| listed.name = Some(name.clone()));
            }
        }
        let mut files = files.into_iter();
        let Some((_, mut all)) = files.next() else { return Ok(Weather::default()) };
        if let Some(station) = station_id {
            station.clone_into(&mut all.place.station);
        }
        if files.len() == 0 {
            return Ok(all);
        }
        let mut calendar = Calendar::default();
        for (index, report) in all.days.iter().enumerate() {
            calendar.first_of(report.date, index);
        }
        for (name, file) in files {
            all.place.complete(&file.place);
            all.account.add(file.account);
            for (report, line) in file.days.into_iter().zip(file.lines) {
                let Some(first) = calendar.first_of(report.date, all.days.len()) else {
                    all.days.push(report);
                    all.lines.push(line);
                    continue;
                };
                let (first, then) =
                    (all.days.get(first).map_or(report.degrees, |first| first.degrees), report.degrees);
                let name = || Some(name.clone());
                all.account.come_again(first, then, || Contradiction { name: name(), line, first, then });
            }
        }
        Ok(all)
    }
}

/// Refuses files of several places.
fn refuse_several(files: &[(String, Weather)], station_id: Option<&str>) -> Result<(), SourceError> {
    let Some((_, first)) = files.first() else { return Ok(()) };
    let is_other = |file: &Weather| file.place.station != first.place.station;
    if station_id.is_some() || !files.iter().any(|(_, file)| is_other(file)) {
        return Ok(());
    }
    let shown =
        |(name, file): &(String, Weather)| format!("{} in {name}", shown_station(&file.place.station));
    let others = files.iter().filter(|(_, file)| is_other(file)).map(shown);
    let places = files.first().map(shown).into_iter().chain(others).collect();
    Err(SourceError::SeveralPlaces { places })
}

/// The report of each day of the calendar. 15 MB, of which the operating system only provides what is written to.
#[derive(Debug)]
struct Calendar(Vec<u32>);

impl Default for Calendar {
    fn default() -> Calendar {
        Calendar(vec![0; 10_000 * 12 * 31])
    }
}

impl Calendar {
    /// The index that `date` has, or none, and it has `index` from now on.
    #[inline]
    fn first_of(&mut self, date: Date, index: usize) -> Option<usize> {
        let (year, month, day) = (date.year() as usize, date.month() as usize, date.day() as usize);
        let slot = self.0.get_mut((year * 12 + month - 1) * 31 + day - 1)?;
        if *slot > 0 {
            return Some(*slot as usize - 1);
        }
        *slot = u32::try_from(index + 1).unwrap_or(u32::MAX);
        None
    }
}

/// Whether the rows of a station are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Want {
    Yes,
    No,
    /// It was not seen before: say whether it is one with [`Collected::note`].
    New,
}

/// Collects the days of the station that was asked for, and remembers which others there are.
pub(super) struct Collected<'a> {
    pub(super) name: &'a str,
    /// The station that was asked for; without it, the file may hold only one.
    wanted: Option<&'a [u8]>,
    pub(super) keep_flagged: bool,
    seen: HashSet<Box<[u8]>>,
    /// How many bytes the names in `seen` have.
    names_length: usize,
    /// The station whose days are collected.
    station: Option<Box<[u8]>>,
    reports: Vec<Report>,
    lines: Vec<u32>,
    calendar: Calendar,
    pub(super) account: Account,
    pub(super) place: Place,
}

impl<'a> Collected<'a> {
    pub(super) fn new(name: &'a str, options: &'a Options) -> Collected<'a> {
        Collected {
            name,
            wanted: options.station.as_deref().map(str::as_bytes),
            keep_flagged: options.keep_flagged,
            seen: HashSet::new(),
            names_length: 0,
            station: None,
            reports: Vec::new(),
            lines: Vec::new(),
            calendar: Calendar::default(),
            account: Account::default(),
            place: Place::default(),
        }
    }

    /// Whether rows of `station` are read.
    #[inline]
    pub(super) fn want(&mut self, station: &[u8]) -> Want {
        if self.station.as_deref() == Some(station) {
            return Want::Yes;
        }
        // Once the station that was asked for is found, nobody asks for the names of the others.
        if (self.wanted.is_some() && self.station.is_some()) || self.seen.contains(station) {
            self.account.other_stations += 1;
            return Want::No;
        }
        Want::New
    }

    /// Notes a station that was not seen before; whether its rows are read.
    pub(super) fn note(&mut self, station: &[u8]) -> Result<bool, SourceError> {
        // A set costs more than the bytes in it.
        self.names_length += station.len() + size_of::<Vec<u8>>();
        if self.names_length > NAMES_LENGTH_MAX {
            return Err(SourceError::TooManyStations { name: self.name.to_owned(), ids: self.listed() });
        }
        let is_read = match self.wanted {
            // A format without a column of stations holds one, which has no name in the rows.
            Some(wanted) => wanted == station || station.is_empty(),
            // Of a second station only its name is of use, to be listed.
            None => self.seen.is_empty(),
        };
        self.seen.insert(station.into());
        if is_read {
            self.station = Some(station.into());
        } else {
            self.account.other_stations += 1;
        }
        Ok(is_read)
    }

    /// [`Collected::want`] and [`Collected::note`] in one, of a format without headers that look like stations.
    pub(super) fn is_read(&mut self, station: &[u8]) -> Result<bool, SourceError> {
        match self.want(station) {
            Want::New => self.note(station),
            want => Ok(want == Want::Yes),
        }
    }

    /// Adds the value of a day, in any unit. The first of a day counts.
    #[inline]
    pub(super) fn add(&mut self, line: u64, date: Date, degrees: f64) {
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        match self.calendar.first_of(date, self.reports.len()) {
            None => {
                self.reports.push(Report { date, degrees });
                self.lines.push(line);
            }
            Some(first) => {
                let first = self.reports.get(first).map_or(degrees, |report| report.degrees);
                let then = degrees;
                self.account.come_again(first, then, || Contradiction { name: None, line, first, then });
            }
        }
    }

    /// Converts all that was added, once it is known how.
    pub(super) fn convert(&mut self, convert: impl Fn(f64) -> f64) {
        self.reports.iter_mut().for_each(|report| report.degrees = convert(report.degrees));
        for contradiction in &mut self.account.listed {
            contradiction.first = convert(contradiction.first);
            contradiction.then = convert(contradiction.then);
        }
    }

    /// The first value for which `is_it` holds, and its line.
    pub(super) fn find(&self, is_it: impl Fn(f64) -> bool) -> Option<(u32, f64)> {
        let mut values = self.lines.iter().copied().zip(self.reports.iter().map(|report| report.degrees));
        values.find(|(_, degrees)| is_it(*degrees))
    }

    /// The station that was asked for.
    pub(super) fn wanted(&self) -> Option<&'a [u8]> {
        self.wanted
    }

    /// The station whose days are collected, if there is one.
    pub(super) fn station(&self) -> Option<&[u8]> {
        self.station.as_deref()
    }

    pub(super) fn days(&self) -> u64 {
        self.reports.len() as u64
    }

    /// The days, if they are of one station and there are any.
    pub(super) fn into_weather(mut self) -> Result<Weather, SourceError> {
        let name = self.name.to_owned();
        let count = self.seen.len();
        match self.wanted {
            Some(station) if self.station.is_none() && count > 0 => {
                let station = String::from_utf8_lossy(station).into_owned();
                return Err(SourceError::UnknownStation { name, station, count, ids: self.listed() });
            }
            None if count > 1 => {
                return Err(SourceError::SeveralStations { name, count, ids: self.listed() });
            }
            _ => {}
        }
        if self.reports.is_empty() {
            return Err(match self.account.flagged {
                0 => SourceError::NoTemperatures { name },
                flagged => SourceError::OnlyFlagged { name, flagged },
            });
        }
        if self.place.station.is_empty() {
            self.place.station = self
                .station()
                .map(|station| String::from_utf8_lossy(station).into_owned())
                .unwrap_or_default();
        }
        let Collected { reports, lines, account, place, .. } = self;
        Ok(Weather { days: reports, place: place.cleaned(), account, lines })
    }

    fn listed(&self) -> String {
        let mut stations: Vec<&[u8]> = self.seen.iter().map(|station| &**station).collect();
        stations.sort_unstable();
        listed(stations.into_iter())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::failure::told;

    #[test]
    fn the_first_value_of_a_day_counts_and_the_rest_is_accounted_for() {
        let options = Options::default();
        let mut collected = Collected::new("f.csv", &options);
        for (line, day, degrees) in [(1, 1, 4.0), (2, 2, 5.0), (3, 1, 4.0), (4, 1, 5.0), (5, 31, 0.0)] {
            collected.add(line, date(2000, 1, day), degrees);
        }
        let weather = collected.into_weather().unwrap();
        assert_eq!(weather.days.iter().map(|report| report.degrees).collect::<Vec<_>>(), [4.0, 5.0, 0.0]);
        let contradiction = Contradiction { name: None, line: 4, first: 4.0, then: 5.0 };
        let expected =
            Account { repeated: 1, contradictions: 1, listed: vec![contradiction], ..Account::default() };
        assert_eq!(weather.account, expected);
    }

    #[test]
    fn every_day_of_the_calendar_has_its_slot() {
        let mut days = Calendar::default();
        let dates =
            date(1, 1, 1).series(jiff::Span::new().days(1)).take_while(|day| *day < date(9999, 12, 31));
        let mut count = 0;
        for (index, day) in dates.chain([date(9999, 12, 31)]).enumerate() {
            assert_eq!(days.first_of(day, index), None, "{day}");
            count += 1;
        }
        assert_eq!(count, 3_652_059);
        assert_eq!(days.first_of(date(9999, 12, 31), 0), Some(count - 1));
    }

    fn file(name: &'static str, station: &str, days: &[(i8, f64)]) -> (String, Weather) {
        let options = Options::default();
        let mut collected = Collected::new(name, &options);
        for (line, (day, degrees)) in (1..).zip(days) {
            collected.add(line, date(2000, 1, *day), *degrees);
        }
        collected.place = Place { name: Some(format!("of {name}")), ..Place::of(station) };
        (name.to_owned(), collected.into_weather().unwrap())
    }

    #[test]
    fn files_are_joined_by_their_first_days() {
        let (a, b) = (&[(1, 1.0), (2, 2.0), (3, 9.0)], &[(2, 2.0), (3, 3.0), (4, 4.0)]);
        let joined = Weather::of_files(vec![file("b", "", b), file("a", "", a)], None).unwrap();
        assert_eq!(joined.days.iter().map(|report| report.degrees).collect::<Vec<_>>(), [1.0, 2.0, 9.0, 4.0]);
        assert_eq!((joined.account.repeated, joined.account.contradictions), (1, 1));
        let contradiction = Contradiction { name: Some("b".to_owned()), line: 2, first: 9.0, then: 3.0 };
        assert_eq!(joined.account.listed, [contradiction]);
    }

    #[test]
    fn files_of_several_places_are_refused_and_listed() {
        let day = &[(1, 1.0)];
        let files = || {
            ["a.csv", "b.dly", "c.csv", "d.csv"]
                .into_iter()
                .zip(["", "B", "", "43.1,-89.4"])
                .map(|(name, station)| file(name, station, day))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            told(&Weather::of_files(files(), None).unwrap_err()),
            "the files hold several places: no station in a.csv, station \"B\" in b.dly, station \"43.1,-89.4\" in d.csv\n\
             hint: send each place to a topic of its own, or add `--station-id ID` if all are of one place"
        );
        let all = Weather::of_files(files(), Some("X")).unwrap();
        assert_eq!((&*all.place.station, all.place.name.as_deref()), ("X", Some("of d.csv")));
        let same = Weather::of_files(vec![file("b.dly", "B", day), file("b.csv", "B", day)], None).unwrap();
        assert_eq!(same.place.station, "B");
        let none = Weather::of_files(vec![file("b.dly", "B", day)], Some("")).unwrap();
        assert_eq!(none.place.station, "");
    }

    #[test]
    fn the_names_of_stations_do_not_fill_the_memory() {
        let options = Options::default();
        let mut collected = Collected::new("f.csv", &options);
        let mut name = vec![b'x'; 1 << 20];
        let error = (0..100_u8).find_map(|number| {
            name[0] = number;
            collected.note(&name).err()
        });
        let message = error.unwrap().to_string();
        assert!(message.starts_with("f.csv has more stations than the world: "), "{message}");
        assert!(message.len() < 2000, "{}", message.len());
    }
}
