//! `cargo xtask tidy`: rules of the project that no lint covers.

use anyhow::{Context, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// The workspace packages that each package may depend on, except for tests and benches; the table of
/// `ARCHITECTURE.md`.
const ARROWS: &[(&str, &[&str])] = &[
    ("intact8-ir", &[]),
    ("intact8-kernels", &[]),
    ("intact8-onnx", &["intact8-ir"]),
    ("intact8-infer", &["intact8-ir"]),
    ("intact8-interp", &["intact8-ir", "intact8-kernels"]),
    ("intact8-quant", &["intact8-infer", "intact8-ir", "intact8-kernels"]),
    ("intact8-search", &["intact8-ir", "intact8-interp", "intact8-quant"]),
    (
        "intact8",
        &["intact8-infer", "intact8-interp", "intact8-ir", "intact8-onnx", "intact8-quant", "intact8-search"],
    ),
    ("xtask", &[]),
    ("fixtures", &["intact8", "intact8-ir", "intact8-onnx"]),
    ("benches", &[]),
];

/// External packages that only one package may link.
const CONFINED: &[(&str, &str)] =
    &[("protobuf", "intact8-onnx"), ("onnx-protobuf", "intact8-onnx"), ("memmap2", "intact8-onnx")];

/// The largest number of lines of a source file: a longer file has two subjects.
const MAX_LINES: usize = 400;

/// Collects all violations, and fails if there are any.
pub(crate) fn tidy(sh: &Shell) -> anyhow::Result<()> {
    let mut broken = Vec::new();
    arrows(sh, &mut broken)?;
    without_protobuf(sh, &mut broken)?;
    let files = cmd!(sh, "git ls-files --cached --others --exclude-standard").quiet().read()?;
    let files: Vec<PathBuf> = files.lines().map(PathBuf::from).filter(|path| sh.path_exists(path)).collect();
    for path in &files {
        if path.extension().is_some_and(|extension| extension == "rs") {
            source(sh, path, &mut broken)?;
        }
        if path.extension().is_some_and(|extension| extension == "expect") {
            orphan(&files, path, &mut broken);
        }
    }
    passes(sh, &files, &mut broken)?;
    if broken.is_empty() { Ok(()) } else { bail!("tidy:\n{}", broken.join("\n")) }
}

/// A program that depends only on the passes must not link protobuf, not even transitively.
fn without_protobuf(sh: &Shell, broken: &mut Vec<String>) -> anyhow::Result<()> {
    let tree = cmd!(sh, "cargo tree --package intact8-quant --edges normal --prefix none").quiet().read()?;
    for (package, _) in CONFINED.iter().filter(|(package, _)| package.ends_with("protobuf")) {
        if tree.lines().any(|line| line.split(' ').next() == Some(package)) {
            broken.push(format!("intact8-quant: links {package}, see `cargo tree`"));
        }
    }
    Ok(())
}

/// Dependencies must be in the table, and no package may depend on the developers' packages.
fn arrows(sh: &Shell, broken: &mut Vec<String>) -> anyhow::Result<()> {
    let metadata = cmd!(sh, "cargo metadata --format-version 1 --no-deps").quiet().read()?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for package in packages {
        let name = text(&package["name"]);
        let Some((_, allowed)) = ARROWS.iter().find(|(row, _)| *row == name) else {
            broken.push(format!(
                "{name}: is missing in the table of packages (xtask/src/tidy.rs, ARCHITECTURE.md)"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().context("packages list dependencies")? {
            let to = text(&dependency["name"]);
            let is_ours = ARROWS.iter().any(|(row, _)| *row == to);
            let for_tests = dependency["kind"] == "dev";
            if is_ours && !for_tests && !allowed.contains(&to.as_str()) {
                broken.push(format!("{name}: may not depend on {to}"));
            }
            if ["xtask", "fixtures", "benches"].contains(&to.as_str()) {
                broken.push(format!("{name}: no package may depend on {to}"));
            }
            if let Some((_, owner)) = CONFINED.iter().find(|(package, _)| *package == to)
                && name != *owner
            {
                broken.push(format!("{name}: only {owner} may depend on {to}"));
            }
        }
    }
    Ok(())
}

/// Every source file begins with a description, is short, and has a specific name.
fn source(sh: &Shell, path: &Path, broken: &mut Vec<String>) -> anyhow::Result<()> {
    let text = sh.read_file(path)?;
    let shown = path.display();
    if !text.starts_with("//!") && !text.starts_with("#![") {
        broken.push(format!("{shown}: must begin with a //! comment that describes the file"));
    }
    let n_lines = text.lines().count();
    if n_lines > MAX_LINES {
        broken.push(format!("{shown}: has {n_lines} lines, more than {MAX_LINES}; split it"));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    if ["mod", "utils", "util", "common", "helpers", "misc"].contains(&stem.as_ref()) {
        broken.push(format!("{shown}: name the file after its subject"));
    }
    Ok(())
}

/// An `.expect` file must have a case beside it.
fn orphan(files: &[PathBuf], path: &Path, broken: &mut Vec<String>) {
    let is_case = |other: &&PathBuf| *other != path && other.with_extension("") == path.with_extension("");
    if !files.iter().any(|other| is_case(&other)) {
        broken.push(format!("{}: has no case beside it", path.display()));
    }
}

/// A pass must have its file's name, cases, and a heading in the docs.
fn passes(sh: &Shell, files: &[PathBuf], broken: &mut Vec<String>) -> anyhow::Result<()> {
    let page = sh.read_file("docs/passes.md")?;
    for path in files.iter().filter(|path| path.parent() == Some(Path::new("crates/quant/src/passes"))) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
        if !sh.read_file(path)?.contains(&format!("\"{name}\"")) {
            broken.push(format!("{}: the pass must be called {name:?}, like its file", path.display()));
        }
        let folder = Path::new("fixtures/passes").join(&name);
        if !files.iter().any(|file| file.starts_with(&folder) && file.extension().is_some_and(|e| e == "qir"))
        {
            broken.push(format!("{}: the pass has no case", folder.display()));
        }
        if !page.contains(&format!("\n## {name}\n")) {
            broken.push(format!("docs/passes.md: {name} is missing; UPDATE_EXPECT=1 cargo test -p fixtures"));
        }
    }
    Ok(())
}
