//! compose.yaml, with processes for containers: its very commands and variables, each broker's name an address of
//! this machine. docs/IMAGE.md lists the checks that need a container engine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use almanac::kafka::Connection;
use futures_executor::block_on;
use jiff::civil::Date;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::Value;

use crate::dashboard::get;
use crate::objects::Objects;
use crate::support::{Almanac, Campaign, Kafka, Place, Running, almanac, eventually, free_address, skip};

pub const TOPIC: &str = "temperatures";

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
struct Service {
    image: String,
    build: String,
    command: String,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    depends_on: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    volumes: Vec<String>,
    deploy: Option<Deploy>,
}

#[derive(Deserialize)]
struct Deploy {
    replicas: usize,
}

/// The part of a service that another file replaces.
#[derive(Deserialize)]
struct Override {
    image: Option<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    volumes: Vec<String>,
    deploy: Option<Deploy>,
}

#[derive(Deserialize)]
struct Overrides {
    services: BTreeMap<String, Override>,
    volumes: BTreeMap<String, Option<String>>,
}

fn compose() -> Compose {
    serde_saphyr::from_str(include_str!("../../compose.yaml")).unwrap()
}

/// The same with compose.object-store.yaml, and the store's own service, which has an image of its own.
fn compose_with_store() -> (Compose, Override) {
    let mut compose = compose();
    let text = include_str!("../../compose.object-store.yaml");
    let mut overrides: Overrides = serde_saphyr::from_str(text).unwrap();
    let store = overrides.services.remove("store").unwrap();
    compose.volumes.extend(overrides.volumes);
    for (name, with) in overrides.services {
        let service = compose.services.get_mut(&name).unwrap();
        assert!(with.image.is_none());
        service.environment.extend(with.environment);
        // compose.yaml resets them.
        service.volumes = with.volumes;
        service.deploy = with.deploy.or(service.deploy.take());
    }
    (compose, store)
}

#[test]
fn one_broker_may_stop_or_die_and_nothing_changes() {
    let mut all = Services::new();
    all.start_brokers();
    for broker in all.names_with("broker") {
        all.process(&broker, "broker --check").succeeds();
    }
    let after: BTreeSet<_> = all.compose.services["producer"].depends_on.keys().cloned().collect();
    assert_eq!(after, all.names_with("broker").into_iter().collect(), "the producer waits for all brokers");
    for name in ["producer", "consumer", "dashboard"] {
        all.start(name);
    }
    assert_eq!(all.running["consumer"].len(), 2);
    all.goes_on("days are counted");
    assert_eq!(all.min_insync_replicas(), "2");
    assert!(all.partitions().iter().all(|partition| partition.replicas == 3));

    for kill in [false, true] {
        // The one whose leaving moves something.
        let broker = format!("kafka-{}", all.partitions()[0].leader);
        let process = &mut all.running.get_mut(&broker).unwrap()[0];
        match kill {
            true => process.kill_9(),
            false => assert_eq!(process.terminate().code, Some(0), "{}", process.stderr()),
        }
        all.goes_on(&format!("all goes on without {broker}"));
        all.start(&broker);
        all.goes_on(&format!("all make progress with {broker} again"));
        eventually("each replica is in sync", || {
            all.partitions().iter().all(|partition| partition.in_sync == 3)
        });
    }

    let sent = all.end("producer").stderr();
    let sent = sent.split("sent ").nth(1).and_then(|sent| sent.split(' ').next()).unwrap();
    let days: BTreeSet<Date> = Kafka::dates_at(&all.connection(), TOPIC).into_iter().collect();
    assert_eq!(sent, days.len().to_string());
    eventually("every day is counted", || all.place.days("files") == days.len() as u64);
    for name in ["consumer", "dashboard"] {
        all.end(name);
    }
    let verified = all.place.almanac(&["verify"]).succeeds();
    let same = verified.stdout.lines().filter(|line| line.ends_with(" the same"));
    assert_eq!(same.count(), 4, "{}", verified.stdout);
}

/// With the keys of the file: requests are signed.
#[test]
fn consumers_share_nothing_but_kafka_and_the_object_store() {
    let (compose, store) = compose_with_store();
    assert_eq!(store.image.as_deref(), Some("versity/versitygw:v1.8.0"));
    assert_eq!(store.volumes, ["store:/data"]);
    for name in ["consumer", "dashboard"] {
        assert_eq!(compose.services[name].volumes, Vec::<String>::new(), "{name}");
    }
    let keys = ["ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"].map(|key| store.environment[key].as_str());
    let Some(objects) = Objects::start_as(keys) else { return skip("there is no object store") };
    let dir = compose.services["consumer"].environment["ALMANAC_DIR"].clone();
    let mut all = Services::of(compose);
    all.addresses.push(("store:7070".to_owned(), objects.address.clone()));
    all.start_brokers();
    for name in ["producer", "consumer", "dashboard"] {
        all.start(name);
    }
    let head = |partition: usize| -> Value {
        let bytes = objects.read(&dir, &format!("partition-{partition}.json")).unwrap_or_default();
        serde_json::from_str(&bytes).unwrap_or_default()
    };
    let owners = || -> BTreeSet<u64> {
        (0..4).filter_map(|partition| head(partition)["almanac"]["owner"]["pid"].as_u64()).collect()
    };
    let days = || (0..4).filter_map(|partition| head(partition)["offset"].as_i64()).sum::<i64>();
    eventually("three consumers count", || owners().len() == 3 && days() > 100);
    let line = all.running["dashboard"][0].stderr_line_with("dashboard at http://");
    let page = line.split("http://").nth(1).unwrap().trim_end_matches('/').to_owned();
    eventually("the page is content", || get(&page, "/readyz").status == 200);
    let lost = {
        let consumer = &mut all.running.get_mut("consumer").unwrap()[0];
        consumer.kill_9();
        u64::from(consumer.pid())
    };
    all.running.get_mut("consumer").unwrap().remove(0);
    eventually("the others have its partitions", || !owners().contains(&lost));
    let before = days();
    eventually("they count on", || days() > before + 100);
    all.end("producer");
    let sent: i64 = ends(&all.connection(), TOPIC).iter().sum();
    eventually("every day is counted", || days() == sent);
    for name in ["consumer", "dashboard"] {
        all.end(name);
    }
    assert!(!all.place.dir("files").exists(), "no file is anywhere else");
    let verified = all.process("consumer", "verify").succeeds().stdout;
    assert_eq!(verified.lines().filter(|line| line.ends_with(" the same")).count(), 4, "{verified}");
    let wrong = all.process("consumer", "status").env("AWS_SECRET_ACCESS_KEY", "wrong").fails(7);
    assert!(wrong.stderr.contains("the object store refused s3://"), "{}", wrong.stderr);
}

/// Each of the ways to begin, with each of the brokers paused.
#[test]
fn a_producer_begins_while_one_of_three_brokers_hangs() {
    let mut all = Services::new();
    all.start_brokers();
    let begin = ["producer", "--interval", "0", "--days", "300", "--replication", "3"];
    for (round, broker) in all.names_with("broker").into_iter().enumerate() {
        let topic = format!("{TOPIC}-{round}");
        all.signal_jvm(&broker, Signal::STOP);
        let hung = all.here(&format!("{broker}:9092"));
        for (more, days) in [(&["--append"][..], 300), (&["--append"], 600), (&["--recreate"], 300)] {
            let began = std::time::Instant::now();
            let ended = all.place.almanac(&[&begin[..], more, &["-t", &topic]].concat()).succeeds();
            let took = began.elapsed();
            assert!(took < Duration::from_secs(90), "{more:?} {took:?}: {}", ended.stderr);
            assert!(ended.stderr.contains("sent 300 days"), "{}", ended.stderr);
            for line in ended.stderr.lines().filter(|line| line.contains("does not answer")) {
                assert!(line.contains(&hung), "{line}");
            }
            let dates: BTreeSet<Date> = Kafka::dates_at(&all.connection(), &topic).into_iter().collect();
            assert_eq!(dates.len(), days);
        }
        all.signal_jvm(&broker, Signal::CONT);
        eventually("each replica is in sync", || {
            all.partitions_of(&topic).iter().all(|partition| partition.in_sync == 3)
        });
    }
}

/// The test counts a log again and again while one of three brokers is paused at some moment. A producer and the
/// members of a group continue meanwhile. They count the partitions of living brokers as usual, and name the paused
/// broker.
#[test]
fn campaign() {
    /// The client's timeout, and two seconds.
    const LIVING_MAX: Duration = Duration::from_secs(7);
    let campaign = Campaign::new("compose", 3);
    let mut random = campaign.random();
    let mut all = Services::new();
    all.start_brokers();
    let log = ["producer", "--interval", "0", "--days", "200000", "--replication", "3", "-t", "log", "-q"];
    all.place.almanac(&log).succeeds();
    for name in ["producer", "consumer", "dashboard"] {
        all.start(name);
    }
    all.goes_on("days are counted");
    let brokers = all.names_with("broker");
    let (mut stalls, mut named) = (Vec::new(), 0);
    for trial in 0..campaign.size {
        let broker = &brokers[random.below(brokers.len() as u64) as usize];
        let id: i32 = broker.trim_start_matches("kafka-").parse().unwrap();
        let leaders = all.partitions_of("log");
        let ends = ends(&all.connection(), "log");
        let dir = format!("again-{trial}");
        let small = ["-X", "max.partition.fetch.bytes=2000"];
        let again = [&["consumer", "0", "1", "2", "3", "-t", "log", "-v"][..], &small].concat();
        let start = || all.place.almanac_in(&dir, &again).start();
        // In the middle of it, or before it starts.
        let (mut consumer, paused) = if trial % 3 == 2 {
            all.signal_jvm(broker, Signal::STOP);
            let paused = Instant::now();
            (start(), paused)
        } else {
            let consumer = start();
            let counts = || all.place.passed(&dir) > 0 && all.place.checkpoints(&dir).len() == 4;
            eventually("it counts", counts);
            std::thread::sleep(Duration::from_millis(random.below(300)));
            all.signal_jvm(broker, Signal::STOP);
            (consumer, Instant::now())
        };
        let passed = |partition: usize| {
            let checkpoints = all.place.checkpoints(&dir);
            checkpoints
                .iter()
                .any(|found| found.partition == partition as i32 && found.offset == ends[partition])
        };
        let living: Vec<usize> = (0..4).filter(|partition| leaders[*partition].leader != id).collect();
        eventually("what living brokers lead is counted", || {
            living.iter().all(|partition| passed(*partition))
        });
        stalls.push(paused.elapsed());
        assert!(paused.elapsed() < LIVING_MAX, "{:?}: {}", paused.elapsed(), consumer.stderr());
        let time = Duration::from_millis(1000 + random.below(7000));
        std::thread::sleep(time.saturating_sub(paused.elapsed()));
        let is_waiting = !(0..4).all(passed);
        all.signal_jvm(broker, Signal::CONT);
        eventually("all is counted", || (0..4).all(passed));
        let ended = consumer.terminate();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        named += usize::from(is_waiting);
        for line in ended.stderr.lines().filter(|line| line.contains("does not answer")) {
            assert!(line.contains(&all.here(&format!("{broker}:9092"))), "{line}");
        }
        all.place.almanac_in(&dir, &["verify", "-t", "log"]).succeeds();
        eventually("each replica is in sync", || {
            all.partitions_of("log").iter().all(|partition| partition.in_sync == 3)
        });
    }
    all.goes_on("all make progress in the end");
    all.end("producer");
    let sent: i64 = ends(&all.connection(), TOPIC).iter().sum();
    eventually("all is counted", || all.place.passed("files") == sent);
    for name in ["consumer", "dashboard"] {
        all.end(name);
    }
    all.place.almanac(&["verify"]).succeeds();
    stalls.sort_unstable();
    campaign.say(&format!(
        "{} pauses of a broker; what living ones lead was counted within {:?} (median {:?}); {named} times the rest had to wait",
        campaign.size,
        stalls.last().unwrap(),
        stalls[stalls.len() / 2]
    ));
}

/// The end offset of each partition.
fn ends(connection: &Connection, topic: &str) -> Vec<i64> {
    let admin = almanac::kafka::Admin::new(connection).unwrap();
    let spans = almanac::kafka::extent(&admin, topic, 4).unwrap();
    spans.iter().map(|span| span.end).collect()
}

#[test]
fn lasting_data_is_in_volumes() {
    let compose = compose();
    for (name, service) in &compose.services {
        assert_eq!((service.image.as_str(), service.build.as_str()), ("almanac", "."), "{name}");
        let expected = match service.command.split(' ').next().unwrap() {
            "broker" => vec![format!("{name}:/var/lib/almanac")],
            "producer" => vec![],
            _ => vec!["./files:/files".to_owned()],
        };
        assert_eq!(service.volumes, expected, "{name}");
    }
    let brokers = compose.services.iter().filter(|(_, service)| service.command == "broker");
    assert!(brokers.map(|(name, _)| name).eq(compose.volumes.keys()));
}

/// The services as processes.
pub struct Services {
    compose: Compose,
    /// The addresses in the file, each with the address of this machine that replaces it here.
    addresses: Vec<(String, String)>,
    pub place: Place,
    running: BTreeMap<String, Vec<Running>>,
}

pub struct Partition {
    pub leader: i32,
    replicas: usize,
    pub in_sync: usize,
}

impl Services {
    pub fn new() -> Services {
        Services::of(compose())
    }

    fn of(compose: Compose) -> Services {
        let of = |name: &String| [9092, 9093, 19092].map(|port| (format!("{name}:{port}"), free_address()));
        let addresses = compose.services.keys().flat_map(of).collect();
        let temp = tempfile::tempdir().unwrap();
        let place = Place { topic: TOPIC.to_owned(), brokers: String::new(), temp };
        let mut all = Services { compose, addresses, place, running: BTreeMap::new() };
        all.place.brokers = all.here(&all.compose.services["producer"].environment["ALMANAC_BROKERS"]);
        all
    }

    pub fn here(&self, text: &str) -> String {
        self.addresses.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    pub fn names_with(&self, command: &str) -> Vec<String> {
        let services = self.compose.services.iter().filter(|(_, service)| service.command == command);
        services.map(|(name, _)| name.clone()).collect()
    }

    /// Starts the processes of a service.
    fn start(&mut self, name: &str) {
        let service = &self.compose.services[name];
        let replicas = service.deploy.as_ref().map_or(1, |deploy| deploy.replicas);
        let started = (0..replicas).map(|_| self.process(name, &service.command).start()).collect();
        self.running.insert(name.to_owned(), started);
    }

    pub fn start_brokers(&mut self) {
        for name in self.names_with("broker") {
            self.start(&name);
        }
        for name in self.names_with("broker") {
            self.running[&name][0].stderr_line_with(" answers at ");
        }
    }

    /// Pauses a broker's JVM, or lets it go on.
    pub fn signal_jvm(&self, broker: &str, signal: Signal) {
        crate::support::signal_jvm_in(&self.place.dir(broker), signal);
    }

    /// A command in a service's container, with what the image sets and the file does not.
    fn process(&self, name: &str, command: &str) -> Almanac {
        let mut words: Vec<&str> = command.split(' ').collect();
        if words[0] == "producer" {
            words.extend(["--interval", "5ms"]);
        }
        let mut process = almanac(&words)
            .env("ALMANAC_DIR", self.place.dir("files"))
            .env("ALMANAC_DASHBOARD", "127.0.0.1:0")
            .env("ALMANAC_DATA", self.place.dir(name))
            .env("ALMANAC_LISTEN", self.here(&format!("{name}:9092")))
            .env("ALMANAC_LOCAL", self.here(&format!("{name}:19092")))
            .current_dir(self.place.temp.path());
        for (key, value) in &self.compose.services[name].environment {
            process = process.env(key, self.here(value));
        }
        process
    }

    /// SIGTERM, to all processes of a service.
    #[track_caller]
    fn end(&mut self, name: &str) -> Running {
        let mut processes = self.running.remove(name).unwrap();
        for process in &mut processes {
            let ended = process.terminate();
            assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        }
        processes.remove(0)
    }

    /// Waits until days that are sent from now on are counted in each partition, and the page is content.
    #[track_caller]
    fn goes_on(&mut self, what: &str) {
        // More days than are in flight already.
        const DAYS: i64 = 30;
        let offsets = || -> Vec<i64> {
            self.place.checkpoints("files").iter().map(|checkpoint| checkpoint.offset).collect()
        };
        eventually(what, || offsets().len() == 4);
        let before = offsets();
        eventually(what, || offsets().iter().zip(&before).all(|(now, before)| *now >= before + DAYS));
        let line = self.running["dashboard"][0].stderr_line_with("dashboard at http://");
        let address = line.split("http://").nth(1).unwrap().trim_end_matches('/');
        eventually("the page says that all partitions keep up", || get(address, "/readyz").status == 200);
        for name in ["producer", "consumer"] {
            for process in self.running.get_mut(name).unwrap() {
                assert!(process.is_running(), "{what}, {name}: {}", process.stderr());
            }
        }
    }

    pub fn connection(&self) -> Connection {
        Connection { brokers: self.place.brokers.clone(), properties: Vec::new() }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.place.brokers);
        config
    }

    fn min_insync_replicas(&self) -> String {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let topic = [ResourceSpecifier::Topic(TOPIC)];
        let answer = block_on(admin.describe_configs(&topic, &AdminOptions::new())).unwrap();
        let config = answer.into_iter().next().unwrap().unwrap();
        config.get("min.insync.replicas").unwrap().value.clone().unwrap()
    }

    pub fn partitions(&self) -> Vec<Partition> {
        self.partitions_of(TOPIC)
    }

    fn partitions_of(&self, topic: &str) -> Vec<Partition> {
        let client: BaseConsumer = self.client().create().unwrap();
        let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(30)).unwrap();
        let partitions = metadata.topics()[0].partitions().iter();
        partitions
            .map(|partition| Partition {
                leader: partition.leader(),
                replicas: partition.replicas().len(),
                in_sync: partition.isr().len(),
            })
            .collect()
    }
}
