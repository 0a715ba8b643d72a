//! The counts of a histogram outside of it, by the numbers of their bins.

use super::{BIN_SHIFT, Histogram, N_OCTAVES, NEGATIVE, SUB_BINS, SUB_BITS, n_joined_bits};
use intact8_ir::{Error, Result};
#[cfg(feature = "config-files")]
use serde::{Deserialize, Serialize};
#[cfg(feature = "config-files")]
use std::collections::BTreeMap;

impl Histogram {
    /// The floor, and the counts that are not 0, each with the number of its bin: bins are numbered by the bits of their numbers.
    pub fn counts(&self) -> (u32, Vec<(u32, u64)>) {
        let octaves = self.octaves.iter().enumerate().zip(first_bins(self.floor));
        let counts = octaves.filter_map(|((octave, bins), first)| Some((octave, bins.as_ref()?, first)));
        let counts = counts.flat_map(|(octave, bins, first)| {
            let n_bits = n_joined_bits(octave, self.floor);
            bins.iter().enumerate().map(move |(sub, &count)| (first + (sub >> n_bits) as u32, count))
        });
        (self.floor, counts.filter(|(_, count)| *count > 0).collect())
    }

    /// The histogram with these counts and this floor, as [`counts`](Histogram::counts) returns them.
    ///
    /// # Errors
    /// If a number of a bin is that of no finite number, or the floor is no exponent.
    pub fn of_counts(floor: u32, counts: &[(u32, u64)]) -> Result<Histogram> {
        if floor as usize >= NEGATIVE {
            return Err(no_bins());
        }
        let (mut histogram, firsts) = (Histogram::default(), first_bins(floor));
        for &(number, count) in counts {
            let octave = firsts.partition_point(|&first| first <= number) - 1;
            let sub = ((number - firsts[octave]) as usize) << n_joined_bits(octave, floor);
            if octave % NEGATIVE == NEGATIVE - 1 || sub >= SUB_BINS {
                return Err(no_bins());
            }
            *histogram.count_of(((octave << SUB_BITS | sub) as u32) << BIN_SHIFT) += count;
        }
        histogram.raise_floor(floor);
        Ok(histogram)
    }
}

pub(super) fn no_bins() -> Error {
    Error::invalid_data("the bins of a histogram are those of no finite numbers")
}

/// The number of the first bin of each octave.
pub(super) fn first_bins(floor: u32) -> Vec<u32> {
    let n_bins = |octave: usize| (SUB_BINS >> n_joined_bits(octave, floor)) as u32;
    let next = |sum: &mut u32, octave: usize| Some(std::mem::replace(sum, *sum + n_bins(octave)));
    (0..N_OCTAVES).scan(0, next).collect()
}

/// A histogram in files: its floor, and counts by the numbers of their bins.
#[cfg(feature = "config-files")]
#[derive(Serialize, Deserialize)]
pub(super) struct Counts {
    floor: u32,
    bins: BTreeMap<u32, u64>,
}

#[cfg(feature = "config-files")]
impl TryFrom<Counts> for Histogram {
    type Error = Error;

    fn try_from(Counts { floor, bins }: Counts) -> Result<Histogram> {
        Histogram::of_counts(floor, &bins.into_iter().collect::<Vec<_>>())
    }
}

#[cfg(feature = "config-files")]
impl From<Histogram> for Counts {
    fn from(histogram: Histogram) -> Counts {
        let (floor, counts) = histogram.counts();
        Counts { floor, bins: counts.into_iter().collect() }
    }
}
