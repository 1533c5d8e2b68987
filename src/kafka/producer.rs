//! Sends records, and reports what becomes of each of them.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
};

use super::config::{Connection, Context, property_error};
use super::error::KafkaError;
use super::native::{Outgoing, OutgoingTopic};
use super::permission::Operation;

const CANT_SEND: &str = "can't send";

/// How long a poll waits where the queue is full or to be emptied.
const QUEUE_POLL: Duration = Duration::from_millis(2);
/// How long what was purged may take to be reported.
const PURGE_MAX: Duration = Duration::from_millis(100);

/// Receives the outcome of each record, with the tag that it was sent with, during a poll.
pub trait Deliveries: Send + Sync + 'static {
    fn acknowledged(&self, tag: usize, partition: i32);
    /// The record did not reach the broker, or may not have.
    fn failed(&self, tag: usize, error: KafkaError);
}

/// Sends the records of one topic.
pub struct Producer<D: Deliveries> {
    /// Before the client, which must outlive it. Made for the first batch: the client keeps what it knows of a topic, and
    /// earlier that may be a former topic.
    batches: OnceLock<OutgoingTopic>,
    client: BaseProducer<Reports<D>>,
    topic: String,
}

/// Records to be sent in one call, in order.
#[derive(Debug, Default)]
pub struct Batch {
    records: Vec<Queued>,
    values: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    key: &'static str,
    /// The end of its value in `values`.
    end: usize,
    tag: usize,
}

impl Batch {
    pub fn push(&mut self, key: &'static str, value: &[u8], tag: usize) {
        self.values.extend_from_slice(value);
        self.records.push(Queued { key, end: self.values.len(), tag });
    }

    pub fn has(&self, records: usize) -> bool {
        self.records.len() >= records
    }

    fn clear(&mut self) {
        self.records.clear();
        self.values.clear();
    }

    fn outgoing(&self) -> Vec<Outgoing<'_>> {
        let mut start = 0;
        let outgoing = |record: &Queued| {
            let value = &self.values[std::mem::replace(&mut start, record.end)..record.end];
            Outgoing { key: record.key.as_bytes(), value, tag: record.tag }
        };
        self.records.iter().map(outgoing).collect()
    }
}

impl<D: Deliveries> Producer<D> {
    pub fn new(connection: &Connection, topic: &str, deliveries: D) -> Result<Self, KafkaError> {
        let reports = Reports { client: Context::default(), topic: topic.to_owned(), deliveries };
        let client =
            connection.producer().create_with_context(reports).map_err(|error| property_error(&error))?;
        Ok(Producer { batches: OnceLock::new(), client, topic: topic.to_owned() })
    }

    pub fn deliveries(&self) -> &D {
        &self.client.context().deliveries
    }

    /// Queues a record. While the queue is full, polls until `is_given_up`; says whether there was room in the end. Queued
    /// is not yet acknowledged.
    pub fn send(
        &self,
        key: &str,
        value: &[u8],
        header: Option<(&str, &[u8])>,
        tag: usize,
        is_given_up: impl Fn() -> bool,
    ) -> Result<bool, KafkaError> {
        let mut record = BaseRecord::with_opaque_to(&self.topic, tag).key(key).payload(value);
        if let Some((key, value)) = header {
            record = record.headers(OwnedHeaders::new().insert(Header { key, value: Some(value) }));
        }
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(true),
                Err((ClientError::MessageProduction(Code::QueueFull), refused)) => {
                    record = refused;
                    self.client.poll(QUEUE_POLL);
                }
                Err((error, _)) => {
                    return Err(self.refusal(KafkaError::client(CANT_SEND, &error)));
                }
            }
            if is_given_up() {
                return Ok(false);
            }
        }
    }

    /// The error of a record that the client does not take: if it has given up, that says why.
    fn refusal(&self, error: KafkaError) -> KafkaError {
        let fatal = self.client.client().fatal_error();
        let error = fatal.map_or(error, |(code, _)| KafkaError::code(CANT_SEND, code));
        error.needing_on(Operation::Write, &self.topic)
    }

    /// Queues the records of a batch and empties it, and says the tag of each to `is_queued`. While the queue is full, polls
    /// until `is_given_up`; says whether there was room in the end. Queued is not yet acknowledged.
    pub fn send_batch(
        &self,
        batch: &mut Batch,
        mut is_queued: impl FnMut(usize),
        is_given_up: impl Fn() -> bool,
    ) -> Result<bool, KafkaError> {
        let topic = match self.batches.get() {
            Some(topic) => topic,
            None => {
                let topic = OutgoingTopic::new(self.client.client(), &self.topic)?;
                self.batches.get_or_init(|| topic)
            }
        };
        let records = batch.outgoing();
        let mut left = &records[..];
        let result = loop {
            let sent = topic.send(left).map_err(|code| self.refusal(KafkaError::code(CANT_SEND, code)));
            let Ok(taken) = sent else { break sent.map(|_| false) };
            left[..taken].iter().for_each(|record| is_queued(record.tag));
            left = &left[taken..];
            if left.is_empty() {
                break Ok(true);
            }
            self.client.poll(QUEUE_POLL);
            if is_given_up() {
                break Ok(false);
            }
        };
        batch.clear();
        result
    }

    /// Reports deliveries for `time`; with none, those that are there.
    pub fn poll(&self, time: Duration) {
        let deadline = Instant::now() + time;
        // The client counts in milliseconds, and would spin through a part of one.
        self.client.poll(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
    }

    /// Waits until each record is reported, or `timeout` is over. Says whether all are.
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        // Not the client's own flush, which takes all of `timeout` even where the reports come at once.
        while self.client.in_flight_count() > 0 && Instant::now() < deadline {
            self.client.poll(QUEUE_POLL);
        }
        self.client.in_flight_count() == 0
    }

    /// Gives up what is not acknowledged yet: each such record fails.
    pub fn purge(&self) {
        self.client.purge(PurgeConfig::default().queue().inflight());
        self.poll(PURGE_MAX);
    }
}

struct Reports<D> {
    client: Context,
    topic: String,
    deliveries: D,
}

impl<D: Deliveries> ClientContext for Reports<D> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.client.error(error, reason);
    }
}

impl<D: Deliveries> ProducerContext for Reports<D> {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        match result {
            Ok(message) => self.deliveries.acknowledged(tag, message.partition()),
            Err((error, _)) => {
                let error = match self.client.last_error() {
                    // Without the right to write, the client gets no number as an idempotent producer, and gives up.
                    Some(cause) if cause.is_denial() => KafkaError::code(String::new(), cause.code),
                    cause => {
                        KafkaError::client(String::new(), error).with_cause(cause.map(|cause| cause.reason))
                    }
                };
                self.deliveries.failed(tag, error.needing_on(Operation::Write, &self.topic));
            }
        }
    }
}
