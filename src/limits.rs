//! How many files the process may have open at a time, connections and directories included.
//!
//! Many systems set a soft limit of 1024, for programs that use `select`, and a far higher hard limit. A process may raise
//! its soft limit up to the hard one.

use std::error::Error;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than any command needs: the soft limit is not raised beyond it.
const ENOUGH: u64 = 1 << 20;

/// The soft limit of most systems, with which all but large consumers get by.
const USUAL: u64 = 1024;

/// The places where people raise the hard limit.
const WHERE: &str = "systemd: LimitNOFILE=, Docker: --ulimit nofile=";

/// Raises the soft limit as far as the hard one lets it. Children inherit it; a JVM raises its own in the same way.
pub fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if current.is_some_and(|current| current < wanted) {
        // If it fails, the limit stays as it was: whatever comes up against it is reported then.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// The soft limit; none if there is none.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Whether a cause of the error is that too many files are open.
pub fn is_exceeded(error: &(dyn Error + 'static)) -> bool {
    let mut codes =
        anyhow::Chain::new(error).filter_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    codes.any(|code| [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).contains(&code))
}

/// A fact that is about the limit with that limit, and what to do. That is the only advice then.
pub fn explained(fact: &str) -> Option<(String, String)> {
    // Of what clients report, only the text is left.
    if !fact.contains("Too many open files") {
        return None;
    }
    if fact.contains("Too many open files in system") {
        let hint = "end other programs, or raise `sysctl fs.file-max`";
        return Some((fact.to_owned(), hint.to_owned()));
    }
    let (limit, more) = match open_files() {
        Some(limit) => (format!("; the limit is {limit}"), limit.saturating_mul(2).max(USUAL)),
        None => (String::new(), USUAL),
    };
    Some((format!("{fact}{limit}"), open_files_hint(more)))
}

fn open_files_hint(files: u64) -> String {
    format!("start almanac where `ulimit -Hn` is {files} or more ({WHERE})")
}

/// Warns before a Kafka is started with few files: it ends by itself when it needs more for its partitions.
pub fn warn_before_kafka() {
    if let Some(limit) = open_files().filter(|limit| *limit < USUAL) {
        tracing::warn!(
            hint = open_files_hint(USUAL),
            "the limit of open files is {limit}, and Kafka needs about 200 and 4 for each partition"
        );
    }
}

/// The need of a consumer of so many partitions, and the limit.
#[derive(Clone, Copy, Debug)]
pub struct Needed {
    pub partitions: usize,
}

impl Needed {
    /// Whether there are so few that it can't go well. It is better known before the first partition is taken from
    /// another process, and before there are none left for a connection.
    pub fn is_out_of_reach(self) -> bool {
        open_files().is_some_and(|limit| limit < 40 + 3 * self.partitions as u64)
    }

    /// Each partition has a lock, a file of rejected records and a directory open, and sometimes a temporary file. The rest
    /// are connections and the pipes of threads.
    fn files(self) -> usize {
        100 + 4 * self.partitions
    }

    pub fn hint(self) -> String {
        open_files_hint(self.files() as u64)
    }
}

impl std::fmt::Display for Needed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        let (partitions, files) = (self.partitions, self.files());
        write!(formatter, "{partitions} partitions need about {files} open files")?;
        open_files().map_or(Ok(()), |limit| write!(formatter, ", and the limit is {limit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_open_files_is_explained() {
        assert_eq!(explained("can't open x: Permission denied (os error 13)"), None);
        let (fact, hint) = explained("no Kafka broker answers: Too many open files").unwrap();
        let limit = open_files().unwrap();
        assert_eq!(fact, format!("no Kafka broker answers: Too many open files; the limit is {limit}"));
        assert!(hint.starts_with("start almanac where"), "{hint}");
        let (fact, hint) = explained("can't open x: Too many open files in system (os error 23)").unwrap();
        assert!(hint.contains("fs.file-max") && !fact.contains("the limit"), "{fact} {hint}");
    }

    #[test]
    fn the_cause_is_found_by_its_code() {
        let store = |code| crate::store::StoreError::Io {
            action: "open",
            path: "x".into(),
            source: io::Error::from_raw_os_error(code),
        };
        for (code, expected) in [(23, true), (24, true), (2, false)] {
            let error = crate::pipeline::PipelineError::from(store(code));
            assert_eq!(is_exceeded(&error), expected, "{code}");
        }
    }
}
