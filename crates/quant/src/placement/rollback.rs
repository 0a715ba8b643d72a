//! The time that a run loses by the rollback of single layers to float, everything else staying as it is.

use super::{LayerTimes, OPEN, Placing, Result8, RuntimeCosts};
use crate::config::QuantConfig;
use crate::costs::shapes_of;
use crate::layer::{Layer, layers};
use intact8_ir::{GraphId, Model, NodeId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The time in nanoseconds that a run with one sample loses if a layer is rolled back, for each layer with activations in int8;
/// negative if it gains. Estimated by the times of a runtime.
pub(crate) fn time_lost(model: &Model, config: &QuantConfig, costs: &RuntimeCosts) -> BTreeMap<String, f64> {
    let shapes = shapes_of(model, OPEN).unwrap_or_default();
    let is_int8 = |layer: &Layer| {
        let of_layer = config.layers.get(&layer.name);
        !layer.activations.is_empty()
            && of_layer.is_some_and(|of_layer| of_layer.quant_enable && !of_layer.weights_only)
    };
    let layers: Vec<Layer> = layers(model).into_iter().filter(is_int8).collect();
    let mut by_graph: BTreeMap<GraphId, Vec<&Layer>> = BTreeMap::new();
    layers.iter().for_each(|layer| by_graph.entry(layer.graph).or_default().push(layer));
    let mut lost = BTreeMap::new();
    for (id, layers) in by_graph {
        let graph = model.graph(id);
        let by_node = layers.iter().map(|layer| (layer.node, *layer)).collect::<HashMap<_, _>>();
        let (order, measured) = (graph.topo(), &LayerTimes::new());
        let placing = Placing { graph, id, order, shapes: &shapes, layers: by_node, costs, measured };
        let (choices, places) = placing.choices();
        let time = |in_float: &HashSet<NodeId>| {
            let of_layers = places.iter().filter(|(node, _)| placing.layers.contains_key(node));
            let required = of_layers.map(|(node, (place, _))| (*place, !in_float.contains(node)));
            choices.least(&required.collect::<Vec<_>>())
        };
        let all = time(&HashSet::new());
        for layer in layers {
            let rolled_back = placing.in_float_with(layer, config).collect();
            lost.insert(layer.name.clone(), time(&rolled_back) - all);
        }
    }
    lost
}

impl Placing<'_> {
    /// The nodes that compute in float if a layer is rolled back: the layer, and those that run in int8 only if its operands are
    /// quantized.
    fn in_float_with(&self, layer: &Layer, config: &QuantConfig) -> impl Iterator<Item = NodeId> {
        let operands = layer.activations.iter().filter_map(|&slot| self.graph.operand(layer.node, slot));
        let producers = operands.map(|value| self.before_moves(value.node)).filter(|&node| {
            let needs_integers = || self.row(node).is_some_and(|row| row.result == Result8::Integers);
            let is_quantized = |producer: &Layer| config.layers[&producer.name].quantize_output;
            self.layers.get(&node).is_some_and(|producer| !is_quantized(producer)) && needs_integers()
        });
        std::iter::once(layer.node).chain(producers)
    }

    /// The node whose result is moved or clipped to become that of `node`, which may be the node itself.
    fn before_moves(&self, mut node: NodeId) -> NodeId {
        while let Some(value) = self.graph.operand(node, 0)
            && !self.layers.contains_key(&node)
            && self.costs_of(node).is_some_and(|row| row.result == Result8::Moved)
        {
            node = value.node;
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::ONNXRUNTIME_X86;

    /// Convolutions of one, many and few multiplications in a row.
    const ROW: &str = "model m opset 17\n%x = input : f32[N,64,28,28]\n%w = const splat(0.5) : f32[64,64,3,3]\n\
                       %v = const splat(0.5) : f32[64,64,1,1]\n%a = Conv(%x, %v) @small\n\
                       %b = Conv(%a, %w) {pads = [1, 1, 1, 1]} @large\n%c = Conv(%b, %v) @last\nreturn %c\n";

    #[test]
    fn a_rollback_loses_the_layer_and_the_one_that_needs_its_integers() {
        let model: Model = ROW.parse().unwrap();
        let mut config = QuantConfig::for_model(&model);
        let lost = time_lost(&model, &config, &ONNXRUNTIME_X86);
        assert_eq!(lost.len(), 3);
        // The large one runs in float too if the last one does, whose result is float in any case.
        assert!(lost["large"] > 4.0 * lost["small"] && lost["small"] > 0.0, "{lost:?}");
        assert!(lost["last"] > 0.8 * lost["large"], "{lost:?}");
        config.layers.get_mut("large").unwrap().quantize_output = true;
        let separate = time_lost(&model, &config, &ONNXRUNTIME_X86);
        assert!(separate["last"] < 0.1 * lost["large"], "{separate:?}");
        config.layers.get_mut("large").unwrap().weights_only = true;
        let without = time_lost(&model, &config, &ONNXRUNTIME_X86);
        assert_eq!(without.keys().collect::<Vec<_>>(), ["last", "small"]);
    }
}
