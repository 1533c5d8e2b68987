//! source → producer: makes the topic what it must be, then sends one day after the other.

mod sender;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use almanac_core::place::shown_station;
use jiff::civil::Date;

use crate::failure::{Exit, Failure};
use crate::kafka::{
    Batch, Connection, FailoverAdmin, Health, HealthCheck, KafkaError, Span, Topic, hint_for, read_spans,
};
use crate::lock::locked;
use crate::note;
use crate::report::Decoder;
use crate::source::Sent;
use crate::stop::Stop;
use crate::text::quoted;

pub use sender::{Acknowledged, Sender, Stuck, Undelivered};

/// How long a deleted topic may take to be gone, and a new one to be there.
const TOPIC_CHANGE_MAX: Duration = Duration::from_secs(60);
/// How soon the first report is sent again.
const RESEND_AFTER: Duration = Duration::from_millis(200);
const TOPIC_POLL: Duration = Duration::from_millis(20);
/// A topic's newest day is among its last records: repeats follow their original by 40 days at most.
const TAIL_RECORDS: i64 = 1000;
/// How long to wait for acknowledgements after a request to stop.
/// Container engines kill 10 s after SIGTERM, and then the producer could not report the missing acknowledgements.
const STOP_FLUSH_MAX: Duration = Duration::from_secs(5);
/// A sender that fell further behind than this does not catch up in a burst.
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Reports that are queued at once, if there is no interval.
const BATCH: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),

    #[error("topic {topic} is there already, on {brokers}, which is not this machine")]
    WouldDelete { topic: String, brokers: String },

    #[error("topic {topic} is still there {} s after it was deleted", TOPIC_CHANGE_MAX.as_secs())]
    NotGone { topic: String },

    #[error("topic {topic} is not there yet {} s after it was created", TOPIC_CHANGE_MAX.as_secs())]
    NotThere { topic: String },

    #[error(
        "topic {topic} was created by somebody else meanwhile, with {found} partitions instead of {wanted}"
    )]
    CreatedByOthers { topic: String, found: i32, wanted: i32 },

    #[error("topic {topic} holds reports of {theirs}, and these are of {ours}")]
    OtherPlace { topic: String, ours: String, theirs: String, first: String },

    #[error("stopped: {0}")]
    Undelivered(Dates),
}

impl Failure for ProduceError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            // Another producer may have replaced it.
            ProduceError::Kafka(error) if error.is_unknown_topic() => {
                "run the command again, with --append to keep what the topic has by now"
            }
            ProduceError::Kafka(error) => return error.hint(),
            ProduceError::WouldDelete { .. } => {
                "add --append to keep its records, or --recreate to delete them"
            }
            ProduceError::CreatedByOthers { .. } => {
                "stop what creates it, such as the broker's auto.create.topics.enable, and run the command again"
            }
            ProduceError::OtherPlace { first, .. } => {
                return Some(format!(
                    "name another --topic, or add --station-id {} if the days are of that place",
                    quoted(first)
                ));
            }
            ProduceError::Undelivered(Dates(Undelivered { hint: Some(hint), .. })) => hint,
            ProduceError::Undelivered(_) => {
                "run `almanac producer` with --append, or `almanac up` again, to send what is missing"
            }
            ProduceError::NotGone { .. } | ProduceError::NotThere { .. } => return None,
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        match self {
            ProduceError::Kafka(error) => error.exit(),
            ProduceError::WouldDelete { .. } | ProduceError::OtherPlace { .. } => Exit::Usage,
            ProduceError::NotGone { .. }
            | ProduceError::NotThere { .. }
            | ProduceError::CreatedByOthers { .. }
            | ProduceError::Undelivered(_) => Exit::Kafka,
        }
    }
}

/// The state that the topic must have before the first report is sent.
#[derive(Clone, Debug)]
pub struct TopicPlan {
    pub topic: String,
    pub partitions: i32,
    pub replication: i32,
    /// Keep the topic that is there.
    pub append: bool,
    /// Delete the topic that is there, even on another machine.
    pub recreate: bool,
    /// The station of the reports.
    pub station: String,
}

/// The topic as found, and the changes made to it.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Records deleted, and the newest day among them.
    pub deleted: Option<(i64, Option<Date>)>,
    /// The days of the station that are in the topic, when appending.
    pub present: HashSet<Date>,
    /// The first value of each of these days in °C.
    pub values: HashMap<Date, f64>,
    /// Partitions of the topic as it is now.
    pub partitions: i32,
}

/// Makes the topic what `plan` says.
pub fn prepare(connection: &Connection, plan: &TopicPlan, stop: &Stop) -> Result<Prepared, ProduceError> {
    let mut admin = FailoverAdmin::new(connection, stop)?;
    let mut prepared = Prepared { partitions: plan.partitions, ..Prepared::default() };
    let found = describe(&mut admin, &plan.topic)?;
    if let Some(found) = &found {
        if plan.append {
            prepared.partitions = found.partitions;
            let all = extent(&mut admin, &plan.topic, found.partitions)?;
            let found = reports_in(connection, &plan.topic, &all, Some(&plan.station))?;
            if found.days.is_empty() && !found.others.is_empty() {
                return Err(found.refuse(plan));
            }
            prepared.present = found.days.keys().copied().collect();
            prepared.values = found.days;
            return Ok(prepared);
        }
        if !plan.recreate && !connection.is_loopback() {
            let brokers = connection.brokers.clone();
            return Err(ProduceError::WouldDelete { topic: plan.topic.clone(), brokers });
        }
        prepared.deleted = Some(delete(connection, &mut admin, &plan.topic, found)?);
    }
    create(&mut admin, plan, found.as_ref())?;
    Ok(prepared)
}

fn describe(admin: &mut FailoverAdmin, topic: &str) -> Result<Option<Topic>, KafkaError> {
    admin.request(|admin, time| admin.describe(topic, time))
}

/// All that each partition holds now.
fn extent(admin: &mut FailoverAdmin, topic: &str, partitions: i32) -> Result<Vec<Span>, KafkaError> {
    let span = |partition| {
        let (start, end) = admin.request(|admin, time| admin.watermarks(topic, partition, time))?;
        Ok(Span { partition, start, end })
    };
    (0..partitions).map(span).collect()
}

/// The valid reports of a topic.
#[derive(Debug, Default)]
struct Found {
    /// With their first values in °C.
    days: HashMap<Date, f64>,
    /// Other stations than the one that was asked for; some of them, if there are many.
    others: BTreeSet<String>,
}

impl Found {
    fn refuse(self, plan: &TopicPlan) -> ProduceError {
        let theirs: Vec<String> = self.others.iter().map(|station| shown_station(station)).collect();
        ProduceError::OtherPlace {
            topic: plan.topic.clone(),
            ours: shown_station(&plan.station),
            theirs: theirs.join(", "),
            first: self.others.into_iter().next().unwrap_or_default(),
        }
    }
}

/// The reports that valid records of these spans hold: the days of a station, or of any.
fn reports_in(
    connection: &Connection,
    topic: &str,
    spans: &[Span],
    wanted: Option<&str>,
) -> Result<Found, KafkaError> {
    const OTHERS_MAX: usize = 20;
    let (mut found, mut decoder) = (Found::default(), Decoder::default());
    read_spans(connection, topic, spans, |record| match decoder.decode_with_station(record.value) {
        Ok((report, station)) if wanted.is_none_or(|wanted| wanted == station) => {
            found.days.entry(report.date).or_insert(report.degrees);
        }
        Ok((_, station)) if found.others.len() < OTHERS_MAX && !found.others.contains(station) => {
            found.others.insert(station.to_owned());
        }
        _ => {}
    })?;
    Ok(found)
}

/// Deletes the topic and waits until it is really gone; says what went with it.
fn delete(
    connection: &Connection,
    admin: &mut FailoverAdmin,
    topic: &str,
    found: &Topic,
) -> Result<(i64, Option<Date>), ProduceError> {
    let all = extent(admin, topic, found.partitions)?;
    let records = all.iter().map(Span::len).sum();
    let tails: Vec<Span> = all.into_iter().map(|span| span.tail(TAIL_RECORDS)).collect();
    let newest = reports_in(connection, topic, &tails, None)?.days.into_keys().max();
    // Asked for a second time, it is gone already; then the describe tells.
    admin.request(|admin, time| admin.delete(topic, time))?;
    let is_gone = || Ok(describe(admin, topic)?.is_none_or(|now| now.id != found.id));
    match wait_until(is_gone)? {
        true => Ok((records, newest)),
        false => Err(ProduceError::NotGone { topic: topic.to_owned() }),
    }
}

/// Creates the topic and verifies it: its partitions, and that it is not the former one.
fn create(admin: &mut FailoverAdmin, plan: &TopicPlan, former: Option<&Topic>) -> Result<(), ProduceError> {
    // "Exists already" may still mean the former topic, so it is asked for again until a deadline.
    let is_created = || {
        let is_created = admin
            .request(|admin, time| admin.create(&plan.topic, plan.partitions, plan.replication, time))?;
        Ok(is_created || is_another(describe(admin, &plan.topic)?.as_ref(), former))
    };
    if !wait_until(is_created)? {
        return Err(ProduceError::NotGone { topic: plan.topic.clone() });
    }
    let mut created = None;
    wait_until(|| {
        created = describe(admin, &plan.topic)?;
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

/// How long nothing may be acknowledged before Kafka is asked whether it answers.
const QUIET_MAX: Duration = Duration::from_millis(400);
/// How long reports may wait while Kafka answers.
const STUCK_MAX: Duration = Duration::from_secs(4);
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// Why reports are not acknowledged, while they are not; read by others while it is watched.
#[derive(Debug, Default)]
pub struct Trouble(Mutex<Option<String>>);

impl Trouble {
    pub fn now(&self) -> Option<String> {
        locked(&self.0).clone()
    }

    /// Says each trouble once, and once that it is over.
    fn set(&self, next: Option<String>) {
        let mut now = locked(&self.0);
        match (&*now, &next) {
            (None, Some(trouble)) => tracing::warn!(hint = hint_for(trouble), "{trouble}"),
            (Some(_), None) => note!("Kafka answers again"),
            _ => {}
        }
        *now = next;
    }
}

/// Says when Kafka stops to answer, and when it answers again, until it is `over`.
pub fn watch(
    connection: &Connection,
    topic: &str,
    sender: &Sender,
    trouble: &Trouble,
    over: &Stop,
) -> Result<(), KafkaError> {
    let mut health = HealthCheck::new(connection, topic)?;
    while !over.wait(WATCH_EVERY) {
        let is_quiet = sender.quiet_for() >= QUIET_MAX;
        if trouble.now().is_none() && !is_quiet {
            continue;
        }
        if !is_quiet && sender.stuck().is_none_or(|stuck| stuck.time < QUIET_MAX) {
            trouble.set(None);
            continue;
        }
        match health.check() {
            Health::Unsure => {}
            Health::Silent(error) => {
                // Kafka is still away, as was reported before.
                if trouble.now().is_none() {
                    trouble.set(Some(silent(connection, error)));
                }
            }
            Health::Answers(leaders) => {
                let stuck = sender.stuck().filter(|stuck| stuck.time >= STUCK_MAX);
                let leader = stuck.and_then(|stuck| {
                    let partition = stuck.partition?;
                    Some((partition, leaders.get(&partition)?.clone()))
                });
                let cause = stuck.map(|_| match leader {
                    Some((partition, Some(leader))) if !health.does_leader_answer(partition) => {
                        format!(
                            "broker {leader}, which leads partition {partition}, does not answer; waiting"
                        )
                    }
                    Some((partition, None)) => format!("partition {partition} has no leader; waiting"),
                    _ => "Kafka answers, but does not acknowledge the days sent; waiting".to_owned(),
                });
                trouble.set(cause);
            }
        }
    }
    Ok(())
}

fn silent(connection: &Connection, error: KafkaError) -> String {
    let brokers = &connection.brokers;
    format!("Kafka does not answer; waiting for {brokers} ({})", error.reason())
}

/// Sends each report, a new day every `interval`, until there are no more or it is asked to stop.
///
/// Kafka acknowledges the very first report before the next is sent. So the first day in a topic is where its sending
/// began, and a producer that appends to it later knows which days are missing.
pub fn send_all(
    sender: &Sender,
    reports: impl Iterator<Item = Sent>,
    interval: Duration,
    stop: &Stop,
) -> Result<(), ProduceError> {
    let mut due = Instant::now();
    let mut batch = Batch::default();
    for (index, sent) in (0_u64..).zip(reports) {
        if !sent.is_repeat && !interval.is_zero() {
            wait_for_tick(sender, due, stop);
            due = (due + interval).max(Instant::now().checked_sub(BEHIND_MAX).unwrap_or(due));
        }
        if stop.is_asked() {
            break;
        }
        if index == 0 {
            if !send_first(sender, &sent, stop)? {
                break;
            }
            continue;
        }
        if !sender.push(&mut batch, &sent.report, sent.is_repeat) {
            if send_batch(sender, &mut batch, stop)?
                && sender.send(&sent.report, sent.is_repeat, || stop.is_asked())?
            {
                continue;
            }
            break;
        }
        if (interval.is_zero() && !batch.has(BATCH)) || send_batch(sender, &mut batch, stop)? {
            continue;
        }
        break;
    }
    if !stop.is_asked() {
        send_batch(sender, &mut batch, stop)?;
    }
    flush(sender, stop)
}

/// Queues the reports of a batch; says whether there was room.
fn send_batch(sender: &Sender, batch: &mut Batch, stop: &Stop) -> Result<bool, ProduceError> {
    let is_queued = sender.send_batch(batch, || stop.is_asked())?;
    sender.poll(Duration::ZERO);
    refuse_undelivered(sender)?;
    Ok(is_queued)
}

/// Sends the first report alone. A broker that was paused may not know a topic that was just created; nothing came after the
/// report, so it can be sent again.
fn send_first(sender: &Sender, sent: &Sent, stop: &Stop) -> Result<bool, ProduceError> {
    let deadline = Instant::now() + TOPIC_CHANGE_MAX;
    loop {
        let is_queued = sender.send(&sent.report, sent.is_repeat, || stop.is_asked());
        let error: ProduceError = match is_queued.map_err(ProduceError::from).and_then(|is_queued| {
            flush(sender, stop)?;
            Ok(is_queued)
        }) {
            Ok(is_queued) => return Ok(is_queued),
            Err(error) => error,
        };
        let is_topic_unknown = match &error {
            ProduceError::Kafka(error) => error.is_unknown_topic(),
            ProduceError::Undelivered(Dates(undelivered)) => undelivered.is_topic_unknown,
            _ => false,
        };
        if !is_topic_unknown || Instant::now() >= deadline || stop.is_asked() {
            return Err(error);
        }
        tracing::debug!(%error, "sending the first report again");
        sender.forget_undelivered();
        stop.wait(RESEND_AFTER);
    }
}

fn wait_for_tick(sender: &Sender, due: Instant, stop: &Stop) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        sender.poll(left.min(Duration::from_millis(50)));
        if left.is_zero() || stop.is_asked() || sender.undelivered().is_some() {
            return;
        }
    }
}

/// Waits until everything sent is acknowledged. Once asked to stop, not for long.
fn flush(sender: &Sender, stop: &Stop) -> Result<(), ProduceError> {
    let mut stopping_since = None;
    while !sender.flush(Duration::from_millis(100)) {
        refuse_undelivered(sender)?;
        if stop.is_asked() && stopping_since.get_or_insert_with(Instant::now).elapsed() > STOP_FLUSH_MAX {
            sender.abandon();
        }
    }
    refuse_undelivered(sender)
}

/// At the first report that can't be delivered nothing more goes out, and all that did not arrive are named.
fn refuse_undelivered(sender: &Sender) -> Result<(), ProduceError> {
    if sender.undelivered().is_none() {
        return Ok(());
    }
    sender.abandon();
    Err(ProduceError::Undelivered(Dates(
        sender.undelivered().expect("a report that failed stays undelivered"),
    )))
}

/// Undelivered reports, as a message names them.
#[derive(Debug)]
pub struct Dates(Undelivered);

impl fmt::Display for Dates {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        const NAMED_MAX: usize = 20;
        let Undelivered { dates, repeats, reason, .. } = &self.0;
        let mut dates = dates.clone();
        dates.sort_unstable();
        dates.dedup();
        write!(formatter, "{} days and {repeats} repeats were not acknowledged", dates.len())?;
        if !dates.is_empty() {
            let named: Vec<String> = dates.iter().take(NAMED_MAX).map(Date::to_string).collect();
            write!(formatter, ": {}", named.join(", "))?;
        }
        if dates.len() > NAMED_MAX {
            write!(formatter, " and {} more", dates.len() - NAMED_MAX)?;
        }
        write!(formatter, " ({reason})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undelivered_dates_are_named_once_and_in_order() {
        let dates = [3, 1, 3, 2].map(|day| jiff::civil::date(2000, 1, day)).to_vec();
        let message = Dates(Undelivered {
            dates,
            repeats: 1,
            reason: "timed out".to_owned(),
            ..Undelivered::default()
        })
        .to_string();
        assert_eq!(
            message,
            "3 days and 1 repeats were not acknowledged: 2000-01-01, 2000-01-02, 2000-01-03 (timed out)"
        );
    }

    #[test]
    fn only_the_first_of_many_undelivered_dates_are_named() {
        let dates = (1..=31).map(|day| jiff::civil::date(2000, 1, day)).collect();
        let message = Dates(Undelivered {
            dates,
            repeats: 0,
            reason: "timed out".to_owned(),
            ..Undelivered::default()
        })
        .to_string();
        assert!(
            message.starts_with("31 days and 0 repeats were not acknowledged: 2000-01-01, "),
            "{message}"
        );
        assert!(message.contains("2000-01-20 and 11 more (timed out)"), "{message}");
    }
}
