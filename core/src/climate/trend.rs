//! Straight and smooth lines through the averages of a month.

/// The 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// How far the smoothed line reaches, as the standard deviation of its weights in years: about a ten-year mean.
const SMOOTH_YEARS: f64 = 3.5;

/// The least-squares line through a month's averages, in °C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// The slope, in °C per decade.
    pub per_decade: f64,
    /// Half the width of the slope's 95 % confidence interval: Student's t times the standard error. Years are taken as
    /// independent of each other.
    pub margin: f64,
    /// The line at the first and at the last year.
    pub start: (u16, f64),
    pub end: (u16, f64),
}

impl Trend {
    /// Of averages by year, in the order of years; none of fewer than three.
    pub(super) fn of(years: &[(u16, f64)]) -> Option<Trend> {
        let [(first, _), _, .., (last, _)] = *years else { return None };
        let count = years.len() as f64;
        let freedom = years.len().checked_sub(2).filter(|freedom| *freedom > 0)? as f64;
        let mean_year = years.iter().map(|(year, _)| f64::from(*year)).sum::<f64>() / count;
        let mean = years.iter().map(|(_, average)| average).sum::<f64>() / count;
        let centred = || years.iter().map(|(year, average)| (f64::from(*year) - mean_year, average - mean));
        let spread: f64 = centred().map(|(x, _)| x * x).sum();
        let slope = centred().map(|(x, y)| x * y).sum::<f64>() / spread;
        let rest: f64 = centred().map(|(x, y)| (y - slope * x).powi(2)).sum();
        let error = (rest / freedom / spread).sqrt();
        let at = |year: u16| (year, mean + slope * (f64::from(year) - mean_year));
        Some(Trend {
            per_decade: 10.0 * slope,
            margin: 10.0 * quantile(freedom) * error,
            start: at(first),
            end: at(last),
        })
    }
}

/// The 97.5 % quantile of Student's t, by the expansion of Abramowitz and Stegun (26.7.5). With 8 degrees of freedom or
/// more it is right to 3 decimals.
fn quantile(freedom: f64) -> f64 {
    let z = |power: i32| Z.powi(power);
    Z + (z(3) + Z) / (4.0 * freedom)
        + (5.0 * z(5) + 16.0 * z(3) + 3.0 * Z) / (96.0 * freedom.powi(2))
        + (3.0 * z(7) + 19.0 * z(5) + 17.0 * z(3) - 15.0 * Z) / (384.0 * freedom.powi(3))
}

/// The mean of the averages around each year, weighted by a Gaussian curve of `SMOOTH_YEARS`.
pub fn smoothed(years: &[(u16, f64)]) -> Vec<(u16, f64)> {
    let at = |year: u16| {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (other, average) in years {
            let distance = (f64::from(year) - f64::from(*other)) / SMOOTH_YEARS;
            let weight = (-0.5 * distance * distance).exp();
            (sum, weights) = (sum + weight * average, weights + weight);
        }
        (year, sum / weights)
    };
    years.iter().map(|(year, _)| at(*year)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_with_its_interval() {
        let exact: Vec<(u16, f64)> = (1990..2010).map(|year| (year, f64::from(year) * 0.05)).collect();
        let trend = Trend::of(&exact).unwrap();
        assert!((trend.per_decade - 0.5).abs() < 1e-9 && trend.margin < 1e-9, "{trend:?}");

        // R: confint(lm(y ~ x)) of 10 years gives 0.030303 ± 0.168836 a year.
        let years: Vec<(u16, f64)> =
            (2000..).zip([1.0, 2.0, 0.0, 1.0, 3.0, 1.0, 2.0, 1.0, 0.0, 2.0]).collect();
        let trend = Trend::of(&years).unwrap();
        assert!((trend.per_decade - 0.060_606).abs() < 1e-5, "{trend:?}");
        assert!(trend.margin > trend.per_decade);
        assert_eq!(Trend::of(&years[..2]), None);
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, expected) in [(8.0, 2.306), (10.0, 2.228), (28.0, 2.048), (153.0, 1.976)] {
            assert!((quantile(freedom) - expected).abs() < 6e-4, "{freedom}: {}", quantile(freedom));
        }
    }

    #[test]
    fn a_smooth_line_keeps_a_constant_and_damps_a_spike() {
        let flat: Vec<(u16, f64)> = (1990..2000).map(|year| (year, 5.0)).collect();
        assert!(smoothed(&flat).iter().all(|(_, average)| (average - 5.0).abs() < 1e-12));
        let mut spike = flat;
        spike[5].1 = 15.0;
        let smooth = smoothed(&spike);
        assert!((6.0..6.7).contains(&smooth[5].1), "{smooth:?}");
    }
}
