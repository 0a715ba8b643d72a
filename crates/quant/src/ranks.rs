//! The ranks of values: those that their types state, or else those that shape inference finds.

use intact8_infer::infer;
use intact8_ir::{Graph, GraphId, Model, TensorType, ValueId, ValueRef};
use std::collections::HashMap;

/// The ranks that shape inference finds of values whose types state none.
pub(crate) struct Ranks(HashMap<ValueRef, usize>);

/// The ranks of values of one graph.
#[derive(Clone, Copy)]
pub(crate) struct GraphRanks<'a> {
    inferred: &'a Ranks,
    graph: GraphId,
}

impl Ranks {
    /// The ranks in a model; of a model that does not pass [`verify`](intact8_ir::verify()), nothing is inferred. New
    /// values that a pass makes must state their type, or replace others; see [`replace`](Ranks::replace).
    pub(crate) fn of(model: &Model) -> Ranks {
        let values = |model: &Model| -> Vec<(ValueRef, Option<usize>)> {
            let of_graph = |(id, graph): (GraphId, &Graph)| {
                let slots =
                    |node| (0..graph.node(node).outputs.len()).map(move |slot| ValueId { node, slot });
                let values = graph.node_ids().flat_map(slots);
                let values = values.map(|value| (ValueRef { graph: id, value }, stated(graph, value)));
                values.collect::<Vec<_>>()
            };
            model.graphs().flat_map(of_graph).collect()
        };
        if values(model).iter().all(|(_, rank)| rank.is_some()) {
            return Ranks(HashMap::new());
        }
        let mut typed = model.clone();
        if infer(&mut typed).is_err() {
            return Ranks(HashMap::new());
        }
        Ranks(values(&typed).into_iter().filter_map(|(value, rank)| Some((value, rank?))).collect())
    }

    /// Records that a value of a graph replaces another, so that it has the same rank.
    pub(crate) fn replace(&mut self, graph: GraphId, old: ValueId, new: ValueId) {
        if let Some(&rank) = self.0.get(&ValueRef { graph, value: old }) {
            self.0.insert(ValueRef { graph, value: new }, rank);
        }
    }

    /// The ranks in one graph.
    pub(crate) fn in_graph(&self, graph: GraphId) -> GraphRanks<'_> {
        GraphRanks { inferred: self, graph }
    }
}

impl GraphRanks<'_> {
    /// The number of dimensions of a value of the graph, if it is known.
    pub(crate) fn rank(&self, graph: &Graph, value: ValueId) -> Option<usize> {
        stated(graph, value).or_else(|| self.inferred.0.get(&ValueRef { graph: self.graph, value }).copied())
    }
}

/// The number of dimensions that a value's type states.
fn stated(graph: &Graph, value: ValueId) -> Option<usize> {
    graph.value(value).tensor_type().and_then(|ty: &TensorType| Some(ty.shape.as_ref()?.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_first_and_inference_second() {
        let text = "model m opset 17\n%x = input : f32[N,2,3]\n%r = Relu(%x)\n%s = Transpose(%r) : f32[A,B,C]\n\
                    %v = input\n%u = Relu(%v)\nreturn %s, %u\n";
        let model: Model = text.parse().unwrap();
        let ranks = Ranks::of(&model);
        let rank = |name: &str| {
            ranks.in_graph(GraphId::MAIN).rank(model.main(), model.main().value_named(name).unwrap())
        };
        assert_eq!([rank("r"), rank("s"), rank("u")], [Some(3), Some(3), None]);
        let value = |name: &str| model.main().value_named(name).unwrap();
        let mut ranks = Ranks::of(&model);
        ranks.replace(GraphId::MAIN, value("r"), value("u"));
        assert_eq!(ranks.in_graph(GraphId::MAIN).rank(model.main(), value("u")), Some(3));
    }
}
