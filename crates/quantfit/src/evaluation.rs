//! A ready-made evaluator: calibrates on a data set, scores by data or by a command, and judges by goals.

use crate::data::Feed;
use crate::goal::{Goal, judge_all};
use crate::journal::Journal;
use crate::scorer::{Misses, Score, Scorer, Scoring};
use crate::stop::Stop;
use quantfit_ir::{Error, Model, Result, Tensor};
use quantfit_search::{Candidate, Evaluator, EvaluatorError, Interruption, Stage, Verdict};
use std::time::{Duration, Instant};

/// Calibrates, scores and judges by one number for each goal.
pub struct Evaluation {
    /// The calibration data.
    pub calibration: Feed,
    /// Gives the numbers.
    pub scorer: Box<dyn Scorer>,
    /// What the numbers must be.
    pub goals: Vec<Goal>,
    /// Is told how far things are.
    pub progress: Box<dyn Progress>,
    /// Whether a trial stops as soon as it can no longer meet its goals. The first one never does.
    pub early_stop: bool,
    /// Ends the search before its time.
    pub stop: Stop,
    /// Where scores are written down, and recalled from.
    pub journal: Option<Journal>,
    original: Option<Score>,
    is_first: bool,
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
            progress: Box::new(()),
            early_stop: false,
            stop: Stop::default(),
            journal: None,
            original: None,
            is_first: true,
            trials: (0, Duration::ZERO),
        }
    }

    /// Goals that the original itself misses are a mistake.
    fn check_original(&self, values: &[f64]) -> Result<()> {
        match self.goals.iter().zip(values).find(|&(goal, &value)| !goal.judge(value, value).satisfied) {
            Some((goal, value)) => Err(Error::evaluator(format!(
                "the original's {} is {value:.6}, and the goal is {}; ask for less",
                goal.name,
                goal.shown()
            ))),
            None => Ok(()),
        }
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
        let began = Instant::now();
        let goals = &self.goals;
        let original = self.original.as_ref().filter(|_| self.early_stop && !self.is_first);
        let misses =
            original.map(|original| move |best: &[f64]| !judge_all(goals, &original.values, best).satisfied);
        let mut scoring = Scoring {
            progress: &mut *self.progress,
            misses: misses.as_ref().map(|misses| misses as Misses<'_>),
            stop: &self.stop,
        };
        let score = self.scorer.score(model, &mut scoring)?;
        if score.values.len() != goals.len() {
            let (found, wanted) = (score.values.len(), goals.len());
            return Err(
                Error::evaluator(format!("the scorer gives {found} numbers for {wanted} goals")).into()
            );
        }
        if self.original.is_some() {
            self.trials = (self.trials.0 + 1, self.trials.1 + began.elapsed());
        }
        Ok(score)
    }

    fn metric_eval(&mut self, original: &Score, quantized: &Score) -> Result<Verdict, EvaluatorError> {
        if self.original.is_none() {
            self.check_original(&original.values)?;
            self.original = Some(original.clone());
        }
        Ok(judge_all(&self.goals, &original.values, &quantized.values))
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
        };
        self.is_first = matches!(stage, Stage::Trial { index: 0, .. });
        if !self.is_first && self.original.is_some() && !matches!(stage, Stage::Calibration) {
            self.stop.obey_the_clock();
        }
        self.progress.begin(&what);
    }

    fn interruption(&mut self) -> Option<Interruption> {
        self.stop.reason()
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
