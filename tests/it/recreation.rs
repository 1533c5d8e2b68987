//! A topic that is deleted and created again is another log, whoever reads it meanwhile.

use std::collections::HashSet;
use std::fs;

use std::time::{Duration, Instant};

use crate::support::{Campaign, Place, eventually, kafka};

const RECREATIONS: u32 = 10;

#[test]
fn a_topic_recreated_many_times_is_counted_from_its_start_each_time() {
    let place = Place::new();
    let debug = place.almanac(&["debug", "--group", &format!("{}-debug", place.topic)]).start();
    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    consumer.stderr_line_with("is not there yet; waiting for it");
    let mut former: Option<(String, Vec<String>)> = None;
    let mut ids = HashSet::new();
    for run in 0..RECREATIONS {
        let days = (20 + run).to_string();
        place.produce(&["--days", &days, "--seed", &run.to_string()]);
        let topic = kafka().describe(&place.topic).unwrap();
        assert_eq!(topic.partitions, 4);
        assert!(ids.insert(topic.id.clone()), "each topic has an id of its own");
        counted(&place, &topic.id);
        assert_eq!(place.days("files"), u64::from(20 + run));
        if let Some((id, files)) = former {
            assert_archived(&place, &id, &files);
        }
        former = Some((topic.id, place.files("files")));
    }
    place.replay(kafka(), "fresh");
    place.assert_same_files("fresh", "files");

    // Records sent from now on are shown, as soon as debug has found the new topic.
    eventually("debug shows new records", || {
        place.produce(&["--append", "--days", "1", "--duplicates", "0"]);
        let newest = kafka().dates(&place.topic).into_iter().max().unwrap().to_string();
        let look_until = Instant::now() + Duration::from_secs(5);
        while !debug.stdout().contains(&newest) && Instant::now() < look_until {
            std::thread::sleep(Duration::from_millis(10));
        }
        debug.stdout().contains(&newest)
    });
    place.caught_up(kafka(), "files");

    // Now while nobody reads.
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    let former = (kafka().describe(&place.topic).unwrap().id, place.files("files"));
    place.produce(&["--days", "40"]);
    let topic = kafka().describe(&place.topic).unwrap();
    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    counted(&place, &topic.id);
    assert_archived(&place, &former.0, &former.1);
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    place.replay(kafka(), "fresh again");
    place.assert_same_files("fresh again", "files");
}

/// Waits until all partitions count the topic of this id, to its end.
fn counted(place: &Place, id: &str) {
    let is_of_it = |partition: i32| {
        let log = fs::read_to_string(place.dir(&format!("files/.almanac/{partition}/log.json")));
        log.is_ok_and(|log| log.contains(&format!("\"topic_id\":\"{id}\"")))
    };
    eventually("the consumer finds the new topic", || (0..4).all(is_of_it));
    place.caught_up(kafka(), "files");
}

/// A checkpoint that had counted a record is kept as it was.
fn assert_archived(place: &Place, id: &str, files: &[String]) {
    for (partition, file) in files.iter().enumerate() {
        let archived = place.dir(&format!("files/archive/{id}/partition-{partition}.json"));
        match fs::read_to_string(&archived) {
            Ok(archived) => assert_eq!(archived, *file),
            Err(_) => assert!(!file.contains("count"), "{} is not there", archived.display()),
        }
    }
}

/// A topic that is created again at any moment of a consumer's start and work.
#[test]
fn campaign() {
    let campaign = Campaign::new("recreation", 6);
    let mut random = campaign.random();
    let place = Place::new();
    place.produce(&["--days", "50"]);
    let group = ["consumer", "--group", &place.topic];
    let mut archived = 0;
    for round in 0..campaign.size {
        let arguments = if round % 2 == 0 { &["consumer", "0", "1", "2", "3"][..] } else { &group };
        let mut consumer = place.almanac(arguments).start();
        let moment = Instant::now() + Duration::from_micros(random.below(600_000));
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        let days = 20 + random.below(300);
        place.produce(&["--days", &days.to_string(), "--seed", &round.to_string()]);
        counted(&place, &kafka().describe(&place.topic).unwrap().id);
        assert_eq!(place.days("files"), days);
        assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
        place.almanac(&["verify"]).succeeds();
        archived = fs::read_dir(place.dir("files/archive")).map_or(0, Iterator::count);
    }
    campaign
        .say(&format!("{} re-creations, {archived} had been counted before, all verified", campaign.size));
}
