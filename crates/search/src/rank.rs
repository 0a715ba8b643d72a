//! Ranking: every layer replayed alone with its quantization, its output compared with the original's.

use crate::batches::each_batch_at_once;
use crate::evaluator::Evaluator;
use crate::ranking::{Ranked, Ranking};
use crate::replay::Replay;
use crate::sensitivity::{Channels, Sensitivity, Similarity};
use intact8_interp::Session;
use intact8_ir::{Error, Model, Result, Tensor};
use intact8_quant::{QuantConfig, Record};

/// A layer replayed on a batch.
#[derive(Debug, Clone, Copy)]
pub struct Replayed<'a> {
    /// The layer.
    pub layer: &'a str,
    /// Which batch of the calibration data, from 0.
    pub batch: usize,
    /// Which run of the layer on that batch, from 0: in a loop there are several.
    pub run: usize,
    /// What the layer reads, without its constants.
    pub inputs: &'a [Tensor],
    /// What it gives in the original.
    pub original: &'a Tensor,
    /// What it gives quantized.
    pub quantized: &'a Tensor,
}

/// Is shown every layer's replay, those on several batches at once.
pub type ReplayTap<'a> = &'a (dyn Fn(&Replayed<'_>) -> Result<()> + Sync);

/// Ranks the layers that `config` enables in a prepared model, each by its own output. `tap` is shown every replay.
pub fn rank(
    model: &Model,
    config: &QuantConfig,
    record: &Record,
    evaluator: &mut impl Evaluator,
    sensitivity: &dyn Sensitivity,
    tap: ReplayTap<'_>,
) -> Result<Ranking> {
    let replay = |(layer, _)| Replay::new(model, config, record, &layer);
    let replays: Vec<Replay> = config.enabled(model).into_iter().map(replay).collect::<Result<_>>()?;
    let session = Session::new(model)?;
    let of_batch = |batch: usize, inputs: &[Tensor]| {
        let mut begun: Vec<_> = replays.iter().map(|replay| (replay.begin(), Vec::new())).collect();
        session.run_tapped(inputs, &mut |place, original| {
            replays.iter().zip(&mut begun).try_for_each(|(replay, (seen, similarities))| {
                let Some((inputs, quantized)) = replay.see(seen, place, original)? else { return Ok(()) };
                let (layer, run) = (&*replay.layer.name, similarities.len());
                tap(&Replayed { layer, batch, run, inputs: &inputs, original, quantized: &quantized })?;
                // Recurrent layers have their channels last too.
                let channels = Channels::of(original.shape(), replay.layer.output_axis() != Some(1));
                let (original, quantized) = (original.values()?, quantized.values()?);
                similarities.push(sensitivity.compare(original, quantized, channels));
                Ok(())
            })
        })?;
        Ok(begun.into_iter().map(|(_, similarities)| similarities).collect::<Vec<_>>())
    };
    let mut means: Vec<Mean> = replays.iter().map(|_| Mean::default()).collect();
    each_batch_at_once(config, evaluator, of_batch, |of_batch| {
        means.iter_mut().zip(&replays).zip(of_batch).try_for_each(|((mean, replay), similarities)| {
            let added = similarities.into_iter().try_for_each(|similarity| mean.add(similarity));
            added.map_err(|error| error.at(&replay.layer.name))
        })
    })?;
    let ranked = |(replay, mean): (Replay, Mean)| {
        // A layer of a branch that is never taken does the least harm.
        let similarity = match mean.n_batches {
            0 => Ok(sensitivity.compare(&[1.0], &[1.0], Channels::of(&[], false))),
            _ => mean.finish(),
        };
        let Similarity { value, worst_channel } = similarity.map_err(|error| error.at(&replay.layer.name))?;
        Ok(Ranked { layers: vec![replay.layer.name], similarity: value, worst_channel, cost: 0 })
    };
    Ok(Ranking::of(replays.into_iter().zip(means).map(ranked).collect::<Result<_>>()?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate;
    use crate::evaluator::Batches;
    use crate::sensitivity::CosineSimilarity;

    /// Layers in a branch that is never taken rank behind one that quantization changes. The range of the first is known, as
    /// it reads a value of the graph around.
    #[test]
    fn what_no_data_reach_does_no_harm() {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [0.3, 0.7, 1.1, -0.9] : f32[2,2]\n\
                    %h = MatMul(%x, %w) @always\n%c = const [false] : bool[]\n\
                    %y = If(%c; %h, %h) {else_branch = graph {\n  %h.1 = capture\n  return %h.1\n}, \
                    then_branch = graph {\n  %h.2 = capture\n  %v = const [0.3, 0.7, 1.1, -0.9] : f32[2,2]\n  \
                    %z = MatMul(%h.2, %v) @first\n  %u = MatMul(%z, %v) @second\n  return %u\n}}\nreturn %y\n";
        let model: Model = text.parse().unwrap();
        let mut config = QuantConfig { batch_num: 1, ..QuantConfig::for_model(&model) };
        let mut data = Batches(vec![Tensor::new(&[2, 2], vec![0.35f32, -1.0, 0.5, 0.77])]);
        let refused = calibrate(&model, &config, &mut data).unwrap_err();
        assert!(refused.to_string().contains("second: no calibration data reached"), "{refused}");
        config.layers.get_mut("second").unwrap().weights_only = true;
        let record = calibrate(&model, &config, &mut data).unwrap();
        assert_eq!(["first", "second"].map(|layer| record.layers[layer].activations.len()), [1, 0]);
        let ranking = rank(&model, &config, &record, &mut data, &CosineSimilarity, &|_| Ok(())).unwrap();
        let ranked: Vec<(&str, bool)> =
            ranking.0.iter().map(|ranked| (&*ranked.layers[0], ranked.similarity == 1.0)).collect();
        assert_eq!(ranked, [("always", false), ("first", true), ("second", true)]);
    }
}
