//! Options and parsers that several commands share.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::arguments::{
    HostPort, PathError, Properties, Property, check_local, check_place, parse_brokers, parse_topic,
};
use crate::choice::Choice;
use crate::failure::{Failure, told};

#[derive(Args, Clone, Debug)]
pub struct Kafka {
    /// Kafka brokers, HOST:PORT[,HOST:PORT…]
    #[arg(short, long, value_name = "BROKERS", default_value = "localhost:9092", env = "ALMANAC_BROKERS",
          value_parser = parse_brokers)]
    pub brokers: String,
    /// Topic of the reports
    #[arg(short, long, default_value = "temperatures", env = "ALMANAC_TOPIC", value_parser = parse_topic)]
    pub topic: String,
    /// Set a client property, as in kcat: security.*, ssl.*, sasl.*, …
    // The help would show the environment's value, and with it a password.
    #[arg(short = 'X', value_name = "KEY=VALUE", env = "ALMANAC_X", hide_env_values = true)]
    pub properties: Vec<Properties>,
}

/// All properties of several options, in order.
pub fn all_properties(properties: &[Properties]) -> Vec<Property> {
    properties.iter().flat_map(|Properties(properties)| properties).cloned().collect()
}

#[derive(Args, Clone, Debug)]
pub struct Dir {
    /// Directory of the checkpoints and the plot
    #[arg(short, long, default_value = "files", env = "ALMANAC_DIR", value_parser = path_or_url())]
    pub dir: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub struct Metrics {
    /// Serve /metrics, /healthz and /readyz at this address
    #[arg(id = "metrics", long = "metrics", value_name = "HOST:PORT", env = "ALMANAC_METRICS",
          value_parser = parse::<HostPort>)]
    pub listen: Option<HostPort>,
}

/// Parses the name of a value, and has the help list all of them.
pub fn choice<T: Choice>() -> impl TypedValueParser<Value = T> {
    let values = T::ALL.iter().map(|(_, name, help)| PossibleValue::new(name).help(help));
    PossibleValuesParser::new(values).try_map(|name| T::named(&name).ok_or("it is not in the list"))
}

/// Parses a path, or the URL of an object store.
pub fn path_or_url() -> impl TypedValueParser<Value = PathBuf> {
    checked_path(check_place)
}

pub fn local_path() -> impl TypedValueParser<Value = PathBuf> {
    checked_path(check_local)
}

fn checked_path(check: fn(&Path) -> Result<(), PathError>) -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(move |path| check(&path).map(|()| path).map_err(|error| told(&error)))
}

/// Parses a whole number within these bounds.
pub fn whole<T: TryFrom<u64>>(
    bounds: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number.and_then(|number| number.try_into().ok()).ok_or_else(|| match (bounds.start(), bounds.end()) {
            (min, &u64::MAX) => format!("it is not a whole number from {min} on"),
            (min, max) => format!("it is not a whole number from {min} to {max}"),
        })
    }
}

/// A value whose errors have a hint, which clap prints with them.
pub fn parse<T: FromStr<Err: Failure>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| told(&error))
}
