//! The partitions to read, and the positions to read them from.

pub use almanac_core::protocol::lookups::OffsetOf;

/// A place to start reading a partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    pub partition: i32,
    pub start: StartAt,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartAt {
    /// `leader_epoch`: that of the last record read, so that the broker can say whether the log is still the
    /// one that was read.
    Offset { next_offset: i64, leader_epoch: Option<i32> },
    /// Wherever the log starts or ends then.
    Edge(OffsetOf),
}

/// A rebalance of the group. It waits until [`Consumer::add`](super::Consumer::add) or
/// [`Consumer::remove`](super::Consumer::remove) answers it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RebalanceEvent {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    /// The group gave the partitions away already: another member may have them by now.
    Lost(Vec<i32>),
}
