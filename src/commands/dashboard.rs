//! `almanac dashboard`: a live page over DIR.

use anyhow::Result;

use crate::cli;
use crate::dashboard::{self, Dashboard, DashboardError};
use crate::note;
use crate::stop::Stop;

pub fn run(options: &cli::Dashboard) -> Result<()> {
    let stop = Stop::on_signals()?;
    let dashboard = bind(options)?;
    Ok(dashboard.run(&stop)?)
}

/// Takes the port, and says where the page is.
fn bind(options: &cli::Dashboard) -> Result<Dashboard, DashboardError> {
    dashboard::raise_file_limit();
    let dashboard = Dashboard::bind(dashboard::Settings {
        listen: options.listen.clone(),
        dir: options.dir.dir.clone(),
        hosts: options.allow_host.clone(),
        stall_after: options.stall_after,
    })?;
    let address = dashboard.address();
    if !address.ip().is_loopback() {
        tracing::warn!("everybody who reaches {address} can read the dashboard; it has no passwords");
    }
    note!("dashboard at http://{address}/");
    Ok(dashboard)
}
