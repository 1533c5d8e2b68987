//! Apache Kafka's jars: got by Maven once, kept in the user's cache.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::error::BrokerError;
use super::files;
use super::java::on_path;
use super::process::{Process, tied};
use super::settings::Environment;
use super::versions::{POM, kafka_version};

const DOWNLOAD_MB: u32 = 43;
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The directory of the jars, which are got if they are not there.
pub fn get(
    env: &Environment,
    progress: &mut dyn FnMut(&str),
    stop: &AtomicBool,
) -> Result<PathBuf, BrokerError> {
    let cache = env.cache.as_deref().ok_or(BrokerError::NoCache)?;
    let cache = std::path::absolute(cache).map_err(BrokerError::io("find", cache))?;
    let jars = cache.join(cache_key());
    if jars.as_os_str().as_encoded_bytes().contains(&b':') {
        return Err(BrokerError::ColonInCache(jars));
    }
    // The directory gets its name when it is whole, so that is all there is to check.
    if jars.is_dir() {
        return Ok(jars);
    }
    let maven = on_path(env.path.as_deref(), "mvn").ok_or(BrokerError::NoMaven)?;
    fs::create_dir_all(&cache).map_err(BrokerError::io("make", &cache))?;
    let _lock = lock(&jars.with_added_extension("lock"), progress, stop)?;
    if !jars.is_dir() {
        progress(&format!("getting Apache Kafka {} ({DOWNLOAD_MB} MB, once)", kafka_version()));
        download(&maven, &jars, stop)?;
    }
    Ok(jars)
}

/// Names the version for people, and the whole of the pom by a hash: a changed pom is resolved again.
fn cache_key() -> String {
    // FNV-1a: the standard library's hash may change from one release of Rust to the next.
    let hash = POM.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("kafka-{}-{hash:016x}", kafka_version())
}

/// One process downloads, the others wait for it. The lock ends with its holder, however that ends.
fn lock(path: &Path, progress: &mut dyn FnMut(&str), stop: &AtomicBool) -> Result<File, BrokerError> {
    let file = File::create(path).map_err(BrokerError::io("open", path))?;
    let mut is_told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(BrokerError::io("lock", path)(source)),
            Err(TryLockError::WouldBlock) if stop.load(Ordering::Relaxed) => {
                return Err(BrokerError::Stopped);
            }
            Err(TryLockError::WouldBlock) => {
                if !is_told {
                    progress("waiting for another almanac that is getting Apache Kafka");
                    is_told = true;
                }
                thread::sleep(LOCK_POLL_INTERVAL);
            }
        }
    }
}

/// Has Maven copy the jars to a directory next to `jars`, and renames that to `jars` when all are there.
fn download(maven: &Path, jars: &Path, stop: &AtomicBool) -> Result<(), BrokerError> {
    let part = jars.with_added_extension("part");
    files::remove_dir(&part)?;
    let libs = part.join("libs");
    fs::create_dir_all(&libs).map_err(BrokerError::io("make", &libs))?;
    let pom = part.join("pom.xml");
    fs::write(&pom, POM).map_err(BrokerError::io("write", &pom))?;
    let log = part.join("maven.log");
    let output = File::create(&log).map_err(BrokerError::io("write", &log))?;
    let errors = output.try_clone().map_err(BrokerError::io("write", &log))?;

    let mut command = tied(maven);
    // A checksum that does not match is an error, not the warning that Maven makes of it.
    command.args(["--batch-mode", "--no-transfer-progress", "--strict-checksums", "--file"]).arg(&pom);
    command.args(["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=libs"]);
    command.current_dir(&part).stdin(Stdio::null()).stdout(output).stderr(errors);
    let status = Process::spawn(command)?.wait(stop).ok_or(BrokerError::Stopped)?;

    if !status.success() || !libs.join(broker_jar()).is_file() {
        let message = maven_error(&fs::read_to_string(&log).unwrap_or_default());
        return Err(BrokerError::Maven { message, log });
    }
    files::publish_dir(&libs, jars)?;
    files::remove_dir(&part)
}

fn broker_jar() -> String {
    format!("kafka_2.13-{}.jar", kafka_version())
}

/// The first error that Maven printed: the others explain how to read it.
fn maven_error(log: &str) -> String {
    let error = log.lines().find_map(|line| line.strip_prefix("[ERROR] "));
    let line = error.or_else(|| log.lines().rfind(|line| !line.trim().is_empty()));
    line.unwrap_or("it printed nothing").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_poms() {
        assert!(
            kafka_version().split('.').all(|number| number.parse::<u32>().is_ok()),
            "{}",
            kafka_version()
        );
        assert!(cache_key().starts_with(&format!("kafka-{}-", kafka_version())));
    }

    #[test]
    fn mavens_first_error_is_told() {
        let log = "[INFO] Scanning\n[ERROR] Failed to execute goal: no route to host\n[ERROR] To see the stack trace\n";
        assert_eq!(maven_error(log), "Failed to execute goal: no route to host");
        assert_eq!(maven_error("The JAVA_HOME is not defined\n\n"), "The JAVA_HOME is not defined");
        assert_eq!(maven_error(""), "it printed nothing");
    }
}
