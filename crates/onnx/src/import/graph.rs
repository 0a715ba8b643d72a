//! Import of a graph from its message: first the nodes, then the edges between them, then the captured values.
//!
//! Names are resolved from the inside out. A name that a subgraph does not define becomes a capture there, and an
//! additional operand of the node that owns it, which is resolved in the graph of that node.

use super::domain;
use super::names::{label, merged, named};
use crate::constant::{self, Encoding};
use crate::external::Files;
use crate::{attr, notes, tensor, types, wire};
use intact8_ir::{
    Attr, Error, Graph, GraphId, Model, Node, NodeId, NodeKind, Notes, Op, Result, Tensor, Type, Value,
    ValueId,
};
use onnx_protobuf::{AttributeProto, GraphProto, NodeProto, SparseTensorProto, TensorProto, ValueInfoProto};
use std::collections::{BTreeMap, HashMap};
use std::mem::take;

/// The owner of a graph that no other graph contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Model,
    Function,
}

impl Body {
    /// Reads a body into `graph`, which is empty.
    pub(super) fn import(self, proto: GraphProto, graph: GraphId, target: Target<'_>) -> Result<()> {
        let mut builder = Builder::new(target, graph, self == Body::Function);
        builder.nodes(proto)?;
        builder.closed()
    }
}

/// The files that an import reads and the model that it writes.
pub(crate) struct Target<'a> {
    pub(crate) files: &'a mut Files,
    pub(crate) model: &'a mut Model,
}

impl Target<'_> {
    pub(crate) fn reborrow(&mut self) -> Target<'_> {
        Target { files: self.files, model: self.model }
    }
}

/// A subgraph, and the names of the values that it captures, in the order of its captures.
pub(crate) fn subgraph(proto: GraphProto, target: Target<'_>) -> Result<(GraphId, Vec<String>)> {
    let graph = target.model.add_graph(Graph::default());
    let mut builder = Builder::new(target, graph, false);
    builder.nodes(proto)?;
    Ok((graph, builder.capturing()))
}

/// Sets the types of captures to those of the captured values, from the outside in.
fn type_captures(model: &mut Model, root: GraphId) {
    for id in model.subgraphs_of(root).into_iter().skip(1) {
        let Some(owner) = model.owner(id) else { continue };
        let outer = model.graph(owner.graph);
        let captured = model.captured(id).iter();
        let types: Vec<Option<Type>> =
            captured.map(|value| value.and_then(|value| outer.value(value).ty.clone())).collect();
        let graph = model.graph_mut(id);
        for (capture, ty) in graph.captures().to_vec().into_iter().zip(types) {
            graph.node_mut(capture).outputs[0].ty = ty;
        }
    }
}

/// An unresolved operand: the node, the slot, and the name.
type Unresolved = (NodeId, usize, String);

struct Builder<'a> {
    target: Target<'a>,
    graph: GraphId,
    in_function: bool,
    values: HashMap<String, ValueId>,
    /// The file's descriptions of values, until they are created.
    described: HashMap<String, ValueInfoProto>,
    /// The names of each node's operands.
    operands: Vec<(NodeId, Vec<String>)>,
    outputs: Vec<String>,
}

impl Builder<'_> {
    fn new(target: Target<'_>, graph: GraphId, in_function: bool) -> Builder<'_> {
        Builder {
            target,
            graph,
            in_function,
            values: HashMap::new(),
            described: HashMap::new(),
            operands: Vec::new(),
            outputs: Vec::new(),
        }
    }

    fn graph(&mut self) -> &mut Graph {
        self.target.model.graph_mut(self.graph)
    }

    /// Adds all nodes. Initializers are added last, so that each of them is printed right before its first user.
    // Subgraphs make this function recursive; other functions hold the large stack frames.
    fn nodes(&mut self, mut proto: GraphProto) -> Result<()> {
        self.labels(&mut proto)?;
        let initializers = self.inputs(take(&mut proto.input), take(&mut proto.initializer))?;
        let mut last = Vec::new();
        for (idx, node) in take(&mut proto.node).into_iter().enumerate() {
            let label = label(&node, idx);
            self.node(node, &mut last).map_err(|error| error.at(label))?;
        }
        self.constants(initializers, proto.sparse_initializer, last)
    }

    /// Reads the file's descriptions of the graph, its values and its outputs.
    fn labels(&mut self, proto: &mut GraphProto) -> Result<()> {
        named("graph output", proto.output.iter().map(|info| &info.name))?;
        named("graph input", proto.input.iter().map(|info| &info.name))?;
        named("initializer", proto.initializer.iter().map(|tensor| &tensor.name))?;
        named("sparse initializer", proto.sparse_initializer.iter().map(|sparse| &sparse.values.name))?;
        let rest = GraphProto {
            quantization_annotation: take(&mut proto.quantization_annotation),
            special_fields: take(&mut proto.special_fields),
            ..Default::default()
        };
        let notes =
            notes::import(wire::Message::Graph, &mut proto.doc_string, &mut proto.metadata_props, rest)?;
        let graph = self.graph();
        (graph.name, graph.notes) = (take(&mut proto.name), notes);
        self.outputs = proto.output.iter().map(|info| info.name.clone()).collect();
        let infos = take(&mut proto.value_info).into_iter().chain(take(&mut proto.output));
        infos.for_each(|info| self.describe(info));
        Ok(())
    }

    /// Adds the inputs, with their default values; returns the other initializers.
    fn inputs(
        &mut self,
        infos: Vec<ValueInfoProto>,
        initializers: Vec<TensorProto>,
    ) -> Result<Vec<TensorProto>> {
        let mut defaults: HashMap<String, usize> =
            initializers.iter().enumerate().map(|(idx, tensor)| (tensor.name.clone(), idx)).collect();
        let mut initializers: Vec<Option<TensorProto>> = initializers.into_iter().map(Some).collect();
        for info in infos {
            let default = defaults.remove(&info.name).and_then(|idx| initializers[idx].take());
            self.input(info, default)?;
        }
        Ok(initializers.into_iter().flatten().collect())
    }

    fn constants(
        &mut self,
        initializers: Vec<TensorProto>,
        sparse_initializers: Vec<SparseTensorProto>,
        last: Vec<Node>,
    ) -> Result<()> {
        for tensor in initializers {
            let node = self.initializer(tensor)?;
            self.add(node, Vec::new())?;
        }
        for sparse in sparse_initializers {
            let node = self.sparse_initializer(sparse)?;
            self.add(node, Vec::new())?;
        }
        last.into_iter().try_for_each(|node| self.add(node, Vec::new()))
    }

    /// Resolves a graph that must define all values that it uses.
    fn closed(mut self) -> Result<()> {
        if let Some((node, _, name)) = self.wire().into_iter().next() {
            let label = match self.graph().node(node).label() {
                "" => "a node without a name",
                label => label,
            };
            return Err(Error::invalid_model(format!("uses %{name}, which is undefined")).at(label));
        }
        let outputs = self.outputs.iter().map(|name| {
            let missing = || Error::invalid_model(format!("the output %{name} is undefined"));
            self.values.get(name).copied().ok_or_else(missing)
        });
        let outputs = outputs.collect::<Result<_>>()?;
        self.graph().set_outputs(outputs);
        type_captures(self.target.model, self.graph);
        Ok(())
    }

    /// Resolves a graph that captures the values it does not define; returns their names.
    fn capturing(mut self) -> Vec<String> {
        let mut unresolved = self.wire();
        let position: HashMap<NodeId, usize> = match unresolved.is_empty() {
            true => HashMap::new(),
            false => self.graph().topo().into_iter().enumerate().map(|(idx, node)| (node, idx)).collect(),
        };
        // In the order in which an export writes the nodes, so that a second import has the same order.
        unresolved.sort_by_key(|(node, slot, _)| (position[node], *slot));
        let mut captured = Vec::new();
        for (node, slot, name) in unresolved {
            let value = self.capture(name, &mut captured);
            self.graph().set_operand(node, slot, Some(value));
        }
        let outputs = take(&mut self.outputs);
        let outputs = outputs.into_iter().map(|name| self.capture(name, &mut captured)).collect();
        self.graph().set_outputs(outputs);
        captured
    }

    /// Records the file's description of a value. A later description, such as that of an output, has priority unless
    /// it is only a name.
    fn describe(&mut self, info: ValueInfoProto) {
        let earlier = self.described.remove(&info.name);
        let info = match earlier {
            Some(earlier) => merged(earlier, info),
            None => info,
        };
        self.described.insert(info.name.clone(), info);
    }

    fn input(&mut self, info: ValueInfoProto, default: Option<TensorProto>) -> Result<()> {
        let label = format!("input %{}", info.name);
        let info = match self.described.remove(&info.name) {
            // A function's inputs are only names, whose descriptions are in the list of values.
            Some(earlier) => merged(earlier, info),
            None => info,
        };
        let mut node = Node::input(types::import_value(info).map_err(|error| error.at(&label))?);
        if let Some(mut tensor) = default {
            let value = tensor::import(&mut tensor, self.target.files).map_err(|error| error.at(&label))?;
            node.kind = NodeKind::Input(Some(value));
            node.notes = tensor_notes(tensor)?;
        }
        self.add(node, Vec::new())
    }

    fn initializer(&mut self, mut proto: TensorProto) -> Result<Node> {
        let name = take(&mut proto.name);
        let tensor = tensor::import(&mut proto, self.target.files)
            .map_err(|error| error.at(format!("initializer %{name}")))?;
        let mut node = Node::constant("", tensor);
        node.notes = tensor_notes(proto)?;
        self.describe_constant(&mut node, name)?;
        Ok(node)
    }

    fn sparse_initializer(&mut self, mut proto: SparseTensorProto) -> Result<Node> {
        let name = take(&mut proto.values.mut_or_insert_default().name);
        let sparse = tensor::import_sparse(&mut proto, self.target.files);
        let sparse = sparse.map_err(|error| error.at(format!("sparse initializer %{name}")))?;
        let graph = self.target.model.graph(self.graph);
        if self.values.get(&name).is_some_and(|input| graph.inputs().contains(&input.node)) {
            let message = "a sparse default value is not supported; make it dense";
            return Err(Error::unsupported(message).at(format!("input %{name}")));
        }
        let op = Op::new("Constant").with(constant::SPARSE_VALUE, Attr::Sparse(sparse));
        Ok(Node::op("", op, [self.value(name)?]))
    }

    /// Adds a node; a constant that is written as an initializer is appended to `last` instead.
    fn node(&mut self, mut proto: NodeProto, last: &mut Vec<Node>) -> Result<()> {
        if proto.op_type.is_empty() {
            return Err(Error::invalid_model("the node has no operator"));
        }
        if let Some((tensor, labels)) = constant::import(&mut proto, self.target.files)? {
            return self.constant(proto, tensor, labels, last);
        }
        let end = proto.input.iter().rposition(|name| !name.is_empty()).map_or(0, |idx| idx + 1);
        proto.input.truncate(end);
        let attrs = self.attrs(take(&mut proto.attribute), &mut proto.input)?;
        self.op(proto, attrs, last)
    }

    /// Adds a dense `Constant` node, without the tensor in its message.
    fn constant(
        &mut self,
        mut proto: NodeProto,
        tensor: Tensor,
        labels: TensorProto,
        last: &mut Vec<Node>,
    ) -> Result<()> {
        let rest = TensorProto { special_fields: labels.special_fields, ..Default::default() };
        let mut node = Node::constant("", tensor);
        node.name = proto.name;
        node.notes =
            notes::import(wire::Message::Tensor, &mut proto.doc_string, &mut proto.metadata_props, rest)?;
        self.describe_constant(&mut node, proto.output.swap_remove(0))?;
        self.store(node, Vec::new(), last)
    }

    /// Adds a node, without the attributes in its message, and with the captured values among its inputs.
    fn op(
        &mut self,
        mut proto: NodeProto,
        attrs: BTreeMap<String, Attr>,
        last: &mut Vec<Node>,
    ) -> Result<()> {
        let op = Op { domain: domain(proto.domain), name: proto.op_type, overload: proto.overload, attrs };
        let outputs = proto.output.into_iter().map(|name| self.value(name));
        let mut node = Node::op(&proto.name, op, outputs.collect::<Result<Vec<Value>>>()?);
        let rest = NodeProto { special_fields: take(&mut proto.special_fields), ..Default::default() };
        node.notes =
            notes::import(wire::Message::Node, &mut proto.doc_string, &mut proto.metadata_props, rest)?;
        self.store(node, proto.input, last)
    }

    fn store(&mut self, node: Node, operands: Vec<String>, last: &mut Vec<Node>) -> Result<()> {
        match constant::encoding(&node, self.in_function) {
            None | Some(Encoding::Node(_)) => self.add(node, operands),
            Some(Encoding::Initializer(_) | Encoding::SparseInitializer(_)) => {
                last.push(node);
                Ok(())
            }
        }
    }

    /// The attributes by name, since captured values are operands in that order.
    fn attrs(
        &mut self,
        mut protos: Vec<AttributeProto>,
        operands: &mut Vec<String>,
    ) -> Result<BTreeMap<String, Attr>> {
        protos.sort_by(|a, b| a.name.cmp(&b.name));
        let mut attrs = BTreeMap::new();
        for mut proto in protos {
            let name = take(&mut proto.name);
            let attr =
                attr::import(proto, self.target.reborrow(), operands).map_err(|error| error.at(&name))?;
            if attrs.insert(name.clone(), attr).is_some() {
                return Err(Error::invalid_model("the attribute occurs twice").at(name));
            }
        }
        Ok(attrs)
    }

    fn add(&mut self, node: Node, operands: Vec<String>) -> Result<()> {
        let names: Vec<String> = node.outputs.iter().map(|value| value.name.clone()).collect();
        let id = self.target.model.add(self.graph, node, &[]);
        self.operands.push((id, operands));
        for (slot, name) in names.into_iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if let Some(first) = self.values.insert(name.clone(), ValueId { node: id, slot }) {
                let label = self.graph().node(first.node).label();
                return Err(Error::invalid_model(format!("%{name} is already defined by {label}")));
            }
        }
        Ok(())
    }

    /// The value with the name, and its description in the file.
    fn value(&mut self, name: String) -> Result<Value> {
        match self.described.remove(&name) {
            Some(info) if !name.is_empty() => {
                types::import_value(info).map_err(|error| error.at(format!("%{name}")))
            }
            _ => Ok(Value::new(name)),
        }
    }

    /// Names a constant's value. If the file does not state its type, the type is that of the tensor.
    fn describe_constant(&mut self, node: &mut Node, name: String) -> Result<()> {
        let mut value = self.value(name)?;
        if value.ty.is_none() {
            types::drop_unrepresented(&mut value.notes)?;
            value.ty = node.outputs[0].ty.take();
        }
        node.outputs[0] = value;
        Ok(())
    }

    /// Resolves the operands that the graph defines; returns the others.
    fn wire(&mut self) -> Vec<Unresolved> {
        let mut unresolved = Vec::new();
        for (node, names) in take(&mut self.operands) {
            for (slot, name) in names.into_iter().enumerate() {
                let value = self.values.get(&name).copied().filter(|_| !name.is_empty());
                self.graph().set_operand(node, slot, value);
                if value.is_none() && !name.is_empty() {
                    unresolved.push((node, slot, name));
                }
            }
        }
        unresolved
    }

    /// The value with the name, which is captured if the graph does not define it.
    fn capture(&mut self, name: String, captured: &mut Vec<String>) -> ValueId {
        *self.values.entry(name).or_insert_with_key(|name| {
            captured.push(name.clone());
            let graph = self.target.model.graph_mut(self.graph);
            graph.add(Node::capture(Value::new(name)), &[]).into()
        })
    }
}

fn tensor_notes(mut proto: TensorProto) -> Result<Notes> {
    let rest = TensorProto { special_fields: take(&mut proto.special_fields), ..Default::default() };
    notes::import(wire::Message::Tensor, &mut proto.doc_string, &mut proto.metadata_props, rest)
}
