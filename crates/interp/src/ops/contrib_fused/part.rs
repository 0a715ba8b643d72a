//! Operators as parts of others: a standard operator, compiled for a fused node.

use crate::call::Call;
use crate::data::Data;
use crate::op::{CompileContext, Kernel, Operand, Outputs};
use crate::ops::find;
use intact8_ir::{Error, Op, Result, Tensor};

/// The default opset of the parts.
pub(in crate::ops) const OPSET: i64 = 23;

/// The kernel of a standard operator. Its operands are those of the node of `ctx` in some slots, so that constants are
/// packed, or intermediate results of the node.
pub(in crate::ops) fn part(
    ctx: &CompileContext<'_>,
    op: &Op,
    opset: i64,
    slots: &[Option<usize>],
) -> Result<Kernel> {
    let operand = |slot: &Option<usize>| match slot {
        Some(slot) => ctx.operands.get(*slot).copied().unwrap_or(Operand::Absent),
        None => Operand::Computed,
    };
    let operands = slots.iter().map(operand).collect();
    let (outputs, compiler) = (ctx.outputs.clone(), ctx.compiler);
    let ctx = CompileContext { op, opset, operands, n_captures: 0, outputs, compiler };
    (find(op, opset)?.compile)(&ctx)
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

/// Runs a part with one operand.
pub(in crate::ops) fn run(part: &Kernel, x: Tensor, call: &mut Call<'_, '_>) -> Result<Tensor> {
    only_output(run_with(part, x, &[], call)?)
}

/// The first output of a part.
pub(in crate::ops) fn only_output(outputs: Outputs) -> Result<Tensor> {
    let first = outputs.into_iter().next();
    first.ok_or_else(|| Error::invalid_data("the part has no output")).and_then(Data::into_tensor)
}
