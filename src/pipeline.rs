//! The consumer: reads partitions, decides what may become durable, and keeps it. It adds no rules of its own to what counts.

mod assignment;
mod connection;
mod consumer;
mod contact;
mod decision;
mod error;
mod facts;
mod jumps;
mod open;
mod opening;
mod pace;
mod partition;
mod place;
mod progress;
mod recover;
mod saving;
mod settings;
mod split;
mod trust;
mod writing;

use crate::limits;
use crate::stop::Stop;
use crate::store;
use consumer::Consumer;

pub use error::PipelineError;
pub use recover::{Recovered, recover};
pub use settings::{OnGap, Policy, STALL_AFTER, Settings};

/// Keeps the checkpoints until asked to stop.
pub fn run(settings: &Settings, stop: &Stop) -> Result<(), PipelineError> {
    let store = store::open(&settings.dir)?;
    let named = settings.partitions.as_ref().map(|named| limits::Needed { partitions: named.len() });
    if let Some(needed) = named.filter(|needed| needed.is_out_of_reach()) {
        return Err(PipelineError::OpenFiles { what: "can't take all partitions".to_owned(), needed });
    }
    match Consumer::connect(settings, &*store, stop)? {
        Some(consumer) => consumer.run(),
        None => Ok(()),
    }
}
