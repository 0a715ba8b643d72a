//! Import of a model from the bytes of an ONNX file: check of the wire format, protobuf, conversion of messages,
//! verifier.
//!
//! Only alternative representations are normalized: `ai.onnx` becomes the empty domain, all kinds of constants become
//! constants, data is unpacked, and nodes may be in any order. Old operator sets are not converted.
//!
//! Not kept: doc strings of attributes, and of tensors and types in them; types of values without a producer in their
//! graph; checksums of external data; and unknown fields of messages without notes in the IR.

mod graph;
mod names;

use crate::external::Files;
use crate::{attr, notes, wire};
use graph::Body;
use intact8_ir::{Attr, Error, Function, Graph, GraphId, Model, Origin, Result, verify};
use onnx_protobuf::{FunctionProto, GraphProto, ModelProto, OperatorSetIdProto, ValueInfoProto};
use protobuf::{CodedInputStream, Message};
use std::collections::BTreeMap;
use std::mem::take;
use std::path::Path;

pub(crate) use graph::{Target, subgraph};

/// The model in the bytes of an ONNX file. `folder` is the folder of the file; a model with tensors in other files
/// requires it, and can't read files outside of it, nor files with further hard links.
///
/// Those files are mapped into memory during the import and must not be changed meanwhile.
///
/// # Errors
/// If the bytes are not an ONNX model, violate a rule of ONNX or of [`verify`], or have no representation in the IR:
/// segmented tensors, sparse defaults of inputs, attributes of opaque types.
pub fn import(bytes: &[u8], folder: Option<&Path>) -> Result<Model> {
    import_files(bytes, &mut Files::new(folder, false))
}

/// The same, with external tensors also in files that have further hard links: any file of the system may have been linked into
/// the folder by another user, so the caller must trust the folder.
///
/// # Errors
/// As [`import`].
pub fn import_with_hard_links(bytes: &[u8], folder: &Path) -> Result<Model> {
    import_files(bytes, &mut Files::new(Some(folder), true))
}

fn import_files(bytes: &[u8], files: &mut Files) -> Result<Model> {
    wire::check_model(bytes)?;
    let mut stream = CodedInputStream::from_bytes(bytes);
    stream.set_recursion_limit(wire::MAX_DEPTH as u32);
    let proto = ModelProto::parse_from(&mut stream).map_err(|error| {
        Error::syntax(format!("not an ONNX model, or a damaged one: {}", error.to_string().to_lowercase()))
    })?;
    let model = model(proto, files)?;
    verify(&model)?;
    Ok(model)
}

fn model(mut proto: ModelProto, files: &mut Files) -> Result<Model> {
    let graph = proto.graph.take().ok_or_else(|| Error::syntax("not an ONNX model: it has no graph"))?;
    let rest = ModelProto {
        training_info: take(&mut proto.training_info),
        special_fields: take(&mut proto.special_fields),
        ..Default::default()
    };
    let notes = notes::import(wire::Message::Model, &mut proto.doc_string, &mut proto.metadata_props, rest)?;
    let mut opsets = opsets(&proto.opset_import);
    if proto.ir_version < 3 && opsets.is_empty() {
        // Files from before operator sets have opset 1.
        opsets.insert(String::new(), 1);
    }
    let mut model = Model::new("", 0);
    model.opsets = opsets;
    model.origin = Origin {
        ir_version: proto.ir_version,
        producer_name: proto.producer_name,
        producer_version: proto.producer_version,
        domain: proto.domain,
        model_version: proto.model_version,
        notes,
    };
    Body::Model.import(graph, GraphId::MAIN, Target { files, model: &mut model })?;
    for proto in proto.functions {
        let function = function(proto, Target { files, model: &mut model })?;
        model.functions.push(function);
    }
    Ok(model)
}

fn function(mut proto: FunctionProto, mut target: Target<'_>) -> Result<Function> {
    let label = format!("function {}", proto.name);
    let rest = FunctionProto { special_fields: take(&mut proto.special_fields), ..Default::default() };
    let notes =
        notes::import(wire::Message::Function, &mut proto.doc_string, &mut proto.metadata_props, rest)?;
    let mut attrs: BTreeMap<String, Option<Attr>> =
        proto.attribute.into_iter().map(|name| (name, None)).collect();
    for mut attr in proto.attribute_proto {
        let name = take(&mut attr.name);
        let mut captured = Vec::new();
        let default = attr::import(attr, target.reborrow(), &mut captured);
        let default = default.map_err(|error| error.at(&name).at(&label))?;
        if let Some(outer) = captured.first() {
            return Err(Error::invalid_model(format!("uses %{outer}, which is undefined"))
                .at(name)
                .at(label));
        }
        attrs.insert(name, Some(default));
    }
    // A function's body is a graph in another representation.
    let value = |name| ValueInfoProto { name, ..Default::default() };
    let message = GraphProto {
        name: proto.name.clone(),
        node: proto.node,
        input: proto.input.into_iter().map(value).collect(),
        output: proto.output.into_iter().map(value).collect(),
        value_info: proto.value_info,
        ..Default::default()
    };
    let body = target.model.add_graph(Graph::default());
    Body::Function.import(message, body, target.reborrow()).map_err(|error| error.at(label))?;
    target.model.graph_mut(body).notes = notes;
    Ok(Function {
        domain: domain(proto.domain),
        name: proto.name,
        overload: proto.overload,
        attrs,
        opsets: opsets(&proto.opset_import),
        body,
    })
}

/// The newest version of each domain, which applies if a file states several.
fn opsets(protos: &[OperatorSetIdProto]) -> BTreeMap<String, i64> {
    let mut opsets = BTreeMap::new();
    for proto in protos {
        let version = opsets.entry(domain(proto.domain.clone())).or_insert(proto.version);
        *version = proto.version.max(*version);
    }
    opsets
}

/// ONNX's own domain has two names.
fn domain(name: String) -> String {
    if name == "ai.onnx" { String::new() } else { name }
}
