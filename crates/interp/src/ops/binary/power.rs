//! Powers. The result has the type of the base; the exponent may have another.

use super::super::cast::converted;
use crate::broadcast::{broadcast_shape, zip, zip_in_place};
use crate::call::Call;
use crate::number::{Number, unexpected};
use crate::op::{Outputs, one};
use crate::stand_in::{both_widened, narrowed};
use intact8_ir::{DType, Result, Tensor, with_element};

/// A base of powers.
pub(super) const BASES: &[DType] = &[DType::F32, DType::F64, DType::F16, DType::Bf16, DType::I32, DType::I64];

/// Base and exponent of one float type are computed in it, 16-bit floats in f32; a float base with an exponent of
/// another type in f64. Integers wrap around.
pub(super) fn pow(call: &mut Call<'_, '_>) -> Result<Outputs> {
    let (x, exponent) = (call.take(0)?, call.take(1)?);
    let shape = broadcast_shape(&[x.shape(), exponent.shape()])?;
    let (base, own) = (x.dtype(), exponent.dtype());
    let is_integer = matches!(base, DType::I32 | DType::I64) && !own.is_float();
    with_element!(base, [F32 F64 F16 Bf16 I32 I64], T => call.reserve::<T>(&shape), other => Err(unexpected(other)))?;
    one(match base {
        base if base == own && base != DType::F64 && base.is_float() => {
            let has_cubes = base == DType::F32;
            let (x, exponent) = both_widened(x, exponent, call)?;
            narrowed(single(x, &exponent, &shape, has_cubes)?, base)
        }
        base if is_integer => {
            let exponent = converted(exponent, DType::I64, call)?;
            // Exponents beyond i64 have the same effect as smaller ones: residues repeat after 2^62 steps.
            let fold = |e: i64| if own == DType::U64 && e < 0 { e & i64::MAX | 1 << 62 } else { e };
            with_element!(base, [I32 I64],
                T => raised(x, &exponent, &shape, |x: T, e: i64| integer_power(x, fold(e))),
                other => Err(unexpected(other)))
        }
        base => {
            let exponent = converted(exponent, DType::F64, call)?;
            match (base, exponent.values::<f64>()?) {
                (DType::F64, [2.0]) if own == base => raised(x, &exponent, &shape, |x: f64, _: f64| x * x),
                _ => with_element!(base, [F32 F64 F16 Bf16 I32 I64],
                    T => raised(x, &exponent, &shape, |x: T, e: f64| T::from_f64(x.to_f64().powf(e))),
                    other => Err(unexpected(other))),
            }
        }
    }?)
}

/// Most powers in networks are squares and cubes.
fn single(x: Tensor, exponent: &Tensor, shape: &[usize], has_cubes: bool) -> Result<Tensor> {
    match exponent.values::<f32>()? {
        [2.0] => raised(x, exponent, shape, |x: f32, _: f32| x * x),
        [3.0] if has_cubes => raised(x, exponent, shape, |x: f32, _: f32| x * x * x),
        _ => raised(x, exponent, shape, |x: f32, e: f32| x.powf(e)),
    }
}

fn raised<A: Number, B: Number>(
    mut x: Tensor,
    exponent: &Tensor,
    shape: &[usize],
    f: impl Fn(A, B) -> A,
) -> Result<Tensor> {
    let exponents = (exponent.values::<B>()?, exponent.shape());
    if x.shape() == shape {
        zip_in_place((x.values_mut::<A>()?, shape), exponents, |x, e| f(*x, *e));
        return Ok(x);
    }
    Ok(Tensor::new(shape, zip((x.values::<A>()?, x.shape()), exponents, shape, |x, e| f(*x, *e))))
}

/// Exponentiation by squaring; fractions are truncated.
fn integer_power<T: Number>(x: T, exponent: i64) -> T {
    if exponent < 0 {
        return T::from_f64(x.to_f64().powf(exponent as f64));
    }
    let (mut power, mut square, mut rest) = (T::ONE, x, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            power = power.mul(square);
        }
        square = square.mul(square);
        rest >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_powers_wrap_and_truncate_fractions() {
        assert_eq!(integer_power(3i32, 5), 243);
        assert_eq!(integer_power(-2i64, 63), i64::MIN);
        assert_eq!(integer_power(2i32, 32), 0);
        assert_eq!(integer_power(7i64, 0), 1);
        assert_eq!([integer_power(1i32, -3), integer_power(-1, -3), integer_power(2, -1)], [1, -1, 0]);
    }
}
