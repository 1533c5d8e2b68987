//! Each partition of a topic on three brokers gets another leader, while all brokers live.

use crate::compose::Services;
use crate::placement::java;
use crate::support::eventually;

#[test]
fn a_former_leader_names_the_new_one_and_nothing_is_lost() {
    let mut all = Services::new();
    all.start_brokers();
    let place = &all.place;
    place
        .almanac(&["producer", "--recreate", "--replication", "3", "--interval", "0", "--days", "2000"])
        .succeeds();
    let mut consumer = place.almanac_in("files", &["consumer", "0", "1", "2", "3", "-vv"]).start();
    eventually("all is counted", || place.days("files") == 2000);
    let leaders = || -> Vec<i32> { all.partitions().iter().map(|partition| partition.leader).collect() };
    let before = leaders();
    java(&["move", &place.brokers, &place.topic]);
    eventually("each has another leader", || {
        leaders().iter().zip(&before).all(|(now, before)| now != before)
    });
    consumer.stderr_line_with("the former leader names another");
    place.almanac(&["producer", "--append", "--interval", "0", "--days", "500"]).succeeds();
    eventually("the new leaders' records are counted", || place.days("files") == 2500);
    let ended = consumer.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    place.almanac_in("files", &["verify"]).succeeds();
}
