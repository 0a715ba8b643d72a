//! The checks of the Python package: its wheel is built, installed into a fresh environment and tested, and its types are checked.

use crate::conformance;
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// The largest wheel in bytes.
const MAX_WHEEL: u64 = 15_000_000;

/// Builds the wheel in release mode, and tests it.
pub(crate) fn python(sh: &Shell) -> anyhow::Result<()> {
    let python = conformance::environment(sh, "venv-python", "requirements-python.txt")?;
    let wheel = wheel(sh, &python)?;
    let size = std::fs::metadata(&wheel)?.len();
    ensure!(size <= MAX_WHEEL, "{}: has {size} bytes, more than {MAX_WHEEL}", wheel.display());
    install(sh, &python, &wheel)?;
    only_numpy(sh, &wheel)?;
    // The tests run the installed package, and not the folder of its source.
    let tests = sh.current_dir().join("python/tests");
    cmd!(sh, "{python} -m pytest {tests}").run()?;
    on_cluster(sh, &wheel)?;
    let _folder = sh.push_dir("python");
    cmd!(sh, "{python} -m mypy").run()?;
    cmd!(sh, "{python} -m mypy --strict examples").run()?;
    cmd!(sh, "{python} -m pyright --pythonpath {python}").run()?;
    Ok(())
}

/// Installs the wheel into an environment. Its packages stay; the wheel is that of now.
fn install(sh: &Shell, python: &Path, wheel: &Path) -> anyhow::Result<()> {
    cmd!(sh, "{python} -m pip uninstall --quiet --yes intact8").ignore_status().run()?;
    cmd!(sh, "{python} -m pip install --quiet --disable-pip-version-check --no-deps --no-index {wheel}")
        .run()?;
    Ok(())
}

/// The tests of Ray start a cluster on this machine. They find its workers as Linux shows processes.
fn on_cluster(sh: &Shell, wheel: &Path) -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let python = conformance::environment(sh, "venv-ray", "requirements-ray.txt")?;
    install(sh, &python, wheel)?;
    let tests = sh.current_dir().join("python/tests/test_ray.py");
    cmd!(sh, "{python} -m pytest {tests}").env("INTACT8_REQUIRE_RAY", "1").run()?;
    Ok(())
}

/// Builds the wheel with the workspace's own target folder.
fn wheel(sh: &Shell, python: &Path) -> anyhow::Result<PathBuf> {
    let out = sh.current_dir().join("target/wheels");
    sh.remove_path(&out)?;
    let scripts = python.parent().context("an environment has a folder of programs")?;
    let maturin = scripts.join("maturin");
    cmd!(sh, "{maturin} build --release --quiet --manifest-path python/Cargo.toml --out {out} --interpreter {python}")
        .run()?;
    let wheels = sh.read_dir(&out)?.into_iter();
    let mut wheels = wheels.filter(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheels.next().with_context(|| format!("{}: holds no wheel", out.display()))
}

/// The wheel runs in an environment that has only what it requires.
fn only_numpy(sh: &Shell, wheel: &Path) -> anyhow::Result<()> {
    let folder = sh.current_dir().join("target/conformance/venv-wheel");
    sh.remove_path(&folder)?;
    cmd!(sh, "python3 -m venv {folder}").run()?;
    let programs = folder.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let python = programs.join(format!("python{}", std::env::consts::EXE_SUFFIX));
    cmd!(sh, "{python} -m pip install --quiet --disable-pip-version-check {wheel}").run()?;
    let example = sh.current_dir().join("python/examples/numpy_only.py");
    let models = sh.current_dir().join("fixtures/models/digits");
    cmd!(sh, "{python} {example} {models}").run()?;
    let command = programs.join(format!("intact8{}", std::env::consts::EXE_SUFFIX));
    cmd!(sh, "{command} --version").run()?;
    Ok(())
}
