//! Export of graphs, nodes and attributes to messages.
//!
//! Edges become names. A captured value is written with its name in the outer graph, not with the one in the subgraph.

use crate::constant::{self, Encoding};
use crate::external::DataFile;
use crate::fields::Fields;
use crate::rope::Rope;
use crate::wire::{self, field};
use crate::{attr, dtype, notes, tensor, types};
use intact8_ir::{
    Attr, DType, Error, Graph, GraphId, Model, Node, NodeId, NodeKind, Notes, Op, Result, SparseTensor,
    Tensor, TensorType, Type, Value, ValueId,
};
use onnx_protobuf::{
    AttributeProto, GraphProto, NodeProto, SparseTensorProto, TensorProto, ValueInfoProto,
    attribute_proto::AttributeType,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The owner of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Model,
    Function,
    Attribute,
}

/// The surroundings of a graph.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) opsets: &'a BTreeMap<String, i64>,
    pub(super) body: Body,
    /// The names of the values that the graph captures, in the order of its captures.
    pub(super) captured: &'a [String],
    /// The number of graphs that contain it.
    pub(super) depth: usize,
}

/// The messages of a graph, which may be a function's.
#[derive(Default)]
pub(super) struct Content {
    pub(super) nodes: Vec<Rope>,
    pub(super) inputs: Vec<ValueInfoProto>,
    pub(super) outputs: Vec<ValueInfoProto>,
    /// The descriptions of other values.
    pub(super) infos: Vec<ValueInfoProto>,
    initializers: Vec<Rope>,
    sparse_initializers: Vec<Rope>,
}

/// The state of an export.
pub(super) struct Exporter<'a> {
    pub(super) model: &'a Model,
    pub(super) data: DataFile,
    /// The names of all values; computed when the first new name is required.
    names: Option<HashSet<String>>,
}

impl<'a> Exporter<'a> {
    pub(super) fn new(model: &'a Model, data: DataFile) -> Exporter<'a> {
        Exporter { model, data, names: None }
    }

    pub(super) fn graph(&mut self, id: GraphId, scope: Scope<'_>) -> Result<Rope> {
        let graph = self.model.graph(id);
        if scope.depth == wire::MAX_GRAPHS {
            return Err(Error::limit(format!("more than {} graphs are nested", wire::MAX_GRAPHS)));
        }
        let content = self.content(graph, scope)?;
        let proto = GraphProto {
            name: graph.name.clone(),
            doc_string: graph.notes.doc.clone(),
            metadata_props: notes::metadata(&graph.notes),
            input: content.inputs,
            output: content.outputs,
            value_info: content.infos,
            ..Default::default()
        };
        let mut fields = notes::fields(wire::Message::Graph, proto, &graph.notes)?;
        content.nodes.into_iter().for_each(|node| fields.add(field::GRAPH_NODE, node));
        content.initializers.into_iter().for_each(|tensor| fields.add(field::GRAPH_INITIALIZER, tensor));
        let sparse_initializers = content.sparse_initializers.into_iter();
        sparse_initializers.for_each(|sparse| fields.add(field::GRAPH_SPARSE_INITIALIZER, sparse));
        Ok(fields.into_rope())
    }

    pub(super) fn content(&mut self, graph: &Graph, scope: Scope<'_>) -> Result<Content> {
        let captured: HashMap<NodeId, &String> =
            graph.captures().iter().copied().zip(scope.captured).collect();
        let name =
            |value: ValueId| captured.get(&value.node).map_or(&graph.value(value).name, |name| *name).clone();
        let mut content = Content::default();
        graph.node_ids().try_for_each(|id| writable(graph.node(id)))?;
        for &id in graph.inputs() {
            let node = graph.node(id);
            let value = &node.outputs[0];
            content
                .inputs
                .push(types::export_value(&value.name, value).map_err(|error| error.at(node.label()))?);
            if let Some(tensor) = node.as_constant() {
                content.initializers.push(self.tensor(tensor, &value.name, &node.notes, true)?);
            }
        }
        let returned: HashSet<ValueId> = graph.outputs().iter().copied().collect();
        for id in graph.topo() {
            let node = graph.node(id);
            if matches!(node.kind, NodeKind::Input(_) | NodeKind::Capture) {
                continue;
            }
            let operands =
                graph.operands(id).iter().map(|operand| operand.map(name).unwrap_or_default()).collect();
            self.node(node, operands, scope, &mut content).map_err(|error| error.at(node.label()))?;
            for (slot, value) in node.outputs.iter().enumerate() {
                let is_described = value.name.is_empty() || returned.contains(&ValueId { node: id, slot });
                if !is_described && !is_implied(node, value) {
                    let info =
                        types::export_value(&value.name, value).map_err(|error| error.at(node.label()))?;
                    content.infos.extend((!types::is_bare(&info)).then_some(info));
                }
            }
        }
        let mut returned = HashSet::new();
        for &output in graph.outputs() {
            let is_repeated = !returned.insert(output);
            let is_direct = match (scope.body, &graph.node(output.node).kind) {
                (Body::Model, _) => false,
                (Body::Function, NodeKind::Input(_)) | (Body::Attribute, NodeKind::Capture) => true,
                _ => is_repeated,
            };
            let value = graph.value(output);
            let info = match is_direct {
                true => self.identity(name(output), value.ty.clone(), scope, &mut content)?,
                false => types::export_value(&value.name, value).map_err(|error| error.at(&value.name))?,
            };
            content.outputs.push(info);
        }
        Ok(content)
    }

    /// Returns a value through an Identity node.
    fn identity(
        &mut self,
        of: String,
        ty: Option<Type>,
        scope: Scope<'_>,
        content: &mut Content,
    ) -> Result<ValueInfoProto> {
        if !scope.opsets.contains_key("") {
            let message = "is returned unchanged, which requires an Identity, but the model has no opset of ONNX's operators";
            return Err(Error::invalid_model(message).at(format!("%{of}")));
        }
        let name = self.fresh_name(&of);
        let node = Node::op("", Op::new("Identity"), [Value::new(&name)]);
        self.node(&node, vec![of], scope, content)?;
        types::export_value(&name, &Value { ty, ..Value::default() })
    }

    fn fresh_name(&mut self, of: &str) -> String {
        let model = self.model;
        let names = self.names.get_or_insert_with(|| {
            let mut names = HashSet::new();
            let bodies = model.functions.iter().map(|function| function.body);
            let roots = bodies.chain([GraphId::MAIN]);
            let graphs = roots.flat_map(|root| model.subgraphs_of(root));
            graphs.for_each(|id| value_names(model.graph(id), &mut names));
            names
        });
        let candidates = std::iter::once(format!("{of}.out")).chain((2..).map(|n| format!("{of}.out{n}")));
        let name = candidates.into_iter().find(|name| !names.contains(name)).expect("some number is unused");
        names.insert(name.clone());
        name
    }

    /// Writes a constant or an operation into its list.
    fn node(
        &mut self,
        node: &Node,
        operands: Vec<String>,
        scope: Scope<'_>,
        content: &mut Content,
    ) -> Result<()> {
        match constant::encoding(node, scope.body == Body::Function) {
            Some(Encoding::Initializer(tensor)) => {
                content.initializers.push(self.tensor(tensor, &node.outputs[0].name, &node.notes, true)?);
            }
            Some(Encoding::SparseInitializer(sparse)) => {
                content.sparse_initializers.push(self.sparse(sparse, &node.outputs[0].name)?);
            }
            Some(Encoding::Node(tensor)) => content.nodes.push(self.constant(node, tensor)?),
            None => {
                let NodeKind::Op(op) = &node.kind else { return Ok(()) };
                content.nodes.push(self.op(node, op, operands, scope)?);
            }
        }
        Ok(())
    }

    fn op(&mut self, node: &Node, op: &Op, mut operands: Vec<String>, scope: Scope<'_>) -> Result<Rope> {
        let mut captured = operands.split_off(operands.len() - node.n_captures()).into_iter();
        let proto = NodeProto {
            input: operands,
            output: node.outputs.iter().map(|value| value.name.clone()).collect(),
            name: node.name.clone(),
            op_type: op.name.clone(),
            domain: op.domain.clone(),
            overload: op.overload.clone(),
            doc_string: node.notes.doc.clone(),
            metadata_props: notes::metadata(&node.notes),
            ..Default::default()
        };
        let mut fields = notes::fields(wire::Message::Node, proto, &node.notes)?;
        for (name, attr) in &op.attrs {
            let attribute = self.attr(name, attr, scope, &mut captured);
            fields.add(field::NODE_ATTRIBUTE, attribute.map_err(|error| error.at(name))?);
        }
        Ok(fields.into_rope())
    }

    /// A `Constant` node. The additional fields of the tensor are in the tensor's message.
    fn constant(&mut self, node: &Node, tensor: &Tensor) -> Result<Rope> {
        let proto = NodeProto {
            output: vec![node.outputs[0].name.clone()],
            name: node.name.clone(),
            op_type: "Constant".to_owned(),
            doc_string: node.notes.doc.clone(),
            metadata_props: notes::metadata(&node.notes),
            ..Default::default()
        };
        let attribute = AttributeProto {
            name: "value".to_owned(),
            type_: AttributeType::TENSOR.into(),
            ..Default::default()
        };
        let rest = Notes { rest: node.notes.rest.clone(), ..Notes::default() };
        let mut attribute = Fields::of(&notes::bytes(wire::Message::Attribute, attribute)?);
        attribute.add(field::ATTRIBUTE_T, self.tensor(tensor, "", &rest, true)?);
        let mut fields = Fields::of(&notes::bytes(wire::Message::Node, proto)?);
        fields.add(field::NODE_ATTRIBUTE, attribute.into_rope());
        Ok(fields.into_rope())
    }

    /// An attribute, whose graphs capture the next values of `captured`.
    pub(super) fn attr(
        &mut self,
        name: &str,
        attr: &Attr,
        scope: Scope<'_>,
        captured: &mut std::vec::IntoIter<String>,
    ) -> Result<Rope> {
        let mut fields = Fields::of(&notes::bytes(wire::Message::Attribute, attr::export(name, attr))?);
        let mut tensor = |exporter: &mut Self, number, tensor| {
            fields.add(number, exporter.tensor(tensor, "", &Notes::default(), false)?);
            Ok(())
        };
        match attr {
            Attr::Tensor(value) => tensor(self, field::ATTRIBUTE_T, value)?,
            Attr::Tensors(values) => {
                values.iter().try_for_each(|value| tensor(self, field::ATTRIBUTE_TENSORS, value))?;
            }
            Attr::Sparse(sparse) => fields.add(field::ATTRIBUTE_SPARSE_TENSOR, self.sparse(sparse, "")?),
            Attr::Sparses(sparses) => {
                for sparse in sparses {
                    fields.add(field::ATTRIBUTE_SPARSE_TENSORS, self.sparse(sparse, "")?);
                }
            }
            Attr::Graph(graph) => {
                fields.add(field::ATTRIBUTE_G, self.subgraph(*graph, scope, captured)?);
            }
            Attr::Graphs(graphs) => {
                for &graph in graphs {
                    fields.add(field::ATTRIBUTE_GRAPHS, self.subgraph(graph, scope, captured)?);
                }
            }
            _ => {}
        }
        Ok(fields.into_rope())
    }

    fn subgraph(
        &mut self,
        graph: GraphId,
        scope: Scope<'_>,
        captured: &mut std::vec::IntoIter<String>,
    ) -> Result<Rope> {
        let n_captures = self.model.graph(graph).captures().len();
        let captured: Vec<String> = captured.take(n_captures).collect();
        if captured.len() < n_captures {
            return Err(Error::invalid_model("captures a value, but no graph contains it"));
        }
        self.graph(
            graph,
            Scope { body: Body::Attribute, captured: &captured, depth: scope.depth + 1, ..scope },
        )
    }

    /// The message of a tensor. Only constants may be in another file: not every runtime reads other tensors from
    /// there.
    fn tensor(&mut self, tensor: &Tensor, name: &str, notes: &Notes, may_leave: bool) -> Result<Rope> {
        let mut proto = TensorProto {
            dims: tensor.shape().iter().map(|&dim| dim as i64).collect(),
            data_type: dtype::export(tensor.dtype()),
            name: name.to_owned(),
            doc_string: notes.doc.clone(),
            metadata_props: notes::metadata(notes),
            ..Default::default()
        };
        if tensor.dtype() == DType::Str {
            proto.string_data =
                tensor.values::<String>()?.iter().map(|text| text.clone().into_bytes()).collect();
        }
        let is_external = may_leave && self.data.store(tensor, &mut proto);
        let mut fields = notes::fields(wire::Message::Tensor, proto, notes)?;
        if !is_external && tensor::size(tensor) > 0 {
            let mut data = Rope::default();
            data.tensor(tensor);
            fields.add(field::TENSOR_RAW_DATA, data);
        }
        Ok(fields.into_rope())
    }

    fn sparse(&mut self, sparse: &SparseTensor, name: &str) -> Result<Rope> {
        let dims = sparse.shape.iter().map(|&dim| dim as i64).collect();
        let mut fields = Fields::of(&notes::bytes(
            wire::Message::SparseTensor,
            SparseTensorProto { dims, ..Default::default() },
        )?);
        fields.add(field::SPARSE_VALUES, self.tensor(&sparse.values, name, &Notes::default(), false)?);
        fields.add(field::SPARSE_INDICES, self.tensor(&sparse.indices, "", &Notes::default(), false)?);
        Ok(fields.into_rope())
    }
}

/// Checks the rules of ONNX that the verifier does not check.
fn writable(node: &Node) -> Result<()> {
    match &node.kind {
        NodeKind::Op(op) if op.name.is_empty() => {
            Err(Error::invalid_model("the node has no operator").at(node.label()))
        }
        NodeKind::Const(_) | NodeKind::Input(_) if node.outputs[0].name.is_empty() => {
            Err(Error::invalid_model("an input or a constant has no name; remove it if it is unused"))
        }
        _ => Ok(()),
    }
}

/// Whether the type of a constant's value follows from its tensor.
fn is_implied(node: &Node, value: &Value) -> bool {
    let implied =
        node.as_constant().map(|tensor| Type::from(TensorType::fixed(tensor.dtype(), tensor.shape())));
    implied.is_some() && value.ty == implied && value.notes == Notes::default()
}

fn value_names(graph: &Graph, names: &mut HashSet<String>) {
    for node in graph.dag().node_weights() {
        names.extend(node.outputs.iter().map(|value| value.name.clone()));
    }
}
