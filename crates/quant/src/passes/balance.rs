//! Moving the ranges of channels from activations to weights.

use crate::config::QuantConfig;
use crate::layer::{Layer, layers};
use crate::names::Names;
use crate::record::{LayerRecord, Record};
use crate::sources::sources;
use intact8_ir::{Graph, Model, Node, NodeId, Op, Pass, Result, Tensor, Value, ValueId};
use std::collections::HashMap;

/// Divides the activation of every enabled layer by the record's balance factors, channel by channel, and multiplies
/// the weight by them, which changes no result in float.
///
/// AMCT's DMQ balancer, known as SmoothQuant (Xiao et al., 2023). The division is a Mul in front of the layers that
/// share it. Where nobody else reads the activation and it comes from a LayerNormalization, or from a Mul with a
/// constant and perhaps an Add of another, it is part of those constants.
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
/// %fc.balance = const [0.5, 2.0] : f32[2]
/// %fc.balanced = Mul(%x, %fc.balance) @fc.mul : f32[N,2]
/// %fc.w = const [2.0, 4.0, 1.5, 2.0] : f32[2,2]
/// %y = MatMul(%fc.balanced, %fc.w) @fc
/// return %y
/// ```
pub struct Balance<'a> {
    /// Which layers.
    pub config: &'a QuantConfig,
    /// By which factors.
    pub record: &'a Record,
}

impl Pass for Balance<'_> {
    fn name(&self) -> &'static str {
        "balance"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut work: Vec<(Layer, &[f32])> = Vec::new();
        for (layer, _) in self.config.enabled(model) {
            let balance = self.record.layers.get(&layer.name).map_or(&[][..], |entry| &entry.balance);
            if !balance.is_empty() {
                LayerRecord::check_balance(balance, &layer, model)?;
                work.push((layer, balance));
            }
        }
        let weights: Vec<Tensor> =
            work.iter().map(|(layer, balance)| balanced_weight(model, layer, balance)).collect();
        let mut names = Names::of(model);
        model.try_for_each_graph(|graph_id, graph| {
            let here: Vec<_> =
                work.iter().zip(&weights).filter(|((layer, _), _)| layer.graph == graph_id).collect();
            for ((layer, _), weight) in &here {
                let name = names.fresh(&format!("{}.w", layer.name));
                let constant = graph.add(Node::constant(name, (*weight).clone()), &[]);
                let slot = layer.input_channels().map_or(1, |(weight, _)| weight.slot);
                graph.set_operand(layer.node, slot, Some(constant.into()));
            }
            divide(graph, here.iter().map(|(work, _)| *work), &mut names);
            Ok(())
        })?;
        model.remove_dead();
        Ok(!work.is_empty())
    }
}

/// Whether a layer's activation can be divided without a Mul in the model that runs: because constants in front take it at
/// once, or take it as [`FoldChannelFactors`](crate::FoldChannelFactors) when the layers in front hold integers.
pub fn balances_for_free(model: &Model, layer: &Layer) -> bool {
    let graph = model.graph(layer.graph);
    let (Some((weight, _)), Some(value)) =
        (layer.input_channels(), graph.operand(layer.node, layer.activations[0]))
    else {
        return false;
    };
    let others = layers(model);
    let is_layer = |node: NodeId| {
        others
            .iter()
            .any(|other| other.graph == layer.graph && other.node == node && other.can_learn_rounding())
    };
    let n_channels = weight.n_inputs(layer.tensor(model, weight));
    let behind = dimensions_behind_channels(graph, layer);
    let is_in_constants = || behind == 0 && divided_constants(graph, value, &vec![1.0; n_channels]).is_some();
    !graph.outputs().contains(&value)
        && graph.users(value).iter().all(|&(user, _)| is_layer(user))
        && (is_in_constants() || sources(graph, value, behind, n_channels).is_some())
}

fn balanced_weight(model: &Model, layer: &Layer, balance: &[f32]) -> Tensor {
    let (weight, _) = layer.input_channels().expect("a balanced layer has a weight that meets its input");
    let tensor = layer.tensor(model, weight);
    let mut values = Vec::with_capacity(tensor.len());
    weight.for_each_input(tensor, |channel, value| values.push(value * balance[channel]));
    Tensor::new(tensor.shape(), values)
}

/// Divides each activation once for all layers that read it with the same factors.
fn divide<'a>(graph: &mut Graph, layers: impl Iterator<Item = &'a (Layer, &'a [f32])>, names: &mut Names) {
    let mut groups: Vec<(ValueId, &[f32], Vec<&Layer>)> = Vec::new();
    let mut of_key: HashMap<(ValueId, Vec<u32>), usize> = HashMap::new();
    for (layer, balance) in layers {
        let value = graph.operand(layer.node, layer.activations[0]).expect("a layer has its activation");
        let bits = balance.iter().map(|factor| factor.to_bits()).collect();
        let at = *of_key.entry((value, bits)).or_insert_with(|| {
            groups.push((value, balance, vec![]));
            groups.len() - 1
        });
        groups[at].2.push(layer);
    }
    for (value, balance, layers) in groups {
        let readers = graph.users(value);
        let is_theirs = readers.iter().all(|(node, _)| layers.iter().any(|layer| layer.node == *node));
        let behind = dimensions_behind_channels(graph, layers[0]);
        if is_theirs && !graph.outputs().contains(&value) && fold(graph, value, balance, behind, names) {
            continue;
        }
        let name = &layers[0].name;
        let mut shape = vec![balance.len()];
        shape.resize(1 + behind, 1);
        let inverse = Tensor::new(&shape, balance.iter().map(|factor| 1.0 / factor).collect());
        let inverse = graph.add(Node::constant(names.fresh(&format!("{name}.balance")), inverse), &[]);
        let divided = Value { name: names.fresh(&format!("{name}.balanced")), ..graph.value(value).clone() };
        let node = Node::op(&names.fresh(&format!("{name}.mul")), Op::new("Mul"), [divided]);
        let divided = graph.add(node, &[Some(value), Some(inverse.into())]);
        for layer in layers {
            graph.set_operand(layer.node, layer.activations[0], Some(divided.into()));
        }
    }
}

/// How many dimensions of a layer's activation follow the one that counts channels.
fn dimensions_behind_channels(graph: &Graph, layer: &Layer) -> usize {
    let (weight, input) = layer.input_channels().expect("a balanced layer has a weight that meets its input");
    match usize::try_from(input.activation) {
        Err(_) => input.activation.unsigned_abs() - 1,
        // Of a convolution, whose weight has the dimensions of the activation.
        Ok(axis) => {
            let tensor = graph.operand(layer.node, weight.slot).and_then(|value| graph.constant(value));
            tensor.map_or(0, |tensor| tensor.shape().len() - 1 - axis)
        }
    }
}

/// Divides the constants that a value is last multiplied with and added to, if there are such.
fn fold(graph: &mut Graph, value: ValueId, balance: &[f32], behind: usize, names: &mut Names) -> bool {
    let Some(divided) = (if behind == 0 { divided_constants(graph, value, balance) } else { None }) else {
        return false;
    };
    for (node, slot, tensor) in divided {
        let name = names.fresh(&format!("{}.balanced", graph.node(node).label()));
        let constant = graph.add(Node::constant(name, tensor), &[]);
        graph.set_operand(node, slot, Some(constant.into()));
    }
    true
}

/// What the constants become that make a value smaller by the factors; `None` if the value does not come from such.
fn divided_constants(graph: &Graph, value: ValueId, balance: &[f32]) -> Option<Vec<(NodeId, usize, Tensor)>> {
    let op = graph.node(value.node).as_op()?;
    let divided = |slot: usize| {
        let constant = graph.constant(graph.operand(value.node, slot)?)?;
        let values = constant.values::<f32>().ok().filter(|_| constant.shape() == [balance.len()])?;
        let values = values.iter().zip(balance).map(|(value, factor)| value / factor).collect();
        Some((value.node, slot, Tensor::new(&[balance.len()], values)))
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
        let mut all = if is_shared { None } else { divided_constants(graph, summand, balance) }?;
        all.extend(divided(slot));
        return Some(all);
    }
    None
}
