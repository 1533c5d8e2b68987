//! The result of a poll: records, ends of partitions, errors.

use std::collections::VecDeque;

use almanac_core::place::Place;
use almanac_core::protocol::batches::{Record, Records};
use almanac_core::protocol::decompression::Decompression;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::decompression::decompression;
use super::error::KafkaError;
use super::native::Message;
use super::permission::{Operation, Permission};
use super::response::{Part, Response};

/// How many messages to take from librdkafka at a time.
const MESSAGES_MAX: usize = 4096;

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

/// The result of a poll, until the next one: a response, and messages from librdkafka.
pub struct Received {
    messages: Vec<Message>,
    /// Errors of the client, apart from those of partitions.
    failures: VecDeque<KafkaError>,
    response: Response,
    decompression: Decompression,
    /// The partition of the batch that is being decompressed, and from which offset its records are wanted.
    decompressing: (i32, i64),
    next_part: usize,
    next_message: usize,
}

impl Default for Received {
    fn default() -> Self {
        Received {
            messages: Vec::new(),
            failures: VecDeque::new(),
            response: Response::default(),
            decompression: decompression(),
            decompressing: (0, 0),
            next_part: 0,
            next_message: 0,
        }
    }
}

impl Received {
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.failures.is_empty() && self.response.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.response.clear();
        self.decompression.clear();
        self.messages.clear();
        self.failures.clear();
        (self.next_part, self.next_message) = (0, 0);
    }

    pub(super) fn has_room(&self) -> bool {
        self.messages.len() < MESSAGES_MAX
    }

    pub(super) fn has_messages(&self) -> bool {
        !self.messages.is_empty() || !self.failures.is_empty()
    }

    pub(super) fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    pub(super) fn push_failure(&mut self, error: KafkaError) {
        self.failures.push_back(error);
    }

    pub(super) fn response(&mut self) -> &mut Response {
        &mut self.response
    }

    /// The next thing to take, in order. Compressed records come in pieces.
    #[allow(clippy::should_implement_trait, reason = "an item borrows from what it comes from")]
    pub fn next(&mut self) -> Option<Item<'_>> {
        if let Some(error) = self.failures.pop_front() {
            return Some(Item::Failed { partition: None, error });
        }
        if !self.advance() {
            let message = self.messages.get(self.next_message)?;
            self.next_message += 1;
            return Some(item(message));
        }
        let (partition, from) = self.decompressing;
        if let Some(records) = self.decompression.records(partition, from) {
            return Some(Item::Records(records));
        }
        let index = self.next_part - 1;
        if let Some(Part::Failed(partition, error)) = self.response.part_mut(index) {
            return Some(Item::Failed { partition: *partition, error: error.take()? });
        }
        match self.response.part(index)? {
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
            let Some(part) = self.response.part(self.next_part) else { return false };
            self.next_part += 1;
            let Part::Batch { partition, from, header, records } = part else { return true };
            let Some(codec) = header.codec else { return true };
            self.decompressing = (*partition, *from);
            let batch = self.response.batch(*header, records);
            self.decompression.begin(&batch, codec);
        }
    }
}

fn item(message: &Message) -> Item<'_> {
    let (partition, offset) = (message.fields().partition, message.fields().offset);
    match Code::from(message.fields().err) {
        Code::NoError => {
            let record = Record { partition, offset, key: message.key(), value: message.value() };
            let records = Records::of_one(record, message.leader_epoch());
            Item::Records(records.with_time(message.time()).with_place(message.header(Place::HEADER)))
        }
        Code::PartitionEOF => Item::EndOfPartition { partition, next_offset: offset },
        code => failure(message, code),
    }
}

/// Why Kafka denies access, if the message says that. The permission is one of these two, or the group's.
pub(super) fn denial(message: &Message, topic: &str, group: &str) -> Option<KafkaError> {
    let text = message.value().map(String::from_utf8_lossy).unwrap_or_default();
    match Code::from(message.fields().err) {
        code @ Code::GroupAuthorizationFailed => {
            let error = KafkaError::code(format!("can't join group {group}"), code);
            Some(error.needing(|| Permission::of_member(group)))
        }
        code @ Code::TopicAuthorizationFailed => {
            // librdkafka's words for the metadata of a topic.
            let is_metadata = text.starts_with("Subscribed topic not available");
            let operation = if is_metadata { Operation::Describe } else { Operation::Read };
            Some(KafkaError::code(format!("can't read topic {topic}"), code).needing_on(operation, topic))
        }
        _ => None,
    }
}

fn failure(message: &Message, code: Code) -> Item<'_> {
    let fields = message.fields();
    let partition = (!fields.rkt.is_null() && fields.partition >= 0).then_some(fields.partition);
    // An error's value is its text.
    let text = message.value().map(String::from_utf8_lossy);
    let code = match &text {
        // With a reset to an error, which is ours, the cause is in the text only.
        Some(text) if code == Code::AutoOffsetReset && text.contains(&truncation_text()) => {
            Code::LogTruncation
        }
        _ => code,
    };
    let reason = text.map_or_else(|| code.to_string(), |text| format!("{text} ({code})"));
    let action = match partition {
        Some(partition) if fields.offset >= 0 => {
            format!("can't read partition {partition} at offset {}", fields.offset)
        }
        Some(partition) => format!("can't read partition {partition}"),
        None => "can't read".to_owned(),
    };
    Item::Failed { partition, error: KafkaError::Client { action, code, reason } }
}

/// librdkafka's own words for a log that was truncated.
fn truncation_text() -> String {
    // As the bindings have it: `LogTruncation (WORDS)`.
    let text = Code::LogTruncation.to_string();
    let words = text.split_once('(').and_then(|(_, words)| words.strip_suffix(')'));
    words.unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_log_has_the_words_of_the_library() {
        assert_eq!(truncation_text(), "Local: Partition log truncation detected");
    }
}
