//! `almanac consumer`: keeps the checkpoints.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{UsageError, metrics};
use crate::cli;
use crate::dashboard::OwnPartitions;
use crate::pipeline::{self, OnGap, Settings};
use crate::stop::Stop;

pub fn run(options: &cli::Consumer) -> Result<()> {
    let stop = Stop::on_signals()?;
    let settings = settings(options)?;
    let exporter = metrics::bind(options.metrics.listen.as_ref())?;
    let numbers = || OwnPartitions::new(&settings.topic, settings.dir.clone(), settings.stall_after);
    let _serving = exporter.map(|exporter| exporter.start(numbers())).transpose()?;
    Ok(pipeline::run(&settings, &stop)?)
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
