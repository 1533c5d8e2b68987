//! `server.properties`: ours, then what the user set.

use super::error::BrokerError;
use super::listeners::Listeners;

const HEADER: &str = "# Written by almanac at each start. Changes are lost; use --set KEY=VALUE.\n";

/// The properties that say where the data is and whose it is. With another value, the data would be another broker's.
const OWN: [&str; 10] = [
    "process.roles",
    "node.id",
    "broker.id",
    "log.dir",
    "log.dirs",
    "metadata.log.dir",
    "controller.listener.names",
    "controller.quorum.voters",
    "controller.quorum.bootstrap.servers",
    "cluster.id",
];

/// These differ from Kafka's own. A few partitions of its internal topics start sooner than fifty. A group need not
/// wait for other members before it begins. A topic that a client's request creates has the wrong partitions and
/// retention.
const DEFAULTS: [(&str, &str); 5] = [
    ("auto.create.topics.enable", "false"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.num.partitions", "4"),
];

/// As many replicas of its internal topics as there are nodes, up to Kafka's own number.
const REPLICATION: [&str; 3] = [
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "share.coordinator.state.topic.replication.factor",
];
const REPLICATION_MAX: usize = 3;

/// The cluster works while one of the replicas is away.
const MIN_ISR: [&str; 2] = ["transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr"];

/// For a node without others, which could not take over from it. So the controller may soon take it for dead.
const ALONE: [(&str, &str); 2] = [
    // After a kill, the controller takes the node's new life only when the session of the former one is over. By
    // default that is 9 s.
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "400"),
];

pub fn check_overrides(set: &[(String, String)]) -> Result<(), BrokerError> {
    match set.iter().find(|(key, _)| OWN.contains(&key.as_str())) {
        Some((key, _)) => Err(BrokerError::OwnProperty { key: key.clone() }),
        None => Ok(()),
    }
}

/// The text of `server.properties` for a broker that keeps its log in `log_dir`.
pub fn server_properties(log_dir: &str, listeners: &Listeners, set: &[(String, String)]) -> String {
    let mut text = HEADER.to_owned();
    for (key, value) in DEFAULTS {
        push(&mut text, key, value);
    }
    let replication = listeners.nodes().min(REPLICATION_MAX);
    for key in REPLICATION {
        push(&mut text, key, &replication.to_string());
    }
    for key in MIN_ISR {
        push(&mut text, key, &replication.saturating_sub(1).max(1).to_string());
    }
    if listeners.nodes() == 1 {
        for (key, value) in ALONE {
            push(&mut text, key, value);
        }
    }
    push(&mut text, "process.roles", "broker,controller");
    push(&mut text, "node.id", &listeners.node().to_string());
    push(&mut text, "log.dirs", log_dir);
    for (key, value) in listeners.properties(set) {
        push(&mut text, &key, &value);
    }
    // Java lets the last of a key win, as we do.
    for (key, value) in set.iter().filter(|(key, _)| !Listeners::merges(key)) {
        push(&mut text, key, value);
    }
    text
}

fn push(text: &mut String, key: &str, value: &str) {
    escape(text, key, true);
    text.push('=');
    escape(text, value, false);
    text.push('\n');
}

/// Escapes for java.util.Properties: a backslash before a character that would end a key or be trimmed. All that is not
/// printable ASCII becomes `\uXXXX`, as Kafka reads the file as Latin-1.
fn escape(text: &mut String, part: &str, is_key: bool) {
    for (index, c) in part.chars().enumerate() {
        match c {
            '\\' => text.push_str("\\\\"),
            ' ' if is_key || index == 0 => text.push_str("\\ "),
            '=' | ':' | '#' | '!' if is_key => text.extend(['\\', c]),
            ' '..='~' => text.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    *text += &format!("\\u{unit:04x}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_properties_are_refused() {
        let set = [("a".to_owned(), "1".to_owned()), ("node.id".to_owned(), "7".to_owned())];
        assert_eq!(
            check_overrides(&set).unwrap_err().to_string(),
            "the server property node.id is the broker's own and can't be set"
        );
    }

    #[test]
    fn text_survives_the_trip_through_java() {
        let mut text = String::new();
        push(&mut text, "a key:=", " C:\\dir \n°𝄞");
        assert_eq!(text, "a\\ key\\:\\==\\ C:\\\\dir \\u000a\\u00b0\\ud834\\udd1e\n");
    }

    #[test]
    fn what_was_set_comes_last() {
        let listeners = Listeners::unused(1);
        let set = [("auto.create.topics.enable".to_owned(), "true".to_owned())];
        let text = server_properties("logs", &listeners, &set);
        let values: Vec<_> = text.lines().filter(|line| line.starts_with("auto.create")).collect();
        assert_eq!(values, ["auto.create.topics.enable=false", "auto.create.topics.enable=true"]);
    }
    #[test]
    fn a_cluster_keeps_its_topics_on_three_nodes() {
        let of = |nodes: u32| {
            let text = server_properties("logs", &Listeners::unused_of(nodes), &[]);
            let value = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
                line.map(str::to_owned)
            };
            (value(REPLICATION[0]), value(MIN_ISR[0]), value("broker.session.timeout.ms"))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(1), (some("1"), some("1"), some("2000")));
        assert_eq!(of(2), (some("2"), some("1"), None));
        assert_eq!(of(3), (some("3"), some("2"), None));
        assert_eq!(of(5), (some("3"), some("2"), None));
    }
}
