//! The local Kafka, for real: a JVM each time.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;

use almanac::broker::{Broker, BrokerError, Environment, HostPort, Listening, Member, Settings, who_listens};
use almanac::failure::told;
use tempfile::TempDir;

use crate::support::{almanac, eventually, free_address, is_kafka};

/// Tells the process that [`owner`] runs in which data directory to own.
const OWNED_DATA: &str = "ALMANAC_TEST_OWNED_DATA";

#[test]
fn a_restart_keeps_the_data_on_other_ports() {
    let dir = Dir::new();
    let first = start(&dir.settings()).unwrap();
    let (cluster_id, bootstrap) = (first.cluster_id().to_owned(), first.bootstrap().to_owned());
    assert_eq!(who_listens(&parse(&bootstrap), &mut is_kafka), Listening::Kafka);
    let properties = dir.properties();
    first.stop().unwrap();
    assert_eq!(who_listens(&parse(&bootstrap), &mut is_kafka), Listening::Nobody);
    let directory_id = dir.read("logs/meta.properties");

    for _ in 0..2 {
        let again = start(&dir.settings()).unwrap();
        assert_ne!(dir.properties(), properties, "the ports are others");
        assert_eq!(again.cluster_id(), cluster_id);
        again.stop().unwrap();
    }
    assert_eq!(dir.read("logs/meta.properties"), directory_id);
}

#[test]
fn the_jars_are_downloaded_once_and_each_step_is_reported_once() {
    let dir = Dir::new();
    start(&dir.settings()).unwrap().stop().unwrap();
    let mut settings = dir.settings();
    // JAVA_HOME leads to Java, and Maven is missing: a second start does not need it.
    settings.env.java_home = Some(java_home());
    settings.env.path = None;
    let mut told = Vec::new();
    let stop = AtomicBool::new(false);
    let broker =
        Broker::start(&settings, &mut is_kafka, &mut |step| told.push(step.to_owned()), &stop).unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("starting Apache Kafka"), "{told:?}");
    broker.stop().unwrap();
}

#[test]
fn the_jvm_is_out_of_reach_of_ctrl_c() {
    let dir = Dir::new();
    let broker = start(&dir.settings()).unwrap();
    let [jvm] = dir.processes()[..] else { panic!("{:?}", dir.processes()) };
    assert_eq!(process_group(jvm), jvm);
    drop(broker);
    assert!(dir.processes().is_empty(), "dropping a broker ends its JVM");
}

#[test]
fn a_death_is_seen() {
    let dir = Dir::new();
    let mut broker = start(&dir.settings()).unwrap();
    assert_eq!(broker.exited(), None);
    for jvm in dir.processes() {
        kill_9(jvm);
    }
    eventually("the broker is seen to have ended", || broker.exited().is_some());
    assert!(!broker.last_words().is_empty());
    broker.stop().unwrap();
    // The data are still there: the same cluster starts again.
    start(&dir.settings()).unwrap().stop().unwrap();
}

#[test]
fn kill_9_leaves_no_jvm_and_the_data_is_usable_at_once() {
    let dir = Dir::new();
    let mut owner = Owner::spawn(&dir);
    eventually("the owner's broker answers", || dir.data.join("ready").exists());
    assert!(!dir.processes().is_empty());
    owner.kill_9();
    let broker = start(&dir.settings()).unwrap();
    assert_eq!(broker.cluster_id(), dir.read("ready"));
    broker.stop().unwrap();
    assert!(dir.processes().is_empty());
}

#[test]
fn kill_9_while_starting_leaves_no_jvm_and_no_half_format() {
    // At the first sight of any process: while formatting. At the second: while Kafka starts.
    for main_class in ["kafka.tools.StorageTool", "kafka.Kafka"] {
        let dir = Dir::new();
        let mut owner = Owner::spawn(&dir);
        eventually("the owner runs the class", || {
            dir.processes().iter().any(|&pid| command_line(pid).iter().any(|arg| arg == main_class))
        });
        owner.kill_9();
        eventually("the JVM is gone", || dir.processes().is_empty());
        start(&dir.settings()).unwrap().stop().unwrap();
    }
}

/// No test: the process that the others kill.
#[test]
#[ignore = "run by the tests that kill it"]
fn owner() {
    let data = PathBuf::from(std::env::var_os(OWNED_DATA).expect("set by the test"));
    let broker = start(&settings(&data)).unwrap();
    fs::write(data.join("ready.new"), broker.cluster_id()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "not durable: it only has to appear whole")]
    fs::rename(data.join("ready.new"), data.join("ready")).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn properties_set_by_the_user_override_others() {
    let dir = Dir::new();
    let mut settings = dir.settings();
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    settings.set = vec![
        set("listeners", "INSIDE://127.0.0.1:0,OUTSIDE://127.0.0.1:0"),
        set("listener.security.protocol.map", "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT"),
    ];
    let broker = start(&settings).unwrap();
    assert!(dir.properties().contains("inter.broker.listener.name=INSIDE\n"));
    broker.stop().unwrap();
}

#[test]
fn a_property_that_kafka_refuses_is_reported() {
    let dir = Dir::new();
    let mut settings = dir.settings();
    settings.set = vec![("num.io.threads".to_owned(), "many".to_owned())];
    let error = told(&start(&settings).unwrap_err());
    assert!(error.contains("Kafka ended before it answered"), "{error}");
    assert!(error.contains("Invalid value many for configuration num.io.threads"), "{error}");
    assert!(!error.contains("\tat "), "{error}");
}

#[test]
fn a_used_port_is_reported_with_the_process_that_uses_it() {
    let dir = Dir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = Settings { listen: parse(&address), ..dir.settings() };
    let error = told(&start(&settings).unwrap_err());
    assert!(
        error.starts_with(&format!("{address} is in use\nhint: name another port with --listen")),
        "{error}"
    );
    assert_eq!(who_listens(&settings.listen, &mut is_kafka), Listening::SomethingElse);
}

#[test]
fn one_data_directory_has_one_broker() {
    let dir = Dir::new();
    let broker = start(&dir.settings()).unwrap();
    let error = told(&start(&dir.settings()).unwrap_err());
    assert!(error.contains(&format!("is in use by pid {}\nhint: ", std::process::id())), "{error}");
    broker.stop().unwrap();
}

#[test]
fn another_clusters_data_is_refused_untouched() {
    let dir = Dir::new();
    let cluster_id = {
        let broker = start(&dir.settings()).unwrap();
        let id = broker.cluster_id().to_owned();
        broker.stop().unwrap();
        id
    };
    let meta = dir.read("logs/meta.properties").replace(&cluster_id, "someone-elses-cluster1");
    fs::write(dir.data.join("logs/meta.properties"), &meta).unwrap();
    let error = told(&start(&dir.settings()).unwrap_err());
    let both = format!("belongs to cluster {cluster_id}, but its logs to cluster someone-elses-cluster1");
    assert!(error.contains(&both), "{error}");

    fs::remove_file(dir.data.join("cluster-id")).unwrap();
    let error = told(&start(&dir.settings()).unwrap_err());
    assert!(error.contains("was not made by almanac; nothing was changed"), "{error}");
    assert_eq!(dir.read("logs/meta.properties"), meta);
    assert!(!dir.data.join("cluster-id").exists());
}

#[test]
fn a_directory_of_others_is_refused_untouched() {
    for (file, found) in [("letter.txt", "letter.txt"), ("photos/2024/beach.jpg", "photos/2024/beach.jpg")] {
        let dir = Dir::new();
        let path = dir.data.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let before = fs::read_dir(&dir.data).unwrap().count();
        let data = dir.data.to_str().unwrap();
        let ended = almanac(&["broker", "--listen", "127.0.0.1:0", "--data", data]).fails(2);
        let expected = format!(
            "almanac: error: {data} holds {found}, but was not made by almanac; nothing was changed\n\
             hint: name an empty directory with --data, or one that does not exist yet\n"
        );
        assert_eq!(ended.stderr, expected);
        assert_eq!(fs::read_dir(&dir.data).unwrap().count(), before);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}

#[test]
fn a_cluster_keeps_its_id() {
    let dir = Dir::new();
    let of = |cluster_id: &str| {
        let quorum = vec![format!("3@{}", free_address()).parse().unwrap()];
        let member = Member { node: 3, cluster_id: cluster_id.to_owned(), quorum };
        Settings { member: Some(member), ..dir.settings() }
    };
    let broker = start(&of("AAAAAAAAQACAAAAAAAAAAQ")).unwrap();
    assert_eq!(broker.cluster_id(), "AAAAAAAAQACAAAAAAAAAAQ");
    broker.stop().unwrap();
    let error = told(&start(&of("AAAAAAAAQACAAAAAAAAAAg")).unwrap_err());
    assert!(
        error.contains("belongs to cluster AAAAAAAAQACAAAAAAAAAAQ, not to AAAAAAAAQACAAAAAAAAAAg"),
        "{error}"
    );
    let error = told(&start(&dir.settings()).unwrap_err());
    assert!(error.contains("is of node 3, and this is node 1"), "{error}");
}

#[test]
fn clients_of_the_second_listener_do_not_need_the_advertised_address() {
    let (dir, local) = (Dir::new(), free_address());
    let check = || almanac(&["broker", "--check", "--local", &local]);
    let nobody = check().fails(4);
    assert!(nobody.stderr.contains(&format!("no Kafka answers at {local}\n")), "{}", nobody.stderr);
    let command = [
        "broker",
        "--listen",
        "127.0.0.1:0",
        "--advertise",
        "host.invalid:9092",
        "--local",
        &local,
        "--data",
    ];
    let mut broker = almanac(&[&command[..], &[dir.data.to_str().unwrap()]].concat()).start();
    broker.stderr_line_with(" answers at ");
    check().succeeds();
    almanac(&["producer", "--brokers", &local, "--interval", "0", "--days", "10"]).succeeds();
    assert_eq!(broker.terminate().code, Some(0));
}

#[test]
fn stop_while_starting() {
    let dir = Dir::new();
    let stop = AtomicBool::new(true);
    let error = Broker::start(&dir.settings(), &mut is_kafka, &mut |_| (), &stop).unwrap_err();
    assert!(matches!(error, BrokerError::Stopped), "{error}");
    assert!(dir.processes().is_empty());
}

#[test]
fn an_old_java_is_reported() {
    let dir = Dir::new();
    let home = dir.fake_program("jdk-11/bin/java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2");
    let mut settings = dir.settings();
    settings.env.java_home = Some(dir.temp.path().join("jdk-11"));
    let error = told(&start(&settings).unwrap_err());
    assert!(error.starts_with(&format!("{} is Java 11, and Apache Kafka", home.display())), "{error}");
    assert!(
        error.contains("needs Java 17 or later\nhint: run `sudo apt install default-jdk-headless`"),
        "{error}"
    );
}

#[test]
fn a_missing_java_is_reported() {
    let dir = Dir::new();
    let mut settings = dir.settings();
    settings.env = Environment { path: Some(dir.temp.path().into()), ..Environment::default() };
    let error = told(&start(&settings).unwrap_err());
    assert!(error.starts_with("no Java found"), "{error}");
    assert!(error.contains("\nhint: run `sudo apt install default-jdk-headless`"), "{error}");

    settings.env.java_home = Some(dir.temp.path().join("nothing"));
    let error = told(&start(&settings).unwrap_err());
    assert!(error.contains("there is no bin/java in it"), "{error}");
}

#[test]
fn a_missing_maven_is_reported_if_it_is_needed() {
    let dir = Dir::new();
    let mut settings = dir.settings();
    settings.env =
        Environment { java_home: Some(java_home()), path: None, cache: Some(dir.temp.path().join("cache")) };
    let error = told(&start(&settings).unwrap_err());
    assert!(error.starts_with("Maven is needed to download Apache Kafka"), "{error}");
    assert!(error.ends_with("\nhint: run `sudo apt install maven`"), "{error}");
}

#[test]
fn an_interrupted_download_does_not_count() {
    let dir = Dir::new();
    let cache = dir.temp.path().join("cache");
    dir.fake_program("bin/mvn", "touch libs/half.jar; echo '[ERROR] no route to host'; exit 1");
    let mut settings = dir.settings();
    settings.env = Environment {
        java_home: Some(java_home()),
        path: Some(dir.temp.path().join("bin").into()),
        cache: Some(cache.clone()),
    };
    for _ in 0..2 {
        let error = told(&start(&settings).unwrap_err());
        assert!(error.contains("Maven could not get Apache Kafka"), "{error}");
        assert!(error.contains(": no route to host\nhint: read the whole output in"), "{error}");
    }
    // Now with the real Maven: what the other left behind is not used.
    settings.env = Environment { cache: Some(cache), ..Environment::from_process() };
    let mut told = Vec::new();
    let stop = AtomicBool::new(false);
    let broker =
        Broker::start(&settings, &mut is_kafka, &mut |step| told.push(step.to_owned()), &stop).unwrap();
    assert!(told[0].starts_with("getting Apache Kafka"), "{told:?}");
    broker.stop().unwrap();
}

/// A data directory, whose name holds what could mean something to Java or Kafka.
struct Dir {
    temp: TempDir,
    data: PathBuf,
}

impl Dir {
    fn new() -> Dir {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("dätä, of:a #broker");
        Dir { temp, data }
    }

    fn settings(&self) -> Settings {
        settings(&self.data)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.data.join(file)).unwrap()
    }

    fn properties(&self) -> String {
        self.read("server.properties")
    }

    fn fake_program(&self, path: &str, script: &str) -> PathBuf {
        let path = self.temp.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// The processes that run in the data directory: its JVMs.
    fn processes(&self) -> Vec<u32> {
        let is_here = |pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == self.data);
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_here).collect()
    }
}

fn settings(data: &Path) -> Settings {
    Settings {
        listen: parse("127.0.0.1:0"),
        advertise: None,
        local: None,
        member: None,
        data: data.to_owned(),
        set: Vec::new(),
        env: Environment::from_process(),
    }
}

fn start(settings: &Settings) -> Result<Broker, BrokerError> {
    Broker::start(settings, &mut is_kafka, &mut |_| (), &AtomicBool::new(false))
}

/// The process that runs [`owner`], killed at the end if it was not before.
struct Owner(Child);

impl Owner {
    fn spawn(dir: &Dir) -> Owner {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["broker::owner", "--exact", "--ignored"])
            .env(OWNED_DATA, &dir.data)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Owner(child)
    }

    fn kill_9(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Fails only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn parse(address: &str) -> HostPort {
    address.parse().unwrap()
}

fn kill_9(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn command_line(pid: u32) -> Vec<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split('\0').map(str::to_owned).collect()
}

fn process_group(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Counted from behind the name, which may hold spaces: state, parent, group.
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(2).unwrap().parse().unwrap()
}

/// The home of the Java that the tests run with.
pub fn java_home() -> PathBuf {
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        let mut dirs = std::env::split_paths(&path);
        let java = dirs.find_map(|dir| fs::canonicalize(dir.join("java")).ok())?;
        Some(java.parent()?.parent()?.to_owned())
    };
    let set =
        std::env::var_os("JAVA_HOME").filter(|home| home.as_os_str() != OsStr::new("")).map(PathBuf::from);
    set.or_else(on_path).expect("a Java is installed")
}
