//! A second reader of a broker's responses, written from the text of Kafka's protocol: Metadata in version 12, Fetch in version 13, record
//! batches of magic 2. Slow and plain, to hold the fast readers against.

/// As [`almanac_core::protocol::wire::Metadata`]: brokers as (id, host, port), the cluster's id, the topic's id, and each partition as
/// (partition, leader if there is one, epoch).
pub type Metadata = (Vec<(i32, String, u16)>, String, Result<([u8; 16], Vec<(i32, Option<i32>, i32)>), i16>);

/// One partition of a fetch.
pub struct Partition<'a> {
    pub index: i32,
    pub error_code: i16,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    /// Producer and first offset of each.
    pub aborted_transactions: Vec<(i64, i64)>,
    /// Epoch and end offset, of a log that diverges.
    pub diverging_epoch: Option<(i32, i64)>,
    /// Leader and its epoch.
    pub current_leader: Option<(i32, i32)>,
    pub records: &'a [u8],
}

/// Version 1 of SaslHandshake: the error and the mechanisms.
pub fn sasl_handshake(mut answer: &[u8]) -> Option<(i16, Vec<String>)> {
    let rest = &mut answer;
    let _correlation = int32(rest)?;
    let (error_code, count) = (int16(rest)?, int32(rest)?);
    let mut mechanisms = Vec::new();
    for _ in 0..count {
        mechanisms.push(string(rest)??);
    }
    Some((error_code, mechanisms))
}

/// Version 1 of SaslAuthenticate: error, its message, the mechanism's bytes, the session's lifetime.
pub fn sasl_authenticated(mut answer: &[u8]) -> Option<(i16, Option<String>, Vec<u8>, i64)> {
    let rest = &mut answer;
    let _correlation = int32(rest)?;
    let (error_code, message, length) = (int16(rest)?, string(rest)?, int32(rest)?);
    let bytes = take(rest, usize::try_from(length.max(0)).ok()?)?.to_vec();
    Some((error_code, message, bytes, int64(rest)?))
}

/// A text with a length of two bytes, or none.
fn string(rest: &mut &[u8]) -> Option<Option<String>> {
    let length = int16(rest)?;
    if length < 0 {
        return Some(None);
    }
    let bytes = take(rest, usize::try_from(length).ok()?)?;
    Some(Some(String::from_utf8(bytes.to_vec()).ok()?))
}

pub fn metadata(mut answer: &[u8]) -> Option<Metadata> {
    let rest = &mut answer;
    response_header(rest)?;
    let _throttle_time = int32(rest)?;
    let brokers = compact_array(rest, |rest| {
        let (id, host, port) = (int32(rest)?, compact_string(rest)?.to_owned(), int32(rest)?);
        let _rack = compact_string(rest)?;
        tagged_fields(rest)?;
        Some((id, host, u16::try_from(port).ok()?))
    })?;
    let cluster_id = compact_string(rest)?.to_owned();
    let _controller_id = int32(rest)?;
    let mut topics = compact_array(rest, |rest| {
        let error_code = int16(rest)?;
        let _name = compact_string(rest)?;
        let id: [u8; 16] = take(rest, 16)?.try_into().ok()?;
        let _is_internal = take(rest, 1)?;
        let partitions = compact_array(rest, |rest| {
            let (error_code, index, leader, epoch) = (int16(rest)?, int32(rest)?, int32(rest)?, int32(rest)?);
            let _replicas = compact_array(rest, int32)?;
            let _in_sync = compact_array(rest, int32)?;
            let _offline = compact_array(rest, int32)?;
            tagged_fields(rest)?;
            Some((error_code, (index, leader, epoch)))
        })?;
        let _authorized_operations = int32(rest)?;
        tagged_fields(rest)?;
        Some((error_code, id, partitions))
    })?;
    if topics.iter().any(|(error_code, id, _)| *error_code == 0 && *id == [0; 16]) {
        return None;
    }
    let (error_code, id, partitions) = topics.pop()?;
    if !topics.is_empty() {
        return None;
    }
    let leader = |error_code, leader| (error_code == 0 && leader >= 0).then_some(leader);
    let partitions =
        partitions.into_iter().map(|(error_code, (index, id, epoch)): (i16, (i32, i32, i32))| {
            (index, leader(error_code, id), epoch)
        });
    let topic = if error_code == 0 { Ok((id, partitions.collect())) } else { Err(error_code) };
    Some((brokers, cluster_id, topic))
}

/// The answer to a fetch of this topic and no other.
pub fn fetched<'a>(mut answer: &'a [u8], topic_id: &[u8; 16]) -> Option<Vec<Partition<'a>>> {
    let rest = &mut answer;
    response_header(rest)?;
    let _throttle_time = int32(rest)?;
    let error_code = int16(rest)?;
    let _session_id = int32(rest)?;
    let topics = compact_array(rest, |rest| {
        let id = take(rest, 16)?;
        let partitions = compact_array(rest, |rest| {
            let (index, error_code) = (int32(rest)?, int16(rest)?);
            let (high_watermark, last_stable_offset) = (int64(rest)?, int64(rest)?);
            let _log_start_offset = int64(rest)?;
            let aborted = compact_array(rest, |rest| {
                let aborted = (int64(rest)?, int64(rest)?);
                tagged_fields(rest)?;
                Some(aborted)
            })?;
            let _preferred_read_replica = int32(rest)?;
            let records = compact_bytes(rest)?;
            let (mut diverging_epoch, mut current_leader) = (None, None);
            for (tag, mut field) in tagged_fields(rest)? {
                if tag == 0 {
                    diverging_epoch = Some((int32(&mut field)?, int64(&mut field)?));
                } else if tag == 1 {
                    current_leader = Some((int32(&mut field)?, int32(&mut field)?));
                }
            }
            Some(Partition {
                index,
                error_code,
                high_watermark,
                last_stable_offset,
                aborted_transactions: aborted,
                diverging_epoch,
                current_leader,
                records,
            })
        })?;
        tagged_fields(rest)?;
        (id == topic_id).then_some(partitions)
    })?;
    (error_code == 0).then(|| topics.into_iter().flatten().collect())
}

/// The fields between a batch's checksum and its records, and the records.
pub struct Batch<'a> {
    pub base_offset: i64,
    pub partition_leader_epoch: i32,
    pub magic: u8,
    pub is_checksum_right: bool,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub producer_id: i64,
    pub count: i32,
    pub records: &'a [u8],
}

/// The next batch; nothing where it is cut short. Nothing in it where it is shorter than any.
pub fn batch<'a>(rest: &mut &'a [u8]) -> Option<Option<Batch<'a>>> {
    let mut ahead = *rest;
    let base_offset = int64(&mut ahead)?;
    let length = usize::try_from(int32(&mut ahead)?).ok()?;
    let mut bytes = take(&mut ahead, length)?;
    *rest = ahead;
    Some(content(base_offset, &mut bytes))
}

fn content<'a>(base_offset: i64, rest: &mut &'a [u8]) -> Option<Batch<'a>> {
    let partition_leader_epoch = int32(rest)?;
    let magic = take(rest, 1)?[0];
    // A batch of another version has other bytes after it.
    let mut batch = Batch {
        base_offset,
        partition_leader_epoch,
        magic,
        is_checksum_right: false,
        attributes: 0,
        last_offset_delta: 0,
        producer_id: 0,
        count: 0,
        records: &[],
    };
    if magic != 2 {
        return Some(batch);
    }
    let checksum = int32(rest)? as u32;
    batch.is_checksum_right = checksum == crc32c(rest);
    if !batch.is_checksum_right {
        return Some(batch);
    }
    batch.attributes = int16(rest)?;
    batch.last_offset_delta = int32(rest)?;
    let _base_and_max_timestamp = take(rest, 16)?;
    batch.producer_id = int64(rest)?;
    let _producer_epoch_and_base_sequence = take(rest, 2 + 4)?;
    batch.count = int32(rest)?;
    batch.records = rest;
    Some(batch)
}

/// Offset delta, key and value of the next record.
pub type Record<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>);

pub fn record<'a>(rest: &mut &'a [u8]) -> Option<Record<'a>> {
    let length = usize::try_from(varint(rest)?).ok()?;
    let mut record = take(rest, length)?;
    let record = &mut record;
    let _attributes = take(record, 1)?;
    let _timestamp_delta = varint(record)?;
    let delta = varint(record)?;
    Some((delta, nullable_bytes(record)?, nullable_bytes(record)?))
}

/// Puts the right checksum into each batch of magic 2, which no mutation would hit on.
pub fn mend_checksums(bytes: &mut [u8]) {
    const LENGTH: usize = 8;
    const AFTER_LENGTH: usize = 12;
    const MAGIC: usize = 16;
    const CHECKSUM: usize = 17;
    const COVERED: usize = 21;
    let mut at = 0;
    while let Some(length) = bytes.get(at + LENGTH..at + AFTER_LENGTH) {
        let length = i32::from_be_bytes(length.try_into().unwrap());
        let Some(end) = usize::try_from(length).ok().map(|length| at + AFTER_LENGTH + length) else { return };
        if end > bytes.len() {
            return;
        }
        if end >= at + COVERED && bytes[at + MAGIC] == 2 {
            let checksum = crc32c(&bytes[at + COVERED..end]);
            bytes[at + CHECKSUM..at + COVERED].copy_from_slice(&checksum.to_be_bytes());
        }
        at = end;
    }
}

/// Bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |rest: u32, _| (rest >> 1) ^ (POLYNOMIAL * (rest & 1));
    !bytes.iter().fold(!0, |rest, byte| (0..8).fold(rest ^ u32::from(*byte), step))
}

fn response_header(rest: &mut &[u8]) -> Option<()> {
    let _correlation_id = int32(rest)?;
    tagged_fields(rest).map(drop)
}

/// Takes so many bytes from the front.
pub fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn int16(rest: &mut &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes(take(rest, 2)?.try_into().ok()?))
}

fn int32(rest: &mut &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(take(rest, 4)?.try_into().ok()?))
}

fn int64(rest: &mut &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(take(rest, 8)?.try_into().ok()?))
}

/// At most ten bytes, seven bits in each; what goes beyond 64 is dropped.
fn unsigned_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number: u128 = 0;
    for shift in (0..70).step_by(7) {
        let byte = take(rest, 1)?[0];
        number |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number as u64);
        }
    }
    None
}

/// Zigzag: 0, -1, 1, -2, …
fn varint(rest: &mut &[u8]) -> Option<i64> {
    let number = unsigned_varint(rest)?;
    let half = (number / 2) as i64;
    Some(if number % 2 == 0 { half } else { -half - 1 })
}

fn nullable_bytes<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match varint(rest)? {
        length @ 0.. => take(rest, usize::try_from(length).ok()?).map(Some),
        _ => Some(None),
    }
}

/// Null, of length -1, is taken for empty.
fn compact_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = unsigned_varint(rest)?.saturating_sub(1);
    take(rest, usize::try_from(length).ok()?)
}

fn compact_string<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    str::from_utf8(compact_bytes(rest)?).ok()
}

fn compact_array<'a, T>(
    rest: &mut &'a [u8],
    mut item: impl FnMut(&mut &'a [u8]) -> Option<T>,
) -> Option<Vec<T>> {
    let length = unsigned_varint(rest)?.saturating_sub(1);
    (0..length).map(|_| item(rest)).collect()
}

/// The number and the bytes of each.
fn tagged_fields<'a>(rest: &mut &'a [u8]) -> Option<Vec<(u64, &'a [u8])>> {
    let count = unsigned_varint(rest)?;
    let field = |_| {
        let tag = unsigned_varint(rest)?;
        let length = unsigned_varint(rest)?;
        Some((tag, take(rest, usize::try_from(length).ok()?)?))
    };
    (0..count).map(field).collect()
}
