//! The inputs and outputs of a linear layer as rows of two matrices, and a bounded sample of these rows.
//!
//! A row of a Gemm or MatMul is a row of its operands. A row of a Conv is the pixels that the window covers in all channels at
//! one output position, and the outputs at that position.

use super::half_rows::HalfRows;
use super::window::Window;
use crate::parts::Part;
use intact8_ir::{Error, Model, Result, Tensor};
use intact8_quant::Layer;
use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};

/// The limits of the number of sampled rows, which is sixteen times their length. So many suffice to estimate the second moments
/// of the elements of a row.
const N_ROWS: RangeInclusive<usize> = 512..=1024;

/// The number of rows that each of the layers has which share a weight, however many they are.
const LEAST_ROWS: usize = 64;

/// The layout of a layer's input and output rows.
pub(crate) struct RowLayout {
    /// The window of a Conv.
    window: Option<Window>,
    /// The number of taps of the window; 1 without a window.
    n_taps: usize,
    groups: usize,
    /// The length of an input row, over all groups, and of an output row.
    lengths: [usize; 2],
    /// The factor of the product, `alpha` of Gemm.
    alpha: f32,
    /// Whether outputs are sampled.
    has_outputs: bool,
    /// The largest number of sampled rows.
    max_rows: usize,
}

/// Sampled input rows, and output rows if the layout has them.
#[derive(Default)]
pub(crate) struct RowSample {
    inputs: HalfRows,
    outputs: HalfRows,
}

impl RowLayout {
    /// The layout of a linear layer.
    pub(super) fn new(model: &Model, layer: &Layer, has_outputs: bool) -> Result<RowLayout> {
        let weight = &layer.weights[0];
        let shape = layer.tensor(model, weight).shape();
        let n_out = shape[weight.axis];
        let groups = weight.input.map_or(1, |input| input.groups);
        if !n_out.is_multiple_of(groups) {
            return Err(Error::invalid_model(format!(
                "{n_out} output channels can't be divided into {groups} groups"
            )));
        }
        let node = model.graph(layer.graph).node(layer.node);
        let op = node.as_op();
        let window = op.filter(|_| layer.op == "Conv").map(|op| Window::read(op, &shape[2..]));
        let alpha = op.filter(|_| layer.op == "Gemm").map(|op| op.float("alpha")).transpose()?.flatten();
        let lengths = [shape.iter().product::<usize>() / n_out * groups, n_out];
        Ok(RowLayout {
            n_taps: if window.is_some() { shape[2..].iter().product() } else { 1 },
            window: window.transpose()?,
            groups,
            lengths,
            max_rows: (16 * (lengths[0] / groups)).clamp(*N_ROWS.start(), *N_ROWS.end()),
            alpha: alpha.unwrap_or(1.0),
            has_outputs,
        })
    }

    /// Adds each element of a row over all rows of an input of a shape to `sums`, and returns the number of rows.
    pub(crate) fn add_rows(&self, input: &[f32], shape: &[usize], sums: &mut [f64]) -> Result<usize> {
        let Some(window) = &self.window else {
            for row in input.chunks_exact(self.lengths[0]) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            return Ok(input.len() / self.lengths[0].max(1));
        };
        let (pads, sizes, positions) = (window.pads_before(shape)?, &shape[2..], &window.positions(shape));
        let planes = input.chunks_exact(sizes.iter().product::<usize>().max(1));
        for (channel, plane) in planes.enumerate() {
            let sums = &mut sums[channel % shape[1] * self.n_taps..][..self.n_taps];
            let plane_sums = window.sums(plane, sizes, positions, &pads);
            sums.iter_mut().zip(plane_sums).for_each(|(sum, of_plane)| *sum += of_plane);
        }
        Ok(shape[0] * positions.iter().product::<usize>())
    }

    /// The length of an input row, over all groups.
    pub(crate) fn len(&self) -> usize {
        self.lengths[0]
    }

    /// An input of a shape after smoothing: each channel divided by its factor, if there are factors.
    pub(crate) fn smoothed<'a>(&self, input: &'a [f32], shape: &[usize], factors: &[f32]) -> Cow<'a, [f32]> {
        if factors.is_empty() {
            return Cow::Borrowed(input);
        }
        let inner = if self.window.is_some() { shape[2..].iter().product::<usize>().max(1) } else { 1 };
        let mut smoothed = input.to_vec();
        for (values, factor) in smoothed.chunks_exact_mut(inner).zip(factors.iter().cycle()) {
            values.iter_mut().for_each(|value| *value /= factor);
        }
        Cow::Owned(smoothed)
    }

    /// The number of groups of the layer; each has input and output channels of its own.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    /// The length of an input row of one group.
    pub(crate) fn depth(&self) -> usize {
        self.lengths[0] / self.groups
    }

    /// Whether outputs are sampled.
    pub(super) fn has_outputs(&self) -> bool {
        self.has_outputs
    }

    /// The factor of the product of rows and weight.
    pub(crate) fn alpha(&self) -> f32 {
        self.alpha
    }

    /// The number of output channels, over all groups.
    pub(crate) fn n_outputs(&self) -> usize {
        self.lengths[1]
    }

    /// Divides the number of sampled rows by that of the layers which share the weight, and leaves a few.
    pub(super) fn divide_rows(&mut self, n_layers: usize) {
        self.max_rows = (self.max_rows / n_layers.max(1)).max(LEAST_ROWS);
    }

    /// Reduces the number of sampled rows as `n_values` is reduced to `most`; at least one is left.
    pub(super) fn reduce_rows(&mut self, most: usize, n_values: usize) {
        if n_values > most {
            self.max_rows = (self.max_rows as u128 * most as u128 / n_values as u128).max(1) as usize;
        }
    }

    /// Reserves memory for the rows of all batches, so that the sample never grows by copying.
    pub(super) fn reserve(&self, rows: &mut RowSample) {
        if rows.inputs.n_rows() == 0 {
            rows.inputs.reserve(self.max_rows, self.lengths[0]);
            rows.outputs.reserve(if self.has_outputs { self.max_rows } else { 0 }, self.lengths[1]);
        }
    }

    /// The largest number of sampled values.
    pub(super) fn max_values(&self) -> usize {
        (self.lengths[0] + if self.has_outputs { self.lengths[1] } else { 0 }) * self.max_rows
    }

    /// The input rows of a group in a range of rows, `[rows, depth]`, after smoothing if there are factors.
    pub(crate) fn group_inputs(
        &self,
        rows: &RowSample,
        range: Range<usize>,
        group: usize,
        factors: &[f32],
    ) -> Vec<f32> {
        let depth = self.depth();
        let mut inputs = rows.inputs.block(range, group * depth..(group + 1) * depth);
        let factors = self.group_factors(group, factors);
        inputs.iter_mut().zip(factors.iter().cycle()).for_each(|(value, factor)| *value /= factor);
        inputs
    }

    /// Some columns of the input rows of a group in a range of rows, `[rows, columns]`.
    pub(crate) fn group_block(
        &self,
        rows: &RowSample,
        range: Range<usize>,
        group: usize,
        columns: Range<usize>,
    ) -> Vec<f32> {
        let first = group * self.depth();
        rows.inputs.block(range, first + columns.start..first + columns.end)
    }

    /// The smoothing factor of each element of a group's input rows; empty without factors.
    pub(crate) fn group_factors(&self, group: usize, factors: &[f32]) -> Vec<f32> {
        let elements = factors.iter().flat_map(|factor| std::iter::repeat_n(*factor, self.n_taps));
        elements.skip(group * self.depth()).take(self.depth()).collect()
    }

    /// A range of input rows as a tensor whose channels are in the same dimension as those of the layer's input:
    /// `[rows, channels, taps]` with a window, or `[rows, channels]`; after smoothing if there are factors.
    pub(crate) fn as_tensor(&self, rows: &RowSample, range: Range<usize>, factors: &[f32]) -> Tensor {
        let (n_rows, n_channels) = (range.len(), self.lengths[0] / self.n_taps);
        let mut values = rows.inputs.block(range, 0..self.lengths[0]);
        if !factors.is_empty() {
            for (taps, factor) in values.chunks_exact_mut(self.n_taps).zip(factors.iter().cycle()) {
                taps.iter_mut().for_each(|value| *value /= factor);
            }
        }
        match self.window {
            Some(_) => Tensor::new(&[n_rows, n_channels, self.n_taps], values),
            None => Tensor::new(&[n_rows, n_channels], values),
        }
    }

    /// Some columns of the output rows, `[rows, outputs]`; empty if outputs are not sampled.
    pub(crate) fn outputs(&self, rows: &RowSample, outputs: Range<usize>) -> Vec<f32> {
        rows.outputs.block(0..rows.outputs.n_rows(), outputs)
    }

    /// The largest number of rows that a batch contributes.
    pub(super) fn n_rows_of(&self, batch: usize, n_batches: usize) -> usize {
        let n_before = |batch: usize| batch * self.max_rows / n_batches;
        n_before(batch + 1) - n_before(batch)
    }

    /// Appends some of the rows of one run of the layer, on a part of a batch, to the sample; `output` is needed if outputs are
    /// sampled. `batch` is the index of the batch among `n_batches`, each of which contributes about as many rows, spread evenly over
    /// the output. The choice depends on the batch and the number of its rows only, not on the parts.
    pub(super) fn sample(
        &self,
        rows: &mut RowSample,
        input: &Tensor,
        output: Option<&Tensor>,
        (batch, n_batches): (usize, usize),
        part: &Part,
    ) -> Result<()> {
        let [k, n_out] = self.lengths;
        let shape = input.shape();
        let pads = self.window.as_ref().map(|window| window.pads_before(shape)).transpose()?;
        let positions = self.window.as_ref().map(|window| window.positions(shape)).unwrap_or_default();
        let n_rows = match &self.window {
            Some(_) => shape[0] * positions.iter().product::<usize>(),
            None => input.len() / k.max(1),
        };
        let (in_part, n_rows) = part.rows(n_rows);
        let n_chosen = self.n_rows_of(batch, n_batches).min(n_rows);
        let mut state = batch as u64 + 1;
        let chosen = (0..n_chosen).map(|section| {
            let (start, end) = (section * n_rows / n_chosen, (section + 1) * n_rows / n_chosen);
            // Knuth's linear congruential generator; its upper bits are more random.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            start + (((state >> 32) * (end - start) as u64) >> 32) as usize
        });
        let chosen = chosen.filter(|row| in_part.contains(row)).map(|row| row - in_part.start);
        rows.inputs.reserve(n_chosen, k);
        rows.outputs.reserve(if self.has_outputs { n_chosen } else { 0 }, n_out);
        let (mut inputs, mut outputs) = (vec![0.0; k], vec![0.0; n_out]);
        let input_values = input.values::<f32>()?;
        let output_values = output.map(Tensor::values::<f32>).transpose()?;
        for row in chosen {
            match (&self.window, &pads) {
                (Some(window), Some(pads)) => {
                    let n_positions: usize = positions.iter().product();
                    let (image, position) = (row / n_positions, row % n_positions);
                    let image_len = input_values.len() / shape[0];
                    let pixels = &input_values[image * image_len..][..image_len];
                    window.patch(
                        pixels,
                        &shape[1..],
                        &window.starts(position, &positions, pads),
                        &mut inputs,
                    );
                    if let Some(values) = output_values {
                        let channels =
                            values[image * n_out * n_positions + position..].iter().step_by(n_positions);
                        outputs.iter_mut().zip(channels).for_each(|(output, value)| *output = *value);
                    }
                }
                _ => {
                    inputs.copy_from_slice(&input_values[row * k..][..k]);
                    if let Some(values) = output_values {
                        outputs.copy_from_slice(&values[row * n_out..][..n_out]);
                    }
                }
            }
            rows.inputs.push(&mut inputs);
            if self.has_outputs {
                rows.outputs.push(&mut outputs);
            }
        }
        Ok(())
    }
}

impl RowSample {
    /// The number of sampled rows.
    pub(crate) fn n_rows(&self) -> usize {
        self.inputs.n_rows()
    }

    /// No more than `n` of the rows, spread evenly.
    pub(crate) fn at_most(&self, n: usize) -> RowSample {
        let step = self.n_rows().div_ceil(n).max(1);
        RowSample { inputs: self.inputs.every(step), outputs: self.outputs.every(step) }
    }

    /// Appends other rows.
    pub(super) fn extend(&mut self, other: &RowSample) {
        self.inputs.extend(&other.inputs);
        self.outputs.extend(&other.outputs);
    }
}

#[cfg(test)]
mod tests;
