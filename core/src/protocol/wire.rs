//! Kafka's protocol, as far as almanac speaks it without librdkafka: requests to bytes, bytes to responses. No IO.
//!
//! Version 12 of Metadata and 13 of Fetch identify topics by their IDs. Every Kafka since 3.1 has them.

use super::batches::Batches;
pub use super::reader::{Malformed, Reader};
use super::transactions::Aborted;

pub const FETCH: i16 = 1;
pub const FETCH_VERSION: i16 = 13;
/// From this version on, Kafka 3.7 and later name the new leader where they refuse a partition (KIP-951).
pub const FETCH_VERSION_MAX: i16 = 16;
pub const METADATA: i16 = 3;
pub const METADATA_VERSION: i16 = 12;

pub type TopicId = [u8; 16];

/// The brokers of a cluster, and one topic.
#[derive(Debug, Eq, PartialEq)]
pub struct Metadata {
    pub brokers: Vec<Broker>,
    pub cluster_id: String,
    /// Or Kafka's error code.
    pub topic: Result<TopicMetadata, i16>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicMetadata {
    pub id: TopicId,
    pub partitions: Vec<PartitionMetadata>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broker {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

impl Broker {
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartitionMetadata {
    pub partition: i32,
    /// The id of its leader, if it has one.
    pub leader: Option<i32>,
    pub leader_epoch: i32,
}

/// The part of a fetch request for one partition.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub partition: i32,
    pub next_offset: i64,
    pub leader_epoch: i32,
    /// That of the last record read, so that the broker can tell a log that was cut.
    pub last_epoch: Option<i32>,
}

/// Limits of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub wait_ms: i32,
    pub min_bytes: i32,
    pub bytes: i32,
    pub partition_bytes: i32,
}

/// The part of a fetch response for one partition.
#[derive(Debug)]
pub struct Fetched<'a> {
    pub partition: i32,
    /// Kafka's number of an error; 0 where there is none.
    pub error: i16,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    /// The first offset that can be read; -1 with an error.
    pub log_start_offset: i64,
    /// Transactions that were aborted, and whose records may be among the batches.
    pub aborted: Vec<Aborted>,
    /// The log does not hold what was read before: where the leader epoch read last ends in it.
    pub diverging: Option<EpochEnd>,
    /// The leader, if the broker knows a newer one than the request did.
    pub leader: Option<NewLeader>,
    pub batches: Batches<'a>,
}

/// One past the last offset of a leader epoch, as the leader's log has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EpochEnd {
    pub epoch: i32,
    pub end_offset: i64,
}

/// The id of a broker that leads a partition, and since which leader epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NewLeader {
    pub broker: i32,
    pub epoch: i32,
}

/// A request, from its size on.
pub fn metadata_request(correlation: i32, client_id: &str, topic: &str) -> Vec<u8> {
    let mut request = Request::new(METADATA, METADATA_VERSION, correlation, client_id);
    request.count(1);
    request.bytes(&[0; 16]);
    request.text(topic);
    request.no_tags();
    // No topic comes into being by asking for it, and nobody's rights are asked for.
    request.bytes(&[0, 0]);
    request.no_tags();
    request.done()
}

/// The version is [`FETCH_VERSION`] to [`FETCH_VERSION_MAX`].
pub fn fetch_request(
    version: i16,
    correlation: i32,
    client_id: &str,
    topic_id: &TopicId,
    limits: Limits,
    wanted: &[Wanted],
) -> Vec<u8> {
    const CONSUMER: i32 = -1;
    const WITHOUT_REPLICA: i16 = 15;
    const READ_COMMITTED: u8 = 1;
    const NO_SESSION: (i32, i32) = (0, -1);
    const UNKNOWN: i64 = -1;
    let mut request = Request::new(FETCH, version, correlation, client_id);
    if version < WITHOUT_REPLICA {
        request.int32(CONSUMER);
    }
    for number in [limits.wait_ms, limits.min_bytes, limits.bytes] {
        request.int32(number);
    }
    request.bytes(&[READ_COMMITTED]);
    request.int32(NO_SESSION.0);
    request.int32(NO_SESSION.1);
    request.count(1);
    request.bytes(topic_id);
    request.count(wanted.len());
    for wanted in wanted {
        request.int32(wanted.partition);
        request.int32(wanted.leader_epoch);
        request.int64(wanted.next_offset);
        request.int32(wanted.last_epoch.unwrap_or(-1));
        request.int64(UNKNOWN);
        request.int32(limits.partition_bytes);
        request.no_tags();
    }
    request.no_tags();
    // No topic is forgotten, and no rack preferred.
    request.count(0);
    request.text("");
    request.no_tags();
    request.done()
}

/// The response to a [`metadata_request`], after its size.
pub fn metadata(response: &[u8], correlation: i32) -> Result<Metadata, Malformed> {
    let mut reader = Reader::of_response(response, correlation)?;
    reader.int32()?;
    let brokers = reader.list(|reader| {
        let id = reader.int32()?;
        let host = reader.text()?.to_owned();
        let port = u16::try_from(reader.int32()?).map_err(|_| Malformed)?;
        reader.text()?;
        reader.tags()?;
        Ok(Broker { id, host, port })
    })?;
    let cluster_id = reader.text()?.to_owned();
    reader.int32()?;
    let topics = reader.list(|reader| {
        let error = reader.int16()?;
        reader.text()?;
        let id = reader.array()?;
        reader.take(1)?;
        let partitions = reader.list(partition_metadata)?;
        reader.int32()?;
        reader.tags()?;
        match error {
            0 if id == [0; 16] => Err(Malformed),
            0 => Ok(Ok(TopicMetadata { id, partitions })),
            error => Ok(Err(error)),
        }
    })?;
    let [topic] = <[_; 1]>::try_from(topics).map_err(|_| Malformed)?;
    Ok(Metadata { brokers, cluster_id, topic })
}

fn partition_metadata(reader: &mut Reader) -> Result<PartitionMetadata, Malformed> {
    let error = reader.int16()?;
    let (partition, leader, leader_epoch) = (reader.int32()?, reader.int32()?, reader.int32()?);
    for _ in 0..3 {
        reader.list(Reader::int32)?;
    }
    reader.tags()?;
    let leader = (error == 0 && leader >= 0).then_some(leader);
    Ok(PartitionMetadata { partition, leader, leader_epoch })
}

/// The response to a [`fetch_request`], after its size.
pub fn fetched<'a>(
    response: &'a [u8],
    correlation: i32,
    topic_id: &TopicId,
) -> Result<Vec<Fetched<'a>>, Malformed> {
    let mut reader = Reader::of_response(response, correlation)?;
    reader.int32()?;
    if reader.int16()? != 0 {
        return Err(Malformed);
    }
    reader.int32()?;
    let topics = reader.list(|reader| {
        let is_ours = reader.array()? == *topic_id;
        let partitions = reader.list(fetched_partition)?;
        reader.tags()?;
        if is_ours { Ok(partitions) } else { Err(Malformed) }
    })?;
    Ok(topics.into_iter().flatten().collect())
}

fn fetched_partition<'a>(reader: &mut Reader<'a>) -> Result<Fetched<'a>, Malformed> {
    let partition = reader.int32()?;
    let error = reader.int16()?;
    let (high_watermark, last_stable_offset) = (reader.int64()?, reader.int64()?);
    let log_start_offset = reader.int64()?;
    let aborted = reader.list(|reader| {
        let (producer_id, first_offset) = (reader.int64()?, reader.int64()?);
        reader.tags()?;
        Ok(Aborted { producer_id, first_offset })
    })?;
    reader.int32()?;
    let records = reader.compact_bytes()?;
    let (mut diverging, mut leader) = (None, None);
    reader.each_tag(|tag, mut field| {
        const DIVERGING_EPOCH: u64 = 0;
        const CURRENT_LEADER: u64 = 1;
        match tag {
            DIVERGING_EPOCH => {
                diverging = Some(EpochEnd { epoch: field.int32()?, end_offset: field.int64()? });
            }
            CURRENT_LEADER => leader = Some(NewLeader { broker: field.int32()?, epoch: field.int32()? }),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Fetched {
        partition,
        error,
        high_watermark,
        last_stable_offset,
        log_start_offset,
        aborted,
        diverging,
        leader,
        batches: Batches::new(records),
    })
}

/// A request, written from front to back.
pub struct Request(pub Vec<u8>);

impl Request {
    pub fn new(api: i16, version: i16, correlation: i32, client_id: &str) -> Request {
        let mut request = Request::without_tags(api, version, correlation, client_id);
        request.no_tags();
        request
    }

    /// One of a version that has no tags in its header.
    pub fn without_tags(api: i16, version: i16, correlation: i32, client_id: &str) -> Request {
        let mut request = Request(vec![0; 4]);
        request.bytes(&api.to_be_bytes());
        request.bytes(&version.to_be_bytes());
        request.int32(correlation);
        // The one text with a length of old.
        let client_id = client_id.get(..client_id.len().min(i16::MAX as usize)).unwrap_or_default();
        request.bytes(&(client_id.len() as i16).to_be_bytes());
        request.bytes(client_id.as_bytes());
        request
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn int32(&mut self, number: i32) {
        self.bytes(&number.to_be_bytes());
    }

    pub fn int64(&mut self, number: i64) {
        self.bytes(&number.to_be_bytes());
    }

    /// One more than it is, since 0 stands for what is not there.
    pub fn count(&mut self, count: usize) {
        let mut rest = count as u64 + 1;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    pub fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    pub fn no_tags(&mut self) {
        self.0.push(0);
    }

    pub fn done(mut self) -> Vec<u8> {
        let size = (self.0.len() - 4) as u32;
        self.0[..4].copy_from_slice(&size.to_be_bytes());
        self.0
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::batches::tests::batch;
    use super::*;
    use proptest::prelude::*;

    pub const TOPIC_ID: TopicId = *b"0123456789abcdef";

    /// Writes answers with the means of requests.
    fn answer(correlation: i32, write: impl FnOnce(&mut Request)) -> Vec<u8> {
        let mut answer = Request(Vec::new());
        answer.int32(correlation);
        answer.no_tags();
        write(&mut answer);
        answer.0
    }

    /// A broker's response for one partition.
    #[derive(Clone, Default)]
    pub struct Said {
        pub partition: i32,
        pub error: i16,
        pub last_stable_offset: i64,
        pub has_aborted: bool,
        pub is_diverging: bool,
        /// With its leader epoch.
        pub leader: Option<(i32, i32)>,
        pub batches: Vec<u8>,
    }

    pub fn fetch_answer(correlation: i32, error: i16, said: &[Said]) -> Vec<u8> {
        answer(correlation, |answer| {
            answer.int32(0);
            answer.bytes(&error.to_be_bytes());
            answer.int32(0);
            answer.count(1);
            answer.bytes(&TOPIC_ID);
            answer.count(said.len());
            for said in said {
                answer.int32(said.partition);
                answer.bytes(&said.error.to_be_bytes());
                answer.int64(said.last_stable_offset + 20);
                answer.int64(said.last_stable_offset);
                answer.int64(said.last_stable_offset - 30);
                answer.count(usize::from(said.has_aborted));
                if said.has_aborted {
                    answer.int64(1);
                    answer.int64(2);
                    answer.no_tags();
                }
                answer.int32(-1);
                answer.count(said.batches.len());
                answer.bytes(&said.batches);
                if said.is_diverging {
                    let (epoch, end) = (2_i32.to_be_bytes(), 80_i64.to_be_bytes());
                    answer.bytes(&[1, 0, 13]);
                    answer.bytes(&epoch);
                    answer.bytes(&end);
                }
                if let Some((broker, epoch)) = said.leader {
                    answer.bytes(&[1, 1, 9]);
                    answer.int32(broker);
                    answer.int32(epoch);
                }
                answer.no_tags();
            }
            answer.no_tags();
            answer.no_tags();
        })
    }

    fn said() -> Said {
        let batches = batch(90, 4, 0, &[(None, Some(b"x".to_vec()))]);
        Said { partition: 3, last_stable_offset: 100, batches, ..Said::default() }
    }

    #[test]
    fn a_fetch_says_where_each_partition_is() {
        for said in [
            said(),
            Said { is_diverging: true, ..said() },
            Said { has_aborted: true, ..said() },
            Said { error: 6, ..said() },
            Said { error: 6, leader: Some((2, 7)), ..said() },
        ] {
            let answer = fetch_answer(7, 0, std::slice::from_ref(&said));
            let fetched = fetched(&answer, 7, &TOPIC_ID).unwrap();
            let [fetched] = &fetched[..] else { panic!("{fetched:?}") };
            assert_eq!((fetched.partition, fetched.error), (3, said.error));
            let diverging = said.is_diverging.then_some(EpochEnd { epoch: 2, end_offset: 80 });
            let aborted = Aborted { producer_id: 1, first_offset: 2 };
            assert_eq!(fetched.diverging, diverging);
            assert_eq!(fetched.leader, said.leader.map(|(broker, epoch)| NewLeader { broker, epoch }));
            assert_eq!(fetched.aborted.contains(&aborted), said.has_aborted);
            assert_eq!((fetched.high_watermark, fetched.last_stable_offset), (120, 100));
            assert_eq!(fetched.log_start_offset, 70);
            assert_eq!(fetched.batches.map(|batch| batch.unwrap().next_offset()).collect::<Vec<_>>(), [91]);
        }
        let answer = fetch_answer(7, 0, &[said()]);
        assert_eq!(fetched(&answer, 8, &TOPIC_ID).unwrap_err(), Malformed, "the answer to another question");
        assert_eq!(fetched(&answer, 7, &[1; 16]).unwrap_err(), Malformed, "another topic's");
        assert_eq!(fetched(&fetch_answer(7, 1, &[said()]), 7, &TOPIC_ID).unwrap_err(), Malformed);
    }

    fn metadata_answer(error: i16) -> Vec<u8> {
        answer(1, |answer| {
            answer.int32(0);
            answer.count(1);
            answer.int32(1);
            answer.text("kafka.example");
            answer.int32(9092);
            answer.bytes(&[0, 0]);
            answer.text("cluster");
            answer.int32(1);
            answer.count(1);
            answer.bytes(&error.to_be_bytes());
            answer.text("temperatures");
            answer.bytes(&TOPIC_ID);
            answer.bytes(&[0]);
            answer.count(2);
            for (error, partition, leader) in [(0_i16, 0, 1), (5, 1, -1)] {
                answer.bytes(&error.to_be_bytes());
                answer.int32(partition);
                answer.int32(leader);
                answer.int32(9);
                for _ in 0..3 {
                    answer.count(1);
                    answer.int32(1);
                }
                answer.no_tags();
            }
            answer.int32(i32::MIN);
            answer.no_tags();
            answer.no_tags();
        })
    }

    #[test]
    fn metadata_name_leaders_and_brokers() {
        let expected = Metadata {
            brokers: vec![Broker { id: 1, host: "kafka.example".to_owned(), port: 9092 }],
            cluster_id: "cluster".to_owned(),
            topic: Ok(TopicMetadata {
                id: TOPIC_ID,
                partitions: vec![
                    PartitionMetadata { partition: 0, leader: Some(1), leader_epoch: 9 },
                    PartitionMetadata { partition: 1, leader: None, leader_epoch: 9 },
                ],
            }),
        };
        assert_eq!(metadata(&metadata_answer(0), 1), Ok(expected));
        let unknown = metadata(&metadata_answer(3), 1).unwrap();
        assert_eq!(unknown.topic, Err(3), "there is no such topic");
    }

    #[test]
    fn numbers_of_any_length() {
        for number in [0, 1, -1, 63, -64, 64, 300, i64::MAX, i64::MIN] {
            let mut request = Request(Vec::new());
            let zigzag = ((number << 1) ^ (number >> 63)).cast_unsigned();
            // A count is written one higher.
            match usize::try_from(zigzag).ok().and_then(|count| count.checked_sub(1)) {
                Some(count) => request.count(count),
                None => request.no_tags(),
            }
            assert_eq!(Reader::new(&request.0).signed(), Ok(number));
        }
        assert_eq!(Reader::new(&[0xff; 11]).unsigned(), Err(Malformed));
    }

    #[test]
    fn numbers_end_where_their_bytes_say_so() {
        for bits in 0..64 {
            for number in [(1_u64 << bits) - 1, 1 << bits, (1 << bits) | 1, u64::MAX >> bits] {
                for (more, after) in [0_usize, 1, 3].into_iter().flat_map(|more| [(more, 0), (more, 9)]) {
                    let mut bytes = Vec::new();
                    let mut rest = number;
                    while rest >= 0x80 {
                        bytes.push(rest as u8 | 0x80);
                        rest >>= 7;
                    }
                    bytes.push(rest as u8);
                    // As long as it is, and longer than it has to be.
                    if bytes.len() + more <= 10 && more > 0 {
                        *bytes.last_mut().unwrap() |= 0x80;
                        bytes.extend(std::iter::repeat_n(0x80, more - 1));
                        bytes.push(0);
                    }
                    let length = bytes.len();
                    bytes.extend(std::iter::repeat_n(0xff, after));
                    let mut reader = Reader::new(&bytes);
                    assert_eq!(reader.unsigned(), Ok(number), "{bytes:?}");
                    assert_eq!(reader.rest().len(), after);
                    assert_eq!(Reader::new(&bytes[..length - 1]).unsigned(), Err(Malformed));
                }
            }
        }
        assert_eq!(Reader::new(&[0xff; 20]).unsigned(), Err(Malformed), "it has no end");
    }

    proptest! {
        #[test]
        fn whatever_is_cut_off_or_changed_nothing_panics(cut in any::<prop::sample::Index>(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
            let said = Said { is_diverging: true, ..said() };
            for mut answer in [fetch_answer(7, 0, &[said]), metadata_answer(0)] {
                for (at, byte) in &changes {
                    let at = at.index(answer.len());
                    answer[at] = *byte;
                }
                answer.truncate(cut.index(answer.len() + 1));
                let _ = metadata(&answer, 1);
                if let Ok(fetched) = fetched(&answer, 7, &TOPIC_ID) {
                    fetched.into_iter().for_each(|fetched| fetched.batches.for_each(drop));
                }
            }
        }
    }
}
