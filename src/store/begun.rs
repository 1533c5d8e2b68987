//! The topics that `up` has begun. It sends synthetic weather to these only. DIR holds a file of them, and so does the
//! data directory of `up`'s own Kafka.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::files::{read_plain, write_whole};
use super::object;
use super::paths::is_url;
use crate::text::to_json;

const NAME: &str = "up.json";
const BYTES_MAX: u64 = 1 << 20;

/// A topic that `up` has begun, or is about to begin.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Begun {
    pub cluster_id: String,
    pub topic: String,
    /// Nothing before it was created. Until it is noted, nothing is sent to the topic.
    pub topic_id: Option<String>,
}

impl Begun {
    /// Whether the topic that is there is this one. An empty one may be one that a crash left without a note; a broker may also
    /// create it long after that.
    pub fn is(&self, cluster_id: &str, topic: &str, topic_id: &str, is_empty: bool) -> bool {
        self.is_about(cluster_id, topic) && (is_empty || self.topic_id.as_deref() == Some(topic_id))
    }

    fn is_about(&self, cluster_id: &str, topic: &str) -> bool {
        self.cluster_id == cluster_id && self.topic == topic
    }
}

/// The path of the file in DIR.
pub fn private_dir(dir: &Path) -> PathBuf {
    if is_url(dir) { dir.to_owned() } else { dir.join(".almanac") }
}

/// All that are noted there.
pub fn begun_in(dir: &Path) -> Result<Vec<Begun>, StoreError> {
    let path = file_in(dir);
    let bytes = if is_url(dir) { object::get(&path)? } else { read_plain(&path, BYTES_MAX)? };
    let Some(bytes) = bytes else { return Ok(Vec::new()) };
    serde_json::from_slice(&bytes).map_err(|error| StoreError::unreadable(&path, error))
}

/// Notes one, in place of what was noted of a topic of this name on the same cluster.
pub fn note_begun(dir: &Path, begun: &Begun) -> Result<(), StoreError> {
    let mut all = begun_in(dir)?;
    all.retain(|other| !other.is_about(&begun.cluster_id, &begun.topic));
    all.push(begun.clone());
    let json = to_json(&all);
    if is_url(dir) {
        return object::put(&file_in(dir), json.as_bytes());
    }
    write_whole(&file_in(dir), json.as_bytes())
}

fn file_in(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(topic: &str, topic_id: Option<&str>) -> Begun {
        let topic_id = topic_id.map(str::to_owned);
        Begun { cluster_id: "c".to_owned(), topic: topic.to_owned(), topic_id }
    }

    #[test]
    fn a_topic_is_the_one_that_was_begun_by_its_id_or_while_it_is_empty() {
        let (done, new) = (begun("t", Some("1")), begun("t", None));
        for is_empty in [false, true] {
            assert!(done.is("c", "t", "1", is_empty));
            assert_eq!(done.is("c", "t", "2", is_empty), is_empty);
            assert_eq!(new.is("c", "t", "1", is_empty), is_empty);
            assert!(!done.is("d", "t", "1", is_empty));
            assert!(!done.is("c", "u", "1", is_empty));
        }
    }

    #[test]
    fn the_last_note_of_a_topic_holds() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(begun_in(dir.path()).unwrap(), []);
        let (one, two) = (begun("t", Some("1")), begun("u", None));
        for begun in [&begun("t", None), &two, &one] {
            note_begun(dir.path(), begun).unwrap();
        }
        assert_eq!(begun_in(dir.path()).unwrap(), [two, one]);
        std::fs::write(dir.path().join(NAME), "{").unwrap();
        assert!(begun_in(dir.path()).is_err());
    }
}
