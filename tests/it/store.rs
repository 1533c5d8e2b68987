//! DIR in an object store: the real binary, a real Kafka, versitygw, and a proxy that loses and delays requests.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::objects::*;
use super::second_fold::{self, Fold};
use super::support::*;

/// A topic, a prefix, and the store's address or that of a proxy before it.
struct Case {
    place: Place,
    store: &'static Objects,
    prefix: String,
    address: String,
}

impl Case {
    #[track_caller]
    fn new() -> Option<Case> {
        let store = store()?;
        Some(Case { place: Place::new(), store, prefix: store.prefix(), address: store.address.clone() })
    }

    fn behind(self, proxy: &StoreProxy) -> Case {
        Case { address: proxy.address.clone(), ..self }
    }

    fn almanac(&self, arguments: &[&str]) -> Almanac {
        with_store(self.place.almanac(arguments), &self.address, &self.prefix)
    }

    /// The same without a proxy.
    fn direct(&self, arguments: &[&str]) -> Almanac {
        with_store(self.place.almanac(arguments), &self.store.address, &self.prefix)
    }

    /// A consumer that writes as soon as there is something.
    fn consumer(&self, arguments: &[&str]) -> Running {
        self.almanac(&[&["consumer", "--checkpoint-every", "100ms"], arguments].concat()).start()
    }

    fn head(&self, partition: i32) -> Option<Value> {
        let json = self.store.read(&self.prefix, &format!("partition-{partition}.json"))?;
        serde_json::from_str(&json).ok()
    }

    fn generation(&self, partition: i32) -> u64 {
        self.head(partition).map_or(0, |head| head["almanac"]["generation"].as_u64().unwrap())
    }

    fn offset(&self) -> i64 {
        (0..4).filter_map(|partition| self.head(partition)?["offset"].as_i64()).sum()
    }

    #[track_caller]
    fn caught_up(&self) {
        let records = kafka().records(&self.place.topic);
        eventually("the heads pass every record", || self.offset() == records);
    }

    #[track_caller]
    fn verifies(&self) -> String {
        self.direct(&["verify"]).succeeds().stdout
    }
}

#[test]
fn a_prefix_counts_what_a_directory_counts() {
    let Some(case) = Case::new() else { return };
    case.place.produce(&["--days", "2000"]);
    for partition in 0..4 {
        let bad = Raw { partition, key: None, value: Some(b"no report") };
        case.place.send(&[bad, Raw { value: None, ..bad }]);
    }
    case.place.replay(kafka(), "files");
    let mut consumer = case.consumer(&[]);
    case.caught_up();
    for partition in 0..4 {
        case.place.send(&[Raw { partition, key: None, value: Some(b"another") }]);
    }
    case.caught_up();
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    case.place.replay(kafka(), "files");
    for partition in 0..4 {
        let file =
            std::fs::read_to_string(case.place.dir(&format!("files/partition-{partition}.json"))).unwrap();
        let mut head = case.head(partition).unwrap();
        let meta = head.as_object_mut().unwrap().remove("almanac").unwrap();
        assert_eq!(head, serde_json::from_str::<Value>(&file).unwrap());
        assert_eq!(meta["owner"]["released"], true);
        let segments = meta["rejected"].as_array().unwrap();
        let lines: String = segments
            .iter()
            .map(|segment| format!("partition-{partition}.rejected/{}", segment["name"].as_str().unwrap()))
            .map(|name| case.store.read(&case.prefix, &name).unwrap())
            .collect();
        let file =
            std::fs::read_to_string(case.place.dir(&format!("files/partition-{partition}.rejected.jsonl")));
        assert_eq!(lines, file.unwrap());
    }
    let verified = case.verifies();
    assert_eq!(verified.matches("3 rejected, the same").count(), 4, "{verified}");
    let status = case.direct(&["status"]).succeeds().stdout;
    assert_eq!(status.matches("stopped").count(), 4, "{status}");
    case.direct(&["plot"]).succeeds();
    assert!(case.store.read(&case.prefix, "month.svg").unwrap().starts_with("<svg"));
    let other = format!("{}/elsewhere.svg", case.prefix);
    case.direct(&["plot", "--output", &other]).succeeds();
    assert!(case.store.read(&case.prefix, "elsewhere.svg").is_some());
}

#[test]
fn a_living_owner_keeps_its_partition_unless_it_is_taken_over() {
    let Some(case) = Case::new() else { return };
    case.place.produce(&["--days", "100"]);
    let mut first = case.consumer(&["2"]);
    eventually("it has a status", || case.store.read(&case.prefix, "status/partition-2.json").is_some());
    let refused = case.almanac(&["consumer", "2"]).fails(6);
    assert!(
        refused.stderr.contains(&format!("belongs to process {} on ", first.pid())),
        "{}",
        refused.stderr
    );
    let mut second = case.consumer(&["2", "--take-over"]);
    eventually("it is claimed", || case.generation(2) == 2);
    case.place.send(&[Raw { partition: 2, key: None, value: None }]);
    let ended = first.ended();
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&format!("was taken over by process {} on ", second.pid())),
        "{}",
        ended.stderr
    );
    let end = kafka().high_watermarks(&case.place.topic)[2];
    eventually("the new owner counts", || case.head(2).is_some_and(|head| head["offset"] == end));
    assert_eq!(second.terminate().code, Some(0));
    case.direct(&["verify", "2"]).succeeds();
    // A process that is gone is not waited for.
    let mut third = case.consumer(&["2"]);
    eventually("it is claimed", || case.generation(2) == 3);
    third.kill_9();
    let mut fourth = case.consumer(&["2"]);
    eventually("it is claimed again", || case.generation(2) == 4);
    assert_eq!(fourth.terminate().code, Some(0));
}

#[test]
fn a_member_that_is_lost_is_replaced_by_the_others() {
    let Some(case) = Case::new() else { return };
    case.place.produce(&["--days", "1000"]);
    let mut members = [case.consumer(&[]), case.consumer(&[])];
    case.caught_up();
    let owns = |pid: u32| {
        let names = |partition: &i32| {
            case.head(*partition).is_some_and(|head| head["almanac"]["owner"]["pid"] == pid)
        };
        (0..4).filter(names).count()
    };
    eventually("both own some", || members.iter().all(|member| owns(member.pid()) == 2));
    members[0].kill_9();
    case.place.almanac(&["producer", "--append", "--interval", "0", "--days", "200"]).succeeds();
    eventually("the other owns all", || owns(members[1].pid()) == 4);
    case.caught_up();
    assert_eq!(members[1].terminate().code, Some(0));
    case.verifies();
}

#[test]
fn a_topic_that_is_created_again_goes_to_the_archive() {
    let Some(case) = Case::new() else { return };
    case.place.produce(&["--days", "500"]);
    case.place.send(&[Raw { partition: 1, key: None, value: None }]);
    let mut consumer = case.consumer(&["0", "1", "2", "3"]);
    case.caught_up();
    let former = case.head(1).unwrap()["almanac"]["log"]["topic_id"].as_str().unwrap().to_owned();
    case.place.produce(&["--days", "300", "--seed", "7"]);
    case.caught_up();
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    let verified = case.verifies();
    assert_eq!(verified.matches(" + 0 rejected, the same").count(), 4, "{verified}");
    for partition in 0..4 {
        let name = format!("archive/{former}/partition-{partition}.json");
        let archived: Value = serde_json::from_str(&case.store.read(&case.prefix, &name).unwrap()).unwrap();
        assert_eq!(archived["almanac"]["log"]["topic_id"], former.as_str());
        assert_eq!(archived["almanac"]["rejected"].as_array().unwrap().len(), usize::from(partition == 1));
    }
    assert!(case.head(1).unwrap()["almanac"]["rejected"].as_array().unwrap().is_empty());
}

#[test]
fn a_store_that_is_away_is_waited_for() {
    let Some(case) = Case::new() else { return };
    let proxy = StoreProxy::new(&case.store.address, |_| Fault::None);
    let case = case.behind(&proxy);
    case.place.produce(&["--days", "300"]);
    proxy.cut(true);
    let mut consumer = case.consumer(&["--metrics", "127.0.0.1:0"]);
    consumer.stderr_line_with("the object store does not answer (");
    proxy.cut(false);
    consumer.stderr_line_with("the object store answers again");
    case.caught_up();
    proxy.set(|_| Fault::Status(503));
    case.place.almanac(&["producer", "--append", "--interval", "0", "--days", "200"]).succeeds();
    eventually("that is said again", || {
        consumer.stderr().matches("the object store does not answer (").count() == 2
    });
    proxy.set(|_| Fault::Slow(Duration::from_millis(500)));
    case.caught_up();
    proxy.set(|_| Fault::None);
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    assert_eq!(consumer.stderr().matches("waiting for it").count(), 2, "{}", consumer.stderr());
    case.verifies();
}

#[test]
fn a_store_that_lets_two_writers_win_is_refused() {
    let Some(case) = Case::new() else { return };
    let checked = case.almanac(&["store", "check", &case.prefix]).succeeds();
    let expected = format!("{}: 1600 conditional writes in 200 races, one winner each\n", case.prefix);
    assert_eq!(checked.stdout, expected);
    let proxy = StoreProxy::new(&case.store.address, |request| {
        match request.is_conditional && request.number % 9 == 0 {
            true => Fault::Unconditional,
            false => Fault::None,
        }
    });
    let case = case.behind(&proxy);
    let refused = case.almanac(&["store", "check", &case.prefix]).fails(7);
    assert!(refused.stderr.contains("lets two conditional writes win"), "{}", refused.stderr);
    case.place.produce(&["--days", "10"]);
    let refused = case.almanac(&["consumer", "0"]).fails(7);
    assert!(refused.stderr.contains("lets two conditional writes win"), "{}", refused.stderr);
    assert!(case.head(0).is_none());
    let directory = case.almanac(&["store", "check", "files"]).fails(2);
    assert!(directory.stderr.contains("files is a directory"), "{}", directory.stderr);
}

/// A head that a reader saw, and the topic that it counts.
struct Seen {
    partition: usize,
    topic_id: String,
    offset: i64,
    bytes: String,
}

/// What a fight for the partitions of a prefix came to.
#[derive(Default)]
struct Fight {
    kills: usize,
    pauses: usize,
    cuts: usize,
    restarts: usize,
    heads: usize,
    violations: Vec<String>,
}

/// The bytes of a head without the member that a directory's file does not have.
fn without_member(head: &str) -> String {
    let Some(start) = head.find(",\n \"almanac\":") else { return head.to_owned() };
    let line = start + 2 + head[start + 2..].find('\n').unwrap();
    // What is left is the comma before the first month, or the brace after none.
    format!("{}{}", &head[..start], &head[line - 1..])
}

/// Loses, delays and repeats requests of one member.
fn faults(seed: u64, is_unsafe: bool) -> impl Fn(&Request) -> Fault + Send + Sync {
    move |request| {
        let mut random = Random(seed ^ (request.number as u64).wrapping_mul(0x9e37));
        match random.below(100) {
            0..25 if is_unsafe && request.is_head() => {
                Fault::LateUnconditional(Duration::from_millis(100 + random.below(2400)))
            }
            _ if is_unsafe && request.is_head() => Fault::Unconditional,
            0..4 => Fault::Unanswered,
            4..7 => Fault::Lost,
            7..10 => Fault::Late(Duration::from_millis(100 + random.below(2400))),
            10 => Fault::Status(503),
            11 => Fault::Status(409),
            12 => Fault::Slow(Duration::from_millis(random.below(1500))),
            _ => Fault::None,
        }
    }
}

/// Members fight for the partitions of a prefix while they are killed, paused and cut off, and the store is restarted; a
/// reader looks all the time. Everything that was ever seen is held against a second fold.
fn fight(store: &Objects, size: usize, mut random: Random, is_unsafe: bool) -> Fight {
    const MEMBERS: usize = 3;
    let (place, prefix) = (Place::new(), store.prefix());
    place.produce(&["--days", "50"]);
    let proxies: Vec<StoreProxy> =
        (0..MEMBERS).map(|_| StoreProxy::new(&store.address, faults(random.next(), is_unsafe))).collect();
    // The check would refuse a store without conditions, and take long over a bad network.
    let path = store.file(&prefix, "almanac.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "{}").unwrap();
    let start = |member: usize| {
        let arguments = [
            "consumer",
            "--checkpoint-every",
            "50ms",
            "--handover-timeout",
            "1s",
            "-X",
            "session.timeout.ms=6000",
        ];
        with_store(place.almanac(&arguments), &proxies[member].address, &prefix).start()
    };
    let seen: Mutex<BTreeMap<(usize, u64, u64), Seen>> = Mutex::default();
    let violations: Mutex<Vec<String>> = Mutex::default();
    let is_over = AtomicBool::new(false);
    let mut fight = Fight::default();
    let mut members: Vec<Running> = (0..MEMBERS).map(start).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| look(store, &prefix, &is_over, &seen, &violations));
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                place.almanac(&["producer", "--append", "--interval", "0", "--days", "40"]).succeeds();
                let bad = Raw { partition: 1, key: None, value: Some(b"no report") };
                place.send(&[bad, Raw { partition: 2, ..bad }]);
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        for _ in 0..size {
            let member = random.below(MEMBERS as u64) as usize;
            std::thread::sleep(Duration::from_millis(200 + random.below(1300)));
            let pause = Duration::from_millis(500 + random.below(7000));
            match random.below(10) {
                0..6 => {
                    members[member].kill_9();
                    members[member] = start(member);
                    fight.kills += 1;
                }
                6..8 => {
                    members[member].signal(Signal::STOP);
                    std::thread::sleep(pause);
                    members[member].signal(Signal::CONT);
                    fight.pauses += 1;
                }
                8 => {
                    proxies[member].cut(true);
                    std::thread::sleep(pause);
                    proxies[member].cut(false);
                    fight.cuts += 1;
                }
                _ => {
                    store.kill_9();
                    store.start_again();
                    fight.restarts += 1;
                }
            }
            for (member, running) in members.iter_mut().enumerate() {
                if !running.is_running() {
                    let ended = running.ended();
                    violations.lock().unwrap().push(format!("a member ended: {ended:?}"));
                    *running = start(member);
                }
            }
        }
        proxies.iter().for_each(|proxy| proxy.set(|_| Fault::None));
        is_over.store(true, Ordering::Relaxed);
    });
    let records = kafka().records(&place.topic);
    let offset = |partition: i32| -> Option<i64> {
        let json = store.read(&prefix, &format!("partition-{partition}.json"))?;
        serde_json::from_str::<Value>(&json).ok()?["offset"].as_i64()
    };
    if is_unsafe {
        members.iter_mut().for_each(Running::kill_9);
    } else {
        eventually("the heads pass every record", || (0..4).filter_map(offset).sum::<i64>() == records);
        for member in &mut members {
            assert_eq!(member.terminate().code, Some(0), "{}", member.stderr());
        }
        with_store(place.almanac(&["verify"]), &store.address, &prefix).succeeds();
    }
    let logs = second_fold::read_topic(&place.brokers, &place.topic, 4);
    let seen = seen.into_inner().unwrap();
    fight.heads = seen.len();
    fight.violations = violations.into_inner().unwrap();
    let mut folds: BTreeMap<usize, (Fold, i64)> = BTreeMap::new();
    for head in seen.into_values().filter(|head| !head.topic_id.is_empty()) {
        let (fold, end) = folds.entry(head.partition).or_default();
        if head.offset < *end {
            let reason =
                format!("partition {}: the offset went back from {end} to {}", head.partition, head.offset);
            fight.violations.push(reason);
            continue;
        }
        logs[head.partition].range(*end..head.offset).for_each(|(offset, record)| fold.take(*offset, record));
        *end = head.offset;
        let file = without_member(&head.bytes);
        if let Err(reason) = fold.compare(file.as_bytes(), head.partition, head.offset) {
            fight
                .violations
                .push(format!("partition {} at offset {}: {reason}", head.partition, head.offset));
        }
    }
    fight
}

/// Reads the heads again and again. A generation or a sequence never goes back, and one pair of them has one content.
fn look(
    store: &Objects,
    prefix: &str,
    is_over: &AtomicBool,
    seen: &Mutex<BTreeMap<(usize, u64, u64), Seen>>,
    violations: &Mutex<Vec<String>>,
) {
    let mut last = [(0, 0); 4];
    while !is_over.load(Ordering::Relaxed) {
        for (partition, last) in last.iter_mut().enumerate() {
            let Some(bytes) = store.read(prefix, &format!("partition-{partition}.json")) else { continue };
            let Ok(head) = serde_json::from_str::<Value>(&bytes) else { continue };
            let meta = &head["almanac"];
            let version = (meta["generation"].as_u64().unwrap(), meta["sequence"].as_u64().unwrap());
            if version < *last {
                let reason = format!("partition {partition}: {version:?} after {last:?}");
                violations.lock().unwrap().push(reason);
            }
            *last = version;
            let topic_id = meta["log"]["topic_id"].as_str().unwrap_or_default().to_owned();
            let found = Seen { partition, topic_id, offset: head["offset"].as_i64().unwrap(), bytes };
            match seen.lock().unwrap().entry((partition, version.0, version.1)) {
                Entry::Vacant(vacant) => {
                    vacant.insert(found);
                }
                Entry::Occupied(known) if known.get().bytes != found.bytes => {
                    let reason = format!("partition {partition}: two heads are {version:?}");
                    violations.lock().unwrap().push(reason);
                }
                Entry::Occupied(_) => {}
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn campaign() {
    // One of its own, as it is killed.
    let Some(store) = Objects::start() else { return skip("there is no object store") };
    let campaign = Campaign::new("store", 12);
    let fight = fight(&store, campaign.size, campaign.random(), false);
    let Fight { kills, pauses, cuts, restarts, heads, violations } = fight;
    assert_eq!(violations, Vec::<String>::new());
    assert!(heads > campaign.size, "only {heads} heads were seen");
    campaign.say(&format!(
        "{kills} kills and {pauses} pauses of members, {cuts} cuts from the store, {restarts} restarts of the store, with 13 % of \
         the requests lost, late, slow or refused; {heads} heads seen, each the fold of its log"
    ));
}

#[test]
fn the_campaign_can_fail() {
    let Some(store) = Objects::start() else { return skip("there is no object store") };
    let fight = fight(&store, 12, Random(1), true);
    assert!(
        !fight.violations.is_empty(),
        "unconditional writes, and nobody noticed in {} heads",
        fight.heads
    );
}
