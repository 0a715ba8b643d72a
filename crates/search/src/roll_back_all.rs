//! The end of a search for a caller to whom no quantized model is worth having: every layer in float.

use crate::outcome::{Outcome, Report, Rungs, Trial};
use crate::roles::Scorer;
use crate::search::{Roles, judged, quantize_and_deploy};
use intact8_calibrate::FloatModel;
use intact8_ir::Result;
use intact8_quant::{DeployFormat, Emission, LayerArithmetic, QuantConfig, Record};

/// Adds a trial that rolls back every layer of a search, and makes its model the outcome: the prepared original, with the score of
/// the original. `config` and `deploy` are those of the search. What was saved and scored of an earlier outcome is forgotten.
///
/// # Errors
/// If the deploy format can't express the model, or the judge fails.
pub fn roll_back_all<S: Scorer>(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    roles: Roles<'_, S>,
    deploy: Option<(DeployFormat, Emission)>,
    report: &mut Report<S::Score>,
) -> Result<()> {
    let rolled_back = report.layers.clone();
    let config = config.rolled_back(&report.table.names(&rolled_back));
    let (quantized, deployed) =
        quantize_and_deploy(float, &config, &Record::default(), deploy, roles.observer)?;
    let verdict = judged(roles.judge, &report.original, &report.original)?;
    let arithmetic = LayerArithmetic::of(&report.table, quantized.config(), deployed.as_ref());
    let score = report.original.clone();
    report.history.push(Trial { rolled_back: rolled_back.clone(), rungs: Rungs::new(), verdict });
    report.scores.push(score.clone());
    report.closest = report.history.len() - 1;
    report.closest_config = config;
    let (rungs, record) = (Rungs::new(), Record::default());
    report.outcome = Some(Outcome { score, rolled_back, rungs, arithmetic, record, quantized, deployed });
    report.rescored.clear();
    Ok(())
}
