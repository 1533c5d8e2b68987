//! `almanac dashboard`: a live page over DIR.

use anyhow::Result;

use super::metrics::warn_of_strangers;
use crate::cli;
use crate::dashboard::{self, Dashboard, DashboardError, Settings};
use crate::note;
use crate::stop::Stop;
use crate::store;

pub fn run(options: &cli::Dashboard) -> Result<()> {
    let stop = Stop::on_signals()?;
    let reader = store::reader(&options.dir.dir)?;
    super::warn_of_several_topics(&*reader, &options.dir.dir);
    let dashboard = bind(Settings {
        listen: options.listen.clone(),
        dir: options.dir.dir.clone(),
        reader,
        hosts: options.allow_host.clone(),
        stall_after: options.stall_after,
        feed: None,
    })?;
    note!("dashboard at http://{}/", dashboard.address());
    Ok(dashboard.run(&stop)?)
}

/// Takes the port, at which nothing is served yet.
pub(super) fn bind(settings: Settings) -> Result<Dashboard, DashboardError> {
    dashboard::raise_file_limit();
    let dashboard = Dashboard::bind(settings)?;
    warn_of_strangers(dashboard.address(), "dashboard");
    Ok(dashboard)
}
