//! source → producer: makes the topic what it must be, then sends one day after the other.

use std::collections::HashSet;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::civil::Date;

use crate::kafka::{Admin, Connection, KafkaError, Producer, Span, Topic, Undelivered, extent, read_spans};
use crate::report::Decoder;
use crate::source::Sent;
use crate::stop::Stop;

/// How long a broker may take to answer at all.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long a deleted topic may take to be gone, and a new one to be there.
const TOPIC_CHANGE_MAX: Duration = Duration::from_secs(60);
const TOPIC_POLL: Duration = Duration::from_millis(20);
/// A topic's newest day is among its last records: repeats follow their original by 40 days at most.
const TAIL_RECORDS: i64 = 1000;
/// How long to wait, once asked to stop, for what was sent already.
const STOP_FLUSH_MAX: Duration = Duration::from_secs(10);
/// A sender that fell further behind than this does not catch up in a burst.
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Sends between two looks at the delivery reports, when going as fast as it goes.
const SENDS_PER_SERVE: u64 = 256;

#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),

    #[error(
        "topic {topic} is there already, on {brokers}, which is not this machine\nhint: --recreate deletes it with all its records and begins again, --append goes on in it"
    )]
    WouldDelete { topic: String, brokers: String },

    #[error("topic {topic} is still there {} s after it was deleted", TOPIC_CHANGE_MAX.as_secs())]
    NotGone { topic: String },

    #[error("topic {topic} is not there yet {} s after it was created", TOPIC_CHANGE_MAX.as_secs())]
    NotThere { topic: String },

    #[error(
        "topic {topic} was created by somebody else meanwhile, with {found} partitions instead of {wanted}\nhint: stop what creates it (auto.create.topics.enable on the broker?) and run this again"
    )]
    CreatedByOthers { topic: String, found: i32, wanted: i32 },

    #[error("stopped: {0}")]
    Undelivered(Dates),
}

/// What the topic must be before the first report goes out.
#[derive(Clone, Debug)]
pub struct TopicPlan {
    pub topic: String,
    pub partitions: i32,
    pub replication: i32,
    /// Keep the topic that is there.
    pub append: bool,
    /// Delete the topic that is there, even on another machine.
    pub recreate: bool,
}

/// What was found and done.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Records deleted, and the newest day among them.
    pub deleted: Option<(i64, Option<Date>)>,
    /// The days that are in the topic, when appending.
    pub present: HashSet<Date>,
    /// Partitions of the topic as it is now.
    pub partitions: i32,
}

/// Makes the topic what `plan` says.
pub fn prepare(connection: &Connection, plan: &TopicPlan) -> Result<Prepared, ProduceError> {
    let admin = Admin::new(connection)?;
    let mut prepared = Prepared { partitions: plan.partitions, ..Prepared::default() };
    let found = admin.describe(&plan.topic, ANSWER_MAX)?;
    if let Some(found) = &found {
        if plan.append {
            prepared.partitions = found.partitions;
            let all = extent(&admin, &plan.topic, found.partitions)?;
            prepared.present = dates_in(connection, &plan.topic, &all)?;
            return Ok(prepared);
        }
        if !plan.recreate && !connection.is_loopback() {
            let brokers = connection.brokers.clone();
            return Err(ProduceError::WouldDelete { topic: plan.topic.clone(), brokers });
        }
        prepared.deleted = Some(delete(connection, &admin, &plan.topic, found)?);
    }
    create(&admin, plan, found.as_ref())?;
    Ok(prepared)
}

/// The days that valid records of these spans report.
fn dates_in(connection: &Connection, topic: &str, spans: &[Span]) -> Result<HashSet<Date>, KafkaError> {
    let mut dates = HashSet::new();
    let mut decoder = Decoder::default();
    read_spans(connection, topic, spans, |record| {
        dates.extend(decoder.decode(record.value).map(|report| report.date));
    })?;
    Ok(dates)
}

/// Deletes the topic and waits until it is really gone; says what went with it.
fn delete(
    connection: &Connection,
    admin: &Admin,
    topic: &str,
    found: &Topic,
) -> Result<(i64, Option<Date>), ProduceError> {
    let all = extent(admin, topic, found.partitions)?;
    let records = all.iter().map(Span::len).sum();
    let tails: Vec<Span> = all.into_iter().map(|span| span.tail(TAIL_RECORDS)).collect();
    let newest = dates_in(connection, topic, &tails)?.into_iter().max();
    admin.delete(topic, ANSWER_MAX)?;
    let is_gone = || Ok(admin.describe(topic, ANSWER_MAX)?.is_none_or(|now| now.id != found.id));
    match wait_until(is_gone)? {
        true => Ok((records, newest)),
        false => Err(ProduceError::NotGone { topic: topic.to_owned() }),
    }
}

/// Creates the topic and verifies it: its partitions, and that it is not the former one.
fn create(admin: &Admin, plan: &TopicPlan, former: Option<&Topic>) -> Result<(), ProduceError> {
    // "Exists already" may still mean the former topic, so it is asked for again until a deadline.
    let is_created = || {
        Ok(admin.create(&plan.topic, plan.partitions, plan.replication, ANSWER_MAX)?
            || is_another(admin.describe(&plan.topic, ANSWER_MAX)?.as_ref(), former))
    };
    if !wait_until(is_created)? {
        return Err(ProduceError::NotGone { topic: plan.topic.clone() });
    }
    let mut created = None;
    wait_until(|| {
        created = admin.describe(&plan.topic, ANSWER_MAX)?;
        Ok(is_another(created.as_ref(), former))
    })?;
    match created {
        Some(created) if created.partitions == plan.partitions => Ok(()),
        Some(other) => Err(ProduceError::CreatedByOthers {
            topic: plan.topic.clone(),
            found: other.partitions,
            wanted: plan.partitions,
        }),
        None => Err(ProduceError::NotThere { topic: plan.topic.clone() }),
    }
}

fn is_another(now: Option<&Topic>, former: Option<&Topic>) -> bool {
    now.is_some_and(|now| former.is_none_or(|former| former.id != now.id))
}

/// Asks until the answer is yes, or the time for a topic's change is over; says which.
fn wait_until(mut condition: impl FnMut() -> Result<bool, ProduceError>) -> Result<bool, ProduceError> {
    let deadline = Instant::now() + TOPIC_CHANGE_MAX;
    while !condition()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(TOPIC_POLL);
    }
    Ok(true)
}

/// How far the sending is; read by others while it goes on.
#[derive(Debug, Default)]
pub struct Progress {
    days: AtomicU64,
    repeats: AtomicU64,
    newest: Mutex<Option<Date>>,
}

impl Progress {
    pub fn days(&self) -> u64 {
        self.days.load(Ordering::Relaxed)
    }

    pub fn repeats(&self) -> u64 {
        self.repeats.load(Ordering::Relaxed)
    }

    pub fn newest(&self) -> Option<Date> {
        self.newest.lock().map_or(None, |newest| *newest)
    }

    fn sent(&self, sent: &Sent) {
        if sent.is_repeat {
            self.repeats.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.days.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut newest) = self.newest.lock() {
            *newest = (*newest).max(Some(sent.report.date));
        }
    }
}

/// Sends each report, a new day every `interval`, until there are no more or it is asked to stop.
///
/// The very first is acknowledged before the next goes out: so the first day in a topic is where its sending
/// began, and whoever appends to it later can tell which days are missing.
pub fn send_all(
    producer: &Producer,
    reports: impl Iterator<Item = Sent>,
    interval: Duration,
    stop: &Stop,
    progress: &Progress,
) -> Result<(), ProduceError> {
    let mut due = Instant::now();
    for (index, sent) in (0_u64..).zip(reports) {
        if !sent.is_repeat && !interval.is_zero() {
            wait_for_tick(producer, due, stop);
            due = (due + interval).max(Instant::now().checked_sub(BEHIND_MAX).unwrap_or(due));
        }
        if stop.is_asked() {
            break;
        }
        producer.send(&sent.report)?;
        progress.sent(&sent);
        if index == 0 {
            flush(producer, stop)?;
        } else if index % SENDS_PER_SERVE == 0 {
            producer.serve(Duration::ZERO);
        }
        refuse_undelivered(producer)?;
    }
    flush(producer, stop)
}

fn wait_for_tick(producer: &Producer, due: Instant, stop: &Stop) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        producer.serve(left.min(Duration::from_millis(50)));
        if left.is_zero() || stop.is_asked() || producer.undelivered().is_some() {
            return;
        }
    }
}

/// Waits until everything sent is acknowledged. Once asked to stop, not for long.
fn flush(producer: &Producer, stop: &Stop) -> Result<(), ProduceError> {
    let mut stopping_since = None;
    while !producer.flush(Duration::from_millis(100)) {
        refuse_undelivered(producer)?;
        if stop.is_asked() && stopping_since.get_or_insert_with(Instant::now).elapsed() > STOP_FLUSH_MAX {
            producer.abandon();
        }
    }
    refuse_undelivered(producer)
}

/// At the first report that can't be delivered nothing more goes out, and all that did not arrive are named.
fn refuse_undelivered(producer: &Producer) -> Result<(), ProduceError> {
    if producer.undelivered().is_none() {
        return Ok(());
    }
    producer.abandon();
    Err(ProduceError::Undelivered(Dates(producer.undelivered().unwrap_or_default())))
}

/// Undelivered reports, as a message names them.
#[derive(Debug)]
pub struct Dates(Undelivered);

impl fmt::Display for Dates {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        const NAMED_MAX: usize = 20;
        let mut dates = self.0.dates.clone();
        dates.sort_unstable();
        dates.dedup();
        let named: Vec<String> = dates.iter().take(NAMED_MAX).map(Date::to_string).collect();
        write!(formatter, "reports not known to have arrived: {}", named.join(", "))?;
        if dates.len() > NAMED_MAX {
            write!(formatter, " and {} more", dates.len() - NAMED_MAX)?;
        }
        write!(formatter, " ({})\nhint: 'almanac producer --append' sends what is missing", self.0.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undelivered_dates_are_named_once_and_in_order() {
        let dates = [3, 1, 3, 2].map(|day| jiff::civil::date(2000, 1, day)).to_vec();
        let message = Dates(Undelivered { dates, reason: "timed out".to_owned() }).to_string();
        assert_eq!(
            message,
            "reports not known to have arrived: 2000-01-01, 2000-01-02, 2000-01-03 (timed out)\n\
             hint: 'almanac producer --append' sends what is missing"
        );
    }

    #[test]
    fn only_the_first_of_many_undelivered_dates_are_named() {
        let dates = (1..=31).map(|day| jiff::civil::date(2000, 1, day)).collect();
        let message = Dates(Undelivered { dates, reason: "timed out".to_owned() }).to_string();
        assert!(message.contains("2000-01-20 and 11 more (timed out)"), "{message}");
    }
}
