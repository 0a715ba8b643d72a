//! The model that runs on a target: the one value that is scored, timed and saved.

use crate::deploy_format::{DeployFormat, Emission, emit};
use crate::passes::ReadAscend;
use intact8_ir::{Model, Pass, PassObserver, Result};

/// A model in a deploy format for a target.
#[derive(Debug, Clone)]
pub struct Deployed {
    format: DeployFormat,
    emission: Emission,
    model: Model,
}

impl Deployed {
    /// The deploy model of a fake-quant model of any tool. `observer` is told `deploy` and the format.
    ///
    /// # Errors
    /// If the target can't run the model, or the format can't express it.
    pub fn of(
        fake_quant: &Model,
        format: DeployFormat,
        emission: &Emission,
        observer: &mut dyn PassObserver,
    ) -> Result<Deployed> {
        observer.begin(&format!("deploy {}", format.name()));
        emission.target.check_model(fake_quant)?;
        let mut model = fake_quant.clone();
        emit(format, emission).run_observed(&mut model, observer)?;
        Ok(Deployed { format, emission: *emission, model })
    }

    /// A deploy model that was read back from its file.
    pub fn read_back(model: Model, format: DeployFormat, emission: &Emission) -> Deployed {
        Deployed { format, emission: *emission, model }
    }

    /// The deploy format.
    pub fn format(&self) -> DeployFormat {
        self.format
    }

    /// The target, and how the model was made for it.
    pub fn emission(&self) -> &Emission {
        &self.emission
    }

    /// The model that is written to a file.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model with operators of ONNX's own alone: those of Ascend, which only its compiler knows, are read as
    /// QuantizeLinear and DequantizeLinear.
    ///
    /// # Errors
    /// If an operator of Ascend is not as AMCT writes it.
    pub fn standard(&self) -> Result<Model> {
        let mut model = self.model.clone();
        ReadAscend.run(&mut model)?;
        Ok(model)
    }

    /// The model as runtimes execute it: QuantizeLinear and DequantizeLinear around an operator become the operator on
    /// integers, which rounds in other places than the fake-quant model.
    ///
    /// # Errors
    /// If the model can't be expressed with integer operators.
    pub fn executed(&self) -> Result<Model> {
        let how = Emission { contrib: true, short_scales: false, ..self.emission };
        let mut model = self.standard()?;
        if self.format != DeployFormat::Qdq {
            emit(DeployFormat::Qdq, &how).run(&mut model)?;
        }
        emit(DeployFormat::QOperator, &how).run(&mut model)?;
        Ok(model)
    }
}
