//! The main facts of a report as properties of the written ONNX files (`metadata_props`), under keys that begin with `intact8.`.
//!
//! They are appended to files that are complete and scored, and the same run writes the same bytes: no times are among them.

use crate::file_hash::file_sha256;
use crate::files::write_with;
use crate::goal::Goal;
use crate::output_files::OutputFiles;
use crate::scorer::Score;
use intact8_ir::{Error, Result};
use intact8_onnx::appended_metadata;
use intact8_quant::LayerCounts;
use intact8_search::{Report, Rescored};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// Adds the facts to each model file that was scored. `original` is the file of the original, if it has one.
///
/// # Errors
/// If a file can't be read or written.
pub(crate) fn add_properties(
    report: &Report<Score>,
    goals: &[Goal],
    original: Option<&Path>,
    files: &OutputFiles,
) -> Result<()> {
    let Some(outcome) = &report.outcome else { return Ok(()) };
    let mut shared = BTreeMap::from([("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    // The original may be gone by now; that ends no run.
    let hash = original.and_then(|path| file_sha256(path).ok());
    shared.extend(hash.map(|hash| ("original.sha256".to_owned(), hash)));
    let LayerCounts { int8, int16, weights_only, float } = outcome.arithmetic.counts();
    for (name, count) in [("int8", int8), ("int16", int16), ("weights_only", weights_only), ("float", float)]
    {
        shared.insert(format!("layers.{name}"), count.to_string());
    }
    for saved in &report.rescored {
        let mut properties = shared.clone();
        properties.extend(scores(report, goals, saved));
        let properties = properties.into_iter().map(|(key, value)| (format!("intact8.{key}"), value));
        append(files.file_of(&saved.name), &appended_metadata(&properties.collect())?)?;
    }
    Ok(())
}

/// The verdict on a saved model, and its metrics beside those of the original.
fn scores(report: &Report<Score>, goals: &[Goal], saved: &Rescored<Score>) -> Vec<(String, String)> {
    let verdict = if saved.verdict.satisfied { "met" } else { "missed" };
    let mut found = vec![("verdict".to_owned(), verdict.to_owned())];
    for (idx, goal) in goals.iter().enumerate() {
        let of = |what: &str| format!("{what}.{}", goal.name);
        found.push((of("target"), goal.shown()));
        found.push((of("metric"), saved.score.values[idx].to_string()));
        found.push((of("original_metric"), report.original.values[idx].to_string()));
    }
    found
}

/// Appends bytes to a file, which is replaced as a whole.
fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::open(path).map_err(|error| Error::io(error).at(path.display()))?;
    write_with(path, |out| {
        std::io::copy(&mut file, out)?;
        out.write_all(bytes)
    })
}
