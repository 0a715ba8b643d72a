//! The page as a whole: its order, the trials and the sensitivity of the layers.

use super::facts::{Facts, Layer, Trial};
use super::numbers::{counted, digits, loss, metric, shortened, similarity, visible};
use super::palette;
use super::verdict::met;
use super::{graph_drawing, layer_table, plots, run_section, verdict};
use crate::layer_graph::LayerGraph;
use intact8_quant::calibration::ValueHistogram;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::collections::BTreeMap;

/// Nothing may be loaded from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The number of layers that are listed beside the plot of sensitivities, and of rolled-back layers that a trial lists.
const MOST_LISTED: usize = 8;

pub(super) fn page(
    facts: &Facts,
    graph: &LayerGraph,
    histograms: &BTreeMap<String, ValueHistogram>,
) -> Markup {
    let title = match facts.target_met {
        Some(true) => "target met",
        Some(false) => "target missed",
        None => "quantized",
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "intact8: " (title) @if let Some(model) = &facts.model { " – " (shortened(model, 80)) } }
                style { (PreEscaped(palette::css())) (PreEscaped(include_str!("page.css"))) }
            }
            body {
                main {
                    (verdict::section(facts))
                    (trials(facts))
                    (sensitivity(facts))
                    (graph_drawing::section(facts, graph))
                    (layer_table::section(facts, histograms))
                    (run_section::section(facts))
                }
                script { (PreEscaped(include_str!("page.js"))) }
            }
        }
    }
}

fn trials(facts: &Facts) -> Markup {
    // A single trial is the row of all layers quantized in the table of metrics.
    if facts.trials.len() < 2 {
        return html! {};
    }
    let plots =
        [(plots::by_layers(facts), "Metric by layers in float"), (plots::in_order(facts), "Trials in order")];
    let n_stopped = facts.trials.iter().filter(|trial| trial.stopped_after.is_some()).count();
    let name = facts.goals.first().map(|goal| shortened(&goal.metric, 30)).unwrap_or_default();
    html! {
        section id="trials" {
            h2 { "Search" }
            p class="note" {
                (counted(facts.trials.len(), "trial")) " of " (name) ": green meets the target, red misses it"
                @if n_stopped > 0 {
                    "; hollow ones (" (n_stopped) ") stopped early and show the best value that they could still have reached"
                }
                ". "
                @if facts.target_met == Some(true) && facts.one_minimal {
                    "No single layer in float can be put back into int8."
                } @else if facts.target_met == Some(true) && !facts.untried.is_empty() {
                    (counted(facts.untried.len(), "layer")) " in float were not tried in int8 alone."
                }
            }
            div class="columns" {
                @for (plot, title) in plots {
                    @if let Some(svg) = plot {
                        figure class="plot" { figcaption { (title) } (PreEscaped(svg)) }
                    }
                }
            }
            details { summary { "All trials" } (trial_table(facts)) }
        }
    }
}

fn trial_table(facts: &Facts) -> Markup {
    let target = facts.goals.first().map(|goal| goal.target.as_str()).unwrap_or_default();
    let has_ladder = facts.trials.iter().any(|trial| !trial.ladder.is_empty());
    html! {
        div class="scroll tall" {
            table {
                thead {
                    tr {
                        th class="number" { "#" }
                        th class="number" { "in float" }
                        @for goal in &facts.goals { th class="number" { (shortened(&goal.metric, 30)) } }
                        th class="number" { "loss" }
                        th { "target" }
                        th class="number" { "samples" }
                        th class="number" { "seconds" }
                        @if has_ladder { th { "ladder" } }
                        th { "layers in float" }
                    }
                }
                tbody {
                    @for (idx, trial) in facts.trials.iter().enumerate() {
                        tr {
                            td class="number muted" { (idx + 1) }
                            td class="number" { (trial.rolled_back.len()) }
                            @for value in &trial.metrics { td class="number" { (metric(*value)) } }
                            td class="number" { (loss(trial.loss, target)) }
                            td {
                                (met(trial.satisfied))
                                @if trial.stopped_after.is_some() { span class="muted" { " early" } }
                                @if let Some(runtime) = &trial.missed_in { span class="muted" { " verified in " (visible(runtime)) } }
                            }
                            td class="number" { @if let Some(samples) = trial.samples { (samples) } }
                            td class="number" { (digits(trial.seconds, 2)) }
                            @if has_ladder {
                                td { (listed(trial.ladder.iter().map(|(layer, rung)| format!("{layer} ({rung})")))) }
                            }
                            td class="name muted" { (rolled_back(trial)) }
                        }
                    }
                }
            }
        }
    }
}

fn rolled_back(trial: &Trial) -> String {
    listed(trial.rolled_back.iter().cloned())
}

/// A few names, and the number of the others.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let n_further = names.len().saturating_sub(MOST_LISTED);
    let shown: Vec<String> = names.take(MOST_LISTED).map(|name| shortened(&name, 60)).collect();
    let further = if n_further > 0 { format!(" and {n_further} more") } else { String::new() };
    shown.join(", ") + &further
}

fn sensitivity(facts: &Facts) -> Markup {
    let Some(plot) = plots::sensitivity(facts) else { return html! {} };
    let mut layers: Vec<(f64, &Layer)> =
        facts.layer_details.iter().filter_map(|layer| Some((layer.similarity?, layer))).collect();
    layers.sort_by(|a, b| a.0.total_cmp(&b.0));
    html! {
        section id="sensitivity" {
            h2 { "Sensitivity" }
            p class="note" {
                "The difference that quantizing a layer alone makes, the most sensitive layer first: " (visible(&plot.measure)) "."
                @if plot.layers_of_bar > 1 {
                    " A bar is the most sensitive of " (plot.layers_of_bar) " layers."
                }
            }
            (graph_drawing::legend(facts))
            figure class="plot" { (PreEscaped(plot.svg)) }
            ol class="sensitive" {
                @for (value, layer) in layers.iter().take(MOST_LISTED) {
                    li {
                        i style={ "background:var(--" (palette::of_arithmetic(&layer.arithmetic).name) ")" } {}
                        span class="name" { (shortened(&layer.layer, 60)) }
                        span class="muted" { (similarity(*value)) }
                    }
                }
            }
        }
    }
}
