//! Layers that no calibration data reach: those in branches that are never taken, and in loops that never run.

use crate::data::Batches;
use crate::float_model::FloatModel;
use intact8_ir::{GraphId, Result, ValueRef};
use intact8_quant::{Layer, QuantConfig};
use std::collections::HashSet;

/// The enabled layers without ranges, because the layer or one of its inputs is not computed on any of the batches. It takes
/// a pass over the data if there are enabled layers in subgraphs, and none otherwise.
///
/// # Errors
/// If data or runtime fail.
pub fn unreached_layers(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    batches: &mut Batches<'_>,
) -> Result<Vec<Layer>> {
    let enabled = float.prepared().enabled(config).into_iter().map(|(_, layer, _)| layer);
    let in_subgraphs: Vec<&Layer> = enabled.filter(|layer| layer.graph != GraphId::MAIN).collect();
    if in_subgraphs.is_empty() {
        return Ok(vec![]);
    }
    let mut computed: HashSet<ValueRef> = HashSet::new();
    let run_batch = |_, inputs: &[intact8_ir::Tensor]| {
        let mut computed: HashSet<ValueRef> = HashSet::new();
        float.executor().run_tapped(inputs, &mut |value, tensor| {
            if !tensor.is_empty() {
                computed.insert(value);
            }
            Ok(())
        })?;
        Ok(computed)
    };
    batches.in_parallel(run_batch, |on_batch| {
        computed.extend(on_batch);
        Ok(())
    })?;
    // A layer in a branch that is never taken may have an input from outside, which is computed.
    let output = |layer: &Layer| ValueRef { graph: layer.graph, value: layer.node.into() };
    let is_unreached = |layer: &&Layer| {
        layer.inputs(float.model()).into_iter().chain([output(layer)]).any(|value| !computed.contains(&value))
    };
    Ok(in_subgraphs.into_iter().filter(is_unreached).cloned().collect())
}
