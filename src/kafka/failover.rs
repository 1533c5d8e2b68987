//! Requests about topics that go to another broker when one does not answer.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::admin::Admin;
use super::config::Connection;
use super::error::KafkaError;
use super::timeouts::REQUEST_TIMEOUT;
use crate::failure::Failure;
use crate::stop::Stop;

/// How long the first broker may take to answer; each next one has that much longer.
const TIMEOUT_STEP: Duration = Duration::from_secs(2);
/// How long to repeat a request while some brokers answer others. Kafka replaces a leader or controller that hangs after
/// some 10 s.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes each attempt with a new client: librdkafka sends a request to one broker, and would choose the same one again.
pub struct FailoverAdmin {
    connection: Connection,
    admin: Admin,
    stop: Stop,
    has_warned: bool,
}

impl FailoverAdmin {
    pub fn new(connection: &Connection, stop: &Stop) -> Result<FailoverAdmin, KafkaError> {
        let admin = Admin::with_timeout(connection, TIMEOUT_STEP)?;
        Ok(FailoverAdmin { connection: connection.clone(), admin, stop: stop.clone(), has_warned: false })
    }

    /// The response, or why there was none until the deadline. `request` is given the time that it may take, and must be
    /// one that can be repeated.
    pub fn request<T>(
        &mut self,
        request: impl Fn(&Admin, Duration) -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let began = Instant::now();
        let mut timeout = TIMEOUT_STEP;
        let mut do_some_answer = false;
        loop {
            let error = match request(&self.admin, timeout) {
                Err(error) if error.is_transient() => error,
                response => return response,
            };
            do_some_answer |= self.admin.has_answered();
            let error = if do_some_answer { self.of_one_broker(error) } else { error };
            let deadline = if do_some_answer { FAILOVER_TIMEOUT } else { REQUEST_TIMEOUT };
            let left = deadline.saturating_sub(began.elapsed());
            if left.is_zero() || self.stop.is_asked() {
                return Err(error);
            }
            if do_some_answer && !self.has_warned {
                tracing::warn!(hint = error.hint(), "{error}; asking the others");
                self.has_warned = true;
            }
            timeout = (timeout + TIMEOUT_STEP).min(left.max(TIMEOUT_STEP));
            self.admin = Admin::with_timeout(&self.connection, timeout)?;
        }
    }

    /// The error of one broker, as others have answered.
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
