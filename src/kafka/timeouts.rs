//! How long to wait for the brokers. Only what one kind of request needs on its own is defined where it is made.

use std::time::Duration;

/// How long the brokers may take to answer, before a command gives up.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The same where the request is made again anyway, and something else waits meanwhile.
pub const SHORT_REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the brokers may bring nothing in the middle of a read.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a poll may wait for records, and so how soon a signal to stop is noticed.
pub const POLL_TIMEOUT: Duration = Duration::from_millis(100);
