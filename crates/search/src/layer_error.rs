//! What quantization does to the outputs of layers: how far each channel is off on average, and how much error is left.

use crate::calibrate::watch;
use crate::evaluator::Evaluator;
use crate::replay::Replay;
use quantfit_ir::{Model, Result, Tensor};
use quantfit_quant::{QuantConfig, Record};
use std::collections::BTreeMap;

/// The error at a layer's output, each layer quantized alone, on the inputs that it has in the float model.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct LayerError {
    /// The mean of float minus quantized in each output channel: what correcting the bias adds.
    pub(crate) means: Vec<f32>,
    /// The squared error in relation to the squared output, and what is left of it when the means are added.
    pub(crate) relative: f64,
    pub(crate) corrected: f64,
}

/// The errors of the enabled layers whose outputs have channels, by name.
pub(crate) fn layer_errors(
    model: &Model,
    config: &QuantConfig,
    record: &Record,
    evaluator: &mut impl Evaluator,
) -> Result<BTreeMap<String, LayerError>> {
    let layers = config.enabled(model).into_iter().filter(|(layer, _)| layer.output_axis().is_some());
    let replay = |layer| Ok((Replay::new(model, config, record, &layer)?, Sums::default()));
    let mut replays: Vec<(Replay, Sums)> = layers.map(|(layer, _)| replay(layer)).collect::<Result<_>>()?;
    watch(model, config, evaluator, &mut |place, tensor| {
        replays.iter_mut().try_for_each(|(replay, sums)| {
            let axis = replay.layer.output_axis().unwrap_or(-1);
            replay.see(place, tensor, |_, _, float, quantized| sums.observe(float, quantized, axis))
        })
    })?;
    Ok(replays.into_iter().map(|(replay, sums)| (replay.layer.name, sums.finish())).collect())
}

#[derive(Default)]
struct Sums {
    /// Of the differences of each channel.
    channels: Vec<f64>,
    squared_errors: f64,
    squares: f64,
    /// Values of each channel.
    n_values: usize,
}

impl Sums {
    fn observe(&mut self, float: &Tensor, quantized: &Tensor, axis: isize) -> Result<()> {
        let shape = float.shape();
        let axis = if axis < 0 { shape.len() - axis.unsigned_abs() } else { axis as usize };
        let (n_channels, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>().max(1));
        self.channels.resize(n_channels, 0.0);
        let (float, quantized) = (float.values::<f32>()?, quantized.values::<f32>()?);
        for (idx, (float, quantized)) in float.chunks(inner).zip(quantized.chunks(inner)).enumerate() {
            let [mut sum, mut squared_errors, mut squares] = [0.0; 3];
            for (float, quantized) in float.iter().zip(quantized) {
                let difference = f64::from(float - quantized);
                sum += difference;
                squared_errors += difference * difference;
                squares += f64::from(*float).powi(2);
            }
            self.channels[idx % n_channels] += sum;
            self.squared_errors += squared_errors;
            self.squares += squares;
        }
        self.n_values += float.len() / n_channels.max(1);
        Ok(())
    }

    fn finish(self) -> LayerError {
        let n_values = self.n_values.max(1) as f64;
        let means: Vec<f64> = self.channels.into_iter().map(|sum| sum / n_values).collect();
        let of_means: f64 = means.iter().map(|mean| mean * mean * n_values).sum();
        let squares = self.squares.max(f64::MIN_POSITIVE);
        LayerError {
            means: means.into_iter().map(|mean| mean as f32).collect(),
            relative: self.squared_errors / squares,
            corrected: (self.squared_errors - of_means).max(0.0) / squares,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_without_the_means() {
        let mut sums = Sums::default();
        let float = Tensor::new(&[2, 2], vec![1.0f32, 2.0, 3.0, 4.0]);
        let quantized = Tensor::new(&[2, 2], vec![0.5f32, 2.5, 2.5, 3.5]);
        sums.observe(&float, &quantized, -1).unwrap();
        let error = sums.finish();
        // Channel 0 is off by ½ both times; channel 1 by -½ and ½.
        assert_eq!(error.means, [0.5, 0.0]);
        assert_eq!((error.relative, error.corrected), (1.0 / 30.0, 0.5 / 30.0));
    }
}
