use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::future::Future;
use std::ptr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult};
use rdkafka::bindings as sys;
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafka;

use super::cluster::Cluster;
use super::config::{Context, log, property_error};
use super::consumer::text;
use super::error::code_of;
use super::lookups::OffsetOf;
use super::wire::{Broker, EpochEnd, TopicMetadata};
use super::{Connection, KafkaError, Property};

// Declared with the type that C returns: the bindings' enum can't hold a code that it has no name for.
unsafe extern "C" {
    fn rd_kafka_error_code(error: *const sys::rd_kafka_error_t) -> c_int;
    fn rd_kafka_event_error(event: *mut sys::rd_kafka_event_t) -> c_int;
    fn rd_kafka_metadata(
        client: *mut RDKafka,
        all_topics: c_int,
        only_topic: *mut sys::rd_kafka_topic_t,
        metadata: *mut *const sys::rd_kafka_metadata,
        timeout_ms: c_int,
    ) -> c_int;
    fn rd_kafka_query_watermark_offsets(
        client: *mut RDKafka,
        topic: *const c_char,
        partition: i32,
        low: *mut i64,
        high: *mut i64,
        timeout_ms: c_int,
    ) -> c_int;
}

/// A topic as the brokers describe it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Topic {
    /// URL-safe base64, as kafka-topics prints it. Never reused.
    pub id: String,
    pub partitions: i32,
}

/// What any broker says of a topic.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub is_there: bool,
    /// Partitions, each with its leader's address, where it has a leader.
    pub leaders: BTreeMap<i32, Option<String>>,
}

impl Seen {
    fn of(topic: &TopicMetadata, brokers: &[Broker]) -> Seen {
        let address = |leader| brokers.iter().find(|broker| broker.id == leader).map(Broker::address);
        let leaders = topic.partitions.iter().map(|found| (found.partition, found.leader.and_then(address)));
        Seen { is_there: !topic.partitions.is_empty(), leaders: leaders.collect() }
    }
}

/// Requests about topics.
pub struct Admin {
    /// Asks what almanac asks over connections of its own.
    cluster: Option<Cluster>,
    /// Whether the brokers have all requests for that.
    is_modern: OnceLock<bool>,
    /// Made when it is first needed: it has threads and connections of its own.
    client: OnceLock<AdminClient<Context>>,
    connection: Connection,
}

impl Admin {
    pub fn new(connection: &Connection) -> Result<Self, KafkaError> {
        connection.check()?;
        Ok(Admin {
            cluster: Cluster::new(connection),
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
            .set("enabled_events", sys::RD_KAFKA_EVENT_ERROR.to_string())
            .create_with_context(Context::default())
            .map_err(|error| property_error(&error))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The brokers, if almanac can ask them itself.
    pub(super) fn cluster(&self, timeout: Duration) -> Result<Option<&Cluster>, KafkaError> {
        let Some(cluster) = &self.cluster else { return Ok(None) };
        let is_modern = match self.is_modern.get() {
            Some(is_modern) => *is_modern,
            None => {
                let is_modern = cluster.has_all_requests(timeout)?;
                *self.is_modern.get_or_init(|| is_modern)
            }
        };
        Ok(is_modern.then_some(cluster))
    }

    /// One that lets a broker go that takes longer than `patience`, so that the next question is asked of another. The
    /// client picks one broker for a question, and waits for that one.
    pub fn hasty(connection: &Connection, patience: Duration) -> Result<Self, KafkaError> {
        let is_set = |key: &str| connection.properties.iter().any(|property| property.key == key);
        let mut hasty = connection.clone();
        // Over before the question is, so that it is known by then whom it was asked of.
        let socket = patience * 3 / 4;
        let setup = patience.max(Duration::from_secs(1));
        for (key, time) in [("socket.timeout.ms", socket), ("socket.connection.setup.timeout.ms", setup)] {
            if !is_set(key) {
                let (key, value) = (key.to_owned(), time.as_millis().to_string());
                hasty.properties.push(Property { key, value });
            }
        }
        // What almanac asks itself goes to every broker anyway.
        Ok(Admin { connection: hasty, ..Admin::new(connection)? })
    }

    /// Whether any broker has answered anything yet.
    pub fn has_heard(&self) -> bool {
        let client = self.client.get().map(AdminClient::inner);
        self.cluster.as_ref().is_some_and(Cluster::has_heard)
            || client.is_some_and(|client| client.fetch_cluster_id(Duration::ZERO).is_some())
    }

    /// What any broker says of the topic. A topic that is not there is not created by that.
    pub fn look(&self, topic: &str, timeout: Duration) -> Result<Seen, KafkaError> {
        let action = || format!("can't find topic {topic}");
        if let Some(cluster) = self.cluster(timeout)? {
            let metadata = cluster.metadata(topic, timeout)?;
            return match metadata.topic {
                Ok(found) => Ok(Seen::of(&found, &metadata.brokers)),
                Err(code) => match KafkaError::code(action(), code_of(code.into())) {
                    error if error.is_unknown_topic() => Ok(Seen::default()),
                    error => Err(error),
                },
            };
        }
        let name = CString::new(topic).map_err(|_| KafkaError::code(action(), Code::InvalidTopic))?;
        let client = self.client()?.inner();
        self.serve();
        // SAFETY: the handle lives as long as `self.client`, which outlives the call.
        match unsafe { look(client.native_ptr(), &name, timeout) } {
            Ok(seen) => {
                self.serve();
                client.context().forget_error();
                Ok(seen)
            }
            Err(code) => match KafkaError::code(action(), code) {
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
        let client = self.client()?;
        let context = client.inner().context();
        let is_hopeless = || {
            self.serve();
            context.last_error().is_some_and(|error| error.is_lasting())
        };
        // SAFETY: the handle lives as long as `self.client`, which outlives the call.
        match unsafe { describe(client.inner().native_ptr(), topic, timeout, is_hopeless) } {
            Err(error) if error.is_transient() => Err(self.unreachable(timeout)),
            answer => {
                context.forget_error();
                answer
            }
        }
    }

    /// The first offset of a partition, and the one up to which a reader of committed records can read.
    pub fn watermarks(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<(i64, i64), KafkaError> {
        let action = || format!("can't ask for the offsets of {topic} [{partition}]");
        let (low, high) = match self.cluster(timeout)? {
            Some(cluster) => {
                let offset = |which| cluster.offset(topic, partition, which, timeout);
                (offset(OffsetOf::Start)?.offset, offset(OffsetOf::StableEnd)?.offset)
            }
            None => self.client_watermarks(topic, partition, timeout)?,
        };
        if !(0..=high).contains(&low) {
            return Err(KafkaError::code(format!("{}: {low} to {high}", action()), Code::BadMessage));
        }
        Ok((low, high))
    }

    fn client_watermarks(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<(i64, i64), KafkaError> {
        let action = || format!("can't ask for the offsets of {topic} [{partition}]");
        let name = CString::new(topic).map_err(|_| KafkaError::code(action(), Code::InvalidTopic))?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client and the name are living, and the two numbers are ours.
        let error = unsafe {
            rd_kafka_query_watermark_offsets(
                self.client()?.inner().native_ptr(),
                name.as_ptr(),
                partition,
                &mut low,
                &mut high,
                timeout_ms(timeout),
            )
        };
        check(error).map_err(|code| KafkaError::code(action(), code))?;
        Ok((low, high))
    }

    /// The leader epoch of a partition's end; nothing where the broker does not give it.
    pub fn leader_epoch(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<Option<i32>, KafkaError> {
        if let Some(cluster) = self.cluster(timeout)? {
            return Ok(cluster.offset(topic, partition, OffsetOf::End, timeout)?.leader_epoch);
        }
        let action = || format!("can't ask for the leader epoch of {topic} [{partition}]");
        let name = CString::new(topic).map_err(|_| KafkaError::code(action(), Code::InvalidTopic))?;
        // SAFETY: the handle lives as long as `self.client`, which outlives the call.
        unsafe { leader_epoch(self.client()?.inner().native_ptr(), &name, partition, timeout) }
            .map_err(|code| KafkaError::code(action(), code))
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
        cluster.epoch_end(topic, partition, epoch, timeout).map(Some)
    }

    /// The topic's `cleanup.policy`; nothing where only librdkafka can reach the brokers.
    pub fn cleanup_policy(&self, topic: &str, timeout: Duration) -> Result<Option<String>, KafkaError> {
        const NAME: &str = "cleanup.policy";
        let Some(cluster) = self.cluster(timeout)? else { return Ok(None) };
        let configs = cluster.topic_configs(topic, &[NAME], timeout)?;
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
            other => other.map(|()| true),
        }
    }

    /// Orders the topic to be deleted; it is gone some time after. `Ok(false)`: there is none.
    pub fn delete(&self, topic: &str, timeout: Duration) -> Result<bool, KafkaError> {
        let results = wait_for(self.client()?.delete_topics(&[topic], &options(timeout)));
        match one_result(results, &format!("can't delete topic {topic}")) {
            Err(error) if error.is_unknown_topic() => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Takes in what the client has to say of its connections. An admin client has no thread for that, and what
    /// nobody takes in is kept.
    pub fn serve(&self) {
        let Some(client) = self.client.get().map(AdminClient::inner) else { return };
        // SAFETY: the client is living; the queue is a reference of ours, given back after its last use, and each
        // event is destroyed once, after its texts were copied.
        unsafe {
            let queue = sys::rd_kafka_queue_get_main(client.native_ptr());
            loop {
                let event = sys::rd_kafka_queue_poll(queue, 0);
                if event.is_null() {
                    break;
                }
                tell(event, client.context());
                sys::rd_kafka_event_destroy(event);
            }
            sys::rd_kafka_queue_destroy(queue);
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
}

/// # Safety
/// `event` must be living.
unsafe fn tell(event: *mut sys::rd_kafka_event_t, context: &Context) {
    // SAFETY: the event is living, and of the type that is asked for what it holds.
    unsafe {
        match sys::rd_kafka_event_type(event) {
            sys::RD_KAFKA_EVENT_ERROR => {
                let error = ClientError::Global(code_of(rd_kafka_event_error(event)));
                context.error(error, &text(sys::rd_kafka_event_error_string(event)));
            }
            sys::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut message, mut level) = (ptr::null(), ptr::null(), 0);
                if sys::rd_kafka_event_log(event, &mut facility, &mut message, &mut level) == 0 {
                    let (facility, message) = (text(facility), text(message));
                    log(level, &facility, &message);
                    context.note_failure(level, &facility, &message);
                }
            }
            _ => {}
        }
    }
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

/// Asks one broker for the topic's metadata.
///
/// # Safety
/// `client` must be a living librdkafka handle, and stay so during the call.
unsafe fn look(client: *mut RDKafka, topic: &CStr, timeout: Duration) -> Result<Seen, Code> {
    // SAFETY: `client` is living; topic and metadata are made here and destroyed here, after their last use. Numbers of
    // errors are read as the `int`s that they are.
    unsafe {
        let handle = sys::rd_kafka_topic_new(client, topic.as_ptr(), ptr::null_mut());
        if handle.is_null() {
            return Err(Code::InvalidTopic);
        }
        let mut metadata = ptr::null();
        let error = rd_kafka_metadata(client, 0, handle, &mut metadata, timeout_ms(timeout));
        sys::rd_kafka_topic_destroy(handle);
        let seen = check(error).and_then(|()| seen(metadata));
        if !metadata.is_null() {
            sys::rd_kafka_metadata_destroy(metadata);
        }
        seen
    }
}

/// # Safety
/// `metadata` must be null, or a living answer about one topic.
unsafe fn seen(metadata: *const sys::rd_kafka_metadata) -> Result<Seen, Code> {
    // SAFETY: arrays are read up to the counts that come with them, and strings are copied.
    unsafe {
        let Some(metadata) = metadata.as_ref() else { return Err(Code::BadMessage) };
        if metadata.topics.is_null() || metadata.topic_cnt != 1 {
            return Err(Code::BadMessage);
        }
        let topic = metadata.topics;
        match check((&raw const (*topic).err).cast::<c_int>().read()) {
            Err(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(Seen::default()),
            Err(Code::LeaderNotAvailable) | Ok(()) => {}
            Err(code) => return Err(code),
        }
        let address_of = |leader: i32| {
            let mut brokers = (0..usize::try_from(metadata.broker_cnt).unwrap_or(0))
                .filter(|_| !metadata.brokers.is_null())
                .map(|at| metadata.brokers.add(at));
            let broker = brokers.find(|broker| (**broker).id == leader)?;
            Some(format!("{}:{}", text((*broker).host), (*broker).port))
        };
        let count = usize::try_from((*topic).partition_cnt).unwrap_or(0);
        let partitions =
            (0..count).filter(|_| !(*topic).partitions.is_null()).map(|at| (*topic).partitions.add(at));
        let leaders = partitions
            .map(|partition| {
                let (id, leader) = (&raw const (*partition).id, &raw const (*partition).leader);
                (id.read(), address_of(leader.read()))
            })
            .collect();
        Ok(Seen { is_there: count > 0, leaders })
    }
}

/// Describes one topic, unless `is_hopeless` says meanwhile that there will be no answer.
///
/// # Safety
/// `client` must be a living librdkafka handle, and stay so during the call.
unsafe fn describe(
    client: *mut RDKafka,
    topic: &str,
    timeout: Duration,
    is_hopeless: impl Fn() -> bool,
) -> Result<Option<Topic>, KafkaError> {
    let action = || format!("can't describe topic {topic}");
    let name = CString::new(topic).map_err(|_| KafkaError::code(action(), Code::InvalidTopic))?;
    let timeout_ms = timeout_ms(timeout);
    let deadline = Instant::now() + timeout + Duration::from_secs(1);
    let mut error_text = [0_i8; 256];
    // SAFETY: `client` is living; every object made here is destroyed here, after its last use; the collection
    // copies the name; strings read from the event are copied before it goes.
    unsafe {
        let queue = sys::rd_kafka_queue_new(client);
        let options = sys::rd_kafka_AdminOptions_new(
            client,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout_ms,
            error_text.as_mut_ptr().cast(),
            error_text.len(),
        );
        let mut names = [name.as_ptr()];
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        sys::rd_kafka_DescribeTopics(client, topics, options, queue);
        let mut event: *mut sys::rd_kafka_event_t = ptr::null_mut();
        while event.is_null() && Instant::now() < deadline && !is_hopeless() {
            event = sys::rd_kafka_queue_poll(queue, timeout_ms.min(100));
        }
        let described = described(event).map_err(|code| KafkaError::code(action(), code));
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_TopicCollection_destroy(topics);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        match described {
            Err(error) if error.is_unknown_topic() => Ok(None),
            other => other.map(Some),
        }
    }
}

/// Asks for the end of one partition, which comes with its leader epoch.
///
/// # Safety
/// `client` must be a living librdkafka handle, and stay so during the call.
unsafe fn leader_epoch(
    client: *mut RDKafka,
    topic: &CStr,
    partition: i32,
    timeout: Duration,
) -> Result<Option<i32>, Code> {
    let timeout_ms = timeout_ms(timeout);
    let mut error_text = [0_i8; 256];
    // SAFETY: `client` is living; every object made here is destroyed here, after its last use; the list copies the
    // name, and the request the list.
    unsafe {
        let queue = sys::rd_kafka_queue_new(client);
        let options =
            sys::rd_kafka_AdminOptions_new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS);
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout_ms,
            error_text.as_mut_ptr().cast(),
            error_text.len(),
        );
        let list = sys::rd_kafka_topic_partition_list_new(1);
        let entry = sys::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), partition);
        (*entry).offset = sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST as i64;
        sys::rd_kafka_ListOffsets(client, list, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(1000));
        let epoch = listed_epoch(event, partition);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_topic_partition_list_destroy(list);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        epoch
    }
}

/// # Safety
/// `event` must be null or the living answer to a ListOffsets of one partition.
unsafe fn listed_epoch(event: *mut sys::rd_kafka_event_t, partition: i32) -> Result<Option<i32>, Code> {
    // SAFETY: pointers are checked before use, and live as long as the event. A C enum is an `int`.
    unsafe {
        if event.is_null() {
            return Err(Code::OperationTimedOut);
        }
        check(rd_kafka_event_error(event))?;
        let result = sys::rd_kafka_event_ListOffsets_result(event);
        if result.is_null() {
            return Err(Code::BadMessage);
        }
        let mut count = 0;
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
        if infos.is_null() || count != 1 {
            return Err(Code::BadMessage);
        }
        let entry = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos);
        check((&raw const (*entry).err).cast::<c_int>().read())?;
        if (&raw const (*entry).partition).read() != partition {
            return Err(Code::BadMessage);
        }
        Ok(Some(sys::rd_kafka_topic_partition_get_leader_epoch(entry)).filter(|epoch| *epoch >= 0))
    }
}

/// # Safety
/// `event` must be null or the living answer to a DescribeTopics of one topic.
unsafe fn described(event: *mut sys::rd_kafka_event_t) -> Result<Topic, Code> {
    // SAFETY: pointers are checked before use, and live as long as the event.
    unsafe {
        if event.is_null() {
            return Err(Code::OperationTimedOut);
        }
        check(rd_kafka_event_error(event))?;
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(Code::BadMessage);
        }
        let mut count = 0;
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if descriptions.is_null() || count != 1 {
            return Err(Code::BadMessage);
        }
        let description = *descriptions;
        check(rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(description)))?;
        let id = sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(description));
        if id.is_null() {
            return Err(Code::BadMessage);
        }
        let id = url_safe(&CStr::from_ptr(id).to_string_lossy());
        if id.bytes().all(|digit| digit == b'A') {
            // All zero: the broker has no topic ids, so a topic created again could not be told from the former.
            return Err(Code::UnsupportedVersion);
        }
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(description, &mut partitions);
        Ok(Topic { id, partitions: i32::try_from(partitions).map_err(|_| Code::BadMessage)? })
    }
}

fn timeout_ms(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX).max(1)
}

fn check(error: c_int) -> Result<(), Code> {
    match code_of(error) {
        Code::NoError => Ok(()),
        code => Err(code),
    }
}

/// librdkafka prints ids in the standard base64 alphabet; Kafka's tools, and file names, want the URL-safe one.
fn url_safe(id: &str) -> String {
    id.trim_end_matches('=').replace('+', "-").replace('/', "_")
}
