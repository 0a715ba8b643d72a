//! The messages at the end of a search: missed goals, an evaluator that is not reproducible, and the command that continues.

use super::{Args, again};
use crate::cli::ExitCode;
use crate::cli::print_message;
use intact8::search::{Ending, Rescored};
use intact8::{Goal, Goals, OutputFiles, Report, Score, Target};

/// Prints the messages and returns the exit code.
pub(super) fn report(args: &Args, goals: &Goals, report: &Report<Score>, files: &OutputFiles) -> ExitCode {
    if args.accuracy.eval_cmd.is_some() {
        let scored_first = if args.accuracy.eval_simulation { "fake-quant" } else { "deploy" };
        variation(report, files, scored_first);
    }
    simulation_missed(goals, report, files);
    let mut code = ExitCode::SUCCESS;
    if !report.is_met() {
        missed(goals, report, files);
        code = ExitCode::TARGET_MISSED;
    }
    if report.ending == Ending::Interrupted {
        code = ExitCode::INTERRUPTED;
    }
    if let Some(failure) = &report.failure {
        print_message(&format!("error: {failure}"));
        code = ExitCode::ERROR;
    }
    if report.failure.is_some() || !matches!(report.ending, Ending::AllQuantized | Ending::Finished) {
        print_message(&format!("to continue, run: {}", again::resumed(args, report)));
    } else if report.best().is_none() && !args.search.keep_best {
        print_message(&format!(
            "to write the closest model anyway, run: {}",
            again::with(&["--resume", "--keep-best"])
        ));
    }
    code
}

/// Prints a message if the command printed different numbers for the same model, as a trial and as a file.
fn variation(report: &Report<Score>, files: &OutputFiles, name: &str) {
    let trial = report.outcome.as_ref().map(|outcome| &outcome.score);
    let file = report.rescored.iter().find(|saved| saved.name == name).map(|saved| &saved.score);
    let (Some(trial), Some(file)) = (trial.filter(|trial| trial.stopped_after.is_none()), file) else {
        return;
    };
    if let Some((before, after)) =
        trial.values.iter().zip(&file.values).find(|(before, after)| before != after)
    {
        print_message(&format!(
            "{}: scores {after} when it is read back, and scored {before} as a trial; the evaluator varies by {:.6}, and \
             verdicts are not more precise than that",
            files.file_of(name).display(),
            (before - after).abs()
        ));
    }
}

/// Prints a remark if the fake-quant model misses the target, which no runtime is meant to run.
fn simulation_missed(goals: &Goals, report: &Report<Score>, files: &OutputFiles) {
    let is_missing = |saved: &&Rescored<Score>| saved.is_fake_quant() && !saved.verdict.satisfied;
    let has_deployed = report.rescored.iter().any(|saved| !saved.is_fake_quant());
    for saved in report.rescored.iter().filter(is_missing).filter(|_| has_deployed && report.is_met()) {
        print_message(&format!(
            "{}: misses the target, {} ({}); the deploy model meets it, and is the one that runs",
            files.file_of(&saved.name).display(),
            missed_by(goals, saved),
            targets(goals)
        ));
    }
}

fn targets(goals: &Goals) -> String {
    let targets: Vec<String> = goals.goals.iter().map(Goal::shown).collect();
    match goals.confidence {
        Some(confidence) => format!("target {} at {} confidence", targets.join(", "), confidence.shown()),
        None => format!("target {}", targets.join(", ")),
    }
}

/// The result of a saved model that misses the target.
fn missed_by(goals: &Goals, saved: &Rescored<Score>) -> String {
    let values = goals.goals.iter().zip(&saved.score.values);
    let mut missed = values.filter(|(goal, value)| !goal.judge(**value, **value).satisfied);
    match missed.next() {
        Some((goal, &value)) => format!("with {} {}", goal.name, goal.value_shown(value)),
        None => format!("with a loss of {:.6}", saved.verdict.loss),
    }
}

/// Prints by how much the target is missed.
fn missed(goals: &Goals, report: &Report<Score>, files: &OutputFiles) {
    let targets = targets(goals);
    if report.best().is_some() {
        let deployed = report.rescored.iter().filter(|saved| !saved.is_fake_quant());
        for saved in deployed.filter(|saved| !saved.verdict.satisfied) {
            let (path, result) = (files.file_of(&saved.name), missed_by(goals, saved));
            print_message(&format!(
                "{}: misses the target when it is read back, {result} ({targets}), and as a trial it met it; make the evaluator \
                 reproducible, or set a stricter target",
                path.display(),
            ));
        }
        return;
    }
    let (trial, score) = (&report.history[report.closest], &report.scores[report.closest]);
    let about = if score.stopped_after.is_some() { "about " } else { "" };
    let result = match missed_bound(goals, report) {
        Some((goal, value)) => format!("{} is {about}{} at best", goal.name, goal.value_shown(value)),
        None => format!("the loss is {about}{:.6}", trial.verdict.loss),
    };
    let has_finished = report.ending == Ending::Finished && report.failure.is_none();
    print_message(&format!(
        "no quantization {} the target: with {} of {} layers rolled back {result} ({targets}); see {}",
        if has_finished { "meets" } else { "tried so far meets" },
        trial.rolled_back.len(),
        report.layers.len(),
        files.history.display(),
    ));
}

/// The first goal that the closest trial misses, with the trial's metric, if the goal is a bound.
fn missed_bound<'a>(goals: &'a Goals, report: &Report<Score>) -> Option<(&'a Goal, f64)> {
    let (original, closest) = (&report.original.values, report.scores[report.closest].estimates());
    let mut metrics = goals.goals.iter().zip(original.iter().zip(closest));
    let (goal, (_, &value)) =
        metrics.find(|(goal, (original, value))| !goal.judge(**original, **value).satisfied)?;
    matches!(goal.target, Target::Bound(_)).then_some((goal, value))
}
