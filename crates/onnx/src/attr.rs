//! Attributes from messages. `export/graph.rs` writes them, together with the graphs that they contain.

use crate::external::Files;
use crate::import::{Target, subgraph};
use crate::{tensor, types};
use intact8_ir::{Attr, AttrKind, Error, Result};
use onnx_protobuf::{AttributeProto, TypeProto, attribute_proto::AttributeType};
use protobuf::EnumOrUnknown;

/// ONNX's number for each kind; the other fields of a message do not determine the kind.
const KINDS: [(AttributeType, AttrKind); 14] = [
    (AttributeType::FLOAT, AttrKind::Float),
    (AttributeType::INT, AttrKind::Int),
    (AttributeType::STRING, AttrKind::Str),
    (AttributeType::TENSOR, AttrKind::Tensor),
    (AttributeType::GRAPH, AttrKind::Graph),
    (AttributeType::FLOATS, AttrKind::Floats),
    (AttributeType::INTS, AttrKind::Ints),
    (AttributeType::STRINGS, AttrKind::Strs),
    (AttributeType::TENSORS, AttrKind::Tensors),
    (AttributeType::GRAPHS, AttrKind::Graphs),
    (AttributeType::SPARSE_TENSOR, AttrKind::Sparse),
    (AttributeType::SPARSE_TENSORS, AttrKind::Sparses),
    (AttributeType::TYPE_PROTO, AttrKind::Type),
    (AttributeType::TYPE_PROTOS, AttrKind::Types),
];

/// The value of an attribute. The names of values that its graphs capture are appended to `captured`.
// Graphs contain attributes, so this function is recursive; other functions hold the large stack frames.
pub(crate) fn import(
    proto: AttributeProto,
    mut target: Target<'_>,
    captured: &mut Vec<String>,
) -> Result<Attr> {
    let kind = kind(&proto)?;
    match kind {
        _ if !proto.ref_attr_name.is_empty() => Ok(Attr::Ref(proto.ref_attr_name, kind)),
        AttrKind::Graph => {
            let (graph, names) = subgraph(proto.g.into_option().ok_or_else(|| missing(kind))?, target)?;
            captured.extend(names);
            Ok(Attr::Graph(graph))
        }
        AttrKind::Graphs => {
            let mut graphs = Vec::with_capacity(proto.graphs.len());
            for proto in proto.graphs {
                let (graph, names) = subgraph(proto, target.reborrow())?;
                captured.extend(names);
                graphs.push(graph);
            }
            Ok(Attr::Graphs(graphs))
        }
        _ => plain(kind, proto, target.files),
    }
}

/// The value of an attribute without graphs.
fn plain(kind: AttrKind, proto: AttributeProto, files: &mut Files) -> Result<Attr> {
    let missing = || missing(kind);
    Ok(match kind {
        AttrKind::Graph | AttrKind::Graphs => return Err(missing()),
        AttrKind::Int => Attr::Int(proto.i),
        AttrKind::Float => Attr::Float(proto.f),
        AttrKind::Str => Attr::Str(proto.s),
        AttrKind::Ints => Attr::Ints(proto.ints),
        AttrKind::Floats => Attr::Floats(proto.floats),
        AttrKind::Strs => Attr::Strs(proto.strings),
        AttrKind::Type => Attr::Type(ty(&proto.tp.into_option().ok_or_else(missing)?)?),
        AttrKind::Types => Attr::Types(proto.type_protos.iter().map(ty).collect::<Result<_>>()?),
        AttrKind::Tensor => {
            Attr::Tensor(tensor::import(&mut proto.t.into_option().ok_or_else(missing)?, files)?)
        }
        AttrKind::Tensors => {
            let tensors = proto.tensors.into_iter().map(|mut tensor| tensor::import(&mut tensor, files));
            Attr::Tensors(tensors.collect::<Result<_>>()?)
        }
        AttrKind::Sparse => {
            let mut sparse = proto.sparse_tensor.into_option().ok_or_else(missing)?;
            Attr::Sparse(tensor::import_sparse(&mut sparse, files)?)
        }
        AttrKind::Sparses => {
            let sparses = proto.sparse_tensors.into_iter();
            let sparses = sparses.map(|mut sparse| tensor::import_sparse(&mut sparse, files));
            Attr::Sparses(sparses.collect::<Result<_>>()?)
        }
    })
}

/// The message of an attribute, without its tensors and graphs.
pub(crate) fn export(name: &str, attr: &Attr) -> AttributeProto {
    let row = KINDS.iter().find(|row| row.1 == attr.kind()).expect("the table has every kind");
    let mut proto = AttributeProto { name: name.to_owned(), type_: row.0.into(), ..Default::default() };
    match attr {
        Attr::Int(value) => proto.i = *value,
        Attr::Float(value) => proto.f = *value,
        Attr::Str(value) => proto.s = value.clone(),
        Attr::Ints(values) => proto.ints = values.clone(),
        Attr::Floats(values) => proto.floats = values.clone(),
        Attr::Strs(values) => proto.strings = values.clone(),
        Attr::Type(ty) => proto.tp = Some(types::export(ty)).into(),
        Attr::Types(types) => proto.type_protos = types.iter().map(types::export).collect(),
        Attr::Ref(name, _) => proto.ref_attr_name = name.clone(),
        Attr::Tensor(_) | Attr::Tensors(_) | Attr::Sparse(_) | Attr::Sparses(_) => {}
        Attr::Graph(_) | Attr::Graphs(_) => {}
    }
    proto
}

fn kind(proto: &AttributeProto) -> Result<AttrKind> {
    let row = KINDS.iter().find(|row| EnumOrUnknown::new(row.0) == proto.type_);
    row.map(|row| row.1).ok_or_else(|| match proto.type_.value() {
        0 => Error::invalid_model("the attribute has no type"),
        number => Error::unsupported(format!("attribute type {number} is unknown")),
    })
}

fn missing(kind: AttrKind) -> Error {
    Error::invalid_model(format!("the {kind} is missing"))
}

fn ty(proto: &TypeProto) -> Result<intact8_ir::Type> {
    types::import(proto).ok_or_else(|| Error::unsupported("the type is opaque or of an unknown data type"))
}
