//! The mean error of a replayed layer, from its float and quantized outputs.

use super::shortened;
use intact8_ir::{Result, Tensor};

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

    /// The sum of each channel, and the number of its summands.
    pub(super) fn errors(self) -> (Vec<f64>, u64) {
        (self.channels.into_iter().map(shortened).collect(), self.n_values as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_each_channel() {
        let mut sums = OutputSums::default();
        let float = Tensor::new(&[2, 2], vec![1.0f32, 2.0, 3.0, 4.0]);
        let quantized = Tensor::new(&[2, 2], vec![0.5f32, 2.5, 2.5, 3.5]);
        sums.observe(&float, &quantized, -1).unwrap();
        // Channel 0 differs by ½ in both rows; channel 1 by -½ and ½.
        assert_eq!(sums.errors(), (vec![1.0, 0.0], 2));
    }
}
