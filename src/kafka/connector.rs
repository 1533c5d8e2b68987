//! Makes connections to brokers: TCP, then TLS, then SASL, as librdkafka's properties describe them.

use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::config::NativeClientConfig;

use super::config::{Connection, property_error};
use super::error::KafkaError;
use super::link::{Link, Stream};
use super::sasl::{Mechanism, Sasl};
use super::tls::Tls;

const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Properties of which only librdkafka knows how to reach the brokers, with the reason. docs/PERFORMANCE.md lists them.
pub(super) const LEFT_TO_LIBRDKAFKA: &[(&str, &str)] = &[
    ("broker.address.family", "almanac takes the addresses as the system returns them"),
    ("broker.version.fallback", "almanac itself needs Kafka 3.1"),
    ("client.dns.lookup", "almanac takes the addresses as the system returns them"),
    ("client.rack", "almanac reads from leaders only"),
    ("ssl.engine.id", "only librdkafka loads engines and providers of OpenSSL"),
    ("ssl.engine.location", "only librdkafka loads engines and providers of OpenSSL"),
    ("ssl.providers", "only librdkafka loads engines and providers of OpenSSL"),
];

/// How to connect.
pub(super) struct Connector {
    pub(super) client_id: String,
    tls: Option<Tls>,
    sasl: Option<Sasl>,
}

/// A connection that is being made, by a thread: to a host that is away that takes a second.
pub(super) type Connecting = JoinHandle<io::Result<Link>>;

impl Connector {
    /// Nothing if the brokers are reached in a way that only librdkafka knows.
    pub(super) fn new(connection: &Connection) -> Result<Option<Connector>, KafkaError> {
        let native = connection.client().create_native_config().map_err(|error| property_error(&error))?;
        let is_left = |key: &str| LEFT_TO_LIBRDKAFKA.iter().any(|(left, _)| *left == key);
        if let Some(left) = connection.properties.iter().find(|property| is_left(&property.key)) {
            tracing::debug!("librdkafka makes all requests, because of property {}", left.key);
            return Ok(None);
        }
        // As librdkafka takes it: by its first name, the last one set, in its spelling of a choice.
        let property = |key: &str| property(&native, key);
        let protocol = property("security.protocol").unwrap_or_default();
        let sasl = match protocol.starts_with("sasl_") {
            true => match sasl(&property)? {
                Some(sasl) => Some(sasl),
                None => return Ok(None),
            },
            false => None,
        };
        let tls = protocol.ends_with("ssl").then(|| Tls::new(&property)).transpose()?;
        Ok(Some(Connector { client_id: connection.client_id().to_owned(), tls, sasl }))
    }

    /// Connects to a broker. TLS and SASL may take `patience`.
    pub(super) fn connect(&self, address: &str, patience: Duration) -> io::Result<Link> {
        let (host, stream) = connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let deadline = Instant::now() + patience.max(CONNECT_MAX);
        let mut link = Link::new(match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => Stream::Tls(Box::new(tls.connect(&host, stream, deadline)?)),
        });
        let renewal = match &self.sasl {
            None => None,
            Some(sasl) => sasl.authenticate(&mut link, &self.client_id, deadline)?,
        };
        link.set_known(renewal);
        Ok(link)
    }

    /// The same in a thread.
    pub(super) fn start_connecting(
        self: &Arc<Self>,
        address: &str,
        patience: Duration,
    ) -> io::Result<Connecting> {
        let (connector, address) = (Arc::clone(self), address.to_owned());
        thread::Builder::new().spawn(move || connector.connect(&address, patience))
    }
}

/// Connects to `HOST:PORT`. Returns the host as well, for which a certificate must be.
fn connect(address: &str) -> io::Result<(String, TcpStream)> {
    const KAFKAS_PORT: u16 = 9092;
    // A protocol may stand before it.
    let address = address.split_once("://").map_or(address, |(_, address)| address);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().map_err(|_| io::Error::from(ErrorKind::InvalidInput))?)
        }
        _ => (address, KAFKAS_PORT),
    };
    let host = host.trim_matches(['[', ']']);
    let mut failure = io::Error::new(ErrorKind::NotFound, "the host name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(stream) => return Ok((host.to_owned(), stream)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Nothing if only librdkafka has the mechanism.
fn sasl(property: &impl Fn(&str) -> Option<String>) -> Result<Option<Sasl>, KafkaError> {
    let Some(mechanism) = property("sasl.mechanisms").as_deref().and_then(Mechanism::of_name) else {
        return Ok(None);
    };
    let required = |key: &str| {
        let reason = || format!("SASL mechanism {} needs it", mechanism.name());
        property(key).ok_or_else(|| KafkaError::Property { key: key.to_owned(), reason: reason() })
    };
    let (username, password) = (required("sasl.username")?, required("sasl.password")?);
    Ok(Some(Sasl { mechanism, username, password }))
}

/// The value of a property that is set, or has a default.
fn property(native: &NativeClientConfig, key: &str) -> Option<String> {
    native.get(key).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_what_is_left_to_librdkafka() {
        let documentation = include_str!("../../docs/PERFORMANCE.md");
        for (key, reason) in LEFT_TO_LIBRDKAFKA {
            let row = documentation.lines().find(|line| line.contains(&format!("`{key}`")));
            assert!(row.is_some_and(|row| row.contains(reason)), "{key}: {reason}");
        }
    }
}
