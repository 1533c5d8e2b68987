//! How far a long work is: a line that changes, on a terminal only.

use std::io::{self, IsTerminal};
use std::thread;
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use tracing::Level;

use crate::logging::{self, NOTE};
use crate::stop::Stop;

const REFRESH_EVERY: Duration = Duration::from_millis(200);

/// How far a work is.
pub(super) struct Reached {
    pub done: u64,
    /// Where it is known how much there is to do.
    pub total: Option<u64>,
    /// A second, where that is known better than by looking.
    pub rate: Option<f64>,
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
        let Some(Reached { done, total, rate, message }) = look() else {
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
        bar.set_position(done);
        bar.set_prefix(pace(
            rate.unwrap_or_else(|| bar.per_sec()),
            total.map(|total| total.saturating_sub(done)),
        ));
        bar.set_message(message);
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
            "{{bar:20{colour}}} {{percent}}%  {{human_pos}} of {{human_len}} {unit}  {{prefix}}  {{wide_msg}}"
        ),
        false => format!("{{spinner{colour}}} {{human_pos}} {unit}  {{prefix}}  {{wide_msg}}"),
    };
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}

/// The rate, and how long it takes for what is `left`.
fn pace(per_second: f64, left: Option<u64>) -> String {
    let rate = match per_second < 10.0 {
        true => format!("{per_second:.1}/s"),
        // Far below where that is not exact.
        false => format!("{}/s", HumanCount(per_second as u64)),
    };
    let time = |left: u64| Duration::try_from_secs_f64((left as f64 / per_second).ceil()).ok();
    match left.map(time) {
        None => rate,
        Some(None) => format!("{rate}  - left"),
        Some(Some(time)) => format!("{rate}  {:#} left", HumanDuration(time)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_are_short() {
        for (per_second, left, expected) in [
            (0.0, None, "0.0/s"),
            (0.0, Some(5), "0.0/s  - left"),
            (0.0, Some(0), "0.0/s  - left"),
            (9.94, Some(1), "9.9/s  1s left"),
            (10.4, Some(0), "10/s  0s left"),
            (1_234_567.8, Some(10_000_000), "1,234,567/s  9s left"),
            (10.0, Some(70_000), "10/s  2h left"),
            (f64::NAN, Some(1), "0/s  - left"),
        ] {
            assert_eq!(pace(per_second, left), expected);
        }
    }
}
