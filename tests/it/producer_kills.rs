//! A campaign of SIGKILLs to the producer, which `--append` resumes, and to the Kafka under a running one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use almanac::report::{Decoder, Report};
use jiff::civil::{Date, date};
use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::second_fold::{Log, Record, read_topic};
use crate::support::{Almanac, Campaign, Kafka, Place, Random, eventually};

const SHORT_KILLS: usize = 10;
/// Of so many kills one is the broker's.
const KILLS_PER_BROKER: usize = 10;
const FIRST_DAY: Date = date(1990, 1, 1);
/// The value of duplicates, which no day has.
const REPEATED: f64 = 1e6;

#[test]
fn campaign() {
    let campaign = Campaign::new("producer-kills", SHORT_KILLS);
    let mut random = campaign.random();
    let mut kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "1", "--duplicates", "0"]);
    let tail = Tail::default();
    let (of_producer, of_broker, seen) = thread::scope(|scope| {
        let reader = scope.spawn(|| tail.follow(&place));
        let guard = EndOnDrop(&tail);
        let (mut of_producer, mut of_broker) = (0, 0);
        while of_producer + of_broker < campaign.size {
            if (of_producer + of_broker) % KILLS_PER_BROKER == KILLS_PER_BROKER - 1 {
                kill_broker(&mut kafka, &place, &tail, &mut random);
                of_broker += 1;
            } else {
                kill_producer(&place, &tail, &mut random);
                of_producer += 1;
            }
        }
        fill(&place);
        tail.wait_for(kafka.records(&place.topic));
        drop(guard);
        (of_producer, of_broker, reader.join().unwrap())
    });

    let logs = read_topic(&place.brokers, &place.topic, 4);
    assert_eq!(logs, seen, "what was once in the log stays there");
    let (mut days, mut repeats, mut twice) = (BTreeSet::new(), 0, 0);
    for (partition, log) in logs.iter().enumerate() {
        let mut newest = None;
        for Report { date, degrees } in reports(log) {
            let is_repeat = degrees.to_bits() == REPEATED.to_bits();
            if !days.insert(date) {
                repeats += usize::from(is_repeat);
                twice += usize::from(!is_repeat);
                continue;
            }
            assert!(!is_repeat, "partition {partition}: {date} is repeated before it was there");
            assert!(newest < Some(date), "partition {partition}: {date} comes after {newest:?}");
            newest = Some(date);
        }
    }
    let count = days.len();
    assert!(days.into_iter().eq(days_from_first().take(count)), "no day is left out");
    campaign.say(&format!(
        "{of_producer} kills of the producer and {of_broker} of the Kafka under it: {count} days, none left out, in order in their \
         partitions, before their {repeats} repeats; {twice} days sent a second time; every record that a reader had \
         before a kill is where it was"
    ));
}

/// Kills a producer at a moment that nobody chose, sometimes before it has sent anything.
fn kill_producer(place: &Place, tail: &Tail, random: &mut Random) {
    let interval = ["0", "300us", "1ms"][usize::try_from(random.below(3)).unwrap()];
    let before = tail.records();
    let more = 1 + random.below(2000);
    let mut producer = append(place, &["--interval", interval]).start();
    if random.below(10) == 0 {
        thread::sleep(Duration::from_micros(random.below(800_000)));
    } else {
        eventually("the producer sends", || tail.records() >= before + more);
    }
    assert!(producer.is_running(), "{}", producer.stderr());
    producer.kill_9();
}

/// Kills the Kafka under a producer, which goes on when it is back: all that it says it has sent is there.
fn kill_broker(kafka: &mut Kafka, place: &Place, tail: &Tail, random: &mut Random) {
    const DAYS: u64 = 3000;
    // The batches in flight of a killed producer are in the log by now, or never will be.
    fill(place);
    let before = kafka.records(&place.topic);
    tail.wait_for(before);
    let mut producer = append(place, &["--interval", "1ms", "--days", &DAYS.to_string()]).start();
    let more = 1 + random.below(DAYS / 2);
    eventually("the producer sends", || tail.records() >= before.unsigned_abs() + more);
    kafka.kill_9();
    kafka.start_again();
    let ended = producer.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said = ended.stderr.lines().find_map(|line| line.strip_prefix("almanac: sent ")).unwrap();
    let numbers: Vec<i64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [days, repeats] = numbers[..] else { panic!("{said}") };
    assert_eq!(days.unsigned_abs(), DAYS);
    assert_eq!(kafka.records(&place.topic), before + days + repeats, "each is there once: {said}");
}

fn append(place: &Place, arguments: &[&str]) -> Almanac {
    let degrees = REPEATED.to_string();
    let append = ["producer", "--append", "--duplicates", "0.5", "--duplicate-degrees", &degrees];
    place.almanac(&[&append[..], arguments].concat())
}

/// Sends all that kills left out, and ten days more.
fn fill(place: &Place) {
    let logs = read_topic(&place.brokers, &place.topic, 4);
    let present: BTreeSet<Date> = logs.iter().flat_map(reports).map(|report| report.date).collect();
    let newest = *present.last().unwrap();
    let missing = days_from_first().take_while(|day| *day <= newest).filter(|day| !present.contains(day));
    append(place, &["--interval", "0", "--days", &(missing.count() + 10).to_string()]).succeeds();
}

fn days_from_first() -> impl Iterator<Item = Date> {
    FIRST_DAY.series(jiff::Span::new().days(1))
}

fn reports(log: &Log) -> Vec<Report> {
    let mut decoder = Decoder::default();
    log.values().map(|record| decoder.decode(record.value.as_deref()).unwrap()).collect()
}

/// The records that a reader of the topic has seen.
#[derive(Default)]
struct Tail {
    records: AtomicU64,
    is_over: AtomicBool,
}

struct EndOnDrop<'a>(&'a Tail);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

impl Tail {
    fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    fn wait_for(&self, records: i64) {
        eventually("the reader has everything", || self.records() == records.unsigned_abs());
    }

    fn follow(&self, place: &Place) -> Vec<Log> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &place.brokers)
            .set("group.id", "tail")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "10")
            .set("reconnect.backoff.max.ms", "500")
            .create()
            .unwrap();
        let mut assignment = TopicPartitionList::new();
        for partition in 0..4 {
            assignment.add_partition_offset(&place.topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let mut logs = vec![Log::new(); 4];
        while !self.is_over.load(Ordering::Relaxed) {
            // Errors: the broker is away, and comes back.
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) else { continue };
            let log = &mut logs[usize::try_from(message.partition()).unwrap()];
            let next = log.last_key_value().map_or(0, |(offset, _)| offset + 1);
            assert_eq!(message.offset(), next, "partition {}", message.partition());
            log.insert(message.offset(), Record::of(&message));
            self.records.fetch_add(1, Ordering::Relaxed);
        }
        logs
    }
}
