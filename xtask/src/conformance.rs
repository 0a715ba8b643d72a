//! `cargo xtask conformance`: what we write is loaded and run by tools that nobody here wrote.

use crate::quantize::build;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// The bundled models, with the drop that each is quantized for.
const MODELS: &[(&str, &str)] = &[("digits", "0.002"), ("digits-hard", "0.002")];

/// Quantizes the bundled models and compares the files with our interpreter in ONNX Runtime.
pub(crate) fn conformance(sh: &Shell) -> anyhow::Result<()> {
    let program = build(sh)?;
    let python = python(sh)?;
    for (name, max_drop) in MODELS {
        let (data, out) =
            (Path::new("fixtures/models").join(name), Path::new("target/conformance").join(name));
        let [model, calib, eval] = ["model.onnx", "calib.npz", "eval.npz"].map(|file| data.join(file));
        let (save, summary) = (out.join(name), out.join("summary.json"));
        cmd!(sh, "{program} quantize {model} --calib {calib} --eval {eval} --max-drop {max_drop} --save {save} --json {summary}").run()?;
        for flavour in ["fake_quant", "deploy"] {
            let file = out.join(format!("{name}_{flavour}_model.onnx"));
            let outputs = out.join(format!("{flavour}.npz"));
            cmd!(sh, "{program} run {file} --input {eval} --output {outputs}")
                .quiet()
                .ignore_stdout()
                .run()?;
            cmd!(sh, "{python} xtask/conformance/outputs.py {file} {eval} {outputs} {summary}").run()?;
        }
    }
    Ok(())
}

/// A virtual environment with the pinned packages, made where there is none or where the pins have changed.
fn python(sh: &Shell) -> anyhow::Result<PathBuf> {
    let folder = sh.current_dir().join("target/conformance/venv");
    let pins = sh.read_file("xtask/conformance/requirements.txt")?;
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let stamp = folder.join("requirements.txt");
    if sh.read_file(&stamp).is_ok_and(|installed| installed == pins) {
        return Ok(python);
    }
    sh.remove_path(&folder)?;
    cmd!(sh, "python3 -m venv {folder}").run()?;
    cmd!(
        sh,
        "{python} -m pip install --quiet --disable-pip-version-check -r xtask/conformance/requirements.txt"
    )
    .run()?;
    sh.write_file(&stamp, pins)?;
    Ok(python)
}
