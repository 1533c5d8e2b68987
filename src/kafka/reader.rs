//! The one place that says who reads a partition: the [`Fetcher`], over almanac's own connections, or librdkafka.
//!
//! librdkafka reads all partitions if only it can reach the brokers (before Kafka 3.1, or because of a property). It also
//! reads on from a batch in a format before Kafka 0.11.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::assignment::{Position, StartAt};
use super::error::KafkaError;
use super::fetcher::Fetcher;
use super::native::ConsumerClient;
use super::received::{Received, denial};

/// How long librdkafka may take to start reading a partition.
const START_MAX: Duration = Duration::from_secs(5);
const SEEK_MAX: Duration = Duration::from_secs(1);
const SEEK_AGAIN_AFTER: Duration = Duration::from_millis(2);

pub(super) struct Reader {
    client: Arc<ConsumerClient>,
    topic: String,
    group: String,
    /// Whether Kafka has denied the group, which only a member needs.
    is_group_denied: bool,
    /// Nothing if only librdkafka can reach the brokers.
    fetcher: Option<Fetcher>,
}

impl Reader {
    pub(super) fn new(
        client: Arc<ConsumerClient>,
        topic: &str,
        group: &str,
        fetcher: Option<Fetcher>,
    ) -> Reader {
        Reader { client, topic: topic.to_owned(), group: group.to_owned(), is_group_denied: false, fetcher }
    }

    /// Reads these partitions as well. librdkafka takes a call of this for the answer to an assignment by the group,
    /// whoever reads.
    pub(super) fn add(&mut self, positions: &[Position]) -> Result<(), KafkaError> {
        match &mut self.fetcher {
            None => self.add_to_client(positions),
            Some(fetcher) => {
                positions.iter().for_each(|position| fetcher.add(*position));
                self.add_to_client(&[])
            }
        }
    }

    /// Stops reading these partitions. librdkafka takes a call of this for the answer to a revocation by the group.
    pub(super) fn remove(&mut self, partitions: &[i32]) -> Result<(), KafkaError> {
        let mut partitions = partitions.to_vec();
        if let Some(fetcher) = &mut self.fetcher {
            partitions.retain(|&partition| !fetcher.remove(partition));
        }
        let action = || format!("can't remove partitions of {}", self.topic);
        self.client.unassign(&partitions).map_err(|code| KafkaError::code(action(), code))
    }

    /// Waits up to `timeout` for something to come, then takes what is there: one response, or from librdkafka as many
    /// messages as `received` has room for.
    ///
    /// Messages are taken one by one. The library's call for a batch (`rd_kafka_consume_batch_queue`) confuses the
    /// offset that comes with the end of a partition with that of a record. After a rebalance it would resume one past
    /// it, and leave out the record that is there by then.
    pub(super) fn poll(&mut self, received: &mut Received, timeout: Duration) {
        received.clear();
        if self.fetcher.as_ref().is_none_or(Fetcher::is_idle) {
            return self.poll_client(received, timeout);
        }
        // Rebalances and errors come through the client, whoever reads.
        self.poll_client(received, Duration::ZERO);
        let is_quiet = !received.has_messages() && !self.client.events().has_rebalances();
        let Some(fetcher) = &mut self.fetcher else { return };
        fetcher.poll(received.response(), if is_quiet { timeout } else { Duration::ZERO });
        let handed_over = fetcher.take_handed_over();
        if !handed_over.is_empty()
            && let Err(error) = self.add_to_client(&handed_over)
        {
            received.response().push_failure(None, KafkaError::code(error.to_string(), Code::NoOffset));
        }
    }

    fn poll_client(&mut self, received: &mut Received, mut timeout: Duration) {
        while received.has_room()
            && let Some(message) = self.client.poll(timeout)
        {
            match denial(&message, &self.topic, &self.group) {
                Some(error) if error.is_of_group() => self.is_group_denied = true,
                Some(error) => received.push_failure(error),
                None => received.push(message),
            }
            timeout = Duration::ZERO;
        }
    }

    /// Whether Kafka has denied access to the group. librdkafka asks for its coordinator also if nobody joins it.
    pub(super) fn is_group_denied(&self) -> bool {
        self.is_group_denied
    }

    fn add_to_client(&self, positions: &[Position]) -> Result<(), KafkaError> {
        let action = || format!("can't add partitions of {}", self.topic);
        self.client.assign(positions).map_err(|code| KafkaError::code(action(), code))?;
        self.validate(positions)
    }

    /// Has librdkafka ask the broker whether the log is still the one that was read, by its leader epochs.
    ///
    /// An assignment does so only if the client hears of a new leader epoch after it. Otherwise a log that was truncated
    /// and grew again would be read on. A seek to the same place always does so.
    fn validate(&self, positions: &[Position]) -> Result<(), KafkaError> {
        let has_epoch = |position: &&Position| matches!(position.start, StartAt::Offset { next_offset, leader_epoch: Some(_) } if next_offset > 0);
        let mut unasked: Vec<Position> = positions.iter().filter(has_epoch).copied().collect();
        let deadline = Instant::now() + START_MAX;
        loop {
            unasked = self.client.seek(&unasked, SEEK_MAX);
            if unasked.is_empty() {
                return Ok(());
            }
            // The client starts to read in a thread of its own, and refuses to seek before that.
            if Instant::now() > deadline {
                let action = format!("can't start reading {}", self.topic);
                return Err(KafkaError::code(action, Code::OperationTimedOut));
            }
            std::thread::sleep(SEEK_AGAIN_AFTER);
        }
    }

    /// The high watermark that the last fetch brought.
    pub(super) fn high_watermark(&self, partition: i32) -> Option<i64> {
        match self.fetcher.as_ref().and_then(|fetcher| fetcher.reading(partition)) {
            Some(reading) => reading.high_watermark,
            None => self.client.high_watermark(partition),
        }
    }

    /// How far committed records can be read, by the last fetch; unknown where librdkafka reads.
    pub(super) fn last_stable_offset(&self, partition: i32) -> Option<i64> {
        self.fetcher.as_ref()?.reading(partition)?.last_stable_offset
    }

    /// Why nothing comes of a partition, if that lasts longer than a moment; unknown where librdkafka reads.
    pub(super) fn obstacle(&self, partition: i32) -> Option<&str> {
        self.fetcher.as_ref()?.reading(partition)?.obstacle()
    }

    /// The last error of a connection, once.
    pub(super) fn take_error_text(&mut self) -> Option<String> {
        let of_client = self.client.events().take_error(|_| true).map(|error| error.reason);
        self.fetcher.as_mut().and_then(Fetcher::take_error_text).or(of_client)
    }

    /// How many errors of connections there were since the last call.
    pub(super) fn take_error_count(&mut self) -> u64 {
        let of_fetcher = self.fetcher.as_mut().map_or(0, Fetcher::take_error_count);
        of_fetcher + self.client.events().take_error_count()
    }
}
