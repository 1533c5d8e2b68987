//! Record batches in place: bytes in, records out. No IO, no copy.

use super::place::Place;
use super::reader::{Malformed, Reader};
use crate::excerpt::Excerpt;

/// The key of the record header that says of which place a report is.
const HEADER: &str = crate::place::Place::HEADER;

/// Records of one partition, in the order of their offsets, decoded as they are asked for. None follows one that can't
/// be decoded.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    pub partition: i32,
    /// The first offset: a batch comes whole, even if its first records were read before.
    pub from: i64,
    /// Of all of them, if the broker and the log's format give it.
    pub leader_epoch: Option<i32>,
    /// Whether the reader has checked that they follow what it gave before, gaps included.
    pub is_contiguous: bool,
    run: Run<'a>,
    /// Of the one that comes by itself: what it says of its place.
    place_header: Option<&'a [u8]>,
    /// One that comes by itself.
    single: Option<Result<Record<'a>, Box<Refused<'a>>>>,
    single_time: Option<i64>,
}

impl<'a> Records<'a> {
    pub fn of_run(partition: i32, from: i64, run: Run<'a>) -> Self {
        let leader_epoch = Some(run.leader_epoch).filter(|epoch| *epoch >= 0);
        Records {
            partition,
            from,
            leader_epoch,
            is_contiguous: true,
            run,
            single: None,
            single_time: None,
            place_header: None,
        }
    }

    /// A record that the client library decoded.
    pub fn of_one(record: Record<'a>, leader_epoch: i32) -> Self {
        let Record { partition, offset, .. } = record;
        let record = match record.refuse_too_large() {
            None => Ok(record),
            Some(refused) => Err(Box::new(refused)),
        };
        let run = Run { leader_epoch, ..Run::EMPTY };
        Records { is_contiguous: false, single: Some(record), ..Records::of_run(partition, offset, run) }
    }

    /// The same with the header that says of which place it is.
    pub fn with_place(mut self, header: Option<&'a [u8]>) -> Self {
        self.place_header = header;
        self.run.marks |= PLACED * u8::from(header.is_some());
        self
    }

    /// Whether one of the records so far had the header that says of which place it is.
    pub fn has_place_header(&self) -> bool {
        self.run.marks & PLACED != 0
    }

    /// The last header of that kind, of all these records.
    pub fn place_header(mut self) -> Option<&'a [u8]> {
        for _ in 0..self.run.count {
            let Ok((_, header)) = self.run.fields_and_place() else { break };
            self.place_header = header.or(self.place_header);
        }
        self.place_header
    }

    /// A record that its reader refused.
    pub fn of_refused(partition: i32, from: i64, run: Run<'a>, refused: Refused<'a>) -> Self {
        Records { single: Some(Err(Box::new(refused))), ..Records::of_run(partition, from, run) }
    }

    /// The next record of a run, decoded already.
    pub fn of_fields(partition: i32, from: i64, mut run: Run<'a>, (delta, key, value): Fields<'a>) -> Self {
        let record = run.put(partition, delta, key, value);
        Records { single: Some(record), ..Records::of_run(partition, from, run) }
    }

    /// The next record of a run, whose key or value is too large to be held.
    pub fn of_too_large(
        partition: i32,
        from: i64,
        mut run: Run<'a>,
        delta: i64,
        (key, value): (Option<Excerpt>, Option<Excerpt>),
    ) -> Self {
        let (Ok(at) | Err(at)) = run.place.next(delta);
        run.marks |= ODD * u8::from(delta != i64::from(at));
        let offset = run.base_offset.saturating_add(i64::from(at));
        Records::of_refused(partition, from, run, Refused::TooLarge { offset, key, value })
    }

    /// The same with the record's time, in milliseconds since 1970.
    pub fn with_time(self, time: Option<i64>) -> Self {
        Records { single_time: time, ..self }
    }

    /// The next record, and its time in milliseconds since 1970, if it has one and that is known.
    pub fn next_with_time(&mut self) -> Option<(Decoded<'a>, Option<i64>)> {
        loop {
            let at = self.run.records;
            match self.run.next_record(self.partition) {
                Some(Ok(record)) if record.offset < self.from => {}
                Some(Err(refused)) if refused.next_offset() <= self.from => {}
                Some(record) => return Some((record, self.run.times.of(at))),
                None => return self.single.take().map(|record| (record, self.single_time)),
            }
        }
    }

    /// The first offset of the batch, if records so far did not carry the offsets that its header gives them.
    pub fn odd_batch(&self) -> Option<i64> {
        (self.run.marks & ODD != 0).then_some(self.run.base_offset)
    }
}

/// A record, or why it does not come as one.
pub type Decoded<'a> = Result<Record<'a>, Box<Refused<'a>>>;

impl<'a> Iterator for Records<'a> {
    type Item = Decoded<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.run.next_record(self.partition) {
                Some(Ok(record)) if record.offset < self.from => {}
                Some(Err(refused)) if refused.next_offset() <= self.from => {}
                Some(record) => return Some(record),
                None => return self.single.take(),
            }
        }
    }
}

/// A record as the broker gave it, valid as long as its batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// The longest key and the longest value, in bytes, that are decoded: a report has 21. Longer ones are kept aside.
pub const FIELD_BYTES_MAX: usize = 8 << 20;

impl<'a> Record<'a> {
    #[inline(always)]
    fn refuse_too_large(self) -> Option<Refused<'a>> {
        let is_too_large = |field: Option<&[u8]>| field.is_some_and(|field| field.len() > FIELD_BYTES_MAX);
        let Record { offset, key, value, .. } = self;
        (is_too_large(key) || is_too_large(value)).then(|| Refused::TooLarge {
            offset,
            key: key.map(Excerpt::of),
            value: value.map(Excerpt::of),
        })
    }
}

/// Why a record does not come as a [`Record`].
#[derive(Clone, Debug)]
pub enum Refused<'a> {
    /// Neither this record nor those behind it in its batch can be decoded, although the batch's checksum is right.
    /// `next_offset` is one past the batch.
    Unreadable { offset: i64, next_offset: i64 },
    /// Its batch does not say which offset it has. The offset here is that of the record before it.
    Misplaced(Record<'a>),
    /// Key or value is longer than [`FIELD_BYTES_MAX`].
    TooLarge { offset: i64, key: Option<Excerpt>, value: Option<Excerpt> },
}

impl Refused<'_> {
    pub fn offset(&self) -> i64 {
        match self {
            Refused::Unreadable { offset, .. } | Refused::TooLarge { offset, .. } => *offset,
            Refused::Misplaced(record) => record.offset,
        }
    }

    /// Up to where it passes the log: not at all if it has no offset of its own.
    pub fn passed_to(&self) -> Option<i64> {
        match self {
            Refused::Misplaced(_) => None,
            _ => Some(self.next_offset()),
        }
    }

    /// One past it.
    pub fn next_offset(&self) -> i64 {
        match self {
            Refused::Unreadable { next_offset, .. } => *next_offset,
            _ => self.offset().saturating_add(1),
        }
    }
}

/// Why a batch can't be read here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unreadable {
    #[error("its checksum does not match")]
    Checksum,
    #[error("it does not follow the protocol")]
    Malformed,
    #[error("its format or compression is not known here")]
    Unusual,
}

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Unreadable::Malformed
    }
}

/// How a batch's records are compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Codec {
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// One batch whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub base_offset: i64,
    /// The last offset it stands for, compared with the first.
    pub last_delta: u32,
    pub leader_epoch: i32,
    pub codec: Option<Codec>,
    pub is_transactional: bool,
    /// Whether it holds a marker of Kafka's own, and no record of a producer.
    pub is_control: bool,
    pub producer_id: i64,
    pub times: Times,
    /// How many records it has.
    pub count: u32,
    /// The records' bytes, compressed if there is a codec.
    pub records: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Its records, if they are not compressed.
    pub fn run(&self) -> Run<'a> {
        Run::new(self, self.records)
    }

    /// One past the last offset it stands for.
    pub fn next_offset(&self) -> i64 {
        // Checked when it was read.
        self.base_offset + i64::from(self.last_delta) + 1
    }
}

/// The times of a batch's records, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Below zero if there is none.
    base: i64,
    /// Whether each record has a time of its own, and the broker has not set one for all.
    has_deltas: bool,
}

impl Times {
    const UNKNOWN: Times = Times { base: -1, has_deltas: false };

    /// Of the record at the reader's front.
    fn of(self, mut record: Reader<'_>) -> Option<i64> {
        let mut delta = || {
            record.signed()?;
            // The attributes.
            record.take(1)?;
            record.signed()
        };
        let delta = if self.has_deltas { delta().ok()? } else { 0 };
        self.base.checked_add(delta).filter(|time| self.base >= 0 && *time >= 0)
    }
}

/// Batches one after the other; the last one may be cut short.
#[derive(Clone, Copy, Debug)]
pub struct Batches<'a>(Reader<'a>);

impl<'a> Batches<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Batches(Reader::new(bytes))
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.0;
        let base_offset = reader.int64().ok()?;
        let length = usize::try_from(reader.int32().ok()?).unwrap_or(usize::MAX);
        let bytes = reader.take(length).ok()?;
        self.0 = reader;
        Some(batch(base_offset, bytes))
    }
}

fn batch(base_offset: i64, bytes: &[u8]) -> Result<Batch<'_>, Unreadable> {
    const MAGIC: u8 = 2;
    const TIME_OF_BROKER: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    let mut reader = Reader::new(bytes);
    let leader_epoch = reader.int32()?;
    let [magic] = reader.array()?;
    if magic != MAGIC {
        return Err(Unreadable::Unusual);
    }
    let checksum = reader.int32()?.cast_unsigned();
    if crc32c::crc32c(reader.rest()) != checksum {
        return Err(Unreadable::Checksum);
    }
    let attributes = reader.int16()?;
    let codec = match attributes & 7 {
        0 => None,
        1 => Some(Codec::Gzip),
        2 => Some(Codec::Snappy),
        3 => Some(Codec::Lz4),
        4 => Some(Codec::Zstd),
        _ => return Err(Unreadable::Unusual),
    };
    let last_delta = u32::try_from(reader.int32()?).map_err(|_| Malformed)?;
    let (first_time, newest_time) = (reader.int64()?, reader.int64()?);
    let has_deltas = attributes & TIME_OF_BROKER == 0;
    let producer_id = reader.int64()?;
    // The producer's epoch, and its number of the first record.
    reader.take(2 + 4)?;
    let count = u32::try_from(reader.int32()?).map_err(|_| Malformed)?;
    let next_offset = base_offset.checked_add(i64::from(last_delta) + 1);
    if base_offset < 0 || next_offset.is_none() {
        return Err(Unreadable::Malformed);
    }
    Ok(Batch {
        base_offset,
        last_delta,
        leader_epoch,
        codec,
        is_transactional: attributes & TRANSACTIONAL != 0,
        is_control: attributes & CONTROL != 0,
        producer_id,
        times: Times { base: if has_deltas { first_time } else { newest_time }, has_deltas },
        count,
        records: reader.rest(),
    })
}

/// A record did not carry the offset that the batch's header gives it.
const ODD: u8 = 1;
/// A record has the header that says of which place it is.
const PLACED: u8 = 2;

/// Records of one batch, uncompressed, and which offsets they have.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    base_offset: i64,
    /// Of the whole batch.
    last_delta: u32,
    leader_epoch: i32,
    /// How many records are left in `records`.
    count: u32,
    records: Reader<'a>,
    place: Place,
    /// [`ODD`] and [`PLACED`], of the records before: one byte, as each more costs every record.
    marks: u8,
    times: Times,
}

/// Delta, key and value.
type Fields<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>);

impl<'a> Run<'a> {
    const EMPTY: Run<'static> = Run {
        base_offset: 0,
        last_delta: 0,
        leader_epoch: -1,
        count: 0,
        records: Reader::new(&[]),
        place: Place::dense(0),
        marks: 0,
        times: Times::UNKNOWN,
    };

    /// All records of a batch, whose bytes are these.
    pub fn new(batch: &Batch, records: &'a [u8]) -> Run<'a> {
        let Batch { base_offset, last_delta, leader_epoch, count, times, .. } = *batch;
        let (records, place) = (Reader::new(records), Place::of(count, last_delta));
        Run { base_offset, last_delta, leader_epoch, count, records, place, times, ..Run::EMPTY }
    }

    /// The same without `count` records, whose bytes are these.
    pub fn after(mut self, count: u32, records: &[u8]) -> Run<'static> {
        if self.place.is_dense() {
            self.place.skip(count);
        } else {
            let mut part = self.next_part(count, records);
            while part.next_record(0).is_some() {}
            self.place = part.place;
        }
        let Run { base_offset, last_delta, leader_epoch, place, times, .. } = self;
        Run { base_offset, last_delta, leader_epoch, place, times, ..Run::EMPTY }
    }

    /// Passes a record with this delta.
    pub fn pass(&mut self, delta: i64) {
        let (Ok(_) | Err(_)) = self.place.next(delta);
    }

    /// The next records of the same batch.
    pub fn next_part<'b>(&self, count: u32, records: &'b [u8]) -> Run<'b> {
        let Run { base_offset, last_delta, leader_epoch, place, marks, times, .. } = *self;
        let records = Reader::new(records);
        Run { base_offset, last_delta, leader_epoch, count, records, place, marks, times }
    }

    /// The next record of the run, taken from its front.
    #[inline(always)]
    pub fn next_record(&mut self, partition: i32) -> Option<Result<Record<'a>, Box<Refused<'a>>>> {
        self.count = self.count.checked_sub(1)?;
        if let Some((offset, key, value)) = self.take_usual() {
            return Some(Ok(Record { partition, offset, key, value }));
        }
        // By way of a copy, so that a loop over records can keep the run itself in registers.
        let mut run = *self;
        let record = run.take_any(partition);
        *self = run;
        Some(record)
    }

    /// Takes a record that is like most: at most 64 bytes with its length, no number longer than three bytes, a value,
    /// and the delta that its place gives it. Takes nothing if it differs in any of these.
    ///
    /// It lies in a window of fixed size, which leaves few bounds to be checked.
    #[inline(always)]
    fn take_usual(&mut self) -> Option<Fields<'a>> {
        /// Minus one, for a null.
        const NULL: u8 = 1;
        let rest = self.records.rest();
        let window: &[u8; WINDOW] = rest.first_chunk()?;
        let (record, rest) = rest.split_at_checked(1 + short_length(window[0])?)?;
        // After the attributes.
        let (_time, at) = short_number(window, 2)?;
        let (delta, at) = short_number(window, at)?;
        let from = at + 1;
        let (key, at) = match window[at] {
            NULL => (None, from),
            length => {
                let to = from + short_length(length)?;
                (Some(record.get(from..to)?), to)
            }
        };
        let from = at + 1;
        let value = record.get(from..from + short_length(*record.get(at)?)?)?;
        if delta != self.place.usual {
            return None;
        }
        let offset = self.base_offset.checked_add(i64::from(delta >> 1))?;
        self.place.usual = delta + 2;
        self.records = Reader::new(rest);
        Some((offset, key, Some(value)))
    }

    /// Takes a record of any kind. None follows one that can't be decoded.
    #[cold]
    #[inline(never)]
    fn take_any(&mut self, partition: i32) -> Result<Record<'a>, Box<Refused<'a>>> {
        match self.fields() {
            Ok((delta, key, value)) => self.put(partition, delta, key, value),
            Err(Malformed) => {
                self.count = 0;
                Err(Box::new(self.unreadable()))
            }
        }
    }

    /// Gives a record its offset.
    fn put(
        &mut self,
        partition: i32,
        delta: i64,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
    ) -> Result<Record<'a>, Box<Refused<'a>>> {
        let record = |at: u32| Record {
            partition,
            offset: self.base_offset.saturating_add(i64::from(at)),
            key,
            value,
        };
        let (record, is_placed) = match self.place.next(delta) {
            Ok(at) => {
                self.marks |= ODD * u8::from(delta != i64::from(at));
                (record(at), true)
            }
            Err(at) => {
                self.marks |= ODD;
                (record(at), false)
            }
        };
        match record.refuse_too_large() {
            Some(refused) => Err(Box::new(refused)),
            None if is_placed => Ok(record),
            None => Err(Box::new(Refused::Misplaced(record))),
        }
    }

    /// The rest of a batch, from a record on that can't be decoded.
    pub fn unreadable(&self) -> Refused<'static> {
        let at = self.place.least();
        let offset = |delta: u32| self.base_offset.saturating_add(i64::from(delta));
        let next_offset = offset(self.last_delta).saturating_add(1);
        Refused::Unreadable { offset: offset(at.min(self.last_delta)), next_offset }
    }

    fn fields(&mut self) -> Result<Fields<'a>, Malformed> {
        let (fields, header) = self.fields_and_place()?;
        self.marks |= PLACED * u8::from(header.is_some());
        Ok(fields)
    }

    /// The same with the header that says of which place it is.
    fn fields_and_place(&mut self) -> Result<(Fields<'a>, Option<&'a [u8]>), Malformed> {
        let length = usize::try_from(self.records.signed()?).map_err(|_| Malformed)?;
        let mut record = Reader::new(self.records.take(length)?);
        // Attributes, and the time.
        record.take(1)?;
        record.signed()?;
        let fields = (record.signed()?, nullable(&mut record)?, nullable(&mut record)?);
        // Headers that can't be read are no reason to lose the record.
        Ok((fields, place_header(record).unwrap_or_default()))
    }
}

/// The value of the header that says of which place a record is, in what comes after the record's value.
fn place_header(mut headers: Reader<'_>) -> Result<Option<&[u8]>, Malformed> {
    for _ in 0..headers.signed()? {
        let (key, value) = (nullable(&mut headers)?, nullable(&mut headers)?);
        if key == Some(HEADER.as_bytes()) {
            return Ok(value);
        }
    }
    Ok(None)
}

/// The longest record whose length is one byte, with that byte.
const WINDOW: usize = 64;

/// A length of one byte, if this is one: the highest bit says that more bytes follow, the lowest that it is below zero.
#[inline(always)]
fn short_length(byte: u8) -> Option<usize> {
    (byte & 0x81 == 0).then_some(usize::from(byte >> 1))
}

/// A number of one to three bytes, its sign still in the lowest bit, and where it ends.
#[inline(always)]
fn short_number(window: &[u8; WINDOW], at: usize) -> Option<(u32, usize)> {
    let [a, b, c] = [window[at], window[at + 1], window[at + 2]].map(u32::from);
    if a < 0x80 {
        Some((a, at + 1))
    } else if b < 0x80 {
        Some((a & 0x7f | b << 7, at + 2))
    } else if c < 0x80 {
        Some((a & 0x7f | (b & 0x7f) << 7 | c << 14, at + 3))
    } else {
        None
    }
}

/// Bytes with their length before them; nothing where that is below zero.
#[inline(always)]
fn nullable<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    match usize::try_from(reader.signed()?) {
        Ok(length) => reader.take(length).map(Some),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    pub type Sent = (Option<Vec<u8>>, Option<Vec<u8>>);

    fn signed(bytes: &mut Vec<u8>, number: i64) {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }

    fn nullable(bytes: &mut Vec<u8>, value: Option<&[u8]>) {
        signed(bytes, value.map_or(-1, |value| value.len() as i64));
        bytes.extend(value.unwrap_or_default());
    }

    /// A batch as the protocol's description has it.
    pub fn batch(base_offset: i64, leader_epoch: i32, attributes: i16, records: &[Sent]) -> Vec<u8> {
        let mut covered = attributes.to_be_bytes().to_vec();
        covered.extend((records.len() as i32 - 1).to_be_bytes());
        covered.extend([0; 8 + 8 + 8 + 2 + 4]);
        covered.extend((records.len() as i32).to_be_bytes());
        for (offset, (key, value)) in (0..).zip(records) {
            let mut record = vec![0];
            signed(&mut record, 1_000_000);
            signed(&mut record, offset);
            nullable(&mut record, key.as_deref());
            nullable(&mut record, value.as_deref());
            // One header.
            signed(&mut record, 1);
            nullable(&mut record, Some(b"trace"));
            nullable(&mut record, None);
            signed(&mut covered, record.len() as i64);
            covered.extend(record);
        }
        let mut batch = base_offset.to_be_bytes().to_vec();
        batch.extend((covered.len() as i32 + 9).to_be_bytes());
        batch.extend(leader_epoch.to_be_bytes());
        batch.push(2);
        batch.extend(crc32c::crc32c(&covered).to_be_bytes());
        batch.extend(covered);
        batch
    }

    /// A record without its length, and what may come after its value.
    fn record(time: i64, delta: i64, (key, value): &Sent, headers: &[u8]) -> Vec<u8> {
        let mut record = vec![0];
        signed(&mut record, time);
        signed(&mut record, delta);
        nullable(&mut record, key.as_deref());
        nullable(&mut record, value.as_deref());
        record.extend(headers);
        record
    }

    /// One record, where its delta says.
    fn run_of(base_offset: i64, place: u32, records: &[u8]) -> Run<'_> {
        let (records, place) = (Reader::new(records), Place::dense(place));
        Run { base_offset, last_delta: u32::MAX, count: 1, records, place, ..Run::EMPTY }
    }

    /// The first record of these bytes, if it is taken as a usual one. Compares that with how any record is taken.
    fn taken_as_usual(base_offset: i64, place: u32, records: &[u8]) -> Option<Fields<'_>> {
        let mut usual = run_of(base_offset, place, records);
        let mut any = usual;
        let fields = usual.take_usual();
        match fields {
            Some((offset, key, value)) => {
                let record = any.take_any(3).unwrap();
                assert_eq!(record, Record { partition: 3, offset, key, value });
                assert_eq!((usual.place, usual.records.rest()), (any.place, any.records.rest()));
                assert_eq!(any.marks & ODD, 0);
            }
            None => assert_eq!(usual.records.rest(), records, "nothing is taken"),
        }
        fields
    }

    #[test]
    fn a_record_has_its_own_time_or_that_of_the_broker() {
        for (attributes, time) in [(0, 1_000_000), (8, 0)] {
            let bytes = batch(7, 1, attributes, &[(None, None), (None, None)]);
            let batch = Batches::new(&bytes).next().unwrap().unwrap();
            let mut records = Records::of_run(0, 8, batch.run());
            let (record, found) = records.next_with_time().unwrap();
            assert_eq!((record.unwrap().offset, found), (8, Some(time)));
            assert!(records.next_with_time().is_none());
        }
    }

    #[test]
    fn up_to_its_borders_a_record_is_usual() {
        let (month, report) = (Some(b"September".to_vec()), Some(vec![7; 21]));
        let is_usual_at = |base_offset: i64, place: u32, record: Vec<u8>, after: usize| {
            let mut bytes = Vec::new();
            signed(&mut bytes, record.len() as i64);
            bytes.extend(record);
            bytes.extend(vec![0xff; after]);
            taken_as_usual(base_offset, place, &bytes).is_some()
        };
        let is_usual = |base_offset: i64, record: Vec<u8>, after| is_usual_at(base_offset, 0, record, after);
        let sent = (month.clone(), report.clone());
        let shortest = record(0, 0, &sent, &[0]);
        let missing = WINDOW - 1 - shortest.len();
        assert!(is_usual(5, shortest.clone(), missing));
        assert!(!is_usual(5, shortest.clone(), missing - 1), "so close to the end no window is left");
        let filled = |count: usize| record(0, 0, &sent, &vec![0; count + 1]);
        assert!(is_usual(5, filled(missing), 0));
        assert!(!is_usual(5, filled(missing + 1), 100), "its length has two bytes");
        let three_bytes = 1 << 20;
        for (time, delta, usual) in [
            (three_bytes - 1, three_bytes - 1, true),
            (three_bytes, 0, false),
            (0, three_bytes, false),
            (-three_bytes, 0, true),
            (-1, 0, true),
            (0, -1, false),
        ] {
            let place = u32::try_from(delta).unwrap_or(0);
            let record = record(time, delta, &sent, &[0]);
            assert_eq!(is_usual_at(5, place, record, 100), usual, "{time} {delta}");
        }
        assert!(is_usual_at(i64::MAX - 3, 3, record(0, 3, &sent, &[0]), 100));
        assert!(!is_usual_at(i64::MAX - 3, 4, record(0, 4, &sent, &[0]), 100), "there is no such offset");
        assert!(!is_usual_at(5, 2, record(0, 3, &sent, &[0]), 100), "it is not at its place");
        assert!(is_usual(5, record(0, 0, &(Some(vec![]), Some(vec![])), &[0]), 100));
        assert!(is_usual(5, record(0, 0, &(None, report), &[0]), 100));
        assert!(!is_usual(5, record(0, 0, &(month, None), &[0]), 100));
        for length in 1..shortest.len() - 1 {
            assert!(!is_usual(5, shortest[..length].to_vec(), 100), "it ends before its value, at {length}");
        }
    }

    fn read(bytes: &[u8]) -> Result<Vec<(i64, Option<i32>, Sent)>, Unreadable> {
        let mut found = Vec::new();
        for batch in Batches::new(bytes) {
            let records = Records::of_run(3, i64::MIN, batch?.run());
            let leader_epoch = records.leader_epoch;
            for record in records {
                let record = record.map_err(|_| Unreadable::Malformed)?;
                let sent = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
                found.push((record.offset, leader_epoch, sent));
            }
        }
        Ok(found)
    }

    fn sent() -> impl Strategy<Value = Vec<Sent>> {
        let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200));
        proptest::collection::vec((bytes(), bytes()), 1..20)
    }

    fn short() -> impl Strategy<Value = Option<Vec<u8>>> {
        prop_oneof![8 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Some), 1 => Just(None)]
    }

    /// Of any length in bytes, most of them short.
    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![0..100_i64, -(1 << 15)..1_i64 << 15, -(1 << 22)..1_i64 << 22, any::<i64>()]
    }

    proptest! {
        #[test]
        fn records_come_out_as_they_were_put_in(first in sent(), second in sent(), base in 0..1_i64 << 40, cut in 0..100_usize) {
            let next = base + first.len() as i64;
            let mut bytes = [batch(base, 7, 0, &first), batch(next, -1, 0, &second)].concat();
            let third = batch(next + 30, 8, 0, &second);
            // The last one is cut short, as brokers do at their limit.
            bytes.extend(&third[..cut.min(third.len() - 1)]);
            let expected = (base..).zip(first).map(|(offset, sent)| (offset, Some(7), sent));
            let expected = expected.chain((next..).zip(second).map(|(offset, sent)| (offset, None, sent)));
            prop_assert_eq!(read(&bytes), Ok(expected.collect()));
        }

        #[test]
        fn a_flipped_bit_that_the_checksum_covers_is_caught(sent in sent(), bit in any::<prop::sample::Index>()) {
            const COVERED: usize = 21;
            let mut bytes = batch(5, 0, 0, &sent);
            let bit = COVERED * 8 + bit.index((bytes.len() - COVERED) * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read(&bytes), Err(Unreadable::Checksum));
        }

        #[test]
        fn the_usual_way_takes_what_any_way_takes(
            sent in (short(), short()),
            numbers in (number(), number()),
            after in (0..30_usize, 0..80_usize),
            base_offset in prop_oneof![0..1_i64 << 40, i64::MAX - 200..],
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let record = record(numbers.0, numbers.1, &sent, &vec![0; after.0]);
            let mut bytes = Vec::new();
            signed(&mut bytes, record.len() as i64);
            bytes.extend(record);
            bytes.extend(vec![0; after.1]);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            taken_as_usual(base_offset, u32::try_from(numbers.1).unwrap_or(0), &bytes);
        }

        #[test]
        fn whatever_bytes_there_are_the_usual_way_takes_nothing_else(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0..40_u8], 0..100)) {
            taken_as_usual(0, 0, &bytes);
        }

        #[test]
        fn whatever_bytes_there_are_nothing_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), claims_to_be_right: bool) {
            if claims_to_be_right && bytes.len() > 21 {
                let length = (bytes.len() - 12) as i32;
                bytes[8..12].copy_from_slice(&length.to_be_bytes());
                bytes[16] = 2;
                let checksum = crc32c::crc32c(&bytes[21..]).to_be_bytes();
                bytes[17..21].copy_from_slice(&checksum);
            }
            let _ = read(&bytes);
        }
    }

    #[test]
    fn other_formats_are_left_to_others() {
        let sent = [(None, Some(b"x".to_vec()))];
        for attributes in [5, 6, 7] {
            assert_eq!(read(&batch(0, 0, attributes, &sent)), Err(Unreadable::Unusual), "{attributes:#x}");
        }
        // The time of the log, not of the producer.
        assert!(read(&batch(0, 0, 8, &sent)).is_ok());
        let mut former = batch(0, 0, 0, &sent);
        former[16] = 1;
        assert_eq!(read(&former), Err(Unreadable::Unusual));
    }

    /// The batch's header and the records' own deltas, and where the records come out: at an offset, or set aside there.
    #[test]
    fn the_header_decides_on_offsets() {
        const BASE: i64 = 10;
        type Placed = Result<i64, i64>;
        let cases: [(i32, &[i64], &[Placed]); 10] = [
            (3, &[0, 1, 2], &[Ok(10), Ok(11), Ok(12)]),
            (1, &[300], &[Ok(10)]),
            (1, &[-300], &[Ok(10)]),
            (3, &[0, 0, 0], &[Ok(10), Ok(11), Ok(12)]),
            (3, &[2, 1, 0], &[Ok(10), Ok(11), Ok(12)]),
            (3, &[0, i64::MAX, i64::MIN], &[Ok(10), Ok(11), Ok(12)]),
            // Compacted.
            (9, &[0, 3, 8], &[Ok(10), Ok(13), Ok(18)]),
            (9, &[3, 3, 2, 9, 8], &[Ok(13), Err(13), Err(13), Err(13), Ok(18)]),
            (9, &[-1, 0, 3, 2, 4], &[Err(10), Ok(10), Ok(13), Err(13), Ok(14)]),
            (9, &[8, -1], &[Ok(18), Err(18)]),
        ];
        for (offsets, deltas, expected) in cases {
            let records: Vec<u8> = deltas
                .iter()
                .flat_map(|delta| {
                    let record = record(0, *delta, &(None, Some(vec![7; 21])), &[0]);
                    let mut bytes = Vec::new();
                    signed(&mut bytes, record.len() as i64);
                    bytes.extend(record);
                    bytes
                })
                .collect();
            let mut bytes = batch(BASE, 3, 0, &[]);
            bytes.extend(&records);
            let length = (bytes.len() - 12) as i32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[23..27].copy_from_slice(&(offsets - 1).to_be_bytes());
            bytes[57..61].copy_from_slice(&(deltas.len() as i32).to_be_bytes());
            let checksum = crc32c::crc32c(&bytes[21..]).to_be_bytes();
            bytes[17..21].copy_from_slice(&checksum);
            let batch = Batches::new(&bytes).next().unwrap().unwrap();
            let mut records = Records::of_run(3, i64::MIN, batch.run());
            let placed: Vec<Placed> = records
                .by_ref()
                .map(|record| record.map(|record| record.offset).map_err(|refused| refused.offset()))
                .collect();
            assert_eq!(placed, expected, "{deltas:?}");
            let agree = (0..).zip(deltas).all(|(index, delta)| index == *delta);
            let is_odd =
                if offsets as usize == deltas.len() { !agree } else { placed.iter().any(Result::is_err) };
            assert_eq!(records.odd_batch(), is_odd.then_some(BASE), "{deltas:?}");
        }
    }
}
