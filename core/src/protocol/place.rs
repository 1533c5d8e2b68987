//! The offset of a record within its batch.

/// The offset of the next record of a batch.
///
/// Kafka does not check the deltas of an uncompressed batch, but it does check that the header's count and last delta
/// agree, and goes by these. So they decide. `delta` is the record's offset compared with the batch's first.
///
/// | batch                        | delta                              | offset                      |
/// |------------------------------|------------------------------------|-----------------------------|
/// | `count` = `last_delta` + 1   | any                                | by the record's place       |
/// | compacted: `count` is less   | above the one before, in the batch | by the delta                |
/// | compacted                    | any other                          | unknown: kept aside         |
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// In a batch without gaps: twice the delta of the next record, as the record has it. Its lowest bit is the sign.
    pub usual: u32,
    /// In a batch from which compaction removed records: the next one is here or above,
    from: u32,
    /// and here at most.
    last: u32,
}

impl Place {
    /// No record's delta that is not below zero.
    const SPARSE: u32 = u32::MAX;

    pub const fn dense(next: u32) -> Place {
        Place { usual: next.wrapping_mul(2), from: 0, last: 0 }
    }

    /// Of the first record of a batch with this header.
    pub fn of(count: u32, last_delta: u32) -> Place {
        match count.checked_sub(1) == Some(last_delta) {
            true => Place::dense(0),
            false => Place { usual: Place::SPARSE, from: 0, last: last_delta },
        }
    }

    pub fn is_dense(self) -> bool {
        self.usual != Place::SPARSE
    }

    /// The least delta that the next record can have.
    pub fn least(self) -> u32 {
        if self.is_dense() { self.usual / 2 } else { self.from.min(self.last) }
    }

    /// Passes so many records of a batch without gaps.
    pub fn skip(&mut self, count: u32) {
        self.usual = self.usual.wrapping_add(count.wrapping_mul(2));
    }

    /// The true delta of the next record, whose own is `delta`; an error holds where a record of unknown offset lies.
    pub fn next(&mut self, delta: i64) -> Result<u32, u32> {
        let least = self.least();
        if self.is_dense() {
            self.skip(1);
            return Ok(least);
        }
        match u32::try_from(delta).ok().filter(|delta| (self.from..=self.last).contains(delta)) {
            Some(at) => {
                self.from = at.saturating_add(1);
                Ok(at)
            }
            // It takes no other record's place.
            None => Err(self.from.saturating_sub(1).min(self.last)),
        }
    }
}
