//! The verifier: code that runs after it may trust a model.
//!
//! A verified model keeps these rules, in its subgraphs and function bodies too:
//!
//! 1. Every operand and every graph output is an output slot of a node that exists.
//! 2. The edges mirror the operand lists.
//! 3. There is no cycle.
//! 4. Every value that has a use has a name, and no name occurs twice in a graph and the graphs around it.
//! 5. Inputs, captures and constants have no operands and one output; a constant's type, where stated, is its tensor's.
//! 6. The node list and the lists of inputs and captures agree; only subgraphs have captures.
//! 7. Captured values are a node's last operands: none left out, and one for each capture of its subgraphs.
//! 8. Every operator's domain has a version, and no function is defined twice.
//! 9. Every subgraph exists and belongs to the one node that names it.
//! 10. An operator of ONNX's own domain is one that ONNX defines, or a function of the model; see
//!     [`is_onnx_operator`].
//!
//! Whether a `Conv` has the right number of operands is not checked here; the interpreter checks it.

use crate::operators::{is_onnx_operator, meant_onnx_operator};
use crate::text::{name, node_line};
use crate::{Error, Graph, GraphId, Model, NodeId, NodeKind, NodeRef, Op, Result, ValueId};
use petgraph::Direction;
use petgraph::visit::EdgeRef;
use std::collections::{BTreeMap, HashSet};

/// The number of violations that an error describes; further ones are counted.
const MAX_DESCRIBED: usize = 5;

/// The largest number of characters of a node in an error.
const MAX_LINE: usize = 160;

/// Checks a model against the rules above. The error lists the violations, each with the node in the text form.
pub fn verify(model: &Model) -> Result<()> {
    let mut found = Found { model, path: vec![], described: vec![], n_more: 0 };
    let mut functions = HashSet::new();
    for function in &model.functions {
        found.path.push(format!("function {}", function.name));
        if !functions.insert((&function.domain, &function.name, &function.overload)) {
            found.add(None, "is defined twice");
        } else if model.has_graph(function.body) {
            Scope { opsets: &function.opsets, names: HashSet::new(), found: &mut found, n_unknown: 0 }
                .check(function.body);
        } else {
            found.add(None, "the body is missing");
        }
        found.path.pop();
    }
    Scope { opsets: &model.opsets, names: HashSet::new(), found: &mut found, n_unknown: 0 }
        .check(GraphId::MAIN);
    found.result()
}

/// The violations, and the labels of the nodes and functions around the graph that is being checked.
struct Found<'a> {
    model: &'a Model,
    path: Vec<String>,
    described: Vec<Error>,
    n_more: usize,
}

impl Found<'_> {
    /// Adds a violation at `label`; without a label, it is one of the graph or of the node around it.
    fn add(&mut self, label: Option<&str>, message: impl Into<String>) {
        if self.is_full() {
            return;
        }
        let location = self.path.iter().map(String::as_str).chain(label).collect::<Vec<_>>().join(": ");
        let error = Error::invalid_model(message);
        self.described.push(if self.path.is_empty() && label.is_none() { error } else { error.at(location) });
    }

    /// Whether a violation is only counted, as enough are described.
    fn is_full(&mut self) -> bool {
        let is_full = self.described.len() == MAX_DESCRIBED;
        self.n_more += usize::from(is_full);
        is_full
    }

    /// Adds a violation of a node, which is described.
    fn add_of_node(&mut self, node: NodeRef, label: &str, message: impl Into<String>) {
        if self.is_full() {
            return;
        }
        let line = node_line(self.model, node);
        let line = match line.char_indices().nth(MAX_LINE) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        };
        self.add(Some(label), format!("{}, in `{line}`", message.into()));
    }

    fn result(self) -> Result<()> {
        let n_found = self.described.len() + self.n_more;
        let [error, others @ ..] = self.described.as_slice() else { return Ok(()) };
        if others.is_empty() {
            return Err(error.clone());
        }
        let list: Vec<String> = self.described.iter().map(Error::to_string).collect();
        let more = if self.n_more == 0 { String::new() } else { format!("; and {} more", self.n_more) };
        Err(Error::invalid_model(format!("{n_found} violations: {}{more}", list.join("; "))))
    }
}

/// The number of unknown operators for which the nearest known name is searched.
const MOST_SEARCHED: usize = 1000;

/// The surroundings of a graph.
struct Scope<'a, 'f> {
    opsets: &'a BTreeMap<String, i64>,
    names: HashSet<&'a str>,
    found: &'f mut Found<'a>,
    /// The number of operators that ONNX does not have.
    n_unknown: usize,
}

impl<'a> Scope<'a, '_> {
    fn check(&mut self, id: GraphId) {
        let graph = self.found.model.graph(id);
        for node in graph.node_ids() {
            self.wires(NodeRef { graph: id, node });
        }
        self.interface(id);
        if let Err(cycle) = petgraph::algo::toposort(graph.dag(), None) {
            let node = NodeRef { graph: id, node: cycle.node_id() };
            self.add(node, &name(graph.node(node.node).label()), "depends on its own result");
        }
        let mut made: Vec<&str> = Vec::new();
        for node in graph.node_ids() {
            let is_capture = matches!(graph.node(node).kind, NodeKind::Capture);
            for value in &graph.node(node).outputs {
                if value.name.is_empty() || is_capture {
                    continue;
                }
                if self.names.insert(&value.name) {
                    made.push(&value.name);
                } else {
                    self.add(NodeRef { graph: id, node }, &name(&value.name), "is defined twice");
                }
            }
        }
        for node in graph.node_ids() {
            self.node(NodeRef { graph: id, node });
        }
        made.into_iter().for_each(|name| _ = self.names.remove(name));
    }

    fn add(&mut self, node: NodeRef, label: &str, message: impl Into<String>) {
        self.found.add_of_node(node, label, message);
    }

    fn node(&mut self, at: NodeRef) {
        let graph = self.found.model.graph(at.graph);
        let node = graph.node(at.node);
        match &node.kind {
            NodeKind::Op(op) => self.op(at, op),
            NodeKind::Input(_) | NodeKind::Capture | NodeKind::Const(_) => {
                if !graph.operands(at.node).is_empty() || node.outputs.len() != 1 {
                    self.add(at, node.label(), "inputs and constants must have no operands and one output");
                } else if let (Some(tensor), Some(ty)) = (node.as_constant(), node.outputs[0].tensor_type())
                    && !ty.admits(tensor.dtype(), tensor.shape())
                {
                    let found = format!("{}{:?}", tensor.dtype(), tensor.shape());
                    self.add(at, &name(node.label()), format!("is declared as {ty} and is {found}"));
                }
            }
        }
    }

    fn op(&mut self, at: NodeRef, op: &Op) {
        let model = self.found.model;
        let graph = model.graph(at.graph);
        let label = graph.node(at.node).label();
        if !self.opsets.contains_key(&op.domain) {
            let domain = if op.domain.is_empty() { "ONNX's own operators" } else { &op.domain };
            self.add(at, label, format!("the model states no version for {domain}"));
        }
        let is_function = || model.functions.iter().any(|f| f.domain == op.domain && f.name == op.name);
        if op.domain.is_empty() && !is_onnx_operator(&op.name) && !is_function() {
            // The search is slow, and a hostile file may have very many such operators.
            self.n_unknown += 1;
            let meant = (self.n_unknown <= MOST_SEARCHED).then(|| meant_onnx_operator(&op.name)).flatten();
            if let Some(meant) = meant {
                self.add(at, label, format!("ONNX has no operator {:?}; did you mean {meant:?}", op.name));
            }
        }
        let subgraphs: Vec<GraphId> = op.subgraphs().collect();
        let is_body = |id: GraphId| model.functions.iter().any(|function| function.body == id);
        for &inner in &subgraphs {
            let n_named = subgraphs.iter().filter(|&&other| other == inner).count();
            if model.owner(inner) != Some(at) || n_named > 1 || inner == GraphId::MAIN || is_body(inner) {
                self.add(at, label, format!("{inner} is not a subgraph of this node alone"));
                return;
            }
        }
        let n_captures: usize = subgraphs.iter().map(|&inner| model.graph(inner).captures().len()).sum();
        let captured = graph.captured_operands(at.node);
        if captured.len() != n_captures || captured.contains(&None) {
            self.add(at, label, format!("{n_captures} captured values are missing"));
        }
        self.found.path.push(label.to_owned());
        subgraphs.into_iter().for_each(|inner| self.check(inner));
        self.found.path.pop();
    }

    fn wires(&mut self, at: NodeRef) {
        let graph = self.found.model.graph(at.graph);
        let label = graph.node(at.node).label();
        let mut expected: Vec<(NodeId, usize, usize)> = Vec::new();
        for (slot, operand) in graph.operands(at.node).iter().enumerate() {
            let Some(value) = *operand else { continue };
            if graph.has_value(value) {
                self.named(at.graph, value);
            } else {
                self.add(at, label, format!("operand {slot} is undefined"));
            }
            expected.push((value.node, value.slot, slot));
        }
        let edges = graph.dag().edges_directed(at.node, Direction::Incoming);
        let mut found: Vec<_> =
            edges.map(|edge| (edge.source(), edge.weight().from_slot, edge.weight().to_slot)).collect();
        found.sort_unstable();
        expected.sort_unstable();
        if found != expected {
            self.add(at, label, "edges and operands differ");
        }
    }

    fn interface(&mut self, id: GraphId) {
        let graph = self.found.model.graph(id);
        let differs = |list: &[NodeId], is_kind: fn(&NodeKind) -> bool| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list != of_kind(graph, is_kind)
        };
        if differs(graph.inputs(), |kind| matches!(kind, NodeKind::Input(_))) {
            self.found.add(None, "the list of inputs does not match the nodes");
        }
        if differs(graph.captures(), |kind| matches!(kind, NodeKind::Capture)) {
            self.found.add(None, "the list of captures does not match the nodes");
        }
        if self.found.model.owner(id).is_none() && !graph.captures().is_empty() {
            self.found.add(None, "captures a value, and there is no graph around it");
        }
        for (idx, &value) in graph.outputs().iter().enumerate() {
            if graph.has_value(value) {
                self.named(id, value);
            } else {
                self.found.add(None, format!("graph output {idx} is undefined"));
            }
        }
    }

    /// Checks that a value with a use has a name.
    fn named(&mut self, graph: GraphId, value: ValueId) {
        let of = self.found.model.graph(graph);
        if of.value(value).name.is_empty() {
            let message = format!("output {} is used and has no name", value.slot);
            self.add(NodeRef { graph, node: value.node }, of.node(value.node).label(), message);
        }
    }
}

fn of_kind(graph: &Graph, is_kind: fn(&NodeKind) -> bool) -> Vec<NodeId> {
    graph.node_ids().filter(|&id| is_kind(&graph.node(id).kind)).collect()
}
