//! fp32 convolution over one to three spatial dimensions, batch and channels first (`NC…`), with groups.
//!
//! Every output is its bias plus the products over input channel, depth, height and width of the window, in this order,
//! summed in the order of a [matrix product](crate::gemm): every fused kernel computes the same bits.
//! The reference skips taps that fall on padding; the fast kernels multiply them by zero.
//! For finite weights the results are equal, up to the sign of a zero; an infinite or NaN weight times padding is NaN.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod depthwise;
mod im2col;
mod reference;
mod shape;

use std::sync::LazyLock;

pub use shape::ConvShape;

use crate::error::{Error, Result, expect_len};
use crate::gemm::{self, PackedLeft, Tile};
use crate::isa::Isa;
use crate::matrix::Matrix;

/// One row of the table: a convolution kernel that this machine can run.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `<algorithm>-<tile or instruction set>`, or `reference`.
    pub name: String,
    /// Whether multiplication and addition are rounded once; the results then equal the reference bit for bit.
    pub fused: bool,
    algorithm: Algorithm,
}

#[derive(Clone, Copy, Debug)]
enum Algorithm {
    #[cfg(target_arch = "x86_64")]
    DepthwiseAvx512,
    Depthwise(Isa),
    Im2col(&'static gemm::Kernel, &'static Tile),
    Reference,
}

/// The weights of a convolution, laid out for one kernel.
///
/// Batch and spatial sizes may differ from run to run; channels, groups and kernel sizes may not.
#[derive(Debug)]
pub struct PreparedConv {
    kernel: &'static Kernel,
    channels: WeightSizes,
    weights: Weights,
}

#[derive(Debug)]
enum Weights {
    /// In the layout of the argument.
    Plain(Vec<f32>),
    /// The left factor of each group.
    Packed(Vec<PackedLeft>),
}

/// The sizes that determine the layout of the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeightSizes {
    inputs: usize,
    outputs: usize,
    groups: usize,
    kernel: Vec<usize>,
}

/// The kernels of this machine, best first, the reference last; not every one [supports](Kernel::supports)
/// every shape.
pub fn kernels() -> &'static [Kernel] {
    static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        #[cfg(target_arch = "x86_64")]
        let direct = avx512::is_available().then(|| Kernel {
            name: "depthwise-direct-avx512".to_owned(),
            fused: true,
            algorithm: Algorithm::DepthwiseAvx512,
        });
        #[cfg(not(target_arch = "x86_64"))]
        let direct = None;
        let depthwise = Isa::rows().iter().map(|isa| Kernel {
            name: format!("depthwise-shifts-{}", isa.name()),
            fused: isa.fused(),
            algorithm: Algorithm::Depthwise(*isa),
        });
        let im2col = gemm::kernels().iter().filter_map(|gemm| {
            let algorithm = Algorithm::Im2col(gemm, gemm.tile()?);
            Some(Kernel { name: format!("im2col-{}", gemm.name), fused: gemm.fused, algorithm })
        });
        let reference = Kernel { name: "reference".to_owned(), fused: true, algorithm: Algorithm::Reference };
        direct.into_iter().chain(depthwise).chain(im2col).chain([reference]).collect()
    });
    &KERNELS
}

/// Prepares weights for the best kernel that supports the shape; see [`Kernel::prepare`].
///
/// # Errors
/// As [`Kernel::prepare`].
pub fn prepare(shape: &ConvShape, weights: &[f32]) -> Result<PreparedConv> {
    kernels()
        .iter()
        .find(|kernel| kernel.supports(shape))
        .expect("the reference supports every shape")
        .prepare(shape, weights)
}

/// Convolves once, with the best kernel; for repeated use, [`prepare`] the weights.
///
/// # Errors
/// As [`Kernel::prepare`] and [`PreparedConv::run`].
pub fn conv(
    shape: &ConvShape,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) -> Result<()> {
    prepare(shape, weights)?.run(shape, input, bias, output)
}

impl Kernel {
    /// Whether this kernel supports the shape.
    pub fn supports(&self, shape: &ConvShape) -> bool {
        match self.algorithm {
            #[cfg(target_arch = "x86_64")]
            Algorithm::DepthwiseAvx512 => shape.is_depthwise() && avx512::supports(shape),
            // It adds in one chain, which is the order of the reference only up to `STRETCH` taps.
            Algorithm::Depthwise(_) => {
                let taps = shape.kernel.iter().copied().fold(1, usize::saturating_mul);
                shape.is_depthwise() && taps <= gemm::STRETCH
            }
            Algorithm::Im2col(..) | Algorithm::Reference => true,
        }
    }

    /// Lays out weights, `[out_channels, in_channels / groups, kernel…]`, for this kernel.
    ///
    /// # Errors
    /// If the shape is invalid, this kernel does not support it, or the number of weights does not match the shape.
    pub fn prepare(&'static self, shape: &ConvShape, weights: &[f32]) -> Result<PreparedConv> {
        shape.window()?;
        expect_len("the weights", weights.len(), shape.weights_len())?;
        if !self.supports(shape) {
            return Err(Error::new(format!("kernel {} does not support this convolution", self.name)));
        }
        let weights = match self.algorithm {
            Algorithm::Im2col(gemm, _) => {
                let depth = weights.len() / shape.out_channels.max(1);
                let rows = shape.group_out_channels();
                let groups = weights.chunks_exact((rows * depth).max(1));
                Weights::Packed(
                    groups.map(|group| gemm.pack_left(Matrix::row_major(group, rows, depth))).collect(),
                )
            }
            _ => Weights::Plain(weights.to_vec()),
        };
        Ok(PreparedConv { kernel: self, channels: WeightSizes::of(shape), weights })
    }
}

impl PreparedConv {
    /// `output = bias + input * weights`: input `[batch, in_channels, …]`, bias one for each output channel,
    /// output `[batch, out_channels, …]` with the sizes of [`ConvShape::output`].
    ///
    /// # Errors
    /// If the shape is invalid, the weights were prepared for other channels, groups or kernel sizes, or the length of
    /// a slice does not match the shape.
    pub fn run(
        &self,
        shape: &ConvShape,
        input: &[f32],
        bias: Option<&[f32]>,
        output: &mut [f32],
    ) -> Result<()> {
        let window = shape.window()?;
        if WeightSizes::of(shape) != self.channels {
            return Err(Error::new("the weights were prepared for other channels, groups or kernel sizes"));
        }
        expect_len("the input", input.len(), shape.input_len())?;
        expect_len("the output", output.len(), shape.output_len()?)?;
        if let Some(bias) = bias {
            expect_len("the bias", bias.len(), shape.out_channels)?;
        }
        if output.is_empty() {
            return Ok(());
        }
        if input.is_empty() {
            // The windows cover only padding: no weight is read.
            reference::conv(shape, &window, input, &[], bias, output);
            return Ok(());
        }
        match (self.kernel.algorithm, &self.weights) {
            #[cfg(target_arch = "x86_64")]
            (Algorithm::DepthwiseAvx512, Weights::Plain(weights)) => {
                avx512::conv(shape, &window, input, weights, bias, output);
            }
            (Algorithm::Depthwise(isa), Weights::Plain(weights)) => {
                depthwise::conv(isa, shape, window, input, weights, bias, output);
            }
            (Algorithm::Im2col(gemm, tile), Weights::Packed(weights)) => {
                im2col::conv(gemm, tile, shape, window, input, weights, bias, output);
            }
            (_, Weights::Plain(weights)) => reference::conv(shape, &window, input, weights, bias, output),
            (_, Weights::Packed(_)) => unreachable!("only im2col packs"),
        }
        Ok(())
    }
}

impl WeightSizes {
    pub(crate) fn of(shape: &ConvShape) -> WeightSizes {
        WeightSizes {
            inputs: shape.in_channels,
            outputs: shape.out_channels,
            groups: shape.groups,
            kernel: shape.kernel.clone(),
        }
    }
}
