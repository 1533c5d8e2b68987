//! The bytes of a response to a fetch, and what is in them.

use std::ops::Range;

use almanac_core::protocol::batches::Batch;

use super::error::KafkaError;
use super::link::Link;

/// Its parts name places in its bytes, so that both can be moved together.
#[derive(Default)]
pub(super) struct Response {
    /// The size of the response, then the response; the buffer may be longer.
    bytes: Vec<u8>,
    end: usize,
    parts: Vec<Part>,
}

/// A part of a response, in the order of the parts.
pub(super) enum Part {
    /// Records from the offset `from`.
    Batch { partition: i32, from: i64, header: Batch<'static>, records: Range<usize> },
    /// All below `next_offset` has been read, and there is no more for now.
    End { partition: i32, next_offset: i64 },
    /// Of all partitions if there is no partition number; without the error once that is taken.
    Failed(Option<i32>, Option<KafkaError>),
}

impl Response {
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.end = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Takes the response that a connection has complete.
    pub(super) fn receive_from(&mut self, link: &mut Link) {
        self.end = link.swap_response(&mut self.bytes);
    }

    pub(super) fn push_failure(&mut self, partition: Option<i32>, error: KafkaError) {
        self.parts.push(Part::Failed(partition, Some(error)));
    }

    /// The response after its size, and where its parts go.
    pub(super) fn split(&mut self) -> (&[u8], &mut Vec<Part>) {
        (after_size(&self.bytes, self.end), &mut self.parts)
    }

    pub(super) fn part(&self, index: usize) -> Option<&Part> {
        self.parts.get(index)
    }

    pub(super) fn part_mut(&mut self, index: usize) -> Option<&mut Part> {
        self.parts.get_mut(index)
    }

    /// The batch with its records.
    pub(super) fn batch(&self, header: Batch<'static>, records: &Range<usize>) -> Batch<'_> {
        let records = after_size(&self.bytes, self.end).get(records.clone());
        Batch { records: records.expect("a part lies within its response"), ..header }
    }
}

/// Nothing before a response has been received.
fn after_size(bytes: &[u8], end: usize) -> &[u8] {
    bytes.get(4..end).unwrap_or_default()
}
