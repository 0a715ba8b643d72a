//! How far each output channel of a layer is off on average when it is quantized.
//!
//! Layers are replayed on all of the data, and not on samples of it: what is left of a mean error is the same at every
//! position, so that pooling does not average it away as it does other errors.

use crate::batches::each_batch_at_once;
use crate::evaluator::Evaluator;
use crate::replay::Replay;
use quantfit_interp::Session;
use quantfit_ir::{Model, Result, Tensor};
use quantfit_quant::{QuantConfig, Record};
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// The mean of float minus quantized in each output channel of those enabled layers whose outputs have channels, by name. Each
/// is quantized alone, on the inputs that it has in the float model.
pub(crate) fn mean_errors(
    model: &Model,
    config: &QuantConfig,
    record: &Record,
    evaluator: &mut impl Evaluator,
) -> Result<BTreeMap<String, Vec<f32>>> {
    let replay = |layer| Replay::new(model, config, record, &layer);
    let enabled = config.enabled(model).into_iter();
    let replays = enabled.filter_map(|(layer, _)| Some((layer.output_axis()?, layer)));
    let replays = replays.map(|(axis, layer)| Ok((axis, replay(layer)?))).collect::<Result<Vec<_>>>()?;
    if replays.is_empty() {
        return Ok(BTreeMap::new());
    }
    let session = Session::new(model)?;
    let of_batch = |_, inputs: &[Tensor]| {
        let begun = replays.iter().map(|(_, replay)| (replay.begin(), Sums::default()));
        let mut begun: Vec<_> = begun.collect();
        session.run_tapped(inputs, &mut |place, tensor| {
            replays.iter().zip(&mut begun).try_for_each(|((axis, replay), (seen, sums))| {
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
    Ok(replays.into_iter().zip(sums).map(|((_, replay), sums)| (replay.layer.name, sums.means())).collect())
}

#[derive(Default)]
struct Sums {
    /// Of the differences of each channel.
    channels: Vec<f64>,
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
            let sum: f64 = float.iter().zip(quantized).map(|(float, found)| f64::from(float - found)).sum();
            self.channels[idx % n_channels] += sum;
        }
        self.n_values += float.len() / n_channels.max(1);
        Ok(())
    }

    fn means(self) -> Vec<f32> {
        let n_values = self.n_values.max(1) as f64;
        self.channels.into_iter().map(|sum| (sum / n_values) as f32).collect()
    }
}

impl AddAssign<&Sums> for Sums {
    fn add_assign(&mut self, other: &Sums) {
        self.channels.resize(self.channels.len().max(other.channels.len()), 0.0);
        self.channels.iter_mut().zip(&other.channels).for_each(|(mine, theirs)| *mine += theirs);
        self.n_values += other.n_values;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_channels() {
        let mut sums = Sums::default();
        let float = Tensor::new(&[2, 2], vec![1.0f32, 2.0, 3.0, 4.0]);
        let quantized = Tensor::new(&[2, 2], vec![0.5f32, 2.5, 2.5, 3.5]);
        sums.observe(&float, &quantized, -1).unwrap();
        // Channel 0 is off by ½ both times; channel 1 by -½ and ½.
        assert_eq!(sums.means(), [0.5, 0.0]);
    }
}
