//! How far a long work is: a line that changes, on a terminal only.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::Level;

use crate::lock::locked;
use crate::logging::{self, NOTE};
use crate::note;
use crate::stop::Stop;

const REFRESH_EVERY: Duration = Duration::from_millis(200);
const SPIN_EVERY: Duration = Duration::from_millis(100);
/// Five seconds.
const LOOKS_OF_LATE: usize = 25;

/// How far a work is.
pub(super) struct Reached {
    pub done: u64,
    /// Nothing if it is unknown.
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

/// Does `work`, which names each of its steps. On a terminal a spinner shows the step, and for how long it has gone on;
/// elsewhere each step is a line.
pub(super) fn with_steps<T>(work: impl FnOnce(&mut dyn FnMut(&str)) -> T) -> T {
    if !has_bars() {
        return work(&mut |step| note!("{step}"));
    }
    let step = Mutex::new(None::<(String, Instant)>);
    let over = Stop::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut bar = Bar::default();
            while !over.wait(SPIN_EVERY) {
                let Some((step, since)) = locked(&step).clone() else { continue };
                bar.show(spinner, |bar| bar.set_message(format!("{step}  {} s", since.elapsed().as_secs())));
            }
            bar.clear();
        });
        let _guard = AskOnDrop(&over);
        work(&mut |text| *locked(&step) = Some((text.to_owned(), Instant::now())))
    })
}

/// Ends a thread even if the work panics: the scope would wait for it for ever.
pub(super) struct AskOnDrop<'a>(pub &'a Stop);

impl Drop for AskOnDrop<'_> {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// Not in files and pipes, not on terminals without a cursor, and not with `--quiet`.
pub(super) fn has_bars() -> bool {
    io::stderr().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        && tracing::enabled!(target: NOTE, Level::INFO)
}

fn keep(unit: &str, mut look: impl FnMut() -> Option<Reached>, over: &Stop) {
    let mut bar = Bar::default();
    let mut pace = Pace::from(Instant::now());
    let mut had_total = false;
    while !over.wait(REFRESH_EVERY) {
        let Some(Reached { done, total, rate, message }) = look() else {
            bar.clear();
            continue;
        };
        let own_rate = pace.rate(Instant::now(), done);
        let left = total.map(|total| total.saturating_sub(done));
        // A bar has an end; what has none gets a spinner.
        if std::mem::replace(&mut had_total, total.is_some()) != total.is_some() {
            bar.clear();
        }
        let new = || ProgressBar::no_length().with_style(style(unit, total.is_some()));
        bar.show(new, |bar| {
            bar.update(|state| {
                state.set_pos(done);
                if let Some(total) = total {
                    state.set_len(total.max(done));
                }
            });
            bar.set_message(format!("{}  {message}", rate_and_left(rate.unwrap_or(own_rate), left)));
        });
    }
    bar.clear();
}

/// The terminal's last line, as long as this process is in the terminal's foreground.
#[derive(Default)]
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    /// Draws it. A job in the background draws nothing: the shell's prompt is on that line.
    pub(super) fn show(&mut self, new: impl FnOnce() -> ProgressBar, set: impl FnOnce(&ProgressBar)) {
        if !logging::is_in_foreground(io::stderr()) {
            return self.let_go();
        }
        let bar = self.0.get_or_insert_with(|| {
            logging::set_bar(true);
            new()
        });
        set(bar);
        bar.tick();
    }

    pub(super) fn clear(&mut self) {
        if !logging::is_in_foreground(io::stderr()) {
            return self.let_go();
        }
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
            logging::set_bar(false);
        }
    }

    /// Forgets the bar and leaves the line as it is.
    fn let_go(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
            logging::set_bar(false);
        }
    }
}

pub(super) fn spinner() -> ProgressBar {
    let (green, plain) = green();
    let style = ProgressStyle::with_template(&format!("{green}{{spinner}}{plain} {{wide_msg}}"));
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// Not the library's own colours: an empty NO_COLOR would turn them off.
fn green() -> (&'static str, &'static str) {
    if logging::has_colour(&io::stderr()) { ("\x1b[32m", "\x1b[0m") } else { ("", "") }
}

fn style(unit: &str, has_total: bool) -> ProgressStyle {
    let (green, plain) = green();
    let template = match has_total {
        true => format!(
            "{green}{{bar:20}}{plain} {{percent}}%  {{human_pos}} of {{human_len}} {unit}  {{wide_msg}}"
        ),
        false => format!("{green}{{spinner}}{plain} {{human_pos}} {unit}  {{wide_msg}}"),
    };
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}

/// How fast a work has been of late.
struct Pace(VecDeque<(Instant, u64)>);

impl Pace {
    fn from(start: Instant) -> Self {
        Pace(VecDeque::from([(start, 0)]))
    }

    /// A second, with what is `done` by now.
    fn rate(&mut self, now: Instant, done: u64) -> f64 {
        let (since, before) = self.0.front().copied().unwrap_or((now, done));
        if self.0.len() > LOOKS_OF_LATE {
            self.0.pop_front();
        }
        self.0.push_back((now, done));
        done.saturating_sub(before) as f64 / (now - since).as_secs_f64().max(0.001)
    }
}

/// The rate, and how long it takes for what is `left`.
fn rate_and_left(per_second: f64, left: Option<u64>) -> String {
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
    fn the_rate_is_that_of_the_last_five_seconds() {
        let start = Instant::now();
        let mut pace = Pace::from(start);
        for look in 1..=100 {
            let rate = pace.rate(start + look * REFRESH_EVERY, u64::from(look) * 20);
            assert!((99.9..100.1).contains(&rate), "{rate} at look {look}");
        }
        for look in 101..=127 {
            pace.rate(start + look * REFRESH_EVERY, 2000);
        }
        assert_eq!(pace.rate(start + 128 * REFRESH_EVERY, 2000), 0.0);
    }

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
            assert_eq!(rate_and_left(per_second, left), expected);
        }
    }
}
