//! The fetcher's connections to the leaders of its partitions, each with at most one request in flight.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connector::{Connecting, Connector};
use super::error::plain_error;
use super::link::Link;
use super::response::Response;
use super::wait::wait_for_any;

/// Connections to one broker: it fills one while the response on the other one is counted.
pub(super) const LINKS_PER_BROKER: usize = 2;
const RECONNECT_AFTER: Duration = Duration::from_millis(50);
const RECONNECT_AFTER_MAX: Duration = Duration::from_secs(1);
/// How long a broker may send nothing, while a response is due, before others are asked whether they lead by now.
const SILENCE_NOTED_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct LinkId {
    pub(super) broker: i32,
    /// The number of the connection, of those to this broker.
    pub(super) number: usize,
}

/// A partition of a request, and the offset from which it was requested.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Requested {
    pub(super) partition: i32,
    pub(super) next_offset: i64,
}

/// A response that is complete.
pub(super) struct Arrived {
    pub(super) link: LinkId,
    pub(super) requested: Vec<Requested>,
    pub(super) correlation: i32,
}

/// A connection that a broker does not serve, in words for the user.
pub(super) struct Failure {
    pub(super) link: LinkId,
    pub(super) text: String,
}

pub(super) struct Links {
    links: Vec<BrokerLink>,
    connector: Arc<Connector>,
    /// How long a broker may send nothing while a response is due.
    silence_max: Duration,
}

struct BrokerLink {
    id: LinkId,
    address: String,
    state: LinkState,
    /// The connection that is to take over.
    next: Option<Connecting>,
    requested: Vec<Requested>,
    attempts: u32,
    is_silence_noted: bool,
}

enum LinkState {
    Closed { until: Instant },
    Connecting { since: Instant, thread: Connecting },
    Open(Link),
}

impl Links {
    pub(super) fn new(connector: &Arc<Connector>, silence_max: Duration) -> Links {
        Links { links: Vec::new(), connector: Arc::clone(connector), silence_max }
    }

    pub(super) fn contains(&self, id: LinkId) -> bool {
        self.links.iter().any(|link| link.id == id)
    }

    pub(super) fn add(&mut self, id: LinkId, address: String) {
        let state = LinkState::Closed { until: Instant::now() };
        self.links.push(BrokerLink {
            id,
            address,
            state,
            next: None,
            requested: Vec::new(),
            attempts: 0,
            is_silence_noted: false,
        });
    }

    pub(super) fn retain(&mut self, is_used: impl Fn(LinkId) -> bool) {
        self.links.retain(|link| is_used(link.id));
    }

    /// Starts to connect where that is due, and takes over what is connected.
    pub(super) fn open(&mut self) -> Vec<Failure> {
        let (connector, patience) = (&self.connector, self.silence_max);
        self.links.iter_mut().filter_map(|link| link.open(connector, patience).err()).collect()
    }

    /// The connections on which no response is due.
    pub(super) fn ready(&self) -> Vec<LinkId> {
        let is_ready =
            |link: &&BrokerLink| matches!(&link.state, LinkState::Open(open) if !open.is_waiting());
        self.links.iter().filter(is_ready).map(|link| link.id).collect()
    }

    /// Sends a request, which `build` makes with its correlation ID.
    pub(super) fn send(
        &mut self,
        id: LinkId,
        requested: Vec<Requested>,
        build: impl FnOnce(i32) -> Vec<u8>,
    ) -> Result<(), Failure> {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return Ok(()) };
        let LinkState::Open(open) = &mut link.state else { return Ok(()) };
        let request = build(open.next_correlation());
        link.requested = requested;
        open.send(&request).map_err(|error| link.close(&error.to_string()))
    }

    /// Whether a thread is connecting.
    pub(super) fn has_threads(&self) -> bool {
        let is_connecting = |link: &BrokerLink| matches!(link.state, LinkState::Connecting { .. });
        self.links.iter().any(|link| is_connecting(link) || link.next.is_some())
    }

    /// Whether a connection waits to be made again.
    pub(super) fn has_pauses(&self) -> bool {
        self.links.iter().any(|link| matches!(link.state, LinkState::Closed { .. }))
    }

    /// Waits until a response, or a part of one, is there.
    pub(super) fn wait(&self, patience: Duration) -> io::Result<()> {
        wait_for_any(self.links.iter().filter_map(BrokerLink::waiting), patience)
    }

    /// Takes the first response that is complete.
    pub(super) fn receive(&mut self, response: &mut Response) -> (Option<Arrived>, Vec<Failure>) {
        let mut failures = Vec::new();
        for index in 0..self.links.len() {
            match self.links[index].receive(response) {
                Ok(None) => {}
                Ok(Some(arrived)) => {
                    // Last in turn the next time: else what the first broker has would come before all that the others
                    // have.
                    self.links[index..].rotate_left(1);
                    return (Some(arrived), failures);
                }
                Err(failure) => failures.push(failure),
            }
        }
        (None, failures)
    }

    /// Closes the connections that have been silent for too long. Those that are silent for a while come next.
    pub(super) fn close_silent(&mut self) -> (Vec<Failure>, Vec<Failure>) {
        let (mut closed, mut noted) = (Vec::new(), Vec::new());
        for link in &mut self.links {
            let silence = match &link.state {
                LinkState::Closed { .. } => continue,
                LinkState::Connecting { since, .. } => since.elapsed(),
                LinkState::Open(open) if open.silence() >= self.silence_max => {
                    closed.push(link.close(&format!("no response for {} s", open.silence().as_secs())));
                    continue;
                }
                LinkState::Open(open) => open.silence(),
            };
            if silence >= SILENCE_NOTED_AFTER && !link.is_silence_noted {
                link.is_silence_noted = true;
                noted.push(Failure { link: link.id, text: link.unanswered() });
            }
        }
        (closed, noted)
    }

    pub(super) fn close(&mut self, id: LinkId, reason: &str) -> Option<Failure> {
        self.links.iter_mut().find(|link| link.id == id).map(|link| link.close(reason))
    }
}

impl BrokerLink {
    fn open(&mut self, connector: &Arc<Connector>, patience: Duration) -> Result<(), Failure> {
        let connect = || connector.start_connecting(&self.address, patience);
        let connecting = |thread| LinkState::Connecting { since: Instant::now(), thread };
        let closed = LinkState::Closed { until: Instant::now() };
        let opened = match std::mem::replace(&mut self.state, closed) {
            LinkState::Closed { until } if until <= Instant::now() => connect().map(connecting),
            LinkState::Connecting { thread, .. } if thread.is_finished() => {
                joined(thread).map(LinkState::Open)
            }
            LinkState::Open(link) if link.is_to_be_renewed() => match self.next.take() {
                None => connect().map(|next| {
                    self.next = Some(next);
                    LinkState::Open(link)
                }),
                // The response that is due comes first.
                Some(next) if !next.is_finished() || link.is_waiting() => {
                    self.next = Some(next);
                    Ok(LinkState::Open(link))
                }
                Some(next) => joined(next).map(LinkState::Open),
            },
            state => Ok(state),
        };
        match opened {
            Ok(state) => self.state = state,
            Err(error) => return Err(self.close(&plain_error(&error))),
        }
        if matches!(self.state, LinkState::Open(_)) {
            self.attempts = 0;
        }
        Ok(())
    }

    fn receive(&mut self, response: &mut Response) -> Result<Option<Arrived>, Failure> {
        let LinkState::Open(open) = &mut self.state else { return Ok(None) };
        if !open.is_waiting() {
            return Ok(None);
        }
        match open.receive() {
            Ok(false) => Ok(None),
            Ok(true) => {
                response.receive_from(open);
                self.is_silence_noted = false;
                let requested = std::mem::take(&mut self.requested);
                Ok(Some(Arrived { link: self.id, requested, correlation: open.correlation() }))
            }
            Err(error) => Err(self.close(&error.to_string())),
        }
    }

    /// The connection, if a response is due on it.
    fn waiting(&self) -> Option<&Link> {
        match &self.state {
            LinkState::Open(link) if link.is_waiting() => Some(link),
            _ => None,
        }
    }

    /// Ends the connection, to be made again a little later if its broker still leads what it led.
    fn close(&mut self, reason: &str) -> Failure {
        let pause = RECONNECT_AFTER.saturating_mul(1 << self.attempts.min(8)).min(RECONNECT_AFTER_MAX);
        self.state = LinkState::Closed { until: Instant::now() + pause };
        self.next = None;
        self.requested.clear();
        self.attempts += 1;
        self.is_silence_noted = false;
        let text = format!("{} ({reason})", self.unanswered());
        tracing::debug!("{text}");
        Failure { link: self.id, text }
    }

    fn unanswered(&self) -> String {
        format!("broker {} at {} does not answer", self.id.broker, self.address)
    }
}

fn joined(thread: Connecting) -> io::Result<Link> {
    thread.join().expect("the thread that connects does not panic")
}
