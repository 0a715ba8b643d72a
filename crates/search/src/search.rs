//! The loop.

use crate::calibrate::calibrate;
use crate::evaluator::{Evaluator, Stage, Verdict, failed};
use crate::rank::{Ranking, rank};
use crate::sensitivity::{CosineSimilarity, Sensitivity};
use crate::strategy::{BinarySearch, Strategy};
use quantfit_ir::{Error, Model, Result};
use quantfit_quant::{QuantConfig, Record, deploy, fake_quant, prepare};

/// How to search.
#[derive(Clone, Copy)]
pub struct SearchOptions<'a> {
    /// Names the layers to roll back.
    pub strategy: &'a dyn Strategy,
    /// Ranks them.
    pub sensitivity: &'a dyn Sensitivity,
}

impl Default for SearchOptions<'_> {
    /// The original tool's: binary search over the cosine similarity.
    fn default() -> Self {
        SearchOptions { strategy: &BinarySearch, sensitivity: &CosineSimilarity }
    }
}

/// One configuration, calibrated, quantized and judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The layers left in float.
    pub rolled_back: Vec<String>,
    /// What the evaluator thinks of it.
    pub verdict: Verdict,
}

/// What a search found out.
#[derive(Debug, Clone)]
pub struct Report<M> {
    /// The score of the original model.
    pub original: M,
    /// The names of all layers that the configuration enables.
    pub layers: Vec<String>,
    /// The layers, the worst first; empty if quantizing all of them satisfied.
    pub ranking: Ranking,
    /// The trials, in order.
    pub history: Vec<Trial>,
    /// The score of each trial.
    pub metrics: Vec<M>,
    /// The satisfying model with the fewest layers rolled back; `None` if nothing but the float model satisfies.
    pub outcome: Option<Quantized<M>>,
}

/// A model that satisfies, and how it came about.
#[derive(Debug, Clone)]
pub struct Quantized<M> {
    /// Its score.
    pub metric: M,
    /// The layers left in float.
    pub rolled_back: Vec<String>,
    /// The configuration with those layers disabled.
    pub config: QuantConfig,
    /// The scales and offsets.
    pub record: Record,
    /// The model that simulates quantization: the one that was scored.
    pub fake_quant: Model,
    /// The model that holds integers.
    pub deploy: Model,
}

/// Finds which layers must stay float so that the evaluator is satisfied: scores the original, quantizes everything
/// that `config` enables, and, if that is not good enough, ranks the layers and rolls back what the strategy names.
///
/// The model itself is not changed. That the target can't be met is a result, not an error.
pub fn search<E: Evaluator>(
    model: &Model,
    config: &QuantConfig,
    evaluator: &mut E,
    options: &SearchOptions<'_>,
) -> Result<Report<E::Metric>> {
    let mut prepared = model.clone();
    prepare(config).run(&mut prepared)?;
    config.check(&prepared)?;
    let layers: Vec<String> = config.enabled(&prepared).into_iter().map(|(layer, _)| layer.name).collect();
    if layers.is_empty() {
        return Err(Error::invalid_config("no layer is to be quantized; enable one"));
    }

    evaluator.announce(Stage::Original);
    let original = evaluator.evaluate(model).map_err(failed)?;
    let itself = judge(evaluator, &original, &original)?;
    if !itself.satisfied {
        let message = format!(
            "the original model misses the target itself, with a loss of {}; check the target",
            itself.loss
        );
        return Err(Error::evaluator(message));
    }

    let mut report = Report {
        original,
        layers,
        ranking: Ranking::default(),
        history: vec![],
        metrics: vec![],
        outcome: None,
    };
    let mut rolled_back: Vec<String> = Vec::new();
    loop {
        let config = config.rolled_back(&rolled_back);
        evaluator.announce(Stage::Calibration);
        let record = calibrate(&prepared, &config, evaluator)?;
        let mut quantized = prepared.clone();
        fake_quant(&config, &record).run(&mut quantized)?;
        let (index, n_layers) = (report.history.len(), report.layers.len());
        evaluator.announce(Stage::Trial { index, rolled_back: &rolled_back, n_layers });
        let metric = evaluator.evaluate(&quantized).map_err(failed)?;
        let verdict = judge(evaluator, &report.original, &metric)?;
        if index == 0 && !verdict.satisfied {
            evaluator.announce(Stage::Ranking);
            report.ranking = rank(&prepared, &config, &record, evaluator, options.sensitivity)?;
        }
        let is_best = report.outcome.as_ref().is_none_or(|best| rolled_back.len() < best.rolled_back.len());
        if verdict.satisfied && is_best {
            let mut deployed = prepared.clone();
            deploy(&config, &record).run(&mut deployed)?;
            let (metric, rolled_back) = (metric.clone(), rolled_back.clone());
            report.outcome = Some(Quantized {
                metric,
                rolled_back,
                config,
                record,
                fake_quant: quantized,
                deploy: deployed,
            });
        }
        report.history.push(Trial { rolled_back, verdict });
        report.metrics.push(metric);
        match next(&report, options.strategy)? {
            Some(next) => rolled_back = next,
            None => return Ok(report),
        }
    }
}

fn judge<E: Evaluator>(evaluator: &mut E, original: &E::Metric, quantized: &E::Metric) -> Result<Verdict> {
    let verdict = evaluator.metric_eval(original, quantized).map_err(failed)?;
    if verdict.loss.is_nan() {
        return Err(Error::evaluator("the loss is not a number; check what the evaluator returns"));
    }
    Ok(verdict)
}

/// The layers to roll back next; `None` when the search is over.
fn next<M>(report: &Report<M>, strategy: &dyn Strategy) -> Result<Option<Vec<String>>> {
    if report.history[0].verdict.satisfied {
        return Ok(None);
    }
    let Some(next) = strategy.next(&report.ranking, &report.history) else { return Ok(None) };
    if let Some(unknown) = next.iter().find(|layer| !report.layers.contains(layer)) {
        return Err(Error::evaluator(format!(
            "the strategy rolls back {unknown:?}, which is no layer of the search"
        )));
    }
    let as_set = |layers: &[String]| layers.iter().cloned().collect::<std::collections::BTreeSet<String>>();
    let proposed = as_set(&next);
    if report.history.iter().any(|trial| as_set(&trial.rolled_back) == proposed) {
        return Err(Error::evaluator("the strategy proposed the same layers twice"));
    }
    // With every layer in float there is nothing to produce.
    Ok((proposed.len() < report.layers.len()).then_some(next))
}
