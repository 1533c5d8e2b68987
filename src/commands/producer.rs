//! `almanac producer`: sends one day after the other.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

use almanac_core::place::Place;
use anyhow::{Error, Result};
use indicatif::HumanCount;
use jiff::Unit;
use jiff::civil::{Date, date};

use super::account::Rows;
use super::progress::{self, AskOnDrop, Reached};
use super::{Refusal, metrics};
use crate::cli;
use crate::feed::{Feed, Health, Source};
use crate::kafka::Connection;
use crate::note;
use crate::producer::{self, Acknowledged, Prepared, Sender, TopicPlan, Trouble};
use crate::report::Report;
use crate::source::{self, Repeats, Sent, SourceError, Synthetic};
use crate::stop::Stop;

const FIRST_DAY: Date = date(1990, 1, 1);
/// Mean repeats of a day of synthetic weather; real weather is sent as it is.
const DUPLICATES: f64 = 0.05;

pub fn run(options: &cli::Producer) -> Result<()> {
    let stop = Stop::on_signals()?;
    let connection = super::connection(&options.kafka)?;
    let exporter = metrics::bind(options.metrics.listen.as_ref())?;
    let health = Arc::new(Health::default());
    let mut feed = open_feed(&options.files, &health)?;
    if feed.is_some() && !options.append {
        let fact = "--every adds to a topic, and the producer would delete it first";
        return Err(Refusal::usage(fact).hint("add --append").into());
    }
    // Before the topic is touched: a bad file must cost nothing.
    let Some((weather, place)) = Weather::read(&options.files, &options.synthetic, feed.as_mut(), &stop)?
    else {
        return Ok(());
    };
    let plan = TopicPlan {
        topic: options.kafka.topic.clone(),
        partitions: options.partitions,
        replication: options.replication,
        append: options.append,
        recreate: options.recreate,
        station: place.station.clone(),
    };
    // Before the topic is made ready: connecting takes the client half a second, which passes meanwhile.
    let client = Arc::new(Sender::new(&connection, &plan.topic)?.at(&place));
    let trouble = Arc::new(Trouble::default());
    let shown = feed.as_ref().map(|_| &health);
    let numbers = || metrics::Producing::new(&connection, &plan.topic, &client, &trouble, shown);
    let _serving = exporter.map(|exporter| Ok::<_, Error>(exporter.start(numbers()?)?)).transpose()?;
    let prepared = producer::prepare(&connection, &plan, &stop)?;
    tell(&plan, &prepared);
    weather.note_in(feed.as_mut(), &prepared);
    weather.tell_missing(&plan.topic, &prepared.present, &options.pace)?;
    let total = weather.count(&prepared.present, options.pace.days);
    let rows = weather.rows(&prepared.present);
    let reports = weather.reports(prepared.present, &options.pace);
    let interval = options.pace.interval;
    let look = || Some(reached(&client, &trouble, total));
    let send = || {
        watched(&connection, &plan.topic, &client, &trouble, || {
            producer::send_all(&client, reports, interval, &stop)
        })
    };
    let result = progress::with_bar("days", look, send);
    let sent = client.acknowledged();
    match rows {
        None => note!("sent {}", summary(sent)),
        Some(rows) => note!("sent {}", rows.text(sent, &plan.topic)),
    }
    result?;
    let Some(mut feed) = feed else { return Ok(()) };
    Ok(feed.follow(&stop, |days| {
        watched(&connection, &plan.topic, &client, &trouble, || {
            producer::send_all(&client, days.into_iter().map(Sent::first), interval, &stop)
        })
    })?)
}

/// The feed, if the weather is to be read again and again.
pub(super) fn open_feed(files: &cli::Files, health: &Arc<Health>) -> Result<Option<Feed>, Refusal> {
    let (Some(every), Some(input)) = (files.every, files.input()) else { return Ok(None) };
    let source = Source::new(input, files.options());
    match source.is_repeatable() {
        true => Ok(Some(Feed::new(source, every, Arc::clone(health)))),
        false => Err(Refusal::usage("stdin can be read only once").hint("leave --every out")),
    }
}

/// Does `work`, and says meanwhile whether Kafka answers.
pub(super) fn watched<T>(
    connection: &Connection,
    topic: &str,
    client: &Sender,
    trouble: &Trouble,
    work: impl FnOnce() -> T,
) -> T {
    let over = Stop::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            if let Err(error) = producer::watch(connection, topic, client, trouble, &over) {
                tracing::warn!("nobody watches whether Kafka answers: {error}");
            }
        });
        let _guard = AskOnDrop(&over);
        work()
    })
}

/// Says what became of the topic, before anything is sent to it.
pub(super) fn tell(plan: &TopicPlan, prepared: &Prepared) {
    let topic = &plan.topic;
    if let Some((records, newest)) = &prepared.deleted {
        let newest = newest.map_or("no valid report".to_owned(), |date| format!("newest day {date}"));
        note!("deleted topic {topic}: {records} records, {newest}");
    }
    if let Some(newest) = prepared.present.iter().max() {
        note!("topic {topic} has {} days, newest {newest}; sending what is missing", prepared.present.len());
    }
}

fn summary(sent: Acknowledged) -> String {
    let newest = sent.newest.map_or(String::new(), |date| format!(", newest {date}"));
    format!("{} days and {} repeats{newest}", sent.days, sent.repeats)
}

fn reached(client: &Sender, trouble: &Trouble, total: Option<u64>) -> Reached {
    let sent = client.acknowledged();
    let newest = sent.newest.map_or(String::new(), |date| format!("newest {date}"));
    let message = if trouble.now().is_some() { AWAY.to_owned() } else { newest };
    Reached { done: sent.days, total, rate: None, message }
}

/// The text of a bar while Kafka does not acknowledge; the line above it has the cause.
pub(super) const AWAY: &str = "Kafka does not answer; waiting";

/// The source of the reports.
pub(super) enum Weather {
    Synthetic { seed: u64, start: Option<Date> },
    Files(Box<source::Weather>),
}

impl Weather {
    /// The weather, and its place. That of synthetic weather has neither a station nor a name. Nothing if the process is to
    /// stop while a server is away.
    pub(super) fn read(
        files: &cli::Files,
        synthetic: &cli::Synthetic,
        feed: Option<&mut Feed>,
        stop: &Stop,
    ) -> Result<Option<(Self, Place)>, SourceError> {
        let weather = match (files.input(), feed) {
            (None, _) => return Ok(Some((Weather::synthetic(synthetic), Place::default()))),
            (Some(_), Some(feed)) => feed.begin(stop)?,
            (Some(input), None) => Source::new(input, files.options()).read()?,
        };
        Ok(weather.map(|mut weather| {
            weather.place.name = files.place.clone().or(weather.place.name);
            let place = weather.place.clone();
            (Weather::Files(Box::new(weather)), place)
        }))
    }

    /// Tells the feed which days the topic has or is about to have, and warns of those with another value.
    pub(super) fn note_in(&self, feed: Option<&mut Feed>, prepared: &Prepared) {
        let (Weather::Files(weather), Some(feed)) = (self, feed) else { return };
        feed.note_sent(prepared.values.iter().map(|(date, degrees)| (*date, *degrees)));
        feed.report_changed(&feed.news(weather));
        feed.note_sent(weather.days.iter().map(|report| (report.date, report.degrees)));
    }

    /// The account of the files.
    fn rows(&self, present: &HashSet<Date>) -> Option<Rows> {
        let Weather::Files(weather) = self else { return None };
        let present = weather.days.iter().filter(|report| present.contains(&report.date)).count() as u64;
        Some(Rows { account: weather.account.clone(), days: weather.days.len() as u64, present })
    }

    pub(super) fn synthetic(options: &cli::Synthetic) -> Self {
        Weather::Synthetic { seed: options.seed, start: options.start }
    }

    /// How many days there are to send, where they have an end that anybody waits for.
    fn count(&self, present: &HashSet<Date>, days: Option<u64>) -> Option<u64> {
        match self {
            Weather::Synthetic { .. } => days,
            Weather::Files(weather) => {
                let missing =
                    weather.days.iter().filter(|report| !present.contains(&report.date)).count() as u64;
                Some(missing.min(days.unwrap_or(u64::MAX)))
            }
        }
    }

    /// The first day that is sent, unless it is there already.
    fn start(start: Option<Date>, present: &HashSet<Date>) -> Date {
        start.or(present.iter().min().copied()).unwrap_or(FIRST_DAY)
    }

    /// Says which days between others are sent. A day far from all others, which may be an error, would have centuries
    /// filled up to it.
    pub(super) fn tell_missing(
        &self,
        topic: &str,
        present: &HashSet<Date>,
        pace: &cli::Pace,
    ) -> Result<(), Refusal> {
        if present.is_empty() {
            return Ok(());
        }
        let missing = match self {
            Weather::Synthetic { start, .. } => Missing::between(Weather::start(*start, present), present),
            Weather::Files(weather) => Missing::of(&weather.days, present),
        };
        let Some(missing) = missing else { return Ok(()) };
        let sent = missing.days.min(pace.days.unwrap_or(u64::MAX));
        let longest = missing.gap.filter(|gap| years(gap.days.min(sent)) > u64::from(pace.gap_max));
        if let Some(Gap { before, after, days }) = longest {
            let years = years(days);
            let fact = format!(
                "topic {topic} has no days between {before} and {after}, and {} days of made-up weather would fill \
                 that gap",
                HumanCount(days)
            );
            let hint = format!("fill it with --gap-max {years}, or send less with --start DATE or --days N");
            return Err(Refusal::usage(fact).hint(hint));
        }
        let (Missing { first, last, days, .. }, total) = (&missing, HumanCount(missing.days));
        match sent < *days {
            true => note!("sending the first {} of {total} missing days {first} to {last}", HumanCount(sent)),
            false => note!("sending the missing days {first} to {last}: {total} days"),
        }
        Ok(())
    }

    /// The reports to send: the days that are not `present` yet, and their repeats.
    pub(super) fn reports(
        self,
        present: HashSet<Date>,
        pace: &cli::Pace,
    ) -> Box<dyn Iterator<Item = Sent> + Send> {
        let (reports, seed, duplicates): (Box<dyn Iterator<Item = Report> + Send>, _, _) = match self {
            Weather::Synthetic { seed, start } => {
                let start = Weather::start(start, &present);
                (Box::new(Synthetic::new(seed).reports(start)), seed, DUPLICATES)
            }
            Weather::Files(weather) => (Box::new(weather.days.into_iter()), 0, 0.0),
        };
        let missing = reports.filter(move |report| !present.contains(&report.date));
        let days = usize::try_from(pace.days.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let rate = pace.duplicates.unwrap_or(duplicates);
        Box::new(Repeats::new(missing.take(days), seed, rate, pace.duplicate_degrees))
    }
}

/// Days that are not in the topic.
#[derive(Debug, PartialEq)]
struct Missing {
    first: Date,
    last: Date,
    days: u64,
    /// The longest of the gaps that are filled.
    gap: Option<Gap>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Gap {
    before: Date,
    after: Date,
    days: u64,
}

impl Missing {
    /// From `start` up to the newest day that is there.
    fn between(start: Date, present: &HashSet<Date>) -> Option<Missing> {
        let mut days: Vec<Date> = present.iter().copied().filter(|date| *date >= start).collect();
        days.sort_unstable();
        // Days asked for from one day on, and not only up to others.
        let asked = days.first().map(|first| (start, *first, days_from(start, *first)));
        let gaps = days.windows(2).map(|pair| (pair[0], pair[1], days_from(pair[0], pair[1]) - 1));
        let gap = gaps.clone().max_by_key(|(_, _, days)| *days);
        let gap = gap.map(|(before, after, days)| Gap { before, after, days });
        let mut filled = asked
            .map(|(start, first, days)| (start, first.yesterday().unwrap_or(first), days))
            .into_iter()
            .chain(gaps.map(|(before, after, days)| {
                (before.tomorrow().unwrap_or(before), after.yesterday().unwrap_or(after), days)
            }))
            .filter(|(_, _, days)| *days > 0);
        let (first, mut last, mut days) = filled.next()?;
        for (_, end, count) in filled {
            (last, days) = (end, days + count);
        }
        Some(Missing { first, last, days, gap })
    }

    /// The days of a file, which are sent as they are: nothing is filled.
    fn of(reports: &[Report], present: &HashSet<Date>) -> Option<Missing> {
        let missing = || reports.iter().map(|report| report.date).filter(|date| !present.contains(date));
        let (first, last) = (missing().min()?, missing().max()?);
        Some(Missing { first, last, days: missing().count() as u64, gap: None })
    }
}

/// How many years so many days take, the last one begun.
fn years(days: u64) -> u64 {
    (days * 10_000).div_ceil(3_652_425)
}

/// How many days later `to` is.
fn days_from(from: Date, to: Date) -> u64 {
    from.until((Unit::Day, to)).map_or(0, |span| u64::try_from(span.get_days()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(days: &[Date]) -> HashSet<Date> {
        days.iter().copied().collect()
    }

    #[test]
    fn missing_days_are_counted_between_those_that_are_there() {
        let (one, two, five, nine) = (date(2000, 1, 1), date(2000, 1, 2), date(2000, 1, 5), date(2000, 1, 9));
        assert_eq!(Missing::between(one, &present(&[one, two])), None);
        assert_eq!(Missing::between(nine, &present(&[one, two])), None);
        let missing = Missing::between(one, &present(&[one, two, five, nine])).unwrap();
        assert_eq!((missing.first, missing.last, missing.days), (date(2000, 1, 3), date(2000, 1, 8), 5));
        assert_eq!(missing.gap, Some(Gap { before: five, after: nine, days: 3 }));
        // Asked for with --start.
        let missing = Missing::between(one, &present(&[five])).unwrap();
        assert_eq!((missing.first, missing.last, missing.days), (one, date(2000, 1, 4), 4));
        assert_eq!(missing.gap, None);
        let ends = present(&[Date::MIN.max(date(1, 1, 1)), date(9999, 12, 31)]);
        assert_eq!(Missing::between(date(1, 1, 1), &ends).unwrap().days, 3_652_057);
    }
}
