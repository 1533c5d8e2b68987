//! A linear axis with ticks at round numbers.

use super::numbers::decimal;

/// An axis from one tick to another. Ticks are whole multiples of a step that is 1, 2 or 5 times a power of
/// ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    first: i32,
    last: i32,
    step: f64,
    decimals: usize,
}

impl Axis {
    /// The axis around `low..=high` that has at most `intervals` steps within it, and at most one more at
    /// each end.
    ///
    /// `low < high`, both finite and so far apart, for their size, that an `f64` tells the ticks apart.
    pub fn around(low: f64, high: f64, intervals: u8) -> Axis {
        let (step, decimals) = round_step((high - low) / f64::from(intervals));
        Axis { first: (low / step).floor() as i32, last: (high / step).ceil() as i32, step, decimals }
    }

    /// The values of the ticks, lowest first.
    pub fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|multiple| f64::from(multiple) * self.step)
    }

    /// The values of every `n`th tick, zero among them where it is on the axis.
    pub fn every(&self, n: usize) -> impl Iterator<Item = f64> {
        let n = i32::try_from(n.max(1)).unwrap_or(i32::MAX);
        let multiples = (self.first..=self.last).filter(move |multiple| multiple % n == 0);
        multiples.map(|multiple| f64::from(multiple) * self.step)
    }

    /// A tick's value with as many decimals as the step needs.
    pub fn label(&self, tick: f64) -> String {
        decimal(tick, self.decimals)
    }

    /// The position of `value`: 0 at the lowest tick, 1 at the highest.
    pub fn fraction(&self, value: f64) -> f64 {
        (value / self.step - f64::from(self.first)) / f64::from(self.last - self.first)
    }
}

/// The smallest 1, 2 or 5 times a power of ten that is at least `rough`, and the decimals it takes to write
/// it.
fn round_step(rough: f64) -> (f64, usize) {
    let exponent = rough.log10().floor() as i32;
    let power = 10f64.powi(exponent);
    // A span that is a whole number of steps must not take the next larger step because its division rounded
    // up.
    let mantissa = rough / power * (1.0 - 1e-9);
    let (factor, exponent) = match mantissa {
        ..=1.0 => (1.0, exponent),
        ..=2.0 => (2.0, exponent),
        ..=5.0 => (5.0, exponent),
        _ => (10.0, exponent + 1),
    };
    (factor * power, exponent.min(0).unsigned_abs() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        let table: &[(f64, f64, &[&str])] = &[
            (0.0, 1.0, &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (-3.2, 28.1, &["−10", "0", "10", "20", "30"]),
            (0.0, 28.1, &["0", "5", "10", "15", "20", "25", "30"]),
            (0.0, 30.0, &["0", "5", "10", "15", "20", "25", "30"]),
            (0.0, 6.0, &["0", "1", "2", "3", "4", "5", "6"]),
            (0.0, 0.6, &["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]),
            (-17.3, 0.0, &["−20", "−15", "−10", "−5", "0"]),
            (-0.01, 0.99, &["−0.2", "0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (0.0, 0.003, &["0.0000", "0.0005", "0.0010", "0.0015", "0.0020", "0.0025", "0.0030"]),
            (990.0, 1010.0, &["990", "995", "1,000", "1,005", "1,010"]),
            (-1e9, 1e9, &["−1,000,000,000", "−500,000,000", "0", "500,000,000", "1,000,000,000"]),
        ];
        for &(low, high, expected) in table {
            let axis = Axis::around(low, high, 6);
            let labels: Vec<String> = axis.ticks().map(|tick| axis.label(tick)).collect();
            assert_eq!(labels, expected, "around {low}..={high}");
        }
    }

    #[test]
    fn every_nth_tick_has_zero_among_them() {
        let axis = Axis::around(-7.0, 31.0, 8);
        assert_eq!(axis.every(1).collect::<Vec<_>>(), axis.ticks().collect::<Vec<_>>());
        assert_eq!(axis.every(2).collect::<Vec<_>>(), [-10.0, 0.0, 10.0, 20.0, 30.0]);
        assert_eq!(axis.every(0).count(), axis.ticks().count());
    }

    #[test]
    fn fractions_run_from_the_lowest_tick_to_the_highest() {
        let axis = Axis::around(-3.2, 28.1, 6);
        for (value, fraction) in [(-10.0, 0.0), (0.0, 0.25), (10.0, 0.5), (30.0, 1.0)] {
            assert_eq!(axis.fraction(value), fraction, "at {value}");
        }
    }
}
