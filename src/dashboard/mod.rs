//! A live page over DIR, and the numbers that machines ask for. Reads files, never Kafka.
//!
//! One thread looks at the files and holds what they say as a [`Snapshot`]; every answer is made of the latest one.

mod api;
mod events;
mod routes;
mod serve;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::broker::HostPort;
use crate::stop::Stop;
pub use serve::{Bound, raise_file_limit};
pub use watch::Snapshot;

/// What to show, and to whom.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: HostPort,
    pub dir: PathBuf,
    /// Names that the server may be asked by, beside IP addresses, `localhost` and the name that it listens at.
    pub hosts: Vec<String>,
    /// How long a partition may have lag and no new checkpoint and still count as ready.
    pub stall_after: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    #[error("can't listen at {listen}: {source}\nhint: name another port with --listen, or 0 for a free one")]
    Listen { listen: HostPort, source: io::Error },

    #[error("the server failed: {0}")]
    Failed(#[from] io::Error),
}

/// A dashboard that has its port, and answers nobody yet.
pub struct Dashboard {
    settings: Settings,
    bound: Bound,
}

impl Dashboard {
    pub fn bind(settings: Settings) -> Result<Self, DashboardError> {
        let bound = Bound::new(&settings.listen)
            .map_err(|source| DashboardError::Listen { listen: settings.listen.clone(), source })?;
        Ok(Dashboard { settings, bound })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.bound.address()
    }

    /// Answers until asked to stop.
    pub fn run(self, stop: &Stop) -> Result<(), DashboardError> {
        let Settings { listen, dir, hosts, stall_after } = self.settings;
        std::thread::scope(|scope| {
            let (watcher, snapshots) = watch::Watcher::new(dir);
            // Once it ends, so do the event streams.
            scope.spawn(|| watcher.run(stop));
            let router = routes::router(snapshots, stall_after);
            self.bound.serve(router, serve::Hosts::new(&listen, hosts), stop)
        })?;
        Ok(())
    }
}
