//! Average precision: whether the samples of a class rank before the others.

use super::{Batch, Tally, TallySamples};
use crate::chance::Chance;
use intact8_ir::{Error, Result};
use std::cell::OnceCell;

/// The average precision of each class that has positive samples, and the mean over these classes.
///
/// It is the sum of the precision at each score times the recall that the samples of this score add, as in scikit-learn's
/// `average_precision_score`: without interpolation, and equal scores count together.
#[derive(Default)]
pub(super) struct AveragePrecision {
    /// The scores of each sample, one for each class.
    scores: Vec<Vec<f32>>,
    /// The classes of which each sample is a positive one.
    positives: Vec<Vec<u32>>,
    /// For each class the samples and their scores, the highest first; made when the value is first asked for.
    rankings: OnceCell<Vec<Vec<Ranked>>>,
}

/// A sample in the ranking of a class.
#[derive(Clone, Copy)]
struct Ranked {
    score: f32,
    sample: usize,
    is_positive: bool,
}

impl AveragePrecision {
    fn add_sample(&mut self, scores: Vec<f32>, positives: Vec<u32>) {
        self.scores.push(scores);
        self.positives.push(positives);
        self.rankings = OnceCell::new();
    }

    fn rankings(&self) -> &[Vec<Ranked>] {
        self.rankings.get_or_init(|| {
            let n_classes = self.scores.first().map_or(0, Vec::len);
            (0..n_classes).map(|class| self.ranking(class)).collect()
        })
    }

    /// The samples of a class. A score that is NaN counts as the worst: the lowest of a positive sample, the highest of another.
    fn ranking(&self, class: usize) -> Vec<Ranked> {
        let samples = self.scores.iter().zip(&self.positives).enumerate();
        let ranked = samples.map(|(sample, (scores, positives))| {
            let is_positive = positives.contains(&(class as u32));
            let score = match scores[class] {
                score if score.is_nan() && is_positive => f32::NEG_INFINITY,
                score if score.is_nan() => f32::INFINITY,
                score => score,
            };
            Ranked { score, sample, is_positive }
        });
        let mut ranking: Vec<Ranked> = ranked.collect();
        ranking.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
        ranking
    }
}

/// The average precision of the samples of a ranking, in its order; `None` without a positive one.
fn average_precision(ranking: impl Iterator<Item = Ranked>) -> Option<f64> {
    let mut ranking = ranking.peekable();
    let (mut n, mut n_positive, mut sum) = (0.0, 0.0, 0.0);
    let mut n_positive_here = 0.0;
    while let Some(Ranked { score, is_positive, .. }) = ranking.next() {
        n += 1.0;
        n_positive_here += f64::from(u8::from(is_positive));
        if ranking.peek().is_none_or(|next| next.score != score) {
            n_positive += n_positive_here;
            sum += n_positive_here * n_positive / n;
            n_positive_here = 0.0;
        }
    }
    (n_positive > 0.0).then(|| sum / n_positive)
}

impl Tally for AveragePrecision {
    /// The output has one value a sample, or two, of which the second is the score of label 1, and labels are 0 and 1; or it has a
    /// value for each class, and labels are one class a sample, or 0 or 1 for each class.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        let (width, n_labels) = (batch.output.len() / batch.n, batch.labels.len() / batch.n);
        if n_labels == 0 || batch.labels.len() != n_labels * batch.n || ![1, width].contains(&n_labels) {
            return Err(Error::invalid_data(format!(
                "requires one label for each sample, or one for each of its {width} outputs, found {} for {} samples",
                batch.labels.len(),
                batch.n
            )));
        }
        let is_binary = width <= 2 && n_labels == 1;
        let n_values = if is_binary || n_labels > 1 { 2 } else { width };
        let is_known = |&&label: &&i64| usize::try_from(label).is_ok_and(|label| label < n_values);
        if let Some(label) = batch.labels.iter().find(|label| !is_known(label)) {
            return Err(Error::invalid_data(match n_values {
                2 => format!("requires the labels 0 and 1, found {label}"),
                _ => format!("the label {label} is none of the classes 0 to {}", width - 1),
            }));
        }
        for (row, labels) in batch.output.chunks_exact(width).zip(batch.labels.chunks_exact(n_labels)) {
            let is_set = |&(_, label): &(u32, &i64)| *label == 1;
            match (is_binary, labels) {
                (true, &[label]) => {
                    let score = if width == 2 { row[1] - row[0] } else { row[0] };
                    self.add_sample(vec![score], if label == 1 { vec![0] } else { vec![] });
                }
                (false, &[label]) => self.add_sample(row.to_vec(), vec![label as u32]),
                _ => {
                    let set = (0..).zip(labels).filter(is_set).map(|(class, _)| class);
                    self.add_sample(row.to_vec(), set.collect());
                }
            }
        }
        Ok(())
    }

    fn samples(&self) -> Option<TallySamples> {
        let samples = self.scores.iter().cloned().zip(self.positives.iter().cloned());
        Some(TallySamples::Rankings(samples.collect()))
    }

    fn add_samples(&mut self, samples: TallySamples) -> Result<()> {
        let TallySamples::Rankings(samples) = samples else { return Err(TallySamples::other_metric()) };
        for (scores, positives) in samples {
            if self.scores.first().is_some_and(|first| first.len() != scores.len()) {
                return Err(Error::invalid_data("samples differ in their number of scores"));
            }
            self.add_sample(scores, positives);
        }
        Ok(())
    }

    fn n(&self) -> usize {
        self.scores.len()
    }

    /// 0 if no class has a positive sample.
    fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64 {
        let counted: Vec<bool> = (0..self.n()).map(is_counted).collect();
        let of_classes = self.rankings().iter().filter_map(|ranking| {
            average_precision(ranking.iter().copied().filter(|ranked| counted[ranked.sample]))
        });
        let (n, sum) = of_classes.fold((0.0, 0.0), |(n, sum), of_class| (n + 1.0, sum + of_class));
        if n > 0.0 { sum / n } else { 0.0 }
    }

    /// That of random rankings: the expectation by Bestgen 2015, "Exact expected average precision of the random baseline for system
    /// evaluation"; the variance of each class is that of the parts of Hoeffding's decomposition for many samples, and classes count
    /// as independent.
    fn chance(&self) -> Chance {
        let n = self.n() as f64;
        let harmonic: f64 = (1..=self.n()).map(|rank| 1.0 / rank as f64).sum();
        let n_positive =
            self.rankings().iter().map(|ranking| ranking.iter().filter(|it| it.is_positive).count());
        let of_classes = n_positive.filter(|&n_positive| n_positive > 0).map(|n_positive| {
            let (n_positive, share) = (n_positive as f64, n_positive as f64 / n);
            let of_others = (n_positive - 1.0) / (n - 1.0).max(1.0);
            let level = (of_others * (n - harmonic) + harmonic) / n;
            let of_pairs = (1.0 - share) * n.ln() + std::f64::consts::PI.powi(2) / 6.0 / share;
            (level, (1.0 - share) * (share / n + of_pairs / (n * n)))
        });
        let (n_classes, level, variance) = of_classes
            .fold((0.0, 0.0, 0.0), |(n, levels, variances), (level, variance)| {
                (n + 1.0, levels + level, variances + variance)
            });
        if n_classes == 0.0 {
            return Chance::default();
        }
        Chance { level: level / n_classes, error: f64::sqrt(variance) / n_classes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::metric_named;
    use intact8_ir::Tensor;

    fn tally(n: usize, output: &[f32], labels: &[i64]) -> Result<Box<dyn Tally>> {
        let outputs = [Tensor::new(&[n, output.len() / n], output.to_vec())];
        let mut tally = metric_named("ap")?.tally();
        tally.add(&Batch { labels: labels.into(), ..Batch::of(&outputs, n, Some(0))? })?;
        Ok(tally)
    }

    fn value(n: usize, output: &[f32], labels: &[i64]) -> f64 {
        tally(n, output, labels).unwrap().value()
    }

    /// Pseudo-random integers below `most`.
    fn integers(n: usize, most: u64, seed: u64) -> Vec<u64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % most
        };
        (0..n).map(|_| next()).collect()
    }

    /// The mean over the positive samples of the share of positive ones among those that score no less: quadratic, without a ranking.
    fn by_definition(scores: &[f32], is_positive: &[bool]) -> Option<f64> {
        let of_sample = |&(&score, _): &(&f32, &bool)| {
            let no_less = || scores.iter().zip(is_positive).filter(|(other, _)| **other >= score);
            no_less().filter(|(_, is_positive)| **is_positive).count() as f64 / no_less().count() as f64
        };
        let positives: Vec<f64> = scores
            .iter()
            .zip(is_positive)
            .filter(|(_, is_positive)| **is_positive)
            .map(|it| of_sample(&it))
            .collect();
        (!positives.is_empty()).then(|| positives.iter().sum::<f64>() / positives.len() as f64)
    }

    #[test]
    fn rankings_with_equal_scores_have_the_precision_of_the_definition() {
        for seed in 0..60 {
            let (n, n_classes) = (1 + seed as usize % 23, [1, 3, 5][seed as usize % 3]);
            let scores: Vec<f32> =
                integers(n * n_classes, 7, seed).into_iter().map(|it| it as f32 - 3.0).collect();
            let set: Vec<i64> =
                integers(n * n_classes, 5, seed + 99).into_iter().map(|it| i64::from(it < 2)).collect();
            let of_class = |class: usize| {
                let column = |idx: &usize| idx % n_classes == class;
                let positions: Vec<usize> = (0..n * n_classes).filter(column).collect();
                let scores: Vec<f32> = positions.iter().map(|&idx| scores[idx]).collect();
                let is_positive: Vec<bool> = positions.iter().map(|&idx| set[idx] == 1).collect();
                by_definition(&scores, &is_positive)
            };
            let of_classes: Vec<f64> = (0..n_classes).filter_map(of_class).collect();
            let expected = of_classes.iter().sum::<f64>() / of_classes.len().max(1) as f64;
            let found = value(n, &scores, &set);
            assert!((found - expected).abs() < 1e-12, "{seed}: {found} {expected}");
        }
    }

    /// The figures are those of `average_precision_score` of scikit-learn 1.9.1 for the same integers, by default the macro mean.
    #[test]
    fn values_are_those_of_scikit_learn() {
        let scores = |n: usize, seed: u64| -> Vec<f32> {
            integers(n, 40, seed).into_iter().map(|it| it as f32).collect()
        };
        let is_below = |n: usize, most: u64, seed: u64| -> Vec<i64> {
            integers(n, 10, seed).into_iter().map(|it| i64::from(it < most)).collect()
        };
        let classes: Vec<i64> = integers(200, 4, 4).into_iter().map(|it| it as i64).collect();
        for (found, expected) in [
            (value(200, &scores(200, 1), &is_below(200, 3, 2)), 0.260_487_388_947_230_7),
            (value(200, &scores(800, 3), &classes), 0.253_535_944_390_680_45),
            (value(200, &scores(800, 3), &is_below(800, 2, 5)), 0.202_572_506_288_465_5),
        ] {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    /// Random rankings of some samples: their mean is exactly the level, and the error is their spread.
    #[test]
    fn guesses_have_the_level_and_the_error_of_random_rankings() {
        for (n, n_positive) in [(50, 1), (200, 20), (300, 150)] {
            let labels: Vec<i64> = (0..n).map(|idx| i64::from(idx < n_positive)).collect();
            let draw = |seed: u64| {
                let scores: Vec<f32> = integers(n, 1 << 24, seed).into_iter().map(|it| it as f32).collect();
                value(n, &scores, &labels)
            };
            let drawn: Vec<f64> = (0..3000).map(draw).collect();
            let mean = drawn.iter().sum::<f64>() / 3000.0;
            let spread = (drawn.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 2999.0).sqrt();
            let chance = tally(n, &vec![0.0; n], &labels).unwrap().chance();
            assert!((mean - chance.level).abs() < 4.0 * spread / 3000f64.sqrt(), "{mean} {chance:?}");
            assert!((0.85..1.15).contains(&(chance.error / spread)), "{spread} {chance:?}");
        }
    }

    #[test]
    fn outputs_and_labels_that_do_not_fit_are_errors() {
        let error = |output: &[f32], labels: &[i64]| tally(2, output, labels).err().unwrap().to_string();
        assert_eq!(error(&[0.0; 2], &[0, 2]), "requires the labels 0 and 1, found 2");
        assert_eq!(error(&[0.0; 6], &[0, 3]), "the label 3 is none of the classes 0 to 2");
        assert_eq!(error(&[0.0; 6], &[0, 1, 1, 0, 0, 2]), "requires the labels 0 and 1, found 2");
        let message =
            "requires one label for each sample, or one for each of its 3 outputs, found 4 for 2 samples";
        assert_eq!(error(&[0.0; 6], &[0; 4]), message);
        assert_eq!(value(2, &[0.0; 2], &[0, 0]), 0.0);
    }

    #[test]
    fn an_output_that_is_nan_counts_as_the_worst() {
        assert_eq!(value(2, &[f32::NAN, 1.0], &[1, 0]), 0.5);
        assert_eq!(value(2, &[1.0, f32::NAN], &[1, 0]), 0.5);
    }
}
