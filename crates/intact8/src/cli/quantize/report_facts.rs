//! What the report states of the command line: data, settings and the words that were typed.

use super::{Args, Further, again};
use intact8::data::data_files;
use intact8::{OutputFiles, RunFacts};
use serde_json::{Value, json};
use std::path::PathBuf;

pub(super) fn facts<'a>(args: &'a Args, files: &OutputFiles, further: &Further<'a>) -> RunFacts<'a> {
    RunFacts {
        model: Some(&args.model),
        original_bytes: further.float_bytes,
        runtime: further.runtime.map(|runtime| runtime.loaded.name()),
        data: data(args),
        settings: settings(args, files),
        command: Some(again::with(&[])),
        elapsed: further.elapsed,
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

fn settings(args: &Args, files: &OutputFiles) -> Vec<(&'static str, Value)> {
    let formats: Vec<&str> = files.deploy.iter().map(|(format, _)| format.name()).collect();
    let selection = args.layers.selection.selection();
    vec![
        ("target", json!(files.emission.target.name)),
        ("deploy", json!(formats)),
        ("prefer", json!(args.speed.prefer)),
        ("strategy", json!(args.search.strategy)),
        ("sensitivity", json!(args.search.sensitivity)),
        ("ladder", json!(args.rungs())),
        ("confidence", json!(args.accuracy.confidence)),
        ("max_trials", json!(args.search.max_trials)),
        ("time_budget", json!(args.search.time_budget)),
        ("early_stop", json!(!args.search.no_early_stop)),
        ("skip", json!(selection.skip)),
        ("only", json!(selection.only)),
        ("skip_types", json!(selection.skip_types)),
        ("threads", json!(args.speed.threads)),
    ]
}
