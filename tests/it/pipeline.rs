//! From the producer to the files, through the real Kafka.

use std::time::Duration;

use jiff::civil::{Date, date};
use rustix::process::Signal;

use crate::support::{Place, eventually, eventually_within, kafka};

/// A hundred years in which counting one repeat would show.
const SEED_RUN: &[&str] =
    &["--seed", "1", "--days", "36525", "--duplicates", "0.05", "--duplicate-degrees", "1000000"];

#[test]
fn a_hundred_years_are_counted_exactly_once() {
    let place = Place::new();
    place.produce(SEED_RUN);
    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    place.caught_up(kafka(), "files");
    assert_eq!(consumer.terminate().code, Some(0));
    assert_eq!(consumer.stderr(), "", "a healthy command says nothing");

    assert_eq!(place.days("files"), 36_525);
    assert!(kafka().records(&place.topic) > 36_525, "there were repeats");
    let mut months = Vec::new();
    for checkpoint in place.checkpoints("files") {
        for (month, year, cell) in checkpoint.statistics.cells() {
            assert_eq!(cell.missing_days().next(), None, "{month} {year}");
            assert!(cell.max() < 60.0, "{month} {year}: {}", cell.max());
            let day = |day: u32| Date::new(year.cast_signed(), month as i8 + 1, day as i8).unwrap();
            months.push((day(cell.first_day()), day(cell.last_day())));
        }
    }
    months.sort_unstable();
    assert_eq!(months.len(), 1200);
    assert_eq!(months[0].0, date(1990, 1, 1));
    assert_eq!(months[1199].1, date(2089, 12, 31));
    assert!(months.windows(2).all(|pair| pair[0].1.tomorrow().unwrap() == pair[1].0), "no day is missing");

    // Any processes that read them write the same bytes.
    let mut even = place.almanac_in("two", &["consumer", "0", "2"]).start();
    let mut odd = place.almanac_in("two", &["consumer", "1", "3"]).start();
    place.caught_up(kafka(), "two");
    assert_eq!((even.terminate().code, odd.terminate().code), (Some(0), Some(0)));
    place.assert_same_files("files", "two");
}

#[test]
fn members_that_come_and_go_count_what_one_consumer_counts() {
    let place = Place::new();
    let group = &["consumer", "--group", &place.topic, "--handover-timeout", "1s"];
    let member = || place.almanac_in("group", group).start();
    let mut producer = place
        .almanac(&["producer", "--interval", "1ms", "--days", "3000", "--duplicate-degrees", "1000000"])
        .start();
    let (mut stopped, killed, mut kept) = (member(), member(), member());
    let passed = |records| {
        eventually("the group goes on", || place.passed("group") >= records);
    };
    passed(300);
    assert_eq!(stopped.terminate().code, Some(0), "{}", stopped.stderr());
    passed(900);
    killed.signal(Signal::KILL);
    let mut added = member();
    assert_eq!(producer.ended().code, Some(0), "{}", producer.stderr());
    place.caught_up(kafka(), "group");
    assert_eq!(kept.terminate().code, Some(0), "{}", kept.stderr());
    assert_eq!(added.terminate().code, Some(0), "{}", added.stderr());
    assert_eq!(place.days("group"), 3000);
    place.replay(kafka(), "alone");
    place.assert_same_files("alone", "group");
}

#[test]
fn days_that_come_one_by_one_are_counted_at_once() {
    let place = Place::new();
    place.produce(&["--days", "1"]);
    let mut consumer = place.almanac(&["consumer", "0", "1", "2", "3"]).start();
    place.caught_up(kafka(), "files");
    for days in 2..=8 {
        place.produce(&["--append", "--days", "1", "--duplicates", "0"]);
        // Less than a checkpoint may ever be put off, and more than a busy disk makes of "at once".
        eventually_within(Duration::from_secs(15), "the day is counted", || place.days("files") == days);
    }
    assert_eq!(consumer.terminate().code, Some(0));
}
