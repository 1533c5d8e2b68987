//! The wish to stop, from a signal or from another part of the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Shared by all who must stop together.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asked for by SIGTERM and Ctrl-C. A second signal ends the process at once.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Stop::default();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal finds the flag down, and only then raises it.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop.0))?;
            flag::register(signal, Arc::clone(&stop.0))?;
        }
        Ok(stop)
    }

    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// The flag itself, for code that knows only that.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Pauses for `time`, less if asked to stop meanwhile; says whether it was.
    pub fn wait(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while !self.is_asked() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
        self.is_asked()
    }
}
