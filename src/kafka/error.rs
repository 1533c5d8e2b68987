use std::ffi::c_int;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;

/// What went wrong between almanac and the brokers.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    #[error(
        "no Kafka broker answers at {brokers}: {reason}\nhint: start one with 'almanac broker', or name yours with --brokers"
    )]
    Unreachable { brokers: String, reason: String },

    #[error(
        "not let in by Kafka at {brokers}: {reason}\nhint: check the -X properties: security.protocol, ssl.*, sasl.*"
    )]
    NotLetIn { brokers: String, reason: String },

    #[error("client property {key}: {reason}")]
    Property { key: String, reason: String },

    #[error("{action}: {reason}")]
    Client { action: String, code: Code, reason: String },
}

/// What went wrong with a connection, as the client tells it beside the failures of what was asked.
#[derive(Clone, Debug)]
pub(super) struct ConnectionError {
    code: Code,
    pub(super) reason: String,
}

impl ConnectionError {
    /// Nothing where it only says that there was another before it, which tells more.
    pub(super) fn new(code: Code, reason: &str) -> Option<Self> {
        (code != Code::AllBrokersDown).then(|| ConnectionError { code, reason: reason.to_owned() })
    }

    /// Whether it will be the same again until somebody changes a password or a certificate. A handshake that a
    /// broker's end cuts short has the same code as one that fails for a certificate.
    pub(super) fn is_lasting(&self) -> bool {
        match self.code {
            Code::Authentication => true,
            Code::SSL => ["certificate", "unknown ca"].iter().any(|cause| self.reason.contains(cause)),
            _ => false,
        }
    }

    /// The error of something that was not answered for this.
    pub(super) fn of_brokers(self, brokers: &str) -> KafkaError {
        let brokers = brokers.to_owned();
        match self.is_lasting() {
            true => KafkaError::NotLetIn { brokers, reason: self.reason },
            false => KafkaError::Unreachable { brokers, reason: self.reason },
        }
    }
}

/// The code of this number. A broker may send one that the client has no name for: newer than it, or damaged on the
/// way. The bindings' type can't hold that, so it must not get that far.
pub(super) fn code_of(number: c_int) -> Code {
    RDKafkaRespErr::try_from(number).map_or(Code::Unknown, Code::from)
}

impl KafkaError {
    pub(super) fn client(action: impl Into<String>, error: &ClientError) -> Self {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        KafkaError::Client { action: action.into(), code, reason: error.to_string() }
    }

    pub(super) fn code(action: impl Into<String>, code: Code) -> Self {
        KafkaError::Client { action: action.into(), code, reason: code.to_string() }
    }

    /// Records whose offsets lie past the partition's end.
    pub fn damaged(partition: i32, end: i64) -> Self {
        KafkaError::code(
            format!("partition {partition} ends at offset {end}, but gave later ones"),
            Code::BadMessage,
        )
    }

    /// A record that does not follow the protocol, in a batch whose checksum is right.
    #[cold]
    pub fn malformed(partition: i32, next_offset: i64) -> Self {
        KafkaError::code(
            format!("can't read partition {partition} from offset {next_offset} on"),
            Code::BadMessage,
        )
    }

    /// Whether waiting and asking again may help: the broker is away, or its metadata is on the move.
    pub fn is_transient(&self) -> bool {
        match self {
            KafkaError::Unreachable { .. } => true,
            KafkaError::Property { .. } | KafkaError::NotLetIn { .. } => false,
            KafkaError::Client { code, .. } => matches!(
                code,
                Code::BrokerTransportFailure
                    | Code::AllBrokersDown
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
                    // Who was paused for too long has lost its partitions; it joins again by itself.
                    | Code::PollExceeded
                    | Code::UnknownLeaderEpoch
                    | Code::FencedLeaderEpoch
                    | Code::OffsetNotAvailable
            ),
        }
    }

    /// Whether the leader epoch that the client goes by is not the broker's. The client keeps to the highest that it was
    /// ever told, so if that was damaged on the way, only another client can go on.
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

    /// Whether the log ends, or another one begins, below what has been read of it.
    pub fn is_truncation(&self) -> bool {
        matches!(self, KafkaError::Client { code: Code::LogTruncation, .. })
    }

    /// Whether the log read from may be another one by now, or cut, or its bytes damaged on the way: then only
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
