//! What a search finds out.

use crate::evaluator::Verdict;
use crate::ranking::Ranking;
use intact8_ir::Model;
use intact8_quant::{QuantConfig, Record};
use std::collections::{BTreeMap, BTreeSet};

/// The layers that are on a rung of the [ladder](crate::LADDER), and its name.
pub type Rungs = BTreeMap<String, String>;

/// One configuration, quantized and judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The layers left in float.
    pub rolled_back: Vec<String>,
    /// Those that are quantized otherwise than the configuration says.
    pub rungs: Rungs,
    /// What the evaluator thinks of it.
    pub verdict: Verdict,
}

/// What a search found out.
#[derive(Debug, Clone)]
pub struct Report<M> {
    /// The score of the original model.
    pub original: M,
    /// The names of all layers that the configuration enables.
    pub layers: Vec<String>,
    /// The layers, the worst first; empty if they were not ranked, as when quantizing all of them satisfied.
    pub ranking: Ranking,
    /// The trials, in order.
    pub history: Vec<Trial>,
    /// The score of each trial.
    pub metrics: Vec<M>,
    /// How many of the trials an earlier run had scored.
    pub n_recalled: usize,
    /// Why there were no more trials.
    pub ending: Ending,
    /// The trial that came closest if none satisfies, by its position: the one with the least
    /// [shortfall](crate::Evaluator::shortfall), of equals the one with the fewest layers rolled back.
    pub closest: usize,
    /// Its configuration.
    pub closest_config: QuantConfig,
    /// The satisfying model with the fewest layers rolled back. If there is none it is `None`, or, if that is wanted,
    /// closest.
    pub outcome: Option<Quantized<M>>,
    /// What the outcome's models scored once they had been saved and read back; [`search`](crate::search()) itself
    /// saves nothing and leaves it empty.
    pub rescored: Vec<Rescored<M>>,
}

/// A model that was saved, read back from its file, and scored once more.
#[derive(Debug, Clone)]
pub struct Rescored<M> {
    /// Which one: `fake-quant`, `deploy`, or `deploy_FORM` for a further form.
    pub name: String,
    /// Its score.
    pub metric: M,
    /// What the evaluator thinks of that.
    pub verdict: Verdict,
}

/// A model that satisfies, and how it came about.
#[derive(Debug, Clone)]
pub struct Quantized<M> {
    /// Its score.
    pub metric: M,
    /// The layers left in float.
    pub rolled_back: Vec<String>,
    /// The layers on a rung of the ladder.
    pub rungs: Rungs,
    /// The configuration with the layers in float disabled, and those on a rung changed.
    pub config: QuantConfig,
    /// The scales and offsets.
    pub record: Record,
    /// The model that simulates quantization: the one that was scored. What runs on a target is made of it by
    /// [`emit`](intact8_quant::emit).
    pub fake_quant: Model,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every layer in int8 satisfies.
    AllQuantized,
    /// The strategy had nothing more to try.
    Finished,
    /// So many trials were allowed.
    OutOfTrials,
    /// The evaluator says that time is up.
    OutOfTime,
    /// The evaluator says that the user wants an end.
    Interrupted,
}

impl<M> Report<M> {
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

    /// The outcome's score: that of the deploy file in the first form, else of whatever was read back, else of the trial.
    pub fn final_metric(&self) -> Option<&M> {
        let deploy = self.rescored.iter().find(|saved| saved.name == "deploy");
        let saved = deploy.or(self.rescored.last()).map(|saved| &saved.metric);
        saved.or(self.outcome.as_ref().map(|quantized| &quantized.metric))
    }

    /// What it costs to leave some layers in float, each group counted whole.
    pub fn cost(&self, rolled_back: &[String]) -> u64 {
        self.ranking.places_of(rolled_back).into_iter().map(|place| self.ranking.0[place].cost).sum()
    }

    /// Those of the layers rolled back of which nobody knows whether they could be put back into int8 alone. If there
    /// are none, the outcome is 1-minimal. Layers that move together count together.
    pub fn untried(&self) -> Vec<String> {
        let Some(best) = self.best() else { return vec![] };
        let Trial { rolled_back: best, rungs, .. } = &self.history[best];
        let best: BTreeSet<&String> = best.iter().collect();
        let misses = |rolled_back: &BTreeSet<&String>| {
            let is_it = |trial: &Trial| {
                // On what rung the layers are that were put back does not matter.
                let mut others = trial.rungs.iter().filter(|(layer, _)| !best.contains(layer));
                trial.rolled_back.iter().collect::<BTreeSet<_>>() == *rolled_back && others.by_ref().eq(rungs)
            };
            self.history.iter().any(|trial| !trial.verdict.satisfied && is_it(trial))
        };
        let is_untried = |place: &&crate::Ranked| {
            let mut without = best.clone();
            place.layers.iter().for_each(|layer| {
                without.remove(layer);
            });
            without.len() < best.len() && !misses(&without)
        };
        self.ranking.0.iter().filter(is_untried).flat_map(|place| place.layers.clone()).collect()
    }
}
