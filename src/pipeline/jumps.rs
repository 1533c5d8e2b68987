//! Offsets that do not follow one another, where librdkafka reads.

use std::collections::BTreeSet;

use super::trust::Reconnect;

/// Places where offsets did not follow one another, for as long as the process runs.
///
/// No checksum covers a batch's first offset, or the number of its partition. If one is damaged on the way, records are left
/// out, or counted in another place. But a log may have jumps of its own, from transactions or compaction. So almanac
/// believes a jump if it reads it twice. A log with one jump has many, so after that it checks none. Logs that `almanac
/// producer` fills have none.
#[derive(Default)]
pub(super) struct Jumps {
    seen: BTreeSet<Jump>,
    is_sparse: bool,
}

/// Partition, expected offset and found offset.
type Jump = (i32, i64, i64);

impl Jumps {
    /// A reason to read the place again, if the offset `found` may not come where `expected` should.
    #[inline]
    pub(super) fn doubt(&mut self, partition: i32, expected: i64, found: i64) -> Option<Reconnect> {
        if found == expected || self.is_sparse { None } else { self.note(partition, expected, found) }
    }

    #[cold]
    fn note(&mut self, partition: i32, expected: i64, found: i64) -> Option<Reconnect> {
        if self.seen.insert((partition, expected, found)) {
            return Some(Reconnect::Jump { partition, expected, found });
        }
        self.is_sparse = true;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_believed_when_it_is_read_again_and_no_other_after_it_is_doubted() {
        let mut jumps = Jumps::default();
        assert!(jumps.doubt(0, 5, 5).is_none());
        assert!(jumps.doubt(0, 5, 7).is_some());
        assert!(jumps.doubt(0, 5, 9).is_some(), "another one");
        assert!(jumps.doubt(1, 5, 7).is_some(), "of another partition");
        assert!(jumps.doubt(0, 5, 7).is_none(), "read again");
        assert!(jumps.doubt(0, 20, 22).is_none());
    }
}
