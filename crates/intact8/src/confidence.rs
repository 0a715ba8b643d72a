//! Confidence intervals of losses, from the sampling noise of the metrics, and verdicts at their worse end.

use crate::data::{Better, Noise};
use crate::goal::{Goal, Target};
use intact8_ir::{Error, Result};
use intact8_search::Verdict;

/// A confidence level: the probability with which an interval contains the true value, more than 0 and less than 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence(f64);

impl Default for Confidence {
    /// 95 %.
    fn default() -> Confidence {
        Confidence(0.95)
    }
}

impl Confidence {
    /// Parses `0.95` and `95%`.
    ///
    /// # Errors
    /// If the text is not a number between 0 and 1, or 0 % and 100 %.
    pub fn parse(text: &str) -> Result<Confidence> {
        let number = match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
            None => text.trim().parse(),
        };
        match number {
            Ok(number) if number > 0.0 && number < 1.0 => Ok(Confidence(number)),
            _ => Err(Error::invalid_config(format!(
                "{text:?} is not a confidence level between 0 and 1; write 0.95 or 95%"
            ))),
        }
    }

    /// The probability, such as 0.95.
    pub fn part(self) -> f64 {
        self.0
    }

    /// The level as text, such as `95 %`.
    pub fn shown(self) -> String {
        // Rounded, so that the binary representation of 0.999 does not show.
        format!("{} %", (self.0 * 1e8).round() / 1e6)
    }

    /// The half width of the interval in standard errors: the `z` for which a normal variable is within ±z with this probability.
    pub(crate) fn z(self) -> f64 {
        let (mut least, mut most) = (0.0, 40.0);
        for _ in 0..80 {
            let middle = f64::midpoint(least, most);
            let part = libm::erf(middle / std::f64::consts::SQRT_2);
            *(if part < self.0 { &mut least } else { &mut most }) = middle;
        }
        least
    }
}

/// A loss with its confidence interval. All numbers are in the unit of the goal: fractions of the original's metric if the goal
/// is relative, else the unit of the metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The loss.
    pub loss: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// The better and the worse end of the interval.
    pub ends: [f64; 2],
    /// Whether the goal is met even at the worse end.
    pub is_sure: bool,
}

impl Interval {
    /// The interval of the loss between two values of a metric.
    pub fn of(goal: &Goal, original: f64, quantized: f64, noise: Noise, confidence: Confidence) -> Interval {
        let loss = goal.judge(original, quantized).loss;
        let unit = goal.unit(original);
        let standard_error = noise.of_difference / unit;
        let ends =
            interval_of_difference(loss, standard_error, confidence, goal.bounds.map(|bound| bound / unit));
        let is_sure = judge_surely(goal, original, quantized, noise, confidence).satisfied;
        Interval { loss, standard_error, ends, is_sure }
    }

    /// Whether the interval contains 0, so that sampling noise alone may cause the loss.
    pub fn is_noise(&self) -> bool {
        self.ends[0] <= 0.0 && self.ends[1] >= 0.0
    }
}

/// The interval around a metric. It is cut off at the bounds of the metric, beyond which the normal distribution of the error would
/// reach.
pub(crate) fn interval_around(
    value: f64,
    standard_error: f64,
    confidence: Confidence,
    bounds: [f64; 2],
) -> [f64; 2] {
    let half_width = confidence.z() * standard_error;
    [value - half_width, value + half_width].map(|end| end.max(bounds[0]).min(bounds[1]))
}

/// The interval around a difference between two values of a metric, which is at most the distance of its bounds.
pub fn interval_of_difference(
    difference: f64,
    standard_error: f64,
    confidence: Confidence,
    bounds: [f64; 2],
) -> [f64; 2] {
    let most = bounds[1] - bounds[0];
    interval_around(difference, standard_error, confidence, [-most, most])
}

/// The verdict on a metric whose worse end must meet the goal: the worse end of the interval around its difference from the
/// original's, or around the metric itself if the goal is a bound. The loss is that of the metric itself.
pub(crate) fn judge_surely(
    goal: &Goal,
    original: f64,
    quantized: f64,
    noise: Noise,
    confidence: Confidence,
) -> Verdict {
    let worse = worse_end(goal, quantized, noise, confidence);
    let (verdict, at_worst) = (goal.judge(original, quantized), goal.judge(original, worse));
    Verdict { satisfied: verdict.satisfied && at_worst.satisfied, loss: verdict.loss }
}

/// The metric at the worse end of the interval that counts for a goal.
pub(crate) fn worse_end(goal: &Goal, quantized: f64, noise: Noise, confidence: Confidence) -> f64 {
    let error = match goal.target {
        Target::Drop(_) => noise.of_difference,
        Target::Bound(_) => noise.of_value,
    };
    let [least, greatest] = interval_around(quantized, error, confidence, goal.bounds);
    match goal.better {
        Better::Higher => least,
        Better::Lower => greatest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goal::MaxDrop;

    #[test]
    fn interval_widths_are_those_of_tables() {
        for (text, z) in [("0.95", 1.959964), ("99%", 2.575829), ("0.6826895", 1.0)] {
            assert!((Confidence::parse(text).unwrap().z() - z).abs() < 1e-6, "{text}");
        }
        for wrong in ["0", "1", "100%", "95", "-0.5", "nan", "high"] {
            assert!(Confidence::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Confidence::parse("0.999").unwrap().shown(), "99.9 %");
    }

    #[test]
    fn an_interval_ends_at_the_bounds_of_the_metric() {
        let confidence = Confidence::default();
        let around = |value, bounds| interval_around(value, 0.1, confidence, bounds);
        assert_eq!(around(0.95, [0.0, 1.0])[1], 1.0);
        assert_eq!(around(0.05, [0.0, 1.0])[0], 0.0);
        assert!(around(0.95, [0.0, f64::INFINITY])[1] > 1.0);
        // Of too few samples nothing is known.
        assert_eq!(interval_around(0.5, f64::INFINITY, confidence, [0.0, 1.0]), [0.0, 1.0]);
        let noise = Noise { of_value: f64::INFINITY, of_difference: f64::INFINITY };
        for (text, bounds) in
            [("top1=0.1", [-1.0, 1.0]), ("top1=10%", [-2.0, 2.0]), ("spearman=0.1", [-2.0, 2.0])]
        {
            let goal = Goal::parse(text, MaxDrop::Absolute(0.0)).unwrap().1;
            assert_eq!(Interval::of(&goal, 0.5, 0.45, noise, confidence).ends, bounds, "{text}");
        }
    }

    #[test]
    fn a_drop_is_judged_at_its_worse_end() {
        let confidence = Confidence::default();
        let noise = Noise { of_value: 0.1, of_difference: 0.01 };
        let goal = |text: &str| Goal::parse(text, MaxDrop::Absolute(0.0)).unwrap().1;
        let is_met = |text: &str, original, quantized| {
            judge_surely(&goal(text), original, quantized, noise, confidence).satisfied
        };
        // The worse end is 0.0196 further.
        assert!(is_met("top1=0.03", 0.8, 0.79) && !is_met("top1=0.029", 0.8, 0.79));
        assert!(is_met("top1=10%", 0.4, 0.38) && !is_met("top1=9%", 0.4, 0.38));
        assert!(is_met("mse=0.03", 0.4, 0.41) && !is_met("mse=0.029", 0.4, 0.41));
        // A bound is compared with the metric itself, whose worse end is 0.196 further.
        assert!(is_met("top1>=0.6", 0.8, 0.8) && !is_met("top1>=0.61", 0.8, 0.8));
        let interval = Interval::of(&goal("top1=10%"), 0.4, 0.38, noise, confidence);
        assert!((interval.loss - 0.05).abs() < 1e-12 && (interval.standard_error - 0.025).abs() < 1e-12);
        assert!((interval.ends[0] - 0.001).abs() < 1e-4 && (interval.ends[1] - 0.099).abs() < 1e-4);
        assert!(!interval.is_noise() && interval.is_sure);
    }
}
