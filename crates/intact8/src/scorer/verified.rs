//! The scorer of our interpreter, whose results a runtime of others verifies.

use super::{DataScorer, OriginalModel, Score};
use crate::chosen_runtime::ChosenRuntime;
use crate::data::{DataSet, Feed, Metric};
use crate::goal::{Goal, MaxDrop, Target};
use intact8_calibrate::BoxError;
use intact8_ir::{Error, ErrorKind, Model, Result};
use intact8_search::{SavedModel, Scorer, Scoring, Subject};

/// Scores models by our interpreter, and by a runtime of others those trials that meet the target, and the saved deploy models. A
/// trial meets the target only if it does so in both.
pub struct VerifiedScorer {
    /// Scores by our interpreter.
    pub scorer: DataScorer,
    /// Scores by the other runtime; `None` after it has failed.
    pub verifier: Option<DataScorer>,
    /// Receives the reason why the results are not verified.
    pub remark: Box<dyn FnMut(&str)>,
}

impl VerifiedScorer {
    /// The scorer of a data set. A runtime that the user has named scores in place of our interpreter; one that was found verifies
    /// its results. `remark` receives the reason why the results are not verified. `model` is the original as it was read.
    ///
    /// # Errors
    /// As [`DataScorer::new`]; if a goal is a drop from a perfect value of 200 decibels, or a fraction of a perfect value of 0, which
    /// is meaningless.
    pub fn of_data(
        (original, model): (OriginalModel, &Model),
        (evaluation, data): (Feed, &DataSet),
        metrics: &[Metric],
        goals: &[Goal],
        runtime: Option<&ChosenRuntime>,
        remark: Box<dyn FnMut(&str)>,
    ) -> Result<VerifiedScorer> {
        let made = || DataScorer::new(original.clone(), evaluation.clone(), data, metrics.to_vec());
        let in_runtime = |runtime: &ChosenRuntime| -> Result<DataScorer> {
            Ok(made()?.in_runtime(runtime.loaded.clone(), &runtime.loaded.name(), model))
        };
        let (scorer, verifier) = match runtime {
            Some(runtime) if runtime.is_given => (in_runtime(runtime)?, None),
            runtime => (made()?, runtime.map(in_runtime).transpose()?),
        };
        check_drops(&scorer, goals)?;
        Ok(VerifiedScorer { scorer, verifier, remark })
    }

    /// The score by the other runtime; `None` if it fails, and from then on.
    fn verified(
        &mut self,
        subject: Subject<'_>,
        scoring: &mut Scoring<'_, Score>,
    ) -> Result<Option<Score>, BoxError> {
        let Some(verifier) = &mut self.verifier else { return Ok(None) };
        match verifier.score(subject, scoring).map_err(Error::from_user) {
            Ok(score) => Ok(Some(score)),
            Err(error) if error.kind == ErrorKind::Cancelled => Err(error.into()),
            Err(error) => {
                self.verifier = None;
                (self.remark)(&format!("warning: results are not verified: {error}"));
                Ok(None)
            }
        }
    }
}

/// Checks that no goal is a drop from a perfect value of 200 decibels, or a fraction of a perfect value of 0; both are meaningless.
fn check_drops(scorer: &DataScorer, goals: &[Goal]) -> Result<()> {
    for (metric, goal) in scorer.metrics.iter().zip(goals) {
        let bound = match (metric.name.as_str(), goal.target) {
            ("sqnr" | "psnr", Target::Drop(_)) => ">=",
            ("mse", Target::Drop(MaxDrop::Relative(_))) => "<=",
            _ => continue,
        };
        if scorer.is_measured_by_original(metric) {
            let name = &metric.name;
            return Err(Error::invalid_config(format!(
                "metric {name:?}: is compared with the original's own outputs, so a drop is meaningless; write {name}{bound} and a number"
            )));
        }
    }
    Ok(())
}

impl Scorer for VerifiedScorer {
    type Score = Score;

    fn score(&mut self, subject: Subject<'_>, scoring: &mut Scoring<'_, Score>) -> Result<Score, BoxError> {
        match subject {
            Subject::Trial { .. } | Subject::Saved { model: SavedModel::Deployed(_), .. } => {
                let mut score = self.scorer.score(subject, scoring)?;
                if scoring.is_missed_with(&score) {
                    return Ok(score);
                }
                let Some(found) = self.verified(subject, scoring)? else { return Ok(score) };
                if scoring.is_missed_with(&found) {
                    let missed_in = found.verified.as_ref().map(|verified| verified.runtime.clone());
                    return Ok(Score { missed_in, ..found });
                }
                score.verified = found.verified;
                Ok(score)
            }
            Subject::Original(_) | Subject::Saved { .. } => self.scorer.score(subject, scoring),
        }
    }
}
