//! What the stages of calibration find, each as a type of its own, and the record that is made of them.

use intact8_quant::{LayerRecord, QuantParams, Record};
use std::collections::BTreeMap;

/// The ranges of layers, as scales and zero points, by name of the layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranges(pub BTreeMap<String, LayerRanges>);

/// The scales and zero points of one layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerRanges {
    /// Of the activations, in the order of [`Layer::activations`](intact8_quant::Layer::activations). Empty if only the
    /// weights are quantized and no data reached the layer.
    pub activations: Vec<QuantParams>,
    /// Of the weights, in the order of [`Layer::weights`](intact8_quant::Layer::weights).
    pub weights: Vec<QuantParams>,
}

/// What each channel of a layer's first activation is divided by, and its weight multiplied (SmoothQuant), by name of the
/// layer. Layers without an entry are not smoothed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SmoothingFactors(pub BTreeMap<String, Vec<f32>>);

/// Whether each element of a layer's first weight, smoothed, is rounded up and not down, by name of the layer. Layers
/// without an entry are rounded to nearest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Roundings(pub BTreeMap<String, Vec<bool>>);

/// The mean of float minus quantized output for each output channel, by name of the layer: what is added to the bias.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BiasShifts(pub BTreeMap<String, Vec<f32>>);

/// A calibrated model: what all stages have found, for every layer that the configuration enables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Calibrated {
    /// The ranges, after smoothing and clipping.
    pub ranges: Ranges,
    /// The smoothing factors.
    pub smoothing: SmoothingFactors,
    /// The roundings of weights.
    pub roundings: Roundings,
    /// The corrections of biases.
    pub bias_shifts: BiasShifts,
}

impl Calibrated {
    /// The record: what quantization needs to know, in one entry for each layer.
    pub fn into_record(self) -> Record {
        let Calibrated { ranges, mut smoothing, mut roundings, mut bias_shifts } = self;
        let entry = |(name, LayerRanges { activations, weights }): (String, LayerRanges)| {
            let entry = LayerRecord {
                activations,
                weights,
                smoothing: smoothing.0.remove(&name).unwrap_or_default(),
                rounded_up: roundings.0.remove(&name).unwrap_or_default(),
                bias_shift: bias_shifts.0.remove(&name).unwrap_or_default(),
                prepared: false,
            };
            (name, entry)
        };
        Record { layers: ranges.0.into_iter().map(entry).collect() }
    }

    /// The record so far.
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

    /// A record that holds nothing else.
    pub(crate) fn record(&self) -> Record {
        let entry = |factors: &Vec<f32>| LayerRecord { smoothing: factors.clone(), ..LayerRecord::default() };
        Record { layers: self.0.iter().map(|(name, factors)| (name.clone(), entry(factors))).collect() }
    }

    /// The factors of a layer; empty if it is not smoothed.
    pub(crate) fn of_layer(&self, name: &str) -> &[f32] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}
