//! Convolution of quantized bytes in channels-last order, with the result requantized where it is stored.
//!
//! `output = epilogue(Σ (x - x_zero) · (w - w_zero))` in wrapping i32, for signed or unsigned bytes on both sides, over
//! one to three spatial dimensions; padding is `x_zero` and contributes nothing.
//! The input is `[batch, spatial…, in_channels]`, the output `[batch, spatial…, out_channels]`; weights are in the
//! order of ONNX.
//! Every kernel computes the same bits as the formula of the [epilogue](crate::epilogue).

#[cfg(target_arch = "x86_64")]
mod avx512;
mod depthwise;
mod direct;
mod patch;
mod reference;

use std::sync::LazyLock;

pub use crate::epilogue::{Epilogue, Levels, Output};
pub use crate::gemm_integer::{Bytes, ZeroPoints};

use crate::byte_tile::{PackedBytes, Tile, tiles};
use crate::conv::ConvShape;
use crate::error::{Error, Result, expect_len};
use crate::isa::Isa;
use depthwise::{Code, Stencil};

/// One row of the table: a convolution kernel that this machine can run.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `<algorithm>-<tile or instruction set>`, or `reference`.
    pub name: String,
    algorithm: Algorithm,
}

#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Depthwise(Code),
    Direct(&'static Tile),
    Reference,
}

/// The weights of a convolution of bytes, laid out for one kernel.
///
/// Batch, spatial sizes and pads may differ from run to run; the other sizes may not.
#[derive(Debug)]
pub struct PreparedConvBytes {
    kernel: &'static Kernel,
    shape: ConvShape,
    weights: Weights,
}

#[derive(Debug)]
enum Weights {
    /// In the order of the argument, without zero points.
    Centred(Vec<i16>),
    Stencil(Stencil),
    Packed(PackedBytes),
}

/// The kernels of this machine, best first, the reference last; not every one [supports](Kernel::supports) every
/// convolution.
pub fn kernels() -> &'static [Kernel] {
    static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        let isas = Isa::rows().iter().map(|isa| (isa.name(), Code::Loops(*isa)));
        #[cfg(target_arch = "x86_64")]
        let isas = avx512::is_available().then_some(("avx512vnni", Code::Avx512)).into_iter().chain(isas);
        let depthwise = isas.map(|(name, code)| Kernel {
            name: format!("depthwise-{name}"),
            algorithm: Algorithm::Depthwise(code),
        });
        let direct = tiles()
            .iter()
            .map(|tile| Kernel { name: format!("direct-{}", tile.name), algorithm: Algorithm::Direct(tile) });
        let reference = Kernel { name: "reference".to_owned(), algorithm: Algorithm::Reference };
        depthwise.chain(direct).chain([reference]).collect()
    });
    &KERNELS
}

/// Prepares weights for the best kernel that supports the convolution; see [`Kernel::prepare`].
///
/// # Errors
/// As [`Kernel::prepare`].
pub fn prepare(shape: &ConvShape, weights: Bytes<'_>, zeros: ZeroPoints<'_>) -> Result<PreparedConvBytes> {
    let centred = centred(shape, weights, zeros)?;
    let best = kernels().iter().find(|kernel| kernel.supports_centred(shape, &centred));
    best.expect("the reference supports every convolution").prepare_centred(shape, centred)
}

impl Kernel {
    /// Whether this kernel supports the shape and the weights: some kernels multiply signed bytes, and the weights
    /// without their zero points must be that.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn supports(&self, shape: &ConvShape, weights: Bytes<'_>, zeros: ZeroPoints<'_>) -> Result<bool> {
        Ok(self.supports_centred(shape, &centred(shape, weights, zeros)?))
    }

    fn supports_centred(&self, shape: &ConvShape, weights: &[i16]) -> bool {
        match self.algorithm {
            Algorithm::Depthwise(Code::Loops(_)) => shape.is_depthwise(),
            #[cfg(target_arch = "x86_64")]
            Algorithm::Depthwise(Code::Avx512) => shape.is_depthwise() && are_signed_bytes(weights),
            Algorithm::Direct(tile) => !tile.reads_bytes() || are_signed_bytes(weights),
            Algorithm::Reference => true,
        }
    }

    /// Lays out weights, `[out_channels, in_channels / groups, kernel…]`, for this kernel;
    /// zero points are one for all or one for each output channel.
    ///
    /// # Errors
    /// If the shape is invalid, this kernel does not support it, the number of weights or zero points does not match
    /// the shape, or a zero point is outside the type of the weights.
    pub fn prepare(
        &'static self,
        shape: &ConvShape,
        weights: Bytes<'_>,
        zeros: ZeroPoints<'_>,
    ) -> Result<PreparedConvBytes> {
        self.prepare_centred(shape, centred(shape, weights, zeros)?)
    }

    fn prepare_centred(&'static self, shape: &ConvShape, weights: Vec<i16>) -> Result<PreparedConvBytes> {
        let window = shape.window()?;
        if !self.supports_centred(shape, &weights) {
            return Err(Error::new(format!("kernel {} does not support this convolution", self.name)));
        }
        let weights = match self.algorithm {
            Algorithm::Depthwise(code) => Weights::Stencil(depthwise::pack(code, shape, &window, &weights)),
            Algorithm::Direct(tile) => Weights::Packed(direct::pack(tile, shape, &window, &weights)),
            Algorithm::Reference => Weights::Centred(weights),
        };
        Ok(PreparedConvBytes { kernel: self, shape: shape.clone(), weights })
    }
}

impl PreparedConvBytes {
    fn is_prepared_for(&self, shape: &ConvShape) -> bool {
        let ConvShape { in_channels, out_channels, groups, kernel, strides, dilations, .. } = &self.shape;
        (*in_channels, *out_channels, *groups) == (shape.in_channels, shape.out_channels, shape.groups)
            && (kernel, strides, dilations) == (&shape.kernel, &shape.strides, &shape.dilations)
    }

    /// The name of the kernel for which the weights are laid out.
    pub fn kernel(&self) -> &'static str {
        &self.kernel.name
    }

    /// Convolves: input `[batch, spatial…, in_channels]`, output `[batch, spatial…, out_channels]` with the spatial
    /// sizes of [`ConvShape::output`].
    ///
    /// # Errors
    /// If the shape is invalid, the weights were prepared for another convolution, the length of a slice does not match
    /// the shape, the zero point is outside the input's type, or the smallest level of the output exceeds the largest.
    pub fn run(
        &self,
        shape: &ConvShape,
        input: Bytes<'_>,
        input_zero: i32,
        epilogue: Epilogue<'_>,
        mut output: Output<'_>,
    ) -> Result<()> {
        let window = shape.window()?;
        if !self.is_prepared_for(shape) {
            return Err(Error::new(
                "the weights were prepared for other channels, groups, kernel sizes, strides or dilations",
            ));
        }
        expect_len("the input", input.len(), shape.input_len())?;
        output.check(shape.output_len()?)?;
        epilogue.check(shape.out_channels)?;
        input.check_zero(input_zero)?;
        if shape.output_len()? == 0 {
            return Ok(());
        }
        match (self.kernel.algorithm, &self.weights) {
            (Algorithm::Depthwise(code), Weights::Stencil(stencil)) => {
                let target = output.into_target();
                depthwise::conv(code, shape, &window, stencil, input, input_zero, epilogue, target);
            }
            (Algorithm::Direct(tile), Weights::Packed(weights)) => {
                let target = output.into_target();
                direct::conv(tile, shape, window, weights, input, input_zero, epilogue, target);
            }
            (_, Weights::Centred(weights)) => {
                reference::conv(shape, &window, weights, input, input_zero, epilogue, &mut output);
            }
            _ => unreachable!("the weights are packed for the algorithm"),
        }
        Ok(())
    }
}

/// Whether instructions that multiply signed bytes support the weights.
fn are_signed_bytes(weights: &[i16]) -> bool {
    weights.iter().all(|weight| i8::try_from(*weight).is_ok())
}

/// The weights without their zero points, of which each is within the type.
fn centred(shape: &ConvShape, weights: Bytes<'_>, zeros: ZeroPoints<'_>) -> Result<Vec<i16>> {
    shape.window()?;
    expect_len("the weights", weights.len(), shape.weights_len())?;
    weights.centred(zeros, shape.out_channels)
}
