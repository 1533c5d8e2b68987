//! The sources of weather, read once or again and again: files and web servers.

mod url;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::Offset;

use self::url::{Fetched, Validators, fetch, is_url, shown};
use crate::failure::{Failure, fact};
use crate::lock::locked;
use crate::metrics;
use crate::note;
use crate::report::Report;
use crate::schedule::{Again, News, Schedule};
use crate::source::{Options, SourceError, Weather, expanded, read_file, read_from};
use crate::stop::Stop;

/// The first day of Open-Meteo's archive.
const OPEN_METEO_FIRST: Date = date(1940, 1, 1);

#[derive(Clone, Debug)]
pub enum Input {
    /// Files, directories, patterns, URLs, and `-` for stdin.
    Paths(Vec<PathBuf>),
    /// A station of NOAA's GHCN-Daily.
    Ghcn(String),
    /// A place in Open-Meteo's archive, in degrees.
    OpenMeteo { latitude: f64, longitude: f64 },
}

impl Input {
    /// The sources to read on this day.
    fn paths(&self, today: Date) -> Vec<PathBuf> {
        match self {
            Input::Paths(paths) => paths.clone(),
            Input::Ghcn(station) => {
                let directory = "https://www.ncei.noaa.gov/pub/data/ghcn/daily/by_station";
                vec![format!("{directory}/{station}.csv.gz").into()]
            }
            Input::OpenMeteo { latitude, longitude } => {
                let end = today.yesterday().unwrap_or(today);
                let place = format!("latitude={latitude}&longitude={longitude}");
                let days = format!("start_date={OPEN_METEO_FIRST}&end_date={end}");
                let archive = "https://archive-api.open-meteo.com/v1/archive";
                vec![format!("{archive}?{place}&{days}&daily=temperature_2m_max&timezone=auto").into()]
            }
        }
    }
}

/// An input, with what was last read of each URL.
pub struct Source {
    input: Input,
    options: Options,
    kept: HashMap<String, (Validators, Weather)>,
}

impl Source {
    pub fn new(input: Input, options: Options) -> Source {
        Source { input, options, kept: HashMap::new() }
    }

    /// The weather of all files as one, those in the order of their first days; nothing if no server has anything new.
    ///
    /// # Errors
    ///
    /// If a file can't be read, or they are of several places.
    pub fn read(&mut self) -> Result<Option<Weather>, SourceError> {
        let (mut files, mut kept, mut is_changed) = (Vec::new(), HashMap::new(), false);
        for path in self.input.paths(today()) {
            let Some(url) = path.to_str().filter(|text| is_url(text)) else {
                is_changed = true;
                for path in expanded(&path)? {
                    files.push((path.display().to_string(), read_file(&path, &self.options)?));
                }
                continue;
            };
            let (changed, fetched) = self.fetch(url)?;
            is_changed |= changed;
            files.push((shown(url), fetched.1.clone()));
            kept.insert(url.to_owned(), fetched);
        }
        let weather = Weather::of_files(files, self.options.station_id.as_deref())?;
        self.kept = kept;
        Ok(is_changed.then_some(weather))
    }

    /// The content of a URL, and whether it is new.
    fn fetch(&self, url: &str) -> Result<(bool, (Validators, Weather)), SourceError> {
        let known = self.kept.get(url);
        let validators = known.map_or_else(Validators::default, |(validators, _)| validators.clone());
        match (fetch(url, &validators)?, known) {
            (Fetched::Changed { bytes, validators }, _) => {
                let weather = read_from(&shown(url), io::Cursor::new(bytes), &self.options)?;
                Ok((true, (validators, weather)))
            }
            (Fetched::Unchanged, Some(known)) => Ok((false, known.clone())),
            (Fetched::Unchanged, None) => Err(SourceError::Fetch {
                name: shown(url),
                reason: "the server answers 304 to a first request".to_owned(),
                again: Again::Later,
            }),
        }
    }

    /// Whether it can be read more than once.
    pub fn is_repeatable(&self) -> bool {
        !matches!(&self.input, Input::Paths(paths) if paths.iter().any(|path| path == Path::new("-")))
    }

    /// Its name in messages.
    pub fn name(&self) -> String {
        let shown = |path: &PathBuf| match path.to_str() {
            Some(url) if is_url(url) => shown(url),
            _ => path.display().to_string(),
        };
        self.input.paths(today()).iter().map(shown).collect::<Vec<_>>().join(", ")
    }
}

/// The current day, in UTC.
fn today() -> Date {
    Offset::UTC.to_datetime(Timestamp::now()).date()
}

/// A source that is read again and again.
pub struct Feed {
    source: Source,
    schedule: Schedule,
    name: String,
    /// The first value of each day that was sent, in °C.
    sent: HashMap<Date, f64>,
    /// How many changed days were reported.
    changed: u64,
    health: Arc<Health>,
}

/// How a feed is, for others to see.
#[derive(Debug, Default)]
pub struct Health(Mutex<Seen>);

#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Why it can't be read, since it was read last.
    pub failure: Option<String>,
    pub failures: u64,
    pub answered: Option<Timestamp>,
    /// How many days have another value than the one that was sent.
    pub changed: u64,
}

impl Health {
    pub fn now(&self) -> Seen {
        locked(&self.0).clone()
    }

    /// For Prometheus.
    pub fn metrics(&self) -> String {
        let Seen { failure, failures, answered, changed } = self.now();
        metrics::of_feed(metrics::FeedNumbers { is_failing: failure.is_some(), failures, answered, changed })
    }
}

impl Feed {
    pub fn new(source: Source, every: Duration, health: Arc<Health>) -> Feed {
        let (schedule, name) = (Schedule::new(every), source.name());
        Feed { source, schedule, name, sent: HashMap::new(), changed: 0, health }
    }

    /// The first weather, or nothing if the process is to stop. A server that is away is waited for.
    ///
    /// # Errors
    ///
    /// If somebody has to change something first.
    pub fn begin(&mut self, stop: &Stop) -> Result<Option<Weather>, SourceError> {
        while !stop.is_asked() {
            match self.source.read() {
                Ok(weather) => {
                    self.answered();
                    return Ok(weather);
                }
                Err(error) if again(&error) == Again::Never => return Err(error),
                Err(error) => {
                    let pause = self.failed(&error);
                    stop.wait(pause);
                }
            }
        }
        Ok(None)
    }

    /// Notes the days that the topic has, and their values.
    pub fn note_sent(&mut self, days: impl IntoIterator<Item = (Date, f64)>) {
        for (date, degrees) in days {
            self.sent.entry(date).or_insert(degrees);
        }
    }

    /// Reads the source whenever that is due, and has `send` send its new days, until the process is to stop or `send` fails.
    pub fn follow<E>(
        &mut self,
        stop: &Stop,
        mut send: impl FnMut(Vec<Report>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pause = self.schedule.every;
        while !stop.wait(pause) {
            pause = match self.source.read() {
                Ok(weather) => {
                    let pause = self.answered();
                    if let Some(weather) = weather {
                        self.send_new(weather, &mut send)?;
                    }
                    pause
                }
                Err(error) => self.failed(&error),
            };
        }
        Ok(())
    }

    fn send_new<E>(
        &mut self,
        weather: Weather,
        send: &mut impl FnMut(Vec<Report>) -> Result<(), E>,
    ) -> Result<(), E> {
        let news = News::of(weather.days, &self.sent);
        self.report_changed(&news);
        let dates = || news.days.iter().map(|report| report.date);
        let (Some(first), Some(last)) = (dates().min(), dates().max()) else { return Ok(()) };
        let count = news.days.len();
        self.note_sent(news.days.iter().map(|report| (report.date, report.degrees)).collect::<Vec<_>>());
        send(news.days)?;
        note!("sent {count} new days of {} ({first} to {last})", self.name);
        Ok(())
    }

    /// Warns of the days that have another value now, if those are more than before.
    pub fn report_changed(&mut self, news: &News) {
        locked(&self.health.0).changed = news.changed;
        if let Some((date, first, now)) = news.example.filter(|_| news.changed > self.changed) {
            tracing::warn!(
                "{} days of {} have another value than the one that was sent, such as {date}: {first}, now {now}; \
                 the first value counts",
                news.changed,
                self.name
            );
        }
        self.changed = news.changed;
    }

    /// The new days in the first weather, of which the topic may have some days.
    pub fn news(&self, weather: &Weather) -> News {
        News::of(weather.days.clone(), &self.sent)
    }

    fn answered(&mut self) -> Duration {
        let mut seen = locked(&self.health.0);
        seen.answered = Some(Timestamp::now());
        if seen.failure.take().is_some() {
            note!("{} answers again", self.name);
        }
        self.schedule.answered()
    }

    fn failed(&mut self, error: &SourceError) -> Duration {
        let pause = self.schedule.failed(again(error));
        let mut seen = locked(&self.health.0);
        seen.failures += 1;
        let failure = fact(error);
        if seen.failure.is_none() {
            tracing::warn!(hint = error.hint(), "{failure}; fetching it again in {} s", pause.as_secs());
        }
        seen.failure = Some(failure);
        pause
    }
}

/// Whether reading again may help. A file that is not what it should be may be corrected, but not soon.
fn again(error: &SourceError) -> Again {
    match error {
        SourceError::Fetch { again, .. } => *again,
        SourceError::Open { .. } | SourceError::Read { .. } | SourceError::CutOff { .. } => Again::Later,
        _ => Again::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortcuts_are_addresses_of_the_providers() {
        let today = date(2026, 11, 28);
        for (input, url) in [
            (
                Input::Ghcn("USW00014837".to_owned()),
                "https://www.ncei.noaa.gov/pub/data/ghcn/daily/by_station/USW00014837.csv.gz",
            ),
            (
                Input::OpenMeteo { latitude: 43.07, longitude: -89.4 },
                "https://archive-api.open-meteo.com/v1/archive?latitude=43.07&longitude=-89.4\
                 &start_date=1940-01-01&end_date=2026-11-27&daily=temperature_2m_max&timezone=auto",
            ),
        ] {
            assert_eq!(input.paths(today), [PathBuf::from(url)]);
        }
    }
}
