//! What can be typed: definitions only. The doc comments are the help text.
//!
//! `-h` fits a screen: what is rarely typed is in `--help` only.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use jiff::SignedDuration;
use jiff::civil::Date;

use crate::broker::{HostPort, Voter};
use crate::choice::Choice;
use crate::kafka::Property;
use crate::plot;
use crate::report::parse_date;
use crate::source::{InputFormat, Unit};

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
pub struct Kafka {
    /// Kafka brokers, HOST:PORT[,HOST:PORT…]
    #[arg(short, long, value_name = "BROKERS", default_value = "localhost:9092", env = "ALMANAC_BROKERS",
          value_parser = parse_brokers)]
    pub brokers: String,
    /// Topic
    #[arg(short, long, default_value = "temperatures", env = "ALMANAC_TOPIC")]
    pub topic: String,
    /// Client property, as in kcat: security.*, ssl.*, sasl.*, fetch.*, …
    // The help would show the environment's value, and with it a password.
    #[arg(
        short = 'X',
        value_name = "KEY=VALUE",
        env = "ALMANAC_X",
        hide_env_values = true,
        value_delimiter = '\n'
    )]
    pub properties: Vec<Property>,
}

#[derive(Args, Clone, Debug)]
pub struct Dir {
    /// Where the checkpoints and the plot are
    #[arg(short, long, default_value = "files", env = "ALMANAC_DIR")]
    pub dir: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub struct Metrics {
    /// Serve numbers for Prometheus at /metrics there, /healthz and /readyz, too
    #[arg(id = "metrics", long = "metrics", value_name = "HOST:PORT", env = "ALMANAC_METRICS")]
    pub listen: Option<HostPort>,
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
    #[arg(long, value_name = "HOST:PORT", env = "ALMANAC_DASHBOARD")]
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
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", env = "ALMANAC_LISTEN")]
    pub listen: HostPort,
    /// What clients that come there are told to connect to [default: the same]
    #[arg(long, value_name = "HOST:PORT", env = "ALMANAC_ADVERTISE")]
    pub advertise: Option<HostPort>,
    /// A second address to listen at, for clients that can't reach what is advertised
    #[arg(
        id = "local",
        long = "local",
        value_name = "HOST:PORT",
        env = "ALMANAC_LOCAL",
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
    #[arg(long, value_name = "VOTERS", env = "ALMANAC_QUORUM", value_delimiter = ',',
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
pub struct Producer {
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub pace: Pace,
    /// Keep the topic: send the days that are missing in it, then go on
    #[arg(long, env = "ALMANAC_APPEND", conflicts_with = "recreate")]
    pub append: bool,
    /// Delete the topic even if the broker is another machine
    #[arg(long, env = "ALMANAC_RECREATE")]
    pub recreate: bool,
    /// Partitions of the topic
    #[arg(long, value_name = "N", default_value = "4", env = "ALMANAC_PARTITIONS",
          value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub partitions: i32,
    /// Replicas of each partition
    #[arg(long, value_name = "N", default_value = "1", env = "ALMANAC_REPLICATION", hide_short_help = true,
          value_parser = clap::value_parser!(i32).range(1..=100))]
    pub replication: i32,
    #[command(flatten)]
    pub metrics: Metrics,
    #[command(flatten)]
    pub synthetic: Synthetic,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Args, Clone, Debug)]
pub struct Pace {
    /// Time from day to day; 0: as fast as it goes
    #[arg(long, value_name = "TIME", default_value = "100ms", env = "ALMANAC_INTERVAL", value_parser = parse_duration)]
    pub interval: Duration,
    /// Stop after so many distinct days
    #[arg(long, value_name = "N", env = "ALMANAC_DAYS")]
    pub days: Option<u64>,
    /// Mean number of repeats of a day [default: 0.05; 0 with --file]
    #[arg(long, value_name = "RATE", env = "ALMANAC_DUPLICATES", value_parser = parse_rate)]
    pub duplicates: Option<f64>,
    /// What the repeats carry, in °C, so that counting one shows
    #[arg(long, value_name = "DEGREES", env = "ALMANAC_DUPLICATE_DEGREES", hide_short_help = true,
          value_parser = parse_degrees, allow_negative_numbers = true)]
    pub duplicate_degrees: Option<f64>,
    /// Longest gap between days in the topic that is filled, in years
    #[arg(long, value_name = "YEARS", default_value = "100", env = "ALMANAC_GAP_MAX", hide_short_help = true,
          value_parser = clap::value_parser!(u32).range(0..=9999))]
    pub gap_max: u32,
}

#[derive(Args, Clone, Debug)]
pub struct Synthetic {
    /// Seed of the synthetic weather
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        env = "ALMANAC_SEED",
        help_heading = "Synthetic weather"
    )]
    pub seed: u64,
    /// First day [default: 1990-01-01; with --append, the first in the topic]
    #[arg(long, value_name = "DATE", env = "ALMANAC_START", value_parser = parse_start,
          help_heading = "Synthetic weather")]
    pub start: Option<Date>,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Real weather")]
pub struct Files {
    /// Files to send: GHCN-Daily, NOAA, Open-Meteo, or any CSV; .gz too
    #[arg(long = "file", value_name = "PATH", num_args = 1.., env = "ALMANAC_FILE", conflicts_with_all = ["seed", "start"])]
    pub files: Vec<PathBuf>,
    /// Format of the files, if it is not recognised
    #[arg(
        long,
        value_name = "FORMAT",
        requires = "files",
        env = "ALMANAC_INPUT_FORMAT",
        value_parser = choice::<InputFormat>(),
        hide_short_help = true
    )]
    pub input_format: Option<InputFormat>,
    /// Which station of several
    #[arg(long, value_name = "ID", requires = "files", env = "ALMANAC_STATION")]
    pub station: Option<String>,
    /// Send observations that failed a quality check, too
    #[arg(long, requires = "files", env = "ALMANAC_KEEP_FLAGGED", hide_short_help = true)]
    pub keep_flagged: bool,
    /// Column of the date in a CSV
    #[arg(
        long,
        value_name = "NAME",
        requires = "files",
        env = "ALMANAC_DATE_COLUMN",
        hide_short_help = true
    )]
    pub date_column: Option<String>,
    /// Column of the temperature in a CSV
    #[arg(
        long,
        value_name = "NAME",
        requires = "files",
        env = "ALMANAC_DEGREES_COLUMN",
        hide_short_help = true
    )]
    pub degrees_column: Option<String>,
    /// Unit of that column
    #[arg(long, requires = "files", env = "ALMANAC_UNIT", value_parser = choice::<Unit>(), hide_short_help = true)]
    pub unit: Option<Unit>,
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
    /// What to do where records are gone that were not counted yet, or were counted
    #[arg(
        long,
        value_name = "ACTION",
        default_value = "fail",
        env = "ALMANAC_ON_GAP",
        help_heading = "Another log than before"
    )]
    pub on_gap: OnGap,
    /// Archive what was counted of another topic or cluster, and begin anew
    #[arg(long, env = "ALMANAC_NEW_LOG", help_heading = "Another log than before")]
    pub new_log: bool,
    /// Go on from checkpoints that have lost their log.json, as those of this topic
    #[arg(long, env = "ALMANAC_ADOPT", help_heading = "Another log than before", hide_short_help = true)]
    pub adopt: bool,
    /// Go on although the topic has more partitions than before, and months lie elsewhere
    #[arg(
        long,
        env = "ALMANAC_ALLOW_REPARTITION",
        help_heading = "Another log than before",
        hide_short_help = true
    )]
    pub allow_repartition: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum OnGap {
    /// Say what is gone, and change nothing
    Fail,
    /// Archive what was counted, and count what is left in the log
    Restart,
    /// Keep what was counted, go on with what is left, and note that in log.json
    Continue,
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
        env = "ALMANAC_DASHBOARD"
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

/// Where the dashboard is if nothing else is said.
pub const DASHBOARD_AT: &str = "127.0.0.1:8080";

const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Parses the name of a value, and has the help list all of them.
fn choice<T: Choice>() -> impl TypedValueParser<Value = T> {
    let values = T::ALL.iter().map(|(_, name, help)| PossibleValue::new(name).help(help));
    PossibleValuesParser::new(values).try_map(|name| T::named(&name).ok_or("it is not in the list"))
}

/// As the client reads them: it takes `PROTOCOL://` before a broker, and 9092 where there is no port, but any number for a
/// port, and what it can't read it leaves out.
pub fn parse_brokers(text: &str) -> Result<String, String> {
    const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
    for broker in text.split(',').map(str::trim) {
        if broker.is_empty() {
            return Err(match text.trim().is_empty() {
                true => "it names no broker".to_owned(),
                false => "there is no broker before or after a comma".to_owned(),
            });
        }
        let address = match broker.split_once("://") {
            Some((protocol, address)) if PROTOCOLS.iter().any(|it| it.eq_ignore_ascii_case(protocol)) => {
                address
            }
            Some((protocol, _)) => {
                return Err(format!("{protocol:?} is not one of the protocols {}", PROTOCOLS.join(", ")));
            }
            None => broker,
        };
        HostPort::parse(address, Some(BROKER_PORT)).map_err(|reason| format!("{broker:?}: {reason}"))?;
    }
    Ok(text.trim().to_owned())
}

/// The port of a broker that is named without one.
pub const BROKER_PORT: u16 = 9092;

pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        // Far beyond any use, and far below where the clock's arithmetic ends.
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or_else(|| "it is not a time such as 100ms, 5s or 1m".to_owned())
}

/// Seconds, or a time with its unit as elsewhere. Less than a tenth would only flicker.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .map_or_else(|| parse_duration(text), Ok)
        .ok()
        .filter(|time| (Duration::from_millis(100)..=DURATION_MAX).contains(time))
        .ok_or_else(|| "it is not a number of seconds from 0.1 on".to_owned())
}

pub fn parse_rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.0..=1000.0).contains(rate))
        .ok_or_else(|| "it is not from 0 to 1000".to_owned())
}

pub fn parse_degrees(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|degrees| crate::report::is_valid_degrees(*degrees))
        .ok_or_else(|| "it is not a number of degrees".to_owned())
}

pub fn parse_start(text: &str) -> Result<Date, String> {
    parse_date(text.as_bytes())
        .ok_or_else(|| "it is not a day from 0001-01-01 to 9999-12-31, as YYYY-MM-DD".to_owned())
}

pub fn parse_partition(text: &str) -> Result<i32, String> {
    text.parse()
        .ok()
        .filter(|partition| *partition >= 0)
        .ok_or_else(|| "a partition is a number from 0 on".to_owned())
}

/// Kafka takes others, too, until something reads them as the 16 bytes that they are meant to be.
pub fn parse_cluster_id(text: &str) -> Result<String, String> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    match URL_SAFE_NO_PAD.decode(text) {
        // It would be read as an option.
        Ok(bytes) if bytes.len() == 16 && !text.starts_with('-') => Ok(text.to_owned()),
        _ => Err("it is not 16 bytes in URL-safe base64, 22 characters without padding".to_owned()),
    }
}

pub fn parse_month(text: &str) -> Result<usize, String> {
    crate::report::MONTHS
        .iter()
        .position(|month| month.eq_ignore_ascii_case(text))
        .ok_or_else(|| "it is not a month's English name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_is_sixteen_bytes() {
        assert!(parse_cluster_id("AAAAAAAAQACAAAAAAAAAAQ").is_ok());
        for text in
            ["", "weather", "AAAAAAAAQACAAAAAAAAAAQ==", "-AAAAAAAQACAAAAAAAAAAQ", "AAAAAAAAQACAAAAAAAAAA+"]
        {
            assert!(parse_cluster_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn brokers_are_hosts_with_ports() {
        for text in [
            "localhost:9092",
            "kafka-1:9092,kafka-2:9092",
            "kafka-1:9092, kafka-2",
            "[::1]:9092",
            "[::1]",
            "SASL_SSL://b.example:9093",
            "127.0.0.1:0",
        ] {
            assert_eq!(parse_brokers(text), Ok(text.to_owned()));
        }
        for (text, reason) in [
            ("", "it names no broker"),
            ("localhost:9092,", "there is no broker before or after a comma"),
            (",localhost:9092", "there is no broker before or after a comma"),
            ("localhost:99999", "\"localhost:99999\": port \"99999\" is not a number from 0 to 65535"),
            ("a:1,localhost:abc", "\"localhost:abc\": port \"abc\" is not a number from 0 to 65535"),
            (":9092", "\":9092\": it has no host"),
            ("::1:9092", "\"::1:9092\": an IPv6 address stands in brackets"),
            ("http://a:80", "\"http\" is not one of the protocols PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
            ("a b:9092", "\"a b:9092\": ' ' is not part of a host's name"),
        ] {
            assert_eq!(parse_brokers(text), Err(reason.to_owned()));
        }
    }

    #[test]
    fn seconds_need_no_unit() {
        for (text, millis) in [("1", 1000), ("0.5", 500), ("0.1", 100), ("5s", 5000), ("100ms", 100)] {
            assert_eq!(parse_seconds(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "0", "0.09", "-1", "nan", "inf", "1e300", "soon"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
