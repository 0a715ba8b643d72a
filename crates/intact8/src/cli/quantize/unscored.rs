//! `intact8 quantize --no-eval`: calibration, files and the reports, without any scoring. The placement of int8 is
//! measured all the same.

use super::given_calibration::GivenCalibration;
use super::settings::Settings;
use super::{Args, latency, print_conversion, print_files, report_facts, write_recipe};
use crate::cli::ExitCode;
use crate::cli::WrittenRecipe;
use crate::cli::interrupt::stop_on_interrupt;
use crate::cli::messages::ProgressKind;
use crate::cli::progress::Terminal;
use crate::cli::{print_contradictions, print_line, print_message, print_notes, print_result, print_variety};
use anyhow::Context;
use intact8::data::DataSet;
use intact8::quant::deploy::check_is_float;
use intact8::{
    Candidates, FloatModel, Interpreter, Stop, UnscoredRun, Watcher, calibrate_and_save, model_bytes,
    prepare, save_calibrated,
};
use std::time::Instant;

pub(super) fn run(args: &Args, progress: ProgressKind, recipe: &WrittenRecipe) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let settings = Settings::of(args)?;
    let files = &settings.files;
    args.output.save.check(files, &args.model)?;
    let model = args.load.model(&args.model)?;
    check_is_float(&model)?;
    print_contradictions(&args.model, &model)?;
    let feeding = args.data.feeding.feeding()?;
    let mut calibration = DataSet::read_for(&args.data.calib, &model, &feeding)?.feed(&model, &feeding)?;
    calibration.check_memory(settings.limits.memory)?;
    print_notes(&[&calibration])?;
    print_variety(&calibration)?;
    calibration.casts().iter().for_each(|line| print_message(line));
    let mut choice = args.config_choice(&settings)?;
    let mut given = GivenCalibration::of(args, &model, &calibration, &mut choice)?;
    let stop = Stop::at(None);
    stop_on_interrupt(&stop);
    let mut watcher = Watcher::new(stop);
    watcher.progress = Box::new(Terminal::new(progress, args.messages.verbose));
    watcher.progress.begin("preparing the model");
    let prepared = prepare(&model, &choice.preparation(), &mut watcher)?;
    print_conversion(&model, &prepared);
    let interpreter = Interpreter::with_limits(settings.limits);
    let float = FloatModel::new(&prepared, &interpreter);
    let memory = given.as_ref().map_or(settings.calibration_memory, GivenCalibration::memory);
    let float = float.with_context(|| args.model.display().to_string())?.with_memory(memory);
    let runtime = args.speed.runtime.for_target(settings.target)?;
    let meter = latency::meter(args, runtime.as_ref(), &watcher.stop);
    let calibrated = given.as_mut().map(|given| given.calibrated(&float, &mut calibration, &mut watcher));
    let calibrated = calibrated.transpose()?;
    let progress = &mut *watcher.progress;
    let mut candidates = match &given {
        Some(given) => Candidates::calibrated(given.config.clone()),
        None => Candidates::new(&choice, &float, &mut calibration, meter.as_ref(), progress)?,
    };
    if given.is_none() {
        candidates.add_profiled(
            &choice,
            (&model, &float),
            files,
            (&mut calibration, meter.as_ref()),
            progress,
        );
    }
    let chosen = candidates.fastest(meter.as_ref(), (&model, &float), files, &calibration, progress);
    let (config, restrictions) = &candidates.configs[chosen];
    watcher.progress.notes(restrictions);
    let _lock = files.lock()?;
    let result = match calibrated {
        Some(calibrated) => save_calibrated(&float, &model, config, calibrated, files)?,
        None => calibrate_and_save(&float, &model, config, &mut calibration, &mut watcher, files)?,
    };
    write_recipe(recipe, files)?;
    let original = (&model, Some(args.model.as_path()));
    let latency = meter.map(|meter| meter.compare(original, files, &calibration));
    let profiling = args.profiling(&settings);
    let run = UnscoredRun {
        float: &float,
        original: &model,
        result: &result,
        restrictions,
        profiling,
        latency: latency.as_ref().and_then(|latency| latency.as_ref().ok()),
    };
    let of_run = (model_bytes(&args.model, &model), began.elapsed());
    let facts = report_facts::facts(args, files, of_run, runtime.as_ref());
    run.write_report(&mut calibration, files, &mut watcher, &facts)?;
    watcher.progress = Box::new(());
    let is_slower = match latency {
        Some(Ok(latency)) => {
            print_line(&latency.line());
            latency.is_slower()
        }
        Some(Err(error)) => {
            print_message(&format!("warning: the latency is not measured: {error}"));
            false
        }
        None => false,
    };
    match is_slower {
        true => {
            print_message("warning: the quantized model is slower than the original");
            print_result(&format!(
                "ship: {}, the original: the quantized model is slower",
                args.model.display()
            ));
        }
        false => print_result(&format!("ship: {}", files.first_deploy().display())),
    }
    print_line("nothing was scored; `intact8 compare` shows the error of each value");
    print_files(files);
    Ok(ExitCode::SUCCESS)
}
