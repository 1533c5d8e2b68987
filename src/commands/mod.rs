//! One file per command: what was typed → checked settings → run. Only here is anything printed.

mod broker;
mod completions;
mod consumer;
mod dashboard;
mod debug;
mod man;
mod metrics;
mod plot;
mod producer;
mod progress;
mod proto;
mod recover;
mod status;
mod up;
mod verify;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::arguments::BROKER_PORT;
use crate::broker::{BrokerError, HostPort};
use crate::cli::{self, Command};
use crate::dashboard::DashboardError;
use crate::kafka::{Connection, KafkaError};
use crate::limits;
use crate::pipeline::PipelineError;
use crate::producer::ProduceError;
use crate::source::SourceError;
use crate::store::{self, StoreError};
use crate::text::{escaped_json, escaped_lines};

/// How the process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or stopped as asked; also when whoever reads the output goes away.
    Done = 0,
    /// Failed in a way that has no number of its own.
    Failed = 1,
    /// What was typed can't be meant or done: an option, a partition, a client property, an address to listen at.
    /// clap's own number.
    Usage = 2,
    /// A weather file can't be read, or is not what it should be.
    Input = 3,
    /// Kafka can't be reached, can't be started, refused something, or lost something.
    Kafka = 4,
    /// The files in DIR can't be gone on with: unreadable, of another log, or past a gap in it.
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
            Exit::Checkpoint => "a checkpoint can't be gone on with",
            Exit::Owner => "another process owns, or has taken, the partition",
            Exit::Disk => "a file or directory can't be written or read",
        }
    }
}

/// What was typed is well-formed, but can't be done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

pub fn run(command: Command) -> Result<()> {
    limits::raise_open_files();
    match command {
        Command::Up(options) => up::run(&options),
        Command::Broker(options) => broker::run(&options),
        Command::Producer(options) => producer::run(&options),
        Command::Debug(options) => debug::run(&options),
        Command::Consumer(options) => consumer::run(&options),
        Command::Plot(options) => plot::run(&options),
        Command::Dashboard(options) => dashboard::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Recover(options) => recover::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Proto => proto::run(),
        Command::Completions(options) => completions::run(&options),
        Command::Man(options) => man::run(&options),
    }
}

/// The partitions named; nothing if none is.
fn named_once(partitions: &[i32]) -> Result<Option<Vec<i32>>> {
    let mut named = BTreeSet::new();
    match partitions.iter().find(|partition| !named.insert(**partition)) {
        Some(twice) => Err(UsageError(format!("partition {twice} is named twice")).into()),
        None => Ok((!named.is_empty()).then(|| named.into_iter().collect())),
    }
}

/// Says what went wrong, and gives it its number.
pub fn exit_code(result: Result<()>) -> ExitCode {
    let exit = match result {
        Ok(()) => Exit::Done,
        Err(error) if is_closed_pipe(&error) => Exit::Done,
        Err(error) => {
            tracing::error!("{}", message(&error));
            exit_of(&error)
        }
    };
    ExitCode::from(exit as u8)
}

fn message(error: &anyhow::Error) -> String {
    let message = format!("{error:#}");
    match error.downcast_ref() {
        // It says already what is needed.
        Some(PipelineError::OpenFiles { .. }) => message,
        _ => limits::explained(&message).unwrap_or(message),
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn exit_of(error: &anyhow::Error) -> Exit {
    let of_up = error.downcast_ref::<up::Counting>().map(|counting| &counting.0);
    if let Some(error) = of_up.or_else(|| error.downcast_ref::<PipelineError>()) {
        return match error {
            PipelineError::Kafka(error) => exit_of_kafka(error),
            PipelineError::Store(error) => exit_of_store(error),
            PipelineError::OpenFiles { .. } => Exit::Disk,
            PipelineError::NoSuchPartition { .. } => Exit::Usage,
            PipelineError::Gap { .. }
            | PipelineError::Truncated { .. }
            | PipelineError::OtherLog { .. }
            | PipelineError::Repartitioned { .. }
            | PipelineError::WithoutLog { .. } => Exit::Checkpoint,
        };
    }
    if let Some(error) = error.downcast_ref::<ProduceError>() {
        return match error {
            ProduceError::Kafka(error) => exit_of_kafka(error),
            ProduceError::WouldDelete { .. } => Exit::Usage,
            _ => Exit::Kafka,
        };
    }
    if let Some(error) = error.downcast_ref::<KafkaError>() {
        return exit_of_kafka(error);
    }
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return exit_of_store(error);
    }
    if let Some(error) = error.downcast_ref::<DashboardError>() {
        return match error {
            // The port is somebody else's, or may not be taken: another one has to be typed.
            DashboardError::Listen { .. } => Exit::Usage,
            DashboardError::Failed(_) => Exit::Failed,
        };
    }
    match () {
        () if error.is::<verify::Unverifiable>() => Exit::Checkpoint,
        () if error.is::<SourceError>() => Exit::Input,
        () if error.is::<BrokerError>() || error.is::<up::NotKafka>() => Exit::Kafka,
        () if error.is::<UsageError>() || error.is::<up::NotBegun>() => Exit::Usage,
        () => Exit::Failed,
    }
}

fn exit_of_kafka(error: &KafkaError) -> Exit {
    match error {
        KafkaError::Property { .. } => Exit::Usage,
        KafkaError::Unreachable { .. }
        | KafkaError::NotLetIn { .. }
        | KafkaError::Damaged { .. }
        | KafkaError::Client { .. } => Exit::Kafka,
    }
}

fn exit_of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::Held { .. } | StoreError::TakenOver { .. } => Exit::Owner,
        StoreError::Unreadable { .. } => Exit::Checkpoint,
        StoreError::NoDir { .. }
        | StoreError::DirGone { .. }
        | StoreError::Evicted { .. }
        | StoreError::Io { .. } => Exit::Disk,
    }
}

/// Brokers and client properties, refused at once if they can't be used.
fn connection(options: &cli::Kafka) -> Result<Connection> {
    let has_port_0 = |broker: &str| {
        let address = broker.trim().rsplit("://").next().unwrap_or_default();
        HostPort::parse(address, Some(BROKER_PORT)).is_ok_and(|address| address.port == 0)
    };
    if let Some(broker) = options.brokers.split(',').find(|broker| has_port_0(broker)) {
        let what = format!("nobody can connect to port 0: --brokers {}", broker.trim());
        return Err(UsageError(format!("{what}\nhint: name the port that Kafka listens at")).into());
    }
    Ok(client(options)?)
}

/// The same, of brokers that may be still to be started at a free port.
fn client(options: &cli::Kafka) -> Result<Connection, KafkaError> {
    let connection = Connection { brokers: options.brokers.clone(), properties: options.properties.clone() };
    connection.check()?;
    Ok(connection)
}

/// Says so if DIR holds the checkpoints of several topics, whose days whoever reads them would mix.
fn warn_of_several_topics(dir: &Path) {
    let topics = store::topics_in(dir);
    if topics.len() > 1 {
        let named: Vec<String> =
            topics.iter().map(|(topic, cluster)| format!("{topic} of cluster {cluster}")).collect();
        tracing::warn!(
            "{} holds checkpoints of several topics: {}\nhint: keep each topic in a DIR of its own; move the files of the others away",
            dir.display(),
            named.join(", ")
        );
    }
}

/// Where a local Kafka keeps its data if nothing else is said.
fn data_dir(options: &cli::LocalKafka) -> Result<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data_home = || {
        // The XDG specification has relative paths ignored.
        var("XDG_DATA_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| var("HOME").map(|home| home.join(".local/share")))
    };
    options
        .data
        .clone()
        .or_else(|| data_home().map(|home| home.join("almanac/kafka")))
        .context("neither HOME nor XDG_DATA_HOME is set\nhint: say where the local Kafka keeps its data with --data DIR")
}

/// Prints a text with words from files or brokers to stdout.
fn print_escaped(text: &str) -> Result<()> {
    print(&escaped_lines(text))
}

/// The same of JSON.
fn print_json(json: &str) -> Result<()> {
    print(&escaped_json(json))
}

/// Prints to stdout; that nobody reads it any more is an error like any other here.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("can't write to stdout")
}
