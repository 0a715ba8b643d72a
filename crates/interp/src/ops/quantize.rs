//! QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear.

mod granularity;
mod quantized;

use crate::call::Call;
use crate::number::{Number, unexpected};
use crate::op::{CompileContext, Kernel, OpRow, Outputs, one};
use crate::real::rounded;
use granularity::{Granularity, Runs};
use intact8_ir::{DType, Element, Error, F8E8M0, Result, Tensor, bf16, f16, with_element};
use intact8_kernels::quantize::{Affine, Integer, dequantize as dequantize_run, quantize as quantize_run};
use intact8_kernels::reduce::min_max;
use quantized::{Dequantized, Quantized};
use std::borrow::Cow;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(10, "DequantizeLinear", QUANTIZED, dequantize),
    OpRow::since(11, "DynamicQuantizeLinear", &[DType::F32], |_| Ok(dynamic_quantize())),
    OpRow::since(10, "QuantizeLinear", &[DType::F32, DType::F16, DType::Bf16, DType::I32], |ctx| {
        quantize(ctx, None)
    }),
];

/// The types of DequantizeLinear.
pub(super) const QUANTIZED: &[DType] = &[
    DType::I8,
    DType::U8,
    DType::I16,
    DType::U16,
    DType::I32,
    DType::I4,
    DType::U4,
    DType::I2,
    DType::U2,
    DType::F8E4M3Fn,
    DType::F8E4M3Fnuz,
    DType::F8E5M2,
    DType::F8E5M2Fnuz,
    DType::F6E2M3,
    DType::F6E3M2,
    DType::F4E2M1,
];

/// `saturate(round(x / scale) + zero_point)`, half to even; without `round` if the result is a float.
///
/// The quotient is rounded to the type in the attribute `precision`, or else to `default`, or else to the type of the
/// scale.
pub(super) fn quantize(ctx: &CompileContext<'_>, default: Option<DType>) -> Result<Kernel> {
    let granularity = Granularity::read(ctx)?;
    let (output, precision) = (ctx.dtype("output_dtype")?, ctx.dtype("precision")?.or(default));
    let saturate = ctx.flag("saturate", true)?;
    Ok(Box::new(move |call| {
        let (x, scale, zeros) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
        let runs = granularity.runs(x, scale, zeros)?;
        let dtype = match (zeros.map(Tensor::dtype), output) {
            (Some(zeros), Some(output)) if zeros != output => {
                let message = format!("output_dtype is {output}, but the zero point has {zeros}");
                return Err(Error::invalid_model(message));
            }
            (zeros, output) => zeros.or(output).unwrap_or(DType::U8),
        };
        let precision = precision.unwrap_or(scale.dtype());
        let (x, scale) = (in_precision(x, precision)?, in_precision(scale, precision)?);
        let divide = division(precision);
        with_element!(dtype, [I8 U8 I16 U16], T => {
            if precision != DType::F16 && precision != DType::Bf16 {
                return quantized_fast::<T>(call, &runs, &x, &scale);
            }
            quantized::<T>(call, &runs, &x, &scale, divide, saturate)
        }, dtype => with_element!(dtype,
            [I4 U4 I2 U2 F8E4M3Fn F8E4M3Fnuz F8E5M2 F8E5M2Fnuz F6E2M3 F6E3M2 F4E2M1],
            T => quantized::<T>(call, &runs, &x, &scale, divide, saturate),
            other => Err(Error::unsupported(format!("no kernel for op QuantizeLinear to {other}")))))
    }))
}

/// The elements as numbers of a type of at most 32 bits.
fn in_precision(x: &Tensor, precision: DType) -> Result<Cow<'_, [f32]>> {
    let numbers: Cow<'_, [f32]> = match x.dtype() {
        DType::F32 => Cow::Borrowed(x.values()?),
        DType::F8E8M0 => x.values::<F8E8M0>()?.iter().map(|x| x.to_f32()).collect(),
        dtype => with_element!(dtype, [F16 Bf16 I32], T => {
            x.values::<T>()?.iter().map(|x| x.to_f32()).collect()
        }, other => return Err(unexpected(other))),
    };
    match precision {
        dtype if dtype == x.dtype() => Ok(numbers),
        DType::F16 => Ok(numbers.iter().map(|x| f16::from_f32(*x).to_f32()).collect()),
        DType::Bf16 => Ok(numbers.iter().map(|x| bf16::from_f32(*x).to_f32()).collect()),
        DType::F32 | DType::F8E8M0 | DType::I32 => Ok(numbers),
        other => Err(Error::unsupported(format!("no kernel for op QuantizeLinear with precision {other}"))),
    }
}

/// A quotient, rounded to a type.
fn division(precision: DType) -> fn(f32, f32) -> f32 {
    match precision {
        DType::F16 => |x, scale| f16::from_f32(x / scale).to_f32(),
        DType::Bf16 => |x, scale| bf16::from_f32(x / scale).to_f32(),
        _ => |x, scale| x / scale,
    }
}

fn quantized<T: Quantized>(
    call: &Call<'_, '_>,
    runs: &Runs,
    x: &[f32],
    scale: &[f32],
    divide: impl Fn(f32, f32) -> f32,
    saturate: bool,
) -> Result<Outputs> {
    let shape = call.tensor(0)?.shape();
    call.reserve::<T>(shape)?;
    let zeros = zero_points::<T>(call, scale.len())?;
    let mut out = Vec::with_capacity(x.len());
    runs.for_each(|range, at, step| {
        let quantize = |x: f32, at: usize| T::quantized(divide(x, scale[at]), zeros[at], saturate);
        out.extend(x[range].iter().enumerate().map(|(i, x)| quantize(*x, at + i * step)));
    });
    one(Tensor::new(shape, out))
}

/// The same with a kernel, for the types and precisions that have one.
fn quantized_fast<T>(call: &Call<'_, '_>, runs: &Runs, x: &[f32], scale: &[f32]) -> Result<Outputs>
where
    T: Quantized + intact8_kernels::quantize::Quantized,
{
    let shape = call.tensor(0)?.shape();
    let mut out = call.unset::<T>(shape)?;
    let zeros = zero_points::<T>(call, scale.len())?;
    runs.for_each(|range, at, step| {
        let (x, out) = (&x[range.clone()], &mut out[range]);
        if step == 0 {
            return quantize_run(Affine::of(scale[at], zeros[at]), x, out);
        }
        let scales = scale[at..].iter().zip(&zeros[at..]);
        for ((out, x), (scale, zero)) in out.iter_mut().zip(x).zip(scales) {
            *out = Quantized::quantized(x / scale, *zero, true);
        }
    });
    one(Tensor::new(shape, out))
}

/// The zero points, or zeros if they are absent.
fn zero_points<'c, T: Element>(call: &'c Call<'_, '_>, n: usize) -> Result<Cow<'c, [T]>> {
    match call.optional(2)? {
        Some(zeros) => Ok(Cow::Borrowed(zeros.values()?)),
        None => Ok(Cow::Owned(vec![T::default(); n])),
    }
}

/// `(x - zero_point)·scale`, computed in f32 and rounded to the type of the scale, or that of `output_dtype`.
pub(super) fn dequantize(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let granularity = Granularity::read(ctx)?;
    let output = ctx.dtype("output_dtype")?;
    Ok(Box::new(move |call| {
        let (x, scale, zeros) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
        let runs = granularity.runs(x, scale, zeros)?;
        let output = output.unwrap_or(scale.dtype());
        if !matches!(output, DType::F32 | DType::F16 | DType::Bf16) {
            return Err(Error::unsupported(format!("no kernel for op DequantizeLinear to {output}")));
        }
        let scale = in_precision(scale, DType::F32)?;
        let mut out = call.unset::<f32>(x.shape())?;
        with_element!(x.dtype(), [I8 U8 I16 U16 I32], T => {
            let zeros = zero_points::<T>(call, scale.len())?;
            if T::DTYPE == DType::I32 && zeros.iter().any(|zero| zero.to_i32() != 0) {
                return Err(Error::invalid_data("integers of 32 bits have no zero point but 0"));
            }
            let x = x.values::<T>()?;
            runs.for_each(|range, at, step| match step {
                0 => {
                    // The range is not used for dequantization.
                    let (scale, zero_point) = (scale[at], zeros[at].to_i32());
                    let affine = Affine { scale, zero_point, min: 0, max: 0 };
                    dequantize_run(affine, &x[range.clone()], &mut out[range]);
                }
                _ => dequantized(&x[range.clone()], &scale[at..], &zeros[at..], &mut out[range]),
            });
        }, dtype => with_element!(dtype,
            [I4 U4 I2 U2 F8E4M3Fn F8E4M3Fnuz F8E5M2 F8E5M2Fnuz F6E2M3 F6E3M2 F4E2M1],
            T => {
                let (x, zeros) = (x.values::<T>()?, zero_points::<T>(call, scale.len())?);
                runs.for_each(|range, at, step| {
                    let (x, out) = (&x[range.clone()], &mut out[range]);
                    match step {
                        0 => out.iter_mut().zip(x).for_each(|(out, x)| *out = x.minus(zeros[at]) * scale[at]),
                        _ => dequantized(x, &scale[at..], &zeros[at..], out),
                    }
                });
            },
            other => return Err(unexpected(other))));
        one(rounded(output, x.shape(), out)?)
    }))
}

/// Every element with its own scale and zero point.
fn dequantized<T: Dequantized>(x: &[T], scale: &[f32], zeros: &[T], out: &mut [f32]) {
    for ((out, x), (scale, zero)) in out.iter_mut().zip(x).zip(scale.iter().zip(zeros)) {
        *out = x.minus(*zero) * scale;
    }
}

/// Quantizes to u8, with the scale and zero point of a range that includes all numbers and 0.
fn dynamic_quantize() -> Kernel {
    Box::new(|call| {
        let x = call.tensor(0)?;
        let mut out = call.unset::<u8>(x.shape())?;
        let values = x.values::<f32>()?;
        let (scale, zero) = dynamic_range(values);
        quantize_run(Affine::of(scale, zero), values, &mut out);
        let tensors = [Tensor::new(x.shape(), out), Tensor::scalar(scale), Tensor::scalar(zero)];
        Ok(tensors.into_iter().map(Into::into).collect())
    })
}

/// The scale and the zero point in u8 for the range of the numbers.
pub(super) fn dynamic_range(values: &[f32]) -> (f32, u8) {
    let range = min_max(values);
    let (min, max) = (range.min.min(0.0), range.max.max(0.0));
    let scale = if min == max { 1.0 } else { (max - min) / 255.0 };
    (scale, (0.0 - min / scale).round_ties_even() as u8)
}
