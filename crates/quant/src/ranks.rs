//! How many dimensions values have: what their types state, and where they state none, what shape inference finds.

use intact8_infer::infer;
use intact8_ir::{Graph, Model, TensorType, ValueId};
use std::collections::HashMap;

/// The ranks that shape inference finds of values whose types state none, by the position of their graph.
pub(crate) struct Ranks(HashMap<(usize, ValueId), usize>);

/// The ranks of values of one graph.
#[derive(Clone, Copy)]
pub(crate) struct GraphRanks<'a> {
    inferred: &'a Ranks,
    position: usize,
}

impl Ranks {
    /// The ranks in a model; of a model that does not pass [`verify`](intact8_ir::verify()), nothing is inferred. New
    /// values that a pass makes must state their type, or take the place of others; see [`replace`](Ranks::replace).
    pub(crate) fn of(model: &Model) -> Ranks {
        let values = |model: &Model| -> Vec<((usize, ValueId), Option<usize>)> {
            let graphs = model.graphs().into_iter().enumerate();
            let of_graph = |(position, graph): (usize, &Graph)| {
                let slots =
                    |node| (0..graph.node(node).outputs.len()).map(move |slot| ValueId { node, slot });
                let values = graph.node_ids().flat_map(slots);
                values.map(|value| ((position, value), stated(graph, value))).collect::<Vec<_>>()
            };
            graphs.flat_map(of_graph).collect()
        };
        if values(model).iter().all(|(_, rank)| rank.is_some()) {
            return Ranks(HashMap::new());
        }
        let mut typed = model.clone();
        if infer(&mut typed).is_err() {
            return Ranks(HashMap::new());
        }
        Ranks(values(&typed).into_iter().filter_map(|(place, rank)| Some((place, rank?))).collect())
    }

    /// Notes that a value of a graph takes the place of another, so that it has the same rank.
    pub(crate) fn replace(&mut self, position: usize, old: ValueId, new: ValueId) {
        if let Some(&rank) = self.0.get(&(position, old)) {
            self.0.insert((position, new), rank);
        }
    }

    /// The ranks in the graph at a position.
    pub(crate) fn in_graph(&self, position: usize) -> GraphRanks<'_> {
        GraphRanks { inferred: self, position }
    }
}

impl GraphRanks<'_> {
    /// The number of dimensions of a value of the graph, if it can be told.
    pub(crate) fn rank(&self, graph: &Graph, value: ValueId) -> Option<usize> {
        stated(graph, value).or_else(|| self.inferred.0.get(&(self.position, value)).copied())
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
                    %u = Unknown(%s)\nreturn %u\n";
        let model: Model = text.parse().unwrap();
        let ranks = Ranks::of(&model);
        let rank = |name: &str| ranks.in_graph(0).rank(&model.graph, model.graph.value_named(name).unwrap());
        assert_eq!([rank("r"), rank("s"), rank("u")], [Some(3), Some(3), None]);
        let value = |name: &str| model.graph.value_named(name).unwrap();
        let mut ranks = Ranks::of(&model);
        ranks.replace(0, value("r"), value("u"));
        assert_eq!(ranks.in_graph(0).rank(&model.graph, value("u")), Some(3));
    }
}
