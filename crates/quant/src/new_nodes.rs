//! New constants and operations in a graph, with fresh names.

use crate::coding::{Coding, integer_tensor};
use crate::names::Names;
use intact8_ir::{Attr, DType, Graph, Node, Op, Tensor, TensorType, Type, Value, ValueId};

/// A constant of about that name.
pub(crate) fn constant(graph: &mut Graph, names: &mut Names, name: &str, tensor: Tensor) -> ValueId {
    let name = names.fresh(name);
    graph.add(Node::constant(name, tensor), &[]).into()
}

/// An operation of one result; result and node have about that name.
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

/// The type of a value with other elements.
pub(crate) fn type_with(graph: &Graph, value: ValueId, dtype: DType) -> Option<TensorType> {
    Some(TensorType { dtype, ..graph.value(value).tensor_type()?.clone() })
}

/// Scale and offset of a coding as constants.
pub(crate) fn coding_constants(
    graph: &mut Graph,
    names: &mut Names,
    name: &str,
    coding: &Coding,
) -> Option<[ValueId; 2]> {
    let shape: &[usize] = if coding.axis.is_some() { &[coding.scale.len()] } else { &[] };
    let offset = integer_tensor(coding.dtype, shape, &coding.offset)?;
    let scale = constant(graph, names, &format!("{name}.scale"), Tensor::new(shape, coding.scale.clone()));
    Some([scale, constant(graph, names, &format!("{name}.offset"), offset)])
}

/// A value through QuantizeLinear and DequantizeLinear.
pub(crate) fn pair(
    graph: &mut Graph,
    names: &mut Names,
    name: &str,
    value: ValueId,
    coding: &Coding,
) -> Option<ValueId> {
    let [scale, offset] = coding_constants(graph, names, name, coding)?;
    let of = |name: &str| {
        let op = Op::new(name);
        coding.axis.map_or(op.clone(), |axis| op.with("axis", Attr::Int(axis)))
    };
    let integers = type_with(graph, value, coding.dtype);
    let floats = graph.value(value).tensor_type().cloned();
    let operands = [value, scale, offset];
    let quantized = operation(graph, names, &format!("{name}.q"), of("QuantizeLinear"), integers, &operands);
    let operands = [quantized, scale, offset];
    Some(operation(graph, names, &format!("{name}.dq"), of("DequantizeLinear"), floats, &operands))
}
