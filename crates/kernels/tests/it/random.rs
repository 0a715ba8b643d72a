//! Test data from a seed, so that a failing case prints as a few numbers.

/// A xorshift generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number in `[0, bound)`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((self.bits() >> 33) as usize) % bound
    }

    /// Values in `[-1, 1)` with a full mantissa.
    pub(crate) fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// Any bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.bits() >> 56) as u8).collect()
    }
}

/// Whether two results agree: bit for bit, or within the error of rounding each product.
#[track_caller]
pub(crate) fn assert_same(found: &[f32], expected: &[f32], exact: bool, magnitude: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        let same = if exact { x.to_bits() == y.to_bits() } else { (x - y).abs() <= magnitude * f32::EPSILON };
        assert!(same, "{what}: element {i} is {x:e}, expected {y:e}");
    }
}
