//! `cargo xtask ci`: the checks of CI, the cheapest first.

use crate::{arm, conformance, deny, fuzz, python, site, tidy};
use anyhow::Context;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// Runs all checks; stops at the first failure.
pub(crate) fn ci(sh: &Shell) -> anyhow::Result<()> {
    cmd!(sh, "cargo fmt --all --check").run()?;
    tidy::tidy(sh)?;
    deny::deny(sh)?;
    site::site(sh)?;
    cmd!(sh, "cargo clippy --workspace --all-targets -- -D warnings").run()?;
    tests(sh)?;
    cmd!(sh, "cargo doc --workspace --no-deps --document-private-items")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    arm::arm(sh)?;
    fuzz::briefly(sh)?;
    embedding(sh)?;
    python::python(sh)?;
    conformance::nodes(sh, false)?;
    conformance::bundled(sh)?;
    conformance::cases(sh, &[])
}

/// Runs the tests, with the libraries of the runtimes.
fn tests(sh: &Shell) -> anyhow::Result<()> {
    let folder = |python: PathBuf| {
        python.parent().and_then(Path::parent).map(Path::to_owned).context("an environment")
    };
    let onnxruntime = folder(conformance::python(sh)?)?;
    let openvino = folder(conformance::python_of_runtimes(sh)?)?;
    cmd!(sh, "cargo test --workspace")
        .env("ORT_DYLIB_PATH", onnxruntime)
        .env("INTEL_OPENVINO_DIR", openvino)
        .env("INTACT8_REQUIRE_RUNTIMES", "1")
        .run()?;
    Ok(())
}

/// Builds and runs the program outside the workspace that embeds the passes and calibration.
fn embedding(sh: &Shell) -> anyhow::Result<()> {
    let target = sh.current_dir().join("target/embedding");
    let manifest = "examples/embedding/Cargo.toml";
    cmd!(sh, "cargo run --quiet --manifest-path {manifest}")
        .env("CARGO_TARGET_DIR", target)
        .ignore_stdout()
        .run()?;
    Ok(())
}
