//! The model: its graphs, the operator sets they are written in, and its local functions.

use crate::arena::Arena;
use crate::{Attr, Graph, GraphId, Node, NodeId, NodeKind, NodeRef, Notes, Value, ValueId, ValueRef};
use std::collections::BTreeMap;
use std::ops::Range;

/// A model.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The version of each operator set in use, by domain; ONNX's own domain is empty.
    pub opsets: BTreeMap<String, i64>,
    /// Operators that the model defines itself.
    pub functions: Vec<Function>,
    /// The producer that the file names.
    pub origin: Origin,
    graphs: Arena,
}

/// The description of a file by itself. It is kept for the export, and not part of the text form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The version of the file format.
    pub ir_version: i64,
    /// The tool that wrote the file.
    pub producer_name: String,
    /// Its version.
    pub producer_version: String,
    /// The namespace of the model's name.
    pub domain: String,
    /// The version of the model itself.
    pub model_version: i64,
    /// Doc string, properties, and fields without a representation here.
    pub notes: Notes,
}

/// An operator defined by a graph. The graph's inputs and outputs are the operator's.
#[derive(Debug, Clone)]
pub struct Function {
    /// The domain of the operator.
    pub domain: String,
    /// The operator's name; it is the name of the graph, too.
    pub name: String,
    /// Distinguishes functions of one name; nearly always empty.
    pub overload: String,
    /// The attributes that a caller may set, with their defaults; `None` for one that it must set.
    pub attrs: BTreeMap<String, Option<Attr>>,
    /// The operator sets that the body is written in.
    pub opsets: BTreeMap<String, i64>,
    /// The body, one of the model's graphs.
    pub body: GraphId,
}

/// Reading.
impl Model {
    /// A model of that name without nodes, in a version of ONNX's own operator set.
    pub fn new(name: &str, opset: i64) -> Model {
        let mut model = Model { opsets: BTreeMap::from([(String::new(), opset)]), ..Model::default() };
        name.clone_into(&mut model.main_mut().name);
        model
    }

    /// The version of ONNX's own operator set; 0 if the model imports none.
    pub fn opset(&self) -> i64 {
        self.opsets.get("").copied().unwrap_or(0)
    }

    /// The model's own graph; its name is the model's name.
    pub fn main(&self) -> &Graph {
        self.graph(GraphId::MAIN)
    }

    /// The graph of that id.
    ///
    /// # Panics
    /// If the graph has been removed.
    pub fn graph(&self, id: GraphId) -> &Graph {
        self.graphs.get(id).expect("the graph has not been removed")
    }

    /// Whether there is a graph of that id.
    pub fn has_graph(&self, id: GraphId) -> bool {
        self.graphs.get(id).is_some()
    }

    /// The model's own graph and its subgraphs, each before its own, in the order of nodes and of their attributes'
    /// names. Function bodies are not among them.
    pub fn graph_ids(&self) -> impl ExactSizeIterator<Item = GraphId> + DoubleEndedIterator {
        self.graphs.order().iter().copied()
    }

    /// The graphs of [`Model::graph_ids`].
    pub fn graphs(&self) -> impl ExactSizeIterator<Item = (GraphId, &Graph)> + DoubleEndedIterator {
        self.graph_ids().map(|id| (id, self.graph(id)))
    }

    /// The graphs of [`Model::graph_ids`], each after its own subgraphs.
    pub fn inner_first(&self) -> Vec<GraphId> {
        self.graphs.inner_first()
    }

    /// A graph, be it the body of a function, and its subgraphs, in the order of [`Model::graph_ids`].
    pub fn subgraphs_of(&self, root: GraphId) -> Vec<GraphId> {
        self.graphs.tree(root)
    }

    /// The node that a graph is a subgraph of; `None` for the model's own graph and for the bodies of functions.
    pub fn owner(&self, graph: GraphId) -> Option<NodeRef> {
        self.graphs.owner(graph)
    }

    /// The values that a subgraph captures, one for each of its captures: operands of the node that owns it.
    pub fn captured(&self, graph: GraphId) -> &[Option<ValueId>] {
        let Some(owner) = self.owner(graph) else { return &[] };
        let outer = self.graph(owner.graph);
        let range = self.captured_range(graph, owner);
        outer.captured_operands(owner.node).get(range).unwrap_or_default()
    }

    /// The range of its owner's captured operands that belongs to a subgraph.
    fn captured_range(&self, graph: GraphId, owner: NodeRef) -> Range<usize> {
        let op = self.graph(owner.graph).node(owner.node).as_op();
        let before = op.into_iter().flat_map(|op| op.subgraphs()).take_while(|&other| other != graph);
        let start = before.map(|other| self.graph(other).captures().len()).sum();
        start..start + self.graph(graph).captures().len()
    }

    /// The value that a captured value refers to, in the outermost graph that has it; for any other value, the value itself.
    pub fn producer(&self, value: ValueRef) -> ValueRef {
        let mut found = value;
        loop {
            let captures = self.graph(found.graph).captures();
            let Some(capture) = captures.iter().position(|&id| id == found.value.node) else { return found };
            let outer = self.captured(found.graph).get(capture).copied().flatten();
            let Some((owner, value)) = self.owner(found.graph).zip(outer) else { return found };
            found = ValueRef { graph: owner.graph, value };
        }
    }

    /// The function that defines an operator, if it is local to the model.
    pub fn function(&self, domain: &str, name: &str, overload: &str) -> Option<&Function> {
        self.functions.iter().find(|f| f.domain == domain && f.name == name && f.overload == overload)
    }
}

/// Writing: changes that concern more than one graph.
impl Model {
    /// The model's own graph.
    pub fn main_mut(&mut self) -> &mut Graph {
        self.graph_mut(GraphId::MAIN)
    }

    /// The graph of that id, to change its nodes.
    ///
    /// # Panics
    /// If the graph has been removed.
    pub fn graph_mut(&mut self, id: GraphId) -> &mut Graph {
        self.graphs.get_mut(id).expect("the graph has not been removed")
    }

    /// Adds a graph that no node owns yet: the body of a [`Function`], or the subgraph of a node that is still to be
    /// added with [`Model::add`].
    pub fn add_graph(&mut self, graph: Graph) -> GraphId {
        self.graphs.add(graph)
    }

    /// Adds a node that may have subgraphs, which are the node's from now on. Its operands are `operands`: those of the operator,
    /// and then one for each capture of each subgraph, in order of the attributes' names.
    pub fn add(&mut self, graph: GraphId, mut node: Node, operands: &[Option<ValueId>]) -> NodeId {
        let subgraphs: Vec<GraphId> = node.as_op().into_iter().flat_map(|op| op.subgraphs()).collect();
        node.n_captures = subgraphs.iter().map(|&inner| self.graph(inner).captures().len()).sum();
        let node = self.graph_mut(graph).add(node, operands);
        subgraphs.into_iter().for_each(|inner| self.graphs.set_owner(inner, NodeRef { graph, node }));
        node
    }

    /// Makes a subgraph capture `outer`, a value of the graph around it, as its last capture; `value` is its name and type
    /// inside.
    ///
    /// # Panics
    /// If no node owns the graph.
    pub fn capture(&mut self, graph: GraphId, value: Value, outer: ValueId) -> NodeId {
        let owner = self.owner(graph).expect("only subgraphs capture values");
        let end = self.captured_range(graph, owner).end;
        let around = self.graph_mut(owner.graph);
        let mut captured = around.captured_operands(owner.node).to_vec();
        captured.insert(end, Some(outer));
        around.set_captured(owner.node, &captured);
        self.graph_mut(graph).add(Node::capture(value), &[])
    }

    /// Calls `change` with every graph of [`Model::graph_ids`], subgraphs before the graphs around them,
    /// so that a change of an outer graph can't outdate the results for the inner ones.
    pub fn try_for_each_graph<E>(
        &mut self,
        mut change: impl FnMut(GraphId, &mut Graph) -> Result<(), E>,
    ) -> Result<(), E> {
        self.inner_first().into_iter().try_for_each(|id| change(id, self.graph_mut(id)))
    }

    /// Removes every node that no output of its graph depends on, captures without a use, and graphs without an owner.
    /// Inputs that must be fed stay: they are part of their graph's interface. Bodies of functions stay as they are.
    pub fn remove_dead(&mut self) {
        for id in self.inner_first() {
            let range = self.owner(id).map(|owner| (owner, self.captured_range(id, owner)));
            let kept = self.graph_mut(id).remove_dead();
            let Some((owner, range)) = range.filter(|_| kept.contains(&false)) else { continue };
            let outer = self.graph_mut(owner.graph);
            let mut captured = outer.captured_operands(owner.node).to_vec();
            let left: Vec<_> = captured[range.clone()].iter().zip(kept).filter(|(_, kept)| *kept).collect();
            let left: Vec<Option<ValueId>> = left.into_iter().map(|(value, _)| *value).collect();
            captured.splice(range, left);
            outer.set_captured(owner.node, &captured);
        }
        let attrs = self.functions.iter().flat_map(|function| function.attrs.values().flatten());
        let bodies = self.functions.iter().map(|function| function.body);
        let mut roots: Vec<GraphId> = attrs.flat_map(Attr::graphs).copied().chain(bodies).collect();
        roots.push(GraphId::MAIN);
        self.graphs.retain(&roots);
    }

    /// Makes every operation its own origin, unless nodes have origins already: so the model becomes the original to
    /// which the nodes refer after passes have changed the model.
    pub fn mark_origins(&mut self) {
        let ids: Vec<GraphId> = self.graph_ids().collect();
        let is_marked =
            |id: &GraphId| self.graph(*id).dag().node_weights().any(|node| !node.origins.is_empty());
        if ids.iter().any(is_marked) {
            return;
        }
        for graph in ids {
            let nodes: Vec<NodeId> = self.graph(graph).node_ids().collect();
            for node in nodes {
                let of = self.graph_mut(graph).node_mut(node);
                if of.as_op().is_some() {
                    of.origins = vec![NodeRef { graph, node }];
                }
            }
        }
    }

    /// Copies a node with its subgraphs from a graph of another model, without its operands and its wires.
    pub(crate) fn copy_of(&mut self, other: &Model, node: NodeRef) -> Node {
        let mut copy = other.graph(node.graph).node(node.node).clone();
        copy.operands.clear();
        let NodeKind::Op(op) = &mut copy.kind else { return copy };
        op.subgraphs_mut().for_each(|id| *id = self.copy_graph(other, *id));
        copy
    }

    /// Copies a graph with its subgraphs from another model. The ids of nodes are kept.
    pub(crate) fn copy_graph(&mut self, other: &Model, root: GraphId) -> GraphId {
        let tree = other.subgraphs_of(root);
        let copies: BTreeMap<GraphId, GraphId> =
            tree.iter().map(|&id| (id, self.add_graph(other.graph(id).clone()))).collect();
        for id in tree.into_iter().filter(|&id| id != root) {
            let Some(owner) = other.owner(id) else { continue };
            let named = other.graph(owner.graph).node(owner.node).as_op();
            let named: Vec<GraphId> = named.into_iter().flat_map(|op| op.subgraphs()).collect();
            let owner = NodeRef { graph: copies[&owner.graph], node: owner.node };
            if let NodeKind::Op(op) = &mut self.graph_mut(owner.graph).node_mut(owner.node).kind {
                let inner = op.subgraphs_mut().zip(named);
                inner.filter(|(_, named)| *named == id).for_each(|(inner, _)| *inner = copies[&id]);
            }
            self.graphs.set_owner(copies[&id], owner);
        }
        copies[&root]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_value_is_made_outside() {
        let text = "\
model m opset 17
%c = input
%x = input
%y = If(%c; %c, %x) {else_branch = graph {
  %c.1 = capture
  %x.1 = capture
  %z = If(%c.1; %x.1) {then_branch = graph {
    %x.2 = capture
    return %x.2
  }}
  return %z
}}
return %y
";
        let model: Model = text.parse().unwrap();
        let graphs: Vec<GraphId> = model.graph_ids().collect();
        let value = |depth: usize, name: &str| {
            let graph = graphs[depth];
            ValueRef { graph, value: model.graph(graph).value_named(name).unwrap() }
        };
        assert_eq!(model.producer(value(2, "x.2")), value(0, "x"));
        assert_eq!(model.producer(value(1, "c.1")), value(0, "c"));
        assert_eq!(model.producer(value(1, "z")), value(1, "z"));
    }

    const BRANCHES: &str = "\
model m opset 17
%c = input
%x = input
%z = input
%y = If(%c; %z, %x, %x, %z) {else_branch = graph {
  %z.1 = capture
  %x.1 = capture
  return %x.1
}, then_branch = graph {
  %x.2 = capture
  %z.2 = capture
  %c.2 = Neg(%x.2)
  %i = If(%c.2; %z.2) {then_branch = graph {
    %z.3 = capture
    return %z.3
  }}
  return %c.2
}}
return %y
";

    fn branches() -> Model {
        BRANCHES.parse().unwrap()
    }

    #[test]
    fn what_is_dead_is_removed_with_its_subgraphs_and_captures() {
        let mut model = branches();
        assert_eq!(model.graph_ids().count(), 4);
        let all: Vec<GraphId> = model.graph_ids().collect();
        model.remove_dead();
        let left: Vec<GraphId> = model.graph_ids().collect();
        assert_eq!(left, all[..3]);
        assert!(!model.has_graph(all[3]));
        let y = model.main().value_named("y").unwrap();
        let name = |value: &Option<ValueId>| model.main().value(value.unwrap()).name.clone();
        assert_eq!(model.main().captured_operands(y.node).iter().map(name).collect::<Vec<_>>(), ["x", "x"]);
        assert_eq!(left[1..].iter().map(|&id| model.captured(id).len()).collect::<Vec<_>>(), [1, 1]);
        crate::verify(&model).unwrap();
        assert_eq!(model.to_string().parse::<Model>().unwrap().to_string(), model.to_string());
    }

    #[test]
    fn a_capture_comes_after_the_others_of_its_graph() {
        let mut model = branches();
        let graphs: Vec<GraphId> = model.graph_ids().collect();
        let c = model.main().value_named("c").unwrap();
        let inside = model.capture(graphs[1], Value::new("c.9"), c);
        let value = ValueRef { graph: graphs[1], value: inside.into() };
        assert_eq!(model.producer(value), ValueRef { graph: GraphId::MAIN, value: c });
        crate::verify(&model).unwrap();
        assert!(model.to_string().contains("If(%c; %z, %x, %c, %x, %z)"), "{model}");
    }

    #[test]
    fn graphs_are_listed_outermost_first_or_innermost_first() {
        let model = branches();
        let graphs: Vec<GraphId> = model.graph_ids().collect();
        let outer = |id: GraphId| model.owner(id).map(|owner| owner.graph);
        assert_eq!(
            graphs.iter().map(|&id| outer(id)).collect::<Vec<_>>(),
            [None, Some(graphs[0]), Some(graphs[0]), Some(graphs[2])]
        );
        assert_eq!(model.inner_first(), [graphs[1], graphs[3], graphs[2], graphs[0]]);
        assert_eq!(model.subgraphs_of(graphs[2]), [graphs[2], graphs[3]]);
    }

    #[test]
    fn an_isolated_node_takes_its_subgraphs_along() {
        let model = branches();
        let y = model.main().value_named("y").unwrap();
        let alone = crate::isolate(&model, GraphId::MAIN, y.node);
        crate::verify(&alone).unwrap();
        let body = |text: &str| text.split_once("%y = ").unwrap().1.to_owned();
        assert_eq!(body(&alone.to_string()), body(&model.to_string()));
    }

    #[test]
    fn operations_are_their_own_origins_until_others_compute_them() {
        let text = "model m opset 17\n%x = input\n%a = Neg(%x)\n%b = Abs(%a)\nreturn %b\n";
        let mut model: Model = text.parse().unwrap();
        model.mark_origins();
        let [a, b] = ["a", "b"].map(|name| model.main().value_named(name).unwrap());
        let of = |value: ValueId| NodeRef { graph: GraphId::MAIN, node: value.node };
        model.main_mut().replace_uses(b, a);
        model.mark_origins();
        assert_eq!(model.main().node(a.node).origins, [of(a), of(b)]);
    }
}
