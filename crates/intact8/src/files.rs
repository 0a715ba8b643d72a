//! Reading and writing of files. A file is written under a temporary name first and then renamed, so it is never incomplete.

use intact8_ir::{Error, ErrorKind, Model, Result};
use intact8_onnx::{ExportOptions, export};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| failed(path, error))
}

/// Writes a file, and creates its folders.
///
/// # Errors
/// If the file or a folder can't be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Writes a file with the content that `write` writes, and creates its folders.
pub(crate) fn write_with(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let mut temporary = tempfile::Builder::new();
        temporary.prefix(".intact8-");
        // Temporary files are private by default; results have the permissions of the user's mask.
        #[cfg(unix)]
        temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut temporary = temporary.tempfile_in(folder)?;
        write(temporary.as_file_mut())?;
        temporary.persist(path)?;
        Ok(())
    });
    written.map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::io(error).at(path.display())
}

/// Reads an ONNX file, with external tensors in the same folder.
///
/// # Errors
/// If the file can't be read or is not a valid model.
pub fn load_model(path: &Path) -> Result<Model> {
    let bytes = std::fs::read(path).map_err(|error| failed(path, error))?;
    intact8_onnx::import(&bytes, path.parent()).map_err(|error| error.at(path.display()))
}

/// Writes an ONNX file, and a file of external tensors, `<file>.data`, if the model is too large for one file. Otherwise a file of
/// that name is removed, since it belongs to the model that is replaced.
///
/// # Errors
/// If a file can't be written or removed.
pub fn save_model(model: &Model, path: &Path) -> Result<()> {
    let data = data_file(path);
    let name = data.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let options = ExportOptions { data_file: name, ..ExportOptions::default() };
    let exported = export(model, &options).map_err(|error| error.at(path.display()))?;
    if let Some(external) = &exported.external {
        write_with(&path.with_file_name(&external.name), |file| {
            buffered(file, |out| external.write_to(out))
        })?;
    }
    write_with(path, |file| buffered(file, |out| exported.write_to(out)))?;
    if exported.external.is_none() { remove(&data) } else { Ok(()) }
}

/// The file in which [`save_model`] stores the tensors of a model that is too large for one file.
pub(crate) fn data_file(path: &Path) -> PathBuf {
    path.with_file_name(path.file_name().unwrap_or_default().to_string_lossy().into_owned() + ".data")
}

/// The size in bytes of a file of [`save_model`] with its external tensors; 0 if there is no file.
pub fn saved_bytes(path: &Path) -> u64 {
    let files = [path.to_owned(), data_file(path)];
    files.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum()
}

/// The size in bytes of the file from which `model` was read, with external tensors in files of any name: at least the size of its
/// constants.
pub fn model_bytes(path: &Path, model: &Model) -> u64 {
    let nodes = model.graphs().flat_map(|(_, graph)| graph.dag().node_weights());
    let constants = nodes.filter_map(|node| node.as_constant());
    let in_constants = constants.map(|tensor| tensor.byte_size() as u64).sum();
    std::fs::metadata(path).map_or(0, |file| file.len()).max(in_constants)
}

/// Removes a file of an earlier run, if it exists.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let message = format!("is outdated and can't be removed: {error}");
            Err(Error::new(ErrorKind::Io, message).caused_by(error).at(path.display()))
        }
        _ => Ok(()),
    }
}

fn buffered(
    file: &mut std::fs::File,
    write: impl FnOnce(&mut std::io::BufWriter<&mut std::fs::File>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(file);
    write(&mut out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_onnx::External;

    fn model() -> Model {
        let values = vec!["1.0"; 1024].join(", ");
        let text = format!(
            "model m opset 17\n%x = input : f32[N,1024]\n%w = const [{values}] : f32[1024]\n%y = Add(%x, %w)\nreturn %y\n"
        );
        text.parse().unwrap()
    }

    #[test]
    fn the_size_of_a_model_includes_external_tensors_of_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        let options = ExportOptions { external: External::Above(0), data_file: "weights.bin".to_owned() };
        let exported = export(&model(), &options).unwrap();
        write_file(&path, &exported.to_bytes()).unwrap();
        write_with(&folder.path().join("weights.bin"), |out| exported.external.unwrap().write_to(out))
            .unwrap();
        assert!(saved_bytes(&path) < 4096);
        assert_eq!(model_bytes(&path, &load_model(&path).unwrap()), 4096);
    }

    #[test]
    fn the_external_tensors_of_a_replaced_model_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        write_file(&data_file(&path), b"of a larger model").unwrap();
        save_model(&model(), &path).unwrap();
        assert!(!data_file(&path).exists());
        assert_eq!(saved_bytes(&path), std::fs::metadata(&path).unwrap().len());
    }
}
