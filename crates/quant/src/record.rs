//! The record: the scale and offset of every quantized layer. Its text is AMCT's scale-offset record, so that
//! existing files load.

mod amct;
mod flags;
mod placeholder;
mod text;
mod weights;

use crate::config::{LayerConfig, Precision};
use crate::granularity::blocked;
use crate::layer::{Layer, Weight};
use crate::params::QuantParams;
use crate::passes::opset_for;
use intact8_ir::{Error, Model, Result};
use std::collections::BTreeMap;

/// Scales and offsets by layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// The layers, by name.
    pub layers: BTreeMap<String, LayerRecord>,
}

/// Scales and offsets of one layer, and all other results of its calibration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerRecord {
    /// The parameters of the activations, in the order of [`Layer::activations`], each with one scale. Empty if only weights
    /// are quantized and the ranges of activations are unknown.
    pub activations: Vec<QuantParams>,
    /// The parameters of the weights, in the order of [`Layer::weights`]: one scale, one per output channel, or of the first
    /// weight one per block.
    pub weights: Vec<QuantParams>,
    /// The smoothing factors: each channel of the first activation is divided by its factor, and the weight is multiplied
    /// by it; empty without smoothing. AMCT: `tensor_balance_factor`.
    pub smoothing: Vec<f32>,
    /// Bias correction: the summand of each output channel that compensates the mean error of quantization; empty without
    /// bias correction.
    pub bias_shift: Vec<f32>,
    /// Whether each element of the first weight is rounded up instead of down, after smoothing; empty for rounding to nearest.
    pub rounded_up: Vec<bool>,
    /// Whether the scales belong to weights that were changed as only the configuration describes: by cross-layer
    /// equalization, or by a normalization before the layer.
    pub prepared: bool,
    /// Whether nothing was folded into the layer, so that the scales are of the weights of the original.
    pub skip_fusion: bool,
    /// How closely the scales follow a device's arithmetic.
    pub precision: Precision,
}

impl Record {
    /// The entry of a layer.
    pub fn layer(&self, name: &str) -> Result<&LayerRecord> {
        let missing = || {
            Error::invalid_config("layer is enabled but has no entry in the record; calibrate first").at(name)
        };
        self.layers.get(name).ok_or_else(missing)
    }

    /// Checks that the values of an entry are in range and fit its layer. The number of activations is the layer's, unless
    /// only its weights are quantized. Each activation has one scale; each weight has one scale or one for each output channel.
    pub(crate) fn check(
        entry: &LayerRecord,
        (layer, of_layer): (&Layer, &LayerConfig),
        model: &Model,
    ) -> Result<()> {
        let differs = |found: usize, what: &str, expected: &str| {
            Err(Error::invalid_config(format!("the record has {found} {what}, the layer needs {expected}"))
                .at(&layer.name))
        };
        entry.check().map_err(|error| error.at(&layer.name))?;
        let n_scales = entry.activations.iter().map(|params| params.scale.len());
        if let Some(n_scales) = n_scales.into_iter().find(|&n_scales| n_scales != 1) {
            return differs(n_scales, "scales of an activation", "1");
        }
        let n_activations = layer.activations.len() + usize::from(layer.quantizes_result);
        let needs_none = of_layer.weights_only && entry.activations.is_empty();
        if entry.activations.len() != n_activations && !needs_none {
            return differs(entry.activations.len(), "activations", &n_activations.to_string());
        }
        // The original tool writes a weight scale for layers that have no weight.
        if entry.weights.len() < layer.weights.len() {
            return differs(entry.weights.len(), "weights", &layer.weights.len().to_string());
        }
        for (weight, params) in layer.weights.iter().zip(&entry.weights) {
            let shape = layer.tensor(model, weight).shape();
            let (n_scales, n_channels) = (params.scale.len(), shape[weight.axis]);
            if let Some(size) = params.block_size {
                check_blocks(params, size, weight, shape).map_err(|error| error.at(&layer.name))?;
            } else if n_scales != 1 && (n_scales != n_channels || !weight.per_channel) {
                let expected = if weight.per_channel { format!("1 or {n_channels}") } else { "1".to_owned() };
                return differs(n_scales, "weight scales", &expected);
            }
        }
        let n_elements = layer.weights.first().map_or(0, |weight| layer.tensor(model, weight).len());
        // A file holds four elements per digit.
        if ![0, n_elements, n_elements.next_multiple_of(4)].contains(&entry.rounded_up.len()) {
            return differs(entry.rounded_up.len(), "elements rounded up or down", &n_elements.to_string());
        }
        LayerRecord::check_smoothing(&entry.smoothing, layer, model)?;
        let weight = layer.weights.first().filter(|_| layer.output_axis().is_some());
        let n_outputs = weight.map_or(0, |weight| layer.tensor(model, weight).shape()[weight.axis]);
        if ![0, n_outputs].contains(&entry.bias_shift.len()) {
            return differs(entry.bias_shift.len(), "shifts of the bias", &n_outputs.to_string());
        }
        Ok(())
    }
}

/// Checks that there is a scale for each block of a weight of that shape.
fn check_blocks(params: &QuantParams, size: usize, weight: &Weight, shape: &[usize]) -> Result<()> {
    let Some(input) = weight.input else {
        let message = "this weight can't have blocks; remove block_size and state one scale";
        return Err(Error::invalid_config(message));
    };
    let expected = blocked(shape, input.weight, size);
    let (found, needed) = (params.scale.len(), expected.iter().product::<usize>());
    if found == needed {
        return Ok(());
    }
    Err(Error::invalid_config(format!(
        "the record has {found} weight scales, the layer needs {needed} in blocks of {size}, of the shape {expected:?}"
    )))
}

impl LayerRecord {
    /// The oldest operator set with quantizers for all parameters.
    pub(crate) fn min_opset(&self) -> i64 {
        let params = self.activations.iter().chain(&self.weights);
        let needed = params.map(|params| opset_for(params.bits, params.block_size.is_some()));
        needed.max().unwrap_or_else(|| opset_for(8, false))
    }

    /// Whether a weight has scales for blocks.
    pub(crate) fn has_blocks(&self) -> bool {
        self.weights.iter().any(|params| params.block_size.is_some())
    }

    /// Checks that there is no smoothing factor, or one for each input channel.
    pub(crate) fn check_smoothing(factors: &[f32], layer: &Layer, model: &Model) -> Result<()> {
        let n_inputs =
            layer.input_channels().map_or(0, |(weight, _)| weight.n_inputs(layer.tensor(model, weight)));
        if [0, n_inputs].contains(&factors.len()) {
            return Ok(());
        }
        let message =
            format!("the record has {} smoothing factors, the layer needs {n_inputs}", factors.len());
        Err(Error::invalid_config(message).at(&layer.name))
    }

    fn check(&self) -> Result<()> {
        self.activations.iter().try_for_each(QuantParams::check).map_err(|error| error.at("activation"))?;
        self.weights.iter().try_for_each(QuantParams::check).map_err(|error| error.at("weight"))?;
        if self.activations.iter().any(|params| params.block_size.is_some()) {
            return Err(Error::invalid_config("an activation can't have blocks; state one scale"));
        }
        let offsets = self.weights.iter().flat_map(|params| &params.offset);
        if let Some(offset) = offsets.copied().find(|&offset| offset != 0) {
            return Err(Error::invalid_config(format!("offset_w must be 0, found {offset}")));
        }
        let usable = f32::EPSILON..=1.0 / f32::EPSILON;
        if let Some(factor) = self.smoothing.iter().find(|factor| !usable.contains(factor)) {
            let message = format!("tensor_balance_factor must be in {usable:?}, found {factor}");
            return Err(Error::invalid_config(message));
        }
        match self.bias_shift.iter().find(|shift| !shift.is_finite()) {
            Some(shift) => Err(Error::invalid_config(format!("bias_shift must be finite, found {shift}"))),
            None => Ok(()),
        }
    }
}
