//! A disk that loses, at a power cut, what it was not told to keep.
//!
//! It promises no more than POSIX does: fsync of a file keeps that file's data, and fsync of a directory keeps its
//! names. Neither does the other's work. Data that was not synced may be lost: all of it, its end, or the bytes but
//! not the length. Each name that was not synced may be lost, in any order. The model leaves out sectors that are
//! damaged after a sync, and disks that say "kept" and lie.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::trace::Call;

/// A directory's content: bytes of files, nothing for directories.
pub type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Everything below `root`.
pub fn read_tree(root: &Path) -> Tree {
    fn read(root: &Path, dir: &Path, tree: &mut Tree) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(root).unwrap().to_owned();
            if path.is_dir() {
                tree.insert(name, None);
                read(root, &path, tree);
            } else {
                tree.insert(name, Some(fs::read(&path).unwrap()));
            }
        }
    }
    let mut tree = Tree::new();
    read(root, root, &mut tree);
    tree
}

pub fn write_tree(root: &Path, tree: &Tree) {
    for (name, content) in tree {
        match content {
            None => fs::create_dir(root.join(name)).unwrap(),
            Some(bytes) => fs::write(root.join(name), bytes).unwrap(),
        }
    }
}

type Id = usize;
type Names = BTreeMap<String, Id>;

#[derive(Clone)]
enum Node {
    File { kept: Vec<u8>, now: Vec<u8> },
    Dir { kept: Names, now: Names },
}

/// A name given or taken away, in a directory that has not been synced since.
#[derive(Clone)]
struct Change {
    dir: Id,
    name: String,
    node: Option<Id>,
}

/// The state of data that was not synced, after a power cut.
#[derive(Clone, Copy)]
enum Data {
    Kept,
    Lost,
    Torn,
    Zeroed,
    /// The later half reached the disk, the earlier did not.
    Holed,
}

/// A disk with one place on it.
#[derive(Clone)]
pub struct Disk {
    nodes: Vec<Node>,
    pending: Vec<Change>,
}

const ROOT: Id = 0;

impl Disk {
    /// One that keeps `tree`.
    pub fn new(tree: &Tree) -> Disk {
        let empty = || Node::Dir { kept: Names::new(), now: Names::new() };
        let mut disk = Disk { nodes: vec![empty()], pending: Vec::new() };
        for (name, content) in tree {
            let node = match content {
                None => empty(),
                Some(bytes) => Node::File { kept: bytes.clone(), now: bytes.clone() },
            };
            disk.add(name, node);
        }
        for node in &mut disk.nodes {
            if let Node::Dir { kept, now } = node {
                kept.clone_from(now);
            }
        }
        disk.pending.clear();
        disk
    }

    /// Does what a call that succeeded did.
    pub fn apply(&mut self, call: &Call) {
        if !call.succeeded() {
            return;
        }
        match call.name.as_str() {
            "openat" if call.creates() && self.find(&call.path).is_none() => {
                self.add(&call.path, Node::File { kept: Vec::new(), now: Vec::new() });
            }
            "write" => self.file(&call.path).extend_from_slice(&call.bytes),
            "pwrite64" => {
                let (start, file) = (call.number(), self.file(&call.path));
                file.resize(file.len().max(start + call.bytes.len()), 0);
                file[start..start + call.bytes.len()].copy_from_slice(&call.bytes);
            }
            "ftruncate" => self.file(&call.path).resize(call.number(), 0),
            "fsync" | "fdatasync" => self.sync(&call.path),
            "mkdir" | "mkdirat" => self.add(&call.path, Node::Dir { kept: Names::new(), now: Names::new() }),
            "rename" | "renameat" | "renameat2" => {
                self.link(&call.path, call.target.as_ref().unwrap());
                self.remove(&call.path);
            }
            "link" | "linkat" => self.link(&call.path, call.target.as_ref().unwrap()),
            "unlink" | "unlinkat" | "rmdir" => self.remove(&call.path),
            _ => {}
        }
    }

    fn find(&self, path: &Path) -> Option<Id> {
        path.components().try_fold(ROOT, |dir, component| {
            let (Node::Dir { now, .. }, Component::Normal(name)) = (&self.nodes[dir], component) else {
                return None;
            };
            now.get(name.to_str()?).copied()
        })
    }

    fn file(&mut self, path: &Path) -> &mut Vec<u8> {
        let id = self.find(path).unwrap_or_else(|| panic!("no {} in the model", path.display()));
        let Node::File { now, .. } = &mut self.nodes[id] else { panic!("{} is not a file", path.display()) };
        now
    }

    fn add(&mut self, path: &Path, node: Node) {
        self.nodes.push(node);
        self.change(path, Some(self.nodes.len() - 1));
    }

    fn link(&mut self, from: &Path, to: &Path) {
        let node = self.find(from);
        assert!(node.is_some(), "no {} in the model", from.display());
        self.change(to, node);
    }

    fn remove(&mut self, path: &Path) {
        self.change(path, None);
    }

    fn change(&mut self, path: &Path, node: Option<Id>) {
        let dir = self.find(path.parent().unwrap());
        let dir = dir.unwrap_or_else(|| panic!("nothing above {} in the model", path.display()));
        let change = Change { dir, name: path.file_name().unwrap().to_str().unwrap().to_owned(), node };
        if let Node::Dir { now, .. } = &mut self.nodes[dir] {
            change.make(now);
        }
        self.pending.push(change);
    }

    fn sync(&mut self, path: &Path) {
        let Some(id) = self.find(path) else { return };
        match &mut self.nodes[id] {
            Node::File { kept, now } => kept.clone_from(now),
            Node::Dir { kept, now } => {
                kept.clone_from(now);
                self.pending.retain(|change| change.dir != id);
            }
        }
    }

    /// The files as a process sees them without a power cut.
    pub fn tree(&self) -> Tree {
        self.after_cut(|_| true, Data::Kept)
    }

    /// Each state that a power cut at this moment may leave. Of the names not yet kept, it keeps none, all, the first
    /// so many, or all but one. Each of these comes with every fate of the data.
    pub fn each_after_cut(&self, mut see: impl FnMut(Tree)) {
        let unkept = self.pending.len();
        for data in [Data::Kept, Data::Lost, Data::Torn, Data::Zeroed, Data::Holed] {
            for first in 0..=unkept {
                see(self.after_cut(|index| index < first, data));
            }
            for lost in 0..unkept.saturating_sub(1) {
                see(self.after_cut(|index| index != lost, data));
            }
        }
    }

    fn after_cut(&self, keeps: impl Fn(usize) -> bool, data: Data) -> Tree {
        let mut dirs: BTreeMap<Id, Names> = BTreeMap::new();
        for (id, node) in self.nodes.iter().enumerate() {
            if let Node::Dir { kept, .. } = node {
                dirs.insert(id, kept.clone());
            }
        }
        for (_, change) in self.pending.iter().enumerate().filter(|(index, _)| keeps(*index)) {
            if let Some(names) = dirs.get_mut(&change.dir) {
                change.make(names);
            }
        }
        let mut tree = Tree::new();
        let mut open = vec![(ROOT, PathBuf::new())];
        while let Some((dir, path)) = open.pop() {
            for (name, id) in &dirs[&dir] {
                let path = path.join(name);
                match &self.nodes[*id] {
                    Node::Dir { .. } => {
                        open.push((*id, path.clone()));
                        tree.insert(path, None);
                    }
                    Node::File { kept, now } => {
                        tree.insert(path, Some(data.of(kept, now)));
                    }
                }
            }
        }
        tree
    }
}

impl Change {
    fn make(&self, names: &mut Names) {
        match self.node {
            Some(node) => names.insert(self.name.clone(), node),
            None => names.remove(&self.name),
        };
    }
}

impl Data {
    fn of(self, kept: &[u8], now: &[u8]) -> Vec<u8> {
        // A file that is overwritten in place, and not appended to, is there in its old or its new form.
        let Some(fresh) = now.strip_prefix(kept) else {
            return if matches!(self, Data::Kept) { now.to_owned() } else { kept.to_owned() };
        };
        let half = fresh.len() / 2;
        let end = match self {
            Data::Kept => fresh.to_owned(),
            Data::Lost => Vec::new(),
            Data::Torn => fresh[..half].to_owned(),
            Data::Zeroed => vec![0; fresh.len()],
            Data::Holed => [&vec![0; half], &fresh[half..]].concat(),
        };
        [kept, &end].concat()
    }
}
