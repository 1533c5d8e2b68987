//! Everything on one machine: one command starts it, one signal ends it, and the next start continues.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use almanac::kafka::Connection;
use jiff::civil::Date;
use rustix::process::Signal;

use crate::support::{Campaign, Kafka, Place, Running, eventually, free_address, kafka};

#[test]
fn up_continues_what_is_there_and_leaves_nothing_running() {
    let machine = Machine::new();
    let mut up = machine.up(&["--interval", "5ms"]);
    machine.counts_past(&up, 100);
    eventually("the plot is drawn", || machine.place.dir("files/month.svg").exists());
    up.signal(Signal::TERM);
    machine.is_stopped(&mut up);
    let (days, topic) = (machine.place.days("files"), machine.log_id(0));

    let mut up = machine.up(&["--interval", "5ms", "--duplicates", "0"]);
    machine.counts_past(&up, days + 100);
    assert_eq!(machine.log_id(0), topic, "the topic is the same");
    up.signal(Signal::INT);
    machine.is_stopped(&mut up);

    // The producer replaces the topic, and sends the same weather.
    machine.with_kafka(|| machine.place.produce(&["--days", "50", "--duplicates", "0"]));
    // At once, and with all that it was doing.
    let mut up = machine.up(&["--interval", "5ms", "--duplicates", "0"]);
    eventually("it counts the new topic", || (0..4).all(|partition| machine.log_id(partition) != topic));
    machine.counts_past(&up, days + 200);
    let topic = machine.log_id(0);
    up.kill_9();
    eventually("its JVM is gone", || machine.jvms().is_empty());

    let mut up = machine.up(&["--interval", "5ms", "--duplicates", "0"]);
    machine.counts_past(&up, days + 300);
    up.signal(Signal::TERM);
    machine.is_stopped(&mut up);
    assert_eq!(machine.log_id(0), topic);
    machine.with_kafka(|| machine.holds_what_the_log_holds());

    // The weather of others is left alone, in the same Kafka.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/weather/access.csv");
    machine.with_kafka(|| machine.place.produce(&["--file", file]));
    let refused = machine.up(&[]).ended();
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("and 'up' did not create it"), "{}", refused.stderr);
    let hint = "hint: start over with `almanac up --fresh`, or name another --topic, or add to this one with --adopt\n";
    assert!(refused.stderr.ends_with(hint), "{}", refused.stderr);

    let former = machine.place.files("files");
    let mut up = machine.up(&["--interval", "5ms", "--fresh"]);
    // The partitions do so one after the other, and until then a file counts the former topic's days.
    eventually("it begins again", || (0..4).all(|partition| machine.log_id(partition) != topic));
    machine.counts_past(&up, 10);
    assert!(machine.place.days("files") < days + 300);
    up.signal(Signal::TERM);
    machine.is_stopped(&mut up);
    let archive = machine.place.dir(&format!("files/archive/{topic}"));
    let archived =
        |partition| fs::read_to_string(archive.join(format!("partition-{partition}.json"))).unwrap();
    assert_eq!((0..4).map(archived).collect::<Vec<_>>(), former);
}

#[test]
fn a_topic_that_up_did_not_begin_is_left_alone() {
    let place = Place::new();
    place.produce(&["--days", "5", "--duplicates", "0"]);
    let up = |more: &[&str]| place.almanac(&[&["up", "--no-dashboard", "--interval", "5ms"], more].concat());
    for more in [&[][..], &["--fresh"]] {
        let ended = up(more).fails(2);
        assert!(
            ended
                .stderr
                .contains(&format!("using the Kafka at {}, which 'up' did not start\n", place.brokers)),
            "{}",
            ended.stderr
        );
        let refused = format!(
            "almanac: error: topic {} on {} has 5 records, and 'up' did not create it: its weather would be mixed \
             with them\nhint: name another --topic, or add to this one with --adopt, or delete it with \
             --adopt --fresh\n",
            place.topic, place.brokers
        );
        assert!(ended.stderr.ends_with(&refused), "{}", ended.stderr);
        assert_eq!(kafka().records(&place.topic), 5, "nothing was sent or deleted");
    }
    let counts_past = |mut up: Running, records: i64| {
        eventually("more is sent", || {
            kafka().records_if_any(&place.topic).is_some_and(|sent| sent > records)
        });
        assert_eq!(up.terminate().code, Some(0), "{}", up.stderr());
    };
    counts_past(up(&["--adopt"]).start(), 20);
    // From then on it is its own.
    counts_past(up(&[]).start(), kafka().records(&place.topic) + 20);
    counts_past(up(&["--fresh"]).start(), 0);
    // Until somebody else begins another one of that name.
    place.produce(&["--days", "7", "--duplicates", "0"]);
    let refused = up(&[]).fails(2).stderr;
    assert!(refused.contains("has 7 records, and 'up' did not create it"), "{refused}");
    let topic = kafka().describe(&place.topic).unwrap();
    counts_past(up(&["--fresh", "--adopt"]).start(), 7);
    assert_ne!(kafka().describe(&place.topic).unwrap().id, topic.id, "it was deleted");
}

#[test]
fn a_hint_of_up_names_the_command_that_has_the_option() {
    let place = Place::new();
    place.produce(&["--days", "5"]);
    let consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    eventually("it owns its partitions", || place.owned_by(&consumer, "files") == 4);
    let ended = place.almanac(&["up", "--no-dashboard", "--adopt"]).fails(6);
    let hint = "\nhint: stop that process, or add --take-over to `almanac consumer` or `almanac recover`\n";
    assert!(ended.stderr.ends_with(hint), "{ended:#?}");
}

#[test]
fn a_topic_that_up_began_is_its_own_whenever_it_was_killed() {
    let campaign = Campaign::new("up-kills", 8);
    let mut random = campaign.random();
    let place = Place::new();
    for round in 0..campaign.size {
        let fresh: &[&str] = if round % 2 == 1 { &["--fresh"] } else { &[] };
        let mut up = place.almanac(&[&["up", "--no-dashboard", "--interval", "1ms"], fresh].concat()).start();
        up.stderr_line_with("using the Kafka at ");
        // Most of what it does before it sends is done by then.
        std::thread::sleep(Duration::from_millis(random.below(700)));
        assert!(up.is_running(), "{}", up.stderr());
        up.kill_9();
    }
    let mut up = place.almanac(&["up", "--no-dashboard", "--interval", "1ms"]).start();
    eventually("it sends and counts", || place.days("files") > 100 && place.owned_by(&up, "files") == 4);
    assert_eq!(up.terminate().code, Some(0), "{}", up.stderr());
}

#[test]
fn up_finds_a_free_port_where_none_is_named() {
    let place = Place::at("127.0.0.1:0");
    let data = place.dir("data");
    let mut up = place.almanac(&["up", "--data", data.to_str().unwrap(), "--interval", "5ms"]).start();
    up.stderr_line_with("answers at 127.0.0.1:");
    eventually("days are counted", || place.owned_by(&up, "files") == 4 && place.days("files") > 100);
    let ended = up.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn nothing_is_claimed_by_an_up_that_fails() {
    let place = Place::at(&free_address());
    fs::write(place.dir("data"), "").unwrap();
    let data = place.dir("data");
    let ended = place.almanac(&["up", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]).run();
    assert_ne!(ended.code, Some(0));
    assert!(!ended.stderr.contains("http://") && !ended.stderr.contains("month.svg"), "{}", ended.stderr);
    // A port that is taken is known before Kafka is started.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = place.almanac(&["up", "--data", "other", "--listen", &address]).fails(2);
    assert_eq!(
        ended.stderr,
        format!(
            "almanac: error: can't listen at {address}: Address already in use (os error 98)\n\
             hint: name another port with --listen, or 0 for a free one\n"
        )
    );
    assert!(!place.dir("other").exists());
}

#[test]
fn a_listener_that_is_not_kafka_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It answers, as a web server would.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let place = Place::at(&address);
    let data = place.dir("data");
    let ended = place.almanac(&["up", "--data", data.to_str().unwrap()]).fails(4);
    assert_eq!(
        ended.stderr,
        format!(
            "almanac: error: what listens at {address} is not Kafka\nhint: name another port with --brokers\n"
        )
    );
    assert!(!data.exists());
}

/// The place of an `up`.
struct Machine {
    place: Place,
}

impl Machine {
    fn new() -> Machine {
        Machine { place: Place::at(&free_address()) }
    }

    fn up(&self, arguments: &[&str]) -> Running {
        let data = self.place.dir("data");
        self.place.almanac(&[&["up", "--data", data.to_str().unwrap()], arguments].concat()).start()
    }

    #[track_caller]
    fn counts_past(&self, up: &Running, days: u64) {
        // The days counted already may be the work of the start before.
        eventually("days are counted", || {
            self.place.owned_by(up, "files") == 4 && self.place.days("files") > days
        });
    }

    #[track_caller]
    fn is_stopped(&self, up: &mut Running) {
        let asked = std::time::Instant::now();
        let ended = up.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.ends_with("stopped; the data is kept, and the next start continues\n"));
        // Kafka is given eight of them before it is killed.
        assert!(asked.elapsed().as_secs() < 20, "{:?}", asked.elapsed());
        assert_eq!(self.jvms(), Vec::<u32>::new());
    }

    /// The id of the topic that a partition's file counts; none before the first start.
    fn log_id(&self, partition: i32) -> String {
        let log = self.place.dir(&format!("files/.almanac/{partition}/log.json"));
        let log = fs::read_to_string(log).unwrap();
        let log: serde_json::Value = serde_json::from_str(&log).unwrap();
        log["topic_id"].as_str().unwrap().to_owned()
    }

    /// Does something while only its Kafka runs.
    fn with_kafka(&self, act: impl FnOnce()) {
        let (place, data) = (&self.place, self.place.dir("data"));
        let arguments = ["broker", "--listen", &place.brokers, "--data", data.to_str().unwrap()];
        let mut broker = place.almanac(&arguments).start();
        broker.stderr_line_with(" answers at ");
        act();
        assert_eq!(broker.terminate().code, Some(0), "{}", broker.stderr());
    }

    /// No day was sent twice by the starts that sent no repeats, and every record sent is counted.
    fn holds_what_the_log_holds(&self) {
        let place = &self.place;
        let connection = Connection { brokers: place.brokers.clone(), properties: Vec::new() };
        let dates = Kafka::dates_at(&connection, &place.topic);
        let distinct: BTreeSet<Date> = dates.iter().copied().collect();
        // The last reports may have been sent when the consumer was stopping already.
        let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
        let records = i64::try_from(dates.len()).unwrap();
        eventually("every record is passed", || {
            place.owned_by(&consumer, "files") == 4 && place.passed("files") == records
        });
        assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
        assert_eq!(place.days("files"), distinct.len() as u64);
        let days: Vec<&Date> = distinct.iter().collect();
        assert!(days.windows(2).all(|pair| pair[0].tomorrow().unwrap() == *pair[1]), "no day is missing");
    }

    /// The processes that run in the data directory.
    fn jvms(&self) -> Vec<u32> {
        let data = self.place.dir("data");
        let is_here = |pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data);
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_here).collect()
    }
}
