//! A prefix of an object store as the place of the checkpoints. docs/OBJECT-STORE.md has its objects, and why the store's
//! conditional writes are enough to keep each partition a single writer's.
//!
//! The head, `partition-N.json`, holds all of a partition. A write replaces only the version that it was made of, so the
//! accepted versions form one chain. A claim is such a write: a former owner's version is gone, and whatever it sends is
//! refused, however late it lands. Everything else (the owner's name, statuses, clocks) is a courtesy.

mod bucket;
mod check;
mod claim;
mod client;
mod crypto;
mod decision;
mod reading;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use almanac_core::head::{FORMAT, Head, Holder, Meta};
use almanac_core::owner::Owner;
use almanac_core::place::Place;
use almanac_core::text::json_line;
use axum::body::Bytes;
use jiff::Timestamp;

pub use self::check::Raced;
use self::claim::ObjectClaim;
use self::client::{Client, PATIENCE, Put, SMALL_BYTES_MAX};
use self::reading::{HEAD_BYTES_MAX, Objects, clean_up, head_name, head_of, loaded_of, place_name};
use super::epoch::this_process;
use super::error::StoreError;
use super::keep::{Claim, Loaded, Named, Reader, Store};
use crate::checkpoint::Checkpoint;
use crate::status::State;

/// An owner whose status is older than this is taken for gone. That is a courtesy: it can't write once it is taken over.
const FRESH: Duration = Duration::from_secs(15);

/// How often a claim that lost to a checkpoint of the former owner is tried again.
const CLAIMS_MAX: usize = 20;

/// Notes that the store was checked, so that only the first claim in a prefix does it.
const CHECKED: &str = "almanac.json";

pub(super) fn open(url: &Path) -> Result<Box<dyn Store>, StoreError> {
    Ok(Box::new(ObjectHome { objects: Objects::open(url)?, is_checked: Mutex::new(false) }))
}

pub(super) fn reader(url: &Path) -> Result<Arc<dyn Reader>, StoreError> {
    Ok(Arc::new(Objects::open(url)?))
}

pub(super) fn get(url: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let (client, name) = place_of(url)?;
    Ok(client.get(&name, SMALL_BYTES_MAX)?.map(|found| found.bytes.into()))
}

pub(super) fn put(url: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let (client, name) = place_of(url)?;
    client.overwrite(&name, &Bytes::copy_from_slice(bytes))
}

pub(super) fn check_store(url: &Path, races: u32) -> Result<Raced, StoreError> {
    check::race(&Client::open(url)?, races)
}

fn place_of(url: &Path) -> Result<(Client, String), StoreError> {
    let name = url.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    Ok((Client::open(url.parent().unwrap_or(url))?, name))
}

/// The prefix, to write.
#[derive(Debug)]
struct ObjectHome {
    objects: Objects,
    is_checked: Mutex<bool>,
}

impl ObjectHome {
    fn client(&self) -> &Arc<Client> {
        &self.objects.client
    }

    /// The first claim in a prefix tries whether the store is a fence at all.
    fn check_once(&self) -> Result<(), StoreError> {
        let client = self.client();
        // Partitions are claimed at the same time: the others wait for the first.
        let lock = || self.is_checked.lock().unwrap_or_else(PoisonError::into_inner);
        if *lock() {
            return Ok(());
        }
        let is_noted = client.get(CHECKED, SMALL_BYTES_MAX)?.is_some();
        let mut is_checked = lock();
        if !is_noted && !*is_checked {
            let raced = check::race(client, check::RACES)?;
            tracing::debug!(?raced, "the object store was checked");
            let note = format!("{{\"format\":{FORMAT},\"checked\":\"{}\"}}\n", Timestamp::now());
            client.overwrite(CHECKED, &Bytes::from(note))?;
        }
        *is_checked = true;
        Ok(())
    }

    /// Whether the owner that a head names seems to be alive: it has not let the partition go, and its status is fresh by the
    /// store's clock.
    fn is_alive(&self, partition: i32, meta: &Meta) -> Result<bool, StoreError> {
        if meta.owner.released || is_dead(meta) {
            return Ok(false);
        }
        let Some(written) = self.objects.status_written(partition)? else { return Ok(false) };
        if self.objects.status(partition)?.is_some_and(|status| status.state == State::Stopped) {
            return Ok(false);
        }
        let age = self.objects.now()?.duration_since(written);
        Ok(age.as_secs() < FRESH.as_secs().cast_signed())
    }
}

/// Whether the owner is a process of this host that has ended.
fn is_dead(meta: &Meta) -> bool {
    let (owner, this) = (&meta.owner.owner, this_process());
    let is_there = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
    owner.host == this.host
        && (!is_there(owner.pid) || (owner.pid == this.pid && owner.since != this.since && this.pid == 1))
}

impl Store for ObjectHome {
    fn reader(&self) -> &dyn Reader {
        &self.objects
    }

    fn claim(&self, partition: i32, take_over: bool) -> Result<(Box<dyn Claim>, Loaded), StoreError> {
        self.check_once()?;
        let (client, name, owner) = (self.client(), head_name(partition), this_process());
        let token = format!("{:016x}", RandomState::new().build_hasher().finish());
        let mut generation = None;
        for _ in 0..CLAIMS_MAX {
            let found = client.get(&name, HEAD_BYTES_MAX)?;
            let head = found.as_ref().map(|found| head_of(client, partition, found)).transpose()?;
            let meta = head.as_ref().and_then(|head| head.meta.clone());
            if let Some(meta) = &meta {
                // Somebody else claimed it since this began.
                if generation.is_some_and(|generation| generation != meta.generation) {
                    return Err(StoreError::TakenOver { partition, owner: meta.owner.owner.clone() });
                }
                generation = Some(meta.generation);
                if !take_over && self.is_alive(partition, meta)? {
                    let dir = client.url().to_owned();
                    return Err(StoreError::Held { partition, dir, owner: meta.owner.owner.clone() });
                }
            }
            let is_new = head.is_none();
            let former = meta.as_ref();
            let next = Meta {
                format: FORMAT,
                generation: former.map_or(0, |former| former.generation) + 1,
                sequence: former.map_or(0, |former| former.sequence) + 1,
                owner: Holder { owner: owner.clone(), token: token.clone(), released: false },
                log: former.and_then(|former| former.log.clone()),
                rejected: former.map(|former| former.rejected.clone()).unwrap_or_default(),
                is_fresh: is_new || former.is_some_and(|former| former.is_fresh),
            };
            let checkpoint = head.map_or_else(|| Checkpoint::empty(partition, 0), |head| head.checkpoint);
            let head = Head { checkpoint, meta: Some(next.clone()) };
            let body = Bytes::from(head.to_json());
            let put = match &found {
                None => client.create(&name, &body, PATIENCE)?,
                Some(found) => client.replace(&name, &body, &found.version, PATIENCE)?,
            };
            let Put::Landed(version) = put else { continue };
            if !is_new {
                clean_up(client, partition, &next);
            }
            let loaded = loaded_of(&head);
            let bytes = body.len() as u64;
            let claim = ObjectClaim::new(Arc::clone(client), owner, head.checkpoint, next, version, bytes);
            return Ok((Box::new(claim), loaded));
        }
        Err(client.away(format!("partition {partition} changes faster than it can be claimed")))
    }

    fn check(&self, partition: i32) -> Result<(), StoreError> {
        self.objects.load(partition).map(drop)
    }

    /// A store has no locks. Those that begin at once see each other's heads, and stop.
    fn join(&self, _: &Named) -> Result<Option<Named>, StoreError> {
        Ok(None)
    }

    fn living_owner(&self, partition: i32) -> Option<Owner> {
        let meta = self.objects.head(partition).ok()??.0.meta?;
        self.is_alive(partition, &meta).unwrap_or(false).then_some(meta.owner.owner)
    }

    fn place(&self, topic_id: &str) -> Result<Option<Place>, StoreError> {
        self.objects.place(topic_id)
    }

    fn decide_place(&self, topic_id: &str, place: &Place) -> Result<Place, StoreError> {
        let name = place_name(topic_id);
        let put = self.client().create(&name, &Bytes::from(json_line(place)), PATIENCE)?;
        match put {
            Put::Landed(_) => Ok(place.clone()),
            Put::Lost(_) => self
                .objects
                .place(topic_id)?
                .ok_or_else(|| StoreError::unreadable(&self.client().path(&name), "it has gone")),
        }
    }

    /// Nobody's station is changed by it: whoever does so has read the one that was decided.
    fn complete_place(&self, topic_id: &str, place: &Place) -> Result<(), StoreError> {
        let decided = self.objects.place(topic_id)?;
        let completed = decided.and_then(|mut decided| decided.complete(place).then_some(decided));
        let Some(completed) = completed else { return Ok(()) };
        self.client().overwrite(&place_name(topic_id), &Bytes::from(json_line(&completed)))
    }

    fn rejected_path(&self, partition: i32) -> PathBuf {
        self.client().path(&reading::folder_name(partition))
    }

    fn is_remote(&self) -> bool {
        true
    }
}
