//! Learned rounding made explicit in the weights.

use crate::config::QuantConfig;
use crate::granularity::Granularity;
use crate::layer::{Layer, by_graph};
use crate::names::Names;
use crate::new_nodes::Replacements;
use crate::params::QuantParams;
use crate::record::Record;
use intact8_ir::{Model, Pass, Result, Tensor};

/// Rounds the weights of the enabled layers whose record holds `rounded_up`: every element becomes an integer
/// times its scale, so that quantizing it results in these integers, which need not be the nearest ones.
///
/// Layers that share a weight and round it alike share the result.
///
/// Other weights of fewer than 8 bits are clipped to their range of integers, since QuantizeLinear's range is
/// larger.
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
    /// The enabled layers.
    pub config: &'a QuantConfig,
    /// The elements that are rounded up.
    pub record: &'a Record,
}

impl Pass for RoundWeights<'_> {
    fn name(&self) -> &'static str {
        "round-weights"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut work: Vec<(Layer, usize, Tensor)> = Vec::new();
        for (layer, of_layer) in self.config.enabled(model) {
            let entry = self.record.layer(&layer.name)?;
            Record::check(entry, (&layer, of_layer), model)?;
            for (idx, (weight, params)) in layer.weights.iter().zip(&entry.weights).enumerate() {
                let tensor = layer.tensor(model, weight);
                let up = if idx == 0 { &entry.rounded_up[..] } else { &[] };
                // The text of a record does not hold widths of less than 8 bits.
                let bits = params.bits.min(of_layer.weight_quant_params.num_bits);
                let found = rounded(
                    tensor,
                    Granularity::of(params, weight, tensor.shape()),
                    &params.scale,
                    bits,
                    up,
                )?;
                if found != *tensor {
                    work.push((layer.clone(), weight.slot, found));
                }
            }
        }
        let mut names = Names::of(model);
        let here = by_graph(&work, |(layer, ..)| layer.graph);
        model.try_for_each_graph(|graph_id, graph| {
            let mut replacements = Replacements::default();
            for (layer, slot, rounded) in here.get(&graph_id).into_iter().flatten() {
                let name = format!("{}.rounded", layer.name);
                replacements.replace(graph, (layer.node, *slot), rounded, &name, &mut names);
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(!work.is_empty())
    }
}

/// The weight on the grid of integers; unchanged if there is no learned rounding and the whole range of integers is used.
pub(crate) fn rounded(
    tensor: &Tensor,
    scales: Granularity,
    scale: &[f32],
    bits: u8,
    up: &[bool],
) -> Result<Tensor> {
    if up.is_empty() && bits >= 8 {
        return Ok(tensor.clone());
    }
    let values = tensor.values::<f32>()?;
    let (qmin, qmax) = QuantParams::integers(bits);
    let of_element = |(idx, &value): (usize, &f32)| {
        let scale = scale[scales.scale_of(idx)];
        let (low, high) = (qmin as f32 * scale, qmax as f32 * scale);
        match up.get(idx) {
            Some(&up) => (((value / scale).floor() + f32::from(u8::from(up))) * scale).clamp(low, high),
            None => value.clamp(low, high),
        }
    };
    Ok(Tensor::new(tensor.shape(), values.iter().enumerate().map(of_element).collect()))
}
