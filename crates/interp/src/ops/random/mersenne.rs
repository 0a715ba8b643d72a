//! The generator of random numbers: the Mersenne Twister of M. Matsumoto and T. Nishimura (1998), with the seeding and
//! the distributions of NumPy's `RandomState`, so that seeded operators agree with ONNX's reference implementation.

/// The size of the state.
const N: usize = 624;
/// The distance of two numbers of the state that are mixed.
const M: usize = 397;

/// A stream of random numbers.
pub(super) struct Mersenne {
    state: Box<[u32; N]>,
    /// The number of used numbers of the state.
    used: usize,
    /// The second number of a normally distributed pair, if it was not drawn yet.
    normal: Option<f64>,
}

impl Mersenne {
    /// The stream of a seed.
    pub(super) fn new(seed: u32) -> Mersenne {
        let mut state = Box::new([seed; N]);
        for i in 1..N {
            let last = state[i - 1];
            state[i] = (last ^ last >> 30).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Mersenne { state, used: N, normal: None }
    }

    /// 32 random bits.
    fn bits(&mut self) -> u32 {
        if self.used == N {
            self.refill();
        }
        let mut y = self.state[self.used];
        self.used += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    fn refill(&mut self) {
        for i in 0..N {
            let y = self.state[i] & 0x8000_0000 | self.state[(i + 1) % N] & 0x7fff_ffff;
            let twist = if y & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[i] = self.state[(i + M) % N] ^ y >> 1 ^ twist;
        }
        self.used = 0;
    }

    /// A number in `[0, 1)`, a multiple of 2^-53.
    pub(super) fn uniform(&mut self) -> f64 {
        let (high, low) = (self.bits() >> 5, self.bits() >> 6);
        (f64::from(high) * f64::from(1 << 26) + f64::from(low)) / (1u64 << 53) as f64
    }

    /// A standard normally distributed number, by Marsaglia's polar method.
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(normal) = self.normal.take() {
            return normal;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.normal = Some(factor * x);
                return factor * y;
            }
        }
    }

    /// A Bernoulli trial with a probability, by inversion of the distribution function.
    pub(super) fn coin(&mut self, probability: f64) -> bool {
        if probability > 0.5 {
            return !self.happens(1.0 - probability);
        }
        self.happens(probability)
    }

    fn happens(&mut self, probability: f64) -> bool {
        let missed = (1.0 - probability).ln().exp();
        let hit = probability * missed / (1.0 - probability);
        loop {
            let number = self.uniform();
            if number <= missed {
                return false;
            }
            // The sum of the two may be slightly less than 1.
            if number - missed <= hit {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bits_agree_with_the_paper() {
        let mut random = Mersenne::new(5489);
        assert_eq!(random.bits(), 3_499_211_612);
        assert_eq!((1..10_000).map(|_| random.bits()).last(), Some(4_123_659_995));
    }

    #[test]
    fn random_numbers_agree_with_numpy() {
        let mut random = Mersenne::new(0);
        assert_eq!(
            [0; 3].map(|_| random.uniform()),
            [0.548_813_503_927_324_8, 0.715_189_366_372_419_5, 0.602_763_376_071_643_9]
        );
        let mut random = Mersenne::new(0);
        assert_eq!(
            [0; 3].map(|_| random.normal()),
            [1.764_052_345_967_664, 0.400_157_208_367_223_3, 0.978_737_984_105_739_2]
        );
    }
}
