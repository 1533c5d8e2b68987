//! One real Kafka, and what is in it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::time::Duration;

use almanac::kafka::{Admin, Connection, Property, extent};
use anyhow::{Context, Result, bail, ensure};

use crate::keys::{self, Identity, Subject, pem_keystore, pem_truststore};
use crate::process::{Cores, Running, children};

pub const ALMANAC: &str = env!("CARGO_BIN_EXE_almanac");
pub const PARTITIONS: i32 = 4;
pub const ANSWER_MAX: Duration = Duration::from_secs(10);

pub struct Kafka {
    /// Nothing where another value has it.
    process: Option<Running>,
    pub brokers: String,
    /// Of the JVM.
    pub pid: u32,
    /// The authority of its certificate, of a listener with TLS.
    pub ca: Option<PathBuf>,
    tls: (String, PathBuf),
}

impl Kafka {
    pub fn start(data: &Path) -> Result<Kafka> {
        let authority = Identity::authority("bench");
        let identity = Identity::signed_by(&authority, &Subject::default());
        let keystore = identity.write(data.with_extension("pem"));
        let ca = keys::write(data.with_extension("ca.pem"), authority.certificates());
        let mut command = Command::new(ALMANAC);
        command.args(["broker", "--set", "listeners=PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:0", "--data"]);
        command.arg(data).stderr(Stdio::piped());
        for property in [pem_keystore("", &keystore), pem_truststore("", &ca)].concat() {
            command.args(["--set", &property]);
        }
        let mut process = Running::spawn(&mut command)?;
        let brokers = address(process.child.stderr.take().context("no stderr")?)?;
        let pid = *children(process.pid()).first().context("Kafka has no process")?;
        let properties = std::fs::read_to_string(data.join("server.properties"))?;
        let tls = properties.split_once("SSL://").context("no listener with TLS")?.1;
        let tls = tls.split([',', '\n']).next().unwrap_or_default().to_owned();
        Ok(Kafka { process: Some(process), brokers, pid, ca: None, tls: (tls, ca) })
    }

    /// The same by its listener without TLS.
    pub fn open(&self) -> Kafka {
        Kafka { process: None, brokers: self.brokers.clone(), ca: None, tls: self.tls.clone(), pid: self.pid }
    }

    /// The same by its listener with TLS.
    pub fn secured(&self) -> Kafka {
        let (brokers, ca) = self.tls.clone();
        Kafka { process: None, brokers, ca: Some(ca), tls: self.tls.clone(), pid: self.pid }
    }

    /// In good order, so that nothing of it writes into a directory that is being removed.
    pub fn stop(self) -> Result<()> {
        let status = self.process.context("Kafka is another's")?.terminate()?;
        ensure!(status.success(), "Kafka ended badly: {status}");
        Ok(())
    }

    pub fn connection(&self) -> Connection {
        let property = |(key, value): (&str, String)| Property { key: key.to_owned(), value };
        Connection { brokers: self.brokers.clone(), properties: self.properties().map(property).collect() }
    }

    fn properties(&self) -> impl Iterator<Item = (&'static str, String)> {
        let ca = self.ca.iter().map(|ca| ca.display().to_string());
        ca.flat_map(|ca| [("security.protocol", "ssl".to_owned()), ("ssl.ca.location", ca)])
    }

    pub fn admin(&self) -> Result<Admin> {
        Ok(Admin::new(&self.connection())?)
    }

    /// How many records a topic holds.
    pub fn records(&self, topic: &str) -> Result<u64> {
        let spans = extent(&self.admin()?, topic, PARTITIONS)?;
        Ok(u64::try_from(spans.iter().map(|span| span.len()).sum::<i64>())?)
    }

    /// An almanac that speaks to it.
    pub fn almanac(&self, cores: Cores, topic: &str, arguments: &[&str]) -> Command {
        let mut command = cores.client(ALMANAC);
        command.args(arguments).env("ALMANAC_BROKERS", &self.brokers).env("ALMANAC_TOPIC", topic);
        let properties: Vec<String> =
            self.properties().map(|(key, value)| format!("{key}={value}")).collect();
        if !properties.is_empty() {
            command.env("ALMANAC_X", properties.join("\n"));
        }
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The same with a codec.
    pub fn fill_compressed(&self, topic: &str, days: u64, duplicates: u64, codec: &str) -> Result<()> {
        self.send(topic, days, duplicates, &["-X", &format!("compression.codec={codec}")])
    }

    /// Recreates a topic and sends so many days, and so many duplicates of each, as fast as possible.
    pub fn fill(&self, topic: &str, days: u64, duplicates: u64) -> Result<()> {
        self.send(topic, days, duplicates, &[])
    }

    fn send(&self, topic: &str, days: u64, duplicates: u64, more: &[&str]) -> Result<()> {
        let (days, duplicates) = (days.to_string(), duplicates.to_string());
        let arguments = ["producer", "--interval", "0", "--days", &days, "--duplicates", &duplicates];
        let status = self.almanac(Cores::Any, topic, &[&arguments[..], more].concat()).status()?;
        ensure!(status.success(), "the producer failed: {status}");
        Ok(())
    }
}

/// The address at which Kafka says that it answers.
fn address(stderr: ChildStderr) -> Result<String> {
    let mut said = String::new();
    let mut lines = BufReader::new(stderr).lines();
    for line in lines.by_ref() {
        let line = line?;
        if let Some((_, rest)) = line.split_once(" answers at ") {
            // Kept open: who can't write to its stderr would end.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(rest.split(';').next().unwrap_or(rest).to_owned());
        }
        said += &line;
        said += "\n";
    }
    bail!("Kafka did not start:\n{said}")
}

/// A directory that a round has to itself.
pub fn fresh(dir: &Path) -> Result<PathBuf> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    std::fs::create_dir_all(dir)?;
    Ok(dir.to_owned())
}
