//! `cargo xtask bench`: measures accuracy, searches and speed, of intact8 and of its peers.

use crate::conformance::python;
use crate::quantize::build;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// The measurements to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Quantize every model of a folder once, without a search, and print the metrics; xtask/bench/folder.py describes
    /// the folder
    #[arg(long, value_name = "DIR", required_unless_present_any = ["search", "runtime", "costs"], conflicts_with = "search")]
    ptq: Option<PathBuf>,
    /// Search on every model of a folder, with at most 1 % loss, and print results and times
    #[arg(long, value_name = "DIR")]
    search: Option<PathBuf>,
    /// Compare the time of the default deploy model with that of the float model in ONNX Runtime, for every model of a
    /// folder
    #[arg(long, value_name = "DIR")]
    runtime: Option<PathBuf>,
    /// Measure the times of operators in a runtime, and write the table from which the fastest placement of int8 is found;
    /// xtask/bench/costs.py describes it
    #[arg(long, value_name = "RUNTIME", value_parser = ["onnxruntime"])]
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
        cmd!(sh, "{python} xtask/bench/costs.py {runtime} {folder} {only...}").run()?;
        if args.runtime.is_none() && args.ptq.is_none() && args.search.is_none() {
            return Ok(());
        }
    }
    let program = build(sh)?;
    if let Some(folder) = &args.runtime {
        let folder = here.join(folder);
        cmd!(sh, "{python} xtask/bench/runtime.py {program} {folder} {only...}").run()?;
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
