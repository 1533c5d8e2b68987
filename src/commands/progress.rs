//! How far a long work is: a line that changes, on a terminal only.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::thread;
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use tracing::Level;

use crate::logging::{self, NOTE};
use crate::stop::Stop;

const REFRESH_EVERY: Duration = Duration::from_millis(200);

/// How far a work is.
pub(super) struct Reached {
    pub done: u64,
    /// Where it is known how much there is to do.
    pub total: Option<u64>,
    pub message: String,
}

/// Does `work`. On a terminal a bar shows meanwhile what `look` finds, and nothing while it finds nothing.
pub(super) fn with_bar<T>(
    unit: &'static str,
    look: impl FnMut() -> Option<Reached> + Send,
    work: impl FnOnce() -> T,
) -> T {
    if !has_bars() {
        return work();
    }
    let over = Stop::default();
    thread::scope(|scope| {
        scope.spawn(|| keep(unit, look, &over));
        let _guard = AskOnDrop(&over);
        work()
    })
}

/// Ends the bar even if the work panics: the scope would wait for it for ever.
struct AskOnDrop<'a>(&'a Stop);

impl Drop for AskOnDrop<'_> {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// Not in files and pipes, not on terminals without a cursor, and not with `--quiet`.
fn has_bars() -> bool {
    io::stderr().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        && tracing::enabled!(target: NOTE, Level::INFO)
}

fn keep(unit: &str, mut look: impl FnMut() -> Option<Reached>, over: &Stop) {
    let mut shown: Option<ProgressBar> = None;
    while !over.wait(REFRESH_EVERY) {
        let Some(Reached { done, total, message }) = look() else {
            shown.take().iter().for_each(clear);
            continue;
        };
        let bar = shown.get_or_insert_with(|| {
            logging::set_bar(true);
            ProgressBar::no_length().with_style(style(unit, total.is_some()))
        });
        if let Some(total) = total {
            bar.set_length(total.max(done));
        }
        bar.set_message(message);
        bar.set_position(done);
        bar.tick();
    }
    shown.iter().for_each(clear);
}

fn clear(bar: &ProgressBar) {
    bar.finish_and_clear();
    logging::set_bar(false);
}

fn style(unit: &str, has_total: bool) -> ProgressStyle {
    let colour = if logging::has_colour(&io::stderr()) { ".green" } else { "" };
    let template = match has_total {
        true => format!(
            "{{bar:20{colour}}} {{percent}}%  {{human_pos}} of {{human_len}} {unit}  {{rate}}  {{left}} left  {{wide_msg}}"
        ),
        false => format!("{{spinner{colour}}} {{human_pos}} {unit}  {{rate}}  {{wide_msg}}"),
    };
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
        .with_key("rate", |state: &ProgressState, text: &mut dyn Write| {
            let _ = text.write_str(&rate(state.per_sec()));
        })
        .with_key("left", |state: &ProgressState, text: &mut dyn Write| {
            let _ = text.write_str(&left(state.eta()));
        })
}

fn rate(per_second: f64) -> String {
    match per_second < 10.0 {
        true => format!("{per_second:.1}/s"),
        // Far below where that is not exact.
        false => format!("{}/s", HumanCount(per_second as u64)),
    }
}

/// No time is what indicatif has where it has seen nothing move yet.
fn left(time: Duration) -> String {
    if time.is_zero() { "-".to_owned() } else { format!("{:#}", HumanDuration(time)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_are_short() {
        assert_eq!(
            [0.0, 9.94, 10.4, 1_234_567.8].map(rate),
            ["0.0/s", "9.9/s", "10/s", "1,234,567/s"].map(str::to_owned)
        );
        assert_eq!([0, 42, 7200].map(|time| left(Duration::from_secs(time))), ["-", "42s", "2h"]);
    }
}
