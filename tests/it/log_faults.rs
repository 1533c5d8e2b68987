//! A log that is not what it was: records removed, cut off, another topic, other partitions.

use std::fs;

use almanac::report::Report;
use almanac::store::{self, Gap, Log, Paths};
use jiff::civil::{Date, date};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Campaign, Kafka, Place, Random, Raw, Running, eventually, kafka};

const ALL: [&str; 5] = ["consumer", "0", "1", "2", "3"];

fn consumer<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&ALL[..], more].concat()
}

fn counted(place: &Place, kafka: &Kafka, arguments: &[&str]) -> String {
    let mut running = place.almanac(arguments).start();
    place.caught_up(kafka, "files");
    let ended = running.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stderr
}

fn log(place: &Place, partition: i32) -> Log {
    store::load_log(&Paths::new(&place.dir("files"), partition)).unwrap().unwrap()
}

/// Sends one report of each of these days to partition 2, and says at which offset the first came to lie.
fn send_days(place: &Place, first: Date, days: i64, degrees: f64) {
    let values: Vec<Vec<u8>> = (0..days)
        .map(|day| first.checked_add(jiff::Span::new().days(day)).unwrap())
        .map(|date| Report { date, degrees }.encode())
        .collect();
    let raw = |value| Raw { partition: 2, key: None, value: Some(value) };
    place.send(&values.iter().map(|value| raw(&value[..])).collect::<Vec<_>>());
}

/// A place of which 100 days in partition 2 are counted, and 60 more are not; offsets below 130 are gone.
fn place_with_a_gap() -> Place {
    let place = Place::new();
    place.produce(&["--days", "1", "--start", "1990-03-01", "--duplicates", "0"]);
    send_days(&place, date(1991, 1, 1), 99, 1.0);
    place.send(&[Raw { partition: 2, key: None, value: None }]);
    counted(&place, kafka(), &ALL);
    // Empty partitions have a checkpoint as well, which nothing waited for.
    let mut consumer = place.almanac(&ALL).start();
    eventually("each partition has a checkpoint", || place.checkpoints("files").len() == 4);
    assert_eq!(consumer.terminate().code, Some(0));
    send_days(&place, date(1992, 1, 1), 60, 2.0);
    place.send(&[Raw { partition: 2, key: None, value: None }]);
    kafka().delete_records(&place.topic, 2, 130);
    place
}

#[test]
fn uncounted_records_that_were_removed_are_reported_with_numbers() {
    let place = place_with_a_gap();
    let before = place.files("files");
    let ended = place.almanac(&ALL).fails(5);
    assert!(
        ended.stderr.contains("partition 2 of")
            && ended.stderr.contains("is at offset 100, but the log holds offsets 130 to 161 only"),
        "{}",
        ended.stderr
    );
    assert_eq!(place.files("files"), before, "nothing is overwritten");

    // In a group the other partitions go on.
    let mut member = place.almanac(&["consumer", "--group", &place.topic]).start();
    member.stderr_line_with("partition 2 is left alone");
    place.produce(&["--append", "--days", "31", "--start", "1990-03-01", "--duplicates", "0"]);
    eventually("partition 0 goes on", || place.checkpoints("files")[0].statistics.days() == 31);
    assert_eq!(member.terminate().code, Some(5), "{}", member.stderr());
    assert_eq!(place.files("files")[2], before[2], "nothing is overwritten");
}

#[test]
fn continuing_after_removed_records_is_noted_and_verify_reports_the_unchecked_part() {
    let place = place_with_a_gap();
    let said = place.almanac(&["recover", "--continue"]).succeeds().stdout;
    assert!(said.contains("partition 2 continues at offset 130 instead of 100; noted in log.json"), "{said}");
    for partition in [0, 1, 3] {
        assert!(said.contains(&format!("partition {partition}: nothing to do")), "{said}");
    }
    assert_eq!(
        place.almanac(&["recover", "2", "--continue"]).succeeds().stdout,
        "partition 2: nothing to do, it continues at offset 130\n"
    );
    counted(&place, kafka(), &ALL);
    assert_eq!(log(&place, 2).gaps, [Gap { from: 100, to: 130 }]);
    assert_eq!(place.checkpoints("files")[2].statistics.days(), 99 + 30);
    assert_eq!(store::load_rejected(&Paths::new(&place.dir("files"), 2)).unwrap().len(), 2);

    let ended = place.almanac(&["verify"]).fails(5);
    assert!(
        ended.stdout.contains("partition 0: 1 records = 1 counted + 0 duplicates + 0 rejected, the same")
    );
    assert!(
        ended
            .stdout
            .contains("partition 2: 31 records from offset 130 on: each day is counted, 1 rejected are"),
        "{}",
        ended.stdout
    );
    assert!(ended.stderr.contains("counting continued at offset 130 instead of 100"), "{}", ended.stderr);

    // Verify can check the rest, and finds a difference in it.
    let path = place.dir("files/partition-2.json");
    let whole = fs::read_to_string(&path).unwrap();
    let last = whole.rfind("\"1992\":").unwrap();
    let without = format!("{}}}}}\n", whole[..last].trim_end().trim_end_matches(','));
    fs::write(&path, without).unwrap();
    let ended = place.almanac(&["verify", "2"]).fails(1);
    assert!(
        ended.stderr.contains("February 1992, day: the file has nothing, the log makes 1"),
        "{}",
        ended.stderr
    );
    fs::write(&path, whole).unwrap();

    // It resumes from there like any other, without another warning.
    send_days(&place, date(1993, 1, 1), 10, 2.0);
    assert_eq!(counted(&place, kafka(), &ALL), "");
    place.almanac(&["verify"]).fails(5);
}

#[test]
fn counting_again_what_is_left_archives_what_was_counted() {
    let place = place_with_a_gap();
    let before = place.files("files");
    let rejected = fs::read(place.dir("files/partition-2.rejected.jsonl")).unwrap();
    let id = kafka().describe(&place.topic).unwrap().id;
    let said = place.almanac(&["recover", "2", "--restart"]).succeeds().stdout;
    counted(&place, kafka(), &ALL);
    assert!(
        said.contains(&format!(
            "partition 2 is counted again from offset 130; what was counted before is in archive/{id}"
        )),
        "{said}"
    );
    let archive = place.dir(&format!("files/archive/{id}"));
    assert_eq!(fs::read_to_string(archive.join("partition-2.json")).unwrap(), before[2]);
    assert_eq!(fs::read(archive.join("partition-2.rejected.jsonl")).unwrap(), rejected);
    assert_eq!(fs::read_dir(&archive).unwrap().count(), 2, "the others go on as they were");
    assert_eq!(place.checkpoints("files")[2].statistics.days(), 30);
    assert_eq!((log(&place, 2).first_offset, log(&place, 2).is_starting_over), (130, false));
    place.almanac(&["verify"]).succeeds();

    // Killed before it was done, it is taken up again.
    let unfinished = Log { is_starting_over: true, ..log(&place, 2) };
    let path = place.dir("files/.almanac/2/log.json");
    fs::write(&path, serde_json::to_vec(&unfinished).unwrap()).unwrap();
    let ended = place.almanac(&["verify", "2"]).fails(5);
    assert!(ended.stderr.contains("partition 2 is being archived"), "{}", ended.stderr);
    let mut consumer = place.almanac(&ALL).start();
    eventually("it is done", || !log(&place, 2).is_starting_over);
    place.caught_up(kafka(), "files");
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    place.almanac(&["verify"]).succeeds();
    assert_eq!(fs::read_dir(&archive).unwrap().count(), 4, "nothing in the archive is overwritten");
}

#[test]
fn counted_records_that_are_gone_from_the_log_stop_nothing() {
    let place = Place::new();
    place.produce(&["--days", "400"]);
    counted(&place, kafka(), &ALL);
    let offset = place.checkpoints("files")[2].offset;
    kafka().delete_records(&place.topic, 2, offset - 10);
    place.produce(&["--append", "--days", "100"]);
    assert_eq!(counted(&place, kafka(), &ALL), "");
    let ended = place.almanac(&["verify"]).fails(5);
    let gone = format!("offsets 0 to {} are gone from the log", offset - 11);
    assert!(ended.stderr.contains(&gone), "{}", ended.stderr);
    assert_eq!(ended.stdout.matches(", the same\n").count(), 3, "{}", ended.stdout);
}

#[test]
fn a_dir_of_another_topic_is_taken_for_this_one_only_when_asked_to() {
    let (place, other) = (Place::new(), Place::new());
    place.produce(&["--days", "400"]);
    other.produce(&["--days", "300", "--seed", "9"]);
    counted(&place, kafka(), &ALL);
    let before = place.files("files");
    let id = kafka().describe(&place.topic).unwrap().id;
    let there = |arguments: &[&str]| place.almanac(&[arguments, &["--topic", &other.topic]].concat());
    let ended = there(&ALL).fails(5);
    for name in [&place.topic, &other.topic] {
        assert!(ended.stderr.contains(&format!("topic {name} of cluster")), "{}", ended.stderr);
    }
    assert!(ended.stderr.contains("--new-log"), "{}", ended.stderr);
    assert_eq!(place.files("files"), before, "nothing is overwritten");

    // Not even where a file was moved away is anything lost before that.
    let rejected = place.dir("files/partition-2.rejected.jsonl");
    let line = "{\"offset\":3,\"reason\":\"no_value\",\"key\":null,\"value\":null}\n";
    fs::write(&rejected, line).unwrap();
    let checkpoint = place.dir("files/partition-2.json");
    fs::remove_file(&checkpoint).unwrap();
    there(&ALL).fails(5);
    assert_eq!(fs::read_to_string(&rejected).unwrap(), line);
    fs::write(&checkpoint, &before[2]).unwrap();

    let recovered = there(&["recover", "--new-log"]).succeeds();
    assert_eq!(recovered.stdout.matches(&format!("what was counted before is in archive/{id}")).count(), 4);
    let mut running = there(&ALL).start();
    let records = kafka().records(&other.topic);
    eventually("the other topic is counted", || {
        place.days("files") == 300 && place.passed("files") == records
    });
    assert_eq!(running.terminate().code, Some(0), "{}", running.stderr());
    for (partition, file) in before.iter().enumerate() {
        let archived = place.dir(&format!("files/archive/{id}/partition-{partition}.json"));
        assert_eq!(fs::read_to_string(archived).unwrap(), *file);
    }
    there(&["verify"]).succeeds();
}

#[test]
fn a_checkpoint_without_its_log_is_taken_for_one_of_this_topic_only_when_asked_to() {
    let place = Place::new();
    place.produce(&["--days", "400"]);
    counted(&place, kafka(), &ALL);
    let before = place.files("files");
    fs::remove_file(place.dir("files/.almanac/1/log.json")).unwrap();
    let ended = place.almanac(&ALL).fails(5);
    assert!(ended.stderr.contains("partition-1.json has no .almanac/1/log.json"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--adopt"), "{}", ended.stderr);
    assert_eq!(place.files("files"), before, "nothing is overwritten");
    place.almanac(&["verify", "1"]).fails(5);

    // Nor for one of a topic that it can't be of.
    let other = Place::new();
    other.produce(&["--days", "10"]);
    let ended = place.almanac(&["recover", "1", "--adopt", "--topic", &other.topic]).fails(5);
    assert!(ended.stderr.contains(" belongs to topic "), "{}", ended.stderr);
    assert!(!place.dir("files/.almanac/1/log.json").exists());

    place.produce(&["--append", "--days", "100"]);
    place.almanac(&["recover", "--adopt"]).succeeds();
    counted(&place, kafka(), &ALL);
    place.almanac(&["verify"]).succeeds();
    assert_eq!(place.days("files"), 500);
}

#[test]
fn of_two_topics_that_begin_at_once_one_is_refused() {
    let (one, other) = (Place::new(), Place::new());
    for place in [&one, &other] {
        place.produce(&["--days", "120"]);
    }
    for round in 0..5 {
        let dir = format!("round-{round}");
        let topics = [&one.topic, &other.topic];
        let start = |number: usize| {
            let partition = number.to_string();
            one.almanac_in(&dir, &["consumer", &partition, "--topic", topics[number]]).start()
        };
        let mut consumers = [start(0), start(1)];
        let mut refused = None;
        eventually("one is refused", || {
            refused = (0..2).find(|number| !consumers[*number].is_running());
            refused.is_some()
        });
        let (refused, counting) = (refused.unwrap(), 1 - refused.unwrap());
        let ended = consumers[refused].ended();
        assert_eq!(ended.code, Some(5), "{}", ended.stderr);
        for topic in topics {
            assert!(ended.stderr.contains(&format!("topic {topic} of cluster ")), "{}", ended.stderr);
        }
        eventually("the other one counts", || one.passed(&dir) > 0);
        assert_eq!(consumers[counting].terminate().code, Some(0));
        let topics = store::topics_of(&*store::reader(&one.dir(&dir)).unwrap());
        assert_eq!(topics.len(), 1, "{topics:?}");
    }
}

#[test]
fn partitions_added_to_the_topic_are_refused_until_allowed() {
    let place = Place::new();
    place.produce(&["--days", "400", "--duplicates", "0"]);
    let mut running = place.almanac(&ALL).start();
    let mut member = place.almanac_in("group", &["consumer", "--group", &place.topic]).start();
    place.caught_up(kafka(), "files");
    place.caught_up(kafka(), "group");
    let before = place.files("files");
    kafka().add_partitions(&place.topic, 6);

    let refused = |ended: crate::support::Ended| {
        assert_eq!(ended.code, Some(5), "{}", ended.stderr);
        assert!(ended.stderr.contains("has 6 partitions, and had 4 when counting began"), "{}", ended.stderr);
        assert!(ended.stderr.contains("almanac recover"), "{}", ended.stderr);
    };
    // Those that run notice it by themselves.
    refused(running.ended());
    refused(member.ended());
    refused(place.almanac(&ALL).run());
    refused(place.almanac(&["consumer", "4", "5"]).run());
    assert_eq!(place.files("files"), before);
    assert!(!place.dir("files/partition-4.json").exists());

    place.produce(&["--append", "--days", "100", "--duplicates", "0"]);
    place.almanac(&["recover", "--repartition"]).succeeds();
    let mut running = place.almanac(&["consumer", "0", "1", "2", "3", "4", "5"]).start();
    place.caught_up(kafka(), "files");
    assert_eq!(running.terminate().code, Some(0), "{}", running.stderr());
    assert_eq!(place.days("files"), 500);
    // Now it has always been so.
    counted(&place, kafka(), &["consumer", "0", "1", "2", "3", "4", "5"]);
    place.almanac(&["verify"]).succeeds();
}

/// A report of a day of its own in a batch of its own, to partition 2.
fn send_batches(place: &Place, first: Date, days: i64, degrees: f64) {
    let mut config = ClientConfig::new();
    let client: BaseProducer =
        config.set("bootstrap.servers", &place.brokers).set("batch.num.messages", "1").create().unwrap();
    for day in 0..days {
        let date = first.checked_add(jiff::Span::new().days(day)).unwrap();
        let value = Report { date, degrees }.encode();
        let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&place.topic).partition(2).payload(&value);
        client.send(record).map_err(|(error, _)| error).unwrap();
    }
    client.flush(std::time::Duration::from_secs(30)).unwrap();
}

#[test]
fn a_truncated_log_is_detected_even_if_it_grew_again() {
    let mut kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "1", "--start", "1990-03-01", "--duplicates", "0"]);
    send_batches(&place, date(1991, 1, 1), 50, 1.0);
    let mut running = place.almanac(&ALL).start();
    let mut member = place.almanac_in("group", &["consumer"]).start();
    place.caught_up(&kafka, "files");
    place.caught_up(&kafka, "group");
    let before = place.files("files");

    // While they run: cut to 30 of 50, and not grown yet.
    kafka.kill_9();
    kafka.cut(&place.topic, 2, 30);
    kafka.start_again();
    assert_eq!(kafka.high_watermarks(&place.topic)[2], 30);
    let ended = running.ended();
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("is at offset 50, but the log holds offsets 0 to 30 only"),
        "{}",
        ended.stderr
    );
    assert_eq!(place.files("files"), before, "nothing is overwritten");
    // A member continues by itself with what was recovered.
    member.stderr_line_with("partition 2 is left alone");
    let recovered = place.almanac_in("group", &["recover", "2", "--restart"]).succeeds();
    assert!(recovered.stdout.contains("partition 2 is counted again from offset 0"), "{}", recovered.stdout);
    place.caught_up(&kafka, "group");
    assert_eq!(place.checkpoints("group")[2].statistics.days(), 30);

    // Grown again, past what was counted: the offset alone says nothing.
    send_batches(&place, date(1995, 1, 1), 40, 5.0);
    assert_eq!(kafka.high_watermarks(&place.topic)[2], 70);
    let ended = place.almanac(&ALL).fails(5);
    assert!(ended.stderr.contains("the log was truncated below what was counted"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("offset 50") && ended.stderr.contains("ends at offset 30"),
        "{}",
        ended.stderr
    );
    assert_eq!(place.files("files"), before, "nothing is overwritten");
    let mut grouped = place.almanac(&["consumer", "--group", "another"]).start();
    let line = grouped.stderr_line_with("partition 2 is left alone");
    assert!(line.contains("the log was truncated below what was counted"), "{line}");
    assert_eq!(grouped.terminate().code, Some(5), "{}", grouped.stderr());
    assert_eq!(place.files("files"), before, "nothing is overwritten");
    place.almanac(&["verify"]).fails(1);
    place.almanac(&["recover", "--continue"]).fails(5);
    assert_eq!(place.files("files"), before, "nothing is overwritten");

    let said = place.almanac(&["recover", "2", "--restart"]).succeeds().stdout;
    counted(&place, &kafka, &ALL);
    assert!(said.contains("partition 2 is counted again from offset 0"), "{said}");
    place.almanac(&["verify"]).succeeds();
    place.caught_up(&kafka, "group");
    let ended = member.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    place.almanac_in("group", &["verify"]).succeeds();
    place.assert_same_files("group", "files");
}

#[test]
fn a_member_that_gets_its_partitions_back_detects_a_truncated_log() {
    let mut kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "1", "--start", "1990-03-01", "--duplicates", "0"]);
    send_batches(&place, date(1991, 1, 1), 50, 1.0);
    let mut member = place.almanac(&["consumer", "-X", "session.timeout.ms=6000"]).start();
    place.caught_up(&kafka, "files");
    let before = place.files("files");
    // It sleeps for longer than its session lasts. So it is assigned its partitions again, by a client that has
    // already seen the new leader.
    member.signal(Signal::STOP);
    let asleep = std::time::Instant::now();
    kafka.kill_9();
    kafka.cut(&place.topic, 2, 30);
    kafka.start_again();
    send_batches(&place, date(1995, 1, 1), 60, 5.0);
    eventually("its session is over", || asleep.elapsed().as_secs() >= 7);
    member.signal(Signal::CONT);
    let line = member.stderr_line_with("partition 2 is left alone");
    assert!(line.contains("the log was truncated below what was counted"), "{line}");
    assert_eq!(place.files("files")[2], before[2], "nothing is overwritten");
    assert_eq!(member.terminate().code, Some(5), "{}", member.stderr());
}

#[test]
fn counting_can_resume_at_the_end_of_a_truncated_log() {
    let mut kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "1", "--start", "1990-03-01", "--duplicates", "0"]);
    send_batches(&place, date(1991, 1, 1), 50, 1.0);
    place.send(&[Raw { partition: 2, key: None, value: None }]);
    counted(&place, &kafka, &ALL);
    let before = place.files("files");
    kafka.kill_9();
    kafka.cut(&place.topic, 2, 30);
    kafka.start_again();
    let said = place.almanac(&["recover", "2", "--continue"]).succeeds().stdout;
    counted(&place, &kafka, &ALL);
    assert!(said.contains("partition 2 continues at offset 30 instead of 51"), "{said}");
    let archive = place.dir(&format!("files/archive/{}", log(&place, 2).topic_id));
    assert_eq!(fs::read_to_string(archive.join("partition-2.json")).unwrap(), before[2]);
    assert_eq!(fs::read_to_string(archive.join("partition-2.rejected.jsonl")).unwrap().lines().count(), 1);
    send_batches(&place, date(1995, 1, 1), 40, 5.0);
    assert_eq!(counted(&place, &kafka, &ALL), "");
    assert_eq!(fs::read(place.dir("files/partition-2.rejected.jsonl")).unwrap(), b"");
    assert_eq!(place.checkpoints("files")[2].statistics.days(), 90);
    let ended = place.almanac(&["verify", "2"]).fails(5);
    assert!(ended.stdout.contains("partition 2: 40 records from offset 30 on"), "{}", ended.stdout);
}

/// The faults of a log while it is written and read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    Killed,
    Stopped,
    Paused,
    Recreated,
    Removed,
    Cut,
}

const FAULTS: [Fault; 6] =
    [Fault::Killed, Fault::Recreated, Fault::Cut, Fault::Paused, Fault::Removed, Fault::Stopped];

/// Two consumers on a live log, to which the faults happen.
struct Scene {
    kafka: Kafka,
    place: Place,
    running: [Running; 2],
    /// How often the group's member has refused a partition.
    refused: usize,
    random: Random,
}

const DIRS: [&str; 2] = ["files", "group"];

impl Scene {
    fn producer(&self, arguments: &[&str]) -> Running {
        // Removed records leave a gap, which is filled.
        let stream = [
            "producer",
            "--interval",
            "1ms",
            "--duplicates",
            "0.3",
            "--duplicate-degrees",
            "1000000",
            "--gap-max",
            "9999",
        ];
        self.place.almanac(&[&stream[..], arguments].concat()).start()
    }

    /// Sends until some more days are counted in both.
    fn stream(&mut self, producer: &mut Running) {
        let goal = self.place.days("files") + 100;
        eventually("more days are counted", || {
            assert!(producer.is_running(), "the producer: {}", producer.stderr());
            for running in &mut self.running {
                assert!(running.is_running(), "a consumer: {}", running.stderr());
            }
            DIRS.iter().all(|dir| self.place.days(dir) >= goal)
        });
        assert_eq!(producer.terminate().code, Some(0), "{}", producer.stderr());
    }

    /// Waits until both have counted all, and decides for them where they refuse to continue: one ends, the group's member
    /// leaves the partition alone.
    fn settle(&mut self) {
        let records = self.kafka.records(&self.place.topic);
        let refusals = |running: &Running| running.stderr().matches("is left alone").count();
        eventually("the checkpoints pass every record", || {
            if !self.running[0].is_running() {
                let ended = self.running[0].ended();
                assert_eq!(ended.code, Some(5), "{}", ended.stderr);
                self.place.almanac_in(DIRS[0], &["recover", "--restart"]).succeeds();
                self.running[0] = start(&self.place, DIRS[0], &ALL);
            }
            assert!(self.running[1].is_running(), "{}", self.running[1].stderr());
            let refused = refusals(&self.running[1]);
            if refused > self.refused {
                self.refused = refused;
                self.place.almanac_in(DIRS[1], &["recover", "--restart"]).succeeds();
            }
            DIRS.iter().all(|dir| self.place.passed(dir) == records)
        });
    }

    fn happen(&mut self, fault: Fault) {
        let mut producer = self.producer(&["--append"]);
        self.stream(&mut producer);
        match fault {
            Fault::Killed | Fault::Stopped => {
                let mut producer = self.producer(&["--append"]);
                let before = self.kafka.records(&self.place.topic);
                eventually("it sends", || self.kafka.records(&self.place.topic) > before + 50);
                if fault == Fault::Killed {
                    self.kafka.kill_9()
                } else {
                    self.kafka.stop()
                }
                self.kafka.start_again();
                self.stream(&mut producer);
            }
            Fault::Paused => {
                self.kafka.signal(Signal::STOP);
                let told = |running: &Running| running.stderr().matches("does not answer").count();
                let before = self.running.iter().map(told).collect::<Vec<_>>();
                eventually("the consumers notice", || {
                    self.running.iter().zip(&before).any(|(running, before)| told(running) > *before)
                });
                self.kafka.signal(Signal::CONT);
            }
            Fault::Recreated => {
                let days = (100 + self.random.below(400)).to_string();
                self.place.produce(&["--days", &days, "--seed", &days]);
            }
            Fault::Removed => {
                for running in &self.running {
                    running.signal(Signal::STOP);
                }
                self.place.produce(&["--append", "--days", "500"]);
                let high = self.kafka.high_watermarks(&self.place.topic);
                for (partition, high) in (0..).zip(high) {
                    let offset = self.random.below(u64::try_from(high).unwrap() + 1);
                    self.kafka.delete_records(&self.place.topic, partition, i64::try_from(offset).unwrap());
                }
                for running in &self.running {
                    running.signal(Signal::CONT);
                }
            }
            Fault::Cut => {
                let partition = i32::try_from(self.random.below(4)).unwrap();
                let keep = self.random.below(3);
                self.kafka.kill_9();
                self.kafka.cut(&self.place.topic, partition, usize::try_from(keep).unwrap());
                self.kafka.start_again();
                if self.random.below(2) == 0 {
                    // Grown again before anybody has looked.
                    self.place.produce(&["--append", "--days", "1000"]);
                }
            }
        }
    }
}

fn start(place: &Place, dir: &str, arguments: &[&str]) -> Running {
    place.almanac_in(dir, &[arguments, &["--checkpoint-every", "1ms"]].concat()).start()
}

/// Whatever happens to the log: both consumers go on, by number and by the group, and what they have is what the log
/// makes.
#[test]
fn campaign() {
    let campaign = Campaign::new("log-faults", FAULTS.len());
    let kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "300"]);
    let running = [start(&place, DIRS[0], &ALL), start(&place, DIRS[1], &["consumer"])];
    let mut scene = Scene { kafka, random: campaign.random(), place, running, refused: 0 };
    let (mut whole, mut partly) = (0, 0);
    for step in 0..campaign.size {
        let chosen = match step < FAULTS.len() {
            true => step,
            false => usize::try_from(scene.random.below(FAULTS.len() as u64)).unwrap(),
        };
        let fault = FAULTS[chosen];
        scene.happen(fault);
        scene.settle();
        for dir in DIRS {
            let ended = scene.place.almanac_in(dir, &["verify"]).run();
            let dir = format!("step {step}, {fault:?}, {dir}");
            match ended.code {
                Some(0) => whole += 1,
                // The counted records are gone from the log, and the rest agrees.
                Some(5) if ended.stderr.contains("are gone from the log") => partly += 1,
                _ => panic!("{dir}: {ended:#?}"),
            }
        }
    }
    for running in &mut scene.running {
        let ended = running.terminate();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    campaign.say(&format!(
        "{} faults, {whole} times verify said the same of all, {partly} times of what was left, never another",
        campaign.size
    ));
}

const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// A transaction with one report in partition 2, still open.
fn open_transaction(place: &Place) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &place.brokers).set("transactional.id", &place.topic);
    // By default Kafka takes it back after a minute, in which a busy machine may not have started Kafka again.
    config.set("transaction.timeout.ms", "600000");
    let client: BaseProducer = config.create().unwrap();
    client.init_transactions(TIMEOUT).unwrap();
    client.begin_transaction().unwrap();
    let value = Report { date: date(1999, 4, 1), degrees: 1.0 }.encode();
    let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&place.topic).partition(2).payload(&value);
    client.send(record).map_err(|(error, _)| error).unwrap();
    client.flush(TIMEOUT).unwrap();
    client
}

#[test]
fn a_marker_of_a_later_leader_is_not_a_truncation() {
    let mut kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "1", "--start", "1990-03-01", "--duplicates", "0"]);
    let client = open_transaction(&place);
    // The marker that ends it comes to lie in the next leader's part of the log, with no record after it.
    kafka.stop();
    kafka.start_again();
    client.commit_transaction(TIMEOUT).unwrap();
    // Kafka writes it after it has acknowledged the commit.
    eventually("the marker is there", || kafka.high_watermarks(&place.topic)[2] == 2);
    counted(&place, &kafka, &ALL);
    assert_eq!(place.checkpoints("files")[2].offset, 2);
    assert_eq!(log(&place, 2).leader_epochs.len(), 2, "{:?}", log(&place, 2));
    assert_eq!(counted(&place, &kafka, &ALL), "");
    assert_eq!(counted(&place, &kafka, &["consumer"]), "");
    place.almanac(&["verify"]).succeeds();
}

fn status(place: &Place, partition: i32) -> Value {
    let path = place.dir(&format!("files/.almanac/{partition}/status.json"));
    fs::read(path).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

#[test]
fn lag_without_progress_is_reported() {
    let place = Place::new();
    place.produce(&["--days", "10"]);
    let client = open_transaction(&place);

    let mut running = place.almanac(&consumer(&["--stall-after", "3s"])).start();
    // Nobody can read what may yet be taken back.
    let stalled = |lag: i64| status(&place, 2)["state"] == "stalled" && status(&place, 2)["lag"] == lag;
    eventually("the status says so", || stalled(1));
    let said = running.stderr();
    assert!(said.contains("partition 2 has stalled at offset") && said.contains(", lag 1: no"), "{said}");
    assert!(status(&place, 2)["stalled_since"].is_string());
    assert_eq!(status(&place, 1)["state"], "running");
    let shown = place.almanac(&["status"]).succeeds().stdout;
    assert!(shown.lines().nth(3).unwrap().contains("  stalled "), "{shown}");
    assert_eq!(shown.matches("  running ").count(), 3, "{shown}");

    client.commit_transaction(TIMEOUT).unwrap();
    running.stderr_line_with("partition 2 goes on, at offset");
    eventually("the status says so", || status(&place, 2)["state"] == "running");
    place.caught_up(kafka(), "files");
    let ended = running.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let shown = place.almanac(&["status"]).succeeds().stdout;
    assert_eq!(shown.matches("  stopped ").count(), 4, "{shown}");
}

#[test]
fn a_batch_damaged_on_the_brokers_disk_stalls_and_is_counted_when_repaired() {
    let kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "1", "--start", "1990-03-01", "--duplicates", "0"]);
    send_batches(&place, date(1991, 1, 1), 20, 1.0);
    kafka.damage(&place.topic, 2, b"1991-01-11");

    let mut running = place.almanac(&consumer(&["--stall-after", "3s"])).start();
    running.stderr_line_with("partition 2: can't read the batch at offset 9: its checksum does not match");
    running.stderr_line_with("hint: restore it from another replica, or stop the consumer and leave out");
    running.stderr_line_with("partition 2 has stalled at offset");
    eventually("the status says so", || status(&place, 2)["state"] == "stalled");
    assert!(place.checkpoints("files")[2].offset <= 10);

    kafka.damage(&place.topic, 2, b"1991-01-11");
    running.stderr_line_with("partition 2 goes on, at offset");
    place.caught_up(&kafka, "files");
    assert_eq!(running.terminate().code, Some(0), "{}", running.stderr());
    place.almanac(&["verify"]).succeeds();

    // If the batch stays damaged, the hint's command leaves it out.
    kafka.damage(&place.topic, 2, b"1991-01-11");
    let mut running = place.almanac_in("left_out", &ALL).start();
    running.stderr_line_with(
        "hint: restore it from another replica, or stop the consumer and leave out offsets 9 to 9",
    );
    assert_eq!(running.terminate().code, Some(0), "{}", running.stderr());
    let said = place.almanac_in("left_out", &["recover", "2", "--continue"]).succeeds().stdout;
    assert!(said.contains("partition 2: offsets 9 to 9 are left out; noted in log.json"), "{said}");
    let mut running = place.almanac_in("left_out", &ALL).start();
    place.caught_up(&kafka, "left_out");
    assert_eq!(running.terminate().code, Some(0), "{}", running.stderr());
    assert_eq!(place.checkpoints("left_out")[2].statistics.days(), 19);
}

#[test]
fn a_consumer_that_says_nothing_any_more_is_shown_as_silent() {
    let place = Place::new();
    place.produce(&["--days", "10"]);
    let running = place.almanac(&ALL).start();
    place.caught_up(kafka(), "files");
    eventually("it has said something", || status(&place, 3)["state"] == "running");
    running.signal(Signal::STOP);
    eventually("that is noticed", || {
        place.almanac(&["status"]).succeeds().stdout.matches("  silent ").count() == 4
    });
}

#[test]
fn a_paused_kafka_loses_and_repeats_nothing() {
    let kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    let mut producer =
        place.almanac(&["producer", "--interval", "2ms", "--days", "1500", "--duplicates", "0"]).start();
    let mut running = place.almanac(&ALL).start();
    let away = |running: &Running| running.stderr().matches("does not answer").count();
    eventually("records are counted", || place.days("files") >= 300);
    kafka.signal(Signal::STOP);
    eventually("the consumer says that Kafka is away", || away(&running) == 1);
    kafka.signal(Signal::CONT);
    let produced = producer.ended();
    assert_eq!(produced.code, Some(0), "{}", produced.stderr);
    place.caught_up(&kafka, "files");
    assert_eq!(running.terminate().code, Some(0), "{}", running.stderr());
    let mut dates = kafka.dates(&place.topic);
    assert_eq!(dates.len(), 1500);
    dates.dedup();
    assert_eq!(dates.len(), 1500);
    place.almanac(&["verify"]).succeeds();
    assert_eq!(place.days("files"), 1500);
}

#[test]
fn a_consumer_of_another_topic_disturbs_no_owner() {
    let (place, other) = (Place::new(), Place::new());
    place.produce(&["--days", "100"]);
    other.produce(&["--days", "100"]);
    let dir = place.dir("files");
    let mut owner = place.almanac(&["consumer", "0"]).start();
    eventually("the owner has written", || dir.join(".almanac/0/log.json").exists());
    // As a member of the group, of the same partition and told to take it, and of one that nobody has.
    for command in [&["consumer"][..], &["consumer", "0", "--take-over"], &["consumer", "1"]] {
        let ended = other.almanac(command).env("ALMANAC_DIR", &dir).fails(5);
        assert!(
            ended.stderr.contains(&place.topic) && ended.stderr.contains(&other.topic),
            "{}",
            ended.stderr
        );
        assert!(owner.is_running(), "{}", owner.stderr());
    }
    assert!(dir.join(".almanac/0/1").exists(), "no epoch was made");
    assert!(!dir.join(".almanac/1").exists() && !dir.join("partition-1.json").exists());
    assert_eq!(owner.terminate().code, Some(0), "{}", owner.stderr());

    // A former version may have left these files. Every command that reads them reports them.
    counted(&other, kafka(), &ALL);
    fs::create_dir_all(dir.join(".almanac/1")).unwrap();
    for file in ["partition-1.json", ".almanac/1/log.json"] {
        fs::copy(other.dir("files").join(file), dir.join(file)).unwrap();
    }
    for command in ["status", "plot", "verify"] {
        let said = place.almanac(&[command]).run().stderr;
        assert!(said.contains("holds checkpoints of several topics"), "{command}: {said}");
    }
}
