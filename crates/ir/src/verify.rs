//! The verifier: the gate behind which code may trust a model.
//!
//! A verified model keeps these rules, in its subgraphs and function bodies too:
//!
//! 1. Every operand and every graph output is an output slot of a node that exists.
//! 2. The edges mirror the operand lists.
//! 3. There is no cycle.
//! 4. Every value that is read has a name, and no name occurs twice in a graph and the graphs around it.
//! 5. Inputs, captures and constants read nothing and make one value; a constant's type, where stated, is its tensor's.
//! 6. The node list and the lists of inputs and captures agree; only subgraphs have captures.
//! 7. Captured values are a node's last operands: none left out, and one for each capture of its subgraphs.
//! 8. Every operator's domain has a version, and no function is defined twice.
//!
//! It does not know the operators: whether a `Conv` has the right number of operands is for those who run it.

use crate::text::name;
use crate::{Error, Graph, Model, NodeId, NodeKind, Result, ValueId};
use petgraph::Direction;
use petgraph::visit::EdgeRef;
use std::collections::{BTreeMap, HashSet};

/// Checks a model against the rules above; the error names the value or node that breaks one.
pub fn verify(model: &Model) -> Result<()> {
    let mut functions = HashSet::new();
    for function in &model.functions {
        let place = format!("function {}", function.name);
        if !functions.insert((&function.domain, &function.name, &function.overload)) {
            return Err(broken("is defined twice").at(place));
        }
        Scope { opsets: &function.opsets, names: HashSet::new() }
            .check(&function.graph, false)
            .map_err(|error| error.at(&place))?;
    }
    Scope { opsets: &model.opsets, names: HashSet::new() }.check(&model.graph, false)
}

fn broken(message: impl Into<String>) -> Error {
    Error::invalid_model(message)
}

/// What a graph can see of its surroundings.
struct Scope<'a> {
    opsets: &'a BTreeMap<String, i64>,
    names: HashSet<&'a str>,
}

impl<'a> Scope<'a> {
    fn check(&mut self, graph: &'a Graph, is_subgraph: bool) -> Result<()> {
        graph.node_ids().try_for_each(|id| wires(graph, id))?;
        interface(graph, is_subgraph)?;
        acyclic(graph)?;
        let mut made: Vec<&str> = Vec::new();
        for node in graph.node_ids().map(|id| graph.node(id)) {
            let is_capture = matches!(node.kind, NodeKind::Capture);
            for value in node.outputs.iter().filter(|value| !value.name.is_empty() && !is_capture) {
                if !self.names.insert(&value.name) {
                    return Err(broken("is defined twice").at(name(&value.name)));
                }
                made.push(&value.name);
            }
        }
        graph.node_ids().try_for_each(|id| self.node(graph, id))?;
        made.into_iter().for_each(|name| _ = self.names.remove(name));
        Ok(())
    }

    fn node(&mut self, graph: &'a Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        let n_operands = graph.operands(id).len();
        match &node.kind {
            NodeKind::Op(op) => {
                if !self.opsets.contains_key(&op.domain) {
                    let domain = if op.domain.is_empty() { "ONNX's own operators" } else { &op.domain };
                    return Err(broken(format!("the model states no version for {domain}")).at(node.label()));
                }
                let n_captures = node.n_captures();
                let captured =
                    n_operands.checked_sub(n_captures).map(|n_formal| &graph.operands(id)[n_formal..]);
                if captured.is_none_or(|operands| operands.contains(&None)) {
                    return Err(broken(format!("{n_captures} captured values are missing")).at(node.label()));
                }
                for subgraph in op.subgraphs() {
                    self.check(subgraph, true).map_err(|error| error.at(node.label()))?;
                }
            }
            NodeKind::Input(_) | NodeKind::Capture | NodeKind::Const(_) => {
                if n_operands != 0 || node.outputs.len() != 1 {
                    return Err(
                        broken("inputs and constants read nothing and make one value").at(node.label())
                    );
                }
                if let (Some(tensor), Some(ty)) = (node.as_constant(), node.outputs[0].tensor_type())
                    && !ty.admits(tensor.dtype(), tensor.shape())
                {
                    let found = format!("{}{:?}", tensor.dtype(), tensor.shape());
                    return Err(broken(format!("is said to be {ty} and is {found}")).at(name(node.label())));
                }
            }
        }
        Ok(())
    }
}

fn wires(graph: &Graph, id: NodeId) -> Result<()> {
    let node = graph.node(id);
    let mut expected: Vec<(NodeId, usize, usize)> = Vec::new();
    for (slot, operand) in graph.operands(id).iter().enumerate() {
        let Some(value) = operand else { continue };
        if !graph.has_value(*value) {
            return Err(broken(format!("operand {slot} is made by nobody")).at(node.label()));
        }
        named(graph, *value)?;
        expected.push((value.node, value.slot, slot));
    }
    let edges = graph.dag().edges_directed(id, Direction::Incoming);
    let mut found: Vec<_> =
        edges.map(|edge| (edge.source(), edge.weight().from_slot, edge.weight().to_slot)).collect();
    found.sort_unstable();
    expected.sort_unstable();
    if found == expected { Ok(()) } else { Err(broken("edges and operands differ").at(node.label())) }
}

fn interface(graph: &Graph, is_subgraph: bool) -> Result<()> {
    let of_kind = |wanted: fn(&NodeKind) -> bool| -> Vec<NodeId> {
        graph.node_ids().filter(|&id| wanted(&graph.node(id).kind)).collect()
    };
    let listed = |list: &[NodeId]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    if listed(graph.inputs()) != of_kind(|kind| matches!(kind, NodeKind::Input(_))) {
        return Err(broken("the list of inputs does not match the nodes"));
    }
    if listed(graph.captures()) != of_kind(|kind| matches!(kind, NodeKind::Capture)) {
        return Err(broken("the list of captures does not match the nodes"));
    }
    if !is_subgraph && !graph.captures().is_empty() {
        return Err(broken("captures a value, and there is no graph around it"));
    }
    match graph.outputs().iter().position(|&value| !graph.has_value(value)) {
        Some(idx) => Err(broken(format!("graph output {idx} is made by nobody"))),
        None => graph.outputs().iter().try_for_each(|&value| named(graph, value)),
    }
}

/// Whether a value that somebody reads has a name.
fn named(graph: &Graph, value: ValueId) -> Result<()> {
    if graph.value(value).name.is_empty() {
        let message = format!("output {} is used and has no name", value.slot);
        return Err(broken(message).at(graph.node(value.node).label()));
    }
    Ok(())
}

fn acyclic(graph: &Graph) -> Result<()> {
    petgraph::algo::toposort(graph.dag(), None).map(|_| ()).map_err(|cycle| {
        let label = graph.node(cycle.node_id()).label();
        broken("depends on its own result").at(name(label))
    })
}
