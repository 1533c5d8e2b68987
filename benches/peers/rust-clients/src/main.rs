//! Reads a topic with a client, as that client's own documentation has it, and prints what comes: what `scripts/bench faults`
//! does damage to.
//!
//! usage: rust-clients rskafka|krafka|librdkafka BROKERS TOPIC OFFSET...
//!
//! There is an offset for each partition, the next to read. A line of stdout is a record: its partition, its offset and
//! its value in hexadecimal. On stderr, lines that begin with `told:` are errors that the client gave to its user, those
//! that begin with `log:` warnings and errors that it only logged. It reads until it is killed, or until an error after
//! which the client's documentation has its user stop.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, future};
use krafka::Kafka;
use krafka::consumer::{AutoOffsetReset, TopicPartition};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use rskafka::client::ClientBuilder;
use rskafka::client::consumer::{StartOffset, StreamConsumerBuilder};
use rskafka::client::partition::UnknownTopicHandling;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Of a partition in an answer: so little that a log takes many answers, and a fault comes in the middle of it.
const FETCH_BYTES_MAX: i32 = 16_384;

/// Before an error that can be retried is.
const PAUSE: Duration = Duration::from_millis(100);

struct Task {
    brokers: String,
    topic: String,
    offsets: Vec<i64>,
}

/// The position of the time in a line of the log.
struct Marked;

impl FormatTime for Marked {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        writer.write_str("log:")
    }
}

fn main() -> Result<()> {
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN);
    subscriber.with_timer(Marked).with_ansi(false).with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let (Some(client), Some(brokers), Some(topic)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        bail!("arguments are missing\nhint: rust-clients rskafka|krafka|librdkafka BROKERS TOPIC OFFSET...");
    };
    let offsets = arguments.map(|offset| offset.parse().context("an offset is not a number"));
    let task = Task { brokers, topic, offsets: offsets.collect::<Result<_>>()? };
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match client.as_str() {
        "rskafka" => runtime()?.block_on(rskafka(&task)),
        "krafka" => runtime()?.block_on(krafka(&task)),
        "librdkafka" => librdkafka(&task),
        _ => bail!("unknown client {client}\nhint: rskafka, krafka or librdkafka"),
    };
    if let Err(error) = ended {
        tell(&error);
        std::process::exit(1);
    }
    Ok(())
}

/// A stream for each partition. Whatever can be retried the library retries by itself; a stream that gives an error is
/// over after it.
async fn rskafka(task: &Task) -> Result<()> {
    let client = ClientBuilder::new(vec![task.brokers.clone()]).build().await?;
    let mut streams = Vec::new();
    for (partition, offset) in (0..).zip(&task.offsets) {
        let client = client.partition_client(&task.topic, partition, UnknownTopicHandling::Retry).await?;
        let stream = StreamConsumerBuilder::new(Arc::new(client), StartOffset::At(*offset))
            .with_max_batch_size(FETCH_BYTES_MAX)
            .build();
        streams.push((partition, stream));
    }
    let reading = streams.into_iter().map(|(partition, mut stream)| async move {
        while let Some(next) = stream.next().await {
            let (found, _) = next.with_context(|| format!("partition {partition}"))?;
            print(partition, found.offset, found.record.value.as_deref())?;
        }
        bail!("the stream of partition {partition} has ended")
    });
    future::try_join_all(reading).await.map(|_: Vec<()>| ())
}

/// `KrafkaError::is_retriable` says what to retry.
async fn krafka(task: &Task) -> Result<()> {
    let kafka = Kafka::builder(&task.brokers).connect().await?;
    let starts = (0..).zip(&task.offsets);
    let consumer = kafka
        .consumer_without_group()
        // Not somewhere else without a word.
        .auto_offset_reset(AutoOffsetReset::None)
        .max_partition_fetch_bytes(FETCH_BYTES_MAX)
        .initial_offsets(
            starts.map(|(partition, offset)| (TopicPartition::new(&task.topic, partition), *offset)),
        )
        .build()
        .await?;
    consumer.assign(&task.topic, (0..).zip(&task.offsets).map(|(partition, _)| partition).collect()).await?;
    loop {
        match consumer.poll(Duration::from_secs(1)).await {
            Ok(records) => {
                for record in records {
                    print(record.partition, record.offset, record.value.as_deref())?;
                }
            }
            Err(error) if error.is_retriable() => {
                tell(&error.into());
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Errors are for information: the library continues by itself. It stops after a fatal error, and if
/// `auto.offset.reset` forbids it to look for another offset.
fn librdkafka(task: &Task) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &task.brokers)
        // The client never joins this group, but a consumer needs one.
        .set("group.id", "rust-clients")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        // Not somewhere else without a word.
        .set("auto.offset.reset", "error")
        .set("max.partition.fetch.bytes", FETCH_BYTES_MAX.to_string())
        .set_log_level(RDKafkaLogLevel::Warning)
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(&task.offsets) {
        assignment.add_partition_offset(&task.topic, partition, Offset::Offset(*offset))?;
    }
    consumer.assign(&assignment)?;
    loop {
        match consumer.poll(Duration::from_secs(1)) {
            None => {}
            Some(Ok(message)) => print(message.partition(), message.offset(), message.payload())?,
            Some(Err(error)) => {
                let is_final = matches!(
                    error,
                    KafkaError::MessageConsumptionFatal(_)
                        | KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)
                );
                if is_final {
                    return Err(error.into());
                }
                tell(&error.into());
            }
        }
    }
}

fn print(partition: i32, offset: i64, value: Option<&[u8]>) -> Result<()> {
    let mut line = format!("{partition} {offset} ");
    for byte in value.unwrap_or_default() {
        write!(line, "{byte:02x}")?;
    }
    line.push('\n');
    Ok(std::io::stdout().write_all(line.as_bytes())?)
}

fn tell(error: &anyhow::Error) {
    eprintln!("told: {}", format!("{error:#}").replace('\n', " "));
}
