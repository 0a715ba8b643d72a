//! `cargo xtask fuzz`: feeds the fuzz targets with changed seeds, several targets at the same time.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use xshell::{Shell, cmd};

/// The time of a target in CI, in seconds.
const SECONDS: u64 = 60;

/// The targets, and the time.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The targets; default: all
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// The time of each target
    #[arg(long, value_name = "N", default_value_t = SECONDS)]
    seconds: u64,
    /// The number that chooses the inputs: the same inputs for the same number
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Feed the target with this file instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seconds", "seed"])]
    input: Option<PathBuf>,
}

/// Feeds the targets; a relative path of the user starts at the folder `here`.
pub(crate) fn fuzz(sh: &Shell, here: &Path, args: &Args) -> anyhow::Result<()> {
    let program = build(sh)?;
    let Some(input) = &args.input else {
        return feed_all(sh, &program, &args.targets, args.seconds, args.seed);
    };
    let [target] = &args.targets[..] else { bail!("--input: name one target") };
    let input = here.join(input);
    Ok(cmd!(sh, "{program} {target} {input}").quiet().run()?)
}

/// Feeds every target, as CI does.
pub(crate) fn briefly(sh: &Shell) -> anyhow::Result<()> {
    feed_all(sh, &build(sh)?, &[], SECONDS, 0)
}

/// Builds the program without the optimizations that leave out checks of arithmetic.
fn build(sh: &Shell) -> anyhow::Result<PathBuf> {
    cmd!(sh, "cargo build --quiet --package fixtures --example fuzz").quiet().run()?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sh.current_dir().join("target"), PathBuf::from);
    Ok(target.join("debug/examples").join(format!("fuzz{}", std::env::consts::EXE_SUFFIX)))
}

/// Runs one process for each core, until every target has had its time. An input that ends its process joins those that failed.
fn feed_all(sh: &Shell, program: &Path, targets: &[String], seconds: u64, seed: u64) -> anyhow::Result<()> {
    let all = cmd!(sh, "{program}").quiet().read()?;
    let targets =
        if targets.is_empty() { all.lines().map(str::to_owned).collect() } else { targets.to_vec() };
    let (waiting, failures) = (Mutex::new(targets), Mutex::new(Vec::new()));
    let root = sh.current_dir();
    let next = || waiting.lock().ok()?.pop();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(target) = next() {
                    if let Err(error) = feed(program, &root, &target, seconds, seed) {
                        failures
                            .lock()
                            .into_iter()
                            .for_each(|mut failures| failures.push(format!("{error:#}")));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    if failures.is_empty() { Ok(()) } else { bail!("fuzz:\n{}", failures.join("\n")) }
}

fn feed(program: &Path, root: &Path, target: &str, seconds: u64, seed: u64) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args([target, &seconds.to_string(), &seed.to_string()]).current_dir(root);
    // One thread each: the targets share the cores.
    command.env("RAYON_NUM_THREADS", "1");
    if let Some(memory) = Some(Path::new("/dev/shm")).filter(|folder| folder.is_dir()) {
        // Temporary files, which are written durably, are faster in memory.
        command.env("TMPDIR", memory);
    }
    let status = command.status();
    let status = status.with_context(|| program.display().to_string())?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => bail!("{target}: see above"),
        _ => {
            let saved = format!("fixtures/fuzz/{target}/ended-{seed}");
            std::fs::create_dir_all(root.join("fixtures/fuzz").join(target))?;
            std::fs::rename(root.join("target/fuzz").join(target), root.join(&saved))?;
            bail!("{target}: the process ended ({status}); again: cargo xtask fuzz {target} --input {saved}")
        }
    }
}
