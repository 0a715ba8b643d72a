//! The mean error of a linear layer: by linearity, it follows from the means of the layer's inputs.

use super::shortened;
use crate::memory::Bytes;
use crate::sample::SampledLayer;
use intact8_ir::{GraphId, Model, Result, Tensor, ValueRef};
use intact8_quant::rounding::{fake_quant_activation, fake_quant_weight};
use intact8_quant::{LayerRecord, Record};
use std::borrow::Cow;

/// A linear layer with its entry of the record, and its weight in float and quantized, with one row for each output channel.
pub(super) struct LinearLayer<'a> {
    sampled: SampledLayer,
    entry: LayerRecord,
    weight: Cow<'a, [f32]>,
    quantized: Vec<f32>,
}

/// Sums over all rows of a linear layer's inputs, in float and quantized.
pub(super) struct InputSums {
    /// The input on the batch, until the layer has run.
    pending: Option<Tensor>,
    float: Vec<f64>,
    quantized: Vec<f64>,
    n_rows: usize,
}

/// The greatest number of bytes that the weights of a layer take while they are prepared: the weight with its rows in order,
/// rounded, quantized, and that with its rows in order.
pub(super) fn bytes(sampled: &SampledLayer) -> Bytes {
    let layout = &sampled.layout;
    Bytes(4 * (4 * layout.depth() + 1) * layout.n_outputs())
}

impl<'a> LinearLayer<'a> {
    /// The weight of the model must be smoothed if the entry of the record has smoothing factors.
    pub(super) fn new(model: &'a Model, sampled: SampledLayer, record: &Record) -> Result<LinearLayer<'a>> {
        let entry = record.layer(&sampled.layer.name)?.clone();
        let SampledLayer { layer, config, .. } = &sampled;
        let weight = sampled.output_major(layer.tensor(model, &layer.weights[0]).values::<f32>()?);
        let quantized = fake_quant_weight(model, layer, config, &entry)?;
        let quantized = sampled.output_major(&quantized).into_owned();
        Ok(LinearLayer { sampled, entry, weight, quantized })
    }

    /// The values that [`observe`](LinearLayer::observe) uses.
    pub(super) fn values(&self) -> [ValueRef; 2] {
        self.sampled.values()
    }

    pub(super) fn empty_sums(&self) -> InputSums {
        let zeros = || vec![0.0; self.sampled.layout.len()];
        InputSums { pending: None, float: zeros(), quantized: zeros(), n_rows: 0 }
    }

    /// Receives a value of the float model.
    pub(super) fn observe(&self, sums: &mut InputSums, value: ValueRef, tensor: &Tensor) -> Result<()> {
        let SampledLayer { layer, config, layout, .. } = &self.sampled;
        let [input, last] = self.values();
        if value == input {
            sums.pending = Some(tensor.clone());
        }
        let Some(input) = sums.pending.take_if(|_| value == last) else { return Ok(()) };
        let shape = input.shape();
        let float = layout.smoothed(input.values()?, shape, &self.entry.smoothing);
        let quantized = fake_quant_activation(config, &self.entry, &float);
        let add_rows = |values: &[f32], sums: &mut [f64]| {
            layout.add_rows(values, shape, sums).map_err(|error| error.at(&layer.name))
        };
        sums.n_rows += add_rows(&float, &mut sums.float)?;
        add_rows(&quantized, &mut sums.quantized)?;
        // An input from outside a loop is computed once and used in each iteration.
        sums.pending = Some(input).filter(|_| layer.graph != GraphId::MAIN);
        Ok(())
    }

    /// The sum of float minus quantized output of each output channel, and the number of its summands.
    pub(super) fn errors(&self, sums: &InputSums) -> (Vec<f64>, u64) {
        let layout = &self.sampled.layout;
        let depth = layout.depth();
        let per_group = self.weight.len() / depth / layout.groups();
        let rows = self.weight.chunks_exact(depth).zip(self.quantized.chunks_exact(depth));
        let error = |(output, (weight, quantized)): (usize, (&[f32], &[f32]))| {
            let group = output / per_group * depth..(output / per_group + 1) * depth;
            let difference = dot(&sums.float[group.clone()], weight) - dot(&sums.quantized[group], quantized);
            shortened(f64::from(layout.alpha()) * difference)
        };
        (rows.enumerate().map(error).collect(), sums.n_rows as u64)
    }
}

fn dot(sums: &[f64], weight: &[f32]) -> f64 {
    sums.iter().zip(weight).map(|(sum, weight)| sum * f64::from(*weight)).sum()
}
