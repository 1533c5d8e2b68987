//! Reads what is kept of a partition, without a claim.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use almanac_core::log::Log;
use almanac_core::place::{Place, STATION_BYTES_MAX};
use almanac_core::rejected::{Entries, LINE_BYTES_MAX, LineError, Rejected, each_passed};

use super::error::StoreError;
use super::files::{
    open_if_there, open_plain, read_bounded, read_if_there, read_lines, read_plain, size_and_time,
};
use super::keep::{Loaded, Reader};
use super::paths::{Paths, place_path};
use crate::checkpoint::Checkpoint;
use crate::report::RejectReason;
use crate::status::{Durable, Status};

/// The largest checkpoint in bytes. A longer file is not a checkpoint, and must not fill the memory.
///
/// The largest one has every month of the years 1 to 9999, each with its first and last day only and numbers of 24
/// characters. So 26 to 29 days of a month are missing. almanac writes this in less than 69 MB. Twice as much also
/// holds an indented file.
pub const CHECKPOINT_BYTES_MAX: u64 = 128 << 20;

/// The same of `status.json`, which has one line.
pub(super) const STATUS_BYTES_MAX: u64 = 64 << 10;

/// The same of a place.
pub(super) const PLACE_BYTES_MAX: u64 = 64 << 10;

pub fn load(paths: &Paths) -> Result<Loaded, StoreError> {
    Ok(Loaded { log: load_log(paths)?, checkpoint: load_checkpoint(paths)? })
}

/// Whether a claim could read a partition's files. Takes nothing, and changes nothing.
pub fn check(dir: &Path, partition: i32) -> Result<(), StoreError> {
    let paths = Paths::new(dir, partition);
    each_passed_rejected(&paths, passed(&load(&paths)?), |error| error, |_| Ok(()))
}

/// The offset that the rejected file's entries must lie below. If the checkpoint was moved away, all are kept
/// until the user decides what happens to the partition.
pub(super) fn passed(loaded: &Loaded) -> i64 {
    loaded.checkpoint.as_ref().map_or(i64::MAX, |checkpoint| checkpoint.offset)
}

/// `log.json`, if there is one.
pub fn load_log(paths: &Paths) -> Result<Option<Log>, StoreError> {
    let path = paths.log();
    let Some(json) = read_if_there(&path)? else { return Ok(None) };
    Log::from_json(&json).map(Some).map_err(|error| StoreError::unreadable(&path, error))
}

/// Every `log.json` in DIR that can be read; the others are refused when their partition is taken.
pub fn logs_in(dir: &Path) -> Vec<Log> {
    let Ok(entries) = fs::read_dir(dir.join(".almanac")) else { return Vec::new() };
    let partitions = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    partitions.filter_map(|partition| load_log(&Paths::new(dir, partition)).ok().flatten()).collect()
}

/// The topics, each with its cluster, that the logs of DIR are of; one, unless something went wrong.
pub fn topics_of(reader: &dyn Reader) -> BTreeSet<(String, String)> {
    let logs = reader.logs().unwrap_or_default();
    logs.into_iter().map(|log| (log.topic, log.cluster_id)).collect()
}

/// The rejected records of a partition, one after the other, without a last line that is still being written. An error
/// is the last item.
pub fn rejected_in(
    paths: &Paths,
) -> Result<impl Iterator<Item = Result<Rejected, StoreError>> + use<>, StoreError> {
    let path = paths.rejected();
    let entries = Entries::new(read_lines(&path)?);
    Ok(entries.map(move |entry| entry.map_err(|error| error_of_line(&path, error))))
}

/// All of them at once.
pub fn load_rejected(paths: &Paths) -> Result<Vec<Rejected>, StoreError> {
    rejected_in(paths)?.collect()
}

fn error_of_line(path: &Path, error: LineError) -> StoreError {
    match error {
        LineError::Io(source) => StoreError::io("read", path)(source),
        LineError::Bad(reason) => StoreError::unreadable(path, reason),
    }
}

/// Why the first record in the rejected file was rejected; nothing where there is none, or none that can be read.
pub fn first_reason(paths: &Paths) -> Option<RejectReason> {
    let file = open_plain(&paths.rejected()).ok()??;
    let mut line = String::new();
    BufReader::new(file.take(LINE_BYTES_MAX as u64)).read_line(&mut line).ok()?;
    serde_json::from_str(&line).map(|rejected: Rejected| rejected.reason).ok()
}

/// How many lines a partition's rejected file has.
pub fn count_rejected(dir: &Path, partition: i32) -> Result<u64, StoreError> {
    let path = Paths::new(dir, partition).rejected();
    let Some(mut file) = open_if_there(&path)? else { return Ok(0) };
    let (mut bytes, mut lines) = (vec![0; 64 << 10], 0);
    loop {
        let count = file.read(&mut bytes).map_err(StoreError::io("read", &path))?;
        if count == 0 {
            return Ok(lines);
        }
        lines += bytes.iter().take(count).filter(|byte| **byte == b'\n').count() as u64;
    }
}

/// The checkpoint of a partition, if there is one.
pub fn load_checkpoint(paths: &Paths) -> Result<Option<Checkpoint>, StoreError> {
    let Some(json) = read_checkpoint(paths)? else { return Ok(None) };
    checkpoint_of(paths, &json).map(Some)
}

/// The checkpoint of a partition with the bytes of its file, for a caller that passes them on. Only a plain file in DIR
/// is read, and no symbolic link is followed.
pub fn load_checkpoint_as_is(paths: &Paths) -> Result<Option<(Vec<u8>, Checkpoint)>, StoreError> {
    let Some(json) = read_plain(&paths.checkpoint(), CHECKPOINT_BYTES_MAX)? else { return Ok(None) };
    let checkpoint = checkpoint_of(paths, &json)?;
    Ok(Some((json, checkpoint)))
}

/// The content of a partition's file, from which this checkpoint was loaded, or which was just replaced by it.
pub fn durable_of(dir: &Path, checkpoint: &Checkpoint) -> Durable {
    let path = Paths::new(dir, checkpoint.partition).checkpoint();
    let (bytes, written) = size_and_time(&path, true);
    Durable::of(checkpoint, bytes.unwrap_or(0), written)
}

/// The bytes of a partition's checkpoint, if there is one.
pub(super) fn read_checkpoint(paths: &Paths) -> Result<Option<Vec<u8>>, StoreError> {
    let path = paths.checkpoint();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    read_bounded(&file, &path, CHECKPOINT_BYTES_MAX).map(Some)
}

/// The checkpoint that these bytes hold.
fn checkpoint_of(paths: &Paths, json: &[u8]) -> Result<Checkpoint, StoreError> {
    let path = paths.checkpoint();
    let checkpoint = Checkpoint::from_json(json).map_err(|error| StoreError::unreadable(&path, error))?;
    if checkpoint.partition != paths.partition() {
        let reason = format!("it is the checkpoint of partition {}", checkpoint.partition);
        return Err(StoreError::unreadable(&path, reason));
    }
    let (days, offset) = (checkpoint.statistics.days(), checkpoint.offset);
    // Each day counted was a record below the offset, and offsets begin at 0.
    if days > offset.unsigned_abs() && !load_log(paths)?.is_some_and(|log| log.may_go_back()) {
        let reason = format!("{days} days can't have been counted before offset {offset}");
        return Err(StoreError::unreadable(&path, reason));
    }
    Ok(checkpoint)
}

/// The last status that the consumer wrote for a partition, if there is one that can be read.
pub fn load_status(paths: &Paths) -> Result<Option<Status>, StoreError> {
    match read_plain(&paths.status(), STATUS_BYTES_MAX) {
        Ok(json) => Ok(json.and_then(|json| serde_json::from_slice(&json).ok())),
        Err(StoreError::Unreadable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The partitions that have a checkpoint in DIR, in order.
pub fn partitions_in(dir: &Path) -> Result<Vec<i32>, StoreError> {
    let names = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(|error| {
        match error.kind() {
            io::ErrorKind::NotFound => StoreError::NoDir { dir: dir.to_owned() },
            _ => StoreError::io("read directory", dir)(error),
        }
    })?;
    let mut partitions: Vec<i32> =
        names.iter().filter_map(|entry| partition_of(entry.file_name().to_str()?)).collect();
    partitions.sort_unstable();
    Ok(partitions)
}

/// The partition of which a checkpoint has this name. Only the name that a checkpoint of ours has: `partition-02.json` is
/// not another partition 2.
pub(super) fn partition_of(name: &str) -> Option<i32> {
    let digits = name.strip_prefix("partition-")?.strip_suffix(".json")?;
    digits.parse().ok().filter(|partition: &i32| *partition >= 0 && partition.to_string() == digits)
}

/// Every checkpoint in DIR, in the order of partitions.
pub fn checkpoints(reader: &dyn Reader) -> Result<Vec<Checkpoint>, StoreError> {
    let found = reader.partitions()?.into_iter().map(|partition| reader.checkpoint(partition).transpose());
    found.flatten().collect()
}

/// The place of a log in DIR, if it is decided.
pub fn load_place(dir: &Path, topic_id: &str) -> Result<Option<Place>, StoreError> {
    let path = place_path(dir, topic_id);
    let Some(json) = read_plain(&path, PLACE_BYTES_MAX)? else { return Ok(None) };
    place_from(&path, &json).map(Some)
}

/// The place that a file or an object has.
pub(super) fn place_from(path: &Path, json: &[u8]) -> Result<Place, StoreError> {
    let place: Place = serde_json::from_slice(json).map_err(|error| StoreError::unreadable(path, error))?;
    if place.station.len() > STATION_BYTES_MAX {
        return Err(StoreError::unreadable(path, "its station is too long"));
    }
    Ok(place.cleaned())
}

/// The place of the log that DIR counts, if it is decided and can be read.
pub fn place_of(reader: &dyn Reader) -> Option<Place> {
    let partitions = reader.partitions().ok()?;
    let logs = partitions.into_iter().filter_map(|partition| reader.log(partition).ok()?);
    logs.into_iter().find_map(|log| reader.place(&log.topic_id).ok()?)
}

/// Gives each line of the rejected file that a checkpoint with this offset has passed to `keep`.
pub(super) fn each_passed_rejected<E>(
    paths: &Paths,
    offset: i64,
    failed: impl Fn(StoreError) -> E,
    keep: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let path = paths.rejected();
    let lines = read_lines(&path).map_err(&failed)?;
    each_passed(lines, offset, |error| failed(error_of_line(&path, error)), keep)
}
