//! A histogram of 32-bit floats with bins of fixed borders, so that merging two is adding them.
//!
//! A bin holds the numbers that share sign, exponent and the upper bits of the mantissa: its width is a fixed part of
//! its numbers, for data of any range. Nothing is rescaled while data arrive, so the result depends neither
//! on their order nor on how they were split. Other tools have borders that follow the data.
//!
//! A histogram of very many values is bounded: below some magnitude, the floor, its bins are all as wide as those at the floor.
//! The floor is the least with which there are at most [`MAX_BINS`] bins that are not empty. As parts have no more such bins than the
//! whole, their floors are never higher than that of the whole: so bounding parts first gives the same histogram.

mod counts;
mod packed;

#[cfg(feature = "config-files")]
use counts::Counts;
pub use packed::PackedHistogram;
#[cfg(feature = "config-files")]
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// The number of mantissa bits that distinguish bins: the widest bin is 1/512 of its numbers.
const SUB_BITS: u32 = 9;
const SUB_BINS: usize = 1 << SUB_BITS;
const OCTAVE_SHIFT: u32 = f32::MANTISSA_DIGITS - 1;
const BIN_SHIFT: u32 = OCTAVE_SHIFT - SUB_BITS;
/// Sign and exponent.
const N_OCTAVES: usize = 1 << (32 - OCTAVE_SHIFT);
const NEGATIVE: usize = N_OCTAVES / 2;

/// The most bins that are not empty in a [bounded](Histogram::bound) histogram: twelve whole octaves.
pub const MAX_BINS: usize = 12 * SUB_BINS;

/// Counts of numbers, by bins of fixed borders. Only octaves that occur use memory.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "config-files", serde(try_from = "Counts", into = "Counts"))]
pub struct Histogram {
    octaves: Vec<Option<Box<[u64; SUB_BINS]>>>,
    /// The exponent below which bins are as wide as the bins there; 0 if all bins are as narrow as can be. The counts of a wider bin
    /// are at the first of the narrow ones.
    floor: u32,
}

/// A bin: the number of values in `low..=high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// The lower border.
    pub low: f64,
    /// The upper border.
    pub high: f64,
    /// The number of values in it.
    pub count: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { octaves: vec![None; N_OCTAVES], floor: 0 }
    }
}

impl Histogram {
    /// Counts finite numbers, each `weight` times.
    pub fn count(&mut self, values: &[f32], weight: u64) {
        self.count_in_narrow_bins(values, weight);
        self.join_again();
    }

    /// Joins bins below the floor in which narrow bins were counted.
    fn join_again(&mut self) {
        let floor = std::mem::take(&mut self.floor);
        self.raise_floor(floor);
    }

    fn count_in_narrow_bins(&mut self, values: &[f32], weight: u64) {
        const FEW: usize = 64;
        const N_AT_ONCE: usize = 512;
        if values.len() < FEW {
            values.iter().for_each(|value| *self.count_of(value.to_bits()) += weight);
            return;
        }
        let mut others = [0.0f32; N_AT_ONCE];
        for values in values.chunks(N_AT_ONCE) {
            // Half of the rectified values are 0, and increments of one bin must wait for each other.
            let mut n_others = 0;
            for &value in values {
                others[n_others] = value;
                n_others += usize::from(value.to_bits() != 0);
            }
            let n_zeros = values.len() - n_others;
            if n_zeros > 0 {
                *self.count_of(0) += n_zeros as u64 * weight;
            }
            others[..n_others].iter().for_each(|value| *self.count_of(value.to_bits()) += weight);
        }
    }

    /// Widens bins until at most [`MAX_BINS`] are not empty, and returns the floor: the exponent of the numbers, as their bits have
    /// it, below which bins are wider. The result of parts, bounded before they are added or not, is that of the whole.
    pub fn bound(&mut self) -> u32 {
        // The number of bins in each octave that are not empty, at each of the widths.
        let n_bins = |floor: u32| -> usize {
            let of_octave = |(octave, bins): (usize, &Option<Box<[u64; SUB_BINS]>>)| {
                let wide = 1 << n_joined_bits(octave, floor);
                let is_used = |bins: &&[u64]| bins.iter().any(|count| *count > 0);
                bins.as_ref().map_or(0, |bins| bins.chunks(wide).filter(is_used).count())
            };
            self.octaves.iter().enumerate().map(of_octave).sum()
        };
        let mut floor = self.floor;
        if n_bins(floor) > MAX_BINS {
            // The count does not increase with the floor.
            let (mut low, mut high) = (floor, NEGATIVE as u32 - 1);
            while high - low > 1 {
                let middle = low.midpoint(high);
                if n_bins(middle) > MAX_BINS { low = middle } else { high = middle }
            }
            floor = high;
        }
        self.raise_floor(floor);
        floor
    }

    /// Widens the bins below an exponent.
    pub(super) fn raise_floor(&mut self, floor: u32) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        for (octave, bins) in self.octaves.iter_mut().enumerate() {
            let (n_bits, Some(bins)) = (n_joined_bits(octave, floor), bins) else { continue };
            for joined in bins.chunks_mut(1 << n_bits).filter(|joined| joined.len() > 1) {
                let sum = joined.iter().sum();
                joined.fill(0);
                joined[0] = sum;
            }
        }
    }

    /// Joins bins after counts were added that have bins of another floor.
    fn join_both(&mut self, other_floor: u32) {
        // Bins of the one that are narrower than those of the other are joined.
        let floor = self.floor.max(other_floor);
        self.floor = self.floor.min(other_floor);
        self.raise_floor(floor);
    }

    /// Adds the lower halves of the counts to one histogram, the upper halves to another, and forgets them.
    pub(super) fn drain_halves(&mut self, lower: &mut Histogram, upper: &mut Histogram) {
        for (octave, bins) in self.octaves.iter_mut().enumerate() {
            let Some(bins) = bins.as_mut().filter(|bins| bins.iter().any(|count| *count > 0)) else {
                continue;
            };
            let [lower, upper] = [&mut *lower, &mut *upper]
                .map(|to| to.octaves[octave].get_or_insert_with(|| Box::new([0; SUB_BINS])));
            for ((count, lower), upper) in bins.iter_mut().zip(lower.iter_mut()).zip(upper.iter_mut()) {
                *lower += *count & u64::from(u32::MAX);
                *upper += *count >> 32;
                *count = 0;
            }
        }
        lower.join_again();
        upper.join_again();
    }

    fn count_of(&mut self, bits: u32) -> &mut u64 {
        let octave = &mut self.octaves[(bits >> OCTAVE_SHIFT) as usize];
        let bins = octave.get_or_insert_with(|| Box::new([0; SUB_BINS]));
        &mut bins[(bits >> BIN_SHIFT) as usize % SUB_BINS]
    }

    /// The bins that are not empty, ascending; neighbours are joined while they stay narrower than `min_width`.
    pub fn bins(&self, min_width: f64) -> Vec<Bin> {
        let mut joined: Vec<Bin> = Vec::new();
        for bin in self.ascending() {
            match joined.last_mut() {
                Some(last) if last.high == bin.low && bin.high - last.low <= min_width => {
                    last.high = bin.high;
                    last.count += bin.count;
                }
                _ => joined.push(bin),
            }
        }
        joined
    }

    /// The counts of those bins that lie in `low..=high`.
    pub(super) fn within(&self, low: f64, high: f64) -> Histogram {
        let mut within = Histogram::default();
        for bin in self.ascending().filter(|bin| low <= bin.low && bin.high <= high) {
            within.count(&[((bin.low + bin.high) / 2.0) as f32], bin.count);
        }
        within
    }

    fn ascending(&self) -> impl Iterator<Item = Bin> {
        let floor = self.floor;
        let bin = move |octave: usize, sub: usize, count: u64| {
            // Of the magnitude alone; the last bin of an octave ends where the next one begins.
            let low = ((octave % NEGATIVE) as u32) << OCTAVE_SHIFT | (sub as u32) << BIN_SHIFT;
            let width = 1 << (BIN_SHIFT + n_joined_bits(octave, floor));
            let (low, high) = (f32::from_bits(low), f32::from_bits(low + width));
            let (low, high) = (f64::from(low), f64::from(high.min(f32::MAX)));
            if octave < NEGATIVE { Bin { low, high, count } } else { Bin { low: -high, high: -low, count } }
        };
        let counts =
            |octave: usize| self.octaves[octave].iter().flat_map(|bins| bins.iter().copied().enumerate());
        let negative = (NEGATIVE..N_OCTAVES).rev().flat_map(move |octave| {
            let bins: Vec<(usize, u64)> = counts(octave).collect();
            bins.into_iter().rev().map(move |(sub, count)| bin(octave, sub, count))
        });
        let positive = (0..NEGATIVE)
            .flat_map(move |octave| counts(octave).map(move |(sub, count)| bin(octave, sub, count)));
        negative.chain(positive).filter(|bin| bin.count > 0)
    }
}

/// The number of bits of the bins of an octave that the floor makes equal: the bins are that many powers of two wider.
fn n_joined_bits(octave: usize, floor: u32) -> u32 {
    floor.saturating_sub((octave % NEGATIVE) as u32).min(SUB_BITS)
}

impl AddAssign<&Histogram> for Histogram {
    /// Adds the counts of the other.
    fn add_assign(&mut self, other: &Histogram) {
        for (mine, theirs) in self.octaves.iter_mut().zip(&other.octaves) {
            let Some(theirs) = theirs else { continue };
            let mine = mine.get_or_insert_with(|| Box::new([0; SUB_BINS]));
            mine.iter_mut().zip(theirs.iter()).for_each(|(mine, theirs)| *mine += theirs);
        }
        self.join_both(other.floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_ascend_and_hold_their_numbers() {
        let values = [-3.0f32, -0.25, -0.0, 0.0, 1e-30, 1.0, 1.0009, 1.5, 1e30, f32::MAX];
        let mut histogram = Histogram::default();
        histogram.count(&values, 1);
        let bins = histogram.bins(0.0);
        assert!(bins.windows(2).all(|pair| pair[0].high <= pair[1].low));
        for value in values.map(f64::from) {
            assert!(bins.iter().any(|bin| bin.low <= value && value <= bin.high), "{value}");
        }
        assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), values.len() as u64);
    }

    #[test]
    fn neighbours_below_the_least_width_are_joined() {
        let mut histogram = Histogram::default();
        let values: Vec<f32> = (0..4096).map(|idx| 1.0 + idx as f32 / 4096.0).collect();
        histogram.count(&values, 1);
        assert_eq!(histogram.bins(0.0).len(), 512);
        let bins = histogram.bins(0.25);
        assert_eq!(bins.iter().map(|bin| bin.count).collect::<Vec<_>>(), [1024; 4]);
    }

    #[test]
    fn shards_add_up_to_the_whole() {
        let values: Vec<f32> = (0..1000).map(|idx| ((idx * 7919) % 1000) as f32 / 37.0 - 13.0).collect();
        let [mut whole, mut a, mut b] = [(); 3].map(|()| Histogram::default());
        whole.count(&values, 1);
        a.count(&values[..123], 1);
        b.count(&values[123..], 1);
        a += &b;
        assert_eq!(a, whole);
    }

    /// Numbers of both signs whose magnitudes are spread over many octaves, denser towards the large ones.
    fn spread(n: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f32 / (1u64 << 31) as f32
        };
        (0..n).map(|_| (next() - 0.5) * (-30.0 * next() * next()).exp2()).collect()
    }

    #[test]
    fn bounded_parts_add_up_to_the_bounded_whole() {
        let parts: Vec<Vec<f32>> =
            [(200_000, 1), (3000, 2), (90_000, 3)].map(|(n, seed)| spread(n, seed)).to_vec();
        let (mut whole, mut merged) = (Histogram::default(), Histogram::default());
        for part in &parts {
            whole.count(part, 1);
        }
        let mut bounded: Vec<Histogram> = parts
            .iter()
            .map(|part| {
                let mut histogram = Histogram::default();
                histogram.count(part, 1);
                histogram.bound();
                histogram
            })
            .collect();
        bounded.rotate_left(1);
        for part in &bounded {
            merged += part;
            merged.bound();
        }
        let finest = whole.clone();
        whole.bound();
        assert!(whole.floor > 0 && bounded[0].floor == 0, "{} {}", whole.floor, bounded[0].floor);
        let (floor, counts) = whole.counts();
        assert!(counts.len() <= MAX_BINS && counts.len() > MAX_BINS / 2, "{}", counts.len());
        assert_eq!(merged.counts(), (floor, counts.clone()));
        assert!(Histogram::of_counts(floor, &counts).unwrap() == whole);
        // A bin holds all the numbers of the narrow ones that it covers, and none is lost.
        let narrow = finest.bins(0.0);
        for bin in whole.bins(0.0) {
            let inside = narrow.iter().filter(|narrow| bin.low <= narrow.low && narrow.high <= bin.high);
            assert_eq!(inside.map(|narrow| narrow.count).sum::<u64>(), bin.count, "{bin:?}");
        }
    }

    #[test]
    fn any_distribution_is_bounded() {
        let mut histogram = Histogram::default();
        let every_bin = (0..N_OCTAVES << SUB_BITS).map(|bin| f32::from_bits((bin as u32) << BIN_SHIFT));
        histogram.count(&every_bin.filter(|value| value.is_finite()).collect::<Vec<_>>(), 1);
        histogram.bound();
        assert!(histogram.counts().1.len() <= MAX_BINS);
        assert!(Histogram::of_counts(0, &[(255 << SUB_BITS, 1)]).is_err());
    }
}
