//! Scores a model once more, as it was read back from its file.

use crate::evaluator::{Evaluator, Stage, failed};
use crate::outcome::Rescored;
use crate::search::judge;
use intact8_ir::{ErrorKind, Model, Result};

/// Scores and judges a model that was written to a file and read back. `None` if the evaluator has no more time for it,
/// which it says by failing with [`ErrorKind::Cancelled`].
pub fn rescore<E: Evaluator>(
    name: &str,
    model: &Model,
    evaluator: &mut E,
    original: &E::Metric,
) -> Result<Option<Rescored<E::Metric>>> {
    evaluator.announce(Stage::Saved { name });
    match evaluator.evaluate(model).map_err(failed) {
        Ok(metric) => {
            let verdict = judge(evaluator, original, &metric)?;
            Ok(Some(Rescored { name: name.to_owned(), metric, verdict }))
        }
        Err(error) if error.kind == ErrorKind::Cancelled => Ok(None),
        Err(error) => Err(error),
    }
}
