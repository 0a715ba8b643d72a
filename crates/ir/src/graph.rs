//! The graph: sole owner of the petgraph. All changes of the petgraph are in this file.
//!
//! Reading is free, with any petgraph algorithm. Writing is four verbs, which keep each node's ordered operand
//! list and the edges equal: [`add`](Graph::add), [`set_operand`](Graph::set_operand),
//! [`replace_uses`](Graph::replace_uses), [`set_outputs`](Graph::set_outputs). A change that concerns several graphs is a verb
//! of the [`Model`](crate::Model): adding a node with subgraphs, capturing a value, removing dead nodes.

use crate::{Node, NodeKind, Notes, Tensor, Value, ValueId};
use petgraph::Direction;
use petgraph::stable_graph::StableDiGraph;
use petgraph::visit::EdgeRef;
use std::collections::HashSet;

/// A node of a graph. It stays valid while other nodes come and go.
pub type NodeId = petgraph::stable_graph::NodeIndex<u32>;

/// An edge: from an output slot to an input slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// The producer's output slot.
    pub from_slot: usize,
    /// The user's input slot.
    pub to_slot: usize,
}

/// A directed acyclic graph of nodes.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// The graph's name; may be empty.
    pub name: String,
    /// Contents of the file about the graph that the IR does not interpret.
    pub notes: Notes,
    dag: StableDiGraph<Node, Wire>,
    inputs: Vec<NodeId>,
    captures: Vec<NodeId>,
    outputs: Vec<ValueId>,
}

/// Reading.
impl Graph {
    /// An empty graph of that name.
    pub fn new(name: &str) -> Graph {
        Graph { name: name.to_owned(), ..Graph::default() }
    }

    /// The petgraph, for any of its algorithms.
    pub fn dag(&self) -> &StableDiGraph<Node, Wire> {
        &self.dag
    }

    /// The inputs, in order, including those with a default value.
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// Of a subgraph: the values captured from the graph around it, in the order of its owner's last operands.
    pub fn captures(&self) -> &[NodeId] {
        &self.captures
    }

    /// The outputs of the graph, in order.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// The node of that id.
    ///
    /// # Panics
    /// If the node has been removed.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.dag[id]
    }

    /// The node of that id, to change its labels: names, types, attributes, notes. The edges can't be changed with it.
    ///
    /// # Panics
    /// If the node has been removed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.dag[id]
    }

    /// Whether there is a node of that id that has an output of that slot.
    pub fn has_value(&self, value: ValueId) -> bool {
        self.dag.node_weight(value.node).is_some_and(|node| value.slot < node.outputs.len())
    }

    /// The value of that id.
    ///
    /// # Panics
    /// If its producer has been removed or has no such slot.
    pub fn value(&self, value: ValueId) -> &Value {
        &self.dag[value.node].outputs[value.slot]
    }

    /// The value of that name. Looks at every node.
    pub fn value_named(&self, name: &str) -> Option<ValueId> {
        self.node_ids().find_map(|node| {
            let slot = self.dag[node].outputs.iter().position(|value| value.name == name)?;
            Some(ValueId { node, slot })
        })
    }

    /// The operands of a node, by input slot; captured values come last.
    pub fn operands(&self, node: NodeId) -> &[Option<ValueId>] {
        &self.dag[node].operands
    }

    /// The operands of the operator itself, without those that subgraphs capture.
    pub fn formal_operands(&self, node: NodeId) -> &[Option<ValueId>] {
        let operands = &self.dag[node].operands;
        &operands[..operands.len().saturating_sub(self.dag[node].n_captures)]
    }

    /// The operands that the node's subgraphs capture: one for each capture of each subgraph, in order.
    pub fn captured_operands(&self, node: NodeId) -> &[Option<ValueId>] {
        &self.dag[node].operands[self.formal_operands(node).len()..]
    }

    /// The value in an input slot, if there is one.
    pub fn operand(&self, node: NodeId, slot: usize) -> Option<ValueId> {
        self.dag[node].operands.get(slot).copied().flatten()
    }

    /// The uses of a value, in order: the nodes with their input slots. The graph's own outputs are not among them.
    pub fn users(&self, value: ValueId) -> Vec<(NodeId, usize)> {
        let wires = self.dag.edges_directed(value.node, Direction::Outgoing);
        let mut users: Vec<_> = wires
            .filter(|wire| wire.weight().from_slot == value.slot)
            .map(|wire| (wire.target(), wire.weight().to_slot))
            .collect();
        users.sort_unstable();
        users
    }

    /// The tensor, if the value is constant; an input's default counts.
    pub fn constant(&self, value: ValueId) -> Option<&Tensor> {
        self.dag[value.node].as_constant()
    }

    /// The tensor, if no run can have another one: an input's default does not count.
    pub fn fixed(&self, value: ValueId) -> Option<&Tensor> {
        match &self.dag[value.node].kind {
            NodeKind::Const(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// All nodes, in order of their ids.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> {
        self.dag.node_indices()
    }

    /// All nodes, producers before users, otherwise in order of their ids:
    /// a graph that was built in order keeps that order, and later insertions come right before their first user.
    ///
    /// On a cycle, which [`verify`](crate::verify()) refuses, the order is arbitrary but still complete.
    pub fn topo(&self) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.dag.node_count());
        let mut entered = HashSet::with_capacity(self.dag.node_count());
        for root in self.node_ids() {
            let mut path = vec![(root, 0)];
            if !entered.insert(root) {
                continue;
            }
            while let Some((node, slot)) = path.pop() {
                match self.dag[node].operands.get(slot) {
                    Some(operand) => {
                        path.push((node, slot + 1));
                        path.extend(operand.filter(|v| entered.insert(v.node)).map(|v| (v.node, 0)));
                    }
                    None => order.push(node),
                }
            }
        }
        order
    }
}

/// Writing: four verbs, no others.
impl Graph {
    /// Adds a node with `operands`. An input or a capture becomes the graph's last one.
    ///
    /// A node with subgraphs is added with [`Model::add`](crate::Model::add), and a capture of a graph whose node exists
    /// with [`Model::capture`](crate::Model::capture).
    pub fn add(&mut self, node: Node, operands: &[Option<ValueId>]) -> NodeId {
        let id = self.dag.add_node(node);
        match self.dag[id].kind {
            NodeKind::Input(_) => self.inputs.push(id),
            NodeKind::Capture => self.captures.push(id),
            NodeKind::Const(_) | NodeKind::Op(_) => {}
        }
        for (slot, &operand) in operands.iter().enumerate() {
            self.set_operand(id, slot, operand);
        }
        id
    }

    /// Sets an operand of `node`, or removes it. Missing slots before it are added, without operands.
    pub fn set_operand(&mut self, node: NodeId, slot: usize, value: Option<ValueId>) {
        let operands = &mut self.dag[node].operands;
        if operands.len() <= slot {
            operands.resize(slot + 1, None);
        }
        if operands[slot].is_some() {
            let wires = self.dag.edges_directed(node, Direction::Incoming);
            let wire = wires.filter(|wire| wire.weight().to_slot == slot).map(|wire| wire.id()).next();
            self.dag.remove_edge(wire.expect("every operand has a wire"));
        }
        self.dag[node].operands[slot] = value;
        if let Some(value) = value {
            self.dag.add_edge(value.node, node, Wire { from_slot: value.slot, to_slot: slot });
        }
    }

    /// Makes all users of `old`, the graph's outputs included, use `new` instead.
    /// The producer of `new` itself still uses `old`, so that a node can be inserted after a value. The origins of the
    /// producer of `old` are added to those of the producer of `new`.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) {
        self.add_origins(new.node, old.node);
        for (user, slot) in self.users(old) {
            if user != new.node {
                self.set_operand(user, slot, Some(new));
            }
        }
        for output in self.outputs.iter_mut().filter(|output| **output == old) {
            *output = new;
        }
    }

    /// Adds the origins of one node to those of another, which replaces it.
    ///
    /// [`Graph::replace_uses`] does so itself; a pass that merges nodes in another way calls this.
    pub fn add_origins(&mut self, to: NodeId, from: NodeId) {
        if !self.dag[from].origins.is_empty() && to != from {
            let origins = self.dag[from].origins.clone();
            self.dag[to].add_origins(&origins);
        }
    }

    /// Sets the outputs of the graph.
    pub fn set_outputs(&mut self, outputs: Vec<ValueId>) {
        self.outputs = outputs;
    }

    /// Sets the values that the subgraphs of a node capture, which are its last operands; they replace the present ones.
    pub(crate) fn set_captured(&mut self, node: NodeId, captured: &[Option<ValueId>]) {
        let n_formal = self.formal_operands(node).len();
        (n_formal..self.dag[node].operands.len()).for_each(|slot| self.set_operand(node, slot, None));
        self.dag[node].operands.truncate(n_formal);
        self.dag[node].n_captures = captured.len();
        for (slot, &value) in (n_formal..).zip(captured) {
            self.set_operand(node, slot, value);
        }
    }

    /// Removes every node that no output depends on. Inputs that must be fed stay: they are part of the graph's
    /// interface. Returns for each capture whether it is left.
    pub(crate) fn remove_dead(&mut self) -> Vec<bool> {
        let mut alive: HashSet<NodeId> = HashSet::new();
        let mut pending: Vec<NodeId> = self.outputs.iter().map(|value| value.node).collect();
        pending.extend(self.inputs.iter().filter(|&&id| matches!(self.dag[id].kind, NodeKind::Input(None))));
        while let Some(id) = pending.pop() {
            if alive.insert(id) {
                pending.extend(self.dag[id].operands.iter().flatten().map(|value| value.node));
            }
        }
        self.dag.retain_nodes(|_, id| alive.contains(&id));
        self.inputs.retain(|id| alive.contains(id));
        let kept = self.captures.iter().map(|id| alive.contains(id)).collect();
        self.captures.retain(|id| alive.contains(id));
        kept
    }
}

impl From<NodeId> for ValueId {
    /// The node's first output.
    fn from(node: NodeId) -> ValueId {
        ValueId { node, slot: 0 }
    }
}
