//! How to search.

use crate::ladder::Rung;
use crate::rank::ReplayTap;
use crate::sensitivity::{CosineSimilarity, Sensitivity};
use crate::strategy::Strategy;
use intact8_quant::layer::LayerSet;
use intact8_quant::{DeployFormat, Emission};

/// How to search.
pub struct SearchOptions<'a> {
    /// Names the layers to roll back.
    pub strategy: &'a mut dyn Strategy,
    /// Ranks them.
    pub sensitivity: &'a dyn Sensitivity,
    /// How many trials there may be; the one with every layer quantized is the first and always made.
    pub max_trials: Option<usize>,
    /// What is tried with layers before they are left in float, in that order; see [`LADDER`](crate::LADDER).
    pub ladder: &'a [&'static Rung],
    /// Layers that are rolled back together or not at all. Layers that are not quantized are ignored.
    pub groups: &'a [LayerSet],
    /// The deploy format that trials are made and scored in, and how; absent: the scorer gets only the simulation.
    pub deploy: Option<(DeployFormat, Emission)>,
    /// Whether a trial may be left as soon as it can no longer satisfy. The first one never is.
    pub early_stop: bool,
    /// Whether the outcome is the trial that came closest if none satisfies, instead of none.
    pub keep_best: bool,
    /// Receives every layer's replay. If there is one, the layers are ranked even if quantizing all of them satisfies.
    pub replays: Option<ReplayTap<'a>>,
}

impl<'a> SearchOptions<'a> {
    /// A search with a strategy, over the cosine similarity, to its end.
    pub fn new(strategy: &'a mut dyn Strategy) -> SearchOptions<'a> {
        SearchOptions {
            strategy,
            sensitivity: &CosineSimilarity,
            max_trials: None,
            ladder: &[],
            groups: &[],
            deploy: None,
            early_stop: true,
            keep_best: false,
            replays: None,
        }
    }

    /// The same options, lent for a shorter time.
    pub fn reborrow(&mut self) -> SearchOptions<'_> {
        let SearchOptions {
            sensitivity,
            max_trials,
            ladder,
            groups,
            deploy,
            early_stop,
            keep_best,
            replays,
            ..
        } = *self;
        SearchOptions {
            strategy: self.strategy,
            sensitivity,
            max_trials,
            ladder,
            groups,
            deploy,
            early_stop,
            keep_best,
            replays,
        }
    }
}
