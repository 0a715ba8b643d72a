//! Windows from one or two cosines.

use crate::indices::integer;
use crate::number::{Number, with_number};
use crate::op::{CompileContext, Kernel, one};
use crate::room::shape_of;
use intact8_ir::{DType, Result, Tensor};
use std::f64::consts::TAU;

/// `a - b·cos(2πx) + c·cos(4πx)` for x in `[0, 1]`, or `[0, 1)` if the window is periodic. Integer results are
/// truncated from f32, so that values close to 1 become 1.
pub(super) fn window(ctx: &CompileContext<'_>, [a, b, c]: [f64; 3]) -> Result<Kernel> {
    let is_periodic = ctx.flag("periodic", true)?;
    let dtype = ctx.dtype("output_datatype")?.unwrap_or(DType::F32);
    Ok(Box::new(move |call| {
        let shape = shape_of(&[integer(call.tensor(0)?)?])?;
        with_number!(dtype, T => {
            let mut out = call.zeros::<T>(&shape)?;
            let n = if is_periodic { out.len() } else { out.len().saturating_sub(1) } as f64;
            for (idx, out) in out.iter_mut().enumerate() {
                let angle = TAU * idx as f64 / n;
                let value = a - b * angle.cos() + c * (2.0 * angle).cos();
                *out = if T::IS_INTEGER { T::from_f32(value as f32) } else { T::from_f64(value) };
            }
            one(Tensor::new(&shape, out))
        })
    }))
}
