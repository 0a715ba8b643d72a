//! The two calls of the original tool, under their names.

use crate::emission::save_models;
use crate::files::{data_file, load_model, read_text, remove, write_file};
use crate::report::{history_json, ranking_json};
use intact8_ir::{Error, Model, Pass, Result};
use intact8_quant::deploy::check_is_float;
use intact8_quant::passes::ReadAscend;
use intact8_quant::{DeployFormat, Emission, Profile, QuantConfig};
use intact8_search::{
    Evaluator, Interruption, Report, SearchOptions, Sensitivity, Strategy, prepared, rescore, search,
    sensitivity_named, strategy_named,
};
use std::path::{Path, PathBuf};

/// Writes the default configuration of a model: every layer that can be quantized is, but for `skip_layers`.
/// The layers' names are the nodes' names; nodes without one are given `<op>_<number>`.
/// What the target does not take is turned off; returned is a line for each.
pub fn create_quant_config(
    config_file: &Path,
    model: &Model,
    skip_layers: &[String],
    batch_num: usize,
    target: &Profile,
) -> Result<Vec<String>> {
    check_is_float(model)?;
    let prepared = prepared(model, &QuantConfig::default())?;
    let mut config = QuantConfig::for_model(&prepared);
    config.batch_num = batch_num;
    let restrictions = target.restrict(&mut config, &prepared);
    for layer in skip_layers {
        let unknown = || {
            Error::invalid_config("is no layer that can be quantized; see `intact8 inspect`")
                .at(format!("layer {layer:?}"))
        };
        config.layers.get_mut(layer).ok_or_else(unknown)?.quant_enable = false;
    }
    write_file(config_file, config.to_json().as_bytes())?;
    Ok(restrictions)
}

/// Writes the configuration of a model that a short definition describes: the text-proto `.cfg` of the original tool.
pub fn create_quant_config_from(config_file: &Path, model: &Model, definition_file: &Path) -> Result<()> {
    check_is_float(model)?;
    let definition = read_text(definition_file)?;
    let model = prepared(model, &QuantConfig::default())?;
    let config = QuantConfig::from_definition(&definition, &model);
    let config = config.map_err(|error| error.at(definition_file.display()))?;
    write_file(config_file, config.to_json().as_bytes())
}

/// Quantizes a model as far as the evaluator allows, and writes what came of it.
///
/// `save_path` is a folder and a prefix, such as `out/resnet`; if it ends in a slash there is no prefix.
/// Neither the model nor `config_file` is changed. [`search_and_save`] does the same and takes more options.
pub fn accuracy_based_auto_calibration<'a, E: Evaluator>(
    model: &Model,
    evaluator: &mut E,
    config_file: &Path,
    record_file: &Path,
    save_path: &Path,
    strategy: impl Into<StrategyChoice<'a>>,
    sensitivity: impl Into<SensitivityChoice<'a>>,
) -> Result<Report<E::Metric>> {
    let (strategy, sensitivity) = (strategy.into().resolve()?, sensitivity.into().resolve()?);
    let options = SearchOptions { strategy, sensitivity, ..SearchOptions::default() };
    let config = load_config(config_file)?;
    search_and_save(model, evaluator, &config, &OutputFiles::new(save_path, record_file), &options)
}

/// Reads a configuration.
pub fn load_config(path: &Path) -> Result<QuantConfig> {
    QuantConfig::from_json(&read_text(path)?).map_err(|error| error.at(path.display()))
}

/// Quantizes a model as far as the evaluator allows, and writes what came of it.
///
/// Ranking and history are written in any case. If there is an outcome, so are the fake-quant and the deploy models, the
/// final configuration, and the record, and every model is read back and scored once more: [`Report::rescored`] says what
/// that gave, and they stay where they are whatever it is. If there is none, files of those names are removed, so
/// that no older model is taken for the result, and the configuration that came closest is written instead. A model that is
/// quantized already is refused.
pub fn search_and_save<E: Evaluator>(
    model: &Model,
    evaluator: &mut E,
    config: &QuantConfig,
    files: &OutputFiles,
    options: &SearchOptions<'_>,
) -> Result<Report<E::Metric>> {
    check_is_float(model)?;
    let mut report = search(model, config, evaluator, options)?;
    write_file(&files.ranking, ranking_json(&report.ranking).as_bytes())?;
    write_file(&files.history, history_json(&report).as_bytes())?;
    match &report.outcome {
        Some(quantized) => {
            save_models(model, &quantized.fake_quant, files)?;
            write_file(&files.final_config, quantized.config.to_json().as_bytes())?;
            write_file(&files.record, quantized.record.to_text().as_bytes())?;
            remove(&files.closest_config)?;
            rescore_files(files, evaluator, &mut report)?;
        }
        None => {
            for file in files.models() {
                remove(file)?;
                remove(&data_file(file))?;
            }
            write_file(&files.closest_config, report.closest_config.to_json().as_bytes())?;
        }
    }
    Ok(report)
}

/// Reads the models back that were saved, and scores them, unless the user wants an end.
fn rescore_files<E: Evaluator>(
    files: &OutputFiles,
    evaluator: &mut E,
    report: &mut Report<E::Metric>,
) -> Result<()> {
    for (name, path) in files.scored() {
        if evaluator.interruption() == Some(Interruption::Cancelled) {
            return Ok(());
        }
        let mut saved = load_model(path)?;
        // Of the deploy model of AMCT, only its compiler knows the operators.
        ReadAscend.run(&mut saved)?;
        let rescored = rescore(&name, &saved, evaluator, &report.original);
        report.rescored.extend(rescored.map_err(|error| error.at(path.display()))?);
    }
    Ok(())
}

/// Where the results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFiles {
    /// The model that simulates quantization.
    pub fake_quant: PathBuf,
    /// The models that run on the target, each in its form.
    pub deploy: Vec<(DeployFormat, PathBuf)>,
    /// How they are made.
    pub emission: Emission,
    /// Which nodes of the original each of their nodes came from.
    pub map: PathBuf,
    /// The configuration with the rolled-back layers disabled.
    pub final_config: PathBuf,
    /// The scales and offsets.
    pub record: PathBuf,
    /// The configuration that came closest, if none satisfies.
    pub closest_config: PathBuf,
    /// The layers, the worst first.
    pub ranking: PathBuf,
    /// The trials.
    pub history: PathBuf,
    /// Everything about the search; only the command writes it.
    pub report: PathBuf,
    /// The scores, as they come; only the command writes it.
    pub journal: PathBuf,
}

impl OutputFiles {
    /// The files of a save path.
    pub fn new(save_path: &Path, record_file: &Path) -> OutputFiles {
        let has_prefix = !save_path.as_os_str().to_string_lossy().ends_with(std::path::MAIN_SEPARATOR);
        let prefix = save_path
            .file_name()
            .filter(|_| has_prefix)
            .map(|name| name.to_string_lossy().into_owned() + "_");
        let folder = if has_prefix { save_path.parent().unwrap_or(Path::new("")) } else { save_path };
        let prefix = prefix.unwrap_or_default();
        let report = |what: &str| folder.join(format!("accuracy_based_auto_calibration_{what}.json"));
        OutputFiles {
            fake_quant: folder.join(format!("{prefix}fake_quant_model.onnx")),
            deploy: vec![(DeployFormat::ALL[0], folder.join(format!("{prefix}deploy_model.onnx")))],
            emission: Emission::default(),
            map: folder.join(format!("{prefix}quant.json")),
            final_config: report("final_config"),
            record: record_file.to_owned(),
            closest_config: report("closest_config"),
            ranking: report("ranking_information"),
            history: report("record"),
            report: folder.join(format!("{prefix}report.json")),
            journal: folder.join(format!("{prefix}journal.jsonl")),
        }
    }

    /// The same files with deploy models made otherwise and in other forms; the first keeps the plain name.
    #[must_use]
    pub fn deployed(mut self, emission: Emission, formats: &[DeployFormat]) -> OutputFiles {
        let Some((_, plain)) = self.deploy.first().cloned() else { return self };
        let name = plain.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = |format: &DeployFormat| {
            let of_form = format!("deploy_{}_model.onnx", format.name());
            plain.with_file_name(name.replace("deploy_model.onnx", &of_form))
        };
        let path = |idx: usize, format: &DeployFormat| if idx == 0 { plain.clone() } else { path(format) };
        self.deploy = formats.iter().enumerate().map(|(idx, format)| (*format, path(idx, format))).collect();
        self.emission = emission;
        self
    }

    /// The deploy model in the first form.
    pub fn first_deploy(&self) -> &Path {
        self.deploy.first().map_or(Path::new(""), |(_, path)| path)
    }

    /// The models that are read back and scored, by the name that [`Report::rescored`] has for them.
    pub fn scored(&self) -> Vec<(String, &Path)> {
        let name = |idx, form: &DeployFormat| match idx {
            0 => "deploy".to_owned(),
            _ => format!("deploy_{}", form.name()),
        };
        let deploy = self.deploy.iter().enumerate().map(|(idx, (form, path))| (name(idx, form), &**path));
        std::iter::once(("fake-quant".to_owned(), &*self.fake_quant)).chain(deploy).collect()
    }

    /// The file of a model of that name.
    pub fn file_of(&self, name: &str) -> &Path {
        self.scored().into_iter().find(|(of, _)| of == name).map_or(Path::new(""), |(_, path)| path)
    }

    /// What exists only if there is an outcome.
    fn models(&self) -> Vec<&Path> {
        let mut models = vec![&*self.fake_quant];
        models.extend(self.deploy.iter().map(|(_, path)| &**path));
        models.extend([&*self.map, &*self.final_config, &*self.record]);
        models
    }

    /// What [`search_and_save`] writes if there is an outcome, in that order.
    pub fn all(&self) -> Vec<&Path> {
        let mut all = vec![&*self.ranking, &*self.history];
        all.extend(self.models());
        all
    }
}

macro_rules! choices {
    ($($(#[$doc:meta])* $choice:ident of $what:ident by $named:ident;)*) => {
        $($(#[$doc])*
        pub enum $choice<'a> {
            /// By name.
            Named(&'a str),
            /// The user's own.
            Instance(&'a dyn $what),
        }

        impl<'a> $choice<'a> {
            fn resolve(self) -> Result<&'a dyn $what> {
                match self {
                    $choice::Named(name) => $named(name),
                    $choice::Instance(instance) => Ok(instance),
                }
            }
        }

        impl<'a> From<&'a str> for $choice<'a> {
            fn from(name: &'a str) -> Self {
                $choice::Named(name)
            }
        }

        impl<'a, T: $what> From<&'a T> for $choice<'a> {
            fn from(instance: &'a T) -> Self {
                $choice::Instance(instance)
            }
        })*
    };
}

choices! {
    /// A strategy, by name or as an instance.
    StrategyChoice of Strategy by strategy_named;
    /// A sensitivity, by name or as an instance.
    SensitivityChoice of Sensitivity by sensitivity_named;
}
