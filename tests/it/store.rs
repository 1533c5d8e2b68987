//! DIR in an object store: the real binary, a real Kafka, versitygw, and a proxy that loses and delays requests.

mod fight;
mod hosts;

use std::time::Duration;

use serde_json::Value;

use self::fight::{Outcome, fight};
use super::dashboard::get;
use super::objects::*;
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
    // Also where it has nothing to write.
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
fn a_page_over_the_store_asks_for_changes_only() {
    let Some(case) = Case::new() else { return };
    case.place.produce(&["--days", "400"]);
    let mut consumer = case.consumer(&[]);
    case.caught_up();
    let proxy = StoreProxy::new(&case.store.address, |_| Fault::None);
    let case = case.behind(&proxy);
    let dashboard = case.almanac(&["dashboard", "--listen", "127.0.0.1:0"]).start();
    let line = dashboard.stderr_line_with("dashboard at http://");
    let address = line.split("http://").nth(1).unwrap().trim_end_matches('/').to_owned();
    eventually("all keep up", || get(&address, "/readyz").status == 200);
    let shown = || get(&address, "/partition-1.json").body;
    assert!(String::from_utf8(shown()).unwrap().starts_with("{\"partition\":1,"));
    assert_eq!(get(&address, "/month.svg").status, 200);
    let metrics = String::from_utf8(get(&address, "/metrics").body).unwrap();
    assert!(metrics.contains("almanac_"), "{metrics}");
    eventually("nothing is sent again", || proxy.not_modified() >= 16);
    let end = kafka().high_watermarks(&case.place.topic)[1] + 1;
    case.place.send(&[Raw { partition: 1, key: None, value: None }]);
    let begins = format!("{{\"partition\":1,\"offset\":{end},");
    eventually("the page shows a change", || shown().starts_with(begins.as_bytes()));
    assert_eq!(consumer.terminate().code, Some(0));
    proxy.cut(true);
    eventually("a store that is away is seen", || get(&address, "/readyz").status != 200);
    proxy.cut(false);
}

#[test]
fn recovery_archives_in_the_store() {
    let Some(case) = Case::new() else { return };
    case.place.produce(&["--days", "400"]);
    let mut consumer = case.consumer(&[]);
    case.caught_up();
    assert_eq!(consumer.terminate().code, Some(0));
    let [one, two] = [1, 2].map(|partition| case.head(partition).unwrap()["offset"].as_i64().unwrap());
    // As by retention: the rest is gone before it is counted.
    case.place.almanac(&["producer", "--append", "--interval", "0", "--days", "200"]).succeeds();
    kafka().delete_records(&case.place.topic, 1, one + 5);
    kafka().delete_records(&case.place.topic, 2, two + 5);
    let refused = case.almanac(&["consumer", "2"]).fails(5);
    assert!(refused.stderr.contains(&format!("offset {two}")), "{}", refused.stderr);
    let generation = case.generation(2);
    case.almanac(&["recover", "2", "--continue"]).succeeds();
    assert!(case.generation(2) > generation);
    let gaps = &case.head(2).unwrap()["almanac"]["log"]["gaps"];
    assert_eq!((&gaps[0]["from"], &gaps[0]["to"]), (&two.into(), &(two + 5).into()));
    case.almanac(&["recover", "1", "--restart"]).succeeds();
    let id = kafka().describe(&case.place.topic).unwrap().id;
    let archived = case.store.read(&case.prefix, &format!("archive/{id}/partition-1.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&archived).unwrap()["offset"], one);
    let mut consumer = case.consumer(&[]);
    case.caught_up();
    assert_eq!(consumer.terminate().code, Some(0));
    let verified = case.direct(&["verify", "0", "1", "3"]).run();
    assert_eq!(verified.stdout.matches(", the same").count(), 3, "{verified:?}");
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

#[test]
fn campaign() {
    // One of its own, as it is killed.
    let Some(store) = Objects::start_on_small_disk() else { return skip("there is no object store") };
    let campaign = Campaign::new("store", 16);
    let outcome = fight(&store, campaign.size, campaign.random(), false);
    let Outcome { kills, pauses, cuts: [of_store, of_kafka, of_both], restarts, violations, .. } = &outcome;
    assert_eq!(*violations, Vec::<String>::new());
    assert!(outcome.landed > campaign.size && outcome.topics > 1 && outcome.take_overs > 0);
    campaign.say(&format!(
        "{kills} kills and {pauses} pauses of members, {of_store} cut off from the store, {of_kafka} from Kafka, {of_both} from \
         both; {restarts} restarts of the store, which was busy, slow and full once each, with 14 % of the requests lost, late, \
         slow or refused; {} members taken over, {} topics; {} heads sent and {} landed, one chain for each partition, each the \
         fold of its log; {} heads in the archive, {} reads, none went back",
        outcome.take_overs, outcome.topics, outcome.heads, outcome.landed, outcome.archived, outcome.reads,
    ));
}

#[test]
fn the_campaign_can_fail() {
    let Some(store) = Objects::start_on_small_disk() else { return skip("there is no object store") };
    let outcome = fight(&store, 12, Random(1), true);
    assert!(
        !outcome.violations.is_empty(),
        "unconditional writes, and nobody noticed in {} heads",
        outcome.heads
    );
}
