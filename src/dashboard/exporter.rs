//! The numbers of a consumer or a producer for Prometheus: `/metrics`, `/healthz` and `/readyz`, on a thread of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;

use super::error::DashboardError;
use super::routes;
use super::serve::{Bound, Hosts};
use crate::broker::HostPort;
use crate::failure::fact;
use crate::metrics;
use crate::status::Board;
use crate::stop::Stop;
use crate::store::Reader;
use crate::view::{Facts, hindrances};

/// How long the numbers may take: a file system or a Kafka may not answer.
const NUMBERS_MAX: Duration = Duration::from_secs(5);

/// The numbers of a process.
pub trait Numbers: Send + Sync + 'static {
    /// In Prometheus's text format.
    fn metrics(&self) -> String;
    /// Why it does not do its work, one reason each; nothing where it does.
    fn not_ready(&self) -> Vec<String>;
}

/// An exporter that has its port, and answers nobody yet.
pub struct Exporter {
    listen: HostPort,
    bound: Bound,
}

/// An exporter at work; dropped, it ends.
pub struct Serving {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    pub fn bind(listen: &HostPort) -> Result<Self, DashboardError> {
        Ok(Exporter { bound: Bound::new(listen, "--metrics")?, listen: listen.clone() })
    }

    /// The address that it listens at.
    pub fn address(&self) -> SocketAddr {
        self.bound.address()
    }

    /// Answers from now on. That it can't stops nothing else.
    pub fn start(self, numbers: impl Numbers) -> Result<Serving, DashboardError> {
        let stop = Stop::default();
        let asked = stop.clone();
        let serve = move || {
            // Prometheus asks by whatever name its settings have; what only this machine reaches is kept from browsers.
            let hosts = match self.bound.address().ip().is_loopback() {
                true => Hosts::new(&self.listen, Vec::new()),
                false => Hosts::Any,
            };
            if let Err(error) = self.bound.serve(router(Arc::new(numbers)), hosts, &asked) {
                tracing::warn!("no more metrics: {}", fact(&error));
            }
        };
        let thread = thread::Builder::new().name("metrics".to_owned()).spawn(serve)?;
        Ok(Serving { stop, thread: Some(thread) })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.ask();
        // The thread drops the sources of the numbers before the rest of the process ends.
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the metrics panicked; this is a bug");
        }
    }
}

fn router(numbers: Arc<dyn Numbers>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .with_state(numbers)
        .fallback(|| async { (StatusCode::NOT_FOUND, "here are /metrics, /healthz and /readyz\n") })
}

type Source = State<Arc<dyn Numbers>>;

async fn metrics(State(numbers): Source) -> Response {
    answer(NUMBERS_MAX, move || routes::in_prometheus_format(numbers.metrics())).await
}

/// Whether the numbers can be had.
async fn healthy(State(numbers): Source) -> Response {
    answer(NUMBERS_MAX, move || {
        numbers.metrics();
        routes::yes_or_no("ok\n", Vec::new())
    })
    .await
}

async fn ready(State(numbers): Source) -> Response {
    answer(NUMBERS_MAX, move || routes::yes_or_no("ready\n", numbers.not_ready())).await
}

/// Makes an answer on another thread, so that the next question does not wait for it.
async fn answer(time: Duration, make: impl FnOnce() -> Response + Send + 'static) -> Response {
    match tokio::time::timeout(time, tokio::task::spawn_blocking(make)).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "a thread panicked; this is a bug\n").into_response()
        }
        Err(_) => {
            let reason = format!("there are no numbers yet after {} s\n", time.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
        }
    }
}

/// The partitions that this process owns, as its memory has them. Only what is durable is reported.
pub struct OwnPartitions {
    topic: String,
    reader: Arc<dyn Reader>,
    stall_after: Duration,
    board: Board,
}

impl OwnPartitions {
    pub fn new(topic: &str, reader: Arc<dyn Reader>, stall_after: Duration, board: Board) -> OwnPartitions {
        OwnPartitions { topic: topic.to_owned(), reader, stall_after, board }
    }

    fn facts(&self) -> Vec<Facts> {
        self.board.all().into_iter().map(|(status, durable)| Facts::in_memory(status, durable)).collect()
    }
}

impl Numbers for OwnPartitions {
    fn metrics(&self) -> String {
        let (facts, now) = (self.facts(), Timestamp::now());
        let views: Vec<_> = facts.iter().map(|facts| facts.view(now)).collect();
        metrics::of_partitions(&views, self.reader.is_readable())
    }

    fn not_ready(&self) -> Vec<String> {
        let (facts, now) = (self.facts(), Timestamp::now());
        if facts.is_empty() {
            let cause = self.board.obstacle().map_or(String::new(), |cause| format!(": {cause}"));
            return vec![format!("this process owns no partition of {}{cause}", self.topic)];
        }
        let views: Vec<_> = facts.iter().map(|facts| facts.view(now)).collect();
        hindrances(&views, self.stall_after)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::status::Status;
    use crate::view::tests::facts;

    #[test]
    fn numbers_that_do_not_come_are_not_waited_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = |time, make: fn(mpsc::Receiver<()>) -> Response| {
            let (sender, receiver) = mpsc::channel();
            let response = runtime.block_on(answer(time, move || make(receiver)));
            drop(sender);
            response.status().as_u16()
        };
        let long = Duration::from_secs(60);
        assert_eq!(answer(long, |_| "1".into_response()), 200);
        assert_eq!(answer(long, |_| panic!("on purpose")), 500);
        let never = |receiver: mpsc::Receiver<()>| {
            let _ = receiver.recv();
            "1".into_response()
        };
        assert_eq!(answer(Duration::from_millis(1), never), 503);
    }

    #[test]
    fn own_partitions_are_those_on_the_board() {
        let board = Board::default();
        let dir = tempfile::tempdir().unwrap();
        let reader = crate::store::reader(dir.path()).unwrap();
        let own = OwnPartitions::new("temperatures", reader, Duration::from_secs(30), board.clone());
        assert_eq!(own.not_ready(), ["this process owns no partition of temperatures"]);
        board.set_obstacle(Some("Kafka does not answer (refused)".to_owned()));
        let reason = "this process owns no partition of temperatures: Kafka does not answer (refused)";
        assert_eq!(own.not_ready(), [reason]);
        for partition in [0, 1] {
            let Facts { status, durable, .. } = facts(partition);
            let written = Timestamp::now().to_string();
            board.show(&Status { written, ..status.unwrap() }, durable.unwrap());
        }
        board.keep(|partition| partition == 0);
        let text = own.metrics();
        let offsets: Vec<&str> =
            text.lines().filter(|line| line.starts_with("almanac_partition_offset")).collect();
        assert_eq!(offsets, ["almanac_partition_offset{topic=\"temperatures\",partition=\"0\"} 10"]);
        assert!(text.contains("almanac_dir_readable 1\n"), "{text}");
        assert_eq!(own.not_ready(), Vec::<String>::new());
    }
}
