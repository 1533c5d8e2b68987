//! `almanac recover`: what a consumer does not do without the user's decision.

use std::time::Duration;

use anyhow::Result;

use crate::cli;
use crate::pipeline::{self, OnGap, Policy, Settings};
use crate::status::Board;
use crate::stop::Stop;
use crate::store;

pub fn run(options: &cli::Recover) -> Result<()> {
    let stop = Stop::on_signals()?;
    // A DIR that is missing is not created, and no broker is asked.
    store::reader(&options.dir.dir)?.partitions()?;
    let settings = Settings {
        connection: super::connection(&options.kafka)?,
        topic: options.kafka.topic.clone(),
        dir: options.dir.dir.clone(),
        // It only reads, so no group hears of it.
        group: "almanac-recover".to_owned(),
        station: None,
        partitions: super::named_once(&options.partitions)?,
        take_over: options.take_over,
        handover_timeout: Duration::ZERO,
        checkpoint_every: None,
        stall_after: pipeline::STALL_AFTER,
        policy: policy(options),
        board: Board::default(),
    };
    let mut printed = Ok(());
    let recovered = pipeline::recover(&settings, &stop, |recovered| {
        let partition = recovered.partition;
        let done = recovered.done.unwrap_or_else(|| match recovered.offset {
            Some(offset) => format!("partition {partition}: nothing to do, it continues at offset {offset}"),
            None => format!("partition {partition}: nothing to do, it has no checkpoint"),
        });
        if printed.is_ok() {
            printed = super::print_escaped(&format!("{done}\n"));
        }
    });
    recovered?;
    printed
}

fn policy(options: &cli::Recover) -> Policy {
    Policy {
        on_gap: match (options.restart, options.continue_) {
            (true, _) => OnGap::Restart,
            (false, true) => OnGap::Continue,
            (false, false) => OnGap::Fail,
        },
        accept_new_log: options.new_log,
        adopt: options.adopt,
        allow_repartition: options.repartition,
    }
}
