//! Whether Kafka answers.

use std::time::Duration;

use super::admin::{Admin, Leaders};
use super::config::Connection;
use super::error::KafkaError;

/// How long a broker may take to answer a check. So two failures are noticed within two seconds.
const CHECK_TIMEOUT: Duration = Duration::from_millis(600);
/// One broker of several may hang: the next check goes to another.
const FAILURES_MIN: u32 = 2;

/// Checks again and again whether Kafka answers, by a client of its own.
pub struct HealthCheck {
    admin: Admin,
    topic: String,
    failures: u32,
}

#[derive(Debug)]
pub enum Health {
    Answers(Leaders),
    /// One check failed, which may be by chance.
    Unsure,
    Silent(KafkaError),
}

impl HealthCheck {
    pub fn new(connection: &Connection, topic: &str) -> Result<HealthCheck, KafkaError> {
        let admin = Admin::with_timeout(connection, CHECK_TIMEOUT)?;
        Ok(HealthCheck { admin, topic: topic.to_owned(), failures: 0 })
    }

    pub fn check(&mut self) -> Health {
        match self.admin.leaders(&self.topic, CHECK_TIMEOUT) {
            Ok(leaders) => {
                self.failures = 0;
                Health::Answers(leaders)
            }
            Err(error) if error.is_transient() && self.failures + 1 < FAILURES_MIN => {
                self.failures += 1;
                Health::Unsure
            }
            Err(error) => Health::Silent(error),
        }
    }

    /// Whether the partition's leader answers.
    pub fn does_leader_answer(&self, partition: i32) -> bool {
        self.admin.watermarks(&self.topic, partition, CHECK_TIMEOUT).is_ok()
    }
}
