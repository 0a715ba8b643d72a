//! What runs on a target, made of what was simulated: the files, where their nodes come from, and how large they are.

use crate::files::{load_model, save_model, saved_bytes, write_file};
use crate::layer_map::layer_map;
use crate::output_files::OutputFiles;
use intact8_ir::{DType, Error, Model, Pass, Result};
use intact8_quant::Deployed;
use intact8_quant::passes::ShareConstants;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Writes a fake-quant model and its deploy models, in the order of the files, and the map of their nodes to the original's.
pub(crate) fn save_models(
    original: &Model,
    fake_quant: &Model,
    deployed: Vec<Deployed>,
    files: &OutputFiles,
) -> Result<()> {
    let mut shared = fake_quant.clone();
    ShareConstants.run(&mut shared)?;
    let models = std::iter::once(&shared).chain(deployed.iter().map(Deployed::model));
    let paths = std::iter::once(&files.fake_quant).chain(files.deploy.iter().map(|(_, path)| path));
    save(original, paths.map(|path| &**path).zip(models), files)
}

/// Writes the deploy models of a fake-quant model alone, and their map. All are made before any is written, so that a format
/// that can't be had leaves nothing behind.
pub(crate) fn save_deployed(original: &Model, fake_quant: &Model, files: &OutputFiles) -> Result<()> {
    let deployed = deployed(fake_quant, files)?;
    let paths = files.deploy.iter().map(|(_, path)| &**path);
    save(original, paths.zip(deployed.iter().map(Deployed::model)), files)
}

/// A fake-quant model in every deploy format of the files.
pub(crate) fn deployed(fake_quant: &Model, files: &OutputFiles) -> Result<Vec<Deployed>> {
    let made = files.deploy.iter().map(|(format, path)| {
        Deployed::of(fake_quant, *format, &files.emission, &mut ()).map_err(|error| error.at(path.display()))
    });
    made.collect()
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

/// How large a deploy model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploySize {
    /// The file.
    pub path: PathBuf,
    /// Bytes that it takes, with the file of tensors beside it.
    pub bytes: u64,
    /// Where the bytes are, if it takes more than a third of the float model.
    pub warning: Option<String>,
}

/// The sizes of the deploy models; those of more than a third of the float model's `float_bytes` get a warning.
pub fn deploy_sizes(files: &OutputFiles, float_bytes: u64) -> Result<Vec<DeploySize>> {
    let of_file = |path: &PathBuf| {
        let bytes = saved_bytes(path);
        let warning = match bytes > float_bytes / 3 {
            true => Some(reason(&load_model(path)?, bytes, float_bytes)),
            false => None,
        };
        Ok(DeploySize { path: path.clone(), bytes, warning })
    };
    files.deploy.iter().map(|(_, path)| path).filter(|path| path.exists()).map(of_file).collect()
}

fn reason(model: &Model, bytes: u64, float_bytes: u64) -> String {
    let constants = model.graphs().flat_map(|(_, graph)| graph.dag().node_weights());
    let constants = constants.filter_map(|node| node.as_constant());
    let (mut floats, mut others) = (0, 0);
    for tensor in constants {
        let n_bytes = tensor.byte_size() as u64;
        *if tensor.dtype() == DType::F32 { &mut floats } else { &mut others } += n_bytes;
    }
    let kilobytes = |bytes: u64| format!("{:.1} kB", bytes as f64 / 1000.0);
    format!(
        "takes {:.0} % of the float model: {} are floats (scales, and the weights of layers in float), {} integers, {} \
         the graph itself",
        bytes as f64 / float_bytes.max(1) as f64 * 100.0,
        kilobytes(floats),
        kilobytes(others),
        kilobytes(bytes.saturating_sub(floats + others)),
    )
}
