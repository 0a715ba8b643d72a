//! The mean error of a product: as it is linear, that of the product of the means of what is read.

use crate::sample::Sampled;
use intact8_ir::{GraphId, Model, Result, Tensor, ValueRef};
use intact8_quant::rounding::{simulated_activation, simulated_weight};
use intact8_quant::{LayerRecord, Record};
use std::ops::AddAssign;

/// A layer that is a product, with its entry of the record.
pub(super) struct Product {
    sampled: Sampled,
    entry: LayerRecord,
}

/// Sums over rows of what the layer reads.
pub(super) struct OfProduct {
    /// What is read on the batch, until the layer has run.
    pending: Option<Tensor>,
    float: Vec<f64>,
    quantized: Vec<f64>,
    n_rows: usize,
}

impl Product {
    pub(super) fn new(sampled: Sampled, record: &Record) -> Result<Product> {
        let entry = record.layer(&sampled.layer.name)?.clone();
        Ok(Product { sampled, entry })
    }

    pub(super) fn name(&self) -> &str {
        &self.sampled.layer.name
    }

    pub(super) fn begin(&self) -> OfProduct {
        let zeros = || vec![0.0; self.sampled.reading.len()];
        OfProduct { pending: None, float: zeros(), quantized: zeros(), n_rows: 0 }
    }

    /// Takes in a value of the float model.
    pub(super) fn observe(&self, sums: &mut OfProduct, place: ValueRef, tensor: &Tensor) -> Result<()> {
        let Sampled { layer, config, reading, .. } = &self.sampled;
        if place == self.sampled.input {
            sums.pending = Some(tensor.clone());
        }
        let Some(input) = sums.pending.take_if(|_| place == self.sampled.output) else { return Ok(()) };
        let (shape, output) = (input.shape(), tensor.shape());
        let float = reading.divided(input.values()?, shape, &self.entry.smoothing);
        let quantized = simulated_activation(config, &self.entry, &float);
        let at_layer = |n_rows: Result<usize>| n_rows.map_err(|error| error.at(&layer.name));
        sums.n_rows += at_layer(reading.add_rows(&float, shape, output, &mut sums.float))?;
        at_layer(reading.add_rows(&quantized, shape, output, &mut sums.quantized))?;
        // An input from outside a loop is made once, and read in each iteration.
        sums.pending = Some(input).filter(|_| layer.graph != GraphId::MAIN);
        Ok(())
    }

    /// The mean of float minus quantized in each output channel. The weight is that of the model, balanced if the entry has
    /// factors.
    pub(super) fn mean_error(&self, model: &Model, sums: &OfProduct) -> Result<Vec<f32>> {
        let Sampled { layer, config, reading, .. } = &self.sampled;
        let weight = self.sampled.by_output(layer.tensor(model, &layer.weights[0]).values::<f32>()?);
        let quantized = self.sampled.by_output(&simulated_weight(model, layer, config, &self.entry)?);
        let depth = reading.depth();
        let per_group = weight.len() / depth / reading.groups();
        let rows = weight.chunks_exact(depth).zip(quantized.chunks_exact(depth));
        let factor = f64::from(reading.factor()) / sums.n_rows.max(1) as f64;
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

impl AddAssign<&OfProduct> for OfProduct {
    fn add_assign(&mut self, other: &OfProduct) {
        self.float.iter_mut().zip(&other.float).for_each(|(mine, theirs)| *mine += theirs);
        self.quantized.iter_mut().zip(&other.quantized).for_each(|(mine, theirs)| *mine += theirs);
        self.n_rows += other.n_rows;
    }
}
