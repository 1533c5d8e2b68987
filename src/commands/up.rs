//! `almanac up`: everything on one machine, in one process beside Kafka's.

use std::io::IsTerminal;
use std::path::Path;
use std::str::FromStr;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use indicatif::ProgressBar;

use super::producer::{Weather, send, tell};
use super::{broker, plot};
use crate::broker::{Broker, HostPort, Listening, who_listens};
use crate::cli;
use crate::kafka::Connection;
use crate::note;
use crate::pipeline;
use crate::producer::{self, Progress, TopicPlan};
use crate::report::MONTHS;
use crate::status::Status;
use crate::stop::Stop;
use crate::store;

const PARTITIONS: i32 = 4;
/// How often the status line and the plot are looked after.
const REFRESH_EVERY: Duration = Duration::from_millis(500);
/// How often the status is a line of its own, where there is no terminal to keep one line on.
const PLAIN_STATUS_EVERY: Duration = Duration::from_secs(10);

pub fn run(options: &cli::Up) -> Result<()> {
    let stop = Stop::on_signals()?;
    let connection = super::connection(&options.kafka)?;
    store::prepare(&options.dir.dir)?;
    let broker = match find_kafka(options)? {
        Kafka::IsThere => None,
        Kafka::StartAt(listen) => match broker::start(listen, &options.local, &stop)? {
            Some(broker) => Some(broker),
            None => return Ok(()),
        },
    };
    let mut machine = Machine { options, connection, stop, broker };
    let result = machine.work();
    let stopped = machine.broker.take().map_or(Ok(()), Broker::stop);
    result?;
    stopped?;
    note!("stopped; the data is kept, and the next start continues");
    Ok(())
}

enum Kafka {
    IsThere,
    StartAt(HostPort),
}

/// A Kafka is only started on this machine, and only where nobody listens.
fn find_kafka(options: &cli::Up) -> Result<Kafka> {
    let brokers = &options.kafka.brokers;
    let Ok(address) = HostPort::from_str(brokers) else { return Ok(Kafka::IsThere) };
    if !address.is_loopback() {
        return Ok(Kafka::IsThere);
    }
    let properties = &options.kafka.properties;
    match who_listens(&address, &mut |bootstrap| broker::is_kafka(bootstrap, properties)) {
        Listening::Kafka => Ok(Kafka::IsThere),
        Listening::Nobody => Ok(Kafka::StartAt(address)),
        // Or Kafka does not let in a client with these properties: then the next to ask it says why.
        Listening::SomethingElse if !properties.is_empty() => Ok(Kafka::IsThere),
        Listening::SomethingElse => {
            bail!("what listens at {brokers} is not Kafka\nhint: name another port with --brokers")
        }
    }
}

struct Machine<'a> {
    options: &'a cli::Up,
    connection: Connection,
    stop: Stop,
    broker: Option<Broker>,
}

impl Machine<'_> {
    /// Runs producer and consumer until asked to stop, or one of them fails.
    fn work(&mut self) -> Result<()> {
        let options = self.options;
        let plan = TopicPlan {
            topic: options.kafka.topic.clone(),
            partitions: PARTITIONS,
            replication: 1,
            append: !options.fresh,
            recreate: options.fresh,
        };
        let prepared = producer::prepare(&self.connection, &plan)?;
        tell(&plan, &prepared);
        let reports = Weather::synthetic(&options.synthetic).reports(prepared.present, &options.pace);
        let settings = pipeline::Settings {
            connection: self.connection.clone(),
            topic: plan.topic.clone(),
            dir: options.dir.dir.clone(),
            group: "almanac".to_owned(),
            partitions: Some((0..PARTITIONS).collect()),
            take_over: false,
            handover_timeout: Duration::ZERO,
            checkpoint_every: None,
            accept_new_log: self.broker.is_some(),
        };
        let progress = Progress::default();
        let (producing, consuming) = (Stop::default(), Stop::default());
        let dir = &options.dir.dir;
        note!("checkpoints and month.svg are in {}; Ctrl-C stops everything", dir.display());
        thread::scope(|scope| {
            let producer = scope
                .spawn(|| send(&self.connection, &plan.topic, reports, &options.pace, &producing, &progress));
            let consumer = scope.spawn(|| Ok(pipeline::run(&settings, &consuming)?));
            let watched = watch(&self.stop, self.broker.as_mut(), dir, &progress, &producer, &consumer);
            // The reports first, then what is made of them.
            producing.ask();
            let produced = join(producer);
            consuming.ask();
            let consumed = join(consumer);
            redraw(dir);
            watched.and(produced).and(consumed)
        })
    }
}

fn join(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked; this is a bug")))
}

/// Keeps the status line and the plot until it is time to stop.
fn watch(
    stop: &Stop,
    mut broker: Option<&mut Broker>,
    dir: &Path,
    progress: &Progress,
    producer: &ScopedJoinHandle<'_, Result<()>>,
    consumer: &ScopedJoinHandle<'_, Result<()>>,
) -> Result<()> {
    let line = StatusLine::new();
    let mut drawn = String::new();
    while !stop.wait(REFRESH_EVERY) {
        if let Some(broker) = broker.as_deref_mut() {
            broker::refuse_dead(broker)?;
        }
        if consumer.is_finished() || (producer.is_finished() && progress.days() == 0) {
            break;
        }
        let statuses = statuses(dir);
        line.show(&status_line(progress, &statuses));
        // Cells change with every day, the picture's bars with every month.
        let months = statuses.iter().map(|status| status.days).sum::<u64>().to_string();
        if months != drawn {
            redraw(dir);
            drawn = months;
        }
    }
    line.clear();
    Ok(())
}

/// The picture follows the files. That it can't be drawn yet, or just now, stops nothing.
fn redraw(dir: &Path) {
    let all: Vec<usize> = (0..MONTHS.len()).collect();
    let drawn = plot::bars(dir, &all)
        .and_then(|bars| if bars.is_empty() { Ok(()) } else { plot::draw(dir, &bars).map(drop) });
    if let Err(error) = drawn {
        tracing::warn!("month.svg not drawn: {error:#}");
    }
}

fn statuses(dir: &Path) -> Vec<Status> {
    let load = |partition| store::load_status(&store::Paths::new(dir, partition)).ok().flatten();
    (0..PARTITIONS).filter_map(load).collect()
}

fn status_line(progress: &Progress, statuses: &[Status]) -> String {
    let counted: u64 = statuses.iter().map(|status| status.days).sum();
    let lag: i64 = statuses.iter().filter_map(|status| status.lag).sum();
    let newest = statuses.iter().filter_map(|status| status.newest.as_deref()).max().unwrap_or("none yet");
    format!("days sent {}, days counted {counted}, lag {lag} records, newest day {newest}", progress.days())
}

/// One line that changes on a terminal, or a line now and then elsewhere.
struct StatusLine {
    bar: Option<ProgressBar>,
    last: std::cell::Cell<Option<Instant>>,
}

impl StatusLine {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        StatusLine { bar, last: std::cell::Cell::new(None) }
    }

    fn show(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
            bar.tick();
        } else if self.last.get().is_none_or(|last| last.elapsed() >= PLAIN_STATUS_EVERY) {
            self.last.set(Some(Instant::now()));
            note!("{text}");
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
