//! `almanac store check`: whether an object store can keep DIR.

use anyhow::Result;

use super::Refusal;
use crate::cli::{self, StoreAction, StoreCheck};
use crate::store::{self, Raced};

pub fn run(options: &cli::Store) -> Result<()> {
    let StoreAction::Check(StoreCheck { url, races }) = &options.action;
    if !store::is_url(url) {
        let what = format!("{} is a directory, which needs no check", url.display());
        return Err(Refusal::usage(what).hint("name an object store, as in s3://bucket/prefix").into());
    }
    let Raced { races, writes } = store::check_store(url, *races)?;
    super::print(&format!(
        "{}: {writes} conditional writes in {races} races, one winner each\n",
        url.display()
    ))
}
