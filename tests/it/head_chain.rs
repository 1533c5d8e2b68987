//! The heads that consumers sent to an object store, held against the protocol of docs/OBJECT-STORE.md and the second fold.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::objects::{HeadWrite, version_of, without_member};
use crate::second_fold::{Fold, Log};

/// A head that was sent.
struct Link {
    replaces: Option<String>,
    is_accepted: bool,
    partition: usize,
    generation: u64,
    sequence: u64,
    /// Empty where the checkpoint has not begun.
    topic_id: String,
    offset: i64,
    rejected: u64,
    /// Empty once it was compared with the fold.
    body: String,
}

impl Link {
    fn of(write: HeadWrite) -> Link {
        let head = write.json();
        let meta = &head["almanac"];
        let number = |name: &str| meta[name].as_u64().unwrap();
        let segments = meta["rejected"].as_array().unwrap();
        Link {
            replaces: write.replaces,
            is_accepted: write.is_accepted,
            partition: usize::try_from(head["partition"].as_u64().unwrap()).unwrap(),
            generation: number("generation"),
            sequence: number("sequence"),
            topic_id: meta["log"]["topic_id"].as_str().unwrap_or_default().to_owned(),
            offset: head["offset"].as_i64().unwrap(),
            rejected: segments.iter().map(|segment| segment["records"].as_u64().unwrap()).sum(),
            body: String::from_utf8(write.body).unwrap(),
        }
    }

    fn compare(&self, fold: &Fold) -> Result<(), String> {
        fold.compare(without_member(&self.body).as_bytes(), self.partition, self.offset)?;
        match fold.rejected() as u64 {
            rejected if rejected == self.rejected => Ok(()),
            rejected => Err(format!("it lists {} rejected records, the log makes {rejected}", self.rejected)),
        }
    }
}

/// All heads that were sent, by object and version.
#[derive(Default)]
pub struct Heads(BTreeMap<String, HashMap<String, Link>>);

impl Heads {
    pub fn add(&mut self, writes: Vec<HeadWrite>) {
        for write in writes {
            let links = self.0.entry(write.path.clone()).or_default();
            let is_accepted = write.is_accepted;
            links.entry(version_of(&write.body)).or_insert_with(|| Link::of(write)).is_accepted |=
                is_accepted;
        }
    }

    pub fn len(&self) -> usize {
        self.0.values().map(HashMap::len).sum()
    }

    /// Compares every head of a log that is known with the second fold of that log, once. Gives what differs.
    pub fn check_folds<'a>(&mut self, log: impl Fn(&str, usize) -> Option<&'a Log>) -> Vec<String> {
        let mut violations = Vec::new();
        for (path, links) in &mut self.0 {
            let mut links: Vec<&mut Link> = links.values_mut().filter(|link| !link.body.is_empty()).collect();
            links.sort_by(|one, other| {
                (&one.topic_id, one.offset, one.sequence).cmp(&(
                    &other.topic_id,
                    other.offset,
                    other.sequence,
                ))
            });
            let (nothing, mut topic_id) = (Log::new(), String::new());
            let (mut fold, mut end) = (Fold::default(), 0);
            for link in links {
                if topic_id != link.topic_id {
                    (topic_id, fold, end) = (link.topic_id.clone(), Fold::default(), 0);
                }
                let known = if topic_id.is_empty() { Some(&nothing) } else { log(&topic_id, link.partition) };
                let Some(log) = known else { continue };
                log.range(end..link.offset).for_each(|(offset, record)| fold.take(*offset, record));
                end = link.offset;
                if let Err(reason) = link.compare(&fold) {
                    let Link { generation, sequence, offset, .. } = link;
                    violations.push(format!("{path} {generation}-{sequence} at offset {offset}: {reason}"));
                }
                link.body = String::new();
            }
        }
        violations
    }

    /// The versions of an object's heads that landed, each of which replaced the one before. An error where they are no
    /// chain, where the store accepted another one, or where one goes back.
    pub fn check_chain(
        &self,
        path: &str,
        first: Option<&[u8]>,
        last: &[u8],
    ) -> Result<HashSet<String>, String> {
        let first = first.map(version_of);
        let nothing = HashMap::new();
        let links = self.0.get(path).unwrap_or(&nothing);
        let (mut chain, mut landed) = (Vec::new(), HashSet::new());
        let mut next = Some(version_of(last));
        while next != first {
            let Some(version) = next else {
                return Err("it replaced nothing, and there was a head".to_owned());
            };
            let Some(link) = links.get(&version) else {
                return Err(format!("nobody sent version {version}"));
            };
            landed.insert(version);
            chain.push(link);
            next = link.replaces.clone();
        }
        chain.reverse();
        for (version, link) in links {
            if link.is_accepted && !landed.contains(version) {
                let Link { generation, sequence, offset, .. } = link;
                return Err(format!("{generation}-{sequence} at offset {offset} was accepted, and is lost"));
            }
        }
        let mut formers = HashSet::new();
        for pair in chain.windows(2) {
            let (one, two) = (pair[0], pair[1]);
            let is_next = two.sequence == one.sequence + 1
                && (two.generation == one.generation || two.generation == one.generation + 1);
            let is_of_same = two.topic_id == one.topic_id;
            if !is_of_same {
                formers.insert(&one.topic_id);
            }
            if !is_next || (is_of_same && two.offset < one.offset) || formers.contains(&two.topic_id) {
                let shown = |link: &Link| {
                    let Link { generation, sequence, offset, topic_id, .. } = link;
                    format!("{generation}-{sequence} at offset {offset} of {topic_id}")
                };
                return Err(format!("{} after {}", shown(two), shown(one)));
            }
        }
        Ok(landed)
    }
}
