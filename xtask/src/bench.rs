//! `cargo xtask bench`: measures accuracy, searches and speed, of intact8 and of its peers.

use crate::conformance::{python, python_of_runtimes};
use crate::quantize::build;
use anyhow::bail;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// The measurements to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Quantize every model of a folder once, without a search, and print the metrics; xtask/bench/folder.py describes
    /// the folder
    #[arg(long, value_name = "DIR", required_unless_present_any = ["search", "runtime", "costs", "speed"], conflicts_with = "search")]
    ptq: Option<PathBuf>,
    /// Search on every model of a folder, with at most 1 % loss, and print results and times
    #[arg(long, value_name = "DIR")]
    search: Option<PathBuf>,
    /// Compare the time of the default deploy model with that of the float model in ONNX Runtime, for every model of a
    /// folder
    #[arg(long, value_name = "DIR")]
    runtime: Option<PathBuf>,
    /// Compare the time of the models of folders in our interpreter with that in ONNX Runtime; xtask/bench/speed.py describes what is
    /// compared
    #[arg(long)]
    speed: bool,
    /// The folders of --speed
    #[arg(value_name = "DIR", requires = "speed")]
    folders: Vec<PathBuf>,
    /// Compare the speed of ResNet-18, ResNet-50, MobileNetV2 and ViT-Tiny with random weights too
    #[arg(long, requires = "speed")]
    standard: bool,
    /// Compare the speed of the int8 deploy files too
    #[arg(long, requires = "speed")]
    int8: bool,
    /// Leave the allocator of --speed as it is, which may give memory back to the system after each run
    #[arg(long, requires = "speed")]
    default_allocator: bool,
    /// Number of threads of a run of --speed
    #[arg(long, value_name = "N", requires = "speed")]
    threads: Option<u16>,
    /// Number of samples in a batch of --speed
    #[arg(long, value_name = "N", requires = "speed")]
    batch: Option<u16>,
    /// Seconds for each file in each runtime of --speed
    #[arg(long, value_name = "S", requires = "speed")]
    seconds: Option<f64>,
    /// Write the results of --speed to this file
    #[arg(long, value_name = "FILE", requires = "speed")]
    json: Option<PathBuf>,
    /// Measure the times of operators in a runtime, and write the table from which the fastest placement of int8 is found;
    /// xtask/bench/costs.py describes it
    #[arg(long, value_name = "RUNTIME", value_parser = ["onnxruntime", "openvino"])]
    costs: Option<String>,
    /// Score every trial of a search in ONNX Runtime, instead of only those with metrics that intact8 lacks
    #[arg(long, requires = "search")]
    by_command: bool,
    /// The target, as in `intact8 config --target`; not for --runtime
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// A script that runs a peer on a folder; its results are printed too
    #[arg(long, value_name = "ON_FOLDER.py")]
    peers: Option<PathBuf>,
    /// The Python interpreter with the peers
    #[arg(long, value_name = "PYTHON", requires = "peers")]
    python: Option<PathBuf>,
    /// The names of the peers in that script
    #[arg(long, value_name = "a,b", requires = "peers")]
    tools: Option<String>,
    /// Only this model, or for --costs this operator; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

/// Runs the selected measurements; relative paths start at the folder `here`.
pub(crate) fn bench(sh: &Shell, here: &Path, args: &Args) -> anyhow::Result<()> {
    let (python, only) = (python(sh)?, &args.only);
    if let Some(runtime) = &args.costs {
        let folder = "crates/quant/src/placement";
        let python = if runtime == "openvino" { python_of_runtimes(sh)? } else { python.clone() };
        cmd!(sh, "{python} xtask/bench/costs.py {runtime} {folder} {only...}").run()?;
        if args.runtime.is_none() && args.ptq.is_none() && args.search.is_none() && !args.speed {
            return Ok(());
        }
    }
    let program = build(sh)?;
    if let Some(folder) = &args.runtime {
        let folder = here.join(folder);
        cmd!(sh, "{python} xtask/bench/runtime.py {program} {folder} {only...}").run()?;
    }
    if args.speed {
        speed(sh, here, args, &python, &program)?;
    }
    let (script, folder) = match (&args.ptq, &args.search) {
        (Some(folder), _) => ("xtask/bench/ptq.py", folder),
        (None, Some(folder)) => ("xtask/bench/search.py", folder),
        (None, None) => return Ok(()),
    };
    let folder = here.join(folder);
    let mut more: Vec<PathBuf> = Vec::new();
    if args.by_command {
        more.push("--by-command".into());
    }
    if let Some(target) = &args.target {
        more.extend(["--target".into(), target.into()]);
    }
    if let Some(peers) = &args.peers {
        more.extend(["--peers".into(), here.join(peers)]);
    }
    if let Some(python) = &args.python {
        more.extend(["--python".into(), here.join(python)]);
    }
    if let Some(tools) = &args.tools {
        more.extend(["--tools".into(), tools.into()]);
    }
    cmd!(sh, "{python} {script} {program} {folder} {more...} {only...}").run()?;
    Ok(())
}

/// Compares the speed of models with that in ONNX Runtime.
fn speed(sh: &Shell, here: &Path, args: &Args, python: &Path, program: &Path) -> anyhow::Result<()> {
    let mut folders: Vec<PathBuf> = args.folders.iter().map(|folder| here.join(folder)).collect();
    if args.standard {
        let standard = PathBuf::from("target/bench/standard");
        cmd!(sh, "{python} xtask/bench/standard_nets.py {standard}").run()?;
        folders.push(standard);
    }
    if folders.is_empty() {
        bail!("--speed: name folders with models, or use --standard");
    }
    let mut more: Vec<OsString> = Vec::new();
    if args.int8 {
        more.push("--int8".into());
    }
    if args.default_allocator {
        more.push("--default-allocator".into());
    }
    let mut add = |option: &str, value: Option<OsString>| {
        more.extend(value.into_iter().flat_map(|value| [option.into(), value]));
    };
    add("--threads", args.threads.map(|n| n.to_string().into()));
    add("--batch", args.batch.map(|n| n.to_string().into()));
    add("--seconds", args.seconds.map(|seconds| seconds.to_string().into()));
    add("--target", args.target.as_ref().map(OsString::from));
    add("--json", args.json.as_ref().map(|path| here.join(path).into()));
    args.only.iter().for_each(|name| add("--only", Some(name.into())));
    cmd!(sh, "{python} xtask/bench/speed.py {program} {folders...} {more...}").run()?;
    Ok(())
}
