//! The search, with roles from Python.

mod settings;

use crate::detached::detached;
use crate::errors::{OrRaise, exception, own_exception};
use crate::progress::{PythonProgress, Raised};
use crate::request::{Request, SearchRequest};
use crate::scorer::{Ending, FunctionScorer, PythonMetric, path_of};
use crate::strategy::{GivenSensitivity, GivenStrategy};
use intact8::data::{Better, Feed, Metric};
use intact8::search::ladder::rung_named;
use intact8::{
    AnyScorer, CandidateResult, CandidateRoles, CandidateSearch, Candidates, ChosenRuntime, Confidence,
    ConfigChoice, DeployFormat, Emission, Error, FloatModel, Goal, Goals, Interpreter, LayerProfiling,
    LayerSelection, MaxDrop, Meter, OriginalModel, OutputFiles, Preference, Profile, QuantConfig, RunFacts,
    SearchOptions, Stop, UnscoredRun, VerifiedScorer, Watcher, WithoutStages, WrittenReport,
    calibrate_and_save, calibration_memory, load_config, machine_limits, model_bytes, prepare,
};
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Quantizes a model and writes the files. Returns the report as JSON, and the exception that ended the search after its first trial.
#[pyfunction]
pub(crate) fn quantize(py: Python<'_>, request: Request) -> PyResult<(String, Option<Py<PyAny>>)> {
    let (stop, raised) =
        (deadline(request.search.as_ref().and_then(|search| search.time_budget))?, Raised::default());
    let ending = Ending { stop, raised: raised.clone() };
    let own = match &request.search {
        None => None,
        Some(search) => {
            let strategy = GivenStrategy::of(search.strategy.bind(py))?.or_raise(py)?;
            Some((strategy, GivenSensitivity::of(search.sensitivity.bind(py), &ending)?.or_raise(py)?))
        }
    };
    let run = Run { request, ending, lines: Arc::default(), began: Instant::now() };
    let outcome = detached(py, || match own {
        Some((strategy, sensitivity)) => run.search(strategy, &sensitivity),
        None => run.calibrate().map(|json| Finished { json, failure: None, has_result: true }),
    });
    let exception_of_stop = raised.take();
    match outcome {
        Ok(Finished { json, failure, has_result }) => {
            let failure = failure
                .as_ref()
                .and_then(own_exception)
                .map(|own| own.clone_ref(py))
                .or_else(|| failure.as_ref().map(|error| exception(py, error)));
            // An interrupted search that has a result ends with it.
            let is_interrupt =
                |raised: &PyErr| raised.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py);
            let stopped = exception_of_stop.filter(|raised| !(has_result && is_interrupt(raised)));
            let raise = stopped.or(failure).map(|exception| exception.into_value(py).into_any());
            Ok((json.to_string(), raise))
        }
        Err(error) => Err(exception_of_stop.unwrap_or_else(|| exception(py, &error))),
    }
}

fn deadline(seconds: Option<f64>) -> PyResult<Stop> {
    let wrong =
        |_| pyo3::exceptions::PyValueError::new_err("time_budget must be a positive number of seconds");
    let budget = seconds.map(Duration::try_from_secs_f64).transpose().map_err(wrong)?;
    Ok(Stop::at(budget.and_then(|budget| Instant::now().checked_add(budget))))
}

struct Run {
    request: Request,
    ending: Ending,
    lines: Arc<Mutex<Vec<String>>>,
    began: Instant,
}

/// The end of a search.
struct Finished {
    json: Value,
    failure: Option<Error>,
    /// Whether a trial meets the target.
    has_result: bool,
}

impl Run {
    fn watcher(&self) -> Watcher {
        let Ending { stop, raised } = self.ending.clone();
        let callback =
            Python::attach(|py| self.request.callback.as_ref().map(|callback| callback.clone_ref(py)));
        let mut watcher = Watcher::new(stop.clone());
        watcher.progress = Box::new(PythonProgress::new(callback, stop, raised, self.lines.clone()));
        watcher
    }

    fn files(&self) -> intact8::Result<OutputFiles> {
        let target = Profile::named(&self.request.target)?;
        let formats = self.request.deploy.iter().map(|name| DeployFormat::named(name));
        let formats = formats.collect::<intact8::Result<Vec<_>>>()?;
        formats.iter().try_for_each(|format| target.check_format(*format))?;
        let emission = Emission { target, contrib: self.request.contrib };
        Ok(OutputFiles::new(&self.request.save).deployed(emission, &formats))
    }

    /// The number of batches that the calibration uses; `None` is that of the configuration.
    fn n_batches(&self, calibration: &Feed) -> Option<usize> {
        self.request.batch_num.map(|n| n.min(calibration.n_batches()))
    }

    fn choice(&self, calibration: &Feed) -> intact8::Result<ConfigChoice> {
        let request = &self.request;
        let has = |stage: &str| request.without.iter().any(|name| name == stage);
        let stages = ["equalize", "balance", "correct_bias", "fit_rounding"];
        if let Some(other) = request.without.iter().find(|name| !stages.contains(&&***name)) {
            let names = stages.join(", ");
            return Err(Error::invalid_config(format!(
                "without: there is no stage {other:?}; use some of {names}"
            )));
        }
        let [equalize, balance, correct_bias, fit_rounding] = stages.map(has);
        let mut given = request.config.as_deref().map(load_config).transpose()?;
        if let (Some(config), Some(n)) = (&mut given, self.n_batches(calibration)) {
            config.batch_num = Some(n);
        }
        Ok(ConfigChoice {
            given,
            without: WithoutStages { equalize, balance, correct_bias, fit_rounding },
            selection: LayerSelection {
                skip: request.skip.clone(),
                only: request.only.clone(),
                skip_types: request.skip_types.clone(),
            },
            reduce_range: vec![],
            prefer: Preference::named(&request.prefer)?,
            target: Profile::named(&request.target)?,
        })
    }

    fn runtime(&self) -> Option<&ChosenRuntime> {
        self.request.runtime.as_ref().map(|runtime| &runtime.get().chosen)
    }

    /// Calibration and files, without scoring.
    fn calibrate(&self) -> intact8::Result<Value> {
        let (request, model) = (&self.request, &self.request.model.get().model);
        let files = self.files()?;
        intact8::quant::deploy::check_is_float(model)?;
        let mut calibration = request.calibration.get().feed(model, &request.feeding)?;
        let choice = self.choice(&calibration)?;
        let mut watcher = self.watcher();
        remarks(&calibration)
            .chain(calibration.remark_on_variety()?)
            .for_each(|line| watcher.progress.note(&line));
        let prepared = prepare(model, &choice.preparation(), &mut watcher)?;
        let interpreter = Interpreter::with_limits(machine_limits());
        let float = FloatModel::new(&prepared, &interpreter)?.with_memory(calibration_memory());
        let progress = &mut *watcher.progress;
        let (mut config, restrictions) =
            choice.complete(&float, choice.prefer, &mut calibration, progress)?;
        config.batch_num = self.n_batches(&calibration).or(config.batch_num);
        let _lock = files.lock()?;
        let result = calibrate_and_save(&float, model, &config, &mut calibration, &mut watcher, &files)?;
        let run = UnscoredRun {
            float: &float,
            original: model,
            result: &result,
            restrictions: &restrictions,
            profiling: self.profiling(),
            latency: None,
        };
        let facts = RunFacts { runtime: None, ..self.facts(&files) };
        run.write_report(&mut calibration, &files, &mut watcher, &facts)?;
        let written = files.all().into_iter().chain([&*files.report, &*files.html_report]);
        let written = written.filter(|path| path.exists()).map(|path| path.display().to_string());
        let table = prepared.layers();
        let layers: Vec<&str> = table.iter().map(|(id, _)| table.name(id)).collect();
        let quantized = &result.quantized;
        let arithmetic =
            result.arithmetic.0.iter().map(|(&layer, found)| (table.name(layer), json!(found.name())));
        let is_quantized =
            |name: &&str| quantized.config().layers.get(*name).is_some_and(|layer| layer.quant_enable);
        Ok(json!({
            "target_met": null,
            "layers": layers.iter().copied().filter(is_quantized).collect::<Vec<_>>(),
            "arithmetic": arithmetic.collect::<BTreeMap<_, _>>(),
            "files": written.collect::<Vec<_>>(),
            "warnings": restrictions,
            "lines": self.lines(),
            "seconds": self.began.elapsed().as_secs_f64(),
            "runtime": null,
        }))
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn search(&self, strategy: GivenStrategy, sensitivity: &GivenSensitivity) -> intact8::Result<Finished> {
        let request = &self.request;
        let Some(search) = &request.search else {
            return Err(Error::invalid_config("there is nothing to score"));
        };
        let model = &request.model.get().model;
        let files = self.files()?;
        let ladder =
            search.ladder.iter().map(|rung| rung_named(rung)).collect::<intact8::Result<Vec<_>>>()?;
        intact8::quant::deploy::check_is_float(model)?;
        let interpreter = Arc::new(Interpreter::with_limits(machine_limits()));
        let mut calibration = request.calibration.get().feed(model, &request.feeding)?;
        let choice = self.choice(&calibration)?;
        let mut watcher = self.watcher();
        remarks(&calibration)
            .chain(calibration.remark_on_variety()?)
            .for_each(|line| watcher.progress.note(&line));
        let (mut scorer, mut goals) = self.roles(search, &interpreter, &files)?;
        watcher.goals.clone_from(&goals.goals);
        let prepared = prepare(model, &choice.preparation(), &mut watcher)?;
        let float = FloatModel::new(&prepared, &*interpreter)?.with_memory(calibration_memory());
        let runtime = self.runtime().filter(|_| request.measures_latency);
        let meter =
            runtime.map(|runtime| Meter::in_runtime(runtime, request.threads, self.ending.stop.clone()));
        let progress = &mut *watcher.progress;
        let mut candidates = Candidates::new(&choice, &float, &mut calibration, meter.as_ref(), progress)?;
        candidates.add_profiled(
            &choice,
            (model, &float),
            &files,
            (&mut calibration, meter.as_ref()),
            progress,
        );
        let n_batches = self.n_batches(&calibration);
        let set_batches = |config: &mut QuantConfig| config.batch_num = n_batches.or(config.batch_num);
        candidates.configs.iter_mut().for_each(|(config, _)| set_batches(config));
        let chosen = candidates.fastest(meter.as_ref(), (model, &float), &files, &calibration, progress);
        let _lock = files.lock()?;
        let mut strategy = strategy.strategy(prepared.layers(), &self.ending)?;
        let options = SearchOptions {
            sensitivity: sensitivity.sensitivity(),
            max_trials: search.max_trials,
            ladder: &ladder,
            deploy: files.deploy.first().map(|(format, _)| (*format, files.emission)),
            early_stop: search.early_stop,
            keep_best: search.keep_best,
            ..SearchOptions::new(&mut *strategy)
        };
        let candidate_search = CandidateSearch {
            float: &float,
            original: model,
            path: request.model.get().path.as_deref(),
            candidates: &candidates,
            groups: &request.groups,
            files: &files,
            journal: &mut |_, _| Ok(None),
            meter: meter.as_ref(),
            profiling: self.profiling(),
        };
        let roles = CandidateRoles {
            data: &mut calibration,
            scorer: &mut scorer,
            goals: &mut goals,
            watcher: &mut watcher,
        };
        let result = candidate_search.run(chosen, roles, options)?;
        self.finished(result, &goals, &files, &watcher)
    }

    /// How the layers are timed, unless nothing is.
    fn profiling(&self) -> Option<LayerProfiling> {
        let profiling = LayerProfiling { threads: self.request.threads, limits: machine_limits() };
        self.request.measures_latency.then_some(profiling)
    }

    fn facts(&self, files: &OutputFiles) -> RunFacts<'_> {
        let model = self.request.model.get();
        RunFacts {
            model: model.path.as_deref(),
            original_bytes: model.path.as_deref().map_or(0, |path| model_bytes(path, &model.model)),
            runtime: self.runtime().map(|runtime| runtime.loaded.name()),
            data: vec![],
            settings: settings::of(&self.request, files),
            command: None,
            elapsed: self.began.elapsed(),
        }
    }

    /// The report, also as files.
    fn finished(
        &self,
        result: CandidateResult,
        goals: &Goals,
        files: &OutputFiles,
        watcher: &Watcher,
    ) -> intact8::Result<Finished> {
        let facts = self.facts(files);
        let WrittenReport { mut json, .. } = result.write_report(goals, files, watcher, &facts)?;
        json["lines"] = json!(self.lines());
        let has_result = result.report.best().is_some();
        Ok(Finished { json, failure: result.report.failure, has_result })
    }

    /// The scorer and the judge.
    fn roles(
        &self,
        search: &SearchRequest,
        interpreter: &Arc<Interpreter>,
        files: &OutputFiles,
    ) -> intact8::Result<(AnyScorer, Goals)> {
        let max_drop = MaxDrop::parse(&search.max_drop)?;
        let better = match search.better.as_deref() {
            None => None,
            Some("higher") => Some(Better::Higher),
            Some("lower") => Some(Better::Lower),
            Some(other) => {
                let message = format!("better is \"higher\" or \"lower\", found {other:?}");
                return Err(Error::invalid_config(message));
            }
        };
        let own_goal = |text: &String| Goal::parse_own(text, max_drop, better);
        let function = || {
            let function =
                search.function.as_ref().ok_or_else(|| Error::evaluator("there is no function"))?;
            Ok(Python::attach(|py| function.clone_ref(py)))
        };
        let (scorer, goals): (AnyScorer, Vec<Goal>) = match &*search.kind {
            "path" | "session" => {
                let goals = search.goals.iter().map(own_goal).collect::<intact8::Result<Vec<_>>>()?;
                (Box::new(self.function_scorer(function()?, search, interpreter, files)?), goals)
            }
            "metric" => {
                let goals = search.goals.iter().map(own_goal).collect::<intact8::Result<Vec<_>>>()?;
                let [goal] = &goals[..] else {
                    return Err(Error::invalid_config("a metric function is for one goal"));
                };
                let metric = PythonMetric { begin: function()?, ending: self.ending.clone() };
                let metric = Metric::own(&goal.name, goal.better, Arc::new(metric));
                (Box::new(self.data_scorer(search, interpreter, &[metric], &goals)?), goals)
            }
            _ => {
                let parsed = search.goals.iter().map(|text| Goal::parse(text, max_drop));
                let (metrics, goals): (Vec<_>, Vec<_>) =
                    parsed.collect::<intact8::Result<Vec<_>>>()?.into_iter().unzip();
                (Box::new(self.data_scorer(search, interpreter, &metrics, &goals)?), goals)
            }
        };
        let confidence = search.confidence.as_deref().map(Confidence::parse).transpose()?;
        Ok((scorer, Goals { goals, confidence, allow_chance: search.allow_chance }))
    }

    fn function_scorer(
        &self,
        function: Py<PyAny>,
        search: &SearchRequest,
        interpreter: &Arc<Interpreter>,
        files: &OutputFiles,
    ) -> intact8::Result<FunctionScorer> {
        let folder = tempfile::Builder::new().prefix("intact8-").tempdir();
        let folder =
            folder.map_err(|error| Error::io(error).at("the folder of temporary files; set TMPDIR"))?;
        let original = Some(path_of(self.request.model.get(), folder.path())?);
        Ok(FunctionScorer {
            function,
            takes_session: search.kind == "session",
            original,
            folder,
            interpreter: interpreter.clone(),
            runtime: self.runtime().cloned(),
            emission: files.emission,
            ending: self.ending.clone(),
            n_scored: 0,
        })
    }

    fn data_scorer(
        &self,
        search: &SearchRequest,
        interpreter: &Arc<Interpreter>,
        metrics: &[Metric],
        goals: &[Goal],
    ) -> intact8::Result<VerifiedScorer> {
        let model = &self.request.model.get().model;
        let original = OriginalModel::new(interpreter.clone(), model)?;
        let data =
            search.evaluation.as_ref().ok_or_else(|| Error::invalid_data("there are no evaluation data"))?;
        let feed: Feed = data.get().feed(model, &self.request.feeding)?;
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).extend(remarks(&feed));
        let lines = self.lines.clone();
        let remark = Box::new(move |line: &str| {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        });
        let runtime = self.runtime();
        let sources = ((original, model), (feed, &data.get().data));
        VerifiedScorer::of_data(sources.0, sources.1, metrics, goals, runtime, remark)
    }
}

/// The remarks on how data are fed.
fn remarks(feed: &Feed) -> impl Iterator<Item = String> {
    feed.notes().iter().cloned().chain(feed.casts())
}
