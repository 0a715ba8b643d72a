//! Depthwise convolution of blocked inputs: weighted sums of vectors of 16 channels, without a copy of the input.
//! Taps on padding are skipped: outputs that use the same taps along each axis share a list of them.

use std::ops::Range;

use super::epilogue::Output;
use super::tile::{Finish, Residual, Taps, Tile};
use crate::blocked::BLOCK;
use crate::gemm::Offsets;
use crate::parallel::{self, balanced};
use crate::window::Window;

/// The rows of a piece of a plane.
const PIECE_ROWS: usize = 16;

/// The operands of a depthwise convolution with as many output as input channels.
pub(super) struct Depthwise<'a> {
    pub(super) tile: &'static Tile,
    pub(super) plan: &'a DepthwisePlan,
    /// Blocks of channels.
    pub(super) blocks: usize,
    /// `[blocks, taps, 16]`
    pub(super) weights: &'a [f32],
    /// One for each channel, filled up with zeros.
    pub(super) bias: &'a [f32],
}

/// The taps of all outputs.
#[derive(Debug)]
pub(super) struct DepthwisePlan {
    window: Window,
    /// Along each axis, outputs that use the same taps.
    spans: [Vec<Span>; 3],
    /// For each span of the depth, of the height and of the width: where the taps lie in the input, from the first of
    /// them on, and in the weights.
    lists: Vec<(Offsets, Offsets)>,
}

/// Neighbouring outputs along an axis, and the taps of theirs that do not lie on padding.
#[derive(Clone, Debug)]
struct Span {
    outputs: Range<usize>,
    taps: Range<usize>,
}

impl DepthwisePlan {
    pub(super) fn new(window: Window) -> DepthwisePlan {
        let spans = [0, 1, 2].map(|axis| spans(&window, axis));
        let ([_, height, width], dilations) = (window.input, window.dilations);
        let mut lists = Vec::new();
        for depth in &spans[0] {
            for row in &spans[1] {
                for column in &spans[2] {
                    let (mut inputs, mut weights) = (Vec::new(), Vec::new());
                    for d in depth.taps.clone() {
                        for h in row.taps.clone() {
                            for w in column.taps.clone() {
                                let plane = (d - depth.taps.start) * dilations[0] * height;
                                let line = (plane + (h - row.taps.start) * dilations[1]) * width;
                                inputs.push((line + (w - column.taps.start) * dilations[2]) * BLOCK);
                                weights.push(((d * window.kernel[1] + h) * window.kernel[2] + w) * BLOCK);
                            }
                        }
                    }
                    lists.push((Offsets::new(inputs), Offsets::new(weights)));
                }
            }
        }
        DepthwisePlan { window, spans, lists }
    }

    /// The span of an output along an axis.
    fn span(&self, axis: usize, output: usize) -> (usize, &Span) {
        let index = self.spans[axis].partition_point(|span| span.outputs.end <= output);
        (index, &self.spans[axis][index])
    }

    /// Where the first tap of the outputs of a span reads.
    fn source(&self, axis: usize, output: usize, span: &Span) -> usize {
        let window = &self.window;
        let padded = output * window.strides[axis] + span.taps.start * window.dilations[axis];
        // Without taps nothing is read.
        padded.saturating_sub(window.pads_begin[axis]).min(window.input[axis])
    }
}

impl Depthwise<'_> {
    /// Computes all images.
    pub(super) fn run(&self, input: &[f32], output: Output<'_>) {
        let Output { data, residual, activation, .. } = output;
        let window = &self.plan.window;
        let (taps, row_len) = (window.taps(), window.output[2] * BLOCK);
        let (in_len, out_len) = (window.input_len() * BLOCK, window.output_len() * BLOCK);
        let operations = data.len() * taps * parallel::TAP_COST;
        let planes = data.chunks_exact_mut(out_len).enumerate();
        let pieces = planes.flat_map(|(plane, rows)| {
            let pieces = rows.chunks_mut(PIECE_ROWS * row_len).enumerate();
            pieces.map(move |(piece, rows)| (plane, piece * PIECE_ROWS, rows))
        });
        parallel::for_each(operations, pieces.collect(), |(plane, first_row, output)| {
            let block = plane % self.blocks;
            let input = &input[plane * in_len..][..in_len];
            let weights = &self.weights[block * taps * BLOCK..][..taps * BLOCK];
            let bias = &self.bias[block * BLOCK..][..BLOCK];
            for (i, output) in output.chunks_exact_mut(row_len).enumerate() {
                let row = first_row + i;
                let residual = residual.map(|residual| Residual {
                    data: &residual[plane * out_len + row * row_len..][..row_len],
                    stride: 0,
                });
                let finish = Finish { residual, clamp: activation.clamp };
                self.run_row(row, input, weights, bias, finish, output);
            }
            activation.apply(output);
        });
    }

    /// Computes a row of a plane of the output; rows are counted over all depths.
    fn run_row(
        &self,
        row: usize,
        input: &[f32],
        weights: &[f32],
        bias: &[f32],
        finish: Finish<'_>,
        output: &mut [f32],
    ) {
        let plan = self.plan;
        let (window, spans) = (&plan.window, &plan.spans);
        let (depth, row) = (row / window.output[1], row % window.output[1]);
        let ((depth_index, depth_span), (row_index, row_span)) = (plan.span(0, depth), plan.span(1, row));
        let lists = &plan.lists[(depth_index * spans[1].len() + row_index) * spans[2].len()..];
        let line = plan.source(0, depth, depth_span) * window.input[1] + plan.source(1, row, row_span);
        for (span, (inputs, offsets)) in spans[2].iter().zip(lists) {
            for pixels in balanced(span.outputs.len(), self.tile.depthwise_pixels) {
                let column = span.outputs.start + pixels.start;
                let first = (line * window.input[2] + plan.source(2, column, span)) * BLOCK;
                let taps = Taps {
                    input: input.get(first..).unwrap_or_default(),
                    steps: inputs.slice(0..inputs.len()),
                    weights,
                    weight_steps: offsets.slice(0..offsets.len()),
                    bias,
                    finish: finish.at_pixel(column),
                };
                let output = &mut output[column * BLOCK..][..pixels.len() * BLOCK];
                (self.tile.run_depthwise)(&taps, window.strides[2] * BLOCK, output);
            }
        }
    }
}

fn spans(window: &Window, axis: usize) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for output in 0..window.output[axis] {
        let taps = window.taps_inside(axis, output);
        match spans.last_mut() {
            Some(last) if last.taps == taps => last.outputs.end += 1,
            _ => spans.push(Span { outputs: output..output + 1, taps }),
        }
    }
    spans
}
