//! The version of the file format that a model requires.
//!
//! It is not the version of an operator set: it determines the messages, fields and data types that a reader must
//! support.

use crate::constant::{self, Encoding};
use intact8_ir::{Attr, DType, GraphId, Model, Node, Notes, SparseTensor, Tensor, Type};

/// The version to write: that of the imported file, or the one that belongs to the operator set, and at least the one
/// that the content requires.
pub(crate) fn ir_version(model: &Model) -> i64 {
    let stated = match (model.origin.ir_version, model.opset()) {
        (1.., _) => model.origin.ir_version,
        (_, ..19) => 8,
        (_, 19..21) => 9,
        _ => 10,
    };
    let functions = model.functions.iter().map(|function| {
        let defaults = function.attrs.values().flatten().map(|default| of_attr(model, default).max(9)).max();
        let parts = [
            8,
            if function.overload.is_empty() { 8 } else { 10 },
            defaults.unwrap_or(0),
            of_graph(model, function.body, true),
        ];
        parts.into_iter().max().unwrap_or(8)
    });
    functions.chain([stated, 3, of_graph(model, GraphId::MAIN, false)]).max().unwrap_or(stated)
}

fn of_graph(model: &Model, graph: GraphId, in_function: bool) -> i64 {
    let graph = model.graph(graph);
    let nodes = graph.node_ids().map(|id| of_node(model, graph.node(id), in_function));
    nodes.chain([of_notes(&graph.notes)]).max().unwrap_or(0)
}

fn of_node(model: &Model, node: &Node, in_function: bool) -> i64 {
    let form = match constant::encoding(node, in_function) {
        Some(Encoding::Initializer(_)) => 4,
        Some(Encoding::SparseInitializer(_)) => 6,
        Some(Encoding::Node(_)) | None => 0,
    };
    let values = node.outputs.iter().map(|value| {
        // Functions describe their values since version 10.
        let is_described = value.ty.is_some() || value.notes != Notes::default();
        let description = if in_function && is_described { 10 } else { 0 };
        value.ty.as_ref().map_or(0, of_type).max(of_notes(&value.notes)).max(description)
    });
    let tensor = node.as_constant().map_or(0, of_tensor);
    let op = node.as_op().map_or(0, |op| {
        let attrs = op.attrs.values().map(|attr| of_attr(model, attr)).max().unwrap_or(0);
        attrs.max(if op.overload.is_empty() { 0 } else { 10 })
    });
    values.chain([form, tensor, op, of_notes(&node.notes)]).max().unwrap_or(0)
}

fn of_attr(model: &Model, attr: &Attr) -> i64 {
    match attr {
        Attr::Tensor(tensor) => of_tensor(tensor),
        Attr::Tensors(tensors) => tensors.iter().map(of_tensor).max().unwrap_or(0),
        Attr::Sparse(sparse) => of_sparse(sparse),
        Attr::Sparses(sparses) => sparses.iter().map(of_sparse).max().unwrap_or(0),
        Attr::Type(ty) => of_type(ty),
        Attr::Types(types) => types.iter().map(of_type).max().unwrap_or(0),
        Attr::Graph(_) | Attr::Graphs(_) => {
            attr.graphs().iter().map(|&graph| of_graph(model, graph, false)).max().unwrap_or(0)
        }
        Attr::Int(_) | Attr::Float(_) | Attr::Str(_) | Attr::Ref(..) => 0,
        Attr::Ints(_) | Attr::Floats(_) | Attr::Strs(_) => 0,
    }
}

fn of_type(ty: &Type) -> i64 {
    match ty {
        Type::Tensor(ty) => of_dtype(ty.dtype),
        Type::Sparse(ty) => of_dtype(ty.dtype).max(8),
        Type::Optional(ty) => of_type(ty).max(8),
        Type::Sequence(ty) | Type::Map(_, ty) => of_type(ty),
    }
}

fn of_sparse(sparse: &SparseTensor) -> i64 {
    of_tensor(&sparse.values).max(6)
}

fn of_tensor(tensor: &Tensor) -> i64 {
    of_dtype(tensor.dtype())
}

fn of_notes(notes: &Notes) -> i64 {
    if notes.metadata.is_empty() { 0 } else { 10 }
}

fn of_dtype(dtype: DType) -> i64 {
    match dtype {
        DType::Bf16 => 4,
        DType::F8E4M3Fn | DType::F8E4M3Fnuz | DType::F8E5M2 | DType::F8E5M2Fnuz => 9,
        DType::I4 | DType::U4 => 10,
        DType::F4E2M1 => 11,
        DType::F8E8M0 => 12,
        DType::I2 | DType::U2 => 13,
        DType::F6E2M3 | DType::F6E3M2 => 14,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(opset: i64, content: &str) -> i64 {
        ir_version(&format!("model m opset {opset}\n{content}").parse().unwrap())
    }

    #[test]
    fn a_model_without_origin_has_the_version_of_its_opset() {
        for (opset, expected) in [(7, 8), (18, 8), (19, 9), (20, 9), (21, 10), (26, 10)] {
            assert_eq!(version(opset, "return\n"), expected);
        }
    }

    #[test]
    fn content_raises_the_version() {
        assert_eq!(version(17, "%x = input : u2[3]\nreturn %x\n"), 13);
        assert_eq!(version(17, "%x = const [1] : i4[1]\nreturn %x\n"), 10);
        assert_eq!(
            version(17, "%x = A() {g = graph {\n%x = const [1] : f8e8m0[1]\nreturn %x\n}}\nreturn %x\n"),
            12
        );
        assert_eq!(version(17, "return\nfunction l::F(a = 1) opset 17\nreturn\n"), 9);
        assert_eq!(version(17, "return\nfunction l::F#o() opset 17\nreturn\n"), 10);
    }

    #[test]
    fn the_version_of_the_origin_is_kept_if_it_suffices() {
        let mut model: Model = "model m opset 9\n%x = input : f32[1]\nreturn %x\n".parse().unwrap();
        model.origin.ir_version = 3;
        assert_eq!(ir_version(&model), 3);
        let mut model: Model = "model m opset 9\n%x = const [1.0] : f32[1]\nreturn %x\n".parse().unwrap();
        model.origin.ir_version = 3;
        assert_eq!(ir_version(&model), 4);
    }
}
