//! The mean error of a replayed layer, from its float and quantized outputs.

use intact8_ir::{Result, Tensor};
use std::ops::AddAssign;

/// Sums of the differences between float and quantized outputs.
#[derive(Default)]
pub(super) struct OutputSums {
    /// The sum for each channel.
    channels: Vec<f64>,
    /// The number of values in each channel.
    n_values: usize,
}

impl OutputSums {
    /// Adds the outputs of one run; `axis` is that of the channels, and counts from the end if it is negative.
    pub(super) fn observe(&mut self, float: &Tensor, quantized: &Tensor, axis: isize) -> Result<()> {
        let shape = float.shape();
        let axis = if axis < 0 { shape.len() - axis.unsigned_abs() } else { axis as usize };
        let (n_channels, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>().max(1));
        self.channels.resize(n_channels, 0.0);
        let (float, quantized) = (float.values::<f32>()?, quantized.values::<f32>()?);
        for (idx, (float, quantized)) in float.chunks(inner).zip(quantized.chunks(inner)).enumerate() {
            let sum: f64 = float.iter().zip(quantized).map(|(float, found)| f64::from(float - found)).sum();
            self.channels[idx % n_channels] += sum;
        }
        self.n_values += float.len() / n_channels.max(1);
        Ok(())
    }

    /// The mean difference of each channel.
    pub(super) fn means(self) -> Vec<f32> {
        let n_values = self.n_values.max(1) as f64;
        self.channels.into_iter().map(|sum| (sum / n_values) as f32).collect()
    }
}

impl AddAssign<&OutputSums> for OutputSums {
    fn add_assign(&mut self, other: &OutputSums) {
        self.channels.resize(self.channels.len().max(other.channels.len()), 0.0);
        self.channels.iter_mut().zip(&other.channels).for_each(|(mine, theirs)| *mine += theirs);
        self.n_values += other.n_values;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_difference_of_each_channel() {
        let mut sums = OutputSums::default();
        let float = Tensor::new(&[2, 2], vec![1.0f32, 2.0, 3.0, 4.0]);
        let quantized = Tensor::new(&[2, 2], vec![0.5f32, 2.5, 2.5, 3.5]);
        sums.observe(&float, &quantized, -1).unwrap();
        // Channel 0 differs by ½ in both rows; channel 1 by -½ and ½.
        assert_eq!(sums.means(), [0.5, 0.0]);
    }
}
