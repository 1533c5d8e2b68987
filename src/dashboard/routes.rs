//! The routes. Each answer is made of the latest [`Snapshot`].

use std::sync::Arc;
use std::time::Duration;

use almanac_core::place::Place;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch::Receiver;

use super::answer::Answer;
use super::api::Watched;
use super::watch::{Pulse, Snapshot};
use super::{api, events, head};
use crate::choice::Choice;
use crate::feed::Health;
use crate::metrics;
use crate::plot::{self, Caption, Kind, Look, Unit};
use crate::report::MONTHS;
use crate::store;
use crate::text::to_json;

/// The directory that commands use by themselves.
const DIR: &str = "files";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const CSV: &str = "text/csv; charset=utf-8";

/// As fine as most screens are, and print needs.
const PNG_SCALE: f32 = 2.0;

/// The page: paths, content types, and what is built into the binary.
const ASSETS: [(&str, &str, &str); 14] = [
    ("/app.css", "text/css; charset=utf-8", include_str!("page/app.css")),
    ("/app.js", JAVASCRIPT, include_str!("page/app.js")),
    ("/choice.js", JAVASCRIPT, include_str!("page/choice.js")),
    ("/connection.js", JAVASCRIPT, include_str!("page/connection.js")),
    ("/data.js", JAVASCRIPT, include_str!("page/data.js")),
    ("/head.js", JAVASCRIPT, include_str!("page/head.js")),
    ("/notices.js", JAVASCRIPT, include_str!("page/notices.js")),
    ("/partitions.js", JAVASCRIPT, include_str!("page/partitions.js")),
    ("/pictures.js", JAVASCRIPT, include_str!("page/pictures.js")),
    ("/tooltip.js", JAVASCRIPT, include_str!("page/tooltip.js")),
    ("/values.js", JAVASCRIPT, include_str!("page/values.js")),
    ("/words.js", JAVASCRIPT, include_str!("page/words.js")),
    ("/icon.svg", SVG, include_str!("page/icon.svg")),
    ("/favicon.ico", SVG, include_str!("page/icon.svg")),
];

/// A comment on a stream that has nothing to tell, so that both ends see whether the other is still there.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

#[derive(Clone)]
struct Shared {
    snapshots: Receiver<Arc<Snapshot>>,
    pulse: Pulse,
    stall_after: Duration,
    watched: Watched,
    feed: Option<Arc<Health>>,
}

impl Watched {
    pub fn of(dir: &std::path::Path) -> Watched {
        let absolute = || std::path::absolute(dir).ok().filter(|_| !store::is_url(dir));
        let whole = absolute().unwrap_or_else(|| dir.to_owned());
        Watched { dir: whole.display().to_string(), is_default: dir == std::path::Path::new(DIR) }
    }
}

impl Shared {
    fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }
}

pub fn router(
    snapshots: Receiver<Arc<Snapshot>>,
    pulse: Pulse,
    stall_after: Duration,
    watched: Watched,
    feed: Option<Arc<Health>>,
) -> Router {
    let mut router = Router::new();
    for (path, content_type, text) in ASSETS {
        let answer = Arc::new(Answer::new(content_type, text));
        router = router.route(path, get(move |asked: HeaderMap| std::future::ready(answer.respond(&asked))));
    }
    router
        .route("/", get(page))
        .route("/api/head", get(head_json))
        .route("/api/months", get(months))
        .route("/api/partitions", get(partitions))
        .route("/api/events", get(event_stream))
        .route("/plot/{name}", get(plot))
        .route("/month.svg", get(month_svg))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/{name}", get(checkpoint))
        .with_state(Shared { snapshots, pulse, stall_after, watched, feed })
        .fallback(|| async { not_found() })
}

/// The page, with its head filled in: a reader without a script and a shared link have it, too.
async fn page(State(shared): State<Shared>, Query(wished): Query<Wished>, asked: HeaderMap) -> Response {
    let snapshot = shared.latest();
    let unit = unit(&wished).unwrap_or(Unit::Celsius);
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    let scheme = text(HeaderName::from_static("x-forwarded-proto")).filter(|scheme| *scheme == "https");
    let base = format!("{}://{}", scheme.unwrap_or("http"), text(header::HOST).unwrap_or_default());
    let make = || Some(Answer::new(HTML, head::page(&head::head(&snapshot, unit), unit, &base)));
    let name = format!("/ {unit:?} {base}");
    snapshot.kept.get(&name, make).map_or_else(not_found, |answer| answer.respond(&asked))
}

async fn head_json(State(shared): State<Shared>, Query(wished): Query<Wished>, asked: HeaderMap) -> Response {
    let snapshot = shared.latest();
    let Ok(unit) = unit(&wished) else { return not_found() };
    let make = || Some(Answer::new(JSON, to_json(&head::head(&snapshot, unit))));
    let name = format!("/api/head {unit:?}");
    snapshot.kept.get(&name, make).map_or_else(not_found, |answer| answer.respond(&asked))
}

async fn months(State(shared): State<Shared>, asked: HeaderMap) -> Response {
    let snapshot = shared.latest();
    let make = || Some(Answer::new(JSON, to_json(&api::months(&snapshot))));
    snapshot.kept.get("/api/months", make).map_or_else(not_found, |answer| answer.respond(&asked))
}

async fn partitions(State(shared): State<Shared>, asked: HeaderMap) -> Response {
    let snapshot = shared.latest();
    let partitions = api::partitions(&snapshot, &shared.watched, Timestamp::now());
    let json = to_json(&partitions);
    Answer::tagged(JSON, json, to_json(&partitions.without_ages()).as_bytes()).respond(&asked)
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
    // nginx would keep events back until a buffer is full.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_EVERY);
    (unbuffered, Sse::new(events).keep_alive(keep_alive)).into_response()
}

/// The type that a picture is sent as.
#[derive(Clone, Copy, Debug)]
enum Format {
    Svg,
    Png,
    Csv,
    /// Not a picture, but the tips that a bare one lacks.
    Tips,
}

impl Format {
    fn named(extension: &str) -> Option<Format> {
        match extension {
            "svg" => Some(Format::Svg),
            "png" => Some(Format::Png),
            "csv" => Some(Format::Csv),
            "tips" => Some(Format::Tips),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Wished {
    month: Option<String>,
    unit: Option<String>,
    width: Option<u32>,
    /// Given, whatever its value, if a page has the place and the source itself, and fetches the tips of a picture with
    /// hundreds of marks once they are wanted.
    bare: Option<String>,
}

/// A picture as wide as asked for.
async fn plot(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(wished): Query<Wished>,
    asked: HeaderMap,
) -> Response {
    let named =
        name.split_once('.').and_then(|(kind, format)| Some((Kind::named(kind)?, Format::named(format)?)));
    let Some((kind, format)) = named else { return not_found() };
    let is_bare = wished.bare.is_some();
    match look(kind, &wished) {
        Ok(look) => picture(&shared, look, format, is_bare, &asked),
        Err(reason) => (StatusCode::BAD_REQUEST, reason).into_response(),
    }
}

fn unit(wished: &Wished) -> Result<Unit, &'static str> {
    match wished.unit.as_deref() {
        None | Some("c") => Ok(Unit::Celsius),
        Some("f") => Ok(Unit::Fahrenheit),
        Some(_) => Err("unit is c or f\n"),
    }
}

fn look(kind: Kind, wished: &Wished) -> Result<Look, &'static str> {
    let unit = unit(wished)?;
    let months = match (wished.month.as_deref(), kind) {
        (Some(name), _) => {
            MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name)).map(|it| vec![it])
        }
        (None, Kind::History) => None,
        (None, _) => Some((0..MONTHS.len()).collect()),
    };
    let months = months.ok_or("month is an English name, such as July\n")?;
    let width = wished.width.map(|width| width.clamp(plot::WIDTH_MIN, plot::WIDTH_MAX));
    Ok(Look { months, unit, width, ..Look::of(kind) })
}

/// As `almanac plot` would draw it now.
async fn month_svg(State(shared): State<Shared>, asked: HeaderMap) -> Response {
    picture(&shared, Look::of(Kind::Months), Format::Svg, false, &asked)
}

fn picture(shared: &Shared, look: Look, format: Format, is_bare: bool, asked: &HeaderMap) -> Response {
    let snapshot = shared.latest();
    let (cells, place) = (&snapshot.cells, snapshot.whole.place.as_ref());
    let name = format!("{look:?} {format:?} {is_bare}");
    let look = Look { caption: Caption::of(place.filter(|_| !is_bare)), ..look };
    let has_many_marks = matches!(look.kind, Kind::Anomalies | Kind::Heatmap | Kind::History);
    let svg = || match is_bare && has_many_marks {
        true => plot::svg_without_tips(cells, &look),
        false => plot::svg(cells, &look),
    };
    let make = || match format {
        Format::Svg => svg().map(|svg| Answer::new(SVG, svg)),
        Format::Png => Some(Answer::new("image/png", plot::png(&svg()?, PNG_SCALE).ok()?)),
        Format::Csv => plot::csv(cells, &look, place.and_then(Place::label)).map(|csv| Answer::new(CSV, csv)),
        Format::Tips => plot::tips(cells, &look).map(|tips| Answer::new(JSON, to_json(&tips))),
    };
    match snapshot.kept.get(&name, make) {
        Some(answer) => answer.respond(asked),
        None => (StatusCode::NOT_FOUND, "there is nothing to draw yet\n").into_response(),
    }
}

/// The bytes of a checkpoint's file; of one that can be read, and of no other file.
async fn checkpoint(State(shared): State<Shared>, Path(name): Path<String>, asked: HeaderMap) -> Response {
    let snapshot = shared.latest();
    let Some(file) =
        snapshot.partitions.values().find(|file| name == store::checkpoint_name(file.facts.partition))
    else {
        return not_found();
    };
    match &file.facts.durable {
        Ok(_) => file.answer.respond(&asked),
        Err(unread) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", unread.fact)).into_response(),
    }
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "there is nothing of this name\n").into_response()
}

/// Whether what is answered is of now.
async fn healthy(State(shared): State<Shared>) -> Response {
    yes_or_no("ok\n", shared.pulse.hindrance().into_iter().collect())
}

/// Whether what is counted keeps up with what comes.
async fn ready(State(shared): State<Shared>) -> Response {
    let mut reasons = api::not_ready(&shared.latest(), shared.stall_after, Timestamp::now());
    reasons.extend(shared.pulse.hindrance());
    reasons.extend(shared.feed.and_then(|feed| feed.now().failure));
    yes_or_no("ready\n", reasons)
}

/// Yes, or the reasons why not, one a line.
pub fn yes_or_no(yes: &'static str, reasons: Vec<String>) -> Response {
    let (status, text) = match reasons.is_empty() {
        true => (StatusCode::OK, yes.to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
    };
    (status, [(header::CONTENT_TYPE, TEXT)], text).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let snapshot = shared.latest();
    let partitions = metrics::of_partitions(&snapshot.views(Timestamp::now()), snapshot.failure.is_none());
    in_prometheus_format(partitions + &shared.feed.map_or(String::new(), |feed| feed.metrics()))
}

pub fn in_prometheus_format(text: String) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}
