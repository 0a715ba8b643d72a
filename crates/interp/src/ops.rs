//! The op table: one row an operator, one file a family.

use crate::op::{OpRow, describe};
use quantfit_ir::{Error, Op, Result};

mod elementwise;

/// The families of each domain.
static OPS: &[(&str, &[&[OpRow]])] = &[("", &[elementwise::ROWS])];

/// The row of an operator in a version of its domain.
pub(crate) fn find(op: &Op, opset: i64) -> Result<&'static OpRow> {
    let families =
        OPS.iter().filter(|(domain, _)| *domain == op.domain).flat_map(|(_, families)| families.iter());
    let mut rows = families.flat_map(|rows| rows.iter()).filter(|row| row.name == op.name);
    rows.find(|row| row.opsets.contains(&opset))
        .ok_or_else(|| Error::unsupported(format!("no kernel for {}", describe(op, opset))))
}
