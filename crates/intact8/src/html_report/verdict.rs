//! The head of the page: whether the target is met, by what, and the file to ship.

use super::facts::{Counts, Facts, Goal};
use super::numbers::{bytes, counted, digits, loss, metric, ratio, shortened, visible};
use super::palette::of_arithmetic;
use maud::{Markup, html};
use std::path::Path;

pub(super) fn section(facts: &Facts) -> Markup {
    let (class, verdict) = match (facts.target_met, facts.deploy_file.is_some()) {
        (Some(true), _) => ("met", "Target met"),
        (Some(false), true) => ("missed", "Target missed; this is the closest model"),
        (Some(false), false) => ("missed", "Target missed; no model was written"),
        (None, _) => ("unscored", "Quantized; nothing was scored"),
    };
    html! {
        header {
            p class="kicker" { "intact8 report" @if let Some(model) = &facts.model { " · " (shortened(model, 90)) } }
            h1 class=(class) { (verdict) }
            @for goal in &facts.goals { p class="lead" { (sentence(goal)) } }
            @if let Some(failure) = &facts.failure { p class="warning" { "Scoring failed: " (visible(failure)) } }
            @if let Some(why) = &facts.kept_float { p class="warning" { "Every layer stays in float: " (visible(why)) } }
            @for warning in &facts.warnings { p class="warning" { (visible(warning)) } }
            @for warning in facts.sizes.iter().filter_map(|size| Some((&size.file, size.warning.as_ref()?))) {
                p class="warning" { (file_name(warning.0)) " " (visible(warning.1)) }
            }
        }
        (tiles(facts))
        (metrics(facts))
    }
}

fn file_name(path: &str) -> String {
    shortened(&Path::new(path).file_name().unwrap_or_default().to_string_lossy(), 60)
}

/// The result for a goal in a sentence.
fn sentence(goal: &Goal) -> Markup {
    let name = shortened(&goal.metric, 40);
    let is_bound = goal.is_bound();
    let Some(result) = goal.result else {
        let quantized = metric(goal.all_quantized);
        return html! {
            b { (name) " " (quantized) } " with all layers quantized"
            @if !is_bound { ", of " (metric(goal.original)) }
            "; " (target(goal)) "."
        };
    };
    html! {
        b { (name) " " (metric(Some(result))) }
        @if !is_bound { " of " (metric(goal.original)) }
        @if let Some(found) = goal.loss.as_ref().filter(|_| !is_bound) {
            ": " (loss(found.loss, &goal.target)) " lost"
            @if let Some([least, most]) = found.interval {
                " (" (digits(found.confidence * 100.0, 4)) " % interval " (loss(least, &goal.target)) " to "
                (loss(most, &goal.target)) ")"
            }
        }
        "; " (target(goal)) "."
        @if goal.loss.as_ref().is_some_and(|loss| loss.is_noise && !is_bound) { " The loss is within the noise of the data." }
        @if goal.loss.as_ref().is_some_and(|loss| !loss.is_sure) { " Other data may miss the target." }
    }
}

fn target(goal: &Goal) -> String {
    let limit = metric(goal.limit);
    match (goal.target.strip_prefix(">="), goal.target.strip_prefix("<=")) {
        (Some(_), _) => format!("at least {limit} is required"),
        (_, Some(_)) => format!("at most {limit} is required"),
        _ => format!("{} may be lost", visible(&goal.target).replace('%', " %")),
    }
}

fn tiles(facts: &Facts) -> Markup {
    if facts.counts.result.is_none() && facts.latency.is_none() && facts.deploy_file.is_none() {
        return html! {};
    }
    html! {
        dl class="tiles" {
            @if let Some(counts) = facts.counts.result {
                div class="wide" { dt { "Layers" } dd { (layers(counts)) } }
            }
            @if let Some(share) = facts.int8_share().filter(|_| facts.counts.result.is_some()) {
                div { dt { "Multiply-adds in int8" } dd { (digits(share * 100.0, 3)) " %" } }
            }
            @if let (Some(before), Some(after)) = (facts.original_bytes, facts.shipped_bytes()) {
                div {
                    dt { "Size" }
                    dd { (ratio(before as f64 / after.max(1) as f64)) " smaller" }
                    dd class="muted" { (bytes(before)) " → " (bytes(after)) }
                }
            }
            @if let Some(latency) = &facts.latency {
                div {
                    dt { "Latency" }
                    dd {
                        @match latency.speedup {
                            Some(speedup) if speedup < 1.0 => { (ratio(1.0 / speedup)) " slower" },
                            Some(speedup) => { (ratio(speedup)) " faster" },
                            None => "–",
                        }
                    }
                    dd class="muted" { (milliseconds(latency.float.least_ms)) " → " (milliseconds(latency.int8.least_ms)) }
                    dd class="muted" {
                        (visible(&latency.measured_by))
                        @if let Some(threads) = latency.threads { ", " (counted(threads as usize, "thread")) }
                        @if let Some(batch) = latency.batch { ", batch " (batch) }
                    }
                }
            }
            @if let Some(file) = &facts.deploy_file {
                div class="wide" { dt { "Ship" } dd class="path" { (visible(file)) } }
            }
        }
    }
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{} ms", digits(value, 3)))
}

/// The number of layers in each arithmetic, with a bar of their parts.
fn layers(counts: Counts) -> Markup {
    let named = [
        ("int8", counts.int8),
        ("int16", counts.int16),
        ("weights only", counts.weights_only),
        ("float", counts.float),
    ];
    let all: usize = named.iter().map(|(_, n)| n).sum();
    let used = || named.iter().filter(|(_, n)| *n > 0);
    html! {
        div class="parts" aria-hidden="true" {
            @for (name, n) in used() {
                i style={ "flex:" (n) ";background:var(--" (of_arithmetic(name).name) ")" } {}
            }
        }
        span class="legend" {
            @for (name, n) in used() {
                span { i style={ "background:var(--" (of_arithmetic(name).name) ")" } {} b { (n) } " " (name) }
            }
            span class="muted" { "of " (all) }
        }
    }
}

/// The metrics of the original, of the first trial and of the written files.
fn metrics(facts: &Facts) -> Markup {
    if facts.goals.is_empty() {
        return html! {};
    }
    let value = |found: Option<&Option<f64>>| metric(found.copied().flatten());
    html! {
        section id="metrics" {
            h2 { "Metrics" }
            div class="scroll" {
                table class="narrow" {
                    thead {
                        tr {
                            th {} @for goal in &facts.goals { th class="number" { (shortened(&goal.metric, 30)) } }
                            th { "target" }
                        }
                    }
                    tbody {
                        tr { td { "required" } @for goal in &facts.goals { td class="number" { (metric(goal.limit)) } } td {} }
                        tr { td { "original" } @for goal in &facts.goals { td class="number" { (metric(goal.original)) } } td {} }
                        tr {
                            td { "all layers quantized" }
                            @for goal in &facts.goals { td class="number" { (metric(goal.all_quantized)) } }
                            td {}
                        }
                        @for saved in &facts.rescored {
                            tr {
                                td { (visible(&saved.model)) " file" }
                                @for idx in 0..facts.goals.len() { td class="number" { (value(saved.metrics.get(idx))) } }
                                td { (met(saved.satisfied)) }
                            }
                            @if let Some(verified) = &saved.verified {
                                tr class="muted" {
                                    td { "verified in " (visible(&verified.runtime)) }
                                    @for idx in 0..facts.goals.len() { td class="number" { (value(verified.metrics.get(idx))) } }
                                    td {}
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Whether a target is met, in colour.
pub(super) fn met(satisfied: bool) -> Markup {
    html! { span class=(if satisfied { "met" } else { "missed" }) { (if satisfied { "met" } else { "missed" }) } }
}
