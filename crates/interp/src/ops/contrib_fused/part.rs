//! Operators that do the work for others: the plain one, compiled for a node that does more.

use crate::call::Call;
use crate::data::Data;
use crate::op::{Kernel, Operand, Outputs, Site};
use crate::ops::find;
use intact8_ir::{Error, Op, Result, Tensor};

/// The operator set whose meaning the parts have, where no other is asked for.
pub(in crate::ops) const OPSET: i64 = 23;

/// The kernel of an operator of ONNX's own, whose operands are those of `site`'s node in some slots, so that constants
/// are packed, or what the node computes before.
pub(in crate::ops) fn part(site: &Site<'_>, op: &Op, opset: i64, slots: &[Option<usize>]) -> Result<Kernel> {
    let operand = |slot: &Option<usize>| match slot {
        Some(slot) => site.operands.get(*slot).copied().unwrap_or(Operand::Absent),
        None => Operand::Computed,
    };
    let operands = slots.iter().map(operand).collect();
    let (outputs, compiler) = (site.outputs.clone(), site.compiler);
    let site = Site { op, opset, operands, n_captures: 0, outputs, compiler };
    (find(op, opset)?.compile)(&site)
}

/// Runs a part on `first` and the operands of the node in some slots.
pub(in crate::ops) fn run_with(
    part: &Kernel,
    first: Tensor,
    slots: &[usize],
    call: &mut Call<'_, '_>,
) -> Result<Outputs> {
    let others = slots.iter().map(|&slot| call.operands.get_mut(slot).and_then(Option::take));
    let operands = std::iter::once(Some(first.into())).chain(others).collect();
    part(&mut Call { operands, context: call.context })
}

/// Runs a part of one operand.
pub(in crate::ops) fn run(part: &Kernel, x: Tensor, call: &mut Call<'_, '_>) -> Result<Tensor> {
    only_output(run_with(part, x, &[], call)?)
}

/// The first output, which every part has.
pub(in crate::ops) fn only_output(outputs: Outputs) -> Result<Tensor> {
    let first = outputs.into_iter().next();
    first.ok_or_else(|| Error::invalid_data("a part made nothing")).and_then(Data::into_tensor)
}
