//! The state of a metric as processes share it: what each sample contributes. Those of neighbouring samples are added one after the
//! other, so the metric of all of them, its noise and its estimates are those of one process, bit for bit.

use intact8_ir::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The contributions of samples, in the order in which they were added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum TallySamples {
    /// Of a mean: a number for each sample.
    Means(Vec<f64>),
    /// Of top-K: the number of classes, and whether each sample is right.
    Right(u64, Vec<bool>),
    /// Of the intersection over union: for each sample and class the number of positions with the class predicted, labelled, and both.
    Overlaps(Vec<BTreeMap<i64, [u64; 3]>>),
    /// Of ratios of energies: signal, noise, number of values, least and greatest target of each sample.
    Energies(Vec<(f64, f64, u64, f32, f32)>),
    /// Of a rank correlation: outputs and targets of each sample.
    Pairs(Vec<(Vec<f32>, Vec<f32>)>),
    /// Of the area under the ROC curve: the score of each sample, and whether its label is 1.
    Scores(Vec<(f32, bool)>),
    /// Of average precision: the scores of each sample by class, and the classes of which it is a positive sample.
    Rankings(Vec<(Vec<f32>, Vec<u32>)>),
}

impl TallySamples {
    /// The number of samples.
    pub(crate) fn n(&self) -> usize {
        match self {
            TallySamples::Means(samples) => samples.len(),
            TallySamples::Right(_, samples) => samples.len(),
            TallySamples::Overlaps(samples) => samples.len(),
            TallySamples::Energies(samples) => samples.len(),
            TallySamples::Pairs(samples) => samples.len(),
            TallySamples::Scores(samples) => samples.len(),
            TallySamples::Rankings(samples) => samples.len(),
        }
    }

    /// Appends those of the samples that follow.
    ///
    /// # Errors
    /// If they are those of another metric.
    pub(crate) fn append(&mut self, others: TallySamples) -> Result<()> {
        match (self, others) {
            (TallySamples::Means(mine), TallySamples::Means(theirs)) => mine.extend(theirs),
            (TallySamples::Right(mine_of, mine), TallySamples::Right(theirs_of, theirs)) => {
                // A shard without samples knows no classes.
                *mine_of = (*mine_of).max(theirs_of);
                mine.extend(theirs);
            }
            (TallySamples::Overlaps(mine), TallySamples::Overlaps(theirs)) => mine.extend(theirs),
            (TallySamples::Energies(mine), TallySamples::Energies(theirs)) => mine.extend(theirs),
            (TallySamples::Pairs(mine), TallySamples::Pairs(theirs)) => mine.extend(theirs),
            (TallySamples::Scores(mine), TallySamples::Scores(theirs)) => mine.extend(theirs),
            (TallySamples::Rankings(mine), TallySamples::Rankings(theirs)) => mine.extend(theirs),
            _ => return Err(TallySamples::other_metric()),
        }
        Ok(())
    }

    pub(super) fn other_metric() -> Error {
        Error::invalid_data("the state is that of another metric")
    }
}
