//! `cargo xtask bench`: what intact8 gives beside its peers, in one run.

use crate::conformance::python;
use crate::quantize::build;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// What is to be measured.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Quantize every model of a folder once, without a search, and print the metrics; xtask/bench/folder.py says what the
    /// folder must hold
    #[arg(long, value_name = "DIR", required_unless_present_any = ["search", "runtime"], conflicts_with = "search")]
    ptq: Option<PathBuf>,
    /// Search on every model of a folder, to lose no more than 1 %, and print what was found and what it took
    #[arg(long, value_name = "DIR")]
    search: Option<PathBuf>,
    /// Time the default deploy file of every model of a folder beside the float model in ONNX Runtime
    #[arg(long, value_name = "DIR")]
    runtime: Option<PathBuf>,
    /// Let ONNX Runtime score every trial of a search, and not only where intact8 lacks the metric
    #[arg(long, requires = "search")]
    by_command: bool,
    /// What the models are to run on, as `intact8 config --target` has it; not for --runtime
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// A script that runs a peer on a folder: the peers' figures are printed beside
    #[arg(long, value_name = "ON_FOLDER.py")]
    peers: Option<PathBuf>,
    /// The Python that has the peers
    #[arg(long, value_name = "PYTHON", requires = "peers")]
    python: Option<PathBuf>,
    /// The peers, as the script calls them
    #[arg(long, value_name = "a,b", requires = "peers")]
    tools: Option<String>,
    /// Only this model; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

/// Measures what is asked for; paths are meant from the folder `here`.
pub(crate) fn bench(sh: &Shell, here: &Path, args: &Args) -> anyhow::Result<()> {
    let (python, program) = (python(sh)?, build(sh)?);
    let only = &args.only;
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
