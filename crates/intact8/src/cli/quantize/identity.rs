//! The identity of a run in its journal: runs with the same identity have the same scores.

use super::Args;
use anyhow::Context;
use intact8::data::data_files;
use intact8::{Goal, Model, OutputFiles, QuantConfig};
use sha2::{Digest, Sha256};

/// A hash of model, configuration, data and goals. It does not cover the files of an evaluation command. The strategy is not part
/// of it, since strategies can use each other's scores; but the calibration on a rung of the ladder depends on the layers that
/// reach it together, so with a ladder everything that determines them is included.
pub(super) fn identity(
    args: &Args,
    model: &Model,
    config: &QuantConfig,
    goals: &[Goal],
    files: &OutputFiles,
) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    // Each part is preceded by its length, so that bytes can't move from one part to the next unnoticed.
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(env!("CARGO_PKG_VERSION").as_bytes());
    let data = [Some(&args.calib), args.eval.as_ref()].into_iter().flatten().map(|path| data_files(path));
    let data = data.collect::<intact8::Result<Vec<_>>>()?.concat();
    for path in std::iter::once(&args.model).chain(&data) {
        part(&std::fs::read(path).with_context(|| path.display().to_string())?);
    }
    // External tensors are not in the bytes of the model's file.
    for (_, graph) in model.graphs() {
        for tensor in graph.topo().into_iter().filter_map(|id| graph.constant(id.into())) {
            part(&tensor.to_le_bytes());
        }
    }
    part(config.to_json().as_bytes());
    let goals: Vec<String> = goals.iter().map(|goal| format!("{} {}", goal.name, goal.shown())).collect();
    part(
        format!("{:?} {goals:?} {:?} {}", args.eval_cmd, args.feeding.feeding(), args.no_early_stop)
            .as_bytes(),
    );
    // Trials are scored in the first deploy format.
    let format = files.deploy.first().map(|(format, _)| format.name());
    part(format!("{format:?} {} {}", files.emission.target.name, files.emission.contrib).as_bytes());
    // With less memory, layers may be left out of stages.
    part(format!("{:?}", args.memory).as_bytes());
    if !args.ladder.is_empty() {
        part(
            format!("{:?} {} {} {:?}", args.ladder, args.strategy, args.sensitivity, args.groups).as_bytes(),
        );
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
