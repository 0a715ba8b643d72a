//! The paths of the results of a search or a conversion. The names are in `docs/files.md`; this writes nothing.

use crate::files::folder_of;
use crate::save_lock::{SaveLock, hidden};
use crate::temporary::remove_leftovers;
use intact8_ir::Result;
use intact8_quant::{DeployFormat, Emission};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The paths of the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFiles {
    /// The fake-quant model.
    pub fake_quant: PathBuf,
    /// The deploy models, each with its format.
    pub deploy: Vec<(DeployFormat, PathBuf)>,
    /// The options of the deploy models.
    pub emission: Emission,
    /// The map of the nodes of the written models to the nodes of the original.
    pub map: PathBuf,
    /// The configuration with the rolled-back layers disabled.
    pub final_config: PathBuf,
    /// The record: scales and zero points.
    pub record: PathBuf,
    /// The part of the record that AMCT reads, if it is to be written.
    pub amct_record: Option<PathBuf>,
    /// The configuration of the closest trial, if no trial meets the target.
    pub closest_config: PathBuf,
    /// The ranking of the layers, the most sensitive first.
    pub ranking: PathBuf,
    /// The trials.
    pub history: PathBuf,
    /// The report of the search, which the command and the Python package write.
    pub report: PathBuf,
    /// The same as a page to read.
    pub html_report: PathBuf,
    /// The journal of scores; only the command writes it.
    pub journal: PathBuf,
    /// The options of the run; only the command writes it.
    pub recipe: PathBuf,
    /// Whether the written models are read back and scored.
    pub rescored: bool,
    /// The beginning of the names of most files.
    prefix: OsString,
}

/// The name of the record after the prefix.
const RECORD: &str = "scale_offset_record.txt";

/// The folder of a save path, and the prefix with a `_`; if the path ends in a separator there is no prefix.
fn folder_and_prefix(save_path: &Path) -> (&Path, OsString) {
    let last = save_path.as_os_str().as_encoded_bytes().last();
    let name =
        save_path.file_name().filter(|_| !last.is_some_and(|&byte| std::path::is_separator(byte.into())));
    match name {
        Some(name) => (save_path.parent().unwrap_or(Path::new("")), prefixed(name, "_")),
        None => (save_path, OsString::new()),
    }
}

fn prefixed(prefix: &OsStr, name: &str) -> OsString {
    let mut prefixed = prefix.to_owned();
    prefixed.push(name);
    prefixed
}

impl OutputFiles {
    /// The files of a save path with the names of AMCT, of which some have no prefix. A save path is a folder and a prefix, such as
    /// `out/resnet`; if it ends in a path separator there is no prefix.
    pub fn with_amct_names(save_path: &Path, record_file: &Path) -> OutputFiles {
        let (folder, prefix) = folder_and_prefix(save_path);
        let named = |name: &str| folder.join(prefixed(&prefix, name));
        let report = |what: &str| folder.join(format!("accuracy_based_auto_calibration_{what}.json"));
        OutputFiles {
            fake_quant: named("fake_quant_model.onnx"),
            deploy: vec![(DeployFormat::ALL[0], named("deploy_model.onnx"))],
            emission: Emission::default(),
            map: named("quant.json"),
            final_config: report("final_config"),
            record: record_file.to_owned(),
            amct_record: None,
            closest_config: report("closest_config"),
            ranking: report("ranking_information"),
            history: report("record"),
            report: named("report.json"),
            html_report: named("report.html"),
            journal: named("journal.jsonl"),
            recipe: named("intact8.toml"),
            rescored: true,
            prefix,
        }
    }

    /// The files of a save path, all of them with the prefix.
    pub fn new(save_path: &Path) -> OutputFiles {
        let (folder, prefix) = folder_and_prefix(save_path);
        let named = |name: &str| folder.join(prefixed(&prefix, name));
        OutputFiles {
            final_config: named("final_config.json"),
            closest_config: named("closest_config.json"),
            ranking: named("ranking.json"),
            history: named("history.json"),
            ..OutputFiles::with_amct_names(save_path, &named(RECORD))
        }
    }

    /// Whether files of these names are there, but nothing that shows that an earlier run has written them.
    pub fn are_of_others(&self) -> Option<&Path> {
        let own = [&*self.report, &*self.journal, &*self.map, &hidden(&self.lock_name())];
        let is_own = own.iter().any(|file| file.exists());
        self.all().into_iter().chain([&*self.recipe]).find(|file| file.exists() && !is_own)
    }

    /// The same files with other deploy formats and options; the first deploy model has the name without a format.
    #[must_use]
    pub fn deployed(mut self, emission: Emission, formats: &[DeployFormat]) -> OutputFiles {
        let name = |idx: usize, format: &DeployFormat| match idx {
            0 => "deploy_model.onnx".to_owned(),
            _ => format!("deploy_{}_model.onnx", format.name()),
        };
        let path = |idx, format| self.report.with_file_name(prefixed(&self.prefix, &name(idx, format)));
        self.deploy = formats.iter().enumerate().map(|(idx, format)| (*format, path(idx, format))).collect();
        self.emission = emission;
        self
    }

    /// The same files with the record for AMCT under the name of the record, and the whole record beside it.
    #[must_use]
    pub fn with_amct_record(mut self) -> OutputFiles {
        let is_beside = self.record == self.report.with_file_name(prefixed(&self.prefix, RECORD));
        let whole = match (is_beside, self.record.file_name()) {
            (false, Some(name)) => self.record.with_file_name(prefixed(name, ".intact8")),
            _ => self.report.with_file_name(prefixed(&self.prefix, "intact8_record.txt")),
        };
        self.amct_record = Some(std::mem::replace(&mut self.record, whole));
        self
    }

    /// Locks the files for this process, and creates their folder.
    ///
    /// # Errors
    /// If another process has locked them, or the folder can't be written to.
    pub fn lock(&self) -> Result<SaveLock> {
        SaveLock::acquire(&self.lock_name())
    }

    fn lock_name(&self) -> PathBuf {
        self.report.with_file_name(prefixed(&self.prefix, "lock"))
    }

    /// Removes the temporary files that a killed run has left beside these files, and its temporary folders.
    pub fn remove_leftovers(&self) {
        remove_leftovers(folder_of(&self.report));
        remove_leftovers(&std::env::temp_dir());
    }

    /// The deploy model in the first format.
    pub fn first_deploy(&self) -> &Path {
        self.deploy.first().map_or(Path::new(""), |(_, path)| path)
    }

    /// The models that are read back and scored: the name in [`Report::rescored`](crate::Report::rescored), the file, and the deploy
    /// format, which is `None` for the fake-quant model.
    pub fn scored(&self) -> Vec<(String, &Path, Option<DeployFormat>)> {
        let name = |idx, format: &DeployFormat| match idx {
            0 => "deploy".to_owned(),
            _ => format!("deploy_{}", format.name()),
        };
        let deploy = self.deploy.iter().enumerate();
        let deploy = deploy.map(|(idx, (format, path))| (name(idx, format), &**path, Some(*format)));
        std::iter::once(("fake-quant".to_owned(), &*self.fake_quant, None)).chain(deploy).collect()
    }

    /// The file of the model with a name of [`scored`](OutputFiles::scored); empty if there is none.
    pub fn file_of(&self, name: &str) -> &Path {
        self.scored().into_iter().find(|(of, ..)| of == name).map_or(Path::new(""), |(_, path, _)| path)
    }

    /// The files that exist only if there is an outcome.
    pub(crate) fn models(&self) -> Vec<&Path> {
        let mut models = vec![&*self.fake_quant];
        models.extend(self.deploy.iter().map(|(_, path)| &**path));
        models.extend([&*self.map, &*self.final_config, &*self.record]);
        models.extend(self.amct_record.as_deref());
        models
    }

    /// The files that [`quantize_and_save`](crate::quantize_and_save) writes if there is an outcome, in that order.
    pub fn all(&self) -> Vec<&Path> {
        let mut all = vec![&*self.ranking, &*self.history];
        all.extend(self.models());
        all
    }

    /// The purpose of each file, in the order of their use: what runs first, and the simulation last.
    pub fn purposes(&self) -> Vec<(&Path, String)> {
        let target = self.emission.target.name;
        let deploy = self.deploy.iter();
        let deploy = deploy.map(|(format, path)| (&**path, format!("runs in {target} ({})", format.name())));
        let others = [
            (&self.html_report, "the result on one page, for a browser"),
            (&self.report, "everything about the run"),
            (&self.final_config, "the configuration of the result, for --config"),
            (&self.closest_config, "the configuration of the closest trial, for --config"),
            (&self.record, "scales and zero points"),
            (&self.map, "the original nodes of each node of the models"),
            (&self.ranking, "the sensitivity of each layer"),
            (&self.history, "the trials"),
            (&self.journal, "the scores, for --resume"),
            (&self.recipe, "the options of this run, for --recipe"),
            (&self.fake_quant, "the simulation in float, for inspection only"),
        ];
        let amct = self.amct_record.as_deref().map(|path| (path, "scales and offsets, for AMCT".to_owned()));
        let others = others.into_iter().map(|(path, purpose)| (&**path, purpose.to_owned()));
        deploy.chain(amct).chain(others).collect()
    }

    /// The files of a run that are there, and the reports, which are written last.
    pub fn written(&self) -> Vec<&Path> {
        let reports = [&*self.report, &*self.html_report];
        let others = [&*self.journal, &*self.recipe];
        let all = self.all().into_iter().chain([&*self.closest_config]).chain(reports).chain(others);
        all.filter(|path| path.exists() || reports.contains(path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_path_is_a_folder_and_a_prefix() {
        let of = |path: &str| OutputFiles::new(Path::new(path));
        let formats = [DeployFormat::Qdq, DeployFormat::QOperator];
        let files = of("out/m").deployed(Emission::default(), &formats);
        let deploy: Vec<&Path> = files.deploy.iter().map(|(_, path)| &**path).collect();
        assert_eq!(
            deploy,
            [Path::new("out/m_deploy_model.onnx"), Path::new("out/m_deploy_qoperator_model.onnx")]
        );
        assert_eq!(files.record, Path::new("out/m_scale_offset_record.txt"));
        assert_eq!(of("out/").report, Path::new("out/report.json"));
        assert_eq!(of("m").fake_quant, Path::new("m_fake_quant_model.onnx"));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_unicode_stay() {
        use std::os::unix::ffi::OsStrExt;
        let files = OutputFiles::new(Path::new(OsStr::from_bytes(b"out/m\xff")));
        let files = files.deployed(Emission::default(), &[DeployFormat::Qdq]);
        for (path, name) in
            [(&files.record, "scale_offset_record.txt"), (&files.deploy[0].1, "deploy_model.onnx")]
        {
            assert_eq!(path.as_os_str().as_bytes(), [b"out/m\xff_", name.as_bytes()].concat());
        }
    }
}
