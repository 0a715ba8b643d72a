//! The scorer of our interpreter, whose results a runtime of others verifies.

use super::{DataScorer, Score};
use intact8_calibrate::BoxError;
use intact8_ir::{Error, ErrorKind};
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
                    return Ok(found);
                }
                score.verified = found.verified;
                Ok(score)
            }
            Subject::Original(_) | Subject::Saved { .. } => self.scorer.score(subject, scoring),
        }
    }
}
