//! The files of the data directory.
//!
//! ```text
//! lock               held by the living broker, names its process; the first file
//! cluster-id         written next: marks the directory as ours, and names the cluster of the log
//! server.properties  log4j2.xml     written at each start
//! kafka.log          what Kafka logs, in at most three files   jvm.log   what the JVM itself prints
//! logs/              Kafka's own; named so once it is formatted
//! ```

pub const LOCK: &str = "lock";
pub const LOGS: &str = "logs";
pub const LOG4J: &str = "log4j2.xml";

/// The directory in which Kafka formats its log. An interrupted format leaves this, and is done again.
pub const FORMATTING: &str = "logs.formatting";
/// Kafka's own, in `logs/`: the cluster of a log.
pub const META: &str = "meta.properties";
pub const CLUSTER_ID: &str = "cluster-id";
pub const PROPERTIES: &str = "server.properties";
pub const KAFKA_LOG: &str = "kafka.log";
pub const JVM_LOG: &str = "jvm.log";
