//! Channels of like size.

use crate::linear::{Linear, is_read_once};
use crate::names::Names;
use crate::region::{Region, region};
use intact8_ir::{Graph, Model, Node, NodeId, Pass, Result, Tensor};
use std::collections::BTreeMap;

/// Scales channels so that the layers which make a value and those which read it have weights of like size in each
/// channel: otherwise one int8 scale must cover channels of very different size, and the small ones vanish.
///
/// Cross-layer equalization after Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
/// Correction", section 4.1. A channel `c` is divided by `s` where it is made and multiplied by `s` where it is read,
/// `s = √(r1/r2)`, with `r1` and `r2` the greatest absolute weight of `c` in the layers that make and read it. What lies
/// between must let positive factors through: Relu, LeakyRelu, PRelu, pooling, padding with zeros, Flatten, and sums of
/// values that are all scaled alike. Layers are Conv, ConvTranspose, Gemm and MatMul with constant weight; all pairs are
/// balanced in turn until nothing changes.
///
/// Factors are powers of two, so the model computes the same bits as before. No channel's bias is scaled beyond the
/// greatest there is, for that would only move the trouble. A value whose channels are scaled is another one, and gets
/// another name. Left alone: values whose channels would be scaled by factors that differ less than eightfold, channels
/// that are nearly zero on one side, weights that somebody else reads too, and values that are graph outputs or that
/// anything else reads, such as a Clip.
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
pub struct Equalize;

/// How often all regions are balanced at most. Long chains of depthwise convolutions need some dozens.
const MAX_ROUNDS: usize = 100;

/// A channel smaller than this part of the greatest counts as zero; so no factor is beyond 2^±8 of the usual one.
const NEGLIGIBLE: f64 = 1.0 / 65536.0;

/// Channels whose factors differ by less than two to this power are like enough: without such a threshold, rounding
/// may go back and forth between two regions for ever.
const MIN_SPREAD: i32 = 3;

/// Weights of that size are left alone, so that nothing overflows, and what is lost to underflow is nothing.
const HUGE: f32 = 1e15;

impl Pass for Equalize {
    fn name(&self) -> &'static str {
        "equalize"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            let mut balance = Balance::of(graph);
            balance.settle();
            changed |= balance.write(graph, &mut names);
            Ok(())
        })?;
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

/// The layers of a graph, and what their channels are scaled by, as powers of two.
struct Balance {
    layers: BTreeMap<NodeId, Scaled>,
    regions: Vec<Region>,
    addends: BTreeMap<(NodeId, usize), Addend>,
}

/// A layer: its output channels are divided, its input channels multiplied.
struct Scaled {
    /// Without its weight, which is read again when it is scaled: all of them at once are as large as the model.
    linear: Linear,
    /// The greatest absolute weight of each row and column, or, where that is one, the weights.
    extents: Tensor,
    outputs: Vec<i32>,
    inputs: Vec<i32>,
}

/// A constant for each channel that is added between layers, and what it is divided by.
struct Addend {
    values: Vec<f32>,
    shape: Vec<usize>,
    exponents: Vec<i32>,
}

impl Balance {
    fn of(graph: &Graph) -> Balance {
        let (mut layers, mut extents) = (BTreeMap::new(), BTreeMap::new());
        for id in graph.topo() {
            let Some(mut linear) = equalizable(graph, id) else { continue };
            let weight = graph.operand(id, 1).and_then(|value| graph.constant(value));
            extents.extend(weight.map(|weight| (id, extents_of(&linear, weight))));
            linear.weight = vec![];
            layers.insert(id, linear);
        }
        let mut regions: Vec<Region> = Vec::new();
        for id in graph.topo() {
            if !regions.iter().any(|region| region.producers.contains(&id)) {
                regions.extend(region(graph, id, &layers));
            }
        }
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
        Balance { layers, regions, addends }
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

    /// What the channels of a region are to be divided by, as powers of two.
    fn exponents(&self, region: &Region) -> Vec<i32> {
        let (mut made, mut read) = (vec![0.0; region.n_channels], vec![0.0; region.n_channels]);
        let mut bias = vec![0.0; region.n_channels];
        for id in &region.producers {
            let layer = &self.layers[id];
            layer.each_extent(|output, _, extent| raise(&mut made[output], extent));
            let values = layer.linear.bias.iter().flatten().zip(&layer.outputs).enumerate();
            values.for_each(|(c, (&value, &exponent))| raise(&mut bias[c], scaled(value, -exponent).abs()));
        }
        for (id, repeat) in &region.consumers {
            self.layers[id].each_extent(|_, input, extent| raise(&mut read[input / repeat], extent));
        }
        for (node, slot, _) in &region.addends {
            let addend = &self.addends[&(*node, *slot)];
            let values = addend.values.iter().zip(&addend.exponents).enumerate();
            values.for_each(|(c, (&value, &exponent))| raise(&mut bias[c], scaled(value, -exponent).abs()));
        }
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let (most_made, most_read, most_bias) = (most(&made), most(&read), most(&bias));
        let wanted = |c: usize| {
            let is_alive = made[c] > most_made * NEGLIGIBLE && read[c] > most_read * NEGLIGIBLE;
            is_alive.then(|| (made[c] / read[c]).log2() / 2.0)
        };
        let wanted: Vec<Option<f64>> = (0..region.n_channels).map(wanted).collect();
        let mut alive: Vec<f64> = wanted.iter().copied().flatten().collect();
        alive.sort_by(f64::total_cmp);
        let usual = alive.get(alive.len() / 2).map_or(0.0, |middle| middle.round());
        let exponent = |(wanted, bias): (Option<f64>, f64)| {
            let Some(wanted) = wanted else { return 0 };
            // Never further than wanted, and never the other way: so it settles.
            let least = if bias > 0.0 { usual + (bias / most_bias).log2().ceil() } else { f64::NEG_INFINITY };
            wanted.round().max(least.min(0.0)) as i32
        };
        wanted.into_iter().zip(bias).map(exponent).collect()
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

    fn write(self, graph: &mut Graph, names: &mut Names) -> bool {
        let is_scaled = |exponents: &[i32]| exponents.iter().any(|&exponent| exponent != 0);
        let mut changed = false;
        let is_scaled_here = |region: &&Region| is_scaled(&self.layers[&region.producers[0]].outputs);
        for &value in self.regions.iter().filter(is_scaled_here).flat_map(|region| &region.values) {
            let name = names.fresh(&format!("{}.equalized", graph.value(value).name));
            graph.node_mut(value.node).outputs[value.slot].name = name;
        }
        for (id, layer) in self.layers {
            if (is_scaled(&layer.outputs) || is_scaled(&layer.inputs))
                && let Some(linear) = Linear::at(graph, id)
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
    fn new(linear: Linear, extents: Tensor) -> Scaled {
        let layout = linear.layout;
        let (outputs, inputs) = (vec![0; layout.n_outputs()], vec![0; layout.n_inputs()]);
        Scaled { linear, extents, outputs, inputs }
    }

    /// Shows the output channel, the input channel and the extent of every row and column, as it is scaled now.
    fn each_extent(&self, mut see: impl FnMut(usize, usize, f64)) {
        let layout = self.linear.layout;
        for (idx, extent) in self.extents.values::<f32>().unwrap_or_default().iter().enumerate() {
            let (output, input) = layout.channels(idx / layout.columns, idx % layout.columns);
            see(
                output,
                input,
                f64::from(extent.abs()) * f64::from(self.inputs[input] - self.outputs[output]).exp2(),
            );
        }
    }

    /// The layer, scaled.
    fn applied(&self, mut linear: Linear) -> Linear {
        let layout = linear.layout;
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
fn extents_of(linear: &Linear, weight: &Tensor) -> Tensor {
    let inner = linear.layout.inner;
    if inner == 1 {
        return weight.clone();
    }
    let greatest = |cell: &[f32]| cell.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    let extents: Vec<f32> = linear.weight.chunks(inner).map(greatest).collect();
    Tensor::new(&[extents.len()], extents)
}

/// A layer whose weight nobody else reads and whose numbers are all of usual size.
fn equalizable(graph: &Graph, id: NodeId) -> Option<Linear> {
    let linear = Linear::at(graph, id)?;
    let op = graph.node(id).as_op()?;
    let is_usual = |values: &[f32]| values.iter().all(|value| value.abs() < HUGE);
    let is_free = is_read_once(graph, graph.operand(id, 1)?)
        && op.int("transA").ok()?.unwrap_or(0) == 0
        && (linear.alpha, linear.beta) == (1.0, 1.0)
        && is_usual(&linear.weight)
        && is_usual(linear.bias.as_deref().unwrap_or_default());
    is_free.then_some(linear)
}

fn raise(to: &mut f64, value: f64) {
    *to = to.max(value);
}

/// A value times a power of two.
fn scaled(value: f32, exponent: i32) -> f64 {
    f64::from(value) * f64::from(exponent).exp2()
}
