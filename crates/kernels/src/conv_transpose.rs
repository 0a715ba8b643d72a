//! fp32 transposed convolution over one to three spatial dimensions, batch and channels first (`NC…`), with
//! groups.
//!
//! Every output is its bias plus the products over the input channels, tap after tap in the order of the window,
//! summed in the order of a [matrix product](crate::gemm): every fused kernel computes the same bits.
//! The caller passes the size of the output, and so handles output padding and automatic padding.

mod col2im;
mod reference;

use std::sync::LazyLock;

use crate::error::{Error, Result, expect_len};
use crate::gemm::{self, PackedLeft};
use crate::matrix::Matrix;
use crate::window::{Window, expect_positive, spatial};

/// The sizes of a transposed convolution with one to three spatial dimensions; all lists have one entry for
/// each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvTransposeShape {
    /// Images in the batch.
    pub batch: usize,
    /// Channels of the input, a multiple of `groups`.
    pub in_channels: usize,
    /// Channels of the output, a multiple of `groups`.
    pub out_channels: usize,
    /// The number of groups; an output channel uses the input channels of its group.
    pub groups: usize,
    /// Spatial sizes of the input.
    pub input: Vec<usize>,
    /// Spatial sizes of the output; contributions outside of it are dropped.
    pub output: Vec<usize>,
    /// Spatial sizes of the window.
    pub kernel: Vec<usize>,
    /// Distances in the output between neighbours of the input, at least 1.
    pub strides: Vec<usize>,
    /// Distances between the taps of the window, at least 1.
    pub dilations: Vec<usize>,
    /// The number of positions that are dropped before the output.
    pub pads_begin: Vec<usize>,
}

/// One row of the table: a convolution kernel that this machine can run.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `col2im-<matrix product>`, or `reference`.
    pub name: String,
    /// Whether multiplication and addition are rounded once; the results then equal the reference bit for bit.
    pub fused: bool,
    /// The matrix product; none for the reference.
    gemm: Option<&'static gemm::Kernel>,
}

/// The weights of a transposed convolution, laid out for one kernel.
///
/// Batch and spatial sizes may differ from run to run; channels, groups and kernel sizes may not.
#[derive(Debug)]
pub struct PreparedConvTranspose {
    kernel: &'static Kernel,
    /// The sizes that determine the layout of the weights: input channels, output channels, groups; kernel sizes.
    fits: ([usize; 3], Vec<usize>),
    weights: Weights,
}

#[derive(Debug)]
enum Weights {
    /// In the layout of the argument.
    Plain(Vec<f32>),
    /// The left factor of each block of output channels, group after group.
    Packed(Vec<PackedLeft>),
}

/// The kernels of this machine, best first, the reference last.
pub fn kernels() -> &'static [Kernel] {
    static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        let multiplied = gemm::kernels().iter().filter(|gemm| gemm.tile().is_some()).map(|gemm| Kernel {
            name: format!("col2im-{}", gemm.name),
            fused: gemm.fused,
            gemm: Some(gemm),
        });
        multiplied.chain([Kernel { name: "reference".to_owned(), fused: true, gemm: None }]).collect()
    });
    &KERNELS
}

/// Prepares weights for the best kernel; see [`Kernel::prepare`].
///
/// # Errors
/// As [`Kernel::prepare`].
pub fn prepare(shape: &ConvTransposeShape, weights: &[f32]) -> Result<PreparedConvTranspose> {
    kernels()[0].prepare(shape, weights)
}

/// Convolves once, with the best kernel; for repeated use, [`prepare`] the weights.
///
/// # Errors
/// As [`Kernel::prepare`] and [`PreparedConvTranspose::run`].
pub fn conv_transpose(
    shape: &ConvTransposeShape,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) -> Result<()> {
    prepare(shape, weights)?.run(shape, input, bias, output)
}

impl Kernel {
    /// Lays out weights, `[in_channels, out_channels / groups, kernel…]`, for this kernel.
    ///
    /// # Errors
    /// If the shape is invalid, or the number of weights does not match the shape.
    pub fn prepare(
        &'static self,
        shape: &ConvTransposeShape,
        weights: &[f32],
    ) -> Result<PreparedConvTranspose> {
        let window = shape.window()?;
        expect_len("the weights", weights.len(), shape.weights_len())?;
        let weights = match self.gemm {
            None => Weights::Plain(weights.to_vec()),
            Some(_) if weights.is_empty() => Weights::Packed(Vec::new()),
            Some(gemm) => {
                let (in_channels, out_channels) = (shape.group_in_channels(), shape.group_out_channels());
                let row = out_channels * window.taps();
                let groups = weights.chunks_exact(in_channels * row);
                let blocks = groups.flat_map(|group| {
                    col2im::blocks(&window, out_channels).map(move |block| {
                        let first = block.start * window.taps();
                        let (data, rows) = (&group[first..], block.len() * window.taps());
                        Matrix { data, rows, columns: in_channels, row_stride: 1, column_stride: row }
                    })
                });
                Weights::Packed(blocks.map(|block| gemm.pack_left(block)).collect())
            }
        };
        Ok(PreparedConvTranspose { kernel: self, fits: shape.fits(), weights })
    }
}

impl PreparedConvTranspose {
    /// Input `[batch, in_channels, …]`, bias one for each output channel, output `[batch, out_channels, …]`.
    ///
    /// # Errors
    /// If the shape is invalid, the weights were prepared for other channels, groups or kernel sizes, or the length of
    /// a slice does not match the shape.
    pub fn run(
        &self,
        shape: &ConvTransposeShape,
        input: &[f32],
        bias: Option<&[f32]>,
        output: &mut [f32],
    ) -> Result<()> {
        let window = shape.window()?;
        if shape.fits() != self.fits {
            return Err(Error::new("the weights were prepared for other channels, groups or kernel sizes"));
        }
        let planes = |channels: usize, len: usize| shape.batch.saturating_mul(channels).saturating_mul(len);
        expect_len("the input", input.len(), planes(shape.in_channels, window.output_len()))?;
        expect_len("the output", output.len(), planes(shape.out_channels, window.input_len()))?;
        if let Some(bias) = bias {
            expect_len("the bias", bias.len(), shape.out_channels)?;
        }
        if output.is_empty() {
            return Ok(());
        }
        match (&self.weights, self.kernel.gemm) {
            (Weights::Packed(blocks), Some(gemm)) if !input.is_empty() => {
                col2im::conv_transpose(gemm, shape, &window, input, blocks, bias, output);
            }
            (Weights::Plain(weights), _) => {
                reference::conv_transpose(shape, &window, input, weights, bias, output)
            }
            // The input is empty: no weight is read.
            (Weights::Packed(_), _) => reference::conv_transpose(shape, &window, input, &[], bias, output),
        }
        Ok(())
    }
}

impl ConvTransposeShape {
    /// The number of elements of the weights, `[in_channels, out_channels / groups, kernel…]`.
    pub fn weights_len(&self) -> usize {
        let taps = self.kernel.iter().fold(1, |product: usize, size| product.saturating_mul(*size));
        self.in_channels.saturating_mul(self.out_channels / self.groups.max(1)).saturating_mul(taps)
    }

    /// The window of the forward convolution, which reads this output and writes this input.
    fn window(&self) -> Result<Window> {
        let rank = self.input.len();
        let window = Window {
            input: spatial("the output", &self.output, rank, 1)?,
            output: spatial("the input", &self.input, rank, 1)?,
            kernel: spatial("the kernel", &self.kernel, rank, 1)?,
            strides: spatial("the strides", &self.strides, rank, 1)?,
            dilations: spatial("the dilations", &self.dilations, rank, 1)?,
            pads_begin: spatial("the pads before", &self.pads_begin, rank, 0)?,
        };
        expect_positive("kernel sizes", window.kernel)?;
        expect_positive("strides", window.strides)?;
        expect_positive("dilations", window.dilations)?;
        let ConvTransposeShape { groups, in_channels, out_channels, .. } = self;
        if *groups == 0 || !in_channels.is_multiple_of(*groups) || !out_channels.is_multiple_of(*groups) {
            return Err(Error::new(format!(
                "{groups} groups do not divide {in_channels} into {out_channels} channels"
            )));
        }
        window.check_reach()?;
        Ok(window)
    }

    fn group_in_channels(&self) -> usize {
        self.in_channels / self.groups
    }

    fn group_out_channels(&self) -> usize {
        self.out_channels / self.groups
    }

    fn fits(&self) -> ([usize; 3], Vec<usize>) {
        ([self.in_channels, self.out_channels, self.groups], self.kernel.clone())
    }
}
