//! Ranking by what the whole network gives, where a layer's own output does not tell.
//!
//! One quantized network after the other runs on the calibration data, so that only one is in memory; of the original
//! just the outputs are kept.

use crate::rank::Mean;
use crate::ranking::{Ranked, Ranking};
use crate::sensitivity::{Channels, Sensitivity, Similarity};
use intact8_calibrate::{Batches, FloatModel};
use intact8_ir::{DType, Error, Result, Tensor};
use intact8_quant::layer::LayerSet;
use intact8_quant::{QuantConfig, Record};

/// Compares networks by their outputs.
pub(crate) struct OutputRanking<'a> {
    /// The prepared model.
    pub(crate) float: &'a FloatModel<'a>,
    /// Enables all layers of the search.
    pub(crate) config: &'a QuantConfig,
    /// The scales and offsets of all of them.
    pub(crate) record: &'a Record,
    /// Compares an output.
    pub(crate) sensitivity: &'a dyn Sensitivity,
}

impl OutputRanking<'_> {
    /// Ranks entries by the network's output with just the entry quantized.
    pub(crate) fn alone(&self, batches: &mut Batches<'_>, entries: &[LayerSet]) -> Result<Ranking> {
        let all = entries.iter().flatten().copied().collect();
        let original = self.outputs(&all, batches)?;
        let similarity = |entry: &LayerSet| {
            let others = all.difference(entry).copied().collect();
            self.similarity(&others, &original, batches)
        };
        self.ranking(entries, similarity)
    }

    /// Ranks those entries that a trial leaves in int8 by how much closer the network's output would be to the
    /// original's without the entry: 0 if it makes no difference, and the less the more harm the entry does.
    pub(crate) fn beside(
        &self,
        batches: &mut Batches<'_>,
        entries: &[LayerSet],
        rolled_back: &LayerSet,
    ) -> Result<Ranking> {
        let original = self.outputs(&entries.iter().flatten().copied().collect(), batches)?;
        let with = self.similarity(rolled_back, &original, batches)?;
        let left: Vec<LayerSet> =
            entries.iter().filter(|entry| !entry.is_subset(rolled_back)).cloned().collect();
        self.ranking(&left, |entry| {
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
            Ok(Ranked { layers, similarity: value, worst_channel, cost: 0 })
        };
        Ok(Ranking::of(entries.iter().map(ranked).collect::<Result<_>>()?))
    }

    /// How similar the outputs are with some layers in float and the others in int8.
    fn similarity(
        &self,
        rolled_back: &LayerSet,
        original: &[Vec<Tensor>],
        batches: &mut Batches<'_>,
    ) -> Result<Similarity> {
        let outputs = self.outputs(rolled_back, batches)?;
        let mut mean = Mean::default();
        for (original, quantized) in original.iter().flatten().zip(outputs.iter().flatten()) {
            if original.shape() != quantized.shape() {
                return Err(Error::unsupported("the shape of the output changes with quantization"));
            }
            let channels = Channels::of(original.shape(), original.shape().len() < 3);
            let similarity = self.sensitivity.compare(original.values()?, quantized.values()?, channels);
            mean.add(similarity.map_err(Error::from_user)?)?;
        }
        mean.finish()
    }

    /// The outputs of f32 for each batch.
    fn outputs(&self, rolled_back: &LayerSet, batches: &mut Batches<'_>) -> Result<Vec<Vec<Tensor>>> {
        let prepared = self.float.prepared();
        let config = self.config.rolled_back(&prepared.layers().names(rolled_back));
        let quantized = prepared.quantize(&config, self.record, &mut ())?;
        let executor = self.float.runtime().compile(quantized.fake_quant())?;
        let of_batch = |_, inputs: &[Tensor]| {
            let mut outputs = executor.run(inputs)?;
            outputs.retain(|tensor| tensor.dtype() == DType::F32);
            match outputs.is_empty() {
                true => Err(Error::unsupported("the model has no output of f32 to compare")),
                false => Ok(outputs),
            }
        };
        let mut outputs = Vec::new();
        batches.in_parallel(of_batch, |of_batch| {
            outputs.push(of_batch);
            Ok(())
        })?;
        Ok(outputs)
    }
}
