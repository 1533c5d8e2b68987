//! A Kafka with listeners for TLS, SASL and client certificates, and others that a client must refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::broker::java_home;
use crate::keys::{Identity, Subject, pem_keystore, pem_truststore, write};
use crate::support::{Almanac, Ended, Kafka, Place, almanac, eventually, eventually_or, free_address};

const USER: &str = "weather";
/// With what has a meaning in messages of SCRAM.
const PASSWORD: &str = "correct,horse=battery";
const WRONG_PASSWORD: &str = "wrong-horse-battery";
const KEY_PASSWORD: &str = "key-password";

/// The first request of each command. Kafka does not answer it to a client that it refuses.
const COMMANDS: [&[&str]; 3] = [&["producer", "--days", "1"], &["consumer", "0"], &["debug"]];

/// Name, protocol, and the identity that it shows.
const LISTENERS: [(&str, &str, &str); 8] = [
    ("INSIDE", "PLAINTEXT", ""),
    ("PASSWORD", "SASL_PLAINTEXT", ""),
    ("TLS", "SSL", "kafka"),
    ("SECURE", "SASL_SSL", "kafka"),
    ("BRIEF", "SASL_SSL", "kafka"),
    ("MUTUAL", "SSL", "kafka"),
    ("EXPIRED", "SSL", "expired"),
    ("ELSEWHERE", "SSL", "elsewhere"),
];

/// For how long the listener BRIEF serves a connection.
const BRIEF: Duration = Duration::from_secs(2);

#[test]
fn every_command_speaks_tls_with_a_password() {
    let place = place("SECURE");
    let secure = |arguments: &[&str]| with(&place, arguments, &scram("SASL_SSL", "SCRAM-SHA-256", PASSWORD));
    secure(&["producer", "--interval", "0", "--days", "100"]).succeeds();

    let debug = secure(&["debug"]).start();
    // It starts at the end, wherever that is when the group has assigned it the partitions.
    eventually("debug shows a record", || {
        secure(&["producer", "--append", "--interval", "0", "--days", "1"]).succeeds();
        debug.stdout().contains("'degrees': ")
    });
    assert_eq!(debug.stderr(), "");

    let mut named = secure(&["consumer", "0", "1", "2", "3"]).start();
    let mut grouped = secure(&["consumer", "--dir", "grouped", "--group", "grouped"]).start();
    place.caught_up(&shared().kafka, "files");
    place.caught_up(&shared().kafka, "grouped");
    for consumer in [&mut named, &mut grouped] {
        let ended = consumer.terminate();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
    assert_eq!(place.files("files"), place.files("grouped"));
    let days: u64 = place.checkpoints("files").iter().map(|checkpoint| checkpoint.statistics.days()).sum();
    assert!(days > 100, "{days}");
}

/// Whatever secures it, a connection of almanac's own reads: only then the offsets are accounted for.
#[test]
fn each_protocol_and_mechanism_is_spoken() {
    let inside = counted();
    let file = |name: &str| shared().path(name).display().to_string();
    let ca = format!("ssl.ca.location={}", file("ca.pem"));
    let tls = |more: &[String]| [&["security.protocol=ssl".to_owned(), ca.clone()], more].concat();
    let mut ways: Vec<(&str, Vec<String>)> = Vec::new();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        ways.push(("PASSWORD", scram("sasl_plaintext", mechanism, PASSWORD)));
        ways.push(("SECURE", scram("Sasl_Ssl", mechanism, PASSWORD)));
    }
    let directory = ["security.protocol=ssl".to_owned(), format!("ssl.ca.location={}", file("hashed"))];
    ways.extend([
        ("TLS", tls(&[])),
        ("TLS", directory.to_vec()),
        ("TLS", tls(&["ssl.cipher.suites=ECDHE+AESGCM".to_owned(), "ssl.curves.list=P-256".to_owned()])),
        ("ELSEWHERE", tls(&["ssl.endpoint.identification.algorithm=none".to_owned()])),
        ("EXPIRED", tls(&["enable.ssl.certificate.verification=false".to_owned()])),
        (
            "MUTUAL",
            tls(&[
                format!("ssl.certificate.location={}", file("client.pem")),
                format!("ssl.key.location={}", file("client.key")),
            ]),
        ),
        (
            "MUTUAL",
            tls(&[
                format!("ssl.certificate.location={}", file("client.pem")),
                format!("ssl.key.location={}", file("client.encrypted.key")),
                format!("ssl.key.password={KEY_PASSWORD}"),
            ]),
        ),
        (
            "MUTUAL",
            tls(&[
                format!("ssl.keystore.location={}", file("client.p12")),
                format!("ssl.keystore.password={KEY_PASSWORD}"),
            ]),
        ),
    ]);
    for (listener, properties) in ways {
        let ended = verify(inside, listener, &properties);
        assert_eq!(ended.code, Some(0), "{listener} {properties:?}: {ended:#?}");
        assert!(ended.stdout.contains(" offsets = "), "{listener} {properties:?}: {ended:#?}");
    }
}

#[test]
fn librdkafka_reads_where_only_it_knows_how() {
    let inside = counted();
    let properties = [scram("sasl_ssl", "PLAIN", PASSWORD), vec!["client.rack=here".to_owned()]].concat();
    let ended = verify(inside, "SECURE", &properties);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stdout.contains("its offsets can't be accounted for"), "{ended:#?}");
}

#[test]
fn a_broker_or_client_that_must_not_be_trusted_is_refused() {
    let tls = |ca: &str| {
        vec!["security.protocol=ssl".to_owned(), format!("ssl.ca.location={}", shared().path(ca).display())]
    };
    let plain = |protocol: &str| vec![format!("security.protocol={protocol}")];
    let certificate = |name: &str| {
        let file = |ending: &str| shared().path(&format!("{name}.{ending}")).display().to_string();
        let (certificate, key) = (file("pem"), file("key"));
        [
            tls("ca.pem"),
            vec![format!("ssl.certificate.location={certificate}"), format!("ssl.key.location={key}")],
        ]
        .concat()
    };
    for (listener, properties, reason) in [
        (
            "TLS",
            tls("other_ca.pem"),
            "certificate verify failed: self-signed certificate in certificate chain",
        ),
        ("TLS", plain("ssl"), "certificate verify failed: self-signed certificate in certificate chain"),
        ("EXPIRED", tls("ca.pem"), "certificate verify failed: certificate has expired"),
        (
            "ELSEWHERE",
            tls("ca.pem"),
            "certificate verify failed: it is for elsewhere.example, 192.0.2.1, not for 127.0.0.1",
        ),
        ("MUTUAL", tls("ca.pem"), "the broker refused the TLS connection: it requires a client certificate"),
        ("MUTUAL", certificate("stranger"), "the broker refused the TLS connection: "),
        ("TLS", plain("plaintext"), "the broker speaks only TLS"),
        (
            "BRIEF",
            scram("SASL_SSL", "PLAIN", PASSWORD),
            "the broker does not have SASL mechanism PLAIN, only SCRAM-SHA-512",
        ),
        (
            "PASSWORD",
            scram("SASL_PLAINTEXT", "PLAIN", WRONG_PASSWORD),
            "SASL authentication failed: Authentication failed: Invalid username or password",
        ),
    ] {
        let ended = verify(counted(), listener, &properties);
        assert_eq!(ended.code, Some(4), "{listener} {properties:?}: {ended:#?}");
        let wanted = format!("refused the connection: {reason}");
        assert!(ended.stderr.contains(&wanted), "{listener} {properties:?}: {ended:#?}");
    }
    // A listener without TLS just closes the connection.
    let ended = verify(counted(), "INSIDE", &tls("ca.pem"));
    assert_eq!(ended.code, Some(4), "{ended:#?}");
    assert!(ended.stderr.contains("in the TLS handshake"), "{ended:#?}");
}

/// By almanac's own connections, and by librdkafka.
#[test]
fn the_hint_names_the_property_to_set() {
    const BY_LIBRDKAFKA: &str = "client.dns.lookup=use_all_dns_ips";
    let tls = |ca: &str| {
        vec!["security.protocol=ssl".to_owned(), format!("ssl.ca.location={}", shared().path(ca).display())]
    };
    let without_protocol = vec!["sasl.mechanism=PLAIN".to_owned(), "sasl.username=x".to_owned()];
    for (listener, properties, property) in [
        ("TLS", vec![], "security.protocol"),
        ("SECURE", without_protocol.clone(), "security.protocol"),
        ("PASSWORD", without_protocol, "security.protocol"),
        ("SECURE", tls("ca.pem"), "security.protocol"),
        ("INSIDE", tls("ca.pem"), "security.protocol"),
        ("TLS", scram("sasl_ssl", "PLAIN", PASSWORD), "security.protocol"),
        ("INSIDE", scram("sasl_plaintext", "PLAIN", PASSWORD), "security.protocol"),
        ("TLS", tls("other_ca.pem"), "ssl.ca.location"),
        ("ELSEWHERE", tls("ca.pem"), "--brokers"),
        ("MUTUAL", tls("ca.pem"), "ssl.certificate.location"),
        ("BRIEF", scram("sasl_ssl", "PLAIN", PASSWORD), "sasl.mechanism"),
        ("SECURE", scram("sasl_ssl", "PLAIN", WRONG_PASSWORD), "sasl.password"),
    ] {
        for extra in [None, Some(BY_LIBRDKAFKA.to_owned())] {
            let properties: Vec<String> = properties.iter().cloned().chain(extra).collect();
            // The consumer makes DIR there, so it stays until the end.
            let place = place(listener);
            let consumer = with(&place, &["consumer", "0"], &properties).start();
            let is_named = |line: &str| line.starts_with("hint: ") && line.contains(property);
            eventually_or(
                &format!("{listener} {properties:?}"),
                || consumer.stderr(),
                || consumer.stderr().lines().any(is_named),
            );
        }
    }
}

#[test]
fn a_broker_that_advertises_an_unknown_host_is_named() {
    let (inside, nowhere) = (free_address(), free_address());
    let port = nowhere.split(':').nth(1).unwrap();
    let kafka = Kafka::start(&[
        &format!("listeners=INSIDE://{inside},NOWHERE://{nowhere}"),
        &format!("advertised.listeners=INSIDE://{inside},NOWHERE://nowhere.invalid:{port}"),
        "listener.security.protocol.map=INSIDE:PLAINTEXT,NOWHERE:PLAINTEXT",
    ]);
    let place = Place::on(&kafka);
    place.produce(&["--days", "10"]);
    let place = Place { brokers: nowhere, ..place };
    for arguments in [&["consumer", "0"][..], &["consumer"], &["debug"], &["producer", "--append"]] {
        let running = place.almanac(arguments).start();
        eventually_or(
            &arguments.join(" "),
            || running.stderr(),
            || running.stderr().contains("hint: set advertised.listeners of the broker"),
        );
        assert!(running.stderr().contains("nowhere.invalid"), "{}", running.stderr());
    }
}

/// As kcat takes it; with `\n` in place of newlines, as environment files have it; and among other properties.
#[test]
fn a_property_holds_the_text_of_a_pem_file() {
    let text = |name: &str| fs::read_to_string(shared().path(name)).unwrap();
    let properties =
        [("ssl.ca.pem", "ca.pem"), ("ssl.certificate.pem", "client.pem"), ("ssl.key.pem", "client.key")]
            .map(|(key, file)| format!("{key}={}", text(file)));
    let protocol = "security.protocol=ssl".to_owned();
    let each = [&properties[..], std::slice::from_ref(&protocol)].concat();
    let escaped: Vec<String> = each.iter().map(|property| property.trim_end().replace('\n', "\\n")).collect();
    for properties in [&each, &escaped] {
        let ended = verify(counted(), "MUTUAL", properties);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let almanac = counted().almanac(&["verify"]).env("ALMANAC_X", properties.join("\n"));
        almanac.env("ALMANAC_BROKERS", shared().kafka.listener("MUTUAL")).succeeds();
    }
}

#[test]
fn properties_that_can_t_be_used_are_named() {
    let file = |name: &str| shared().path(name).display().to_string();
    let (ca, key, certificate) = (file("ca.pem"), file("client.key"), file("client.pem"));
    let (encrypted, keystore) = (file("client.encrypted.key"), file("client.p12"));
    let set = |properties: &[(&str, &str)]| {
        properties.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    let own = [("ssl.certificate.location", certificate.as_str())];
    for (properties, key, reason) in [
        (set(&[("ssl.ca.location", "/nowhere")]), "ssl.ca.location", "/nowhere: No such file or directory"),
        (set(&[("ssl.ca.location", &key)]), "ssl.ca.location", &key),
        (set(&[("ssl.ca.pem", "x")]), "ssl.ca.pem", "no certificate"),
        (set(&[("ssl.crl.location", "/nowhere")]), "ssl.crl.location", "No such file"),
        (set(&[("ssl.certificate.location", &key)]), "ssl.certificate.location", "no certificate"),
        (set(&[own[0], ("ssl.key.location", &ca)]), "ssl.key.location", ""),
        (
            set(&[own[0], ("ssl.key.location", &file("stranger.key"))]),
            "ssl.key.location",
            "key values mismatch",
        ),
        (set(&[own[0], ("ssl.key.location", &encrypted)]), "ssl.key.password", "there is no password"),
        (
            set(&[own[0], ("ssl.key.location", &encrypted), ("ssl.key.password", "no")]),
            "ssl.key.password",
            "",
        ),
        (set(&[("ssl.keystore.location", &certificate)]), "ssl.keystore.location", &certificate),
        (set(&[("ssl.keystore.location", &keystore)]), "ssl.keystore.password", "mac verify failure"),
        (set(&[("ssl.cipher.suites", "NONE-SUCH")]), "ssl.cipher.suites", "no cipher match"),
    ] {
        let properties = [set(&[("security.protocol", "ssl")]), properties].concat();
        let ended = with(&place("TLS"), &["debug"], &properties).fails(2);
        let named = format!("client property {key}: ");
        assert!(ended.stderr.contains(&named) && ended.stderr.contains(reason), "{properties:?}: {ended:#?}");
    }
    let no_password =
        set(&[("security.protocol", "sasl_ssl"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "x")]);
    let ended = with(&place("SECURE"), &["debug"], &no_password).fails(2);
    assert!(ended.stderr.contains("client property sasl.password: "), "{ended:#?}");
}

/// The broker ends each connection after a while. Another one takes over before that, at the end of the log as in bulk.
#[test]
fn sessions_that_end_do_not_stop_reading() {
    let place = place("BRIEF");
    let inside = Place {
        brokers: shared().kafka.bootstrap.clone(),
        temp: tempfile::tempdir().unwrap(),
        topic: place.topic.clone(),
    };
    inside.produce(&["--days", "1000"]);
    let mut consumer =
        with(&place, &["consumer", "0", "1", "2", "3"], &scram("SASL_SSL", "SCRAM-SHA-512", PASSWORD))
            .start();
    let until = Instant::now() + 4 * BRIEF;
    while Instant::now() < until {
        inside.produce(&["--append", "--days", "50"]);
        place.caught_up(&shared().kafka, "files");
    }
    let ended = consumer.terminate();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_wrong_password_is_reported_and_not_shown() {
    for arguments in COMMANDS {
        let properties = scram("SASL_SSL", "SCRAM-SHA-256", WRONG_PASSWORD);
        let ended = with(&place("SECURE"), arguments, &properties).fails(4);
        assert!(ended.stderr.contains("refused the connection"), "{ended:#?}");
        assert!(ended.stderr.contains("invalid credentials"), "{ended:#?}");
        assert!(!ended.stderr.contains(WRONG_PASSWORD), "{ended:#?}");
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn an_unknown_certificate_is_reported() {
    for arguments in COMMANDS {
        let mut properties = scram("SASL_SSL", "SCRAM-SHA-256", PASSWORD);
        properties.push(format!("ssl.ca.location={}", shared().path("other_ca.pem").display()));
        let ended = with(&place("SECURE"), arguments, &properties).fails(4);
        assert!(ended.stderr.contains("refused the connection"), "{ended:#?}");
        assert!(ended.stderr.contains("certificate verify failed"), "{ended:#?}");
        assert!(!ended.stderr.contains(PASSWORD), "{ended:#?}");
    }
}

#[test]
fn neither_the_help_nor_the_log_shows_a_password() {
    let secret = format!("sasl.password={PASSWORD}");
    let sasl =
        "security.protocol=sasl_plaintext\nsasl.username=weather\nsasl.mechanism=SCRAM-SHA-256\ndebug=all";
    for arguments in [&["producer", "--help"][..], &["up", "--help"], &["producer", "-vvv", "--days", "1"]] {
        let ended = almanac(arguments)
            .env("ALMANAC_BROKERS", "127.0.0.1:1")
            .env("ALMANAC_X", format!("{secret}\n{sasl}"))
            .env("ALMANAC_SET", &secret)
            .run();
        assert!(!ended.stdout.contains(PASSWORD), "{}", ended.stdout);
        assert!(!ended.stderr.contains(PASSWORD), "{}", ended.stderr);
    }
}

/// Such a broker can't be asked by whoever starts it, and is found to be ready all the same.
#[test]
fn a_broker_need_not_have_a_listener_without_tls() {
    let (keystore, ca) = (shared().path("kafka.pem"), shared().path("ca.pem"));
    let set = [&pem_keystore("", &keystore)[..], &pem_truststore("", &ca)].concat();
    let set: Vec<&str> = set.iter().map(String::as_str).chain(["listeners=SSL://127.0.0.1:0"]).collect();
    let kafka = Kafka::start(&set);
    let tls = ["security.protocol=ssl".to_owned(), format!("ssl.ca.location={}", ca.display())];
    with(&Place::on(&kafka), &["producer", "--interval", "0", "--days", "10"], &tls).succeeds();
}

/// A Kafka with these listeners and a user, and the files of keys and certificates.
struct Secure {
    kafka: Kafka,
    files: TempDir,
}

impl Secure {
    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}

fn shared() -> &'static Secure {
    static SHARED: OnceLock<Secure> = OnceLock::new();
    SHARED.get_or_init(|| {
        let files = tempfile::tempdir().unwrap();
        write_keys(files.path());
        let set = server_properties(files.path());
        let kafka = Kafka::start(&set.iter().map(String::as_str).collect::<Vec<_>>());
        add_user(&kafka);
        Secure { kafka, files }
    })
}

fn write_keys(dir: &Path) {
    let path = |name: &str| dir.join(name);
    let root = Identity::authority("root");
    let between = Subject { common_name: "between", hosts: &[], is_authority: true, ..Subject::default() };
    let between = Identity::signed_by(&root, &between);
    let elsewhere = Subject { hosts: &["elsewhere.example", "192.0.2.1"], ..Subject::default() };
    let expired = Subject { valid: (-3, -1), ..Subject::default() };
    for (name, subject) in [("kafka", Subject::default()), ("elsewhere", elsewhere), ("expired", expired)] {
        Identity::signed_by(&between, &subject).write(path(&format!("{name}.pem")));
    }
    let other = Identity::authority("other");
    let client = || Subject { common_name: "client", hosts: &[], ..Subject::default() };
    for (name, identity) in [
        ("client", Identity::signed_by(&between, &client())),
        ("stranger", Identity::signed_by(&other, &client())),
    ] {
        write(path(&format!("{name}.pem")), identity.certificates());
        write(path(&format!("{name}.key")), identity.private_key());
        write(path(&format!("{name}.encrypted.key")), identity.encrypted_key(KEY_PASSWORD));
        write(path(&format!("{name}.p12")), identity.keystore(KEY_PASSWORD));
    }
    write(path("ca.pem"), root.certificates());
    write(path("other_ca.pem"), other.certificates());
    // A directory as `openssl rehash` makes it.
    fs::create_dir(path("hashed")).unwrap();
    let hash = root.chain[0].subject_name_hash();
    write(path(&format!("hashed/{hash:08x}.0")), root.certificates());
}

fn server_properties(files: &Path) -> Vec<String> {
    let listed =
        |entry: fn(&(&str, &str, &str)) -> String| LISTENERS.iter().map(entry).collect::<Vec<_>>().join(",");
    let mut set = vec![
        format!("listeners={}", listed(|(name, ..)| format!("{name}://127.0.0.1:0"))),
        format!(
            "listener.security.protocol.map={}",
            listed(|(name, protocol, _)| format!("{name}:{protocol}"))
        ),
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned(),
        "listener.name.brief.sasl.enabled.mechanisms=SCRAM-SHA-512".to_owned(),
        format!("listener.name.brief.scram-sha-512.connections.max.reauth.ms={}", BRIEF.as_millis()),
        "listener.name.mutual.ssl.client.auth=required".to_owned(),
    ];
    for (name, protocol, identity) in LISTENERS {
        let prefix = format!("listener.name.{}.", name.to_lowercase());
        if !identity.is_empty() {
            set.extend(pem_keystore(&prefix, &files.join(format!("{identity}.pem"))));
            set.extend(pem_truststore(&prefix, &files.join("ca.pem")));
        }
        if protocol.starts_with("SASL") {
            let module = "org.apache.kafka.common.security";
            set.extend(["scram-sha-256", "scram-sha-512"].map(|mechanism| {
                format!("{prefix}{mechanism}.sasl.jaas.config={module}.scram.ScramLoginModule required;")
            }));
            set.push(format!(
                "{prefix}plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"
            ));
        }
    }
    set
}

/// A place on this listener.
fn place(listener: &str) -> Place {
    Place { brokers: shared().kafka.listener(listener), ..Place::on(&shared().kafka) }
}

/// A place with a topic that is counted.
fn counted() -> &'static Place {
    static COUNTED: OnceLock<Place> = OnceLock::new();
    COUNTED.get_or_init(|| {
        let place = Place::on(&shared().kafka);
        place.produce(&["--days", "100"]);
        place.replay(&shared().kafka, "files");
        place
    })
}

/// Reads the log of a place over this listener, and compares.
fn verify(place: &Place, listener: &str, properties: &[String]) -> Ended {
    let almanac = with(place, &["verify"], properties);
    almanac.env("ALMANAC_BROKERS", shared().kafka.listener(listener)).run()
}

fn scram(protocol: &str, mechanism: &str, password: &str) -> Vec<String> {
    vec![
        format!("security.protocol={protocol}"),
        format!("ssl.ca.location={}", shared().path("ca.pem").display()),
        format!("sasl.mechanism={mechanism}"),
        format!("sasl.username={USER}"),
        format!("sasl.password={password}"),
    ]
}

fn with(place: &Place, arguments: &[&str], properties: &[String]) -> Almanac {
    let properties = properties.iter().flat_map(|property| ["-X", property]);
    place.almanac(&arguments.iter().copied().chain(properties).collect::<Vec<_>>())
}

/// Gives Kafka its user, by a program for Kafka's own client: none of the commands here makes users.
fn add_user(kafka: &Kafka) {
    const PROGRAM: &str = r#"
        import java.util.*;
        import org.apache.kafka.clients.admin.*;

        class AddUser {
            public static void main(String[] args) throws Exception {
                try (var admin = Admin.create(Map.of("bootstrap.servers", (Object) args[0]))) {
                    for (var mechanism : List.of(ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)) {
                        var scram = new ScramCredentialInfo(mechanism, 4096);
                        var user = new UserScramCredentialUpsertion(args[1], scram, args[2]);
                        // Kafka alters a user only once in a request.
                        admin.alterUserScramCredentials(List.of(user)).all().get();
                    }
                }
            }
        }
    "#;
    java_with(kafka, "AddUser", PROGRAM, &[USER, PASSWORD]);
}

/// Runs a program for Kafka's own client, with the address of Kafka as its first argument.
pub fn java_with(kafka: &Kafka, class: &str, program: &str, arguments: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join(format!("{class}.java"));
    fs::write(&source, program).unwrap();
    let class_path = kafka.class_path();
    let run = ["-cp", &class_path, source.to_str().unwrap(), &kafka.bootstrap];
    let java = java_home().join("bin/java");
    let output = Command::new(java).args([&run, arguments].concat()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}
