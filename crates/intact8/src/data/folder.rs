//! Data sets in files: one file, or a folder with a file for each sample or batch.

use super::npz::{read_npy, read_npz};
use super::safetensors::read_safetensors;
use super::{Arrays, DataSet, Part};
use intact8_ir::{Error, Result};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Reads a file or a folder.
pub(super) fn read(path: &Path) -> Result<DataSet> {
    let source = path.display().to_string();
    if !path.is_dir() {
        return Ok(DataSet {
            source,
            parts: vec![part(path)?],
            is_folder: false,
            notes: vec![],
            unused: vec![],
        });
    }
    let files = files(path).map_err(|error| error.at(path.display()))?;
    let parts = files.iter().map(|file| part(file)).collect::<Result<_>>()?;
    Ok(DataSet { source, parts, is_folder: true, notes: vec![], unused: vec![] })
}

fn part(path: &Path) -> Result<Part> {
    let arrays = if extension(path).as_deref() == Some("safetensors") {
        Arrays::Named(read_safetensors(path)?)
    } else {
        match read_npy(path).map_err(|error| error.at(path.display()))? {
            Some(array) => Arrays::Unnamed(array),
            None => Arrays::Named(read_npz(path)?),
        }
    };
    Ok(Part { source: path.display().to_string(), arrays })
}

/// The extensions of files with arrays.
const ARRAYS: [&str; 3] = ["npy", "npz", "safetensors"];

/// Whether the extension of a file is that of arrays.
pub(super) fn is_of_arrays(path: &Path) -> bool {
    extension(path).is_some_and(|extension| ARRAYS.contains(&&*extension))
}

fn extension(path: &Path) -> Option<String> {
    path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase)
}

/// The files of a folder with arrays, sorted by name. Hidden files, whose names begin with a dot, are left out.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut others) = (Vec::new(), BTreeSet::new());
    for entry in std::fs::read_dir(folder).map_err(Error::io)? {
        let path = entry.map_err(Error::io)?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        if is_of_arrays(&path) {
            files.push(path);
        } else if let Some(other) = extension(&path) {
            others.insert(format!(".{other}"));
        }
    }
    if files.is_empty() {
        let others: Vec<String> = others.into_iter().take(MAX_OTHERS).collect();
        let found = if others.is_empty() { String::new() } else { format!(", but {}", others.join(", ")) };
        return Err(Error::invalid_data(format!(
            "holds no .npz, .npy or .safetensors file and no image{found}; save the samples as arrays with numpy.savez, see \
             docs/your-data.md"
        )));
    }
    files.sort();
    Ok(files)
}

/// The number of other extensions that a message names.
const MAX_OTHERS: usize = 6;
