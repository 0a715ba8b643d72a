//! `cargo xtask bench`: what quantfit gives beside its peers, in one run.

use crate::conformance::python;
use crate::quantize::build;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// What is to be measured.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Quantize every model of a folder once, without a search, and print the metrics; xtask/bench/ptq.py says what the
    /// folder must hold
    #[arg(long, value_name = "DIR", required_unless_present = "runtime")]
    ptq: Option<PathBuf>,
    /// Time the default deploy file of every model of a folder beside the float model in ONNX Runtime
    #[arg(long, value_name = "DIR")]
    runtime: Option<PathBuf>,
    /// A script that runs a peer on a folder: the peers' metrics are printed beside
    #[arg(long, value_name = "ON_FOLDER.py")]
    peers: Option<PathBuf>,
    /// The Python that has the peers
    #[arg(long, value_name = "PYTHON", requires = "peers")]
    python: Option<PathBuf>,
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
    let Some(folder) = &args.ptq else { return Ok(()) };
    let folder = here.join(folder);
    let mut more: Vec<PathBuf> = Vec::new();
    if let Some(peers) = &args.peers {
        more.extend(["--peers".into(), here.join(peers)]);
    }
    if let Some(python) = &args.python {
        more.extend(["--python".into(), here.join(python)]);
    }
    cmd!(sh, "{python} xtask/bench/ptq.py {program} {folder} {more...} {only...}").run()?;
    Ok(())
}
