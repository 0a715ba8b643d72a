//! The results of a search as JSON: ranking and history in AMCT's layout, and the report of intact8. The keys are in
//! `docs/files.md`.

use crate::confidence::{Confidence, Interval, interval_around};
use crate::data::Better;
use crate::goal::Goal;
use crate::scorer::{Effort, Score, Verified};
use intact8_quant::layer::{LayerId, LayerSet, LayerTable};
use intact8_quant::{Arithmetic, LayerArithmetic, LayerCounts};
use intact8_search::{Ending, Report, Rungs, Verdict};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The ranking: an array of `[layer, similarity]`, the most sensitive layer first.
pub(crate) fn ranking_json<S>(report: &Report<S>) -> String {
    let pairs = report.ranking.0.iter().flat_map(|ranked| {
        ranked.layers.iter().map(|&layer| json!([report.table.name(layer), ranked.similarity]))
    });
    lines(&pairs.collect::<Vec<_>>())
}

/// The history: an array of trials. In `roll_back_config`, as in AMCT, `true` marks a layer that stays quantized.
pub(crate) fn history_json<S>(report: &Report<S>) -> String {
    let ranked: Vec<LayerId> = report.ranking.0.iter().flat_map(|ranked| ranked.layers.clone()).collect();
    let order = if ranked.is_empty() { report.layers.iter().copied().collect() } else { ranked };
    let trials: Vec<Value> = report
        .history
        .iter()
        .map(|trial| {
            let is_kept = |&layer: &LayerId| {
                (report.table.name(layer).to_owned(), Value::Bool(!trial.rolled_back.contains(&layer)))
            };
            let layers: Map<String, Value> = order.iter().map(is_kept).collect();
            json!({ "roll_back_config": layers, "metric_eval": [trial.verdict.satisfied, trial.verdict.loss] })
        })
        .collect();
    lines(&trials)
}

/// The names of layers, the most sensitive first; layers without a rank are last.
pub fn names_by_rank<S>(report: &Report<S>, layers: &LayerSet) -> Vec<String> {
    let ranked = report.ranking.0.iter().flat_map(|ranked| &ranked.layers).filter(|it| layers.contains(it));
    let ranked: Vec<LayerId> = ranked.copied().collect();
    let others = layers.iter().filter(|layer| !ranked.contains(layer));
    report.table.names(ranked.iter().chain(others))
}

/// A JSON array with one element a line.
fn lines(values: &[Value]) -> String {
    if values.is_empty() {
        return "[]\n".to_owned();
    }
    let lines: Vec<String> = values.iter().map(|value| format!("    {value}")).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// The report of a search by goals; `docs/files.md` lists the keys. Keys without a list of metrics hold those of the first goal.
/// `elapsed` is the time of the whole run.
pub fn report_json(
    report: &Report<Score>,
    goals: &[Goal],
    confidence: Confidence,
    elapsed: Duration,
) -> Value {
    let first = |score: &Score| score.values.first().copied();
    let outcome = report.outcome.as_ref();
    let is_rolled_back = |layer: &LayerId| outcome.is_some_and(|outcome| outcome.rolled_back.contains(layer));
    let names = |layers: &LayerSet| names_by_rank(report, layers);
    let rungs = |rungs: &Rungs| -> Map<String, Value> {
        rungs.iter().map(|(&layer, &rung)| (report.table.name(layer).to_owned(), json!(rung))).collect()
    };
    let ranked = report.ranking.0.iter().flat_map(|ranked| {
        ranked.layers.iter().map(|layer| {
            json!({
                "layer": report.table.name(*layer),
                "similarity": ranked.similarity,
                "worst_channel": ranked.worst_channel,
                "cost": ranked.cost,
                "time_lost": ranked.time_lost / 1e9,
                "in_float": is_rolled_back(layer),
            })
        })
    });
    let trials = report.history.iter().zip(&report.scores).map(|(trial, score)| {
        let mut value = score_json(score, trial.verdict);
        value["rolled_back"] = json!(names(&trial.rolled_back));
        value["ladder"] = json!(rungs(&trial.rungs));
        value["missed_in"] = json!(score.missed_in);
        value
    });
    let rescored = report.rescored.iter().map(|saved| {
        let mut value = score_json(&saved.score, saved.verdict);
        value["model"] = json!(saved.name);
        if let Some(Verified { runtime, values }) = &saved.score.verified {
            value["verified"] = json!({ "runtime": runtime, "metrics": values });
        }
        value
    });
    let closest = report.best().is_none().then(|| &report.history[report.closest]);
    json!({
        "original": first(&report.original),
        "all_quantized": first(&report.scores[0]),
        "final": report.final_score().map(first),
        "target_met": report.is_met(),
        "goals": goals.iter().enumerate().map(|(idx, goal)| goal_json(report, goal, idx, confidence)).collect::<Vec<_>>(),
        "layers": report.table.names(&report.layers),
        "counts": {
            "all_quantized": counts_json(report.all_quantized.counts()),
            "final": outcome.map(|outcome| counts_json(outcome.arithmetic.counts())),
        },
        "arithmetic": outcome.map(|outcome| arithmetic_json(&report.table, &outcome.arithmetic)),
        "rolled_back": outcome.map(|outcome| names(&outcome.rolled_back)),
        "ladder": outcome.map(|outcome| rungs(&outcome.rungs)),
        "rungs_left_out": report.rungs_left_out.iter().map(|(rung, error)| (*rung, error.to_string())).collect::<BTreeMap<_, _>>(),
        "closest": closest.map(|trial| json!({
            "rolled_back": names(&trial.rolled_back),
            "ladder": rungs(&trial.rungs),
            "loss": trial.verdict.loss,
        })),
        "rescored": rescored.collect::<Vec<_>>(),
        "ranking": ranked.collect::<Vec<_>>(),
        "trials": trials.collect::<Vec<_>>(),
        "ending": ending_name(report.ending),
        "one_minimal": report.best().is_some() && report.untried().is_empty(),
        "untried": names(&report.untried()),
        "recalled": report.n_recalled,
        "seconds": elapsed.as_secs_f64(),
        "trials_per_second": trials_per_second(report, elapsed),
        "original_effort": effort_json(&report.original),
    })
}

pub(crate) fn counts_json(counts: LayerCounts) -> Value {
    let LayerCounts { int8, int16, weights_only, float } = counts;
    json!({ "int8": int8, "int16": int16, "weights_only": weights_only, "float": float })
}

/// A score with its effort and its verdict.
fn score_json(score: &Score, verdict: Verdict) -> Value {
    let mut value = effort_json(score);
    value["metric"] = json!(score.values.first());
    value["metrics"] = json!(score.values);
    value["stopped_after"] = json!(score.stopped_after);
    value["loss"] = json!(verdict.loss);
    value["satisfied"] = json!(verdict.satisfied);
    value
}

fn effort_json(score: &Score) -> Value {
    let Effort { samples, seconds, peak_memory } = score.effort;
    json!({ "samples": samples, "seconds": seconds, "peak_memory": peak_memory })
}

fn goal_json(report: &Report<Score>, goal: &Goal, idx: usize, confidence: Confidence) -> Value {
    let original = report.original.values[idx];
    let result = report.final_score();
    let interval = result.and_then(|score| interval(goal, idx, &report.original, score, confidence));
    let interval_json = |interval: Interval| {
        json!({
            "confidence": confidence.part(),
            "loss": interval.loss,
            "standard_error": interval.standard_error,
            "interval": interval.ends,
            "is_noise": interval.is_noise(),
            "is_sure": interval.is_sure,
        })
    };
    json!({
        "metric": goal.name,
        "target": goal.shown(),
        "better": match goal.better {
            Better::Higher => "higher",
            Better::Lower => "lower",
        },
        "limit": goal.limit(original),
        "original": original,
        "all_quantized": report.scores[0].values[idx],
        "final": result.map(|score| score.values[idx]),
        "loss": interval.map(interval_json),
    })
}

/// The arithmetic of each layer by name.
pub(crate) fn arithmetic_json(table: &LayerTable, of_layers: &LayerArithmetic) -> Map<String, Value> {
    let of_layer =
        |(&layer, found): (&LayerId, &Arithmetic)| (table.name(layer).to_owned(), json!(found.name()));
    of_layers.0.iter().map(of_layer).collect()
}

/// The interval of a score's loss for the goal at position `idx`; `None` if the noise is unknown.
pub fn interval(
    goal: &Goal,
    idx: usize,
    original: &Score,
    quantized: &Score,
    confidence: Confidence,
) -> Option<Interval> {
    let noise = *quantized.noise.get(idx)?;
    Some(Interval::of(goal, original.values[idx], quantized.values[idx], noise, confidence))
}

/// The interval around the metric at position `idx` itself, whose values are within `bounds`, with its standard error; `None` if the
/// noise is unknown.
pub fn interval_of_value(
    idx: usize,
    score: &Score,
    confidence: Confidence,
    bounds: [f64; 2],
) -> Option<(f64, [f64; 2])> {
    let (value, error) = (*score.values.get(idx)?, score.noise.get(idx)?.of_value);
    Some((error, interval_around(value, error, confidence, bounds)))
}

/// The number of trials scored in a second, without those of an earlier run.
pub fn trials_per_second<M>(report: &Report<M>, elapsed: Duration) -> f64 {
    (report.history.len() - report.n_recalled) as f64 / elapsed.as_secs_f64().max(1e-9)
}

fn ending_name(ending: Ending) -> &'static str {
    match ending {
        Ending::AllQuantized => "all quantized",
        Ending::Finished => "finished",
        Ending::OutOfTrials => "out of trials",
        Ending::OutOfTime => "out of time",
        Ending::Interrupted => "interrupted",
    }
}
