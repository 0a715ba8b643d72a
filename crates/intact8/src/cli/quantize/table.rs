//! The tables that are printed at the end of a search.

use crate::cli::print_line;
use comfy_table::{CellAlignment, Table, presets};
use intact8::quant::layer::LayerSet;
use intact8::search::Ending;
use intact8::{
    Confidence, Goal, Interval, OutputFiles, Report, Score, interval, names_by_rank, saved_bytes,
    trials_per_second,
};
use std::path::Path;
use std::time::Duration;

/// The number of layers in int8 that are shown, the most sensitive ones.
const INT8_SHOWN: usize = 3;

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
        print_line(&layers(report, &outcome.rolled_back).to_string());
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

/// Metrics, losses, layers and sizes of the original, the first trial and the result.
fn scores(goals: &[Goal], report: &Report<Score>, files: &OutputFiles, float_bytes: u64) -> Table {
    let mut header = vec![String::new()];
    header.extend(goals.iter().map(|goal| goal.name.clone()));
    header.extend(["loss", "layers in int8", "layers in float", "size"].map(str::to_owned));
    let mut table = plain(header);
    let n_layers = report.layers.len();
    let shown = |bytes: u64| format!("{:.1} kB", bytes as f64 / 1000.0);
    let size = |path: &Path| match saved_bytes(path) {
        0 => String::new(),
        bytes => shown(bytes),
    };
    let row = |label: &str, score: &Score, loss: Option<f64>, n_float: usize, size: String| {
        let mut row = vec![label.to_owned()];
        row.extend(score.values.iter().map(|value| format!("{value:.6}")));
        row.push(loss.map_or(String::new(), |loss| format!("{loss:.6}")));
        row.extend([n_layers - n_float, n_float].map(|n| n.to_string()));
        row.push(size);
        row
    };
    table.add_row(row("original", &report.original, None, n_layers, shown(float_bytes)));
    let first = &report.history[0];
    table.add_row(row("all quantized", &report.scores[0], Some(first.verdict.loss), 0, String::new()));
    if let Some(outcome) = &report.outcome {
        let n_float = outcome.rolled_back.len();
        for saved in &report.rescored {
            let path = files.file_of(&saved.name);
            let label = format!("{} file", saved.name);
            table.add_row(row(&label, &saved.score, Some(saved.verdict.loss), n_float, size(path)));
        }
        if report.rescored.is_empty() {
            let loss = report.history[report.best().unwrap_or(report.closest)].verdict.loss;
            table.add_row(row("result", &outcome.score, Some(loss), n_float, size(files.first_deploy())));
        }
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// The losses of the result with their goals and confidence intervals, if the noise is known.
fn losses(goals: &[Goal], confidence: Confidence, report: &Report<Score>) -> Option<Table> {
    let result = report.final_score()?;
    let header = ["", "goal", "loss", "standard error", &format!("{} interval", confidence.shown()), ""];
    let mut table = plain(header.map(str::to_owned).to_vec());
    let samples = report.original.effort.samples.map_or(String::new(), |n| format!(" of {n} samples"));
    for (idx, goal) in goals.iter().enumerate() {
        let interval_of_loss = interval(goal, idx, &report.original, result, confidence)?;
        let Interval { loss, standard_error, ends: [least, most], is_sure } = interval_of_loss;
        let mut remarks = Vec::new();
        if interval_of_loss.is_noise() {
            remarks.push(format!("within the noise{samples}"));
        }
        if !is_sure && goal.judge(report.original.values[idx], result.values[idx]).satisfied {
            remarks.push("may miss the target on other data".to_owned());
        }
        table.add_row([
            goal.name.clone(),
            goal.shown(),
            format!("{loss:.6}"),
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
fn layers(report: &Report<Score>, rolled_back: &LayerSet) -> Table {
    let mut table = plain(["layer", "", "similarity", "multiply-adds"].map(str::to_owned).to_vec());
    let rows = report.ranking.0.iter().flat_map(|entry| entry.layers.iter().map(move |layer| (layer, entry)));
    let mut n_int8 = 0;
    for (layer, entry) in rows {
        let is_float = rolled_back.contains(layer);
        n_int8 += usize::from(!is_float);
        if !is_float && n_int8 > INT8_SHOWN {
            continue;
        }
        let kind = if is_float { "float" } else { "int8" };
        table.add_row([
            report.table.name(*layer).to_owned(),
            kind.to_owned(),
            format!("{:.6}", entry.similarity),
            if entry.cost == 0 { "?".to_owned() } else { entry.cost.to_string() },
        ]);
    }
    table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// An empty table without borders.
fn plain(header: Vec<String>) -> Table {
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
        (Some(quantized), _) if quantized.rolled_back.is_empty() => "every layer is in int8",
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
