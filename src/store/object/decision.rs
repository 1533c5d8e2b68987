//! What an object store's answer to a conditional write means. Pure.
//!
//! A write is sent again with the very same bytes until its fate is known, and nothing is built on it before.

/// How an object is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Write {
    /// Only if there is none of this name.
    Create,
    /// Only if it is still the version that the new bytes were made of.
    Replace,
}

/// The answer to it, as far as it matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    Done,
    /// 412, or 404 to a replacement: it is not the version that was named, or is gone.
    Mismatch,
    /// 409, and 412 to a creation: the object exists, or somebody is writing it.
    Conflict,
    /// 404 to a creation: there is no bucket.
    NoBucket,
    /// 401, 403.
    Denied,
    /// No answer, 429, 5xx and all else: it may have landed, or may land later.
    Unknown,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    Landed,
    /// Read the object: it may hold these bytes, of an earlier attempt whose answer was lost.
    ReadBack,
    SendAgain,
    Fail,
}

/// Decides that.
///
/// | answer | create | replace |
/// |---|---|---|
/// | done | landed | landed |
/// | mismatch (412, 404) | read back | read back |
/// | conflict (409) | read back | send again |
/// | no bucket | fail | read back |
/// | denied | fail | fail |
/// | unknown | send again | send again |
pub(super) fn next(write: Write, answer: Answer) -> Next {
    match (answer, write) {
        (Answer::Done, _) => Next::Landed,
        (Answer::Mismatch, _) | (Answer::Conflict, Write::Create) | (Answer::NoBucket, Write::Replace) => {
            Next::ReadBack
        }
        // S3 answers so while another conditional write is under way: nothing is said about this one.
        (Answer::Conflict, Write::Replace) | (Answer::Unknown, _) => Next::SendAgain,
        (Answer::NoBucket, Write::Create) | (Answer::Denied, _) => Next::Fail,
    }
}

/// The object that is there after an answer that was not clear.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    Nothing,
    /// The very bytes that were sent.
    Same,
    Other,
}

/// What came of a write, once the object was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Landed,
    SendAgain,
    /// It is another writer's object by now. A replacement is over for good: its version will never be there again.
    Lost,
}

/// Decides that.
///
/// | found | create | replace |
/// |---|---|---|
/// | the same bytes | landed | landed |
/// | other bytes | lost | lost |
/// | nothing | send again | lost |
pub(super) fn fate(write: Write, found: Found) -> Fate {
    match (found, write) {
        (Found::Same, _) => Fate::Landed,
        (Found::Nothing, Write::Create) => Fate::SendAgain,
        (Found::Other, _) | (Found::Nothing, Write::Replace) => Fate::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_row() {
        for (answer, create, replace) in [
            (Answer::Done, Next::Landed, Next::Landed),
            (Answer::Mismatch, Next::ReadBack, Next::ReadBack),
            (Answer::Conflict, Next::ReadBack, Next::SendAgain),
            (Answer::NoBucket, Next::Fail, Next::ReadBack),
            (Answer::Denied, Next::Fail, Next::Fail),
            (Answer::Unknown, Next::SendAgain, Next::SendAgain),
        ] {
            assert_eq!(next(Write::Create, answer), create, "{answer:?}");
            assert_eq!(next(Write::Replace, answer), replace, "{answer:?}");
        }
    }

    #[test]
    fn only_the_same_bytes_prove_that_a_write_landed() {
        for (found, create, replace) in [
            (Found::Same, Fate::Landed, Fate::Landed),
            (Found::Other, Fate::Lost, Fate::Lost),
            (Found::Nothing, Fate::SendAgain, Fate::Lost),
        ] {
            assert_eq!(fate(Write::Create, found), create, "{found:?}");
            assert_eq!(fate(Write::Replace, found), replace, "{found:?}");
        }
    }
}
