//! Layers that gain nothing in int8 on a target: layers that neither get integers from another layer nor pass integers to
//! all uses of their result, and layers that save less than it costs to quantize their activations.
//!
//! It uses the float model and the configuration, and changes nothing.

use crate::config::QuantConfig;
use crate::costs::{multiply_adds, n_elements, sample_shapes};
use crate::layer::{Layer, by_graph};
use crate::profile::{Overhead, Profile};
use crate::uses::data_operands;
use intact8_ir::{Graph, GraphId, Model, NodeId, TensorType, ValueId, ValueRef};
use std::collections::{BTreeMap, HashMap, HashSet};

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

/// The enabled layers of islands that save less than it costs to quantize their activations. An island is layers that pass
/// integers to each other. Islands of unknown shapes stay in int8, and all do if an input has a symbolic dimension other than
/// the batch.
pub(crate) fn dearer_than_float(
    model: &Model,
    config: &QuantConfig,
    profile: &Profile,
    overhead: &Overhead,
) -> Vec<Layer> {
    let is_open = |ty: &TensorType| ty.shape.iter().flatten().skip(1).any(|dim| dim.known().is_none());
    let mut inputs = model.main().inputs().iter().map(|&id| model.main().value(id.into()));
    if inputs.any(|input| input.tensor_type().is_none_or(is_open)) {
        return vec![];
    }
    let (enabled, Ok(shapes)) = (with_integers(model, config), sample_shapes(model)) else { return vec![] };
    let mut found = Vec::new();
    for (graph, layers) in by_graph(&enabled, |layer| layer.graph) {
        let around = Neighbours::new(model, graph, &layers, profile);
        for island in around.islands() {
            let of_layer = |layer: &&Layer| multiply_adds(model, layer, &shapes);
            let saved = || total(island.layers.iter().map(of_layer));
            let cost = || overhead.of(&island, graph, &shapes);
            if saved().zip(cost()).is_some_and(|(saved, cost)| saved < cost) {
                found.extend(island.layers.into_iter().cloned());
            }
        }
    }
    found
}

/// The enabled layers that are not left with just their weights in int8.
fn with_integers(model: &Model, config: &QuantConfig) -> Vec<Layer> {
    let enabled = config.enabled(model).into_iter().filter(|(_, of_layer)| !of_layer.weights_only);
    enabled.map(|(layer, _)| layer).filter(|layer| !layer.activations.is_empty()).collect()
}

/// The sum, if every part is known.
fn total(mut parts: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    parts.try_fold(0usize, |sum, part| Some(sum.saturating_add(part?)))
}

impl Overhead {
    /// The cost of quantizing the activations of an island; `None` if a shape is unknown.
    fn of(
        &self,
        island: &Island<'_>,
        graph: GraphId,
        shapes: &BTreeMap<ValueRef, Vec<usize>>,
    ) -> Option<usize> {
        let of_value = |&(value, is_pooled): &(ValueId, bool)| {
            let n_values = n_elements(shapes.get(&ValueRef { graph, value })?);
            let each = self.each_value + if is_pooled { self.each_pooled } else { 0 };
            Some(each.saturating_mul(n_values).saturating_add(self.fixed))
        };
        total(island.floats.iter().map(of_value))
    }
}

/// Layers that pass integers to each other.
#[derive(Default)]
struct Island<'a> {
    layers: Vec<&'a Layer>,
    /// The values that are quantized for the layers, and whether a MaxPool lies between the quantization and the layer.
    floats: HashSet<(ValueId, bool)>,
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

    /// The islands of the graph.
    fn islands(&self) -> Vec<Island<'a>> {
        let (mut parts, mut part_of) = (Vec::new(), HashMap::new());
        // Of each layer an earlier one of its island, or itself.
        let mut earlier: Vec<usize> = Vec::new();
        for id in self.graph.topo() {
            let Some(layer) = self.layers.get(&id) else { continue };
            let part = parts.len();
            earlier.push(part);
            let mut floats = HashSet::new();
            for producer in self.trace(layer, &mut floats) {
                if let Some(&other) = part_of.get(&producer) {
                    let (a, b) = (first_of(&mut earlier, part), first_of(&mut earlier, other));
                    earlier[a.max(b)] = a.min(b);
                }
            }
            part_of.insert(id, part);
            parts.push((*layer, floats));
        }
        let mut islands: BTreeMap<usize, Island<'a>> = BTreeMap::new();
        for (part, (layer, floats)) in parts.into_iter().enumerate() {
            let island = islands.entry(first_of(&mut earlier, part)).or_default();
            island.layers.push(layer);
            island.floats.extend(floats);
        }
        islands.into_values().collect()
    }

    /// The layers whose results are a layer's activations; floats that are quantized for it are added to `floats`.
    fn trace(&self, layer: &Layer, floats: &mut HashSet<(ValueId, bool)>) -> HashSet<NodeId> {
        let inputs = layer.activations.iter().filter_map(|&slot| self.graph.operand(layer.node, slot));
        let mut pending: Vec<(ValueId, bool)> = inputs.map(|value| (value, layer.op == "MaxPool")).collect();
        let mut seen: HashSet<(ValueId, bool)> = pending.iter().copied().collect();
        let mut producers = HashSet::new();
        while let Some((value, is_pooled)) = pending.pop() {
            let id = value.node;
            if self.layers.contains_key(&id) {
                producers.insert(id);
            } else if self.passes_on(id) {
                let is_pooled = is_pooled || self.graph.node(id).is("MaxPool");
                let moved = data_operands(self.graph, id).filter_map(|slot| self.graph.operand(id, slot));
                pending.extend(moved.map(|value| (value, is_pooled)).filter(|moved| seen.insert(*moved)));
            } else if self.graph.constant(value).is_none() {
                floats.insert((value, is_pooled));
            }
        }
        producers
    }
}

/// The first layer of a layer's island; the way there is shortened.
fn first_of(earlier: &mut [usize], mut part: usize) -> usize {
    while earlier[part] != part {
        earlier[part] = earlier[earlier[part]];
        part = earlier[part];
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::PROFILES;

    /// The weighted layers that gain nothing in a net of two convolutions and a product, of which the first has only its weights
    /// in int8; `between` is the operation between them.
    fn found(input: &str, strides: usize, between: &str) -> Vec<String> {
        let text = format!(
            "model m opset 17\n%x = input : f32[{input}]\n%w1 = const splat(1.0) : f32[8,1,5,5]\n\
             %a = Conv(%x, %w1) {{auto_pad = \"SAME_UPPER\", strides = [{strides}, {strides}]}} @first\n%r = Relu(%a)\n\
             %p = {between}\n%w2 = const splat(1.0) : f32[16,8,5,5]\n\
             %b = Conv(%p, %w2) {{auto_pad = \"SAME_UPPER\"}} @second\n\
             %q = MaxPool(%b) {{kernel_shape = [3, 3], strides = [3, 3]}}\n%shape = const [-1, 256] : i64[2]\n\
             %f = Reshape(%q, %shape)\n%w3 = const splat(1.0) : f32[256,10]\n%y = MatMul(%f, %w3) @third\nreturn %y\n"
        );
        let model: Model = text.parse().unwrap();
        let mut config = QuantConfig::for_model(&model);
        config.layers.get_mut("first").unwrap().weights_only = true;
        let profile = &PROFILES[0];
        let found = dearer_than_float(&model, &config, profile, profile.overhead.as_ref().unwrap());
        found.into_iter().filter(|layer| !layer.weights.is_empty()).map(|layer| layer.name).collect()
    }

    /// 627 200 multiply-adds of the second and 2560 of the third, for 6272 floats before the MaxPool: 140 each and 100 000
    /// are more. Without it they are for 1568 floats, 20 each.
    #[test]
    fn an_island_must_save_more_than_it_costs() {
        let pool = "MaxPool(%r) {kernel_shape = [2, 2], strides = [2, 2]}";
        let mut islands = found("N,1,28,28", 1, pool);
        islands.sort();
        assert_eq!(islands, ["second", "third"]);
        assert_eq!(found("N,1,28,28", 2, "Identity(%r)"), [""; 0]);
        assert_eq!(found("N,1,H,W", 1, pool), [""; 0]);
        assert_eq!(found("", 1, "Identity(%r)"), [""; 0]);
    }

    /// A product of two activations has no weights, but multiplies: 128 · 64 · 128 for twice 8192 values.
    #[test]
    fn a_product_of_activations_counts() {
        let found = |n: usize| {
            let text = format!(
                "model m opset 17\n%a = input : f32[{n},64]\n%b = input : f32[64,{n}]\n%c = MatMul(%a, %b) @product\n\
                 return %c\n"
            );
            let model: Model = text.parse().unwrap();
            let profile = &PROFILES[0];
            let config = QuantConfig::for_model(&model);
            dearer_than_float(&model, &config, profile, profile.overhead.as_ref().unwrap()).len()
        };
        assert_eq!([8, 128].map(found), [1, 0]);
        // A shape that is not possible.
        assert_eq!(found(1 << 60), 0);
    }
}
