//! What the report states of the command line: data, settings and the words that were typed.

use super::{Args, again};
use intact8::data::data_files;
use intact8::{ChosenRuntime, OutputFiles, RunFacts};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// The facts of a run that took some time; `float_bytes` is the size of the original.
pub(super) fn facts<'a>(
    args: &'a Args,
    files: &OutputFiles,
    (float_bytes, elapsed): (u64, Duration),
    runtime: Option<&ChosenRuntime>,
) -> RunFacts<'a> {
    RunFacts {
        model: Some(&args.model),
        original_bytes: float_bytes,
        runtime: runtime.map(|runtime| runtime.loaded.name()),
        data: data(args),
        settings: if args.accuracy.no_eval { unscored(args, files) } else { settings(args, files) },
        command: Some(again::with(&[])),
        elapsed,
    }
}

fn data(args: &Args) -> Vec<(&'static str, PathBuf)> {
    let given = [("calibration", Some(&args.data.calib)), ("evaluation", args.data.eval.as_ref())];
    let paths = given.into_iter().filter_map(|(what, path)| Some((what, path?)));
    // The data have been read, so that their files are known. Of a table of images only the table is named.
    let files = paths.flat_map(|(what, path)| {
        let files = data_files(path).unwrap_or_default();
        let is_table = files.first() == Some(path);
        files.into_iter().take(if is_table { 1 } else { usize::MAX }).map(move |file| (what, file))
    });
    files.collect()
}

/// The settings that a run without a score has too.
fn unscored(args: &Args, files: &OutputFiles) -> Vec<(&'static str, Value)> {
    let formats: Vec<&str> = files.deploy.iter().map(|(format, _)| format.name()).collect();
    let selection = args.layers.selection.selection();
    vec![
        ("target", json!(files.emission.target.name)),
        ("deploy", json!(formats)),
        ("prefer", json!(args.speed.prefer)),
        ("skip", json!(selection.skip)),
        ("only", json!(selection.only)),
        ("skip_types", json!(selection.skip_types)),
        ("threads", json!(args.speed.threads)),
    ]
}

fn settings(args: &Args, files: &OutputFiles) -> Vec<(&'static str, Value)> {
    let mut settings = unscored(args, files);
    settings.extend([
        ("strategy", json!(args.search.strategy)),
        ("sensitivity", json!(args.search.sensitivity)),
        ("ladder", json!(args.rungs())),
        ("confidence", json!(args.accuracy.confidence)),
        ("max_trials", json!(args.search.max_trials)),
        ("time_budget", json!(args.search.time_budget)),
        ("early_stop", json!(!args.search.no_early_stop)),
    ]);
    settings
}
