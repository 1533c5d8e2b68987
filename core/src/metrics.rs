//! Numbers for Prometheus, in its text format. Values in, text out.

use jiff::Timestamp;
use std::fmt;

use jiff::Unit;
use jiff::civil::Date;

use crate::status::Status;
use crate::view::{PartitionState, PartitionView};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, Copy)]
enum Type {
    Counter,
    Gauge,
}
use Type::{Counter, Gauge};

/// A text of metric families, each with its help and type.
#[derive(Default)]
struct Text(String);

impl Text {
    /// A family of samples, each a set of labels and a value; nothing where there are no samples.
    fn family(
        &mut self,
        name: &str,
        kind: Type,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, Option<f64>)>,
    ) {
        let known =
            |(labels, value): (Labels, Option<f64>)| Some((labels, value.filter(|it| it.is_finite())?));
        let mut samples = samples.into_iter().filter_map(known).peekable();
        if samples.peek().is_none() {
            return;
        }
        let kind = match kind {
            Counter => "counter",
            Gauge => "gauge",
        };
        self.0 += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            self.0 += &format!("{name}{labels} {value}\n");
        }
    }
}

/// The labels of a sample, in the order given.
#[derive(Clone, Default)]
struct Labels(Vec<(&'static str, String)>);

impl Labels {
    fn with(mut self, name: &'static str, value: impl ToString) -> Labels {
        self.0.push((name, value.to_string()));
        self
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{}{name}=\"{value}\"", if index == 0 { '{' } else { ',' })?;
        }
        f.write_str(if self.0.is_empty() { "" } else { "}" })
    }
}

/// A number of each partition: its name, type and help, and the value if it is known.
type Number = (&'static str, Type, &'static str, fn(&PartitionView) -> Option<f64>);

const NUMBERS: [Number; 12] = [
    ("almanac_partition_offset", Gauge, "The next offset to read, as the checkpoint has it.", |view| {
        Some(view.offset? as f64)
    }),
    ("almanac_partition_high_watermark", Gauge, "One past the last record that can be read.", |view| {
        Some(view.high_watermark? as f64)
    }),
    ("almanac_partition_lag", Gauge, "Offsets between the checkpoint and the high watermark.", |view| {
        Some(view.lag? as f64)
    }),
    (
        "almanac_freshness_seconds",
        Gauge,
        "For how long the checkpoint has been behind the log, or unheard of.",
        |view| Some(view.freshness_seconds?.as_secs_f64()),
    ),
    ("almanac_reports", Gauge, "Reports in the checkpoint: distinct days.", |view| Some(view.days? as f64)),
    ("almanac_newest_day_timestamp_seconds", Gauge, "The newest day counted, its midnight in UTC.", |view| {
        Some(unix_seconds(view.newest?))
    }),
    ("almanac_checkpoint_size_bytes", Gauge, "Size of the checkpoint's file.", |view| {
        Some(view.bytes? as f64)
    }),
    (
        "almanac_checkpoint_duration_seconds",
        Gauge,
        "How long the last checkpoint took to become durable.",
        |view| Some(view.consumer?.checkpoint_seconds),
    ),
    (
        "almanac_checkpoint_timestamp_seconds",
        Gauge,
        "When the checkpoint's file was replaced last.",
        |view| Some(view.written?.as_duration().as_secs_f64()),
    ),
    (
        "almanac_rebalances_total",
        Counter,
        "Assignments and revocations since the partition's owner started.",
        |view| Some(view.consumer?.rebalances as f64),
    ),
    (
        "almanac_broker_errors_total",
        Counter,
        "Errors of the owner's Kafka client since it started.",
        |view| Some(view.consumer?.broker_errors as f64),
    ),
    (
        "almanac_rejected_records_total",
        Counter,
        "Records of the log so far that were rejected, as the rejected file has them.",
        |view| Some(view.rejected? as f64),
    ),
];

/// The numbers of partitions.
pub fn of_partitions(views: &[PartitionView], is_readable: bool) -> String {
    let mut text = Text::default();
    build_info(&mut text);
    let readable = [(Labels::default(), Some(f64::from(u8::from(is_readable))))];
    text.family(
        "almanac_dir_readable",
        Gauge,
        "1 where the checkpoints' directory can be read, else 0.",
        readable,
    );
    for (name, kind, help, value) in NUMBERS {
        text.family(name, kind, help, views.iter().map(|view| (labels(view), value(view))));
    }
    records(&mut text, views);
    states(&mut text, views);
    text.0
}

fn records(text: &mut Text, views: &[PartitionView]) {
    let outcomes = views.iter().flat_map(|view| {
        let outcome = |name, count: fn(&Status) -> u64| {
            (labels(view).with("outcome", name), view.consumer.map(|status| count(status) as f64))
        };
        [
            outcome("counted", |status| status.counted),
            outcome("duplicate", |status| status.duplicates),
            outcome("rejected", |status| status.rejected),
        ]
    });
    text.family(
        "almanac_records_total",
        Counter,
        "Records taken since the partition's owner took it, by what became of them.",
        outcomes,
    );
}

fn states(text: &mut Text, views: &[PartitionView]) {
    let states = views.iter().flat_map(|view| {
        PartitionState::ALL.map(|state| {
            (labels(view).with("state", state), Some(if state == view.state { 1.0 } else { 0.0 }))
        })
    });
    text.family("almanac_partition_state", Gauge, "1 for the state that the partition is in.", states);
}

/// The topic is not known before a consumer has said something of the partition: then its label is left out, which is
/// the same as an empty one.
fn labels(view: &PartitionView) -> Labels {
    let labels = view.topic.map_or_else(Labels::default, |topic| Labels::default().with("topic", topic));
    labels.with("partition", view.partition)
}

/// The records of a producer that Kafka has acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub days: u64,
    pub repeats: u64,
    pub acknowledged: u64,
    /// Handed to the client, and not yet acknowledged.
    pub pending: u64,
    /// For a Kafka that does not answer.
    pub is_waiting: bool,
    pub newest: Option<Date>,
}

pub fn of_producer(topic: &str, sent: Sent) -> String {
    let mut text = Text::default();
    build_info(&mut text);
    let labels = || Labels::default().with("topic", topic);
    text.family(
        "almanac_producer_records_total",
        Counter,
        "Records that Kafka has acknowledged since the producer started, days and their repeats.",
        [
            (labels().with("kind", "day"), Some(sent.days as f64)),
            (labels().with("kind", "repeat"), Some(sent.repeats as f64)),
        ],
    );
    text.family(
        "almanac_producer_acknowledged_records_total",
        Counter,
        "Records that Kafka has acknowledged since the producer started, all kinds together.",
        [(labels(), Some(sent.acknowledged as f64))],
    );
    text.family(
        "almanac_producer_pending_records",
        Gauge,
        "Records handed to the Kafka client that Kafka has not acknowledged yet.",
        [(labels(), Some(sent.pending as f64))],
    );
    text.family(
        "almanac_producer_waiting",
        Gauge,
        "1 while the producer waits for a Kafka that does not answer.",
        [(labels(), Some(f64::from(u8::from(sent.is_waiting))))],
    );
    text.family(
        "almanac_producer_newest_day_timestamp_seconds",
        Gauge,
        "The newest day acknowledged, its midnight in UTC.",
        [(labels(), sent.newest.map(unix_seconds))],
    );
    text.0
}

/// A source of weather that is read again and again.
#[derive(Clone, Copy, Debug, Default)]
pub struct FeedNumbers {
    pub is_failing: bool,
    pub failures: u64,
    pub answered: Option<Timestamp>,
    pub changed: u64,
}

pub fn of_feed(feed: FeedNumbers) -> String {
    let mut text = Text::default();
    let labels = Labels::default;
    text.family(
        "almanac_feed_failing",
        Gauge,
        "1 while the source of weather can't be read.",
        [(labels(), Some(f64::from(u8::from(feed.is_failing))))],
    );
    text.family(
        "almanac_feed_failures_total",
        Counter,
        "How often the source of weather could not be read.",
        [(labels(), Some(feed.failures as f64))],
    );
    text.family(
        "almanac_feed_answered_timestamp_seconds",
        Gauge,
        "When the source of weather was last read.",
        [(labels(), feed.answered.map(|at| at.as_second() as f64))],
    );
    text.family(
        "almanac_feed_changed_days",
        Gauge,
        "Days with another value in the source than the one that was sent, which counts.",
        [(labels(), Some(feed.changed as f64))],
    );
    text.0
}

fn build_info(text: &mut Text) {
    let labels = Labels::default().with("version", env!("CARGO_PKG_VERSION"));
    text.family("almanac_build_info", Gauge, "The version of almanac.", [(labels, Some(1.0))]);
}

/// Midnight of a day in UTC.
fn unix_seconds(day: Date) -> f64 {
    let days = day.since((Unit::Day, Date::constant(1970, 1, 1))).map_or(0, |span| span.get_days());
    f64::from(days) * 86_400.0
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::status::Durable;
    use crate::view::Facts;

    #[test]
    fn a_sample_has_its_labels_escaped() {
        let mut text = Text::default();
        let labels = Labels::default().with("topic", "a\"b\\c\nd").with("partition", 3);
        text.family("x", Counter, "Of what.", [(labels, Some(2.5)), (Labels::default(), None)]);
        text.family("y", Gauge, "It is unknown.", [(Labels::default(), None)]);
        assert_eq!(
            text.0,
            "# HELP x Of what.\n# TYPE x counter\nx{topic=\"a\\\"b\\\\c\\nd\",partition=\"3\"} 2.5\n"
        );
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let mut text = Text::default();
        let samples = [f64::NAN, f64::INFINITY, -0.5].map(|value| (Labels::default(), Some(value)));
        text.family("x", Gauge, "Of what.", samples);
        assert_eq!(text.0, "# HELP x Of what.\n# TYPE x gauge\nx -0.5\n");
    }

    #[test]
    fn partitions_as_text() {
        let now = Timestamp::constant(1_000_000_000, 0);
        let status: Status = serde_json::from_str(
            r#"{"partition":0,"topic":"temperatures","state":"running","offset":9,"position":10,
                "high_watermark":12,"lag":2,"rate":1.5,"counted":7,"duplicates":2,"rejected":1,"rejected_total":4,"days":1,
                "newest":"1990-01-31","last_durable":"2001-09-09T01:46:30Z","last_progress":"2001-09-09T01:46:30Z",
                "stalled_since":null,"checkpoint_seconds":0.0125,"checkpoint_bytes":160,"rebalances":3,
                "broker_errors":4,"owner":{"pid":1,"host":"h","since":"2001-09-09T01:00:00Z"},
                "written":"2001-09-09T01:46:39Z"}"#,
        )
        .unwrap();
        let durable = Durable {
            offset: 10,
            days: 1,
            newest: Some(Date::constant(1990, 1, 31)),
            bytes: 160,
            written: Some(Timestamp::constant(999_999_999, 500_000_000)),
        };
        let known = Facts::in_memory(status, durable);
        let fresh = Durable { offset: 0, days: 0, newest: None, bytes: 27, written: None };
        let unknown = Facts { partition: 1, durable: Ok(fresh), status: None, first_reason: None };
        insta::assert_snapshot!(of_partitions(&[known.view(now), unknown.view(now)], true));
        insta::assert_snapshot!(of_partitions(&[], false));
    }

    #[test]
    fn a_producer_as_text() {
        insta::assert_snapshot!(of_producer("temperatures", Sent::default()));
        let newest = Some(Date::constant(1990, 1, 2));
        let sent = Sent { days: 3, repeats: 1, acknowledged: 4, pending: 2, is_waiting: true, newest };
        insta::assert_snapshot!(of_producer("temperatures", sent));
    }

    #[test]
    fn days_lie_before_and_after_1970() {
        assert_eq!(unix_seconds(Date::constant(1970, 1, 2)), 86_400.0);
        assert_eq!(unix_seconds(Date::constant(1869, 1, 1)), -36_889.0 * 86_400.0);
        assert_eq!(unix_seconds(Date::constant(9999, 12, 31)), 253_402_214_400.0);
    }
}
