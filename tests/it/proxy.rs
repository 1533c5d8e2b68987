//! A network between client and broker that does damage: it delays, cuts, throttles, swallows, splits, and changes
//! single bits, aimed at named fields of Kafka's protocol.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::support::{Kafka, Random, free_address};

/// The field in which a bit is changed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Field {
    // Of a batch in a Fetch response.
    Covered,
    BaseOffset,
    BatchLength,
    LeaderEpoch,
    Magic,
    Crc,
    /// A record, and the checksum made to fit: what no checksum without a secret can catch.
    CoveredAndCrc,
    // Of a Fetch response, outside of its batches.
    FrameSize,
    CorrelationId,
    FetchError,
    FetchTopicId,
    FetchPartition,
    FetchPartitionError,
    HighWatermark,
    LastStableOffset,
    LogStartOffset,
    RecordsSize,
    PreferredReplica,
    // Of a Fetch request.
    AskedOffset,
    AskedPartition,
    AskedLeaderEpoch,
    // Of a Metadata response, which also answers DescribeTopics.
    NodeId,
    ClusterId,
    TopicError,
    TopicName,
    TopicId,
    TopicPartition,
    TopicLeader,
    TopicLeaderEpoch,
    // Of a ListOffsets response.
    ListError,
    ListPartition,
    ListOffset,
    ListLeaderEpoch,
    // Of an OffsetForLeaderEpoch response.
    EpochError,
    EpochPartition,
    EpochEpoch,
    EpochEnd,
    // Of a Produce request.
    SentCovered,
    SentCrc,
    SentBaseOffset,
    SentBatchLength,
    SentMagic,
    SentPartition,
    SentTopic,
    SentAcks,
    SentCoveredAndCrc,
    // Of a Produce response.
    AckPartition,
    AckError,
    AckBaseOffset,
}

/// Other faults of a network, to a frame and to its connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    Delay,
    Throttle,
    Split,
    /// A part of the frame, then FIN.
    Fin,
    /// A part of the frame, then RST.
    Reset,
    /// Nothing more comes through, and the connection stays.
    BlackHole,
    Flip(Field),
}

/// One bit to change, after so many frames that have the field: this one, counted from the right, or any.
pub struct Flip {
    pub field: Field,
    pub skip: u64,
    pub bit: Option<u64>,
    pub random: Random,
}

/// A share of the frames, in thousandths, to which one of these is done.
pub struct Storm {
    pub per_mille: u64,
    pub faults: Vec<Fault>,
    pub random: Random,
}

#[derive(Default)]
struct Plan {
    flip: Option<Flip>,
    /// The effect of the flip, once it was done.
    flipped: Option<String>,
    /// The connection that had the flip ended after it.
    hung_up: bool,
    /// The broker refused records after it.
    has_refused: bool,
    storm: Option<Storm>,
    /// What a partition's first offset is said to be, if it is 0.
    listed_start: Option<i64>,
    /// The highest version of Fetch that the broker knows.
    fetch_max: Option<i16>,
    done: HashMap<Fault, u64>,
}

/// Frames with records, on all connections.
#[derive(Default)]
struct Hold {
    /// How many pass before the others wait; if not set, all do.
    passing: Option<u64>,
    waiting: usize,
}

/// A Kafka, and the ways to it: `kafka.bootstrap` directly, and one through each proxy.
pub struct Network {
    pub kafka: Kafka,
    pub lanes: Vec<Proxy>,
}

impl Network {
    pub fn start(lanes: usize) -> Network {
        let direct = free_address();
        let (mut listeners, mut advertised) = (format!("DIRECT://{direct}"), format!("DIRECT://{direct}"));
        let mut protocols = "DIRECT:PLAINTEXT".to_owned();
        let mut proxies = Vec::new();
        for lane in 0..lanes {
            let (front, behind) = (TcpListener::bind("127.0.0.1:0").unwrap(), free_address());
            write!(listeners, ",LANE{lane}://{behind}").unwrap();
            write!(advertised, ",LANE{lane}://{}", front.local_addr().unwrap()).unwrap();
            write!(protocols, ",LANE{lane}:PLAINTEXT").unwrap();
            proxies.push(Proxy::start(front, &behind));
        }
        let kafka = Kafka::start(&[
            &format!("listeners={listeners}"),
            &format!("advertised.listeners={advertised}"),
            &format!("listener.security.protocol.map={protocols}"),
        ]);
        Network { kafka, lanes: proxies }
    }
}

/// A proxy on loopback. It ends with its owner.
pub struct Proxy {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    plan: Mutex<Plan>,
    hold: Mutex<Hold>,
    released: Condvar,
    links: Mutex<Vec<Weak<Link>>>,
    is_over: AtomicBool,
}

/// A client's connection and the broker's.
struct Link {
    client: TcpStream,
    broker: TcpStream,
    /// API and version of the requests not answered yet, by correlation id.
    asked: Mutex<HashMap<[u8; 4], (i16, i16)>>,
    has_flip: AtomicBool,
    is_black: AtomicBool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Way {
    ToBroker,
    ToClient,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Listens on `listener`, for a broker at `upstream`.
    pub fn start(listener: TcpListener, upstream: &str) -> Proxy {
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            plan: Mutex::default(),
            hold: Mutex::default(),
            released: Condvar::new(),
            links: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                // No broker: the client finds its connection closed.
                let _ = accepting.link(client);
            }
        });
        Proxy { address, shared }
    }

    pub fn aim(&self, flip: Flip) {
        let mut plan = locked(&self.shared.plan);
        *plan = Plan { flip: Some(flip), ..Plan::default() };
    }

    /// The effect of the flip, and whether its connection has ended since.
    pub fn flipped(&self) -> (Option<String>, bool) {
        let plan = locked(&self.shared.plan);
        (plan.flipped.clone(), plan.hung_up)
    }

    /// Whether the broker has refused records since the last aim.
    pub fn has_refused(&self) -> bool {
        locked(&self.shared.plan).has_refused
    }

    /// From now on, until [`Proxy::calm`], frames meet faults.
    pub fn storm(&self, storm: Storm) {
        let mut plan = locked(&self.shared.plan);
        plan.storm = Some(storm);
        plan.done.clear();
    }

    /// From now on, until [`Proxy::calm`], partitions that begin at 0 are listed with this first offset: the answer of a
    /// leader that was paused while the topic was created again.
    pub fn list_start(&self, offset: i64) {
        locked(&self.shared.plan).listed_start = Some(offset);
    }

    /// From now on the broker closes a connection on which it gets a fetch of a higher version, as it does not know that.
    pub fn limit_fetch(&self, version: i16) {
        locked(&self.shared.plan).fetch_max = Some(version);
    }

    /// From now on everything comes through as it is.
    pub fn calm(&self) {
        let mut plan = locked(&self.shared.plan);
        (plan.flip, plan.storm, plan.listed_start) = (None, None, None);
    }

    /// Frames with records wait, once so many have passed, until [`Proxy::release`].
    pub fn hold_after(&self, frames: u64) {
        locked(&self.shared.hold).passing = Some(frames);
    }

    pub fn is_holding(&self) -> bool {
        locked(&self.shared.hold).waiting > 0
    }

    pub fn release(&self) {
        locked(&self.shared.hold).passing = None;
        self.shared.released.notify_all();
    }

    /// How often each fault of the last storm was done.
    pub fn done(&self) -> HashMap<Fault, u64> {
        locked(&self.shared.plan).done.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.release();
        // Best effort: to wake up whoever waits for a connection, or for bytes.
        let _ = TcpStream::connect(&self.address);
        for link in locked(&self.shared.links).iter().filter_map(Weak::upgrade) {
            link.close();
        }
    }
}

impl Shared {
    fn link(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let broker = TcpStream::connect(&self.upstream)?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let link = Arc::new(Link {
            client,
            broker,
            asked: Mutex::default(),
            has_flip: AtomicBool::new(false),
            is_black: AtomicBool::new(false),
        });
        let mut links = locked(&self.links);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        drop(links);
        for way in [Way::ToBroker, Way::ToClient] {
            let (shared, link) = (self.clone(), link.clone());
            std::thread::spawn(move || {
                // That one end has gone is how a connection ends.
                let _ = shared.relay(&link, way);
                link.close();
                if link.has_flip.load(Ordering::SeqCst) {
                    locked(&shared.plan).hung_up = true;
                }
            });
        }
        Ok(())
    }

    fn relay(&self, link: &Link, way: Way) -> io::Result<()> {
        let (mut from, to) = match way {
            Way::ToBroker => (&link.client, &link.broker),
            Way::ToClient => (&link.broker, &link.client),
        };
        loop {
            let mut frame = vec![0; 4];
            from.read_exact(&mut frame)?;
            let size = usize::try_from(number(&frame)).unwrap_or(0);
            frame.resize(4 + size, 0);
            from.read_exact(&mut frame[4..])?;
            if link.is_black.load(Ordering::SeqCst) {
                continue;
            }
            if way == Way::ToBroker && self.is_unknown(&frame) {
                return Err(io::ErrorKind::Unsupported.into());
            }
            let fields = link.fields(way, &frame);
            if has(&fields, Field::Covered) {
                self.pass();
            }
            match self.damage(link, &mut frame, &fields) {
                None => write_all(to, &frame)?,
                Some(fault) => link.send_with(fault, to, &frame)?,
            }
        }
    }

    fn is_unknown(&self, request: &[u8]) -> bool {
        let (is_fetch, version) = (number(&request[4..6]) == i64::from(FETCH), number(&request[6..8]));
        is_fetch && locked(&self.plan).fetch_max.is_some_and(|most| version > i64::from(most))
    }

    /// Waits where frames with records are held.
    fn pass(&self) {
        let mut hold = locked(&self.hold);
        match &mut hold.passing {
            None => return,
            Some(0) => {}
            Some(frames) => {
                *frames -= 1;
                return;
            }
        }
        hold.waiting += 1;
        while hold.passing.is_some() {
            hold = self.released.wait(hold).unwrap_or_else(PoisonError::into_inner);
        }
        hold.waiting -= 1;
    }

    /// Changes the frame as planned; gives back what is to be done to the connection.
    fn damage(
        &self,
        link: &Link,
        frame: &mut [u8],
        fields: &[(Field, Range<usize>)],
    ) -> Option<(Fault, Random)> {
        let mut plan = locked(&self.plan);
        let plan = &mut *plan;
        let is_error = |place: &Range<usize>| number(&frame[place.clone()]) != 0;
        plan.has_refused |= fields.iter().any(|(field, place)| *field == Field::AckError && is_error(place));
        if let Some(flip) = &mut plan.flip
            && has(fields, flip.field)
        {
            if flip.skip > 0 {
                flip.skip -= 1;
            } else {
                plan.flipped = Some(change_bit(frame, fields, flip.field, flip.bit, &mut flip.random));
                link.has_flip.store(true, Ordering::SeqCst);
                plan.flip = None;
            }
        }
        if let Some(start) = plan.listed_start {
            for (_, place) in fields.iter().filter(|(field, _)| *field == Field::ListOffset) {
                if number(&frame[place.clone()]) == 0 {
                    frame[place.clone()].copy_from_slice(&start.to_be_bytes());
                }
            }
        }
        let storm = plan.storm.as_mut()?;
        if storm.random.below(1000) >= storm.per_mille {
            return None;
        }
        let fault = *pick(&storm.faults, &mut storm.random);
        if let Fault::Flip(field) = fault {
            if has(fields, field) {
                change_bit(frame, fields, field, None, &mut storm.random);
                *plan.done.entry(fault).or_default() += 1;
            }
            return None;
        }
        *plan.done.entry(fault).or_default() += 1;
        Some((fault, Random(storm.random.next())))
    }
}

fn has(fields: &[(Field, Range<usize>)], wanted: Field) -> bool {
    fields.iter().any(|(field, _)| *field == wanted)
}

fn pick<'a, T>(from: &'a [T], random: &mut Random) -> &'a T {
    &from[usize::try_from(random.below(from.len() as u64)).unwrap()]
}

/// Changes one bit of one of the places that hold this field.
fn change_bit(
    frame: &mut [u8],
    fields: &[(Field, Range<usize>)],
    wanted: Field,
    bit: Option<u64>,
    random: &mut Random,
) -> String {
    let places: Vec<Range<usize>> =
        fields.iter().filter(|(field, _)| *field == wanted).map(|(_, place)| place.clone()).collect();
    let place = pick(&places, random).clone();
    let mut bits = place.len() as u64 * 8;
    let is_record = matches!(
        wanted,
        Field::Covered | Field::CoveredAndCrc | Field::SentCovered | Field::SentCoveredAndCrc
    );
    // Small changes of a number are the ones that can pass for right.
    if !is_record && random.below(4) > 0 {
        bits = bits.min(12);
    }
    let bit = bit.unwrap_or_else(|| match wanted {
        // Behind the batch's own numbers, which end 40 bytes after the checksum: in a record.
        Field::CoveredAndCrc | Field::SentCoveredAndCrc => random.below(bits - 40 * 8),
        _ => random.below(bits),
    });
    let at = place.end - 1 - usize::try_from(bit / 8).unwrap();
    let before = frame[place.clone()].to_vec();
    frame[at] ^= 1 << (bit % 8);
    if matches!(wanted, Field::CoveredAndCrc | Field::SentCoveredAndCrc) {
        let crc = crc32c(&frame[place.clone()]).to_be_bytes();
        frame[place.start - 4..place.start].copy_from_slice(&crc);
    }
    let shown = match place.len() {
        1..=8 => format!("{} to {}", number(&before), number(&frame[place])),
        _ => format!("byte {} of {}", at - place.start, place.len()),
    };
    format!("{wanted:?}: bit {bit}, {shown}")
}

impl Link {
    fn close(&self) {
        for stream in [&self.client, &self.broker] {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn send_with(
        &self,
        (fault, mut random): (Fault, Random),
        to: &TcpStream,
        frame: &[u8],
    ) -> io::Result<()> {
        let part = usize::try_from(random.below(frame.len() as u64)).unwrap();
        let pause = |millis| std::thread::sleep(Duration::from_millis(millis));
        match fault {
            Fault::Delay => {
                pause(random.below(300));
                write_all(to, frame)
            }
            Fault::Throttle => frame.chunks(512).try_for_each(|piece| {
                pause(2);
                write_all(to, piece)
            }),
            Fault::Split => {
                let (start, rest) = frame.split_at(frame.len().min(200));
                start.chunks(1 + part % 7).try_for_each(|piece| write_all(to, piece))?;
                write_all(to, rest)
            }
            Fault::Fin => {
                write_all(to, &frame[..part])?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Fault::Reset => {
                write_all(to, &frame[..part])?;
                for stream in [&self.client, &self.broker] {
                    set_socket_linger(stream, Some(Duration::ZERO))?;
                    // Wakes up the other direction without a FIN; the RST comes with the last reference.
                    stream.shutdown(Shutdown::Read)?;
                }
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Fault::BlackHole => {
                self.is_black.store(true, Ordering::SeqCst);
                Ok(())
            }
            Fault::Flip(_) => write_all(to, frame),
        }
    }

    /// The fields of a frame, which starts with its size.
    fn fields(&self, way: Way, frame: &[u8]) -> Vec<(Field, Range<usize>)> {
        let mut fields = Fields { frame, at: 4, is_flexible: false, found: Vec::new() };
        // A frame that can't be read to its end has the fields up to there.
        let _ = match way {
            Way::ToBroker => fields.request(&mut locked(&self.asked)),
            Way::ToClient => fields.response(&mut locked(&self.asked)),
        };
        fields.found.retain(|(_, place)| !place.is_empty() && place.end <= frame.len());
        fields.found
    }
}

fn write_all(mut to: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)
}

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
const OFFSET_FOR_LEADER_EPOCH: i16 = 23;

/// Since which version of an API strings, arrays and tags are compact.
fn flexible_since(api: i16) -> i16 {
    match api {
        PRODUCE | METADATA => 9,
        FETCH => 12,
        LIST_OFFSETS => 6,
        OFFSET_FOR_LEADER_EPOCH => 4,
        API_VERSIONS => 3,
        _ => i16::MAX,
    }
}

/// Reads a frame from its start to its end, and notes where its fields are.
struct Fields<'a> {
    frame: &'a [u8],
    at: usize,
    is_flexible: bool,
    found: Vec<(Field, Range<usize>)>,
}

impl Fields<'_> {
    fn request(&mut self, asked: &mut HashMap<[u8; 4], (i16, i16)>) -> Option<()> {
        let (api, version) = (self.small()?, self.small()?);
        let correlation = self.frame.get(8..12)?.try_into().ok()?;
        asked.insert(correlation, (api, version));
        self.skip(4)?;
        // The client's id is not compact in any version.
        self.string()?;
        self.is_flexible = version >= flexible_since(api);
        self.tags()?;
        match api {
            PRODUCE => self.produce_request(version),
            FETCH => self.fetch_request(version),
            _ => Some(()),
        }
    }

    fn response(&mut self, asked: &mut HashMap<[u8; 4], (i16, i16)>) -> Option<()> {
        let correlation: [u8; 4] = self.frame.get(4..8)?.try_into().ok()?;
        let (api, version) = asked.remove(&correlation)?;
        if api == FETCH {
            self.found.push((Field::FrameSize, 0..4));
            self.found.push((Field::CorrelationId, 4..8));
        }
        self.skip(4)?;
        self.is_flexible = version >= flexible_since(api) && api != API_VERSIONS;
        self.tags()?;
        match api {
            PRODUCE => self.produce_response(version),
            FETCH => self.fetch_response(version),
            LIST_OFFSETS => self.list_offsets_response(version),
            METADATA => self.metadata_response(version),
            OFFSET_FOR_LEADER_EPOCH => self.leader_epoch_response(version),
            _ => Some(()),
        }
    }

    fn fetch_request(&mut self, version: i16) -> Option<()> {
        // Up to 14 the replica's id; wait, bytes at least and at most, isolation; from 7 on session and its epoch.
        self.skip(if version <= 14 { 4 } else { 0 } + 12 + 1 + if version >= 7 { 8 } else { 0 })?;
        self.each(|this| {
            if version >= 13 {
                this.skip(16)?
            } else {
                this.string()?
            };
            this.each(|this| {
                this.note(Field::AskedPartition, 4)?;
                if version >= 9 {
                    this.note(Field::AskedLeaderEpoch, 4)?;
                }
                this.note(Field::AskedOffset, 8)?;
                // The epoch of the record before, where the replica's log starts, bytes at most.
                this.skip(if version >= 12 { 4 } else { 0 } + if version >= 5 { 8 } else { 0 } + 4)?;
                this.tags()
            })?;
            this.tags()
        })
    }

    fn fetch_response(&mut self, version: i16) -> Option<()> {
        self.skip(4)?;
        if version >= 7 {
            self.note(Field::FetchError, 2)?;
            self.skip(4)?;
        }
        self.each(|this| {
            if version >= 13 {
                this.note(Field::FetchTopicId, 16)?;
            } else {
                this.string()?;
            }
            this.each(|this| {
                this.note(Field::FetchPartition, 4)?;
                this.note(Field::FetchPartitionError, 2)?;
                this.note(Field::HighWatermark, 8)?;
                this.note(Field::LastStableOffset, 8)?;
                if version >= 5 {
                    this.note(Field::LogStartOffset, 8)?;
                }
                this.each(|this| {
                    this.skip(16)?;
                    this.tags()
                })?;
                if version >= 11 {
                    this.note(Field::PreferredReplica, 4)?;
                }
                this.records(false)?;
                this.tags()
            })?;
            this.tags()
        })
    }

    fn metadata_response(&mut self, version: i16) -> Option<()> {
        self.skip(4)?;
        // Host and port stay: what they would lead to is not on this proxy.
        self.each(|this| {
            this.note(Field::NodeId, 4)?;
            this.string()?;
            this.skip(4)?;
            this.string()?;
            this.tags()
        })?;
        let cluster_id = self.string()?;
        self.found.push((Field::ClusterId, cluster_id));
        self.skip(4)?;
        self.each(|this| {
            this.note(Field::TopicError, 2)?;
            let name = this.string()?;
            this.found.push((Field::TopicName, name));
            if version >= 10 {
                this.note(Field::TopicId, 16)?;
            }
            this.skip(1)?;
            this.each(|this| {
                this.skip(2)?;
                this.note(Field::TopicPartition, 4)?;
                this.note(Field::TopicLeader, 4)?;
                this.note(Field::TopicLeaderEpoch, 4)?;
                for _ in ["replicas", "in sync", "offline"] {
                    this.each(|this| this.skip(4).map(drop))?;
                }
                this.tags()
            })?;
            this.skip(4)?;
            this.tags()
        })
    }

    fn list_offsets_response(&mut self, version: i16) -> Option<()> {
        self.skip(4)?;
        self.each(|this| {
            this.string()?;
            this.each(|this| {
                this.note(Field::ListPartition, 4)?;
                this.note(Field::ListError, 2)?;
                this.skip(8)?;
                this.note(Field::ListOffset, 8)?;
                if version >= 4 {
                    this.note(Field::ListLeaderEpoch, 4)?;
                }
                this.tags()
            })?;
            this.tags()
        })
    }

    fn leader_epoch_response(&mut self, version: i16) -> Option<()> {
        self.skip(if version >= 2 { 4 } else { 0 })?;
        self.each(|this| {
            this.string()?;
            this.each(|this| {
                this.note(Field::EpochError, 2)?;
                this.note(Field::EpochPartition, 4)?;
                this.note(Field::EpochEpoch, 4)?;
                this.note(Field::EpochEnd, 8)?;
                this.tags()
            })?;
            this.tags()
        })
    }

    fn produce_request(&mut self, version: i16) -> Option<()> {
        self.string()?;
        self.note(Field::SentAcks, 2)?;
        self.skip(4)?;
        self.each(|this| {
            if version >= 13 {
                this.note(Field::SentTopic, 16)?;
            } else {
                let name = this.string()?;
                this.found.push((Field::SentTopic, name));
            }
            this.each(|this| {
                this.note(Field::SentPartition, 4)?;
                this.records(true)?;
                this.tags()
            })?;
            this.tags()
        })
    }

    fn produce_response(&mut self, version: i16) -> Option<()> {
        self.each(|this| {
            if version >= 13 {
                this.skip(16)?
            } else {
                this.string()?
            };
            this.each(|this| {
                this.note(Field::AckPartition, 4)?;
                this.note(Field::AckError, 2)?;
                this.note(Field::AckBaseOffset, 8)?;
                this.skip(16)?;
                if version >= 8 {
                    this.each(|this| {
                        this.skip(4)?;
                        this.string()?;
                        this.tags()
                    })?;
                    this.string()?;
                }
                this.tags()
            })?;
            this.tags()
        })
    }

    /// Batches, each with what its checksum covers and what not. The last one may be cut off.
    fn records(&mut self, is_sent: bool) -> Option<()> {
        let size_at = self.at;
        let size = self.length()?;
        if !is_sent {
            self.found.push((Field::RecordsSize, size_at..self.at));
        }
        let end = self.at + size;
        while self.at + 61 < end {
            let start = self.at;
            let length = usize::try_from(number(self.frame.get(start + 8..start + 12)?)).ok()?;
            let covered = start + 21..start + 12 + length;
            if covered.end > end {
                break;
            }
            let fields = match is_sent {
                false => [
                    (Field::BaseOffset, start..start + 8),
                    (Field::BatchLength, start + 8..start + 12),
                    (Field::LeaderEpoch, start + 12..start + 16),
                    (Field::Magic, start + 16..start + 17),
                    (Field::Crc, start + 17..start + 21),
                    (Field::Covered, covered.clone()),
                    (Field::CoveredAndCrc, covered.clone()),
                ]
                .to_vec(),
                true => [
                    (Field::SentBaseOffset, start..start + 8),
                    (Field::SentBatchLength, start + 8..start + 12),
                    (Field::SentMagic, start + 16..start + 17),
                    (Field::SentCrc, start + 17..start + 21),
                    (Field::SentCovered, covered.clone()),
                    (Field::SentCoveredAndCrc, covered.clone()),
                ]
                .to_vec(),
            };
            self.found.extend(fields);
            self.at = covered.end;
        }
        self.at = end;
        Some(())
    }

    fn skip(&mut self, count: usize) -> Option<Range<usize>> {
        let place = self.at..self.at + count;
        self.frame.get(place.clone())?;
        self.at = place.end;
        Some(place)
    }

    fn note(&mut self, field: Field, count: usize) -> Option<()> {
        let place = self.skip(count)?;
        self.found.push((field, place));
        Some(())
    }

    fn small(&mut self) -> Option<i16> {
        let place = self.skip(2)?;
        i16::try_from(number(&self.frame[place])).ok()
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = *self.frame.get(self.at)?;
            self.at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Of bytes or an array; null is 0.
    fn length(&mut self) -> Option<usize> {
        if self.is_flexible {
            return Some(self.varint()?.saturating_sub(1));
        }
        let place = self.skip(4)?;
        Some(usize::try_from(number(&self.frame[place])).unwrap_or(0))
    }

    fn string(&mut self) -> Option<Range<usize>> {
        let length = match self.is_flexible {
            true => self.varint()?.saturating_sub(1),
            false => usize::try_from(self.small()?).unwrap_or(0),
        };
        self.skip(length)
    }

    fn tags(&mut self) -> Option<()> {
        if self.is_flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let size = self.varint()?;
                self.skip(size)?;
            }
        }
        Some(())
    }

    fn each(&mut self, mut read: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        (0..self.length()?).try_for_each(|_| read(self))
    }
}

/// Big-endian, with its sign.
fn number(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte))
}

/// The checksum of Kafka's batches (Castagnoli).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}

#[test]
fn the_checksum_is_the_one_of_batches() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
