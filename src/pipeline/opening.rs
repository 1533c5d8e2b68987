//! A partition before it is open: awaited from its former owner, then claimed while the brokers are asked what its log is.

use std::time::{Duration, Instant};

use super::contact::Contact;
use super::decision::Facts;
use super::facts::Question;
use super::progress::{Moment, Obstacle, Progress, Seen, Tally};
use super::settings::Settings;
use crate::kafka::KafkaError;
use crate::store::{Claim, Loaded, StoreError, Version};

/// How soon the brokers are asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How long a leader may not answer before the user hears of it.
const REPORT_AFTER: Duration = Duration::from_secs(1);

/// A partition that the group assigned, and that is not claimed yet.
#[derive(Clone, Debug)]
pub(super) struct Awaited {
    /// When it may be tried first.
    pub from: Instant,
    /// When it is taken from whoever still holds it: the group's word outranks the lock.
    pub force: Option<Instant>,
    /// Its checkpoint and `log.json` when the partition had to be left alone: it is tried again once the user has changed
    /// them.
    pub refused: Option<Version>,
}

/// A partition that is claimed, while the brokers are asked what its log is.
pub(super) struct Opening {
    pub claim: Box<dyn Claim>,
    pub loaded: Loaded,
    /// How many rejected records its file holds.
    pub rejected_total: u64,
    pub since: Instant,
    pub ask_at: Instant,
    /// The facts from the first client, until a second one confirms them.
    pub first: Option<Facts>,
    /// Why the leader does not answer, and since when.
    pub obstacle: Option<(Instant, String)>,
}

impl Opening {
    pub(super) fn new(claim: Box<dyn Claim>, loaded: Loaded, rejected_total: u64) -> Opening {
        let now = Instant::now();
        Opening { claim, loaded, rejected_total, since: now, ask_at: now, first: None, obstacle: None }
    }

    /// Has the brokers asked again a little later.
    pub(super) fn ask_later(&mut self) {
        self.ask_at = Instant::now() + ASK_AGAIN_AFTER;
    }

    /// The leader did not answer.
    pub(super) fn note_obstacle(&mut self, error: &KafkaError) {
        let since = self.obstacle.as_ref().map_or(self.ask_at, |(since, _)| *since);
        self.obstacle = Some((since, cause_of(error)));
        self.ask_later();
    }

    pub(super) fn question(&self) -> Question {
        Question::new(self.claim.partition(), &self.loaded, self.first.is_some())
    }

    pub(super) fn obstacle(&self, contact: &Contact) -> Obstacle {
        if let Some(cause) = contact.obstacle() {
            return Obstacle::Kafka(cause.to_owned());
        }
        match &self.obstacle {
            Some((since, cause)) if since.elapsed() >= REPORT_AFTER => Obstacle::Leader(cause.clone()),
            _ => Obstacle::None,
        }
    }

    /// Nothing while it is not known whether there is a checkpoint.
    pub(super) fn write_status(
        &mut self,
        settings: &Settings,
        moment: Moment,
        obstacle: &Obstacle,
    ) -> Result<(), StoreError> {
        let Some(checkpoint) = &self.loaded.checkpoint else { return Ok(()) };
        let progress = Progress::from(checkpoint.offset, None);
        let owner = self.claim.owner();
        let durable = self.claim.durable(checkpoint);
        let seen = Seen {
            partition: checkpoint.partition,
            topic: &settings.topic,
            position: checkpoint.offset,
            durable: &durable,
            progress: &progress,
            owner,
        };
        let mut tally = Tally { rejected_total: self.rejected_total, ..Tally::default() };
        let status = tally.status(&seen, moment, obstacle);
        settings.board.show(&status, durable);
        self.claim.set_status(&status)
    }
}

/// Why a leader does not answer, in one line.
fn cause_of(error: &KafkaError) -> String {
    match error {
        KafkaError::Unreachable { brokers, reason } => {
            format!("the broker at {brokers} does not answer ({reason})")
        }
        error => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}
