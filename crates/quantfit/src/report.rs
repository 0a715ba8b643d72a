//! The ranking and the history as JSON, in the original tool's layout.

use quantfit_search::{Ranking, Report};
use serde_json::{Map, Value, json};

/// The ranking: an array of `[layer, similarity]`, the worst layer first.
pub(crate) fn ranking_json(ranking: &Ranking) -> String {
    let pairs: Vec<Value> = ranking.0.iter().map(|ranked| json!([ranked.layer, ranked.similarity])).collect();
    lines(&pairs)
}

/// The history: an array of trials. In `roll_back_config`, as in the original, `true` is a layer that stays quantized.
pub(crate) fn history_json<M>(report: &Report<M>) -> String {
    let ranked: Vec<&String> = report.ranking.0.iter().map(|ranked| &ranked.layer).collect();
    let order = if ranked.is_empty() { report.layers.iter().collect() } else { ranked };
    let trials: Vec<Value> = report
        .history
        .iter()
        .map(|trial| {
            let is_kept = |layer: &&String| (String::clone(layer), Value::Bool(!trial.rolled_back.contains(layer)));
            let layers: Map<String, Value> = order.iter().map(is_kept).collect();
            json!({ "roll_back_config": layers, "metric_eval": [trial.verdict.satisfied, trial.verdict.loss] })
        })
        .collect();
    lines(&trials)
}

/// A JSON array with one element a line.
fn lines(values: &[Value]) -> String {
    if values.is_empty() {
        return "[]\n".to_owned();
    }
    let lines: Vec<String> = values.iter().map(|value| format!("    {value}")).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}
