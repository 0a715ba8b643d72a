//! The layers of a model by small numbers, so that sets of layers are sets of numbers. Names are used only in files.

use crate::layer::{Layer, layers};
use intact8_ir::{Error, Model, NodeRef, Result};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Index;

/// A layer of a [`LayerTable`], by its position in topological order. Valid only for the table that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId(pub u32);

/// Some layers of a table.
pub type LayerSet = BTreeSet<LayerId>;

/// The layers of one model, in topological order of each graph, outer graphs first.
#[derive(Debug, Clone, Default)]
pub struct LayerTable {
    layers: Vec<Layer>,
    by_name: HashMap<String, LayerId>,
    by_node: HashMap<NodeRef, LayerId>,
}

impl LayerTable {
    /// The layers of a model whose nodes have names; see [`NameNodes`](crate::passes::NameNodes).
    pub fn of(model: &Model) -> LayerTable {
        let layers = layers(model);
        let ids = || (0..).map(LayerId).zip(&layers);
        LayerTable {
            by_name: ids().map(|(id, layer)| (layer.name.clone(), id)).collect(),
            by_node: ids()
                .map(|(id, layer)| (NodeRef { graph: layer.graph, node: layer.node }, id))
                .collect(),
            layers,
        }
    }

    /// The number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether the model has no layer.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// All layers with their ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (LayerId, &Layer)> {
        (0..).map(LayerId).zip(&self.layers)
    }

    /// The id of the layer of that name.
    pub fn id(&self, name: &str) -> Option<LayerId> {
        self.by_name.get(name).copied()
    }

    /// The id of the layer of a node.
    pub fn at(&self, node: NodeRef) -> Option<LayerId> {
        self.by_node.get(&node).copied()
    }

    /// The name of a layer: that of its node.
    ///
    /// # Panics
    /// If the id is of another table.
    pub fn name(&self, id: LayerId) -> &str {
        &self[id].name
    }

    /// The names of some layers, in the order of the table.
    pub fn names<'a>(&self, ids: impl IntoIterator<Item = &'a LayerId>) -> Vec<String> {
        ids.into_iter().map(|&id| self.name(id).to_owned()).collect()
    }

    /// The ids of layers by name.
    ///
    /// # Errors
    /// [`InvalidConfig`](intact8_ir::ErrorKind::InvalidConfig) for a name that no layer has.
    pub fn ids<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Result<LayerSet> {
        let id = |name: &'a String| {
            self.id(name).ok_or_else(|| Error::invalid_config("is not a layer of the model").at(name))
        };
        names.into_iter().map(id).collect()
    }
}

impl Index<LayerId> for LayerTable {
    type Output = Layer;

    fn index(&self, id: LayerId) -> &Layer {
        &self.layers[id.0 as usize]
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_found_by_name_and_by_node() {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]\n\
                    %p = MatMul(%x, %w) @a\n%r = Tanh(%p) @b\n%y = MatMul(%r, %w) @c\nreturn %y\n";
        let table = LayerTable::of(&text.parse().unwrap());
        assert_eq!(table.iter().map(|(_, layer)| layer.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        let c = table.id("c").unwrap();
        assert_eq!(
            (table.at(NodeRef { graph: table[c].graph, node: table[c].node }), table.id("b")),
            (Some(c), None)
        );
        let both = ["c".to_owned(), "a".to_owned()];
        assert_eq!(table.names(&table.ids(&both).unwrap()), ["a", "c"]);
        let message = table.ids(&["b".to_owned()]).unwrap_err().to_string();
        assert_eq!(message, "b: is not a layer of the model");
    }
}
