//! Layers that no calibration data reach: those of branches that are never taken, and of loops that never turn.

use crate::data::Feed;
use intact8_interp::Session;
use intact8_ir::{GraphId, Model, Result};
use intact8_quant::{Layer, QuantConfig};
use intact8_search::prepared;
use std::collections::HashSet;

/// The enabled layers whose ranges nothing can be known of, as none of their data come by. Costs a run over the data if
/// layers stand in subgraphs, and nothing otherwise.
pub fn unreached_layers(model: &Model, config: &QuantConfig, data: &Feed) -> Result<Vec<Layer>> {
    let prepared = prepared(model, config)?;
    let layers = config.enabled(&prepared).into_iter().map(|(layer, _)| layer);
    let inside: Vec<Layer> = layers.filter(|layer| layer.graph != GraphId::MAIN).collect();
    if inside.is_empty() {
        return Ok(vec![]);
    }
    let session = Session::new(&prepared)?;
    let mut seen = HashSet::new();
    for samples in data.batches().take(config.batch_num) {
        session.run_tapped(&data.inputs(samples)?, &mut |place, tensor| {
            if !tensor.is_empty() {
                seen.insert(place);
            }
            Ok(())
        })?;
    }
    let is_unreached = |layer: &Layer| layer.inputs(&prepared).iter().any(|place| !seen.contains(place));
    Ok(inside.into_iter().filter(is_unreached).collect())
}
