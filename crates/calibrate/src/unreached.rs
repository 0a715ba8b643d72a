//! Layers that no calibration data reach: those of branches that are never taken, and of loops that never run.

use crate::data::Batches;
use crate::float_model::FloatModel;
use intact8_ir::{GraphId, Result, ValueRef};
use intact8_quant::{Layer, QuantConfig};
use std::collections::HashSet;

/// The enabled layers whose ranges can't be found, because the layer or one of its inputs is not computed on these batches. It takes a pass
/// over the data if layers stand in subgraphs, and none otherwise.
pub fn unreached_layers(
    float: &FloatModel<'_>,
    config: &QuantConfig,
    batches: &mut Batches<'_>,
) -> Result<Vec<Layer>> {
    let enabled = float.prepared().enabled(config).into_iter().map(|(_, layer, _)| layer);
    let inside: Vec<&Layer> = enabled.filter(|layer| layer.graph != GraphId::MAIN).collect();
    if inside.is_empty() {
        return Ok(vec![]);
    }
    let mut seen: HashSet<ValueRef> = HashSet::new();
    let of_batch = |_, inputs: &[intact8_ir::Tensor]| {
        let mut seen: HashSet<ValueRef> = HashSet::new();
        float.executor().run_tapped(inputs, &mut |place, tensor| {
            if !tensor.is_empty() {
                seen.insert(place);
            }
            Ok(())
        })?;
        Ok(seen)
    };
    batches.in_parallel(of_batch, |of_batch| {
        seen.extend(of_batch);
        Ok(())
    })?;
    // A layer of a branch that is never taken may read a value from outside, which is computed.
    let output = |layer: &Layer| ValueRef { graph: layer.graph, value: layer.node.into() };
    let is_unreached = |layer: &&Layer| {
        layer.inputs(float.model()).into_iter().chain([output(layer)]).any(|place| !seen.contains(&place))
    };
    Ok(inside.into_iter().filter(is_unreached).cloned().collect())
}
