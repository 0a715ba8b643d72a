//! Models in ONNX files or in text files (`.qir`), whose large constants are in a file `<file>.data`.

use crate::files::{data_file, load_model, read_text, remove, save_model, write_file, write_with};
use intact8_ir::{Constants, Model, Result, verify};
use std::path::Path;

/// Reads an ONNX file, or a text form if the path ends in `.qir`; large constants of a text form are in `<file>.data`.
pub fn load_any_model(path: &Path) -> Result<Model> {
    if !is_text(path) {
        return load_model(path);
    }
    let text = read_text(path)?;
    let data = std::fs::read(data_file(path)).ok();
    let model = match data {
        Some(data) => Model::from_text_and_data(&text, &data),
        None => text.parse(),
    };
    let model = model.map_err(|error| error.at(path.display()))?;
    verify(&model).map_err(|error| error.at(path.display()))?;
    Ok(model)
}

/// Writes an ONNX file, or a text form if the path ends in `.qir`. Of a text form, constants of more than 16 elements go
/// into `<file>.data`, unless `is_inline`; a file of that name that is not needed is removed.
pub fn save_any_model(model: &Model, path: &Path, is_inline: bool) -> Result<()> {
    if !is_text(path) {
        return save_model(model, path);
    }
    let (text, tensors) = match is_inline {
        true => (model.text(Constants::Inline).to_string(), vec![]),
        false => model.text_and_data(),
    };
    let data = data_file(path);
    if tensors.is_empty() {
        remove(&data)?;
    } else {
        write_with(&data, |file| {
            tensors.iter().try_for_each(|tensor| file.write_all(&tensor.to_le_bytes()))
        })?;
    }
    write_file(path, text.as_bytes())
}

fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "qir")
}
