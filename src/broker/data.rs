//! The broker's data directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use super::error::BrokerError;
use super::files;
use super::java::Kafka;
use super::layout::{CLUSTER_ID, FORMATTING, JVM_LOG, KAFKA_LOG, LOCK, LOG4J, LOGS, META, PROPERTIES};
use super::listeners::Listeners;
use super::process::Process;
use super::properties::server_properties;
use super::settings::Settings;

/// A file system of its own has it, and a mounted volume is one.
const LOST_AND_FOUND: &str = "lost+found";

/// A lock holds no more than the number of a process.
const LOCK_BYTES_MAX: u64 = 64;

/// A JVM that was killed together with its almanac may take a moment to be gone, and holds the lock until then.
const LOCK_GRACE: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How much of a log is read and printed when Kafka fails.
const TAIL_BYTES: u64 = 256 * 1024;
const TAIL_LINES: usize = 8;

/// With less room, Kafka can't write a batch or a segment.
const DISK_BYTES_MIN: u64 = 4 << 20;

/// Logs to a file of bounded size. The hook is Kafka's to run: log4j's own would lose what is logged at shutdown.
const LOG4J_XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- Written by almanac at each start. -->
<Configuration status="ERROR" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName="kafka.log" filePattern="kafka.log.%i">
      <PatternLayout pattern="%d{yyyy-MM-dd HH:mm:ss,SSS} %p %m (%c{1})%n"/>
      <SizeBasedTriggeringPolicy size="16 MB"/>
      <DefaultRolloverStrategy max="2"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="file"/></Root>
  </Loggers>
</Configuration>
"#;

/// A data directory that this process holds.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The node whose log it holds.
    node: u32,
    lock: File,
}

/// The end of `kafka.log` when a broker was started.
#[derive(Clone, Copy, Debug)]
pub struct LogMark(u64);

impl DataDir {
    /// Makes the directory if it is not there, and locks it. A directory that is not ours is left as it is. It may hold
    /// files that server properties `set` name, such as keys.
    pub fn open(path: &Path, node: u32, set: &[(String, String)]) -> Result<DataDir, BrokerError> {
        fs::create_dir_all(path).map_err(BrokerError::io("make", path))?;
        let path = path.canonicalize().map_err(BrokerError::io("find", path))?;
        if !path.join(CLUSTER_ID).exists()
            && let Some(found) = foreign_file(&path, set)?
        {
            return Err(BrokerError::NotOurs { found: describe(&path, &found), data: path });
        }
        let lock = lock(&path)?;
        Ok(DataDir { path, node, lock })
    }

    pub fn kafka_log(&self) -> PathBuf {
        self.path.join(KAFKA_LOG)
    }

    /// The cluster id of the log. If there is no log, it is formatted, with the cluster id `wanted` if given. A log of
    /// another cluster is refused.
    pub fn formatted(
        &self,
        kafka: &Kafka,
        wanted: Option<&str>,
        stop: &AtomicBool,
    ) -> Result<String, BrokerError> {
        let logs = self.path.join(LOGS);
        if logs.exists() {
            let cluster_id = self.recorded_cluster_id()?;
            if let Some(wanted) = wanted.filter(|wanted| *wanted != cluster_id) {
                let (data, wanted) = (self.path.clone(), wanted.to_owned());
                return Err(BrokerError::NotThatCluster { data, wanted, found: cluster_id });
            }
            self.check_meta(&logs.join(META), &cluster_id)?;
            return Ok(cluster_id);
        }
        // Recorded before there is a log, so there is never a log of ours without its record. The id of an
        // interrupted format is not used again.
        let cluster_id = wanted.map_or_else(random_uuid, |wanted| Ok(wanted.to_owned()))?;
        files::write_synced(&self.path.join(CLUSTER_ID), &format!("{cluster_id}\n"))?;
        self.format(kafka, &cluster_id, stop)?;
        Ok(cluster_id)
    }

    fn format(&self, kafka: &Kafka, cluster_id: &str, stop: &AtomicBool) -> Result<(), BrokerError> {
        let formatting = self.path.join(FORMATTING);
        files::remove_dir(&formatting)?;
        // Without what the user set: that is for the broker to take or to refuse. The ports are not listened on.
        self.write_config(&server_properties(FORMATTING, &Listeners::unused(self.node), &[]))?;
        let log = self.mark_log();
        let mut command = kafka.command("kafka.tools.StorageTool", &self.path);
        command.args(["format", "--cluster-id", cluster_id, "--config", PROPERTIES]);
        let status = self.spawn(command)?.wait(stop).ok_or(BrokerError::Stopped)?;
        if !status.success() {
            let last_words = self.last_words(&log);
            return Err(BrokerError::Format { data: self.path.clone(), status, last_words });
        }
        files::publish_dir(&formatting, &self.path.join(LOGS))
    }

    /// Starts Kafka on the formatted log.
    pub fn launch(
        &self,
        kafka: &Kafka,
        listeners: &Listeners,
        settings: &Settings,
    ) -> Result<(Process, LogMark), BrokerError> {
        self.write_config(&server_properties(LOGS, listeners, &settings.set))?;
        let log = self.mark_log();
        let mut command = kafka.command("kafka.Kafka", &self.path);
        command.arg(PROPERTIES);
        Ok((self.spawn(command)?, log))
    }

    /// Kafka's last words since the mark: its last error, or its last lines, and the output of the JVM.
    pub fn last_words(&self, mark: &LogMark) -> String {
        let kafka = read_from(&self.path.join(KAFKA_LOG), mark.0).unwrap_or_default();
        let jvm = read_from(&self.path.join(JVM_LOG), 0).unwrap_or_default();
        let mut words = [last_error(&kafka), tail(&jvm)].concat();
        let full = full_disk(&self.path);
        words.extend(full.as_deref());
        if words.is_empty() { "it logged nothing".to_owned() } else { words.join("\n") }
    }

    fn recorded_cluster_id(&self) -> Result<String, BrokerError> {
        let file = self.path.join(CLUSTER_ID);
        let text = fs::read_to_string(&file).map_err(BrokerError::io("read", &file))?;
        let id = text.trim();
        if id.is_empty() || id.contains(char::is_whitespace) {
            return Err(self.damaged(file, "does not hold a cluster id"));
        }
        Ok(id.to_owned())
    }

    /// Whether the log is the one that we formatted.
    fn check_meta(&self, meta: &Path, recorded: &str) -> Result<(), BrokerError> {
        let text = match fs::read_to_string(meta) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.damaged(meta.to_owned(), "is missing, though the log was formatted"));
            }
            result => result.map_err(BrokerError::io("read", meta))?,
        };
        let found = property(&text, "cluster.id").unwrap_or("(none)").to_owned();
        if found != recorded {
            let (data, recorded) = (self.path.clone(), recorded.to_owned());
            return Err(BrokerError::OtherCluster { data, recorded, found });
        }
        let node = property(&text, "node.id").unwrap_or("(none)");
        if node != self.node.to_string() {
            let (meta, found) = (meta.to_owned(), node.to_owned());
            return Err(BrokerError::OtherNode { meta, expected: self.node, found });
        }
        Ok(())
    }

    fn damaged(&self, file: PathBuf, reason: &str) -> BrokerError {
        BrokerError::Damaged { data: self.path.clone(), file, reason: reason.to_owned() }
    }

    fn write_config(&self, properties: &str) -> Result<(), BrokerError> {
        for (name, text) in [(PROPERTIES, properties), (LOG4J, LOG4J_XML)] {
            let path = self.path.join(name);
            fs::write(&path, text).map_err(BrokerError::io("write", &path))?;
        }
        Ok(())
    }

    /// Spawns a JVM whose standard input is the lock: so the lock is held until that JVM has also ended.
    fn spawn(&self, mut command: std::process::Command) -> Result<Process, BrokerError> {
        let path = self.path.join(JVM_LOG);
        let open = || {
            let output = File::create(&path)?;
            command.stdin(Stdio::from(self.lock.try_clone()?)).stderr(output.try_clone()?).stdout(output);
            io::Result::Ok(command)
        };
        Process::spawn(open().map_err(BrokerError::io("write", &path))?)
    }

    fn mark_log(&self) -> LogMark {
        LogMark(fs::metadata(self.path.join(KAFKA_LOG)).map_or(0, |meta| meta.len()))
    }
}

/// A file of others in a directory without `cluster-id`, relative to it. Empty directories count for nothing: `up` may
/// have created its DIR here.
fn foreign_file(data: &Path, set: &[(String, String)]) -> Result<Option<PathBuf>, BrokerError> {
    let named: Vec<_> = set.iter().filter_map(|(_, value)| Path::new(value).canonicalize().ok()).collect();
    let (lock, lost_and_found) = (data.join(LOCK), data.join(LOST_AND_FOUND));
    let mut dirs = vec![data.to_owned()];
    while let Some(dir) = dirs.pop() {
        let mut entries: Vec<_> = fs::read_dir(&dir)
            .and_then(Iterator::collect::<io::Result<_>>)
            .map_err(BrokerError::io("read", &dir))?;
        // Hidden files last, as they say less.
        entries
            .sort_by_key(|entry| (entry.file_name().as_encoded_bytes().starts_with(b"."), entry.file_name()));
        for entry in entries {
            let path = entry.path();
            if path == lost_and_found || (path == lock && is_lock(&path)) || named.contains(&path) {
                continue;
            }
            match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => dirs.push(path),
                false if is_own_output(&path) => {}
                false => return Ok(Some(path.strip_prefix(data).unwrap_or(&path).to_owned())),
            }
        }
    }
    Ok(None)
}

/// Whether a shell redirected this process to the file.
fn is_own_output(path: &Path) -> bool {
    let place = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let open = ["/proc/self/fd/1", "/proc/self/fd/2"].map(|open| place(Path::new(open)));
    place(path).is_some_and(|place| open.contains(&Some(place)))
}

/// Whether this is a lock that names its owner, or is still to.
fn is_lock(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= LOCK_BYTES_MAX)
        && fs::read_to_string(path).is_ok_and(|text| text.is_empty() || text.starts_with("pid "))
}

/// Names what was found for the error; a log names its cluster.
fn describe(data: &Path, found: &Path) -> String {
    let of_cluster = |meta: &PathBuf| {
        let text = fs::read_to_string(data.join(meta)).ok()?;
        property(&text, "cluster.id").map(|id| format!("{} of cluster {id}", meta.display()))
    };
    let metas = [META.into(), Path::new(LOGS).join(META)];
    metas.iter().find_map(of_cluster).unwrap_or_else(|| found.display().to_string())
}

fn lock(data: &Path) -> Result<File, BrokerError> {
    let path = data.join(LOCK);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(BrokerError::io("open", &path))?;
    let deadline = Instant::now() + LOCK_GRACE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(source)) => return Err(BrokerError::io("lock", &path)(source)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                let owner = fs::read_to_string(&path).unwrap_or_default();
                let owner = if owner.is_empty() { "another process" } else { owner.trim() };
                return Err(BrokerError::DataInUse { data: data.to_owned(), owner: owner.to_owned() });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(POLL_INTERVAL),
        }
    }
    let mut name_owner = || {
        file.set_len(0)?;
        writeln!(file, "pid {}", std::process::id())
    };
    name_owner().map_err(BrokerError::io("write", &path))?;
    Ok(file)
}

/// 16 random bytes as Kafka writes them: URL-safe base64 without padding. It reads a leading `-` as an option.
fn random_uuid() -> Result<String, BrokerError> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let source = Path::new("/dev/urandom");
    loop {
        let mut bytes = [0; 16];
        let mut read = || File::open(source)?.read_exact(&mut bytes);
        read().map_err(BrokerError::io("read", source))?;
        let id = URL_SAFE_NO_PAD.encode(bytes);
        if !id.starts_with('-') {
            return Ok(id);
        }
    }
}

/// The end of a file, from `start` on; all of it if it is shorter now, as it was rolled over.
fn read_from(path: &Path, start: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let start = if start <= len { start } else { 0 };
    file.seek(SeekFrom::Start(start.max(len.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value of a key in the properties that Kafka wrote. Its ids hold nothing that is escaped.
fn property<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim)
}

/// The last error with its causes but without its stack frames; without an error, the last lines.
fn last_error(log: &str) -> Vec<&str> {
    let lines: Vec<_> = log.lines().filter(|line| !line.starts_with('\t')).collect();
    // A line that does not begin with a date belongs to the line before.
    let is_entry = |line: &str| line.starts_with(|c: char| c.is_ascii_digit());
    let level = |line: &str| line.split(' ').nth(2).map(str::to_owned);
    let is_error =
        |line: &&str| is_entry(line) && level(line).is_some_and(|it| it == "ERROR" || it == "FATAL");
    match lines.iter().rposition(is_error) {
        Some(start) => {
            let (first, rest) = lines.split_at(start + 1);
            let causes = rest.iter().take_while(|line| !is_entry(line));
            first.last().into_iter().chain(causes).take(TAIL_LINES).copied().collect()
        }
        None => tail(log),
    }
}

fn tail(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> =
        text.lines().filter(|line| !line.starts_with('\t') && !line.trim().is_empty()).collect();
    lines.split_off(lines.len().saturating_sub(TAIL_LINES))
}

/// The line that Kafka's log may lack on a full disk, as it lies there itself.
fn full_disk(data: &Path) -> Option<String> {
    let free = files::free_bytes(data)?;
    let line = || format!("No space left on device: {} kB for {}", free / 1000, data.display());
    (free < DISK_BYTES_MIN).then(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Exit, Failure};

    #[test]
    fn the_last_error_is_told_with_its_causes() {
        let log = "2026-01-01 00:00:00,000 INFO starting (Kafka)\n\
                   2026-01-01 00:00:00,001 ERROR first (Kafka)\n\
                   2026-01-01 00:00:00,002 ERROR exiting (Kafka)\n\
                   java.lang.RuntimeException: outer\n\tat kafka.Kafka.main(Kafka.scala)\n\
                   Caused by: inner\n\t... 3 more\n\
                   2026-01-01 00:00:00,003 INFO closed ERROR (Metrics)\n";
        assert_eq!(
            last_error(log),
            [
                "2026-01-01 00:00:00,002 ERROR exiting (Kafka)",
                "java.lang.RuntimeException: outer",
                "Caused by: inner"
            ]
        );
        assert_eq!(last_error("2026-01-01 00:00:00,000 INFO a\n\n2026-01-01 00:00:00,000 INFO b\n").len(), 2);
        assert!(last_error("").is_empty());
    }

    #[test]
    fn the_lock_names_its_holder() {
        let temp = tempfile::tempdir().unwrap();
        let held = DataDir::open(temp.path(), 1, &[]).unwrap();
        let error = DataDir::open(temp.path(), 1, &[]).unwrap_err().to_string();
        assert!(error.ends_with(&format!("is in use by pid {}", std::process::id())), "{error}");
        drop(held);
        DataDir::open(temp.path(), 1, &[]).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_ours_is_left_alone() {
        for (file, text, found) in [
            ("meta.properties", "#\nnode.id=1\ncluster.id=abc\n", "meta.properties of cluster abc"),
            ("server.properties", "", "server.properties"),
            ("letter.txt", "", "letter.txt"),
            (".git/config", "", ".git/config"),
            ("lock", "another program's", "lock"),
        ] {
            let temp = tempfile::tempdir().unwrap();
            fs::create_dir(temp.path().join(".git")).unwrap();
            fs::write(temp.path().join(file), text).unwrap();
            let before = fs::read_dir(temp.path()).unwrap().count();
            let error = DataDir::open(temp.path(), 1, &[]).unwrap_err();
            assert!(
                error.to_string().contains(&format!("holds {found}, but was not made by almanac")),
                "{error}"
            );
            assert_eq!(error.exit(), Exit::Usage);
            assert_eq!(fs::read_dir(temp.path()).unwrap().count(), before);
            assert_eq!(fs::read_to_string(temp.path().join(file)).unwrap(), text);
        }
    }

    #[test]
    fn a_directory_without_files_or_of_an_interrupted_start_is_ours() {
        let temp = tempfile::tempdir().unwrap();
        for dir in ["lost+found", "files/.almanac"] {
            fs::create_dir_all(temp.path().join(dir)).unwrap();
        }
        // The first one leaves its lock. The second is interrupted once it has made the cluster ID.
        for file in ["lost+found/#12", "cluster-id", "note.txt"] {
            drop(DataDir::open(temp.path(), 1, &[]).unwrap());
            fs::write(temp.path().join(file), "").unwrap();
        }
        drop(DataDir::open(temp.path(), 1, &[]).unwrap());
    }

    #[test]
    fn keys_may_be_next_to_the_data() {
        let temp = tempfile::tempdir().unwrap();
        let keys = temp.path().join("keys.pem");
        fs::write(&keys, "").unwrap();
        let set = ("ssl.keystore.location".to_owned(), keys.display().to_string());
        drop(DataDir::open(temp.path(), 1, &[set]).unwrap());
    }

    #[test]
    fn a_log_that_we_did_not_format_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::open(temp.path(), 1, &[]).unwrap();
        let meta = temp.path().join("meta.properties");
        let check = |text: &str| {
            fs::write(&meta, text).unwrap();
            data.check_meta(&meta, "abc")
        };
        assert!(check("version=1\nnode.id=1\ncluster.id=abc\n").is_ok());
        let other = check("node.id=1\ncluster.id=xyz\n").unwrap_err().to_string();
        assert!(other.contains("belongs to cluster abc, but its logs to cluster xyz"), "{other}");
        let node = check("node.id=2\ncluster.id=abc\n").unwrap_err().to_string();
        assert!(node.contains("is of node 2, and this is node 1"), "{node}");
        fs::remove_file(&meta).unwrap();
        let missing = data.check_meta(&meta, "abc").unwrap_err().to_string();
        assert!(missing.contains("is missing, though the log was formatted"), "{missing}");
    }

    #[test]
    fn ids_are_kafkas_uuids() {
        let (one, two) = (random_uuid().unwrap(), random_uuid().unwrap());
        assert_eq!(one.len(), 22);
        assert_ne!(one, two);
    }
}
