//! What quantization does to the outputs of layers: how far each channel is off on average, and how much error is left.

use crate::batches::each_batch_at_once;
use crate::evaluator::Evaluator;
use crate::replay::Replay;
use quantfit_interp::Session;
use quantfit_ir::{Model, Result, Tensor};
use quantfit_quant::{QuantConfig, Record};
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// The error at a layer's output, each layer quantized alone, on the inputs that it has in the float model.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct LayerError {
    /// The mean of float minus quantized in each output channel: what correcting the bias adds.
    pub(crate) means: Vec<f32>,
    /// The squared error in relation to the squared output, and what is left of it when the means are added.
    pub(crate) relative: f64,
    pub(crate) corrected: f64,
}

/// The errors of those enabled layers that a record has and whose outputs have channels, by name; for each of the records.
pub(crate) fn layer_errors<const N: usize>(
    model: &Model,
    config: &QuantConfig,
    records: [&Record; N],
    evaluator: &mut impl Evaluator,
) -> Result<[BTreeMap<String, LayerError>; N]> {
    let mut replays: Vec<(usize, isize, Replay)> = Vec::new();
    for (layer, _) in config.enabled(model) {
        let Some(axis) = layer.output_axis() else { continue };
        for (idx, record) in records.into_iter().enumerate() {
            if record.layers.contains_key(&layer.name) {
                replays.push((idx, axis, Replay::new(model, config, record, &layer)?));
            }
        }
    }
    let session = Session::new(model)?;
    let of_batch = |_, inputs: &[Tensor]| {
        let begun = replays.iter().map(|(_, _, replay)| (replay.begin(), Sums::default()));
        let mut begun: Vec<_> = begun.collect();
        session.run_tapped(inputs, &mut |place, tensor| {
            replays.iter().zip(&mut begun).try_for_each(|((_, axis, replay), (seen, sums))| {
                match replay.see(seen, place, tensor)? {
                    Some((_, quantized)) => sums.observe(tensor, &quantized, *axis),
                    None => Ok(()),
                }
            })
        })?;
        Ok(begun.into_iter().map(|(_, sums)| sums).collect::<Vec<_>>())
    };
    let mut sums: Vec<Sums> = replays.iter().map(|_| Sums::default()).collect();
    each_batch_at_once(config, evaluator, of_batch, |of_batch| {
        sums.iter_mut().zip(&of_batch).for_each(|(sums, of_batch)| *sums += of_batch);
        Ok(())
    })?;
    let mut errors = [const { BTreeMap::new() }; N];
    for ((idx, _, replay), sums) in replays.into_iter().zip(sums) {
        errors[idx].insert(replay.layer.name, sums.finish());
    }
    Ok(errors)
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

impl AddAssign<&Sums> for Sums {
    fn add_assign(&mut self, other: &Sums) {
        self.channels.resize(self.channels.len().max(other.channels.len()), 0.0);
        self.channels.iter_mut().zip(&other.channels).for_each(|(mine, theirs)| *mine += theirs);
        self.squared_errors += other.squared_errors;
        self.squares += other.squares;
        self.n_values += other.n_values;
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
