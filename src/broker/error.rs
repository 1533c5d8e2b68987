//! Errors of the local Kafka, with their hints.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::layout::LOGS;
use super::settings::LISTEN_OPTION;
use super::versions::{JAVA_MIN, kafka_version};
use crate::failure::{Exit, Failure};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    #[error("no Java found: neither JAVA_HOME is set nor is `java` on the PATH")]
    NoJava,
    #[error("JAVA_HOME is {}, but there is no bin/java in it", .0.display())]
    BadJavaHome(PathBuf),
    #[error("{} is Java {found}, and Apache Kafka {} needs Java {JAVA_MIN} or later", java.display(), kafka_version())]
    OldJava { java: PathBuf, found: u32 },
    #[error("{} -version printed no version, but {output:?}", java.display())]
    UnknownJava { java: PathBuf, output: String },
    #[error("Maven is needed to download Apache Kafka {}, and was not found", kafka_version())]
    NoMaven,
    #[error("Maven could not get Apache Kafka {}: {message}", kafka_version())]
    Maven { message: String, log: PathBuf },
    #[error("no place to keep Apache Kafka's jars: none of ALMANAC_CACHE, XDG_CACHE_HOME, HOME is set")]
    NoCache,
    #[error("the jars can't be at {}: a colon would end the entry of Java's class path", .0.display())]
    ColonInCache(PathBuf),

    #[error("{address} is in use")]
    PortInUse { address: String, option: &'static str },
    #[error("can't listen on {address}")]
    CannotListen { address: String, option: &'static str, source: io::Error },
    #[error("{address} stands for every address of this machine, so clients can't connect to it")]
    NothingToAdvertise { address: String, hint: String },
    #[error("{text:?} in `listeners` is not NAME://HOST:PORT")]
    BadListener { text: String },
    #[error("`listeners` names only {controller}, and no listener for clients")]
    NoClientListener { controller: &'static str },
    #[error("node {node} is not in the quorum {quorum}")]
    NotInQuorum { node: u32, quorum: String },
    #[error("the server property {key} is the broker's own and can't be set")]
    OwnProperty { key: String },

    #[error("{} is in use by {owner}", data.display())]
    DataInUse { data: PathBuf, owner: String },
    #[error("{} holds {found}, but was not made by almanac; nothing was changed", data.display())]
    NotOurs { data: PathBuf, found: String },
    #[error("{} belongs to cluster {recorded}, but its {LOGS} to cluster {found}; nothing was changed", data.display())]
    OtherCluster { data: PathBuf, recorded: String, found: String },
    #[error("{} belongs to cluster {found}, not to {wanted}; nothing was changed", data.display())]
    NotThatCluster { data: PathBuf, wanted: String, found: String },
    #[error("{} is of node {found}, and this is node {expected}; nothing was changed", meta.display())]
    OtherNode { meta: PathBuf, expected: u32, found: String },
    #[error("{}: {reason}; nothing was changed", file.display())]
    Damaged { data: PathBuf, file: PathBuf, reason: String },
    #[error("Kafka could not format {} ({status}):\n{last_words}", data.display())]
    Format { data: PathBuf, status: ExitStatus, last_words: String },

    #[error("Apache Kafka ended by itself ({status}){}:\n{last_words}", because_full(last_words))]
    Ended { status: ExitStatus, last_words: String },
    #[error("Kafka ended before it answered ({status}){}:\n{last_words}", because_full(last_words))]
    Exited { status: ExitStatus, last_words: String, log: PathBuf },
    #[error("Kafka did not answer at {bootstrap} within {seconds} s:\n{last_words}")]
    NotReady { bootstrap: String, seconds: u64, last_words: String, log: PathBuf },
    #[error("no Kafka answers at {address}")]
    NoAnswer { address: String },
    #[error("can't start a process")]
    Spawn { source: io::Error },
    #[error("can't stop Kafka")]
    Stop { source: io::Error },
    #[error("stopped while starting")]
    Stopped,
    #[error("can't {verb} {}", path.display())]
    Io { verb: &'static str, path: PathBuf, source: io::Error },
}

impl Failure for BrokerError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            BrokerError::NoJava | BrokerError::OldJava { .. } | BrokerError::UnknownJava { .. } => {
                JAVA_HINT.to_owned()
            }
            BrokerError::BadJavaHome(_) => "unset JAVA_HOME, or set it to a JDK".to_owned(),
            BrokerError::NoMaven => "run `sudo apt install maven`".to_owned(),
            BrokerError::Maven { log, .. } => format!("read the whole output in {}", log.display()),
            BrokerError::NoCache => "set ALMANAC_CACHE to a directory".to_owned(),
            BrokerError::ColonInCache(_) => {
                "set ALMANAC_CACHE to a directory without a colon in its path".to_owned()
            }
            BrokerError::PortInUse { option, .. } => {
                format!("name another port with {option}{}", free_port(option))
            }
            BrokerError::CannotListen { option, .. } => {
                format!("name an address of this machine with {option}")
            }
            BrokerError::NothingToAdvertise { hint, .. } => hint.clone(),
            BrokerError::BadListener { .. } => {
                "write it as in --set listeners=PLAINTEXT://127.0.0.1:9092,SSL://127.0.0.1:9093".to_owned()
            }
            BrokerError::NoClientListener { .. } => {
                "add one, as in --set listeners=PLAINTEXT://127.0.0.1:9092".to_owned()
            }
            BrokerError::NotInQuorum { .. } => "name one of its numbers with --node".to_owned(),
            BrokerError::DataInUse { .. } => {
                "stop that one, or name another directory with --data".to_owned()
            }
            BrokerError::NotOurs { .. } => {
                "name an empty directory with --data, or one that does not exist yet".to_owned()
            }
            BrokerError::OtherCluster { recorded, .. } => {
                format!("put back the {LOGS} of cluster {recorded}, or name another directory with --data")
            }
            BrokerError::NotThatCluster { found, .. } => {
                format!("name another directory with --data, or set --cluster-id {found}")
            }
            BrokerError::OtherNode { .. } => "name another directory with --data".to_owned(),
            BrokerError::Damaged { data, .. } => {
                format!("name another directory with --data, or remove {} to start over", data.display())
            }
            BrokerError::Ended { last_words, .. } | BrokerError::Exited { last_words, .. }
                if is_full(last_words) =>
            {
                "free space on the disk of --data, and start Kafka again".to_owned()
            }
            BrokerError::Exited { log, .. } | BrokerError::NotReady { log, .. } => {
                format!("read the whole log in {}", log.display())
            }
            BrokerError::Spawn { .. } => "install setpriv with `sudo apt install util-linux`".to_owned(),
            BrokerError::OwnProperty { .. }
            | BrokerError::Format { .. }
            | BrokerError::Ended { .. }
            | BrokerError::NoAnswer { .. }
            | BrokerError::Stop { .. }
            | BrokerError::Stopped
            | BrokerError::Io { .. } => return None,
        };
        Some(hint)
    }

    fn exit(&self) -> Exit {
        match self {
            BrokerError::NothingToAdvertise { .. }
            | BrokerError::BadListener { .. }
            | BrokerError::NoClientListener { .. }
            | BrokerError::NotInQuorum { .. }
            | BrokerError::OwnProperty { .. }
            | BrokerError::NotOurs { .. } => Exit::Usage,
            _ => Exit::Kafka,
        }
    }
}

/// The other nodes have to know a controller's port.
fn free_port(option: &str) -> &'static str {
    if option == "--quorum" { "" } else { ", or 0 for a free one" }
}

/// Whether Kafka's log says that its disk is full. It ends when it can't write.
fn is_full(last_words: &str) -> bool {
    ["No space left on device", "Disk quota exceeded"].iter().any(|words| last_words.contains(words))
}

fn because_full(last_words: &str) -> &'static str {
    if is_full(last_words) { " because its disk is full" } else { "" }
}

const JAVA_HINT: &str = "run `sudo apt install default-jdk-headless`, or on Ubuntu 22.04 `sudo apt install openjdk-17-jdk-headless`";

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
