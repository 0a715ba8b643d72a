//! What a search found out as JSON: ranking and history in the original tool's layout, and a report of our own.

use crate::goal::Goal;
use crate::scorer::Score;
use quantfit_search::{Ending, Ranking, Report};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The ranking: an array of `[layer, similarity]`, the worst layer first.
pub(crate) fn ranking_json(ranking: &Ranking) -> String {
    let pairs = ranking
        .0
        .iter()
        .flat_map(|ranked| ranked.layers.iter().map(|layer| json!([layer, ranked.similarity])));
    lines(&pairs.collect::<Vec<_>>())
}

/// The history: an array of trials. In `roll_back_config`, as in the original, `true` is a layer that stays quantized.
pub(crate) fn history_json<M>(report: &Report<M>) -> String {
    let ranked: Vec<&String> = report.ranking.0.iter().flat_map(|ranked| &ranked.layers).collect();
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

/// Everything about a search by goals; `docs/files.md` lists the keys. The plain numbers are those of the first goal.
pub fn report_json(report: &Report<Score>, goals: &[Goal], elapsed: Duration) -> Value {
    let first = |score: &Score| score.values.first().copied();
    let outcome = report.outcome.as_ref();
    let of_goal = |(idx, goal): (usize, &Goal)| {
        json!({
            "metric": goal.name,
            "target": goal.shown(),
            "original": report.original.values[idx],
            "all_quantized": report.metrics[0].values[idx],
            "final": outcome.map(|quantized| quantized.metric.values[idx]),
        })
    };
    let is_rolled_back =
        |layer: &String| outcome.is_some_and(|quantized| quantized.rolled_back.contains(layer));
    let ranked = report.ranking.0.iter().flat_map(|ranked| {
        ranked.layers.iter().map(|layer| {
            json!({
                "layer": layer,
                "similarity": ranked.similarity,
                "worst_channel": ranked.worst_channel,
                "cost": ranked.cost,
                "in_float": is_rolled_back(layer),
            })
        })
    });
    let trials = report.history.iter().zip(&report.metrics).map(|(trial, score)| {
        json!({
            "rolled_back": trial.rolled_back,
            "ladder": trial.rungs,
            "metric": first(score),
            "metrics": score.values,
            "stopped_after": score.stopped_after,
            "loss": trial.verdict.loss,
            "satisfied": trial.verdict.satisfied,
        })
    });
    json!({
        "original": first(&report.original),
        "all_quantized": first(&report.metrics[0]),
        "final": outcome.map(|quantized| first(&quantized.metric)),
        "target_met": outcome.is_some(),
        "goals": goals.iter().enumerate().map(of_goal).collect::<Vec<_>>(),
        "layers": report.layers,
        "rolled_back": outcome.map(|quantized| &quantized.rolled_back),
        "ladder": outcome.map(|quantized| &quantized.rungs),
        "ranking": ranked.collect::<Vec<_>>(),
        "trials": trials.collect::<Vec<_>>(),
        "ending": ending(report.ending),
        "one_minimal": outcome.is_some() && report.untried().is_empty(),
        "untried": report.untried(),
        "recalled": report.n_recalled,
        "seconds": elapsed.as_secs_f64(),
        "trials_per_second": trials_per_second(report, elapsed),
    })
}

/// How many trials were scored in a second, those of an earlier run not counted.
pub fn trials_per_second<M>(report: &Report<M>, elapsed: Duration) -> f64 {
    (report.history.len() - report.n_recalled) as f64 / elapsed.as_secs_f64().max(1e-9)
}

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::AllQuantized => "all quantized",
        Ending::Finished => "finished",
        Ending::OutOfTrials => "out of trials",
        Ending::OutOfTime => "out of time",
        Ending::Interrupted => "interrupted",
    }
}
