//! Compares the records of a client with the log.

use std::collections::HashMap;

use almanac::kafka::{Record, extent, read_spans};

use super::PARTITIONS;
use crate::support::Kafka;

/// A record's identity: partition, offset, and its value in hexadecimal.
pub type Found = (i32, i64, String);

/// The records of a topic at one moment, read without a proxy, and the first and last offsets of its partitions.
pub struct Log {
    records: HashMap<(i32, i64), String>,
    pub starts: Vec<i64>,
    pub ends: Vec<i64>,
}

impl Log {
    pub fn of(kafka: &Kafka, topic: &str) -> Log {
        let connection = kafka.connection();
        let admin = almanac::kafka::Admin::new(&connection).unwrap();
        let spans = extent(&admin, topic, PARTITIONS).unwrap();
        let mut records = HashMap::new();
        let each = |record: &Record| {
            records.insert((record.partition, record.offset), hexadecimal(record.value.unwrap_or_default()));
        };
        read_spans(&connection, topic, &spans, each).unwrap();
        let starts = spans.iter().map(|span| span.start).collect();
        Log { records, starts, ends: spans.iter().map(|span| span.end).collect() }
    }

    fn has(&self, (partition, offset, value): &Found) -> bool {
        self.records.get(&(*partition, *offset)) == Some(value)
    }
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How many records came, and did not, as they should.
#[derive(Debug, Default)]
pub struct Counts {
    /// In the log that there is now, and never given.
    pub missing: usize,
    /// Given more than once.
    pub repeated: usize,
    /// Given, and in no log: of other bytes, or under another partition or offset.
    pub wrong: usize,
    /// Given, and only in the log that there was before.
    pub former: usize,
    /// Given, and only in the log that there is now.
    pub new: usize,
    /// In the log that there was before only, and never given.
    pub unread: usize,
}

impl Counts {
    /// Up to the offsets in `kept` the log is the one that it was; what lies above may come twice.
    pub fn of(given: &[Found], before: &Log, now: &Log, kept: &[i64]) -> Counts {
        let mut counts = Counts::default();
        let mut seen: HashMap<&Found, usize> = HashMap::new();
        for found in given {
            *seen.entry(found).or_default() += 1;
        }
        for (found, times) in &seen {
            let is_kept = usize::try_from(found.0).is_ok_and(|index| kept.get(index) > Some(&found.1));
            let in_both = before.has(found) && now.has(found);
            counts.repeated += (times - 1).saturating_sub(usize::from(in_both && !is_kept));
            match (before.has(found), now.has(found)) {
                (false, false) => counts.wrong += 1,
                (true, false) => counts.former += 1,
                (false, true) => counts.new += 1,
                (true, true) => {}
            }
        }
        let never_given = |log: &Log, other: Option<&Log>| {
            let records = log.records.iter();
            let found = records.map(|((partition, offset), value)| (*partition, *offset, value.clone()));
            found
                .filter(|found| !seen.contains_key(found) && other.is_none_or(|other| !other.has(found)))
                .count()
        };
        counts.missing = never_given(now, None);
        counts.unread = never_given(before, Some(now));
        counts
    }

    pub fn is_exact(&self) -> bool {
        (self.missing, self.repeated, self.wrong) == (0, 0, 0)
    }

    /// The differences from the log.
    pub fn faults(&self) -> Vec<String> {
        let all = [(self.missing, "missing"), (self.repeated, "repeated"), (self.wrong, "wrong")];
        let some = all.into_iter().filter(|(count, _)| *count > 0);
        some.map(|(count, what)| format!("{count} {what}")).collect()
    }
}
