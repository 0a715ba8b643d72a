//! Inspection, comparison, latencies and conversions.

use crate::data::{DataSet, GivenFeeding, first_batch};
use crate::detached::detached;
use crate::errors::{OrRaise, check_signals};
use crate::model::{Model, truth_of};
use crate::session::Runtime;
use intact8::{
    Budget, DeployFormat, Emission, Interpreter, LayerSelection, NewConfig, OutputFiles, Preference, Profile,
    Record, TimedModel, interleaved, layer_plans, load_config, machine_limits, random_inputs,
};
use pyo3::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The layers of a model, as JSON; with a target also their plans there.
#[pyfunction]
pub(crate) fn inspect(py: Python<'_>, model: &Model, target: Option<&str>, prefer: &str) -> PyResult<String> {
    let inspected = || {
        let plans = match target.map(Profile::named).transpose()? {
            Some(target) => {
                let (prefer, all) = (Preference::named(prefer)?, LayerSelection::default());
                layer_plans(&model.model, target, prefer, &all)?
            }
            None => BTreeMap::new(),
        };
        Ok(intact8::inspect(&model.model)?.to_json(&plans).to_string())
    };
    detached(py, inspected).or_raise(py)
}

/// The differences between a float and a quantized model, value by value, as JSON.
#[pyfunction]
pub(crate) fn compare(
    py: Python<'_>,
    float: &Model,
    quantized: &Model,
    data: &DataSet,
    feeding: GivenFeeding,
    runtime: Option<&Runtime>,
) -> PyResult<String> {
    let compared = || {
        let feed = data.feed(&float.model, &feeding)?;
        let batches = feed.batches().map(|samples| {
            check_signals()?;
            feed.inputs(samples)
        });
        match runtime {
            Some(runtime) => {
                intact8::compare_in(&runtime.chosen.loaded, &float.model, &quantized.model, batches)
            }
            None => intact8::compare(&float.model, &quantized.model, batches),
        }
    };
    let found = detached(py, compared).or_raise(py)?;
    Ok(json!(found.iter().map(intact8::Difference::to_json).collect::<Vec<_>>()).to_string())
}

/// The latencies of models, measured in turns, as JSON. Without data the inputs are random, with `batch` samples.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "they are keywords of the Python function")]
pub(crate) fn bench(
    py: Python<'_>,
    models: Vec<PyRef<'_, Model>>,
    data: Option<&DataSet>,
    feeding: GivenFeeding,
    batch: usize,
    runtime: Option<&Runtime>,
    threads: usize,
    seconds: f64,
) -> PyResult<String> {
    let budget = Duration::try_from_secs_f64(seconds * models.len() as f64)
        .map_err(|_| pyo3::exceptions::PyValueError::new_err("seconds must be a positive number"))?;
    let models: Vec<&intact8::Model> = models.iter().map(|model| &model.model).collect();
    let loaded = runtime.map(|runtime| runtime.chosen.loaded.clone().with_threads(threads));
    let measured = || -> intact8::Result<_> {
        let interpreter = Interpreter::with_limits(machine_limits());
        let runtime: &dyn intact8::ir::Runtime = match &loaded {
            Some(loaded) => loaded,
            None => &interpreter,
        };
        let mut inputs_of_models = vec![];
        let mut n_samples = None;
        for &model in &models {
            let (inputs, n) = match data {
                Some(data) => first_batch(data, model, &feeding).map(|(inputs, n)| (inputs, Some(n)))?,
                None => random_inputs(model, batch)?,
            };
            n_samples = n_samples.or(n);
            inputs_of_models.push(inputs);
        }
        let timed = models.iter().zip(&inputs_of_models);
        let timed = timed.map(|(model, inputs)| TimedModel { runtime, model, inputs });
        Ok((interleaved(&timed.collect::<Vec<_>>(), Budget::of_time(budget), &mut check_signals)?, n_samples))
    };
    let (latencies, n_samples) = detached(py, measured).or_raise(py)?;
    let name = loaded.map_or("the interpreter of intact8".to_owned(), |loaded| loaded.name());
    let rows = latencies.iter().map(|latency| {
        let mut row = latency.to_json();
        row["speedup"] = json!(latency.speedup_over(&latencies[0]));
        row
    });
    let rows: Vec<_> = rows.collect();
    Ok(json!({ "runtime": name, "threads": threads, "batch": n_samples, "models": rows }).to_string())
}

/// Where and in which formats models are written.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct GivenFiles {
    save: PathBuf,
    target: String,
    deploy: Vec<String>,
    contrib: bool,
}

impl GivenFiles {
    fn files(&self) -> intact8::Result<OutputFiles> {
        let target = Profile::named(&self.target)?;
        let formats = self.deploy.iter().map(|name| DeployFormat::named(name));
        let formats = formats.collect::<intact8::Result<Vec<_>>>()?;
        formats.iter().try_for_each(|format| target.check_format(*format))?;
        let emission = Emission { target, contrib: self.contrib };
        Ok(OutputFiles::new(&self.save).deployed(emission, &formats))
    }
}

/// Quantizes a float model with a record. Returns the written models.
#[pyfunction]
pub(crate) fn convert(
    py: Python<'_>,
    model: &Model,
    record: PathBuf,
    config: Option<PathBuf>,
    files: GivenFiles,
) -> PyResult<Vec<PathBuf>> {
    let converted = || {
        let io = |error: std::io::Error| intact8::Error::io(error).at(record.display());
        let text = std::fs::read_to_string(&record).map_err(io)?;
        let record = Record::from_text(&text).map_err(|error| error.at(record.display()))?;
        let config = config.as_deref().map(load_config).transpose()?;
        let files = files.files()?;
        let _lock = files.lock()?;
        intact8::convert_model(&model.model, &record, config.as_ref(), &files)?;
        Ok(models_of(&files, true))
    };
    detached(py, converted).or_raise(py)
}

/// Writes deploy models of a model with QuantizeLinear and DequantizeLinear. Returns the written models.
#[pyfunction]
pub(crate) fn convert_qat(py: Python<'_>, model: &Model, files: GivenFiles) -> PyResult<Vec<PathBuf>> {
    let converted = || {
        let files = files.files()?;
        let _lock = files.lock()?;
        intact8::convert_qat_model(&model.model, &files)?;
        Ok(models_of(&files, false))
    };
    detached(py, converted).or_raise(py)
}

fn models_of(files: &OutputFiles, has_fake_quant: bool) -> Vec<PathBuf> {
    let fake_quant = has_fake_quant.then(|| files.fake_quant.clone());
    files.deploy.iter().map(|(_, path)| path.clone()).chain(fake_quant).collect()
}

/// The settings of a new configuration.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct GivenConfig {
    definition: Option<PathBuf>,
    skip_layers: Vec<String>,
    batch_num: Option<usize>,
    activation_offset: bool,
    target: String,
    prefer: String,
}

/// Writes a new configuration; returns a line for each restriction of the target.
#[pyfunction]
pub(crate) fn create_config(
    py: Python<'_>,
    path: PathBuf,
    model: &Model,
    settings: GivenConfig,
) -> PyResult<Vec<String>> {
    let GivenConfig { definition, skip_layers, batch_num, activation_offset, target, prefer } = settings;
    let written = || {
        let settings = NewConfig {
            definition: definition.as_deref(),
            selection: LayerSelection::skipping(&skip_layers),
            batch_num,
            activation_offset,
            target: Profile::named(&target)?,
            prefer: Preference::named(&prefer)?,
        };
        settings.write(&path, &model.model)
    };
    detached(py, written).or_raise(py)
}

/// The array that a built-in metric compares with: `labels` or `targets`.
#[pyfunction]
pub(crate) fn metric_truth(py: Python<'_>, name: &str) -> PyResult<&'static str> {
    truth_of(name).or_raise(py)
}
