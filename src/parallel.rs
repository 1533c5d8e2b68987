//! Work that mostly waits, done at the same time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// The most threads at work.
pub const THREADS_MAX: usize = 8;

/// Does the same with each of several. The results are in no order.
pub fn each_of<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = items.len().min(THREADS_MAX);
    let (waiting, done) = (Mutex::new(items), Mutex::new(Vec::new()));
    let next = || locked(&waiting).pop();
    let work = || {
        while let Some(item) = next() {
            let result = work(item);
            locked(&done).push(result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Fewer threads also do.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
