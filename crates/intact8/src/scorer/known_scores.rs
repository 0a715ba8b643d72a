//! The complete scores of models that have run: a model that computes the same bits needs no run.

use super::Score;
use super::fingerprint::{Constants, Fingerprint, Fingerprints};
use intact8_ir::{Model, Pass, Result, ValueId};
use intact8_quant::passes::FoldQuantizedWeights;
use std::collections::HashMap;

/// Scores by what a model computes.
#[derive(Default)]
pub(super) struct KnownScores {
    scores: HashMap<Computation, Score>,
    n_unknown: u64,
    constants: Constants,
}

/// What a model computes: the fingerprints of its outputs.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Computation(Vec<Fingerprint>);

impl KnownScores {
    /// What a model computes; that of two models is only the same if their outputs are the same bits for the same inputs. Weights
    /// that a simulation quantizes when it runs count as the integers that they become.
    ///
    /// # Errors
    /// If the weights can't be quantized.
    pub(super) fn computation(&mut self, model: &Model) -> Result<Computation> {
        let mut model = model.clone();
        FoldQuantizedWeights.run(&mut model)?;
        let fingerprints = Fingerprints::of(&model, &mut self.n_unknown, &mut self.constants);
        let mut unknown = || {
            self.n_unknown += 1;
            u128::from(self.n_unknown)
        };
        let of_output = |value: &ValueId| fingerprints.0.get(value).copied().unwrap_or_else(&mut unknown);
        Ok(Computation(model.main().outputs().iter().map(of_output).collect()))
    }

    /// The score of a model with this computation.
    pub(super) fn get(&self, computation: &Computation) -> Option<&Score> {
        self.scores.get(computation)
    }

    /// Remembers a complete score.
    pub(super) fn insert(&mut self, computation: Computation, score: Score) {
        self.scores.insert(computation, score);
    }
}
