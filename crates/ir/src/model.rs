//! The model: a graph with its name, the operator sets it is written in, and its local functions.

use crate::{Attr, Graph, Notes, Place};
use std::collections::BTreeMap;

/// A model.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The version of each operator set in use, by domain; ONNX's own domain is empty.
    pub opsets: BTreeMap<String, i64>,
    /// The graph; its name is the model's name.
    pub graph: Graph,
    /// Operators that the model defines itself.
    pub functions: Vec<Function>,
    /// Who wrote the file, as the file says.
    pub origin: Origin,
}

/// What a file says about itself. Kept for the way back, and not part of the text form.
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
    /// Doc string, properties, and fields without a name here.
    pub notes: Notes,
}

/// An operator defined by a graph. The graph's inputs and outputs are the operator's.
#[derive(Debug, Clone, Default)]
pub struct Function {
    /// The domain of the operator.
    pub domain: String,
    /// The operator's name; it is the name of the graph, too.
    pub name: String,
    /// Which of several functions of that name; nearly always empty.
    pub overload: String,
    /// The attributes that a caller gives, and what they are if it does not; `None` where it must.
    pub attrs: BTreeMap<String, Option<Attr>>,
    /// The operator sets that the body is written in.
    pub opsets: BTreeMap<String, i64>,
    /// The body.
    pub graph: Graph,
}

impl Model {
    /// A model of that name without nodes, in a version of ONNX's own operator set.
    pub fn new(name: &str, opset: i64) -> Model {
        let opsets = BTreeMap::from([(String::new(), opset)]);
        Model { opsets, graph: Graph::new(name), ..Model::default() }
    }

    /// The version of ONNX's own operator set; 0 if the model imports none.
    pub fn opset(&self) -> i64 {
        self.opsets.get("").copied().unwrap_or(0)
    }

    /// The model's graph and all its subgraphs, each before its own: their positions are what
    /// [`Place::graph`](crate::Place) counts. Function bodies are not among them.
    pub fn graphs(&self) -> Vec<&Graph> {
        let mut graphs = Vec::new();
        self.graph.visit(&mut |graph| graphs.push(graph));
        graphs
    }

    /// Where a value is made: for a captured one, the place that it is captured from, however far outside.
    pub fn origin(&self, place: Place) -> Place {
        let graphs = self.graphs();
        let mut place = place;
        while let Some(capture) = graphs[place.graph].captures().iter().position(|&id| id == place.value.node)
        {
            let outer = |position: usize| graphs[position].captured_by(graphs[place.graph], capture);
            // A graph comes right after those around it, so the search is short.
            let found = (0..place.graph).rev().find_map(|graph| Some(Place { graph, value: outer(graph)? }));
            let Some(found) = found else { return place };
            place = found;
        }
        place
    }

    /// Calls `change` with every graph that [`Model::graphs`] lists, subgraphs before the graphs around them,
    /// so that what it returns about the inner ones can't be outdated by the outer ones.
    pub fn try_for_each_graph<E>(
        &mut self,
        mut change: impl FnMut(usize, &mut Graph) -> Result<(), E>,
    ) -> Result<(), E> {
        self.graph.try_visit_mut(&mut 0, &mut change)
    }

    /// The function that defines an operator, if it is local to the model.
    pub fn function(&self, domain: &str, name: &str, overload: &str) -> Option<&Function> {
        self.functions.iter().find(|f| f.domain == domain && f.name == name && f.overload == overload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_values_have_an_origin() {
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
        let graphs = model.graphs();
        let place =
            |graph: usize, name: &str| Place { graph, value: graphs[graph].value_named(name).unwrap() };
        assert_eq!(model.origin(place(2, "x.2")), place(0, "x"));
        assert_eq!(model.origin(place(1, "c.1")), place(0, "c"));
        assert_eq!(model.origin(place(1, "z")), place(1, "z"));
    }
}
