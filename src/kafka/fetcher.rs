//! Reads partitions over connections of its own, from their leaders, in bulk and at the end of the log.
//!
//! librdkafka makes an object of each record, which costs more than everything after it. It also hides the headers of
//! batches, without which a record's offset can't be checked. The fetcher checks and decodes a response in place.
//!
//! Each fetch has the topic ID and the leader epoch of the record read last. So a broker whose log is another, or was
//! truncated, says so and gives no records. A broker that does not answer affects only the partitions that it leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use almanac_core::protocol::wire::{self, Broker, Fetched, Limits, Metadata, NewLeader, TopicId, Wanted};

use super::admin::topic_id_of;
use super::assignment::{Position, StartAt};
use super::cluster::Cluster;
use super::config::Connection;
use super::error::KafkaError;
use super::links::{Arrived, Failure, LINKS_PER_BROKER, LinkId, Links, Requested};
use super::permission::Operation;
use super::reading::{Outcome, Reading};
use super::response::{Part, Response};
use super::timeouts::SHORT_REQUEST_TIMEOUT;

/// How long the first request about the topic may take. A group waits for it.
const START_MAX: Duration = Duration::from_secs(3);
/// How long a broker may send nothing while a response is due.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const REFRESH_EVERY: Duration = Duration::from_millis(250);
const OBSTACLE_REFRESH_EVERY: Duration = Duration::from_secs(1);
/// How long a partition waits after an error that lasts.
const FAILED_RETRY_AFTER: Duration = Duration::from_secs(1);
/// How soon it is noticed that a thread has connected or has an answer.
const THREADS_CHECK_EVERY: Duration = Duration::from_millis(2);
const PAUSE_CHECK_EVERY: Duration = Duration::from_millis(20);

/// The partitions of one topic that are read here.
pub(super) struct Fetcher {
    cluster: Arc<Cluster>,
    topic: String,
    client_id: String,
    fetch_version: i16,
    /// Whether each broker has answered a fetch of this version. One that failed before it did may be older than the one that
    /// was asked, as in a rolling upgrade.
    has_version: BTreeMap<i32, bool>,
    limits: Limits,
    /// Of the topic that the offsets belong to; unknown until a broker has answered.
    topic_id: Option<TopicId>,
    /// Whether another topic of this name is read from its start, once there is one.
    follows: bool,
    brokers: Vec<Broker>,
    leaders: BTreeMap<i32, Leader>,
    refresh: Refresh,
    links: Links,
    readings: BTreeMap<i32, Reading>,
    handed_over: Vec<Position>,
    rounds: u64,
    errors: u64,
    last_error: Option<String>,
}

#[derive(Clone, Copy)]
struct Leader {
    broker: i32,
    epoch: i32,
}

/// A thread asks where the leaders are.
struct Refresh {
    is_wanted: bool,
    last: Option<Instant>,
    thread: Option<JoinHandle<Result<Metadata, KafkaError>>>,
}

impl Fetcher {
    /// Nothing if only librdkafka can reach the brokers, or they are too old.
    pub(super) fn start(
        connection: &Connection,
        topic: &str,
        topic_id: Option<&str>,
    ) -> Result<Option<Fetcher>, KafkaError> {
        let Some(cluster) = Cluster::new(connection)? else { return Ok(None) };
        let fetch_version = match cluster.fetch_version(START_MAX) {
            Ok(Some(version)) => version,
            Ok(None) => {
                tracing::debug!("the brokers are older than Kafka 3.1, so librdkafka reads");
                return Ok(None);
            }
            Err(_) => wire::FETCH_VERSION,
        };
        let silence = connection.number("socket.timeout.ms").map(Duration::from_millis);
        let mut fetcher = Fetcher {
            topic: topic.to_owned(),
            client_id: connection.client_id().to_owned(),
            fetch_version,
            has_version: BTreeMap::new(),
            limits: connection.fetch_limits(),
            topic_id: topic_id.and_then(topic_id_of),
            follows: false,
            brokers: Vec::new(),
            leaders: BTreeMap::new(),
            refresh: Refresh { is_wanted: true, last: None, thread: None },
            links: Links::new(
                cluster.connector(),
                silence.map_or(SILENCE_MAX, |silence| silence.min(SILENCE_MAX)),
            ),
            readings: BTreeMap::new(),
            handed_over: Vec::new(),
            rounds: 0,
            errors: 0,
            last_error: None,
            cluster: Arc::new(cluster),
        };
        let metadata = fetcher.cluster.metadata(topic, START_MAX);
        // If it is another topic, the next request will say so again.
        if let Err(error) = fetcher.apply_metadata(metadata) {
            fetcher.refresh.is_wanted = true;
            tracing::debug!(%error, "at the start");
        }
        Ok(Some(fetcher))
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
        self.readings.insert(position.partition, Reading::new(position.start));
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
        let refreshed = self.finish_refresh();
        self.resolve_edges();
        self.assign_links();
        let failures = self.links.open();
        self.note_failures(failures);
        self.request();
        if refreshed.is_ok() {
            self.wait(patience);
        }
        let (arrived, failures) = self.links.receive(response);
        self.note_failures(failures);
        if let Some(arrived) = arrived {
            self.rounds += 1;
            if !self.accept(response, &arrived) {
                let failure = self.links.close(arrived.link, "a response does not follow the protocol");
                self.note_failures(failure);
            }
        }
        if let Err(error) = refreshed {
            response.push_failure(None, error);
        }
        self.close_silent();
        self.refresh_if_wanted();
        // The broker works on the next response while this one is counted.
        self.request();
    }

    fn finish_refresh(&mut self) -> Result<(), KafkaError> {
        match self.refresh.thread.take_if(|thread| thread.is_finished()) {
            Some(thread) => {
                self.apply_metadata(thread.join().expect("the thread that requests metadata does not panic"))
            }
            None => Ok(()),
        }
    }

    /// Takes over where the leaders are; an error if the topic is another by now.
    fn apply_metadata(&mut self, metadata: Result<Metadata, KafkaError>) -> Result<(), KafkaError> {
        self.refresh.last = Some(Instant::now());
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => {
                self.count_error(error.to_string());
                return Ok(());
            }
        };
        self.brokers = metadata.brokers;
        let Ok(topic) = metadata.topic else { return Ok(()) };
        self.refresh.is_wanted = false;
        let known = *self.topic_id.get_or_insert(topic.id);
        if known != topic.id && !self.follows {
            return Err(KafkaError::other_topic(&self.topic));
        }
        if known != topic.id {
            self.topic_id = Some(topic.id);
            self.leaders.clear();
            let start = StartAt::Offset { next_offset: 0, leader_epoch: None };
            self.readings.values_mut().for_each(|reading| *reading = Reading::new(start));
        }
        let leader = |broker, epoch| Leader { broker, epoch };
        let led = topic.partitions.iter();
        let mut leaders: BTreeMap<i32, Leader> =
            led.filter_map(|led| Some((led.partition, leader(led.leader?, led.leader_epoch)))).collect();
        for (partition, leader) in &mut leaders {
            // A broker that was paused may still name the former leader.
            let newer = self.leaders.get(partition).filter(|known| known.epoch > leader.epoch);
            let is_served = self.readings.get(partition).is_some_and(Reading::is_served);
            *leader = *newer.filter(|_| is_served).unwrap_or(leader);
        }
        self.leaders = leaders;
        for (partition, reading) in &mut self.readings {
            let leader = self.leaders.get(partition).map(|leader| leader.broker);
            if reading.link.is_some_and(|link| Some(link.broker) != leader) {
                reading.link = None;
            }
            if leader.is_none() {
                reading.set_obstacle(format!("partition {partition} has no leader"));
                self.refresh.is_wanted = true;
            }
        }
        Ok(())
    }

    fn refresh_if_wanted(&mut self) {
        // A leader that hangs stays the leader until the controller notices, after some seconds.
        let has_obstacle = self.readings.values().any(|reading| reading.obstacle().is_some());
        let every = match (self.refresh.is_wanted, has_obstacle) {
            (true, _) => REFRESH_EVERY,
            (false, true) => OBSTACLE_REFRESH_EVERY,
            (false, false) => return,
        };
        let is_due = self.refresh.last.is_none_or(|last| last.elapsed() >= every);
        if !is_due || self.refresh.thread.is_some() {
            return;
        }
        let (cluster, topic) = (Arc::clone(&self.cluster), self.topic.clone());
        let ask = move || cluster.metadata(&topic, SHORT_REQUEST_TIMEOUT);
        match thread::Builder::new().spawn(ask) {
            Ok(thread) => self.refresh.thread = Some(thread),
            Err(error) => self.count_error(error.to_string()),
        }
    }

    /// Finds the edges of the log at which reading is to start.
    fn resolve_edges(&mut self) {
        for (&partition, reading) in &mut self.readings {
            if reading.next_offset.is_some() || reading.is_paused() {
                continue;
            }
            match reading.resolving.take() {
                None => {
                    let (cluster, topic) = (Arc::clone(&self.cluster), self.topic.clone());
                    let edge = reading.edge;
                    let ask = move || cluster.offset(&topic, partition, edge, SHORT_REQUEST_TIMEOUT);
                    reading.resolving = thread::Builder::new().spawn(ask).ok();
                }
                Some(thread) if !thread.is_finished() => reading.resolving = Some(thread),
                Some(thread) => {
                    match thread.join().expect("the thread that requests an offset does not panic") {
                        Ok(edge) => reading.next_offset = Some(edge.offset),
                        Err(error) => {
                            reading.set_obstacle(error.to_string());
                            reading.pause();
                        }
                    }
                }
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
            let Some(&Leader { broker, .. }) = self.leaders.get(&partition) else {
                is_missing = true;
                continue;
            };
            let load = |link: LinkId| self.readings.values().filter(|other| other.link == Some(link)).count();
            let doubts = self.readings.get(&partition).map_or(0, |reading| reading.doubts);
            // A doubtful response is fetched again over the other connection.
            let number = match doubts {
                0 => (0..LINKS_PER_BROKER).min_by_key(|&number| load(LinkId { broker, number })),
                doubts => Some(doubts as usize % LINKS_PER_BROKER),
            };
            let id = LinkId { broker, number: number.expect("there is more than one") };
            let is_there = self.links.contains(id) || self.add_link(id);
            is_missing |= !is_there;
            if let Some(reading) = self.readings.get_mut(&partition).filter(|_| is_there) {
                reading.link = Some(id);
            }
        }
        self.refresh.is_wanted |= is_missing;
        let readings = &self.readings;
        // Brokers end unused connections after some time.
        self.links.retain(|id| readings.values().any(|reading| reading.link == Some(id)));
    }

    fn add_link(&mut self, id: LinkId) -> bool {
        let Some(broker) = self.brokers.iter().find(|broker| broker.id == id.broker) else { return false };
        self.links.add(id, broker.address());
        true
    }

    /// Requests from each broker what is wanted of it, unless a response is due.
    fn request(&mut self) {
        let Some(topic_id) = self.topic_id else { return };
        for id in self.links.ready() {
            let wanted = self.wanted(id);
            if wanted.is_empty() {
                continue;
            }
            let requested = wanted
                .iter()
                .map(|wanted| Requested { partition: wanted.partition, next_offset: wanted.next_offset });
            let version = match self.has_version.get(&id.broker) {
                Some(false) => wire::FETCH_VERSION,
                _ => self.fetch_version,
            };
            let (client_id, limits) = (&self.client_id, self.limits);
            let build = |correlation| {
                wire::fetch_request(version, correlation, client_id, &topic_id, limits, &wanted)
            };
            let sent = self.links.send(id, requested.collect(), build);
            self.note_failures(sent.err());
        }
    }

    /// The partitions to fetch over a connection, the one that has waited longest first.
    fn wanted(&self, id: LinkId) -> Vec<Wanted> {
        let mut wanted: Vec<(u64, Wanted)> = self
            .readings
            .iter()
            .filter(|(_, reading)| reading.link == Some(id) && !reading.is_paused())
            .filter_map(|(&partition, reading)| {
                let (next_offset, last_epoch) = (reading.next_offset?, reading.last_epoch);
                let leader_epoch = self.leaders.get(&partition)?.epoch;
                Some((reading.served, Wanted { partition, next_offset, leader_epoch, last_epoch }))
            })
            .collect();
        wanted.sort_by_key(|(served, _)| *served);
        wanted.into_iter().map(|(_, wanted)| wanted).collect()
    }

    fn wait(&mut self, patience: Duration) {
        let has_threads = self.refresh.thread.is_some()
            || self.links.has_threads()
            || self.readings.values().any(|reading| reading.resolving.is_some());
        let has_pauses = self.refresh.is_wanted
            || self.links.has_pauses()
            || self.readings.values().any(|reading| reading.paused_until.is_some());
        let patience = match (has_threads, has_pauses) {
            (true, _) => patience.min(THREADS_CHECK_EVERY),
            (false, true) => patience.min(PAUSE_CHECK_EVERY),
            (false, false) => patience,
        };
        if let Err(error) = self.links.wait(patience) {
            self.count_error(error.to_string());
        }
    }

    fn close_silent(&mut self) {
        let (closed, noted) = self.links.close_silent();
        for failure in noted {
            self.set_obstacle(&failure);
        }
        self.note_failures(closed);
    }

    fn note_failures(&mut self, failures: impl IntoIterator<Item = Failure>) {
        for failure in failures {
            self.has_version.entry(failure.link.broker).or_insert(false);
            self.set_obstacle(&failure);
            self.count_error(failure.text);
        }
    }

    /// Notes why nothing comes of a broker's partitions. Another may lead them by now.
    fn set_obstacle(&mut self, failure: &Failure) {
        for reading in self.readings.values_mut().filter(|reading| reading.link == Some(failure.link)) {
            reading.set_obstacle(failure.text.clone());
        }
        self.refresh.is_wanted = true;
    }

    fn count_error(&mut self, text: String) {
        self.errors += 1;
        self.last_error = Some(text);
    }

    /// Accepts what a response says. Says whether it follows the protocol.
    fn accept(&mut self, response: &mut Response, arrived: &Arrived) -> bool {
        let Some(topic_id) = self.topic_id else { return false };
        let (bytes, parts) = response.split();
        let Ok(fetched) = wire::fetched(bytes, arrived.correlation, &topic_id) else { return false };
        if !has_each_once(&fetched, &arrived.requested) {
            return false;
        }
        self.has_version.entry(arrived.link.broker).or_insert(true);
        for fetched in fetched {
            let partition = fetched.partition;
            let Some(reading) = self.readings.get_mut(&partition) else { continue };
            let Some(next_offset) = reading.next_offset else { continue };
            // One that was removed meanwhile, and perhaps added again from elsewhere.
            let is_wanted = arrived.requested.contains(&Requested { partition, next_offset });
            if reading.link != Some(arrived.link) || !is_wanted {
                continue;
            }
            let named = fetched.leader;
            match reading.accept(fetched, bytes, parts, self.rounds) {
                Outcome::Accepted => reading.clear_obstacle(),
                Outcome::Doubtful => reading.link = None,
                Outcome::Refused(error) if error.is_transient() => {
                    reading.link = None;
                    // A broker that refuses may name the new leader: that one is asked at once.
                    match newer_leader(named, self.leaders.get(&partition), &self.brokers) {
                        Some(leader) => {
                            tracing::debug!(
                                partition,
                                broker = leader.broker,
                                "the former leader names another"
                            );
                            self.leaders.insert(partition, leader);
                        }
                        None => reading.pause(),
                    }
                    reading.set_obstacle(error.to_string());
                    self.refresh.is_wanted = true;
                    self.errors += 1;
                }
                // The offset was another topic's, or retention has passed it.
                Outcome::Refused(error) if self.follows && error.is_out_of_range() => {
                    *reading = Reading::new(StartAt::Edge(reading.edge));
                }
                Outcome::Refused(error) => {
                    let error = error.needing_on(Operation::Read, &self.topic);
                    reading.pause_for(FAILED_RETRY_AFTER);
                    reading.doubts = 0;
                    self.refresh.is_wanted |= error.is_unknown_topic();
                    parts.push(Part::Failed(Some(partition), Some(error)));
                }
                Outcome::Unsupported => {
                    tracing::debug!(partition, next_offset, "librdkafka reads from here");
                    self.handed_over.extend(reading.position(partition));
                    self.readings.remove(&partition);
                }
            }
        }
        true
    }
}

/// The leader that a refusal names, if it is newer than the known one, and its address is known.
fn newer_leader(named: Option<NewLeader>, known: Option<&Leader>, brokers: &[Broker]) -> Option<Leader> {
    let NewLeader { broker, epoch } = named?;
    let is_newer = known.is_none_or(|known| epoch > known.epoch);
    (is_newer && brokers.iter().any(|known| known.id == broker)).then_some(Leader { broker, epoch })
}

/// Whether a response has each partition of its request, once. Nothing protects their numbers on the way, and where two
/// partitions are at the same offset, records of one would pass for those of the other. A broker that holds back for a
/// quota sends none of them.
fn has_each_once(fetched: &[Fetched], requested: &[Requested]) -> bool {
    let sorted = |mut partitions: Vec<i32>| {
        partitions.sort_unstable();
        partitions
    };
    let fetched = sorted(fetched.iter().map(|fetched| fetched.partition).collect());
    fetched.is_empty() || fetched == sorted(requested.iter().map(|requested| requested.partition).collect())
}
