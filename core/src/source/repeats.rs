//! The effect of an at-least-once feed on a stream: some reports come again, later.

use std::collections::VecDeque;
use std::iter::Fuse;

use super::noise::Noise;
use crate::report::Report;

/// How many reports later a repeat comes at most; with a report a day, days.
pub const DELAY_MAX: u64 = 40;

/// A report to send to the topic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sent {
    pub report: Report,
    /// Whether this report was sent before, by the feed.
    pub is_repeat: bool,
}

impl Sent {
    pub fn first(report: Report) -> Sent {
        Sent { report, is_repeat: false }
    }
}

/// A stream with repeats: every report once in its place, and its repeats at most [`DELAY_MAX`] reports after it.
///
/// Repeats that are left when the reports end come then.
#[derive(Debug)]
pub struct Repeats<I> {
    reports: Fuse<I>,
    noise: Noise,
    rate: f64,
    repeat_degrees: Option<f64>,
    /// How many random numbers were drawn.
    draws: u64,
    /// Repeats by the number of reports they still wait for; at most `DELAY_MAX + 1` of them.
    waiting: VecDeque<Vec<Report>>,
    /// Repeats whose turn it is, before the next report.
    ready: VecDeque<Report>,
}

impl<I: Iterator<Item = Report>> Repeats<I> {
    /// `rate` is the mean number of repeats of a report, finite and not negative; with `repeat_degrees` they carry that
    /// value instead of their own, so that counting one shows.
    pub fn new(reports: I, seed: u64, rate: f64, repeat_degrees: Option<f64>) -> Repeats<I> {
        Repeats {
            reports: reports.fuse(),
            noise: Noise::new(seed, 1),
            rate,
            repeat_degrees,
            draws: 0,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// Draws how often `report` is repeated, and when: the whole part of the rate always, the fraction by chance.
    fn schedule(&mut self, report: Report) {
        let repeat = Report { degrees: self.repeat_degrees.unwrap_or(report.degrees), ..report };
        let count = self.rate as u64 + u64::from(self.draw() < self.rate.fract());
        for _ in 0..count {
            let delay = (self.draw() * (DELAY_MAX + 1) as f64) as usize;
            if self.waiting.len() <= delay {
                self.waiting.resize_with(delay + 1, Vec::new);
            }
            if let Some(turn) = self.waiting.get_mut(delay) {
                turn.push(repeat);
            }
        }
    }

    /// Moves on by one report: those that waited for it are ready.
    fn advance(&mut self) {
        self.ready.extend(self.waiting.pop_front().unwrap_or_default());
    }

    fn draw(&mut self) -> f64 {
        self.draws += 1;
        self.noise.at(self.draws)
    }
}

impl<I: Iterator<Item = Report>> Iterator for Repeats<I> {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(report) = self.ready.pop_front() {
                return Some(Sent { report, is_repeat: true });
            }
            if let Some(report) = self.reports.next() {
                self.schedule(report);
                self.advance();
                return Some(Sent { report, is_repeat: false });
            }
            if self.waiting.is_empty() {
                return None;
            }
            self.advance();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use jiff::civil::{Date, date};
    use proptest::prelude::*;

    use super::{DELAY_MAX, Repeats, Sent};
    use crate::report::Report;
    use crate::source::Synthetic;

    fn days(count: usize) -> impl Iterator<Item = Report> {
        Synthetic::new(1).reports(date(1990, 1, 1)).take(count)
    }

    fn repeats(sent: &[Sent]) -> usize {
        sent.iter().filter(|sent| sent.is_repeat).count()
    }

    #[test]
    fn rate_zero_repeats_nothing() {
        let sent: Vec<Sent> = Repeats::new(days(1000), 1, 0.0, None).collect();
        assert!(sent.iter().zip(days(1000)).all(|(sent, report)| *sent == Sent { report, is_repeat: false }));
        assert_eq!(sent.len(), 1000);
    }

    #[test]
    fn whole_rate_is_exact() {
        let mut counts = HashMap::new();
        for sent in Repeats::new(days(500), 1, 4.0, None).filter(|sent| sent.is_repeat) {
            *counts.entry(sent.report.date).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 500);
        assert!(counts.values().all(|count| *count == 4));
    }

    #[test]
    fn rate_is_the_mean() {
        for rate in [0.05, 0.5, 1.3] {
            let sent: Vec<Sent> = Repeats::new(days(20_000), 1, rate, None).collect();
            let mean = repeats(&sent) as f64 / 20_000.0;
            assert!((mean - rate).abs() < 0.02, "{mean} for {rate}");
        }
    }

    #[test]
    fn delays_use_the_whole_range() {
        let mut day = 0;
        let mut delays = vec![0; DELAY_MAX as usize + 1];
        for sent in Repeats::new(days(20_000), 1, 1.0, None) {
            let number = (sent.report.date.duration_since(date(1990, 1, 1)).as_hours() / 24) as usize;
            if sent.is_repeat && day + 1 < 20_000 {
                delays[day - number] += 1;
            }
            day = day.max(number);
        }
        assert!(delays.iter().all(|count| *count > 300), "{delays:?}");
    }

    #[test]
    fn repeats_carry_the_degrees_asked_for() {
        for sent in Repeats::new(days(200), 1, 2.0, Some(99.5)) {
            assert_eq!(sent.report.degrees == 99.5, sent.is_repeat);
        }
    }

    #[test]
    fn a_date_that_occurs_twice_is_two_reports() {
        let twice = [1.0, 2.0].map(|degrees| Report { date: date(2000, 2, 29), degrees });
        let sent: Vec<Sent> = Repeats::new(twice.into_iter(), 1, 1.0, None).collect();
        assert_eq!(sent.len(), 4);
        assert_eq!(repeats(&sent), 2);
    }

    proptest! {
        #[test]
        fn originals_in_order_and_repeats_behind_them(seed: u64, rate in 0.0..5.0, count in 0usize..300) {
            let sent: Vec<Sent> = Repeats::new(days(count), seed, rate, None).collect();
            let originals = sent.iter().filter(|sent| !sent.is_repeat).map(|sent| sent.report);
            prop_assert!(originals.eq(days(count)));
            let mut newest: Option<Date> = None;
            for Sent { report, is_repeat } in &sent {
                if *is_repeat {
                    let days = newest.map(|newest| newest.duration_since(report.date).as_hours() / 24);
                    prop_assert!(days.is_some_and(|days| (0..=DELAY_MAX as i64).contains(&days)));
                } else {
                    newest = Some(report.date);
                }
            }
            let least = rate as usize * count;
            prop_assert!((least..=least + count).contains(&repeats(&sent)));
            let again: Vec<Sent> = Repeats::new(days(count), seed, rate, None).collect();
            prop_assert_eq!(sent, again);
        }
    }
}
