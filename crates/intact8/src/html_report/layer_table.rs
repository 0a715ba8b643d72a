//! The table of layers. A column of which no layer has data is left out.

use super::facts::{Facts, Layer, Measurements};
use super::numbers::{count, counted, decibels, digits, shortened, similarity, visible};
use super::palette::of_arithmetic;
use intact8_quant::calibration::ValueHistogram;
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The size of the drawing of a distribution in pixels.
const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 22.0;
/// The number of layers above which distributions have half of their bins.
const MANY: usize = 600;
/// The length of a name above which its middle is left out; the whole is in the title.
const NAME_LENGTH: usize = 120;
/// The length above which the title, too, is shortened.
const TITLE_LENGTH: usize = 2000;

/// A column that may be left out.
#[derive(Clone, Copy, PartialEq)]
enum Column {
    Similarity,
    Sqnr,
    MultiplyAdds,
    Time,
    Range,
    Distribution,
    Calibration,
}

pub(super) fn section(facts: &Facts, histograms: &BTreeMap<String, ValueHistogram>) -> Markup {
    let layers = &facts.layer_details;
    if layers.is_empty() {
        return html! {};
    }
    let has = |column: &Column| {
        layers.iter().any(|layer| match column {
            Column::Similarity => layer.similarity.is_some(),
            Column::Sqnr => layer.sqnr.is_some(),
            Column::MultiplyAdds => layer.multiply_adds.is_some(),
            Column::Time => layer.float_ms.or(layer.int8_ms).is_some(),
            Column::Range => layer.range.is_some(),
            Column::Distribution => histograms.contains_key(&layer.layer),
            Column::Calibration => !layer.calibration.is_empty(),
        })
    };
    let all = [
        Column::Similarity,
        Column::Sqnr,
        Column::MultiplyAdds,
        Column::Time,
        Column::Range,
        Column::Distribution,
        Column::Calibration,
    ];
    let columns: Vec<Column> = all.into_iter().filter(has).collect();
    html! {
        section id="layers" {
            h2 { "Layers" }
            (measured(&facts.layer_measurements))
            p class="filter" hidden {
                input type="search" placeholder="Filter by name, operator, precision or reason" aria-label="Filter layers";
                span class="muted" { (counted(layers.len(), "layer")) }
            }
            div class="scroll tall" {
                table class="layers" {
                    thead {
                        tr {
                            th data-sort="number" class="number" { "#" }
                            th data-sort="text" { "layer" }
                            th data-sort="text" { "operator" }
                            th data-sort="text" { "precision" }
                            @for column in &columns { (heading(*column, facts)) }
                        }
                    }
                    tbody {
                        @for (idx, layer) in layers.iter().enumerate() {
                            tr {
                                td class="number muted" { (idx + 1) }
                                (name_cell(layer))
                                td { (visible(&layer.operator)) }
                                td {
                                    span class="precision" {
                                        i style={ "background:var(--" (of_arithmetic(&layer.arithmetic).name) ")" } {}
                                        (visible(&layer.arithmetic))
                                    }
                                }
                                @for column in &columns { (cell(*column, layer, histograms, layers.len())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How the layers were measured.
fn measured(measurements: &Measurements) -> Markup {
    let Measurements { sqnr, latency } = measurements;
    html! {
        @if sqnr.is_some() || latency.is_some() {
            p class="note" {
                @if let Some(noise) = sqnr {
                    "SQNR: signal to quantization noise of the output of a layer when it alone is quantized, on "
                    (counted(noise.samples, "calibration sample")) ". "
                }
                @if let Some(times) = latency {
                    "ms: the least time in " (visible(&times.measured_by)) " over " (counted(times.runs, "run")) ", with "
                    (counted(times.threads, "thread")) " and batch " (times.batch) ", in the original → in the deploy model; what it merges with a layer counts for that. All nodes "
                    "take " (digits(times.float_ms, 3)) " ms and "
                    (digits(times.int8_ms, 3)) " ms."
                }
            }
        }
    }
}

fn heading(column: Column, facts: &Facts) -> Markup {
    match column {
        Column::Similarity => {
            html! { th data-sort="number" class="number" { (visible(facts.sensitivity())) } }
        }
        Column::MultiplyAdds => html! { th data-sort="number" class="number" { "multiply-adds" } },
        Column::Sqnr => html! { th data-sort="number" class="number" { "SQNR" } },
        Column::Time => html! { th data-sort="number" class="number" { "ms" } },
        Column::Range => html! { th data-sort="number" class="number" { "range in integers" } },
        Column::Distribution => html! { th { "input values" } },
        Column::Calibration => html! { th data-sort="text" { "calibration" } },
    }
}

fn name_cell(layer: &Layer) -> Markup {
    let is_long = layer.layer.chars().count() > NAME_LENGTH;
    html! {
        td class="name" title=[is_long.then(|| shortened(&layer.layer, TITLE_LENGTH))] {
            (shortened(&layer.layer, NAME_LENGTH))
            @if let Some(why) = &layer.why { span class="why" { (shortened(why, 300)) } }
        }
    }
}

fn cell(
    column: Column,
    layer: &Layer,
    histograms: &BTreeMap<String, ValueHistogram>,
    n_layers: usize,
) -> Markup {
    match column {
        Column::Similarity => html! {
            td class="number" data-value=[layer.similarity] { @if let Some(value) = layer.similarity { (similarity(value)) } }
        },
        Column::MultiplyAdds => html! {
            td class="number" data-value=[layer.multiply_adds] { @if let Some(n) = layer.multiply_adds { (count(n)) } }
        },
        Column::Sqnr => html! {
            td class="number" data-value=[layer.sqnr] { @if let Some(value) = layer.sqnr { (decibels(value)) } }
        },
        Column::Time => time(layer),
        Column::Range => {
            let range = finite(layer.range);
            html! {
                td class="number range" data-value=[range.map(|[min, max]| max - min)] {
                    @if let Some([min, max]) = range { (digits(min, 3)) " … " (digits(max, 3)) }
                }
            }
        }
        Column::Distribution => html! {
            td class="distribution" {
                @if let Some(histogram) = histograms.get(&layer.layer) {
                    (distribution(histogram, finite(layer.range), n_layers > MANY))
                }
            }
        },
        Column::Calibration => html! { td class="muted stages" { (stages(layer)) } },
    }
}

/// The time before and after.
fn time(layer: &Layer) -> Markup {
    let shown =
        |milliseconds: Option<f64>| milliseconds.map_or_else(|| "–".to_owned(), |value| digits(value, 3));
    html! {
        td class="number range" data-value=[layer.float_ms.or(layer.int8_ms)] {
            @if layer.float_ms.or(layer.int8_ms).is_some() { (shown(layer.float_ms)) " → " (shown(layer.int8_ms)) }
        }
    }
}

/// The stages of calibration in few words.
fn stages(layer: &Layer) -> String {
    let shown = layer.calibration.iter().map(|stage| match stage.as_str() {
        "fitted rounding" => "rounding".to_owned(),
        "corrected bias" => "bias".to_owned(),
        other => visible(other),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn finite(range: Option<[Option<f64>; 2]>) -> Option<[f64; 2]> {
    let [min, max] = range?;
    Some([min?, max?]).filter(|[min, max]| min <= max)
}

/// A distribution with the part outside of the range in another colour. Heights are square roots, so that small counts show.
fn distribution(histogram: &ValueHistogram, range: Option<[f64; 2]>, is_coarse: bool) -> Markup {
    let per_bar = if is_coarse { 2 } else { 1 };
    let counts: Vec<u64> = histogram.counts.chunks(per_bar).map(|counts| counts.iter().sum()).collect();
    let (min, max) = (f64::from(histogram.min), f64::from(histogram.max));
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let width = WIDTH / counts.len().max(1) as f64;
    let mut path = format!("M0 {HEIGHT}");
    for (idx, count) in counts.iter().enumerate() {
        let height = (*count as f64 / most as f64).sqrt() * (HEIGHT - 1.0);
        // Writing to a string does not fail.
        let _ = write!(path, "V{:.0}H{:.0}", HEIGHT - height.ceil(), (idx + 1) as f64 * width);
    }
    let _ = write!(path, "V{HEIGHT}Z");
    let place = |value: f64| ((value - min) / (max - min) * WIDTH).clamp(0.0, WIDTH).round();
    let title = format!("{} … {}", digits(min, 4), digits(max, 4));
    html! {
        svg width=(WIDTH) height=(HEIGHT) role="img" aria-label=(title) {
            title { (title) @if let Some([low, high]) = range { ", clipped to " (digits(low, 4)) " … " (digits(high, 4)) } }
            path d=(path) {}
            @if let Some([low, high]) = range {
                @if place(low) > 0.0 { rect class="clipped" width=(place(low)) height=(HEIGHT) {} }
                @if place(high) < WIDTH {
                    rect class="clipped" x=(place(high)) width=(WIDTH - place(high)) height=(HEIGHT) {}
                }
            }
        }
    }
}
