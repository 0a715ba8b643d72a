//! The options for the written files: their folder and prefix, and whether files of others are replaced.

use crate::files::check_writable;
use anyhow::bail;
use intact8::OutputFiles;
use std::path::{Path, PathBuf};

/// Where results are written.
#[derive(clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct SaveArgs {
    /// Folder and prefix of the written files; default: the name of the model in the current folder
    #[arg(short = 'o', long = "output", visible_alias = "save", value_name = "DIR/prefix")]
    save: Option<PathBuf>,
    /// Replace files that are not the result of an earlier run on this model
    #[arg(long)]
    force: bool,
}

impl SaveArgs {
    /// The folder and prefix for a model.
    pub(crate) fn path(&self, model: &Path) -> PathBuf {
        self.save.clone().unwrap_or_else(|| model.file_stem().unwrap_or_default().into())
    }

    /// Checks that the files can be written, and replace nothing but results of earlier runs on the same model.
    pub(crate) fn check(&self, files: &OutputFiles, model: &Path) -> anyhow::Result<()> {
        check_writable(&files.report)?;
        if self.force {
            return Ok(());
        }
        if let Some(path) = files.are_of_others() {
            bail!(
                "{}: exists, and is not the result of an earlier run; choose another prefix with -o, or replace it with --force",
                path.display()
            );
        }
        let Some(earlier) = model_of(files) else { return Ok(()) };
        // A model that was moved or removed can't be compared.
        let (Ok(found), Ok(expected)) = (Path::new(&earlier).canonicalize(), model.canonicalize()) else {
            return Ok(());
        };
        if found == expected {
            return Ok(());
        }
        bail!(
            "{}: is the result of another model, {earlier}; choose another prefix with -o, or replace it with --force",
            if files.report.exists() { &files.report } else { &files.recipe }.display()
        )
    }
}

/// The model of the report, or of the options of a run without one.
fn model_of(files: &OutputFiles) -> Option<String> {
    if let Ok(text) = std::fs::read_to_string(&files.report) {
        let report: serde_json::Value = serde_json::from_str(&text).ok()?;
        return report["model"].as_str().map(str::to_owned);
    }
    let options: toml::Table = std::fs::read_to_string(&files.recipe).ok()?.parse().ok()?;
    let of_sections = options.values().filter_map(toml::Value::as_table);
    let model =
        std::iter::once(&options).chain(of_sections).find_map(|section| section.get("model")?.as_str());
    model.map(str::to_owned)
}
