//! A process's work on files, as strace prints it.

use std::fs;
use std::path::{Path, PathBuf};

/// The calls that change something in DIR or make it durable. The question mark lets strace pass over those that the
/// machine's kernel does not have.
const CHANGES: &str = "openat,write,pwrite64,?ftruncate,flock,fsync,fdatasync,?rename,?renameat,?renameat2,?mkdir,\
    ?mkdirat,?rmdir,?unlink,?unlinkat,?link,?linkat";

/// Those that only look: between a look and what is done about it a process can fall asleep.
const LOOKS: &str = "?statx,?newfstatat,getdents64,read";

/// Those whose first argument may be the handle of a directory in which they give a name.
const BY_NAME: [&str; 8] =
    ["openat", "mkdirat", "unlinkat", "renameat", "renameat2", "linkat", "statx", "newfstatat"];

/// One system call on a file of the place.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    pub path: PathBuf,
    /// The new name, where it gives one.
    pub target: Option<PathBuf>,
    pub bytes: Vec<u8>,
    /// The paths that strace selects by: the directory that a name is relative to, or the path.
    pub places: Vec<PathBuf>,
    arguments: String,
    /// As strace has it, errors and injections included.
    pub result: String,
}

impl Call {
    /// Reads a line of a trace that was made with `-ff -y`; nothing where it is not a call on a file.
    fn parse(line: &str) -> Option<Call> {
        let (name, rest) = line.split_once('(')?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_name) {
            return None;
        }
        let (arguments, result) = rest.rsplit_once(" = ").unwrap_or((rest, "?"));
        let strings = quoted(arguments);
        let of_descriptor = || {
            let (number, path) = arguments.split_once('<')?;
            let path = path.split_once('>')?.0;
            (number.bytes().all(|byte| byte.is_ascii_digit())).then(|| PathBuf::from(path))
        };
        let by_descriptor = of_descriptor().filter(|_| !BY_NAME.contains(&name));
        let (mut named, mut places) = (Vec::new(), Vec::new());
        match &by_descriptor {
            Some(path) => places.push(path.clone()),
            None => {
                let dirs = arguments.split(", ").map(dir_of);
                let dirs: Vec<Option<PathBuf>> = dirs.flatten().collect();
                for (index, string) in strings.iter().enumerate() {
                    let (dir, path) = (dirs.get(index).cloned().flatten(), as_path(string));
                    places.push(dir.clone().unwrap_or_else(|| path.clone()));
                    let whole = dir.map_or_else(|| path.clone(), |dir| dir.join(&path));
                    named.push(whole.components().collect());
                }
            }
        }
        let mut named = named.into_iter();
        let (path, target) = match &by_descriptor {
            Some(path) => (path.clone(), None),
            None => (named.next()?, named.next()),
        };
        let bytes = by_descriptor.and_then(|_| strings.into_iter().next()).unwrap_or_default();
        Some(Call {
            name: name.to_owned(),
            path,
            target,
            bytes,
            places,
            arguments: arguments.to_owned(),
            result: result.trim().to_owned(),
        })
    }

    /// The same with its paths from `root` on; nothing where it is about something else.
    fn below(self, root: &Path) -> Option<Call> {
        let path = self.path.strip_prefix(root).ok()?.to_owned();
        let target = self.target.and_then(|target| Some(target.strip_prefix(root).ok()?.to_owned()));
        let places = self.places.iter().filter_map(|place| Some(place.strip_prefix(root).ok()?.to_owned()));
        Some(Call { path, target, places: places.collect(), ..self })
    }

    pub fn succeeded(&self) -> bool {
        !self.result.starts_with('-') && !self.result.starts_with('?')
    }

    pub fn was_injected(&self) -> bool {
        self.result.contains("(INJECTED)")
    }

    /// Whether it opens a file that it makes where there is none.
    pub fn creates(&self) -> bool {
        self.name == "openat" && self.arguments.contains("O_CREAT")
    }

    pub fn syncs(&self) -> bool {
        self.name == "fsync" || self.name == "fdatasync"
    }

    pub fn removes_temp_of_place(&self) -> bool {
        self.name == "unlinkat"
            && self.path.components().any(|part| part.as_os_str() == "places")
            && self.path.extension().is_some_and(|extension| extension == "tmp")
    }

    pub fn only_looks(&self) -> bool {
        match self.name.as_str() {
            "openat" => !self.creates(),
            "statx" | "newfstatat" | "getdents64" | "read" => true,
            _ => false,
        }
    }

    /// Whether a disk can refuse it.
    pub fn can_fail(&self) -> bool {
        !self.only_looks() && self.name != "flock"
    }

    /// The last argument: the offset of a positioned write, or the length that a file is truncated to.
    pub fn number(&self) -> usize {
        let last = self.arguments.trim_end_matches(')').rsplit(", ").next();
        last.and_then(|number| number.parse().ok()).unwrap()
    }
}

/// The directory that an argument is a handle of; nothing within where it stands for the current one, and nothing at
/// all where the argument is something else.
fn dir_of(argument: &str) -> Option<Option<PathBuf>> {
    let (number, path) = argument.split_once('<')?;
    let path = path.strip_suffix('>')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number || number == "AT_FDCWD").then(|| is_number.then(|| PathBuf::from(path)))
}

fn as_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

/// The strings among the arguments, as they were before strace wrote them down.
fn quoted(arguments: &str) -> Vec<Vec<u8>> {
    let (mut strings, mut open) = (Vec::new(), None::<Vec<u8>>);
    let mut bytes = arguments.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match (&mut open, byte) {
            (None, b'"') => open = Some(Vec::new()),
            (None, _) => {}
            (Some(_), b'"') => strings.extend(open.take()),
            (Some(string), b'\\') => {
                // Octal, of three digits at most.
                let mut code = None::<u32>;
                for _ in 0..3 {
                    let Some(digit) = bytes.next_if(|byte| (b'0'..b'8').contains(byte)) else { break };
                    code = Some(code.unwrap_or(0) * 8 + u32::from(digit - b'0'));
                }
                string.push(code.map_or_else(
                    || match bytes.next() {
                        Some(b'n') => b'\n',
                        Some(b't') => b'\t',
                        Some(b'r') => b'\r',
                        Some(b'v') => 0x0b,
                        Some(b'f') => 0x0c,
                        same => same.unwrap_or(b'\\'),
                    },
                    |code| u8::try_from(code).unwrap(),
                ));
            }
            (Some(string), byte) => string.push(byte),
        }
    }
    strings
}

/// A signal at one call: the n-th of this name on one of these paths.
#[derive(Clone, Debug)]
pub struct Injection {
    pub call: String,
    pub paths: Vec<PathBuf>,
    pub nth: usize,
    /// In strace's words.
    pub what: &'static str,
}

/// strace and its files, one a thread, so that no line is torn by another's.
pub struct Trace(PathBuf);

impl Trace {
    pub fn new(prefix: PathBuf) -> Trace {
        Trace(prefix)
    }

    /// The command line before the traced one's. With an injection only what is done on its paths is traced, and only
    /// that is counted by strace: what the process does elsewhere can't shift the count.
    pub fn wrapper(&self, injection: Option<&Injection>) -> Vec<String> {
        let mut wrapper: Vec<String> =
            ["strace", "-f", "-ff", "-y", "-s", "1000000", "-o"].map(str::to_owned).to_vec();
        wrapper.push(self.0.display().to_string());
        wrapper.extend(["-e".to_owned(), format!("trace={CHANGES},{LOOKS}")]);
        if let Some(Injection { call, paths, nth, what }) = injection {
            wrapper.extend(paths.iter().flat_map(|path| ["-P".to_owned(), path.display().to_string()]));
            wrapper.extend(["-e".to_owned(), format!("inject={call}:{what}:when={nth}")]);
        }
        wrapper
    }

    fn files(&self) -> Vec<(u32, String)> {
        let name = format!("{}.", self.0.file_name().unwrap().to_str().unwrap());
        let entries = fs::read_dir(self.0.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let thread = |path: &Path| path.file_name()?.to_str()?.strip_prefix(&name)?.parse().ok();
        entries.filter_map(|path| Some((thread(&path)?, fs::read_to_string(&path).ok()?))).collect()
    }

    /// The process, which is the one thread of it that works at or below `root`; that work; and whether it is stopped.
    pub fn work(&self, root: &Path) -> Option<Work> {
        let named = root.to_str().unwrap();
        let work = |(process, text): (u32, String)| {
            // The last line may still be being written.
            let lines =
                text.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.contains(named));
            let calls: Vec<Call> = lines.filter_map(|line| Call::parse(line)?.below(root)).collect();
            let is_stopped = text.contains("--- stopped by SIGSTOP ---");
            (!calls.is_empty()).then_some(Work { process, calls, is_stopped })
        };
        let mut found: Vec<Work> = self.files().into_iter().filter_map(work).collect();
        if found.len() > 1 {
            // Of a process that is killed, strace may repeat the last call of one thread, as unfinished, at the end of another.
            found.retain(|work| !matches!(&work.calls[..], [call] if call.arguments.contains("<unfinished")));
        }
        assert!(found.len() < 2, "one thread alone works in DIR: {found:#?}");
        found.pop()
    }
}

/// The calls of a process.
#[derive(Debug)]
pub struct Work {
    pub process: u32,
    pub calls: Vec<Call>,
    pub is_stopped: bool,
}
