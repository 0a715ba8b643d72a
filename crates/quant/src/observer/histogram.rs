//! A histogram of 32-bit floats with bins of fixed borders, so that merging two is adding them.
//!
//! A bin holds the numbers that share sign, exponent and the upper bits of the mantissa: its width is a fixed part of
//! its numbers, for data of any range. Nothing is rescaled while data arrive, so the result depends neither
//! on their order nor on how they were split. Other tools have borders that follow the data.

#[cfg(feature = "config-files")]
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// The number of mantissa bits that distinguish bins: the widest bin is 1/512 of its numbers.
const SUB_BITS: u32 = 9;
const SUB_BINS: usize = 1 << SUB_BITS;
const OCTAVE_SHIFT: u32 = f32::MANTISSA_DIGITS - 1;
const BIN_SHIFT: u32 = OCTAVE_SHIFT - SUB_BITS;
/// Sign and exponent.
const N_OCTAVES: usize = 1 << (32 - OCTAVE_SHIFT);
const NEGATIVE: usize = N_OCTAVES / 2;

/// An octave with fewer non-empty bins occurs rarely.
const FEW_BINS: usize = SUB_BINS / 8;

/// Counts of numbers, by bins of fixed borders. Only octaves that occur use memory.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "config-files", serde(from = "BTreeMap<u32, u64>", into = "BTreeMap<u32, u64>"))]
pub struct Histogram {
    octaves: Vec<Option<Box<[u64; SUB_BINS]>>>,
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
        Histogram { octaves: vec![None; N_OCTAVES] }
    }
}

impl Histogram {
    /// Counts finite numbers, each `weight` times.
    pub fn count(&mut self, values: &[f32], weight: u64) {
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

    /// Forgets all counts, and keeps the memory of octaves that often occur: with the memory of all octaves, it would grow
    /// with every octave that ever occurred.
    pub(super) fn clear(&mut self) {
        for octave in &mut self.octaves {
            let n_counted = octave.iter().flat_map(|bins| bins.iter()).filter(|count| **count > 0).count();
            octave.take_if(|_| n_counted < FEW_BINS);
            octave.iter_mut().for_each(|bins| bins.fill(0));
        }
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
        let bin = |octave: usize, sub: usize, count: u64| {
            // Of the magnitude alone; the last bin of an octave ends where the next one begins.
            let low = ((octave % NEGATIVE) as u32) << OCTAVE_SHIFT | (sub as u32) << BIN_SHIFT;
            let (low, high) = (f32::from_bits(low), f32::from_bits(low + (1 << BIN_SHIFT)));
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

/// Counts by the upper bits of their numbers.
impl From<BTreeMap<u32, u64>> for Histogram {
    fn from(counts: BTreeMap<u32, u64>) -> Histogram {
        let mut histogram = Histogram::default();
        for (bin, count) in counts {
            histogram.count(&[f32::from_bits(bin << BIN_SHIFT)], count);
        }
        histogram
    }
}

impl From<Histogram> for BTreeMap<u32, u64> {
    fn from(histogram: Histogram) -> BTreeMap<u32, u64> {
        let octaves = histogram.octaves.into_iter().enumerate();
        let octaves = octaves.filter_map(|(octave, bins)| Some((octave, bins?)));
        let counts = octaves.flat_map(|(octave, bins)| {
            let bin = |sub: usize| (octave << SUB_BITS | sub) as u32;
            bins.into_iter().enumerate().map(move |(sub, count)| (bin(sub), count)).collect::<Vec<_>>()
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl AddAssign<&Histogram> for Histogram {
    /// Adds the counts of the other.
    fn add_assign(&mut self, other: &Histogram) {
        for (mine, theirs) in self.octaves.iter_mut().zip(&other.octaves) {
            let Some(theirs) = theirs else { continue };
            let mine = mine.get_or_insert_with(|| Box::new([0; SUB_BINS]));
            mine.iter_mut().zip(theirs.iter()).for_each(|(mine, theirs)| *mine += theirs);
        }
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
}
