//! The score of a model file of any origin.

use crate::scorer::{DataScorer, Score};
use intact8_ir::{Error, Model, Result};
use intact8_quant::{DeployFormat, Deployed, Emission};
use intact8_search::{SavedModel, Scorer, Scoring, Subject};
use std::path::Path;

/// Scores a model file. Without the score of the original it is the original itself, with which all others are compared. In our
/// interpreter, operators between QuantizeLinear and DequantizeLinear compute on integers, as runtimes execute them.
///
/// # Errors
/// If the model can't be run on the data of the scorer.
pub fn score_saved(
    scorer: &mut DataScorer,
    original: Option<&Score>,
    (path, model): (&Path, &Model),
    progress: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<Score> {
    let deployed = Deployed::read_back(model.clone(), DeployFormat::Qdq, &Emission::default());
    let subject = match original {
        None => Subject::Original(model),
        Some(_) if deployed.executed().is_ok() => {
            Subject::Saved { path, model: SavedModel::Deployed(&deployed) }
        }
        // A model that has no such operators, or other ones.
        Some(_) => Subject::Saved { path, model: SavedModel::FakeQuant { model, deployed: None } },
    };
    let mut scoring = Scoring { original, first: None, out_of_reach: None, misses: None, progress };
    scorer.score(subject, &mut scoring).map_err(Error::from_user)
}
