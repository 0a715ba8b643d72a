//! What runs on a target, made of what was simulated: the files, where their nodes come from, and how large they are.

use crate::auto_calibration::OutputFiles;
use crate::files::{load_model, save_model, saved_bytes, write_file};
use crate::layer_map::layer_map;
use quantfit_ir::{DType, Error, Model, Result};
use quantfit_quant::emit;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Writes a fake-quant model and its deploy models, one for each form, and the map of their nodes to the original's.
pub(crate) fn save_models(original: &Model, fake_quant: &Model, files: &OutputFiles) -> Result<()> {
    save_model(fake_quant, &files.fake_quant)?;
    save(original, fake_quant, files, vec![(&files.fake_quant, fake_quant)])
}

/// Writes the deploy models of a fake-quant model alone, and their map.
pub(crate) fn save_deployed(original: &Model, fake_quant: &Model, files: &OutputFiles) -> Result<()> {
    save(original, fake_quant, files, vec![])
}

fn save(
    original: &Model,
    fake_quant: &Model,
    files: &OutputFiles,
    written: Vec<(&Path, &Model)>,
) -> Result<()> {
    files.emission.target.check_model(fake_quant)?;
    let mut maps = Map::new();
    let mut add = |path: &Path, model: &Model| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        maps.insert(name, json!(layer_map(original, model)));
    };
    written.into_iter().for_each(|(path, model)| add(path, model));
    for (flavour, path) in &files.deploy {
        let mut deployed = fake_quant.clone();
        emit(*flavour, &files.emission).run(&mut deployed).map_err(|error| error.at(path.display()))?;
        save_model(&deployed, path)?;
        add(path, &deployed);
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
    let constants = model.graphs().into_iter().flat_map(|graph| graph.dag().node_weights());
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
