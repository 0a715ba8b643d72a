//! A fake-quant model with its configuration.

use crate::config::QuantConfig;
use crate::deploy_format::{DeployFormat, Emission};
use crate::fake_quant;
use crate::record::Record;
use crate::stages::{Deployed, Prepared};
use intact8_ir::{Model, PassObserver, Result};

/// A quantized model: the fake-quant model with its configuration. Its graph holds the numbers of the
/// record.
#[derive(Debug, Clone)]
pub struct Quantized {
    fake_quant: Model,
    config: QuantConfig,
}

impl Quantized {
    pub(super) fn new(
        prepared: &Prepared,
        config: &QuantConfig,
        record: &Record,
        observer: &mut dyn PassObserver,
    ) -> Result<Quantized> {
        observer.begin("quantize");
        let mut model = prepared.model().clone();
        fake_quant(config, record).run_observed(&mut model, observer)?;
        Ok(Quantized { fake_quant: model, config: config.clone() })
    }

    /// The fake-quant model: QuantizeLinear and DequantizeLinear around the operands of layers, and floats between.
    pub fn fake_quant(&self) -> &Model {
        &self.fake_quant
    }

    /// The configuration: the quantized layers and their methods.
    pub fn config(&self) -> &QuantConfig {
        &self.config
    }

    /// The model that runs on a target, in one deploy format. `observer` receives the stage `deploy` with the format.
    ///
    /// # Errors
    /// If the target can't run it, or the format can't express it.
    pub fn deploy(
        &self,
        format: DeployFormat,
        emission: &Emission,
        observer: &mut dyn PassObserver,
    ) -> Result<Deployed> {
        Deployed::of_prepared(&self.fake_quant, format, emission, observer)
    }
}
