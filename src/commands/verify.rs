//! `almanac verify`: counts the log again, and compares.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::checkpoint::Checkpoint;
use crate::cli;
use crate::kafka::{Admin, Connection, Span, Topic, read_spans};
use crate::store::{self, Paths};
use crate::verify::{Counts, Difference, Replay};

const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The log that a checkpoint counts is not there, or not all of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unverifiable(String);

/// What came of one partition.
struct Checked {
    counts: Counts,
    difference: Option<Difference>,
}

pub fn run(options: &cli::Verify) -> Result<()> {
    let connection = super::connection(&options.kafka)?;
    let log = Log::find(&connection, &options.kafka.topic)?;
    let dir = &options.dir.dir;
    let checkpoints = checkpoints(dir, &options.partitions)?;
    let results: Vec<Result<Checked>> = thread::scope(|scope| {
        let log = &log;
        let check = |checkpoint| scope.spawn(move || log.check(dir, checkpoint));
        let threads: Vec<_> = checkpoints.iter().map(check).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked; this is a bug")))
        };
        threads.into_iter().map(join).collect()
    });
    log.refuse_changed()?;
    let mut failure = None;
    for (checkpoint, result) in checkpoints.iter().zip(results) {
        let partition = checkpoint.partition;
        match result {
            Ok(Checked { counts, difference }) => {
                super::print(&line(partition, counts, difference.as_ref()))?;
                if let Some(difference) = difference {
                    failure.get_or_insert_with(|| {
                        anyhow!("partition {partition} is not what its log makes: {difference}")
                    });
                }
            }
            Err(error) => {
                super::print(&format!("partition {partition}: not checked\n"))?;
                failure.get_or_insert(error);
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

fn checkpoints(dir: &Path, partitions: &[i32]) -> Result<Vec<Checkpoint>> {
    let found = store::checkpoints_in(dir).with_context(|| {
        format!("no checkpoints to check\nhint: --dir names their directory, now {}", dir.display())
    })?;
    let mut found: Vec<Checkpoint> = found.into_iter().map(|(_, checkpoint)| checkpoint).collect();
    if let Some(missing) = partitions.iter().find(|wanted| found.iter().all(|has| has.partition != **wanted))
    {
        bail!("{} has no partition-{missing}.json", dir.display());
    }
    found.retain(|checkpoint| partitions.is_empty() || partitions.contains(&checkpoint.partition));
    if found.is_empty() {
        bail!("{} has no partition-N.json\nhint: 'almanac consumer' writes them", dir.display());
    }
    Ok(found)
}

fn line(partition: i32, counts: Counts, difference: Option<&Difference>) -> String {
    let Counts { counted, duplicates, rejected } = counts;
    let verdict = if difference.is_some() { "DIFFERENT" } else { "the same" };
    format!(
        "partition {partition}: {} records = {counted} counted + {duplicates} duplicates + {rejected} rejected, {verdict}\n",
        counts.records()
    )
}

/// The topic as it is now.
struct Log<'a> {
    connection: &'a Connection,
    admin: Admin,
    name: &'a str,
    topic: Topic,
    cluster_id: String,
}

impl<'a> Log<'a> {
    fn find(connection: &'a Connection, name: &'a str) -> Result<Self> {
        let admin = Admin::new(connection)?;
        let topic = admin
            .describe(name, ANSWER_MAX)?
            .ok_or_else(|| Unverifiable(format!("topic {name} is not there")))?;
        let cluster_id = admin.cluster_id(ANSWER_MAX)?;
        Ok(Log { connection, admin, name, topic, cluster_id })
    }

    fn check(&self, dir: &Path, checkpoint: &Checkpoint) -> Result<Checked> {
        let number = checkpoint.partition;
        let paths = Paths::new(dir, number);
        let log = store::load_log(&paths)?.ok_or_else(|| {
            Unverifiable(format!("{} is missing: which log is counted is unknown", paths.log().display()))
        })?;
        if (&log.cluster_id, &log.topic_id) != (&self.cluster_id, &self.topic.id) {
            return Err(Unverifiable(format!(
                "partition {number} counts topic {} ({}) of cluster {}, but {} there is now {} of cluster {}",
                log.topic, log.topic_id, log.cluster_id, self.name, self.topic.id, self.cluster_id
            ))
            .into());
        }
        let (low, high) = self.admin.watermarks(self.name, number, ANSWER_MAX)?;
        if low > log.first_offset {
            return Err(Unverifiable(format!(
                "partition {number}: offsets {} to {} are gone from the log, so what they made can't be checked",
                log.first_offset,
                low - 1
            ))
            .into());
        }
        let rejected = store::load_rejected(&paths)?;
        let mut replay = Replay::new(number, log.first_offset);
        let span = Span { partition: number, start: log.first_offset, end: checkpoint.offset.min(high) };
        read_spans(self.connection, self.name, &[span], |record| {
            replay.apply(record.offset, record.key, record.value);
        })?;
        let difference = replay.difference(checkpoint, &rejected, high);
        Ok(Checked { counts: replay.counts(), difference })
    }

    /// What was read counts only if the topic was the same all the time.
    fn refuse_changed(&self) -> Result<()> {
        let now = self.admin.describe(self.name, ANSWER_MAX)?;
        if now.is_none_or(|now| now.id != self.topic.id) {
            return Err(
                Unverifiable(format!("topic {} was deleted or created again meanwhile", self.name)).into()
            );
        }
        Ok(())
    }
}
