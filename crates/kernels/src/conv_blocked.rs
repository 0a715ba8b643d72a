//! fp32 convolution on channel-blocked tensors, with what follows it: bias, residual and activation.
//!
//! A [blocked](crate::blocked) tensor is `[batch, channels / 16, spatial…, 16]`, the same on every machine.
//! The output is blocked; the input is blocked, or plain (`NC…`) for a first layer of few channels.
//! The memory should be aligned to 64 bytes: it is then faster.
//!
//! Sums are those of [`conv`](crate::conv), product by product: bias, then input channel, depth, height and width of
//! the window, in the stretches of a [matrix product](crate::gemm).
//! So every fused kernel computes the bits of the reference of `conv`, on any number of threads, up to the sign of a
//! zero, and for finite weights: taps on padding are multiplied by zero or skipped.
//! The residual is added to the finished sum, and the activation is that of [`elementwise`](crate::elementwise).
//!
//! Groups of a convolution must be whole blocks, or single channels with one output each; others are left to `conv`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dense;
mod depthwise;
mod epilogue;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plan;
mod reference;
mod sheet;
mod tile;
mod wide;

use std::ops::Range;
use std::sync::LazyLock;

use dense::Dense;
use depthwise::{Depthwise, DepthwisePlan};
pub use epilogue::Epilogue;
use epilogue::Output;
use plan::Plan;
use tile::{Tile, block_groups};

use crate::blocked::{BLOCK, Layout};
use crate::buffer::AlignedBuffer;
use crate::conv::{ConvShape, WeightSizes};
use crate::error::{Error, Result, expect_len};
use crate::gemm::STRETCH;
use crate::isa::Isa;
use crate::window::Window;

/// One row of the table: a convolution kernel that this machine can run.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `<instruction set>-<pixels>x<blocks>`, or `reference`.
    pub name: &'static str,
    /// Whether multiplication and addition are rounded once; the results then equal the reference bit for bit.
    pub fused: bool,
    /// The tile, and the instruction set of plain loops; none for the reference.
    tile: Option<(&'static Tile, Isa)>,
}

/// The weights of a convolution, laid out for one kernel.
///
/// Batch and spatial sizes may differ from run to run, but those of the preparation are the fastest.
#[derive(Debug)]
pub struct PreparedConvBlocked {
    kernel: &'static Kernel,
    layout: Layout,
    shape: ConvShape,
    /// That of the shape.
    window: Window,
    sizes: WeightSizes,
    weights: AlignedBuffer<f32>,
    /// One for each output channel, filled up with zeros.
    bias: AlignedBuffer<f32>,
    method: Method,
}

#[derive(Debug)]
enum Method {
    /// The offsets for the shape, and the groups of output blocks.
    Dense(Box<Plan>, Vec<Range<usize>>),
    Depthwise(Box<DepthwisePlan>),
    Reference,
}

/// The kernels of this machine, best first, the reference last; not every one [supports](Kernel::supports) every
/// shape.
pub fn kernels() -> &'static [Kernel] {
    static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        let row =
            |tile: &'static Tile, isa| Kernel { name: tile.name, fused: tile.fused, tile: Some((tile, isa)) };
        let tiles = Isa::rows().iter().filter_map(|isa| {
            let tile = match isa.name() {
                #[cfg(target_arch = "x86_64")]
                "avx512" => avx512::tile(),
                #[cfg(target_arch = "x86_64")]
                "avx2" => avx2::tile(),
                _ => Some(wide::tile()),
            }?;
            Some(row(tile, *isa))
        });
        #[cfg(target_arch = "aarch64")]
        let tiles = neon::tile().map(|tile| row(tile, Isa::best())).into_iter().chain(tiles);
        tiles.chain([Kernel { name: "reference", fused: true, tile: None }]).collect()
    });
    &KERNELS
}

/// Whether there is a kernel for the shape; the others are left to [`conv`](crate::conv).
pub fn supports(shape: &ConvShape, layout: Layout) -> bool {
    kernels()[kernels().len() - 1].supports(shape, layout)
}

/// Prepares weights for the best kernel that supports the shape; see [`Kernel::prepare`].
///
/// # Errors
/// As [`Kernel::prepare`].
pub fn prepare(
    shape: &ConvShape,
    layout: Layout,
    weights: &[f32],
    bias: Option<&[f32]>,
) -> Result<PreparedConvBlocked> {
    let mut kernels = kernels().iter();
    let kernel = kernels.find(|kernel| kernel.supports(shape, layout) || kernel.tile.is_none());
    kernel.expect("the table ends in the reference").prepare(shape, layout, weights, bias)
}

impl Kernel {
    /// Whether this kernel supports the shape, with an input of the layout.
    pub fn supports(&self, shape: &ConvShape, layout: Layout) -> bool {
        let Ok(window) = shape.window() else { return false };
        let (inputs, outputs) = (shape.group_in_channels(), shape.group_out_channels());
        if is_depthwise(shape) {
            // A longer sum would be cut into stretches.
            let one_chain = window.taps() <= STRETCH;
            return layout == Layout::Blocked && (self.tile.is_none() || one_chain);
        }
        let whole = inputs.is_multiple_of(BLOCK) && outputs.is_multiple_of(BLOCK);
        let grouped = shape.groups == 1 || layout == Layout::Blocked && whole;
        grouped && (self.tile.is_none() || inputs > 0 && matches!(Plan::new(shape, layout), Ok(Some(_))))
    }

    /// Lays out weights, `[out_channels, in_channels / groups, kernel…]`, and the bias, one for each output channel,
    /// for this kernel.
    ///
    /// # Errors
    /// If the shape is invalid, this kernel does not support it, or the number of weights or biases does not match the
    /// shape.
    pub fn prepare(
        &'static self,
        shape: &ConvShape,
        layout: Layout,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<PreparedConvBlocked> {
        let window = shape.window()?;
        expect_len("the weights", weights.len(), shape.weights_len())?;
        if let Some(bias) = bias {
            expect_len("the bias", bias.len(), shape.out_channels)?;
        }
        if !self.supports(shape, layout) {
            return Err(Error::new(format!("kernel {} does not support this convolution", self.name)));
        }
        let blocks = shape.out_channels.div_ceil(BLOCK);
        let mut padded_bias = zeros(blocks * BLOCK);
        if let Some(bias) = bias {
            padded_bias.as_mut_slice()[..bias.len()].copy_from_slice(bias);
        }
        let depth = weights.len() / shape.out_channels.max(1);
        let (method, packed) = match self.tile {
            None => {
                let mut plain = AlignedBuffer::new(weights.len());
                plain.as_mut_slice().copy_from_slice(weights);
                (Method::Reference, plain)
            }
            Some((tile, _)) if is_depthwise(shape) => {
                let packed = pack(weights, depth, &block_groups(blocks, 1));
                (Method::Depthwise(Box::new(DepthwisePlan::new(window, tile.depthwise_pixels))), packed)
            }
            Some((tile, _)) => {
                let (plan, group_blocks) = (plan(shape, layout)?, blocks / shape.groups);
                let row = plan.window.output[2];
                let groups = block_groups(group_blocks, (tile.blocks)(row));
                let all = (0..shape.groups).flat_map(|group| {
                    let first = group * group_blocks;
                    groups.iter().map(move |blocks| first + blocks.start..first + blocks.end)
                });
                let packed = pack(weights, depth, &all.collect::<Vec<_>>());
                (Method::Dense(Box::new(plan), groups), packed)
            }
        };
        Ok(PreparedConvBlocked {
            kernel: self,
            layout,
            shape: shape.clone(),
            window,
            sizes: WeightSizes::of(shape),
            weights: packed,
            bias: padded_bias,
            method,
        })
    }
}

impl PreparedConvBlocked {
    /// `output = activation(bias + input * weights + residual)`: input blocked, or `[batch, in_channels, …]` if it was
    /// prepared as plain, residual and output blocked, with the sizes of [`ConvShape::output`].
    ///
    /// The channels that fill up the last block of the output are what the activation makes of the sum of the residual
    /// and 0; those of the input are not read, except by the same channels of a depthwise convolution.
    ///
    /// # Errors
    /// If the shape is invalid, the weights were prepared for other channels, groups or kernel sizes, or the length of
    /// a slice does not match the shape.
    pub fn run(
        &self,
        shape: &ConvShape,
        input: &[f32],
        epilogue: Epilogue<'_>,
        output: &mut [f32],
    ) -> Result<()> {
        let is_prepared = shape.is_like(&self.shape);
        let window = if is_prepared { self.window } else { shape.window()? };
        if !is_prepared && WeightSizes::of(shape) != self.sizes {
            return Err(Error::new("the weights were prepared for other channels, groups or kernel sizes"));
        }
        let out_channels = shape.out_channels.next_multiple_of(BLOCK);
        let in_planes = shape.batch.saturating_mul(self.layout.padded(shape.in_channels));
        expect_len("the input", input.len(), in_planes.saturating_mul(window.input_len()))?;
        let output_len = shape.batch.saturating_mul(out_channels).saturating_mul(window.output_len());
        expect_len("the output", output.len(), output_len)?;
        if let Some(residual) = epilogue.residual {
            expect_len("the residual", residual.len(), output_len)?;
        }
        if output.is_empty() {
            return Ok(());
        }
        let isa = self.kernel.tile.map(|(_, isa)| isa);
        let output = epilogue.output(isa, shape.batch, output);
        let (weights, bias) = (self.weights.as_slice(), self.bias.as_slice());
        match (&self.method, self.kernel.tile) {
            (Method::Dense(prepared, block_groups), Some((tile, _))) => {
                let fresh = if is_prepared { None } else { Some(plan(shape, self.layout)?) };
                let plan = fresh.as_ref().unwrap_or(prepared);
                Dense { tile, plan, groups: shape.groups, block_groups, weights, bias }.run(input, output);
            }
            (Method::Depthwise(prepared), Some((tile, _))) => {
                let fresh = (!is_prepared).then(|| DepthwisePlan::new(window, tile.depthwise_pixels));
                let plan = fresh.as_ref().unwrap_or(prepared);
                let blocks = out_channels / BLOCK;
                Depthwise { tile, plan, blocks, weights, bias }.run(input, output);
            }
            _ => reference::conv(shape, &window, self.layout, input, weights, bias, output),
        }
        Ok(())
    }
}

fn is_depthwise(shape: &ConvShape) -> bool {
    shape.groups > 1 && shape.groups == shape.in_channels && shape.groups == shape.out_channels
}

fn plan(shape: &ConvShape, layout: Layout) -> Result<Plan> {
    Plan::new(shape, layout)?.ok_or_else(|| Error::new("the windows of this convolution reach too far"))
}

/// `[depth, blocks, 16]` for each group of blocks, from rows of the depth for each channel; channels beyond the last
/// have weights of zero.
fn pack(weights: &[f32], depth: usize, groups: &[Range<usize>]) -> AlignedBuffer<f32> {
    let blocks = groups.last().map_or(0, |last| last.end);
    let mut packed = zeros(blocks * BLOCK * depth);
    let data = packed.as_mut_slice();
    for group in groups {
        let row_len = group.len() * BLOCK;
        let target = &mut data[group.start * BLOCK * depth..group.end * BLOCK * depth];
        let channels = weights.chunks_exact(depth.max(1)).skip(group.start * BLOCK).take(row_len);
        for (lane, channel) in channels.enumerate() {
            for (row, weight) in target.chunks_exact_mut(row_len).zip(channel) {
                row[lane] = *weight;
            }
        }
    }
    packed
}

fn zeros(len: usize) -> AlignedBuffer<f32> {
    let mut buffer = AlignedBuffer::new(len);
    buffer.as_mut_slice().fill(0.0);
    buffer
}
