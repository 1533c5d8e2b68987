//! Where the broker listens: what was asked for, made into Kafka's properties.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::{BrokerError, HostPort};

/// The listener that the node's broker talks to its own controller through. It is on a loopback port of its own.
pub const CONTROLLER: &str = "CONTROLLER";

/// Kafka's own map of listener names to protocols, and the controller's.
const PROTOCOLS: &str = "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL";

#[derive(Debug)]
pub struct Listeners {
    /// The listeners for clients.
    clients: Vec<Listener>,
    controller: HostPort,
    /// `HOST:PORT` of the first listener, for clients on this machine.
    pub bootstrap: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Listener {
    name: String,
    address: HostPort,
}

impl Listeners {
    /// Chooses the ports that are open to choice; checks that the others are free.
    ///
    /// `listen` counts unless `set` has `listeners`.
    pub fn choose(listen: &HostPort, set: &[(String, String)]) -> Result<Listeners, BrokerError> {
        let mut clients = match last(set, "listeners") {
            Some(value) => parse(value)?,
            None => vec![Listener { name: "PLAINTEXT".to_owned(), address: listen.clone() }],
        };
        clients.retain(|listener| listener.name != CONTROLLER);
        for listener in &mut clients {
            listener.address.port = free_port(&listener.address)?;
        }
        let mut controller = HostPort { host: Ipv4Addr::LOCALHOST.to_string(), port: 0 };
        controller.port = free_port(&controller)?;
        Listeners::of(clients, controller, last(set, "advertised.listeners").is_some())
    }

    /// For a configuration that nothing listens by.
    pub fn unused() -> Listeners {
        let loopback = |port| HostPort { host: Ipv4Addr::LOCALHOST.to_string(), port };
        let clients = vec![Listener { name: "PLAINTEXT".to_owned(), address: loopback(9092) }];
        Listeners { clients, controller: loopback(9093), bootstrap: String::new() }
    }

    fn of(
        clients: Vec<Listener>,
        controller: HostPort,
        is_advertised: bool,
    ) -> Result<Listeners, BrokerError> {
        let first = clients.first().ok_or(BrokerError::NoClientListener { controller: CONTROLLER })?;
        let bootstrap = reachable(&first.address).to_string();
        let everywhere = clients.iter().find(|listener| is_everywhere(&listener.address));
        if let Some(Listener { name, address }) = everywhere.filter(|_| !is_advertised) {
            let (address, name, port) = (address.to_string(), name.clone(), address.port);
            return Err(BrokerError::NothingToAdvertise { address, name, port });
        }
        Ok(Listeners { clients, controller, bootstrap })
    }

    /// Kafka's properties. Values in `set` override them; of the protocol map, only what it leaves out is added.
    pub fn properties(&self, set: &[(String, String)]) -> Vec<(String, String)> {
        let Listeners { clients, controller, .. } = self;
        let all = |listeners: &[Listener]| {
            let all: Vec<_> =
                listeners.iter().map(|Listener { name, address }| format!("{name}://{address}")).collect();
            all.join(",")
        };
        let protocols = last(set, "listener.security.protocol.map").unwrap_or(PROTOCOLS);
        let has_controller = protocols.split(',').any(|entry| entry.split(':').next() == Some(CONTROLLER));
        let protocols = match has_controller {
            true => protocols.to_owned(),
            false => format!("{protocols},{CONTROLLER}:PLAINTEXT"),
        };
        let mut properties = vec![
            ("controller.listener.names", CONTROLLER.to_owned()),
            ("controller.quorum.voters", format!("{}@{controller}", super::data::NODE_ID)),
            ("listeners", format!("{},{CONTROLLER}://{controller}", all(clients))),
            ("listener.security.protocol.map", protocols),
        ];
        if last(set, "advertised.listeners").is_none() {
            properties.push(("advertised.listeners", all(clients)));
        }
        // Kafka takes at most one of these two, and by default the listener PLAINTEXT, which may not be there.
        let names_inter_broker = ["inter.broker.listener.name", "security.inter.broker.protocol"];
        if names_inter_broker.iter().all(|key| last(set, key).is_none()) {
            properties
                .extend(clients.first().map(|first| ("inter.broker.listener.name", first.name.clone())));
        }
        properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// `HOST:PORT` of the first listener that asks for neither TLS nor a password, if there is one.
    pub fn plain(&self, set: &[(String, String)]) -> Option<String> {
        let protocols = last(set, "listener.security.protocol.map").unwrap_or(PROTOCOLS);
        let is_plain = |listener: &&Listener| {
            let mut entries = protocols.split(',').filter_map(|entry| entry.trim().split_once(':'));
            entries.any(|(name, protocol)| {
                name.eq_ignore_ascii_case(&listener.name) && protocol.eq_ignore_ascii_case("PLAINTEXT")
            })
        };
        self.clients.iter().find(is_plain).map(|listener| reachable(&listener.address).to_string())
    }

    /// Whether `key` of `set` has already gone into [`Listeners::properties`].
    pub fn merges(key: &str) -> bool {
        ["listeners", "listener.security.protocol.map"].contains(&key)
    }
}

/// The value of `key` that counts.
fn last<'a>(set: &'a [(String, String)], key: &str) -> Option<&'a str> {
    set.iter().rfind(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// `NAME://HOST:PORT,…`; no HOST means every address, as for Kafka.
fn parse(listeners: &str) -> Result<Vec<Listener>, BrokerError> {
    let parse_one = |text: &str| {
        let (name, address) = text.split_once("://")?;
        let address = match address.strip_prefix(':') {
            Some(port) => HostPort { host: Ipv4Addr::UNSPECIFIED.to_string(), port: port.parse().ok()? },
            None => address.parse().ok()?,
        };
        // Names are upper case to Kafka, whatever was typed.
        Some(Listener { name: name.to_uppercase(), address })
    };
    let entries = listeners.split(',').map(str::trim);
    entries.map(|text| parse_one(text).ok_or(BrokerError::BadListener { text: text.to_owned() })).collect()
}

/// The port of `address` if nobody listens there, or a free one for port 0.
///
/// The socket is bound as the JVM will bind it, with `SO_REUSEADDR`, so the answer is the one that it will get.
fn free_port(address: &HostPort) -> Result<u16, BrokerError> {
    let bind_first = || -> io::Result<u16> {
        // Of several addresses, the JVM takes the IPv4 one.
        let addresses = address.resolve()?;
        let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        let first = first.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(TcpListener::bind(first)?.local_addr()?.port())
    };
    bind_first().map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BrokerError::PortInUse { address: address.to_string() },
        _ => BrokerError::CannotListen { address: address.to_string(), source },
    })
}

fn is_everywhere(address: &HostPort) -> bool {
    address.host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified())
}

/// An address of this machine, for a listener on every address.
fn reachable(address: &HostPort) -> HostPort {
    let host = match address.host.as_str() {
        "::" => "::1",
        _ if is_everywhere(address) => "127.0.0.1",
        host => host,
    };
    HostPort { host: host.to_owned(), port: address.port }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn properties(listen: &str, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let set = set(pairs);
        let clients = match last(&set, "listeners") {
            Some(value) => parse(value).unwrap(),
            None => vec![Listener { name: "PLAINTEXT".to_owned(), address: listen.parse().unwrap() }],
        };
        let is_advertised = last(&set, "advertised.listeners").is_some();
        Listeners::of(clients, "127.0.0.1:9093".parse().unwrap(), is_advertised).unwrap().properties(&set)
    }

    #[test]
    fn plain_listener() {
        assert_eq!(
            properties("127.0.0.1:9092", &[]),
            set(&[
                ("controller.listener.names", "CONTROLLER"),
                ("controller.quorum.voters", "1@127.0.0.1:9093"),
                ("listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"),
                ("listener.security.protocol.map", &format!("{PROTOCOLS},CONTROLLER:PLAINTEXT")),
                ("advertised.listeners", "PLAINTEXT://127.0.0.1:9092"),
                ("inter.broker.listener.name", "PLAINTEXT"),
            ])
        );
    }

    #[test]
    fn listeners_that_were_set_keep_the_controller() {
        let overrides = [
            ("listeners", "ssl://127.0.0.1:9094,IN://[::1]:9095"),
            ("listener.security.protocol.map", "SSL:SSL,IN:SASL_SSL"),
            ("advertised.listeners", "SSL://host:9094"),
        ];
        assert_eq!(
            properties("127.0.0.1:9092", &overrides),
            set(&[
                ("controller.listener.names", "CONTROLLER"),
                ("controller.quorum.voters", "1@127.0.0.1:9093"),
                ("listeners", "SSL://127.0.0.1:9094,IN://[::1]:9095,CONTROLLER://127.0.0.1:9093"),
                ("listener.security.protocol.map", "SSL:SSL,IN:SASL_SSL,CONTROLLER:PLAINTEXT"),
                ("inter.broker.listener.name", "SSL"),
            ])
        );
    }

    #[test]
    fn every_address_needs_one_to_advertise() {
        let nothing = Listeners::choose(&"0.0.0.0:0".parse().unwrap(), &[]).unwrap_err();
        assert!(matches!(nothing, BrokerError::NothingToAdvertise { .. }), "{nothing}");
        let advertised =
            set(&[("listeners", "PLAINTEXT://:0"), ("advertised.listeners", "PLAINTEXT://host:1")]);
        let listeners = Listeners::choose(&"127.0.0.1:0".parse().unwrap(), &advertised).unwrap();
        assert!(listeners.bootstrap.starts_with("127.0.0.1:"), "{}", listeners.bootstrap);
    }

    #[test]
    fn a_listener_that_anyone_can_ask_is_found() {
        let plain = |pairs: &[(&str, &str)]| {
            let set = set(pairs);
            Listeners::choose(&"127.0.0.1:0".parse().unwrap(), &set).unwrap().plain(&set)
        };
        assert!(plain(&[]).is_some());
        assert_eq!(plain(&[("listeners", "SSL://127.0.0.1:0")]), None);
        let both = ("listeners", "IN://127.0.0.1:0,OUT://[::1]:0");
        let found = plain(&[both, ("listener.security.protocol.map", "IN:SASL_SSL,out:plaintext")]);
        assert!(found.is_some_and(|address| address.starts_with("[::1]:")));
    }

    #[test]
    fn a_used_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = Listeners::choose(&address.parse().unwrap(), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{address} is in use\nhint: --listen with another port (0 picks a free one)")
        );
    }
}
