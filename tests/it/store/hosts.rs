//! Hosts for the members of a campaign: network namespaces with host names of their own, where this process may make them.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::objects::{Fault, StoreProxy};
use crate::support::skip;

/// The other end of a host's connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum From {
    Store,
    Kafka,
    Both,
}

/// A network of this process: Kafka at one address, object stores' proxies at another.
pub struct Network {
    /// Begins the names of all its links and namespaces.
    id: String,
    /// The first three numbers of its addresses.
    addresses: String,
    is_there: bool,
}

impl Network {
    pub fn new() -> Network {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let number = pid.wrapping_mul(7) + count;
        let (id, addresses) =
            (format!("alm{pid}n{count}"), format!("10.{}.{}", 128 + number % 64, number / 64 % 256));
        let mut network = Network { id, addresses, is_there: true };
        network.clean_up();
        let (bridge, kafka, store) = (network.bridge(), network.kafka() + "/24", network.address(2) + "/24");
        network.is_there = rustix::process::geteuid().is_root()
            && ip(&["link", "add", &bridge, "type", "bridge"])
            && ip(&["addr", "add", &kafka, "dev", &bridge])
            && ip(&["addr", "add", &store, "dev", &bridge])
            && ip(&["link", "set", &bridge, "up"]);
        if !network.is_there {
            skip("members have no hosts of their own: that needs root and network namespaces");
        }
        network
    }

    fn bridge(&self) -> String {
        format!("{}b", self.id)
    }

    fn address(&self, number: usize) -> String {
        if self.is_there { format!("{}.{number}", self.addresses) } else { "127.0.0.1".to_owned() }
    }

    /// Where Kafka has to listen.
    pub fn kafka(&self) -> String {
        self.address(1)
    }

    /// A host with its own way to the store.
    pub fn host(&self, number: usize, store: &str) -> Host {
        let proxy = StoreProxy::at(&self.address(2), store, |_| Fault::None);
        let mut host = Host {
            proxy,
            namespace: None,
            name: format!("host-{number}"),
            addresses: self.addresses.clone(),
        };
        if self.is_there {
            let (namespace, link) = (format!("{}h{number}", self.id), format!("{}h{number}", self.id));
            let address = self.address(10 + number) + "/24";
            let is_made = ip(&["netns", "add", &namespace])
                && ip(&["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &namespace])
                && ip(&["link", "set", &link, "master", &self.bridge(), "up"])
                && ip(&["-n", &namespace, "addr", "add", &address, "dev", "eth0"])
                && ip(&["-n", &namespace, "link", "set", "eth0", "up"])
                && ip(&["-n", &namespace, "link", "set", "lo", "up"]);
            assert!(is_made, "no network namespace {namespace}");
            host.namespace = Some(namespace);
        }
        host
    }

    /// Also what a process that was killed left behind.
    fn clean_up(&self) {
        let names = |dir: &str| -> Vec<String> {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
        };
        let is_left = |name: &String| {
            let pid = name.strip_prefix("alm").and_then(|rest| rest.split_once('n')).map(|(pid, _)| pid);
            name.starts_with(&self.id) || pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
        };
        for name in names("/run/netns").iter().filter(|name| is_left(name)) {
            ip(&["netns", "del", name]);
        }
        for name in names("/sys/class/net").iter().filter(|name| is_left(name)) {
            ip(&["link", "del", name]);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.is_there {
            self.clean_up();
        }
    }
}

/// A host, of which a member sees neither files nor network of another.
pub struct Host {
    pub proxy: StoreProxy,
    pub name: String,
    namespace: Option<String>,
    addresses: String,
}

impl Host {
    /// The command that runs another one there.
    pub fn wrapper(&self) -> Vec<&str> {
        let Some(namespace) = &self.namespace else { return Vec::new() };
        let run = r#"hostname "$0" && exec "$@""#;
        vec!["ip", "netns", "exec", namespace, "unshare", "--uts", "sh", "-c", run, &self.name]
    }

    /// Whether nothing that it sends arrives there. Without a network of its own it is cut off from the store only.
    pub fn cut(&self, from: From, is_cut: bool) {
        let Some(namespace) = &self.namespace else { return self.proxy.cut(is_cut) };
        // A hardware address that nobody has: packets go, and nobody hears of it.
        const NOBODY: &str = "02:00:00:00:00:99";
        let ends: &[u8] = match from {
            From::Kafka => &[1],
            From::Store => &[2],
            From::Both => &[1, 2],
        };
        for end in ends {
            let address = format!("{}.{end}", self.addresses);
            let done = match is_cut {
                true => ip(&[
                    "-n",
                    namespace,
                    "neigh",
                    "replace",
                    &address,
                    "lladdr",
                    NOBODY,
                    "nud",
                    "permanent",
                    "dev",
                    "eth0",
                ]),
                false => ip(&["-n", namespace, "neigh", "del", &address, "dev", "eth0"]),
            };
            assert!(done, "{namespace} {from:?} {is_cut}");
        }
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}
