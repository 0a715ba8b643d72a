//! Ranking: every layer replayed alone with its quantization, its output compared with the original's.

use crate::calibrate::watch;
use crate::evaluator::Evaluator;
use crate::ranking::{Ranked, Ranking};
use crate::replay::Replay;
use crate::sensitivity::{Channels, Sensitivity, Similarity};
use quantfit_ir::{Error, Model, Result, Tensor};
use quantfit_quant::{QuantConfig, Record};

/// A layer replayed on a batch.
#[derive(Debug, Clone, Copy)]
pub struct Replayed<'a> {
    /// The layer.
    pub layer: &'a str,
    /// Which batch of the calibration data, from 0.
    pub batch: usize,
    /// What the layer reads, without its constants.
    pub inputs: &'a [Tensor],
    /// What it gives in the original.
    pub original: &'a Tensor,
    /// What it gives quantized.
    pub quantized: &'a Tensor,
}

/// Is shown every layer's replay.
pub type ReplayTap<'a> = &'a dyn Fn(&Replayed<'_>) -> Result<()>;

/// Ranks the layers that `config` enables in a prepared model, each by its own output. `tap` is shown every replay.
pub fn rank(
    model: &Model,
    config: &QuantConfig,
    record: &Record,
    evaluator: &mut impl Evaluator,
    sensitivity: &dyn Sensitivity,
    tap: ReplayTap<'_>,
) -> Result<Ranking> {
    let replay = |(layer, _)| Ok((Replay::new(model, config, record, &layer)?, Mean::default()));
    let mut replays: Vec<(Replay, Mean)> =
        config.enabled(model).into_iter().map(replay).collect::<Result<_>>()?;
    watch(model, config, evaluator, &mut |place, tensor| {
        replays.iter_mut().try_for_each(|(replay, mean)| {
            // Recurrent layers have their channels last too.
            let channels_last = replay.layer.output_axis() != Some(1);
            replay.see(place, tensor, |layer, inputs, original, quantized| {
                tap(&Replayed { layer: &layer.name, batch: mean.n_batches, inputs, original, quantized })?;
                let channels = Channels::of(original.shape(), channels_last);
                mean.add(sensitivity.compare(original.values()?, quantized.values()?, channels))
            })
        })
    })?;
    let ranked = |(replay, mean): (Replay, Mean)| {
        let Similarity { value, worst_channel } =
            mean.finish().map_err(|error| error.at(&replay.layer.name))?;
        Ok(Ranked { layers: vec![replay.layer.name], similarity: value, worst_channel, cost: 0 })
    };
    Ok(Ranking::of(replays.into_iter().map(ranked).collect::<Result<_>>()?))
}

/// The mean similarity over batches.
#[derive(Default)]
pub(crate) struct Mean {
    sum: Similarity,
    n_batches: usize,
}

impl Mean {
    pub(crate) fn add(&mut self, similarity: Similarity) -> Result<()> {
        let Similarity { value, worst_channel } = similarity;
        if !value.is_finite() || !worst_channel.is_finite() {
            return Err(Error::evaluator(format!(
                "the sensitivity is {value}, {worst_channel} in the worst channel"
            )));
        }
        self.sum.value += value;
        self.sum.worst_channel += worst_channel;
        self.n_batches += 1;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Similarity> {
        if self.n_batches == 0 {
            return Err(Error::invalid_data("no calibration data reached this layer"));
        }
        let n_batches = self.n_batches as f64;
        Ok(Similarity {
            value: self.sum.value / n_batches,
            worst_channel: self.sum.worst_channel / n_batches,
        })
    }
}
