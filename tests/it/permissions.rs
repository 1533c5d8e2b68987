//! The least permissions of each command, as docs/SECURITY.md has them: allowed with them, refused with one less.

use std::sync::OnceLock;

use crate::secure::java_with;
use crate::support::{Almanac, Ended, Kafka, Place, eventually_or};

const PASSWORD: &str = "of-all-of-them";
/// Enough for each row with all of its permissions, and with each of them left out.
const USERS: usize = 40;

const ADD_RULES: &str = r#"
    import java.util.*;
    import org.apache.kafka.clients.admin.*;
    import org.apache.kafka.common.acl.*;
    import org.apache.kafka.common.resource.*;

    class AddRules {
        public static void main(String[] args) throws Exception {
            var rules = new ArrayList<AclBinding>();
            for (var rule : args[1].split("\n")) {
                var words = rule.split(" ");
                var on = new ResourcePattern(ResourceType.fromString(words[2]), words[3], PatternType.LITERAL);
                var operation = AclOperation.fromString(words[1]);
                rules.add(new AclBinding(on, new AccessControlEntry(
                    "User:" + words[0], "*", operation, AclPermissionType.ALLOW)));
            }
            try (var admin = Admin.create(Map.of("bootstrap.servers", (Object) args[0]))) {
                admin.createAcls(rules).all().get();
            }
        }
    }
"#;

/// A permission, as the table has it: `Read on topic temperatures`.
#[derive(Clone, Debug)]
struct Permission {
    operation: String,
    kind: String,
    name: String,
}

/// A command as one user runs it.
struct Case {
    command: Vec<String>,
    allowed: Vec<Permission>,
    /// The one that is left out.
    missing: Option<Permission>,
    place: Place,
    user: String,
}

#[test]
fn each_command_needs_what_the_table_says_and_no_more() {
    let cases = cases();
    let rules: Vec<String> = cases.iter().flat_map(Case::rules).collect();
    add_rules(&rules);
    for case in &cases {
        case.prepare();
        match &case.missing {
            None => case.is_allowed(),
            Some(missing) => case.is_refused(missing),
        }
    }
}

/// With the right to write to another topic, the broker gives the producer a number, and refuses its records.
#[test]
fn a_producer_that_may_write_elsewhere_only_reports_what_is_missing() {
    let place = place();
    let user = "elsewhere";
    add_rules(&[format!("{user} Read topic {}", place.topic), format!("{user} Write topic another")]);
    produce(&place);
    for days in ["1", "500"] {
        let ended =
            as_user(&place, user, &["producer", "--append", "--interval", "0", "--days", days]).fails(4);
        assert!(ended.stderr.contains("sent 0 days"), "{ended:#?}");
        let missing = format!("Kafka does not allow Write on topic {}", place.topic);
        assert!(ended.stderr.contains(&missing), "{ended:#?}");
        assert_eq!(hinted(&ended), ["Write", "topic", &place.topic]);
    }
}

impl Case {
    fn rules(&self) -> Vec<String> {
        let rule = |Permission { operation, kind, name }: &Permission| {
            format!("{} {operation} {kind} {}", self.user, self.own_name(name))
        };
        // A rule for nothing that is there, so that a user without any other is known.
        self.allowed.iter().map(rule).chain([format!("{} Read topic none", self.user)]).collect()
    }

    /// Each case has a topic and a group of its own.
    fn own_name(&self, name: &str) -> String {
        match name {
            "temperatures" => self.place.topic.clone(),
            group => format!("{group}-{}", self.user),
        }
    }

    fn run(&self) -> Almanac {
        let mut words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        match words[0] {
            "producer" => words.extend(["--interval", "0", "--days", "5"]),
            "up" => words.extend(["--no-dashboard", "--adopt", "--interval", "0", "--days", "5"]),
            _ => {}
        }
        as_user(&self.place, &self.user, &words).env("ALMANAC_GROUP", self.own_name("almanac"))
    }

    /// What the command works on.
    fn prepare(&self) {
        produce(&self.place);
        if ["verify", "recover"].contains(&self.command[0].as_str()) {
            self.place.replay(&shared().kafka, "files");
        }
    }

    fn is_allowed(&self) {
        let what = self.command.join(" ");
        match self.command[0].as_str() {
            "debug" => {
                let debug = self.run().start();
                eventually_or(
                    &what,
                    || debug.stderr(),
                    || {
                        produce(&self.place);
                        debug.stdout().contains("'degrees': ")
                    },
                );
                assert_eq!(debug.stderr(), "", "{what}");
            }
            "consumer" | "up" => {
                let mut running = self.run().start();
                let records = shared().kafka.records(&self.place.topic);
                eventually_or(&what, || running.stderr(), || self.place.passed("files") >= records);
                let Ended { code, stderr, .. } = running.terminate();
                assert_eq!(code, Some(0), "{what}: {stderr}");
                assert!(self.command[0] == "up" || stderr.is_empty(), "{what}: {stderr}");
            }
            _ => drop(self.run().succeeds()),
        }
    }

    fn is_refused(&self, Permission { operation, kind, name }: &Permission) {
        let ended = self.run().fails(4);
        // Without Read, Describe may be what is missing first.
        let missing = [operation.as_str(), "Describe"]
            .map(|operation| format!("Kafka does not allow {operation} on {kind} {}", self.own_name(name)));
        let is_named = missing.iter().any(|missing| ended.stderr.contains(missing));
        assert!(is_named, "{:?} without {missing:?}: {ended:#?}", self.command);
        assert!(!ended.stderr.contains("sent 5 days"), "{ended:#?}");
        let allowed = hinted(&ended);
        let is_hinted =
            missing.iter().any(|missing| missing.ends_with(&allowed.join(" ").replacen(' ', " on ", 1)));
        assert!(is_hinted, "{allowed:?} instead of {missing:?}");
    }
}

/// Operation, kind and name that the command in the hint allows.
fn hinted(ended: &Ended) -> [String; 3] {
    let start = "\nhint: allow it with `kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:NAME ";
    let (_, options) = ended.stderr.split_once(start).unwrap_or_else(|| panic!("{ended:#?}"));
    let words: Vec<&str> = options.split('`').next().unwrap().split(' ').collect();
    let ["--operation", operation, kind, name] = words[..] else { panic!("{words:?}") };
    [operation, kind.trim_start_matches('-'), name].map(str::to_owned)
}

/// The rows of the table, each with all of its permissions, and with each of them left out.
fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string("docs/SECURITY.md").unwrap();
    let rows =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    let mut cases = Vec::new();
    for (command, permissions) in rows.filter(|(_, permissions)| permissions.contains(" on ")) {
        let all: Vec<Permission> = permissions.split(", ").map(permission).collect();
        let mut add = |allowed: Vec<Permission>, missing: Option<Permission>| {
            let command = command.split(' ').map(str::to_owned).collect();
            let user = format!("user{}", cases.len());
            cases.push(Case { command, allowed, missing, place: place(), user });
        };
        add(all.clone(), None);
        for left_out in 0..all.len() {
            let mut allowed = all.clone();
            let missing = allowed.remove(left_out);
            add(allowed, Some(missing));
        }
    }
    assert!((10..USERS).contains(&cases.len()), "{}", cases.len());
    cases
}

fn permission(text: &str) -> Permission {
    let [operation, "on", kind, name] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let name = name.trim_matches('`').to_owned();
    Permission { operation: operation.to_owned(), kind: kind.to_owned(), name }
}

struct Access {
    kafka: Kafka,
}

fn shared() -> &'static Access {
    static SHARED: OnceLock<Access> = OnceLock::new();
    SHARED.get_or_init(|| {
        let users: Vec<String> = (0..USERS).map(|number| format!("user{number}")).collect();
        let users = users.iter().map(String::as_str).chain(["elsewhere"]);
        let users: String = users.map(|user| format!(" user_{user}=\"{PASSWORD}\"")).collect();
        let login = "org.apache.kafka.common.security.plain.PlainLoginModule required";
        let login = format!("listener.name.access.plain.sasl.jaas.config={login}{users};");
        let kafka = Kafka::start(&[
            "listeners=INSIDE://127.0.0.1:0,ACCESS://127.0.0.1:0",
            "listener.security.protocol.map=INSIDE:PLAINTEXT,ACCESS:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms=PLAIN",
            &login,
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
        ]);
        Access { kafka }
    })
}

/// A place whose brokers allow everything, without a password.
fn place() -> Place {
    Place::on(&shared().kafka)
}

fn produce(place: &Place) {
    place.produce(&["--append", "--days", "40"]);
}

fn as_user(place: &Place, user: &str, arguments: &[&str]) -> Almanac {
    let properties = [
        "security.protocol=sasl_plaintext".to_owned(),
        "sasl.mechanism=PLAIN".to_owned(),
        format!("sasl.username={user}"),
        format!("sasl.password={PASSWORD}"),
    ];
    let almanac = place.almanac(arguments).env("ALMANAC_BROKERS", shared().kafka.listener("ACCESS"));
    almanac.env("ALMANAC_X", properties.join("\n"))
}

fn add_rules(rules: &[String]) {
    java_with(&shared().kafka, "AddRules", ADD_RULES, &[&rules.join("\n")]);
}
