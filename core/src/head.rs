//! The head of a partition in an object store: its checkpoint, and in one member more, `almanac`, all that a directory
//! keeps in other files. So one write changes everything together.

use std::marker::PhantomData;

use serde::de::{self, Deserializer as _};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointVisitor};
use crate::log::Log;
use crate::owner::Owner;
use crate::text::json_line;

/// The name of the member. Every other one but `partition` and `offset` is a month.
const MEMBER: &str = "almanac";

/// The form of [`Meta`]. A later one may let the head name an object instead of holding months.
pub const FORMAT: u32 = 1;

/// The state of a partition, in one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    pub checkpoint: Checkpoint,
    /// None where the object is a checkpoint that was copied from a directory.
    pub meta: Option<Meta>,
}

/// All that is not statistics.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    pub format: u32,
    /// Rises with each claim. So the object is another one after it, whatever its store takes for an object's version.
    pub generation: u64,
    /// Rises with each write, for the same reason.
    pub sequence: u64,
    pub owner: Holder,
    /// None where the partition has been claimed, and its checkpoint not begun.
    pub log: Option<Log>,
    /// The objects with the rejected records that the checkpoint has passed, in the order of offsets.
    pub rejected: Vec<Segment>,
    /// Whether the checkpoint has not begun: offset and months say nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_fresh: bool,
}

/// The owner, and whether it has let the partition go.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Holder {
    #[serde(flatten)]
    pub owner: Owner,
    /// Random, so that no two claims write the same bytes: processes of two containers may have the same number and host name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
}

/// An object with rejected records. It never changes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// `GENERATION-SEQUENCE.jsonl`, of the first head that lists it.
    pub name: String,
    pub records: u64,
    pub bytes: u64,
}

impl Head {
    /// The object's bytes: those of the checkpoint's file, with the member after `offset`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = self.checkpoint.to_json();
        if let Some(meta) = &self.meta {
            let Checkpoint { partition, offset, .. } = self.checkpoint;
            let after = format!("{{\"partition\":{partition},\"offset\":{offset}").len();
            let mut member = format!(",\n \"{MEMBER}\":").into_bytes();
            member.extend_from_slice(json_line(meta).trim_ascii_end());
            json.splice(after..after, member);
        }
        json
    }

    /// Reads an object's bytes, and refuses what could not have been written. The error names line and column where it is
    /// of one place.
    pub fn from_json(json: &[u8]) -> Result<Head, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let visitor = CheckpointVisitor { member: Some(MEMBER), found: PhantomData };
        let (checkpoint, meta) = reader.deserialize_map(visitor)?;
        reader.end()?;
        let head = Head { checkpoint, meta };
        head.check().map_err(de::Error::custom)?;
        Ok(head)
    }

    fn check(&self) -> Result<(), String> {
        let log = self.meta.as_ref().and_then(|meta| meta.log.as_ref());
        let (days, offset) = (self.checkpoint.statistics.days(), self.checkpoint.offset);
        if days > offset.unsigned_abs() && !log.is_some_and(Log::may_go_back) {
            return Err(format!("{days} days can't have been counted before offset {offset}"));
        }
        let Some(meta) = &self.meta else { return Ok(()) };
        if meta.format != FORMAT {
            return Err(format!("it has format {}, and this almanac reads format {FORMAT}", meta.format));
        }
        // So that the next one can be counted.
        if meta.generation.max(meta.sequence) > i64::MAX.unsigned_abs() {
            return Err("its generation or its sequence is too high".to_owned());
        }
        let records: u128 = meta.rejected.iter().map(|segment| u128::from(segment.records)).sum();
        if records > u128::from(offset.unsigned_abs()) {
            return Err(format!("{records} records can't have been rejected before offset {offset}"));
        }
        if let Some(segment) = meta.rejected.iter().find(|segment| !is_segment_name(&segment.name)) {
            return Err(format!("{:?} is not the name of a segment", segment.name));
        }
        log.map_or(Ok(()), Log::check)
    }
}

/// Whether it has the form `GENERATION-SEQUENCE.jsonl`, and so can't lead to another place.
fn is_segment_name(name: &str) -> bool {
    generation_of(name).is_some()
}

/// The generation in a segment's name.
pub fn generation_of(segment: &str) -> Option<u64> {
    let (generation, sequence) = segment.strip_suffix(".jsonl")?.split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(generation) && is_number(sequence)).then(|| generation.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Decoder, Report};

    fn head() -> Head {
        let mut checkpoint = Checkpoint::empty(2, 7);
        let value = Report { date: jiff::civil::date(2000, 6, 1), degrees: 1.5 }.encode();
        checkpoint.apply(7, Some(&value), &mut Decoder::default()).unwrap();
        let owner = Owner { pid: 42, host: "weather".to_owned(), since: "2026-11-28T12:00:00Z".to_owned() };
        let meta = Meta {
            format: FORMAT,
            generation: 3,
            sequence: 11,
            owner: Holder { owner, token: "0f".to_owned(), released: false },
            log: Some(Log {
                cluster_id: "cluster".to_owned(),
                topic: "temperatures".to_owned(),
                topic_id: "one-------------------".to_owned(),
                partitions: 4,
                first_offset: 7,
                leader_epochs: Vec::new(),
                gaps: Vec::new(),
                is_starting_over: false,
            }),
            rejected: vec![Segment { name: "2-9.jsonl".to_owned(), records: 1, bytes: 80 }],
            is_fresh: false,
        };
        Head { checkpoint, meta: Some(meta) }
    }

    #[test]
    fn a_head_is_a_checkpoint_with_one_member_more() {
        let head = head();
        let json = String::from_utf8(head.to_json()).unwrap();
        assert!(
            json.starts_with("{\"partition\":2,\"offset\":8,\n \"almanac\":{\"format\":1,\"generation\":3,"),
            "{json}"
        );
        assert_eq!(Head::from_json(json.as_bytes()).unwrap(), head);
        let copied = Head { meta: None, ..head };
        assert_eq!(copied.to_json(), copied.checkpoint.to_json());
        assert_eq!(Head::from_json(&copied.to_json()).unwrap(), copied);
        assert!(Checkpoint::from_json(json.as_bytes()).is_err(), "a directory has no such member");
    }

    #[test]
    fn a_released_head_says_so_in_its_owner() {
        let mut head = head();
        head.meta.as_mut().unwrap().owner.released = true;
        let json = String::from_utf8(head.to_json()).unwrap();
        assert!(
            json.contains("\"since\":\"2026-11-28T12:00:00Z\",\"token\":\"0f\",\"released\":true}"),
            "{json}"
        );
        assert_eq!(Head::from_json(json.as_bytes()).unwrap(), head);
    }

    #[test]
    fn what_could_not_have_been_written_is_refused() {
        let good = String::from_utf8(head().to_json()).unwrap();
        for (from, to, reason) in [
            ("\"format\":1", "\"format\":2", "it has format 2, and this almanac reads format 1"),
            ("2-9.jsonl", "../9.jsonl", "is not the name of a segment"),
            ("2-9.jsonl", "2-.jsonl", "is not the name of a segment"),
            ("one-", "../-", "topic_id is not 22 characters"),
            ("\"offset\":8", "\"offset\":0", "1 days can't have been counted before offset 0"),
            (
                "\"sequence\":11",
                "\"sequence\":9223372036854775808",
                "its generation or its sequence is too high",
            ),
            ("\"records\":1", "\"records\":9", "9 records can't have been rejected before offset 8"),
            ("\"sequence\":11,", "", "missing field `sequence`"),
            ("\"almanac\":{", "\"almanac\":{\"x\":1,", "unknown field `x`"),
            (",\n \"June\"", ",\"almanac\":null,\n \"June\"", "invalid type: null"),
            ("}\n", "}}\n", "trailing characters"),
        ] {
            assert!(good.contains(from), "{from}");
            let error = Head::from_json(good.replacen(from, to, 1).as_bytes()).expect_err(to).to_string();
            assert!(error.contains(reason), "{to}\n{error}");
        }
    }
}
