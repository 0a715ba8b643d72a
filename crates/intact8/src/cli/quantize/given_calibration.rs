//! `--calibration`: a calibration that `intact8 calibrate` has made, instead of one of the run's own.

use super::Args;
use anyhow::{Context, bail};
use intact8::calibrate::{Calibrated, CalibrationObserver, MemoryLimit, Proceeded, Share};
use intact8::data::Feed;
use intact8::{
    CalibrationFile, ConfigChoice, DataIdentity, FloatModel, Model, QuantConfig, WithoutStages, model_sha256,
};
use std::path::PathBuf;

/// A calibration that is made already.
pub(super) struct GivenCalibration {
    path: PathBuf,
    file: CalibrationFile,
    /// Its configuration.
    pub(super) config: QuantConfig,
}

impl GivenCalibration {
    /// That of the options, if there is one, checked against model and data. The choice of the configuration becomes its own.
    pub(super) fn of(
        args: &Args,
        model: &Model,
        data: &Feed,
        choice: &mut ConfigChoice,
    ) -> anyhow::Result<Option<GivenCalibration>> {
        let Some(path) = &args.data.calibration else { return Ok(None) };
        let file = CalibrationFile::read(path)?;
        let checked = file.task.check(&model_sha256(&args.model, model)?, &DataIdentity::of(data)?);
        let config = checked.and_then(|()| file.task.config()).with_context(|| path.display().to_string())?;
        if args.is_for_amct() && config.equalize {
            let message = "--record-format amct: the calibration was made with cross-layer equalization; make it with --no-equalize";
            bail!(message);
        }
        (choice.given, choice.without) = (Some(config.clone()), WithoutStages::default());
        Ok(Some(GivenCalibration { path: path.clone(), file, config }))
    }

    /// The limit of the memory of calibration with which it was made.
    pub(super) fn memory(&self) -> MemoryLimit {
        self.file.task.memory()
    }

    /// Its result. Choices that sampled rows decide are made here if they were not made before.
    ///
    /// # Errors
    /// If a pass is missing.
    pub(super) fn calibrated(
        &mut self,
        float: &FloatModel<'_>,
        data: &mut Feed,
        observer: &mut dyn CalibrationObserver,
    ) -> anyhow::Result<Calibrated> {
        let path = self.path.display();
        match self.file.go_on(float, data, observer, Share::Choices).with_context(|| path.to_string())? {
            Proceeded::Complete(calibrated) => Ok(*calibrated),
            Proceeded::Next(pass) => bail!(
                "{path}: is not complete: the next pass is {pass}; make it with `intact8 calibrate --stats {path}`"
            ),
            Proceeded::Part(_) | Proceeded::ChoiceNeeded => unreachable!("no shard is made here"),
        }
    }
}
