//! Fresh names: those of values must be unique in nested graphs too, and some runtimes require that of the names of nodes, too.

use intact8_ir::Model;
use std::collections::HashSet;

/// The names in use.
pub(crate) struct Names(HashSet<String>);

impl Names {
    /// The names of a model's values and nodes, subgraphs included.
    pub(crate) fn of(model: &Model) -> Names {
        let graphs = model.graphs();
        let nodes = graphs.flat_map(|(_, graph)| graph.node_ids().map(move |id| graph.node(id)));
        Names(
            nodes
                .flat_map(|node| node.outputs.iter().map(|value| &value.name).chain([&node.name]))
                .cloned()
                .collect(),
        )
    }

    /// No names.
    pub(crate) fn none() -> Names {
        Names(HashSet::new())
    }

    /// `base`, or `base` followed by the first number that makes it new. It is in use from now on.
    pub(crate) fn fresh(&mut self, base: &str) -> String {
        let numbered = (1..).map(|n| format!("{base}_{n}"));
        let mut candidates = std::iter::once(base.to_owned()).chain(numbered);
        let name = candidates.find(|name| !self.0.contains(name)).expect("numbers do not end");
        self.0.insert(name.clone());
        name
    }
}
