//! Clipping candidates: ranges that only the outputs of the network can judge. It runs nothing.

use super::{Calibration, Chosen, Watched, find};
use crate::config::{ActivationConfig, ActivationMethod};
use crate::observer::{Statistics, without_sentinels};
use crate::params::QuantParams;
use intact8_ir::ValueRef;
use rayon::prelude::*;

/// A clipping candidate: a smaller range for an activation, which is used if it lowers the error at the network's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct ClippingCandidate {
    /// The layers that use the activation, by name, each with the index of the activation among the layer's activations.
    pub users: Vec<(String, usize)>,
    /// The parameters of that range.
    pub params: QuantParams,
    /// Whether only sentinel values lie outside of the range: one frequent value far from all others.
    pub excludes_sentinels: bool,
}

/// The method whose range is compared with that of the least squared error.
const BY_DIVERGENCE: ActivationMethod = ActivationMethod::Kl { num_of_bins: 2048 };

/// A range of least divergence is a candidate only if it is less than this part of the usual range: otherwise the squared
/// error, by which the usual range was chosen, decides.
const MAX_CANDIDATE_WIDTH: f32 = 0.5;

/// Fewer values do not show a distribution.
const LEAST_VALUES: u64 = 2048;

impl Calibration {
    /// Clipping candidates: smaller ranges for activations whose method is `auto`, where only the outputs of the network can
    /// show which range is better. These are ranges without sentinel values, and ranges of less than half the width that have
    /// the least Kullback-Leibler divergence. Squared error and divergence then disagree on whether rare, far values matter.
    pub fn clipping_candidates(&self) -> Vec<ClippingCandidate> {
        let chosen = self.chosen();
        let at = |(value, chosen): (&ValueRef, &Vec<Chosen>)| self.candidates_at(*value, chosen);
        chosen.par_iter().flat_map_iter(at).collect()
    }

    fn candidates_at(&self, value: ValueRef, chosen: &[Chosen]) -> Vec<ClippingCandidate> {
        let statistics = &self.statistics[&value];
        let users: Vec<&Watched> = self.users_of(value).collect();
        let Some(first) = users.first() else { return vec![] };
        let config = &first.config.activation_quant_params;
        let Some(usual) = find(chosen, config, first.asymmetric) else { return vec![] };
        let is_alike = |watched: &&Watched| {
            watched.config.activation_quant_params == *config
                && watched.asymmetric == first.asymmetric
                && !self.shares(watched)
        };
        if config.method != ActivationMethod::Auto
            || statistics.n_values < LEAST_VALUES
            || !users.iter().all(is_alike)
        {
            return vec![];
        }
        let operands = users.iter().flat_map(|watched| {
            let inputs = watched.inputs.iter().enumerate().filter(|(_, input)| **input == value);
            inputs.map(|(operand, _)| (watched.layer.name.clone(), operand))
        });
        let users: Vec<(String, usize)> = operands.collect();
        let candidate = |params, excludes_sentinels| ClippingCandidate {
            users: users.clone(),
            params,
            excludes_sentinels,
        };
        let params = |statistics: &Statistics, config: &ActivationConfig| {
            self.params(statistics, config, first.asymmetric)
        };
        let by_divergence = ActivationConfig { method: BY_DIVERGENCE, ..config.clone() };
        let without_sentinel_values = without_sentinels(statistics).map(|others| params(&others, config));
        let by_divergence = params(statistics, &by_divergence);
        let without_sentinel_values =
            without_sentinel_values.filter(|params| params.scale[0] < usual.scale[0]);
        let by_divergence =
            Some(by_divergence).filter(|params| is_candidate_width(params.scale[0], usual.scale[0]));
        [(without_sentinel_values, true), (by_divergence, false)]
            .into_iter()
            .filter_map(|(params, excludes_sentinels)| Some(candidate(params?, excludes_sentinels)))
            .collect()
    }
}

fn is_candidate_width(scale: f32, usual: f32) -> bool {
    scale < MAX_CANDIDATE_WIDTH * usual
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_less_than_half_as_wide() {
        assert!(is_candidate_width(0.499, 1.0) && !is_candidate_width(0.5, 1.0));
    }
}
