//! The message about a name that is not the name of a layer.

use crate::layer::Layer;
use intact8_ir::{Model, did_you_mean};

/// The reason why there is no layer of that name, with the nearest name.
pub(super) fn unknown_layer(name: &str, model: &Model, layers: &[Layer]) -> String {
    for (graph_id, graph) in model.graphs() {
        let mut named =
            graph.node_ids().filter(|&id| graph.node(id).name == name && graph.node(id).as_op().is_some());
        if let Some(id) = named.next() {
            return match crate::layer::layer(model, graph_id, id) {
                Some(Err(reason)) => format!("can't be quantized: {reason}; remove it"),
                _ => "is no quantizable operator; remove it".to_owned(),
            };
        }
    }
    format!("is not in the model{}", did_you_mean(name, layers.iter().map(|layer| &*layer.name)))
}
