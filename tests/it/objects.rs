//! The object store of the tests, and a proxy before it that loses, delays and damages requests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use openssl::hash::{MessageDigest, hash};
use serde_json::Value;
use tempfile::TempDir;

use super::support::*;

const BUCKET: &str = "almanac";

/// The access key of most stores, and its secret.
const KEYS: [&str; 2] = ["test", "testtest"];

/// The program, built once and cached; nothing where it can't be built here.
fn program() -> Option<&'static str> {
    static PROGRAM: OnceLock<Option<String>> = OnceLock::new();
    let build = || {
        let built = Command::new("scripts/object-store").stderr(Stdio::inherit()).output().unwrap();
        let path = String::from_utf8(built.stdout).unwrap().trim().to_owned();
        built.status.success().then_some(path)
    };
    PROGRAM.get_or_init(build).as_deref()
}

/// The object store that most tests share, each with a prefix of its own; `None` where there is none.
#[track_caller]
pub fn store() -> Option<&'static Objects> {
    static SHARED: OnceLock<Option<Objects>> = OnceLock::new();
    let found = SHARED.get_or_init(Objects::start).as_ref();
    if found.is_none() {
        skip("there is no object store: scripts/object-store says why");
    }
    found
}

/// versitygw with one bucket, which anybody may use: so a proxy can change a request, as nothing is signed.
pub struct Objects {
    process: Mutex<Running>,
    pub address: String,
    data: TempDir,
    keys: [String; 2],
    /// Its files are on a small disk of their own.
    is_mounted: bool,
}

impl Objects {
    pub fn start() -> Option<Objects> {
        Objects::start_as(KEYS)
    }

    /// With another access key and its secret.
    pub fn start_as(keys: [&str; 2]) -> Option<Objects> {
        Objects::start_in(tempfile::tempdir().unwrap(), false, keys)
    }

    /// On a disk that can be filled, where this process may mount one.
    pub fn start_on_small_disk() -> Option<Objects> {
        let data = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=256m", "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(data.path()).output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        Objects::start_in(data, is_mounted, KEYS)
    }

    fn start_in(data: TempDir, is_mounted: bool, keys: [&str; 2]) -> Option<Objects> {
        std::fs::create_dir(data.path().join(BUCKET)).unwrap();
        let address = free_address();
        let keys = keys.map(str::to_owned);
        let process = Objects::launch(program()?, &address, &data, &keys);
        let objects = Objects { process: Mutex::new(process), address, data, keys, is_mounted };
        objects.allow_all();
        Some(objects)
    }

    /// Does something while there is no room on the store's disk, if that is small.
    pub fn while_full(&self, work: impl FnOnce()) {
        if !self.is_mounted {
            return skip("the object store has no small disk: that needs root");
        }
        let path = self.data.path().join("filler");
        let mut filler = std::fs::File::create(&path).unwrap();
        for size in [1 << 20, 4096, 1] {
            while filler.write_all(&vec![b'x'; size]).is_ok() {}
        }
        work();
        std::fs::remove_file(path).unwrap();
    }

    fn launch(program: &str, address: &str, data: &TempDir, [access, secret]: &[String; 2]) -> Running {
        let root = data.path().to_str().unwrap();
        let process = run_program(&[
            program,
            "--access",
            access,
            "--secret",
            secret,
            "--port",
            address,
            "--quiet",
            "--keep-alive",
            "posix",
            root,
        ]);
        eventually("the object store listens", || TcpStream::connect(address).is_ok());
        process
    }

    fn allow_all(&self) {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::{BUCKET}","arn:aws:s3:::{BUCKET}/*"]}}]}}"#
        );
        let url = format!("http://{}/{BUCKET}?policy=", self.address);
        let put = Command::new("curl")
            .args([
                "-sS",
                "--fail-with-body",
                "--aws-sigv4",
                "aws:amz:us-east-1:s3",
                "--user",
                &self.keys.join(":"),
            ])
            .args([
                "-X",
                "PUT",
                "-H",
                "x-amz-content-sha256: UNSIGNED-PAYLOAD",
                "--data-binary",
                &policy,
                &url,
            ])
            .output()
            .unwrap();
        assert!(put.status.success(), "{put:?}");
    }

    /// A prefix that no other test has.
    pub fn prefix(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        format!("s3://{BUCKET}/test-{}", COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// The file of an object, as the store keeps it.
    pub fn file(&self, prefix: &str, name: &str) -> PathBuf {
        self.data.path().join(prefix.strip_prefix("s3://").unwrap()).join(name)
    }

    pub fn read(&self, prefix: &str, name: &str) -> Option<String> {
        std::fs::read_to_string(self.file(prefix, name)).ok()
    }

    /// The object, by a request.
    pub fn get(&self, prefix: &str, name: &str) -> Option<Vec<u8>> {
        let answer = forward(&self.address, &self.request_head("GET", prefix, name, 0), b"")?;
        answer.starts_with(b"HTTP/1.1 200").then(|| body_of(&answer).to_vec())
    }

    /// Writes an object, whatever is there.
    pub fn put(&self, prefix: &str, name: &str, bytes: &[u8]) {
        let answer =
            forward(&self.address, &self.request_head("PUT", prefix, name, bytes.len()), bytes).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }

    fn request_head(&self, method: &str, prefix: &str, name: &str, length: usize) -> String {
        let (path, host) = (prefix.strip_prefix("s3://").unwrap(), &self.address);
        format!("{method} /{path}/{name} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n")
    }

    /// The names of all objects of a prefix, in order.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let root = self.file(prefix, "");
        let (mut names, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    names.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        names.sort();
        names
    }

    /// Notes that the store was checked: that takes long over a bad network, and would refuse a store without conditions.
    pub fn skip_check(&self, prefix: &str) {
        self.put(prefix, "almanac.json", b"{}");
    }

    /// The head of a partition; null while there is none.
    pub fn head(&self, prefix: &str, partition: usize) -> Value {
        let bytes = self.read(prefix, &format!("partition-{partition}.json")).unwrap_or_default();
        serde_json::from_str(&bytes).unwrap_or_default()
    }

    pub fn kill_9(&self) {
        self.process.lock().unwrap().kill_9();
    }

    pub fn start_again(&self) {
        *self.process.lock().unwrap() =
            Objects::launch(program().unwrap(), &self.address, &self.data, &self.keys);
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        if self.is_mounted {
            self.kill_9();
            let _ = Command::new("umount").arg("--lazy").arg(self.data.path()).status();
        }
    }
}

/// `almanac` with its DIR in the object store at this address.
pub fn with_store(almanac: Almanac, address: &str, prefix: &str) -> Almanac {
    let settings = store_settings(address);
    settings
        .into_iter()
        .fold(almanac.env("ALMANAC_DIR", prefix), |almanac, (name, value)| almanac.env(name, value))
}

/// Runs a program on a host of this name, so that nobody sees there whether it is alive.
pub fn on_host(name: &str) -> [&str; 6] {
    ["unshare", "--uts", "sh", "-c", r#"hostname "$0" && exec "$@""#, name]
}

/// The environment of such a process.
pub fn store_settings(address: &str) -> [(&'static str, String); 5] {
    [
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_SKIP_SIGNATURE", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", KEYS[0].to_owned()),
        ("AWS_SECRET_ACCESS_KEY", KEYS[1].to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ]
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    None,
    /// It never arrives.
    Lost,
    /// It lands, and its answer is lost.
    Unanswered,
    /// It lands, and the answer waits until the policy's second part has returned.
    Answered,
    /// It lands, and the store says that it did not.
    Denied(u16),
    /// Its answer is lost, and it lands so much later.
    Late(Duration),
    /// It waits so long before it goes on.
    Slow(Duration),
    /// The store says so.
    Status(u16),
    /// It lands whatever is there.
    Unconditional,
    /// The same, so much later, and its answer is lost.
    LateUnconditional(Duration),
}

/// A request that passes through the proxy.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Counted from 0, in the order of arrival.
    pub number: usize,
    pub is_conditional: bool,
}

impl Request {
    /// Whether it writes the head of a partition.
    pub fn is_head(&self) -> bool {
        self.method == "PUT"
            && self.is_conditional
            && self.name().starts_with("partition-")
            && !self.is_segment()
    }

    fn is_segment(&self) -> bool {
        self.name().contains(".rejected/")
    }

    /// The object's name below the prefix, which is one folder in the bucket.
    pub fn name(&self) -> &str {
        self.path.splitn(4, '/').nth(3).unwrap_or_default()
    }
}

/// A head that a consumer sent: at most one body is made of each version, so the heads that landed form one chain.
#[derive(Clone, Debug)]
pub struct HeadWrite {
    /// The bucket's name, the prefix and the object's name.
    pub path: String,
    pub body: Vec<u8>,
    /// The version that it replaces; none where it is created.
    pub replaces: Option<String>,
    /// Whether the store said that it landed.
    pub is_accepted: bool,
}

impl HeadWrite {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The version of an object: the MD5 of its bytes.
pub fn version_of(bytes: &[u8]) -> String {
    let digest = hash(MessageDigest::md5(), bytes).unwrap();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a head without the member that a directory's file does not have.
pub fn without_member(head: &str) -> String {
    let Some(start) = head.find(",\n \"almanac\":") else { return head.to_owned() };
    let line = start + 2 + head[start + 2..].find('\n').unwrap();
    // What is left is the comma before the first month, or the brace after none.
    format!("{}{}", &head[..start], &head[line - 1..])
}

type Policy = Box<dyn Fn(&Request) -> Fault + Send + Sync>;

/// A proxy before an object store.
pub struct StoreProxy {
    pub address: String,
    shared: Arc<ProxyShared>,
}

struct ProxyShared {
    upstream: String,
    policy: Mutex<Arc<Policy>>,
    /// What happens between a landed request and its answer.
    after: Mutex<Arc<dyn Fn() + Send + Sync>>,
    count: AtomicUsize,
    /// Requests that have not landed yet, and whose client has had its answer.
    late: AtomicUsize,
    is_cut: AtomicBool,
    heads: Mutex<Vec<HeadWrite>>,
    /// How many of them landed.
    accepted: AtomicUsize,
    /// Answers without an object, as it is not a new one.
    not_modified: AtomicUsize,
}

impl StoreProxy {
    pub fn new(upstream: &str, policy: impl Fn(&Request) -> Fault + Send + Sync + 'static) -> StoreProxy {
        StoreProxy::at("127.0.0.1", upstream, policy)
    }

    /// The same at another address of this machine.
    pub fn at(
        host: &str,
        upstream: &str,
        policy: impl Fn(&Request) -> Fault + Send + Sync + 'static,
    ) -> StoreProxy {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(ProxyShared {
            upstream: upstream.to_owned(),
            policy: Mutex::new(Arc::new(Box::new(policy))),
            after: Mutex::new(Arc::new(|| {})),
            count: AtomicUsize::new(0),
            late: AtomicUsize::new(0),
            is_cut: AtomicBool::new(false),
            heads: Mutex::default(),
            accepted: AtomicUsize::new(0),
            not_modified: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || shared.serve(client));
            }
        });
        StoreProxy { address, shared }
    }

    pub fn set(&self, policy: impl Fn(&Request) -> Fault + Send + Sync + 'static) {
        *self.shared.policy.lock().unwrap() = Arc::new(Box::new(policy));
    }

    /// What happens to an [`Fault::Answered`] request between its landing and its answer.
    pub fn set_after(&self, after: impl Fn() + Send + Sync + 'static) {
        *self.shared.after.lock().unwrap() = Arc::new(after);
    }

    /// Whether nothing passes.
    pub fn cut(&self, is_cut: bool) {
        self.shared.is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// Waits until no request is still to land.
    pub fn settle(&self) {
        eventually("late requests land", || self.shared.late.load(Ordering::Relaxed) == 0);
    }

    /// The heads that were sent since the last call.
    pub fn take_heads(&self) -> Vec<HeadWrite> {
        std::mem::take(&mut *self.shared.heads.lock().unwrap())
    }

    /// How many answers were 304.
    pub fn not_modified(&self) -> usize {
        self.shared.not_modified.load(Ordering::Relaxed)
    }

    /// How many heads landed.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl ProxyShared {
    fn serve(self: &Arc<Self>, mut client: TcpStream) {
        let mut rest = Vec::new();
        while let Some((head, body)) = read_message(&mut client, &mut rest) {
            if self.is_cut.load(Ordering::Relaxed) {
                return;
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            let mut words = text.split(' ').map(str::to_owned);
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let request = Request {
                is_conditional: is_conditional(&text) && method == "PUT",
                method,
                path,
                number: self.count.fetch_add(1, Ordering::Relaxed),
            };
            let policy = Arc::clone(&self.policy.lock().unwrap());
            let fault = policy(&request);
            let message = Message { request, head: text, body };
            let answer = match fault {
                Fault::None => self.forward(&message, true),
                Fault::Lost => {
                    self.note(&message, false);
                    return;
                }
                Fault::Unanswered => {
                    self.forward(&message, true);
                    return;
                }
                Fault::Answered => {
                    let answer = self.forward(&message, true);
                    let after = Arc::clone(&self.after.lock().unwrap());
                    after();
                    answer
                }
                Fault::Denied(status) => {
                    self.forward(&message, true);
                    Some(refusal(status))
                }
                Fault::Late(time) | Fault::LateUnconditional(time) => {
                    self.late.fetch_add(1, Ordering::Relaxed);
                    let shared = Arc::clone(self);
                    std::thread::spawn(move || {
                        std::thread::sleep(time);
                        shared.forward(&message, matches!(fault, Fault::Late(_)));
                        shared.late.fetch_sub(1, Ordering::Relaxed);
                    });
                    return;
                }
                Fault::Slow(time) => {
                    std::thread::sleep(time);
                    self.forward(&message, true)
                }
                Fault::Status(status) => {
                    self.note(&message, false);
                    Some(refusal(status))
                }
                Fault::Unconditional => self.forward(&message, false),
            };
            let Some(answer) = answer else { return };
            if client.write_all(&answer).is_err() {
                return;
            }
        }
    }

    fn forward(&self, message: &Message, is_conditional: bool) -> Option<Vec<u8>> {
        // Known before it can be seen.
        let note = self.note(message, false);
        let answer = match is_conditional {
            true => forward(&self.upstream, &message.head, &message.body),
            false => forward(&self.upstream, &without_condition(&message.head), &message.body),
        };
        let is_unmodified = answer.as_ref().is_some_and(|answer| answer.starts_with(b"HTTP/1.1 304"));
        self.not_modified.fetch_add(usize::from(is_unmodified), Ordering::Relaxed);
        let is_accepted = answer.as_ref().is_some_and(|answer| answer.starts_with(b"HTTP/1.1 200"));
        if note && is_accepted {
            self.note(message, true);
        }
        answer
    }

    /// Keeps a head that is sent; `false` for other requests.
    fn note(&self, Message { request, head, body }: &Message, is_accepted: bool) -> bool {
        if !request.is_head() {
            return false;
        }
        let condition = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("if-match").then(|| value.trim().trim_matches('"').to_owned())
        });
        let write =
            HeadWrite { path: request.path.clone(), body: body.clone(), replaces: condition, is_accepted };
        self.heads.lock().unwrap().push(write);
        self.accepted.fetch_add(usize::from(is_accepted), Ordering::Relaxed);
        true
    }
}

/// A request as it came.
struct Message {
    request: Request,
    head: String,
    body: Vec<u8>,
}

fn refusal(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn body_of(answer: &[u8]) -> &[u8] {
    answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(b"", |end| &answer[end + 4..])
}

fn is_conditional(head: &str) -> bool {
    let head = head.to_ascii_lowercase();
    head.contains("if-match:") || head.contains("if-none-match:")
}

fn without_condition(head: &str) -> String {
    head.split("\r\n").filter(|line| !is_conditional(line)).collect::<Vec<_>>().join("\r\n")
}

/// Sends a request over a connection of its own, and reads all of the answer.
fn forward(upstream: &str, head: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut upstream = TcpStream::connect(upstream).ok()?;
    upstream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let head = head.trim_end_matches("\r\n").to_owned() + "\r\nConnection: close\r\n\r\n";
    upstream.write_all(head.as_bytes()).ok()?;
    upstream.write_all(body).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    // The client's connection stays open.
    let kept = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut kept = kept.collect::<Vec<_>>().join("\r\n").into_bytes();
    kept.extend_from_slice(&answer[end..]);
    Some(kept)
}

/// The head and the body of the next request on a connection.
fn read_message(stream: &mut TcpStream, rest: &mut Vec<u8>) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut piece = [0; 64 << 10];
    let end = loop {
        if let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        rest.extend_from_slice(&piece[..count]);
    };
    let head: Vec<u8> = rest.drain(..end).collect();
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap_or(0));
    while rest.len() < length {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        rest.extend_from_slice(&piece[..count]);
    }
    Some((head, rest.drain(..length).collect()))
}
