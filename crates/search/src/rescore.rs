//! Scoring of a saved model after it was read back from its file; reading and writing is up to the caller.

use crate::outcome::Rescored;
use crate::roles::{SavedModel, Scorer, Scoring, Subject};
use crate::search::{Roles, judged};
use crate::stage::Stage;
use intact8_ir::{Error, ErrorKind, Result};
use std::cell::RefCell;
use std::path::Path;

/// Scores and judges a model that was written to a file and read back. `name` is that of [`Rescored::name`]; `original` and
/// `first` are the scores of the original model and of the first trial. Returns `None` if the scorer was cancelled.
///
/// # Errors
/// If the scorer or the judge fails.
pub fn rescore<S: Scorer>(
    name: &str,
    path: &Path,
    model: SavedModel<'_>,
    roles: &mut Roles<'_, S>,
    (original, first): (&S::Score, Option<&S::Score>),
) -> Result<Option<Rescored<S::Score>>> {
    roles.observer.stage(Stage::Saved { name });
    let observer = &mut *roles.observer;
    let mut progress = |done, total| observer.progress(done, total);
    let judge = RefCell::new(&mut *roles.judge);
    // If the judge fails, it does so again for the score.
    let misses =
        |score: &S::Score| judge.borrow_mut().judge(original, score).is_ok_and(|verdict| !verdict.satisfied);
    let mut scoring = Scoring {
        original: Some(original),
        first,
        out_of_reach: None,
        misses: Some(&misses),
        progress: &mut progress,
    };
    match roles.scorer.score(Subject::Saved { path, model }, &mut scoring).map_err(Error::from_user) {
        Ok(score) => {
            let verdict = judged(roles.judge, original, &score)?;
            Ok(Some(Rescored { name: name.to_owned(), score, verdict }))
        }
        Err(error) if error.kind == ErrorKind::Cancelled => Ok(None),
        Err(error) => Err(error),
    }
}
