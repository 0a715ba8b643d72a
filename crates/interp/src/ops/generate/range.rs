//! Range: numbers at equal distances.

use crate::call::Call;
use crate::number::{Number, with_float};
use crate::op::{CompileContext, Kernel, Outputs, one};
use intact8_ir::{DType, Element, Error, Result, Tensor, with_element};

/// `start + i * delta` for all values before the limit.
pub(super) fn range(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let is_double = match DType::from_number(ctx.int("stash_type", 1)?) {
        Some(DType::F32) => false,
        Some(DType::F64) => true,
        _ => return Err(ctx.unsupported("a stash_type that is neither f32 nor f64")),
    };
    Ok(Box::new(move |call| {
        with_element!(call.tensor(0)?.dtype(), [I8 U8 I16 U16 I32 U32 I64 U64], T => integers::<T>(call),
            other => with_float!(other, T => floats::<T>(call, is_double)))
    }))
}

/// Start, limit and delta.
fn ends<T: Element + Copy>(call: &Call<'_, '_>) -> Result<[T; 3]> {
    let only = |slot: usize| match call.values::<T>(slot)? {
        [value] => Ok(*value),
        values => Err(Error::invalid_data(format!("expected one number, found {}", values.len()))),
    };
    Ok([only(0)?, only(1)?, only(2)?])
}

fn integers<T: Number + Into<i128>>(call: &Call<'_, '_>) -> Result<Outputs> {
    let [start, limit, delta] = ends::<T>(call)?;
    let n = n_integers(start.into(), limit.into(), delta.into())?;
    call.reserve::<T>(&[n])?;
    let values = std::iter::successors(Some(start), |value| Some(value.add(delta)));
    one(Tensor::new(&[n], values.take(n).collect()))
}

fn n_integers(start: i128, limit: i128, delta: i128) -> Result<usize> {
    let distance = limit - start;
    let n = match delta.signum() {
        0 => return Err(Error::invalid_data("delta must not be 0")),
        sign if sign == distance.signum() => distance.unsigned_abs().div_ceil(delta.unsigned_abs()),
        _ => 0,
    };
    usize::try_from(n).map_err(|_| Error::limit(format!("a range of {n} numbers exceeds the address space")))
}

/// 16-bit floats are computed in f32 or f64.
fn floats<T: Number>(call: &Call<'_, '_>, is_double: bool) -> Result<Outputs> {
    let ends = ends::<T>(call)?;
    let [start, limit, delta] = ends.map(Number::to_f64);
    let n = n_floats(start, limit, delta)?;
    call.reserve::<T>(&[n])?;
    let values = match T::DTYPE {
        DType::F16 | DType::Bf16 if !is_double => {
            let (start, delta) = (start as f32, delta as f32);
            (0..n).map(|i| T::from_f32(start + i as f32 * delta)).collect()
        }
        DType::F16 | DType::Bf16 | DType::F64 => {
            (0..n).map(|i| T::from_f64(start + i as f64 * delta)).collect()
        }
        _ => (0..n).map(|i| ends[0].add(T::from_f64(i as f64).mul(ends[2]))).collect(),
    };
    one(Tensor::new::<T>(&[n], values))
}

fn n_floats(start: f64, limit: f64, delta: f64) -> Result<usize> {
    let n = ((limit - start) / delta).ceil();
    if !n.is_finite() {
        let message = format!("a range from {start} to {limit} with delta {delta} is infinite");
        return Err(Error::invalid_data(message));
    }
    // The cast saturates, and the allocation of such a number of elements fails.
    Ok(n.max(0.0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_before_the_limit() {
        assert_eq!(n_integers(10, 4, -2).unwrap(), 3);
        assert_eq!(n_integers(0, 10, -1).unwrap(), 0);
        assert_eq!(n_integers(3, 3, 1).unwrap(), 0);
        assert_eq!(n_integers(i64::MIN.into(), i64::MAX.into(), i64::MAX.into()).unwrap(), 3);
        assert!(n_integers(0, 1, 0).is_err());
        assert_eq!(n_floats(1.0, 5.0, 2.0).unwrap(), 2);
        assert_eq!(n_floats(1.0, 0.0, 2.0).unwrap(), 0);
        assert!(n_floats(0.0, 1.0, 0.0).is_err());
        assert!(n_floats(f64::NAN, 1.0, 1.0).is_err());
    }
}
