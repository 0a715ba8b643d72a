//! Metrics of the order of outputs: Spearman's correlation and the area under the ROC curve.

use super::{Batch, Tally, TallySamples};
use crate::chance::Chance;
use intact8_ir::{Error, Result};

/// Spearman's rank correlation of all outputs with all targets.
#[derive(Default)]
pub(super) struct RankCorrelation {
    outputs: Vec<f32>,
    targets: Vec<f32>,
    /// The sample of each value.
    samples: Vec<usize>,
    n_samples: usize,
}

impl RankCorrelation {
    fn add_sample(&mut self, output: &[f32], targets: &[f32]) {
        self.outputs.extend_from_slice(output);
        self.targets.extend_from_slice(targets);
        self.samples.extend(output.iter().map(|_| self.n_samples));
        self.n_samples += 1;
    }
}

impl Tally for RankCorrelation {
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        batch.pairs()?.for_each(|(output, targets)| self.add_sample(output, targets));
        Ok(())
    }

    fn samples(&self) -> Option<TallySamples> {
        let mut pairs = vec![(Vec::new(), Vec::new()); self.n_samples];
        for (&sample, (&output, &target)) in self.samples.iter().zip(self.outputs.iter().zip(&self.targets)) {
            pairs[sample].0.push(output);
            pairs[sample].1.push(target);
        }
        Some(TallySamples::Pairs(pairs))
    }

    fn add_samples(&mut self, samples: TallySamples) -> Result<()> {
        let TallySamples::Pairs(pairs) = samples else { return Err(TallySamples::other_metric()) };
        pairs.iter().for_each(|(output, targets)| self.add_sample(output, targets));
        Ok(())
    }

    fn n(&self) -> usize {
        self.n_samples
    }

    /// Pearson's correlation of the ranks; 0 if outputs or targets have only one value, and -1 if an output is NaN.
    fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64 {
        let counted = |values: &[f32]| -> Vec<f32> {
            let pairs = values.iter().zip(&self.samples).filter(|&(_, &sample)| is_counted(sample));
            pairs.map(|(&value, _)| value).collect()
        };
        let outputs = counted(&self.outputs);
        if outputs.iter().any(|output| output.is_nan()) {
            return -1.0;
        }
        let (outputs, targets) = (ranks(&outputs), ranks(&counted(&self.targets)));
        let mean = (outputs.len() as f64 + 1.0) / 2.0;
        let covariance =
            |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum() };
        let spread = covariance(&outputs, &outputs).sqrt() * covariance(&targets, &targets).sqrt();
        if spread == 0.0 { 0.0 } else { covariance(&outputs, &targets) / spread }
    }

    /// The error is that of unrelated ranks.
    fn chance(&self) -> Chance {
        Chance { level: 0.0, error: 1.0 / (self.outputs.len().max(2) as f64 - 1.0).sqrt() }
    }
}

/// The area under the ROC curve.
#[derive(Default)]
pub(super) struct RocArea {
    scores: Vec<f32>,
    is_positive: Vec<bool>,
}

impl Tally for RocArea {
    /// The output has one value a sample, or two, of which the second is the score of label 1. One that is NaN counts as the worst.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        let width = batch.output.len() / batch.n;
        if width > 2 || batch.labels.len() != batch.n {
            return Err(Error::invalid_data(format!(
                "requires one or two outputs and one label for each sample, found {width} outputs"
            )));
        }
        if let Some(label) = batch.labels.iter().find(|label| ![0, 1].contains(*label)) {
            return Err(Error::invalid_data(format!("requires the labels 0 and 1, found {label}")));
        }
        let score = |row: &[f32]| if width == 2 { row[1] - row[0] } else { row[0] };
        let rows = batch.output.chunks_exact(width).zip(&*batch.labels);
        self.scores.extend(rows.map(|(row, &label)| match score(row) {
            number if number.is_nan() && label == 1 => f32::NEG_INFINITY,
            number if number.is_nan() => f32::INFINITY,
            number => number,
        }));
        self.is_positive.extend(batch.labels.iter().map(|&label| label == 1));
        Ok(())
    }

    fn samples(&self) -> Option<TallySamples> {
        Some(TallySamples::Scores(
            self.scores.iter().copied().zip(self.is_positive.iter().copied()).collect(),
        ))
    }

    fn add_samples(&mut self, samples: TallySamples) -> Result<()> {
        let TallySamples::Scores(samples) = samples else { return Err(TallySamples::other_metric()) };
        for (score, is_positive) in samples {
            self.scores.push(score);
            self.is_positive.push(is_positive);
        }
        Ok(())
    }

    fn n(&self) -> usize {
        self.scores.len()
    }

    /// The share of pairs of a positive and a negative sample that are in the right order, where ties count half; 0.5 without pairs.
    fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64 {
        let counted: Vec<usize> = (0..self.n()).filter(|&sample| is_counted(sample)).collect();
        let scores: Vec<f32> = counted.iter().map(|&sample| self.scores[sample]).collect();
        let ranks = ranks(&scores);
        let of_positives = ranks.iter().zip(&counted).filter(|&(_, &sample)| self.is_positive[sample]);
        let (n_positive, sum) = of_positives.fold((0.0, 0.0), |(n, sum), (rank, _)| (n + 1.0, sum + rank));
        let n_negative = ranks.len() as f64 - n_positive;
        if n_positive * n_negative == 0.0 {
            return 0.5;
        }
        (sum - n_positive * (n_positive + 1.0) / 2.0) / (n_positive * n_negative)
    }

    /// The error is that of Mann and Whitney's U without ties.
    fn chance(&self) -> Chance {
        let n = self.n() as f64;
        let n_positive = self.is_positive.iter().filter(|&&is_positive| is_positive).count() as f64;
        let n_pairs = n_positive * (n - n_positive);
        let error = if n_pairs > 0.0 { ((n + 1.0) / (12.0 * n_pairs)).sqrt() } else { 0.0 };
        Chance { level: 0.5, error }
    }
}

/// The ranks of values, from 1; equal values share their mean rank.
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
