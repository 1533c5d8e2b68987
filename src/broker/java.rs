//! The Java that runs Kafka.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::BrokerError;
use super::layout::LOG4J;
use super::process::tied;
use super::settings::Environment;
use super::versions::JAVA_MIN;

/// The heap is bounded, as the broker shares the machine; what serves it is the page cache.
///
/// The collector and the compiler tiers are Java's choice. Without the last tier Kafka starts half a second sooner,
/// and then takes a fifth fewer records a second.
const JVM_FLAGS: [&str; 3] = ["-Xmx512m", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"];

/// Kafka's programs, ready to be run.
pub struct Kafka {
    pub java: PathBuf,
    /// The directory of its jars.
    pub jars: PathBuf,
}

impl Kafka {
    /// A command that runs `class` in `dir`.
    ///
    /// Kafka is given paths relative to `dir` only. So no character of the directory's name can mean something to
    /// it: `log.dirs`, for one, is a list with commas.
    pub fn command(&self, class: &str, dir: &Path) -> Command {
        let mut class_path = self.jars.clone().into_os_string();
        class_path.push("/*");
        let mut command = tied(&self.java);
        command.args(JVM_FLAGS);
        command.arg(format!("-Dlog4j2.configurationFile={LOG4J}"));
        command.arg("-cp").arg(class_path).arg(class).current_dir(dir);
        // Java decodes file names by the locale, and in the C locale it mangles all that is not ASCII.
        command.env("LC_ALL", "C.UTF-8");
        command
    }
}

/// The `java` of `JAVA_HOME`, else of `PATH`, if it is new enough.
pub fn find(env: &Environment) -> Result<PathBuf, BrokerError> {
    let java = match &env.java_home {
        Some(home) => {
            let java = home.join("bin/java");
            if !java.is_file() {
                return Err(BrokerError::BadJavaHome(home.clone()));
            }
            java
        }
        None => on_path(env.path.as_deref(), "java").ok_or(BrokerError::NoJava)?,
    };
    let output = Command::new(&java).arg("-version").output().map_err(BrokerError::io("run", &java))?;
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    match major_version(&output) {
        Some(found) if found < JAVA_MIN => Err(BrokerError::OldJava { java, found }),
        Some(_) => Ok(java),
        None => Err(BrokerError::UnknownJava { java, output }),
    }
}

/// The first file of that name in the directories of `path`, absolute.
pub fn on_path(path: Option<&OsStr>, program: &str) -> Option<PathBuf> {
    let candidates = std::env::split_paths(path?).map(|dir| dir.join(program));
    candidates.filter(|candidate| candidate.is_absolute()).find(|candidate| candidate.is_file())
}

/// The major version in what `java -version` prints: `version "17.0.15"`, `version "22-ea"`, or `version "1.8.0_292"`, which is Java 8.
fn major_version(output: &str) -> Option<u32> {
    let (_, quoted) = output.split_once("version \"")?;
    let (version, _) = quoted.split_once('"')?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    match numbers.next()?? {
        1 => numbers.next()?,
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::major_version;

    #[test]
    fn versions_as_java_prints_them() {
        let versions = [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime", Some(17)),
            ("openjdk version \"22-ea\" 2024-03-19", Some(22)),
            ("openjdk version \"25\" 2025-09-16", Some(25)),
            ("java version \"1.8.0_292\"", Some(8)),
            ("Picked up JAVA_TOOL_OPTIONS: -Da=1\nopenjdk version \"21.0.1\"", Some(21)),
            ("The operation couldn't be completed.", None),
            ("version \"x\"", None),
            ("version \"", None),
        ];
        for (output, expected) in versions {
            assert_eq!(major_version(output), expected, "{output}");
        }
    }
}
