//! What a report states of each layer: its arithmetic and the reason for it, sensitivity, cost, range, and what calibration did to it, and what was measured of it.

use crate::layer_measurements::LayerMeasurements;
use crate::quantize::UnscoredResult;
use intact8_calibrate::FloatModel;
use intact8_ir::Model;
use intact8_quant::calibration::ValueHistogram;
use intact8_quant::config::restricted_layer;
use intact8_quant::layer::{Layer, LayerId, LayerKind, QUANTIZABLE, nodes};
use intact8_quant::{Arithmetic, LayerArithmetic, LayerRecord, Prepared, QuantConfig, QuantParams, Record};
use intact8_search::{Report, Rungs};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a report states of one layer, or of a node that would be a layer if it could be quantized.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerDetail {
    /// Its name.
    pub layer: String,
    /// Its operator.
    pub operator: String,
    /// Its arithmetic on the target: `int8`, `int16`, `weights only` or `float`. Without a result, that of the closest trial.
    pub arithmetic: &'static str,
    /// Why it is not wholly in integers; `None` if it is.
    pub why: Option<String>,
    /// The similarity of its quantized output to the original, if the layers were ranked.
    pub similarity: Option<f64>,
    /// The multiply-accumulate operations for one sample; `None` if it does not multiply, or they are not known.
    pub multiply_adds: Option<u64>,
    /// The range of its first activation that the integers cover, if it is quantized.
    pub range: Option<[f32; 2]>,
    /// The least and the greatest value of its first activation in the calibration data, if it was observed.
    pub observed: Option<[f32; 2]>,
    /// What calibration did to it: `smoothed`, `fitted rounding`, `corrected bias`.
    pub calibration: Vec<&'static str>,
    /// The signal-to-quantization-noise ratio of its output in decibels when it alone is quantized, if it was measured; see
    /// [`LayerMeasurements`].
    pub sqnr: Option<f64>,
    /// Its time in the original in milliseconds, if it was measured.
    pub float_ms: Option<f64>,
    /// Its time in the first deploy model in milliseconds, if it was measured.
    pub int8_ms: Option<f64>,
}

impl LayerDetail {
    /// The layers of a prepared model, in topological order of each graph.
    pub(crate) fn of_layers(prepared: &Prepared, facts: &LayerFacts<'_>) -> Vec<LayerDetail> {
        let model = prepared.model();
        let mut details = Vec::new();
        for graph in model.graph_ids() {
            for (node, found) in nodes(model, graph) {
                match found {
                    Some(Ok(layer)) => {
                        let id = prepared.layers().id(&layer.name);
                        let id = id.filter(|id| facts.arithmetic.0.contains_key(id));
                        details.extend(id.map(|id| facts.detail(id, &layer, prepared.cost(id))));
                    }
                    Some(Err(reason)) => {
                        let node = model.graph(graph).node(node);
                        let operator = node.as_op().map(|op| op.name.as_str()).unwrap_or_default();
                        let row = QUANTIZABLE.iter().find(|row| row.name == operator);
                        let is_linear = row.is_some_and(|row| row.kind == LayerKind::Linear);
                        details.extend(is_linear.then(|| refused(node.label(), operator, &reason)));
                    }
                    None => {}
                }
            }
        }
        details
    }
}

/// A node that can't be quantized.
fn refused(name: &str, operator: &str, reason: &str) -> LayerDetail {
    LayerDetail {
        layer: name.to_owned(),
        operator: operator.to_owned(),
        arithmetic: Arithmetic::Float.name(),
        why: Some(format!("can't be quantized: {reason}")),
        similarity: None,
        multiply_adds: None,
        range: None,
        observed: None,
        calibration: vec![],
        sqnr: None,
        float_ms: None,
        int8_ms: None,
    }
}

/// The parts of a run that concern its layers.
pub(crate) struct LayerFacts<'a> {
    config: &'a QuantConfig,
    /// Why the configuration leaves a layer out, by name of the layer.
    reasons: BTreeMap<&'a str, &'a str>,
    arithmetic: LayerArithmetic,
    similarities: BTreeMap<LayerId, f64>,
    /// The layers that a search has rolled back, each with whether the target is missed with it in int8.
    rolled_back: BTreeMap<LayerId, bool>,
    /// Why every layer stays in float although the target can be met, if it is so.
    kept_float: Option<&'a str>,
    rungs: Rungs,
    record: Option<&'a Record>,
    histograms: &'a BTreeMap<String, ValueHistogram>,
    measurements: &'a LayerMeasurements,
}

impl<'a> LayerFacts<'a> {
    /// Those of a search; `config` and `restrictions` are the ones that it began with.
    pub(crate) fn of_search<S>(
        config: &'a QuantConfig,
        restrictions: &'a [String],
        report: &'a Report<S>,
        kept_float: Option<&'a str>,
        measurements: &'a LayerMeasurements,
    ) -> LayerFacts<'a> {
        let outcome = report.outcome.as_ref();
        let closest = &report.history[report.closest].rolled_back;
        let rolled_back = outcome.map_or(closest, |outcome| &outcome.rolled_back);
        let untried = report.untried();
        let is_needed = |layer: &LayerId| report.best().is_some() && !untried.contains(layer);
        let ranked = report.ranking.0.iter();
        LayerFacts {
            config,
            reasons: reasons(restrictions),
            arithmetic: match outcome {
                Some(outcome) => outcome.arithmetic.clone(),
                None => LayerArithmetic::of(&report.table, &report.closest_config, None),
            },
            similarities: ranked
                .flat_map(|ranked| ranked.layers.iter().map(|&layer| (layer, ranked.similarity)))
                .collect(),
            rolled_back: rolled_back.iter().map(|layer| (*layer, is_needed(layer))).collect(),
            kept_float,
            rungs: outcome.map(|outcome| outcome.rungs.clone()).unwrap_or_default(),
            record: outcome.map(|outcome| &outcome.record),
            histograms: &report.histograms,
            measurements,
        }
    }

    /// Those of a calibration without a search.
    pub(crate) fn of_calibration(
        restrictions: &'a [String],
        result: &'a UnscoredResult,
        measurements: &'a LayerMeasurements,
    ) -> LayerFacts<'a> {
        LayerFacts {
            config: result.quantized.config(),
            reasons: reasons(restrictions),
            arithmetic: result.arithmetic.clone(),
            similarities: BTreeMap::new(),
            rolled_back: BTreeMap::new(),
            kept_float: None,
            rungs: Rungs::new(),
            record: Some(&result.record),
            histograms: &result.histograms,
            measurements,
        }
    }

    fn detail(&self, id: LayerId, layer: &Layer, cost: Option<u64>) -> LayerDetail {
        let arithmetic = self.arithmetic.get(id);
        let record = self.record.and_then(|record| record.layers.get(&layer.name));
        let is_linear = layer.quantizable().kind == LayerKind::Linear;
        let range = record.and_then(|record| record.activations.first()).map(covered);
        let observed = self.histograms.get(&layer.name).map(|found| [found.min, found.max]);
        let is_quantized = arithmetic != Arithmetic::Float;
        let LayerMeasurements { noise, latency } = self.measurements;
        let times = latency.as_ref().and_then(|latency| latency.layers.get(&layer.name));
        let milliseconds = |at: usize| times.and_then(|times| times[at]).map(|seconds| seconds * 1e3);
        LayerDetail {
            layer: layer.name.clone(),
            operator: layer.op.to_owned(),
            arithmetic: arithmetic.name(),
            why: self.why(id, layer, arithmetic),
            similarity: self.similarities.get(&id).copied(),
            multiply_adds: cost.filter(|_| is_linear),
            range: range.filter(|_| matches!(arithmetic, Arithmetic::Int8 | Arithmetic::Int16)),
            observed,
            calibration: record.filter(|_| is_quantized).map_or(vec![], stages),
            sqnr: noise.as_ref().and_then(|noise| noise.sqnr.get(&layer.name).copied()),
            float_ms: milliseconds(0),
            int8_ms: milliseconds(1),
        }
    }

    fn why(&self, id: LayerId, layer: &Layer, arithmetic: Arithmetic) -> Option<String> {
        if arithmetic == Arithmetic::Int8 {
            return None;
        }
        if let Some(why) = self.kept_float {
            return Some(why.to_owned());
        }
        if let Some(rung) = self.rungs.get(&id) {
            return Some(format!("ladder: {rung}"));
        }
        match self.rolled_back.get(&id) {
            Some(true) => return Some("rolled back: the target is missed with it in int8".to_owned()),
            Some(false) => return Some("rolled back; not tried in int8 alone".to_owned()),
            None => {}
        }
        if let Some(reason) = self.reasons.get(layer.name.as_str()) {
            return Some((*reason).to_owned());
        }
        match self.config.layers.get(&layer.name) {
            Some(of_layer) if !of_layer.quant_enable => {
                Some("not allowed: the configuration leaves it in float".to_owned())
            }
            Some(of_layer) if of_layer.weights_only => {
                Some("the configuration quantizes its weights alone".to_owned())
            }
            Some(_) if arithmetic == Arithmetic::Int16 => {
                Some("the configuration asks for 16 bits".to_owned())
            }
            Some(_) => {
                Some("gains nothing: between its neighbours the target computes it in float".to_owned())
            }
            None => Some("not in the configuration".to_owned()),
        }
    }
}

/// The reasons in the lines about restricted layers.
fn reasons(restrictions: &[String]) -> BTreeMap<&str, &str> {
    restrictions.iter().filter_map(|line| restricted_layer(line)).collect()
}

/// The range that the integers of a tensor with one scale cover.
fn covered(params: &QuantParams) -> [f32; 2] {
    let half = 1i32 << (params.bits - 1);
    [params.dequantize(-half, 0), params.dequantize(half - 1, 0)]
}

fn stages(record: &LayerRecord) -> Vec<&'static str> {
    let stages = [
        ("smoothed", !record.smoothing.is_empty()),
        ("fitted rounding", !record.rounded_up.is_empty()),
        ("corrected bias", !record.bias_shift.is_empty()),
    ];
    stages.into_iter().filter(|(_, is_done)| *is_done).map(|(name, _)| name).collect()
}

/// What preparation did to a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreparationDetail {
    /// The number of operations of the original and of the prepared model, of operators for which they differ.
    pub operators: BTreeMap<String, [usize; 2]>,
    /// The number of layers whose weights cross-layer equalization or a folded normalization before them has changed.
    pub changed_layers: usize,
}

impl PreparationDetail {
    pub(crate) fn of(original: &Model, float: &FloatModel<'_>) -> PreparationDetail {
        let mut operators: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        for (idx, model) in [original, float.model()].into_iter().enumerate() {
            for (_, graph) in model.graphs() {
                for op in graph.node_ids().filter_map(|id| graph.node(id).as_op()) {
                    operators.entry(op.name.to_string()).or_default()[idx] += 1;
                }
            }
        }
        operators.retain(|_, [before, after]| before != after);
        PreparationDetail { operators, changed_layers: float.prepared().changed().len() }
    }
}
