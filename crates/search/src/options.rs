//! The options of a search.

use crate::ladder::Rung;
use crate::rank::ReplayTap;
use crate::sensitivity::{CosineSimilarity, Sensitivity};
use crate::strategy::Strategy;
use intact8_calibrate::Calibrated;
use intact8_quant::layer::{LayerId, LayerSet};
use intact8_quant::{DeployFormat, Emission};
use std::collections::BTreeMap;

/// The options of a search.
pub struct SearchOptions<'a> {
    /// Chooses the layers to roll back.
    pub strategy: &'a mut dyn Strategy,
    /// Compares outputs to rank the layers.
    pub sensitivity: &'a dyn Sensitivity,
    /// The largest number of trials, at least 1; `None` is no limit. The first trial, with every layer quantized, always runs.
    pub max_trials: Option<usize>,
    /// The rungs that layers are tried on before they are left in float, in this order; see [`LADDER`](crate::ladder::LADDER).
    pub ladder: &'a [&'static Rung],
    /// Groups of layers that are rolled back together or not at all. Layers outside the search are ignored; no layer may be
    /// in two groups.
    pub groups: &'a [LayerSet],
    /// The time in nanoseconds that a run loses if a layer is rolled back, 0 for layers without one. If there are any, layers
    /// whose rollback gains the least accuracy for its time are put back into int8 first, and the best trial is the one that loses
    /// the least time.
    pub time_lost: &'a BTreeMap<LayerId, f64>,
    /// The deploy format in which trials are scored, and its options; if it is `None`, the scorer receives only the fake-quant
    /// model.
    pub deploy: Option<(DeployFormat, Emission)>,
    /// Whether a trial may stop as soon as it can no longer meet the target. The first trial always runs to its end.
    pub early_stop: bool,
    /// Whether the outcome is the closest trial if none meets the target; otherwise there is then no outcome.
    pub keep_best: bool,
    /// The calibration, if it is made already: in shards, for instance. It must be that of the search's model, configuration and data.
    pub calibrated: Option<&'a Calibrated>,
    /// Receives the replay of each layer. If it is set, the layers are ranked even if the first trial meets the target.
    pub replays: Option<ReplayTap<'a>>,
}

static NO_TIMES: BTreeMap<LayerId, f64> = BTreeMap::new();

impl<'a> SearchOptions<'a> {
    /// A search with a strategy, the cosine similarity as sensitivity, and no limits.
    pub fn new(strategy: &'a mut dyn Strategy) -> SearchOptions<'a> {
        SearchOptions {
            strategy,
            sensitivity: &CosineSimilarity,
            max_trials: None,
            ladder: &[],
            groups: &[],
            time_lost: &NO_TIMES,
            deploy: None,
            early_stop: true,
            keep_best: false,
            calibrated: None,
            replays: None,
        }
    }

    /// The same options with a shorter lifetime, to pass them on and use them again.
    pub fn reborrow(&mut self) -> SearchOptions<'_> {
        let SearchOptions {
            sensitivity,
            max_trials,
            ladder,
            groups,
            time_lost,
            deploy,
            early_stop,
            keep_best,
            calibrated,
            replays,
            ..
        } = *self;
        SearchOptions {
            strategy: self.strategy,
            sensitivity,
            max_trials,
            ladder,
            groups,
            time_lost,
            deploy,
            early_stop,
            keep_best,
            calibrated,
            replays,
        }
    }
}
