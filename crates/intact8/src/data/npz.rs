//! `.npz` and `.npy` files: zip archives of NumPy arrays, and single ones. Only headers are read at once; elements when an array
//! is used, and those of large arrays into files, not into memory.

use super::Array;
use super::npy::{self, Header};
use intact8_ir::{Error, Result, Tensor};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Arrays of more bytes than this are stored in temporary files.
const MAX_BYTES_IN_MEMORY: u64 = 1 << 20;

/// The headers of every array of an `.npz` file. The elements of an array are read when it is used, so an array that no model
/// needs costs nothing, whatever its type.
///
/// # Errors
/// If the file can't be read or is not an `.npz` file.
pub fn read_npz(path: &Path) -> Result<BTreeMap<String, Array>> {
    let at = |error: Error| error.at(path.display());
    let mut archive = archive(path).map_err(at)?;
    let shared: Arc<Path> = path.into();
    let mut arrays = BTreeMap::new();
    for idx in 0..archive.len() {
        let mut entry = archive.by_index(idx).map_err(|error| at(invalid(&error)))?;
        let name = entry.name().map_err(|error| at(invalid(&error)))?.into_owned();
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else { continue };
        let array = match Header::read(&mut entry) {
            Ok((header, start)) => {
                Array::packed(Packed { path: shared.clone(), entry: Some(idx), start, header })
            }
            Err(error) => Array::unreadable(error),
        };
        arrays.insert(name, array);
    }
    Ok(arrays)
}

/// The array of an `.npy` file; `None` if the file is of another format.
pub(super) fn read_npy(path: &Path) -> Result<Option<Array>> {
    let mut file = BufReader::new(open(path)?);
    let mut first = [0];
    let is_npy = file.read_exact(&mut first).is_ok() && first[0] == 0x93;
    if !is_npy {
        return Ok(None);
    }
    file.rewind().map_err(Error::io)?;
    let (header, start) = Header::read(&mut file)?;
    Ok(Some(Array::packed(Packed { path: path.into(), entry: None, start, header })))
}

/// Opens a file, which must be a regular one: others can't be read twice.
pub(super) fn open(path: &Path) -> Result<File> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(Error::invalid_data("is not a regular file")),
        Ok(_) => File::open(path).map_err(Error::io),
        Err(error) => Err(Error::io(error)),
    }
}

fn archive(path: &Path) -> Result<ZipArchive<BufReader<File>>> {
    ZipArchive::new(BufReader::new(open(path)?)).map_err(|error| {
        invalid(&format!(
            "is no .npz file ({error}); write one in Python with numpy.savez(\"data.npz\", INPUT=array), with an array for \
             each model input and the samples along its first axis; docs/your-data.md has what else is read"
        ))
    })
}

fn invalid(error: &dyn std::fmt::Display) -> Error {
    Error::invalid_data(error.to_string())
}

/// An array in a file of NumPy's, whose elements are not read yet.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    path: Arc<Path>,
    /// The index in the archive; `None` for an `.npy` file.
    entry: Option<usize>,
    /// The position of the first element.
    start: u64,
    pub(super) header: Header,
}

impl Packed {
    /// The elements.
    pub(super) fn tensor(&self) -> Result<Tensor> {
        let n_bytes = self.header.n_bytes()?;
        let mut bytes = Vec::new();
        self.copy_to(&mut bytes, n_bytes)?;
        self.header.tensor(bytes)
    }

    /// The array ready for reading parts of it often: in memory, or if it is larger than one MiB in a file of its own, so that
    /// memory is needed only for the samples of a batch. A temporary file is private, and removed with the array.
    pub(super) fn unpacked(&self) -> Result<Array> {
        let (header, n_bytes) = (&self.header, self.header.n_bytes()?);
        if n_bytes <= MAX_BYTES_IN_MEMORY || !header.is_plain() {
            return self.tensor().map(Array::from);
        }
        let (file, start) = match self.entry {
            None => (open(&self.path)?, self.start),
            Some(_) => {
                let mut file = tempfile::tempfile().map_err(|error| unpacking(&error))?;
                self.copy_to(&mut file, n_bytes)?;
                (file, 0)
            }
        };
        Ok(Array::in_file(header.dtype(), header.shape.clone(), Arc::new(Mutex::new(file)), start))
    }

    fn copy_to(&self, out: &mut impl Write, n_bytes: u64) -> Result<()> {
        let mut archive;
        let mut entry;
        let mut file;
        let elements: &mut dyn Read = match self.entry {
            Some(idx) => {
                archive = self::archive(&self.path)?;
                entry = archive.by_index(idx).map_err(|error| invalid(&error))?;
                std::io::copy(&mut entry.by_ref().take(self.start), &mut std::io::sink())
                    .map_err(|error| unpacking(&error))?;
                &mut entry
            }
            None => {
                file = open(&self.path)?;
                file.seek(SeekFrom::Start(self.start)).map_err(|error| unpacking(&error))?;
                &mut file
            }
        };
        let n_found = std::io::copy(&mut elements.take(n_bytes), out).map_err(|error| unpacking(&error))?;
        if n_found != n_bytes {
            let message = format!("{n_found} bytes can't fill {n_bytes}; the file is cut off");
            return Err(Error::invalid_data(message));
        }
        Ok(())
    }
}

fn unpacking(error: &std::io::Error) -> Error {
    Error::invalid_data(format!("can't be unpacked: {error}"))
}

/// Writes arrays as a compressed `.npz` file.
///
/// # Errors
/// If writing fails, or an array has elements that NumPy lacks.
pub fn write_npz<'a>(
    out: impl Write + Seek,
    arrays: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) -> Result<()> {
    let mut archive = ZipWriter::new(out);
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true);
    for (name, tensor) in arrays {
        archive.start_file(format!("{name}.npy"), options).map_err(|error| invalid(&error))?;
        npy::write(&mut archive, tensor).map_err(|error| error.at(name))?;
    }
    archive.finish().map_err(|error| invalid(&error))?;
    Ok(())
}
