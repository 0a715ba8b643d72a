//! The model files of a result: fake-quant and deploy models, the map of their nodes, and their sizes.

use crate::files::{load_model, save_model, saved_bytes, write_file};
use crate::layer_map::layer_map;
use crate::output_files::OutputFiles;
use intact8_ir::{DType, Error, Model, Result};
use intact8_quant::{Deployed, emit_fake_quant};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Writes a fake-quant model, its deploy models in the order of the files, and the map of their nodes to those of the original.
pub(crate) fn save_models(
    original: &Model,
    fake_quant: &Model,
    deployed: &[Deployed],
    files: &OutputFiles,
) -> Result<()> {
    let mut simulated = fake_quant.clone();
    emit_fake_quant(files.emission.target).run(&mut simulated)?;
    let models = std::iter::once(&simulated).chain(deployed.iter().map(Deployed::model));
    let paths = std::iter::once(&files.fake_quant).chain(files.deploy.iter().map(|(_, path)| path));
    save(original, paths.map(|path| &**path).zip(models), files)
}

/// Writes only the deploy models of a fake-quant model, and their map. All are computed before any is written, so that an error
/// leaves no files.
pub(crate) fn save_deployed(original: &Model, fake_quant: &Model, files: &OutputFiles) -> Result<()> {
    let deployed = deployed(fake_quant, files)?;
    let paths = files.deploy.iter().map(|(_, path)| &**path);
    save(original, paths.zip(deployed.iter().map(Deployed::model)), files)
}

/// A fake-quant model in every deploy format of the files.
pub(crate) fn deployed(fake_quant: &Model, files: &OutputFiles) -> Result<Vec<Deployed>> {
    let deployed = files.deploy.iter().map(|(format, path)| {
        Deployed::of(fake_quant, *format, &files.emission, &mut ()).map_err(|error| error.at(path.display()))
    });
    deployed.collect()
}

fn save<'a>(
    original: &Model,
    models: impl Iterator<Item = (&'a Path, &'a Model)>,
    files: &OutputFiles,
) -> Result<()> {
    let mut maps = Map::new();
    for (path, model) in models {
        save_model(model, path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        maps.insert(name, json!(layer_map(original, model)));
    }
    let text = serde_json::to_string_pretty(&Value::Object(maps));
    let text = text.map_err(|error| Error::invalid_data(error.to_string()).at(files.map.display()))?;
    write_file(&files.map, (text + "\n").as_bytes())
}

/// The size of a deploy model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploySize {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes, with the file of external tensors.
    pub bytes: u64,
    /// The distribution of the bytes, if the size is more than a third of that of the float model.
    pub warning: Option<String>,
}

/// The sizes of the deploy models, with a warning for those of more than a third of the float model's `float_bytes`.
///
/// # Errors
/// If a file can't be read.
pub fn deploy_sizes(files: &OutputFiles, float_bytes: u64) -> Result<Vec<DeploySize>> {
    let size_of_file = |path: &PathBuf| {
        let bytes = saved_bytes(path);
        let warning = match bytes > float_bytes / 3 {
            true => Some(size_warning(&load_model(path)?, bytes, float_bytes)),
            false => None,
        };
        Ok(DeploySize { path: path.clone(), bytes, warning })
    };
    files.deploy.iter().map(|(_, path)| path).filter(|path| path.exists()).map(size_of_file).collect()
}

/// The distribution of a model's bytes, as a warning.
fn size_warning(model: &Model, bytes: u64, float_bytes: u64) -> String {
    let constants = model.graphs().flat_map(|(_, graph)| graph.dag().node_weights());
    let constants = constants.filter_map(|node| node.as_constant());
    let (mut floats, mut others) = (0, 0);
    for tensor in constants {
        let n_bytes = tensor.byte_size() as u64;
        *if tensor.dtype() == DType::F32 { &mut floats } else { &mut others } += n_bytes;
    }
    let kilobytes = |bytes: u64| format!("{:.1} kB", bytes as f64 / 1000.0);
    format!(
        "has {:.0} % of the size of the float model: {} floats (scales, and weights of layers in float), {} integers, {} \
         graph",
        bytes as f64 / float_bytes.max(1) as f64 * 100.0,
        kilobytes(floats),
        kilobytes(others),
        kilobytes(bytes.saturating_sub(floats + others)),
    )
}
