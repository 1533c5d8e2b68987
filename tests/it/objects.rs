//! The object store of the tests, and a proxy before it that loses, delays and damages requests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

use super::support::*;

const BUCKET: &str = "almanac";

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
}

impl Objects {
    pub fn start() -> Option<Objects> {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join(BUCKET)).unwrap();
        let address = free_address();
        let process = Objects::launch(program()?, &address, &data);
        let objects = Objects { process: Mutex::new(process), address, data };
        objects.allow_all();
        Some(objects)
    }

    fn launch(program: &str, address: &str, data: &TempDir) -> Running {
        let root = data.path().to_str().unwrap();
        let process = run_program(&[
            program,
            "--access",
            "test",
            "--secret",
            "testtest",
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
                "test:testtest",
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

    pub fn kill_9(&self) {
        self.process.lock().unwrap().kill_9();
    }

    pub fn start_again(&self) {
        *self.process.lock().unwrap() = Objects::launch(program().unwrap(), &self.address, &self.data);
    }
}

/// `almanac` with its DIR in the object store at this address.
pub fn with_store(almanac: Almanac, address: &str, prefix: &str) -> Almanac {
    almanac
        .env("ALMANAC_DIR", prefix)
        .env("AWS_ENDPOINT_URL", format!("http://{address}"))
        .env("AWS_SKIP_SIGNATURE", "true")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "testtest")
        .env("AWS_REGION", "us-east-1")
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    None,
    /// It never arrives.
    Lost,
    /// It lands, and its answer is lost.
    Unanswered,
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
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.method == "PUT"
            && self.is_conditional
            && name.starts_with("partition-")
            && !self.path.contains("/archive/")
    }
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
    count: AtomicUsize,
    is_cut: AtomicBool,
}

impl StoreProxy {
    pub fn new(upstream: &str, policy: impl Fn(&Request) -> Fault + Send + Sync + 'static) -> StoreProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(ProxyShared {
            upstream: upstream.to_owned(),
            policy: Mutex::new(Arc::new(Box::new(policy))),
            count: AtomicUsize::new(0),
            is_cut: AtomicBool::new(false),
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

    /// Whether nothing passes.
    pub fn cut(&self, is_cut: bool) {
        self.shared.is_cut.store(is_cut, Ordering::Relaxed);
    }
}

impl ProxyShared {
    fn serve(&self, mut client: TcpStream) {
        let mut rest = Vec::new();
        while let Some((head, body)) = read_message(&mut client, &mut rest) {
            if self.is_cut.load(Ordering::Relaxed) {
                return;
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            let mut words = text.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let request = Request {
                method: method.to_owned(),
                path: path.to_owned(),
                number: self.count.fetch_add(1, Ordering::Relaxed),
                is_conditional: is_conditional(&text) && method == "PUT",
            };
            let policy = Arc::clone(&self.policy.lock().unwrap());
            let fault = policy(&request);
            let answer = match fault {
                Fault::None => self.forward(&text, &body),
                Fault::Lost => return,
                Fault::Unanswered => {
                    self.forward(&text, &body);
                    return;
                }
                Fault::Late(time) | Fault::LateUnconditional(time) => {
                    let is_kept = matches!(fault, Fault::Late(_));
                    let text = if is_kept { text } else { without_condition(&text) };
                    let upstream = self.upstream.clone();
                    std::thread::spawn(move || {
                        std::thread::sleep(time);
                        forward(&upstream, &text, &body)
                    });
                    return;
                }
                Fault::Slow(time) => {
                    std::thread::sleep(time);
                    self.forward(&text, &body)
                }
                Fault::Status(status) => {
                    Some(format!("HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\n\r\n").into_bytes())
                }
                Fault::Unconditional => self.forward(&without_condition(&text), &body),
            };
            let Some(answer) = answer else { return };
            if client.write_all(&answer).is_err() {
                return;
            }
        }
    }

    fn forward(&self, head: &str, body: &[u8]) -> Option<Vec<u8>> {
        forward(&self.upstream, head, body)
    }
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
