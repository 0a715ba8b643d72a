//! The identity of a run in its journal: runs with the same identity have the same scores.

use super::Args;
use anyhow::Context;
use intact8::data::data_files;
use intact8::{ChosenRuntime, Goal, Model, OutputFiles, QuantConfig};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A hash of model, configuration, data and goals. It does not cover the files of an evaluation command. The strategy is not part
/// of it, since strategies can use each other's scores; but the calibration on a rung of the ladder depends on the layers that
/// reach it together, so with a ladder everything that determines them is included.
pub(super) fn identity(
    args: &Args,
    model: &Model,
    config: &QuantConfig,
    goals: &[Goal],
    files: &OutputFiles,
    runtime: Option<&ChosenRuntime>,
) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    part(&mut hash, env!("CARGO_PKG_VERSION").as_bytes());
    let data =
        [Some(&args.data.calib), args.data.eval.as_ref()].into_iter().flatten().map(|path| data_files(path));
    let data = data.collect::<intact8::Result<Vec<_>>>()?.concat();
    for path in std::iter::once(&args.model).chain(&data) {
        hash_path(&mut hash, path).with_context(|| path.display().to_string())?;
    }
    let mut part = |bytes: &[u8]| part(&mut hash, bytes);
    // External tensors are not in the bytes of the model's file.
    for (_, graph) in model.graphs() {
        for tensor in graph.topo().into_iter().filter_map(|id| graph.constant(id.into())) {
            part(&tensor.to_le_bytes());
        }
    }
    part(config.to_json().as_bytes());
    let goals: Vec<String> = goals.iter().map(|goal| format!("{} {}", goal.name, goal.shown())).collect();
    part(
        format!(
            "{:?} {goals:?} {:?} {}",
            args.accuracy.eval_cmd,
            args.data.feeding.feeding(),
            args.search.no_early_stop
        )
        .as_bytes(),
    );
    let formats: Vec<&str> = files.deploy.iter().map(|(format, _)| format.name()).collect();
    part(format!("{formats:?} {} {}", files.emission.target.name, files.emission.contrib).as_bytes());
    part(format!("{}", args.accuracy.eval_simulation).as_bytes());
    let runtime = runtime.map(|runtime| (runtime.loaded.name(), runtime.is_given));
    part(format!("{runtime:?}").as_bytes());
    // With less memory, layers may be left out of stages.
    part(format!("{:?}", args.calibration_memory).as_bytes());
    let rungs = args.rungs();
    if !rungs.is_empty() {
        part(
            format!(
                "{:?} {} {} {:?}",
                rungs, args.search.strategy, args.search.sensitivity, args.layers.groups
            )
            .as_bytes(),
        );
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Adds bytes to a hash. They are preceded by their length, so that bytes can't move from one part to the next unnoticed.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// Adds a file to a hash piece by piece, or the names and contents of the files in a folder.
fn hash_path(hash: &mut Sha256, path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        let files = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
        let mut files: Vec<PathBuf> = files.collect::<std::io::Result<_>>()?;
        files.retain(|file| file.is_file());
        files.sort();
        for file in files {
            part(hash, file.file_name().unwrap_or_default().as_encoded_bytes());
            hash_path(hash, &file)?;
        }
        return Ok(());
    }
    let mut file = File::open(path)?;
    hash.update(file.metadata()?.len().to_le_bytes());
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            n_read => hash.update(&piece[..n_read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_hashed_in_pieces_and_a_folder_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let bytes = vec![7; 200_000];
        std::fs::write(file("a"), &bytes).unwrap();
        let hashed = |path: &Path| {
            let mut hash = Sha256::new();
            hash_path(&mut hash, path).unwrap();
            hash.finalize()
        };
        let mut whole = Sha256::new();
        part(&mut whole, &bytes);
        assert_eq!(hashed(&file("a")), whole.finalize());
        let before = hashed(folder.path());
        std::fs::write(file("b"), b"").unwrap();
        let with_b = hashed(folder.path());
        std::fs::rename(file("b"), file("c")).unwrap();
        assert!(before != with_b && with_b != hashed(folder.path()));
    }
}
