//! The order in which a trial runs the samples: those with the worst results first, so that a trial that misses the target stops
//! early.

use super::Score;
use crate::data::Better;

/// All samples, in ascending order of their results in the original and the first trial by the metric of the first goal; `None` if
/// these are unknown.
pub(super) fn worst_first(references: [&Score; 2], better: Better) -> Option<Vec<usize>> {
    let [original, first] = references.map(|score| score.contributions.first());
    let sums: Vec<f64> = original?.iter().zip(first?).map(|(a, b)| a + b).collect();
    let mut order: Vec<usize> = (0..sums.len()).collect();
    order.sort_by(|&a, &b| match better {
        Better::Higher => sums[a].total_cmp(&sums[b]),
        Better::Lower => sums[b].total_cmp(&sums[a]),
    });
    Some(order)
}

/// An estimate of the mean over all samples from the contributions of the first ones of the order: the others are assumed to
/// contribute the average of the original and the first trial.
pub(super) fn estimate(scored: &[f64], order: &[usize], references: [&Score; 2], goal: usize) -> f64 {
    let [original, first] = references.map(|score| &score.contributions[goal]);
    let remaining = order[scored.len()..].iter().map(|&sample| (original[sample] + first[sample]) / 2.0);
    scored.iter().copied().chain(remaining).sum::<f64>() / order.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_samples_are_first_and_the_others_are_estimated() {
        let score = |contributions: &[f64]| Score {
            contributions: vec![contributions.to_vec()],
            ..Score::of(vec![])
        };
        let (original, first) = (score(&[1.0, 1.0, 0.0, 1.0]), score(&[1.0, 0.0, 0.0, 1.0]));
        let references = [&original, &first];
        let order = worst_first(references, Better::Higher).unwrap();
        assert_eq!(order, [2, 1, 0, 3]);
        assert_eq!(worst_first(references, Better::Lower).unwrap(), [0, 3, 1, 2]);
        assert_eq!(estimate(&[0.0], &order, references, 0), 2.5 / 4.0);
        assert_eq!(worst_first([&Score::of(vec![1.0]), &first], Better::Higher), None);
    }
}
