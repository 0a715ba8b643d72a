//! The roles of a search: the calibration data, the scorer and the goals, from the options of the command line.

use super::Args;
use super::settings::Settings;
use crate::cli::{print_message, print_notes, print_variety};
use anyhow::Context;
use intact8::data::{DataSet, Feed};
use intact8::ir::Type;
use intact8::{
    AnyScorer, ChosenRuntime, CommandScorer, Goal, Goals, Interpreter, Model, OriginalModel, ScoreTask, Stop,
    VerifiedScorer, WorkerFolder, model_sha256,
};
use std::path::Path;
use std::sync::Arc;

/// The calibration data, the scorer and the judge.
pub(super) fn roles(
    args: &Args,
    settings: &Settings,
    model: &Model,
    interpreter: &Arc<Interpreter>,
    runtime: Option<&ChosenRuntime>,
    stop: &Stop,
) -> anyhow::Result<(Feed, AnyScorer, Goals)> {
    // What can't be run is reported before any data are read.
    let original = match args.accuracy.eval_cmd {
        Some(_) => None,
        None => Some(OriginalModel::new(interpreter.clone(), model)),
    };
    let original = original.transpose().with_context(|| args.model.display().to_string())?;
    let (feeding, limits) = (args.data.feeding.feeding()?, settings.limits);
    let fed = |path: &Path| -> intact8::Result<(DataSet, Feed)> {
        let data = DataSet::read_for(path, model, &feeding)?;
        let feed = data.feed(model, &feeding)?;
        feed.check_memory(limits.memory)?;
        Ok((data, feed))
    };
    let eval = || args.data.eval.as_deref().map(fed).transpose();
    let (calibration, eval) = rayon::join(|| fed(&args.data.calib), eval);
    let ((_, calibration), eval) = (calibration?, eval?);
    let feeds: Vec<&Feed> = std::iter::once(&calibration).chain(eval.iter().map(|(_, feed)| feed)).collect();
    print_notes(&feeds)?;
    print_variety(&calibration)?;
    // Those of the calibration data are in the line of their range.
    eval.iter().flat_map(|(_, feed)| feed.casts()).for_each(|line| print_message(&line));
    let (scorer, goals): (AnyScorer, Vec<Goal>) = match (&args.accuracy.eval_cmd, eval) {
        (Some(command), _) => {
            let mut scorer = CommandScorer::parse(command)?;
            (scorer.timeout, scorer.is_persistent, scorer.stop) =
                (settings.eval_timeout, args.accuracy.eval_stays, stop.clone());
            scorer.simulation = args.accuracy.eval_simulation;
            (Box::new(scorer), vec![Goal::drop_of("metric", settings.max_drop)])
        }
        (None, Some((data, evaluation))) => {
            print_unscored(model);
            let (metrics, goals): (Vec<_>, Vec<Goal>) = settings.metrics.iter().cloned().unzip();
            let original = original.context("the original is compiled where data are scored")?;
            let sources = ((original, model), (evaluation, &data));
            let remark = Box::new(print_message);
            let mut scorer =
                VerifiedScorer::of_data(sources.0, sources.1, &metrics, &goals, runtime, remark)?;
            if let Some(folder) = &args.search.workers {
                let hash = model_sha256(&args.model, model)?;
                let task = ScoreTask::new(vec![hash], &metrics, (&scorer.scorer, &data), None)?;
                scorer.scorer.workers = Some(WorkerFolder::begin(folder, &task)?);
            }
            (Box::new(scorer), goals)
        }
        (None, None) => unreachable!("the combination of options is checked"),
    };
    Ok((
        calibration,
        scorer,
        Goals { goals, confidence: settings.confidence, allow_chance: args.accuracy.allow_chance },
    ))
}

/// Prints the outputs that no metric can use, because they are no tensors.
fn print_unscored(model: &Model) {
    for &output in model.main().outputs() {
        let output = model.main().value(output);
        if let Some(ty) = output.ty.as_ref().filter(|ty| !matches!(ty, Type::Tensor(_))) {
            print_message(&format!("output {:?}: is {ty}, and is left out of the scores", output.name));
        }
    }
}
