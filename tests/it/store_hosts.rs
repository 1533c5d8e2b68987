//! Hosts with nothing in common but Kafka and the URL of an object store share the partitions of a topic; some are lost, and
//! come back. `CAMPAIGN_SIZE` is the number of hosts.

use std::collections::BTreeMap;

use crate::objects::{Objects, on_host, store, with_store};
use crate::support::{Campaign, Place, Running, eventually, kafka};

struct Hosts<'a> {
    place: &'a Place,
    store: &'a Objects,
    prefix: &'a str,
    partitions: usize,
}

impl Hosts<'_> {
    fn start(&self, number: usize) -> Running {
        let arguments = ["consumer", "--checkpoint-every", "500ms"];
        let almanac = self.place.almanac_under(&on_host(&format!("host-{number}")), &arguments);
        with_store(almanac, &self.store.address, self.prefix).start()
    }

    /// How many partitions each process owns, and the sum of the offsets.
    fn state(&self) -> (BTreeMap<u64, usize>, i64) {
        let (mut owned, mut counted) = (BTreeMap::new(), 0);
        for partition in 0..self.partitions {
            let head = self.store.head(self.prefix, partition);
            counted += head["offset"].as_i64().unwrap_or(0);
            if let Some(pid) = head["almanac"]["owner"]["pid"].as_u64() {
                *owned.entry(pid).or_default() += 1;
            }
        }
        (owned, counted)
    }

    /// Waits until these processes, and no others, own all partitions, each its share, and have counted all records.
    fn await_shared_by(&self, hosts: &[Running]) {
        let records = kafka().records(&self.place.topic);
        let pids: Vec<u64> = hosts.iter().map(|host| u64::from(host.pid())).collect();
        let share = self.partitions / hosts.len();
        eventually("the hosts share all partitions, and have counted all", || {
            let (owned, counted) = self.state();
            let has_share = |pid| owned.get(pid).is_some_and(|number| (share..=share + 1).contains(number));
            counted == records && owned.len() == pids.len() && pids.iter().all(has_share)
        });
    }
}

#[test]
fn campaign() {
    let Some(store) = store() else { return };
    let campaign = Campaign::new("store-hosts", 3);
    let (place, prefix) = (Place::new(), store.prefix());
    let number = campaign.size.max(2);
    // 4 partitions for 3 hosts, 48 for 12.
    let partitions = if number < 4 { 4 } else { 4 * number };
    place.produce(&["--days", "20000", "--partitions", &partitions.to_string()]);
    let hosts = Hosts { place: &place, store, prefix: &prefix, partitions };
    let mut running: Vec<Running> = (0..number).map(|number| hosts.start(number)).collect();
    hosts.await_shared_by(&running);
    let lost = number.div_ceil(3);
    for mut host in running.drain(..lost) {
        host.kill_9();
    }
    let append = || place.almanac(&["producer", "--append", "--interval", "0", "--days", "2000"]).succeeds();
    append();
    hosts.await_shared_by(&running);
    running.extend((0..lost).map(|number| hosts.start(number)));
    append();
    hosts.await_shared_by(&running);
    for host in &mut running {
        assert_eq!(host.terminate().code, Some(0), "{}", host.stderr());
    }
    let verified = with_store(place.almanac(&["verify"]), &store.address, &prefix).succeeds().stdout;
    assert_eq!(verified.matches(", the same").count(), partitions, "{verified}");
    campaign.say(&format!(
        "{number} hosts shared {partitions} partitions; {lost} were lost and came back; each partition verified"
    ));
}
