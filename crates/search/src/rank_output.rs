//! Ranking by the outputs of the whole network, for sensitivities whose scope is the network.
//!
//! The quantized networks run on the calibration data one after the other, so that only one is in memory; of the original
//! network only the outputs are stored. Ranking by the layers' own outputs is in [`rank`](crate::rank()).

use crate::rank::MeanSimilarity;
use crate::ranking::{Ranked, Ranking};
use crate::sensitivity::{ChannelLayout, Sensitivity, Similarity};
use intact8_calibrate::{Batches, FloatModel};
use intact8_ir::{Error, Result, Tensor};
use intact8_quant::layer::LayerSet;
use intact8_quant::{QuantConfig, Record};

/// Ranks layers by the outputs of networks in which they are quantized.
pub(crate) struct OutputRanking<'a> {
    /// The prepared model.
    pub(crate) float: &'a FloatModel<'a>,
    /// Enables all layers of the search.
    pub(crate) config: &'a QuantConfig,
    /// The calibrated parameters of all of them.
    pub(crate) record: &'a Record,
    /// Compares two outputs.
    pub(crate) sensitivity: &'a dyn Sensitivity,
}

impl OutputRanking<'_> {
    /// Ranks entries by the network's outputs when only the entry is quantized.
    pub(crate) fn rank_alone(&self, batches: &mut Batches<'_>, entries: &[LayerSet]) -> Result<Ranking> {
        let all = entries.iter().flatten().copied().collect();
        let original = self.outputs(&all, batches)?;
        let similarity = |entry: &LayerSet| {
            let others = all.difference(entry).copied().collect();
            self.similarity(&others, &original, batches)
        };
        self.ranking(entries, similarity)
    }

    /// Ranks the entries that a trial has in int8 by the change of the network's similarity to the original when the entry
    /// is rolled back as well: 0 if rolling it back makes no difference, and the more negative the more it helps.
    pub(crate) fn rank_in_trial(
        &self,
        batches: &mut Batches<'_>,
        entries: &[LayerSet],
        rolled_back: &LayerSet,
    ) -> Result<Ranking> {
        let original = self.outputs(&entries.iter().flatten().copied().collect(), batches)?;
        let with = self.similarity(rolled_back, &original, batches)?;
        let in_int8: Vec<LayerSet> =
            entries.iter().filter(|entry| !entry.is_subset(rolled_back)).cloned().collect();
        self.ranking(&in_int8, |entry| {
            let without =
                self.similarity(&rolled_back.union(entry).copied().collect(), &original, batches)?;
            Ok(Similarity {
                value: with.value - without.value,
                worst_channel: with.worst_channel - without.worst_channel,
            })
        })
    }

    fn ranking(
        &self,
        entries: &[LayerSet],
        mut similarity: impl FnMut(&LayerSet) -> Result<Similarity>,
    ) -> Result<Ranking> {
        let table = self.float.prepared().layers();
        let ranked = |entry: &LayerSet| {
            let Similarity { value, worst_channel } =
                similarity(entry).map_err(|error| error.at(table.names(entry).join(", ")))?;
            let layers = entry.iter().copied().collect();
            Ok(Ranked { layers, similarity: value, worst_channel, cost: 0, time_lost: 0.0, gain: 0.0 })
        };
        Ok(Ranking::of(entries.iter().map(ranked).collect::<Result<_>>()?))
    }

    /// The mean similarity of the outputs to the original's, with some layers in float and the others in int8.
    fn similarity(
        &self,
        rolled_back: &LayerSet,
        original: &[Vec<Tensor>],
        batches: &mut Batches<'_>,
    ) -> Result<Similarity> {
        let outputs = self.outputs(rolled_back, batches)?;
        let mut mean = MeanSimilarity::default();
        for (original, quantized) in original.iter().flatten().zip(outputs.iter().flatten()) {
            if original.shape() != quantized.shape() {
                return Err(Error::unsupported("the shape of the output changes with quantization"));
            }
            let layout = ChannelLayout::of(original.shape(), original.shape().len() < 3);
            let [Some(original), Some(quantized)] = [original, quantized].map(Tensor::floats) else {
                continue;
            };
            let similarity = self.sensitivity.compare(&original, &quantized, layout);
            mean.add(similarity.map_err(Error::from_user)?)?;
        }
        mean.finish()
    }

    /// The float outputs for each batch.
    fn outputs(&self, rolled_back: &LayerSet, batches: &mut Batches<'_>) -> Result<Vec<Vec<Tensor>>> {
        let prepared = self.float.prepared();
        let config = self.config.rolled_back(&prepared.layers().names(rolled_back));
        let quantized = prepared.quantize(&config, self.record, &mut ())?;
        let executor = self.float.runtime().compile(quantized.fake_quant())?;
        let run_batch = |_, inputs: &[Tensor]| {
            let mut outputs = executor.run(inputs)?;
            outputs.retain(|tensor| tensor.dtype().is_wide_float());
            match outputs.is_empty() {
                true => Err(Error::unsupported(
                    "the model has no float output to compare; use a sensitivity of the layers' own outputs",
                )),
                false => Ok(outputs),
            }
        };
        let mut outputs = Vec::new();
        batches.in_parallel(run_batch, |batch_outputs| {
            outputs.push(batch_outputs);
            Ok(())
        })?;
        Ok(outputs)
    }
}
