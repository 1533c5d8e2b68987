//! The listeners of the broker: from options to Kafka's properties.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};

use super::error::BrokerError;
use super::settings::{LISTEN_OPTION, Member, ONLY_NODE, Settings, Voter};
use crate::arguments::HostPort;

/// The listener that brokers talk to controllers through. That of a node on its own is on a loopback port.
pub const CONTROLLER: &str = "CONTROLLER";

/// The listener of `listen`, and the one of `local`.
const PLAINTEXT: &str = "PLAINTEXT";
const LOCAL: &str = "LOCAL";

/// Kafka's own map of listener names to protocols, and the controller's.
const PROTOCOLS: &str = "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL";

#[derive(Debug)]
pub struct Listeners {
    /// The listeners for clients.
    clients: Vec<Listener>,
    controller: HostPort,
    node: u32,
    quorum: Vec<Voter>,
    /// `HOST:PORT` of the first listener, for clients on this machine.
    pub bootstrap: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Listener {
    name: String,
    address: HostPort,
    /// The address that clients get from Kafka, if it is not `address`.
    advertise: Option<HostPort>,
    /// The option that names `address`.
    option: &'static str,
}

impl Listeners {
    /// Chooses the ports that are open to choice; checks that the others are free.
    pub fn choose(settings: &Settings) -> Result<Listeners, BrokerError> {
        let mut clients = wanted(settings)?;
        let mut controller = match &settings.member {
            Some(member) => controller(member)?.clone(),
            None => loopback(0),
        };
        // Held until all are chosen: a port that is let go at once can be chosen twice.
        let mut held = Vec::new();
        let addresses = clients.iter_mut().map(|listener| (&mut listener.address, listener.option));
        for (address, option) in addresses.chain([(&mut controller, "--quorum")]) {
            let (socket, port) = bind(address, option)?;
            address.port = port;
            held.push(socket);
        }
        Listeners::of(clients, controller, settings)
    }

    /// For a configuration that nothing listens by.
    pub fn unused(node: u32) -> Listeners {
        let clients = vec![Listener::new(PLAINTEXT, loopback(9092), LISTEN_OPTION)];
        let controller = loopback(9093);
        let quorum = vec![Voter { node, controller: controller.clone() }];
        Listeners { clients, controller, node, quorum, bootstrap: String::new() }
    }

    /// The same, of the first of so many nodes.
    #[cfg(test)]
    pub fn unused_of(nodes: u32) -> Listeners {
        let quorum = (1..=nodes).map(|node| Voter { node, controller: loopback(9093) });
        Listeners { quorum: quorum.collect(), ..Listeners::unused(1) }
    }

    fn of(
        clients: Vec<Listener>,
        controller: HostPort,
        settings: &Settings,
    ) -> Result<Listeners, BrokerError> {
        let set = &settings.set;
        let first = clients.first().ok_or(BrokerError::NoClientListener { controller: CONTROLLER })?;
        let bootstrap = first.address.reachable().to_string();
        let everywhere = clients.iter().find(|listener| listener.advertised().is_everywhere());
        if let Some(listener) = everywhere.filter(|_| last(set, "advertised.listeners").is_none()) {
            let (address, port) = (listener.advertised().to_string(), listener.address.port);
            let hint = match last(set, "listeners") {
                Some(_) => format!("add --set advertised.listeners={}://HOST:{port}", listener.name),
                None => format!("add --advertise HOST:{port}"),
            };
            return Err(BrokerError::NothingToAdvertise { address, hint });
        }
        let (node, quorum) = match &settings.member {
            Some(member) => (member.node, member.quorum.clone()),
            None => (ONLY_NODE, vec![Voter { node: ONLY_NODE, controller: controller.clone() }]),
        };
        Ok(Listeners { clients, controller, node, quorum, bootstrap })
    }

    pub fn node(&self) -> u32 {
        self.node
    }

    /// How many nodes the cluster has.
    pub fn nodes(&self) -> usize {
        self.quorum.len()
    }

    /// Kafka's properties. Values in `set` override them; of the protocol map, only what it leaves out is added.
    pub fn properties(&self, set: &[(String, String)]) -> Vec<(String, String)> {
        let Listeners { clients, controller, .. } = self;
        let all = |address: fn(&Listener) -> &HostPort| {
            let all = clients.iter().map(|listener| format!("{}://{}", listener.name, address(listener)));
            all.collect::<Vec<_>>().join(",")
        };
        let voters: Vec<_> = self.quorum.iter().map(Voter::to_string).collect();
        let mut properties = vec![
            ("controller.listener.names", CONTROLLER.to_owned()),
            ("controller.quorum.voters", voters.join(",")),
            ("listeners", format!("{},{CONTROLLER}://{controller}", all(|listener| &listener.address))),
            ("listener.security.protocol.map", self.protocols(set)),
        ];
        if last(set, "advertised.listeners").is_none() {
            properties.push(("advertised.listeners", all(Listener::advertised)));
        }
        // Kafka takes at most one of these two, and by default the listener PLAINTEXT, which may not be there.
        let names_inter_broker = ["inter.broker.listener.name", "security.inter.broker.protocol"];
        if names_inter_broker.iter().all(|key| last(set, key).is_none()) {
            properties.extend(self.between_brokers().map(|name| ("inter.broker.listener.name", name)));
        }
        properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The name of the listener by which a broker is reached by brokers. A node on its own speaks to nobody but itself,
    /// and may not reach what it advertises to others.
    fn between_brokers(&self) -> Option<String> {
        let local = self.clients.iter().find(|listener| listener.name == LOCAL && self.nodes() == 1);
        local.or(self.clients.first()).map(|listener| listener.name.clone())
    }

    /// The protocol of each listener; what was set, and those of ours that it leaves out.
    fn protocols(&self, set: &[(String, String)]) -> String {
        let mut protocols = last(set, "listener.security.protocol.map").unwrap_or(PROTOCOLS).to_owned();
        let has_local = self.clients.iter().any(|listener| listener.name == LOCAL);
        for name in [LOCAL].into_iter().filter(|_| has_local).chain([CONTROLLER]) {
            if protocols.split(',').all(|entry| entry.split(':').next() != Some(name)) {
                protocols.push_str(&format!(",{name}:PLAINTEXT"));
            }
        }
        protocols
    }

    /// `HOST:PORT` of the first listener that asks for neither TLS nor a password, if there is one.
    pub fn plain(&self, set: &[(String, String)]) -> Option<String> {
        let protocols = self.protocols(set);
        let is_plain = |listener: &&Listener| {
            let mut entries = protocols.split(',').filter_map(|entry| entry.trim().split_once(':'));
            entries.any(|(name, protocol)| {
                name.eq_ignore_ascii_case(&listener.name) && protocol.eq_ignore_ascii_case("PLAINTEXT")
            })
        };
        self.clients.iter().find(is_plain).map(|listener| listener.address.reachable().to_string())
    }

    /// Whether `key` of `set` has already gone into [`Listeners::properties`].
    pub fn merges(key: &str) -> bool {
        ["listeners", "listener.security.protocol.map"].contains(&key)
    }
}

impl Listener {
    fn new(name: &str, address: HostPort, option: &'static str) -> Listener {
        Listener { name: name.to_owned(), address, advertise: None, option }
    }

    fn advertised(&self) -> &HostPort {
        self.advertise.as_ref().unwrap_or(&self.address)
    }
}

/// The listeners for clients, as they were asked for.
fn wanted(settings: &Settings) -> Result<Vec<Listener>, BrokerError> {
    if let Some(value) = last(&settings.set, "listeners") {
        let mut clients = parse(value)?;
        clients.retain(|listener| listener.name != CONTROLLER);
        return Ok(clients);
    }
    let first = Listener {
        advertise: settings.advertise.clone(),
        ..Listener::new(PLAINTEXT, settings.listen.clone(), LISTEN_OPTION)
    };
    let local = settings.local.iter().map(|address| Listener::new(LOCAL, address.clone(), "--local"));
    Ok([first].into_iter().chain(local).collect())
}

/// The address of this node's controller.
fn controller(member: &Member) -> Result<&HostPort, BrokerError> {
    let own = member.quorum.iter().find(|voter| voter.node == member.node);
    own.map(|voter| &voter.controller).ok_or_else(|| {
        let quorum: Vec<_> = member.quorum.iter().map(Voter::to_string).collect();
        BrokerError::NotInQuorum { node: member.node, quorum: quorum.join(",") }
    })
}

/// Every socket address that this means; `localhost` may be two.
pub fn resolve(address: &HostPort) -> io::Result<Vec<SocketAddr>> {
    Ok((address.host.as_str(), address.port).to_socket_addrs()?.collect())
}

fn loopback(port: u16) -> HostPort {
    HostPort { host: Ipv4Addr::LOCALHOST.to_string(), port }
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
        Some(Listener::new(&name.to_uppercase(), address, "--set listeners"))
    };
    let entries = listeners.split(',').map(str::trim);
    entries.map(|text| parse_one(text).ok_or(BrokerError::BadListener { text: text.to_owned() })).collect()
}

/// Takes the port of `address` if nobody listens there, or a free one for port 0.
///
/// The socket is bound as the JVM will bind it, with `SO_REUSEADDR`, so the answer is the one that it will get.
fn bind(address: &HostPort, option: &'static str) -> Result<(TcpListener, u16), BrokerError> {
    let bind_first = || -> io::Result<(TcpListener, u16)> {
        // Of several addresses, the JVM takes the IPv4 one.
        let addresses = resolve(address)?;
        let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        let socket = TcpListener::bind(first.ok_or(io::ErrorKind::AddrNotAvailable)?)?;
        let port = socket.local_addr()?.port();
        Ok((socket, port))
    };
    bind_first().map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BrokerError::PortInUse { address: address.to_string(), option },
        _ => BrokerError::CannotListen { address: address.to_string(), option, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Failure, told};

    fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn settings(listen: &str, pairs: &[(&str, &str)]) -> Settings {
        Settings {
            listen: listen.parse().unwrap(),
            advertise: None,
            local: None,
            member: None,
            data: Default::default(),
            set: set(pairs),
            env: Default::default(),
        }
    }

    /// Without a look at whether the ports are free.
    fn properties_of(settings: &Settings) -> Vec<(String, String)> {
        let listeners = Listeners::of(wanted(settings).unwrap(), loopback(9093), settings).unwrap();
        listeners.properties(&settings.set)
    }

    fn properties(listen: &str, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        properties_of(&settings(listen, pairs))
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
    fn what_is_advertised_may_be_out_of_the_nodes_own_reach() {
        let settings = Settings {
            advertise: Some("example.org:19092".parse().unwrap()),
            local: Some("127.0.0.1:9094".parse().unwrap()),
            ..settings("0.0.0.0:9092", &[])
        };
        let expected = [
            ("controller.listener.names", "CONTROLLER"),
            ("controller.quorum.voters", "1@127.0.0.1:9093"),
            ("listeners", "PLAINTEXT://0.0.0.0:9092,LOCAL://127.0.0.1:9094,CONTROLLER://127.0.0.1:9093"),
            ("listener.security.protocol.map", &format!("{PROTOCOLS},LOCAL:PLAINTEXT,CONTROLLER:PLAINTEXT")),
            ("advertised.listeners", "PLAINTEXT://example.org:19092,LOCAL://127.0.0.1:9094"),
            ("inter.broker.listener.name", "LOCAL"),
        ];
        assert_eq!(properties_of(&settings), set(&expected));
    }

    #[test]
    fn nodes_of_a_cluster_reach_each_other_by_what_they_advertise() {
        let quorum = ["1@127.0.0.1:9093", "2@kafka-2:9093"].map(|voter| voter.parse().unwrap());
        let member = Member { node: 1, cluster_id: String::new(), quorum: quorum.to_vec() };
        let mut settings = Settings {
            local: Some("127.0.0.1:9094".parse().unwrap()),
            member: Some(member.clone()),
            ..settings("127.0.0.1:9092", &[])
        };
        let properties = properties_of(&settings);
        let value = |key| last(&properties, key).unwrap();
        assert_eq!(value("controller.quorum.voters"), "1@127.0.0.1:9093,2@kafka-2:9093");
        assert_eq!(value("inter.broker.listener.name"), "PLAINTEXT");

        settings.member = Some(Member { node: 3, ..member });
        let error = told(&Listeners::choose(&settings).unwrap_err());
        assert_eq!(
            error,
            "node 3 is not in the quorum 1@127.0.0.1:9093,2@kafka-2:9093\nhint: name one of its numbers with --node"
        );
    }

    #[test]
    fn every_address_needs_one_to_advertise() {
        let error = |settings: &Settings| told(&Listeners::choose(settings).unwrap_err());
        let nothing = error(&settings("0.0.0.0:0", &[]));
        assert!(nothing.contains("clients can't connect to it\nhint: add --advertise HOST:"), "{nothing}");
        let nothing = error(&settings("127.0.0.1:0", &[("listeners", "SSL://:0")]));
        assert!(nothing.contains("\nhint: add --set advertised.listeners=SSL://HOST:"), "{nothing}");
        let advertised = [("listeners", "PLAINTEXT://:0"), ("advertised.listeners", "PLAINTEXT://host:1")];
        let listeners = Listeners::choose(&settings("127.0.0.1:0", &advertised)).unwrap();
        assert!(listeners.bootstrap.starts_with("127.0.0.1:"), "{}", listeners.bootstrap);
    }

    #[test]
    fn no_port_is_chosen_twice() {
        let many = (0..300).map(|n| format!("L{n}://127.0.0.1:0")).collect::<Vec<_>>().join(",");
        let listeners = Listeners::choose(&settings("127.0.0.1:0", &[("listeners", &many)])).unwrap();
        let clients = listeners.clients.iter().map(|listener| listener.address.port);
        let ports: std::collections::BTreeSet<_> = clients.chain([listeners.controller.port]).collect();
        assert_eq!(ports.len(), 301);
    }

    #[test]
    fn a_listener_that_anyone_can_ask_is_found() {
        let plain = |pairs: &[(&str, &str)]| {
            let settings = settings("127.0.0.1:0", pairs);
            Listeners::choose(&settings).unwrap().plain(&settings.set)
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
        let choose = |settings: &Settings| Listeners::choose(settings).unwrap_err();
        let hint = |error: BrokerError| error.hint().unwrap();
        let error = choose(&settings(&address, &[]));
        assert_eq!(
            told(&error),
            format!("{address} is in use\nhint: name another port with --listen, or 0 for a free one")
        );
        let error = error.with_listen_option("--brokers");
        assert_eq!(hint(error), "name another port with --brokers, or 0 for a free one");
        let listeners = format!("PLAINTEXT://{address}");
        let error = choose(&settings("127.0.0.1:0", &[("listeners", &listeners)]));
        let error = error.with_listen_option("--brokers");
        assert_eq!(hint(error), "name another port with --set listeners, or 0 for a free one");
    }
}
