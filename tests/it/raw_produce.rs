//! Record batches as no client writes them, sent by Produce requests of our own.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Kafka's codecs by their numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// A batch, with whatever its header and its records claim.
#[derive(Clone, Debug)]
pub struct RawBatch {
    /// Of each record: its offset compared with the batch's first, and its value.
    pub records: Vec<(i64, Option<Vec<u8>>)>,
    pub last_delta: i32,
    pub count: i32,
    pub codec: Codec,
    /// Bits besides the codec's.
    pub attributes: i16,
    pub timestamp_delta: i64,
    pub has_headers: bool,
}

impl RawBatch {
    /// A batch that is in order.
    pub fn of(values: Vec<Option<Vec<u8>>>) -> RawBatch {
        let count = i32::try_from(values.len()).unwrap();
        RawBatch {
            records: (0..).zip(values).collect(),
            last_delta: count - 1,
            count,
            codec: Codec::None,
            attributes: 0,
            timestamp_delta: 0,
            has_headers: false,
        }
    }

    /// The same with these deltas.
    pub fn with_deltas(mut self, deltas: &[i64]) -> RawBatch {
        self.records.iter_mut().zip(deltas).for_each(|(record, delta)| record.0 = *delta);
        self
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut records = Vec::new();
        for (delta, value) in &self.records {
            let mut record = vec![0];
            varint(&mut record, self.timestamp_delta);
            varint(&mut record, *delta);
            varint(&mut record, -1);
            match value {
                None => varint(&mut record, -1),
                Some(value) => {
                    varint(&mut record, value.len() as i64);
                    record.extend(value);
                }
            }
            varint(&mut record, i64::from(self.has_headers));
            if self.has_headers {
                varint(&mut record, 5);
                record.extend(b"trace");
                varint(&mut record, -1);
            }
            varint(&mut records, record.len() as i64);
            records.extend(record);
        }
        let mut covered = (self.attributes | self.codec as i16).to_be_bytes().to_vec();
        covered.extend(self.last_delta.to_be_bytes());
        // First and newest time, no producer, its epoch and sequence.
        covered.extend(1_000_000_i64.to_be_bytes());
        covered.extend((1_000_000 + self.timestamp_delta).to_be_bytes());
        covered.extend([0xff; 8 + 2 + 4]);
        covered.extend(self.count.to_be_bytes());
        covered.extend(compress(self.codec, &records));
        let mut batch = 0_i64.to_be_bytes().to_vec();
        batch.extend((covered.len() as i32 + 9).to_be_bytes());
        batch.extend((-1_i32).to_be_bytes());
        batch.push(2);
        batch.extend(crc32c::crc32c(&covered).to_be_bytes());
        batch.extend(covered);
        batch
    }
}

fn compress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    match codec {
        Codec::None => bytes.to_vec(),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Codec::Snappy => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Codec::Zstd => zstd::encode_all(bytes, 3).unwrap(),
    }
}

/// Zigzag, seven bits a byte.
fn varint(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// Sends a batch, and gives the offset of its first record, or Kafka's error code.
pub fn produce(brokers: &str, topic: &str, partition: i32, batch: &RawBatch) -> Result<i64, i16> {
    let records = batch.encode();
    let text = |request: &mut Vec<u8>, text: &str| {
        request.extend((text.len() as i16).to_be_bytes());
        request.extend(text.as_bytes());
    };
    // Produce, version 7, correlation.
    let mut request = vec![0, 0, 0, 7, 0, 0, 0, 7];
    text(&mut request, "raw");
    // No transaction, all replicas, ten seconds, one topic.
    request.extend((-1_i16).to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(10_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    text(&mut request, topic);
    request.extend(1_i32.to_be_bytes());
    request.extend(partition.to_be_bytes());
    request.extend((records.len() as i32).to_be_bytes());
    request.extend(records);
    let mut stream = TcpStream::connect(brokers).unwrap();
    stream.write_all(&(request.len() as i32).to_be_bytes()).unwrap();
    stream.write_all(&request).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut response = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut response).unwrap();
    // Correlation, topics, name, partitions, number.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    let error = i16::from_be_bytes(response[at..at + 2].try_into().unwrap());
    let base = i64::from_be_bytes(response[at + 2..at + 10].try_into().unwrap());
    if error == 0 { Ok(base) } else { Err(error) }
}
