//! The connection to Kafka: found, and held against what DIR counts.

use std::time::{Duration, Instant};

use super::contact::Contact;
use super::error::PipelineError;
use super::facts::{Clients, Identity};
use super::settings::Settings;
use super::trust::{Interrupt, Reconnect};
use crate::kafka::{self, KafkaError, SHORT_REQUEST_TIMEOUT, Topic, hint_for};
use crate::stop::Stop;
use crate::store::{Named, Store};

/// How soon the brokers are asked again for a topic that is not there.
const FIND_EVERY: Duration = Duration::from_millis(100);

/// One connection to the brokers, and the topic that was found.
pub(super) struct Kafka {
    pub clients: Clients,
    pub identity: Identity,
    pub reader: kafka::Consumer,
}

impl Kafka {
    pub(super) fn new(settings: &Settings, clients: Clients, identity: Identity) -> Result<Self, KafkaError> {
        let Settings { connection, group, topic, .. } = settings;
        let reader = kafka::Consumer::new(connection, group, topic, Some(&identity.topic.id))?;
        Ok(Kafka { clients, identity, reader })
    }

    /// Warns of a topic from which Kafka removes records before, or after, they are counted. Without the right to see its
    /// configuration nothing is said.
    pub(super) fn warn_of_removal(&self, settings: &Settings) {
        let (topic, brokers) = (&settings.topic, &settings.connection.brokers);
        match self.clients.first.cleanup_policy(topic, SHORT_REQUEST_TIMEOUT) {
            Ok(Some(policy)) if policy.contains("compact") => tracing::warn!(
                hint = format!(
                    "set cleanup.policy=delete with `kafka-configs.sh --bootstrap-server {brokers} --alter --topic {topic} --add-config cleanup.policy=delete`"
                ),
                "topic {topic} has cleanup.policy={policy}: Kafka keeps only the newest record of each month, so almanac may miss days"
            ),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the topic's configuration is not known"),
        }
    }
}

/// Waits until there is a Kafka, and the topic in it; `None` if the process is to stop. Warns once of what it waits for, and
/// calls `while_waiting` with that again and again.
pub(super) fn find_topic(
    settings: &Settings,
    clients: &Clients,
    contact: &mut Contact,
    stop: &Stop,
    mut while_waiting: impl FnMut(&str) -> Result<(), PipelineError>,
) -> Result<Option<Identity>, PipelineError> {
    let (mut is_kafka_reported, mut is_topic_reported) = (false, false);
    let (admin, topic) = (&clients.first, &settings.topic);
    let find = || -> Result<Option<Identity>, KafkaError> {
        let Some(topic) = admin.describe(topic, SHORT_REQUEST_TIMEOUT)? else { return Ok(None) };
        Ok(Some(Identity { cluster_id: admin.cluster_id(SHORT_REQUEST_TIMEOUT)?, topic }))
    };
    while !stop.is_asked() {
        let asked = Instant::now();
        let reason = match find() {
            Ok(Some(identity)) => {
                contact.answered();
                return Ok(Some(identity));
            }
            Ok(None) => {
                contact.answered();
                let cause = format!("topic {topic} is not there");
                if !std::mem::replace(&mut is_topic_reported, true) {
                    tracing::warn!("{cause} yet; waiting for it");
                }
                while_waiting(&cause)?;
                stop.wait(FIND_EVERY);
                continue;
            }
            Err(KafkaError::Unreachable { reason, .. }) => reason,
            Err(error) if error.is_transient() => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        if contact.has_been {
            contact.failed(asked, || reason);
            contact.obstacle().map_or(Ok(()), &mut while_waiting)?;
        } else {
            contact.missing(&reason);
            if !std::mem::replace(&mut is_kafka_reported, true) {
                let brokers = &settings.connection.brokers;
                tracing::warn!(
                    hint = hint_for(&reason),
                    "no Kafka at {brokers} yet; waiting for it ({reason})"
                );
            }
        }
        stop.wait(FIND_EVERY);
    }
    Ok(None)
}

/// DIR belongs to one topic of one cluster, whichever of its partitions are to be read. This is known before the first
/// is claimed, so that no living owner loses one to a consumer that then refuses.
pub(super) fn refuse_other_log(
    settings: &Settings,
    store: &dyn Store,
    kafka: &Kafka,
) -> Result<(), Interrupt> {
    let Identity { cluster_id, .. } = &kafka.identity;
    let topic = &settings.topic;
    if settings.policy.accept_new_log {
        return Ok(());
    }
    let ours = Named { cluster_id: cluster_id.clone(), topic: topic.clone() };
    let logs = store.reader().logs().map_err(Interrupt::of_store)?.into_iter();
    let mut named = logs.map(|log| Named { cluster_id: log.cluster_id, topic: log.topic });
    let Some(other) = named.find(|named| *named != ours) else { return Ok(()) };
    confirm_cluster(kafka)?;
    Err(settings.other_log(other.full_name(), ours.full_name()).into())
}

/// While DIR has no log yet, keeps other topics out of it.
pub(super) fn name_topic(settings: &Settings, store: &dyn Store, kafka: &Kafka) -> Result<(), Interrupt> {
    if settings.policy.accept_new_log || !store.reader().logs().map_err(Interrupt::of_store)?.is_empty() {
        return Ok(());
    }
    confirm_cluster(kafka)?;
    let (cluster_id, topic) = (kafka.identity.cluster_id.clone(), settings.topic.clone());
    let ours = Named { cluster_id, topic };
    match store.join(&ours).map_err(Interrupt::of_store)? {
        Some(other) => Err(settings.other_log(other.full_name(), ours.full_name()).into()),
        None => Ok(()),
    }
}

/// A cluster's id may have been damaged on the way: another client is asked for it.
fn confirm_cluster(kafka: &Kafka) -> Result<(), Interrupt> {
    match kafka.clients.second.cluster_id(SHORT_REQUEST_TIMEOUT) {
        Ok(confirmed) if confirmed == kafka.identity.cluster_id => Ok(()),
        Ok(_) => Err(Reconnect::ClusterUnknown.into()),
        Err(error) if error.is_transient() => Err(Reconnect::ClusterUnknown.into()),
        Err(error) => Err(error.into()),
    }
}

/// A duplicate of a day is recognised only in the partition that counted the day. So this concerns all of DIR, whichever
/// partitions are to be read.
pub(super) fn refuse_repartitioned(
    settings: &Settings,
    store: &dyn Store,
    kafka: &Kafka,
) -> Result<(), Interrupt> {
    let Topic { id, partitions: now } = &kafka.identity.topic;
    if settings.policy.allow_repartition {
        return Ok(());
    }
    let logs = store.reader().logs().map_err(Interrupt::of_store)?;
    match logs.iter().find(|log| log.topic_id == *id && log.partitions != *now) {
        None => Ok(()),
        Some(log) => Err(PipelineError::Repartitioned {
            dir: settings.dir.clone(),
            topic: settings.topic.clone(),
            before: log.partitions,
            now: *now,
            recover: settings.recover_command(None),
        }
        .into()),
    }
}
