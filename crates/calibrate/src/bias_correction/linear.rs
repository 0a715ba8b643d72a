//! The mean error of a linear layer: by linearity, it follows from the means of the layer's inputs.

use crate::memory::Bytes;
use crate::sample::SampledLayer;
use intact8_ir::{GraphId, Model, Result, Tensor, ValueRef};
use intact8_quant::rounding::{fake_quant_activation, fake_quant_weight};
use intact8_quant::{LayerRecord, Record};
use std::ops::AddAssign;

/// A linear layer with its entry of the record.
pub(super) struct LinearLayer {
    sampled: SampledLayer,
    entry: LayerRecord,
}

/// Sums over all rows of a linear layer's inputs, in float and quantized.
pub(super) struct InputSums {
    /// The input on the batch, until the layer has run.
    pending: Option<Tensor>,
    float: Vec<f64>,
    quantized: Vec<f64>,
    n_rows: usize,
}

impl LinearLayer {
    pub(super) fn new(sampled: SampledLayer, record: &Record) -> Result<LinearLayer> {
        let entry = record.layer(&sampled.layer.name)?.clone();
        Ok(LinearLayer { sampled, entry })
    }

    pub(super) fn name(&self) -> &str {
        &self.sampled.layer.name
    }

    /// The greatest number of bytes that [`mean_error`](LinearLayer::mean_error) allocates: the weight with its rows in order, rounded,
    /// quantized, and that with its rows in order.
    pub(super) fn bytes(&self) -> Bytes {
        let layout = &self.sampled.layout;
        Bytes(4 * (4 * layout.depth() + 1) * layout.n_outputs())
    }

    /// The values that [`observe`](LinearLayer::observe) uses.
    pub(super) fn values(&self) -> [ValueRef; 2] {
        [self.sampled.input, self.sampled.output]
    }

    pub(super) fn empty_sums(&self) -> InputSums {
        let zeros = || vec![0.0; self.sampled.layout.len()];
        InputSums { pending: None, float: zeros(), quantized: zeros(), n_rows: 0 }
    }

    /// Receives a value of the float model.
    pub(super) fn observe(&self, sums: &mut InputSums, value: ValueRef, tensor: &Tensor) -> Result<()> {
        let SampledLayer { layer, config, layout, .. } = &self.sampled;
        if value == self.sampled.input {
            sums.pending = Some(tensor.clone());
        }
        let Some(input) = sums.pending.take_if(|_| value == self.sampled.output) else { return Ok(()) };
        let (shape, output) = (input.shape(), tensor.shape());
        let float = layout.smoothed(input.values()?, shape, &self.entry.smoothing);
        let quantized = fake_quant_activation(config, &self.entry, &float);
        let add_rows = |values: &[f32], sums: &mut [f64]| {
            layout.add_rows(values, shape, output, sums).map_err(|error| error.at(&layer.name))
        };
        sums.n_rows += add_rows(&float, &mut sums.float)?;
        add_rows(&quantized, &mut sums.quantized)?;
        // An input from outside a loop is computed once and used in each iteration.
        sums.pending = Some(input).filter(|_| layer.graph != GraphId::MAIN);
        Ok(())
    }

    /// The mean of float minus quantized output of each output channel. The weight of the model must be smoothed if the entry has
    /// smoothing factors.
    pub(super) fn mean_error(&self, model: &Model, sums: &InputSums) -> Result<Vec<f32>> {
        let SampledLayer { layer, config, layout, .. } = &self.sampled;
        let weight = self.sampled.output_major(layer.tensor(model, &layer.weights[0]).values::<f32>()?);
        let simulated = fake_quant_weight(model, layer, config, &self.entry)?;
        let quantized = self.sampled.output_major(&simulated);
        let depth = layout.depth();
        let per_group = weight.len() / depth / layout.groups();
        let rows = weight.chunks_exact(depth).zip(quantized.chunks_exact(depth));
        let factor = f64::from(layout.alpha()) / sums.n_rows.max(1) as f64;
        let error = |(output, (weight, quantized)): (usize, (&[f32], &[f32]))| {
            let group = output / per_group * depth..(output / per_group + 1) * depth;
            let difference = dot(&sums.float[group.clone()], weight) - dot(&sums.quantized[group], quantized);
            (factor * difference) as f32
        };
        Ok(rows.enumerate().map(error).collect())
    }
}

fn dot(sums: &[f64], weight: &[f32]) -> f64 {
    sums.iter().zip(weight).map(|(sum, weight)| sum * f64::from(*weight)).sum()
}

impl AddAssign<&InputSums> for InputSums {
    fn add_assign(&mut self, other: &InputSums) {
        self.float.iter_mut().zip(&other.float).for_each(|(mine, theirs)| *mine += theirs);
        self.quantized.iter_mut().zip(&other.quantized).for_each(|(mine, theirs)| *mine += theirs);
        self.n_rows += other.n_rows;
    }
}
