//! A bounded sample of what a layer reads and gives, as rows of two matrices.
//!
//! A row of a Gemm or MatMul is a row; one of a Conv is what a window covers in all channels, and what comes of it.

use quantfit_ir::{Error, Model, Op, Result, Tensor};
use quantfit_quant::Layer;
use std::ops::Range;

/// How many rows are kept, in about equal parts of each batch.
const MOST_ROWS: usize = 2048;

/// How a layer reads and gives rows.
pub(super) struct Reading {
    /// The window of a Conv.
    window: Option<Window>,
    groups: usize,
    /// The length of a row of inputs, over all groups, and of outputs.
    lengths: [usize; 2],
}

/// Rows of inputs and of outputs.
#[derive(Default)]
pub(super) struct Rows {
    inputs: Vec<f32>,
    outputs: Vec<f32>,
}

impl Reading {
    /// Of a layer whose rounding can be learned.
    pub(super) fn new(model: &Model, layer: &Layer) -> Result<Reading> {
        let weight = &layer.weights[0];
        let shape = layer.tensor(model, weight).shape();
        let n_out = shape[weight.axis];
        let groups = weight.input.map_or(1, |input| input.groups);
        if !n_out.is_multiple_of(groups) {
            return Err(Error::invalid_model(format!("{n_out} output channels are not {groups} groups")));
        }
        let node = model.graphs()[layer.graph].node(layer.node);
        let window = node.as_op().filter(|_| layer.op == "Conv").map(|op| Window::read(op, &shape[2..]));
        Ok(Reading {
            window: window.transpose()?,
            groups,
            lengths: [shape.iter().product::<usize>() / n_out * groups, n_out],
        })
    }

    /// How many numbers the rows can come to hold.
    pub(super) fn most_numbers(&self) -> usize {
        self.lengths.iter().sum::<usize>() * MOST_ROWS
    }

    /// The inputs of the outputs of a group, `[rows, k]`.
    pub(super) fn inputs_of(&self, rows: &Rows, group: usize) -> Vec<f32> {
        let len = self.lengths[0] / self.groups;
        columns(&rows.inputs, self.lengths[0], group * len..(group + 1) * len)
    }

    /// Some outputs, `[rows, outputs]`.
    pub(super) fn outputs_of(&self, rows: &Rows, outputs: Range<usize>) -> Vec<f32> {
        columns(&rows.outputs, self.lengths[1], outputs)
    }

    /// Some of the rows that the layer read and gave in one run, on one of so many batches: as many from each part of what it
    /// gave, and the same ones whenever it gives as much on that batch.
    pub(super) fn sample(
        &self,
        input: &Tensor,
        output: &Tensor,
        batch: usize,
        n_batches: usize,
    ) -> Result<Rows> {
        let [k, n_out] = self.lengths;
        let n_rows = output.len() / n_out.max(1);
        let n_parts = MOST_ROWS.div_ceil(n_batches).min(n_rows);
        let mut state = batch as u64 + 1;
        let mut chosen = (0..n_parts).map(|part| {
            let (start, end) = (part * n_rows / n_parts, (part + 1) * n_rows / n_parts);
            // Knuth's generator; its upper bits are the better ones.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            start + (((state >> 32) * (end - start) as u64) >> 32) as usize
        });
        let mut rows = Rows { inputs: vec![0.0; n_parts * k], outputs: vec![0.0; n_parts * n_out] };
        let (from, into) = (input.values::<f32>()?, output.values::<f32>()?);
        let (shape, positions) = (input.shape(), &output.shape()[2.min(output.shape().len())..]);
        let moves = self.window.as_ref().map(|window| window.over(shape)).transpose()?;
        for (place, row) in chosen.by_ref().enumerate() {
            let inputs = &mut rows.inputs[place * k..][..k];
            let outputs = &mut rows.outputs[place * n_out..][..n_out];
            match (&self.window, &moves) {
                (Some(window), Some(pads)) => {
                    let n_positions: usize = positions.iter().product();
                    let (image, position) = (row / n_positions, row % n_positions);
                    let pixels = &from[image * (from.len() / shape[0])..][..from.len() / shape[0]];
                    window.patch(pixels, &shape[1..], &starts(window, position, positions, pads), inputs);
                    let given = &into[image * n_out * n_positions..];
                    for (channel, output) in outputs.iter_mut().enumerate() {
                        *output = given[channel * n_positions + position];
                    }
                }
                _ => {
                    inputs.copy_from_slice(&from[row * k..][..k]);
                    outputs.copy_from_slice(&into[row * n_out..][..n_out]);
                }
            }
        }
        Ok(rows)
    }
}

impl Rows {
    /// Puts other rows behind.
    pub(super) fn extend(&mut self, other: &Rows) {
        self.inputs.extend_from_slice(&other.inputs);
        self.outputs.extend_from_slice(&other.outputs);
    }
}

/// Some columns of a matrix whose rows have a length.
fn columns(values: &[f32], len: usize, columns: Range<usize>) -> Vec<f32> {
    values.chunks_exact(len).flat_map(|row| &row[columns.clone()]).copied().collect()
}

/// How the window of a Conv moves.
struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    padding: Padding,
}

/// How many zeros stand before the input.
enum Padding {
    Before(Vec<usize>),
    /// As many outputs as inputs by stride; the odd zero behind, or before.
    Same {
        odd_before: bool,
    },
}

impl Window {
    fn read(op: &Op, kernel: &[usize]) -> Result<Window> {
        let sizes = |name: &str, default: usize, len: usize| -> Result<Vec<usize>> {
            let Some(values) = op.ints(name)? else { return Ok(vec![default; len]) };
            let sizes: Option<Vec<usize>> = values.iter().map(|&value| usize::try_from(value).ok()).collect();
            sizes.filter(|sizes| sizes.len() == len).ok_or_else(|| {
                Error::unsupported(format!("{name} is {values:?}; learning needs {len} sizes"))
            })
        };
        let rank = kernel.len();
        let padding = match op.str("auto_pad")?.unwrap_or("NOTSET") {
            "SAME_UPPER" => Padding::Same { odd_before: false },
            "SAME_LOWER" => Padding::Same { odd_before: true },
            "VALID" => Padding::Before(vec![0; rank]),
            _ => Padding::Before(sizes("pads", 0, 2 * rank)?[..rank].to_vec()),
        };
        Ok(Window {
            kernel: kernel.to_vec(),
            strides: sizes("strides", 1, rank)?,
            dilations: sizes("dilations", 1, rank)?,
            padding,
        })
    }

    /// How many zeros stand before an input of that shape, in each dimension.
    fn over(&self, shape: &[usize]) -> Result<Vec<usize>> {
        if shape.len() != self.kernel.len() + 2 {
            let message = format!("the input is {shape:?}, the window {:?}", self.kernel);
            return Err(Error::invalid_data(message));
        }
        let before = |axis: usize| match &self.padding {
            Padding::Before(pads) => pads[axis],
            Padding::Same { odd_before } => {
                let (size, stride) = (shape[axis + 2], self.strides[axis].max(1));
                let reach = (self.kernel[axis].max(1) - 1) * self.dilations[axis] + 1;
                let wanted = size.div_ceil(stride).saturating_sub(1) * stride + reach;
                let pad = wanted.saturating_sub(size);
                if *odd_before { pad.div_ceil(2) } else { pad / 2 }
            }
        };
        Ok((0..self.kernel.len()).map(before).collect())
    }

    /// Copies what a window that starts somewhere covers of an image, `[channels, sizes…]`: for each channel, tap by tap;
    /// zeros outside.
    fn patch(&self, image: &[f32], shape: &[usize], starts: &[isize], patch: &mut [f32]) {
        let (n_pixels, n_taps) =
            (shape[1..].iter().product::<usize>(), self.kernel.iter().product::<usize>());
        for tap in 0..n_taps {
            let pixel = self.pixel(tap, &shape[1..], starts);
            for channel in 0..shape[0] {
                patch[channel * n_taps + tap] = pixel.map_or(0.0, |pixel| image[channel * n_pixels + pixel]);
            }
        }
    }

    /// The pixel under a tap.
    fn pixel(&self, mut tap: usize, sizes: &[usize], starts: &[isize]) -> Option<usize> {
        let (mut pixel, mut stride) = (0, 1);
        for axis in (0..sizes.len()).rev() {
            let offset = tap % self.kernel[axis] * self.dilations[axis];
            tap /= self.kernel[axis];
            let at = usize::try_from(starts[axis] + offset as isize).ok().filter(|&at| at < sizes[axis])?;
            pixel += at * stride;
            stride *= sizes[axis];
        }
        Some(pixel)
    }
}

/// Where the window of an output position starts; before the input if negative.
fn starts(window: &Window, mut position: usize, positions: &[usize], pads: &[usize]) -> Vec<isize> {
    let mut starts = vec![0; positions.len()];
    for axis in (0..positions.len()).rev() {
        starts[axis] = (position % positions[axis] * window.strides[axis]) as isize - pads[axis] as isize;
        position /= positions[axis];
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantfit_interp::Session;
    use quantfit_ir::{Node, Pass};
    use quantfit_quant::{NameNodes, layers};

    /// Rows of inputs times the weight are the outputs, for every kind of layer.
    fn check(input: &[usize], weight: &[usize], op: &str) {
        let show = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let text = format!(
            "model m opset 17\n%x = input : f32[{}]\n%w = const splat(1.0) : f32[{}]\n%y = {op}\nreturn %y\n",
            show(input),
            show(weight)
        );
        let mut model: Model = text.parse().unwrap();
        NameNodes.run(&mut model).unwrap();
        let numbers = |shape: &[usize]| {
            let values = (0..shape.iter().product::<usize>()).map(|idx| ((idx * 37 + 11) % 23) as f32 - 11.0);
            Tensor::new(shape, values.collect())
        };
        let w = model.graph.value_named("w").unwrap();
        let constant = model.graph.add(Node::constant("v", numbers(weight)), &[]);
        model.graph.replace_uses(w, constant.into());
        model.graph.remove_dead();
        let layer = layers(&model).remove(0);
        assert!(layer.can_learn_rounding());
        let reading = Reading::new(&model, &layer).unwrap();
        let x = numbers(input);
        let y = Session::new(&model).unwrap().run(std::slice::from_ref(&x)).unwrap().remove(0);
        let rows = reading.sample(&x, &y, 0, 1).unwrap();
        let w = layer.tensor(&model, &layer.weights[0]).values::<f32>().unwrap();
        let n_out = reading.lengths[1];
        let (k, per_group) = (w.len() / n_out, n_out / reading.groups);
        let mut found = Vec::new();
        let groups: Vec<Vec<f32>> =
            (0..reading.groups).map(|group| reading.inputs_of(&rows, group)).collect();
        for row in 0..y.len() / n_out {
            for output in 0..n_out {
                let inputs = &groups[output / per_group][row * k..][..k];
                let at = |tap: usize| {
                    if layer.weights[0].axis == 1 { tap * n_out + output } else { output * k + tap }
                };
                found.push(inputs.iter().enumerate().map(|(tap, x)| x * w[at(tap)]).sum::<f32>());
            }
        }
        assert_eq!(found, rows.outputs, "{op}");
    }

    #[test]
    fn rows_times_the_weight_are_the_outputs() {
        check(&[3, 4], &[4, 5], "Gemm(%x, %w)");
        check(&[3, 4], &[5, 4], "Gemm(%x, %w) {transB = 1}");
        check(&[2, 3, 4], &[4, 5], "MatMul(%x, %w)");
        check(&[2, 3, 7], &[4, 3, 3], "Conv(%x, %w) {pads = [1, 1], strides = [2]}");
        check(
            &[2, 4, 6, 5],
            &[6, 2, 3, 2],
            "Conv(%x, %w) {group = 2, pads = [1, 0, 2, 1], strides = [2, 1]}",
        );
        check(
            &[1, 3, 9, 8],
            &[3, 1, 3, 3],
            "Conv(%x, %w) {group = 3, dilations = [2, 3], pads = [0, 3, 1, 3]}",
        );
        check(&[1, 2, 6, 7], &[3, 2, 2, 4], "Conv(%x, %w) {auto_pad = \"SAME_UPPER\", strides = [2, 3]}");
        check(&[1, 2, 6, 7], &[3, 2, 2, 4], "Conv(%x, %w) {auto_pad = \"SAME_LOWER\"}");
        check(&[1, 2, 6, 7], &[3, 2, 2, 4], "Conv(%x, %w) {auto_pad = \"VALID\", pads = [1, 1, 1, 1]}");
        check(&[1, 2, 3, 4, 3], &[2, 2, 2, 2, 2], "Conv(%x, %w)");
    }

    #[test]
    fn many_rows_leave_a_sample_of_all() {
        let model: Model = "model m opset 17\n%x = input : f32[N,1]\n%w = const [1.0] : f32[1,1]\n\
                            %y = MatMul(%x, %w) @fc\nreturn %y\n"
            .parse()
            .unwrap();
        let reading = Reading::new(&model, &layers(&model)[0]).unwrap();
        let sample = || {
            let mut rows = Rows::default();
            for batch in 0..10 {
                let values = (0..1000).map(|idx| (batch * 1000 + idx) as f32).collect();
                let tensor = Tensor::new(&[1000, 1], values);
                rows.extend(&reading.sample(&tensor, &tensor, batch, 10).unwrap());
            }
            rows.inputs
        };
        let rows = sample();
        assert_eq!(rows.len(), 2050);
        let mean = rows.iter().sum::<f32>() / 2050.0;
        assert!((mean - 5000.0).abs() < 20.0, "{mean}");
        assert_eq!(sample(), rows);
    }
}
