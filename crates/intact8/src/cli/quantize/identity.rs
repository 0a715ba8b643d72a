//! The identity of a run in its journal: runs with the same identity have the same scores.

use super::Args;
use intact8::data::data_files;
use intact8::{ChosenRuntime, Goal, Model, OutputFiles, QuantConfig, file_sha256};
use sha2::{Digest, Sha256};

/// A hash of the contents of the data.
///
/// # Errors
/// If a file can't be read.
pub(super) fn of_data(args: &Args) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    let data = [Some(&args.data.calib), args.data.eval.as_ref()].into_iter().flatten();
    let files = data.map(|path| data_files(path)).collect::<intact8::Result<Vec<_>>>()?.concat();
    for path in files.iter().chain(args.data.feeding.feeding()?.images.classes.as_ref()) {
        part(&mut hash, file_sha256(path)?.as_bytes());
    }
    Ok(digits(hash))
}

/// A hash of model, configuration, data and goals. It does not cover the files of an evaluation command. The strategy is not part
/// of it, since strategies can use each other's scores; but the calibration on a rung of the ladder depends on the layers that
/// reach it together, so with a ladder everything that determines them is included.
pub(super) fn identity(
    args: &Args,
    data: &str,
    model: &Model,
    config: &QuantConfig,
    goals: &[Goal],
    files: &OutputFiles,
    runtime: Option<&ChosenRuntime>,
) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    part(&mut hash, env!("CARGO_PKG_VERSION").as_bytes());
    part(&mut hash, file_sha256(&args.model)?.as_bytes());
    part(&mut hash, data.as_bytes());
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
            args.data.feeding.feeding()?,
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
    Ok(digits(hash))
}

fn digits(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adds bytes to a hash. They are preceded by their length, so that bytes can't move from one part to the next unnoticed.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}
