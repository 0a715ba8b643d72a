//! Cross-layer equalization: weights of similar size in all channels.

use crate::content::are_transposes;
use crate::linear_node::LinearNode;
use crate::names::Names;
use crate::ranks::{GraphRanks, Ranks};
use crate::scaling_region::{GraphLayers, ScalingRegion, regions};
use crate::uses::has_one_use;
use intact8_ir::{Graph, Model, Node, NodeId, Pass, Result, Tensor};
use std::collections::BTreeMap;

/// Cross-layer equalization: scales channels so that the layers that produce a value and the layers that use it
/// have weights of similar size in each channel. Otherwise one int8 scale must cover channels of very different
/// size, and the small ones vanish.
///
/// The method is that of Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
/// Correction", section 4.1. A channel `c` is divided by `s` where it is produced and multiplied by `s` where it
/// is used, `s = √(r1/r2)`, with `r1` and `r2` the greatest absolute weight of `c` in the layers that produce and
/// use it. All operations between must be homogeneous, `f(s·x) = s·f(x)`: Relu, LeakyRelu, PRelu, pooling, padding
/// with zeros, Flatten, and sums of values that are all scaled alike. Layers are Conv, ConvTranspose, Gemm and
/// MatMul with constant weight; all pairs are scaled in turn until nothing changes.
///
/// Factors are powers of two, so the model computes the same bits as before. No channel's bias is scaled beyond
/// the greatest bias of the layer, which would only move the problem. A value whose channels are scaled gets a new
/// name. Left alone: values whose channels would be scaled by factors that differ less than eightfold, channels
/// that are nearly zero on one side, weights with several uses or whose transpose a Gather uses, and values that are
/// graph outputs or have uses that are not homogeneous, such as a Clip.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,1,4,4]
/// %w1 = const [1.0, 64.0] : f32[2,1,1,1]
/// %b1 = const [0.5, 16.0] : f32[2]
/// %c = Conv(%x, %w1, %b1) @first
/// %r = Relu(%c)
/// %w2 = const [1.0, 0.015625] : f32[1,2,1,1]
/// %y = Conv(%r, %w2) @second
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,1,4,4]
/// %first.w = const splat(1.0) : f32[2,1,1,1]
/// %first.b = const [0.5, 0.25] : f32[2]
/// %c.equalized = Conv(%x, %first.w, %first.b) @first
/// %r.equalized = Relu(%c.equalized) @r
/// %second.w = const splat(1.0) : f32[1,2,1,1]
/// %y = Conv(%r.equalized, %second.w) @second
/// return %y
/// ```
pub struct EqualizeAcrossLayers;

/// The largest number of iterations over all regions. Long chains of depthwise convolutions need some dozens.
const MAX_ROUNDS: usize = 100;

/// A channel smaller than this part of the greatest counts as zero; so no factor is beyond 2^±8 of the usual one.
const NEGLIGIBLE: f64 = 1.0 / 65536.0;

/// Channels whose factors differ by less than two to this power are similar enough: without such a threshold, rounding
/// may go back and forth between two regions for ever.
const MIN_SPREAD: i32 = 3;

/// Weights of that size are left alone, so that nothing overflows, and nothing is lost to underflow.
const HUGE: f32 = 1e15;

impl Pass for EqualizeAcrossLayers {
    fn name(&self) -> &'static str {
        "equalize-across-layers"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let (mut names, ranks) = (Names::of(model), Ranks::of(model));
        let mut changed = false;
        model.try_for_each_graph(|graph_id, graph| {
            let ranks = ranks.in_graph(graph_id);
            let mut equalization = Equalization::of(graph, ranks);
            equalization.settle();
            changed |= equalization.write(graph, ranks, &mut names);
            Ok(())
        })?;
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

/// The layers of a graph, and the factors of their channels, as powers of two.
struct Equalization {
    layers: BTreeMap<NodeId, Scaled>,
    regions: Vec<ScalingRegion>,
    addends: BTreeMap<(NodeId, usize), Addend>,
}

/// A layer: its output channels are divided, its input channels multiplied.
struct Scaled {
    /// Without its weight, which is fetched again when it is scaled: all weights at once are as large as the model.
    linear: LinearNode,
    /// The greatest absolute weight of each row and column, or, where that is one, the weights.
    extents: Tensor,
    outputs: Vec<i32>,
    inputs: Vec<i32>,
}

/// A constant that is added between layers, with a value per channel, and its divisors.
struct Addend {
    values: Vec<f32>,
    shape: Vec<usize>,
    exponents: Vec<i32>,
}

impl Equalization {
    fn of(graph: &Graph, ranks: GraphRanks<'_>) -> Equalization {
        let (mut layers, mut extents) = (BTreeMap::new(), BTreeMap::new());
        for id in graph.topo() {
            let Some(mut linear) = equalizable(graph, ranks, id) else { continue };
            let weight = graph.operand(id, 1).and_then(|value| graph.constant(value));
            extents.extend(weight.map(|weight| (id, extents_of(&linear, weight))));
            linear.weight = vec![];
            layers.insert(id, linear);
        }
        let regions = regions(GraphLayers { graph, ranks, layers: &layers });
        let addends = regions.iter().flat_map(|region| {
            let n_channels = region.n_channels;
            region.addends.iter().filter_map(move |&(node, slot, after)| {
                Some((
                    (node, slot),
                    Addend::of(graph.constant(graph.operand(node, slot)?)?, after, n_channels)?,
                ))
            })
        });
        let addends = addends.collect();
        let scaled = |(id, linear)| Some((id, Scaled::new(linear, extents.remove(&id)?)));
        let layers = layers.into_iter().filter_map(scaled).collect();
        Equalization { layers, regions, addends }
    }

    fn settle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let mut changed = false;
            for idx in 0..self.regions.len() {
                let exponents = self.exponents(&self.regions[idx]);
                let extremes = exponents.iter().max().zip(exponents.iter().min());
                if extremes.is_some_and(|(most, least)| most - least >= MIN_SPREAD) {
                    self.scale(idx, &exponents);
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// The divisors of the channels of a region, as powers of two.
    fn exponents(&self, region: &ScalingRegion) -> Vec<i32> {
        let (mut produced, mut consumed) = (vec![0.0; region.n_channels], vec![0.0; region.n_channels]);
        let mut bias = vec![0.0; region.n_channels];
        for id in &region.producers {
            let layer = &self.layers[id];
            layer.each_extent(|output, _, extent| raise(&mut produced[output], extent));
            let values = layer.linear.bias.iter().flatten().zip(&layer.outputs).enumerate();
            values.for_each(|(c, (&value, &exponent))| raise(&mut bias[c], scaled(value, -exponent).abs()));
        }
        for (id, repeat) in &region.consumers {
            self.layers[id].each_extent(|_, input, extent| raise(&mut consumed[input / repeat], extent));
        }
        for (node, slot, _) in &region.addends {
            let addend = &self.addends[&(*node, *slot)];
            let values = addend.values.iter().zip(&addend.exponents).enumerate();
            values.for_each(|(c, (&value, &exponent))| raise(&mut bias[c], scaled(value, -exponent).abs()));
        }
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let (most_produced, most_consumed, most_bias) = (most(&produced), most(&consumed), most(&bias));
        let target = |c: usize| {
            let is_alive =
                produced[c] > most_produced * NEGLIGIBLE && consumed[c] > most_consumed * NEGLIGIBLE;
            is_alive.then(|| (produced[c] / consumed[c]).log2() / 2.0)
        };
        let targets: Vec<Option<f64>> = (0..region.n_channels).map(target).collect();
        let mut alive: Vec<f64> = targets.iter().copied().flatten().collect();
        alive.sort_by(f64::total_cmp);
        let usual = alive.get(alive.len() / 2).map_or(0.0, |middle| middle.round());
        let exponent = |(target, bias): (Option<f64>, f64)| {
            let Some(target) = target else { return 0 };
            // Never further than the target, and never the other way: so the iteration ends.
            let least = if bias > 0.0 { usual + (bias / most_bias).log2().ceil() } else { f64::NEG_INFINITY };
            target.round().max(least.min(0.0)) as i32
        };
        targets.into_iter().zip(bias).map(exponent).collect()
    }

    fn scale(&mut self, region: usize, exponents: &[i32]) {
        let region = &self.regions[region];
        let add = |to: &mut [i32], repeat: usize| {
            to.iter_mut().enumerate().for_each(|(idx, exponent)| *exponent += exponents[idx / repeat]);
        };
        for id in &region.producers {
            add(&mut self.layers.get_mut(id).expect("a region is made of layers").outputs, 1);
        }
        for (id, repeat) in &region.consumers {
            add(&mut self.layers.get_mut(id).expect("a region is made of layers").inputs, *repeat);
        }
        for (node, slot, _) in &region.addends {
            add(
                &mut self.addends.get_mut(&(*node, *slot)).expect("addends are those of regions").exponents,
                1,
            );
        }
    }

    fn write(self, graph: &mut Graph, ranks: GraphRanks<'_>, names: &mut Names) -> bool {
        let is_scaled = |exponents: &[i32]| exponents.iter().any(|&exponent| exponent != 0);
        let mut changed = false;
        let is_scaled_here = |region: &&ScalingRegion| is_scaled(&self.layers[&region.producers[0]].outputs);
        for &value in self.regions.iter().filter(is_scaled_here).flat_map(|region| &region.values) {
            let name = names.fresh(&format!("{}.equalized", graph.value(value).name));
            graph.node_mut(value.node).outputs[value.slot].name = name;
        }
        for (id, layer) in self.layers {
            if (is_scaled(&layer.outputs) || is_scaled(&layer.inputs))
                && let Some(linear) = LinearNode::at(graph, ranks, id)
            {
                layer.applied(linear).write(graph, names);
                changed = true;
            }
        }
        for ((node, slot), addend) in self.addends {
            if is_scaled(&addend.exponents) {
                let pairs = addend.values.iter().zip(&addend.exponents);
                let values = pairs.map(|(&value, &exponent)| scaled(value, -exponent) as f32).collect();
                let name = names.fresh(&format!("{}.b", graph.node(node).label()));
                let constant = graph.add(Node::constant(name, Tensor::new(&addend.shape, values)), &[]);
                graph.set_operand(node, slot, Some(constant.into()));
                changed = true;
            }
        }
        changed
    }
}

impl Scaled {
    fn new(linear: LinearNode, extents: Tensor) -> Scaled {
        let layout = linear.view.layout;
        let (outputs, inputs) = (vec![0; layout.n_outputs()], vec![0; layout.n_inputs()]);
        Scaled { linear, extents, outputs, inputs }
    }

    /// Calls `see` with the output channel, the input channel and the extent of every cell, as it is scaled now.
    fn each_extent(&self, mut see: impl FnMut(usize, usize, f64)) {
        let layout = self.linear.view.layout;
        for (idx, extent) in self.extents.values::<f32>().unwrap_or_default().iter().enumerate() {
            let (output, input) = layout.channels_of_element(idx * layout.n_taps());
            see(
                output,
                input,
                f64::from(extent.abs()) * f64::from(self.inputs[input] - self.outputs[output]).exp2(),
            );
        }
    }

    /// The layer, scaled.
    fn applied(&self, mut linear: LinearNode) -> LinearNode {
        let layout = linear.view.layout;
        for (idx, weight) in linear.weight.iter_mut().enumerate() {
            let (output, input) = layout.channels_of_element(idx);
            *weight = scaled(*weight, self.inputs[input] - self.outputs[output]) as f32;
        }
        let bias = linear.bias.iter_mut().flatten().zip(&self.outputs);
        bias.for_each(|(value, &exponent)| *value = scaled(*value, -exponent) as f32);
        linear
    }
}

impl Addend {
    /// The constant, with a value of its own for each channel.
    fn of(tensor: &Tensor, after: usize, n_channels: usize) -> Option<Addend> {
        let values = tensor.values::<f32>().ok()?;
        let values = if values.len() == 1 { vec![values[0]; n_channels] } else { values.to_vec() };
        let rank = tensor.shape().len().max(after + 1);
        let mut shape = vec![1; rank];
        shape[rank - 1 - after] = n_channels;
        Some(Addend { values, shape, exponents: vec![0; n_channels] })
    }
}

/// The greatest absolute weight of each row and column of a layer; its weight, shared, where each has one.
fn extents_of(linear: &LinearNode, weight: &Tensor) -> Tensor {
    let inner = linear.view.layout.n_taps();
    if inner == 1 {
        return weight.clone();
    }
    let greatest = |cell: &[f32]| cell.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    let extents: Vec<f32> = linear.weight.chunks(inner).map(greatest).collect();
    Tensor::new(&[extents.len()], extents)
}

/// A layer whose weight has one use and whose numbers are all of usual size.
fn equalizable(graph: &Graph, ranks: GraphRanks<'_>, id: NodeId) -> Option<LinearNode> {
    let linear = LinearNode::at(graph, ranks, id)?;
    let op = graph.node(id).as_op()?;
    let is_usual = |values: &[f32]| values.iter().all(|value| value.abs() < HUGE);
    let is_free = has_one_use(graph, graph.operand(id, 1)?)
        && !is_table(graph, graph.constant(graph.operand(id, 1)?)?)
        && op.int("transA").ok()?.unwrap_or(0) == 0
        && (linear.alpha, linear.beta) == (1.0, 1.0)
        && is_usual(&linear.weight)
        && is_usual(linear.bias.as_deref().unwrap_or_default());
    is_free.then_some(linear)
}

/// Whether a weight is the transpose of a table that a Gather looks rows up in, as that of the last layer may be.
fn is_table(graph: &Graph, weight: &Tensor) -> bool {
    let mut gathers = graph.node_ids().filter(|&id| graph.node(id).is("Gather"));
    let table = |id| graph.constant(graph.operand(id, 0)?);
    gathers.any(|id| table(id).is_some_and(|table| are_transposes(weight, table)))
}

fn raise(to: &mut f64, value: f64) {
    *to = to.max(value);
}

/// A value times a power of two.
fn scaled(value: f32, exponent: i32) -> f64 {
    f64::from(value) * f64::from(exponent).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the pass scales two channels that are produced with these weights and used with the weights 1.
    fn is_equalized(weights: [f32; 2]) -> bool {
        let text = format!(
            "model m opset 17\n%x = input : f32[N,1]\n%w = const {weights:?} : f32[1,2]\n%a = MatMul(%x, %w) : f32[N,2]\n\
             %v = const splat(1.0) : f32[2,1]\n%y = MatMul(%a, %v) : f32[N,1]\nreturn %y\n"
        );
        EqualizeAcrossLayers.run(&mut text.parse().unwrap()).unwrap()
    }

    /// Factors are the square roots of 32, rounded to 8, and of 31, rounded to 4.
    #[test]
    fn factors_that_differ_less_than_eightfold_are_left_alone() {
        assert!(is_equalized([1.0, 32.0]) && !is_equalized([1.0, 31.0]));
    }

    #[test]
    fn channels_below_a_65536th_of_the_greatest_count_as_zero() {
        assert!(is_equalized([1.0, 1.0 / 65000.0]) && !is_equalized([1.0, 1.0 / 66000.0]));
    }

    #[test]
    fn weights_that_could_overflow_are_left_alone() {
        assert!(is_equalized([1.0, 0.9e15]) == is_equalized([1.0, 0.5e15]) && !is_equalized([32.0, 1.1e15]));
        assert!(is_equalized([1e13, 0.9e15]));
        assert!(!is_equalized([1e13, 1.1e15]));
    }
}
