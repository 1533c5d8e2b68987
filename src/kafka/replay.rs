//! Reads what lies between a checkpoint and the end of the log in bulk, over connections of its own.
//!
//! librdkafka makes an object of each record, which costs more than all that is done with it after. Here an answer's
//! bytes are checked and read in place. It is only for the way to the end, where all is well: at the end, and at
//! anything out of the ordinary, a partition is handed over to librdkafka at the offset reached, and whatever is to be
//! said or done about it is librdkafka's matter.
//!
//! Each fetch is by topic id, and has the leader epoch of the record read last: a broker whose log is another, or was
//! cut, says so instead of giving records.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::os::fd::AsFd;
use std::slice;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::batches::{Records, Run};
use super::config::Connection;
use super::consumer::{Position, StartAt};
use super::wire::{self, Limits, Metadata, Reader, Wanted};

const CONNECT_MAX: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// After that no other broker is tried. A group waits for who is trying.
const START_MAX: Duration = Duration::from_secs(3);
/// How long a broker may say nothing while an answer is due.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Larger answers are no answers to what is asked here.
const ANSWER_BYTES_MAX: usize = 128 << 20;
const ANSWER_BYTES_STEP: usize = 1 << 20;
/// Connections to one broker: it fills the one while what came by the other is counted.
const LINKS_MAX: usize = 2;
/// How many answers in a row may bring nothing.
const EMPTY_ANSWERS_MAX: u32 = 100;

/// Properties that change nothing of how brokers are reached and trusted.
const HARMLESS: &[&str] = &[
    "client.id",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.instance.id",
    "heartbeat.interval.ms",
    "max.partition.fetch.bytes",
    "message.max.bytes",
    "max.poll.interval.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "session.timeout.ms",
    "socket.timeout.ms",
    "statistics.interval.ms",
];

/// The partitions of one topic that are on their way to the end.
pub struct Replay {
    client_id: String,
    limits: Limits,
    metadata: Metadata,
    links: Vec<Link>,
    readings: BTreeMap<i32, Reading>,
    handed_over: Vec<Position>,
    /// As the last answer had them, also of what is handed over: librdkafka has none before its own first answer.
    high_watermarks: BTreeMap<i32, i64>,
    rounds: u64,
    empty_answers: u32,
    silence_max: Duration,
}

/// A partition that is being read.
#[derive(Clone, Copy, Debug)]
struct Reading {
    next_offset: i64,
    last_epoch: Option<i32>,
    link: LinkId,
    leader_epoch: i32,
    /// The round in which it last brought something: who has waited longest is asked for first.
    served: u64,
}

impl Reading {
    fn position(&self, partition: i32) -> Position {
        let start = StartAt::Offset { next_offset: self.next_offset, leader_epoch: self.last_epoch };
        Position { partition, start }
    }
}

/// A broker, and which of the connections to it.
type LinkId = (i32, usize);

/// A connection to one broker, with at most one question open.
struct Link {
    id: LinkId,
    stream: TcpStream,
    correlation: i32,
    /// The partitions that the question was about, and from which offset.
    asked: Vec<(i32, i64)>,
    /// Of the answer that is due: its bytes so far, its size before them.
    answer: Vec<u8>,
    filled: usize,
    is_asked: bool,
    heard: Instant,
}

impl Replay {
    /// Nothing where the brokers are reached in a way that only librdkafka knows, or can't be reached, or have another
    /// topic of this name by now.
    pub fn start(connection: &Connection, topic: &str, topic_id: Option<&str>) -> Option<Replay> {
        if !is_for(connection) {
            return None;
        }
        let set = |keys: &[&str]| {
            let property = connection.properties.iter().rev().find(|property| keys.contains(&&*property.key));
            property.map(|property| property.value.as_str())
        };
        let number = |keys: &[&str], default: i32| {
            set(keys).and_then(|value| value.parse().ok()).filter(|number| *number > 0).unwrap_or(default)
        };
        let client_id = set(&["client.id"]).unwrap_or("almanac");
        let limits = Limits {
            wait_ms: 5,
            min_bytes: 1,
            bytes: number(&["fetch.max.bytes"], 4 << 20),
            partition_bytes: number(&["max.partition.fetch.bytes", "fetch.message.max.bytes"], 1 << 20),
        };
        let started = Instant::now();
        let in_time = |_: &&str| started.elapsed() < START_MAX;
        let metadata = connection.brokers.split(',').take_while(in_time).find_map(|broker| {
            let asked = ask_metadata(broker.trim(), client_id, topic);
            asked.inspect_err(|error| tracing::debug!(%error, broker, "no replay")).ok()
        })?;
        if topic_id.is_some_and(|id| id != URL_SAFE_NO_PAD.encode(metadata.topic_id)) {
            tracing::debug!(topic, "another topic of this name, so no replay");
            return None;
        }
        Some(Replay {
            client_id: client_id.to_owned(),
            limits,
            metadata,
            links: Vec::new(),
            readings: BTreeMap::new(),
            handed_over: Vec::new(),
            high_watermarks: BTreeMap::new(),
            rounds: 0,
            empty_answers: 0,
            silence_max: match set(&["socket.timeout.ms"]).and_then(|value| value.parse().ok()) {
                Some(millis) => SILENCE_MAX.min(Duration::from_millis(millis)),
                None => SILENCE_MAX,
            },
        })
    }

    /// Takes a partition on. Says whether it does.
    pub fn add(&mut self, position: Position) -> bool {
        let StartAt::Offset { next_offset, leader_epoch: last_epoch } = position.start else { return false };
        let Metadata { brokers, partitions, .. } = &mut self.metadata;
        let Some(leader) = partitions.iter().find(|leader| leader.partition == position.partition) else {
            return false;
        };
        let read_by = |link: LinkId| self.readings.values().filter(|reading| reading.link == link).count();
        let link = (0..LINKS_MAX).map(|number| (leader.broker, number)).min_by_key(|&link| read_by(link));
        let Some(link) = link else { return false };
        if !self.links.iter().any(|open| open.id == link) {
            let Some(broker) = brokers.iter().find(|broker| broker.id == leader.broker) else { return false };
            match connect(&(broker.host.as_str(), broker.port)) {
                Ok(stream) => self.links.push(Link::new(link, stream)),
                Err(error) => {
                    tracing::debug!(%error, broker.host, broker.port, "no replay");
                    // It is not waited for again for each of its partitions.
                    brokers.retain(|broker| broker.id != leader.broker);
                    return false;
                }
            }
        }
        let reading = Reading { next_offset, last_epoch, link, leader_epoch: leader.epoch, served: 0 };
        self.readings.insert(position.partition, reading);
        true
    }

    /// Reads a partition no more. Says whether it was read here.
    pub fn remove(&mut self, partition: i32) -> bool {
        self.high_watermarks.remove(&partition);
        let was_read = self.readings.remove(&partition).is_some();
        self.leave_unused();
        was_read
    }

    pub fn is_idle(&self) -> bool {
        self.readings.is_empty() && self.handed_over.is_empty()
    }

    /// Where the partitions are that are to be read by librdkafka from now on.
    pub fn take_handed_over(&mut self) -> Vec<Position> {
        std::mem::take(&mut self.handed_over)
    }

    pub fn has(&self, partition: i32) -> bool {
        self.readings.contains_key(&partition)
            || self.handed_over.iter().any(|position| position.partition == partition)
    }

    pub fn high_watermark(&self, partition: i32) -> Option<i64> {
        self.high_watermarks.get(&partition).copied()
    }

    /// Waits up to `patience` for an answer, and takes its records.
    pub fn poll(&mut self, answer: &mut Answer, patience: Duration) {
        answer.clear();
        self.ask();
        let mut lost = Vec::new();
        if let Err(error) = wait_for_any(&self.links, patience) {
            tracing::debug!(%error, "a replay can't wait");
            lost.extend(self.links.iter().map(|link| link.id));
        }
        let mut served = None;
        for (index, link) in self.links.iter_mut().enumerate().filter(|(_, link)| link.is_asked) {
            match link.read() {
                Ok(true) => {
                    std::mem::swap(&mut answer.bytes, &mut link.answer);
                    answer.size = std::mem::take(&mut link.filled);
                    link.is_asked = false;
                    served = Some(index);
                    let (id, correlation) = (link.id, link.correlation);
                    let asked = std::mem::take(&mut link.asked);
                    if !self.take(answer, correlation, &asked) {
                        lost.push(id);
                    }
                    break;
                }
                Ok(false) if link.heard.elapsed() < self.silence_max => {}
                Ok(false) => lost.push(link.id),
                Err(error) => {
                    tracing::debug!(%error, "a replay has lost its broker");
                    lost.push(link.id);
                }
            }
        }
        if let Some(served) = served {
            // Looked at last the next time: else what the first broker has would come before all that the others have.
            self.links[served..].rotate_left(1);
        }
        for link in lost {
            self.lose(link);
        }
        self.leave_unused();
        // The broker works on the next answer while this one is counted.
        self.ask();
    }

    /// Ends connections that nothing is read by: brokers end them, too, after some time.
    fn leave_unused(&mut self) {
        let readings = &self.readings;
        self.links.retain(|link| readings.values().any(|reading| reading.link == link.id));
    }

    /// Asks each broker for what is wanted of it, unless an answer is due.
    fn ask(&mut self) {
        let mut lost = Vec::new();
        for link in self.links.iter_mut().filter(|link| !link.is_asked) {
            let mut wanted: Vec<(u64, Wanted)> = self
                .readings
                .iter()
                .filter(|(_, reading)| reading.link == link.id)
                .map(|(&partition, reading)| {
                    let Reading { next_offset, leader_epoch, last_epoch, served, .. } = *reading;
                    (served, Wanted { partition, next_offset, leader_epoch, last_epoch })
                })
                .collect();
            if wanted.is_empty() {
                continue;
            }
            wanted.sort_by_key(|(served, _)| *served);
            let wanted: Vec<Wanted> = wanted.into_iter().map(|(_, wanted)| wanted).collect();
            link.asked = wanted.iter().map(|wanted| (wanted.partition, wanted.next_offset)).collect();
            link.correlation = link.correlation.wrapping_add(1);
            let topic_id = &self.metadata.topic_id;
            let request =
                wire::fetch_request(link.correlation, &self.client_id, topic_id, self.limits, &wanted);
            match link.ask(&request) {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(%error, "a replay can't ask its broker");
                    lost.push(link.id);
                }
            }
        }
        for link in lost {
            self.lose(link);
        }
    }

    /// Takes in what an answer says. Says whether it is one.
    fn take(&mut self, answer: &mut Answer, correlation: i32, asked: &[(i32, i64)]) -> bool {
        self.rounds += 1;
        let Answer { bytes, size, parts } = answer;
        let bytes = bytes.get(4..*size).unwrap_or_default();
        let Ok(fetched) = wire::fetched(bytes, correlation, &self.metadata.topic_id) else {
            tracing::debug!("a replay was given an answer that does not follow the protocol");
            return false;
        };
        // An answer has each partition asked for, once. Nothing protects their numbers on the way, and where two partitions
        // are at the same offset, records of one would pass for those of the other. A broker that holds back, for a quota,
        // sends none of them.
        let sorted = |mut partitions: Vec<i32>| {
            partitions.sort_unstable();
            partitions
        };
        let answered = sorted(fetched.iter().map(|fetched| fetched.partition).collect());
        if !answered.is_empty() && answered != sorted(asked.iter().map(|(partition, _)| *partition).collect())
        {
            tracing::debug!(?answered, "a replay was given an answer about other partitions");
            return false;
        }
        let mut is_empty = true;
        for fetched in fetched {
            let partition = fetched.partition;
            let Some(reading) = self.readings.get_mut(&partition) else { continue };
            // One that was given up meanwhile, and perhaps taken on again from elsewhere.
            if !asked.contains(&(partition, reading.next_offset)) {
                continue;
            }
            let mut is_over = None;
            if fetched.error != 0 || fetched.is_diverging || fetched.has_aborted {
                is_over = Some(format!("error {}", fetched.error));
            } else {
                if fetched.high_watermark >= 0 {
                    self.high_watermarks.insert(partition, fetched.high_watermark);
                }
                let mut has_more = false;
                for run in fetched.batches {
                    let run = match run {
                        Ok(run) => run,
                        Err(error) => {
                            is_over = Some(format!("the batch at offset {}: {error}", reading.next_offset));
                            break;
                        }
                    };
                    let (run, next_offset) = run;
                    // Only the very first may begin before. No checksum covers where a batch begins.
                    let begins_before = run.base_offset < reading.next_offset;
                    if next_offset <= reading.next_offset || (begins_before && reading.served > 0) {
                        is_over = Some(format!("a batch that begins at offset {}", run.base_offset));
                        break;
                    }
                    parts.push(Part::new(bytes, partition, reading.next_offset, &run));
                    reading.next_offset = next_offset;
                    reading.last_epoch = Some(run.leader_epoch).filter(|epoch| *epoch >= 0);
                    reading.served = self.rounds;
                    has_more = true;
                }
                is_empty &= !has_more;
                // As it was when the broker looked, else a log that never rests would be read here for good.
                if is_over.is_none() && reading.next_offset >= fetched.last_stable_offset {
                    is_over = Some("the end".to_owned());
                }
            }
            if let Some(reason) = is_over {
                is_empty = false;
                tracing::debug!(partition, reading.next_offset, reason, "handed over to the client");
                self.handed_over.push(reading.position(partition));
                self.readings.remove(&partition);
            }
        }
        self.empty_answers = if is_empty { self.empty_answers + 1 } else { 0 };
        self.empty_answers < EMPTY_ANSWERS_MAX
    }

    /// Hands over all that is read from a broker.
    fn lose(&mut self, link: LinkId) {
        self.links.retain(|open| open.id != link);
        let lost = self.readings.iter().filter(|(_, reading)| reading.link == link);
        self.handed_over.extend(lost.map(|(&partition, reading)| reading.position(partition)));
        self.readings.retain(|_, reading| reading.link != link);
    }
}

/// Whether the brokers are reached in plain text, as far as the properties say.
fn is_for(connection: &Connection) -> bool {
    connection.properties.iter().all(|property| HARMLESS.contains(&property.key.as_str()))
}

impl Link {
    fn new(id: LinkId, stream: TcpStream) -> Link {
        Link {
            id,
            stream,
            correlation: 0,
            asked: Vec::new(),
            answer: Vec::new(),
            filled: 0,
            is_asked: false,
            heard: Instant::now(),
        }
    }

    fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        // So short that the connection has room for it, or is not worth waiting for.
        self.stream.write_all(request)?;
        (self.filled, self.is_asked, self.heard) = (0, true, Instant::now());
        Ok(())
    }

    /// Reads what there is of the answer. Says whether that is all of it.
    fn read(&mut self) -> io::Result<bool> {
        loop {
            let end = match self.answer.get(..self.filled).and_then(|answer| answer.first_chunk()) {
                None => 4,
                Some(size) => 4 + u32::from_be_bytes(*size) as usize,
            };
            if end > ANSWER_BYTES_MAX {
                return Err(io::Error::new(ErrorKind::InvalidData, "an answer is too large"));
            }
            if self.filled >= 4 && self.filled == end {
                return Ok(true);
            }
            // No room is made for a size that may be anything; what comes is.
            let end = end.min(self.filled + ANSWER_BYTES_STEP);
            if self.answer.len() < end {
                self.answer.resize(end, 0);
            }
            match self.stream.read(&mut self.answer[self.filled..end]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.filled += count;
                    self.heard = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn wait_for_any(links: &[Link], patience: Duration) -> io::Result<()> {
    let timeout = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    let asked = links.iter().filter(|link| link.is_asked);
    let mut awaited: Vec<PollFd> =
        asked.map(|link| PollFd::from_borrowed_fd(link.stream.as_fd(), PollFlags::IN)).collect();
    match poll(&mut awaited, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn connect(address: &impl ToSocketAddrs) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(ErrorKind::NotFound);
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn ask_metadata(broker: &str, client_id: &str, topic: &str) -> io::Result<Metadata> {
    const CORRELATION: i32 = 1;
    const KAFKAS_PORT: u16 = 9092;
    let address = broker.strip_prefix("PLAINTEXT://").unwrap_or(broker);
    let stream = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
            connect(&(host.trim_matches(['[', ']']), port))
        }
        _ => connect(&(address.trim_matches(['[', ']']), KAFKAS_PORT)),
    };
    let mut link = Link::new((-1, 0), stream?);
    link.ask(&wire::metadata_request(CORRELATION, client_id, topic))?;
    let deadline = Instant::now() + ANSWER_MAX;
    while !link.read()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        wait_for_any(slice::from_ref(&link), left)?;
    }
    wire::metadata(link.answer.get(4..link.filled).unwrap_or_default(), CORRELATION)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// The records of one answer.
#[derive(Default)]
pub struct Answer {
    bytes: Vec<u8>,
    size: usize,
    parts: Vec<Part>,
}

/// Where a run of records lies in an answer.
struct Part {
    partition: i32,
    from: i64,
    base_offset: i64,
    leader_epoch: i32,
    count: u32,
    records: Range<usize>,
}

impl Part {
    fn new(bytes: &[u8], partition: i32, from: i64, run: &Run) -> Part {
        let records = run.records.rest();
        let start = records.as_ptr().addr() - bytes.as_ptr().addr();
        let Run { base_offset, leader_epoch, count, .. } = *run;
        Part { partition, from, base_offset, leader_epoch, count, records: start..start + records.len() }
    }
}

impl Answer {
    pub fn clear(&mut self) {
        self.parts.clear();
        self.size = 0;
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub fn parts(&self) -> Parts<'_> {
        Parts { bytes: self.content(), parts: self.parts.iter() }
    }

    /// What follows the size.
    fn content(&self) -> &[u8] {
        self.bytes.get(4..self.size).unwrap_or_default()
    }
}

/// The runs of records of an answer.
pub struct Parts<'a> {
    bytes: &'a [u8],
    parts: slice::Iter<'a, Part>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Records<'a>;

    fn next(&mut self) -> Option<Records<'a>> {
        let Part { partition, from, base_offset, leader_epoch, count, ref records } = *self.parts.next()?;
        let records = Reader::new(self.bytes.get(records.clone()).unwrap_or_default());
        Some(Records::of_run(partition, from, Run { base_offset, leader_epoch, count, records }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::batches::tests::batch;
    use super::super::wire::Leader;
    use super::super::wire::tests::{Said, TOPIC_ID, fetch_answer};
    use super::*;
    use std::net::TcpListener;

    const CORRELATION: i32 = 9;

    /// Reads partitions 0 and 1 from offset 10 on.
    fn replay() -> Replay {
        let leader = |partition| Leader { partition, broker: 1, epoch: 4 };
        let reading = Reading { next_offset: 10, last_epoch: None, link: (1, 0), leader_epoch: 4, served: 0 };
        Replay {
            client_id: "almanac".to_owned(),
            limits: Limits { wait_ms: 1, min_bytes: 1, bytes: 1000, partition_bytes: 1000 },
            metadata: Metadata {
                brokers: Vec::new(),
                topic_id: TOPIC_ID,
                partitions: (0..2).map(leader).collect(),
            },
            links: Vec::new(),
            readings: (0..2).map(|partition| (partition, reading)).collect(),
            handed_over: Vec::new(),
            high_watermarks: BTreeMap::new(),
            rounds: 0,
            empty_answers: 0,
            silence_max: SILENCE_MAX,
        }
    }

    fn records(base_offset: i64, count: usize) -> Vec<u8> {
        batch(base_offset, 3, 0, &vec![(None, Some(b"x".to_vec())); count])
    }

    fn said(partition: i32, batches: Vec<u8>) -> Said {
        Said { partition, last_stable_offset: 100, batches, ..Said::default() }
    }

    fn answer(said: &[Said]) -> Answer {
        let content = fetch_answer(CORRELATION, 0, said);
        let bytes = [&(content.len() as u32).to_be_bytes()[..], &content].concat();
        Answer { size: bytes.len(), bytes, parts: Vec::new() }
    }

    /// Partition and offset of each record that an answer brings.
    fn taken(replay: &mut Replay, said: &[Said], asked: &[(i32, i64)]) -> Vec<(i32, i64)> {
        let mut answer = answer(said);
        assert!(replay.take(&mut answer, CORRELATION, asked));
        let records = answer.parts().flatten().map(Result::unwrap);
        records.map(|record| (record.partition, record.offset)).collect()
    }

    fn handed_over(replay: &mut Replay) -> Vec<(i32, i64, Option<i32>)> {
        let position = |position: Position| match position.start {
            StartAt::Offset { next_offset, leader_epoch } => (position.partition, next_offset, leader_epoch),
            StartAt::End => panic!("{position:?}"),
        };
        replay.take_handed_over().into_iter().map(position).collect()
    }

    const BOTH: [(i32, i64); 2] = [(0, 10), (1, 10)];

    #[test]
    fn records_come_from_where_reading_was() {
        let mut replay = replay();
        // A batch is given whole, also where it begins before.
        let said = [said(0, records(8, 4)), said(1, [records(10, 1), records(11, 2)].concat())];
        assert_eq!(taken(&mut replay, &said, &BOTH), [(0, 10), (0, 11), (1, 10), (1, 11), (1, 12)]);
        assert_eq!(replay.high_watermark(0), Some(120));
        assert_eq!((replay.readings[&0].next_offset, replay.readings[&1].next_offset), (12, 13));
        assert_eq!(handed_over(&mut replay), []);
    }

    #[test]
    fn an_answer_to_what_is_no_longer_asked_is_left() {
        let mut replay = replay();
        // Given up and taken on again, further back, while the answer was on its way; and given up for good.
        let said = [said(0, records(30, 1)), said(2, records(10, 1))];
        assert_eq!(taken(&mut replay, &said, &[(0, 30), (2, 10)]), []);
        assert_eq!(replay.readings[&0].next_offset, 10);
        assert!(replay.remove(1));
        assert!(!replay.remove(1));
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_handed_over_where_it_begins() {
        let mut damaged = records(12, 1);
        *damaged.last_mut().unwrap() ^= 1;
        let transactional = batch(12, 3, 0x10, &[(None, Some(b"x".to_vec()))]);
        let good = || records(10, 2);
        let first = || vec![(0, 10), (0, 11)];
        for (said, expected, at) in [
            (said(0, [good(), damaged].concat()), first(), (0, 12, Some(3))),
            (said(0, [good(), transactional].concat()), first(), (0, 12, Some(3))),
            (Said { error: 6, ..said(0, good()) }, vec![], (0, 10, None)),
            (Said { is_diverging: true, ..said(0, good()) }, vec![], (0, 10, None)),
            (Said { has_aborted: true, ..said(0, good()) }, vec![], (0, 10, None)),
            // The end.
            (Said { last_stable_offset: 10, ..said(0, vec![]) }, vec![], (0, 10, None)),
            (Said { last_stable_offset: 12, ..said(0, good()) }, first(), (0, 12, Some(3))),
        ] {
            let mut replay = replay();
            assert_eq!(taken(&mut replay, &[said], &BOTH[..1]), expected);
            assert_eq!(handed_over(&mut replay), [at]);
            assert!(!replay.has(0) && replay.has(1), "the others go on");
        }
    }

    #[test]
    fn a_batch_that_goes_back_is_read_by_another() {
        for (second, expected) in [(records(11, 2), vec![]), (records(9, 2), vec![])] {
            let mut replay = replay();
            assert_eq!(taken(&mut replay, &[said(0, records(8, 4))], &BOTH[..1]), [(0, 10), (0, 11)]);
            assert_eq!(taken(&mut replay, &[said(0, second)], &[(0, 12)]), expected);
            assert_eq!(handed_over(&mut replay), [(0, 12, Some(3))]);
        }
    }

    /// A broker that listens, and how to reach it.
    fn broker(id: i32) -> (TcpListener, wire::Broker) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, wire::Broker { id, host: "127.0.0.1".to_owned(), port })
    }

    fn position(partition: i32, next_offset: i64) -> Position {
        Position { partition, start: StartAt::Offset { next_offset, leader_epoch: None } }
    }

    /// Reads partition 0 from one broker and partition 1 from another.
    fn replay_of_two() -> (Replay, [TcpListener; 2]) {
        let mut replay = Replay { readings: BTreeMap::new(), ..replay() };
        let ((first, one), (second, two)) = (broker(1), broker(2));
        replay.metadata.brokers = vec![one, two];
        let leader = |partition| Leader { partition, broker: partition + 1, epoch: 4 };
        replay.metadata.partitions = (0..2).map(leader).collect();
        (replay, [first, second])
    }

    /// Answers a question about one partition, which begins at `offset`.
    fn answer_one(stream: &mut TcpStream, partition: i32, offset: i64) {
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut question = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut question).unwrap();
        let correlation = i32::from_be_bytes(*question[4..].first_chunk().unwrap());
        let content = fetch_answer(correlation, 0, &[said(partition, records(offset, 1))]);
        let size = (content.len() as u32).to_be_bytes();
        stream.write_all(&[&size[..], &content].concat()).unwrap();
    }

    #[test]
    fn no_broker_comes_before_all_others() {
        let (mut replay, listeners) = replay_of_two();
        assert!(replay.add(position(0, 10)) && replay.add(position(1, 10)));
        let mut streams = listeners.map(|listener| listener.accept().unwrap().0);
        replay.ask();
        let mut answer = Answer::default();
        let mut served = Vec::new();
        let mut due = [true; 2];
        let mut offsets = [10; 2];
        for _ in 0..6 {
            // Both have answered whenever somebody looks.
            for (partition, stream) in streams.iter_mut().enumerate().filter(|(partition, _)| due[*partition])
            {
                answer_one(stream, partition as i32, offsets[partition]);
            }
            due = [false; 2];
            let deadline = Instant::now() + Duration::from_secs(10);
            while replay.links.iter().any(|link| link.stream.peek(&mut [0]).is_err()) {
                assert!(Instant::now() < deadline, "nothing comes");
                std::thread::yield_now();
            }
            replay.poll(&mut answer, Duration::from_secs(1));
            for record in answer.parts().flatten() {
                let record = record.unwrap();
                served.push(record.partition);
                due[record.partition as usize] = true;
                offsets[record.partition as usize] = record.offset + 1;
            }
        }
        assert_eq!(served, [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn connections_to_a_broker_share_its_partitions() {
        let (listener, broker) = broker(1);
        let mut replay = Replay { readings: BTreeMap::new(), ..replay() };
        replay.metadata.brokers = vec![broker];
        replay.metadata.partitions =
            (0..4).map(|partition| Leader { partition, broker: 1, epoch: 4 }).collect();
        assert!([0, 2, 1, 3].into_iter().all(|partition| replay.add(position(partition, 10))));
        let links = || replay.readings.iter().map(|(&partition, reading)| (partition, reading.link.1));
        assert_eq!(links().collect::<Vec<_>>(), [(0, 0), (1, 0), (2, 1), (3, 1)]);
        assert_eq!(replay.links.len(), 2);
        assert!(replay.remove(0) && replay.remove(1) && replay.add(position(0, 10)));
        assert_eq!(replay.readings[&0].link.1, 0, "the one that has fewer");
        drop(listener);
    }

    #[test]
    fn a_connection_goes_with_the_last_partition_read_by_it() {
        let (mut replay, listeners) = replay_of_two();
        assert!(replay.add(position(0, 10)) && replay.add(position(1, 10)));
        assert!(replay.remove(1));
        assert_eq!(replay.links.iter().map(|link| link.id).collect::<Vec<_>>(), [(1, 0)]);
        drop(listeners);
        assert!(!replay.add(position(1, 10)), "nobody listens");
        assert_eq!(replay.metadata.brokers.len(), 1, "it is not tried again");
    }

    #[test]
    fn answers_that_bring_nothing_end_it() {
        let mut replay = replay();
        let mut answer = answer(&[said(0, vec![]), said(1, vec![])]);
        let answers = (1..).take_while(|_| replay.take(&mut answer, CORRELATION, &BOTH)).count();
        assert_eq!(answers as u32, EMPTY_ANSWERS_MAX - 1);
        replay.lose((1, 0));
        assert_eq!(handed_over(&mut replay), [(0, 10, None), (1, 10, None)]);
        assert!(replay.is_idle());
    }

    #[test]
    fn an_answer_about_other_partitions_is_none() {
        for partitions in [&[0][..], &[0, 0], &[0, 1, 1], &[0, 2]] {
            let said: Vec<Said> =
                partitions.iter().map(|partition| said(*partition, records(10, 1))).collect();
            let mut answer = answer(&said);
            assert!(!replay().take(&mut answer, CORRELATION, &BOTH), "{partitions:?}");
            assert!(answer.is_empty());
        }
        assert!(replay().take(&mut answer(&[]), CORRELATION, &BOTH), "the broker holds back");
    }

    #[test]
    fn only_properties_that_it_knows_leave_brokers_to_it() {
        let connection = |property: &str| Connection {
            brokers: "127.0.0.1:1".to_owned(),
            properties: vec![property.parse().unwrap()],
        };
        for property in ["security.protocol=ssl", "sasl.mechanism=PLAIN", "broker.address.family=v6"] {
            assert!(!is_for(&connection(property)), "{property}");
        }
        assert!(is_for(&connection("fetch.max.bytes=1000")));
    }
}
