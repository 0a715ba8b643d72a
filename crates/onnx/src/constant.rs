//! Constants: ONNX has initializers, `Constant` nodes with nine attributes, and sparse ones of both.
//!
//! In the IR a dense constant is a node of its own kind. It keeps the name of a `Constant` node, which says how it is
//! written back: with a name as a node, without one as an initializer. A sparse constant stays an operation.

use crate::external::Files;
use crate::tensor;
use intact8_ir::{Attr, Element, Node, NodeKind, Notes, Result, SparseTensor, Tensor};
use onnx_protobuf::{NodeProto, TensorProto, attribute_proto::AttributeType};
use std::mem::take;

/// The attribute of a `Constant` that holds a sparse tensor.
pub(crate) const SPARSE_VALUE: &str = "sparse_value";

/// The tensor of a dense `Constant` node, taken out of it, and the labels of its message.
/// `None` if the node is another, or can't be said so.
pub(crate) fn import(proto: &mut NodeProto, files: &mut Files) -> Result<Option<(Tensor, TensorProto)>> {
    let is_constant = proto.op_type == "Constant"
        && ["", "ai.onnx"].contains(&proto.domain.as_str())
        && proto.overload.is_empty()
        && proto.input.iter().all(String::is_empty)
        && proto.output.len() == 1
        && proto.special_fields.unknown_fields().iter().next().is_none();
    let [attr] = &mut proto.attribute[..] else { return Ok(None) };
    if !is_constant || !attr.ref_attr_name.is_empty() {
        return Ok(None);
    }
    let tensor = match (attr.name.as_str(), attr.type_.enum_value_or_default()) {
        ("value", AttributeType::TENSOR) => {
            let Some(mut proto) = attr.t.take() else { return Ok(None) };
            return Ok(Some((tensor::import(&mut proto, files)?, proto)));
        }
        ("value_int", AttributeType::INT) => Some(Tensor::scalar(attr.i)),
        ("value_float", AttributeType::FLOAT) => Some(Tensor::scalar(attr.f)),
        ("value_string", AttributeType::STRING) => text(&attr.s).map(Tensor::scalar),
        ("value_ints", AttributeType::INTS) => Some(list(take(&mut attr.ints))),
        ("value_floats", AttributeType::FLOATS) => Some(list(take(&mut attr.floats))),
        ("value_strings", AttributeType::STRINGS) => {
            attr.strings.iter().map(|bytes| text(bytes)).collect::<Option<Vec<_>>>().map(list)
        }
        _ => None,
    };
    Ok(tensor.map(|tensor| (tensor, TensorProto::default())))
}

fn list<T: Element>(values: Vec<T>) -> Tensor {
    Tensor::new(&[values.len()], values)
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// How a constant is written.
pub(crate) enum Form<'a> {
    /// In the list of initializers.
    Initializer(&'a Tensor),
    /// In the list of sparse initializers.
    SparseInitializer(&'a SparseTensor),
    /// As a `Constant` node.
    Node(&'a Tensor),
}

/// How a node is written, if it is a constant. Functions have no initializers.
pub(crate) fn form(node: &Node, in_function: bool) -> Option<Form<'_>> {
    let is_node = in_function || !node.name.is_empty();
    match &node.kind {
        NodeKind::Const(tensor) if is_node => Some(Form::Node(tensor)),
        NodeKind::Const(tensor) => Some(Form::Initializer(tensor)),
        NodeKind::Op(op) => {
            let is_constant = op.is("Constant") && op.overload.is_empty() && op.attrs.len() == 1;
            let has_name = matches!(&node.outputs[..], [value] if !value.name.is_empty());
            // The list has no place for notes.
            let is_initializer = is_constant && has_name && !is_node && node.notes == Notes::default();
            match op.attrs.get(SPARSE_VALUE) {
                Some(Attr::Sparse(sparse)) if is_initializer => Some(Form::SparseInitializer(sparse)),
                _ => None,
            }
        }
        NodeKind::Input(_) | NodeKind::Capture => None,
    }
}
