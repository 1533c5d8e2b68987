//! Zip archives with one file of daily temperatures, as DWD, KNMI and others publish them.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::error::{SourceError, listed};
use super::options::Options;
use super::weather::Weather;
use super::{HEAD_LENGTH, encoding, read, recognise};

/// The first bytes of an archive.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// The longest archive, since its table of contents is at its end. Those of one station have 2 MB.
const LENGTH_MAX: u64 = 256 << 20;

/// The most members that are looked into.
const MEMBERS_MAX: usize = 1000;

/// Reads the only member whose format is known, or that fits the `options`.
pub(super) fn read_member(name: &str, bytes: impl Read, options: &Options) -> Result<Weather, SourceError> {
    let archive = |why: String| SourceError::Archive { name: name.to_owned(), why };
    let mut content = Vec::new();
    let length = bytes.take(LENGTH_MAX + 1).read_to_end(&mut content);
    if length.map_err(|error| SourceError::read(name, error))? as u64 > LENGTH_MAX {
        return Err(archive(format!("it has more than {LENGTH_MAX} bytes")));
    }
    let broken = |error: ZipError| archive(error.to_string());
    let mut zip = ZipArchive::new(Cursor::new(content)).map_err(broken)?;
    if zip.len() > MEMBERS_MAX {
        return Err(archive(format!("it has more than {MEMBERS_MAX} members")));
    }
    let mut all = Vec::new();
    let mut found = Vec::new();
    for index in 0..zip.len() {
        let mut member = zip.by_index(index).map_err(broken)?;
        if !member.is_file() {
            continue;
        }
        let label = member.name().map_err(broken)?.into_owned();
        let mut start = Vec::new();
        member
            .by_ref()
            .take(HEAD_LENGTH)
            .read_to_end(&mut start)
            .map_err(|error| SourceError::read(name, error))?;
        let mut head = Vec::new();
        // From memory, so without an error.
        let _ = encoding::decoded(start, std::io::empty()).read_to_end(&mut head);
        if fits(&head, &label, options) {
            found.push((index, label.clone()));
        }
        all.push(label);
    }
    let labels = |labels: &mut dyn Iterator<Item = &String>| listed(labels.map(String::as_bytes));
    match found.as_slice() {
        [(index, label)] => {
            let member = zip.by_index(*index).map_err(broken)?;
            read(&format!("{name}/{label}"), member, options)
        }
        [] => Err(SourceError::NoMember { name: name.to_owned(), members: labels(&mut all.iter()) }),
        several => {
            let members = labels(&mut several.iter().map(|(_, label)| label));
            Err(SourceError::SeveralMembers { name: name.to_owned(), count: several.len(), members })
        }
    }
}

/// Whether a member may hold the temperatures.
fn fits(head: &[u8], label: &str, options: &Options) -> bool {
    match options.describes_csv() {
        true => super::table::fits(head, options),
        false => recognise(head, label, options).is_some(),
    }
}
