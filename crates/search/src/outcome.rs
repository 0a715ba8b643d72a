//! What a search finds out.

use crate::ranking::{Ranked, Ranking};
use crate::roles::Verdict;
use intact8_ir::Error;
use intact8_quant::layer::{LayerId, LayerSet, LayerTable};
use intact8_quant::{Deployed, QuantConfig, Quantized, Record};
use std::collections::BTreeMap;

/// The layers that are on a rung of the [ladder](crate::LADDER), and its name.
pub type Rungs = BTreeMap<LayerId, &'static str>;

/// One configuration, quantized and judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The layers left in float.
    pub rolled_back: LayerSet,
    /// Those that are quantized otherwise than the configuration says.
    pub rungs: Rungs,
    /// What the judge says of it.
    pub verdict: Verdict,
}

/// What a search found out.
#[derive(Debug)]
pub struct Report<S> {
    /// The score of the original model.
    pub original: S,
    /// The layers of the prepared model.
    pub table: LayerTable,
    /// The layers that the configuration enables.
    pub layers: LayerSet,
    /// The layers, the most sensitive first; empty if they were not ranked, as when quantizing all of them satisfied.
    pub ranking: Ranking,
    /// The trials, in order.
    pub history: Vec<Trial>,
    /// The score of each trial.
    pub scores: Vec<S>,
    /// How many of the trials an earlier run had scored.
    pub n_recalled: usize,
    /// Why there were no more trials.
    pub ending: Ending,
    /// Why a model could not be scored, if that is what ended the search after its first trial.
    pub failure: Option<Error>,
    /// The trial that came closest if none satisfies, by its position: the one with the least
    /// [shortfall](crate::Judge::shortfall), of equals the one with the fewest layers rolled back.
    pub closest: usize,
    /// Its configuration.
    pub closest_config: QuantConfig,
    /// The satisfying model with the fewest layers rolled back. If there is none it is `None`, or, if the options ask for it,
    /// closest.
    pub outcome: Option<Outcome<S>>,
    /// The scores of the outcome's models after they had been saved and read back; [`search`](crate::search()) itself
    /// saves nothing and leaves it empty.
    pub rescored: Vec<Rescored<S>>,
}

/// A model that was saved, read back from its file, and scored once more.
#[derive(Debug, Clone)]
pub struct Rescored<S> {
    /// Which one: `fake-quant`, `deploy`, or `deploy_FORMAT` for a further deploy format.
    pub name: String,
    /// Its score.
    pub score: S,
    /// What the judge says of that.
    pub verdict: Verdict,
}

/// The model that a search ends with, and how it came about.
#[derive(Debug)]
pub struct Outcome<S> {
    /// Its score.
    pub score: S,
    /// The layers left in float.
    pub rolled_back: LayerSet,
    /// The layers on a rung of the ladder.
    pub rungs: Rungs,
    /// The parameters of the layers that are quantized.
    pub record: Record,
    /// The simulation, with the configuration that disables the layers in float and changes those on a rung.
    pub quantized: Quantized,
    /// What was scored, if the search was told a deploy format.
    pub deployed: Option<Deployed>,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every layer in int8 satisfies.
    AllQuantized,
    /// The strategy had nothing more to try.
    Finished,
    /// The number of trials that the options allow was reached.
    OutOfTrials,
    /// The time budget was used up.
    OutOfTime,
    /// The user ended it, or a model could not be scored.
    Interrupted,
}

impl<S> Report<S> {
    /// The trial that the outcome comes from, by its position: of those that satisfy the one with the fewest layers
    /// rolled back, of equals the one with the fewest on a rung of the ladder, then the cheapest.
    pub fn best(&self) -> Option<usize> {
        let satisfying = (0..self.history.len()).filter(|&idx| self.history[idx].verdict.satisfied);
        satisfying.min_by_key(|&idx| {
            let Trial { rolled_back, rungs, .. } = &self.history[idx];
            (rolled_back.len(), rungs.len(), self.cost(rolled_back))
        })
    }

    /// Whether the outcome satisfies: in its trial, and again wherever it was read back from a file.
    pub fn is_met(&self) -> bool {
        self.best().is_some() && self.rescored.iter().all(|saved| saved.verdict.satisfied)
    }

    /// The outcome's score: that of the deploy file in the first format, else of what was read back last, else of the trial.
    pub fn final_score(&self) -> Option<&S> {
        let deploy = self.rescored.iter().find(|saved| saved.name == "deploy");
        let saved = deploy.or(self.rescored.last()).map(|saved| &saved.score);
        saved.or(self.outcome.as_ref().map(|outcome| &outcome.score))
    }

    /// What it costs to leave some layers in float, each group counted whole.
    pub fn cost(&self, rolled_back: &LayerSet) -> u64 {
        self.ranking.entries_of(rolled_back).into_iter().map(|entry| self.ranking.0[entry].cost).sum()
    }

    /// Those of the layers rolled back of which no trial tells whether they could be put back into int8 alone. If there
    /// are none, the outcome is 1-minimal. Layers that move together count together.
    pub fn untried(&self) -> LayerSet {
        let Some(best) = self.best() else { return LayerSet::new() };
        let Trial { rolled_back: best, rungs, .. } = &self.history[best];
        let misses = |rolled_back: &LayerSet| {
            let is_it = |trial: &Trial| {
                // The rung of the layers that were put back does not matter.
                let others = trial.rungs.iter().filter(|(layer, _)| !best.contains(layer));
                trial.rolled_back == *rolled_back && others.eq(rungs)
            };
            self.history.iter().any(|trial| !trial.verdict.satisfied && is_it(trial))
        };
        let is_untried = |entry: &&Ranked| {
            let without: LayerSet =
                best.iter().copied().filter(|layer| !entry.layers.contains(layer)).collect();
            without.len() < best.len() && !misses(&without)
        };
        self.ranking.0.iter().filter(is_untried).flat_map(|entry| entry.layers.iter().copied()).collect()
    }
}
