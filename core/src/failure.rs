//! All errors have a fact, advice, and an exit status.

use std::error::Error;

/// How the process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or stopped as asked; also when whoever reads the output goes away.
    Done = 0,
    /// Failed in a way that has no number of its own.
    Failed = 1,
    /// Wrong usage: an option, a partition, a client property, or an address to listen at.
    /// clap's own number.
    Usage = 2,
    /// A weather file can't be read, or is not what it should be.
    Input = 3,
    /// Kafka can't be reached, can't be started, refused something, or lost something.
    Kafka = 4,
    /// The consumer can't continue with the files in DIR: unreadable, of another log, or past a gap in it.
    Checkpoint = 5,
    /// Another process owns, or has taken, the partition.
    Owner = 6,
    /// A file or directory can't be written or read: full, read-only, forbidden.
    Disk = 7,
}

impl Exit {
    pub const ALL: [Exit; 8] = [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Input,
        Exit::Kafka,
        Exit::Checkpoint,
        Exit::Owner,
        Exit::Disk,
    ];

    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done, or stopped as asked",
            Exit::Failed => "failed in a way that has no number of its own",
            Exit::Usage => {
                "wrong usage: an option, a partition, a client property, an address that can't be listened at"
            }
            Exit::Input => "a weather file can't be read, or is not what it should be",
            Exit::Kafka => "Kafka can't be reached or started, or refused something",
            Exit::Checkpoint => "almanac can't continue with a checkpoint",
            Exit::Owner => "another process owns, or has taken, the partition",
            Exit::Disk => "a file or directory can't be written or read",
        }
    }
}

/// An error of almanac. Its `Display` is the fact, without advice: JSON, `/readyz` and longer messages hold it as well.
pub trait Failure: Error {
    /// The user's next step, if there is one. Only `commands` and the log print it, on a line of its own.
    fn hint(&self) -> Option<String> {
        None
    }

    /// How a command ends that failed with it.
    fn exit(&self) -> Exit;
}

/// An error with its causes, on one line.
pub fn fact(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// An error as a terminal shows it: the fact, and the hint on a line of its own.
pub fn told(error: &dyn Failure) -> String {
    let fact = error.to_string();
    error.hint().map_or_else(|| fact.clone(), |hint| format!("{fact}\nhint: {hint}"))
}
