//! Layers that gain nothing in int8 on a target whose times are not measured: layers that neither get integers from another
//! layer nor pass integers to all uses of their result.
//!
//! It uses the float model and the configuration, and changes nothing.

use crate::config::QuantConfig;
use crate::layer::{Layer, by_graph};
use crate::profile::Profile;
use crate::uses::data_operands;
use intact8_ir::{Graph, GraphId, Model, NodeId, ValueId};
use std::collections::{BTreeMap, HashMap};

/// Of the enabled layers that a runtime runs in int8 only from integers to integers, those that neither have an activation
/// in int8 from another layer nor have uses that are all layers in int8.
pub(crate) fn without_int8_neighbours(model: &Model, config: &QuantConfig, profile: &Profile) -> Vec<Layer> {
    let mut enabled = with_integers(model, config);
    let mut found = Vec::new();
    loop {
        let by_graph = by_graph(&enabled, |layer| layer.graph);
        let neighbours =
            |(&id, layers): (&GraphId, &Vec<_>)| (id, Neighbours::new(model, id, layers, profile));
        let neighbours: BTreeMap<GraphId, Neighbours<'_>> = by_graph.iter().map(neighbours).collect();
        let is_without_use = |layer: &Layer| {
            let around = &neighbours[&layer.graph];
            profile.int8_throughout.contains(&layer.op)
                && !around.has_only_integer_uses(layer.node.into())
                && !around.has_integer_activation(layer.node)
        };
        let (useless, useful): (Vec<Layer>, Vec<Layer>) = enabled.iter().cloned().partition(is_without_use);
        if useless.is_empty() {
            return found;
        }
        found.extend(useless);
        enabled = useful;
    }
}

/// The enabled layers that are not left with just their weights in int8.
fn with_integers(model: &Model, config: &QuantConfig) -> Vec<Layer> {
    let enabled = config.enabled(model).into_iter().filter(|(_, of_layer)| !of_layer.weights_only);
    enabled.map(|(layer, _)| layer).filter(|layer| !layer.activations.is_empty()).collect()
}

/// The layers of a graph, and the operations between them.
struct Neighbours<'a> {
    graph: &'a Graph,
    layers: HashMap<NodeId, &'a Layer>,
    profile: &'a Profile,
}

impl<'a> Neighbours<'a> {
    /// `layers` are those of the graph.
    fn new(model: &'a Model, graph: GraphId, layers: &[&'a Layer], profile: &'a Profile) -> Neighbours<'a> {
        let layers = layers.iter().map(|&layer| (layer.node, layer)).collect();
        Neighbours { graph: model.graph(graph), layers, profile }
    }

    fn passes_on(&self, id: NodeId) -> bool {
        let op = self.graph.node(id).as_op();
        op.is_some_and(|op| self.profile.carrying.contains(op) || self.profile.clipping.contains(op))
    }

    /// Whether all uses of a value are activations of layers, directly or through operations that pass integers on.
    fn has_only_integer_uses(&self, value: ValueId) -> bool {
        let users = self.graph.users(value);
        !self.graph.outputs().contains(&value)
            && !users.is_empty()
            && users.iter().all(|&(user, slot)| match self.layers.get(&user) {
                Some(layer) => layer.activations.contains(&slot),
                None => self.passes_on(user) && self.has_only_integer_uses(user.into()),
            })
    }

    /// Whether an activation of a layer is the result of a layer with weights, directly or through layers without weights.
    fn has_integer_activation(&self, id: NodeId) -> bool {
        let slots: Vec<usize> = match self.layers.get(&id) {
            Some(layer) => layer.activations.clone(),
            None => data_operands(self.graph, id).collect(),
        };
        let operands = slots.into_iter().filter_map(|slot| self.graph.operand(id, slot));
        operands.map(|value| value.node).any(|producer| match self.layers.get(&producer) {
            Some(layer) if !layer.weights.is_empty() => true,
            Some(_) => self.has_integer_activation(producer),
            None => self.passes_on(producer) && self.has_integer_activation(producer),
        })
    }
}
