//! The tables that are printed at the end of a search.

use crate::cli::print_line;
use comfy_table::{CellAlignment, Table, presets};
use intact8::quant::LayerCounts;
use intact8::search::{Ending, Outcome};
use intact8::{
    ChosenRuntime, Confidence, Goal, Interval, OutputFiles, Report, Score, Target, Verified, interval,
    interval_of_value, names_by_rank, saved_bytes, trials_per_second,
};
use std::path::Path;
use std::time::Duration;

/// The number of quantized layers that are shown, the most sensitive ones.
const QUANTIZED_SHOWN: usize = 3;

/// Prints the result of a search.
pub(super) fn print(
    goals: &[Goal],
    confidence: Confidence,
    report: &Report<Score>,
    files: &OutputFiles,
    float_bytes: u64,
    elapsed: Duration,
) {
    print_line(&scores(goals, report, files, float_bytes).to_string());
    if let Some(losses) = losses(goals, confidence, report) {
        print_line(&losses.to_string());
    }
    if let Some(outcome) = report.outcome.as_ref().filter(|outcome| !outcome.rolled_back.is_empty()) {
        print_line(&format!("layers in float: {}", names_by_rank(report, &outcome.rolled_back).join(", ")));
        print_line(&layers(report, outcome).to_string());
    }
    let rungs = report.outcome.iter().flat_map(|outcome| &outcome.rungs);
    let rungs: Vec<String> =
        rungs.map(|(&layer, rung)| format!("{} ({rung})", report.table.name(layer))).collect();
    if !rungs.is_empty() {
        print_line(&format!("layers on the ladder: {}", rungs.join(", ")));
    }
    for (rung, reason) in &report.rungs_left_out {
        print_line(&format!("left out of the ladder: {rung}: {reason}"));
    }
    print_line(&trials(report, elapsed));
}

/// Which runtime has scored or verified the deploy models.
pub(super) fn runtime_lines(runtime: Option<&ChosenRuntime>, report: &Report<Score>) -> Vec<String> {
    let is_verification = report.is_met() && runtime.is_some_and(|runtime| !runtime.is_given);
    let verified =
        report.rescored.iter().filter_map(|saved| Some((&saved.name, saved.score.verified.as_ref()?)));
    let deployed: Vec<_> = verified.filter(|(name, _)| *name != "fake-quant").collect();
    let line = |(name, verified): &(&String, &Verified)| {
        let values: Vec<String> = verified.values.iter().map(|value| format!("{value:.6}")).collect();
        let of_format = if deployed.len() > 1 { format!("{name} file: ") } else { String::new() };
        let what = if is_verification { "verified" } else { "scored" };
        format!("{of_format}{what} in {}: {}", verified.runtime, values.join(", "))
    };
    deployed.iter().map(line).collect()
}

/// Metrics, losses, layers and sizes of the original, the first trial and the result.
fn scores(goals: &[Goal], report: &Report<Score>, files: &OutputFiles, float_bytes: u64) -> Table {
    let mut header = vec![String::new()];
    header.extend(goals.iter().map(|goal| goal.name.clone()));
    // Of a bound the loss against the original means nothing.
    let has_loss = goals.iter().any(|goal| matches!(goal.target, Target::Drop(_)));
    header.extend(has_loss.then(|| "loss".to_owned()));
    let result = report.outcome.as_ref().map(|outcome| outcome.arithmetic.counts());
    let (first, result) = (report.all_quantized.counts(), result.unwrap_or_default());
    let has_int16 = first.int16 + result.int16 > 0;
    header.push("layers in int8".to_owned());
    header.extend(has_int16.then(|| "in int16".to_owned()));
    header.extend(["weights only", "in float", "size"].map(str::to_owned));
    let mut table = plain(header);
    let shown = |bytes: u64| format!("{:.1} kB", bytes as f64 / 1000.0);
    let size = |path: &Path| match saved_bytes(path) {
        0 => String::new(),
        bytes => shown(bytes),
    };
    let row = |label: &str, score: &Score, loss: Option<f64>, counts: LayerCounts, size: String| {
        let mut row = vec![label.to_owned()];
        row.extend(score.values.iter().map(|value| format!("{value:.6}")));
        row.extend(has_loss.then(|| loss.map_or(String::new(), |loss| format!("{loss:.6}"))));
        row.push(counts.int8.to_string());
        row.extend(has_int16.then(|| counts.int16.to_string()));
        row.extend([counts.weights_only, counts.float].map(|n| n.to_string()));
        row.push(size);
        row
    };
    let float = LayerCounts { float: first.total(), ..LayerCounts::default() };
    table.add_row(row("original", &report.original, None, float, shown(float_bytes)));
    let loss = report.history[0].verdict.loss;
    table.add_row(row("all quantized", &report.scores[0], Some(loss), first, String::new()));
    if let Some(outcome) = &report.outcome {
        for saved in &report.rescored {
            let path = files.file_of(&saved.name);
            let label = format!("{} file", saved.name);
            table.add_row(row(&label, &saved.score, Some(saved.verdict.loss), result, size(path)));
        }
        if report.rescored.is_empty() {
            let loss = report.history[report.best().unwrap_or(report.closest)].verdict.loss;
            table.add_row(row("result", &outcome.score, Some(loss), result, size(files.first_deploy())));
        }
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// The losses of the result with their goals and confidence intervals, or the metrics themselves where the goals are bounds, if
/// the noise is known.
fn losses(goals: &[Goal], confidence: Confidence, report: &Report<Score>) -> Option<Table> {
    let result = report.final_score()?;
    let is_bound = |goal: &Goal| matches!(goal.target, Target::Bound(_));
    let what = match (goals.iter().any(is_bound), goals.iter().all(is_bound)) {
        (false, _) => "loss",
        (_, true) => "result",
        _ => "loss or result",
    };
    let header = ["", "goal", what, "standard error", &format!("{} interval", confidence.shown()), ""];
    let mut table = plain(header.map(str::to_owned).to_vec());
    let samples = report.original.effort.samples.map_or(String::new(), |n| format!(" of {n} samples"));
    for (idx, goal) in goals.iter().enumerate() {
        let interval_of_loss = interval(goal, idx, &report.original, result, confidence)?;
        let mut remarks = Vec::new();
        if interval_of_loss.is_noise() && !is_bound(goal) {
            remarks.push(format!("within the noise{samples}"));
        }
        let is_met = goal.judge(report.original.values[idx], result.values[idx]).satisfied;
        if !interval_of_loss.is_sure && is_met {
            remarks.push("may miss the target on other data".to_owned());
        }
        let Interval { loss, standard_error, ends, .. } = interval_of_loss;
        let (shown, (standard_error, [least, most])) = match is_bound(goal) {
            true => (result.values[idx], interval_of_value(idx, result, confidence, goal.bounds)?),
            false => (loss, (standard_error, ends)),
        };
        table.add_row([
            goal.name.clone(),
            goal.shown(),
            format!("{shown:.6}"),
            format!("{standard_error:.6}"),
            format!("{least:.6} to {most:.6}"),
            remarks.join(", "),
        ]);
    }
    table
        .column_iter_mut()
        .skip(1)
        .take(4)
        .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    Some(table)
}

/// The layers that were rolled back, and the most sensitive of the others.
fn layers(report: &Report<Score>, outcome: &Outcome<Score>) -> Table {
    let mut table = plain(["layer", "", "similarity", "multiply-adds"].map(str::to_owned).to_vec());
    let rows = report.ranking.0.iter().flat_map(|entry| entry.layers.iter().map(move |layer| (layer, entry)));
    let mut n_quantized = 0;
    for (layer, entry) in rows {
        let is_rolled_back = outcome.rolled_back.contains(layer);
        n_quantized += usize::from(!is_rolled_back);
        if !is_rolled_back && n_quantized > QUANTIZED_SHOWN {
            continue;
        }
        table.add_row([
            report.table.name(*layer).to_owned(),
            outcome.arithmetic.get(*layer).name().to_owned(),
            format!("{:.6}", entry.similarity),
            if entry.cost == 0 { "?".to_owned() } else { entry.cost.to_string() },
        ]);
    }
    table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// An empty table without borders.
pub(super) fn plain(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table
}

/// The number of trials, the reason for the end, and whether the result is 1-minimal.
fn trials(report: &Report<Score>, elapsed: Duration) -> String {
    let n_trials = report.history.len();
    let n_stopped = report.scores.iter().filter(|score| score.stopped_after.is_some()).count();
    let mut remarks = Vec::new();
    if n_stopped > 0 {
        remarks.push(format!("{n_stopped} stopped early"));
    }
    if report.n_recalled > 0 {
        remarks.push(format!("{} recalled", report.n_recalled));
    }
    let remarks = if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join(", ")) };
    let plural = if n_trials == 1 { "" } else { "s" };
    let speed = trials_per_second(report, elapsed);
    let best = report.outcome.as_ref().filter(|_| report.best().is_some());
    let end = match (best, report.ending) {
        (_, Ending::OutOfTrials) => "the limit of trials is reached",
        (_, Ending::OutOfTime) => "the time budget is used up",
        (_, Ending::Interrupted) => "interrupted",
        (None, _) => "no trial is left",
        (Some(outcome), _) if outcome.rolled_back.is_empty() => {
            let counts = outcome.arithmetic.counts();
            match counts.float {
                _ if counts.int8 == counts.total() => "every layer is in int8",
                0 => "every layer is quantized",
                _ => "no layer is rolled back",
            }
        }
        (Some(_), _) => "the strategy has ended",
    };
    let minimal = match (best, report.untried().len()) {
        (Some(quantized), _) if quantized.rolled_back.is_empty() => String::new(),
        (None, _) => String::new(),
        (_, 0) => "; no single layer in float can be put back into int8".to_owned(),
        (_, n) => format!("; {n} of the layers in float were not tried in int8 alone"),
    };
    format!(
        "{n_trials} trial{plural}{remarks} in {:.1} s, {speed:.1} a second: {end}{minimal}",
        elapsed.as_secs_f64()
    )
}
