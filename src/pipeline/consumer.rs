//! The consumer: one loop over the partitions that it owns, on one thread.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use almanac_core::place::Place;
use almanac_core::split;

use super::connection::{Kafka, find_topic};
use super::contact::Contact;
use super::error::PipelineError;
use super::facts::{Asking, Clients, LEADER_ANSWER_MAX};
use super::jumps::Jumps;
use super::opening::{Awaited, Opening};
use super::pace::Pace;
use super::partition::Partition;
use super::progress::{Counters, Moment, Obstacle, Progress};
use super::settings::Settings;
use super::split::SplitWatch;
use super::trust::{Interrupt, Reconnect, Series};
use super::writing::Writing;
use crate::failure::{Failure, fact};
use crate::kafka::{Item, KafkaError, POLL_TIMEOUT, Received};
use crate::report::{Decoder, RejectReason};
use crate::stop::Stop;
use crate::store::{Owner, Store, StoreError};

/// How soon the consumer sees that a checkpoint in flight is durable, or a request is answered, if no records come.
const PENDING_CHECK_EVERY: Duration = Duration::from_millis(5);

/// A partition with a larger lag than this is being caught up with.
const CATCH_UP_LAG: i64 = 1000;

/// How long a member of a group may have no partition, while none has an owner.
const UNASSIGNED_MIN: Duration = Duration::from_secs(20);
const UNASSIGNED_MAX: Duration = Duration::from_secs(600);

/// How often `status.json` is written; half as often while checkpoints are in flight.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// The advice for reports of another station.
const OTHER_STATION_HINT: &str = "count them with a --dir and a --group of their own, and --station ID";

/// How often a batch that can't be read is fetched before the user hears what to do. Each time takes a second.
const DAMAGE_SEEN_MIN: u32 = 3;

/// After how many statuses without progress a partition's end is asked for. Twice as many each time that there was more:
/// over a slow network a fetch may take that long.
const QUIET_STATUSES: u32 = 10;
const QUIET_STATUSES_MAX: u32 = 120;

/// All that a consumer knows.
pub(super) struct Consumer<'a> {
    pub settings: &'a Settings,
    pub store: &'a dyn Store,
    pub stop: &'a Stop,
    /// Replaced when it reconnects.
    pub kafka: Kafka,

    /// Assigned by the group, and not claimed yet.
    pub awaited: BTreeMap<i32, Awaited>,
    /// Claimed, while the brokers are asked what their logs are.
    pub opening: BTreeMap<i32, Opening>,
    pub asking: Option<Asking>,
    /// Whether one was opened that had not been counted before, and other topics have not been looked for since.
    pub has_begun: bool,
    /// Open: their records are read and counted.
    pub owned: BTreeMap<i32, Partition>,
    /// No longer owned, and still read: the client takes their removal for the answer to a rebalance, if there is one.
    pub given_up: Vec<i32>,
    /// Why partitions had to be left alone, while the others go on.
    pub failures: BTreeMap<i32, PipelineError>,
    /// As whom this process claimed each partition last.
    pub owners: BTreeMap<i32, Owner>,
    /// Whether partitions are taken from living owners: not when this process wakes up later, and the living owner may be
    /// one that took over from it.
    pub take_over: bool,

    /// Checkpoints in flight, and how long the brokers were asked before.
    pub writing: Option<(Writing, Duration)>,
    pub pace: Pace,
    pub log_checked: Instant,
    pub contact: Contact,
    /// The same of an object store.
    pub store_contact: Contact,
    pub counters: Counters,
    /// Of partitions that were let go when it reconnected.
    pub progress: BTreeMap<i32, Progress>,
    /// Partitions that librdkafka found truncated: the checkpoint's offset then, and how often.
    pub truncations: BTreeMap<i32, (i64, u32)>,
    pub is_recreation_reported: bool,
    reconnects: Series,

    /// It knows the station that is counted.
    pub decoder: Decoder,
    pub split: SplitWatch,
    /// The producers' description of the place, until it is kept.
    pub place: Option<Place>,
    jumps: Jumps,
    quiet_statuses: u32,
    /// Since when it has no partition, as a member of a group.
    pub unassigned_since: Option<Instant>,
    /// How long that may last; longer after each time.
    unassigned_max: Duration,
    status_written: Instant,
    /// The last batch of a partition that was warned of, as its records carry wrong offsets.
    odd_batches: BTreeMap<i32, i64>,
    /// Partitions of which a rejected record was warned of.
    rejected_reported: BTreeSet<i32>,
}

impl<'a> Consumer<'a> {
    /// Waits until there is a Kafka, and the topic in it. `None`: the process is to stop.
    pub(super) fn connect(
        settings: &'a Settings,
        store: &'a dyn Store,
        stop: &'a Stop,
    ) -> Result<Option<Self>, PipelineError> {
        let clients = Clients::new(&settings.connection)?;
        let mut contact = Contact::new(&settings.board);
        let Some(identity) = find_topic(settings, &clients, &mut contact, stop, |_| Ok(()))? else {
            return Ok(None);
        };
        let now = Instant::now();
        let pace = Pace::new(settings.checkpoint_every, settings.stall_after, now);
        let kafka = Kafka::new(settings, clients, identity)?;
        kafka.warn_of_removal(settings);
        Ok(Some(Consumer {
            settings,
            store,
            stop,
            kafka,
            awaited: BTreeMap::new(),
            opening: BTreeMap::new(),
            asking: None,
            has_begun: false,
            owned: BTreeMap::new(),
            given_up: Vec::new(),
            failures: BTreeMap::new(),
            owners: BTreeMap::new(),
            take_over: settings.take_over,
            writing: None,
            pace: if store.is_remote() { pace.with_requests() } else { pace },
            log_checked: now,
            contact,
            store_contact: Contact::with_store(),
            counters: Counters::default(),
            progress: BTreeMap::new(),
            truncations: BTreeMap::new(),
            is_recreation_reported: false,
            reconnects: Series::default(),
            decoder: Decoder::default(),
            split: SplitWatch::new(now),
            place: None,
            jumps: Jumps::default(),
            quiet_statuses: QUIET_STATUSES,
            unassigned_since: None,
            unassigned_max: UNASSIGNED_MIN,
            status_written: now,
            odd_batches: BTreeMap::new(),
            rejected_reported: BTreeSet::new(),
        }))
    }

    /// Keeps the checkpoints until the process is to stop.
    pub(super) fn run(mut self) -> Result<(), PipelineError> {
        let mut ended = loop {
            match self.consume() {
                Ok(()) => break Ok(()),
                Err(Interrupt::Fail(error)) => break Err(error),
                Err(Interrupt::Reconnect(why)) => match self.reconnect(&why) {
                    Ok(true) => {}
                    Ok(false) => break Ok(()),
                    Err(error) => break Err(error),
                },
            }
        };
        match self.release_all() {
            Err(error) if ended.is_ok() => ended = Err(error),
            Err(error) => tracing::error!(hint = error.hint(), "{}", fact(&error)),
            Ok(()) => {}
        }
        let failed = self.failures.pop_first().map_or(Ok(()), |(_, failure)| Err(failure));
        let partitions =
            usize::try_from(self.kafka.identity.topic.partitions).expect("a count is not negative");
        let partitions = self.settings.partitions.as_ref().map_or(partitions, Vec::len);
        ended.and(failed).map_err(|error| error.with_open_files(partitions))
    }

    /// Takes the partitions, and counts their records until the process is to stop.
    fn consume(&mut self) -> Result<(), Interrupt> {
        self.begin()?;
        let mut received = Received::default();
        while !self.stop.is_asked() {
            self.answer_group()?;
            self.claim_awaited()?;
            self.open_claimed()?;
            self.kafka.reader.poll(&mut received, self.patience());
            self.count(&mut received)?;
            self.save_if_due()?;
            self.check_topic_if_due()?;
            self.report_if_due()?;
        }
        match self.save_at_last() {
            Err(Interrupt::Reconnect(why)) => why.report(false),
            saved => saved?,
        }
        self.warn_of_split(true);
        Ok(self.write_status(true)?)
    }

    /// How long the next poll may wait.
    fn patience(&self) -> Duration {
        if self.writing.is_some() || self.asking.is_some() {
            PENDING_CHECK_EVERY
        } else if self.owned.values().any(Partition::is_ready) {
            self.pace.until_due(Instant::now()).min(POLL_TIMEOUT)
        } else {
            POLL_TIMEOUT
        }
    }

    /// Takes what a poll brought.
    fn count(&mut self, received: &mut Received) -> Result<(), Interrupt> {
        while let Some(item) = received.next() {
            self.take_in(item)?;
            // A response may hold far more than its size: it is compressed.
            if self.stop.is_asked() {
                break;
            }
            if self.owned.values().any(Partition::is_full) {
                self.save_full()?;
            }
        }
        Ok(())
    }

    fn take_in(&mut self, item: Item<'_>) -> Result<(), Interrupt> {
        match item {
            Item::Records(records) => {
                let number = records.partition;
                if self.decoder.station().is_none() {
                    self.decide_place(records.clone())?;
                }
                // These records are of a partition that was just given up.
                let Some(partition) = self.owned.get_mut(&number) else { return Ok(()) };
                let doubt = partition.apply(records, &mut self.jumps, &mut self.decoder);
                self.warn_of_records(number);
                doubt.map_or(Ok(()), |why| Err(why.into()))
            }
            Item::EndOfPartition { partition: number, next_offset } => {
                let Some(partition) = self.owned.get_mut(&number) else { return Ok(()) };
                if let Some(why) = self.jumps.doubt(number, partition.next_offset(), next_offset) {
                    return Err(why.into());
                }
                partition.skip_to(next_offset);
                Ok(())
            }
            Item::Failed { partition, error } => {
                self.counters.broker_errors += 1;
                self.take_in_failure(partition, error)
            }
        }
    }

    fn take_in_failure(&mut self, partition: Option<i32>, error: KafkaError) -> Result<(), Interrupt> {
        match error {
            error if error.is_transient() => {
                tracing::debug!(%error, "the client retries by itself");
                Ok(())
            }
            KafkaError::Damaged { partition, offset, next_offset, reason } => {
                self.warn_of_damage(partition, offset, next_offset, &reason);
                Ok(())
            }
            error if error.is_log_doubtful() => {
                if error.is_truncation()
                    && let Some((number, owned)) =
                        partition.and_then(|number| Some((number, self.owned.get(&number)?)))
                {
                    let offset = owned.durable_offset();
                    let before = self.truncations.get(&number).filter(|(at, _)| *at == offset);
                    let times = before.map_or(1, |(_, times)| times + 1);
                    self.truncations.insert(number, (offset, times));
                }
                Err(Reconnect::LogDoubtful(error).into())
            }
            error => Err(error.into()),
        }
    }

    /// A batch that can't be read is fetched again and again, as the damage may be on the way or on one broker's disk. The
    /// user can have it left out.
    fn warn_of_damage(&mut self, number: i32, from: i64, to: i64, reason: &str) {
        let Some(partition) = self.owned.get_mut(&number) else { return };
        match partition.note_damage(from) {
            1 => tracing::warn!(
                "partition {number}: can't read the batch at offset {from}: {reason}; reading it again"
            ),
            DAMAGE_SEEN_MIN => {
                let (last, recover) = (to - 1, self.settings.recover_command(Some(number)));
                tracing::warn!(
                    hint = format!(
                        "restore it from another replica, or stop the consumer and leave out offsets {from} to {last} with `{recover} --continue`"
                    ),
                    "partition {number}: the batch at offset {from} still can't be read: {reason}"
                );
            }
            _ => {}
        }
    }

    /// Warns once of what is wrong with the records of a partition.
    fn warn_of_records(&mut self, number: i32) {
        let Some(partition) = self.owned.get_mut(&number) else { return };
        if let Some(offset) = partition.take_odd_batch()
            && self.odd_batches.get(&number).is_none_or(|last| *last < offset)
        {
            self.odd_batches.insert(number, offset);
            tracing::warn!(
                "partition {number}: the records of the batch at offset {offset} carry wrong offsets; their places in the batch count"
            );
        }
        if let Some(place) = partition.take_place() {
            self.note_place(place);
        }
        let Some(partition) = self.owned.get_mut(&number) else { return };
        if let Some((offset, reason)) = partition.take_first_rejected()
            && self.rejected_reported.insert(number)
        {
            tracing::warn!(
                hint = (reason == RejectReason::OtherStation).then_some(OTHER_STATION_HINT),
                "partition {number}: the record at offset {offset} is rejected ({reason}) and kept in {}; further ones are kept there without a warning",
                self.store.rejected_path(number).display()
            );
        }
    }

    pub(super) fn is_catching_up(&self) -> bool {
        self.owned.iter().any(|(&number, partition)| {
            let end = self.kafka.reader.high_watermark(number);
            end.is_some_and(|end| end.saturating_sub(partition.next_offset()) > CATCH_UP_LAG)
        })
    }

    fn report_if_due(&mut self) -> Result<(), Interrupt> {
        // A status waits for checkpoints in flight, so it lets them come first.
        let every = if self.writing.is_some() { STATUS_EVERY * 2 } else { STATUS_EVERY };
        if self.status_written.elapsed() < every {
            return Ok(());
        }
        self.write_status(false)?;
        self.warn_of_split(false);
        self.publish_offsets();
        if self.is_forgotten() {
            return Err(Reconnect::Unassigned.into());
        }
        match self.find_silent_partition() {
            Some(why) => {
                self.save(true)?;
                Err(why.into())
            }
            None => Ok(()),
        }
    }

    /// Warns once of months that are in two files.
    fn warn_of_split(&mut self, is_last: bool) {
        let topic_id = &self.kafka.identity.topic.id;
        if let Some(split) = self.split.find(self.store, topic_id, &self.owned, is_last) {
            tracing::warn!(hint = split::HINT, "{split}");
        }
    }

    /// Whether the member has any partition, in whatever state.
    pub(super) fn has_any(&self) -> bool {
        !(self.owned.is_empty() && self.opening.is_empty() && self.awaited.is_empty())
    }

    /// Whether the group has assigned nothing to this member for a while, although no partition has an owner.
    fn is_forgotten(&mut self) -> bool {
        let is_over = self.unassigned_since.is_some_and(|since| since.elapsed() >= self.unassigned_max);
        if !is_over || !self.contact.is_answering() {
            return false;
        }
        let now = Instant::now();
        self.unassigned_since = Some(now);
        let is_free = |partition| self.store.living_owner(partition).is_none();
        let is_forgotten = (0..self.kafka.identity.topic.partitions).all(is_free);
        if is_forgotten {
            self.unassigned_max = (self.unassigned_max * 2).min(UNASSIGNED_MAX);
        }
        is_forgotten
    }

    /// A partition of which the client brings nothing although it has more.
    fn find_silent_partition(&mut self) -> Option<Reconnect> {
        let is_answering = self.contact.is_answering();
        for (&number, partition) in &mut self.owned {
            let is_quiet =
                partition.count_quiet() >= self.quiet_statuses && is_answering && !partition.is_damaged();
            // A Kafka that was away may take some time to send records again.
            if is_quiet || !is_answering {
                partition.reset_quiet();
            }
            if !is_quiet {
                continue;
            }
            let offset = partition.next_offset();
            let has_more =
                match self.kafka.clients.first.watermarks(&self.settings.topic, number, LEADER_ANSWER_MAX) {
                    Ok((_, high)) => {
                        partition.progress().note_high_watermark(Some(high));
                        high > offset
                    }
                    Err(error) => error.is_of_epoch(),
                };
            if has_more {
                self.quiet_statuses = (self.quiet_statuses * 2).min(QUIET_STATUSES_MAX);
                return Some(Reconnect::Silent { partition: number, offset });
            }
        }
        None
    }

    /// Writes the status of each partition, and warns of leaders that do not answer.
    pub(super) fn write_status(&mut self, is_stopped: bool) -> Result<(), PipelineError> {
        if is_stopped || !self.store.is_remote() {
            self.finish_writing()?;
        }
        self.keep_place();
        let elapsed = std::mem::replace(&mut self.status_written, Instant::now()).elapsed();
        self.counters.broker_errors += self.kafka.reader.take_error_count();
        if self.contact.is_answering() {
            // It explains nothing that happens later.
            let text = self.kafka.reader.take_error_text();
            if let Some(text) = text.filter(|_| self.settings.partitions.is_none() && !self.has_any()) {
                self.contact.report_group(&self.settings.group, &text);
            }
        }
        let moment = Moment { elapsed, is_stopped, counters: self.counters };
        let stall_after = self.settings.stall_after + self.settings.checkpoint_every.unwrap_or_default();
        let (mut failed, mut silent) = (Vec::new(), BTreeMap::new());
        let mut note = |number, obstacle: &Obstacle, written: Result<(), StoreError>| {
            if let Obstacle::Leader(cause) = obstacle {
                silent.insert(number, cause.clone());
            }
            failed.extend(written.err().map(|error| (number, error)));
        };
        for (&number, opening) in &mut self.opening {
            let obstacle = opening.obstacle(&self.contact);
            note(number, &obstacle, opening.write_status(self.settings, moment, &obstacle));
        }
        for (&number, partition) in &mut self.owned {
            let obstacle = obstacle(&self.contact, &self.store_contact, &self.kafka, number, partition);
            if !matches!(obstacle, Obstacle::Kafka(_)) {
                partition.progress().note_high_watermark(self.kafka.reader.high_watermark(number));
            }
            partition.progress().report_stall(number, stall_after, obstacle.cause());
            note(number, &obstacle, partition.write_status(moment, &obstacle, &self.settings.board));
        }
        self.contact.report_obstacles(&silent);
        self.forget_statuses();
        failed.into_iter().try_for_each(|(number, error)| self.fail(number, error.into()))
    }

    /// Publishes offsets to the group, for lag displays; almanac never reads them.
    pub(super) fn publish_offsets(&mut self) {
        let offset = |(&number, partition): (&i32, &Partition)| (number, partition.durable_offset());
        let offsets: Vec<(i32, i64)> = self.owned.iter().map(offset).collect();
        self.kafka.reader.publish_offsets(&offsets);
    }

    /// Drops what is not durable and connects to the brokers again. `false`: the process is to stop.
    fn reconnect(&mut self, why: &Reconnect) -> Result<bool, PipelineError> {
        why.report(self.reconnects.recurs(Instant::now()));
        if let Reconnect::StoreAway(StoreError::Away { reason, .. }) = why {
            self.store_contact.failed(Instant::now(), || reason.clone());
        }
        self.finish_writing()?;
        // Many that follow one another write their statuses all the same.
        if self.status_written.elapsed() >= STATUS_EVERY {
            self.write_status(false)?;
        }
        // Other members wait for this one's answer to a rebalance. Named partitions stay claimed, so that their statuses say
        // what the consumer waits for.
        if self.settings.partitions.is_none() {
            self.release_all()?;
            self.kafka.reader.leave();
        }
        self.take_over = false;
        self.stop.wait(why.pause());
        let clients = Clients::new(&self.settings.connection)?;
        let mut contact = std::mem::take(&mut self.contact);
        let found =
            find_topic(self.settings, &clients, &mut contact, self.stop, |cause| self.write_waiting(cause));
        self.contact = contact;
        let Some(identity) = found? else { return Ok(false) };
        self.release_all()?;
        let is_another = identity.topic.id != self.kafka.identity.topic.id;
        self.kafka = Kafka::new(self.settings, clients, identity)?;
        if is_another {
            self.is_recreation_reported = false;
            self.kafka.warn_of_removal(self.settings);
        }
        self.reconnects.ended(Instant::now());
        Ok(true)
    }

    /// The same while the topic or Kafka is away.
    fn write_waiting(&mut self, cause: &str) -> Result<(), PipelineError> {
        if self.status_written.elapsed() < STATUS_EVERY {
            return Ok(());
        }
        let elapsed = std::mem::replace(&mut self.status_written, Instant::now()).elapsed();
        let moment = Moment { elapsed, is_stopped: false, counters: self.counters };
        let obstacle = Obstacle::Kafka(cause.to_owned());
        for opening in self.opening.values_mut() {
            opening.write_status(self.settings, moment, &obstacle)?;
        }
        for partition in self.owned.values_mut() {
            partition.write_status(moment, &obstacle, &self.settings.board)?;
        }
        Ok(())
    }

    /// Takes the statuses of partitions that it no longer has from the board.
    fn forget_statuses(&self) {
        let has = |partition| self.owned.contains_key(&partition) || self.opening.contains_key(&partition);
        self.settings.board.keep(has);
    }

    /// Lets all partitions go: checkpoints in flight first, and locks before the group hears of it, so that whoever is
    /// assigned the partitions next can take them.
    fn release_all(&mut self) -> Result<(), PipelineError> {
        let finished = self.finish_writing();
        self.publish_offsets();
        self.progress.extend(self.owned.iter_mut().map(|(&number, owned)| (number, *owned.progress())));
        std::mem::take(&mut self.owned).into_values().for_each(Partition::release);
        std::mem::take(&mut self.opening).into_values().for_each(|opening| opening.claim.release());
        self.awaited.clear();
        self.given_up.clear();
        self.unassigned_since = None;
        self.asking = None;
        finished
    }
}

/// Why no records of a partition arrive, the cause that concerns most first.
fn obstacle(
    contact: &Contact,
    store_contact: &Contact,
    kafka: &Kafka,
    number: i32,
    partition: &Partition,
) -> Obstacle {
    if let Some(cause) = contact.obstacle() {
        return Obstacle::Kafka(cause.to_owned());
    }
    if let Some(cause) = store_contact.obstacle() {
        return Obstacle::Store(cause.to_owned());
    }
    if let Some(cause) = kafka.reader.obstacle(number) {
        return Obstacle::Leader(cause.to_owned());
    }
    let (stable, high) = (kafka.reader.last_stable_offset(number), kafka.reader.high_watermark(number));
    partition.open_transaction(stable, high).map_or(Obstacle::None, Obstacle::Transaction)
}
