//! The report as one HTML page: [`html_report()`] makes it of `report.json` and the graph of the model.
//!
//! The page needs no network and no script: plots are SVG, colours follow the scheme of the reader, and a small script sorts and
//! filters the table of layers and zooms the graph. Markup is made by `maud`, which escapes all text, since names are those of the
//! model.

mod blocks;
mod columns;
mod facts;
mod graph_drawing;
mod layer_table;
mod layout;
mod numbers;
mod page;
mod palette;
mod plots;
mod run_section;
mod verdict;

use crate::layer_graph::LayerGraph;
use facts::Facts;
use intact8_ir::{Error, Result};
use intact8_quant::calibration::ValueHistogram;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The page for a report, whose keys are in `docs/files.md`. `graph` is that of the prepared model; `histograms` are the distributions
/// of activations by name of the layer.
///
/// # Errors
/// If a key of the report has another type.
pub fn html_report(
    report: &Value,
    graph: &LayerGraph,
    histograms: &BTreeMap<String, ValueHistogram>,
) -> Result<String> {
    let facts =
        Facts::deserialize(report).map_err(|error| Error::invalid_data(error.to_string()).at("report"))?;
    Ok(page::page(&facts, graph, histograms).into_string())
}

#[cfg(test)]
mod tests;
