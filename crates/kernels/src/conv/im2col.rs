//! Convolution as a matrix product of weights and windows; the windows are read from a sheet and never copied.
//! For windows of one position the input itself is the right factor.

use std::cell::Cell;
use std::ops::Range;

use super::ConvShape;
use crate::buffer::{AlignedBuffer, with_scratch};
use crate::gemm::{
    self, DepthBlock, Init, Left, Offsets, PackedLeft, Right, RightBlock, RightRows, Start, Tile,
    depth_blocks,
};
use crate::isa::{Isa, Loops};
use crate::matrix::{Matrix, MatrixMut};
use crate::parallel::{self, balanced};
use crate::sliding::{SLACK, Sheet, Strip, gather_rows, strip_size, strips};
use crate::window::Window;

/// The preferred number of columns of a strip: its sheet and its result stay in the second-level cache.
const STRIP_COLUMNS: usize = 512;

/// The number of pieces that a convolution is cut into, if it is large enough.
const PIECES: usize = 8;

thread_local! {
    static SHEET: Cell<AlignedBuffer<f32>> = const { Cell::new(AlignedBuffer::EMPTY) };
    static FLAT: Cell<AlignedBuffer<f32>> = const { Cell::new(AlignedBuffer::EMPTY) };
}

/// `output = bias + input * weights`, the weights packed group by group.
#[expect(clippy::too_many_arguments, reason = "the operands of a convolution, and how to compute it")]
pub(super) fn conv(
    kernel: &gemm::Kernel,
    tile: &'static Tile,
    shape: &ConvShape,
    window: Window,
    input: &[f32],
    weights: &[PackedLeft],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let (in_channels, out_channels) = (shape.group_in_channels(), shape.group_out_channels());
    let operations = output.len() * in_channels * window.taps();
    let inputs = input.chunks_exact(in_channels * window.input_len());
    let outputs = output.chunks_exact_mut(out_channels * window.output_len());
    let images = inputs.zip(outputs).enumerate().map(|(i, (input, output))| {
        let group = i % shape.groups;
        let bias = bias.map(|bias| &bias[group * out_channels..][..out_channels]);
        Image { input, output, weights: &weights[group], bias }
    });
    if window.is_pointwise() {
        parallel::for_each(operations, images.collect(), |image| pointwise(kernel, in_channels, image));
        return;
    }
    let size = strip_size(&window, STRIP_COLUMNS);
    let sheet = Sheet::new(window, size);
    let offsets = (0..in_channels).flat_map(|channel| sheet.taps.iter().map(move |tap| (channel, *tap)));
    let offsets = Offsets::new(offsets.map(|(channel, tap)| channel * sheet.len() + tap).collect());
    let layout = Layout { tile, sheet, offsets, in_channels };
    let strips: Vec<Strip> = strips(&window, size).collect();
    let mut pieces = Vec::with_capacity(shape.batch * shape.groups * strips.len());
    for image in images {
        let first = pieces.len();
        let Image { input, weights, bias, .. } = image;
        pieces.extend(strips.iter().map(|strip| Piece { strip, input, weights, bias, output: Vec::new() }));
        for mut plane in image.output.chunks_exact_mut(window.output_len()) {
            for piece in &mut pieces[first..] {
                let (head, tail) = plane.split_at_mut(piece.strip.len());
                piece.output.push(head);
                plane = tail;
            }
        }
    }
    let parts = PIECES.div_ceil(pieces.len());
    let operations_of_piece = operations / pieces.len();
    parallel::for_each(operations, pieces, |piece| {
        convolve_piece(&layout, piece, parts, operations_of_piece)
    });
}

/// One group of channels of one image.
struct Image<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
    weights: &'a PackedLeft,
    bias: Option<&'a [f32]>,
}

/// A strip of an image, with the slice of each output channel.
struct Piece<'a> {
    strip: &'a Strip,
    input: &'a [f32],
    weights: &'a PackedLeft,
    bias: Option<&'a [f32]>,
    output: Vec<&'a mut [f32]>,
}

/// The data that all pieces share.
struct Layout {
    tile: &'static Tile,
    sheet: Sheet,
    /// The start of each row of the right factor in the sheets of the channels, which are adjacent.
    offsets: Offsets,
    in_channels: usize,
}

fn pointwise(kernel: &gemm::Kernel, in_channels: usize, image: Image<'_>) {
    let columns = image.input.len() / in_channels;
    let right = Right::Plain(Matrix::row_major(image.input, in_channels, columns));
    let rows = image.output.len() / columns;
    let init = image.bias.map_or(Init::Zero, Init::Rows);
    kernel.gemm(Left::Packed(image.weights), right, init, MatrixMut::row_major(image.output, rows, columns));
}

/// Lays out the sheets of a strip and multiplies; `parts` of the output channels may go to different threads.
fn convolve_piece(layout: &Layout, mut piece: Piece<'_>, parts: usize, operations: usize) {
    let Layout { sheet, in_channels, .. } = layout;
    let channel_len = piece.input.len() / in_channels;
    with_scratch(&SHEET, in_channels * sheet.len() + SLACK, |sheets| {
        Isa::best().run(FillSheets { sheet, strip: piece.strip, input: piece.input, channel_len, sheets });
        let panels = piece.weights.panels();
        let mut output = &mut piece.output[..];
        let parts = balanced(panels, panels.div_ceil(parts)).map(|panels| {
            let height = piece.weights.panel_rows(panels.clone()).len();
            let (head, tail) = std::mem::take(&mut output).split_at_mut(height);
            output = tail;
            (panels, head)
        });
        let parts = parts.collect();
        parallel::for_each(operations, parts, |(panels, output)| {
            multiply_part(layout, piece.strip, sheets, piece.weights, piece.bias, panels, output);
        });
    });
}

/// Copies the input channels into their sheets.
struct FillSheets<'a> {
    sheet: &'a Sheet,
    strip: &'a Strip,
    input: &'a [f32],
    channel_len: usize,
    sheets: &'a mut [f32],
}

impl Loops for FillSheets<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        for (i, channel) in self.input.chunks_exact(self.channel_len).enumerate() {
            self.sheet.fill(self.strip, channel, 0.0, &mut self.sheets[i * self.sheet.len()..]);
        }
    }
}

/// Computes the output channels of some panels of the weights.
fn multiply_part(
    layout: &Layout,
    strip: &Strip,
    sheets: &[f32],
    left: &PackedLeft,
    bias: Option<&[f32]>,
    panels: Range<usize>,
    output: &mut [&mut [f32]],
) {
    let multiply = |c: &mut [&mut [f32]]| {
        for depth in depth_blocks(left.depth()) {
            let init = bias.map_or(Start::Zero, |bias| Start::Rows(&bias[left.panel_rows(panels.clone())]));
            let start = if depth.start == 0 { init } else { Start::Continue };
            let rows = RightRows::At(layout.offsets.slice(depth.clone()));
            let right = RightBlock { data: sheets, rows, panel_stride: layout.tile.columns };
            let (tile, left_panels) = (layout.tile, panels.clone());
            DepthBlock { tile, left, left_panels, depth, right, start, epilogue: None }.run(c);
        }
    };
    let columns = layout.sheet.columns(strip);
    if columns == strip.len() {
        multiply(output);
        return;
    }
    with_scratch(&FLAT, output.len() * columns, |flat| {
        multiply(&mut flat.chunks_exact_mut(columns).collect::<Vec<_>>());
        for (flat, output) in flat.chunks_exact(columns).zip(output) {
            gather_rows(flat, layout.sheet.pitch, strip.columns.len(), output);
        }
    });
}
