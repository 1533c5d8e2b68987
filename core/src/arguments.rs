//! Values that a user types: text in, values within their bounds out. An error names the reason, and leaves it to clap
//! to repeat the text.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use jiff::civil::Date;

use crate::failure::{Exit, Failure};
use crate::place::{Place, STATION_BYTES_MAX};
use crate::report::{MONTHS, is_valid_degrees, parse_date};
use crate::text::quoted;

const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The options that most commands have, with their defaults.
const DEFAULTS: [(&str, &str); 3] = [("-b", "localhost:9092"), ("-t", "temperatures"), ("-d", "files")];

/// A command as a user types it in a shell, without the options that have their default.
pub fn command_line(command: &str, options: &[(&str, &str)]) -> String {
    let mut line = command.to_owned();
    for (option, value) in options.iter().filter(|option| !DEFAULTS.contains(option)) {
        line.extend([" ", option, " ", &quoted(value)]);
    }
    line
}

/// `HOST:PORT`; an IPv6 address stands in brackets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl HostPort {
    /// Whether this stands for every address of this machine.
    pub fn is_everywhere(&self) -> bool {
        self.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified())
    }

    /// The address by which clients on this machine connect.
    pub fn reachable(&self) -> HostPort {
        let host = match self.host.as_str() {
            "::" => "::1",
            _ if self.is_everywhere() => "127.0.0.1",
            host => host,
        };
        HostPort { host: host.to_owned(), port: self.port }
    }
}

impl Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HostPort { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<HostPort, HostPortError> {
        HostPort::parse(text, None).map_err(|reason| HostPortError { text: text.to_owned(), reason })
    }
}

impl HostPort {
    /// `HOST:PORT`, or `HOST` alone where there is a port that it then has. Else what is wrong with it.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<HostPort, String> {
        let (host, port) = split_port(text)?;
        let port = match (port, default_port) {
            (Some(port), _) => parse_port(port)?,
            (None, Some(port)) => port,
            (None, None) => return Err("it has no port".to_owned()),
        };
        if host.is_empty() {
            return Err("it has no host".to_owned());
        }
        // An IPv6 address may name its network interface.
        let is_host = |letter: char| letter.is_alphanumeric() || "-._:%".contains(letter);
        match host.chars().find(|letter| !is_host(*letter)) {
            Some(letter) => Err(format!("{letter:?} is not part of a host's name")),
            None => Ok(HostPort { host: host.to_owned(), port }),
        }
    }
}

/// A station ID as reports carry it; an empty one is that of reports without.
pub fn parse_station(text: &str) -> Result<String, String> {
    match text.len() {
        0..=STATION_BYTES_MAX => Ok(text.to_owned()),
        length => Err(format!("it has {length} bytes, and a station ID has at most {STATION_BYTES_MAX}")),
    }
}

/// A place's name.
pub fn parse_place(text: &str) -> Result<String, String> {
    let place = Place { name: Some(text.to_owned()), ..Place::default() }.cleaned();
    place
        .name
        .filter(|name| name == text.trim())
        .ok_or_else(|| "it is empty, has control characters, or is too long".to_owned())
}

/// The host without its brackets, and what stands for the port.
fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
        let address = host.split_once('%').map_or(host, |(address, _)| address);
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!("{host:?} is not an IPv6 address"));
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(format!("{rest:?} follows the bracket")),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Err("an IPv6 address stands in brackets".to_owned()),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn parse_port(port: &str) -> Result<u16, String> {
    let is_number = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    match port.parse() {
        Ok(port) if is_number => Ok(port),
        _ => Err(format!("port {port:?} is not a number from 0 to 65535")),
    }
}

/// A text that is not `HOST:PORT`.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not HOST:PORT: {reason}")]
pub struct HostPortError {
    text: String,
    reason: String,
}

impl Failure for HostPortError {
    fn hint(&self) -> Option<String> {
        Some("write it as in 127.0.0.1:9092 or [::1]:9092".to_owned())
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// The schemes of object stores.
const STORES: [&str; 3] = ["s3", "gs", "az"];

/// Refuses what looks like a URL, unless it is one of an object store. As a path, it would become directories with odd
/// names.
pub fn check_place(path: &Path) -> Result<(), PathError> {
    let text = path.to_string_lossy();
    match split_scheme(&text) {
        Some((scheme, rest)) if STORES.contains(&scheme) && rest.starts_with("//") => Ok(()),
        Some(_) => Err(PathError::NotStore { text: text.into_owned() }),
        None => Ok(()),
    }
}

/// Refuses whatever looks like a URL.
pub fn check_local(path: &Path) -> Result<(), PathError> {
    let text = path.to_string_lossy();
    match split_scheme(&text) {
        Some(_) => Err(PathError::NotLocal { text: text.into_owned() }),
        None => Ok(()),
    }
}

/// The scheme of a URL, also of a mistyped one, and what follows the colon: two characters or more before `:/`, or an object
/// store's scheme before any colon. In `a:b` and `./s3:b` there is none.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && scheme.bytes().all(is_part);
    (is_scheme && (rest.starts_with('/') || is_store(scheme))).then_some((scheme, rest))
}

fn is_store(scheme: &str) -> bool {
    STORES.iter().any(|store| store.eq_ignore_ascii_case(scheme))
}

/// A text that looks like a URL where none, or another one, can be.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    #[error("it is not the URL of an object store, which begins with s3://, gs:// or az://")]
    NotStore { text: String },
    #[error("it is a URL, and this can only be a local path")]
    NotLocal { text: String },
}

impl Failure for PathError {
    fn hint(&self) -> Option<String> {
        let (PathError::NotStore { text } | PathError::NotLocal { text }) = self;
        let (scheme, rest) = split_scheme(text)?;
        let is_file = scheme.eq_ignore_ascii_case("file");
        Some(match rest.strip_prefix("//").unwrap_or(rest) {
            path if is_file && path.starts_with('/') => format!("write {path}"),
            _ if matches!(self, PathError::NotLocal { .. }) => {
                format!("write ./{text} for a local directory of this name")
            }
            _ => {
                let store = if is_store(scheme) { scheme.to_ascii_lowercase() } else { "s3".to_owned() };
                format!("write {store}://BUCKET/PREFIX, or ./{text} for a local path")
            }
        })
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// One `-X KEY=VALUE`.
#[derive(Clone, Eq, PartialEq)]
pub struct Property {
    pub key: String,
    pub value: String,
}

impl fmt::Debug for Property {
    /// Without the value, which may be a password.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}=…", self.key)
    }
}

impl FromStr for Property {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Property { key: key.trim().to_owned(), value: value.to_owned() })
            }
            _ => Err("it is not KEY=VALUE".to_owned()),
        }
    }
}

/// Properties, one a line: what an option or an environment variable holds. The text of a PEM file may have several lines,
/// or `\n` in their place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Properties(pub Vec<Property>);

impl FromStr for Properties {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut properties: Vec<Property> = Vec::new();
        for line in text.lines() {
            match properties.last_mut() {
                Some(Property { value, .. }) if is_continued(value, line) => {
                    value.push('\n');
                    value.push_str(line);
                }
                _ if line.trim().is_empty() && text.contains('\n') => {}
                _ => properties.push(line.parse()?),
            }
        }
        for Property { value, .. } in properties.iter_mut().filter(|property| has_pem(&property.value)) {
            *value = value.replace("\\n", "\n");
        }
        match properties.is_empty() {
            true => Err("it is not KEY=VALUE".to_owned()),
            false => Ok(Properties(properties)),
        }
    }
}

fn has_pem(value: &str) -> bool {
    value.contains("-----BEGIN ")
}

/// Whether the line belongs to the PEM text before it. Tools also write lines like `subject=CN = kafka` between
/// certificates, but no property with a dot in its name.
fn is_continued(value: &str, line: &str) -> bool {
    let is_open = value.matches("-----BEGIN ").count() > value.matches("-----END ").count();
    let key = line.split_once('=').map_or("", |(key, _)| key.trim());
    let is_property = key.contains('.') && !key.contains(' ');
    has_pem(value) && (is_open || !is_property)
}

/// Accepts brokers as librdkafka does: with or without `PROTOCOL://`, and at port 9092 by default. librdkafka also takes
/// any number for a port, and skips a broker that it can't parse; here these are errors.
pub fn parse_brokers(text: &str) -> Result<String, String> {
    const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
    for broker in text.split(',').map(str::trim) {
        if broker.is_empty() {
            return Err(match text.trim().is_empty() {
                true => "it names no broker".to_owned(),
                false => "a broker is missing before or after a comma".to_owned(),
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
        .filter(|degrees| is_valid_degrees(*degrees))
        .ok_or_else(|| "it is not a number of degrees".to_owned())
}

pub fn parse_start(text: &str) -> Result<Date, String> {
    parse_date(text.as_bytes())
        .ok_or_else(|| "it is not a day from 0001-01-01 to 9999-12-31, as YYYY-MM-DD".to_owned())
}

/// A name as Kafka allows it.
pub fn parse_topic(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match (1..=249).contains(&text.len()) && text.bytes().all(is_allowed) && !matches!(text, "." | "..") {
        true => Ok(text.to_owned()),
        false => Err("it is not 1 to 249 letters, digits, dots, hyphens and underscores".to_owned()),
    }
}

pub fn parse_partition(text: &str) -> Result<i32, String> {
    text.parse()
        .ok()
        .filter(|partition| *partition >= 0)
        .ok_or_else(|| "a partition is a number from 0 on".to_owned())
}

/// Kafka also accepts other texts, until one of its parts reads them as 16 bytes.
pub fn parse_cluster_id(text: &str) -> Result<String, String> {
    match URL_SAFE_NO_PAD.decode(text) {
        // It would be read as an option.
        Ok(bytes) if bytes.len() == 16 && !text.starts_with('-') => Ok(text.to_owned()),
        _ => Err("it is not 16 bytes in URL-safe base64, 22 characters without padding".to_owned()),
    }
}

/// A month's English name, the beginning of one, or its number; counted from 0.
pub fn parse_month(text: &str) -> Result<usize, String> {
    if let Ok(number @ 1..=12) = text.parse::<usize>() {
        return Ok(number - 1);
    }
    let begins = |month: &str| month.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
    let found: Vec<usize> =
        (0..MONTHS.len()).filter(|month| !text.is_empty() && begins(MONTHS[*month])).collect();
    match found[..] {
        [month] => Ok(month),
        [] => {
            Err("it is not a month's English name, the beginning of one, or a number from 1 to 12".to_owned())
        }
        _ => {
            let names: Vec<&str> = found.iter().map(|month| MONTHS[*month]).collect();
            Err(format!("it may be {}", names.join(" or ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_a_name_its_beginning_or_a_number() {
        for (month, name) in MONTHS.iter().enumerate() {
            let number = month + 1;
            for text in
                [(*name).to_owned(), name[..3].to_lowercase(), number.to_string(), format!("{number:02}")]
            {
                assert_eq!(parse_month(&text), Ok(month), "{text}");
            }
        }
        assert_eq!(parse_month("S"), Ok(8));
        assert_eq!(parse_month("ju"), Err("it may be June or July".to_owned()));
        for text in ["", "0", "13", "-1", "+1x", "Junes", "Jänner", "é", "1.5"] {
            assert!(parse_month(text).is_err(), "{text}");
        }
    }

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
            ("localhost:9092,", "a broker is missing before or after a comma"),
            (",localhost:9092", "a broker is missing before or after a comma"),
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

    #[test]
    fn an_address_says_what_is_wrong_with_it() {
        for text in ["localhost:9092", "127.1:0", "[::1]:65535", "kafka_1.example:1", "[fe80::1%eth0]:9092"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        for (text, reason) in [
            ("", "it has no port"),
            ("localhost", "it has no port"),
            (":9092", "it has no host"),
            ("[]:9092", "\"\" is not an IPv6 address"),
            ("localhost:", "port \"\" is not a number from 0 to 65535"),
            ("localhost:99999", "port \"99999\" is not a number from 0 to 65535"),
            ("localhost:+1", "port \"+1\" is not a number from 0 to 65535"),
            ("localhost:abc", "port \"abc\" is not a number from 0 to 65535"),
            ("localhost: 9092", "port \" 9092\" is not a number from 0 to 65535"),
            ("::1:9092", "an IPv6 address stands in brackets"),
            ("[::1:9092", "the bracket is not closed"),
            ("[::1]9092", "\"9092\" follows the bracket"),
            ("[localhost]:9092", "\"localhost\" is not an IPv6 address"),
            ("a,b:9092", "',' is not part of a host's name"),
            ("a/b:9092", "'/' is not part of a host's name"),
            ("a b:9092", "' ' is not part of a host's name"),
        ] {
            let error = text.parse::<HostPort>().unwrap_err().to_string();
            assert_eq!(error, format!("{text:?} is not HOST:PORT: {reason}"));
        }
        assert_eq!(HostPort::parse("kafka", Some(9092)).unwrap().to_string(), "kafka:9092");
    }

    #[test]
    fn properties_are_key_and_value() {
        let property = |key: &str, value: &str| Property { key: key.to_owned(), value: value.to_owned() };
        assert_eq!("sasl.password=a=b ".parse(), Ok(property("sasl.password", "a=b ")));
        assert_eq!(" client.id =".parse(), Ok(property("client.id", "")));
        for text in ["", "client.id", "=x", " =x"] {
            assert!(text.parse::<Property>().is_err(), "{text:?}");
            assert!(text.parse::<Properties>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_pem_text_is_one_value_however_its_lines_end() {
        let pem = "-----BEGIN CERTIFICATE-----\nAb+/c=d.e=\nacks==\n-----END CERTIFICATE-----";
        let chain = format!("{pem}\nsubject=CN = kafka\n\n{pem}");
        let escaped = chain.replace('\n', "\\n");
        for (text, expected) in [
            ("debug=all\nclient.id=a\n".to_owned(), vec![("debug", "all"), ("client.id", "a")]),
            (format!("ssl.ca.pem={chain}"), vec![("ssl.ca.pem", &*chain)]),
            (format!("ssl.ca.pem={escaped}"), vec![("ssl.ca.pem", &*chain)]),
            (
                format!("client.id=a\nssl.ca.pem={chain}\nssl.key.pem={escaped}\nsasl.username=b\\n"),
                vec![
                    ("client.id", "a"),
                    ("ssl.ca.pem", &chain),
                    ("ssl.key.pem", &chain),
                    ("sasl.username", "b\\n"),
                ],
            ),
        ] {
            let Properties(found) = text.parse().unwrap();
            let found: Vec<_> = found.iter().map(|found| (&*found.key, &*found.value)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
