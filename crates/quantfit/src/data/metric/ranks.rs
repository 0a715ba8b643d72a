//! Metrics of the order of outputs.

use super::{Batch, Tally};
use quantfit_ir::{Error, Result};

/// Spearman's correlation of all outputs with all targets.
#[derive(Default)]
pub(super) struct RankCorrelation {
    outputs: Vec<f32>,
    targets: Vec<f32>,
}

impl Tally for RankCorrelation {
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        for (output, targets) in batch.pairs()? {
            self.outputs.extend_from_slice(output);
            self.targets.extend_from_slice(targets);
        }
        Ok(())
    }

    /// Pearson's correlation of the ranks; 0 where either has just one value.
    fn value(&self) -> f64 {
        let (outputs, targets) = (ranks(&self.outputs), ranks(&self.targets));
        let mean = (outputs.len() as f64 + 1.0) / 2.0;
        let covariance =
            |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum() };
        let spread = covariance(&outputs, &outputs).sqrt() * covariance(&targets, &targets).sqrt();
        if spread == 0.0 { 0.0 } else { covariance(&outputs, &targets) / spread }
    }
}

/// The area under the ROC curve.
#[derive(Default)]
pub(super) struct RocArea {
    scores: Vec<f32>,
    is_positive: Vec<bool>,
}

impl Tally for RocArea {
    /// The output has one value a sample, or two, of which the second speaks for label 1.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        let width = batch.output.len() / batch.n;
        if width > 2 || batch.labels.len() != batch.n {
            return Err(Error::invalid_data(format!(
                "auc wants one or two outputs and one label for each sample, found {width} outputs"
            )));
        }
        if let Some(label) = batch.labels.iter().find(|label| ![0, 1].contains(*label)) {
            return Err(Error::invalid_data(format!("auc wants labels 0 and 1, found {label}")));
        }
        let score = |row: &[f32]| if width == 2 { row[1] - row[0] } else { row[0] };
        self.scores.extend(batch.output.chunks_exact(width).map(score));
        self.is_positive.extend(batch.labels.iter().map(|&label| label == 1));
        Ok(())
    }

    /// The share of pairs of a positive and a negative sample that are in order, ties by half; 0.5 without pairs.
    fn value(&self) -> f64 {
        let ranks = ranks(&self.scores);
        let of_positives = ranks.iter().zip(&self.is_positive).filter(|(_, is_positive)| **is_positive);
        let (n_positive, sum) = of_positives.fold((0.0, 0.0), |(n, sum), (rank, _)| (n + 1.0, sum + rank));
        let n_negative = ranks.len() as f64 - n_positive;
        if n_positive * n_negative == 0.0 {
            return 0.5;
        }
        (sum - n_positive * (n_positive + 1.0) / 2.0) / (n_positive * n_negative)
    }
}

/// The ranks of values, from 1; equals share the mean of theirs.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equals in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equals.len() as f64 + 1.0) / 2.0;
        equals.iter().for_each(|&idx| ranks[idx] = rank);
        first += equals.len();
    }
    ranks
}
