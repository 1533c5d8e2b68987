//! The verbs of a place that keeps checkpoints: claim, load, replace, start over, release, status.
//!
//! A local directory is the first such place. In an object store, log, offset and statistics will change in one write, so
//! they are one [`Change`] here.

use almanac_core::log::{Gap, Log};
use almanac_core::owner::Owner;
use almanac_core::place::Place;
use almanac_core::rejected::Rejected;

use super::error::StoreError;
use super::files::Identity;
use super::reading::Loaded;
use crate::checkpoint::Checkpoint;
use crate::status::{Durable, Status};

/// A place that keeps the checkpoints of one topic.
pub trait Store {
    /// Takes the right to write a partition, and reads what is kept of it. With `take_over`, also from a living owner.
    fn claim(&self, partition: i32, take_over: bool) -> Result<(Box<dyn Claim>, Loaded), StoreError>;

    /// Whether a claim could read what is kept of a partition. Takes nothing, and changes nothing.
    fn check(&self, partition: i32) -> Result<(), StoreError>;

    /// Reads what is kept of a partition, without a claim.
    fn load(&self, partition: i32) -> Result<Loaded, StoreError>;

    /// The partitions that have a checkpoint, in order.
    fn partitions(&self) -> Result<Vec<i32>, StoreError>;

    /// The log of each partition, if it can be read; the others are refused when their partition is claimed.
    fn logs(&self) -> Vec<Log>;

    /// Whether no living owner has a partition.
    fn is_free(&self, partition: i32) -> bool;

    /// The place whose reports of this log are counted, if it is decided.
    fn place(&self, topic_id: &str) -> Result<Option<Place>, StoreError>;

    /// Decides the place for good and durably, unless it is decided. Gives the place that holds then: the first one wins.
    fn decide_place(&self, topic_id: &str, place: &Place) -> Result<Place, StoreError>;

    /// Takes over what is known of a place that is decided, for people. Its station stays as it is. This need not survive a
    /// power cut.
    fn complete_place(&self, topic_id: &str, place: &Place) -> Result<(), StoreError>;

    /// Differs after each change of a partition's checkpoint, log or rejected records, whoever makes it.
    fn version(&self, partition: i32) -> Version;
}

/// The right to change what is kept of a partition, until another process takes it.
pub trait Claim: Send {
    fn partition(&self) -> i32;

    fn owner(&self) -> &Owner;

    /// A summary of what is kept, of which this checkpoint was loaded.
    fn durable(&self, checkpoint: &Checkpoint) -> Durable;

    /// How many rejected records are kept.
    fn count_rejected(&self) -> Result<u64, StoreError>;

    /// Makes a change durable. A reader sees all of the old checkpoint or all of the new one.
    fn replace(&mut self, change: &Change) -> Result<Durable, StoreError>;

    /// Replaces the log only.
    fn set_log(&mut self, log: &Log) -> Result<(), StoreError>;

    /// Starts over, on another log or on the same: what was counted of `former` is archived, and a fresh checkpoint takes
    /// its place. A crash in between can be repeated.
    fn start_over(&mut self, former: Option<&Log>, log: &Log) -> Result<Checkpoint, StoreError>;

    /// Continues at `gap.to` of the same log, which `log` notes. If that is earlier, what is kept is archived, and rejected
    /// records from there on are removed, as there will be others at their offsets.
    fn jump(&mut self, log: &Log, checkpoint: &Checkpoint, gap: Gap) -> Result<(), StoreError>;

    /// Replaces the status, which need not survive a power cut.
    fn set_status(&mut self, status: &Status) -> Result<(), StoreError>;

    /// Lets the next owner claim the partition at once.
    fn release(self: Box<Self>);
}

/// A checkpoint that replaces the former one, with what must be durable before it.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub checkpoint: &'a Checkpoint,
    /// Records that the checkpoint passes and the former one did not.
    pub rejected: &'a [Rejected],
    /// If it has leader epochs or gaps that are new.
    pub log: Option<&'a Log>,
}

/// See [`Store::version`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Version(pub(super) [Option<Identity>; 3]);
