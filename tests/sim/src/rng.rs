//! Randomness that a seed decides: xoshiro256** (Blackman and Vigna, 2018), filled by SplitMix64.

use std::cell::Cell;

/// A stream of random numbers.
#[derive(Debug)]
pub(crate) struct Rng(Cell<[u64; 4]>);

impl Rng {
    /// The stream of this seed. Streams with different names are independent.
    pub(crate) fn new(seed: u64, name: u64) -> Self {
        let mut state = seed ^ name.wrapping_mul(0xA076_1D64_78BD_642F);
        let mut word = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        Self(Cell::new([word(), word(), word(), word()]))
    }

    /// Any number.
    pub(crate) fn next(&self) -> u64 {
        let [a, b, c, d] = self.0.get();
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.0.set([a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)]);
        result
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        debug_assert!(bound > 0, "there is a number below the bound");
        let wide = u128::from(self.next()) * u128::from(bound);
        // The high half is below `bound`.
        (wide >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&self, low: i64, high: i64) -> i64 {
        debug_assert!(low <= high, "there is a number between the bounds");
        low + self.below(high.abs_diff(low) + 1) as i64
    }

    /// Whether something happens that happens `ppm` times in a million.
    pub(crate) fn chance(&self, ppm: u64) -> bool {
        ppm > 0 && self.below(1_000_000) < ppm
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// One of as many.
    pub(crate) fn index(&self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// Sixteen bytes.
    pub(crate) fn bytes(&self) -> [u8; 16] {
        let wide = (u128::from(self.next()) << 64) | u128::from(self.next());
        wide.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_stream() {
        let draw = |seed, name| {
            let rng = Rng::new(seed, name);
            [rng.next(), rng.next(), rng.next()]
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
    }

    #[test]
    fn bounds_hold_and_are_reached() {
        let rng = Rng::new(7, 0);
        let drawn: Vec<i64> = (0..1_000).map(|_| rng.between(-2, 2)).collect();
        assert_eq!(drawn.iter().min(), Some(&-2));
        assert_eq!(drawn.iter().max(), Some(&2));
    }
}
