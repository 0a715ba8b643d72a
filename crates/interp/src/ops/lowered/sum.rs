//! Sums and products of two operands of bytes, element by element, with the result requantized.

use super::Coding;
use crate::broadcast::{broadcast_shape, zip};
use crate::call::Call;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use crate::real::expect_type;
use intact8_ir::{DType, Element, Error, Result, Tensor};
use intact8_kernels::conv_bytes::Levels;
use intact8_kernels::quantize::{ProductScaling, Quantized, add_bytes_within, mul_bytes};
use std::borrow::Cow;

const BYTES: &[DType] = &[DType::I8, DType::U8];

/// A kernel for bytes of the type `T` of the result: a block that makes it of the codings and the levels.
macro_rules! with_bytes {
    ($ctx:ident, |$codings:pat_param, $levels:ident| $kernel:block) => {{
        let $codings = codings($ctx)?;
        match codings($ctx)?[2].dtype {
            DType::I8 => {
                type T = i8;
                let $levels = codings($ctx)?[2].levels::<T>($ctx)?;
                let kernel = $kernel;
                Ok(Box::new(move |call| kernel(call)))
            }
            _ => {
                type T = u8;
                let $levels = codings($ctx)?[2].levels::<T>($ctx)?;
                let kernel = $kernel;
                Ok(Box::new(move |call| kernel(call)))
            }
        }
    }};
}

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Sum", opsets: 0..=NEWEST, types: BYTES, compile: sum },
    OpRow { name: "Scaled", opsets: 0..=NEWEST, types: BYTES, compile: scaled },
];

/// `round(a·ra + (b·rb + (zc - (za·ra + zb·rb))))`, where `ra` and `rb` are the scales divided by that of the result.
fn sum(ctx: &CompileContext<'_>) -> Result<Kernel> {
    with_bytes!(ctx, |[a, b, c], levels| {
        let of = [a.scale / c.scale, b.scale / c.scale];
        let rest = c.zero as f32 - of[0].mul_add(a.zero as f32, of[1] * b.zero as f32);
        move |call: &Call<'_, '_>| {
            each_pair(call, |a, b, out: &mut [T]| {
                add_bytes_within(of, rest, [levels.min, levels.max], a, b, out)
            })
        }
    })
}

/// `round((a - za)·(b - zb)·(sa·sb/sc) + zc)`
fn scaled(ctx: &CompileContext<'_>) -> Result<Kernel> {
    with_bytes!(ctx, |[a, b, c], levels| {
        let factor = a.scale * b.scale / c.scale;
        let zeros = [T::from_i32(a.zero), T::from_i32(b.zero)];
        let scaling = ProductScaling { zeros, factor, zero_point: levels.zero_point };
        let is_whole = levels == Levels::all(levels.zero_point);
        move |call: &Call<'_, '_>| {
            each_pair(call, |a, b, out: &mut [T]| {
                mul_bytes(scaling, a, b, out);
                if !is_whole {
                    out.iter_mut().for_each(|byte| *byte = (*byte).clamp(levels.min, levels.max));
                }
            })
        }
    })
}

fn codings(ctx: &CompileContext<'_>) -> Result<[Coding; 3]> {
    let read = |scale| Coding::read(ctx, scale, scale + 1, DType::U8);
    Ok([read(1)?, read(4)?, read(6)?])
}

fn each_pair<T: Element + Quantized>(
    call: &Call<'_, '_>,
    compute: impl FnOnce(&[T], &[T], &mut [T]),
) -> Result<Outputs> {
    let (a, b) = (call.tensor(0)?, call.tensor(3)?);
    expect_type(a, T::DTYPE)?;
    expect_type(b, T::DTYPE)?;
    let shape = broadcast_shape(&[a.shape(), b.shape()])?;
    let mut out = call.unset::<T>(&shape)?;
    compute(&repeated(a, &shape)?, &repeated(b, &shape)?, &mut out);
    one(Tensor::new(&shape, out))
}

/// The elements, broadcast to the shape.
fn repeated<'a, T: Element>(tensor: &'a Tensor, shape: &[usize]) -> Result<Cow<'a, [T]>> {
    let values = tensor.values::<T>()?;
    if tensor.shape() == shape {
        return Ok(Cow::Borrowed(values));
    }
    if values.is_empty() && !shape.contains(&0) {
        return Err(Error::invalid_data("the shapes do not match"));
    }
    let tensor = (values, tensor.shape());
    Ok(Cow::Owned(zip(tensor, tensor, shape, |value, _| value.clone())))
}
