//! `almanac consumer`: keeps the checkpoints.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::UsageError;
use super::progress::{self, Reached};
use crate::cli;
use crate::pipeline::{self, OnGap, Settings};
use crate::status::{State, Status};
use crate::stop::Stop;
use crate::store::{self, Owner, Paths};

/// A lag that is worth a bar, if it also takes more than a second or two.
const REPLAY_RECORDS_MIN: i64 = 1000;

pub fn run(options: &cli::Consumer) -> Result<()> {
    let stop = Stop::on_signals()?;
    let settings = settings(options)?;
    let (process, mut replay) = (Owner::this_process(), Replay::default());
    let look = || replay.look(&statuses_of(&process, &settings.dir));
    Ok(progress::with_bar("records", look, || pipeline::run(&settings, &stop))?)
}

/// What this process says of the partitions that it keeps.
fn statuses_of(process: &Owner, dir: &Path) -> Vec<Status> {
    let load = |partition| store::load_status(&Paths::new(dir, partition)).ok().flatten();
    let statuses = store::partitions_in(dir).unwrap_or_default().into_iter().filter_map(load);
    // A former process may have had the same number, as in a container.
    let is_ours = |owner: &Owner| {
        (owner.pid, &owner.host) == (process.pid, &process.host) && owner.since >= process.since
    };
    statuses.filter(|status| is_ours(&status.owner) && status.state != State::Stopped).collect()
}

/// Whether there is more to count than a live log brings, and how far that is.
#[derive(Default)]
struct Replay {
    /// The partitions, and the sum of their offsets at the beginning.
    from: Option<(Vec<i32>, i64)>,
}

impl Replay {
    fn look(&mut self, statuses: &[Status]) -> Option<Reached> {
        let partitions: Vec<i32> = statuses.iter().map(|status| status.partition).collect();
        let offset: i64 = statuses.iter().map(|status| status.offset).sum();
        let lag: i64 = statuses.iter().filter_map(|status| status.lag).sum();
        let rate: f64 = statuses.iter().map(|status| status.rate).sum();
        // Begun at two seconds' work and over at one, so that it does not come and go.
        let seconds = if self.from.is_some() { 1.0 } else { 2.0 };
        if lag < REPLAY_RECORDS_MIN || (lag as f64) < rate * seconds {
            self.from = None;
            return None;
        }
        let from = self.from.take().filter(|(before, from)| *before == partitions && *from <= offset);
        let (_, from) = self.from.insert(from.unwrap_or((partitions, offset)));
        let done = offset - *from;
        let newest = statuses.iter().filter_map(|status| status.newest.as_deref()).max();
        Some(Reached {
            done: done.unsigned_abs(),
            total: Some((done + lag).unsigned_abs()),
            message: newest.map_or(String::new(), |newest| format!("newest {newest}")),
        })
    }
}

fn settings(options: &cli::Consumer) -> Result<Settings> {
    let mut named = BTreeSet::new();
    if let Some(twice) = options.partitions.iter().find(|partition| !named.insert(**partition)) {
        return Err(UsageError(format!("partition {twice} is named twice")).into());
    }
    Ok(Settings {
        connection: super::connection(&options.kafka)?,
        topic: options.kafka.topic.clone(),
        dir: options.dir.dir.clone(),
        group: options.group.clone(),
        partitions: (!named.is_empty()).then(|| named.into_iter().collect()),
        take_over: options.take_over,
        handover_timeout: options.handover_timeout,
        checkpoint_every: options.checkpoint_every,
        stall_after: options.stall_after,
        on_gap: match options.on_gap {
            cli::OnGap::Fail => OnGap::Fail,
            cli::OnGap::Restart => OnGap::Restart,
            cli::OnGap::Continue => OnGap::Continue,
        },
        accept_new_log: options.new_log,
        adopt: options.adopt,
        allow_repartition: options.allow_repartition,
    })
}
