use std::ffi::c_int;
use std::sync::Mutex;

use almanac_core::protocol::wire::Limits;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

use super::address::is_loopback;
use super::diagnosis::Cause;
use super::error::{ConnectionError, KafkaError, plain_error, without_tls_source};
pub use crate::arguments::Property;
use crate::lock::locked;

/// The addresses of the brokers, and the properties of the connections to them.
#[derive(Clone, Debug)]
pub struct Connection {
    /// `HOST:PORT[,HOST:PORT…]`
    pub brokers: String,
    pub properties: Vec<Property>,
}

/// Properties that carry the invariant, or that a flag sets, with the reason that is given for the refusal.
const REFUSED: &[(&str, &str)] = &[
    ("bootstrap.servers", "use --brokers"),
    ("metadata.broker.list", "use --brokers"),
    ("group.id", "use --group"),
    ("group.protocol", "handing over partitions is built on the classic protocol"),
    ("partition.assignment.strategy", "handing over partitions is built on the cooperative one"),
    ("enable.auto.commit", "the checkpoint is the only commit"),
    ("auto.commit.enable", "the checkpoint is the only commit"),
    ("auto.commit.interval.ms", "the checkpoint is the only commit"),
    ("enable.auto.offset.store", "the checkpoint is the only commit"),
    ("auto.offset.reset", "an offset outside the log must be an error, not a jump"),
    ("check.crcs", "flipped bytes must be caught"),
    ("isolation.level", "only committed records count"),
    ("allow.auto.create.topics", "no topic may come into being by accident"),
    ("enable.partition.eof", "the end of a partition moves the offset"),
    ("enable.idempotence", "retries must neither reorder nor repeat"),
    ("enable.gapless.guarantee", "retries must neither reorder nor repeat"),
    ("transactional.id", "the producer does not use transactions"),
    ("acks", "a report counts as sent when all in-sync replicas have it"),
    ("request.required.acks", "a report counts as sent when all in-sync replicas have it"),
    ("retries", "retries must neither reorder nor repeat"),
    ("message.send.max.retries", "retries must neither reorder nor repeat"),
    ("max.in.flight", "retries must neither lose nor repeat"),
    ("max.in.flight.requests.per.connection", "retries must neither lose nor repeat"),
    ("partitioner", "a month must lie in the same partition whoever wrote it"),
    ("test.mock.num.brokers", "almanac speaks to a real Kafka"),
    ("plugin.library.paths", "no foreign code is loaded"),
];

/// librdkafka needs a group even to read without one. Nobody joins it, nothing is committed to it, and Kafka may deny it.
pub(super) const READER_GROUP: &str = "almanac-reader";

impl Connection {
    /// Refuses properties that are unknown, badly set, or not the user's to set.
    pub fn check(&self) -> Result<(), KafkaError> {
        for Property { key, .. } in &self.properties {
            if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| refused == key) {
                return Err(KafkaError::Property {
                    key: key.clone(),
                    reason: format!("can't be set: {reason}"),
                });
            }
        }
        self.client().create_native_config().map_err(|error| property_error(&error))?;
        self.properties.iter().try_for_each(check_file)
    }

    /// Whether every broker named is this machine's own.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.brokers)
    }

    /// The value of the last of the properties with one of these names.
    fn property(&self, keys: &[&str]) -> Option<&str> {
        let property = self.properties.iter().rev().find(|property| keys.contains(&&*property.key));
        property.map(|property| property.value.as_str())
    }

    pub(super) fn client_id(&self) -> &str {
        self.property(&["client.id"]).unwrap_or("almanac")
    }

    /// The value of a property that is a number.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.property(&[key])?.parse().ok()
    }

    pub(super) fn fetch_limits(&self) -> Limits {
        let number = |keys: &[&str], default: i32| {
            let set = self.property(keys).and_then(|value| value.parse().ok());
            set.filter(|number| *number > 0).unwrap_or(default)
        };
        Limits {
            // As long a partition that is added waits for the response to a fetch of the others.
            wait_ms: number(&["fetch.wait.max.ms"], 100),
            min_bytes: number(&["fetch.min.bytes"], 1),
            bytes: number(&["fetch.max.bytes"], 4 << 20),
            partition_bytes: number(&["max.partition.fetch.bytes", "fetch.message.max.bytes"], 1 << 20),
        }
    }

    /// The configuration that all clients have in common.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.log_level = RDKafkaLogLevel::Info;
        config
            .set("client.id", "almanac")
            .set("bootstrap.servers", &self.brokers)
            // A broker that comes back is found again within a second, not within ten.
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "10000")
            // A topic deleted and created again must be believed at once, not after 30 s of cached metadata.
            .set("topic.metadata.propagation.max.ms", "1000")
            // librdkafka's default for a consumer, but not for a producer.
            .set("allow.auto.create.topics", "false");
        for Property { key, value } in &self.properties {
            config.set(key, value);
        }
        config
    }

    /// A consumer whose offsets are the checkpoints'.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            // The checkpoint is the only commit: a committed offset would be a second truth.
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Default `largest`: it would skip to the end, silently, when the offset is outside the log.
            .set("auto.offset.reset", "error")
            // Default false: flipped bytes would be counted.
            .set("check.crcs", "true")
            // Aborted records are not part of the log as the invariant reads it.
            .set("isolation.level", "read_committed")
            // The end of a partition may lie past its last record, and the offset with it.
            .set("enable.partition.eof", "true")
            // Members that go on keep reading while others join and leave.
            .set("partition.assignment.strategy", "cooperative-sticky");
        self.set_defaults(&mut config);
        config
    }

    /// Defaults that the user may change. Memory does not grow with the log: the limits hold per partition, and each
    /// queued record costs some 300 bytes more than its own. The client takes a fetch whole, so it is small: compressed,
    /// it may hold ten times as many records as it looks.
    fn set_defaults(&self, config: &mut ClientConfig) {
        for (key, value) in [
            // A killed member's partitions go to another after 10 s, not 45 s.
            ("session.timeout.ms", "10000"),
            // Default 3000 ms: so long another member may not know that it has to join again.
            ("heartbeat.interval.ms", "500"),
            ("queued.min.messages", "30000"),
            ("queued.max.messages.kbytes", "16384"),
            ("fetch.message.max.bytes", "262144"),
            // Default 1000 ms: a full queue would stop its partition for a second.
            ("fetch.queue.backoff.ms", "2"),
            // Default 500 ms: so long a partition that is added waits for the answer to a fetch of the others.
            ("fetch.wait.max.ms", "100"),
        ] {
            let is_set = |Property { key: set, .. }: &Property| {
                // Its other name; which of both the client would take last is left to chance.
                set == key || (key == "fetch.message.max.bytes" && set == "max.partition.fetch.bytes")
            };
            if !self.properties.iter().any(is_set) {
                config.set(key, value);
            }
        }
    }

    /// A consumer that watches: it starts at the end, and leaves no trace in its group.
    pub(super) fn tailing_consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer(group);
        config.set("auto.offset.reset", "latest").set("enable.partition.eof", "false");
        config
    }

    /// A consumer that reads what is there, and is done at the end of it.
    pub(super) fn bounded_consumer(&self) -> ClientConfig {
        let mut config = self.consumer(READER_GROUP);
        // Default 500 ms: so long a broker waits for more records at the end before it says that this is the end.
        config.set("fetch.wait.max.ms", "1");
        config
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            // Default false: a retry could reorder or repeat records.
            .set("enable.idempotence", "true")
            // Default 5: when a broker refuses a batch, those behind it are already in flight. Of a producer that is
            // new to it, a broker takes the next one for the first, and the client the refused one for delivered: it
            // would be lost. Else the client numbers all again, and sends twice what arrived without a response.
            .set("max.in.flight", "1")
            .set("acks", "all")
            .set("retries", "10")
            // Default CRC32: months would lie elsewhere than where Java and Python clients put them.
            .set("partitioner", "murmur2_random");
        // Defaults 60 s and 30 s: so long would days wait for a broker that hangs, although others lead its partitions by then.
        for key in ["socket.timeout.ms", "request.timeout.ms"] {
            if config.get(key).is_none() {
                config.set(key, "10000");
            }
        }
        config
    }
}

/// The properties that name a file or a directory.
const FILES: [&str; 5] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.crl.location",
    "ssl.key.location",
    "ssl.keystore.location",
];

/// The client's own words for a file that is not there do not name it.
fn check_file(Property { key, value }: &Property) -> Result<(), KafkaError> {
    // librdkafka's word for the certificates of the system.
    if !FILES.contains(&key.as_str()) || value.is_empty() || value == "probe" {
        return Ok(());
    }
    std::fs::metadata(value).map(drop).map_err(|error| KafkaError::Property {
        key: key.clone(),
        reason: format!("can't read {value}: {}", plain_error(&error)),
    })
}

pub(super) fn property_error(error: &ClientError) -> KafkaError {
    match error {
        ClientError::ClientConfig(_, reason, key, _) => {
            KafkaError::Property { key: key.clone(), reason: reason.clone() }
        }
        ClientError::ClientCreation(reason) => creation_error(reason),
        other => KafkaError::client("can't make a Kafka client", other),
    }
}

/// librdkafka's words begin with the property, if it is one: `ssl.key.location failed: error:…`.
pub(super) fn creation_error(reason: &str) -> KafkaError {
    if reason.starts_with("No provider for SASL mechanism GSSAPI") {
        let reason = "it is not set, and GSSAPI, the default of librdkafka, is not built in".to_owned();
        return KafkaError::Property { key: "sasl.mechanism".to_owned(), reason };
    }
    let (key, rest) = match reason.split_once(" failed: ") {
        Some((key, rest)) if key.contains('.') && !key.contains(' ') => (key, rest),
        _ => ("-X", reason),
    };
    KafkaError::Property { key: key.to_owned(), reason: without_tls_source(rest) }
}

/// Passes librdkafka's log on to ours, and keeps the last error of a connection.
#[derive(Default)]
pub(super) struct Context {
    last_error: Mutex<Option<ConnectionError>>,
}

impl Context {
    pub(super) fn last_error(&self) -> Option<ConnectionError> {
        locked(&self.last_error).clone()
    }

    /// If a connection can't be made in time, or is closed at once, the client only logs a line.
    pub(super) fn note_failure(&self, level: c_int, facility: &str, message: &str) {
        let is_warning = level == RDKafkaLogLevel::Warning as c_int;
        if facility == "FAIL" && (is_warning || Cause::of(message).is_some()) {
            self.note(Code::BrokerTransportFailure, message);
        }
    }

    fn note(&self, code: Code, reason: &str) {
        if let Some(error) = ConnectionError::new(code, reason) {
            *locked(&self.last_error) = Some(error);
        }
    }

    /// A response ends whatever went wrong before it.
    pub(super) fn forget_error(&self) {
        *locked(&self.last_error) = None;
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level as c_int, facility, message);
        self.note_failure(level as c_int, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        self.note(error.rdkafka_error_code().unwrap_or(Code::Unknown), reason);
    }
}

/// librdkafka reports each failed connection. Whoever waits for a connection tells the user what matters.
pub(super) fn log(level: c_int, facility: &str, message: &str) {
    match level >= RDKafkaLogLevel::Debug as c_int {
        true => tracing::trace!(facility, "{message}"),
        false => tracing::debug!(facility, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(brokers: &str, properties: &[&str]) -> Connection {
        let properties = properties.iter().map(|text| text.parse().unwrap()).collect();
        Connection { brokers: brokers.to_owned(), properties }
    }

    #[test]
    fn what_the_user_sets_is_not_overridden_under_another_name() {
        let config = connection("localhost:9092", &["max.partition.fetch.bytes=65536"]).consumer("group");
        assert_eq!(config.get("max.partition.fetch.bytes"), Some("65536"));
        assert_eq!(config.get("fetch.message.max.bytes"), None);
        let config = connection("localhost:9092", &["session.timeout.ms=30000"]).consumer("group");
        assert_eq!(config.get("session.timeout.ms"), Some("30000"));
        assert!(config.get("fetch.message.max.bytes").is_some());
    }

    #[test]
    fn no_name_of_a_property_that_carries_the_invariant_is_left_out() {
        for (refused, _) in REFUSED {
            let error = connection("localhost:9092", &[&format!("{refused}=1")]).check().unwrap_err();
            assert!(error.to_string().contains("can't be set"), "{error}");
        }
        // Whatever is set for a consumer's or producer's correctness can't be set otherwise.
        let carriers = ["enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "check.crcs"];
        let others = ["isolation.level", "enable.partition.eof", "allow.auto.create.topics"];
        let producers =
            ["enable.idempotence", "acks", "retries", "partitioner", "partition.assignment.strategy"];
        for key in [&carriers[..], &others, &producers].concat() {
            assert!(REFUSED.iter().any(|(refused, _)| *refused == key), "{key}");
        }
    }
}
