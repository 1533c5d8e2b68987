//! Committed and aborted transactions: a reader of committed records skips some batches.

use super::batches::Batch;
use super::reader::Reader;

/// A transaction that was aborted: its producer, and its first offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Aborted {
    pub producer_id: i64,
    pub first_offset: i64,
}

/// Tells committed batches from others, as each response to a fetch lists what was aborted in it.
#[derive(Debug)]
pub struct Transactions {
    /// Those that begin at batches still to come, the last one first.
    to_come: Vec<Aborted>,
    /// Producers whose transaction here is an aborted one.
    aborting: Vec<i64>,
}

impl Transactions {
    pub fn new(mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_unstable_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        Transactions { to_come: aborted, aborting: Vec::new() }
    }

    /// How a reader of committed records treats the records of the next batch.
    ///
    /// | batch                                                      | kind      |
    /// |------------------------------------------------------------|-----------|
    /// | a marker of Kafka's own                                    | `Control` |
    /// | of a producer whose transaction was aborted, up to its marker | `Aborted` |
    /// | any other                                                  | `Data`    |
    pub fn kind(&mut self, batch: &Batch) -> BatchKind {
        while let Some(next) = self.to_come.pop_if(|next| next.first_offset < batch.next_offset()) {
            self.aborting.push(next.producer_id);
        }
        if batch.is_control {
            if is_abort_marker(batch) {
                self.aborting.retain(|producer| *producer != batch.producer_id);
            }
            BatchKind::Control
        } else if batch.is_transactional && self.aborting.contains(&batch.producer_id) {
            BatchKind::Aborted
        } else {
            BatchKind::Data
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BatchKind {
    Data,
    Control,
    Aborted,
}

/// Whether a batch is a transaction's marker that says "aborted".
fn is_abort_marker(batch: &Batch) -> bool {
    const ABORT: i16 = 0;
    let marker = || {
        let mut run = batch.run();
        let mut key = Reader::new(run.next_record(0)?.ok()?.key?);
        let _version = key.int16().ok()?;
        key.int16().ok()
    };
    batch.is_control && marker() == Some(ABORT)
}

#[cfg(test)]
mod tests {
    use super::super::batches::Batches;
    use super::super::batches::tests::{Sent, batch};
    use super::*;

    #[test]
    fn aborted_and_control_batches_are_not_data() {
        let (transactional, control) = (0x10, 0x30);
        let marker = |kind: u8| [(Some(vec![0, 0, 0, kind]), Some(vec![0; 6]))];
        let data = [(None, Some(b"x".to_vec()))];
        // Attributes, producer, records.
        let batches: [(i16, i64, &[Sent]); 6] = [
            (0, -1, &data),
            (transactional, 7, &data),
            (transactional, 8, &data),
            (control, 7, &marker(0)),
            (control, 8, &marker(1)),
            (transactional, 7, &data),
        ];
        let mut transactions = Transactions::new(vec![Aborted { producer_id: 7, first_offset: 1 }]);
        let kinds = (0..).zip(batches).map(|(offset, (attributes, producer, sent))| {
            let mut bytes = batch(offset, 0, attributes, sent);
            bytes[43..51].copy_from_slice(&producer.to_be_bytes());
            let checksum = crc32c::crc32c(&bytes[21..]).to_be_bytes();
            bytes[17..21].copy_from_slice(&checksum);
            transactions.kind(&Batches::new(&bytes).next().unwrap().unwrap())
        });
        use BatchKind::{Control, Data};
        let expected = [Data, BatchKind::Aborted, Data, Control, Control, Data];
        assert_eq!(kinds.collect::<Vec<_>>(), expected);
    }
}
