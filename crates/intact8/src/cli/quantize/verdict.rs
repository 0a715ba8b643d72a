//! What the user must know when the search is over: whether the goals are met, whether the numbers can be trusted, and how
//! to go on.

use super::{Args, again};
use crate::cli::say_error;
use intact8::search::Ending;
use intact8::{Goal, Goals, OutputFiles, Report, Score};
use std::process::ExitCode;

/// What the exit code says when no model meets the target.
const TARGET_MISSED: u8 = 2;

/// Says it, and gives the exit code.
pub(super) fn say(args: &Args, goals: &Goals, report: &Report<Score>, files: &OutputFiles) -> ExitCode {
    if args.eval_cmd.is_some() {
        variation(report, files);
    }
    let mut code = ExitCode::SUCCESS;
    if !report.is_met() {
        missed(goals, report, files);
        code = ExitCode::from(TARGET_MISSED);
    }
    if let Some(failure) = &report.failure {
        say_error(&format!("error: {failure}"));
        code = ExitCode::from(1);
    }
    if report.failure.is_some() || !matches!(report.ending, Ending::AllQuantized | Ending::Finished) {
        say_error(&format!("to go on: {}", again::with(&["--resume"])));
    } else if report.best().is_none() && !args.keep_best {
        say_error(&format!(
            "to write the closest model anyway, run: {}",
            again::with(&["--resume", "--keep-best"])
        ));
    }
    code
}

/// A command must give the same numbers for the same model, as a trial and as a file.
fn variation(report: &Report<Score>, files: &OutputFiles) {
    let trial = report.outcome.as_ref().map(|outcome| &outcome.score);
    let file = report.rescored.iter().find(|saved| saved.name == "deploy").map(|saved| &saved.score);
    let (Some(trial), Some(file)) = (trial.filter(|trial| trial.stopped_after.is_none()), file) else {
        return;
    };
    if let Some((before, after)) =
        trial.values.iter().zip(&file.values).find(|(before, after)| before != after)
    {
        say_error(&format!(
            "{}: gives {after} when it is read back, and gave {before} as a trial; the evaluator is off by {:.6} from one \
             time to the next, and no verdict is finer than that",
            files.first_deploy().display(),
            (before - after).abs()
        ));
    }
}

/// Says by how much the target is missed, and by what.
fn missed(goals: &Goals, report: &Report<Score>, files: &OutputFiles) {
    let targets: Vec<String> = goals.goals.iter().map(Goal::shown).collect();
    let targets = match goals.confidence {
        Some(confidence) => format!("target {} at {} confidence", targets.join(", "), confidence.shown()),
        None => format!("target {}", targets.join(", ")),
    };
    if report.best().is_some() {
        for saved in report.rescored.iter().filter(|saved| !saved.verdict.satisfied) {
            let path = files.file_of(&saved.name);
            say_error(&format!(
                "{}: misses the target when it is read back, with a loss of {:.6} ({targets}); ask for a little more than you \
                 need",
                path.display(),
                saved.verdict.loss
            ));
        }
        return;
    }
    let (trial, score) = (&report.history[report.closest], &report.scores[report.closest]);
    let is_over = report.ending == Ending::Finished && report.failure.is_none();
    say_error(&format!(
        "no quantization {} the target: with {} of {} layers rolled back the loss is still {}{:.6} ({targets}); see {}",
        if is_over { "meets" } else { "tried so far meets" },
        trial.rolled_back.len(),
        report.layers.len(),
        if score.stopped_after.is_some() { "about " } else { "" },
        trial.verdict.loss,
        files.history.display(),
    ));
}
