//! The command line: definitions only. The doc comments are the help text.
//!
//! `-h` fits a screen: what is rarely typed is in `--help` only.

mod examples;
mod producer;
mod shared;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use self::shared::{choice, local_path, parse, path_or_url, whole};
use crate::arguments::{
    HostPort, Properties, parse_cluster_id, parse_duration, parse_month, parse_partition, parse_seconds,
    parse_station,
};
use crate::broker::Voter;
use crate::plot;

pub use self::examples::examples_of;
pub use self::producer::{Files, Pace, Producer, Synthetic};
pub use self::shared::{Dir, Kafka, Metrics, all_properties};

/// Count daily weather reports from Apache Kafka into monthly statistics, exactly once
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 bad input file, 4 Kafka, \
                        5 checkpoint refused, 6 owned by another process, 7 disk.")]
pub struct Cli {
    #[command(flatten)]
    pub logging: Logging,
    #[command(subcommand)]
    pub command: Command,
}

/// The definition of the command line, with the examples.
pub fn command() -> clap::Command {
    let almanac = Cli::command();
    let after = almanac.get_after_help().map(ToString::to_string).unwrap_or_default();
    let examples = examples::section("almanac");
    refined(almanac).after_long_help(format!("{examples}\n\n{after}"))
}

/// With what all commands have: examples, and values that may begin with a hyphen, so that an error names the option whose
/// value it is.
fn refined(command: clap::Command) -> clap::Command {
    let examples = examples::section(command.get_name());
    let refine = |argument: clap::Arg| {
        let takes_one = argument.get_num_args().is_none_or(|count| count == 1.into());
        let is_time = argument.get_value_names().is_some_and(|names| names == ["TIME"]);
        match argument.get_action().takes_values() {
            true if is_time && takes_one => argument.allow_hyphen_values(true),
            true => argument.allow_negative_numbers(true),
            false => argument,
        }
    };
    command.after_long_help(examples).mut_args(refine).mut_subcommands(refined)
}

/// The same without environment variables, so that `-h` fits a screen.
pub fn short_command() -> clap::Command {
    let hide = |argument: clap::Arg| argument.hide_env(true);
    command().mut_args(hide).mut_subcommands(|command| command.mut_args(hide))
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: Kafka, producer, consumer, dashboard
    Up(Up),
    /// Run only a local Apache Kafka
    Broker(Broker),
    /// Send daily reports, synthetic or from files
    Producer(Producer),
    /// Print records as they arrive
    Debug(Debug),
    /// Keep the checkpoints: monthly statistics, counted exactly once
    Consumer(Consumer),
    /// Draw pictures of the checkpoints: months, heat map, stripes, history
    Plot(Plot),
    /// Serve DIR as a live web page
    Dashboard(Dashboard),
    /// Check the checkpoints against the log, bit for bit
    Verify(Verify),
    /// Decide how to continue after lost records or with another log
    Recover(Recover),
    /// Show state, offset and lag of each partition
    Status(Status),
    /// Check an object store before DIR is in it
    Store(Store),
    /// Print the schema of the record's value
    Proto,
    /// Print completions for a shell
    Completions(Completions),
    /// Print the manual page of almanac, or of a command
    Man(Man),
}

#[derive(Args, Debug)]
pub struct Logging {
    /// Log more; repeat it for even more
    #[arg(help_heading = "Global options", short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Log errors only
    #[arg(help_heading = "Global options", short, long, global = true)]
    pub quiet: bool,
    /// Format of the log on stderr
    #[arg(
        help_heading = "Global options",
        long,
        value_name = "FORMAT",
        default_value = "text",
        env = "ALMANAC_LOG_FORMAT",
        hide_short_help = true,
        global = true
    )]
    pub log_format: Format,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Args, Clone, Debug)]
pub struct LocalKafka {
    /// Data directory of the local Kafka [default: ~/.local/share/almanac/kafka]
    #[arg(long, value_name = "DIR", env = "ALMANAC_DATA", value_parser = local_path())]
    pub data: Option<PathBuf>,
    /// Set a server property of the local Kafka
    #[arg(long, value_name = "KEY=VALUE", env = "ALMANAC_SET", hide_env_values = true)]
    pub set: Vec<Properties>,
}

#[derive(Args, Debug)]
pub struct Up {
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub dir: Dir,
    #[command(flatten)]
    pub local: LocalKafka,
    /// Address of the dashboard [default: 127.0.0.1:8080, or a free port]
    #[arg(long, value_name = "HOST:PORT", env = "ALMANAC_DASHBOARD", value_parser = parse::<HostPort>)]
    pub listen: Option<HostPort>,
    /// Also accept requests for this host name
    #[arg(
        long,
        value_name = "NAME",
        env = "ALMANAC_ALLOW_HOST",
        value_delimiter = ',',
        hide_short_help = true
    )]
    pub allow_host: Vec<String>,
    /// Start no dashboard
    #[arg(long)]
    pub no_dashboard: bool,
    /// Start over: delete the topic, archive the counts
    #[arg(long)]
    pub fresh: bool,
    /// Use a topic that 'up' did not create, or delete it with --fresh
    // Not from the environment: what it allows is meant for one topic.
    #[arg(long, hide_short_help = true)]
    pub adopt: bool,
    #[command(flatten)]
    pub pace: Pace,
    #[command(flatten)]
    pub synthetic: Synthetic,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Args, Debug)]
pub struct Broker {
    /// Address for clients; port 0 picks a free port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", env = "ALMANAC_LISTEN",
          value_parser = parse::<HostPort>)]
    pub listen: HostPort,
    /// Address that clients are told to connect to [default: the same]
    #[arg(long, value_name = "HOST:PORT", env = "ALMANAC_ADVERTISE", value_parser = parse::<HostPort>)]
    pub advertise: Option<HostPort>,
    /// Second address, for clients that can't reach the advertised one
    #[arg(
        id = "local",
        long = "local",
        value_name = "HOST:PORT",
        env = "ALMANAC_LOCAL",
        value_parser = parse::<HostPort>,
        hide_short_help = true
    )]
    pub also_listen: Option<HostPort>,
    /// Check whether Kafka answers there, and start nothing
    #[arg(long, conflicts_with = "jars")]
    pub check: bool,
    /// Download Apache Kafka's jars, and print their directory
    #[arg(long)]
    pub jars: bool,
    #[command(flatten)]
    pub local: LocalKafka,
    #[command(flatten)]
    pub cluster: Cluster,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "One node of several")]
pub struct Cluster {
    /// All nodes of the cluster: ID@HOST:PORT of each controller
    #[arg(long, value_name = "VOTERS", env = "ALMANAC_QUORUM", value_delimiter = ',', value_parser = parse::<Voter>,
          requires_all = ["node", "cluster_id"])]
    pub quorum: Vec<Voter>,
    /// ID of this node
    #[arg(long, value_name = "ID", requires = "quorum", env = "ALMANAC_NODE",
          value_parser = whole::<u32>(0..=i32::MAX as u64))]
    pub node: Option<u32>,
    /// Cluster ID of all nodes: 16 bytes in URL-safe base64, 22 characters
    #[arg(long, value_name = "ID", requires = "quorum", env = "ALMANAC_CLUSTER_ID", value_parser = parse_cluster_id)]
    pub cluster_id: Option<String>,
}

#[derive(Args, Debug)]
pub struct Debug {
    #[command(flatten)]
    pub kafka: Kafka,
    /// Consumer group, which gets no commits
    #[arg(long, default_value = "debug", value_parser = NonEmptyStringValueParser::new())]
    pub group: String,
    /// Format of a record
    #[arg(long, default_value = "python")]
    pub format: DebugFormat,
    /// Print what the topic holds first, from its oldest record
    #[arg(long)]
    pub from_beginning: bool,
    /// Stop after so many records
    #[arg(short = 'n', long, value_name = "N", value_parser = whole::<u64>(1..=u64::MAX))]
    pub count: Option<u64>,
    /// Partitions to read without a group
    #[arg(short, long, value_name = "PARTITION", num_args = 1.., value_delimiter = ',',
          value_parser = parse_partition)]
    pub partition: Vec<i32>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum DebugFormat {
    /// As Python prints a dict
    Python,
    /// One JSON object a line
    Json,
}

#[derive(Args, Debug)]
pub struct Consumer {
    /// Partitions to keep [default: those that the group assigns]
    #[arg(value_name = "PARTITION", value_parser = parse_partition)]
    pub partitions: Vec<i32>,
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub dir: Dir,
    /// Consumer group, whose members share DIR
    #[arg(long, default_value = "almanac", env = "ALMANAC_GROUP", value_parser = NonEmptyStringValueParser::new())]
    pub group: String,
    /// Station to count reports of [default: that of the first report]
    #[arg(long, value_name = "ID", value_parser = parse_station)]
    pub station: Option<String>,
    /// Take partitions from a living owner
    #[arg(long)]
    pub take_over: bool,
    /// Time to wait for a partition's former owner [default: 10s, URL: 1s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub handover_timeout: Option<Duration>,
    /// Time between checkpoints [default: by load, at most 20s; URL: 5s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub checkpoint_every: Option<Duration>,
    /// Warn when there is lag but no new checkpoint for this long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub stall_after: Duration,
    #[command(flatten)]
    pub metrics: Metrics,
    /// The brokers are this deployment's own: archive counts of another cluster without asking
    #[arg(long, env = "ALMANAC_OWN_BROKER", hide = true)]
    pub own_broker: bool,
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("action").required(true)))]
#[command(override_usage = "almanac recover [OPTIONS] ACTION [PARTITION]...")]
pub struct Recover {
    /// Partitions to recover [default: all that have a file]
    #[arg(value_name = "PARTITION", value_parser = parse_partition)]
    pub partitions: Vec<i32>,
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub dir: Dir,
    /// Archive the counts, and count the log again
    #[arg(long, group = "action", help_heading = "Actions, one of")]
    pub restart: bool,
    /// Continue at the nearest offset, or after a damaged batch
    #[arg(long = "continue", group = "action", help_heading = "Actions, one of")]
    pub continue_: bool,
    /// Accept checkpoints without log.json as those of this topic
    #[arg(long, group = "action", help_heading = "Actions, one of")]
    pub adopt: bool,
    /// Archive the counts of another topic or cluster
    #[arg(long, group = "action", help_heading = "Actions, one of")]
    pub new_log: bool,
    /// Accept that the topic has another number of partitions
    #[arg(long, group = "action", help_heading = "Actions, one of")]
    pub repartition: bool,
    /// Take partitions from a living owner
    #[arg(long)]
    pub take_over: bool,
}

#[derive(Args, Debug)]
pub struct Plot {
    #[command(flatten)]
    pub dir: Dir,
    /// Picture to draw
    #[arg(long, default_value = "months", value_parser = choice::<plot::Kind>())]
    pub kind: plot::Kind,
    /// Months to draw, as July, jul or 7; a history needs one
    #[arg(long, value_name = "MONTH", num_args = 1.., value_parser = parse_month)]
    pub month: Vec<usize>,
    /// Format of the picture, or csv or jsonl for its numbers
    #[arg(long, default_value = "svg")]
    pub format: PlotFormat,
    /// Unit of the temperatures
    #[arg(long, default_value = "c", value_parser = choice::<plot::Unit>())]
    pub unit: plot::Unit,
    /// Width: 280 to 4000 pixels, or characters [default: by kind; 80]
    #[arg(long, value_name = "N",
          value_parser = whole::<u32>(40..=plot::WIDTH_MAX as u64))]
    pub width: Option<u32>,
    /// File to write, - for stdout [default: DIR/month.svg, …; text: -]
    #[arg(short, long, value_name = "PATH", value_parser = path_or_url())]
    pub output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum PlotFormat {
    /// A picture that any browser shows at any size
    Svg,
    /// The same in pixels, two for each of a page
    Png,
    /// Characters for a terminal; coloured there, unless NO_COLOR is set
    Text,
    /// The numbers of every month of every year, whatever the kind
    Csv,
    /// The same, a JSON object for each month
    Jsonl,
}

#[derive(Args, Debug)]
pub struct Dashboard {
    #[command(flatten)]
    pub dir: Dir,
    /// Address for browsers; port 0 picks a free port
    #[arg(
        short,
        long,
        value_name = "HOST:PORT",
        default_value = DASHBOARD_AT,
        env = "ALMANAC_DASHBOARD",
        value_parser = parse::<HostPort>
    )]
    pub listen: HostPort,
    /// Also accept requests for this host name
    #[arg(long, value_name = "NAME", env = "ALMANAC_ALLOW_HOST", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// Not ready when there is lag but no new checkpoint for this long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub stall_after: Duration,
}

#[derive(Args, Debug)]
pub struct Verify {
    /// Partitions to check [default: all that have a file]
    #[arg(value_name = "PARTITION", value_parser = parse_partition)]
    pub partitions: Vec<i32>,
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub dir: Dir,
    /// Format of the result
    #[arg(long, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    pub dir: Dir,
    /// Repeat every so many seconds until Ctrl-C [default: 1]
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = parse_seconds)]
    pub watch: Option<Duration>,
    /// Format of the output
    #[arg(long, default_value = "text")]
    pub format: Format,
    /// Fail unless every partition keeps up, as /readyz does
    #[arg(long, conflicts_with = "watch")]
    pub check: bool,
    /// Lag without a new checkpoint for so long fails the check
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub stall_after: Duration,
}

#[derive(Args, Debug)]
pub struct Store {
    #[command(subcommand)]
    pub action: StoreAction,
}

#[derive(Debug, Subcommand)]
pub enum StoreAction {
    /// Race conditional writes, and refuse a store that lets two win
    Check(StoreCheck),
}

#[derive(Args, Debug)]
pub struct StoreCheck {
    /// A bucket and a prefix, as in s3://bucket/prefix
    #[arg(value_name = "URL", value_parser = path_or_url())]
    pub url: PathBuf,
    /// How many races, of eight writers each
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = whole::<u32>(1..=100_000))]
    pub races: u32,
}

#[derive(Args, Debug)]
pub struct Completions {
    /// Shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Args, Debug)]
pub struct Man {
    /// Command [default: almanac itself]
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
    /// Write all pages into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command", value_parser = local_path())]
    pub into: Option<PathBuf>,
}

/// The default address of the dashboard.
pub const DASHBOARD_AT: &str = "127.0.0.1:8080";
