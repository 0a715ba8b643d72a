//! Histograms in few bytes, which are added to another histogram without being unpacked: most of the time of merging shards.
//!
//! Numbers are written seven bits in a byte, the lowest first, with the highest bit of all but the last byte set (LEB128).

use super::counts::{first_bins, no_bins};
use super::{Histogram, NEGATIVE, SUB_BINS, n_joined_bits};
use intact8_ir::{Error, Result};

/// A histogram in few bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackedHistogram {
    /// The floor, as [`counts`](Histogram::counts) returns it.
    pub floor: u32,
    /// For each run of neighbouring bins that are not empty the number of empty ones before it, and of those.
    pub bins: Vec<u8>,
    /// The counts of the bins that are not empty.
    pub counts: Vec<u8>,
}

impl Histogram {
    /// The histogram in few bytes.
    pub fn packed(&self) -> PackedHistogram {
        let (floor, all) = self.counts();
        let (mut bins, mut counts) = (Vec::new(), Vec::new());
        let mut next = 0;
        for run in all.chunk_by(|(bin, _), (other, _)| bin + 1 == *other) {
            let first = run[0].0;
            write(u64::from(first - next), &mut bins);
            write(run.len() as u64, &mut bins);
            run.iter().for_each(|&(_, count)| write(count, &mut counts));
            next = first + run.len() as u32;
        }
        PackedHistogram { floor, bins, counts }
    }

    /// Adds a packed histogram: its floor, its bins, and the counts of these.
    ///
    /// # Errors
    /// If the bytes are not those of a histogram; some of the counts are then added.
    pub fn add_packed(&mut self, floor: u32, bins: &[u8], counts: &[u8]) -> Result<()> {
        if floor as usize >= NEGATIVE {
            return Err(no_bins());
        }
        let firsts = first_bins(floor);
        let (mut bins, mut counts) = (Numbers(bins), Numbers(counts));
        let (mut next, mut octave) = (0u32, 0);
        while !bins.0.is_empty() {
            let after = |n: u64, number: u32| u32::try_from(n).ok().and_then(|n| number.checked_add(n));
            next = after(bins.read()?, next).ok_or_else(no_bins)?;
            let end = after(bins.read()?, next).ok_or_else(no_bins)?;
            while next < end {
                while firsts.get(octave + 1).is_some_and(|&first| first <= next) {
                    octave += 1;
                }
                let n_bits = n_joined_bits(octave, floor);
                let (sub, n_subs) = ((next - firsts[octave]) as usize, SUB_BINS >> n_bits);
                if octave % NEGATIVE == NEGATIVE - 1 || sub >= n_subs {
                    return Err(no_bins());
                }
                let in_octave = sub..n_subs.min(sub + (end - next) as usize);
                next += in_octave.len() as u32;
                let of_octave = self.octaves[octave].get_or_insert_with(|| Box::new([0; SUB_BINS]));
                for sub in in_octave {
                    let sum = &mut of_octave[sub << n_bits];
                    *sum = sum.saturating_add(counts.read()?);
                }
            }
        }
        if !counts.0.is_empty() {
            return Err(Error::invalid_data("a histogram has more counts than bins"));
        }
        self.join_both(floor);
        Ok(())
    }
}

fn write(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The bytes of numbers that are still to be read.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    /// # Errors
    /// If there is none, or it has more than 64 bits.
    #[inline]
    fn read(&mut self) -> Result<u64> {
        match self.0 {
            [byte @ 0..0x80, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            _ => self.read_long(),
        }
    }

    fn read_long(&mut self) -> Result<u64> {
        let wrong = || Error::invalid_data("a histogram has fewer counts than bins, or damaged ones");
        let (mut number, mut shift) = (0, 0);
        loop {
            let (&byte, rest) = self.0.split_first().ok_or_else(wrong)?;
            self.0 = rest;
            let digit = u64::from(byte & 0x7f);
            if shift > 63 || digit << shift >> shift != digit {
                return Err(wrong());
            }
            number |= digit << shift;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BIN_SHIFT, MAX_BINS, N_OCTAVES, SUB_BITS};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let numbers = [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|&number| write(number, &mut bytes));
        let mut read = Numbers(&bytes);
        assert_eq!(numbers.map(|_| read.read().unwrap()), numbers);
        assert!(read.read().is_err());
        for damaged in [vec![0x80], vec![0xff; 10], [&[0xff; 9][..], &[2]].concat()] {
            assert!(Numbers(&damaged).read().is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn bytes_of_no_histogram_are_errors() {
        let message = |floor: u32, bins: &[u8], counts: &[u8]| {
            Histogram::default().add_packed(floor, bins, counts).unwrap_err().to_string()
        };
        assert_eq!(message(0, &[3, 2], &[1]), "a histogram has fewer counts than bins, or damaged ones");
        assert_eq!(message(0, &[3, 2], &[1, 2, 3]), "a histogram has more counts than bins");
        assert_eq!(message(256, &[3, 1], &[1]), no_bins().to_string());
        // The first bin of the octave of infinities, the first after all octaves, and more bins than numbers.
        for first in [255 << SUB_BITS, (N_OCTAVES << SUB_BITS) as u64, u64::from(u32::MAX), u64::MAX] {
            let mut bins = Vec::new();
            [first, 1].into_iter().for_each(|number| write(number, &mut bins));
            assert_eq!(message(0, &bins, &[1]), no_bins().to_string(), "{first}");
        }
    }

    /// A histogram with so many bins that are not empty, neighbours from one on that is drawn, and some that are drawn alone.
    fn histogram() -> impl Strategy<Value = Histogram> {
        let bin = 0u32..(254 << SUB_BITS);
        let alone = prop::collection::vec((bin.clone(), any::<bool>(), 1u64..1 << 40), 0..300);
        (bin, 0u32..9000, alone).prop_map(|(first, n, alone)| {
            let mut histogram = Histogram::default();
            let neighbours = (first..(254 << SUB_BITS).min(first + n))
                .map(|bin| (bin, bin % 7 == 3, u64::from(bin % 900 + 1)));
            for (bin, is_negative, count) in neighbours.chain(alone) {
                *histogram.count_of(bin << BIN_SHIFT | u32::from(is_negative) << 31) += count;
            }
            histogram
        })
    }

    proptest! {
        /// Parts that are bounded or not, packed or not, in any order and any groups.
        #[test]
        fn parts_in_any_grouping_add_up_to_the_bounded_whole(
            parts in prop::collection::vec((histogram(), any::<bool>(), any::<bool>()), 1..7),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 14),
        ) {
            let mut whole = Histogram::default();
            parts.iter().for_each(|(part, ..)| whole += part);
            whole.bound();
            prop_assert!(whole.counts().1.len() <= MAX_BINS);
            let mut groups: Vec<(Histogram, bool)> = Vec::new();
            for (mut part, is_bounded, is_packed) in parts {
                if is_bounded {
                    part.bound();
                }
                groups.push((part, is_packed));
            }
            let mut picks = picks.iter();
            while groups.len() > 1 {
                let (part, is_packed) = groups.swap_remove(picks.next().unwrap().index(groups.len()));
                let to = picks.next().unwrap().index(groups.len());
                let (sum, is_bounded) = &mut groups[to];
                if is_packed {
                    let PackedHistogram { floor, bins, counts } = part.packed();
                    sum.add_packed(floor, &bins, &counts).unwrap();
                } else {
                    *sum += &part;
                }
                if *is_bounded {
                    sum.bound();
                }
            }
            let mut merged = groups.remove(0).0;
            merged.bound();
            prop_assert_eq!(merged.packed(), whole.packed());
        }
    }
}
