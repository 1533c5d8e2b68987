//! `almanac verify`: counts the log again, and compares.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use almanac_core::split::{self, Split};
use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

use super::progress::{self, Reached};
use super::{Exit, Refusal};
use crate::arguments::command_line;
use crate::checkpoint::Checkpoint;
use crate::cli::{self, Format};
use crate::kafka::{self, Account, Admin, Connection, REQUEST_TIMEOUT, Span, Topic, read_all_of_spans};
use crate::report::Decoder;
use crate::store::{self, Gap, Paths, Reader, Rejected, StoreError};
use crate::text::to_json;
use crate::verify::{Counts, Difference, Replay};

/// How many offsets are passed before the bar hears of it: the threads share its numbers.
const OFFSETS_TOLD_AT_ONCE: i64 = 4096;

/// The log that a checkpoint counts is not there, or not all of it.
fn unverifiable(fact: impl Into<String>) -> Refusal {
    Refusal::new(Exit::Checkpoint, fact)
}

/// The result for one partition.
struct Checked {
    counts: Counts,
    /// The content of each offset, by the batches' headers.
    account: Option<Account>,
    difference: Option<Difference>,
    unchecked: Option<Unchecked>,
}

/// A part of a partition that can't be checked, since the log does not hold it any more.
struct Unchecked {
    /// The first offset that was read, where that is not the first that was counted.
    from: Option<i64>,
    reason: String,
}

pub fn run(options: &cli::Verify) -> Result<()> {
    let connection = super::connection(&options.kafka)?;
    let dir = &options.dir.dir;
    let reader = &*store::reader(dir)?;
    super::warn_of_several_topics(reader, dir);
    // Before Kafka is asked, which may be away.
    let partitions = partitions(reader, dir, &options.partitions)?;
    let log = Log::find(&connection, &options.kafka.topic)?;
    let results = check_all(&log, reader, dir, &partitions);
    log.refuse_changed()?;
    let split = split(reader, &partitions);
    match options.format {
        Format::Text => {
            let lines: String = results.iter().map(|(partition, result)| line(*partition, result)).collect();
            super::print_escaped(&lines)?;
        }
        Format::Json => super::print_json(&json(&results, split.as_ref()))?,
    }
    verdict(results, split)
}

/// Checks each partition on a thread of its own.
fn check_all(log: &Log, reader: &dyn Reader, dir: &Path, partitions: &[i32]) -> Vec<(i32, Result<Checked>)> {
    let progress = Progress::default();
    let check = || {
        thread::scope(|scope| {
            let progress = &progress;
            let check = |&partition: &i32| scope.spawn(move || log.check(reader, dir, partition, progress));
            let threads: Vec<_> = partitions.iter().map(check).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked; this is a bug")))
            };
            partitions.iter().copied().zip(threads.into_iter().map(join)).collect()
        })
    };
    progress::with_bar("records", || progress.reached(), check)
}

/// The first difference, else the first partition that could not be checked, else the first of which a part could not.
fn verdict(results: Vec<(i32, Result<Checked>)>, split: Option<Split>) -> Result<()> {
    let (mut different, mut failure, mut partly) = (None, None, None);
    for (partition, result) in results {
        match result {
            Ok(checked) => {
                if let Some(difference) = checked.difference {
                    different.get_or_insert_with(|| {
                        anyhow!("partition {partition} is not what its log makes: {difference}")
                    });
                } else if let Some(unchecked) = checked.unchecked {
                    partly.get_or_insert(unverifiable(unchecked.reason));
                }
            }
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    match split {
        Some(split) if split.days > 0 => {
            let twice = Refusal::new(Exit::Failed, split.to_string()).hint(split::HINT);
            different.get_or_insert_with(|| twice.into());
        }
        Some(split) => tracing::warn!(hint = split::HINT, "{split}"),
        None => {}
    }
    different.or(failure).or(partly.map(Into::into)).map_or(Ok(()), Err)
}

/// Months of these partitions that are also in another file of DIR. No log shows them: each file is what its log makes.
fn split(reader: &dyn Reader, partitions: &[i32]) -> Option<Split> {
    // A file that can't be read is reported where it is checked.
    let load = |partition| reader.checkpoint(partition).ok()?;
    let files: Vec<_> = reader.partitions().ok()?.into_iter().filter_map(load).collect();
    let files = files.iter().map(|file| (file.partition, &file.statistics));
    Split::find(files, |partition| partitions.contains(&partition))
}

fn partitions(reader: &dyn Reader, dir: &Path, named: &[i32]) -> Result<Vec<i32>> {
    let mut found = reader.partitions().context("no checkpoints to check")?;
    if let Some(missing) = named.iter().find(|wanted| !found.contains(wanted)) {
        bail!("{} has no partition-{missing}.json", dir.display());
    }
    found.retain(|partition| named.is_empty() || named.contains(partition));
    if found.is_empty() {
        return Err(super::no_checkpoints(dir).into());
    }
    Ok(found)
}

/// How far the replay is, of all partitions together.
#[derive(Default)]
struct Progress {
    passed: AtomicU64,
    /// Of the partitions of which it is known already.
    total: AtomicU64,
}

impl Progress {
    fn reached(&self) -> Option<Reached> {
        let total = self.total.load(Ordering::Relaxed);
        let done = self.passed.load(Ordering::Relaxed);
        (total > 0).then(|| Reached { done, total: Some(total), rate: None, message: String::new() })
    }
}

fn line(partition: i32, result: &Result<Checked>) -> String {
    let Ok(checked) = result else { return format!("partition {partition}: not checked\n") };
    let Counts { counted, duplicates, rejected, undecoded } = checked.counts;
    let records = checked.counts.records();
    let line = match (&checked.difference, &checked.unchecked) {
        (None, Some(Unchecked { from: Some(from), .. })) => format!(
            "{records} records from offset {from} on: each day is counted, {rejected} rejected are the same; the rest can't be checked"
        ),
        (None, Some(Unchecked { from: None, .. })) => {
            format!("{records} records: each day in the log is counted; the rest can't be checked")
        }
        (difference, _) => {
            let undecoded = if undecoded > 0 { format!(" + {undecoded} undecoded") } else { String::new() };
            let verdict = if difference.is_some() { "DIFFERENT" } else { "the same" };
            format!(
                "{records} records = {counted} counted + {duplicates} duplicates + {rejected} rejected{undecoded}, {verdict}"
            )
        }
    };
    let account =
        checked.account.as_ref().map_or("its offsets can't be accounted for".to_owned(), account_line);
    format!("partition {partition}: {line}\n  {account}\n")
}

/// The content of each offset, by the headers of the log's batches.
fn account_line(account: &Account) -> String {
    let Account { records, control, aborted, removed } = *account;
    let others = [(control, "transaction markers"), (aborted, "aborted"), (removed, "removed")];
    let others: String = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!(" + {count} {what}"))
        .collect();
    format!("{} offsets = {records} records{others}", account.offsets())
}

#[derive(Serialize)]
struct Partition<'a> {
    partition: i32,
    result: &'static str,
    records: Option<u64>,
    counted: Option<u64>,
    duplicates: Option<u64>,
    rejected: Option<u64>,
    /// Records that can't be decoded, without the first of each such batch, which is among the rejected.
    undecoded: Option<u64>,
    /// The content of each offset, by the headers of the log's batches; nothing if only librdkafka reaches the brokers.
    offsets: Option<Account>,
    /// The first difference.
    difference: Option<&'a Difference>,
    /// The first checked offset, if counting began at another one, and why.
    checked_from: Option<i64>,
    reason: Option<String>,
}

fn json(results: &[(i32, Result<Checked>)], split: Option<&Split>) -> String {
    #[derive(Serialize)]
    struct Partitions<'a> {
        partitions: Vec<Partition<'a>>,
        split: Option<&'a Split>,
    }
    let partitions = results.iter().map(|(partition, result)| partition_of(*partition, result)).collect();
    to_json(&Partitions { partitions, split }) + "\n"
}

fn partition_of(partition: i32, result: &Result<Checked>) -> Partition<'_> {
    let checked = result.as_ref().ok();
    let counts = checked.map(|checked| checked.counts);
    let unchecked = checked.and_then(|checked| checked.unchecked.as_ref());
    Partition {
        partition,
        result: match checked {
            None => "not_checked",
            Some(Checked { difference: Some(_), .. }) => "different",
            Some(Checked { unchecked: Some(_), .. }) => "partly_checked",
            Some(_) => "same",
        },
        records: counts.map(|counts| counts.records()),
        counted: counts.map(|counts| counts.counted),
        duplicates: counts.map(|counts| counts.duplicates),
        rejected: counts.map(|counts| counts.rejected),
        undecoded: counts.map(|counts| counts.undecoded),
        offsets: checked.and_then(|checked| checked.account),
        difference: checked.and_then(|checked| checked.difference.as_ref()),
        checked_from: unchecked.and_then(|unchecked| unchecked.from),
        reason: match result {
            Ok(_) => unchecked.map(|unchecked| unchecked.reason.clone()),
            Err(error) => Some(format!("{error:#}")),
        },
    }
}

/// A log within which records are missing can't be checked.
fn compacted(account: Option<&Account>) -> Option<Unchecked> {
    let removed = account?.removed;
    (removed > 0).then(|| Unchecked {
        from: None,
        reason: format!(
            "{removed} offsets hold no record any more, as compaction leaves them, so what these made can't be checked"
        ),
    })
}

/// The counted part of the log that is gone, and the first offset of the rest.
fn unchecked(log: &store::Log, low: i64) -> Option<Unchecked> {
    if let Some(gap) = log.gaps.last() {
        let Gap { from, to } = *gap;
        let reason = format!(
            "counting continued at offset {to} instead of {from}, so what was counted before can't be checked"
        );
        return Some(Unchecked { from: Some(to.max(low)), reason });
    }
    (low > log.first_offset).then(|| Unchecked {
        from: Some(low),
        reason: format!(
            "offsets {} to {} are gone from the log, so what they made can't be checked",
            log.first_offset,
            low - 1
        ),
    })
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
            .describe(name, REQUEST_TIMEOUT)?
            .ok_or_else(|| unverifiable(format!("topic {name} is not there")))?;
        let cluster_id = admin.cluster_id(REQUEST_TIMEOUT)?;
        Ok(Log { connection, admin, name, topic, cluster_id })
    }

    fn check(&self, reader: &dyn Reader, dir: &Path, number: i32, progress: &Progress) -> Result<Checked> {
        let (log, checkpoint) = self.counted(reader, dir, number)?;
        let (low, high) = self.admin.watermarks(self.name, number, REQUEST_TIMEOUT)?;
        let unchecked = unchecked(&log, low);
        let from = unchecked.as_ref().and_then(|unchecked| unchecked.from);
        let start = from.unwrap_or(log.first_offset);
        let from = from.unwrap_or(i64::MIN);
        let is_checked = |line: &Result<Rejected, _>| line.as_ref().map_or(true, |line| line.offset >= from);
        let rejected = reader.rejected(number)?.filter(is_checked);
        // A former version, which knew no stations, left no place.
        let place = reader.place(&self.topic.id)?;
        let decoder = place.map_or_else(Decoder::default, |place| Decoder::of(&place.station));
        let mut replay = Replay::new(number, start, decoder, rejected, checkpoint.offset);
        let span = Span { partition: number, start, end: checkpoint.offset.min(high) };
        self.replay(span, &mut replay, progress)?;
        let account = kafka::account(&self.admin, self.name, span)?;
        let unchecked = unchecked.or_else(|| compacted(account.as_ref())).or_else(|| self.is_compacted());
        let difference = match unchecked {
            None => replay.difference(&checkpoint, high),
            Some(Unchecked { from: Some(_), .. }) => replay.difference_from(&checkpoint, high),
            Some(Unchecked { from: None, .. }) => Ok(replay.uncounted(&checkpoint, high)),
        }?;
        let counts = replay.counts();
        let miscount = account.filter(|account| account.records != counts.records());
        let miscount =
            miscount.map(|account| Difference::Records { headers: account.records, read: counts.records() });
        Ok(Checked { counts, account, difference: miscount.or(difference), unchecked })
    }

    /// The checkpoint of a partition, and the log that it counts, which must be this one.
    fn counted(&self, reader: &dyn Reader, dir: &Path, number: i32) -> Result<(store::Log, Checkpoint)> {
        let paths = Paths::new(dir, number);
        let loaded = reader.load(number)?;
        let checkpoint = loaded
            .checkpoint
            .ok_or_else(|| unverifiable(format!("{} has gone", paths.checkpoint().display())))?;
        let log = loaded.log.ok_or_else(|| {
            unverifiable(format!("{} is missing: which log is counted is unknown", paths.log().display()))
        })?;
        if (&log.cluster_id, &log.topic_id) != (&self.cluster_id, &self.topic.id) {
            return Err(unverifiable(format!(
                "partition {number} counts topic {} ({}) of cluster {}, but {} there is now {} of cluster {}",
                log.topic, log.topic_id, log.cluster_id, self.name, self.topic.id, self.cluster_id
            ))
            .into());
        }
        if log.is_starting_over {
            let dir = dir.display().to_string();
            let given = [("-b", self.connection.brokers.as_str()), ("-t", self.name), ("-d", &dir)];
            let consumer = command_line(&format!("almanac consumer {number}"), &given);
            return Err(unverifiable(format!("partition {number} is being archived"))
                .hint(format!("run `{consumer}` to finish that"))
                .into());
        }
        Ok((log, checkpoint))
    }

    fn replay(
        &self,
        span: Span,
        replay: &mut Replay<impl Iterator<Item = Result<Rejected, StoreError>>>,
        progress: &Progress,
    ) -> Result<()> {
        progress.total.fetch_add(span.len().max(0).unsigned_abs(), Ordering::Relaxed);
        let mut told = span.start;
        read_all_of_spans(self.connection, self.name, &[span], |record| {
            let offset = match &record {
                Ok(record) => {
                    replay.apply(record.offset, record.key, record.value);
                    record.offset
                }
                Err(refused) => {
                    replay.set_aside(refused);
                    refused.offset()
                }
            };
            let passed = offset - told;
            if passed >= OFFSETS_TOLD_AT_ONCE {
                progress.passed.fetch_add(passed.unsigned_abs(), Ordering::Relaxed);
                told = offset;
            }
        })?;
        Ok(())
    }

    /// A topic from which Kafka removes records that were counted.
    fn is_compacted(&self) -> Option<Unchecked> {
        let policy = self.admin.cleanup_policy(self.name, REQUEST_TIMEOUT);
        // Without the right to see the topic's configuration, the account shows the missing records.
        policy.ok().flatten().filter(|policy| policy.contains("compact")).map(|policy| Unchecked {
            from: None,
            reason: format!(
                "topic {} has cleanup.policy={policy}: Kafka removes records, so what they made can't be checked",
                self.name
            ),
        })
    }

    /// The result counts only if the topic was the same all the time.
    fn refuse_changed(&self) -> Result<()> {
        let now = self.admin.describe(self.name, REQUEST_TIMEOUT)?;
        if now.is_none_or(|now| now.id != self.topic.id) {
            return Err(
                unverifiable(format!("topic {} was deleted or created again meanwhile", self.name)).into()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RejectReason;
    use crate::verify::Value;

    #[test]
    fn json_says_what_the_lines_say() {
        let counts = Counts { counted: 31, duplicates: 2, rejected: 1, undecoded: 0 };
        let account = Some(Account { records: 34, control: 2, aborted: 0, removed: 1 });
        let checked = |difference, unchecked| Ok(Checked { counts, account, difference, unchecked });
        let cell = |field, file, log| Difference::Cell { month: "January", year: 1990, field, file, log };
        let rejected = Rejected::new(17, RejectReason::NoValue, Some(b"January"), None);
        let unchecked = || Some(Unchecked { from: Some(7), reason: "offsets 0 to 6 are gone".to_owned() });
        let results = [
            checked(None, None),
            checked(Some(cell("sum", Some(Value::Degrees(-58.3)), Some(Value::Degrees(-58.25)))), None),
            checked(Some(cell("days", Some(Value::Days(vec![1])), Some(Value::Days(vec![1, 2])))), None),
            checked(Some(cell("count", None, Some(Value::Number(31)))), None),
            checked(Some(Difference::Offset { file: 36, log_end: 34 }), None),
            checked(
                Some(Difference::Rejected { line: 1, file: None, log: Some(Box::new(rejected)) }),
                unchecked(),
            ),
            checked(None, unchecked()),
            Err(anyhow!("files/partition-7.json: it is none")),
        ];
        let results: Vec<(i32, Result<Checked>)> = (0..).zip(results).collect();
        let lines: String = results.iter().map(|(partition, result)| line(*partition, result)).collect();
        let json = json(&results, None);
        assert_eq!(json.lines().count(), 1);
        insta::assert_snapshot!(
            "json",
            format!("{lines}\n{}", json.replace("{\"partition\"", "\n{\"partition\""))
        );
    }
}
