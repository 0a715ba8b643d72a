//! Data sets in files: one file, or a folder with a file for each sample or batch.

use super::npz::{read_npy, read_npz};
use super::{Arrays, DataSet, Part};
use intact8_ir::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Reads a file or a folder.
pub(super) fn read(path: &Path) -> Result<DataSet> {
    let source = path.display().to_string();
    if !path.is_dir() {
        return Ok(DataSet { source, parts: vec![part(path)?], is_folder: false });
    }
    let files = files(path).map_err(|error| error.at(path.display()))?;
    let parts = files.iter().map(|file| part(file)).collect::<Result<_>>()?;
    Ok(DataSet { source, parts, is_folder: true })
}

fn part(path: &Path) -> Result<Part> {
    let arrays = match read_npy(path).map_err(|error| error.at(path.display()))? {
        Some(array) => Arrays::Unnamed(array),
        None => Arrays::Named(read_npz(path)?),
    };
    Ok(Part { source: path.display().to_string(), arrays })
}

/// The `.npz` and `.npy` files of a folder, sorted by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut others) = (Vec::new(), BTreeSet::new());
    for entry in std::fs::read_dir(folder).map_err(Error::io)? {
        let path = entry.map_err(Error::io)?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npz" | "npy") => files.push(path),
            Some(other) => drop(others.insert(format!(".{other}"))),
            None => {}
        }
    }
    if files.is_empty() {
        let others: Vec<String> = others.into_iter().collect();
        let found = if others.is_empty() { String::new() } else { format!(", but {}", others.join(", ")) };
        return Err(Error::invalid_data(format!(
            "holds no .npz or .npy file{found}; save the samples as arrays with numpy.savez, see docs/data.md"
        )));
    }
    files.sort();
    Ok(files)
}
