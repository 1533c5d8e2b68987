//! Requests about the offsets, leader epochs and configuration of a topic, and what a broker can do.

use super::wire::{self, EpochEnd, Malformed, Reader, Request};

const LIST_OFFSETS: i16 = 2;
const LIST_OFFSETS_VERSION: i16 = 6;
const API_VERSIONS: i16 = 18;
const OFFSET_FOR_LEADER_EPOCH: i16 = 23;
const OFFSET_FOR_LEADER_EPOCH_VERSION: i16 = 4;
const DESCRIBE_CONFIGS: i16 = 32;
const DESCRIBE_CONFIGS_VERSION: i16 = 4;

/// Kafka's number for a request that comes from a client and not from a replica.
const CLIENT: i32 = -1;

/// The offset of a partition that a request is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OffsetOf {
    /// The first that the log holds.
    Start,
    /// One past the last record that all in-sync replicas have: the high watermark.
    End,
    /// The end for a reader of committed records: the last stable offset.
    StableEnd,
}

/// An offset, and the leader epoch of the record there or before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListedOffset {
    pub offset: i64,
    pub leader_epoch: Option<i32>,
}

/// A value, or Kafka's error code.
pub type Answered<T> = Result<T, i16>;

pub fn list_offsets_request(
    correlation: i32,
    client_id: &str,
    topic: &str,
    partition: i32,
    which: OffsetOf,
) -> Vec<u8> {
    const UNKNOWN_EPOCH: i32 = -1;
    let (timestamp, read_committed) = match which {
        OffsetOf::Start => (-2, 0),
        OffsetOf::End => (-1, 0),
        OffsetOf::StableEnd => (-1, 1),
    };
    let mut request = Request::new(LIST_OFFSETS, LIST_OFFSETS_VERSION, correlation, client_id);
    request.int32(CLIENT);
    request.bytes(&[read_committed]);
    request.count(1);
    request.text(topic);
    request.count(1);
    request.int32(partition);
    request.int32(UNKNOWN_EPOCH);
    request.int64(timestamp);
    request.no_tags();
    request.no_tags();
    request.no_tags();
    request.done()
}

/// The response to a [`list_offsets_request`] for this partition, after its size.
pub fn listed_offset(
    response: &[u8],
    correlation: i32,
    topic: &str,
    partition: i32,
) -> Result<Answered<ListedOffset>, Malformed> {
    let mut reader = Reader::of_response(response, correlation)?;
    reader.int32()?;
    of_partition(&mut reader, topic, |reader| {
        let found = reader.int32()?;
        let error = reader.int16()?;
        reader.int64()?;
        let (offset, epoch) = (reader.int64()?, reader.int32()?);
        reader.tags()?;
        let listed = ListedOffset { offset, leader_epoch: Some(epoch).filter(|epoch| *epoch >= 0) };
        if found == partition { Ok(answered(error, listed)) } else { Err(Malformed) }
    })
}

pub fn epoch_end_request(
    correlation: i32,
    client_id: &str,
    topic: &str,
    partition: i32,
    epoch: i32,
) -> Vec<u8> {
    const ANY_CURRENT_EPOCH: i32 = -1;
    let mut request =
        Request::new(OFFSET_FOR_LEADER_EPOCH, OFFSET_FOR_LEADER_EPOCH_VERSION, correlation, client_id);
    request.int32(CLIENT);
    request.count(1);
    request.text(topic);
    request.count(1);
    request.int32(partition);
    request.int32(ANY_CURRENT_EPOCH);
    request.int32(epoch);
    request.no_tags();
    request.no_tags();
    request.no_tags();
    request.done()
}

/// The response to an [`epoch_end_request`] for this partition, after its size: the largest epoch up to the requested
/// one that the log has, and where it ends. Both are -1 where the log has none.
pub fn epoch_end(
    response: &[u8],
    correlation: i32,
    topic: &str,
    partition: i32,
) -> Result<Answered<EpochEnd>, Malformed> {
    let mut reader = Reader::of_response(response, correlation)?;
    reader.int32()?;
    of_partition(&mut reader, topic, |reader| {
        let error = reader.int16()?;
        let found = reader.int32()?;
        let (epoch, end_offset) = (reader.int32()?, reader.int64()?);
        reader.tags()?;
        if found == partition { Ok(answered(error, EpochEnd { epoch, end_offset })) } else { Err(Malformed) }
    })
}

/// The only partition of the only topic of a response.
fn of_partition<'a, T>(
    reader: &mut Reader<'a>,
    topic: &str,
    partition: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed> + Copy,
) -> Result<T, Malformed> {
    let topics = reader.list(|reader| {
        let is_ours = reader.text()? == topic;
        let partitions = reader.list(partition)?;
        reader.tags()?;
        if is_ours { Ok(partitions) } else { Err(Malformed) }
    })?;
    let [found] =
        <[T; 1]>::try_from(topics.into_iter().flatten().collect::<Vec<T>>()).map_err(|_| Malformed)?;
    Ok(found)
}

fn answered<T>(error: i16, value: T) -> Answered<T> {
    if error == 0 { Ok(value) } else { Err(error) }
}

pub fn topic_configs_request(correlation: i32, client_id: &str, topic: &str, names: &[&str]) -> Vec<u8> {
    const TOPIC: u8 = 2;
    let mut request = Request::new(DESCRIBE_CONFIGS, DESCRIBE_CONFIGS_VERSION, correlation, client_id);
    request.count(1);
    request.bytes(&[TOPIC]);
    request.text(topic);
    request.count(names.len());
    names.iter().for_each(|name| request.text(name));
    request.no_tags();
    // Neither synonyms nor documentation.
    request.bytes(&[0, 0]);
    request.no_tags();
    request.done()
}

/// The response to a [`topic_configs_request`], after its size: names and values.
pub fn topic_configs(
    response: &[u8],
    correlation: i32,
) -> Result<Answered<Vec<(String, String)>>, Malformed> {
    let mut reader = Reader::of_response(response, correlation)?;
    reader.int32()?;
    let results = reader.list(|reader| {
        let error = reader.int16()?;
        reader.text()?;
        reader.take(1)?;
        reader.text()?;
        let configs = reader.list(config)?;
        reader.tags()?;
        Ok(answered(error, configs))
    })?;
    let [found] = <[_; 1]>::try_from(results).map_err(|_| Malformed)?;
    Ok(found)
}

fn config(reader: &mut Reader) -> Result<(String, String), Malformed> {
    let (name, value) = (reader.text()?.to_owned(), reader.text()?.to_owned());
    // Whether it is read-only, where it comes from, whether it is a secret.
    reader.take(3)?;
    reader.list(|synonym| {
        synonym.text()?;
        synonym.text()?;
        synonym.take(1)?;
        synonym.tags()
    })?;
    reader.take(1)?;
    reader.text()?;
    reader.tags()?;
    Ok((name, value))
}

/// Requests the versions of each request that a broker has. Every broker understands this version of the request.
pub fn api_versions_request(correlation: i32, client_id: &str) -> Vec<u8> {
    Request::without_tags(API_VERSIONS, 0, correlation, client_id).done()
}

/// The version of Fetch for a broker, from its response after the size; nothing if it lacks any of the requests that almanac
/// makes without librdkafka.
pub fn fetch_version(response: &[u8], correlation: i32) -> Result<Option<i16>, Malformed> {
    let mut reader = Reader::of_response_without_tags(response, correlation)?;
    if reader.int16()? != 0 {
        return Ok(None);
    }
    let mut missing = vec![
        (wire::FETCH, wire::FETCH_VERSION),
        (wire::METADATA, wire::METADATA_VERSION),
        (LIST_OFFSETS, LIST_OFFSETS_VERSION),
        (OFFSET_FOR_LEADER_EPOCH, OFFSET_FOR_LEADER_EPOCH_VERSION),
        (DESCRIBE_CONFIGS, DESCRIBE_CONFIGS_VERSION),
    ];
    let mut fetch = wire::FETCH_VERSION;
    for _ in 0..reader.int32()? {
        let (key, least, most) = (reader.int16()?, reader.int16()?, reader.int16()?);
        missing.retain(|(wanted, version)| *wanted != key || !(least..=most).contains(version));
        if key == wire::FETCH {
            fetch = most.min(wire::FETCH_VERSION_MAX);
        }
    }
    Ok(missing.is_empty().then_some(fetch))
}
