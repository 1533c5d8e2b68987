//! HTTP: who may ask, how many at once, and what every answer carries. The router makes the answers.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;

use super::error::DashboardError;
use crate::broker::HostPort;
use crate::failure::told;
use crate::stop::Stop;

/// Connections at a time, and at most half of the files that the process may have open, as the other half is needed to
/// read DIR, or by a consumer. The next one waits until another ends. A page holds two, most of the time one.
const CONNECTIONS_MAX: u64 = 4096;

/// How long a client may take for what it asks, and also how long a connection is kept open for its next question.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// How long what is sent may lie unread, before the kernel ends the connection.
const UNREAD_MAX: Duration = Duration::from_secs(20);

/// The memory for a connection's request and response. A longer request is refused, and a longer response waits.
const BUFFER_BYTES_MAX: usize = 16 << 10;

/// How long answers may take to go out once the server is to stop.
const STOP_MAX: Duration = Duration::from_secs(2);

/// How soon a wish to stop is seen.
const STOP_LOOK_EVERY: Duration = Duration::from_millis(50);

/// Everything on the page comes from here, and nothing of it stands in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A port that is taken, and where nobody is answered yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Takes the port; `option` is how it was named.
    pub fn new(listen: &HostPort, option: &'static str) -> Result<Bound, DashboardError> {
        Bound::at(listen).map_err(|source| DashboardError::Listen { listen: listen.clone(), option, source })
    }

    fn at(listen: &HostPort) -> io::Result<Bound> {
        let addresses = (listen.host.as_str(), listen.port).to_socket_addrs()?;
        let listener = TcpListener::bind(&*addresses.collect::<Vec<_>>())?;
        listener.set_nonblocking(true)?;
        Ok(Bound { address: listener.local_addr()?, listener })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until asked to stop.
    pub fn serve(self, router: Router, hosts: Hosts, stop: &Stop) -> io::Result<()> {
        let router = router
            .layer(middleware::from_fn_with_state(Arc::new(hosts), refuse_strangers))
            .layer(middleware::from_fn(with_headers));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // Of those that make numbers, all but one wait for the same file or Kafka.
        let runtime = runtime.enable_all().max_blocking_threads(4).build()?;
        let served = runtime.block_on(accept(self.listener, router, stop));
        // Not waited for: what still reads a file may do so for ever.
        runtime.shutdown_background();
        served
    }
}

async fn accept(listener: TcpListener, router: Router, stop: &Stop) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(connections_max()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_MAX).max_buf_size(BUFFER_BYTES_MAX);
    let connections = GracefulShutdown::new();
    let mut look = tokio::time::interval(STOP_LOOK_EVERY);
    while !stop.is_asked() {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = look.tick() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of files, most likely: some will be closed.
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(STOP_LOOK_EVERY).await;
                continue;
            }
        };
        // An event must not wait for the next one to fill a packet.
        let _ = stream.set_nodelay(true);
        let _ = set_tcp_user_timeout(&stream, u32::try_from(UNREAD_MAX.as_millis()).unwrap_or(u32::MAX));
        let service = TowerToHyperService::new(router.clone());
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection failed");
            }
        });
    }
    drop(listener);
    // Event streams end by themselves, and a connection that is only kept for later at once.
    if tokio::time::timeout(STOP_MAX, connections.shutdown()).await.is_err() {
        tracing::debug!("connections were cut off, as answers did not go out");
    }
    Ok(())
}

fn connections_max() -> usize {
    let files_max = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(CONNECTIONS_MAX.min(files_max / 2)).unwrap_or(usize::MAX)
}

/// The names that the server may be asked by.
///
/// A page from elsewhere can have its own name lead to this machine, and so ask from within a browser. It can't have
/// the browser say that it asks an IP address.
pub enum Hosts {
    Any,
    These(BTreeSet<String>),
}

impl Hosts {
    pub fn new(listen: &HostPort, others: Vec<String>) -> Hosts {
        let names = others.into_iter().chain(["localhost".to_owned(), listen.host.clone()]);
        Hosts::These(names.map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether a `Host` header, `HOST` or `HOST:PORT`, is one of them.
    fn has(&self, host: &str) -> bool {
        let Hosts::These(names) = self else { return true };
        match Host::parse(host) {
            Some(Host::Address) => true,
            Some(Host::Name(name)) => names.contains(&name.to_ascii_lowercase()),
            None => false,
        }
    }

    /// Whether a request names one of them, and nobody else.
    fn are_meant_by(&self, request: &Request) -> bool {
        let hosts = request.headers().get_all(header::HOST).iter();
        // A name that is not ASCII is refused like an empty one.
        let mut names: Vec<&str> = hosts.map(|host| host.to_str().unwrap_or_default()).collect();
        // A request through a proxy also has it in its target.
        names.extend(request.uri().authority().map(|authority| authority.as_str()));
        !names.is_empty() && names.into_iter().all(|name| self.has(name))
    }
}

/// The host of a `Host` header.
enum Host<'a> {
    Address,
    Name(&'a str),
}

impl<'a> Host<'a> {
    /// Of `HOST` or `HOST:PORT`, whole: what a browser would send for another place must not pass for an address.
    fn parse(text: &'a str) -> Option<Host<'a>> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let is_whole = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
            return (is_whole && address.parse::<Ipv6Addr>().is_ok()).then_some(Host::Address);
        }
        let name = match text.split_once(':') {
            Some((name, port)) => Some(name).filter(|_| is_port(port))?,
            None => text,
        };
        match name.parse::<Ipv4Addr>() {
            Ok(_) => Some(Host::Address),
            Err(_) => is_name(name).then_some(Host::Name(name)),
        }
    }
}

/// Without a port it is the default one. Nobody can connect to port 0.
fn is_port(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.is_empty() || (is_number && text.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Labels of letters, digits, hyphens and underscores.
fn is_name(text: &str) -> bool {
    let is_in_label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.split('.').all(|label| !label.is_empty() && label.len() <= 63 && label.bytes().all(is_in_label))
}

async fn refuse_strangers(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    if !hosts.are_meant_by(&request) {
        let text = format!("{}\n", told(&DashboardError::UnknownHost));
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], "read only\n")
            .into_response();
    }
    next.run(request).await
}

async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Asked again each time; an ETag makes that cheap.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Lets the process have as many open files as all connections take, if it may.
pub fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(u64::MAX).min(4 * CONNECTIONS_MAX);
    if current.is_some_and(|current| current < wanted) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
        tracing::debug!(?current, wanted, ?raised, "the limit of open files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_by_an_address_or_a_name_of_its_own() {
        let hosts = Hosts::new(&"weather.example:8080".parse().unwrap(), vec!["Almanac.Lan".to_owned()]);
        for host in [
            "localhost",
            "localhost:8080",
            "LOCALHOST:80",
            "127.0.0.1:8080",
            "192.168.1.7",
            "[::1]:8080",
            "[::1]",
            "weather.example",
            "weather.example:8080",
            "almanac.lan:1",
            "almanac.lan:65535",
            "localhost:",
        ] {
            assert!(hosts.has(host), "{host}");
        }
        for host in [
            "",
            ":",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[evil]:80",
            "[::1]evil.example",
            "[::1].evil.example:80",
            "[::1]:80.evil.example",
            "[::1]@evil.example",
            "[127.0.0.1]",
            "[::1",
            "::1",
            "[::1]:65536",
            "localhost:65536",
            "localhost:0",
            "localhost:+80",
            "localhost:80:80",
            "127.0.0.1:99999",
            "127.0.0.1:80@evil.example",
            "localhost@evil.example",
            "user@localhost",
            "user:password@localhost:80",
            "localhost.",
            ".localhost",
            "almanac..lan",
            "localhost/",
            "localhost evil.example",
            "localhost,evil.example",
            "lo\u{e9}calhost",
        ] {
            assert!(!hosts.has(host), "{host}");
        }
    }
}
