//! How soon an object store shows what was acknowledged, how fast a log is reprocessed into it, and how soon the partitions of
//! a lost host are counted elsewhere. `TEST_BINARY` names a release build.
//!
//! `CAMPAIGN_SIZE` is the number of lost hosts; the other parts grow with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::kills::{Feed, Sender};
use crate::objects::{Objects, on_host, store, with_store};
use crate::support::{Campaign, Place, Random, Running, eventually, kafka};

/// The offset that a file begins with: the whole of it would take longer than what is measured.
fn offset_in(path: &Path) -> i64 {
    let read = || -> Option<i64> {
        let mut start = String::new();
        File::open(path).ok()?.take(64).read_to_string(&mut start).ok()?;
        start.split("\"offset\":").nth(1)?.split([',', '}']).next()?.parse().ok()
    };
    read().unwrap_or(0)
}

fn offset(store: &Objects, prefix: &str, partition: usize) -> i64 {
    offset_in(&store.file(prefix, &format!("partition-{partition}.json")))
}

/// The 99th of a hundred, and the largest.
fn p99(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() * 99 / 100], times[times.len() - 1])
}

/// From the acknowledgement of a record to the head that counts it.
fn visible_after(store: &Objects, records: usize, every: &str) -> Vec<Duration> {
    let (place, prefix) = (Place::new(), store.prefix());
    store.skip_check(&prefix);
    place.produce(&["--days", "400"]);
    let consumer = place.almanac(&["consumer", "--checkpoint-every", every]);
    let mut consumer = with_store(consumer, &store.address, &prefix).start();
    let end = kafka().records(&place.topic);
    let passed = || (0..4).map(|partition| offset(store, &prefix, partition)).sum::<i64>();
    eventually("it has counted what is there", || passed() == end);
    let sender = Sender::new(&place, &[("partitioner", "murmur2_random"), ("linger.ms", "0")]);
    let mut feed = Feed::new(Random(1));
    let (mut waiting, mut times) = (BTreeMap::new(), Vec::new());
    let mut sent = 0;
    while times.len() < records {
        if sent < records {
            sender.send(&feed.next());
            let now = Instant::now();
            waiting.extend(sender.flush().into_keys().map(|key| (key, now)));
            sent += 1;
        }
        let until = Instant::now() + Duration::from_millis(20);
        while Instant::now() < until {
            let offsets = [0, 1, 2, 3].map(|partition| offset(store, &prefix, partition));
            let now = Instant::now();
            waiting.retain(|(partition, at), acknowledged| {
                let is_counted = offsets[*partition] > *at;
                times.extend(is_counted.then(|| now - *acknowledged));
                !is_counted
            });
            thread::sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(consumer.terminate().code, Some(0), "{}", consumer.stderr());
    times
}

/// The time that one process takes to count all of a log.
fn reprocess(place: &Place, start: impl FnOnce() -> Running, passed: impl Fn() -> i64) -> Duration {
    let end = kafka().records(&place.topic);
    let began = Instant::now();
    let mut running = start();
    eventually("all is counted", || passed() == end);
    let took = began.elapsed();
    assert_eq!(running.terminate().code, Some(0), "{}", running.stderr());
    took
}

/// A host is lost, and comes back, so many times: how long until others count each of its partitions.
fn lose_hosts(store: &Objects, losses: usize, session: u64, mut random: Random) -> Vec<Duration> {
    let (place, prefix) = (Place::new(), store.prefix());
    store.skip_check(&prefix);
    place.produce(&["--days", "400"]);
    let session = format!("session.timeout.ms={session}");
    let start = |host: usize| {
        let name = format!("host-{host}");
        let arguments = ["consumer", "--checkpoint-every", "200ms", "-X", &session];
        with_store(place.almanac_under(&on_host(&name), &arguments), &store.address, &prefix).start()
    };
    let mut hosts: Vec<Running> = (0..3).map(start).collect();
    let owner = |partition| store.head(&prefix, partition)["almanac"]["owner"]["pid"].as_u64();
    let sender = Sender::new(&place, &[("partitioner", "murmur2_random")]);
    let mut feed = Feed::new(Random(random.next()));
    let mut send = || {
        (0..20).for_each(|_| sender.send(&feed.next()));
        sender.flush();
    };
    let mut times = Vec::new();
    for _ in 0..losses {
        eventually("each host has a partition", || {
            hosts.iter().all(|host| (0..4).any(|partition| owner(partition) == Some(u64::from(host.pid()))))
        });
        send();
        thread::sleep(Duration::from_millis(random.below(3000)));
        let lost = usize::try_from(random.below(3)).unwrap();
        let pid = u64::from(hosts[lost].pid());
        let its: Vec<usize> = (0..4).filter(|partition| owner(*partition) == Some(pid)).collect();
        hosts[lost].kill_9();
        let began = Instant::now();
        send();
        let ends = kafka().high_watermarks(&place.topic);
        eventually("its partitions are counted", || {
            its.iter().all(|&partition| {
                let head = store.head(&prefix, partition);
                head["offset"] == ends[partition] && head["almanac"]["owner"]["pid"] != pid
            })
        });
        times.push(began.elapsed());
        hosts[lost] = start(lost);
    }
    for host in &mut hosts {
        assert_eq!(host.terminate().code, Some(0), "{}", host.stderr());
    }
    with_store(place.almanac(&["verify"]), &store.address, &prefix).run();
    times
}

#[test]
fn campaign() {
    let Some(store) = store() else { return };
    let campaign = Campaign::new("store-speed", 1);
    let size = campaign.size;

    let (late, latest) = p99(visible_after(store, 40 * size.min(50), "1s"));
    let seconds = |time: Duration| time.as_secs_f64();

    let place = Place::new();
    // 155 years, each day many times: ten million records at the full size.
    let repeats = (3.5 * size.min(50) as f64).to_string();
    place.produce(&["--days", "56602", "--duplicates", &repeats]);
    let records = kafka().records(&place.topic);
    let mut rates: [Vec<f64>; 2] = Default::default();
    for round in 0..size.clamp(1, 3) {
        let dir = format!("files-{round}");
        let arguments = ["consumer", "0", "1", "2", "3"];
        let passed = |partition| offset_in(&place.dir(&dir).join(format!("partition-{partition}.json")));
        let start = || place.almanac_in(&dir, &arguments).start();
        let into_dir = reprocess(&place, start, || (0..4).map(passed).sum());
        let prefix = store.prefix();
        store.skip_check(&prefix);
        let into_store = reprocess(
            &place,
            || with_store(place.almanac(&arguments), &store.address, &prefix).start(),
            || (0..4).map(|partition| offset(store, &prefix, partition)).sum(),
        );
        rates[0].push(records as f64 / seconds(into_dir));
        rates[1].push(records as f64 / seconds(into_store));
    }
    let shown = |rates: &[f64]| -> Vec<String> { rates.iter().map(|rate| format!("{rate:.0}")).collect() };

    let session = if size < 10 { 6000 } else { 10_000 };
    let (elsewhere, last) = p99(lose_hosts(store, size, session, campaign.random()));
    campaign.say(&format!(
        "acknowledged to visible with a checkpoint a second: p99 {:.2} s, at most {:.2} s; {records} records into a directory at \
         {:?} and into the store at {:?} a second; {size} hosts lost, their partitions counted elsewhere in p99 {:.1} s, at most \
         {:.1} s, with a session timeout of {session} ms",
        seconds(late),
        seconds(latest),
        shown(&rates[0]),
        shown(&rates[1]),
        seconds(elsewhere),
        seconds(last),
    ));
}
