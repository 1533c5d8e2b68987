//! Texts that many ask for: each made once, compressed once, and told again only to those who don't have it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

/// A shorter answer fits into one packet without compression.
const GZIP_FROM_BYTES: usize = 1400;

/// Answers kept of one version: the page asks for a few pictures at a few widths.
const KEPT_MAX: usize = 64;

/// A body and its tag.
pub struct Answer {
    content_type: &'static str,
    tag: String,
    body: Bytes,
    gzip: OnceLock<Option<Bytes>>,
}

impl Answer {
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        Answer::tagged(content_type, body.clone(), &body)
    }

    /// One that is the same to a client as others of the same `content`.
    pub fn tagged(content_type: &'static str, body: impl Into<Bytes>, content: &[u8]) -> Answer {
        // Weak, since it is the same with and without compression.
        let tag = format!("W/\"{:016x}\"", hash(content));
        Answer { content_type, tag, body: body.into(), gzip: OnceLock::new() }
    }

    /// The body as the client takes it, or only that it is still the one that the client has.
    pub fn respond(&self, asked: &HeaderMap) -> Response {
        let fixed: [(HeaderName, &str); 3] = [
            (header::ETAG, &self.tag),
            (header::CONTENT_TYPE, self.content_type),
            (header::VARY, "accept-encoding"),
        ];
        if is_known(asked, &self.tag) {
            return (StatusCode::NOT_MODIFIED, fixed).into_response();
        }
        match self.gzip().filter(|_| accepts_gzip(asked)) {
            Some(gzip) => (fixed, [(header::CONTENT_ENCODING, "gzip")], gzip.clone()).into_response(),
            None => (fixed, self.body.clone()).into_response(),
        }
    }

    /// The body compressed, where that is worth it.
    fn gzip(&self) -> Option<&Bytes> {
        self.gzip.get_or_init(|| compressed(&self.body).filter(|gzip| gzip.len() < self.body.len())).as_ref()
    }
}

fn compressed(body: &Bytes) -> Option<Bytes> {
    if body.len() < GZIP_FROM_BYTES {
        return None;
    }
    // Once for all clients. The fastest level makes pictures half as large again.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Whether the client says that it has the answer of this tag.
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    values(asked, header::IF_NONE_MATCH).any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}

fn accepts_gzip(asked: &HeaderMap) -> bool {
    values(asked, header::ACCEPT_ENCODING).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        matches!(name.trim(), "gzip" | "*") && weight.is_some_and(|weight| weight > 0.0)
    })
}

/// The members of a list, over all headers of the name.
fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let all = headers.get_all(name).into_iter();
    all.filter_map(|value: &HeaderValue| value.to_str().ok()).flat_map(|value| value.split(','))
}

/// Answers made of the same checkpoints, by name.
#[derive(Default)]
pub struct Kept(Mutex<BTreeMap<String, Option<Arc<Answer>>>>);

impl Kept {
    /// The answer of this name, made at the first request. If there is nothing to answer, that is kept as well.
    pub fn get(&self, name: &str, make: impl FnOnce() -> Option<Answer>) -> Option<Arc<Answer>> {
        let Ok(mut kept) = self.0.lock() else { return make().map(Arc::new) };
        if let Some(answer) = kept.get(name) {
            return answer.clone();
        }
        let answer = make().map(Arc::new);
        if kept.len() < KEPT_MAX {
            kept.insert(name.to_owned(), answer.clone());
        }
        answer
    }
}

/// The event that nearly all streams tell, being at the same version: made once for all of them.
#[derive(Default)]
pub struct Common(Mutex<Option<(Arc<str>, Arc<str>)>>);

impl Common {
    /// The event for who knows of this version.
    pub fn get(&self, known: &Arc<str>, make: impl FnOnce() -> Arc<str>) -> Arc<str> {
        let Ok(mut common) = self.0.lock() else { return make() };
        match &*common {
            Some((version, event)) if version == known => Arc::clone(event),
            _ => {
                let event = make();
                *common = Some((Arc::clone(known), Arc::clone(&event)));
                event
            }
        }
    }
}

/// The same in every process: `DefaultHasher::new` has no random keys.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5, br", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("br, deflate", false),
            ("", false),
            ("gzip;level=9", false),
        ] {
            assert_eq!(accepts_gzip(&asked(header::ACCEPT_ENCODING, value)), expected, "{value}");
        }
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let answer = Answer::new("text/plain", "a");
        for (known, status) in [
            (answer.tag.clone(), 304),
            (answer.tag.replace("W/", ""), 304),
            (format!("\"b\", {}", answer.tag), 304),
            ("*".to_owned(), 304),
            ("\"b\"".to_owned(), 200),
            (String::new(), 200),
        ] {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, known.parse().unwrap())]);
            assert_eq!(answer.respond(&headers).status(), status, "{known}");
        }
    }

    #[test]
    fn what_is_kept_is_made_once_and_bounded() {
        let kept = Kept::default();
        let answer = || Some(Answer::new("text/plain", "a"));
        assert!(kept.get("nothing", || None).is_none());
        assert!(kept.get("nothing", answer).is_none());
        for number in 0..2 * KEPT_MAX {
            assert!(kept.get(&number.to_string(), answer).is_some());
        }
        assert_eq!(kept.0.lock().unwrap().len(), KEPT_MAX);
        assert!(kept.get("0", || panic!("it is there")).is_some());
    }
}
