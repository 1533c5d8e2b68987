//! Requests for anything but records: each goes to a broker that answers, within a deadline.
//!
//! librdkafka sends such a request to one broker, and waits for that one even if it hangs. Here another one is tried.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use almanac_core::protocol::lookups::{self, Answered, ListedOffset, OffsetOf};
use almanac_core::protocol::wire::{
    self, Broker, EpochEnd, Fetched, Limits, Malformed, Metadata, TopicId, TopicMetadata, Wanted,
};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::access::AccessError;
use super::config::Connection;
use super::connector::Connector;
use super::diagnosis::{ADVERTISED, Cause};
use super::error::{KafkaError, code_of, plain_error};
use super::link::Link;
use crate::lock::locked;

/// The shortest time that a broker is given to answer.
const ANSWER_MIN: Duration = Duration::from_millis(300);
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// For how long a leader that let a request time out is not asked again: who asks would wait for the same again.
const HANG_MIN: Duration = Duration::from_secs(1);

/// The brokers of one cluster, as far as they are known.
pub(super) struct Cluster {
    connector: Arc<Connector>,
    /// `HOST:PORT` of each broker that the user named.
    named: Vec<String>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    brokers: Vec<Broker>,
    /// Connections by address, the one that answered last first.
    links: Vec<(String, Link)>,
    /// Addresses that did not answer, the last one last, and when a request to them timed out.
    silent: Vec<(String, Option<Instant>)>,
    topic: Option<(String, TopicMetadata)>,
    cluster_id: Option<String>,
}

/// The broker that a request is for.
enum To<'a> {
    Any,
    LeaderOf(&'a str, i32),
}

/// Why a request was not answered.
enum Failure {
    /// Another broker may answer it, or the same one a moment later.
    Transient(KafkaError),
    Final(KafkaError),
}

impl Cluster {
    /// Nothing if the brokers are reached in a way that only librdkafka knows.
    pub(super) fn new(connection: &Connection) -> Result<Option<Cluster>, KafkaError> {
        Ok(Connector::new(connection)?.map(|connector| Cluster {
            connector: Arc::new(connector),
            named: connection.brokers.split(',').map(|broker| broker.trim().to_owned()).collect(),
            known: Mutex::default(),
        }))
    }

    /// How connections are made.
    pub(super) fn connector(&self) -> &Arc<Connector> {
        &self.connector
    }

    fn client_id(&self) -> &str {
        &self.connector.client_id
    }

    /// Whether any broker has answered anything yet.
    pub(super) fn has_answered(&self) -> bool {
        let known = self.known();
        !known.links.is_empty() || known.cluster_id.is_some()
    }

    /// The version of Fetch for the brokers; nothing if one lacks a request that is made here, as those before Kafka 3.1 do.
    pub(super) fn fetch_version(&self, timeout: Duration) -> Result<Option<i16>, KafkaError> {
        self.request(
            &To::Any,
            timeout,
            |correlation| lookups::api_versions_request(correlation, self.client_id()),
            |response, correlation| lookups::fetch_version(response, correlation).map(Ok),
        )
    }

    /// The brokers, and the topic.
    pub(super) fn metadata(&self, topic: &str, timeout: Duration) -> Result<Metadata, KafkaError> {
        let metadata = self.request(
            &To::Any,
            timeout,
            |correlation| wire::metadata_request(correlation, self.client_id(), topic),
            |response, correlation| wire::metadata(response, correlation).map(Ok),
        )?;
        let mut known = self.known();
        known.brokers.clone_from(&metadata.brokers);
        known.cluster_id = Some(metadata.cluster_id.clone());
        known.topic = metadata.topic.as_ref().ok().map(|found| (topic.to_owned(), found.clone()));
        Ok(metadata)
    }

    /// The id of the cluster, as the last response gave it.
    pub(super) fn id(&self, timeout: Duration) -> Result<String, KafkaError> {
        let known = self.known().cluster_id.clone();
        known.map_or_else(|| self.metadata("", timeout).map(|metadata| metadata.cluster_id), Ok)
    }

    pub(super) fn offset(
        &self,
        topic: &str,
        partition: i32,
        which: OffsetOf,
        timeout: Duration,
    ) -> Result<ListedOffset, KafkaError> {
        self.request(
            &To::LeaderOf(topic, partition),
            timeout,
            |correlation| {
                lookups::list_offsets_request(correlation, self.client_id(), topic, partition, which)
            },
            |response, correlation| lookups::listed_offset(response, correlation, topic, partition),
        )
    }

    /// The end of the largest leader epoch up to `epoch` in the log.
    pub(super) fn epoch_end(
        &self,
        topic: &str,
        partition: i32,
        epoch: i32,
        timeout: Duration,
    ) -> Result<EpochEnd, KafkaError> {
        self.request(
            &To::LeaderOf(topic, partition),
            timeout,
            |correlation| lookups::epoch_end_request(correlation, self.client_id(), topic, partition, epoch),
            |response, correlation| lookups::epoch_end(response, correlation, topic, partition),
        )
    }

    /// Passes the committed records from `next_offset` on to `read`. There may be none for now.
    #[allow(clippy::too_many_arguments, reason = "they are what a fetch is made of")]
    pub(super) fn fetch<T>(
        &self,
        topic: &str,
        topic_id: &TopicId,
        partition: i32,
        next_offset: i64,
        limits: Limits,
        timeout: Duration,
        read: impl Fn(Fetched) -> Result<T, Malformed>,
    ) -> Result<T, KafkaError> {
        let wanted = [Wanted { partition, next_offset, leader_epoch: -1, last_epoch: None }];
        self.request(
            &To::LeaderOf(topic, partition),
            timeout,
            |correlation| {
                let version = wire::FETCH_VERSION;
                wire::fetch_request(version, correlation, self.client_id(), topic_id, limits, &wanted)
            },
            |response, correlation| {
                let fetched = wire::fetched(response, correlation, topic_id)?;
                let [fetched] = <[Fetched; 1]>::try_from(fetched).map_err(|_| Malformed)?;
                match fetched {
                    fetched if fetched.partition != partition => Err(Malformed),
                    fetched if fetched.error != 0 => Ok(Err(fetched.error)),
                    fetched => read(fetched).map(Ok),
                }
            },
        )
    }

    /// These properties of the topic, as names and values.
    pub(super) fn topic_configs(
        &self,
        topic: &str,
        names: &[&str],
        timeout: Duration,
    ) -> Result<Vec<(String, String)>, KafkaError> {
        self.request(
            &To::Any,
            timeout,
            |correlation| lookups::topic_configs_request(correlation, self.client_id(), topic, names),
            lookups::topic_configs,
        )
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        locked(&self.known)
    }

    /// Makes a request until it is answered, or `timeout` is over.
    fn request<T>(
        &self,
        to: &To,
        timeout: Duration,
        build: impl Fn(i32) -> Vec<u8>,
        parse: impl Fn(&[u8], i32) -> Result<Answered<T>, Malformed>,
    ) -> Result<T, KafkaError> {
        let deadline = Instant::now() + timeout;
        loop {
            let addresses = self.addresses(to, deadline);
            if let (To::LeaderOf(..), Ok([leader])) = (to, addresses.as_deref())
                && let Some(error) = self.hangs(leader)
            {
                // The leader may be another by now, also for whoever asks next.
                self.known().topic = None;
                return Err(error);
            }
            let attempt = match addresses {
                Ok(addresses) => self.try_each(&addresses, deadline, &build, &parse),
                Err(failure) => Err(failure),
            };
            match attempt {
                Ok(answer) => return Ok(answer),
                // A leader that was just chosen, or paused, may not know the topic yet.
                Err(Failure::Final(error)) if matches!(to, To::LeaderOf(..)) && error.is_unknown_topic() => {
                    self.known().topic = None;
                    if Instant::now() + RETRY_AFTER >= deadline {
                        return Err(error);
                    }
                    std::thread::sleep(RETRY_AFTER);
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Transient(error)) => {
                    // The leader may be another by now, also for whoever asks next.
                    self.known().topic = None;
                    if Instant::now() + RETRY_AFTER >= deadline {
                        return Err(error);
                    }
                    tracing::debug!(%error, "repeating a request to Kafka");
                    std::thread::sleep(RETRY_AFTER);
                }
            }
        }
    }

    /// The addresses to send a request to, the best one first.
    fn addresses(&self, to: &To, deadline: Instant) -> Result<Vec<String>, Failure> {
        match *to {
            To::Any => {
                let known = self.known();
                let connected = known.links.iter().map(|(address, _)| address.clone());
                let brokers = known.brokers.iter().map(Broker::address);
                let mut addresses: Vec<String> = Vec::new();
                for address in connected.chain(self.named.iter().cloned()).chain(brokers) {
                    if !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
                let silence =
                    |address: &String| known.silent.iter().position(|(silent, _)| silent == address);
                addresses.sort_by_key(silence);
                Ok(addresses)
            }
            To::LeaderOf(topic, partition) => {
                let topic_is_known = self.known().topic.as_ref().is_some_and(|(name, _)| name == topic);
                if !topic_is_known {
                    let left = deadline.saturating_duration_since(Instant::now()).max(ANSWER_MIN);
                    self.metadata(topic, left).map_err(Failure::of)?;
                }
                self.leader_address(topic, partition).map(|address| vec![address]).map_err(|code| {
                    Failure::of(KafkaError::code(format!("can't reach {topic} [{partition}]"), code))
                })
            }
        }
    }

    /// Why a broker is not asked, if it has just let a request time out.
    fn hangs(&self, address: &str) -> Option<KafkaError> {
        let known = self.known();
        let timed_out = known.silent.iter().find(|(silent, _)| silent == address).and_then(|(_, at)| *at)?;
        (timed_out.elapsed() < HANG_MIN).then(|| KafkaError::Unreachable {
            brokers: address.to_owned(),
            reason: "a request has just timed out".to_owned(),
        })
    }

    fn leader_address(&self, topic: &str, partition: i32) -> Result<String, Code> {
        let known = self.known();
        let metadata = known.topic.as_ref().filter(|(name, _)| name == topic).map(|(_, metadata)| metadata);
        let partitions =
            metadata.map(|metadata| &metadata.partitions).ok_or(Code::UnknownTopicOrPartition)?;
        let found = partitions.iter().find(|found| found.partition == partition);
        let leader = found.ok_or(Code::UnknownTopicOrPartition)?.leader.ok_or(Code::LeaderNotAvailable)?;
        let broker = known.brokers.iter().find(|broker| broker.id == leader);
        broker.map(Broker::address).ok_or(Code::LeaderNotAvailable)
    }

    fn try_each<T>(
        &self,
        addresses: &[String],
        deadline: Instant,
        build: &impl Fn(i32) -> Vec<u8>,
        parse: &impl Fn(&[u8], i32) -> Result<Answered<T>, Malformed>,
    ) -> Result<T, Failure> {
        let mut reasons = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && index > 0 {
                break;
            }
            let others = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            match self.try_one(address, (left / others).max(ANSWER_MIN), build, parse) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(code)) => {
                    let error =
                        KafkaError::code(format!("{address} refused a request"), code_of(code.into()));
                    return Err(Failure::of(error));
                }
                Err(error) => reasons.push((address, error)),
            }
        }
        if let Some((address, refusal)) =
            reasons.iter().find_map(|(address, error)| Some((*address, lasting(error)?)))
        {
            let (brokers, reason) = (address.clone(), refusal.to_string());
            return Err(Failure::Final(KafkaError::AccessRefused { brokers, reason }));
        }
        let brokers: Vec<&str> = reasons.iter().map(|(address, _)| address.as_str()).collect();
        let reason = match &reasons[..] {
            [(address, error)] => self.reason(address, error),
            reasons => {
                let each: Vec<String> = reasons
                    .iter()
                    .map(|(address, error)| format!("{address}: {}", self.reason(address, error)))
                    .collect();
                each.join("; ")
            }
        };
        Err(Failure::of(KafkaError::Unreachable { brokers: brokers.join(","), reason }))
    }

    fn connect(&self, address: &str, timeout: Duration) -> io::Result<Link> {
        let connect = || self.connector.connect(address, timeout);
        // Damage on the way may look like a refusal, but not twice.
        connect().or_else(|error| if lasting(&error).is_some() { connect() } else { Err(error) })
    }

    fn reason(&self, address: &str, error: &io::Error) -> String {
        let reason = plain_error(error);
        let is_named = self.named.iter().any(|named| named == address);
        match Cause::of(&reason) {
            Some(Cause::HostName) if !is_named => format!("{ADVERTISED} ({reason})"),
            _ => reason,
        }
    }

    fn try_one<T>(
        &self,
        address: &str,
        timeout: Duration,
        build: &impl Fn(i32) -> Vec<u8>,
        parse: &impl Fn(&[u8], i32) -> Result<Answered<T>, Malformed>,
    ) -> io::Result<Answered<T>> {
        let connected = {
            let mut known = self.known();
            let at = known.links.iter().position(|(found, _)| found == address);
            at.map(|at| known.links.remove(at).1)
        };
        let connected = connected.filter(|link| !link.is_to_be_renewed());
        let is_new = connected.is_none();
        let exchanged = connected.map_or_else(|| self.connect(address, timeout), Ok).and_then(|mut link| {
            let correlation = link.next_correlation();
            let response = link.exchange(&build(correlation), timeout)?;
            let answer = parse(response, correlation)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            Ok((link, answer))
        });
        match exchanged {
            Ok((link, answer)) => {
                let mut known = self.known();
                known.silent.retain(|(silent, _)| silent != address);
                known.links.insert(0, (address.to_owned(), link));
                Ok(answer)
            }
            // A connection that was not used for long may have been closed by the broker.
            Err(error) if !is_new && error.kind() != io::ErrorKind::TimedOut => {
                self.try_one(address, timeout, build, parse)
            }
            Err(error) => {
                let mut known = self.known();
                known.silent.retain(|(silent, _)| silent != address);
                let timed_out = (error.kind() == io::ErrorKind::TimedOut).then(Instant::now);
                known.silent.push((address.to_owned(), timed_out));
                Err(error)
            }
        }
    }
}

/// Why the broker and the client do not accept each other, if waiting does not change that.
fn lasting(error: &io::Error) -> Option<&AccessError> {
    AccessError::of(error).filter(|error| error.is_lasting())
}

impl Failure {
    fn of(error: KafkaError) -> Failure {
        match error.is_transient() {
            true => Failure::Transient(error),
            false => Failure::Final(error),
        }
    }
}
