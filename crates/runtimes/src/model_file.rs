//! A model as ONNX, as runtimes read it: bytes in memory, or files if the tensors exceed the 2 GiB of one message.

use intact8_ir::{Error, Model, Result};
use intact8_onnx::{ExportOptions, export};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The ONNX form of a model.
pub(crate) enum ModelFile {
    /// The bytes of the file.
    Bytes(Vec<u8>),
    /// A temporary file beside that of its tensors; both are removed with this value.
    File(PathBuf, #[expect(dead_code, reason = "removes the files when it is dropped")] TempDir),
}

impl ModelFile {
    pub(crate) fn of(model: &Model) -> Result<ModelFile> {
        let exported = export(model, &ExportOptions::default())?;
        let Some(data) = &exported.external else { return Ok(ModelFile::Bytes(exported.to_bytes())) };
        let written = || -> std::io::Result<ModelFile> {
            let folder = tempfile::Builder::new().prefix(".intact8-").tempdir()?;
            let write = |path: &Path, write: &dyn Fn(&mut BufWriter<File>) -> std::io::Result<()>| {
                let mut file = BufWriter::new(File::create(path)?);
                write(&mut file)?;
                file.flush()
            };
            write(&folder.path().join(&data.name), &|file| data.write_to(file))?;
            let path = folder.path().join("model.onnx");
            write(&path, &|file| exported.write_to(file))?;
            Ok(ModelFile::File(path, folder))
        };
        written().map_err(|error| Error::io(error).at("temporary file of the model"))
    }
}
