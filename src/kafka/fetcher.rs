//! Reads partitions over connections of its own, from their leaders, in bulk and at the end of the log.
//!
//! librdkafka makes an object of each record, which costs more than all that is done with it after, and hides the
//! batches' headers, without which a record's offset can't be checked. Here the bytes of a response are checked and
//! decoded in place. librdkafka reads partitions only where brokers are reached in a way that only it knows.
//!
//! Each fetch is by topic id, and has the leader epoch of the record read last: a broker whose log is another, or was
//! truncated, says so instead of giving records. A broker that does not answer affects the partitions that it leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use almanac_core::protocol::lookups::{ListedOffset, OffsetOf};
use almanac_core::protocol::wire::{self, Broker, Limits, Metadata, TopicId, Wanted};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::assignment::{Position, StartAt};
use super::cluster::Cluster;
use super::config::Connection;
use super::error::KafkaError;
use super::link::{Connecting, Link, wait_for_any};
use super::response::Response;

const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long the first look at the topic may take. A group waits for it.
const START_MAX: Duration = Duration::from_secs(3);
/// How long a broker may send nothing while a response is due.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// After that the other brokers are asked whether they lead its partitions by now, and the user may hear of it.
const SILENCE_LONG: Duration = Duration::from_secs(1);
/// Connections to one broker: it fills one while the response on the other one is counted.
const LINKS_MAX: usize = 2;
const REFRESH_EVERY: Duration = Duration::from_millis(250);
const RECONNECT_AFTER: Duration = Duration::from_millis(50);
const RECONNECT_AFTER_MAX: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// How soon it is noticed that a thread has connected or has an answer.
const THREADS_CHECK_EVERY: Duration = Duration::from_millis(2);
const PAUSE_CHECK_EVERY: Duration = Duration::from_millis(20);

/// The partitions of one topic that are read here.
pub(super) struct Fetcher {
    cluster: Arc<Cluster>,
    topic: String,
    client_id: String,
    limits: Limits,
    silence_max: Duration,
    /// Of the topic that the offsets belong to; unknown until a broker was heard.
    topic_id: Option<TopicId>,
    /// Whether another topic of this name is read from its start, once there is one.
    follows: bool,
    brokers: Vec<Broker>,
    /// Broker and leader epoch, by partition.
    leaders: BTreeMap<i32, (i32, i32)>,
    refresh: Refresh,
    links: Vec<BrokerLink>,
    pub(super) readings: BTreeMap<i32, Reading>,
    handed_over: Vec<Position>,
    rounds: u64,
    errors: u64,
    last_error: Option<String>,
}

/// A partition that is being read.
pub(super) struct Reading {
    /// Unknown until the end is, where reading starts there.
    pub(super) next_offset: Option<i64>,
    resolving: Option<JoinHandle<Result<ListedOffset, KafkaError>>>,
    pub(super) last_epoch: Option<i32>,
    link: Option<LinkId>,
    /// The round in which it last brought something: the one that has waited longest is asked for first.
    pub(super) served: u64,
    paused_until: Option<Instant>,
    /// How often in a row a response could not be believed.
    pub(super) doubts: u32,
    /// Where a batch began that should begin at `next_offset`: believed if another response has the same.
    pub(super) begins_at: Option<i64>,
    /// Whether records were missing within the log.
    pub(super) has_gaps: bool,
    /// The offset at which the end was seen, and how often.
    pub(super) end_seen: (i64, u32),
    pub(super) high_watermark: Option<i64>,
    pub(super) last_stable_offset: Option<i64>,
    /// Why nothing comes, and since when.
    obstacle: Option<(Instant, String)>,
}

/// A broker, and which of the connections to it.
type LinkId = (i32, usize);

struct BrokerLink {
    id: LinkId,
    address: String,
    state: LinkState,
    /// The partitions of the request in flight, and from which offset.
    requested: Vec<(i32, i64)>,
    attempts: u32,
    is_long_silent: bool,
}

enum LinkState {
    Closed { until: Instant },
    Connecting(Connecting),
    Open(Link),
}

/// A response that is complete.
struct Arrived {
    link: LinkId,
    /// The partitions of its request, and from which offset.
    requested: Vec<(i32, i64)>,
    correlation: i32,
}

/// Where the leaders are, asked for by a thread.
struct Refresh {
    is_wanted: bool,
    last: Option<Instant>,
    thread: Option<JoinHandle<Result<Metadata, KafkaError>>>,
}

impl Fetcher {
    /// Nothing if the brokers are reached in a way that only librdkafka knows, or are too old.
    pub(super) fn start(connection: &Connection, topic: &str, topic_id: Option<&str>) -> Option<Fetcher> {
        let cluster = Cluster::new(connection)?;
        if let Ok(false) = cluster.has_all_requests(START_MAX) {
            tracing::debug!("the brokers are older than Kafka 3.1, so librdkafka reads");
            return None;
        }
        let decode = |id: &str| URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok();
        let silence = connection.number("socket.timeout.ms").map(Duration::from_millis);
        let mut fetcher = Fetcher {
            topic: topic.to_owned(),
            client_id: connection.client_id().to_owned(),
            limits: connection.fetch_limits(),
            silence_max: silence.map_or(SILENCE_MAX, |silence| silence.min(SILENCE_MAX)),
            topic_id: topic_id.and_then(decode),
            follows: false,
            brokers: Vec::new(),
            leaders: BTreeMap::new(),
            refresh: Refresh { is_wanted: true, last: None, thread: None },
            links: Vec::new(),
            readings: BTreeMap::new(),
            handed_over: Vec::new(),
            rounds: 0,
            errors: 0,
            last_error: None,
            cluster: Arc::new(cluster),
        };
        let metadata = fetcher.cluster.metadata(topic, START_MAX);
        fetcher.learn(metadata, &mut Vec::new());
        Some(fetcher)
    }

    /// One that reads another topic of this name from its start, once there is one.
    pub(super) fn following(mut self) -> Fetcher {
        self.follows = true;
        self
    }

    /// One that does not wait at the end of the log, as its reader stops there.
    pub(super) fn bounded(mut self) -> Fetcher {
        self.limits.wait_ms = 1;
        self
    }

    pub(super) fn add(&mut self, position: Position) {
        let (next_offset, last_epoch) = match position.start {
            StartAt::Offset { next_offset, leader_epoch } => (Some(next_offset), leader_epoch),
            StartAt::End => (None, None),
        };
        self.readings.insert(position.partition, Reading::new(next_offset, last_epoch));
    }

    /// Reads a partition no more. Says whether it was read here.
    pub(super) fn remove(&mut self, partition: i32) -> bool {
        self.readings.remove(&partition).is_some()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.readings.is_empty()
    }

    pub(super) fn reading(&self, partition: i32) -> Option<&Reading> {
        self.readings.get(&partition)
    }

    /// The positions of partitions that librdkafka is to read from now on.
    pub(super) fn take_handed_over(&mut self) -> Vec<Position> {
        std::mem::take(&mut self.handed_over)
    }

    pub(super) fn take_error_count(&mut self) -> u64 {
        std::mem::take(&mut self.errors)
    }

    pub(super) fn take_error_text(&mut self) -> Option<String> {
        self.last_error.take()
    }

    /// Waits up to `patience` for a response, and puts what it brings into `response`.
    pub(super) fn poll(&mut self, response: &mut Response, patience: Duration) {
        response.clear();
        let mut failures = Vec::new();
        self.take_refreshed(&mut failures);
        self.resolve_ends();
        self.assign_links();
        self.open_links();
        self.request();
        if failures.is_empty() {
            self.wait(patience);
        }
        if let Some(arrived) = self.receive(response) {
            self.rounds += 1;
            if !self.take(response, &arrived) {
                self.close(arrived.link, "a response does not follow the protocol");
            }
        }
        failures.into_iter().for_each(|(partition, error)| response.push_failure(partition, error));
        self.close_silent();
        self.refresh_if_wanted();
        // The broker works on the next response while this one is counted.
        self.request();
    }

    fn take_refreshed(&mut self, failures: &mut Vec<(Option<i32>, KafkaError)>) {
        let Some(thread) = self.refresh.thread.take_if(|thread| thread.is_finished()) else { return };
        // A panic there is a bug, and shows on stderr.
        if let Ok(metadata) = thread.join() {
            self.learn(metadata, failures);
        }
    }

    /// Takes in where the leaders are.
    fn learn(
        &mut self,
        metadata: Result<Metadata, KafkaError>,
        failures: &mut Vec<(Option<i32>, KafkaError)>,
    ) {
        self.refresh.last = Some(Instant::now());
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => return self.count_error(error.to_string()),
        };
        self.brokers = metadata.brokers;
        let Ok(topic) = metadata.topic else { return };
        self.refresh.is_wanted = false;
        let known = *self.topic_id.get_or_insert(topic.id);
        if known != topic.id && !self.follows {
            failures.push((None, KafkaError::other_topic(&self.topic)));
            return;
        }
        if known != topic.id {
            self.topic_id = Some(topic.id);
            self.readings.values_mut().for_each(Reading::start_over);
        }
        let led = topic.partitions.iter();
        self.leaders = led.filter_map(|led| Some((led.partition, (led.leader?, led.leader_epoch)))).collect();
        for (partition, reading) in &mut self.readings {
            let leader = self.leaders.get(partition).map(|(leader, _)| *leader);
            if reading.link.is_some_and(|(broker, _)| Some(broker) != leader) {
                reading.link = None;
            }
            if leader.is_none() {
                reading.meets(|| format!("partition {partition} has no leader"));
                self.refresh.is_wanted = true;
            }
        }
    }

    fn refresh_if_wanted(&mut self) {
        let is_due = self.refresh.last.is_none_or(|last| last.elapsed() >= REFRESH_EVERY);
        if !self.refresh.is_wanted || !is_due || self.refresh.thread.is_some() {
            return;
        }
        let (cluster, topic) = (Arc::clone(&self.cluster), self.topic.clone());
        let ask = move || cluster.metadata(&topic, ANSWER_MAX);
        match thread::Builder::new().spawn(ask) {
            Ok(thread) => self.refresh.thread = Some(thread),
            Err(error) => self.count_error(error.to_string()),
        }
    }

    /// Finds the ends at which reading is to start.
    fn resolve_ends(&mut self) {
        for (&partition, reading) in &mut self.readings {
            if reading.next_offset.is_some() || reading.is_paused() {
                continue;
            }
            match reading.resolving.take() {
                None => {
                    let (cluster, topic) = (Arc::clone(&self.cluster), self.topic.clone());
                    let ask = move || cluster.offset(&topic, partition, OffsetOf::End, ANSWER_MAX);
                    reading.resolving = thread::Builder::new().spawn(ask).ok();
                }
                Some(thread) if !thread.is_finished() => reading.resolving = Some(thread),
                Some(thread) => match thread.join() {
                    Ok(Ok(end)) => reading.next_offset = Some(end.offset),
                    Ok(Err(error)) => {
                        reading.meets(|| error.to_string());
                        reading.pause();
                    }
                    Err(_) => reading.pause(),
                },
            }
        }
    }

    /// Gives each reading a connection to its partition's leader.
    fn assign_links(&mut self) {
        let mut is_missing = false;
        let unlinked: Vec<i32> = self
            .readings
            .iter()
            .filter(|(_, reading)| reading.link.is_none())
            .map(|(&partition, _)| partition)
            .collect();
        for partition in unlinked {
            let Some(&(broker, _)) = self.leaders.get(&partition) else {
                is_missing = true;
                continue;
            };
            let load = |link: LinkId| self.readings.values().filter(|other| other.link == Some(link)).count();
            let doubts = self.readings.get(&partition).map_or(0, |reading| reading.doubts);
            // What could not be believed is read again over the other connection.
            let number = match doubts {
                0 => (0..LINKS_MAX).min_by_key(|&number| load((broker, number))).unwrap_or(0),
                doubts => doubts as usize % LINKS_MAX,
            };
            let id = (broker, number);
            let is_there = self.links.iter().any(|link| link.id == id) || self.make_link(id);
            is_missing |= !is_there;
            if let Some(reading) = self.readings.get_mut(&partition).filter(|_| is_there) {
                reading.link = Some(id);
            }
        }
        self.refresh.is_wanted |= is_missing;
        let readings = &self.readings;
        // Brokers end unused connections after some time.
        self.links.retain(|link| readings.values().any(|reading| reading.link == Some(link.id)));
    }

    fn make_link(&mut self, id: LinkId) -> bool {
        let Some(broker) = self.brokers.iter().find(|broker| broker.id == id.0) else { return false };
        self.links.push(BrokerLink {
            id,
            address: broker.address(),
            state: LinkState::Closed { until: Instant::now() },
            requested: Vec::new(),
            attempts: 0,
            is_long_silent: false,
        });
        true
    }

    fn open_links(&mut self) {
        let mut failed = Vec::new();
        for link in &mut self.links {
            let closed = LinkState::Closed { until: Instant::now() };
            link.state = match std::mem::replace(&mut link.state, closed) {
                LinkState::Closed { until } if until <= Instant::now() => {
                    match Link::start_connecting(&link.address) {
                        Ok(thread) => LinkState::Connecting(thread),
                        Err(error) => {
                            failed.push((link.id, error.to_string()));
                            LinkState::Closed { until }
                        }
                    }
                }
                LinkState::Connecting(thread) if thread.is_finished() => match thread.join() {
                    Ok(Ok(open)) => {
                        link.attempts = 0;
                        LinkState::Open(open)
                    }
                    Ok(Err(error)) => {
                        failed.push((link.id, error.to_string()));
                        LinkState::Closed { until: Instant::now() }
                    }
                    Err(_) => LinkState::Closed { until: Instant::now() + RECONNECT_AFTER_MAX },
                },
                state => state,
            };
        }
        for (id, reason) in failed {
            self.close(id, &reason);
        }
    }

    /// Requests from each broker what is wanted of it, unless a response is due.
    fn request(&mut self) {
        let mut failed = Vec::new();
        let Some(topic_id) = self.topic_id else { return };
        for link in &mut self.links {
            let LinkState::Open(open) = &mut link.state else { continue };
            if open.is_waiting() {
                continue;
            }
            let mut wanted: Vec<(u64, Wanted)> = self
                .readings
                .iter()
                .filter(|(_, reading)| reading.link == Some(link.id) && !reading.is_paused())
                .filter_map(|(&partition, reading)| {
                    let (next_offset, last_epoch) = (reading.next_offset?, reading.last_epoch);
                    let (_, leader_epoch) = *self.leaders.get(&partition)?;
                    Some((reading.served, Wanted { partition, next_offset, leader_epoch, last_epoch }))
                })
                .collect();
            if wanted.is_empty() {
                continue;
            }
            wanted.sort_by_key(|(served, _)| *served);
            let wanted: Vec<Wanted> = wanted.into_iter().map(|(_, wanted)| wanted).collect();
            link.requested = wanted.iter().map(|wanted| (wanted.partition, wanted.next_offset)).collect();
            let correlation = open.next_correlation();
            let request = wire::fetch_request(correlation, &self.client_id, &topic_id, self.limits, &wanted);
            if let Err(error) = open.send(&request) {
                failed.push((link.id, error.to_string()));
            }
        }
        for (id, reason) in failed {
            self.close(id, &reason);
        }
    }

    fn wait(&mut self, patience: Duration) {
        let has_threads = self.refresh.thread.is_some()
            || self.links.iter().any(|link| matches!(link.state, LinkState::Connecting(_)))
            || self.readings.values().any(|reading| reading.resolving.is_some());
        let has_pauses = self.refresh.is_wanted
            || self.links.iter().any(|link| matches!(link.state, LinkState::Closed { .. }))
            || self.readings.values().any(|reading| reading.paused_until.is_some());
        let patience = match (has_threads, has_pauses) {
            (true, _) => patience.min(THREADS_CHECK_EVERY),
            (false, true) => patience.min(PAUSE_CHECK_EVERY),
            (false, false) => patience,
        };
        let waiting = self.links.iter().filter_map(BrokerLink::waiting);
        if let Err(error) = wait_for_any(waiting, patience) {
            self.count_error(error.to_string());
        }
    }

    /// Takes the first response that is complete.
    fn receive(&mut self, response: &mut Response) -> Option<Arrived> {
        let mut failed = Vec::new();
        let mut received = None;
        for (index, link) in self.links.iter_mut().enumerate() {
            let LinkState::Open(open) = &mut link.state else { continue };
            if !open.is_waiting() {
                continue;
            }
            match open.receive() {
                Ok(false) => {}
                Ok(true) => {
                    response.take_from(open);
                    link.is_long_silent = false;
                    let requested = std::mem::take(&mut link.requested);
                    let correlation = open.correlation();
                    received = Some((index, Arrived { link: link.id, requested, correlation }));
                    break;
                }
                Err(error) => failed.push((link.id, error.to_string())),
            }
        }
        if let Some((index, _)) = &received {
            // Last in turn the next time: else what the first broker has would come before all that the others have.
            self.links[*index..].rotate_left(1);
        }
        for (id, reason) in failed {
            self.close(id, &reason);
        }
        received.map(|(_, received)| received)
    }

    fn close_silent(&mut self) {
        let mut silent = Vec::new();
        for link in &mut self.links {
            let LinkState::Open(open) = &link.state else { continue };
            let silence = open.silence();
            if silence >= self.silence_max {
                silent.push((link.id, format!("no response for {} s", silence.as_secs())));
            } else if silence >= SILENCE_LONG && !link.is_long_silent {
                link.is_long_silent = true;
                self.refresh.is_wanted = true;
                let reason = || format!("broker {} at {} does not answer", link.id.0, link.address);
                for reading in self.readings.values_mut().filter(|reading| reading.link == Some(link.id)) {
                    reading.meets(reason);
                }
            }
        }
        for (id, reason) in silent {
            self.close(id, &reason);
        }
    }

    /// Ends a connection, to be made again a little later if its broker still leads what it led.
    fn close(&mut self, id: LinkId, reason: &str) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
        let pause = RECONNECT_AFTER.saturating_mul(1 << link.attempts.min(8)).min(RECONNECT_AFTER_MAX);
        link.state = LinkState::Closed { until: Instant::now() + pause };
        link.requested.clear();
        link.attempts += 1;
        link.is_long_silent = false;
        let text = format!("broker {} at {} does not answer ({reason})", id.0, link.address);
        tracing::debug!("{text}");
        for reading in self.readings.values_mut().filter(|reading| reading.link == Some(id)) {
            reading.meets(|| text.clone());
        }
        self.refresh.is_wanted = true;
        self.count_error(text);
    }

    fn count_error(&mut self, text: String) {
        self.errors += 1;
        self.last_error = Some(text);
    }

    /// Takes in what a response says. Says whether it follows the protocol.
    fn take(&mut self, response: &mut Response, arrived: &Arrived) -> bool {
        let Some(topic_id) = self.topic_id else { return false };
        let (bytes, parts) = response.split();
        let Ok(fetched) = wire::fetched(bytes, arrived.correlation, &topic_id) else { return false };
        // A response has each partition of the request, once. Nothing protects their numbers on the way, and where two
        // partitions are at the same offset, records of one would pass for those of the other. A broker that holds back, for
        // a quota, sends none of them.
        let sorted = |mut partitions: Vec<i32>| {
            partitions.sort_unstable();
            partitions
        };
        let answered = sorted(fetched.iter().map(|fetched| fetched.partition).collect());
        let wanted = sorted(arrived.requested.iter().map(|(partition, _)| *partition).collect());
        if !answered.is_empty() && answered != wanted {
            return false;
        }
        for fetched in fetched {
            let partition = fetched.partition;
            let Some(reading) = self.readings.get_mut(&partition) else { continue };
            let Some(next_offset) = reading.next_offset else { continue };
            // One that was removed meanwhile, and perhaps added again from elsewhere.
            let is_wanted = arrived.requested.contains(&(partition, next_offset));
            if reading.link != Some(arrived.link) || !is_wanted {
                continue;
            }
            match reading.take(fetched, bytes, parts, self.rounds) {
                Taken::Good => reading.obstacle = None,
                Taken::Doubtful => reading.link = None,
                Taken::Refused(error) if error.is_transient() => {
                    reading.pause();
                    reading.link = None;
                    reading.meets(|| error.to_string());
                    self.refresh.is_wanted = true;
                    self.errors += 1;
                }
                // The offset was another topic's.
                Taken::Refused(error) if self.follows && error.is_out_of_range() => {
                    *reading = Reading::new(None, None);
                }
                Taken::Refused(error) => {
                    reading.pause_for(Duration::from_secs(1));
                    reading.doubts = 0;
                    self.refresh.is_wanted |= error.is_unknown_topic();
                    parts.push(super::response::Part::Failed(Some(partition), Some(error)));
                }
                Taken::Unusual => {
                    tracing::debug!(partition, next_offset, "librdkafka reads from here");
                    self.handed_over.extend(reading.position(partition));
                    self.readings.remove(&partition);
                }
            }
        }
        true
    }
}

impl BrokerLink {
    /// The connection, if a response is due on it.
    fn waiting(&self) -> Option<&Link> {
        match &self.state {
            LinkState::Open(link) if link.is_waiting() => Some(link),
            _ => None,
        }
    }
}

/// What became of a partition's part of a response.
pub(super) enum Taken {
    Good,
    /// It can't be believed, or not yet: to be read again.
    Doubtful,
    Refused(KafkaError),
    /// Only librdkafka can decode what comes next.
    Unusual,
}

impl Reading {
    pub(super) fn new(next_offset: Option<i64>, last_epoch: Option<i32>) -> Reading {
        Reading {
            next_offset,
            resolving: None,
            last_epoch,
            link: None,
            served: 0,
            paused_until: None,
            doubts: 0,
            begins_at: None,
            has_gaps: false,
            end_seen: (-1, 0),
            high_watermark: None,
            last_stable_offset: None,
            obstacle: None,
        }
    }

    fn position(&self, partition: i32) -> Option<Position> {
        let start = StartAt::Offset { next_offset: self.next_offset?, leader_epoch: self.last_epoch };
        Some(Position { partition, start })
    }

    fn start_over(&mut self) {
        *self = Reading::new(Some(0), None);
    }

    fn is_paused(&self) -> bool {
        self.paused_until.is_some_and(|until| Instant::now() < until)
    }

    fn pause(&mut self) {
        self.pause_for(RETRY_AFTER);
    }

    fn pause_for(&mut self, time: Duration) {
        self.paused_until = Some(Instant::now() + time);
    }

    /// Notes why nothing comes; the first reason of several in a row keeps its time.
    fn meets(&mut self, reason: impl FnOnce() -> String) {
        let since = self.obstacle.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        self.obstacle = Some((since, reason()));
    }

    /// Why nothing comes, if that is so for longer than a moment.
    pub(super) fn obstacle(&self) -> Option<&str> {
        let (since, reason) = self.obstacle.as_ref()?;
        (since.elapsed() >= SILENCE_LONG).then_some(reason)
    }
}
