//! The model in which layers are looked for.

use intact8_interp::FoldConstants;
use intact8_ir::{Model, Pass, Pipeline, Result, Tensor};
use intact8_quant::passes::{NameNodes, SinkConstants};
use intact8_quant::{Layer, QuantConfig, layers, prepare};
use std::collections::{BTreeMap, BTreeSet};

/// A copy of the model, ready to be quantized: what can be computed now is constant, and everything that
/// [`prepare`] does is done.
pub fn prepared(model: &Model, config: &QuantConfig) -> Result<Model> {
    let mut model = model.clone();
    // Names come first: they count nodes, which folding takes away.
    let fold: [Box<dyn Pass>; 4] =
        [Box::new(NameNodes), Box::new(FoldConstants), Box::new(SinkConstants), Box::new(FoldConstants)];
    Pipeline(fold.into()).run(&mut model)?;
    prepare(config).run(&mut model)?;
    Ok(model)
}

/// The layers whose constants are not those that they have in the same model prepared without a configuration of its own,
/// with everything folded and no ranges made equal: a record of them can't be used without the configuration.
pub fn changed_layers(model: &Model, prepared: &Model, config: &QuantConfig) -> Result<BTreeSet<String>> {
    let plain = QuantConfig { equalize: false, ..QuantConfig::default() };
    let is_plain = |config: &QuantConfig| {
        !config.equalize && config.do_fusion == plain.do_fusion && config.skip_fusion_layers.is_empty()
    };
    if is_plain(config) {
        return Ok(BTreeSet::new());
    }
    let unchanged = self::prepared(model, &plain)?;
    let known = layers(&unchanged);
    let known: BTreeMap<&str, &Layer> = known.iter().map(|layer| (&*layer.name, layer)).collect();
    let is_changed = |layer: &Layer| {
        known.get(&*layer.name).is_none_or(|same| constants(prepared, layer) != constants(&unchanged, same))
    };
    Ok(layers(prepared).into_iter().filter(is_changed).map(|layer| layer.name).collect())
}

/// The constant operands of a layer.
fn constants<'a>(model: &'a Model, layer: &Layer) -> Vec<Option<&'a Tensor>> {
    let graph = model.graphs()[layer.graph];
    graph.operands(layer.node).iter().map(|&value| graph.constant(value?)).collect()
}
