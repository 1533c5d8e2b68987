//! librdkafka's C API, where rdkafka's safe wrapper lacks something: rebalances as values, topic IDs, leader epochs.
//!
//! All `unsafe` code of almanac is in this file. An error code is read as the `int` that it is in C. A
//! broker may send one that has no name, and the bindings' enum can't hold that.

#![allow(unsafe_code, reason = "the C library is called from here only, each time with its SAFETY")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::slice;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::types::{RDKafka, RDKafkaMessage, RDKafkaRespErr};

use super::assignment::{Position, RebalanceEvent, StartAt};
use super::config::{Context, creation_error, log, property_error};
use super::error::{KafkaError, code_of};
use super::events::Events;
use almanac_core::protocol::lookups::{ListedOffset, OffsetOf};

unsafe extern "C" {
    fn rd_kafka_error_code(error: *const sys::rd_kafka_error_t) -> c_int;
    fn rd_kafka_event_error(event: *mut sys::rd_kafka_event_t) -> c_int;
}

/// `RD_KAFKA_PARTITION_UA`, which the bindings lack: the partitioner chooses.
const PARTITION_UNASSIGNED: i32 = -1;

/// A pointer to something of librdkafka's, which is destroyed with it.
macro_rules! owned {
    ($name:ident, $type:ty, $destroy:path) => {
        pub(super) struct $name(*mut $type);

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: it came from librdkafka, is ours, and is destroyed once.
                unsafe { $destroy(self.0) };
            }
        }
    };
}

owned!(AdminOptions, sys::rd_kafka_AdminOptions_t, sys::rd_kafka_AdminOptions_destroy);
owned!(Event, sys::rd_kafka_event_t, sys::rd_kafka_event_destroy);
owned!(Message, RDKafkaMessage, sys::rd_kafka_message_destroy);
owned!(PartitionList, sys::rd_kafka_topic_partition_list_t, sys::rd_kafka_topic_partition_list_destroy);
owned!(Queue, sys::rd_kafka_queue_t, sys::rd_kafka_queue_destroy);
owned!(OutgoingTopic, sys::rd_kafka_topic_t, sys::rd_kafka_topic_destroy);

/// A consumer of librdkafka, for one topic.
pub(super) struct ConsumerClient {
    handle: *mut RDKafka,
    topic: CString,
    /// The callbacks have a pointer to it.
    events: Box<Events>,
}

// SAFETY: librdkafka's handle and queues may be used from any thread, by several at the same time.
unsafe impl Send for ConsumerClient {}
// SAFETY: the same.
unsafe impl Sync for ConsumerClient {}

impl ConsumerClient {
    pub(super) fn new(config: &ClientConfig, topic: &str) -> Result<Self, KafkaError> {
        let topic = CString::new(topic)
            .map_err(|_| KafkaError::code(format!("can't read topic {topic:?}"), Code::InvalidTopic))?;
        let native = config.create_native_config().map_err(|error| property_error(&error))?;
        let events = Box::new(Events::default());
        let mut reason = [0_u8; 512];
        // SAFETY: the configuration is duplicated, since rd_kafka_new takes it over when it succeeds, and is
        // destroyed here when it does not. `events` is boxed, so its address is stable, and it is dropped after
        // the client that holds the pointer (see `drop`).
        unsafe {
            let conf = sys::rd_kafka_conf_dup(native.ptr());
            sys::rd_kafka_conf_set_opaque(conf, ptr::from_ref::<Events>(&events).cast_mut().cast());
            sys::rd_kafka_conf_set_rebalance_cb(conf, Some(on_rebalance));
            sys::rd_kafka_conf_set_error_cb(conf, Some(on_error));
            sys::rd_kafka_conf_set_log_cb(conf, Some(on_log));
            let kind = sys::rd_kafka_type_t::RD_KAFKA_CONSUMER;
            let handle = sys::rd_kafka_new(kind, conf, reason.as_mut_ptr().cast(), reason.len());
            if handle.is_null() {
                sys::rd_kafka_conf_destroy(conf);
                let reason = text(reason.as_ptr().cast());
                return Err(creation_error(&reason));
            }
            sys::rd_kafka_poll_set_consumer(handle);
            Ok(ConsumerClient { handle, topic, events })
        }
    }

    /// Joins the group. A partition of -1 is for all of them.
    pub(super) fn subscribe(&self) -> Result<(), Code> {
        let list = PartitionList::new();
        list.add(&self.topic, -1);
        // SAFETY: client and list are living; librdkafka copies the list.
        check(unsafe { sys::rd_kafka_subscribe(self.handle, list.0) } as c_int)
    }

    /// Reads these partitions as well. Also answers an assignment by the group.
    pub(super) fn assign(&self, positions: &[Position]) -> Result<(), Code> {
        let list = self.list(positions);
        // SAFETY: client and list are living; librdkafka copies the list, and the error returned is ours.
        unsafe { taken_error(sys::rd_kafka_incremental_assign(self.handle, list.0)) }
    }

    /// Stops reading these partitions. Also answers a revocation by the group.
    pub(super) fn unassign(&self, partitions: &[i32]) -> Result<(), Code> {
        let position = |&partition| Position { partition, start: StartAt::Edge(OffsetOf::End) };
        let list = self.list(&partitions.iter().map(position).collect::<Vec<_>>());
        // SAFETY: as in `assign`.
        unsafe { taken_error(sys::rd_kafka_incremental_unassign(self.handle, list.0)) }
    }

    /// Moves to these positions; returns those that the client refused to move to.
    pub(super) fn seek(&self, positions: &[Position], timeout: Duration) -> Vec<Position> {
        if positions.is_empty() {
            return Vec::new();
        }
        let list = self.list(positions);
        // SAFETY: client and list are living, and the error returned is ours. The elements are in the list's order, as
        // many as it was given.
        let elements = unsafe {
            let result = taken_error(sys::rd_kafka_seek_partitions(self.handle, list.0, timeout_ms(timeout)));
            tracing::trace!(?result, "seek");
            slice::from_raw_parts((*list.0).elems, positions.len())
        };
        let is_refused = |element: &sys::rd_kafka_topic_partition_t| {
            // SAFETY: the element is living.
            unsafe { check((&raw const element.err).cast::<c_int>().read()) }.is_err()
        };
        let refused = positions.iter().zip(elements).filter(|(_, element)| is_refused(element));
        refused.map(|(position, _)| *position).collect()
    }

    /// Waits for a message, the end of a partition, an error, or a call of one of the callbacks.
    pub(super) fn poll(&self, timeout: Duration) -> Option<Message> {
        let timeout_ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the client is living, and a message that is not null is ours.
        let message = unsafe { sys::rd_kafka_consumer_poll(self.handle, timeout_ms) };
        if message.is_null() {
            return None;
        }
        // SAFETY: the message is living and ours, and a C enum is an `int`. Its text still has the number.
        unsafe {
            let number = (&raw mut (*message).err).cast::<c_int>();
            number.write(code_of(number.read()) as c_int);
        }
        Some(Message(message))
    }

    /// The high watermark that the last fetch brought.
    pub(super) fn high_watermark(&self, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        let (client, topic) = (self.handle, self.topic.as_ptr());
        // SAFETY: client and name are living, and the two numbers are ours.
        let error =
            unsafe { sys::rd_kafka_get_watermark_offsets(client, topic, partition, &mut low, &mut high) };
        (check(error as c_int).is_ok() && high >= 0).then_some(high)
    }

    /// Has a thread of the client commit these offsets to the group. Nobody waits for it.
    pub(super) fn commit(&self, positions: &[Position]) -> Result<(), Code> {
        let list = self.list(positions);
        // SAFETY: client and list are living; librdkafka copies the list.
        check(unsafe { sys::rd_kafka_commit(self.handle, list.0, 1) } as c_int)
    }

    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    /// Waits for the offsets that are being committed, then leaves the group; up to `time`, as the client itself waits for
    /// a broker that answers.
    pub(super) fn close(&self, time: Duration) {
        let deadline = Instant::now() + time;
        // SAFETY: the client is living. It closes by events on a queue, so that the last revocation can be answered here;
        // it has its own reference to the queue.
        unsafe {
            let queue = Queue(sys::rd_kafka_queue_new(self.handle));
            if taken_error(sys::rd_kafka_consumer_close_queue(self.handle, queue.0)).is_err() {
                return;
            }
            while !self.is_closed() && Instant::now() < deadline {
                let mut message = ptr::null_mut();
                if sys::rd_kafka_consume_batch_queue(queue.0, 50, &mut message, 1) > 0 {
                    drop(Message(message));
                }
                if !self.events.take_rebalances().is_empty() {
                    sys::rd_kafka_assign(self.handle, ptr::null());
                }
            }
        }
    }

    fn is_closed(&self) -> bool {
        // SAFETY: the client is living.
        unsafe { sys::rd_kafka_consumer_closed(self.handle) != 0 }
    }

    fn list(&self, positions: &[Position]) -> PartitionList {
        let list = PartitionList::new();
        for position in positions {
            let (offset, epoch) = match position.start {
                StartAt::Edge(OffsetOf::Start) => (sys::RD_KAFKA_OFFSET_BEGINNING.into(), None),
                StartAt::Edge(_) => (sys::RD_KAFKA_OFFSET_END.into(), None),
                StartAt::Offset { next_offset, leader_epoch } => (next_offset, leader_epoch),
            };
            let entry = list.add(&self.topic, position.partition);
            // SAFETY: the list is living, and the entry is part of it; -1 is for no epoch.
            unsafe {
                (*entry).offset = offset;
                sys::rd_kafka_topic_partition_set_leader_epoch(entry, epoch.unwrap_or(-1));
            }
        }
        list
    }
}

impl Drop for ConsumerClient {
    fn drop(&mut self) {
        if self.is_closed() {
            // SAFETY: destroyed once; `events` is a field, dropped after this, when no callback can run any more.
            unsafe { sys::rd_kafka_destroy(self.handle) };
        } else {
            // Destroying it would wait for what closing waited for. It lives on without an owner, until the process
            // ends, and so must what its callbacks point to.
            tracing::debug!("a Kafka client could not leave its group");
            std::mem::forget(std::mem::take(&mut self.events));
        }
    }
}

/// A record, the end of a partition, or an error.
impl Message {
    pub(super) fn fields(&self) -> &RDKafkaMessage {
        // SAFETY: it came from `poll`, which has seen to its error code, and is destroyed by `drop` only.
        unsafe { &*self.0 }
    }

    pub(super) fn key(&self) -> Option<&[u8]> {
        // SAFETY: pointer and length belong together, and live as long as the message.
        unsafe { array(self.fields().key.cast(), self.fields().key_len) }
    }

    /// The value of a record, the text of an error.
    pub(super) fn value(&self) -> Option<&[u8]> {
        // SAFETY: as in `key`.
        unsafe { array(self.fields().payload.cast(), self.fields().len) }
    }

    /// The value of the last header with this key.
    pub(super) fn header(&self, key: &str) -> Option<&[u8]> {
        let key = CString::new(key).ok()?;
        let (mut headers, mut value, mut size) = (ptr::null_mut(), ptr::null(), 0);
        // SAFETY: the message is living, and so are its headers, key and value as long as it is.
        unsafe {
            check(sys::rd_kafka_message_headers(self.0, &raw mut headers) as c_int).ok()?;
            check(
                sys::rd_kafka_header_get_last(headers, key.as_ptr(), &raw mut value, &raw mut size) as c_int
            )
            .ok()?;
            array(value.cast(), size)
        }
    }

    /// The leader epoch of a record, -1 if it has none.
    pub(super) fn leader_epoch(&self) -> i32 {
        // SAFETY: the message is living.
        unsafe { sys::rd_kafka_message_leader_epoch(self.0) }
    }

    /// The time of a record in milliseconds since 1970, if it has one.
    pub(super) fn time(&self) -> Option<i64> {
        // SAFETY: the message is living, and the pointer for the kind of time may be null.
        let time = unsafe { sys::rd_kafka_message_timestamp(self.0, std::ptr::null_mut()) };
        (time >= 0).then_some(time)
    }
}

/// A record to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    /// Comes back with the delivery report, as rdkafka's `usize` does.
    pub(super) tag: usize,
}

// SAFETY: librdkafka's topics may be used from any thread, by several at the same time.
unsafe impl Send for OutgoingTopic {}
// SAFETY: the same.
unsafe impl Sync for OutgoingTopic {}

/// A topic that a producer sends to, in calls of many records: rdkafka takes one, and allocates for each.
impl OutgoingTopic {
    /// Must be dropped before the client.
    pub(super) fn new<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<Self, KafkaError> {
        let name = CString::new(topic)
            .map_err(|_| KafkaError::code(format!("can't send to topic {topic:?}"), Code::InvalidTopic))?;
        // SAFETY: client and name are living; without a configuration the client's own is copied.
        let handle = unsafe { sys::rd_kafka_topic_new(client.native_ptr(), name.as_ptr(), ptr::null_mut()) };
        match handle.is_null() {
            true => Err(KafkaError::code(format!("can't send to topic {topic}"), Code::InvalidTopic)),
            false => Ok(OutgoingTopic(handle)),
        }
    }

    /// Queues records in their order until the queue is full; says how many it took.
    pub(super) fn send(&self, records: &[Outgoing]) -> Result<usize, Code> {
        // SAFETY: of this struct of numbers and pointers, all zeros are a value.
        let empty: RDKafkaMessage = unsafe { std::mem::zeroed() };
        let message = |record: &Outgoing| RDKafkaMessage {
            payload: record.value.as_ptr().cast_mut().cast(),
            len: record.value.len(),
            key: record.key.as_ptr().cast_mut().cast(),
            key_len: record.key.len(),
            _private: ptr::without_provenance_mut(record.tag),
            ..empty
        };
        let mut messages: Vec<RDKafkaMessage> = records.iter().map(message).collect();
        let count = c_int::try_from(messages.len()).map_err(|_| Code::InvalidArgument)?;
        // SAFETY: topic and messages are living; librdkafka copies keys and values, and writes to `err` only.
        unsafe {
            sys::rd_kafka_produce_batch(
                self.0,
                PARTITION_UNASSIGNED,
                sys::RD_KAFKA_MSG_F_COPY as c_int,
                messages.as_mut_ptr(),
                count,
            );
        }
        for (taken, message) in messages.iter().enumerate() {
            // SAFETY: the message is living, and a C enum is an `int`.
            match check(unsafe { (&raw const message.err).cast::<c_int>().read() }) {
                Ok(()) => {}
                // Those behind it were not taken either.
                Err(Code::QueueFull) => return Ok(taken),
                Err(code) => return Err(code),
            }
        }
        Ok(messages.len())
    }
}

/// The ID of a topic and its number of partitions, unless `is_hopeless` says meanwhile that no response will come.
pub(super) fn describe_topic(
    client: &Client<Context>,
    topic: &CStr,
    timeout: Duration,
    is_hopeless: impl Fn() -> bool,
) -> Result<(String, usize), Code> {
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let request = AdminRequest::new(client, kind, timeout);
    // SAFETY: the collection is made here and destroyed here, after the request has copied it; it copies the name.
    unsafe {
        let mut names = [topic.as_ptr()];
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        sys::rd_kafka_DescribeTopics(client.native_ptr(), topics, request.options.0, request.queue.0);
        sys::rd_kafka_TopicCollection_destroy(topics);
    }
    let event = request.wait(is_hopeless)?;
    // SAFETY: pointers are checked before use, and live as long as the event; strings are copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.0).as_ref().ok_or(Code::BadMessage)?;
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let Some(&[description]) = array(topics, count) else { return Err(Code::BadMessage) };
        check(rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(description)))?;
        let id = sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(description));
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(description, &mut partitions);
        if id.is_null() { Err(Code::BadMessage) } else { Ok((text(id), partitions)) }
    }
}

/// An offset of a partition, with its leader epoch if the broker gives it.
pub(super) fn list_offset(
    client: &Client<Context>,
    topic: &CStr,
    partition: i32,
    which: OffsetOf,
    timeout: Duration,
) -> Result<ListedOffset, Code> {
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
    let request = AdminRequest::new(client, kind, timeout);
    let list = PartitionList::new();
    let entry = list.add(topic, partition);
    // SAFETY: the list is living, with the entry in it; the request copies it.
    unsafe {
        use sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED as READ_COMMITTED;
        use sys::rd_kafka_OffsetSpec_t::{RD_KAFKA_OFFSET_SPEC_EARLIEST, RD_KAFKA_OFFSET_SPEC_LATEST};
        (*entry).offset = match which {
            OffsetOf::Start => RD_KAFKA_OFFSET_SPEC_EARLIEST,
            OffsetOf::End | OffsetOf::StableEnd => RD_KAFKA_OFFSET_SPEC_LATEST,
        } as i64;
        let options = request.options.0;
        if which == OffsetOf::StableEnd {
            taken_error(sys::rd_kafka_AdminOptions_set_isolation_level(options, READ_COMMITTED))?;
        }
        sys::rd_kafka_ListOffsets(client.native_ptr(), list.0, options, request.queue.0);
    }
    let event = request.wait(|| false)?;
    // SAFETY: pointers are checked before use, and live as long as the event.
    unsafe {
        let result = sys::rd_kafka_event_ListOffsets_result(event.0).as_ref().ok_or(Code::BadMessage)?;
        let mut count = 0;
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
        let Some(&[info]) = array(infos, count) else { return Err(Code::BadMessage) };
        let entry = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
        check((&raw const (*entry).err).cast::<c_int>().read())?;
        if (&raw const (*entry).partition).read() != partition {
            return Err(Code::BadMessage);
        }
        let epoch = sys::rd_kafka_topic_partition_get_leader_epoch(entry);
        let offset = (&raw const (*entry).offset).read();
        Ok(ListedOffset { offset, leader_epoch: Some(epoch).filter(|epoch| *epoch >= 0) })
    }
}

/// Passes the errors and log lines of a client that has no thread for that to its context.
pub(super) fn serve_events(client: &Client<Context>) {
    let context = client.context();
    // SAFETY: the client is living, and the queue is a reference of ours.
    let queue = Queue(unsafe { sys::rd_kafka_queue_get_main(client.native_ptr()) });
    while let Some(event) = queue.poll(Duration::ZERO) {
        // SAFETY: the event is living, and of the type that is asked for what it holds; texts are copied.
        unsafe {
            match sys::rd_kafka_event_type(event.0) {
                sys::RD_KAFKA_EVENT_ERROR => {
                    let error = ClientError::Global(code_of(rd_kafka_event_error(event.0)));
                    context.error(error, &text(sys::rd_kafka_event_error_string(event.0)));
                }
                sys::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut message, mut level) = (ptr::null(), ptr::null(), 0);
                    if sys::rd_kafka_event_log(event.0, &mut facility, &mut message, &mut level) == 0 {
                        let (facility, message) = (text(facility), text(message));
                        log(level, &facility, &message);
                        context.note_failure(level, &facility, &message);
                    }
                }
                _ => {}
            }
        }
    }
}

/// A request of an admin client, with the queue that its response comes on.
struct AdminRequest {
    queue: Queue,
    options: AdminOptions,
    timeout: Duration,
}

impl AdminRequest {
    fn new(client: &Client<Context>, kind: sys::rd_kafka_admin_op_t, timeout: Duration) -> Self {
        // SAFETY: the client is living, and takes null for no interest in the reason of a failure.
        unsafe {
            let queue = Queue(sys::rd_kafka_queue_new(client.native_ptr()));
            let options = AdminOptions(sys::rd_kafka_AdminOptions_new(client.native_ptr(), kind));
            let reason = ptr::null_mut();
            sys::rd_kafka_AdminOptions_set_request_timeout(options.0, timeout_ms(timeout), reason, 0);
            AdminRequest { queue, options, timeout }
        }
    }

    /// The response, unless it is an error.
    fn wait(&self, is_hopeless: impl Fn() -> bool) -> Result<Event, Code> {
        // The client itself ends the request at its timeout.
        let deadline = Instant::now() + self.timeout + Duration::from_secs(1);
        let mut event = None;
        while event.is_none() && Instant::now() < deadline && !is_hopeless() {
            event = self.queue.poll(self.timeout.min(Duration::from_millis(100)));
        }
        let event = event.ok_or(Code::OperationTimedOut)?;
        // SAFETY: the event is living.
        check(unsafe { rd_kafka_event_error(event.0) }).map(|()| event)
    }
}

impl Queue {
    fn poll(&self, timeout: Duration) -> Option<Event> {
        let timeout_ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the queue is living, and an event that is not null is ours.
        let event = unsafe { sys::rd_kafka_queue_poll(self.0, timeout_ms) };
        (!event.is_null()).then_some(Event(event))
    }
}

impl PartitionList {
    fn new() -> Self {
        // SAFETY: allocates; librdkafka aborts where it can't.
        PartitionList(unsafe { sys::rd_kafka_topic_partition_list_new(0) })
    }

    /// The entry is part of the list.
    fn add(&self, topic: &CStr, partition: i32) -> *mut sys::rd_kafka_topic_partition_t {
        // SAFETY: the list is living; it copies the name.
        unsafe { sys::rd_kafka_topic_partition_list_add(self.0, topic.as_ptr(), partition) }
    }
}

/// Runs inside a poll, on the polling thread; the answer is given later, by the owner of the consumer.
unsafe extern "C" fn on_rebalance(
    client: *mut RDKafka,
    error: RDKafkaRespErr,
    list: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka gives its own living objects, and the opaque pointer set in `new`.
    let (events, partitions, is_lost) = unsafe {
        let elements = list.as_ref().and_then(|list| array(list.elems, usize::try_from(list.cnt).ok()?));
        let partitions = elements.unwrap_or_default().iter().map(|element| element.partition).collect();
        (&*opaque.cast::<Events>(), partitions, sys::rd_kafka_assignment_lost(client) != 0)
    };
    let event = match Code::from(error) {
        Code::AssignPartitions => RebalanceEvent::Assigned(partitions),
        _ if is_lost => RebalanceEvent::Lost(partitions),
        _ => RebalanceEvent::Revoked(partitions),
    };
    events.add_rebalance(event);
}

unsafe extern "C" fn on_error(
    _client: *mut RDKafka,
    error: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: the opaque pointer set in `new`, and librdkafka's own text, copied at once.
    let (events, reason) = unsafe { (&*opaque.cast::<Events>(), text(reason)) };
    events.add_error(error, &reason);
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

/// At least 1: librdkafka takes 0 for no timeout at all in some places.
fn timeout_ms(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX).max(1)
}

fn check(error: c_int) -> Result<(), Code> {
    match code_of(error) {
        Code::NoError => Ok(()),
        code => Err(code),
    }
}

/// # Safety
/// `error` must be null or an error object that nobody else destroys.
unsafe fn taken_error(error: *mut sys::rd_kafka_error_t) -> Result<(), Code> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, and ours to destroy after its last use.
    unsafe {
        let result = check(rd_kafka_error_code(error));
        sys::rd_kafka_error_destroy(error);
        result
    }
}

/// # Safety
/// `first` must be null or point to `count` elements that live for `'a`.
unsafe fn array<'a, T>(first: *const T, count: usize) -> Option<&'a [T]> {
    // SAFETY: as the caller promises.
    (!first.is_null()).then(|| unsafe { slice::from_raw_parts(first, count) })
}

/// # Safety
/// `text` must be null or a C string.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
