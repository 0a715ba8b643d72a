//! The result of a search: the trials, the ranking, and the model that it ends with.

use crate::ranking::{Ranked, Ranking};
use crate::roles::Verdict;
use intact8_ir::Error;
use intact8_quant::calibration::ValueHistogram;
use intact8_quant::layer::{LayerId, LayerSet, LayerTable};
use intact8_quant::{Deployed, LayerArithmetic, QuantConfig, Quantized, Record};
use std::collections::BTreeMap;

/// The layers on a rung of the [ladder](crate::ladder::LADDER), each with the rung's name.
pub type Rungs = BTreeMap<LayerId, &'static str>;

/// One choice of layers, quantized, scored and judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The layers left in float.
    pub rolled_back: LayerSet,
    /// The layers that are quantized with the settings of a rung.
    pub rungs: Rungs,
    /// The judge's verdict.
    pub verdict: Verdict,
}

/// The result of a search. Positions of trials are indices into [`history`](Report::history).
#[derive(Debug)]
pub struct Report<S> {
    /// The score of the original model.
    pub original: S,
    /// The layers of the prepared model.
    pub table: LayerTable,
    /// The layers that the configuration enables.
    pub layers: LayerSet,
    /// The arithmetic of each layer in the first trial, which quantizes all enabled layers: in its deploy model, or that of the
    /// configuration if the options name no deploy format.
    pub all_quantized: LayerArithmetic,
    /// The layers, the most sensitive first; empty if they were not ranked because the first trial meets the target.
    pub ranking: Ranking,
    /// The trials, in the order in which they were made.
    pub history: Vec<Trial>,
    /// The score of each trial, in the same order.
    pub scores: Vec<S>,
    /// The rungs of the ladder that the model can't have, each with the reason.
    pub rungs_left_out: BTreeMap<&'static str, Error>,
    /// The number of trials whose score was recalled from an earlier run.
    pub n_recalled: usize,
    /// The reason for the end.
    pub ending: Ending,
    /// The error with which scoring failed, if that ended the search after its first trial.
    pub failure: Option<Error>,
    /// The position of the trial that comes closest to the target: the one with the least
    /// [shortfall](crate::Judge::shortfall), of equal ones the one with the fewest layers rolled back.
    pub closest: usize,
    /// The distribution of the first activation of each layer over the calibration data, by name of the layer.
    pub histograms: BTreeMap<String, ValueHistogram>,
    /// The configuration of the closest trial.
    pub closest_config: QuantConfig,
    /// The model of the [best](Report::best) trial. If no trial meets the target it is `None`, or the model of the closest
    /// trial if [`keep_best`](crate::SearchOptions::keep_best) is set.
    pub outcome: Option<Outcome<S>>,
    /// The scores of the outcome's models after they were saved and read back; [`search`](crate::search()) itself saves
    /// nothing and leaves it empty.
    pub rescored: Vec<Rescored<S>>,
}

/// A model that was saved, read back from its file, and scored once more.
#[derive(Debug, Clone)]
pub struct Rescored<S> {
    /// The name of the model: `fake-quant`, `deploy`, or `deploy_FORMAT` for a further deploy format.
    pub name: String,
    /// Its score.
    pub score: S,
    /// The judge's verdict on it.
    pub verdict: Verdict,
}

/// The model that a search ends with.
#[derive(Debug)]
pub struct Outcome<S> {
    /// Its score.
    pub score: S,
    /// The layers left in float.
    pub rolled_back: LayerSet,
    /// The layers on a rung of the ladder.
    pub rungs: Rungs,
    /// The arithmetic of each layer in the deploy model; if the options name no deploy format, that of the configuration, as if
    /// the runtime had every operator in integers.
    pub arithmetic: LayerArithmetic,
    /// The calibrated parameters of the quantized layers.
    pub record: Record,
    /// The fake-quant model, with the configuration that disables the layers in float and changes those on a rung.
    pub quantized: Quantized,
    /// The deploy model that was scored, if the options name a deploy format.
    pub deployed: Option<Deployed>,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The target is met with every enabled layer quantized.
    AllQuantized,
    /// The strategy has stopped, and the ladder is climbed.
    Finished,
    /// The largest number of trials was reached.
    OutOfTrials,
    /// The time budget was used up.
    OutOfTime,
    /// The user cancelled it, or scoring failed.
    Interrupted,
}

impl<S> Rescored<S> {
    /// Whether it is the fake-quant model.
    pub fn is_fake_quant(&self) -> bool {
        self.name == "fake-quant"
    }
}

impl<S> Report<S> {
    /// The position of the best trial that meets the target: the one whose rollbacks lose the least time, if times are known; of
    /// equal ones the one with the fewest layers rolled back, then the one with the fewest layers on a rung, then the one with the
    /// lowest [cost](Report::cost). `None` if no trial meets it. After [`roll_back_all`](crate::roll_back_all()) it is that trial.
    pub fn best(&self) -> Option<usize> {
        if self.is_all_float() {
            return Some(self.history.len() - 1);
        }
        let satisfying = (0..self.history.len()).filter(|&idx| self.history[idx].verdict.satisfied);
        let numbers = |idx: usize| {
            let Trial { rolled_back, rungs, .. } = &self.history[idx];
            (rolled_back.len(), rungs.len(), self.cost(rolled_back))
        };
        let time_lost = |idx: usize| self.sum_of(&self.history[idx].rolled_back, |entry| entry.time_lost);
        satisfying
            .min_by(|&a, &b| time_lost(a).total_cmp(&time_lost(b)).then_with(|| numbers(a).cmp(&numbers(b))))
    }

    /// Whether [`roll_back_all`](crate::roll_back_all()) ended the search: a search itself never rolls back every layer.
    pub fn is_all_float(&self) -> bool {
        self.history.last().is_some_and(|trial| trial.rolled_back == self.layers)
    }

    /// Whether the target is met, by a trial and by each deploy model that was read back from its file. The fake-quant model counts
    /// only if there is no deploy model: no runtime is meant to run it.
    pub fn is_met(&self) -> bool {
        let has_deployed = self.rescored.iter().any(|saved| !saved.is_fake_quant());
        let mut counted = self.rescored.iter().filter(|saved| !(has_deployed && saved.is_fake_quant()));
        self.best().is_some() && counted.all(|saved| saved.verdict.satisfied)
    }

    /// The score of the outcome: that of the file in the first deploy format, else of the file that was read back last, else of
    /// the trial.
    pub fn final_score(&self) -> Option<&S> {
        let deploy = self.rescored.iter().find(|saved| saved.name == "deploy");
        let saved = deploy.or(self.rescored.last()).map(|saved| &saved.score);
        saved.or(self.outcome.as_ref().map(|outcome| &outcome.score))
    }

    /// The cost of leaving some layers in float, in multiply-accumulate operations for one sample; a group counts only as a
    /// whole.
    pub fn cost(&self, rolled_back: &LayerSet) -> u64 {
        self.sum_of(rolled_back, |entry| entry.cost)
    }

    /// The sum of a number of the entries all of whose layers are rolled back.
    fn sum_of<N: std::iter::Sum>(&self, rolled_back: &LayerSet, number: impl Fn(&Ranked) -> N) -> N {
        self.ranking.entries_of(rolled_back).into_iter().map(|entry| number(&self.ranking.0[entry])).sum()
    }

    /// The rolled-back layers of the best trial that no trial has quantized alone, without the others. If there are none, the
    /// outcome is 1-minimal: no single layer in float can be quantized without missing the target. Layers of a group count
    /// together.
    pub fn untried(&self) -> LayerSet {
        let Some(best) = self.best().filter(|_| !self.is_all_float()) else { return LayerSet::new() };
        let Trial { rolled_back: best, rungs, .. } = &self.history[best];
        let misses = |rolled_back: &LayerSet| {
            let is_same = |trial: &Trial| {
                // The rungs of the layers that are put back do not matter.
                let others = trial.rungs.iter().filter(|(layer, _)| !best.contains(layer));
                trial.rolled_back == *rolled_back && others.eq(rungs)
            };
            self.history.iter().any(|trial| !trial.verdict.satisfied && is_same(trial))
        };
        let is_untried = |entry: &&Ranked| {
            let without: LayerSet =
                best.iter().copied().filter(|layer| !entry.layers.contains(layer)).collect();
            without.len() < best.len() && !misses(&without)
        };
        self.ranking.0.iter().filter(is_untried).flat_map(|entry| entry.layers.iter().copied()).collect()
    }
}
