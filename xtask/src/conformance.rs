//! `cargo xtask conformance`: our interpreter and what we write, against tools that nobody here wrote.

use crate::quantize::{build, build_example};
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// What is to be checked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run the node tests of the onnx package; docs/conformance.tsv and docs/ops.md must say what comes of them
    #[arg(long)]
    nodes: bool,
    /// Rewrite the two files instead
    #[arg(long, requires = "nodes")]
    bless: bool,
    /// Run every model of a folder on its data, and compare all that is computed, and the time, with ONNX Runtime;
    /// xtask/conformance/models.py says what the folder must hold
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Of that folder, only this model; may be repeated
    #[arg(long, value_name = "NAME", requires = "models")]
    only: Vec<String>,
}

/// The bundled models, with the drop that each is quantized for.
const MODELS: &[(&str, &str)] = &[("digits", "0.002"), ("digits-hard", "0.002")];

/// Checks what is asked for; paths are meant from the folder `here`.
pub(crate) fn conformance(sh: &Shell, here: &Path, args: &Args) -> anyhow::Result<()> {
    if args.nodes {
        nodes(sh, args.bless)?;
    }
    if let Some(folder) = &args.models {
        models(sh, &here.join(folder), &args.only)?;
    }
    if args.nodes || args.models.is_some() { Ok(()) } else { bundled(sh) }
}

/// Runs the node tests of the pinned onnx package. Every case must pass, or be listed with the reason why not.
pub(crate) fn nodes(sh: &Shell, bless: bool) -> anyhow::Result<()> {
    let (python, program) = (python(sh)?, build_example(sh, "node_tests")?);
    let cases = Path::new("target/conformance/nodes");
    sh.remove_path(cases)?;
    cmd!(sh, "{python} xtask/conformance/nodes.py {cases}").run()?;
    let env = bless.then_some(("UPDATE_EXPECT", "1"));
    let table = "docs/conformance.tsv";
    cmd!(sh, "{program} {cases} xtask/conformance/unsupported.txt --table {table}").envs(env).run()?;
    cmd!(sh, "cargo test --quiet --package fixtures --test it operators").envs(env).run()?;
    Ok(())
}

/// Runs models on their data, in our interpreter and in ONNX Runtime, and so their quantized files in every form.
fn models(sh: &Shell, folder: &Path, only: &[String]) -> anyhow::Result<()> {
    let (python, serve, program) = (python(sh)?, build_example(sh, "serve")?, build(sh)?);
    let agree = cmd!(sh, "{python} xtask/conformance/models.py {serve} {folder} {only...}").run();
    cmd!(sh, "{python} xtask/conformance/flavours.py {program} {serve} {folder} {only...}").run()?;
    agree?;
    Ok(())
}

/// Quantizes the bundled models and compares the files with our interpreter in ONNX Runtime.
pub(crate) fn bundled(sh: &Shell) -> anyhow::Result<()> {
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
pub(crate) fn python(sh: &Shell) -> anyhow::Result<PathBuf> {
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
