//! The answers that differ between two models, and whether that may be chance: McNemar's test.

use libm::lgamma;

/// The samples whose answer is right in one of two models only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnswerChanges {
    /// The samples that only the second model has right.
    pub gained: usize,
    /// The samples that only the first model has right.
    pub lost: usize,
}

impl AnswerChanges {
    /// The changes between the contributions of two models, 1 for a right answer and 0 for a wrong one. `None` if there are
    /// contributions of other kinds, or of other samples.
    pub fn between(before: &[f64], after: &[f64]) -> Option<AnswerChanges> {
        let are_answers = |values: &[f64]| values.iter().all(|value| [0.0, 1.0].contains(value));
        if before.len() != after.len() || before.is_empty() || !are_answers(before) || !are_answers(after) {
            return None;
        }
        let count = |from: f64, to: f64| {
            before.iter().zip(after).filter(|(before, after)| **before == from && **after == to).count()
        };
        Some(AnswerChanges { gained: count(0.0, 1.0), lost: count(1.0, 0.0) })
    }

    /// The probability that changes as one-sided as these, or more, are chance: the exact test of McNemar (1947), two-sided.
    pub fn p_value(&self) -> f64 {
        let (n, least) = (self.gained + self.lost, self.gained.min(self.lost));
        let (n, ln_2) = (n as f64, std::f64::consts::LN_2);
        let ln_binomial = |k: f64| lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0);
        let tail: f64 = (0..=least).map(|k| (ln_binomial(k as f64) - n * ln_2).exp()).sum();
        (2.0 * tail).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_answers_are_counted() {
        let found = AnswerChanges::between(&[1.0, 1.0, 0.0, 0.0], &[1.0, 0.0, 1.0, 0.0]).unwrap();
        assert_eq!(found, AnswerChanges { gained: 1, lost: 1 });
        assert_eq!(AnswerChanges::between(&[0.5], &[1.0]), None);
        assert_eq!(AnswerChanges::between(&[1.0], &[1.0, 0.0]), None);
    }

    #[test]
    fn the_test_is_exact() {
        let p = |gained, lost| AnswerChanges { gained, lost }.p_value();
        assert_eq!(p(0, 0), 1.0);
        // Tails of the binomial distribution: 2 / 2^5, 2 · (1 + 10) / 2^10.
        assert!((p(0, 5) - 0.0625).abs() < 1e-12);
        assert!((p(9, 1) - 22.0 / 1024.0).abs() < 1e-12);
        assert_eq!(p(5, 5), 1.0);
    }
}
