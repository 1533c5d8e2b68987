//! The verbs of a place that keeps checkpoints: claim, load, replace, start over, release, status.
//!
//! A local directory is one such place, a prefix of an object store another. There log, offset and statistics change in
//! one write, so they are one [`Change`] here.

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use almanac_core::log::{Gap, Log};
use almanac_core::owner::Owner;
use almanac_core::place::Place;
use almanac_core::rejected::Rejected;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::files::Identity;
use crate::checkpoint::Checkpoint;
use crate::report::RejectReason;
use crate::status::{Durable, Status};

/// The files of a partition.
#[derive(Debug)]
pub struct Loaded {
    pub log: Option<Log>,
    pub checkpoint: Option<Checkpoint>,
}

/// A topic of a cluster.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Named {
    pub cluster_id: String,
    pub topic: String,
}

impl Named {
    /// As in error messages.
    pub fn full_name(&self) -> String {
        format!("{} of cluster {}", self.topic, self.cluster_id)
    }
}

/// The part of a store that anyone may read, without a claim.
pub trait Reader: Debug + Send + Sync {
    /// The partitions that have a checkpoint, in order.
    fn partitions(&self) -> Result<Vec<i32>, StoreError>;

    /// The log and the checkpoint of a partition.
    fn load(&self, partition: i32) -> Result<Loaded, StoreError>;

    /// The log only.
    fn log(&self, partition: i32) -> Result<Option<Log>, StoreError>;

    /// The checkpoint only.
    fn checkpoint(&self, partition: i32) -> Result<Option<Checkpoint>, StoreError>;

    /// The checkpoint with its bytes, for a caller that passes them on.
    fn load_as_is(&self, partition: i32) -> Result<Option<(Vec<u8>, Checkpoint)>, StoreError>;

    /// The size of a partition's checkpoint in bytes, and when it was replaced last. `follows` a symbolic link, or looks
    /// at the link itself.
    fn size_and_time(&self, partition: i32, follows: bool) -> (Option<u64>, Option<Timestamp>);

    /// The rejected records of a partition, one after the other. An error is the last item.
    fn rejected(&self, partition: i32) -> Result<RejectedRecords, StoreError>;

    /// Why the first record was rejected; nothing where there is none, or none that can be read.
    fn first_reason(&self, partition: i32) -> Option<RejectReason>;

    /// The last status that a consumer wrote for a partition, if there is one that can be read.
    fn status(&self, partition: i32) -> Result<Option<Status>, StoreError>;

    /// The log of each partition, if it can be read; the others are refused when their partition is claimed.
    fn logs(&self) -> Result<Vec<Log>, StoreError>;

    /// The place whose reports of this log are counted, if it is decided.
    fn place(&self, topic_id: &str) -> Result<Option<Place>, StoreError>;

    /// Differs after each change of a partition's checkpoint, log or rejected records, whoever makes it.
    fn version(&self, partition: i32) -> Version;

    /// The same of its checkpoint and its status.
    fn version_shown(&self, partition: i32) -> Version;

    /// When anything was replaced last, where that is known without a look at each partition.
    fn changed(&self) -> Option<SystemTime>;

    /// How often it may be looked at.
    fn look_every(&self) -> Duration;

    /// Whether it can be read at all.
    fn is_readable(&self) -> bool;
}

/// See [`Reader::rejected`].
pub type RejectedRecords = Box<dyn Iterator<Item = Result<Rejected, StoreError>> + Send>;

/// A place that keeps the checkpoints of one topic.
pub trait Store: Sync {
    fn reader(&self) -> &dyn Reader;

    /// Takes the right to write a partition, and reads what is kept of it. With `take_over`, also from a living owner.
    fn claim(&self, partition: i32, take_over: bool) -> Result<(Box<dyn Claim>, Loaded), StoreError>;

    /// Whether a claim could read what is kept of a partition. Takes nothing, and changes nothing.
    fn check(&self, partition: i32) -> Result<(), StoreError>;

    /// Names the topic that this process is about to count, as long as it lives. Gives another one that living processes
    /// count here. Where no log is kept yet, nothing else tells them apart.
    fn join(&self, topic: &Named) -> Result<Option<Named>, StoreError>;

    /// The living owner of a partition, if there is one.
    fn living_owner(&self, partition: i32) -> Option<Owner>;

    /// The place whose reports of this log are counted, if it is decided, and durably.
    fn place(&self, topic_id: &str) -> Result<Option<Place>, StoreError>;

    /// Decides the place for good and durably, unless it is decided. Gives the place that holds then: the first one wins.
    fn decide_place(&self, topic_id: &str, place: &Place) -> Result<Place, StoreError>;

    /// Takes over what is known of a place that is decided, for people. Its station stays as it is. This need not survive a
    /// power cut.
    fn complete_place(&self, topic_id: &str, place: &Place) -> Result<(), StoreError>;

    /// The location of a partition's rejected records, for warnings.
    fn rejected_path(&self, partition: i32) -> PathBuf;

    /// Whether a write waits for a network, and the store may be away.
    fn is_remote(&self) -> bool;
}

/// The right to change what is kept of a partition, until another process takes it.
pub trait Claim: Send {
    fn partition(&self) -> i32;

    fn owner(&self) -> &Owner;

    /// A summary of what is kept, of which this checkpoint was loaded.
    fn durable(&self, checkpoint: &Checkpoint) -> Durable;

    /// How many rejected records are kept.
    fn count_rejected(&self) -> Result<u64, StoreError>;

    /// Makes a change durable. A reader sees all of the old checkpoint or all of the new one. If the store is away
    /// meanwhile, the claim keeps the change, and [`Claim::retry`] comes before the next one.
    fn replace(&mut self, change: &Change) -> Result<Durable, StoreError>;

    /// Sends again a change that a store may not have got, as it was away.
    fn retry(&mut self) -> Result<Durable, StoreError>;

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

/// See [`Reader::version`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Version(pub(super) Vec<Option<Mark>>);

/// Differs when a file or an object is replaced.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Mark {
    File(Identity),
    #[cfg(feature = "object-store")]
    Tag(String),
}
