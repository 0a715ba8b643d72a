//! The nodes of a model and the edges between them, for drawings.

use intact8_ir::{GraphId, Model, NodeId, NodeKind, NodeRef, ValueRef};
use std::collections::{BTreeSet, HashMap};

/// The operations of a model, its inputs and its outputs, as one graph: nodes of subgraphs are beside those of their owners.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerGraph {
    /// The nodes; each is after all that it uses.
    pub nodes: Vec<GraphNode>,
    /// Pairs of positions of nodes, producer and user, ascending and each once.
    pub edges: Vec<(usize, usize)>,
}

/// A node of a [`LayerGraph`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphNode {
    /// The name of the node, or of the input or output; names of nodes are those of layers.
    pub name: String,
    /// The operator, or `input` or `output`.
    pub operator: String,
}

impl LayerGraph {
    /// The graph of a model.
    pub fn of(model: &Model) -> LayerGraph {
        let mut subgraphs: HashMap<NodeRef, Vec<GraphId>> = HashMap::new();
        for graph in model.graph_ids() {
            if let Some(owner) = model.owner(graph) {
                subgraphs.entry(owner).or_default().push(graph);
            }
        }
        let mut building =
            Building { model, subgraphs, positions: HashMap::new(), edges: BTreeSet::new(), nodes: vec![] };
        // Without the main graph, functions: their bodies are drawn beside it.
        let roots = model.graph_ids().filter(|&graph| model.owner(graph).is_none());
        roots.for_each(|graph| building.add(graph));
        building.outputs();
        LayerGraph { nodes: building.nodes, edges: building.edges.into_iter().collect() }
    }
}

struct Building<'a> {
    model: &'a Model,
    subgraphs: HashMap<NodeRef, Vec<GraphId>>,
    positions: HashMap<NodeRef, usize>,
    edges: BTreeSet<(usize, usize)>,
    nodes: Vec<GraphNode>,
}

impl Building<'_> {
    /// Adds the nodes of a graph. The nodes of subgraphs come before their owner, which uses their results.
    fn add(&mut self, graph: GraphId) {
        for id in self.model.graph(graph).topo() {
            let node = self.model.graph(graph).node(id);
            let operator = match &node.kind {
                NodeKind::Op(op) => op.name.to_string(),
                NodeKind::Input(_) if graph == GraphId::MAIN => "input".to_owned(),
                NodeKind::Input(_) | NodeKind::Capture | NodeKind::Const(_) => continue,
            };
            let node_ref = NodeRef { graph, node: id };
            let inner = self.subgraphs.remove(&node_ref).unwrap_or_default();
            inner.iter().for_each(|&subgraph| self.add(subgraph));
            let position = self.nodes.len();
            let name = if node.name.is_empty() {
                node.outputs.first().map(|value| value.name.clone()).unwrap_or_default()
            } else {
                node.name.clone()
            };
            self.nodes.push(GraphNode { name, operator });
            self.positions.insert(node_ref, position);
            for value in self.model.graph(graph).operands(id).iter().flatten() {
                self.connect(ValueRef { graph, value: *value }, position);
            }
            for subgraph in inner {
                for value in self.model.graph(subgraph).outputs() {
                    self.connect(ValueRef { graph: subgraph, value: *value }, position);
                }
            }
        }
    }

    /// Connects the producer of a value, unless it is constant, with a node.
    fn connect(&mut self, value: ValueRef, user: usize) {
        let made = self.model.producer(value);
        let producer: NodeId = made.value.node;
        if let Some(&position) = self.positions.get(&NodeRef { graph: made.graph, node: producer }) {
            self.edges.insert((position, user));
        }
    }

    fn outputs(&mut self) {
        let graph = self.model.main();
        for &value in graph.outputs() {
            let position = self.nodes.len();
            self.nodes
                .push(GraphNode { name: graph.value(value).name.clone(), operator: "output".to_owned() });
            self.connect(ValueRef { graph: GraphId::MAIN, value }, position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_follow_what_they_use_and_constants_are_left_out() {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const splat(1.0) : f32[2,2]\n\
                    %h = MatMul(%x, %w) @fc\n%r = Relu(%h) @act\n%y = Add(%r, %h) @sum\nreturn %y\n";
        let graph = LayerGraph::of(&text.parse().unwrap());
        let names: Vec<(&str, &str)> =
            graph.nodes.iter().map(|node| (node.name.as_str(), node.operator.as_str())).collect();
        assert_eq!(
            names,
            [("x", "input"), ("fc", "MatMul"), ("act", "Relu"), ("sum", "Add"), ("y", "output")]
        );
        assert_eq!(graph.edges, [(0, 1), (1, 2), (1, 3), (2, 3), (3, 4)]);
    }

    #[test]
    fn nodes_of_a_subgraph_are_between_what_they_capture_and_their_owner() {
        let text = "model m opset 17\n%c = input : bool[]\n%x = input : f32[2]\n\
                    %y = If(%c; %x, %x) {else_branch = graph a {\n  %u = capture : f32[2]\n  %p = Neg(%u) @neg\n  return %p\n\
                    }, then_branch = graph b {\n  %v = capture : f32[2]\n  %q = Abs(%v) @abs\n  return %q\n}} @if\n\
                    return %y\n";
        let graph = LayerGraph::of(&text.parse().unwrap());
        let position = |name: &str| graph.nodes.iter().position(|node| node.name == name).unwrap();
        for edge in [("x", "neg"), ("x", "abs"), ("neg", "if"), ("abs", "if"), ("c", "if"), ("if", "y")] {
            assert!(graph.edges.contains(&(position(edge.0), position(edge.1))), "{edge:?} {graph:?}");
        }
    }
}
