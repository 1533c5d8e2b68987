//! The client of a bucket, made of the environment.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use tokio::runtime::{Builder, Runtime};

use super::crypto::OpenSsl;

/// The longest reason in an error: a store may answer with a page.
const REASON_CHARS_MAX: usize = 200;

/// Shared by all, and never dropped: a reader may be let go on a thread of another runtime.
pub(super) fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime =
        Builder::new_multi_thread().worker_threads(1).thread_name("objects").enable_all().build()?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// One client for each bucket: to make one takes longer than all of a start, as it reads the system's certificates twice.
pub(super) fn open_bucket(scheme: &str, url: &str) -> Result<Arc<dyn ObjectStore>, String> {
    static KNOWN: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = known.get(url) {
        return Ok(Arc::clone(store));
    }
    let store = connect(scheme, url)?;
    known.insert(url.to_owned(), Arc::clone(&store));
    Ok(store)
}

/// Credentials, region and endpoint come from the environment, as each cloud's own tools take them.
fn connect(scheme: &str, url: &str) -> Result<Arc<dyn ObjectStore>, String> {
    // A conditional write that is repeated by the client looks refused although it landed.
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let has_http = |name: &str| std::env::var(name).is_ok_and(|endpoint| endpoint.starts_with("http://"));
    let is_http = ["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"].into_iter().any(has_http)
        || std::env::var("AZURE_STORAGE_USE_EMULATOR").is_ok();
    let options = ClientOptions::new()
        .with_allow_http(is_http)
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(3));
    let crypto = Arc::new(OpenSsl);
    let store: Arc<dyn ObjectStore> = match scheme {
        "s3" => Arc::new(
            AmazonS3Builder::from_env()
                .with_url(url)
                .with_disable_bulk_delete(true)
                .with_retry(retry)
                .with_client_options(options)
                .with_crypto_provider(crypto)
                .build()
                .map_err(|error| reason_of(&error))?,
        ),
        "gs" => Arc::new(
            GoogleCloudStorageBuilder::from_env()
                .with_url(url)
                .with_retry(retry)
                .with_client_options(options)
                .with_crypto_provider(crypto)
                .build()
                .map_err(|error| reason_of(&error))?,
        ),
        "az" => Arc::new(
            MicrosoftAzureBuilder::from_env()
                .with_url(url)
                .with_retry(retry)
                .with_client_options(options)
                .with_crypto_provider(crypto)
                .build()
                .map_err(|error| reason_of(&error))?,
        ),
        other => return Err(format!("{other}:// is unknown; s3://, gs:// and az:// are known")),
    };
    Ok(store)
}

pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The innermost cause in one line, and of a store's page of XML its message.
pub(super) fn reason_of(error: &dyn std::error::Error) -> String {
    let text = innermost(error);
    let message = text.split_once("<Message>").and_then(|(_, rest)| rest.split_once("</Message>"));
    let line = match message {
        Some((message, _)) => message,
        None => text.lines().next().unwrap_or_default(),
    };
    line.trim_end_matches([':', ' ']).chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line() {
        let page = "Server returned non-2xx status code: 503 Service Unavailable: <?xml?><Message>slow\ndown</Message>";
        let error = io::Error::other(page);
        assert_eq!(reason_of(&error), "slow\ndown");
        assert_eq!(reason_of(&io::Error::other("one\ntwo")), "one");
    }
}
