//! `intact8 quantize --no-eval`: calibration and files, without any scoring.

use super::settings::Settings;
use super::{Args, print_conversion, print_files};
use crate::cli::ExitCode;
use crate::cli::interrupt::stop_on_interrupt;
use crate::cli::messages::ProgressKind;
use crate::cli::progress::Terminal;
use crate::cli::{print_contradictions, print_line, print_notes};
use anyhow::Context;
use intact8::data::DataSet;
use intact8::quant::deploy::check_is_float;
use intact8::{FloatModel, Interpreter, Stop, Watcher, calibrate_and_save, prepare};

pub(super) fn run(args: &Args, progress: ProgressKind) -> anyhow::Result<ExitCode> {
    let settings = Settings::of(args)?;
    let files = &settings.files;
    args.output.save.check(files, &args.model)?;
    let model = args.load.model(&args.model)?;
    check_is_float(&model)?;
    print_contradictions(&args.model, &model)?;
    let mut calibration =
        DataSet::read_for(&args.data.calib, &model)?.feed(&model, &args.data.feeding.feeding())?;
    calibration.check_memory(settings.limits.memory)?;
    print_notes([&calibration]);
    let choice = args.config_choice(&settings)?;
    let stop = Stop::at(None);
    stop_on_interrupt(&stop);
    let mut watcher = Watcher::new(stop);
    watcher.progress = Box::new(Terminal::new(progress, args.messages.verbose));
    watcher.progress.begin("preparing the model");
    let prepared = prepare(&model, &choice.preparation(), &mut watcher)?;
    print_conversion(&model, &prepared);
    let interpreter = Interpreter::with_limits(settings.limits);
    let float = FloatModel::new(&prepared, &interpreter);
    let float =
        float.with_context(|| args.model.display().to_string())?.with_memory(settings.calibration_memory);
    let progress = &mut *watcher.progress;
    let (config, restrictions) = choice.complete(&float, choice.prefer, &mut calibration, progress)?;
    watcher.progress.notes(&restrictions);
    let _lock = files.lock()?;
    calibrate_and_save(&float, &model, &config, &mut calibration, &mut watcher, files)?;
    watcher.progress = Box::new(());
    print_line("nothing was scored; `intact8 compare` shows the error of each value");
    print_files(files);
    Ok(ExitCode::SUCCESS)
}
