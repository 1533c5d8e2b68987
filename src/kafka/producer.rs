use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::config::{Connection, Context, property_error};
use super::error::KafkaError;
use crate::report::Report;

/// Reports that did not reach the broker, or may not have.
#[derive(Clone, Debug, Default)]
pub struct Undelivered {
    /// Days whose first report it was.
    pub dates: Vec<Date>,
    pub repeats: u64,
    pub reason: String,
}

/// What Kafka has acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Acknowledged {
    pub days: u64,
    pub repeats: u64,
    pub newest: Option<Date>,
}

/// Reports that wait to be acknowledged, while no others of their month are.
#[derive(Clone, Copy, Debug)]
pub struct Stuck {
    pub time: Duration,
    /// Where they go, if that is known from those before.
    pub partition: Option<i32>,
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
            .create_with_context(Deliveries::new())
            .map_err(|error| property_error(&error))?;
        Ok(Producer { client, topic: topic.to_owned() })
    }

    /// Hands a report to the client, waiting for room in its queue until `is_given_up`; says whether there was any. Sent is
    /// not yet delivered.
    pub fn send(
        &self,
        report: &Report,
        is_repeat: bool,
        is_given_up: impl Fn() -> bool,
    ) -> Result<bool, KafkaError> {
        let value = report.encode();
        let mut record = BaseRecord::with_opaque_to(&self.topic, to_opaque(report.date, is_repeat))
            .key(report.key())
            .payload(&value[..]);
        loop {
            match self.client.send(record) {
                Ok(()) => {
                    self.client.context().lane(report.date).handed(self.client.context().now());
                    return Ok(true);
                }
                Err((ClientError::MessageProduction(Code::QueueFull), refused)) => {
                    record = refused;
                    self.client.poll(Duration::from_millis(2));
                }
                Err((error, _)) => {
                    return Err(KafkaError::client(format!("can't send {}", report.date), &error));
                }
            }
            if self.undelivered().is_some() || is_given_up() {
                // The queue may never empty again; the caller sees the failure next.
                return Ok(false);
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

    pub fn acknowledged(&self) -> Acknowledged {
        let deliveries = self.client.context();
        Acknowledged {
            days: deliveries.days.load(Ordering::Relaxed),
            repeats: deliveries.repeats.load(Ordering::Relaxed),
            newest: deliveries.newest.lock().map_or(None, |newest| *newest),
        }
    }

    /// How many reports were handed to the client, of which nothing has been heard yet.
    pub fn pending(&self) -> u64 {
        self.client.context().lanes.iter().map(|lane| lane.pending.load(Ordering::Relaxed)).sum()
    }

    /// For how long nothing has been acknowledged.
    pub fn quiet_for(&self) -> Duration {
        let deliveries = self.client.context();
        let last = deliveries.lanes.iter().map(|lane| lane.moved.load(Ordering::Relaxed)).max();
        Duration::from_millis(deliveries.now().saturating_sub(last.unwrap_or(0)))
    }

    /// What has been waiting longest.
    pub fn stuck(&self) -> Option<Stuck> {
        let deliveries = self.client.context();
        let now = deliveries.now();
        deliveries.lanes.iter().filter_map(|lane| lane.stuck(now)).max_by_key(|stuck| stuck.time)
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

/// Reports of a month, which all go to one partition.
#[derive(Default)]
struct Lane {
    pending: AtomicU64,
    /// When one was acknowledged last, or the first of those pending was handed over; milliseconds of the producer's life.
    moved: AtomicU64,
    /// One more than the number of the partition, once it is known.
    partition: AtomicI32,
}

impl Lane {
    fn handed(&self, now: u64) {
        if self.pending.fetch_add(1, Ordering::Relaxed) == 0 {
            self.moved.store(now, Ordering::Relaxed);
        }
    }

    fn answered(&self, now: u64) {
        self.moved.store(now, Ordering::Relaxed);
        self.pending.update(Ordering::Relaxed, Ordering::Relaxed, |pending| pending.saturating_sub(1));
    }

    fn stuck(&self, now: u64) -> Option<Stuck> {
        let time = Duration::from_millis(now.saturating_sub(self.moved.load(Ordering::Relaxed)));
        let partition = Some(self.partition.load(Ordering::Relaxed) - 1).filter(|partition| *partition >= 0);
        (self.pending.load(Ordering::Relaxed) > 0).then_some(Stuck { time, partition })
    }
}

struct Deliveries {
    client: Context,
    began: Instant,
    lanes: [Lane; 12],
    days: AtomicU64,
    repeats: AtomicU64,
    newest: Mutex<Option<Date>>,
    failed: AtomicU64,
    undelivered: Mutex<Undelivered>,
}

impl Deliveries {
    fn new() -> Deliveries {
        Deliveries {
            client: Context::default(),
            began: Instant::now(),
            lanes: Default::default(),
            days: AtomicU64::default(),
            repeats: AtomicU64::default(),
            newest: Mutex::default(),
            failed: AtomicU64::default(),
            undelivered: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lane(&self, date: Date) -> &Lane {
        &self.lanes[usize::from(date.month().unsigned_abs()).saturating_sub(1) % 12]
    }

    fn acknowledge(&self, date: Date, is_repeat: bool) {
        if is_repeat {
            self.repeats.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.days.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut newest) = self.newest.lock() {
            *newest = (*newest).max(Some(date));
        }
    }
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
        let Some((date, is_repeat)) = from_opaque(opaque) else { return };
        let lane = self.lane(date);
        lane.answered(self.now());
        let Err((error, _)) = result else {
            if let Ok(message) = result {
                lane.partition.store(message.partition().saturating_add(1), Ordering::Relaxed);
            }
            self.acknowledge(date, is_repeat);
            return;
        };
        if let Ok(mut undelivered) = self.undelivered.lock() {
            match is_repeat {
                true => undelivered.repeats += 1,
                false => undelivered.dates.push(date),
            }
            if undelivered.reason.is_empty() {
                let error = KafkaError::client(String::new(), error).reason();
                undelivered.reason = match self.client.last_error() {
                    Some(cause) => format!("{error}; {}", cause.reason),
                    None => error,
                };
            }
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Fits in 32 bits, above the date.
const REPEAT: usize = 1 << 30;

/// A date in the pointer-sized word that comes back with the delivery report, and whether it was sent before.
fn to_opaque(date: Date, is_repeat: bool) -> usize {
    let part = |number: i8| usize::from(number.unsigned_abs());
    let date = usize::from(date.year().unsigned_abs()) * 10_000 + part(date.month()) * 100 + part(date.day());
    date | if is_repeat { REPEAT } else { 0 }
}

fn from_opaque(opaque: usize) -> Option<(Date, bool)> {
    let (date, is_repeat) = (opaque & !REPEAT, opaque & REPEAT != 0);
    let year = i16::try_from(date / 10_000).ok()?;
    let month = i8::try_from(date / 100 % 100).ok()?;
    let day = i8::try_from(date % 100).ok()?;
    Some((Date::new(year, month, day).ok()?, is_repeat))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_comes_back_as_it_went() {
        for date in [Date::constant(1, 1, 1), Date::constant(2000, 2, 29), Date::constant(9999, 12, 31)] {
            for is_repeat in [false, true] {
                assert_eq!(from_opaque(to_opaque(date, is_repeat)), Some((date, is_repeat)));
            }
        }
    }

    #[test]
    fn a_lane_is_stuck_as_long_as_nothing_of_it_moves() {
        let lane = Lane::default();
        assert!(lane.stuck(5000).is_none());
        lane.handed(1000);
        lane.handed(3000);
        assert_eq!(lane.stuck(5000).map(|stuck| stuck.time), Some(Duration::from_secs(4)));
        lane.answered(4500);
        assert_eq!(lane.stuck(5000).map(|stuck| stuck.time), Some(Duration::from_millis(500)));
        lane.answered(4600);
        assert!(lane.stuck(9000).is_none());
    }
}
