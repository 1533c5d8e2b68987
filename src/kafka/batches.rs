//! Record batches in place: bytes in, records out. No IO, no copy.

use super::wire::{Malformed, Reader};

/// Records of one partition, in the order of their offsets, read as they are asked for. After one that can't be read
/// there is none.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    pub partition: i32,
    /// The first offset: a batch is given whole, also where its first records were read before.
    pub from: i64,
    /// Of all of them; not given by brokers and log formats of old.
    pub leader_epoch: Option<i32>,
    run: Run<'a>,
    /// One that a client has read already comes by itself.
    single: Option<Record<'a>>,
}

impl<'a> Records<'a> {
    pub fn of_run(partition: i32, from: i64, run: Run<'a>) -> Self {
        let leader_epoch = Some(run.leader_epoch).filter(|epoch| *epoch >= 0);
        Records { partition, from, leader_epoch, run, single: None }
    }

    pub fn of_one(record: Record<'a>, leader_epoch: i32) -> Self {
        let Record { partition, offset, .. } = record;
        let run = Run { base_offset: offset, leader_epoch, count: 0, records: Reader::new(&[]) };
        Records { single: Some(record), ..Records::of_run(partition, offset, run) }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.run.next_record(self.partition) {
                Some(Ok(record)) if record.offset < self.from => {}
                Some(record) => return Some(record),
                None => return self.single.take().map(Ok),
            }
        }
    }
}

/// A record as the broker gave it, valid as long as its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// Why batches can't be read here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unreadable {
    #[error("its checksum does not match")]
    Checksum,
    #[error("it does not follow the protocol")]
    Malformed,
    #[error("it is compressed, of a transaction, or of a former format")]
    Unusual,
}

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Unreadable::Malformed
    }
}

/// One batch whose checksum is right, and whose records are read as they are.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    pub base_offset: i64,
    pub leader_epoch: i32,
    /// How many records are left, and their bytes.
    pub count: u32,
    pub records: Reader<'a>,
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
    /// With the offset after the last one that the batch stands for.
    type Item = Result<(Run<'a>, i64), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.0;
        let base_offset = reader.int64().ok()?;
        let length = usize::try_from(reader.int32().ok()?).unwrap_or(usize::MAX);
        let batch = reader.take(length).ok()?;
        self.0 = reader;
        Some(run(base_offset, batch))
    }
}

fn run(base_offset: i64, batch: &[u8]) -> Result<(Run<'_>, i64), Unreadable> {
    const MAGIC: u8 = 2;
    /// Compression, transaction, control.
    const UNUSUAL: i16 = 0b11_0111;
    let mut reader = Reader::new(batch);
    let leader_epoch = reader.int32()?;
    let [magic] = reader.array()?;
    if magic != MAGIC {
        return Err(Unreadable::Unusual);
    }
    let checksum = reader.int32()?.cast_unsigned();
    if crc32c::crc32c(reader.rest()) != checksum {
        return Err(Unreadable::Checksum);
    }
    if reader.int16()? & UNUSUAL != 0 {
        return Err(Unreadable::Unusual);
    }
    let last_offset = base_offset.checked_add(i64::from(reader.int32()?)).filter(|last| *last >= base_offset);
    // Times, and who produced it.
    reader.take(8 + 8 + 8 + 2 + 4)?;
    let count = u32::try_from(reader.int32()?).map_err(|_| Malformed)?;
    let next_offset = last_offset.and_then(|last| last.checked_add(1)).ok_or(Malformed)?;
    Ok((Run { base_offset, leader_epoch, count, records: reader }, next_offset))
}

/// Offset, key and value.
type Fields<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>);

impl<'a> Run<'a> {
    /// The next record of the run, taken from its front.
    #[inline(always)]
    pub fn next_record(&mut self, partition: i32) -> Option<Result<Record<'a>, Malformed>> {
        self.count = self.count.checked_sub(1)?;
        let (offset, key, value) = match self.take_usual() {
            Some(fields) => fields,
            None => {
                // By way of a copy, so that a loop over records can keep the run itself in registers.
                let mut run = *self;
                let fields = run.take_any();
                *self = run;
                match fields {
                    Ok(fields) => fields,
                    Err(malformed) => return Some(Err(malformed)),
                }
            }
        };
        Some(Ok(Record { partition, offset, key, value }))
    }

    /// Takes a record that is as most are: with its length no more than 64 bytes, in which no number has more than three,
    /// and with a value. Wherever it is another, nothing is taken.
    ///
    /// That it lies in a window of fixed size leaves few bounds to be checked.
    #[inline(always)]
    fn take_usual(&mut self) -> Option<Fields<'a>> {
        /// Minus one, for what is not there.
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
        if delta & 1 != 0 {
            return None;
        }
        let offset = self.base_offset.checked_add(i64::from(delta >> 1))?;
        self.records = Reader::new(rest);
        Some((offset, key, Some(value)))
    }

    /// Takes a record of any kind. After one that can't be read there is none.
    #[cold]
    #[inline(never)]
    fn take_any(&mut self) -> Result<Fields<'a>, Malformed> {
        let fields = self.fields();
        if fields.is_err() {
            self.count = 0;
        }
        fields
    }

    fn fields(&mut self) -> Result<Fields<'a>, Malformed> {
        let length = usize::try_from(self.records.signed()?).map_err(|_| Malformed)?;
        let mut record = Reader::new(self.records.take(length)?);
        // Attributes, and the time.
        record.take(1)?;
        record.signed()?;
        let offset = self.base_offset.checked_add(record.signed()?).ok_or(Malformed)?;
        Ok((offset, nullable(&mut record)?, nullable(&mut record)?))
    }
}

/// As much as a record's length in one byte can tell, with that byte.
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

    fn run_of(base_offset: i64, records: &[u8]) -> Run<'_> {
        Run { base_offset, leader_epoch: 0, count: 1, records: Reader::new(records) }
    }

    /// The first record of these bytes, if it is taken as a usual one. Holds that against how any record is taken.
    fn taken_as_usual(base_offset: i64, records: &[u8]) -> Option<Fields<'_>> {
        let (mut usual, mut any) = (run_of(base_offset, records), run_of(base_offset, records));
        let fields = usual.take_usual();
        match fields {
            Some(fields) => {
                assert_eq!(any.take_any(), Ok(fields));
                assert_eq!(usual.records.rest(), any.records.rest());
            }
            None => assert_eq!(usual.records.rest(), records, "nothing is taken"),
        }
        fields
    }

    #[test]
    fn up_to_its_borders_a_record_is_usual() {
        let (month, report) = (Some(b"September".to_vec()), Some(vec![7; 21]));
        let is_usual = |base_offset: i64, record: Vec<u8>, after: usize| {
            let mut bytes = Vec::new();
            signed(&mut bytes, record.len() as i64);
            bytes.extend(record);
            bytes.extend(vec![0xff; after]);
            taken_as_usual(base_offset, &bytes).is_some()
        };
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
            assert_eq!(is_usual(5, record(time, delta, &sent, &[0]), 100), usual, "{time} {delta}");
        }
        assert!(is_usual(i64::MAX - 3, record(0, 3, &sent, &[0]), 100));
        assert!(!is_usual(i64::MAX - 3, record(0, 4, &sent, &[0]), 100), "there is no such offset");
        assert!(is_usual(5, record(0, 0, &(Some(vec![]), Some(vec![])), &[0]), 100));
        assert!(is_usual(5, record(0, 0, &(None, report), &[0]), 100));
        assert!(!is_usual(5, record(0, 0, &(month, None), &[0]), 100));
        for length in 1..shortest.len() - 1 {
            assert!(!is_usual(5, shortest[..length].to_vec(), 100), "it ends before its value, at {length}");
        }
    }

    fn read(bytes: &[u8]) -> Result<Vec<(i64, Option<i32>, Sent)>, Unreadable> {
        let mut found = Vec::new();
        for run in Batches::new(bytes) {
            let records = Records::of_run(3, i64::MIN, run?.0);
            for record in records {
                let record = record?;
                let sent = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
                found.push((record.offset, records.leader_epoch, sent));
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
            taken_as_usual(base_offset, &bytes);
        }

        #[test]
        fn whatever_bytes_there_are_the_usual_way_takes_nothing_else(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0..40_u8], 0..100)) {
            taken_as_usual(0, &bytes);
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
    fn what_is_compressed_or_of_a_transaction_is_left_to_others() {
        let sent = [(None, Some(b"x".to_vec()))];
        for attributes in [1, 2, 3, 4, 0x10, 0x20, 0x30] {
            assert_eq!(read(&batch(0, 0, attributes, &sent)), Err(Unreadable::Unusual), "{attributes:#x}");
        }
        // The time of the log, not of the producer.
        assert!(read(&batch(0, 0, 8, &sent)).is_ok());
        let mut former = batch(0, 0, 0, &sent);
        former[16] = 1;
        assert_eq!(read(&former), Err(Unreadable::Unusual));
    }
}
