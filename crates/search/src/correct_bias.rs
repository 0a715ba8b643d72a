//! Measuring what quantization adds to each output channel on average, so that the bias can take it away.

use crate::calibrate::watch;
use crate::evaluator::Evaluator;
use crate::replay::Replay;
use quantfit_ir::{Model, Result, Tensor};
use quantfit_quant::{QuantConfig, Record};

/// Puts into the record what must be added to the layers' output channels: the mean difference between the outputs of
/// the float layer and of the quantized one, each on the inputs that it has in the float model.
///
/// Layers stay independent of each other: what one gets does not depend on which others are quantized.
pub(crate) fn correct_bias(
    model: &Model,
    config: &QuantConfig,
    record: &mut Record,
    evaluator: &mut impl Evaluator,
) -> Result<()> {
    let layers = config.enabled(model).into_iter().filter(|(layer, _)| layer.output_axis().is_some());
    let replay = |layer| Ok((Replay::new(model, config, record, &layer)?, Means::default()));
    let mut replays: Vec<(Replay, Means)> = layers.map(|(layer, _)| replay(layer)).collect::<Result<_>>()?;
    watch(model, config, evaluator, &mut |place, tensor| {
        replays.iter_mut().try_for_each(|(replay, means)| {
            let axis = replay.layer.output_axis().unwrap_or(-1);
            replay.see(place, tensor, |_, _, float, quantized| means.observe(float, quantized, axis))
        })
    })?;
    for (replay, means) in replays {
        if let Some(entry) = record.layers.get_mut(&replay.layer.name) {
            entry.bias_shift = means.finish();
        }
    }
    Ok(())
}

/// The mean differences of channels so far.
#[derive(Default)]
struct Means {
    sums: Vec<f64>,
    /// Values of each channel.
    n_values: usize,
}

impl Means {
    fn observe(&mut self, float: &Tensor, quantized: &Tensor, axis: isize) -> Result<()> {
        let shape = float.shape();
        let axis = if axis < 0 { shape.len() - axis.unsigned_abs() } else { axis as usize };
        let (n_channels, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>().max(1));
        self.sums.resize(n_channels, 0.0);
        let (float, quantized) = (float.values::<f32>()?, quantized.values::<f32>()?);
        for (idx, (float, quantized)) in float.chunks(inner).zip(quantized.chunks(inner)).enumerate() {
            let differences =
                float.iter().zip(quantized).map(|(float, quantized)| f64::from(float - quantized));
            self.sums[idx % n_channels] += differences.sum::<f64>();
        }
        self.n_values += float.len() / n_channels.max(1);
        Ok(())
    }

    fn finish(self) -> Vec<f32> {
        let n_values = self.n_values.max(1) as f64;
        self.sums.into_iter().map(|sum| (sum / n_values) as f32).collect()
    }
}
