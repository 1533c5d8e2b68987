//! Batches that have fewer records than offsets, as compaction leaves them, with deltas that can't all be right.
//!
//! No broker takes such a batch from a client, so they are appended to the log's file while it is down.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;

use serde_json::Value;

use crate::raw_produce::RawBatch;
use crate::second_fold::encoded;
use crate::support::{Kafka, Place};

const FIRST_OFFSET: i64 = 10;
const OFFSETS: i32 = 10;

/// Whether each record has an offset of its own, that is, one that rises within the batch. It follows the protocol,
/// not almanac's code.
fn believed(deltas: &[i64]) -> Vec<bool> {
    let mut last = -1;
    let mut is_believed = |delta: i64| {
        let rises = delta > last && delta < i64::from(OFFSETS);
        last = if rises { delta } else { last };
        rises
    };
    deltas.iter().map(|delta| is_believed(*delta)).collect()
}

/// Counts a log that ends with one such batch for each of these lists. Says which of its days were counted, how many were
/// rejected for which offsets, and what was printed.
fn counted(batches: &[&[i64]]) -> (Vec<Vec<bool>>, Vec<Value>, String) {
    let mut kafka = Kafka::start(&[]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "10", "--duplicates", "0", "--partitions", "1"]);
    kafka.stop();
    let segment = kafka.log_dir(&place.topic, 0).join("00000000000000000000.log");
    let mut segment = fs::OpenOptions::new().append(true).open(segment).unwrap();
    for (number, deltas) in (0_i64..).zip(batches) {
        let day = |index: usize| Some(encoded(&format!("20{:02}-01-{:02}", number + 20, index + 1), 1.0));
        let mut batch = RawBatch::of((0..deltas.len()).map(day).collect()).with_deltas(deltas);
        batch.last_delta = OFFSETS - 1;
        let mut bytes = batch.encode();
        // Base offset and leader epoch, which the checksum does not cover: what a broker fills in.
        bytes[..8].copy_from_slice(&(FIRST_OFFSET + number * i64::from(OFFSETS)).to_be_bytes());
        bytes[12..16].copy_from_slice(&0_i32.to_be_bytes());
        segment.write_all(&bytes).unwrap();
    }
    kafka.start_again();
    let end = FIRST_OFFSET + batches.len() as i64 * i64::from(OFFSETS);
    assert_eq!(kafka.high_watermarks(&place.topic), [end], "Kafka has taken them for its own");
    let mut consumer = place.almanac(&["consumer", "0"]).start();
    place.caught_up(&kafka, "files");
    let ended = consumer.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let verified = place.almanac(&["verify"]).run();
    let said = format!("{}\n{}{}", ended.stderr, verified.stdout, verified.stderr);
    let lines = fs::read_to_string(place.dir("files/partition-0.rejected.jsonl")).unwrap();
    // Not 0: what the missing records made can't be checked.
    assert_eq!(verified.code, Some(5), "{said}{lines}");
    let rejected: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let values: BTreeSet<&str> = rejected.iter().map(|line| line["value"].as_str().unwrap()).collect();
    let is_counted = |number: usize, index: usize| {
        use base64::Engine;
        let value = encoded(&format!("20{:02}-01-{:02}", number + 20, index + 1), 1.0);
        !values.contains(&base64::engine::general_purpose::STANDARD.encode(value)[..])
    };
    let of_batch = |(number, deltas): (usize, &&[i64])| {
        (0..deltas.len()).map(|index| is_counted(number, index)).collect::<Vec<bool>>()
    };
    let found: Vec<Vec<bool>> = batches.iter().enumerate().map(of_batch).collect();
    let counted = found.iter().flatten().filter(|is_counted| **is_counted).count();
    assert_eq!(place.days("files"), 10 + counted as u64, "counted or kept aside, never neither: {said}");
    (found, rejected, said)
}

#[test]
fn a_compacted_batch_counts_rising_offsets_and_rejects_the_rest() {
    let batches: [&[i64]; 6] =
        [&[0, 3, 8], &[5, 5], &[8, -1], &[2, 1_000_000, i64::from(i32::MAX)], &[9, 10], &[3, 2, 4]];
    let (found, rejected, said) = counted(&batches);
    assert!(rejected.iter().all(|line| line["reason"] == "invalid_offset"), "{rejected:?}");
    let expected: Vec<Vec<bool>> = batches.iter().map(|deltas| believed(deltas)).collect();
    for (number, (deltas, expected)) in (0_i64..).zip(batches.iter().zip(&expected)) {
        let at = FIRST_OFFSET + number * i64::from(OFFSETS);
        let is_warned = said.contains(&format!("the batch at offset {at} carry wrong offsets"));
        let is_odd = expected.iter().any(|is_believed| !is_believed);
        assert_eq!(is_warned, is_odd, "{deltas:?} at {at}:\n{said}");
    }
    assert_eq!(found, expected, "of {batches:?}\n{rejected:#?}\n{said}");
}
