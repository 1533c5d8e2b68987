//! Asks the brokers about the log of a partition that is opened.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::decision::{Facts, Reaches};
use crate::kafka::{Admin, Connection, KafkaError, SHORT_REQUEST_TIMEOUT, Topic};
use crate::parallel::each_of;
use crate::store::{Loaded, Log};

/// How long a partition's leader may take to answer, while the other partitions wait.
pub(super) const LEADER_ANSWER_MAX: Duration = Duration::from_secs(1);

/// The topic of a cluster, as it was found when the consumer connected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    pub cluster_id: String,
    pub topic: Topic,
}

/// Two clients: a client keeps the first answer that it gets, so a second one confirms it.
#[derive(Clone)]
pub(super) struct Clients {
    pub first: Arc<Admin>,
    pub second: Arc<Admin>,
}

impl Clients {
    pub(super) fn new(connection: &Connection) -> Result<Clients, KafkaError> {
        Ok(Clients { first: Arc::new(Admin::new(connection)?), second: Arc::new(Admin::new(connection)?) })
    }
}

/// The request for the facts about one partition's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Question {
    pub partition: i32,
    /// The checkpoint's offset, and the leader epoch of the record before it.
    pub passed: Option<(i64, i32)>,
    /// Whether it confirms what another client heard. Then the topic's identity is asked for as well.
    pub is_second: bool,
}

impl Question {
    pub(super) fn new(partition: i32, loaded: &Loaded, is_second: bool) -> Question {
        let offset = loaded.checkpoint.as_ref().map(|checkpoint| checkpoint.offset);
        let passed = offset.zip(loaded.log.as_ref()).and_then(|(offset, log)| {
            // Later ones were noted before a checkpoint that was then not written.
            Some((offset, log.epoch_before(offset)?))
        });
        Question { partition, passed, is_second }
    }

    /// Asks. `None`: the topic is not there.
    pub(super) fn ask(
        &self,
        clients: &Clients,
        topic: &str,
        identity: &Identity,
    ) -> Result<Option<Facts>, KafkaError> {
        let admin = if self.is_second { &clients.second } else { &clients.first };
        let identity = match self.is_second {
            true => match admin.describe(topic, SHORT_REQUEST_TIMEOUT)? {
                Some(found) => {
                    Identity { cluster_id: admin.cluster_id(SHORT_REQUEST_TIMEOUT)?, topic: found }
                }
                None => return Ok(None),
            },
            false => identity.clone(),
        };
        let (mut first_offset, end) = admin.watermarks(topic, self.partition, SHORT_REQUEST_TIMEOUT)?;
        if self.is_second {
            let (id, timeout) = (&identity.topic.id, SHORT_REQUEST_TIMEOUT);
            let found = admin.first_offset(topic, id, self.partition, end, timeout)?;
            first_offset = found.unwrap_or(first_offset);
        }
        let log = Log {
            cluster_id: identity.cluster_id,
            topic: topic.to_owned(),
            topic_id: identity.topic.id,
            partitions: identity.topic.partitions,
            first_offset,
            leader_epochs: Vec::new(),
            gaps: Vec::new(),
            is_starting_over: false,
        };
        Ok(Some(Facts { log, end, reaches: self.reaches(admin, topic)? }))
    }

    /// No checksum covers the response, so a log counts as truncated only if each of some responses says so.
    fn reaches(&self, admin: &Admin, topic: &str) -> Result<Reaches, KafkaError> {
        let Some((offset, epoch)) = self.passed else { return Ok(Reaches::Unknown) };
        let requests = if self.is_second { 3 } else { 1 };
        let mut reaches = Reaches::Unknown;
        for _ in 0..requests {
            let Some(end) = admin.epoch_end(topic, self.partition, epoch, SHORT_REQUEST_TIMEOUT)? else {
                return Ok(Reaches::Unknown);
            };
            if end.epoch == epoch && end.end_offset >= offset {
                return Ok(Reaches::Yes);
            }
            // A broker without leader epochs. Reading finds out.
            if end.epoch < 0 {
                return Ok(Reaches::Unknown);
            }
            reaches = Reaches::No(format!(
                "of leader epoch {epoch} it has no record before offset {offset}; leader epoch {} ends at offset {}",
                end.epoch, end.end_offset
            ));
        }
        Ok(reaches)
    }
}

pub(super) type Answer = Result<Option<Facts>, KafkaError>;

/// Requests that are made by threads of their own: a leader that hangs must not hold up the partitions that are read
/// already, nor those of other leaders.
pub(super) struct Asking {
    answers: Receiver<(Question, Answer)>,
    thread: Option<JoinHandle<()>>,
}

impl Asking {
    pub(super) fn start(
        clients: &Clients,
        topic: &str,
        identity: &Identity,
        questions: Vec<Question>,
    ) -> Asking {
        let (sender, answers) = mpsc::channel();
        let (clients, topic, identity) = (clients.clone(), topic.to_owned(), identity.clone());
        let ask = {
            let questions = questions.clone();
            let (clients, topic, identity, sender) =
                (clients.clone(), topic.clone(), identity.clone(), sender.clone());
            move || ask_all(&clients, &topic, &identity, questions, &sender)
        };
        let thread = thread::Builder::new().spawn(ask);
        let thread = thread.map_err(|error| {
            tracing::debug!(%error, "no thread for requests");
            ask_all(&clients, &topic, &identity, questions, &sender);
        });
        Asking { answers, thread: thread.ok() }
    }

    /// The answers that have come since the last call.
    pub(super) fn take(&self) -> Vec<(Question, Answer)> {
        self.answers.try_iter().collect()
    }

    /// Whether all answers have come, so that none is left after the next [`Asking::take`].
    pub(super) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

fn ask_all(
    clients: &Clients,
    topic: &str,
    identity: &Identity,
    questions: Vec<Question>,
    answers: &Sender<(Question, Answer)>,
) {
    each_of(questions, |question| {
        let answer = question.ask(clients, topic, identity);
        // Where nobody waits for it any more, that is all right.
        let _ = answers.send((question, answer));
    });
}
