//! Export of a model to the bytes of an ONNX file, and of a second file for large tensors.
//!
//! The export does not write to disk and does not copy tensors: the bytes are produced when the caller writes them.
//! Equal models produce equal bytes. Operator sets are not converted.

mod graph;

use crate::external::{self, DataFile};
use crate::rope::Rope;
use crate::wire::field;
use crate::{notes, types, version, wire};
use graph::{Body, Exporter, Scope};
use intact8_ir::{Error, Function, GraphId, Model, NodeKind, Result, verify};
use onnx_protobuf::{FunctionProto, ModelProto, OperatorSetIdProto};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The largest number of bytes of tensors that always stay in the model: runtimes infer shapes from small tensors, and
/// do not read these from another file.
const SMALL: u64 = (1 << 10) - 1;

/// The options of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportOptions {
    /// The tensors that are stored in a data file beside the model.
    pub external: External,
    /// The name of that file: a relative path inside the folder of the model.
    pub data_file: String,
}

/// The tensors that are stored in a data file beside the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum External {
    /// Tensors of 1 KiB or more, if the model exceeds the 2 GiB of a protobuf message; otherwise none.
    WhenTooLarge,
    /// Tensors of more than this number of bytes, and at least 1 KiB.
    Above(u64),
    /// None; a model of more than 2 GiB is an error.
    Never,
}

/// A model, ready to be written.
#[derive(Debug)]
pub struct Exported {
    /// The data file beside the model's file, if there is one.
    pub external: Option<ExternalFile>,
    model: Rope,
}

/// A file of tensors beside the model's file.
#[derive(Debug)]
pub struct ExternalFile {
    /// The name in the model: a path relative to the model's folder.
    pub name: String,
    data: Rope,
}

impl Default for ExportOptions {
    fn default() -> ExportOptions {
        ExportOptions { external: External::WhenTooLarge, data_file: "model.onnx.data".to_owned() }
    }
}

impl Exported {
    /// The size of the model's file in bytes.
    pub fn byte_size(&self) -> u64 {
        self.model.len()
    }

    /// Writes the model's file.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.model.write_to(out)
    }

    /// The bytes of the model's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.model.len() as usize);
        self.write_to(&mut bytes).expect("writing to a vector does not fail");
        bytes
    }
}

impl ExternalFile {
    /// The size of the file in bytes.
    pub fn byte_size(&self) -> u64 {
        self.data.len()
    }

    /// Writes the file, tensor by tensor.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.data.write_to(out)
    }
}

/// The ONNX file of a model; an import of it returns the same model.
///
/// Of several representations in ONNX one is written: constants with a node name are `Constant` nodes and those without
/// are initializers, data is raw, attributes are sorted, nodes have the order of [`Graph::topo`], and the fields of each
/// message ascend.
/// The version of the file format is that of the imported file, raised to the one that the model requires.
///
/// A subgraph that returns a captured value, a function that returns its input, and a subgraph or function that returns
/// a value twice get an `Identity` node, which runtimes require.
///
/// # Errors
/// If the model does not pass [`verify`], requires more than 2 GiB in one file, or has no representation in ONNX, such
/// as a default value of a function's input.
///
/// [`Graph::topo`]: intact8_ir::Graph::topo
pub fn export(model: &Model, options: &ExportOptions) -> Result<Exported> {
    verify(model)?;
    if options.external != External::Never && !external::is_inside(&options.data_file) {
        let message = format!(
            "{:?} is not a valid name of a data file; use a path inside the model's folder",
            options.data_file
        );
        return Err(Error::new(intact8_ir::ErrorKind::InvalidConfig, message));
    }
    let export_above = |above| {
        let mut exporter = Exporter::new(model, DataFile::new(&options.data_file, above));
        let rope = exporter.model()?;
        let external = exporter.data.finish().map(|(name, data)| ExternalFile { name, data });
        Ok(Exported { external, model: rope })
    };
    let exported = match options.external {
        External::Above(size) => export_above(size.max(SMALL))?,
        External::Never | External::WhenTooLarge => export_above(u64::MAX)?,
    };
    let exported = match options.external {
        External::WhenTooLarge if exported.byte_size() > wire::MAX_LEN => export_above(SMALL)?,
        _ => exported,
    };
    if exported.byte_size() > wire::MAX_LEN {
        let size = exported.byte_size();
        let message = format!(
            "the model has {size} bytes, but the limit of a file is 2 GiB; store tensors in a data file"
        );
        return Err(Error::limit(message));
    }
    Ok(exported)
}

impl Exporter<'_> {
    fn model(&mut self) -> Result<Rope> {
        let model = self.model;
        let origin = &model.origin;
        let proto = ModelProto {
            ir_version: version::ir_version(model),
            opset_import: opsets(&model.opsets),
            producer_name: origin.producer_name.clone(),
            producer_version: origin.producer_version.clone(),
            domain: origin.domain.clone(),
            model_version: origin.model_version,
            doc_string: origin.notes.doc.clone(),
            metadata_props: notes::metadata(&origin.notes),
            ..Default::default()
        };
        let mut fields = notes::fields(wire::Message::Model, proto, &origin.notes)?;
        let scope = Scope { opsets: &model.opsets, body: Body::Model, captured: &[], depth: 0 };
        fields.add(field::MODEL_GRAPH, self.graph(GraphId::MAIN, scope)?);
        for function in &model.functions {
            let content = self.function(function);
            fields.add(
                field::MODEL_FUNCTIONS,
                content.map_err(|error| error.at(format!("function {}", function.name)))?,
            );
        }
        Ok(fields.into_rope())
    }

    fn function(&mut self, function: &Function) -> Result<Rope> {
        let graph = self.model.graph(function.body);
        let scope = Scope { opsets: &function.opsets, body: Body::Function, captured: &[], depth: 0 };
        let content = self.content(graph, scope)?;
        let mut proto = FunctionProto {
            name: function.name.clone(),
            domain: function.domain.clone(),
            overload: function.overload.clone(),
            opset_import: opsets(&function.opsets),
            output: content.outputs.iter().map(|info| info.name.clone()).collect(),
            doc_string: graph.notes.doc.clone(),
            metadata_props: notes::metadata(&graph.notes),
            ..Default::default()
        };
        let mut attributes = Vec::new();
        for (name, default) in &function.attrs {
            match default {
                Some(attr) => {
                    let attribute = self.attr(name, attr, scope, &mut Vec::new().into_iter());
                    attributes.push(attribute.map_err(|error| error.at(name))?);
                }
                None => proto.attribute.push(name.clone()),
            }
        }
        for &input in graph.inputs() {
            let value = &graph.node(input).outputs[0];
            if matches!(graph.node(input).kind, NodeKind::Input(Some(_))) {
                let message = "a function's input can't have a default value; make it an attribute";
                return Err(Error::unsupported(message).at(format!("%{}", value.name)));
            }
            proto.input.push(value.name.clone());
        }
        let infos = content.inputs.into_iter().chain(content.outputs).filter(|info| !types::is_bare(info));
        proto.value_info = infos.chain(content.infos).collect();
        let mut fields = notes::fields(wire::Message::Function, proto, &graph.notes)?;
        attributes.into_iter().for_each(|attribute| fields.add(field::FUNCTION_ATTRIBUTE_PROTO, attribute));
        content.nodes.into_iter().for_each(|node| fields.add(field::FUNCTION_NODE, node));
        Ok(fields.into_rope())
    }
}

fn opsets(opsets: &BTreeMap<String, i64>) -> Vec<OperatorSetIdProto> {
    let opset = |(domain, version): (&String, &i64)| OperatorSetIdProto {
        domain: domain.clone(),
        version: *version,
        ..Default::default()
    };
    opsets.iter().map(opset).collect()
}
