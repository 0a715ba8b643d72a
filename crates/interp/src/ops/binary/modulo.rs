//! Remainders, also of floats.

use super::pairs;
use crate::broadcast::broadcast_shape;
use crate::number::Number;
use crate::op::{CompileContext, Kernel, one};
use crate::stand_in::{both_widened, narrowed, with_widened};
use intact8_ir::Result;

/// The remainder has the sign of the divisor or, with `fmod`, of the dividend. For integers the remainder by 0 is 0.
pub(super) fn modulo(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let is_truncated = ctx.flag("fmod", false)?;
    Ok(Box::new(move |call| {
        let (a, b) = (call.take(0)?, call.take(1)?);
        let shape = broadcast_shape(&[a.shape(), b.shape()])?;
        let dtype = a.dtype();
        let (a, b) = both_widened(a, b, call)?;
        let out = with_widened!(a.dtype(), T => {
            call.reserve::<T>(&shape)?;
            match is_truncated {
                true => pairs(a, b, &shape, T::rem),
                // The remainder is exact, so that 16-bit floats are rounded once.
                false => pairs(a, b, &shape, floored::<T>),
            }
        })?;
        one(narrowed(out, dtype)?)
    }))
}

fn floored<T: Number>(a: T, b: T) -> T {
    let rest = a.rem(b);
    if rest == T::ZERO {
        // A zero with the sign of the divisor.
        return T::ZERO.div(b);
    }
    if (rest < T::ZERO) == (b < T::ZERO) { rest } else { rest.add(b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_have_the_sign_of_the_divisor() {
        assert_eq!([floored(-7, 3), floored(7, -3), floored(-6, 3), floored(7i32, 0)], [2, -2, 0, 0]);
        assert_eq!(floored(i64::MIN, -1), 0);
        assert_eq!([floored(-5.5, 2.0), floored(5.5, -2.0)], [0.5, -0.5]);
        assert_eq!([floored(1.0, f64::INFINITY), floored(1.0, f64::NEG_INFINITY)], [1.0, f64::NEG_INFINITY]);
        assert!(floored(-4.0f32, -2.0).is_sign_negative() && floored(-4.0f32, 2.0).is_sign_positive());
        assert!(
            [floored(f64::INFINITY, 1.0), floored(1.0, 0.0), floored(0.0, f64::NAN)]
                .iter()
                .all(|x| x.is_nan())
        );
    }
}
