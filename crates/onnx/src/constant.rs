//! Constants: ONNX has initializers, `Constant` nodes with nine attributes, and sparse forms of both.
//!
//! In the IR a dense constant is a node of its own kind. It keeps the name of a `Constant` node, which determines how
//! it is written: with a name as a node, without one as an initializer. A sparse constant stays an operation.

use crate::external::Files;
use crate::tensor;
use intact8_ir::{Attr, Element, Node, NodeKind, Notes, Result, SparseTensor, Tensor};
use onnx_protobuf::{NodeProto, TensorProto, attribute_proto::AttributeType};
use std::mem::take;

/// The attribute of a `Constant` that holds a sparse tensor.
pub(crate) const SPARSE_VALUE: &str = "sparse_value";

/// Takes the tensor of a dense `Constant` node out of the message, with the remaining fields of the tensor's message.
/// `None` for other nodes, and for constants that the IR can't represent as dense.
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

/// The representation of a constant in a file.
pub(crate) enum Encoding<'a> {
    /// In the list of initializers.
    Initializer(&'a Tensor),
    /// In the list of sparse initializers.
    SparseInitializer(&'a SparseTensor),
    /// As a `Constant` node.
    Node(&'a Tensor),
}

/// The representation of a node, if it is a constant. Functions have no initializers.
pub(crate) fn encoding(node: &Node, in_function: bool) -> Option<Encoding<'_>> {
    let is_node = in_function || !node.name.is_empty();
    match &node.kind {
        NodeKind::Const(tensor) if is_node => Some(Encoding::Node(tensor)),
        NodeKind::Const(tensor) => Some(Encoding::Initializer(tensor)),
        NodeKind::Op(op) => {
            let is_constant = op.is("Constant") && op.overload.is_empty() && op.attrs.len() == 1;
            let has_name = matches!(&node.outputs[..], [value] if !value.name.is_empty());
            // An initializer has no fields for notes.
            let is_initializer = is_constant && has_name && !is_node && node.notes == Notes::default();
            match op.attrs.get(SPARSE_VALUE) {
                Some(Attr::Sparse(sparse)) if is_initializer => Some(Encoding::SparseInitializer(sparse)),
                _ => None,
            }
        }
        NodeKind::Input(_) | NodeKind::Capture => None,
    }
}
