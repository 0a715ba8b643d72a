//! The value of a metric that a model reaches without any knowledge, and whether the original is any better.

use crate::data::Better;
use crate::goal::Goal;
use crate::scorer::Score;
use intact8_ir::{Error, Result};

/// The value of a metric at chance level: that of guesses, or of outputs of zeros.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Chance {
    /// The expected value.
    pub level: f64,
    /// The standard error of guesses on the same samples; 0 if every better value is no chance.
    pub error: f64,
}

/// The distance from chance level in standard errors up to which a metric is doubtful.
const DOUBTFUL: f64 = 3.0;

/// The largest standard error with which guesses can be told from a working model.
const LARGEST_ERROR: f64 = 0.05;

impl Chance {
    /// Whether a metric is 0, or at chance level, within one standard error, on enough samples.
    fn explains(self, value: f64) -> bool {
        value <= 0.0 || (self.error <= LARGEST_ERROR && value <= self.level + self.error)
    }

    fn may_explain(self, value: f64) -> bool {
        value <= self.level + DOUBTFUL * self.error
    }
}

/// Checks that no metric of the original is 0 or at chance level, where higher is better.
pub(crate) fn check_original(goals: &[Goal], original: &Score) -> Result<()> {
    match doubts(goals, original).into_iter().find(|doubt| doubt.is_certain) {
        Some(doubt) => Err(Error::evaluator(format!(
            "{}; check the preprocessing of the data, the labels and the output that is scored; --allow-chance accepts it",
            doubt.message
        ))),
        None => Ok(()),
    }
}

/// Warnings for the metrics of the original that are 0, or at or near chance level.
pub(crate) fn warnings(goals: &[Goal], original: &Score) -> Vec<String> {
    doubts(goals, original).into_iter().map(|doubt| doubt.message).collect()
}

/// A doubt that the original works.
struct Doubt {
    message: String,
    /// Whether the original is at chance level, and not only near it.
    is_certain: bool,
}

fn doubts(goals: &[Goal], original: &Score) -> Vec<Doubt> {
    let doubt = |(idx, goal): (usize, &Goal)| {
        let (value, chance) = (*original.values.get(idx)?, original.chance.get(idx));
        if goal.better == Better::Lower {
            return None;
        }
        // Of a command's number only 0 is suspicious; it may be a negative error.
        let Some(&chance) = chance else {
            let message = || format!("the original's {} is 0", goal.name);
            return (value == 0.0).then(|| Doubt { message: message(), is_certain: true });
        };
        let is_certain = chance.explains(value);
        if !is_certain && !chance.may_explain(value) {
            return None;
        }
        let samples = original.effort.samples.map_or(String::new(), |n| format!(" on {n} samples"));
        let error = match chance.error {
            0.0 => String::new(),
            error => format!(", ±{error:.6}{samples}"),
        };
        let message = format!(
            "the original's {} is {value:.6}, {} chance level ({:.6}{error})",
            goal.name,
            if is_certain { "at" } else { "near" },
            chance.level
        );
        Some(Doubt { message, is_certain })
    };
    goals.iter().enumerate().filter_map(doubt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goal::MaxDrop;

    fn found(value: f64, chance: Option<Chance>) -> (Vec<String>, bool) {
        let goals = [Goal::drop_of("top1", MaxDrop::Absolute(0.01))];
        let original = Score { chance: chance.into_iter().collect(), ..Score::of(vec![value]) };
        (warnings(&goals, &original), check_original(&goals, &original).is_err())
    }

    #[test]
    fn guesses_are_errors_and_values_near_them_doubtful() {
        let guess = Some(Chance { level: 0.1, error: 0.02 });
        let (lines, is_error) = found(0.11, guess);
        assert_eq!((lines.len(), is_error), (1, true));
        assert_eq!(lines, ["the original's top1 is 0.110000, at chance level (0.100000, ±0.020000)"]);
        let (lines, is_error) = found(0.15, guess);
        assert!(lines[0].contains("near chance level") && !is_error);
        assert_eq!(found(0.2, guess), (vec![], false));
        // Few samples: even a perfect score is doubtful, but no error.
        let few = Some(Chance { level: 0.5, error: 0.5 });
        assert!(found(1.0, few).0.len() == 1 && !found(1.0, few).1 && found(0.0, few).1);
    }

    #[test]
    fn of_a_number_without_a_scale_only_zero_is_an_error() {
        assert_eq!(found(0.0, None), (vec!["the original's top1 is 0".to_owned()], true));
        assert_eq!(found(-2.0, None), (vec![], false));
        assert!(found(0.0, Some(Chance::default())).1 && !found(0.001, Some(Chance::default())).1);
    }
}
