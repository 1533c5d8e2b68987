use std::ffi::c_int;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;

use super::address::is_loopback;
use super::diagnosis::{Cause, STORAGE_ERROR, hint_for};
use super::permission::{Operation, Permission};
use crate::failure::{Exit, Failure};

/// An error between almanac and the brokers.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    #[error("no Kafka broker answers at {brokers}: {reason}")]
    Unreachable { brokers: String, reason: String },

    #[error("Kafka at {brokers} refused the connection: {reason}")]
    AccessRefused { brokers: String, reason: String },

    #[error("client property {key}: {reason}")]
    Property { key: String, reason: String },

    /// A batch that can't be read, however often it is fetched. The next one begins at `next_offset`.
    #[error("can't read partition {partition} at offset {offset}: {reason}")]
    Damaged { partition: i32, offset: i64, next_offset: i64, reason: String },

    #[error("{action}: Kafka does not allow {permission}")]
    Denied { action: String, permission: Permission },

    #[error("{action}: {reason}")]
    Client { action: String, code: Code, reason: String },
}

impl Failure for KafkaError {
    fn hint(&self) -> Option<String> {
        match self {
            KafkaError::Unreachable { brokers, reason } => {
                Some(hint_for(reason).map_or_else(|| unreachable_hint(brokers), str::to_owned))
            }
            KafkaError::AccessRefused { reason, .. } => {
                let hint = hint_for(reason);
                Some(hint.unwrap_or("check the -X properties security.protocol, ssl.* and sasl.*").to_owned())
            }
            KafkaError::Client { reason, .. } => hint_for(reason).map(str::to_owned),
            KafkaError::Denied { permission, .. } => Some(permission.hint()),
            KafkaError::Property { key, .. } if key == "sasl.mechanism" => {
                Some("set -X sasl.mechanism to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512".to_owned())
            }
            KafkaError::Property { .. } | KafkaError::Damaged { .. } => None,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            KafkaError::Property { .. } => Exit::Usage,
            KafkaError::Unreachable { .. }
            | KafkaError::AccessRefused { .. }
            | KafkaError::Damaged { .. }
            | KafkaError::Denied { .. }
            | KafkaError::Client { .. } => Exit::Kafka,
        }
    }
}

/// A Kafka can be started on this machine only, at the very address.
fn unreachable_hint(brokers: &str) -> String {
    let start = match brokers {
        "localhost:9092" | "127.0.0.1:9092" => "start one with `almanac broker`".to_owned(),
        _ if is_loopback(brokers) && !brokers.contains([',', '/']) => {
            format!("start one with `almanac broker --listen {brokers}`")
        }
        _ => "check that Kafka runs there".to_owned(),
    };
    format!("{start}, or name yours with --brokers")
}

/// An error of a connection, which librdkafka reports apart from the failures of requests.
#[derive(Clone, Debug)]
pub(super) struct ConnectionError {
    pub(super) code: Code,
    pub(super) reason: String,
    cause: Option<Cause>,
}

impl ConnectionError {
    /// Nothing where it only says that there was another before it, which tells more.
    pub(super) fn new(code: Code, reason: &str) -> Option<Self> {
        let cause = Cause::of(reason);
        (code != Code::AllBrokersDown).then(|| ConnectionError { code, reason: plain_reason(reason), cause })
    }

    /// Whether it will be the same again until somebody changes a password, a certificate or a property.
    pub(super) fn is_lasting(&self) -> bool {
        self.code == Code::Authentication || self.cause.is_some_and(Cause::is_lasting)
    }

    /// Whether Kafka denied something to the client.
    pub(super) fn is_denial(&self) -> bool {
        DENIED.contains(&self.code)
    }

    /// The error of something that was not answered for this.
    pub(super) fn of_brokers(self, brokers: &str) -> KafkaError {
        let is_lasting = self.is_lasting();
        // A message names the only broker once.
        let reason = self.reason.strip_prefix(&format!("{brokers}: ")).unwrap_or(&self.reason).to_owned();
        let brokers = brokers.to_owned();
        match is_lasting {
            true => KafkaError::AccessRefused { brokers, reason },
            false => KafkaError::Unreachable { brokers, reason },
        }
    }
}

/// The codes by which Kafka denies a request.
const DENIED: [Code; 3] = [
    Code::TopicAuthorizationFailed,
    Code::GroupAuthorizationFailed,
    // A producer must have the right to write to some topic.
    Code::ClusterAuthorizationFailed,
];

/// The system's words without its number.
pub(super) fn plain_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error ").map_or(text.clone(), |(words, _)| words.to_owned())
}

/// The client's words without what only its makers need: threads, its names for brokers and addresses, states, places in
/// the source of its TLS library. The broker's address stays.
fn plain_reason(reason: &str) -> String {
    let mut text = reason.trim();
    if let Some((_, rest)) = text.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
        text = rest;
    }
    let (broker, mut text) = match text.split_once(": ") {
        Some((name, rest)) => match broker_address(name) {
            Some(address) => (Some(address), rest),
            None => (None, text),
        },
        None => (None, text),
    };
    text = without_notes(text);
    let text = text.split_once(", verify that ssl.ca.location").map_or(text, |(text, _)| text);
    let text = text.replace("ipv4#", "").replace("ipv6#", "");
    let is_silence = ["ApiVersionRequest failed: Local: Timed out", "Connection setup timed out"]
        .iter()
        .any(|words| text.starts_with(words));
    let text = match Cause::of(reason).and_then(Cause::words) {
        Some(words) => words.to_owned(),
        None if is_silence => "no answer".to_owned(),
        None => without_tls_source(&text),
    };
    // The group's coordinator is a broker whose address only the words have.
    let resolved = || reason.split_once("Failed to resolve '").and_then(|(_, rest)| rest.split_once('\''));
    let broker = broker.filter(|broker| !broker.is_empty()).or_else(|| Some(resolved()?.0));
    match broker {
        // Both name the same place.
        Some(broker) if !text.contains(broker) => format!("{broker}: {text}"),
        _ => text,
    }
}

/// `HOST:PORT` of the client's `ssl://HOST:PORT/1`, `HOST:PORT/bootstrap` or `GroupCoordinator/2`; of that last one nothing
/// is left.
fn broker_address(name: &str) -> Option<&str> {
    let name = name.split_once("://").map_or(name, |(_, name)| name);
    if name.is_empty() || name.contains(' ') {
        return None;
    }
    let (address, id) = name.rsplit_once('/').unwrap_or((name, "bootstrap"));
    let is_id = ["bootstrap", "internal", "learned"].contains(&id) || id.parse::<i32>().is_ok();
    let address = address.strip_suffix("/bootstrap").unwrap_or(address);
    let has_port = || address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let is_coordinator = ["GroupCoordinator", "TxnCoordinator", "Coordinator"].contains(&address);
    match is_id && (has_port() || is_coordinator) {
        true if is_coordinator => Some(""),
        true => Some(address),
        false => None,
    }
}

/// Without the notes in parentheses at the end that count milliseconds and repeats.
fn without_notes(mut text: &str) -> &str {
    const NOTES: [&str; 2] = [" (after ", " (average rtt "];
    while let Some(at) = NOTES.iter().filter_map(|note| text.rfind(note)).max()
        && text.ends_with(')')
    {
        text = &text[..at];
    }
    text.trim_end().trim_end_matches(": disconnect")
}

/// `ssl/file.c:12:function:error:0A000086:SSL routines::what is wrong` is what is wrong.
pub(super) fn without_tls_source(text: &str) -> String {
    let Some(at) = text.find("error:") else { return text.to_owned() };
    let Some((_, what)) = text[at..].split_once(" routines:") else { return text.to_owned() };
    let what = what.rsplit_once("::").map_or(what, |(_, what)| what).trim_start_matches(':');
    // The place in the source is one word, between what failed and `error:`.
    let before = text[..at].rfind(' ').map_or("", |space| &text[..=space]);
    format!("{before}{what}")
}

/// The code of this number. A broker may send one that the client has no name for: newer than it, or damaged on the
/// way. The bindings' type can't hold that, so it must not get that far.
pub(super) fn code_of(number: c_int) -> Code {
    match number {
        INCONSISTENT_TOPIC_ID | FETCH_SESSION_TOPIC_ID_ERROR => Code::UnknownTopicId,
        number => RDKafkaRespErr::try_from(number).map_or(Code::Unknown, Code::from),
    }
}

/// Plain words for a code that has something to tell.
fn words_of(code: Code) -> String {
    match code {
        Code::KafkaStorageError => STORAGE_ERROR.to_owned(),
        Code::UnknownTopic | Code::UnknownTopicOrPartition => "Kafka does not have the topic".to_owned(),
        code => code.to_string(),
    }
}

/// A broker that was paused may still have the former topic of this name. librdkafka has no names for these.
const INCONSISTENT_TOPIC_ID: c_int = 103;
const FETCH_SESSION_TOPIC_ID_ERROR: c_int = 106;

impl KafkaError {
    pub(super) fn client(action: impl Into<String>, error: &ClientError) -> Self {
        let code = match error {
            ClientError::AdminOp(code) => Some(*code),
            other => other.rdkafka_error_code(),
        };
        // The bindings' own words name the call that it was.
        let reason = code.map_or_else(|| error.to_string(), words_of);
        KafkaError::Client { action: action.into(), code: code.unwrap_or(Code::Unknown), reason }
    }

    pub(super) fn code(action: impl Into<String>, code: Code) -> Self {
        KafkaError::Client { action: action.into(), code, reason: words_of(code) }
    }

    /// The same, with other words for what failed.
    pub fn with_action(self, action: String) -> Self {
        match self {
            KafkaError::Client { code, reason, .. } => KafkaError::Client { action, code, reason },
            KafkaError::Denied { permission, .. } => KafkaError::Denied { action, permission },
            error => error,
        }
    }

    /// The same, of a request that needs this permission: if Kafka denied it, the error names it.
    pub(super) fn needing(self, permission: impl FnOnce() -> Permission) -> Self {
        match self {
            KafkaError::Client { action, code, .. } if DENIED.contains(&code) => {
                KafkaError::Denied { action, permission: permission() }
            }
            error => error,
        }
    }

    /// The same, of an operation on a topic.
    pub(super) fn needing_on(self, operation: Operation, topic: &str) -> Self {
        self.needing(|| Permission::on_topic(operation, topic))
    }

    /// Whether Kafka denies what only a member of a group needs.
    pub fn is_of_group(&self) -> bool {
        match self {
            KafkaError::Denied { permission, .. } => permission.is_of_group(),
            KafkaError::Client { code, .. } => *code == Code::GroupAuthorizationFailed,
            _ => false,
        }
    }

    /// The topic of this name is not the one that was read.
    pub(super) fn other_topic(topic: &str) -> Self {
        KafkaError::code(format!("topic {topic} has another id"), Code::UnknownTopicId)
    }

    /// The same, with what went wrong on a connection before.
    pub(super) fn with_cause(mut self, cause: Option<String>) -> Self {
        if let (KafkaError::Client { reason, .. }, Some(cause)) = (&mut self, cause) {
            *reason = format!("{reason}; {cause}");
        }
        self
    }

    /// Why it went wrong, without what did.
    pub fn reason(self) -> String {
        match self {
            KafkaError::Unreachable { reason, .. }
            | KafkaError::AccessRefused { reason, .. }
            | KafkaError::Damaged { reason, .. }
            | KafkaError::Property { reason, .. }
            | KafkaError::Client { reason, .. } => reason,
            KafkaError::Denied { permission, .. } => format!("Kafka does not allow {permission}"),
        }
    }

    /// Whether waiting and repeating the request may help: the broker is away, or leaders are moving.
    pub fn is_transient(&self) -> bool {
        match self {
            KafkaError::Unreachable { .. } => true,
            KafkaError::Property { .. }
            | KafkaError::AccessRefused { .. }
            | KafkaError::Damaged { .. }
            | KafkaError::Denied { .. } => false,
            KafkaError::Client { code, .. } => matches!(
                code,
                Code::BrokerTransportFailure
                    | Code::AllBrokersDown
                    // librdkafka has replaced its connection to a broker, with the request in it.
                    | Code::DestroyBroker
                    | Code::Resolve
                    | Code::OperationTimedOut
                    | Code::MessageTimedOut
                    | Code::RequestTimedOut
                    | Code::WaitingForCoordinator
                    | Code::TimedOutQueue
                    | Code::LeaderNotAvailable
                    | Code::NotLeaderForPartition
                    | Code::NetworkException
                    | Code::BrokerNotAvailable
                    | Code::ReplicaNotAvailable
                    | Code::CoordinatorLoadInProgress
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
                    | Code::NotController
                    | Code::KafkaStorageError
                    | Code::RebalanceInProgress
                    // A member that was paused for too long has lost its partitions; it joins again by itself.
                    | Code::PollExceeded
                    | Code::UnknownLeaderEpoch
                    | Code::FencedLeaderEpoch
                    | Code::OffsetNotAvailable
            ),
        }
    }

    /// Whether the client's leader epoch is not the broker's. The client keeps the highest that it ever received, so if
    /// that was damaged on the way, only another client can continue.
    pub fn is_of_epoch(&self) -> bool {
        matches!(self, KafkaError::Client { code: Code::UnknownLeaderEpoch | Code::FencedLeaderEpoch, .. })
    }

    /// Whether the broker does not know the topic or partition (any more).
    pub fn is_unknown_topic(&self) -> bool {
        matches!(
            self,
            KafkaError::Client {
                code: Code::UnknownTopicOrPartition
                    | Code::UnknownTopic
                    | Code::UnknownPartition
                    | Code::UnknownTopicId,
                ..
            }
        )
    }

    /// Whether the log does not hold the offset that was asked for.
    pub(super) fn is_out_of_range(&self) -> bool {
        matches!(self, KafkaError::Client { code: Code::OffsetOutOfRange, .. })
    }

    /// Whether the log ends, or another one begins, below what has been read of it.
    pub fn is_truncation(&self) -> bool {
        matches!(self, KafkaError::Client { code: Code::LogTruncation, .. })
    }

    /// Whether the log may be another one by now, or truncated, or its bytes damaged on the way: then only
    /// the checkpoint's own offset is to be trusted.
    pub fn is_log_doubtful(&self) -> bool {
        self.is_unknown_topic()
            || self.is_truncation()
            || matches!(
                self,
                KafkaError::Client {
                    code: Code::OffsetOutOfRange
                        | Code::AutoOffsetReset
                        | Code::NoOffset
                        | Code::BadMessage
                        | Code::InvalidMessage
                        // A batch of no format there is: the number that says so is not covered by the checksum.
                        | Code::NotImplemented,
                    ..
                }
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_no_noise_of_the_client() {
        for (said, plain) in [
            (
                "localhost:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT, 1 identical error(s) suppressed)",
                "localhost:9092: Connect to 127.0.0.1:9092 failed: Connection refused",
            ),
            (
                "127.0.0.1:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 12ms in state CONNECT)",
                "Connect to 127.0.0.1:9092 failed: Connection refused",
            ),
            (
                "[thrd:localhost:9092/bootstrap]: localhost:9092/bootstrap: Connect to ipv6#[::1]:9092 failed: Connection refused (after 0ms in state CONNECT)",
                "localhost:9092: Connect to [::1]:9092 failed: Connection refused",
            ),
            (
                "nohost:9092/bootstrap: Failed to resolve 'nohost:9092': Name or service not known (after 3ms in state CONNECT, 30 identical error(s) suppressed)",
                "Failed to resolve 'nohost:9092': Name or service not known",
            ),
            (
                "GroupCoordinator: Failed to resolve 'nohost:9092': Name or service not known (after 3ms in state CONNECT)",
                "nohost:9092: a broker advertises this host name, which does not resolve",
            ),
            (
                "kafka-2:9092/2: 1 request(s) timed out: disconnect (average rtt 1.234ms) (after 61021ms in state UP)",
                "kafka-2:9092: 1 request(s) timed out",
            ),
            (
                "kafka-2:9092/2: ApiVersionRequest failed: Local: Timed out: probably due to broker version < 0.10 (see api.version.request configuration) (after 10001ms in state APIVERSION_QUERY)",
                "kafka-2:9092: no answer",
            ),
            (
                "[thrd:127.0.0.1:9094/3]: 127.0.0.1:9094/3: Connection setup timed out in state APIVERSION_QUERY (after 1500ms in state APIVERSION_QUERY)",
                "127.0.0.1:9094: no answer",
            ),
            (
                "sasl_ssl://b.example:9093/bootstrap: SASL authentication error: Authentication failed: bad password (after 4ms in state AUTH_REQ, 2 identical error(s) suppressed)",
                "b.example:9093: SASL authentication error: Authentication failed: bad password",
            ),
            (
                "ssl://localhost:9093/bootstrap: SSL handshake failed: ssl/statem/statem_clnt.c:2091:tls_process_server_certificate:error:0A000086:SSL routines::certificate verify failed: broker certificate could not be verified (after 5ms in state SSL_HANDSHAKE)",
                "localhost:9093: SSL handshake failed: certificate verify failed: broker certificate could not be verified",
            ),
            ("GroupCoordinator/1: Disconnected (after 100ms in state UP)", "Disconnected"),
            ("Disconnected (by the broker)", "Disconnected (by the broker)"),
            ("", ""),
            ("é (after", "é (after"),
            ("nothing: to see", "nothing: to see"),
        ] {
            assert_eq!(plain_reason(said), plain);
        }
    }

    #[test]
    fn codes_keep_their_numbers_and_unknown_ones_have_that_of_unknown() {
        for number in -300..300 {
            let expected = match number {
                // Those of topic IDs that librdkafka does not know.
                103 | 106 => 100,
                number if RDKafkaRespErr::try_from(number).is_ok() => number,
                _ => -1,
            };
            assert_eq!(code_of(number) as c_int, expected);
        }
    }

    #[test]
    fn the_only_broker_is_named_once() {
        let said = "localhost:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)";
        let error = ConnectionError::new(Code::BrokerTransportFailure, said).unwrap();
        let of_one = error.clone().of_brokers("localhost:9092").to_string();
        assert!(of_one.starts_with("no Kafka broker answers at localhost:9092: Connect to 127"), "{of_one}");
        let of_two = error.of_brokers("localhost:9092,b:9092").to_string();
        assert!(of_two.contains("b:9092: localhost:9092: Connect to 127"), "{of_two}");
    }
}
