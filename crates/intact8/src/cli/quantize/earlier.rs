//! The result of another model under the same prefix, which must not be lost.

use anyhow::bail;
use intact8::OutputFiles;
use std::path::Path;

/// Checks that the report under the prefix, if there is one, is not that of another model.
pub(super) fn check(files: &OutputFiles, model: &Path) -> anyhow::Result<()> {
    let Ok(text) = std::fs::read_to_string(&files.report) else { return Ok(()) };
    let report: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let Some(earlier) = report["model"].as_str() else { return Ok(()) };
    // A model that was moved or removed can't be compared.
    let (Ok(found), Ok(expected)) = (Path::new(earlier).canonicalize(), model.canonicalize()) else {
        return Ok(());
    };
    if found == expected {
        return Ok(());
    }
    bail!(
        "{}: is the report of another model, {earlier}; choose another prefix with --save, or remove the file",
        files.report.display()
    )
}
