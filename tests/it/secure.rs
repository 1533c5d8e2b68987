//! A Kafka that accepts only clients with a password, through TLS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::broker::java_home;
use crate::support::{Almanac, Kafka, Place, almanac, eventually};

const USER: &str = "weather";
const PASSWORD: &str = "correct-horse-battery";
const WRONG_PASSWORD: &str = "wrong-horse-battery";
const KEYSTORE_PASSWORD: &str = "keystore-password";

/// The first request of each command. Kafka does not answer it to a client that it refuses.
const COMMANDS: [&[&str]; 3] = [&["producer", "--days", "1"], &["consumer", "0"], &["debug"]];

#[test]
fn every_command_speaks_tls_with_a_password() {
    let place = place();
    let secure = |arguments: &[&str]| secure(&place, arguments, PASSWORD, &shared().ca);
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

#[test]
fn a_wrong_password_is_reported_and_not_shown() {
    for arguments in COMMANDS {
        let ended = secure(&place(), arguments, WRONG_PASSWORD, &shared().ca).fails(4);
        assert!(ended.stderr.contains("refused the connection"), "{ended:#?}");
        assert!(ended.stderr.contains("invalid credentials"), "{ended:#?}");
        assert!(!ended.stderr.contains(WRONG_PASSWORD), "{ended:#?}");
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn an_unknown_certificate_is_reported() {
    for arguments in COMMANDS {
        let ended = secure(&place(), arguments, PASSWORD, &shared().other_ca).fails(4);
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
    let keys = Keys::new();
    let [truststore, password] = keys.truststore();
    let kafka = start_kafka(&keys, &["listeners=SSL://127.0.0.1:0", &truststore, &password]);
    let place = Place::on(&kafka);
    let ca = format!("ssl.ca.location={}", keys.certificate().display());
    let tls = ["-X", "security.protocol=ssl", "-X", &ca];
    place.almanac(&[&["producer", "--interval", "0", "--days", "10"], &tls[..]].concat()).succeeds();
}

/// A Kafka with such a listener and a user, and a certificate that is not its own.
struct Secure {
    kafka: Kafka,
    ca: PathBuf,
    other_ca: PathBuf,
    _keys: [Keys; 2],
}

fn shared() -> &'static Secure {
    static SHARED: OnceLock<Secure> = OnceLock::new();
    SHARED.get_or_init(|| {
        let keys = [Keys::new(), Keys::new()];
        let kafka = start_kafka(
            &keys[0],
            &[
                "listeners=INSIDE://127.0.0.1:0,SECURE://127.0.0.1:0",
                "listener.security.protocol.map=INSIDE:PLAINTEXT,SECURE:SASL_SSL",
                "sasl.enabled.mechanisms=SCRAM-SHA-256",
                "listener.name.secure.scram-sha-256.sasl.jaas.config=\
                 org.apache.kafka.common.security.scram.ScramLoginModule required;",
            ],
        );
        add_user(&kafka);
        Secure { kafka, ca: keys[0].certificate(), other_ca: keys[1].certificate(), _keys: keys }
    })
}

/// A place on the listener that is not for everybody.
fn place() -> Place {
    Place { brokers: shared().kafka.listener("SECURE"), ..Place::on(&shared().kafka) }
}

fn secure(place: &Place, arguments: &[&str], password: &str, ca: &Path) -> Almanac {
    let properties = [
        "security.protocol=SASL_SSL".to_owned(),
        format!("ssl.ca.location={}", ca.display()),
        "sasl.mechanism=SCRAM-SHA-256".to_owned(),
        format!("sasl.username={USER}"),
        format!("sasl.password={password}"),
    ];
    let properties = properties.iter().flat_map(|property| ["-X", property]);
    place.almanac(&arguments.iter().copied().chain(properties).collect::<Vec<_>>())
}

fn start_kafka(keys: &Keys, set: &[&str]) -> Kafka {
    let keystore = keys.keystore();
    let set: Vec<&str> = keystore.iter().map(String::as_str).chain(set.iter().copied()).collect();
    Kafka::start(&set)
}

/// Gives Kafka its user, by a program for Kafka's own client: none of the commands here makes users.
fn add_user(kafka: &Kafka) {
    const PROGRAM: &str = r#"
        import java.util.*;
        import org.apache.kafka.clients.admin.*;

        class AddUser {
            public static void main(String[] args) throws Exception {
                try (var admin = Admin.create(Map.of("bootstrap.servers", (Object) args[0]))) {
                    var scram = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096);
                    var user = new UserScramCredentialUpsertion(args[1], scram, args[2]);
                    admin.alterUserScramCredentials(List.of(user)).all().get();
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
    java("java", &[&run, arguments].concat());
}

/// A key, and the certificate of it that it signed itself.
struct Keys(TempDir);

impl Keys {
    fn new() -> Keys {
        let keys = Keys(tempfile::tempdir().unwrap());
        let (keystore, certificate, truststore) =
            (keys.path("keystore.p12"), keys.path("certificate.pem"), keys.path("truststore.p12"));
        let keytool = |arguments: &[&str]| {
            let common = ["-alias", "kafka", "-storepass", KEYSTORE_PASSWORD, "-noprompt"];
            java("keytool", &[arguments, &common].concat());
        };
        let names =
            ["-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1,dns:localhost", "-ext", "bc:c=ca:true"];
        let key = ["-genkeypair", "-keyalg", "EC", "-validity", "2", "-keystore", &keystore];
        keytool(&[&key[..], &names].concat());
        keytool(&["-exportcert", "-rfc", "-keystore", &keystore, "-file", &certificate]);
        keytool(&["-importcert", "-file", &certificate, "-keystore", &truststore]);
        keys
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn certificate(&self) -> PathBuf {
        self.0.path().join("certificate.pem")
    }

    /// The server properties that give Kafka the key.
    fn keystore(&self) -> [String; 2] {
        [
            format!("ssl.keystore.location={}", self.path("keystore.p12")),
            format!("ssl.keystore.password={KEYSTORE_PASSWORD}"),
        ]
    }

    /// The server properties that have Kafka trust itself.
    fn truststore(&self) -> [String; 2] {
        [
            format!("ssl.truststore.location={}", self.path("truststore.p12")),
            format!("ssl.truststore.password={KEYSTORE_PASSWORD}"),
        ]
    }
}

/// Runs a program of the JDK.
#[track_caller]
fn java(program: &str, arguments: &[&str]) {
    let output = Command::new(java_home().join("bin").join(program)).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&text));
}
