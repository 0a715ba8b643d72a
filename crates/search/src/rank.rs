//! Ranking: every layer replayed alone with its quantization, its output compared with the original's.

use crate::calibrate::watch;
use crate::evaluator::Evaluator;
use crate::replay::Replay;
use crate::sensitivity::Sensitivity;
use quantfit_ir::{Error, Model, Result};
use quantfit_quant::{QuantConfig, Record};

/// The layers, the worst first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking(pub Vec<Ranked>);

/// A layer's place in the ranking.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The layer.
    pub layer: String,
    /// How similar its quantized output is to the original, the mean over the calibration batches.
    pub similarity: f64,
}

impl Ranking {
    /// The `n` worst layers.
    pub fn worst(&self, n: usize) -> Vec<String> {
        self.0.iter().take(n).map(|ranked| ranked.layer.clone()).collect()
    }

    /// How many layers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Ranks the layers that `config` enables in a prepared model. Layers of equal similarity keep the model's order.
pub fn rank(
    model: &Model,
    config: &QuantConfig,
    record: &Record,
    evaluator: &mut impl Evaluator,
    sensitivity: &dyn Sensitivity,
) -> Result<Ranking> {
    let enabled = config.enabled(model);
    let replay = |layer| Ok((Replay::new(model, config, record, layer)?, Mean::default()));
    let mut replays =
        enabled.iter().map(|(layer, _)| replay(layer)).collect::<Result<Vec<(Replay, Mean)>>>()?;
    watch(model, config, evaluator, &mut |place, tensor| {
        replays.iter_mut().try_for_each(|(replay, mean)| {
            replay.see(place, tensor, |float, quantized| {
                let similarity = sensitivity.similarity(float.values()?, quantized.values()?);
                mean.observe(similarity)
            })
        })
    })?;
    let mut ranking: Vec<Ranked> =
        replays.into_iter().map(|(replay, mean)| mean.finish(replay.layer.name)).collect::<Result<_>>()?;
    ranking.sort_by(|a, b| a.similarity.total_cmp(&b.similarity));
    Ok(Ranking(ranking))
}

/// The mean similarity of a layer's outputs so far.
#[derive(Default)]
struct Mean {
    sum: f64,
    n_batches: usize,
}

impl Mean {
    fn observe(&mut self, similarity: f64) -> Result<()> {
        if !similarity.is_finite() {
            return Err(Error::evaluator(format!("the sensitivity is {similarity}")));
        }
        self.sum += similarity;
        self.n_batches += 1;
        Ok(())
    }

    fn finish(self, layer: String) -> Result<Ranked> {
        if self.n_batches == 0 {
            return Err(Error::invalid_data("no calibration data reached this layer").at(layer));
        }
        Ok(Ranked { layer, similarity: self.sum / self.n_batches as f64 })
    }
}
