//! `almanac proto`: the schema of the record's value.

use anyhow::Result;

use crate::report::PROTO;

pub fn run() -> Result<()> {
    super::print(PROTO)
}
