//! Layers that a runtime gains nothing from in int8: what reads their result takes floats, so that it would have to be
//! quantized for them alone, and what makes their activation gives floats.
//!
//! It looks at the float model and at the configuration, and changes nothing.

use crate::config::QuantConfig;
use crate::layer::Layer;
use crate::profile::Profile;
use quantfit_ir::{Graph, Model, NodeId, ValueId};
use std::collections::HashMap;

/// Of the enabled layers that a runtime runs in int8 only from integers to integers, those that neither read what another
/// layer gives in int8 nor give all their readers what they read in int8.
pub(crate) fn without_use(model: &Model, config: &QuantConfig, profile: &Profile) -> Vec<Layer> {
    let enabled = config.enabled(model).into_iter().filter(|(_, of_layer)| !of_layer.weights_only);
    let mut enabled: Vec<Layer> = enabled.map(|(layer, _)| layer).collect();
    let graphs = model.graphs();
    let mut found = Vec::new();
    loop {
        let neighbours = |position: usize| Neighbours::new(graphs[position], position, &enabled, profile);
        let is_without_use = |layer: &Layer| {
            let around = neighbours(layer.graph);
            profile.int8_throughout.contains(&layer.op)
                && !around.gives_integers(layer.node.into())
                && !around.reads_integers(layer.node)
        };
        let (useless, useful): (Vec<Layer>, Vec<Layer>) = enabled.iter().cloned().partition(is_without_use);
        if useless.is_empty() {
            return found;
        }
        found.extend(useless);
        enabled = useful;
    }
}

/// The layers of a graph, and what lies between them.
struct Neighbours<'a> {
    graph: &'a Graph,
    layers: HashMap<NodeId, &'a Layer>,
    profile: &'a Profile,
}

impl<'a> Neighbours<'a> {
    fn new(graph: &'a Graph, position: usize, enabled: &'a [Layer], profile: &'a Profile) -> Neighbours<'a> {
        let here = enabled.iter().filter(|layer| layer.graph == position);
        Neighbours { graph, layers: here.map(|layer| (layer.node, layer)).collect(), profile }
    }

    fn passes_on(&self, id: NodeId) -> bool {
        let op = self.graph.node(id).as_op().filter(|op| op.domain.is_empty());
        op.is_some_and(|op| {
            let name = op.name.as_str();
            self.profile.carrying.contains(&name) || self.profile.clipping.contains(&name)
        })
    }

    /// Whether everybody who reads a value is a layer, or passes it on to such alone.
    fn gives_integers(&self, value: ValueId) -> bool {
        let users = self.graph.users(value);
        !self.graph.outputs().contains(&value)
            && !users.is_empty()
            && users.iter().all(|&(user, slot)| match self.layers.get(&user) {
                Some(layer) => layer.activations.contains(&slot),
                None => self.passes_on(user) && self.gives_integers(user.into()),
            })
    }

    /// Whether an activation of a layer is made by a layer with weights, by way of others without perhaps.
    fn reads_integers(&self, id: NodeId) -> bool {
        let slots: Vec<usize> = match self.layers.get(&id) {
            Some(layer) => layer.activations.clone(),
            None if self.graph.node(id).is("Concat") => (0..self.graph.operands(id).len()).collect(),
            None => vec![0],
        };
        let operands = slots.into_iter().filter_map(|slot| self.graph.operand(id, slot));
        operands.map(|value| value.node).any(|maker| match self.layers.get(&maker) {
            Some(layer) if !layer.weights.is_empty() => true,
            Some(_) => self.reads_integers(maker),
            None => self.passes_on(maker) && self.reads_integers(maker),
        })
    }
}
