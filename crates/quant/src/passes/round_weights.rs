//! Learned rounding made visible in the weights.

use crate::config::QuantConfig;
use crate::layer::Layer;
use crate::names::Names;
use crate::params::QuantParams;
use crate::record::Record;
use crate::weight::Channels;
use quantfit_ir::{Model, Node, Pass, Result, Tensor};

/// Puts the record's `rounded` weights in the place of the weights of the enabled layers that have one.
///
/// Every element of such a weight is an integer times its scale, so that quantizing it gives these integers, which
/// need not be the nearest ones. Other weights of fewer than 8 bits are cut off where their integers end, since those
/// of QuantizeLinear go on.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [0.75, 2.25, 3.0, 3.5] : f32[2,2]
/// %y = MatMul(%x, %w) @fc
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %fc.rounded = const [1.0, 2.5, 3.0, 3.5] : f32[2,2]
/// %y = MatMul(%x, %fc.rounded) @fc
/// return %y
/// ```
pub struct RoundWeights<'a> {
    /// Which layers.
    pub config: &'a QuantConfig,
    /// To what.
    pub record: &'a Record,
}

impl Pass for RoundWeights<'_> {
    fn name(&self) -> &'static str {
        "round-weights"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut work: Vec<(Layer, usize, Tensor)> = Vec::new();
        for (layer, _) in self.config.enabled(model) {
            let entry = self.record.layer(&layer.name)?;
            Record::check(entry, &layer, model)?;
            for (idx, (weight, params)) in layer.weights.iter().zip(&entry.weights).enumerate() {
                let tensor = layer.tensor(model, weight);
                let found = match &entry.rounded {
                    Some(rounded) if idx == 0 => rounded.clone(),
                    _ => cut_off(tensor, weight.axis, params)?,
                };
                if found != *tensor {
                    work.push((layer.clone(), weight.slot, found));
                }
            }
        }
        let mut names = Names::of_values(model);
        model.try_for_each_graph(|position, graph| {
            for (layer, slot, rounded) in work.iter().filter(|(layer, ..)| layer.graph == position) {
                let name = names.fresh(&format!("{}.rounded", layer.name));
                let constant = graph.add(Node::constant(name, rounded.clone()), &[]);
                graph.set_operand(layer.node, *slot, Some(constant.into()));
            }
            graph.remove_dead();
            Ok(())
        })?;
        Ok(!work.is_empty())
    }
}

/// The weight without what is beyond its integers; the whole weight where those of QuantizeLinear end too.
fn cut_off(tensor: &Tensor, axis: usize, params: &QuantParams) -> Result<Tensor> {
    if params.bits >= 8 {
        return Ok(tensor.clone());
    }
    let values = tensor.values::<f32>()?;
    let channels =
        if params.scale.len() > 1 { Channels::of(tensor.shape(), axis) } else { Channels::one(values.len()) };
    let (qmin, qmax) = QuantParams::range(params.bits);
    let inside = values.iter().enumerate().map(|(idx, &value)| {
        let channel = channels.of_element(idx);
        value.clamp(params.dequantize(qmin, channel), params.dequantize(qmax, channel))
    });
    Ok(Tensor::new(tensor.shape(), inside.collect()))
}
