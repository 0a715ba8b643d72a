//! The results of calibration: one type for each stage, and the record that they are combined in.

use intact8_quant::calibration::ValueHistogram;
use intact8_quant::{LayerRecord, QuantParams, Record};
use std::collections::BTreeMap;

/// The ranges of layers, as scales and zero points, by name of the layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranges(pub BTreeMap<String, LayerRanges>);

/// The scales and zero points of one layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerRanges {
    /// Those of the activations, in the order of [`Layer::activations`](intact8_quant::Layer::activations). Empty if only the
    /// weights are quantized and no data reach the layer.
    pub activations: Vec<QuantParams>,
    /// Those of the weights, in the order of [`Layer::weights`](intact8_quant::Layer::weights).
    pub weights: Vec<QuantParams>,
}

/// The smoothing factors (SmoothQuant), by name of the layer: each channel of the layer's first activation is divided by its
/// factor, and the weight is multiplied by it. Layers without an entry are not smoothed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SmoothingFactors(pub BTreeMap<String, Vec<f32>>);

/// The rounding of weights, by name of the layer: whether each element of the layer's first weight, after smoothing, is rounded
/// up (true) or down (false), in the order of the weight's elements. Layers without an entry are rounded to nearest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Roundings(pub BTreeMap<String, Vec<bool>>);

/// The bias corrections, by name of the layer: the mean of float minus quantized output of each output channel, which is added
/// to the bias.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BiasShifts(pub BTreeMap<String, Vec<f32>>);

/// The result of calibration, for every layer that the configuration enables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Calibrated {
    /// The ranges, after smoothing and clipping.
    pub ranges: Ranges,
    /// The smoothing factors.
    pub smoothing: SmoothingFactors,
    /// The rounding of weights.
    pub roundings: Roundings,
    /// The bias corrections.
    pub bias_shifts: BiasShifts,
    /// The distribution of the first activation of each layer over the data, after smoothing, by name of the layer. Nothing
    /// depends on it: it is for reports.
    pub histograms: BTreeMap<String, ValueHistogram>,
}

impl Calibrated {
    /// The record, with one entry for each layer: all that quantization needs.
    pub fn into_record(self) -> Record {
        let Calibrated { ranges, mut smoothing, mut roundings, mut bias_shifts, histograms: _ } = self;
        let entry = |(name, LayerRanges { activations, weights }): (String, LayerRanges)| {
            let entry = LayerRecord {
                activations,
                weights,
                smoothing: smoothing.0.remove(&name).unwrap_or_default(),
                rounded_up: roundings.0.remove(&name).unwrap_or_default(),
                bias_shift: bias_shifts.0.remove(&name).unwrap_or_default(),
                ..LayerRecord::default()
            };
            (name, entry)
        };
        Record { layers: ranges.0.into_iter().map(entry).collect() }
    }

    /// The record of the stages so far.
    pub(crate) fn record(&self) -> Record {
        self.clone().into_record()
    }
}

impl Ranges {
    pub(crate) fn of(record: Record) -> Ranges {
        let ranges =
            |entry: LayerRecord| LayerRanges { activations: entry.activations, weights: entry.weights };
        Ranges(record.layers.into_iter().map(|(name, entry)| (name, ranges(entry))).collect())
    }
}

impl SmoothingFactors {
    pub(crate) fn of(record: Record) -> SmoothingFactors {
        SmoothingFactors(record.layers.into_iter().map(|(name, entry)| (name, entry.smoothing)).collect())
    }

    /// A record that holds only the factors.
    pub(crate) fn record(&self) -> Record {
        let entry = |factors: &Vec<f32>| LayerRecord { smoothing: factors.clone(), ..LayerRecord::default() };
        Record { layers: self.0.iter().map(|(name, factors)| (name.clone(), entry(factors))).collect() }
    }

    /// The factors of a layer; empty if it is not smoothed.
    pub(crate) fn of_layer(&self, name: &str) -> &[f32] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}
