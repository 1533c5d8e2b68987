//! The reports of librdkafka to a consumer, apart from records.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::assignment::RebalanceEvent;
use super::error::{ConnectionError, code_of};
use crate::lock::locked;

/// Filled by librdkafka's callbacks, some of them on its own threads.
#[derive(Default)]
pub(super) struct Events {
    rebalances: Mutex<VecDeque<RebalanceEvent>>,
    last_error: Mutex<Option<ConnectionError>>,
    errors: AtomicU64,
}

impl Events {
    pub(super) fn add_rebalance(&self, event: RebalanceEvent) {
        locked(&self.rebalances).push_back(event);
    }

    pub(super) fn add_error(&self, code: c_int, reason: &str) {
        tracing::debug!(code, reason, "kafka client");
        self.errors.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = ConnectionError::new(code_of(code), reason) {
            *locked(&self.last_error) = Some(error);
        }
    }

    pub(super) fn has_rebalances(&self) -> bool {
        !locked(&self.rebalances).is_empty()
    }

    /// The rebalances since the last call, in order.
    pub(super) fn take_rebalances(&self) -> Vec<RebalanceEvent> {
        locked(&self.rebalances).drain(..).collect()
    }

    /// The last error of a connection, if `is_wanted`; once.
    pub(super) fn take_error(&self, is_wanted: impl Fn(&ConnectionError) -> bool) -> Option<ConnectionError> {
        locked(&self.last_error).take_if(|error| is_wanted(error))
    }

    /// How many errors there were since the last call.
    pub(super) fn take_error_count(&self) -> u64 {
        self.errors.swap(0, Ordering::Relaxed)
    }
}
