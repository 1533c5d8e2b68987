//! A client that reads through a proxy, and what it says and does.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::{Pid, Signal};

use super::PARTITIONS;
use super::verdict::Found;
use crate::support::{Ended, Place, Running};

/// Starts one after the other without a record between them: then it stays down.
const VAIN_STARTS_MAX: usize = 3;

/// As much of a partition in an answer as the other clients ask for.
const ALMANAC: [&str; 7] = ["consumer", "0", "1", "2", "3", "-X", "fetch.message.max.bytes=16384"];

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Client {
    Almanac,
    Librdkafka,
    Rskafka,
    Krafka,
}

impl Client {
    pub fn name(self) -> &'static str {
        match self {
            Client::Almanac => "almanac",
            Client::Librdkafka => "librdkafka",
            Client::Rskafka => "rskafka",
            Client::Krafka => "krafka",
        }
    }
}

/// The records and lines of a client so far.
#[derive(Default)]
struct Heard {
    given: Vec<Found>,
    /// The offset behind the last record, by partition.
    next: Vec<i64>,
    told: Vec<String>,
    logged: Vec<String>,
}

pub struct Subject<'a> {
    pub client: Client,
    place: &'a Place,
    brokers: String,
    process: Process,
    heard: Arc<Mutex<Heard>>,
    /// The exit codes of those starts that are over; none of one that crashed.
    pub ends: Vec<Option<i32>>,
    /// Whether it is started again, as by a supervisor.
    is_revived: bool,
    vain_starts: usize,
    read_at_start: i64,
    /// From the fault until the last record, or the last start.
    pub took: Duration,
    pub standing: Standing,
}

/// How it stands when nothing more is waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    Reading,
    AtEnd,
    /// It gives nothing, not even what is sent now.
    Hangs,
    /// It gives what is sent now, and has not given all that was there.
    GoesOn,
    Down,
}

enum Process {
    Reader(Reader),
    Almanac(Running),
    /// It is not started again.
    Down,
}

impl<'a> Subject<'a> {
    pub fn start(client: Client, place: &'a Place, brokers: &str, is_revived: bool) -> Subject<'a> {
        let heard = Heard { next: vec![0; PARTITIONS as usize], ..Heard::default() };
        let mut subject = Subject {
            client,
            place,
            brokers: brokers.to_owned(),
            process: Process::Down,
            heard: Arc::new(Mutex::new(heard)),
            ends: Vec::new(),
            is_revived,
            vain_starts: 0,
            read_at_start: 0,
            took: Duration::ZERO,
            standing: Standing::Reading,
        };
        subject.launch();
        subject
    }

    fn launch(&mut self) {
        self.read_at_start = self.read();
        let positions = self.positions();
        self.process = match self.client {
            Client::Almanac => {
                let almanac = self.place.almanac(&ALMANAC).env("ALMANAC_BROKERS", &self.brokers);
                Process::Almanac(almanac.start())
            }
            client => Process::Reader(Reader::start(
                client.name(),
                &self.brokers,
                &self.place.topic,
                &positions,
                &self.heard,
            )),
        };
    }

    /// The next offset to read, by partition.
    pub fn positions(&self) -> Vec<i64> {
        if self.client != Client::Almanac {
            return locked(&self.heard).next.clone();
        }
        let mut positions = vec![0; PARTITIONS as usize];
        for checkpoint in self.place.checkpoints("files") {
            if let Some(position) = positions.get_mut(checkpoint.partition as usize) {
                *position = checkpoint.offset;
            }
        }
        positions
    }

    /// A number that grows with each record.
    pub fn read(&self) -> i64 {
        match self.client {
            Client::Almanac => self.positions().iter().sum(),
            _ => locked(&self.heard).given.len() as i64,
        }
    }

    /// Errors that it gave to its user, and errors and warnings that it only logged, as far as it has come.
    pub fn said(&self) -> (Vec<String>, Vec<String>) {
        let heard = locked(&self.heard);
        let (mut told, logged) = (heard.told.clone(), heard.logged.clone());
        if let Process::Almanac(running) = &self.process {
            told.extend(running.stderr().lines().map(str::to_owned));
        }
        (told, logged)
    }

    pub fn given(&self) -> Vec<Found> {
        locked(&self.heard).given.clone()
    }

    pub fn is_down(&self) -> bool {
        matches!(self.process, Process::Down)
    }

    pub fn signal(&self, signal: Signal) {
        let pid = match &self.process {
            Process::Reader(reader) => reader.child.id(),
            Process::Almanac(running) => running.pid(),
            Process::Down => return,
        };
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Looks whether it has ended, and starts it again from where it was if that is due.
    pub fn tend(&mut self) {
        let ended = match &mut self.process {
            Process::Reader(reader) => reader.child.try_wait().unwrap().map(|status| status.code()),
            Process::Almanac(running) => (!running.is_running()).then(|| running.ended().code),
            Process::Down => None,
        };
        let Some(code) = ended else { return };
        self.stop();
        self.ends.push(code);
        self.vain_starts = if self.read() > self.read_at_start { 0 } else { self.vain_starts + 1 };
        if self.is_revived && self.vain_starts < VAIN_STARTS_MAX {
            self.launch();
        }
    }

    /// Ends it; what it has said is complete then.
    pub fn stop(&mut self) {
        match std::mem::replace(&mut self.process, Process::Down) {
            Process::Reader(mut reader) => reader.end(),
            Process::Almanac(mut running) => {
                if running.is_running() {
                    running.terminate();
                }
                locked(&self.heard).told.extend(running.stderr().lines().map(str::to_owned));
            }
            Process::Down => {}
        }
    }

    /// The result of `almanac verify` for the checkpoints, without the proxy.
    pub fn verify(&self) -> Ended {
        self.place.almanac(&["verify"]).run()
    }

    pub fn has_given(&self, value: &str) -> bool {
        locked(&self.heard).given.iter().any(|(_, _, given)| given == value)
    }

    pub fn has_archived(&self) -> bool {
        self.place.dir("files/archive").exists()
    }
}

impl Drop for Subject<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A process of the peers' reader.
struct Reader {
    child: Child,
    listening: Vec<JoinHandle<()>>,
}

impl Reader {
    fn start(client: &str, brokers: &str, topic: &str, from: &[i64], heard: &Arc<Mutex<Heard>>) -> Reader {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/run");
        // It ends with the test, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(run).args(["rust-clients", "read", client, brokers, topic]);
        command.args(from.iter().map(i64::to_string));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let listening = vec![listen(stdout, heard, Heard::record), listen(stderr, heard, Heard::words)];
        Reader { child, listening }
    }

    fn end(&mut self) {
        // Best effort: it may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for thread in self.listening.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Heard {
    fn record(&mut self, line: &str) {
        let mut words = line.split(' ');
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<i64>().ok());
        let (Some(partition), Some(offset), Some(value)) =
            (number(words.next()), number(words.next()), words.next())
        else {
            return;
        };
        let partition = i32::try_from(partition).unwrap_or(-1);
        if let Some(next) = usize::try_from(partition).ok().and_then(|index| self.next.get_mut(index)) {
            *next = offset + 1;
        }
        self.given.push((partition, offset, value.to_owned()));
    }

    fn words(&mut self, line: &str) {
        match line.strip_prefix("log:") {
            Some(logged) => self.logged.push(logged.trim().to_owned()),
            None => self.told.push(line.strip_prefix("told: ").unwrap_or(line).to_owned()),
        }
    }
}

fn listen(
    from: impl Read + Send + 'static,
    heard: &Arc<Mutex<Heard>>,
    take: fn(&mut Heard, &str),
) -> JoinHandle<()> {
    let heard = heard.clone();
    std::thread::spawn(move || {
        let lines = BufReader::new(from).split(b'\n');
        for line in lines.map_while(Result::ok) {
            take(&mut locked(&heard), &String::from_utf8_lossy(&line));
        }
    })
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `condition` holds, or the time is over; says whether it holds.
pub fn wait_within(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + time;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
