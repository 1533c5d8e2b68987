//! In place of `object`, in a build without object stores.

use std::path::Path;
use std::sync::Arc;

use super::error::StoreError;
use super::keep::{Reader, Store};

/// See `object::Raced`.
#[derive(Clone, Copy, Debug)]
pub struct Raced {
    pub races: u32,
    pub writes: u32,
}

fn refused<T>(url: &Path) -> Result<T, StoreError> {
    let reason = "this almanac was built without the feature object-store".to_owned();
    Err(StoreError::BadUrl { url: url.to_owned(), reason })
}

pub(super) fn open(url: &Path) -> Result<Box<dyn Store>, StoreError> {
    refused(url)
}

pub(super) fn reader(url: &Path) -> Result<Arc<dyn Reader>, StoreError> {
    refused(url)
}

pub(super) fn get(url: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    refused(url)
}

pub(super) fn put(url: &Path, _: &[u8]) -> Result<(), StoreError> {
    refused(url)
}

pub(super) fn check_store(url: &Path, _: u32) -> Result<Raced, StoreError> {
    refused(url)
}
