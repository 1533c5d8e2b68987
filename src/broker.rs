//! A local Apache Kafka: KRaft, one node, all of its state in one directory. The node is a cluster of its own, or one
//! of a cluster whose nodes all know each other from the start.
//!
//! The JVM never outlives the process that started it (`process.rs` says how). Killing it loses no acknowledged
//! record: a record is in the kernel's page cache when it is acknowledged, which outlives any process.
//!
//! Nothing here speaks Kafka's protocol: whether the broker answers is asked through a closure of the caller.

mod data;
mod error;
mod files;
mod jars;
mod java;
mod layout;
mod listeners;
mod process;
mod properties;
mod settings;
mod versions;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use crate::arguments::HostPort;
use crate::limits;

use self::data::{DataDir, LogMark};
use self::listeners::{Listeners, resolve};
use self::process::Process;

pub use self::error::BrokerError;
pub use self::settings::{Environment, Member, Settings, Voter, VoterError};
pub use self::versions::kafka_version;

/// How long Kafka may take from its start to its first response. It takes five seconds on a machine of its own, and
/// half a minute on two cores with twenty others at work.
const READY_DEADLINE: Duration = Duration::from_secs(120);
/// How long Kafka may take from SIGTERM to its end before it is killed. Container engines kill 10 s after SIGTERM, and
/// then nothing could be said about it.
const STOP_DEADLINE: Duration = Duration::from_secs(8);
/// How long a listener may take to turn out to be Kafka; it may just be starting.
const RECOGNISE_DEADLINE: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A free port that was chosen can be taken before the JVM binds it; then others are chosen.
const PORT_ATTEMPTS: u32 = 3;

/// A running Kafka that answers. Dropping it kills the JVM; [`Broker::stop`] ends it in good order.
#[derive(Debug)]
pub struct Broker {
    process: Process,
    data: DataDir,
    log: LogMark,
    cluster_id: String,
    bootstrap: String,
}

impl Broker {
    /// Starts Kafka and returns once `is_ready`, called with the address of a listener, says so. If every
    /// listener needs TLS or a password, which are not known here, Kafka is ready when one of them reacts.
    ///
    /// The first start ever gets Kafka's jars; the first start on a data directory formats it. `progress` gets
    /// a line for each step that takes time. When `stop` turns true, the start is undone and
    /// [`BrokerError::Stopped`] returned.
    pub fn start(
        settings: &Settings,
        is_ready: &mut dyn FnMut(&str) -> bool,
        progress: &mut dyn FnMut(&str),
        stop: &AtomicBool,
    ) -> Result<Broker, BrokerError> {
        properties::check_overrides(&settings.set)?;
        let java = java::find(&settings.env)?;
        let data = DataDir::open(&settings.data, settings.node(), &settings.set)?;
        // A used port is reported before the download, not after it.
        Listeners::choose(settings)?;
        let jars = jars::get(&settings.env, progress, stop)?;
        let kafka = java::Kafka { java, jars };
        let cluster_id = data.formatted(&kafka, settings.cluster_id(), stop)?;

        limits::warn_before_kafka();
        let mut attempt = 1;
        loop {
            let listeners = Listeners::choose(settings)?;
            progress(&format!("starting Apache Kafka {} on {}", kafka_version(), listeners.bootstrap));
            let (mut process, log) = data.launch(&kafka, &listeners, settings)?;
            let plain = listeners.plain(&settings.set);
            let mut is_ready = || match &plain {
                Some(address) => is_ready(address),
                None => reacts(&listeners.bootstrap),
            };
            match wait_until_ready(&mut process, &data, &log, &listeners.bootstrap, &mut is_ready, stop) {
                Ok(()) => {
                    return Ok(Broker { process, data, log, cluster_id, bootstrap: listeners.bootstrap });
                }
                Err(BrokerError::Exited { last_words, .. })
                    if attempt < PORT_ATTEMPTS && last_words.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// `HOST:PORT` for clients on this machine.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// How the JVM ended, if it did: for a supervisor that wants to see it die.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.try_wait()
    }

    /// The end of the broker's log: its last error, or its last lines.
    pub fn last_words(&self) -> String {
        self.data.last_words(&self.log)
    }

    /// Ends Kafka in good order, or kills it when that takes too long. The data is kept either way.
    pub fn stop(mut self) -> Result<(), BrokerError> {
        self.process.terminate(STOP_DEADLINE).map_err(|source| BrokerError::Stop { source })
    }
}

fn wait_until_ready(
    process: &mut Process,
    data: &DataDir,
    log: &LogMark,
    bootstrap: &str,
    is_ready: &mut dyn FnMut() -> bool,
    stop: &AtomicBool,
) -> Result<(), BrokerError> {
    let deadline = Instant::now() + READY_DEADLINE;
    loop {
        if stop.load(Ordering::Relaxed) {
            process.terminate(STOP_DEADLINE).map_err(|source| BrokerError::Stop { source })?;
            return Err(BrokerError::Stopped);
        }
        if let Some(status) = process.try_wait() {
            return Err(BrokerError::Exited {
                status,
                last_words: data.last_words(log),
                log: data.kafka_log(),
            });
        }
        if is_ready() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(BrokerError::NotReady {
                bootstrap: bootstrap.to_owned(),
                seconds: READY_DEADLINE.as_secs(),
                last_words: data.last_words(log),
                log: data.kafka_log(),
            });
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Whether something that can't be a request is answered, if only by an end of the connection. Kafka opens its
/// listeners early, but looks at nothing that comes before it is ready.
fn reacts(bootstrap: &str) -> bool {
    let ask = |address: SocketAddr| -> io::Result<usize> {
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        // No TLS record begins like this, and read as the size of a request it is too large.
        stream.write_all(b"ready?\n")?;
        stream.read(&mut [0])
    };
    let is_answer = |result: io::Result<usize>| match result {
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        Ok(_) => true,
    };
    bootstrap.to_socket_addrs().is_ok_and(|mut addresses| addresses.any(|address| is_answer(ask(address))))
}

/// The kind of server at an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Listening {
    Nobody,
    Kafka,
    SomethingElse,
}

/// The kind of server at `address`. `is_kafka` is called again for some seconds, as a Kafka may just be starting.
pub fn who_listens(address: &HostPort, is_kafka: &mut dyn FnMut(&str) -> bool) -> Listening {
    let bootstrap = address.to_string();
    let deadline = Instant::now() + RECOGNISE_DEADLINE;
    loop {
        if !anybody_listens(address) {
            return Listening::Nobody;
        }
        if is_kafka(&bootstrap) {
            return Listening::Kafka;
        }
        if Instant::now() >= deadline {
            return Listening::SomethingElse;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn anybody_listens(address: &HostPort) -> bool {
    let connects = |address: SocketAddr| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_ok();
    resolve(address).is_ok_and(|addresses| addresses.into_iter().any(connects))
}

/// The directory of Kafka's jars, which are got if they are not there.
pub fn jars(
    env: &Environment,
    progress: &mut dyn FnMut(&str),
    stop: &AtomicBool,
) -> Result<PathBuf, BrokerError> {
    jars::get(env, progress, stop)
}

/// Whether only this machine can connect there.
pub fn is_loopback(address: &HostPort) -> bool {
    resolve(address).is_ok_and(|all| !all.is_empty() && all.iter().all(|one| one.ip().is_loopback()))
}
