//! What can go wrong with the local Kafka. Every message ends with what to type next, where there is something.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::jars::kafka_version;
use super::java::JAVA_MIN;
use super::listeners::LISTEN_OPTION;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    #[error("no Java found: neither JAVA_HOME is set nor is `java` on the PATH\nhint: {}", JAVA_HINT)]
    NoJava,
    #[error("JAVA_HOME is {}, but there is no bin/java in it\nhint: unset it, or set it to a JDK", .0.display())]
    BadJavaHome(PathBuf),
    #[error("{} is Java {found}, and Apache Kafka {} needs Java {JAVA_MIN} or later\nhint: {}",
            java.display(), kafka_version(), JAVA_HINT)]
    OldJava { java: PathBuf, found: u32 },
    #[error("{} -version did not tell a version, but {output:?}\nhint: {}", java.display(), JAVA_HINT)]
    UnknownJava { java: PathBuf, output: String },
    #[error(
        "no Maven found, and Apache Kafka {} is yet to be got\nhint: sudo apt install maven",
        kafka_version()
    )]
    NoMaven,
    #[error("Maven could not get Apache Kafka {}: {message}\nhint: its whole output is in {}",
            kafka_version(), log.display())]
    Maven { message: String, log: PathBuf },
    #[error(
        "no place to keep Apache Kafka's jars: none of ALMANAC_CACHE, XDG_CACHE_HOME, HOME is set\n\
             hint: ALMANAC_CACHE=DIR"
    )]
    NoCache,
    #[error("the jars can't be at {}: a colon would end the entry of Java's class path\n\
             hint: ALMANAC_CACHE=DIR with another DIR", .0.display())]
    ColonInCache(PathBuf),

    #[error("{address} is in use\nhint: {option} with another port{}", free_port(option))]
    PortInUse { address: String, option: &'static str },
    #[error("can't listen on {address}: {source}\nhint: {option} with an address of this machine")]
    CannotListen { address: String, option: &'static str, source: io::Error },
    #[error(
        "{address} is every address of this machine, none that clients can come back to\n\
             hint: {hint}"
    )]
    NothingToAdvertise { address: String, hint: String },
    #[error(
        "{text:?} in `listeners` is not NAME://HOST:PORT\n\
             hint: for example --set listeners=PLAINTEXT://127.0.0.1:9092,SSL://127.0.0.1:9093"
    )]
    BadListener { text: String },
    #[error(
        "`listeners` names only {controller}, and no listener for clients\n\
             hint: for example --set listeners=PLAINTEXT://127.0.0.1:9092"
    )]
    NoClientListener { controller: &'static str },
    #[error("node {node} is none of the quorum {quorum}\nhint: --node with one of its numbers")]
    NotInQuorum { node: u32, quorum: String },
    #[error("the server property {key} is the broker's own and can't be set")]
    OwnProperty { key: String },

    #[error("{} is in use by {owner}\nhint: stop that one, or use another --data", data.display())]
    DataInUse { data: PathBuf, owner: String },
    #[error("{} holds {found}, but was not made by almanac; nothing was changed\n\
             hint: use another --data; a directory that is not there yet is made", data.display())]
    NotOurs { data: PathBuf, found: String },
    #[error("{} belongs to cluster {recorded}, but its {logs} to cluster {found}; nothing was changed\n\
             hint: put back the {logs} of cluster {recorded}, or use another --data", data.display(), logs = super::data::LOGS)]
    OtherCluster { data: PathBuf, recorded: String, found: String },
    #[error("{} belongs to cluster {found}, not to {wanted}; nothing was changed\n\
             hint: use another --data, or --cluster-id {found}", data.display())]
    NotThatCluster { data: PathBuf, wanted: String, found: String },
    #[error("{} is of node {found}, and this is node {expected}; nothing was changed\n\
             hint: use another --data", meta.display())]
    OtherNode { meta: PathBuf, expected: u32, found: String },
    #[error("{}: {reason}; nothing was changed\nhint: use another --data, or remove {} to begin again",
            file.display(), data.display())]
    Damaged { data: PathBuf, file: PathBuf, reason: String },
    #[error("Kafka could not format {} ({status}):\n{last_words}", data.display())]
    Format { data: PathBuf, status: ExitStatus, last_words: String },

    #[error("Kafka ended before it answered ({status}):\n{last_words}\nhint: the whole log is {}", log.display())]
    Exited { status: ExitStatus, last_words: String, log: PathBuf },
    #[error("Kafka did not answer at {bootstrap} within {seconds} s:\n{last_words}\nhint: the whole log is {}", log.display())]
    NotReady { bootstrap: String, seconds: u64, last_words: String, log: PathBuf },
    #[error("no Kafka answers at {address}")]
    NoAnswer { address: String },
    #[error("can't start a process: {source}\nhint: `setpriv` is needed: sudo apt install util-linux")]
    Spawn { source: io::Error },
    #[error("can't stop Kafka: {source}")]
    Stop { source: io::Error },
    #[error("stopped while starting")]
    Stopped,
    #[error("can't {verb} {}: {source}", path.display())]
    Io { verb: &'static str, path: PathBuf, source: io::Error },
}

/// The other nodes have to know a controller's port.
fn free_port(option: &str) -> &'static str {
    if option == "--quorum" { "" } else { " (0 picks a free one)" }
}

const JAVA_HINT: &str = "sudo apt install openjdk-17-jdk-headless (openjdk-21-jdk-headless on newer systems)";

impl BrokerError {
    /// For a command that has an option of its own for where Kafka listens.
    pub fn with_listen_option(mut self, own: &'static str) -> BrokerError {
        if let BrokerError::PortInUse { option, .. } | BrokerError::CannotListen { option, .. } = &mut self
            && *option == LISTEN_OPTION
        {
            *option = own;
        }
        self
    }

    /// For `map_err`: what was being done to which file.
    pub(super) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BrokerError {
        let path = path.to_owned();
        move |source| BrokerError::Io { verb, path, source }
    }
}
