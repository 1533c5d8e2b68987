//! The settings of a broker.

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use crate::arguments::HostPort;
use crate::failure::{Exit, Failure};

/// The option that names `listen`, unless a command has its own.
pub const LISTEN_OPTION: &str = "--listen";

/// The node that is a cluster of its own.
pub const ONLY_NODE: u32 = 1;

/// The settings of a broker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address for clients. Port 0 picks a free one. `listeners` in `set` replaces this and the next two.
    pub listen: HostPort,
    /// The address that those clients get from Kafka, if it is not `listen`.
    pub advertise: Option<HostPort>,
    /// A second listener, for clients that reach this address but not what is advertised at the first.
    pub local: Option<HostPort>,
    /// This node's place in a cluster of several; without it, it is a cluster of its own.
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

/// The values of environment variables.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub java_home: Option<PathBuf>,
    pub path: Option<OsString>,
    /// The directory of Apache Kafka's jars.
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

impl Settings {
    pub fn node(&self) -> u32 {
        self.member.as_ref().map_or(ONLY_NODE, |member| member.node)
    }

    pub fn cluster_id(&self) -> Option<&str> {
        self.member.as_ref().map(|member| member.cluster_id.as_str())
    }
}

impl FromStr for Voter {
    type Err = VoterError;

    fn from_str(text: &str) -> Result<Voter, VoterError> {
        let parse = || {
            let (node, controller) = text.split_once('@')?;
            let controller: HostPort = controller.parse().ok()?;
            // The other nodes also have to know the port.
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
        Some("write it as in 1@kafka-1:9093".to_owned())
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
