//! A Kafka that is not there yet, or goes away: waited for, said once, and nothing lost or counted twice.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::Date;
use rustix::process::Signal;

use crate::dashboard::get;
use crate::support::{Kafka, Place, Running, eventually, eventually_within, free_address};

const CONSUMER: &[&str] = &["consumer", "0", "1", "2", "3"];

#[test]
fn a_consumer_waits_for_kafka_and_then_for_the_topic() {
    let address = free_address();
    let place = Place::at(&address);
    let mut consumer = place.almanac(CONSUMER).start();
    consumer.stderr_line_with(&format!("no Kafka at {address} yet; waiting for it"));
    let kafka = Kafka::start_at(&address, &[]);
    consumer.stderr_line_with(&format!("topic {} is not there yet; waiting for it", place.topic));
    assert_eq!(kafka.describe(&place.topic), None, "nobody has created it by accident");
    place.produce(&["--days", "100"]);
    place.caught_up(&kafka, "files");
    let ended = consumer.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 2, "each is said once:\n{}", ended.stderr);
}

#[test]
fn nothing_is_lost_or_repeated_while_kafka_goes_away_and_comes_back() {
    let mut kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    // Endless, so that there is always more to count.
    let mut producer = place.almanac(&["producer", "--interval", "5ms", "--duplicates", "0"]).start();
    // Lag that lasts as long as the broker takes to come back is not what this is about.
    let patient = ["--stall-after", "10m"];
    let mut consumer = place.almanac(&[CONSUMER, &patient].concat()).start();
    let mut member = place.almanac_in("group", &[&["consumer"], &patient[..]].concat()).start();
    for (round, kill) in [(1, false), (2, true)] {
        let goes_on = |what: &str| {
            let before = ["files", "group"].map(|dir| place.days(dir));
            eventually(what, || {
                ["files", "group"].iter().zip(before).all(|(dir, before)| place.days(dir) > before)
            });
        };
        goes_on("records are counted");
        if kill {
            kafka.kill_9();
        } else {
            kafka.stop();
        }
        // Of Kafka, or of a partition that is just being taken.
        let away = |consumer: &Running| consumer.stderr().matches(" does not answer ").count();
        eventually("the consumers say that Kafka is away", || {
            [&consumer, &member].into_iter().all(|consumer| away(consumer) >= round)
        });
        kafka.start_again();
        goes_on("both go on");
    }
    let produced = producer.terminate();
    assert_eq!(produced.code, Some(0), "{}", produced.stderr);
    let sent = produced.stderr.split("sent ").nth(1).and_then(|sent| sent.split(' ').next());
    let dates = kafka.dates(&place.topic);
    assert_eq!(sent, Some(dates.len().to_string().as_str()), "each day was sent once: {}", produced.stderr);
    assert_eq!(dates.iter().collect::<BTreeSet<&Date>>().len(), dates.len());
    place.caught_up(&kafka, "files");
    place.caught_up(&kafka, "group");
    let ended = consumer.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said = |words: &str| ended.stderr.matches(words).count();
    assert!(said("Kafka does not answer ") <= 2, "each is said once:\n{}", ended.stderr);
    assert_eq!(said("Kafka answers again"), said("Kafka does not answer "), "{}", ended.stderr);
    let ended = member.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Each once or so, and not at every attempt.
    assert!(ended.stderr.lines().count() <= 20, "{}", ended.stderr);
    place.replay(&kafka, "fresh");
    place.assert_same_files("fresh", "files");
    place.assert_same_files("fresh", "group");
}

#[test]
fn a_stop_while_kafka_is_away_takes_seconds_only() {
    let mut kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "100"]);
    let mut consumers = [place.almanac(CONSUMER).start(), place.almanac_in("group", &["consumer"]).start()];
    place.caught_up(&kafka, "files");
    place.caught_up(&kafka, "group");
    kafka.stop();
    for consumer in &mut consumers {
        consumer.stderr_line_with("does not answer");
        let asked = std::time::Instant::now();
        let ended = consumer.terminate();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(asked.elapsed().as_secs() < 20, "{:?}", asked.elapsed());
    }
}

#[test]
fn a_stop_checks_again_whether_the_last_batch_may_be_made_durable() {
    let kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "1000"]);
    let records = kafka.records(&place.topic);
    // Stopped while it has read everything, and nothing is durable, as Kafka says nothing any more.
    let stop = |dir: &str| {
        let consumer =
            place.almanac_in(dir, &[CONSUMER, &["-v", "--checkpoint-every", "1h"]].concat()).start();
        eventually("everything has been read", || place.read(dir) == records);
        assert_eq!(place.passed(dir), 0, "none was due");
        kafka.signal(Signal::STOP);
        consumer.signal(Signal::TERM);
        consumer.stderr_line_with("asking once more");
        consumer
    };
    let mut answered = stop("answered");
    kafka.signal(Signal::CONT);
    assert_eq!(answered.ended().code, Some(0), "{}", answered.stderr());
    assert_eq!(place.passed("answered"), records);

    let ended = stop("silent").ended();
    kafka.signal(Signal::CONT);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("is not durable; the next start reads it again"), "{}", ended.stderr);
    assert_eq!(place.passed("silent"), 0);
    let mut again = place.almanac_in("silent", CONSUMER).start();
    place.caught_up(&kafka, "silent");
    assert_eq!(again.terminate().code, Some(0), "{}", again.stderr());
    place.assert_same_files("answered", "silent");
}

/// Beside the two seconds in which it is to be said, what a busy machine may take.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn a_producer_says_that_kafka_is_away_and_counts_what_is_acknowledged() {
    let mut kafka = Kafka::start(&[]);
    // The last one sends nothing while Kafka is away.
    for interval in ["0", "5ms", "1h"] {
        let place = Place::on(&kafka);
        let mut producer = place.almanac(&["producer", "--interval", interval, "--duplicates", "0"]).start();
        let present = || kafka.describe(&place.topic).map_or(0, |_| kafka.records(&place.topic));
        eventually("days are sent", || present() > 0);
        let said = |words: &str| producer.stderr().matches(words).count();
        kafka.signal(Signal::STOP);
        eventually_within(TOLD_WITHIN, "it says that Kafka hangs", || {
            said("Kafka does not answer; waiting") == 1
        });
        kafka.signal(Signal::CONT);
        eventually("it says that it is back", || said("Kafka answers again") == 1);
        kafka.kill_9();
        let away = format!("Kafka does not answer; waiting for {} (", kafka.bootstrap);
        eventually_within(TOLD_WITHIN, "it says that Kafka is away", || said(&away) == 2);
        assert!(producer.stderr().contains("(Connection refused)"), "{}", producer.stderr());
        let asked = std::time::Instant::now();
        let ended = producer.terminate();
        assert!(asked.elapsed().as_secs() < 9, "{:?}", asked.elapsed());
        kafka.start_again();
        let days = kafka.dates(&place.topic).len();
        let sent = ended.stderr.split("sent ").nth(1).and_then(|sent| sent.split(' ').next());
        let sent: usize = sent.unwrap().parse().unwrap();
        // The producer can't know of days that arrived and were not acknowledged.
        assert!(sent > 0 && sent <= days, "{days} in the topic: {}", ended.stderr);
        match interval {
            "1h" => assert_eq!((ended.code, sent, days), (Some(0), 1, 1), "{}", ended.stderr),
            _ => {
                assert_eq!(ended.code, Some(4), "{}", ended.stderr);
                let lost = ended.stderr.split("error: stopped: ").nth(1).unwrap();
                let lost: usize =
                    lost.split(" days and 0 repeats were not acknowledged").next().unwrap().parse().unwrap();
                assert!(lost > 0 && sent + lost >= days, "{days} in the topic: {}", ended.stderr);
            }
        }
        assert_eq!(ended.stderr.matches("Kafka does not answer").count(), 2, "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("identical error").count(), 0, "{}", ended.stderr);
    }
}

/// Each view shows within seconds that a living consumer waits, and what for, and that it resumes.
#[test]
fn a_waiting_consumer_says_what_it_waits_for() {
    let within = Duration::from_secs(6);
    let mut kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "100"]);
    let mut consumer = place.almanac(&[CONSUMER, &["--metrics", "127.0.0.1:0"]].concat()).start();
    let dashboard = place.almanac(&["dashboard", "--listen", "127.0.0.1:0"]).start();
    let addresses = [&consumer, &dashboard].map(|process| {
        let line = process.stderr_line_with("http://");
        line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned()
    });
    let are_ready = || addresses.iter().all(|address| get(address, "/readyz").status == 200);
    let is_waited = || {
        addresses.iter().all(|address| {
            let ready = get(address, "/readyz");
            ready.status == 503 && ready.text().contains("Kafka does not answer")
        })
    };
    place.caught_up(&kafka, "files");
    eventually("both are ready", are_ready);
    for kill in [true, false] {
        if kill {
            kafka.kill_9();
        } else {
            kafka.signal(Signal::STOP);
        }
        eventually_within(within, "neither is ready, as Kafka is away", is_waited);
        let status = place.almanac(&["status"]).succeeds();
        assert_eq!(status.stdout.matches(" waiting ").count(), 4, "{}", status.stdout);
        assert!(status.stderr.contains("partition 0 waits: Kafka does not answer"), "{}", status.stderr);
        let json = place.almanac(&["status", "--format", "json"]).succeeds().stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        for partition in json["partitions"].as_array().unwrap() {
            assert_eq!(
                (&partition["state"], &partition["lag"]),
                (&"waiting".into(), &serde_json::Value::Null)
            );
        }
        let metrics = get(&addresses[1], "/metrics").text();
        assert!(!metrics.contains("almanac_partition_lag{"), "{metrics}");
        assert!(metrics.contains("state=\"waiting\"} 1"), "{metrics}");
        let api = get(&addresses[1], "/api/partitions").text();
        assert!(api.contains("\"cause\":\"Kafka does not answer"), "{api}");
        if kill {
            kafka.start_again();
        } else {
            kafka.signal(Signal::CONT);
        }
        eventually("both are ready again", are_ready);
    }
    consumer.kill_9();
    // Nobody knows by how much the log has grown since.
    eventually("it is known to be silent", || {
        let status = place.almanac(&["status", "--format", "json"]).succeeds().stdout;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let mut partitions = status["partitions"].as_array().unwrap().iter();
        partitions.all(|partition| partition["state"] == "silent" && partition["lag"].is_null())
    });
}
