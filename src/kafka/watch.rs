use std::time::Duration;

use super::admin::{Admin, Leaders};
use super::config::Connection;
use super::error::KafkaError;

/// How long a broker may take to answer whoever watches. Two failures are told within two seconds.
const ANSWER_MAX: Duration = Duration::from_millis(600);
/// One broker of several may hang: the next question is asked of another.
const FAILURES: u32 = 2;

/// Asks again and again whether Kafka answers.
pub struct Watch {
    admin: Admin,
    topic: String,
    failures: u32,
}

/// What came of asking.
#[derive(Debug)]
pub enum Sight {
    Answers(Leaders),
    /// One question was not answered, which may be by chance.
    Unsure,
    Silent(KafkaError),
}

impl Watch {
    pub fn new(connection: &Connection, topic: &str) -> Result<Watch, KafkaError> {
        let admin = Admin::with_timeout(connection, ANSWER_MAX)?;
        Ok(Watch { admin, topic: topic.to_owned(), failures: 0 })
    }

    pub fn ask(&mut self) -> Sight {
        match self.admin.leaders(&self.topic, ANSWER_MAX) {
            Ok(leaders) => {
                self.failures = 0;
                Sight::Answers(leaders)
            }
            Err(error) if error.is_transient() && self.failures + 1 < FAILURES => {
                self.failures += 1;
                Sight::Unsure
            }
            Err(error) => Sight::Silent(error),
        }
    }

    /// Whether the partition's leader answers.
    pub fn has_leader(&self, partition: i32) -> bool {
        self.admin.watermarks(&self.topic, partition, ANSWER_MAX).is_ok()
    }
}
