//! Reads objects, without a claim.

use std::io::{BufReader, Cursor};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use almanac_core::head::{Head, Meta, Segment, generation_of};
use almanac_core::log::Log;
use almanac_core::place::Place;
use almanac_core::rejected::{Entries, LineError, Rejected};
use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::client::{Client, Object};
use crate::checkpoint::Checkpoint;
use crate::parallel::each_of;
use crate::report::RejectReason;
use crate::status::Status;
use crate::store::error::StoreError;
use crate::store::keep::{Loaded, Mark, Reader, RejectedRecords, Version};
use crate::store::paths::checkpoint_name;
use crate::store::reading::{
    CHECKPOINT_BYTES_MAX, PLACE_BYTES_MAX, STATUS_BYTES_MAX, partition_of, place_from,
};

/// The largest head: a checkpoint, and its log and segments.
pub(super) const HEAD_BYTES_MAX: u64 = CHECKPOINT_BYTES_MAX + (16 << 20);

/// The largest segment. One holds what was rejected between two checkpoints, or several merged ones.
pub(super) const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// How often the dashboard looks. Two requests for each partition, that are answered "not modified" most of the time.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a segment that no head lists is kept: a reader may have an older head.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Tells the store's clock.
const CLOCK: &str = "clock";

/// How long the difference to the store's clock holds.
const CLOCK_MAX: Duration = Duration::from_secs(60);

pub(super) fn head_name(partition: i32) -> String {
    checkpoint_name(partition)
}

pub(super) fn segment_name(partition: i32, segment: &str) -> String {
    format!("{}/{segment}", folder_name(partition))
}

pub(super) fn folder_name(partition: i32) -> String {
    format!("partition-{partition}.rejected")
}

pub(super) fn status_name(partition: i32) -> String {
    format!("status/{}", checkpoint_name(partition))
}

pub(super) fn archive_name(topic_id: &str, partition: i32, number: u32) -> String {
    match number {
        1 => format!("archive/{topic_id}/partition-{partition}.json"),
        number => format!("archive/{topic_id}/partition-{partition}.{number}.json"),
    }
}

pub(super) fn place_name(topic_id: &str) -> String {
    format!("places/{topic_id}.json")
}

/// The head that an object holds.
pub(super) fn head_of(client: &Client, partition: i32, object: &Object) -> Result<Head, StoreError> {
    let name = head_name(partition);
    let unreadable = |reason: String| StoreError::unreadable(&client.path(&name), reason);
    let head = Head::from_json(&object.bytes).map_err(|error| unreadable(error.to_string()))?;
    if head.checkpoint.partition != partition {
        return Err(unreadable(format!("it is the checkpoint of partition {}", head.checkpoint.partition)));
    }
    Ok(head)
}

/// A head as the two files that a directory has of it.
pub(super) fn loaded_of(head: &Head) -> Loaded {
    let Head { checkpoint, meta } = head;
    Loaded {
        log: meta.as_ref().and_then(|meta| meta.log.clone()),
        checkpoint: (!meta.as_ref().is_some_and(|meta| meta.is_fresh)).then(|| checkpoint.clone()),
    }
}

/// The records of segments, one after the other.
pub(super) fn records_in(
    client: Arc<Client>,
    partition: i32,
    segments: Vec<Segment>,
) -> impl Iterator<Item = Result<Rejected, StoreError>> + Send {
    segments.into_iter().flat_map(move |segment| {
        let name = segment_name(partition, &segment.name);
        let path = client.path(&name);
        let bytes = match client.get(&name, SEGMENT_BYTES_MAX) {
            Ok(Some(object)) => Ok(object.bytes),
            Ok(None) => Err(StoreError::unreadable(&path, "there is no such object, and the head lists it")),
            Err(error) => Err(error),
        };
        let (failed, bytes) = match bytes {
            Ok(bytes) => (None, bytes),
            Err(error) => (Some(Err(error)), Bytes::new()),
        };
        let entries = Entries::new(BufReader::new(Cursor::new(bytes)));
        let entries = entries.map(move |entry| {
            entry.map_err(|error| match error {
                LineError::Io(source) => StoreError::io("read", &path)(source),
                LineError::Bad(reason) => StoreError::unreadable(&path, reason),
            })
        });
        failed.into_iter().chain(entries)
    })
}

/// Deletes segments that no head lists any more: of former owners, and older than a day. That it can't stops nothing.
pub(super) fn clean_up(client: &Arc<Client>, partition: i32, meta: &Meta) {
    let delete = || -> Result<(), StoreError> {
        let folder = folder_name(partition);
        let is_listed = |name: &str, meta: &Meta| meta.rejected.iter().any(|segment| segment.name == name);
        let mut unlisted: Vec<(String, Timestamp)> = client.list(&folder)?;
        unlisted.retain(|(name, _)| {
            generation_of(name).is_some_and(|generation| generation < meta.generation)
                && !is_listed(name, meta)
        });
        if unlisted.is_empty() {
            return Ok(());
        }
        let now = Objects::with(Arc::clone(client)).now()?;
        unlisted.retain(|(_, written)| now.duration_since(*written) > KEPT);
        for (name, _) in client.list("archive")? {
            if unlisted.is_empty() {
                return Ok(());
            }
            // Any archived head: those of other partitions name other objects, so a name too many is kept.
            let Some(object) = client.get(&format!("archive/{name}"), HEAD_BYTES_MAX)? else { continue };
            if let Some(archived) = Head::from_json(&object.bytes).ok().and_then(|head| head.meta) {
                unlisted.retain(|(name, _)| !is_listed(name, &archived));
            }
        }
        unlisted.iter().try_for_each(|(name, _)| client.delete(&segment_name(partition, name)))
    };
    if let Err(error) = delete() {
        tracing::debug!(%error, "old segments are kept");
    }
}

/// The prefix, to read.
#[derive(Debug)]
pub(super) struct Objects {
    pub client: Arc<Client>,
    /// The store's clock, and when it was read.
    clock: Mutex<Option<(Instant, Timestamp)>>,
}

impl Objects {
    pub(super) fn open(url: &Path) -> Result<Objects, StoreError> {
        Client::open(url).map(|client| Objects::with(Arc::new(client)))
    }

    fn with(client: Arc<Client>) -> Objects {
        Objects { client, clock: Mutex::new(None) }
    }

    pub(super) fn head(&self, partition: i32) -> Result<Option<(Head, Object)>, StoreError> {
        let Some(object) = self.client.get(&head_name(partition), HEAD_BYTES_MAX)? else { return Ok(None) };
        Ok(Some((head_of(&self.client, partition, &object)?, object)))
    }

    pub(super) fn status_written(&self, partition: i32) -> Result<Option<Timestamp>, StoreError> {
        let object = self.client.get(&status_name(partition), STATUS_BYTES_MAX)?;
        Ok(object.map(|object| object.modified))
    }

    /// The time, by the store's clock.
    pub(super) fn now(&self) -> Result<Timestamp, StoreError> {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, time) = match *clock {
            Some((at, time)) if at.elapsed() < CLOCK_MAX => (at, time),
            _ => {
                let at = Instant::now();
                self.client.overwrite(CLOCK, &Bytes::new())?;
                let time = self.client.modified(CLOCK)?.unwrap_or_else(Timestamp::now);
                *clock = Some((at, time));
                (at, time)
            }
        };
        let passed = SignedDuration::try_from(at.elapsed()).unwrap_or(SignedDuration::MAX);
        Ok(time.checked_add(passed).unwrap_or(time))
    }

    fn tag(&self, name: &str, bytes_max: u64) -> Option<Mark> {
        self.client.get(name, bytes_max).ok().flatten().map(|object| Mark::Tag(object.tag()))
    }
}

impl Reader for Objects {
    fn partitions(&self) -> Result<Vec<i32>, StoreError> {
        let mut found: Vec<i32> = self.client.names()?.iter().filter_map(|name| partition_of(name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    fn load(&self, partition: i32) -> Result<Loaded, StoreError> {
        let head = self.head(partition)?;
        Ok(head.map_or(Loaded { log: None, checkpoint: None }, |(head, _)| loaded_of(&head)))
    }

    fn log(&self, partition: i32) -> Result<Option<Log>, StoreError> {
        Ok(self.load(partition)?.log)
    }

    fn checkpoint(&self, partition: i32) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.load(partition)?.checkpoint)
    }

    fn load_as_is(&self, partition: i32) -> Result<Option<(Vec<u8>, Checkpoint)>, StoreError> {
        let Some((head, object)) = self.head(partition)? else { return Ok(None) };
        Ok(loaded_of(&head).checkpoint.map(|checkpoint| (object.bytes.into(), checkpoint)))
    }

    /// Of the object that was read last.
    fn size_and_time(&self, partition: i32, _: bool) -> (Option<u64>, Option<Timestamp>) {
        let object = self.client.known(&head_name(partition));
        let size = object.as_ref().map(|object| object.bytes.len() as u64);
        (size, object.map(|object| object.modified))
    }

    fn rejected(&self, partition: i32) -> Result<RejectedRecords, StoreError> {
        let meta = self.head(partition)?.and_then(|(head, _)| head.meta);
        let segments = meta.map(|meta| meta.rejected).unwrap_or_default();
        Ok(Box::new(records_in(Arc::clone(&self.client), partition, segments)))
    }

    fn first_reason(&self, partition: i32) -> Option<RejectReason> {
        self.rejected(partition).ok()?.next()?.ok().map(|rejected| rejected.reason)
    }

    fn status(&self, partition: i32) -> Result<Option<Status>, StoreError> {
        let object = self.client.get(&status_name(partition), STATUS_BYTES_MAX)?;
        Ok(object.and_then(|object| serde_json::from_slice(&object.bytes).ok()))
    }

    fn logs(&self) -> Result<Vec<Log>, StoreError> {
        let mut logs = Vec::new();
        for log in each_of(self.partitions()?, |partition| self.log(partition)) {
            match log {
                Ok(log) => logs.extend(log),
                Err(error) if error.is_away() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(logs)
    }

    fn place(&self, topic_id: &str) -> Result<Option<Place>, StoreError> {
        let name = place_name(topic_id);
        let Some(object) = self.client.get(&name, PLACE_BYTES_MAX)? else { return Ok(None) };
        place_from(&self.client.path(&name), &object.bytes).map(Some)
    }

    fn version(&self, partition: i32) -> Version {
        Version(vec![self.tag(&head_name(partition), HEAD_BYTES_MAX)])
    }

    fn version_shown(&self, partition: i32) -> Version {
        let status = self.tag(&status_name(partition), STATUS_BYTES_MAX);
        Version(vec![self.tag(&head_name(partition), HEAD_BYTES_MAX), status])
    }

    fn changed(&self) -> Option<SystemTime> {
        None
    }

    fn look_every(&self) -> Duration {
        LOOK_EVERY
    }

    fn is_readable(&self) -> bool {
        self.client.is_answering()
    }
}
