//! The end of the page: what was done to the model, with which settings, versions and data, and the way to do it again.

use super::facts::Facts;
use super::numbers::{counted, digits, shortened, visible};
use maud::{Markup, html};
use serde_json::Value;

pub(super) fn section(facts: &Facts) -> Markup {
    html! {
        section id="run" {
            h2 { "Run" }
            div class="columns" {
                div { (preparation(facts)) (data(facts)) }
                div { (settings(facts)) }
            }
            (reproduction(facts))
        }
    }
}

fn preparation(facts: &Facts) -> Markup {
    let preparation = &facts.preparation;
    let treated = |stage: &str| {
        facts.layer_details.iter().filter(|layer| layer.calibration.iter().any(|it| it == stage)).count()
    };
    let stages = [
        ("Weights changed by equalization or folding", preparation.changed_layers),
        ("Inputs smoothed", treated("smoothed")),
        ("Rounding of weights fitted to the data", treated("fitted rounding")),
        ("Biases corrected", treated("corrected bias")),
    ];
    html! {
        h3 { "Preparation and calibration" }
        table {
            tbody {
                @for (name, n) in stages.iter().filter(|(_, n)| *n > 0) {
                    tr { td { (name) } td class="number" { (counted(*n, "layer")) } }
                }
                @for (operator, [before, after]) in &preparation.operators {
                    tr { td { (shortened(operator, 60)) " nodes" } td class="number" { (before) " → " (after) } }
                }
                @if stages.iter().all(|(_, n)| *n == 0) && preparation.operators.is_empty() {
                    tr { td class="muted" { "The model was quantized as it is." } }
                }
            }
        }
    }
}

fn settings(facts: &Facts) -> Markup {
    let is_set = |value: &Value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty());
    html! {
        h3 { "Settings" }
        table {
            tbody {
                tr { td { "intact8" } td class="value" { (visible(&facts.version)) } }
                @if let Some(runtime) = &facts.runtime { tr { td { "runtime" } td class="value" { (visible(runtime)) } } }
                @for (name, value) in facts.settings.iter().filter(|(_, value)| is_set(value)) {
                    tr { td { (visible(name)) } td class="value" { (shown(value)) } }
                }
            }
        }
    }
}

/// A setting as text.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => shortened(text, 200),
        Value::Bool(is_on) => if *is_on { "yes" } else { "no" }.to_owned(),
        Value::Array(items) => {
            let shown: Vec<String> = items.iter().take(12).map(shown).collect();
            let further =
                if items.len() > 12 { format!(" and {} more", items.len() - 12) } else { String::new() };
            shown.join(", ") + &further
        }
        other => shortened(&other.to_string(), 200),
    }
}

fn data(facts: &Facts) -> Markup {
    if facts.fingerprints.is_empty() {
        return html! {};
    }
    html! {
        h3 { "Data (SHA-256)" }
        table {
            tbody {
                @for file in &facts.fingerprints {
                    tr {
                        td { (visible(&file.what)) }
                        td class="path" { (shortened(&file.file, 200)) span class="hash" { (visible(&file.sha256)) } }
                    }
                }
            }
        }
    }
}

fn reproduction(facts: &Facts) -> Markup {
    html! {
        @if let Some(command) = &facts.command {
            h3 { "To do it again" }
            pre { code { (visible(command)) } }
        }
        @if !facts.files.is_empty() {
            h3 { "Files" }
            ul class="files" { @for file in &facts.files { li class="path" { (shortened(file, 300)) } } }
        }
        p class="note" {
            @if facts.target_met.is_none() {
                "Calibrated and written in " (digits(facts.seconds, 3)) " s; `intact8 compare` shows the error of each value."
            } @else {
                (counted(facts.trials.len(), "trial")) " in " (digits(facts.seconds, 3)) " s; the search ended: " (visible(&facts.ending)) "."
            }
        }
    }
}
