//! Goals: the requirements on metrics that a quantized model must meet.

use crate::data::{Better, Metric, UNBOUNDED, metric_named};
use intact8_ir::{Error, Result};
use intact8_search::Verdict;

/// The requirement on one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// The metric's name, for messages.
    pub name: String,
    /// Whether higher or lower values are better.
    pub better: Better,
    /// The target.
    pub target: Target,
    /// The least and the greatest value that the metric can have; infinite where there is none, or none is known.
    pub bounds: [f64; 2],
}

/// The target of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// The metric may be worse than the original's by at most this.
    Drop(MaxDrop),
    /// The metric must be at least this, or at most this if lower is better, independent of the original's.
    Bound(f64),
}

/// The largest allowed drop of a metric against the original's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxDrop {
    /// A drop in the unit of the metric, at least 0.
    Absolute(f64),
    /// A drop as a fraction of the original's metric, at least 0; 0.01 is one percent.
    Relative(f64),
}

impl Goal {
    /// A goal for a number of which more is better, with its largest drop.
    pub fn drop_of(name: &str, max_drop: MaxDrop) -> Goal {
        Goal {
            name: name.to_owned(),
            better: Better::Higher,
            target: Target::Drop(max_drop),
            bounds: UNBOUNDED,
        }
    }

    /// Parses a metric with an optional target: `top1` may drop by `default`, `top1=1%` by one percent of the original's, and
    /// `sqnr>=30` and `mse<=0.1` are bounds independent of the original.
    ///
    /// # Errors
    /// If there is no such metric, the target can't be parsed, or a worthless model would meet it.
    pub fn parse(text: &str, default: MaxDrop) -> Result<(Metric, Goal)> {
        let at = |error: Error| error.at(format!("metric {text:?}"));
        let Some(sign) = text.find(['<', '>', '=']) else {
            let metric = metric_named(text)?;
            default.check(&metric)?;
            return Ok((metric.clone(), Goal::of(&metric, Target::Drop(default))));
        };
        let (name, target) = text.split_at(sign);
        let metric = metric_named(name.trim())?;
        let better = metric.better();
        let bound = match better {
            Better::Higher => target.strip_prefix(">="),
            Better::Lower => target.strip_prefix("<="),
        };
        let target = match (bound, target.strip_prefix('=')) {
            (Some(bound), _) => {
                let number = bound.trim().parse::<f64>().ok().filter(|number| number.is_finite());
                Target::Bound(number.ok_or_else(|| {
                    at(Error::invalid_config("has no number after the sign; write a finite number"))
                })?)
            }
            (None, Some(max_drop)) => {
                let max_drop = MaxDrop::parse(max_drop).map_err(at)?;
                max_drop.check(&metric).map_err(at)?;
                Target::Drop(max_drop)
            }
            (None, None) => {
                let (way, sign) = match better {
                    Better::Higher => ("higher", ">="),
                    Better::Lower => ("lower", "<="),
                };
                return Err(at(Error::invalid_config(format!(
                    "{way} is better here; write {}{sign} and a number",
                    metric.name
                ))));
            }
        };
        Ok((metric.clone(), Goal::of(&metric, target)))
    }

    /// Parses the name of a metric of the caller's own with an optional target: `map` may drop by `default`, `map=1%` by one percent
    /// of the original's, and `map>=0.3` and `wer<=0.1` are bounds, which state whether higher or lower is better.
    ///
    /// # Errors
    /// If the target can't be parsed, or a bound contradicts `better`.
    pub fn parse_own(text: &str, default: MaxDrop, better: Option<Better>) -> Result<Goal> {
        let at = |error: Error| error.at(format!("metric {text:?}"));
        let (name, target) = text.split_at(text.find(['<', '>', '=']).unwrap_or(text.len()));
        let bound = [(Better::Higher, ">="), (Better::Lower, "<=")];
        let bound = bound.iter().find_map(|(of, sign)| Some((*of, target.strip_prefix(sign)?)));
        let (of_sign, target) = match (bound, target.strip_prefix('=')) {
            (Some((of, number)), _) => {
                let number = number.trim().parse::<f64>().ok().filter(|number| number.is_finite());
                let missing = || Error::invalid_config("has no number after the sign; write a finite number");
                (Some(of), Target::Bound(number.ok_or_else(|| at(missing()))?))
            }
            (None, Some(max_drop)) => (None, Target::Drop(MaxDrop::parse(max_drop).map_err(at)?)),
            (None, None) if target.is_empty() => (None, Target::Drop(default)),
            (None, None) => return Err(at(Error::invalid_config("write a number after = or >= or <="))),
        };
        if of_sign.is_some() && better.is_some() && of_sign != better {
            let (way, sign) = if better == Some(Better::Higher) { ("higher", ">=") } else { ("lower", "<=") };
            return Err(at(Error::invalid_config(format!(
                "{way} is better here; write {sign} and a number"
            ))));
        }
        Ok(Goal {
            name: name.trim().to_owned(),
            better: of_sign.or(better).unwrap_or(Better::Higher),
            target,
            bounds: UNBOUNDED,
        })
    }

    /// A goal for a built-in metric.
    pub fn of(metric: &Metric, target: Target) -> Goal {
        Goal { name: metric.name.clone(), better: metric.better(), target, bounds: metric.bounds() }
    }

    /// The verdict on a metric. The loss is the drop against the original's, in the unit of the target.
    pub fn judge(&self, original: f64, quantized: f64) -> Verdict {
        let sign = match self.better {
            Better::Higher => 1.0,
            Better::Lower => -1.0,
        };
        let (original, quantized) = (sign * original, sign * quantized);
        match self.target {
            Target::Drop(max_drop) => max_drop.judge(original, quantized),
            Target::Bound(bound) => {
                let loss = if original == quantized { 0.0 } else { original - quantized };
                Verdict { satisfied: quantized >= sign * bound - ROUNDING, loss }
            }
        }
    }

    /// Checks that a metric of 0 does not meet the goal, if the original's is positive and higher is better.
    ///
    /// # Errors
    /// If it meets the goal.
    pub fn check_room(&self, original: f64) -> Result<()> {
        let Target::Drop(max_drop) = self.target else { return Ok(()) };
        if self.better == Better::Lower || original <= 0.0 || !max_drop.judge(original, 0.0).satisfied {
            return Ok(());
        }
        Err(max_drop.whole(&format!(", which is {original} for the original")).at(&self.name))
    }

    /// The distance of a metric from the goal, relative to the allowed drop, so that distances from different goals can be compared:
    /// 0 if the goal is met, 1 if the drop is twice the allowed one. If no drop is allowed, it is the absolute distance.
    pub fn shortfall(&self, original: f64, quantized: f64) -> f64 {
        let limit = self.limit(original);
        let room = (original - limit).abs();
        match self.judge(original, quantized).satisfied {
            true => 0.0,
            false => (quantized - limit).abs() / if room > 0.0 { room } else { 1.0 },
        }
    }

    /// The worst value of the metric that meets the goal.
    pub fn limit(&self, original: f64) -> f64 {
        let drop = match self.target {
            Target::Drop(MaxDrop::Absolute(drop)) => drop,
            Target::Drop(MaxDrop::Relative(drop)) => drop * original.abs(),
            Target::Bound(bound) => return bound,
        };
        match self.better {
            Better::Higher => original - drop,
            Better::Lower => original + drop,
        }
    }

    /// A loss of 1 in the unit of the metric: the original's metric if the target is relative, else 1.
    pub fn unit(&self, original: f64) -> f64 {
        match self.target {
            Target::Drop(MaxDrop::Relative(_)) => original.abs(),
            Target::Drop(MaxDrop::Absolute(_)) | Target::Bound(_) => 1.0,
        }
    }

    /// A value of the metric with its unit: `65.5 dB`, `0.994981`.
    pub fn value_shown(&self, value: f64) -> String {
        match self.name.as_str() {
            "sqnr" | "psnr" => format!("{value:.1} dB"),
            _ => format!("{value:.6}"),
        }
    }

    /// The target in the syntax of the command line.
    pub fn shown(&self) -> String {
        match (self.target, self.better) {
            (Target::Drop(max_drop), _) => max_drop.shown(),
            (Target::Bound(bound), Better::Higher) => format!(">={bound}"),
            (Target::Bound(bound), Better::Lower) => format!("<={bound}"),
        }
    }
}

/// The verdict on each of several metrics.
pub(crate) fn judge_each(goals: &[Goal], original: &[f64], quantized: &[f64]) -> Vec<Verdict> {
    let metrics = goals.iter().zip(original.iter().zip(quantized));
    metrics.map(|(goal, (&original, &quantized))| goal.judge(original, quantized)).collect()
}

/// The common verdict on several metrics: all goals must be met. The loss is that of the first goal that is missed, or of the first
/// goal if all are met.
pub(crate) fn all_of(verdicts: &[Verdict]) -> Verdict {
    let missed = verdicts.iter().find(|verdict| !verdict.satisfied).or(verdicts.first());
    missed.copied().unwrap_or(Verdict { satisfied: true, loss: 0.0 })
}

/// The common verdict of [`judge_each`].
pub(crate) fn judge_all(goals: &[Goal], original: &[f64], quantized: &[f64]) -> Verdict {
    all_of(&judge_each(goals, original, quantized))
}

/// The tolerance for rounding errors in a metric that equals its target.
const ROUNDING: f64 = 1e-12;

impl MaxDrop {
    /// Parses `0.01` as absolute and `1%` as relative.
    ///
    /// # Errors
    /// If the text is not a finite number of at least 0.
    pub fn parse(text: &str) -> Result<MaxDrop> {
        let (number, percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        match number.trim().parse::<f64>() {
            Ok(number) if number >= 0.0 && number.is_finite() => {
                Ok(if percent { MaxDrop::Relative(number / 100.0) } else { MaxDrop::Absolute(number) })
            }
            _ => Err(Error::invalid_config(format!(
                "{text:?} is not a drop; write 0.01, or 1% of the original's metric"
            ))),
        }
    }

    /// Checks that the drop is less than the whole metric.
    fn check(self, metric: &Metric) -> Result<()> {
        let (is_share, better) = (metric.is_share(), metric.better());
        match self {
            MaxDrop::Absolute(drop) if is_share && drop >= 1.0 => Err(self.whole("")),
            MaxDrop::Relative(drop) if better == Better::Higher && drop >= 1.0 => Err(self.whole("")),
            _ => Ok(()),
        }
    }

    /// The error for a drop of at least the whole metric.
    fn whole(self, value: &str) -> Error {
        let advice = match self {
            MaxDrop::Absolute(drop) if drop >= 1.0 => format!("{drop} % is written {drop}%"),
            _ => "every model meets it; allow a smaller one".to_owned(),
        };
        Error::invalid_config(format!("{} is a drop of the whole metric{value}; {advice}", self.shown()))
    }

    /// The verdict on a metric of which more is better; the loss is in the unit of the drop.
    pub fn judge(self, original: f64, quantized: f64) -> Verdict {
        let loss = match self {
            _ if original == quantized => 0.0,
            MaxDrop::Absolute(_) => original - quantized,
            MaxDrop::Relative(_) => (original - quantized) / original.abs(),
        };
        let (MaxDrop::Absolute(limit) | MaxDrop::Relative(limit)) = self;
        Verdict { satisfied: loss <= limit + ROUNDING, loss }
    }

    /// The drop in the syntax of the command line.
    pub fn shown(self) -> String {
        match self {
            MaxDrop::Absolute(drop) => drop.to_string(),
            MaxDrop::Relative(drop) => format!("{}%", drop * 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_absolute_or_relative() {
        assert_eq!(MaxDrop::parse("0.01").unwrap(), MaxDrop::Absolute(0.01));
        assert_eq!(MaxDrop::parse("1%").unwrap(), MaxDrop::Relative(0.01));
        for wrong in ["-1", "much", "nan", "%"] {
            assert!(MaxDrop::parse(wrong).is_err());
        }
        assert!(MaxDrop::Absolute(0.1).judge(0.9, 0.8).satisfied);
        assert!(!MaxDrop::Absolute(0.1).judge(0.9, 0.79).satisfied);
        // One percent of -2 is 0.02.
        assert!(MaxDrop::Relative(0.01).judge(-2.0, -2.02).satisfied);
        assert!(!MaxDrop::Relative(0.01).judge(-2.0, -2.03).satisfied);
        assert!(!MaxDrop::Relative(0.01).judge(0.5, f64::NAN).satisfied);
    }

    fn goal(text: &str) -> Goal {
        Goal::parse(text, MaxDrop::Absolute(0.5)).unwrap().1
    }

    #[test]
    fn goals_are_judged_in_the_better_direction_of_the_metric() {
        assert_eq!(goal("top1").target, Target::Drop(MaxDrop::Absolute(0.5)));
        assert_eq!(goal("top5=1%").target, Target::Drop(MaxDrop::Relative(0.01)));
        assert!(goal("mse=0.1").judge(1.0, 0.5).satisfied && !goal("mse=0.1").judge(1.0, 1.2).satisfied);
        assert!(
            goal("sqnr>=30").judge(200.0, 31.0).satisfied && !goal("sqnr>=30").judge(200.0, 29.0).satisfied
        );
        assert!(goal("mse<=0.1").judge(0.0, 0.1).satisfied && !goal("mse<=0.1").judge(0.0, 0.2).satisfied);
        let both = [goal("top1=0.1"), goal("mse<=1")];
        assert_eq!(judge_all(&both, &[0.9, 0.0], &[0.85, 3.0]), Verdict { satisfied: false, loss: 3.0 });
    }

    #[test]
    fn goals_of_own_metrics_have_any_name() {
        let parsed = |text: &str, better| Goal::parse_own(text, MaxDrop::Relative(0.01), better);
        let expected = |better, target| Goal { name: "map".to_owned(), better, target, bounds: UNBOUNDED };
        let drop = Target::Drop(MaxDrop::Relative(0.01));
        assert_eq!(parsed("map", None).unwrap(), expected(Better::Higher, drop));
        assert_eq!(parsed("map", Some(Better::Lower)).unwrap(), expected(Better::Lower, drop));
        let absolute = Target::Drop(MaxDrop::Absolute(0.5));
        assert_eq!(parsed("map=0.5", None).unwrap(), expected(Better::Higher, absolute));
        assert_eq!(parsed("map <= 3", None).unwrap(), expected(Better::Lower, Target::Bound(3.0)));
        let message = |text: &str, better| parsed(text, better).err().unwrap().to_string();
        assert_eq!(
            message("map<=3", Some(Better::Higher)),
            "metric \"map<=3\": higher is better here; write >= and a number"
        );
        assert!(message("map<3", None).contains("write a number after"));
        assert!(message("map>=x", None).contains("write a finite number"));
    }

    #[test]
    fn a_drop_of_the_whole_metric_is_an_error() {
        let message = |text: &str, default: &str| {
            Goal::parse(text, MaxDrop::parse(default).unwrap()).err().map(|error| error.to_string())
        };
        let whole = "1 is a drop of the whole metric; 1 % is written 1%";
        assert_eq!(message("top1", "1").unwrap(), whole);
        assert_eq!(message("auc=1", "0").unwrap(), format!("metric \"auc=1\": {whole}"));
        assert_eq!(
            message("top1=100%", "1").unwrap(),
            "metric \"top1=100%\": 100% is a drop of the whole metric; every model meets it; allow a smaller one"
        );
        assert!(message("psnr", "100%").is_some());
        for (text, default) in [("top1=0.99", "1"), ("psnr", "3"), ("mse=100%", "0"), ("top1>=0.5", "1")] {
            assert_eq!(message(text, default), None, "{text}");
        }
        let goal = Goal::drop_of("metric", MaxDrop::Absolute(1.0));
        assert!(
            goal.check_room(76.1).is_ok() && goal.check_room(0.0).is_ok() && goal.check_room(-3.0).is_ok()
        );
        assert_eq!(
            goal.check_room(0.76).unwrap_err().to_string(),
            "metric: 1 is a drop of the whole metric, which is 0.76 for the original; 1 % is written 1%"
        );
    }

    #[test]
    fn the_shortfall_is_relative_to_the_allowed_drop() {
        let shortfall = |text: &str, original, quantized| goal(text).shortfall(original, quantized);
        assert_eq!(shortfall("top1=0.25", 1.0, 0.75), 0.0);
        assert_eq!(shortfall("top1=0.25", 1.0, 0.5), 1.0);
        assert_eq!(shortfall("top1=25%", 0.5, 0.25), 1.0);
        assert_eq!(shortfall("mse=0.25", 1.0, 1.5), 1.0);
        assert_eq!(shortfall("sqnr>=100", 200.0, 0.0), 1.0);
        assert_eq!(shortfall("top1=0", 1.0, 0.5), 0.5);
    }

    #[test]
    fn goals_that_can_not_be_parsed_are_errors() {
        let message = |text: &str| Goal::parse(text, MaxDrop::Absolute(0.0)).err().unwrap().to_string();
        assert_eq!(message("mse>=1"), "metric \"mse>=1\": lower is better here; write mse<= and a number");
        assert_eq!(
            message("top1>=x"),
            "metric \"top1>=x\": has no number after the sign; write a finite number"
        );
        assert!(message("top1=x").starts_with("metric \"top1=x\": \"x\" is not a drop"));
        assert!(message("speed=1").starts_with("there is no metric \"speed\""));
    }
}
