//! Synthetic weather: what a thermometer in Madison, Wisconsin, might have read, on any day of the calendar.
//!
//! A day's maximum is the season's normal, plus weather that remembers the days before, plus a slow warming.
//! Nothing but `+ - * /` and the square root is used on the way: they are exact, where `sin` and its like differ from
//! one machine to the next.

use jiff::civil::{Date, date};

use super::noise::Noise;
use crate::report::Report;

/// Mean daily maximum of each month in °C, January first: the normals of 1991–2020 for Madison, Wisconsin, which are
/// 26.4, 31.1, 43.2, 56.6, 68.7, 78.6, 82.2, 80.0, 72.8, 59.7, 45.0 and 31.9 °F.
const NORMALS: [f64; 12] = [-3.1, -0.5, 6.2, 13.7, 20.4, 25.9, 27.9, 26.7, 22.7, 15.4, 7.2, -0.1];

/// Standard deviation of a day's maximum around its normal in °C, as measured at Madison: winter is the wider half.
const SPREADS: [f64; 12] = [6.2, 6.2, 6.3, 6.2, 5.3, 4.1, 3.4, 3.3, 4.5, 5.4, 5.9, 6.0];

/// How much of one day's anomaly is left on the next: the lag-1 autocorrelation.
const MEMORY: f64 = 0.6;

/// Days that are remembered; what is forgotten before them weighs less than 1/10,000 °C.
const DAYS_REMEMBERED: u64 = 24;

/// The most that the climate ever differs from the normals, in °C, however far the year.
const TREND_MAX: f64 = 1.5;

/// Years around [`TREND_CENTRE`] in which half of [`TREND_MAX`] is reached.
const TREND_YEARS: f64 = 100.0;

/// The middle of the normals' thirty years.
const TREND_CENTRE: Date = date(2005, 12, 31);

/// Daily maximum temperatures in °C, a pure function of seed and date.
#[derive(Clone, Copy, Debug)]
pub struct Synthetic {
    noise: Noise,
}

impl Synthetic {
    pub fn new(seed: u64) -> Synthetic {
        Synthetic { noise: Noise::new(seed, 0) }
    }

    /// The maximum of `date` in °C, to four decimals. Always between -60 and 60.
    pub fn degrees(self, date: Date) -> f64 {
        let days = days_since(TREND_CENTRE, date);
        let degrees = seasonal(&NORMALS, date) + seasonal(&SPREADS, date) * self.anomaly(days) + trend(days);
        // Adding 0.0 turns a -0.0 into 0.0.
        (degrees * 1e4).round() / 1e4 + 0.0
    }

    /// One report a day from `start` until 9999-12-31.
    pub fn reports(self, start: Date) -> impl Iterator<Item = Report> + Send {
        std::iter::successors(Some(start), |date| date.tomorrow().ok())
            .map(move |date| Report { date, degrees: self.degrees(date) })
    }

    /// The day's weather in standard deviations, at most 3.5 either way.
    ///
    /// An autoregressive process of order 1, written as the sum over the white noise of the days before, so that any
    /// day can be asked for by itself.
    fn anomaly(self, days: i64) -> f64 {
        // The latest day comes last, so that each step leaves `MEMORY` of what was there (Horner's rule).
        let sum = (0..DAYS_REMEMBERED).rev().fold(0.0, |sum, ago| {
            let index = days.cast_unsigned().wrapping_sub(ago);
            sum * MEMORY + self.noise.at(index) - 0.5
        });
        // Even noise of width 1 has the variance 1/12, and the sum 1/(1 - MEMORY²) times that.
        sum * (12.0 * (1.0 - MEMORY * MEMORY)).sqrt()
    }
}

/// Degrees above the normals after so many days, for ever within ±[`TREND_MAX`].
fn trend(days: i64) -> f64 {
    let years = days as f64 / 365.2425;
    TREND_MAX * years / (TREND_YEARS + years.abs())
}

/// A smooth curve through twelve monthly values, each taken to stand in the middle of its month (Catmull–Rom).
fn seasonal(monthly: &[f64; 12], date: Date) -> f64 {
    let month = i32::from(date.month()) - 1;
    let passed = (f64::from(date.day()) - 0.5) / f64::from(date.days_in_month()) - 0.5;
    let (before, t) = if passed < 0.0 { (month - 1, passed + 1.0) } else { (month, passed) };
    let at = |month: i32| monthly[month.rem_euclid(12) as usize];
    let (p0, p1, p2, p3) = (at(before - 1), at(before), at(before + 1), at(before + 2));
    p1 + 0.5 * t * (p2 - p0 + t * (2.0 * p0 - 5.0 * p1 + 4.0 * p2 - p3 + t * (3.0 * (p1 - p2) + p3 - p0)))
}

fn days_since(epoch: Date, date: Date) -> i64 {
    date.duration_since(epoch).as_hours() / 24
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Date, date};

    use super::{MEMORY, NORMALS, SPREADS, Synthetic, TREND_MAX, trend};
    use crate::report::Report;

    /// The contract's numbers, in °F as NOAA publishes them.
    const NORMALS_F: [f64; 12] = [26.4, 31.1, 43.2, 56.6, 68.7, 78.6, 82.2, 80.0, 72.8, 59.7, 45.0, 31.9];

    fn century(seed: u64) -> Vec<Report> {
        Synthetic::new(seed)
            .reports(date(1990, 1, 1))
            .take_while(|report| report.date.year() < 2090)
            .collect()
    }

    fn of_month(reports: &[Report], month: i8) -> Vec<f64> {
        reports.iter().filter(|report| report.date.month() == month).map(|report| report.degrees).collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    fn spread(values: &[f64]) -> f64 {
        let mean = mean(values);
        (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn monthly_means_are_madisons() {
        for seed in 0..20 {
            let reports = century(seed);
            for (month, normal_f) in (1..).zip(NORMALS_F) {
                let normal = (normal_f - 32.0) * 5.0 / 9.0;
                let off = mean(&of_month(&reports, month)) - normal;
                assert!(off.abs() < 1.5, "seed {seed}, month {month}: {off:+.2} °C");
            }
        }
    }

    #[test]
    fn winter_spreads_wider_than_summer() {
        let reports = century(1);
        assert!(spread(&of_month(&reports, 1)) > 1.4 * spread(&of_month(&reports, 7)));
        assert!((5.0..8.0).contains(&spread(&of_month(&reports, 1))));
        assert!((2.5..4.5).contains(&spread(&of_month(&reports, 7))));
    }

    #[test]
    fn a_day_remembers_the_day_before() {
        for seed in 0..20 {
            let reports = century(seed);
            let mut by_day = vec![Vec::new(); 12 * 31];
            let slot = |date: Date| (date.month() - 1) as usize * 31 + (date.day() - 1) as usize;
            for report in &reports {
                by_day[slot(report.date)].push(report.degrees);
            }
            let anomalies: Vec<f64> =
                reports.iter().map(|report| report.degrees - mean(&by_day[slot(report.date)])).collect();
            let covariance = mean(&anomalies.windows(2).map(|pair| pair[0] * pair[1]).collect::<Vec<_>>());
            let correlation = covariance / spread(&anomalies).powi(2);
            assert!((0.55..0.65).contains(&correlation), "seed {seed}: {correlation}");
        }
    }

    #[test]
    fn calendar_is_complete() {
        let reports = century(1);
        // 100 years from 1990 have 25 leap days: 1992, 1996 … 2088, 2000 among them.
        assert_eq!(reports.len(), 36_525);
        assert_eq!(of_month(&reports, 2).len(), 2_825);
        assert_eq!(reports[59].date, date(1990, 3, 1));
        assert_eq!(reports[36_524].date, date(2089, 12, 31));
    }

    #[test]
    fn stays_on_earth_until_the_calendar_ends() {
        let mut last = None;
        for report in Synthetic::new(1).reports(date(1, 1, 1)).step_by(7) {
            assert!(report.degrees.abs() < 60.0, "{report:?}");
            last = Some(report.date);
        }
        assert!(last.is_some_and(|date| date.year() == 9999));
        assert!(Synthetic::new(1).reports(Date::MAX).map(|report| report.date).eq([Date::MAX]));
        // The noise is at most 0.5 a day, so this is the worst that any seed can do.
        let anomaly_max = 0.5 / (1.0 - MEMORY) * (12.0 * (1.0 - MEMORY * MEMORY)).sqrt();
        assert!(anomaly_max < 3.5);
        assert!(NORMALS.iter().zip(SPREADS).all(|(n, s)| n.abs() + 3.5 * s + TREND_MAX < 59.0));
    }

    #[test]
    fn warms_slowly_and_within_bounds() {
        let years = |years: i64| years * 146_097 / 400;
        assert!(trend(years(10)) > 0.0 && trend(years(10)) < 0.2);
        assert!(trend(years(-10)) < 0.0);
        assert!((0..8_000).all(|n| trend(years(n)) < trend(years(n + 1)) && trend(years(n)) < TREND_MAX));
    }

    #[test]
    fn any_day_in_any_order() {
        let forward: Vec<Report> = Synthetic::new(5).reports(date(2000, 2, 20)).take(30).collect();
        for report in forward.iter().rev() {
            assert_eq!(Synthetic::new(5).degrees(report.date), report.degrees);
        }
        assert_ne!(Synthetic::new(6).degrees(forward[0].date), forward[0].degrees);
    }

    /// Worked out by another program, so that it also holds the formula.
    #[test]
    fn weather_of_a_seed_never_changes() {
        for (date, degrees) in [
            (date(1990, 1, 1), 10.5773),
            (date(1990, 1, 2), 8.885),
            (date(1990, 1, 3), -1.8312),
            (date(2000, 2, 29), 3.0555),
            (date(2024, 7, 15), 33.4952),
            (date(9999, 12, 31), -2.7321),
        ] {
            assert_eq!(Synthetic::new(1).degrees(date), degrees, "{date}");
        }
    }
}
