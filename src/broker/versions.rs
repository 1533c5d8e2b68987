//! The versions of Kafka and Java.

/// Pins Kafka and all that it needs.
pub const POM: &str = include_str!("pom.xml");

/// The oldest Java that Apache Kafka 4's broker runs on.
pub const JAVA_MIN: u32 = 17;

/// The version of Apache Kafka that is run.
pub fn kafka_version() -> &'static str {
    let after = POM.split_once("<kafka.version>").map_or("", |(_, after)| after);
    after.split_once("</").map_or("", |(version, _)| version)
}
