//! Every request of a consumer to its object store as the place of an accident: the process is killed or asleep, or the
//! request or its answer is lost, late or refused. The requests are found by a run that nothing disturbs.
//!
//! `CAMPAIGN_SIZE` is the number of points; 0 is all of them.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::head_chain::Heads;
use crate::objects::{Fault, Objects, Request, StoreProxy, store, with_store, without_member};
use crate::second_fold::{Fold, Log, read_topic};
use crate::support::{Almanac, Campaign, Ended, Place, Random, Raw, Running, eventually, kafka};

/// How many points a test run takes.
const SHORT: usize = 22;

/// A point is mostly waiting: for Kafka, and for processes to end.
const WORKERS: usize = 6;

const HEAD: &str = "partition-0.json";

/// What happens at a request.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Fate {
    /// The process is killed, and the request never arrives,
    KilledBefore,
    /// or has landed by then,
    KilledAfter,
    /// or lands later, when the next start has begun.
    KilledLate,
    /// The process sleeps while another takes over, and the request lands after that,
    AsleepBefore,
    /// or before it.
    AsleepAfter,
    /// The request never arrives.
    Lost,
    /// It lands, and its answer is lost.
    Unanswered,
    /// Its answer is lost, and it lands seconds later.
    Late,
    /// It does not land: 503,
    Unavailable,
    /// or 409, as S3 says while another write is under way.
    Conflict,
    /// It lands, and the answer is 500.
    Failed,
}

impl Fate {
    const ALL: [Fate; 11] = [
        Fate::KilledBefore,
        Fate::KilledAfter,
        Fate::KilledLate,
        Fate::AsleepBefore,
        Fate::AsleepAfter,
        Fate::Lost,
        Fate::Unanswered,
        Fate::Late,
        Fate::Unavailable,
        Fate::Conflict,
        Fate::Failed,
    ];

    fn concerns(self, kind: &str) -> bool {
        let changes = !kind.starts_with("GET") && !kind.starts_with("HEAD");
        match self {
            Fate::KilledLate | Fate::Late | Fate::Failed => changes,
            Fate::Conflict => changes && !kind.contains("status/") && !kind.contains("clock"),
            _ => true,
        }
    }

    fn puts_to_sleep(self) -> bool {
        matches!(self, Fate::AsleepBefore | Fate::AsleepAfter)
    }
}

/// Method and object, without the numbers that differ from run to run. Nothing for a request of the check of the store.
fn kind_of(request: &Request) -> Option<String> {
    let name = request.name();
    if name.starts_with("check/") {
        return None;
    }
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let shown = match folder {
        _ if request.path.contains('?') => "LIST".to_owned(),
        "" | "status" => name.to_owned(),
        _ if folder.ends_with(".rejected") => format!("{folder}/…"),
        _ if folder.starts_with("archive") => format!("archive/…/{file}"),
        _ => "places/…".to_owned(),
    };
    Some(format!("{} {shown}", request.method))
}

/// A topic with one partition as it is now.
struct Topic {
    id: String,
    log: Log,
    end: i64,
}

impl Topic {
    fn read(place: &Place) -> Topic {
        let log = read_topic(&place.brokers, &place.topic, 1).remove(0);
        let id = kafka().describe(&place.topic).unwrap().id;
        Topic { id, log, end: kafka().records(&place.topic) }
    }
}

type Tree = Vec<(String, Vec<u8>)>;

/// A start of the consumer on given objects.
struct Scenario<'a> {
    name: &'static str,
    store: &'static Objects,
    place: &'a Place,
    before: Tree,
    topic: &'a Topic,
    /// What the objects count, where that is another topic.
    former: Option<&'a Topic>,
    /// The partition belongs to a living process.
    is_owned: bool,
    /// The kinds of requests that an undisturbed run makes, in order.
    requests: Vec<String>,
}

impl<'a> Scenario<'a> {
    fn record(mut self) -> Scenario<'a> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let mut attempt = Attempt::new(&self, move |_| {
            Box::new(move |request| {
                noted.lock().unwrap().extend(kind_of(request));
                Fault::None
            })
        });
        let mut running = attempt.consumer(&attempt.proxy, self.options()).start();
        assert_eq!(attempt.follow(&mut running).code, Some(0), "{}: {}", self.name, running.stderr());
        attempt.assert_whole();
        drop(attempt);
        self.requests = std::mem::take(&mut *seen.lock().unwrap());
        self
    }

    /// Of a first start, only the requests that other starts do not make.
    fn points(&'a self) -> impl Iterator<Item = Point<'a>> {
        let is_first = self.before.is_empty();
        let requests = self.requests.iter().enumerate();
        let concerned = requests.filter(move |(_, kind)| !is_first || kind.ends_with("almanac.json"));
        concerned.flat_map(move |(index, kind)| {
            let fates = Fate::ALL.into_iter().filter(move |fate| fate.concerns(kind));
            fates.map(move |fate| Point { scenario: self, fate, index })
        })
    }

    fn options(&self) -> &'static [&'static str] {
        if self.is_owned { &["--take-over"] } else { &[] }
    }
}

/// One request of a scenario, and what is done at it.
#[derive(Clone, Copy)]
struct Point<'a> {
    scenario: &'a Scenario<'a>,
    fate: Fate,
    index: usize,
}

impl fmt::Display for Point<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let (kind, nth) = self.kind();
        write!(formatter, "{}: {:?} at {kind} {nth}", self.scenario.name, self.fate)
    }
}

/// The process that has the accident, as its proxy knows it.
#[derive(Default)]
struct Subject {
    pid: AtomicU32,
    /// Requests of this kind so far.
    count: AtomicU32,
    is_reached: AtomicBool,
    may_wake: AtomicBool,
}

impl Subject {
    fn signal(&self, signal: Signal) {
        // It may send its first request before the test knows its process.
        eventually("the process is known", || self.pid.load(Ordering::Relaxed) > 0);
        let pid = i32::try_from(self.pid.load(Ordering::Relaxed)).unwrap();
        let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
    }

    fn sleep(&self) {
        self.signal(Signal::STOP);
        self.is_reached.store(true, Ordering::Relaxed);
        eventually("it is woken", || self.may_wake.load(Ordering::Relaxed));
    }

    fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Relaxed)
    }
}

type Policy = Box<dyn Fn(&Request) -> Fault + Send + Sync>;

/// A scenario in a prefix of its own.
struct Attempt<'a> {
    scenario: &'a Scenario<'a>,
    prefix: String,
    /// Of the process that has the accident, and of all others.
    proxy: StoreProxy,
    calm: StoreProxy,
    owner: Option<Running>,
    heads: Heads,
}

impl<'a> Attempt<'a> {
    fn new(scenario: &'a Scenario<'a>, policy: impl FnOnce(&StoreProxy) -> Policy) -> Attempt<'a> {
        let (store, prefix) = (scenario.store, scenario.store.prefix());
        let [proxy, calm] = [(); 2].map(|()| StoreProxy::new(&store.address, |_| Fault::None));
        let policy = policy(&proxy);
        proxy.set(policy);
        scenario.before.iter().for_each(|(name, bytes)| store.put(&prefix, name, bytes));
        let heads = Heads::default();
        let mut attempt = Attempt { scenario, prefix, proxy, calm, owner: None, heads };
        if scenario.is_owned {
            // Its records are not durable yet when it loses the partition.
            let owner = attempt.consumer(&attempt.calm, &["--checkpoint-every", "1h"]).start();
            eventually("the owner has read to the end", || {
                attempt.owner_pid() == Some(owner.pid()) && attempt.status()["position"] == scenario.topic.end
            });
            attempt.owner = Some(owner);
        }
        attempt
    }

    fn consumer(&self, proxy: &StoreProxy, options: &[&str]) -> Almanac {
        let almanac = self.scenario.place.almanac(&[&["consumer", "0"], options].concat());
        with_store(almanac, &proxy.address, &self.prefix)
    }

    fn json(&self, name: &str) -> Value {
        let bytes = self.scenario.store.read(&self.prefix, name).unwrap_or_default();
        serde_json::from_str(&bytes).unwrap_or_default()
    }

    fn status(&self) -> Value {
        self.json("status/partition-0.json")
    }

    fn owner_pid(&self) -> Option<u32> {
        let pid = self.json(HEAD)["almanac"]["owner"]["pid"].as_u64()?;
        u32::try_from(pid).ok()
    }

    fn is_caught_up(&self, pid: u32) -> bool {
        let head = self.json(HEAD);
        let meta = &head["almanac"];
        meta["owner"]["pid"] == pid
            && meta["log"]["topic_id"] == self.scenario.topic.id.as_str()
            && head["offset"] == self.scenario.topic.end
    }

    /// Lets a process count to the end, and stops it.
    fn follow(&self, running: &mut Running) -> Ended {
        eventually("it catches up", || !running.is_running() || self.is_caught_up(running.pid()));
        if running.is_running() { running.terminate() } else { running.ended() }
    }

    /// The next start, which nothing disturbs.
    fn resume(&mut self) {
        let mut running = self.consumer(&self.calm, &["--take-over"]).start();
        let ended = self.follow(&mut running);
        assert_eq!(ended.code, Some(0), "the next start: {}", ended.stderr);
    }

    /// All is as if nothing had been.
    fn assert_whole(&mut self) {
        if let Some(mut owner) = self.owner.take() {
            let ended = owner.terminate();
            assert_eq!(ended.code, Some(6), "the former owner: {}", ended.stderr);
        }
        let Scenario { store, topic, former, before, .. } = self.scenario;
        self.heads.add(self.proxy.take_heads());
        self.heads.add(self.calm.take_heads());
        let topics = [Some(*topic), *former];
        let find = |id: &str| topics.into_iter().flatten().find(|topic| topic.id == id);
        assert_eq!(self.heads.check_folds(|id, _| find(id).map(|topic| &topic.log)), Vec::<String>::new());
        let last = store.read(&self.prefix, HEAD).unwrap();
        let first = before.iter().find(|(name, _)| name == HEAD).map(|(_, bytes)| &bytes[..]);
        let path = format!("/{}/{HEAD}", self.prefix.strip_prefix("s3://").unwrap());
        self.heads.check_chain(&path, first, last.as_bytes()).unwrap();

        let head: Value = serde_json::from_str(&last).unwrap();
        assert_eq!(head["offset"], topic.end);
        assert_eq!(head["almanac"]["owner"]["released"], true, "{}", head["almanac"]);
        assert_eq!(head["almanac"]["log"]["topic_id"], topic.id.as_str());
        self.assert_rejected(&head, topic);
        let mut archived = Vec::new();
        if let Some(former) = former {
            archived.push(format!("archive/{}/{HEAD}", former.id));
            let bytes = store.read(&self.prefix, &archived[0]).unwrap();
            let fold = Fold::of(&former.log, former.end);
            fold.compare(without_member(&bytes).as_bytes(), 0, former.end).unwrap();
            self.assert_rejected(&serde_json::from_str(&bytes).unwrap(), former);
        }
        let mut names = store.names(&self.prefix);
        names.retain(|name| name.starts_with("archive/"));
        assert_eq!(names, archived);
        let verify = self.scenario.place.almanac(&["verify"]);
        let verified = with_store(verify, &store.address, &self.prefix).succeeds();
        assert!(verified.stdout.contains(", the same\n"), "{}", verified.stdout);
    }

    /// The segments that a head lists hold what its log makes.
    fn assert_rejected(&self, head: &Value, topic: &Topic) {
        let segments = head["almanac"]["rejected"].as_array().unwrap().iter();
        let name = |segment: &Value| format!("partition-0.rejected/{}", segment["name"].as_str().unwrap());
        let lines: String =
            segments.map(|segment| self.scenario.store.read(&self.prefix, &name(segment)).unwrap()).collect();
        Fold::of(&topic.log, topic.end).compare_rejected(lines.as_bytes(), topic.end).unwrap();
    }
}

impl Point<'_> {
    /// The kind of its request, and the number of requests of that kind up to it.
    fn kind(&self) -> (&str, u32) {
        let upto = &self.scenario.requests[..=self.index];
        let kind = &upto[self.index];
        (kind, u32::try_from(upto.iter().filter(|other| *other == kind).count()).unwrap())
    }

    /// Waits for its request, and does it.
    fn policy(&self, subject: &Arc<Subject>, late: Duration, proxy: &StoreProxy) -> Policy {
        let (fate, (kind, nth)) = (self.fate, self.kind());
        let (kind, sleeping) = (kind.to_owned(), Arc::clone(subject));
        let subject = Arc::clone(subject);
        proxy.set_after(move || match fate {
            Fate::KilledAfter => sleeping.signal(Signal::KILL),
            _ => sleeping.sleep(),
        });
        Box::new(move |request| {
            let is_of_kind = kind_of(request).is_some_and(|found| found == kind);
            if !is_of_kind || subject.count.fetch_add(1, Ordering::Relaxed) + 1 != nth {
                return Fault::None;
            }
            if matches!(fate, Fate::KilledBefore | Fate::KilledLate) {
                subject.signal(Signal::KILL);
            }
            if fate == Fate::AsleepBefore {
                subject.sleep();
            }
            if !fate.puts_to_sleep() {
                subject.is_reached.store(true, Ordering::Relaxed);
            }
            match fate {
                Fate::KilledBefore | Fate::Lost => Fault::Lost,
                Fate::KilledAfter | Fate::AsleepAfter => Fault::Answered,
                Fate::KilledLate | Fate::Late => Fault::Late(late),
                Fate::AsleepBefore => Fault::None,
                Fate::Unanswered => Fault::Unanswered,
                Fate::Unavailable => Fault::Status(503),
                Fate::Conflict => Fault::Status(409),
                Fate::Failed => Fault::Denied(500),
            }
        })
    }

    /// Whether the run came to the request.
    fn run(&self, random: &mut Random) -> bool {
        let subject = Arc::new(Subject::default());
        let late = match self.fate {
            Fate::KilledLate => Duration::from_millis(random.below(1500)),
            _ => Duration::from_millis(500 + random.below(2500)),
        };
        let mut attempt = Attempt::new(self.scenario, |proxy| self.policy(&subject, late, proxy));
        let mut running = attempt.consumer(&attempt.proxy, self.scenario.options()).start();
        subject.pid.store(running.pid(), Ordering::Relaxed);
        let (mut is_asked, mut is_asleep) = (false, false);
        eventually("the process gets somewhere", || {
            is_asleep = self.fate.puts_to_sleep() && subject.is_reached();
            if is_asleep || !running.is_running() {
                return true;
            }
            if !is_asked && attempt.is_caught_up(running.pid()) {
                is_asked = true;
                running.signal(Signal::TERM);
            }
            false
        });
        if is_asleep {
            self.wake(&attempt, &subject, &mut running, is_asked);
        } else if running.ended().code.is_none() {
            assert!(subject.is_reached(), "killed by something else");
            attempt.resume();
        } else {
            assert_eq!(running.ended().code, Some(0), "{}", running.stderr());
        }
        attempt.proxy.settle();
        attempt.assert_whole();
        subject.is_reached()
    }

    /// Another process takes the partition from one that is asleep, which then wakes up, and may take it back only if it had
    /// not read a head yet.
    fn wake(&self, attempt: &Attempt, subject: &Subject, running: &mut Running, was_asked: bool) {
        let mut taker = attempt.consumer(&attempt.calm, &["--take-over"]).start();
        eventually("the other takes over and catches up", || {
            assert!(taker.is_running(), "{}", taker.stderr());
            attempt.is_caught_up(taker.pid())
        });
        running.signal(Signal::CONT);
        subject.may_wake.store(true, Ordering::Relaxed);
        // Asked twice, it would end at once.
        if !was_asked {
            running.signal(Signal::TERM);
        }
        let ended = running.ended();
        assert!(matches!(ended.code, Some(0 | 6)), "{ended:?}");
        let ended = taker.terminate();
        assert!(matches!(ended.code, Some(0 | 6)), "{ended:?}");
    }
}

fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// The objects of one consumer that counts all there is.
fn counted(place: &Place, store: &Objects) -> Tree {
    let prefix = store.prefix();
    store.skip_check(&prefix);
    let consumer = place.almanac(&["consumer", "0"]);
    let mut running = with_store(consumer, &store.address, &prefix).start();
    let end = kafka().records(&place.topic);
    eventually("the head passes every record", || {
        let head: Value =
            serde_json::from_str(&store.read(&prefix, HEAD).unwrap_or_default()).unwrap_or_default();
        head["offset"] == end
    });
    assert_eq!(running.terminate().code, Some(0), "{}", running.stderr());
    let read = |name: String| (name.clone(), std::fs::read(store.file(&prefix, &name)).unwrap());
    store.names(&prefix).into_iter().map(read).collect()
}

/// A seeded choice of points, as many of each scenario and fate as of any other.
fn chosen<'a>(scenarios: &'a [Scenario<'a>], campaign: &Campaign) -> Vec<Point<'a>> {
    let mut random = campaign.random();
    let mut kinds: BTreeMap<(usize, Fate), Vec<Point>> = BTreeMap::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        for point in scenario.points() {
            kinds.entry((number, point.fate)).or_default().push(point);
        }
    }
    let mut ranked: Vec<(usize, u64, Point)> = Vec::new();
    for mut points in kinds.into_values() {
        for rank in 0..points.len() {
            let choice = usize::try_from(random.below(points.len() as u64)).unwrap();
            ranked.push((rank, random.next(), points.swap_remove(choice)));
        }
    }
    ranked.sort_by_key(|(rank, chance, _)| (*rank, *chance));
    let size = if campaign.size == 0 { ranked.len() } else { campaign.size };
    ranked.into_iter().map(|(_, _, point)| point).take(size).collect()
}

#[test]
fn campaign() {
    let Some(store) = store() else { return };
    let campaign = Campaign::new("store-requests", SHORT);
    let no_report = Raw { partition: 0, key: Some(b"May"), value: Some(b"no report") };
    let no_value = Raw { value: None, ..no_report };

    let place = Place::new();
    place.produce(&["--partitions", "1", "--days", "40", "--duplicate-degrees", "1000000"]);
    place.send(&[no_report, no_value]);
    let some = counted(&place, store);
    place.send(&[no_value, no_report]);
    let more = counted(&place, store);
    place.produce(&["--append", "--days", "20", "--duplicates", "0"]);
    let all = counted(&place, store);
    let topic = Topic::read(&place);

    let again = Place::new();
    again.produce(&["--partitions", "1", "--days", "40"]);
    again.send(&[no_report, no_value]);
    let of_former = counted(&again, store);
    let former = Topic::read(&again);
    again.produce(&["--partitions", "1", "--days", "30", "--seed", "7"]);
    again.send(&[no_value]);
    let latter = Topic::read(&again);

    let checked = vec![("almanac.json".to_owned(), b"{}".to_vec())];
    let scenario = |name, before| Scenario {
        name,
        store,
        place: &place,
        before,
        topic: &topic,
        former: None,
        is_owned: false,
        requests: Vec::new(),
    };
    let scenarios = [
        scenario("the first start", Tree::new()),
        scenario("a fresh start", checked),
        scenario("a start with nothing new, and its release", all),
        scenario("a replacement", more),
        scenario("rejected records", some.clone()),
        Scenario { is_owned: true, ..scenario("a take-over", some) },
        Scenario {
            place: &again,
            topic: &latter,
            former: Some(&former),
            ..scenario("a topic created again", of_former)
        },
    ];
    let scenarios = scenarios.map(Scenario::record);
    let queue = Mutex::new(chosen(&scenarios, &campaign).into_iter().enumerate());
    let points = Mutex::new(BTreeMap::<(&str, Fate), usize>::new());
    let (failures, missed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some((number, point)) = queue.lock().unwrap().next() else { break };
                    let mut random = Random(campaign.seed.wrapping_add(number as u64));
                    // All that fails is to be seen, and not only what fails first.
                    match catch_unwind(AssertUnwindSafe(|| point.run(&mut random))) {
                        Ok(true) => {
                            *points.lock().unwrap().entry((point.scenario.name, point.fate)).or_default() +=
                                1;
                        }
                        Ok(false) => missed.lock().unwrap().push(point.to_string()),
                        Err(panic) => failures.lock().unwrap().push(format!("{point}: {}", reason(&*panic))),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} points failed:\n{}", failures.len(), failures.join("\n"));
    let points = points.into_inner().unwrap();
    let by_scenario = scenarios.iter().map(|scenario| {
        let of_fate = |fate| points.get(&(scenario.name, fate)).copied().unwrap_or(0);
        format!("{} ({} requests) {:?}", scenario.name, scenario.requests.len(), Fate::ALL.map(of_fate))
    });
    let by_scenario: Vec<String> = by_scenario.collect();
    let missed = missed.into_inner().unwrap();
    campaign.say(&format!(
        "{} points, by {:?}: {}; {} were not reached {:?}; all as if nothing had been",
        points.values().sum::<usize>(),
        Fate::ALL,
        by_scenario.join(", "),
        missed.len(),
        missed,
    ));
}
