//! The observer of a search that the command uses: it shows progress, writes the journal, and ends the search on request.

use crate::goal::Goal;
use crate::journal::Journal;
use crate::scorer::Score;
use crate::stop::Stop;
use intact8_calibrate::{CalibrationObserver, CalibrationStage};
use intact8_ir::{Model, PassObserver, Result};
use intact8_search::{Candidate, Interruption, Report, SearchObserver, Stage};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// An observer of a search that shows progress, stores scores in a journal, and ends the search on request.
pub struct Watcher {
    /// Receives the progress.
    pub progress: Box<dyn Progress>,
    /// Ends the search before its time.
    pub stop: Stop,
    /// The journal in which scores are stored; `None` stores none.
    pub journal: Option<Journal>,
    /// The number of runs of each pipeline of passes, by its name: `prepare`, `quantize`, `deploy qdq`, …
    pub work: BTreeMap<String, usize>,
    /// The goals, for the lines about trials.
    pub goals: Vec<Goal>,
    pipeline: String,
    began: Instant,
    trials: (usize, Duration),
}

/// Receives the progress of a run, with descriptions of its stages.
pub trait Progress {
    /// A stage begins.
    fn begin(&mut self, stage: &str);

    /// Of the current stage, `done` of `total` parts are finished.
    fn advance(&mut self, done: usize, total: usize);

    /// A line to the user, such as a layer that is left out of the stage.
    fn note(&mut self, line: &str) {
        let _ = line;
    }

    /// Lines about single layers, of which a few are enough for most users.
    fn notes(&mut self, lines: &[String]) {
        shortened(lines).iter().for_each(|line| self.note(line));
    }

    /// A line of the result, such as a measured latency.
    fn line(&mut self, line: &str) {
        let _ = line;
    }

    /// The verdict on a trial, in one line.
    fn trial(&mut self, line: &str) {
        let _ = line;
    }

    /// A decision that few users ask for, such as a pass that has changed the model.
    fn detail(&mut self, line: &str) {
        let _ = line;
    }
}

/// A few of many lines, and the number of further ones.
pub fn shortened(lines: &[String]) -> Vec<String> {
    const SHOWN: usize = 3;
    let mut shown: Vec<String> = lines.iter().take(SHOWN).cloned().collect();
    if lines.len() > SHOWN {
        shown.push(format!(
            "… and {} more like these; the configuration has all of them",
            lines.len() - SHOWN
        ));
    }
    shown
}

/// Shows no progress.
impl Progress for () {
    fn begin(&mut self, _stage: &str) {}
    fn advance(&mut self, _done: usize, _total: usize) {}
}

impl Watcher {
    /// A watcher without progress and journal, which ends the search when `stop` requires it.
    pub fn new(stop: Stop) -> Watcher {
        let trials = (0, Duration::ZERO);
        Watcher {
            progress: Box::new(()),
            stop,
            journal: None,
            work: BTreeMap::new(),
            goals: vec![],
            pipeline: String::new(),
            began: Instant::now(),
            trials,
        }
    }

    /// The expected time of a number of trials, from the times of those so far.
    fn estimate(&self, n_trials: usize) -> Option<Duration> {
        let (n, total) = self.trials;
        (n > 0).then(|| total.mul_f64(n_trials as f64 / n as f64))
    }

    fn describe(&self, stage: Stage<'_>) -> String {
        match stage {
            Stage::Original => "scoring the original".to_owned(),
            Stage::Calibration(stage) => match stage {
                CalibrationStage::Observation => "calibrating: observing the layers",
                CalibrationStage::Smoothing => "calibrating: smoothing",
                CalibrationStage::Clipping => "calibrating: clipping by output error",
                CalibrationStage::Rounding => "calibrating: rounding weights",
                CalibrationStage::BiasCorrection => "calibrating: correcting biases",
            }
            .to_owned(),
            Stage::Trial { index: 0, n_layers, .. } => {
                format!("scoring with all {n_layers} layers quantized")
            }
            Stage::Trial { index, rolled_back, n_layers, n_ahead } => {
                let ahead = n_ahead.map_or(String::new(), |n_ahead| {
                    let left = self.estimate(n_ahead + 1);
                    let left = left.map_or(String::new(), |time| format!(", {:.0} s", time.as_secs_f64()));
                    format!(", about {n_ahead} more{left}")
                });
                format!(
                    "trial {}{ahead}: scoring with {} of {n_layers} layers rolled back",
                    index + 1,
                    rolled_back.len()
                )
            }
            Stage::Ranking => "ranking the layers".to_owned(),
            Stage::Saved { name } => format!("verifying the file of the {name} model"),
        }
    }
}

impl PassObserver for Watcher {
    fn begin(&mut self, pipeline: &str) {
        *self.work.entry(pipeline.to_owned()).or_default() += 1;
        pipeline.clone_into(&mut self.pipeline);
    }

    fn after(&mut self, pass: &'static str, changed: bool, _: &Model) -> Result<()> {
        // Later runs of a pipeline differ in the layers that are rolled back.
        if changed && self.work.get(&self.pipeline) == Some(&1) {
            self.progress.detail(&format!("{}: {pass} has changed the model", self.pipeline));
        }
        Ok(())
    }
}

/// The verdict on the last trial of a report, and the best one so far.
fn verdict_line(goals: &[Goal], report: &Report<Score>) -> String {
    let (n_trials, n_layers) = (report.history.len(), report.layers.len());
    let (Some(trial), Some(score)) = (report.history.last(), report.scores.last()) else {
        return String::new();
    };
    let metrics = goals.iter().zip(score.estimates());
    let metrics: Vec<String> =
        metrics.map(|(goal, &value)| format!("{} {}", goal.name, goal.value_shown(value))).collect();
    let early = if score.stopped_after.is_some() { " about" } else { "" };
    let verdict = if trial.verdict.satisfied { "met" } else { "missed" };
    let best = match report.best().map(|best| report.history[best].rolled_back.len()) {
        Some(n_float) => format!("{n_float} in float"),
        None => "none".to_owned(),
    };
    let missed_in = score.missed_in.as_ref().map_or(String::new(), |runtime| format!(" in {runtime}"));
    format!(
        "trial {n_trials}: {verdict}{missed_in} with {} of {n_layers} layers in float,{early} {}; best so far: {best}",
        trial.rolled_back.len(),
        metrics.join(", ")
    )
}

/// Calibration without a search is observed like the calibration of one.
impl CalibrationObserver for Watcher {
    fn stage(&mut self, stage: CalibrationStage) {
        SearchObserver::stage(self, Stage::Calibration(stage));
    }

    fn batch(&mut self, done: usize, total: usize) -> Result<()> {
        self.progress(done, total)
    }
}

impl SearchObserver<Score> for Watcher {
    fn stage(&mut self, stage: Stage<'_>) {
        self.stop.set_deadline_applies(match stage {
            Stage::Original | Stage::Calibration(_) | Stage::Saved { .. } => false,
            Stage::Trial { index, .. } => index > 0,
            Stage::Ranking => true,
        });
        self.began = Instant::now();
        let description = self.describe(stage);
        self.progress.begin(&description);
    }

    fn left_out(&mut self, layer: &str, why: &str) {
        self.progress.note(&format!("{layer}: {why}"));
    }

    fn progress(&mut self, done: usize, total: usize) -> Result<()> {
        self.stop.check()?;
        self.progress.advance(done, total);
        Ok(())
    }

    fn interruption(&mut self) -> Option<Interruption> {
        self.stop.reason()
    }

    fn recall(&mut self, candidate: Candidate<'_>) -> Option<Score> {
        self.journal.as_ref()?.recall(candidate)
    }

    fn judged(&mut self, report: &Report<Score>) {
        let line = verdict_line(&self.goals, report);
        self.progress.trial(&line);
        if let Some(trial) = report.history.last().filter(|trial| !trial.rolled_back.is_empty()) {
            self.progress.detail(&format!("in float: {}", report.table.names(&trial.rolled_back).join(", ")));
        }
    }

    fn scored(&mut self, candidate: Candidate<'_>, score: &Score) -> Result<()> {
        if candidate != Candidate::Original {
            self.trials = (self.trials.0 + 1, self.trials.1 + self.began.elapsed());
        }
        match &mut self.journal {
            Some(journal) => journal.write(candidate, score),
            None => Ok(()),
        }
    }
}
