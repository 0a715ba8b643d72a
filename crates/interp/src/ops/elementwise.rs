//! Elementwise operators.

use crate::op::{NEWEST, OpRow, one};
use quantfit_ir::DType;

pub(super) static ROWS: &[OpRow] = &[OpRow {
    name: "Relu",
    opsets: 1..=NEWEST,
    types: &[DType::F32],
    compile: |_| {
        Ok(Box::new(|call| {
            let mut x = call.take(0)?;
            x.values_mut::<f32>()?.iter_mut().for_each(|x| *x = x.max(0.0));
            one(x)
        }))
    },
}];
