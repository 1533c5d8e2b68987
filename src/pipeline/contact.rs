//! Whether Kafka, and each partition's leader, answers, and what was reported of that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::kafka::{hint_for, hint_for_leader};
use crate::note;
use crate::status::Board;

/// How long Kafka may not answer before the user hears of it.
pub(super) const REPORT_AFTER: Duration = Duration::from_millis(900);

/// Whether any broker answers.
#[derive(Default)]
pub(super) struct Contact {
    who: &'static str,
    pub has_been: bool,
    away_since: Option<Instant>,
    is_reported: bool,
    is_group_reported: bool,
    /// Why none answers, once that was reported.
    obstacle: Option<String>,
    /// Partitions whose obstacle was reported.
    waiting: BTreeSet<i32>,
    board: Board,
}

impl Contact {
    pub(super) fn new(board: &Board) -> Contact {
        Contact { who: "Kafka", board: board.clone(), ..Contact::default() }
    }

    /// The same of an object store.
    pub(super) fn with_store() -> Contact {
        Contact { who: "the object store", ..Contact::default() }
    }

    pub(super) fn answered(&mut self) {
        self.has_been = true;
        self.away_since = None;
        self.set_obstacle(None);
        if std::mem::take(&mut self.is_reported) {
            note!("{} answers again", self.who);
        }
    }

    /// Warns once, and not of what is over in a moment.
    pub(super) fn failed(&mut self, asked: Instant, reason: impl FnOnce() -> String) {
        let since = *self.away_since.get_or_insert(asked);
        if since.elapsed() < REPORT_AFTER {
            return;
        }
        let obstacle = format!("{} does not answer ({})", self.who, reason());
        if !std::mem::replace(&mut self.is_reported, true) {
            tracing::warn!(hint = hint_for(&obstacle), "{obstacle}; waiting for it");
        }
        self.set_obstacle(Some(obstacle));
    }

    /// There has been no Kafka yet.
    pub(super) fn missing(&mut self, reason: &str) {
        self.set_obstacle(Some(format!("Kafka does not answer ({reason})")));
    }

    fn set_obstacle(&mut self, obstacle: Option<String>) {
        self.board.set_obstacle(obstacle.clone());
        self.obstacle = obstacle;
    }

    /// Why Kafka does not answer, if it does not for longer than a moment.
    pub(super) fn obstacle(&self) -> Option<&str> {
        self.obstacle.as_deref()
    }

    pub(super) fn is_answering(&self) -> bool {
        self.away_since.is_none()
    }

    /// Warns once of what somebody has to set right before the group can assign anything.
    pub(super) fn report_group(&mut self, group: &str, reason: &str) {
        if let Some(hint) = hint_for(reason)
            && !std::mem::replace(&mut self.is_group_reported, true)
        {
            tracing::warn!(hint, "group {group} assigns no partitions yet; waiting for it ({reason})");
        }
    }

    /// Warns once for each partition whose leader does not answer, in one line for each cause.
    pub(super) fn report_obstacles(&mut self, obstacles: &BTreeMap<i32, String>) {
        let mut causes: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (partition, cause) in obstacles {
            if self.waiting.insert(*partition) {
                causes.entry(cause).or_default().push(*partition);
            }
        }
        for (cause, partitions) in causes {
            tracing::warn!(hint = hint_for_leader(cause), "{cause}; waiting for it in {}", list(&partitions));
        }
        let over: Vec<i32> = self.waiting.extract_if(.., |number| !obstacles.contains_key(number)).collect();
        if !over.is_empty() {
            note!("{} continues to be read", list(&over));
        }
    }

    /// Of partitions that are another consumer's by now.
    pub(super) fn forget(&mut self, partitions: &[i32]) {
        self.waiting.retain(|partition| !partitions.contains(partition));
    }
}

/// As in `partitions 0, 2`.
pub(super) fn list(partitions: &[i32]) -> String {
    let numbers: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    format!("partition{} {}", if partitions.len() == 1 { "" } else { "s" }, numbers.join(", "))
}
