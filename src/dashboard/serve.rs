//! HTTP: who may ask, how many at once, and what every answer carries. What is answered is the router's matter.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::broker::HostPort;
use crate::stop::Stop;

/// Connections at a time; the next one waits until another ends. A page holds two, most of the time one.
const CONNECTIONS_MAX: usize = 4096;

/// How long a client may take for what it asks.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// How long answers may take to go out once the server is to stop.
const STOP_MAX: Duration = Duration::from_secs(2);

/// How soon a wish to stop is seen.
const STOP_LOOK_EVERY: Duration = Duration::from_millis(20);

/// Everything on the page comes from here, and nothing of it stands in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A port that is taken, and where nobody is answered yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    pub fn new(listen: &HostPort) -> io::Result<Bound> {
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(accept(self.listener, router, stop))
    }
}

async fn accept(listener: TcpListener, router: Router, stop: &Stop) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_MAX);
    let mut connections = JoinSet::new();
    let mut look = tokio::time::interval(STOP_LOOK_EVERY);
    while !stop.is_asked() {
        while connections.try_join_next().is_some() {}
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
        let connection =
            http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        connections.spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection failed");
            }
        });
    }
    drop(listener);
    // Event streams end by themselves; a connection that is only kept for later does not.
    let _ = tokio::time::timeout(STOP_MAX, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

/// The names that the server may be asked by.
///
/// A page from elsewhere can have its own name lead to this machine, and so ask from within a browser. It can't have
/// the browser say that it asks an IP address.
pub struct Hosts(BTreeSet<String>);

impl Hosts {
    pub fn new(listen: &HostPort, others: Vec<String>) -> Hosts {
        let names = others.into_iter().chain(["localhost".to_owned(), listen.host.clone()]);
        Hosts(names.map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether a `Host` header, `HOST` or `HOST:PORT`, is one of them.
    fn has(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        name.parse::<IpAddr>().is_ok() || self.0.contains(&name.to_ascii_lowercase())
    }
}

async fn refuse_strangers(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    // An HTTP/1.1 request that goes through a proxy has it in its target.
    let host = match request.headers().get(header::HOST) {
        Some(host) => host.to_str().ok(),
        None => request.uri().authority().map(|authority| authority.as_str()),
    };
    if !host.is_some_and(|host| hosts.has(host)) {
        let hint = "not asked by a name of this server; 'almanac dashboard --allow-host NAME' adds one\n";
        return (StatusCode::MISDIRECTED_REQUEST, hint).into_response();
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
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Lets the process have as many open files as it may: each event stream is one.
pub fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current < maximum {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        tracing::debug!(?current, ?maximum, ?raised, "the limit of open files");
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
        ] {
            assert!(!hosts.has(host), "{host}");
        }
    }
}
