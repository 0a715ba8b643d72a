//! The paths of the results of a search or a conversion. The names are in `docs/files.md`; this writes nothing.

use intact8_quant::{DeployFormat, Emission};
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
    /// The report of the search; only the command writes it.
    pub report: PathBuf,
    /// The journal of scores; only the command writes it.
    pub journal: PathBuf,
}

impl OutputFiles {
    /// The files of a save path: a folder and a prefix, such as `out/resnet`; if it ends in a path separator there is no prefix.
    pub fn new(save_path: &Path, record_file: &Path) -> OutputFiles {
        let has_prefix = !save_path.as_os_str().to_string_lossy().ends_with(std::path::MAIN_SEPARATOR);
        let prefix = save_path
            .file_name()
            .filter(|_| has_prefix)
            .map(|name| name.to_string_lossy().into_owned() + "_");
        let folder = if has_prefix { save_path.parent().unwrap_or(Path::new("")) } else { save_path };
        let prefix = prefix.unwrap_or_default();
        let report = |what: &str| folder.join(format!("accuracy_based_auto_calibration_{what}.json"));
        OutputFiles {
            fake_quant: folder.join(format!("{prefix}fake_quant_model.onnx")),
            deploy: vec![(DeployFormat::ALL[0], folder.join(format!("{prefix}deploy_model.onnx")))],
            emission: Emission::default(),
            map: folder.join(format!("{prefix}quant.json")),
            final_config: report("final_config"),
            record: record_file.to_owned(),
            amct_record: None,
            closest_config: report("closest_config"),
            ranking: report("ranking_information"),
            history: report("record"),
            report: folder.join(format!("{prefix}report.json")),
            journal: folder.join(format!("{prefix}journal.jsonl")),
        }
    }

    /// The same files with the prefix before the names of AMCT too, so that the results of several models can be in one folder.
    #[must_use]
    pub fn prefixed(mut self) -> OutputFiles {
        let name = self.report.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let prefix = name.strip_suffix("report.json").unwrap_or_default();
        let files = [&mut self.final_config, &mut self.closest_config, &mut self.ranking, &mut self.history];
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            file.set_file_name(format!("{prefix}{name}"));
        }
        self
    }

    /// The same files with other deploy formats and options; the first deploy model has the name without a format.
    #[must_use]
    pub fn deployed(mut self, emission: Emission, formats: &[DeployFormat]) -> OutputFiles {
        let Some((_, plain)) = self.deploy.first().cloned() else { return self };
        let name = plain.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = |format: &DeployFormat| {
            let with_format = format!("deploy_{}_model.onnx", format.name());
            plain.with_file_name(name.replace("deploy_model.onnx", &with_format))
        };
        let path = |idx: usize, format: &DeployFormat| if idx == 0 { plain.clone() } else { path(format) };
        self.deploy = formats.iter().enumerate().map(|(idx, format)| (*format, path(idx, format))).collect();
        self.emission = emission;
        self
    }

    /// The same files with the record for AMCT under the name of the record, and the whole record beside it.
    #[must_use]
    pub fn with_amct_record(mut self) -> OutputFiles {
        let name = self.record.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let whole = match name.strip_suffix("scale_offset_record.txt") {
            Some(prefix) => format!("{prefix}intact8_record.txt"),
            None => format!("{name}.intact8"),
        };
        let whole = self.record.with_file_name(whole);
        self.amct_record = Some(std::mem::replace(&mut self.record, whole));
        self
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
}
