//! SHA-256 of files and folders, by which a report names the data of a run.

use intact8_ir::{Error, Model, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The SHA-256 of a file in hexadecimal digits, as `sha256sum` prints it. That of a folder is the hash of the lines that `sha256sum`
/// prints of its files and of those in its folders, sorted by name: `cd FOLDER && sha256sum * */* | sha256sum`.
///
/// # Errors
/// If a file can't be read.
pub fn file_sha256(path: &Path) -> Result<String> {
    hashed(path).map_err(|error| Error::io(error).at(path.display()))
}

/// The SHA-256 of a model's file, and of its constants, which may be in other files, in hexadecimal digits.
///
/// # Errors
/// If the file can't be read.
pub fn model_sha256(path: &Path, model: &Model) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(file_sha256(path)?);
    for (_, graph) in model.graphs() {
        for tensor in graph.topo().into_iter().filter_map(|id| graph.constant(id.into())) {
            let bytes = tensor.to_le_bytes();
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
    }
    Ok(digits(hash))
}

fn hashed(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    if path.is_dir() {
        let (files, folders) = entries(path)?;
        let inner = folders.iter().map(|folder| Ok(entries(folder)?.0));
        let inner = inner.collect::<std::io::Result<Vec<_>>>()?.concat();
        for file in files.iter().chain(&inner) {
            hash.update(hashed(file)?);
            hash.update(b"  ");
            hash.update(file.strip_prefix(path).unwrap_or(file).as_os_str().as_encoded_bytes());
            hash.update(b"\n");
        }
        return Ok(digits(hash));
    }
    let mut file = File::open(path)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(digits(hash)),
            n_read => hash.update(&piece[..n_read]),
        }
    }
}

/// The files and the folders in a folder, sorted by name.
fn entries(folder: &Path) -> std::io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<std::io::Result<_>>()?;
    paths.sort();
    let (folders, others): (Vec<PathBuf>, Vec<PathBuf>) = paths.into_iter().partition(|path| path.is_dir());
    Ok((others.into_iter().filter(|path| path.is_file()).collect(), folders))
}

fn digits(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_hashed_in_pieces_and_a_folder_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("a"), b"abc").unwrap();
        // The example of FIPS 180-4.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(file_sha256(&file("a")).unwrap(), abc);
        std::fs::write(file("long"), vec![7; 200_000]).unwrap();
        let mut whole = Sha256::new();
        whole.update(vec![7; 200_000]);
        assert_eq!(file_sha256(&file("long")).unwrap(), digits(whole));
        let before = file_sha256(folder.path()).unwrap();
        std::fs::rename(file("long"), file("longer")).unwrap();
        assert_ne!(file_sha256(folder.path()).unwrap(), before);
        std::fs::create_dir(file("class")).unwrap();
        let before = file_sha256(folder.path()).unwrap();
        std::fs::write(file("class").join("inner"), b"abc").unwrap();
        assert_ne!(file_sha256(folder.path()).unwrap(), before);
        assert!(file_sha256(&file("none")).unwrap_err().to_string().contains("none"));
    }
}
