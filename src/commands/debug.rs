//! `almanac debug`: shows records as they come.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cli::{self, DebugFormat};
use crate::debug::Line;
use crate::kafka::{Consumer, Item, Position, RebalanceEvent, Received, Record, StartAt};
use crate::report::Decoder;
use crate::stop::Stop;

const BATCH_RECORDS_MAX: usize = 1000;
const POLL_MAX: Duration = Duration::from_millis(100);

/// The first output is a record: what else there is to say goes to the log, which is silent without `-v`.
pub fn run(options: &cli::Debug) -> Result<()> {
    let stop = Stop::on_signals()?;
    let connection = super::connection(&options.kafka)?;
    let mut consumer = Consumer::watcher(&connection, &options.group, &options.kafka.topic)?;
    consumer.subscribe()?;
    let mut received = Received::with_capacity(BATCH_RECORDS_MAX);
    let mut printer = Printer { format: options.format, decoder: Decoder::default() };
    while !stop.is_asked() {
        for event in consumer.take_rebalances() {
            answer(&mut consumer, event)?;
        }
        consumer.poll(&mut received, POLL_MAX);
        consumer.is_let_in()?;
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
                Item::Failed { error, .. } => return Err(error.into()),
            }
        }
    }
    Ok(())
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
