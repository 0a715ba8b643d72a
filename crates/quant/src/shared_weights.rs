//! Layers that share a weight: their rounding is chosen once, so that the integers are stored once.

use crate::config::{LayerConfig, QuantConfig, WeightConfig};
use crate::content::{are_equal, are_transposes, sampled_hash};
use crate::layer::{Layer, Weight};
use intact8_ir::{Model, Tensor, ValueRef};
use std::collections::{BTreeMap, HashMap};

/// The enabled layers of one weight each, by weight.
///
/// Layers share a weight if its elements are equal, their configurations of weights too, and their output channels lie along
/// the same dimension; or if their weights are matrices that are transposes of each other, output channels along different
/// dimensions. A table that a Gather looks rows up in has its rows as output channels.
#[derive(Debug, Default)]
pub struct SharedWeights {
    /// The number of the weight of each layer.
    numbers: BTreeMap<String, usize>,
    /// By number.
    weights: Vec<Sharing>,
}

/// The layers of a weight.
#[derive(Debug, Default)]
struct Sharing {
    n_layers: usize,
    is_looked_up: bool,
}

/// A weight as the first layer has it.
struct First<'a> {
    number: usize,
    tensor: &'a Tensor,
    weight: Weight,
    config: &'a WeightConfig,
}

impl SharedWeights {
    /// Of the layers that a configuration enables.
    pub fn of(model: &Model, config: &QuantConfig) -> SharedWeights {
        let enabled = config.enabled(model);
        let mut shared = SharedWeights::default();
        let mut by_hash: HashMap<u64, Vec<First<'_>>> = HashMap::new();
        for (layer, of_layer) in &enabled {
            let Some(new) = First::of(model, layer, of_layer, shared.weights.len()) else { continue };
            let Some(hash) = sampled_hash(new.tensor, new.is_transposed()) else { continue };
            let alike = by_hash.entry(hash).or_default();
            let number = match alike.iter().find(|first| first.is_same(&new)) {
                Some(first) => first.number,
                None => {
                    alike.push(new);
                    shared.weights.push(Sharing::default());
                    shared.weights.len() - 1
                }
            };
            shared.numbers.insert(layer.name.clone(), number);
            shared.weights[number].n_layers += 1;
            shared.weights[number].is_looked_up |= layer.is_lookup();
        }
        shared
    }

    /// The number of a layer's weight, which layers that share it have in common.
    pub fn number(&self, layer: &str) -> Option<usize> {
        self.numbers.get(layer).copied()
    }

    /// How many layers have the weight of a layer.
    pub fn n_layers(&self, layer: &str) -> usize {
        self.number(layer).map_or(1, |number| self.weights[number].n_layers)
    }

    /// Clusters of layers, each given by its name and its input: layers with the same input or the same weight are in one
    /// cluster. The result is the number of each layer's cluster, which is that of its first layer.
    pub fn clusters<'a>(&self, layers: impl IntoIterator<Item = (&'a str, ValueRef)>) -> Vec<usize> {
        let mut parents: Vec<usize> = Vec::new();
        let (mut last_of_input, mut last_of_weight) = (BTreeMap::new(), BTreeMap::new());
        for (idx, (name, input)) in layers.into_iter().enumerate() {
            parents.push(idx);
            let of_weight = self.number(name).and_then(|number| last_of_weight.insert(number, idx));
            for other in [last_of_input.insert(input, idx), of_weight].into_iter().flatten() {
                let (one, other) = (root(&parents, idx), root(&parents, other));
                parents[one.max(other)] = one.min(other);
            }
        }
        (0..parents.len()).map(|idx| root(&parents, idx)).collect()
    }

    /// Whether a Gather looks rows up in the weight of a layer. Each row counts by itself then, so rounding to nearest is best.
    pub fn is_looked_up(&self, layer: &str) -> bool {
        self.number(layer).is_some_and(|number| self.weights[number].is_looked_up)
    }
}

fn root(parents: &[usize], mut idx: usize) -> usize {
    while parents[idx] != idx {
        idx = parents[idx];
    }
    idx
}

impl<'a> First<'a> {
    fn of(model: &'a Model, layer: &Layer, of_layer: &'a LayerConfig, number: usize) -> Option<First<'a>> {
        let [weight] = layer.weights[..] else { return None };
        let tensor = layer.tensor(model, &weight);
        Some(First { number, tensor, weight, config: &of_layer.weight_quant_params })
    }

    /// Whether it is a matrix whose columns are the output channels.
    fn is_transposed(&self) -> bool {
        self.weight.axis == 1 && self.tensor.shape().len() == 2
    }

    fn n_groups(&self) -> usize {
        self.weight.input.map_or(1, |input| input.groups)
    }

    fn is_same(&self, other: &First<'_>) -> bool {
        let is_alike = self.config == other.config && self.n_groups() == other.n_groups();
        is_alike
            && match self.is_transposed() == other.is_transposed() {
                true => self.weight.axis == other.weight.axis && are_equal(self.tensor, other.tensor),
                false => are_transposes(self.tensor, other.tensor),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::GraphId;

    #[test]
    fn layers_with_the_same_output_channels_share_a_weight() {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%v = const [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] : f32[2,3]\n\
                    %w = const [1.0, 4.0, 2.0, 5.0, 3.0, 6.0] : f32[3,2]\n%u = const [1.0, 4.0, 2.0, 5.0, 3.0, 6.0] : f32[3,2]\n\
                    %a = MatMul(%x, %v) @a\n%b = Gemm(%x, %w) {transB = 1} @b\n%c = MatMul(%a, %w) @c\n\
                    %d = Gemm(%a, %u) @d\n%e = MatMul(%x, %v) @e\nreturn %a, %b, %c, %d, %e\n";
        let model: Model = text.parse().unwrap();
        let mut config = QuantConfig::for_model(&model);
        config.layers.get_mut("e").unwrap().weight_quant_params.num_bits = 7;
        let shared = SharedWeights::of(&model, &config);
        let numbers = ["a", "b", "c", "d", "e"].map(|name| shared.number(name).unwrap());
        // `c` has the elements of `b`, but its columns are the output channels; `d` has a constant of its own; `e` other integers.
        assert_eq!(numbers, [0, 0, 1, 1, 2]);
        assert_eq!((shared.n_layers("a"), shared.n_layers("e"), shared.is_looked_up("a")), (2, 1, false));
        // A table is looked up in rows, whichever way the product has it.
        let text = "model m opset 17\n%x = input : f32[N,64]\n%ids = input : i64[N]\n%t = const splat(2.0) : f32[64,64]\n\
                    %a = MatMul(%x, %t) @a\n%b = Gemm(%x, %t) {transB = 1} @b\n%c = Gather(%t, %ids) @c\n\
                    %u = const splat(2.0) : f32[64,65]\n%d = Gather(%u, %ids) @d\nreturn %a, %b, %c, %d\n";
        let tables: Model = text.parse().unwrap();
        let of_tables = SharedWeights::of(&tables, &QuantConfig::for_model(&tables));
        let names = ["a", "b", "c", "d"];
        assert_eq!(names.map(|name| of_tables.number(name).unwrap()), [0, 0, 0, 1]);
        assert_eq!(names.map(|name| of_tables.is_looked_up(name)), [true; 4]);
        let value = |name| ValueRef { graph: GraphId::MAIN, value: model.main().value_named(name).unwrap() };
        let inputs =
            [("e", value("x")), ("c", value("a")), ("b", value("c")), ("d", value("b")), ("a", value("x"))];
        assert_eq!(shared.clusters(inputs), [0, 1, 0, 1, 0]);
    }
}
