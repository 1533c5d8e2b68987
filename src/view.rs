//! Reads the files of which the core makes the view of a partition.

use almanac_core::split::Split;
pub use almanac_core::view::*;

use crate::checkpoint::Checkpoint;
use crate::status::Durable;
use crate::store::{self, Reader, StoreError};

/// All that is said of DIR.
#[derive(Debug)]
pub struct All {
    /// Of every partition that has a checkpoint, in order.
    pub facts: Vec<Facts>,
    pub whole: Whole,
    /// The first error.
    pub failure: Option<StoreError>,
}

/// Reads every partition that has a checkpoint in DIR.
pub fn read_all(reader: &dyn Reader) -> Result<All, StoreError> {
    let (mut all, mut failure, mut counted) = (Vec::new(), None, Vec::new());
    for partition in reader.partitions()? {
        let Some(loaded) = reader.checkpoint(partition).transpose() else { continue };
        let (facts, error) = of_partition(reader, partition, loaded.as_ref());
        all.push(facts);
        match loaded {
            Ok(Checkpoint { statistics, .. }) => counted.push((partition, statistics)),
            Err(error) => failure = failure.or(Some(error)),
        }
        failure = failure.or(error);
    }
    let counted = counted.iter().map(|(partition, statistics)| (*partition, statistics));
    let whole = Whole { place: store::place_of(reader), split: Split::find(counted, |_| true) };
    Ok(All { facts: all, whole, failure })
}

/// The facts of a checkpoint that was loaded, or not, and of the partition's other files. An error of those is returned as
/// well.
pub fn of_partition(
    reader: &dyn Reader,
    partition: i32,
    loaded: Result<&Checkpoint, &StoreError>,
) -> (Facts, Option<StoreError>) {
    let (bytes, written) = reader.size_and_time(partition, loaded.is_ok());
    let unread = |error: &StoreError| Unread::new(error, bytes, written);
    let mut facts = Facts {
        partition,
        durable: loaded
            .map(|checkpoint| Durable::of(checkpoint, bytes.unwrap_or(0), written))
            .map_err(unread),
        status: None,
        first_reason: None,
    };
    let error = match reader.status(partition) {
        Ok(status) => {
            facts.status = status;
            None
        }
        Err(error) => {
            facts.durable = facts.durable.and(Err(unread(&error)));
            Some(error)
        }
    };
    if facts.all_rejected().is_some() {
        facts.first_reason = reader.first_reason(partition);
    }
    (facts, error)
}

#[cfg(test)]
pub mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::status::Status;

    pub const NOW: Timestamp = Timestamp::constant(1_000_000_000, 0);

    pub fn before(seconds: i64) -> Timestamp {
        NOW.checked_sub(SignedDuration::from_secs(seconds)).unwrap()
    }

    /// A partition at offset 10 whose consumer is well.
    pub fn facts(partition: i32) -> Facts {
        let mut status: Status = serde_json::from_str(
            r#"{"partition":0,"topic":"temperatures","state":"running","offset":10,"position":10,"high_watermark":10,
                "lag":0,"rate":10.4,"counted":9,"duplicates":0,"rejected":1,"days":9,"newest":null,"last_durable":null,
                "stalled_since":null,"checkpoint_seconds":0.0,"owner":{"pid":1,"host":"h","since":""},"written":""}"#,
        )
        .unwrap();
        (status.partition, status.written) = (partition, before(1).to_string());
        let durable = Durable { offset: 10, days: 9, newest: None, bytes: 4711, written: Some(before(1)) };
        Facts::in_memory(status, durable)
    }

    #[test]
    fn what_cannot_be_read_is_a_view_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("partition-2.json"), "{").unwrap();
        let All { facts, failure, .. } = read_all(&*crate::store::reader(dir.path()).unwrap()).unwrap();
        assert!(matches!(failure, Some(StoreError::Unreadable { .. })), "{failure:?}");
        let [facts] = &facts[..] else { panic!("{facts:?}") };
        let view = facts.view(NOW);
        assert_eq!((view.partition, view.state, view.bytes), (2, PartitionState::Unreadable, Some(1)));
        assert!(view.error.unwrap().contains("partition-2.json: "));
        assert!(view.hint.unwrap().starts_with("fix the file"));
    }
}
