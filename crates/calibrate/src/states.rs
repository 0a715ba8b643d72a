//! The states of the passes of a calibration over the data: values that add up, so that a pass can be made in parts.
//!
//! A calibration is a function of the states of its passes, which are merged from those of shards in any order with the same
//! result bit for bit, and of the choices that sampled rows decide. This module holds the states and runs nothing.

use crate::calibrated::Roundings;
use intact8_ir::{Error, Result};
use intact8_quant::ExactSum;
use intact8_quant::observer::{ChannelMaxima, Statistics};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::AddAssign;

/// The passes over all data, in their order. Calibrations that do not need one leave it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CalibrationPass {
    /// The ranges of activations, and the maxima of their channels for smoothing.
    Observation,
    /// The errors at the network's outputs with clipped ranges.
    Clipping,
    /// The ranges of smoothed activations.
    SmoothedObservation,
    /// The errors at the network's outputs with clipped ranges of smoothed activations.
    SmoothedClipping,
    /// The mean errors of output channels.
    BiasCorrection,
}

impl CalibrationPass {
    /// The name, for messages and files.
    pub fn name(self) -> &'static str {
        match self {
            CalibrationPass::Observation => "observation",
            CalibrationPass::Clipping => "clipping",
            CalibrationPass::SmoothedObservation => "observation after smoothing",
            CalibrationPass::SmoothedClipping => "clipping after smoothing",
            CalibrationPass::BiasCorrection => "bias correction",
        }
    }
}

impl fmt::Display for CalibrationPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The state of one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct PassState {
    /// The pass.
    pub pass: CalibrationPass,
    /// Its sums, maxima and counts.
    pub content: PassContent,
}

/// What a pass adds up. The order of layers and activations follows from model, configuration and the passes before.
#[derive(Debug, Clone, PartialEq)]
pub enum PassContent {
    /// Of the passes that observe activations.
    Observed {
        /// The statistics of each observed activation.
        statistics: Vec<Statistics>,
        /// The maxima of the channels of each activation that may be smoothed; none after smoothing.
        maxima: Vec<ChannelMaxima>,
    },
    /// Of the passes that clip: the errors for each activation that has candidates.
    Errors(Vec<CandidateErrors>),
    /// Of bias correction: the errors of each corrected layer.
    ChannelErrors(Vec<ChannelErrors>),
}

/// The errors at the network's outputs with the full range of one activation, and with each of its candidates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CandidateErrors {
    /// The sum over the batches with the full range, and then with each candidate; 0 of those that no longer matter.
    pub sums: Vec<ExactSum>,
    /// For each candidate, and each range before it: whether the error of some batch is higher than with that range.
    pub is_harmful: Vec<Vec<bool>>,
}

/// The sum of the errors of each output channel of a layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChannelErrors {
    /// The sum of float minus quantized outputs, a number for each channel; empty before the first batch.
    pub sums: Vec<ExactSum>,
    /// The number of summands of each channel.
    pub n: u64,
}

/// The states of the passes made so far, and the choices that sampled rows decide.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CalibrationStates {
    /// The states, each of all data, in the order of the passes.
    pub passes: Vec<PassState>,
    /// The names of the smoothed layers, once they are chosen.
    pub smoothed: Option<BTreeSet<String>>,
    /// The rounding of weights, once it is chosen.
    pub roundings: Option<Roundings>,
}

impl PassState {
    /// Adds the state of the same pass over other batches.
    ///
    /// # Errors
    /// If it is that of another pass, model or configuration.
    pub fn merge(&mut self, other: &PassState) -> Result<()> {
        let differs = || Error::invalid_data("the states are those of another model or configuration");
        if self.pass != other.pass {
            return Err(Error::invalid_data(format!("the passes differ: {} and {}", self.pass, other.pass)));
        }
        match (&mut self.content, &other.content) {
            (
                PassContent::Observed { statistics, maxima },
                PassContent::Observed { statistics: others, maxima: other_maxima },
            ) if statistics.len() == others.len() && maxima.len() == other_maxima.len() => {
                for (mine, theirs) in statistics.iter_mut().zip(others) {
                    *mine += theirs;
                    mine.bounded();
                }
                maxima.iter_mut().zip(other_maxima).for_each(|(mine, theirs)| mine.merge(theirs));
                Ok(())
            }
            (PassContent::Errors(mine), PassContent::Errors(theirs)) if mine.len() == theirs.len() => mine
                .iter_mut()
                .zip(theirs)
                .try_for_each(|(mine, theirs)| if mine.merge(theirs) { Ok(()) } else { Err(differs()) }),
            (PassContent::ChannelErrors(mine), PassContent::ChannelErrors(theirs))
                if mine.len() == theirs.len() =>
            {
                mine.iter_mut().zip(theirs).try_for_each(|(mine, theirs)| mine.merge(&theirs.sums, theirs.n))
            }
            _ => Err(differs()),
        }
    }
}

impl ChannelErrors {
    /// Adds the errors of a batch: the sum of each channel over `n` values.
    pub fn add(&mut self, errors: &[f64], n: u64) {
        self.sums.resize_with(self.sums.len().max(errors.len()), ExactSum::default);
        self.sums.iter_mut().zip(errors).for_each(|(sum, &error)| sum.add(error));
        self.n += n;
    }

    /// The mean error of each channel.
    pub fn means(&self) -> Vec<f32> {
        let n = self.n.max(1) as f64;
        self.sums.iter().map(|sum| (sum.value() / n) as f32).collect()
    }

    /// Adds the sums of other batches over `n` values of each channel.
    ///
    /// # Errors
    /// If they are of another number of channels.
    pub fn merge<S>(&mut self, sums: &[S], n: u64) -> Result<()>
    where
        ExactSum: for<'a> AddAssign<&'a S>,
    {
        if !self.sums.is_empty() && !sums.is_empty() && self.sums.len() != sums.len() {
            return Err(Error::invalid_data(format!(
                "a layer has {} output channels in one shard and {} in another",
                self.sums.len(),
                sums.len()
            )));
        }
        self.sums.resize_with(self.sums.len().max(sums.len()), ExactSum::default);
        self.sums.iter_mut().zip(sums).for_each(|(mine, theirs)| *mine += theirs);
        self.n += n;
        Ok(())
    }
}

impl CandidateErrors {
    /// No errors of so many candidates.
    pub fn new(n_candidates: usize) -> CandidateErrors {
        CandidateErrors {
            sums: vec![ExactSum::default(); 1 + n_candidates],
            is_harmful: (0..n_candidates).map(|candidate| vec![false; 1 + candidate]).collect(),
        }
    }

    /// Whether a candidate can no longer be chosen: it harms some batch, compared with every range that it might replace.
    pub fn is_rejected(&self, candidate: usize) -> bool {
        let before = &self.is_harmful[candidate];
        before
            .iter()
            .enumerate()
            .all(|(range, is_harmful)| *is_harmful || range > 0 && self.is_rejected(range - 1))
    }

    /// Whether no candidate can be chosen any more.
    pub fn is_decided(&self) -> bool {
        (0..self.is_harmful.len()).all(|candidate| self.is_rejected(candidate))
    }

    /// Adds the errors of a batch: with the full range and with each candidate; `may_harm` is whether a candidate may increase the
    /// error of single batches.
    pub fn add(&mut self, errors: &[f64], may_harm: &[bool]) {
        self.sums.iter_mut().zip(errors).for_each(|(sum, &error)| sum.add(error));
        for (candidate, before) in self.is_harmful.iter_mut().enumerate() {
            for (range, is_harmful) in before.iter_mut().enumerate() {
                // An error that is NaN is not less than any other.
                let is_lower = errors[1 + candidate] <= errors[range];
                *is_harmful |= !may_harm[candidate] && !is_lower;
            }
        }
        self.normalize();
    }

    /// Removes what no longer matters, so that the state does not depend on how early a part of the data was left.
    fn normalize(&mut self) {
        for rejected in
            (0..self.is_harmful.len()).filter(|&candidate| self.is_rejected(candidate)).collect::<Vec<_>>()
        {
            self.sums[1 + rejected] = ExactSum::default();
            self.is_harmful[rejected].fill(true);
            self.is_harmful[rejected + 1..].iter_mut().for_each(|before| before[1 + rejected] = true);
        }
        if self.is_decided() {
            self.sums[0] = ExactSum::default();
        }
    }

    /// Adds the errors of other batches; false if they are of other candidates.
    fn merge(&mut self, other: &CandidateErrors) -> bool {
        let fits = |(mine, theirs): (&Vec<bool>, &Vec<bool>)| mine.len() == theirs.len();
        if self.sums.len() != other.sums.len()
            || self.is_harmful.len() != other.is_harmful.len()
            || !self.is_harmful.iter().zip(&other.is_harmful).all(fits)
        {
            return false;
        }
        self.sums.iter_mut().zip(&other.sums).for_each(|(mine, theirs)| *mine += theirs);
        for (mine, theirs) in self.is_harmful.iter_mut().zip(&other.is_harmful) {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine |= theirs);
        }
        self.normalize();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state of batches, which is left as soon as it is decided.
    fn errors(batches: &[[f64; 3]], may_harm: [bool; 2]) -> CandidateErrors {
        let mut errors = CandidateErrors::new(2);
        for batch in batches {
            if !errors.is_decided() {
                errors.add(batch, &may_harm);
            }
        }
        errors
    }

    /// All batches of three errors from a few numbers, in parts that are left early, in both orders.
    #[test]
    fn errors_of_parts_add_up_to_those_of_the_whole_however_early_a_part_is_left() {
        let numbers = [1.0, 0.5, 2.0, f64::NAN, f64::INFINITY];
        let mut state = 1u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            numbers[(state >> 33) as usize % numbers.len()]
        };
        for round in 0..400 {
            // Mostly harmless batches, so that parts are left at different times.
            let batch = |draw: &mut dyn FnMut() -> f64| {
                if round % 3 > 0 && draw() < 1.5 { [1.0, 0.5, 0.25] } else { [draw(), draw(), draw()] }
            };
            let batches: Vec<[f64; 3]> = (0..6).map(|_| batch(&mut draw)).collect();
            for may_harm in [[false, false], [true, false]] {
                let whole = errors(&batches, may_harm);
                for cut in 0..=batches.len() {
                    for [first, second] in
                        [[&batches[..cut], &batches[cut..]], [&batches[cut..], &batches[..cut]]]
                    {
                        let mut parts = errors(first, may_harm);
                        assert!(parts.merge(&errors(second, may_harm)));
                        assert_eq!(parts, whole, "{batches:?} {cut}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_candidate_that_only_harms_a_rejected_one_is_rejected_with_it() {
        let both = errors(&[[1.0, 0.5, 2.0], [1.0, 3.0, 0.5]], [false, false]);
        assert!(both.is_rejected(0) && both.is_rejected(1) && both.is_decided());
        assert_eq!(both.sums, vec![ExactSum::default(); 3]);
        let second = errors(&[[1.0, 2.0, 0.5]], [false, false]);
        assert!(second.is_rejected(0) && !second.is_rejected(1));
        assert_eq!(second.sums[2].value(), 0.5);
    }
}
