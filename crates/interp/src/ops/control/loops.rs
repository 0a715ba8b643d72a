//! Loop: a subgraph that is repeated a number of times, while a condition holds, or both.

use super::body::{Body, Collected};
use super::flag;
use super::scan::stacked;
use crate::data::Data;
use crate::indices::integer;
use crate::op::{CompileContext, Kernel, Outputs};
use intact8_ir::{Error, NodeKind, Result, Tensor, Type};

/// Operands are the number of iterations, the condition, and the initial state. The body receives the index of the
/// iteration, the condition and the state; it returns the next condition, the next state, and outputs that are
/// collected. If the condition is not an operand, that of the body is ignored.
pub(super) fn repeat(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let body = Body::of(ctx, "body")?;
    let n_carried = body.n_inputs().checked_sub(2);
    let n_collected = n_carried.and_then(|n| body.n_outputs().checked_sub(1 + n));
    let (Some(n_carried), Some(n_collected)) = (n_carried, n_collected) else {
        return Err(Error::invalid_model("the body of op Loop has too few inputs or outputs"));
    };
    if ctx.operands.len() - ctx.n_captures != 2 + n_carried {
        return Err(Error::invalid_model(format!(
            "op Loop must have {} operands to match its body",
            2 + n_carried
        )));
    }
    let has_condition = ctx.has_operand(1);
    let shapes = [shape_of_input(ctx, 0)?, shape_of_input(ctx, 1)?];
    Ok(Box::new(move |call| {
        let limit = call.optional(0)?.map(integer).transpose()?.unwrap_or(i64::MAX);
        let mut goes_on = call.optional(1)?.map(flag).transpose()?.unwrap_or(true);
        let mut carried: Vec<Data> =
            (0..n_carried).map(|idx| call.take_data(2 + idx)).collect::<Result<_>>()?;
        let mut collected = Collected::new(n_collected);
        let mut iteration = 0i64;
        while iteration < limit && goes_on {
            let mut inputs: Vec<Data> = vec![
                Tensor::new(&shapes[0], vec![iteration]).into(),
                Tensor::new(&shapes[1], vec![goes_on]).into(),
            ];
            inputs.append(&mut carried);
            let mut outputs = body.run(inputs, call)?.into_iter();
            let condition = outputs.next().expect("the number of outputs has been checked");
            goes_on = flag(condition.as_tensor()?)? || !has_condition;
            carried = outputs.by_ref().take(n_carried).collect();
            collected.keep(outputs, call)?;
            iteration += 1;
        }
        let collected = collected.finish(call).into_iter().enumerate();
        let stacks = collected.map(|(idx, items)| {
            let pieces = items.into_iter().map(Data::into_tensor).collect::<Result<Vec<_>>>()?;
            Ok(stacked(&pieces, body.output_type(1 + n_carried + idx), 0, call)?.into())
        });
        let stacks: Vec<Data> = stacks.collect::<Result<_>>()?;
        Ok(carried.into_iter().chain(stacks).collect::<Outputs>())
    }))
}

/// The shape of a scalar input: old models declare inputs of the body with one dimension.
fn shape_of_input(ctx: &CompileContext<'_>, input: usize) -> Result<Vec<usize>> {
    let Some(graph) = ctx.graph("body")? else { return Ok(vec![]) };
    let value = graph.inputs().get(input).map(|&id| graph.node(id));
    let shape = value.filter(|node| matches!(node.kind, NodeKind::Input(_))).and_then(|node| {
        match &node.outputs[0].ty {
            Some(Type::Tensor(ty)) => ty.shape.as_ref(),
            _ => None,
        }
    });
    Ok(if shape.is_some_and(|shape| shape.len() == 1) { vec![1] } else { vec![] })
}
