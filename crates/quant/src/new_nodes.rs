//! New constants and operations in a graph, with fresh names.

use crate::content::are_equal;
use crate::names::Names;
use crate::qdq_params::{QdqParams, integer_tensor};
use intact8_ir::{Attr, DType, Graph, Node, NodeId, Op, Tensor, TensorType, Type, Value, ValueId};
use std::collections::HashMap;

/// A new constant; its name is made unique.
pub(crate) fn constant(graph: &mut Graph, names: &mut Names, name: &str, tensor: Tensor) -> ValueId {
    let name = names.fresh(name);
    graph.add(Node::constant(name, tensor), &[]).into()
}

/// A new operation of one result; the name of result and node is made unique.
pub(crate) fn operation(
    graph: &mut Graph,
    names: &mut Names,
    name: &str,
    op: Op,
    ty: Option<TensorType>,
    operands: &[ValueId],
) -> ValueId {
    let name = names.fresh(name);
    let value = Value { ty: ty.map(Type::Tensor), ..Value::new(name.clone()) };
    let operands: Vec<_> = operands.iter().copied().map(Some).collect();
    graph.add(Node::op(&name, op, [value]), &operands).into()
}

/// The type of a value with another element type.
pub(crate) fn type_with(graph: &Graph, value: ValueId, dtype: DType) -> Option<TensorType> {
    Some(TensorType { dtype, ..graph.value(value).tensor_type()?.clone() })
}

/// Scale and zero point as constants.
pub(crate) fn qdq_constants(
    graph: &mut Graph,
    names: &mut Names,
    name: &str,
    params: &QdqParams,
) -> Option<[ValueId; 2]> {
    let shape: &[usize] = if params.axis.is_some() { &[params.scale.len()] } else { &[] };
    let offset = integer_tensor(params.dtype, shape, &params.offset)?;
    let scale = constant(graph, names, &format!("{name}.scale"), Tensor::new(shape, params.scale.clone()));
    Some([scale, constant(graph, names, &format!("{name}.offset"), offset)])
}

/// A value after a new QuantizeLinear and DequantizeLinear.
pub(crate) fn pair(
    graph: &mut Graph,
    names: &mut Names,
    name: &str,
    value: ValueId,
    params: &QdqParams,
) -> Option<ValueId> {
    let [scale, offset] = qdq_constants(graph, names, name, params)?;
    let of = |name: &str| {
        let op = Op::new(name);
        params.axis.map_or(op.clone(), |axis| op.with("axis", Attr::Int(axis)))
    };
    let integers = type_with(graph, value, params.dtype);
    let floats = graph.value(value).tensor_type().cloned();
    let operands = [value, scale, offset];
    let quantized = operation(graph, names, &format!("{name}.q"), of("QuantizeLinear"), integers, &operands);
    let operands = [quantized, scale, offset];
    Some(operation(graph, names, &format!("{name}.dq"), of("DequantizeLinear"), floats, &operands))
}

/// Constants that replace others: operations that share a constant share its replacement, if that is the same for each.
#[derive(Default)]
pub(crate) struct Replacements(HashMap<ValueId, Vec<(Tensor, ValueId)>>);

impl Replacements {
    /// Replaces a constant operand, a node's and its input slot, by a tensor.
    pub(crate) fn replace(
        &mut self,
        graph: &mut Graph,
        (node, slot): (NodeId, usize),
        tensor: &Tensor,
        name: &str,
        names: &mut Names,
    ) {
        let replaced = graph.operand(node, slot);
        let made = replaced.map(|value| self.0.entry(value).or_default());
        let found = made.iter().flat_map(|made| made.iter()).find(|(other, _)| are_equal(other, tensor));
        let value = match found {
            Some(&(_, value)) => value,
            None => {
                let value = constant(graph, names, name, tensor.clone());
                made.into_iter().for_each(|made| made.push((tensor.clone(), value)));
                value
            }
        };
        graph.set_operand(node, slot, Some(value));
    }
}
