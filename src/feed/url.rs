//! Files of a web server, over HTTP or HTTPS.

use std::io::{self, Read};
use std::time::Duration;

use jiff::Timestamp;
use ureq::http::header::{CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderName, Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, Error};

use crate::schedule::{Again, retry_after};
use crate::source::SourceError;

/// All stations of a year in GHCN-Daily have 200 MB.
const LENGTH_MAX: u64 = 1 << 30;
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long nothing may come. Some servers make a file only when it is fetched.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: u32 = 5;

/// By what a server recognises that its file has not changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Validators {
    etag: Option<String>,
    last_modified: Option<String>,
}

pub(super) enum Fetched {
    Unchanged,
    Changed { bytes: Vec<u8>, validators: Validators },
}

pub(super) fn is_url(text: &str) -> bool {
    let starts_with =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    starts_with("http://") || starts_with("https://")
}

/// The URL without what may be secret: a password, or a key among the parameters.
pub(super) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Fetches a file, unless it is the one that these validators belong to.
pub(super) fn fetch(url: &str, known: &Validators) -> Result<Fetched, SourceError> {
    let failed = |(reason, again): (String, Again)| SourceError::Fetch { name: shown(url), reason, again };
    let mut request = agent().get(url);
    for (name, value) in [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let mut response = request.call().map_err(|error| failed(reason_of(&error)))?;
    match response.status() {
        StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
        StatusCode::OK => {}
        status => return Err(failed(refusal(status, response.headers()))),
    }
    let headers = response.headers();
    if text(headers, CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")) {
        return Err(failed(("the answer is a web page, not a file of weather".to_owned(), Again::Never)));
    }
    let validators = Validators { etag: text(headers, ETAG), last_modified: text(headers, LAST_MODIFIED) };
    let bytes = body(&mut response).map_err(failed)?;
    Ok(Fetched::Changed { bytes, validators })
}

/// Proxies are those of the usual variables: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`.
fn agent() -> Agent {
    // OpenSSL's certificates: the system's, or those of SSL_CERT_FILE and SSL_CERT_DIR.
    let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier);
    Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        .max_redirects(REDIRECTS_MAX)
        .timeout_connect(Some(CONNECT_MAX))
        .timeout_recv_response(Some(SILENCE_MAX))
        .timeout_per_read(Some(SILENCE_MAX))
        .user_agent(concat!("almanac/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn body(response: &mut Response<Body>) -> Result<Vec<u8>, (String, Again)> {
    let mut bytes = Vec::new();
    match response.body_mut().with_config().limit(LENGTH_MAX).reader().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(reason_of(&Error::from(error))),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// An answer that is not the file.
fn refusal(status: StatusCode, headers: &HeaderMap) -> (String, Again) {
    let asked = text(headers, RETRY_AFTER).and_then(|value| retry_after(&value, Timestamp::now()));
    let is_passing = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    let again = match (is_passing, asked) {
        (true, Some(pause)) => Again::After(pause),
        (true, None) => Again::Later,
        (false, _) => Again::Never,
    };
    (format!("the server answers {status}"), again)
}

fn reason_of(error: &Error) -> (String, Again) {
    let later = |reason: &str| (reason.to_owned(), Again::Later);
    match error {
        Error::HostNotFound => later("the host name does not resolve"),
        Error::ConnectionFailed => later("can't connect"),
        Error::Timeout(_) => (format!("nothing came for {} s", SILENCE_MAX.as_secs()), Again::Later),
        Error::BodyExceedsLimit(_) => (format!("it has more than {} MiB", LENGTH_MAX >> 20), Again::Never),
        Error::NativeTls(_) | Error::Tls(_) => (format!("TLS failed: {}", chain(error)), Again::Never),
        Error::Io(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => later("the answer is cut off"),
        Error::Io(cause) if cause.to_string().starts_with("failed to lookup address") => {
            later("the host name does not resolve")
        }
        Error::Io(cause) => (chain(cause), Again::Later),
        Error::BadUri(_) | Error::InvalidProxyUrl | Error::TooManyRedirects | Error::RedirectFailed => {
            (error.to_string(), Again::Never)
        }
        _ => (chain(error), Again::Later),
    }
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.contains(&error.to_string()) {
            text += &format!(": {error}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_url_are_not_shown() {
        for (url, expected) in [
            ("https://a.example/b.csv", "https://a.example/b.csv"),
            ("http://me:secret@a.example:81/b?key=secret#c", "http://a.example:81/b"),
            ("https://a.example?key=a@b", "https://a.example"),
            ("https://a.example/b@c", "https://a.example/b@c"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn only_http_and_https_are_urls() {
        for (text, expected) in
            [("https://a", true), ("HTTP://a", true), ("http:/a", false), ("ftp://a", false), ("é", false)]
        {
            assert_eq!(is_url(text), expected, "{text}");
        }
    }
}
