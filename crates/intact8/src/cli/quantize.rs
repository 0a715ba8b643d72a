//! `intact8 quantize`: the search, from the options of the command line to its report. The work is done by the library.

mod again;
mod args;
mod budget;
mod given_calibration;
mod headline;
mod identity;
mod latency;
mod report_facts;
mod roles;
mod settings;
pub(super) mod size;
mod table;
mod unscored;
mod verdict;

use super::interrupt::stop_on_interrupt;
use super::progress::Terminal;
use super::{
    WrittenRecipe, lines_beside, print_contradictions, print_line, print_message, print_result,
    print_surplus_threads,
};
use crate::cli::ExitCode;
use anyhow::Context;
use given_calibration::GivenCalibration;
use headline::Headline;
use intact8::ir::one_line;
use intact8::quant::deploy::check_is_float;
use intact8::quant::passes::other_floats_of_layers;
use intact8::search::{ReplayTap, Replayed};
use intact8::{
    CandidateResult, CandidateRoles, CandidateSearch, Candidates, ChosenRuntime, ConfigChoice, FloatModel,
    Goals, Interpreter, Journal, LayerProfiling, Model, OutputFiles, Prepared, QuantConfig, SearchOptions,
    Stop, Watcher, WrittenReport, dump_replay, load_config, model_bytes, prepare, remove_leftovers,
};
use settings::Settings;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use args::{Args, PreparationArgs};

pub(crate) fn run(args: &Args, mut recipe: WrittenRecipe) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    args.complete(&mut recipe);
    let progress = args.messages.apply();
    lines_beside(args.output.json.iter());
    print_surplus_threads(args.speed.threads);
    recipe.left_out.iter().for_each(|line| print_message(line));
    if args.accuracy.no_eval {
        return unscored::run(args, progress, &recipe);
    }
    let settings = Settings::of(args)?;
    let Settings { target, files, .. } = &settings;
    let stop = Stop::at(settings.time_budget.and_then(|budget| began.checked_add(budget)));
    args.output.save.check(files, &args.model)?;
    stop_on_interrupt(&stop);
    let model = args.load.model(&args.model)?;
    check_is_float(&model)?;
    print_contradictions(&args.model, &model)?;
    let interpreter = Arc::new(Interpreter::with_limits(settings.limits));
    let runtime = args.speed.runtime.for_target(target)?;
    let (mut calibration, mut scorer, mut goals) =
        roles::roles(args, &settings, &model, &interpreter, runtime.as_ref(), &stop)?;

    let mut choice = args.config_choice(&settings)?;
    let mut given = GivenCalibration::of(args, &model, &calibration, &mut choice)?;
    let mut watcher = Watcher::new(stop.clone());
    watcher.progress = Box::new(Terminal::new(progress, args.messages.verbose));
    watcher.goals.clone_from(&goals.goals);
    watcher.progress.begin("preparing the model");
    let prepared = prepare(&model, &choice.preparation(), &mut watcher)?;
    print_conversion(&model, &prepared);
    let float = FloatModel::new(&prepared, &*interpreter);
    let memory = given.as_ref().map_or(settings.calibration_memory, GivenCalibration::memory);
    let float = float.with_context(|| args.model.display().to_string())?.with_memory(memory);
    let meter = latency::meter(args, runtime.as_ref(), &stop);
    let calibrated = given.as_mut().map(|given| given.calibrated(&float, &mut calibration, &mut watcher));
    let calibrated = calibrated.transpose()?;
    let progress = &mut *watcher.progress;
    let mut candidates = match &given {
        Some(given) => Candidates::calibrated(given.config.clone()),
        None => Candidates::new(&choice, &float, &mut calibration, meter.as_ref(), progress)?,
    };
    let earlier = if args.search.resume { Journal::run_of(&files.journal) } else { None };
    match &earlier {
        Some((_, config)) => config.iter().for_each(|config| candidates.add_earlier(config.clone())),
        // The calibration is that of one configuration.
        None if given.is_some() => stop.check()?,
        None => {
            stop.check()?;
            let measured = (&mut calibration, meter.as_ref());
            candidates.add_profiled(&choice, (&model, &float), files, measured, &mut *watcher.progress);
        }
    }
    let data = identity::of_data(args)?;
    let identity = |config: &QuantConfig| {
        identity::identity(args, &data, &model, config, &goals.goals, files, runtime.as_ref())
    };
    let runs = candidates.configs.iter().map(|(config, _)| identity(config));
    let runs = runs.collect::<anyhow::Result<Vec<String>>>()?;
    let chosen = match earlier {
        // The earlier run has chosen already.
        Some((earlier, _)) => runs.iter().position(|run| *run == earlier).unwrap_or(0),
        None => {
            let progress = &mut *watcher.progress;
            stop.check()?;
            candidates.fastest(meter.as_ref(), (&model, &float), files, &calibration, progress)
        }
    };
    let _lock = files.lock()?;
    if args.search.resume {
        files.remove_leftovers();
        args.output.dump.iter().for_each(|folder| remove_leftovers(folder));
    }
    calibration.fed_inputs()?.iter().for_each(|input| print_line(&one_line(&input.to_string())));
    let dump =
        args.output.dump.as_ref().map(|folder| |replayed: &Replayed<'_>| dump_replay(folder, replayed));
    let float_bytes = model_bytes(&args.model, &model);
    let n_goals = goals.goals.len();
    let result = CandidateSearch {
        float: &float,
        original: &model,
        candidates: &candidates,
        groups: &args.groups_by_name(),
        files,
        // The journal of the first search is not that of the second.
        journal: &mut |candidate, is_first| {
            Ok(Some(match args.search.resume && is_first {
                true => Journal::resume(&files.journal, &runs[candidate], prepared.layers(), n_goals)?,
                false => {
                    let config = candidates.profiled_at(candidate);
                    Journal::begin(&files.journal, &runs[candidate], prepared.layers(), config)
                }
            }))
        },
        path: Some(&args.model),
        meter: meter.as_ref(),
        profiling: args.profiling(&settings),
    };
    let mut strategy = settings.strategy;
    let options = SearchOptions {
        sensitivity: settings.sensitivity,
        max_trials: args.search.max_trials.map(|n| n as usize),
        ladder: &settings.ladder,
        deploy: files.deploy.first().map(|(format, _)| (*format, files.emission)),
        early_stop: !args.search.no_early_stop,
        keep_best: args.search.keep_best,
        calibrated: calibrated.as_ref(),
        replays: dump.as_ref().map(|dump| dump as ReplayTap<'_>),
        ..SearchOptions::new(&mut strategy)
    };
    let roles = CandidateRoles {
        data: &mut calibration,
        scorer: &mut scorer,
        goals: &mut goals,
        watcher: &mut watcher,
    };
    let result = result.run(chosen, roles, options)?;
    // The bar ends before the result is printed.
    watcher.progress = Box::new(());
    let further =
        Further { prepared: &prepared, float_bytes, elapsed: began.elapsed(), runtime: runtime.as_ref() };
    write_recipe(&recipe, files)?;
    write_report(args, &goals, &result, files, &watcher, &further)?;
    let code = verdict::report(args, &goals, &result.report, files);
    // Also where only the measurement at the end was interrupted.
    Ok(if code == ExitCode::SUCCESS && stop.is_cancelled() { ExitCode::INTERRUPTED } else { code })
}

impl Args {
    /// How the layers are timed, unless nothing is.
    fn profiling(&self, settings: &Settings) -> Option<LayerProfiling> {
        let threads = usize::from(self.speed.threads);
        (!self.speed.no_bench).then_some(LayerProfiling { threads, limits: settings.limits })
    }

    /// How the configuration is made.
    fn config_choice(&self, settings: &Settings) -> anyhow::Result<ConfigChoice> {
        let (preparation, layers) = (&self.preparation, &self.layers);
        let mut without = preparation.without();
        without.equalize |= self.is_for_amct();
        let given = layers.config.as_deref().map(load_config).transpose()?;
        if self.is_for_amct()
            && !preparation.no_equalize
            && given.as_ref().is_none_or(|config| config.equalize)
        {
            print_message(
                "cross-layer equalization is off: the record for AMCT holds scales of the model's own weights",
            );
        }
        Ok(ConfigChoice {
            given,
            without,
            selection: layers.selection.selection(),
            reduce_range: layers.reduce_range.clone(),
            prefer: settings.prefer,
            target: settings.target,
        })
    }
}

/// Prints which floats of the original are f32 in the prepared model.
fn print_conversion(model: &Model, prepared: &Prepared) {
    let left = other_floats_of_layers(prepared.model());
    let converted: Vec<String> =
        other_floats_of_layers(model).difference(&left).map(ToString::to_string).collect();
    if !converted.is_empty() {
        let dtypes = converted.join(" and ");
        print_message(&format!(
            "the network computes in {dtypes}; it is quantized and written in f32, with inputs and outputs of their own types"
        ));
    }
}

/// What a report has besides the result of the search.
#[derive(Clone, Copy)]
struct Further<'a> {
    prepared: &'a Prepared,
    /// The size of the original.
    float_bytes: u64,
    /// The time of the run.
    elapsed: Duration,
    runtime: Option<&'a ChosenRuntime>,
}

/// Prints and writes the report.
fn write_report(
    args: &Args,
    goals: &Goals,
    result: &CandidateResult,
    files: &OutputFiles,
    watcher: &Watcher,
    further: &Further<'_>,
) -> anyhow::Result<()> {
    let report = &result.report;
    let Further { prepared, float_bytes, elapsed, runtime } = *further;
    let confidence = goals.confidence.unwrap_or_default();
    let facts = report_facts::facts(args, files, (float_bytes, elapsed), runtime);
    let WrittenReport { json, sizes } = result.write_report(goals, files, watcher, &facts)?;
    goals.warnings(&report.original).iter().for_each(|warning| print_result(&format!("warning: {warning}")));
    let headline = Headline { goals, prepared, result, files, sizes: &sizes, float_bytes };
    headline.lines().iter().for_each(|line| print_result(line));
    print_line("");
    table::print(&goals.goals, confidence, report, files, float_bytes, elapsed);
    table::runtime_lines(runtime, report).iter().for_each(|line| print_line(line));
    result.latency.iter().for_each(|latency| print_line(&latency.line()));
    if let Some(path) = &args.output.json {
        intact8::write_file(path, (serde_json::to_string_pretty(&json)? + "\n").as_bytes())?;
    }
    for size in &sizes {
        let warn = |warning: &String| print_message(&format!("warning: {}: {warning}", size.path.display()));
        size.warning.iter().for_each(warn);
    }
    print_files(files);
    Ok(())
}

/// Writes the recipe of the run, unless a file with the same options is there, such as the recipe that was read.
fn write_recipe(recipe: &WrittenRecipe, files: &OutputFiles) -> intact8::Result<()> {
    if recipe.is_that_of(&files.recipe) {
        return Ok(());
    }
    intact8::write_file(&files.recipe, recipe.text(&files.recipe).as_bytes())
}

/// Prints the written files, each with its purpose.
fn print_files(files: &OutputFiles) {
    print_line("");
    let mut table = table::plain(["files"].map(str::to_owned).to_vec());
    for (path, purpose) in files.purposes().into_iter().filter(|(path, _)| path.exists()) {
        table.add_row([path.display().to_string(), purpose]);
    }
    print_line(&table.to_string());
}
