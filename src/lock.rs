use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lock, also if another thread panicked while it held it: what these locks protect is always whole.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
