//! Bias correction: compensation of the mean error of quantization.

use crate::config::QuantConfig;
use crate::layer::{Layer, by_graph};
use crate::linear_view::added_constant;
use crate::names::Names;
use crate::record::Record;
use crate::uses::has_one_use;
use intact8_ir::{Graph, Model, Node, Op, Pass, Result, Tensor, ValueId};

/// Adds the record's `bias_shift` to the output channels of every enabled layer: to its bias if its operator has
/// one, to that of the Add after it, or else by a new Add.
///
/// Bias correction of Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction"
/// (2019), with shifts that were measured on calibration data.
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
/// %w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
/// %fc.sum = MatMul(%x, %w) @fc
/// %fc.shift = const [0.5, 0.25] : f32[2]
/// %y = Add(%fc.sum, %fc.shift) @fc.add
/// return %y
/// ```
pub struct ShiftBias<'a> {
    /// The enabled layers.
    pub config: &'a QuantConfig,
    /// The shifts.
    pub record: &'a Record,
}

impl Pass for ShiftBias<'_> {
    fn name(&self) -> &'static str {
        "shift-bias"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut work: Vec<(Layer, &[f32])> = Vec::new();
        for (layer, of_layer) in self.config.enabled(model) {
            let entry = self.record.layer(&layer.name)?;
            Record::check(entry, (&layer, of_layer), model)?;
            if !entry.bias_shift.is_empty() {
                work.push((layer, &entry.bias_shift));
            }
        }
        let mut names = Names::of(model);
        let here = by_graph(&work, |(layer, _)| layer.graph);
        model.try_for_each_graph(|graph_id, graph| {
            for (layer, shift) in here.get(&graph_id).into_iter().flatten() {
                match layer.bias_slot().and_then(|slot| Some((slot, shifted(graph, layer, slot, shift)?))) {
                    Some((slot, bias)) => {
                        let name = names.fresh(&format!("{}.b", layer.name));
                        let bias = graph.add(Node::constant(name, bias), &[]);
                        graph.set_operand(layer.node, slot, Some(bias.into()));
                    }
                    None if add_to_added_bias(graph, layer, shift, &mut names).is_some() => {}
                    None => add(graph, layer, shift, &mut names),
                }
            }
            Ok(())
        })?;
        if !work.is_empty() {
            model.remove_dead();
        }
        Ok(!work.is_empty())
    }
}

/// The bias in a slot and the shift together, if the bias is constant and has one value for each output channel.
fn shifted(graph: &Graph, layer: &Layer, slot: usize, shift: &[f32]) -> Option<Tensor> {
    let Some(bias) = graph.operand(layer.node, slot) else {
        return Some(Tensor::new(&[shift.len()], shift.to_vec()));
    };
    let bias = graph.constant(bias).filter(|bias| bias.shape() == [shift.len()])?.values::<f32>().ok()?;
    Some(Tensor::new(&[shift.len()], bias.iter().zip(shift).map(|(bias, shift)| bias + shift).collect()))
}

/// Adds the shift to the bias of a MatMul: the constant of the Add that is the one use of its result.
fn add_to_added_bias(graph: &mut Graph, layer: &Layer, shift: &[f32], names: &mut Names) -> Option<()> {
    let has_rows = layer.output_axis() == Some(-1) && has_one_use(graph, layer.node.into());
    let (add, slot, bias) = added_constant(graph, layer.node).filter(|_| has_rows)?;
    let is_row = bias.len() == shift.len() && bias.shape().last() == Some(&shift.len());
    let values = bias.values::<f32>().ok().filter(|_| is_row)?;
    let shifted = values.iter().zip(shift).map(|(bias, shift)| bias + shift).collect();
    let shifted =
        Node::constant(names.fresh(&format!("{}.b", layer.name)), Tensor::new(bias.shape(), shifted));
    let shifted = graph.add(shifted, &[]);
    graph.set_operand(add, slot, Some(shifted.into()));
    Some(())
}

/// Whether a bias of the layer, or one that is added to its result, can be shifted.
pub fn has_bias(model: &Model, layer: &Layer) -> bool {
    let graph = model.graph(layer.graph);
    let is_constant =
        |slot| graph.operand(layer.node, slot).is_none_or(|bias| graph.constant(bias).is_some());
    match layer.bias_slot() {
        Some(slot) => is_constant(slot),
        None => {
            layer.output_axis() == Some(-1)
                && has_one_use(graph, layer.node.into())
                && added_constant(graph, layer.node).is_some_and(|(_, _, bias)| bias.shape().len() == 1)
        }
    }
}

/// Puts an Add after the layer, whose result has the name of the layer's.
fn add(graph: &mut Graph, layer: &Layer, shift: &[f32], names: &mut Names) {
    let result = graph.value(ValueId::from(layer.node)).clone();
    let weight =
        layer.weights.first().and_then(|weight| graph.constant(graph.operand(layer.node, weight.slot)?));
    let after = layer.dims_after_outputs(weight.map_or(0, |weight| weight.shape().len()));
    let mut shape = vec![shift.len()];
    shape.resize(1 + after, 1);
    let shift =
        Node::constant(names.fresh(&format!("{}.shift", layer.name)), Tensor::new(&shape, shift.to_vec()));
    let shift = graph.add(shift, &[]);
    let name = names.fresh(&format!("{}.add", layer.name));
    let sum = graph.add(
        Node::op(&name, Op::new("Add"), vec![result.clone()]),
        &[Some(layer.node.into()), Some(shift.into())],
    );
    graph.replace_uses(layer.node.into(), sum.into());
    graph.node_mut(layer.node).outputs[0].name = names.fresh(&format!("{}.sum", layer.name));
}
