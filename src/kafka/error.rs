use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

/// What went wrong between almanac and the brokers.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    #[error(
        "no Kafka broker answers at {brokers}: {reason}\nhint: start one with 'almanac broker', or name yours with --brokers"
    )]
    Unreachable { brokers: String, reason: String },

    #[error("client property {key}: {reason}")]
    Property { key: String, reason: String },

    #[error("{action}: {reason}")]
    Client { action: String, code: Code, reason: String },
}

impl KafkaError {
    pub(super) fn client(action: impl Into<String>, error: &ClientError) -> Self {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        KafkaError::Client { action: action.into(), code, reason: error.to_string() }
    }

    pub(super) fn code(action: impl Into<String>, code: Code) -> Self {
        KafkaError::Client { action: action.into(), code, reason: code.to_string() }
    }

    /// Whether waiting and asking again may help: the broker is away, or its metadata is on the move.
    pub fn is_transient(&self) -> bool {
        match self {
            KafkaError::Unreachable { .. } => true,
            KafkaError::Property { .. } => false,
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
                    | Code::UnknownLeaderEpoch
                    | Code::FencedLeaderEpoch
                    | Code::OffsetNotAvailable
            ),
        }
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
                        | Code::InvalidMessage,
                    ..
                }
            )
    }
}
