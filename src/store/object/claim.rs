//! The right to replace the head of a partition: the version of it that this claim wrote last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac_core::head::{Head, Meta, Segment};
use almanac_core::log::{Gap, Log};
use almanac_core::owner::Owner;
use almanac_core::rejected::Rejected;
use almanac_core::text::json_line;
use axum::body::Bytes;
use jiff::Timestamp;
use object_store::UpdateVersion;

use super::client::{Begun, Client, Object, PATIENCE, Put};
use super::reading::{
    HEAD_BYTES_MAX, SEGMENT_BYTES_MAX, archive_name, head_name, head_of, records_in, segment_name,
    status_name,
};
use crate::checkpoint::Checkpoint;
use crate::status::{Durable, State, Status};
use crate::store::error::StoreError;
use crate::store::keep::{Change, Claim};

/// How often the status of a partition is written while that changes, and while it does not.
const STATUS_EVERY: Duration = Duration::from_secs(5);
const STATUS_EVERY_IDLE: Duration = Duration::from_secs(10);

/// Segments are merged up to this size. So there are few, and each record is written again a few times only.
const MERGED_BYTES_MAX: u64 = 4 << 20;

/// How long the last write of a claim is tried, and the last status waited for.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// A head that may not have landed yet, and what must be there before it.
#[derive(Debug)]
struct Pending {
    segment: Option<(String, Bytes)>,
    body: Bytes,
    head: Head,
}

#[derive(Debug)]
pub(super) struct ObjectClaim {
    client: Arc<Client>,
    partition: i32,
    owner: Owner,
    /// The head that landed last, and the store's version of it.
    checkpoint: Checkpoint,
    meta: Meta,
    version: UpdateVersion,
    durable: Durable,
    pending: Option<Pending>,
    /// Another owner's head is there: nothing is written any more.
    is_lost: bool,
    status: Option<Written>,
}

/// The status that was written last.
#[derive(Debug)]
struct Written {
    status: Status,
    at: Instant,
    /// The head's version at that time.
    version: UpdateVersion,
    begun: Arc<Begun>,
}

impl ObjectClaim {
    pub(super) fn new(
        client: Arc<Client>,
        owner: Owner,
        checkpoint: Checkpoint,
        meta: Meta,
        version: UpdateVersion,
        bytes: u64,
    ) -> ObjectClaim {
        let partition = checkpoint.partition;
        let durable = Durable::of(&checkpoint, bytes, Some(Timestamp::now()));
        ObjectClaim {
            client,
            partition,
            owner,
            checkpoint,
            meta,
            version,
            durable,
            pending: None,
            is_lost: false,
            status: None,
        }
    }

    /// The head's next form, with this log and these segments.
    fn next(&self, log: Option<Log>, rejected: Vec<Segment>, checkpoint: Checkpoint) -> Head {
        let sequence = self.meta.sequence + 1;
        let meta = Meta { sequence, log, rejected, is_fresh: false, ..self.meta.clone() };
        Head { checkpoint, meta: Some(meta) }
    }

    /// Replaces the head, after its new segment is there.
    fn put(&mut self, head: Head, segment: Option<(String, Bytes)>) -> Result<Durable, StoreError> {
        // A write that may not have landed comes first: the next head is made of it.
        debug_assert!(self.pending.is_none());
        let body = Bytes::from(head.to_json());
        self.pending = Some(Pending { segment, body, head });
        self.flush(PATIENCE)
    }

    fn flush(&mut self, patience: Duration) -> Result<Durable, StoreError> {
        let Some(pending) = &mut self.pending else { return Ok(self.durable) };
        if self.is_lost {
            return Err(StoreError::TakenOver { partition: self.partition, owner: Owner::default() });
        }
        if let Some((name, bytes)) = &pending.segment {
            let name = segment_name(self.partition, name);
            if let Put::Lost(_) = self.client.create(&name, bytes, patience)? {
                return Err(StoreError::unreadable(&self.client.path(&name), "another writer has made it"));
            }
            pending.segment = None;
        }
        let name = head_name(self.partition);
        match self.client.replace(&name, &pending.body, &self.version, patience)? {
            Put::Landed(version) => self.version = version,
            Put::Lost(found) => return Err(self.lost_to(found.as_ref())),
        }
        if let Some(Pending { head, body, .. }) = self.pending.take() {
            self.durable = Durable::of(&head.checkpoint, body.len() as u64, Some(Timestamp::now()));
            self.checkpoint = head.checkpoint;
            self.meta = head.meta.unwrap_or_else(|| self.meta.clone());
        }
        Ok(self.durable)
    }

    /// Another writer's head is there, or none.
    fn lost_to(&mut self, found: Option<&Object>) -> StoreError {
        self.is_lost = true;
        let partition = self.partition;
        let Some(found) = found else {
            return StoreError::Evicted { partition, path: self.client.path(&head_name(partition)) };
        };
        let meta = head_of(&self.client, partition, found).ok().and_then(|head| head.meta);
        StoreError::TakenOver { partition, owner: meta.map(|meta| meta.owner.owner).unwrap_or_default() }
    }

    /// An owner that has nothing to write learns here that it has lost the partition.
    fn check_owned(&mut self) -> Result<(), StoreError> {
        let is_same = |written: &Written| written.version.e_tag == self.version.e_tag;
        let is_seen = |written: &Written| is_same(written) && written.begun.has_seen_change();
        if self.pending.is_some() || !self.status.as_ref().is_some_and(is_seen) {
            return Ok(());
        }
        // Only a look at the whole head decides. A store that is away is found by the next write.
        match self.client.get(&head_name(self.partition), HEAD_BYTES_MAX) {
            Ok(Some(found)) if found.version.e_tag == self.version.e_tag => Ok(()),
            Ok(found) => Err(self.lost_to(found.as_ref())),
            Err(_) => Ok(()),
        }
    }

    /// The segments with these records added, and the one that has to be written. As long as the last one is no larger than
    /// the new one, they become one.
    fn add(&self, rejected: &[Rejected]) -> (Vec<Segment>, Option<(String, Bytes)>) {
        let mut segments = self.meta.rejected.clone();
        if rejected.is_empty() {
            return (segments, None);
        }
        let mut lines: Vec<u8> = rejected.iter().flat_map(json_line).collect();
        let mut records = rejected.len() as u64;
        while let Some(last) = segments.last()
            && last.bytes <= lines.len() as u64
            && last.bytes + lines.len() as u64 <= MERGED_BYTES_MAX
        {
            let name = segment_name(self.partition, &last.name);
            // If it can't be read now, it stays.
            let Ok(Some(before)) = self.client.get(&name, SEGMENT_BYTES_MAX) else { break };
            lines.splice(0..0, before.bytes);
            records += last.records;
            segments.pop();
        }
        let segment = self.segment(&lines, records);
        segments.push(segment.clone());
        (segments, Some((segment.name, lines.into())))
    }

    /// A segment of the next head.
    fn segment(&self, lines: &[u8], records: u64) -> Segment {
        let name = format!("{}-{}.jsonl", self.meta.generation, self.meta.sequence + 1);
        Segment { name, records, bytes: lines.len() as u64 }
    }

    /// Keeps what was counted of a former log, unless it is nothing.
    fn archive(&self, topic_id: &str) -> Result<(), StoreError> {
        let is_nothing = self.checkpoint.statistics.is_empty() && self.meta.rejected.is_empty();
        if self.meta.is_fresh || is_nothing {
            return Ok(());
        }
        // The same whoever archives it, so that a crash after this can be repeated.
        let meta = Meta { generation: 0, sequence: 0, owner: Default::default(), ..self.meta.clone() };
        let archived = Head { checkpoint: self.checkpoint.clone(), meta: Some(meta) };
        let body = Bytes::from(archived.to_json());
        for number in 1.. {
            let name = archive_name(topic_id, self.partition, number);
            if let Put::Landed(_) = self.client.create(&name, &body, PATIENCE)? {
                break;
            }
        }
        Ok(())
    }

    fn write_status(&mut self, status: &Status) -> Result<(), StoreError> {
        let bytes = Bytes::from(json_line(status));
        let (head, version) = (head_name(self.partition), self.version.clone());
        // Where heads are written, those writes tell.
        let is_idle = self.status.as_ref().is_some_and(|last| last.version.e_tag == version.e_tag);
        let watched = is_idle.then(|| (head.as_str(), version.clone()));
        let begun = self.client.begin_overwrite(&status_name(self.partition), bytes, watched)?;
        self.status = Some(Written { status: status.clone(), at: Instant::now(), version, begun });
        Ok(())
    }

    /// Waits for the status under way, so that none comes after the last one.
    fn await_status(&self) {
        let until = Instant::now() + LAST_PATIENCE;
        let is_under_way = || self.status.as_ref().is_some_and(|written| !written.begun.is_done());
        while is_under_way() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Claim for ObjectClaim {
    fn partition(&self) -> i32 {
        self.partition
    }

    fn owner(&self) -> &Owner {
        &self.owner
    }

    fn durable(&self, checkpoint: &Checkpoint) -> Durable {
        Durable::of(checkpoint, self.durable.bytes, self.durable.written)
    }

    fn count_rejected(&self) -> Result<u64, StoreError> {
        Ok(self.meta.rejected.iter().map(|segment| segment.records).sum())
    }

    fn replace(&mut self, change: &Change) -> Result<Durable, StoreError> {
        self.flush(PATIENCE)?;
        let (segments, segment) = self.add(change.rejected);
        let log = change.log.cloned().or_else(|| self.meta.log.clone());
        let head = self.next(log, segments, change.checkpoint.clone());
        self.put(head, segment)
    }

    fn retry(&mut self) -> Result<Durable, StoreError> {
        self.flush(PATIENCE)
    }

    fn set_log(&mut self, log: &Log) -> Result<(), StoreError> {
        self.flush(PATIENCE)?;
        let head = self.next(Some(log.clone()), self.meta.rejected.clone(), self.checkpoint.clone());
        self.put(head, None).map(drop)
    }

    /// The archive, then one write. A crash in between repeats the first, which finds its own result.
    fn start_over(&mut self, former: Option<&Log>, log: &Log) -> Result<Checkpoint, StoreError> {
        self.flush(PATIENCE)?;
        self.archive(&former.unwrap_or(log).topic_id)?;
        let fresh = Checkpoint::empty(self.partition, log.first_offset);
        let head = self.next(Some(log.clone()), Vec::new(), fresh.clone());
        self.put(head, None)?;
        Ok(fresh)
    }

    fn jump(&mut self, log: &Log, checkpoint: &Checkpoint, gap: Gap) -> Result<(), StoreError> {
        self.flush(PATIENCE)?;
        let (mut segments, mut segment) = (self.meta.rejected.clone(), None);
        if gap.to < gap.from {
            self.archive(&log.topic_id)?;
            let (mut lines, mut records) = (Vec::new(), 0);
            for rejected in records_in(Arc::clone(&self.client), self.partition, segments) {
                let rejected = rejected?;
                if rejected.offset < gap.to {
                    lines.extend(json_line(&rejected));
                    records += 1;
                }
            }
            segments = Vec::new();
            if records > 0 {
                let kept = self.segment(&lines, records);
                segment = Some((kept.name.clone(), Bytes::from(lines)));
                segments.push(kept);
            }
        }
        let head = self.next(Some(log.clone()), segments, checkpoint.clone());
        self.put(head, segment).map(drop)
    }

    /// Begun only, and not more often than a reader needs it.
    fn set_status(&mut self, status: &Status) -> Result<(), StoreError> {
        if self.is_lost {
            return Ok(());
        }
        self.check_owned()?;
        let mut status = Status { written_every: Some(STATUS_EVERY.as_secs()), ..status.clone() };
        if status.state == State::Stopped {
            self.await_status();
            self.write_status(&status)?;
            self.await_status();
            return Ok(());
        }
        let Some(last) = &self.status else { return self.write_status(&status) };
        let written = std::mem::replace(&mut status.written, last.status.written.clone());
        let is_changed = status != last.status;
        let is_urgent = status.state != last.status.state || status.waiting_for != last.status.waiting_for;
        let every = if is_changed { STATUS_EVERY } else { STATUS_EVERY_IDLE };
        let is_due = is_urgent || last.at.elapsed() >= every;
        if !is_due || !last.begun.is_done() {
            return Ok(());
        }
        status.written = written;
        self.write_status(&status)
    }

    fn release(self: Box<Self>) {}
}

/// Lets the next owner claim the partition at once; best effort, as it is a courtesy.
impl Drop for ObjectClaim {
    fn drop(&mut self) {
        if self.is_lost || !self.client.is_answering() || self.flush(LAST_PATIENCE).is_err() {
            return;
        }
        let mut meta = Meta { sequence: self.meta.sequence + 1, ..self.meta.clone() };
        meta.owner.released = true;
        let body = Bytes::from(Head { checkpoint: self.checkpoint.clone(), meta: Some(meta) }.to_json());
        let name = head_name(self.partition);
        if let Err(error) = self.client.replace(&name, &body, &self.version, LAST_PATIENCE) {
            tracing::debug!(%error, "partition {} was not released", self.partition);
        }
    }
}
