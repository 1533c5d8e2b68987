//! White noise that can be asked for at any index, in any order.
//!
//! The hash is our own so that the weather of a seed never changes with a dependency.

/// One stream of independent numbers; streams of the same seed have nothing in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    key: u64,
}

impl Noise {
    pub(super) fn new(seed: u64, stream: u64) -> Noise {
        Noise { key: splitmix64(splitmix64(seed) ^ stream) }
    }

    /// Evenly distributed in `[0, 1)`.
    pub(super) fn at(self, index: u64) -> f64 {
        // The upper 53 bits are as many as an f64 holds exactly.
        (splitmix64(self.key ^ index) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The output function of the SplitMix64 generator (Steele, Lea and Flood, 2014).
fn splitmix64(state: u64) -> u64 {
    let z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Noise, splitmix64};

    /// The first outputs of the reference generator (java.util.SplittableRandom's constants) for seed 1234567.
    #[test]
    fn hash_is_splitmix64() {
        let outputs: Vec<u64> = (0..3u64)
            .map(|n| splitmix64(1_234_567u64.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15))))
            .collect();
        assert_eq!(
            outputs,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn streams_of_a_seed_differ() {
        assert_ne!(Noise::new(7, 0).at(1), Noise::new(7, 1).at(1));
        assert_ne!(Noise::new(7, 0).at(1), Noise::new(8, 0).at(1));
    }
}
