//! Finds months that are in two files: those of this process, in memory, and those of others, as they are on the disk.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use almanac_core::split::Split;

use super::partition::Partition;
use crate::stats::Statistics;
use crate::store::{Loaded, Store, Version};

/// How soon the files are compared first. Each time without a finding, the next one is twice as far away.
const FIRST_AFTER: Duration = Duration::from_secs(1);
const AFTER_MAX: Duration = Duration::from_secs(30);

/// The files of other owners, as they were when they were compared last.
pub(super) struct SplitWatch {
    others: BTreeMap<i32, (Version, Statistics)>,
    compared: Instant,
    /// None: it was warned of.
    after: Option<Duration>,
}

impl SplitWatch {
    pub(super) fn new(now: Instant) -> Self {
        SplitWatch { others: BTreeMap::new(), compared: now, after: Some(FIRST_AFTER) }
    }

    /// Months that are in two files, one of which this process keeps; once. `is_last`: compares them in any case.
    pub(super) fn find(
        &mut self,
        store: &dyn Store,
        topic_id: &str,
        owned: &BTreeMap<i32, Partition>,
        is_last: bool,
    ) -> Option<Split> {
        let after = self.after.filter(|after| self.compared.elapsed() >= *after || is_last)?;
        if owned.is_empty() {
            return None;
        }
        self.after = Some((after * 2).min(AFTER_MAX));
        self.compared = Instant::now();
        self.load_others(store, topic_id, owned);
        let own = owned.iter().map(|(number, partition)| (*number, partition.statistics()));
        let others = self.others.iter().map(|(number, (_, statistics))| (*number, statistics));
        let split = Split::find(own.chain(others), |number| owned.contains_key(&number))?;
        (self.others, self.after) = (BTreeMap::new(), None);
        Some(split)
    }

    /// Reads what other owners have changed. A file that can't be read is reported by its owner.
    fn load_others(&mut self, store: &dyn Store, topic_id: &str, owned: &BTreeMap<i32, Partition>) {
        let mut numbers = store.reader().partitions().unwrap_or_default();
        numbers.retain(|number| !owned.contains_key(number));
        self.others.retain(|number, _| numbers.contains(number));
        for number in numbers {
            let version = store.reader().version(number);
            if self.others.get(&number).is_some_and(|(known, _)| *known == version) {
                continue;
            }
            let Ok(Loaded { log: Some(log), checkpoint: Some(checkpoint) }) = store.reader().load(number)
            else {
                continue;
            };
            if log.topic_id == topic_id {
                self.others.insert(number, (version, checkpoint.statistics));
            }
        }
    }
}
