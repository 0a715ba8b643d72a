//! Files, read whole and written safely: beside their place first, then renamed, so that nothing is ever half there.

use quantfit_ir::{Error, Model, Result};
use quantfit_onnx::{ExportOptions, export};
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
pub(crate) fn write_with(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let mut beside = tempfile::Builder::new();
        beside.prefix(".quantfit-");
        // Temporary files are private by default; results are for everybody whom the user's mask admits.
        #[cfg(unix)]
        beside.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut beside = beside.tempfile_in(folder)?;
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

/// Writes an ONNX file, and a file of tensors beside it, `<file>.data`, if the model is too large for one file.
pub fn save_model(model: &Model, path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let options = ExportOptions { data_file: format!("{name}.data"), ..ExportOptions::default() };
    let exported = export(model, &options).map_err(|error| error.at(path.display()))?;
    if let Some(external) = &exported.external {
        write_with(&path.with_file_name(&external.name), |file| {
            buffered(file, |out| external.write_to(out))
        })?;
    }
    write_with(path, |file| buffered(file, |out| exported.write_to(out)))
}

fn buffered(
    file: &mut std::fs::File,
    write: impl FnOnce(&mut std::io::BufWriter<&mut std::fs::File>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(file);
    write(&mut out)?;
    out.flush()
}
