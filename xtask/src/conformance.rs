//! `cargo xtask conformance`: compares the interpreter and the written files with other implementations of ONNX.

use crate::quantize::{build, build_example};
use clap::ArgGroup;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// The comparisons to run.
#[derive(clap::Args)]
#[command(group(ArgGroup::new("tables").args(["nodes", "runtimes"]).multiple(true)))]
#[command(group(ArgGroup::new("folders").args(["models", "half", "runtimes", "cases"]).multiple(true)))]
pub(crate) struct Args {
    /// Run the node tests of the onnx package, and compare the results with docs/conformance.tsv and docs/ops.md
    #[arg(long)]
    nodes: bool,
    /// Rewrite these files instead of comparing
    #[arg(long, requires = "tables")]
    bless: bool,
    /// Run every model of a folder on its data, and compare all values and the time with ONNX Runtime;
    /// xtask/conformance/models.py describes the folder
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Quantize every model of a folder and an f16 copy of it, and compare the metrics, the SQNR and the numbers of
    /// layers; xtask/conformance/half.py describes the folder
    #[arg(long, value_name = "DIR")]
    half: Option<PathBuf>,
    /// Run the quantized files of the bundled models, and of such a folder, in OpenVINO and in tract, and compare the
    /// results with docs/runtimes.md
    #[arg(long, value_name = "DIR")]
    runtimes: Option<Option<PathBuf>>,
    /// Run so many random models of each family in ONNX Runtime: as they are, prepared, fake-quant, and in every deploy
    /// format
    #[arg(long, value_name = "N")]
    random: Option<u32>,
    /// Quantize small graphs that optimizers of runtimes change for every target, and run each file in ONNX Runtime,
    /// OpenVINO and tract: the result must be the reported one
    #[arg(long)]
    cases: bool,
    /// Only this model or graph; may be repeated
    #[arg(long, value_name = "NAME", requires = "folders")]
    only: Vec<String>,
}

/// The bundled models, each with its largest drop of the metric.
const MODELS: &[(&str, &str)] = &[("digits", "0.002"), ("digits-hard", "0.002")];

/// Runs the selected comparisons; relative paths start at the folder `here`.
pub(crate) fn conformance(sh: &Shell, here: &Path, args: &Args) -> anyhow::Result<()> {
    if args.nodes {
        nodes(sh, args.bless)?;
    }
    if let Some(folder) = &args.models {
        models(sh, &here.join(folder), &args.only)?;
    }
    if let Some(folder) = &args.half {
        half(sh, &here.join(folder), &args.only)?;
    }
    if let Some(folder) = &args.runtimes {
        let folder = folder.as_ref().map(|folder| here.join(folder));
        runtimes(sh, folder.as_deref(), &args.only, args.bless)?;
    }
    if let Some(n_cases) = args.random {
        random(sh, n_cases)?;
    }
    if args.cases {
        cases(sh, &args.only)?;
    }
    let others = [args.models.is_some(), args.half.is_some(), args.runtimes.is_some(), args.random.is_some()];
    if args.nodes || args.cases || others.contains(&true) { Ok(()) } else { bundled(sh) }
}

/// Runs the node tests of the pinned onnx package. Every case must pass or be listed with a reason.
pub(crate) fn nodes(sh: &Shell, bless: bool) -> anyhow::Result<()> {
    let (python, program) = (python(sh)?, build_example(sh, "node_tests")?);
    let cases = Path::new("target/conformance/nodes");
    sh.remove_path(cases)?;
    cmd!(sh, "{python} xtask/conformance/nodes.py {cases}").run()?;
    let env = bless.then_some(("UPDATE_EXPECT", "1"));
    let table = "docs/conformance.tsv";
    cmd!(sh, "{program} {cases} xtask/conformance/unsupported.txt --table {table}").envs(env).run()?;
    cmd!(sh, "cargo test --quiet --package fixtures --test goldens docs::operators").envs(env).run()?;
    Ok(())
}

/// Runs models on their data, in the interpreter and in ONNX Runtime, and then their quantized files in every deploy
/// format.
fn models(sh: &Shell, folder: &Path, only: &[String]) -> anyhow::Result<()> {
    let (python, serve, program) = (python(sh)?, build_example(sh, "serve")?, build(sh)?);
    let agree = cmd!(sh, "{python} xtask/conformance/models.py {serve} {folder} {only...}").run();
    cmd!(sh, "{python} xtask/conformance/formats.py {program} {serve} {folder} {only...}").run()?;
    agree?;
    Ok(())
}

/// Quantizes models and f16 copies of them, and compares the results.
fn half(sh: &Shell, folder: &Path, only: &[String]) -> anyhow::Result<()> {
    let (python, program) = (python(sh)?, build(sh)?);
    cmd!(sh, "{python} xtask/conformance/half.py {program} {folder} {only...}").run()?;
    Ok(())
}

/// Runs random models of each family in our interpreter and in ONNX Runtime.
fn random(sh: &Shell, n_cases: u32) -> anyhow::Result<()> {
    let (python, program) = (python(sh)?, build_example(sh, "random_models")?);
    let folder = Path::new("target/conformance/random");
    sh.remove_path(folder)?;
    let n_cases = n_cases.to_string();
    cmd!(sh, "{program} {folder} {n_cases}").run()?;
    cmd!(sh, "{python} xtask/conformance/random_models.py {folder}").run()?;
    Ok(())
}

/// Runs the quantized files of the bundled models, and of those of a folder, in OpenVINO and tract.
fn runtimes(sh: &Shell, folder: Option<&Path>, only: &[String], bless: bool) -> anyhow::Result<()> {
    let python = python_of_runtimes(sh)?;
    let (program, serve) = (build(sh)?, build_example(sh, "serve")?);
    let mode = if bless { "bless" } else { "compare" };
    let folder = folder.unwrap_or(Path::new(""));
    let page = "docs/runtimes.md";
    cmd!(sh, "{python} xtask/conformance/runtimes.py {program} {serve} {page} {mode} {folder} {only...}")
        .run()?;
    Ok(())
}

/// Quantizes small graphs for every target, and runs the files in ONNX Runtime, OpenVINO and tract.
pub(crate) fn cases(sh: &Shell, only: &[String]) -> anyhow::Result<()> {
    let python = python_of_runtimes(sh)?;
    let program = build(sh)?;
    cmd!(sh, "{python} xtask/conformance/cases.py {program} {only...}").run()?;
    Ok(())
}

/// Quantizes the bundled models and compares their outputs in ONNX Runtime with those of the interpreter.
pub(crate) fn bundled(sh: &Shell) -> anyhow::Result<()> {
    let program = build(sh)?;
    let python = python(sh)?;
    for (name, max_drop) in MODELS {
        let (data, out) =
            (Path::new("fixtures/models").join(name), Path::new("target/conformance").join(name));
        let [model, calib, eval] = ["model.onnx", "calib.npz", "eval.npz"].map(|file| data.join(file));
        let (save, summary) = (out.join(name), out.join("summary.json"));
        cmd!(sh, "{program} quantize {model} --calib {calib} --eval {eval} --max-drop {max_drop} --save {save} --json {summary}").run()?;
        for kind in ["fake_quant", "deploy"] {
            let file = out.join(format!("{name}_{kind}_model.onnx"));
            let outputs = out.join(format!("{kind}.npz"));
            cmd!(sh, "{program} run {file} --input {eval} --output {outputs}")
                .quiet()
                .ignore_stdout()
                .run()?;
            cmd!(sh, "{python} xtask/conformance/outputs.py {file} {eval} {outputs} {summary}").run()?;
        }
    }
    Ok(())
}

/// The virtual environment for all comparisons except for `--runtimes` and `--cases`.
pub(crate) fn python(sh: &Shell) -> anyhow::Result<PathBuf> {
    environment(sh, "venv", "requirements.txt")
}

/// The virtual environment of these.
pub(crate) fn python_of_runtimes(sh: &Shell) -> anyhow::Result<PathBuf> {
    environment(sh, "venv-runtimes", "requirements-runtimes.txt")
}

/// A virtual environment with pinned packages; created if it is missing or the pins have changed.
pub(crate) fn environment(sh: &Shell, name: &str, pins: &str) -> anyhow::Result<PathBuf> {
    let folder = sh.current_dir().join("target/conformance").join(name);
    let requirements = Path::new("xtask/conformance").join(pins);
    let pins = sh.read_file(&requirements)?;
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let stamp = folder.join("requirements.txt");
    if sh.read_file(&stamp).is_ok_and(|installed| installed == pins) {
        return Ok(python);
    }
    sh.remove_path(&folder)?;
    cmd!(sh, "python3 -m venv {folder}").run()?;
    cmd!(sh, "{python} -m pip install --quiet --disable-pip-version-check -r {requirements}").run()?;
    sh.write_file(&stamp, pins)?;
    Ok(python)
}
