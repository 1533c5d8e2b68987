//! `almanac producer`: sends one day after the other.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Error, Result};
use jiff::civil::{Date, date};

use super::metrics;
use super::progress::{self, Reached};
use crate::cli;
use crate::kafka;
use crate::note;
use crate::producer::{self, Prepared, Progress, TopicPlan};
use crate::report::Report;
use crate::source::{self, Repeats, Sent, Synthetic};
use crate::stop::Stop;

const FIRST_DAY: Date = date(1990, 1, 1);
/// Mean repeats of a day of synthetic weather; real weather is sent as it is.
const DUPLICATES: f64 = 0.05;

pub fn run(options: &cli::Producer) -> Result<()> {
    let stop = Stop::on_signals()?;
    let connection = super::connection(&options.kafka)?;
    let exporter = metrics::bind(options.metrics.listen.as_ref())?;
    // Before the topic is touched: a bad file must cost nothing.
    let weather = Weather::read(options)?;
    let plan = TopicPlan {
        topic: options.kafka.topic.clone(),
        partitions: options.partitions,
        replication: options.replication,
        append: options.append,
        recreate: options.recreate,
    };
    // Before the topic is made ready: connecting takes the client half a second, which passes meanwhile.
    let client = Arc::new(kafka::Producer::new(&connection, &plan.topic)?);
    let progress = Arc::new(Progress::default());
    let numbers = || metrics::Producing::new(&connection, &plan.topic, &client, &progress);
    let _serving = exporter.map(|exporter| Ok::<_, Error>(exporter.start(numbers()?)?)).transpose()?;
    let prepared = producer::prepare(&connection, &plan)?;
    tell(&plan, &prepared);
    let total = weather.count(&prepared.present, options.pace.days);
    let reports = weather.reports(prepared.present, &options.pace);
    let interval = options.pace.interval;
    let look = || Some(reached(&progress, total));
    let send = || producer::send_all(&client, reports, interval, &stop, &progress);
    let result = progress::with_bar("days", look, send);
    note!("sent {}", summary(&progress));
    Ok(result?)
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

fn summary(progress: &Progress) -> String {
    let newest = progress.newest().map_or(String::new(), |date| format!(", newest {date}"));
    format!("{} days and {} repeats{newest}", progress.days(), progress.repeats())
}

fn reached(progress: &Progress, total: Option<u64>) -> Reached {
    let newest = progress.newest().map_or(String::new(), |date| format!("newest {date}"));
    Reached { done: progress.days(), total, rate: None, message: newest }
}

/// Where the reports come from.
pub(super) enum Weather {
    Synthetic { seed: u64, start: Option<Date> },
    Files(Vec<Report>),
}

impl Weather {
    fn read(options: &cli::Producer) -> Result<Self> {
        let files = &options.files;
        if files.files.is_empty() {
            return Ok(Weather::synthetic(&options.synthetic));
        }
        let settings = source::Options {
            format: files.input_format,
            station: files.station.clone(),
            keep_flagged: files.keep_flagged,
            date_column: files.date_column.clone(),
            degrees_column: files.degrees_column.clone(),
            unit: files.unit,
        };
        Ok(Weather::Files(source::file::read_files(&files.files, &settings)?))
    }

    pub(super) fn synthetic(options: &cli::Synthetic) -> Self {
        Weather::Synthetic { seed: options.seed, start: options.start }
    }

    /// How many days there are to send, where they have an end that anybody waits for.
    fn count(&self, present: &HashSet<Date>, days: Option<u64>) -> Option<u64> {
        match self {
            Weather::Synthetic { .. } => days,
            Weather::Files(reports) => {
                let missing = reports.iter().filter(|report| !present.contains(&report.date)).count() as u64;
                Some(missing.min(days.unwrap_or(u64::MAX)))
            }
        }
    }

    /// What to send: the days that are not `present` yet, and their repeats.
    pub(super) fn reports(
        self,
        present: HashSet<Date>,
        pace: &cli::Pace,
    ) -> Box<dyn Iterator<Item = Sent> + Send> {
        let (reports, seed, duplicates): (Box<dyn Iterator<Item = Report> + Send>, _, _) = match self {
            Weather::Synthetic { seed, start } => {
                let start = start.or(present.iter().min().copied()).unwrap_or(FIRST_DAY);
                (Box::new(Synthetic::new(seed).reports(start)), seed, DUPLICATES)
            }
            Weather::Files(reports) => (Box::new(reports.into_iter()), 0, 0.0),
        };
        let missing = reports.filter(move |report| !present.contains(&report.date));
        let days = usize::try_from(pace.days.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let rate = pace.duplicates.unwrap_or(duplicates);
        Box::new(Repeats::new(missing.take(days), seed, rate, pace.duplicate_degrees))
    }
}
