//! Factors of channels, moved into the weights of the layers before.

use crate::absorbing_constants::{AbsorbingConstant, absorbing_constants};
use crate::axis::Axis;
use crate::linear_view::LinearKind;
use crate::names::Names;
use crate::new_nodes::constant;
use crate::qdq_params::{integer_tensor, stored_constant};
use crate::ranks::{GraphRanks, Ranks};
use crate::uses::has_one_use;
use intact8_ir::{Attr, Graph, Model, NodeId, NodeKind, Pass, Result, Tensor, ValueId};

/// Removes a Mul by positive constants, one for all or one per channel, if the weights and biases of the layers
/// before it can absorb them: scales of integers are multiplied and the integers stay, so a weight gets a scale
/// per channel.
///
/// Smoothing leaves such a Mul before a layer. Relu, LeakyRelu, pooling and a Concat of channels may lie between.
/// Left alone: values with other uses, factors after a Clip, and values that are not produced by layers with
/// constant weights alone. It uses nothing but the graph, so it also works on models that another tool quantized.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [2, -2, 6, 127] : i8[2,2]
/// %scale = const [0.5, 1.0] : f32[2]
/// %offset = const splat(0) : i8[2]
/// %w.dq = DequantizeLinear(%w, %scale, %offset) {axis = 1}
/// %fc = MatMul(%x, %w.dq) : f32[N,2]
/// %r = Relu(%fc) : f32[N,2]
/// %factor = const [0.5, 2.0] : f32[2]
/// %y = Mul(%r, %factor)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [2, -2, 6, 127] : i8[2,2]
/// %w.dq.scale = const [0.25, 2.0] : f32[2]
/// %w.dq.offset = const splat(0) : i8[2]
/// %w.dq = DequantizeLinear(%w, %w.dq.scale, %w.dq.offset) {axis = 1}
/// %fc = MatMul(%x, %w.dq) : f32[N,2]
/// %y = Relu(%fc) @r : f32[N,2]
/// return %y
/// ```
pub struct FoldChannelFactors<'a> {
    /// The layers that must not absorb factors, by name.
    pub skip: &'a [String],
}

impl Pass for FoldChannelFactors<'_> {
    fn name(&self) -> &'static str {
        "fold-channel-factors"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let (mut names, ranks) = (Names::of(model), Ranks::of(model));
        let mut changed = false;
        model.try_for_each_graph(|graph_id, graph| {
            let ranks = ranks.in_graph(graph_id);
            for id in graph.topo() {
                let Some((input, factors, sources)) = folded(graph, ranks, id) else { continue };
                if sources.iter().any(|source| self.skip.contains(&graph.node(source.node).name)) {
                    continue;
                }
                for source in sources {
                    scale(graph, source, &factors, &mut names);
                }
                let result = graph.node(id).outputs[0].clone();
                graph.replace_uses(id.into(), input);
                crate::uses::detach(graph, id);
                let ty = graph.value(input).ty.clone();
                let value = &mut graph.node_mut(input.node).outputs[input.slot];
                *value = intact8_ir::Value { ty, ..result };
                changed = true;
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

/// The operand of a Mul, the factors, and the constants that can absorb them.
fn folded(
    graph: &Graph,
    ranks: GraphRanks<'_>,
    id: NodeId,
) -> Option<(ValueId, Vec<f32>, Vec<AbsorbingConstant>)> {
    if !graph.node(id).is("Mul") {
        return None;
    }
    let (slot, tensor) = crate::uses::constant_operand(graph, id)?;
    let input = graph.operand(id, 1 - slot).filter(|&input| has_one_use(graph, input))?;
    let factors = tensor.values::<f32>().ok()?;
    let after = match tensor.shape().iter().position(|&n| n != 1) {
        Some(axis) if tensor.shape()[axis] == factors.len() => tensor.shape().len() - 1 - axis,
        Some(_) => return None,
        None => channels_after(graph, ranks, input)?,
    };
    let n_channels = if factors.len() == 1 { channels_at(graph, input, after)? } else { factors.len() };
    let grows = ranks.rank(graph, input).is_none_or(|rank| tensor.shape().len() > rank);
    let is_usual = factors.iter().all(|&factor| factor > 0.0 && factor.is_finite());
    if grows || !is_usual || graph.constant(input).is_some() {
        return None;
    }
    let factors = if factors.len() == 1 { vec![factors[0]; n_channels] } else { factors.to_vec() };
    let sources = absorbing_constants(graph, ranks, input, after, n_channels)?;
    Some((input, factors, sources))
}

/// The number of dimensions after that of the channels, if the factor does not determine it.
fn channels_after(graph: &Graph, ranks: GraphRanks<'_>, value: ValueId) -> Option<usize> {
    match ranks.rank(graph, value)? {
        rank @ 3.. if made_by_convolution(graph, value) => Some(rank - 2),
        _ => Some(0),
    }
}

fn made_by_convolution(graph: &Graph, value: ValueId) -> bool {
    let mut value = value;
    while let Some(op) = graph.node(value.node).as_op() {
        if let Some(kind) = LinearKind::of(op) {
            return kind.is_convolution();
        }
        let Some(input) = graph.operand(value.node, 0) else { return false };
        value = input;
    }
    false
}

/// The number of channels of a value according to its type.
fn channels_at(graph: &Graph, value: ValueId, after: usize) -> Option<usize> {
    let dims = graph.value(value).tensor_type()?.shape.as_ref()?;
    dims.get(dims.len().checked_sub(1 + after)?)?.known()
}

/// Multiplies the channels of a constant, or the scales of its integers.
fn scale(graph: &mut Graph, source: AbsorbingConstant, factors: &[f32], names: &mut Names) {
    let AbsorbingConstant { node, slot, after, first, len } = source;
    let factors = &factors[first..first + len];
    let value = graph.operand(node, slot).expect("a source has its constant");
    let Some(stored) = stored_constant(graph, value) else {
        let mut tensor = graph.constant(value).expect("a source is constant").clone();
        let channels = Axis::of(tensor.shape(), tensor.shape().len() - 1 - after);
        let values = tensor.values_mut::<f32>().expect("a source is of f32");
        values.iter_mut().enumerate().for_each(|(idx, value)| *value *= factors[channels.index_of(idx)]);
        let name = graph.value(value).name.clone();
        let scaled = constant(graph, names, &name, tensor);
        return graph.set_operand(node, slot, Some(scaled));
    };
    let axis = stored.integers.shape().len() - 1 - after;
    let (of_all, params) = (stored.params.scale.len() == 1, stored.params.clone());
    let at = |channel: usize| if of_all { 0 } else { channel };
    let scales =
        factors.iter().enumerate().map(|(channel, factor)| params.scale[at(channel)] * factor).collect();
    let offsets: Vec<i32> = (0..len).map(|channel| params.offset[at(channel)]).collect();
    let integers = graph.operand(value.node, 0);
    let mut dequantize = graph.node(value.node).clone();
    let name = dequantize.outputs[0].name.clone();
    let scale = constant(graph, names, &format!("{name}.scale"), Tensor::new(&[len], scales));
    let mut operands = vec![integers, Some(scale)];
    if graph.operand(value.node, 2).is_some() {
        let offset =
            integer_tensor(params.dtype, &[len], &offsets).expect("the data type of the offsets holds them");
        operands.push(Some(constant(graph, names, &format!("{name}.offset"), offset)));
    }
    if let NodeKind::Op(op) = &mut dequantize.kind {
        op.attrs.insert("axis".to_owned(), Attr::Int(axis as i64));
    }
    let is_only_use = has_one_use(graph, value);
    if !is_only_use {
        dequantize.outputs[0].name = names.fresh(&name);
        dequantize.name = dequantize.outputs[0].name.clone();
        let copy = intact8_ir::Node::op(
            &dequantize.name,
            dequantize.as_op().expect("it is an operation").clone(),
            dequantize.outputs.clone(),
        );
        let copy = graph.add(copy, &operands);
        return graph.set_operand(node, slot, Some(copy.into()));
    }
    graph.node_mut(value.node).kind = dequantize.kind;
    for (slot, operand) in operands.into_iter().enumerate() {
        graph.set_operand(value.node, slot, operand);
    }
}
