//! Reading and writing of files. A file is written under a temporary name first and then renamed, so it is never incomplete.

use crate::destination::Destination;
use crate::temporary::temporary_file;
use intact8_ir::{Error, ErrorKind, Model, Result};
use intact8_onnx::{ExportOptions, export, import, import_with_hard_links};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| failed(path, error))
}

/// Writes a file, and creates its folders. `-` is the standard output; a device or FIFO is written to and not replaced.
///
/// # Errors
/// If the file or a folder can't be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// As [`write_file`], with the content that `write` writes.
pub(crate) fn write_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let written = Destination::of(path).and_then(|destination| match destination {
        Destination::StandardOutput => buffered(std::io::stdout().lock(), write).map(drop),
        Destination::Stream(path) => buffered(File::options().append(true).open(path)?, write).map(drop),
        Destination::File(path) => replace(&path, write),
    });
    written.map_err(|error| failed(path, error))
}

/// Replaces a file as a whole. Its bytes are on the disk before it has its name, so that after a power failure the old or the
/// new file is there.
fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> std::io::Result<()> {
    let folder = folder_of(path);
    std::fs::create_dir_all(folder)?;
    let mut temporary = temporary_file(folder)?;
    buffered(temporary.as_file_mut(), write)?.sync_all()?;
    temporary.persist(path)?;
    Ok(())
}

fn buffered<W: Write>(
    out: W,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<W> {
    let mut out = BufWriter::new(out);
    write(&mut out)?;
    out.flush()?;
    Ok(out.into_inner()?)
}

/// Checks that a file can be written, before the work whose result it will hold. Folders that are not there yet are not made.
///
/// # Errors
/// If it is a folder, or its folder can be neither written to nor made.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    match Destination::of(path).map_err(|error| failed(path, error))? {
        Destination::File(file) if file.is_dir() => {
            Err(Error::invalid_config("is a folder, and a file is written; name the file").at(path.display()))
        }
        Destination::File(file) => check_writable_folder(folder_of(&file)),
        Destination::StandardOutput | Destination::Stream(_) => Ok(()),
    }
}

/// The same for files in a folder.
///
/// # Errors
/// If it is a file, or can be neither written to nor made.
pub(crate) fn check_writable_folder(folder: &Path) -> Result<()> {
    let there = folder.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok());
    let there = there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !there.is_dir() {
        let message = "is no folder, and files are written to it; name another one";
        return Err(Error::invalid_config(message).at(there.display()));
    }
    // Permissions, read-only file systems and quotas are known only from trying.
    temporary_file(there).map(drop).map_err(|error| failed(there, error))
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::io(error).at(path.display())
}

/// The largest ONNX file: a message of protobuf is shorter than 2 GiB.
const MAX_MODEL_BYTES: u64 = i32::MAX as u64;

/// Reads an ONNX file, with external tensors in the same folder.
///
/// # Errors
/// If the file can't be read or is not a valid model.
pub fn load_model(path: &Path) -> Result<Model> {
    let model = read_model(path).and_then(|bytes| import(&bytes, path.parent()));
    model.map_err(|error| error.at(path.display()))
}

/// The same, with external tensors also in files that have further hard links.
///
/// # Errors
/// As [`load_model`].
pub fn load_model_with_hard_links(path: &Path) -> Result<Model> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let model = read_model(path).and_then(|bytes| import_with_hard_links(&bytes, folder));
    model.map_err(|error| error.at(path.display()))
}

/// The bytes of an ONNX file. A FIFO or device is an error, since it may never end, and so is a file that is too long for a model.
fn read_model(path: &Path) -> Result<Vec<u8>> {
    let metadata = std::fs::metadata(path).map_err(Error::io)?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(Error::unsupported(
            "is a device or a FIFO, and a model must be a file; copy it to a file",
        ));
    }
    if metadata.is_file() && metadata.len() > MAX_MODEL_BYTES {
        return Err(Error::limit(format!(
            "has {} bytes, and an ONNX file has at most {MAX_MODEL_BYTES}; store its tensors as external data",
            metadata.len()
        )));
    }
    std::fs::read(path).map_err(Error::io)
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
    let is_file = matches!(Destination::of(path), Ok(Destination::File(_)));
    if exported.external.is_some() && !is_file {
        let message = "is no file, and the model needs a second one for its tensors; write it to a file";
        return Err(Error::unsupported(message).at(path.display()));
    }
    if let Some(external) = &exported.external {
        write_with(&path.with_file_name(&external.name), |mut out| external.write_to(&mut out))?;
    }
    write_with(path, |mut out| exported.write_to(&mut out))?;
    if exported.external.is_none() && is_file { remove(&data) } else { Ok(()) }
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
        write_with(&folder.path().join("weights.bin"), |mut out| {
            exported.external.unwrap().write_to(&mut out)
        })
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
    #[cfg(unix)]
    #[test]
    fn a_model_that_is_no_file_or_too_long_is_an_error_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long.onnx");
        File::create(&long).unwrap().set_len(1 << 31).unwrap();
        let message = load_model(&long).unwrap_err().to_string();
        assert!(message.ends_with("store its tensors as external data"), "{message}");
        let message = load_model(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(message.starts_with("/dev/zero: is a device or a FIFO"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to() {
        write_file(Path::new("/dev/null"), b"text").unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
        assert!(write_file(Path::new("/dev/full"), b"text").is_err());
    }
}
