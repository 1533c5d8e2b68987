//! What is answered, each answer made of the latest [`Snapshot`].

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch::Receiver;

use super::{Snapshot, api, events, watch};
use crate::metrics;
use crate::plot::{self, Kind, Look, Unit};
use crate::report::MONTHS;
use crate::status::View;
use crate::store;

const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";
const NOTHING: &str = "there is nothing of this name\n";
const TEXT: &str = "text/plain; charset=utf-8";

/// A comment on a stream that has nothing to tell, so that both ends see whether the other is still there.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

#[derive(Clone)]
struct Shared {
    snapshots: Receiver<Arc<Snapshot>>,
    stall_after: Duration,
}

impl Shared {
    fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }
}

pub fn router(snapshots: Receiver<Arc<Snapshot>>, stall_after: Duration) -> Router {
    Router::new()
        .route("/", get(|| async { asset("text/html; charset=utf-8", include_str!("page/index.html")) }))
        .route("/app.css", get(|| async { asset("text/css; charset=utf-8", include_str!("page/app.css")) }))
        .route(
            "/app.js",
            get(|| async { asset("text/javascript; charset=utf-8", include_str!("page/app.js")) }),
        )
        .route("/icon.svg", get(|| async { asset(SVG, include_str!("page/icon.svg")) }))
        .route("/favicon.ico", get(|| async { asset(SVG, include_str!("page/icon.svg")) }))
        .route("/api/months", get(months))
        .route("/api/partitions", get(partitions))
        .route("/api/events", get(event_stream))
        .route("/plot/{name}", get(plot))
        .route("/month.svg", get(month_svg))
        .route("/healthz", get(|| async { asset(TEXT, "ok\n") }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/{name}", get(checkpoint))
        .with_state(Shared { snapshots, stall_after })
        .fallback(|| async { (StatusCode::NOT_FOUND, NOTHING) })
}

fn asset(content_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

/// An answer with its ETag, or only that it is still the one that the client has.
fn tagged(
    asked: &HeaderMap,
    content_type: &'static str,
    tag: &str,
    body: impl FnOnce() -> Bytes,
) -> Response {
    let tag = format!("\"{tag}\"");
    let known = asked.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let is_known = known.is_some_and(|known| {
        known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag || known.trim() == "*")
    });
    let headers: [(HeaderName, String); 2] =
        [(header::ETAG, tag), (header::CONTENT_TYPE, content_type.to_owned())];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, headers).into_response(),
        false => (headers, body()).into_response(),
    }
}

fn tag_of(body: &[u8]) -> String {
    format!("{:016x}", watch::hash(body))
}

async fn months(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let snapshot = shared.latest();
    tagged(&headers, JSON, &snapshot.version, || api::to_json(&api::months(&snapshot)).into())
}

async fn partitions(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let body = api::to_json(&api::partitions(&shared.latest(), Timestamp::now()));
    tagged(&headers, JSON, &tag_of(body.as_bytes()), || body.into())
}

#[derive(Deserialize)]
struct Since {
    /// The version of which the client knows.
    since: Option<String>,
}

async fn event_stream(
    State(shared): State<Shared>,
    Query(query): Query<Since>,
    headers: HeaderMap,
) -> Response {
    // A browser that connects again says what it heard last.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let events = events::events(shared.snapshots, last.or(query.since.as_deref()));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_EVERY)).into_response()
}

#[derive(Deserialize)]
struct Wished {
    month: Option<String>,
    unit: Option<String>,
    width: Option<u32>,
}

/// A picture as wide as asked for.
async fn plot(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(wished): Query<Wished>,
    headers: HeaderMap,
) -> Response {
    let kind = match name.as_str() {
        "months.svg" => Kind::Months,
        "heatmap.svg" => Kind::Heatmap,
        "stripes.svg" => Kind::Stripes,
        "history.svg" => Kind::History,
        _ => return (StatusCode::NOT_FOUND, "there is no such picture\n").into_response(),
    };
    let unit = match wished.unit.as_deref() {
        None | Some("c") => Unit::Celsius,
        Some("f") => Unit::Fahrenheit,
        Some(_) => return (StatusCode::BAD_REQUEST, "unit is c or f\n").into_response(),
    };
    let month =
        wished.month.as_deref().map(|name| MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name)));
    let months = match (month, kind) {
        (Some(Some(month)), _) => vec![month],
        (None, Kind::Months | Kind::Heatmap | Kind::Stripes) => (0..MONTHS.len()).collect(),
        (Some(None) | None, _) => {
            return (StatusCode::BAD_REQUEST, "month is an English name, such as July\n").into_response();
        }
    };
    let width = wished.width.map(|width| width.clamp(WIDTH_MIN, WIDTH_MAX));
    let look = Look { kind, months, unit, width };
    let snapshot = shared.latest();
    let tag = format!("{}-{}", snapshot.version, tag_of(format!("{look:?}").as_bytes()));
    // Drawn only for those who don't have it; where there is nothing to draw, that is the answer.
    match plot::svg(&snapshot.cells, &look) {
        Some(svg) => tagged(&headers, SVG, &tag, || svg.into()),
        None => (StatusCode::NOT_FOUND, "there is nothing to draw yet\n").into_response(),
    }
}

const WIDTH_MIN: u32 = 240;
const WIDTH_MAX: u32 = 4000;

/// As `almanac plot` would draw it now.
async fn month_svg(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let snapshot = shared.latest();
    match plot::svg(&snapshot.cells, &Look::of(Kind::Months)) {
        Some(svg) => tagged(&headers, SVG, &tag_of(svg.as_bytes()), || svg.into()),
        None => (StatusCode::NOT_FOUND, "there is nothing to draw yet\n").into_response(),
    }
}

/// The bytes of a checkpoint's file; of one that can be read, and of no other file.
async fn checkpoint(State(shared): State<Shared>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let snapshot = shared.latest();
    let Some(file) =
        snapshot.partitions.values().find(|file| name == store::checkpoint_name(file.view.partition))
    else {
        return (StatusCode::NOT_FOUND, NOTHING).into_response();
    };
    match &file.view.checkpoint {
        Ok(_) => tagged(&headers, JSON, &format!("{:016x}", file.hash), || file.bytes.clone()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Whether what is counted keeps up with what comes, and if not, why.
async fn ready(State(shared): State<Shared>) -> Response {
    let reasons = api::not_ready(&shared.latest(), shared.stall_after, Timestamp::now());
    match reasons.is_empty() {
        true => asset(TEXT, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response(),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let snapshot = shared.latest();
    let views: Vec<&View> = snapshot.partitions.values().map(|file| &file.view).collect();
    let text = metrics::of_partitions(&views, Timestamp::now());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}
