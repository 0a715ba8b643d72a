//! The op table: one row an operator, one file a family.

use crate::op::{OpRow, describe};
use quantfit_ir::{Error, Op, Result};

mod conv;
mod elementwise;
mod matmul;
mod normalize;
mod pool;
mod quantize;
mod shape;
mod window;

/// The families of each domain.
static OPS: &[(&str, &[&[OpRow]])] = &[(
    "",
    &[conv::ROWS, elementwise::ROWS, matmul::ROWS, normalize::ROWS, pool::ROWS, quantize::ROWS, shape::ROWS],
)];

/// The row of an operator in a version of its domain.
pub(crate) fn find(op: &Op, opset: i64) -> Result<&'static OpRow> {
    let families =
        OPS.iter().filter(|(domain, _)| *domain == op.domain).flat_map(|(_, families)| families.iter());
    let mut rows = families.flat_map(|rows| rows.iter()).filter(|row| row.name == op.name);
    rows.find(|row| row.opsets.contains(&opset))
        .ok_or_else(|| Error::unsupported(format!("no kernel for {}", describe(op, opset))))
}
