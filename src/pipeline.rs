//! consumer → checkpoint → store: batching, handing over, stopping. It adds no rules of its own to what counts.

mod memory;
mod pace;
mod partition;
mod session;
mod writing;

use std::cell::{Cell, OnceCell};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::kafka::{Admin, Connection, KafkaError, Topic};
use crate::limits;
use crate::status::Board;
use crate::stop::Stop;
use crate::store::{Home, StoreError};
use memory::{Contact, Memory};
use session::{End, Session};

/// How long a poll waits for a record; also how soon a wish to stop is seen.
const POLL_MAX: Duration = Duration::from_millis(100);

/// How long the brokers may take to answer a question.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long there may be lag and no new checkpoint before that is told, if nothing else is said.
pub const STALL_AFTER: Duration = Duration::from_secs(30);

/// How long to let the brokers settle before the topic is looked at again.
const REOPEN_AFTER: Duration = Duration::from_millis(50);

/// What to read, where to keep it, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    pub connection: Connection,
    pub topic: String,
    pub dir: PathBuf,
    pub group: String,
    /// These partitions, or those that the group assigns.
    pub partitions: Option<Vec<i32>>,
    /// Take partitions from a living owner at once.
    pub take_over: bool,
    /// How long a partition that the group assigned may still be held by its former owner.
    pub handover_timeout: Duration,
    /// A fixed pace of checkpoints, instead of "as long as they take at most 5 % of the time".
    pub checkpoint_every: Option<Duration>,
    /// How long there may be lag and no new checkpoint before that is told.
    pub stall_after: Duration,
    pub on_gap: OnGap,
    /// Whether DIR may go over to another topic or cluster; its checkpoints are archived.
    pub accept_new_log: bool,
    /// Whether checkpoints that have lost their `log.json` may be taken for those of this topic.
    pub adopt: bool,
    /// Whether the topic may have another number of partitions than before.
    pub allow_repartition: bool,
    /// Where each status is shown to the rest of the process.
    pub board: Board,
}

/// What to do where the checkpoint's offset lies outside of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnGap {
    Fail,
    /// Archive what was counted, and count what is left.
    Restart,
    /// Go on with what is left.
    Continue,
}

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),

    #[error(transparent)]
    Store(#[from] StoreError),

    #[error("{what}; {needed}")]
    OpenFiles { what: String, needed: limits::Needed },

    #[error(
        "topic {topic} has partitions 0 to {}, not {partition}\nhint: name partitions that it has, or none to be assigned some",
        partitions - 1
    )]
    NoSuchPartition { topic: String, partition: i32, partitions: i32 },

    #[error(
        "partition {partition} of {topic}: the checkpoint goes on at offset {offset}, but the log holds offsets {low} to {high} only; nothing was overwritten\nhint: --on-gap continue goes on at offset {}, --on-gap restart archives what was counted and counts what is left",
        if offset < low { low } else { high }
    )]
    Gap { topic: String, partition: i32, offset: i64, low: i64, high: i64 },

    #[error(
        "partition {partition} of {topic}: the log was cut below what has been counted, and may have grown again since; nothing was overwritten ({reason})\nhint: --on-gap restart archives what was counted and counts the log as it is now"
    )]
    Truncated { topic: String, partition: i32, reason: String },

    #[error(
        "{} belongs to topic {theirs}, but this is topic {ours}\nhint: name another --dir, or archive what was counted with --new-log", dir.display()
    )]
    OtherLog { dir: PathBuf, theirs: String, ours: String },

    #[error(
        "{}/partition-{partition}.json has no .almanac/{partition}/log.json, so which log it counts is unknown; nothing was overwritten\nhint: --adopt takes it for one of this topic; move it away to count again, or name another --dir", dir.display()
    )]
    WithoutLog { dir: PathBuf, partition: i32 },

    #[error(
        "topic {topic} has {now} partitions, and had {before} when counting began in {}: months lie in other partitions now, so a repeated day can be counted twice\nhint: --allow-repartition goes on all the same; or create the topic again, with all its history", dir.display()
    )]
    Repartitioned { dir: PathBuf, topic: String, before: i32, now: i32 },
}

impl PipelineError {
    /// With what the partitions need, if there is not enough of it.
    fn with_open_files(self, source: &Source) -> PipelineError {
        if !limits::is_exceeded(&self) {
            return self;
        }
        let named = source.settings.partitions.as_ref().map(Vec::len);
        let partitions = named.unwrap_or(usize::try_from(source.topic.partitions).unwrap_or_default());
        let what: Vec<String> = anyhow::Chain::new(&self).map(ToString::to_string).collect();
        PipelineError::OpenFiles { what: what.join(": "), needed: limits::Needed { partitions } }
    }

    /// Whether the error concerns one partition's files only, so that a group's other partitions can go on.
    fn is_of_one_partition(&self) -> bool {
        match self {
            PipelineError::Store(error) => !matches!(
                error,
                StoreError::Io { .. }
                    | StoreError::NoDir { .. }
                    | StoreError::DirGone { .. }
                    | StoreError::Evicted { .. }
            ),
            PipelineError::Gap { .. }
            | PipelineError::Truncated { .. }
            | PipelineError::WithoutLog { .. } => true,
            _ => false,
        }
    }
}

/// Keeps the checkpoints until asked to stop.
pub fn run(settings: &Settings, stop: &Stop) -> Result<(), PipelineError> {
    // Held for as long as the process runs: nothing is written to another directory that gets its name.
    let home = Home::open(&settings.dir)?;
    let named = settings.partitions.as_ref().map(|named| limits::Needed { partitions: named.len() });
    if let Some(needed) = named.filter(|needed| needed.is_out_of_reach()) {
        return Err(PipelineError::OpenFiles { what: "can't take all partitions".to_owned(), needed });
    }
    let mut is_first = true;
    let mut checked_topic = None;
    let memory = Memory::default();
    loop {
        let admin = Admin::new(&settings.connection)?;
        let Some((cluster_id, topic)) = wait_for_topic(settings, &admin, &memory.contact, stop)? else {
            return Ok(());
        };
        if checked_topic.as_ref() != Some(&topic.id) {
            warn_of_removal(settings, &admin);
            checked_topic = Some(topic.id.clone());
        }
        let source = Source {
            settings,
            home: &home,
            admin,
            second_admin: OnceCell::new(),
            cluster_id,
            topic,
            is_recreation_told: Cell::new(false),
            memory: &memory,
        };
        // Only at first: when this process wakes up later, the living owner may be one that took over from it.
        let take_over = settings.take_over && std::mem::take(&mut is_first);
        let session = Session::new(&source, stop, take_over).and_then(Session::run);
        match session.map_err(|error| error.with_open_files(&source))? {
            End::Stopped => return Ok(()),
            End::Reopen => {}
        }
        tracing::debug!("looking at the topic again");
        stop.wait(REOPEN_AFTER);
    }
}

/// Says of a topic from which Kafka removes records before, or after, they are counted. Without the right to see its
/// configuration nothing is said.
fn warn_of_removal(settings: &Settings, admin: &Admin) {
    let topic = &settings.topic;
    match admin.cleanup_policy(topic, ANSWER_MAX) {
        Ok(Some(policy)) if policy.contains("compact") => tracing::warn!(
            "topic {topic} has cleanup.policy={policy}: Kafka removes all but the newest record of each month, so days can be lost before they are counted\nhint: set cleanup.policy=delete with 'kafka-configs.sh --bootstrap-server {} --alter --topic {topic} --add-config cleanup.policy=delete'",
            settings.connection.brokers
        ),
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "the topic's configuration is not known"),
    }
}

/// Waits until there is a Kafka, and the topic in it. Says once what it waits for.
fn wait_for_topic(
    settings: &Settings,
    admin: &Admin,
    contact: &Contact,
    stop: &Stop,
) -> Result<Option<(String, Topic)>, PipelineError> {
    let (mut is_kafka_told, mut is_topic_told) = (false, false);
    while !stop.is_asked() {
        let asked = Instant::now();
        let found = admin
            .describe(&settings.topic, ANSWER_MAX)
            .and_then(|topic| topic.map(|topic| Ok((admin.cluster_id(ANSWER_MAX)?, topic))).transpose());
        let reason = match found {
            Ok(found) => {
                contact.answered();
                if found.is_some() {
                    return Ok(found);
                }
                if !std::mem::replace(&mut is_topic_told, true) {
                    tracing::warn!("topic {} is not there yet; waiting for it", settings.topic);
                }
                stop.wait(POLL_MAX);
                continue;
            }
            Err(KafkaError::Unreachable { reason, .. }) => reason,
            Err(error) if error.is_transient() => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        if contact.has_been.get() {
            contact.failed(asked, || reason);
        } else if !std::mem::replace(&mut is_kafka_told, true) {
            let brokers = &settings.connection.brokers;
            tracing::warn!("no Kafka at {brokers} yet; waiting for it ({reason})");
        }
        stop.wait(POLL_MAX);
    }
    Ok(None)
}

/// The log as it was found at the session's start.
pub(crate) struct Source<'a> {
    settings: &'a Settings,
    home: &'a Home,
    admin: Admin,
    /// For a second opinion: a client remembers what it was told once.
    second_admin: OnceCell<Admin>,
    cluster_id: String,
    topic: Topic,
    is_recreation_told: Cell<bool>,
    memory: &'a Memory,
}
