//! Statistics of the values of an activation: of bounded size, for any number of values.
//!
//! Statistics of parts of the data, gathered in any order and on any machine, add up to those of the whole bit for bit:
//! everything is counted in integers, compared or summed exactly.

use super::{Histogram, Weighted};
use crate::exact_sum::ExactSum;
use intact8_ir::{Error, Result, Tensor};
#[cfg(feature = "config-files")]
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Statistics of all observed values of an activation.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
pub struct Statistics {
    /// The number of observed batches, or of the parts in which they ran.
    pub n_batches: u64,
    /// The number of observed values.
    pub n_values: u64,
    /// The least value; 0 as long as there is none.
    pub min: f32,
    /// The greatest value; 0 as long as there is none.
    pub max: f32,
    /// The sum of the least values of these.
    pub sum_of_min: ExactSum,
    /// The sum of the greatest values of these.
    pub sum_of_max: ExactSum,
    /// The histogram of the values.
    pub histogram: Histogram,
    /// The same with a weight per channel, where all uses are layers with weights.
    pub weighted: Option<Weighted>,
    /// The greatest magnitude in each channel, where it is required.
    pub channels: Option<ChannelMaxima>,
}

/// The greatest magnitude in each channel.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
pub struct ChannelMaxima {
    /// The dimension that counts channels; from the end if negative.
    pub axis: isize,
    /// The magnitudes; empty before the first value.
    pub maxima: Vec<f32>,
}

impl Statistics {
    /// Observes the values of one batch. An error if they are not of f32, or not all finite.
    pub fn observe(&mut self, tensor: &Tensor) -> Result<()> {
        let values = tensor.values::<f32>()?;
        let extremes = intact8_kernels::reduce::min_max(values);
        if extremes.non_finite {
            let value = values.iter().find(|value| !value.is_finite()).copied().unwrap_or(f32::NAN);
            return Err(Error::invalid_data(format!("the calibration data hold {value} here; check them")));
        }
        self.n_batches += 1;
        if values.is_empty() {
            return Ok(());
        }
        self.widen(extremes.min, extremes.max, values.len() as u64);
        self.sum_of_min.add(extremes.min.into());
        self.sum_of_max.add(extremes.max.into());
        match &mut self.weighted {
            None => self.histogram.count(values, 1),
            Some(weighted) => weighted.count_both(values, tensor.shape(), &mut self.histogram)?,
        }
        if let Some(channels) = &mut self.channels {
            channels.observe(values, tensor.shape())?;
        }
        Ok(())
    }

    /// The same statistics in bounded memory, whatever the number of values: the histograms have at most [`MAX_BINS`](super::MAX_BINS)
    /// bins. Bounding parts before they are added, or only their sum, gives the same statistics.
    pub fn bounded(&mut self) {
        // Which zero is the least or greatest value depends on the order of the values.
        (self.min, self.max) = (self.min + 0.0, self.max + 0.0);
        let floor = self.histogram.bound();
        // The same values are in both histograms, so they have the same bins.
        self.weighted.iter_mut().for_each(|weighted| weighted.histogram.raise_floor(floor));
    }

    /// Adds the extremes and the number of further values; their histogram is added apart.
    pub fn widen(&mut self, min: f32, max: f32, n_values: u64) {
        if n_values == 0 {
            return;
        }
        let is_first = self.n_values == 0;
        self.n_values += n_values;
        self.min = if is_first { min } else { self.min.min(min) };
        self.max = if is_first { max } else { self.max.max(max) };
    }
}

impl ChannelMaxima {
    /// Observes values of that shape.
    pub(crate) fn observe(&mut self, values: &[f32], shape: &[usize]) -> Result<()> {
        let maxima = &mut self.maxima;
        for_each_channel(values, shape, self.axis, |channel, values| {
            if maxima.len() <= channel {
                maxima.resize(channel + 1, 0.0);
            }
            let greatest = values.iter().fold(0.0f32, |greatest, value| greatest.max(value.abs()));
            maxima[channel] = maxima[channel].max(greatest);
        })
    }

    /// Adds the maxima of other data.
    pub fn merge(&mut self, other: &ChannelMaxima) {
        self.maxima.resize(self.maxima.len().max(other.maxima.len()), 0.0);
        self.maxima.iter_mut().zip(&other.maxima).for_each(|(mine, theirs)| *mine = mine.max(*theirs));
    }
}

/// Checks that values of that shape have so many channels in a dimension, which is counted from the end if negative.
pub(crate) fn check_channels(shape: &[usize], axis: isize, n_channels: usize) -> Result<()> {
    let from_front = if axis < 0 { axis + shape.len() as isize } else { axis };
    let found = usize::try_from(from_front).ok().and_then(|axis| shape.get(axis));
    if found == Some(&n_channels) {
        return Ok(());
    }
    let message =
        format!("the values have the shape {shape:?}, and need {n_channels} channels in dimension {axis}");
    Err(Error::invalid_data(message))
}

/// Calls `see` with every run of values of one channel.
pub(super) fn for_each_channel(
    values: &[f32],
    shape: &[usize],
    axis: isize,
    mut see: impl FnMut(usize, &[f32]),
) -> Result<()> {
    let from_front = if axis < 0 { axis + shape.len() as isize } else { axis };
    let Some(axis) = usize::try_from(from_front).ok().filter(|&axis| axis < shape.len()) else {
        return Err(Error::invalid_data(format!(
            "the values have the shape {shape:?}, and no dimension {axis}"
        )));
    };
    let (len, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    values.chunks_exact(inner.max(1)).enumerate().for_each(|(idx, values)| see(idx % len, values));
    Ok(())
}

impl AddAssign<&Statistics> for Statistics {
    /// Adds the observations of the other. Both must be of the same activation.
    fn add_assign(&mut self, other: &Statistics) {
        self.widen(other.min, other.max, other.n_values);
        self.n_batches += other.n_batches;
        self.sum_of_min += &other.sum_of_min;
        self.sum_of_max += &other.sum_of_max;
        self.histogram += &other.histogram;
        if let (Some(mine), Some(theirs)) = (&mut self.weighted, &other.weighted) {
            mine.histogram += &theirs.histogram;
        }
        if let (Some(mine), Some(theirs)) = (&mut self.channels, &other.channels) {
            mine.merge(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(batches: &[&[f32]]) -> Statistics {
        let weighted = Weighted { axis: 1, weights: vec![1, 300], histogram: Histogram::default() };
        let channels = ChannelMaxima { axis: -1, maxima: vec![] };
        let mut statistics =
            Statistics { weighted: Some(weighted), channels: Some(channels), ..Statistics::default() };
        for batch in batches {
            statistics.observe(&Tensor::new(&[batch.len() / 2, 2], batch.to_vec())).unwrap();
        }
        statistics
    }

    #[test]
    fn statistics_of_shards_add_up() {
        let [a, b, c]: [&[f32]; 3] = [&[0.5, -2.0, 7.25, 0.0], &[1.0, 3.0], &[-4.0, 0.125]];
        let whole = observed(&[a, b, c]);
        let mut shards = observed(&[c]);
        shards += &observed(&[a, b]);
        assert_eq!(shards, whole);
        assert_eq!((whole.min, whole.max, whole.n_values, whole.n_batches), (-4.0, 7.25, 8, 3));
        assert_eq!(whole.channels.as_ref().unwrap().maxima, [7.25, 3.0]);
    }

    #[cfg(feature = "config-files")]
    #[test]
    fn statistics_are_written_and_read() {
        let statistics = observed(&[&[0.5, -2.0, 7.25, 0.0]]);
        let json = serde_json::to_string(&statistics).unwrap();
        assert_eq!(serde_json::from_str::<Statistics>(&json).unwrap(), statistics);
    }

    #[test]
    fn not_a_number_is_refused() {
        let error = Statistics::default().observe(&Tensor::new(&[2], vec![1.0, f32::NAN])).unwrap_err();
        assert_eq!(error.to_string(), "the calibration data hold NaN here; check them");
    }
}
