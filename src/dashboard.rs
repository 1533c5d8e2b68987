//! A live page over DIR, and the numbers that machines ask for. Reads files, never Kafka.
//!
//! One thread looks at the files and holds what they say as a [`Snapshot`]; every answer is made of the latest one.

mod answer;
mod api;
mod error;
mod events;
mod exporter;
mod head;
mod routes;
mod serve;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::broker::HostPort;
use crate::feed::Health;
use crate::stop::Stop;
use crate::store::Reader;
pub use error::DashboardError;
pub use exporter::{Exporter, Numbers, OwnPartitions, Serving};
pub use serve::raise_file_limit;
use serve::{Bound, Hosts};
pub use watch::Snapshot;

/// The directory to show, and the clients that may see it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: HostPort,
    /// As the user names it.
    pub dir: PathBuf,
    pub reader: Arc<dyn Reader>,
    /// Names that clients may use for the server, besides IP addresses, `localhost` and the name that it listens at.
    pub hosts: Vec<String>,
    /// How long a partition may have lag and no new checkpoint and still count as ready.
    pub stall_after: Duration,
    /// The source of weather that the same process reads again and again.
    pub feed: Option<Arc<Health>>,
}

/// A dashboard that has its port, and answers nobody yet.
pub struct Dashboard {
    settings: Settings,
    bound: Bound,
}

impl Dashboard {
    pub fn bind(settings: Settings) -> Result<Self, DashboardError> {
        let bound = Bound::new(&settings.listen, "--listen")?;
        Ok(Dashboard { settings, bound })
    }

    /// The address that it listens at.
    pub fn address(&self) -> SocketAddr {
        self.bound.address()
    }

    /// Answers until asked to stop.
    pub fn run(self, stop: &Stop) -> Result<(), DashboardError> {
        let Settings { listen, dir, reader, hosts, stall_after, feed } = self.settings;
        let watched = api::Watched::of(&dir);
        let (watcher, snapshots, pulse) = watch::Watcher::new(reader);
        let stop_watching = stop.clone();
        // Once it ends, so do the event streams. Nobody waits for its end: a file system that does not answer would
        // hold up the stop.
        thread::Builder::new().name("watch".to_owned()).spawn(move || watcher.run(&stop_watching))?;
        let router = routes::router(snapshots, pulse, stall_after, watched, feed);
        Ok(self.bound.serve(router, Hosts::new(&listen, hosts), stop)?)
    }
}
