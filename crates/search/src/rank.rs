//! Ranking of layers by their own outputs: each layer is replayed alone, quantized, and its output is compared with the
//! original's.
//!
//! One pass over the calibration data ranks all layers, and no activation is stored. The order itself is in
//! [`Ranking`].

use crate::ranking::{Ranked, Ranking};
use crate::sensitivity::{ChannelLayout, Sensitivity, Similarity};
use intact8_calibrate::{Batches, FloatModel, Replay};
use intact8_ir::{Error, Result, Tensor};
use intact8_quant::layer::LayerId;
use intact8_quant::{Layer, QuantConfig, Record};

/// The replay of one layer on one batch.
#[derive(Debug, Clone, Copy)]
pub struct Replayed<'a> {
    /// The name of the layer.
    pub layer: &'a str,
    /// The index of the calibration batch, from 0.
    pub batch: usize,
    /// The index of the layer's run on that batch, from 0; a layer in a loop runs several times.
    pub run: usize,
    /// The layer's inputs without its constants.
    pub inputs: &'a [Tensor],
    /// Its output in the float model.
    pub original: &'a Tensor,
    /// Its output when it is quantized.
    pub quantized: &'a Tensor,
}

/// A function that receives the replay of each layer; it is called from several threads.
pub type ReplayTap<'a> = &'a (dyn Fn(&Replayed<'_>) -> Result<()> + Sync);

/// Ranks the layers that `config` enables by the similarity of their own outputs, the mean over the batches. `tap` receives
/// every replay. A layer that no batch reaches counts as unchanged. Costs, times and gains are left 0.
///
/// # Errors
/// If data, runtime, sensitivity or tap fail, or the record does not fit the layers.
pub fn rank(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    record: &Record,
    batches: &mut Batches<'_>,
    sensitivity: &dyn Sensitivity,
    tap: Option<ReplayTap<'_>>,
) -> Result<Ranking> {
    let enabled = float.prepared().enabled(config);
    let replays = enabled.iter().map(|(_, layer, _)| Replay::new(float, config, record, layer));
    let replays: Vec<Replay<'_>> = replays.collect::<Result<_>>()?;
    let executor = float.watched(replays.iter().flat_map(Replay::values))?;
    let replay_batch = |batch: usize, inputs: &[Tensor]| {
        let mut states: Vec<_> = replays.iter().map(|replay| (replay.start_batch(), Vec::new())).collect();
        executor.run_tapped(inputs, &mut |value, original| {
            replays.iter().zip(&mut states).try_for_each(|(replay, (state, similarities))| {
                let Some((inputs, quantized)) = replay.observe(state, value, original)? else {
                    return Ok(());
                };
                let (layer, run) = (&*replay.layer().name, similarities.len());
                if let Some(tap) = tap {
                    tap(&Replayed { layer, batch, run, inputs: &inputs, original, quantized: &quantized })?;
                }
                // The channels of recurrent layers are last as well.
                let layout = ChannelLayout::of(original.shape(), replay.layer().output_axis() != Some(1));
                let similarity = sensitivity.compare(original.values()?, quantized.values()?, layout);
                similarities.push(similarity.map_err(|error| Error::from_user(error).at(layer))?);
                Ok(())
            })
        })?;
        Ok(states.into_iter().map(|(_, similarities)| similarities).collect::<Vec<_>>())
    };
    let mut means: Vec<MeanSimilarity> = replays.iter().map(|_| MeanSimilarity::default()).collect();
    batches.in_parallel(replay_batch, |similarities_of_batch| {
        means.iter_mut().zip(&replays).zip(similarities_of_batch).try_for_each(
            |((mean, replay), similarities)| {
                let added = similarities.into_iter().try_for_each(|similarity| mean.add(similarity));
                added.map_err(|error| error.at(&replay.layer().name))
            },
        )
    })?;
    let ranked = |(&(id, layer, _), mean): (&(LayerId, &Layer, _), MeanSimilarity)| {
        // A layer that no batch reaches, as in a branch that is never taken, counts as unchanged.
        let similarity = match mean.n_batches {
            0 => sensitivity.compare(&[1.0], &[1.0], ChannelLayout::of(&[], false)).map_err(Error::from_user),
            _ => mean.finish(),
        };
        let Similarity { value, worst_channel } = similarity.map_err(|error| error.at(&layer.name))?;
        Ok(Ranked { layers: vec![id], similarity: value, worst_channel, cost: 0, time_lost: 0.0, gain: 0.0 })
    };
    Ok(Ranking::of(enabled.iter().zip(means).map(ranked).collect::<Result<_>>()?))
}

/// The mean similarity over batches.
#[derive(Default)]
pub(crate) struct MeanSimilarity {
    sum: Similarity,
    n_batches: usize,
}

impl MeanSimilarity {
    pub(crate) fn add(&mut self, similarity: Similarity) -> Result<()> {
        let Similarity { value, worst_channel } = similarity;
        if !value.is_finite() || !worst_channel.is_finite() {
            return Err(Error::evaluator(format!(
                "the sensitivity must be finite, found {value}, and {worst_channel} in the worst channel"
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
    use crate::sensitivity::CosineSimilarity;
    use intact8_calibrate::calibrate;
    use intact8_interp::Interpreter;
    use intact8_ir::Model;
    use intact8_quant::{Preparation, Prepared};

    /// Layers in a branch that is never taken rank after one that quantization changes. The range of `first` is known, since
    /// its input is a value of the outer graph.
    #[test]
    fn layers_that_no_data_reach_rank_last() {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [0.3, 0.7, 1.1, -0.9] : f32[2,2]\n\
                    %h = MatMul(%x, %w) @always\n%c = const [false] : bool[]\n\
                    %y = If(%c; %h, %h) {else_branch = graph {\n  %h.1 = capture\n  return %h.1\n}, \
                    then_branch = graph {\n  %h.2 = capture\n  %v = const [0.3, 0.7, 1.1, -0.9] : f32[2,2]\n  \
                    %z = MatMul(%h.2, %v) @first\n  %u = MatMul(%z, %v) @second\n  return %u\n}}\nreturn %y\n";
        let model: Model = text.parse().unwrap();
        let (prepared, runtime) =
            (Prepared::new(&model, &Preparation::default(), None, &mut ()).unwrap(), Interpreter::default());
        let float = FloatModel::new(&prepared, &runtime).unwrap();
        let mut config = QuantConfig { batch_num: Some(1), ..QuantConfig::for_model(prepared.model()) };
        let mut data = vec![vec![Tensor::new(&[2, 2], vec![0.35f32, -1.0, 0.5, 0.77])]];
        let refused = calibrate(&float, &config, &mut data, &mut ()).unwrap_err();
        assert!(refused.to_string().contains("second: no calibration data but zeros reach"), "{refused}");
        config.layers.get_mut("second").unwrap().weights_only = true;
        let record = calibrate(&float, &config, &mut data, &mut ()).unwrap().into_record();
        assert_eq!(["first", "second"].map(|layer| record.layers[layer].activations.len()), [1, 0]);
        let mut observer = ();
        let mut batches = Batches::new(&mut data, 1, &mut observer);
        let ranking = rank(&float, &config, &record, &mut batches, &CosineSimilarity, None).unwrap();
        let ranked: Vec<(&str, bool)> = ranking
            .0
            .iter()
            .map(|ranked| (prepared.layers().name(ranked.layers[0]), ranked.similarity == 1.0))
            .collect();
        assert_eq!(ranked, [("always", false), ("first", true), ("second", true)]);
    }
}
