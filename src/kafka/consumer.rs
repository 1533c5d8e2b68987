//! A consumer of one topic: a member of a group, if it subscribes, and a reader of partitions.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;

use super::assignment::{Position, RebalanceEvent};
use super::config::{Connection, READER_GROUP};
use super::error::KafkaError;
use super::fetcher::Fetcher;
use super::group::Group;
use super::native::ConsumerClient;
use super::reader::Reader;
use super::received::Received;

/// The `Group` says which partitions to read, the `Reader` reads them, and [`Received`] has what it brings. The
/// caller stands between the two: it decides from which offset to read what the group assigns.
pub struct Consumer {
    group: Group,
    reader: Reader,
    client: Arc<ConsumerClient>,
    brokers: String,
}

impl Consumer {
    /// A consumer whose offsets are given by the caller, at every assignment: those of the topic that has this id, if
    /// it is known.
    pub fn new(
        connection: &Connection,
        group: &str,
        topic: &str,
        topic_id: Option<&str>,
    ) -> Result<Self, KafkaError> {
        let fetcher = || Fetcher::start(connection, topic, topic_id);
        Self::with_fetcher(connection, &connection.consumer(group), (topic, group), fetcher)
    }

    /// A consumer that starts at the end of the log, and reads another topic of this name from its start.
    pub fn tailing(connection: &Connection, group: &str, topic: &str) -> Result<Self, KafkaError> {
        let fetcher = || Ok(Fetcher::start(connection, topic, None)?.map(Fetcher::following));
        Self::with_fetcher(connection, &connection.tailing_consumer(group), (topic, group), fetcher)
    }

    /// A consumer that reads what is there now.
    pub fn bounded(connection: &Connection, topic: &str) -> Result<Self, KafkaError> {
        let fetcher = || Ok(Fetcher::start(connection, topic, None)?.map(Fetcher::bounded));
        Self::with_fetcher(connection, &connection.bounded_consumer(), (topic, READER_GROUP), fetcher)
    }

    fn with_fetcher(
        connection: &Connection,
        config: &ClientConfig,
        (topic, group): (&str, &str),
        fetcher: impl FnOnce() -> Result<Option<Fetcher>, KafkaError>,
    ) -> Result<Self, KafkaError> {
        let client = Arc::new(ConsumerClient::new(config, topic)?);
        let reader = Reader::new(Arc::clone(&client), topic, group, fetcher()?);
        let group = Group::new(Arc::clone(&client), topic, group);
        Ok(Consumer { group, reader, client, brokers: connection.brokers.clone() })
    }

    /// Joins the group, which from then on says by rebalances which partitions to read.
    pub fn subscribe(&mut self) -> Result<(), KafkaError> {
        self.group.subscribe()
    }

    /// Leaves the group, so that its other members do not wait for this consumer. Nothing is read after that.
    pub fn leave(&mut self) {
        self.group.leave();
    }

    /// The rebalances since the last call, in order.
    pub fn take_rebalances(&mut self) -> Vec<RebalanceEvent> {
        self.group.take_rebalances()
    }

    /// Commits how far the checkpoints are, as partitions and next offsets. Only lag displays read this: it waits for
    /// nothing, and nothing depends on it.
    pub fn publish_offsets(&mut self, next_offsets: &[(i32, i64)]) {
        self.group.publish_offsets(next_offsets);
    }

    /// Reads these partitions as well, and so answers an assignment by the group.
    pub fn add(&mut self, positions: &[Position]) -> Result<(), KafkaError> {
        self.reader.add(positions)
    }

    /// Stops reading these partitions, and so answers a revocation by the group.
    pub fn remove(&mut self, partitions: &[i32]) -> Result<(), KafkaError> {
        self.reader.remove(partitions)
    }

    /// Waits up to `timeout` for something to come, and puts it in `received` in place of what was there.
    pub fn poll(&mut self, received: &mut Received, timeout: Duration) {
        self.reader.poll(received, timeout);
        if self.reader.is_group_denied()
            && let Some(error) = self.group.deny()
        {
            received.push_failure(error);
        }
    }

    /// The high watermark that the last fetch brought.
    pub fn high_watermark(&self, partition: i32) -> Option<i64> {
        self.reader.high_watermark(partition)
    }

    /// How far committed records can be read, by the last fetch: below the high watermark while a transaction is open.
    pub fn last_stable_offset(&self, partition: i32) -> Option<i64> {
        self.reader.last_stable_offset(partition)
    }

    /// Why nothing comes of a partition, if the consumer knows a cause that lasts longer than a moment.
    pub fn obstacle(&self, partition: i32) -> Option<&str> {
        self.reader.obstacle(partition)
    }

    /// The last error of a connection, once.
    pub fn take_error_text(&mut self) -> Option<String> {
        self.reader.take_error_text()
    }

    /// How many errors of connections there were since the last call.
    pub fn take_error_count(&mut self) -> u64 {
        self.reader.take_error_count()
    }

    /// An error if the brokers refuse the client, which waiting does not change.
    pub fn check_access(&self) -> Result<(), KafkaError> {
        match self.client.events().take_error(|error| error.is_lasting()) {
            Some(error) => Err(error.of_brokers(&self.brokers)),
            None => Ok(()),
        }
    }
}
