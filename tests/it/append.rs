//! The topic that the producer finds: kept or deleted, and what is missing in it.

use std::collections::BTreeSet;

use almanac::source::Synthetic;
use jiff::civil::{Date, date};

use crate::support::{Place, Raw, eventually, kafka};

const FIRST_DAY: Date = date(1990, 1, 1);

#[test]
fn ten_days_and_ten_days_are_twenty() {
    let place = Place::new();
    let days = ["producer", "--interval", "0", "--days", "10", "--duplicates", "0"];
    let append = [&days[..], &["--append"]].concat();
    let name = &place.topic;
    assert_eq!(
        place.almanac(&append).succeeds().stderr,
        "almanac: sent 10 days and 0 repeats, newest 1990-01-10\n"
    );
    assert_eq!(
        place.almanac(&append).succeeds().stderr,
        format!(
            "almanac: topic {name} has 10 days, newest 1990-01-10; sending what is missing\n\
             almanac: sent 10 days and 0 repeats, newest 1990-01-20\n"
        )
    );
    assert!(sorted(kafka().dates(name)).into_iter().eq(first_days(20)));
    assert_eq!(
        place.almanac(&days).succeeds().stderr,
        format!(
            "almanac: deleted topic {name}: 20 records, newest day 1990-01-20\n\
             almanac: sent 10 days and 0 repeats, newest 1990-01-10\n"
        )
    );
    assert!(sorted(kafka().dates(name)).into_iter().eq(first_days(10)));
}

#[test]
fn appending_after_kills_leaves_no_day_out() {
    let place = Place::new();
    // Until the year 9999, so that it is always killed in the middle.
    let append = ["producer", "--append", "--interval", "0"];
    for kill in 0..8 {
        let before = present(&place);
        let mut producer = place.almanac(&append).start();
        eventually("the producer sends", || present(&place) > before + kill * 500);
        producer.kill_9();
    }
    let left: BTreeSet<Date> = kafka().dates(&place.topic).into_iter().collect();
    let newest = *left.last().unwrap();
    let missing = first_days(usize::MAX).take_while(|day| *day <= newest).filter(|day| !left.contains(day));
    let days = missing.count() + 10;
    place.produce(&["--append", "--days", &days.to_string()]);
    let days: BTreeSet<Date> = kafka().dates(&place.topic).into_iter().collect();
    assert!(days.last() > Some(&newest), "it went on after the newest");
    let count = days.len();
    assert!(days.into_iter().eq(first_days(count)), "no day is left out");
}

#[test]
fn on_another_machine_nothing_is_deleted_unasked() {
    let place = Place::new();
    place.produce(&["--days", "3"]);
    // The same machine by a name that only the resolver knows to be so.
    let port = place.brokers.rsplit(':').next().unwrap();
    let remote = format!("127.1:{port}");
    let producer = ["producer", "--brokers", &remote, "--interval", "0", "--days", "1"];
    let refused = place.almanac(&producer).fails(2).stderr;
    assert!(refused.contains(&format!("topic {} is there already, on {remote}", place.topic)), "{refused}");
    assert!(refused.contains("hint: add --append to keep its records, or --recreate"), "{refused}");
    let present: BTreeSet<Date> = kafka().dates(&place.topic).into_iter().collect();
    assert!(present.into_iter().eq(first_days(3)), "nothing was deleted");
    place.almanac(&[&producer[..], &["--recreate"]].concat()).succeeds();
    let present: BTreeSet<Date> = kafka().dates(&place.topic).into_iter().collect();
    assert!(present.into_iter().eq(first_days(1)));
}

#[test]
fn a_day_far_from_all_others_does_not_fill_centuries() {
    let place = Place::new();
    place.produce(&["--days", "3", "--duplicates", "0"]);
    let day = |date: &str| [b"\x0a\x0a", date.as_bytes(), b"\x11", &1.5_f64.to_le_bytes()].concat();
    let send = |date: &str| place.send(&[Raw { partition: 0, key: None, value: Some(&day(date)) }]);
    let append = ["producer", "--append", "--interval", "0", "--duplicates", "0"];
    let (name, append_with) = (&place.topic, |more: &[&str]| place.almanac(&[&append[..], more].concat()));
    send("2999-12-31");
    for more in [&[][..], &["--days", "300000"]] {
        let ended = append_with(more).fails(2);
        assert_eq!(
            ended.stderr.lines().skip(1).collect::<Vec<_>>(),
            [
                &*format!(
                    "almanac: error: topic {name} has no days between 1990-01-03 and 2999-12-31, and 368,891 days of \
                     made-up weather would fill that gap"
                ),
                "hint: fill it with --gap-max 1010, or send less with --start DATE or --days N"
            ]
        );
    }
    let said = append_with(&["--days", "5"]).succeeds().stderr;
    assert!(
        said.contains("sending the first 5 of 368,891 missing days 1990-01-04 to 2999-12-30\n"),
        "{said}"
    );
    send("0001-01-01");
    let said = append_with(&[]).fails(2).stderr;
    assert!(said.contains("between 0001-01-01 and 1990-01-01, and 726,466 days"), "{said}");
    send("1990-01-11");
    let said = append_with(&["--start", "1989-12-31", "--days", "4"]).succeeds().stderr;
    assert!(said.contains("sending the first 4 of "), "{said}");
    let dates = sorted(kafka().dates(name));
    assert_eq!(dates.len(), 3 + 5 + 3 + 4);
    assert!(
        dates[1..13]
            .iter()
            .copied()
            .eq(Synthetic::new(0).reports(date(1989, 12, 31)).map(|it| it.date).take(12))
    );
}

/// Records of the topic so far; none where it is not there yet.
fn present(place: &Place) -> i64 {
    kafka().describe(&place.topic).map_or(0, |_| kafka().records(&place.topic))
}

fn first_days(count: usize) -> impl Iterator<Item = Date> {
    Synthetic::new(0).reports(FIRST_DAY).map(|report| report.date).take(count)
}

fn sorted(mut dates: Vec<Date>) -> Vec<Date> {
    dates.sort_unstable();
    dates
}
