//! A consumer of one topic: batches of records in, positions out, rebalances as values.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
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
use super::fetcher::Fetcher;
use super::response::{Part, Response};
use super::{Connection, Decompression, KafkaError, decompression};

/// How long the client may take to start reading what it is assigned, and to answer once it has.
const START_MAX: Duration = Duration::from_secs(5);
const SEEK_MS: c_int = 1000;

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
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Consumer {
    client: *mut RDKafka,
    brokers: String,
    topic: CString,
    shared: Box<Shared>,
    /// Reads the partitions; nothing where only librdkafka can reach the brokers.
    fetcher: Option<Fetcher>,
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
        consumer.fetcher = Fetcher::start(connection, topic, topic_id);
        Ok(consumer)
    }

    /// A consumer that watches from the end on.
    pub fn watcher(connection: &Connection, group: &str, topic: &str) -> Result<Self, KafkaError> {
        let mut consumer = Self::from_config(&connection.watcher(group), topic)?;
        consumer.fetcher = Fetcher::start(connection, topic, None);
        consumer.fetcher.iter_mut().for_each(Fetcher::follow);
        Ok(consumer)
    }

    /// A consumer that reads what is there now.
    pub fn reader(connection: &Connection, topic: &str) -> Result<Self, KafkaError> {
        let mut consumer = Self::from_config(&connection.reader(), topic)?;
        consumer.fetcher = Fetcher::start(connection, topic, None);
        consumer.fetcher.iter_mut().for_each(Fetcher::hurry);
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
            Ok(Consumer { client, brokers, topic: topic_name, shared, fetcher: None })
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
        match &mut self.fetcher {
            None => self.add_to_client(positions),
            Some(fetcher) => {
                positions.iter().for_each(|position| fetcher.add(*position));
                // The group's rebalance goes on with whatever the client itself is to read.
                self.add_to_client(&[])
            }
        }
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
        if let Some(fetcher) = &mut self.fetcher {
            partitions.retain(|&partition| !fetcher.remove(partition));
        }
        let positions: Vec<Position> =
            partitions.iter().map(|&partition| Position { partition, start: StartAt::End }).collect();
        let list = self.list(&positions)?;
        // SAFETY: as in `add`.
        unsafe {
            let error = sys::rd_kafka_incremental_unassign(self.client, list.0);
            self.take_error(error, "can't remove partitions of")
        }
    }

    /// Waits up to `timeout` for something to come, then takes what is there: one response, or from the client up to as many
    /// messages as `received` holds.
    ///
    /// From the client one by one: librdkafka's own call for a batch (`rd_kafka_consume_batch_queue`) takes the offset that comes
    /// with the end of a partition for that of a record. After a rebalance it would resume one past it, and leave
    /// out the record that is there by then.
    pub fn poll(&mut self, received: &mut Received, timeout: Duration) {
        received.clear();
        if self.fetcher.as_ref().is_none_or(Fetcher::is_idle) {
            return self.poll_client(received, timeout);
        }
        // Rebalances and errors come through the client, whoever reads.
        self.poll_client(received, Duration::ZERO);
        let is_quiet = received.messages.is_empty() && locked(&self.shared.rebalances).is_empty();
        let Some(fetcher) = &mut self.fetcher else { return };
        fetcher.poll(&mut received.response, if is_quiet { timeout } else { Duration::ZERO });
        let handed_over = fetcher.take_handed_over();
        if !handed_over.is_empty()
            && let Err(error) = self.add_to_client(&handed_over)
        {
            received.response.push_failure(None, KafkaError::code(error.to_string(), Code::NoOffset));
        }
    }

    fn poll_client(&self, received: &mut Received, timeout: Duration) {
        let mut timeout_ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        while received.messages.len() < received.capacity {
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
            received.messages.push(message);
            timeout_ms = 0;
        }
    }

    /// The rebalances since the last call, in order.
    pub fn take_rebalances(&self) -> Vec<RebalanceEvent> {
        locked(&self.shared.rebalances).drain(..).collect()
    }

    /// The last thing that went wrong with the connections, once.
    pub fn take_error_text(&mut self) -> Option<String> {
        let of_client = locked(&self.shared.last_error).take().map(|error| error.reason);
        self.fetcher.as_mut().and_then(Fetcher::take_error_text).or(of_client)
    }

    /// How many errors the client has reported since the last call.
    pub fn take_error_count(&mut self) -> u64 {
        let of_fetcher = self.fetcher.as_mut().map_or(0, Fetcher::take_error_count);
        of_fetcher + self.shared.errors.swap(0, Ordering::Relaxed)
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
        if let Some(reading) = self.fetcher.as_ref().and_then(|fetcher| fetcher.reading(partition)) {
            return reading.high_watermark;
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
        (Code::from(error) == Code::NoError && high >= 0).then_some(high)
    }

    /// How far committed records can be read, by the last fetch: below the high watermark while a transaction is open.
    pub fn last_stable_offset(&self, partition: i32) -> Option<i64> {
        self.fetcher.as_ref()?.reading(partition)?.last_stable_offset
    }

    /// Why nothing comes of a partition, if the consumer knows a cause that lasts longer than a moment.
    pub fn obstacle(&self, partition: i32) -> Option<&str> {
        self.fetcher.as_ref()?.reading(partition)?.obstacle()
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
        if Code::from(error) != Code::NoError {
            tracing::debug!(error = %Code::from(error), "offsets not published to the group");
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

/// What a poll brought, owned until the next one: a response, and messages from the client, of which there is a largest
/// number.
pub struct Received {
    messages: Vec<*mut RDKafkaMessage>,
    capacity: usize,
    response: Response,
    decompression: Decompression,
    /// The partition of the batch that is being decompressed, and from which offset its records are wanted.
    decompressing: (i32, i64),
    next_part: usize,
    next_message: usize,
}

impl Received {
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Received {
            messages: Vec::with_capacity(capacity),
            capacity,
            response: Response::default(),
            decompression: decompression(),
            decompressing: (0, 0),
            next_part: 0,
            next_message: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.response.is_empty()
    }

    /// The next thing to take, in order. Compressed records come in pieces.
    #[allow(clippy::should_implement_trait, reason = "an item borrows from what it comes from")]
    pub fn next(&mut self) -> Option<Item<'_>> {
        if !self.advance() {
            let message = *self.messages.get(self.next_message)?;
            self.next_message += 1;
            // SAFETY: each message is living until `clear`, which needs this value to itself.
            return Some(unsafe { item(&*message) });
        }
        let (partition, from) = self.decompressing;
        if let Some(records) = self.decompression.records(partition, from) {
            return Some(Item::Records(records));
        }
        let index = self.next_part - 1;
        if let Some(Part::Failed(partition, error)) = self.response.part(index) {
            return Some(Item::Failed { partition: *partition, error: error.take()? });
        }
        match self.response.part_at(index)? {
            Part::Batch { partition, from, header, records } => {
                let batch = self.response.batch(*header, records);
                Some(Item::Records(Records::of_run(*partition, *from, batch.run())))
            }
            Part::End { partition, next_offset } => {
                Some(Item::EndOfPartition { partition: *partition, next_offset: *next_offset })
            }
            Part::Failed(..) => None,
        }
    }

    /// Goes to the next piece of a compressed batch, or the next part of the response. Says whether there is one.
    fn advance(&mut self) -> bool {
        loop {
            if self.decompression.advance() {
                return true;
            }
            let Some(part) = self.response.part_at(self.next_part) else { return false };
            self.next_part += 1;
            let Part::Batch { partition, from, header, records } = part else { return true };
            let Some(codec) = header.codec else { return true };
            self.decompressing = (*partition, *from);
            let batch = self.response.batch(*header, records);
            self.decompression.begin(&batch, codec);
        }
    }

    fn clear(&mut self) {
        self.response.clear();
        self.decompression.clear();
        (self.next_part, self.next_message) = (0, 0);
        for message in self.messages.drain(..) {
            // SAFETY: each message is ours, and destroyed once.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

impl Drop for Received {
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
