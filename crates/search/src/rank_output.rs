//! Ranking by what the whole network gives, where a layer's own output does not tell.
//!
//! One quantized network after the other runs on the calibration data, so that only one is in memory; of the original
//! just the outputs are kept.

use crate::batches::each_batch_at_once;
use crate::evaluator::Evaluator;
use crate::rank::Mean;
use crate::ranking::{Ranked, Ranking};
use crate::sensitivity::{Channels, Sensitivity, Similarity};
use intact8_interp::Session;
use intact8_ir::{DType, Error, Model, Result, Tensor};
use intact8_quant::{QuantConfig, Record, fake_quant};

/// Compares networks by their outputs.
pub(crate) struct OutputRanking<'a> {
    /// The prepared model.
    pub(crate) model: &'a Model,
    /// Enables all layers of the search.
    pub(crate) config: &'a QuantConfig,
    /// The scales and offsets of all of them.
    pub(crate) record: &'a Record,
    /// Compares an output.
    pub(crate) sensitivity: &'a dyn Sensitivity,
}

impl OutputRanking<'_> {
    /// Ranks places by the network's output with just the place quantized.
    pub(crate) fn alone(&self, evaluator: &mut impl Evaluator, places: &[Vec<String>]) -> Result<Ranking> {
        let original = self.outputs(&self.config.rolled_back(&places.concat()), evaluator)?;
        let similarity = |place: &Vec<String>| {
            let others: Vec<String> =
                places.iter().filter(|other| *other != place).flatten().cloned().collect();
            self.similarity(&others, &original, evaluator)
        };
        self.ranking(places, similarity)
    }

    /// Ranks those places that a trial leaves in int8 by how much closer the network's output would be to the
    /// original's without the place: 0 if it makes no difference, and the less the more the place does harm.
    pub(crate) fn beside(
        &self,
        evaluator: &mut impl Evaluator,
        places: &[Vec<String>],
        rolled_back: &[String],
    ) -> Result<Ranking> {
        let original = self.outputs(&self.config.rolled_back(&places.concat()), evaluator)?;
        let with = self.similarity(rolled_back, &original, evaluator)?;
        let left = places.iter().filter(|place| !place.iter().all(|layer| rolled_back.contains(layer)));
        let left: Vec<Vec<String>> = left.cloned().collect();
        self.ranking(&left, |place| {
            let without = self.similarity(&[rolled_back, place].concat(), &original, evaluator)?;
            Ok(Similarity {
                value: with.value - without.value,
                worst_channel: with.worst_channel - without.worst_channel,
            })
        })
    }

    fn ranking(
        &self,
        places: &[Vec<String>],
        mut similarity: impl FnMut(&Vec<String>) -> Result<Similarity>,
    ) -> Result<Ranking> {
        let ranked = |place: &Vec<String>| {
            let Similarity { value, worst_channel } =
                similarity(place).map_err(|error| error.at(place.join(", ")))?;
            Ok(Ranked { layers: place.clone(), similarity: value, worst_channel, cost: 0 })
        };
        Ok(Ranking::of(places.iter().map(ranked).collect::<Result<_>>()?))
    }

    /// How similar the outputs are with some layers in float and the others in int8.
    fn similarity(
        &self,
        rolled_back: &[String],
        original: &[Vec<Tensor>],
        evaluator: &mut impl Evaluator,
    ) -> Result<Similarity> {
        let outputs = self.outputs(&self.config.rolled_back(rolled_back), evaluator)?;
        let mut mean = Mean::default();
        for (original, quantized) in original.iter().flatten().zip(outputs.iter().flatten()) {
            if original.shape() != quantized.shape() {
                return Err(Error::unsupported("the shape of the output changes with quantization"));
            }
            let channels = Channels::of(original.shape(), original.shape().len() < 3);
            mean.add(self.sensitivity.compare(original.values()?, quantized.values()?, channels))?;
        }
        mean.finish()
    }

    /// The outputs of f32 for each batch.
    fn outputs(&self, config: &QuantConfig, evaluator: &mut impl Evaluator) -> Result<Vec<Vec<Tensor>>> {
        let mut model = self.model.clone();
        fake_quant(config, self.record).run(&mut model)?;
        let session = Session::new(&model)?;
        let of_batch = |_, inputs: &[Tensor]| {
            let mut given = session.run(inputs)?;
            given.retain(|tensor| tensor.dtype() == DType::F32);
            match given.is_empty() {
                true => Err(Error::unsupported("the model has no output of f32 to compare")),
                false => Ok(given),
            }
        };
        let mut outputs = Vec::new();
        each_batch_at_once(self.config, evaluator, of_batch, |given| {
            outputs.push(given);
            Ok(())
        })?;
        Ok(outputs)
    }
}
