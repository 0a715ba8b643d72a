//! What layers cost: multiply-accumulates for one sample.

use intact8_ir::{Model, Result};
use intact8_quant::costs::{multiply_adds, sample_shapes};
use intact8_quant::{Layer, QuantConfig, layers};
use intact8_search::prepared;
use std::collections::BTreeMap;

/// The multiply-accumulates of each layer for one sample; layers whose shapes nobody knows are left out.
pub fn layer_costs(model: &Model) -> Result<BTreeMap<String, u64>> {
    let model = prepared(model, &QuantConfig::default())?;
    let shapes = sample_shapes(&model)?;
    let cost = |layer: Layer| Some((layer.name.clone(), multiply_adds(&model, &layer, &shapes)? as u64));
    Ok(layers(&model).into_iter().filter_map(cost).collect())
}
