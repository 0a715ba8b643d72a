//! From a model to files: preparation, search or calibration alone, and the files of the result.

use crate::emission::{self, save_models};
use crate::files::{data_file, load_model, remove, write_file};
use crate::output_files::OutputFiles;
use crate::report::{history_json, ranking_json};
use intact8_calibrate::{
    Batches, BoxError, Calibrated, CalibrationData, CalibrationObserver, FloatModel, calibrate,
    unreached_layers,
};
use intact8_infer::InferShapes;
use intact8_interp::FoldConstants;
use intact8_ir::{Error, Model, Pass, PassObserver, Result};
use intact8_quant::calibration::ValueHistogram;
use intact8_quant::deploy::check_is_float;
use intact8_quant::{
    DeployFormat, Deployed, Emission, LayerArithmetic, Preparation, Prepared, QuantConfig, Quantized, Record,
};
use intact8_search::{
    Interruption, Outcome, Report, Roles, SavedModel, Scorer, Scoring, SearchOptions, Subject, rescore,
    search,
};
use std::collections::BTreeMap;

/// Prepares a model; our interpreter computes the operators whose operands are all constant.
///
/// # Errors
/// If the model breaks a rule of ONNX.
pub fn prepare(model: &Model, how: &Preparation, observer: &mut dyn PassObserver) -> Result<Prepared> {
    Prepared::new(model, how, Some(&FoldConstants), observer)
}

/// Changes a configuration so that of layers that no calibration data but zeros reach only the weights are quantized, and layers
/// without weights stay in float. Returns a line for each.
///
/// # Errors
/// If data or runtime fail.
pub fn leave_unreached(
    float: &FloatModel<'_>,
    config: &mut QuantConfig,
    data: &mut dyn CalibrationData,
) -> Result<Vec<String>> {
    let unreached = unreached_layers(float, config, &mut Batches::of(data, config.batch_num, &mut ())?)?;
    Ok(config.leave_weights(&unreached, |_| "no calibration data but zeros reach it".to_owned()))
}

/// Quantizes a model as far as the judge allows, and writes the result. `float` is the original, prepared and compiled.
/// Trials are made in the first deploy format of `files`, unless `options` name another, and those that meet the target are scored
/// in the further ones too: a trial meets it only in all of them. The outcome is written in all of them.
///
/// Ranking and history are always written. If there is an outcome, so are the fake-quant and the deploy models, the final
/// configuration and the record, and every model is read back and scored once more,
/// unless `files` say otherwise. The scores are in [`Report::rescored`]; the models stay even if one misses the target. If there is no outcome, files of those names are removed, so that no older model
/// is taken for the result, and the configuration of the closest trial is written instead.
///
/// # Errors
/// As [`search`]; if the model is quantized already; if the target does not read a format of `files`; if a file can't be read, written or removed.
pub fn quantize_and_save<S: Scorer>(
    float: &FloatModel<'_>,
    original: &Model,
    config: &QuantConfig,
    roles: Roles<'_, S>,
    mut options: SearchOptions<'_>,
    files: &OutputFiles,
) -> Result<Report<S::Score>> {
    check_is_float(original)?;
    // All formats, so that no search ends with a format that can't be written.
    files.deploy.iter().try_for_each(|(format, _)| files.emission.target.check_format(*format))?;
    if let (None, Some((format, _))) = (options.deploy, files.deploy.first()) {
        options.deploy = Some((*format, files.emission));
    }
    let scored = options.deploy.map(|(format, _)| format);
    let formats = files.deploy.iter().map(|(format, _)| *format);
    let further = formats.filter(|format| Some(*format) != scored).collect();
    let mut scorer = EveryFormat { scorer: &mut *roles.scorer, further, emission: files.emission };
    let search_roles = Roles {
        data: &mut *roles.data,
        scorer: &mut scorer,
        judge: &mut *roles.judge,
        observer: &mut *roles.observer,
    };
    let mut report = search(float, original, config, search_roles, options.reborrow())?;
    save_report(float, original, roles, &mut report, files)?;
    Ok(report)
}

/// Writes the result of a search, as [`quantize_and_save`] does. Models are scored unless the report has their scores.
///
/// # Errors
/// If a file can't be read, written or removed, or a role fails.
pub fn save_report<S: Scorer>(
    float: &FloatModel<'_>,
    original: &Model,
    roles: Roles<'_, S>,
    report: &mut Report<S::Score>,
    files: &OutputFiles,
) -> Result<()> {
    write_file(&files.ranking, ranking_json(report).as_bytes())?;
    write_file(&files.history, history_json(report).as_bytes())?;
    let Some(outcome) = &mut report.outcome else {
        for file in files.models() {
            remove(file)?;
            remove(&data_file(file))?;
        }
        return write_file(&files.closest_config, report.closest_config.to_json().as_bytes());
    };
    let deployed = deployed(outcome, files, roles.observer)?;
    outcome.arithmetic = LayerArithmetic::of(&report.table, outcome.quantized.config(), deployed.first());
    save_models(original, outcome.quantized.fake_quant(), &deployed, files)?;
    write_file(&files.final_config, outcome.quantized.config().to_json().as_bytes())?;
    save_record(&outcome.record, original, float.prepared(), files)?;
    remove(&files.closest_config)?;
    if files.rescored && report.rescored.is_empty() { rescore_files(files, roles, report) } else { Ok(()) }
}

/// Scores trials in several deploy formats.
struct EveryFormat<'a, S> {
    scorer: &'a mut S,
    /// The formats besides that of the trial.
    further: Vec<DeployFormat>,
    emission: Emission,
}

impl<S: Scorer> Scorer for EveryFormat<'_, S> {
    type Score = S::Score;

    fn score(
        &mut self,
        subject: Subject<'_>,
        scoring: &mut Scoring<'_, S::Score>,
    ) -> Result<S::Score, BoxError> {
        let Subject::Trial { index, quantized, deployed } = subject else {
            return self.scorer.score(subject, scoring);
        };
        let formats = std::iter::once(None).chain(self.further.iter().copied().map(Some));
        scoring.all_of(formats, |format, scoring| {
            let other = format.map(|format| quantized.deploy(format, &self.emission, &mut ())).transpose()?;
            let deployed = other.as_ref().or(deployed);
            self.scorer.score(Subject::Trial { index, quantized, deployed }, scoring)
        })
    }
}

/// A quantized model that was not scored.
#[derive(Debug)]
pub struct UnscoredResult {
    /// The fake-quant model with its configuration.
    pub quantized: Quantized,
    /// The deploy models, in the order of the files.
    pub deployed: Vec<Deployed>,
    /// The parameters of the layers.
    pub record: Record,
    /// The arithmetic of each layer in the first deploy model.
    pub arithmetic: LayerArithmetic,
    /// The distribution of the first activation of each layer over the calibration data, by name of the layer.
    pub histograms: BTreeMap<String, ValueHistogram>,
}

/// Calibrates a model, quantizes every layer that the configuration enables, and writes the result: the fake-quant and the deploy
/// models, their map, the configuration and the record. Nothing is scored. `float` is the original, prepared and compiled.
///
/// Reports of an earlier search with the same files are removed, since they describe other models.
///
/// # Errors
/// If the configuration enables no layer or does not fit the model, the target does not read a format of `files`, there are
/// fewer batches than the configuration requires, or a file can't be written or removed.
pub fn calibrate_and_save(
    float: &FloatModel<'_>,
    original: &Model,
    config: &QuantConfig,
    data: &mut dyn CalibrationData,
    observer: &mut dyn CalibrationObserver,
    files: &OutputFiles,
) -> Result<UnscoredResult> {
    save_with(float, original, config, files, || calibrate(float, config, data, observer))
}

/// The same with the result of a calibration that was made before.
///
/// # Errors
/// As [`calibrate_and_save`].
pub fn save_calibrated(
    float: &FloatModel<'_>,
    original: &Model,
    config: &QuantConfig,
    calibrated: Calibrated,
    files: &OutputFiles,
) -> Result<UnscoredResult> {
    save_with(float, original, config, files, || Ok(calibrated))
}

fn save_with(
    float: &FloatModel<'_>,
    original: &Model,
    config: &QuantConfig,
    files: &OutputFiles,
    calibrated: impl FnOnce() -> Result<Calibrated>,
) -> Result<UnscoredResult> {
    check_is_float(original)?;
    files.deploy.iter().try_for_each(|(format, _)| files.emission.target.check_format(*format))?;
    let prepared = float.prepared();
    config.check(prepared.model())?;
    if prepared.enabled(config).is_empty() {
        return Err(Error::invalid_config("no layer is to be quantized; enable one"));
    }
    let mut calibrated = calibrated()?;
    let histograms = std::mem::take(&mut calibrated.histograms);
    let mut record = calibrated.into_record();
    let quantized = prepared.quantize(config, &record, &mut ())?;
    prepared.describe(config, &mut record);
    let deployed = emission::deployed(quantized.fake_quant(), files)?;
    save_models(original, quantized.fake_quant(), &deployed, files)?;
    write_file(&files.final_config, config.to_json().as_bytes())?;
    save_record(&record, original, prepared, files)?;
    for outdated in [&files.ranking, &files.history, &files.report, &files.html_report, &files.closest_config]
    {
        remove(outdated)?;
    }
    let arithmetic = LayerArithmetic::of(prepared.layers(), quantized.config(), deployed.first());
    Ok(UnscoredResult { quantized, deployed, record, arithmetic, histograms })
}

/// Writes the record, and the part of it that AMCT reads if that is to be written.
fn save_record(record: &Record, original: &Model, prepared: &Prepared, files: &OutputFiles) -> Result<()> {
    write_file(&files.record, record.to_text().as_bytes())?;
    let Some(path) = &files.amct_record else { return Ok(()) };
    let original = prepare(original, &Preparation::none(), &mut ())?;
    write_file(path, record.for_amct(&original, prepared).as_bytes())
}

/// The outcome in every deploy format; the model that was scored is reused.
fn deployed<S>(
    outcome: &Outcome<S>,
    files: &OutputFiles,
    observer: &mut dyn PassObserver,
) -> Result<Vec<Deployed>> {
    let made = |(format, path): &(_, std::path::PathBuf)| match &outcome.deployed {
        Some(deployed) if deployed.format() == *format && *deployed.emission() == files.emission => {
            Ok(deployed.clone())
        }
        _ => {
            let deployed = outcome.quantized.deploy(*format, &files.emission, observer);
            deployed.map_err(|error| error.at(path.display()))
        }
    };
    files.deploy.iter().map(made).collect()
}

/// Reads the saved models back and scores them, until the user cancels the search.
fn rescore_files<S: Scorer>(
    files: &OutputFiles,
    mut roles: Roles<'_, S>,
    report: &mut Report<S::Score>,
) -> Result<()> {
    for (name, path, format) in files.scored() {
        if roles.observer.interruption() == Some(Interruption::Cancelled) {
            return Ok(());
        }
        let saved = load_model(path)?;
        let mut deployed = None;
        let model = match format {
            None => {
                let deploy = |(format, _): &(DeployFormat, _)| {
                    let mut saved = saved.clone();
                    InferShapes.run(&mut saved).ok()?;
                    Deployed::of(&saved, *format, &files.emission, &mut ()).ok()
                };
                deployed = files.deploy.first().and_then(deploy);
                SavedModel::FakeQuant { model: &saved, deployed: deployed.as_ref() }
            }
            Some(format) => {
                let read_back = Deployed::read_back(saved, format, &files.emission);
                SavedModel::Deployed(deployed.insert(read_back))
            }
        };
        let references = (&report.original, report.scores.first());
        let rescored = rescore(&name, path, model, &mut roles, references);
        report.rescored.extend(rescored.map_err(|error| error.at(path.display()))?);
    }
    Ok(())
}
