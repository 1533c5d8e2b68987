//! From the producer to the files, through the real Kafka.

use crate::support::{Place, kafka};

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

    let checkpoints = place.checkpoints("files");
    let days: u64 = checkpoints.iter().map(|checkpoint| checkpoint.statistics.days()).sum();
    assert_eq!(days, 36_525);
    assert!(kafka().records(&place.topic) > 36_525, "there were repeats");
    for (month, year, cell) in checkpoints.iter().flat_map(|checkpoint| checkpoint.statistics.cells()) {
        assert!((1990..=2089).contains(&year));
        assert_eq!(cell.missing_days().next(), None, "{month} {year}");
        assert!(cell.max() < 60.0, "{month} {year}: {}", cell.max());
    }
}
