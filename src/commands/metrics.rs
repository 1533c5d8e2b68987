//! `--metrics` of `consumer` and `producer`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;

use crate::broker::HostPort;
use crate::dashboard::{DashboardError, Exporter, Numbers};
use crate::feed::Health;
use crate::kafka::{Admin, Connection, SHORT_REQUEST_TIMEOUT};
use crate::metrics;
use crate::note;
use crate::producer::{Sender, Trouble};

/// Takes the port, where one is asked for, before any work is done.
pub(super) fn bind(listen: Option<&HostPort>) -> Result<Option<Exporter>, DashboardError> {
    let Some(listen) = listen else { return Ok(None) };
    let exporter = Exporter::bind(listen)?;
    let address = exporter.address();
    warn_of_strangers(address, "metrics");
    note!("metrics at http://{address}/metrics");
    Ok(Some(exporter))
}

/// Says who can read what is served, where that is not this machine only.
pub(super) fn warn_of_strangers(address: SocketAddr, what: &str) {
    if !address.ip().to_canonical().is_loopback() {
        tracing::warn!("everybody who reaches {address} can read the {what}; there are no passwords");
    }
}

/// The numbers of a producer.
pub(super) struct Producing {
    topic: String,
    client: Arc<Sender>,
    trouble: Arc<Trouble>,
    feed: Option<Arc<Health>>,
    admin: Admin,
}

impl Producing {
    pub(super) fn new(
        connection: &Connection,
        topic: &str,
        client: &Arc<Sender>,
        trouble: &Arc<Trouble>,
        feed: Option<&Arc<Health>>,
    ) -> Result<Producing> {
        Ok(Producing {
            topic: topic.to_owned(),
            client: Arc::clone(client),
            trouble: Arc::clone(trouble),
            feed: feed.cloned(),
            admin: Admin::new(connection)?,
        })
    }
}

impl Numbers for Producing {
    fn metrics(&self) -> String {
        let acknowledged = self.client.acknowledged();
        let sent = metrics::Sent {
            days: acknowledged.days,
            repeats: acknowledged.repeats,
            acknowledged: acknowledged.days + acknowledged.repeats,
            pending: self.client.pending(),
            is_waiting: self.trouble.now().is_some(),
            newest: acknowledged.newest,
        };
        let feed = self.feed.as_ref().map_or(String::new(), |feed| feed.metrics());
        metrics::of_producer(&self.topic, sent) + &feed
    }

    fn not_ready(&self) -> Vec<String> {
        if let Some(trouble) = self.trouble.now() {
            return vec![trouble];
        }
        if let Some(failure) = self.feed.as_ref().and_then(|feed| feed.now().failure) {
            return vec![failure];
        }
        let acknowledged = self.client.acknowledged();
        if acknowledged.days + acknowledged.repeats == 0 {
            return vec![format!("nothing has been sent yet; topic {} is being made ready", self.topic)];
        }
        match self.admin.describe(&self.topic, SHORT_REQUEST_TIMEOUT) {
            Ok(Some(_)) => Vec::new(),
            Ok(None) => vec![format!("topic {} is gone", self.topic)],
            Err(error) => vec![error.to_string()],
        }
    }
}
