//! Sends reports, and counts what became of every one of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use almanac_core::place::Place;
use jiff::civil::Date;

use crate::failure::Failure;
use crate::kafka::{Batch, Connection, Deliveries, KafkaError, Producer};
use crate::lock::locked;
use crate::report::{Report, stamp};

/// Reports that did not reach the broker, or may not have.
#[derive(Clone, Debug, Default)]
pub struct Undelivered {
    /// Days whose first report it was.
    pub dates: Vec<Date>,
    pub repeats: u64,
    pub reason: String,
    /// How to set it right, if sending again would not.
    pub hint: Option<String>,
    /// Whether the broker did not know the topic.
    pub is_topic_unknown: bool,
}

/// The reports that Kafka has acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Acknowledged {
    pub days: u64,
    pub repeats: u64,
    pub oldest: Option<Date>,
    pub newest: Option<Date>,
}

/// Reports that wait to be acknowledged, while no others of their month are.
#[derive(Clone, Copy, Debug)]
pub struct Stuck {
    pub time: Duration,
    /// Their partition, if it is known from those before.
    pub partition: Option<i32>,
}

pub struct Sender {
    producer: Producer<Tally>,
    /// The end of each value: its station.
    stamp: Vec<u8>,
    /// The description of the place, as a header.
    place: Option<Vec<u8>>,
    /// A bit for each month of which a report with that header was queued. So the first one in each partition has it.
    introduced: AtomicU16,
}

impl Sender {
    pub fn new(connection: &Connection, topic: &str) -> Result<Self, KafkaError> {
        let producer = Producer::new(connection, topic, Tally::new())?;
        Ok(Sender { producer, stamp: Vec::new(), place: None, introduced: AtomicU16::default() })
    }

    /// Has all reports be of this place.
    pub fn at(mut self, place: &Place) -> Self {
        self.stamp = stamp(&place.station);
        self.place = (*place != Place::of(&*place.station)).then(|| place.to_header());
        self
    }

    /// Adds a report to a batch that is sent later, unless it must be sent by itself, with a header.
    pub fn push(&self, batch: &mut Batch, report: &Report, is_repeat: bool) -> bool {
        let may_push = self.header(report).is_none();
        if may_push {
            batch.push(report.key(), &self.encode(report), to_tag(report.date, is_repeat));
        }
        may_push
    }

    fn encode(&self, report: &Report) -> Vec<u8> {
        let mut value = report.encode();
        value.extend_from_slice(&self.stamp);
        value
    }

    /// The header that the first report of a month carries.
    fn header(&self, report: &Report) -> Option<(&str, &[u8])> {
        let place = self.place.as_deref()?;
        let is_introduced = self.introduced.load(Ordering::Relaxed) & month_bit(report) != 0;
        (!is_introduced).then_some((Place::HEADER, place))
    }

    /// Queues a report, waiting for room until `is_given_up` or one can't be delivered. Says whether there was room. Queued
    /// is not yet acknowledged.
    pub fn send(
        &self,
        report: &Report,
        is_repeat: bool,
        is_given_up: impl Fn() -> bool,
    ) -> Result<bool, KafkaError> {
        // The queue may never empty again; the caller sees the failure next.
        let is_given_up = || self.undelivered().is_some() || is_given_up();
        let tag = to_tag(report.date, is_repeat);
        let value = self.encode(report);
        let sent = self.producer.send(report.key(), &value, self.header(report), tag, is_given_up);
        let is_queued = sent.map_err(|error| error.with_action(format!("can't send {}", report.date)))?;
        if is_queued {
            self.introduced.fetch_or(month_bit(report), Ordering::Relaxed);
            self.tally().lane(tag).queued(self.tally().tick());
        }
        Ok(is_queued)
    }

    /// The same for a batch, which is empty then.
    pub fn send_batch(&self, batch: &mut Batch, is_given_up: impl Fn() -> bool) -> Result<bool, KafkaError> {
        let is_given_up = || self.undelivered().is_some() || is_given_up();
        let tally = self.tally();
        let now = tally.tick();
        self.producer.send_batch(batch, |tag| tally.lane(tag).queued(now), is_given_up)
    }

    /// Notes deliveries for `time`; with none, those that are there.
    pub fn poll(&self, time: Duration) {
        self.tally().tick();
        self.producer.poll(time);
    }

    /// Waits until it is known of everything sent what became of it, or `timeout` is over. Says whether it is.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.tally().tick();
        self.producer.flush(timeout)
    }

    /// Gives up what has not been acknowledged yet: each such report counts as undelivered.
    pub fn abandon(&self) {
        self.producer.purge();
    }

    pub fn acknowledged(&self) -> Acknowledged {
        let tally = self.tally();
        let day = |tag: &AtomicUsize, none| {
            Some(tag.load(Ordering::Relaxed)).filter(|tag| *tag != none).map(|tag| from_tag(tag).0)
        };
        Acknowledged {
            days: tally.days.load(Ordering::Relaxed),
            repeats: tally.repeats.load(Ordering::Relaxed),
            oldest: day(&tally.oldest, usize::MAX),
            newest: day(&tally.newest, 0),
        }
    }

    /// How many reports were queued that are neither acknowledged nor failed yet.
    pub fn pending(&self) -> u64 {
        self.tally().lanes.iter().map(|lane| lane.pending.load(Ordering::Relaxed)).sum()
    }

    /// For how long nothing has been acknowledged.
    pub fn quiet_for(&self) -> Duration {
        let tally = self.tally();
        let last = tally.lanes.iter().map(|lane| lane.moved.load(Ordering::Relaxed)).max();
        Duration::from_millis(tally.now().saturating_sub(last.expect("there are twelve lanes")))
    }

    /// The reports that have waited longest to be acknowledged.
    pub fn stuck(&self) -> Option<Stuck> {
        let tally = self.tally();
        let now = tally.now();
        tally.lanes.iter().filter_map(|lane| lane.stuck(now)).max_by_key(|stuck| stuck.time)
    }

    /// All that could not be delivered, once there is something.
    pub fn undelivered(&self) -> Option<Undelivered> {
        let tally = self.tally();
        // Read on every send, so without the lock.
        let has_failed = tally.failed.load(Ordering::Relaxed) > 0;
        has_failed.then(|| locked(&tally.undelivered).clone())
    }

    /// Forgets what could not be delivered, to send it again.
    pub fn forget_undelivered(&self) {
        let tally = self.tally();
        self.introduced.store(0, Ordering::Relaxed);
        *locked(&tally.undelivered) = Undelivered::default();
        tally.failed.store(0, Ordering::Relaxed);
    }

    fn tally(&self) -> &Tally {
        self.producer.deliveries()
    }
}

fn month_bit(report: &Report) -> u16 {
    1 << report.date.month().unsigned_abs()
}

/// Reports of a month, which all go to one partition.
#[derive(Default)]
struct Lane {
    pending: AtomicU64,
    /// When one was acknowledged last, or the first of those pending was queued; milliseconds of the producer's life.
    moved: AtomicU64,
    /// One more than the number of the partition, once it is known.
    partition: AtomicI32,
}

impl Lane {
    fn queued(&self, now: u64) {
        if self.pending.fetch_add(1, Ordering::Relaxed) == 0 {
            self.moved.store(now, Ordering::Relaxed);
        }
    }

    fn settled(&self, now: u64) {
        self.moved.store(now, Ordering::Relaxed);
        // Only the thread that sends and polls changes it.
        let pending = self.pending.load(Ordering::Relaxed);
        self.pending.store(pending.saturating_sub(1), Ordering::Relaxed);
    }

    fn stuck(&self, now: u64) -> Option<Stuck> {
        let time = Duration::from_millis(now.saturating_sub(self.moved.load(Ordering::Relaxed)));
        let partition = Some(self.partition.load(Ordering::Relaxed) - 1).filter(|partition| *partition >= 0);
        (self.pending.load(Ordering::Relaxed) > 0).then_some(Stuck { time, partition })
    }
}

struct Tally {
    began: Instant,
    /// The time of the last poll, in milliseconds since then: a clock that is read for each report takes a tenth of all.
    polled: AtomicU64,
    lanes: [Lane; 12],
    days: AtomicU64,
    repeats: AtomicU64,
    /// The tags of the oldest and the newest day; the largest and 0 for none.
    oldest: AtomicUsize,
    newest: AtomicUsize,
    failed: AtomicU64,
    undelivered: Mutex<Undelivered>,
}

impl Tally {
    fn new() -> Tally {
        Tally {
            began: Instant::now(),
            polled: AtomicU64::default(),
            lanes: Default::default(),
            days: AtomicU64::default(),
            repeats: AtomicU64::default(),
            oldest: AtomicUsize::new(usize::MAX),
            newest: AtomicUsize::default(),
            failed: AtomicU64::default(),
            undelivered: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).expect("no process runs for that long")
    }

    /// Notes the time, and returns it.
    fn tick(&self) -> u64 {
        let now = self.now();
        self.polled.store(now, Ordering::Relaxed);
        now
    }

    fn lane(&self, tag: usize) -> &Lane {
        &self.lanes[(month_of(tag) + 11) % 12]
    }
}

impl Deliveries for Tally {
    fn acknowledged(&self, tag: usize, partition: i32) {
        let lane = self.lane(tag);
        lane.settled(self.polled.load(Ordering::Relaxed));
        lane.partition.store(partition.saturating_add(1), Ordering::Relaxed);
        if tag & REPEAT != 0 {
            self.repeats.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.days.fetch_add(1, Ordering::Relaxed);
        self.oldest.fetch_min(tag, Ordering::Relaxed);
        self.newest.fetch_max(tag, Ordering::Relaxed);
    }

    fn failed(&self, tag: usize, error: KafkaError) {
        let (date, is_repeat) = from_tag(tag);
        self.lane(tag).settled(self.polled.load(Ordering::Relaxed));
        let mut undelivered = locked(&self.undelivered);
        match is_repeat {
            true => undelivered.repeats += 1,
            false => undelivered.dates.push(date),
        }
        if undelivered.reason.is_empty() {
            undelivered.is_topic_unknown = error.is_unknown_topic();
            undelivered.hint = error.hint();
            undelivered.reason = error.reason();
        }
        drop(undelivered);
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Fits in 32 bits, above the date.
const REPEAT: usize = 1 << 30;

/// A date and whether it was sent before, in the pointer-sized word that comes back with the delivery report.
fn to_tag(date: Date, is_repeat: bool) -> usize {
    let part = |number: i8| usize::from(number.unsigned_abs());
    let date = usize::from(date.year().unsigned_abs()) * 10_000 + part(date.month()) * 100 + part(date.day());
    date | if is_repeat { REPEAT } else { 0 }
}

/// 1 is January.
fn month_of(tag: usize) -> usize {
    (tag & !REPEAT) / 100 % 100
}

fn from_tag(tag: usize) -> (Date, bool) {
    let (date, is_repeat) = (tag & !REPEAT, tag & REPEAT != 0);
    let date = || {
        let year = i16::try_from(date / 10_000).ok()?;
        let month = i8::try_from(date / 100 % 100).ok()?;
        Date::new(year, month, i8::try_from(date % 100).ok()?).ok()
    };
    (date().expect("a tag is made of a date"), is_repeat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_comes_back_as_it_went() {
        for date in [Date::constant(1, 1, 1), Date::constant(2000, 2, 29), Date::constant(9999, 12, 31)] {
            for is_repeat in [false, true] {
                assert_eq!(from_tag(to_tag(date, is_repeat)), (date, is_repeat));
            }
        }
    }

    #[test]
    fn a_lane_is_stuck_as_long_as_nothing_of_it_moves() {
        let lane = Lane::default();
        assert!(lane.stuck(5000).is_none());
        lane.queued(1000);
        lane.queued(3000);
        assert_eq!(lane.stuck(5000).map(|stuck| stuck.time), Some(Duration::from_secs(4)));
        lane.settled(4500);
        assert_eq!(lane.stuck(5000).map(|stuck| stuck.time), Some(Duration::from_millis(500)));
        lane.settled(4600);
        assert!(lane.stuck(9000).is_none());
    }
}
