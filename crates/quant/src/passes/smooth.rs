//! Smoothing: ranges of channels moved from activations to weights.

use crate::absorbing_constants::absorbing_constants;
use crate::config::{LayerConfig, QuantConfig};
use crate::layer::{Layer, by_graph, layers};
use crate::linear_view::{LinearKind, dims_after};
use crate::names::Names;
use crate::new_nodes::Replacements;
use crate::ranks::Ranks;
use crate::record::{LayerRecord, Record};
use intact8_ir::{Graph, GraphId, Model, Node, NodeId, Op, Pass, Result, Tensor, Value, ValueId};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Divides the activation of every enabled layer by the record's smoothing factors, channel by channel, and
/// multiplies the weight by them, which changes no result in float.
///
/// SmoothQuant (Xiao et al., 2023), which AMCT calls DMQ balancer. The division is a Mul before the layers that
/// share it. If the activation has no other use and is the result of a LayerNormalization, or of a Mul with a
/// constant and perhaps an Add of another, these constants are divided instead.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
/// %y = MatMul(%x, %w) @fc
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %fc.smoothing = const [0.5, 2.0] : f32[2]
/// %fc.smoothed = Mul(%x, %fc.smoothing) @fc.mul : f32[N,2]
/// %fc.w = const [2.0, 4.0, 1.5, 2.0] : f32[2,2]
/// %y = MatMul(%fc.smoothed, %fc.w) @fc
/// return %y
/// ```
pub struct Smooth<'a> {
    /// The enabled layers.
    pub config: &'a QuantConfig,
    /// The smoothing factors.
    pub record: &'a Record,
}

impl Pass for Smooth<'_> {
    fn name(&self) -> &'static str {
        "smooth"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut work: Vec<(Layer, &[f32])> = Vec::new();
        for (layer, _) in self.config.enabled(model) {
            let factors = self.record.layers.get(&layer.name).map_or(&[][..], |entry| &entry.smoothing);
            if !factors.is_empty() {
                LayerRecord::check_smoothing(factors, &layer, model)?;
                work.push((layer, factors));
            }
        }
        let smoothed = |work: &(Layer, &[f32])| smoothed_weight(model, &work.0, work.1);
        let weights: Vec<Tensor> = work.iter().map(smoothed).collect();
        let work_and_weights: Vec<_> = work.iter().zip(&weights).collect();
        let by_graph = by_graph(&work_and_weights, |((layer, _), _)| layer.graph);
        let mut names = Names::of(model);
        model.try_for_each_graph(|graph_id, graph| {
            let Some(here) = by_graph.get(&graph_id) else { return Ok(()) };
            let mut replacements = Replacements::default();
            for ((layer, _), weight) in here {
                let slot = layer.input_channels().map_or(1, |(weight, _)| weight.slot);
                let name = format!("{}.w", layer.name);
                replacements.replace(graph, (layer.node, slot), weight, &name, &mut names);
            }
            divide(graph, here.iter().map(|(work, _)| *work), &mut names);
            Ok(())
        })?;
        model.remove_dead();
        Ok(!work.is_empty())
    }
}

/// The names of the layers whose activation can be divided without a Mul in the model that runs: because constants before
/// them are divided at once, or because [`FoldChannelFactors`](crate::passes::FoldChannelFactors) divides the weights of the
/// layers before them when those are integers. That can't be where the configuration quantizes a value between the two layers.
pub fn smoothed_for_free(model: &Model, config: &QuantConfig) -> BTreeSet<String> {
    let (layers, ranks) = (layers(model), Ranks::of(model));
    let enabled = config.enabled(model);
    let quantizes = |(layer, of_layer): &(Layer, &LayerConfig)| {
        let is_function = layer.linear_kind().is_none() && !of_layer.weights_only;
        (is_function || of_layer.quantize_output).then_some((layer.graph, layer.node))
    };
    let quantizing: HashSet<(GraphId, NodeId)> = enabled.iter().filter_map(quantizes).collect();
    let takes_factors = layers.iter().filter(|layer| layer.can_learn_rounding());
    let takes_factors: HashSet<(GraphId, NodeId)> =
        takes_factors.map(|layer| (layer.graph, layer.node)).collect();
    let mut asked: HashMap<(GraphId, ValueId), bool> = HashMap::new();
    let mut is_free = |layer: &&Layer| -> Option<bool> {
        let (graph, ranks) = (model.graph(layer.graph), ranks.in_graph(layer.graph));
        let (weight, _) = layer.input_channels()?;
        let value = graph.operand(layer.node, layer.activations[0])?;
        let tensor = graph.constant(graph.operand(layer.node, weight.slot)?)?;
        let (n_channels, after) = (weight.n_inputs(tensor), dims_after_channels(graph, layer));
        let is_in_constants =
            || after == 0 && divided_constants(graph, value, &vec![1.0; n_channels]).is_some();
        let is_theirs = *asked.entry((layer.graph, value)).or_insert_with(|| {
            let users = graph.users(value);
            users.iter().all(|&(user, _)| takes_factors.contains(&(layer.graph, user)))
        });
        Some(
            is_theirs
                && !graph.outputs().contains(&value)
                && (is_in_constants()
                    || !has_between(graph, value, &|node| quantizing.contains(&(layer.graph, node)))
                        && absorbing_constants(graph, ranks, value, after, n_channels).is_some()),
        )
    };
    let is_free = |layer: &&Layer| is_free(layer) == Some(true);
    layers.iter().filter(is_free).map(|layer| layer.name.clone()).collect()
}

/// Whether a node of a kind is between a value and the layers that produce it, these included.
fn has_between(graph: &Graph, value: ValueId, is_of_kind: &dyn Fn(NodeId) -> bool) -> bool {
    let (mut pending, mut seen) = (vec![value.node], HashSet::new());
    while let Some(id) = pending.pop() {
        let Some(op) = graph.node(id).as_op().filter(|_| seen.insert(id)) else { continue };
        if is_of_kind(id) {
            return true;
        }
        if LinearKind::of(op).is_none() {
            pending.extend(graph.operands(id).iter().flatten().map(|operand| operand.node));
        }
    }
    false
}

fn smoothed_weight(model: &Model, layer: &Layer, factors: &[f32]) -> Tensor {
    let (weight, _) = layer.input_channels().expect("a smoothed layer has a weight that meets its input");
    let tensor = layer.tensor(model, weight);
    let mut values = Vec::with_capacity(tensor.len());
    weight.for_each_input(tensor, |channel, value| values.push(value * factors[channel]));
    Tensor::new(tensor.shape(), values)
}

/// Divides each activation once for all layers that use it with the same factors.
fn divide<'a>(graph: &mut Graph, layers: impl Iterator<Item = &'a (Layer, &'a [f32])>, names: &mut Names) {
    let mut groups: Vec<(ValueId, &[f32], Vec<&Layer>)> = Vec::new();
    let mut of_key: HashMap<(ValueId, Vec<u32>), usize> = HashMap::new();
    for (layer, factors) in layers {
        let value = graph.operand(layer.node, layer.activations[0]).expect("a layer has its activation");
        let bits = factors.iter().map(|factor| factor.to_bits()).collect();
        let at = *of_key.entry((value, bits)).or_insert_with(|| {
            groups.push((value, factors, vec![]));
            groups.len() - 1
        });
        groups[at].2.push(layer);
    }
    for (value, factors, layers) in groups {
        let users = graph.users(value);
        let nodes: HashSet<NodeId> = layers.iter().map(|layer| layer.node).collect();
        let is_theirs = users.iter().all(|(node, _)| nodes.contains(node));
        let after = dims_after_channels(graph, layers[0]);
        if is_theirs && !graph.outputs().contains(&value) && fold(graph, value, factors, after, names) {
            continue;
        }
        let name = &layers[0].name;
        let mut shape = vec![factors.len()];
        shape.resize(1 + after, 1);
        let inverse = Tensor::new(&shape, factors.iter().map(|factor| 1.0 / factor).collect());
        let inverse = graph.add(Node::constant(names.fresh(&format!("{name}.smoothing")), inverse), &[]);
        let divided = Value { name: names.fresh(&format!("{name}.smoothed")), ..graph.value(value).clone() };
        let node = Node::op(&names.fresh(&format!("{name}.mul")), Op::new("Mul"), [divided]);
        let divided = graph.add(node, &[Some(value), Some(inverse.into())]);
        for layer in layers {
            graph.set_operand(layer.node, layer.activations[0], Some(divided.into()));
        }
    }
}

/// The number of dimensions of a layer's activation after the one that counts channels.
fn dims_after_channels(graph: &Graph, layer: &Layer) -> usize {
    let (weight, input) = layer.input_channels().expect("a smoothed layer has a weight that meets its input");
    let tensor = graph.operand(layer.node, weight.slot).and_then(|value| graph.constant(value));
    dims_after(input.activation, tensor.map_or(0, |tensor| tensor.shape().len()))
}

/// Divides the constants that a value is last multiplied with and added to, if there are such.
fn fold(graph: &mut Graph, value: ValueId, factors: &[f32], after: usize, names: &mut Names) -> bool {
    let Some(divided) = (if after == 0 { divided_constants(graph, value, factors) } else { None }) else {
        return false;
    };
    for (node, slot, tensor) in divided {
        let name = names.fresh(&format!("{}.smoothed", graph.node(node).label()));
        let constant = graph.add(Node::constant(name, tensor), &[]);
        graph.set_operand(node, slot, Some(constant.into()));
    }
    true
}

/// The constants that a value is computed from, divided by the factors; `None` if the value is not computed from such.
fn divided_constants(graph: &Graph, value: ValueId, factors: &[f32]) -> Option<Vec<(NodeId, usize, Tensor)>> {
    let op = graph.node(value.node).as_op()?;
    let divided = |slot: usize| {
        let constant = graph.constant(graph.operand(value.node, slot)?)?;
        let values = constant.values::<f32>().ok().filter(|_| constant.shape() == [factors.len()])?;
        let values = values.iter().zip(factors).map(|(value, factor)| value / factor).collect();
        Some((value.node, slot, Tensor::new(&[factors.len()], values)))
    };
    if op.is("LayerNormalization") && value.slot == 0 {
        let mut all = vec![divided(1)?];
        if graph.operand(value.node, 2).is_some() {
            all.push(divided(2)?);
        }
        return Some(all);
    }
    if op.is("Mul") {
        return [0, 1].into_iter().find_map(divided).map(|one| vec![one]);
    }
    if op.is("Add") {
        let slot = [0, 1].into_iter().find(|&slot| divided(slot).is_some())?;
        let summand = graph.operand(value.node, 1 - slot)?;
        let is_shared = graph.users(summand).len() > 1 || graph.outputs().contains(&summand);
        let mut all = if is_shared { None } else { divided_constants(graph, summand, factors) }?;
        all.extend(divided(slot));
        return Some(all);
    }
    None
}
