//! Integer convolution, as ONNX ConvInteger defines it: `y = Σ (x - x_zero) · (w - w_zero)` in wrapping i32,
//! for signed or unsigned bytes on both sides, over one to three spatial dimensions.
//!
//! Padding is `x_zero` and contributes nothing.
//! Every kernel is exact.

mod depthwise;
mod im2col;
mod reference;

use std::cell::Cell;
use std::sync::LazyLock;

pub use crate::gemm_integer::{Bytes, ZeroPoints};

use crate::buffer::{AlignedBuffer, with_scratch};
use crate::conv::{ConvShape, WeightSizes};
use crate::error::{Error, Result, expect_len};
use crate::gemm_integer::{self, PackedRight};
use crate::isa::Isa;
use crate::parallel;

thread_local! {
    static SUMS: Cell<AlignedBuffer<i32>> = const { Cell::new(AlignedBuffer::EMPTY) };
}

/// One row of the table: a convolution kernel that this machine can run.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `<algorithm>-<how it computes>`, or `reference`.
    pub name: String,
    algorithm: Algorithm,
}

#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Depthwise(Isa),
    Im2col(&'static gemm_integer::Kernel),
    Reference,
}

/// The weights of an integer convolution, laid out for one kernel.
///
/// Batch and spatial sizes may differ from run to run; channels, groups and kernel sizes may not.
#[derive(Debug)]
pub struct PreparedConvInteger {
    kernel: &'static Kernel,
    channels: WeightSizes,
    weights: Weights,
    /// One for each output channel.
    zeros: Vec<i32>,
}

#[derive(Debug)]
enum Weights {
    /// In the layout of the argument, with the zero points subtracted.
    Centred(Vec<i32>),
    /// The right factor of each group.
    Packed(Vec<PackedRight>),
}

/// The kernels of this machine, best first, the reference last; not every one [supports](Kernel::supports)
/// every shape.
pub fn kernels() -> &'static [Kernel] {
    static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        let depthwise = Isa::rows().iter().map(|isa| Kernel {
            name: format!("depthwise-{}", isa.name()),
            algorithm: Algorithm::Depthwise(*isa),
        });
        let tiled = gemm_integer::kernels().iter().filter(|gemm| gemm.is_tiled());
        let im2col = tiled
            .map(|gemm| Kernel { name: format!("im2col-{}", gemm.name), algorithm: Algorithm::Im2col(gemm) });
        let reference = Kernel { name: "reference".to_owned(), algorithm: Algorithm::Reference };
        depthwise.chain(im2col).chain([reference]).collect()
    });
    &KERNELS
}

/// Prepares weights for the best kernel that supports the shape; see [`Kernel::prepare`].
///
/// # Errors
/// As [`Kernel::prepare`].
pub fn prepare(shape: &ConvShape, weights: Bytes<'_>, zeros: ZeroPoints<'_>) -> Result<PreparedConvInteger> {
    let best = kernels().iter().find(|kernel| kernel.supports(shape));
    best.expect("the reference supports every shape").prepare(shape, weights, zeros)
}

/// Convolves once, with the best kernel; for repeated use, [`prepare`] the weights.
///
/// # Errors
/// As [`Kernel::prepare`] and [`PreparedConvInteger::run`].
pub fn conv_integer(
    shape: &ConvShape,
    input: Bytes<'_>,
    input_zero: i32,
    weights: Bytes<'_>,
    weight_zeros: ZeroPoints<'_>,
    output: &mut [i32],
) -> Result<()> {
    prepare(shape, weights, weight_zeros)?.run(shape, input, input_zero, output)
}

impl Kernel {
    /// Whether this kernel supports the shape.
    pub fn supports(&self, shape: &ConvShape) -> bool {
        match self.algorithm {
            Algorithm::Depthwise(_) => shape.is_depthwise(),
            Algorithm::Im2col(..) | Algorithm::Reference => true,
        }
    }

    /// Lays out weights, `[out_channels, in_channels / groups, kernel…]`, for this kernel;
    /// zero points are one for all or one for each output channel.
    ///
    /// # Errors
    /// If the shape is invalid, this kernel does not support it, or the number of weights or zero points does not match
    /// the shape.
    pub fn prepare(
        &'static self,
        shape: &ConvShape,
        weights: Bytes<'_>,
        zeros: ZeroPoints<'_>,
    ) -> Result<PreparedConvInteger> {
        let window = shape.window()?;
        expect_len("the weights", weights.len(), shape.weights_len())?;
        let zeros = match zeros {
            ZeroPoints::Scalar(zero) => vec![zero; shape.out_channels],
            ZeroPoints::Each(zeros) => zeros.to_vec(),
        };
        expect_len("the zero points of the weights", zeros.len(), shape.out_channels)?;
        if !self.supports(shape) {
            return Err(Error::new(format!("kernel {} does not support this convolution", self.name)));
        }
        let weights = match self.algorithm {
            Algorithm::Im2col(gemm) => Weights::Packed(im2col::pack(gemm, shape, &window, weights)),
            Algorithm::Depthwise(_) | Algorithm::Reference => {
                let per_channel = (weights.len() / shape.out_channels.max(1)).max(1);
                let centred = (0..weights.len()).map(|i| weights.at(i).wrapping_sub(zeros[i / per_channel]));
                Weights::Centred(centred.collect())
            }
        };
        Ok(PreparedConvInteger { kernel: self, channels: WeightSizes::of(shape), weights, zeros })
    }
}

impl PreparedConvInteger {
    /// `output = Σ (input - input_zero) · (weights - weight zeros)`: input `[batch, in_channels, …]`,
    /// output `[batch, out_channels, …]` with the sizes of [`ConvShape::output`].
    ///
    /// # Errors
    /// If the shape is invalid, the weights were prepared for other channels, groups or kernel sizes, the length of a
    /// slice does not match the shape, or the zero point is outside the input's type.
    pub fn run(
        &self,
        shape: &ConvShape,
        input: Bytes<'_>,
        input_zero: i32,
        output: &mut [i32],
    ) -> Result<()> {
        self.run_then(shape, input, input_zero, output, |_, sums, output| output.copy_from_slice(sums))
    }

    /// As [`run`](Self::run), but passes the sums to `finish`, which receives an output channel, the sums of some of
    /// its positions, and the part of the output for their results.
    ///
    /// # Errors
    /// As [`PreparedConvInteger::run`].
    pub fn run_then<U: Send>(
        &self,
        shape: &ConvShape,
        input: Bytes<'_>,
        input_zero: i32,
        output: &mut [U],
        finish: impl Fn(usize, &[i32], &mut [U]) + Sync,
    ) -> Result<()> {
        let window = shape.window()?;
        if WeightSizes::of(shape) != self.channels {
            return Err(Error::new("the weights were prepared for other channels, groups or kernel sizes"));
        }
        expect_len("the input", input.len(), shape.input_len())?;
        expect_len("the output", output.len(), shape.output_len()?)?;
        input.check_zero(input_zero)?;
        if output.is_empty() {
            return Ok(());
        }
        let plane_len = window.output_len();
        let weights = match (self.kernel.algorithm, &self.weights) {
            (Algorithm::Im2col(gemm), Weights::Packed(weights)) if !input.is_empty() => {
                let zeros = &self.zeros;
                im2col::conv(gemm, shape, window, input, input_zero, weights, zeros, output, &finish);
                return Ok(());
            }
            (_, Weights::Centred(weights)) => weights,
            // The windows cover only padding: no weight is read.
            (_, Weights::Packed(_)) => &vec![],
        };
        with_scratch(&SUMS, output.len(), |sums| {
            match self.kernel.algorithm {
                _ if input.is_empty() => sums.fill(0),
                Algorithm::Depthwise(isa) => {
                    depthwise::conv(isa, shape, window, input, input_zero, weights, sums)
                }
                _ => reference::conv(shape, &window, input, input_zero, weights, sums),
            }
            let planes = sums.chunks_exact(plane_len).zip(output.chunks_exact_mut(plane_len)).enumerate();
            parallel::for_each(sums.len(), planes.collect(), |(idx, (sums, output))| {
                finish(idx % shape.out_channels, sums, output);
            });
        });
        Ok(())
    }
}
