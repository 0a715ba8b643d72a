//! Where the results of a search or a conversion are written.

use intact8_quant::{DeployFormat, Emission};
use std::path::{Path, PathBuf};

/// Where the results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFiles {
    /// The model that simulates quantization.
    pub fake_quant: PathBuf,
    /// The models that run on the target, each in its form.
    pub deploy: Vec<(DeployFormat, PathBuf)>,
    /// How they are made.
    pub emission: Emission,
    /// Which nodes of the original each of their nodes came from.
    pub map: PathBuf,
    /// The configuration with the rolled-back layers disabled.
    pub final_config: PathBuf,
    /// The scales and offsets.
    pub record: PathBuf,
    /// The configuration that came closest, if none satisfies.
    pub closest_config: PathBuf,
    /// The layers, the worst first.
    pub ranking: PathBuf,
    /// The trials.
    pub history: PathBuf,
    /// Everything about the search; only the command writes it.
    pub report: PathBuf,
    /// The scores, as they come; only the command writes it.
    pub journal: PathBuf,
}

impl OutputFiles {
    /// The files of a save path.
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
            closest_config: report("closest_config"),
            ranking: report("ranking_information"),
            history: report("record"),
            report: folder.join(format!("{prefix}report.json")),
            journal: folder.join(format!("{prefix}journal.jsonl")),
        }
    }

    /// The same files with deploy models made otherwise and in other forms; the first keeps the plain name.
    #[must_use]
    pub fn deployed(mut self, emission: Emission, formats: &[DeployFormat]) -> OutputFiles {
        let Some((_, plain)) = self.deploy.first().cloned() else { return self };
        let name = plain.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = |format: &DeployFormat| {
            let of_form = format!("deploy_{}_model.onnx", format.name());
            plain.with_file_name(name.replace("deploy_model.onnx", &of_form))
        };
        let path = |idx: usize, format: &DeployFormat| if idx == 0 { plain.clone() } else { path(format) };
        self.deploy = formats.iter().enumerate().map(|(idx, format)| (*format, path(idx, format))).collect();
        self.emission = emission;
        self
    }

    /// The deploy model in the first form.
    pub fn first_deploy(&self) -> &Path {
        self.deploy.first().map_or(Path::new(""), |(_, path)| path)
    }

    /// The models that are read back and scored: the name that [`Report::rescored`](crate::Report::rescored) has for them, the
    /// file, and the deploy format, which the simulation lacks.
    pub fn scored(&self) -> Vec<(String, &Path, Option<DeployFormat>)> {
        let name = |idx, format: &DeployFormat| match idx {
            0 => "deploy".to_owned(),
            _ => format!("deploy_{}", format.name()),
        };
        let deploy = self.deploy.iter().enumerate();
        let deploy = deploy.map(|(idx, (format, path))| (name(idx, format), &**path, Some(*format)));
        std::iter::once(("fake-quant".to_owned(), &*self.fake_quant, None)).chain(deploy).collect()
    }

    /// The file of a model of that name.
    pub fn file_of(&self, name: &str) -> &Path {
        self.scored().into_iter().find(|(of, ..)| of == name).map_or(Path::new(""), |(_, path, _)| path)
    }

    /// What exists only if there is an outcome.
    pub(crate) fn models(&self) -> Vec<&Path> {
        let mut models = vec![&*self.fake_quant];
        models.extend(self.deploy.iter().map(|(_, path)| &**path));
        models.extend([&*self.map, &*self.final_config, &*self.record]);
        models
    }

    /// What [`quantize_and_save`](crate::quantize_and_save) writes if there is an outcome, in that order.
    pub fn all(&self) -> Vec<&Path> {
        let mut all = vec![&*self.ranking, &*self.history];
        all.extend(self.models());
        all
    }
}
