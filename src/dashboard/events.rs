//! Server-sent events: one for each change of the checkpoints.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::Event;
use futures_util::stream::{self, Stream};
use jiff::Timestamp;
use tokio::sync::watch::Receiver;

use super::api;
use super::watch::Snapshot;
use crate::text::to_json;

/// The version that a client has. It is small, as there may be a thousand clients.
struct Told {
    version: Arc<str>,
    hashes: Arc<BTreeMap<i32, u64>>,
}

impl Told {
    fn of(snapshot: &Snapshot) -> Told {
        Told { version: Arc::clone(&snapshot.version), hashes: Arc::clone(&snapshot.hashes) }
    }
}

/// An event for each change from now on; for a client that knows another version than this one, one at once.
///
/// A client that is slow misses what was between, and nothing is kept for it.
pub fn events(
    mut snapshots: Receiver<Arc<Snapshot>>,
    known: Option<&str>,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let mut told = Told::of(&snapshots.borrow_and_update());
    if let Some(known) = known.filter(|known| **known != *told.version) {
        told = Told { version: known.into(), hashes: Arc::default() };
        snapshots.mark_changed();
    }
    stream::unfold((snapshots, told), |(mut snapshots, mut told)| async {
        loop {
            // The sender goes when the server is to stop.
            snapshots.changed().await.ok()?;
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            if snapshot.version != told.version {
                let event = event(&snapshot, &told);
                told = Told::of(&snapshot);
                return Some((Ok(event), (snapshots, told)));
            }
        }
    })
}

fn event(snapshot: &Snapshot, told: &Told) -> Event {
    let make = || to_json(&api::change(snapshot, &told.hashes, Timestamp::now())).into();
    // A client that comes later with an old version must not get the freshness of an earlier moment.
    let json = match told.hashes.is_empty() {
        true => make(),
        false => snapshot.common.get(&told.version, make),
    };
    Event::default().id(&*snapshot.version).data(json)
}
