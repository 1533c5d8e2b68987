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
mod listeners;
mod process;
mod properties;

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use crate::arguments::HostPort;
use crate::failure::{Exit, Failure};
use crate::limits;

use self::data::{DataDir, LogMark};
use self::listeners::Listeners;
use self::process::Process;

pub use self::error::BrokerError;
pub use self::jars::kafka_version;

/// How long Kafka may take from its start to its first answer: five seconds on a machine of its own, and half a minute on
/// two cores with twenty others at work.
const READY_DEADLINE: Duration = Duration::from_secs(120);
/// How long Kafka may take from SIGTERM to its end before it is killed. Container engines kill 10 s after SIGTERM, and
/// then nothing could be said about it.
const STOP_DEADLINE: Duration = Duration::from_secs(8);
/// How long a listener may take to turn out to be Kafka; it may just be starting.
const RECOGNISE_DEADLINE: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The node that is a cluster of its own.
const ONLY_NODE: u32 = 1;
/// A free port that was chosen can be taken before the JVM binds it; then others are chosen.
const PORT_ATTEMPTS: u32 = 3;

/// What a broker is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients connect. Port 0 picks a free one. `listeners` in `set` replaces this and the next two.
    pub listen: HostPort,
    /// What those clients are told to connect to, if it is not `listen`.
    pub advertise: Option<HostPort>,
    /// A second listener, for clients that reach this address but not what is advertised at the first.
    pub local: Option<HostPort>,
    /// Which node of which cluster this is; without it, the only one of its own.
    pub member: Option<Member>,
    /// Holds everything that this broker keeps. Made if it is not there.
    pub data: PathBuf,
    /// Server properties that override ours; the last of a key wins.
    pub set: Vec<(String, String)>,
    pub env: Environment,
}

/// One of the nodes that make up a cluster. Each is broker and controller.
#[derive(Clone, Debug)]
pub struct Member {
    pub node: u32,
    /// The same for all nodes of the cluster: 16 bytes, as Kafka writes them.
    pub cluster_id: String,
    /// All nodes, this one among them, each with the address of its controller.
    pub quorum: Vec<Voter>,
}

/// `ID@HOST:PORT`: a node, and where its controller listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Voter {
    pub node: u32,
    pub controller: HostPort,
}

/// What is looked up in the environment, as values.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub java_home: Option<PathBuf>,
    pub path: Option<OsString>,
    /// Where Apache Kafka's jars are kept.
    pub cache: Option<PathBuf>,
}

impl Environment {
    /// From `JAVA_HOME`, `PATH`, and the first of `ALMANAC_CACHE`, `XDG_CACHE_HOME/almanac`, `HOME/.cache/almanac`.
    pub fn from_process() -> Environment {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let home_cache = || var("HOME").map(|home| PathBuf::from(home).join(".cache"));
        // The XDG specification has relative paths ignored.
        let user_cache = || var("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
        Environment {
            java_home: var("JAVA_HOME").map(PathBuf::from),
            path: var("PATH"),
            cache: var("ALMANAC_CACHE")
                .map(PathBuf::from)
                .or_else(|| user_cache().or_else(home_cache).map(|cache| cache.join("almanac"))),
        }
    }
}

impl Member {
    /// Where this node's controller listens.
    fn controller(&self) -> Result<&HostPort, BrokerError> {
        let own = self.quorum.iter().find(|voter| voter.node == self.node);
        own.map(|voter| &voter.controller).ok_or_else(|| {
            let quorum: Vec<_> = self.quorum.iter().map(Voter::to_string).collect();
            BrokerError::NotInQuorum { node: self.node, quorum: quorum.join(",") }
        })
    }
}

impl Settings {
    fn node(&self) -> u32 {
        self.member.as_ref().map_or(ONLY_NODE, |member| member.node)
    }

    fn cluster_id(&self) -> Option<&str> {
        self.member.as_ref().map(|member| member.cluster_id.as_str())
    }
}

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
    /// Starts Kafka and returns once `is_ready`, called with the address of a listener, says so. Where every
    /// listener wants TLS or a password, of which nothing is known here, Kafka is ready when one of them reacts.
    ///
    /// The first start ever gets Kafka's jars; the first start on a data directory formats it. `progress` is told
    /// what takes time. When `stop` turns true, the start is undone and [`BrokerError::Stopped`] returned.
    pub fn start(
        settings: &Settings,
        is_ready: &mut dyn FnMut(&str) -> bool,
        progress: &mut dyn FnMut(&str),
        stop: &AtomicBool,
    ) -> Result<Broker, BrokerError> {
        properties::check_overrides(&settings.set)?;
        let java = java::find(&settings.env)?;
        let data = DataDir::open(&settings.data, settings.node())?;
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

    /// What the broker logged last: its last error, or its last lines.
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

/// What is found at an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Listening {
    Nobody,
    Kafka,
    SomethingElse,
}

/// Who listens at `address`. `is_kafka` is asked again for some seconds, as a Kafka may just be starting.
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

/// Every socket address that this means; `localhost` may be two.
fn resolve(address: &HostPort) -> io::Result<Vec<SocketAddr>> {
    Ok((address.host.as_str(), address.port).to_socket_addrs()?.collect())
}

/// Whether only this machine can connect there.
pub fn is_loopback(address: &HostPort) -> bool {
    resolve(address).is_ok_and(|all| !all.is_empty() && all.iter().all(|one| one.ip().is_loopback()))
}

impl FromStr for Voter {
    type Err = VoterError;

    fn from_str(text: &str) -> Result<Voter, VoterError> {
        let parse = || {
            let (node, controller) = text.split_once('@')?;
            let controller: HostPort = controller.parse().ok()?;
            // The others have to know the port, too.
            (controller.port != 0).then_some(Voter { node: node.parse().ok()?, controller })
        };
        parse().ok_or_else(|| VoterError(text.to_owned()))
    }
}

impl Display for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.controller)
    }
}

/// A text that is not `ID@HOST:PORT`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not ID@HOST:PORT with a port from 1 to 65535")]
pub struct VoterError(String);

impl Failure for VoterError {
    fn hint(&self) -> Option<String> {
        Some("for example 1@kafka-1:9093".to_owned())
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_as_kafka_writes_them() {
        for text in ["1@kafka-1:9093", "0@[::1]:9093"] {
            assert_eq!(text.parse::<Voter>().unwrap().to_string(), text);
        }
        for text in ["", "kafka-1:9093", "@kafka-1:9093", "-1@kafka-1:9093", "1@kafka-1", "1@kafka-1:0"] {
            assert!(text.parse::<Voter>().is_err(), "{text}");
        }
    }
}
