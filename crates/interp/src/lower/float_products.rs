//! Products of floats with a constant matrix, and the operations on their results.

use super::activation::activation;
use super::byte_products::transposes_b;
use super::{lowered_op, replace, rewrite};
use intact8_ir::{Attr, DType, Graph, Model, NodeId, Pass, Result, ValueId};

/// Merges a MatMul or Gemm of floats with a constant matrix, the Add of a constant number for each column, the Add of another
/// computed value, and an activation into one product, which adds before it stores its sums and applies the activation while they
/// are cached.
///
/// The operands of `FloatProduct` are `x`, the matrix, the bias and the summand.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,3]
/// %w = const splat(0.5) : f32[3,3]
/// %p = MatMul(%x, %w) @first
/// %b = const [1.0, 2.0, 3.0] : f32[3]
/// %s = Add(%b, %p)
/// %r = LeakyRelu(%s) {alpha = 0.1}
/// %v = const splat(0.5) : f32[3,3]
/// %q = Gemm(%r, %v, %b) {transB = 1} @second
/// %y = Add(%q, %x)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17, intact8.lowered 1
/// %x = input : f32[N,3]
/// %w = const splat(0.5) : f32[3,3]
/// %b = const [1.0, 2.0, 3.0] : f32[3]
/// %v = const splat(0.5) : f32[3,3]
/// %r = intact8.lowered::FloatProduct(%x, %w, %b) {activation = "LeakyRelu", alpha = 0.1} @first
/// %y = intact8.lowered::FloatProduct(%r, %v, %b, %x) {gemm = 1, transB = 1} @second
/// return %y
/// ```
pub(super) struct FuseFloatProducts;

impl Pass for FuseFloatProducts {
    fn name(&self) -> &'static str {
        "fuse-float-products"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        rewrite(model, |graph, id| fuse(graph, id).is_some())
    }
}

fn fuse(graph: &mut Graph, id: NodeId) -> Option<()> {
    let op = graph.node(id).as_op()?;
    let is_gemm = op.is("Gemm");
    let is_transposed = is_gemm && transposes_b(op)?;
    if !is_gemm && !op.is("MatMul") {
        return None;
    }
    let (x, weight) = (graph.operand(id, 0)?, graph.operand(id, 1)?);
    let matrix = graph.fixed(weight).filter(|weight| weight.dtype() == DType::F32)?;
    let n_columns = match *matrix.shape() {
        [columns, _] if is_transposed => columns,
        [_, columns] => columns,
        _ => return None,
    };
    let mut bias = graph.operand(id, 2);
    let is_plain = |bias: ValueId| {
        is_bias(graph, bias, n_columns) && graph.fixed(bias).is_some_and(|bias| bias.shape().len() <= 2)
    };
    if !bias.is_none_or(is_plain) {
        return None;
    }
    let mut result = ValueId::from(id);
    if bias.is_none()
        && let Some((sum, other)) = sum(graph, result)
        && is_bias(graph, other, n_columns)
    {
        (result, bias) = (sum, Some(other));
    }
    let mut summand = None;
    if let Some((sum, other)) = sum(graph, result)
        && graph.fixed(other).is_none()
    {
        (result, summand) = (sum, Some(other));
    }
    let activation = activation(graph, result);
    if result == id.into() && activation.is_none() {
        return None;
    }
    let mut lowered = lowered_op("FloatProduct");
    let flags = [("gemm", is_gemm), ("transB", is_transposed)];
    let flags = flags.into_iter().filter(|(_, is_set)| *is_set);
    lowered.attrs.extend(flags.map(|(name, _)| (name.to_owned(), Attr::Int(1))));
    if let Some((value, activation)) = activation {
        result = value;
        activation.state(&mut lowered);
    }
    let mut operands = vec![Some(x), Some(weight), bias, summand];
    while operands.last() == Some(&None) {
        operands.pop();
    }
    replace(graph, result, id, lowered, &operands);
    Some(())
}

/// Whether a value is a constant number for each column.
fn is_bias(graph: &Graph, value: ValueId, n_columns: usize) -> bool {
    let is_row = |shape: &[usize]| match shape {
        [lead @ .., last] => *last == n_columns && lead.iter().all(|&n| n == 1),
        [] => false,
    };
    graph.fixed(value).is_some_and(|bias| bias.dtype() == DType::F32 && is_row(bias.shape()))
}

/// The Add that is the only use of a value, and its other operand.
fn sum(graph: &Graph, value: ValueId) -> Option<(ValueId, ValueId)> {
    let [(user, slot)] = graph.users(value)[..] else { return None };
    // Before opset 7 attributes state how an Add broadcasts.
    let is_sum = graph.node(user).as_op().is_some_and(|op| op.is("Add") && op.attrs.is_empty());
    let other = graph.operand(user, if slot == 0 { 1 } else { 0 })?;
    (is_sum && !graph.outputs().contains(&value)).then_some((user.into(), other))
}

#[cfg(test)]
mod tests;
