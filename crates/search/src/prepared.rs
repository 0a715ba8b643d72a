//! The model in which layers are looked for.

use quantfit_interp::FoldConstants;
use quantfit_ir::{Model, Pass, Pipeline, Result};
use quantfit_quant::{NameNodes, QuantConfig, SinkConstants, prepare};

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
