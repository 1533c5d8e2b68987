use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::admin::Admin;
use super::config::Connection;
use super::error::KafkaError;
use crate::stop::Stop;

/// How long the first broker that is asked may take; each next one has that much longer.
const PATIENCE_STEP: Duration = Duration::from_secs(2);
/// How long it is asked while no broker at all answers,
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// and while some do. One that hangs is replaced as leader and controller after some 10 s.
const OTHERS_MAX: Duration = Duration::from_secs(60);

/// Asks about topics, and asks another broker when one does not answer: by a new client, which knows nothing of the former's
/// choice.
pub struct Asker {
    connection: Connection,
    admin: Admin,
    stop: Stop,
    has_warned: bool,
}

impl Asker {
    pub fn new(connection: &Connection, stop: &Stop) -> Result<Asker, KafkaError> {
        let admin = Admin::with_timeout(connection, PATIENCE_STEP)?;
        Ok(Asker { connection: connection.clone(), admin, stop: stop.clone(), has_warned: false })
    }

    /// The answer, or why there was none until the deadline. `question` must be one that can be asked twice; it is given
    /// the time that it may take.
    pub fn ask<T>(
        &mut self,
        question: impl Fn(&Admin, Duration) -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let began = Instant::now();
        let mut patience = PATIENCE_STEP;
        let mut has_heard = false;
        loop {
            let error = match question(&self.admin, patience) {
                Err(error) if error.is_transient() => error,
                answer => return answer,
            };
            has_heard |= self.admin.has_heard();
            let error = if has_heard { self.of_one_broker(error) } else { error };
            let deadline = if has_heard { OTHERS_MAX } else { ANSWER_MAX };
            let left = deadline.saturating_sub(began.elapsed());
            if left.is_zero() || self.stop.is_asked() {
                return Err(error);
            }
            if has_heard && !self.has_warned {
                tracing::warn!("{error}; asking the others");
                self.has_warned = true;
            }
            patience = (patience + PATIENCE_STEP).min(left.max(PATIENCE_STEP));
            self.admin = Admin::with_timeout(&self.connection, patience)?;
        }
    }

    /// Others have answered, so it is not Kafka as a whole.
    fn of_one_broker(&self, error: KafkaError) -> KafkaError {
        let reason = match (self.admin.last_error(), error) {
            // Only those that did not answer.
            (_, KafkaError::Unreachable { brokers, reason }) if brokers != self.connection.brokers => {
                match reason.contains(&brokers) || brokers.contains(',') {
                    true => reason,
                    false => format!("{brokers}: {reason}"),
                }
            }
            (Some(reason), _) => reason,
            (None, KafkaError::Unreachable { reason, .. } | KafkaError::Client { reason, .. }) => reason,
            (None, error) => return error,
        };
        let action = format!("a Kafka broker of {} does not answer", self.connection.brokers);
        KafkaError::Client { action, code: Code::OperationTimedOut, reason }
    }
}
