//! The parts that the tests share: a Kafka, the binary under test, and waiting with a deadline.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use almanac::checkpoint::Checkpoint;
use almanac::kafka::{Admin, Connection, Record, Topic, extent, read_spans};
use almanac::report::Decoder;
use almanac::store::{self, Paths};
use jiff::civil::Date;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::keys::{self, Identity, Subject, pem_keystore, pem_truststore};

/// Says on stderr that a test is skipped, and why; where CI is set nothing may be.
#[track_caller]
pub fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI must not skip this: {reason}");
    // The macro's output is shown of failed tests only.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// Whether a program of this name can be started; the test that needs it is skipped otherwise.
#[track_caller]
pub fn has_program(name: &str) -> bool {
    let has =
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !has {
        skip(&format!("{name} is not installed"));
    }
    has
}

/// How much a campaign of faults does: what fits in a test run, unless `scripts/campaign` says otherwise.
pub struct Campaign {
    name: &'static str,
    pub seed: u64,
    pub size: usize,
    began: Instant,
}

impl Campaign {
    pub fn new(name: &'static str, short: usize) -> Campaign {
        let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
        let size = number("CAMPAIGN_SIZE").map_or(short, |size| usize::try_from(size).unwrap());
        Campaign { name, seed: number("CAMPAIGN_SEED").unwrap_or(1), size, began: Instant::now() }
    }

    pub fn random(&self) -> Random {
        Random(self.seed)
    }

    /// Prints a line about the campaign past the capture, so that campaigns that pass also show it.
    pub fn say(&self, text: &str) {
        let Campaign { name, seed, size, began } = self;
        let seconds = began.elapsed().as_secs();
        let _ =
            writeln!(std::io::stderr(), "campaign {name} (seed {seed}, size {size}, {seconds} s): {text}");
    }
}

/// Whether almanac is to reach each Kafka by TLS, and to compress with lz4: `CAMPAIGN_SECURITY=ssl scripts/campaign …`.
fn is_secured() -> bool {
    std::env::var_os("CAMPAIGN_SECURITY").is_some_and(|security| security == "ssl")
}

/// The listener without TLS of each such Kafka, that with TLS, and whom almanac has to trust.
static SECURED: Mutex<Vec<(String, String, PathBuf)>> = Mutex::new(Vec::new());

/// The same numbers for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, which is not among them.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// How long a test waits for something that comes sooner or later. A start of Kafka takes ten seconds next to a few
/// others, and half a minute next to many.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until `condition` holds; fails the test if it does not within minutes.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, condition);
}

/// The same; `said` is printed if it does not come to that.
#[track_caller]
pub fn eventually_or(what: &str, said: impl Fn() -> String, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {} s\n{}", PATIENCE.as_secs(), said());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
pub fn eventually_within(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {} s", time.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a Kafka answers at `bootstrap`: it is asked for the versions that it speaks, as any client's first question.
pub fn is_kafka(bootstrap: &str) -> bool {
    ask_api_versions(bootstrap).unwrap_or(false)
}

fn ask_api_versions(bootstrap: &str) -> std::io::Result<bool> {
    const CORRELATION: [u8; 4] = *b"ask?";
    let mut stream = TcpStream::connect(bootstrap)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    // Size; then ApiVersions (18), version 0, the correlation id, and no client id (-1).
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0])?;
    stream.write_all(&CORRELATION)?;
    stream.write_all(&[0xff, 0xff])?;
    // Size, correlation id, error code.
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    Ok(answer[4..8] == CORRELATION && answer[8..] == [0, 0])
}

/// The Kafka that most tests share, each with topics of its own. It ends with the test process.
pub fn kafka() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(|| Kafka::start(&[]))
}

/// A Kafka of `almanac broker`.
pub struct Kafka {
    process: Running,
    pub bootstrap: String,
    set: Vec<String>,
    data: TempDir,
}

impl Kafka {
    /// A Kafka on a free port, which stays its own when it is started again, with these server properties.
    pub fn start(set: &[&str]) -> Kafka {
        Self::start_at(&free_address(), set)
    }

    pub fn start_at(listen: &str, set: &[&str]) -> Kafka {
        let data = tempfile::tempdir().unwrap();
        if is_secured() && !set.iter().any(|set| set.starts_with("listeners=")) {
            return Self::start_secured(listen, set, data);
        }
        let (process, bootstrap) = Self::launch(data.path(), listen, set);
        let set = set.iter().copied().map(str::to_owned).collect();
        Kafka { process, bootstrap, set, data }
    }

    /// One that almanac reaches by TLS only, while the tests' own clients do without.
    fn start_secured(listen: &str, set: &[&str], data: TempDir) -> Kafka {
        let authority = Identity::authority("tests");
        let path = |name: &str| data.path().join(name);
        let keystore = Identity::signed_by(&authority, &Subject::default()).write(path("kafka.pem"));
        let ca = keys::write(path("ca.pem"), authority.certificates());
        let tls = free_address();
        let mut all = [pem_keystore("", &keystore), pem_truststore("", &ca)].concat();
        all.push(format!("listeners=PLAINTEXT://{listen},SSL://{tls}"));
        all.extend(set.iter().map(|&set| set.to_owned()));
        let (process, bootstrap) =
            Self::launch(data.path(), listen, &all.iter().map(String::as_str).collect::<Vec<_>>());
        SECURED.lock().unwrap().push((bootstrap.clone(), tls, ca));
        Kafka { process, bootstrap, set: all, data }
    }

    fn launch(data: &Path, listen: &str, set: &[&str]) -> (Running, String) {
        let mut arguments = vec!["broker", "--listen", listen, "--data", data.to_str().unwrap()];
        arguments.extend(set.iter().flat_map(|set| ["--set", set]));
        let process = almanac(&arguments).start_in(data);
        let answer = process.stderr_line_with(" answers at ");
        let bootstrap = answer.split(" answers at ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        (process, bootstrap)
    }

    /// Stops it in good order. [`Kafka::start_again`] resumes with its data and properties, at the same address.
    pub fn stop(&mut self) {
        self.process.terminate();
    }

    /// Ends it, and its JVM, at whatever it does.
    pub fn kill_9(&mut self) {
        self.process.kill_9();
    }

    /// The directory where it keeps a partition's log.
    pub fn log_dir(&self, topic: &str, partition: i32) -> PathBuf {
        self.data.path().join(format!("logs/{topic}-{partition}"))
    }

    /// Cuts a partition's log, as a power cut can, to its first `batches` batches. It must be down.
    pub fn cut(&self, topic: &str, partition: i32, batches: usize) {
        let segment = self.segment(topic, partition);
        let bytes = std::fs::read(&segment).unwrap();
        let end = batch_ends(&bytes).take(batches).last().unwrap_or(0);
        assert!(end < bytes.len(), "there is nothing to cut off");
        std::fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(end as u64).unwrap();
    }

    /// Flips a bit of what a partition's log has of `bytes`, under the running broker, as a bad disk can; or flips it back.
    pub fn damage(&self, topic: &str, partition: i32, bytes: &[u8]) {
        let path = self.segment(topic, partition);
        let log = std::fs::read(&path).unwrap();
        // If the last byte is another, it has been flipped.
        let head = &bytes[..bytes.len() - 1];
        let found = log.windows(bytes.len()).position(|window| window.starts_with(head)).unwrap();
        let last = found + head.len();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[log[last] ^ 1], last as u64).unwrap();
    }

    /// How many batches a partition's log has.
    pub fn batches(&self, topic: &str, partition: i32) -> usize {
        batch_ends(&std::fs::read(self.segment(topic, partition)).unwrap()).count()
    }

    fn segment(&self, topic: &str, partition: i32) -> PathBuf {
        self.log_dir(topic, partition).join("00000000000000000000.log")
    }

    /// Pauses its JVM, or lets it go on.
    pub fn signal(&self, signal: Signal) {
        signal_jvm_in(self.data.path(), signal);
    }

    pub fn start_again(&mut self) {
        let set: Vec<&str> = self.set.iter().map(String::as_str).collect();
        (self.process, _) = Self::launch(self.data.path(), &self.bootstrap, &set);
    }

    /// The library's own client, for what a test wants to know.
    pub fn connection(&self) -> Connection {
        Connection { brokers: self.bootstrap.clone(), properties: Vec::new() }
    }

    /// `HOST:PORT` of the listener of this name.
    pub fn listener(&self, name: &str) -> String {
        let properties = std::fs::read_to_string(self.data.path().join("server.properties")).unwrap();
        let listeners = properties.lines().find_map(|line| line.strip_prefix("listeners=")).unwrap();
        let mut listeners = listeners.split(',').filter_map(|listener| listener.split_once("://"));
        listeners.find(|(found, _)| *found == name).unwrap().1.to_owned()
    }

    /// The class path of its JVM, which holds Kafka's own clients.
    pub fn class_path(&self) -> String {
        let line = std::fs::read_to_string(self.jvm().join("cmdline")).unwrap();
        line.split('\0').skip_while(|argument| *argument != "-cp").nth(1).unwrap().to_owned()
    }

    fn jvm(&self) -> PathBuf {
        jvm_in(self.data.path())
    }

    /// Removes the records below `offset`, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        // Kept until the answer has come, which nobody would take otherwise.
        let admin = self.admin();
        let deleted = admin.delete_records(&offsets, &AdminOptions::new());
        let deleted = futures_executor::block_on(deleted).unwrap();
        deleted.elements().iter().for_each(|element| element.error().unwrap());
    }

    pub fn add_partitions(&self, topic: &str, partitions: usize) {
        let wanted = NewPartitions::new(topic, partitions);
        let admin = self.admin();
        let added = admin.create_partitions([&wanted], &AdminOptions::new());
        futures_executor::block_on(added).unwrap().into_iter().for_each(|result| drop(result.unwrap()));
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create().unwrap()
    }

    pub fn describe(&self, topic: &str) -> Option<Topic> {
        let admin = Admin::new(&self.connection()).unwrap();
        let mut answer = None;
        eventually("Kafka answers", || {
            answer = admin.describe(topic, Duration::from_secs(10)).ok();
            answer.is_some()
        });
        answer.unwrap()
    }

    /// The sum of the partitions' high watermarks: the offsets that checkpoints must add up to.
    pub fn records(&self, topic: &str) -> i64 {
        self.high_watermarks(topic).iter().sum()
    }

    /// The same of a topic that may be gone.
    pub fn records_if_any(&self, topic: &str) -> Option<i64> {
        let admin = Admin::new(&self.connection()).unwrap();
        let high = |partition| Some(admin.watermarks(topic, partition, Duration::from_secs(10)).ok()?.1);
        (0..self.describe(topic)?.partitions).map(high).sum()
    }

    pub fn high_watermarks(&self, topic: &str) -> Vec<i64> {
        let admin = Admin::new(&self.connection()).unwrap();
        let partitions = self.describe(topic).unwrap().partitions;
        let high = |partition| {
            let mut answer = None;
            eventually("the partition has a leader", || {
                answer = admin.watermarks(topic, partition, Duration::from_secs(10)).ok();
                answer.is_some()
            });
            answer.unwrap().1
        };
        (0..partitions).map(high).collect()
    }

    /// The date of every record, repeats included, by partition.
    pub fn dates(&self, topic: &str) -> Vec<Date> {
        Self::dates_at(&self.connection(), topic)
    }

    /// The same, of a Kafka that the test did not start itself.
    pub fn dates_at(connection: &Connection, topic: &str) -> Vec<Date> {
        let admin = Admin::new(connection).unwrap();
        let partitions = admin.describe(topic, Duration::from_secs(10)).unwrap().unwrap().partitions;
        let (mut dates, mut decoder) = (Vec::new(), Decoder::default());
        let each = |record: &Record| dates.push(decoder.decode(record.value).unwrap().date);
        read_spans(connection, topic, &extent(&admin, topic, partitions).unwrap(), each).unwrap();
        dates
    }
}

/// The directory in /proc of the JVM that keeps its data there.
fn jvm_in(data: &Path) -> PathBuf {
    let is_here = |process: &PathBuf| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == data);
    let mut processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.find(is_here).unwrap()
}

/// Pauses that JVM, or lets it go on.
pub fn signal_jvm_in(data: &Path, signal: Signal) {
    let pid: i32 = jvm_in(data).file_name().unwrap().to_str().unwrap().parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The ends of the batches of a segment that were written whole.
fn batch_ends(segment: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let next = |end: &usize| {
        // Base offset, then the length of what follows.
        let length: [u8; 4] = segment.get(end + 8..end + 12)?.try_into().ok()?;
        let end = end + 12 + u32::from_be_bytes(length) as usize;
        (end <= segment.len()).then_some(end)
    };
    std::iter::successors(Some(0), next).skip(1)
}

/// An address of this machine where no process listens, nor will before the test uses it. No other call returns the
/// same, and the system itself gives out no port below its own range.
pub fn free_address() -> String {
    const FIRST: u16 = 10_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let picked_from = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first_picked: u16 = picked_from.split_whitespace().next().unwrap().parse().unwrap();
    let count = u32::from(first_picked.saturating_sub(FIRST));
    // Each test process begins elsewhere.
    let from = std::process::id().wrapping_mul(101);
    for _ in 0..count {
        let number = from.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        let port = FIRST + u16::try_from(number).unwrap();
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap().to_string();
        }
    }
    // If the system picks from all ports, this one will do.
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A test's own place: a topic on the shared Kafka, and directories.
pub struct Place {
    pub topic: String,
    pub brokers: String,
    pub temp: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place::on(kafka())
    }

    pub fn on(kafka: &Kafka) -> Place {
        Self::at(&kafka.bootstrap)
    }

    pub fn at(brokers: &str) -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Place {
            topic: format!("temperatures-{number}"),
            brokers: brokers.to_owned(),
            temp: tempfile::tempdir().unwrap(),
        }
    }

    /// `almanac` with these arguments, on this place's broker, topic and DIR `files`.
    pub fn almanac(&self, arguments: &[&str]) -> Almanac {
        self.almanac_in("files", arguments)
    }

    pub fn almanac_in(&self, dir: &str, arguments: &[&str]) -> Almanac {
        self.at_home(dir, almanac(arguments))
    }

    /// The same, run by another program.
    pub fn almanac_under(&self, wrapper: &[&str], arguments: &[&str]) -> Almanac {
        self.at_home("files", almanac_under(wrapper, arguments))
    }

    fn at_home(&self, dir: &str, almanac: Almanac) -> Almanac {
        let secured = SECURED.lock().unwrap().iter().find(|(open, ..)| *open == self.brokers).cloned();
        let almanac = match secured {
            None => almanac.env("ALMANAC_BROKERS", &self.brokers),
            Some((_, tls, ca)) => {
                let ca = format!("ssl.ca.location={}", ca.display());
                let properties = ["security.protocol=ssl", &ca, "compression.codec=lz4"].join("\n");
                let mut almanac = almanac.env("ALMANAC_BROKERS", tls).env("ALMANAC_X", &properties);
                // With an option, the variable does not count.
                if almanac.0.get_args().any(|argument| argument == "-X") {
                    almanac.0.args(["-X", &properties]);
                }
                almanac
            }
        };
        almanac
            .env("ALMANAC_TOPIC", &self.topic)
            .env("ALMANAC_DIR", self.dir(dir))
            .current_dir(self.temp.path())
    }

    pub fn dir(&self, dir: &str) -> PathBuf {
        self.temp.path().join(dir)
    }

    /// Sends synthetic days and waits for the end of it.
    pub fn produce(&self, arguments: &[&str]) {
        self.almanac(&[&["producer", "--interval", "0"], arguments].concat()).succeeds();
    }

    /// Sends records as they are, whatever they are.
    pub fn send(&self, records: &[Raw]) {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap();
        for raw in records {
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic).partition(raw.partition);
            record.key = raw.key;
            record.payload = raw.value;
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// Waits until the checkpoints in `dir` have passed every record of the topic.
    #[track_caller]
    pub fn caught_up(&self, kafka: &Kafka, dir: &str) {
        let records = kafka.records(&self.topic);
        eventually("the checkpoints pass every record", || self.passed(dir) == records);
    }

    /// The sum of the checkpoints' offsets.
    pub fn passed(&self, dir: &str) -> i64 {
        self.checkpoints(dir).iter().map(|checkpoint| checkpoint.offset).sum()
    }

    /// The sum of the offsets up to which the consumers say that they have read.
    pub fn read(&self, dir: &str) -> i64 {
        let partitions = store::partitions_in(&self.dir(dir)).unwrap_or_default();
        let paths = partitions.into_iter().map(|partition| Paths::new(&self.dir(dir), partition));
        paths.filter_map(|paths| Some(store::load_status(&paths).ok()??.position)).sum()
    }

    pub fn days(&self, dir: &str) -> u64 {
        self.checkpoints(dir).iter().map(|checkpoint| checkpoint.statistics.days()).sum()
    }

    /// Counts the whole log with one consumer that nothing disturbs.
    #[track_caller]
    pub fn replay(&self, kafka: &Kafka, dir: &str) {
        let mut consumer = self.almanac_in(dir, &["consumer", "0", "1", "2", "3"]).start();
        // The files may have been complete before it began.
        eventually("it owns all partitions", || self.owned_by(&consumer, dir) == 4);
        self.caught_up(kafka, dir);
        assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    }

    #[track_caller]
    pub fn assert_same_files(&self, dir: &str, other: &str) {
        for (partition, (one, two)) in (0..).zip(self.files(dir).iter().zip(self.files(other))) {
            if *one == two {
                continue;
            }
            let differ = one.lines().zip(two.lines()).find(|(one, two)| one != two);
            panic!("partition {partition} of {dir} and {other}: {differ:#?}");
        }
    }

    pub fn checkpoints(&self, dir: &str) -> Vec<Checkpoint> {
        match store::checkpoints_in(&self.dir(dir)) {
            Ok(found) => found.into_iter().map(|(_, checkpoint)| checkpoint).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// How many partitions in `dir` name the process as their owner.
    pub fn owned_by(&self, process: &Running, dir: &str) -> usize {
        let owner = format!("\"pid\":{},", process.pid());
        let names_it = |lock: &PathBuf| std::fs::read_to_string(lock).is_ok_and(|lock| lock.contains(&owner));
        let lock = |partition: i32| self.dir(dir).join(format!(".almanac/{partition}/lock"));
        (0..4).map(lock).filter(names_it).count()
    }

    /// The bytes of the four checkpoints.
    #[track_caller]
    pub fn files(&self, dir: &str) -> Vec<String> {
        (0..4)
            .map(|partition| {
                std::fs::read_to_string(self.dir(dir).join(format!("partition-{partition}.json"))).unwrap()
            })
            .collect()
    }
}

/// A record that need not be a report.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    pub partition: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// The binary under test, with nothing of the caller's environment that could change what it does.
pub fn almanac(arguments: &[&str]) -> Almanac {
    almanac_under(&[], arguments)
}

/// The same, run by another program.
pub fn almanac_under(wrapper: &[&str], arguments: &[&str]) -> Almanac {
    // A test process that dies takes what it started with it.
    const TIED: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];
    let mut command = Command::new(TIED[0]);
    command.args(&TIED[1..]);
    if !wrapper.is_empty() {
        command.args(wrapper).args(TIED);
    }
    // A release build, to measure.
    let binary = std::env::var_os("TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_almanac").into());
    command.arg(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("ALMANAC_") && name != "ALMANAC_CACHE") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    Almanac(command)
}

/// Another program, which ends with the test process.
pub fn run_program(words: &[&str]) -> Running {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).args(words).stdin(Stdio::null());
    Almanac(command).start()
}

pub struct Almanac(Command);

/// The exit code and output of a command that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Its stderr without the warning of each partition's first rejected record.
    pub fn stderr_without_rejections(&self) -> String {
        self.stderr.lines().filter(|line| !line.contains(" is rejected (")).collect::<Vec<_>>().join("\n")
    }
}

impl Almanac {
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Almanac {
        self.0.env(name, value);
        self
    }

    pub fn current_dir(mut self, dir: &Path) -> Almanac {
        self.0.current_dir(dir);
        self
    }

    /// Starts it with its stdout in the caller's hands.
    pub fn start_piped(mut self) -> Child {
        self.0.stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Ended {
        self.start().ended()
    }

    #[track_caller]
    pub fn succeeds(self) -> Ended {
        let ended = self.run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
    }

    #[track_caller]
    pub fn fails(self, code: i32) -> Ended {
        let ended = self.run();
        assert_eq!(ended.code, Some(code), "{ended:#?}");
        ended
    }

    /// Starts it, to be looked at while it runs.
    pub fn start(self) -> Running {
        let logs = tempfile::tempdir().unwrap();
        let path = logs.path().to_owned();
        let mut running = self.start_in(&path);
        running.own_logs = Some(logs);
        running
    }

    fn start_in(mut self, logs: &Path) -> Running {
        let file = |name: &str| std::fs::File::create(logs.join(name)).unwrap();
        self.0.stdout(file("stdout.log")).stderr(file("stderr.log"));
        let (sender, receiver) = mpsc::channel();
        let (parent, over) = mpsc::channel();
        // PR_SET_PDEATHSIG is tied to the thread that forks, so that one must live as long as the process.
        std::thread::spawn(move || {
            let _ = sender.send(self.0.spawn());
            let _ = over.recv();
        });
        let child = receiver.recv().unwrap().unwrap();
        Running { child, logs: logs.to_owned(), own_logs: None, _parent: parent }
    }
}

/// A process that is ended with its owner.
pub struct Running {
    child: Child,
    logs: PathBuf,
    own_logs: Option<TempDir>,
    /// Ends the thread that started it.
    _parent: mpsc::Sender<()>,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&self) -> String {
        self.log("stdout.log")
    }

    pub fn stderr(&self) -> String {
        self.log("stderr.log")
    }

    fn log(&self, name: &str) -> String {
        // It may end in the middle of a character that is still being written.
        String::from_utf8_lossy(&std::fs::read(self.logs.join(name)).unwrap()).into_owned()
    }

    /// Waits for a line on stderr that contains `text`.
    #[track_caller]
    pub fn stderr_line_with(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stderr = self.stderr();
            if let Some(line) = stderr.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            let seconds = PATIENCE.as_secs();
            assert!(Instant::now() < deadline, "no {text:?} within {seconds} s in:\n{stderr}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn kill_9(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, with a deadline.
    #[track_caller]
    pub fn ended(&mut self) -> Ended {
        let mut status = None;
        let deadline = Instant::now() + PATIENCE;
        while status.is_none() {
            let seconds = PATIENCE.as_secs();
            assert!(Instant::now() < deadline, "it has not ended within {seconds} s:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
            status = self.child.try_wait().unwrap();
        }
        Ended { code: status.unwrap().code(), stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Whether SIGTERM is handled by now, or the process is gone. Before that it would kill the process at once.
    fn handles_sigterm(&mut self) -> bool {
        const SIGTERM: u32 = 15;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|caught| u64::from_str_radix(caught.trim(), 16).ok());
        !self.is_running() || caught.is_some_and(|caught| caught & 1 << (SIGTERM - 1) != 0)
    }

    /// SIGTERM, and its end.
    #[track_caller]
    pub fn terminate(&mut self) -> Ended {
        eventually("it handles SIGTERM", || self.handles_sigterm());
        self.signal(Signal::TERM);
        self.ended()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Best effort: it may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
