//! The arena that owns all graphs of a model, and the ids of graphs, nodes and values.
//!
//! It stores the owner of each subgraph, and has no other knowledge of what is in a graph.

use crate::{Graph, NodeId, ValueId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;

/// A graph of a model. It stays valid while other graphs come and go, and in copies of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GraphId(u32);

/// A node anywhere in a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeRef {
    /// The graph.
    pub graph: GraphId,
    /// The node of that graph.
    pub node: NodeId,
}

/// A value anywhere in a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueRef {
    /// The graph.
    pub graph: GraphId,
    /// The value of that graph.
    pub value: ValueId,
}

impl GraphId {
    /// The model's own graph, which no other graph contains.
    pub const MAIN: GraphId = GraphId(0);
}

impl fmt::Display for GraphId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "graph {}", self.0)
    }
}

/// All graphs of a model: its own, the bodies of functions, and the subgraphs of their nodes.
#[derive(Debug, Clone)]
pub(crate) struct Arena {
    slots: Vec<Option<Slot>>,
    /// The model's own graph and its subgraphs, outermost first; empty after each change of the tree.
    order: OnceLock<Vec<GraphId>>,
}

#[derive(Debug, Clone)]
struct Slot {
    graph: Graph,
    /// The node that the graph is a subgraph of.
    owner: Option<NodeRef>,
}

impl Default for Arena {
    /// An arena of one empty graph, the model's own.
    fn default() -> Arena {
        let main = Slot { graph: Graph::default(), owner: None };
        Arena { slots: vec![Some(main)], order: OnceLock::new() }
    }
}

impl Arena {
    pub(crate) fn get(&self, id: GraphId) -> Option<&Graph> {
        Some(&self.slots.get(id.0 as usize)?.as_ref()?.graph)
    }

    pub(crate) fn get_mut(&mut self, id: GraphId) -> Option<&mut Graph> {
        // The caller may remove a node that owns subgraphs.
        self.order.take();
        Some(&mut self.slots.get_mut(id.0 as usize)?.as_mut()?.graph)
    }

    /// The node that a graph is a subgraph of.
    pub(crate) fn owner(&self, id: GraphId) -> Option<NodeRef> {
        self.slots.get(id.0 as usize)?.as_ref()?.owner
    }

    /// Adds a graph that no node owns yet.
    pub(crate) fn add(&mut self, graph: Graph) -> GraphId {
        let id = GraphId(u32::try_from(self.slots.len()).expect("a graph needs more memory than its id"));
        self.slots.push(Some(Slot { graph, owner: None }));
        id
    }

    /// Makes a graph the subgraph of a node.
    pub(crate) fn set_owner(&mut self, id: GraphId, owner: NodeRef) {
        if let Some(Some(slot)) = self.slots.get_mut(id.0 as usize) {
            slot.owner = Some(owner);
        }
        self.order.take();
    }

    /// The model's own graph and its subgraphs, outermost first.
    pub(crate) fn order(&self) -> &[GraphId] {
        self.order.get_or_init(|| self.tree(GraphId::MAIN))
    }

    /// A graph and its subgraphs: each before its own, in the order of nodes and of their attributes' names.
    pub(crate) fn tree(&self, root: GraphId) -> Vec<GraphId> {
        let mut owners: BTreeMap<GraphId, BTreeSet<NodeId>> = BTreeMap::new();
        for owner in self.slots.iter().flatten().filter_map(|slot| slot.owner) {
            owners.entry(owner.graph).or_default().insert(owner.node);
        }
        let mut seen = BTreeSet::new();
        let mut tree = Vec::new();
        let mut pending = vec![root];
        while let Some(graph) = pending.pop() {
            if seen.insert(graph) {
                tree.push(graph);
                let nodes = owners.get(&graph).into_iter().flatten().rev();
                pending.extend(
                    nodes.flat_map(|&node| self.subgraphs(NodeRef { graph, node }).into_iter().rev()),
                );
            }
        }
        tree
    }

    /// The same graphs, each after its own subgraphs.
    pub(crate) fn inner_first(&self) -> Vec<GraphId> {
        let mut done = Vec::new();
        let mut open: Vec<GraphId> = Vec::new();
        for &id in self.order() {
            let outer = self.owner(id).map(|owner| owner.graph);
            while let Some(last) = open.pop_if(|last| Some(*last) != outer) {
                done.push(last);
            }
            open.push(id);
        }
        done.extend(open.into_iter().rev());
        done
    }

    /// The graphs that a node names as its subgraphs and that know it as their owner.
    fn subgraphs(&self, owner: NodeRef) -> Vec<GraphId> {
        let node = self.get(owner.graph).and_then(|graph| graph.dag().node_weight(owner.node));
        let named = node.and_then(|node| node.as_op()).into_iter().flat_map(|op| op.subgraphs());
        named.filter(|&id| self.owner(id) == Some(owner)).collect()
    }

    /// Removes every graph that is not in a tree of one of these roots.
    pub(crate) fn retain(&mut self, roots: &[GraphId]) {
        let kept: BTreeSet<GraphId> = roots.iter().flat_map(|&root| self.tree(root)).collect();
        for (slot, number) in self.slots.iter_mut().zip(0..) {
            if !kept.contains(&GraphId(number)) {
                *slot = None;
            }
        }
        self.order.take();
    }
}
