use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::config::{Context, property_error};
use super::{Connection, KafkaError};
use crate::report::Report;

/// Reports that did not reach the broker, or may not have.
#[derive(Clone, Debug, Default)]
pub struct Undelivered {
    pub dates: Vec<Date>,
    pub reason: String,
}

/// Sends reports, and looks at what became of every one of them.
pub struct Producer {
    client: BaseProducer<Deliveries>,
    topic: String,
}

impl Producer {
    pub fn new(connection: &Connection, topic: &str) -> Result<Self, KafkaError> {
        let client = connection
            .producer()
            .create_with_context(Deliveries::default())
            .map_err(|error| property_error(&error))?;
        Ok(Producer { client, topic: topic.to_owned() })
    }

    /// Hands a report to the client, waiting for room in its queue. Sent is not yet delivered.
    pub fn send(&self, report: &Report) -> Result<(), KafkaError> {
        let value = report.encode();
        let mut record = BaseRecord::with_opaque_to(&self.topic, to_opaque(report.date))
            .key(report.key())
            .payload(&value[..]);
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((ClientError::MessageProduction(Code::QueueFull), refused)) => {
                    record = refused;
                    self.client.poll(Duration::from_millis(2));
                }
                Err((error, _)) => {
                    return Err(KafkaError::client(format!("can't send {}", report.date), &error));
                }
            }
            if self.undelivered().is_some() {
                // The queue may never empty again; the caller sees the failure next.
                return Ok(());
            }
        }
    }

    /// Serves delivery reports for `time`; with none, those that are there.
    pub fn serve(&self, time: Duration) {
        let deadline = Instant::now() + time;
        // The client counts in milliseconds, and would spin through a part of one.
        self.client.poll(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
    }

    /// Waits until everything sent has its delivery report, or `timeout` is over. Says whether it has.
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        // Not the client's own flush, which takes all of `timeout` even where the reports come at once.
        while self.client.in_flight_count() > 0 && Instant::now() < deadline {
            self.client.poll(Duration::from_millis(2));
        }
        self.client.in_flight_count() == 0
    }

    /// How many reports the broker has acknowledged.
    pub fn delivered(&self) -> u64 {
        self.client.context().delivered.load(Ordering::Relaxed)
    }

    /// What could not be delivered, as soon as there is something.
    pub fn undelivered(&self) -> Option<Undelivered> {
        let deliveries = self.client.context();
        // Read on every send, so without the lock.
        if deliveries.failed.load(Ordering::Relaxed) == 0 {
            return None;
        }
        deliveries.undelivered.lock().ok().map(|undelivered| undelivered.clone())
    }

    /// Gives up what has not been delivered yet: each such report counts as undelivered.
    pub fn abandon(&self) {
        self.client.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
        self.serve(Duration::from_millis(100));
    }
}

#[derive(Default)]
struct Deliveries {
    client: Context,
    delivered: AtomicU64,
    failed: AtomicU64,
    undelivered: Mutex<Undelivered>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.client.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let Err((error, _)) = result else {
            self.delivered.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if let Ok(mut undelivered) = self.undelivered.lock() {
            undelivered.dates.extend(from_opaque(opaque));
            if undelivered.reason.is_empty() {
                undelivered.reason = match self.client.last_error() {
                    Some(cause) => format!("{error}; {}", cause.reason),
                    None => error.to_string(),
                };
            }
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A date in the pointer-sized word that comes back with the delivery report.
fn to_opaque(date: Date) -> usize {
    let part = |number: i8| usize::from(number.unsigned_abs());
    usize::from(date.year().unsigned_abs()) * 10_000 + part(date.month()) * 100 + part(date.day())
}

fn from_opaque(opaque: usize) -> Option<Date> {
    let year = i16::try_from(opaque / 10_000).ok()?;
    let month = i8::try_from(opaque / 100 % 100).ok()?;
    let day = i8::try_from(opaque % 100).ok()?;
    Date::new(year, month, day).ok()
}
