//! Excerpts of bytes that may be too long to keep: the first bytes, their number and their hash. No IO.

use sha2::{Digest, Sha256};

/// How many bytes of a rejected key or value are kept. Of a longer one, the excerpt also has its length and SHA-256.
pub const KEPT_BYTES_MAX: usize = 4096;

/// Bytes, or what identifies them where there are more than [`KEPT_BYTES_MAX`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Excerpt {
    /// All bytes, or the first [`KEPT_BYTES_MAX`] of them.
    pub first: Vec<u8>,
    /// How many bytes there are in all.
    pub length: u64,
    /// Of all bytes, where `first` does not hold them.
    pub sha256: Option<[u8; 32]>,
}

impl Excerpt {
    pub fn of(bytes: &[u8]) -> Excerpt {
        let mut builder = ExcerptBuilder::default();
        builder.push(bytes);
        builder.finish()
    }
}

/// Makes an [`Excerpt`] of bytes that come piece by piece. Its memory does not grow with them.
#[derive(Clone, Debug, Default)]
pub struct ExcerptBuilder {
    first: Vec<u8>,
    length: u64,
    /// Of all bytes so far, once there are too many to be kept.
    hash: Option<Sha256>,
}

impl ExcerptBuilder {
    pub fn push(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len() as u64);
        let room = KEPT_BYTES_MAX - self.first.len();
        if bytes.len() <= room {
            self.first.extend_from_slice(bytes);
            return;
        }
        let hash = self.hash.get_or_insert_with(|| Sha256::new_with_prefix(&self.first));
        hash.update(bytes);
        self.first.extend(bytes.iter().take(room));
    }

    pub fn finish(self) -> Excerpt {
        let sha256 = self.hash.map(|hash| hash.finalize().into());
        Excerpt { first: self.first, length: self.length, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_bytes_are_kept_whole() {
        for length in [0, 1, KEPT_BYTES_MAX] {
            let bytes = vec![b'x'; length];
            let expected = Excerpt { first: bytes.clone(), length: length as u64, sha256: None };
            assert_eq!(Excerpt::of(&bytes), expected);
        }
    }

    #[test]
    fn long_bytes_are_known_by_its_length_and_hash() {
        let mut bytes = vec![b'a'; 1_000_000];
        let excerpt = Excerpt::of(&bytes);
        assert_eq!((excerpt.first.len(), excerpt.length), (KEPT_BYTES_MAX, 1_000_000));
        // The example of FIPS 180-2.
        let hex: String = excerpt.sha256.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
        bytes[999_999] = b'b';
        assert_ne!(Excerpt::of(&bytes), excerpt);
    }

    proptest! {
        #[test]
        fn pieces_make_the_same_as_the_whole(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8),
        ) {
            let mut builder = ExcerptBuilder::default();
            pieces.iter().for_each(|piece| builder.push(piece));
            prop_assert_eq!(builder.finish(), Excerpt::of(&pieces.concat()));
        }
    }
}
