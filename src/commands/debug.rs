//! `almanac debug`: shows records as they come.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::mem::discriminant;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::progress::AskOnDrop;
use crate::cli::{self, DebugFormat};
use crate::debug::Line;
use crate::kafka::{
    Connection, Consumer, FailoverAdmin, Health, HealthCheck, Item, KafkaError, OffsetOf, POLL_TIMEOUT,
    Position, RebalanceEvent, Received, Record, Records, StartAt, hint_for,
};
use crate::lock::locked;
use crate::note;
use crate::pipeline::PipelineError;
use crate::report::Decoder;
use crate::stop::Stop;

const WATCH_EVERY: Duration = Duration::from_millis(300);
/// How often to look for a topic that is not there.
const FIND_EVERY: Duration = Duration::from_millis(300);

/// How long a group may take to assign partitions before that is said. A broker holds the first member back for 3 s by
/// default.
const ASSIGNED_WITHIN: Duration = Duration::from_secs(4);

/// stdout has records only. Meanwhile stderr names the cause of the wait.
pub fn run(options: &cli::Debug) -> Result<()> {
    let stop = Stop::on_signals()?;
    let connection = super::connection(&options.kafka)?;
    super::named_once(&options.partition)?;
    let (over, reading) = (Stop::default(), Reading::default());
    thread::scope(|scope| {
        scope.spawn(|| {
            if let Err(error) = say_what_is_missing(options, &connection, &reading, &over) {
                tracing::warn!("nobody watches whether Kafka answers: {error}");
            }
        });
        let _guard = AskOnDrop(&over);
        read(options, &connection, &reading, &stop)
    })
}

fn read(options: &cli::Debug, connection: &Connection, reading: &Reading, stop: &Stop) -> Result<()> {
    let topic = &options.kafka.topic;
    let mut places = Places::new(options);
    let mut consumer = Consumer::tailing(connection, &options.group, topic)?;
    let mut denied = None;
    if options.partition.is_empty() {
        consumer.subscribe()?;
    } else {
        consumer.add(&places.of(&find_partitions(options, connection, stop)?))?;
        reading.is_assigned.store(true, Ordering::Relaxed);
    }
    let mut received = Received::default();
    let mut printer = Printer { format: options.format, decoder: Decoder::default(), left: options.count };
    while !stop.is_asked() && printer.left != Some(0) {
        for event in consumer.take_rebalances() {
            reading.note(&event);
            answer(&mut consumer, event, &places)?;
        }
        // Somebody who may read a topic need not be allowed to join groups.
        if let Some(error) = denied.take() {
            tracing::info!("{error}; reading all partitions of {topic} without it");
            consumer = Consumer::tailing(connection, &options.group, topic)?;
            consumer.add(&places.of(&find_partitions(options, connection, stop)?))?;
            reading.is_assigned.store(true, Ordering::Relaxed);
        }
        // Others are over by themselves.
        if let Some(text) = consumer.take_error_text().filter(|text| hint_for(text).is_some()) {
            *locked(&reading.last_error) = Some(text);
        }
        consumer.poll(&mut received, POLL_TIMEOUT);
        consumer.check_access()?;
        while let Some(item) = received.next() {
            match item {
                Item::Records(records) => show(records, &mut printer, &mut places)?,
                Item::EndOfPartition { .. } => {}
                Item::Failed { error, .. } if error.is_transient() || error.is_log_doubtful() => {
                    tracing::info!(%error, "waiting");
                }
                Item::Failed { error, .. } if error.is_of_group() => denied = Some(error),
                Item::Failed { error, .. } => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn show(mut records: Records<'_>, printer: &mut Printer, places: &mut Places) -> Result<()> {
    let partition = records.partition;
    while printer.left != Some(0)
        && let Some((record, time)) = records.next_with_time()
    {
        match record {
            Ok(record) => {
                printer.print(&record, time)?;
                places.pass(partition, record.offset);
            }
            Err(refused) => {
                let offset = refused.offset();
                tracing::warn!("partition {partition}: the record at offset {offset} can't be shown");
            }
        }
    }
    Ok(())
}

/// The partitions that were named, or all, once the topic is there.
fn find_partitions(options: &cli::Debug, connection: &Connection, stop: &Stop) -> Result<Vec<i32>> {
    let topic = &options.kafka.topic;
    let named = super::named_once(&options.partition)?;
    let mut admin = FailoverAdmin::new(connection, stop)?;
    while !stop.is_asked() {
        let partitions = match admin.request(|admin, time| admin.describe(topic, time)) {
            Ok(Some(found)) => found.partitions,
            Err(error) if !error.is_transient() => return Err(error.into()),
            Ok(None) | Err(_) => {
                stop.wait(FIND_EVERY);
                continue;
            }
        };
        let named = named.clone().unwrap_or_else(|| (0..partitions).collect());
        return match named.iter().find(|partition| **partition >= partitions) {
            None => Ok(named),
            Some(&partition) => {
                Err(PipelineError::NoSuchPartition { topic: topic.clone(), partition, partitions }.into())
            }
        };
    }
    Ok(Vec::new())
}

/// The positions from which to read partitions.
struct Places {
    edge: OffsetOf,
    /// Of partitions that were read from their beginning, one past the last record.
    passed: BTreeMap<i32, i64>,
}

impl Places {
    fn new(options: &cli::Debug) -> Places {
        let edge = if options.from_beginning { OffsetOf::Start } else { OffsetOf::End };
        Places { edge, passed: BTreeMap::new() }
    }

    fn of(&self, partitions: &[i32]) -> Vec<Position> {
        let position = |&partition| {
            let passed = self.passed.get(&partition);
            let at = |&next_offset| StartAt::Offset { next_offset, leader_epoch: None };
            Position { partition, start: passed.map_or(StartAt::Edge(self.edge), at) }
        };
        partitions.iter().map(position).collect()
    }

    /// Records after a pause do not matter to a reader of the end of the log.
    fn pass(&mut self, partition: i32, offset: i64) {
        if self.edge == OffsetOf::Start {
            self.passed.insert(partition, offset.saturating_add(1));
        }
    }
}

/// Whether the group has assigned anything, and what went wrong last.
#[derive(Default)]
struct Reading {
    is_assigned: AtomicBool,
    last_error: Mutex<Option<String>>,
}

impl Reading {
    fn note(&self, event: &RebalanceEvent) {
        match event {
            RebalanceEvent::Assigned(partitions) if partitions.is_empty() => {}
            RebalanceEvent::Assigned(_) => self.is_assigned.store(true, Ordering::Relaxed),
            RebalanceEvent::Revoked(_) | RebalanceEvent::Lost(_) => {
                self.is_assigned.store(false, Ordering::Relaxed)
            }
        }
    }

    fn is_assigned(&self) -> bool {
        self.is_assigned.load(Ordering::Relaxed)
    }
}

/// Says what is waited for: once, and again when it is something else.
fn say_what_is_missing(
    options: &cli::Debug,
    connection: &Connection,
    reading: &Reading,
    over: &Stop,
) -> Result<(), KafkaError> {
    let topic = &options.kafka.topic;
    let mut health = HealthCheck::new(connection, topic)?;
    let mut said = None;
    let mut unassigned_since = Instant::now();
    while !over.wait(WATCH_EVERY) {
        let next = match health.check() {
            Health::Unsure => continue,
            Health::Silent(error) => {
                // It will be over when Kafka answers.
                locked(&reading.last_error).take();
                Some(Waiting::Kafka(error.reason()))
            }
            Health::Answers(leaders) if leaders.is_empty() => Some(Waiting::Topic),
            Health::Answers(_) if reading.is_assigned() => None,
            Health::Answers(_) if unassigned_since.elapsed() > ASSIGNED_WITHIN => {
                Some(Waiting::Group(locked(&reading.last_error).clone()))
            }
            // It is the group's turn now.
            Health::Answers(_) => continue,
        };
        if !matches!(next, Some(Waiting::Group(_))) {
            unassigned_since = Instant::now();
        }
        // The cause may have other words each time.
        if said.as_ref().map(discriminant) != next.as_ref().map(discriminant) {
            match &next {
                Some(Waiting::Kafka(reason)) => {
                    tracing::warn!(
                        hint = hint_for(reason),
                        "Kafka does not answer at {}; waiting for it ({reason})",
                        connection.brokers
                    );
                }
                Some(Waiting::Topic) => tracing::warn!("topic {topic} is not there; waiting for it"),
                Some(Waiting::Group(cause)) => {
                    let reason = cause.as_ref().map_or(String::new(), |cause| format!(" ({cause})"));
                    tracing::warn!(
                        hint = hint_for(&reason),
                        "group {} has not assigned any partition of {topic} yet; waiting for it{reason}",
                        options.group
                    );
                }
                None => note!("reading topic {topic}"),
            }
            said = next;
        }
    }
    Ok(())
}

enum Waiting {
    Kafka(String),
    Topic,
    /// With what went wrong last.
    Group(Option<String>),
}

fn answer(consumer: &mut Consumer, event: RebalanceEvent, places: &Places) -> Result<()> {
    match event {
        RebalanceEvent::Assigned(partitions) => consumer.add(&places.of(&partitions))?,
        RebalanceEvent::Revoked(partitions) | RebalanceEvent::Lost(partitions) => {
            consumer.remove(&partitions)?;
        }
    }
    Ok(())
}

struct Printer {
    format: DebugFormat,
    decoder: Decoder,
    /// How many records are still to be printed, if there is an end.
    left: Option<u64>,
}

impl Printer {
    fn print(&mut self, record: &Record, time: Option<i64>) -> Result<()> {
        let Record { partition, offset, key, value, .. } = *record;
        let line = Line { partition, offset, time, key, value };
        let text = match self.format {
            DebugFormat::Python => line.python(&mut self.decoder),
            DebugFormat::Json => line.json(&mut self.decoder),
        };
        self.left = self.left.map(|left| left.saturating_sub(1));
        // stdout is line buffered: each record is seen as it comes.
        writeln!(io::stdout(), "{text}").context("can't write to stdout")
    }
}
