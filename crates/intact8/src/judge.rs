//! The judge of the command: one goal for each value of a score, judged at the value itself or at the worse end of its interval.

use crate::chance;
use crate::confidence::{Confidence, judge_surely, worse_end};
use crate::goal::{Goal, all_of, judge_all, judge_each};
use crate::scorer::Score;
use intact8_calibrate::BoxError;
use intact8_ir::{Error, Result};
use intact8_search::{Judge, Verdict};

/// The goals of a search. All must be met.
#[derive(Debug, Clone, Default)]
pub struct Goals {
    /// One goal for each value of a score.
    pub goals: Vec<Goal>,
    /// The confidence level with which they must be met; `None` judges the values themselves.
    pub confidence: Option<Confidence>,
    /// Whether an original is accepted whose metric is 0 or at chance level, where higher is better.
    pub allow_chance: bool,
}

impl Goals {
    /// Goals that are judged at the values themselves.
    pub fn new(goals: Vec<Goal>) -> Goals {
        Goals { goals, ..Goals::default() }
    }

    /// Warnings that the original seems not to work: metrics of 0, or at or near chance level.
    pub fn warnings(&self, original: &Score) -> Vec<String> {
        chance::warnings(&self.goals, original)
    }

    fn check_length(&self, score: &Score) -> Result<()> {
        let (found, expected) = (score.values.len(), self.goals.len());
        if found == expected {
            return Ok(());
        }
        Err(Error::evaluator(format!("the scorer returns {found} values for {expected} goals")))
    }

    /// The verdicts at the worse ends of the intervals.
    fn confident_verdicts(
        &self,
        confidence: Confidence,
        original: &Score,
        quantized: &Score,
    ) -> Vec<Verdict> {
        let values = original.values.iter().zip(&quantized.values).zip(&quantized.noise);
        let judged = self.goals.iter().zip(values).map(|(goal, ((&original, &quantized), &noise))| {
            judge_surely(goal, original, quantized, noise, confidence)
        });
        judged.collect()
    }

    /// The verdict on a trial that stopped early: it misses a goal, and its loss is the estimate for that goal.
    fn verdict_on_stopped(&self, original: &Score, stopped: &Score) -> Verdict {
        let judged = |values: &[f64]| judge_each(&self.goals, &original.values, values);
        let (at_best, estimated) = (judged(&stopped.values), judged(stopped.estimates()));
        let missed = at_best.iter().position(|verdict| !verdict.satisfied).unwrap_or(0);
        let loss = at_best[missed].loss.max(estimated[missed].loss);
        Verdict { satisfied: at_best[missed].satisfied, loss }
    }
}

impl Judge<Score> for Goals {
    fn check_original(&mut self, original: &Score) -> Result<(), BoxError> {
        self.check_length(original)?;
        if !self.allow_chance {
            chance::check_original(&self.goals, original)?;
        }
        for (goal, &value) in self.goals.iter().zip(&original.values) {
            goal.check_room(value)?;
        }
        let misses = |&(goal, value): &(&Goal, &f64)| !goal.judge(*value, *value).satisfied;
        if let Some((goal, value)) = self.goals.iter().zip(&original.values).find(misses) {
            return Err(Error::evaluator(format!(
                "the original's {} is {value:.6}, and the goal is {}; lower the goal",
                goal.name,
                goal.shown()
            ))
            .into());
        }
        let Some(confidence) = self.confidence else { return Ok(()) };
        if original.noise.len() != self.goals.len() {
            let message =
                "the noise of the metric is unknown, so a confidence level can't be required; omit it";
            return Err(Error::evaluator(message).into());
        }
        let verdicts = self.confident_verdicts(confidence, original, original);
        let Some(missed) = verdicts.iter().position(|verdict| !verdict.satisfied) else { return Ok(()) };
        let samples = original.effort.samples.map_or(String::new(), |n| format!(" of {n} samples"));
        Err(Error::evaluator(format!(
            "at a confidence of {} the noise{samples} alone exceeds the goal of {}; use more samples, or allow a larger \
             drop",
            confidence.shown(),
            self.goals[missed].shown()
        ))
        .at(&self.goals[missed].name)
        .into())
    }

    fn judge(&mut self, original: &Score, quantized: &Score) -> Result<Verdict, BoxError> {
        self.check_length(quantized)?;
        if quantized.stopped_after.is_some() {
            return Ok(self.verdict_on_stopped(original, quantized));
        }
        Ok(match self.confidence {
            Some(confidence) => all_of(&self.confident_verdicts(confidence, original, quantized)),
            None => judge_all(&self.goals, &original.values, &quantized.values),
        })
    }

    /// The largest shortfall of a goal, at the worse end of the interval if a confidence level is required.
    fn shortfall(&mut self, original: &Score, quantized: &Score, _verdict: Verdict) -> f64 {
        let shortfall = |idx: usize, goal: &Goal| {
            let (before, after) = (original.values[idx], quantized.values[idx]);
            let after = match (self.confidence, quantized.noise.get(idx)) {
                (Some(confidence), Some(&noise)) => worse_end(goal, after, noise, confidence),
                _ => after,
            };
            let estimated = goal.shortfall(before, quantized.estimates()[idx]);
            goal.shortfall(before, after).max(estimated)
        };
        self.goals.iter().enumerate().map(|(idx, goal)| shortfall(idx, goal)).fold(0.0, f64::max)
    }

    fn is_out_of_reach(&self, original: &Score, best: &Score) -> bool {
        !judge_all(&self.goals, &original.values, &best.values).satisfied
    }
}
