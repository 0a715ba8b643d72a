//! A ready-made evaluator: calibrates on a data set, scores by data or by a command, and judges by goals.

use crate::confidence::{Confidence, judge_surely, worse_end};
use crate::data::Feed;
use crate::goal::{Goal, all_of, judge_all, judge_each};
use crate::journal::Journal;
use crate::peak_memory::peak_memory;
use crate::scorer::{Misses, Score, Scored, Scorer, Scoring};
use crate::stop::Stop;
use intact8_ir::{Error, ErrorKind, Model, Result, Tensor};
use intact8_search::{Candidate, Evaluator, EvaluatorError, Interruption, Stage, Verdict};
use std::time::{Duration, Instant};

/// Calibrates, scores and judges by one number for each goal.
pub struct Evaluation {
    /// The calibration data.
    pub calibration: Feed,
    /// Gives the numbers.
    pub scorer: Box<dyn Scorer>,
    /// What the numbers must be.
    pub goals: Vec<Goal>,
    /// How sure it must be that they are; absent if they are taken as they are.
    pub confidence: Option<Confidence>,
    /// Is told how far things are.
    pub progress: Box<dyn Progress>,
    /// Whether a trial stops as soon as it can no longer meet its goals. The first one never does.
    pub early_stop: bool,
    /// Ends the search before its time.
    pub stop: Stop,
    /// Where scores are written down, and recalled from.
    pub journal: Option<Journal>,
    /// Why a model could not be scored, after the first trial: the search then ends as if it were interrupted, and what
    /// it has found is not lost.
    pub failure: Option<Error>,
    original: Option<Score>,
    /// The first trial, once it has been judged.
    first: Option<Score>,
    stage: Scored,
    trials: (usize, Duration),
}

/// Is told how far things are.
pub trait Progress {
    /// Something begins.
    fn begin(&mut self, what: &str);

    /// Of what has begun, so much is done.
    fn advance(&mut self, done: usize, total: usize);
}

/// Nobody watches.
impl Progress for () {
    fn begin(&mut self, _what: &str) {}
    fn advance(&mut self, _done: usize, _total: usize) {}
}

impl Evaluation {
    /// An evaluator that nobody watches or stops, and that scores every trial to its end.
    pub fn new(calibration: Feed, scorer: Box<dyn Scorer>, goals: Vec<Goal>) -> Evaluation {
        Evaluation {
            calibration,
            scorer,
            goals,
            confidence: None,
            progress: Box::new(()),
            early_stop: false,
            stop: Stop::default(),
            journal: None,
            failure: None,
            original: None,
            first: None,
            stage: Scored::Original,
            trials: (0, Duration::ZERO),
        }
    }

    /// Goals that the original itself misses are a mistake.
    fn check_original(&self, original: &Score) -> Result<()> {
        let misses = |&(goal, value): &(&Goal, &f64)| !goal.judge(*value, *value).satisfied;
        if let Some((goal, value)) = self.goals.iter().zip(&original.values).find(misses) {
            return Err(Error::evaluator(format!(
                "the original's {} is {value:.6}, and the goal is {}; ask for less",
                goal.name,
                goal.shown()
            )));
        }
        let Some(confidence) = self.confidence else { return Ok(()) };
        if original.noise.len() != self.goals.len() {
            return Err(Error::evaluator(
                "how noisy the numbers are is not known, so nothing can be said with confidence; leave it out",
            ));
        }
        let verdicts = self.sure_verdicts(confidence, original, original);
        let Some(missed) = verdicts.iter().position(|verdict| !verdict.satisfied) else { return Ok(()) };
        let samples = original.effort.samples.map_or(String::new(), |n| format!(" of {n} samples"));
        Err(Error::evaluator(format!(
            "at {} confidence the noise{samples} alone is more than the goal of {} allows; use more samples, or ask for \
             less",
            confidence.shown(),
            self.goals[missed].shown()
        ))
        .at(&self.goals[missed].name))
    }

    fn sure_verdicts(&self, confidence: Confidence, original: &Score, quantized: &Score) -> Vec<Verdict> {
        let values = original.values.iter().zip(&quantized.values).zip(&quantized.noise);
        let judged = self.goals.iter().zip(values).map(|(goal, ((&original, &quantized), &noise))| {
            judge_surely(goal, original, quantized, noise, confidence)
        });
        judged.collect()
    }

    /// The verdict on a trial that was stopped: it misses, and its loss is what the samples looked at say of the goal
    /// that it is sure to miss.
    fn verdict_on_stopped(&self, original: &Score, stopped: &Score) -> Verdict {
        let judged = |values: &[f64]| judge_each(&self.goals, &original.values, values);
        let (at_best, estimated) = (judged(&stopped.values), judged(stopped.estimates()));
        let missed = at_best.iter().position(|verdict| !verdict.satisfied).unwrap_or(0);
        let loss = at_best[missed].loss.max(estimated[missed].loss);
        Verdict { satisfied: at_best[missed].satisfied, loss }
    }

    /// Scores a model.
    fn scored(&mut self, model: &Model) -> Result<Score> {
        let began = Instant::now();
        let goals = &self.goals;
        let original = self.original.as_ref().filter(|_| self.early_stop && self.stage == Scored::Trial);
        let misses =
            original.map(|original| move |best: &[f64]| !judge_all(goals, &original.values, best).satisfied);
        let mut scoring = Scoring {
            progress: &mut *self.progress,
            misses: misses.as_ref().map(|misses| misses as Misses<'_>),
            scored: self.stage,
            references: self.original.as_ref().zip(self.first.as_ref()).map(<[&Score; 2]>::from),
            stop: &self.stop,
        };
        let mut score = self.scorer.score(model, &mut scoring)?;
        if score.values.len() != goals.len() {
            let (found, wanted) = (score.values.len(), goals.len());
            return Err(Error::evaluator(format!("the scorer gives {found} numbers for {wanted} goals")));
        }
        let elapsed = began.elapsed();
        (score.effort.seconds, score.effort.peak_memory) = (elapsed.as_secs_f64(), peak_memory());
        if self.original.is_some() {
            self.trials = (self.trials.0 + 1, self.trials.1 + elapsed);
        }
        Ok(score)
    }

    /// How long a number of trials will take, by those so far.
    fn estimate(&self, n_trials: usize) -> Option<Duration> {
        let (n, total) = self.trials;
        (n > 0).then(|| total.mul_f64(n_trials as f64 / n as f64))
    }
}

impl Evaluator for Evaluation {
    type Metric = Score;

    fn calibration(
        &mut self,
        batch_num: usize,
        forward: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), EvaluatorError> {
        let n_batches = batch_num.min(self.calibration.n_batches());
        for (idx, samples) in self.calibration.batches().take(n_batches).enumerate() {
            self.stop.check()?;
            self.progress.advance(idx, n_batches);
            forward(&self.calibration.inputs(samples)?)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, model: &Model) -> Result<Score, EvaluatorError> {
        match self.scored(model) {
            Err(error) if self.first.is_some() && error.kind != ErrorKind::Cancelled => {
                self.failure = Some(error);
                Err(Error::cancelled("a model could not be scored").into())
            }
            scored => Ok(scored?),
        }
    }

    fn metric_eval(&mut self, original: &Score, quantized: &Score) -> Result<Verdict, EvaluatorError> {
        if self.original.is_none() {
            self.check_original(original)?;
            self.original = Some(original.clone());
            return Ok(judge_all(&self.goals, &original.values, &quantized.values));
        }
        self.first.get_or_insert_with(|| quantized.clone());
        if quantized.stopped_after.is_some() {
            return Ok(self.verdict_on_stopped(original, quantized));
        }
        Ok(match self.confidence {
            Some(confidence) => all_of(&self.sure_verdicts(confidence, original, quantized)),
            None => judge_all(&self.goals, &original.values, &quantized.values),
        })
    }

    /// That of the goal that is missed most, at the worse end of the interval if there must be confidence.
    fn shortfall(&mut self, original: &Score, quantized: &Score, _verdict: Verdict) -> f64 {
        let of_goal = |idx: usize, goal: &Goal| {
            let (before, after) = (original.values[idx], quantized.values[idx]);
            let after = match (self.confidence, quantized.noise.get(idx)) {
                (Some(confidence), Some(&noise)) => worse_end(goal, after, noise, confidence),
                _ => after,
            };
            let estimated = goal.shortfall(before, quantized.estimates()[idx]);
            goal.shortfall(before, after).max(estimated)
        };
        self.goals.iter().enumerate().map(|(idx, goal)| of_goal(idx, goal)).fold(0.0, f64::max)
    }

    fn announce(&mut self, stage: Stage<'_>) {
        let what = match stage {
            Stage::Original => "scoring the original".to_owned(),
            Stage::Calibration => "calibrating".to_owned(),
            Stage::Trial { index: 0, n_layers, .. } => format!("scoring all {n_layers} layers in int8"),
            Stage::Trial { index, rolled_back, n_layers, n_ahead } => {
                let left = self
                    .estimate(n_ahead + 1)
                    .map_or(String::new(), |time| format!(", {:.0} s", time.as_secs_f64()));
                format!(
                    "trial {}, about {n_ahead} more{left}: scoring {} of {n_layers} layers in float",
                    index + 1,
                    rolled_back.len()
                )
            }
            Stage::Ranking => "ranking the layers".to_owned(),
            Stage::Saved { name } => format!("scoring the file of the {name} model"),
        };
        self.stage = match stage {
            Stage::Original => Scored::Original,
            Stage::Saved { name: "fake-quant" } => Scored::Simulation,
            Stage::Trial { index: 0, .. } | Stage::Saved { .. } => Scored::Whole,
            Stage::Calibration | Stage::Trial { .. } | Stage::Ranking => Scored::Trial,
        };
        self.stop.obey_the_clock(match stage {
            Stage::Original | Stage::Calibration | Stage::Saved { .. } => false,
            Stage::Trial { index, .. } => index > 0,
            Stage::Ranking => true,
        });
        self.progress.begin(&what);
    }

    fn interruption(&mut self) -> Option<Interruption> {
        match self.failure {
            Some(_) => Some(Interruption::Cancelled),
            None => self.stop.reason(),
        }
    }

    fn recall(&mut self, candidate: Candidate<'_>) -> Option<Score> {
        self.journal.as_ref()?.recall(candidate)
    }

    fn scored(&mut self, candidate: Candidate<'_>, score: &Score) -> Result<(), EvaluatorError> {
        match &mut self.journal {
            Some(journal) => Ok(journal.write(candidate, score)?),
            None => Ok(()),
        }
    }
}
