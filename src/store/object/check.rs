//! Whether an object store is a fence: many writers race for the same object, and one of them may win.

use almanac_core::text::json_line;
use axum::body::Bytes;
use futures_util::future::join_all;
use object_store::{PutMode, UpdateVersion};
use serde::Serialize;

use super::client::{Client, PATIENCE, Put, SMALL_BYTES_MAX};
use crate::store::epoch::this_process;
use crate::store::error::StoreError;

/// Races at the first claim in a prefix, half of them to create an object, half to replace it.
pub(super) const RACES: u32 = 44;

/// Writers in each.
const WRITERS: u32 = 8;

/// The races that were held.
#[derive(Clone, Copy, Debug)]
pub struct Raced {
    pub races: u32,
    pub writes: u32,
}

/// The bytes of a writer, which differ from any other's.
#[derive(Serialize)]
struct Entry<'a> {
    race: u32,
    writer: u32,
    process: &'a str,
}

/// Holds races, and refuses a store in which two writers win one, or in which the winner's bytes are not there.
pub(super) fn race(client: &Client, races: u32) -> Result<Raced, StoreError> {
    let owner = this_process();
    let process = format!("{}-{}-{}", owner.host, owner.pid, jiff::Timestamp::now().as_nanosecond());
    let name = format!("check/{process}.json");
    let checked = hold(client, &name, &process, races);
    // Best effort: it is in nobody's way.
    let _ = client.delete(&name);
    checked?;
    Ok(Raced { races, writes: races * WRITERS })
}

fn hold(client: &Client, name: &str, process: &str, races: u32) -> Result<(), StoreError> {
    let racy = |reason: String| StoreError::Racy { url: client.url().to_owned(), reason };
    let body = |race, writer| Bytes::from(json_line(&Entry { race, writer, process }));
    let mut known: Option<UpdateVersion> = None;
    for race in 0..races {
        let mode = known.clone().map_or(PutMode::Create, PutMode::Update);
        let what = if known.is_some() { "replace" } else { "create" };
        let writes = (0..WRITERS).map(|writer| client.race(name, body(race, writer), mode.clone()));
        let results = client.block_on(join_all(writes));
        let mut winners =
            (0..).zip(&results).filter_map(|(writer, result)| Some((writer, result.as_ref()?.as_ref()?)));
        let (first, second) = (winners.next(), winners.next());
        if let (Some((one, _)), Some((other, _))) = (first, second) {
            return Err(racy(format!(
                "writers {one} and {other} both could {what} the same version of {name}"
            )));
        }
        let found = client.get(name, SMALL_BYTES_MAX)?;
        if let Some((writer, _)) = first
            && found.as_ref().is_none_or(|found| found.bytes != body(race, writer))
        {
            return Err(racy(format!("writer {writer} could {what} {name}, and its bytes are not there")));
        }
        // A version that is no longer there must not be taken for the one that is.
        if let (Some(former), Some(found)) = (&known, &found)
            && first.is_some()
        {
            let stale = body(race, WRITERS);
            if let Put::Landed(_) = client.replace(name, &stale, former, PATIENCE)? {
                return Err(racy(format!("a version of {name} that had been replaced was replaced again")));
            }
            known = Some(found.version.clone());
        } else {
            known = found.map(|found| found.version);
        }
        // Every other race is to create it.
        if race % 2 == 1 {
            client.delete(name)?;
            known = None;
        }
    }
    Ok(())
}
