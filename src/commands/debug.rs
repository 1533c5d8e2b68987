//! `almanac debug`: shows records as they come.

use std::io::{self, Write};
use std::mem::discriminant;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::progress::AskOnDrop;
use crate::cli::{self, DebugFormat};
use crate::debug::Line;
use crate::kafka::{
    Connection, Consumer, FailoverAdmin, Health, HealthCheck, Item, KafkaError, POLL_TIMEOUT, Position,
    RebalanceEvent, Received, Record, StartAt,
};
use crate::note;
use crate::report::Decoder;
use crate::stop::Stop;

const WATCH_EVERY: Duration = Duration::from_millis(300);

/// How long a group may take to assign partitions before that is said. A broker holds the first member back for 3 s by
/// default.
const ASSIGNED_WITHIN: Duration = Duration::from_secs(4);

/// stdout has records only. What is waited for meanwhile is said on stderr.
pub fn run(options: &cli::Debug) -> Result<()> {
    let stop = Stop::on_signals()?;
    let connection = super::connection(&options.kafka)?;
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
    let mut consumer = Consumer::tailing(connection, &options.group, &options.kafka.topic)?;
    consumer.subscribe()?;
    let mut denied = None;
    let mut received = Received::default();
    let mut printer = Printer { format: options.format, decoder: Decoder::default() };
    while !stop.is_asked() {
        for event in consumer.take_rebalances() {
            reading.note(&event);
            answer(&mut consumer, event)?;
        }
        if let Some(error) = denied.take() {
            consumer = without_group(options, connection, &error, stop)?;
            reading.0.store(true, Ordering::Relaxed);
        }
        consumer.poll(&mut received, POLL_TIMEOUT);
        consumer.check_access()?;
        while let Some(item) = received.next() {
            match item {
                Item::Records(records) => {
                    let partition = records.partition;
                    for record in records {
                        match record {
                            Ok(record) => printer.print(&record)?,
                            Err(refused) => {
                                let offset = refused.offset();
                                tracing::warn!(
                                    "partition {partition}: the record at offset {offset} can't be shown"
                                );
                            }
                        }
                    }
                }
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

/// Reads all partitions that the topic has now. Somebody who may read a topic need not be allowed to join groups.
fn without_group(
    options: &cli::Debug,
    connection: &Connection,
    denied: &KafkaError,
    stop: &Stop,
) -> Result<Consumer> {
    let topic = &options.kafka.topic;
    tracing::info!("{denied}; reading all partitions of {topic} without it");
    let mut consumer = Consumer::tailing(connection, &options.group, topic)?;
    let found = FailoverAdmin::new(connection, stop)?.request(|admin, time| admin.describe(topic, time))?;
    let partitions = found.map_or(0, |found| found.partitions);
    answer(&mut consumer, RebalanceEvent::Assigned((0..partitions).collect()))?;
    Ok(consumer)
}

/// Whether the group has assigned anything.
#[derive(Default)]
struct Reading(AtomicBool);

impl Reading {
    fn note(&self, event: &RebalanceEvent) {
        match event {
            RebalanceEvent::Assigned(partitions) if partitions.is_empty() => {}
            RebalanceEvent::Assigned(_) => self.0.store(true, Ordering::Relaxed),
            RebalanceEvent::Revoked(_) | RebalanceEvent::Lost(_) => self.0.store(false, Ordering::Relaxed),
        }
    }

    fn is_assigned(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
            Health::Silent(error) => Some(Waiting::Kafka(error.reason())),
            Health::Answers(leaders) if leaders.is_empty() => Some(Waiting::Topic),
            Health::Answers(_) if reading.is_assigned() => None,
            Health::Answers(_) if unassigned_since.elapsed() > ASSIGNED_WITHIN => Some(Waiting::Group),
            // It is the group's turn now.
            Health::Answers(_) => continue,
        };
        if !matches!(next, Some(Waiting::Group)) {
            unassigned_since = Instant::now();
        }
        // The cause may have other words each time.
        if said.as_ref().map(discriminant) != next.as_ref().map(discriminant) {
            match &next {
                Some(Waiting::Kafka(reason)) => {
                    tracing::warn!(
                        "Kafka does not answer at {}; waiting for it ({reason})",
                        connection.brokers
                    );
                }
                Some(Waiting::Topic) => tracing::warn!("topic {topic} is not there; waiting for it"),
                Some(Waiting::Group) => tracing::warn!(
                    "group {} has not assigned any partition of {topic} yet; waiting for it",
                    options.group
                ),
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
    Group,
}

/// Whatever the group assigns is read from its end.
fn answer(consumer: &mut Consumer, event: RebalanceEvent) -> Result<()> {
    match event {
        RebalanceEvent::Assigned(partitions) => {
            let from_end = |partition| Position { partition, start: StartAt::End };
            consumer.add(&partitions.into_iter().map(from_end).collect::<Vec<_>>())?;
        }
        RebalanceEvent::Revoked(partitions) | RebalanceEvent::Lost(partitions) => {
            consumer.remove(&partitions)?;
        }
    }
    Ok(())
}

struct Printer {
    format: DebugFormat,
    decoder: Decoder,
}

impl Printer {
    fn print(&mut self, record: &Record) -> Result<()> {
        let line = Line { partition: record.partition, key: record.key, value: record.value };
        let text = match self.format {
            DebugFormat::Python => line.python(&mut self.decoder),
            DebugFormat::Json => line.json(&mut self.decoder),
        };
        // stdout is line buffered: each record is seen as it comes.
        writeln!(io::stdout(), "{text}").context("can't write to stdout")
    }
}
