//! Requests about topics: over almanac's own connections where they reach the brokers, else by librdkafka.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use almanac_core::protocol::lookups::{ListedOffset, OffsetOf};
use almanac_core::protocol::wire::{Broker, EpochEnd, Fetched, Limits, TopicId, TopicMetadata};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult};
use rdkafka::bindings::RD_KAFKA_EVENT_ERROR;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::metadata::MetadataTopic;

use super::cluster::Cluster;
use super::config::{Connection, Context, Property, property_error};
use super::error::{KafkaError, code_of};
use super::native;
use super::permission::Operation;

/// A topic as the brokers describe it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Topic {
    /// URL-safe base64, as kafka-topics prints it. Never reused.
    pub id: String,
    pub partitions: i32,
}

/// The address of each partition's leader, if it has one. Without partitions, the topic does not exist.
pub type Leaders = BTreeMap<i32, Option<String>>;

/// Requests about topics.
pub struct Admin {
    /// Makes the requests over connections of almanac's own.
    cluster: Option<Cluster>,
    /// Whether the brokers support all of these requests.
    is_modern: OnceLock<bool>,
    /// Created when it is first needed, as it has threads and connections of its own.
    client: OnceLock<AdminClient<Context>>,
    connection: Connection,
}

impl Admin {
    pub fn new(connection: &Connection) -> Result<Self, KafkaError> {
        connection.check()?;
        Ok(Admin {
            cluster: Cluster::new(connection)?,
            is_modern: OnceLock::new(),
            client: OnceLock::new(),
            connection: connection.clone(),
        })
    }

    fn client(&self) -> Result<&AdminClient<Context>, KafkaError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self
            .connection
            .client()
            // Else a failed connection is a line of the client's log only. The wrapper asks for these events where
            // it looks at them itself; here `serve` does.
            .set("enabled_events", RD_KAFKA_EVENT_ERROR.to_string())
            .create_with_context(Context::default())
            .map_err(|error| property_error(&error))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The brokers, if almanac can reach them itself.
    pub(super) fn cluster(&self, timeout: Duration) -> Result<Option<&Cluster>, KafkaError> {
        let Some(cluster) = &self.cluster else { return Ok(None) };
        let is_modern = match self.is_modern.get() {
            Some(is_modern) => *is_modern,
            None => {
                let is_modern = cluster.fetch_version(timeout)?.is_some();
                *self.is_modern.get_or_init(|| is_modern)
            }
        };
        Ok(is_modern.then_some(cluster))
    }

    /// One that gives a broker up after `timeout`, so that the next request goes to another. librdkafka picks one broker
    /// for a request, and waits for that one.
    pub fn with_timeout(connection: &Connection, timeout: Duration) -> Result<Self, KafkaError> {
        let is_set = |key: &str| connection.properties.iter().any(|property| property.key == key);
        let mut with_timeout = connection.clone();
        // Over before the request is, so that its error can name the broker.
        let socket = timeout * 3 / 4;
        let setup = timeout.max(Duration::from_secs(1));
        for (key, time) in [("socket.timeout.ms", socket), ("socket.connection.setup.timeout.ms", setup)] {
            if !is_set(key) {
                let (key, value) = (key.to_owned(), time.as_millis().to_string());
                with_timeout.properties.push(Property { key, value });
            }
        }
        // Almanac's own requests go to each broker in turn anyway.
        Ok(Admin { connection: with_timeout, ..Admin::new(connection)? })
    }

    /// Whether any broker has answered anything yet.
    pub fn has_answered(&self) -> bool {
        let client = self.client.get().map(AdminClient::inner);
        self.cluster.as_ref().is_some_and(Cluster::has_answered)
            || client.is_some_and(|client| client.fetch_cluster_id(Duration::ZERO).is_some())
    }

    /// The leaders of the topic's partitions, from any broker. This does not create a topic.
    pub fn leaders(&self, topic: &str, timeout: Duration) -> Result<Leaders, KafkaError> {
        self.find_leaders(topic, timeout).map_err(|error| error.needing_on(Operation::Describe, topic))
    }

    fn find_leaders(&self, topic: &str, timeout: Duration) -> Result<Leaders, KafkaError> {
        let action = || format!("can't find topic {topic}");
        if let Some(cluster) = self.cluster(timeout)? {
            let metadata = cluster.metadata(topic, timeout)?;
            return match metadata.topic {
                Ok(found) => Ok(leaders(&found, &metadata.brokers)),
                Err(code) => match KafkaError::code(action(), code_of(code.into())) {
                    error if error.is_unknown_topic() => Ok(Leaders::new()),
                    error => Err(error),
                },
            };
        }
        let client = self.client()?.inner();
        self.serve();
        match client.fetch_metadata(Some(topic), timeout) {
            Ok(metadata) => {
                self.serve();
                client.context().forget_error();
                let address = |leader: i32| {
                    let broker = metadata.brokers().iter().find(|broker| broker.id() == leader)?;
                    Some(format!("{}:{}", broker.host(), broker.port()))
                };
                // A topic's error is not read: the bindings' type can't hold every code. With one, there are no partitions.
                let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
                Ok(partitions.map(|partition| (partition.id(), address(partition.leader()))).collect())
            }
            Err(error) => match KafkaError::client(action(), &error) {
                error if error.is_transient() => Err(self.unreachable(timeout)),
                error => Err(error),
            },
        }
    }

    /// The cluster's id, asked for until `timeout`.
    pub fn cluster_id(&self, timeout: Duration) -> Result<String, KafkaError> {
        if let Some(cluster) = self.cluster(timeout)? {
            return cluster.id(timeout);
        }
        self.client()?.inner().fetch_cluster_id(timeout).ok_or_else(|| self.unreachable(timeout))
    }

    /// The topic, or nothing where there is none. Brokers that refuse the client are not waited for.
    pub fn describe(&self, topic: &str, timeout: Duration) -> Result<Option<Topic>, KafkaError> {
        self.find(topic, timeout).map_err(|error| error.needing_on(Operation::Describe, topic))
    }

    fn find(&self, topic: &str, timeout: Duration) -> Result<Option<Topic>, KafkaError> {
        if let Some(cluster) = self.cluster(timeout)? {
            return match cluster.metadata(topic, timeout)?.topic {
                Ok(found) => Topic::of(&found).map(Some),
                Err(code) => {
                    let error =
                        KafkaError::code(format!("can't describe topic {topic}"), code_of(code.into()));
                    if error.is_unknown_topic() { Ok(None) } else { Err(error) }
                }
            };
        }
        let action = || format!("can't describe topic {topic}");
        let client = self.client()?.inner();
        let is_hopeless = || {
            self.serve();
            client.context().last_error().is_some_and(|error| error.is_lasting())
        };
        let described = native::describe_topic(client, &c_text(topic, action)?, timeout, is_hopeless);
        let described = described
            .and_then(|(id, partitions)| Topic::of_client(&id, partitions))
            .map_err(|code| KafkaError::code(action(), code));
        match described {
            Err(error) if error.is_transient() => return Err(self.unreachable(timeout)),
            _ => client.context().forget_error(),
        }
        match described {
            Err(error) if error.is_unknown_topic() => Ok(None),
            described => described.map(Some),
        }
    }

    /// The first offset of a partition, and the one up to which a reader of committed records can read.
    pub fn watermarks(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<(i64, i64), KafkaError> {
        let offset = |which| self.offset(topic, partition, which, timeout).map(|listed| listed.offset);
        let (low, high) = (offset(OffsetOf::Start)?, offset(OffsetOf::StableEnd)?);
        if !(0..=high).contains(&low) {
            let action = format!("can't request the offsets of {topic} [{partition}]: {low} to {high}");
            return Err(KafkaError::code(action, Code::BadMessage));
        }
        Ok((low, high))
    }

    /// The first offset of a partition of this very topic; nothing where only librdkafka can reach the brokers.
    ///
    /// Other requests for offsets have the topic's name only. A leader that was paused while the topic was created again
    /// answers them from the former log. A fetch has the topic ID. It is made at `end`, where there are few records or none.
    pub fn first_offset(
        &self,
        topic: &str,
        topic_id: &str,
        partition: i32,
        end: i64,
        timeout: Duration,
    ) -> Result<Option<i64>, KafkaError> {
        const LIMITS: Limits = Limits { wait_ms: 0, min_bytes: 0, bytes: 1, partition_bytes: 1 };
        let Some(cluster) = self.cluster(timeout)? else { return Ok(None) };
        let action = || format!("can't request the first offset of {topic} [{partition}]");
        let id = topic_id_of(topic_id).ok_or_else(|| KafkaError::code(action(), Code::UnknownTopicId))?;
        let start = |fetched: Fetched| Ok(fetched.log_start_offset);
        let found = cluster.fetch(topic, &id, partition, end, LIMITS, timeout, start);
        found.map(Some).map_err(|error| error.needing_on(Operation::Read, topic))
    }

    /// The leader epoch of a partition's end; nothing where the broker does not give it.
    pub fn leader_epoch(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<Option<i32>, KafkaError> {
        self.offset(topic, partition, OffsetOf::End, timeout).map(|listed| listed.leader_epoch)
    }

    fn offset(
        &self,
        topic: &str,
        partition: i32,
        which: OffsetOf,
        timeout: Duration,
    ) -> Result<ListedOffset, KafkaError> {
        let action = || format!("can't request the offsets of {topic} [{partition}]");
        let listed = match self.cluster(timeout)? {
            Some(cluster) => cluster.offset(topic, partition, which, timeout),
            None => {
                let (client, topic) = (self.client()?.inner(), c_text(topic, action)?);
                native::list_offset(client, &topic, partition, which, timeout)
                    .map_err(|code| KafkaError::code(action(), code))
            }
        };
        listed.map_err(|error| error.needing_on(Operation::Describe, topic))
    }

    /// The largest leader epoch up to `epoch` that the log has, and where it ends; nothing where only librdkafka can
    /// reach the brokers.
    pub fn epoch_end(
        &self,
        topic: &str,
        partition: i32,
        epoch: i32,
        timeout: Duration,
    ) -> Result<Option<EpochEnd>, KafkaError> {
        let Some(cluster) = self.cluster(timeout)? else { return Ok(None) };
        let end = cluster.epoch_end(topic, partition, epoch, timeout);
        end.map(Some).map_err(|error| error.needing_on(Operation::Describe, topic))
    }

    /// The topic's `cleanup.policy`; nothing where only librdkafka can reach the brokers.
    pub fn cleanup_policy(&self, topic: &str, timeout: Duration) -> Result<Option<String>, KafkaError> {
        const NAME: &str = "cleanup.policy";
        let Some(cluster) = self.cluster(timeout)? else { return Ok(None) };
        let configs = cluster.topic_configs(topic, &[NAME], timeout);
        let configs = configs.map_err(|error| error.needing_on(Operation::DescribeConfigs, topic))?;
        Ok(configs.into_iter().find(|(name, _)| name == NAME).map(|(_, value)| value))
    }

    /// Orders the topic to be created. `Ok(false)`: there is one of that name already.
    pub fn create(
        &self,
        topic: &str,
        partitions: i32,
        replication: i32,
        timeout: Duration,
    ) -> Result<bool, KafkaError> {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication))
            // Its offsets are our history: nothing may be dropped.
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1")
            .set("cleanup.policy", "delete");
        let results = wait_for(self.client()?.create_topics([&new], &options(timeout)));
        match one_result(results, &format!("can't create topic {topic}")) {
            Err(KafkaError::Client { code: Code::TopicAlreadyExists, .. }) => Ok(false),
            other => other.map(|()| true).map_err(|error| error.needing_on(Operation::Create, topic)),
        }
    }

    /// Orders the topic to be deleted; it is gone some time after. `Ok(false)`: there is none.
    pub fn delete(&self, topic: &str, timeout: Duration) -> Result<bool, KafkaError> {
        let results = wait_for(self.client()?.delete_topics(&[topic], &options(timeout)));
        match one_result(results, &format!("can't delete topic {topic}")) {
            Err(error) if error.is_unknown_topic() => Ok(false),
            other => other.map(|()| true).map_err(|error| error.needing_on(Operation::Delete, topic)),
        }
    }

    /// Notes the errors of the client's connections. An admin client has no thread for that, and keeps what nobody takes.
    fn serve(&self) {
        if let Some(client) = self.client.get() {
            native::serve_events(client.inner());
        }
    }

    /// The last thing that went wrong with a connection.
    pub(super) fn last_error(&self) -> Option<String> {
        self.serve();
        Some(self.client.get()?.inner().context().last_error()?.reason)
    }

    fn unreachable(&self, timeout: Duration) -> KafkaError {
        self.serve();
        match self.client.get().and_then(|client| client.inner().context().last_error()) {
            Some(error) => error.of_brokers(&self.connection.brokers),
            None => KafkaError::Unreachable {
                brokers: self.connection.brokers.clone(),
                reason: format!("no response within {} s", timeout.as_secs_f32()),
            },
        }
    }
}

impl Topic {
    fn of(found: &TopicMetadata) -> Result<Topic, KafkaError> {
        let partitions = i32::try_from(found.partitions.len());
        let partitions =
            partitions.map_err(|_| KafkaError::code("can't describe a topic", Code::BadMessage))?;
        Ok(Topic { id: URL_SAFE_NO_PAD.encode(found.id), partitions })
    }

    /// `id` as librdkafka prints it, in the standard base64 alphabet; Kafka's tools, and file names, want the URL-safe one.
    fn of_client(id: &str, partitions: usize) -> Result<Topic, Code> {
        let id = id.trim_end_matches('=').replace('+', "-").replace('/', "_");
        if id.bytes().all(|digit| digit == b'A') {
            // All zero: the broker has no topic IDs, so a topic that is recreated could not be distinguished from the former.
            return Err(Code::UnsupportedVersion);
        }
        Ok(Topic { id, partitions: i32::try_from(partitions).map_err(|_| Code::BadMessage)? })
    }
}

/// The topic ID that this text stands for.
pub(super) fn topic_id_of(text: &str) -> Option<TopicId> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

fn options(timeout: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

/// Waits for an answer of the client's own thread.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    futures_executor::block_on(future)
}

/// The result for the only topic that was asked about.
fn one_result(results: KafkaResult<Vec<TopicResult>>, action: &str) -> Result<(), KafkaError> {
    let results = results.map_err(|error| KafkaError::client(action, &error))?;
    match results.into_iter().next() {
        Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => Err(KafkaError::code(action, code)),
        None => Err(KafkaError::code(action, Code::BadMessage)),
    }
}

fn leaders(topic: &TopicMetadata, brokers: &[Broker]) -> Leaders {
    let address = |leader| brokers.iter().find(|broker| broker.id == leader).map(Broker::address);
    topic.partitions.iter().map(|found| (found.partition, found.leader.and_then(address))).collect()
}

fn c_text(topic: &str, action: impl Fn() -> String) -> Result<CString, KafkaError> {
    CString::new(topic).map_err(|_| KafkaError::code(action(), Code::InvalidTopic))
}
