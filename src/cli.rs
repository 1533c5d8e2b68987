//! The command line: definitions only. The doc comments are the help text.
//!
//! `-h` fits a screen: what is rarely typed is in `--help` only.

mod producer;
mod shared;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use self::shared::{choice, parse};
use crate::arguments::{
    HostPort, Property, parse_cluster_id, parse_duration, parse_month, parse_partition, parse_seconds,
};
use crate::broker::Voter;
use crate::plot;

pub use self::producer::{Files, Pace, Producer, Synthetic};
pub use self::shared::{Dir, Kafka, Metrics};

/// Daily weather through Apache Kafka into month-by-month statistics, counted exactly once
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 bad input file, 4 Kafka, \
                        5 checkpoint refused, 6 owned by another process, 7 disk.")]
pub struct Cli {
    #[command(flatten)]
    pub logging: Logging,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: Kafka, producer, consumer, dashboard
    Up(Up),
    /// Run only a local Apache Kafka
    Broker(Broker),
    /// Send daily reports, synthetic or from files
    Producer(Producer),
    /// Show records as they come
    Debug(Debug),
    /// Keep the checkpoints: month-by-month statistics, counted exactly once
    Consumer(Consumer),
    /// Draw pictures of the checkpoints: months, heat map, stripes, history
    Plot(Plot),
    /// Show DIR as a live web page
    Dashboard(Dashboard),
    /// Check the checkpoints against the log, bit for bit
    Verify(Verify),
    /// Decide how to continue after lost records or another log
    Recover(Recover),
    /// Show how far each partition is
    Status(Status),
    /// Print the schema of the record's value
    Proto,
    /// Print the completions of a shell
    Completions(Completions),
    /// Print the manual page of almanac, or of a command
    Man(Man),
}

#[derive(Args, Debug)]
pub struct Logging {
    /// Log more; twice, or three times, even more
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Log errors only
    #[arg(short, long, env = "ALMANAC_QUIET", global = true)]
    pub quiet: bool,
    /// How to log, on stderr
    #[arg(
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
    /// Where the local Kafka keeps its data [default: ~/.local/share/almanac/kafka]
    #[arg(long, value_name = "DIR", env = "ALMANAC_DATA")]
    pub data: Option<PathBuf>,
    /// Server property of the local Kafka
    #[arg(
        long,
        value_name = "KEY=VALUE",
        env = "ALMANAC_SET",
        hide_env_values = true,
        value_delimiter = '\n'
    )]
    pub set: Vec<Property>,
}

#[derive(Args, Debug)]
pub struct Up {
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub dir: Dir,
    #[command(flatten)]
    pub local: LocalKafka,
    /// Where the dashboard is [default: 127.0.0.1:8080, or a free port]
    #[arg(long, value_name = "HOST:PORT", env = "ALMANAC_DASHBOARD", value_parser = parse::<HostPort>)]
    pub listen: Option<HostPort>,
    /// Answer to this host name, too, beside localhost, IP addresses and the name listened at
    #[arg(
        long,
        value_name = "NAME",
        env = "ALMANAC_ALLOW_HOST",
        value_delimiter = ',',
        hide_short_help = true
    )]
    pub allow_host: Vec<String>,
    /// No dashboard, whatever --listen says
    #[arg(long, env = "ALMANAC_NO_DASHBOARD")]
    pub no_dashboard: bool,
    /// Begin again: delete the topic, archive what was counted
    #[arg(long, env = "ALMANAC_FRESH")]
    pub fresh: bool,
    /// Take a topic that 'up' did not begin: add to it, or delete it with --fresh
    // Not from the environment: what it allows is meant for one topic.
    #[arg(long, hide_short_help = true)]
    pub adopt: bool,
    #[command(flatten)]
    pub pace: Pace,
    #[command(flatten)]
    pub synthetic: Synthetic,
}

#[derive(Args, Debug)]
pub struct Broker {
    /// Where clients connect; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", env = "ALMANAC_LISTEN",
          value_parser = parse::<HostPort>)]
    pub listen: HostPort,
    /// What clients that come there are told to connect to [default: the same]
    #[arg(long, value_name = "HOST:PORT", env = "ALMANAC_ADVERTISE", value_parser = parse::<HostPort>)]
    pub advertise: Option<HostPort>,
    /// A second address to listen at, for clients that can't reach what is advertised
    #[arg(
        id = "local",
        long = "local",
        value_name = "HOST:PORT",
        env = "ALMANAC_LOCAL",
        value_parser = parse::<HostPort>,
        hide_short_help = true
    )]
    pub also_listen: Option<HostPort>,
    /// Only say whether Kafka answers there, and start nothing
    #[arg(long, conflicts_with = "jars")]
    pub check: bool,
    /// Only get Apache Kafka's jars, and print where they are
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
    /// All nodes of the cluster, ID@HOST:PORT each, with the address of the node's controller
    #[arg(long, value_name = "VOTERS", env = "ALMANAC_QUORUM", value_delimiter = ',', value_parser = parse::<Voter>,
          requires_all = ["node", "cluster_id"])]
    pub quorum: Vec<Voter>,
    /// Which of them this one is
    #[arg(long, value_name = "ID", requires = "quorum", env = "ALMANAC_NODE")]
    pub node: Option<u32>,
    /// The id that all of them share: 22 characters, as of 16 bytes in URL-safe base64
    #[arg(long, value_name = "ID", requires = "quorum", env = "ALMANAC_CLUSTER_ID", value_parser = parse_cluster_id)]
    pub cluster_id: Option<String>,
}

#[derive(Args, Debug)]
pub struct Debug {
    #[command(flatten)]
    pub kafka: Kafka,
    /// Consumer group; nothing is committed to it
    #[arg(long, default_value = "debug", env = "ALMANAC_DEBUG_GROUP")]
    pub group: String,
    /// How to print a record
    #[arg(long, default_value = "python", env = "ALMANAC_FORMAT")]
    pub format: DebugFormat,
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
    /// Partitions to keep; none: those that the group assigns
    #[arg(value_name = "PARTITION", allow_negative_numbers = true, value_parser = parse_partition)]
    pub partitions: Vec<i32>,
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub dir: Dir,
    /// Consumer group; all its members share DIR
    #[arg(long, default_value = "almanac", env = "ALMANAC_GROUP")]
    pub group: String,
    /// Take partitions from a living owner
    #[arg(long, env = "ALMANAC_TAKE_OVER")]
    pub take_over: bool,
    /// How long to wait for the former owner of an assigned partition
    #[arg(long, value_name = "TIME", default_value = "10s", env = "ALMANAC_HANDOVER_TIMEOUT", value_parser = parse_duration)]
    pub handover_timeout: Duration,
    /// Time from checkpoint to checkpoint [default: as short as holds nothing up, and takes 10 GB of disk a day]
    #[arg(long, value_name = "TIME", env = "ALMANAC_CHECKPOINT_EVERY", value_parser = parse_duration)]
    pub checkpoint_every: Option<Duration>,
    /// How long there may be lag and no new checkpoint before that is told
    #[arg(long, value_name = "TIME", default_value = "30s", env = "ALMANAC_STALL_AFTER", value_parser = parse_duration)]
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
    #[arg(value_name = "PARTITION", allow_negative_numbers = true, value_parser = parse_partition)]
    pub partitions: Vec<i32>,
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub dir: Dir,
    /// Archive the counts, and count again what the log holds
    #[arg(long, group = "action", help_heading = "Actions, one of")]
    pub restart: bool,
    /// Continue at the nearest offset in the log, or after a damaged batch
    #[arg(long = "continue", group = "action", help_heading = "Actions, one of")]
    pub continue_: bool,
    /// Take checkpoints without log.json for those of this topic
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
    /// What to draw
    #[arg(long, default_value = "months", env = "ALMANAC_PLOT_KIND", value_parser = choice::<plot::Kind>())]
    pub kind: plot::Kind,
    /// Only these months, in calendar order; the one month of a history
    #[arg(long, value_name = "NAME", num_args = 1.., env = "ALMANAC_MONTH", value_parser = parse_month)]
    pub month: Vec<usize>,
    /// How to draw it
    #[arg(long, default_value = "svg", env = "ALMANAC_PLOT_FORMAT")]
    pub format: PlotFormat,
    /// Unit of the picture's temperatures
    #[arg(long, default_value = "c", env = "ALMANAC_PLOT_UNIT", value_parser = choice::<plot::Unit>())]
    pub unit: plot::Unit,
    /// How wide: pixels of a page, 280 to 4000, or characters [default: what suits it; 80]
    #[arg(long, value_name = "N", env = "ALMANAC_PLOT_WIDTH",
          value_parser = clap::value_parser!(u32).range(40..=plot::WIDTH_MAX as i64))]
    pub width: Option<u32>,
    /// Where to write it; -: to stdout [default: DIR/month.svg, DIR/heatmap.png, …; text to stdout]
    #[arg(short, long, value_name = "PATH", env = "ALMANAC_PLOT_OUTPUT")]
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
}

#[derive(Args, Debug)]
pub struct Dashboard {
    #[command(flatten)]
    pub dir: Dir,
    /// Where browsers connect; port 0 picks a free one
    #[arg(
        short,
        long,
        value_name = "HOST:PORT",
        default_value = DASHBOARD_AT,
        env = "ALMANAC_DASHBOARD",
        value_parser = parse::<HostPort>
    )]
    pub listen: HostPort,
    /// Answer to this host name, too, beside localhost, IP addresses and the name listened at
    #[arg(long, value_name = "NAME", env = "ALMANAC_ALLOW_HOST", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// How long there may be lag and no new checkpoint before /readyz says no
    #[arg(long, value_name = "TIME", default_value = "30s", env = "ALMANAC_STALL_AFTER", value_parser = parse_duration)]
    pub stall_after: Duration,
}

#[derive(Args, Debug)]
pub struct Verify {
    /// Partitions to check [default: all that have a file]
    #[arg(value_name = "PARTITION", allow_negative_numbers = true, value_parser = parse_partition)]
    pub partitions: Vec<i32>,
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub dir: Dir,
    /// How to print what came of it
    #[arg(long, default_value = "text", env = "ALMANAC_VERIFY_FORMAT")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    pub dir: Dir,
    /// Show it again every so many seconds, until Ctrl-C [default, where only --watch is typed: 1]
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", env = "ALMANAC_WATCH", value_parser = parse_seconds)]
    pub watch: Option<Duration>,
    /// How to print it; json is one object, with --watch one a line
    #[arg(long, default_value = "text", env = "ALMANAC_STATUS_FORMAT")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Args, Debug)]
pub struct Man {
    /// Which command [default: almanac itself]
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
    /// Write the pages of almanac and of all commands into this directory
    #[arg(long, value_name = "DIR", env = "ALMANAC_INTO", conflicts_with = "command")]
    pub into: Option<PathBuf>,
}

/// The default address of the dashboard.
pub const DASHBOARD_AT: &str = "127.0.0.1:8080";
