//! Members of a group that stop answering, and come back.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, TopicPartitionList};
use rustix::process::Signal;

use crate::support::{Place, eventually, kafka};

#[test]
fn a_member_that_wakes_up_after_its_partitions_went_to_another_changes_nothing() {
    let place = Place::new();
    place.produce(&["--days", "1000"]);
    let group = ["consumer", "--group", &place.topic, "--handover-timeout", "1s"];
    let member = || place.almanac(&group).start();
    let (mut paused, mut other) = (member(), member());
    eventually("both have partitions", || {
        place.owned_by(&paused, "files") > 0 && place.owned_by(&other, "files") > 0
    });
    place.caught_up(kafka(), "files");

    paused.signal(Signal::STOP);
    place.produce(&["--append", "--days", "1000", "--duplicate-degrees", "1000000"]);
    // Ten seconds after the last it said, the group gives it up; its locks are still held.
    eventually("the other has all partitions", || place.owned_by(&other, "files") == 4);
    place.caught_up(kafka(), "files");
    let taken_over = place.files("files");

    paused.signal(Signal::CONT);
    // It has noticed: it was assigned partitions again, or has ended.
    eventually("the paused member answers", || place.owned_by(&paused, "files") > 0 || !paused.is_running());
    assert_eq!(place.files("files"), taken_over, "nothing late has been written");
    place.produce(&["--append", "--days", "1000"]);
    place.caught_up(kafka(), "files");
    assert_eq!(other.terminate().code, Some(0), "{}", other.stderr());
    if paused.is_running() {
        // Alone now.
        place.produce(&["--append", "--days", "100"]);
        place.caught_up(kafka(), "files");
        paused.terminate();
    } else {
        assert_ne!(paused.ended().code, Some(0));
    }
    place.replay(kafka(), "alone");
    place.assert_same_files("alone", "files");
}

#[test]
fn rebalances_at_the_end_of_the_log_leave_no_record_out() {
    let place = Place::new();
    let group = ["consumer", "--group", &place.topic, "--handover-timeout", "1s"];
    let member = || place.almanac(&group).start();
    // So slow that members are at the end most of the time, so fast that each rebalance sees new records.
    let mut producer =
        place.almanac(&["producer", "--interval", "2ms", "--days", "10000", "--duplicates", "0"]).start();
    let mut constant = member();
    let mut rebalances = 0;
    while producer.is_running() {
        let mut guest = member();
        eventually("the guest has partitions", || place.owned_by(&guest, "files") > 0);
        assert_eq!(guest.terminate().code, Some(0), "{}", guest.stderr());
        rebalances += 1;
    }
    assert!(rebalances > 1);
    assert_eq!(producer.ended().code, Some(0), "{}", producer.stderr());
    place.caught_up(kafka(), "files");
    assert_eq!(place.days("files"), 10_000);
    assert_eq!(constant.terminate().code, Some(0));
    let said = constant.stderr();
    assert!(said.lines().all(|line| line.contains("is not there yet")), "{said}");
}

#[test]
fn only_durable_offsets_are_published_to_the_group() {
    let place = Place::new();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &place.brokers).set("group.id", &place.topic);
    let asker: BaseConsumer = config.create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(&place.topic, 0, 3);
    // As Kafka's lag tools request it: -1 for a partition whose offset was not published to the group.
    let published = || -> Vec<i64> {
        let mut offsets = None;
        eventually("the group has a coordinator", || {
            offsets = asker.committed_offsets(asked.clone(), Duration::from_secs(10)).ok();
            offsets.is_some()
        });
        offsets.unwrap().elements().iter().map(|element| element.offset().to_raw().unwrap().max(0)).collect()
    };
    let durable = || place.checkpoints("files").iter().map(|found| found.offset).collect::<Vec<_>>();

    let mut producer = place.almanac(&["producer", "--interval", "1ms"]).start();
    // By number or by the group, with checkpoints as often as possible or seldom: the group's name is the same.
    for arguments in [&["0", "1", "2", "3"][..], &["--checkpoint-every", "500ms"]] {
        let mut running =
            place.almanac(&[&["consumer", "--group", &place.topic], arguments].concat()).start();
        let before: i64 = published().iter().sum();
        eventually("the group has newer offsets", || {
            let published = published();
            let durable = durable();
            let is_ahead = published.iter().zip(&durable).any(|(published, durable)| published > durable);
            assert!(!is_ahead, "{published:?} is published, {durable:?} is durable");
            published.iter().sum::<i64>() > before + 300
        });
        assert_eq!(running.terminate().code, Some(0), "{}", running.stderr());
        assert_eq!(published(), durable(), "at the end they are the same");
    }
    assert_eq!(producer.terminate().code, Some(0));
}

#[test]
fn a_member_leaves_a_partition_that_was_taken_over_until_it_is_free() {
    let place = Place::new();
    place.produce(&["--days", "200", "--duplicates", "0"]);
    let mut member = place.almanac(&["consumer", "--group", &place.topic, "--handover-timeout", "0"]).start();
    eventually("it has all partitions", || place.owned_by(&member, "files") == 4);
    place.caught_up(kafka(), "files");
    let mut taker = place.almanac(&["consumer", "2", "--take-over"]).start();
    member.stderr_line_with("partition 2 was taken over by");
    let taken = std::time::Instant::now();
    eventually("the member has had time enough to take it back", || {
        assert!(taker.is_running(), "{}", taker.stderr());
        taken.elapsed().as_secs() >= 7
    });
    assert_eq!((place.owned_by(&member, "files"), place.owned_by(&taker, "files")), (3, 1));
    place.produce(&["--append", "--days", "200", "--duplicates", "0"]);
    place.caught_up(kafka(), "files");
    assert_eq!(taker.terminate().code, Some(0), "{}", taker.stderr());
    eventually("the member has it again", || place.owned_by(&member, "files") == 4);
    place.produce(&["--append", "--days", "200", "--duplicates", "0"]);
    place.caught_up(kafka(), "files");
    assert_eq!(member.terminate().code, Some(0), "{}", member.stderr());
    place.almanac(&["verify"]).succeeds();
}
