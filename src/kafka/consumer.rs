//! A consumer of one topic: batches of records in, positions out, rebalances as values.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::option;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::{RDKafka, RDKafkaMessage, RDKafkaRespErr};

use super::batches::{Record, Records};
use super::config::{log, property_error};
use super::error::{ConnectionError, code_of};
use super::replay::{Answer, Parts, Replay};
use super::{Connection, KafkaError};

/// How long the client may take to start reading what it is assigned, and to answer once it has.
const START_MAX: Duration = Duration::from_secs(5);
const SEEK_MS: c_int = 1000;

/// How soon it is seen that no commit is open any more.
const COMMIT_LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long leaving the group may take.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// One thing that a poll brought.
#[derive(Debug)]
pub enum Item<'a> {
    Records(Records<'a>),
    /// Everything below `next_offset` has been read, and there is no more for now.
    EndOfPartition {
        partition: i32,
        next_offset: i64,
    },
    /// `partition` is `None` where the error concerns all of them.
    Failed {
        partition: Option<i32>,
        error: KafkaError,
    },
}

/// Where to read a partition from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    pub partition: i32,
    pub start: StartAt,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartAt {
    /// `leader_epoch`: that of the last record read, so that the broker can tell whether the log is still the
    /// one that was read.
    Offset {
        next_offset: i64,
        leader_epoch: Option<i32>,
    },
    End,
}

/// The group's word on who reads what. Until it is answered by [`Consumer::add`] and [`Consumer::remove`], the
/// rebalance waits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RebalanceEvent {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    /// Revoked already: another member may have them by now.
    Lost(Vec<i32>),
}

/// Shared with librdkafka's callbacks by pointer.
#[derive(Default)]
struct Shared {
    rebalances: Mutex<VecDeque<RebalanceEvent>>,
    last_error: Mutex<Option<ConnectionError>>,
    errors: AtomicU64,
    /// Offsets told to the group, of which it has not been heard what became of them.
    open_commits: AtomicU64,
}

// Declared with the type that C gives to the callback: the bindings' enum can't hold a code that it has no name for.
type OnCommit =
    unsafe extern "C" fn(*mut RDKafka, c_int, *mut sys::rd_kafka_topic_partition_list_t, *mut c_void);
unsafe extern "C" {
    fn rd_kafka_conf_set_offset_commit_cb(conf: *mut sys::rd_kafka_conf_t, callback: Option<OnCommit>);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Consumer {
    client: *mut RDKafka,
    brokers: String,
    topic: CString,
    shared: Box<Shared>,
    /// Where to reach the brokers for a replay; nothing once that was tried, or where it is not to be.
    untried: Option<Connection>,
    /// Of the topic that the offsets belong to, where that is known.
    topic_id: Option<String>,
    replay: Option<Replay>,
    /// What a replay has handed over, until no commit is open.
    waiting: Vec<Position>,
    /// Whose turn it is, where both have partitions to read.
    is_replays_turn: bool,
}

// SAFETY: librdkafka's handle and queues may be used from any thread; nothing here is bound to the one that made
// them.
unsafe impl Send for Consumer {}

impl Consumer {
    /// A consumer whose offsets are given by the caller, at every assignment: those of the topic that has this id, if
    /// it is known.
    pub fn new(
        connection: &Connection,
        group: &str,
        topic: &str,
        topic_id: Option<&str>,
    ) -> Result<Self, KafkaError> {
        let mut consumer = Self::from_config(&connection.consumer(group), topic)?;
        consumer.untried = Some(connection.clone());
        consumer.topic_id = topic_id.map(str::to_owned);
        Ok(consumer)
    }

    /// A consumer that watches from the end on.
    pub fn watcher(connection: &Connection, group: &str, topic: &str) -> Result<Self, KafkaError> {
        Self::from_config(&connection.watcher(group), topic)
    }

    /// A consumer that reads what is there now.
    pub fn reader(connection: &Connection, topic: &str) -> Result<Self, KafkaError> {
        let mut consumer = Self::from_config(&connection.reader(), topic)?;
        consumer.untried = Some(connection.clone());
        Ok(consumer)
    }

    fn from_config(config: &ClientConfig, topic: &str) -> Result<Self, KafkaError> {
        let topic_name = CString::new(topic)
            .map_err(|_| KafkaError::code(format!("can't read topic {topic:?}"), Code::InvalidTopic))?;
        let native = config.create_native_config().map_err(|error| property_error(&error))?;
        let shared = Box::new(Shared::default());
        let mut error_text = [0_u8; 512];
        // SAFETY: the configuration is duplicated, since rd_kafka_new takes it over when it succeeds, and is
        // destroyed here when it does not. `shared` is boxed, so its address is stable, and it is dropped after
        // the client that holds the pointer (see `drop`).
        unsafe {
            let conf = sys::rd_kafka_conf_dup(native.ptr());
            sys::rd_kafka_conf_set_opaque(conf, ptr::from_ref::<Shared>(&shared).cast_mut().cast());
            sys::rd_kafka_conf_set_rebalance_cb(conf, Some(on_rebalance));
            sys::rd_kafka_conf_set_error_cb(conf, Some(on_error));
            rd_kafka_conf_set_offset_commit_cb(conf, Some(on_commit));
            sys::rd_kafka_conf_set_log_cb(conf, Some(on_log));
            let client = sys::rd_kafka_new(
                sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
                conf,
                error_text.as_mut_ptr().cast(),
                error_text.len(),
            );
            if client.is_null() {
                sys::rd_kafka_conf_destroy(conf);
                let reason = CStr::from_bytes_until_nul(&error_text)
                    .map(|text| text.to_string_lossy().into_owned())
                    .unwrap_or_default();
                return Err(KafkaError::Property { key: "-X".to_owned(), reason });
            }
            sys::rd_kafka_poll_set_consumer(client);
            let brokers = config.get("bootstrap.servers").unwrap_or_default().to_owned();
            Ok(Consumer {
                client,
                brokers,
                topic: topic_name,
                shared,
                untried: None,
                topic_id: None,
                replay: None,
                waiting: Vec::new(),
                is_replays_turn: false,
            })
        }
    }

    /// Joins the group, which then says by rebalances what to read.
    pub fn subscribe(&self) -> Result<(), KafkaError> {
        let list = PartitionList::new(1);
        // SAFETY: client, list and name are living; librdkafka copies list and name.
        let error = unsafe {
            sys::rd_kafka_topic_partition_list_add(list.0, self.topic.as_ptr(), -1);
            sys::rd_kafka_subscribe(self.client, list.0)
        };
        self.check(error, "can't subscribe to")
    }

    /// Reads these partitions, from these positions, as well as what it reads already.
    pub fn add(&mut self, positions: &[Position]) -> Result<(), KafkaError> {
        let topic = self.topic.to_string_lossy();
        if !positions.is_empty()
            && let Some(connection) = self.untried.take()
        {
            self.replay = Replay::start(&connection, &topic, self.topic_id.as_deref());
        }
        let mut others = positions.to_vec();
        if let Some(replay) = &mut self.replay {
            others.retain(|position| !replay.add(*position));
        }
        self.add_to_client(&others)
    }

    fn add_to_client(&self, positions: &[Position]) -> Result<(), KafkaError> {
        let list = self.list(positions)?;
        // SAFETY: client and list are living; librdkafka copies the list, and the error returned is ours.
        unsafe {
            let error = sys::rd_kafka_incremental_assign(self.client, list.0);
            self.take_error(error, "can't add partitions of")?;
        }
        self.validate(positions)
    }

    /// Has the broker asked whether the log is still the one that was read, by its leader epochs.
    ///
    /// An assignment alone does that only if a new leader epoch becomes known after it: where the client knows it
    /// already, a log that was cut and grew again would be read on. A seek to the same place always does.
    fn validate(&self, positions: &[Position]) -> Result<(), KafkaError> {
        let has_epoch = |position: &&Position| matches!(position.start, StartAt::Offset { next_offset, leader_epoch: Some(_) } if next_offset > 0);
        let mut unasked: Vec<Position> = positions.iter().filter(has_epoch).copied().collect();
        let deadline = Instant::now() + START_MAX;
        while !unasked.is_empty() {
            let list = self.list(&unasked)?;
            // SAFETY: client and list are living, and the error returned is ours. The list's elements are in its order,
            // as many as it says, and an enum of C is an `int`.
            let refused = unsafe {
                let error = sys::rd_kafka_seek_partitions(self.client, list.0, SEEK_MS);
                if !error.is_null() {
                    sys::rd_kafka_error_destroy(error);
                }
                let elements = slice::from_raw_parts((*list.0).elems, unasked.len());
                let code = |element: &sys::rd_kafka_topic_partition_t| {
                    code_of((&raw const element.err).cast::<c_int>().read())
                };
                elements.iter().map(|element| code(element) != Code::NoError).collect::<Vec<_>>()
            };
            unasked = unasked
                .into_iter()
                .zip(refused)
                .filter_map(|(position, no)| no.then_some(position))
                .collect();
            if !unasked.is_empty() {
                // The client starts what it is assigned in a thread of its own, and refuses before that.
                if Instant::now() > deadline {
                    let action = format!("can't start reading {}", self.topic.to_string_lossy());
                    return Err(KafkaError::code(action, Code::OperationTimedOut));
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }

    /// Reads these partitions no more.
    pub fn remove(&mut self, partitions: &[i32]) -> Result<(), KafkaError> {
        let mut partitions = partitions.to_vec();
        if let Some(replay) = &mut self.replay {
            partitions.retain(|&partition| !replay.remove(partition));
        }
        let is_waiting = |partition: &i32| self.waiting.iter().any(|waiting| waiting.partition == *partition);
        let (waiting, partitions): (Vec<i32>, Vec<i32>) = partitions.into_iter().partition(is_waiting);
        self.waiting.retain(|position| !waiting.contains(&position.partition));
        let positions: Vec<Position> =
            partitions.iter().map(|&partition| Position { partition, start: StartAt::End }).collect();
        let list = self.list(&positions)?;
        // SAFETY: as in `add`.
        unsafe {
            let error = sys::rd_kafka_incremental_unassign(self.client, list.0);
            self.take_error(error, "can't remove partitions of")
        }
    }

    /// Waits up to `timeout` for something to come, then takes what is there: one answer of a replay, or from the client up
    /// to `batch`'s capacity.
    ///
    /// From the client one by one: librdkafka's own call for a batch (`rd_kafka_consume_batch_queue`) takes the offset that comes
    /// with the end of a partition for that of a record. After a rebalance it would go on one past it, and leave
    /// out the record that has come to be there.
    pub fn poll(&mut self, batch: &mut Batch, timeout: Duration) {
        batch.clear();
        let replay = self.replay.as_mut().filter(|replay| !replay.is_idle());
        let mut patience = Duration::ZERO;
        // What the group has to say comes by the client, whoever reads.
        self.is_replays_turn = !self.is_replays_turn;
        match replay {
            Some(replay) if self.is_replays_turn => {
                replay.poll(&mut batch.answer, timeout);
                self.waiting.append(&mut replay.take_handed_over());
            }
            Some(_) => {}
            None if self.waiting.is_empty() => patience = timeout,
            None => patience = timeout.min(COMMIT_LOOK_EVERY),
        }
        // Where the coordinator is away that may take long, and the client starts reading nothing before.
        if !self.waiting.is_empty() && self.shared.open_commits.load(Ordering::Relaxed) == 0 {
            let waiting = std::mem::take(&mut self.waiting);
            batch.failure = self.add_to_client(&waiting).err();
        }
        if batch.answer.is_empty() {
            self.poll_client(batch, patience);
        }
    }

    fn poll_client(&self, batch: &mut Batch, timeout: Duration) {
        let mut timeout_ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        while batch.messages.len() < batch.capacity {
            // SAFETY: the client is living, and a message that is not null is ours.
            let message = unsafe { sys::rd_kafka_consumer_poll(self.client, timeout_ms) };
            if message.is_null() {
                break;
            }
            // SAFETY: the message is living and ours, and a C enum is an `int`. Its text still has the number.
            unsafe {
                let number = (&raw mut (*message).err).cast::<c_int>();
                if RDKafkaRespErr::try_from(number.read()).is_err() {
                    number.write(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN as c_int);
                }
            }
            batch.messages.push(message);
            timeout_ms = 0;
        }
    }

    /// The rebalances since the last call, in order.
    pub fn take_rebalances(&self) -> Vec<RebalanceEvent> {
        locked(&self.shared.rebalances).drain(..).collect()
    }

    /// The last thing that went wrong with the connections, once.
    pub fn take_error_text(&self) -> Option<String> {
        locked(&self.shared.last_error).take().map(|error| error.reason)
    }

    /// How many errors the client has reported since the last call.
    pub fn take_error_count(&self) -> u64 {
        self.shared.errors.swap(0, Ordering::Relaxed)
    }

    /// Whether the brokers don't let the client in, which waiting does not change.
    pub fn is_let_in(&self) -> Result<(), KafkaError> {
        match locked(&self.shared.last_error).take_if(|error| error.is_lasting()) {
            Some(error) => Err(error.of_brokers(&self.brokers)),
            None => Ok(()),
        }
    }

    /// The high watermark that the last fetch brought.
    pub fn high_watermark(&self, partition: i32) -> Option<i64> {
        let of_replay = self.replay.as_ref().and_then(|replay| replay.high_watermark(partition));
        if self.replay.as_ref().is_some_and(|replay| replay.has(partition)) {
            return of_replay;
        }
        let (mut low, mut high) = (-1, -1);
        // SAFETY: client and name are living, and the two numbers are ours.
        let error = unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.client,
                self.topic.as_ptr(),
                partition,
                &mut low,
                &mut high,
            )
        };
        (Code::from(error) == Code::NoError && high >= 0).then_some(high).or(of_replay)
    }

    /// Whether telling the group keeps nothing from being read.
    pub fn can_publish(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tells the group how far the checkpoints are, for lag displays. Nothing depends on it.
    pub fn publish_offsets(&self, next_offsets: &[(i32, i64)]) {
        let position = |&(partition, next_offset): &(i32, i64)| Position {
            partition,
            start: StartAt::Offset { next_offset, leader_epoch: None },
        };
        let positions: Vec<Position> = next_offsets.iter().map(position).collect();
        let Ok(list) = self.list(&positions) else { return };
        // SAFETY: client and list are living; librdkafka copies the list.
        let error = unsafe { sys::rd_kafka_commit(self.client, list.0, 1) };
        match Code::from(error) {
            // Answered in a poll, thus not before this.
            Code::NoError => drop(self.shared.open_commits.fetch_add(1, Ordering::Relaxed)),
            code => tracing::debug!(error = %code, "offsets not published to the group"),
        }
    }

    fn list(&self, positions: &[Position]) -> Result<PartitionList, KafkaError> {
        let list = PartitionList::new(positions.len());
        for position in positions {
            // SAFETY: list and name are living; the entry returned is part of the list.
            unsafe {
                let entry =
                    sys::rd_kafka_topic_partition_list_add(list.0, self.topic.as_ptr(), position.partition);
                match position.start {
                    StartAt::End => (*entry).offset = sys::RD_KAFKA_OFFSET_END.into(),
                    StartAt::Offset { next_offset, leader_epoch } => {
                        (*entry).offset = next_offset;
                        if let Some(epoch) = leader_epoch {
                            sys::rd_kafka_topic_partition_set_leader_epoch(entry, epoch);
                        }
                    }
                }
            }
        }
        Ok(list)
    }

    fn check(&self, error: RDKafkaRespErr, action: &str) -> Result<(), KafkaError> {
        match Code::from(error) {
            Code::NoError => Ok(()),
            code => Err(KafkaError::code(format!("{action} {}", self.topic.to_string_lossy()), code)),
        }
    }

    /// # Safety
    /// `error` must be null or an error object that nobody else destroys.
    unsafe fn take_error(&self, error: *mut sys::rd_kafka_error_t, action: &str) -> Result<(), KafkaError> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: not null, and ours to destroy after its last use.
        let code = unsafe {
            let code = sys::rd_kafka_error_code(error);
            sys::rd_kafka_error_destroy(error);
            code
        };
        self.check(code, action)
    }

    /// Leaves the group; what is revoked by that is let go without a word. Says whether the client has ended: while
    /// no broker answers it may not, for longer than anybody waits.
    fn leave(&self) -> bool {
        let deadline = Instant::now() + LEAVE_MAX;
        // SAFETY: the client is living, and this runs once, in `drop`. Closing runs as events on a queue of ours, so
        // that the final revocation can be answered here; the queue outlives it.
        unsafe {
            let queue = sys::rd_kafka_queue_new(self.client);
            let error = sys::rd_kafka_consumer_close_queue(self.client, queue);
            if !error.is_null() {
                sys::rd_kafka_error_destroy(error);
            }
            while sys::rd_kafka_consumer_closed(self.client) == 0 && Instant::now() < deadline {
                let mut message = ptr::null_mut();
                let taken = sys::rd_kafka_consume_batch_queue(queue, 50, &mut message, 1);
                if taken > 0 && !message.is_null() {
                    sys::rd_kafka_message_destroy(message);
                }
                if !self.take_rebalances().is_empty() {
                    sys::rd_kafka_assign(self.client, ptr::null());
                }
            }
            let is_closed = sys::rd_kafka_consumer_closed(self.client) != 0;
            sys::rd_kafka_queue_destroy(queue);
            is_closed
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.leave() {
            // SAFETY: destroyed once; `shared` is a field, dropped after this, when no callback can run any more.
            unsafe { sys::rd_kafka_destroy(self.client) };
        } else {
            // Destroying it would wait for what leaving waited for. It lives on without an owner, until the process
            // ends, and so must what its callbacks point to.
            tracing::debug!("a Kafka client could not leave its group");
            std::mem::forget(std::mem::take(&mut self.shared));
        }
    }
}

/// What a poll brought, owned until the next one: records of one answer to a replay, or from the client, of which there is
/// a largest number.
pub struct Batch {
    messages: Vec<*mut RDKafkaMessage>,
    capacity: usize,
    /// Of a replay.
    answer: Answer,
    /// Of what a replay has handed over.
    failure: Option<KafkaError>,
}

impl Batch {
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Batch { messages: Vec::with_capacity(capacity), capacity, answer: Answer::default(), failure: None }
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.answer.is_empty() && self.failure.is_none()
    }

    pub fn iter(&self) -> Items<'_> {
        Items { parts: self.answer.parts(), messages: self.messages.iter(), failure: self.failure.iter() }
    }

    fn clear(&mut self) {
        self.answer.clear();
        self.failure = None;
        for message in self.messages.drain(..) {
            // SAFETY: each message is ours, and destroyed once.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

/// What a batch holds, in the order in which it is to be taken.
pub struct Items<'a> {
    parts: Parts<'a>,
    messages: slice::Iter<'a, *mut RDKafkaMessage>,
    failure: option::Iter<'a, KafkaError>,
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        if let Some(records) = self.parts.next() {
            return Some(Item::Records(records));
        }
        if let Some(message) = self.messages.next() {
            // SAFETY: each message is living until `clear`, which needs the batch to itself.
            return Some(unsafe { item(&**message) });
        }
        // What is handed over without being taken puts all that follows in doubt.
        let error = KafkaError::code(self.failure.next()?.to_string(), Code::NoOffset);
        Some(Item::Failed { partition: None, error })
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

/// # Safety
/// `message` must have come from librdkafka and not have been destroyed.
unsafe fn item(message: &RDKafkaMessage) -> Item<'_> {
    match Code::from(message.err) {
        Code::NoError => {
            let record = Record {
                partition: message.partition,
                offset: message.offset,
                // SAFETY: pointer and length belong together, and live as long as the message.
                key: unsafe { bytes(message.key, message.key_len) },
                // SAFETY: the same.
                value: unsafe { bytes(message.payload, message.len) },
            };
            // SAFETY: the message is living.
            let leader_epoch = unsafe { sys::rd_kafka_message_leader_epoch(message) };
            Item::Records(Records::of_one(record, leader_epoch))
        }
        Code::PartitionEOF => {
            Item::EndOfPartition { partition: message.partition, next_offset: message.offset }
        }
        code => {
            let partition = (!message.rkt.is_null() && message.partition >= 0).then_some(message.partition);
            // SAFETY: an error's payload is its text.
            let text = unsafe { bytes(message.payload, message.len) }.map(String::from_utf8_lossy);
            let code = match &text {
                // With a reset to an error, which is ours, the cause is in the text only.
                Some(text) if code == Code::AutoOffsetReset && text.contains(&truncation_text()) => {
                    Code::LogTruncation
                }
                _ => code,
            };
            let reason = text.map_or_else(|| code.to_string(), |text| format!("{text} ({code})"));
            let action = match partition {
                Some(partition) if message.offset >= 0 => {
                    format!("can't read partition {partition} at offset {}", message.offset)
                }
                Some(partition) => format!("can't read partition {partition}"),
                None => "can't read".to_owned(),
            };
            Item::Failed { partition, error: KafkaError::Client { action, code, reason } }
        }
    }
}

/// The client's own words for a log that was cut.
fn truncation_text() -> String {
    // SAFETY: the text is static.
    unsafe { text(sys::rd_kafka_err2str(RDKafkaRespErr::RD_KAFKA_RESP_ERR__LOG_TRUNCATION)) }
}

/// # Safety
/// `data` must be null or point to `len` bytes that live for `'a`.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    (!data.is_null()).then(|| unsafe { slice::from_raw_parts(data.cast(), len) })
}

/// A librdkafka list of partitions, freed with its owner.
struct PartitionList(*mut sys::rd_kafka_topic_partition_list_t);

impl PartitionList {
    fn new(capacity: usize) -> Self {
        // SAFETY: allocates; librdkafka aborts where it can't.
        PartitionList(unsafe {
            sys::rd_kafka_topic_partition_list_new(c_int::try_from(capacity).unwrap_or(c_int::MAX))
        })
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.0) };
    }
}

/// Runs inside a poll, on the polling thread; the answer is given later, by the owner of the consumer.
unsafe extern "C" fn on_rebalance(
    client: *mut RDKafka,
    error: RDKafkaRespErr,
    list: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka gives its own living objects, and the opaque pointer set in `from_config`.
    let (shared, partitions, is_lost) = unsafe {
        let elements: &[_] = match list.as_ref() {
            Some(list) if !list.elems.is_null() => {
                slice::from_raw_parts(list.elems, usize::try_from(list.cnt).unwrap_or(0))
            }
            _ => &[],
        };
        let partitions = elements.iter().map(|element| element.partition).collect();
        (&*opaque.cast::<Shared>(), partitions, sys::rd_kafka_assignment_lost(client) != 0)
    };
    let event = match Code::from(error) {
        Code::AssignPartitions => RebalanceEvent::Assigned(partitions),
        _ if is_lost => RebalanceEvent::Lost(partitions),
        _ => RebalanceEvent::Revoked(partitions),
    };
    locked(&shared.rebalances).push_back(event);
}

unsafe extern "C" fn on_error(
    _client: *mut RDKafka,
    error: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: the opaque pointer set in `from_config`, and librdkafka's own text, copied at once.
    let (shared, reason) = unsafe { (&*opaque.cast::<Shared>(), text(reason)) };
    tracing::debug!(error, reason, "kafka client");
    shared.errors.fetch_add(1, Ordering::Relaxed);
    if let Some(error) = ConnectionError::new(code_of(error), &reason) {
        *locked(&shared.last_error) = Some(error);
    }
}

/// Runs inside a poll, once for each commit.
unsafe extern "C" fn on_commit(
    _client: *mut RDKafka,
    error: c_int,
    _offsets: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: the opaque pointer set in `from_config`.
    let shared = unsafe { &*opaque.cast::<Shared>() };
    tracing::trace!(error, "offsets published to the group");
    shared.open_commits.update(Ordering::Relaxed, Ordering::Relaxed, |open| open.saturating_sub(1));
}

unsafe extern "C" fn on_log(
    _client: *const RDKafka,
    level: c_int,
    facility: *const c_char,
    message: *const c_char,
) {
    // SAFETY: librdkafka's own texts, copied at once.
    let (facility, message) = unsafe { (text(facility), text(message)) };
    log(level, &facility, &message);
}

/// # Safety
/// `text` must be null or a C string.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
