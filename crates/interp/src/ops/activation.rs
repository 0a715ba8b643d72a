//! Activations.

use crate::number::{NUMBERS, Number, with_number};
use crate::op::{Kernel, NEWEST, OpRow, Site, one};
use quantfit_ir::Result;

pub(super) static ROWS: &[OpRow] =
    &[OpRow { name: "Relu", opsets: 1..=NEWEST, types: NUMBERS, compile: relu }];

/// NaN stays NaN.
fn relu(_: &Site<'_>) -> Result<Kernel> {
    Ok(Box::new(|call| {
        let mut x = call.take(0)?;
        with_number!(x.dtype(), T => {
            x.values_mut::<T>()?.iter_mut().for_each(|x| if x.to_f64() < 0.0 { *x = T::ZERO });
            one(x)
        })
    }))
}
