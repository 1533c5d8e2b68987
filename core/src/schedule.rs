//! When a source of weather is fetched again, and what is new in it.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::fmt::rfc2822;

use crate::report::Report;

/// The first pause after a failure; each next one is twice as long, up to the usual time.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// A server that asks for a longer pause is fetched from after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether fetching again may help.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Again {
    Later,
    /// The server says when.
    After(Duration),
    /// Somebody has to change something first.
    Never,
}

/// How often a source is fetched.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub every: Duration,
    failures: u32,
}

impl Schedule {
    pub fn new(every: Duration) -> Schedule {
        Schedule { every, failures: 0 }
    }

    /// The pause after an answer.
    pub fn answered(&mut self) -> Duration {
        self.failures = 0;
        self.every
    }

    /// The pause after a failure: not longer than usual, unless the server asks for that.
    pub fn failed(&mut self, again: Again) -> Duration {
        let pause = RETRY_AFTER.saturating_mul(1 << self.failures.min(16)).min(self.every);
        self.failures += 1;
        match again {
            Again::Later => pause,
            Again::After(asked) => pause.max(asked.min(RETRY_AFTER_MAX)),
            Again::Never => self.every,
        }
    }
}

/// The header `Retry-After`: seconds, or a date.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

/// The days of a source, compared with those that were sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// Days that were not sent yet.
    pub days: Vec<Report>,
    /// How many days have another value than the one that was sent, which counts.
    pub changed: u64,
    /// One of these: the day, the value that was sent, and the one of the source; in °C.
    pub example: Option<(Date, f64, f64)>,
}

impl News {
    /// `sent` has the first value of each day, in °C.
    pub fn of(reports: Vec<Report>, sent: &HashMap<Date, f64>) -> News {
        let mut news = News::default();
        for report in reports {
            match sent.get(&report.date) {
                None => news.days.push(report),
                Some(&first) if first == report.degrees => {}
                Some(&first) => {
                    news.changed += 1;
                    news.example.get_or_insert((report.date, first, report.degrees));
                }
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn pauses_grow_and_are_never_longer_than_usual() {
        use Again::{After, Later, Never};
        let second = Duration::from_secs;
        for (every, failures, pauses) in [
            (6 * HOUR, vec![Later; 3], vec![second(30), second(60), second(120)]),
            (6 * HOUR, vec![Later, After(2 * HOUR), Later], vec![second(30), 2 * HOUR, second(120)]),
            (6 * HOUR, vec![After(second(1))], vec![second(30)]),
            (6 * HOUR, vec![After(1000 * HOUR)], vec![24 * HOUR]),
            (6 * HOUR, vec![Never, Later], vec![6 * HOUR, second(60)]),
            (second(1), vec![Later, Later, After(second(5))], vec![second(1), second(1), second(5)]),
            (
                HOUR,
                vec![Later; 40],
                [vec![30, 60, 120, 240, 480, 960, 1920], vec![3600; 33]]
                    .concat()
                    .into_iter()
                    .map(second)
                    .collect(),
            ),
        ] {
            let mut schedule = Schedule::new(every);
            let found: Vec<_> = failures.iter().map(|again| schedule.failed(*again)).collect();
            assert_eq!(found, pauses, "{failures:?}");
            assert_eq!(schedule.answered(), every);
            assert_eq!(schedule.failed(Later), second(30).min(every));
        }
    }

    #[test]
    fn servers_say_in_two_ways_when_to_come_again() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        for (value, pause) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sat, 28 Nov 2026 12:01:00 GMT", Some(60)),
            ("Sat, 28 Nov 2026 11:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), pause.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn the_first_value_of_a_day_counts() {
        let report = |day, degrees| Report { date: Date::constant(2026, 11, day), degrees };
        let sent = [1, 2, 3].map(|day| (Date::constant(2026, 11, day), f64::from(day))).into();
        let news = News::of(vec![report(1, 1.0), report(2, 2.5), report(3, 4.0), report(4, 4.0)], &sent);
        assert_eq!(news.days, [report(4, 4.0)]);
        assert_eq!((news.changed, news.example), (2, Some((Date::constant(2026, 11, 2), 2.0, 2.5))));
    }
}
