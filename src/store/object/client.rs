//! Requests to an object store, made from threads that wait for them.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use object_store::path::Path as Key;
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion,
};
use tokio::runtime::Runtime;

use super::bucket::{innermost, open_bucket, reason_of, runtime};
use super::decision::{Answer, Fate, Found, Next, Write, fate, next};
use crate::store::error::StoreError;

/// How long one request may take, and how much longer for each byte that is sent: as of a slow line.
const REQUEST_MAX: Duration = Duration::from_secs(5);
const BYTES_PER_SECOND_MIN: u64 = 1 << 20;

/// How long it is tried again, before the caller hears that the store is away. The request under way may take longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// The most bytes of an object that is neither a head nor a segment.
pub(super) const SMALL_BYTES_MAX: u64 = 1 << 20;

/// The pause before the next attempt, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// An object that was read.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub bytes: Bytes,
    pub version: UpdateVersion,
    pub modified: Timestamp,
}

impl Object {
    /// Its version in one text.
    pub fn tag(&self) -> String {
        let UpdateVersion { e_tag, version } = &self.version;
        format!("{} {}", e_tag.as_deref().unwrap_or(""), version.as_deref().unwrap_or(""))
    }
}

/// The result of a write.
#[derive(Debug)]
pub(super) enum Put {
    Landed(UpdateVersion),
    /// Another writer's object is there, or none.
    Lost(Option<Object>),
}

/// What has come of a write that was begun only.
#[derive(Debug, Default)]
pub(super) struct Begun {
    is_done: AtomicBool,
    is_changed: AtomicBool,
}

impl Begun {
    pub(super) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }

    /// Whether the object that was watched had another version, or was gone.
    pub(super) fn has_seen_change(&self) -> bool {
        self.is_done() && self.is_changed.load(Ordering::Relaxed)
    }
}

/// Why a request failed.
#[derive(Debug)]
struct Failed {
    answer: Answer,
    is_missing: bool,
    is_unmodified: bool,
    reason: String,
}

/// A prefix of an object store.
#[derive(Debug)]
pub(super) struct Client {
    url: PathBuf,
    prefix: String,
    store: Arc<dyn ObjectStore>,
    runtime: &'static Runtime,
    /// Whether the last request was answered.
    is_answering: AtomicBool,
    /// The object read last, so that an unchanged one is not sent again.
    cache: Mutex<HashMap<String, Object>>,
}

impl Client {
    pub(super) fn open(url: &Path) -> Result<Client, StoreError> {
        let text = url.to_str().unwrap_or_default();
        let bad = |reason: String| StoreError::BadUrl { url: url.to_owned(), reason };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("it is not a URL".to_owned()))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if bucket.is_empty() || rest.contains(['?', '#', '@']) {
            return Err(bad("it names no bucket".to_owned()));
        }
        Key::parse(prefix).map_err(|error| bad(reason_of(&error)))?;
        let runtime = runtime().map_err(|error| bad(error.to_string()))?;
        let store = open_bucket(scheme, &format!("{scheme}://{bucket}")).map_err(bad)?;
        Ok(Client {
            url: url.to_owned(),
            prefix: prefix.to_owned(),
            store,
            runtime,
            is_answering: AtomicBool::new(true),
            cache: Mutex::default(),
        })
    }

    pub(super) fn url(&self) -> &Path {
        &self.url
    }

    /// The URL of an object, for errors.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.url.join(name)
    }

    pub(super) fn is_answering(&self) -> bool {
        self.is_answering.load(Ordering::Relaxed)
    }

    fn key(&self, name: &str) -> Result<Key, StoreError> {
        let whole = if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) };
        Key::parse(whole).map_err(|error| StoreError::unreadable(&self.path(name), error))
    }

    /// Makes one request. It may still land after this gave up.
    fn wait<T>(&self, bytes: usize, request: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
        let time = REQUEST_MAX + Duration::from_secs(bytes as u64 / BYTES_PER_SECOND_MIN);
        let timed = async { tokio::time::timeout(time, request).await };
        let done = match self.runtime.block_on(timed) {
            Ok(done) => done.map_err(|error| Failed::of(&error)),
            Err(_) => Err(Failed::unknown(format!("no answer for {} s", time.as_secs()))),
        };
        let is_answered = !matches!(&done, Err(Failed { answer: Answer::Unknown, is_unmodified: false, .. }));
        self.is_answering.store(is_answered, Ordering::Relaxed);
        done
    }

    /// Makes a request that changes nothing, again and again until it is answered.
    fn read<T, F: Future<Output = Result<T, Error>>>(
        &self,
        name: &str,
        request: impl Fn() -> F,
    ) -> Result<Result<T, Failed>, StoreError> {
        let mut attempts = Attempts::new(PATIENCE);
        loop {
            match self.wait(0, request()) {
                Err(failed) if failed.is_missing || failed.is_unmodified => return Ok(Err(failed)),
                Err(failed) if failed.answer == Answer::Denied => {
                    return Err(self.denied(name, failed.reason));
                }
                Err(failed) if !attempts.again() => return Err(self.away(failed.reason)),
                Err(_) => {}
                Ok(done) => return Ok(Ok(done)),
            }
        }
    }

    /// Reads an object; nothing if there is none. What is known already is not sent again.
    pub(super) fn get(&self, name: &str, bytes_max: u64) -> Result<Option<Object>, StoreError> {
        let key = self.key(name)?;
        let known = self.lock().get(name).cloned();
        let tag = known.as_ref().and_then(|known| known.version.e_tag.clone());
        let request = || {
            let options = GetOptions { if_none_match: tag.clone(), ..GetOptions::default() };
            self.fetch(&key, options, bytes_max)
        };
        let found = match self.read(name, request)? {
            Ok(found) => found,
            Err(failed) if failed.is_unmodified => return Ok(known),
            Err(_) => {
                self.lock().remove(name);
                return Ok(None);
            }
        };
        let Some(object) = found else {
            let reason = format_args!("it has more than {bytes_max} bytes");
            return Err(StoreError::unreadable(&self.path(name), reason));
        };
        // A segment never changes, and is read once.
        if !name.contains(".rejected/") {
            self.lock().insert(name.to_owned(), object.clone());
        }
        Ok(Some(object))
    }

    async fn fetch(&self, key: &Key, options: GetOptions, bytes_max: u64) -> Result<Option<Object>, Error> {
        let found = self.store.get_opts(key, options).await?;
        let ObjectMeta { e_tag, version, last_modified, size, .. } = found.meta.clone();
        if size > bytes_max {
            return Ok(None);
        }
        let modified = timestamp(last_modified.timestamp());
        let bytes = found.bytes().await?;
        Ok(Some(Object { bytes, version: UpdateVersion { e_tag, version }, modified }))
    }

    /// The object as it was read last, without a request.
    pub(super) fn known(&self, name: &str) -> Option<Object> {
        self.lock().get(name).cloned()
    }

    /// When an object was replaced last, by the store's clock.
    pub(super) fn modified(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        let key = self.key(name)?;
        let found = self.read(name, || async { self.store.head(&key).await })?;
        Ok(found.ok().map(|meta| timestamp(meta.last_modified.timestamp())))
    }

    /// The objects whose names begin with `folder/`: the rest of their names, and when each was written. Not safe to
    /// decide on.
    pub(super) fn list(&self, folder: &str) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let prefix = if folder.is_empty() { Key::from(self.prefix.as_str()) } else { self.key(folder)? };
        let request = || async { self.store.list(Some(&prefix)).try_collect::<Vec<ObjectMeta>>().await };
        let found = match self.read(folder, request)? {
            Ok(found) => found,
            Err(_) => return Err(StoreError::NoDir { dir: self.url.clone() }),
        };
        let name = |meta: &ObjectMeta| {
            let parts = meta.location.prefix_match(&prefix)?;
            let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
            Some((parts.join("/"), timestamp(meta.last_modified.timestamp())))
        };
        Ok(found.iter().filter_map(name).collect())
    }

    /// The objects directly below the prefix.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        let prefix = Key::from(self.prefix.as_str());
        let request = || async { self.store.list_with_delimiter(Some(&prefix)).await };
        let found = match self.read("", request)? {
            Ok(found) => found,
            Err(_) => return Err(StoreError::NoDir { dir: self.url.clone() }),
        };
        Ok(found.objects.iter().filter_map(|meta| meta.location.filename().map(str::to_owned)).collect())
    }

    /// Writes an object whatever is there: pictures and statuses only.
    pub(super) fn overwrite(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let key = self.key(name)?;
        let mut attempts = Attempts::new(PATIENCE);
        loop {
            match self.wait(bytes.len(), self.send(&key, bytes, PutMode::Overwrite)) {
                Ok(_) => return Ok(()),
                Err(Failed { answer: Answer::Denied | Answer::NoBucket, reason, .. }) => {
                    return Err(self.denied(name, reason));
                }
                Err(failed) if !attempts.again() => return Err(self.away(failed.reason)),
                Err(_) => {}
            }
        }
    }

    /// The same, begun only: nobody waits for it. Looks then whether `watched` still has this version.
    pub(super) fn begin_overwrite(
        &self,
        name: &str,
        bytes: Bytes,
        watched: Option<(&str, UpdateVersion)>,
    ) -> Result<Arc<Begun>, StoreError> {
        let (key, store) = (self.key(name)?, Arc::clone(&self.store));
        let watched = watched.map(|(name, version)| Ok((self.key(name)?, version))).transpose()?;
        let begun = Arc::new(Begun::default());
        let result = Arc::clone(&begun);
        self.runtime.spawn(async move {
            match tokio::time::timeout(REQUEST_MAX, store.put(&key, bytes.into())).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a status was not written"),
                Err(_) => tracing::debug!("a status was not written in time"),
            }
            if let Some((key, version)) = watched {
                let looked = tokio::time::timeout(REQUEST_MAX, store.head(&key)).await;
                result.is_changed.store(is_changed(&looked, &version), Ordering::Relaxed);
            }
            result.is_done.store(true, Ordering::Release);
        });
        Ok(begun)
    }

    pub(super) fn delete(&self, name: &str) -> Result<(), StoreError> {
        let key = self.key(name)?;
        self.read(name, || self.store.delete(&key)).map(drop)
    }

    async fn send(&self, key: &Key, bytes: &Bytes, mode: PutMode) -> Result<UpdateVersion, Error> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let done = self.store.put_opts(key, bytes.clone().into(), options).await?;
        Ok(UpdateVersion { e_tag: done.e_tag, version: done.version })
    }

    /// One conditional write, not repeated: whether it won, or nothing if that is not known.
    pub(super) async fn race(
        &self,
        name: &str,
        bytes: Bytes,
        mode: PutMode,
    ) -> Option<Option<UpdateVersion>> {
        let key = self.key(name).ok()?;
        match tokio::time::timeout(REQUEST_MAX, self.send(&key, &bytes, mode)).await {
            Ok(Ok(version)) => Some(Some(version)),
            Ok(Err(error)) => match Failed::of(&error).answer {
                Answer::Mismatch | Answer::Conflict => Some(None),
                _ => None,
            },
            Err(_) => None,
        }
    }

    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Creates an object; one with the same bytes that is there already will do.
    pub(super) fn create(&self, name: &str, bytes: &Bytes, patience: Duration) -> Result<Put, StoreError> {
        self.write(Write::Create, name, bytes, &PutMode::Create, patience)
    }

    /// Replaces this version of an object.
    pub(super) fn replace(
        &self,
        name: &str,
        bytes: &Bytes,
        version: &UpdateVersion,
        patience: Duration,
    ) -> Result<Put, StoreError> {
        self.write(Write::Replace, name, bytes, &PutMode::Update(version.clone()), patience)
    }

    /// The only write that matters: the very same bytes, until their fate is known.
    fn write(
        &self,
        write: Write,
        name: &str,
        bytes: &Bytes,
        mode: &PutMode,
        patience: Duration,
    ) -> Result<Put, StoreError> {
        let key = self.key(name)?;
        let mut attempts = Attempts::new(patience);
        loop {
            let (answer, version, reason) = match self.wait(bytes.len(), self.send(&key, bytes, mode.clone()))
            {
                Ok(version) => (Answer::Done, Some(version), String::new()),
                Err(failed) => (failed.answer, None, failed.reason),
            };
            match (next(write, answer), version) {
                (Next::Landed, Some(version)) => return Ok(Put::Landed(version)),
                (Next::Fail, _) => return Err(self.denied(name, reason)),
                (Next::ReadBack, _) | (Next::Landed, None) => {
                    let found = self.get(name, u64::MAX)?;
                    let is_same = found.as_ref().map(|found| found.bytes == *bytes);
                    let what = match is_same {
                        None => Found::Nothing,
                        Some(true) => Found::Same,
                        Some(false) => Found::Other,
                    };
                    match (fate(write, what), found) {
                        (Fate::Landed, Some(found)) => return Ok(Put::Landed(found.version)),
                        (Fate::Lost, found) => return Ok(Put::Lost(found)),
                        (Fate::SendAgain, _) | (Fate::Landed, None) => {}
                    }
                }
                (Next::SendAgain, _) => {}
            }
            if !attempts.again() {
                return Err(self.away(reason));
            }
        }
    }

    pub(super) fn away(&self, reason: String) -> StoreError {
        StoreError::Away { url: self.url.clone(), reason }
    }

    fn denied(&self, name: &str, reason: String) -> StoreError {
        StoreError::Denied { url: self.path(name), reason }
    }

    /// A panic elsewhere leaves no object in half.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Object>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an answer shows another version than this. No answer shows nothing.
fn is_changed<T>(looked: &Result<Result<ObjectMeta, Error>, T>, version: &UpdateVersion) -> bool {
    match looked {
        Ok(Ok(meta)) => meta.e_tag != version.e_tag,
        Ok(Err(error)) => matches!(error, Error::NotFound { .. }),
        Err(_) => false,
    }
}

impl Failed {
    fn unknown(reason: String) -> Failed {
        Failed { answer: Answer::Unknown, is_missing: false, is_unmodified: false, reason }
    }

    fn of(error: &Error) -> Failed {
        let answer = match error {
            Error::Precondition { .. } => Answer::Mismatch,
            Error::AlreadyExists { .. } => Answer::Conflict,
            Error::NotFound { .. } => Answer::NoBucket,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Answer::Denied,
            _ => Answer::Unknown,
        };
        let reason = reason_of(error);
        // Of a list or a deletion it is not told from other errors.
        let text = innermost(error);
        let is_denied = ["status code: 401", "status code: 403"].iter().any(|status| text.contains(status));
        let is_denied = is_denied || reason.contains("bucket does not exist");
        let answer = if is_denied { Answer::Denied } else { answer };
        Failed {
            answer,
            is_missing: matches!(error, Error::NotFound { .. }),
            is_unmodified: matches!(error, Error::NotModified { .. }),
            reason,
        }
    }
}

/// Attempts at the same request.
struct Attempts {
    until: Instant,
    pause: Duration,
}

impl Attempts {
    fn new(patience: Duration) -> Attempts {
        Attempts { until: Instant::now() + patience, pause: PAUSE_MIN }
    }

    /// Waits for the next one; `false`: it has taken long enough.
    fn again(&mut self) -> bool {
        if Instant::now() + self.pause > self.until {
            return false;
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_bucket_and_a_prefix() {
        for (url, reason) in [
            ("ftp://bucket/prefix", "ftp:// is unknown"),
            ("s3://", "it names no bucket"),
            ("s3:///prefix", "it names no bucket"),
            ("s3://bucket/pre?fix", "it names no bucket"),
            ("s3://bucket/a//b", "empty path segment"),
        ] {
            let error = Client::open(Path::new(url)).expect_err(url).to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
        let client = Client::open(Path::new("s3://bucket/prefix/")).unwrap();
        assert_eq!(client.prefix, "prefix");
    }
}
