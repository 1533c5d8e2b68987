//! Colours for numbers.

use super::axis::Axis;

/// As SVG writes it: `#440154`.
pub struct Colour(pub String);

/// viridis of matplotlib (CC0), by van der Walt and Smith. Equal steps look equal, and lightness rises all the way, so
/// it can be read in grey and with any kind of colour vision. The rainbows of weather maps do neither.
const VIRIDIS: [u32; 9] =
    [0x440154, 0x472d7b, 0x3b528b, 0x2c728e, 0x21918c, 0x28ae80, 0x5ec962, 0xaddc30, 0xfde725];

/// ColorBrewer's (Apache-2.0) blues and reds, as in Ed Hawkins' stripes. A blue and a red at the same distance have the
/// same lightness, and no kind of colour vision mixes them up.
const STRIPES: [u32; 16] = [
    0x08306b, 0x08519c, 0x2171b5, 0x4292c6, 0x6baed6, 0x9ecae1, 0xc6dbef, 0xdeebf7, 0xfee0d2, 0xfcbba1,
    0xfc9272, 0xfb6a4a, 0xef3b2c, 0xcb181d, 0xa50f15, 0x67000d,
];

/// So many that no step between them is seen, and so few that a picture of thousands of cells compresses well.
pub const STEPS: u32 = 48;

/// From the numbers between two ends to colours.
pub struct Scale {
    low: f64,
    high: f64,
    stops: &'static [u32],
}

impl Scale {
    /// Of numbers from `low` to `high`, cold to warm.
    pub fn sequential(low: f64, high: f64) -> Scale {
        let (low, high) = widened(low, high);
        Scale { low, high, stops: &VIRIDIS }
    }

    /// Of differences up to `limit`, above zero itself, below and above zero.
    pub fn diverging(limit: f64) -> Scale {
        Scale { low: -limit, high: limit, stops: &STRIPES }
    }

    /// Every `n`th of the round numbers on the scale, as (fraction, label).
    pub fn ticks(&self, n: usize) -> Vec<(f64, String)> {
        let axis = Axis::around(self.low, self.high, 6);
        let ticks = axis.every(n).map(|tick| (self.fraction(tick), axis.label(tick)));
        ticks.filter(|(fraction, _)| (0.0..=1.0).contains(fraction)).collect()
    }

    pub fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// The position of `value`: 0 at the low end, 1 at the high.
    pub fn fraction(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// The colour of `value`: one of those that the legend shows.
    pub fn colour(&self, value: f64) -> Colour {
        let step = (self.fraction(value) * f64::from(STEPS)).clamp(0.0, f64::from(STEPS - 1));
        self.step(step as u32)
    }

    /// The colour of a step of the scale, the first of which is 0.
    pub fn step(&self, step: u32) -> Colour {
        let [red, green, blue] = self.rgb_at((f64::from(step) + 0.5) / f64::from(STEPS)).map(u32::from);
        Colour(format!("#{:06x}", red << 16 | green << 8 | blue))
    }

    pub fn rgb(&self, value: f64) -> [u8; 3] {
        self.rgb_at(self.fraction(value))
    }

    /// Between two of the stops in proportion.
    pub fn rgb_at(&self, fraction: f64) -> [u8; 3] {
        let place = fraction.clamp(0.0, 1.0) * (self.stops.len() - 1) as f64;
        let index = (place as usize).min(self.stops.len() - 2);
        let part = place - index as f64;
        let [from, to] = [self.stops[index], self.stops[index + 1]];
        [16, 8, 0].map(|shift| {
            let [from, to] = [from, to].map(|colour| f64::from(colour >> shift & 0xff));
            (from + part * (to - from)).round() as u8
        })
    }
}

/// At least a degree, or noise would look like weather; and so much that an `f64` tells the ticks apart.
pub fn widened(low: f64, high: f64) -> (f64, f64) {
    let least = f64::max(1.0, low.abs().max(high.abs()) * 1e-6);
    let lacking = (least - (high - low)).max(0.0) / 2.0;
    (low - lacking, high + lacking)
}
