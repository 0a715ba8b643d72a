//! Sums and products of quantized operands, element by element.

use super::coding::{Byte, Coding, nearest};
use crate::broadcast::{broadcast_shape, zip};
use crate::call::Call;
use crate::op::{Kernel, Outputs, one};
use crate::real::expect_type;
use intact8_ir::{Result, Tensor, with_element};
use intact8_kernels::quantize::Integer;
use std::borrow::Cow;

/// `round(a·ra + (b·rb + (zc - (za·ra + zb·rb))))`, where `ra` and `rb` are the scales divided by that of the result;
/// every product is rounded together with its addition.
pub(super) fn add() -> Kernel {
    Box::new(|call| {
        with_element!(call.tensor(0)?.dtype(), [I8 U8], T => {
            let [a, b, c] = codings::<T>(call)?;
            let (of_a, of_b) = (a.scale / c.scale, b.scale / c.scale);
            let [a_zero, b_zero, c_zero] = [a, b, c].map(|coding| coding.zero.to_i32() as f32);
            let rest = c_zero - of_a.mul_add(a_zero, of_b * b_zero);
            let (a, b) = (call.tensor(0)?, call.tensor(3)?);
            let shape = broadcast_shape(&[a.shape(), b.shape()])?;
            let mut out = call.unset::<T>(&shape)?;
            let [a, b] = [repeated::<T>(a, &shape)?, repeated::<T>(b, &shape)?];
            intact8_kernels::quantize::add_bytes([of_a, of_b], rest, &a, &b, &mut out);
            one(Tensor::new(&shape, out))
        }, other => Err(crate::number::unexpected(other)))
    })
}

/// `round((a - za)·(b - zb)·(sa·sb/sc) + zc)`
pub(super) fn mul() -> Kernel {
    Box::new(|call| {
        with_element!(call.tensor(0)?.dtype(), [I8 U8], T => {
            let [a, b, c] = codings::<T>(call)?;
            let factor = a.scale * b.scale / c.scale;
            let [a_zero, b_zero, c_zero] = [a, b, c].map(|coding| coding.zero.to_i32());
            let product = |a: T, b: T| (a.to_i32() - a_zero) * (b.to_i32() - b_zero);
            pairs(call, |a: T, b: T| nearest(product(a, b) as f32 * factor + c_zero as f32))
        }, other => Err(crate::number::unexpected(other)))
    })
}

/// Operands are `a`, its scale and zero point, `b` with the same, and the scale and zero point of the result.
fn codings<T: Byte>(call: &Call<'_, '_>) -> Result<[Coding<T>; 3]> {
    expect_type(call.tensor(3)?, T::DTYPE)?;
    Ok([Coding::read(call, 1, 2)?, Coding::read(call, 4, 5)?, Coding::read(call, 6, 7)?])
}

/// The elements, broadcast to the shape.
fn repeated<'a, T: Byte>(tensor: &'a Tensor, shape: &[usize]) -> Result<Cow<'a, [T]>> {
    let values = tensor.values::<T>()?;
    if tensor.shape() == shape {
        return Ok(Cow::Borrowed(values));
    }
    Ok(Cow::Owned(zip((values, tensor.shape()), (values, tensor.shape()), shape, |value, _| *value)))
}

fn pairs<T: Byte>(call: &Call<'_, '_>, f: impl Fn(T, T) -> T) -> Result<Outputs> {
    let (a, b) = (call.tensor(0)?, call.tensor(3)?);
    let shape = broadcast_shape(&[a.shape(), b.shape()])?;
    call.reserve::<T>(&shape)?;
    let (a, b) = ((a.values::<T>()?, a.shape()), (b.values::<T>()?, b.shape()));
    one(Tensor::new(&shape, zip(a, b, &shape, |a, b| f(*a, *b))))
}
