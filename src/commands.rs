//! One file per command: what was typed → checked settings → run. Only here is anything printed.

mod account;
mod broker;
mod completions;
mod consumer;
mod dashboard;
mod debug;
mod man;
mod metrics;
mod object_store;
mod plot;
mod producer;
mod progress;
mod proto;
mod recover;
mod status;
mod up;
mod verify;

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::arguments::{BROKER_PORT, HostPortError, command_line};
use crate::broker::{BrokerError, HostPort};
use crate::cli::{self, Command};
use crate::dashboard::DashboardError;
pub use crate::failure::Exit;
use crate::failure::{Failure, fact};
use crate::kafka::{Connection, KafkaError};
use crate::limits;
use crate::pipeline::PipelineError;
use crate::producer::ProduceError;
use crate::source::SourceError;
use crate::store::{self, Reader, StoreError};
use crate::text::{escaped_json, escaped_lines};

/// An error that a command finds by itself.
#[derive(Debug, thiserror::Error)]
#[error("{fact}")]
struct Refusal {
    fact: String,
    hint: Option<String>,
    exit: Exit,
}

impl Refusal {
    fn new(exit: Exit, fact: impl Into<String>) -> Refusal {
        Refusal { fact: fact.into(), hint: None, exit }
    }

    /// Well-formed arguments that can't be carried out.
    fn usage(fact: impl Into<String>) -> Refusal {
        Refusal::new(Exit::Usage, fact)
    }

    fn hint(self, hint: impl Into<String>) -> Refusal {
        Refusal { hint: Some(hint.into()), ..self }
    }
}

impl Failure for Refusal {
    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    fn exit(&self) -> Exit {
        self.exit
    }
}

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
        Command::Store(options) => object_store::run(&options),
        Command::Proto => proto::run(),
        Command::Completions(options) => completions::run(&options),
        Command::Man(options) => man::run(&options),
    }
}

/// The partitions named; nothing if none is.
fn named_once(partitions: &[i32]) -> Result<Option<Vec<i32>>> {
    let mut named = BTreeSet::new();
    match partitions.iter().find(|partition| !named.insert(**partition)) {
        Some(twice) => Err(Refusal::usage(format!("partition {twice} is named twice")).into()),
        None => Ok((!named.is_empty()).then(|| named.into_iter().collect())),
    }
}

/// Prints what went wrong, and what to do about it. Says how the process ends.
pub fn exit_code(result: Result<()>) -> ExitCode {
    let exit = match result {
        Ok(()) => Exit::Done,
        Err(error) if is_closed_pipe(&error) => Exit::Done,
        Err(error) => {
            print_error(&error);
            failure_in(&error).map_or(Exit::Failed, Failure::exit)
        }
    };
    ExitCode::from(exit as u8)
}

fn print_error(error: &anyhow::Error) {
    let (fact, hint) = (fact(error.as_ref()), failure_in(error).and_then(Failure::hint));
    let (fact, hint) = match error.downcast_ref() {
        // It says already what is needed.
        Some(PipelineError::OpenFiles { .. }) => (fact, hint),
        _ => limits::explained(&fact).map_or((fact, hint), |(fact, hint)| (fact, Some(hint))),
    };
    tracing::error!(hint, "{fact}");
}

/// The error itself, or the first of its causes, that is one of almanac's own.
fn failure_in(error: &anyhow::Error) -> Option<&dyn Failure> {
    fn cast<'e, E: Failure + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e dyn Failure> {
        error.downcast_ref::<E>().map(|error| error as &dyn Failure)
    }
    let casts = [
        cast::<Refusal>,
        cast::<PipelineError>,
        cast::<ProduceError>,
        cast::<KafkaError>,
        cast::<StoreError>,
        cast::<SourceError>,
        cast::<BrokerError>,
        cast::<DashboardError>,
        cast::<HostPortError>,
    ];
    error.chain().find_map(|cause| casts.iter().find_map(|cast| cast(cause)))
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Brokers and client properties, refused at once if they can't be used.
fn connection(options: &cli::Kafka) -> Result<Connection> {
    let has_port_0 = |broker: &str| {
        let broker = broker.trim();
        let address = broker.rsplit_once("://").map_or(broker, |(_, address)| address);
        HostPort::parse(address, Some(BROKER_PORT)).is_ok_and(|address| address.port == 0)
    };
    if let Some(broker) = options.brokers.split(',').find(|broker| has_port_0(broker)) {
        let what = format!("nobody can connect to port 0: --brokers {}", broker.trim());
        return Err(Refusal::usage(what).hint("name the port that Kafka listens at").into());
    }
    Ok(client(options)?)
}

/// The same, of brokers that may be still to be started at a free port.
fn client(options: &cli::Kafka) -> Result<Connection, KafkaError> {
    let connection =
        Connection { brokers: options.brokers.clone(), properties: cli::all_properties(&options.properties) };
    connection.check()?;
    Ok(connection)
}

/// Says so if DIR holds the checkpoints of several topics, whose days whoever reads them would mix.
fn warn_of_several_topics(reader: &dyn Reader, dir: &Path) {
    let topics = store::topics_of(reader);
    if topics.len() > 1 {
        let named: Vec<String> =
            topics.iter().map(|(topic, cluster)| format!("{topic} of cluster {cluster}")).collect();
        tracing::warn!(
            hint = "keep each topic in a DIR of its own, and move the files of the others away",
            "{} holds checkpoints of several topics: {}",
            dir.display(),
            named.join(", ")
        );
    }
}

fn no_checkpoints(dir: &Path) -> Refusal {
    let dir = dir.display().to_string();
    let consumer = command_line("almanac consumer", &[("-d", &dir)]);
    Refusal::new(Exit::Failed, format!("{dir} has no partition-N.json"))
        .hint(format!("run `{consumer}` to write them, or name another directory with --dir"))
}

/// The directory of a local Kafka's data, unless another is named.
fn data_dir(options: &cli::LocalKafka) -> Result<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data_home = || {
        // The XDG specification has relative paths ignored.
        var("XDG_DATA_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| var("HOME").map(|home| home.join(".local/share")))
    };
    options.data.clone().or_else(|| data_home().map(|home| home.join("almanac/kafka"))).ok_or_else(|| {
        Refusal::new(Exit::Failed, "neither HOME nor XDG_DATA_HOME is set")
            .hint("name a directory for the local Kafka with --data DIR")
            .into()
    })
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
