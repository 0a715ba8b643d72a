//! The calls of AMCT, the tool that intact8 succeeds, under their names and with its evaluator.
//!
//! AMCT's evaluator is one object that calibrates, scores and judges, and it scores fake-quant models; here also the deploy models
//! of those that meet the target. Here an adapter plays the
//! roles of [`intact8_search`] with it.

use crate::files::read_text;
use crate::layer_selection::LayerSelection;
use crate::machine_memory::machine_limits;
use crate::new_config::NewConfig;
use crate::output_files::OutputFiles;
use crate::quantize::{calibrate_and_save, leave_unreached, prepare, quantize_and_save};
use intact8_calibrate::{BoxError, CalibrationData, FloatModel};
use intact8_interp::Interpreter;
use intact8_ir::{Error, Model, PassObserver, Result, Tensor};
use intact8_quant::deploy::check_is_float;
use intact8_quant::{Emission, Preparation, Profile, QuantConfig, Quantized, emit_fake_quant};
use intact8_search::sensitivity::sensitivity_named;
use intact8_search::strategy::{PureStrategy, strategy_named};
use intact8_search::{
    Interruption, Judge, Report, Roles, SavedModel, Scorer, Scoring, SearchObserver, SearchOptions,
    Sensitivity, Strategy, Subject, Verdict,
};
use std::cell::RefCell;
use std::path::Path;

/// AMCT's evaluator: calibrates, scores and judges models.
pub trait Evaluator {
    /// A score, of any type; only [`Evaluator::metric_eval`] uses it.
    type Metric: Clone;

    /// Calls `forward` with the inputs of at least `batch_num` batches, one tensor for each model input, in order. It is
    /// called several times and must return the same data each time.
    ///
    /// # Errors
    /// Any error of `forward`, and failures of the data source.
    fn calibration(
        &mut self,
        batch_num: usize,
        forward: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError>;

    /// Scores a model: the original, a fake-quant model, or the deploy model of one that meets the target.
    ///
    /// # Errors
    /// Any; the search ends with it.
    fn evaluate(&mut self, model: &Model) -> Result<Self::Metric, BoxError>;

    /// Judges a score by that of the original model. The original's own score must meet the target.
    ///
    /// # Errors
    /// Any; the search ends with it.
    fn metric_eval(&mut self, original: &Self::Metric, quantized: &Self::Metric)
    -> Result<Verdict, BoxError>;

    /// Whether deploy models and written files are scored too. If it is false, only the fake-quant model of each trial is, as AMCT
    /// does, and the report has no scores of files.
    fn scores_files(&self) -> bool {
        true
    }

    /// Whether the user has asked to stop. It is asked regularly; the search then ends with the best result so far.
    fn is_cancelled(&mut self) -> bool {
        false
    }
}

/// Writes the default configuration of a model: every layer that can be quantized is enabled, except `skip_layers`.
/// The names of layers are those of their nodes; nodes without a name get `<op>_<number>`.
/// Settings that the target does not support are turned off; the result has a line for each. Without a `batch_num` all
/// batches are used. As in AMCT, as many layers as possible are in int8; [`NewConfig`] has other preferences.
///
/// # Errors
/// If the model is quantized already or has no layer that can be quantized, `batch_num` is 0, a name is not that of a layer, or
/// the file can't be written.
pub fn create_quant_config(
    config_file: &Path,
    model: &Model,
    skip_layers: &[String],
    batch_num: impl Into<Option<usize>>,
    activation_offset: bool,
    target: &'static Profile,
) -> Result<Vec<String>> {
    let (selection, batch_num) = (LayerSelection::skipping(skip_layers), batch_num.into());
    let settings = NewConfig { selection, batch_num, activation_offset, target, ..NewConfig::default() };
    settings.write(config_file, model)
}

/// Writes the configuration of a model from a short definition, AMCT's text-proto `.cfg`.
/// Settings that the target does not support are turned off; the result has a line for each.
///
/// # Errors
/// If the model is quantized already or has no layer that can be quantized, the definition does not fit it, or a file can't be
/// read or written.
pub fn create_quant_config_from(
    config_file: &Path,
    model: &Model,
    definition_file: &Path,
    target: &'static Profile,
) -> Result<Vec<String>> {
    NewConfig { definition: Some(definition_file), target, ..NewConfig::default() }.write(config_file, model)
}

/// Reads a configuration file.
///
/// # Errors
/// If the file can't be read, or has an invalid key or value.
pub fn load_config(path: &Path) -> Result<QuantConfig> {
    QuantConfig::from_json(&read_text(path)?).map_err(|error| error.at(path.display()))
}

/// Quantizes a model by its configuration and calibration data alone, and writes the result, as AMCT's `quantize_model` and
/// `save_model` do. Nothing is scored. `save_path` is that of [`accuracy_based_auto_calibration`].
///
/// # Errors
/// If the configuration does not fit the model or enables no layer, there are fewer batches than it requires, or a file can't be
/// read or written.
pub fn quantize_model(
    model: &Model,
    data: &mut dyn CalibrationData,
    config_file: &Path,
    record_file: &Path,
    save_path: &Path,
) -> Result<Quantized> {
    let config = load_config(config_file)?;
    check_is_float(model)?;
    let prepared = prepare(model, &Preparation::of(&config), &mut ())?;
    let interpreter = Interpreter::default();
    let float = FloatModel::new(&prepared, &interpreter)?;
    let files = OutputFiles::with_amct_names(save_path, record_file);
    Ok(calibrate_and_save(&float, model, &config, data, &mut (), &files)?.quantized)
}

/// Quantizes a model as far as the evaluator allows, and writes the result.
///
/// `save_path` is a folder and a prefix, such as `out/resnet`; if it ends in a slash there is no prefix.
/// Of layers that no calibration data but zeros reach only the weights are quantized; the final configuration has them with
/// `weights_only`. Neither the model nor `config_file` is changed. [`quantize_and_save`] does the same with separate roles and more options.
///
/// # Errors
/// If the evaluator, strategy or sensitivity fail, the configuration does not fit the model, or a file can't be read or
/// written.
pub fn accuracy_based_auto_calibration<'a, E: Evaluator>(
    model: &Model,
    evaluator: &mut E,
    config_file: &Path,
    record_file: &Path,
    save_path: &Path,
    strategy: impl Into<StrategyChoice<'a>>,
    sensitivity: impl Into<SensitivityChoice<'a>>,
) -> Result<Report<E::Metric>> {
    let (mut by_name, own): (&dyn PureStrategy, _);
    let strategy: &mut dyn Strategy = match strategy.into() {
        StrategyChoice::Named(name) => {
            by_name = strategy_named(name)?;
            &mut by_name
        }
        StrategyChoice::Instance(instance) => {
            own = instance;
            own
        }
    };
    let sensitivity = match sensitivity.into() {
        SensitivityChoice::Named(name) => sensitivity_named(name)?,
        SensitivityChoice::Instance(instance) => instance,
    };
    let mut config = load_config(config_file)?;
    check_is_float(model)?;
    let prepared = prepare(model, &Preparation::of(&config), &mut ())?;
    let interpreter = Interpreter::with_limits(machine_limits());
    let float = FloatModel::new(&prepared, &interpreter)?;
    let mut files = OutputFiles::with_amct_names(save_path, record_file);
    files.rescored = evaluator.scores_files();
    let evaluator = RefCell::new(evaluator);
    let [mut data, mut scorer, mut judge, mut observer] = [(); 4].map(|()| Adapter(&evaluator));
    leave_unreached(&float, &mut config, &mut data)?;
    let roles = Roles { data: &mut data, scorer: &mut scorer, judge: &mut judge, observer: &mut observer };
    let options = SearchOptions { sensitivity, ..SearchOptions::new(strategy) };
    let report = quantize_and_save(&float, model, &config, roles, options, &files)?;
    match report.failure {
        Some(failure) => Err(failure),
        None => Ok(report),
    }
}

/// One role of a search, played by AMCT's evaluator.
struct Adapter<'a, 'b, E>(&'a RefCell<&'b mut E>);

impl<E: Evaluator> CalibrationData for Adapter<'_, '_, E> {
    fn for_each_batch(
        &mut self,
        n_batches: usize,
        visit: &mut dyn FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<(), BoxError> {
        self.0.borrow_mut().calibration(n_batches, visit)
    }
}

impl<E: Evaluator> Scorer for Adapter<'_, '_, E> {
    type Score = E::Metric;

    /// Trials are scored as fake-quant models, as AMCT does, and those that meet the target as deploy models too, which
    /// round other intermediate results.
    fn score(
        &mut self,
        subject: Subject<'_>,
        scoring: &mut Scoring<'_, E::Metric>,
    ) -> Result<E::Metric, BoxError> {
        let evaluate = |model: &Model| self.0.borrow_mut().evaluate(model);
        match subject {
            Subject::Original(model) | Subject::Saved { model: SavedModel::FakeQuant { model, .. }, .. } => {
                evaluate(model)
            }
            Subject::Trial { quantized, deployed, .. } => {
                let deployed = deployed.filter(|_| self.0.borrow().scores_files());
                let models = std::iter::once(None).chain(deployed.map(Some));
                scoring.all_of(models, |model, _| match model {
                    None => {
                        let mut simulated = quantized.fake_quant().clone();
                        emit_fake_quant(Emission::default().target).run(&mut simulated)?;
                        evaluate(&simulated)
                    }
                    Some(deployed) => evaluate(&deployed.standard()?),
                })
            }
            Subject::Saved { model: SavedModel::Deployed(deployed), .. } => evaluate(&deployed.standard()?),
        }
    }
}

impl<E: Evaluator> Judge<E::Metric> for Adapter<'_, '_, E> {
    fn judge(&mut self, original: &E::Metric, quantized: &E::Metric) -> Result<Verdict, BoxError> {
        self.0.borrow_mut().metric_eval(original, quantized)
    }
}

impl<E: Evaluator> Adapter<'_, '_, E> {
    /// Whether the user has asked to stop; false while the evaluator runs.
    fn is_cancelled(&self) -> bool {
        self.0.try_borrow_mut().is_ok_and(|mut evaluator| evaluator.is_cancelled())
    }
}

impl<E: Evaluator> PassObserver for Adapter<'_, '_, E> {}

impl<E: Evaluator> SearchObserver<E::Metric> for Adapter<'_, '_, E> {
    fn progress(&mut self, _done: usize, _total: usize) -> Result<()> {
        let cancelled =
            || Error::cancelled("interrupted before the first trial was finished; there is no result");
        if self.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }

    fn interruption(&mut self) -> Option<Interruption> {
        self.is_cancelled().then_some(Interruption::Cancelled)
    }
}

/// A strategy, by name or the user's own.
pub enum StrategyChoice<'a> {
    /// By name: intact8's or AMCT's.
    Named(&'a str),
    /// The user's own.
    Instance(&'a mut dyn Strategy),
}

/// A sensitivity, by name or the user's own.
pub enum SensitivityChoice<'a> {
    /// By name: intact8's or AMCT's.
    Named(&'a str),
    /// The user's own.
    Instance(&'a dyn Sensitivity),
}

impl<'a> From<&'a str> for StrategyChoice<'a> {
    fn from(name: &'a str) -> Self {
        StrategyChoice::Named(name)
    }
}

impl<'a, S: Strategy> From<&'a mut S> for StrategyChoice<'a> {
    fn from(instance: &'a mut S) -> Self {
        StrategyChoice::Instance(instance)
    }
}

impl<'a> From<&'a str> for SensitivityChoice<'a> {
    fn from(name: &'a str) -> Self {
        SensitivityChoice::Named(name)
    }
}

impl<'a, S: Sensitivity> From<&'a S> for SensitivityChoice<'a> {
    fn from(instance: &'a S) -> Self {
        SensitivityChoice::Instance(instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_quant::deploy::PROFILES;

    const MODEL: &str = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]\n\
                         %y = MatMul(%x, %w) @fc\nreturn %y\n";

    #[test]
    fn a_configuration_without_batches_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let create = |n_batches| {
            create_quant_config(&path, &MODEL.parse().unwrap(), &[], n_batches, false, &PROFILES[0])
        };
        assert_eq!(
            create(0).unwrap_err().to_string(),
            "batch_num must be at least 1; omit it to use all batches"
        );
        assert!(!path.exists());
        create(1).unwrap();
        assert!(!load_config(&path).unwrap().activation_offset);
    }

    #[test]
    fn a_model_is_quantized_and_saved_without_an_evaluator() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let model: Model = MODEL.parse().unwrap();
        let target = Profile::named("generic").unwrap();
        create_quant_config(&at("config.json"), &model, &[], 1, true, target).unwrap();
        let mut data = vec![vec![Tensor::new(&[2, 2], vec![-1.0f32, 0.5, 0.25, 1.0])]];
        let quantized =
            quantize_model(&model, &mut data, &at("config.json"), &at("record.txt"), &at("m")).unwrap();
        assert!(quantized.fake_quant().to_string().contains("QuantizeLinear"));
        for file in ["record.txt", "m_fake_quant_model.onnx", "m_deploy_model.onnx", "m_quant.json"] {
            assert!(at(file).exists(), "{file}");
        }
    }

    /// Models with two layers in int8 miss the target as deploy models, whose weights are integers, and meet it as fake-quant models.
    struct MissesDeployed {
        n_fake_quant: usize,
    }

    impl Evaluator for MissesDeployed {
        type Metric = bool;

        fn calibration(
            &mut self,
            batch_num: usize,
            forward: &mut dyn FnMut(&[Tensor]) -> Result<()>,
        ) -> Result<(), BoxError> {
            let batch = [Tensor::new(&[2, 2], vec![-1.0f32, 0.5, 0.25, 1.0])];
            Ok((0..batch_num).try_for_each(|_| forward(&batch))?)
        }

        fn evaluate(&mut self, model: &Model) -> Result<bool, BoxError> {
            let text = model.to_string();
            let is_integer_weight = |line: &&str| line.contains("= const") && line.ends_with(": i8[2,2]");
            let n_integer = text.lines().filter(is_integer_weight).count();
            self.n_fake_quant += usize::from(text.contains("QuantizeLinear") && n_integer == 0);
            Ok(n_integer < 2)
        }

        fn metric_eval(&mut self, _: &bool, quantized: &bool) -> Result<Verdict, BoxError> {
            Ok((*quantized, f64::from(u8::from(!quantized))).into())
        }
    }

    #[test]
    fn a_trial_meets_the_target_as_fake_quant_and_as_deploy_model() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let second = "%v = const [0.5, 2.0, 1.0, 4.0] : f32[2,2]\n%z = MatMul(%y, %v) @second\nreturn %z\n";
        let model: Model = MODEL.replace("return %y\n", second).parse().unwrap();
        create_quant_config(&at("config.json"), &model, &[], 1, true, &PROFILES[0]).unwrap();
        let mut evaluator = MissesDeployed { n_fake_quant: 0 };
        let report = accuracy_based_auto_calibration(
            &model,
            &mut evaluator,
            &at("config.json"),
            &at("record.txt"),
            &at("m"),
            "BinarySearch",
            "CosineSimilarity",
        );
        let report = report.unwrap();
        assert!(!report.history[0].verdict.satisfied && report.is_met() && evaluator.n_fake_quant > 1);
        assert_eq!(report.outcome.unwrap().rolled_back.len(), 1);
        assert!(report.rescored.iter().all(|saved| saved.verdict.satisfied));
    }
}
