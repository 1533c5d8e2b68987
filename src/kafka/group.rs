//! Membership in a consumer group. The group decides who reads which partition; no offset comes from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::assignment::{Position, RebalanceEvent, StartAt};
use super::error::KafkaError;
use super::native::ConsumerClient;
use super::permission::Permission;

/// How long a member may take to leave the group. While no broker answers, it does not get to it.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// How long a consumer outside of the group may take to publish its last offsets.
const PUBLISH_MAX: Duration = Duration::from_secs(1);

/// A member of the group once it has subscribed. Dropping it leaves the group.
pub(super) struct Group {
    client: Arc<ConsumerClient>,
    topic: String,
    name: String,
    is_member: bool,
    is_denied: bool,
    has_left: bool,
    /// The offsets that the group has been sent, by partition.
    published: BTreeMap<i32, i64>,
}

impl Group {
    pub(super) fn new(client: Arc<ConsumerClient>, topic: &str, name: &str) -> Group {
        Group {
            client,
            topic: topic.to_owned(),
            name: name.to_owned(),
            is_member: false,
            is_denied: false,
            has_left: false,
            published: BTreeMap::new(),
        }
    }

    /// Joins the group.
    pub(super) fn subscribe(&mut self) -> Result<(), KafkaError> {
        self.is_member = true;
        let action = || format!("can't subscribe to {}", self.topic);
        self.client.subscribe().map_err(|code| KafkaError::code(action(), code))
    }

    /// Notes that Kafka denies access to the group. That is an error for a member only, and only once: without the group, a
    /// consumer publishes no offsets.
    pub(super) fn deny(&mut self) -> Option<KafkaError> {
        if std::mem::replace(&mut self.is_denied, true) {
            return None;
        }
        let permission = Permission::of_member(&self.name);
        if !self.is_member {
            tracing::info!("offsets are not published: Kafka does not allow {permission}");
            return None;
        }
        Some(KafkaError::Denied { action: format!("can't join group {}", self.name), permission })
    }

    /// Leaves the group for good, once it was told the last offsets.
    pub(super) fn leave(&mut self) {
        if !std::mem::replace(&mut self.has_left, true) {
            self.client.close(if self.is_member { LEAVE_MAX } else { PUBLISH_MAX });
        }
    }

    /// The rebalances since the last call, in order.
    pub(super) fn take_rebalances(&mut self) -> Vec<RebalanceEvent> {
        let rebalances = self.client.events().take_rebalances();
        if !rebalances.is_empty() {
            // Another member may publish offsets of these partitions meanwhile.
            self.published.clear();
        }
        rebalances
    }

    /// Commits how far the checkpoints are, as partitions and next offsets. Only lag displays read this, so nothing waits
    /// for it or depends on it. A thread of the client makes the request. It repeats the request until the group's
    /// coordinator answers or a session timeout is over.
    pub(super) fn publish_offsets(&mut self, next_offsets: &[(i32, i64)]) {
        let is_new = |&&(partition, next_offset): &&(i32, i64)| {
            self.published.get(&partition).is_none_or(|published| *published != next_offset)
        };
        let new: Vec<(i32, i64)> = next_offsets.iter().filter(is_new).copied().collect();
        if new.is_empty() || self.is_denied {
            return;
        }
        let position = |&(partition, next_offset): &(i32, i64)| Position {
            partition,
            start: StartAt::Offset { next_offset, leader_epoch: None },
        };
        let positions: Vec<Position> = new.iter().map(position).collect();
        match self.client.commit(&positions) {
            Ok(()) => self.published.extend(new),
            Err(code) => tracing::debug!(%code, "offsets not published to the group"),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.leave();
    }
}
